/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of fuzz_check and fuzz_load, from an input small enough that changes matter: one byte
 * of options, the first 96 bytes of the super block, then records of {le16 page of the device,
 * le16 n, le32 next, n bytes}. Unless told otherwise checksums are made good. seeds_check writes
 * inputs of this form. */
#ifndef ASH_FUZZ_DISK_H
#define ASH_FUZZ_DISK_H

#include <stdint.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/lvs/format.h"

#define DEVICE_BYTES ((uint64_t)64 << 20)
#define KEPT_BYTES   ((size_t)512 << 10) /* the rest of the device reads as zeroes */
#define SUPER_BYTES  96u

enum {
    KEEP_SUPER_CRC = 1,
    KEEP_PAGE_CRCS = 2,
};

static void fuzz_seal(uint8_t *page)
{
    struct le32 crc = ash_le32(ash_crc32c(page, LVS_CRC_BYTES));
    memcpy(page + LVS_CRC_OFFSET, &crc, sizeof(crc));
}

/* data: the input behind its options; disk: KEPT_BYTES of zeroes. */
static inline void fuzz_unfold(uint8_t *disk, const uint8_t *data, size_t n_bytes, uint8_t options)
{
    size_t pos = ASH_MIN(n_bytes, (size_t)SUPER_BYTES);

    memcpy(disk, data, pos);
    while (n_bytes - pos >= 8) {
        struct le16 head[2];
        memcpy(head, data + pos, 4);
        uint8_t *page = disk + (ash_le16_get(head[0]) % (KEPT_BYTES / LVS_PAGE_BYTES)) * 4096;
        size_t n = ASH_MIN((size_t)ash_le16_get(head[1]), (size_t)4088);
        n = ASH_MIN(n, n_bytes - pos - 8);
        if (page != disk) {
            memcpy(page + 4088, data + pos + 4, 4);
            memcpy(page, data + pos + 8, n);
            if (!(options & KEEP_PAGE_CRCS))
                fuzz_seal(page);
        }
        pos += 8 + n;
    }
    if (!(options & KEEP_SUPER_CRC))
        fuzz_seal(disk);
}

#endif
