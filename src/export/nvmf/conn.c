/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: receiving PDUs, and its end.
 *
 * Invariants
 *  - at most one receive and one send are in flight;
 *  - a command holds a slot and its command id from its capsule until its reply is handed to the
 *    socket: then the host may use the id again. n_reqs also counts those whose send has not ended;
 *  - a write starts only when all of its data is here: half of one is never applied;
 *  - after a fatal error nothing is executed any more and nothing but the TermReq is sent;
 *  - the connection ends when nothing more is received and no command is left; nothing else frees
 *    it. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <stdio.h>

static void rx_done(struct rt_op *op);
static void begin(struct nvmf_req *req);

/* --------------------------------------------------------------- memory */

static void set_status(struct nvmf_req *req, uint32_t status)
{
    req->status = status & 0x7FF;
    req->dnr = status & NVME_STATUS_DNR;
}

static bool take_buf(struct nvmf_req *req, uint32_t n_bytes)
{
    struct nvmf_conn *conn = req->conn;
    if (conn->inflight_bytes > 0 &&
        conn->inflight_bytes + n_bytes > conn->limits.max_inflight_bytes)
        return false;
    req->buf = rt_buf_get(n_bytes);
    if (!req->buf)
        return false;
    req->buf_bytes = n_bytes;
    req->charged_bytes = n_bytes;
    conn->inflight_bytes += n_bytes;
    return true;
}

/* How much memory a command wants that waits for it. */
static uint32_t wanted(const struct nvmf_req *req)
{
    return req->send_r2t ? req->sgl_bytes : req->data_bytes;
}

static void got_buf(struct nvmf_req *req)
{
    if (req->send_r2t)
        nvmf_send_r2t(req);
    else
        nvmf_io_start(req);
}

bool nvmf_want_buf(struct nvmf_req *req, uint32_t n_bytes)
{
    struct nvmf_conn *conn = req->conn;
    if (ash_list_empty(&conn->buf_waiters) && take_buf(req, n_bytes))
        return true;
    req->state = NVMF_REQ_WAIT_BUF;
    ash_list_push_tail(&conn->buf_waiters, &req->link);
    return false;
}

/* Something has completed: memory is free, or a pause is over. */
void nvmf_rx_resume(struct nvmf_conn *conn)
{
    while (!ash_list_empty(&conn->buf_waiters)) {
        struct nvmf_req *req = ash_list_entry(conn->buf_waiters.next, struct nvmf_req, link);
        if (!take_buf(req, wanted(req))) {
            if (conn->inflight_bytes > 0)
                return; /* tried again when something has completed */
            ash_list_remove(&req->link);
            req->send_r2t = false;
            set_status(req, NVME_SC_INTERNAL); /* nothing to wait for */
            begin(req);
            continue;
        }
        ash_list_remove(&req->link);
        got_buf(req);
    }
}

/* ---------------------------------------------------------- fatal errors */

static void linger_fire(struct rt_timer *timer)
{
    struct nvmf_conn *conn = ash_container_of(timer, struct nvmf_conn, linger_timer);
    nvmf_conn_cut(conn);
    nvmf_conn_check_end(conn);
}

void nvmf_fatal(struct nvmf_conn *conn, const struct nvme_pdu_fault *fault, const void *head,
                size_t n_head)
{
    if (conn->fatal)
        return;
    conn->fatal = true;
    conn->term.fes = ash_le16(fault->fes);
    conn->term.fei = ash_le32(fault->fei);
    conn->n_term_data = (uint32_t)ASH_MIN(n_head, (size_t)NVME_TERM_DATA_MAX);
    memcpy(conn->term_data, head, conn->n_term_data);
    conn->term_pending = true;
    rt_timer_start(&conn->linger_timer, conn->limits.linger_ns);
    nvmf_tx_kick(conn);
}

/* The PDU that stands at the head of the buffer. */
static void fatal_head(struct nvmf_conn *conn, const struct nvme_pdu_fault *fault)
{
    const uint8_t *head = conn->rx_buf + conn->rx_head;
    size_t n = conn->rx_tail - conn->rx_head;
    size_t hlen = ASH_MAX((size_t)nvme_pdu_hlen(head[0]), sizeof(struct nvme_pdu_hdr));
    nvmf_fatal(conn, fault, head, ASH_MIN(n, hlen));
}

static bool fatal_at(struct nvmf_conn *conn, uint16_t fes, uint32_t fei)
{
    struct nvme_pdu_fault fault = {fes, fei};
    fatal_head(conn, &fault);
    return false;
}

/* ------------------------------------------------------------ PDUs taken */

static bool take_ic_req(struct nvmf_conn *conn, const struct nvme_ic_req *ic)
{
    if (ash_le16_get(ic->pfv) != 0)
        return fatal_at(conn, NVME_FES_HEADER_FIELD, offsetof(struct nvme_ic_req, pfv));
    if (ic->hpda > NVME_PDA_MAX)
        return fatal_at(conn, NVME_FES_HEADER_FIELD, offsetof(struct nvme_ic_req, hpda));
    if (ic->dgst & ~(NVME_DGST_HEADER | NVME_DGST_DATA))
        return fatal_at(conn, NVME_FES_HEADER_FIELD, offsetof(struct nvme_ic_req, dgst));
    conn->ic = *ic;
    conn->rx_rules.before_ic = false;
    conn->rx_rules.hdgst = conn->tx_rules.hdgst = ic->dgst & NVME_DGST_HEADER;
    conn->rx_rules.ddgst = conn->tx_rules.ddgst = ic->dgst & NVME_DGST_DATA;
    conn->tx_rules.pda = ic->hpda; /* ours is 0: Linux wants that */
    conn->ic_resp_pending = true;
    nvmf_tx_kick(conn);
    return true;
}

enum { DIR_NONE = 0, DIR_TO_CTRLR = 1, DIR_TO_HOST = 2 };

/* Opcodes carry the direction of their data in two bits, fabrics commands in their type. */
static unsigned direction(const struct nvme_sqe *sqe)
{
    const struct nvme_connect_sqe *fabrics = (const void *)sqe;
    return (sqe->opcode == NVME_OP_FABRICS ? fabrics->fctype : sqe->opcode) & 3;
}

#define SGL_AT (offsetof(struct nvme_capsule_cmd, sqe) + offsetof(struct nvme_sqe, sgl))

/* The SGL agrees with the capsule. False: fatal. */
static bool check_sgl(struct nvmf_conn *conn, const struct nvme_sqe *sqe, uint32_t in_capsule)
{
    uint32_t length = ash_le32_get(sqe->sgl.length);
    bool any_admin = !conn->connected || conn->is_admin || sqe->opcode == NVME_OP_FABRICS;
    switch (sqe->sgl.type) {
    case NVME_SGL_BLOCK_OFFSET:
        if (length > (any_admin ? NVME_ADMIN_DATA_MAX : conn->opts.in_capsule_data_size))
            return fatal_at(conn, NVME_FES_LIMIT, SGL_AT);
        if (ash_le64_get(sqe->sgl.address) != 0)
            return fatal_at(conn, NVME_FES_UNSUPPORTED, SGL_AT);
        if (length != in_capsule)
            return fatal_at(conn, NVME_FES_HEADER_FIELD, offsetof(struct nvme_pdu_hdr, plen));
        return true;
    case NVME_SGL_TRANSPORT:
        if (length > conn->opts.max_io_size)
            return fatal_at(conn, NVME_FES_LIMIT, SGL_AT);
        break;
    case NVME_SGL_BLOCK_ADDRESS:
        if (length != 0)
            return fatal_at(conn, NVME_FES_UNSUPPORTED, SGL_AT);
        break;
    default:
        return fatal_at(conn, NVME_FES_UNSUPPORTED, SGL_AT);
    }
    if (in_capsule)
        return fatal_at(conn, NVME_FES_HEADER_FIELD, offsetof(struct nvme_pdu_hdr, plen));
    return true;
}

/* What can be told without the data. */
static uint32_t first_check(struct nvmf_req *req, unsigned dir, bool duplicate)
{
    const struct nvmf_conn *conn = req->conn;
    if (duplicate)
        return NVME_SC_CID_CONFLICT | NVME_STATUS_DNR;
    if (conn->connected && conn->auth && !nvmf_is_auth(&req->sqe))
        return NVME_SC_AUTH_REQUIRED | NVME_STATUS_DNR;
    if (dir != DIR_NONE && (req->sqe.flags & NVME_PSDT_MASK) != NVME_PSDT_SGL)
        return NVME_SC_INVALID_FIELD | NVME_STATUS_DNR;
    if (dir == (DIR_NONE | 3))
        return NVME_SC_INVALID_OPCODE | NVME_STATUS_DNR;
    if (dir == DIR_TO_HOST && req->sqe.sgl.type == NVME_SGL_BLOCK_OFFSET && req->sgl_bytes)
        return NVME_SC_SGL_TYPE | NVME_STATUS_DNR;
    if (!conn->connected || conn->is_admin || req->sqe.opcode == NVME_OP_FABRICS)
        return 0;
    uint32_t status = nvmf_fuse(req);
    return status ? status : nvmf_io_check(req);
}

/* The data of the PDU goes to `to` (NULL: nowhere), then to req. */
static void expect_data(struct nvmf_conn *conn, struct nvmf_req *req, void *to)
{
    conn->in.stage = NVMF_RX_DATA;
    conn->in.req = req;
    conn->in.to = to;
    conn->in.got = 0;
    conn->last_data_bytes = conn->in.layout.data_bytes;
}

static bool take_capsule(struct nvmf_conn *conn, const struct nvme_capsule_cmd *pdu)
{
    uint32_t in_capsule = conn->in.layout.data_bytes;
    if (!check_sgl(conn, &pdu->sqe, in_capsule))
        return false;
    if (conn->n_active >= conn->depth) { /* more than the queue holds */
        nvmf_conn_cut(conn);
        return false;
    }
    struct nvmf_req *req = nvmf_req_get(conn);
    if (!req) { /* no memory for a few hundred bytes: nothing can be said either */
        nvmf_conn_cut(conn);
        return false;
    }
    req->sqe = pdu->sqe;
    req->cid = ash_le16_get(pdu->sqe.cid);
    req->sgl_bytes = ash_le32_get(pdu->sqe.sgl.length);
    bool duplicate = nvmf_find_cid(conn, req->cid) != NULL;
    if (!duplicate)
        nvmf_cid_insert(req);
    if (conn->sq_flow)
        conn->sqhd = (uint16_t)((conn->sqhd + 1u) % (conn->sqsize + 1u));
    unsigned dir = direction(&req->sqe);
    set_status(req, first_check(req, dir, duplicate));
    if (in_capsule) {
        req->state = NVMF_REQ_DATA_IN;
        if (!req->status && dir == DIR_TO_CTRLR) {
            req->buf = rt_buf_get(in_capsule); /* bounded by the depth of the queue */
            req->buf_bytes = req->buf ? in_capsule : 0;
            if (!req->buf)
                set_status(req, NVME_SC_INTERNAL);
        }
        expect_data(conn, req, req->buf);
    } else if (!req->status && dir == DIR_TO_CTRLR && req->sgl_bytes) {
        req->send_r2t = true;
        if (nvmf_want_buf(req, req->sgl_bytes))
            nvmf_send_r2t(req);
    } else {
        begin(req);
    }
    return true;
}

static bool take_h2c_data(struct nvmf_conn *conn, const struct nvme_data_pdu *pdu)
{
    uint32_t slot = ash_le16_get(pdu->ttag) - 1u; /* tag 0 is none */
    struct nvmf_req *req = slot < conn->n_slots ? conn->slots[slot] : NULL;
    uint64_t datao = ash_le32_get(pdu->datao), datal = ash_le32_get(pdu->datal);
    if (!req || req->state != NVMF_REQ_WAIT_DATA || req->send_r2t ||
        ash_le16_get(pdu->cccid) != req->cid)
        return fatal_at(conn, NVME_FES_SEQUENCE, 0);
    if (datal != conn->in.layout.data_bytes)
        return fatal_at(conn, NVME_FES_HEADER_FIELD, offsetof(struct nvme_data_pdu, datal));
    if (datao != req->got_bytes || datao + datal > req->sgl_bytes)
        return fatal_at(conn, NVME_FES_DATA_RANGE, offsetof(struct nvme_data_pdu, datao));
    if (datal > conn->opts.max_io_size)
        return fatal_at(conn, NVME_FES_LIMIT, 0);
    bool last = pdu->hdr.flags & NVME_PDU_LAST;
    if (last != (datao + datal == req->sgl_bytes))
        return fatal_at(conn, NVME_FES_HEADER_FIELD, offsetof(struct nvme_pdu_hdr, flags));
    expect_data(conn, req, (uint8_t *)req->buf + datao);
    return true;
}

/* ------------------------------------------------------------- commands */

static void begin(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    req->state = NVMF_REQ_BUSY;
    const struct nvme_connect_sqe *fabrics = (const void *)&req->sqe;
    if (req->is_fused || req->is_second)
        nvmf_fused_ready(req);
    else if (req->status)
        nvmf_reply(req);
    else if (!conn->connected && req->sqe.opcode == NVME_OP_FABRICS &&
             fabrics->fctype == NVME_FC_CONNECT)
        nvmf_connect(req);
    else if (!conn->connected)
        nvmf_fail(req, NVME_SC_SEQUENCE | NVME_STATUS_DNR);
    else if (req->sqe.opcode == NVME_OP_FABRICS)
        nvmf_fabrics(req);
    else if (conn->is_admin)
        nvmf_admin(req);
    else
        nvmf_io_start(req);
}

static void data_done(struct nvmf_conn *conn, bool digest_ok)
{
    struct nvmf_req *req = conn->in.req;
    conn->in.stage = NVMF_RX_HEAD;
    conn->in.checked = false;
    conn->in.req = NULL;
    if (conn->in.type == NVME_PDU_H2C_TERM_REQ) {
        nvmf_conn_cut(conn);
        return;
    }
    if (!digest_ok)
        req->bad_digest = true;
    req->got_bytes += conn->in.layout.data_bytes;
    if (req->got_bytes < req->sgl_bytes)
        return;
    if (req->bad_digest && !req->status)
        set_status(req, NVME_SC_TRANSIENT_TRANSPORT);
    begin(req);
}

/* ------------------------------------------------------------ receiving */

static void give_back_big(struct nvmf_conn *conn)
{
    if (conn->rx_buf == conn->small)
        return;
    ASH_ASSERT(conn->rx_head == conn->rx_tail);
    rt_buf_put(conn->rx_buf, NVMF_BIG_BYTES);
    conn->rx_buf = conn->small;
    conn->rx_room = sizeof(conn->small);
    conn->rx_head = conn->rx_tail = 0;
}

/* Make room at the end of the buffer, in a bigger one when the last receive filled the small one.
 */
static void make_room(struct nvmf_conn *conn)
{
    size_t n = conn->rx_tail - conn->rx_head;
    uint8_t *to = conn->rx_buf;
    if (conn->rx_want_big && conn->connected && to == conn->small) {
        uint8_t *big = rt_buf_get(NVMF_BIG_BYTES);
        if (big) {
            to = big;
            conn->rx_room = NVMF_BIG_BYTES;
        }
    }
    conn->rx_want_big = false;
    memmove(to, conn->rx_buf + conn->rx_head, n);
    conn->rx_buf = to;
    conn->rx_head = 0;
    conn->rx_tail = n;
}

static void rx_submit(struct nvmf_conn *conn)
{
    if (conn->rx_busy || conn->rx_ended || conn->rx_paused)
        return;
    make_room(conn);
    unsigned n = 0;
    conn->rx_direct = 0;
    size_t room = conn->rx_room - conn->rx_tail;
    if (conn->in.stage == NVMF_RX_DATA && conn->in.to && !conn->fatal) {
        conn->rx_direct = conn->in.layout.data_bytes - conn->in.got;
        conn->rx_iov[n++] = (struct iovec){conn->in.to + conn->in.got, conn->rx_direct};
    }
    /* Big payloads shall land in their own buffers, so take little more than the next header. */
    if (conn->last_data_bytes >= 16384)
        room = ASH_MIN(room, (size_t)1024);
    conn->rx_iov[n++] = (struct iovec){conn->rx_buf + conn->rx_tail, room};
    ASH_ASSERT(room > 0);
    conn->rx_op.kind = RT_OP_RECV;
    conn->rx_op.flags = 0;
    conn->rx_op.sock = conn->sock;
    conn->rx_op.iov = conn->rx_iov;
    conn->rx_op.n_iov = n;
    conn->rx_op.done = rx_done;
    conn->rx_busy = true;
    nvmf_stream_submit(conn, &conn->rx_op);
}

/* Commands that wait for the host end with the connection. */
static void drop_waiting(struct nvmf_conn *conn)
{
    for (unsigned i = 0; i < conn->n_slots; i++) {
        struct nvmf_req *req = conn->slots[i];
        if (!req || req->state == NVMF_REQ_BUSY || req->state == NVMF_REQ_REPLY)
            continue;
        if (req->state == NVMF_REQ_HELD && conn->ctrlr)
            conn->ctrlr->n_aers--;
        ash_list_remove(&req->link);
        nvmf_req_put(req);
    }
    conn->fused = NULL;
}

static void rx_end(struct nvmf_conn *conn)
{
    if (conn->rx_ended)
        return;
    conn->rx_ended = true;
    conn->rx_paused = false;
    conn->rx_head = conn->rx_tail = 0;
    conn->in = (struct nvmf_pdu_in){0};
    drop_waiting(conn);
}

static void digest_run(struct nvmf_conn *conn, const uint8_t *wire)
{
    bool ok = true;
    if (conn->in.to) {
        uint32_t state =
            nvme_digest_add(NVME_DIGEST_START, conn->in.to, conn->in.layout.data_bytes);
        struct le32 want = nvme_digest_end(state);
        ok = memcmp(&want, wire, sizeof(want)) == 0;
    }
    data_done(conn, ok);
}

/* Each takes one step. False: more bytes are needed, or the connection takes no more. */
static bool step_head(struct nvmf_conn *conn)
{
    const uint8_t *head = conn->rx_buf + conn->rx_head;
    size_t have = conn->rx_tail - conn->rx_head;
    struct nvmf_pdu_in *in = &conn->in;
    struct nvme_pdu_fault fault;
    if (have < sizeof(struct nvme_pdu_hdr))
        return false;
    if (!in->checked && !nvme_pdu_check(&conn->rx_rules, (const void *)head, &in->layout, &fault)) {
        fatal_head(conn, &fault);
        return false;
    }
    in->checked = true;
    in->type = head[0];
    size_t need = in->layout.data_bytes ? in->layout.data_offset : in->layout.head_bytes;
    if (have < need)
        return false;
    if (!nvme_pdu_head_ok(head, &in->layout, &fault)) {
        fatal_head(conn, &fault);
        return false;
    }
    bool ok = true;
    if (in->type == NVME_PDU_IC_REQ)
        ok = take_ic_req(conn, (const void *)head);
    else if (in->type == NVME_PDU_CAPSULE_CMD)
        ok = take_capsule(conn, (const void *)head);
    else if (in->type == NVME_PDU_H2C_DATA)
        ok = take_h2c_data(conn, (const void *)head);
    else
        expect_data(conn, NULL, NULL); /* H2CTermReq: the host closes, so do we */
    if (!ok || conn->rx_ended)
        return false;
    conn->rx_head += need;
    if (in->stage == NVMF_RX_HEAD)
        in->checked = false;
    return true;
}

static bool step_data(struct nvmf_conn *conn)
{
    struct nvmf_pdu_in *in = &conn->in;
    size_t n = ASH_MIN(conn->rx_tail - conn->rx_head, (size_t)in->layout.data_bytes - in->got);
    if (in->to && n > 0)
        memcpy(in->to + in->got, conn->rx_buf + conn->rx_head, n);
    conn->rx_head += n;
    in->got += (uint32_t)n;
    if (in->got < in->layout.data_bytes)
        return false;
    if (in->layout.ddgst_bytes)
        in->stage = NVMF_RX_DDGST;
    else
        data_done(conn, true);
    return !conn->rx_ended;
}

static bool step_digest(struct nvmf_conn *conn)
{
    if (conn->rx_tail - conn->rx_head < NVME_DIGEST_BYTES)
        return false;
    const uint8_t *wire = conn->rx_buf + conn->rx_head;
    conn->rx_head += NVME_DIGEST_BYTES;
    digest_run(conn, wire);
    return !conn->rx_ended;
}

static void parse(struct nvmf_conn *conn)
{
    bool more = true;
    while (more && !conn->rx_ended && !conn->rx_paused && !conn->fatal) {
        if (conn->in.stage == NVMF_RX_HEAD)
            more = step_head(conn);
        else if (conn->in.stage == NVMF_RX_DATA)
            more = step_data(conn);
        else
            more = step_digest(conn);
    }
    if (conn->fatal)
        conn->rx_head = conn->rx_tail = 0; /* read on only to see the host close */
}

static void rx_done(struct rt_op *op)
{
    struct nvmf_conn *conn = ash_container_of(op, struct nvmf_conn, rx_op);
    conn->rx_busy = false;
    if (conn->rx_give_back) {
        conn->rx_give_back = false;
        if (op->res == -ECANCELED && !conn->tx_dead) {
            if (conn->in.stage == NVMF_RX_HEAD && conn->rx_head == conn->rx_tail)
                give_back_big(conn);
            rx_submit(conn);
            return;
        }
    }
    if (op->res <= 0 || conn->tx_dead) {
        rx_end(conn);
        nvmf_conn_check_end(conn);
        return;
    }
    size_t n = (size_t)op->res;
    size_t direct = ASH_MIN(n, conn->rx_direct);
    conn->in.got += (uint32_t)direct;
    conn->rx_direct = 0;
    conn->rx_tail += n - direct;
    ASH_ASSERT(conn->rx_tail <= conn->rx_room);
    conn->rx_want_big = conn->rx_tail == conn->rx_room;
    parse(conn);
    rx_submit(conn);
    nvmf_conn_check_end(conn);
}

void nvmf_rx_unpause(struct nvmf_conn *conn)
{
    ASH_ASSERT(conn->rx_paused || conn->rx_ended);
    conn->rx_paused = false;
    parse(conn);
    rx_submit(conn);
}

/* --------------------------------------------------------- idle and the end */

/* Fires at most once a second while commands come, and not at all afterwards. */
static void idle_fire(struct rt_timer *timer)
{
    struct nvmf_conn *conn = ash_container_of(timer, struct nvmf_conn, idle_timer);
    if (conn->n_seen != conn->n_seen_at_timer) {
        conn->n_seen_at_timer = conn->n_seen;
        rt_timer_start(timer, NVMF_IDLE_NS);
        return;
    }
    nvmf_free_spare_reqs(conn);
    if (conn->rx_buf != conn->small && conn->rx_busy && !conn->rx_give_back) {
        conn->rx_give_back = true;
        nvmf_stream_cancel(conn, &conn->rx_op);
    }
}

static void watch_idle(struct nvmf_conn *conn)
{
    bool holds = conn->n_free > 0 || conn->rx_buf != conn->small;
    if (holds && conn->connected && !conn->rx_ended && !rt_timer_armed(&conn->idle_timer)) {
        conn->n_seen_at_timer = conn->n_seen;
        rt_timer_start(&conn->idle_timer, NVMF_IDLE_NS);
    }
}

/* The peer gets no more answers. A receive in flight ends soon; it may still own a buffer. */
void nvmf_conn_cut(struct nvmf_conn *conn)
{
    conn->tx_dead = true;
    rt_sock_shutdown(conn->sock);
    if (!conn->rx_busy)
        rx_end(conn);
    nvmf_tx_kick(conn);
}

/* We end it, and hang up when its commands have left the devices: a host takes the end for a sign
 * that what it gets no answer to may go out again elsewhere. */
void nvmf_conn_shut(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, shut_job);
    if (!conn->sock)
        return; /* it has ended already */
    conn->shutting = conn->tx_dead = true;
    if (conn->rx_busy)
        nvmf_stream_cancel(conn, &conn->rx_op);
    else
        rx_end(conn);
    nvmf_tx_kick(conn);
    nvmf_conn_check_end(conn);
}

static void conn_end(struct nvmf_conn *conn)
{
    ASH_ASSERT(!conn->rx_busy && !conn->tx_busy && !conn->tx_posted && conn->n_reqs == 0);
    ASH_ASSERT(conn->n_active == 0 && conn->inflight_bytes == 0);
    rt_timer_stop(&conn->idle_timer);
    rt_timer_stop(&conn->linger_timer);
    if (conn->local)
        nvmf_local_put(conn->local);
    conn->local = NULL;
    if (conn->counted) {
        uint32_t *now = conn->is_admin ? &conn->stats->n_admin_now : &conn->stats->n_io_now;
        NVMF_COUNT(*now, -1);
    }
    if (conn->rx_buf != conn->small)
        rt_buf_put(conn->rx_buf, NVMF_BIG_BYTES);
    conn->rx_buf = conn->small;
    nvmf_free_spare_reqs(conn);
    rt_tls_free(conn->tls);
    conn->tls = NULL;
    rt_sock_close(conn->sock);
    conn->sock = NULL;
    conn->gone_job.run = nvmf_conn_gone;
    rt_post(nvmf_control(), &conn->gone_job);
}

void nvmf_conn_check_end(struct nvmf_conn *conn)
{
    if (!conn->sock)
        return;
    if (conn->shutting && conn->n_active == 0) {
        conn->shutting = false;
        rt_sock_shutdown(conn->sock);
    }
    if (conn->rx_ended && !conn->rx_busy && conn->n_reqs == 0 && !conn->tx_busy &&
        !conn->tx_posted && !conn->error_busy && !conn->move_pending)
        conn_end(conn);
    else
        watch_idle(conn);
}

/* ------------------------------------------------------------- its begin */

static void connect_late(struct rt_timer *timer)
{
    struct nvmf_conn *conn = ash_container_of(timer, struct nvmf_conn, connect_timer);
    nvmf_shut(conn);
}

int nvmf_conn_start(struct nvmf_server *srv, struct rt_sock *sock, struct nvmf_listener *l,
                    const struct nvmf_address *address, struct ash_err *err)
{
    struct nvmf_conn *conn = rt_alloc(sizeof(*conn));
    if (!conn || nvmf_tls_accept(conn, l, sock) || nvmf_conn_make_slots(conn, 4)) {
        if (conn)
            rt_tls_free(conn->tls);
        rt_free(conn);
        rt_sock_close(sock);
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for an NVMe connection");
    }
    conn->srv = srv;
    conn->sock = sock;
    conn->reactor = nvmf_control();
    conn->stats = &srv->groups[0];
    conn->limits = srv->limits;
    conn->opts = srv->transport;
    conn->listener_id = l ? l->id : 0;
    conn->ipv6 = address->ipv6;
    snprintf(conn->traddr, sizeof(conn->traddr), "%s", address->traddr);
    snprintf(conn->trsvcid, sizeof(conn->trsvcid), "%s", address->trsvcid);
    conn->rx_buf = conn->small;
    conn->rx_room = sizeof(conn->small);
    conn->rx_rules = (struct nvme_pdu_rules){.before_ic = true};
    conn->rx_rules.max_data_bytes = ASH_MAX(srv->transport.max_io_size, NVME_ADMIN_DATA_MAX);
    conn->tx_rules = (struct nvme_pdu_rules){.to_host = true};
    memset(conn->cid_heads, 0xFF, sizeof(conn->cid_heads));
    ash_list_init(&conn->free_reqs);
    ash_list_init(&conn->buf_waiters);
    ash_list_init(&conn->tx_queue);
    ash_list_init(&conn->tx_batch);
    conn->idle_timer.fire = idle_fire;
    conn->linger_timer.fire = linger_fire;
    conn->connect_timer.fire = connect_late;
    conn->tx_job.run = nvmf_tx_run;
    conn->unassociated = true;
    ash_list_push_tail(&srv->conns, &conn->link);
    srv->n_conns++;
    srv->n_unassociated++;
    rt_timer_start(&conn->connect_timer, srv->limits.handshake_ns);
    rx_submit(conn);
    return 0;
}
