/* SPDX-License-Identifier: Apache-2.0 */
/* Between blobs, in the checker's walk: half-done operations (docs/spec/blobstore-format.md 11.4),
 * relations (10, 17 item 10), owners of extent pages and clusters (11.6).
 *
 * Half-done operations are settled first, in memory, because only then has each cluster one owner.
 * lvs_check_repair writes the same result to the disk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/lvs/check_int.h"

/* ---- half-done operations (11.4) ---- */

/* The blob goes away; its pages have no owner any more. */
static void discard(struct ck *ck, struct ck_blob *blob)
{
    blob->gone = true;
    for (size_t i = 0; i < blob->n_chain; i++) {
        ck->roles[blob->chain[i]] = CK_VALID;
        ck->page_owner[blob->chain[i]] = 0;
    }
}

/* n_clones counts here who named the blob when the walk began. */
static bool has_other_clone(const struct ck_blob *snap, const struct ck_blob *clone)
{
    return snap->n_clones > (clone->parent == snap->id);
}

static bool have_common_cluster(struct ck *ck, const struct ck_blob *a, const struct ck_blob *b)
{
    for (size_t s = 0; s < a->n_segs; s++) {
        const struct ck_seg *seg = &a->segs[s];
        for (uint32_t i = 0; i < seg->n && ck->compare_budget > 0; i++) {
            uint32_t cluster = ck_seg_cluster(seg, i);
            ck->compare_budget--;
            if (cluster != 0 && ck_map_get(b, seg->start + i) == cluster)
                return true;
        }
    }
    return false;
}

static int compare_u64(const void *pa, const void *pb)
{
    uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

    return a < b ? -1 : a > b;
}

/* Windows in which either blob has clusters, ascending; NULL when memory ran out. */
static uint64_t *windows_of(struct ck *ck, const struct ck_blob *a, const struct ck_blob *b,
                            size_t *ret_n)
{
    const struct ck_blob *both[2] = {a, b};
    uint64_t *list = NULL;
    size_t n = 0, room = 0, n_unique = 0;

    for (int k = 0; k < 2; k++) {
        for (size_t s = 0; s < both[k]->n_segs; s++) {
            const struct ck_seg *seg = &both[k]->segs[s];
            uint64_t first = seg->start / LVS_EXTENTS_PER_PAGE;
            uint64_t end = lvs_n_windows(seg->start + seg->n);
            for (uint64_t w = first; w < end; w++) {
                if (!ck_grow(ck, &list, n, &room, sizeof(*list))) {
                    free(list);
                    return NULL;
                }
                list[n++] = w;
            }
        }
    }
    if (n)
        qsort(list, n, sizeof(*list), compare_u64);
    for (size_t i = 0; i < n; i++) {
        if (n_unique == 0 || list[n_unique - 1] != list[i])
            list[n_unique++] = list[i];
    }
    *ret_n = n_unique;
    return list;
}

/* The clone takes every cluster that it lacks from the snapshot, as the deletion would have done
 * (9.5); every window is written afresh. */
static void merge_maps(struct ck *ck, struct ck_blob *clone, const struct ck_blob *snap)
{
    size_t n_windows = 0;
    uint64_t *windows = windows_of(ck, clone, snap, &n_windows);
    struct ck_blob merged = {0};

    for (size_t w = 0; windows && w < n_windows; w++) {
        uint32_t n = lvs_window_clusters(clone->n_clusters, windows[w]);
        struct le32 *entries = n ? ck_alloc(ck, n * sizeof(*entries)) : NULL;
        if (!entries)
            continue;
        struct ck_seg seg = {.start = windows[w] * LVS_EXTENTS_PER_PAGE,
                             .entries = entries,
                             .n = n,
                             .page_idx = LVS_INVALID_PAGE,
                             .rewrite = true};
        for (uint32_t i = 0; i < n; i++) {
            uint32_t cluster = ck_map_get(clone, seg.start + i);
            if (cluster == 0)
                cluster = ck_map_get(snap, seg.start + i);
            entries[i] = ash_le32(cluster);
            merged.n_allocated += cluster != 0;
        }
        ck_seg_push(ck, &merged, &seg);
    }
    free(windows);
    free(clone->segs);
    clone->segs = merged.segs;
    clone->n_segs = merged.n_segs;
    clone->segs_room = merged.segs_room;
    clone->n_allocated = merged.n_allocated;
    clone->rewrite = true;
}

static void complete_deletion(struct ck *ck, struct ck_blob *clone, struct ck_blob *snap)
{
    merge_maps(ck, clone, snap);
    clone->parent = snap->parent;
    if (snap->parent == LVS_ESNAP_BLOB) {
        const struct ck_xattr *x = ck_xattr(snap, true, LVS_XATTR_EXTSNAP);
        if (x)
            ck_xattr_set(ck, clone, true, LVS_XATTR_EXTSNAP, x->value, x->n_value_bytes);
        clone->invalid |= LVS_INVALID_ESNAP;
        ck_xattr_drop(clone, true, LVS_XATTR_SNAP);
    } else if (snap->parent != LVS_NO_BLOB) {
        struct le64 id = ash_le64(snap->parent);
        ck_xattr_set(ck, clone, true, LVS_XATTR_SNAP, &id, sizeof(id));
    } else {
        ck_xattr_drop(clone, true, LVS_XATTR_SNAP);
    }
    discard(ck, snap);
}

static void resolve_half(struct ck *ck, struct ck_blob *x)
{
    bool removing = x->snaprm != LVS_NO_BLOB;
    uint64_t other_id = removing ? x->snaprm : x->snaptmp;
    const char *attr = removing ? LVS_XATTR_SNAPRM : LVS_XATTR_SNAPTMP;
    enum lvs_check_code code = removing ? LVS_F_HALF_DELETE : LVS_F_HALF_SNAPSHOT;
    struct ck_blob *v = ck_blob_by_id(ck, other_id);
    const char *what;

    if (!v || v->bad || v->gone || v == x || (v->parent != x->id && has_other_clone(x, v))) {
        ck_find(ck, LVS_F_HALF_UNKNOWN, x, x->root_idx, CK_NONE, "'%s' names blob %#llx", attr,
                (unsigned long long)other_id);
        return;
    }
    if (v->parent != x->id)
        what = "not committed: the blob goes";
    else if (!removing)
        what = "committed: the snapshot stays";
    else if (have_common_cluster(ck, v, x))
        what = "begun: the deletion is completed";
    else
        what = "not begun: the snapshot stays";
    if (removing && v->parent != x->id)
        what = "committed: the rest of the snapshot goes";
    ck_find(ck, code, x, x->root_idx, CK_NONE, "'%s' names blob %#llx, %s", attr,
            (unsigned long long)other_id, what);
    if (v->parent != x->id) {
        discard(ck, x);
    } else if (removing && have_common_cluster(ck, v, x) && !has_other_clone(x, v)) {
        complete_deletion(ck, v, x);
    } else {
        ck_xattr_drop(x, true, LVS_XATTR_SNAPRM);
        ck_xattr_drop(x, true, LVS_XATTR_SNAPTMP);
        x->data_ro |= LVS_DATA_RO_READ_ONLY;
        x->rewrite = true;
    }
}

void ck_resolve_halves(struct ck *ck)
{
    for (uint32_t i = 0; i < ck->n_blobs; i++) {
        struct ck_blob *parent = ck_blob_by_id(ck, ck->blobs[i].parent);
        if (parent)
            parent->n_clones++;
    }
    for (uint32_t i = 0; i < ck->n_blobs && ck->rc == 0; i++) {
        struct ck_blob *b = &ck->blobs[i];
        if (!b->bad && !b->gone && (b->snaprm != LVS_NO_BLOB || b->snaptmp != LVS_NO_BLOB))
            resolve_half(ck, b);
    }
    for (uint32_t i = 0; i < ck->n_blobs; i++)
        ck->blobs[i].n_clones = 0;
}

/* ---- relations (10, 17 item 10) ---- */

static bool has_parent_blob(const struct ck_blob *blob)
{
    return blob->parent != LVS_NO_BLOB && blob->parent != LVS_ESNAP_BLOB;
}

/* All ancestors are settled. */
static void settle_parent(struct ck *ck, struct ck_blob *blob)
{
    struct ck_blob *parent;

    blob->visited = true;
    blob->on_path = false;
    if (!has_parent_blob(blob) || blob->reason == LVS_F_PARENT_CYCLE)
        return;
    parent = ck_blob_by_id(ck, blob->parent);
    if (!parent || parent->gone) {
        ck_fault(ck, LVS_F_PARENT_MISSING, blob, blob->root_idx, CK_NONE, "parent %#llx",
                 (unsigned long long)blob->parent);
        return;
    }
    parent->n_clones++;
    blob->depth = parent->depth + 1;
    if (parent->bad) {
        if (!blob->bad)
            ck_fault(ck, LVS_F_PARENT_FAULTED, blob, blob->root_idx, CK_NONE, "parent %#llx: %s",
                     (unsigned long long)parent->id, lvs_check_code_text(parent->reason));
    } else if (!(parent->data_ro & LVS_DATA_RO_READ_ONLY)) {
        ck_find(ck, LVS_F_PARENT_WRITABLE, blob, blob->root_idx, CK_NONE, "parent %#llx",
                (unsigned long long)blob->parent);
    }
}

void ck_relations(struct ck *ck)
{
    ASH_CLEANUP(ash_freep)
    struct ck_blob **path = malloc((ck->n_blobs + 1) * sizeof(*path));

    if (!path) {
        ck->rc = -ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < ck->n_blobs; i++) {
        struct ck_blob *blob = &ck->blobs[i];
        uint32_t n = 0;
        while (blob && !blob->gone && !blob->visited && !blob->on_path) {
            path[n++] = blob;
            blob->on_path = true;
            blob = has_parent_blob(blob) ? ck_blob_by_id(ck, blob->parent) : NULL;
        }
        bool cycle = blob && blob->on_path;
        for (uint32_t j = n; cycle && j-- > 0;) {
            ck_fault(ck, LVS_F_PARENT_CYCLE, path[j], path[j]->root_idx, CK_NONE, "parent %#llx",
                     (unsigned long long)path[j]->parent);
            path[j]->reason = LVS_F_PARENT_CYCLE;
            cycle = path[j] != blob;
        }
        while (n > 0)
            settle_parent(ck, path[--n]);
    }
    /* path: freed by its cleanup attribute. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
}

/* ---- owners (11.6) ---- */

static void claim_page(struct ck *ck, struct ck_blob *blob, struct ck_seg *seg)
{
    uint32_t idx = seg->page_idx;

    if (!seg->entries || idx == LVS_INVALID_PAGE)
        return;
    if (ck->page_owner[idx] != 0) {
        ck_find(ck, LVS_F_EXTPAGE_SHARED, blob, idx, CK_NONE, "also of blob %#llx",
                (unsigned long long)ck->blobs[ck->page_owner[idx] - 1].id);
        seg->rewrite = true;
        blob->rewrite = true;
        return;
    }
    ck->page_owner[idx] = blob->idx + 1;
    ck->roles[idx] = CK_EXTENT;
}

static void claim_blob(struct ck *ck, struct ck_blob *blob)
{
    for (size_t s = 0; s < blob->n_segs; s++) {
        struct ck_seg *seg = &blob->segs[s];
        claim_page(ck, blob, seg);
        for (uint32_t i = 0; i < seg->n; i++) {
            uint32_t cluster = ck_seg_cluster(seg, i);
            if (cluster < ck->md_clusters || cluster >= ck->total_clusters)
                continue;
            if (ck->claim_budget == 0)
                return;
            if (ck->cluster_owner[cluster] == 0) {
                ck->cluster_owner[cluster] = blob->idx + 1;
                ck->n_claimed++;
                continue;
            }
            ck->claim_budget--;
            ck_find(ck, LVS_F_CLUSTER_CROSSLINK, blob, CK_NONE, cluster,
                    "index %llu; also of blob %#llx", (unsigned long long)seg->start + i,
                    (unsigned long long)ck->blobs[ck->cluster_owner[cluster] - 1].id);
        }
    }
}

/* Sound blobs first: what a faulted one names is reserved but does not win. */
void ck_claim(struct ck *ck)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < ck->n_blobs && ck->claim_budget > 0; i++) {
            if (!ck->blobs[i].gone && ck->blobs[i].bad == (pass == 1))
                claim_blob(ck, &ck->blobs[i]);
        }
    }
    if (ck->claim_budget == 0 || ck->compare_budget == 0)
        ck_find(ck, LVS_F_TOO_DAMAGED, NULL, CK_NONE, CK_NONE, "%llu claims",
                (unsigned long long)ck->report->n_by_code[LVS_F_CLUSTER_CROSSLINK]);
}
