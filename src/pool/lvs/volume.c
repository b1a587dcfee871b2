/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes: identity, creation, deletion (docs/spec/blobstore-format.md 9.1, 9.5, 12.2).
 *
 * Invariants
 *   - A volume is on the disk exactly when its root page is; creation ends and deletion begins with
 *     that one write.
 *   - What a failed creation reserved is given back, unless the disk may refer to it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

/* ------------------------------------------------------------- lifetime */

int lvs_volume_new(struct lvs_store *s, struct lvs_volume **ret_vol)
{
    struct lvs_volume *v = rt_alloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->vol.pool = &s->pool;
    v->store = s;
    v->root.map = &v->map;
    ash_list_init(&v->link);
    ash_list_init(&v->clones);
    ash_list_init(&v->clone_link);
    *ret_vol = v;
    return 0;
}

void lvs_volume_free(struct lvs_volume *v)
{
    if (!v)
        return;
    ASH_ASSERT(!v->has_bdev && !v->esnap_desc && ash_list_empty(&v->link));
    lvs_set_parent_link(v, NULL);
    while (!ash_list_empty(&v->clones))
        lvs_set_parent_link(ash_list_entry(v->clones.next, struct lvs_volume, clone_link), NULL);
    lvs_xattrs_free(&v->root.user);
    lvs_xattrs_free(&v->root.internal);
    if (v->map.windows)
        lvs_map_fini(&v->map);
    rt_free(v->cont_pages);
    rt_free(v);
}

int lvs_roots_init(struct lvs_store *s)
{
    int rc = ash_bitmap_init(&s->roots, s->md_len);
    if (rc)
        return rc;
    s->by_root = rt_alloc((size_t)s->md_len * sizeof(struct lvs_volume *));
    return s->by_root ? 0 : -ENOMEM;
}

void lvs_volume_link(struct lvs_volume *v)
{
    struct lvs_store *s = v->store;
    uint32_t page = lvs_id_page(v->root.blob_id);
    struct ash_list *pos = &s->volumes;
    /* by blob id: to the end, or before the next one that there is */
    if (!ash_list_empty(pos) &&
        ash_list_entry(pos->prev, struct lvs_volume, link)->root.blob_id > v->root.blob_id)
        pos = &s->by_root[ash_bitmap_find_set(&s->roots, page)]->link;
    ASH_ASSERT(!s->by_root[page]);
    ash_list_insert_before(pos, &v->link);
    ash_bitmap_set(&s->roots, page);
    s->by_root[page] = v;
    s->n_volumes++;
}

struct lvs_volume *lvs_find_blob(struct lvs_store *s, uint64_t blob_id)
{
    return lvs_id_is_valid(blob_id) && lvs_id_page(blob_id) < s->md_len
               ? s->by_root[lvs_id_page(blob_id)]
               : NULL;
}

static void forget_names(struct lvs_volume *v)
{
    if (v->by_name.key)
        ash_htab_remove(&v->store->by_name, &v->by_name);
    if (v->by_uid.key)
        ash_htab_remove(&v->store->by_uid, &v->by_uid);
    v->by_name.key = v->by_uid.key = NULL;
}

void lvs_volume_unlink(struct lvs_volume *v)
{
    forget_names(v);
    ash_list_remove(&v->link);
    ash_bitmap_clear(&v->store->roots, lvs_id_page(v->root.blob_id));
    v->store->by_root[lvs_id_page(v->root.blob_id)] = NULL;
    v->store->n_volumes--;
    v->store->n_unlinked++;
}

void lvs_set_parent_link(struct lvs_volume *v, struct lvs_volume *parent)
{
    ash_list_remove(&v->clone_link);
    v->parent = parent;
    if (parent) {
        ash_list_push_tail(&parent->clones, &v->clone_link);
        parent->had_clone = true;
    }
}

/* Trees may be thousands of volumes deep: walked without recursion. */
struct lvs_volume *lvs_tree_next(const struct lvs_volume *root, struct lvs_volume *v)
{
    if (!ash_list_empty(&v->clones))
        return ash_list_entry(v->clones.next, struct lvs_volume, clone_link);
    for (; v != root; v = v->parent)
        if (v->clone_link.next != &v->parent->clones)
            return ash_list_entry(v->clone_link.next, struct lvs_volume, clone_link);
    return NULL;
}

struct lvs_volume *lvs_tree_last(struct lvs_volume *root)
{
    while (!ash_list_empty(&root->clones))
        root = ash_list_entry(root->clones.prev, struct lvs_volume, clone_link);
    return root;
}

struct lvs_volume *lvs_tree_prev(const struct lvs_volume *root, struct lvs_volume *v)
{
    if (v == root)
        return NULL;
    if (v->clone_link.prev == &v->parent->clones)
        return v->parent;
    return lvs_tree_last(ash_list_entry(v->clone_link.prev, struct lvs_volume, clone_link));
}

struct lvs_volume *lvs_find_name(struct lvs_store *s, const char *name)
{
    struct ash_hnode *n = ash_htab_find(&s->by_name, name);
    return n ? ash_container_of(n, struct lvs_volume, by_name) : NULL;
}

/* -------------------------------------------------------------- identity */

static void take_name(struct lvs_volume *v, const char *name, size_t n_name)
{
    /* Cut, then number: names longer than 63 and doubles exist on disks of others (12.2). */
    for (unsigned i = 0;; i++) {
        char tail[16] = "";
        if (i)
            snprintf(tail, sizeof(tail), "~%u", i);
        size_t n_room = LVS_NAME_MAX - strlen(tail);
        snprintf(v->name, sizeof(v->name), "%.*s%s", (int)ASH_MIN(n_name, n_room), name, tail);
        if (ash_htab_insert(&v->store->by_name, &v->by_name, v->name) == 0) {
            v->is_named_by_us = i > 0 || n_name > LVS_NAME_MAX;
            return;
        }
    }
}

void lvs_volume_identify(struct lvs_volume *v)
{
    const struct lvs_xattr *name = lvs_xattrs_find(&v->root.user, LVS_XATTR_NAME);
    const struct lvs_xattr *uuid = lvs_xattrs_find(&v->root.user, LVS_XATTR_UUID);
    char made[32], text[ASH_UUID_TEXT_BYTES];
    forget_names(v);
    if (name && name->n_value && *(const char *)lvs_xattr_value(name)) {
        take_name(v, lvs_xattr_value(name), strnlen(lvs_xattr_value(name), name->n_value));
    } else {
        snprintf(made, sizeof(made), "blob-%u", lvs_id_page(v->root.blob_id));
        take_name(v, made, strlen(made));
        v->is_named_by_us = true;
    }
    memset(&v->uuid, 0, sizeof(v->uuid));
    if (uuid && uuid->n_value >= LVS_UUID_BYTES - 1)
        (void)ash_uuid_parse(lvs_xattr_value(uuid), &v->uuid);
    if (ash_uuid_is_nil(&v->uuid))
        snprintf(v->unique_id, sizeof(v->unique_id), "%s_%llu",
                 ash_uuid_format(&v->store->uuid, text), (unsigned long long)v->root.blob_id);
    else
        ash_uuid_format(&v->uuid, v->unique_id);
    if (ash_htab_insert(&v->store->by_uid, &v->by_uid, v->unique_id) != 0)
        v->by_uid.key = NULL;
    snprintf(v->alias, sizeof(v->alias), "%s/%s", v->store->name, v->name);
}

int lvs_name_check(const char *name, const char *what, struct ash_err *err)
{
    size_t n = strnlen(name, LVS_NAME_MAX + 1);
    if (n == 0 || n > LVS_NAME_MAX || strchr(name, '/'))
        return ash_err_set(err, ASH_E_BAD_NAME, name,
                           "%s name '%.70s' is empty, longer than 63 bytes, or holds a '/'", what,
                           name);
    return 0;
}

int lvs_volume_name_free(struct lvs_store *s, const char *name, struct ash_err *err)
{
    int rc = lvs_name_check(name, "volume", err);
    if (rc == 0 && lvs_find_name(s, name))
        rc = ash_err_set(err, ASH_E_VOLUME_NAME_TAKEN, name, "pool '%s' has a volume '%s' already",
                         s->name, name);
    return rc;
}

enum pool_clear lvs_volume_clear(const struct lvs_volume *v)
{
    switch (v->root.md_ro_flags & LVS_MD_RO_CLEAR_MASK) {
    case LVS_CLEAR_DISK_NONE:
        return POOL_CLEAR_NONE;
    case LVS_CLEAR_DISK_WRITE_ZEROES:
        return POOL_CLEAR_WRITE_ZEROES;
    default:
        return POOL_CLEAR_UNMAP;
    }
}

/* ------------------------------------------------------------- operations */

int lvs_store_op_begin(struct lvs_store *s, struct ash_err *err)
{
    if (s->is_closing)
        return ash_err_set(err, ASH_E_POOL_BUSY, s->name, "pool '%s' is being closed", s->name);
    if (s->read_only)
        return ash_err_set(err, ASH_E_POOL_READ_ONLY, s->name, "pool '%s' was opened read-only",
                           s->name);
    s->n_ops++;
    return 0;
}

void lvs_store_op_end(struct lvs_store *s)
{
    ASH_ASSERT(s->n_ops > 0);
    if (--s->n_ops == 0)
        rt_waitq_wake_all(&s->idle_q);
}

int lvs_op_begin(struct lvs_volume *v, const char *op, struct ash_err *err)
{
    if (v->op)
        return ash_err_set(err, ASH_E_VOLUME_LOCKED, v->name, "volume '%s' is busy: %s", v->name,
                           v->op);
    if (v->must_stay)
        return ash_err_set(err, ASH_E_POOL_DEGRADED, v->name,
                           "volume '%s' shares clusters with another", v->name);
    if (v->state == VOLUME_FAULTED && strcmp(op, "delete") != 0)
        return ash_err_set(err, ASH_E_VOLUME_FAULTED, v->name, "volume '%s' is faulted: %s",
                           v->name, v->fault);
    if (lvs_is_foreign(v) && strcmp(op, "delete") != 0)
        return ash_err_set(err, ASH_E_VOLUME_READ_ONLY, v->name,
                           "volume '%s' has flags of a newer version: it can be read and deleted",
                           v->name);
    int rc = lvs_store_op_begin(v->store, err);
    if (rc)
        return rc;
    v->op = op; /* also keeps the parent from being deleted meanwhile */
    if (v->parent && lvs_has_marks(v->parent)) {
        rc = lvs_settle_marks(v->parent);
        if (rc) {
            lvs_err_rc(err, rc, v->parent, "finish the snapshot of");
            lvs_op_end(v);
        }
    }
    if (rc == 0 && v->has_stale && v->state != VOLUME_FAULTED) {
        rc = lvs_settle_windows(v);
        if (rc) {
            lvs_err_rc(err, rc, v, "write the map of");
            lvs_op_end(v);
        }
    }
    return rc == -EUCLEAN ? -EIO : rc;
}

void lvs_op_end(struct lvs_volume *v)
{
    ASH_ASSERT(v->op);
    v->op = NULL;
    lvs_store_op_end(v->store);
}

int lvs_err_rc(struct ash_err *err, int rc, const struct lvs_volume *v, const char *what)
{
    const struct lvs_store *s = v->store;
    switch (rc) {
    case 0:
        return 0;
    case -ENOSPC:
        return ash_err_set(err, ASH_E_POOL_FULL, v->name,
                           "cannot %s volume '%s': pool '%s' has %llu free clusters", what, v->name,
                           s->name, (unsigned long long)lvs_n_free_clusters(s));
    case -ENOMEM:
        if (s->used_pages.n_set == s->used_pages.n_bits)
            return ash_err_set(err, ASH_E_POOL_METADATA_FULL, v->name,
                               "cannot %s volume '%s': pool '%s' has no free metadata page", what,
                               v->name, s->name);
        return ash_err_set(err, ASH_E_NO_MEMORY, v->name, "cannot %s volume '%s': out of memory",
                           what, v->name);
    case -E2BIG:
        return ash_err_set(err, ASH_E_XATTR_TOO_BIG, v->name,
                           "cannot %s volume '%s': an attribute is too long", what, v->name);
    default:
        return ash_err_set_rc(err, rc == -EUCLEAN ? -EIO : rc, ASH_E_POOL_IO, v->name,
                              "cannot %s volume '%s': %s", what, v->name, ash_strerror(rc));
    }
}

/* --------------------------------------------------------------- creation */

static int prepare_attributes(struct lvs_volume *v, const char *name,
                              const struct volume_create_opts *opts)
{
    char value[LVS_NAME_BYTES] = {0}, text[ASH_UUID_TEXT_BYTES];
    struct ash_uuid uuid = opts->uuid;
    /* with its length. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(value, name, strlen(name));
    if (ash_uuid_is_nil(&uuid))
        rt_random_uuid(&uuid);
    int rc = lvs_xattrs_set(&v->root.user, LVS_XATTR_NAME, value, sizeof(value));
    if (rc == 0)
        rc = lvs_xattrs_set(&v->root.user, LVS_XATTR_UUID, ash_uuid_format(&uuid, text),
                            LVS_UUID_BYTES);
    for (size_t i = 0; i < opts->n_xattrs && rc == 0; i++) {
        const struct volume_xattr *x = &opts->xattrs[i];
        if (x->n_bytes == 0 || strcmp(x->name, LVS_XATTR_NAME) == 0 ||
            strcmp(x->name, LVS_XATTR_UUID) == 0)
            rc = -EINVAL;
        else
            rc = lvs_xattrs_set(&v->root.user, x->name, x->value, x->n_bytes);
    }
    return rc;
}

int lvs_volume_prepare(struct lvs_store *s, const char *name, uint64_t n_clusters, bool rle,
                       bool thin, const struct volume_create_opts *opts,
                       struct lvs_volume **ret_vol, struct ash_err *err)
{
    static const struct volume_create_opts no_opts;
    struct lvs_volume *v;
    char uuid[ASH_UUID_TEXT_BYTES];
    opts = opts ? opts : &no_opts;
    int rc = lvs_volume_name_free(s, name, err);
    if (rc == 0 && !ash_uuid_is_nil(&opts->uuid) &&
        (bdev_find(s->bdevs, ash_uuid_format(&opts->uuid, uuid)) ||
         ash_htab_find(&s->by_uid, uuid)))
        rc = ash_err_set(err, ASH_E_VOLUME_UUID_TAKEN, name, "UUID %s is taken", uuid);
    if (rc)
        return rc;
    rc = lvs_volume_new(s, &v);
    if (rc)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for volume '%s'", name);
    uint32_t page = lvs_page_take(s, 0);
    if (page == LVS_INVALID_PAGE) {
        lvs_volume_free(v);
        return ash_err_set(err, ASH_E_POOL_METADATA_FULL, name,
                           "pool '%s' has no free metadata page", s->name);
    }
    v->root.blob_id = lvs_blob_id(page);
    v->root.invalid_flags = (thin ? LVS_INVALID_THIN : 0) | (rle ? 0 : LVS_INVALID_EXTENT_TABLE);
    v->root.md_ro_flags = (uint64_t)opts->clear;
    rc = prepare_attributes(v, name, opts);
    if (rc == 0)
        rc = lvs_map_init(&v->map, n_clusters, rle);
    if (rc) {
        lvs_page_give(s, page);
        lvs_volume_free(v);
        if (rc == -EFBIG)
            return ash_err_set(err, ASH_E_VOLUME_BAD_SIZE, name,
                               "a volume can have 2^32 clusters at most");
        if (rc == -EINVAL)
            return ash_err_set(err, ASH_E_BAD_ARGUMENT, name,
                               "an attribute is empty or has a reserved name");
        if (rc == -E2BIG)
            return ash_err_set(err, ASH_E_XATTR_TOO_BIG, name, "an attribute is too long");
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for volume '%s'", name);
    }
    lvs_volume_identify(v); /* takes the name */
    v->op = "creation";     /* nobody else may touch it before it is whole */
    *ret_vol = v;
    return 0;
}

void lvs_volume_discard(struct lvs_volume *v, bool keep_places)
{
    struct lvs_store *s = v->store;
    forget_names(v);
    lvs_esnap_close(v);
    if (!keep_places) {
        for (uint64_t i = lvs_map_next(&v->map, 0); i != UINT64_MAX;
             i = lvs_map_next(&v->map, i + 1))
            lvs_cluster_give(s, lvs_map_get(&v->map, i), false);
        for (uint64_t w = 0; w < v->map.n_windows; w++) {
            struct lvs_window *win = lvs_map_peek(&v->map, w);
            if (win && win->page)
                lvs_page_give(s, win->page);
        }
        lvs_page_give(s, lvs_id_page(v->root.blob_id));
    }
    lvs_volume_free(v);
}

int lvs_volume_birth(struct lvs_volume *v, struct ash_err *err)
{
    bool uncertain;
    rt_mutex_lock(&v->store->md_lock);
    int rc =
        lvs_chain_write(v->store, &v->root, NULL, &v->cont_pages, &v->n_cont_pages, &uncertain);
    rt_mutex_unlock(&v->store->md_lock);
    if (rc) {
        lvs_err_rc(err, rc, v, "create");
        if (uncertain && v->parent)
            v->parent->has_unknown_clone = true; /* the next load may find it: its parent stays */
        lvs_volume_discard(v, uncertain);
        return rc;
    }
    lvs_volume_link(v);
    lvs_state_update(v);
    if (v->state == VOLUME_OK)
        (void)lvs_bdev_register(v, NULL); /* it exists; without bdev it is listed all the same */
    v->op = NULL;
    return 0;
}

/* All clusters of a thick volume. */
static int reserve_thick(struct lvs_volume *v)
{
    uint64_t n = v->map.n_clusters;
    uint32_t *clusters;
    for (uint64_t w = 0; w < v->map.n_windows; w++)
        if (!lvs_map_window(&v->map, w))
            return -ENOMEM;
    int rc = lvs_clusters_take_zeroed(v->store, n, &clusters);
    if (rc)
        return rc;
    for (uint64_t i = 0; i < n; i++)
        lvs_map_set(&v->map, i, clusters[i]);
    rt_free(clusters);
    return 0;
}

static int write_thick(struct lvs_volume *v)
{
    uint64_t n = v->map.rle ? 0 : v->map.n_windows;
    uint64_t *windows = rt_alloc((n + 1) * sizeof(*windows));
    if (!windows)
        return -ENOMEM;
    for (uint64_t w = 0; w < n; w++)
        windows[w] = w;
    rt_mutex_lock(&v->store->md_lock);
    int rc = lvs_stage_windows(v, &v->map, windows, n);
    if (rc == 0)
        lvs_stage_end(v, &v->map, windows, n, true, NULL);
    rt_mutex_unlock(&v->store->md_lock);
    rt_free(windows);
    return rc;
}

int lvs_volume_create(struct pool *pool, const char *name, uint64_t size_bytes,
                      const struct volume_create_opts *opts, struct volume **ret_vol,
                      struct ash_err *err)
{
    struct lvs_store *s = lvs_of_pool(pool);
    struct lvs_volume *v;
    int rc = lvs_store_op_begin(s, err);
    if (rc)
        return rc;
    rc = lvs_volume_prepare(s, name, ash_div_up(size_bytes, s->cluster_bytes), opts && opts->rle,
                            opts && opts->thin, opts, &v, err);
    if (rc == 0 && !lvs_is_thin(v)) {
        rc = reserve_thick(v);
        if (rc == 0)
            rc = write_thick(v);
        if (rc) {
            lvs_err_rc(err, rc, v, "create");
            lvs_volume_discard(v, false);
        }
    }
    if (rc == 0)
        rc = lvs_volume_birth(v, err);
    if (rc == 0)
        *ret_vol = &v->vol;
    lvs_store_op_end(s);
    return rc;
}

/* --------------------------------------------------------------- deletion */

/* After a failed erasing nobody knows what the disk says. */
static int take_back_erasing(struct lvs_volume *v, int rc)
{
    struct lvs_root again = v->root;
    if (lvs_volume_commit(v, &again) == 0)
        return rc;
    v->store->needs_recovery = true;
    return -EUCLEAN;
}

static int erase_root(struct lvs_store *s, uint32_t root, bool *ret_hit)
{
    uint8_t *zeroes = rt_buf_get(s->md_page_bytes);
    if (!zeroes)
        return -ENOMEM;
    memset(zeroes, 0, s->md_page_bytes);
    struct lvs_write w = {lvs_page_offset(s, root), zeroes, s->md_page_bytes};
    rt_step("erase root page");
    int rc = lvs_mark_dirty(s);
    *ret_hit = rc == 0;
    if (rc == 0)
        rc = lvs_write_all(s, &w, 1);
    if (rc == 0)
        rc = lvs_flush(s);
    rt_buf_put(zeroes, s->md_page_bytes);
    return rc;
}

int lvs_volume_erase(struct lvs_volume *v, bool counts)
{
    struct lvs_store *s = v->store;
    uint32_t root = lvs_id_page(v->root.blob_id);
    bool hit = false;
    int rc = erase_root(s, root, &hit);
    if (rc && counts)
        s->needs_recovery = true;
    if (rc)
        return hit && !counts ? take_back_erasing(v, rc) : rc;
    lvs_page_give(s, root);
    (void)lvs_pages_release(s, v->cont_pages, v->n_cont_pages);
    v->n_cont_pages = 0;
    return 0;
}

int lvs_volume_bury(struct lvs_volume *v)
{
    struct lvs_store *s = v->store;
    size_t n_pages = 0, n_clusters = 0;
    uint32_t *pages = rt_alloc((v->map.n_windows + 1) * sizeof(*pages));
    uint32_t *clusters = rt_alloc((v->map.n_used + 1) * sizeof(*clusters));
    int rc = pages && clusters ? 0 : -ENOMEM;
    for (uint64_t w = 0; w < v->map.n_windows && rc == 0; w++) {
        struct lvs_window *win = lvs_map_peek(&v->map, w);
        if (win && win->page)
            pages[n_pages++] = win->page;
    }
    for (uint64_t i = lvs_map_next(&v->map, 0); i != UINT64_MAX && rc == 0;
         i = lvs_map_next(&v->map, i + 1))
        clusters[n_clusters++] = lvs_map_get(&v->map, i);
    /* The volume is gone whatever happens here; without memory its places come back at the next
     * load. */
    if (rc == 0) {
        rt_mutex_lock(&s->md_lock);
        (void)lvs_pages_release(s, pages, n_pages);
        rt_mutex_unlock(&s->md_lock);
        (void)lvs_clusters_release(s, clusters, n_clusters, lvs_volume_clear(v));
    } else {
        s->needs_recovery = true;
    }
    rt_free(pages);
    rt_free(clusters);
    lvs_esnap_close(v);
    lvs_volume_free(v);
    return 0;
}

int lvs_delete_simple(struct lvs_volume *v, struct ash_err *err)
{
    struct lvs_store *s = v->store;
    rt_mutex_lock(&s->tree_lock);
    rt_mutex_lock(&s->md_lock);
    int rc = lvs_volume_erase(v, false);
    rt_mutex_unlock(&s->md_lock);
    if (rc == 0) {
        lvs_set_parent_link(v, NULL);
        lvs_volume_unlink(v);
    }
    rt_mutex_unlock(&s->tree_lock);
    if (rc)
        return lvs_err_rc(err, rc, v, "delete");
    return lvs_volume_bury(v);
}

int lvs_volume_delete(struct volume *vol, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    struct lvs_store *s = v->store;
    int rc = lvs_op_begin(v, "delete", err);
    if (rc)
        return rc;
    if (v->has_unknown_clone) {
        lvs_op_end(v);
        return ash_err_set(err, ASH_E_VOLUME_HAS_CLONES, v->name,
                           "snapshot '%s' may have a clone whose creation failed; close and open "
                           "the pool again",
                           v->name);
    }
    size_t n_clones = 0;
    ash_list_for_each (l, &v->clones)
        n_clones++;
    if (n_clones > 1 || (n_clones == 1 && v->state == VOLUME_FAULTED)) {
        lvs_op_end(v);
        return ash_err_set(err, ASH_E_VOLUME_HAS_CLONES, v->name, "snapshot '%s' has %zu clones",
                           v->name, n_clones);
    }
    struct lvs_volume *clone =
        n_clones ? ash_list_entry(v->clones.next, struct lvs_volume, clone_link) : NULL;
    if (clone && clone->op) {
        lvs_op_end(v);
        return ash_err_set(err, ASH_E_VOLUME_LOCKED, clone->name, "clone '%s' is busy: %s",
                           clone->name, clone->op);
    }
    rc = clone ? lvs_op_begin(clone, "merge of its parent", err) : 0;
    if (rc) {
        lvs_op_end(v);
        return rc;
    }
    v->is_deleting = true;
    lvs_bdev_unregister(v);
    rc = clone ? lvs_delete_merge(v, clone, err) : lvs_delete_simple(v, err);
    if (rc) {
        v->is_deleting = false;
        rt_mutex_lock(&s->tree_lock); /* nobody is freezing trees while a bdev comes back */
        if (v->state == VOLUME_OK)
            (void)lvs_bdev_register(v, NULL);
        rt_mutex_unlock(&s->tree_lock);
        lvs_op_end(v);
    } else {
        lvs_store_op_end(s); /* v itself is gone */
    }
    if (clone)
        lvs_op_end(clone);
    return rc;
}

/* ------------------------------------------------------------ questions */

int lvs_volume_allocation_map(const struct volume *vol, uint64_t first, uint64_t n,
                              uint8_t *ret_bits)
{
    const struct lvs_volume *v = ash_container_of(vol, struct lvs_volume, vol);
    if (first > v->map.n_clusters || n > v->map.n_clusters - first)
        return -EINVAL;
    memset(ret_bits, 0, n / 8 + 1);
    for (uint64_t i = lvs_map_next(&v->map, first); i != UINT64_MAX && i < first + n;
         i = lvs_map_next(&v->map, i + 1))
        ret_bits[(i - first) / 8] |= (uint8_t)(1u << ((i - first) % 8));
    return 0;
}

struct volume *lvs_volume_find(struct pool *pool, const char *name)
{
    struct lvs_store *s = lvs_of_pool(pool);
    struct lvs_volume *v = lvs_find_name(s, name);
    struct ash_uuid uuid;
    char text[ASH_UUID_TEXT_BYTES];
    if (v && !ash_list_empty(&v->link)) /* else it is not there yet */
        return &v->vol;
    struct ash_hnode *n = ash_htab_find(&s->by_uid, name);
    if (!n && ash_uuid_parse(name, &uuid) == 0)
        n = ash_htab_find(&s->by_uid, ash_uuid_format(&uuid, text));
    v = n ? ash_container_of(n, struct lvs_volume, by_uid) : NULL;
    return v && !ash_list_empty(&v->link) ? &v->vol : NULL;
}

struct volume *lvs_volume_of_bdev(struct bdev *bdev)
{
    return bdev->module == &lvs_bdev_module ? &ash_container_of(bdev, struct lvs_volume, bdev)->vol
                                            : NULL;
}

struct volume *lvs_volume_next(struct pool *pool, struct volume *prev)
{
    struct lvs_store *s = lvs_of_pool(pool);
    struct ash_list *l = prev ? lvs_of_volume(prev)->link.next : s->volumes.next;
    return l == &s->volumes ? NULL : &ash_list_entry(l, struct lvs_volume, link)->vol;
}

struct volume *lvs_volume_next_clone(const struct volume *snap, struct volume *prev)
{
    const struct lvs_volume *v = ash_container_of(snap, struct lvs_volume, vol);
    const struct ash_list *l = prev ? lvs_of_volume(prev)->clone_link.next : v->clones.next;
    return l == &v->clones ? NULL : &ash_list_entry(l, struct lvs_volume, clone_link)->vol;
}

void lvs_volume_get_info(const struct volume *vol, struct volume_info *ret)
{
    const struct lvs_volume *v = ash_container_of(vol, struct lvs_volume, vol);
    bool marked = lvs_xattrs_find(&v->root.user, LVS_XATTR_SNAP_TIME) ||
                  lvs_xattrs_find(&v->root.user, LVS_XATTR_ASHLAR_SNAPSHOT);
    *ret = (struct volume_info){
        .name = v->name,
        .uuid = v->uuid,
        .unique_id = v->unique_id,
        .bdev = v->has_bdev ? v->unique_id : NULL,
        .alias = v->alias,
        .pool = v->vol.pool,
        .blob_id = v->root.blob_id,
        .n_clusters = v->map.n_clusters,
        .n_allocated_clusters = v->map.n_used,
        .size_bytes = v->map.n_clusters * v->store->cluster_bytes,
        .thin = lvs_is_thin(v),
        .read_only = lvs_is_read_only(v),
        .snapshot = !ash_list_empty(&v->clones) || (lvs_is_read_only(v) && marked),
        .spdk_snapshot = v->had_clone,
        .clone = v->parent != NULL,
        .esnap_clone = v->root.invalid_flags & LVS_INVALID_ESNAP,
        .parent = v->parent ? &v->parent->vol : NULL,
        .esnap_id = v->root.invalid_flags & LVS_INVALID_ESNAP ? v->esnap_id : NULL,
        .clear = (enum pool_clear)(v->root.md_ro_flags & LVS_MD_RO_CLEAR_MASK),
        .rle = v->map.rle,
        .state = v->state,
        .fault = v->state == VOLUME_OK ? NULL : v->fault,
    };
    ash_list_for_each (l, &v->clones)
        ret->n_clones++;
    for (const struct lvs_volume *p = v->parent; p; p = p->parent)
        ret->n_ancestor_clusters += p->map.n_used;
}
