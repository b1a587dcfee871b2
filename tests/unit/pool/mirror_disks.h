/* SPDX-License-Identifier: Apache-2.0 */
/* For test_lvm_mirror.c: simulated disks with a VG that has one raid1 LV on two legs, its
 * superblocks and its bitmaps, and the worlds that these disks are put into. */
#ifndef ASH_TESTS_MIRROR_DISKS_H
#define ASH_TESTS_MIRROR_DISKS_H

#include "../bdev/bdev_test.h"
#include "bdev/inject.h"
#include "pool/lvm/update.h"
#include "pool/pool.h"

enum {
    N_LEGS = 2,
    PV_BYTES = 2 << 20,
    PE_START = 1 << 20,
    EXTENT = 64 << 10,
    LEG_EXTENTS = 4,
    LEG_BYTES = LEG_EXTENTS * EXTENT,
    META = PE_START,
    BITMAP = META + 4096,
    IMAGE = PE_START + EXTENT,
    REGION = 16 << 10,
    N_REGIONS = LEG_BYTES / REGION,
    BLOCK = 4096,
};

/* --------------------------------------------------------------- the disks */

static void put(uint8_t *at, uint64_t value, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* split: leg 1 is split off for a while, and may not be written to. */
static void text_of(struct ash_buf *b, bool split)
{
    ash_buf_fmt(b,
                "contents = \"Text Format Volume Group\"\nversion = 1\nvg {\n"
                "id = \"VVVVVV-VVVV-VVVV-VVVV-VVVV-VVVV-VVVVVV\"\nseqno = 0\nformat = \"lvm2\"\n"
                "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size = %u\n"
                "max_lv = 0\nmax_pv = 0\nmetadata_copies = 0\nphysical_volumes {\n",
                EXTENT / 512);
    for (unsigned i = 0; i < N_LEGS; i++)
        ash_buf_fmt(b,
                    "pv%u {\nid = \"PPPPPP-PPPP-PPPP-PPPP-PPPP-PPPP-PPPPP%u\"\ndevice = \"m%u\"\n"
                    "status = [\"ALLOCATABLE\"]\nflags = []\ndev_size = %u\npe_start = %u\n"
                    "pe_count = %u\n}\n",
                    i, i, i, PV_BYTES / 512, PE_START / 512, (PV_BYTES - PE_START) / EXTENT);
    ash_buf_fmt(
        b,
        "}\nlogical_volumes {\nlv {\nid = \"LLLLLL-LLLL-LLLL-LLLL-LLLL-LLLL-LLLLLL\"\n"
        "status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []\nsegment_count = 1\n"
        "segment1 {\nstart_extent = 0\nextent_count = %u\ntype = \"raid1\"\n"
        "device_count = %u\nregion_size = %u\n"
        "raids = [\"lv_rmeta_0\", \"lv_rimage_0\", \"lv_rmeta_1\", \"lv_rimage_1\"]\n}\n}\n",
        LEG_EXTENTS, N_LEGS, REGION / 512);
    for (unsigned i = 0; i < 2 * N_LEGS; i++)
        ash_buf_fmt(b,
                    "lv_r%s_%u {\nid = \"%c00000-0000-0000-0000-0000-0000-00000%u\"\n"
                    "status = [\"READ\"%s]\nflags = []\nsegment_count = 1\n"
                    "segment1 {\nstart_extent = 0\nextent_count = %u\ntype = \"striped\"\n"
                    "stripe_count = 1\nstripes = [\"pv%u\", %u]\n}\n}\n",
                    i % 2 ? "image" : "meta", i / 2, i % 2 ? 'I' : 'M', i / 2,
                    split && i == 3 ? ", \"VISIBLE\"" : ", \"WRITE\"", i % 2 ? LEG_EXTENTS : 1,
                    i / 2, i % 2);
    ash_buf_fmt(b, "}\n}\n");
    CHECK(!b->failed);
}

/* Superblock and bitmap of a leg (docs/spec/dm-formats.md 9.1, 9.2), in sync, nothing dirty. */
static void make_meta(unsigned leg, uint8_t *meta)
{
    memset(meta, 0, 8192);
    put(meta, 0x64526d44, 4);
    put(meta + 4, 1, 4);
    put(meta + 8, N_LEGS, 4);
    put(meta + 12, leg, 4);
    put(meta + 16, 5, 8);
    put(meta + 32, UINT64_MAX, 8);
    put(meta + 40, UINT64_MAX, 8);
    put(meta + 48, 1, 4);
    put(meta + 64, UINT64_MAX, 8);
    uint8_t *b = meta + 4096;
    put(b, 0x6d746962, 4);
    put(b + 4, 4, 4);
    put(b + 24, 5, 8);
    put(b + 32, 5, 8);
    put(b + 40, LEG_BYTES / 512, 8);
    put(b + 52, REGION, 4);
    put(b + 56, 5, 4);
    memset(b + 256, 0xff, 4096 - 256);
    memset(b + 256, 0, N_REGIONS / 8);
}

struct world {
    struct rt_sim_disk *disks[N_LEGS];
    int (*fn)(struct bdev_mgr *mgr, void *arg);
    void *arg;
    unsigned n_reactors; /* 0: one */
    bool fails_flush;
};

static int world_main_fn(void *arg)
{
    struct world *w = arg;
    struct bdev_mgr_opts opts = {.no_auto_examine = true};
    struct bdev_mgr *mgr;
    CHECK_INT(bdev_mgr_create(pool_bdev_modules, &opts, &mgr, NULL), 0);
    int rc = w->fn(mgr, w->arg);
    bdev_mgr_destroy(mgr);
    return rc;
}

/* The next flush fails, and only that one, as on Linux. */
static int fail_flush(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    bool *fails = arg;
    if (op->kind != RT_OP_FSYNC || !*fails)
        return 0;
    *fails = false;
    return -EIO;
}

static void run_world(struct world *w, uint64_t seed)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = w->n_reactors ? w->n_reactors : 1;
    opts.seed = seed;
    assert_int_equal(rt_create(&opts, &rt, NULL), 0);
    struct rt_sim_hooks hooks = {.fail = fail_flush, .arg = &w->fails_flush};
    rt_sim_set_hooks(rt, &hooks);
    for (unsigned i = 0; i < N_LEGS; i++) {
        char path[8];
        snprintf(path, sizeof(path), "/d%u", i);
        assert_int_equal(rt_sim_attach(rt, path, w->disks[i]), 0);
    }
    assert_int_equal(rt_run_task(rt, "case", world_main_fn, w), 0);
    assert_int_equal(rt_sim_n_live(rt), 0);
    rt_sim_discard(rt);
}

static int make_vg(struct bdev_mgr *mgr, void *arg)
{
    struct lvm_writer writer = {.line = "test",
                                .origin = {.version = "2.03.16(2)", .host = "h", .uname = "Linux"}};
    struct lvm_set *set = lvm_set_new(mgr);
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_err err = {0};
    struct lvm_vg *vg;
    unsigned i = 0;
    for (unsigned k = 0; k < N_LEGS; k++) {
        char uri[32], *name = NULL;
        struct lvm_pv_opts opts;
        snprintf(uri, sizeof(uri), "aio:///d%u", k);
        CHECK_INT(bdev_create_uri(mgr, uri, &name, &err), 0);
        CHECK_INT(lvm_set_add(set, name, uri, true, &err), 0);
        lvm_pv_opts_init(&opts);
        memset(opts.id.c, 'P', 31);
        opts.id.c[31] = (char)('0' + k);
        opts.pe_start_bytes = PE_START;
        CHECK_INT(lvm_pv_create(lvm_dev_find(set, uri), &opts, &err), 0);
        rt_free(name);
    }
    CHECK_INT(lvm_set_scan(set, NULL), 0);
    text_of(&text, arg != NULL);
    CHECK_INT(lvm_vg_parse(ash_buf_text(&text), text.n_bytes, "test", &vg, &err), 0);
    ash_list_for_each (l, &vg->pvs) {
        char uri[32];
        snprintf(uri, sizeof(uri), "aio:///d%u", i++);
        lvm_pv_of(l)->dev = lvm_dev_find(set, uri);
    }
    CHECK(lvm_set_give_vg(set, vg));
    CHECK_INT(lvm_vg_update(set, vg, &writer, &err), 0);
    lvm_set_free(set);
    return 0;
}

static void make_disks_with(struct world *w, bool split)
{
    static uint8_t meta[8192];
    *w = (struct world){.arg = split ? w : NULL};
    for (unsigned i = 0; i < N_LEGS; i++) {
        w->disks[i] = rt_sim_disk_new(PV_BYTES, 512);
        assert_non_null(w->disks[i]);
        rt_sim_disk_set_device(w->disks[i], true);
    }
    w->fn = make_vg;
    run_world(w, 1);
    for (unsigned i = 0; i < N_LEGS; i++) {
        make_meta(i, meta);
        assert_int_equal(rt_sim_disk_poke(w->disks[i], META, meta, sizeof(meta)), 0);
    }
}

static void make_disks(struct world *w)
{
    make_disks_with(w, false);
}

static void put_disks(struct world *w)
{
    for (unsigned i = 0; i < N_LEGS; i++)
        rt_sim_disk_put(w->disks[i]);
}

#endif
