/* SPDX-License-Identifier: Apache-2.0 */
/* A small store in memory, made from docs/spec/blobstore-format.md 16 alone: the 64 MiB test vector
 * with four volumes. Tests change it and seal what they changed. */
#ifndef ASH_TESTS_POOL_MKDISK_H
#define ASH_TESTS_POOL_MKDISK_H

#include "pool/lvs/check.h"

#define MKDISK_CLUSTER_BYTES (1u << 20)
#define MKDISK_N_CLUSTERS    64u
#define MKDISK_MD_START      4u
#define MKDISK_MD_LEN        64u

struct mkdisk {
    uint8_t *bytes;
    uint64_t n_bytes;
    uint64_t fail_reads_from, fail_reads_to; /* byte range whose reading fails */
    uint64_t n_writes, cut_after_writes;     /* 0: never; later writes are refused with -EIO */
};

/* Vector of section 16; masks are written only if clean. */
void mkdisk_init(struct mkdisk *d, bool clean);
/* Fill each of its data clusters c with byte 0x50 + c; the other clusters are zero. */
void mkdisk_fill(struct mkdisk *d);
/* A smaller device with the same kind of geometry: zeroes, super block and masks only. */
void mkdisk_init_geometry(struct mkdisk *d, uint32_t n_clusters, uint32_t cluster_bytes,
                          uint32_t page_bytes, bool clean);
void mkdisk_fini(struct mkdisk *d);
struct lvs_check_dev mkdisk_dev(struct mkdisk *d);

struct lvs_super_disk *mkdisk_super(struct mkdisk *d);
void mkdisk_seal_super(struct mkdisk *d);
struct lvs_page_disk *mkdisk_page(struct mkdisk *d, uint32_t idx);
void mkdisk_seal(struct mkdisk *d, uint32_t idx);
/* Bits of a mask, after its header. */
struct lvs_mask_disk *mkdisk_mask(struct mkdisk *d, enum lvs_mask_type type);
void mkdisk_mark(struct mkdisk *d, enum lvs_mask_type type, uint32_t idx, bool used);
void mkdisk_set_clean(struct mkdisk *d, bool clean);

/* Building one page: begin, descriptors in order, end (which seals). */
struct mkpage {
    struct mkdisk *d;
    uint32_t idx, pos;
};
struct mkpage mkpage_begin(struct mkdisk *d, uint32_t idx, uint64_t id, uint32_t sequence);
void mkpage_desc(struct mkpage *p, uint8_t type, const void *body, uint32_t n_bytes);
void mkpage_flags(struct mkpage *p, uint64_t invalid, uint64_t data_ro, uint64_t md_ro);
void mkpage_xattr(struct mkpage *p, bool internal, const char *name, const void *value,
                  size_t n_value);
void mkpage_id_xattr(struct mkpage *p, const char *name, uint64_t id);
/* name in 64 bytes and UUID aaaaaaaa-0000-4000-8000-<n in 12 digits> */
void mkpage_names(struct mkpage *p, const char *name, unsigned n);
/* pairs: (page, count) or (cluster, count) */
void mkpage_table(struct mkpage *p, uint64_t n_clusters, const uint32_t *pairs, size_t n_pairs);
void mkpage_rle(struct mkpage *p, const uint32_t *pairs, size_t n_pairs);
void mkpage_end(struct mkpage *p, uint32_t next);
/* A whole extent page of n entries; those from n_clusters on are 0. */
void mkpage_extents(struct mkdisk *d, uint32_t idx, uint64_t id, uint32_t start,
                    const uint32_t *clusters, size_t n_clusters, size_t n);

#endif
