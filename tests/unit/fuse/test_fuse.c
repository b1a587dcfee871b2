/* SPDX-License-Identifier: Apache-2.0 */
/* fuse: what is refused, running out of memory anywhere, and I/O through the kernel (skipped where
 * nothing can be mounted). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "export/fuse/fuse.h"

#define DEV  "malloc:///mem?size_mb=8&blk_size=4096"
#define SIZE (8u << 20)
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "# line %d: %s\n", __LINE__, #x);                                      \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)

static char folder[64];

struct tw {
    struct ash_engine *engine;
    struct fexp_server *srv;
    int (*fn)(struct tw *w);
};

static int in_world(void *arg)
{
    struct tw *w = arg;
    struct ash_err err = {0};
    char *name = NULL;
    CHECK(ash_engine_create(NULL, &w->engine, &err) == 0);
    CHECK(bdev_create_uri(ash_engine_bdevs(w->engine), DEV, &name, &err) == 0);
    rt_free(name);
    bdev_wait_for_examine(ash_engine_bdevs(w->engine));
    CHECK(fexp_server(w->engine, &w->srv, &err) == 0);
    struct fexp_server *again = NULL;
    CHECK(fexp_server(w->engine, &again, &err) == 0 && again == w->srv);
    int rc = w->fn(w);
    ash_engine_destroy(w->engine);
    return rc;
}

static bool can_mount(void)
{
    return access("/dev/fuse", R_OK | W_OK) == 0 &&
           (geteuid() == 0 || access("/bin/fusermount3", X_OK) == 0);
}

static void run_on(enum rt_backend backend, int (*fn)(struct tw *w))
{
    struct rt_opts opts;
    struct rt *rt = NULL;
    struct ash_err err = {0};
    struct tw w = {.fn = fn};
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = 2;
    int rc = rt_create(&opts, &rt, &err);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING)
        skip();
    assert_int_equal(rc, 0);
    assert_int_equal(rt_run_task(rt, "case", in_world, &w), 0);
    rt_destroy(rt);
}

static int add(struct tw *w, const char *bdev, const char *dir, const char *name,
               enum ash_reason *ret_reason)
{
    struct ash_err err = {0};
    int rc = fexp_add(w->srv, bdev, dir, name, false, &err);
    *ret_reason = err.reason;
    return rc;
}

/* -------------------------------------------------------------- refusals */

static int refuses(struct tw *w)
{
    enum ash_reason why;
    struct ash_err err = {0};
    char long_name[FEXP_NAME_MAX + 2];
    memset(long_name, 'n', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    static const char *const names[] = {".", "..", "a/b", "/"};
    for (size_t i = 0; i < ASH_N_ELEMS(names); i++)
        CHECK(add(w, "mem", folder, names[i], &why) < 0 && why == ASH_E_BAD_NAME);
    CHECK(add(w, "mem", folder, long_name, &why) < 0 && why == ASH_E_BAD_NAME);
    CHECK(add(w, "tank/", folder, NULL, &why) < 0 && why == ASH_E_BAD_NAME);
    CHECK(add(w, "mem", "relative", NULL, &why) < 0 && why == ASH_E_BAD_ARGUMENT);
    CHECK(add(w, "nope", folder, NULL, &why) == -ENODEV && why == ASH_E_BDEV_NOT_FOUND);
    CHECK(add(w, "mem", "/no/such/folder", NULL, &why) == -ENOENT && why == ASH_E_EXPORT_MOUNT);
    CHECK(add(w, "mem", "/dev/null", NULL, &why) == -ENOTDIR && why == ASH_E_EXPORT_MOUNT);
    CHECK(!bdev_is_open(bdev_find(ash_engine_bdevs(w->engine), "mem")));
    CHECK(fexp_unmount(w->srv, folder, false, &err) == -ENOENT);
    CHECK(err.reason == ASH_E_EXPORT_NOT_FOUND);
    fexp_wait_unmounted(w->srv, folder);
    return 0;
}

/* ------------------------------------------------------------------- I/O */

static char path[96];

/* On a worker thread, as any program would; the number of the line that failed, 0, or -errno of an
 * operation that may fail when memory is out. */
static int use_file(void *arg)
{
    bool may_fail = *(bool *)arg;
#define IO(x)                                                                                      \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            int e_ = errno;                                                                        \
            close(fd);                                                                             \
            return may_fail ? -e_ : __LINE__;                                                      \
        }                                                                                          \
    } while (0)
    static uint8_t in[300000], out[300000];
    struct stat st;
    int fd = open(path, O_RDWR | O_TRUNC);
    if (fd < 0)
        return may_fail ? -errno : __LINE__;
    IO(fstat(fd, &st) == 0 && st.st_size == SIZE);
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * 31 + i / 255 + 1);
    IO(pwrite(fd, in, sizeof(in), 5000) == (ssize_t)sizeof(in));
    IO(pread(fd, out, sizeof(out), 5000) == (ssize_t)sizeof(out));
    IO(memcmp(in, out, sizeof(in)) == 0);
    IO(pwrite(fd, in, 10, 123457) == 10 && pread(fd, out, 12, 123456) == 12);
    IO(out[0] == in[118456] && memcmp(out + 1, in, 10) == 0 && out[11] == in[118467]);
    IO(fsync(fd) == 0 && fdatasync(fd) == 0);
    IO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8191, 8194) == 0);
    IO(pread(fd, out, 8196, 8190) == 8196 && out[0] == in[3190] && out[8195] == in[11385]);
    for (size_t i = 1; i < 8195; i++)
        IO(out[i] == 0);
    IO(fallocate(fd, FALLOC_FL_ZERO_RANGE, 20000, 100) == 0);
    IO(pread(fd, out, 102, 19999) == 102 && out[0] == in[14999] && out[1] == 0 && out[100] == 0);
    IO(out[101] == in[15100]);
    IO(pwrite(fd, in, 8192, SIZE - 100) == 100 && pread(fd, out, 8192, SIZE - 100) == 100);
    IO(pread(fd, out, 10, SIZE) == 0);
    if (!may_fail) {
        IO(pwrite(fd, in, 1, SIZE) == -1 && errno == ENOSPC);
        IO(fallocate(fd, 0, 0, 4096) == -1 && errno == EOPNOTSUPP);
        IO(fallocate(fd, FALLOC_FL_ZERO_RANGE, SIZE - 1, 2) == -1 && errno == ENOSPC);
        IO(ftruncate(fd, 1) == -1 && errno == EPERM);
        IO(fchmod(fd, 0644) == -1 && errno == EPERM);
        IO(lseek(fd, SIZE, SEEK_DATA) == -1 && errno == ENXIO);
        IO(lseek(fd, 7, SEEK_HOLE) <= SIZE);
        IO(unlink(path) == -1 && errno == EPERM);
    }
    return close(fd) == 0 ? 0 : may_fail ? -errno : __LINE__;
#undef IO
}

static void count_files(const struct fexp_info *info, void *arg)
{
    *(unsigned *)arg += info->name != NULL;
}

static int serves(struct tw *w)
{
    enum ash_reason why;
    bool may_fail = false;
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/mem", folder);
    for (int round = 0; round < 2; round++) {
        CHECK(add(w, "mem", folder, NULL, &why) == 0);
        CHECK(add(w, "mem", folder, "mem", &why) < 0 && why == ASH_E_EXPORT_EXISTS);
        CHECK(rt_work("use", use_file, &may_fail) == 0);
        CHECK(add(w, "mem", folder, "twin", &why) == 0);
        fexp_for_each(w->srv, count_files, &n);
        CHECK(n == 2u * (unsigned)(round + 1));
        struct ash_err err = {0};
        CHECK(fexp_unmount(w->srv, folder, false, &err) == 0);
        CHECK(!bdev_is_open(bdev_find(ash_engine_bdevs(w->engine), "mem")));
    }
    return 0;
}

/* The engine ends with a mount in place, and a device goes from under one. */
static int ends(struct tw *w)
{
    enum ash_reason why;
    struct ash_err err = {0};
    CHECK(add(w, "mem", folder, NULL, &why) == 0);
    CHECK(bdev_unregister(bdev_find(ash_engine_bdevs(w->engine), "mem")) == 0);
    unsigned n = 0;
    fexp_for_each(w->srv, count_files, &n);
    CHECK(n == 0);
    char *name = NULL;
    CHECK(bdev_create_uri(ash_engine_bdevs(w->engine), DEV, &name, &err) == 0);
    rt_free(name);
    CHECK(add(w, "mem", folder, NULL, &why) == 0);
    return 0;
}

/* ------------------------------------------------------------- no memory */

struct nth {
    unsigned n_seen, fail_at;
};

static bool nth_fails(void *arg)
{
    struct nth *nth = arg;
    return __atomic_fetch_add(&nth->n_seen, 1, __ATOMIC_RELAXED) == nth->fail_at;
}

static int out_of_memory(struct tw *w)
{
    struct nth nth = {0};
    bool may_fail = true;
    unsigned n_failed = 0;
    snprintf(path, sizeof(path), "%s/mem", folder);
    for (nth.fail_at = 0; nth.fail_at < 300; nth.fail_at++) {
        enum ash_reason why;
        nth.n_seen = 0;
        rt_set_alloc_hook(rt_world(), nth_fails, &nth);
        int rc = add(w, "mem", folder, NULL, &why);
        int used = rc == 0 ? rt_work("use", use_file, &may_fail) : 0;
        rt_set_alloc_hook(rt_world(), NULL, NULL);
        CHECK(used <= 0);
        n_failed += rc < 0 || used < 0;
        CHECK(rc == 0 || why == ASH_E_NO_MEMORY || why == ASH_E_EXPORT_MOUNT);
        struct ash_err err = {0};
        CHECK(rc < 0 || fexp_unmount(w->srv, folder, true, &err) == 0);
        CHECK(!bdev_is_open(bdev_find(ash_engine_bdevs(w->engine), "mem")));
        if (nth.n_seen <= nth.fail_at)
            break; /* nothing was left to fail */
    }
    CHECK(n_failed > 5 && nth.fail_at < 300);
    return 0;
}

#define FUSE_TEST(fn, mounts)                                                                      \
    static void fn##_uring(void **state)                                                           \
    {                                                                                              \
        const char *forced = getenv("ASHLAR_IO");                                                  \
        if ((mounts && !can_mount()) || (forced && strcmp(forced, "epoll") == 0))                  \
            skip();                                                                                \
        run_on(RT_BACKEND_URING, fn);                                                              \
    }                                                                                              \
    static void fn##_epoll(void **state)                                                           \
    {                                                                                              \
        if (mounts && !can_mount())                                                                \
            skip();                                                                                \
        run_on(RT_BACKEND_EPOLL, fn);                                                              \
    }
FUSE_TEST(refuses, false)
FUSE_TEST(serves, true)
FUSE_TEST(ends, true)
FUSE_TEST(out_of_memory, true)

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 40) /* paths of sockets are short by law */
        tmp = "/tmp";
    snprintf(folder, sizeof(folder), "%s/ash-fuse-XXXXXX", tmp);
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_uring),       cmocka_unit_test(refuses_epoll),
        cmocka_unit_test(serves_uring),        cmocka_unit_test(serves_epoll),
        cmocka_unit_test(ends_uring),          cmocka_unit_test(ends_epoll),
        cmocka_unit_test(out_of_memory_uring), cmocka_unit_test(out_of_memory_epoll),
    };
    int rc = cmocka_run_group_tests_name("fuse", tests, NULL, NULL);
    rmdir(folder);
    return rc;
}
