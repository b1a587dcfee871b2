/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the checker: the walk's picture of a disk. Not for others.
 *
 * Order of the walk, each step needing the ones before: super block, masks, pages, chains of all
 * blobs, extent pages, half-done operations, owners of pages and clusters, relations, names, masks
 * against owners. A blob that cannot be understood is `bad`: it is listed as faulted and what it
 * names stays reserved, but it never stops the walk. */
#ifndef ASH_POOL_LVS_CHECK_INT_H
#define ASH_POOL_LVS_CHECK_INT_H

#include "base/bitmap.h"
#include "pool/lvs/check.h"

#define CK_NONE LVS_CHECK_NONE

enum ck_role {
    CK_UNREAD = 0,
    CK_EMPTY,    /* erased, or a write or erase that did not finish */
    CK_JUNK,     /* not metadata */
    CK_BAD_ROOT, /* looks like a root, but its CRC is wrong */
    CK_VALID,    /* CRC good, nobody refers to it (yet) */
    CK_CHAIN,
    CK_EXTENT,
};

struct ck_xattr {
    const uint8_t *name, *value;
    uint16_t n_name_bytes, n_value_bytes;
    bool internal;
};

/* Part of a map: an extent page, or a run of adjacent clusters. */
struct ck_seg {
    uint64_t start;             /* cluster of the blob */
    const struct le32 *entries; /* n of them; NULL: a run from first on */
    uint32_t first;
    uint32_t n;
    uint32_t page_idx; /* of the extent page; LVS_INVALID_PAGE in a run or a page not yet written */
    bool rewrite;      /* the extent page must be written afresh */
};

struct ck_blob {
    uint64_t id;
    uint32_t root_idx, idx;
    bool bad, gone, is_super, has_flags, has_table, has_rle, mixed, table_mismatch;
    bool rewrite; /* something in the chain must change on disk */
    enum lvs_check_code reason;
    uint64_t invalid, data_ro, md_ro;
    uint64_t n_clusters, n_allocated, n_windows;
    uint64_t parent, snaptmp, snaprm; /* LVS_NO_BLOB: none */
    uint32_t n_clones, depth;
    bool visited, on_path;
    uint32_t *chain;     /* page indexes, root first */
    struct ck_seg *segs; /* by start */
    struct ck_xattr *xattrs;
    size_t n_chain, n_segs, n_xattrs, chain_room, segs_room, xattrs_room;
};

struct ck_slab {
    struct ck_slab *next;
};

struct ck {
    const struct lvs_check_dev *dev;
    const struct lvs_check_opts *opts;
    struct lvs_report *report;
    int rc; /* sticky -ENOMEM */

    struct lvs_super_disk super;
    uint32_t version, cluster_bytes, page_bytes, io_unit_bytes;
    uint32_t page_mask_start, cluster_mask_start, blobid_mask_start, blobid_mask_len;
    uint32_t md_start, md_len;
    uint64_t size_bytes, total_clusters, md_clusters;
    bool clean, lvstore;

    bool have_masks; /* clean and all of them usable */
    struct ash_bitmap page_mask, cluster_mask, blobid_mask;

    const struct lvs_page_disk **pages; /* NULL unless CRC good */
    uint8_t *roles;
    uint32_t *page_owner;    /* index of the blob + 1 */
    uint32_t *root_blob;     /* the same, by root page */
    uint32_t *cluster_owner; /* the same */
    uint64_t n_claimed, n_reserved;
    uint64_t claim_budget, compare_budget; /* bound the time on disks made to waste it */
    struct ck_blob *blobs;
    uint32_t n_blobs, blobs_room, n_bad;
    struct ck_blob *super_blob;

    struct ck_slab *slabs;
    uint8_t *slab_at;
    size_t slab_left;
};

/* check_report.c */
void ck_find(struct ck *ck, enum lvs_check_code code, const struct ck_blob *blob, uint64_t page_idx,
             uint64_t cluster, const char *fmt, ...) ASH_PRINTF(6, 7);
/* As ck_find; the blob is faulted from now on. */
void ck_fault(struct ck *ck, enum lvs_check_code code, struct ck_blob *blob, uint64_t page_idx,
              uint64_t cluster, const char *fmt, ...) ASH_PRINTF(6, 7);
void ck_report_add(struct ck *ck, const struct lvs_finding *finding);
void ck_report_fill(struct ck *ck);
bool lvs_check_code_repairable(enum lvs_check_code code);

/* check.c */
int ck_walk(struct ck *ck); /* 0 | -ENOMEM | error of reading the super block */
void ck_fini(struct ck *ck);
void *ck_alloc(struct ck *ck, size_t n_bytes); /* lives until ck_fini; aligned to 16 */
/* Makes room for one more item; false when memory ran out. */
bool ck_grow(struct ck *ck, void *array_ptr, size_t n, size_t *room, size_t item_bytes);
const struct lvs_page_disk *ck_page(struct ck *ck, uint32_t page_idx);
struct ck_blob *ck_blob_by_id(struct ck *ck, uint64_t id);
struct ck_blob *ck_blob_add(struct ck *ck, uint32_t root_idx);

/* check_blob.c */
void ck_blob_chain(struct ck *ck, struct ck_blob *blob);
void ck_blob_extents(struct ck *ck, struct ck_blob *blob);
const struct ck_xattr *ck_xattr(const struct ck_blob *blob, bool internal, const char *name);
/* In memory only; the blob is marked for rewriting. name + value must fit in a descriptor. */
void ck_xattr_drop(struct ck_blob *blob, bool internal, const char *name);
void ck_xattr_set(struct ck *ck, struct ck_blob *blob, bool internal, const char *name,
                  const void *value, size_t n_bytes);
uint32_t ck_seg_cluster(const struct ck_seg *seg, uint32_t i);
uint32_t ck_map_get(const struct ck_blob *blob, uint64_t cluster_idx);
bool ck_seg_push(struct ck *ck, struct ck_blob *blob, const struct ck_seg *seg);

/* check_resolve.c */
void ck_resolve_halves(struct ck *ck);
void ck_claim(struct ck *ck);
void ck_relations(struct ck *ck);

/* check_names.c */
void ck_names(struct ck *ck);
/* Bytes of a volume's name without the zeroes that end it; 0 if it has none. */
size_t ck_name(const struct ck_blob *blob, const char **ret_name);
bool ck_uuid(const struct ck_blob *blob, struct ash_uuid *ret_uuid);

/* check_rewrite.c */
struct ck_fix {
    struct ck *ck;
    struct ash_bitmap pages, clusters; /* not to be allocated */
    uint8_t *io;                       /* one metadata page, aligned */
};
int ck_fix_page(struct ck_fix *fix, uint32_t page_idx, struct lvs_page_disk *page); /* seals it */
int ck_fix_zero(struct ck_fix *fix, uint32_t page_idx);
int ck_fix_alloc_page(struct ck_fix *fix, uint32_t *ret_page_idx);
/* Write a blob as it stands in memory: fresh extent and chain pages, flush, root, flush, erase what
 * was replaced. */
int ck_fix_blob(struct ck_fix *fix, struct ck_blob *blob);

static inline bool ck_is_thin(const struct ck_blob *blob)
{
    return blob->invalid & LVS_INVALID_THIN;
}

static inline uint64_t ck_page_offset(const struct ck *ck, uint64_t page_idx)
{
    return (ck->md_start + page_idx) * ck->page_bytes;
}

#endif
