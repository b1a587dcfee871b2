/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the FUSE export. Everything is the control reactor's. */
#ifndef ASH_EXPORT_FUSE_INT_H
#define ASH_EXPORT_FUSE_INT_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#include "base/assert.h"
#include "export/fuse/fuse.h"
#include "export/part.h"
#include "pool/pool.h"

#define FEXP_MAX_IO_BYTES       (1u << 20)
#define FEXP_MAX_INFLIGHT       256u
#define FEXP_MAX_INFLIGHT_BYTES (64ull << 20)
#define FEXP_COPY_BYTES         (32u << 10) /* payloads up to this leave the receive buffer at once */

/* The receive buffer: what precedes the payload of a write ends where a page ends, so that the
 * payload is aligned for direct I/O and needs no copy. */
#define FEXP_RX_PAYLOAD 4096u
#define FEXP_RX_HEAD    (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define FEXP_RX_ROOM    (FEXP_RX_PAYLOAD + FEXP_MAX_IO_BYTES + 4096u)

struct fexp_server {
    struct ash_engine_part part;
    struct bdev_mgr *mgr;
    struct ash_list mounts;
    struct rt_waitq changed; /* whoever waits looks again */
    unsigned n_busy;         /* fexp_add in progress */
    bool stopping;
    uint64_t next_mount_id;
};

struct fexp_file {
    struct fexp_mount *m;
    struct ash_list link;
    uint64_t ino; /* never used again in its mount */
    char *name, *bdev_name;
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    bool read_only;
    bool opening; /* not seen by the kernel yet */
    bool removed; /* while opening: the device went */
    unsigned n_opens, n_inflight;
    struct rt_timer retry;
    struct fexp_counters counters;
};

struct fexp_mount {
    struct fexp_server *srv;
    struct ash_list link;
    uint64_t id;
    char *dir;
    struct fuse_session *se;
    struct rt_sock *sock;
    struct rt_op poll_op;
    struct rt_job rx_job;
    struct rt_timer rx_timer; /* when there is no memory to read into */
    struct rt_timer retry;
    uint8_t *rx;
    bool opening, closing, polling, rx_posted, rx_paused;
    struct ash_list files;
    uint64_t next_ino, wall_ns;
    unsigned uid, gid;
    unsigned n_inflight, n_removing;
    uint64_t inflight_bytes;
    struct ash_list free_reqs;
};

struct fexp_req {
    struct ash_list link;
    struct fexp_file *file;
    fuse_req_t req;
    uint64_t offset, length;
    void *buf;  /* from rt_buf_get */
    void *data; /* in buf */
    size_t buf_bytes, charged_bytes;
    unsigned n_ios;
    uint8_t op; /* FUSE_READ, FUSE_WRITE ... */
    bool at_edges;
    int rc;
};

/* --- mount.c --- */
/* A mount on the server's list, opening: who made it has it mounted, or frees it. NULL: no memory.
 */
struct fexp_mount *fexp_mount_new(struct fexp_server *srv, const char *dir);
void fexp_mount_begin_close(struct fexp_mount *m);
/* The file by its inode number; NULL: gone. */
struct fexp_file *fexp_file_by_ino(struct fexp_mount *m, uint64_t ino);
uint64_t fexp_file_size(const struct fexp_file *f);

/* --- ops.c --- */
extern const struct fuse_lowlevel_ops fexp_ops;

/* --- io.c --- */
void fexp_rx_start(struct fexp_mount *m); /* begin to serve */
void fexp_rx_init(struct fexp_mount *m);
void fexp_rx_fini(struct fexp_mount *m);
void fexp_io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                  struct fuse_file_info *fi);
void fexp_io_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                   struct fuse_file_info *fi);
void fexp_io_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fexp_io_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fexp_io_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                       struct fuse_file_info *fi);

#endif
