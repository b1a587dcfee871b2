/* SPDX-License-Identifier: Apache-2.0 */
/* How a device becomes a PV: pvcreate, and vgcreate and vgextend on devices that are none yet
 * (docs/spec/lvm2-commands.md 3). Nothing that can be recognised is written over unasked. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"
#include "pool/signature.h"

/* ---------------------------------------------------------------- options */

static int bad_yes_no(struct lvmcmd *c, const char *name, const char *text)
{
    lvmcmd_error(c, "Invalid argument for --%s: %s", name, text);
    lvmcmd_error(c, "Error during parsing of command line.");
    return LVMCMD_USAGE;
}

int lvmcmd_pv_opts(struct lvmcmd *c, struct lvm_pv_opts *opts)
{
    lvm_pv_opts_init(opts);
    opts->n_mdas = (unsigned)lvmcmd_conf_u64(c, "metadata/pvmetadatacopies", 1);
    uint64_t copies = lvmcmd_opt_u64(c, "pvmetadatacopies", ASH_MIN(opts->n_mdas, LVM_MDA_MAX));
    uint64_t sector = lvmcmd_opt_u64(c, "labelsector", LVM_LABEL_SECTOR);
    if (copies > LVM_MDA_MAX)
        return bad_yes_no(c, "pvmetadatacopies", lvmcmd_opt(c, "pvmetadatacopies"));
    if (sector >= LVM_SCAN_SECTORS)
        return lvmcmd_usage(c, "labelsector must be less than %u.", LVM_SCAN_SECTORS);
    opts->n_mdas = (unsigned)copies;
    opts->label_sector = (uint32_t)sector;
    opts->mda_bytes =
        lvmcmd_opt_size(c, "metadatasize", 'm',
                        lvmcmd_conf_u64(c, "metadata/pvmetadatasize", 0) * LVM_SECTOR_BYTES);
    opts->align_bytes = lvmcmd_opt_size(c, "dataalignment", 'k',
                                        lvmcmd_conf_u64(c, "devices/data_alignment", 0) * 1024);
    opts->align_offset_bytes = lvmcmd_opt_size(c, "dataalignmentoffset", 'k', 0);
    opts->boot_bytes = lvmcmd_opt_size(c, "bootloaderareasize", 'm', 0);
    opts->size_bytes = lvmcmd_opt_size(c, "setphysicalvolumesize", 'm', 0);
    opts->mda_ignored = lvmcmd_opt_yes(c, "metadataignore", false);
    opts->keep_head = !lvmcmd_opt_yes(c, "zero", true);
    return 0;
}

/* ----------------------------------------------------------------- checks */

/* Ask about each signature, and wipe it. */
static int wipe_signatures(struct lvmcmd *c, struct lvm_dev *dev)
{
    static const uint8_t zeroes[32];
    const struct pool_signature *s;
    /* A label that is damaged is a signature like any other. */
    bool no_label = dev->fault == ASH_E_LVM_NO_LABEL;
    for (;;) {
        int rc = pool_signature_find(dev->ch, no_label, &s);
        if (rc) {
            lvmcmd_error(c, "%s: cannot be read: %s", dev->name, ash_strerror(rc));
            return LVMCMD_FAILED;
        }
        if (!s)
            return 0;
        if (!c->force &&
            !lvmcmd_ask(c, "WARNING: %s signature detected on %s at offset %u. Wipe it?", s->name,
                        dev->name, s->offset)) {
            lvmcmd_error(c, "Aborted wiping of %s.", s->name);
            lvmcmd_error(c, "1 existing signature left on the device.");
            return LVMCMD_FAILED;
        }
        lvmcmd_print(c, "Wiping %s signature on %s.", s->name, dev->name);
        if (c->test)
            return 0;
        rc = bdev_write(dev->ch, zeroes, s->offset, s->n_bytes, BDEV_FUA);
        if (rc) {
            lvmcmd_error(c, "%s: cannot be written: %s", dev->name, ash_strerror(rc));
            return LVMCMD_FAILED;
        }
    }
}

static int not_initialized(struct lvmcmd *c, const char *name)
{
    lvmcmd_error(c, "%s: physical volume not initialized.", name);
    return LVMCMD_FAILED;
}

/* The device is a PV of some VG: only pvcreate -ff goes on. */
static int take_from_vg(struct lvmcmd *c, struct lvm_dev *dev, const char *vg_name)
{
    if (c->force < 2) {
        if (vg_name) {
            lvmcmd_error(c,
                         "Can't initialize physical volume \"%s\" of volume group \"%s\" without "
                         "-ff",
                         dev->name, vg_name);
        } else {
            lvmcmd_error(c, "PV %s is used by a VG but its metadata is missing.", dev->name);
            lvmcmd_error(c, "Can't initialize PV '%s' without -ff.", dev->name);
        }
        return not_initialized(c, dev->name);
    }
    if (!lvmcmd_ask(c, "Really INITIALIZE physical volume \"%s\" of volume group \"%s\"", dev->name,
                    vg_name ? vg_name : "<unknown>"))
        return not_initialized(c, dev->name);
    return 0;
}

/* The VG whose text the device holds, its own or one that dropped it. */
static const char *vg_name_of(struct lvmcmd *c, const struct lvm_dev *dev)
{
    const struct lvm_group *g = lvmcmd_group_of(c, dev);
    if (g)
        return g->vg->name;
    return dev->outdated ? dev->outdated->vg->name : NULL;
}

int lvmcmd_pv_check(struct lvmcmd *c, const char *name, bool joins, struct lvm_dev **ret_dev)
{
    struct lvm_dev *dev = lvmcmd_dev(c, name);
    if (!dev) {
        lvmcmd_error(c, "No device found for %s.", name);
        return LVMCMD_FAILED;
    }
    const char *vg_name = vg_name_of(c, dev);
    bool is_used = vg_name || (dev->has_label && (dev->label.ext_flags & LVM_PV_EXT_USED));
    int rc = 0;
    if (dev->is_duplicate) {
        lvmcmd_error(c, "%s: another device has the same PV UUID.", name);
        return not_initialized(c, name);
    }
    if (dev->size_bytes < LVM_PV_BYTES_MIN) {
        lvmcmd_error(c, "Cannot use %s: device is too small (pv_min_size)", name);
        return LVMCMD_FAILED;
    }
    if (is_used && joins && vg_name) {
        lvmcmd_error(c, "Physical volume '%s' is already in volume group '%s'", name, vg_name);
        lvmcmd_error(c, "Unable to add physical volume '%s' to volume group '%s'", name, vg_name);
        return not_initialized(c, name);
    }
    if (is_used)
        rc = take_from_vg(c, dev, vg_name);
    else if (!dev->has_label)
        rc = wipe_signatures(c, dev);
    if (rc == 0)
        *ret_dev = dev;
    return rc;
}

/* ----------------------------------------------------------------- making */

int lvmcmd_pv_make(struct lvmcmd *c, struct lvm_dev *dev, const struct lvm_pv_opts *opts)
{
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_label layout;
    int rc = lvm_pv_layout(opts, dev->size_bytes, dev->name, &layout, &err);
    if (rc == 0 && opts->size_bytes > 0)
        lvmcmd_error(c, "WARNING: Faking size of PV %s. Don't write outside real device.",
                     dev->name);
    if (rc == 0 && c->test) {
        dev->label = layout;
        lvm_id_random(&dev->label.pv_id);
        dev->has_label = true;
    } else if (rc == 0) {
        rc = lvm_pv_create(dev, opts, &err);
    }
    if (rc) {
        lvmcmd_error(c, "%s", err.text);
        lvmcmd_error(c, "Failed to setup physical volume \"%s\".", dev->name);
        return LVMCMD_FAILED;
    }
    lvmcmd_print(c, "Physical volume \"%s\" successfully created.", dev->name);
    return 0;
}

int lvmcmd_pv_join(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_dev *dev,
                   const struct lvm_pv_opts *opts)
{
    bool is_used = dev->has_label && (dev->label.ext_flags & LVM_PV_EXT_USED);
    int rc = !dev->has_label || is_used ? lvmcmd_pv_make(c, dev, opts) : 0;
    struct lvm_pv *pv = lvm_arena_get(&vg->arena, sizeof(*pv));
    if (rc)
        return rc;
    if (!pv) {
        lvmcmd_error(c, "Out of memory.");
        return LVMCMD_FAILED;
    }
    uint64_t size_bytes = dev->label.device_bytes ? dev->label.device_bytes : dev->size_bytes;
    *pv = (struct lvm_pv){.vg = vg,
                          .id = dev->label.pv_id,
                          .dev = dev,
                          .device = dev->name,
                          .flags = LVM_ALLOCATABLE,
                          .has_dev_size = true,
                          .dev_size_sectors = size_bytes / LVM_SECTOR_BYTES,
                          .pe_start_sectors = dev->label.data_offset / LVM_SECTOR_BYTES,
                          .pe_count = lvm_pe_count(&dev->label, size_bytes, vg->extent_sectors),
                          .boot_start_sectors = dev->label.boot.offset / LVM_SECTOR_BYTES,
                          .boot_sectors = dev->label.boot.size / LVM_SECTOR_BYTES};
    ash_list_push_tail(&vg->pvs, &pv->link);
    vg->n_pvs++;
    dev->pv = pv;
    return 0;
}
