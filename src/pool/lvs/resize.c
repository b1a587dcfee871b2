/* SPDX-License-Identifier: Apache-2.0 */
/* Length of a volume (docs/spec/blobstore-format.md 9.2).
 *
 * Order: fresh copy of each extent page whose number of entries changes, new extent pages, root
 * (commit), then what was cut off is cleared and given back. The old root and all it refers to stay
 * whole until the commit. */
#include <errno.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

/* Windows to write anew when the length goes from a to b: the one that a cut runs through, and when
 * growing a thick volume those that are new. */
static size_t changed_windows(const struct lvs_map *map, uint64_t a, uint64_t b, uint64_t *windows)
{
    uint64_t low = ASH_MIN(a, b);
    size_t n = 0;
    if (map->rle)
        return 0;
    for (uint64_t w = low / LVS_EXTENTS_PER_PAGE; w < lvs_n_windows(b); w++) {
        struct lvs_window *win = lvs_map_peek(map, w);
        bool has_page = win && win->page;
        if (has_page ? lvs_window_clusters(a, w) != lvs_window_clusters(b, w)
                     : win && win->n_used > 0)
            windows[n++] = w;
    }
    return n;
}

/* The clusters of a thick volume's new part, entered into next. -ENOMEM leaves next without them.
 */
static int enter_grown(struct lvs_map *next, uint64_t from, const uint32_t *clusters, size_t n)
{
    for (uint64_t w = from / LVS_EXTENTS_PER_PAGE; w < next->n_windows; w++)
        if (!lvs_map_window(next, w))
            return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        lvs_map_set(next, from + i, clusters[i]);
    return 0;
}

/* Take back what enter_grown entered. */
static void ungrow(const struct lvs_volume *v, struct lvs_map *next, uint64_t from)
{
    for (uint64_t i = lvs_map_next(next, from); i != UINT64_MAX; i = lvs_map_next(next, i + 1))
        lvs_map_set(next, i, 0);
    for (uint64_t w = v->map.n_windows; w < next->n_windows; w++)
        rt_free(lvs_map_peek(next, w));
}

/* After a committed cut: clusters and pages beyond the end leave the map. */
static void cut_off(struct lvs_volume *v, struct lvs_map *next, uint32_t *clusters,
                    size_t *n_clusters, uint32_t *pages, size_t *n_pages)
{
    for (uint64_t i = lvs_map_next(&v->map, next->n_clusters); i != UINT64_MAX;
         i = lvs_map_next(&v->map, i + 1)) {
        clusters[(*n_clusters)++] = lvs_map_get(&v->map, i);
        lvs_map_set(&v->map, i, 0);
    }
    next->n_used -= *n_clusters;
    for (uint64_t w = next->n_windows; w < v->map.n_windows; w++) {
        struct lvs_window *win = lvs_map_peek(&v->map, w);
        if (win && win->page)
            pages[(*n_pages)++] = win->page;
        rt_free(win);
    }
}

static uint64_t count_beyond(const struct lvs_map *map, uint64_t from)
{
    uint64_t n = 0;
    for (uint64_t i = lvs_map_next(map, from); i != UINT64_MAX; i = lvs_map_next(map, i + 1))
        n++;
    return n;
}

/* The volume is frozen. gained: clusters for what is added to a thick volume, else NULL. */
static int resize_frozen(struct lvs_volume *v, uint64_t n_new, const uint32_t *gained,
                         uint32_t **ret_clusters, size_t *ret_n_clusters)
{
    struct lvs_store *s = v->store;
    uint64_t n_old = v->map.n_clusters, n_windows = lvs_n_windows(ASH_MAX(n_old, n_new));
    struct lvs_map next = {0};
    uint64_t *windows = rt_alloc((n_windows + 1) * sizeof(*windows));
    uint32_t *pages = rt_alloc((2 * n_windows + 2) * sizeof(*pages));
    uint32_t *clusters = rt_alloc((count_beyond(&v->map, n_new) + 1) * sizeof(*clusters));
    size_t n_pages = 0, n_clusters = 0, n_changed = 0;
    int rc = windows && pages && clusters ? lvs_map_share(&next, &v->map, n_new) : -ENOMEM;
    bool shared = rc == 0;
    if (rc == 0 && gained)
        rc = enter_grown(&next, n_old, gained, n_new - n_old);
    rt_mutex_lock(&s->md_lock);
    if (rc == 0) {
        n_changed = changed_windows(&next, n_old, n_new, windows);
        rc = lvs_stage_windows(v, &next, windows, n_changed);
    }
    if (rc == 0) {
        struct lvs_root root = v->root;
        next.with_new = true;
        root.map = &next;
        rc = lvs_volume_commit(v, &root);
        if (rc != -EUCLEAN)
            n_pages = lvs_stage_end(v, &next, windows, n_changed, rc == 0, pages);
    }
    if (rc == 0) {
        cut_off(v, &next, clusters, &n_clusters, pages, &n_pages);
        (void)lvs_pages_release(s, pages, n_pages);
        lvs_map_unshare(&v->map);
        next.with_new = false;
        v->map = next;
        v->root.map = &v->map;
        *ret_clusters = clusters;
        *ret_n_clusters = n_clusters;
        clusters = NULL;
    } else if (shared) {
        if (gained)
            ungrow(v, &next, n_old);
        lvs_map_unshare(&next);
    }
    rt_mutex_unlock(&s->md_lock);
    rt_free(windows);
    rt_free(pages);
    rt_free(clusters);
    return rc;
}

static int resize_locked(struct lvs_volume *v, uint64_t n_new, struct ash_err *err)
{
    struct lvs_store *s = v->store;
    bool shrinks = n_new < v->map.n_clusters;
    uint64_t old_bytes = v->map.n_clusters * s->cluster_bytes, new_bytes = n_new * s->cluster_bytes;
    uint64_t n_gained = shrinks || lvs_is_thin(v) ? 0 : n_new - v->map.n_clusters;
    uint32_t *clusters = NULL, *gained = NULL;
    size_t n_clusters = 0;
    /* A smaller size is announced first: with a user on it the bdev refuses, and nothing is done.
     */
    if (shrinks && v->has_bdev && bdev_resized(&v->bdev, new_bytes) != 0)
        return ash_err_set(err, ASH_E_VOLUME_OPEN, v->name,
                           "volume '%s' cannot shrink while it is in use", v->name);
    /* Zeroing may take its time: the volume goes on meanwhile. */
    int rc = n_gained ? lvs_clusters_take_zeroed(s, n_gained, &gained) : 0;
    if (rc)
        return lvs_err_rc(err, rc, v, "resize");
    rt_mutex_lock(&s->tree_lock);
    rc = lvs_freeze_tree(v);
    if (rc == 0) {
        rc = resize_frozen(v, n_new, gained, &clusters, &n_clusters);
        lvs_thaw_tree(v);
    }
    rt_mutex_unlock(&s->tree_lock);
    if (rc && rc != -EUCLEAN) /* else the disk may refer to them */
        lvs_clusters_give(s, gained, n_gained);
    rt_free(gained);
    if (v->has_bdev && (rc == 0) != shrinks)
        (void)bdev_resized(&v->bdev, rc == 0 ? new_bytes : old_bytes);
    if (rc == 0)
        (void)lvs_clusters_release(s, clusters, n_clusters, lvs_volume_clear(v));
    rt_free(clusters);
    return lvs_err_rc(err, rc, v, "resize");
}

int lvs_volume_resize(struct volume *vol, uint64_t size_bytes, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    uint64_t n_new = ash_div_up(size_bytes, v->store->cluster_bytes);
    if (lvs_is_read_only(v))
        return ash_err_set(err, ASH_E_VOLUME_READ_ONLY, v->name, "volume '%s' is read-only",
                           v->name);
    if (n_new > LVS_N_CLUSTERS_MAX)
        return ash_err_set(err, ASH_E_VOLUME_BAD_SIZE, v->name,
                           "a volume can have 2^32 clusters at most");
    int rc = lvs_op_begin(v, "resize", err);
    if (rc)
        return rc;
    if (n_new != v->map.n_clusters)
        rc = resize_locked(v, n_new, err);
    lvs_op_end(v);
    return rc;
}
