/* SPDX-License-Identifier: Apache-2.0 */
/* pvcreate, pvremove, pvchange, pvresize (docs/spec/lvm2-commands.md 3, lvm2-format.md 16). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"

/* --------------------------------------------------------------- pvcreate */

/* --restorefile: the PV lies as the file's PV of that UUID does. */
static int opts_from_file(struct lvmcmd *c, struct lvm_pv_opts *opts)
{
    const char *path = lvmcmd_opt(c, "restorefile");
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_vg *vg = NULL;
    char *text;
    size_t n;
    if (rt_read_text(path, 64 << 20, &text, &n, &err)) {
        lvmcmd_error(c, "%s", err.text);
        return LVMCMD_FAILED;
    }
    int rc = lvm_vg_parse(text, n, path, &vg, &err);
    rt_free(text);
    if (rc) {
        lvmcmd_error(c, "%s", err.text);
        lvmcmd_error(c, "Unable to read volume group from %s", path);
        return LVMCMD_FAILED;
    }
    const struct lvm_pv *pv = lvm_pv_find(vg, &opts->id);
    if (!pv) {
        lvmcmd_error(c, "Can't find uuid %s in backup file %s", lvmcmd_opt(c, "uuid"), path);
        rc = LVMCMD_FAILED;
    } else {
        opts->pe_start_bytes = pv->pe_start_sectors * LVM_SECTOR_BYTES;
        opts->boot_bytes = pv->boot_sectors * LVM_SECTOR_BYTES;
    }
    lvm_vg_free(vg);
    return rc;
}

/* --uuid wants to know whether a file tells of the PV, or none does. */
static int opts_of_uuid(struct lvmcmd *c, struct lvm_pv_opts *opts)
{
    const char *uuid = lvmcmd_opt(c, "uuid");
    bool restores = lvmcmd_opt(c, "restorefile"), no_file = lvmcmd_opt(c, "norestorefile");
    if (!uuid)
        return restores ? lvmcmd_usage(c, "--uuid is required with --restorefile") : 0;
    if (!restores && !no_file)
        return lvmcmd_usage(c, "--restorefile is required with --uuid");
    if (!lvm_id_parse(uuid, &opts->id)) {
        bool is_long = strlen(uuid) == LVM_ID_CHARS || strlen(uuid) == LVM_ID_TEXT_BYTES - 1;
        return lvmcmd_usage(c, "Couldn't read uuid: incorrect %s.",
                            is_long ? "characters" : "number of characters");
    }
    if (c->n_args > 1)
        return lvmcmd_usage(c, "Can only set uuid on one volume at once");
    ash_list_for_each (l, &c->set->devs) {
        const struct lvm_dev *dev = lvm_dev_of(l);
        if (dev->has_label && lvm_id_equal(&dev->label.pv_id, &opts->id) &&
            dev != lvmcmd_dev(c, c->args[0])) {
            lvmcmd_error(c, "uuid %s already in use on \"%s\".", uuid, dev->name);
            return LVMCMD_FAILED;
        }
    }
    return restores ? opts_from_file(c, opts) : 0;
}

int lvmcmd_pvcreate(struct lvmcmd *c)
{
    struct lvm_pv_opts opts;
    int rc = lvmcmd_pv_opts(c, &opts), worst = 0;
    if (rc == 0)
        rc = opts_of_uuid(c, &opts);
    if (rc)
        return rc;
    for (size_t i = 0; i < c->n_args; i++) {
        struct lvm_dev *dev;
        rc = lvmcmd_pv_check(c, c->args[i], false, &dev);
        if (rc == 0)
            rc = lvmcmd_pv_make(c, dev, &opts);
        worst = ASH_MAX(worst, rc);
    }
    return worst;
}

/* --------------------------------------------------------------- pvremove */

static int not_removed(struct lvmcmd *c, const struct lvm_dev *dev)
{
    lvmcmd_error(c, "%s: physical volume label not removed.", dev->name);
    return LVMCMD_FAILED;
}

static int remove_used(struct lvmcmd *c, const struct lvm_dev *dev, const char *vg_name)
{
    if (c->force < 2) {
        if (vg_name)
            lvmcmd_error(c, "PV %s is used by VG %s so please use vgreduce first.", dev->name,
                         vg_name);
        else
            lvmcmd_error(c, "PV %s is used by a VG but its metadata is missing.", dev->name);
        lvmcmd_error(c, "(If you are certain you need pvremove, then confirm by using --force "
                        "twice.)");
        return not_removed(c, dev);
    }
    vg_name = vg_name ? vg_name : "<unknown>";
    lvmcmd_error(c, "WARNING: PV %s is used by VG %s.", dev->name, vg_name);
    if (!lvmcmd_ask(c, "Really WIPE LABELS from physical volume \"%s\" of volume group \"%s\"",
                    dev->name, vg_name))
        return not_removed(c, dev);
    lvmcmd_error(c, "WARNING: Wiping physical volume label from %s of volume group \"%s\".",
                 dev->name, vg_name);
    return 0;
}

static int remove_one(struct lvmcmd *c, const char *name)
{
    struct lvm_dev *dev = lvmcmd_dev(c, name);
    struct ash_err err = {.reason = ASH_OK};
    if (!dev || (!dev->has_label && dev->fault == ASH_E_LVM_NO_LABEL)) {
        lvmcmd_error(c, dev ? "No PV found on device %s." : "No device found for %s.", name);
        return LVMCMD_FAILED;
    }
    const struct lvm_group *g = lvmcmd_group_of(c, dev);
    g = g ? g : dev->outdated;
    if (g || (dev->has_label && (dev->label.ext_flags & LVM_PV_EXT_USED))) {
        int rc = remove_used(c, dev, g ? g->vg->name : NULL);
        if (rc)
            return rc;
    }
    if (!c->test && lvm_label_wipe(dev, &err))
        return lvmcmd_fail(c, &err);
    lvmcmd_print(c, "Labels on physical volume \"%s\" successfully wiped.", name);
    return 0;
}

int lvmcmd_pvremove(struct lvmcmd *c)
{
    int worst = 0;
    for (size_t i = 0; i < c->n_args; i++)
        worst = ASH_MAX(worst, remove_one(c, c->args[i]));
    return worst;
}

/* --------------------------------------------------------------- pvchange */

/* What became of one PV: changed, or not with an exit code of 0 or more. */
struct outcome {
    unsigned n_changed, n_left;
    int worst;
};

static int left_alone(struct lvmcmd *c, const struct lvm_dev *dev, int rc)
{
    lvmcmd_error(c, "Physical volume %s not changed", dev->name);
    return rc;
}

static bool some_other_area(const struct lvm_vg *vg, const struct lvm_dev *but)
{
    ash_list_for_each (l, &vg->pvs) {
        const struct lvm_dev *dev = lvm_pv_of(l)->dev;
        for (size_t i = 0; dev && dev != but && i < dev->label.n_mdas; i++)
            if (dev->mdas[i].has_header && !dev->mdas[i].ignored)
                return true;
    }
    return false;
}

/* --metadataignore: an empty header with the flag, for orphans; else the update writes it. */
static int change_ignored(struct lvmcmd *c, struct lvm_dev *dev, bool *changed)
{
    bool want = lvmcmd_opt_yes(c, "metadataignore", false);
    struct ash_err err = {.reason = ASH_OK};
    bool any = false;
    for (size_t i = 0; i < dev->label.n_mdas; i++)
        any |= dev->mdas[i].ignored != want;
    if (!any) {
        lvmcmd_error(c, "Metadata areas on physical volume \"%s\" already %s.", dev->name,
                     want ? "ignored" : "marked as in-use");
        return LVMCMD_FAILED;
    }
    if (dev->pv && want && !some_other_area(dev->pv->vg, dev)) {
        lvmcmd_error(c, "Cannot disable all metadata areas in volume group %s.", dev->pv->vg->name);
        return LVMCMD_FAILED;
    }
    if (dev->pv && dev->pv->vg->metadata_copies &&
        !lvmcmd_ask(c, "Override preferred number of copies of VG \"%s\" metadata?",
                    dev->pv->vg->name))
        return LVMCMD_FAILED;
    for (size_t i = 0; i < dev->label.n_mdas; i++)
        dev->mdas[i].ignored = want;
    *changed = true;
    if (!dev->pv && !c->test && lvm_pv_make_orphan(dev, &err))
        return lvmcmd_fail(c, &err);
    return 0;
}

static int change_allocatable(struct lvmcmd *c, struct lvm_dev *dev, bool *changed)
{
    bool want = lvmcmd_opt_yes(c, "allocatable", true);
    if (!dev->pv) {
        lvmcmd_error(c, "Allocatability not supported by orphan lvm2 format PV %s", dev->name);
        return LVMCMD_FAILED;
    }
    if (((dev->pv->flags & LVM_ALLOCATABLE) != 0) == want) {
        lvmcmd_error(c, "Physical volume \"%s\" is already %sallocatable.", dev->name,
                     want ? "" : "un");
        return 0;
    }
    dev->pv->flags ^= LVM_ALLOCATABLE;
    *changed = true;
    return 0;
}

/* A new UUID stands in the label and in the VG's text. No single write changes both: everything
 * that can fail is done before the label, and the commit follows at once. */
static int change_uuid(struct lvmcmd *c, struct lvm_dev *dev)
{
    struct lvm_update u;
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_id id;
    lvm_id_random(&id);
    struct lvm_vg *vg = dev->pv ? dev->pv->vg : NULL;
    if (vg) {
        dev->pv->id = id;
        if (lvm_update_prepare(&u, c->set, vg, &c->writer, &err))
            return lvmcmd_fail(c, &err);
    }
    struct lvm_id old = dev->label.pv_id;
    dev->label.pv_id = id;
    int rc = c->test ? 0 : lvm_label_write(dev, &err);
    if (rc && vg) {
        dev->label.pv_id = dev->pv->id = old;
        lvm_update_revert(&u);
    } else if (vg) {
        rc = lvm_update_commit(&u, &err);
    }
    if (rc)
        return lvmcmd_fail(c, &err);
    if (vg && lvm_backup(&c->backups, vg, &c->writer, &err))
        lvmcmd_error(c, "WARNING: Backup of volume group %s failed: %s", vg->name, err.text);
    return 0;
}

static int change_tags(struct lvmcmd *c, struct lvm_dev *dev, bool *changed)
{
    if (!dev->pv) {
        lvmcmd_error(c, "Can't change tag on Physical Volume %s not in volume group", dev->name);
        return LVMCMD_FAILED;
    }
    *changed = lvmcmd_change_tags(c, dev->pv->vg, &dev->pv->tags);
    return 0;
}

static int change_one(struct lvmcmd *c, struct lvm_dev *dev, bool *changed)
{
    struct lvm_group *g = lvmcmd_group_of(c, dev);
    int rc = g ? lvmcmd_begin(c, g, 0) : 0;
    if (rc)
        return rc;
    if (lvmcmd_opt(c, "uuid")) {
        rc = change_uuid(c, dev);
        *changed = rc == 0;
        return rc;
    }
    if (lvmcmd_opt(c, "addtag") || lvmcmd_opt(c, "deltag"))
        rc = change_tags(c, dev, changed);
    if (rc == 0 && lvmcmd_opt(c, "allocatable"))
        rc = change_allocatable(c, dev, changed);
    if (rc == 0 && lvmcmd_opt(c, "metadataignore"))
        rc = change_ignored(c, dev, changed);
    if (rc == 0 && *changed && dev->pv)
        rc = lvmcmd_commit(c, dev->pv->vg);
    *changed &= rc == 0;
    return rc;
}

static void change(struct lvmcmd *c, struct lvm_dev *dev, struct outcome *o)
{
    bool changed = false;
    int rc = change_one(c, dev, &changed);
    if (changed) {
        lvmcmd_print(c, "Physical volume \"%s\" changed", dev->name);
        o->n_changed++;
    } else {
        rc = left_alone(c, dev, rc);
        o->n_left++;
    }
    o->worst = ASH_MAX(o->worst, rc);
}

/* Devices that an argument names: one, or those with a tag. */
static void each_dev(struct lvmcmd *c, const char *arg, struct outcome *o,
                     void (*fn)(struct lvmcmd *c, struct lvm_dev *dev, struct outcome *o))
{
    if (*arg == '@') {
        ash_list_for_each (l, &c->set->devs) {
            struct lvm_dev *dev = lvm_dev_of(l);
            if (dev->pv &&
                (lvm_tag_has(dev->pv->tags, arg + 1) || lvm_tag_has(dev->pv->vg->tags, arg + 1)))
                fn(c, dev, o);
        }
        return;
    }
    struct lvm_dev *dev = lvmcmd_dev(c, arg);
    if (dev && dev->has_label) {
        fn(c, dev, o);
        return;
    }
    if (dev)
        lvmcmd_error(c, "Failed to find physical volume \"%s\".", arg);
    else
        lvmcmd_error(c, "Cannot use %s: device not found", arg);
    o->worst = LVMCMD_FAILED;
}

int lvmcmd_pvchange(struct lvmcmd *c)
{
    struct outcome o = {0};
    static const char *const what[] = {"uuid", "addtag", "deltag", "allocatable", "metadataignore"};
    bool any = false, all = lvmcmd_opt(c, "all");
    for (size_t i = 0; i < ASH_N_ELEMS(what); i++)
        any |= lvmcmd_opt(c, what[i]) != NULL;
    if (!any || (c->n_args == 0) != all) {
        if (any && all) {
            lvmcmd_error(c, "Command does not accept argument: %s.", c->args[0]);
            return LVMCMD_USAGE;
        }
        return lvmcmd_no_syntax(c);
    }
    for (size_t i = 0; i < c->n_args; i++)
        each_dev(c, c->args[i], &o, change);
    if (all)
        ash_list_for_each (l, &c->set->devs)
            if (lvm_dev_of(l)->has_label && !lvm_dev_of(l)->is_duplicate)
                change(c, lvm_dev_of(l), &o);
    lvmcmd_print(c, "%u physical volume%s changed / %u physical volume%s not changed", o.n_changed,
                 o.n_changed == 1 ? "" : "s", o.n_left, o.n_left == 1 ? "" : "s");
    return o.worst;
}

/* --------------------------------------------------------------- pvresize */

/* The first extent behind everything that is allocated on the PV. */
static uint64_t last_used(const struct lvm_pv *pv)
{
    uint64_t end = 0;
    ash_list_for_each (l, &pv->vg->lvs)
        ash_list_for_each (s, &lvm_lv_of(l)->segs) {
            const struct lvm_seg *seg = lvm_seg_of(s);
            for (uint32_t i = 0; i < seg->n_areas && seg->areas; i++)
                if (seg->areas[i].kind == LVM_AREA_PV && seg->areas[i].pv == pv)
                    end = ASH_MAX(end, (uint64_t)seg->areas[i].extent + lvm_seg_area_len(seg));
        }
    return end;
}

/* The second area moves to the new end: it begins there as an empty one. */
static int place_areas(struct lvmcmd *c, struct lvm_dev *dev, uint64_t size_bytes,
                       struct lvm_label *label)
{
    struct lvm_pv_opts opts;
    struct ash_err err = {.reason = ASH_OK};
    *label = dev->label;
    label->device_bytes = size_bytes;
    if (label->n_mdas < 2)
        return 0;
    lvm_pv_opts_init(&opts);
    opts.n_mdas = 2;
    opts.size_bytes = size_bytes;
    opts.pe_start_bytes = label->data_offset;
    struct lvm_label fresh;
    if (lvm_pv_layout(&opts, dev->size_bytes, dev->name, &fresh, &err))
        return lvmcmd_fail(c, &err);
    label->mdas[1] = fresh.mdas[1];
    return 0;
}

static int fits(struct lvmcmd *c, const struct lvm_dev *dev, const struct lvm_label *label,
                uint32_t *ret_pe_count)
{
    const struct lvm_pv *pv = dev->pv;
    uint32_t n = lvm_pe_count(label, label->device_bytes, pv->vg->extent_sectors);
    *ret_pe_count = n;
    if (n < pv->n_allocated_pe) {
        lvmcmd_error(c, "%s: cannot resize to %u extents as %u are allocated.", dev->name, n,
                     pv->n_allocated_pe);
        return LVMCMD_FAILED;
    }
    if (n < last_used(pv)) {
        lvmcmd_error(c, "%s: cannot resize to %u extents as later ones are allocated.", dev->name,
                     n);
        return LVMCMD_FAILED;
    }
    return 0;
}

static int wanted_size(struct lvmcmd *c, const struct lvm_dev *dev, uint64_t *ret_bytes)
{
    char want[32], real[32];
    uint64_t size = lvmcmd_opt_size(c, "setphysicalvolumesize", 'm', 0);
    *ret_bytes = dev->size_bytes - dev->size_bytes % LVM_SECTOR_BYTES;
    if (!size)
        return 0;
    lvmcmd_size_text(size, want, sizeof(want));
    lvmcmd_size_text(dev->size_bytes, real, sizeof(real));
    if (size < dev->size_bytes &&
        !lvmcmd_ask(c, "%s: Requested size %s is less than real size %s. Proceed? ", dev->name,
                    want, real)) {
        lvmcmd_error(c, "Physical Volume %s not resized.", dev->name);
        return LVMCMD_FAILED;
    }
    if (size > dev->size_bytes &&
        !lvmcmd_ask(c, "%s: Requested size %s exceeds real size %s. Proceed? ", dev->name, want,
                    real)) {
        lvmcmd_error(c, "Physical Volume %s not resized.", dev->name);
        return LVMCMD_FAILED;
    }
    if (size > dev->size_bytes)
        lvmcmd_error(c, "WARNING: %s: Overriding real size %s. You could lose data.", dev->name,
                     real);
    lvmcmd_error(c, "WARNING: %s: Pretending size is %" PRIu64 " not %" PRIu64 " sectors.",
                 dev->name, size / LVM_SECTOR_BYTES, dev->size_bytes / LVM_SECTOR_BYTES);
    *ret_bytes = size;
    return 0;
}

/* New areas first, then the label, then the VG's text. */
static int write_size(struct lvmcmd *c, struct lvm_dev *dev, const struct lvm_label *label)
{
    struct ash_err err = {.reason = ASH_OK};
    bool moves = label->n_mdas == 2 && (label->mdas[1].offset != dev->label.mdas[1].offset ||
                                        label->mdas[1].size != dev->label.mdas[1].size);
    if (c->test)
        return 0;
    int rc = moves ? lvm_mda_move(dev, 1, &label->mdas[1], &err) : 0;
    dev->label.device_bytes = label->device_bytes;
    if (rc == 0)
        rc = lvm_label_write(dev, &err);
    return rc ? lvmcmd_fail(c, &err) : 0;
}

static int resize_one(struct lvmcmd *c, struct lvm_dev *dev)
{
    struct lvm_group *g = lvmcmd_group_of(c, dev);
    struct lvm_label label;
    uint64_t size;
    uint32_t pe_count = 0;
    int rc = g ? lvmcmd_begin(c, g, 0) : 0;
    if (rc == 0)
        rc = wanted_size(c, dev, &size);
    if (rc)
        return rc;
    if (size < LVM_PV_BYTES_MIN) {
        lvmcmd_error(c, "Size must exceed minimum of %u sectors on PV %s.",
                     LVM_PV_BYTES_MIN / LVM_SECTOR_BYTES, dev->name);
        return LVMCMD_FAILED;
    }
    rc = place_areas(c, dev, size, &label);
    if (rc == 0 && dev->pv)
        rc = fits(c, dev, &label, &pe_count);
    if (rc == 0)
        rc = write_size(c, dev, &label);
    if (rc || !dev->pv)
        return rc;
    dev->pv->dev_size_sectors = size / LVM_SECTOR_BYTES;
    dev->pv->pe_count = pe_count;
    return lvmcmd_commit(c, dev->pv->vg);
}

static void resize(struct lvmcmd *c, struct lvm_dev *dev, struct outcome *o)
{
    int rc = resize_one(c, dev);
    if (rc == 0)
        lvmcmd_print(c, "Physical volume \"%s\" changed", dev->name);
    *(rc ? &o->n_left : &o->n_changed) += 1;
    o->worst = ASH_MAX(o->worst, rc);
}

int lvmcmd_pvresize(struct lvmcmd *c)
{
    struct outcome o = {0};
    for (size_t i = 0; i < c->n_args; i++)
        each_dev(c, c->args[i], &o, resize);
    lvmcmd_print(c, "%u physical volume(s) resized or updated / %u physical volume(s) not resized",
                 o.n_changed, o.n_left);
    return o.worst;
}
