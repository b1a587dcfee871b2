/* SPDX-License-Identifier: Apache-2.0 */
/* Physical volumes on disk: where areas go, how a device becomes a PV, and stops being one
 * (docs/spec/lvm2-format.md 3, 4).
 *
 * 1. A label is one sector and written as one: a crash leaves the old one or the new one.
 * 2. Areas that a label names are good before the label is written: they go first, then a flush.
 * 3. No label names areas or data beyond the end of the device, and areas never overlap. */
#include "pool/lvm/update.h"

#include <errno.h>
#include <inttypes.h>

#include "base/assert.h"

enum { PAGE_BYTES = 4096 };

/* ---------------------------------------------------------------- layout */

void lvm_pv_opts_init(struct lvm_pv_opts *opts)
{
    *opts = (struct lvm_pv_opts){.n_mdas = 1, .label_sector = LVM_LABEL_SECTOR};
}

void lvm_id_random(struct lvm_id *ret_id)
{
    static const char chars[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (unsigned i = 0; i < LVM_ID_CHARS;) {
        uint8_t random[LVM_ID_CHARS];
        rt_random(random, sizeof(random));
        for (unsigned k = 0; k < sizeof(random) && i < LVM_ID_CHARS; k++)
            if (random[k] < 4 * (sizeof(chars) - 1)) /* else some would come more often */
                ret_id->c[i++] = chars[random[k] % (sizeof(chars) - 1)];
    }
    ret_id->c[LVM_ID_CHARS] = '\0';
}

/* Alignments need not be powers of two (stripes of three disks). */
static uint64_t round_down(uint64_t n, uint64_t to)
{
    return n - n % to;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return ash_div_up(n, to) * to;
}

struct layout {
    uint64_t size, limit; /* of the PV; what lies in front must end here */
    uint64_t align, offset, mda_bytes;
    const char *dev_name;
};

static int no_room(const struct layout *l, const char *what, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_LVM_PV_LAYOUT, l->dev_name,
                       "'%s': %s, with data aligned to %" PRIu64
                       " bytes, has no room in the %" PRIu64 " bytes before %" PRIu64,
                       l->dev_name, what, l->align, l->limit, l->limit);
}

/* 4.2: at the end of the device, grown by what the rounding takes. */
static int place_second(struct layout *l, struct lvm_extent_bytes *mda, struct ash_err *err)
{
    if (l->size < l->mda_bytes + l->align)
        return no_room(l, "a second metadata area", err);
    mda->offset = round_down(l->size - l->mda_bytes, l->align);
    mda->size = l->size - mda->offset;
    l->limit = ASH_MIN(l->limit, mda->offset);
    return 0;
}

/* 4.1 step 3: as much as was asked for, rounded up to the alignment; less where there is less. */
static int place_first(struct layout *l, bool is_fixed, struct lvm_extent_bytes *mda,
                       struct ash_err *err)
{
    uint64_t end = round_up(LVM_MDA_START + l->mda_bytes, l->align) + l->offset;
    if (end > l->limit && is_fixed)
        end = l->limit;
    else if (end > l->limit && l->limit > 2 * l->align + l->offset)
        end = round_down(l->limit - 2 * l->align - l->offset, l->align) + l->offset;
    if (end <= l->limit && end < LVM_MDA_START + LVM_MDA_BYTES_MIN)
        return ash_err_set(err, ASH_E_LVM_PV_LAYOUT, l->dev_name,
                           "Metadata area size too small: %" PRIu64 " bytes. It must be at least "
                           "%u bytes.",
                           end - ASH_MIN(end, (uint64_t)LVM_MDA_START), LVM_MDA_BYTES_MIN);
    if (end > l->limit)
        return no_room(l, "a metadata area", err);
    *mda = (struct lvm_extent_bytes){LVM_MDA_START, end - LVM_MDA_START};
    return 0;
}

static int check_opts(const struct lvm_pv_opts *opts, const struct layout *l, struct ash_err *err)
{
    if (l->size < LVM_PV_BYTES_MIN)
        return ash_err_set(err, ASH_E_LVM_PV_SIZE, l->dev_name,
                           "'%s': %" PRIu64 " bytes are less than the %u that a PV needs",
                           l->dev_name, l->size, LVM_PV_BYTES_MIN);
    if (l->offset > l->align || l->align % LVM_SECTOR_BYTES || l->offset % LVM_SECTOR_BYTES ||
        l->align > l->size || l->size - l->align < l->offset)
        return ash_err_set(err, ASH_E_LVM_PV_LAYOUT, l->dev_name,
                           "'%s': data cannot be aligned to %" PRIu64 " bytes at offset %" PRIu64,
                           l->dev_name, l->align, l->offset);
    return 0;
}

int lvm_pv_layout(const struct lvm_pv_opts *opts, uint64_t device_bytes, const char *dev_name,
                  struct lvm_label *ret_label, struct ash_err *err)
{
    struct lvm_label label = {
        .sector = opts->label_sector, .pv_id = opts->id, .ext_version = LVM_PV_EXT_VERSION};
    struct layout l = {.size = opts->size_bytes ? opts->size_bytes : device_bytes,
                       .align = opts->align_bytes ? ASH_MAX(opts->align_bytes, (uint64_t)PAGE_BYTES)
                                                  : LVM_DATA_ALIGN_BYTES,
                       .offset = opts->align_offset_bytes,
                       .mda_bytes = opts->mda_bytes ? opts->mda_bytes : LVM_MDA_BYTES,
                       .dev_name = dev_name};
    ASH_ASSERT(opts->n_mdas <= LVM_MDA_MAX && opts->label_sector < LVM_SCAN_SECTORS);
    l.size -= l.size % LVM_SECTOR_BYTES;
    l.limit = opts->pe_start_bytes ? opts->pe_start_bytes : l.size;
    int rc = check_opts(opts, &l, err);
    if (rc == 0 && opts->n_mdas == 2)
        rc = place_second(&l, &label.mdas[1], err);
    if (rc == 0 && opts->n_mdas)
        rc = place_first(&l, opts->pe_start_bytes != 0, &label.mdas[0], err);
    if (rc)
        return rc;
    uint64_t at = opts->n_mdas ? LVM_MDA_START + label.mdas[0].size : l.align + l.offset;
    if (opts->boot_bytes)
        label.boot = (struct lvm_extent_bytes){at, round_up(opts->boot_bytes, l.align)};
    at += label.boot.size;
    label.data_offset = opts->pe_start_bytes ? opts->pe_start_bytes : at;
    uint64_t end = opts->n_mdas == 2 ? label.mdas[1].offset : l.size;
    if (at > label.data_offset || label.data_offset >= end)
        return no_room(&l, "the data", err);
    label.n_mdas = opts->n_mdas;
    label.device_bytes = l.size;
    *ret_label = label;
    return 0;
}

uint32_t lvm_pe_count(const struct lvm_label *label, uint64_t size_bytes, uint32_t extent_sectors)
{
    uint64_t end = size_bytes;
    for (size_t i = 0; i < label->n_mdas; i++)
        if (label->mdas[i].offset >= label->data_offset)
            end = ASH_MIN(end, label->mdas[i].offset);
    if (end <= label->data_offset)
        return 0;
    uint64_t n = (end - label->data_offset) / ((uint64_t)extent_sectors * LVM_SECTOR_BYTES);
    return (uint32_t)ASH_MIN(n, (uint64_t)UINT32_MAX);
}

/* ---------------------------------------------------------------- writing */

static int failed(struct lvm_dev *dev, int rc, const char *what, uint64_t at, struct ash_err *err)
{
    return ash_err_set_rc(err, rc, ASH_E_BDEV_IO, dev->name, "'%s': writing %s at %" PRIu64 ": %s",
                          dev->name, what, at, ash_strerror(rc));
}

/* The begin of an area: an empty header, and zeroes where an old text might begin. */
static int write_empty_mda(struct lvm_dev *dev, struct lvm_mda *mda, struct ash_err *err)
{
    static const uint32_t n = LVM_MDA_ZEROED;
    uint8_t *head = rt_buf_get(n);
    if (!head)
        return ash_err_set(err, ASH_E_NO_MEMORY, dev->name, "no memory to write to '%s'",
                           dev->name);
    struct lvm_mda fresh = {.start = mda->start,
                            .size = mda->size,
                            .ignored = mda->ignored,
                            .has_header = true,
                            .header = {.start = mda->start, .size = mda->size}};
    fresh.header.slots[0].flags = mda->ignored ? LVM_LOCATION_IGNORED : 0;
    memset(head, 0, n);
    lvm_mda_build(&fresh.header, head);
    int rc = bdev_write(dev->ch, head, mda->start, n, 0);
    rt_buf_put(head, n);
    if (rc)
        return failed(dev, rc, "an empty metadata area", mda->start, err);
    *mda = fresh;
    return 0;
}

static int write_empty_mdas(struct lvm_dev *dev, struct ash_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < dev->label.n_mdas && rc == 0; i++)
        rc = write_empty_mda(dev, &dev->mdas[i], err);
    if (rc == 0 && (rc = bdev_flush(dev->ch)))
        rc = failed(dev, rc, "a metadata area", dev->mdas[0].start, err);
    return rc;
}

int lvm_mda_move(struct lvm_dev *dev, size_t idx, const struct lvm_extent_bytes *to,
                 struct ash_err *err)
{
    struct lvm_mda moved = {
        .start = to->offset, .size = to->size, .ignored = dev->mdas[idx].ignored};
    int rc = write_empty_mda(dev, &moved, err);
    if (rc == 0 && (rc = bdev_flush(dev->ch)))
        rc = failed(dev, rc, "a metadata area", to->offset, err);
    if (rc)
        return rc;
    dev->mdas[idx] = moved;
    dev->label.mdas[idx] = *to;
    return 0;
}

/* The sectors where labels may be: the PV's own in its place, no other; the rest zeroes or (keep)
 * as it was. label NULL: none. */
static int write_head(struct lvm_dev *dev, const struct lvm_label *label, bool keep,
                      struct ash_err *err)
{
    uint8_t head[LVM_SCAN_BYTES] = {0};
    int rc = keep ? bdev_read(dev->ch, head, 0, sizeof(head)) : 0;
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_BDEV_IO, dev->name, "'%s': reading the label: %s",
                              dev->name, ash_strerror(rc));
    for (unsigned n = 0; n < LVM_SCAN_SECTORS; n++)
        if (memcmp(head + n * LVM_SECTOR_BYTES, LVM_LABEL_ID, 8) == 0)
            memset(head + n * LVM_SECTOR_BYTES, 0, LVM_SECTOR_BYTES);
    if (label)
        lvm_label_build(label, head + label->sector * LVM_SECTOR_BYTES);
    rc = bdev_write(dev->ch, head, 0, sizeof(head), BDEV_FUA);
    return rc ? failed(dev, rc, "the label", 0, err) : 0;
}

int lvm_label_write(struct lvm_dev *dev, struct ash_err *err)
{
    uint8_t sector[LVM_SECTOR_BYTES];
    uint64_t at = (uint64_t)dev->label.sector * LVM_SECTOR_BYTES;
    lvm_label_build(&dev->label, sector);
    int rc = bdev_write(dev->ch, sector, at, sizeof(sector), BDEV_FUA);
    if (rc)
        return failed(dev, rc, "the label", at, err);
    dev->label.ext_version = LVM_PV_EXT_VERSION;
    return 0;
}

int lvm_label_wipe(struct lvm_dev *dev, struct ash_err *err)
{
    int rc = write_head(dev, NULL, true, err);
    if (rc == 0) {
        dev->has_label = false;
        dev->pv = NULL;
    }
    return rc;
}

int lvm_pv_create(struct lvm_dev *dev, const struct lvm_pv_opts *opts, struct ash_err *err)
{
    struct lvm_label label;
    int rc = lvm_pv_layout(opts, dev->size_bytes, dev->name, &label, err);
    if (rc)
        return rc;
    if (!label.pv_id.c[0])
        lvm_id_random(&label.pv_id);
    dev->label = label;
    dev->pv = NULL;
    dev->fault = ASH_OK;
    memset(dev->mdas, 0, sizeof(dev->mdas));
    for (size_t i = 0; i < label.n_mdas; i++)
        dev->mdas[i] = (struct lvm_mda){.start = label.mdas[i].offset,
                                        .size = label.mdas[i].size,
                                        .ignored = opts->mda_ignored};
    rc = write_empty_mdas(dev, err);
    if (rc == 0)
        rc = write_head(dev, &label, opts->keep_head, err);
    dev->has_label = rc == 0;
    return rc;
}

int lvm_pv_make_orphan(struct lvm_dev *dev, struct ash_err *err)
{
    int rc = write_empty_mdas(dev, err);
    if (rc)
        return rc;
    dev->label.ext_flags &= ~LVM_PV_EXT_USED;
    dev->pv = NULL;
    return lvm_label_write(dev, err);
}
