/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of the device layer: a world with a manager, a device made for tests (it can
 * be slow, lack types, have limits and hold I/O), and calls of methods by name. */
#ifndef ASH_TESTS_BDEV_TEST_H
#define ASH_TESTS_BDEV_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/bdev.h"
#include "rt/rt_sim.h"

#define UNUSED __attribute__((unused))

/* In a task: note what failed and give up the case. */
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, #x);                              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_INT(x, want)                                                                         \
    do {                                                                                           \
        long long x_ = (long long)(x), want_ = (long long)(want);                                  \
        if (x_ != want_) {                                                                         \
            fprintf(stderr, "# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #x, x_, want_); \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_STR(x, want)                                                                         \
    do {                                                                                           \
        const char *x_ = (x);                                                                      \
        if (!x_ || strcmp(x_, (want)) != 0) {                                                      \
            fprintf(stderr, "# %s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #x,         \
                    x_ ? x_ : "(null)", (want));                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---------------------------------------------------------------- worlds */

struct world_case {
    void (*fn)(struct bdev_mgr *mgr);
    struct rt *rt;
    bool no_auto_examine;
};

static int world_main(void *arg)
{
    struct world_case *c = arg;
    struct bdev_mgr *mgr;
    struct ash_err err = {0};
    struct bdev_mgr_opts opts = {.no_auto_examine = c->no_auto_examine};
    CHECK_INT(bdev_mgr_create(NULL, &opts, &mgr, &err), 0);
    c->fn(mgr);
    bdev_mgr_destroy(mgr);
    return 0;
}

UNUSED static bool run_in(enum rt_backend backend, unsigned n_reactors,
                          void (*setup)(struct rt *rt), void (*fn)(struct bdev_mgr *mgr))
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = n_reactors;
    opts.n_workers_max = 4;
    opts.seed = 7;
    const char *seed = getenv("SEED");
    if (seed)
        opts.seed = strtoull(seed, NULL, 0);
    int rc = rt_create(&opts, &rt, NULL);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING)
        return false;
    assert_int_equal(rc, 0);
    if (setup)
        setup(rt);
    struct world_case c = {.fn = fn, .rt = rt};
    assert_int_equal(rt_run_task(rt, "case", world_main, &c), 0);
    if (backend == RT_BACKEND_SIM)
        assert_int_equal(rt_sim_n_live(rt), 0); /* nothing leaks */
    rt_destroy(rt);
    return true;
}

UNUSED static void run_sim(unsigned n_reactors, void (*fn)(struct bdev_mgr *mgr))
{
    run_in(RT_BACKEND_SIM, n_reactors, NULL, fn);
}

/* On every back end: the simulator, and real threads. */
UNUSED static void run_all(unsigned n_reactors, void (*fn)(struct bdev_mgr *mgr))
{
    run_in(RT_BACKEND_SIM, n_reactors, NULL, fn);
    run_in(RT_BACKEND_EPOLL, n_reactors, NULL, fn);
    run_in(RT_BACKEND_URING, n_reactors, NULL, fn);
}

/* --------------------------------------------------------------- methods */

UNUSED static const struct ash_method *find_method(const char *name)
{
    for (size_t i = 0; bdev_modules[i]; i++)
        for (const struct ash_method *m = bdev_modules[i]->methods; m && m->name; m++)
            if (strcmp(m->name, name) == 0)
                return m;
    return NULL;
}

/* rc of the call; its result as text in out when that is not NULL. */
UNUSED static int call(struct bdev_mgr *mgr, const char *name, const char *json,
                       struct ash_buf *out, struct ash_err *err)
{
    const struct ash_method *m = find_method(name);
    CHECK(m);
    void *params = calloc(1, m->params_bytes + 1);
    struct json_object *obj = json_tokener_parse(json);
    struct ash_buf text = {0};
    struct ash_jsonw w;
    struct ash_err my_err = {0};
    ash_jsonw_init(&w, &text);
    struct ash_call c = {.bdevs = mgr, .result = &w, .err = err ? err : &my_err};
    int rc = ash_params_from_json(m->params, params, obj, false, c.err);
    if (rc == 0)
        rc = m->run(&c, params);
    if (rc)
        CHECK(c.err->reason != ASH_OK && text.n_bytes == 0);
    else
        CHECK(text.n_bytes > 0);
    if (out && rc == 0)
        ash_buf_str(out, ash_buf_text(&text));
    ash_params_free(m->params, params);
    free(params);
    json_object_put(obj);
    ash_buf_free(&text);
    return rc;
}

UNUSED static struct bdev_desc *open_rw(struct bdev_mgr *mgr, const char *name)
{
    struct bdev_desc *desc;
    struct ash_err err = {0};
    CHECK_INT(bdev_open(mgr, name, BDEV_OPEN_WRITE, "test", NULL, NULL, &desc, &err), 0);
    return desc;
}

UNUSED static void make_malloc(struct bdev_mgr *mgr, const char *name, unsigned n_blocks,
                               unsigned block)
{
    char json[200];
    snprintf(json, sizeof(json), "{\"name\":\"%s\",\"num_blocks\":%u,\"block_size\":%u}", name,
             n_blocks, block);
    CHECK_INT(call(mgr, "bdev_malloc_create", json, NULL, NULL), 0);
}

UNUSED static void fill(void *buf, size_t n, unsigned seed)
{
    uint8_t *p = buf;
    uint32_t x = seed * 2654435761u + 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1103515245u + 12345u;
        p[i] = (uint8_t)(x >> 16);
    }
}

/* ------------------------------------------------------------ test device */

struct tdev {
    struct bdev bdev;
    uint8_t *data;
    uint32_t types;   /* what it can; 0: read, write, flush, reset */
    bool no_data;     /* moves none */
    bool hold;        /* keep ios until tdev_release */
    unsigned n_nomem; /* so many submissions get -ENOMEM */
    int fail_rc;      /* writes and reads fail with it */
    uint64_t delay_ns;
    bool *destroyed;
    struct ash_list held[RT_MAX_REACTORS];
    unsigned n_held[RT_MAX_REACTORS];
    _Atomic unsigned n_seen; /* ios that came */
    _Atomic uint64_t largest;
};

struct tdev_io {
    struct rt_timer timer;
    struct bdev_io *io;
};

static inline int tdev_do(struct tdev *t, struct bdev_io *io)
{
    if (t->no_data)
        return 0;
    if (t->fail_rc && (io->type == BDEV_READ || io->type == BDEV_WRITE))
        return t->fail_rc;
    uint8_t *p = t->data + io->offset;
    for (uint32_t i = 0; i < io->n_iov; i++) {
        if (io->type == BDEV_READ)
            memcpy(io->iov[i].iov_base, p, io->iov[i].iov_len);
        else if (io->type == BDEV_WRITE)
            memcpy(p, io->iov[i].iov_base, io->iov[i].iov_len);
        p += io->iov[i].iov_len;
    }
    if (io->type == BDEV_UNMAP || io->type == BDEV_WRITE_ZEROES)
        memset(p, 0, io->length);
    return 0;
}

static inline void tdev_fire(struct rt_timer *timer)
{
    struct tdev_io *ti = ash_container_of(timer, struct tdev_io, timer);
    struct tdev *t = ash_container_of(ti->io->frame->ch->bdev, struct tdev, bdev);
    bdev_io_done(ti->io, tdev_do(t, ti->io));
}

static inline void tdev_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct tdev *t = ash_container_of(ch->bdev, struct tdev, bdev);
    unsigned idx = rt_reactor_idx(rt_self());
    t->n_seen++;
    if (io->length > t->largest)
        t->largest = io->length;
    if (t->n_nomem) {
        t->n_nomem--;
        bdev_io_done_soon(io, -ENOMEM);
    } else if (t->hold && io->type != BDEV_RESET) {
        ash_list_push_tail(&t->held[idx], &io->link);
        t->n_held[idx]++;
    } else if (t->delay_ns) {
        struct tdev_io *ti = bdev_io_ctx(io);
        memset(ti, 0, sizeof(*ti));
        ti->io = io;
        ti->timer.fire = tdev_fire;
        rt_timer_start(&ti->timer, t->delay_ns);
    } else {
        bdev_io_done_soon(io, tdev_do(t, io));
    }
}

/* Let the calling reactor's held ios end. */
UNUSED static void tdev_release(struct tdev *t)
{
    unsigned idx = rt_reactor_idx(rt_self());
    struct ash_list *l;
    while ((l = ash_list_pop_head(&t->held[idx]))) {
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        t->n_held[idx]--;
        bdev_io_done(io, tdev_do(t, io));
    }
}

static inline bool tdev_supports(struct bdev *bdev, enum bdev_io_type type)
{
    struct tdev *t = ash_container_of(bdev, struct tdev, bdev);
    uint32_t types = t->types
                         ? t->types
                         : 1u << BDEV_READ | 1u << BDEV_WRITE | 1u << BDEV_FLUSH | 1u << BDEV_RESET;
    return types >> type & 1;
}

static inline void tdev_destroy(struct bdev *bdev)
{
    struct tdev *t = ash_container_of(bdev, struct tdev, bdev);
    if (t->destroyed)
        *t->destroyed = true;
    rt_free(t->data);
    rt_free(t);
}

static const struct bdev_ops tdev_ops UNUSED = {
    .submit = tdev_submit,
    .supports = tdev_supports,
    .destroy = tdev_destroy,
};

/* Not registered yet: change what should be otherwise, then tdev_register. */
UNUSED static struct tdev *tdev_new(const char *name, unsigned n_blocks, unsigned block)
{
    struct tdev *t = rt_alloc(sizeof(*t));
    CHECK(t && (t->data = rt_alloc((size_t)n_blocks * block)));
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++)
        ash_list_init(&t->held[i]);
    t->bdev.name = name;
    t->bdev.product_name = "test";
    t->bdev.ops = &tdev_ops;
    t->bdev.block_bytes = block;
    t->bdev.size_bytes = (uint64_t)n_blocks * block;
    t->bdev.io_ctx_bytes = sizeof(struct tdev_io);
    return t;
}

UNUSED static void tdev_register(struct bdev_mgr *mgr, struct tdev *t)
{
    struct ash_err err = {0};
    CHECK_INT(bdev_register(mgr, &t->bdev, &err), 0);
}

/* ---------------------------------------------------------------- waiting */

static inline void io_wake(struct bdev_io *io)
{
    rt_event_set(io->user, io->rc);
}

/* Any io, and wait; result of a seek in *ret when that is not NULL. */
UNUSED static int do_io(struct bdev_channel *ch, unsigned type, unsigned flags, uint64_t offset,
                        uint64_t length, void *buf, void *write_buf, uint64_t *ret)
{
    struct rt_event ev = RT_EVENT_INIT;
    struct bdev_io *io = bdev_io_get(ch);
    CHECK(io);
    struct iovec iov = {buf, length}, write_iov = {write_buf, length};
    io->type = (uint8_t)type;
    io->flags = (uint8_t)flags;
    io->offset = offset;
    io->length = length;
    io->iov = &iov;
    io->n_iov = buf ? 1 : 0;
    io->write_iov = &write_iov;
    io->n_write_iov = write_buf ? 1 : 0;
    io->src_offset = ret && type == BDEV_COPY ? *ret : 0;
    io->done = io_wake;
    io->user = &ev;
    bdev_submit(io);
    CHECK(!ev.is_set); /* never before it returns */
    int rc = rt_event_wait(&ev);
    if (ret)
        *ret = io->offset_result;
    bdev_io_put(io);
    return rc;
}

#endif
