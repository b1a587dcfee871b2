/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of a FUSE mount, played by a test: requests go to the export through a pair of
 * sockets that keep messages whole, as /dev/fuse does; its answers come back by a call. The layout
 * of messages is that of linux/fuse.h. One at a time. */
#ifndef ASH_TESTS_FUSE_KERNEL_H
#define ASH_TESTS_FUSE_KERNEL_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "export/fuse/fuse_int.h"

struct fuse_kernel {
    int fd; /* the kernel's end */
    uint64_t last_unique;
    /* Every answer, whole, before the write of it returns. */
    void (*answer)(void *arg, const struct fuse_out_header *out, const struct iovec *iov, int n);
    void *arg;
};

static struct fuse_kernel *fuse_kernel_now;

static ssize_t fuse_kernel_writev(int fd, struct iovec *iov, int n, void *userdata)
{
    const struct fuse_kernel *k = fuse_kernel_now;
    ssize_t n_bytes = 0;
    for (int i = 0; i < n; i++)
        n_bytes += (ssize_t)iov[i].iov_len;
    ASH_ASSERT(n > 0 && iov[0].iov_len >= sizeof(struct fuse_out_header));
    const struct fuse_out_header *out = iov[0].iov_base;
    ASH_ASSERT(out->len == n_bytes && out->error <= 0 && out->error > -512);
    ASH_ASSERT(out->error == 0 || out->len == sizeof(*out));
    k->answer(k->arg, out, iov, n);
    return n_bytes;
}

static ssize_t fuse_kernel_read(int fd, void *buf, size_t n, void *userdata)
{
    return -ENOTSUP; /* the export reads for itself */
}

/* A mount of the name dir with no files yet; fexp_add puts some there. */
static int fuse_kernel_mount(struct fuse_kernel *k, struct fexp_server *srv, const char *dir)
{
    static const struct fuse_custom_io io = {.writev = fuse_kernel_writev,
                                             .read = fuse_kernel_read};
    char prog[] = "test";
    char *argv[] = {prog, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
        return -errno;
    struct fexp_mount *m = fexp_mount_new(srv, dir);
    ASH_ASSERT(m);
    fuse_kernel_now = k;
    k->fd = fds[0];
    m->se = fuse_session_new(&args, &fexp_ops, sizeof(fexp_ops), m);
    fuse_opt_free_args(&args);
    ASH_ASSERT(m->se && fuse_session_custom_io(m->se, &io, fds[1]) == 0);
    ASH_ASSERT(rt_watch_fd(fds[1], &m->sock) == 0);
    m->opening = false;
    fexp_rx_start(m);
    return 0;
}

/* A message of the body's length, its number on return. false: there is no room for it now. */
static bool fuse_kernel_ask(struct fuse_kernel *k, uint32_t opcode, uint64_t ino, const void *body,
                            size_t n_body, const void *more, size_t n_more)
{
    struct fuse_in_header in = {.len = (uint32_t)(sizeof(in) + n_body + n_more),
                                .opcode = opcode,
                                .unique = ++k->last_unique,
                                .nodeid = ino};
    struct iovec iov[3] = {
        {&in, sizeof(in)}, {(void *)(uintptr_t)body, n_body}, {(void *)(uintptr_t)more, n_more}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    return sendmsg(k->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* What every mount begins with. */
static bool fuse_kernel_init(struct fuse_kernel *k)
{
    struct fuse_init_in init = {.major = FUSE_KERNEL_VERSION,
                                .minor = FUSE_KERNEL_MINOR_VERSION,
                                .max_readahead = 1 << 20,
                                .flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC};
    return fuse_kernel_ask(k, FUSE_INIT, 0, &init, sizeof(init), NULL, 0);
}

#endif
