/* SPDX-License-Identifier: Apache-2.0 */
/* The checker: the vector disk is clean; each finding is produced by a disk that has just this
 * fault (the list of codes is the checklist); repair settles what can be; any bytes are survived.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "mkdisk.h"

#define BASE                     UINT64_C(0x100000000)
#define NONE                     LVS_INVALID_PAGE
#define MARK(d, type, idx, used) mkdisk_mark(d, LVS_MASK_##type, idx, used)

static struct lvs_report check(struct mkdisk *d)
{
    struct lvs_check_dev dev = mkdisk_dev(d);
    struct lvs_report r;

    assert_int_equal(lvs_check(&dev, NULL, &r), 0);
    return r;
}

static void show(const char *what, const struct lvs_report *r)
{
    struct ash_buf buf = {0};

    lvs_report_text(r, &buf);
    print_message("%s:\n%s", what, ash_buf_text(&buf));
    ash_buf_free(&buf);
}

static const struct lvs_report_volume *volume(const struct lvs_report *r, const char *name)
{
    for (size_t i = 0; i < r->n_volumes; i++) {
        if (strcmp(r->volumes[i].name, name) == 0)
            return &r->volumes[i];
    }
    fail_msg("no volume %s", name);
    return NULL;
}

/* ---- one fault each ---- */

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

/* DIRTY: the fault is put on a dirty store. FAULTS: a volume is lost to it, so repair cannot end in
 * a clean report. */
enum { CLEAN = 0, DIRTY = 1, FAULTS = 2 };

struct fault {
    const char *name;
    void (*make)(struct mkdisk *d);
    int kind;
    enum lvs_check_code code, more; /* all warnings and errors; more = code: no other */
};

#define F(fn, kind, code)                                                                          \
    {                                                                                              \
#fn, fn, kind, LVS_F_##code, LVS_F_##code                                                  \
    }
#define F2(fn, kind, code, more_code)                                                              \
    {                                                                                              \
#fn, fn, kind, LVS_F_##code, LVS_F_##more_code                                             \
    }

static const struct fault faults[] = {
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

static bool expected(const struct fault *f, enum lvs_check_code code)
{
    return code == f->code || code == f->more;
}

static bool finds_exactly(const struct fault *f, const struct lvs_report *r)
{
    bool good = r->n_by_code[f->code] > 0 && r->n_by_code[f->more] > 0;

    for (size_t i = 0; i < r->n_findings; i++)
        good &= r->findings[i].severity == LVS_SEV_INFO || expected(f, r->findings[i].code);
    return good;
}

static void every_fault_is_found(void **state)
{
    for (size_t i = 0; i < ASH_N_ELEMS(faults); i++) {
        const struct fault *f = &faults[i];
        struct mkdisk d;
        mkdisk_init(&d, !(f->kind & DIRTY));
        f->make(&d);
        struct lvs_report r = check(&d);
        if (!finds_exactly(f, &r)) {
            show(f->name, &r);
            fail_msg("%s: other findings than expected", f->name);
        }
        lvs_report_fini(&r);
        mkdisk_fini(&d);
    }
}

/* The geometry in which all of the disk is claimed over and over. */
static void too_damaged(void **state)
{
    struct mkdisk d;
    uint32_t runs[2 * 500];

    mkdisk_init_geometry(&d, 2048, 8192, 4096, false);
    for (size_t i = 0; i < 500; i++) {
        runs[2 * i] = 2048 - 10;
        runs[2 * i + 1] = 10;
    }
    for (uint32_t idx = 0; idx < 32; idx++) {
        struct mkpage p = mkpage_begin(&d, idx, BASE + idx, 0);
        mkpage_flags(&p, 1, 0, 0);
        mkpage_rle(&p, runs, 500);
        mkpage_end(&p, NONE);
    }
    struct lvs_report r = check(&d);
    assert_int_equal(r.n_by_code[LVS_F_TOO_DAMAGED], 1);
    assert_int_equal(r.n_findings, LVS_CHECK_FINDINGS_MAX);
    lvs_report_fini(&r);
    mkdisk_fini(&d);
}

static void free_count(void **state)
{
    struct mkdisk d;
    struct lvs_check_dev dev;
    struct lvs_report r;
    uint64_t n_free = 54;

    mkdisk_init(&d, true);
    dev = mkdisk_dev(&d);
    struct lvs_check_opts opts = {.expect_free = &n_free};
    assert_int_equal(lvs_check(&dev, &opts, &r), 0);
    assert_int_equal(r.n_findings, 0);
    lvs_report_fini(&r);
    n_free = 53;
    assert_int_equal(lvs_check(&dev, &opts, &r), 0);
    assert_int_equal(r.n_findings, 1);
    assert_int_equal(r.n_by_code[LVS_F_FREE_COUNT], 1);
    lvs_report_fini(&r);
    mkdisk_fini(&d);
}

static void every_code_has_a_test(void **state)
{
    bool seen[LVS_N_FINDINGS] = {[LVS_F_TOO_DAMAGED] = true, [LVS_F_FREE_COUNT] = true};

    for (size_t i = 0; i < ASH_N_ELEMS(faults); i++)
        seen[faults[i].code] = seen[faults[i].more] = true;
    for (int i = 0; i < LVS_N_FINDINGS; i++) {
        if (!seen[i])
            fail_msg("no test makes %s", lvs_check_code_text((enum lvs_check_code)i));
    }
}

/* ---- repair ---- */

static void repair_settles_faults(void **state)
{
    for (size_t i = 0; i < ASH_N_ELEMS(faults); i++) {
        const struct fault *f = &faults[i];
        struct mkdisk d;
        struct lvs_report r;
        mkdisk_init(&d, !(f->kind & DIRTY));
        f->make(&d);
        struct lvs_check_dev dev = mkdisk_dev(&d);
        assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
        bool good = lvs_report_is_clean(&r) == !(f->kind & FAULTS);
        if (!good) {
            show(f->name, &r);
            fail_msg("%s: repair", f->name);
        }
        lvs_report_fini(&r);
        r = check(&d);
        if (lvs_report_is_clean(&r) != !(f->kind & FAULTS)) {
            show(f->name, &r);
            fail_msg("%s: after repair", f->name);
        }
        lvs_report_fini(&r);
        mkdisk_fini(&d);
    }
}

/* Power is cut after each of the writes of a repair; a second repair must end the same way. */
static void repair_survives_power_cuts(void **state)
{
    for (size_t i = 0; i < ASH_N_ELEMS(faults); i++) {
        const struct fault *f = &faults[i];
        for (uint64_t cut = 1; !(f->kind & FAULTS); cut++) {
            struct mkdisk d;
            struct lvs_report r;
            mkdisk_init(&d, !(f->kind & DIRTY));
            f->make(&d);
            d.cut_after_writes = cut;
            struct lvs_check_dev dev = mkdisk_dev(&d);
            int rc = lvs_check_repair(&dev, NULL, &r);
            lvs_report_fini(&r);
            d.cut_after_writes = 0;
            assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
            if (!lvs_report_is_clean(&r)) {
                show(f->name, &r);
                fail_msg("%s: cut after %u writes", f->name, (unsigned)cut);
            }
            lvs_report_fini(&r);
            mkdisk_fini(&d);
            if (rc == 0)
                break;
        }
    }
}

static struct lvs_report repaired(struct mkdisk *d, void (*make)(struct mkdisk *), bool clean)
{
    struct lvs_report r;

    mkdisk_init(d, clean);
    make(d);
    struct lvs_check_dev dev = mkdisk_dev(d);
    assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
    return r;
}

/* Entry i of the extent page that the only table entry of a one-window blob names. */
static uint32_t entry_of(struct mkdisk *d, uint32_t root, uint32_t i)
{
    const struct lvs_page_disk *page = mkdisk_page(d, root);

    for (uint32_t pos = 0; pos < LVS_DESC_BYTES;) {
        struct lvs_desc_disk desc;
        memcpy(&desc, page->descs + pos, sizeof(desc));
        if (desc.type == LVS_DESC_EXTENT_TABLE) {
            const struct lvs_table_disk *t = (const void *)(page->descs + pos);
            const struct lvs_extents_disk *e =
                (const void *)mkdisk_page(d, ash_le32_get(t->entries[0].page_idx))->descs;
            return ash_le32_get(e->clusters[i]);
        }
        pos += (uint32_t)sizeof(desc) + ash_le32_get(desc.n_bytes);
    }
    fail_msg("no table in page %u", root);
    return 0;
}

static void repair_results(void **state)
{
    struct mkdisk d;
    struct lvs_report r = repaired(&d, half_delete_merged, false);

    assert_int_equal(r.n_volumes, 3);
    assert_int_equal(volume(&r, "thin")->parent_id, LVS_NO_BLOB);
    assert_int_equal(volume(&r, "thin")->n_allocated, 2);
    assert_int_equal(entry_of(&d, 3, 0), 4);
    assert_int_equal(entry_of(&d, 3, 1), 6);
    assert_int_equal(r.free_clusters, 55); /* cluster 5 lay under cluster 6 of the clone */
    assert_int_equal(r.n_repaired, 1);
    assert_true(r.clean);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, half_snapshot_after, false);
    assert_true(volume(&r, "new")->read_only);
    assert_true(volume(&r, "new")->snapshot);
    assert_int_equal(volume(&r, "thick")->parent_id, BASE + 8);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, half_snapshot_before, false);
    assert_int_equal(r.n_volumes, 4);
    assert_int_equal(volume(&r, "thick")->n_allocated, 3);
    assert_int_equal(r.free_clusters, 54);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, crosslink, true);
    uint32_t copy = entry_of(&d, 1, 2), other = 8;
    if (copy == 8) { /* then the other one was copied */
        struct lvs_run_disk run;
        memcpy(&run, mkdisk_page(&d, 7)->descs + 29 + 77 + 50 + 5, sizeof(run));
        assert_int_equal(ash_le32_get(run.cluster), 7);
        memcpy(&run, mkdisk_page(&d, 7)->descs + 29 + 77 + 50 + 13, sizeof(run));
        other = ash_le32_get(run.cluster);
    }
    assert_int_not_equal(copy, other);
    assert_memory_equal(d.bytes + (uint64_t)copy * MKDISK_CLUSTER_BYTES,
                        d.bytes + (uint64_t)other * MKDISK_CLUSTER_BYTES, MKDISK_CLUSTER_BYTES);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, store_lost, true);
    assert_int_equal(r.n_volumes, 4);
    assert_int_equal(strncmp(r.name, "recovered-", 10), 0);
    assert_false(ash_uuid_is_nil(&r.uuid));
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, name_dup, true);
    assert_int_equal(volume(&r, "thin")->blob_id, BASE + 3);
    assert_int_equal(volume(&r, "thin~7")->blob_id, BASE + 7);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, thick_short, true);
    assert_int_equal(volume(&r, "thick")->n_clusters, 2);
    lvs_report_fini(&r);
    mkdisk_fini(&d);
}

/* A blob of several chain pages and windows must come out of a rewrite with all it had. */
static void repair_rewrites_long_chains(void **state)
{
    struct mkdisk d;
    char value[3000];
    uint32_t pairs[2 * 3] = {20, 1, 0, 700, 21, 1};
    uint64_t n_clusters = 701 * 512 + 5;

    mkdisk_init(&d, false);
    memset(value, 'x', sizeof(value));
    struct mkpage p = mkpage_begin(&d, 8, BASE + 8, 0);
    mkpage_flags(&p, 5, 0, 0);
    mkpage_names(&p, "thin", 8); /* a duplicate: to be rewritten */
    mkpage_xattr(&p, false, "biga", value, sizeof(value));
    mkpage_end(&p, 22);
    p = mkpage_begin(&d, 22, BASE + 8, 1);
    mkpage_xattr(&p, false, "bigb", value, sizeof(value));
    mkpage_end(&p, 23);
    p = mkpage_begin(&d, 23, BASE + 8, 2);
    mkpage_table(&p, n_clusters, pairs, 3);
    mkpage_end(&p, NONE);
    mkpage_extents(&d, 20, BASE + 8, 0, (uint32_t[]){20, 21}, 2, 512);
    mkpage_extents(&d, 21, BASE + 8, 701 * 512, (uint32_t[]){30}, 1, 5);
    struct lvs_check_dev dev = mkdisk_dev(&d);
    struct lvs_report r;
    assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
    if (!lvs_report_is_clean(&r))
        show("long chain", &r);
    assert_true(lvs_report_is_clean(&r));
    const struct lvs_report_volume *v = volume(&r, "thin~8");
    assert_int_equal(v->n_clusters, n_clusters);
    assert_int_equal(v->n_allocated, 3);
    assert_int_equal(v->n_xattrs, 4);
    assert_int_equal(ash_le32_get(mkdisk_page(&d, 22)->crc), 0); /* old pages are erased */
    lvs_report_fini(&r);
    mkdisk_fini(&d);
}

/* ---- the vector disk ---- */

static void vector_is_clean(void **state)
{
    for (int clean = 0; clean < 2; clean++) {
        struct mkdisk d;
        mkdisk_init(&d, clean);
        struct lvs_report r = check(&d);
        if (r.n_findings)
            show("vector", &r);
        assert_int_equal(r.n_findings, 0);
        assert_true(r.readable && r.lvstore && r.clean == !!clean);
        assert_string_equal(r.name, "lvs0");
        assert_int_equal(r.free_clusters, 54);
        assert_int_equal(r.data_clusters, 63);
        assert_int_equal(r.n_used_pages, 8);
        assert_int_equal(r.n_volumes, 4);
        assert_int_equal(volume(&r, "thick")->n_allocated, 3);
        assert_false(volume(&r, "thick")->thin);
        const struct lvs_report_volume *thin = volume(&r, "thin"), *snap = volume(&r, "snap");
        assert_int_equal(thin->n_clusters, 600);
        assert_int_equal(thin->parent_id, snap->blob_id);
        assert_int_equal(thin->depth, 1);
        assert_int_equal(snap->n_clones, 1);
        assert_true(snap->snapshot && snap->read_only);
        assert_true(volume(&r, "rle")->rle);
        assert_int_equal(volume(&r, "rle")->n_clusters, 6);
        lvs_report_fini(&r);
        mkdisk_fini(&d);
    }
}

static void quick_sees_the_same(void **state)
{
    struct mkdisk d;
    struct lvs_check_opts opts = {.quick = true};
    struct lvs_report r;

    mkdisk_init(&d, true);
    MARK(&d, PAGES, 7, false); /* then it must be read by way of the blob mask */
    struct lvs_check_dev dev = mkdisk_dev(&d);
    assert_int_equal(lvs_check(&dev, &opts, &r), 0);
    assert_int_equal(r.n_volumes, 4);
    assert_int_equal(r.free_clusters, 54);
    assert_int_equal(r.n_by_code[LVS_F_MASK_PAGE_LOST], 1);
    assert_int_equal(r.n_findings, 1);
    lvs_report_fini(&r);
    mkdisk_fini(&d);
}

static void big_pages_work(void **state)
{
    struct mkdisk d;

    mkdisk_init_geometry(&d, 64, 1 << 20, 16384, false);
    struct mkpage p = mkpage_begin(&d, 0, BASE, 0);
    mkpage_flags(&p, 4, 0, 0);
    mkpage_xattr(&p, false, "uuid", "11111111-2222-3333-4444-555555555555", 37);
    mkpage_xattr(&p, false, "name", "lvs0", 5);
    mkpage_table(&p, 0, NULL, 0);
    mkpage_end(&p, NONE);
    p = mkpage_begin(&d, 1, BASE + 1, 0);
    mkpage_flags(&p, 4, 0, 0);
    mkpage_names(&p, "", 1);
    mkpage_table(&p, 3, (uint32_t[]){2, 1}, 1);
    mkpage_end(&p, NONE);
    mkpage_extents(&d, 2, BASE + 1, 0, (uint32_t[]){2, 3, 4}, 3, 3);
    struct lvs_check_dev dev = mkdisk_dev(&d);
    struct lvs_report r;
    assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
    assert_true(lvs_report_is_clean(&r));
    assert_int_equal(r.data_clusters, 62);
    assert_int_equal(r.free_clusters, 59);
    assert_int_equal(volume(&r, "volume-1")->n_allocated, 3);
    lvs_report_fini(&r);
    mkdisk_fini(&d);
}

/* ---- any bytes ---- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Some faults on top of each other, and bytes changed at random with the CRCs made good. */
static void make_garbage(struct mkdisk *d, uint64_t *seed)
{
    int n_faults = (int)(next_random(seed) % 4), n_bytes = (int)(next_random(seed) % 16);
    bool damage_super = next_random(seed) % 8 == 0;

    for (int i = 0; i < n_faults; i++) {
        faults[next_random(seed) % ASH_N_ELEMS(faults)].make(d);
        if (mkdisk_super(d)->version.b[0] != 3 || damage_super)
            break; /* the next fault would look for pages at wrong places */
    }
    d->fail_reads_from = d->fail_reads_to = 0;
    for (int i = 0; i < n_bytes; i++) {
        uint64_t n = next_random(seed);
        uint8_t *page = d->bytes + (MKDISK_MD_START + n % 9) * 4096;
        page[(n >> 32) % (n & 0x100000 ? 4092 : 300)] ^= (uint8_t)(n >> 8);
        struct le32 crc = ash_le32(ash_crc32c(page, LVS_CRC_BYTES));
        memcpy(page + LVS_CRC_OFFSET, &crc, sizeof(crc));
        if (damage_super)
            d->bytes[8 + (n >> 40) % 88] ^= (uint8_t)(1u << (n >> 8 & 7));
    }
    memcpy(mkdisk_super(d)->signature, LVS_SIGNATURE, LVS_SIGNATURE_BYTES);
    mkdisk_seal_super(d);
}

static void random_bytes_are_survived(void **state)
{
    const size_t n_md = (size_t)1 << 20;
    uint8_t *image = malloc(n_md);
    struct mkdisk d;
    uint64_t seed = 0x5eed;

    mkdisk_init(&d, true);
    memcpy(image, d.bytes, n_md);
    for (int round = 0; round < 4000; round++) {
        struct lvs_check_dev dev = mkdisk_dev(&d);
        struct lvs_report r;
        memcpy(d.bytes, image, n_md);
        make_garbage(&d, &seed);
        assert_int_equal(lvs_check(&dev, NULL, &r), 0);
        lvs_report_fini(&r);
        if (round % 4 == 0) {
            int rc = lvs_check_repair(&dev, NULL, &r);
            assert_true(rc == 0 || rc == -ENOSPC);
            lvs_report_fini(&r);
        }
    }
    free(image);
    mkdisk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_is_clean),
        cmocka_unit_test(quick_sees_the_same),
        cmocka_unit_test(big_pages_work),
        cmocka_unit_test(every_fault_is_found),
        cmocka_unit_test(too_damaged),
        cmocka_unit_test(free_count),
        cmocka_unit_test(every_code_has_a_test),
        cmocka_unit_test(repair_settles_faults),
        cmocka_unit_test(repair_survives_power_cuts),
        cmocka_unit_test(repair_results),
        cmocka_unit_test(repair_rewrites_long_chains),
        cmocka_unit_test(random_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
