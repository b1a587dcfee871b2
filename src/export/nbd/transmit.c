/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the transmission phase: what is allowed, and how each becomes device I/O.
 *
 * Checks come in the order flags, access, length, bounds; the error numbers are those of
 * docs/spec/nbd.md 4. A request may need several ios: data runs of a sparse read, the ragged ends
 * of a range that is zeroed, the flush of a TRIM with FUA. They run in steps; a step starts when
 * all ios of the one before have ended. */
#include <errno.h>
#include <string.h>

#include "export/nbd/nbd_int.h"

/* --------------------------------------------------------------- checks */

static const struct {
    uint16_t flags;
    bool writes;
    uint16_t past_end;
    const char *past_end_text;
} rules[] = {
    [NBD_CMD_READ] = {NBD_CF_FUA | NBD_CF_DF, false, NBD_EINVAL, "reaches past the end"},
    [NBD_CMD_WRITE] = {NBD_CF_FUA, true, NBD_ENOSPC, "reaches past the end"},
    [NBD_CMD_FLUSH] = {NBD_CF_FUA, false, NBD_EINVAL, "offset and length must be 0"},
    [NBD_CMD_TRIM] = {NBD_CF_FUA, true, NBD_EINVAL, "reaches past the end"},
    [NBD_CMD_CACHE] = {NBD_CF_FUA, false, NBD_EINVAL, "reaches past the end"},
    [NBD_CMD_WRITE_ZEROES] = {NBD_CF_FUA | NBD_CF_NO_HOLE | NBD_CF_FAST_ZERO, true, NBD_ENOSPC,
                              "reaches past the end"},
    [NBD_CMD_BLOCK_STATUS] = {NBD_CF_FUA | NBD_CF_REQ_ONE, false, NBD_EINVAL,
                              "reaches past the end"},
};

static enum nbd_error fail(struct nbd_req *req, enum nbd_error error, const char *text)
{
    req->text = text;
    return error;
}

enum nbd_error nbd_check(struct nbd_req *req)
{
    const struct nbd_conn *conn = req->conn;
    if (conn->shutting)
        return fail(req, NBD_ESHUTDOWN, "the export is shutting down");
    if (req->type >= ASH_N_ELEMS(rules) || req->type == NBD_CMD_DISC)
        return fail(req, NBD_EINVAL, "the command is not known");
    if (req->flags & ~rules[req->type].flags)
        return fail(req, NBD_EINVAL, "a command flag is not allowed here");
    if ((req->flags & NBD_CF_DF) && !conn->structured)
        return fail(req, NBD_EINVAL, "the flag DF needs structured replies");
    if (rules[req->type].writes && conn->read_only)
        return fail(req, NBD_EPERM, "the export is read-only");
    if (req->length > NBD_MAX_PAYLOAD) {
        if (req->type == NBD_CMD_READ)
            return fail(req, conn->structured ? NBD_EOVERFLOW : NBD_EINVAL, "is too long");
        if (req->type == NBD_CMD_WRITE)
            return fail(req, NBD_EINVAL, "is too long");
    }
    if (req->type == NBD_CMD_BLOCK_STATUS && (req->length == 0 || conn->contexts == 0))
        return fail(req, NBD_EINVAL,
                    req->length == 0 ? "the length is 0" : "no metadata context was selected");
    uint64_t size = req->type == NBD_CMD_FLUSH ? 0 : nbd_size_now(conn->ch->bdev);
    if (req->offset > size || req->length > size - req->offset)
        return fail(req, rules[req->type].past_end, rules[req->type].past_end_text);
    return NBD_OK;
}

/* Host error to wire error; the device's own numbers never cross the socket. */
enum nbd_error nbd_error_of(int rc)
{
    switch (rc) {
    case 0:
        return NBD_OK;
    case -EPERM:
    case -EROFS:
    case -EBADF:
    case -EACCES:
        return NBD_EPERM;
    case -ENOSPC:
    case -EDQUOT:
    case -EFBIG:
        return NBD_ENOSPC;
    case -EINVAL:
    case -EOPNOTSUPP:
        return NBD_EINVAL;
    case -ENOMEM:
        return NBD_ENOMEM;
    case -ESHUTDOWN:
        return NBD_ESHUTDOWN;
    default:
        return NBD_EIO;
    }
}

/* ------------------------------------------------------------------ ios */

static void next_step(struct nbd_req *req);

static void note_error(struct nbd_req *req, int rc, uint64_t offset)
{
    if (rc == 0 || req->error != NBD_OK)
        return;
    bool fast = req->type == NBD_CMD_WRITE_ZEROES && (req->flags & NBD_CF_FAST_ZERO);
    if (fast && rc == -ENOTSUP) {
        req->error = NBD_ENOTSUP;
        req->text = "not faster than writing";
        return;
    }
    if (rc == -ECANCELED && req->conn->shutting)
        rc = -ESHUTDOWN;
    req->error = (uint16_t)nbd_error_of(rc);
    req->text = ash_strerror(rc);
    if (req->type == NBD_CMD_READ) {
        req->has_error_offset = true;
        req->error_offset = offset;
    }
}

static void io_done(struct bdev_io *io)
{
    struct nbd_req *req = io->user;
    struct nbd_conn *conn = req->conn;
    note_error(req, io->rc, io->offset);
    bdev_io_put(io);
    ASH_ASSERT(req->n_ios > 0);
    if (--req->n_ios > 0)
        return;
    next_step(req);
    if (conn->shutting)
        nbd_conn_check_end(conn);
}

/* One io of the request; data NULL: without. Runs out of memory: the request fails. */
static void submit(struct nbd_req *req, enum bdev_io_type type, unsigned flags, uint64_t offset,
                   uint64_t length, void *data)
{
    struct bdev_io *io = bdev_io_get(req->conn->ch);
    if (!io) {
        note_error(req, -ENOMEM, offset);
        return;
    }
    io->type = (uint8_t)type;
    io->flags = (uint8_t)flags;
    io->offset = offset;
    io->length = length;
    io->iov = NULL;
    io->n_iov = 0;
    if (data) {
        io->one_iov = (struct iovec){data, length};
        io->iov = &io->one_iov;
        io->n_iov = 1;
    }
    io->user = req;
    io->done = io_done;
    req->n_ios++;
    bdev_submit(io);
}

/* When nothing could be submitted the step is over already. */
static void step_submitted(struct nbd_req *req)
{
    if (req->n_ios == 0)
        next_step(req);
}

/* ---------------------------------------------------------------- flush */

/* Flushes that arrive while one runs share the next one. */
static void flush_submit(struct nbd_req *leader)
{
    leader->conn->flush_busy = true;
    submit(leader, BDEV_FLUSH, 0, 0, nbd_size_now(leader->conn->ch->bdev), NULL);
    step_submitted(leader);
}

static void flush_start(struct nbd_req *req)
{
    struct nbd_conn *conn = req->conn;
    const struct bdev *bdev = conn->ch->bdev;
    req->step = NBD_STEP_FLUSH;
    if (conn->read_only || (!bdev->volatile_cache && !bdev_supports(bdev, BDEV_FLUSH)))
        nbd_reply(req);
    else if (conn->flush_busy)
        ash_list_push_tail(&conn->flush_waiters, &req->link);
    else
        flush_submit(req);
}

static void flush_ended(struct nbd_req *leader)
{
    struct nbd_conn *conn = leader->conn;
    struct ash_list *item;
    conn->flush_busy = false;
    while ((item = ash_list_pop_head(&leader->riders)) != NULL) {
        struct nbd_req *req = ash_list_entry(item, struct nbd_req, link);
        req->error = leader->error;
        req->text = leader->text;
        nbd_reply(req);
    }
    nbd_reply(leader);
    item = ash_list_pop_head(&conn->flush_waiters);
    if (!item)
        return;
    struct nbd_req *next = ash_list_entry(item, struct nbd_req, link);
    ash_list_splice_tail(&next->riders, &conn->flush_waiters);
    flush_submit(next);
}

/* ------------------------------------------------------------- commands */

static void uncharge(struct nbd_req *req)
{
    rt_buf_put(req->buf, req->buf_bytes);
    req->buf = NULL;
    req->buf_bytes = 0;
    req->conn->inflight_bytes -= req->charged_bytes;
    req->charged_bytes = 0;
}

static void start_read(struct nbd_req *req)
{
    struct nbd_conn *conn = req->conn;
    NBD_COUNT(conn, n_reads, 1);
    NBD_COUNT(conn, read_bytes, req->length);
    if (req->length == 0) {
        nbd_reply(req);
        return;
    }
    struct nbd_chunk chunks[NBD_READ_CHUNKS];
    unsigned n = 0;
    if (conn->structured && !(req->flags & NBD_CF_DF) && req->length >= NBD_AREA_READ_BYTES)
        n = nbd_read_map(req, chunks);
    if (n > 0)
        req->chunks = rt_alloc(n * sizeof(chunks[0]));
    if (!req->chunks) {
        submit(req, BDEV_READ, 0, req->offset, req->length, req->buf);
        step_submitted(req);
        return;
    }
    req->n_chunks = (uint16_t)n;
    memcpy(req->chunks, chunks, n * sizeof(chunks[0]));
    bool any_data = false;
    for (unsigned i = 0; i < n; i++) {
        if (chunks[i].hole)
            continue;
        any_data = true;
        submit(req, BDEV_READ, 0, req->offset + chunks[i].offset, chunks[i].length,
               (uint8_t *)req->buf + chunks[i].offset);
    }
    if (!any_data)
        uncharge(req);
    step_submitted(req);
}

static void start_write(struct nbd_req *req)
{
    NBD_COUNT(req->conn, n_writes, 1);
    NBD_COUNT(req->conn, write_bytes, req->length);
    if (req->length == 0) {
        nbd_reply(req);
        return;
    }
    submit(req, BDEV_WRITE, req->flags & NBD_CF_FUA ? BDEV_FUA : 0, req->offset, req->length,
           req->buf);
    step_submitted(req);
}

/* The whole blocks inside the request; false when there are none. */
static bool inner_blocks(const struct nbd_req *req, uint64_t *ret_offset, uint64_t *ret_length)
{
    uint64_t block = req->conn->ch->bdev->block_bytes;
    uint64_t first = ash_div_up(req->offset, block) * block;
    uint64_t end = (req->offset + req->length) / block * block;
    *ret_offset = first;
    *ret_length = end > first ? end - first : 0;
    return end > first;
}

/* A hint: only whole blocks inside the range, and nothing where the device cannot. */
static void start_trim(struct nbd_req *req)
{
    uint64_t offset, length;
    NBD_COUNT(req->conn, n_trims, 1);
    NBD_COUNT(req->conn, trim_bytes, req->length);
    if (bdev_supports(req->conn->ch->bdev, BDEV_UNMAP) && inner_blocks(req, &offset, &length))
        submit(req, BDEV_UNMAP, 0, offset, length, NULL);
    step_submitted(req);
}

static unsigned zero_flags(const struct nbd_req *req)
{
    return (req->flags & NBD_CF_FUA ? BDEV_FUA : 0u) |
           (req->flags & NBD_CF_NO_HOLE ? BDEV_NO_HOLE : 0u) |
           (req->flags & NBD_CF_FAST_ZERO ? BDEV_FAST : 0u);
}

/* Whole blocks first: when the device says "not fast" nothing has changed yet. */
static void start_zeroes(struct nbd_req *req)
{
    uint64_t offset, length;
    NBD_COUNT(req->conn, n_zeroes, 1);
    NBD_COUNT(req->conn, zeroes_bytes, req->length);
    if (req->length == 0) {
        nbd_reply(req);
        return;
    }
    if ((req->flags & NBD_CF_FAST_ZERO) && !req->conn->ch->bdev->fast_zeroes) {
        note_error(req, -ENOTSUP, req->offset);
        nbd_reply(req);
        return;
    }
    if (inner_blocks(req, &offset, &length))
        submit(req, BDEV_WRITE_ZEROES, zero_flags(req), offset, length, NULL);
    step_submitted(req);
}

/* The parts of blocks at both ends, written as zeroes (the core merges them with what is there). */
static void zero_edges(struct nbd_req *req)
{
    uint64_t block = req->conn->ch->bdev->block_bytes;
    uint64_t end = req->offset + req->length;
    uint64_t head_end = ASH_MIN(ash_div_up(req->offset, block) * block, end);
    uint64_t tail = ASH_MAX(end / block * block, head_end);
    unsigned flags = req->flags & NBD_CF_FUA ? BDEV_FUA : 0;
    if (head_end == req->offset && tail == end)
        return;
    req->buf = rt_buf_get(block);
    if (!req->buf) {
        note_error(req, -ENOMEM, req->offset);
        return;
    }
    req->buf_bytes = block;
    memset(req->buf, 0, block);
    if (head_end > req->offset)
        submit(req, BDEV_WRITE, flags, req->offset, head_end - req->offset, req->buf);
    if (end > tail)
        submit(req, BDEV_WRITE, flags, tail, end - tail, req->buf);
}

static void start_status(struct nbd_req *req)
{
    NBD_COUNT(req->conn, n_status, 1);
    req->error = (uint16_t)nbd_status(req);
    nbd_reply(req);
}

/* All ios of a step have ended (or there were none). */
static void next_step(struct nbd_req *req)
{
    if (req->step == NBD_STEP_FLUSH) {
        flush_ended(req);
        return;
    }
    if (req->type == NBD_CMD_TRIM) {
        if (req->error == NBD_EINVAL) /* the device declines the hint */
            req->error = NBD_OK;
        if (req->error == NBD_OK && (req->flags & NBD_CF_FUA)) {
            flush_start(req);
            return;
        }
    }
    if (req->type == NBD_CMD_WRITE_ZEROES && req->step == NBD_STEP_MAIN && req->error == NBD_OK) {
        req->step = NBD_STEP_EDGES;
        zero_edges(req);
        if (req->n_ios > 0)
            return;
    }
    nbd_reply(req);
}

void nbd_start(struct nbd_req *req)
{
    switch (req->type) {
    case NBD_CMD_READ:
        start_read(req);
        break;
    case NBD_CMD_WRITE:
        start_write(req);
        break;
    case NBD_CMD_FLUSH:
        NBD_COUNT(req->conn, n_flushes, 1);
        flush_start(req);
        break;
    case NBD_CMD_TRIM:
        start_trim(req);
        break;
    case NBD_CMD_WRITE_ZEROES:
        start_zeroes(req);
        break;
    case NBD_CMD_BLOCK_STATUS:
        start_status(req);
        break;
    default: /* CACHE: nothing to do; others do not come here */
        nbd_reply(req);
        break;
    }
}
