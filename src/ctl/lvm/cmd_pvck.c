/* SPDX-License-Identifier: Apache-2.0 */
/* pvck, and pvck --dump headers or metadata (docs/spec/lvm2-commands.md 3). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"

/* ----------------------------------------------------------------- headers */

static void put_areas_end(struct lvmcmd *c, const char *of, unsigned n, uint64_t at)
{
    lvmcmd_print(c, "%s.disk_locn[%u] at %" PRIu64 " # location list end", of, n, at);
    lvmcmd_print(c, "%s.disk_locn[%u].offset 0", of, n);
    lvmcmd_print(c, "%s.disk_locn[%u].size 0", of, n);
}

static void put_area(struct lvmcmd *c, const char *of, unsigned n, uint64_t at, const char *what,
                     uint64_t offset, uint64_t size)
{
    lvmcmd_print(c, "%s.disk_locn[%u] at %" PRIu64 " # %s", of, n, at, what);
    lvmcmd_print(c, "%s.disk_locn[%u].offset %" PRIu64, of, n, offset);
    lvmcmd_print(c, "%s.disk_locn[%u].size %" PRIu64, of, n, size);
}

static void put_label(struct lvmcmd *c, const struct lvm_label *l, uint32_t crc)
{
    uint64_t label = (uint64_t)l->sector * LVM_SECTOR_BYTES, at = label + LVM_LABEL_PV;
    unsigned n = 0;
    lvmcmd_print(c, "label_header at %" PRIu64, label);
    lvmcmd_print(c, "label_header.id LABELONE");
    lvmcmd_print(c, "label_header.sector %u", l->sector);
    lvmcmd_print(c, "label_header.crc 0x%x", crc);
    lvmcmd_print(c, "label_header.offset %u", LVM_LABEL_PV);
    lvmcmd_print(c, "label_header.type LVM2 001");
    lvmcmd_print(c, "pv_header at %" PRIu64, at);
    lvmcmd_print(c, "pv_header.pv_uuid %s", l->pv_id.c);
    lvmcmd_print(c, "pv_header.device_size %" PRIu64, l->device_bytes);
    at += sizeof(struct lvm_pv_header_disk);
    if (l->data_offset) {
        put_area(c, "pv_header", n++, at, "location of data area", l->data_offset, l->data_size);
        at += sizeof(struct lvm_area_disk);
    }
    put_areas_end(c, "pv_header", n++, at);
    at += sizeof(struct lvm_area_disk);
    for (size_t i = 0; i < l->n_mdas; i++, at += sizeof(struct lvm_area_disk))
        put_area(c, "pv_header", n++, at, "location of metadata area", l->mdas[i].offset,
                 l->mdas[i].size);
    put_areas_end(c, "pv_header", n, at);
    at += sizeof(struct lvm_area_disk);
    lvmcmd_print(c, "pv_header_extension at %" PRIu64, at);
    lvmcmd_print(c, "pv_header_extension.version %u", l->ext_version);
    lvmcmd_print(c, "pv_header_extension.flags %u", l->ext_flags);
    at += sizeof(struct lvm_pv_ext_disk);
    n = 0;
    if (l->boot.size) {
        put_area(c, "pv_header_extension", n++, at, "bootloader area", l->boot.offset,
                 l->boot.size);
        at += sizeof(struct lvm_area_disk);
    }
    put_areas_end(c, "pv_header_extension", n, at);
}

static void put_mda(struct lvmcmd *c, const struct lvm_mda *m, unsigned n, uint32_t crc)
{
    lvmcmd_print(c, "mda_header_%u at %" PRIu64 " # metadata area", n, m->start);
    lvmcmd_print(c, "mda_header_%u.checksum 0x%x", n, crc);
    lvmcmd_print(c, "mda_header_%u.magic 0x204c564d3220785b35412572304e2a3e", n);
    lvmcmd_print(c, "mda_header_%u.version %u", n, LVM_MDA_VERSION);
    lvmcmd_print(c, "mda_header_%u.start %" PRIu64, n, m->header.start);
    lvmcmd_print(c, "mda_header_%u.size %" PRIu64, n, m->header.size);
    for (unsigned s = 0; s < 2; s++) {
        const struct lvm_location *loc = &m->header.slots[s];
        uint64_t at =
            m->start + offsetof(struct lvm_mda_disk, slots) + s * sizeof(struct lvm_location_disk);
        lvmcmd_print(c, "mda_header_%u.raw_locn[%u] at %" PRIu64 " # %s", n, s, at,
                     s ? "precommit" : "commit");
        lvmcmd_print(c, "mda_header_%u.raw_locn[%u].offset %" PRIu64, n, s, loc->offset);
        lvmcmd_print(c, "mda_header_%u.raw_locn[%u].size %" PRIu64, n, s, loc->size);
        lvmcmd_print(c, "mda_header_%u.raw_locn[%u].checksum 0x%x", n, s, loc->crc);
        lvmcmd_print(c, "mda_header_%u.raw_locn[%u].flags 0x%x%s", n, s, loc->flags,
                     loc->flags & LVM_LOCATION_IGNORED ? " # RAW_LOCN_IGNORED" : "");
    }
}

/* The checksum that stands in a sector. */
static int stored_crc(struct lvmcmd *c, struct lvm_dev *dev, uint64_t at, size_t where,
                      uint32_t *ret)
{
    uint8_t sector[LVM_SECTOR_BYTES];
    struct le32 crc;
    int rc = bdev_read(dev->ch, sector, at, sizeof(sector));
    if (rc) {
        lvmcmd_error(c, "%s: cannot be read: %s", dev->name, ash_strerror(rc));
        return LVMCMD_FAILED;
    }
    memcpy(&crc, sector + where, sizeof(crc));
    *ret = ash_le32_get(crc);
    return 0;
}

static void put_text_line(struct lvmcmd *c, const struct lvm_mda *m)
{
    const struct lvm_location *loc = &m->header.slots[0];
    if (m->copy)
        lvmcmd_print(c, "metadata text at %" PRIu64 " crc 0x%x # vgname %s seqno %u",
                     m->start + loc->offset, loc->crc, m->copy->name, m->copy->seqno);
}

static int dump_headers(struct lvmcmd *c, struct lvm_dev *dev)
{
    uint32_t crc;
    int rc = stored_crc(c, dev, (uint64_t)dev->label.sector * LVM_SECTOR_BYTES,
                        offsetof(struct lvm_label_disk, crc), &crc);
    if (rc)
        return rc;
    put_label(c, &dev->label, crc);
    for (size_t i = 0; i < dev->label.n_mdas; i++) {
        struct lvm_mda *m = &dev->mdas[i];
        if (!m->has_header) {
            lvmcmd_error(c, "CHECK: mda_header_%zu: %s", i + 1, m->fault_text);
            rc = LVMCMD_FAILED;
            continue;
        }
        if (stored_crc(c, dev, m->start, 0, &crc))
            return LVMCMD_FAILED;
        put_mda(c, m, (unsigned)i + 1, crc);
        put_text_line(c, m);
        if (m->fault != ASH_OK) {
            lvmcmd_error(c, "CHECK: %s", m->fault_text);
            rc = LVMCMD_FAILED;
        }
    }
    if (dev->label.n_mdas == 0)
        lvmcmd_print(c, "zero metadata copies");
    return rc;
}

/* ---------------------------------------------------------------- metadata */

/* The text that is committed, as it is. */
static int dump_metadata(struct lvmcmd *c, struct lvm_dev *dev)
{
    struct ash_err err = {.reason = ASH_OK};
    char *text;
    for (size_t i = 0; i < dev->label.n_mdas; i++) {
        struct lvm_mda *m = &dev->mdas[i];
        if (!m->has_header || m->header.slots[0].size == 0)
            continue;
        if (lvm_text_read(dev, m, &m->header.slots[0], true, &text, &err))
            return lvmcmd_fail(c, &err);
        put_text_line(c, m);
        lvmcmd_out(c, "  ---\n%s\n  ---\n", text);
        rt_free(text);
        return 0;
    }
    lvmcmd_error(c, "No metadata text found on %s.", dev->name);
    return LVMCMD_FAILED;
}

static int check(struct lvmcmd *c, const struct lvm_dev *dev)
{
    int rc = 0;
    lvmcmd_print(c, "Found label on %s, sector %u, type=%s", dev->name, dev->label.sector,
                 LVM_LABEL_TYPE);
    for (size_t i = 0; i < dev->label.n_mdas; i++) {
        lvmcmd_print(c, "Found text metadata area: offset=%" PRIu64 ", size=%" PRIu64,
                     dev->mdas[i].start, dev->mdas[i].size);
        if (dev->mdas[i].fault != ASH_OK)
            rc = LVMCMD_FAILED; /* said when it was read */
    }
    return rc;
}

int lvmcmd_pvck(struct lvmcmd *c)
{
    const char *dump = lvmcmd_opt(c, "dump");
    int worst = 0;
    if (dump && strcmp(dump, "headers") != 0 && strcmp(dump, "metadata") != 0) {
        lvmcmd_error(c, "pvck --dump %s is not done here: headers or metadata.", dump);
        return LVMCMD_FAILED;
    }
    for (size_t i = 0; i < c->n_args; i++) {
        struct lvm_dev *dev = lvmcmd_dev(c, c->args[i]);
        int rc = LVMCMD_FAILED;
        if (!dev || !dev->has_label)
            lvmcmd_error(c, "Could not find LVM label on %s", c->args[i]);
        else if (dump)
            rc = *dump == 'h' ? dump_headers(c, dev) : dump_metadata(c, dev);
        else
            rc = check(c, dev);
        worst = ASH_MAX(worst, rc);
    }
    return worst;
}
