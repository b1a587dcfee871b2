/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that somebody else opened and that speak in whole messages: they are polled by the
 * reactor (RT_OP_POLL) and then read without waiting. io_uring's own read is of no use here: a
 * device without FMODE_NOWAIT would be read by a kernel worker that waits. */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "rt/rt_internal.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

int rt_watch_fd(int fd, struct rt_sock **ret_sock)
{
    struct rt *rt = rt_world();
    if (rt->sim)
        return -ENOTSUP;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    int flags = fcntl(copy, F_GETFL);
    if (flags < 0 || fcntl(copy, F_SETFL, flags | O_NONBLOCK)) {
        int rc = -errno;
        close(copy);
        return rc;
    }
    struct rt_sock *sock = rt_sock_new(rt, copy);
    if (!sock) {
        close(copy);
        return -ENOMEM;
    }
    sock->is_plain = true;
    *ret_sock = sock;
    return 0;
}

int64_t rt_watch_read(struct rt_sock *sock, void *buf, size_t n_bytes)
{
    ASH_ASSERT(sock->is_plain && rt_tls_self != NULL);
    ssize_t n;
    RT_STAT(rt_tls_self, n_syscalls, 1);
    do
        n = read(sock->fd, buf, n_bytes);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

bool rt_thread_serves_io(void)
{
    return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
}
