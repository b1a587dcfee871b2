/* SPDX-License-Identifier: Apache-2.0 */
/* One blob of the checker's walk: its chain, descriptors and extent pages
 * (docs/spec/blobstore-format.md 5, 11.2, 11.5).
 *
 * Every page of a chain is taken once, so all chains together cost at most the metadata region.
 * What is parsed points into the pages; nothing is copied. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/check_int.h"

/* ---- map ---- */

bool ck_seg_push(struct ck *ck, struct ck_blob *blob, const struct ck_seg *seg)
{
    if (!ck_grow(ck, &blob->segs, blob->n_segs, &blob->segs_room, sizeof(*blob->segs)))
        return false;
    blob->segs[blob->n_segs++] = *seg;
    return true;
}

uint32_t ck_seg_cluster(const struct ck_seg *seg, uint32_t i)
{
    return seg->entries ? ash_le32_get(seg->entries[i]) : seg->first + i;
}

uint32_t ck_map_get(const struct ck_blob *blob, uint64_t cluster_idx)
{
    size_t lo = 0, hi = blob->n_segs;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ck_seg *seg = &blob->segs[mid];
        if (cluster_idx < seg->start)
            hi = mid;
        else if (cluster_idx - seg->start >= seg->n)
            lo = mid + 1;
        else
            return ck_seg_cluster(seg, (uint32_t)(cluster_idx - seg->start));
    }
    return 0;
}

/* ---- attributes ---- */

const struct ck_xattr *ck_xattr(const struct ck_blob *blob, bool internal, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < blob->n_xattrs; i++) {
        const struct ck_xattr *x = &blob->xattrs[i];
        if (x->internal == internal && x->n_name_bytes == n && memcmp(x->name, name, n) == 0)
            return x;
    }
    return NULL;
}

static int compare_xattrs(const void *pa, const void *pb)
{
    const struct ck_xattr *a = *(const struct ck_xattr *const *)pa;
    const struct ck_xattr *b = *(const struct ck_xattr *const *)pb;

    if (a->internal != b->internal)
        return a->internal ? 1 : -1;
    if (a->n_name_bytes != b->n_name_bytes)
        return a->n_name_bytes < b->n_name_bytes ? -1 : 1;
    return memcmp(a->name, b->name, a->n_name_bytes);
}

static void check_xattr_names(struct ck *ck, struct ck_blob *blob)
{
    if (blob->n_xattrs < 2)
        return;
    ASH_CLEANUP(ash_freep)
    const struct ck_xattr **sorted = malloc(blob->n_xattrs * sizeof(*sorted));
    if (!sorted) {
        ck->rc = -ENOMEM;
        return;
    }
    for (size_t i = 0; i < blob->n_xattrs; i++)
        sorted[i] = &blob->xattrs[i];
    qsort(sorted, blob->n_xattrs, sizeof(*sorted), compare_xattrs);
    for (size_t i = 1; i < blob->n_xattrs; i++) {
        if (compare_xattrs(&sorted[i - 1], &sorted[i]) == 0) {
            ck_fault(ck, LVS_F_XATTR_DUP, blob, CK_NONE, CK_NONE, "'%.*s'",
                     ASH_MIN(sorted[i]->n_name_bytes, 64), (const char *)sorted[i]->name);
            return;
        }
    }
}

void ck_xattr_drop(struct ck_blob *blob, bool internal, const char *name)
{
    const struct ck_xattr *x = ck_xattr(blob, internal, name);

    if (!x)
        return;
    size_t at = (size_t)(x - blob->xattrs);
    blob->n_xattrs--;
    memmove(&blob->xattrs[at], &blob->xattrs[at + 1],
            (blob->n_xattrs - at) * sizeof(*blob->xattrs));
    blob->rewrite = true;
}

void ck_xattr_set(struct ck *ck, struct ck_blob *blob, bool internal, const char *name,
                  const void *value, size_t n_bytes)
{
    size_t n_name = strlen(name);
    uint8_t *copy = ck_alloc(ck, n_name + n_bytes);

    ASH_ASSERT(n_name + n_bytes <= LVS_XATTR_BYTES_MAX);
    if (!copy)
        return;
    /* with its length. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(copy, name, n_name);
    memcpy(copy + n_name, value, n_bytes);
    struct ck_xattr *x = (struct ck_xattr *)(uintptr_t)ck_xattr(blob, internal, name);
    if (!x) {
        if (!ck_grow(ck, &blob->xattrs, blob->n_xattrs, &blob->xattrs_room, sizeof(*x)))
            return;
        x = &blob->xattrs[blob->n_xattrs++];
    }
    *x = (struct ck_xattr){copy, copy + n_name, (uint16_t)n_name, (uint16_t)n_bytes, internal};
    blob->rewrite = true;
}

/* Value of an internal attribute that holds a blob id; LVS_NO_BLOB if it is not there. */
static uint64_t id_xattr(struct ck *ck, struct ck_blob *blob, const char *name)
{
    const struct ck_xattr *x = ck_xattr(blob, true, name);
    struct le64 id;

    if (!x)
        return LVS_NO_BLOB;
    if (x->n_value_bytes != sizeof(id)) {
        ck_fault(ck, LVS_F_XATTR_INTERNAL, blob, CK_NONE, CK_NONE, "'%s' has %u bytes", name,
                 x->n_value_bytes);
        return LVS_NO_BLOB;
    }
    memcpy(&id, x->value, sizeof(id));
    return ash_le64_get(id);
}

static void decode_internal(struct ck *ck, struct ck_blob *blob)
{
    const struct ck_xattr *esnap = ck_xattr(blob, true, LVS_XATTR_EXTSNAP);

    blob->parent = id_xattr(ck, blob, LVS_XATTR_SNAP);
    blob->snaptmp = id_xattr(ck, blob, LVS_XATTR_SNAPTMP);
    blob->snaprm = id_xattr(ck, blob, LVS_XATTR_SNAPRM);
    if (!(blob->invalid & LVS_INVALID_ESNAP))
        return;
    if (!esnap || esnap->n_value_bytes == 0)
        ck_fault(ck, LVS_F_ESNAP_ID, blob, CK_NONE, CK_NONE, "no '%s'", LVS_XATTR_EXTSNAP);
    else if (ck->lvstore) {
        struct ash_uuid uuid;
        const uint8_t *text = esnap->value;
        if (esnap->n_value_bytes != LVS_UUID_BYTES || text[LVS_UUID_BYTES - 1] != '\0' ||
            ash_uuid_parse((const char *)text, &uuid) != 0)
            ck_fault(ck, LVS_F_ESNAP_ID, blob, CK_NONE, CK_NONE, "'%s' is no UUID",
                     LVS_XATTR_EXTSNAP);
    }
    if (blob->parent != LVS_NO_BLOB)
        ck_find(ck, LVS_F_ESNAP_STALE, blob, CK_NONE, CK_NONE, "'%s' is %#llx", LVS_XATTR_SNAP,
                (unsigned long long)blob->parent);
    blob->parent = LVS_ESNAP_BLOB;
}

/* ---- descriptors ---- */

struct desc {
    uint32_t page_idx;
    uint8_t type;
    const uint8_t *body;
    uint32_t n_bytes;
};

static void parse_flags(struct ck *ck, struct ck_blob *blob, const struct desc *d)
{
    struct le64 words[3];

    if (blob->has_flags || d->n_bytes != sizeof(words)) {
        ck_fault(ck, LVS_F_FLAGS_BAD, blob, d->page_idx, CK_NONE, "%s, %u bytes",
                 blob->has_flags ? "twice" : "once", d->n_bytes);
        return;
    }
    memcpy(words, d->body, sizeof(words));
    blob->has_flags = true;
    blob->invalid = ash_le64_get(words[0]);
    blob->data_ro = ash_le64_get(words[1]);
    blob->md_ro = ash_le64_get(words[2]);
    if (blob->invalid & ~LVS_INVALID_KNOWN)
        ck_fault(ck, LVS_F_FLAGS_INVALID, blob, d->page_idx, CK_NONE, "flags %#llx",
                 (unsigned long long)blob->invalid);
    if ((blob->data_ro & ~LVS_DATA_RO_KNOWN) || (blob->md_ro & ~LVS_MD_RO_KNOWN))
        ck_find(ck, LVS_F_FLAGS_RO, blob, d->page_idx, CK_NONE, "flags %#llx, %#llx",
                (unsigned long long)blob->data_ro, (unsigned long long)blob->md_ro);
}

static void parse_xattr(struct ck *ck, struct ck_blob *blob, const struct desc *d)
{
    struct lvs_xattr_disk head;
    const size_t n_lengths = sizeof(head) - sizeof(head.desc);
    struct ck_xattr x = {.internal = d->type == LVS_DESC_XATTR_INTERNAL};

    if (d->n_bytes >= n_lengths) {
        memcpy((uint8_t *)&head + sizeof(head.desc), d->body, n_lengths);
        x.n_name_bytes = ash_le16_get(head.n_name_bytes);
        x.n_value_bytes = ash_le16_get(head.n_value_bytes);
    }
    if (d->n_bytes < n_lengths || d->n_bytes != n_lengths + x.n_name_bytes + x.n_value_bytes) {
        ck_fault(ck, LVS_F_XATTR_LENGTH, blob, d->page_idx, CK_NONE, "%u bytes", d->n_bytes);
        return;
    }
    x.name = d->body + n_lengths;
    x.value = x.name + x.n_name_bytes;
    if (ck_grow(ck, &blob->xattrs, blob->n_xattrs, &blob->xattrs_room, sizeof(x)))
        blob->xattrs[blob->n_xattrs++] = x;
}

/* Is this cluster one that a blob may own? */
static bool check_cluster(struct ck *ck, struct ck_blob *blob, uint32_t page_idx, uint64_t first,
                          uint64_t n)
{
    if (first < ck->md_clusters) {
        ck_fault(ck, LVS_F_CLUSTER_MD, blob, page_idx, first, "clusters below %llu hold metadata",
                 (unsigned long long)ck->md_clusters);
        return false;
    }
    if (first + n > ck->total_clusters) {
        ck_fault(ck, LVS_F_CLUSTER_RANGE, blob, page_idx, first + n - 1,
                 "the store has %llu clusters", (unsigned long long)ck->total_clusters);
        return false;
    }
    return true;
}

static void parse_rle(struct ck *ck, struct ck_blob *blob, const struct desc *d)
{
    const struct lvs_run_disk *runs = (const void *)d->body;

    blob->has_rle = true;
    if (d->n_bytes == 0 || d->n_bytes % sizeof(*runs) != 0) {
        ck_fault(ck, LVS_F_RLE_LENGTH, blob, d->page_idx, CK_NONE, "%u bytes", d->n_bytes);
        return;
    }
    for (uint32_t i = 0; i < d->n_bytes / sizeof(*runs) && ck->rc == 0; i++) {
        uint32_t first = ash_le32_get(runs[i].cluster), n = ash_le32_get(runs[i].n_clusters);
        struct ck_seg seg = {blob->n_clusters, NULL, first, n, LVS_INVALID_PAGE, false};

        blob->n_clusters += n;
        if (first == 0 || n == 0 || !check_cluster(ck, blob, d->page_idx, first, n))
            continue;
        blob->n_allocated += n;
        ck_seg_push(ck, blob, &seg);
        if (blob->n_allocated > ck->total_clusters) {
            ck_fault(ck, LVS_F_BLOB_SIZE, blob, d->page_idx, CK_NONE,
                     "more clusters than there are");
            return;
        }
    }
}

static void parse_table(struct ck *ck, struct ck_blob *blob, const struct desc *d)
{
    const struct lvs_table_entry_disk *entries = (const void *)(d->body + sizeof(struct le64));
    struct le64 n_clusters;

    if (d->n_bytes < sizeof(n_clusters) ||
        (d->n_bytes - sizeof(n_clusters)) % sizeof(*entries) != 0) {
        ck_fault(ck, LVS_F_TABLE_LENGTH, blob, d->page_idx, CK_NONE, "%u bytes", d->n_bytes);
        return;
    }
    memcpy(&n_clusters, d->body, sizeof(n_clusters));
    if (blob->has_table && blob->n_clusters != ash_le64_get(n_clusters))
        blob->table_mismatch = true;
    if (!blob->has_rle)
        blob->n_clusters = ash_le64_get(n_clusters);
    blob->has_table = true;
    size_t n = (d->n_bytes - sizeof(n_clusters)) / sizeof(*entries);
    for (size_t i = 0; i < n && ck->rc == 0; i++) {
        uint32_t page_idx = ash_le32_get(entries[i].page_idx);
        uint32_t n_pages = ash_le32_get(entries[i].n_pages);
        struct ck_seg seg = {.start = blob->n_windows * LVS_EXTENTS_PER_PAGE, .page_idx = page_idx};

        if (n_pages == 0 || (page_idx != 0 && n_pages != 1)) {
            ck_fault(ck, LVS_F_TABLE_ENTRY, blob, d->page_idx, CK_NONE, "entry %zu: page %u, %u", i,
                     page_idx, n_pages);
            return;
        }
        blob->n_windows += n_pages;
        if (page_idx != 0)
            ck_seg_push(ck, blob, &seg);
    }
}

static void parse_desc(struct ck *ck, struct ck_blob *blob, const struct desc *d)
{
    switch (d->type) {
    case LVS_DESC_PADDING:
        break;
    case LVS_DESC_FLAGS:
        parse_flags(ck, blob, d);
        break;
    case LVS_DESC_XATTR:
    case LVS_DESC_XATTR_INTERNAL:
        parse_xattr(ck, blob, d);
        break;
    case LVS_DESC_EXTENT_RLE:
        parse_rle(ck, blob, d);
        break;
    case LVS_DESC_EXTENT_TABLE:
        parse_table(ck, blob, d);
        break;
    default:
        ck_find(ck, LVS_F_DESC_UNKNOWN, blob, d->page_idx, CK_NONE, "type %u, %u bytes", d->type,
                d->n_bytes);
    }
}

static void parse_page(struct ck *ck, struct ck_blob *blob, uint32_t page_idx,
                       const struct lvs_page_disk *page)
{
    struct lvs_desc_disk head;
    bool first = blob->n_chain == 1;

    for (uint32_t pos = 0; LVS_DESC_BYTES - pos >= sizeof(head) && !blob->bad;) {
        memcpy(&head, page->descs + pos, sizeof(head));
        struct desc d = {page_idx, head.type, page->descs + pos + sizeof(head),
                         ash_le32_get(head.n_bytes)};
        if (d.type == LVS_DESC_PADDING && d.n_bytes == 0)
            break;
        if (d.n_bytes > LVS_DESC_BYTES - pos - sizeof(head)) {
            ck_fault(ck, LVS_F_DESC_LENGTH, blob, page_idx, CK_NONE, "type %u at %u: %u bytes",
                     d.type, pos, d.n_bytes);
            return;
        }
        if (first && d.type != LVS_DESC_FLAGS && ck->version >= 3) {
            ck_fault(ck, LVS_F_FLAGS_BAD, blob, page_idx, CK_NONE, "type %u comes first", d.type);
            return;
        }
        first = false;
        parse_desc(ck, blob, &d);
        pos += sizeof(head) + d.n_bytes;
    }
    if (first && ck->version >= 3)
        ck_fault(ck, LVS_F_FLAGS_BAD, blob, page_idx, CK_NONE, "an empty root page");
}

/* ---- chain ---- */

/* The page at this place of the chain, or NULL after a finding. */
static const struct lvs_page_disk *chain_page(struct ck *ck, struct ck_blob *blob, uint32_t idx,
                                              uint32_t sequence)
{
    if (idx >= ck->md_len) {
        ck_fault(ck, LVS_F_CHAIN_NEXT, blob, idx, CK_NONE, "number %u; there are %u pages",
                 sequence, ck->md_len);
        return NULL;
    }
    const struct lvs_page_disk *page = ck_page(ck, idx);
    if (ck->roles[idx] == CK_CHAIN) {
        bool own = ck->page_owner[idx] == blob->idx + 1;
        ck_fault(ck, own ? LVS_F_CHAIN_LOOP : LVS_F_CHAIN_SHARED, blob, idx, CK_NONE,
                 "number %u is page %u of blob %#llx", sequence, idx,
                 (unsigned long long)ck->blobs[ck->page_owner[idx] - 1].id);
        return NULL;
    }
    if (!page) {
        ck_fault(ck, LVS_F_CHAIN_CRC, blob, idx, CK_NONE, "number %u", sequence);
        return NULL;
    }
    if (ash_le64_get(page->id) != blob->id) {
        ck_fault(ck, LVS_F_CHAIN_ID, blob, idx, CK_NONE, "number %u has id %#llx", sequence,
                 (unsigned long long)ash_le64_get(page->id));
        return NULL;
    }
    if (ash_le32_get(page->sequence) != sequence) {
        ck_fault(ck, LVS_F_CHAIN_SEQ, blob, idx, CK_NONE, "number %u says %u", sequence,
                 ash_le32_get(page->sequence));
        return NULL;
    }
    return page;
}

void ck_blob_chain(struct ck *ck, struct ck_blob *blob)
{
    uint32_t idx = blob->root_idx;

    for (uint32_t sequence = 0; idx != LVS_INVALID_PAGE && ck->rc == 0; sequence++) {
        const struct lvs_page_disk *page = chain_page(ck, blob, idx, sequence);
        if (!page ||
            !ck_grow(ck, &blob->chain, blob->n_chain, &blob->chain_room, sizeof(*blob->chain)))
            break;
        blob->chain[blob->n_chain++] = idx;
        ck->roles[idx] = CK_CHAIN;
        ck->page_owner[idx] = blob->idx + 1;
        parse_page(ck, blob, idx, page);
        idx = ash_le32_get(page->next);
    }
    decode_internal(ck, blob);
    check_xattr_names(ck, blob);
    if (blob->has_rle && blob->has_table)
        ck_fault(ck, LVS_F_MAP_MIXED, blob, blob->root_idx, CK_NONE, "%s", "");
    if (blob->table_mismatch)
        ck_fault(ck, LVS_F_TABLE_CLUSTERS, blob, blob->root_idx, CK_NONE, "%s", "");
    if (blob->n_clusters > (uint64_t)INT64_MAX / ck->cluster_bytes)
        ck_fault(ck, LVS_F_BLOB_SIZE, blob, blob->root_idx, CK_NONE, "%llu clusters",
                 (unsigned long long)blob->n_clusters);
    else if (blob->has_table && !blob->has_rle && !blob->bad &&
             blob->n_windows != lvs_n_windows(blob->n_clusters))
        ck_fault(ck, LVS_F_TABLE_COUNT, blob, blob->root_idx, CK_NONE,
                 "%llu entries for %llu clusters", (unsigned long long)blob->n_windows,
                 (unsigned long long)blob->n_clusters);
}

/* ---- extent pages ---- */

/* The list of an extent page, checked for form; NULL after a finding. */
static const struct le32 *extents_of(struct ck *ck, struct ck_blob *blob, const struct ck_seg *seg,
                                     uint32_t *ret_n)
{
    uint32_t idx = seg->page_idx;
    const struct lvs_page_disk *page = ck_page(ck, idx);

    if (idx >= ck->md_len || ck->roles[idx] == CK_CHAIN) {
        ck_fault(ck, LVS_F_TABLE_PAGE, blob, idx, CK_NONE, "%s",
                 idx >= ck->md_len ? "beyond the metadata" : "in a chain");
        return NULL;
    }
    if (!page) {
        ck_fault(ck, LVS_F_EXTPAGE_CRC, blob, idx, CK_NONE, "window %llu",
                 (unsigned long long)(seg->start / LVS_EXTENTS_PER_PAGE));
        return NULL;
    }
    const struct lvs_extents_disk *ext = (const void *)page->descs;
    uint32_t n_bytes = ash_le32_get(ext->desc.n_bytes);
    if (ash_le32_get(page->sequence) != 0 || ash_le32_get(page->next) != LVS_INVALID_PAGE ||
        ext->desc.type != LVS_DESC_EXTENT_PAGE || n_bytes < sizeof(struct le32) ||
        n_bytes % sizeof(struct le32) != 0 ||
        n_bytes > sizeof(struct le32) * (1 + LVS_EXTENTS_PER_PAGE)) {
        ck_fault(ck, LVS_F_EXTPAGE_FORM, blob, idx, CK_NONE, "type %u, %u bytes", ext->desc.type,
                 n_bytes);
        return NULL;
    }
    if (ash_le32_get(ext->start_cluster_idx) != seg->start) {
        ck_fault(ck, LVS_F_EXTPAGE_START, blob, idx, CK_NONE, "starts at %u instead of %llu",
                 ash_le32_get(ext->start_cluster_idx), (unsigned long long)seg->start);
        return NULL;
    }
    *ret_n = n_bytes / sizeof(struct le32) - 1;
    return ext->clusters;
}

/* 15.2: what follows the descriptor must read as one of length 0. */
static bool has_tail(const struct lvs_page_disk *page, uint32_t n)
{
    size_t pos = sizeof(struct lvs_extents_disk) + (size_t)n * sizeof(struct le32);
    struct lvs_desc_disk after;

    if (LVS_DESC_BYTES - pos < sizeof(after))
        return false;
    memcpy(&after, page->descs + pos, sizeof(after));
    return ash_le32_get(after.n_bytes) != 0;
}

static void load_window(struct ck *ck, struct ck_blob *blob, struct ck_seg *seg,
                        uint64_t *thick_end)
{
    uint32_t n = 0,
             n_due = lvs_window_clusters(blob->n_clusters, seg->start / LVS_EXTENTS_PER_PAGE);
    const struct le32 *entries = extents_of(ck, blob, seg, &n);

    if (!entries)
        return;
    if (has_tail(ck->pages[seg->page_idx], n)) {
        ck_find(ck, LVS_F_EXTPAGE_TAIL, blob, seg->page_idx, CK_NONE, "after %u entries", n);
        seg->rewrite = true;
    }
    if (n < n_due && !ck_is_thin(blob)) {
        *thick_end = ASH_MIN(*thick_end, seg->start + n);
        seg->rewrite = true;
    } else if (n != n_due) {
        ck_find(ck, LVS_F_EXTPAGE_LENGTH, blob, seg->page_idx, CK_NONE, "%u entries instead of %u",
                n, n_due);
        seg->rewrite = true;
    }
    seg->entries = entries;
    seg->n = ASH_MIN(n, n_due);
    for (uint32_t i = 0; i < seg->n; i++) {
        uint32_t cluster = ash_le32_get(entries[i]);
        if (cluster == 0)
            continue;
        if (!check_cluster(ck, blob, seg->page_idx, cluster, 1))
            return;
        blob->n_allocated++;
    }
}

/* 11.5: a thick volume whose extent pages end early was being shrunk; finish that. */
static void finish_shrink(struct ck *ck, struct ck_blob *blob, uint64_t end)
{
    ck_find(ck, LVS_F_THICK_SHORT, blob, blob->root_idx, CK_NONE, "%llu clusters, %llu remain",
            (unsigned long long)blob->n_clusters, (unsigned long long)end);
    blob->n_clusters = end;
    blob->n_windows = lvs_n_windows(end);
    blob->n_allocated = 0;
    blob->rewrite = true;
    size_t n_segs = 0;
    for (size_t i = 0; i < blob->n_segs && blob->segs[i].start < end; i++, n_segs++) {
        struct ck_seg *seg = &blob->segs[i];
        seg->n = (uint32_t)ASH_MIN((uint64_t)seg->n, end - seg->start);
        for (uint32_t j = 0; j < seg->n; j++)
            blob->n_allocated += ck_seg_cluster(seg, j) != 0;
    }
    blob->n_segs = n_segs;
}

void ck_blob_extents(struct ck *ck, struct ck_blob *blob)
{
    uint64_t thick_end = UINT64_MAX;

    for (size_t i = 0; i < blob->n_segs && blob->has_table; i++) {
        struct ck_seg *seg = &blob->segs[i];
        if (seg->page_idx != LVS_INVALID_PAGE || blob->has_rle == false)
            load_window(ck, blob, seg, &thick_end);
        blob->rewrite |= seg->rewrite;
    }
    if (thick_end < blob->n_clusters && !blob->bad)
        finish_shrink(ck, blob, thick_end);
    if (!blob->bad && !ck_is_thin(blob) && blob->n_allocated != blob->n_clusters)
        ck_fault(ck, LVS_F_THICK_HOLE, blob, blob->root_idx, CK_NONE, "%llu of %llu allocated",
                 (unsigned long long)blob->n_allocated, (unsigned long long)blob->n_clusters);
}
