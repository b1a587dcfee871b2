/* SPDX-License-Identifier: Apache-2.0 */
/* Pools and volumes as control faces (JSON-RPC, CLI, later gRPC and the LVM commands) and exports
 * see them. A pool is a set of volumes on one or more disks; how it is laid out is its backend's
 * business (pool/lvs: SPDK's blobstore + lvstore). Every volume that can do I/O is a bdev; data
 * goes through bdev.h, this header is for everything else.
 *
 * All functions run on the control reactor; those marked wait must be called from a task. Pointers
 * to pools and volumes are valid until the next wait unless the caller holds a reference that keeps
 * them (an open descriptor keeps the bdev only): look them up again after waiting.
 * Texts in info structs live until the next wait. */
#ifndef ASH_POOL_POOL_H
#define ASH_POOL_POOL_H

#include "bdev/bdev.h"

struct pool_mgr;
struct pool;
struct volume;

/* ------------------------------------------------------------- manager */

/* One per engine, made after the bdev manager (and handed to it); destroyed before it: that unloads
 * all pools cleanly. */
int pool_mgr_create(struct bdev_mgr *bdevs, struct pool_mgr **ret_pools,
                    struct ash_err *err) ASH_MAY_WAIT;
void pool_mgr_destroy(struct pool_mgr *pools) ASH_MAY_WAIT;
struct bdev_mgr *pool_mgr_bdevs(struct pool_mgr *pools);
/* The bdev modules that pool backends add ("lvol", "lvs" URIs, examine): for bdev_mgr_create. */
extern struct bdev_module *const pool_bdev_modules[];

/* How disks that appear are opened (default: for writing, with all repairs that the load makes). */
void pool_mgr_set_read_only(struct pool_mgr *pools, bool read_only);

/* ---------------------------------------------------------------- pools */

enum pool_clear { POOL_CLEAR_DEFAULT, POOL_CLEAR_NONE, POOL_CLEAR_UNMAP, POOL_CLEAR_WRITE_ZEROES };
enum pool_zeroing { POOL_ZEROING_STRICT, POOL_ZEROING_TRUST_UNMAP, POOL_ZEROING_OFF };

struct pool_create_opts {
    uint32_t cluster_bytes;    /* 0: 4 MiB */
    uint32_t md_page_bytes;    /* 0: 4096 */
    uint32_t md_ratio_percent; /* 0: 100 */
    enum pool_clear clear;     /* of the data area; DEFAULT = unmap */
    struct ash_uuid uuid;      /* nil: random */
    bool force; /* format whatever is there; else only a blank disk (POOL_NOT_BLANK) */
};

struct pool_info {
    const char *name;
    struct ash_uuid uuid;
    const char *backend; /* "lvs" */
    const char *base_bdev;
    uint64_t cluster_bytes, n_clusters /* for data */, n_free_clusters;
    uint64_t size_bytes, max_size_bytes;
    uint64_t n_md_pages, n_free_md_pages;
    uint32_t block_bytes; /* of its volumes */
    uint32_t md_page_bytes;
    size_t n_volumes, n_faulted;
    bool read_only, was_dirty; /* was_dirty: recovered when it was loaded */
    bool degraded;             /* holds damage; damage tells what */
    const char *damage;
    uint8_t warn_percent[2]; /* usage thresholds that raise events "pool_usage"; 80, 95 */
};

int pool_create(struct pool_mgr *pools, const char *bdev_name, const char *name,
                const struct pool_create_opts *opts, struct pool **ret_pool,
                struct ash_err *err) ASH_MAY_WAIT;
/* Open what is on the device. new_name: when not NULL and the name is taken, load under this one.
 */
int pool_import(struct pool_mgr *pools, const char *bdev_name, bool read_only, const char *new_name,
                struct pool **ret_pool, struct ash_err *err) ASH_MAY_WAIT;
/* Close cleanly: no half-done operation and clean = 1 on the disk. -EBUSY while volumes are open.
 */
int pool_export(struct pool *pool, struct ash_err *err) ASH_MAY_WAIT;
/* Delete all volumes, then the pool itself. Volumes in use get their REMOVE event and are awaited.
 */
int pool_destroy(struct pool *pool, struct ash_err *err) ASH_MAY_WAIT;
int pool_rename(struct pool *pool, const char *new_name, struct ash_err *err) ASH_MAY_WAIT;
/* To the present size of its disk. */
int pool_grow(struct pool *pool, struct ash_err *err) ASH_MAY_WAIT;
int pool_set_thresholds(struct pool *pool, uint8_t warn_percent, uint8_t critical_percent,
                        struct ash_err *err);
int pool_set_zeroing(struct pool *pool, enum pool_zeroing zeroing);

struct pool *pool_find(struct pool_mgr *pools, const char *name);                 /* NULL */
struct pool *pool_find_uuid(struct pool_mgr *pools, const struct ash_uuid *uuid); /* NULL */
struct pool *pool_next(struct pool_mgr *pools, struct pool *prev); /* by age; NULL starts */
void pool_get_info(const struct pool *pool, struct pool_info *ret_info);

/* -------------------------------------------------------------- volumes */

enum volume_state { VOLUME_OK, VOLUME_DEGRADED /* external parent missing */, VOLUME_FAULTED };

struct volume_info {
    const char *name;
    struct ash_uuid uuid;  /* nil when the disk has none; unique_id is then made of the pool's */
    const char *unique_id; /* name of its bdev */
    const char *bdev;      /* unique_id, or NULL when it has no bdev (degraded, faulted) */
    const char *alias;     /* "pool/name" */
    struct pool *pool;
    uint64_t blob_id;
    uint64_t n_clusters, n_allocated_clusters, size_bytes;
    bool thin, read_only;
    bool snapshot;         /* has clones, or is read-only and marked as a snapshot (spec 10.1) */
    bool spdk_snapshot;    /* SPDK's definition: has clones now or had one since the load */
    bool clone;            /* of a snapshot of the pool */
    bool esnap_clone;      /* of an external device */
    struct volume *parent; /* NULL: none */
    const char *esnap_id;  /* text; NULL: none */
    size_t n_clones;
    enum pool_clear clear;
    bool rle; /* extents kept as run list (no extent table) */
    enum volume_state state;
    const char *fault;            /* why it is not ok, for people; NULL */
    uint64_t n_ancestor_clusters; /* allocated by all ancestors together */
};

struct volume_xattr {
    const char *name;
    const void *value;
    size_t n_bytes;
};

struct volume_create_opts {
    bool thin;
    enum pool_clear clear;
    struct ash_uuid uuid; /* nil: random */
    bool rle;
    const struct volume_xattr *xattrs;
    size_t n_xattrs;
};

/* size_bytes is rounded up to clusters; 0 is a volume of none. */
int volume_create(struct pool *pool, const char *name, uint64_t size_bytes,
                  const struct volume_create_opts *opts, struct volume **ret_vol,
                  struct ash_err *err) ASH_MAY_WAIT;
/* Takes its bdev away first (holders get REMOVE and are awaited). A snapshot with one clone merges
 * into it; with more: -EBUSY VOLUME_HAS_CLONES. */
int volume_delete(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int volume_resize(struct volume *vol, uint64_t size_bytes, struct ash_err *err) ASH_MAY_WAIT;
int volume_rename(struct volume *vol, const char *new_name, struct ash_err *err) ASH_MAY_WAIT;
int volume_set_read_only(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
/* opts: uuid and xattrs count; NULL is fine. */
int volume_snapshot(struct volume *vol, const char *name, const struct volume_create_opts *opts,
                    struct volume **ret_snap, struct ash_err *err) ASH_MAY_WAIT;
int volume_clone(struct volume *snap, const char *name, const struct volume_create_opts *opts,
                 struct volume **ret_clone, struct ash_err *err) ASH_MAY_WAIT;
/* Clone of any device (external snapshot). */
int volume_clone_bdev(struct pool *pool, const char *bdev_name, const char *name,
                      const struct volume_create_opts *opts, struct volume **ret_clone,
                      struct ash_err *err) ASH_MAY_WAIT;
int volume_inflate(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int volume_decouple(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
/* Drop the parent link; unallocated clusters become zero. */
int volume_detach(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int volume_set_parent(struct volume *vol, struct volume *snap, struct ash_err *err) ASH_MAY_WAIT;
int volume_set_parent_bdev(struct volume *vol, const char *bdev_name,
                           struct ash_err *err) ASH_MAY_WAIT;

enum volume_copy_state { VOLUME_COPY_RUNNING, VOLUME_COPY_DONE, VOLUME_COPY_FAILED };
struct volume_copy_info {
    uint64_t n_copied_clusters, n_total_clusters;
    enum volume_copy_state state;
    int rc; /* when failed */
};
/* Copy the clusters that the (read-only) volume owns to the same offsets of a device. Runs on in
 * the background; ids count from 1. The final state stays readable for 10 minutes. */
int volume_shallow_copy(struct volume *vol, const char *dst_bdev, uint32_t *ret_id,
                        struct ash_err *err) ASH_MAY_WAIT;
int volume_shallow_copy_info(struct pool_mgr *pools, uint32_t id,
                             struct volume_copy_info *ret_info); /* -ENODEV */

/* User attributes ("name" and "uuid" are the layer's own and refused: -EINVAL). On snapshots only
 * for callers that say so. */
int volume_xattr_set(struct volume *vol, const char *name, const void *value, size_t n_bytes,
                     bool even_read_only, struct ash_err *err) ASH_MAY_WAIT;
int volume_xattr_remove(struct volume *vol, const char *name, bool even_read_only,
                        struct ash_err *err) ASH_MAY_WAIT;
/* Borrowed until the next wait; -ENOENT XATTR_NOT_FOUND. */
int volume_xattr_get(const struct volume *vol, const char *name, const void **ret_value,
                     size_t *ret_n_bytes);
size_t volume_xattrs(const struct volume *vol, struct volume_xattr *ret,
                     size_t n_max); /* returns how many there are */

/* Bit per cluster that the volume itself owns; first and n in clusters. bits has room for n/8 + 1
 * bytes. */
int volume_allocation_map(const struct volume *vol, uint64_t first, uint64_t n, uint8_t *ret_bits);

/* By "pool/name", unique id or UUID text; degraded and faulted ones too. */
struct volume *volume_find(struct pool_mgr *pools, const char *name);
struct volume *volume_find_in(struct pool *pool, const char *name);
struct volume *volume_of_bdev(struct pool_mgr *pools, const char *bdev_name); /* any of its names */
struct volume *volume_next(struct pool *pool, struct volume *prev); /* by blob id; NULL starts */
struct volume *volume_next_clone(const struct volume *snap, struct volume *prev);
void volume_get_info(const struct volume *vol, struct volume_info *ret_info);

#endif
