/* SPDX-License-Identifier: Apache-2.0 */
/* See faults.h. Each function damages one thing; the table at the end says what is found. */
#include "faults.h"

#include <string.h>

#define BASE                     UINT64_C(0x100000000)
#define NONE                     LVS_INVALID_PAGE
#define MARK(d, type, idx, used) mkdisk_mark(d, LVS_MASK_##type, idx, used)

static void super_signature(struct mkdisk *d)
{
    d->bytes[0] = 'X';
}
static void super_version(struct mkdisk *d)
{
    mkdisk_super(d)->version = ash_le32(4);
    mkdisk_seal_super(d);
}
static void super_crc(struct mkdisk *d)
{
    d->bytes[200] ^= 1;
}
static void super_size(struct mkdisk *d)
{
    mkdisk_super(d)->size_bytes = ash_le64(d->n_bytes + 1);
    mkdisk_seal_super(d);
}
static void super_geometry(struct mkdisk *d)
{
    mkdisk_super(d)->cluster_bytes = ash_le32(5000);
    mkdisk_seal_super(d);
}
static void super_geometry_page(struct mkdisk *d)
{
    mkdisk_super(d)->md_page_bytes = ash_le32(12288);
    mkdisk_seal_super(d);
}
static void super_geometry_unit(struct mkdisk *d)
{
    mkdisk_super(d)->io_unit_bytes = ash_le32(256);
    mkdisk_seal_super(d);
}
static void super_regions_overlap(struct mkdisk *d)
{
    mkdisk_super(d)->md_start = ash_le32(3);
    mkdisk_seal_super(d);
}
static void super_regions_far(struct mkdisk *d)
{
    mkdisk_super(d)->md_len = ash_le32(0xfffffffe);
    mkdisk_seal_super(d);
}
static void super_bstype(struct mkdisk *d)
{
    memset(mkdisk_super(d)->bstype, 0, 16);
    mkdisk_seal_super(d);
}
static void super_block(struct mkdisk *d)
{
    mkdisk_super(d)->io_unit_bytes = ash_le32(512);
    mkdisk_seal_super(d);
}
static void read_error(struct mkdisk *d)
{
    d->fail_reads_from = (MKDISK_MD_START + 30) * 4096;
    d->fail_reads_to = d->fail_reads_from + 4096;
}
static void mask_header(struct mkdisk *d)
{
    mkdisk_mask(d, LVS_MASK_PAGES)->type = 2;
}
static void mask_long(struct mkdisk *d)
{
    mkdisk_mask(d, LVS_MASK_CLUSTERS)->n_bits = ash_le32(80);
}
static void page_lost(struct mkdisk *d)
{
    MARK(d, PAGES, 6, false);
}
static void page_leak(struct mkdisk *d)
{
    MARK(d, PAGES, 40, true);
}
static void cluster_lost(struct mkdisk *d)
{
    MARK(d, CLUSTERS, 8, false);
}
static void cluster_leak(struct mkdisk *d)
{
    MARK(d, CLUSTERS, 9, true);
}
static void blobid_lost(struct mkdisk *d)
{
    MARK(d, BLOBIDS, 7, false);
}
static void blobid_leak(struct mkdisk *d)
{
    MARK(d, BLOBIDS, 9, true);
}
static void root_crc(struct mkdisk *d)
{
    mkdisk_page(d, 1)->descs[10] ^= 1;
}
static void root_id(struct mkdisk *d)
{
    mkdisk_page(d, 1)->id.b[0] ^= 8;
}
static void garbage(struct mkdisk *d)
{
    memset(mkdisk_page(d, 30), 0xaa, 4096);
}
static void root_foreign(struct mkdisk *d)
{
    mkpage_extents(d, 7, BASE + 3, 512, (uint32_t[]){20}, 1, 88);
}

/* thick (root 1) with a second page */
static void second_page(struct mkdisk *d, uint32_t at, uint64_t id, uint32_t sequence)
{
    struct mkpage p = mkpage_begin(d, at, id, sequence);

    mkpage_xattr(&p, false, "more", "x", 1);
    mkpage_end(&p, NONE);
    mkdisk_page(d, 1)->next = ash_le32(at);
    mkdisk_seal(d, 1);
}
static void chain_next(struct mkdisk *d)
{
    second_page(d, 20, BASE + 1, 1);
    mkdisk_page(d, 1)->next = ash_le32(64);
    mkdisk_seal(d, 1);
}
static void chain_crc(struct mkdisk *d)
{
    second_page(d, 20, BASE + 1, 1);
    mkdisk_page(d, 20)->descs[3] ^= 4;
}
static void chain_id(struct mkdisk *d)
{
    second_page(d, 20, BASE + 9, 1);
}
static void chain_seq(struct mkdisk *d)
{
    second_page(d, 20, BASE + 1, 2);
}
static void chain_loop(struct mkdisk *d)
{
    second_page(d, 20, BASE + 1, 1);
    mkdisk_page(d, 20)->next = ash_le32(1);
    mkdisk_seal(d, 20);
}
static void chain_shared(struct mkdisk *d)
{
    second_page(d, 20, BASE + 1, 1);
    mkdisk_page(d, 7)->next = ash_le32(20);
    mkdisk_seal(d, 7);
}

/* The volume at root 7, written anew. */
static struct mkpage volume7(struct mkdisk *d, uint64_t invalid)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_flags(&p, invalid, 0, 0);
    mkpage_names(&p, "rle", 4);
    return p;
}
static void raw7(struct mkdisk *d, uint64_t invalid, uint8_t type, const void *body, uint32_t n)
{
    struct mkpage p = volume7(d, invalid);

    mkpage_desc(&p, type, body, n);
    mkpage_end(&p, NONE);
}
static void table7(struct mkdisk *d, uint64_t invalid, uint64_t n_clusters, const uint32_t *pairs,
                   size_t n_pairs)
{
    struct mkpage p = volume7(d, invalid);

    mkpage_table(&p, n_clusters, pairs, n_pairs);
    mkpage_end(&p, NONE);
}
static void desc_length(struct mkdisk *d)
{
    struct lvs_page_disk *page = mkdisk_page(d, 7);
    struct lvs_desc_disk desc = {2, ash_le32(4072)};

    memcpy(page->descs + 29, &desc, sizeof(desc));
    mkdisk_seal(d, 7);
}
static void desc_unknown(struct mkdisk *d)
{
    raw7(d, 1, 9, "abc", 3);
}
static void flags_second(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_names(&p, "rle", 4);
    mkpage_flags(&p, 1, 0, 0);
    mkpage_end(&p, NONE);
}
static void flags_none(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_end(&p, NONE);
}
static void flags_twice(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_flags(&p, 1, 0, 0);
    mkpage_end(&p, NONE);
}
static void flags_invalid(struct mkdisk *d)
{
    raw7(d, 0x11, 0, "", 0);
}
static void flags_ro(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_flags(&p, 1, 2, 0);
    mkpage_names(&p, "rle", 4);
    mkpage_end(&p, NONE);
}
static void xattr_length(struct mkdisk *d)
{
    raw7(d, 1, 2, "\3\0\1\0nam", 7);
}
static void xattr_short(struct mkdisk *d)
{
    raw7(d, 1, 4, "\3\0", 2);
}
static void xattr_dup(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_xattr(&p, false, "a", "1", 1);
    mkpage_xattr(&p, true, "a", "1", 1);
    mkpage_xattr(&p, false, "a", "2", 1);
    mkpage_end(&p, NONE);
}
static void xattr_internal(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_xattr(&p, true, "SNAP", "1234", 4);
    mkpage_end(&p, NONE);
}
static void map_mixed(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_rle(&p, (uint32_t[]){7, 2}, 1);
    mkpage_table(&p, 2, (uint32_t[]){0, 1}, 1);
    mkpage_end(&p, NONE);
}
static void rle_length(struct mkdisk *d)
{
    raw7(d, 1, 1, "123456789012", 12);
}
static void rle_empty(struct mkdisk *d)
{
    raw7(d, 1, 1, "", 0);
}
static void rle_too_much(struct mkdisk *d)
{
    uint32_t runs[] = {1, 40, 1, 40};
    raw7(d, 1, 1, runs, sizeof(runs));
}
static void table_length(struct mkdisk *d)
{
    raw7(d, 5, 5, "123456789", 9);
}
static void table_clusters(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 5);

    mkpage_table(&p, 600, (uint32_t[]){0, 1}, 1);
    mkpage_table(&p, 601, (uint32_t[]){0, 1}, 1);
    mkpage_end(&p, NONE);
}
static void table_entry(struct mkdisk *d)
{
    table7(d, 5, 600, (uint32_t[]){20, 2}, 1);
}
static void table_count(struct mkdisk *d)
{
    table7(d, 5, 600, (uint32_t[]){0, 3}, 1);
}
static void table_page_far(struct mkdisk *d)
{
    table7(d, 5, 3, (uint32_t[]){64, 1}, 1);
}
static void table_page_chain(struct mkdisk *d)
{
    table7(d, 5, 3, (uint32_t[]){3, 1}, 1);
}
static void blob_size(struct mkdisk *d)
{
    table7(d, 5, UINT64_C(1) << 60, (uint32_t[]){0, UINT32_MAX}, 1);
}
static void extpage_crc(struct mkdisk *d)
{
    mkdisk_page(d, 2)->descs[12] ^= 1;
}
static void extpage_form(struct mkdisk *d)
{
    mkdisk_page(d, 2)->next = ash_le32(3);
    mkdisk_seal(d, 2);
}
static void extpage_long_form(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 0, (uint32_t[]){1, 2, 3}, 3, 513);
}
static void extpage_start(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 512, (uint32_t[]){1, 2, 3}, 3, 3);
}
static void extpage_longer(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 0, (uint32_t[]){1, 2, 3, 9999}, 4, 4);
}
static void extpage_shorter(struct mkdisk *d)
{
    mkpage_extents(d, 4, BASE + 3, 0, (uint32_t[]){0, 6}, 2, 3);
}
static void extpage_none(struct mkdisk *d)
{
    mkpage_extents(d, 4, BASE + 3, 0, NULL, 0, 0);
    MARK(d, CLUSTERS, 6, false);
}
static void extpage_tail(struct mkdisk *d)
{
    memset(mkdisk_page(d, 2)->descs + 9 + 12 + 1, 7, 20);
    mkdisk_seal(d, 2);
}
static void thick_hole(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 0, (uint32_t[]){1, 0, 3}, 3, 3);
}
static void thick_no_page(struct mkdisk *d)
{
    table7(d, 4, 3, (uint32_t[]){0, 1}, 1);
}
static void thick_short(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 0, (uint32_t[]){1, 2}, 2, 2);
    MARK(d, CLUSTERS, 3, false);
}
static void thick_cut(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 1, BASE + 1, 0);

    mkpage_flags(&p, 4, 0, 0);
    mkpage_names(&p, "thick", 1);
    mkpage_table(&p, 515, (uint32_t[]){2, 1, 20, 1}, 2);
    mkpage_end(&p, NONE);
    mkpage_extents(d, 20, BASE + 1, 512, NULL, 0, 0);
}
static void cluster_range(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 0, (uint32_t[]){1, 2, 64}, 3, 3);
}
static void cluster_range_rle(struct mkdisk *d)
{
    uint32_t runs[] = {60, UINT32_MAX};
    raw7(d, 1, 1, runs, 8);
}
static void cluster_md(struct mkdisk *d)
{
    mkdisk_super(d)->md_page_bytes = ash_le32(0);
    mkdisk_super(d)->cluster_bytes = ash_le32(64 << 10);
    mkdisk_seal_super(d);
}
static void crosslink(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 0, (uint32_t[]){1, 2, 8}, 3, 3);
    MARK(d, CLUSTERS, 3, false);
}
static void crosslink_self(struct mkdisk *d)
{
    mkpage_extents(d, 2, BASE + 1, 0, (uint32_t[]){1, 2, 2}, 3, 3);
}
static void crosslink_rle(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_rle(&p, (uint32_t[]){0, 3, 1, 3, 7, 2, 10, 1}, 4);
    mkpage_end(&p, NONE);
}
static void extpage_shared(struct mkdisk *d)
{
    table7(d, 5, 3, (uint32_t[]){2, 1}, 1);
    MARK(d, CLUSTERS, 7, false);
    MARK(d, CLUSTERS, 8, false);
    MARK(d, CLUSTERS, 10, false);
}
static void parent_missing(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_id_xattr(&p, "SNAP", BASE + 40);
    mkpage_end(&p, NONE);
}
static void parent_writable(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_id_xattr(&p, "SNAP", BASE + 1);
    mkpage_end(&p, NONE);
}
static void parent_cycle(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_flags(&p, 1, 1, 0);
    mkpage_names(&p, "rle", 4);
    mkpage_id_xattr(&p, "SNAP", BASE + 8);
    mkpage_end(&p, NONE);
    p = mkpage_begin(d, 8, BASE + 8, 0);
    mkpage_flags(&p, 1, 1, 0);
    mkpage_names(&p, "rle2", 5);
    mkpage_id_xattr(&p, "SNAP", BASE + 7);
    mkpage_end(&p, NONE);
}
static void parent_faulted(struct mkdisk *d)
{
    mkdisk_page(d, 6)->descs[12] ^= 1;
}
static void esnap_none(struct mkdisk *d)
{
    raw7(d, 9, 0, "", 0);
}
static void esnap_text(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 9);

    mkpage_xattr(&p, true, "EXTSNAP", "no uuid", 7);
    mkpage_end(&p, NONE);
}
static void esnap_stale(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 9);

    mkpage_id_xattr(&p, "SNAP", BASE + 40);
    mkpage_xattr(&p, true, "EXTSNAP", "11111111-2222-3333-4444-555555555555", 37);
    mkpage_end(&p, NONE);
}

/* Snapshot of thick (root 1): root 8 takes its map over. */
static void half_snapshot(struct mkdisk *d, bool committed)
{
    struct mkpage p = mkpage_begin(d, 8, BASE + 8, 0);

    mkpage_flags(&p, 4, 0, 0);
    mkpage_names(&p, "new", 8);
    mkpage_id_xattr(&p, "SNAPTMP", BASE + 1);
    mkpage_table(&p, 3, (uint32_t[]){2, 1}, 1);
    mkpage_end(&p, NONE);
    if (!committed)
        return;
    p = mkpage_begin(d, 1, BASE + 1, 0);
    mkpage_flags(&p, 5, 0, 0);
    mkpage_names(&p, "thick", 1);
    mkpage_id_xattr(&p, "SNAP", BASE + 8);
    mkpage_table(&p, 3, (uint32_t[]){0, 1}, 1);
    mkpage_end(&p, NONE);
}
static void half_snapshot_before(struct mkdisk *d)
{
    half_snapshot(d, false);
}
static void half_snapshot_after(struct mkdisk *d)
{
    half_snapshot(d, true);
    MARK(d, PAGES, 8, true);
    MARK(d, BLOBIDS, 8, true);
}

/* Deletion of snap (root 5, clusters 4 and 5) with its clone thin (root 3, cluster 6). */
static void half_delete(struct mkdisk *d, bool merged, bool committed)
{
    struct mkpage p = mkpage_begin(d, 5, BASE + 5, 0);

    mkpage_flags(&p, 5, 1, 1);
    mkpage_names(&p, "snap", 3);
    mkpage_id_xattr(&p, "SNAPRM", BASE + 3);
    mkpage_table(&p, 6, (uint32_t[]){6, 1}, 1);
    mkpage_end(&p, NONE);
    if (merged)
        mkpage_extents(d, 4, BASE + 3, 0, (uint32_t[]){4, 6}, 2, 512);
    if (!committed)
        return;
    p = mkpage_begin(d, 3, BASE + 3, 0);
    mkpage_flags(&p, 5, 0, 1);
    mkpage_names(&p, "thin", 2);
    mkpage_table(&p, 600, (uint32_t[]){4, 1, 0, 1}, 2);
    mkpage_end(&p, NONE);
}
static void half_delete_before(struct mkdisk *d)
{
    half_delete(d, false, false);
}
static void half_delete_merged(struct mkdisk *d)
{
    half_delete(d, true, false);
}
static void half_delete_after(struct mkdisk *d)
{
    half_delete(d, true, true);
}
static void half_unknown(struct mkdisk *d)
{
    struct mkpage p = volume7(d, 1);

    mkpage_id_xattr(&p, "SNAPTMP", BASE + 40);
    mkpage_end(&p, NONE);
}
static void store_lost(struct mkdisk *d)
{
    mkpage_extents(d, 0, BASE + 3, 512, (uint32_t[]){20}, 1, 88);
}
static void store_damaged(struct mkdisk *d)
{
    mkdisk_page(d, 0)->descs[40] ^= 1;
}
static void store_half_read(struct mkdisk *d)
{
    mkdisk_page(d, 0)->next = ash_le32(50);
    mkdisk_seal(d, 0);
}
static void store_none(struct mkdisk *d)
{
    mkdisk_super(d)->super_blob = ash_le64(LVS_NO_BLOB);
    mkdisk_seal_super(d);
    memset(mkdisk_page(d, 0), 0, 4096);
    MARK(d, PAGES, 0, false);
    MARK(d, BLOBIDS, 0, false);
}
static void store_empty(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 0, BASE, 0);

    mkpage_flags(&p, 4, 0, 0);
    mkpage_table(&p, 0, NULL, 0);
    mkpage_end(&p, NONE);
}
static void name_missing(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_flags(&p, 1, 0, 0);
    mkpage_xattr(&p, false, "uuid", "aaaaaaaa-0000-4000-8000-000000000004", 37);
    mkpage_rle(&p, (uint32_t[]){7, 2, 0, 3, 10, 1}, 3);
    mkpage_end(&p, NONE);
}
static void named(struct mkdisk *d, const char *name)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_flags(&p, 1, 0, 0);
    mkpage_xattr(&p, false, "name", name, strlen(name) + 1);
    mkpage_xattr(&p, false, "uuid", "aaaaaaaa-0000-4000-8000-000000000004", 37);
    mkpage_rle(&p, (uint32_t[]){7, 2, 0, 3, 10, 1}, 3);
    mkpage_end(&p, NONE);
}
static void name_long(struct mkdisk *d)
{
    named(d, "0123456789012345678901234567890123456789012345678901234567890123456789");
}
static void name_dup(struct mkdisk *d)
{
    named(d, "thin");
}
static void uuid_bad(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_flags(&p, 1, 0, 0);
    mkpage_xattr(&p, false, "name", "n", 2);
    mkpage_xattr(&p, false, "uuid", "aaaaaaaa", 9);
    mkpage_rle(&p, (uint32_t[]){7, 2, 0, 3, 10, 1}, 3);
    mkpage_end(&p, NONE);
}
static void uuid_dup(struct mkdisk *d)
{
    struct mkpage p = mkpage_begin(d, 7, BASE + 7, 0);

    mkpage_flags(&p, 1, 0, 0);
    mkpage_names(&p, "other", 2);
    mkpage_rle(&p, (uint32_t[]){7, 2, 0, 3, 10, 1}, 3);
    mkpage_end(&p, NONE);
}
static void unreferenced(struct mkdisk *d)
{
    mkpage_extents(d, 30, BASE + 3, 512, (uint32_t[]){20}, 1, 88);
}

#define F(fn, kind, code)                                                                          \
    {                                                                                              \
#fn, fn, kind, LVS_F_##code, LVS_F_##code                                                  \
    }
#define F2(fn, kind, code, more_code)                                                              \
    {                                                                                              \
#fn, fn, kind, LVS_F_##code, LVS_F_##more_code                                             \
    }

const struct fault faults[] = {
    F(super_signature, FAULTS, SUPER_SIGNATURE),
    F(super_version, FAULTS, SUPER_VERSION),
    F(super_crc, FAULTS, SUPER_CRC),
    F(super_size, FAULTS, SUPER_SIZE),
    F(super_geometry, FAULTS, SUPER_GEOMETRY),
    F(super_geometry_page, FAULTS, SUPER_GEOMETRY),
    F(super_geometry_unit, FAULTS, SUPER_GEOMETRY),
    F(super_regions_overlap, FAULTS, SUPER_REGIONS),
    F(super_regions_far, FAULTS, SUPER_REGIONS),
    F(super_bstype, CLEAN, SUPER_BSTYPE),
    F(super_block, CLEAN, SUPER_BLOCK),
    F(read_error, FAULTS, READ_ERROR),
    F(mask_header, CLEAN, MASK_HEADER),
    F(mask_long, CLEAN, MASK_LONG),
    F(page_lost, CLEAN, MASK_PAGE_LOST),
    F(page_leak, CLEAN, MASK_PAGE_LEAK),
    F(cluster_lost, CLEAN, MASK_CLUSTER_LOST),
    F(cluster_leak, CLEAN, MASK_CLUSTER_LEAK),
    F(blobid_lost, CLEAN, MASK_BLOBID_LOST),
    F(blobid_leak, CLEAN, MASK_BLOBID_LEAK),
    F(root_crc, FAULTS, ROOT_CRC),
    F(root_crc, FAULTS | DIRTY, ROOT_CRC),
    F(root_id, FAULTS | DIRTY, ROOT_CRC),
    F(garbage, DIRTY, PAGE_GARBAGE),
    F2(rle_too_much, FAULTS | DIRTY, BLOB_SIZE, CLUSTER_CROSSLINK),
    F(root_foreign, FAULTS, ROOT_FOREIGN),
    F(chain_next, FAULTS | DIRTY, CHAIN_NEXT),
    F(chain_crc, FAULTS | DIRTY, CHAIN_CRC),
    F(chain_id, FAULTS | DIRTY, CHAIN_ID),
    F(chain_seq, FAULTS | DIRTY, CHAIN_SEQ),
    F(chain_loop, FAULTS | DIRTY, CHAIN_LOOP),
    F(chain_shared, FAULTS | DIRTY, CHAIN_SHARED),
    F(desc_length, FAULTS, DESC_LENGTH),
    F(desc_unknown, FAULTS | DIRTY, DESC_UNKNOWN),
    F(flags_second, FAULTS, FLAGS_BAD),
    F(flags_none, FAULTS, FLAGS_BAD),
    F(flags_twice, FAULTS, FLAGS_BAD),
    F(flags_invalid, FAULTS, FLAGS_INVALID),
    F(flags_ro, DIRTY, FLAGS_RO),
    F(xattr_length, FAULTS, XATTR_LENGTH),
    F(xattr_short, FAULTS, XATTR_LENGTH),
    F(xattr_dup, FAULTS, XATTR_DUP),
    F(xattr_internal, FAULTS, XATTR_INTERNAL),
    F(map_mixed, FAULTS, MAP_MIXED),
    F(rle_length, FAULTS, RLE_LENGTH),
    F(rle_empty, FAULTS, RLE_LENGTH),
    F(table_length, FAULTS, TABLE_LENGTH),
    F(table_clusters, FAULTS, TABLE_CLUSTERS),
    F(table_entry, FAULTS, TABLE_ENTRY),
    F(table_count, FAULTS, TABLE_COUNT),
    F(table_page_far, FAULTS, TABLE_PAGE),
    F(table_page_chain, FAULTS, TABLE_PAGE),
    F(blob_size, FAULTS, BLOB_SIZE),
    F(extpage_crc, FAULTS, EXTPAGE_CRC),
    F(extpage_form, FAULTS, EXTPAGE_FORM),
    F(extpage_long_form, FAULTS, EXTPAGE_FORM),
    F(extpage_start, FAULTS, EXTPAGE_START),
    F(extpage_longer, CLEAN, EXTPAGE_LENGTH),
    F(extpage_longer, DIRTY, EXTPAGE_LENGTH),
    F(extpage_shorter, CLEAN, EXTPAGE_LENGTH),
    F(extpage_none, CLEAN, EXTPAGE_LENGTH),
    F(extpage_tail, CLEAN, EXTPAGE_TAIL),
    F(extpage_tail, DIRTY, EXTPAGE_TAIL),
    F2(extpage_shared, CLEAN, EXTPAGE_SHARED, CLUSTER_CROSSLINK),
    F(thick_hole, FAULTS, THICK_HOLE),
    F(thick_no_page, FAULTS, THICK_HOLE),
    F(thick_short, CLEAN, THICK_SHORT),
    F(thick_cut, DIRTY, THICK_SHORT),
    F(cluster_range, FAULTS, CLUSTER_RANGE),
    F(cluster_range_rle, FAULTS, CLUSTER_RANGE),
    F2(cluster_md, FAULTS | DIRTY, CLUSTER_MD, PARENT_FAULTED),
    F(crosslink, CLEAN, CLUSTER_CROSSLINK),
    F(crosslink, DIRTY, CLUSTER_CROSSLINK),
    F(crosslink_self, DIRTY, CLUSTER_CROSSLINK),
    F(crosslink_rle, CLEAN, CLUSTER_CROSSLINK),
    F(parent_missing, FAULTS, PARENT_MISSING),
    F(parent_writable, FAULTS | DIRTY, PARENT_WRITABLE),
    F(parent_cycle, FAULTS | DIRTY, PARENT_CYCLE),
    F2(parent_faulted, FAULTS, PARENT_FAULTED, EXTPAGE_CRC),
    F(esnap_none, FAULTS, ESNAP_ID),
    F(esnap_text, FAULTS, ESNAP_ID),
    F(esnap_stale, DIRTY, ESNAP_STALE),
    F(half_snapshot_before, DIRTY, HALF_SNAPSHOT),
    F(half_snapshot_after, DIRTY, HALF_SNAPSHOT),
    F(half_snapshot_after, CLEAN, HALF_SNAPSHOT),
    F(half_delete_before, DIRTY, HALF_DELETE),
    F(half_delete_before, CLEAN, HALF_DELETE),
    F(half_delete_merged, DIRTY, HALF_DELETE),
    F(half_delete_after, DIRTY, HALF_DELETE),
    F(half_unknown, FAULTS | DIRTY, HALF_UNKNOWN),
    F2(store_lost, CLEAN, STORE_LOST, MASK_PAGE_LEAK),
    F(store_lost, DIRTY, STORE_LOST),
    F(store_damaged, DIRTY, STORE_LOST),
    F2(store_half_read, DIRTY, STORE_LOST, CHAIN_CRC),
    F(store_none, CLEAN, STORE_LOST),
    F2(store_empty, CLEAN, STORE_UUID, STORE_NAME),
    F(name_missing, CLEAN, NAME_MISSING),
    F(name_long, CLEAN, NAME_LONG),
    F(name_long, DIRTY, NAME_LONG),
    F(name_dup, CLEAN, NAME_DUP),
    F(uuid_bad, FAULTS, UUID_BAD),
    F(uuid_dup, FAULTS, UUID_DUP),
    F(unreferenced, CLEAN, PAGE_UNREFERENCED),
};

const size_t n_faults = ASH_N_ELEMS(faults);

const struct fault *fault_named(const char *name)
{
    for (size_t i = 0; i < n_faults; i++) {
        if (strcmp(faults[i].name, name) == 0)
            return &faults[i];
    }
    return NULL;
}
