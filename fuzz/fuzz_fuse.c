/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of a kernel to the FUSE export: any operation with any arguments on any inode, many in
 * flight, while devices grow and go. What the kernel vouches for is kept: the length of a message
 * is its own, and names end. Each request that wants an answer gets exactly one.
 *
 * Input: requests one after another, each of an operation, an inode, flags, the length of what
 * follows, and that many bytes: the arguments. Flags: 1 wait for all answers first; 2 a payload of
 * up to 60 KiB behind the arguments; 4 the first inode is asked for whatever the byte says. */
#include <stdlib.h>

#include "../tests/tools/fuse_kernel.h"
#include "base/assert.h"
#include "bdev/bdev.h"
#include "engine/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { N_REQUESTS_MAX = 512 };
#define DIR_NAME "/fuzz"

static const struct {
    uint32_t opcode;
    uint32_t n_args; /* of its fixed arguments: shorter ones are filled up with zeroes */
    bool names;      /* arguments end in so many texts that end */
    bool silent;     /* needs no answer; the library may say that it is out of turn */
} ops[] = {
    {FUSE_LOOKUP, 0, true, false},
    {FUSE_FORGET, sizeof(struct fuse_forget_in), false, true},
    {FUSE_GETATTR, sizeof(struct fuse_getattr_in), false, false},
    {FUSE_SETATTR, sizeof(struct fuse_setattr_in), false, false},
    {FUSE_MKNOD, sizeof(struct fuse_mknod_in), true, false},
    {FUSE_UNLINK, 0, true, false},
    {FUSE_OPEN, sizeof(struct fuse_open_in), false, false},
    {FUSE_READ, sizeof(struct fuse_read_in), false, false},
    {FUSE_WRITE, sizeof(struct fuse_write_in), false, false},
    {FUSE_STATFS, 0, false, false},
    {FUSE_RELEASE, sizeof(struct fuse_release_in), false, false},
    {FUSE_FSYNC, sizeof(struct fuse_fsync_in), false, false},
    {FUSE_FLUSH, sizeof(struct fuse_flush_in), false, false},
    {FUSE_INIT, sizeof(struct fuse_init_in), false, false},
    {FUSE_OPENDIR, sizeof(struct fuse_open_in), false, false},
    {FUSE_READDIR, sizeof(struct fuse_read_in), false, false},
    {FUSE_RELEASEDIR, sizeof(struct fuse_release_in), false, false},
    {FUSE_CREATE, sizeof(struct fuse_create_in), true, false},
    {FUSE_INTERRUPT, sizeof(struct fuse_interrupt_in), false, true},
    {FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), false, false},
    {FUSE_LSEEK, sizeof(struct fuse_lseek_in), false, false},
    {FUSE_ACCESS, sizeof(struct fuse_access_in), false, false},
    {FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), true, false},
    {FUSE_IOCTL, sizeof(struct fuse_ioctl_in), false, false},
    {FUSE_POLL, sizeof(struct fuse_poll_in), false, false},
    {FUSE_RENAME2, sizeof(struct fuse_rename2_in), true, false},
    {FUSE_DESTROY, 0, false, false},
    {4000, 0, false, false}, /* of a kernel to come */
};

struct input {
    const uint8_t *data;
    size_t n;
};

struct kernel {
    struct fuse_kernel k;
    unsigned n_open; /* requests without answer */
    enum { NO, MAY, MUST } answers[N_REQUESTS_MAX + 2];
    bool ended; /* the server has been told to go: it owes no answers */
};

static void answered(void *arg, const struct fuse_out_header *out, const struct iovec *iov, int n)
{
    struct kernel *k = arg;
    ASH_ASSERT(out->unique > 0 && out->unique <= k->k.last_unique && k->answers[out->unique]);
    k->n_open -= k->answers[out->unique] == MUST;
    k->answers[out->unique] = NO;
}

static void wait_for_answers(struct kernel *k)
{
    for (unsigned i = 0; k->n_open > 0 && i < 200; i++)
        rt_sleep_ns(10000);
}

/* One request of the input; false: it has ended. */
static bool one(struct kernel *k, struct input *in)
{
    static const uint8_t payload[60 << 10] = {1, 2, 3};
    static const uint64_t inodes[] = {16, 17, 18, FUSE_ROOT_ID};
    uint8_t body[300] = {0};
    if (in->n < 4 || k->k.last_unique >= N_REQUESTS_MAX)
        return false;
    size_t which = in->data[0] % ASH_N_ELEMS(ops), n = ASH_MIN((size_t)in->data[3], in->n - 4);
    uint64_t ino = in->data[2] & 4     ? inodes[0]
                   : in->data[1] < 200 ? inodes[in->data[1] % 4]
                                       : in->data[1] * 7919u;
    unsigned flags = in->data[2];
    memcpy(body, in->data + 4, n);
    in->data += 4 + n;
    in->n -= 4 + n;
    n = ASH_MAX(n, (size_t)ops[which].n_args) + (ops[which].names ? 2 : 0);
    size_t n_more = flags & 2 ? (size_t)(flags >> 2) * 997 % sizeof(payload) : 0;
    if (ops[which].opcode == FUSE_WRITE) {
        struct fuse_write_in *write = (void *)body;
        write->size = ASH_MIN(write->size, (uint32_t)(n - sizeof(*write) + n_more));
    }
    if (flags & 1)
        wait_for_answers(k);
    k->answers[k->k.last_unique + 1] = ops[which].silent ? MAY : MUST;
    k->n_open += !ops[which].silent;
    k->ended |= ops[which].opcode == FUSE_DESTROY || ops[which].opcode == FUSE_INIT;
    if (!fuse_kernel_ask(&k->k, ops[which].opcode, ino, body, n, payload, n_more))
        return false;
    return true;
}

static void add_device(struct ash_engine *engine, struct fexp_server *srv, const char *uri,
                       bool read_only)
{
    char *name = NULL;
    ASH_ASSERT(bdev_create_uri(ash_engine_bdevs(engine), uri, &name, NULL) == 0);
    bdev_wait_for_examine(ash_engine_bdevs(engine));
    ASH_ASSERT(fexp_add(srv, name, DIR_NAME, NULL, read_only, NULL) == 0);
    rt_free(name);
}

static int run(void *arg)
{
    struct input *in = arg;
    struct ash_engine *engine;
    struct fexp_server *srv;
    struct kernel k = {.k = {.answer = answered}};
    k.k.arg = &k;
    ASH_ASSERT(ash_engine_create(NULL, &engine, NULL) == 0 && fexp_server(engine, &srv, NULL) == 0);
    ASH_ASSERT(fuse_kernel_mount(&k.k, srv, DIR_NAME) == 0);
    add_device(engine, srv, "malloc:///a?num_blocks=256&blk_size=512", false);
    add_device(engine, srv, "malloc:///b?num_blocks=32&blk_size=4096", false);
    add_device(engine, srv, "malloc:///c?num_blocks=256&blk_size=512", true);
    bool remove_early = in->n && in->data[0] >= 0xf0;
    k.answers[1] = MUST;
    k.n_open = 1;
    if (!(in->n && in->data[0] == 0xff)) /* else the first request is another than it must be */
        fuse_kernel_init(&k.k);
    else
        k.k.last_unique = 1, k.n_open = 0, k.ended = true;
    while (one(&k, in))
        ;
    if (remove_early) {
        k.ended = true;
        ASH_ASSERT(bdev_unregister(bdev_find(ash_engine_bdevs(engine), "a")) == 0);
    }
    wait_for_answers(&k);
    ASH_ASSERT(k.n_open == 0 || k.ended);
    close(k.k.fd);
    fexp_wait_unmounted(srv, DIR_NAME);
    ash_engine_destroy(engine);
    return 0;
}

/* The library keeps an interrupt that came too late for its request, also when the session ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfuse3.so";
}

static void quiet(enum fuse_log_level level, const char *fmt, va_list ap)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {data, n};
    struct rt_opts opts;
    struct rt *rt;
    fuse_set_log_func(quiet);
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_EPOLL; /* /dev/fuse is a descriptor: no simulator has one */
    opts.n_reactors = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_run_task(rt, "fuzz", run, &in) == 0);
    rt_destroy(rt);
    return 0;
}
