/* SPDX-License-Identifier: Apache-2.0 */
/* Files and block devices: opening, locking, what they can do. Calls that may block run on worker
 * threads; the simulator answers itself. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rt/rt_internal.h"

struct open_args {
    const char *path;
    unsigned flags;
    int fd, lock_rc;
    bool is_direct, is_device;
};

static int open_again(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags, 0600);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* OFD locks belong to the open file, so two rt_files of one process exclude one another too. */
static int lock_file(int fd, bool is_shared)
{
    struct flock lock = {.l_type = is_shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

static int open_blocking(void *arg)
{
    struct open_args *a = arg;
    int flags = O_CLOEXEC | (a->flags & RT_FILE_RDONLY ? O_RDONLY : O_RDWR);
    if (a->flags & RT_FILE_CREATE)
        flags |= O_CREAT | (a->flags & RT_FILE_EXCL ? O_EXCL : 0);
    a->is_direct = a->flags & RT_FILE_DIRECT;
    int fd = open_again(a->path, flags | (a->is_direct ? O_DIRECT : 0));
    if (fd == -EINVAL && a->is_direct) {
        /* no direct I/O here; O_CREAT may have made the file already */
        a->is_direct = false;
        fd = open_again(a->path, flags & ~O_EXCL);
    }
    if (fd < 0)
        return fd;
    struct stat st;
    int rc = fstat(fd, &st) ? -errno : 0;
    if (rc == 0 && S_ISDIR(st.st_mode))
        rc = -EISDIR;
    if (rc == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        rc = -ENOTSUP;
    if (rc == 0 && (a->flags & RT_FILE_LOCK))
        rc = a->lock_rc = lock_file(fd, a->flags & RT_FILE_RDONLY);
    if (rc) {
        close(fd);
        return rc;
    }
    a->is_device = S_ISBLK(st.st_mode);
    a->fd = fd;
    return 0;
}

enum { LOCK_TRIES = 20, LOCK_WAIT_NS = 50000000 }; /* a second in all */

int rt_file_open(const char *path, unsigned flags, struct rt_file **ret_file, struct ash_err *err)
{
    struct rt *rt = rt_world();
    if (rt->sim)
        return rt_sim_file_open(rt, path, flags, ret_file, err);
    struct rt_file *file = rt_alloc(sizeof(*file));
    if (!file)
        return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory to open '%s'", path);
    struct open_args a = {.path = path, .flags = flags, .fd = -1};
    int rc = rt_work("open", open_blocking, &a);
    /* The kernel lets go of a killed process's ring, and of the files in it, a moment after the
     * process: whoever restarts at once must not be turned away for that. */
    for (unsigned i = 0; rc && a.lock_rc == -EBUSY && i < LOCK_TRIES; i++) {
        rt_sleep_ns(LOCK_WAIT_NS);
        a = (struct open_args){.path = path, .flags = flags, .fd = -1};
        rc = rt_work("open", open_blocking, &a);
    }
    if (rc) {
        rt_free(file);
        if (a.lock_rc == -EBUSY)
            return ash_err_set(err, ASH_E_RT_FILE_BUSY, path, "'%s' is locked by another opener",
                               path);
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path, "'%s' cannot be opened: %s", path,
                              ash_strerror(rc));
    }
    file->rt = rt;
    file->fd = a.fd;
    file->flags = flags;
    file->is_device = a.is_device;
    file->is_direct = a.is_direct;
    *ret_file = file;
    return 0;
}

static int close_blocking(void *arg)
{
    close(*(int *)arg);
    return 0;
}

void rt_file_close(struct rt_file *file)
{
    if (!file)
        return;
    if (file->rt->sim)
        rt_sim_file_close(file);
    else
        rt_work("close", close_blocking, &file->fd); /* may write back */
    rt_free(file);
}

/* ----------------------------------------------------------------------- info */

struct info_args {
    struct rt_file *file;
    struct rt_file_info *info;
};

/* A number from /sys/dev/block/MAJOR:MINOR/queue/NAME, of the whole disk for a partition. */
static uint64_t queue_value(dev_t dev, const char *name, uint64_t fallback)
{
    static const char *const ups[] = {"", "../"};
    for (size_t i = 0; i < ASH_N_ELEMS(ups); i++) {
        char path[128];
        unsigned long long n;
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(dev), minor(dev),
                 ups[i], name);
        FILE *f = fopen(path, "re");
        if (!f)
            continue;
        bool ok = fscanf(f, "%llu", &n) == 1;
        fclose(f);
        if (ok)
            return n;
    }
    return fallback;
}

static uint32_t dio_align(int fd, uint32_t fallback)
{
    struct statx stx;
    memset(&stx, 0, sizeof(stx));
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align)
        return ASH_MAX(stx.stx_dio_mem_align, stx.stx_dio_offset_align);
    return fallback;
}

/* Behind the end of a file nothing can change. */
static bool probe_allocate(int fd, uint64_t size_bytes, int mode)
{
    off_t at = (off_t)ash_align_up(size_bytes, 1 << 20);
    return fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, at, 4096) == 0;
}

static void device_info(int fd, dev_t dev, bool is_writable, struct rt_file_info *info)
{
    uint64_t size_bytes = 0;
    int logical = 512;
    unsigned physical = 512;
    ioctl(fd, BLKGETSIZE64, &size_bytes);
    ioctl(fd, BLKSSZGET, &logical);
    ioctl(fd, BLKPBSZGET, &physical);
    info->size_bytes = size_bytes;
    info->is_device = true;
    info->logical_block_bytes = (uint32_t)logical;
    info->physical_block_bytes = physical;
    info->is_rotational = queue_value(dev, "rotational", 0) == 1;
    info->can_punch = is_writable && queue_value(dev, "discard_max_bytes", 0) > 0;
    info->can_zero = is_writable && queue_value(dev, "write_zeroes_max_bytes", 0) > 0;
}

static int info_blocking(void *arg)
{
    struct info_args *a = arg;
    int fd = a->file->fd;
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    struct rt_file_info info = {
        .size_bytes = (uint64_t)st.st_size,
        .logical_block_bytes = 512,
        .physical_block_bytes = 4096,
        .dio_align_bytes = 1,
        .is_direct = a->file->is_direct,
    };
    bool is_writable = !(a->file->flags & RT_FILE_RDONLY);
    if (a->file->is_device) {
        device_info(fd, st.st_rdev, is_writable, &info);
    } else {
        info.is_rotational = queue_value(st.st_dev, "rotational", 0) == 1;
        info.can_punch = is_writable && probe_allocate(fd, info.size_bytes, FALLOC_FL_PUNCH_HOLE);
        info.can_zero = info.can_punch ||
                        (is_writable && probe_allocate(fd, info.size_bytes, FALLOC_FL_ZERO_RANGE));
    }
    if (info.is_direct)
        info.dio_align_bytes = dio_align(fd, info.is_device ? info.logical_block_bytes : 4096);
    *a->info = info;
    return 0;
}

int rt_file_info(struct rt_file *file, struct rt_file_info *ret_info)
{
    if (file->rt->sim)
        return rt_sim_file_info(file, ret_info);
    struct info_args a = {file, ret_info};
    return rt_work("file info", info_blocking, &a);
}

struct truncate_args {
    int fd;
    uint64_t size_bytes;
};

static int truncate_blocking(void *arg)
{
    struct truncate_args *a = arg;
    int rc;
    do
        rc = ftruncate(a->fd, (off_t)a->size_bytes);
    while (rc && errno == EINTR);
    return rc ? -errno : 0;
}

int rt_file_truncate(struct rt_file *file, uint64_t size_bytes)
{
    if (file->rt->sim)
        return rt_sim_file_truncate(file, size_bytes);
    struct truncate_args a = {file->fd, size_bytes};
    return rt_work("truncate", truncate_blocking, &a);
}

int rt_file_seek(struct rt_file *file, bool want_data, uint64_t offset, uint64_t *ret_offset)
{
    if (offset > INT64_MAX)
        return -ENXIO;
    if (file->rt->sim)
        return rt_sim_file_seek(file, want_data, offset, ret_offset);
    off_t at =
        file->is_device ? -1 : lseek(file->fd, (off_t)offset, want_data ? SEEK_DATA : SEEK_HOLE);
    int rc = file->is_device ? -EINVAL : at < 0 ? -errno : 0;
    if (rc == -EINVAL || rc == -EOPNOTSUPP) { /* cannot tell: all data */
        off_t end = lseek(file->fd, 0, SEEK_END);
        if (end < 0)
            return -errno;
        if (offset >= (uint64_t)end)
            return -ENXIO;
        *ret_offset = want_data ? offset : (uint64_t)end;
        return 0;
    }
    if (rc)
        return rc;
    *ret_offset = (uint64_t)at;
    return 0;
}

/* ------------------------------------------------------------- whole transfers */

int rt_file_read(struct rt_file *file, void *buf, size_t n_bytes, uint64_t offset)
{
    struct rt_op op = {.kind = RT_OP_READ, .file = file, .offset = offset, .n_iov = 1};
    op.one_iov = (struct iovec){buf, n_bytes};
    op.iov = &op.one_iov;
    int64_t res = rt_op_wait(&op);
    if (res < 0)
        return (int)res;
    return (uint64_t)res == n_bytes ? 0 : -EIO;
}

int rt_file_write(struct rt_file *file, const void *buf, size_t n_bytes, uint64_t offset)
{
    struct rt_op op = {.kind = RT_OP_WRITE, .file = file, .offset = offset, .n_iov = 1};
    op.one_iov = (struct iovec){(void *)(uintptr_t)buf, n_bytes};
    op.iov = &op.one_iov;
    int64_t res = rt_op_wait(&op);
    return res < 0 ? (int)res : 0;
}

int rt_file_sync(struct rt_file *file)
{
    struct rt_op op = {.kind = RT_OP_FSYNC, .file = file};
    return (int)rt_op_wait(&op);
}
