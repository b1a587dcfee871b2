/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the JSON-RPC tests: a simulated world, toy methods, a client on a socket pair.
 * Checks abort the program: a test body runs on a task's stack, where cmocka cannot jump from. */
#ifndef TESTS_UNIT_JSONRPC_WORLD_H
#define TESTS_UNIT_JSONRPC_WORLD_H

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

#include "ctl/jsonrpc/jsonrpc.h"

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond);                             \
            fprintf(stderr, " " __VA_ARGS__);                                                      \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct client {
    struct rt_sock *sock;
    char *got; /* what has arrived and was not taken yet; from malloc, which no test lets fail */
    size_t n_got;
    bool ended;
};

static inline void client_connect(struct jsonrpc_server *srv, struct client *c)
{
    struct rt_sock *far;
    *c = (struct client){0};
    CHECK(rt_sock_pair(&c->sock, &far) == 0);
    CHECK(jsonrpc_adopt(srv, far) == 0);
}

static inline int64_t client_op(struct client *c, int kind, char *data, size_t n_bytes)
{
    struct rt_op op = {.kind = (uint8_t)kind, .sock = c->sock, .n_iov = 1};
    op.one_iov = (struct iovec){.iov_base = data, .iov_len = n_bytes};
    op.iov = &op.one_iov;
    return rt_op_wait(&op);
}

/* In random pieces; seed 0: in one. */
static inline bool client_send(struct client *c, const char *data, size_t n_bytes, unsigned seed)
{
    while (n_bytes) {
        size_t n = n_bytes;
        if (seed) {
            seed = seed * 1103515245u + 12345u;
            n = ASH_MIN(n, 1 + (seed >> 16) % 13);
        }
        int64_t res = client_op(c, RT_OP_SEND, (char *)data, n);
        if (res < 0)
            return false; /* the server has closed; the reading side tells */
        data += n;
        n_bytes -= n;
    }
    return true;
}

static inline bool client_text(struct client *c, const char *text)
{
    return client_send(c, text, strlen(text), 0);
}

/* One more piece of the stream. */
static inline void client_more(struct client *c)
{
    enum { ROOM = 65536 }; /* too much for a task's stack */
    char *buf = malloc(ROOM);
    CHECK(buf);
    int64_t res = client_op(c, RT_OP_RECV, buf, ROOM);
    if (res <= 0)
        c->ended = true;
    else
        c->got = realloc(c->got, c->n_got + (size_t)res + 1);
    CHECK(res <= 0 || c->got);
    if (res > 0) {
        memcpy(c->got + c->n_got, buf, (size_t)res);
        c->n_got += (size_t)res;
        c->got[c->n_got] = '\0';
    }
    free(buf);
}

/* The next line without its end, on the heap; NULL at the end of the stream. */
static inline char *client_line(struct client *c)
{
    char *nl;
    while (!(nl = c->got ? memchr(c->got, '\n', c->n_got) : NULL)) {
        if (c->ended)
            return NULL;
        client_more(c);
    }
    size_t n = (size_t)(nl - c->got);
    char *line = strndup(c->got, n);
    memmove(c->got, nl + 1, c->n_got - n - 1);
    c->n_got -= n + 1;
    c->got[c->n_got] = '\0';
    CHECK(line);
    return line;
}

static inline void client_expect(struct client *c, const char *want)
{
    char *line = client_line(c);
    CHECK(line && strcmp(line, want) == 0, "\n  got  %s\n  want %s", line ? line : "(end)", want);
    free(line);
}

static inline void client_expect_end(struct client *c)
{
    char *line = client_line(c);
    CHECK(!line && c->n_got == 0, "more than expected: %s", line ? line : c->got);
}

static inline void client_close(struct client *c)
{
    rt_sock_shutdown(c->sock);
    rt_sock_close(c->sock);
    free(c->got);
}

/* Send a request, take the reply apart. *ret_reply must be put. */
static inline struct json_object *client_call(struct client *c, const char *request)
{
    client_text(c, request);
    char *line = client_line(c);
    CHECK(line, "no reply to %s", request);
    struct json_object *v = NULL;
    struct ash_err err = {0};
    CHECK(jsonrpc_parse(line, strlen(line), &v, &err) == 0, "%s: %s", line, err.text);
    free(line);
    return v;
}

static inline struct json_object *member(struct json_object *obj, const char *name)
{
    struct json_object *v = NULL;
    json_object_object_get_ex(obj, name, &v);
    return v;
}

/* Run body in a simulated world of its own. */
static inline void in_world(int (*body)(void *arg), void *arg)
{
    struct rt_opts opts;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 2;
    opts.seed = 1;
    struct rt *rt;
    struct ash_err err = {0};
    CHECK(rt_create(&opts, &rt, &err) == 0, "%s", err.text);
    CHECK(rt_run_task(rt, "test", body, arg) == 0);
    rt_destroy(rt);
}

struct setup {
    struct ash_engine *engine;
    struct jsonrpc_server *srv;
    struct client c;
};

static inline void setup_begin(struct setup *s, const struct ash_engine_opts *eopts,
                               const struct jsonrpc_opts *opts)
{
    struct ash_err err = {0};
    static const struct jsonrpc_opts none;
    CHECK(ash_engine_create(eopts, &s->engine, &err) == 0, "%s", err.text);
    CHECK(jsonrpc_serve_only(s->engine, opts ? opts : &none, &s->srv, &err) == 0, "%s", err.text);
    client_connect(s->srv, &s->c);
}

static inline void setup_end(struct setup *s)
{
    client_close(&s->c);
    jsonrpc_close(s->srv);
    ash_engine_destroy(s->engine);
}

#endif
