/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots, clones, and the deletion of a snapshot into its only clone
 * (docs/spec/blobstore-format.md 9.3 - 9.5).
 *
 * Invariants
 *   - A snapshot takes the map of its origin over as it is; the origin starts anew with an empty
 * one. One root write (the origin's) decides; before it the new blob is marked SNAPTMP and owns
 *     nothing, after it the origin owns nothing.
 *   - In a deletion one root write (the clone's) decides; extent pages that change are written to
 *     fresh places, so that until then the snapshot's and the clone's maps are what they were.
 *   - What the clone reads stays the same, also where snapshot, clone and grandparent differ in
 *     length (lvs_guard_parent_end). */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

static int set_id(struct lvs_xattrs *xs, const char *name, uint64_t blob_id)
{
    struct le64 id = ash_le64(blob_id);
    return lvs_xattrs_set(xs, name, &id, sizeof(id));
}

/* --------------------------------------------------------------- snapshot */

/* What the snapshot says of itself while it is being made: everything of the origin, and SNAPTMP.
 */
static int snapshot_root(struct lvs_volume *snap, const struct lvs_volume *origin)
{
    snap->root.invalid_flags = origin->root.invalid_flags;
    snap->root.md_ro_flags = origin->root.md_ro_flags;
    int rc = set_id(&snap->root.internal, LVS_XATTR_SNAPTMP, origin->root.blob_id);
    for (size_t i = 0; i < origin->root.internal.n && rc == 0; i++) {
        const struct lvs_xattr *x = &origin->root.internal.v[i];
        rc = lvs_xattrs_add_raw(&snap->root.internal, x->bytes, x->n_name, lvs_xattr_value(x),
                                x->n_value);
    }
    return rc;
}

static int origin_root(const struct lvs_volume *origin, const struct lvs_volume *snap,
                       struct lvs_map *empty, struct lvs_root *ret_next)
{
    int rc = lvs_root_copy(origin, ret_next);
    if (rc)
        return rc;
    ret_next->map = empty;
    ret_next->invalid_flags |= LVS_INVALID_THIN;
    ret_next->invalid_flags &= ~LVS_INVALID_ESNAP;
    lvs_xattrs_remove(&ret_next->internal, LVS_XATTR_EXTSNAP);
    rc = set_id(&ret_next->internal, LVS_XATTR_SNAP, snap->root.blob_id);
    if (rc) {
        lvs_xattrs_free(&ret_next->user);
        lvs_xattrs_free(&ret_next->internal);
    }
    return rc;
}

/* The maps change hands, in memory: both are frozen, the disk says so already. */
static void hand_over(struct lvs_volume *origin, struct lvs_volume *snap, struct lvs_map *empty)
{
    lvs_map_fini(&snap->map);
    snap->map = origin->map;
    snap->root.map = &snap->map;
    origin->map = *empty;
    origin->root.map = &origin->map;
    snap->root.data_ro_flags |= LVS_DATA_RO_READ_ONLY;
    struct lvs_volume *above = origin->parent;
    lvs_set_parent_link(origin, snap);
    lvs_set_parent_link(snap, above);
    snap->esnap_desc = origin->esnap_desc;
    snap->esnap_bytes = origin->esnap_bytes;
    memcpy(snap->esnap_id, origin->esnap_id, sizeof(snap->esnap_id));
    origin->esnap_desc = NULL;
    origin->esnap_bytes = 0;
    origin->esnap_id[0] = '\0';
}

/* Steps 3 to 5 with md_lock held: the snapshot's root, then the origin's. */
static int snapshot_commit(struct lvs_volume *origin, struct lvs_volume *snap,
                           struct lvs_map *empty)
{
    struct lvs_store *s = origin->store;
    struct lvs_root next, first = snap->root;
    bool uncertain;
    int rc = origin_root(origin, snap, empty, &next);
    if (rc)
        return rc;
    first.map = &origin->map;
    rc = lvs_chain_write(s, &first, NULL, &snap->cont_pages, &snap->n_cont_pages, &uncertain);
    if (rc) {
        lvs_xattrs_free(&next.user);
        lvs_xattrs_free(&next.internal);
        return uncertain ? -EUCLEAN : rc;
    }
    rc = lvs_volume_commit(origin, &next);
    if (rc == 0)
        hand_over(origin, snap, empty);
    else if (rc != -EUCLEAN && lvs_volume_erase(snap, true) == 0)
        snap->root.blob_id = LVS_NO_BLOB; /* its root page is given back already */
    else
        rc = -EUCLEAN;
    return rc;
}

int lvs_settle_marks(struct lvs_volume *v)
{
    struct lvs_root next;
    int rc = 0;
    rt_mutex_lock(&v->store->md_lock);
    if (lvs_has_marks(v)) {
        rc = lvs_root_copy(v, &next);
        if (rc == 0) {
            lvs_xattrs_remove(&next.internal, LVS_XATTR_SNAPTMP);
            lvs_xattrs_remove(&next.internal, LVS_XATTR_SNAPRM);
            rc = lvs_volume_commit(v, &next);
        }
    }
    rt_mutex_unlock(&v->store->md_lock);
    return rc;
}

static void snapshot_discard(struct lvs_volume *snap, bool keep_places)
{
    if (snap->root.blob_id == LVS_NO_BLOB)
        keep_places = true; /* there are none left */
    lvs_volume_discard(snap, keep_places);
}

static int snapshot_locked(struct lvs_volume *origin, const char *name,
                           const struct volume_create_opts *opts, struct volume **ret_snap,
                           struct ash_err *err)
{
    struct lvs_store *s = origin->store;
    struct lvs_volume *snap;
    struct lvs_map empty = {0};
    int rc = lvs_volume_prepare(s, name, 0, origin->map.rle, true, opts, &snap, err);
    if (rc)
        return rc;
    rc = snapshot_root(snap, origin);
    if (rc == 0)
        rc = lvs_map_init(&empty, origin->map.n_clusters, origin->map.rle);
    if (rc == 0)
        rc = lvs_freeze_tree(origin);
    if (rc == 0) {
        rt_mutex_lock(&s->md_lock);
        rc = snapshot_commit(origin, snap, &empty);
        rt_mutex_unlock(&s->md_lock);
        lvs_thaw_tree(origin);
    }
    if (rc) {
        if (empty.windows)
            lvs_map_fini(&empty);
        snapshot_discard(snap, rc == -EUCLEAN);
        return lvs_err_rc(err, rc, origin, "take a snapshot of");
    }
    lvs_volume_link(snap);
    snap->state = origin->state;
    /* Step 6: the mark goes. If it cannot be written now, the next operation that would change what
     * it says of the origin does it first (lvs_op_begin), or the close, or the load. */
    (void)lvs_settle_marks(snap);
    if (snap->state == VOLUME_OK)
        (void)lvs_bdev_register(snap, NULL);
    snap->op = NULL;
    *ret_snap = &snap->vol;
    return 0;
}

int lvs_volume_snapshot(struct volume *vol, const char *name, const struct volume_create_opts *opts,
                        struct volume **ret_snap, struct ash_err *err)
{
    struct lvs_volume *origin = lvs_of_volume(vol);
    if (lvs_is_read_only(origin))
        return ash_err_set(err, ASH_E_VOLUME_SOURCE_READ_ONLY, origin->name,
                           "volume '%s' is read-only", origin->name);
    int rc = lvs_op_begin(origin, "snapshot", err);
    if (rc)
        return rc;
    rt_mutex_lock(&origin->store->tree_lock);
    rc = snapshot_locked(origin, name, opts, ret_snap, err);
    rt_mutex_unlock(&origin->store->tree_lock);
    lvs_op_end(origin);
    return rc;
}

/* ------------------------------------------------------------------ clone */

int lvs_volume_clone(struct volume *vol, const char *name, const struct volume_create_opts *opts,
                     struct volume **ret_clone, struct ash_err *err)
{
    struct lvs_volume *snap = lvs_of_volume(vol), *clone;
    struct lvs_store *s = snap->store;
    if (!lvs_is_read_only(snap))
        return ash_err_set(err, ASH_E_VOLUME_NOT_READ_ONLY, snap->name,
                           "volume '%s' is writable: take a snapshot first", snap->name);
    int rc = lvs_op_begin(snap, "clone", err);
    if (rc)
        return rc;
    rt_mutex_lock(&s->tree_lock);
    rc = lvs_volume_prepare(s, name, snap->map.n_clusters, snap->map.rle, true, opts, &clone, err);
    if (rc == 0) {
        rc = set_id(&clone->root.internal, LVS_XATTR_SNAP, snap->root.blob_id);
        if (rc) {
            lvs_volume_discard(clone, false);
            rc = lvs_err_rc(err, rc, snap, "clone");
        } else {
            bool had = snap->had_clone;
            lvs_set_parent_link(clone, snap);
            rc = lvs_volume_birth(clone, err);
            if (rc)
                snap->had_clone = had;
        }
    }
    rt_mutex_unlock(&s->tree_lock);
    lvs_op_end(snap);
    if (rc == 0)
        *ret_clone = &clone->vol;
    return rc;
}

int lvs_volume_clone_bdev(struct pool *pool, const char *bdev_name, const char *name,
                          const struct volume_create_opts *opts, struct volume **ret_clone,
                          struct ash_err *err)
{
    struct lvs_store *s = lvs_of_pool(pool);
    struct lvs_volume *clone;
    int rc = lvs_store_op_begin(s, err);
    if (rc)
        return rc;
    rt_mutex_lock(&s->tree_lock);
    rc = lvs_volume_prepare(s, name, 0, opts && opts->rle, true, opts, &clone, err);
    if (rc == 0) {
        rc = lvs_esnap_open(clone, bdev_name, err);
        if (rc == 0 && clone->esnap_bytes % s->cluster_bytes != 0)
            rc = ash_err_set(err, ASH_E_VOLUME_BAD_SIZE, bdev_name,
                             "size of device '%s' is not a multiple of the cluster size %u",
                             bdev_name, s->cluster_bytes);
        if (rc == 0)
            rc = lvs_err_rc(err, lvs_map_resize(&clone->map, clone->esnap_bytes / s->cluster_bytes),
                            clone, "create");
        if (rc == 0)
            rc = lvs_err_rc(err,
                            lvs_xattrs_set(&clone->root.internal, LVS_XATTR_EXTSNAP,
                                           clone->esnap_id, LVS_UUID_BYTES),
                            clone, "create");
        clone->root.invalid_flags |= LVS_INVALID_ESNAP;
        if (rc)
            lvs_volume_discard(clone, false);
        else
            rc = lvs_volume_birth(clone, err);
    }
    rt_mutex_unlock(&s->tree_lock);
    lvs_store_op_end(s);
    if (rc == 0)
        *ret_clone = &clone->vol;
    return rc;
}

/* ------------------------------------------------------------------ merge */

/* The clone's next map: its own entries, and the snapshot's where it has none. */
struct merge {
    struct lvs_volume *snap, *clone;
    struct lvs_map next;
    uint64_t *windows; /* to be written to fresh pages */
    size_t n_windows;
    uint32_t *old_pages; /* of the clone, replaced */
    size_t n_old_pages;
};

static struct lvs_window *merge_window(struct merge *m, uint64_t w)
{
    struct lvs_window *own = lvs_map_peek(&m->clone->map, w),
                      *theirs = lvs_map_peek(&m->snap->map, w);
    struct lvs_window *merged = rt_alloc(sizeof(*merged));
    uint32_t n = ASH_MIN(lvs_window_clusters(m->snap->map.n_clusters, w),
                         lvs_window_clusters(m->clone->map.n_clusters, w));
    if (!merged)
        return NULL;
    if (own) {
        ASH_ASSERT(own->n_pending == 0 && !own->new_page);
        merged->page = own->page;
    }
    for (uint32_t i = 0; i < LVS_EXTENTS_PER_PAGE; i++) {
        uint32_t c = own ? atomic_load_explicit(&own->cluster[i], memory_order_relaxed) : 0;
        if (!c && i < n) {
            c = atomic_load_explicit(&theirs->cluster[i], memory_order_relaxed);
            m->next.n_used += c != 0;
        }
        atomic_store_explicit(&merged->cluster[i], c, memory_order_relaxed);
        merged->n_used += c != 0;
    }
    return merged;
}

static int merge_maps(struct merge *m)
{
    const struct lvs_map *snap = &m->snap->map;
    int rc = lvs_map_share(&m->next, &m->clone->map, m->clone->map.n_clusters);
    if (rc)
        return rc;
    m->next.with_new = true;
    m->windows = rt_alloc((m->next.n_windows + 1) * sizeof(*m->windows));
    m->old_pages = rt_alloc((m->next.n_windows + 1) * sizeof(*m->old_pages));
    if (!m->windows || !m->old_pages)
        return -ENOMEM;
    for (uint64_t w = 0; w < ASH_MIN(m->next.n_windows, snap->n_windows); w++) {
        const struct lvs_window *theirs = lvs_map_peek(snap, w);
        if (!theirs || theirs->n_used == 0)
            continue;
        struct lvs_window *merged = merge_window(m, w);
        if (!merged)
            return -ENOMEM;
        atomic_store_explicit(&m->next.windows[w], merged, memory_order_relaxed);
        if (m->next.rle)
            continue;
        /* The snapshot's page can be taken over when it says exactly what the clone needs. */
        if (!merged->page && theirs->page && merged->n_used == theirs->n_used &&
            lvs_window_clusters(snap->n_clusters, w) == lvs_window_clusters(m->next.n_clusters, w))
            merged->page = theirs->page;
        else
            m->windows[m->n_windows++] = w;
    }
    return 0;
}

static int merge_root(struct merge *m, struct lvs_root *ret_next)
{
    const struct lvs_volume *snap = m->snap;
    int rc = lvs_root_copy(m->clone, ret_next);
    if (rc)
        return rc;
    ret_next->map = &m->next;
    lvs_xattrs_remove(&ret_next->internal, LVS_XATTR_SNAP);
    if (snap->root.invalid_flags & LVS_INVALID_ESNAP) {
        const struct lvs_xattr *e = lvs_xattrs_find(&snap->root.internal, LVS_XATTR_EXTSNAP);
        ret_next->invalid_flags |= LVS_INVALID_ESNAP;
        rc = e ? lvs_xattrs_set(&ret_next->internal, LVS_XATTR_EXTSNAP, lvs_xattr_value(e),
                                e->n_value)
               : -EINVAL;
    } else if (snap->parent) {
        rc = set_id(&ret_next->internal, LVS_XATTR_SNAP, snap->parent->root.blob_id);
    }
    if (rc) {
        lvs_xattrs_free(&ret_next->user);
        lvs_xattrs_free(&ret_next->internal);
    }
    return rc;
}

/* Windows that the merge made: freed unless they are the clone's now. */
static void merge_forget(struct merge *m)
{
    for (uint64_t w = 0; w < m->next.n_windows && m->next.windows; w++) {
        struct lvs_window *win = lvs_map_peek(&m->next, w);
        if (win != lvs_map_peek(&m->clone->map, w))
            rt_free(win);
    }
    lvs_map_unshare(&m->next);
}

/* In memory, after the commit: the clone has its new map; the snapshot keeps what was not taken. */
static void merge_adopt(struct merge *m)
{
    struct lvs_volume *snap = m->snap, *clone = m->clone;
    for (uint64_t i = lvs_map_next(&snap->map, 0); i != UINT64_MAX;
         i = lvs_map_next(&snap->map, i + 1))
        if (i < m->next.n_clusters && lvs_map_get(&m->next, i) == lvs_map_get(&snap->map, i))
            lvs_map_set(&snap->map, i, 0);
    for (uint64_t w = 0; w < m->next.n_windows; w++) {
        struct lvs_window *win = lvs_map_peek(&m->next, w), *old = lvs_map_peek(&clone->map, w);
        struct lvs_window *theirs = w < snap->map.n_windows ? lvs_map_peek(&snap->map, w) : NULL;
        if (win && theirs && theirs->page && win->page == theirs->page)
            theirs->page = 0;
        if (win != old)
            rt_free(old);
    }
    lvs_map_unshare(&clone->map);
    m->next.with_new = false;
    clone->map = m->next;
    clone->root.map = &clone->map;
    m->next = (struct lvs_map){0};
    clone->esnap_desc = snap->esnap_desc;
    clone->esnap_bytes = snap->esnap_bytes;
    memcpy(clone->esnap_id, snap->esnap_id, sizeof(clone->esnap_id));
    snap->esnap_desc = NULL;
    lvs_set_parent_link(clone, snap->parent);
    lvs_set_parent_link(snap, NULL);
}

static int mark_removal(struct lvs_volume *snap, const struct lvs_volume *clone)
{
    struct lvs_root next;
    int rc = lvs_root_copy(snap, &next);
    if (rc)
        return rc;
    if (clone) {
        rc = set_id(&next.internal, LVS_XATTR_SNAPRM, clone->root.blob_id);
    } else {
        lvs_xattrs_remove(&next.internal, LVS_XATTR_SNAPRM);
    }
    if (rc) {
        lvs_xattrs_free(&next.user);
        lvs_xattrs_free(&next.internal);
        return rc;
    }
    return lvs_volume_commit(snap, &next);
}

/* All of it with the clone's tree frozen and md_lock held. */
static int merge_commit(struct merge *m)
{
    struct lvs_root next;
    int rc = merge_maps(m);
    if (rc == 0)
        rc = mark_removal(m->snap, m->clone);
    if (rc)
        return rc;
    rc = lvs_stage_windows(m->clone, &m->next, m->windows, m->n_windows);
    if (rc == 0) {
        rc = merge_root(m, &next);
        if (rc == 0)
            rc = lvs_volume_commit(m->clone, &next);
        if (rc != -EUCLEAN)
            m->n_old_pages =
                lvs_stage_end(m->clone, &m->next, m->windows, m->n_windows, rc == 0, m->old_pages);
    }
    if (rc && rc != -EUCLEAN)
        (void)mark_removal(m->snap,
                           NULL); /* if this fails, the load finds the deletion uncommitted */
    if (rc == 0) {
        merge_adopt(m);
        (void)lvs_pages_release(m->clone->store, m->old_pages, m->n_old_pages);
    }
    return rc;
}

int lvs_delete_merge(struct lvs_volume *snap, struct lvs_volume *clone, struct ash_err *err)
{
    struct lvs_store *s = snap->store;
    struct merge m = {.snap = snap, .clone = clone};
    rt_mutex_lock(&s->tree_lock);
    int rc = lvs_guard_parent_end(clone);
    if (rc == 0)
        rc = lvs_freeze_tree(clone);
    if (rc == 0) {
        rt_mutex_lock(&s->md_lock);
        rc = merge_commit(&m);
        bool erased = rc == 0 && lvs_volume_erase(snap, true) == 0;
        if (rc == 0)
            lvs_volume_unlink(snap); /* at once: its root page may be a new volume's next */
        rt_mutex_unlock(&s->md_lock);
        lvs_bdev_refresh(clone);
        lvs_thaw_tree(clone);
        if (rc == 0 && !erased) {
            /* Committed: a root that could not be erased is erased by the next load. Until then its
             * places stay reserved. */
            lvs_map_fini(&snap->map);
            lvs_map_init(&snap->map, 0, true);
        }
    }
    if (rc)
        merge_forget(&m);
    rt_free(m.windows);
    rt_free(m.old_pages);
    rt_mutex_unlock(&s->tree_lock);
    if (rc)
        return lvs_err_rc(err, rc, snap, "delete");
    return lvs_volume_bury(snap);
}
