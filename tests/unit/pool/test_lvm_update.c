/* SPDX-License-Identifier: Apache-2.0 */
/* Changing LVM2 metadata: where areas go, PVs made and unmade, updates of VGs, and what is refused.
 * That no power cut hurts is the crash explorer's to show (sim/lvm_crash.c). */
#include "../bdev/bdev_test.h"
#include "pool/lvm/edit.h"
#include "pool/lvm/update.h"
#include "pool/pool.h"

#include <utime.h>

enum { N_DEVS = 3, DEV_BYTES = 16 << 20 };

struct lt {
    struct bdev_mgr *mgr;
    struct lvm_set *set;
    struct lvm_dev *devs[N_DEVS];
    struct lvm_writer writer;
};

struct lt_case {
    void (*fn)(struct lt *t);
};

static int lt_main(void *arg)
{
    struct lt_case *c = arg;
    struct lt t = {
        .writer = {
            .line = "test",
            .origin = {.version = "2.03.16(2) (2022-05-18)", .host = "h", .uname = "Linux"}}};
    struct bdev_mgr_opts opts = {.no_auto_examine = true};
    CHECK_INT(bdev_mgr_create(pool_bdev_modules, &opts, &t.mgr, NULL), 0);
    t.set = lvm_set_new(t.mgr);
    CHECK(t.set);
    for (unsigned i = 0; i < N_DEVS; i++) {
        char uri[64], shown[16], *name = NULL;
        snprintf(uri, sizeof(uri), "malloc:///m%u?size_mb=%d&blk_size=%u", i, DEV_BYTES >> 20,
                 i == 2 ? 4096 : 512);
        snprintf(shown, sizeof(shown), "m%u", i);
        CHECK_INT(bdev_create_uri(t.mgr, uri, &name, NULL), 0);
        CHECK_INT(lvm_set_add(t.set, name, shown, true, NULL), 0);
        rt_free(name);
        t.devs[i] = lvm_dev_find(t.set, shown);
    }
    CHECK_INT(lvm_set_scan(t.set, NULL), 0);
    c->fn(&t);
    lvm_set_free(t.set);
    bdev_mgr_destroy(t.mgr);
    return 0;
}

static void run(void (*fn)(struct lt *t))
{
    struct rt_opts opts;
    struct rt *rt;
    struct lt_case c = {fn};
    rt_opts_init(&opts);
    opts.n_reactors = 1;
    assert_int_equal(rt_create(&opts, &rt, NULL), 0);
    assert_int_equal(rt_run_task(rt, "case", lt_main, &c), 0);
    rt_destroy(rt);
}

static void make_pv(struct lt *t, unsigned i, unsigned n_mdas)
{
    struct lvm_pv_opts opts;
    struct ash_err err = {0};
    lvm_pv_opts_init(&opts);
    opts.n_mdas = n_mdas;
    CHECK_INT(lvm_pv_create(t->devs[i], &opts, &err), 0);
}

static void join(struct lt *t, struct lvm_vg *vg, unsigned i)
{
    struct lvm_dev *dev = t->devs[i];
    struct lvm_pv *pv = lvm_arena_get(&vg->arena, sizeof(*pv));
    CHECK(pv);
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
}

/* "vg" of the first n devices. */
static struct lvm_group *make_vg(struct lt *t, unsigned n, unsigned n_mdas)
{
    struct ash_err err = {0};
    struct lvm_vg *vg = lvm_vg_new();
    CHECK(vg);
    vg->name = lvm_arena_str(&vg->arena, "vg");
    lvm_id_random(&vg->id);
    vg->flags = LVM_RESIZEABLE | LVM_READ | LVM_WRITE;
    vg->extent_sectors = 8192;
    for (unsigned i = 0; i < n; i++) {
        make_pv(t, i, n_mdas);
        join(t, vg, i);
    }
    struct lvm_group *g = lvm_set_give_vg(t->set, vg);
    CHECK(g);
    CHECK_INT(lvm_vg_update(t->set, vg, &t->writer, &err), 0);
    return g;
}

static struct lvm_group *scan(struct lt *t)
{
    CHECK_INT(lvm_set_scan(t->set, NULL), 0);
    return lvm_group_find(t->set, "vg");
}

/* ------------------------------------------------------------------ layout */

/* docs/spec/lvm2-format.md 4.1, 4.2: as lvm2 was seen to do it. */
static void layouts(void **state)
{
    static const struct {
        uint64_t device, align, offset, mda, boot, pe_start;
        unsigned n_mdas;
        uint64_t want_mda0, want_mda1, want_boot, want_data; /* sizes, sizes, place, place */
    } cases[] = {
        {48 << 20, 0, 0, 0, 0, 0, 1, 1044480, 0, 0, 1 << 20},
        {48 << 20, 65536, 0, 32768, 0, 0, 1, 61440, 0, 0, 65536},
        {48 << 20, 262144, 8192, 131072, 0, 0, 1, 266240, 0, 0, 270336},
        {48 << 20, 4096, 0, 0, 0, 0, 1, 1044480, 0, 0, 1 << 20},
        {48 << 20, 0, 0, 0, 2 << 20, 0, 1, 1044480, 0, 1 << 20, 3 << 20},
        {16 << 20, 0, 0, 0, 0, 0, 2, 1044480, 1 << 20, 0, 1 << 20},
        {16 << 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 << 20},
        {48 << 20, 0, 0, 0, 0, 65536, 1, 61440, 0, 0, 65536}, /* pe_start is given */
        {48 << 20, 196608, 0, 0, 0, 0, 1, 1175552, 0, 0, 1179648},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
        struct lvm_pv_opts o;
        struct lvm_label l;
        struct ash_err err = {0};
        lvm_pv_opts_init(&o);
        o.align_bytes = cases[i].align;
        o.align_offset_bytes = cases[i].offset;
        o.mda_bytes = cases[i].mda;
        o.boot_bytes = cases[i].boot;
        o.pe_start_bytes = cases[i].pe_start;
        o.n_mdas = cases[i].n_mdas;
        if (lvm_pv_layout(&o, cases[i].device, "d", &l, &err))
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(l.mdas[0].size, cases[i].want_mda0);
        assert_int_equal(l.mdas[1].size, cases[i].want_mda1);
        if (l.mdas[1].size)
            assert_int_equal(l.mdas[1].offset + l.mdas[1].size, cases[i].device);
        assert_int_equal(l.boot.offset, cases[i].want_boot);
        assert_int_equal(l.data_offset, cases[i].want_data);
    }
}

static void bad_layouts(void **state)
{
    static const struct {
        uint64_t device, align, offset, mda, pe_start;
        unsigned n_mdas;
        enum ash_reason want;
    } cases[] = {
        {(2 << 20) - 512, 0, 0, 0, 0, 1, ASH_E_LVM_PV_SIZE},
        {4 << 20, 4096, 0, 28672, 0, 1, ASH_E_LVM_PV_LAYOUT},   /* area too small */
        {4 << 20, 65536, 131072, 0, 0, 1, ASH_E_LVM_PV_LAYOUT}, /* offset beyond alignment */
        {4 << 20, 65536 + 1, 0, 0, 0, 1, ASH_E_LVM_PV_LAYOUT},  /* no sectors */
        {4 << 20, 1 << 30, 0, 0, 0, 1, ASH_E_LVM_PV_LAYOUT},    /* larger than the device */
        {4 << 20, 0, 0, 8 << 20, 0, 2, ASH_E_LVM_PV_LAYOUT},    /* second area */
        {2 << 20, 0, 0, 0, 0, 2, ASH_E_LVM_PV_LAYOUT},          /* no data between */
        {48 << 20, 0, 0, 0, 8192, 1, ASH_E_LVM_PV_LAYOUT},      /* no area before pe_start */
        {48 << 20, 0, 0, 0, 48 << 20, 1, ASH_E_LVM_PV_LAYOUT},  /* data behind the end */
    };
    for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
        struct lvm_pv_opts o;
        struct lvm_label l;
        struct ash_err err = {0};
        lvm_pv_opts_init(&o);
        o.align_bytes = cases[i].align;
        o.align_offset_bytes = cases[i].offset;
        o.mda_bytes = cases[i].mda;
        o.pe_start_bytes = cases[i].pe_start;
        o.n_mdas = cases[i].n_mdas;
        assert_true(lvm_pv_layout(&o, cases[i].device, "d", &l, &err) < 0);
        if (err.reason != cases[i].want)
            fail_msg("case %zu: %s", i, err.text);
    }
}

/* --------------------------------------------------------------------- PVs */

static void pv_life_in(struct lt *t)
{
    uint8_t head[LVM_SCAN_BYTES];
    memset(head, 0x5a, sizeof(head));
    CHECK_INT(bdev_write(t->devs[0]->ch, head, 0, sizeof(head), 0), 0);
    make_pv(t, 0, 2);
    struct lvm_id id = t->devs[0]->label.pv_id;
    CHECK(lvm_id_valid(id.c));
    (void)scan(t);
    CHECK(t->devs[0]->has_label && lvm_id_equal(&t->devs[0]->label.pv_id, &id));
    CHECK_INT(t->devs[0]->label.n_mdas, 2);
    CHECK(t->devs[0]->mdas[0].has_header && t->devs[0]->mdas[1].has_header);
    CHECK(!t->devs[1]->has_label);
    CHECK_INT(bdev_read(t->devs[0]->ch, head, 0, sizeof(head)), 0);
    CHECK_INT(head[0], 0);
    CHECK_INT(head[1024], 0);
    CHECK_INT(lvm_label_wipe(t->devs[0], NULL), 0);
    (void)scan(t);
    CHECK(!t->devs[0]->has_label);
    CHECK_INT(t->devs[0]->fault, ASH_E_LVM_NO_LABEL);
}

static void pv_life(void **state)
{
    run(pv_life_in);
}

/* The first sectors can be kept, but no second label is left beside the new one. */
static void pv_keeps_head_in(struct lt *t)
{
    struct lvm_pv_opts opts;
    uint8_t head[LVM_SCAN_BYTES];
    make_pv(t, 0, 1); /* in sector 1 */
    CHECK_INT(bdev_read(t->devs[0]->ch, head, 0, sizeof(head)), 0);
    memcpy(head, "boot", 4);
    CHECK_INT(bdev_write(t->devs[0]->ch, head, 0, sizeof(head), 0), 0);
    lvm_pv_opts_init(&opts);
    opts.keep_head = true;
    opts.label_sector = 3;
    CHECK_INT(lvm_pv_create(t->devs[0], &opts, NULL), 0);
    CHECK_INT(bdev_read(t->devs[0]->ch, head, 0, sizeof(head)), 0);
    CHECK(memcmp(head, "boot", 4) == 0);
    CHECK(memcmp(head + 512, LVM_LABEL_ID, 8) != 0);
    CHECK(memcmp(head + 3 * 512, LVM_LABEL_ID, 8) == 0);
}

static void pv_keeps_head(void **state)
{
    run(pv_keeps_head_in);
}

/* --------------------------------------------------------------------- VGs */

static void vg_life_in(struct lt *t)
{
    struct lvm_group *g = make_vg(t, 3, 1);
    struct ash_err err = {0};
    CHECK_INT(g->vg->seqno, 1);
    g = scan(t);
    CHECK(g);
    CHECK_INT(g->vg->n_pvs, 3);
    CHECK_INT(lvm_vg_n_missing(g->vg), 0);
    CHECK(!g->is_old && !g->is_bad);
    for (unsigned i = 0; i < N_DEVS; i++)
        CHECK(t->devs[i]->label.ext_flags & LVM_PV_EXT_USED);
    /* 200 updates: around the rings, several times where they are small. */
    for (unsigned i = 0; i < 200; i++)
        CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, &err), 0);
    g = scan(t);
    CHECK(g && !g->is_old && !g->is_bad);
    CHECK_INT(g->vg->seqno, 201);
    CHECK(strcmp(g->vg->description, "Write[201] from test.") == 0);
    CHECK_INT(lvm_vg_remove(t->set, g->vg, &t->writer, &err), 0);
    CHECK(!scan(t));
    for (unsigned i = 0; i < N_DEVS; i++)
        CHECK(t->devs[i]->has_label && !(t->devs[i]->label.ext_flags & LVM_PV_EXT_USED));
}

static void vg_life(void **state)
{
    run(vg_life_in);
}

static void vg_test_mode_in(struct lt *t)
{
    struct lvm_group *g = make_vg(t, 1, 1);
    t->writer.is_test = true;
    g->vg->name = "other";
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
    CHECK_INT(lvm_vg_remove(t->set, g->vg, &t->writer, NULL), 0);
    g = scan(t);
    CHECK(g);
    CHECK_INT(g->vg->seqno, 1);
}

static void vg_test_mode(void **state)
{
    run(vg_test_mode_in);
}

static void vg_reverts_in(struct lt *t)
{
    struct lvm_update u;
    struct lvm_group *g = make_vg(t, 2, 1);
    g->vg->name = "other";
    CHECK_INT(lvm_update_prepare(&u, t->set, g->vg, &t->writer, NULL), 0);
    CHECK_INT(g->vg->seqno, 2);
    lvm_update_revert(&u);
    CHECK_INT(g->vg->seqno, 1);
    g = scan(t);
    CHECK(g);
    CHECK_INT(t->devs[0]->mdas[0].header.slots[1].size, 0);
    CHECK_INT(g->vg->seqno, 1);
}

static void vg_reverts(void **state)
{
    run(vg_reverts_in);
}

/* A text that fits one area but not another: nothing is written to either. */
static void vg_too_large_in(struct lt *t)
{
    struct ash_err err = {0};
    struct lvm_group *g = make_vg(t, 2, 1);
    char *tag = lvm_arena_get(&g->vg->arena, 600000);
    memset(tag, 'x', 599999);
    CHECK(lvm_tag_add(g->vg, &g->vg->tags, tag));
    CHECK(lvm_vg_update(t->set, g->vg, &t->writer, &err) < 0);
    CHECK_INT(err.reason, ASH_E_LVM_MDA_FULL);
    CHECK_INT(g->vg->seqno, 1);
    g = scan(t);
    CHECK(g && g->vg->seqno == 1 && !g->vg->tags && !g->is_old);
}

static void vg_too_large(void **state)
{
    run(vg_too_large_in);
}

/* Ignored areas keep their stale text; at least one must be in use. */
static void vg_ignores_in(struct lt *t)
{
    struct ash_err err = {0};
    struct lvm_group *g = make_vg(t, 2, 1);
    struct lvm_mda *a = &t->devs[0]->mdas[0], *b = &t->devs[1]->mdas[0];
    a->ignored = true;
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, &err), 0);
    g = scan(t);
    CHECK(g && g->vg->seqno == 2 && a->ignored && !g->is_old);
    CHECK_INT(a->header.slots[0].offset, 512);
    CHECK_INT(a->header.slots[0].flags, LVM_LOCATION_IGNORED);
    b->ignored = true;
    CHECK(lvm_vg_update(t->set, g->vg, &t->writer, &err) < 0);
    CHECK_INT(err.reason, ASH_E_LVM_NO_AREAS);
    g = scan(t);
    a->ignored = false; /* it begins anew at 512 */
    b->ignored = true;
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, &err), 0);
    g = scan(t);
    CHECK(g && g->vg->seqno == 3 && !a->ignored && b->ignored);
    CHECK_INT(a->header.slots[0].offset, 512);
    CHECK_INT(a->header.slots[0].flags, 0);
}

static void vg_ignores(void **state)
{
    run(vg_ignores_in);
}

/* Areas that are bad, or name another VG, are left alone. */
static void vg_leaves_others_in(struct lt *t)
{
    struct lvm_group *g = make_vg(t, 2, 1);
    uint8_t sector[512], after[512];
    CHECK_INT(bdev_read(t->devs[1]->ch, sector, 4096, 512), 0);
    sector[20] ^= 1;
    CHECK_INT(bdev_write(t->devs[1]->ch, sector, 4096, 512, 0), 0);
    g = scan(t);
    CHECK(g && g->is_bad);
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
    CHECK_INT(bdev_read(t->devs[1]->ch, after, 4096, 512), 0);
    CHECK(memcmp(sector, after, 512) == 0);
    g = scan(t);
    CHECK(g && g->is_bad && g->vg->seqno == 2);
}

static void vg_leaves_others(void **state)
{
    run(vg_leaves_others_in);
}

/* ----------------------------------------------------------------- refusals */

static void refusals_in(struct lt *t)
{
    struct lvm_policy none = {0}, ours = {.system_id = "here"}, all = {"here", true, true, true};
    struct lvm_group *g = make_vg(t, 2, 1);
    struct lvm_vg *vg = g->vg;
#define REFUSED(policy, why)                                                                       \
    do {                                                                                           \
        struct ash_err err = {0};                                                                  \
        CHECK(lvm_may_change(g, policy, &err) < 0);                                                \
        CHECK_INT(err.reason, why);                                                                \
    } while (0)
    CHECK_INT(lvm_may_change(g, &none, NULL), 0);
    vg->system_id = "there";
    REFUSED(&none, ASH_E_LVM_VG_FOREIGN);
    REFUSED(&all, ASH_E_LVM_VG_FOREIGN);
    vg->system_id = "here";
    REFUSED(&none, ASH_E_LVM_VG_FOREIGN);
    CHECK_INT(lvm_may_change(g, &ours, NULL), 0);
    vg->lock_type = "sanlock";
    REFUSED(&all, ASH_E_LVM_VG_LOCK_TYPE);
    vg->lock_type = "none";
    vg->flags |= LVM_CLUSTERED;
    REFUSED(&all, ASH_E_LVM_VG_LOCK_TYPE);
    vg->flags &= ~LVM_CLUSTERED;
    vg->flags |= LVM_EXPORTED;
    REFUSED(&ours, ASH_E_LVM_VG_EXPORTED);
    CHECK_INT(lvm_may_change(g, &all, NULL), 0);
    vg->flags &= ~(LVM_EXPORTED | LVM_WRITE);
    REFUSED(&all, ASH_E_LVM_VG_READ_ONLY);
    vg->flags |= LVM_WRITE;
    g->has_duplicates = true;
    REFUSED(&all, ASH_E_LVM_VG_DUPLICATES);
    g->has_duplicates = false;
    vg->has_unknown_types = true;
    REFUSED(&ours, ASH_E_LVM_VG_UNKNOWN);
    vg->has_unknown_types = false;
    lvm_pv_of(vg->pvs.next)->flags |= LVM_MISSING;
    REFUSED(&ours, ASH_E_LVM_VG_PARTIAL);
    CHECK_INT(lvm_may_change(g, &all, NULL), 0);
#undef REFUSED
}

static void refusals(void **state)
{
    run(refusals_in);
}

/* A PV that is away is written as missing, and is one again when it came back with nothing on it.
 */
/* The VG is updated while its second PV is not there; then that is back. */
static struct lvm_group *miss_an_update(struct lt *t)
{
    uint8_t label[512], zero[512] = {0};
    CHECK_INT(bdev_read(t->devs[1]->ch, label, 512, 512), 0);
    CHECK_INT(bdev_write(t->devs[1]->ch, zero, 512, 512, 0), 0);
    struct lvm_group *g = scan(t);
    CHECK_INT(lvm_vg_n_missing(g->vg), 1);
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
    CHECK_INT(bdev_write(t->devs[1]->ch, label, 512, 512, 0), 0);
    g = scan(t);
    CHECK(g->is_old);
    CHECK(strcmp(lvm_pv_of(g->vg->pvs.prev)->device, "[unknown]") == 0);
    return g;
}

static void missing_in(struct lt *t)
{
    (void)make_vg(t, 2, 1);
    struct lvm_group *g = miss_an_update(t);
    CHECK(lvm_pv_of(g->vg->pvs.prev)->is_back); /* nothing on it can be old */
    CHECK_INT(lvm_vg_n_missing(g->vg), 0);
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
    g = scan(t);
    CHECK(!g->is_old && lvm_vg_n_missing(g->vg) == 0);
    CHECK(!lvm_pv_of(g->vg->pvs.prev)->is_back);
}

/* What it holds may be old: it stays missing, however often the VG is written. */
static void missing_in_use(struct lt *t)
{
    struct lvm_group *g = make_vg(t, 2, 1);
    struct lvm_id id;
    lvm_id_random(&id);
    struct lvm_lv *lv = lvm_lv_add(g->vg, "a", &id, "h", 1);
    CHECK(lv);
    struct lvm_seg *seg = lvm_seg_add(lv, "striped", 1, 1);
    CHECK(seg);
    seg->areas[0] = (struct lvm_area){.kind = LVM_AREA_PV, .pv = lvm_pv_of(g->vg->pvs.prev)};
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
    g = miss_an_update(t);
    for (int i = 0; i < 2; i++) {
        CHECK(lvm_pv_of(g->vg->pvs.prev)->flags & LVM_MISSING);
        CHECK(!lvm_pv_of(g->vg->pvs.prev)->is_back);
        CHECK_INT(lvm_vg_n_missing(g->vg), 1);
        CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
        g = scan(t);
    }
}

static void missing(void **state)
{
    run(missing_in);
    run(missing_in_use);
}

/* ------------------------------------------------------------------ repair */

static void flip(struct lvm_dev *dev, uint64_t at)
{
    uint8_t sector[4096];
    uint64_t first = at - at % sizeof(sector);
    CHECK_INT(bdev_read(dev->ch, sector, first, sizeof(sector)), 0);
    sector[at - first] ^= 1;
    CHECK_INT(bdev_write(dev->ch, sector, first, sizeof(sector), 0), 0);
}

/* One area's text or header is bad: an update leaves it alone, a repair writes it. */
static void repair_bad_in(struct lt *t)
{
    struct lvm_group *g = make_vg(t, 2, 1);
    for (int header = 0; header < 2; header++) {
        struct lvm_mda *m = &t->devs[1]->mdas[0];
        flip(t->devs[1], m->start + (header ? 40 : m->header.slots[0].offset + 5));
        g = scan(t);
        CHECK(g->is_bad && m->fault != ASH_OK);
        CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
        g = scan(t);
        CHECK(g->is_bad);
        t->writer.is_test = true;
        CHECK_INT(lvm_vg_repair(t->set, g, &t->writer, NULL), 0);
        t->writer.is_test = false;
        g = scan(t);
        CHECK(g->is_bad); /* a test writes nothing */
        CHECK_INT(lvm_vg_repair(t->set, g, &t->writer, NULL), 0);
        g = scan(t);
        CHECK(!g->is_bad && !g->is_old);
        CHECK(m->copy == g->vg && t->devs[0]->mdas[0].copy == g->vg);
    }
}

/* A device that the VG dropped while it was away. */
static void repair_outdated_in(struct lt *t)
{
    enum { HEAD_BYTES = 64 << 10 };
    struct lvm_group *g = make_vg(t, 2, 1);
    void *head = rt_alloc(HEAD_BYTES);
    CHECK_INT(bdev_read(t->devs[1]->ch, head, 0, HEAD_BYTES), 0);
    ash_list_remove(g->vg->pvs.prev);
    CHECK_INT(lvm_vg_update(t->set, g->vg, &t->writer, NULL), 0);
    CHECK_INT(bdev_write(t->devs[1]->ch, head, 0, HEAD_BYTES, 0), 0);
    rt_free(head);
    g = scan(t);
    CHECK(g->has_outdated && t->devs[1]->outdated == g);
    t->devs[1]->pv = lvm_pv_of(g->vg->pvs.next); /* as if another VG had it */
    CHECK_INT(lvm_vg_repair(t->set, g, &t->writer, NULL), 0);
    g = scan(t);
    CHECK(g->has_outdated);
    CHECK_INT(lvm_vg_repair(t->set, g, &t->writer, NULL), 0);
    g = scan(t);
    CHECK(!g->has_outdated && !g->is_old && t->devs[1]->has_label);
    CHECK(!t->devs[1]->pv && !t->devs[1]->mdas[0].copy);
    CHECK(!(t->devs[1]->label.ext_flags & LVM_PV_EXT_USED));
}

static void repair(void **state)
{
    run(repair_bad_in);
    run(repair_outdated_in);
}

/* ------------------------------------------------------------------- merge */

/* "other" of the last device alone, with an LV "b" on it. */
static struct lvm_group *make_other(struct lt *t, uint32_t extent_sectors)
{
    struct lvm_vg *vg = lvm_vg_new();
    struct lvm_id id;
    CHECK(vg);
    vg->name = lvm_arena_str(&vg->arena, "other");
    lvm_id_random(&vg->id);
    lvm_id_random(&id);
    vg->flags = LVM_RESIZEABLE | LVM_READ | LVM_WRITE;
    vg->extent_sectors = extent_sectors;
    make_pv(t, N_DEVS - 1, 2);
    join(t, vg, N_DEVS - 1);
    struct lvm_lv *lv = lvm_lv_add(vg, "b", &id, "h", 1);
    struct lvm_seg *seg = lv ? lvm_seg_add(lv, "striped", 1, 1) : NULL;
    CHECK(seg);
    seg->areas[0] = (struct lvm_area){.kind = LVM_AREA_PV, .pv = lvm_pv_of(vg->pvs.next)};
    struct lvm_group *g = lvm_set_give_vg(t->set, vg);
    CHECK(g);
    CHECK_INT(lvm_vg_update(t->set, vg, &t->writer, NULL), 0);
    return g;
}

/* All are in one VG, which uses as many areas as it did: all (0), or that many. */
static void merge_with(struct lt *t, uint32_t n_copies)
{
    struct lvm_group *to = make_vg(t, 2, 1);
    unsigned n_used = 0;
    to->vg->metadata_copies = n_copies;
    struct lvm_group *from = make_other(t, to->vg->extent_sectors);
    CHECK_INT(lvm_vg_merge(t->set, to, from, &t->writer, NULL), 0);
    to = scan(t);
    CHECK(to && to->link.next == &t->set->groups && to->link.prev == &t->set->groups);
    CHECK(!to->is_old && !to->is_bad && !to->has_outdated);
    CHECK_INT(to->vg->n_pvs, 3);
    CHECK_INT(to->vg->metadata_copies, n_copies);
    struct lvm_lv *lv = lvm_lv_find(to->vg, "b");
    CHECK(lv && lvm_lv_seg(lv)->areas[0].pv->dev == t->devs[N_DEVS - 1]);
    for (unsigned i = 0; i < N_DEVS; i++)
        for (size_t k = 0; k < t->devs[i]->label.n_mdas; k++)
            n_used += !t->devs[i]->mdas[k].ignored;
    CHECK_INT(n_used, n_copies ? n_copies : 4);
}

static void merge_all_areas(struct lt *t)
{
    merge_with(t, 0);
}

static void merge_one_area(struct lt *t)
{
    merge_with(t, 1);
}

static void merge(void **state)
{
    run(merge_all_areas);
    run(merge_one_area);
}

/* ---------------------------------------------------------- locks, backups */

static char folder[64];

/* Two holders, as two processes would be: flock is of the open file. */
static void locks_in(struct lt *t)
{
    struct lvm_locks a = {.dir = folder, .no_wait = true}, b = {.dir = folder, .no_wait = true};
    struct ash_err err = {0};
    char path[128];
    (void)t;
    CHECK_INT(lvm_lock_global(&a, false, &err), 0);
    CHECK_INT(lvm_lock_global(&b, true, &err), -EBUSY);
    CHECK_INT(err.reason, ASH_E_RT_FILE_BUSY);
    CHECK_INT(lvm_lock_vg(&a, "vg", true, NULL), 0);
    CHECK_INT(lvm_lock_vg(&b, "vg", true, NULL), 0); /* both read */
    CHECK_INT(lvm_lock_vg(&b, "other", false, NULL), 0);
    CHECK_INT(lvm_lock_vg(&a, "other", false, NULL), -EBUSY);
    snprintf(path, sizeof(path), "%s/V_vg", folder);
    CHECK(rt_path_exists(path));
    lvm_unlock_all(&a);
    CHECK(rt_path_exists(path)); /* b holds it */
    CHECK_INT(lvm_lock_vg(&a, "vg", false, NULL), -EBUSY);
    lvm_unlock_all(&b);
    CHECK(!rt_path_exists(path)); /* the last one removed it */
    CHECK_INT(lvm_lock_vg(&a, "vg", false, NULL), 0);
    lvm_unlock_all(&a);
    struct lvm_locks none = {0};
    CHECK_INT(lvm_lock_global(&none, false, NULL), 0);
    CHECK_INT(none.n_held, 0);
}

static int archives(struct rt_dirent **entries, size_t *n)
{
    size_t n_found = 0;
    uint64_t idx;
    CHECK_INT(rt_list_dir(folder, entries, n, NULL), 0);
    for (size_t i = 0; i < *n; i++)
        n_found += lvm_archive_name((*entries)[i].name, "vg", &idx);
    return (int)n_found;
}

static void backups_in(struct lt *t)
{
    struct lvm_backups b = {folder, folder, .retain_min = 3, .retain_days = 1};
    struct lvm_group *g = make_vg(t, 1, 1);
    struct rt_dirent *entries;
    struct lvm_vg *vg;
    char path[512], *text;
    size_t n;
    CHECK_INT(lvm_backup(&b, g->vg, &t->writer, NULL), 0);
    snprintf(path, sizeof(path), "%s/vg", folder);
    CHECK_INT(rt_read_text(path, 1 << 20, &text, &n, NULL), 0);
    CHECK_INT(lvm_vg_parse(text, n, "backup", &vg, NULL), 0);
    CHECK(lvm_id_equal(&vg->id, &g->vg->id));
    CHECK_STR(vg->description, "Created *after* executing 'test'");
    lvm_vg_free(vg);
    rt_free(text);
    for (int i = 0; i < 5; i++)
        CHECK_INT(lvm_archive(&b, g->vg, &t->writer, NULL), 0);
    CHECK_INT(archives(&entries, &n), 5); /* all are young */
    for (size_t i = 0; i < n; i++) {
        struct utimbuf old = {0, 0};
        snprintf(path, sizeof(path), "%s/%s", folder, entries[i].name);
        CHECK_INT(utime(path, &old), 0);
    }
    rt_free(entries);
    CHECK_INT(lvm_archive(&b, g->vg, &t->writer, NULL), 0);
    CHECK_INT(archives(&entries, &n), 4); /* the new one, and the three that are kept at least */
    for (size_t i = 0; i < n; i++)
        CHECK(strncmp(entries[i].name, "vg_00000-", 9) != 0 &&
              strncmp(entries[i].name, "vg_00001-", 9) != 0);
    rt_free(entries);
    t->writer.is_test = true;
    CHECK_INT(lvm_archive(&b, g->vg, &t->writer, NULL), 0);
    CHECK_INT(archives(&entries, &n), 4);
    rt_free(entries);
}

static void in_folder(void (*fn)(struct lt *t))
{
    char command[96];
    snprintf(folder, sizeof(folder), "/tmp/lvm-update-XXXXXX");
    assert_non_null(mkdtemp(folder));
    run(fn);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void locks(void **state)
{
    in_folder(locks_in);
}

static void backups(void **state)
{
    in_folder(backups_in);
}

static void archive_names(void **state)
{
    uint64_t idx = 0;
    assert_true(lvm_archive_name("vg_00012-228618148.vg", "vg", &idx));
    assert_int_equal(idx, 12);
    assert_true(lvm_archive_name("vg_123456-1.vg", "vg", &idx));
    assert_int_equal(idx, 123456);
    assert_false(lvm_archive_name("vg_00012-228618148.vg", "v", &idx));
    assert_false(lvm_archive_name("vg_0012-1.vg", "vg", &idx));
    assert_false(lvm_archive_name("vg_00012-1x.vg", "vg", &idx));
    assert_false(lvm_archive_name("vg_00012.vg", "vg", &idx));
    assert_false(lvm_archive_name("vg_x_00012-1.vg", "vg", &idx));
    assert_true(lvm_archive_name("vg_x_00012-1.vg", "vg_x", &idx));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts),       cmocka_unit_test(bad_layouts),
        cmocka_unit_test(pv_life),       cmocka_unit_test(pv_keeps_head),
        cmocka_unit_test(vg_life),       cmocka_unit_test(vg_test_mode),
        cmocka_unit_test(vg_reverts),    cmocka_unit_test(vg_too_large),
        cmocka_unit_test(vg_ignores),    cmocka_unit_test(vg_leaves_others),
        cmocka_unit_test(refusals),      cmocka_unit_test(missing),
        cmocka_unit_test(locks),         cmocka_unit_test(backups),
        cmocka_unit_test(archive_names), cmocka_unit_test(repair),
        cmocka_unit_test(merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
