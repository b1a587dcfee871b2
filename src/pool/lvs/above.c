/* SPDX-License-Identifier: Apache-2.0 */
/* What the chain above a volume holds, remembered: a channel's reads of clusters that the volume
 * does not own ask each ancestor once, however deep the chain is.
 *
 * Invariants
 *   - An entry is what lvs_source_find said while the channel's tree_seq was the store's. What it
 * says can change only while the volume is quiesced (ancestors are read-only, links change in
 * frozen trees), and every freeze and thaw moves the store's tree_seq: entries from before are
 * dropped by the first read after it. The thaw's message to the reactor carries the new number with
 * it.
 *   - Clusters that the volume owns itself are looked up in its own map first, so a first write
 * needs no word to anybody.
 *   - Only clusters and zeroes are remembered, never an external device. */
#include <string.h>

#include "pool/lvs/lvs.h"

enum { UNKNOWN = 0, ZEROES = UINT32_MAX };

struct lvs_above {
    uint64_t tree_seq, n_windows;
    uint32_t *windows[]; /* LVS_EXTENTS_PER_PAGE entries each, made when first used */
};

void lvs_above_drop(struct lvs_channel *c)
{
    struct lvs_above *a = c->above;
    c->above = NULL;
    for (uint64_t i = 0; a && i < a->n_windows; i++)
        rt_free(a->windows[i]);
    rt_free(a);
}

static struct lvs_above *above_now(struct lvs_channel *c)
{
    uint64_t seq = atomic_load_explicit(&c->vol->store->tree_seq, memory_order_acquire);
    struct lvs_above *a = c->above;
    if (ASH_LIKELY(a && a->tree_seq == seq))
        return a;
    lvs_above_drop(c);
    uint64_t n = c->vol->map.n_windows;
    a = rt_alloc(sizeof(*a) + n * sizeof(a->windows[0]));
    if (!a)
        return NULL;
    a->tree_seq = seq;
    a->n_windows = n;
    return c->above = a;
}

static uint32_t *entry_of(struct lvs_channel *c, uint64_t idx)
{
    struct lvs_above *a = above_now(c);
    uint64_t window = idx / LVS_EXTENTS_PER_PAGE;
    if (!a || window >= a->n_windows)
        return NULL;
    if (!a->windows[window])
        a->windows[window] = rt_alloc(LVS_EXTENTS_PER_PAGE * sizeof(uint32_t));
    return a->windows[window] ? &a->windows[window][idx % LVS_EXTENTS_PER_PAGE] : NULL;
}

void lvs_above_find(struct lvs_channel *c, uint64_t idx, struct lvs_source *ret)
{
    const struct lvs_store *s = c->vol->store;
    uint32_t *entry = c->vol->parent ? entry_of(c, idx) : NULL;
    uint32_t known = entry ? *entry : UNKNOWN;
    if (known == UNKNOWN) {
        lvs_source_find(c->vol, idx, ret);
        if (entry && ret->kind == LVS_FROM_ZERO)
            *entry = ZEROES;
        else if (entry && ret->kind == LVS_FROM_CLUSTER)
            *entry = (uint32_t)(ret->offset / s->cluster_bytes);
        return;
    }
    *ret = (struct lvs_source){.kind = LVS_FROM_ZERO};
    if (known != ZEROES) {
        ret->kind = LVS_FROM_CLUSTER;
        ret->offset = lvs_cluster_offset(s, known);
        ret->n_bytes = s->cluster_bytes;
    }
}
