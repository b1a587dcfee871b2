/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the NVMe target share: a world with a target and test devices, and a raw client
 * that sends exactly the PDUs it is told and checks every PDU that it gets. */
#ifndef ASH_TESTS_NVMF_TEST_H
#define ASH_TESTS_NVMF_TEST_H

#include "../tdev.h"
#include "base/nvme_data.h"
#include "base/nvme_pdu.h"
#include "export/nvmf/nvmf.h"

#define SUBNQN  "nqn.2016-06.io.spdk:t"
#define HOSTNQN "nqn.2014-08.org.nvmexpress:uuid:6e8e2f0c-1d5c-4f30-8c4f-0f4b2b8f6d10"
#define HOST2   "nqn.2014-08.org.nvmexpress:uuid:6e8e2f0c-1d5c-4f30-8c4f-0f4b2b8f6d11"
#define DNR     0x8000u

/* --------------------------------------------------------------- the world */

struct tw {
    struct rt *rt;
    struct bdev_mgr *mgr;
    struct nvmf_server *srv;
    struct tdev dev, dev2;
    struct bdev_module module;
    int (*fn)(struct tw *w);
    char port[16];
    struct nvmf_address address;
};

static inline int tw_setup(struct tw *w)
{
    struct ash_err err = {0};
    struct nvmf_transport_opts transport;
    uint32_t nsid;
    TRY(nvmf_server_create(w->mgr, NULL, &w->srv, &err));
    nvmf_transport_defaults(&transport);
    TRY(nvmf_create_transport(w->srv, &transport, &err));
    TRY(nvmf_create_subsystem(
        w->srv, &(struct nvmf_subsystem_opts){.nqn = SUBNQN, .allow_any_host = true}, &err));
    TRY(nvmf_add_ns(w->srv, SUBNQN, &(struct nvmf_ns_opts){.bdev_name = "dev"}, &nsid, &err));
    CHECK(nsid == 1);
    w->address = (struct nvmf_address){"127.0.0.1", "0", false};
    if (nvmf_add_listener(w->srv, SUBNQN, &w->address, 0, w->port, &err)) {
        print_error("listener: %s\n", err.text);
        return -1;
    }
    w->address.trsvcid = w->port;
    return 0;
}

static inline int tw_main(void *arg)
{
    struct tw *w = arg;
    struct ash_err err = {0};
    TRY(bdev_mgr_create(NULL, NULL, &w->mgr, &err));
    w->module.name = "test";
    TRY(tdev_add(w->mgr, &w->module, &w->dev, "dev"));
    TRY(tdev_add(w->mgr, &w->module, &w->dev2, "dev2"));
    int rc = tw_setup(w);
    if (rc == 0)
        rc = w->fn(w);
    w->dev.fail_rc = 0;
    if (!ash_list_empty(&w->dev.held))
        tdev_release(&w->dev);
    nvmf_server_destroy(w->srv);
    bdev_mgr_destroy(w->mgr);
    return rc;
}

static inline void tw_run(enum rt_backend backend, unsigned n_reactors, int (*fn)(struct tw *w))
{
    struct rt_opts opts;
    struct ash_err err = {0};
    struct tw w = {.fn = fn};
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = n_reactors;
    opts.spin_limit_ns = 0;
    const char *seed = getenv("ASH_TEST_SEED");
    opts.seed = seed ? strtoull(seed, NULL, 0) : 1;
    int rc = rt_create(&opts, &w.rt, &err);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING) {
        print_message("# no io_uring here\n");
        return;
    }
    if (rc)
        print_error("rt_create: %s\n", err.text);
    assert_int_equal(rc, 0);
    assert_int_equal(rt_run_task(w.rt, "test", tw_main, &w), 0);
    rt_destroy(w.rt);
}

#define NVMF_TEST(name, n_reactors)                                                                \
    static void name##_sim(void **state)                                                           \
    {                                                                                              \
        tw_run(RT_BACKEND_SIM, n_reactors, name);                                                  \
    }                                                                                              \
    static void name##_epoll(void **state)                                                         \
    {                                                                                              \
        tw_run(RT_BACKEND_EPOLL, n_reactors, name);                                                \
    }                                                                                              \
    static void name##_uring(void **state)                                                         \
    {                                                                                              \
        tw_run(RT_BACKEND_URING, n_reactors, name);                                                \
    }
#define NVMF_TESTS(name)                                                                           \
    cmocka_unit_test(name##_sim), cmocka_unit_test(name##_epoll), cmocka_unit_test(name##_uring)
/* Only the simulator, where time is not wall-clock time. */
#define NVMF_SIM_TEST(name, n_reactors)                                                            \
    static void name##_sim(void **state)                                                           \
    {                                                                                              \
        tw_run(RT_BACKEND_SIM, n_reactors, name);                                                  \
    }
#define NVMF_SIM_TESTS(name) cmocka_unit_test(name##_sim)

/* -------------------------------------------------------------- the client */

struct cl {
    struct tw *w;
    struct rt_sock *sock;
    struct nvme_pdu_rules to, from; /* to the target, from it */
    uint8_t hpda;
    const char *hostnqn, *subnqn;
    uint8_t hostid[16];
    uint16_t cntlid, next_cid, qid;
    uint32_t maxh2c, kato_ms;
    uint8_t cattr;
    uint32_t chunk; /* send so many bytes at a time; 0: all at once */
    bool r2t_only;  /* writes never carry data in the capsule */
    /* of the last command */
    struct nvme_cqe cqe;
    unsigned n_r2t, n_c2h;
    uint32_t n_data;
    bool by_success;
};

/* One PDU as it came. */
struct pdu {
    union {
        struct nvme_pdu_hdr hdr;
        struct nvme_ic_resp ic;
        struct nvme_capsule_resp resp;
        struct nvme_data_pdu data;
        struct nvme_r2t r2t;
        struct nvme_term_req term;
        uint8_t head[NVME_PDU_HEAD_MAX];
    };
    struct nvme_pdu_layout layout;
    uint8_t body[1 << 20];
};

static inline bool cl_send(struct cl *c, const void *data, size_t n)
{
    size_t step = c->chunk ? c->chunk : n;
    for (size_t at = 0; at < n; at += step) {
        struct rt_op op = {.kind = RT_OP_SEND, .sock = c->sock, .n_iov = 1};
        op.one_iov = (struct iovec){(uint8_t *)(uintptr_t)data + at, ASH_MIN(step, n - at)};
        op.iov = &op.one_iov;
        if (rt_op_wait(&op) < 0)
            return false;
        if (c->chunk)
            rt_yield();
    }
    return true;
}

/* False: the target has ended the connection. */
static inline bool cl_recv(struct cl *c, void *data, size_t n)
{
    while (n > 0) {
        struct rt_op op = {.kind = RT_OP_RECV, .sock = c->sock, .n_iov = 1};
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

static inline bool cl_is_closed(struct cl *c)
{
    uint8_t byte;
    return !cl_recv(c, &byte, 1);
}

static inline void cl_init(struct tw *w, struct cl *c)
{
    memset(c, 0, sizeof(*c));
    c->w = w;
    c->hostnqn = HOSTNQN;
    c->subnqn = SUBNQN;
    memset(c->hostid, 0x11, sizeof(c->hostid));
    c->to = (struct nvme_pdu_rules){.max_data_bytes = 4u << 20};
    c->from = (struct nvme_pdu_rules){.to_host = true, .max_data_bytes = 4u << 20};
    c->next_cid = 100;
    c->cntlid = NVME_CNTLID_DYNAMIC;
}

static inline int cl_open(struct tw *w, struct cl *c)
{
    struct rt_sock *theirs = NULL;
    struct ash_err err = {0};
    cl_init(w, c);
    CHECK(rt_sock_pair(&c->sock, &theirs) == 0);
    TRY(nvmf_serve_sock(w->srv, theirs, &w->address, &err));
    return 0;
}

static inline void cl_close(struct cl *c)
{
    if (c->sock)
        rt_sock_close(c->sock);
    c->sock = NULL;
}

/* A PDU with its digests. head has room for NVME_PDU_HEAD_MAX. */
static inline bool cl_put(struct cl *c, void *head, uint8_t type, uint8_t flags, const void *data,
                          uint32_t n_data)
{
    uint32_t n_head = nvme_pdu_seal(&c->to, head, type, flags, n_data);
    if (!cl_send(c, head, n_head) || (n_data && !cl_send(c, data, n_data)))
        return false;
    if (n_data && c->to.ddgst) {
        struct le32 digest = nvme_digest_end(nvme_digest_add(NVME_DIGEST_START, data, n_data));
        return cl_send(c, &digest, sizeof(digest));
    }
    return true;
}

static inline int cl_get(struct cl *c, struct pdu *p)
{
    struct nvme_pdu_fault fault = {0};
    CHECK(cl_recv(c, p->head, sizeof(p->hdr)));
    c->from.before_ic = p->hdr.type == NVME_PDU_IC_RESP;
    if (!nvme_pdu_check(&c->from, &p->hdr, &p->layout, &fault)) {
        print_error("type %u flags %u: FES %u FEI %u\n", p->hdr.type, p->hdr.flags, fault.fes,
                    fault.fei);
        return -1;
    }
    uint32_t n_head = p->layout.data_bytes ? p->layout.data_offset : p->layout.head_bytes;
    CHECK(n_head <= sizeof(p->head) && p->layout.data_bytes <= sizeof(p->body));
    CHECK(cl_recv(c, p->head + sizeof(p->hdr), n_head - sizeof(p->hdr)));
    CHECK(nvme_pdu_head_ok(p->head, &p->layout, &fault));
    CHECK(cl_recv(c, p->body, p->layout.data_bytes));
    if (p->layout.ddgst_bytes) {
        struct le32 is,
            want =
                nvme_digest_end(nvme_digest_add(NVME_DIGEST_START, p->body, p->layout.data_bytes));
        CHECK(cl_recv(c, &is, sizeof(is)) && memcmp(&is, &want, sizeof(is)) == 0);
    }
    return 0;
}

static inline int cl_ic(struct cl *c, uint8_t dgst, uint8_t hpda)
{
    struct pdu *p = malloc(sizeof(*p));
    struct nvme_ic_req ic = {.hpda = hpda, .dgst = dgst};
    CHECK(cl_put(c, &ic, NVME_PDU_IC_REQ, 0, NULL, 0));
    TRY(cl_get(c, p));
    CHECK(p->hdr.type == NVME_PDU_IC_RESP && p->ic.dgst == dgst && p->ic.cpda == 0);
    c->maxh2c = ash_le32_get(p->ic.maxh2cdata);
    CHECK(c->maxh2c >= 4096 && c->maxh2c % 4 == 0);
    c->to.hdgst = c->from.hdgst = dgst & NVME_DGST_HEADER;
    c->to.ddgst = c->from.ddgst = dgst & NVME_DGST_DATA;
    c->from.pda = c->hpda = hpda;
    free(p);
    return 0;
}

/* Send a command. data goes in the capsule when n_capsule is not 0. */
static inline bool cl_command(struct cl *c, struct nvme_sqe *sqe, const void *data,
                              uint32_t n_capsule)
{
    union {
        struct nvme_capsule_cmd pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    u.pdu.sqe = *sqe;
    return cl_put(c, &u, NVME_PDU_CAPSULE_CMD, 0, data, n_capsule);
}

static inline int cl_answer_r2t(struct cl *c, const struct pdu *p, const uint8_t *out,
                                uint32_t n_out)
{
    uint32_t at = ash_le32_get(p->r2t.r2to), n = ash_le32_get(p->r2t.r2tl);
    CHECK(n > 0 && ash_le16_get(p->r2t.ttag) != 0 && at + n <= n_out);
    c->n_r2t++;
    while (n > 0) {
        union {
            struct nvme_data_pdu pdu;
            uint8_t room[NVME_PDU_HEAD_MAX];
        } u = {0};
        uint32_t step = ASH_MIN(n, c->maxh2c);
        u.pdu.cccid = p->r2t.cccid;
        u.pdu.ttag = p->r2t.ttag;
        u.pdu.datao = ash_le32(at);
        u.pdu.datal = ash_le32(step);
        CHECK(cl_put(c, &u, NVME_PDU_H2C_DATA, step == n ? NVME_PDU_LAST : 0, out + at, step));
        at += step;
        n -= step;
    }
    return 0;
}

/* Answer R2Ts, take data into in, until the command cid is complete; c->cqe. */
static inline int cl_wait(struct cl *c, uint16_t cid, const void *out, uint32_t n_out, void *in,
                          uint32_t n_in)
{
    struct pdu *p = malloc(sizeof(*p));
    memset(&c->cqe, 0, sizeof(c->cqe));
    c->n_r2t = c->n_c2h = 0;
    c->n_data = 0;
    c->by_success = false;
    for (;;) {
        TRY(cl_get(c, p));
        if (p->hdr.type == NVME_PDU_R2T) {
            CHECK(ash_le16_get(p->r2t.cccid) == cid);
            TRY(cl_answer_r2t(c, p, out, n_out));
        } else if (p->hdr.type == NVME_PDU_C2H_DATA) {
            uint32_t n = ash_le32_get(p->data.datal);
            CHECK(ash_le16_get(p->data.cccid) == cid && n == p->layout.data_bytes);
            CHECK(ash_le32_get(p->data.datao) == c->n_data && c->n_data + n <= n_in);
            memcpy((uint8_t *)in + c->n_data, p->body, n);
            c->n_data += n;
            c->n_c2h++;
            if (p->hdr.flags & NVME_PDU_SUCCESS) {
                CHECK(p->hdr.flags & NVME_PDU_LAST);
                c->by_success = true;
                break;
            }
        } else {
            CHECK(p->hdr.type == NVME_PDU_CAPSULE_RESP);
            CHECK(ash_le16_get(p->resp.cqe.cid) == cid);
            c->cqe = p->resp.cqe;
            break;
        }
    }
    free(p);
    return 0;
}

static inline uint32_t cl_status(const struct cl *c)
{
    uint16_t s = ash_le16_get(c->cqe.status);
    return nvme_status_sc(s) | (s & DNR);
}

/* A whole command. out/n_out: data of the host; in/n_in: room for the target's. */
static inline int cl_do(struct cl *c, struct nvme_sqe *sqe, const void *out, uint32_t n_out,
                        void *in, uint32_t n_in)
{
    bool fabrics = sqe->opcode == NVME_OP_FABRICS;
    uint32_t limit = c->qid == 0 || fabrics ? 8192 : c->r2t_only ? 0 : 4096;
    bool capsule = n_out && n_out <= limit;
    sqe->flags |= NVME_PSDT_SGL;
    sqe->cid = ash_le16(c->next_cid++);
    if (n_out || n_in) {
        sqe->sgl.length = ash_le32(n_out ? n_out : n_in);
        sqe->sgl.type = capsule ? NVME_SGL_BLOCK_OFFSET : NVME_SGL_TRANSPORT;
    }
    CHECK(cl_command(c, sqe, out, capsule ? n_out : 0));
    return cl_wait(c, ash_le16_get(sqe->cid), out, n_out, in, n_in);
}

static inline struct nvme_connect_data cl_connect_data(const struct cl *c)
{
    struct nvme_connect_data data = {.cntlid = ash_le16(c->cntlid)};
    memcpy(data.hostid, c->hostid, 16);
    snprintf(data.subnqn, sizeof(data.subnqn), "%s", c->subnqn);
    snprintf(data.hostnqn, sizeof(data.hostnqn), "%s", c->hostnqn);
    return data;
}

static inline int cl_connect_sqe(struct cl *c, uint16_t qid, uint16_t sqsize)
{
    union {
        struct nvme_sqe sqe;
        struct nvme_connect_sqe connect;
    } u = {0};
    struct nvme_connect_data data = cl_connect_data(c);
    u.connect.opcode = NVME_OP_FABRICS;
    u.connect.fctype = NVME_FC_CONNECT;
    u.connect.qid = ash_le16(qid);
    u.connect.sqsize = ash_le16(sqsize);
    u.connect.cattr = c->cattr;
    u.connect.kato_ms = ash_le32(c->kato_ms);
    TRY(cl_do(c, &u.sqe, &data, sizeof(data), NULL, 0));
    return 0;
}

static inline int cl_prop_set(struct cl *c, uint32_t ofst, uint64_t value)
{
    union {
        struct nvme_sqe sqe;
        struct nvme_prop_sqe prop;
    } u = {0};
    u.prop.opcode = NVME_OP_FABRICS;
    u.prop.fctype = NVME_FC_PROPERTY_SET;
    u.prop.ofst = ash_le32(ofst);
    u.prop.value = ash_le64(value);
    return cl_do(c, &u.sqe, NULL, 0, NULL, 0);
}

static inline int cl_prop_get(struct cl *c, uint32_t ofst, bool eight, uint64_t *ret)
{
    union {
        struct nvme_sqe sqe;
        struct nvme_prop_sqe prop;
    } u = {0};
    u.prop.opcode = NVME_OP_FABRICS;
    u.prop.fctype = NVME_FC_PROPERTY_GET;
    u.prop.attrib = eight;
    u.prop.ofst = ash_le32(ofst);
    TRY(cl_do(c, &u.sqe, NULL, 0, NULL, 0));
    *ret = ash_le32_get(c->cqe.dw0) | (uint64_t)ash_le32_get(c->cqe.dw1) << 32;
    return 0;
}

#define CC_ON                                                                                      \
    (NVME_CC_EN | NVME_SQES_LOG2 << NVME_CC_IOSQES_SHIFT | NVME_CQES_LOG2 << NVME_CC_IOCQES_SHIFT)

/* An admin queue of an enabled controller. */
static inline int cl_admin_as(struct tw *w, struct cl *c, uint8_t dgst, uint8_t hpda,
                              const char *subnqn, const char *hostnqn, uint8_t host)
{
    uint64_t csts;
    TRY(cl_open(w, c));
    c->subnqn = subnqn;
    c->hostnqn = hostnqn;
    memset(c->hostid, host, sizeof(c->hostid));
    TRY(cl_ic(c, dgst, hpda));
    TRY(cl_connect_sqe(c, 0, 31));
    CHECK(cl_status(c) == 0);
    c->cntlid = (uint16_t)ash_le32_get(c->cqe.dw0);
    TRY(cl_prop_set(c, NVME_PROP_CC, CC_ON));
    CHECK(cl_status(c) == 0);
    TRY(cl_prop_get(c, NVME_PROP_CSTS, false, &csts));
    CHECK(csts == NVME_CSTS_RDY);
    return 0;
}

static inline int cl_admin(struct tw *w, struct cl *c)
{
    return cl_admin_as(w, c, 0, 0, SUBNQN, HOSTNQN, 0x11);
}

/* An I/O queue of a's controller. */
static inline int cl_io(struct cl *a, struct cl *c, uint16_t qid)
{
    TRY(cl_open(a->w, c));
    c->subnqn = a->subnqn;
    c->hostnqn = a->hostnqn;
    memcpy(c->hostid, a->hostid, sizeof(c->hostid));
    TRY(cl_ic(c, (a->to.hdgst ? NVME_DGST_HEADER : 0) | (a->to.ddgst ? NVME_DGST_DATA : 0),
              a->hpda));
    c->cntlid = a->cntlid;
    TRY(cl_connect_sqe(c, qid, 127));
    if (cl_status(c) != 0)
        print_error("I/O connect: %x\n", cl_status(c));
    CHECK(cl_status(c) == 0);
    c->qid = qid;
    return 0;
}

/* op on blocks of 512 bytes of namespace 1 */
static inline struct nvme_sqe cl_rw(uint8_t opcode, uint64_t slba, uint32_t n_blocks,
                                    uint32_t flags)
{
    struct nvme_sqe sqe = {.opcode = opcode, .nsid = ash_le32(1), .slba = ash_le64(slba)};
    sqe.rw_cdw12 = ash_le32((n_blocks - 1) | flags);
    return sqe;
}

static inline int cl_write(struct cl *c, uint64_t slba, const void *data, uint32_t n_bytes,
                           uint32_t flags)
{
    struct nvme_sqe sqe = cl_rw(NVME_IO_WRITE, slba, n_bytes / DEV_BLOCK, flags);
    return cl_do(c, &sqe, data, n_bytes, NULL, 0);
}

static inline int cl_read(struct cl *c, uint64_t slba, void *data, uint32_t n_bytes)
{
    struct nvme_sqe sqe = cl_rw(NVME_IO_READ, slba, n_bytes / DEV_BLOCK, 0);
    return cl_do(c, &sqe, NULL, 0, data, n_bytes);
}

static inline int cl_identify(struct cl *c, uint8_t cns, uint32_t nsid, void *page)
{
    struct nvme_sqe sqe = {.opcode = NVME_ADM_IDENTIFY, .nsid = ash_le32(nsid)};
    sqe.cdw10 = ash_le32(cns);
    return cl_do(c, &sqe, NULL, 0, page, NVME_IDENTIFY_BYTES);
}

static inline int cl_log(struct cl *c, uint8_t lid, uint32_t nsid, void *page, uint32_t n_bytes)
{
    struct nvme_sqe sqe = {.opcode = NVME_ADM_GET_LOG_PAGE, .nsid = ash_le32(nsid)};
    sqe.cdw10 = ash_le32(lid | (n_bytes / 4 - 1) << 16);
    return cl_do(c, &sqe, NULL, 0, page, n_bytes);
}

static inline int cl_feature(struct cl *c, bool set, uint8_t fid, uint32_t dw11)
{
    struct nvme_sqe sqe = {.opcode = set ? NVME_ADM_SET_FEATURES : NVME_ADM_GET_FEATURES};
    sqe.cdw10 = ash_le32(fid);
    sqe.cdw11 = ash_le32(dw11);
    return cl_do(c, &sqe, NULL, 0, NULL, 0);
}

/* Waits until the target has so many connections. */
static inline int tw_wait_conns(struct tw *w, uint32_t n)
{
    for (unsigned i = 0; i < 5000 && nvmf_n_connections(w->srv) != n; i++)
        rt_sleep_ns(1000000);
    CHECK(nvmf_n_connections(w->srv) == n);
    return 0;
}

static inline void fill(uint8_t *buf, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        buf[i] = (uint8_t)(seed >> 24);
    }
}

#endif
