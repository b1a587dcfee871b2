/* SPDX-License-Identifier: Apache-2.0 */
/* A controller that says what a test wants: it lets our initiator connect and identify one
 * namespace, and hands everything of I/O queues (and Abort) to the test. */
#ifndef TESTS_UNIT_NVME_FAKE_H
#define TESTS_UNIT_NVME_FAKE_H

#include "nvme_test.h"

enum { FAKE_CONNS_MAX = 64, FAKE_DATA_MAX = 1 << 20 };

struct fake_conn {
    struct fake *fake;
    struct rt_sock *sock;
    uint16_t qid;
    bool is_deaf; /* takes what comes and says nothing more */
    uint32_t cc;
    int aer_cid; /* -1: none is held */
    uint8_t *data;
};

struct fake {
    const char *address;
    struct rt_sock *listener;
    struct fake_conn conns[FAKE_CONNS_MAX];
    unsigned n_conns, n_tasks;
    bool is_over;
    struct rt_waitq end_q;
    /* what it is */
    uint32_t authreq, n_queues; /* n_queues 0: as many as are asked for */
    uint16_t connect_status;
    bool hangs_up;       /* when the host begins to prove itself */
    uint8_t uuid;        /* each byte of it */
    uint32_t in_capsule; /* bytes; 0: none on I/O queues */
    bool has_ana;        /* and its namespace can always be reached, says the log */
    bool keeps_ready;    /* CSTS.RDY stays when the controller is disabled */
    unsigned n_disables;
    uint64_t disabled_at_ns;
    void (*io)(struct fake_conn *c, const struct nvme_sqe *sqe);
    void (*h2c)(struct fake_conn *c, const struct nvme_data_pdu *pdu);
    void (*abort)(struct fake_conn *c, const struct nvme_sqe *sqe);
    void *user;
};

/* ------------------------------------------------------------------ saying */

static inline bool fake_send(struct fake_conn *c, void *data, size_t n)
{
    return c->is_deaf || wire_op(c->sock, RT_OP_SEND, data, n) >= 0;
}

static inline void fake_put(struct fake_conn *c, void *head, uint8_t type, uint8_t flags,
                            void *data, uint32_t n_data)
{
    static const struct nvme_pdu_rules rules = {.to_host = true};
    uint32_t n_head = nvme_pdu_seal(&rules, head, type, flags, n_data);
    if (fake_send(c, head, n_head) && n_data)
        fake_send(c, data, n_data);
}

static inline void fake_reply(struct fake_conn *c, uint16_t cid, uint64_t dw01, uint16_t status)
{
    union {
        struct nvme_capsule_resp pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    u.pdu.cqe = (struct nvme_cqe){
        .dw0 = ash_le32((uint32_t)dw01),
        .dw1 = ash_le32((uint32_t)(dw01 >> 32)),
        .cid = ash_le16(cid),
        .status = ash_le16((uint16_t)((status & 0x7FF) << 1 | (status & NVME_STATUS_DNR)))};
    fake_put(c, &u, NVME_PDU_CAPSULE_RESP, 0, NULL, 0);
}

static inline void fake_r2t(struct fake_conn *c, uint16_t cid, uint16_t ttag, uint32_t at,
                            uint32_t n)
{
    union {
        struct nvme_r2t pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    u.pdu.cccid = ash_le16(cid);
    u.pdu.ttag = ash_le16(ttag);
    u.pdu.r2to = ash_le32(at);
    u.pdu.r2tl = ash_le32(n);
    fake_put(c, &u, NVME_PDU_R2T, 0, NULL, 0);
}

static inline void fake_data(struct fake_conn *c, uint16_t cid, uint32_t at, uint32_t n,
                             uint8_t flags)
{
    union {
        struct nvme_data_pdu pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    u.pdu.cccid = ash_le16(cid);
    u.pdu.datao = ash_le32(at);
    u.pdu.datal = ash_le32(n);
    fake_put(c, &u, NVME_PDU_C2H_DATA, flags, c->data, n);
}

/* --------------------------------------------------- what any controller does */

static inline void fake_page(struct fake_conn *c, const struct nvme_sqe *sqe, const void *page,
                             uint32_t n)
{
    memset(c->data, 0, ash_le32_get(sqe->sgl.length));
    memcpy(c->data, page, n);
    fake_data(c, ash_le16_get(sqe->cid), 0, ash_le32_get(sqe->sgl.length), NVME_PDU_LAST);
    fake_reply(c, ash_le16_get(sqe->cid), 0, 0);
}

static inline void fake_identify(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    static union {
        struct nvme_id_ctrlr ctrlr;
        struct nvme_id_ns ns;
        struct le32 list[NVME_NS_LIST_MAX];
        uint8_t desc[4096];
    } u;
    memset(&u, 0, sizeof(u));
    switch (ash_le32_get(sqe->cdw10) & 0xFF) {
    case NVME_CNS_CTRLR:
        u.ctrlr.cntlid = ash_le16(1);
        u.ctrlr.kas = ash_le16(10);
        u.ctrlr.sgls = ash_le32(NVME_SGLS_SUPPORTED);
        u.ctrlr.ioccsz = ash_le32(4 + c->fake->in_capsule / 16);
        u.ctrlr.iorcsz = ash_le32(1);
        u.ctrlr.sqes = 0x66;
        u.ctrlr.cqes = 0x44;
        u.ctrlr.maxcmd = ash_le16(32);
        u.ctrlr.vwc = NVME_VWC_PRESENT;
        if (c->fake->has_ana) {
            u.ctrlr.cmic = NVME_CMIC_ANA;
            u.ctrlr.anagrpmax = u.ctrlr.nanagrpid = ash_le32(1);
        }
        u.ctrlr.cntrltype = NVME_CNTRLTYPE_IO;
        snprintf(u.ctrlr.subnqn, sizeof(u.ctrlr.subnqn), "%s", NQN);
        break;
    case NVME_CNS_NS_LIST:
        u.list[0] = ash_le32(ash_le32_get(sqe->nsid) == 0);
        break;
    case NVME_CNS_NS:
        u.ns.nsze = u.ns.ncap = u.ns.nuse = ash_le64(DISK_BLOCKS);
        u.ns.lbaf[0].lbads = 9;
        u.ns.anagrpid = ash_le32(1);
        break;
    default:
        u.desc[0] = NVME_NIDT_UUID;
        u.desc[1] = 16;
        memset(u.desc + 4, c->fake->uuid, 16);
    }
    fake_page(c, sqe, &u, sizeof(u));
}

static inline void fake_ana_log(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    struct {
        struct nvme_log_ana head;
        struct nvme_log_ana_group group;
        struct le32 nsid;
    } log = {{.n_groups = ash_le16(1)},
             {ash_le32(1), ash_le32(1), .state = NVME_ANA_OPTIMIZED},
             ash_le32(1)};
    fake_page(c, sqe, &log, sizeof(log));
}

static inline void fake_fabrics(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    const struct nvme_connect_sqe *connect = (const void *)sqe;
    const struct nvme_prop_sqe *prop = (const void *)sqe;
    struct fake *f = c->fake;
    uint64_t value = 0;
    if (connect->fctype == NVME_FC_CONNECT) {
        c->qid = ash_le16_get(connect->qid);
        fake_reply(c, ash_le16_get(sqe->cid), 1 | f->authreq << 16, f->connect_status);
        return;
    }
    if (f->hangs_up && prop->fctype == NVME_FC_AUTH_SEND) {
        rt_sock_shutdown(c->sock);
        return;
    }
    if (prop->fctype == NVME_FC_PROPERTY_SET) {
        if ((c->cc & NVME_CC_EN) && !(ash_le64_get(prop->value) & NVME_CC_EN)) {
            f->n_disables++;
            f->disabled_at_ns = rt_now_ns();
        }
        c->cc = (uint32_t)ash_le64_get(prop->value);
    } else if (ash_le32_get(prop->ofst) == NVME_PROP_CAP) {
        value = 31 | NVME_CAP_CQR | 2ull << NVME_CAP_TO_SHIFT;
    } else if (ash_le32_get(prop->ofst) == NVME_PROP_VS) {
        value = NVME_VS_1_4;
    } else if (ash_le32_get(prop->ofst) == NVME_PROP_CC) {
        value = c->cc;
    } else {
        value = (c->cc & NVME_CC_EN) || f->keeps_ready ? NVME_CSTS_RDY : 0;
    }
    fake_reply(c, ash_le16_get(sqe->cid), value, 0);
}

static inline void fake_admin(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    uint32_t n = c->fake->n_queues ? c->fake->n_queues - 1 : 0xFFFE;
    switch (sqe->opcode) {
    case NVME_ADM_IDENTIFY:
        fake_identify(c, sqe);
        break;
    case NVME_ADM_AER:
        c->aer_cid = ash_le16_get(sqe->cid);
        break;
    case NVME_ADM_SET_FEATURES:
        fake_reply(c, ash_le16_get(sqe->cid), n | n << 16, 0);
        break;
    case NVME_ADM_GET_LOG_PAGE:
        if ((ash_le32_get(sqe->cdw10) & 0xFF) == NVME_LOG_ANA)
            fake_ana_log(c, sqe);
        else
            fake_reply(c, ash_le16_get(sqe->cid), 0, 0);
        break;
    case NVME_ADM_ABORT:
        if (c->fake->abort) {
            c->fake->abort(c, sqe);
            break;
        }
        /* fall through */
    default:
        fake_reply(c, ash_le16_get(sqe->cid), 0, 0);
    }
}

/* --------------------------------------------------------------- connections */

static inline bool fake_recv(struct fake_conn *c, void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        int64_t got = wire_op(c->sock, RT_OP_RECV, (char *)data + at, n - at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static inline void fake_conn_task(void *arg)
{
    struct fake_conn *c = arg;
    struct fake *f = c->fake;
    static const struct nvme_pdu_rules rules = {.max_data_bytes = FAKE_DATA_MAX};
    struct nvme_pdu_layout layout;
    struct nvme_pdu_fault fault;
    struct nvme_ic_req ic;
    union {
        struct nvme_pdu_hdr hdr;
        struct nvme_capsule_cmd cmd;
        struct nvme_data_pdu data;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u;
    struct nvme_ic_resp resp = {.maxh2cdata = ash_le32(131072)};
    c->data = malloc(FAKE_DATA_MAX);
    if (fake_recv(c, &ic, sizeof(ic)))
        fake_put(c, &resp, NVME_PDU_IC_RESP, 0, NULL, 0);
    while (fake_recv(c, &u.hdr, sizeof(u.hdr))) {
        CHECK(nvme_pdu_check(&rules, &u.hdr, &layout, &fault), "FES %u FEI %u", fault.fes,
              fault.fei);
        uint32_t n_head = layout.data_bytes ? layout.data_offset : layout.head_bytes;
        if (!fake_recv(c, u.room + sizeof(u.hdr), n_head - sizeof(u.hdr)) ||
            !fake_recv(c, c->data, layout.data_bytes))
            break;
        if (u.hdr.type == NVME_PDU_H2C_DATA) {
            if (f->h2c)
                f->h2c(c, &u.data);
        } else if (u.cmd.sqe.opcode == NVME_OP_FABRICS) {
            fake_fabrics(c, &u.cmd.sqe);
        } else if (c->qid == 0) {
            fake_admin(c, &u.cmd.sqe);
        } else {
            f->io(c, &u.cmd.sqe);
        }
    }
    rt_sock_shutdown(c->sock);
    free(c->data);
    c->data = NULL;
    f->n_tasks--;
    rt_waitq_wake_all(&f->end_q);
}

static inline void fake_accept_task(void *arg)
{
    struct fake *f = arg;
    for (;;) {
        struct rt_op op = {.kind = RT_OP_ACCEPT, .sock = f->listener};
        if (rt_op_wait(&op) < 0)
            break;
        if (f->is_over) {
            rt_sock_close(op.ret_sock);
            continue;
        }
        CHECK(f->n_conns < FAKE_CONNS_MAX);
        struct fake_conn *c = &f->conns[f->n_conns++];
        *c = (struct fake_conn){.fake = f, .sock = op.ret_sock, .aer_cid = -1};
        f->n_tasks++;
        CHECK(rt_task_spawn("fake", fake_conn_task, c) == 0);
    }
    f->n_tasks--;
    rt_waitq_wake_all(&f->end_q);
}

static inline void fake_open(struct fake *f, const char *address)
{
    struct ash_err err = {0};
    f->address = address;
    rt_waitq_init(&f->end_q);
    CHECK(rt_listen(address, 0600, &f->listener, &err) == 0, "%s", err.text);
    f->n_tasks = 1;
    CHECK(rt_task_spawn("fake accept", fake_accept_task, f) == 0);
}

static inline void fake_close(struct fake *f)
{
    f->is_over = true;
    rt_sock_shutdown(f->listener);
    for (unsigned i = 0; i < f->n_conns; i++)
        rt_sock_shutdown(f->conns[i].sock);
    while (f->n_tasks)
        rt_waitq_wait(&f->end_q);
    for (unsigned i = 0; i < f->n_conns; i++)
        rt_sock_close(f->conns[i].sock);
    rt_sock_close(f->listener);
}

/* All connections that are open end now, as when the controller dies. */
static inline void fake_hang_up(struct fake *f)
{
    for (unsigned i = 0; i < f->n_conns; i++)
        rt_sock_shutdown(f->conns[i].sock);
}

/* Path of the controller "n" to it; more: further members, with their comma. */
static inline int fake_attach(struct nvme_world *w, const char *traddr, const char *more)
{
    char params[1024];
    snprintf(params, sizeof(params),
             "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"%s\",\"trsvcid\":\"4420\","
             "\"subnqn\":\"" NQN "\"%s}",
             traddr, more);
    return rpc_fails(w, "bdev_nvme_attach_controller", params, NULL);
}

#endif
