/* SPDX-License-Identifier: Apache-2.0 */
/* What the NBD tests share: a world with a server and a test device, and a raw client that says
 * exactly the bytes it is told. */
#ifndef ASH_TESTS_NBD_TEST_H
#define ASH_TESTS_NBD_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tdev.h"
#include "base/assert.h"
#include "export/nbd/nbd.h"
#include "export/nbd/nbd_proto.h"

/* --------------------------------------------------------------- the world */

struct tw {
    struct rt *rt;
    struct bdev_mgr *mgr;
    struct nbd_server *srv;
    struct tdev dev;
    struct bdev_module module;
    int (*fn)(struct tw *w);
    enum rt_backend backend;
};

static inline int tw_main(void *arg)
{
    struct tw *w = arg;
    struct ash_err err = {0};
    TRY(bdev_mgr_create(NULL, NULL, &w->mgr, &err));
    w->module.name = "test";
    TRY(tdev_add(w->mgr, &w->module, &w->dev, "dev"));
    TRY(nbd_server_create(w->mgr, &w->srv, &err));
    struct nbd_limits limits;
    nbd_get_limits(w->srv, &limits);
    limits.grace_ns = 20000000;
    nbd_set_limits(w->srv, &limits);
    TRY(nbd_add_export(w->srv, "dev", "disk", false, "a test disk", &err));
    int rc = w->fn(w);
    w->dev.fail_rc = 0;
    if (!ash_list_empty(&w->dev.held))
        tdev_release(&w->dev);
    nbd_server_destroy(w->srv);
    bdev_mgr_destroy(w->mgr);
    return rc;
}

static inline void tw_run(enum rt_backend backend, unsigned n_reactors, int (*fn)(struct tw *w))
{
    struct rt_opts opts;
    struct ash_err err = {0};
    struct tw w = {.fn = fn, .backend = backend};
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = n_reactors;
    opts.spin_limit_ns = 0;
    int rc = rt_create(&opts, &w.rt, &err);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING) {
        print_message("# no io_uring here\n");
        return;
    }
    if (rc)
        print_error("rt_create: %s\n", err.text);
    assert_int_equal(rc, 0);
    assert_int_equal(rt_run_task(w.rt, "test", tw_main, &w), 0);
    rt_destroy(w.rt);
}

/* A test on the simulator and on the real back ends, one reactor or two. */
#define NBD_TEST(name, n_reactors)                                                                 \
    static void name##_sim(void **state)                                                           \
    {                                                                                              \
        tw_run(RT_BACKEND_SIM, n_reactors, name);                                                  \
    }                                                                                              \
    static void name##_epoll(void **state)                                                         \
    {                                                                                              \
        tw_run(RT_BACKEND_EPOLL, n_reactors, name);                                                \
    }                                                                                              \
    static void name##_uring(void **state)                                                         \
    {                                                                                              \
        tw_run(RT_BACKEND_URING, n_reactors, name);                                                \
    }
#define NBD_TESTS(name)                                                                            \
    cmocka_unit_test(name##_sim), cmocka_unit_test(name##_epoll), cmocka_unit_test(name##_uring)

/* -------------------------------------------------------------- the client */

struct cl {
    struct rt_sock *sock;
    uint64_t size;
    uint16_t flags;
};

static inline int cl_open(struct tw *w, struct cl *c)
{
    struct rt_sock *theirs = NULL;
    struct ash_err err = {0};
    memset(c, 0, sizeof(*c));
    CHECK(rt_sock_pair(&c->sock, &theirs) == 0);
    TRY(nbd_serve_sock(w->srv, theirs, &err));
    return 0;
}

static inline void cl_close(struct cl *c)
{
    rt_sock_close(c->sock);
    c->sock = NULL;
}

static inline bool cl_send(struct cl *c, const void *data, size_t n)
{
    struct rt_op op = {.kind = RT_OP_SEND, .sock = c->sock, .n_iov = 1};
    op.one_iov = (struct iovec){(void *)(uintptr_t)data, n};
    op.iov = &op.one_iov;
    return n == 0 || rt_op_wait(&op) >= 0;
}

/* False: the server has ended the connection. */
static inline bool cl_recv(struct cl *c, void *data, size_t n)
{
    while (n > 0) {
        struct rt_op op = {.kind = RT_OP_RECV, .sock = c->sock, .n_iov = 1};
        op.one_iov = (struct iovec){data, n};
        op.iov = &op.one_iov;
        int64_t got = rt_op_wait(&op);
        if (got <= 0)
            return false;
        data = (uint8_t *)data + got;
        n -= (size_t)got;
    }
    return true;
}

static inline bool cl_is_closed(struct cl *c)
{
    uint8_t byte;
    return !cl_recv(c, &byte, 1);
}

/* Greeting and client flags. */
static inline int cl_hello(struct cl *c, uint32_t client_flags)
{
    struct nbd_greeting_wire hello;
    struct be32 flags = ash_be32(client_flags);
    CHECK(cl_recv(c, &hello, sizeof(hello)));
    CHECK(ash_be64_get(hello.magic) == NBD_INIT_MAGIC);
    CHECK(ash_be64_get(hello.opt_magic) == NBD_OPT_MAGIC);
    CHECK(ash_be16_get(hello.flags) == 3);
    CHECK(cl_send(c, &flags, sizeof(flags)));
    return 0;
}

static inline bool cl_option(struct cl *c, uint32_t option, const void *data, size_t n)
{
    struct nbd_option_wire w = {ash_be64(NBD_OPT_MAGIC), ash_be32(option), ash_be32((uint32_t)n)};
    return cl_send(c, &w, sizeof(w)) && cl_send(c, data, n);
}

/* One option reply; its data into buf (at most n_room). */
static inline int cl_option_reply(struct cl *c, uint32_t option, uint32_t *ret_type, void *buf,
                                  size_t n_room, size_t *ret_n)
{
    struct nbd_option_reply_wire w;
    CHECK(cl_recv(c, &w, sizeof(w)));
    CHECK(ash_be64_get(w.magic) == NBD_REP_MAGIC);
    CHECK(ash_be32_get(w.option) == option);
    size_t n = ash_be32_get(w.length);
    CHECK(n <= n_room);
    CHECK(cl_recv(c, buf, n));
    *ret_type = ash_be32_get(w.type);
    *ret_n = n;
    return 0;
}

/* Replies up to the final one, whose type is returned; errors must carry a text. */
static inline int cl_final(struct cl *c, uint32_t option, uint32_t *ret_type,
                           unsigned *ret_n_before)
{
    static uint8_t buf[65536];
    size_t n;
    *ret_n_before = 0;
    for (;; (*ret_n_before)++) {
        TRY(cl_option_reply(c, option, ret_type, buf, sizeof(buf), &n));
        if (*ret_type == NBD_REP_ACK || (*ret_type & NBD_REP_ERR_BIT))
            break;
    }
    CHECK((*ret_type == NBD_REP_ACK) == (n == 0));
    return 0;
}

/* u32 length, name, then the rest. */
static inline size_t put_name(uint8_t *buf, const char *name, const void *rest, size_t n_rest)
{
    size_t n = strlen(name);
    struct be32 be = ash_be32((uint32_t)n);
    memcpy(buf, &be, 4);
    memcpy(buf + 4, name, n);
    if (n_rest)
        memcpy(buf + 4 + n, rest, n_rest);
    return 4 + n + n_rest;
}

static inline int cl_go(struct cl *c, const char *name)
{
    uint8_t buf[512];
    size_t n = put_name(buf, name, "\0\0", 2);
    uint32_t type;
    struct nbd_info_export_wire e;
    CHECK(cl_option(c, NBD_OPT_GO, buf, n));
    TRY(cl_option_reply(c, NBD_OPT_GO, &type, &e, sizeof(e), &n));
    CHECK(type == NBD_REP_INFO && n == sizeof(e));
    c->size = ash_be64_get(e.size);
    c->flags = ash_be16_get(e.flags);
    TRY(cl_option_reply(c, NBD_OPT_GO, &type, &e, sizeof(e), &n));
    CHECK(type == NBD_REP_ACK && n == 0);
    return 0;
}

enum { CL_SIMPLE = 0, CL_STRUCTURED = 1, CL_META = 2, CL_DEPTH = 4 };

static inline int cl_connect(struct tw *w, struct cl *c, const char *name, unsigned mode)
{
    uint32_t type;
    unsigned n_before;
    TRY(cl_open(w, c));
    TRY(cl_hello(c, 3));
    if (mode) {
        CHECK(cl_option(c, NBD_OPT_STRUCTURED_REPLY, NULL, 0));
        TRY(cl_final(c, NBD_OPT_STRUCTURED_REPLY, &type, &n_before));
        CHECK(type == NBD_REP_ACK);
    }
    if (mode & (CL_META | CL_DEPTH)) {
        uint8_t buf[256], q[128];
        struct be32 be = ash_be32((mode & CL_META ? 1 : 0) + (mode & CL_DEPTH ? 1 : 0));
        size_t n_q = 4;
        memcpy(q, &be, 4);
        if (mode & CL_META)
            n_q += put_name(q + n_q, "base:allocation", NULL, 0);
        if (mode & CL_DEPTH)
            n_q += put_name(q + n_q, "qemu:allocation-depth", NULL, 0);
        CHECK(cl_option(c, NBD_OPT_SET_META_CONTEXT, buf, put_name(buf, name, q, n_q)));
        TRY(cl_final(c, NBD_OPT_SET_META_CONTEXT, &type, &n_before));
        CHECK(type == NBD_REP_ACK && n_before == ash_be32_get(be));
    }
    return cl_go(c, name);
}

static inline struct nbd_request_wire request(unsigned flags, unsigned type, uint64_t cookie,
                                              uint64_t offset, uint32_t length)
{
    return (struct nbd_request_wire){ash_be32(NBD_REQUEST_MAGIC),
                                     ash_be16((uint16_t)flags),
                                     ash_be16((uint16_t)type),
                                     ash_be64(cookie),
                                     ash_be64(offset),
                                     ash_be32(length)};
}

static inline bool cl_request(struct cl *c, unsigned flags, unsigned type, uint64_t cookie,
                              uint64_t offset, uint32_t length, const void *payload)
{
    struct nbd_request_wire w = request(flags, type, cookie, offset, length);
    return cl_send(c, &w, sizeof(w)) && (!payload || cl_send(c, payload, length));
}

/* One whole reply, simple or structured. data: where the content of a READ at `offset` goes. */
struct reply {
    uint64_t cookie;
    uint32_t error;
    unsigned n_chunks, n_data, n_holes, n_none;
    uint64_t n_content;
    char text[256];
    bool has_offset;
    uint64_t error_offset;
    uint32_t n_ext[3]; /* by context id */
    struct nbd_extent_wire ext[3][64];
};

static inline int cl_chunk(struct cl *c, const struct nbd_chunk_wire *ch, uint8_t *data,
                           uint64_t offset, uint32_t length, struct reply *r)
{
    uint32_t n = ash_be32_get(ch->length);
    struct be64 at_be;
    struct be32 n_be, id_be;
    struct be16 n_text_be;
    r->n_chunks++;
    switch (ash_be16_get(ch->type)) {
    case NBD_CHUNK_NONE:
        CHECK(n == 0 && (ash_be16_get(ch->flags) & NBD_CHUNK_DONE));
        r->n_none++;
        return 0;
    case NBD_CHUNK_DATA:
        CHECK(n > 8 && cl_recv(c, &at_be, 8));
        CHECK(ash_be64_get(at_be) >= offset && ash_be64_get(at_be) + (n - 8) <= offset + length);
        CHECK(cl_recv(c, data + (ash_be64_get(at_be) - offset), n - 8));
        r->n_content += n - 8;
        r->n_data++;
        return 0;
    case NBD_CHUNK_HOLE:
        CHECK(n == 12 && cl_recv(c, &at_be, 8) && cl_recv(c, &n_be, 4));
        CHECK(ash_be32_get(n_be) > 0 && ash_be64_get(at_be) >= offset &&
              ash_be64_get(at_be) + ash_be32_get(n_be) <= offset + length);
        memset(data + (ash_be64_get(at_be) - offset), 0, ash_be32_get(n_be));
        r->n_content += ash_be32_get(n_be);
        r->n_holes++;
        return 0;
    case NBD_CHUNK_STATUS: {
        CHECK(n >= 12 && n % 8 == 4 && cl_recv(c, &id_be, 4));
        uint32_t id = ash_be32_get(id_be);
        CHECK(id == 1 || id == 2);
        r->n_ext[id] = n / 8;
        CHECK(r->n_ext[id] <= 64 && cl_recv(c, r->ext[id], n - 4));
        return 0;
    }
    case NBD_CHUNK_ERROR:
    case NBD_CHUNK_ERROR_OFFSET:
        CHECK(n >= 6 && cl_recv(c, &n_be, 4) && cl_recv(c, &n_text_be, 2));
        r->error = ash_be32_get(n_be);
        CHECK(r->error != 0 && ash_be16_get(n_text_be) < sizeof(r->text));
        CHECK(ash_be16_get(n_text_be) > 0 && cl_recv(c, r->text, ash_be16_get(n_text_be)));
        r->has_offset = ash_be16_get(ch->type) == NBD_CHUNK_ERROR_OFFSET;
        CHECK(n == 6u + ash_be16_get(n_text_be) + (r->has_offset ? 8 : 0));
        if (r->has_offset) {
            CHECK(cl_recv(c, &at_be, 8));
            r->error_offset = ash_be64_get(at_be);
            CHECK(r->error_offset >= offset && r->error_offset < offset + length);
        }
        return 0;
    default:
        CHECK(!"an unknown chunk type");
    }
}

/* is_read: a simple reply without error is followed by length bytes. */
static inline int cl_reply(struct cl *c, bool is_read, uint8_t *data, uint64_t offset,
                           uint32_t length, struct reply *r)
{
    memset(r, 0, sizeof(*r));
    for (;;) {
        struct be32 magic;
        CHECK(cl_recv(c, &magic, 4));
        if (ash_be32_get(magic) == NBD_SIMPLE_REPLY_MAGIC) {
            struct nbd_simple_reply_wire w;
            CHECK(r->n_chunks == 0);
            CHECK(cl_recv(c, (uint8_t *)&w + 4, sizeof(w) - 4));
            r->error = ash_be32_get(w.error);
            r->cookie = ash_be64_get(w.cookie);
            if (is_read && r->error == 0) {
                CHECK(cl_recv(c, data, length));
                r->n_content = length;
            }
            return 0;
        }
        struct nbd_chunk_wire ch;
        CHECK(ash_be32_get(magic) == NBD_STRUCT_REPLY_MAGIC);
        CHECK(cl_recv(c, (uint8_t *)&ch + 4, sizeof(ch) - 4));
        r->cookie = ash_be64_get(ch.cookie);
        TRY(cl_chunk(c, &ch, data, offset, length, r));
        if (ash_be16_get(ch.flags) & NBD_CHUNK_DONE)
            return 0;
    }
}

/* Request and its reply, cookie checked. */
static inline int cl_do(struct cl *c, unsigned flags, unsigned type, uint64_t offset,
                        uint32_t length, void *data, struct reply *r)
{
    uint64_t cookie = 0xfeedface00000000ull | rt_random_u64() >> 32;
    bool writes = type == NBD_CMD_WRITE;
    CHECK(cl_request(c, flags, type, cookie, offset, length, writes ? data : NULL));
    TRY(cl_reply(c, type == NBD_CMD_READ, data, offset, length, r));
    CHECK(r->cookie == cookie);
    if (type == NBD_CMD_READ && r->error == 0)
        CHECK(r->n_content == length);
    return 0;
}

/* Wait until the server has no connection. */
static inline int tw_wait_no_conns(struct tw *w)
{
    for (unsigned i = 0; i < 20000 && nbd_n_connections(w->srv) > 0; i++) {
        if (i < 1000)
            rt_yield();
        else
            rt_sleep_ns(1000000);
    }
    CHECK(nbd_n_connections(w->srv) == 0);
    return 0;
}

#endif
