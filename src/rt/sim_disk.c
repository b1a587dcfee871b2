/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated disks: an image, what it can do, and the log of changes for the crash explorer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rt/sim_internal.h"

#define HANGS   INT64_MIN
#define HANG_NS 1000000000u

struct rt_sim_disk *rt_sim_disk_new(uint64_t size_bytes, uint32_t logical_block_bytes)
{
    ASH_ASSERT(ash_is_pow2(logical_block_bytes));
    struct rt_sim_disk *disk = calloc(1, sizeof(*disk));
    if (!disk)
        return NULL;
    disk->image = rt_sim_image_new(size_bytes);
    if (!disk->image) {
        free(disk);
        return NULL;
    }
    disk->n_refs = 1;
    disk->logical_block_bytes = logical_block_bytes;
    disk->can_punch = disk->can_zero = true;
    return disk;
}

void rt_sim_disk_put(struct rt_sim_disk *disk)
{
    if (!disk || --disk->n_refs > 0)
        return;
    rt_sim_image_free(disk->image);
    free(disk);
}

void rt_sim_disk_set_device(struct rt_sim_disk *disk, bool is_device)
{
    disk->is_device = is_device;
}

void rt_sim_disk_set_features(struct rt_sim_disk *disk, bool can_punch, bool can_zero)
{
    disk->can_punch = can_punch;
    disk->can_zero = can_zero;
}

void rt_sim_disk_set_trim(struct rt_sim_disk *disk, enum rt_sim_trim trim)
{
    disk->trim = trim;
}

void rt_sim_disk_set_block(struct rt_sim_disk *disk, uint32_t logical_block_bytes)
{
    ASH_ASSERT(ash_is_pow2(logical_block_bytes));
    disk->logical_block_bytes = logical_block_bytes;
}

void rt_sim_disk_resize(struct rt_sim_disk *disk, uint64_t size_bytes)
{
    int rc = rt_sim_image_resize(disk->image, size_bytes);
    ASH_ASSERT(rc == 0);
}

uint64_t rt_sim_disk_size(const struct rt_sim_disk *disk)
{
    return rt_sim_image_size(disk->image);
}

void rt_sim_disk_peek(const struct rt_sim_disk *disk, uint64_t offset, void *buf, uint64_t n_bytes)
{
    rt_sim_image_read(disk->image, offset, buf, n_bytes);
}

int rt_sim_disk_poke(struct rt_sim_disk *disk, uint64_t offset, const void *data, uint64_t n_bytes)
{
    return rt_sim_image_write(disk->image, offset, data, n_bytes);
}

const struct rt_sim_image *rt_sim_disk_image(const struct rt_sim_disk *disk)
{
    return disk->image;
}

void rt_sim_disk_give_image(struct rt_sim_disk *disk, struct rt_sim_image *image)
{
    rt_sim_image_free(disk->image);
    disk->image = image;
}

/* ------------------------------------------------------------------- the log */

void rt_sim_disk_set_log(struct rt_sim_disk *disk, struct rt_sim_log *log)
{
    disk->log = log;
    disk->n_durable = log ? rt_sim_log_n_durable(log, disk, log->n_entries) : 0;
}

void rt_sim_log_free(struct rt_sim_log *log)
{
    for (size_t i = 0; i < log->n_entries; i++)
        free(log->entries[i].data);
    free(log->entries);
    *log = (struct rt_sim_log){0};
}

size_t rt_sim_log_n_durable(const struct rt_sim_log *log, const struct rt_sim_disk *disk, size_t n)
{
    ASH_ASSERT(n <= log->n_entries);
    size_t n_durable = 0;
    for (size_t i = 0; i < n; i++) {
        const struct rt_sim_log_entry *e = &log->entries[i];
        if (e->kind == RT_OP_FSYNC && e->disk == disk)
            n_durable = ASH_MAX(n_durable, e->n_before_submit);
    }
    return n_durable;
}

bool rt_sim_log_is_durable(const struct rt_sim_log *log, size_t n, size_t i)
{
    const struct rt_sim_log_entry *e = &log->entries[i];
    return i < n && (e->is_fua || i < rt_sim_log_n_durable(log, e->disk, n));
}

bool rt_sim_log_is_possible(const struct rt_sim_log *log, size_t n, size_t i)
{
    return i < n || log->entries[i].n_before_submit <= n;
}

/* Zeroes, or what an unmap leaves. */
static int trim_image(struct rt_sim_image *image, enum rt_sim_trim trim, uint64_t offset,
                      uint64_t n_bytes)
{
    if (trim == RT_SIM_TRIM_KEEPS)
        return 0;
    if (trim == RT_SIM_TRIM_ZEROES)
        return rt_sim_image_zero(image, offset, n_bytes);
    uint8_t garbage[512];
    int rc = 0;
    for (uint64_t n; n_bytes && rc == 0; offset += n, n_bytes -= n) {
        n = ASH_MIN(n_bytes, sizeof(garbage));
        memset(garbage, 0xd0 + (int)(offset / sizeof(garbage) % 16), sizeof(garbage));
        rc = rt_sim_image_write(image, offset, garbage, n);
    }
    return rc;
}

int rt_sim_log_apply(const struct rt_sim_log *log, size_t i, struct rt_sim_image *image)
{
    const struct rt_sim_log_entry *e = &log->entries[i];
    if (e->kind == RT_OP_FSYNC)
        return 0;
    if (e->offset + e->length > rt_sim_image_size(image)) {
        int rc = rt_sim_image_resize(image, e->offset + e->length);
        if (rc)
            return rc;
    }
    if (e->kind == RT_OP_WRITE)
        return rt_sim_image_write(image, e->offset, e->data, e->length);
    return trim_image(image, e->trim, e->offset, e->length);
}

static void log_op(const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct rt_sim_log *log = disk->log;
    if (!log || op->kind == RT_OP_READ)
        return;
    if (log->n_entries == log->n_room) {
        size_t n_room = log->n_room ? 2 * log->n_room : 64;
        struct rt_sim_log_entry *more = realloc(log->entries, n_room * sizeof(*more));
        if (!more) {
            log->failed = true;
            return;
        }
        log->entries = more;
        log->n_room = n_room;
    }
    struct rt_sim_log_entry e = {
        .kind = op->kind,
        .is_fua = op->kind == RT_OP_WRITE && (op->flags & RT_OP_FUA),
        .trim = disk->is_device && op->kind == RT_OP_PUNCH ? (uint8_t)disk->trim : 0,
        .disk = disk,
        .offset = op->kind == RT_OP_FSYNC ? 0 : op->offset,
        .length = op->kind == RT_OP_FSYNC ? 0 : op->length,
        .submit_seq = op->backend[SIM_OP_SEQ],
        .n_before_submit = (size_t)op->backend[SIM_OP_LOG_AT],
        .n_durable_before_submit = (size_t)op->backend[SIM_OP_DURABLE],
    };
    if (op->kind == RT_OP_WRITE) {
        e.data = malloc(op->length);
        if (!e.data) {
            log->failed = true;
            return;
        }
        char *to = e.data;
        for (uint32_t i = 0; i < op->n_iov; i++) {
            memcpy(to, op->iov[i].iov_base, op->iov[i].iov_len);
            to += op->iov[i].iov_len;
        }
    }
    if (e.kind == RT_OP_FSYNC)
        disk->n_durable = ASH_MAX(disk->n_durable, e.n_before_submit);
    log->entries[log->n_entries++] = e;
}

/* ------------------------------------------------------------------------ ops */

static int64_t do_read(const struct rt_op *op, const struct rt_sim_disk *disk)
{
    uint64_t size = rt_sim_image_size(disk->image), at = op->offset, n_done = 0;
    for (uint32_t i = 0; i < op->n_iov && at < size; i++) {
        uint64_t n = ASH_MIN((uint64_t)op->iov[i].iov_len, size - at);
        rt_sim_image_read(disk->image, at, op->iov[i].iov_base, n);
        at += n;
        n_done += n;
    }
    return (int64_t)n_done;
}

static int64_t do_write(const struct rt_op *op, struct rt_sim_disk *disk)
{
    uint64_t at = op->offset;
    if (op->length > INT64_MAX - at)
        return -EFBIG;
    if (at + op->length > rt_sim_image_size(disk->image)) {
        if (disk->is_device)
            return -ENOSPC;
        if (rt_sim_image_resize(disk->image, at + op->length))
            return -ENOSPC;
    }
    for (uint32_t i = 0; i < op->n_iov; i++) {
        if (rt_sim_image_write(disk->image, at, op->iov[i].iov_base, op->iov[i].iov_len))
            return -ENOMEM;
        at += op->iov[i].iov_len;
    }
    return (int64_t)op->length;
}

static int64_t do_zero(const struct rt_op *op, struct rt_sim_disk *disk)
{
    if (op->kind == RT_OP_PUNCH && !disk->can_punch)
        return -EOPNOTSUPP;
    uint64_t size = rt_sim_image_size(disk->image);
    if (op->offset >= size)
        return 0;
    enum rt_sim_trim trim =
        disk->is_device && op->kind == RT_OP_PUNCH ? disk->trim : RT_SIM_TRIM_ZEROES;
    return trim_image(disk->image, trim, op->offset, ASH_MIN(op->length, size - op->offset));
}

/* As direct I/O of the kernel would refuse it. */
static bool is_misaligned(const struct rt_op *op)
{
    uint64_t mask = op->file->sim->disk->logical_block_bytes - 1;
    if (!op->file->is_direct || (op->kind != RT_OP_READ && op->kind != RT_OP_WRITE))
        return false;
    bool bad = op->offset & mask;
    for (uint32_t i = 0; i < op->n_iov; i++)
        bad |= ((uintptr_t)op->iov[i].iov_base & mask) || (op->iov[i].iov_len & mask);
    return bad;
}

static int64_t take_effect(struct rt_op *op)
{
    struct rt_sim_disk *disk = op->file->sim->disk;
    const struct rt_sim_hooks *hooks = &op->reactor->rt->sim->hooks;
    if (op->kind != RT_OP_READ && op->kind != RT_OP_FSYNC && (op->file->flags & RT_FILE_RDONLY))
        return -EBADF;
    if (is_misaligned(op))
        return -EINVAL;
    int rc = hooks->fail ? hooks->fail(hooks->arg, op, disk) : 0;
    if (rc == RT_SIM_HANG)
        return HANGS;
    if (rc)
        return rc;
    int64_t res = 0;
    switch (op->kind) {
    case RT_OP_READ:
        return do_read(op, disk);
    case RT_OP_WRITE:
        res = do_write(op, disk);
        break;
    case RT_OP_PUNCH:
    case RT_OP_ZERO:
        res = do_zero(op, disk);
        break;
    default:
        break;
    }
    if (res >= 0)
        log_op(op, disk);
    return res;
}

static void io_fire(struct rt_timer *timer)
{
    struct rt_op *op = (struct rt_op *)(void *)((char *)timer - offsetof(struct rt_op, backend));
    int64_t res = take_effect(op);
    if (res == HANGS)
        rt_timer_start_on(op->reactor, timer, rt_sim_now(op->reactor->rt) + HANG_NS);
    else
        rt_op_finish(op, res);
}

void rt_sim_file_submit(struct rt_op *op)
{
    const struct rt_sim_disk *disk = op->file->sim->disk;
    op->backend[SIM_OP_SEQ] = op->reactor->rt->sim->submit_seq++;
    op->backend[SIM_OP_LOG_AT] = disk->log ? disk->log->n_entries : 0;
    op->backend[SIM_OP_DURABLE] = disk->n_durable;
    rt_sim_delay(op, io_fire, 1);
}
