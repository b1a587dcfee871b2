/* SPDX-License-Identifier: Apache-2.0 */
/* The io_uring back end: one ring per reactor (docs/spec/vhost-ublk-iouring.md part D).
 *
 * A ring is made disabled by rt_create and enabled by the thread that runs the reactor, which then
 * is its only issuer. Operations are queued without a system call; wait() submits them and takes
 * completions with one. A read of an eventfd that is always pending is the door bell for other
 * threads. Sockets are blocking descriptors here: io_uring polls them itself.
 *
 * op->backend: [0..6] struct msghdr, [7..8] struct iovec for a part of the caller's vector. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "rt/rt_internal.h"

#define SQ_ENTRIES  256u
#define CQ_ENTRIES  (4 * SQ_ENTRIES)
#define SQ_HELD_MAX 8 /* more are handed over at the end of the turn */

/* newer than the oldest headers we build with */
#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1u << 8)
#endif
#ifndef IORING_SETUP_TASKRUN_FLAG
#define IORING_SETUP_TASKRUN_FLAG (1u << 9)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1u << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1u << 13)
#endif
#ifndef IORING_SQ_TASKRUN
#define IORING_SQ_TASKRUN (1u << 2)
#endif

enum {
    TAG_WAKE = 1,
    TAG_IGNORE = 2,
};
#define TAG_LIB_TIMEOUT UINT64_MAX /* liburing's own, where the kernel has no EXT_ARG */

struct uring {
    struct io_uring ring;
    unsigned flags;
    int wake_fd;
    uint64_t wake_count;
    bool wake_armed, is_enabled;
    pthread_t owner;
};

_Static_assert(sizeof(struct msghdr) <= 7 * 8 && sizeof(struct iovec) == 2 * 8, "op->backend");

static struct uring *uring_of(const struct rt_reactor *r)
{
    return r->backend;
}

static int ring_make(struct uring *u)
{
    static const unsigned sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_R_DISABLED,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int rc = -ENOSYS;
    for (size_t i = 0; i < ASH_N_ELEMS(sets); i++) {
        struct io_uring_params p = {
            .flags = sets[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = CQ_ENTRIES,
        };
        rc = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &p);
        if (rc == 0) {
            u->flags = p.flags;
            u->is_enabled = !(p.flags & IORING_SETUP_R_DISABLED);
            u->wake_armed = false;
            return 0;
        }
        if (rc != -EINVAL)
            break;
    }
    return rc;
}

/* valgrind takes io_uring_enter for a call that does not wait: its other threads stand still until
 * then. */
static bool is_under_valgrind(void)
{
#ifdef RT_VALGRIND
    return RUNNING_ON_VALGRIND;
#else
    return false;
#endif
}

static bool has_opcodes(struct uring *u)
{
    static const int ops[] = {IORING_OP_READ,    IORING_OP_WRITE,        IORING_OP_READV,
                              IORING_OP_WRITEV,  IORING_OP_FSYNC,        IORING_OP_ACCEPT,
                              IORING_OP_RECV,    IORING_OP_SEND,         IORING_OP_RECVMSG,
                              IORING_OP_SENDMSG, IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD};
    struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
    if (!probe)
        return false;
    bool ok = (u->ring.features & IORING_FEAT_NODROP) != 0;
    for (size_t i = 0; i < ASH_N_ELEMS(ops); i++)
        ok = ok && io_uring_opcode_supported(probe, ops[i]);
    io_uring_free_probe(probe);
    return ok;
}

struct named_bit {
    const char *name;
    unsigned bit;
};

static void name_bits(struct ash_buf *out, const char *what, const struct named_bit *bits, size_t n,
                      unsigned value)
{
    ash_buf_fmt(out, "; %s", what);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (value & bits[i].bit)
            ash_buf_fmt(out, " %s", bits[i].name);
        any = any || value & bits[i].bit;
    }
    if (!any)
        ash_buf_str(out, " none");
}

static void uring_features(const struct rt_reactor *r, struct ash_buf *out)
{
    static const struct named_bit setups[] = {
        {"single_issuer", IORING_SETUP_SINGLE_ISSUER},
        {"defer_taskrun", IORING_SETUP_DEFER_TASKRUN},
        {"coop_taskrun", IORING_SETUP_COOP_TASKRUN},
        {"taskrun_flag", IORING_SETUP_TASKRUN_FLAG},
    };
    static const struct named_bit features[] = {
        {"nodrop", IORING_FEAT_NODROP},
        {"fast_poll", IORING_FEAT_FAST_POLL},
        {"ext_arg", IORING_FEAT_EXT_ARG},
        {"native_workers", IORING_FEAT_NATIVE_WORKERS},
    };
    struct uring *u = uring_of(r);
    name_bits(out, "setup", setups, ASH_N_ELEMS(setups), u->flags);
    name_bits(out, "features", features, ASH_N_ELEMS(features), u->ring.features);
    struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
    unsigned n = 0;
    for (int op = 0; probe && op <= probe->last_op; op++)
        n += io_uring_opcode_supported(probe, op) != 0;
    ash_buf_fmt(out, "; %u operations, all that are needed", n);
    if (probe)
        io_uring_free_probe(probe);
}

static int uring_init(struct rt_reactor *r, struct ash_err *err)
{
    struct uring *u = calloc(1, sizeof(*u));
    if (!u)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for a reactor");
    int rc = is_under_valgrind() ? -ENOSYS : ring_make(u);
    if (rc) {
        free(u);
        return ash_err_set(err, ASH_E_RT_NO_URING, NULL, "io_uring cannot be set up: %s",
                           ash_strerror(rc));
    }
    u->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (u->wake_fd < 0 || !has_opcodes(u)) {
        rc = u->wake_fd < 0 ? -errno : 0;
        if (u->wake_fd >= 0)
            close(u->wake_fd);
        io_uring_queue_exit(&u->ring);
        free(u);
        if (rc)
            return ash_err_set_rc(err, rc, ASH_E_RT_SETUP, NULL, "no eventfd: %s",
                                  ash_strerror(rc));
        return ash_err_set(err, ASH_E_RT_NO_URING, NULL,
                           "io_uring of this kernel lacks operations that are needed");
    }
    r->backend = u;
    return 0;
}

static void uring_fini(struct rt_reactor *r)
{
    struct uring *u = uring_of(r);
    io_uring_queue_exit(&u->ring);
    close(u->wake_fd);
    free(u);
    r->backend = NULL;
}

/* liburing 2.3 declares a function for this but does not export it. */
static int ring_enable(struct uring *u)
{
    long rc =
        syscall(__NR_io_uring_register, u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return rc < 0 ? -errno : 0;
}

static int uring_enter(struct rt_reactor *r)
{
    struct uring *u = uring_of(r);
    if (u->is_enabled && (u->flags & IORING_SETUP_SINGLE_ISSUER) &&
        !pthread_equal(u->owner, pthread_self())) {
        /* The ring belongs to the thread of an earlier run: make a new one. */
        if (r->n_inflight > 0 || r->n_internal > 0)
            return -EBUSY;
        io_uring_queue_exit(&u->ring);
        int rc = ring_make(u);
        if (rc)
            return rc;
    }
    if (!u->is_enabled) {
        int rc = ring_enable(u);
        if (rc)
            return rc;
        unsigned limits[2] = {r->rt->opts.n_workers_max, r->rt->opts.n_workers_max};
        io_uring_register_iowq_max_workers(&u->ring, limits); /* older kernels: as they like */
        u->is_enabled = true;
    }
    u->owner = pthread_self();
    io_uring_register_ring_fd(&u->ring); /* saves a look-up per call; harmless when refused */
    return 0;
}

static void uring_leave(struct rt_reactor *r)
{
    struct uring *u = uring_of(r);
    /* the registration belongs to the thread, and rt_destroy may run on another */
    io_uring_unregister_ring_fd(&u->ring);
}

/* ------------------------------------------------------------------ submitting */

static struct io_uring_sqe *get_sqe(struct rt_reactor *r)
{
    struct uring *u = uring_of(r);
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&u->ring)) == NULL) {
        /* full: hand over what is there and go on */
        int rc = io_uring_submit(&u->ring);
        RT_STAT(r, n_syscalls, 1);
        ASH_ASSERT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
        if (rc == -EBUSY || rc == -EAGAIN)
            io_uring_get_events(&u->ring);
    }
    return sqe;
}

static void prep_transfer(struct io_uring_sqe *sqe, struct rt_op *op)
{
    const struct iovec *iov;
    struct msghdr *msg = (struct msghdr *)op->backend;
    unsigned n = rt_op_rest(op, &iov, (struct iovec *)&op->backend[7]);
    uint64_t at = op->offset + op->done_bytes;
    int flags = MSG_NOSIGNAL | MSG_WAITALL | (op->flags & RT_OP_MORE ? MSG_MORE : 0);
    switch (op->kind) {
    case RT_OP_READ:
        if (n == 1)
            io_uring_prep_read(sqe, op->file->fd, iov->iov_base, (unsigned)iov->iov_len, at);
        else
            io_uring_prep_readv(sqe, op->file->fd, iov, n, at);
        return;
    case RT_OP_WRITE:
        if (n == 1)
            io_uring_prep_write(sqe, op->file->fd, iov->iov_base, (unsigned)iov->iov_len, at);
        else
            io_uring_prep_writev(sqe, op->file->fd, iov, n, at);
        sqe->rw_flags = op->flags & RT_OP_FUA ? RWF_DSYNC : 0;
        return;
    case RT_OP_SEND:
        if (n == 1) {
            io_uring_prep_send(sqe, op->sock->fd, iov->iov_base, iov->iov_len, flags);
            return;
        }
        memset(msg, 0, sizeof(*msg));
        msg->msg_iov = (struct iovec *)(uintptr_t)iov;
        msg->msg_iovlen = n;
        io_uring_prep_sendmsg(sqe, op->sock->fd, msg, (unsigned)flags);
        return;
    default: /* RECV */
        if (op->sock->is_plain) {
            io_uring_prep_readv(sqe, op->sock->fd, iov, n, (uint64_t)-1);
            return;
        }
        if (n == 1) {
            io_uring_prep_recv(sqe, op->sock->fd, iov->iov_base, iov->iov_len, 0);
            return;
        }
        memset(msg, 0, sizeof(*msg));
        msg->msg_iov = (struct iovec *)(uintptr_t)iov;
        msg->msg_iovlen = n;
        io_uring_prep_recvmsg(sqe, op->sock->fd, msg, 0);
        return;
    }
}

static void uring_submit(struct rt_op *op)
{
    struct io_uring_sqe *sqe = get_sqe(op->reactor);
    switch (op->kind) {
    case RT_OP_FSYNC:
        io_uring_prep_fsync(sqe, op->file->fd, IORING_FSYNC_DATASYNC);
        break;
    case RT_OP_ACCEPT:
        io_uring_prep_accept(sqe, op->sock->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case RT_OP_POLL:
        io_uring_prep_poll_add(sqe, op->sock->fd, POLLIN);
        break;
    default:
        prep_transfer(sqe, op);
        break;
    }
    io_uring_sqe_set_data(sqe, op);
}

static void uring_cancel(struct rt_op *op)
{
    struct io_uring_sqe *sqe = get_sqe(op->reactor);
    io_uring_prep_cancel(sqe, op, 0);
    io_uring_sqe_set_data64(sqe, TAG_IGNORE);
}

/* -------------------------------------------------------------------- waiting */

static void arm_wake(struct rt_reactor *r)
{
    struct uring *u = uring_of(r);
    if (u->wake_armed)
        return;
    struct io_uring_sqe *sqe = get_sqe(r);
    io_uring_prep_read(sqe, u->wake_fd, &u->wake_count, sizeof(u->wake_count), 0);
    io_uring_sqe_set_data64(sqe, TAG_WAKE);
    u->wake_armed = true;
}

static void completed(struct rt_reactor *r, const struct io_uring_cqe *cqe)
{
    uint64_t tag = io_uring_cqe_get_data64(cqe);
    if (tag == TAG_WAKE) {
        uring_of(r)->wake_armed = false;
        return;
    }
    if (tag == TAG_IGNORE || tag == TAG_LIB_TIMEOUT)
        return;
    struct rt_op *op = (struct rt_op *)(uintptr_t)tag;
    if (cqe->res == -EOPNOTSUPP && op->kind == RT_OP_WRITE && (op->flags & RT_OP_FUA))
        rt_op_to_pool(op); /* a file system without RWF_DSYNC: write and flush there */
    else if (!rt_op_step(op, cqe->res))
        uring_submit(op);
}

static void reap(struct rt_reactor *r)
{
    struct uring *u = uring_of(r);
    struct io_uring_cqe *cqes[64];
    unsigned n;
    do {
        n = io_uring_peek_batch_cqe(&u->ring, cqes, ASH_N_ELEMS(cqes));
        for (unsigned i = 0; i < n; i++)
            completed(r, cqes[i]);
        io_uring_cq_advance(&u->ring, n);
    } while (n == ASH_N_ELEMS(cqes));
}

static bool kernel_has_news(const struct uring *u)
{
    unsigned flags = __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED);
    return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static void uring_wait(struct rt_reactor *r, uint64_t timeout_ns)
{
    struct uring *u = uring_of(r);
    arm_wake(r);
    if (timeout_ns == 0) {
        if (io_uring_sq_ready(&u->ring) || kernel_has_news(u)) {
            RT_STAT(r, n_syscalls, 1);
            io_uring_submit_and_get_events(&u->ring);
        }
    } else {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec ts = {
            .tv_sec = (long long)(timeout_ns / 1000000000u),
            .tv_nsec = (long long)(timeout_ns % 1000000000u),
        };
        RT_STAT(r, n_syscalls, 1);
        if (timeout_ns == RT_NEVER_NS)
            io_uring_submit_and_wait(&u->ring, 1);
        else
            io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
    }
    /* Errors of these calls (EINTR, EBUSY, EAGAIN) leave the queue as it is: the next turn tries
     * again. */
    reap(r);
}

static bool uring_may_hold(struct rt_reactor *r)
{
    return io_uring_sq_ready(&uring_of(r)->ring) <= SQ_HELD_MAX;
}

static void uring_wake(struct rt_reactor *r)
{
    uint64_t one = 1;
    ssize_t n = write(uring_of(r)->wake_fd, &one, sizeof(one));
    ASH_ASSERT(n == (ssize_t)sizeof(one));
}

const struct rt_backend_ops rt_uring_ops = {
    .name = "uring",
    .init = uring_init,
    .fini = uring_fini,
    .enter = uring_enter,
    .leave = uring_leave,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .wait = uring_wait,
    .may_hold = uring_may_hold,
    .wake = uring_wake,
    .features = uring_features,
};
