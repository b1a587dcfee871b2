/* SPDX-License-Identifier: Apache-2.0 */
/* The core of the device layer. */
#include "bdev_test.h"

/* --------------------------------------------------------------- registry */

static void names_case(struct bdev_mgr *mgr)
{
    struct tdev *a = tdev_new("a", 16, 512), *b = tdev_new("b", 16, 512);
    struct ash_err err = {0};
    tdev_register(mgr, a);
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_uuid_format(&a->bdev.uuid, uuid);
    CHECK(!ash_uuid_is_nil(&a->bdev.uuid));
    CHECK_INT(bdev_n_aliases(&a->bdev), 1);
    CHECK_STR(bdev_alias(&a->bdev, 0), uuid);
    CHECK(bdev_find(mgr, uuid) == &a->bdev);
    /* names, aliases and UUIDs are one name space */
    CHECK_INT(bdev_alias_add(&a->bdev, "second"), 0);
    CHECK_INT(bdev_alias_add(&a->bdev, "a"), -EEXIST);
    CHECK_INT(bdev_alias_del(&a->bdev, "a"), -ENOENT);
    CHECK_INT(bdev_alias_del(&a->bdev, "nothing"), -ENOENT);
    b->bdev.name = "second";
    CHECK_INT(bdev_register(mgr, &b->bdev, &err), -EEXIST);
    CHECK_INT(err.reason, ASH_E_BDEV_EXISTS);
    CHECK(!b->bdev.core);
    b->bdev.name = "b";
    b->bdev.uuid = a->bdev.uuid;
    CHECK_INT(bdev_register(mgr, &b->bdev, NULL), -EEXIST);
    CHECK(!bdev_find(mgr, "b"));
    b->bdev.uuid = (struct ash_uuid){{0}};
    b->bdev.block_bytes = 0;
    ash_err_clear(&err);
    CHECK_INT(bdev_register(mgr, &b->bdev, &err), -EINVAL);
    CHECK_INT(err.reason, ASH_E_BDEV_BAD_GEOMETRY);
    b->bdev.block_bytes = 512;
    b->bdev.size_bytes = 1000;
    CHECK_INT(bdev_register(mgr, &b->bdev, NULL), -EINVAL);
    b->bdev.size_bytes = 16 * 512;
    tdev_register(mgr, b);
    CHECK(bdev_next(mgr, NULL) == &a->bdev && bdev_next(mgr, &a->bdev) == &b->bdev &&
          !bdev_next(mgr, &b->bdev));
    /* a name that is the UUID makes no alias; any case of the text finds it */
    struct tdev *c = tdev_new("01234567-89ab-4def-8123-456789abcdef", 16, 512);
    CHECK_INT(ash_uuid_parse(c->bdev.name, &c->bdev.uuid), 0);
    tdev_register(mgr, c);
    CHECK_INT(bdev_n_aliases(&c->bdev), 0);
    CHECK(bdev_find(mgr, "01234567-89AB-4DEF-8123-456789ABCDEF") == &c->bdev);
    CHECK_INT(bdev_unregister(&b->bdev), 0);
    CHECK(!bdev_find(mgr, "b"));
}

static void names(void **state)
{
    run_sim(1, names_case);
}

/* ------------------------------------------------------------ open, claim */

static int try_open(struct bdev_mgr *mgr, const char *name, unsigned mode, struct bdev_desc **ret)
{
    struct ash_err err = {0};
    return bdev_open(mgr, name, mode, "test", NULL, NULL, ret, &err);
}

static void claims_case(struct bdev_mgr *mgr)
{
    static const struct {
        unsigned mode_a, mode_b; /* of the two descriptors */
        enum bdev_claim first, second;
        uint64_t key_a, key_b;
        int rc_a, rc_b;
    } table[] = {
        {0, 0, BDEV_CLAIM_EXCL_WRITE, BDEV_CLAIM_EXCL_WRITE, 0, 0, 0, -EPERM},
        {0, 0, BDEV_CLAIM_EXCL_WRITE, BDEV_CLAIM_READ_WRITE_NONE, 0, 0, 0, -EPERM},
        {0, 1, BDEV_CLAIM_EXCL_WRITE, BDEV_CLAIM_READ_WRITE_ONE, 0, 0, 0, -EPERM},
        {0, 1, BDEV_CLAIM_READ_WRITE_ONE, BDEV_CLAIM_NONE, 0, 0, -EPERM, -EINVAL},
        {1, 0, BDEV_CLAIM_READ_WRITE_ONE, BDEV_CLAIM_READ_WRITE_ONE, 0, 0, 0, -EPERM},
        {0, 0, BDEV_CLAIM_READ_WRITE_ONE, BDEV_CLAIM_READ_WRITE_NONE, 0, 0, 0, -EPERM},
        {0, 0, BDEV_CLAIM_READ_WRITE_NONE, BDEV_CLAIM_READ_WRITE_NONE, 0, 0, 0, 0},
        {0, 1, BDEV_CLAIM_READ_WRITE_NONE, BDEV_CLAIM_NONE, 0, 0, -EPERM, -EINVAL},
        {1, 0, BDEV_CLAIM_READ_WRITE_NONE, BDEV_CLAIM_NONE, 0, 0, -EINVAL, -EINVAL},
        {0, 0, BDEV_CLAIM_READ_WRITE_NONE, BDEV_CLAIM_EXCL_WRITE, 0, 0, 0, -EPERM},
        {0, 0, BDEV_CLAIM_READ_WRITE_SHARED, BDEV_CLAIM_READ_WRITE_SHARED, 7, 7, 0, 0},
        {0, 0, BDEV_CLAIM_READ_WRITE_SHARED, BDEV_CLAIM_READ_WRITE_SHARED, 7, 8, 0, -EPERM},
        {0, 0, BDEV_CLAIM_READ_WRITE_SHARED, BDEV_CLAIM_READ_WRITE_SHARED, 0, 7, -EINVAL, 0},
        {0, 1, BDEV_CLAIM_READ_WRITE_SHARED, BDEV_CLAIM_NONE, 7, 0, -EPERM, -EINVAL},
        {0, 0, BDEV_CLAIM_EXCL_WRITE, BDEV_CLAIM_NONE, 3, 0, -EINVAL, -EINVAL},
        {0, 0, BDEV_CLAIM_READ_WRITE_ONE, BDEV_CLAIM_NONE, 3, 0, -EINVAL, -EINVAL},
    };
    make_malloc(mgr, "m", 16, 512);
    struct bdev *bdev = bdev_find(mgr, "m");
    for (size_t i = 0; i < ASH_N_ELEMS(table); i++) {
        struct bdev_desc *a, *b, *c;
        const char *by = NULL;
        CHECK_INT(try_open(mgr, "m", table[i].mode_a, &a), 0);
        CHECK_INT(try_open(mgr, "m", table[i].mode_b, &b), 0);
        CHECK_INT(bdev_claim(a, table[i].first, table[i].key_a, "one", NULL), table[i].rc_a);
        CHECK_INT(bdev_claim(b, table[i].second, table[i].key_b, "two", NULL), table[i].rc_b);
        if (table[i].rc_a == 0) {
            CHECK_INT(bdev_claimed(bdev, &by), table[i].first);
            CHECK_STR(by, "one");
            CHECK_INT(bdev_claim(a, table[i].first, table[i].key_a, "one", NULL), -EPERM);
            CHECK_INT(try_open(mgr, "m", BDEV_OPEN_WRITE, &c), -EPERM);
            CHECK_INT(try_open(mgr, "m", BDEV_OPEN_READ, &c), 0);
            bdev_close(c);
            /* the descriptor that claims may write, but for "none" */
            struct bdev_channel *ch = bdev_channel_get(a);
            char block[512] = {0};
            CHECK_INT(bdev_write(ch, block, 0, 512, 0),
                      table[i].first == BDEV_CLAIM_READ_WRITE_NONE ? -EBADF : 0);
            bdev_channel_put(ch);
        }
        bdev_close(a);
        bdev_close(b);
        CHECK_INT(bdev_claimed(bdev, NULL), BDEV_CLAIM_NONE);
    }
    struct bdev_desc *d;
    CHECK_INT(try_open(mgr, "absent", 0, &d), -ENODEV);
}

static void claims(void **state)
{
    run_sim(1, claims_case);
}

static void access_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 16, 512);
    t->bdev.read_only = true;
    tdev_register(mgr, t);
    struct bdev_desc *d;
    CHECK_INT(try_open(mgr, "t", BDEV_OPEN_WRITE, &d), -EROFS);
    CHECK_INT(try_open(mgr, "t", BDEV_OPEN_READ, &d), 0);
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[1024] = {0};
    CHECK_INT(bdev_read(ch, buf, 0, 512), 0);
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), -EBADF);
    CHECK_INT(bdev_write_zeroes(ch, 0, 512, 0), -EBADF);
    CHECK_INT(bdev_unmap(ch, 0, 512), -EBADF);
    bdev_channel_put(ch);
    bdev_close(d);
    make_malloc(mgr, "m", 16, 512);
    d = open_rw(mgr, "m");
    ch = bdev_channel_get(d);
    CHECK_INT(bdev_write(ch, buf, 16 * 512, 512, 0), -EINVAL);
    CHECK_INT(bdev_write(ch, buf, 15 * 512, 1024, 0), -EINVAL);
    CHECK_INT(bdev_write(ch, buf, UINT64_MAX - 511, 512, 0), -EINVAL);
    CHECK_INT(bdev_write(ch, buf, 1, 512, 0), -EINVAL);
    CHECK_INT(bdev_write(ch, buf, 0, 100, 0), -EINVAL);
    CHECK_INT(bdev_unmap(ch, 0, 0), 0);
    CHECK_INT(bdev_unmap(ch, 16 * 512, 0), 0);
    CHECK_INT(bdev_unmap(ch, 17 * 512, 0), -EINVAL);
    CHECK_INT(do_io(ch, BDEV_ABORT, 0, 0, 0, NULL, NULL, NULL), -EIO);
    CHECK_INT(do_io(ch, 99, 0, 0, 0, NULL, NULL, NULL), -EINVAL);
    CHECK_INT(bdev_flush(ch), 0);
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_STR(bdev_io_type_name(BDEV_WRITE_ZEROES), "write_zeroes");
}

static void access_rights(void **state)
{
    run_sim(1, access_case);
}

/* ---------------------------------------------------------- events, removal */

struct holder {
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    unsigned n_remove, n_resize;
    struct rt_event removed;
};

static void on_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct holder *h = bdev_desc_user(desc);
    CHECK(!rt_task_self());
    if (ev == BDEV_EVENT_RESIZE)
        h->n_resize++;
    else if (h->n_remove++ == 0)
        rt_event_set(&h->removed, 0);
}

static void hold_open(struct bdev_mgr *mgr, const char *name, struct holder *h)
{
    *h = (struct holder){.removed = RT_EVENT_INIT};
    CHECK_INT(bdev_open(mgr, name, BDEV_OPEN_WRITE, "holder", on_event, h, &h->desc, NULL), 0);
    h->ch = bdev_channel_get(h->desc);
    CHECK(h->ch);
}

struct notes {
    struct bdev_watch watch;
    char text[400];
};

static void note(struct bdev_watch *watch, const char *type, const char *name)
{
    struct notes *n = ash_container_of(watch, struct notes, watch);
    size_t used = strlen(n->text);
    snprintf(n->text + used, sizeof(n->text) - used, "%s %s;", type, name);
}

struct removal {
    struct bdev *bdev;
    struct rt_event done;
};

static void remove_task(void *arg)
{
    struct removal *r = arg;
    rt_event_set(&r->done, bdev_unregister(r->bdev));
}

static void removal_case(struct bdev_mgr *mgr)
{
    struct notes notes = {.watch.fn = note};
    bdev_watch_add(mgr, &notes.watch);
    bool destroyed = false;
    struct tdev *t = tdev_new("t", 64, 512);
    t->destroyed = &destroyed;
    t->hold = true;
    tdev_register(mgr, t);
    CHECK_STR(notes.text, "");
    bdev_wait_for_examine(mgr);
    CHECK_STR(notes.text, "bdev_register t;");
    struct holder h, h2;
    hold_open(mgr, "t", &h);
    hold_open(mgr, "t", &h2);
    CHECK(h.ch == h2.ch); /* one channel for both */
    /* resize: equal is nothing, smaller is refused while open, larger is told */
    CHECK_INT(bdev_resized(&t->bdev, 64 * 512), 0);
    CHECK_INT(bdev_resized(&t->bdev, 63 * 512), -EBUSY);
    CHECK_INT(bdev_resized(&t->bdev, 100), -EINVAL);
    CHECK_INT(bdev_resized(&t->bdev, 128 * 512), 0);
    CHECK_INT(h.n_resize, 0);
    rt_yield();
    rt_yield();
    CHECK_INT(h.n_resize, 1);
    CHECK_STR(notes.text, "bdev_register t;bdev_resize t;");

    struct rt_event io_ev = RT_EVENT_INIT;
    struct bdev_io *io = bdev_io_get(h.ch);
    char buf[512] = {0};
    io->type = BDEV_WRITE;
    io->length = 512;
    io->one_iov = (struct iovec){buf, 512};
    io->iov = &io->one_iov;
    io->n_iov = 1;
    io->done = io_wake;
    io->user = &io_ev;
    bdev_submit(io);

    struct removal r = {&t->bdev, RT_EVENT_INIT};
    CHECK_INT(rt_task_spawn("remove", remove_task, &r), 0);
    CHECK_INT(rt_event_wait(&h.removed), 0);
    CHECK_INT(rt_event_wait(&h2.removed), 0);
    CHECK_INT(bdev_unregister(&t->bdev), -EBUSY);
    CHECK(!bdev_find(mgr, "t"));
    CHECK(bdev_next(mgr, NULL) == &t->bdev);
    struct bdev_desc *d;
    CHECK_INT(try_open(mgr, "t", 0, &d), -ENODEV);
    struct tdev *other = tdev_new("t", 64, 512);
    CHECK_INT(bdev_register(mgr, &other->bdev, NULL), -EEXIST); /* the name is taken still */
    CHECK(!r.done.is_set && !io_ev.is_set && !destroyed);
    /* what is at the module ends as it likes, then the holders let go */
    t->hold = false;
    tdev_release(t);
    CHECK_INT(rt_event_wait(&io_ev), 0);
    bdev_io_put(io);
    CHECK_INT(bdev_write(h2.ch, buf, 0, 512, 0), 0); /* last words of a holder */
    bdev_channel_put(h.ch);
    bdev_close(h.desc);
    rt_sleep_ns(1000000);
    CHECK(!r.done.is_set);
    bdev_channel_put(h2.ch);
    bdev_close(h2.desc);
    CHECK_INT(rt_event_wait(&r.done), 0);
    CHECK(destroyed);
    CHECK_INT(h.n_remove, 1);
    CHECK_STR(notes.text, "bdev_register t;bdev_resize t;bdev_unregister t;");
    tdev_register(mgr, other);
    bdev_watch_del(&notes.watch);
}

static void removal(void **state)
{
    run_sim(1, removal_case);
    run_sim(3, removal_case);
}

/* ------------------------------------------------------------------ basics */

static void rw_case(struct bdev_mgr *mgr)
{
    make_malloc(mgr, "m", 2048, 512);
    CHECK_INT(
        call(mgr, "bdev_passthru_create", "{\"name\":\"p\",\"base_bdev_name\":\"m\"}", NULL, NULL),
        0);
    CHECK_INT(
        call(mgr, "bdev_passthru_create", "{\"name\":\"q\",\"base_bdev_name\":\"p\"}", NULL, NULL),
        0);
    struct bdev_desc *d = open_rw(mgr, "q");
    struct bdev_channel *ch = bdev_channel_get(d);
    char *a = rt_buf_get(65536), *b = rt_buf_get(65536);
    fill(a, 65536, 1);
    CHECK_INT(bdev_write(ch, a, 4096, 65536, BDEV_FUA), 0);
    CHECK_INT(bdev_read(ch, b, 4096, 65536), 0);
    CHECK(memcmp(a, b, 65536) == 0);
    CHECK_INT(bdev_unmap(ch, 4096, 512), 0);
    CHECK_INT(bdev_write_zeroes(ch, 8192, 512, 0), 0);
    CHECK_INT(bdev_flush(ch), 0);
    memset(a, 0, 512);
    memset(a + 4096, 0, 512);
    CHECK_INT(bdev_read(ch, b, 4096, 65536), 0);
    CHECK(memcmp(a, b, 65536) == 0);
    CHECK_INT(do_io(ch, BDEV_COMPARE, 0, 4096, 65536, a, NULL, NULL), 0);
    a[60000] ^= 1;
    CHECK_INT(do_io(ch, BDEV_COMPARE, 0, 4096, 65536, a, NULL, NULL), -EILSEQ);
    /* each layer counts */
    static const char *const layers[] = {"m", "p", "q"};
    for (int i = 0; i < 3; i++) {
        struct bdev_stats st;
        bdev_get_stats(bdev_find(mgr, layers[i]), BDEV_RESET_NONE, &st);
        CHECK_INT(st.c[BDEV_STAT_READ].n_ops, 2);
        CHECK_INT(st.c[BDEV_STAT_READ].n_bytes, 131072);
        CHECK_INT(st.c[BDEV_STAT_WRITE].n_ops, 1);
        CHECK_INT(st.c[BDEV_STAT_UNMAP].n_bytes, 512);
        CHECK_INT(st.n_miscompare, 1);
        CHECK_INT(st.n_failed, 0);
    }
    rt_buf_put(a, 65536);
    rt_buf_put(b, 65536);
    bdev_channel_put(ch);
    bdev_close(d);
    /* removing the base takes what stands on it along */
    CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"m\"}", NULL, NULL), 0);
    CHECK(!bdev_next(mgr, NULL));
    /* and the configuration waits for it to come back */
    make_malloc(mgr, "m", 64, 512);
    bdev_wait_for_examine(mgr);
    CHECK(bdev_find(mgr, "p") && bdev_find(mgr, "q"));
}

static void read_write(void **state)
{
    run_all(1, rw_case);
    run_all(2, rw_case);
}

/* ---------------------------------------------- quiesce under load, several reactors */

/* Ios of one reactor that go on until told to stop; each checks that it is allowed in. */
struct load {
    struct bdev_desc *desc;
    _Atomic bool stop, frozen; /* frozen: nothing may come to [lo, hi) */
    _Atomic unsigned n_done, n_bad;
    uint64_t lo, hi, size;
};

static int load_fn(void *arg)
{
    struct load *l = arg;
    struct bdev_channel *ch = bdev_channel_get(l->desc);
    char *buf = rt_buf_get(4096);
    uint64_t x = rt_reactor_idx(rt_self()) * 7919 + 1;
    while (!l->stop) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t off = (x >> 33) % (l->size / 4096) * 4096;
        int rc = x >> 20 & 1 ? bdev_write(ch, buf, off, 4096, 0) : bdev_read(ch, buf, off, 4096);
        CHECK_INT(rc, 0);
        l->n_done++;
    }
    rt_buf_put(buf, 4096);
    bdev_channel_put(ch);
    return 0;
}

struct load_task {
    struct load *load;
    unsigned idx;
    struct rt_event done;
};

static void load_start(void *arg)
{
    struct load_task *t = arg;
    rt_event_set(&t->done, rt_call_on(rt_reactor(rt_world(), t->idx), "load", load_fn, t->load));
}

/* The device below notes what comes in while it must not. */
struct watch_dev {
    struct tdev t;
    struct load *load;
};

static void watch_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct tdev *t = ash_container_of(ch->bdev, struct tdev, bdev);
    struct load *l = ash_container_of(t, struct watch_dev, t)->load;
    if (l->frozen && io->offset < l->hi && io->offset + io->length > l->lo)
        l->n_bad++;
    tdev_submit(ch, io);
}

static const struct bdev_ops watch_ops = {
    .submit = watch_submit,
    .supports = tdev_supports,
    .destroy = tdev_destroy,
};

static void quiesce_case(struct bdev_mgr *mgr)
{
    enum { N = 3, ROUNDS = 40 };
    struct watch_dev *wd = rt_alloc(sizeof(*wd));
    struct tdev *t = tdev_new("t", 64, 4096);
    wd->t = *t;
    rt_free(t);
    t = &wd->t;
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++)
        ash_list_init(&t->held[i]);
    t->bdev.ops = &watch_ops;
    t->delay_ns = 20000;
    t->no_data = true; /* users overlap: whose bytes win is not the question here */
    tdev_register(mgr, t);
    struct load load = {.desc = open_rw(mgr, "t"), .size = 64 * 4096};
    wd->load = &load;
    struct load_task tasks[N * 2];
    for (unsigned i = 0; i < N * 2; i++) {
        tasks[i] = (struct load_task){&load, i % N, RT_EVENT_INIT};
        CHECK_INT(rt_task_spawn("load", load_start, &tasks[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t len = i % 3 == 0 ? 0 : 4096 * (1 + i % 20), off = len ? 4096 * (i % 40) : 0;
        CHECK_INT(bdev_quiesce(&t->bdev, off, len), 0);
        load.lo = off;
        load.hi = len ? off + len : UINT64_MAX;
        load.frozen = true;
        unsigned before = load.n_done;
        rt_sleep_ns(200000);
        if (len == 0)
            CHECK(load.n_done - before <= N * 2); /* ended before, told after */
        load.frozen = false;
        bdev_unquiesce(&t->bdev, off, len);
        bdev_grace(&t->bdev);
        rt_sleep_ns(50000);
    }
    /* nested, the same range twice */
    CHECK_INT(bdev_quiesce(&t->bdev, 0, 8192), 0);
    CHECK_INT(bdev_quiesce(&t->bdev, 0, 8192), 0);
    CHECK_INT(bdev_quiesce(&t->bdev, 4096, 8192), 0);
    load.lo = 4096;
    load.hi = 8192;
    load.frozen = true;
    bdev_unquiesce(&t->bdev, 0, 8192);
    rt_sleep_ns(200000);
    bdev_unquiesce(&t->bdev, 4096, 8192);
    rt_sleep_ns(200000);
    load.frozen = false;
    bdev_unquiesce(&t->bdev, 0, 8192);
    unsigned before = load.n_done;
    rt_sleep_ns(1000000);
    CHECK(load.n_done > before);
    load.stop = true;
    for (unsigned i = 0; i < N * 2; i++)
        CHECK_INT(rt_event_wait(&tasks[i].done), 0);
    CHECK_INT(load.n_bad, 0);
    bdev_close(load.desc);
}

static void quiesce(void **state)
{
    run_all(3, quiesce_case);
}

/* A channel that is made while a quiesce is in force begins behind the gate. */
struct late {
    struct bdev_desc *desc;
    struct rt_event done;
    _Atomic bool ended;
};

static int late_fn(void *arg)
{
    struct late *l = arg;
    struct bdev_channel *ch = bdev_channel_get(l->desc);
    char buf[512];
    int rc = bdev_read(ch, buf, 0, 512);
    l->ended = true;
    bdev_channel_put(ch);
    return rc;
}

static void late_task(void *arg)
{
    struct late *l = arg;
    rt_event_set(&l->done, rt_call_on(rt_reactor(rt_world(), 1), "late", late_fn, l));
}

static void late_case(struct bdev_mgr *mgr)
{
    make_malloc(mgr, "m", 64, 512);
    struct bdev *m = bdev_find(mgr, "m");
    struct late l = {.desc = open_rw(mgr, "m"), .done = RT_EVENT_INIT};
    CHECK_INT(bdev_quiesce(m, 0, 0), 0);
    CHECK_INT(rt_task_spawn("late", late_task, &l), 0);
    rt_sleep_ns(2000000);
    CHECK(!l.ended);
    bdev_unquiesce(m, 0, 0);
    CHECK_INT(rt_event_wait(&l.done), 0);
    bdev_close(l.desc);
}

static void late_channel(void **state)
{
    run_all(2, late_case);
}

/* Grace waits for what is in flight, and for nothing that comes later. */
struct grace {
    struct bdev *bdev;
    struct rt_event done;
};

static void grace_task(void *arg)
{
    struct grace *g = arg;
    bdev_grace(g->bdev);
    rt_event_set(&g->done, 0);
}

static struct bdev_io *start_io(struct bdev_channel *ch, unsigned type, uint64_t off, uint64_t len,
                                void *buf, struct rt_event *ev)
{
    *ev = RT_EVENT_INIT;
    struct bdev_io *io = bdev_io_get(ch);
    io->type = (uint8_t)type;
    io->offset = off;
    io->length = len;
    io->one_iov = (struct iovec){buf, len};
    io->iov = &io->one_iov;
    io->n_iov = 1;
    io->done = io_wake;
    io->user = ev;
    bdev_submit(io);
    return io;
}

static int end_io(struct bdev_io *io, struct rt_event *ev)
{
    int rc = rt_event_wait(ev);
    bdev_io_put(io);
    return rc;
}

static void grace_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 64, 512);
    t->hold = true;
    tdev_register(mgr, t);
    struct bdev_desc *d = open_rw(mgr, "t");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[3][512] = {{0}};
    struct rt_event ev[3];
    struct bdev_io *io[3];
    io[0] = start_io(ch, BDEV_WRITE, 0, 512, buf[0], &ev[0]);
    struct grace g1 = {&t->bdev, RT_EVENT_INIT}, g2 = {&t->bdev, RT_EVENT_INIT};
    CHECK_INT(rt_task_spawn("grace", grace_task, &g1), 0);
    rt_sleep_ns(1000000);
    CHECK(!g1.done.is_set);
    io[1] = start_io(ch, BDEV_WRITE, 512, 512, buf[1], &ev[1]);
    CHECK_INT(rt_task_spawn("grace", grace_task, &g2), 0);
    rt_sleep_ns(1000000);
    io[2] = start_io(ch, BDEV_WRITE, 1024, 512, buf[2], &ev[2]);
    /* end the first alone */
    struct ash_list *first = ash_list_pop_head(&t->held[0]);
    bdev_io_done(ash_list_entry(first, struct bdev_io, link), 0);
    CHECK_INT(end_io(io[0], &ev[0]), 0);
    CHECK_INT(rt_event_wait(&g1.done), 0);
    rt_sleep_ns(1000000);
    CHECK(!g2.done.is_set);
    t->hold = false;
    tdev_release(t);
    CHECK_INT(rt_event_wait(&g2.done), 0);
    CHECK_INT(end_io(io[1], &ev[1]), 0);
    CHECK_INT(end_io(io[2], &ev[2]), 0);
    bdev_channel_put(ch);
    bdev_close(d);
}

/* An io that waits at a gate, or for its quota, was on its way at the call as well: it may still
 * land where it was told to. */
static void grace_queued_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 64, 512);
    tdev_register(mgr, t);
    struct bdev_desc *d = open_rw(mgr, "t");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[512] = {0};
    struct rt_event ev[4];
    struct bdev_io *io[4];
    for (int by_quota = 0; by_quota < 2; by_quota++) {
        struct bdev_qos qos = {.rw_ios_per_sec = 1000};
        CHECK_INT(by_quota ? bdev_set_qos(&t->bdev, &qos, NULL) : bdev_quiesce(&t->bdev, 0, 0), 0);
        for (int i = 0; i < 4; i++)
            io[i] = start_io(ch, BDEV_WRITE, 512u * (unsigned)i, 512, buf, &ev[i]);
        struct grace g = {&t->bdev, RT_EVENT_INIT};
        CHECK_INT(rt_task_spawn("grace", grace_task, &g), 0);
        rt_sleep_ns(100000);
        CHECK(!g.done.is_set && !ev[3].is_set);
        if (!by_quota)
            bdev_unquiesce(&t->bdev, 0, 0);
        CHECK_INT(rt_event_wait(&g.done), 0);
        for (int i = 0; i < 4; i++) {
            CHECK(ev[i].is_set);
            CHECK_INT(end_io(io[i], &ev[i]), 0);
        }
    }
    bdev_channel_put(ch);
    bdev_close(d);
}

static void grace(void **state)
{
    run_sim(1, grace_queued_case);
    run_sim(2, grace_queued_case);
    run_sim(1, grace_case);
    run_sim(2, grace_case);
}

/* ------------------------------------------------------- split, emulation */

static void split_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 2048, 512);
    t->bdev.boundary_bytes = 64 * 512;
    t->bdev.max_rw_bytes = 16 * 512;
    t->bdev.max_unmap_bytes = 8 * 512;
    t->types = 1u << BDEV_READ | 1u << BDEV_WRITE | 1u << BDEV_UNMAP;
    t->delay_ns = 1000;
    tdev_register(mgr, t);
    struct bdev_desc *d = open_rw(mgr, "t");
    struct bdev_channel *ch = bdev_channel_get(d);
    size_t n = 300 * 512;
    uint8_t *a = malloc(n), *b = malloc(n);
    fill(a, n, 5);
    /* many small pieces of vector, some empty, cut anywhere */
    struct iovec iov[200];
    size_t at = 0;
    unsigned n_iov = 0;
    while (at < n) {
        size_t len = n_iov % 7 == 3 ? 0 : ASH_MIN(n - at, (size_t)(100 + n_iov * 37 % 3000));
        if (n_iov == 199)
            len = n - at;
        iov[n_iov++] = (struct iovec){a + at, len};
        at += len;
    }
    struct rt_event ev = RT_EVENT_INIT;
    struct bdev_io *io = bdev_io_get(ch);
    io->type = BDEV_WRITE;
    io->offset = 10 * 512;
    io->length = n;
    io->iov = iov;
    io->n_iov = n_iov;
    io->done = io_wake;
    io->user = &ev;
    t->n_seen = 0;
    bdev_submit(io);
    CHECK_INT(end_io(io, &ev), 0);
    CHECK_INT(t->largest, 16 * 512);
    CHECK(memcmp(t->data + 10 * 512, a, n) == 0);
    CHECK(t->data[10 * 512 - 1] == 0 && t->data[10 * 512 + n] == 0);
    CHECK(t->n_seen >= 300 / 16);
    CHECK_INT(bdev_read(ch, b, 10 * 512, n), 0);
    CHECK(memcmp(a, b, n) == 0);
    CHECK_INT(bdev_unmap(ch, 11 * 512, 100 * 512), 0);
    for (size_t i = 0; i < 100 * 512; i++)
        CHECK(t->data[11 * 512 + i] == 0);
    struct bdev_stats st;
    bdev_get_stats(&t->bdev, BDEV_RESET_ALL, &st);
    CHECK_INT(st.c[BDEV_STAT_WRITE].n_ops, 1); /* split, counted once */
    CHECK_INT(st.c[BDEV_STAT_WRITE].n_bytes, n);
    CHECK_INT(st.c[BDEV_STAT_READ].n_ops, 1);
    CHECK(st.c[BDEV_STAT_READ].min_ticks >= 1000 &&
          st.c[BDEV_STAT_READ].max_ticks == st.c[BDEV_STAT_READ].ticks);
    /* a child's failure is the parent's */
    t->fail_rc = -EIO;
    CHECK_INT(bdev_read(ch, b, 0, n), -EIO);
    bdev_get_stats(&t->bdev, BDEV_RESET_ERROR, &st);
    CHECK_INT(st.n_failed, 1);
    CHECK_INT(st.c[BDEV_STAT_READ].n_ops, 0);
    bdev_get_stats(&t->bdev, BDEV_RESET_NONE, &st);
    CHECK_INT(st.n_failed, 0);
    t->fail_rc = 0;
    /* a device that has no memory now and then is tried again */
    t->n_nomem = 9;
    CHECK_INT(bdev_write(ch, a, 0, n, 0), 0);
    CHECK(memcmp(t->data, a, n) == 0);
    t->n_nomem = 3;
    CHECK_INT(bdev_write(ch, a, 0, 512, 0), 0);
    CHECK_INT(t->n_nomem, 0);
    free(a);
    free(b);
    bdev_channel_put(ch);
    bdev_close(d);
}

static void splitting(void **state)
{
    run_sim(1, split_case);
}

static void emulation_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 8192, 512);
    t->types = 1u << BDEV_READ | 1u << BDEV_WRITE;
    tdev_register(mgr, t);
    struct bdev_desc *d = open_rw(mgr, "t");
    struct bdev_channel *ch = bdev_channel_get(d);
    size_t n = 3 << 20;
    uint8_t *a = malloc(n), *b = calloc(1, n);
    fill(a, n, 9);
    CHECK_INT(bdev_write(ch, a, 512, n, 0), 0);
    /* types that nothing stands in for */
    CHECK_INT(bdev_unmap(ch, 0, 512), -ENOTSUP);
    CHECK_INT(do_io(ch, BDEV_FLUSH, 0, 0, 0, NULL, NULL, NULL), -ENOTSUP);
    CHECK_INT(bdev_flush(ch), 0); /* no volatile cache: nothing to flush */
    CHECK_INT(do_io(ch, BDEV_ABORT, 0, 0, 0, NULL, NULL, NULL), -ENOTSUP);
    CHECK_INT(do_io(ch, BDEV_RESET, 0, 0, 0, NULL, NULL, NULL), 0);
    /* compare */
    CHECK_INT(do_io(ch, BDEV_COMPARE, 0, 512, n, a, NULL, NULL), 0);
    a[n - 1] ^= 1;
    CHECK_INT(do_io(ch, BDEV_COMPARE, 0, 512, n, a, NULL, NULL), -EILSEQ);
    a[n - 1] ^= 1;
    /* compare and write */
    CHECK_INT(do_io(ch, BDEV_COMPARE_AND_WRITE, 0, 512, 1024, a, b, NULL), 0);
    CHECK(memcmp(t->data + 512, b, 1024) == 0);
    CHECK_INT(do_io(ch, BDEV_COMPARE_AND_WRITE, 0, 512, 1024, a, a, NULL), -EILSEQ);
    CHECK(memcmp(t->data + 512, b, 1024) == 0);
    CHECK_INT(bdev_write(ch, a, 512, 1024, 0), 0);
    /* copy: apart, onto itself, overlapping both ways */
    uint64_t src = 512;
    CHECK_INT(do_io(ch, BDEV_COPY, 0, 3584 << 10, 512 << 10, NULL, NULL, &src), 0);
    CHECK(memcmp(t->data + (3584 << 10), a, 512 << 10) == 0);
    src = 512;
    CHECK_INT(do_io(ch, BDEV_COPY, 0, 512, 4096, NULL, NULL, &src), 0);
    src = 512;
    CHECK_INT(do_io(ch, BDEV_COPY, 0, 1024, 2560 << 10, NULL, NULL, &src), 0);
    CHECK(memcmp(t->data + 1024, a, 2560 << 10) == 0);
    src = 1024;
    CHECK_INT(do_io(ch, BDEV_COPY, 0, 512, 2560 << 10, NULL, NULL, &src), 0);
    CHECK(memcmp(t->data + 512, a, 2560 << 10) == 0);
    src = 1;
    CHECK_INT(do_io(ch, BDEV_COPY, 0, 512, 512, NULL, NULL, &src), -EINVAL);
    src = 8192 * 512;
    CHECK_INT(do_io(ch, BDEV_COPY, 0, 512, 512, NULL, NULL, &src), -EINVAL);
    /* zeroes */
    CHECK_INT(bdev_write_zeroes(ch, 1024, n - 1024, BDEV_FAST), -ENOTSUP);
    CHECK_INT(bdev_write_zeroes(ch, 1024, n - 1024, 0), 0);
    CHECK(memcmp(t->data + 1024, b, n - 1024) == 0 && memcmp(t->data + 512, a, 512) == 0);
    /* seek: everything is data */
    uint64_t at = 0;
    CHECK_INT(do_io(ch, BDEV_SEEK_DATA, 0, 1024, 0, NULL, NULL, &at), 0);
    CHECK(at == 1024);
    CHECK_INT(do_io(ch, BDEV_SEEK_HOLE, 0, 1024, 0, NULL, NULL, &at), 0);
    CHECK(at == UINT64_MAX);
    CHECK_INT(do_io(ch, BDEV_SEEK_DATA, 0, 8192 * 512, 0, NULL, NULL, &at), -EINVAL);
    free(a);
    free(b);
    bdev_channel_put(ch);
    bdev_close(d);
}

static void emulation(void **state)
{
    run_sim(1, emulation_case);
    run_sim(2, emulation_case);
}

/* ------------------------------------------------- unaligned, with neighbours */

/* Each worker owns every N-th byte range of a few blocks and writes it over and over through an
 * unaligned descriptor; one worker writes whole blocks beside them. Nobody's bytes may get lost. */
enum { U_WORKERS = 6, U_BYTES = 100, U_ROUNDS = 60 };

struct unaligned {
    struct bdev_desc *desc;
    unsigned idx, reactor;
    struct rt_event done;
};

static int unaligned_fn(void *arg)
{
    struct unaligned *u = arg;
    struct bdev_channel *ch = bdev_channel_get(u->desc);
    uint8_t buf[U_BYTES], back[U_BYTES];
    for (unsigned round = 0; round < U_ROUNDS; round++) {
        memset(buf, (int)(u->idx * 40 + round % 39 + 1), U_BYTES);
        uint64_t off = 512 - 50 + u->idx * U_BYTES;
        if (round % 5 == 4) {
            memset(buf, 0, U_BYTES);
            CHECK_INT(bdev_write_zeroes(ch, off, U_BYTES, 0), 0);
        } else {
            CHECK_INT(bdev_write(ch, buf, off, U_BYTES, 0), 0);
        }
        CHECK_INT(bdev_read(ch, back, off, U_BYTES), 0);
        CHECK(memcmp(buf, back, U_BYTES) == 0);
    }
    bdev_channel_put(ch);
    return 0;
}

static void unaligned_task(void *arg)
{
    struct unaligned *u = arg;
    rt_event_set(&u->done,
                 rt_call_on(rt_reactor(rt_world(), u->reactor), "unaligned", unaligned_fn, u));
}

static void unaligned_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 64, 512);
    t->delay_ns = 3000;
    t->types = 1u << BDEV_READ | 1u << BDEV_WRITE | 1u << BDEV_WRITE_ZEROES | 1u << BDEV_UNMAP;
    t->bdev.unmap_zeroes = true;
    tdev_register(mgr, t);
    struct bdev_desc *d;
    CHECK_INT(try_open(mgr, "t", BDEV_OPEN_WRITE | BDEV_OPEN_UNALIGNED, &d), 0);
    struct unaligned u[U_WORKERS];
    for (unsigned i = 0; i < U_WORKERS; i++) {
        u[i] = (struct unaligned){d, i, i % rt_n_reactors(rt_world()), RT_EVENT_INIT};
        CHECK_INT(rt_task_spawn("unaligned", unaligned_task, &u[i]), 0);
    }
    /* a neighbour with whole blocks, which must wait for the others' locks: between its write and
     * its read nobody else writes to the part it owns */
    struct bdev_channel *ch = bdev_channel_get(d);
    uint8_t block[512], back[512];
    for (unsigned i = 0; i < U_ROUNDS; i++) {
        memset(block, (int)i, sizeof(block));
        CHECK_INT(bdev_write(ch, block, 2048, 512, 0), 0);
        CHECK_INT(bdev_write(ch, block, 100, 80, 0), 0);
        CHECK_INT(bdev_read(ch, back, 2048, 512), 0);
        CHECK(memcmp(block, back, 512) == 0);
        CHECK_INT(bdev_read(ch, back, 100, 80), 0);
        CHECK(memcmp(block, back, 80) == 0);
    }
    for (unsigned i = 0; i < U_WORKERS; i++)
        CHECK_INT(rt_event_wait(&u[i].done), 0);
    /* long ones: first block, middle, last block */
    uint8_t *a = malloc(10000), *b = malloc(10000);
    fill(a, 10000, 3);
    CHECK_INT(bdev_write(ch, a, 4096 + 7, 10000 - 13, BDEV_FUA), 0);
    CHECK_INT(bdev_read(ch, b, 4096 + 7, 10000 - 13), 0);
    CHECK(memcmp(a, b, 10000 - 13) == 0);
    CHECK_INT(do_io(ch, BDEV_COMPARE, 0, 4096 + 8, 9000, a + 1, NULL, NULL), 0);
    CHECK_INT(do_io(ch, BDEV_COMPARE, 0, 4096 + 9, 9000, a + 1, NULL, NULL), -EILSEQ);
    CHECK_INT(bdev_unmap(ch, 4096 + 17, 5000), 0);
    memset(a + 10, 0, 5000);
    CHECK_INT(bdev_read(ch, b, 4096 + 7, 10000 - 13), 0);
    CHECK(memcmp(a, b, 10000 - 13) == 0);
    CHECK_INT(bdev_write(ch, a, 64 * 512 - 10, 11, 0), -EINVAL);
    CHECK_INT(bdev_write(ch, a, 64 * 512 - 10, 10, 0), 0);
    free(a);
    free(b);
    bdev_channel_put(ch);
    bdev_close(d);
}

static void unaligned(void **state)
{
    run_all(1, unaligned_case);
    run_all(3, unaligned_case);
}

/* ------------------------------------------------------------------- reset */

static void reset_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 64, 512);
    t->hold = true;
    t->bdev.reset_drain_ns = 1000000;
    tdev_register(mgr, t);
    struct bdev_desc *d = open_rw(mgr, "t");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[2][512] = {{0}};
    struct rt_event ev[3];
    struct bdev_io *io = start_io(ch, BDEV_WRITE, 0, 512, buf[0], &ev[0]);
    struct bdev_io *r1 = start_io(ch, BDEV_RESET, 0, 0, NULL, &ev[1]);
    struct bdev_io *r2 = start_io(ch, BDEV_RESET, 0, 0, NULL, &ev[2]);
    rt_sleep_ns(500000);
    CHECK(!ev[1].is_set);
    unsigned seen = t->n_seen;
    struct rt_event late_ev;
    struct bdev_io *late = start_io(ch, BDEV_WRITE, 0, 512, buf[1], &late_ev);
    rt_sleep_ns(3000000);
    CHECK_INT(t->n_seen, seen + 1); /* not drained in time: the module's own reset */
    CHECK(!late_ev.is_set);
    t->hold = false;
    tdev_release(t);
    CHECK_INT(end_io(r1, &ev[1]), 0);
    CHECK_INT(end_io(r2, &ev[2]), 0); /* joined */
    CHECK_INT(end_io(io, &ev[0]), 0);
    CHECK_INT(end_io(late, &late_ev), 0);
    /* drains in time: the module is not asked */
    seen = t->n_seen;
    CHECK_INT(do_io(ch, BDEV_RESET, 0, 0, 0, NULL, NULL, NULL), 0);
    CHECK_INT(t->n_seen, seen);
    bdev_channel_put(ch);
    bdev_close(d);
}

static void reset(void **state)
{
    run_sim(1, reset_case);
    run_sim(2, reset_case);
}

/* --------------------------------------------------------------- histogram */

static void histogram_case(struct bdev_mgr *mgr)
{
    struct tdev *t = tdev_new("t", 64, 512);
    tdev_register(mgr, t);
    struct bdev_desc *d = open_rw(mgr, "t");
    struct bdev_channel *ch = bdev_channel_get(d);
    struct ash_buf out = {0};
    struct bdev_hist_opts o;
    uint32_t lo, hi;
    CHECK_INT(bdev_get_histogram(&t->bdev, &out, &o, &lo, &hi), -EFAULT);
    struct bdev_hist_opts bad = {0, 0, 1, -1};
    CHECK_INT(bdev_set_histogram(&t->bdev, true, &bad, NULL), -EINVAL);
    /* docs/spec/spdk-jsonrpc.md 13.10: a full one has 58 ranges at granularity 7 */
    struct bdev_hist_opts full = {7, 0, UINT64_MAX, -1};
    CHECK_INT(bdev_set_histogram(&t->bdev, true, &full, NULL), 0);
    CHECK(bdev_histogram_enabled(&t->bdev));
    CHECK_INT(bdev_get_histogram(&t->bdev, &out, &o, &lo, &hi), 0);
    CHECK_INT(lo, 0);
    CHECK_INT(hi, 57);
    CHECK_INT(out.n_bytes, (58ull * 128 * 8 + 2) / 3 * 4);
    /* clock of the simulator: an io of exactly 1000 ns at granularity 3, from 512 to 2048:
     * highest bit 9, range 9 - 3 + 1 = 7, index (1000 >> 6) & 7 = 7 */
    struct bdev_hist_opts small = {3, 512, 2048, BDEV_WRITE};
    CHECK_INT(bdev_set_histogram(&t->bdev, true, &small, NULL), 0);
    t->delay_ns = 1000;
    char buf[512] = {0};
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0);
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0);
    CHECK_INT(bdev_read(ch, buf, 0, 512), 0); /* another type */
    t->delay_ns = 100;
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0); /* below: the first bucket */
    t->delay_ns = 1000000;
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0); /* above: the last */
    ash_buf_reset(&out);
    CHECK_INT(bdev_get_histogram(&t->bdev, &out, &o, &lo, &hi), 0);
    CHECK_INT(lo, 7);
    CHECK_INT(hi, 8);
    uint64_t want[16] = {[0] = 1, [7] = 2, [15] = 1};
    struct ash_buf want_text = {0};
    ash_base64(&want_text, want, sizeof(want));
    CHECK_STR(ash_buf_text(&out), ash_buf_text(&want_text));
    CHECK_INT(bdev_set_histogram(&t->bdev, false, NULL, NULL), 0);
    CHECK(!bdev_histogram_enabled(&t->bdev));
    ash_buf_free(&out);
    ash_buf_free(&want_text);
    bdev_channel_put(ch);
    bdev_close(d);
}

static void histogram(void **state)
{
    run_sim(1, histogram_case);
}

/* --------------------------------------------------------------------- QoS */

static void flood(struct bdev_channel *ch, unsigned n, size_t bytes, uint64_t *ret_ns) ASH_MAY_WAIT
{
    enum { MAX = 600 };
    CHECK(n <= MAX);
    static _Thread_local char buf[65536];
    struct rt_event *ev = calloc(n, sizeof(*ev));
    struct bdev_io **io = calloc(n, sizeof(struct bdev_io *));
    uint64_t start = rt_now_ns();
    for (unsigned i = 0; i < n; i++)
        io[i] = start_io(ch, i & 1 ? BDEV_READ : BDEV_WRITE, 0, bytes, buf, &ev[i]);
    for (unsigned i = 0; i < n; i++)
        CHECK_INT(end_io(io[i], &ev[i]), 0);
    *ret_ns = rt_now_ns() - start;
    free(ev);
    free(io);
}

static void qos_case(struct bdev_mgr *mgr)
{
    make_malloc(mgr, "m", 2048, 512);
    struct bdev *m = bdev_find(mgr, "m");
    struct bdev_desc *d = open_rw(mgr, "m");
    struct bdev_channel *ch = bdev_channel_get(d);
    uint64_t ns;
    flood(ch, 500, 4096, &ns);
    CHECK(ns < 1000000);
    /* 1500 ios/s is rounded up to 2000: 2 a slice, 500 take 250 slices */
    struct bdev_qos q = {.rw_ios_per_sec = 1500}, back;
    CHECK_INT(bdev_set_qos(m, &q, NULL), 0);
    bdev_get_qos(m, &back);
    CHECK_INT(back.rw_ios_per_sec, 2000);
    flood(ch, 500, 4096, &ns);
    CHECK(ns > 240000000 && ns < 260000000);
    /* other types are free of it */
    uint64_t t0 = rt_now_ns();
    for (int i = 0; i < 50; i++)
        CHECK_INT(bdev_flush(ch), 0);
    CHECK(rt_now_ns() - t0 < 1000000);
    /* 10 MiB/s over both ways: 100 ios of 64 KiB are 6.25 MiB */
    q = (struct bdev_qos){.rw_mbytes_per_sec = 10};
    CHECK_INT(bdev_set_qos(m, &q, NULL), 0);
    flood(ch, 100, 65536, &ns);
    CHECK(ns > 600000000 && ns < 640000000);
    /* reads only: half of them */
    q = (struct bdev_qos){.r_mbytes_per_sec = 10};
    CHECK_INT(bdev_set_qos(m, &q, NULL), 0);
    flood(ch, 100, 65536, &ns);
    CHECK(ns > 290000000 && ns < 330000000);
    /* taking the limit off lets the queue go */
    struct rt_event ev[20];
    struct bdev_io *io[20];
    char buf[512];
    q = (struct bdev_qos){.rw_ios_per_sec = 1000};
    CHECK_INT(bdev_set_qos(m, &q, NULL), 0);
    for (int i = 0; i < 20; i++)
        io[i] = start_io(ch, BDEV_READ, 0, 512, buf, &ev[i]);
    q = (struct bdev_qos){0};
    t0 = rt_now_ns();
    CHECK_INT(bdev_set_qos(m, &q, NULL), 0);
    for (int i = 0; i < 20; i++)
        CHECK_INT(end_io(io[i], &ev[i]), 0);
    CHECK(rt_now_ns() - t0 < 500000);
    /* removal: what waits for its quota is given up */
    q = (struct bdev_qos){.rw_ios_per_sec = 1000};
    CHECK_INT(bdev_set_qos(m, &q, NULL), 0);
    for (int i = 0; i < 20; i++)
        io[i] = start_io(ch, BDEV_READ, 0, 512, buf, &ev[i]);
    struct removal r = {m, RT_EVENT_INIT};
    CHECK_INT(rt_task_spawn("remove", remove_task, &r), 0);
    unsigned n_canceled = 0;
    for (int i = 0; i < 20; i++) {
        int rc = end_io(io[i], &ev[i]);
        CHECK(rc == 0 || rc == -ECANCELED);
        n_canceled += rc != 0;
    }
    CHECK(n_canceled >= 18);
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_INT(rt_event_wait(&r.done), 0);
}

static void qos(void **state)
{
    run_sim(1, qos_case);
    run_sim(2, qos_case);
}

/* -------------------------------------------------- holders that do not close */

struct told {
    unsigned n;
    enum rt_log_level level;
    char text[256];
};

static void tell(void *arg, enum rt_log_level level, const char *module, const char *text)
{
    struct told *told = arg;
    CHECK_STR(module, "bdev");
    told->n++;
    told->level = level;
    snprintf(told->text, sizeof(told->text), "%s", text);
}

static void deaf(struct bdev_desc *desc, enum bdev_event ev)
{
}

static void patience_case(struct bdev_mgr *mgr)
{
    for (unsigned slow = 0; slow < 3; slow++) {
        struct told told = {0};
        struct bdev_desc *d;
        make_malloc(mgr, "patience", 2048, 512);
        bdev_wait_for_examine(mgr);
        struct bdev *m = bdev_find(mgr, "patience");
        CHECK_INT(bdev_open(mgr, "patience", 0, "a deaf holder", deaf, NULL, &d, NULL), 0);
        rt_set_log(rt_world(), tell, &told);
        rt_set_log_level(rt_world(), slow == 2 ? RT_LOG_ERR : RT_LOG_INFO);
        struct removal r = {m, RT_EVENT_INIT};
        CHECK_INT(rt_task_spawn("remove", remove_task, &r), 0);
        rt_sleep_ns(9900000000ull);
        CHECK_INT(told.n, 0);
        if (slow)
            rt_sleep_ns(90000000000ull);
        /* told once, and only to those who want to hear of warnings */
        CHECK_INT(told.n, slow == 1);
        CHECK(slow != 1 || (told.level == RT_LOG_WARN && strstr(told.text, "'patience'") &&
                            strstr(told.text, "'a deaf holder'")));
        bdev_close(d);
        CHECK_INT(rt_event_wait(&r.done), 0);
        rt_sleep_ns(20000000000ull);
        CHECK_INT(told.n, slow == 1);
        rt_set_log(rt_world(), NULL, NULL);
    }
    rt_log(RT_LOG_ERR, "bdev", "nobody hears this");
}

static void slow_holders_are_told(void **state)
{
    run_sim(1, patience_case);
    run_sim(2, patience_case);
}

/* ------------------------------------------------------------- examination */

struct seen {
    unsigned n_config[2], n_disk[2];
    bool claims; /* the first module claims what it sees */
    struct bdev_desc *desc;
};

static struct bdev_module looker_a, looker_b;

static void on_base_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct seen *seen = bdev_desc_user(desc);
    if (ev == BDEV_EVENT_REMOVE && seen->desc) {
        bdev_close(seen->desc);
        seen->desc = NULL;
    }
}

static void config_a(struct bdev_mgr *mgr, struct bdev *bdev)
{
    ((struct seen *)bdev_module_state(mgr, &looker_a))->n_config[0]++;
}

static void config_b(struct bdev_mgr *mgr, struct bdev *bdev)
{
    ((struct seen *)bdev_module_state(mgr, &looker_a))->n_config[1]++;
}

static void disk_a(struct bdev_mgr *mgr, struct bdev *bdev)
{
    struct seen *seen = bdev_module_state(mgr, &looker_a);
    seen->n_disk[0]++;
    rt_sleep_ns(5000000); /* it reads */
    if (!seen->claims || seen->desc)
        return;
    CHECK_INT(bdev_open(mgr, bdev->name, 0, "looker", on_base_event, seen, &seen->desc, NULL), 0);
    CHECK_INT(bdev_claim(seen->desc, BDEV_CLAIM_READ_WRITE_ONE, 0, looker_a.name, NULL), 0);
}

static void disk_b(struct bdev_mgr *mgr, struct bdev *bdev)
{
    ((struct seen *)bdev_module_state(mgr, &looker_a))->n_disk[1]++;
}

static int init_a(struct bdev_mgr *mgr, void **ret_state)
{
    *ret_state = rt_alloc(sizeof(struct seen));
    return *ret_state ? 0 : -ENOMEM;
}

static void fini_a(struct bdev_mgr *mgr, void *state)
{
    rt_free(state);
}

static struct bdev_module looker_a = {.name = "looker_a",
                                      .examine_config = config_a,
                                      .examine_disk = disk_a,
                                      .init = init_a,
                                      .fini = fini_a};
static struct bdev_module looker_b = {
    .name = "looker_b", .examine_config = config_b, .examine_disk = disk_b};

static void examine_case(struct bdev_mgr *unused)
{
    struct bdev_module *const extra[] = {&looker_a, &looker_b, NULL};
    struct bdev_mgr *mgr;
    struct notes notes = {.watch.fn = note};
    CHECK_INT(bdev_mgr_create(extra, NULL, &mgr, NULL), 0);
    bdev_watch_add(mgr, &notes.watch);
    struct seen *seen = bdev_module_state(mgr, &looker_a);
    make_malloc(mgr, "m", 8, 512);
    CHECK_STR(notes.text, "");
    bdev_wait_for_examine(mgr);
    CHECK_STR(notes.text, "bdev_register m;");
    CHECK(seen->n_config[0] == 1 && seen->n_config[1] == 1);
    CHECK(seen->n_disk[0] == 1 && seen->n_disk[1] == 1);
    CHECK_INT(bdev_examine(mgr, "m", NULL), -EINVAL); /* they are examined anyway */
    /* what one has claimed the others do not look at */
    seen->claims = true;
    make_malloc(mgr, "k", 8, 512);
    bdev_wait_for_examine(mgr);
    CHECK(seen->n_config[1] == 2 && seen->n_disk[0] == 2 && seen->n_disk[1] == 1);
    /* removal waits for the examination, and its holder lets go */
    make_malloc(mgr, "j", 8, 512);
    CHECK_INT(bdev_unregister(bdev_find(mgr, "j")), 0);
    CHECK_INT(bdev_unregister(bdev_find(mgr, "k")), 0);
    CHECK(!seen->desc);
    bdev_watch_del(&notes.watch);
    bdev_mgr_destroy(mgr);
    /* only by name */
    struct bdev_mgr_opts opts = {.no_auto_examine = true};
    CHECK_INT(bdev_mgr_create(extra, &opts, &mgr, NULL), 0);
    seen = bdev_module_state(mgr, &looker_a);
    make_malloc(mgr, "m", 8, 512);
    bdev_wait_for_examine(mgr);
    CHECK_INT(seen->n_config[0], 0);
    CHECK_INT(bdev_examine(mgr, "m", NULL), 0);
    CHECK_INT(bdev_examine(mgr, "m", NULL), -EEXIST);
    CHECK_INT(bdev_examine(mgr, "later", NULL), 0);
    bdev_wait_for_examine(mgr);
    CHECK_INT(seen->n_disk[1], 1);
    make_malloc(mgr, "later", 8, 512);
    make_malloc(mgr, "other", 8, 512);
    bdev_wait_for_examine(mgr);
    CHECK_INT(seen->n_disk[1], 2);
    bdev_mgr_destroy(mgr);
}

static void examine(void **state)
{
    run_sim(1, examine_case);
    run_sim(2, examine_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(claims),
        cmocka_unit_test(access_rights),
        cmocka_unit_test(removal),
        cmocka_unit_test(read_write),
        cmocka_unit_test(quiesce),
        cmocka_unit_test(late_channel),
        cmocka_unit_test(grace),
        cmocka_unit_test(splitting),
        cmocka_unit_test(emulation),
        cmocka_unit_test(unaligned),
        cmocka_unit_test(reset),
        cmocka_unit_test(histogram),
        cmocka_unit_test(qos),
        cmocka_unit_test(slow_holders_are_told),
        cmocka_unit_test(examine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
