/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as events of the control reactor: a signalfd read by an op that is pending as long as
 * anybody watches. Watched signals are blocked in the control thread; our other threads block
 * everything. */
#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "rt/rt_internal.h"

_Static_assert(sizeof(struct signalfd_siginfo) == 128, "rt.sig.info");

void rt_signals_init(struct rt *rt)
{
    sigemptyset(&rt->sig.set);
    rt->sig.fd = -1;
    rt_waitq_init(&rt->sig.ended);
}

void rt_signals_fire(struct rt *rt, int signo)
{
    struct rt_signal *next;
    for (struct rt_signal *s = rt->sig.list; s; s = next) {
        next = s->next;
        if (s->signo == signo)
            s->fire(s);
    }
}

static void start_reading(struct rt *rt);

static void signal_read(struct rt_op *op)
{
    struct rt *rt = op->reactor->rt;
    op->reactor->n_inflight++; /* counted down by the caller, but this one never counted */
    op->reactor->n_internal--;
    rt->sig.is_reading = false;
    if (op->res == (int64_t)sizeof(struct signalfd_siginfo)) {
        struct signalfd_siginfo info;
        memcpy(&info, rt->sig.info, sizeof(info));
        rt_signals_fire(rt, (int)info.ssi_signo);
    }
    if (rt->sig.list && op->res != -ECANCELED)
        start_reading(rt);
    else
        rt_waitq_wake_all(&rt->sig.ended);
}

static void start_reading(struct rt *rt)
{
    struct rt_op *op = &rt->sig.op;
    op->one_iov = (struct iovec){rt->sig.info, sizeof(rt->sig.info)};
    op->iov = &op->one_iov;
    op->n_iov = 1;
    op->kind = RT_OP_RECV;
    op->sock = rt->sig.sock;
    op->done = signal_read;
    rt->sig.is_reading = true;
    rt_op_submit(op);
    /* an idle world may wait for signals for ever: nothing to spin for */
    op->reactor->n_inflight--;
    op->reactor->n_internal++;
}

int rt_signal_watch(struct rt_signal *sig)
{
    struct rt *rt = rt_world();
    ASH_ASSERT(rt_tls_self->idx == 0);
    if (rt->sim) {
        sig->next = rt->sig.list;
        rt->sig.list = sig;
        return 0;
    }
    sigset_t set = rt->sig.set;
    if (sigaddset(&set, sig->signo))
        return -EINVAL;
    int flags = SFD_CLOEXEC | (rt->sockets_block ? 0 : SFD_NONBLOCK);
    int fd = signalfd(rt->sig.fd, &set, rt->sig.fd < 0 ? flags : 0);
    if (fd < 0)
        return -errno;
    if (!rt->sig.sock) {
        rt->sig.sock = rt_sock_new(rt, fd);
        if (!rt->sig.sock) {
            close(fd);
            return -ENOMEM;
        }
        rt->sig.sock->is_plain = true;
        rt->sig.fd = fd;
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    rt->sig.set = set;
    sig->next = rt->sig.list;
    rt->sig.list = sig;
    if (!rt->sig.is_reading)
        start_reading(rt);
    return 0;
}

static void stop_reading(struct rt *rt)
{
    while (rt->sig.is_reading) {
        rt_op_cancel(&rt->sig.op);
        rt_waitq_wait(&rt->sig.ended);
    }
    if (rt->sig.list) { /* somebody watches again meanwhile */
        signalfd(rt->sig.fd, &rt->sig.set, 0);
        start_reading(rt);
        return;
    }
    if (!rt->sig.sock)
        return;
    rt_sock_close(rt->sig.sock);
    rt->sig.sock = NULL;
    rt->sig.fd = -1;
}

void rt_signal_unwatch(struct rt_signal *sig)
{
    struct rt *rt = rt_world();
    ASH_ASSERT(rt_tls_self->idx == 0);
    bool is_used = false;
    for (struct rt_signal **at = &rt->sig.list; *at;) {
        if (*at == sig) {
            *at = sig->next;
            continue;
        }
        is_used |= (*at)->signo == sig->signo;
        at = &(*at)->next;
    }
    if (rt->sim || is_used)
        return;
    sigset_t gone;
    sigemptyset(&gone);
    sigaddset(&gone, sig->signo);
    sigdelset(&rt->sig.set, sig->signo);
    if (rt->sig.list)
        signalfd(rt->sig.fd, &rt->sig.set, 0);
    else
        stop_reading(rt);
    pthread_sigmask(SIG_UNBLOCK, &gone, NULL);
}
