/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated sockets: byte streams in memory, with a limit on what is under way and receives that
 * give as many bytes as the seed says. An active op is either delayed (its timer is armed) or waits
 * for the other end; kick() looks whether that has come. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "rt/sim_internal.h"

#define STREAM_BYTES (256u << 10)

struct rt_sim_sock {
    struct rt_sock *self, *peer; /* peer NULL: has closed */
    uint8_t *rx;                 /* ring of STREAM_BYTES; NULL until something comes */
    size_t rx_at, n_rx;
    bool peer_ended;      /* nothing comes any more */
    struct ash_list link; /* listener: in the world's list; not accepted yet: in the backlog */
    struct ash_list backlog;
};

static void kick(struct rt_sock *sock);

static struct rt_sock *sim_sock_new(struct rt *rt)
{
    struct rt_sock *sock = rt_sock_new(rt, -1);
    struct rt_sim_sock *s = sock ? rt_alloc(sizeof(*s)) : NULL;
    if (!s) {
        rt_free(sock);
        return NULL;
    }
    s->self = sock;
    ash_list_init(&s->link);
    ash_list_init(&s->backlog);
    sock->sim = s;
    rt->sim->n_socks++;
    return sock;
}

static void sim_sock_free(struct rt_sock *sock)
{
    rt_sim_sock_close(sock);
    rt_sock_free(sock);
}

int rt_sim_sock_pair(struct rt *rt, struct rt_sock **ret_a, struct rt_sock **ret_b)
{
    struct rt_sock *a = sim_sock_new(rt), *b = sim_sock_new(rt);
    if (!a || !b) {
        if (a)
            sim_sock_free(a);
        if (b)
            sim_sock_free(b);
        return -ENOMEM;
    }
    a->sim->peer = b;
    b->sim->peer = a;
    snprintf(a->address, sizeof(a->address), "unix://");
    snprintf(b->address, sizeof(b->address), "unix://");
    *ret_a = a;
    *ret_b = b;
    return 0;
}

static struct rt_sock *find_listener(struct rt *rt, const char *address)
{
    ash_list_for_each (pos, &rt->sim->listeners) {
        struct rt_sock *sock = ash_list_entry(pos, struct rt_sim_sock, link)->self;
        if (strcmp(sock->address, address) == 0)
            return sock;
    }
    return NULL;
}

int rt_sim_listen(struct rt *rt, const char *address, struct rt_sock **ret, struct ash_err *err)
{
    rt_yield();
    if (find_listener(rt, address))
        return ash_err_set(err, ASH_E_RT_SOCKET_BUSY, address, "'%s' is in use", address);
    struct rt_sock *sock = sim_sock_new(rt);
    if (!sock)
        return ash_err_set(err, ASH_E_NO_MEMORY, address, "no memory to listen on '%s'", address);
    size_t n = strlen(address);
    if (ash_starts_with(address, "tcp://") && strcmp(address + n - 2, ":0") == 0)
        snprintf(sock->address, sizeof(sock->address), "%.*s%u", (int)(n - 1), address,
                 40000 + rt->sim->n_ports++);
    else
        snprintf(sock->address, sizeof(sock->address), "%s", address);
    sock->is_listener = true;
    ash_list_push_tail(&rt->sim->listeners, &sock->sim->link);
    *ret = sock;
    return 0;
}

int rt_sim_connect(struct rt *rt, const char *address, struct rt_sock **ret, struct ash_err *err)
{
    rt_sleep_ns(1000 + rt_sim_below(rt, 50000));
    struct rt_sock *listener = find_listener(rt, address);
    if (!listener || listener->is_shut)
        return ash_err_set_rc(err, -ECONNREFUSED, ASH_E_RT_SOCKET, address,
                              "cannot connect to '%s': nobody listens", address);
    struct rt_sock *near, *far;
    if (rt_sim_sock_pair(rt, &near, &far))
        return ash_err_set(err, ASH_E_NO_MEMORY, address, "no memory to connect to '%s'", address);
    snprintf(near->address, sizeof(near->address), "%s", address);
    ash_list_push_tail(&listener->sim->backlog, &far->sim->link);
    kick(listener);
    *ret = near;
    return 0;
}

/* ------------------------------------------------------------------------ ops */

static struct rt_op *op_of(struct rt_timer *timer)
{
    return (struct rt_op *)(void *)((char *)timer - offsetof(struct rt_op, backend));
}

static void accept_fire(struct rt_timer *timer)
{
    struct rt_op *op = op_of(timer);
    struct ash_list *item = ash_list_pop_head(&op->sock->sim->backlog);
    if (!item) {
        rt_op_finish(op, -EINVAL); /* shut down */
        return;
    }
    op->ret_sock = ash_list_entry(item, struct rt_sim_sock, link)->self;
    rt_op_finish(op, 0);
}

static void recv_fire(struct rt_timer *timer)
{
    struct rt_op *op = op_of(timer);
    struct rt_sock *sock = op->sock;
    struct rt_sim_sock *s = sock->sim;
    if (sock->is_shut || s->n_rx == 0) {
        rt_op_finish(op, 0);
        return;
    }
    size_t n = (size_t)ASH_MIN((uint64_t)s->n_rx, op->length);
    if (rt_sim_below(sock->rt, 4) == 0)
        n = 1 + (size_t)rt_sim_below(sock->rt, n);
    size_t n_left = n;
    for (uint32_t i = 0; n_left > 0; i++) {
        uint8_t *to = op->iov[i].iov_base;
        for (size_t k = 0; k < op->iov[i].iov_len && n_left > 0;) {
            size_t part = ASH_MIN(op->iov[i].iov_len - k, n_left);
            part = ASH_MIN(part, STREAM_BYTES - s->rx_at);
            memcpy(to + k, s->rx + s->rx_at, part);
            s->rx_at = (s->rx_at + part) % STREAM_BYTES;
            k += part;
            n_left -= part;
        }
    }
    s->n_rx -= n;
    if (s->peer)
        kick(s->peer); /* there is room again */
    rt_op_finish(op, (int64_t)n);
}

/* Put bytes of the op into the peer's ring; false when the peer is out of memory. */
static bool push(struct rt_op *op, struct rt_sim_sock *to)
{
    if (!to->rx && !(to->rx = rt_alloc(STREAM_BYTES)))
        return false;
    while (op->done_bytes < op->length && to->n_rx < STREAM_BYTES) {
        const struct iovec *iov;
        struct iovec room;
        rt_op_rest(op, &iov, &room);
        size_t at = (to->rx_at + to->n_rx) % STREAM_BYTES;
        size_t n = ASH_MIN(iov->iov_len, STREAM_BYTES - to->n_rx);
        n = ASH_MIN(n, STREAM_BYTES - at);
        memcpy(to->rx + at, iov->iov_base, n);
        to->n_rx += n;
        op->done_bytes += n;
    }
    return true;
}

static void send_fire(struct rt_timer *timer)
{
    struct rt_op *op = op_of(timer);
    struct rt_sock *sock = op->sock, *peer = sock->sim->peer;
    if (sock->is_shut || !peer || peer->is_shut) {
        rt_op_finish(op, -EPIPE);
        return;
    }
    if (!push(op, peer->sim)) {
        rt_op_finish(op, -ENOBUFS);
        return;
    }
    kick(peer);
    if (op->done_bytes == op->length)
        rt_op_finish(op, (int64_t)op->length);
    /* else: the peer's next receive kicks us */
}

static void delay(struct rt_op *op, void (*fire)(struct rt_timer *timer))
{
    if (!rt_timer_armed(rt_sim_timer(op)))
        rt_sim_delay(op, fire, 8);
}

static void kick(struct rt_sock *sock)
{
    struct rt_sim_sock *s = sock->sim;
    struct rt_op *in = sock->dir[0].active, *out = sock->dir[1].active;
    if (in && in->kind == RT_OP_ACCEPT && (!ash_list_empty(&s->backlog) || sock->is_shut))
        delay(in, accept_fire);
    else if (in && in->kind == RT_OP_RECV &&
             (s->n_rx > 0 || s->peer_ended || !s->peer || sock->is_shut))
        delay(in, recv_fire);
    bool is_broken = sock->is_shut || !s->peer || s->peer->is_shut;
    if (out && (is_broken || s->peer->sim->n_rx < STREAM_BYTES))
        delay(out, send_fire);
}

void rt_sim_sock_submit(struct rt_op *op)
{
    memset(op->backend, 0, sizeof(struct rt_timer));
    kick(op->sock);
}

void rt_sim_sock_cancel(struct rt_op *op)
{
    struct rt_timer *timer = rt_sim_timer(op);
    if (timer->heap_pos)
        rt_timer_stop(timer);
    rt_op_finish(op, -ECANCELED);
}

void rt_sim_sock_shutdown(struct rt_sock *sock)
{
    struct rt_sock *peer = sock->sim->peer;
    kick(sock);
    if (peer) {
        peer->sim->peer_ended = true;
        kick(peer);
    }
}

void rt_sim_sock_close(struct rt_sock *sock)
{
    struct rt_sim_sock *s = sock->sim;
    struct ash_list *item;
    ash_list_remove(&s->link);
    while ((item = ash_list_pop_head(&s->backlog)) != NULL)
        sim_sock_free(ash_list_entry(item, struct rt_sim_sock, link)->self);
    if (s->peer) {
        s->peer->sim->peer_ended = true;
        s->peer->sim->peer = NULL;
        kick(s->peer);
    }
    sock->rt->sim->n_socks--;
    rt_free(s->rx);
    rt_free(s);
    sock->sim = NULL;
}
