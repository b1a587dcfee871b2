/* SPDX-License-Identifier: Apache-2.0 */
/* Map entries whose commit fails half-way: what the volume shows then, and what it shows after the
 * next load (invariants of src/pool/lvs/commit.c). */
#include "pool_test.h"

#define C (64u << 10)

static struct volume *make(struct pt *t, const char *name, uint64_t n_clusters)
{
    struct volume *v = NULL;
    struct volume_create_opts opts = {.thin = true};
    CHECK_INT(volume_create(pool_find(t->pools, "tank"), name, n_clusters * C, &opts, &v, NULL), 0);
    return v;
}

/* ------------------------------------------------------------------ faults */

/* The first n_pass writes of metadata reach the disk; every change of it after that fails. */
struct faults {
    uint64_t md_end;
    unsigned n_pass, n_failed;
};

static int fail_md(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct faults *f = arg;
    if (op->kind == RT_OP_READ)
        return 0;
    if (op->kind == RT_OP_WRITE && op->offset >= f->md_end)
        return 0;
    if (op->kind == RT_OP_WRITE && f->n_pass > 0) {
        f->n_pass--;
        return 0;
    }
    f->n_failed++;
    return -EIO;
}

static void set_faults(struct pt *t, struct faults *f)
{
    struct rt_sim_hooks hooks = {.fail = fail_md, .arg = f};
    struct pool_info info;
    pool_get_info(pool_find(t->pools, "tank"), &info);
    f->md_end = info.size_bytes / C * C - info.n_clusters * C;
    rt_sim_set_hooks(t->rt, &hooks);
}

struct write {
    struct pt *t;
    const char *name;
    uint64_t offset;
    uint8_t byte;
    int rc;
    struct rt_event done;
};

static void write_task(void *arg)
{
    struct write *w = arg;
    w->rc = pt_fill(w->t, w->name, w->offset, C, w->byte);
    rt_event_set(&w->done, 0);
}

/* Side by side: their entries are committed together. */
static void write_both(struct write *a, struct write *b)
{
    CHECK_INT(rt_task_spawn("a", write_task, a), 0);
    CHECK_INT(rt_task_spawn("b", write_task, b), 0);
    rt_event_wait(&a->done);
    rt_event_wait(&b->done);
}

/* One page of a batch of two is on the disk, the other one and the undoing of the first are not. */
static void fail_half(struct pt *t)
{
    struct faults f = {.n_pass = 1};
    struct write a = {t, "tank/a", C, 0x41, 0, RT_EVENT_INIT},
                 b = {t, "tank/b", C, 0x42, 0, RT_EVENT_INIT};
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pt_make_pool(t, "/d", "tank", C);
    make(t, "a", 4);
    make(t, "b", 4);
    CHECK_INT(pt_fill(t, "tank/a", 0, C, 0x31), 0);
    CHECK_INT(pt_fill(t, "tank/b", 0, C, 0x32), 0);
    set_faults(t, &f);
    write_both(&a, &b);
    rt_sim_set_hooks(t->rt, &(struct rt_sim_hooks){0});
    CHECK_INT(f.n_pass, 0);
    CHECK(f.n_failed >= 2);
    CHECK(a.rc == -EIO && b.rc == -EIO);
    CHECK(pt_holds(t, "tank/a", C, C, 0));
    CHECK(pt_holds(t, "tank/b", C, C, 0));
}

/* ---------------------------------------------------------- an orderly close */

static int half_batch(struct pt *t, void *arg)
{
    fail_half(t);
    return 0;
}

static int as_seen_before(struct pt *t, void *arg)
{
    struct pool_info info;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pool_get_info(pool_find(t->pools, "tank"), &info);
    CHECK(info.was_dirty && !info.degraded);
    CHECK_INT(info.n_free_clusters, info.n_clusters - 2);
    CHECK(pt_holds(t, "tank/a", 0, C, 0x31));
    CHECK(pt_holds(t, "tank/a", C, 3 * C, 0));
    CHECK(pt_holds(t, "tank/b", 0, C, 0x32));
    CHECK(pt_holds(t, "tank/b", C, 3 * C, 0));
    return 0;
}

static void test_failed_write_stays_undone_over_a_close(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(16 << 20, 512);
    CHECK_INT(pt_run(disk, 31, false, false, half_batch, NULL), 0);
    assert_true(pt_disk_is_sound(disk, false));
    CHECK_INT(pt_run(disk, 32, false, false, as_seen_before, NULL), 0);
    assert_true(pt_disk_is_sound(disk, true));
    rt_sim_disk_put(disk);
}

/* ------------------------------------------------------ what is built upon it */

static int zeroes_upon_it(struct pt *t, void *arg)
{
    fail_half(t);
    CHECK_INT(pt_op(t, "tank/a", BDEV_WRITE_ZEROES, C, C), 0);
    CHECK_INT(pt_op(t, "tank/b", BDEV_WRITE_ZEROES, C, C), 0);
    return 0;
}

static int snapshots_upon_it(struct pt *t, void *arg)
{
    struct volume *s;
    fail_half(t);
    CHECK_INT(volume_snapshot(volume_find(t->pools, "tank/a"), "sa", NULL, &s, NULL), 0);
    CHECK_INT(volume_snapshot(volume_find(t->pools, "tank/b"), "sb", NULL, &s, NULL), 0);
    CHECK(pt_holds(t, "tank/sa", C, C, 0));
    CHECK(pt_holds(t, "tank/sb", C, C, 0));
    return 0;
}

static int zeroes_are_there(struct pt *t, void *arg)
{
    static const char *const names[] = {"tank/a", "tank/b", "tank/sa", "tank/sb"};
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    for (size_t i = 0; i < ASH_N_ELEMS(names); i++)
        if (volume_find(t->pools, names[i]))
            CHECK(pt_holds(t, names[i], C, 3 * C, 0));
    CHECK(pt_holds(t, "tank/a", 0, C, 0x31));
    CHECK(pt_holds(t, "tank/b", 0, C, 0x32));
    return 0;
}

/* Killed right after something was acknowledged that the failed write must not undo. */
static void test_nothing_is_built_upon_a_failed_write(void **state)
{
    static int (*const cases[])(struct pt *, void *) = {zeroes_upon_it, snapshots_upon_it};
    for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
        struct rt_sim_disk *disk = rt_sim_disk_new(16 << 20, 512);
        CHECK_INT(pt_run(disk, 33, false, true, cases[i], NULL), 0);
        CHECK_INT(pt_run(disk, 34, false, false, zeroes_are_there, NULL), 0);
        assert_true(pt_disk_is_sound(disk, true));
        rt_sim_disk_put(disk);
    }
}

/* ------------------------------------------------- what cannot be erased */

/* The nth change of metadata fails, once. */
struct once {
    uint64_t md_end;
    unsigned n_left;
    bool fired;
};

static int fail_once(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct once *o = arg;
    if (op->kind == RT_OP_READ || (op->kind == RT_OP_WRITE && op->offset >= o->md_end) ||
        o->n_left-- != 0)
        return 0;
    o->fired = true;
    return -EIO;
}

static struct once *once_of(struct pt *t, unsigned n)
{
    static struct once once;
    struct pool_info info;
    struct rt_sim_hooks hooks = {.fail = fail_once, .arg = &once};
    pool_get_info(pool_find(t->pools, "tank"), &info);
    once = (struct once){.md_end = info.size_bytes / C * C - info.n_clusters * C, .n_left = n};
    rt_sim_set_hooks(t->rt, &hooks);
    return &once;
}

/* A thick volume, whose snapshots are thick too: a hole in one would be damage. */
static struct volume *thick(struct pt *t)
{
    struct volume *v;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pt_make_pool(t, "/d", "tank", C);
    CHECK_INT(volume_create(pool_find(t->pools, "tank"), "v", 4 * C, NULL, &v, NULL), 0);
    CHECK_INT(pt_fill(t, "tank/v", 0, 4 * C, 0x31), 0);
    return v;
}

/* arg: which change; on return 0 when there is none of that number. */
static int take_snapshot(struct pt *t, void *arg)
{
    struct volume *v = thick(t), *s;
    struct once *o = once_of(t, *(unsigned *)arg);
    (void)volume_snapshot(v, "s", NULL, &s, NULL);
    return o->fired;
}

static int delete_snapshot(struct pt *t, void *arg)
{
    struct volume *v = thick(t), *s;
    CHECK_INT(volume_snapshot(v, "s", NULL, &s, NULL), 0);
    struct once *o = once_of(t, *(unsigned *)arg);
    (void)volume_delete(s, NULL);
    return o->fired;
}

static int no_damage(struct pt *t, void *arg)
{
    struct pool_info info;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pool_get_info(pool_find(t->pools, "tank"), &info);
    CHECK(!info.degraded && info.n_faulted == 0);
    CHECK_INT(info.n_free_clusters, info.n_clusters - 4);
    CHECK(pt_holds(t, "tank/v", 0, 4 * C, 0x31));
    if (volume_find(t->pools, "tank/s"))
        CHECK(pt_holds(t, "tank/s", 0, 4 * C, 0x31));
    CHECK_INT(pt_fill(t, "tank/v", 0, 4 * C, 0x32), 0);
    return 0;
}

/* One write or flush fails; then the engine is killed, or closes. */
static void test_half_done_snapshots(void **state)
{
    static int (*const cases[])(struct pt *, void *) = {take_snapshot, delete_snapshot};
    for (size_t k = 0; k < 2 * ASH_N_ELEMS(cases); k++) {
        unsigned n = 0;
        for (int fired = 1; fired; n++) {
            struct rt_sim_disk *disk = rt_sim_disk_new(16 << 20, 512);
            fired = pt_run(disk, 39, false, k & 1, cases[k / 2], &n);
            CHECK_INT(pt_run(disk, 40, false, false, no_damage, NULL), 0);
            assert_true(pt_disk_is_sound(disk, true));
            rt_sim_disk_put(disk);
        }
        assert_true(n > 6);
    }
}

/* --------------------------------------------------------------- no memory */

struct nth {
    unsigned n_seen, fail_from, n_fail; /* the data path waits for memory: it must come */
};

static bool fails_from(void *arg)
{
    struct nth *nth = arg;
    unsigned i = nth->n_seen++;
    return i >= nth->fail_from && i < nth->fail_from + nth->n_fail;
}

/* Everything of its own that a write needs. */
struct ready {
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    uint8_t *buf;
    int rc;
    struct rt_event done;
};

static void get_ready(struct pt *t, const char *name, uint8_t byte, struct ready *r)
{
    CHECK_INT(bdev_open(t->mgr, name, BDEV_OPEN_WRITE, "test", NULL, NULL, &r->desc, NULL), 0);
    r->ch = bdev_channel_get(r->desc);
    r->buf = rt_buf_get(C);
    CHECK(r->ch && r->buf);
    memset(r->buf, byte, C);
}

static void write_ready(void *arg)
{
    struct ready *r = arg;
    r->rc = bdev_write(r->ch, r->buf, C, C, 0);
    rt_event_set(&r->done, 0);
}

static void let_go(struct ready *r)
{
    rt_buf_put(r->buf, C);
    bdev_channel_put(r->ch);
    bdev_close(r->desc);
}

/* Memory is out for a while, whatever is in the queue then: each write ends, and none that
 * failed is there. */
static int no_memory(struct pt *t, void *arg)
{
    struct nth nth = {.n_fail = *(unsigned *)arg};
    struct ready r[2] = {{0}};
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pt_make_pool(t, "/d", "tank", C);
    make(t, "a", 4);
    make(t, "b", 4);
    bdev_wait_for_examine(t->mgr);
    get_ready(t, "tank/a", 0x41, &r[0]);
    get_ready(t, "tank/b", 0x42, &r[1]);
    for (bool all = false; !all; nth.fail_from++) {
        CHECK(nth.fail_from < 200);
        for (unsigned i = 0; i < 2; i++) {
            r[i].done = RT_EVENT_INIT;
            CHECK_INT(rt_task_spawn("write", write_ready, &r[i]), 0);
        }
        nth.n_seen = 0;
        rt_set_alloc_hook(t->rt, fails_from, &nth);
        rt_event_wait(&r[0].done);
        rt_event_wait(&r[1].done);
        rt_set_alloc_hook(t->rt, NULL, NULL);
        all = nth.n_seen <= nth.fail_from;
        for (unsigned i = 0; i < 2; i++)
            CHECK(r[i].rc == 0 || (!all && r[i].rc == -ENOMEM));
        CHECK(pt_holds(t, "tank/a", C, C, r[0].rc ? 0 : 0x41));
        CHECK(pt_holds(t, "tank/b", C, C, r[1].rc ? 0 : 0x42));
        CHECK_INT(pt_op(t, "tank/a", BDEV_UNMAP, C, C), 0);
        CHECK_INT(pt_op(t, "tank/b", BDEV_UNMAP, C, C), 0);
    }
    CHECK(nth.fail_from > 4);
    let_go(&r[0]);
    let_go(&r[1]);
    return 0;
}

static void test_out_of_memory(void **state)
{
    for (unsigned n_fail = 1; n_fail <= 8; n_fail *= 2) {
        struct rt_sim_disk *disk = rt_sim_disk_new(16 << 20, 512);
        CHECK_INT(pt_run(disk, 38, false, false, no_memory, &n_fail), 0);
        assert_true(pt_disk_is_sound(disk, true));
        rt_sim_disk_put(disk);
    }
}

/* ------------------------------------------------------------- long chains */

enum { N_ATTRS = 12, ATTR_BYTES = 3000 };

static void attr(char name[16], uint8_t value[ATTR_BYTES], unsigned i, unsigned round)
{
    snprintf(name, 16, "attr%u", i);
    memset(value, (int)(i * 16 + round), ATTR_BYTES);
}

static bool has_attrs(struct pt *t, unsigned n, unsigned round)
{
    struct volume *v = volume_find(t->pools, "tank/v");
    struct volume_info info;
    uint8_t want[ATTR_BYTES];
    char name[16];
    const void *value;
    size_t n_value;
    volume_get_info(v, &info);
    bool ok = info.state == VOLUME_OK;
    for (unsigned i = 0; i < N_ATTRS && ok; i++) {
        attr(name, want, i, round);
        int rc = volume_xattr_get(v, name, &value, &n_value);
        ok = i < n ? rc == 0 && n_value == ATTR_BYTES && memcmp(value, want, n_value) == 0
                   : rc == -ENOENT;
    }
    return ok;
}

static int long_first(struct pt *t, void *arg)
{
    uint8_t value[ATTR_BYTES];
    char name[16];
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pt_make_pool(t, "/d", "tank", C);
    struct volume *v = make(t, "v", 4);
    for (unsigned i = 0; i < N_ATTRS; i++) {
        attr(name, value, i, 1);
        CHECK_INT(volume_xattr_set(v, name, value, ATTR_BYTES, false, NULL), 0);
    }
    CHECK(has_attrs(t, N_ATTRS, 1));
    return 0;
}

static int long_second(struct pt *t, void *arg)
{
    uint8_t value[ATTR_BYTES];
    char name[16];
    struct pool_info info;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    CHECK(has_attrs(t, N_ATTRS, 1));
    struct volume *v = volume_find(t->pools, "tank/v");
    for (unsigned i = N_ATTRS; i-- > 2;) {
        attr(name, value, i, 1);
        CHECK_INT(volume_xattr_remove(v, name, false, NULL), 0);
    }
    CHECK(has_attrs(t, 2, 1));
    pool_get_info(pool_find(t->pools, "tank"), &info);
    CHECK_INT(info.n_free_md_pages, info.n_md_pages - 3); /* of the store, two of the volume */
    return 0;
}

static int long_third(struct pt *t, void *arg)
{
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    CHECK(has_attrs(t, 2, 1));
    return 0;
}

/* A volume of a dozen metadata pages, read again, cut to two, read again. */
static void test_long_chains(void **state)
{
    for (int cut = 0; cut < 2; cut++) {
        struct rt_sim_disk *disk = rt_sim_disk_new(16 << 20, 512);
        CHECK_INT(pt_run(disk, 35, false, cut, long_first, NULL), 0);
        assert_true(pt_disk_is_sound(disk, !cut));
        CHECK_INT(pt_run(disk, 36, false, cut, long_second, NULL), 0);
        assert_true(pt_disk_is_sound(disk, !cut));
        CHECK_INT(pt_run(disk, 37, false, false, long_third, NULL), 0);
        assert_true(pt_disk_is_sound(disk, true));
        rt_sim_disk_put(disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_write_stays_undone_over_a_close),
        cmocka_unit_test(test_nothing_is_built_upon_a_failed_write),
        cmocka_unit_test(test_half_done_snapshots),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_long_chains),
    };
    return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
