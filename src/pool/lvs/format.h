/* SPDX-License-Identifier: Apache-2.0 */
/* The disk format of blobstore and lvstore: structures and constants, nothing else
 * (docs/spec/blobstore-format.md; section numbers below are of that text).
 *
 * THE DISK
 *
 *   page 0           super block: geometry, "clean" mark, id of the super blob
 *   page mask        1 bit per metadata page          \
 *   cluster mask     1 bit per cluster, room to grow   > written at unload, believed only if clean
 *   blob id mask     1 bit per page that is a root    /
 *   metadata pages   md_len pages; the only truth after a crash
 *   data clusters    cluster 0 .. k-1 are the regions above
 *
 * All positions come from the super block and count pages of md_page_size bytes (4096 in practice).
 * Only the first 4096 bytes of a bigger page mean anything. The super block and each metadata page
 * end in a CRC-32C of their first 4092 bytes; masks and data have none. Erased pages are all zero,
 * which is not a page with a good CRC.
 *
 * A BLOB
 *
 *   root page --next--> page --next--> ... --> LVS_INVALID_PAGE      the chain
 *
 * Its id is 1 << 32 | index of its root page. Every chain page holds descriptors (type, length,
 * bytes): the flags first, then attributes (xattrs, user and internal), then the map in one of two
 * forms:
 *
 *   RLE runs       {first cluster, count} pairs, in the chain itself
 *   extent table   {page, count} pairs in the chain; each allocated entry names one extent page, a
 *                  plain array of the clusters of one window of 512
 *
 * Zero stands for "not allocated" at all levels, because cluster 0 and extent page 0 cannot occur.
 * The chain changes by writing fresh continuation pages and then the root, in one 4 KiB write: that
 * write is the commit. Extent pages may be rewritten in place as long as their length stays.
 *
 * The id in an extent page is that of its writer, not of its owner: snapshots take pages over. The
 * length of a volume is what its extent table says, whatever the extent pages hold (5.7, 11.5).
 *
 * RELATIONS
 *
 * A clone names its snapshot in internal xattr SNAP, an external clone its device in EXTSNAP. There
 * is no snapshot bit: a snapshot is a READ_ONLY blob that others name. SNAPTMP and SNAPRM mark a
 * creation or deletion in progress (11.4).
 *
 * An lvstore is a blobstore of type LVOLSTORE whose super blob (id in the super block) carries its
 * name and UUID; every other blob is a volume with xattrs "name" and "uuid" (12).
 *
 * Everything is little-endian and packed; the le types of base/endian.h have alignment 1. */
#ifndef ASH_POOL_LVS_FORMAT_H
#define ASH_POOL_LVS_FORMAT_H

#include "base/compiler.h"
#include "base/endian.h"

/* Meaningful bytes of the super block and of every metadata page, whatever md_page_size is. */
#define LVS_PAGE_BYTES 4096u
#define LVS_CRC_OFFSET 4092u
#define LVS_CRC_BYTES  4092u /* the CRC covers bytes 0 .. LVS_CRC_BYTES - 1 */
#define LVS_DESC_BYTES 4072u /* room for descriptors in one page */

#define LVS_MD_PAGE_BYTES_MIN 4096u
#define LVS_MD_PAGE_BYTES_MAX 65536u
#define LVS_IO_UNIT_BYTES_MIN 512u

/* 3: super block, byte 0 of the device */
#define LVS_SIGNATURE       "SPDKBLOB"
#define LVS_SIGNATURE_BYTES 8u
#define LVS_VERSION         3u
#define LVS_VERSION_MIN     1u
#define LVS_BSTYPE          "LVOLSTORE" /* padded with zeroes to LVS_BSTYPE_BYTES */
#define LVS_BSTYPE_BYTES    16u

#define LVS_INVALID_PAGE 0xFFFFFFFFu
#define LVS_NO_BLOB      UINT64_MAX /* super_blob of a store without one; "no parent" in memory */
#define LVS_ESNAP_BLOB   (UINT64_MAX - 1) /* only in memory: the parent is an external snapshot */

struct lvs_super_disk {
    uint8_t signature[LVS_SIGNATURE_BYTES];
    struct le32 version;
    struct le32 length; /* LVS_PAGE_BYTES */
    struct le32 clean;  /* 1 after an orderly unload, else 0 */
    struct le64 super_blob;
    struct le32 cluster_bytes;
    struct le32 used_page_mask_start; /* all starts and lengths in pages */
    struct le32 used_page_mask_len;
    struct le32 used_cluster_mask_start;
    struct le32 used_cluster_mask_len;
    struct le32 md_start;
    struct le32 md_len;
    uint8_t bstype[LVS_BSTYPE_BYTES];   /* since version 2 */
    struct le32 used_blobid_mask_start; /* since version 3 */
    struct le32 used_blobid_mask_len;   /* 0: absent, always recover */
    struct le64 size_bytes;             /* 0: size of the device */
    struct le32 io_unit_bytes;          /* 0: 4096 */
    struct le32 md_page_bytes;          /* 0: 4096 */
    uint8_t reserved[3996];             /* preserved */
    struct le32 crc;
};

_Static_assert(sizeof(struct lvs_super_disk) == LVS_PAGE_BYTES, "3");
_Static_assert(offsetof(struct lvs_super_disk, version) == 8, "3");
_Static_assert(offsetof(struct lvs_super_disk, length) == 12, "3");
_Static_assert(offsetof(struct lvs_super_disk, clean) == 16, "3");
_Static_assert(offsetof(struct lvs_super_disk, super_blob) == 20, "3");
_Static_assert(offsetof(struct lvs_super_disk, cluster_bytes) == 28, "3");
_Static_assert(offsetof(struct lvs_super_disk, used_page_mask_start) == 32, "3");
_Static_assert(offsetof(struct lvs_super_disk, used_page_mask_len) == 36, "3");
_Static_assert(offsetof(struct lvs_super_disk, used_cluster_mask_start) == 40, "3");
_Static_assert(offsetof(struct lvs_super_disk, used_cluster_mask_len) == 44, "3");
_Static_assert(offsetof(struct lvs_super_disk, md_start) == 48, "3");
_Static_assert(offsetof(struct lvs_super_disk, md_len) == 52, "3");
_Static_assert(offsetof(struct lvs_super_disk, bstype) == 56, "3");
_Static_assert(offsetof(struct lvs_super_disk, used_blobid_mask_start) == 72, "3");
_Static_assert(offsetof(struct lvs_super_disk, used_blobid_mask_len) == 76, "3");
_Static_assert(offsetof(struct lvs_super_disk, size_bytes) == 80, "3");
_Static_assert(offsetof(struct lvs_super_disk, io_unit_bytes) == 88, "3");
_Static_assert(offsetof(struct lvs_super_disk, md_page_bytes) == 92, "3");
_Static_assert(offsetof(struct lvs_super_disk, crc) == LVS_CRC_OFFSET, "3");

/* 4: masks. Bit i is byte i / 8 after the header, value 1 << (i % 8); 1 = used. */
enum lvs_mask_type {
    LVS_MASK_PAGES = 0,
    LVS_MASK_CLUSTERS = 1,
    LVS_MASK_BLOBIDS = 2,
};

struct lvs_mask_disk {
    uint8_t type;
    struct le32 n_bits;
    uint8_t bits[];
};

_Static_assert(sizeof(struct lvs_mask_disk) == 5, "4");
_Static_assert(offsetof(struct lvs_mask_disk, n_bits) == 1, "4");

/* 5: metadata page */
struct lvs_page_disk {
    struct le64 id;       /* of the writer; in an extent page not necessarily the owner */
    struct le32 sequence; /* position in the chain; 0 in a root and in an extent page */
    struct le32 reserved;
    uint8_t descs[LVS_DESC_BYTES];
    struct le32 next; /* page index or LVS_INVALID_PAGE */
    struct le32 crc;
};

_Static_assert(sizeof(struct lvs_page_disk) == LVS_PAGE_BYTES, "5");
_Static_assert(offsetof(struct lvs_page_disk, sequence) == 8, "5");
_Static_assert(offsetof(struct lvs_page_disk, descs) == 16, "5");
_Static_assert(offsetof(struct lvs_page_disk, next) == 4088, "5");
_Static_assert(offsetof(struct lvs_page_disk, crc) == LVS_CRC_OFFSET, "5");

/* 5.1: descriptors. A page's list ends at type 0 with length 0 or with fewer than 5 bytes left. */
enum lvs_desc_type {
    LVS_DESC_PADDING = 0,
    LVS_DESC_EXTENT_RLE = 1,
    LVS_DESC_XATTR = 2,
    LVS_DESC_FLAGS = 3,
    LVS_DESC_XATTR_INTERNAL = 4,
    LVS_DESC_EXTENT_TABLE = 5,
    LVS_DESC_EXTENT_PAGE = 6,
};

struct lvs_desc_disk {
    uint8_t type;
    struct le32 n_bytes; /* that follow this header */
};

_Static_assert(sizeof(struct lvs_desc_disk) == 5, "5.1");
_Static_assert(offsetof(struct lvs_desc_disk, n_bytes) == 1, "5.1");

/* 5.3: flags */
#define LVS_INVALID_THIN           (UINT64_C(1) << 0)
#define LVS_INVALID_INTERNAL_XATTR (UINT64_C(1) << 1) /* a hint only */
#define LVS_INVALID_EXTENT_TABLE   (UINT64_C(1) << 2)
#define LVS_INVALID_ESNAP          (UINT64_C(1) << 3)
#define LVS_INVALID_KNOWN          UINT64_C(0xF)
#define LVS_DATA_RO_READ_ONLY      (UINT64_C(1) << 0)
#define LVS_DATA_RO_KNOWN          UINT64_C(0x1)
#define LVS_MD_RO_CLEAR_MASK       UINT64_C(0x3)
#define LVS_MD_RO_KNOWN            UINT64_C(0x3)

enum lvs_clear_disk {
    LVS_CLEAR_DISK_DEFAULT = 0, /* means unmap */
    LVS_CLEAR_DISK_NONE = 1,
    LVS_CLEAR_DISK_UNMAP = 2,
    LVS_CLEAR_DISK_WRITE_ZEROES = 3,
};

struct lvs_flags_disk {
    struct lvs_desc_disk desc;
    struct le64 invalid; /* unknown bit: do not open */
    struct le64 data_ro; /* unknown bit: data and metadata read-only */
    struct le64 md_ro;   /* unknown bit: metadata read-only */
};

_Static_assert(sizeof(struct lvs_flags_disk) == 29, "5.3, 16");

/* 5.4: xattrs, user and internal. Name without terminator, then the value. */
struct lvs_xattr_disk {
    struct lvs_desc_disk desc;
    struct le16 n_name_bytes;
    struct le16 n_value_bytes;
    uint8_t bytes[];
};

#define LVS_XATTR_BYTES_MAX (LVS_DESC_BYTES - 9u) /* name + value */

_Static_assert(sizeof(struct lvs_xattr_disk) == 9, "5.4");
_Static_assert(LVS_XATTR_BYTES_MAX == 4063, "5.4");

#define LVS_XATTR_SNAP    "SNAP"    /* le64 id of the parent snapshot */
#define LVS_XATTR_SNAPTMP "SNAPTMP" /* le64 id of the origin */
#define LVS_XATTR_SNAPRM  "SNAPRM"  /* le64 id of the only clone */
#define LVS_XATTR_EXTSNAP "EXTSNAP" /* opaque; lvol: 37 bytes of UUID text */

/* 5.5: RLE runs; the descriptor holds any number of them. */
struct lvs_run_disk {
    struct le32 cluster; /* 0: not allocated */
    struct le32 n_clusters;
};

#define LVS_RUNS_PER_PAGE ((LVS_DESC_BYTES - 5u) / 8u)

_Static_assert(sizeof(struct lvs_run_disk) == 8, "5.5");
_Static_assert(LVS_RUNS_PER_PAGE == 508, "5.5");

/* 5.6: extent table */
struct lvs_table_entry_disk {
    struct le32 page_idx; /* 0: run of n_pages windows without page */
    struct le32 n_pages;  /* 1 if page_idx is not 0 */
};

struct lvs_table_disk {
    struct lvs_desc_disk desc;
    struct le64 n_clusters; /* of the blob; the same in each of its tables */
    struct lvs_table_entry_disk entries[];
};

#define LVS_TABLE_ENTRIES_PER_PAGE ((LVS_DESC_BYTES - 13u) / 8u)

_Static_assert(sizeof(struct lvs_table_entry_disk) == 8, "5.6");
_Static_assert(sizeof(struct lvs_table_disk) == 13, "5.6");
_Static_assert(LVS_TABLE_ENTRIES_PER_PAGE == 507, "5.6");

/* 5.7: extent page: its only descriptor */
#define LVS_EXTENTS_PER_PAGE 512u

struct lvs_extents_disk {
    struct lvs_desc_disk desc;
    struct le32 start_cluster_idx; /* LVS_EXTENTS_PER_PAGE * window */
    struct le32 clusters[];        /* 0: not allocated */
};

_Static_assert(sizeof(struct lvs_extents_disk) == 9, "5.7");
_Static_assert(sizeof(struct lvs_extents_disk) + LVS_EXTENTS_PER_PAGE * 4 <= LVS_DESC_BYTES, "5.7");
_Static_assert(sizeof(struct lvs_extents_disk) + LVS_EXTENTS_PER_PAGE * 8 > LVS_DESC_BYTES,
               "512 is the largest power of two that fits");

/* 12: lvstore */
#define LVS_NAME_MAX              63u /* bytes without terminator */
#define LVS_NAME_BYTES            64u /* value of a volume's name at creation */
#define LVS_UUID_BYTES            37u /* text and NUL */
#define LVS_XATTR_NAME            "name"
#define LVS_XATTR_UUID            "uuid"
#define LVS_XATTR_SNAP_TIME       "io-engine.snapshot_create_time" /* 15.4: marks a snapshot */
#define LVS_XATTR_ASHLAR_SNAPSHOT "ashlar.snapshot"                /* 10.1: the same, ours */
#define LVS_XATTR_ASHLAR_ZEROED   "ashlar.zeroed"                  /* 8.6, on the super blob */

#define LVS_CLUSTER_BYTES_DEFAULT (4u << 20)

/* 1: blob id and index of the root page */
static inline uint64_t lvs_blob_id(uint32_t root_page_idx)
{
    return UINT64_C(1) << 32 | root_page_idx;
}

static inline uint32_t lvs_id_page(uint64_t blob_id)
{
    return (uint32_t)blob_id;
}

static inline bool lvs_id_is_valid(uint64_t blob_id)
{
    return blob_id >> 32 == 1 && (uint32_t)blob_id != LVS_INVALID_PAGE;
}

/* 2.1: pages that a mask of n_bits takes. */
static inline uint64_t lvs_mask_pages(uint64_t n_bits, uint32_t page_bytes)
{
    return ash_div_up(sizeof(struct lvs_mask_disk) + ash_div_up(n_bits, 8), page_bytes);
}

/* 2.1: clusters at the start of the disk that hold the metadata. */
static inline uint64_t lvs_md_clusters(uint64_t md_start, uint64_t md_len, uint32_t cluster_bytes,
                                       uint32_t page_bytes)
{
    return ash_div_up(md_start + md_len, cluster_bytes / page_bytes);
}

/* 5.6, 5.7: windows of 512 clusters, and clusters in window k of a blob of n_clusters. */
static inline uint64_t lvs_n_windows(uint64_t n_clusters)
{
    return ash_div_up(n_clusters, LVS_EXTENTS_PER_PAGE);
}

static inline uint32_t lvs_window_clusters(uint64_t n_clusters, uint64_t window)
{
    uint64_t start = window * LVS_EXTENTS_PER_PAGE;

    if (start >= n_clusters)
        return 0;
    return (uint32_t)ASH_MIN(n_clusters - start, (uint64_t)LVS_EXTENTS_PER_PAGE);
}

#endif
