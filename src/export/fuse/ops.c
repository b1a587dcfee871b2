/* SPDX-License-Identifier: Apache-2.0 */
/* The folder as the kernel sees it: names, attributes, opening, holes. Nothing here waits.
 *
 * Names and attributes are not cached by the kernel (timeouts 0), so a volume that grows or goes
 * away needs no notification: such a call takes locks in the kernel that a request of ours may
 * hold. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "export/fuse/fuse_int.h"

#define SEEK_STEPS 65536

static struct fexp_mount *mount_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    conn->max_write = FEXP_MAX_IO_BYTES;
    conn->max_background = 128;
    conn->congestion_threshold = 96;
    conn->want |= conn->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO);
    /* O_TRUNC comes with the open, where it means nothing, as for block devices */
    conn->want |= conn->capable & FUSE_CAP_ATOMIC_O_TRUNC;
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_WRITEBACK_CACHE);
}

/* ----------------------------------------------------------- attributes */

static void fill_common(const struct fexp_mount *m, struct stat *st)
{
    struct timespec at = {.tv_sec = (time_t)(m->wall_ns / 1000000000u),
                          .tv_nsec = (long)(m->wall_ns % 1000000000u)};
    st->st_uid = m->uid;
    st->st_gid = m->gid;
    st->st_atim = st->st_mtim = st->st_ctim = at;
    st->st_blksize = 4096;
}

static void fill_root(const struct fexp_mount *m, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    fill_common(m, st);
    st->st_ino = FUSE_ROOT_ID;
    st->st_mode = S_IFDIR | (m->closing ? 0500 : 0700);
    st->st_nlink = 2;
}

static void fill_file(const struct fexp_file *f, struct stat *st)
{
    const struct bdev *bdev = f->ch->bdev;
    memset(st, 0, sizeof(*st));
    fill_common(f->m, st);
    st->st_ino = f->ino;
    st->st_mode = S_IFREG | (f->read_only ? 0400 : 0600);
    st->st_nlink = 1;
    st->st_size = (off_t)bdev->size_bytes;
    st->st_blksize = (blksize_t)ASH_MAX(bdev->block_bytes, 4096u);
    uint64_t used = bdev->size_bytes;
    struct pool_mgr *pools = bdev_mgr_pools(f->m->srv->mgr);
    const struct volume *vol = pools ? volume_of_bdev(pools, bdev->name) : NULL;
    if (vol) {
        struct volume_info info;
        volume_get_info(vol, &info);
        /* what it reads from its parents is there too */
        uint64_t n = ASH_MIN(info.n_allocated_clusters + info.n_ancestor_clusters, info.n_clusters);
        used = info.n_clusters ? info.size_bytes / info.n_clusters * n : 0;
    }
    st->st_blocks = (blkcnt_t)(used / 512);
}

static struct fexp_file *find_name(struct fexp_mount *m, const char *name)
{
    ash_list_for_each (item, &m->files) {
        struct fexp_file *f = ash_list_entry(item, struct fexp_file, link);
        if (!f->opening && strcmp(f->name, name) == 0)
            return f;
    }
    return NULL;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fexp_file *f = parent == FUSE_ROOT_ID ? find_name(mount_of(req), name) : NULL;
    if (!f) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct fuse_entry_param e = {.ino = f->ino, .generation = 1};
    fill_file(f, &e.attr);
    fuse_reply_entry(req, &e);
}

static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    fuse_reply_none(req); /* numbers are never used twice: nothing to count */
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fexp_mount *m = mount_of(req);
    struct fexp_file *f = fexp_file_by_ino(m, ino);
    struct stat st;
    if (ino == FUSE_ROOT_ID) {
        fill_root(m, &st);
    } else if (f) {
        fill_file(f, &st);
    } else {
        fuse_reply_err(req, ENOENT);
        return;
    }
    fuse_reply_attr(req, &st, 0);
}

/* Times are taken and not kept; all else is not for the file system to change. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    const struct fexp_file *f = fexp_file_by_ino(mount_of(req), ino);
    const int refused = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
    bool same_size = f && (uint64_t)attr->st_size == fexp_file_size(f);
    if ((to_set & refused) || ((to_set & FUSE_SET_ATTR_SIZE) && !same_size))
        fuse_reply_err(req, EPERM);
    else
        on_getattr(req, ino, fi);
}

static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fexp_mount *m = mount_of(req);
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = FEXP_NAME_MAX};
    ash_list_for_each (item, &m->files) {
        const struct fexp_file *f = ash_list_entry(item, struct fexp_file, link);
        if (f->opening)
            continue;
        st.f_blocks += fexp_file_size(f) / 4096;
        st.f_files++;
    }
    fuse_reply_statfs(req, &st);
}

/* --------------------------------------------------------------- folder */

static size_t add_entry(fuse_req_t req, char *buf, size_t room, const char *name, uint64_t ino,
                        mode_t mode)
{
    struct stat st = {.st_ino = ino, .st_mode = mode};
    /* the place of an entry is its number, and the next one is larger */
    return fuse_add_direntry(req, buf, room, name, &st, (off_t)ino);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    struct fexp_mount *m = mount_of(req);
    char buf[4096];
    size_t n = 0, room = ASH_MIN(size, sizeof(buf));
    if (ino != FUSE_ROOT_ID) {
        fuse_reply_err(req, ENOTDIR);
        return;
    }
    if (off < 1)
        n += add_entry(req, buf + n, room - n, ".", 1, S_IFDIR);
    if (off < 2)
        n += add_entry(req, buf + n, room - n, "..", 2, S_IFDIR);
    ash_list_for_each (item, &m->files) {
        const struct fexp_file *f = ash_list_entry(item, struct fexp_file, link);
        if (f->opening || f->ino <= (uint64_t)off)
            continue;
        size_t one = add_entry(req, buf + n, room - n, f->name, f->ino, S_IFREG);
        if (one > room - n)
            break;
        n += one;
    }
    fuse_reply_buf(req, buf, n);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    fuse_reply_err(req, EPERM);
}

static void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    fuse_reply_err(req, EPERM);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fuse_reply_err(req, EPERM);
}

/* ---------------------------------------------------------------- files */

/* Answered by hand: this libfuse has no word for FOPEN_PARALLEL_DIRECT_WRITES, without which the
 * kernel sends the writes of a file one by one. */
static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fexp_file *f = fexp_file_by_ino(mount_of(req), ino);
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    if (!f || (writes && f->read_only)) {
        fuse_reply_err(req, f ? EROFS : ENOENT);
        return;
    }
    struct fuse_open_out out = {
        .fh = writes,
        .open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES,
    };
    f->n_opens++;
    if (fuse_reply_buf(req, (const char *)&out, sizeof(out)))
        f->n_opens--; /* the opener was interrupted: no release will come */
}

static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fexp_file *f = fexp_file_by_ino(mount_of(req), ino);
    if (f && f->n_opens > 0)
        f->n_opens--;
    rt_waitq_wake_all(&mount_of(req)->srv->changed);
    fuse_reply_err(req, 0);
}

/* First data or hole at or after pos. Runs out of steps: "data here" and "no hole" are always safe
 * to say. */
static uint64_t seek(struct fexp_file *f, bool want_data, uint64_t pos, uint64_t size)
{
    uint64_t block = f->ch->bdev->block_bytes;
    for (unsigned i = 0; pos < size && i < SEEK_STEPS; i++) {
        struct bdev_area area;
        uint64_t first = pos / block * block;
        bdev_area(f->ch, first, size - first, &area);
        if (!(area.flags & BDEV_AREA_ZERO) == want_data)
            return pos;
        pos = first + area.length;
    }
    return want_data ? pos : size;
}

static void on_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                     struct fuse_file_info *fi)
{
    struct fexp_file *f = fexp_file_by_ino(mount_of(req), ino);
    if (!f || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
        fuse_reply_err(req, f ? EINVAL : ESHUTDOWN);
        return;
    }
    uint64_t size = fexp_file_size(f), pos = UINT64_MAX;
    if (off >= 0 && (uint64_t)off < size)
        pos = seek(f, whence == SEEK_DATA, (uint64_t)off, size);
    if (pos > size || (whence == SEEK_DATA && pos == size))
        fuse_reply_err(req, ENXIO);
    else
        fuse_reply_lseek(req, (off_t)pos);
}

const struct fuse_lowlevel_ops fexp_ops = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .statfs = on_statfs,
    .readdir = on_readdir,
    .create = on_create,
    .mknod = on_mknod,
    .unlink = on_unlink,
    .open = on_open,
    .release = on_release,
    .read = fexp_io_read,
    .write = fexp_io_write,
    .flush = fexp_io_flush,
    .fsync = fexp_io_fsync,
    .fallocate = fexp_io_fallocate,
    .lseek = on_lseek,
};
