/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, metadata area headers and the arithmetic of the ring: from bytes and back, no I/O
 * (docs/spec/lvm2-format.md 2 to 6). */
#ifndef ASH_POOL_LVM_LABEL_H
#define ASH_POOL_LVM_LABEL_H

#include "base/err.h"
#include "pool/lvm/format.h"

/* A UUID: 32 characters, NUL. As text in groups of 6-4-4-4-4-4-6. */
struct lvm_id {
    char c[LVM_ID_CHARS + 1];
};
enum { LVM_ID_TEXT_BYTES = 39 };

bool lvm_id_valid(const char *chars);
/* With or without dashes. */
bool lvm_id_parse(const char *text, struct lvm_id *ret_id);
char *lvm_id_format(const struct lvm_id *id, char buf[LVM_ID_TEXT_BYTES]);
static inline bool lvm_id_equal(const struct lvm_id *a, const struct lvm_id *b)
{
    return strcmp(a->c, b->c) == 0;
}

/* The checksum of everything (2). Can be continued: crc of the bytes before, first LVM_CRC_INIT. */
uint32_t lvm_crc(uint32_t crc, const void *data, size_t n_bytes);

struct lvm_extent_bytes {
    uint64_t offset, size;
};

/* What a label says. */
struct lvm_label {
    uint32_t sector;
    struct lvm_id pv_id;
    uint64_t device_bytes;
    uint64_t data_offset, data_size; /* size 0: to the end of the device; offset 0: none */
    struct lvm_extent_bytes mdas[LVM_MDA_MAX];
    size_t n_mdas;
    uint32_t ext_version, ext_flags;
    struct lvm_extent_bytes boot; /* size 0: none */
};

/* Find the label in the first LVM_SCAN_BYTES of a device. 0; -ENOENT LVM_NO_LABEL; or -EINVAL with
 * the fault of the one label there is (LVM_LABEL_*). The first sector with a valid label counts. */
int lvm_label_parse(const void *head, size_t n_bytes, uint64_t device_bytes, const char *dev_name,
                    struct lvm_label *ret_label, struct ash_err *err);
/* The sector that holds this label. */
void lvm_label_build(const struct lvm_label *label, uint8_t sector[LVM_SECTOR_BYTES]);

struct lvm_location {
    uint64_t offset, size; /* both 0: no metadata */
    uint32_t crc, flags;
};

struct lvm_mda_header {
    uint64_t start, size;
    struct lvm_location slots[2];
};

/* Read the header of the area that the label says is at start. -EINVAL LVM_MDA_*. */
int lvm_mda_parse(const void *sector, uint64_t start, uint64_t size, const char *dev_name,
                  struct lvm_mda_header *ret_header, struct ash_err *err);
void lvm_mda_build(const struct lvm_mda_header *header, uint8_t sector[LVM_SECTOR_BYTES]);
/* Can this location be of a text in an area of that size? -EINVAL LVM_MDA_LOCATION. */
int lvm_location_check(const struct lvm_location *loc, uint64_t mda_bytes, const char *dev_name,
                       struct ash_err *err);
/* Where the next text of n_bytes (NUL included) goes. old: slot 0, empty when there is none.
 * -ENOSPC LVM_MDA_FULL. */
int lvm_ring_next(const struct lvm_location *old, uint64_t mda_bytes, uint64_t n_bytes,
                  const char *dev_name, uint64_t *ret_offset, struct ash_err *err);
/* The longest text that fits, and what a report calls free beside one of n_bytes. */
uint64_t lvm_ring_text_max(uint64_t mda_bytes);
uint64_t lvm_ring_free(uint64_t mda_bytes, uint64_t n_bytes);

#endif
