/* SPDX-License-Identifier: Apache-2.0 */
/* See rebuild.h. Each source is read beside the others, by an io of its PV's channel, into a part
 * of one buffer; the sum is made behind them and copied to where the reader wants it. */
#include "pool/lvm/rebuild.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/mod/mod.h"

enum { PART_ALIGN_BYTES = 4096 };

struct rebuild {
    struct bdev_io *io;
    struct lvm_parity_sum sum;
    unsigned n_left; /* reads, and one for the submission */
    int rc;          /* of the last that failed */
    uint64_t part_bytes;
    uint8_t *buf;                             /* the sources, and the sum */
    struct bdev_io *reads[LVM_RAID_LEGS_MAX]; /* NULL: zeroes, or not taken yet */
};

static uint64_t buf_bytes(const struct rebuild *r)
{
    return (r->sum.n + 1) * r->part_bytes;
}

static uint8_t *part(const struct rebuild *r, unsigned idx)
{
    return r->buf + idx * r->part_bytes;
}

static void rebuild_free(struct rebuild *r)
{
    rt_buf_put(r->buf, buf_bytes(r));
    rt_free(r);
}

/* Sources are there: the answer. */
static int answer(struct rebuild *r)
{
    void *from[LVM_RAID_LEGS_MAX];
    if (r->rc)
        return r->rc;
    for (unsigned i = 0; i < r->sum.n; i++)
        from[i] = part(r, i);
    lvm_parity_add(&r->sum, from, part(r, r->sum.n), r->io->length);
    bdev_iov_from(r->io->iov, r->io->n_iov, part(r, r->sum.n));
    return 0;
}

static void read_done(struct bdev_io *read)
{
    struct rebuild *r = read->user;
    struct bdev_io *io = r->io;
    if (read->rc)
        r->rc = read->rc;
    bdev_io_put(read);
    if (--r->n_left)
        return;
    int rc = answer(r);
    rebuild_free(r);
    bdev_io_done(io, rc);
}

/* Take what the source idx needs. */
static int prepare(struct rebuild *r, unsigned idx, const struct lvm_place *at,
                   struct bdev_channel *const *pvs)
{
    if (at->kind == LVM_PLACE_ZERO) {
        memset(part(r, idx), 0, r->io->length);
        return 0;
    }
    if (at->kind != LVM_PLACE_PV)
        return -EIO;
    ASH_ASSERT(at->length >= r->io->length);
    struct bdev_io *read = r->reads[idx] = bdev_io_get(pvs[at->pv]);
    if (!read)
        return -ENOMEM;
    read->type = BDEV_READ;
    read->flags = 0;
    read->offset = at->offset;
    read->length = r->io->length;
    read->one_iov = (struct iovec){part(r, idx), r->io->length};
    read->iov = &read->one_iov;
    read->n_iov = 1;
    read->done = read_done;
    read->user = r;
    return 0;
}

static struct rebuild *rebuild_new(struct bdev_io *io, const struct lvm_lost *lost)
{
    struct rebuild *r = rt_alloc(sizeof(*r));
    if (!r)
        return NULL;
    r->io = io;
    r->sum = lost->sum;
    r->n_left = 1;
    r->part_bytes = (io->length + PART_ALIGN_BYTES - 1) / PART_ALIGN_BYTES * PART_ALIGN_BYTES;
    r->buf = rt_buf_get(buf_bytes(r));
    if (r->buf)
        return r;
    rt_free(r);
    return NULL;
}

void lvm_rebuild_read(struct bdev_io *io, const struct lvm_lost *lost,
                      struct bdev_channel *const *pvs)
{
    ASH_ASSERT(io->type == BDEV_READ && io->length <= LVM_REBUILD_MAX_BYTES);
    struct rebuild *r = rebuild_new(io, lost);
    int rc = r ? 0 : -ENOMEM;
    for (unsigned i = 0; i < lost->sum.n && rc == 0; i++)
        rc = prepare(r, i, &lost->from[i], pvs);
    for (unsigned i = 0; r && i < lost->sum.n; i++) {
        if (rc && r->reads[i])
            bdev_io_put(r->reads[i]);
        r->n_left += rc == 0 && r->reads[i];
    }
    if (rc == 0) {
        for (unsigned i = 0; i < lost->sum.n; i++)
            if (r->reads[i])
                bdev_submit(r->reads[i]);
        if (--r->n_left)
            return;
        rc = answer(r); /* zeroes only */
    }
    if (r)
        rebuild_free(r);
    bdev_io_done_soon(io, rc);
}
