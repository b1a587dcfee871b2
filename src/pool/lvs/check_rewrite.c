/* SPDX-License-Identifier: Apache-2.0 */
/* Writing one blob for lvs_check_repair (docs/spec/blobstore-format.md 5.2, 7).
 *
 * Invariant: until the root page is written the disk shows the old blob, after it the new one. So
 * extent pages and continuation pages always go to fresh places and are flushed first; the old ones
 * are erased after the root is on the medium. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "pool/lvs/check_int.h"

int ck_fix_page(struct ck_fix *fix, uint32_t page_idx, struct lvs_page_disk *page)
{
    const struct lvs_check_dev *dev = fix->ck->dev;

    ASH_ASSERT(page_idx < fix->ck->md_len);
    page->crc = ash_le32(ash_crc32c(page, LVS_CRC_BYTES));
    memset(fix->io, 0, fix->ck->page_bytes);
    memcpy(fix->io, page, sizeof(*page));
    return dev->write(dev->ctx, ck_page_offset(fix->ck, page_idx), fix->io, fix->ck->page_bytes);
}

int ck_fix_zero(struct ck_fix *fix, uint32_t page_idx)
{
    const struct lvs_check_dev *dev = fix->ck->dev;

    memset(fix->io, 0, fix->ck->page_bytes);
    return dev->write(dev->ctx, ck_page_offset(fix->ck, page_idx), fix->io, fix->ck->page_bytes);
}

int ck_fix_alloc_page(struct ck_fix *fix, uint32_t *ret_page_idx)
{
    uint64_t idx = ash_bitmap_find_clear(&fix->pages, 1); /* page 0 cannot be an extent page */

    if (idx == ASH_BITMAP_NONE)
        return -ENOSPC;
    ash_bitmap_set(&fix->pages, idx);
    *ret_page_idx = (uint32_t)idx;
    return 0;
}

/* ---- serializing a chain ---- */

struct chain_out {
    struct lvs_page_disk *pages;
    size_t n_pages, room;
    uint32_t pos; /* in the last page */
    uint64_t id;
    bool failed;
};

static void *next_page(struct chain_out *out)
{
    if (out->n_pages == out->room) {
        size_t room = out->room ? out->room * 2 : 4;
        void *pages = realloc(out->pages, room * sizeof(*out->pages));
        if (!pages) {
            out->failed = true;
            return NULL;
        }
        out->pages = pages;
        out->room = room;
    }
    struct lvs_page_disk *page = &out->pages[out->n_pages];
    memset(page, 0, sizeof(*page));
    page->id = ash_le64(out->id);
    page->sequence = ash_le32((uint32_t)out->n_pages);
    page->next = ash_le32(LVS_INVALID_PAGE);
    out->n_pages++;
    out->pos = 0;
    return page;
}

/* Room for n more bytes in one page; NULL when memory ran out. Valid until the next call. */
static uint8_t *put(struct chain_out *out, size_t n)
{
    ASH_ASSERT(n <= LVS_DESC_BYTES);
    if (out->failed || ((out->n_pages == 0 || LVS_DESC_BYTES - out->pos < n) && !next_page(out)))
        return NULL;
    uint8_t *at = out->pages[out->n_pages - 1].descs + out->pos;
    out->pos += (uint32_t)n;
    return at;
}

static void put_flags(struct chain_out *out, const struct ck_blob *blob)
{
    struct lvs_flags_disk flags = {
        .desc = {LVS_DESC_FLAGS, ash_le32(sizeof(flags) - sizeof(flags.desc))},
        .data_ro = ash_le64(blob->data_ro),
        .md_ro = ash_le64(blob->md_ro),
    };
    uint64_t invalid = blob->invalid & ~LVS_INVALID_INTERNAL_XATTR;

    for (size_t i = 0; i < blob->n_xattrs; i++) {
        if (blob->xattrs[i].internal)
            invalid |= LVS_INVALID_INTERNAL_XATTR;
    }
    flags.invalid = ash_le64(invalid);
    uint8_t *at = put(out, sizeof(flags));
    if (at)
        memcpy(at, &flags, sizeof(flags));
}

static void put_xattrs(struct chain_out *out, const struct ck_blob *blob, bool internal)
{
    for (size_t i = 0; i < blob->n_xattrs; i++) {
        const struct ck_xattr *x = &blob->xattrs[i];
        if (x->internal != internal)
            continue;
        size_t n_bytes = (size_t)x->n_name_bytes + x->n_value_bytes;
        struct lvs_xattr_disk head = {
            .desc = {internal ? LVS_DESC_XATTR_INTERNAL : LVS_DESC_XATTR,
                     ash_le32((uint32_t)(sizeof(head) - sizeof(head.desc) + n_bytes))},
            .n_name_bytes = ash_le16(x->n_name_bytes),
            .n_value_bytes = ash_le16(x->n_value_bytes),
        };
        uint8_t *at = put(out, sizeof(head) + n_bytes);
        if (!at)
            return;
        memcpy(at, &head, sizeof(head));
        memcpy(at + sizeof(head), x->name, x->n_name_bytes);
        memcpy(at + sizeof(head) + x->n_name_bytes, x->value, x->n_value_bytes);
    }
}

/* A descriptor that grows by pairs of 32-bit numbers and goes on in the next page when one is full:
 * an extent table (with n_clusters after the header) or a list of RLE runs. */
struct pairs {
    struct chain_out *out;
    uint8_t *head; /* in the page; NULL: none begun */
    uint8_t type;
    uint64_t n_clusters;
    uint32_t n_bytes;
};

static void begin_pairs(struct pairs *p, size_t n_first)
{
    size_t n_extra = p->type == LVS_DESC_EXTENT_TABLE ? sizeof(struct le64) : 0;
    size_t n_head = sizeof(struct lvs_desc_disk) + n_extra;
    struct le64 n_clusters = ash_le64(p->n_clusters);

    p->head = put(p->out, n_head + n_first);
    if (!p->head)
        return;
    p->out->pos -= (uint32_t)n_first;
    p->n_bytes = (uint32_t)n_extra;
    struct lvs_desc_disk desc = {p->type, ash_le32(p->n_bytes)};
    memcpy(p->head, &desc, sizeof(desc));
    memcpy(p->head + sizeof(desc), &n_clusters, n_extra);
}

static void put_pair(struct pairs *p, uint32_t a, uint32_t b)
{
    struct le32 pair[2] = {ash_le32(a), ash_le32(b)};

    if (!p->head || LVS_DESC_BYTES - p->out->pos < sizeof(pair))
        begin_pairs(p, sizeof(pair));
    uint8_t *at = p->head ? put(p->out, sizeof(pair)) : NULL;
    if (!at)
        return;
    memcpy(at, pair, sizeof(pair));
    p->n_bytes += sizeof(pair);
    struct lvs_desc_disk desc = {p->type, ash_le32(p->n_bytes)};
    memcpy(p->head, &desc, sizeof(desc));
}

static void put_gap(struct pairs *p, uint64_t n)
{
    while (n > 0) {
        uint32_t part = (uint32_t)ASH_MIN(n, (uint64_t)UINT32_MAX);
        put_pair(p, 0, part);
        n -= part;
    }
}

static void put_table(struct chain_out *out, const struct ck_blob *blob)
{
    struct pairs p = {out, NULL, LVS_DESC_EXTENT_TABLE, blob->n_clusters, 0};
    uint64_t n_windows = lvs_n_windows(blob->n_clusters), window = 0;

    begin_pairs(&p, n_windows ? 8 : 0);
    for (size_t i = 0; i < blob->n_segs; i++) {
        uint64_t at = blob->segs[i].start / LVS_EXTENTS_PER_PAGE;
        put_gap(&p, at - window);
        put_pair(&p, blob->segs[i].page_idx, 1);
        window = at + 1;
    }
    put_gap(&p, n_windows - window);
}

static void put_runs(struct chain_out *out, const struct ck_blob *blob)
{
    struct pairs p = {out, NULL, LVS_DESC_EXTENT_RLE, 0, 0};
    uint64_t done = 0; /* clusters of the blob that are written */
    uint64_t start = 0;
    uint32_t first = 0, n = 0; /* the run being built, at start */

    for (size_t s = 0; s < blob->n_segs; s++) {
        const struct ck_seg *seg = &blob->segs[s];
        for (uint32_t i = 0; i < seg->n; i++) {
            uint32_t cluster = ck_seg_cluster(seg, i);
            if (cluster == 0)
                continue;
            if (n && seg->start + i == start + n && cluster == first + n) {
                n++;
                continue;
            }
            if (n) {
                put_gap(&p, start - done);
                put_pair(&p, first, n);
                done = start + n;
            }
            start = seg->start + i;
            first = cluster;
            n = 1;
        }
    }
    if (n) {
        put_gap(&p, start - done);
        put_pair(&p, first, n);
        done = start + n;
    }
    put_gap(&p, blob->n_clusters - done);
}

/* ---- writing ---- */

/* The extent pages that must change, each to a fresh place. Old places go to erase. */
static int write_extents(struct ck_fix *fix, struct ck_blob *blob, struct ash_bitmap *erase)
{
    for (size_t s = 0; s < blob->n_segs && blob->has_table; s++) {
        struct ck_seg *seg = &blob->segs[s];
        struct lvs_page_disk page = {.id = ash_le64(blob->id), .next = ash_le32(LVS_INVALID_PAGE)};
        struct lvs_extents_disk *ext = (void *)page.descs;
        uint32_t n = lvs_window_clusters(blob->n_clusters, seg->start / LVS_EXTENTS_PER_PAGE);
        uint32_t fresh;
        if (!seg->rewrite)
            continue;
        ASH_ASSERT(n > 0 && n >= seg->n);
        ext->desc.type = LVS_DESC_EXTENT_PAGE;
        ext->desc.n_bytes = ash_le32(4 + 4 * n);
        ext->start_cluster_idx = ash_le32((uint32_t)seg->start);
        for (uint32_t i = 0; i < seg->n; i++)
            ext->clusters[i] = ash_le32(ck_seg_cluster(seg, i));
        int rc = ck_fix_alloc_page(fix, &fresh);
        if (rc == 0)
            rc = ck_fix_page(fix, fresh, &page);
        if (rc < 0)
            return rc;
        if (seg->page_idx != LVS_INVALID_PAGE &&
            fix->ck->page_owner[seg->page_idx] == blob->idx + 1)
            ash_bitmap_set(erase, seg->page_idx);
        seg->page_idx = fresh;
        seg->rewrite = false;
    }
    return 0;
}

static int write_chain(struct ck_fix *fix, struct ck_blob *blob, struct chain_out *out)
{
    const struct lvs_check_dev *dev = fix->ck->dev;
    int rc = 0;

    for (size_t i = 1; i < out->n_pages && rc == 0; i++) {
        uint32_t idx;
        rc = ck_fix_alloc_page(fix, &idx);
        if (rc == 0)
            out->pages[i - 1].next = ash_le32(idx);
    }
    for (size_t i = 1; i < out->n_pages && rc == 0; i++)
        rc = ck_fix_page(fix, ash_le32_get(out->pages[i - 1].next), &out->pages[i]);
    if (rc == 0)
        rc = dev->flush(dev->ctx);
    if (rc == 0)
        rc = ck_fix_page(fix, blob->root_idx, &out->pages[0]);
    if (rc == 0)
        rc = dev->flush(dev->ctx);
    return rc;
}

int ck_fix_blob(struct ck_fix *fix, struct ck_blob *blob)
{
    struct chain_out out = {.id = blob->id};
    struct ash_bitmap erase = {0};

    ASH_ASSERT(!blob->bad && !blob->gone);
    if (ash_bitmap_init(&erase, fix->ck->md_len) != 0)
        return -ENOMEM;
    int rc = write_extents(fix, blob, &erase);
    if (rc == 0) {
        put_flags(&out, blob);
        put_xattrs(&out, blob, false);
        put_xattrs(&out, blob, true);
        if (blob->has_table)
            put_table(&out, blob);
        else
            put_runs(&out, blob);
        rc = out.failed ? -ENOMEM : write_chain(fix, blob, &out);
    }
    for (size_t i = 1; i < blob->n_chain; i++)
        ash_bitmap_set(&erase, blob->chain[i]);
    for (uint64_t idx = 0; rc == 0 && erase.n_set; idx++) {
        idx = ash_bitmap_find_set(&erase, idx);
        if (idx == ASH_BITMAP_NONE)
            break;
        rc = ck_fix_zero(fix, (uint32_t)idx);
    }
    ash_bitmap_fini(&erase);
    free(out.pages);
    blob->rewrite = false;
    return rc;
}
