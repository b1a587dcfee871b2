/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store: what a power cut left half done is settled (docs/spec/blobstore-format.md 11.4),
 * then every page and cluster gets its owner; what has two is left alone (11.6). In memory only:
 * load_repair.c writes it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pool/lvs/load.h"

/* --------------------------------------------------------------- resolving */

static bool common_cluster(const struct lvs_volume *a, const struct lvs_volume *b)
{
    for (uint64_t i = lvs_map_next(&a->map, 0); i != UINT64_MAX && i < b->map.n_clusters;
         i = lvs_map_next(&a->map, i + 1))
        if (lvs_map_get(&a->map, i) == lvs_map_get(&b->map, i))
            return true;
    return false;
}

/* Take a volume out; its root is erased later. Its clones go to its parent. */
static int drop_volume(struct load *l, struct lvs_volume *x)
{
    struct load_todo *t = load_todo_of(l, x);
    if (!t)
        return -ENOMEM;
    t->erase = true;
    lvs_set_parent_link(x, NULL);
    while (!ash_list_empty(&x->clones))
        lvs_set_parent_link(ash_list_entry(x->clones.next, struct lvs_volume, clone_link), NULL);
    lvs_volume_unlink(x);
    return 0;
}

/* A deletion of snapshot x that was cut after clone v got some of its clusters: go on to the end.
 */
static int finish_merge(struct load *l, struct lvs_volume *x, struct lvs_volume *v)
{
    for (uint64_t i = lvs_map_next(&x->map, 0); i != UINT64_MAX && i < v->map.n_clusters;
         i = lvs_map_next(&x->map, i + 1)) {
        if (lvs_map_get(&v->map, i))
            continue;
        if (!lvs_map_window(&v->map, i / LVS_EXTENTS_PER_PAGE))
            return -ENOMEM;
        lvs_map_set(&v->map, i, lvs_map_get(&x->map, i));
        int rc =
            v->map.rle ? load_todo_rewrite(l, v) : load_todo_window(l, v, i / LVS_EXTENTS_PER_PAGE);
        if (rc)
            return rc;
    }
    struct lvs_volume *above = x->parent;
    int rc = 0;
    lvs_xattrs_remove(&v->root.internal, LVS_XATTR_SNAP);
    if (above) {
        struct le64 id = ash_le64(above->root.blob_id);
        rc = lvs_xattrs_set(&v->root.internal, LVS_XATTR_SNAP, &id, sizeof(id));
    } else if (x->root.invalid_flags & LVS_INVALID_ESNAP) {
        const struct lvs_xattr *e = lvs_xattrs_find(&x->root.internal, LVS_XATTR_EXTSNAP);
        v->root.invalid_flags |= LVS_INVALID_ESNAP;
        memcpy(v->esnap_id, x->esnap_id, sizeof(v->esnap_id));
        rc =
            e ? lvs_xattrs_set(&v->root.internal, LVS_XATTR_EXTSNAP, lvs_xattr_value(e), e->n_value)
              : 0;
    }
    if (rc == 0)
        rc = load_todo_rewrite(l, v);
    if (rc == 0) {
        lvs_set_parent_link(v, above);
        rc = drop_volume(l, x);
    }
    return rc;
}

/* Others than v name x as their parent: then x is a whole snapshot, whatever its mark says of v,
 * which has gone on since (the mark could not be taken off in time). */
static bool has_other_clones(const struct lvs_volume *x, const struct lvs_volume *v)
{
    ash_list_for_each (i, &x->clones)
        if (ash_list_entry(i, struct lvs_volume, clone_link) != v)
            return true;
    return false;
}

static int keep_snapshot(struct load *l, struct lvs_volume *x)
{
    lvs_xattrs_remove(&x->root.internal, LVS_XATTR_SNAPTMP);
    lvs_xattrs_remove(&x->root.internal, LVS_XATTR_SNAPRM);
    x->root.data_ro_flags |= LVS_DATA_RO_READ_ONLY;
    return load_todo_rewrite(l, x);
}

static int resolve_removal(struct load *l, struct lvs_volume *x, struct lvs_volume *v)
{
    if (has_other_clones(x, v))
        return keep_snapshot(l, x);
    if (v->parent != x)
        return drop_volume(l, x); /* the clone has taken over: the deletion counts */
    if (common_cluster(x, v))
        return finish_merge(l, x, v);
    return keep_snapshot(l, x);
}

static int resolve_creation(struct load *l, struct lvs_volume *x, struct lvs_volume *v)
{
    if (v->parent != x && !has_other_clones(x, v))
        return drop_volume(l, x); /* the clusters it lists are v's */
    return keep_snapshot(l, x);
}

int load_resolve(struct load *l)
{
    int rc = 0;
    ash_list_for_each_safe (i, &l->s->volumes) {
        struct lvs_volume *x = ash_list_entry(i, struct lvs_volume, link);
        uint64_t id;
        bool removal = lvs_xattrs_get_id(&x->root.internal, LVS_XATTR_SNAPRM, &id);
        if ((!removal && !lvs_xattrs_get_id(&x->root.internal, LVS_XATTR_SNAPTMP, &id)) ||
            x->state == VOLUME_FAULTED)
            continue;
        struct lvs_volume *v = lvs_find_blob(l->s, id);
        if (!v || v == x || v->state == VOLUME_FAULTED) {
            /* Who is to have the clusters cannot be told: keep what there is, change nothing. */
            x->must_stay = true;
            if (v)
                v->must_stay = true;
            snprintf(l->s->damage, sizeof(l->s->damage),
                     "half-done operation on volume '%s' cannot be resolved", x->name);
            continue;
        }
        rc = removal ? resolve_removal(l, x, v) : resolve_creation(l, x, v);
        if (rc)
            break;
    }
    return rc;
}

/* ---------------------------------------------------------------- claiming */

/* Everybody who has one of the clusters that were found twice. One walk over all maps, however many
 * there are. */
static void mark_crosslinked(struct load *l)
{
    struct lvs_store *s = l->s;
    uint32_t which = 0;
    const struct lvs_volume *first = NULL, *second = NULL;
    ash_list_for_each (i, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        for (uint64_t k = lvs_map_next(&v->map, 0); k != UINT64_MAX;
             k = lvs_map_next(&v->map, k + 1)) {
            uint32_t cluster = lvs_map_get(&v->map, k);
            if (!ash_bitmap_test(&l->twice, cluster))
                continue;
            v->must_stay = true;
            if (!which) {
                which = cluster;
                first = v;
            } else if (cluster == which && !second) {
                second = v;
            }
        }
    }
    if (first && second && second != first)
        snprintf(s->damage, sizeof(s->damage),
                 "cross-linked: volumes '%.40s' and '%.40s' both own cluster %u", first->name,
                 second->name, which);
    else if (first && !s->damage[0])
        snprintf(s->damage, sizeof(s->damage), "cross-linked: volume '%.60s' has cluster %u twice",
                 first->name, which);
}

static void claim_page(struct load *l, struct lvs_volume *v, uint32_t page)
{
    if (ash_bitmap_set(&l->s->used_pages, page) && v) {
        v->must_stay = true;
        if (!l->s->damage[0])
            snprintf(l->s->damage, sizeof(l->s->damage),
                     "metadata page %u of volume '%s' is used twice", page, v->name);
    }
}

/* A parent that can be written would change under its clones: it is left as it is. */
static void guard_parents(struct lvs_store *s)
{
    ash_list_for_each (i, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        if (ash_list_empty(&v->clones) || lvs_is_read_only(v) || v->state == VOLUME_FAULTED)
            continue;
        v->must_stay = true;
        if (!s->damage[0])
            snprintf(s->damage, sizeof(s->damage),
                     "volume '%.60s' is the parent of another, and not read-only", v->name);
    }
}

void load_claim(struct load *l)
{
    struct lvs_store *s = l->s;
    guard_parents(s);
    if (l->super_found) {
        claim_page(l, NULL, lvs_id_page(s->super_root.blob_id));
        for (uint32_t i = 0; i < s->n_super_cont_pages; i++)
            claim_page(l, NULL, s->super_cont_pages[i]);
    }
    ash_list_for_each (i, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        claim_page(l, v, lvs_id_page(v->root.blob_id));
        for (uint32_t k = 0; k < v->n_cont_pages; k++)
            claim_page(l, v, v->cont_pages[k]);
        for (uint64_t w = 0; w < v->map.n_windows; w++) {
            struct lvs_window *win = lvs_map_peek(&v->map, w);
            if (win && win->page)
                claim_page(l, v, win->page);
        }
        for (uint64_t k = lvs_map_next(&v->map, 0); k != UINT64_MAX;
             k = lvs_map_next(&v->map, k + 1))
            if (ash_bitmap_set(&s->used_clusters, lvs_map_get(&v->map, k)))
                ash_bitmap_set(&l->twice, lvs_map_get(&v->map, k));
        if (v->state == VOLUME_FAULTED && !s->damage[0])
            snprintf(s->damage, sizeof(s->damage), "volume '%.60s': %.80s", v->name, v->fault);
    }
    if (l->twice.n_set)
        mark_crosslinked(l);
    if (!l->hidden_clusters)
        return;
    if (l->has_masks) {
        for (uint64_t c = ash_bitmap_find_set(&l->mask_clusters, 0); c != ASH_BITMAP_NONE;
             c = ash_bitmap_find_set(&l->mask_clusters, c + 1))
            ash_bitmap_set(&s->used_clusters, c);
        for (uint64_t p = ash_bitmap_find_set(&l->mask_pages, 0); p != ASH_BITMAP_NONE;
             p = ash_bitmap_find_set(&l->mask_pages, p + 1))
            ash_bitmap_set(&s->used_pages, p);
    } else {
        s->no_allocation = true;
    }
}
