/* SPDX-License-Identifier: Apache-2.0 */
/* Stores as a whole: what a look at a device leaves alone, thresholds, a close that something else
 * meets, metadata that two volumes share. */
#include "faults.h"
#include "pool_test.h"

#define C    (64u << 10)
#define BASE UINT64_C(0x100000000)

static struct volume *find(struct pt *t, const char *name)
{
    struct volume *v = volume_find(t->pools, name);
    CHECK(v);
    return v;
}

static void on_disk(const struct mkdisk *d, bool read_only, int (*fn)(struct pt *t, void *arg),
                    void *arg)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(d->n_bytes, 4096);
    struct rt_sim_image *image = rt_sim_image_new(d->n_bytes);
    CHECK_INT(rt_sim_image_write(image, 0, d->bytes, MKDISK_CLUSTER_BYTES), 0);
    rt_sim_disk_give_image(disk, image);
    CHECK_INT(pt_run(disk, 1, read_only, false, fn, arg), 0);
    rt_sim_disk_put(disk);
}

/* ----------------------------------------------------------------- a look */

struct watch {
    struct bdev_watch watch;
    unsigned n_open, n_failed;
};

static void note(struct bdev_watch *watch, const char *type, const char *name)
{
    struct watch *w = ash_container_of(watch, struct watch, watch);
    w->n_open += strcmp(type, "pool_open") == 0;
    w->n_failed += strcmp(type, "pool_open_failed") == 0;
}

static int look_case(struct pt *t, void *arg)
{
    struct watch w = {.watch.fn = note}, *expected = arg;
    bdev_watch_add(t->mgr, &w.watch);
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    bdev_watch_del(&w.watch);
    CHECK_INT(w.n_open, expected->n_open);
    CHECK_INT(w.n_failed, expected->n_failed);
    return 0;
}

/* A blobstore of somebody else's is no failure of ours, nor is a disk without any; a store of ours
 * that cannot be opened is told of. */
static void looks(void **state)
{
    struct mkdisk d;
    mkdisk_init(&d, true);
    on_disk(&d, false, look_case, &(struct watch){.n_open = 1});
    mkdisk_super(&d)->version = ash_le32(9);
    mkdisk_seal_super(&d);
    on_disk(&d, false, look_case, &(struct watch){.n_failed = 1});
    memset(mkdisk_super(&d)->bstype, 0, 16);
    mkdisk_seal_super(&d);
    on_disk(&d, false, look_case, &(struct watch){0});
    memset(d.bytes, 0, 4096);
    memcpy(mkdisk_super(&d)->bstype, "LVOLSTORE", 9);
    on_disk(&d, false, look_case, &(struct watch){0});
    mkdisk_fini(&d);
}

/* ------------------------------------------------------------- thresholds */

static int thresholds_case(struct pt *t, void *arg)
{
    struct pool_info info;
    struct ash_err err = {0};
    CHECK_INT(pt_add_disk(t, "malloc:///m?size_mb=8", NULL), 0);
    struct pool *pool = pt_make_pool(t, "m", "tank", C);
    pool_get_info(pool, &info);
    CHECK(info.warn_percent[0] == 80 && info.warn_percent[1] == 95);
    CHECK_INT(pool_set_thresholds(pool, 60, 70, NULL), 0);
    pool_get_info(pool, &info);
    CHECK(info.warn_percent[0] == 60 && info.warn_percent[1] == 70);
    CHECK_INT(pool_set_thresholds(pool, 100, 100, NULL), 0);
    CHECK(pool_set_thresholds(pool, 71, 70, &err) < 0 && err.reason == ASH_E_BAD_ARGUMENT);
    CHECK(pool_set_thresholds(pool, 71, 101, NULL) < 0);
    pool_get_info(pool, &info);
    CHECK(info.warn_percent[0] == 100 && info.warn_percent[1] == 100);
    return 0;
}

static void thresholds(void **state)
{
    CHECK_INT(pt_run(NULL, 2, false, false, thresholds_case, NULL), 0);
}

static int attributes_case(struct pt *t, void *arg)
{
    static const struct volume_xattr good[] = {{"a", "one", 3}, {"b", "two", 3}},
                                     bad[] = {{"name", "x", 1}, {"uuid", "x", 1}, {"c", "", 0}};
    struct volume *v;
    const void *value;
    size_t n;
    CHECK_INT(pt_add_disk(t, "malloc:///m?size_mb=8", NULL), 0);
    struct pool *pool = pt_make_pool(t, "m", "tank", C);
    struct volume_create_opts opts = {.xattrs = good, .n_xattrs = 2};
    CHECK_INT(volume_create(pool, "v", C, &opts, &v, NULL), 0);
    CHECK(volume_xattr_get(v, "a", &value, &n) == 0 && n == 3 && memcmp(value, "one", 3) == 0);
    CHECK(volume_xattr_get(v, "b", &value, &n) == 0 && n == 3 && memcmp(value, "two", 3) == 0);
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        opts = (struct volume_create_opts){.xattrs = &bad[i], .n_xattrs = 1};
        CHECK(volume_create(pool, "w", C, &opts, &v, NULL) < 0);
        CHECK(!volume_find(t->pools, "tank/w"));
    }
    return 0;
}

/* Those that a volume is made with, but for what is the store's own. */
static void attributes(void **state)
{
    CHECK_INT(pt_run(NULL, 5, false, false, attributes_case, NULL), 0);
}

/* --------------------------------------------------------- while it closes */

struct closing {
    struct pt *t;
    int rc;
    struct rt_event done;
};

static void export_task(void *arg)
{
    struct closing *c = arg;
    c->rc = pool_export(pool_find(c->t->pools, "tank"), NULL);
    rt_event_set(&c->done, 0);
}

static void begin_export(struct closing *c, struct pt *t)
{
    struct volume *v;
    struct volume_create_opts opts = {.thin = true};
    *c = (struct closing){.t = t, .done = RT_EVENT_INIT};
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pt_make_pool(t, "/d", "tank", C);
    CHECK_INT(volume_create(pool_find(t->pools, "tank"), "v", C, &opts, &v, NULL), 0);
    bdev_wait_for_examine(t->mgr);
    CHECK_INT(rt_task_spawn("export", export_task, c), 0);
    while (volume_find(t->pools, "tank/v") && bdev_find(t->mgr, "tank/v"))
        rt_yield(); /* its first act */
    CHECK(pool_find(t->pools, "tank"));
}

static int busy_case(struct pt *t, void *arg)
{
    struct closing c;
    struct volume *v;
    struct ash_err e[4] = {{0}};
    begin_export(&c, t);
    struct pool *pool = pool_find(t->pools, "tank");
    CHECK(pool_export(pool, &e[0]) < 0 && e[0].reason == ASH_E_POOL_BUSY);
    CHECK(pool_destroy(pool, &e[1]) < 0 && e[1].reason == ASH_E_POOL_BUSY);
    CHECK(pool_rename(pool, "other", &e[2]) < 0 && e[2].reason == ASH_E_POOL_BUSY);
    CHECK(volume_create(pool, "w", C, NULL, &v, &e[3]) < 0 && e[3].reason == ASH_E_POOL_BUSY);
    rt_event_wait(&c.done);
    CHECK_INT(c.rc, 0);
    CHECK(!pool_find(t->pools, "tank"));
    CHECK_INT(pool_import(t->pools, "/d", false, NULL, &pool, NULL), 0);
    struct pool_info info;
    pool_get_info(pool, &info);
    CHECK(!info.was_dirty);
    return 0;
}

/* The disk goes while the pool is being closed: one of the two closes it, once, and in order. */
static int removal_case(struct pt *t, void *arg)
{
    struct closing c;
    begin_export(&c, t);
    CHECK_INT(bdev_unregister(bdev_find(t->mgr, "/d")), 0);
    CHECK(!pool_find(t->pools, "tank"));
    rt_event_wait(&c.done);
    CHECK_INT(c.rc, 0);
    return 0;
}

static void closing(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(8 << 20, 512);
    CHECK_INT(pt_run(disk, 3, false, false, busy_case, NULL), 0);
    assert_true(pt_disk_is_sound(disk, true));
    rt_sim_disk_give_image(disk, rt_sim_image_new(8 << 20));
    CHECK_INT(pt_run(disk, 4, false, false, removal_case, NULL), 0);
    assert_true(pt_disk_is_sound(disk, true));
    rt_sim_disk_put(disk);
}

/* ------------------------------------------------------- what must stay as it is */

static enum ash_reason delete_of(struct pt *t, const char *name)
{
    struct ash_err err = {0};
    CHECK(volume_delete(find(t, name), &err) < 0);
    return err.reason;
}

/* arg: names of volumes that nothing may change, NULL at the end. */
static int stays_case(struct pt *t, void *arg)
{
    struct pool_info info;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pool_get_info(pool_find(t->pools, "lvs0"), &info);
    CHECK(info.degraded);
    for (const char *const *name = arg; *name; name++) {
        struct volume_info vi;
        volume_get_info(find(t, *name), &vi);
        CHECK_INT(delete_of(t, *name), ASH_E_POOL_DEGRADED);
        CHECK(vi.state == VOLUME_FAULTED || bdev_find(t->mgr, *name)->read_only);
    }
    return 0;
}

static void stay(void **state)
{
    static const struct {
        const char *fault, *names[3];
        bool origin_is_damaged;
    } rows[] = {
        {"parent_writable", {"lvs0/thick"}, false}, /* its clone reads through it */
        {"half_unknown", {"lvs0/rle"}, false},      /* a snapshot of nobody who is there */
        {"half_snapshot_before", {"lvs0/new", "lvs0/thick"}, true}, /* whose are the clusters? */
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct mkdisk d;
        mkdisk_init(&d, false);
        fault_named(rows[i].fault)->make(&d);
        if (rows[i].origin_is_damaged) {
            mkpage_extents(&d, 20, BASE + 1, 0, (uint32_t[]){1, 2, 3}, 3, 3);
            struct mkpage p = mkpage_begin(&d, 1, BASE + 1, 0);
            mkpage_flags(&p, 4, 0, 0);
            mkpage_names(&p, "thick", 1);
            mkpage_table(&p, 3, (uint32_t[]){20, 1}, 1);
            mkpage_end(&p, LVS_INVALID_PAGE);
            mkdisk_page(&d, 20)->descs[12] ^= 1;
        }
        on_disk(&d, false, stays_case, (void *)(uintptr_t)rows[i].names);
        mkdisk_fini(&d);
    }
}

static int unknown_flag_case(struct pt *t, void *arg)
{
    struct ash_err err[3] = {{0}};
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    struct volume *v = find(t, "lvs0/one");
    CHECK(volume_resize(v, 8 * MKDISK_CLUSTER_BYTES, &err[0]) < 0);
    CHECK(volume_rename(v, "uno", &err[1]) < 0);
    CHECK(volume_resize(find(t, "lvs0/snap"), 8 * MKDISK_CLUSTER_BYTES, &err[2]) < 0);
    for (size_t i = 0; i < ASH_N_ELEMS(err); i++)
        CHECK_INT(err[i].reason, ASH_E_VOLUME_READ_ONLY);
    CHECK(bdev_find(t->mgr, "lvs0/one")->read_only);
    CHECK(pt_holds(t, "lvs0/one", 0, 4 * MKDISK_CLUSTER_BYTES, 0));
    CHECK_INT(volume_delete(v, NULL), 0);
    return 0;
}

/* A flag that we do not know says that its metadata is not ours to change
 * (docs/spec/blobstore-format.md 5.3). */
static void unknown_flag(void **state)
{
    struct mkdisk d;
    mkdisk_init(&d, false);
    struct mkpage p = mkpage_begin(&d, 10, BASE + 10, 0);
    mkpage_flags(&p, 5, 0, UINT64_C(1) << 40);
    mkpage_names(&p, "one", 10);
    mkpage_table(&p, 4, (uint32_t[]){0, 1}, 1);
    mkpage_end(&p, LVS_INVALID_PAGE);
    on_disk(&d, false, unknown_flag_case, NULL);
    mkdisk_fini(&d);
}

static int first_page_case(struct pt *t, void *arg)
{
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    struct pool *pool = pool_find(t->pools, "elsewhere");
    CHECK(pool && !pool_find(t->pools, "lvs0"));
    CHECK(find(t, "elsewhere/zero") && find(t, "elsewhere/thick"));
    CHECK_INT(volume_rename(find(t, "elsewhere/zero"), "null", NULL), 0);
    return 0;
}

/* The store's own blob is where the super block says, and then page 0 may be a volume's. */
static void volume_in_the_first_page(void **state)
{
    struct mkdisk d;
    mkdisk_init(&d, false);
    struct mkpage p = mkpage_begin(&d, 9, BASE + 9, 0);
    mkpage_flags(&p, 4, 0, 0);
    mkpage_xattr(&p, false, "uuid", "11111111-2222-3333-4444-555555555555", 37);
    mkpage_xattr(&p, false, "name", "elsewhere", 10);
    mkpage_table(&p, 0, NULL, 0);
    mkpage_end(&p, LVS_INVALID_PAGE);
    mkdisk_super(&d)->super_blob = ash_le64(BASE + 9);
    mkdisk_seal_super(&d);
    p = mkpage_begin(&d, 0, BASE, 0);
    mkpage_flags(&p, 5, 0, 0);
    mkpage_names(&p, "zero", 10);
    mkpage_table(&p, 4, (uint32_t[]){0, 1}, 1);
    mkpage_end(&p, LVS_INVALID_PAGE);
    on_disk(&d, false, first_page_case, NULL);
    mkdisk_fini(&d);
}

/* ------------------------------------------------------------ shared metadata */

static void thin_of(struct mkdisk *d, uint32_t root, const char *name, unsigned n, uint32_t page)
{
    struct mkpage p = mkpage_begin(d, root, BASE + root, 0);
    mkpage_flags(&p, 5, 0, 0);
    mkpage_names(&p, name, n);
    mkpage_table(&p, 4, (uint32_t[]){page, 1}, 1);
    mkpage_end(&p, LVS_INVALID_PAGE);
}

static int shared_case(struct pt *t, void *arg)
{
    struct pool_info info;
    struct volume_info vi;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pool_get_info(pool_find(t->pools, "lvs0"), &info);
    CHECK(info.degraded && strstr(info.damage, "metadata page 20"));
    volume_get_info(find(t, "lvs0/two"), &vi);
    CHECK(vi.state == VOLUME_OK && vi.fault == NULL);
    /* what one of them wrote there the other would own too */
    struct ash_err err = {0};
    CHECK(volume_resize(find(t, "lvs0/two"), MKDISK_CLUSTER_BYTES, &err) < 0);
    CHECK_INT(err.reason, ASH_E_POOL_DEGRADED);
    CHECK_INT(volume_rename(find(t, "lvs0/thick"), "fat", NULL), 0);
    return 0;
}

/* An extent page of two volumes, without any cluster in it. */
static void shared_page(void **state)
{
    struct mkdisk d;
    mkdisk_init(&d, false);
    mkpage_extents(&d, 20, BASE + 10, 0, NULL, 0, 4);
    thin_of(&d, 10, "one", 10, 20);
    thin_of(&d, 11, "two", 11, 20);
    on_disk(&d, false, shared_case, NULL);
    mkdisk_fini(&d);
}

static int wrong_kind_case(struct pt *t, void *arg)
{
    struct volume_info vi;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    volume_get_info(find(t, "lvs0/one"), &vi);
    CHECK(vi.state == VOLUME_FAULTED && vi.fault && vi.fault[0] && !vi.bdev);
    return 0;
}

/* All as in an extent page but for the kind of its one descriptor. */
static void wrong_kind_of_page(void **state)
{
    struct mkdisk d;
    struct le32 body[5] = {0};
    mkdisk_init(&d, false);
    struct mkpage p = mkpage_begin(&d, 20, BASE + 10, 0);
    mkpage_desc(&p, LVS_DESC_EXTENT_PAGE + 1, body, sizeof(body));
    mkpage_end(&p, LVS_INVALID_PAGE);
    thin_of(&d, 10, "one", 10, 20);
    on_disk(&d, true, wrong_kind_case, NULL);
    mkdisk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks),
        cmocka_unit_test(thresholds),
        cmocka_unit_test(attributes),
        cmocka_unit_test(closing),
        cmocka_unit_test(stay),
        cmocka_unit_test(unknown_flag),
        cmocka_unit_test(volume_in_the_first_page),
        cmocka_unit_test(shared_page),
        cmocka_unit_test(wrong_kind_of_page),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
