/* SPDX-License-Identifier: Apache-2.0 */
/* TLS streams: both ends at once with data of all lengths, keys that do not fit, bytes that are no
 * TLS, receives that are cancelled. On all back ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "rt/tls.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_error("%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                         \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

static const struct rt_tls_key short_key = {.bytes = {1, 2, 3}, .n_bytes = 32};
static const struct rt_tls_key long_key = {.bytes = {4, 5, 6}, .n_bytes = 48};
static const struct rt_tls_key other_key = {.bytes = {7, 8, 9}, .n_bytes = 32};

static bool find_key(void *user, const char *identity, struct rt_tls_key *ret_key)
{
    (void)user;
    bool is_short = strcmp(identity, "short") == 0, is_long = strcmp(identity, "long") == 0;
    *ret_key = is_long ? long_key : short_key;
    return is_short || is_long;
}

/* ---------------------------------------------------------------- one pair */

struct pair {
    struct rt_tls_server *srv;
    struct rt_sock *socks[2]; /* client, server */
    struct rt_tls *tls[2];
    const char *identity;
    const struct rt_tls_key *key;
    int connect_rc;
    struct rt_event connected;
};

static void connect_task(void *arg)
{
    struct pair *p = arg;
    p->connect_rc = rt_tls_connect(p->socks[0], p->identity, p->key, &p->tls[0]);
    rt_event_set(&p->connected, 0);
}

static int64_t xfer(struct pair *p, int side, uint8_t kind, const struct iovec *iov, uint32_t n)
{
    struct rt_op op = {
        .kind = kind, .sock = p->socks[side], .iov = (struct iovec *)(uintptr_t)iov, .n_iov = n};
    return rt_tls_wait(p->tls[side], &op);
}

static int64_t xfer_one(struct pair *p, int side, uint8_t kind, void *buf, size_t n)
{
    struct iovec iov = {buf, n};
    return xfer(p, side, kind, &iov, 1);
}

static int pair_begin(struct pair *p)
{
    p->connected = RT_EVENT_INIT;
    p->srv = rt_tls_server_new(find_key, NULL);
    CHECK(p->srv && rt_sock_pair(&p->socks[0], &p->socks[1]) == 0);
    p->tls[1] = rt_tls_accept(p->srv, p->socks[1]);
    CHECK(p->tls[1] && strcmp(rt_tls_identity(p->tls[1]), "") == 0);
    return 0;
}

static void pair_end(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        rt_tls_free(p->tls[i]);
        rt_sock_close(p->socks[i]);
    }
    rt_tls_server_free(p->srv);
}

/* --------------------------------------------------- both directions at once */

enum { N_BYTES = 3 << 20 };

struct stream {
    struct pair *p;
    int side;
    bool sends;
    uint32_t seed;
    int rc;
    unsigned *n_left;
    struct rt_waitq *q;
};

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint8_t byte_at(int from, size_t at)
{
    return (uint8_t)(at * 31 + at / 251 + (size_t)from * 77);
}

/* Pieces of all lengths, in several iovs, up to more than one send of the stream takes at once. */
static int stream_run(struct stream *s, uint8_t *buf, size_t room)
{
    int from = s->sends ? s->side : !s->side;
    for (size_t at = 0; at < N_BYTES;) {
        size_t n = next(&s->seed) % 5 ? 1 + next(&s->seed) % 9000 : 1 + next(&s->seed) % room;
        n = ASH_MIN(n, (size_t)N_BYTES - at);
        size_t cut = next(&s->seed) % (n + 1);
        struct iovec iov[3] = {{buf, cut}, {buf, 0}, {buf + cut, n - cut}};
        for (size_t i = 0; i < n && s->sends; i++)
            buf[i] = byte_at(from, at + i);
        int64_t got = xfer(s->p, s->side, s->sends ? RT_OP_SEND : RT_OP_RECV, iov, 3);
        CHECK(s->sends ? got == (int64_t)n : got > 0 && got <= (int64_t)n);
        for (int64_t i = 0; i < got && !s->sends; i++)
            CHECK(buf[i] == byte_at(from, at + (size_t)i));
        at += (size_t)got;
    }
    return 0;
}

static void stream_task(void *arg)
{
    struct stream *s = arg;
    enum { ROOM = 700000 };
    uint8_t *buf = malloc(ROOM);
    s->rc = stream_run(s, buf, ROOM);
    free(buf);
    --*s->n_left;
    rt_waitq_wake_all(s->q);
}

static int both_ways(void *arg)
{
    struct pair p = {.identity = arg, .key = strcmp(arg, "long") ? &short_key : &long_key};
    struct stream s[4];
    unsigned n_left = 4;
    struct rt_waitq q;
    rt_waitq_init(&q);
    CHECK(pair_begin(&p) == 0);
    CHECK(rt_task_spawn("connect", connect_task, &p) == 0);
    /* the server's handshake is part of its first receive */
    s[0] = (struct stream){&p, 1, false, 1, 0, &n_left, &q};
    CHECK(rt_task_spawn("stream", stream_task, &s[0]) == 0);
    rt_event_wait(&p.connected);
    CHECK(p.connect_rc == 0);
    s[1] = (struct stream){&p, 0, true, 2, 0, &n_left, &q};
    CHECK(rt_task_spawn("stream", stream_task, &s[1]) == 0);
    while (strcmp(rt_tls_identity(p.tls[1]), p.identity) != 0)
        rt_sleep_ns(1000000);
    s[2] = (struct stream){&p, 1, true, 3, 0, &n_left, &q};
    s[3] = (struct stream){&p, 0, false, 4, 0, &n_left, &q};
    CHECK(rt_task_spawn("stream", stream_task, &s[2]) == 0);
    CHECK(rt_task_spawn("stream", stream_task, &s[3]) == 0);
    while (n_left)
        rt_waitq_wait(&q);
    for (unsigned i = 0; i < 4; i++)
        CHECK(s[i].rc == 0);
    /* the end of one is seen by the other */
    uint8_t b;
    rt_sock_shutdown(p.socks[1]);
    CHECK(xfer_one(&p, 0, RT_OP_RECV, &b, 1) <= 0);
    CHECK(xfer_one(&p, 1, RT_OP_RECV, &b, 1) <= 0);
    pair_end(&p);
    return 0;
}

/* ---------------------------------------------------------- what does not fit */

struct misfit {
    const char *identity;
    const struct rt_tls_key *key;
};

static int misfits(void *arg)
{
    static const struct misfit rows[] = {
        {"short", &other_key}, {"nobody", &short_key}, {"short", &long_key}, {"long", &short_key}};
    (void)arg;
    for (unsigned i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct pair p = {.identity = rows[i].identity, .key = rows[i].key};
        uint8_t b;
        CHECK(pair_begin(&p) == 0);
        CHECK(rt_task_spawn("connect", connect_task, &p) == 0);
        CHECK(xfer_one(&p, 1, RT_OP_RECV, &b, 1) == -EPROTO);
        CHECK(strcmp(rt_tls_identity(p.tls[1]), "") == 0);
        rt_event_wait(&p.connected); /* by our alert, before the connection ends */
        CHECK(p.connect_rc == -EPROTO && !p.tls[0]);
        pair_end(&p);
    }
    return 0;
}

static int raw(struct rt_sock *sock, uint8_t kind, void *buf, size_t n)
{
    struct rt_op op = {.kind = kind, .sock = sock, .n_iov = 1};
    op.one_iov = (struct iovec){buf, n};
    op.iov = &op.one_iov;
    return (int)rt_op_wait(&op);
}

/* A client hello that ends early, a server that answers with something else, nothing at all. */
static int no_tls(void *arg)
{
    static uint8_t hello[] = {22, 3, 1, 0, 5, 1, 0, 0, 1, 3}, ic[128] = {0, 0, 128, 0, 128};
    struct pair p = {.identity = "short", .key = &short_key};
    uint8_t b[512];
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK(pair_begin(&p) == 0);
        if (i == 0)
            CHECK(raw(p.socks[0], RT_OP_SEND, hello, sizeof(hello)) > 0);
        if (i == 1)
            CHECK(raw(p.socks[0], RT_OP_SEND, ic, sizeof(ic)) > 0);
        if (i != 1)
            rt_sock_shutdown(p.socks[0]);
        int64_t n = xfer_one(&p, 1, RT_OP_RECV, b, 1);
        CHECK(i == 1 ? n == -EPROTO : n <= 0);
        pair_end(&p);
        p.tls[1] = NULL;
    }
    CHECK(pair_begin(&p) == 0);
    CHECK(rt_task_spawn("connect", connect_task, &p) == 0);
    CHECK(raw(p.socks[1], RT_OP_RECV, b, sizeof(b)) > 0);
    CHECK(raw(p.socks[1], RT_OP_SEND, ic, sizeof(ic)) > 0);
    rt_event_wait(&p.connected);
    CHECK(p.connect_rc == -EPROTO);
    pair_end(&p);
    p.tls[0] = p.tls[1] = NULL;
    CHECK(pair_begin(&p) == 0);
    CHECK(rt_task_spawn("connect", connect_task, &p) == 0);
    CHECK(raw(p.socks[1], RT_OP_RECV, b, sizeof(b)) > 0);
    rt_sock_shutdown(p.socks[1]);
    rt_event_wait(&p.connected);
    CHECK(p.connect_rc < 0);
    pair_end(&p);
    return 0;
}

/* ---------------------------------------------------------------- cancelled */

struct receive {
    struct rt_op op;
    struct rt_event over;
};

static void receive_done(struct rt_op *op)
{
    rt_event_set(&ash_container_of(op, struct receive, op)->over, 0);
}

static void receive_start(struct receive *r, struct pair *p, int side, uint8_t *buf, size_t n)
{
    *r = (struct receive){
        .op = {.kind = RT_OP_RECV, .sock = p->socks[side], .n_iov = 1, .done = receive_done},
        .over = RT_EVENT_INIT};
    r->op.one_iov = (struct iovec){buf, n};
    r->op.iov = &r->op.one_iov;
    rt_tls_submit(p->tls[side], &r->op);
}

/* At once, and when the socket is waited on: nothing that comes later is lost. */
static int cancelled(void *arg)
{
    struct pair p = {.identity = "short", .key = &short_key};
    struct receive r;
    uint8_t b[16];
    (void)arg;
    CHECK(pair_begin(&p) == 0);
    CHECK(rt_task_spawn("connect", connect_task, &p) == 0);
    receive_start(&r, &p, 1, b, sizeof(b));
    rt_event_wait(&p.connected);
    CHECK(p.connect_rc == 0);
    for (unsigned i = 0; i < 4; i++) {
        if (i % 2)
            rt_sleep_ns(20000000);
        rt_tls_cancel(p.tls[1], &r.op);
        rt_event_wait(&r.over);
        CHECK(r.op.res == -ECANCELED);
        rt_tls_cancel(p.tls[1], &r.op); /* too late: nothing */
        receive_start(&r, &p, 1, b, sizeof(b));
        CHECK(xfer_one(&p, 0, RT_OP_SEND, "hello", 5) == 5);
        rt_event_wait(&r.over);
        CHECK(r.op.res == 5 && memcmp(b, "hello", 5) == 0);
        receive_start(&r, &p, 1, b, sizeof(b));
    }
    rt_tls_cancel(p.tls[1], &r.op);
    rt_event_wait(&r.over);
    pair_end(&p);
    return 0;
}

/* ------------------------------------------------------------------- worlds */

static void in_worlds(int (*fn)(void *arg), void *arg)
{
    static const enum rt_backend backends[] = {RT_BACKEND_SIM, RT_BACKEND_EPOLL, RT_BACKEND_URING};
    for (unsigned i = 0; i < ASH_N_ELEMS(backends); i++) {
        struct rt_opts opts;
        struct rt *rt;
        struct ash_err err = {0};
        rt_opts_init(&opts);
        opts.backend = backends[i];
        opts.n_reactors = 1;
        opts.spin_limit_ns = 0;
        opts.seed = 1;
        int rc = rt_create(&opts, &rt, &err);
        if (rc == -ENOSYS && backends[i] == RT_BACKEND_URING) {
            print_message("# no io_uring here\n");
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(rt_run_task(rt, "test", fn, arg), 0);
        rt_destroy(rt);
    }
}

static void test_both_ways(void **state)
{
    static char names[2][8] = {"short", "long"};
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        in_worlds(both_ways, names[i]);
}

static void test_misfits(void **state)
{
    (void)state;
    in_worlds(misfits, NULL);
}

static void test_no_tls(void **state)
{
    (void)state;
    in_worlds(no_tls, NULL);
}

static void test_cancelled(void **state)
{
    (void)state;
    in_worlds(cancelled, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_misfits),
        cmocka_unit_test(test_no_tls),
        cmocka_unit_test(test_cancelled),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
