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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),   cmocka_unit_test(claims),     cmocka_unit_test(access_rights),
        cmocka_unit_test(removal), cmocka_unit_test(read_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
