/* SPDX-License-Identifier: Apache-2.0 */
/* File operations on a worker thread: plain blocking calls. Nothing here touches the reactor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "rt/rt_internal.h"

static int64_t move_once(struct rt_op *op)
{
    const struct iovec *iov;
    struct iovec room;
    int n = (int)rt_op_rest(op, &iov, &room);
    off_t at = (off_t)(op->offset + op->done_bytes);
    ssize_t res;
    if (op->kind == RT_OP_READ)
        res = n == 1 ? pread(op->file->fd, iov->iov_base, iov->iov_len, at)
                     : preadv(op->file->fd, iov, n, at);
    else if (op->flags & RT_OP_FUA)
        res = pwritev2(op->file->fd, iov, n, at, RWF_DSYNC);
    else
        res = n == 1 ? pwrite(op->file->fd, iov->iov_base, iov->iov_len, at)
                     : pwritev(op->file->fd, iov, n, at);
    return res < 0 ? -errno : res;
}

static int64_t move_all(struct rt_op *op)
{
    bool need_sync = false;
    while (op->done_bytes < op->length) {
        int64_t res = move_once(op);
        if (res == -EINTR || res == -EAGAIN)
            continue;
        if (res == -EOPNOTSUPP && (op->flags & RT_OP_FUA)) {
            /* no RWF_DSYNC here: write, then flush all */
            op->flags &= (uint8_t)~RT_OP_FUA;
            need_sync = true;
            continue;
        }
        if (res == -EINVAL && op->kind == RT_OP_READ && op->done_bytes > 0)
            break; /* direct I/O behind an end of file that is not a multiple of the sector */
        if (res < 0)
            return res;
        if (res == 0 && op->kind == RT_OP_WRITE)
            return -EIO;
        if (res == 0)
            break;
        op->done_bytes += (uint64_t)res;
    }
    if (need_sync) {
        op->flags |= RT_OP_FUA;
        if (fdatasync(op->file->fd))
            return -errno;
    }
    return (int64_t)op->done_bytes;
}

static int64_t write_zeroes(int fd, uint64_t offset, uint64_t length)
{
    size_t n_room = (size_t)ASH_MIN(ash_align_up(length, 4096), (uint64_t)1 << 20);
    void *zeroes = NULL;
    if (posix_memalign(&zeroes, 4096, n_room))
        return -ENOMEM;
    __builtin_memset(zeroes, 0, n_room);
    int64_t rc = 0;
    while (length > 0 && rc == 0) {
        ssize_t n = pwrite(fd, zeroes, ASH_MIN(length, (uint64_t)n_room), (off_t)offset);
        if (n < 0 && errno != EINTR)
            rc = -errno;
        else if (n == 0)
            rc = -EIO;
        else if (n > 0) {
            offset += (uint64_t)n;
            length -= (uint64_t)n;
        }
    }
    free(zeroes);
    return rc;
}

static bool is_unsupported(int64_t rc)
{
    return rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -ENOTTY || rc == -EINVAL;
}

static int64_t allocate(const struct rt_op *op, int mode)
{
    for (;;) {
        if (fallocate(op->file->fd, mode, (off_t)op->offset, (off_t)op->length) == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

static int64_t punch(const struct rt_op *op)
{
    if (!op->file->is_device)
        return allocate(op, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    uint64_t range[2] = {op->offset, op->length};
    int64_t rc = ioctl(op->file->fd, BLKDISCARD, range) ? -errno : 0;
    return rc == -ENOTTY ? -EOPNOTSUPP : rc;
}

static int64_t zero(const struct rt_op *op)
{
    int64_t rc = -EOPNOTSUPP;
    if (!(op->flags & RT_OP_NO_HOLE))
        rc = allocate(op, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (is_unsupported(rc) && op->file->is_device) {
        uint64_t range[2] = {op->offset, op->length};
        rc = ioctl(op->file->fd, BLKZEROOUT, range) ? -errno : 0;
    } else if (is_unsupported(rc)) {
        rc = allocate(op, FALLOC_FL_ZERO_RANGE);
    }
    return is_unsupported(rc) ? write_zeroes(op->file->fd, op->offset, op->length) : rc;
}

int64_t rt_file_op_run(struct rt_op *op)
{
    switch (op->kind) {
    case RT_OP_READ:
    case RT_OP_WRITE:
        return move_all(op);
    case RT_OP_FSYNC:
        return fdatasync(op->file->fd) ? -errno : 0;
    case RT_OP_PUNCH:
        return op->length ? punch(op) : 0;
    case RT_OP_ZERO:
        return op->length ? zero(op) : 0;
    default:
        ASH_ASSERT(!"a file operation");
        return -EINVAL;
    }
}
