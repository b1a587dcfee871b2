/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of an NVMe/TCP host, against a device in memory, in a simulated world. The first byte
 * chooses how far the host has come (nothing, ICReq, an enabled admin queue, an I/O queue), how
 * deep its queue is, and whether the rest is a stream of PDUs as it stands or commands of 64 bytes
 * that get capsules, with data of zeroes behind them; the second how the rest is cut into segments.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/nvme_data.h"
#include "base/nvme_pdu.h"
#include "export/nvmf/nvmf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define SUBNQN  "nqn.2016-06.io.spdk:f"
#define HOSTNQN "nqn.2016-06.io.spdk:host"

struct input {
    const uint8_t *data;
    size_t n;
};

enum { AT_NEW, AT_IC, AT_ADMIN, AT_IO };
enum { MODE_AT = 3, MODE_COMMANDS = 4, MODE_DIGESTS = 8, MODE_DEPTH_SHIFT = 4 };

static bool say(struct rt_sock *sock, const void *data, size_t n)
{
    struct rt_op op = {.kind = RT_OP_SEND, .sock = sock, .n_iov = 1};
    op.one_iov = (struct iovec){(void *)(uintptr_t)data, n};
    op.iov = &op.one_iov;
    return n == 0 || rt_op_wait(&op) >= 0;
}

static bool hear(struct rt_sock *sock, void *data, size_t n)
{
    while (n > 0) {
        struct rt_op op = {.kind = RT_OP_RECV, .sock = sock, .n_iov = 1};
        op.one_iov = (struct iovec){data, n};
        op.iov = &op.one_iov;
        int64_t got = rt_op_wait(&op);
        if (got <= 0)
            return false;
        data = (uint8_t *)data + got;
        n -= (size_t)got;
    }
    return true;
}

struct reader {
    struct rt_sock *sock;
    struct rt_event ended;
};

/* Reads and forgets, so that the target is never held up. */
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

struct host {
    struct rt_sock *sock;
    struct nvme_pdu_rules rules;
};

static void put(struct host *h, void *head, uint8_t type, const void *data, uint32_t n)
{
    uint32_t n_head = nvme_pdu_seal(&h->rules, head, type, 0, n);
    struct le32 digest = nvme_digest_end(nvme_digest_add(NVME_DIGEST_START, data, n));
    say(h->sock, head, n_head);
    say(h->sock, data, n);
    if (n && h->rules.ddgst)
        say(h->sock, &digest, sizeof(digest));
}

static void open_host(struct nvmf_server *srv, const struct nvmf_address *address, struct host *h)
{
    struct rt_sock *theirs;
    *h = (struct host){0};
    ASH_ASSERT(rt_sock_pair(&h->sock, &theirs) == 0);
    ASH_ASSERT(nvmf_serve_sock(srv, theirs, address, NULL) == 0);
}

static void do_ic(struct host *h, bool digests)
{
    struct nvme_ic_req ic = {.dgst = digests ? NVME_DGST_HEADER | NVME_DGST_DATA : 0};
    struct nvme_ic_resp resp;
    put(h, &ic, NVME_PDU_IC_REQ, "", 0);
    ASH_ASSERT(hear(h->sock, &resp, sizeof(resp)));
    h->rules.hdgst = h->rules.ddgst = digests;
}

/* A fabrics command; DW0 of its reply. */
static uint32_t fabrics(struct host *h, const struct nvme_sqe *sqe, const void *data, uint32_t n)
{
    union {
        struct nvme_capsule_cmd pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    uint8_t resp[sizeof(struct nvme_capsule_resp) + NVME_DIGEST_BYTES];
    u.pdu.sqe = *sqe;
    u.pdu.sqe.flags = NVME_PSDT_SGL;
    if (n) {
        u.pdu.sqe.sgl.type = NVME_SGL_BLOCK_OFFSET;
        u.pdu.sqe.sgl.length = ash_le32(n);
    }
    put(h, &u, NVME_PDU_CAPSULE_CMD, data, n);
    size_t n_resp = sizeof(struct nvme_capsule_resp) + (h->rules.hdgst ? NVME_DIGEST_BYTES : 0);
    ASH_ASSERT(hear(h->sock, resp, n_resp));
    return ash_le32_get(((struct nvme_capsule_resp *)(void *)resp)->cqe.dw0);
}

/* From two entries to all that there may be. */
static uint16_t sqsize_of(uint8_t mode)
{
    static const uint8_t sizes[] = {31, 1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 63, 64, 126, 127};
    return sizes[mode >> MODE_DEPTH_SHIFT];
}

static uint16_t do_connect(struct host *h, uint16_t qid, uint16_t cntlid, uint16_t sqsize)
{
    union {
        struct nvme_sqe sqe;
        struct nvme_connect_sqe connect;
        struct nvme_prop_sqe prop;
    } u = {0};
    struct nvme_connect_data data = {
        .cntlid = ash_le16(cntlid), .subnqn = SUBNQN, .hostnqn = HOSTNQN};
    u.connect.opcode = NVME_OP_FABRICS;
    u.connect.fctype = NVME_FC_CONNECT;
    u.connect.qid = ash_le16(qid);
    u.connect.sqsize = ash_le16(sqsize);
    uint16_t id = (uint16_t)fabrics(h, &u.sqe, &data, sizeof(data));
    if (qid)
        return id;
    memset(&u, 0, sizeof(u));
    u.prop.opcode = NVME_OP_FABRICS;
    u.prop.fctype = NVME_FC_PROPERTY_SET;
    u.prop.ofst = ash_le32(NVME_PROP_CC);
    u.prop.value = ash_le64(NVME_CC_EN | NVME_SQES_LOG2 << NVME_CC_IOSQES_SHIFT |
                            NVME_CQES_LOG2 << NVME_CC_IOCQES_SHIFT);
    fabrics(h, &u.sqe, "", 0);
    return id;
}

/* Commands in capsules of their own, each with as much data as its SGL says (at most 8 KiB). */
static void talk_commands(struct host *h, const uint8_t *data, size_t n)
{
    static const uint8_t zeroes[8192];
    for (uint16_t cid = 0; n >= sizeof(struct nvme_sqe); cid++) {
        union {
            struct nvme_capsule_cmd pdu;
            uint8_t room[NVME_PDU_HEAD_MAX];
        } u = {0};
        memcpy(&u.pdu.sqe, data, sizeof(u.pdu.sqe));
        u.pdu.sqe.cid = ash_le16(cid);
        u.pdu.sqe.flags = (u.pdu.sqe.flags & NVME_FUSE_MASK) | NVME_PSDT_SGL;
        uint32_t length = ash_le32_get(u.pdu.sqe.sgl.length) % 8193;
        bool in_capsule = u.pdu.sqe.sgl.type & 1;
        u.pdu.sqe.sgl.address = ash_le64(0);
        u.pdu.sqe.sgl.length = ash_le32(length);
        u.pdu.sqe.sgl.type = in_capsule ? NVME_SGL_BLOCK_OFFSET : NVME_SGL_TRANSPORT;
        put(h, &u, NVME_PDU_CAPSULE_CMD, zeroes, in_capsule ? length : 0);
        data += sizeof(struct nvme_sqe);
        n -= sizeof(struct nvme_sqe);
        for (unsigned i = 0; i < 4; i++)
            rt_yield();
    }
}

static void talk(struct host *h, const struct input *in)
{
    const uint8_t *data = in->data + 2;
    size_t n = in->n - 2, part = in->data[1] ? in->data[1] * 3u : n;
    if (in->data[0] & MODE_COMMANDS) {
        talk_commands(h, data, n);
    } else {
        bool ok = true;
        for (size_t at = 0; ok && at < n; at += part)
            ok = say(h->sock, data + at, ASH_MIN(part, n - at));
    }
    for (unsigned i = 0; i < 50; i++)
        rt_yield();
    rt_sock_shutdown(h->sock);
}

static void make_target(struct nvmf_server *srv, const char *bdev, struct nvmf_address *address,
                        char port[16])
{
    struct nvmf_transport_opts transport;
    uint32_t nsid;
    nvmf_transport_defaults(&transport);
    ASH_ASSERT(nvmf_create_transport(srv, &transport, NULL) == 0);
    struct nvmf_subsystem_opts sub = {
        .nqn = SUBNQN, .allow_any_host = true, .ana_reporting = true, .max_namespaces = 4};
    ASH_ASSERT(nvmf_create_subsystem(srv, &sub, NULL) == 0);
    struct nvmf_ns_opts ns = {.bdev_name = bdev, .ptpl_file = "/ptpl"};
    ASH_ASSERT(nvmf_add_ns(srv, SUBNQN, &ns, &nsid, NULL) == 0);
    ASH_ASSERT(nvmf_add_listener(srv, SUBNQN, address, 0, port, NULL) == 0);
    address->trsvcid = port;
}

static int run(void *arg)
{
    const struct input *in = arg;
    struct bdev_mgr *mgr;
    struct nvmf_server *srv;
    struct host admin = {0}, h;
    char *name = NULL, port[16];
    struct nvmf_address address = {"127.0.0.1", "4420", false};
    unsigned at = in->data[0] & MODE_AT;
    bool digests = in->data[0] & MODE_DIGESTS;
    ASH_ASSERT(bdev_mgr_create(NULL, NULL, &mgr, NULL) == 0);
    ASH_ASSERT(bdev_create_uri(mgr, "malloc:///d?size_mb=1&blk_size=512", &name, NULL) == 0);
    ASH_ASSERT(nvmf_server_create(mgr, NULL, &srv, NULL) == 0);
    make_target(srv, name, &address, port);
    open_host(srv, &address, &h);
    uint16_t cntlid = NVME_CNTLID_DYNAMIC;
    if (at == AT_IO) {
        open_host(srv, &address, &admin);
        do_ic(&admin, false);
        cntlid = do_connect(&admin, 0, cntlid, 31);
    }
    if (at >= AT_IC)
        do_ic(&h, digests);
    if (at >= AT_ADMIN)
        do_connect(&h, at == AT_IO ? 1 : 0, cntlid, sqsize_of(in->data[0]));
    struct reader reader = {h.sock, RT_EVENT_INIT};
    ASH_ASSERT(rt_task_spawn("reader", read_task, &reader) == 0);
    talk(&h, in);
    rt_event_wait(&reader.ended);
    rt_sock_close(h.sock);
    if (admin.sock)
        rt_sock_close(admin.sock);
    nvmf_server_destroy(srv);
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
    opts.n_reactors = 2;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_run_task(rt, "fuzz", run, &in) == 0);
    rt_destroy(rt);
    return 0;
}
