/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes whose parents are devices, over several pools: devices go and come back while pools read
 * each other, in whatever order; rings of parents are refused. */
#include "pool_test.h"

#define C      (64u << 10)
#define BYTES  (16 * C)
#define UUID_X "e5a9e5a9-0000-4000-8000-00000000c0de"
#define UUID_Y "e5a9e5a9-0000-4000-8000-00000000c0df"

static int add(struct pt *t, const char *uri)
{
    struct ash_err err = {0};
    int rc = pt_add_disk(t, uri, &err);
    if (rc)
        fprintf(stderr, "# %s: %s\n", uri, err.text);
    return rc;
}

/* New devices, all zeroes: who waits for them takes them at once, so nobody can write to them. */
static void add_x(struct pt *t)
{
    CHECK_INT(add(t, "malloc:///x?size_mb=1&uuid=" UUID_X), 0);
}

static void add_y(struct pt *t)
{
    CHECK_INT(add(t, "malloc:///y?size_mb=1&uuid=" UUID_Y), 0);
}

static void take(struct pt *t, const char *name)
{
    struct bdev *bdev = bdev_find(t->mgr, name);
    CHECK(bdev);
    CHECK_INT(bdev_unregister(bdev), 0);
}

static void clone_of(struct pt *t, const char *pool, const char *bdev, const char *name)
{
    struct volume *v;
    struct ash_err err = {0};
    int rc = volume_clone_bdev(pool_find(t->pools, pool), bdev, name, NULL, &v, &err);
    if (rc)
        fprintf(stderr, "# %s\n", err.text);
    CHECK_INT(rc, 0);
}

static void make(struct pt *t, const char *pool, const char *name)
{
    struct volume *v;
    struct volume_create_opts opts = {.thin = true};
    CHECK_INT(volume_create(pool_find(t->pools, pool), name, BYTES, &opts, &v, NULL), 0);
}

static enum volume_state state_of(struct pt *t, const char *name)
{
    struct volume_info info;
    struct volume *v = volume_find(t->pools, name);
    CHECK(v);
    volume_get_info(v, &info);
    CHECK((info.state == VOLUME_OK) == (info.bdev != NULL));
    return info.state;
}

static bool all_are(struct pt *t, enum volume_state state, const char *const *names)
{
    for (; *names; names++)
        if (state_of(t, *names) != state)
            return false;
    return true;
}

static void two_pools(struct pt *t)
{
    CHECK_INT(add(t, "malloc:///da?size_mb=16"), 0);
    CHECK_INT(add(t, "malloc:///db?size_mb=16"), 0);
    pt_make_pool(t, "da", "a", C);
    pt_make_pool(t, "db", "b", C);
    add_x(t);
    add_y(t);
    CHECK_INT(pt_fill(t, "x", 0, BYTES, 0x11), 0);
    CHECK_INT(pt_fill(t, "y", 0, BYTES, 0x22), 0);
}

static void run(int (*fn)(struct pt *t, void *arg), uint64_t seed)
{
    CHECK_INT(pt_run(NULL, seed, false, false, fn, NULL), 0);
}

/* A long line through both pools and back again: x <- a/a1 <- b/b1 <- a/a2 <- b/b2. */
static int line_case(struct pt *t, void *arg)
{
    static const char *const names[] = {"a/a1", "b/b1", "a/a2", "b/b2", NULL};
    two_pools(t);
    clone_of(t, "a", "x", "a1");
    clone_of(t, "b", "a/a1", "b1");
    clone_of(t, "a", "b/b1", "a2");
    clone_of(t, "b", "a/a2", "b2");
    CHECK_INT(pt_fill(t, "b/b2", C, C, 0x33), 0);
    for (int round = 0; round < 3; round++) {
        CHECK(pt_holds(t, "b/b2", 0, C, round ? 0 : 0x11));
        CHECK(pt_holds(t, "b/b2", C, C, 0x33));
        take(t, "x");
        CHECK(all_are(t, VOLUME_DEGRADED, names));
        add_x(t);
        bdev_wait_for_examine(t->mgr);
        CHECK(all_are(t, VOLUME_OK, names));
    }
    return 0;
}

static void line(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run(line_case, seed);
}

/* Both pools lose a parent at once, and each holds what the other has to give up. */
struct other {
    struct pt *t;
    const char *name;
    struct rt_event done;
};

static void take_task(void *arg)
{
    struct other *o = arg;
    take(o->t, o->name);
    rt_event_set(&o->done, 0);
}

static void take_both(struct pt *t, const char *name, const char *other)
{
    struct other o = {t, other, RT_EVENT_INIT};
    CHECK_INT(rt_task_spawn("other", take_task, &o), 0);
    take(t, name);
    rt_event_wait(&o.done);
}

static int across_case(struct pt *t, void *arg)
{
    static const char *const names[] = {"a/a1", "a/a2", "b/b1", "b/b2", NULL};
    two_pools(t);
    clone_of(t, "a", "x", "a1");
    clone_of(t, "b", "y", "b1");
    clone_of(t, "a", "b/b1", "a2");
    clone_of(t, "b", "a/a1", "b2");
    CHECK(pt_holds(t, "a/a2", 0, BYTES, 0x22));
    CHECK_INT(pt_fill(t, "a/a2", C, C, 0x33), 0);
    CHECK(pt_holds(t, "b/b2", 0, BYTES, 0x11));
    take_both(t, "x", "y");
    CHECK(all_are(t, VOLUME_DEGRADED, names));
    add_y(t);
    add_x(t);
    bdev_wait_for_examine(t->mgr);
    CHECK(all_are(t, VOLUME_OK, names));
    CHECK(pt_holds(t, "a/a2", C, C, 0x33));
    CHECK(pt_holds(t, "b/b2", 0, BYTES, 0));
    return 0;
}

static void across(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run(across_case, seed);
}

/* The disk of one pool goes, then (or at once) that of the other. */
static int disks_case(struct pt *t, void *arg)
{
    two_pools(t);
    clone_of(t, "a", "x", "a1");
    clone_of(t, "b", "y", "b1");
    clone_of(t, "a", "b/b1", "a2");
    clone_of(t, "b", "a/a1", "b2");
    clone_of(t, "b", "a/a2", "b3");
    if (arg) {
        take_both(t, "da", "db");
        return 0;
    }
    take(t, "da");
    CHECK(!pool_find(t->pools, "a"));
    CHECK_INT(state_of(t, "b/b1"), VOLUME_OK);
    CHECK_INT(state_of(t, "b/b2"), VOLUME_DEGRADED);
    CHECK_INT(state_of(t, "b/b3"), VOLUME_DEGRADED);
    take(t, "db");
    CHECK(!pool_find(t->pools, "b"));
    return 0;
}

static void disks(void **state)
{
    static char both;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        CHECK_INT(pt_run(NULL, seed, false, false, disks_case, NULL), 0);
        CHECK_INT(pt_run(NULL, seed, false, false, disks_case, &both), 0);
    }
}

/* A volume gets another parent while its old one goes. */
struct change {
    struct pt *t;
    const char *parent; /* NULL: none */
    int rc;
    struct rt_event done;
};

static void change_task(void *arg)
{
    struct change *c = arg;
    struct volume *v = volume_find(c->t->pools, "a/v");
    c->rc = c->parent ? volume_set_parent_bdev(v, c->parent, NULL) : volume_detach(v, NULL);
    rt_event_set(&c->done, 0);
}

static int change_case(struct pt *t, void *arg)
{
    struct change c = {.t = t, .parent = arg, .done = RT_EVENT_INIT};
    two_pools(t);
    clone_of(t, "a", "x", "v");
    CHECK_INT(rt_task_spawn("change", change_task, &c), 0);
    for (uint64_t i = rt_random_u64() % 40; i > 0; i--)
        rt_yield();
    take(t, "x");
    rt_event_wait(&c.done);
    CHECK_INT(c.rc, 0);
    CHECK_INT(state_of(t, "a/v"), VOLUME_OK);
    CHECK(pt_holds(t, "a/v", 0, BYTES, arg ? 0x22 : 0));
    return 0;
}

static void change(void **state)
{
    static char y[] = "y";
    for (uint64_t seed = 1; seed <= 40; seed++)
        CHECK_INT(pt_run(NULL, seed, false, false, change_case, seed % 2 ? y : NULL), 0);
}

/* ------------------------------------------------------------------- rings */

static enum ash_reason set_parent(struct pt *t, const char *name, const char *bdev)
{
    struct ash_err err = {0};
    int rc = volume_set_parent_bdev(volume_find(t->pools, name), bdev, &err);
    CHECK((rc == 0) == (err.reason == ASH_OK));
    return err.reason;
}

static int ring_case(struct pt *t, void *arg)
{
    struct volume *v, *below;
    two_pools(t);
    make(t, "a", "v");
    make(t, "a", "other");
    CHECK_INT(volume_snapshot(volume_find(t->pools, "a/v"), "s", NULL, &v, NULL), 0);
    CHECK_INT(volume_clone(v, "c", NULL, &below, NULL), 0);
    make(t, "b", "plain");
    clone_of(t, "b", "a/v", "of_v");
    clone_of(t, "b", "a/c", "of_c");
    make(t, "a", "w");
    CHECK_INT(call(t->mgr, "bdev_passthru_create", "{\"name\":\"p\",\"base_bdev_name\":\"a/w\"}",
                   NULL, NULL),
              0);
    clone_of(t, "b", "p", "of_p");
    static const struct {
        const char *name, *parent;
        enum ash_reason reason;
    } rows[] = {
        {"a/v", "b/of_v", ASH_E_VOLUME_BAD_PARENT},
        {"a/v", "a/v", ASH_E_VOLUME_BAD_PARENT},
        {"a/v", "a/other", ASH_E_VOLUME_BAD_PARENT},
        {"a/s", "b/of_v", ASH_E_VOLUME_BAD_PARENT}, /* the whole tree reads through the snapshot */
        {"a/s", "b/of_c", ASH_E_VOLUME_BAD_PARENT},
        {"a/c", "b/of_c", ASH_E_VOLUME_BAD_PARENT},
        {"a/w", "b/of_p", ASH_E_VOLUME_BAD_PARENT}, /* with another layer between */
        {"b/of_v", "a/v", ASH_E_VOLUME_PARENT_SAME},
        {"b/of_v", "a/c", ASH_OK}, /* no ring */
        {"a/v", "b/of_v", ASH_OK}, /* nor this one, now */
        {"a/c", "b/of_v", ASH_E_VOLUME_BAD_PARENT},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++)
        if (set_parent(t, rows[i].name, rows[i].parent) != rows[i].reason)
            CHECK_INT(i, -1);
    CHECK(pt_holds(t, "a/v", 0, BYTES, 0));
    return 0;
}

static void rings(void **state)
{
    run(ring_case, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line),   cmocka_unit_test(across), cmocka_unit_test(disks),
        cmocka_unit_test(change), cmocka_unit_test(rings),
    };
    return cmocka_run_group_tests_name("esnap", tests, NULL, NULL);
}
