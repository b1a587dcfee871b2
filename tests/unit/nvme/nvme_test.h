/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the initiator's tests: one simulated world with our target, a wire that can be cut,
 * stalled, slowed or made to lie, and our initiator at its other end. Checks abort the program: a
 * test body runs on a task's stack, where cmocka cannot jump from. */
#ifndef TESTS_UNIT_NVME_NVME_TEST_H
#define TESTS_UNIT_NVME_NVME_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bdev/nvme/host.h"
#include "ctl/jsonrpc/jsonrpc.h"
#include "engine/engine.h"
#include "rt/rt_sim.h"

#include "../jsonrpc/world.h"

#define NQN         "nqn.2016-06.io.spdk:cnode1"
#define BLOCK       512u
#define DISK_BLOCKS 2048u
#define SECOND      UINT64_C(1000000000)

/* --------------------------------------------------------------------- wire */

enum wire_side { TO_TARGET, TO_HOST };
enum wire_trick { WIRE_PASS, WIRE_CUT, WIRE_FLIP, WIRE_STALL };

/* One trick, played once: when `at` bytes have gone that way, over all connections. */
struct wire {
    const char *address;
    struct rt_sock *listener;
    enum wire_trick trick;
    enum wire_side side;
    uint64_t at, n_bytes[2];
    bool is_played, is_slow, is_closed, is_recorded;
    unsigned n_tasks, n_connections, n_refused;
    uint64_t refused_at_ns[16];
    struct rt_waitq end_q;
    struct wire_link {
        struct wire *wire;
        struct rt_sock *near, *far;
        unsigned n_pumps;
        bool is_stalled;
        uint8_t *said; /* to the host, when it is recorded */
        size_t n_said;
    } * links[256];
    unsigned n_links;
};

struct wire_pump {
    struct wire_link *l;
    enum wire_side side;
};

static inline int64_t wire_op(struct rt_sock *sock, int kind, void *buf, size_t n)
{
    struct rt_op op = {.kind = (uint8_t)kind, .sock = sock, .n_iov = 1};
    op.one_iov = (struct iovec){buf, n};
    op.iov = &op.one_iov;
    return rt_op_wait(&op);
}

static inline void wire_end(struct wire_link *l)
{
    rt_sock_shutdown(l->near);
    rt_sock_shutdown(l->far);
}

/* False: the connection ends here. */
static inline bool wire_play(struct wire_link *l, enum wire_side side, uint8_t *buf, int64_t *n)
{
    struct wire *w = l->wire;
    uint64_t from = w->n_bytes[side];
    w->n_bytes[side] += (uint64_t)*n;
    if (w->trick == WIRE_PASS || w->is_played || side != w->side || w->n_bytes[side] <= w->at)
        return true;
    w->is_played = true;
    if (w->trick == WIRE_FLIP) {
        buf[w->at - from] ^= 0x40;
        return true;
    }
    *n = (int64_t)(w->at - from);
    l->is_stalled = w->trick == WIRE_STALL;
    return w->trick == WIRE_STALL;
}

static inline void wire_pump_task(void *arg)
{
    struct wire_pump *p = arg;
    struct wire_link *l = p->l;
    enum { ROOM = 8192 };
    uint8_t *buf = malloc(ROOM);
    struct rt_sock *in = p->side == TO_TARGET ? l->near : l->far;
    struct rt_sock *out = p->side == TO_TARGET ? l->far : l->near;
    for (;;) {
        int64_t n = wire_op(in, RT_OP_RECV, buf, l->wire->is_slow ? 1 : ROOM);
        if (n <= 0)
            break;
        if (l->wire->is_recorded && p->side == TO_HOST) {
            l->said = realloc(l->said, l->n_said + (size_t)n);
            memcpy(l->said + l->n_said, buf, (size_t)n);
            l->n_said += (size_t)n;
        }
        bool goes_on = wire_play(l, p->side, buf, &n);
        if (l->is_stalled)
            continue; /* swallowed */
        if ((n > 0 && wire_op(out, RT_OP_SEND, buf, (size_t)n) < 0) || !goes_on)
            break;
    }
    wire_end(l);
    free(buf);
    free(p);
    l->wire->n_tasks--;
    if (--l->n_pumps == 0) {
        rt_sock_close(l->near);
        rt_sock_close(l->far);
        l->near = l->far = NULL;
    }
    rt_waitq_wake_all(&l->wire->end_q);
}

static inline void wire_pump_start(struct wire_link *l, enum wire_side side)
{
    struct wire_pump *p = malloc(sizeof(*p));
    *p = (struct wire_pump){l, side};
    l->n_pumps++;
    l->wire->n_tasks++;
    CHECK(rt_task_spawn("wire", wire_pump_task, p) == 0);
}

static inline void wire_accept_task(void *arg)
{
    struct wire *w = arg;
    for (;;) {
        struct rt_op op = {.kind = RT_OP_ACCEPT, .sock = w->listener};
        struct rt_sock *far;
        if (rt_op_wait(&op) < 0)
            break;
        if (w->is_closed && w->n_refused < ASH_N_ELEMS(w->refused_at_ns))
            w->refused_at_ns[w->n_refused++] = rt_now_ns();
        if (w->is_closed || rt_connect("tcp://127.0.0.1:4420", &far, NULL) != 0) {
            rt_sock_close(op.ret_sock);
            continue;
        }
        struct wire_link *l = calloc(1, sizeof(*l));
        CHECK(w->n_links < ASH_N_ELEMS(w->links));
        w->links[w->n_links++] = l;
        w->n_connections++;
        *l = (struct wire_link){.wire = w, .near = op.ret_sock, .far = far};
        wire_pump_start(l, TO_TARGET);
        wire_pump_start(l, TO_HOST);
    }
    w->n_tasks--;
    rt_waitq_wake_all(&w->end_q);
}

static inline void wire_open(struct wire *w, const char *address)
{
    struct ash_err err = {0};
    w->address = address;
    rt_waitq_init(&w->end_q);
    CHECK(rt_listen(address, 0600, &w->listener, &err) == 0, "%s", err.text);
    w->n_tasks = 1;
    CHECK(rt_task_spawn("wire accept", wire_accept_task, w) == 0);
}

static inline void wire_cut_all(struct wire *w)
{
    for (unsigned i = 0; i < w->n_links; i++)
        if (w->links[i]->near)
            wire_end(w->links[i]);
}

static inline void wire_close(struct wire *w)
{
    w->is_closed = true;
    rt_sock_shutdown(w->listener);
    wire_cut_all(w);
    while (w->n_tasks)
        rt_waitq_wait(&w->end_q);
    rt_sock_close(w->listener);
    for (unsigned i = 0; i < w->n_links; i++) {
        free(w->links[i]->said);
        free(w->links[i]);
    }
}

/* ----------------------------------------------------------------- watchdog */

/* A world that goes on and on with keep-alives but ends nothing would never fail by itself. */
struct watchdog {
    struct rt_event over;
    struct rt_timer timer;
    struct rt_event ended;
};

static inline void watchdog_fired(struct rt_timer *timer)
{
    rt_event_set(&ash_container_of(timer, struct watchdog, timer)->over, -ETIMEDOUT);
}

static inline void watchdog_task(void *arg)
{
    struct watchdog *dog = arg;
    if (rt_event_wait(&dog->over) == -ETIMEDOUT) {
        struct rt_task_info infos[64];
        size_t n = 0;
        CHECK(rt_tasks(infos, ASH_N_ELEMS(infos), &n) == 0);
        for (size_t i = 0; i < n; i++)
            fprintf(stderr, "task %s: %s\n", infos[i].name, infos[i].step ? infos[i].step : "-");
        CHECK(false, "the world does not end");
    }
    rt_event_set(&dog->ended, 0);
}

static inline void watchdog_start(struct watchdog *dog)
{
    *dog = (struct watchdog){RT_EVENT_INIT, {.fire = watchdog_fired}, RT_EVENT_INIT};
    CHECK(rt_task_spawn("watchdog", watchdog_task, dog) == 0);
    rt_timer_start(&dog->timer, 2000 * SECOND);
}

static inline void watchdog_stop(struct watchdog *dog)
{
    rt_timer_stop(&dog->timer);
    rt_event_set(&dog->over, 0);
    rt_event_wait(&dog->ended);
}

/* -------------------------------------------------------------------- world */

struct nvme_world {
    struct setup s;
    struct wire wire;
    struct bdev_mgr *bdevs;
    struct watchdog dog;
};

static inline void rpc_ok(struct nvme_world *w, const char *method, const char *params)
{
    char request[2048];
    snprintf(request, sizeof(request),
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method, params);
    struct json_object *reply = client_call(&w->s.c, request);
    CHECK(member(reply, "result"), "%s %s: %s", method, params, json_object_to_json_string(reply));
    json_object_put(reply);
}

/* Code of the error, 0 for none; reason (may be NULL) must fit. */
static inline int rpc_fails(struct nvme_world *w, const char *method, const char *params,
                            const char *reason)
{
    char request[2048];
    snprintf(request, sizeof(request),
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method, params);
    struct json_object *reply = client_call(&w->s.c, request), *error = member(reply, "error");
    int code = error ? json_object_get_int(member(error, "code")) : 0;
    if (error && reason) {
        const char *is = json_object_get_string(member(member(error, "data"), "reason"));
        CHECK(is && strcmp(is, reason) == 0, "%s %s: %s", method, params,
              json_object_to_json_string(reply));
    }
    json_object_put(reply);
    return code;
}

static inline void target_up(struct nvme_world *w)
{
    rpc_ok(w, "bdev_malloc_create",
           "{\"name\":\"m0\",\"num_blocks\":2048,\"block_size\":512,"
           "\"uuid\":\"11111111-2222-3333-4444-555555555555\"}");
    rpc_ok(w, "nvmf_create_transport", "{\"trtype\":\"TCP\"}");
    rpc_ok(w, "nvmf_create_subsystem",
           "{\"nqn\":\"" NQN "\",\"allow_any_host\":true,\"ana_reporting\":true}");
    rpc_ok(w, "nvmf_subsystem_add_ns",
           "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m0\","
           "\"uuid\":\"21111111-2222-3333-4444-555555555555\"}}");
    rpc_ok(w, "nvmf_subsystem_add_listener",
           "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"adrfam\":\"IPv4\","
           "\"traddr\":\"127.0.0.1\",\"trsvcid\":\"4420\"}}");
}

static inline void world_up(struct nvme_world *w)
{
    memset(w, 0, sizeof(*w));
    setup_begin(&w->s, NULL, NULL);
    w->bdevs = pool_mgr_bdevs(ash_engine_pools(w->s.engine));
    watchdog_start(&w->dog);
    target_up(w);
    wire_open(&w->wire, "tcp://127.0.0.2:4420");
}

static inline void world_down(struct nvme_world *w)
{
    wire_close(&w->wire);
    watchdog_stop(&w->dog);
    setup_end(&w->s);
}

#define ATTACH_BASE                                                                                \
    "{\"name\":\"n\",\"trtype\":\"TCP\",\"adrfam\":\"IPv4\",\"traddr\":\"127.0.0.2\","             \
    "\"trsvcid\":\"4420\",\"subnqn\":\"" NQN "\",\"num_io_queues\":1"
/* more: further members, with their comma */
static inline int try_attach(struct nvme_world *w, const char *more)
{
    char params[1024];
    snprintf(params, sizeof(params), ATTACH_BASE "%s}", more);
    return rpc_fails(w, "bdev_nvme_attach_controller", params, NULL);
}

static inline void attach_ok(struct nvme_world *w, const char *more)
{
    int code = try_attach(w, more);
    CHECK(code == 0, "attach with %s: %d", more, code);
}

/* Run body in a simulated world of the seed. */
static inline void in_seeded_world(int (*body)(void *arg), void *arg, uint64_t seed,
                                   unsigned n_reactors)
{
    struct rt_opts opts;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = n_reactors;
    opts.seed = seed;
    struct rt *rt;
    struct ash_err err = {0};
    CHECK(rt_create(&opts, &rt, &err) == 0, "%s", err.text);
    int rc = rt_run_task(rt, "test", body, arg);
    CHECK(rc == 0, "rc %d, seed %llu", rc, (unsigned long long)seed);
    rt_destroy(rt);
}

struct disk {
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    struct rt_waitq gone_q;
    bool is_removed;
};

static inline void disk_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct disk *d = bdev_desc_user(desc);
    if (ev == BDEV_EVENT_REMOVE) {
        d->is_removed = true;
        rt_waitq_wake_all(&d->gone_q);
    }
}

static inline void disk_open(struct nvme_world *w, const char *name, struct disk *d)
{
    struct ash_err err = {0};
    memset(d, 0, sizeof(*d));
    rt_waitq_init(&d->gone_q);
    CHECK(bdev_open(w->bdevs, name, BDEV_OPEN_WRITE, "test", disk_event, d, &d->desc, &err) == 0,
          "%s", err.text);
    d->ch = bdev_channel_get(d->desc);
    CHECK(d->ch);
}

static inline void disk_close(struct disk *d)
{
    bdev_channel_put(d->ch);
    bdev_close(d->desc);
}

#endif
