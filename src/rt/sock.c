/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: addresses, listening, connecting, closing. Bytes move through ops. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "rt/rt_internal.h"

#define BACKLOG         512
#define SEND_ROOM_BYTES (1 << 20)

struct rt_sock *rt_sock_new(struct rt *rt, int fd)
{
    struct rt_sock *sock = rt_alloc(sizeof(*sock));
    if (!sock)
        return NULL;
    sock->rt = rt;
    sock->fd = fd;
    sock->lock_fd = -1;
    for (int i = 0; i < 2; i++)
        sock->dir[i].queued_tail = &sock->dir[i].queued;
    return sock;
}

void rt_sock_free(struct rt_sock *sock)
{
    rt_free(sock->path);
    rt_free(sock);
}

/* ------------------------------------------------------------------ addresses */

struct address {
    bool is_unix;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char host[128], port[8];
};

static int parse_tcp(const char *text, struct address *a)
{
    const char *host = text, *host_end, *port;
    if (*host == '[') {
        host++;
        host_end = strchr(host, ']');
        if (!host_end || host_end[1] != ':')
            return -EINVAL;
        port = host_end + 2;
    } else {
        host_end = strrchr(host, ':');
        if (!host_end || memchr(host, ':', (size_t)(host_end - host)))
            return -EINVAL; /* IPv6 wants brackets */
        port = host_end + 1;
    }
    uint64_t n;
    size_t n_host = (size_t)(host_end - host);
    if (n_host == 0 || n_host >= sizeof(a->host) || ash_parse_u64(port, 65535, &n))
        return -EINVAL;
    memcpy(a->host, host, n_host);
    snprintf(a->port, sizeof(a->port), "%u", (unsigned)n);
    return 0;
}

static int parse_address(const char *text, struct address *a, struct ash_err *err)
{
    memset(a, 0, sizeof(*a));
    if (ash_starts_with(text, "unix:///")) {
        const char *path = text + strlen("unix://");
        size_t n = strlen(path);
        if (n >= sizeof(a->path))
            return ash_err_set(err, ASH_E_RT_BAD_ADDRESS, text,
                               "the path of '%s' is longer than %zu bytes", text,
                               sizeof(a->path) - 1);
        a->is_unix = true;
        memcpy(a->path, path, n + 1);
        if (path[n - 1] != '/')
            return 0;
    } else if (ash_starts_with(text, "tcp://") && parse_tcp(text + strlen("tcp://"), a) == 0) {
        return 0;
    }
    return ash_err_set(err, ASH_E_RT_BAD_ADDRESS, text,
                       "'%s' is neither unix:///PATH nor tcp://ADDRESS:PORT", text);
}

/* Room for brackets, colon and port beside the longest numeric host. */
static void describe(const struct sockaddr *sa, socklen_t n_sa, char *text, size_t n_text)
{
    char host[96], port[16];
    if (sa->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
        size_t head = offsetof(struct sockaddr_un, sun_path);
        int n = n_sa > head ? (int)strnlen(un->sun_path, n_sa - head) : 0;
        snprintf(text, n_text, "unix://%.*s", n, un->sun_path);
    } else if (getnameinfo(sa, n_sa, host, sizeof(host), port, sizeof(port),
                           NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        bool is_v6 = sa->sa_family == AF_INET6;
        snprintf(text, n_text, "tcp://%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    } else {
        snprintf(text, n_text, "unknown");
    }
}

static void describe_peer(struct rt_sock *sock)
{
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);
    if (getpeername(sock->fd, (struct sockaddr *)&ss, &n) == 0)
        describe((struct sockaddr *)&ss, n, sock->address, sizeof(sock->address));
}

static void set_nodelay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* not TCP: refused, fine */
}

/* A Unix socket takes half of its default size at a time, and each time it is full both sides have
 * to wait for one another. (TCP sizes its buffers itself.) Without the privilege the system's limit
 * holds, which is still twice the default. */
static void set_room(int fd)
{
    int n = SEND_ROOM_BYTES, family = 0;
    socklen_t n_family = sizeof(family);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n_family) || family != AF_UNIX)
        return;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof(n)))
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
}

static void set_blocking(int fd, bool is_blocking)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, is_blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

/* ------------------------------------------------------------------ listening */

struct sock_args {
    const struct address *address;
    unsigned mode;
    int fd, lock_fd;
    const char *what; /* the step that failed */
};

/* docs/spec/spdk-jsonrpc.md 1.1. A holder that ends removes the lock file, so the one locked here
 * must still be the one that the path names. */
static int take_path(struct sock_args *a)
{
    char path[sizeof(a->address->path) + 8];
    snprintf(path, sizeof(path), "%s.lock", a->address->path);
    for (;;) {
        a->what = "opening its lock file";
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -errno;
        struct stat mine, now;
        a->what = "taking its lock file";
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            int rc = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
            close(fd);
            return rc;
        }
        if (fstat(fd, &mine) == 0 && stat(path, &now) == 0 && mine.st_ino == now.st_ino &&
            mine.st_dev == now.st_dev) {
            a->lock_fd = fd;
            break;
        }
        close(fd);
    }
    struct stat st;
    if (lstat(a->address->path, &st) == 0) {
        a->what = "replacing a file that is no socket";
        if (!S_ISSOCK(st.st_mode))
            return -EEXIST;
        a->what = "removing the stale socket";
        if (unlink(a->address->path))
            return -errno;
    }
    return 0;
}

static int listen_unix(struct sock_args *a)
{
    int rc = take_path(a);
    if (rc)
        return rc;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, a->address->path, sizeof(un.sun_path));
    a->what = "making the socket";
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return -errno;
    /* the mode of the descriptor is the one the file is born with, less the umask: there is no
     * moment at which it is wider than asked for */
    unsigned mode = a->mode ? a->mode : 0600;
    fchmod(a->fd, mode);
    a->what = "binding";
    if (bind(a->fd, (struct sockaddr *)&un, sizeof(un)))
        return -errno;
    if (chmod(a->address->path, mode) || listen(a->fd, BACKLOG)) {
        rc = -errno;
        unlink(a->address->path);
        return rc;
    }
    return 0;
}

static int resolve(struct sock_args *a, bool is_passive, struct addrinfo **ret)
{
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICSERV | (is_passive ? AI_PASSIVE : 0),
    };
    a->what = "resolving the name";
    int rc = getaddrinfo(a->address->host, a->address->port, &hints, ret);
    return rc == 0 ? 0 : rc == EAI_SYSTEM ? -errno : rc == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

static int listen_tcp(struct sock_args *a)
{
    struct addrinfo *list, *ai;
    int rc = resolve(a, true, &list);
    if (rc)
        return rc;
    a->what = "binding";
    rc = -EADDRNOTAVAIL;
    for (ai = list; ai; ai = ai->ai_next) {
        int on = 1;
        int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            rc = -errno;
            continue;
        }
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
            a->fd = fd;
            rc = 0;
            break;
        }
        rc = -errno;
        close(fd);
    }
    freeaddrinfo(list);
    return rc;
}

static int listen_blocking(void *arg)
{
    struct sock_args *a = arg;
    int rc = a->address->is_unix ? listen_unix(a) : listen_tcp(a);
    if (rc && a->fd >= 0)
        close(a->fd);
    if (rc && a->lock_fd >= 0) {
        char path[sizeof(a->address->path) + 8];
        snprintf(path, sizeof(path), "%s.lock", a->address->path);
        unlink(path);
        close(a->lock_fd);
    }
    return rc;
}

int rt_listen(const char *address, unsigned mode, struct rt_sock **ret_sock, struct ash_err *err)
{
    struct rt *rt = rt_world();
    struct address parsed;
    int rc = parse_address(address, &parsed, err);
    if (rc)
        return rc;
    if (rt->sim)
        return rt_sim_listen(rt, address, ret_sock, err);
    struct rt_sock *sock = rt_sock_new(rt, -1);
    char *path = sock && parsed.is_unix ? rt_strdup(parsed.path) : NULL;
    if (!sock || (parsed.is_unix && !path)) {
        if (sock)
            rt_sock_free(sock);
        return ash_err_set(err, ASH_E_NO_MEMORY, address, "no memory to listen on '%s'", address);
    }
    sock->path = path;
    struct sock_args a = {.address = &parsed, .mode = mode, .fd = -1, .lock_fd = -1, .what = ""};
    rc = rt_work("listen", listen_blocking, &a);
    if (rc) {
        rt_sock_free(sock);
        return ash_err_set_rc(err, rc, rc == -EADDRINUSE ? ASH_E_RT_SOCKET_BUSY : ASH_E_RT_SOCKET,
                              address, "cannot listen on '%s': %s: %s", address, a.what,
                              ash_strerror(rc));
    }
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);
    sock->fd = a.fd;
    sock->lock_fd = a.lock_fd;
    sock->is_listener = true;
    set_blocking(sock->fd, rt->sockets_block);
    if (getsockname(sock->fd, (struct sockaddr *)&ss, &n) == 0)
        describe((struct sockaddr *)&ss, n, sock->address, sizeof(sock->address));
    *ret_sock = sock;
    return 0;
}

/* ----------------------------------------------------------------- connecting */

/* connect() gives up after this; connections themselves have no limit. */
static void limit_connect(int fd, int seconds)
{
    struct timeval tv = {.tv_sec = seconds};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int connect_one(int fd, const struct sockaddr *sa, socklen_t n)
{
    limit_connect(fd, 10);
    int rc;
    do
        rc = connect(fd, sa, n) ? -errno : 0;
    while (rc == -EINTR);
    if (rc == -EINPROGRESS || rc == -EAGAIN)
        rc = -ETIMEDOUT;
    limit_connect(fd, 0);
    return rc;
}

static int connect_blocking(void *arg)
{
    struct sock_args *a = arg;
    int rc;
    a->what = "connecting";
    if (a->address->is_unix) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        memcpy(un.sun_path, a->address->path, sizeof(un.sun_path));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return -errno;
        rc = connect_one(fd, (struct sockaddr *)&un, sizeof(un));
        if (rc)
            close(fd);
        else
            a->fd = fd;
        return rc;
    }
    struct addrinfo *list, *ai;
    rc = resolve(a, false, &list);
    if (rc)
        return rc;
    a->what = "connecting";
    rc = -EADDRNOTAVAIL;
    for (ai = list; ai && a->fd < 0; ai = ai->ai_next) {
        int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            rc = -errno;
            continue;
        }
        rc = connect_one(fd, ai->ai_addr, ai->ai_addrlen);
        if (rc)
            close(fd);
        else
            a->fd = fd;
    }
    freeaddrinfo(list);
    return rc;
}

static void make_ready(struct rt_sock *sock, int fd)
{
    sock->fd = fd;
    set_nodelay(fd);
    set_room(fd);
    set_blocking(fd, sock->rt->sockets_block);
    describe_peer(sock);
}

int rt_connect(const char *address, struct rt_sock **ret_sock, struct ash_err *err)
{
    struct rt *rt = rt_world();
    struct address parsed;
    int rc = parse_address(address, &parsed, err);
    if (rc)
        return rc;
    if (rt->sim)
        return rt_sim_connect(rt, address, ret_sock, err);
    struct rt_sock *sock = rt_sock_new(rt, -1);
    if (!sock)
        return ash_err_set(err, ASH_E_NO_MEMORY, address, "no memory to connect to '%s'", address);
    struct sock_args a = {.address = &parsed, .fd = -1, .lock_fd = -1, .what = ""};
    rc = rt_work("connect", connect_blocking, &a);
    if (rc) {
        rt_sock_free(sock);
        return ash_err_set_rc(err, rc, ASH_E_RT_SOCKET, address, "cannot connect to '%s': %s: %s",
                              address, a.what, ash_strerror(rc));
    }
    make_ready(sock, a.fd);
    *ret_sock = sock;
    return 0;
}

struct rt_sock *rt_sock_accepted(struct rt_sock *listener, int fd)
{
    struct rt_sock *sock = rt_sock_new(listener->rt, fd);
    if (!sock)
        return NULL;
    /* accept4 has set blocking as the back end wants it */
    set_nodelay(fd);
    set_room(fd);
    describe_peer(sock);
    return sock;
}

int rt_sock_pair(struct rt_sock **ret_a, struct rt_sock **ret_b)
{
    struct rt *rt = rt_world();
    if (rt->sim)
        return rt_sim_sock_pair(rt, ret_a, ret_b);
    int fds[2];
    int type = SOCK_STREAM | SOCK_CLOEXEC | (rt->sockets_block ? 0 : SOCK_NONBLOCK);
    if (socketpair(AF_UNIX, type, 0, fds))
        return -errno;
    struct rt_sock *a = rt_sock_new(rt, fds[0]), *b = rt_sock_new(rt, fds[1]);
    if (!a || !b) {
        close(fds[0]);
        close(fds[1]);
        if (a)
            rt_sock_free(a);
        if (b)
            rt_sock_free(b);
        return -ENOMEM;
    }
    set_room(fds[0]);
    set_room(fds[1]);
    describe_peer(a);
    describe_peer(b);
    *ret_a = a;
    *ret_b = b;
    return 0;
}

/* -------------------------------------------------------------------- the end */

const char *rt_sock_address(const struct rt_sock *sock)
{
    return sock->address;
}

void rt_sock_local(const struct rt_sock *sock, char *buf, size_t n_buf)
{
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);
    buf[0] = 0;
    if (!sock->rt->sim && getsockname(sock->fd, (struct sockaddr *)&ss, &n) == 0)
        describe((struct sockaddr *)&ss, n, buf, n_buf);
}

void rt_sock_shutdown(struct rt_sock *sock)
{
    if (__atomic_exchange_n(&sock->is_shut, true, __ATOMIC_ACQ_REL))
        return;
    if (sock->rt->sim)
        rt_sim_sock_shutdown(sock);
    else
        shutdown(sock->fd, SHUT_RDWR); /* of a listener: accept ends with EINVAL */
}

void rt_sock_close(struct rt_sock *sock)
{
    if (!sock)
        return;
    ASH_ASSERT(!sock->dir[0].active && !sock->dir[1].active);
    if (sock->rt->sim) {
        rt_sim_sock_close(sock);
        rt_sock_free(sock);
        return;
    }
    if (sock->rt->ops->forget)
        sock->rt->ops->forget(sock);
    if (sock->is_listener && sock->path) {
        char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
        snprintf(path, sizeof(path), "%s.lock", sock->path);
        unlink(sock->path);
        unlink(path);
    }
    close(sock->fd);
    if (sock->lock_fd >= 0)
        close(sock->lock_fd);
    rt_sock_free(sock);
}
