/* SPDX-License-Identifier: Apache-2.0 */
/* Stores as a whole: open, close, grow, rename, destroy; create.c writes new ones
 * (docs/spec/blobstore-format.md 2.2, 9.9 - 9.10, 11.7).
 *
 * Invariants
 *   - An orderly close leaves no SNAPTMP or SNAPRM, writes the masks, flushes, and sets clean = 1
 *     as the very last write. A store with damage that the masks could not tell stays dirty. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

static const struct pool_ops lvs_pool_ops;

/* --------------------------------------------------------------- lifetime */

static int store_new(struct pool_mgr *pools, struct lvs_store **ret_store)
{
    struct lvs_store *s = rt_alloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    if (ash_htab_init(&s->by_name) || ash_htab_init(&s->by_uid)) {
        ash_htab_fini(&s->by_name);
        rt_free(s);
        return -ENOMEM;
    }
    s->pool = (struct pool){.ops = &lvs_pool_ops, .mgr = pools};
    ash_list_init(&s->pool.link);
    s->bdevs = pools->bdevs;
    s->clear = POOL_CLEAR_UNMAP;
    s->warn_percent[0] = 80;
    s->warn_percent[1] = 95;
    ash_list_init(&s->volumes);
    ash_list_init(&s->commit_queue);
    ash_list_init(&s->alloc_waiting);
    for (size_t i = 0; i < ASH_N_ELEMS(s->pending_hash); i++)
        ash_list_init(&s->pending_hash[i]);
    rt_mutex_init(&s->md_lock);
    rt_mutex_init(&s->tree_lock);
    rt_waitq_init(&s->idle_q);
    rt_waitq_init(&s->freeze_q);
    rt_waitq_init(&s->bdev_q);
    *ret_store = s;
    return 0;
}

static void store_free(struct lvs_store *s)
{
    ASH_ASSERT(s->n_ops == 0 && !s->commit_running && s->n_pending == 0);
    ash_list_remove(&s->pool.link);
    rt_waitq_wake_all(&s->pool.mgr->closed_q);
    while (!ash_list_empty(&s->volumes)) {
        struct lvs_volume *v = ash_list_entry(s->volumes.next, struct lvs_volume, link);
        lvs_esnap_close(v);
        lvs_volume_unlink(v);
        lvs_volume_free(v);
    }
    ash_htab_fini(&s->by_name);
    ash_htab_fini(&s->by_uid);
    lvs_xattrs_free(&s->super_root.user);
    lvs_xattrs_free(&s->super_root.internal);
    if (s->super_map.windows)
        lvs_map_fini(&s->super_map);
    rt_free(s->super_cont_pages);
    ash_bitmap_fini(&s->used_clusters);
    ash_bitmap_fini(&s->used_pages);
    ash_bitmap_fini(&s->zero_clusters);
    ash_bitmap_fini(&s->roots);
    rt_free(s->by_root);
    if (s->ch)
        bdev_channel_put(s->ch);
    if (s->desc)
        bdev_close(s->desc);
    rt_free(s);
}

/* The disk goes away. */
static void gone_task(void *arg)
{
    struct lvs_store *s = arg;
    (void)lvs_store_close(s, true, NULL);
}

static void base_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct lvs_store *s = bdev_desc_user(desc);
    if (ev == BDEV_EVENT_REMOVE && s->is_opening) {
        s->is_disk_gone = true; /* who opens it sees to it */
    } else if (ev == BDEV_EVENT_REMOVE && !s->is_closing) {
        s->is_closing = true;
        if (rt_task_spawn("pool lost its disk", gone_task, s) != 0)
            s->is_closing = false; /* the removal waits for an orderly close */
    }
}

static int open_base(struct lvs_store *s, const char *bdev_name, struct ash_err *err)
{
    int rc = bdev_open(s->bdevs, bdev_name, s->read_only ? BDEV_OPEN_READ : BDEV_OPEN_WRITE,
                       "lvstore", base_event, s, &s->desc, err);
    if (rc == 0 && !s->read_only)
        rc = bdev_claim(s->desc, BDEV_CLAIM_READ_WRITE_ONE, 0, "lvol", err);
    if (rc == 0) {
        snprintf(s->base_name, sizeof(s->base_name), "%s", bdev_desc_bdev(s->desc)->name);
        s->ch = bdev_channel_get(s->desc);
        if (!s->ch)
            rc = ash_err_set(err, ASH_E_NO_MEMORY, bdev_name, "no channel for device '%s'",
                             bdev_name);
    }
    return rc;
}

/* ------------------------------------------------------------------- open */

static int read_super(struct lvs_store *s, struct ash_err *err)
{
    struct bdev *base = bdev_desc_bdev(s->desc);
    void *buf = rt_buf_get(LVS_PAGE_BYTES);
    if (!buf)
        return ash_err_set(err, ASH_E_NO_MEMORY, s->base_name, "no memory to read '%s'",
                           s->base_name);
    int rc = base->size_bytes < LVS_PAGE_BYTES ? -EIO : bdev_read(s->ch, buf, 0, LVS_PAGE_BYTES);
    memcpy(&s->super, buf, LVS_PAGE_BYTES);
    rt_buf_put(buf, LVS_PAGE_BYTES);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_POOL_IO, s->base_name,
                              "super block of '%s' could not be read: %s", s->base_name,
                              ash_strerror(rc));
    rc = lvs_super_check(&s->super, base->size_bytes, err);
    if (rc)
        return ash_err_while(err, rc, "opening the store on '%s'", s->base_name);
    if (!lvs_super_is_lvstore(&s->super))
        return ash_err_set(err, ASH_E_POOL_WRONG_TYPE, s->base_name,
                           "the blobstore on '%s' is no lvstore", s->base_name);
    lvs_super_apply(s, base->size_bytes);
    if (base->block_bytes > s->io_unit_bytes)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, s->base_name,
                           "blocks of %u of '%s' are larger than the store's blocks of %u",
                           base->block_bytes, s->base_name, s->io_unit_bytes);
    return 0;
}

static int check_name(struct lvs_store *s, const char *new_name, struct ash_err *err)
{
    struct pool *other = pool_find(s->pool.mgr, s->name);
    if (!other && !pool_find_uuid(s->pool.mgr, &s->uuid))
        return 0;
    if (!other)
        return ash_err_set(err, ASH_E_POOL_NAME_TAKEN, s->name,
                           "a pool with the UUID of pool '%s' is open already", s->name);
    if (!new_name || pool_find(s->pool.mgr, new_name))
        return ash_err_set(err, ASH_E_POOL_NAME_TAKEN, s->name, "a pool named '%s' is open already",
                           s->name);
    snprintf(s->name, sizeof(s->name), "%s", new_name);
    ash_list_for_each (l, &s->volumes)
        lvs_volume_identify(ash_list_entry(l, struct lvs_volume, link));
    return 0;
}

/* Volumes get their external parents, then their bdevs, parents before clones. */
static void bring_up(struct lvs_store *s)
{
    ash_list_for_each (l, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        if ((v->root.invalid_flags & LVS_INVALID_ESNAP) && v->state != VOLUME_FAULTED) {
            char id[LVS_UUID_BYTES];
            s->has_esnaps = true;
            memcpy(id, v->esnap_id, sizeof(id));
            if (bdev_find(s->bdevs, id))
                (void)lvs_esnap_open(v, id, NULL);
            memcpy(v->esnap_id, id, sizeof(id));
        }
    }
    ash_list_for_each (l, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        lvs_state_update(v);
        struct ash_err err = {0};
        if (v->state == VOLUME_OK && lvs_bdev_register(v, &err) != 0) {
            v->state = VOLUME_FAULTED;
            snprintf(v->fault, sizeof(v->fault), "%.150s", err.text);
        }
    }
}

static int finish_open(struct lvs_store *s, const char *new_name, struct ash_err *err)
{
    int rc = check_name(s, new_name, err);
    if (rc)
        return rc;
    ash_list_push_tail(&s->pool.mgr->pools, &s->pool.link);
    bring_up(s);
    bdev_notify(s->bdevs, "pool_open", s->name);
    return 0;
}

/* The pool is open, unless its disk went in the meantime. */
static int end_opening(struct lvs_store *s, struct ash_err *err)
{
    char name[sizeof(s->base_name)];
    s->is_opening = false;
    if (!s->is_disk_gone)
        return 0;
    snprintf(name, sizeof(name), "%s", s->base_name);
    (void)lvs_store_close(s, true, NULL);
    return ash_err_set(err, ASH_E_BDEV_REMOVED, name, "device '%s' is being removed", name);
}

int lvs_store_open(struct pool_mgr *pools, const char *bdev_name, bool read_only,
                   const char *new_name, struct lvs_store **ret_store, struct ash_err *err)
{
    struct lvs_store *s;
    if (store_new(pools, &s))
        return ash_err_set(err, ASH_E_NO_MEMORY, bdev_name, "no memory for the pool on '%s'",
                           bdev_name);
    s->read_only = read_only;
    s->is_opening = true;
    int rc = open_base(s, bdev_name, err);
    if (rc == 0)
        rc = read_super(s, err);
    if (rc == 0)
        rc = lvs_load(s, err);
    if (rc == 0)
        rc = finish_open(s, new_name, err);
    if (rc) {
        store_free(s);
        return rc;
    }
    rc = end_opening(s, err);
    if (rc == 0)
        *ret_store = s;
    return rc;
}

int lvs_pool_import(struct pool_mgr *pools, const char *bdev_name, bool read_only,
                    const char *new_name, struct pool **ret_pool, struct ash_err *err)
{
    struct lvs_store *s = NULL;
    int rc = lvs_store_open(pools, bdev_name, read_only || pools->read_only, new_name, &s, err);
    if (rc == 0)
        *ret_pool = &s->pool;
    return rc;
}

void lvs_examine(struct bdev_mgr *bdevs, struct bdev *bdev)
{
    struct lvs_store *s;
    struct pool_mgr *pools = bdev_mgr_pools(bdevs);
    /* A cheap look first, through a descriptor that disturbs nobody; the open looks again. */
    struct bdev_desc *desc;
    struct lvs_super_disk *super = rt_buf_get(LVS_PAGE_BYTES);
    bool found = false;
    char name[128];
    snprintf(name, sizeof(name), "%s", bdev->name);
    if (super && bdev->size_bytes >= LVS_PAGE_BYTES &&
        bdev_open(bdevs, name, BDEV_OPEN_READ, "examine", NULL, NULL, &desc, NULL) == 0) {
        struct bdev_channel *ch = bdev_channel_get(desc);
        found = ch && bdev_read(ch, super, 0, LVS_PAGE_BYTES) == 0 &&
                memcmp(super->signature, LVS_SIGNATURE, LVS_SIGNATURE_BYTES) == 0 &&
                lvs_super_is_lvstore(super);
        if (ch)
            bdev_channel_put(ch);
        bdev_close(desc);
    }
    rt_buf_put(super, LVS_PAGE_BYTES);
    if (!found)
        return;
    struct ash_err err = {0};
    if (lvs_store_open(pools, name, pools->read_only, NULL, &s, &err) != 0)
        bdev_notify(bdevs, "pool_open_failed", err.text);
}

/* ------------------------------------------------------------------ close */

static int settle_snapshots(struct lvs_store *s)
{
    int rc = 0;
    ash_list_for_each (l, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        struct lvs_root next;
        bool half_done = lvs_xattrs_find(&v->root.internal, LVS_XATTR_SNAPTMP) ||
                         lvs_xattrs_find(&v->root.internal, LVS_XATTR_SNAPRM);
        if (!half_done || v->must_stay || v->state == VOLUME_FAULTED)
            continue;
        rc = lvs_root_copy(v, &next);
        if (rc == 0) {
            lvs_xattrs_remove(&next.internal, LVS_XATTR_SNAPTMP);
            lvs_xattrs_remove(&next.internal, LVS_XATTR_SNAPRM);
            rc = lvs_volume_commit(v, &next);
        }
        if (rc)
            break;
    }
    return rc;
}

/* A write that failed must not come true at the next load after it has read as not done: while the
 * disk works, maps that it may hold otherwise are written as they are. What fails here is left to
 * the recovery. */
static void settle_maps(struct lvs_store *s)
{
    ash_list_for_each (l, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        if (v->has_stale && !v->must_stay && v->state != VOLUME_FAULTED)
            (void)lvs_settle_windows(v);
    }
    while (s->commit_running)
        rt_waitq_wait(&s->idle_q);
}

static int write_clean(struct lvs_store *s)
{
    /* after a growth that failed the bitmap is longer than the mask on the disk */
    bool unsure = s->no_allocation || s->needs_recovery || s->used_clusters.n_bits != s->n_clusters;
    ash_list_for_each (l, &s->volumes)
        unsure |= ash_list_entry(l, struct lvs_volume, link)->must_stay;
    if (unsure)
        rt_log(RT_LOG_WARN, "pool",
               "pool '%s' is not marked as clean: %s; its next open recovers it", s->name,
               s->damage[0] ? s->damage : "an I/O error left it uncertain what its disk holds");
    rt_mutex_lock(&s->md_lock);
    rt_step("write masks and super block");
    int rc = s->is_clean_on_disk || unsure ? 0 : settle_snapshots(s);
    if (rc == 0 && !s->is_clean_on_disk && !unsure) {
        rc = lvs_masks_write(s);
        if (rc == 0)
            rc = lvs_flush(s);
        if (rc == 0) {
            struct lvs_super_disk next = s->super;
            next.clean = ash_le32(1);
            if (ash_le64_get(next.size_bytes) == 0)
                next.size_bytes = ash_le64(s->size_bytes);
            rc = lvs_super_write(s, &next);
        }
    }
    rt_mutex_unlock(&s->md_lock);
    return rc;
}

static bool any(struct lvs_volume *v, const void *arg)
{
    return true;
}

static void take_bdevs(struct lvs_store *s)
{
    rt_mutex_lock(&s->tree_lock);
    lvs_bdevs_leave(s, any, NULL);
    rt_mutex_unlock(&s->tree_lock);
}

int lvs_store_close(struct lvs_store *s, bool device_is_gone, struct ash_err *err)
{
    s->is_closing = true;
    rt_step("take volumes away");
    take_bdevs(s);
    while (s->n_ops > 0 || s->commit_running)
        rt_waitq_wait(&s->idle_q);
    int rc = 0;
    if (!s->read_only && !device_is_gone) {
        settle_maps(s);
        rc = write_clean(s);
    }
    if (rc)
        ash_err_set_rc(
            err, rc, ASH_E_POOL_IO, s->name,
            "pool '%s' could not be closed cleanly and will be recovered at the next open: %s",
            s->name, ash_strerror(rc));
    bdev_notify(s->bdevs, "pool_close", s->name);
    store_free(s);
    return rc;
}

void lvs_pool_close(struct pool *pool)
{
    struct lvs_store *s = lvs_of_pool(pool);
    if (!s->is_closing) {
        (void)lvs_store_close(s, false, NULL);
        return;
    }
    rt_waitq_wait(&pool->mgr->closed_q); /* its disk is being removed: somebody is at it already */
}

static struct lvs_volume *volume_in_use(const struct lvs_store *s)
{
    ash_list_for_each (l, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        if (v->has_bdev && bdev_is_open(&v->bdev))
            return v;
    }
    return NULL;
}

static int store_export(struct pool *pool, struct ash_err *err)
{
    struct lvs_store *s = lvs_of_pool(pool);
    if (!s->is_closing && volume_in_use(s)) {
        /* A volume that has just been made is looked at for a moment; that is no use of it. */
        s->n_ops++;
        bdev_wait_for_examine(s->bdevs);
        lvs_store_op_end(s);
    }
    if (s->is_closing)
        return ash_err_set(err, ASH_E_POOL_BUSY, s->name, "pool '%s' is being closed", s->name);
    if (s->n_ops > 0)
        return ash_err_set(err, ASH_E_POOL_BUSY, s->name, "operations are running in pool '%s'",
                           s->name);
    const struct lvs_volume *v = volume_in_use(s);
    if (v)
        return ash_err_set(err, ASH_E_POOL_BUSY, s->name, "volume '%s' of pool '%s' is in use",
                           v->name, s->name);
    return lvs_store_close(s, false, err);
}

/* ----------------------------------------------------------------- create */

int lvs_pool_create(struct pool_mgr *pools, const char *bdev_name, const char *name,
                    const struct pool_create_opts *opts, struct pool **ret_pool,
                    struct ash_err *err)
{
    static const struct pool_create_opts no_opts;
    struct lvs_store *s;
    opts = opts ? opts : &no_opts;
    int rc = lvs_name_check(name, "pool", err);
    if (rc == 0 && pool_find(pools, name))
        rc = ash_err_set(err, ASH_E_POOL_NAME_TAKEN, name, "a pool named '%s' is open already",
                         name);
    if (rc)
        return rc;
    if (store_new(pools, &s))
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for pool '%s'", name);
    s->is_opening = true;
    rc = open_base(s, bdev_name, err);
    if (rc == 0)
        rc = lvs_store_format(s, name, opts, err);
    if (rc == 0)
        rc = finish_open(s, NULL, err);
    if (rc) {
        store_free(s);
        return rc;
    }
    rc = end_opening(s, err);
    if (rc == 0)
        *ret_pool = &s->pool;
    return rc;
}

/* ---------------------------------------------------- destroy, rename, grow */

static int store_destroy(struct pool *pool, struct ash_err *err)
{
    struct lvs_store *s = lvs_of_pool(pool);
    if (s->read_only || s->is_closing || s->n_ops > 0)
        return ash_err_set(err, ASH_E_POOL_BUSY, s->name, "pool '%s' is %s", s->name,
                           s->read_only ? "open read-only"
                                        : "busy with an operation, or being closed");
    s->is_closing = true;
    take_bdevs(s);
    while (s->n_ops > 0 || s->commit_running)
        rt_waitq_wait(&s->idle_q);
    rt_mutex_lock(&s->md_lock);
    rt_step("erase super block");
    int rc = bdev_write_zeroes(s->ch, 0, LVS_PAGE_BYTES, 0);
    if (rc == 0)
        rc = lvs_flush(s);
    rt_mutex_unlock(&s->md_lock);
    if (rc)
        ash_err_set_rc(err, rc, ASH_E_POOL_IO, s->name,
                       "super block of pool '%s' could not be erased: %s", s->name,
                       ash_strerror(rc));
    else if (bdev_supports(bdev_desc_bdev(s->desc), BDEV_UNMAP))
        (void)bdev_unmap(s->ch, 0, s->n_clusters * s->cluster_bytes); /* a kindness to the device */
    bdev_notify(s->bdevs, "pool_close", s->name);
    store_free(s);
    return rc;
}

static int commit_label(struct lvs_store *s, struct lvs_root *next)
{
    bool uncertain;
    rt_mutex_lock(&s->md_lock);
    int rc = lvs_chain_write(s, next, &s->super_root, &s->super_cont_pages, &s->n_super_cont_pages,
                             &uncertain);
    rt_mutex_unlock(&s->md_lock);
    if (rc == 0) {
        lvs_xattrs_free(&s->super_root.user);
        s->super_root.user = next->user;
    } else {
        lvs_xattrs_free(&next->user);
    }
    return rc;
}

static int store_rename(struct pool *pool, const char *new_name, struct ash_err *err)
{
    struct lvs_store *s = lvs_of_pool(pool);
    int rc = lvs_name_check(new_name, "pool", err);
    if (rc || strcmp(s->name, new_name) == 0)
        return rc;
    if (pool_find(pool->mgr, new_name))
        return ash_err_set(err, ASH_E_POOL_NAME_TAKEN, new_name,
                           "a pool named '%s' is open already", new_name);
    rc = lvs_store_op_begin(s, err);
    if (rc)
        return rc;
    struct lvs_root next = s->super_root;
    next.user = (struct lvs_xattrs){0};
    rc = lvs_xattrs_copy(&next.user, &s->super_root.user);
    if (rc == 0)
        rc = lvs_xattrs_set(&next.user, LVS_XATTR_NAME, new_name, strlen(new_name) + 1);
    if (rc == 0)
        rc = commit_label(s, &next);
    else
        lvs_xattrs_free(&next.user);
    if (rc)
        ash_err_set_rc(err, rc, ASH_E_POOL_IO, s->name, "pool '%s' could not be renamed: %s",
                       s->name, ash_strerror(rc));
    for (struct ash_list *l = rc ? &s->volumes : s->volumes.next; l != &s->volumes; l = l->next) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        if (l == s->volumes.next)
            snprintf(s->name, sizeof(s->name), "%s", new_name);
        if (v->has_bdev)
            (void)bdev_alias_del(&v->bdev, v->alias);
        lvs_volume_identify(v);
        if (v->has_bdev)
            (void)bdev_alias_add(&v->bdev, v->alias);
    }
    if (rc == 0)
        snprintf(s->name, sizeof(s->name), "%s", new_name);
    lvs_store_op_end(s);
    return rc;
}

/* Room for the cluster mask, in clusters. */
static uint64_t mask_room(const struct lvs_store *s)
{
    uint64_t end = ash_le32_get(s->super.used_blobid_mask_len)
                       ? ash_le32_get(s->super.used_blobid_mask_start)
                       : ash_le32_get(s->super.md_start);
    uint64_t n_pages = end - ash_le32_get(s->super.used_cluster_mask_start);
    return (n_pages * s->md_page_bytes - sizeof(struct lvs_mask_disk)) * 8;
}

static int grow_to(struct lvs_store *s, uint64_t device_bytes, uint64_t n_clusters)
{
    /* Memory first: after the super block nothing may fail. Bits that an attempt before left behind
     * are marked used. */
    uint64_t n_had = s->used_clusters.n_bits;
    int rc = n_clusters < n_had ? -EIO : ash_bitmap_resize(&s->used_clusters, n_clusters);
    if (rc == 0)
        rc = ash_bitmap_resize(&s->zero_clusters, n_clusters);
    if (rc == 0) {
        struct lvs_super_disk next = s->super;
        next.clean = ash_le32(0);
        next.size_bytes = ash_le64(device_bytes);
        next.used_cluster_mask_len =
            ash_le32((uint32_t)lvs_mask_pages(n_clusters, s->md_page_bytes));
        rc = lvs_super_write(s, &next);
    }
    if (rc == 0) {
        for (uint64_t c = s->n_clusters; c < n_had; c++)
            ash_bitmap_clear(&s->used_clusters, c);
        s->is_clean_on_disk = false;
        s->size_bytes = device_bytes;
        s->n_clusters = n_clusters;
    } else {
        /* what was added is not there */
        for (uint64_t c = s->n_clusters; c < s->used_clusters.n_bits; c++)
            ash_bitmap_set(&s->used_clusters, c);
    }
    return rc;
}

static int store_grow(struct pool *pool, struct ash_err *err)
{
    struct lvs_store *s = lvs_of_pool(pool);
    int rc = lvs_store_op_begin(s, err);
    if (rc)
        return rc;
    rc = bdev_rescan(bdev_desc_bdev(s->desc), err);
    uint64_t device_bytes = bdev_desc_bdev(s->desc)->size_bytes;
    uint64_t n_clusters = device_bytes / s->cluster_bytes;
    if (rc) {
        ash_err_while(err, rc, "growing pool '%s'", s->name);
    } else if (device_bytes < s->size_bytes || n_clusters > mask_room(s) ||
               n_clusters > UINT32_MAX) {
        rc = ash_err_set(
            err, ASH_E_POOL_CANNOT_GROW, s->name,
            "pool '%s' of %llu bytes cannot become %llu bytes: it can have %llu clusters of %u",
            s->name, (unsigned long long)s->size_bytes, (unsigned long long)device_bytes,
            (unsigned long long)mask_room(s), s->cluster_bytes);
    } else if (n_clusters != s->n_clusters) {
        rt_mutex_lock(&s->md_lock);
        rc = grow_to(s, device_bytes, n_clusters);
        rt_mutex_unlock(&s->md_lock);
        if (rc)
            ash_err_set_rc(err, rc, ASH_E_POOL_IO, s->name, "pool '%s' could not be grown: %s",
                           s->name, ash_strerror(rc));
        else
            lvs_usage_changed(s);
    }
    lvs_store_op_end(s);
    return rc;
}

/* ----------------------------------------------------------- questions */

static int store_set_thresholds(struct pool *pool, uint8_t warn, uint8_t critical,
                                struct ash_err *err)
{
    struct lvs_store *s = lvs_of_pool(pool);
    if (warn > critical || critical > 100)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, s->name,
                           "thresholds %u%% and %u%% are not in order", warn, critical);
    s->warn_percent[0] = warn;
    s->warn_percent[1] = critical;
    s->usage_level = 0;
    lvs_usage_changed(s);
    return 0;
}

static int store_set_zeroing(struct pool *pool, enum pool_zeroing zeroing)
{
    lvs_of_pool(pool)->zeroing = zeroing;
    return 0;
}

static const char *store_name(const struct pool *pool)
{
    return ash_container_of(pool, struct lvs_store, pool)->name;
}

static void store_get_info(const struct pool *pool, struct pool_info *ret)
{
    const struct lvs_store *s = ash_container_of(pool, struct lvs_store, pool);
    *ret = (struct pool_info){
        .name = s->name,
        .uuid = s->uuid,
        .backend = "lvs",
        .base_bdev = s->base_name,
        .cluster_bytes = s->cluster_bytes,
        .n_clusters = s->n_clusters - s->md_clusters,
        .n_free_clusters = lvs_n_free_clusters(s),
        .size_bytes = s->size_bytes,
        .max_size_bytes = (lvs_mask_pages(s->md_len, s->md_page_bytes) * s->md_page_bytes -
                           sizeof(struct lvs_mask_disk)) *
                          8 * s->cluster_bytes,
        .n_md_pages = s->md_len,
        .n_free_md_pages = s->used_pages.n_bits - s->used_pages.n_set,
        .block_bytes = s->io_unit_bytes,
        .md_page_bytes = s->md_page_bytes,
        .n_volumes = s->n_volumes,
        .read_only = s->read_only,
        .was_dirty = s->was_dirty,
        .degraded = s->damage[0] != '\0',
        .damage = s->damage,
        .warn_percent = {s->warn_percent[0], s->warn_percent[1]},
    };
    ash_list_for_each (l, &s->volumes)
        ret->n_faulted += ash_list_entry(l, struct lvs_volume, link)->state == VOLUME_FAULTED;
}

static const struct pool_ops lvs_pool_ops = {
    .name = "lvs",
    .export = store_export,
    .destroy = store_destroy,
    .rename = store_rename,
    .grow = store_grow,
    .set_thresholds = store_set_thresholds,
    .set_zeroing = store_set_zeroing,
    .get_info = store_get_info,
    .get_name = store_name,
    .create_volume = lvs_volume_create,
    .clone_bdev = lvs_volume_clone_bdev,
    .find_volume = lvs_volume_find,
    .next_volume = lvs_volume_next,
    .delete = lvs_volume_delete,
    .resize = lvs_volume_resize,
    .rename_volume = lvs_volume_rename,
    .set_read_only = lvs_volume_set_read_only,
    .snapshot = lvs_volume_snapshot,
    .clone = lvs_volume_clone,
    .inflate = lvs_volume_inflate,
    .decouple = lvs_volume_decouple,
    .detach = lvs_volume_detach,
    .set_parent = lvs_volume_set_parent,
    .set_parent_bdev = lvs_volume_set_parent_bdev,
    .shallow_copy = lvs_volume_shallow_copy,
    .xattr_set = lvs_volume_xattr_set,
    .xattr_remove = lvs_volume_xattr_remove,
    .xattr_get = lvs_volume_xattr_get,
    .xattrs = lvs_volume_xattrs,
    .allocation_map = lvs_volume_allocation_map,
    .next_clone = lvs_volume_next_clone,
    .get_volume_info = lvs_volume_get_info,
};
