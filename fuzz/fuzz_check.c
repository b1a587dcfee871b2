/* SPDX-License-Identifier: Apache-2.0 */
/* The checker over arbitrary disks: whatever the bytes are, it returns; repair too, and what a
 * repair leaves can be checked again.
 *
 * Input, small so that changes matter: one byte of options, the first 96 bytes of the super block,
 * then records of {le16 page of the device, le16 n, le32 next, n bytes}. Unless told otherwise
 * checksums are made good. seeds_check writes inputs of this form. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/lvs/check.h"

#define DEVICE_BYTES ((uint64_t)64 << 20)
#define KEPT_BYTES   ((size_t)512 << 10) /* the rest of the device reads as zeroes */
#define SUPER_BYTES  96u

enum {
    KEEP_SUPER_CRC = 1,
    KEEP_PAGE_CRCS = 2,
    REPAIR = 4,
    QUICK = 8,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int mem_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    if (offset > DEVICE_BYTES || n_bytes > DEVICE_BYTES - offset)
        abort(); /* the checker must stay inside */
    size_t n = offset < KEPT_BYTES ? ASH_MIN(n_bytes, KEPT_BYTES - (size_t)offset) : 0;
    if (n)
        memcpy(buf, (uint8_t *)ctx + offset, n);
    memset((uint8_t *)buf + n, 0, n_bytes - n);
    return 0;
}

static int mem_write(void *ctx, uint64_t offset, const void *buf, size_t n_bytes)
{
    if (offset > DEVICE_BYTES || n_bytes > DEVICE_BYTES - offset)
        abort();
    if (offset < KEPT_BYTES)
        memcpy((uint8_t *)ctx + offset, buf, ASH_MIN(n_bytes, KEPT_BYTES - (size_t)offset));
    return 0;
}

static int mem_flush(void *ctx)
{
    return 0;
}

static void unfold(uint8_t *disk, const uint8_t *data, size_t n_bytes, uint8_t options)
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
            if (!(options & KEEP_PAGE_CRCS)) {
                struct le32 crc = ash_le32(ash_crc32c(page, LVS_CRC_BYTES));
                memcpy(page + LVS_CRC_OFFSET, &crc, sizeof(crc));
            }
        }
        pos += 8 + n;
    }
    if (!(options & KEEP_SUPER_CRC)) {
        struct le32 crc = ash_le32(ash_crc32c(disk, LVS_CRC_BYTES));
        memcpy(disk + LVS_CRC_OFFSET, &crc, sizeof(crc));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 1)
        return 0;
    uint8_t *disk = calloc(1, KEPT_BYTES);
    struct lvs_check_dev dev = {mem_read, mem_write, mem_flush, NULL, DEVICE_BYTES, 512, disk};
    struct lvs_check_opts opts = {.quick = data[0] & QUICK};
    struct lvs_report r;
    struct ash_buf text = {0};

    unfold(disk, data + 1, n_bytes - 1, data[0]);
    int rc = lvs_check(&dev, &opts, &r);
    if (rc != 0 && rc != -ENOMEM)
        abort();
    if (r.readable && r.free_clusters > r.data_clusters)
        abort();
    lvs_report_text(&r, &text);
    ash_buf_free(&text);
    lvs_report_fini(&r);
    if (data[0] & REPAIR) {
        rc = lvs_check_repair(&dev, &opts, &r);
        if (rc != 0 && rc != -ENOMEM && rc != -ENOSPC)
            abort();
        lvs_report_fini(&r);
    }
    free(disk);
    return 0;
}
