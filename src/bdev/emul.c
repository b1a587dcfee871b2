/* SPDX-License-Identifier: Apache-2.0 */
/* What a device cannot do, done with what it can: zeroes by writing, compare, compare-and-write,
 * copy, seek, and reads and writes of any byte range on whole blocks.
 *
 * Each runs as a task on the channel's reactor with child ios of the same channel. Whatever reads,
 * decides and writes holds a range lock meanwhile, so that an acknowledged write of a neighbour is
 * never undone by old bytes. Source: docs/spec/spdk-jsonrpc.md 13.9. */
#include <errno.h>
#include <string.h>

#include "bdev/core.h"

bool bdev_can_emulate(const struct bdev *bdev, enum bdev_io_type type)
{
    uint32_t has = bdev_supported(bdev);
    bool can_read = has & BDEV_BIT(BDEV_READ), can_write = has & BDEV_BIT(BDEV_WRITE);
    switch (type) {
    case BDEV_WRITE_ZEROES:
        return can_write;
    case BDEV_COMPARE:
    case BDEV_SEEK_DATA:
    case BDEV_SEEK_HOLE:
        return can_read;
    case BDEV_COMPARE_AND_WRITE:
    case BDEV_COPY:
        return can_read && can_write;
    default:
        return false;
    }
}

static bool is_unaligned(const struct bdev *bdev, const struct bdev_io *io)
{
    const uint32_t types =
        BDEV_RW_TYPES | BDEV_BIT(BDEV_UNMAP) | BDEV_BIT(BDEV_WRITE_ZEROES) | BDEV_BIT(BDEV_COMPARE);
    return types & BDEV_BIT(io->type) &&
           (!bdev_aligned(bdev, io->offset) || !bdev_aligned(bdev, io->length));
}

bool bdev_needs_emulation(const struct bdev_channel *ch, const struct bdev_io *io)
{
    if (!(bdev_supported(ch->bdev) & BDEV_BIT(io->type)) && io->type != BDEV_RESET)
        return true;
    return bdev_ch_mode(ch) & BDEV_OPEN_UNALIGNED && is_unaligned(ch->bdev, io);
}

/* ------------------------------------------------------------- children */

/* The io being served, and where in its vector we are. */
struct emul {
    struct bdev_io *io;
    struct bdev_channel *ch;
    struct bdev *bdev;
    uint64_t block; /* bytes */
};

static void wake(struct bdev_io *io)
{
    rt_event_set(io->user, io->rc);
}

static int child_iov(struct emul *e, unsigned type, unsigned flags, uint64_t offset,
                     uint64_t length, const struct iovec *iov, uint32_t n_iov) ASH_MAY_WAIT
{
    struct bdev_io *c;
    while (!(c = bdev_io_get(e->ch)))
        rt_sleep_ns(1000000); /* memory that is out comes back when other ios end */
    struct rt_event ev = RT_EVENT_INIT;
    c->type = (uint8_t)type;
    c->flags = (uint8_t)flags;
    c->offset = offset;
    c->length = length;
    c->iov = iov;
    c->n_iov = n_iov;
    c->done = wake;
    c->user = &ev;
    bdev_child_submit(c, e->io->frame->start_ns);
    int rc = rt_event_wait(&ev);
    bdev_io_put(c);
    return rc;
}

static int child(struct emul *e, unsigned type, unsigned flags, uint64_t offset, uint64_t length,
                 void *buf) ASH_MAY_WAIT
{
    struct iovec iov = {buf, length};
    return child_iov(e, type, flags, offset, length, &iov, buf ? 1 : 0);
}

static void *bounce_get(size_t n_bytes) ASH_MAY_WAIT
{
    void *buf;
    while (!(buf = rt_buf_get(n_bytes)))
        rt_sleep_ns(1000000);
    return buf;
}

/* ----------------------------------------------------- parts of vectors */

enum iov_use { IOV_FILL, IOV_TAKE, IOV_COMPARE };

/* Bytes [off, off + n) of a vector: filled from, copied to or compared with buf. 0 or -EILSEQ. */
static int iov_bytes(const struct iovec *iov, uint64_t off, uint64_t n, void *buf, enum iov_use use)
{
    char *p = buf;
    while (n) {
        if (off >= iov->iov_len) {
            off -= iov->iov_len;
            iov++;
            continue;
        }
        size_t take = ASH_MIN(n, iov->iov_len - off);
        char *at = (char *)iov->iov_base + off;
        if (use == IOV_FILL)
            memcpy(at, p, take);
        else if (use == IOV_TAKE)
            memcpy(p, at, take);
        else if (memcmp(at, p, take) != 0)
            return -EILSEQ;
        p += take;
        off += take;
        n -= take;
    }
    return 0;
}

/* The vector for bytes [off, off + n) of another one; heap. */
static struct iovec *iov_slice(const struct iovec *iov, uint32_t n_iov, uint64_t off, uint64_t n,
                               uint32_t *ret_n)
{
    struct iovec *out = rt_alloc(n_iov * sizeof(*out));
    *ret_n = 0;
    for (uint32_t i = 0; out && i < n_iov && n; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        size_t take = ASH_MIN(n, iov[i].iov_len - off);
        out[(*ret_n)++] = (struct iovec){(char *)iov[i].iov_base + off, take};
        n -= take;
        off = 0;
    }
    return out;
}

/* ------------------------------------------------------------ emulations */

static int write_zeroes(struct emul *e, uint64_t offset, uint64_t length) ASH_MAY_WAIT
{
    unsigned flags = e->io->flags & BDEV_FUA;
    if (bdev_supported(e->bdev) & BDEV_BIT(BDEV_WRITE_ZEROES))
        return child(e, BDEV_WRITE_ZEROES, e->io->flags, offset, length, NULL);
    int rc = 0;
    uint64_t max = BDEV_ZERO_BYTES / e->block * e->block;
    for (uint64_t at = 0; at < length && rc == 0;) {
        uint64_t n = ASH_MIN(length - at, max);
        rc = child(e, BDEV_WRITE, flags, offset + at, n, (void *)(uintptr_t)e->bdev->mgr->zeroes);
        at += n;
    }
    return rc;
}

/* Read whole blocks around [offset, offset + length) and fill or compare the io's vector. */
static int read_around(struct emul *e, enum iov_use use) ASH_MAY_WAIT
{
    struct bdev_io *io = e->io;
    uint64_t start = io->offset / e->block * e->block;
    uint64_t end = ash_div_up(io->offset + io->length, e->block) * e->block;
    uint64_t room = ASH_MAX((uint64_t)BDEV_BOUNCE_BYTES / e->block * e->block, e->block);
    room = ASH_MIN(room, end - start);
    char *buf = bounce_get(room);
    int rc = 0;
    for (uint64_t at = start; at < end && rc == 0; at += room) {
        uint64_t n = ASH_MIN(room, end - at);
        rc = child(e, BDEV_READ, 0, at, n, buf);
        uint64_t from = ASH_MAX(at, io->offset), to = ASH_MIN(at + n, io->offset + io->length);
        if (rc == 0)
            rc = iov_bytes(io->iov, from - io->offset, to - from, buf + (from - at), use);
    }
    rt_buf_put(buf, room);
    return rc;
}

static int compare_and_write(struct emul *e) ASH_MAY_WAIT
{
    struct bdev_io *io = e->io;
    struct bdev_gate *lock;
    int rc = bdev_lock_range(io, io->offset, io->offset + io->length, &lock);
    if (rc)
        return rc;
    rc = read_around(e, IOV_COMPARE);
    if (rc == 0)
        rc = child_iov(e, BDEV_WRITE, io->flags, io->offset, io->length, io->write_iov,
                       io->n_write_iov);
    bdev_unlock_range(lock);
    return rc;
}

static int copy(struct emul *e) ASH_MAY_WAIT
{
    struct bdev_io *io = e->io;
    if (io->src_offset == io->offset)
        return 0;
    uint64_t room = ASH_MAX((uint64_t)BDEV_BOUNCE_BYTES / e->block * e->block, e->block);
    room = ASH_MIN(room, io->length);
    char *buf = bounce_get(room);
    int rc = 0;
    /* when the target lies behind the source and overlaps it, the last piece goes first */
    bool is_backward = io->offset > io->src_offset;
    for (uint64_t done = 0; done < io->length && rc == 0;) {
        uint64_t n = ASH_MIN(room, io->length - done);
        uint64_t at = is_backward ? io->length - done - n : done;
        rc = child(e, BDEV_READ, 0, io->src_offset + at, n, buf);
        if (rc == 0)
            rc = child(e, BDEV_WRITE, io->flags, io->offset + at, n, buf);
        done += n;
    }
    rt_buf_put(buf, room);
    return rc;
}

/* From the area map: without one everything is data. */
static int seek(struct emul *e)
{
    struct bdev_io *io = e->io;
    bool want_data = io->type == BDEV_SEEK_DATA;
    uint64_t size = bdev_size(e->bdev);
    io->offset_result = UINT64_MAX;
    for (uint64_t at = io->offset; at < size;) {
        struct bdev_area area;
        bdev_area(e->ch, at, size - at, &area);
        bool is_data = !(area.flags & BDEV_AREA_HOLE);
        if (is_data == want_data) {
            io->offset_result = at;
            return 0;
        }
        at += area.length;
    }
    return 0;
}

/* One block, of which [from, from + n) is taken from the io's vector (zeroes: from nothing). */
static int modify_block(struct emul *e, uint64_t block_off, uint64_t from, uint64_t n,
                        bool is_zero) ASH_MAY_WAIT
{
    struct bdev_io *io = e->io;
    char *buf = bounce_get(e->block);
    int rc = child(e, BDEV_READ, 0, block_off, e->block, buf);
    if (rc == 0) {
        if (is_zero)
            memset(buf + (from - block_off), 0, n);
        else
            iov_bytes(io->iov, from - io->offset, n, buf + (from - block_off), IOV_TAKE);
        rc = child(e, BDEV_WRITE, io->flags & BDEV_FUA, block_off, e->block, buf);
    }
    rt_buf_put(buf, e->block);
    return rc;
}

static int whole_blocks(struct emul *e, uint64_t from, uint64_t n) ASH_MAY_WAIT
{
    struct bdev_io *io = e->io;
    if (io->type == BDEV_UNMAP)
        return child(e, BDEV_UNMAP, io->flags, from, n, NULL);
    if (io->type == BDEV_WRITE_ZEROES)
        return write_zeroes(e, from, n);
    uint32_t n_iov;
    struct iovec *iov;
    while (!(iov = iov_slice(io->iov, io->n_iov, from - io->offset, n, &n_iov)))
        rt_sleep_ns(1000000);
    int rc = child_iov(e, BDEV_WRITE, io->flags, from, n, iov, n_iov);
    rt_free(iov);
    return rc;
}

/* Write, zeroes or unmap of any byte range: the first and last blocks by read, modify, write. */
static int modify(struct emul *e) ASH_MAY_WAIT
{
    struct bdev_io *io = e->io;
    uint64_t end = io->offset + io->length;
    uint64_t first = ash_div_up(io->offset, e->block) * e->block; /* whole blocks: first .. last */
    uint64_t last = end / e->block * e->block;
    bool is_zero = io->type != BDEV_WRITE;
    /* what an unmap leaves is undefined anyway, but for devices that promise zeroes */
    bool does_edges = io->type != BDEV_UNMAP || e->bdev->unmap_zeroes;
    struct bdev_gate *lock;
    int rc = bdev_lock_range(io, io->offset / e->block * e->block,
                             ash_div_up(end, e->block) * e->block, &lock);
    if (rc)
        return rc;
    if (does_edges && io->offset < first) {
        uint64_t to = ASH_MIN(first, end);
        rc = modify_block(e, first - e->block, io->offset, to - io->offset, is_zero);
    }
    if (rc == 0 && first < last)
        rc = whole_blocks(e, first, last - first);
    if (rc == 0 && does_edges && last < end && last >= first)
        rc = modify_block(e, last, last, end - last, is_zero);
    bdev_unlock_range(lock);
    return rc;
}

static int run(struct emul *e) ASH_MAY_WAIT
{
    struct bdev_io *io = e->io;
    bool unaligned = is_unaligned(e->bdev, io);
    switch (io->type) {
    case BDEV_READ:
        return read_around(e, IOV_FILL);
    case BDEV_COMPARE:
        return read_around(e, IOV_COMPARE);
    case BDEV_WRITE_ZEROES:
        return unaligned ? modify(e) : write_zeroes(e, io->offset, io->length);
    case BDEV_WRITE:
    case BDEV_UNMAP:
        return modify(e);
    case BDEV_COMPARE_AND_WRITE:
        return compare_and_write(e);
    case BDEV_COPY:
        return copy(e);
    case BDEV_SEEK_DATA:
    case BDEV_SEEK_HOLE:
        return seek(e);
    default:
        return -ENOTSUP;
    }
}

static void emul_task(void *arg)
{
    struct bdev_io *io = arg;
    struct bdev_channel *ch = io->frame->ch;
    struct emul e = {
        .io = io,
        .ch = &ch->core->view[BDEV_OPEN_WRITE],
        .bdev = ch->bdev,
        .block = ch->bdev->block_bytes,
    };
    bdev_io_done(io, run(&e));
}

void bdev_emulate(struct bdev_channel *ch, struct bdev_io *io)
{
    uint32_t needs = BDEV_BIT(io->type);
    bool can = bdev_supported(ch->bdev) & needs || bdev_can_emulate(ch->bdev, io->type);
    if (!can) {
        /* a type that the device has lost since the check at the top */
        bdev_io_done_soon(io, -ENOTSUP);
        return;
    }
    if (rt_task_spawn("bdev emulation", emul_task, io))
        bdev_nomem_queue(ch->core, io);
}
