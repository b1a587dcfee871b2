/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, metadata area headers and the ring (docs/spec/lvm2-format.md 2 to 6). Everything here
 * takes bytes from a disk: nothing is believed before it was checked, and no check is an assertion.
 */
#include "pool/lvm/label.h"

#include <inttypes.h>
#include <isa-l/crc.h>
#include <string.h>

#include "base/assert.h"

/* ------------------------------------------------------------------- ids */

bool lvm_id_valid(const char *chars)
{
    size_t n = strspn(chars, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!#");
    return n == LVM_ID_CHARS && chars[n] == '\0';
}

bool lvm_id_parse(const char *text, struct lvm_id *ret_id)
{
    struct lvm_id id = {""};
    size_t n = 0;
    for (; *text; text++) {
        if (*text == '-')
            continue;
        if (n == LVM_ID_CHARS)
            return false;
        id.c[n++] = *text;
    }
    if (!lvm_id_valid(id.c))
        return false;
    *ret_id = id;
    return true;
}

char *lvm_id_format(const struct lvm_id *id, char buf[LVM_ID_TEXT_BYTES])
{
    static const uint8_t groups[] = {6, 4, 4, 4, 4, 4, 6};
    const char *from = id->c;
    char *to = buf;
    for (size_t g = 0; g < ASH_N_ELEMS(groups); g++) {
        memcpy(to, from, groups[g]);
        to += groups[g];
        from += groups[g];
        *to++ = '-';
    }
    to[-1] = '\0';
    return buf;
}

uint32_t lvm_crc(uint32_t crc, const void *data, size_t n_bytes)
{
    return ~crc32_gzip_refl(~crc, data, n_bytes);
}

/* ---------------------------------------------------------------- labels */

/* One list of areas, from `at` on: at most n_max are kept, more are an error (there is no use for
 * them). Returns the first byte behind its end, 0 when the end is not in the sector. */
static size_t parse_areas(const uint8_t *sector, size_t at, struct lvm_extent_bytes *ret_areas,
                          size_t n_max, size_t *ret_n)
{
    *ret_n = 0;
    for (;; at += sizeof(struct lvm_area_disk)) {
        struct lvm_area_disk area;
        if (at + sizeof(area) > LVM_SECTOR_BYTES)
            return 0;
        memcpy(&area, sector + at, sizeof(area));
        struct lvm_extent_bytes e = {ash_le64_get(area.offset), ash_le64_get(area.size)};
        if (e.offset == 0)
            return at + sizeof(area);
        if (*ret_n < n_max)
            ret_areas[*ret_n] = e;
        ++*ret_n;
    }
}

static bool inside(const struct lvm_extent_bytes *e, uint64_t device_bytes)
{
    return e->offset < device_bytes && e->size <= device_bytes - e->offset;
}

static int parse_pv_header(const uint8_t *sector, size_t at, uint64_t device_bytes,
                           const char *dev_name, struct lvm_label *label, struct ash_err *err)
{
    struct lvm_pv_header_disk pv;
    struct lvm_pv_ext_disk ext;
    struct lvm_extent_bytes data[1] = {{0, 0}}, boot[1] = {{0, 0}};
    size_t n_data, n_boot = 0;
    if (at < sizeof(struct lvm_label_disk) || at > LVM_SECTOR_BYTES - sizeof(pv))
        return ash_err_set(err, ASH_E_LVM_LABEL_OFFSET, dev_name,
                           "'%s': the label places the PV header at byte %zu of its sector",
                           dev_name, at);
    memcpy(&pv, sector + at, sizeof(pv));
    memcpy(label->pv_id.c, pv.uuid, LVM_ID_CHARS);
    label->pv_id.c[LVM_ID_CHARS] = '\0';
    if (!lvm_id_valid(label->pv_id.c))
        return ash_err_set(err, ASH_E_LVM_PV_UUID, dev_name,
                           "'%s': the label holds no valid PV UUID", dev_name);
    label->device_bytes = ash_le64_get(pv.device_bytes);
    at = parse_areas(sector, at + sizeof(pv), data, 1, &n_data);
    if (at)
        at = parse_areas(sector, at, label->mdas, LVM_MDA_MAX, &label->n_mdas);
    if (!at || label->n_mdas > LVM_MDA_MAX)
        return ash_err_set(err, ASH_E_LVM_PV_AREAS, dev_name, "'%s': the label's lists of areas %s",
                           dev_name, at ? "hold more metadata areas than two" : "have no end");
    for (size_t i = 0; i < label->n_mdas; i++)
        if (!inside(&label->mdas[i], device_bytes) || label->mdas[i].size < LVM_SECTOR_BYTES)
            return ash_err_set(err, ASH_E_LVM_PV_AREAS, dev_name,
                               "'%s': metadata area %" PRIu64 "+%" PRIu64
                               " does not lie on the device of %" PRIu64 " bytes",
                               dev_name, label->mdas[i].offset, label->mdas[i].size, device_bytes);
    label->data_offset = data[0].offset;
    label->data_size = data[0].size;
    if (at + sizeof(ext) > LVM_SECTOR_BYTES)
        return 0; /* an old label, without extension */
    memcpy(&ext, sector + at, sizeof(ext));
    label->ext_version = ash_le32_get(ext.version);
    if (label->ext_version == 0)
        return 0;
    if (label->ext_version >= 2)
        label->ext_flags = ash_le32_get(ext.flags);
    if (!parse_areas(sector, at + sizeof(ext), boot, 1, &n_boot))
        return ash_err_set(err, ASH_E_LVM_PV_AREAS, dev_name,
                           "'%s': the label's list of bootloader areas has no end", dev_name);
    label->boot = boot[0];
    return 0;
}

static int parse_label(const uint8_t *sector, uint32_t n, uint64_t device_bytes,
                       const char *dev_name, struct lvm_label *ret_label, struct ash_err *err)
{
    struct lvm_label_disk disk;
    memcpy(&disk, sector, sizeof(disk));
    struct lvm_label label = {.sector = n};
    if (ash_le64_get(disk.sector) != n)
        return ash_err_set(err, ASH_E_LVM_LABEL_SECTOR, dev_name,
                           "'%s': the label in sector %u says it is in sector %" PRIu64, dev_name,
                           n, ash_le64_get(disk.sector));
    uint32_t crc =
        lvm_crc(LVM_CRC_INIT, sector + LVM_LABEL_CRC_FROM, LVM_SECTOR_BYTES - LVM_LABEL_CRC_FROM);
    if (crc != ash_le32_get(disk.crc))
        return ash_err_set(err, ASH_E_LVM_LABEL_CRC, dev_name,
                           "'%s': checksum of the label is %08x, not %08x", dev_name,
                           ash_le32_get(disk.crc), crc);
    if (memcmp(disk.type, LVM_LABEL_TYPE, sizeof(disk.type)) != 0)
        return ash_err_set(err, ASH_E_LVM_LABEL_TYPE, dev_name,
                           "'%s': the label is of another format than LVM2", dev_name);
    int rc =
        parse_pv_header(sector, ash_le32_get(disk.offset), device_bytes, dev_name, &label, err);
    if (rc == 0)
        *ret_label = label;
    return rc;
}

int lvm_label_parse(const void *head, size_t n_bytes, uint64_t device_bytes, const char *dev_name,
                    struct lvm_label *ret_label, struct ash_err *err)
{
    struct ash_err first = {.reason = ASH_OK};
    for (uint32_t n = 0; n < LVM_SCAN_SECTORS && (n + 1) * LVM_SECTOR_BYTES <= n_bytes; n++) {
        const uint8_t *sector = (const uint8_t *)head + n * LVM_SECTOR_BYTES;
        if (memcmp(sector, LVM_LABEL_ID, 8) == 0 &&
            parse_label(sector, n, device_bytes, dev_name, ret_label, &first) == 0)
            return 0;
    }
    if (first.reason == ASH_OK)
        return ash_err_set(err, ASH_E_LVM_NO_LABEL, dev_name, "'%s': no LVM2 label", dev_name);
    return ash_err_set_rc(err, first.rc, first.reason, dev_name, "%s", first.text);
}

static size_t build_areas(uint8_t *sector, size_t at, const struct lvm_extent_bytes *areas,
                          size_t n)
{
    for (size_t i = 0; i < n; i++, at += sizeof(struct lvm_area_disk)) {
        struct lvm_area_disk area = {ash_le64(areas[i].offset), ash_le64(areas[i].size)};
        memcpy(sector + at, &area, sizeof(area));
    }
    return at + sizeof(struct lvm_area_disk); /* the end: zeroes */
}

void lvm_label_build(const struct lvm_label *label, uint8_t sector[LVM_SECTOR_BYTES])
{
    struct lvm_label_disk disk = {.sector = ash_le64(label->sector),
                                  .offset = ash_le32(LVM_LABEL_PV)};
    struct lvm_pv_header_disk pv = {.device_bytes = ash_le64(label->device_bytes)};
    struct lvm_pv_ext_disk ext = {ash_le32(LVM_PV_EXT_VERSION), ash_le32(label->ext_flags)};
    struct lvm_extent_bytes data = {label->data_offset, label->data_size};
    memset(sector, 0, LVM_SECTOR_BYTES);
    memcpy(disk.id, LVM_LABEL_ID, sizeof(disk.id));
    memcpy(disk.type, LVM_LABEL_TYPE, sizeof(disk.type));
    memcpy(pv.uuid, label->pv_id.c, sizeof(pv.uuid));
    memcpy(sector + LVM_LABEL_PV, &pv, sizeof(pv));
    size_t at = build_areas(sector, LVM_LABEL_PV + sizeof(pv), &data, data.offset != 0);
    at = build_areas(sector, at, label->mdas, label->n_mdas);
    memcpy(sector + at, &ext, sizeof(ext));
    (void)build_areas(sector, at + sizeof(ext), &label->boot, label->boot.size != 0);
    memcpy(sector, &disk, sizeof(disk));
    disk.crc = ash_le32(
        lvm_crc(LVM_CRC_INIT, sector + LVM_LABEL_CRC_FROM, LVM_SECTOR_BYTES - LVM_LABEL_CRC_FROM));
    memcpy(sector, &disk, sizeof(disk));
}

/* ---------------------------------------------------------- area headers */

int lvm_mda_parse(const void *sector, uint64_t start, uint64_t size, const char *dev_name,
                  struct lvm_mda_header *ret_header, struct ash_err *err)
{
    struct lvm_mda_disk disk;
    memcpy(&disk, sector, sizeof(disk));
    uint32_t crc = lvm_crc(LVM_CRC_INIT, (const uint8_t *)sector + 4, sizeof(disk) - 4);
#define BAD(reason, ...) return ash_err_set(err, ASH_E_##reason, dev_name, __VA_ARGS__)
    if (crc != ash_le32_get(disk.crc))
        BAD(LVM_MDA_CRC,
            "'%s': checksum of the metadata area header at %" PRIu64 " is %08x, not %08x", dev_name,
            start, ash_le32_get(disk.crc), crc);
    if (memcmp(disk.magic, LVM_MDA_MAGIC, sizeof(disk.magic)) != 0)
        BAD(LVM_MDA_MAGIC, "'%s': the metadata area header at %" PRIu64 " has no magic number",
            dev_name, start);
    if (ash_le32_get(disk.version) != LVM_MDA_VERSION)
        BAD(LVM_MDA_VERSION, "'%s': the metadata area at %" PRIu64 " is of version %u, not %u",
            dev_name, start, ash_le32_get(disk.version), LVM_MDA_VERSION);
    if (ash_le64_get(disk.start) != start)
        BAD(LVM_MDA_START, "'%s': the metadata area header at %" PRIu64 " says it is at %" PRIu64,
            dev_name, start, ash_le64_get(disk.start));
    if (ash_le64_get(disk.size) < 2 * LVM_SECTOR_BYTES || ash_le64_get(disk.size) > size ||
        ash_le64_get(disk.size) % LVM_SECTOR_BYTES)
        BAD(LVM_MDA_SIZE,
            "'%s': the metadata area at %" PRIu64 " says it has %" PRIu64
            " bytes; the label gives it %" PRIu64,
            dev_name, start, ash_le64_get(disk.size), size);
#undef BAD
    ret_header->start = start;
    ret_header->size = ash_le64_get(disk.size);
    for (size_t i = 0; i < ASH_N_ELEMS(disk.slots); i++)
        ret_header->slots[i] = (struct lvm_location){
            ash_le64_get(disk.slots[i].offset), ash_le64_get(disk.slots[i].size),
            ash_le32_get(disk.slots[i].crc), ash_le32_get(disk.slots[i].flags)};
    return 0;
}

void lvm_mda_build(const struct lvm_mda_header *header, uint8_t sector[LVM_SECTOR_BYTES])
{
    struct lvm_mda_disk disk = {.version = ash_le32(LVM_MDA_VERSION),
                                .start = ash_le64(header->start),
                                .size = ash_le64(header->size)};
    memcpy(disk.magic, LVM_MDA_MAGIC, sizeof(disk.magic));
    for (size_t i = 0; i < ASH_N_ELEMS(disk.slots); i++)
        disk.slots[i] = (struct lvm_location_disk){
            ash_le64(header->slots[i].offset), ash_le64(header->slots[i].size),
            ash_le32(header->slots[i].crc), ash_le32(header->slots[i].flags)};
    memcpy(sector, &disk, sizeof(disk));
    disk.crc = ash_le32(lvm_crc(LVM_CRC_INIT, sector + 4, sizeof(disk) - 4));
    memcpy(sector, &disk, sizeof(disk));
}

/* -------------------------------------------------------------- the ring */

int lvm_location_check(const struct lvm_location *loc, uint64_t mda_bytes, const char *dev_name,
                       struct ash_err *err)
{
    if (loc->offset < LVM_SECTOR_BYTES || loc->offset >= mda_bytes || loc->size == 0 ||
        loc->size > mda_bytes - LVM_SECTOR_BYTES)
        return ash_err_set(err, ASH_E_LVM_MDA_LOCATION, dev_name,
                           "'%s': metadata of %" PRIu64 " bytes at %" PRIu64
                           " cannot be in an area of %" PRIu64,
                           dev_name, loc->size, loc->offset, mda_bytes);
    return 0;
}

uint64_t lvm_ring_text_max(uint64_t mda_bytes)
{
    uint64_t half = (mda_bytes - LVM_SECTOR_BYTES) / 2;
    return half < LVM_SECTOR_BYTES ? 0 : half - LVM_SECTOR_BYTES;
}

uint64_t lvm_ring_free(uint64_t mda_bytes, uint64_t n_bytes)
{
    uint64_t max = lvm_ring_text_max(mda_bytes);
    return n_bytes >= max ? 0 : ash_align_down(max - n_bytes, LVM_SECTOR_BYTES);
}

/* Does [a, a+n) around the ring touch [b, b+m)? Both as spans of the ring behind the header. */
static bool overlap(uint64_t a, uint64_t n, uint64_t b, uint64_t m, uint64_t ring)
{
    uint64_t from_a = (b + ring - a) % ring, from_b = (a + ring - b) % ring;
    return from_a < n || from_b < m;
}

int lvm_ring_next(const struct lvm_location *old, uint64_t mda_bytes, uint64_t n_bytes,
                  const char *dev_name, uint64_t *ret_offset, struct ash_err *err)
{
    const uint64_t ring = mda_bytes - LVM_SECTOR_BYTES;
    uint64_t start = LVM_SECTOR_BYTES;
    if (n_bytes > lvm_ring_text_max(mda_bytes))
        goto full;
    if (old->size) {
        /* The byte behind the old text, around the end when it wraps. */
        uint64_t last = old->offset + old->size - 1;
        if (last >= mda_bytes)
            last = last - mda_bytes + LVM_SECTOR_BYTES;
        if (mda_bytes - last >= LVM_SECTOR_BYTES)
            start = ash_align_up(last + 1, LVM_SECTOR_BYTES);
        if (start > mda_bytes - LVM_SECTOR_BYTES)
            start = LVM_SECTOR_BYTES;
        /* Whole sectors are written: the old text's last one must not be among them. */
        uint64_t n = ash_align_up(n_bytes, LVM_SECTOR_BYTES);
        if (overlap(start - LVM_SECTOR_BYTES, n, old->offset - LVM_SECTOR_BYTES, old->size, ring))
            goto full;
    }
    *ret_offset = start;
    return 0;
full:
    return ash_err_set(err, ASH_E_LVM_MDA_FULL, dev_name,
                       "'%s': metadata of %" PRIu64 " bytes does not fit in an area of %" PRIu64
                       " (at most %" PRIu64 ")",
                       dev_name, n_bytes, mda_bytes, lvm_ring_text_max(mda_bytes));
}
