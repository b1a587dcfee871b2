/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a volume: windows of 512 entries, made when first needed, so that a large thin volume
 * costs 8 bytes per 512 clusters until it is written. Entries are read on every reactor without a
 * lock; a window, once published, stays until the map goes. */
#include <errno.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

int lvs_map_init(struct lvs_map *map, uint64_t n_clusters, bool rle)
{
    if (n_clusters > LVS_N_CLUSTERS_MAX)
        return -EFBIG;
    *map = (struct lvs_map){
        .rle = rle, .n_clusters = n_clusters, .n_windows = lvs_n_windows(n_clusters)};
    map->windows = rt_alloc((map->n_windows + 1) * sizeof(map->windows[0]));
    return map->windows ? 0 : -ENOMEM;
}

void lvs_map_fini(struct lvs_map *map)
{
    for (uint64_t w = 0; w < map->n_windows; w++)
        rt_free(atomic_load_explicit(&map->windows[w], memory_order_relaxed));
    rt_free(map->windows);
    *map = (struct lvs_map){0};
}

struct lvs_window *lvs_map_window(struct lvs_map *map, uint64_t window)
{
    ASH_ASSERT(window < map->n_windows);
    struct lvs_window *w = lvs_map_peek(map, window);
    if (!w) {
        w = rt_alloc(sizeof(*w));
        if (w)
            atomic_store_explicit(&map->windows[window], w, memory_order_release);
    }
    return w;
}

void lvs_map_set(struct lvs_map *map, uint64_t idx, uint32_t cluster)
{
    ASH_ASSERT(idx < map->n_clusters);
    struct lvs_window *w = lvs_map_peek(map, idx / LVS_EXTENTS_PER_PAGE);
    if (!w) {
        ASH_ASSERT(cluster == 0);
        return;
    }
    _Atomic uint32_t *entry = &w->cluster[idx % LVS_EXTENTS_PER_PAGE];
    bool was = atomic_load_explicit(entry, memory_order_relaxed) != 0;
    if (was != (cluster != 0)) {
        w->n_used += was ? UINT32_MAX : 1;
        map->n_used += was ? UINT64_MAX : 1;
    }
    atomic_store_explicit(entry, cluster, memory_order_release);
}

int lvs_map_resize(struct lvs_map *map, uint64_t n_clusters)
{
    if (n_clusters > LVS_N_CLUSTERS_MAX)
        return -EFBIG;
    uint64_t n_windows = lvs_n_windows(n_clusters);
    if (n_windows != map->n_windows) {
        _Atomic(struct lvs_window *) *windows = rt_alloc((n_windows + 1) * sizeof(windows[0]));
        if (!windows)
            return -ENOMEM;
        for (uint64_t w = 0; w < map->n_windows; w++) {
            struct lvs_window *old = atomic_load_explicit(&map->windows[w], memory_order_relaxed);
            if (w < n_windows) {
                atomic_store_explicit(&windows[w], old, memory_order_relaxed);
            } else {
                ASH_ASSERT(!old || old->n_used == 0);
                rt_free(old);
            }
        }
        rt_free(map->windows);
        map->windows = windows;
        map->n_windows = n_windows;
    }
    map->n_clusters = n_clusters;
    return 0;
}

uint64_t lvs_map_next(const struct lvs_map *map, uint64_t from)
{
    for (uint64_t idx = from; idx < map->n_clusters;) {
        const struct lvs_window *w = lvs_map_peek(map, idx / LVS_EXTENTS_PER_PAGE);
        if (!w || w->n_used == 0) {
            idx = (idx / LVS_EXTENTS_PER_PAGE + 1) * LVS_EXTENTS_PER_PAGE;
            continue;
        }
        if (atomic_load_explicit(&w->cluster[idx % LVS_EXTENTS_PER_PAGE], memory_order_relaxed))
            return idx;
        idx++;
    }
    return UINT64_MAX;
}

int lvs_map_share(struct lvs_map *next, const struct lvs_map *old, uint64_t n_clusters)
{
    int rc = lvs_map_init(next, n_clusters, old->rle);
    if (rc)
        return rc;
    next->n_used = old->n_used;
    for (uint64_t w = 0; w < ASH_MIN(next->n_windows, old->n_windows); w++)
        atomic_store_explicit(&next->windows[w], lvs_map_peek(old, w), memory_order_relaxed);
    return 0;
}

void lvs_map_unshare(struct lvs_map *map)
{
    rt_free(map->windows);
    *map = (struct lvs_map){0};
}
