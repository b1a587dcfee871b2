/* SPDX-License-Identifier: Apache-2.0 */
/* The pool interface over its backends. */
#include "pool/pool.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "pool/pool_internal.h"

struct bdev_module *const pool_bdev_modules[] = {&lvs_bdev_module, &lvs_uri_module, &lvm_uri_module,
                                                 NULL};

enum { COPY_KEEP_S = 600 }; /* how long the end of a shallow copy stays readable */

/* ---------------------------------------------------------------- manager */

int pool_mgr_create(struct bdev_mgr *bdevs, struct pool_mgr **ret_pools, struct ash_err *err)
{
    struct pool_mgr *pools = rt_alloc(sizeof(*pools));
    if (!pools)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the pool manager");
    pools->bdevs = bdevs;
    ash_list_init(&pools->pools);
    ash_list_init(&pools->copies);
    rt_waitq_init(&pools->closed_q);
    bdev_mgr_set_pools(bdevs, pools);
    *ret_pools = pools;
    return 0;
}

void pool_mgr_destroy(struct pool_mgr *pools)
{
    if (!pools)
        return;
    bdev_wait_for_examine(pools->bdevs);
    /* Newest first: a pool may lie on a volume of an older one. */
    while (!ash_list_empty(&pools->pools))
        lvs_pool_close(ash_list_entry(pools->pools.prev, struct pool, link));
    bdev_mgr_set_pools(pools->bdevs, NULL);
    while (!ash_list_empty(&pools->copies))
        rt_free(ash_list_entry(ash_list_pop_head(&pools->copies), struct pool_copy, link));
    rt_free(pools);
}

struct bdev_mgr *pool_mgr_bdevs(struct pool_mgr *pools)
{
    return pools->bdevs;
}

void pool_mgr_set_read_only(struct pool_mgr *pools, bool read_only)
{
    pools->read_only = read_only;
}

/* ------------------------------------------------------------------ pools */

int pool_create(struct pool_mgr *pools, const char *bdev_name, const char *name,
                const struct pool_create_opts *opts, struct pool **ret_pool, struct ash_err *err)
{
    return lvs_pool_create(pools, bdev_name, name, opts, ret_pool, err);
}

int pool_import(struct pool_mgr *pools, const char *bdev_name, bool read_only, const char *new_name,
                struct pool **ret_pool, struct ash_err *err)
{
    return lvs_pool_import(pools, bdev_name, read_only, new_name, ret_pool, err);
}

int pool_export(struct pool *pool, struct ash_err *err)
{
    return pool->ops->export(pool, err);
}

int pool_destroy(struct pool *pool, struct ash_err *err)
{
    return pool->ops->destroy(pool, err);
}

int pool_rename(struct pool *pool, const char *new_name, struct ash_err *err)
{
    return pool->ops->rename(pool, new_name, err);
}

int pool_grow(struct pool *pool, struct ash_err *err)
{
    return pool->ops->grow(pool, err);
}

int pool_set_thresholds(struct pool *pool, uint8_t warn_percent, uint8_t critical_percent,
                        struct ash_err *err)
{
    return pool->ops->set_thresholds(pool, warn_percent, critical_percent, err);
}

int pool_set_zeroing(struct pool *pool, enum pool_zeroing zeroing)
{
    return pool->ops->set_zeroing(pool, zeroing);
}

struct pool *pool_next(struct pool_mgr *pools, struct pool *prev)
{
    struct ash_list *l = prev ? prev->link.next : pools->pools.next;
    return l == &pools->pools ? NULL : ash_list_entry(l, struct pool, link);
}

struct pool *pool_find(struct pool_mgr *pools, const char *name)
{
    for (struct pool *p = pool_next(pools, NULL); p; p = pool_next(pools, p))
        if (strcmp(p->ops->get_name(p), name) == 0)
            return p;
    return NULL;
}

struct pool *pool_find_uuid(struct pool_mgr *pools, const struct ash_uuid *uuid)
{
    struct pool_info info;
    for (struct pool *p = pool_next(pools, NULL); p; p = pool_next(pools, p)) {
        pool_get_info(p, &info);
        if (ash_uuid_equal(&info.uuid, uuid))
            return p;
    }
    return NULL;
}

void pool_get_info(const struct pool *pool, struct pool_info *ret_info)
{
    pool->ops->get_info(pool, ret_info);
}

/* ---------------------------------------------------------------- volumes */

int volume_create(struct pool *pool, const char *name, uint64_t size_bytes,
                  const struct volume_create_opts *opts, struct volume **ret_vol,
                  struct ash_err *err)
{
    return pool->ops->create_volume(pool, name, size_bytes, opts, ret_vol, err);
}

int volume_delete(struct volume *vol, struct ash_err *err)
{
    return vol->pool->ops->delete (vol, err);
}

int volume_resize(struct volume *vol, uint64_t size_bytes, struct ash_err *err)
{
    return vol->pool->ops->resize(vol, size_bytes, err);
}

int volume_rename(struct volume *vol, const char *new_name, struct ash_err *err)
{
    return vol->pool->ops->rename_volume(vol, new_name, err);
}

int volume_set_read_only(struct volume *vol, struct ash_err *err)
{
    return vol->pool->ops->set_read_only(vol, err);
}

int volume_snapshot(struct volume *vol, const char *name, const struct volume_create_opts *opts,
                    struct volume **ret_snap, struct ash_err *err)
{
    return vol->pool->ops->snapshot(vol, name, opts, ret_snap, err);
}

int volume_clone(struct volume *snap, const char *name, const struct volume_create_opts *opts,
                 struct volume **ret_clone, struct ash_err *err)
{
    return snap->pool->ops->clone(snap, name, opts, ret_clone, err);
}

int volume_clone_bdev(struct pool *pool, const char *bdev_name, const char *name,
                      const struct volume_create_opts *opts, struct volume **ret_clone,
                      struct ash_err *err)
{
    return pool->ops->clone_bdev(pool, bdev_name, name, opts, ret_clone, err);
}

int volume_inflate(struct volume *vol, struct ash_err *err)
{
    return vol->pool->ops->inflate(vol, err);
}

int volume_decouple(struct volume *vol, struct ash_err *err)
{
    return vol->pool->ops->decouple(vol, err);
}

int volume_detach(struct volume *vol, struct ash_err *err)
{
    return vol->pool->ops->detach(vol, err);
}

int volume_set_parent(struct volume *vol, struct volume *snap, struct ash_err *err)
{
    if (snap->pool != vol->pool)
        return ash_err_set(err, ASH_E_VOLUME_BAD_PARENT, NULL,
                           "the parent must be a snapshot of the same pool");
    return vol->pool->ops->set_parent(vol, snap, err);
}

int volume_set_parent_bdev(struct volume *vol, const char *bdev_name, struct ash_err *err)
{
    return vol->pool->ops->set_parent_bdev(vol, bdev_name, err);
}

int volume_shallow_copy(struct volume *vol, const char *dst_bdev, uint32_t *ret_id,
                        struct ash_err *err)
{
    return vol->pool->ops->shallow_copy(vol, dst_bdev, ret_id, err);
}

int volume_shallow_copy_info(struct pool_mgr *pools, uint32_t id, struct volume_copy_info *ret_info)
{
    int rc = -ENODEV;
    ash_list_for_each_safe (l, &pools->copies) {
        struct pool_copy *copy = ash_list_entry(l, struct pool_copy, link);
        if (copy->info.state != VOLUME_COPY_RUNNING &&
            rt_now_ns() - copy->ended_ns > COPY_KEEP_S * UINT64_C(1000000000)) {
            ash_list_remove(&copy->link);
            rt_free(copy);
        } else if (copy->id == id) {
            *ret_info = copy->info;
            rc = 0;
        }
    }
    return rc;
}

int volume_xattr_set(struct volume *vol, const char *name, const void *value, size_t n_bytes,
                     bool even_read_only, struct ash_err *err)
{
    return vol->pool->ops->xattr_set(vol, name, value, n_bytes, even_read_only, err);
}

int volume_xattr_remove(struct volume *vol, const char *name, bool even_read_only,
                        struct ash_err *err)
{
    return vol->pool->ops->xattr_remove(vol, name, even_read_only, err);
}

int volume_xattr_get(const struct volume *vol, const char *name, const void **ret_value,
                     size_t *ret_n_bytes)
{
    return vol->pool->ops->xattr_get(vol, name, ret_value, ret_n_bytes);
}

size_t volume_xattrs(const struct volume *vol, struct volume_xattr *ret, size_t n_max)
{
    return vol->pool->ops->xattrs(vol, ret, n_max);
}

int volume_allocation_map(const struct volume *vol, uint64_t first, uint64_t n, uint8_t *ret_bits)
{
    return vol->pool->ops->allocation_map(vol, first, n, ret_bits);
}

struct volume *volume_find_in(struct pool *pool, const char *name)
{
    return pool->ops->find_volume(pool, name);
}

struct volume *volume_find(struct pool_mgr *pools, const char *name)
{
    for (struct pool *p = pool_next(pools, NULL); p; p = pool_next(pools, p)) {
        const char *pool_name = p->ops->get_name(p);
        size_t n = strlen(pool_name);
        struct volume_info info;
        struct volume *v = NULL;
        if (strncmp(name, pool_name, n) == 0 && name[n] == '/') {
            v = volume_find_in(p, name + n + 1);
        } else {
            v = volume_find_in(p, name);
            if (v) { /* a bare name is not enough here */
                volume_get_info(v, &info);
                char uuid[ASH_UUID_TEXT_BYTES];
                if (strcmp(info.unique_id, name) != 0 &&
                    strcasecmp(ash_uuid_format(&info.uuid, uuid), name) != 0)
                    v = NULL;
            }
        }
        if (v)
            return v;
    }
    return NULL;
}

struct volume *volume_of_bdev(struct pool_mgr *pools, const char *bdev_name)
{
    struct bdev *bdev = bdev_find(pools->bdevs, bdev_name);
    return bdev ? lvs_volume_of_bdev(bdev) : NULL;
}

struct volume *volume_next(struct pool *pool, struct volume *prev)
{
    return pool->ops->next_volume(pool, prev);
}

struct volume *volume_next_clone(const struct volume *snap, struct volume *prev)
{
    return snap->pool->ops->next_clone(snap, prev);
}

void volume_get_info(const struct volume *vol, struct volume_info *ret_info)
{
    vol->pool->ops->get_volume_info(vol, ret_info);
}
