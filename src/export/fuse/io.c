/* SPDX-License-Identifier: Apache-2.0 */
/* The data path: requests are read from /dev/fuse without waiting, become bdev ios, and are
 * answered when those have ended. Many are in flight; callbacks only.
 *
 * Invariants
 *  - a file is not closed while n_inflight of it is above 0, and every request counts until its
 *    answer has been written;
 *  - reading pauses at FEXP_MAX_INFLIGHT requests or FEXP_MAX_INFLIGHT_BYTES of payload and goes on
 *    when one has ended: memory is bounded whatever the kernel sends. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "export/fuse/fuse_int.h"

#define RX_BATCH    64
#define RX_RETRY_NS 10000000u

/* ------------------------------------------------------------ receiving */

static void rx_post(struct fexp_mount *m)
{
    if (m->rx_posted)
        return;
    m->rx_posted = true;
    rt_post(rt_self(), &m->rx_job);
}

static void poll_done(struct rt_op *op)
{
    struct fexp_mount *m = ash_container_of(op, struct fexp_mount, poll_op);
    m->polling = false;
    if (m->closing)
        rt_waitq_wake_all(&m->srv->changed);
    else if (op->res < 0 && op->res != -ECANCELED)
        fexp_mount_begin_close(m);
    else
        rx_post(m);
}

static void rx_poll(struct fexp_mount *m)
{
    m->poll_op.kind = RT_OP_POLL;
    m->poll_op.sock = m->sock;
    m->poll_op.done = poll_done;
    m->polling = true;
    rt_op_submit(&m->poll_op);
}

static bool is_full(const struct fexp_mount *m)
{
    return m->n_inflight >= FEXP_MAX_INFLIGHT || m->inflight_bytes >= FEXP_MAX_INFLIGHT_BYTES;
}

/* The library believes what a message says of its own length; the kernel never lies. */
static bool is_whole(const void *msg, size_t n_bytes)
{
    const struct fuse_in_header *head = msg;
    const struct fuse_write_in *write = (const void *)(head + 1);
    if (n_bytes < sizeof(*head) || head->len != n_bytes)
        return false;
    return head->opcode != FUSE_WRITE ||
           (n_bytes >= FEXP_RX_HEAD && write->size <= n_bytes - FEXP_RX_HEAD);
}

/* One request; false: stop reading now. */
static bool rx_one(struct fexp_mount *m)
{
    if (!m->rx)
        m->rx = rt_buf_get(FEXP_RX_ROOM);
    if (is_full(m) || !m->rx) {
        /* without memory and with nothing in flight, nothing would ever wake us: look again */
        if (m->n_inflight > 0)
            m->rx_paused = true;
        else
            rt_timer_start(&m->rx_timer, RX_RETRY_NS);
        return false;
    }
    void *at = m->rx + FEXP_RX_PAYLOAD - FEXP_RX_HEAD;
    int64_t n = rt_watch_read(m->sock, at, FEXP_RX_ROOM - FEXP_RX_PAYLOAD + FEXP_RX_HEAD);
    if (n == -ENOENT)
        return true; /* its caller was interrupted meanwhile */
    if (n == -EAGAIN) {
        rx_poll(m);
        return false;
    }
    if (n <= 0 || !is_whole(at, (size_t)n)) { /* ENODEV: unmounted */
        fexp_mount_begin_close(m);
        return false;
    }
    struct fuse_buf buf = {.size = (size_t)n, .mem = at};
    fuse_session_process_buf(m->se, &buf);
    if (fuse_session_exited(m->se))
        fexp_mount_begin_close(m);
    return !m->closing;
}

static void rx_run(struct rt_job *job)
{
    struct fexp_mount *m = ash_container_of(job, struct fexp_mount, rx_job);
    m->rx_posted = false;
    if (m->closing) {
        rt_waitq_wake_all(&m->srv->changed);
        return;
    }
    for (unsigned i = 0; i < RX_BATCH; i++) {
        if (!rx_one(m))
            return;
    }
    rx_post(m);
}

static void rx_retry(struct rt_timer *timer)
{
    rx_post(ash_container_of(timer, struct fexp_mount, rx_timer));
}

void fexp_rx_init(struct fexp_mount *m)
{
    m->rx_timer.fire = rx_retry;
    m->rx_job.run = rx_run;
    ash_list_init(&m->free_reqs);
}

void fexp_rx_start(struct fexp_mount *m)
{
    rx_post(m);
}

void fexp_rx_fini(struct fexp_mount *m)
{
    struct ash_list *item;
    rt_timer_stop(&m->rx_timer);
    while ((item = ash_list_pop_head(&m->free_reqs)) != NULL)
        rt_free(ash_list_entry(item, struct fexp_req, link));
    rt_buf_put(m->rx, FEXP_RX_ROOM);
    m->rx = NULL;
}

/* ------------------------------------------------------------- requests */

/* NULL: answered already. */
static struct fexp_req *begin(fuse_req_t req, fuse_ino_t ino, unsigned op, off_t off,
                              uint64_t length)
{
    struct fexp_mount *m = fuse_req_userdata(req);
    struct fexp_file *f = fexp_file_by_ino(m, ino);
    if (!f || off < 0) {
        fuse_reply_err(req, f ? EINVAL : ESHUTDOWN);
        return NULL;
    }
    struct ash_list *item = ash_list_pop_head(&m->free_reqs);
    struct fexp_req *r = item ? ash_list_entry(item, struct fexp_req, link) : rt_alloc(sizeof(*r));
    if (!r) {
        fuse_reply_err(req, ENOMEM);
        return NULL;
    }
    *r = (struct fexp_req){
        .file = f, .req = req, .op = (uint8_t)op, .offset = (uint64_t)off, .length = length};
    ash_list_init(&r->link);
    f->n_inflight++;
    m->n_inflight++;
    return r;
}

static int errno_of(int rc)
{
    switch (rc) {
    case -ECANCELED:
        return ESHUTDOWN;
    case -EPERM:
    case -EBADF:
        return EROFS;
    case -ENOTSUP:
        return EOPNOTSUPP;
    default:
        return -rc;
    }
}

static void finish(struct fexp_req *r)
{
    struct fexp_file *f = r->file;
    struct fexp_mount *m = f->m;
    ASH_ASSERT(r->n_ios == 0);
    /* A failed answer means that the caller has been killed or the mount is gone: nobody waits. */
    if (r->rc) {
        f->counters.n_errors++;
        fuse_reply_err(r->req, errno_of(r->rc));
    } else if (r->op == FUSE_READ) {
        fuse_reply_buf(r->req, r->data, r->length);
    } else if (r->op == FUSE_WRITE) {
        fuse_reply_write(r->req, r->length);
    } else {
        fuse_reply_err(r->req, 0);
    }
    rt_buf_put(r->buf, r->buf_bytes);
    m->inflight_bytes -= r->charged_bytes;
    ash_list_push_tail(&m->free_reqs, &r->link);
    f->n_inflight--;
    m->n_inflight--;
    if (f->n_inflight == 0)
        rt_waitq_wake_all(&m->srv->changed);
    if (m->rx_paused && !m->closing) {
        m->rx_paused = false;
        rx_post(m);
    }
}

static void zero_edges(struct fexp_req *r);

/* All ios of a step have ended, or there were none. */
static void step_done(struct fexp_req *r)
{
    if (r->op == FUSE_FALLOCATE && !r->at_edges && r->rc == 0) {
        r->at_edges = true;
        zero_edges(r);
        if (r->n_ios > 0)
            return;
    }
    finish(r);
}

static void io_done(struct bdev_io *io)
{
    struct fexp_req *r = io->user;
    if (io->rc && !r->rc)
        r->rc = io->rc;
    bdev_io_put(io);
    if (--r->n_ios == 0)
        step_done(r);
}

static void submit(struct fexp_req *r, unsigned type, unsigned flags, uint64_t offset,
                   uint64_t length, void *data)
{
    struct bdev_io *io = bdev_io_get(r->file->ch);
    if (!io) {
        r->rc = -ENOMEM;
        return;
    }
    io->type = (uint8_t)type;
    io->flags = (uint8_t)flags;
    io->offset = offset;
    io->length = length;
    io->done = io_done;
    io->user = r;
    if (data) {
        io->one_iov = (struct iovec){data, length};
        io->iov = &io->one_iov;
        io->n_iov = 1;
    }
    r->n_ios++;
    bdev_submit(io);
}

static bool get_buf(struct fexp_req *r, size_t n_bytes)
{
    r->buf = rt_buf_get(n_bytes);
    if (!r->buf) {
        r->rc = -ENOMEM;
        return false;
    }
    r->buf_bytes = r->charged_bytes = n_bytes;
    r->data = r->buf;
    r->file->m->inflight_bytes += n_bytes;
    return true;
}

void fexp_io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct fexp_req *r = begin(req, ino, FUSE_READ, off, size);
    if (!r)
        return;
    uint64_t end = fexp_file_size(r->file);
    r->length = r->offset >= end ? 0 : ASH_MIN(r->length, end - r->offset);
    r->file->counters.n_reads++;
    r->file->counters.read_bytes += r->length;
    if (r->length > 0 && get_buf(r, r->length))
        submit(r, BDEV_READ, 0, r->offset, r->length, r->data);
    if (r->n_ios == 0)
        finish(r);
}

/* Large payloads keep the receive buffer; the next request gets another. */
static bool take_payload(struct fexp_req *r, const char *buf)
{
    struct fexp_mount *m = r->file->m;
    if (r->length <= FEXP_COPY_BYTES) {
        if (!get_buf(r, r->length))
            return false;
        memcpy(r->data, buf, r->length);
        return true;
    }
    ASH_ASSERT((const uint8_t *)buf >= m->rx &&
               (const uint8_t *)buf + r->length <= m->rx + FEXP_RX_ROOM);
    r->buf = m->rx;
    r->data = m->rx + ((const uint8_t *)buf - m->rx);
    r->buf_bytes = FEXP_RX_ROOM;
    r->charged_bytes = r->length;
    m->inflight_bytes += r->length;
    m->rx = NULL;
    return true;
}

void fexp_io_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                   struct fuse_file_info *fi)
{
    struct fexp_req *r = begin(req, ino, FUSE_WRITE, off, size);
    if (!r)
        return;
    uint64_t end = fexp_file_size(r->file);
    r->length = r->offset >= end ? 0 : ASH_MIN(r->length, end - r->offset);
    r->file->counters.n_writes++;
    r->file->counters.write_bytes += r->length;
    unsigned flags = fi && (fi->flags & (O_DSYNC | O_SYNC)) ? BDEV_FUA : 0;
    if (r->file->read_only)
        r->rc = -EPERM;
    else if (r->length == 0 && size > 0)
        r->rc = -ENOSPC; /* what a block device says at its end */
    else if (r->length > 0 && take_payload(r, buf))
        submit(r, BDEV_WRITE, flags, r->offset, r->length, r->data);
    if (r->n_ios == 0)
        finish(r);
}

static void start_flush(struct fexp_req *r)
{
    const struct bdev *bdev = r->file->ch->bdev;
    r->file->counters.n_flushes++;
    if (!r->file->read_only && (bdev->volatile_cache || bdev_supports(bdev, BDEV_FLUSH)))
        submit(r, BDEV_FLUSH, 0, 0, fexp_file_size(r->file), NULL);
    if (r->n_ios == 0)
        finish(r);
}

/* close(): of a descriptor that could write */
void fexp_io_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (!fi->fh || !fexp_file_by_ino(fuse_req_userdata(req), ino)) {
        fuse_reply_err(req, 0);
        return;
    }
    struct fexp_req *r = begin(req, ino, FUSE_FLUSH, 0, 0);
    if (r)
        start_flush(r);
}

void fexp_io_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct fexp_req *r = begin(req, ino, FUSE_FSYNC, 0, 0);
    if (r)
        start_flush(r);
}

/* ------------------------------------------------------ holes and zeroes */

/* The whole blocks inside the request; false when there are none. */
static bool inner_blocks(const struct fexp_req *r, uint64_t *ret_offset, uint64_t *ret_length)
{
    uint64_t block = r->file->ch->bdev->block_bytes;
    uint64_t first = ash_div_up(r->offset, block) * block;
    uint64_t end = (r->offset + r->length) / block * block;
    *ret_offset = first;
    *ret_length = end > first ? end - first : 0;
    return end > first;
}

/* The parts of blocks at both ends, written as zeroes (the core merges them with what is there). */
static void zero_edges(struct fexp_req *r)
{
    uint64_t block = r->file->ch->bdev->block_bytes;
    uint64_t end = r->offset + r->length;
    uint64_t head_end = ASH_MIN(ash_div_up(r->offset, block) * block, end);
    uint64_t tail = ASH_MAX(end / block * block, head_end);
    if ((head_end == r->offset && tail == end) || !get_buf(r, block))
        return;
    memset(r->data, 0, block);
    if (head_end > r->offset)
        submit(r, BDEV_WRITE, 0, r->offset, head_end - r->offset, r->data);
    if (end > tail)
        submit(r, BDEV_WRITE, 0, tail, end - tail, r->data);
}

void fexp_io_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                       struct fuse_file_info *fi)
{
    bool punch = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    bool zero = (mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE;
    if (!punch && !zero) { /* there is no way to allocate without writing */
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    struct fexp_req *r =
        begin(req, ino, FUSE_FALLOCATE, offset, (uint64_t)ASH_MAX(length, (off_t)0));
    if (!r)
        return;
    struct fexp_file *f = r->file;
    uint64_t size = fexp_file_size(f), at, n;
    bool outside = r->offset > size || r->length > size - r->offset;
    if (outside)
        r->length = r->offset >= size ? 0 : size - r->offset;
    *(punch ? &f->counters.n_punches : &f->counters.n_zeroes) += 1;
    *(punch ? &f->counters.punched_bytes : &f->counters.zeroes_bytes) += r->length;
    if (f->read_only) {
        r->rc = -EPERM;
    } else if (outside && zero && !(mode & FALLOC_FL_KEEP_SIZE)) {
        r->rc = -ENOSPC;
    } else if (r->length > 0 && inner_blocks(r, &at, &n)) {
        /* a hole must read as zeroes, which not every device's UNMAP promises */
        const struct bdev *bdev = f->ch->bdev;
        bool unmap = punch && bdev->unmap_zeroes && bdev_supports(bdev, BDEV_UNMAP);
        submit(r, unmap ? BDEV_UNMAP : BDEV_WRITE_ZEROES, zero ? BDEV_NO_HOLE : 0, at, n, NULL);
    }
    if (r->n_ios > 0)
        return;
    if (r->rc || r->length == 0)
        finish(r);
    else
        step_done(r);
}
