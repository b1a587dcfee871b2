/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of I/O queues: what is allowed, and how each becomes device I/O. On the queue's reactor.
 *
 * Checks come in the order of docs/spec/nvme-tcp.md 5: opcode, namespace, ANA state, write
 * protection, reservation, fields and range. They are made when the capsule arrives, so that a host
 * is not asked for data in vain, and again when the command starts.
 *
 * A fused pair is found in the order of arrival and starts when the data of both is here. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>

#define DNR NVME_STATUS_DNR

enum { RW = 1, RANGE = 2, WRITES = 4, DATA = 8, RESV = 16, FLUSHES = 32 };

static const uint8_t traits[256] = {
    [NVME_IO_FLUSH] = FLUSHES,
    [NVME_IO_WRITE] = RW | RANGE | WRITES | DATA,
    [NVME_IO_READ] = RW | RANGE | DATA,
    [NVME_IO_COMPARE] = RW | RANGE | DATA,
    [NVME_IO_WRITE_ZEROES] = RW | WRITES | RANGE,
    [NVME_IO_DSM] = RW | WRITES,
    [NVME_IO_VERIFY] = RW | RANGE,
    [NVME_IO_RESV_REGISTER] = RESV,
    [NVME_IO_RESV_REPORT] = RESV,
    [NVME_IO_RESV_ACQUIRE] = RESV,
    [NVME_IO_RESV_RELEASE] = RESV,
};

/* --------------------------------------------------------------- checks */

static bool sees(const struct nvmf_conn *conn, const struct nvmf_ns_view *view)
{
    if (!view || !view->hidden)
        return true;
    for (uint32_t i = 0; i < view->n_hosts; i++) {
        if (strcmp(view->hosts[i], conn->hostnqn) == 0)
            return true;
    }
    return false;
}

static struct nvmf_local_ns *find_lns(const struct nvmf_conn *conn, uint32_t nsid)
{
    if (nsid == 0 || nsid > conn->local->sub->max_namespaces)
        return NULL;
    struct nvmf_local_ns *lns = conn->local->ns[nsid - 1];
    return lns && sees(conn, lns->view) ? lns : NULL;
}

static uint32_t check_ana(const struct nvmf_conn *conn, const struct nvmf_ns *ns)
{
    if (!conn->ana)
        return 0;
    uint32_t group = __atomic_load_n(&ns->anagrpid, __ATOMIC_RELAXED);
    switch (__atomic_load_n(&conn->ana[group], __ATOMIC_RELAXED)) {
    case NVME_ANA_OPTIMIZED:
    case NVME_ANA_NON_OPTIMIZED:
        return 0;
    case NVME_ANA_INACCESSIBLE:
        return NVME_SC_ANA_INACCESSIBLE;
    case NVME_ANA_PERSISTENT_LOSS:
        return NVME_SC_ANA_LOSS;
    default:
        return NVME_SC_ANA_TRANSITION;
    }
}

static uint64_t slba_of(const struct nvmf_req *req)
{
    return ash_le64_get(req->sqe.slba);
}

static uint64_t n_blocks_of(const struct nvmf_req *req)
{
    return (ash_le32_get(req->sqe.rw_cdw12) & NVME_RW_NLB_MASK) + 1ull;
}

static uint32_t check_range(const struct nvmf_req *req, const struct bdev *bdev)
{
    uint64_t n = n_blocks_of(req), slba = slba_of(req);
    uint64_t size = nvmf_size_now(bdev) / bdev->block_bytes;
    uint64_t n_bytes = n * bdev->block_bytes;
    if (traits[req->sqe.opcode] & DATA) {
        if (n_bytes > req->conn->opts.max_io_size)
            return NVME_SC_INVALID_FIELD | DNR;
        if (n_bytes > req->sgl_bytes)
            return NVME_SC_SGL_LENGTH | DNR;
    }
    return slba >= size || n > size - slba ? NVME_SC_LBA_RANGE | DNR : 0;
}

uint32_t nvmf_io_check(struct nvmf_req *req)
{
    const struct nvmf_conn *conn = req->conn;
    uint8_t t = traits[req->sqe.opcode];
    if (!t)
        return NVME_SC_INVALID_OPCODE | DNR;
    struct nvmf_local_ns *lns = find_lns(conn, ash_le32_get(req->sqe.nsid));
    if (!lns)
        return NVME_SC_INVALID_NS | DNR;
    uint32_t status = check_ana(conn, lns->ns);
    if (status)
        return status;
    if ((t & WRITES) && lns->ns->read_only)
        return NVME_SC_WRITE_PROTECTED | DNR;
    if (!(t & RESV) && lns->view &&
        !nvmf_resv_allows(lns->view, conn->hostid, t & (WRITES | FLUSHES)))
        return NVME_SC_RESV_CONFLICT | DNR;
    if (t & RANGE)
        return check_range(req, lns->ns->bdev);
    return 0;
}

/* ------------------------------------------------------------------ ends */

static bool writes(const struct nvmf_req *req)
{
    return traits[req->sqe.opcode] & (WRITES | FLUSHES);
}

static uint32_t status_of(const struct nvmf_req *req, int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case -ENOSPC:
        return req->conn->openebs ? NVMF_STATUS_VENDOR_NOSPC | DNR : NVME_SC_CAPACITY | DNR;
    case -EILSEQ:
        return NVME_SC_COMPARE | DNR;
    case -EPERM:
    case -EBADF:
    case -EROFS:
        return NVME_SC_WRITE_PROTECTED | DNR;
    case -ECANCELED:
    case -ENODEV: /* the device goes away, its namespace with it */
        return NVME_SC_INVALID_NS | DNR;
    case -EINVAL: /* checked before: it has shrunk since */
        return NVME_SC_LBA_RANGE | DNR;
    case -ENOTSUP:
        return NVME_SC_INVALID_OPCODE | DNR;
    case -EIO:
        return writes(req) ? NVME_SC_WRITE_FAULT : NVME_SC_READ_ERROR;
    default:
        return NVME_SC_INTERNAL;
    }
}

static void leave_ns(struct nvmf_req *req)
{
    struct nvmf_local_ns *lns = req->lns;
    req->lns = NULL;
    ASH_ASSERT(lns->n_busy > 0);
    if (--lns->n_busy == 0 && lns->closing)
        rt_waitq_wake_all(&lns->idle);
}

void nvmf_io_end(struct nvmf_req *req, uint32_t status)
{
    if (req->preempted)
        status = NVME_SC_ABORTED_PREEMPT | DNR;
    if (status)
        req->data_bytes = 0;
    leave_ns(req);
    if (status)
        nvmf_fail(req, status);
    else
        nvmf_reply(req);
}

/* The pair of a compare and write: a miscompare fails the first, and with it the second. */
static void end_pair(struct nvmf_req *first, uint32_t status)
{
    struct nvmf_req *second = first->partner;
    first->partner = second->partner = NULL;
    bool of_first = status == (NVME_SC_COMPARE | DNR);
    uint32_t other = status ? NVME_SC_FUSED_FAILED : 0;
    leave_ns(second);
    nvmf_io_end(first, of_first || !status ? status : other);
    if (first->preempted)
        other = status = NVME_SC_ABORTED_PREEMPT | DNR;
    if (status)
        nvmf_fail(second, of_first ? other : status);
    else
        nvmf_reply(second);
}

static void next_verify(struct nvmf_req *req);

static void io_done(struct bdev_io *io)
{
    struct nvmf_req *req = io->user;
    if (io->rc && req->io_rc == 0)
        req->io_rc = io->rc;
    if (io->rc == -EIO)
        NVMF_COUNT(req->lns->counters.n_media_errors, 1);
    bdev_io_put(io);
    ASH_ASSERT(req->n_ios > 0);
    if (--req->n_ios > 0)
        return;
    if (req->sqe.opcode == NVME_IO_VERIFY && req->io_rc == 0 && req->got_bytes) {
        next_verify(req);
        return;
    }
    uint32_t status = status_of(req, req->io_rc);
    if (req->partner)
        end_pair(req, status);
    else
        nvmf_io_end(req, status);
}

static struct bdev_io *take_io(struct nvmf_req *req, enum bdev_io_type type, uint64_t offset,
                               uint64_t length)
{
    struct bdev_io *io = bdev_io_get(req->lns->ch);
    if (!io)
        return NULL;
    io->type = (uint8_t)type;
    io->flags = 0;
    io->offset = offset;
    io->length = length;
    io->iov = NULL;
    io->n_iov = 0;
    io->user = req;
    io->done = io_done;
    req->n_ios++;
    return io;
}

static bool submit(struct nvmf_req *req, enum bdev_io_type type, unsigned flags, uint64_t offset,
                   uint64_t length, void *data)
{
    struct bdev_io *io = take_io(req, type, offset, length);
    if (!io) {
        if (req->io_rc == 0)
            req->io_rc = -ENOMEM;
        return false;
    }
    io->flags = (uint8_t)flags;
    if (data) {
        io->one_iov = (struct iovec){data, length};
        io->iov = &io->one_iov;
        io->n_iov = 1;
    }
    bdev_submit(io);
    return true;
}

/* When nothing could be submitted it is over already. */
static void submitted(struct nvmf_req *req)
{
    if (req->n_ios == 0)
        nvmf_io_end(req, status_of(req, req->io_rc));
}

/* -------------------------------------------------------------- commands */

static const struct bdev *bdev_of(const struct nvmf_req *req)
{
    return req->lns->ns->bdev;
}

static uint64_t offset_of(const struct nvmf_req *req)
{
    return slba_of(req) * bdev_of(req)->block_bytes;
}

static uint64_t bytes_of(const struct nvmf_req *req)
{
    return n_blocks_of(req) * bdev_of(req)->block_bytes;
}

static unsigned fua_of(const struct nvmf_req *req)
{
    return ash_le32_get(req->sqe.rw_cdw12) & NVME_RW_FUA ? BDEV_FUA : 0;
}

/* Mayastor asks to be told of clusters that this volume (CURRENT) or none of its ancestors has
 * (docs/spec/mayastor-bdev-uris.md 8). */
static bool hits_unwritten(const struct nvmf_req *req)
{
    uint32_t dw12 = ash_le32_get(req->sqe.rw_cdw12);
    bool current = dw12 & NVMF_RW_CURRENT_UNWRITTEN_FAIL;
    if (!req->conn->openebs || !(current || dw12 & NVMF_RW_UNWRITTEN_FAIL))
        return false;
    uint64_t at = offset_of(req), end = at + bytes_of(req);
    while (at < end) {
        struct bdev_area area;
        bdev_area(req->lns->ch, at, end - at, &area);
        if (current ? area.depth != 1 : area.depth == 0)
            return true;
        at += area.length;
    }
    return false;
}

static void start_read(struct nvmf_req *req)
{
    if (hits_unwritten(req)) {
        nvmf_io_end(req, NVMF_STATUS_UNWRITTEN | DNR);
        return;
    }
    NVMF_COUNT(req->lns->counters.n_reads, 1);
    NVMF_COUNT(req->lns->counters.read_bytes, req->data_bytes);
    submit(req, BDEV_READ, 0, offset_of(req), req->data_bytes, req->buf);
    submitted(req);
}

static void count_write(struct nvmf_req *req, uint64_t n_bytes)
{
    NVMF_COUNT(req->lns->counters.n_writes, 1);
    NVMF_COUNT(req->lns->counters.write_bytes, n_bytes);
}

static void start_write(struct nvmf_req *req)
{
    count_write(req, bytes_of(req));
    submit(req, BDEV_WRITE, fua_of(req), offset_of(req), bytes_of(req), req->buf);
    submitted(req);
}

static void start_zeroes(struct nvmf_req *req)
{
    bool deac = ash_le32_get(req->sqe.rw_cdw12) & NVME_RW_DEAC;
    submit(req, BDEV_WRITE_ZEROES, fua_of(req) | (deac ? 0u : BDEV_NO_HOLE), offset_of(req),
           bytes_of(req), NULL);
    submitted(req);
}

static void start_flush(struct nvmf_req *req)
{
    const struct bdev *bdev = bdev_of(req);
    if (!req->lns->ns->read_only && (bdev->volatile_cache || bdev_supports(bdev, BDEV_FLUSH)))
        submit(req, BDEV_FLUSH, 0, 0, nvmf_size_now(bdev), NULL);
    submitted(req);
}

/* As a read, a piece after the other, without telling the data. got_bytes: of the range. */
static void next_verify(struct nvmf_req *req)
{
    uint64_t done = (uint64_t)req->verified_blocks * bdev_of(req)->block_bytes;
    uint64_t n = ASH_MIN(bytes_of(req) - done, (uint64_t)req->buf_bytes);
    req->verified_blocks += (uint32_t)(n / bdev_of(req)->block_bytes);
    req->got_bytes = req->verified_blocks < n_blocks_of(req);
    submit(req, BDEV_READ, 0, offset_of(req) + done, n, req->buf);
    submitted(req);
}

static void start_verify(struct nvmf_req *req)
{
    uint64_t n = ASH_MIN(bytes_of(req), (uint64_t)req->conn->opts.max_io_size);
    req->buf = rt_buf_get(n);
    if (!req->buf) {
        nvmf_io_end(req, NVME_SC_INTERNAL);
        return;
    }
    req->buf_bytes = (uint32_t)n;
    NVMF_COUNT(req->lns->counters.n_reads, 1);
    NVMF_COUNT(req->lns->counters.read_bytes, bytes_of(req));
    next_verify(req);
}

/* All ranges are checked before the first is given to the device. */
static uint32_t check_dsm(const struct nvmf_req *req, uint32_t n)
{
    const struct nvme_dsm_range *ranges = req->buf;
    uint64_t size = nvmf_size_now(bdev_of(req)) / bdev_of(req)->block_bytes;
    if (req->got_bytes < n * sizeof(ranges[0]))
        return NVME_SC_SGL_LENGTH | DNR;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t slba = ash_le64_get(ranges[i].slba), len = ash_le32_get(ranges[i].n_blocks);
        if (slba > size || len > size - slba)
            return NVME_SC_LBA_RANGE | DNR;
        if (len > req->lns->ns->sub->dmrsl)
            return NVME_SC_SIZE_LIMIT | DNR;
    }
    return 0;
}

static void start_dsm(struct nvmf_req *req)
{
    const struct nvme_dsm_range *ranges = req->buf;
    uint32_t n = (ash_le32_get(req->sqe.cdw10) & 0xFF) + 1;
    uint32_t status = check_dsm(req, n);
    if (status) {
        nvmf_io_end(req, status);
        return;
    }
    bool deallocate = ash_le32_get(req->sqe.cdw11) & NVME_DSM_AD;
    if (!deallocate || !bdev_supports(bdev_of(req), BDEV_UNMAP))
        n = 0; /* hints */
    uint32_t block = bdev_of(req)->block_bytes;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t slba = ash_le64_get(ranges[i].slba), len = ash_le32_get(ranges[i].n_blocks);
        if (len && !submit(req, BDEV_UNMAP, 0, slba * block, len * block, NULL))
            break;
    }
    submitted(req);
}

/* ----------------------------------------------------------- fused pairs */

uint32_t nvmf_fuse(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    unsigned fuse = req->sqe.flags & NVME_FUSE_MASK;
    struct nvmf_req *first = conn->fused;
    conn->fused = NULL;
    if (first && fuse == NVME_FUSE_SECOND && req->sqe.opcode == NVME_IO_WRITE) {
        first->partner = req;
        req->partner = first;
        req->is_second = true;
        return 0;
    }
    if (first) {
        first->status = NVME_SC_FUSED_MISSING;
        first->is_fused = false;
        if (first->state == NVMF_REQ_FUSED)
            nvmf_reply(first);
    }
    if (fuse == NVME_FUSE_SECOND)
        return NVME_SC_FUSED_MISSING;
    if (fuse == NVME_FUSE_MASK)
        return NVME_SC_INVALID_FIELD | DNR;
    if (fuse == NVME_FUSE_FIRST) {
        if (req->sqe.opcode != NVME_IO_COMPARE)
            return NVME_SC_FUSED_MISSING;
        conn->fused = req;
        req->is_fused = true;
    }
    return 0;
}

static bool enter_ns(struct nvmf_req *req)
{
    struct nvmf_local_ns *lns = find_lns(req->conn, ash_le32_get(req->sqe.nsid));
    ASH_ASSERT(lns); /* nvmf_io_check has just found it */
    if (!nvmf_local_channel(lns))
        return false;
    req->lns = lns;
    lns->n_busy++;
    req->state = NVMF_REQ_BUSY;
    return true;
}

static void fail_pair(struct nvmf_req *first, uint32_t first_status, uint32_t second_status)
{
    struct nvmf_req *second = first->partner;
    first->partner = second->partner = NULL;
    nvmf_fail(first, first_status);
    nvmf_fail(second, second_status);
}

static void start_pair(struct nvmf_req *first)
{
    struct nvmf_req *second = first->partner;
    uint32_t status = nvmf_io_check(first);
    if (!status)
        status = nvmf_io_check(second);
    if (!status && (slba_of(first) != slba_of(second) || n_blocks_of(first) != n_blocks_of(second)))
        status = NVME_SC_INVALID_FIELD | DNR;
    if (status || !enter_ns(first)) {
        fail_pair(first, status ? status : NVME_SC_INTERNAL, NVME_SC_FUSED_FAILED);
        return;
    }
    second->lns = first->lns;
    second->lns->n_busy++;
    second->state = NVMF_REQ_BUSY;
    count_write(second, bytes_of(second));
    struct bdev_io *io = take_io(first, BDEV_COMPARE_AND_WRITE, offset_of(first), bytes_of(first));
    if (!io) {
        end_pair(first, NVME_SC_INTERNAL);
        return;
    }
    io->flags = (uint8_t)fua_of(second);
    io->one_iov = (struct iovec){first->buf, bytes_of(first)};
    io->iov = &io->one_iov;
    second->write_iov = (struct iovec){second->buf, bytes_of(second)};
    io->write_iov = &second->write_iov;
    io->n_iov = io->n_write_iov = 1;
    bdev_submit(io);
}

void nvmf_fused_ready(struct nvmf_req *req)
{
    struct nvmf_req *first = req->is_second ? req->partner : req;
    req->state = NVMF_REQ_FUSED;
    struct nvmf_req *second = first->partner;
    if (!second || first->state != NVMF_REQ_FUSED || second->state != NVMF_REQ_FUSED)
        return; /* the other's capsule or data is still to come */
    if (first->status)
        fail_pair(first, first->status | (first->dnr ? DNR : 0), NVME_SC_FUSED_FAILED);
    else if (second->status)
        fail_pair(first, NVME_SC_FUSED_FAILED, second->status | (second->dnr ? DNR : 0));
    else
        start_pair(first);
}

/* -------------------------------------------------------------- dispatch */

void nvmf_io_start(struct nvmf_req *req)
{
    uint32_t status = nvmf_io_check(req);
    if (status) {
        nvmf_fail(req, status);
        return;
    }
    if (req->sqe.opcode == NVME_IO_READ && !req->buf) {
        const struct nvmf_local_ns *lns = find_lns(req->conn, ash_le32_get(req->sqe.nsid));
        req->data_bytes = (uint32_t)(n_blocks_of(req) * lns->ns->bdev->block_bytes);
        if (!nvmf_want_buf(req, req->data_bytes))
            return;
    }
    if (!enter_ns(req)) {
        nvmf_fail(req, NVME_SC_INTERNAL);
        return;
    }
    switch (req->sqe.opcode) {
    case NVME_IO_FLUSH:
        start_flush(req);
        break;
    case NVME_IO_WRITE:
        start_write(req);
        break;
    case NVME_IO_READ:
        start_read(req);
        break;
    case NVME_IO_COMPARE:
        submit(req, BDEV_COMPARE, 0, offset_of(req), bytes_of(req), req->buf);
        submitted(req);
        break;
    case NVME_IO_WRITE_ZEROES:
        start_zeroes(req);
        break;
    case NVME_IO_DSM:
        start_dsm(req);
        break;
    case NVME_IO_VERIFY:
        start_verify(req);
        break;
    default:
        nvmf_resv_start(req);
        break;
    }
}
