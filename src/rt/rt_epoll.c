/* SPDX-License-Identifier: Apache-2.0 */
/* The epoll back end: sockets by readiness, files by worker threads.
 *
 * A socket op is tried in the next wait(); only when it would block is the socket armed, for one
 * event (EPOLLONESHOT). So a socket is in a reactor's set with events only while an op of that
 * reactor is active: no event can meet a socket that has been closed or handed on. Each op that
 * is to be tried stands in `pending`. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rt/rt_internal.h"

#define MAX_EVENTS 64

struct epoll {
    int fd, wake_fd;
    bool no_pwait2;
    struct rt_job *pending, **pending_tail;
    unsigned n_armed;
};

static struct epoll *epoll_of(const struct rt_reactor *r)
{
    return r->backend;
}

static int epoll_init(struct rt_reactor *r, struct ash_err *err)
{
    struct epoll *e = calloc(1, sizeof(*e));
    if (!e)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for a reactor");
    e->pending_tail = &e->pending;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* edge-triggered: each write is one event, nothing has to be read */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (e->fd < 0 || e->wake_fd < 0 || epoll_ctl(e->fd, EPOLL_CTL_ADD, e->wake_fd, &ev)) {
        int rc = -errno;
        if (e->fd >= 0)
            close(e->fd);
        if (e->wake_fd >= 0)
            close(e->wake_fd);
        free(e);
        return ash_err_set_rc(err, rc, ASH_E_RT_SETUP, NULL, "epoll cannot be set up: %s",
                              ash_strerror(rc));
    }
    r->backend = e;
    return 0;
}

static void epoll_fini(struct rt_reactor *r)
{
    struct epoll *e = epoll_of(r);
    close(e->wake_fd);
    close(e->fd);
    free(e);
    r->backend = NULL;
}

static int epoll_enter(struct rt_reactor *r)
{
    return 0;
}

static void epoll_leave(struct rt_reactor *r)
{
}

static void epoll_submit(struct rt_op *op)
{
    if (op->kind < RT_OP_ACCEPT) {
        rt_op_to_pool(op);
        return;
    }
    struct epoll *e = epoll_of(op->reactor);
    op->backend[0] = true; /* pending */
    op->job.next = NULL;
    *e->pending_tail = &op->job;
    e->pending_tail = &op->job.next;
}

/* Set what the socket is armed for. */
static int arm(struct rt_reactor *r, struct rt_sock *sock, uint32_t events)
{
    struct epoll *e = epoll_of(r);
    if (sock->poll_reactor == r && sock->poll_events == events)
        return 0;
    struct epoll_event ev = {.events = events | EPOLLONESHOT, .data.ptr = sock};
    int op = EPOLL_CTL_MOD;
    if (events == 0)
        op = EPOLL_CTL_DEL; /* armed for nothing it would still report a hang-up, for ever */
    if (sock->poll_reactor != r) {
        if (sock->poll_reactor)
            epoll_ctl(epoll_of(sock->poll_reactor)->fd, EPOLL_CTL_DEL, sock->fd, NULL);
        sock->poll_reactor = NULL;
        op = EPOLL_CTL_ADD;
    }
    RT_STAT(r, n_syscalls, 1);
    if (epoll_ctl(e->fd, op, sock->fd, &ev))
        return -errno;
    if (sock->poll_reactor == r && sock->poll_events)
        e->n_armed--;
    sock->poll_reactor = events ? r : NULL;
    sock->poll_events = events;
    if (events)
        e->n_armed++;
    return 0;
}

static uint32_t event_of(const struct rt_op *op)
{
    return op->kind == RT_OP_SEND ? EPOLLOUT : EPOLLIN;
}

static int64_t call_once(struct rt_op *op)
{
    struct iovec room;
    const struct iovec *iov;
    ssize_t res;
    if (op->kind == RT_OP_ACCEPT) {
        res = accept4(op->sock->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return res < 0 ? -errno : res;
    }
    if (op->kind == RT_OP_POLL) {
        struct pollfd pfd = {.fd = op->sock->fd, .events = POLLIN};
        res = poll(&pfd, 1, 0);
        return res < 0 ? -errno : res > 0 ? 0 : -EAGAIN;
    }
    struct msghdr msg = {0};
    msg.msg_iovlen = rt_op_rest(op, &iov, &room);
    msg.msg_iov = (struct iovec *)(uintptr_t)iov;
    if (op->kind == RT_OP_SEND)
        res = sendmsg(op->sock->fd, &msg,
                      MSG_NOSIGNAL | MSG_DONTWAIT | (op->flags & RT_OP_MORE ? MSG_MORE : 0));
    else if (op->sock->is_plain)
        res = readv(op->sock->fd, msg.msg_iov, (int)msg.msg_iovlen);
    else
        res = recvmsg(op->sock->fd, &msg, MSG_DONTWAIT);
    return res < 0 ? -errno : res;
}

/* Try until the op ends or would block; then arm its socket. */
static void try_op(struct rt_reactor *r, struct rt_op *op)
{
    for (;;) {
        RT_STAT(r, n_syscalls, 1);
        int64_t res = call_once(op);
        if (res == -EAGAIN && __atomic_load_n(&op->sock->is_shut, __ATOMIC_ACQUIRE))
            res = -ESHUTDOWN; /* a Unix listener that was shut down says so only by EPOLLHUP */
        if (res == -EAGAIN) {
            int rc = arm(r, op->sock,
                         (op->sock->poll_reactor == r ? op->sock->poll_events : 0) | event_of(op));
            if (rc)
                rt_op_finish(op, rc);
            return;
        }
        if (rt_op_step(op, res))
            return;
    }
}

static void try_pending(struct rt_reactor *r)
{
    struct epoll *e = epoll_of(r);
    while (e->pending) {
        struct rt_op *op = ash_container_of(e->pending, struct rt_op, job);
        e->pending = op->job.next;
        if (!e->pending)
            e->pending_tail = &e->pending;
        op->backend[0] = false;
        try_op(r, op);
    }
}

static void epoll_cancel(struct rt_op *op)
{
    struct epoll *e = epoll_of(op->reactor);
    if (op->backend[0]) {
        struct rt_job **at = &e->pending;
        while (*at != &op->job)
            at = &(*at)->next;
        *at = op->job.next;
        if (!*at)
            e->pending_tail = at;
    } else {
        arm(op->reactor, op->sock, op->sock->poll_events & ~event_of(op));
    }
    rt_op_finish(op, -ECANCELED);
}

static void sock_event(struct rt_reactor *r, struct rt_sock *sock, uint32_t events)
{
    struct epoll *e = epoll_of(r);
    uint32_t armed = sock->poll_events;
    /* one shot: it is disarmed now; what does not get its event is armed again below */
    if (armed)
        e->n_armed--;
    sock->poll_events = 0;
    if (events & (EPOLLERR | EPOLLHUP))
        events |= EPOLLIN | EPOLLOUT;
    for (int i = 0; i < 2; i++) {
        struct rt_op *op = sock->dir[i].active;
        uint32_t want = i ? EPOLLOUT : EPOLLIN;
        if (!op || op->backend[0] || !(armed & want))
            continue;
        if (events & want)
            epoll_submit(op);
        else if (arm(r, sock, sock->poll_events | want))
            rt_op_finish(op, -EIO);
    }
}

static int wait_events(struct rt_reactor *r, struct epoll_event *events, uint64_t timeout_ns)
{
    struct epoll *e = epoll_of(r);
    RT_STAT(r, n_syscalls, 1);
    if (timeout_ns != 0 && timeout_ns != RT_NEVER_NS && !e->no_pwait2) {
        struct timespec ts = {
            .tv_sec = (time_t)(timeout_ns / 1000000000u),
            .tv_nsec = (long)(timeout_ns % 1000000000u),
        };
        int n = epoll_pwait2(e->fd, events, MAX_EVENTS, &ts, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        e->no_pwait2 = true;
    }
    int timeout_ms = -1;
    if (timeout_ns != RT_NEVER_NS)
        timeout_ms = (int)ASH_MIN(ash_div_up(timeout_ns, 1000000), (uint64_t)INT32_MAX);
    return epoll_wait(e->fd, events, MAX_EVENTS, timeout_ms);
}

static void epoll_wait_some(struct rt_reactor *r, uint64_t timeout_ns)
{
    struct epoll *e = epoll_of(r);
    struct epoll_event events[MAX_EVENTS];
    try_pending(r);
    if (r->ready)
        timeout_ns = 0;
    if (timeout_ns == 0 && e->n_armed == 0)
        return;
    int n = wait_events(r, events, timeout_ns);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr)
            sock_event(r, events[i].data.ptr, events[i].events);
    }
    try_pending(r);
}

static void epoll_wake(struct rt_reactor *r)
{
    uint64_t one = 1;
    ssize_t n = write(epoll_of(r)->wake_fd, &one, sizeof(one));
    ASH_ASSERT(n == (ssize_t)sizeof(one));
}

static void epoll_forget(struct rt_sock *sock)
{
    /* closing would do, unless somebody holds a copy of the descriptor */
    if (sock->poll_reactor)
        epoll_ctl(epoll_of(sock->poll_reactor)->fd, EPOLL_CTL_DEL, sock->fd, NULL);
}

const struct rt_backend_ops rt_epoll_ops = {
    .name = "epoll",
    .init = epoll_init,
    .fini = epoll_fini,
    .enter = epoll_enter,
    .leave = epoll_leave,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .wait = epoll_wait_some,
    .wake = epoll_wake,
    .forget = epoll_forget,
};
