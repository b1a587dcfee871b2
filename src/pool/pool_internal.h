/* SPDX-License-Identifier: Apache-2.0 */
/* What a pool backend implements, and what it shares with the others. */
#ifndef ASH_POOL_POOL_INTERNAL_H
#define ASH_POOL_POOL_INTERNAL_H

#include "pool/pool.h"

struct pool_ops {
    const char *name; /* "lvs" */
    int (*export)(struct pool *pool, struct ash_err *err) ASH_MAY_WAIT;
    int (*destroy)(struct pool *pool, struct ash_err *err) ASH_MAY_WAIT;
    int (*rename)(struct pool *pool, const char *new_name, struct ash_err *err) ASH_MAY_WAIT;
    int (*grow)(struct pool *pool, struct ash_err *err) ASH_MAY_WAIT;
    int (*set_thresholds)(struct pool *pool, uint8_t warn, uint8_t critical, struct ash_err *err);
    int (*set_zeroing)(struct pool *pool, enum pool_zeroing zeroing);
    void (*get_info)(const struct pool *pool, struct pool_info *ret_info);
    const char *(*get_name)(const struct pool *pool);

    int (*create_volume)(struct pool *pool, const char *name, uint64_t size_bytes,
                         const struct volume_create_opts *opts, struct volume **ret_vol,
                         struct ash_err *err) ASH_MAY_WAIT;
    int (*clone_bdev)(struct pool *pool, const char *bdev_name, const char *name,
                      const struct volume_create_opts *opts, struct volume **ret_clone,
                      struct ash_err *err) ASH_MAY_WAIT;
    struct volume *(*find_volume)(struct pool *pool, const char *name); /* name, unique id, UUID */
    struct volume *(*next_volume)(struct pool *pool, struct volume *prev);

    int (*delete)(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
    int (*resize)(struct volume *vol, uint64_t size_bytes, struct ash_err *err) ASH_MAY_WAIT;
    int (*rename_volume)(struct volume *vol, const char *new_name,
                         struct ash_err *err) ASH_MAY_WAIT;
    int (*set_read_only)(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
    int (*snapshot)(struct volume *vol, const char *name, const struct volume_create_opts *opts,
                    struct volume **ret_snap, struct ash_err *err) ASH_MAY_WAIT;
    int (*clone)(struct volume *snap, const char *name, const struct volume_create_opts *opts,
                 struct volume **ret_clone, struct ash_err *err) ASH_MAY_WAIT;
    int (*inflate)(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
    int (*decouple)(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
    int (*detach)(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
    int (*set_parent)(struct volume *vol, struct volume *snap, struct ash_err *err) ASH_MAY_WAIT;
    int (*set_parent_bdev)(struct volume *vol, const char *bdev_name,
                           struct ash_err *err) ASH_MAY_WAIT;
    int (*shallow_copy)(struct volume *vol, const char *dst_bdev, uint32_t *ret_id,
                        struct ash_err *err) ASH_MAY_WAIT;
    int (*xattr_set)(struct volume *vol, const char *name, const void *value, size_t n_bytes,
                     bool even_read_only, struct ash_err *err) ASH_MAY_WAIT;
    int (*xattr_remove)(struct volume *vol, const char *name, bool even_read_only,
                        struct ash_err *err) ASH_MAY_WAIT;
    int (*xattr_get)(const struct volume *vol, const char *name, const void **ret_value,
                     size_t *ret_n_bytes);
    size_t (*xattrs)(const struct volume *vol, struct volume_xattr *ret, size_t n_max);
    int (*allocation_map)(const struct volume *vol, uint64_t first, uint64_t n, uint8_t *ret_bits);
    struct volume *(*next_clone)(const struct volume *snap, struct volume *prev);
    void (*get_volume_info)(const struct volume *vol, struct volume_info *ret_info);
};

/* What the backends add to the device modules. */
extern struct bdev_module lvs_bdev_module, lvs_uri_module, lvm_uri_module;

struct volume *lvs_volume_of_bdev(struct bdev *bdev); /* NULL: it is no volume */

struct pool {
    const struct pool_ops *ops;
    struct pool_mgr *mgr;
    struct ash_list link;
};

struct volume {
    struct pool *pool;
};

/* A shallow copy in progress or lately ended. */
struct pool_copy {
    struct ash_list link;
    uint32_t id;
    struct volume_copy_info info;
    uint64_t ended_ns;
};

struct pool_mgr {
    struct bdev_mgr *bdevs;
    struct ash_list pools; /* by age */
    struct ash_list copies;
    uint32_t n_copy_ids;
    bool read_only;
    struct rt_waitq closed_q; /* woken when a pool has been closed */
};

/* Backends that make or open a pool on a device. */
int lvs_pool_create(struct pool_mgr *pools, const char *bdev_name, const char *name,
                    const struct pool_create_opts *opts, struct pool **ret_pool,
                    struct ash_err *err) ASH_MAY_WAIT;
int lvs_pool_import(struct pool_mgr *pools, const char *bdev_name, bool read_only,
                    const char *new_name, struct pool **ret_pool, struct ash_err *err) ASH_MAY_WAIT;
/* Close one pool, or wait for some pool to be closed when somebody is closing this one already. */
void lvs_pool_close(struct pool *pool) ASH_MAY_WAIT;

#endif
