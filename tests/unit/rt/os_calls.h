/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that fail when a test wants it: this program's own definitions stand before those of
 * the C library, and go to the kernel when there is nothing to fail. One queue of results per call,
 * used up in order. */
#ifndef ASH_TESTS_OS_CALLS_H
#define ASH_TESTS_OS_CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum os_call {
    OS_PREAD,
    OS_PWRITE,
    OS_PWRITEV2,
    OS_FALLOCATE,
    OS_FDATASYNC,
    OS_FSTAT,
    OS_FTRUNCATE,
    OS_OPEN,
    OS_LSEEK,
    OS_SOCKET,
    OS_BIND,
    OS_LISTEN,
    OS_SOCKETPAIR,
    OS_SETSOCKOPT,
    OS_CHMOD,
    OS_UNLINK,
    OS_FSYNC,
    OS_ACCEPT,
    OS_CONNECT,
    OS_N_CALLS
};

/* A result: an errno, or one of these. */
enum { OS_PASS = 0, OS_SHORT = -1, OS_NOTHING = -2 };

static struct {
    pthread_mutex_t lock;
    int results[OS_N_CALLS][8];
    unsigned n[OS_N_CALLS], n_made[OS_N_CALLS];
    /* all files are the block device dev, of so many bytes; 0: as they are */
    uint64_t device_bytes;
    dev_t dev;
    int discard_errno, zeroout_errno;
    unsigned n_discards, n_zeroouts;
} os = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void os_reset(void)
{
    pthread_mutex_lock(&os.lock);
    memset(os.n, 0, sizeof(os.n));
    memset(os.n_made, 0, sizeof(os.n_made));
    os.device_bytes = 0;
    os.discard_errno = os.zeroout_errno = 0;
    os.n_discards = os.n_zeroouts = 0;
    pthread_mutex_unlock(&os.lock);
}

static void os_next(enum os_call call, int result)
{
    pthread_mutex_lock(&os.lock);
    os.results[call][os.n[call]++] = result;
    pthread_mutex_unlock(&os.lock);
}

/* Everything that was asked for has happened. */
static bool os_used_up(void)
{
    unsigned n = 0;
    pthread_mutex_lock(&os.lock);
    for (unsigned i = 0; i < OS_N_CALLS; i++)
        n += os.n[i];
    pthread_mutex_unlock(&os.lock);
    return n == 0;
}

static int os_take(enum os_call call)
{
    int result = OS_PASS;
    pthread_mutex_lock(&os.lock);
    os.n_made[call]++;
    if (os.n[call] > 0) {
        result = os.results[call][0];
        os.n[call]--;
        memmove(os.results[call], os.results[call] + 1, os.n[call] * sizeof(int));
    }
    pthread_mutex_unlock(&os.lock);
    return result;
}

#define OS_FAIL(call)                                                                              \
    do {                                                                                           \
        int result_ = os_take(call);                                                               \
        if (result_ > 0) {                                                                         \
            errno = result_;                                                                       \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

/* ---------------------------------------------------------------- transfers */

static ssize_t os_move(enum os_call call, long number, int fd, void *buf, size_t n, off_t at)
{
    int result = os_take(call);
    if (result > 0) {
        errno = result;
        return -1;
    }
    if (result == OS_NOTHING)
        return 0;
    return syscall(number, fd, buf, result == OS_SHORT ? n / 2 : n, at);
}

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
    return os_move(OS_PREAD, SYS_pread64, fd, buf, n, at);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    return os_move(OS_PWRITE, SYS_pwrite64, fd, (void *)(uintptr_t)buf, n, at);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    OS_FAIL(OS_PWRITEV2);
    return syscall(SYS_pwritev2, fd, iov, n, at, 0, flags);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    OS_FAIL(OS_FALLOCATE);
    return (int)syscall(SYS_fallocate, fd, mode, at, n);
}

int fdatasync(int fd)
{
    OS_FAIL(OS_FDATASYNC);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    OS_FAIL(OS_FSYNC);
    return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t n)
{
    OS_FAIL(OS_FTRUNCATE);
    return (int)syscall(SYS_ftruncate, fd, n);
}

off_t lseek(int fd, off_t at, int whence)
{
    OS_FAIL(OS_LSEEK);
    return syscall(SYS_lseek, fd, at, whence);
}

/* -------------------------------------------------------------------- files */

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, unsigned) : 0;
    va_end(ap);
    OS_FAIL(OS_OPEN);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fstat(int fd, struct stat *st)
{
    OS_FAIL(OS_FSTAT);
    int rc = (int)syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
    if (rc == 0 && os.device_bytes && S_ISREG(st->st_mode)) {
        st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | S_IFBLK;
        st->st_rdev = os.dev;
    }
    return rc;
}

static int os_device(unsigned long request, void *arg)
{
    int e = request == BLKDISCARD ? os.discard_errno : request == BLKZEROOUT ? os.zeroout_errno : 0;
    os.n_discards += request == BLKDISCARD;
    os.n_zeroouts += request == BLKZEROOUT;
    if (request == BLKGETSIZE64)
        memcpy(arg, &os.device_bytes, 8);
    else if (request == BLKSSZGET || request == BLKPBSZGET)
        *(unsigned *)arg = request == BLKSSZGET ? 1024 : 8192;
    errno = e;
    return e ? -1 : 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    va_start(ap, request);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    return os.device_bytes ? os_device(request, arg) : (int)syscall(SYS_ioctl, fd, request, arg);
}

int chmod(const char *path, mode_t mode)
{
    OS_FAIL(OS_CHMOD);
    return (int)syscall(SYS_fchmodat, AT_FDCWD, path, mode);
}

int unlink(const char *path)
{
    OS_FAIL(OS_UNLINK);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* ------------------------------------------------------------------ sockets */

int socket(int domain, int type, int protocol)
{
    OS_FAIL(OS_SOCKET);
    return (int)syscall(SYS_socket, domain, type, protocol);
}

int bind(int fd, const struct sockaddr *sa, socklen_t n)
{
    OS_FAIL(OS_BIND);
    return (int)syscall(SYS_bind, fd, sa, n);
}

int listen(int fd, int n)
{
    OS_FAIL(OS_LISTEN);
    return (int)syscall(SYS_listen, fd, n);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    OS_FAIL(OS_SOCKETPAIR);
    return (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    OS_FAIL(OS_SETSOCKOPT);
    return (int)syscall(SYS_setsockopt, fd, level, name, value, n);
}

int connect(int fd, const struct sockaddr *sa, socklen_t n)
{
    OS_FAIL(OS_CONNECT);
    return (int)syscall(SYS_connect, fd, sa, n);
}

int accept4(int fd, struct sockaddr *sa, socklen_t *n, int flags)
{
    OS_FAIL(OS_ACCEPT);
    return (int)syscall(SYS_accept4, fd, sa, n, flags);
}

#endif
