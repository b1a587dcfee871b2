/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting ios that are too large for a device or cross its boundary.
 *
 * The io that came stays whole towards its submitter (one frame, counted once); children from the
 * same channel do the work, at most N_CHILDREN at a time. After a failure no child is started, the
 * running ones are awaited, and the io gets the rc of the child that failed last.
 * Source: docs/spec/spdk-jsonrpc.md 13.7. */
#include <errno.h>

#include "bdev/core.h"

_Static_assert(BDEV_READ == 0 && BDEV_WRITE == 1, "plain types are the first two");

enum { N_CHILDREN = 8, N_CHILD_IOV = 32 };

struct bdev_split {
    struct ash_list link; /* free_splits or split_stuck */
    struct bdev_io *parent;
    struct bdev_chcore *core;
    uint64_t done_bytes; /* handed to children so far */
    uint64_t iov_off;    /* place in the parent's vector */
    uint32_t iov_idx;
    uint32_t free_children; /* bit per entry of iov */
    unsigned n_running;
    int rc;
    struct iovec iov[N_CHILDREN][N_CHILD_IOV];
};

bool bdev_has_limits(const struct bdev *bdev)
{
    return bdev->boundary_bytes || bdev->max_unmap_bytes || bdev->max_write_zeroes_bytes ||
           bdev->max_rw_bytes;
}

/* How much of [offset, offset + length) one io may take. */
static uint64_t piece(const struct bdev *bdev, unsigned type, uint64_t offset, uint64_t length)
{
    uint64_t n = length, max = type == BDEV_UNMAP          ? bdev->max_unmap_bytes
                               : type == BDEV_WRITE_ZEROES ? bdev->max_write_zeroes_bytes
                                                           : bdev->max_rw_bytes;
    if (max)
        n = ASH_MIN(n, max);
    if (bdev->boundary_bytes)
        n = ASH_MIN(n, bdev->boundary_bytes - offset % bdev->boundary_bytes);
    return n;
}

static void advance(struct bdev_split *s);

static void finish(struct bdev_split *s)
{
    struct bdev_io *parent = s->parent;
    int rc = s->rc;
    ash_list_push_tail(&s->core->free_splits, &s->link);
    bdev_io_done(parent, rc);
}

static void child_done(struct bdev_io *child)
{
    struct bdev_split *s = child->user;
    if (child->rc)
        s->rc = child->rc;
    /* offset_result is no use of these types: it carries the child's place */
    unsigned idx = (unsigned)child->offset_result;
    if (child->iov && child->iov != s->iov[idx])
        rt_free((void *)(uintptr_t)child->iov);
    s->free_children |= 1u << idx;
    s->n_running--;
    bdev_io_put(child);
    advance(s);
}

/* How many vector entries the next n_bytes take. */
static uint32_t count_iov(const struct bdev_split *s, uint64_t n_bytes)
{
    uint32_t n = 0, idx = s->iov_idx;
    uint64_t off = s->iov_off;
    while (n_bytes) {
        uint64_t take = ASH_MIN(n_bytes, s->parent->iov[idx].iov_len - off);
        n_bytes -= take;
        n += take != 0;
        idx++;
        off = 0;
    }
    return n;
}

static int cut_iov(struct bdev_split *s, struct bdev_io *child, unsigned idx, uint64_t n_bytes)
{
    uint32_t n = count_iov(s, n_bytes);
    struct iovec *iov = n > N_CHILD_IOV ? rt_alloc(n * sizeof(*iov)) : s->iov[idx];
    if (!iov)
        return -ENOMEM;
    child->iov = iov;
    child->n_iov = 0;
    while (n_bytes) {
        const struct iovec *from = &s->parent->iov[s->iov_idx];
        uint64_t take = ASH_MIN(n_bytes, from->iov_len - s->iov_off);
        if (take)
            iov[child->n_iov++] = (struct iovec){(char *)from->iov_base + s->iov_off, take};
        n_bytes -= take;
        s->iov_off += take;
        if (s->iov_off == from->iov_len) {
            s->iov_idx++;
            s->iov_off = 0;
        }
    }
    return 0;
}

static int start_child(struct bdev_split *s, uint64_t n_bytes)
{
    struct bdev_io *parent = s->parent, *child = bdev_io_get(parent->frame->ch);
    if (!child)
        return -ENOMEM;
    unsigned idx = (unsigned)__builtin_ctz(s->free_children);
    child->type = parent->type;
    child->flags = parent->flags;
    child->offset = parent->offset + s->done_bytes;
    child->length = n_bytes;
    child->user = s;
    child->done = child_done;
    child->offset_result = idx;
    if (BDEV_RW_TYPES & BDEV_BIT(parent->type) && cut_iov(s, child, idx, n_bytes)) {
        bdev_io_put(child);
        return -ENOMEM;
    }
    s->free_children &= ~(1u << idx);
    s->n_running++;
    s->done_bytes += n_bytes;
    bdev_child_submit(child, parent->frame->start_ns);
    return 0;
}

static void advance(struct bdev_split *s)
{
    struct bdev_io *parent = s->parent;
    while (s->rc == 0 && s->free_children && s->done_bytes < parent->length) {
        uint64_t n = piece(parent->frame->ch->bdev, parent->type, parent->offset + s->done_bytes,
                           parent->length - s->done_bytes);
        if (start_child(s, n) == 0)
            continue;
        if (s->n_running == 0) {
            /* nothing of ours will come back to go on with: wait for the timer */
            ash_list_push_tail(&s->core->split_stuck, &s->link);
            bdev_nomem_arm(s->core);
            return;
        }
        break;
    }
    if (s->n_running == 0)
        finish(s);
}

void bdev_split_retry(struct bdev_chcore *core)
{
    struct ash_list stuck;
    ash_list_init(&stuck);
    ash_list_splice_tail(&stuck, &core->split_stuck);
    struct ash_list *l;
    while ((l = ash_list_pop_head(&stuck)))
        advance(ash_list_entry(l, struct bdev_split, link));
}

static struct bdev_split *split_get(struct bdev_chcore *core)
{
    struct ash_list *l = ash_list_pop_head(&core->free_splits);
    return l ? ash_list_entry(l, struct bdev_split, link) : rt_alloc(sizeof(struct bdev_split));
}

void bdev_split_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    /* the common case without a division: first and last byte between the same boundaries */
    if (ASH_LIKELY(io->type <= BDEV_WRITE && ch->core->split_mask &&
                   !((io->offset ^ (io->offset + io->length - 1)) & ch->core->split_mask))) {
        ch->bdev->ops->submit(ch, io);
        return;
    }
    const uint32_t types = BDEV_RW_TYPES | BDEV_BIT(BDEV_UNMAP) | BDEV_BIT(BDEV_WRITE_ZEROES);
    if (!(types & BDEV_BIT(io->type)) ||
        piece(ch->bdev, io->type, io->offset, io->length) == io->length) {
        ch->bdev->ops->submit(ch, io);
        return;
    }
    struct bdev_split *s = split_get(ch->core);
    if (!s) {
        bdev_nomem_queue(ch->core, io);
        return;
    }
    s->parent = io;
    s->core = ch->core;
    s->done_bytes = s->iov_off = 0;
    s->iov_idx = 0;
    s->free_children = (1u << N_CHILDREN) - 1;
    s->n_running = 0;
    s->rc = 0;
    advance(s);
}
