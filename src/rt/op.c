/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: what is common to all back ends. A back end moves bytes once and reports the result
 * by rt_op_step(), which decides whether the op has ended or goes on with the rest. `length` holds
 * the total of a transfer while it runs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "rt/rt_internal.h"

#define MAX_PART_BYTES (1u << 30)
#define MAX_PART_IOVS  1024u

static bool is_sock_op(const struct rt_op *op)
{
    return op->kind >= RT_OP_ACCEPT;
}

static struct rt_sock_dir *dir_of(const struct rt_op *op)
{
    return &op->sock->dir[op->kind == RT_OP_SEND];
}

static void start(struct rt_op *op)
{
    const struct rt *rt = op->reactor->rt;
    bool is_transfer = op->kind == RT_OP_READ || op->kind == RT_OP_WRITE || op->kind == RT_OP_SEND;
    if (is_transfer && op->length == 0)
        rt_op_finish(op, 0);
    else if (op->kind == RT_OP_RECV && op->length == 0)
        rt_op_finish(op, -EINVAL); /* 0 would look like the end of the stream */
    else if ((op->kind == RT_OP_PUNCH || op->kind == RT_OP_ZERO) && !rt->sim)
        rt_op_to_pool(op);
    else
        rt->ops->submit(op);
}

void rt_op_submit(struct rt_op *op)
{
    struct rt_reactor *r = rt_tls_self;
    ASH_ASSERT(r != NULL && op->done != NULL);
    op->reactor = r;
    op->res = 0;
    op->done_bytes = 0;
    op->ret_sock = NULL;
    op->job.run = NULL;
    r->n_inflight++;
    RT_STAT(r, n_ops, 1);
    if (op->kind == RT_OP_READ || op->kind == RT_OP_WRITE || op->kind == RT_OP_SEND ||
        op->kind == RT_OP_RECV) {
        uint64_t total = 0;
        for (uint32_t i = 0; i < op->n_iov; i++)
            total += op->iov[i].iov_len;
        op->length = total;
    }
    if (is_sock_op(op)) {
        struct rt_sock_dir *dir = dir_of(op);
        if (dir->active) {
            op->job.next = NULL;
            *dir->queued_tail = &op->job;
            dir->queued_tail = &op->job.next;
            return;
        }
        dir->active = op;
    }
    start(op);
}

static void done_job(struct rt_job *job)
{
    struct rt_op *op = ash_container_of(job, struct rt_op, job);
    op->reactor->n_inflight--;
    op->done(op);
}

void rt_op_finish(struct rt_op *op, int64_t res)
{
    struct rt_reactor *r = op->reactor;
    op->res = res;
    op->job.run = done_job;
    if (is_sock_op(op)) {
        struct rt_sock_dir *dir = dir_of(op);
        if (dir->active == op) {
            dir->active = NULL;
            if (dir->queued) {
                struct rt_op *next = ash_container_of(dir->queued, struct rt_op, job);
                dir->queued = next->job.next;
                if (!dir->queued)
                    dir->queued_tail = &dir->queued;
                dir->active = next;
                rt_ready(r, &op->job);
                start(next);
                return;
            }
        }
    }
    rt_ready(r, &op->job);
}

static int64_t accepted(struct rt_op *op, int64_t fd)
{
    struct rt_sock *sock = rt_sock_accepted(op->sock, (int)fd);
    if (!sock) {
        close((int)fd);
        return -ENOMEM;
    }
    op->ret_sock = sock;
    return 0;
}

bool rt_op_step(struct rt_op *op, int64_t res)
{
    if (res == -EINTR || res == -EAGAIN)
        return false;
    if (res < 0) {
        /* direct I/O: the piece behind an end of file that is not a multiple of the sector */
        bool at_end = op->kind == RT_OP_READ && res == -EINVAL && op->done_bytes > 0;
        rt_op_finish(op, at_end ? (int64_t)op->done_bytes : res);
        return true;
    }
    switch (op->kind) {
    case RT_OP_READ:
    case RT_OP_WRITE:
    case RT_OP_SEND:
        op->done_bytes += (uint64_t)res;
        ASH_ASSERT(op->done_bytes <= op->length);
        if (res == 0 && op->kind != RT_OP_READ)
            rt_op_finish(op, -EIO);
        else if (res == 0 || op->done_bytes == op->length)
            rt_op_finish(op, (int64_t)op->done_bytes);
        else
            return false;
        return true;
    case RT_OP_ACCEPT:
        rt_op_finish(op, accepted(op, res));
        return true;
    default:
        rt_op_finish(op, res);
        return true;
    }
}

unsigned rt_op_rest(const struct rt_op *op, const struct iovec **ret_iov, struct iovec *room)
{
    uint64_t skip = op->done_bytes;
    uint32_t i = 0;
    while (i < op->n_iov && skip >= op->iov[i].iov_len)
        skip -= op->iov[i++].iov_len;
    ASH_ASSERT(i < op->n_iov);
    if (skip > 0 || op->iov[i].iov_len > MAX_PART_BYTES || i + 1 == op->n_iov) {
        room->iov_base = (char *)op->iov[i].iov_base + skip;
        room->iov_len = ASH_MIN(op->iov[i].iov_len - skip, (size_t)MAX_PART_BYTES);
        *ret_iov = room;
        return 1;
    }
    uint64_t n_bytes = 0;
    uint32_t n = 0;
    while (i + n < op->n_iov && n < MAX_PART_IOVS &&
           n_bytes + op->iov[i + n].iov_len <= MAX_PART_BYTES)
        n_bytes += op->iov[i + n++].iov_len;
    *ret_iov = op->iov + i;
    return n;
}

void rt_op_cancel(struct rt_op *op)
{
    ASH_ASSERT(op->reactor == rt_tls_self);
    const struct rt *rt = op->reactor->rt;
    bool is_pool_op =
        !is_sock_op(op) && !rt->sim &&
        (rt->ops == &rt_epoll_ops || op->kind == RT_OP_PUNCH || op->kind == RT_OP_ZERO);
    if (is_pool_op)
        return; /* with a worker, who will not be stopped (and job is his) */
    if (op->job.run == done_job)
        return; /* has ended, done is on its way */
    if (is_sock_op(op) && dir_of(op)->active != op) {
        struct rt_sock_dir *dir = dir_of(op);
        for (struct rt_job **at = &dir->queued; *at; at = &(*at)->next) {
            if (*at == &op->job) {
                *at = op->job.next;
                if (!*at)
                    dir->queued_tail = at;
                rt_op_finish(op, -ECANCELED);
                return;
            }
        }
        return;
    }
    rt->ops->cancel(op);
}

/* ------------------------------------------------------------------ task form */

static void wake_waiter(struct rt_op *op)
{
    rt_task_resume((struct rt_task *)(uintptr_t)op->backend[RT_OP_WAITER]);
}

int64_t rt_op_wait(struct rt_op *op)
{
    struct rt_task *self = rt_task_self();
    ASH_ASSERT(self != NULL);
    op->done = wake_waiter;
    op->backend[RT_OP_WAITER] = (uintptr_t)self;
    rt_op_submit(op);
    rt_task_suspend();
    return op->res;
}

/* -------------------------------------------------------------- worker threads */

/* Back on the reactor. */
static void worked_job(struct rt_job *job)
{
    struct rt_op *op = ash_container_of(job, struct rt_op, job);
    op->reactor->n_inflight--;
    op->done(op);
}

static void work_job(struct rt_job *job)
{
    struct rt_op *op = ash_container_of(job, struct rt_op, job);
    op->res = rt_file_op_run(op);
    op->job.run = worked_job;
    rt_post(op->reactor, &op->job);
}

void rt_op_to_pool(struct rt_op *op)
{
    op->job.run = work_job;
    rt_pool_put(op->reactor->rt, &op->job);
}
