/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of an NBD client, against a device in memory, in a simulated world. The first byte chooses
 * how far the handshake is done already, the second how the rest is cut into segments. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "export/nbd/nbd.h"
#include "export/nbd/nbd_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
    const uint8_t *data;
    size_t n;
};

#define OPT(number, length) "IHAVEOPT\0\0\0" number "\0\0\0" length
static const char plain[] = "\0\0\0\3" OPT("\7", "\7") "\0\0\0\1d\0\0";
static const char structured[] = "\0\0\0\3" OPT("\10", "\0")
    OPT("\12", "\34") "\0\0\0\1d\0\0\0\1\0\0\0\17base:allocation" OPT("\7", "\7") "\0\0\0\1d\0\0";
static const char flags_only[] = "\0\0\0\3";

static bool say(struct rt_sock *sock, const void *data, size_t n)
{
    struct rt_op op = {.kind = RT_OP_SEND, .sock = sock, .n_iov = 1};
    op.one_iov = (struct iovec){(void *)(uintptr_t)data, n};
    op.iov = &op.one_iov;
    return n == 0 || rt_op_wait(&op) >= 0;
}

struct reader {
    struct rt_sock *sock;
    struct rt_event ended;
};

/* Reads and forgets, so that the server is never held up. */
static void read_task(void *arg)
{
    struct reader *reader = arg;
    static _Thread_local uint8_t buf[65536];
    struct rt_op op;
    do {
        op = (struct rt_op){.kind = RT_OP_RECV, .sock = reader->sock, .n_iov = 1};
        op.one_iov = (struct iovec){buf, sizeof(buf)};
        op.iov = &op.one_iov;
    } while (rt_op_wait(&op) > 0);
    rt_event_set(&reader->ended, 0);
}

static void talk(struct rt_sock *mine, const struct input *in)
{
    const uint8_t *data = in->data + 2;
    size_t n = in->n - 2, part = in->data[1] ? in->data[1] * 3u : n;
    bool ok = true;
    switch (in->data[0] % 4) {
    case 1:
        ok = say(mine, flags_only, sizeof(flags_only) - 1);
        break;
    case 2:
        ok = say(mine, plain, sizeof(plain) - 1);
        break;
    case 3:
        ok = say(mine, structured, sizeof(structured) - 1);
        break;
    default:
        break;
    }
    for (size_t at = 0; ok && at < n; at += part)
        ok = say(mine, data + at, ASH_MIN(part, n - at));
    for (unsigned i = 0; i < 50; i++)
        rt_yield();
    rt_sock_shutdown(mine);
}

static int run(void *arg)
{
    struct bdev_mgr *mgr;
    struct nbd_server *srv;
    struct rt_sock *theirs;
    struct reader reader = {NULL, RT_EVENT_INIT};
    char *name = NULL;
    ASH_ASSERT(bdev_mgr_create(NULL, NULL, &mgr, NULL) == 0);
    ASH_ASSERT(bdev_create_uri(mgr, "malloc:///d?size_mb=1&blk_size=512", &name, NULL) == 0);
    ASH_ASSERT(nbd_server_create(mgr, &srv, NULL) == 0);
    ASH_ASSERT(nbd_add_export(srv, name, "d", false, NULL, NULL) == 0);
    ASH_ASSERT(rt_sock_pair(&reader.sock, &theirs) == 0);
    ASH_ASSERT(nbd_serve_sock(srv, theirs, NULL) == 0);
    ASH_ASSERT(rt_task_spawn("reader", read_task, &reader) == 0);
    talk(reader.sock, arg);
    rt_event_wait(&reader.ended);
    rt_sock_close(reader.sock);
    nbd_server_destroy(srv);
    rt_free(name);
    bdev_mgr_destroy(mgr);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {data, n};
    struct rt_opts opts;
    struct rt *rt;
    if (n < 2)
        return 0;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_run_task(rt, "fuzz", run, &in) == 0);
    rt_destroy(rt);
    return 0;
}
