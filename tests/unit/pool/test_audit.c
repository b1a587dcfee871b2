/* SPDX-License-Identifier: Apache-2.0 */
/* Races and limits of the lvs backend: what happens to a pool when two things happen at once, or
 * when one of them is very large. Simulated disk and clock; the seed decides the order. */
#include "pool/lvs/format.h"
#include "pool_test.h"

#define C (64u << 10)

static struct volume *find(struct pt *t, const char *name)
{
    struct volume *v = volume_find(t->pools, name);
    CHECK(v);
    return v;
}

static struct volume *make(struct pt *t, const char *name, uint64_t n_clusters, bool thin)
{
    struct volume *v = NULL;
    struct ash_err err = {0};
    struct volume_create_opts opts = {.thin = thin};
    int rc = volume_create(pool_find(t->pools, "tank"), name, n_clusters * C, &opts, &v, &err);
    if (rc)
        fprintf(stderr, "# %s\n", err.text);
    CHECK_INT(rc, 0);
    return v;
}

static void start(struct pt *t)
{
    struct ash_err err = {0};
    CHECK_INT(pt_add_disk(t, "aio:///d", &err), 0);
    pt_make_pool(t, "/d", "tank", C);
}

/* Something that goes on beside the case. */
struct beside {
    struct pt *t;
    void (*fn)(struct beside *b);
    bool stop;
    int rc;
    unsigned n;
    struct rt_event done;
};

static void beside_task(void *arg)
{
    struct beside *b = arg;
    b->fn(b);
    rt_event_set(&b->done, 0);
}

static void beside_start(struct beside *b, struct pt *t, void (*fn)(struct beside *b))
{
    *b = (struct beside){.t = t, .fn = fn, .done = RT_EVENT_INIT};
    CHECK_INT(rt_task_spawn("beside", beside_task, b), 0);
}

static int beside_end(struct beside *b)
{
    b->stop = true;
    rt_event_wait(&b->done);
    return b->rc;
}

static void run(uint64_t disk_bytes, uint64_t seed, int (*fn)(struct pt *t, void *arg))
{
    struct rt_sim_disk *disk = rt_sim_disk_new(disk_bytes, 512);
    CHECK_INT(pt_run(disk, seed, false, false, fn, disk), 0);
    assert_true(pt_disk_is_sound(disk, true));
    rt_sim_disk_put(disk);
}

/* -------------------------------------------------------------- barriers */

static void flush_all_the_time(struct beside *b)
{
    while (!b->stop) {
        b->rc = pt_op(b->t, "tank/other", BDEV_FLUSH, 0, 0);
        b->n++;
    }
}

static int roots_case(struct pt *t, void *arg)
{
    struct rt_sim_log log = {0};
    struct beside b;
    start(t);
    make(t, "other", 4, true);
    make(t, "v", 64 * LVS_EXTENTS_PER_PAGE, true);
    rt_sim_disk_set_log(arg, &log);
    beside_start(&b, t, flush_all_the_time);
    for (unsigned w = 0; w < 64; w++)
        CHECK_INT(pt_fill(t, "tank/v", (uint64_t)w * LVS_EXTENTS_PER_PAGE * C, C, 7), 0);
    CHECK_INT(beside_end(&b), 0);
    rt_sim_disk_set_log(arg, NULL);
    /* Each extent page that a root names was durable when the root was submitted. */
    struct lvs_super_disk super;
    rt_sim_disk_peek(arg, 0, &super, sizeof(super));
    uint64_t md_start = (uint64_t)ash_le32_get(super.md_start) * LVS_PAGE_BYTES;
    unsigned n_seen = 0;
    for (size_t i = 0; i < log.n_entries; i++) {
        const struct rt_sim_log_entry *e = &log.entries[i];
        if (e->kind != RT_OP_WRITE || e->length != LVS_PAGE_BYTES || e->offset < md_start)
            continue;
        for (size_t k = i + 1; k < log.n_entries; k++) {
            const struct rt_sim_log_entry *r = &log.entries[k];
            const struct lvs_page_disk *page = r->data;
            if (r->kind != RT_OP_WRITE || r->length != LVS_PAGE_BYTES || r->offset < md_start ||
                ash_le64_get(page->id) !=
                    lvs_blob_id((uint32_t)((r->offset - md_start) / LVS_PAGE_BYTES)))
                continue;
            const struct lvs_page_disk *ext = e->data;
            if (ext->descs[0] != LVS_DESC_EXTENT_PAGE)
                break;
            n_seen++;
            if (r->n_durable_before_submit <= i)
                fprintf(stderr, "# root (entry %zu) names a page (entry %zu) that is not durable\n",
                        k, i);
            CHECK(r->n_durable_before_submit > i);
            break;
        }
    }
    CHECK(n_seen >= 32);
    rt_sim_log_free(&log);
    return 0;
}

static void test_flush_in_flight_does_not_cover_later_writes(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run(512u << 20, seed, roots_case);
}

/* --------------------------------------------------- operations at once */

static void create_thick(struct beside *b)
{
    struct volume *v;
    struct volume_create_opts opts = {.clear = POOL_CLEAR_NONE};
    b->rc = volume_create(pool_find(b->t->pools, "tank"), "big", 600 * C, &opts, &v, NULL);
}

static int half_made_case(struct pt *t, void *arg)
{
    struct beside b;
    unsigned n_hidden = 0;
    start(t);
    beside_start(&b, t, create_thick);
    for (unsigned i = 0; i < 5000 && !b.done.is_set; i++) {
        rt_sleep_ns(1000);
        struct volume *v = volume_find(t->pools, "tank/big");
        if (v && !b.done.is_set) {
            int rc = volume_delete(v, NULL);
            CHECK(rc == -EBUSY || rc == 0);
            if (rc == 0)
                break;
        }
        n_hidden += !v;
    }
    CHECK_INT(beside_end(&b), 0);
    CHECK(n_hidden > 0);
    struct pool_info info;
    pool_get_info(pool_find(t->pools, "tank"), &info);
    CHECK_INT(info.n_volumes, volume_find(t->pools, "tank/big") ? 1 : 0);
    return 0;
}

static void test_volume_being_made_cannot_be_deleted(void **state)
{
    run(256u << 20, 3, half_made_case);
}

static void snapshot_beside(struct beside *b)
{
    struct volume *snap;
    b->rc = volume_snapshot(find(b->t, "tank/v"), "s", NULL, &snap, NULL);
}

static int half_snapshot_case(struct pt *t, void *arg)
{
    for (unsigned round = 0; round < 20; round++) {
        struct beside b;
        if (round == 0) {
            start(t);
            make(t, "v", 600, true);
        }
        CHECK_INT(pt_fill(t, "tank/v", 0, C, (uint8_t)round), 0);
        beside_start(&b, t, snapshot_beside);
        while (!b.done.is_set) {
            rt_sleep_ns(1000);
            struct volume *v = volume_find(t->pools, "tank/s");
            if (v && !b.done.is_set)
                (void)volume_delete(v, NULL);
        }
        CHECK_INT(beside_end(&b), 0);
        struct volume *v = volume_find(t->pools, "tank/s");
        if (v)
            CHECK_INT(volume_delete(v, NULL), 0);
        CHECK(pt_holds(t, "tank/v", 0, C, (uint8_t)round));
    }
    return 0;
}

static void test_snapshot_being_made_cannot_be_deleted(void **state)
{
    run(64u << 20, 4, half_snapshot_case);
}

static void rename_beside(struct beside *b)
{
    b->rc = volume_rename(find(b->t, "tank/a"), "x", NULL);
}

static int rename_case(struct pt *t, void *arg)
{
    struct beside b;
    struct volume *v;
    struct volume_create_opts opts = {.thin = true};
    start(t);
    make(t, "a", 1, true);
    beside_start(&b, t, rename_beside);
    rt_sleep_ns(1000);
    int rc = volume_create(pool_find(t->pools, "tank"), "x", C, &opts, &v, NULL);
    int rename_rc = beside_end(&b);
    CHECK((rc == 0) != (rename_rc == 0));
    CHECK_INT(rc ? rc : rename_rc, -EEXIST);
    return 0;
}

static void test_rename_takes_its_name_at_once(void **state)
{
    run(64u << 20, 5, rename_case);
}

/* --------------------------------------------------------- disk removal */

static void remove_disk(struct beside *b)
{
    struct bdev *bdev;
    rt_sleep_ns(b->n);
    while (!(bdev = bdev_find(b->t->mgr, "/d")))
        rt_sleep_ns(1000);
    rt_sleep_ns(b->n);
    b->rc = bdev_unregister(bdev);
}

static unsigned removal_delay_ns;

static int removal_case(struct pt *t, void *arg)
{
    struct beside b = {.t = t, .fn = remove_disk, .n = removal_delay_ns, .done = RT_EVENT_INIT};
    struct pool_create_opts opts = {.cluster_bytes = C, .force = true};
    struct pool *pool;
    CHECK_INT(rt_task_spawn("remove", beside_task, &b), 0);
    if (pt_add_disk(t, "aio:///d", NULL) == 0)
        (void)pool_create(t->pools, "/d", "tank", &opts, &pool, NULL);
    rt_event_wait(&b.done);
    CHECK_INT(b.rc, 0);
    CHECK(!pool_find(t->pools, "tank"));
    return 0;
}

static void test_disk_removed_while_its_pool_opens(void **state)
{
    for (unsigned i = 0; i < 100; i++) {
        struct rt_sim_disk *disk = rt_sim_disk_new(64u << 20, 512);
        removal_delay_ns = 20000 * i;
        CHECK_INT(pt_run(disk, i + 100, false, false, removal_case, NULL), 0);
        CHECK_INT(pt_run(disk, i + 200, false, false, removal_case, NULL), 0);
        rt_sim_disk_put(disk);
    }
}

static int busy_removal_case(struct pt *t, void *arg)
{
    struct beside b = {.t = t, .fn = remove_disk, .n = removal_delay_ns, .done = RT_EVENT_INIT};
    struct pool *tank;
    struct volume *v, *o;
    start(t);
    make(t, "k", 300, false);
    CHECK_INT(rt_task_spawn("remove", beside_task, &b), 0);
    while ((tank = pool_find(t->pools, "tank"))) {
        struct volume_create_opts thin = {.thin = true};
        int rc = volume_create(tank, "v", 600 * C, &thin, &v, NULL);
        (void)pt_fill(t, "tank/v", 0, 512, 1);
        if (rc == 0 && (o = volume_find(t->pools, "tank/v")))
            rc = volume_snapshot(o, "s", NULL, &v, NULL);
        (void)pt_fill(t, "tank/v", 0, 512, 2);
        if (rc == 0 && (o = volume_find(t->pools, "tank/v")))
            rc = volume_inflate(o, NULL);
        if (rc == 0 && (o = volume_find(t->pools, "tank/s")))
            rc = volume_delete(o, NULL);
        if (rc == 0 && (o = volume_find(t->pools, "tank/v")))
            rc = volume_delete(o, NULL);
        if (rc)
            rt_yield();
    }
    rt_event_wait(&b.done);
    CHECK_INT(b.rc, 0);
    return 0;
}

static void test_disk_removed_while_operations_run(void **state)
{
    for (unsigned i = 0; i < 60; i++) {
        struct rt_sim_disk *disk = rt_sim_disk_new(128u << 20, 512);
        removal_delay_ns = 50000 * i;
        CHECK_INT(pt_run(disk, i + 300, false, false, busy_removal_case, NULL), 0);
        assert_true(pt_disk_is_sound(disk, false));
        rt_sim_disk_put(disk);
    }
}

/* ------------------------------------------------------- external parents */

static int other_pool_case(struct pt *t, void *arg)
{
    struct rt_sim_disk *d2 = rt_sim_disk_create(t->rt, "/d2", 64u << 20, 512);
    struct pool *upper;
    struct volume *v;
    struct volume_info info;
    char id[64];
    CHECK(d2);
    start(t);
    volume_get_info(make(t, "base", 4, true), &info);
    snprintf(id, sizeof(id), "%s", info.unique_id);
    CHECK_INT(pt_fill(t, "tank/base", 0, C, 0x42), 0);
    CHECK_INT(pt_add_disk(t, "aio:///d2", NULL), 0);
    upper = pt_make_pool(t, "/d2", "upper", C);
    CHECK_INT(volume_clone_bdev(upper, id, "clone", NULL, &v, NULL), 0);
    CHECK(pt_holds(t, "upper/clone", 0, C, 0x42));
    /* The lower pool goes: the clone is degraded. It comes back: so does the clone. */
    CHECK_INT(bdev_unregister(bdev_find(t->mgr, "/d")), 0);
    CHECK(!pool_find(t->pools, "tank"));
    volume_get_info(find(t, "upper/clone"), &info);
    CHECK_INT(info.state, VOLUME_DEGRADED);
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    CHECK(pool_find(t->pools, "tank"));
    volume_get_info(find(t, "upper/clone"), &info);
    CHECK_INT(info.state, VOLUME_OK);
    CHECK(pt_holds(t, "upper/clone", 0, C, 0x42));
    CHECK_INT(volume_delete(find(t, "upper/clone"), NULL), 0);
    return 0;
}

static void test_parent_in_another_pool_comes_back(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(64u << 20, 512);
    CHECK_INT(pt_run(disk, 6, false, false, other_pool_case, NULL), 0);
    rt_sim_disk_put(disk);
}

/* ------------------------------------------------------------ long chains */

enum { N_CHAIN = 3000 };

static int chain_case(struct pt *t, void *arg)
{
    char name[32];
    struct volume *snap;
    start(t);
    make(t, "v", 4, true);
    CHECK_INT(pt_fill(t, "tank/v", 0, C, 0x55), 0);
    for (unsigned i = 0; i < N_CHAIN; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        CHECK_INT(volume_snapshot(find(t, "tank/v"), name, NULL, &snap, NULL), 0);
    }
    CHECK(pt_holds(t, "tank/v", 0, C, 0x55));
    CHECK_INT(volume_delete(find(t, "tank/s0"), NULL), 0);
    CHECK(pt_holds(t, "tank/v", 0, C, 0x55));
    CHECK_INT(volume_delete(find(t, "tank/s1500"), NULL), 0);
    return 0;
}

static void test_chain_of_thousands_of_snapshots(void **state)
{
    run(512u << 20, 8, chain_case);
}

/* ------------------------------------------------------------------ areas */

static int area_case(struct pt *t, void *arg)
{
    struct bdev_desc *desc;
    struct bdev_area area;
    start(t);
    make(t, "v", 8, true);
    CHECK_INT(bdev_open(t->mgr, "tank/v", BDEV_OPEN_READ, "test", NULL, NULL, &desc, NULL), 0);
    struct bdev_channel *ch = bdev_channel_get(desc);
    CHECK(ch);
    bdev_area(ch, 0, 8 * C, &area);
    CHECK(area.flags == (BDEV_AREA_HOLE | BDEV_AREA_ZERO) && area.length == 8 * C);
    CHECK_INT(bdev_quiesce(bdev_desc_bdev(desc), 0, 0), 0);
    bdev_area(ch, 0, 8 * C, &area);
    CHECK(area.flags == 0 && area.length == 8 * C);
    bdev_unquiesce(bdev_desc_bdev(desc), 0, 0);
    bdev_area(ch, 0, 8 * C, &area);
    CHECK(area.flags == (BDEV_AREA_HOLE | BDEV_AREA_ZERO));
    bdev_channel_put(ch);
    bdev_close(desc);
    return 0;
}

static void test_areas_are_data_while_maps_change(void **state)
{
    run(64u << 20, 11, area_case);
}

/* ------------------------------------------------------------------ sizes */

static int sizes_case(struct pt *t, void *arg)
{
    struct volume *v = NULL;
    struct volume_create_opts thin = {.thin = true}, thick = {0};
    struct pool *tank;
    start(t);
    tank = pool_find(t->pools, "tank");
    const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - C + 1, UINT64_C(1) << 63,
                              (UINT64_C(1) << 32) * C + 1};
    for (size_t i = 0; i < ASH_N_ELEMS(sizes); i++) {
        CHECK(volume_create(tank, "x", sizes[i], &thin, &v, NULL) < 0);
        CHECK(volume_create(tank, "x", sizes[i], &thick, &v, NULL) < 0);
    }
    make(t, "v", 1, true);
    make(t, "k", 1, false);
    for (size_t i = 0; i < ASH_N_ELEMS(sizes); i++) {
        CHECK(volume_resize(find(t, "tank/v"), sizes[i], NULL) < 0);
        CHECK(volume_resize(find(t, "tank/k"), sizes[i], NULL) < 0);
    }
    CHECK_INT(volume_resize(find(t, "tank/k"), (UINT64_C(1) << 32) * C, NULL), -ENOSPC);
    CHECK(!volume_find(t->pools, "tank/x"));
    return 0;
}

static void test_sizes_near_the_end(void **state)
{
    run(64u << 20, 9, sizes_case);
}

static int blocks_case(struct pt *t, void *arg)
{
    struct pool *pool = NULL;
    struct pool_create_opts opts = {.cluster_bytes = 1 << 20, .md_page_bytes = 65536};
    uint8_t first[4096];
    CHECK_INT(pt_add_disk(t, "malloc:///m?size_mb=64&blk_size=4096", NULL), 0);
    CHECK_INT(pool_create(t->pools, "m", "p", &opts, &pool, NULL), 0);
    memset(first, 0, sizeof(first));
    return 0;
}

static void test_large_metadata_pages_on_4k_blocks(void **state)
{
    CHECK_INT(pt_run(NULL, 10, false, false, blocks_case, NULL), 0);
}

/* ------------------------------------------- a clone that may be there or not */

/* Its root is written, but the flush fails, and the root cannot be erased either. */
struct half_made {
    bool armed;
    unsigned n_writes;
};

static int fail_after_root(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct half_made *h = arg;
    if (!h->armed || op->kind == RT_OP_READ)
        return 0;
    return op->kind == RT_OP_WRITE && h->n_writes++ == 0 ? 0 : -EIO;
}

static int half_clone_case(struct pt *t, void *arg)
{
    struct half_made h = {0};
    struct rt_sim_hooks hooks = {.fail = fail_after_root, .arg = &h};
    struct volume *s, *c;
    struct ash_err err = {0};
    start(t);
    struct volume *v = make(t, "v", 4, true);
    CHECK_INT(pt_fill(t, "tank/v", 0, 4 * C, 0x31), 0);
    CHECK_INT(volume_snapshot(v, "s", NULL, &s, NULL), 0);
    CHECK_INT(volume_delete(find(t, "tank/v"), NULL), 0);
    rt_sim_set_hooks(t->rt, &hooks);
    h.armed = true;
    CHECK(volume_clone(find(t, "tank/s"), "c", NULL, &c, NULL) != 0);
    h.armed = false;
    CHECK(h.n_writes > 1);
    CHECK_INT(volume_delete(find(t, "tank/s"), &err), -EBUSY);
    CHECK_INT(err.reason, ASH_E_VOLUME_HAS_CLONES);
    return 0;
}

static int half_clone_again(struct pt *t, void *arg)
{
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    CHECK(pt_holds(t, "tank/s", 0, 4 * C, 0x31));
    CHECK(pt_holds(t, "tank/c", 0, 4 * C, 0x31)); /* the clone that was not acknowledged */
    CHECK_INT(volume_delete(find(t, "tank/c"), NULL), 0);
    CHECK_INT(volume_delete(find(t, "tank/s"), NULL), 0);
    return 0;
}

static void test_half_made_clone(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(16 << 20, 512);
    CHECK_INT(pt_run(disk, 21, false, false, half_clone_case, NULL), 0);
    CHECK_INT(pt_run(disk, 22, false, false, half_clone_again, NULL), 0);
    assert_true(pt_disk_is_sound(disk, true));
    rt_sim_disk_put(disk);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flush_in_flight_does_not_cover_later_writes),
        cmocka_unit_test(test_volume_being_made_cannot_be_deleted),
        cmocka_unit_test(test_snapshot_being_made_cannot_be_deleted),
        cmocka_unit_test(test_rename_takes_its_name_at_once),
        cmocka_unit_test(test_disk_removed_while_its_pool_opens),
        cmocka_unit_test(test_disk_removed_while_operations_run),
        cmocka_unit_test(test_areas_are_data_while_maps_change),
        cmocka_unit_test(test_parent_in_another_pool_comes_back),
        cmocka_unit_test(test_chain_of_thousands_of_snapshots),
        cmocka_unit_test(test_sizes_near_the_end),
        cmocka_unit_test(test_large_metadata_pages_on_4k_blocks),
        cmocka_unit_test(test_half_made_clone),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
