/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata pages: sealing and checking, and the two directions between a chain of pages and a
 * struct lvs_root (docs/spec/blobstore-format.md section 5).
 *
 * Invariants: no page reaches the disk but through lvs_page_seal, none is believed but through
 * lvs_page_is_sealed; decoding trusts no length, index or count; what decoding accepts, encoding
 * writes back in the same order. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "pool/lvs/lvs.h"

void lvs_page_seal(struct lvs_page_disk *page)
{
    page->crc = ash_le32(ash_crc32c(page, LVS_CRC_BYTES));
}

bool lvs_page_is_sealed(const struct lvs_page_disk *page)
{
    return ash_le32_get(page->crc) == ash_crc32c(page, LVS_CRC_BYTES);
}

/* ---------------------------------------------------------------- encode */

/* Pages under construction. */
struct encoder {
    uint64_t blob_id;
    struct lvs_page_disk *pages;
    uint32_t n;
    size_t used; /* descriptor bytes used in the last page */
};

static int encoder_next_page(struct encoder *e)
{
    struct lvs_page_disk *pages =
        rt_realloc(e->pages, e->n * sizeof(*pages), (e->n + 1) * sizeof(*pages));
    if (!pages)
        return -ENOMEM;
    e->pages = pages;
    struct lvs_page_disk *p = &pages[e->n];
    memset(p, 0, sizeof(*p));
    p->id = ash_le64(e->blob_id);
    p->sequence = ash_le32(e->n);
    p->next = ash_le32(LVS_INVALID_PAGE);
    e->n++;
    e->used = 0;
    return 0;
}

/* Room for a descriptor of n bytes with its header: in the last page, or in a fresh one. */
static void *encoder_room(struct encoder *e, uint8_t type, size_t n)
{
    ASH_ASSERT(n >= sizeof(struct lvs_desc_disk) && n <= LVS_DESC_BYTES);
    if (e->used + n > LVS_DESC_BYTES && encoder_next_page(e))
        return NULL;
    struct lvs_desc_disk *d = (void *)(e->pages[e->n - 1].descs + e->used);
    d->type = type;
    d->n_bytes = ash_le32((uint32_t)(n - sizeof(*d)));
    e->used += n;
    return d;
}

static int encode_xattrs(struct encoder *e, const struct lvs_xattrs *xs, uint8_t type)
{
    for (size_t i = 0; i < xs->n; i++) {
        const struct lvs_xattr *x = &xs->v[i];
        struct lvs_xattr_disk *d = encoder_room(e, type, sizeof(*d) + x->n_name + x->n_value);
        if (!d)
            return -ENOMEM;
        d->n_name_bytes = ash_le16(x->n_name);
        d->n_value_bytes = ash_le16(x->n_value);
        memcpy(d->bytes, x->bytes, x->n_name);
        memcpy(d->bytes + x->n_name, lvs_xattr_value(x), x->n_value);
    }
    return 0;
}

static uint32_t window_page(const struct lvs_map *map, uint64_t w)
{
    const struct lvs_window *win = lvs_map_peek(map, w);
    if (!win)
        return 0;
    return map->with_new && win->new_written ? win->new_page : win->page;
}

/* The next run of the extent table from window *w on; false at the end. */
static bool table_run(const struct lvs_map *map, uint64_t *w, struct lvs_table_entry_disk *ret)
{
    if (*w >= map->n_windows)
        return false;
    uint32_t page = window_page(map, *w);
    if (page) {
        *ret = (struct lvs_table_entry_disk){ash_le32(page), ash_le32(1)};
        ++*w;
        return true;
    }
    uint64_t first = *w;
    do {
        ++*w;
    } while (*w < map->n_windows && !window_page(map, *w));
    *ret = (struct lvs_table_entry_disk){ash_le32(0), ash_le32((uint32_t)(*w - first))};
    return true;
}

static int encode_table(struct encoder *e, const struct lvs_map *map)
{
    uint64_t w = 0;
    struct lvs_table_entry_disk run;
    bool more = table_run(map, &w, &run);
    do {
        if (e->used + sizeof(struct lvs_table_disk) + (more ? sizeof(run) : 0) > LVS_DESC_BYTES) {
            int rc = encoder_next_page(e);
            if (rc)
                return rc;
        }
        struct lvs_table_disk *d = encoder_room(e, LVS_DESC_EXTENT_TABLE, sizeof(*d));
        ASH_ASSERT(d);
        d->n_clusters = ash_le64(map->n_clusters);
        size_t n = 0;
        while (more && e->used + sizeof(run) <= LVS_DESC_BYTES) {
            d->entries[n++] = run;
            e->used += sizeof(run);
            more = table_run(map, &w, &run);
        }
        d->desc.n_bytes = ash_le32((uint32_t)(sizeof(*d) - sizeof(d->desc) + n * sizeof(run)));
    } while (more);
    return 0;
}

static bool rle_run(const struct lvs_map *map, uint64_t *idx, struct lvs_run_disk *ret)
{
    if (*idx >= map->n_clusters)
        return false;
    uint64_t first = *idx;
    uint32_t start = lvs_map_get(map, first);
    /* a count has 32 bits, and so has the length of a volume (LVS_N_CLUSTERS_MAX) */
    do {
        ++*idx;
    } while (*idx < map->n_clusters && *idx - first < UINT32_MAX &&
             lvs_map_get(map, *idx) == (start ? start + (uint32_t)(*idx - first) : 0));
    *ret = (struct lvs_run_disk){ash_le32(start), ash_le32((uint32_t)(*idx - first))};
    return true;
}

static int encode_rle(struct encoder *e, const struct lvs_map *map)
{
    uint64_t idx = 0;
    struct lvs_run_disk run;
    bool more = rle_run(map, &idx, &run);
    while (more) {
        if (e->used + sizeof(struct lvs_desc_disk) + sizeof(run) > LVS_DESC_BYTES) {
            int rc = encoder_next_page(e);
            if (rc)
                return rc;
        }
        struct lvs_desc_disk *d = encoder_room(e, LVS_DESC_EXTENT_RLE, sizeof(*d));
        ASH_ASSERT(d);
        struct lvs_run_disk *runs = (void *)(d + 1);
        size_t n = 0;
        while (more && e->used + sizeof(run) <= LVS_DESC_BYTES) {
            runs[n++] = run;
            e->used += sizeof(run);
            more = rle_run(map, &idx, &run);
        }
        d->n_bytes = ash_le32((uint32_t)(n * sizeof(run)));
    }
    return 0;
}

int lvs_root_encode(const struct lvs_root *root, struct lvs_page_disk **ret_pages, uint32_t *ret_n)
{
    struct encoder e = {.blob_id = root->blob_id};
    uint64_t invalid = root->invalid_flags & ~LVS_INVALID_INTERNAL_XATTR;
    if (root->internal.n)
        invalid |= LVS_INVALID_INTERNAL_XATTR;
    int rc = encoder_next_page(&e);
    if (rc == 0) {
        struct lvs_flags_disk *f = encoder_room(&e, LVS_DESC_FLAGS, sizeof(*f));
        ASH_ASSERT(f);
        f->invalid = ash_le64(invalid);
        f->data_ro = ash_le64(root->data_ro_flags);
        f->md_ro = ash_le64(root->md_ro_flags);
        rc = encode_xattrs(&e, &root->user, LVS_DESC_XATTR);
    }
    if (rc == 0)
        rc = encode_xattrs(&e, &root->internal, LVS_DESC_XATTR_INTERNAL);
    if (rc == 0)
        rc = root->map->rle ? encode_rle(&e, root->map) : encode_table(&e, root->map);
    if (rc) {
        rt_free(e.pages);
        return rc;
    }
    *ret_pages = e.pages;
    *ret_n = e.n;
    return 0;
}

void lvs_extents_encode(struct lvs_page_disk *page, uint64_t blob_id, uint64_t window,
                        const uint32_t *clusters, uint32_t n)
{
    ASH_ASSERT(n >= 1 && n <= LVS_EXTENTS_PER_PAGE);
    memset(page, 0, sizeof(*page));
    page->id = ash_le64(blob_id);
    page->next = ash_le32(LVS_INVALID_PAGE);
    struct lvs_extents_disk *d = (void *)page->descs;
    d->desc.type = LVS_DESC_EXTENT_PAGE;
    d->desc.n_bytes = ash_le32(4 + 4 * n);
    d->start_cluster_idx = ash_le32((uint32_t)(window * LVS_EXTENTS_PER_PAGE));
    for (uint32_t i = 0; i < n; i++)
        d->clusters[i] = ash_le32(clusters[i]);
    lvs_page_seal(page);
}

/* ---------------------------------------------------------------- decode */

int lvs_extents_decode(const struct lvs_page_disk *page, uint64_t window,
                       const struct le32 **ret_clusters, uint32_t *ret_n, bool *ret_has_leftovers)
{
    const struct lvs_extents_disk *d = (const void *)page->descs;
    uint32_t n_bytes = ash_le32_get(d->desc.n_bytes);
    if (ash_le32_get(page->sequence) != 0 || ash_le32_get(page->next) != LVS_INVALID_PAGE ||
        d->desc.type != LVS_DESC_EXTENT_PAGE || n_bytes < 4 || (n_bytes - 4) % 4 != 0 ||
        (n_bytes - 4) / 4 > LVS_EXTENTS_PER_PAGE ||
        ash_le32_get(d->start_cluster_idx) != (uint32_t)(window * LVS_EXTENTS_PER_PAGE))
        return -EILSEQ;
    *ret_clusters = d->clusters;
    *ret_n = (n_bytes - 4) / 4;
    /* 15.2: some releases left stale bytes behind; they are cleaned by the next write */
    size_t end = sizeof(struct lvs_desc_disk) + n_bytes;
    *ret_has_leftovers = false;
    for (size_t i = end; i + sizeof(struct lvs_desc_disk) <= LVS_DESC_BYTES && i < end + 5; i++)
        *ret_has_leftovers |= page->descs[i] != 0;
    return 0;
}

/* One chain being read. */
struct decoder {
    struct lvs_decoded *d;
    char *fault;
    bool has_flags, first_desc;
    uint64_t n_table_windows;
    size_t refs_room, runs_room;
};

static int damaged(struct decoder *dec, const char *fmt, ...) ASH_PRINTF(2, 3);
static int damaged(struct decoder *dec, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(dec->fault, 160, fmt, ap);
    va_end(ap);
    return -EILSEQ;
}

/* Append to a growing array. */
static void *grow(void *items, size_t n, size_t *room, size_t item_bytes)
{
    if (n < *room)
        return items;
    size_t n_new = *room ? *room * 2 : 16;
    void *p = rt_realloc(items, *room * item_bytes, n_new * item_bytes);
    if (p)
        *room = n_new;
    return p;
}

static int decode_flags(struct decoder *dec, const uint8_t *body, uint32_t n)
{
    const struct lvs_flags_disk *f = (const void *)(body - sizeof(struct lvs_desc_disk));
    if (n != sizeof(*f) - sizeof(f->desc) || !dec->first_desc || dec->has_flags)
        return damaged(dec, "flags are not the first descriptor, or not 24 bytes long");
    dec->has_flags = true;
    dec->d->root.invalid_flags = ash_le64_get(f->invalid);
    dec->d->root.data_ro_flags = ash_le64_get(f->data_ro);
    dec->d->root.md_ro_flags = ash_le64_get(f->md_ro);
    return 0;
}

/* An internal attribute whose value is the id of a blob: without it a parent would be forgotten. */
static bool holds_id(const void *name, size_t n_name)
{
    static const char *const names[] = {LVS_XATTR_SNAP, LVS_XATTR_SNAPTMP, LVS_XATTR_SNAPRM};
    for (size_t i = 0; i < ASH_N_ELEMS(names); i++)
        if (n_name == strlen(names[i]) && memcmp(name, names[i], n_name) == 0)
            return true;
    return false;
}

static int decode_xattr(struct decoder *dec, const uint8_t *body, uint32_t n, struct lvs_xattrs *to)
{
    const struct lvs_xattr_disk *x = (const void *)(body - sizeof(struct lvs_desc_disk));
    if (n < 4)
        return damaged(dec, "attribute of %u bytes", n);
    uint32_t n_name = ash_le16_get(x->n_name_bytes), n_value = ash_le16_get(x->n_value_bytes);
    if (n != 4 + n_name + n_value || n_name == 0)
        return damaged(dec, "attribute of %u bytes with name of %u and value of %u", n, n_name,
                       n_value);
    if (lvs_xattrs_find_raw(to, x->bytes, n_name))
        return damaged(dec, "attribute of %u bytes twice", n_name + n_value);
    if (to == &dec->d->root.internal && n_value != sizeof(uint64_t) && holds_id(x->bytes, n_name))
        return damaged(dec, "id of a blob of %u bytes", n_value);
    int rc = lvs_xattrs_add_raw(to, x->bytes, n_name, x->bytes + n_name, n_value);
    return rc == -E2BIG ? damaged(dec, "attribute too long") : rc;
}

static int decode_rle(struct decoder *dec, const uint8_t *body, uint32_t n)
{
    struct lvs_decoded *d = dec->d;
    if (n == 0 || n % sizeof(struct lvs_run_disk) != 0)
        return damaged(dec, "run list of %u bytes", n);
    d->has_rle = true;
    for (uint32_t i = 0; i < n / sizeof(struct lvs_run_disk); i++) {
        struct lvs_run_disk run = ((const struct lvs_run_disk *)body)[i];
        void *runs = grow(d->runs, d->n_runs, &dec->runs_room, sizeof(run));
        if (!runs)
            return -ENOMEM;
        d->runs = runs;
        d->runs[d->n_runs++] = run;
        d->n_clusters += ash_le32_get(run.n_clusters);
        if (d->n_clusters > LVS_N_CLUSTERS_MAX)
            return damaged(dec, "more clusters than a volume can have");
    }
    return 0;
}

static int decode_table(struct decoder *dec, const uint8_t *body, uint32_t n)
{
    struct lvs_decoded *d = dec->d;
    const struct lvs_table_disk *t = (const void *)(body - sizeof(struct lvs_desc_disk));
    if (n < 8 || (n - 8) % sizeof(struct lvs_table_entry_disk) != 0)
        return damaged(dec, "extent table of %u bytes", n);
    uint64_t n_clusters = ash_le64_get(t->n_clusters);
    if (d->has_table && n_clusters != d->n_clusters)
        return damaged(dec, "extent tables of different lengths");
    if (n_clusters > LVS_N_CLUSTERS_MAX)
        return damaged(dec, "more clusters than a volume can have");
    d->has_table = true;
    d->n_clusters = n_clusters;
    for (uint32_t i = 0; i < (n - 8) / sizeof(struct lvs_table_entry_disk); i++) {
        uint32_t page = ash_le32_get(t->entries[i].page_idx);
        uint32_t n_pages = ash_le32_get(t->entries[i].n_pages);
        if (page && n_pages != 1)
            return damaged(dec, "extent table names page %u %u times", page, n_pages);
        if (page) {
            void *refs = grow(d->refs, d->n_refs, &dec->refs_room, sizeof(*d->refs));
            if (!refs)
                return -ENOMEM;
            d->refs = refs;
            d->refs[d->n_refs++] = (struct lvs_ext_ref){dec->n_table_windows, page};
        }
        dec->n_table_windows += n_pages;
        if (dec->n_table_windows > lvs_n_windows(n_clusters))
            return damaged(dec, "extent table is longer than the volume");
    }
    return 0;
}

static int decode_desc(struct decoder *dec, uint8_t type, const uint8_t *body, uint32_t n)
{
    if (type != LVS_DESC_FLAGS && type != LVS_DESC_PADDING && !dec->has_flags)
        return damaged(dec, "descriptor %u before the flags", type);
    switch (type) {
    case LVS_DESC_PADDING:
        return 0; /* filler */
    case LVS_DESC_FLAGS:
        return decode_flags(dec, body, n);
    case LVS_DESC_XATTR:
        return decode_xattr(dec, body, n, &dec->d->root.user);
    case LVS_DESC_XATTR_INTERNAL:
        return decode_xattr(dec, body, n, &dec->d->root.internal);
    case LVS_DESC_EXTENT_RLE:
        return decode_rle(dec, body, n);
    case LVS_DESC_EXTENT_TABLE:
        return decode_table(dec, body, n);
    case LVS_DESC_EXTENT_PAGE:
        return damaged(dec, "extent page inside a chain");
    default:
        /* Nothing may be lost by rewriting the chain without it, and we cannot know that. */
        return damaged(dec, "unknown descriptor %u", type);
    }
}

static int decode_page(struct decoder *dec, const struct lvs_page_disk *page)
{
    size_t at = 0;
    while (LVS_DESC_BYTES - at >= sizeof(struct lvs_desc_disk)) {
        const struct lvs_desc_disk *desc = (const void *)(page->descs + at);
        uint32_t n = ash_le32_get(desc->n_bytes);
        if (desc->type == LVS_DESC_PADDING && n == 0)
            break;
        at += sizeof(*desc);
        if (n > LVS_DESC_BYTES - at)
            return damaged(dec, "descriptor %u is longer than its page", desc->type);
        int rc = decode_desc(dec, desc->type, page->descs + at, n);
        if (rc)
            return rc;
        dec->first_desc = dec->first_desc && desc->type == LVS_DESC_PADDING;
        at += n;
    }
    return 0;
}

static int decode_end(struct decoder *dec)
{
    struct lvs_decoded *d = dec->d;
    if (!dec->has_flags)
        return damaged(dec, "no flags");
    if (d->has_rle && d->has_table)
        return damaged(dec, "run list and extent table mixed");
    if (d->has_table && dec->n_table_windows != lvs_n_windows(d->n_clusters))
        return damaged(dec, "extent table of %llu windows for %llu clusters",
                       (unsigned long long)dec->n_table_windows, (unsigned long long)d->n_clusters);
    if (d->root.invalid_flags & ~LVS_INVALID_KNOWN) {
        damaged(dec, "flags 0x%llx are not known here", (unsigned long long)d->root.invalid_flags);
        return -EINVAL;
    }
    return 0;
}

int lvs_chain_decode(lvs_page_get get, void *ctx, uint32_t root_idx, uint32_t n_pages_max,
                     struct lvs_decoded *ret, char fault[160])
{
    *ret = (struct lvs_decoded){.root.blob_id = lvs_blob_id(root_idx)};
    struct decoder dec = {.d = ret, .fault = fault, .first_desc = true};
    size_t cont_room = 0;
    uint32_t idx = root_idx;
    fault[0] = '\0';
    for (uint32_t seq = 0;; seq++) {
        /* sequence numbers must match, so a loop ends by itself; the limit is for good measure */
        const struct lvs_page_disk *page =
            idx < n_pages_max && seq < n_pages_max ? get(ctx, idx) : NULL;
        if (!page)
            return damaged(&dec, "page %u (%u of the chain) is missing or fails its checksum", idx,
                           seq);
        if (ash_le64_get(page->id) != ret->root.blob_id || ash_le32_get(page->sequence) != seq)
            return damaged(&dec, "page %u is not page %u of this chain", idx, seq);
        if (seq > 0) {
            void *cont = grow(ret->cont_pages, ret->n_cont_pages, &cont_room, sizeof(uint32_t));
            if (!cont)
                return -ENOMEM;
            ret->cont_pages = cont;
            ret->cont_pages[ret->n_cont_pages++] = idx;
        }
        int rc = decode_page(&dec, page);
        if (rc)
            return rc;
        idx = ash_le32_get(page->next);
        if (idx == LVS_INVALID_PAGE)
            return decode_end(&dec);
    }
}

void lvs_decoded_free(struct lvs_decoded *d)
{
    lvs_xattrs_free(&d->root.user);
    lvs_xattrs_free(&d->root.internal);
    rt_free(d->refs);
    rt_free(d->runs);
    rt_free(d->cont_pages);
    *d = (struct lvs_decoded){0};
}
