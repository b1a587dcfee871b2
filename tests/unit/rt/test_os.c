/* SPDX-License-Identifier: Apache-2.0 */
/* rt: what the operating system refuses, interrupts or does by halves, on io_uring and epoll. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "base/text.h"
#include "os_calls.h"
#include "rt/rt.h"

static char folder[64];

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "# line %d: %s\n", __LINE__, #x);                                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const char *path_of(const char *name)
{
    static _Thread_local char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void run_on(enum rt_backend backend, int (*fn)(void *arg))
{
    struct rt_opts opts;
    struct rt *rt = NULL;
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = 1;
    int rc = rt_create(&opts, &rt, NULL);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING)
        return;
    assert_int_equal(rc, 0);
    assert_int_equal(rt_run_task(rt, "case", fn, NULL), 0);
    rt_destroy(rt);
    os_reset();
}

/* What goes through worker threads on both. */
static void on_both(void **state)
{
    const char *forced = getenv("ASHLAR_IO");
    run_on(RT_BACKEND_EPOLL, (int (*)(void *)) * state);
    if (!forced || strcmp(forced, "epoll") != 0)
        run_on(RT_BACKEND_URING, (int (*)(void *)) * state);
}

static void on_epoll(void **state)
{
    run_on(RT_BACKEND_EPOLL, (int (*)(void *)) * state);
}

/* ---------------------------------------------------------------- transfers */

static uint8_t out[65536], in[65536];

static struct rt_file *new_file(const char *name)
{
    struct rt_file *f = NULL;
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + i / 251);
    memset(in, 0, sizeof(in));
    CHECK(rt_file_open(path_of(name), RT_FILE_CREATE, &f, NULL) == 0);
    return f;
}

static int64_t transfer(struct rt_file *f, uint8_t kind, uint8_t flags, const struct iovec *iov,
                        uint32_t n)
{
    struct rt_op op = {.kind = kind, .flags = flags, .file = f, .iov = iov, .n_iov = n};
    return rt_op_wait(&op);
}

static int transfers(void *arg)
{
    struct rt_file *f = new_file("t");
    const struct iovec whole = {out, sizeof(out)}, back = {in, sizeof(in)};
    /* interrupted, not ready, then by halves: goes on where it was */
    os_next(OS_PWRITE, EINTR);
    os_next(OS_PWRITE, EAGAIN);
    os_next(OS_PWRITE, OS_SHORT);
    os_next(OS_PWRITE, OS_SHORT);
    CHECK(transfer(f, RT_OP_WRITE, 0, &whole, 1) == sizeof(out));
    os_next(OS_PREAD, EINTR);
    os_next(OS_PREAD, OS_SHORT);
    os_next(OS_PREAD, EAGAIN);
    CHECK(transfer(f, RT_OP_READ, 0, &back, 1) == sizeof(in));
    CHECK(memcmp(in, out, sizeof(in)) == 0 && os_used_up());
    /* an end of file inside of a sector: what was read before it counts */
    os_next(OS_PREAD, OS_SHORT);
    os_next(OS_PREAD, EINVAL);
    CHECK(transfer(f, RT_OP_READ, 0, &back, 1) == sizeof(in) / 2);
    os_next(OS_PREAD, EINVAL);
    CHECK(transfer(f, RT_OP_READ, 0, &back, 1) == -EINVAL);
    os_next(OS_PREAD, OS_SHORT);
    os_next(OS_PREAD, OS_NOTHING);
    CHECK(rt_file_read(f, in, sizeof(in), 0) == -EIO);
    os_next(OS_PREAD, EIO);
    CHECK(rt_file_read(f, in, sizeof(in), 0) == -EIO);
    /* no room, also after a part; and a kernel that makes no progress */
    os_next(OS_PWRITE, OS_SHORT);
    os_next(OS_PWRITE, ENOSPC);
    CHECK(rt_file_write(f, out, sizeof(out), 0) == -ENOSPC);
    os_next(OS_PWRITE, OS_NOTHING);
    CHECK(rt_file_write(f, out, sizeof(out), 0) == -EIO);
    os_next(OS_FDATASYNC, EIO);
    CHECK(rt_file_sync(f) == -EIO);
    CHECK(os_used_up() && rt_file_sync(f) == 0);
    CHECK(transfer(f, RT_OP_WRITE, 0, &(struct iovec){out, 0}, 1) == 0);
    rt_file_close(f);
    return 0;
}

/* Through to the medium where the file system knows no such write: a write and a flush. */
static int write_through(void *arg)
{
    struct rt_file *f = new_file("fua");
    const struct iovec parts[] = {{out, 1000}, {out + 1000, 3}, {out + 1003, 9000}};
    CHECK(transfer(f, RT_OP_WRITE, RT_OP_FUA, parts, 3) == 10003);
    CHECK(os.n_made[OS_PWRITEV2] == 1 && os.n_made[OS_FDATASYNC] == 0);
    os_next(OS_PWRITEV2, EOPNOTSUPP);
    CHECK(transfer(f, RT_OP_WRITE, RT_OP_FUA, parts, 3) == 10003);
    CHECK(os.n_made[OS_FDATASYNC] == 1);
    CHECK(rt_file_read(f, in, 10003, 0) == 0 && memcmp(in, out, 10003) == 0);
    os_next(OS_PWRITEV2, EOPNOTSUPP);
    os_next(OS_FDATASYNC, EIO);
    CHECK(transfer(f, RT_OP_WRITE, RT_OP_FUA, parts, 3) == -EIO);
    os_next(OS_PWRITEV2, EIO);
    CHECK(transfer(f, RT_OP_WRITE, RT_OP_FUA, parts, 3) == -EIO);
    CHECK(os_used_up());
    rt_file_close(f);
    return 0;
}

/* ------------------------------------------------------- holes and zeroes */

static int64_t change(struct rt_file *f, uint8_t kind, uint8_t flags, uint64_t offset, uint64_t n)
{
    struct rt_op op = {.kind = kind, .flags = flags, .file = f, .offset = offset, .length = n};
    return rt_op_wait(&op);
}

static bool is_zero(struct rt_file *f, uint64_t offset, size_t n)
{
    memset(in, 1, sizeof(in));
    if (rt_file_read(f, in, n, offset))
        return false;
    for (size_t i = 0; i < n; i++)
        if (in[i])
            return false;
    return true;
}

static int zeroes(void *arg)
{
    struct rt_file *f = new_file("z");
    CHECK(rt_file_write(f, out, sizeof(out), 0) == 0);
    os_next(OS_FALLOCATE, EINTR);
    CHECK(change(f, RT_OP_PUNCH, 0, 0, 4096) == 0 && is_zero(f, 0, 4096));
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    CHECK(change(f, RT_OP_PUNCH, 0, 4096, 4096) == -EOPNOTSUPP);
    CHECK(change(f, RT_OP_PUNCH, 0, 4096, 0) == 0 && change(f, RT_OP_ZERO, 0, 4096, 0) == 0);
    /* the second way, the third way */
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    CHECK(change(f, RT_OP_ZERO, 0, 4096, 4096) == 0 && is_zero(f, 4096, 4096));
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    os_next(OS_PWRITE, EINTR);
    os_next(OS_PWRITE, OS_SHORT);
    CHECK(change(f, RT_OP_ZERO, 0, 8192, 5000) == 0 && is_zero(f, 8192, 5000));
    CHECK(rt_file_read(f, in, 1, 13192) == 0 && in[0] == out[13192]);
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    CHECK(change(f, RT_OP_ZERO, RT_OP_NO_HOLE, 16384, 4096) == 0 && is_zero(f, 16384, 4096));
    CHECK(os_used_up());
    /* errors of each */
    os_next(OS_FALLOCATE, ENOSPC);
    CHECK(change(f, RT_OP_ZERO, 0, 0, 4096) == -ENOSPC);
    static const int ends[][2] = {{ENOSPC, -ENOSPC}, {OS_NOTHING, -EIO}};
    for (size_t i = 0; i < ASH_N_ELEMS(ends); i++) {
        os_next(OS_FALLOCATE, EINVAL);
        os_next(OS_FALLOCATE, ENOSYS);
        os_next(OS_PWRITE, ends[i][0]);
        CHECK(change(f, RT_OP_ZERO, 0, 0, 4096) == ends[i][1]);
    }
    CHECK(os_used_up());
    rt_file_close(f);
    return 0;
}

/* Number of some block device of this machine, for the look into sysfs; 0: there is none. */
static dev_t any_device(void)
{
    unsigned major = 0, minor = 0;
    DIR *dir = opendir("/sys/dev/block");
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (sscanf(d->d_name, "%u:%u", &major, &minor) == 2)
            break;
    if (dir)
        closedir(dir);
    return makedev(major, minor);
}

static int devices(void *arg)
{
    struct rt_file_info info;
    struct rt_file *f = new_file("dev");
    CHECK(rt_file_write(f, out, sizeof(out), 0) == 0);
    rt_file_close(f);
    os.dev = any_device();
    os.device_bytes = 123 << 20;
    CHECK(rt_file_open(path_of("dev"), 0, &f, NULL) == 0);
    CHECK(rt_file_info(f, &info) == 0 && info.is_device && info.size_bytes == 123 << 20);
    CHECK(info.logical_block_bytes == 1024 && info.physical_block_bytes == 8192);
    CHECK(change(f, RT_OP_PUNCH, 0, 0, 4096) == 0 && os.n_discards == 1);
    os.discard_errno = ENOTTY;
    CHECK(change(f, RT_OP_PUNCH, 0, 0, 4096) == -EOPNOTSUPP);
    os.discard_errno = EIO;
    CHECK(change(f, RT_OP_PUNCH, 0, 0, 4096) == -EIO);
    /* zeroes by the device, by hand when it cannot */
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    CHECK(change(f, RT_OP_ZERO, 0, 0, 4096) == 0 && os.n_zeroouts == 1);
    os.zeroout_errno = ENOTTY;
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    CHECK(change(f, RT_OP_ZERO, 0, 0, 4096) == 0 && is_zero(f, 0, 4096));
    os.zeroout_errno = EIO;
    CHECK(change(f, RT_OP_ZERO, RT_OP_NO_HOLE, 0, 4096) == -EIO && os.n_zeroouts == 3);
    /* where its data is a device cannot say */
    uint64_t at = 0;
    CHECK(rt_file_seek(f, true, 512, &at) == 0 && at == 512);
    CHECK(rt_file_seek(f, false, 512, &at) == 0 && at == sizeof(out));
    CHECK(rt_file_seek(f, true, sizeof(out), &at) == -ENXIO);
    CHECK(rt_file_seek(f, true, UINT64_MAX, &at) == -ENXIO);
    rt_file_close(f);
    CHECK(rt_file_open(path_of("dev"), RT_FILE_RDONLY, &f, NULL) == 0);
    CHECK(rt_file_info(f, &info) == 0 && !info.can_punch && !info.can_zero);
    rt_file_close(f);
    return 0;
}

/* ----------------------------------------------------------------- opening */

static enum ash_reason open_fails(const char *path, unsigned flags, int want_rc)
{
    struct rt_file *f;
    struct ash_err err = {0};
    CHECK(rt_file_open(path, flags, &f, &err) == want_rc);
    return err.reason;
}

static int opening(void *arg)
{
    struct rt_file_info info;
    uint64_t at;
    struct rt_file *f = new_file("o");
    rt_file_close(f);
    os_next(OS_OPEN, EINTR);
    CHECK(rt_file_open(path_of("o"), 0, &f, NULL) == 0);
    rt_file_close(f);
    /* no direct I/O there: without it, and told so */
    os_next(OS_OPEN, EINVAL);
    CHECK(rt_file_open(path_of("o"), RT_FILE_DIRECT, &f, NULL) == 0);
    CHECK(rt_file_info(f, &info) == 0 && !info.is_direct && info.dio_align_bytes == 1);
    os_next(OS_FSTAT, EIO);
    CHECK(rt_file_info(f, &info) == -EIO);
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    CHECK(rt_file_info(f, &info) == 0 && !info.can_punch && info.can_zero);
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    os_next(OS_FALLOCATE, EOPNOTSUPP);
    CHECK(rt_file_info(f, &info) == 0 && !info.can_punch && !info.can_zero);
    os_next(OS_FTRUNCATE, EINTR);
    CHECK(rt_file_truncate(f, 12345) == 0);
    CHECK(rt_file_info(f, &info) == 0 && info.size_bytes == 12345);
    os_next(OS_FTRUNCATE, ENOSPC);
    CHECK(rt_file_truncate(f, 1 << 30) == -ENOSPC);
    os_next(OS_LSEEK, EINVAL); /* a file system that does not know */
    CHECK(rt_file_seek(f, false, 5, &at) == 0 && at == 12345);
    os_next(OS_LSEEK, EIO);
    CHECK(rt_file_seek(f, false, 5, &at) == -EIO);
    os_next(OS_LSEEK, EINVAL);
    os_next(OS_LSEEK, EIO);
    CHECK(rt_file_seek(f, false, 5, &at) == -EIO);
    rt_file_close(f);
    os_next(OS_OPEN, EMFILE);
    CHECK(open_fails(path_of("o"), 0, -EMFILE) == ASH_E_RT_FILE_OPEN);
    os_next(OS_FSTAT, EIO);
    CHECK(open_fails(path_of("o"), 0, -EIO) == ASH_E_RT_FILE_OPEN);
    CHECK(open_fails(folder, RT_FILE_RDONLY, -EISDIR) == ASH_E_RT_FILE_OPEN);
    CHECK(open_fails("/dev/null", 0, -ENOTSUP) == ASH_E_RT_FILE_OPEN);
    CHECK(os_used_up());
    return 0;
}

/* ------------------------------------------------------------ other files */

static int host_files(void *arg)
{
    char a[128], b[192], *text;
    size_t n;
    unsigned mode;
    struct ash_err err = {0};
    snprintf(a, sizeof(a), "%s", path_of("a"));
    snprintf(b, sizeof(b), "%s", path_of("b"));
    struct rt_file *f = new_file("a");
    CHECK(rt_file_write(f, out, 20000, 0) == 0);
    rt_file_close(f);
    CHECK(rt_read_text(a, 30000, &text, &n, NULL) == 0 && n == 20000);
    CHECK(memcmp(text, out, n) == 0 && text[n] == '\0');
    rt_free(text);
    CHECK(rt_read_text(a, 19999, &text, &n, &err) == -EFBIG && err.reason == ASH_E_RT_FILE_OPEN);
    CHECK(rt_read_text(folder, 100, &text, &n, NULL) == -EISDIR);
    CHECK(rt_path_mode(a, &mode) == 0 && mode == 0600);
    CHECK(rt_path_mode(b, &mode) == -ENOENT);
    CHECK(rt_rename(a, b) == 0 && rt_path_exists(b) && !rt_path_exists(a));
    CHECK(rt_rename(a, b) == -ENOENT);
    os_next(OS_FSYNC, EIO); /* of the folder: the new name may not last */
    CHECK(rt_rename(b, a) == -EIO);
    CHECK(!rt_path_is_blockdev(a) && !rt_path_is_blockdev(b));
    snprintf(b, sizeof(b), "%s/below/it", a);
    err = (struct ash_err){0};
    CHECK(rt_make_dirs(b, 0700, &err) == -ENOTDIR && err.reason == ASH_E_RT_FILE_OPEN);
    CHECK(rt_make_dirs(a, 0700, NULL) == -ENOTDIR);
    err = (struct ash_err){0};
    CHECK(rt_make_dirs("", 0700, &err) < 0 && err.reason == ASH_E_BAD_ARGUMENT);
    CHECK(rt_unlink(a) == 0 && rt_unlink(a) == -ENOENT);
    return 0;
}

/* ------------------------------------------------------------------ sockets */

static enum ash_reason listen_fails(const char *address, int want_rc)
{
    struct rt_sock *sock;
    struct ash_err err = {0};
    int rc = rt_listen(address, 0, &sock, &err);
    if (rc != want_rc)
        fprintf(stderr, "# %s: %d, not %d\n", address, rc, want_rc);
    CHECK(rc == want_rc);
    return err.reason;
}

static enum ash_reason connect_fails(const char *address, int want_rc)
{
    struct rt_sock *sock;
    struct ash_err err = {0};
    CHECK(rt_connect(address, &sock, &err) == want_rc);
    return err.reason;
}

static int addresses(void *arg)
{
    static const char *const bad[] = {
        "tcp://[::1", "tcp://[::1]",   "tcp://[::1]80", "tcp://::1:80",
        "tcp://:80",  "tcp://a:65536", "tcp://a:",      "tcp://a",
        "udp://a:1",  "unix://a/b",    "unix:///a/b/",  "unix:///",
        "",
    };
    char far[512];
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        struct rt_sock *sock;
        struct ash_err err[2] = {{0}};
        CHECK(rt_listen(bad[i], 0, &sock, &err[0]) < 0 && rt_connect(bad[i], &sock, &err[1]) < 0);
        CHECK(err[0].reason == ASH_E_RT_BAD_ADDRESS && err[1].reason == ASH_E_RT_BAD_ADDRESS);
    }
    memset(far, 'x', sizeof(far));
    memcpy(far, "unix:///", 8);
    far[8 + 107] = '\0';
    CHECK(listen_fails(far, -EINVAL) == ASH_E_RT_BAD_ADDRESS);
    memcpy(far, "tcp://xx", 8);
    memcpy(far + 200, ":1", 3);
    CHECK(connect_fails(far, -EINVAL) == ASH_E_RT_BAD_ADDRESS);
    return 0;
}

static int unix_sockets(void *arg)
{
    char address[192], lock[192], path[128];
    snprintf(path, sizeof(path), "%s", path_of("s"));
    snprintf(address, sizeof(address), "unix://%s", path);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    static const struct {
        enum os_call call;
        int result;
        enum ash_reason reason;
    } rows[] = {
        {OS_OPEN, EROFS, ASH_E_RT_SOCKET},  {OS_SOCKET, EMFILE, ASH_E_RT_SOCKET},
        {OS_BIND, EACCES, ASH_E_RT_SOCKET}, {OS_LISTEN, EADDRINUSE, ASH_E_RT_SOCKET_BUSY},
        {OS_CHMOD, EPERM, ASH_E_RT_SOCKET},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        os_next(rows[i].call, rows[i].result);
        CHECK(listen_fails(address, -rows[i].result) == rows[i].reason);
        CHECK(os_used_up() && !rt_path_exists(path) && !rt_path_exists(lock));
    }
    /* a lock file that another one has just removed is not the lock */
    struct rt_sock *sock, *other;
    os_next(OS_FSTAT, ENOENT);
    CHECK(rt_listen(address, 0640, &sock, NULL) == 0 && os_used_up());
    unsigned mode = 0;
    CHECK(rt_path_mode(path, &mode) == 0 && mode == 0640);
    CHECK(strcmp(rt_sock_address(sock), address) == 0);
    CHECK(listen_fails(address, -EADDRINUSE) == ASH_E_RT_SOCKET_BUSY);
    os_next(OS_SOCKET, EMFILE);
    CHECK(connect_fails(address, -EMFILE) == ASH_E_RT_SOCKET);
    os_next(OS_CONNECT, EAGAIN); /* its queue stayed full */
    CHECK(connect_fails(address, -ETIMEDOUT) == ASH_E_RT_SOCKET);
    os_next(OS_SETSOCKOPT, EPERM); /* nothing depends on a limit or on room */
    os_next(OS_SETSOCKOPT, EPERM);
    os_next(OS_SETSOCKOPT, EPERM);
    os_next(OS_SETSOCKOPT, EPERM);
    CHECK(rt_connect(address, &other, NULL) == 0);
    rt_sock_close(other);
    rt_sock_close(sock);
    CHECK(!rt_path_exists(path) && !rt_path_exists(lock));
    CHECK(connect_fails(address, -ENOENT) == ASH_E_RT_SOCKET);
    /* what stands in the place and is no socket stays; a dead socket that cannot go stops us */
    struct rt_file *f = new_file("s");
    rt_file_close(f);
    CHECK(listen_fails(address, -EEXIST) == ASH_E_RT_SOCKET && rt_path_exists(path));
    CHECK(rt_unlink(path) == 0);
    CHECK(mknod(path, S_IFSOCK | 0600, 0) == 0);
    os_next(OS_UNLINK, EBUSY);
    CHECK(listen_fails(address, -EBUSY) == ASH_E_RT_SOCKET);
    CHECK(rt_unlink(path) == 0);
    os_next(OS_SOCKETPAIR, EMFILE);
    CHECK(rt_sock_pair(&sock, &other) == -EMFILE);
    return 0;
}

static int tcp_sockets(void *arg)
{
    struct rt_sock *sock, *other;
    char local[128];
    os_next(OS_SOCKET, EMFILE);
    CHECK(listen_fails("tcp://127.0.0.1:0", -EMFILE) == ASH_E_RT_SOCKET);
    os_next(OS_BIND, EADDRINUSE);
    CHECK(listen_fails("tcp://127.0.0.1:0", -EADDRINUSE) == ASH_E_RT_SOCKET_BUSY);
    os_next(OS_LISTEN, EADDRINUSE);
    CHECK(listen_fails("tcp://127.0.0.1:0", -EADDRINUSE) == ASH_E_RT_SOCKET_BUSY);
    CHECK(listen_fails("tcp://no.such.host.invalid:1", -EHOSTUNREACH) == ASH_E_RT_SOCKET);
    CHECK(connect_fails("tcp://no.such.host.invalid:1", -EHOSTUNREACH) == ASH_E_RT_SOCKET);
    os_next(OS_SOCKET, EMFILE);
    CHECK(connect_fails("tcp://127.0.0.1:1", -EMFILE) == ASH_E_RT_SOCKET);
    os_next(OS_CONNECT, EINPROGRESS); /* so the kernel says that the time is over */
    CHECK(connect_fails("tcp://127.0.0.1:1", -ETIMEDOUT) == ASH_E_RT_SOCKET);
    os_next(OS_CONNECT, EINTR);
    os_next(OS_CONNECT, ECONNREFUSED);
    CHECK(connect_fails("tcp://127.0.0.1:1", -ECONNREFUSED) == ASH_E_RT_SOCKET && os_used_up());
    if (rt_listen("tcp://[::1]:0", 0, &sock, NULL) == 0) {
        const char *address = rt_sock_address(sock);
        CHECK(ash_starts_with(address, "tcp://[::1]:"));
        CHECK(rt_connect(address, &other, NULL) == 0);
        CHECK(strcmp(rt_sock_address(other), address) == 0);
        rt_sock_local(other, local, sizeof(local));
        CHECK(ash_starts_with(local, "tcp://[::1]:") && strcmp(local, address) != 0);
        rt_sock_close(other);
        rt_sock_close(sock);
    }
    return 0;
}

/* A descriptor too few for a connection: the listener says so and takes the next one. */
static int accepting(void *arg)
{
    struct rt_sock *sock, *other;
    CHECK(rt_listen("tcp://127.0.0.1:0", 0, &sock, NULL) == 0);
    CHECK(rt_connect(rt_sock_address(sock), &other, NULL) == 0);
    struct rt_op op = {.kind = RT_OP_ACCEPT, .sock = sock};
    os_next(OS_ACCEPT, EMFILE);
    CHECK(rt_op_wait(&op) == -EMFILE && os_used_up());
    op = (struct rt_op){.kind = RT_OP_ACCEPT, .sock = sock};
    os_next(OS_ACCEPT, EINTR);
    CHECK(rt_op_wait(&op) == 0 && op.ret_sock);
    struct rt_sock *conn = op.ret_sock;
    char c;
    op = (struct rt_op){.kind = RT_OP_RECV, .sock = conn, .n_iov = 1};
    op.one_iov = (struct iovec){&c, 0};
    op.iov = &op.one_iov;
    CHECK(rt_op_wait(&op) == -EINVAL); /* 0 would look like the end */
    rt_sock_close(conn);
    rt_sock_close(other);
    rt_sock_close(sock);
    return 0;
}

/* ------------------------------------------------------------------- memory */

struct nth {
    unsigned n_seen, fail_at;
};

static bool nth_fails(void *arg)
{
    struct nth *nth = arg;
    return __atomic_fetch_add(&nth->n_seen, 1, __ATOMIC_RELAXED) == nth->fail_at;
}

/* All ways that take memory, one after another; the first error. */
static int use_everything(struct ash_err *err)
{
    struct rt_file *f = NULL;
    struct rt_sock *listener = NULL, *conn = NULL, *a = NULL, *b = NULL;
    struct rt_op op = {.kind = RT_OP_ACCEPT};
    char *text = NULL, address[192];
    size_t n;
    snprintf(address, sizeof(address), "unix://%s", path_of("m.sock"));
    int rc = rt_file_open(path_of("m"), RT_FILE_CREATE, &f, err);
    if (rc == 0)
        rc = rt_read_text(path_of("m"), 100, &text, &n, err);
    if (rc == 0)
        rc = rt_listen(address, 0, &listener, err);
    if (rc == 0)
        rc = rt_connect(address, &conn, err);
    if (rc == 0) {
        op.sock = listener;
        rc = (int)rt_op_wait(&op);
    }
    if (rc == 0)
        rc = rt_sock_pair(&a, &b);
    rt_free(text);
    rt_file_close(f);
    rt_sock_close(a);
    rt_sock_close(b);
    rt_sock_close(op.ret_sock);
    rt_sock_close(conn);
    rt_sock_close(listener);
    return rc;
}

static int no_memory(void *arg)
{
    struct nth nth = {0};
    for (nth.fail_at = 0;; nth.fail_at++) {
        struct ash_err err = {0};
        CHECK(nth.fail_at < 100);
        nth.n_seen = 0;
        rt_set_alloc_hook(rt_world(), nth_fails, &nth);
        int rc = use_everything(&err);
        rt_set_alloc_hook(rt_world(), NULL, NULL);
        if (nth.n_seen <= nth.fail_at) {
            CHECK(rc == 0);
            break;
        }
        CHECK(rc == -ENOMEM && (err.reason == ASH_OK || err.reason == ASH_E_NO_MEMORY));
        CHECK(!rt_path_exists(path_of("m.sock")));
    }
    CHECK(nth.fail_at >= 6);
    struct ash_buf features ASH_CLEANUP(ash_buf_free) = {0};
    rt_features_text(rt_world(), &features);
    CHECK(strstr(ash_buf_text(&features), rt_backend_name(rt_world())));
    return 0;
}

#define ON(where, fn)                                                                              \
    {                                                                                              \
#fn, where, NULL, NULL, (void *)(fn)                                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(on_epoll, transfers), ON(on_epoll, write_through), ON(on_both, zeroes),
        ON(on_both, devices),    ON(on_both, opening),        ON(on_both, host_files),
        ON(on_both, addresses),  ON(on_both, unix_sockets),   ON(on_both, tcp_sockets),
        ON(on_epoll, accepting), ON(on_both, no_memory),
    };
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 40) /* paths of sockets are short by law */
        tmp = "/tmp";
    snprintf(folder, sizeof(folder), "%s/ash-os-XXXXXX", tmp);
    if (!mkdtemp(folder))
        return 1;
    int rc = cmocka_run_group_tests_name("os", tests, NULL, NULL);
    char command[96];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command) == 0 ? rc : 1;
}
