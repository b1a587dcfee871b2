/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of an NVMe/TCP controller, against our host, in a simulated world. The input is streams,
 * each with its length (2 bytes) before it: the first connection gets the first stream, and so on.
 * A stream goes out in steps, one for each time the host has said something: a step ends behind a
 * PDU that ends a command. The first byte of the input: digests. Seeds: what our target says while
 * the host attaches, writes, reads and detaches (nvme_test_nvme --record DIR). */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/nvme_pdu.h"
#include "bdev/bdev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define URI "nvmf://127.0.0.1:4420/nqn.2016-06.io.spdk:f?queues=1&loss_timeout_sec=0"

struct fake {
    const uint8_t *data;
    size_t n;
    struct rt_sock *listener;
    unsigned n_tasks;
    bool is_over;
    struct rt_sock *socks[64];
    unsigned n_socks;
    struct rt_waitq end_q;
};

struct stream {
    struct fake *fake;
    struct rt_sock *sock;
    const uint8_t *data;
    size_t n;
};

/* Up to the end of the next PDU that ends a command; all of it when that cannot be told. */
static size_t step_bytes(const uint8_t *data, size_t n)
{
    size_t at = 0;
    while (n - at >= sizeof(struct nvme_pdu_hdr)) {
        const struct nvme_pdu_hdr *hdr = (const void *)(data + at);
        size_t plen = ash_le32_get(hdr->plen);
        if (plen < sizeof(*hdr) || plen > n - at)
            return n;
        at += plen;
        if (hdr->type != NVME_PDU_C2H_DATA || (hdr->flags & NVME_PDU_SUCCESS))
            return at;
    }
    return n;
}

static void stream_task(void *arg)
{
    struct stream *s = arg;
    struct fake *fake = s->fake;
    uint8_t *buf = malloc(16384);
    for (;;) {
        struct rt_op op = {.kind = RT_OP_RECV, .sock = s->sock, .n_iov = 1};
        op.one_iov = (struct iovec){buf, 16384};
        op.iov = &op.one_iov;
        if (rt_op_wait(&op) <= 0)
            break;
        size_t n = step_bytes(s->data, s->n);
        op = (struct rt_op){.kind = RT_OP_SEND, .sock = s->sock, .n_iov = 1};
        op.one_iov = (struct iovec){(void *)(uintptr_t)s->data, n};
        op.iov = &op.one_iov;
        if (n == 0 || rt_op_wait(&op) < 0)
            break;
        s->data += n;
        s->n -= n;
    }
    rt_sock_shutdown(s->sock);
    free(buf);
    free(s);
    fake->n_tasks--;
    rt_waitq_wake_all(&fake->end_q);
}

static void next_stream(struct fake *fake, struct stream *s)
{
    if (fake->n < 2)
        return;
    size_t n = fake->data[0] | (size_t)fake->data[1] << 8;
    fake->data += 2;
    fake->n -= 2;
    s->n = ASH_MIN(n, fake->n);
    s->data = fake->data;
    fake->data += s->n;
    fake->n -= s->n;
}

static void accept_task(void *arg)
{
    struct fake *fake = arg;
    for (;;) {
        struct rt_op op = {.kind = RT_OP_ACCEPT, .sock = fake->listener};
        if (rt_op_wait(&op) < 0)
            break;
        if (fake->is_over || fake->n_socks == ASH_N_ELEMS(fake->socks)) {
            rt_sock_close(op.ret_sock);
            continue;
        }
        struct stream *s = calloc(1, sizeof(*s));
        *s = (struct stream){.fake = fake, .sock = op.ret_sock};
        fake->socks[fake->n_socks++] = s->sock;
        next_stream(fake, s);
        fake->n_tasks++;
        ASH_ASSERT(rt_task_spawn("controller", stream_task, s) == 0);
    }
    fake->n_tasks--;
    rt_waitq_wake_all(&fake->end_q);
}

static void ignore(struct bdev_desc *desc, enum bdev_event ev)
{
    (void)desc;
    (void)ev;
}

static void use(struct bdev_mgr *mgr, const char *name)
{
    struct bdev_desc *desc;
    if (bdev_open(mgr, name, BDEV_OPEN_WRITE, "fuzz", ignore, NULL, &desc, NULL) != 0)
        return;
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint32_t n = bdev_desc_bdev(desc)->block_bytes;
    uint8_t *buf = ch ? rt_buf_get(16 * n) : NULL;
    if (buf && bdev_desc_bdev(desc)->size_bytes >= 16 * n) {
        (void)bdev_write(ch, memset(buf, 1, 16 * n), 0, n, 0);
        (void)bdev_read(ch, buf, 0, 16 * n);
        (void)bdev_write(ch, buf, 0, 16 * n, BDEV_FUA);
        (void)bdev_write_zeroes(ch, 0, n, 0);
        (void)bdev_unmap(ch, 0, n);
        (void)bdev_flush(ch);
    }
    rt_buf_put(buf, 16 * n);
    if (ch)
        bdev_channel_put(ch);
    bdev_close(desc);
}

static int body(void *arg)
{
    struct fake *fake = arg;
    struct bdev_mgr *mgr;
    char *name = NULL;
    rt_waitq_init(&fake->end_q);
    ASH_ASSERT(bdev_mgr_create(NULL, NULL, &mgr, NULL) == 0);
    ASH_ASSERT(rt_listen("tcp://127.0.0.1:4420", 0600, &fake->listener, NULL) == 0);
    fake->n_tasks = 1;
    ASH_ASSERT(rt_task_spawn("accept", accept_task, fake) == 0);
    uint8_t digests = fake->n ? fake->data[0] & 3 : 0;
    if (fake->n) {
        fake->data++;
        fake->n--;
    }
    static const char *const uris[] = {URI, URI "&hdgst", URI "&ddgst", URI "&hdgst&ddgst"};
    if (bdev_create_uri(mgr, uris[digests], &name, NULL) == 0) {
        use(mgr, name);
        rt_free(name);
    }
    bdev_mgr_destroy(mgr);
    fake->is_over = true;
    rt_sock_shutdown(fake->listener);
    for (unsigned i = 0; i < fake->n_socks; i++)
        rt_sock_shutdown(fake->socks[i]);
    while (fake->n_tasks)
        rt_waitq_wait(&fake->end_q);
    for (unsigned i = 0; i < fake->n_socks; i++)
        rt_sock_close(fake->socks[i]);
    rt_sock_close(fake->listener);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fake fake = {.data = data, .n = n};
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_run_task(rt, "fuzz", body, &fake) == 0);
    rt_destroy(rt);
    return 0;
}
