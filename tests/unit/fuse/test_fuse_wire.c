/* SPDX-License-Identifier: Apache-2.0 */
/* fuse: the requests themselves, by a kernel that is this test: also where nothing can be mounted,
 * and what no kernel does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../tools/fuse_kernel.h"
#include "engine/engine.h"

#define DIR_NAME "/wire"
#define INO      16u
#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "# line %d: %s\n", __LINE__, #x);                                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct wire {
    struct fuse_kernel k;
    struct ash_engine *engine;
    struct fexp_server *srv;
    uint64_t answered; /* the last one */
    int error;
    uint8_t body[8192];
    size_t n_body;
};

static void answered(void *arg, const struct fuse_out_header *out, const struct iovec *iov, int n)
{
    struct wire *w = arg;
    w->answered = out->unique;
    w->error = out->error;
    w->n_body = 0;
    for (int i = 1; i < n; i++) {
        CHECK(w->n_body + iov[i].iov_len <= sizeof(w->body));
        memcpy(w->body + w->n_body, iov[i].iov_base, iov[i].iov_len);
        w->n_body += iov[i].iov_len;
    }
}

/* 0 or the answer's -errno. */
static int ask(struct wire *w, uint32_t opcode, const void *args, size_t n, const void *more,
               size_t n_more)
{
    CHECK(fuse_kernel_ask(&w->k, opcode, INO, args, n, more, n_more));
    for (unsigned i = 0; w->answered != w->k.last_unique && i < 10000; i++)
        rt_sleep_ns(100000);
    CHECK(w->answered == w->k.last_unique);
    return w->error;
}

static int put(struct wire *w, uint64_t offset, const void *data, uint32_t n)
{
    struct fuse_write_in write = {.offset = offset, .size = n};
    return ask(w, FUSE_WRITE, &write, sizeof(write), data, n);
}

static int get(struct wire *w, uint64_t offset, uint32_t n)
{
    struct fuse_read_in read = {.offset = offset, .size = n};
    return ask(w, FUSE_READ, &read, sizeof(read), NULL, 0);
}

static int seek(struct wire *w, uint64_t offset, uint32_t whence)
{
    struct fuse_lseek_in in = {.offset = offset, .whence = whence};
    return ask(w, FUSE_LSEEK, &in, sizeof(in), NULL, 0);
}

static void begin(struct wire *w)
{
    char *name = NULL;
    w->k.answer = answered;
    w->k.arg = w;
    CHECK(ash_engine_create(NULL, &w->engine, NULL) == 0 &&
          fexp_server(w->engine, &w->srv, NULL) == 0);
    CHECK(bdev_create_uri(ash_engine_bdevs(w->engine), "malloc:///d?num_blocks=64&blk_size=4096",
                          &name, NULL) == 0);
    bdev_wait_for_examine(ash_engine_bdevs(w->engine));
    CHECK(fuse_kernel_mount(&w->k, w->srv, DIR_NAME) == 0);
    CHECK(fexp_add(w->srv, name, DIR_NAME, NULL, false, NULL) == 0);
    rt_free(name);
    CHECK(fuse_kernel_init(&w->k));
}

/* The mount has ended or ends now, and nothing of it is left. */
static void end(struct wire *w)
{
    fexp_wait_unmounted(w->srv, DIR_NAME);
    CHECK(!bdev_is_open(bdev_find(ash_engine_bdevs(w->engine), "d")));
    close(w->k.fd);
    ash_engine_destroy(w->engine);
}

/* -------------------------------------------------------------------- cases */

static int requests(void *arg)
{
    struct wire w = {0};
    uint8_t data[6000];
    memset(data, 0x6b, sizeof(data));
    begin(&w);
    CHECK(put(&w, 1000, data, sizeof(data)) == 0);
    CHECK(get(&w, 1000, sizeof(data)) == 0 && w.n_body == sizeof(data));
    CHECK(memcmp(w.body, data, sizeof(data)) == 0);
    CHECK(get(&w, 999, 2) == 0 && w.body[0] == 0 && w.body[1] == 0x6b);
    CHECK(get(&w, 64 * 4096 - 1, 100) == 0 && w.n_body == 1);
    CHECK(get(&w, 64 * 4096, 1) == 0 && w.n_body == 0);
    CHECK(get(&w, 1ull << 63, 1) == -EINVAL);
    CHECK(put(&w, 64 * 4096, data, 1) == -ENOSPC);
    CHECK(seek(&w, 0, SEEK_DATA) == 0 && seek(&w, 64 * 4096, SEEK_DATA) == -ENXIO);
    CHECK(seek(&w, 0, 9) == -EINVAL);
    struct fuse_fallocate_in punch = {.offset = 1000, .length = 5000, .mode = 3};
    CHECK(ask(&w, FUSE_FALLOCATE, &punch, sizeof(punch), NULL, 0) == 0);
    CHECK(get(&w, 1000, 6000) == 0 && w.body[0] == 0 && w.body[4999] == 0 && w.body[5000] == 0x6b);
    CHECK(ask(&w, 4000, NULL, 0, NULL, 0) == -ENOSYS);
    CHECK(bdev_unregister(bdev_find(ash_engine_bdevs(w.engine), "d")) == 0);
    CHECK(get(&w, 0, 1) == -ESHUTDOWN);
    CHECK(fexp_unmount(w.srv, DIR_NAME, true, NULL) == 0);
    close(w.k.fd);
    ash_engine_destroy(w.engine);
    return 0;
}

/* A message that says it is longer than it is, a write that promises more than came, and one that
 * has no head: the mount ends, no byte is read that did not come. */
static int lies(void *arg)
{
    struct fuse_in_header head = {.len = 1000, .opcode = FUSE_GETATTR, .unique = 9, .nodeid = INO};
    struct fuse_write_in write = {.size = 40000};
    for (unsigned i = 0; i < 3; i++) {
        struct wire w = {0};
        begin(&w);
        if (i == 0)
            CHECK(send(w.k.fd, &head, sizeof(head), 0) == sizeof(head));
        else if (i == 1)
            CHECK(fuse_kernel_ask(&w.k, FUSE_WRITE, INO, &write, sizeof(write), "abc", 3));
        else
            CHECK(send(w.k.fd, &head, 4, 0) == 4);
        end(&w);
        CHECK(w.answered <= 1); /* none but that of the beginning */
    }
    return 0;
}

static void run_on(enum rt_backend backend, int (*fn)(void *arg))
{
    struct rt_opts opts;
    struct rt *rt = NULL;
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = 2;
    int rc = rt_create(&opts, &rt, NULL);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING)
        skip();
    assert_int_equal(rc, 0);
    assert_int_equal(rt_run_task(rt, "case", fn, NULL), 0);
    rt_destroy(rt);
}

static void on_both(void **state)
{
    const char *forced = getenv("ASHLAR_IO");
    int (*fn)(void *) = *state;
    run_on(RT_BACKEND_EPOLL, fn);
    if (!forced || strcmp(forced, "epoll") != 0)
        run_on(RT_BACKEND_URING, fn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"requests", on_both, NULL, NULL, (void *)requests},
        {"lies", on_both, NULL, NULL, (void *)lies},
    };
    return cmocka_run_group_tests_name("fuse wire", tests, NULL, NULL);
}
