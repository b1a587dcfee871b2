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
#include "faults.h"

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
    for (size_t i = 0; i < n_faults; i++) {
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
    uint32_t runs[2 * 200];

    mkdisk_init_geometry(&d, 2048, 8192, 4096, false);
    for (size_t i = 0; i < 200; i++) {
        runs[2 * i] = 2048 - 10;
        runs[2 * i + 1] = 10;
    }
    for (uint32_t idx = 0; idx < 64; idx++) {
        struct mkpage p = mkpage_begin(&d, idx, BASE + idx, 0);
        mkpage_flags(&p, 1, 0, 0);
        mkpage_rle(&p, runs, 200);
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

/* What names an external device: as text, or all of it as numbers when one byte cannot be shown. */
static void esnap_ids(void **state)
{
    static const struct {
        const char *id, *shown;
    } rows[] = {{"a-b", "a-b"},
                {"\x01"
                 "bc",
                 "016263"},
                {"bc\x7f", "62637f"},
                {"~ ", "~ "}};
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct mkdisk d;
        mkdisk_init(&d, false);
        struct mkpage p = mkpage_begin(&d, 7, BASE + 7, 0);
        mkpage_flags(&p, 9, 0, 0);
        mkpage_names(&p, "rle", 4);
        mkpage_xattr(&p, true, "EXTSNAP", rows[i].id, strlen(rows[i].id) + 1);
        mkpage_rle(&p, (uint32_t[]){0, 6}, 1);
        mkpage_end(&p, NONE);
        struct lvs_report r = check(&d);
        assert_string_equal(volume(&r, "rle")->esnap_id, rows[i].shown);
        lvs_report_fini(&r);
        mkdisk_fini(&d);
    }
}

/* Clusters at both ends of the data are a volume's to have; the next one is not. */
static void first_and_last_cluster(void **state)
{
    for (uint32_t last = 63; last <= 64; last++) {
        struct mkdisk d;
        mkdisk_init(&d, false);
        mkpage_extents(&d, 2, BASE + 1, 0, (uint32_t[]){1, 2, last}, 3, 3);
        struct mkpage p = mkpage_begin(&d, 7, BASE + 7, 0);
        mkpage_flags(&p, 1, 0, 0);
        mkpage_rle(&p, (uint32_t[]){last - 3, 3}, 1);
        mkpage_end(&p, NONE);
        struct lvs_report r = check(&d);
        assert_int_equal(r.n_by_code[LVS_F_CLUSTER_RANGE], last == 63 ? 0 : 1);
        lvs_report_fini(&r);
        mkdisk_fini(&d);
    }
}

static void every_code_has_a_test(void **state)
{
    bool seen[LVS_N_FINDINGS] = {[LVS_F_TOO_DAMAGED] = true, [LVS_F_FREE_COUNT] = true};

    for (size_t i = 0; i < n_faults; i++)
        seen[faults[i].code] = seen[faults[i].more] = true;
    for (int i = 0; i < LVS_N_FINDINGS; i++) {
        if (!seen[i])
            fail_msg("no test makes %s", lvs_check_code_text((enum lvs_check_code)i));
    }
}

/* ---- repair ---- */

static void repair_settles_faults(void **state)
{
    for (size_t i = 0; i < n_faults; i++) {
        const struct fault *f = &faults[i];
        struct mkdisk d;
        struct lvs_report r;
        mkdisk_init(&d, !(f->kind & DIRTY));
        f->make(&d);
        struct lvs_check_dev dev = mkdisk_dev(&d);
        int rc = lvs_check_repair(&dev, NULL, &r);
        assert_int_equal(rc, f->code == LVS_F_READ_ERROR ? -EIO : 0);
        if (f->code == LVS_F_READ_ERROR)
            assert_int_equal(d.n_writes, 0);
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
    for (size_t i = 0; i < n_faults; i++) {
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

static struct lvs_report repaired(struct mkdisk *d, const char *fault, bool clean)
{
    struct lvs_report r;

    mkdisk_init(d, clean);
    mkdisk_fill(d);
    assert_non_null(fault_named(fault));
    fault_named(fault)->make(d);
    struct lvs_check_dev dev = mkdisk_dev(d);
    assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
    return r;
}

static void repair_writes_nothing_without_need(void **state)
{
    for (int clean = 0; clean < 2; clean++) {
        struct mkdisk d;
        struct lvs_report r;
        mkdisk_init(&d, clean);
        struct lvs_check_dev dev = mkdisk_dev(&d);
        assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
        assert_int_equal(d.n_writes, 0);
        assert_int_equal(r.n_volumes, 4);
        lvs_report_fini(&r);
        mkdisk_fini(&d);
    }
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
    fault_named("half_delete_merged")->make((mkdisk_init(&d, false), &d));
    struct lvs_report r = check(&d);
    assert_int_equal(volume(&r, "thin")->n_allocated, 2); /* as it will be */
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, "half_delete_merged", false);

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

    /* a snapshot with another clone is not deleted, whatever its mark says: both keep what they
     * have */
    mkdisk_init(&d, false);
    fault_named("half_delete_merged")->make(&d);
    struct mkpage p = mkpage_begin(&d, 7, BASE + 7, 0);
    mkpage_flags(&p, 1, 0, 0);
    mkpage_names(&p, "rle", 4);
    mkpage_id_xattr(&p, "SNAP", BASE + 5);
    mkpage_rle(&p, (uint32_t[]){0, 6}, 1);
    mkpage_end(&p, NONE);
    r = check(&d);
    assert_non_null(volume(&r, "snap"));
    assert_true(r.n_by_code[LVS_F_CLUSTER_CROSSLINK] > 0);
    assert_int_equal(volume(&r, "thin")->parent_id, BASE + 5);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    /* the page that a rewritten map leaves behind is erased */
    mkdisk_init(&d, false);
    fault_named("extpage_tail")->make(&d);
    uint32_t old = 2;
    struct lvs_check_dev dev = mkdisk_dev(&d);
    assert_int_equal(lvs_check_repair(&dev, NULL, &r), 0);
    lvs_report_fini(&r);
    for (uint32_t i = 0; i < 4096; i++)
        assert_int_equal(((const uint8_t *)mkdisk_page(&d, old))[i], 0);
    mkdisk_fini(&d);

    r = repaired(&d, "half_snapshot_after", false);
    assert_true(volume(&r, "new")->read_only);
    assert_true(volume(&r, "new")->snapshot);
    assert_int_equal(volume(&r, "thick")->parent_id, BASE + 8);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, "half_snapshot_before", false);
    assert_int_equal(r.n_volumes, 4);
    assert_int_equal(volume(&r, "thick")->n_allocated, 3);
    assert_int_equal(r.free_clusters, 54);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, "crosslink", true);
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

    r = repaired(&d, "store_lost", true);
    assert_int_equal(r.n_volumes, 4);
    assert_int_equal(strncmp(r.name, "recovered-", 10), 0);
    assert_false(ash_uuid_is_nil(&r.uuid));
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, "name_dup", true);
    assert_int_equal(volume(&r, "thin")->blob_id, BASE + 3);
    assert_int_equal(volume(&r, "thin~7")->blob_id, BASE + 7);
    lvs_report_fini(&r);
    mkdisk_fini(&d);

    r = repaired(&d, "thick_short", true);
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
    int n = (int)(next_random(seed) % 4), n_bytes = (int)(next_random(seed) % 16);
    bool damage_super = next_random(seed) % 8 == 0;

    for (int i = 0; i < n; i++) {
        faults[next_random(seed) % n_faults].make(d);
        if (mkdisk_super(d)->version.b[0] != 3 || damage_super)
            break; /* the next fault would look for pages at wrong places */
    }
    d->fail_reads_from = d->fail_reads_to = 0;
    for (int i = 0; i < n_bytes; i++) {
        uint64_t r = next_random(seed);
        uint8_t *page = d->bytes + (MKDISK_MD_START + r % 9) * 4096;
        page[(r >> 32) % (r & 0x100000 ? 4092 : 300)] ^= (uint8_t)(r >> 8);
        struct le32 crc = ash_le32(ash_crc32c(page, LVS_CRC_BYTES));
        memcpy(page + LVS_CRC_OFFSET, &crc, sizeof(crc));
        if (damage_super)
            d->bytes[8 + (r >> 40) % 88] ^= (uint8_t)(1u << (r >> 8 & 7));
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
        cmocka_unit_test(first_and_last_cluster),
        cmocka_unit_test(esnap_ids),
        cmocka_unit_test(every_code_has_a_test),
        cmocka_unit_test(repair_settles_faults),
        cmocka_unit_test(repair_survives_power_cuts),
        cmocka_unit_test(repair_writes_nothing_without_need),
        cmocka_unit_test(repair_results),
        cmocka_unit_test(repair_rewrites_long_chains),
        cmocka_unit_test(random_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
