/* SPDX-License-Identifier: Apache-2.0 */
/* The checker over arbitrary disks: whatever the bytes are, it returns; repair too, and what a
 * repair leaves can be checked again.
 * The input is described in fuzz_disk.h. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_disk.h"
#include "pool/lvs/check.h"

enum {
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 1)
        return 0;
    uint8_t *disk = calloc(1, KEPT_BYTES);
    struct lvs_check_dev dev = {mem_read, mem_write, mem_flush, NULL, DEVICE_BYTES, 512, disk};
    struct lvs_check_opts opts = {.quick = data[0] & QUICK};
    struct lvs_report r;
    struct ash_buf text = {0};

    fuzz_unfold(disk, data + 1, n_bytes - 1, data[0]);
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
