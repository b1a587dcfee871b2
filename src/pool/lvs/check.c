/* SPDX-License-Identifier: Apache-2.0 */
/* The walk of the checker: super block, masks, the pages of the metadata region, and at the end the
 * masks against what was found (docs/spec/blobstore-format.md 3, 4, 11.3, 17).
 *
 * Nothing is believed before it was checked: positions and counts of the super block are compared
 * with the device before memory is sized by them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/lvs/check_int.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define SLAB_BYTES  ((size_t)256 << 10)

void *ck_alloc(struct ck *ck, size_t n_bytes)
{
    size_t need = ash_align_up(n_bytes, 16);

    if (need > ck->slab_left) {
        size_t head = ash_align_up(sizeof(struct ck_slab), 64);
        /* Small stores stay small: the first slab is the size of what is asked for. */
        size_t room = ASH_MAX(need, ck->slabs ? SLAB_BYTES : (size_t)32 << 10);
        struct ck_slab *slab = malloc(head + room);
        if (!slab) {
            ck->rc = -ENOMEM;
            return NULL;
        }
        slab->next = ck->slabs;
        ck->slabs = slab;
        ck->slab_at = (uint8_t *)slab + head;
        ck->slab_left = room;
    }
    void *p = ck->slab_at;
    ck->slab_at += need;
    ck->slab_left -= need;
    return p;
}

bool ck_grow(struct ck *ck, void *array_ptr, size_t n, size_t *room, size_t item_bytes)
{
    void *array;

    memcpy(&array, array_ptr, sizeof(array));
    if (n < *room)
        return true;
    size_t new_room = *room ? *room * 2 : 8;
    array = realloc(array, new_room * item_bytes);
    if (!array) {
        ck->rc = -ENOMEM;
        return false;
    }
    memcpy(array_ptr, &array, sizeof(array));
    *room = new_room;
    return true;
}

void ck_fini(struct ck *ck)
{
    for (uint32_t i = 0; i < ck->n_blobs; i++) {
        free(ck->blobs[i].chain);
        free(ck->blobs[i].segs);
        free(ck->blobs[i].xattrs);
    }
    free(ck->blobs);
    free(ck->pages);
    free(ck->roles);
    free(ck->page_owner);
    free(ck->root_blob);
    free(ck->cluster_owner);
    ash_bitmap_fini(&ck->page_mask);
    ash_bitmap_fini(&ck->cluster_mask);
    ash_bitmap_fini(&ck->blobid_mask);
    while (ck->slabs) {
        struct ck_slab *next = ck->slabs->next;
        free(ck->slabs);
        ck->slabs = next;
    }
}

/* ---- super block (3.1) ---- */

static bool check_geometry(struct ck *ck)
{
    if (ck->page_bytes < LVS_MD_PAGE_BYTES_MIN || ck->page_bytes > LVS_MD_PAGE_BYTES_MAX ||
        !ash_is_pow2(ck->page_bytes)) {
        ck_find(ck, LVS_F_SUPER_GEOMETRY, NULL, CK_NONE, CK_NONE, "metadata pages of %u bytes",
                ck->page_bytes);
        return false;
    }
    if (ck->cluster_bytes == 0 || ck->cluster_bytes % LVS_PAGE_BYTES != 0 ||
        ck->cluster_bytes < ck->page_bytes) {
        ck_find(ck, LVS_F_SUPER_GEOMETRY, NULL, CK_NONE, CK_NONE,
                "clusters of %u bytes, metadata pages of %u", ck->cluster_bytes, ck->page_bytes);
        return false;
    }
    if (ck->io_unit_bytes < LVS_IO_UNIT_BYTES_MIN || ck->io_unit_bytes > ck->page_bytes ||
        !ash_is_pow2(ck->io_unit_bytes)) {
        ck_find(ck, LVS_F_SUPER_GEOMETRY, NULL, CK_NONE, CK_NONE, "volume blocks of %u bytes",
                ck->io_unit_bytes);
        return false;
    }
    ck->total_clusters = ck->size_bytes / ck->cluster_bytes;
    if (ck->total_clusters == 0 || ck->total_clusters > UINT32_MAX) {
        ck_find(ck, LVS_F_SUPER_GEOMETRY, NULL, CK_NONE, CK_NONE,
                "%llu clusters of %u bytes on %llu bytes", (unsigned long long)ck->total_clusters,
                ck->cluster_bytes, (unsigned long long)ck->size_bytes);
        return false;
    }
    return true;
}

static bool check_regions(struct ck *ck)
{
    const struct lvs_super_disk *s = &ck->super;
    uint64_t page_end = (uint64_t)ck->page_mask_start + ash_le32_get(s->used_page_mask_len);
    uint64_t cluster_end =
        (uint64_t)ck->cluster_mask_start + ash_le32_get(s->used_cluster_mask_len);
    uint64_t blobid_end = (uint64_t)ck->blobid_mask_start + ck->blobid_mask_len;
    const char *what = NULL;

    if (ck->md_len == 0 || ck->md_len == UINT32_MAX)
        what = "no metadata pages";
    else if (ck->page_mask_start == 0 || ck->cluster_mask_start < page_end)
        what = "the page mask overlaps";
    else if (ck->blobid_mask_len && ck->blobid_mask_start < cluster_end)
        what = "the cluster mask overlaps";
    else if (ck->md_start < (ck->blobid_mask_len ? blobid_end : cluster_end))
        what = "the metadata pages overlap a mask";
    else if (page_end - ck->page_mask_start < lvs_mask_pages(ck->md_len, ck->page_bytes) ||
             cluster_end - ck->cluster_mask_start <
                 lvs_mask_pages(ck->total_clusters, ck->page_bytes) ||
             (ck->blobid_mask_len &&
              ck->blobid_mask_len < lvs_mask_pages(ck->md_len, ck->page_bytes)))
        what = "a mask is too short";
    ck->md_clusters = lvs_md_clusters(ck->md_start, ck->md_len, ck->cluster_bytes, ck->page_bytes);
    if (!what && (((uint64_t)ck->md_start + ck->md_len) * ck->page_bytes > ck->size_bytes ||
                  ck->md_clusters > ck->total_clusters))
        what = "the metadata leaves the device";
    if (what)
        ck_find(ck, LVS_F_SUPER_REGIONS, NULL, CK_NONE, CK_NONE, "%s", what);
    return !what;
}

static bool check_super_head(struct ck *ck)
{
    const struct lvs_super_disk *s = &ck->super;

    ck->version = ash_le32_get(s->version);
    if (memcmp(s->signature, LVS_SIGNATURE, LVS_SIGNATURE_BYTES) != 0) {
        ck_find(ck, LVS_F_SUPER_SIGNATURE, NULL, CK_NONE, CK_NONE, "no blobstore signature");
        return false;
    }
    if (ck->version < LVS_VERSION_MIN || ck->version > LVS_VERSION) {
        ck_find(ck, LVS_F_SUPER_VERSION, NULL, CK_NONE, CK_NONE, "version %u", ck->version);
        return false;
    }
    uint32_t crc = ash_crc32c(s, LVS_CRC_BYTES);
    if (crc != ash_le32_get(s->crc)) {
        ck_find(ck, LVS_F_SUPER_CRC, NULL, CK_NONE, CK_NONE, "checksum %08x, computed %08x",
                ash_le32_get(s->crc), crc);
        return false;
    }
    return true;
}

static bool check_super(struct ck *ck)
{
    static const uint8_t bstype[LVS_BSTYPE_BYTES] = LVS_BSTYPE;
    const struct lvs_super_disk *s = &ck->super;

    if (!check_super_head(ck))
        return false;
    bool v3 = ck->version >= 3;
    ck->clean = ash_le32_get(s->clean) == 1;
    ck->lvstore = ck->version >= 2 && memcmp(s->bstype, bstype, sizeof(bstype)) == 0;
    ck->size_bytes = v3 ? ash_le64_get(s->size_bytes) : 0;
    if (ck->size_bytes == 0)
        ck->size_bytes = ck->dev->size_bytes;
    ck->io_unit_bytes = v3 ? ash_le32_get(s->io_unit_bytes) : 0;
    if (ck->io_unit_bytes == 0)
        ck->io_unit_bytes = 4096;
    ck->page_bytes = v3 ? ash_le32_get(s->md_page_bytes) : 0;
    if (ck->page_bytes == 0)
        ck->page_bytes = 4096;
    ck->cluster_bytes = ash_le32_get(s->cluster_bytes);
    ck->page_mask_start = ash_le32_get(s->used_page_mask_start);
    ck->cluster_mask_start = ash_le32_get(s->used_cluster_mask_start);
    ck->blobid_mask_start = v3 ? ash_le32_get(s->used_blobid_mask_start) : 0;
    ck->blobid_mask_len = v3 ? ash_le32_get(s->used_blobid_mask_len) : 0;
    ck->md_start = ash_le32_get(s->md_start);
    ck->md_len = ash_le32_get(s->md_len);
    if (ck->size_bytes > ck->dev->size_bytes) {
        ck_find(ck, LVS_F_SUPER_SIZE, NULL, CK_NONE, CK_NONE, "store of %llu bytes, device of %llu",
                (unsigned long long)ck->size_bytes, (unsigned long long)ck->dev->size_bytes);
        return false;
    }
    if (!check_geometry(ck) || !check_regions(ck))
        return false;
    if (!ck->lvstore)
        ck_find(ck, LVS_F_SUPER_BSTYPE, NULL, CK_NONE, CK_NONE, "type '%.16s', version %u",
                ck->version >= 2 ? (const char *)s->bstype : "", ck->version);
    if (ck->dev->block_bytes > ck->io_unit_bytes)
        ck_find(ck, LVS_F_SUPER_BLOCK, NULL, CK_NONE, CK_NONE, "device %u bytes, volumes %u",
                ck->dev->block_bytes, ck->io_unit_bytes);
    return true;
}

/* ---- masks (4) ---- */

/* Returns 0 when the mask could be used, 1 when not, negative errno. */
static int load_mask(struct ck *ck, enum lvs_mask_type type, uint32_t start_page, uint64_t n_bits,
                     struct ash_bitmap *bm)
{
    size_t n_bytes = lvs_mask_pages(n_bits, ck->page_bytes) * ck->page_bytes;
    ASH_CLEANUP(ash_freep) void *buf = aligned_alloc(4096, n_bytes);

    if (!buf || ash_bitmap_init(bm, n_bits) != 0)
        return -ENOMEM;
    int rc = ck->dev->read(ck->dev->ctx, (uint64_t)start_page * ck->page_bytes, buf, n_bytes);
    if (rc < 0) {
        ck_find(ck, LVS_F_READ_ERROR, NULL, CK_NONE, CK_NONE, "mask %d: error %d", type, -rc);
        return 1;
    }
    const struct lvs_mask_disk *mask = buf;
    uint32_t n_found = ash_le32_get(mask->n_bits);
    bool longer = type == LVS_MASK_CLUSTERS && n_found > n_bits;
    if (mask->type != type || (n_found != n_bits && !longer)) {
        ck_find(ck, LVS_F_MASK_HEADER, NULL, CK_NONE, CK_NONE,
                "mask %d: type %u, %u bits; expected %llu bits", type, mask->type, n_found,
                (unsigned long long)n_bits);
        return 1;
    }
    if (longer)
        ck_find(ck, LVS_F_MASK_LONG, NULL, CK_NONE, CK_NONE, "%u bits for %llu clusters", n_found,
                (unsigned long long)n_bits);
    ash_bitmap_load(bm, mask->bits, n_bits);
    return 0;
}

static int load_masks(struct ck *ck)
{
    if (!ck->clean || ck->blobid_mask_len == 0)
        return 0;
    int a = load_mask(ck, LVS_MASK_PAGES, ck->page_mask_start, ck->md_len, &ck->page_mask);
    int b = load_mask(ck, LVS_MASK_CLUSTERS, ck->cluster_mask_start, ck->total_clusters,
                      &ck->cluster_mask);
    int c = load_mask(ck, LVS_MASK_BLOBIDS, ck->blobid_mask_start, ck->md_len, &ck->blobid_mask);
    ck->have_masks = a == 0 && b == 0 && c == 0;
    return a < 0 ? a : b < 0 ? b : c < 0 ? c : 0;
}

/* ---- metadata pages (5, 11.3) ---- */

/* A page whose checksum is wrong: was it a root? Either of the two marks suffices, so that no
 * single damaged place makes a volume vanish unseen. */
static bool was_root(const struct lvs_page_disk *page, uint32_t idx)
{
    const struct lvs_flags_disk *flags = (const void *)page->descs;

    if (ash_le32_get(page->sequence) != 0)
        return false;
    return ash_le64_get(page->id) == lvs_blob_id(idx) ||
           (flags->desc.type == LVS_DESC_FLAGS &&
            ash_le32_get(flags->desc.n_bytes) == sizeof(*flags) - sizeof(flags->desc));
}

static void take_page(struct ck *ck, uint32_t idx, const uint8_t *raw)
{
    const struct lvs_page_disk *page = (const void *)raw;
    uint64_t id = ash_le64_get(page->id);
    uint32_t crc = ash_le32_get(page->crc);

    if (id == 0 && crc == 0) {
        ck->roles[idx] = CK_EMPTY;
        return;
    }
    if (ash_crc32c(raw, LVS_CRC_BYTES) != crc) {
        /* A checksum of zero: the first write or the erasing of a page did not finish. */
        ck->roles[idx] = crc == 0 ? CK_EMPTY : was_root(page, idx) ? CK_BAD_ROOT : CK_JUNK;
        return;
    }
    struct lvs_page_disk *copy = ck_alloc(ck, sizeof(*copy));
    if (!copy)
        return;
    memcpy(copy, raw, sizeof(*copy));
    ck->pages[idx] = copy;
    ck->roles[idx] = CK_VALID;
}

static const uint8_t *peek(const struct ck *ck, uint64_t offset, size_t n_bytes)
{
    return ck->dev->peek ? ck->dev->peek(ck->dev->ctx, offset, n_bytes) : NULL;
}

/* Reads n pages, by way of buf, and takes them in. A chunk that cannot be read is read page by
 * page. */
static void read_pages(struct ck *ck, uint32_t idx, uint32_t n, uint8_t *buf)
{
    size_t n_bytes = (size_t)n * ck->page_bytes;
    uint64_t offset = ck_page_offset(ck, idx);
    const uint8_t *raw = peek(ck, offset, n_bytes);
    int rc = raw ? 0 : ck->dev->read(ck->dev->ctx, offset, buf, n_bytes);

    if (rc < 0 && n > 1) {
        for (uint32_t i = 0; i < n; i++)
            read_pages(ck, idx + i, 1, buf);
        return;
    }
    if (rc < 0) {
        ck->roles[idx] = CK_JUNK;
        ck_find(ck, LVS_F_READ_ERROR, NULL, idx, CK_NONE, "error %d", -rc);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (ck->roles[idx + i] == CK_UNREAD)
            take_page(ck, idx + i, (raw ? raw : buf) + (size_t)i * ck->page_bytes);
    }
}

const struct lvs_page_disk *ck_page(struct ck *ck, uint32_t page_idx)
{
    if (page_idx >= ck->md_len)
        return NULL;
    if (ck->roles[page_idx] == CK_UNREAD) {
        ASH_CLEANUP(ash_freep) uint8_t *buf = aligned_alloc(4096, ck->page_bytes);
        if (!buf) {
            ck->rc = -ENOMEM;
            return NULL;
        }
        read_pages(ck, page_idx, 1, buf);
    }
    return ck->pages[page_idx];
}

static int scan_pages(struct ck *ck)
{
    uint32_t per_chunk = (uint32_t)(CHUNK_BYTES / ck->page_bytes);
    bool quick = ck->opts->quick && ck->have_masks;
    uint32_t n_most = ASH_MIN(per_chunk, ck->md_len);
    ASH_CLEANUP(ash_freep) uint8_t *buf = aligned_alloc(4096, (size_t)n_most * ck->page_bytes);

    ck->pages = calloc(ck->md_len, sizeof(*ck->pages));
    ck->roles = calloc(ck->md_len, sizeof(*ck->roles));
    ck->page_owner = calloc(ck->md_len, sizeof(*ck->page_owner));
    ck->root_blob = calloc(ck->md_len, sizeof(*ck->root_blob));
    ck->cluster_owner = calloc(ck->total_clusters, sizeof(*ck->cluster_owner));
    if (!buf || !ck->pages || !ck->roles || !ck->page_owner || !ck->root_blob || !ck->cluster_owner)
        return -ENOMEM;
    for (uint64_t idx = 0; idx < ck->md_len && ck->rc == 0;) {
        if (quick) {
            idx = ash_bitmap_find_set(&ck->page_mask, idx);
            if (idx >= ck->md_len)
                break;
        }
        uint32_t n = (uint32_t)ASH_MIN((uint64_t)per_chunk, ck->md_len - idx);
        /* With masks, stop at the last page in use of this chunk. */
        while (quick && n > 1 && !ash_bitmap_test(&ck->page_mask, idx + n - 1))
            n--;
        read_pages(ck, (uint32_t)idx, n, buf);
        idx += n;
    }
    return ck->rc;
}

/* ---- blobs ---- */

struct ck_blob *ck_blob_by_id(struct ck *ck, uint64_t id)
{
    uint32_t root = lvs_id_page(id);

    if (!lvs_id_is_valid(id) || root >= ck->md_len || ck->root_blob[root] == 0)
        return NULL;
    return &ck->blobs[ck->root_blob[root] - 1];
}

struct ck_blob *ck_blob_add(struct ck *ck, uint32_t root_idx)
{
    size_t room = ck->blobs_room;

    if (!ck_grow(ck, &ck->blobs, ck->n_blobs, &room, sizeof(*ck->blobs)))
        return NULL;
    ck->blobs_room = (uint32_t)room;
    struct ck_blob *blob = &ck->blobs[ck->n_blobs];
    *blob = (struct ck_blob){
        .id = lvs_blob_id(root_idx),
        .root_idx = root_idx,
        .idx = ck->n_blobs++,
        .parent = LVS_NO_BLOB,
        .snaptmp = LVS_NO_BLOB,
        .snaprm = LVS_NO_BLOB,
    };
    ck->root_blob[root_idx] = ck->n_blobs;
    return blob;
}

/* A page that is said to be a root but is none: the blob is listed as faulted, unless it is the
 * super blob, which can be rebuilt, or nothing is left of it. */
static void bad_root(struct ck *ck, uint32_t idx)
{
    bool marked = ck->have_masks && ash_bitmap_test(&ck->blobid_mask, idx);
    bool damaged = ck->roles[idx] == CK_BAD_ROOT;

    if (!marked && (!damaged || ck->have_masks))
        return;
    if (ck->lvstore && lvs_blob_id(idx) == ash_le64_get(ck->super.super_blob))
        return;
    if (ck->roles[idx] == CK_EMPTY) {
        ck_find(ck, LVS_F_MASK_BLOBID_LEAK, NULL, idx, CK_NONE, "the page is erased");
        return;
    }
    struct ck_blob *blob = ck_blob_add(ck, idx);
    if (!blob)
        return;
    const struct lvs_page_disk *page = ck->pages[idx];
    if (page)
        ck_fault(ck, LVS_F_ROOT_FOREIGN, blob, idx, CK_NONE,
                 "the page was written by blob %#llx as number %u",
                 (unsigned long long)ash_le64_get(page->id), ash_le32_get(page->sequence));
    else
        ck_fault(ck, LVS_F_ROOT_CRC, blob, idx, CK_NONE, "the checksum is wrong");
}

static int find_blobs(struct ck *ck)
{
    for (uint32_t idx = 0; idx < ck->md_len && ck->rc == 0; idx++) {
        const struct lvs_page_disk *page = ck->pages[idx];
        if (page && ash_le32_get(page->sequence) == 0 && ash_le64_get(page->id) == lvs_blob_id(idx))
            ck_blob_add(ck, idx);
        else if (ck->roles[idx] != CK_UNREAD ||
                 (ck->have_masks && ash_bitmap_test(&ck->blobid_mask, idx))) {
            /* Named by the blob mask only: not read yet in a quick check. */
            if (ck->roles[idx] == CK_UNREAD && ck_page(ck, idx))
                idx--;
            else
                bad_root(ck, idx);
        }
    }
    for (uint32_t i = 0; i < ck->n_blobs && ck->rc == 0; i++) {
        if (!ck->blobs[i].bad)
            ck_blob_chain(ck, &ck->blobs[i]);
    }
    for (uint32_t i = 0; i < ck->n_blobs && ck->rc == 0; i++)
        ck_blob_extents(ck, &ck->blobs[i]);
    return ck->rc;
}

/* ---- masks against owners (17 item 12) ---- */

struct compare {
    const struct ash_bitmap *mask;
    enum lvs_check_code lost, leak;
    bool clusters;
};

static void report_run(struct ck *ck, const struct compare *cmp, bool lost, uint64_t first,
                       uint64_t n)
{
    const char *note = !lost && ck->n_bad ? " (may belong to a faulted volume)" : "";

    ck_find(ck, lost ? cmp->lost : cmp->leak, NULL, cmp->clusters ? CK_NONE : first,
            cmp->clusters ? first : CK_NONE, "%llu from %llu on%s", (unsigned long long)n,
            (unsigned long long)first, note);
}

static bool in_use(const struct ck *ck, const struct compare *cmp, uint64_t i)
{
    if (cmp->clusters)
        return i < ck->md_clusters || ck->cluster_owner[i] != 0;
    return ck->page_owner[i] != 0;
}

/* One finding for each run of bits that differ in the same way. */
static void compare_mask(struct ck *ck, const struct compare *cmp)
{
    uint64_t n_bits = cmp->mask->n_bits, first = 0;
    int run = 0; /* 1 lost, 2 leaked */

    for (uint64_t i = 0; i <= n_bits; i++) {
        int now = 0;
        if (i < n_bits) {
            bool used = in_use(ck, cmp, i), marked = ash_bitmap_test(cmp->mask, i);
            now = used == marked ? 0 : used ? 1 : 2;
        }
        if (now == run)
            continue;
        if (run)
            report_run(ck, cmp, run == 1, first, i - first);
        run = now;
        first = i;
    }
}

static void compare_masks(struct ck *ck)
{
    if (!ck->have_masks)
        return;
    struct compare pages = {&ck->page_mask, LVS_F_MASK_PAGE_LOST, LVS_F_MASK_PAGE_LEAK, false};
    struct compare clusters = {&ck->cluster_mask, LVS_F_MASK_CLUSTER_LOST, LVS_F_MASK_CLUSTER_LEAK,
                               true};
    compare_mask(ck, &pages);
    compare_mask(ck, &clusters);
    for (uint32_t i = 0; i < ck->n_blobs; i++) {
        const struct ck_blob *blob = &ck->blobs[i];
        if (!blob->gone && !ash_bitmap_test(&ck->blobid_mask, blob->root_idx))
            ck_find(ck, LVS_F_MASK_BLOBID_LOST, blob, blob->root_idx, CK_NONE,
                    "the blob exists but the mask does not name it");
    }
}

static void list_unreferenced(struct ck *ck)
{
    for (uint32_t idx = 0; idx < ck->md_len; idx++) {
        if (ck->roles[idx] == CK_VALID && ck->page_owner[idx] == 0)
            ck_find(ck, LVS_F_PAGE_UNREFERENCED, NULL, idx, CK_NONE,
                    "written by blob %#llx as number %u",
                    (unsigned long long)ash_le64_get(ck->pages[idx]->id),
                    ash_le32_get(ck->pages[idx]->sequence));
        if (ck->roles[idx] == CK_JUNK || (ck->roles[idx] == CK_BAD_ROOT && !ck->root_blob[idx]))
            ck_find(ck, LVS_F_PAGE_GARBAGE, NULL, idx, CK_NONE, "%s", "");
    }
}

/* Clusters that are neither owned nor free: a faulted volume may own what the masks hold. */
static void count_free(struct ck *ck)
{
    struct lvs_report *r = ck->report;

    ck->n_reserved = 0;
    for (uint64_t i = ck->md_clusters; ck->n_bad && ck->have_masks && i < ck->total_clusters; i++)
        ck->n_reserved += ck->cluster_owner[i] == 0 && ash_bitmap_test(&ck->cluster_mask, i);
    r->free_clusters = ck->total_clusters - ck->md_clusters - ck->n_claimed - ck->n_reserved;
    if (ck->opts->expect_free && *ck->opts->expect_free != r->free_clusters)
        ck_find(ck, LVS_F_FREE_COUNT, NULL, CK_NONE, CK_NONE, "the engine says %llu, the walk %llu",
                (unsigned long long)*ck->opts->expect_free, (unsigned long long)r->free_clusters);
}

int ck_walk(struct ck *ck)
{
    ASH_CLEANUP(ash_freep) uint8_t *first = aligned_alloc(4096, LVS_PAGE_BYTES);

    if (!first)
        return -ENOMEM;
    if (ck->dev->size_bytes < LVS_PAGE_BYTES) {
        ck_find(ck, LVS_F_SUPER_SIGNATURE, NULL, CK_NONE, CK_NONE, "the device is too small");
        return 0;
    }
    int rc = ck->dev->read(ck->dev->ctx, 0, first, LVS_PAGE_BYTES);
    if (rc < 0)
        return rc;
    memcpy(&ck->super, first, sizeof(ck->super));
    if (!check_super(ck))
        return 0;
    ck->report->readable = true;
    ck->claim_budget = 4 * ck->total_clusters + 65536;
    ck->compare_budget = 64 * ck->total_clusters + 65536;
    rc = load_masks(ck);
    if (rc == 0)
        rc = scan_pages(ck);
    if (rc == 0)
        rc = find_blobs(ck);
    if (rc < 0)
        return rc;
    ck_resolve_halves(ck);
    ck_relations(ck);
    ck_claim(ck);
    ck_names(ck);
    compare_masks(ck);
    list_unreferenced(ck);
    count_free(ck);
    ck_report_fill(ck);
    return ck->rc;
}

int lvs_check(const struct lvs_check_dev *dev, const struct lvs_check_opts *opts,
              struct lvs_report *report)
{
    static const struct lvs_check_opts defaults = {0};
    struct ck ck = {.dev = dev, .opts = opts ? opts : &defaults, .report = report};

    *report = (struct lvs_report){0};
    int rc = ck_walk(&ck);
    ck_fini(&ck);
    return rc;
}
