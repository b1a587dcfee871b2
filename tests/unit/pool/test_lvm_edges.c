/* SPDX-License-Identifier: Apache-2.0 */
/* LVM2's format at its edges: a label that ends with its sector, a PV of which only the second area
 * can be read, look-ups by path. */
#include "../bdev/bdev_test.h"
#include "pool/lvm/cfg.h"
#include "pool/lvm/update.h"
#include "pool/pool.h"

/* ------------------------------------------------------------------- labels */

/* A PV header may begin anywhere in its sector. Behind one that ends with the sector no extension
 * can follow: that is an old label, and a good one (docs/spec/lvm2-format.md 2). */
static void label_ends_with_its_sector(void **state)
{
    static const struct {
        uint32_t at;
        int rc;
        uint32_t ext_version;
    } rows[] = {{32, 0, 2}, {376, 0, 2}, {408, 0, 0}, {409, -1, 0}};
    enum { N_HEADER = 40 + 2 * 16 + 2 * 16, N_EXT = 8 + 16 };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        uint8_t head[2048] = {0}, *s = head + 512, header[N_HEADER + N_EXT];
        struct lvm_label got = {0}, l = {.sector = 1,
                                         .device_bytes = 16 << 20,
                                         .data_offset = 1 << 20,
                                         .mdas = {{4096, 1044480}},
                                         .n_mdas = 1,
                                         .ext_version = 2};
        memcpy(l.pv_id.c, "JI5L9Evnd1gvdPEEajWzyTMSlxFmYtke", 33);
        lvm_label_build(&l, s);
        struct le64 data_size = ash_le64(7 << 20);
        memcpy(s + 32 + 40 + 8, &data_size, 8);
        memcpy(header, s + 32, sizeof(header));
        memset(s + 32, 0, 480);
        memcpy(s + rows[i].at, header, ASH_MIN(sizeof(header), 512u - rows[i].at));
        struct le32 offset = ash_le32(rows[i].at);
        memcpy(s + 20, &offset, 4);
        struct le32 crc = ash_le32(lvm_crc(LVM_CRC_INIT, s + 20, 492));
        memcpy(s + 16, &crc, 4);
        struct ash_err err = {0};
        int rc = lvm_label_parse(head, sizeof(head), 16 << 20, "d", &got, &err);
        if ((rc == 0) != (rows[i].rc == 0))
            fail_msg("header at %u: %s", rows[i].at, err.text);
        assert_int_equal(err.reason, rows[i].rc ? ASH_E_LVM_PV_AREAS : ASH_OK);
        if (rc == 0)
            assert_true(got.ext_version == rows[i].ext_version && got.n_mdas == 1);
        if (rc == 0)
            assert_true(got.data_offset == 1 << 20 && got.data_size == 7 << 20);
    }
}

/* --------------------------------------------------------------------- areas */

static int second_area_main(void *arg)
{
    struct bdev_mgr *mgr;
    struct bdev_mgr_opts bdev_opts = {.no_auto_examine = true};
    struct lvm_writer writer = {.line = "test",
                                .origin = {.version = "2.03.16(2)", .host = "h", .uname = "Linux"}};
    struct lvm_pv_opts opts;
    char *name = NULL;
    uint8_t zeroes[512] = {0};
    CHECK_INT(bdev_mgr_create(pool_bdev_modules, &bdev_opts, &mgr, NULL), 0);
    struct lvm_set *set = lvm_set_new(mgr);
    CHECK_INT(bdev_create_uri(mgr, "malloc:///m?size_mb=16&blk_size=512", &name, NULL), 0);
    CHECK_INT(lvm_set_add(set, name, "m", true, NULL), 0);
    CHECK_INT(lvm_set_scan(set, NULL), 0);
    struct lvm_dev *dev = lvm_dev_find(set, "m");
    lvm_pv_opts_init(&opts);
    opts.n_mdas = 2;
    CHECK_INT(lvm_pv_create(dev, &opts, NULL), 0);
    struct lvm_vg *vg = lvm_vg_new();
    vg->name = lvm_arena_str(&vg->arena, "vg");
    lvm_id_random(&vg->id);
    vg->flags = LVM_RESIZEABLE | LVM_READ | LVM_WRITE;
    vg->extent_sectors = 8192;
    struct lvm_pv *pv = lvm_arena_get(&vg->arena, sizeof(*pv));
    pv->vg = vg;
    pv->id = dev->label.pv_id;
    pv->dev = dev;
    pv->device = dev->name;
    pv->flags = LVM_ALLOCATABLE;
    pv->has_dev_size = true;
    pv->dev_size_sectors = dev->size_bytes / 512;
    pv->pe_start_sectors = dev->label.data_offset / 512;
    pv->pe_count = lvm_pe_count(&dev->label, dev->size_bytes, vg->extent_sectors);
    ash_list_push_tail(&vg->pvs, &pv->link);
    CHECK(lvm_set_give_vg(set, vg));
    CHECK_INT(lvm_vg_update(set, vg, &writer, NULL), 0);
    for (unsigned lost = 0; lost < 2; lost++) {
        uint8_t was[512];
        uint64_t at = dev->label.mdas[lost].offset;
        CHECK_INT(bdev_read(dev->ch, was, at, 512), 0);
        CHECK_INT(bdev_write(dev->ch, zeroes, at, 512, 0), 0);
        CHECK_INT(lvm_set_scan(set, NULL), 0);
        struct lvm_group *g = lvm_group_find(set, "vg");
        CHECK(g && g->is_bad && g->vg->seqno == 1);
        CHECK_INT(bdev_write(dev->ch, was, at, 512, 0), 0);
    }
    CHECK_INT(lvm_set_scan(set, NULL), 0);
    CHECK(!lvm_group_find(set, "vg")->is_bad);
    lvm_set_free(set);
    rt_free(name);
    bdev_mgr_destroy(mgr);
    return 0;
}

static void either_area_is_enough(void **state)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.n_reactors = 1;
    assert_int_equal(rt_create(&opts, &rt, NULL), 0);
    assert_int_equal(rt_run_task(rt, "areas", second_area_main, NULL), 0);
    rt_destroy(rt);
}

/* ----------------------------------------------------------------- segments */

/* Extents of one area of a segment; of damaged metadata too, which may have too few areas. */
static void area_lengths(void **state)
{
    static const struct {
        const char *type;
        uint32_t n_areas, want;
    } rows[] = {{"striped", 4, 25},   {"striped", 0, 100},  {"raid1", 3, 100},
                {"raid5_ls", 3, 50},  {"raid5_ls", 4, 34},  {"raid5_ls", 1, 100},
                {"raid5_ls", 0, 100}, {"raid6_zr", 2, 100}, {"raid6_zr", 3, 100}};
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct lvm_seg seg = {
            .type = lvm_segtype_find(rows[i].type), .len = 100, .n_areas = rows[i].n_areas};
        assert_non_null(seg.type);
        assert_int_equal(lvm_seg_area_len(&seg), rows[i].want);
    }
}

/* Whole extents between the beginning of the data and what comes behind it. */
static void extent_counts(void **state)
{
    static const struct {
        uint64_t size, second_area;
        uint32_t extent_sectors, want;
    } rows[] = {
        {16 << 20, 0, 8192, 3},       {17 << 20, 0, 8192, 4},         {(17 << 20) - 1, 0, 8192, 3},
        {1 << 20, 0, 8192, 0},        {(1 << 20) - 512, 0, 8192, 0},  {16 << 20, 9 << 20, 8192, 2},
        {16 << 20, 1 << 20, 8192, 0}, {UINT64_MAX, 0, 2, UINT32_MAX},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct lvm_label l = {.data_offset = 1 << 20, .mdas = {{4096, 1044480}}, .n_mdas = 1};
        if (rows[i].second_area)
            l.mdas[l.n_mdas++].offset = rows[i].second_area;
        assert_int_equal(lvm_pe_count(&l, rows[i].size, rows[i].extent_sectors), rows[i].want);
    }
}

/* -------------------------------------------------------------------- paths */

static int paths_main(void *arg)
{
    static const char text[] = "a { x = 1 ab { c = \"deep\" } b { c = 2 } }\nab = 3\nb { }\n";
    struct lvm_arena arena = {0};
    struct lvm_cfg *root;
    CHECK_INT(lvm_cfg_parse(&arena, text, strlen(text), "text", &root, NULL), 0);
    static const struct {
        const char *path, *value; /* NULL: nothing there, "": a section */
    } rows[] = {
        {"ab", "3"},     {"a/x", "1"}, {"a/ab/c", "deep"}, {"a/b/c", "2"},   {"a", ""},
        {"a/ab", ""},    {"b", ""},    {"b/c", NULL},      {"c", NULL},      {"a/c", NULL},
        {"abc/x", NULL}, {"", NULL},   {"a/", NULL},       {"a/b/cc", NULL}, {"ab/c", NULL},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        const struct lvm_cfg *node = lvm_cfg_path(root, rows[i].path);
        const char *value = !node ? NULL : node->values ? node->values->text : "";
        if ((!value) != (!rows[i].value) || (value && strcmp(value, rows[i].value) != 0))
            fprintf(stderr, "# '%s': '%s'\n", rows[i].path, value ? value : "nothing");
        CHECK((!value) == (!rows[i].value) && (!value || strcmp(value, rows[i].value) == 0));
    }
    lvm_arena_fini(&arena);
    return 0;
}

/* What a word without quotes is. */
static int words_main(void *arg)
{
    static const struct {
        const char *text;
        int kind; /* -1: refused */
        int64_t n;
    } rows[] = {
        {"x = 12", LVM_CFG_INT, 12},      {"x = -12", LVM_CFG_INT, -12},
        {"x = 1.5", LVM_CFG_FLOAT, 0},    {"x = .5", LVM_CFG_FLOAT, 0},
        {"x = +1.", LVM_CFG_FLOAT, 0},    {"x = 1.5x", LVM_CFG_STRING, 0},
        {"x = 1.5.2", LVM_CFG_STRING, 0}, {"x = 12x", LVM_CFG_STRING, 0},
        {"x = abc", LVM_CFG_STRING, 0},   {"x = 99999999999999999999", -1, 0},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct lvm_arena arena = {0};
        struct lvm_cfg *root;
        int rc = lvm_cfg_parse(&arena, rows[i].text, strlen(rows[i].text), "text", &root, NULL);
        if ((rc == 0) != (rows[i].kind >= 0))
            fprintf(stderr, "# '%s': %d\n", rows[i].text, rc);
        CHECK((rc == 0) == (rows[i].kind >= 0));
        if (rc == 0) {
            const struct lvm_cfg *x = lvm_cfg_find(root, "x");
            CHECK(x && x->values);
            CHECK_INT(x->values->kind, rows[i].kind);
            CHECK_INT(x->values->n, rows[i].n);
        }
        lvm_arena_fini(&arena);
    }
    return 0;
}

static void words(void **state)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.n_reactors = 1;
    assert_int_equal(rt_create(&opts, &rt, NULL), 0);
    assert_int_equal(rt_run_task(rt, "words", words_main, NULL), 0);
    rt_destroy(rt);
}

static void paths(void **state)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.n_reactors = 1;
    assert_int_equal(rt_create(&opts, &rt, NULL), 0);
    assert_int_equal(rt_run_task(rt, "paths", paths_main, NULL), 0);
    rt_destroy(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_ends_with_its_sector),
        cmocka_unit_test(either_area_is_enough),
        cmocka_unit_test(area_lengths),
        cmocka_unit_test(paths),
        cmocka_unit_test(words),
        cmocka_unit_test(extent_counts),
    };
    return cmocka_run_group_tests_name("lvm edges", tests, NULL, NULL);
}
