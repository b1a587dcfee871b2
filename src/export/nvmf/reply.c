/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: what became ready in one turn of the loop leaves in one send.
 *
 * Headers are laid side by side in tx_hdr; neighbours share an iovec, data goes out of the buffer
 * it was read into. A read is answered by one C2HData with everything, then by a CapsuleResp, or,
 * when the transport allows the success optimisation, without one (docs/spec/nvme-tcp.md 1.1). */
#include "export/nvmf/nvmf_int.h"

/* ------------------------------------------------------------- encoding */

/* Longest that one command puts into tx_hdr: C2HData head, data digest, CapsuleResp. */
#define REPLY_HDR_MAX (NVME_PDU_HEAD_MAX + 2 * NVME_DIGEST_BYTES + sizeof(struct nvme_capsule_resp))
#define REPLY_IOVS    3u

static void tx_add(struct nvmf_conn *conn, const void *bytes, size_t n)
{
    ASH_ASSERT(conn->tx_n_hdr + n <= sizeof(conn->tx_hdr));
    uint8_t *at = conn->tx_hdr + conn->tx_n_hdr;
    memcpy(at, bytes, n);
    conn->tx_n_hdr += n;
    struct iovec *last = conn->tx_n_iov ? &conn->tx_iov[conn->tx_n_iov - 1] : NULL;
    if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
        last->iov_len += n;
    } else {
        ASH_ASSERT(conn->tx_n_iov < NVMF_TX_IOVS);
        conn->tx_iov[conn->tx_n_iov++] = (struct iovec){at, n};
    }
}

static void put_ic_resp(struct nvmf_conn *conn)
{
    struct nvme_ic_resp resp = {.dgst = conn->ic.dgst,
                                .maxh2cdata = ash_le32(conn->opts.max_io_size)};
    nvme_pdu_seal(&conn->tx_rules, &resp, NVME_PDU_IC_RESP, 0, 0);
    tx_add(conn, &resp, sizeof(resp));
}

static void put_term(struct nvmf_conn *conn)
{
    nvme_pdu_seal(&conn->tx_rules, &conn->term, NVME_PDU_C2H_TERM_REQ, 0, conn->n_term_data);
    tx_add(conn, &conn->term, sizeof(conn->term));
    tx_add(conn, conn->term_data, conn->n_term_data);
}

static void put_resp(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    union {
        struct nvme_capsule_resp pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    uint16_t status =
        (uint16_t)((req->status & 0x7FF) << 1 | (req->crd & 3u) << 12 |
                   (req->dnr ? NVME_STATUS_DNR : 0) | (req->more ? NVME_STATUS_MORE : 0));
    u.pdu.cqe = (struct nvme_cqe){.dw0 = ash_le32(req->dw0),
                                  .dw1 = ash_le32(req->dw1),
                                  .sqhd = ash_le16(conn->sq_flow ? conn->sqhd : NVME_SQHD_DISABLED),
                                  .cid = ash_le16(req->cid),
                                  .status = ash_le16(status)};
    tx_add(conn, &u, nvme_pdu_seal(&conn->tx_rules, &u, NVME_PDU_CAPSULE_RESP, 0, 0));
}

/* Returns true when no CapsuleResp need follow. */
static bool put_data(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    union {
        struct nvme_data_pdu pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    bool success = conn->opts.c2h_success && req->dw0 == 0 && req->dw1 == 0;
    u.pdu.cccid = ash_le16(req->cid);
    u.pdu.datal = ash_le32(req->data_bytes);
    uint8_t flags = NVME_PDU_LAST | (success ? NVME_PDU_SUCCESS : 0);
    tx_add(conn, &u, nvme_pdu_seal(&conn->tx_rules, &u, NVME_PDU_C2H_DATA, flags, req->data_bytes));
    ASH_ASSERT(conn->tx_n_iov < NVMF_TX_IOVS);
    conn->tx_iov[conn->tx_n_iov++] = (struct iovec){req->buf, req->data_bytes};
    if (conn->tx_rules.ddgst) {
        struct le32 digest =
            nvme_digest_end(nvme_digest_add(NVME_DIGEST_START, req->buf, req->data_bytes));
        tx_add(conn, &digest, sizeof(digest));
    }
    return success;
}

static void put_r2t(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    union {
        struct nvme_r2t pdu;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    u.pdu.cccid = ash_le16(req->cid);
    u.pdu.ttag = ash_le16((uint16_t)(req->slot + 1));
    u.pdu.r2tl = ash_le32(req->sgl_bytes);
    tx_add(conn, &u, nvme_pdu_seal(&conn->tx_rules, &u, NVME_PDU_R2T, 0, 0));
}

/* -------------------------------------------------------------- sending */

static void put_all(struct ash_list *reqs)
{
    struct ash_list *item;
    while ((item = ash_list_pop_head(reqs)) != NULL)
        nvmf_req_put(ash_list_entry(item, struct nvmf_req, link));
}

static void tx_done(struct rt_op *op)
{
    struct nvmf_conn *conn = ash_container_of(op, struct nvmf_conn, tx_op);
    conn->tx_busy = false;
    put_all(&conn->tx_batch);
    if (op->res < 0 && !conn->tx_dead)
        nvmf_conn_cut(conn);
    nvmf_tx_kick(conn);
    nvmf_rx_resume(conn);
    if (conn->move_pending && !conn->tx_busy && !conn->tx_posted) {
        nvmf_conn_move(conn);
        return;
    }
    if (conn->hang_up && ash_list_empty(&conn->tx_queue) && !conn->tx_dead)
        nvmf_conn_cut(conn);
    nvmf_conn_check_end(conn);
}

/* Send what is ready, at the end of this turn; while a send is in flight its end does it. */
void nvmf_tx_kick(struct nvmf_conn *conn)
{
    bool any = !ash_list_empty(&conn->tx_queue) || conn->ic_resp_pending || conn->term_pending;
    if (conn->tx_busy || conn->tx_posted || !any)
        return;
    conn->tx_posted = true;
    rt_post(conn->reactor, &conn->tx_job);
}

/* Nobody listens any more: forget what was to be sent. */
static void drop_queue(struct nvmf_conn *conn)
{
    struct ash_list *item;
    conn->ic_resp_pending = conn->term_pending = false;
    while ((item = ash_list_pop_head(&conn->tx_queue)) != NULL) {
        struct nvmf_req *req = ash_list_entry(item, struct nvmf_req, link);
        if (req->state == NVMF_REQ_REPLY)
            nvmf_req_put(req);
        /* else it waits for data that never comes: the end of receiving puts it */
    }
}

static void encode(struct nvmf_req *req)
{
    if (req->state == NVMF_REQ_WAIT_DATA) { /* lives on; the host may answer before the send ends */
        put_r2t(req);
        req->send_r2t = false;
        return;
    }
    ASH_ASSERT(req->state == NVMF_REQ_REPLY);
    bool done = req->status == NVME_SC_SUCCESS && req->data_bytes > 0 && put_data(req);
    if (!done)
        put_resp(req);
    nvmf_req_release(req);
    NVMF_COUNT(req->conn->stats->n_completed, 1);
    ash_list_push_tail(&req->conn->tx_batch, &req->link);
}

static void fill_batch(struct nvmf_conn *conn)
{
    conn->tx_n_iov = 0;
    conn->tx_n_hdr = 0;
    if (conn->ic_resp_pending) {
        conn->ic_resp_pending = false;
        put_ic_resp(conn);
    }
    while (!conn->fatal && !ash_list_empty(&conn->tx_queue)) {
        if (conn->tx_n_iov + REPLY_IOVS > NVMF_TX_IOVS ||
            conn->tx_n_hdr + REPLY_HDR_MAX > NVMF_TX_HDR_BYTES)
            break;
        struct ash_list *item = ash_list_pop_head(&conn->tx_queue);
        encode(ash_list_entry(item, struct nvmf_req, link));
    }
    if (conn->term_pending) {
        conn->term_pending = false;
        put_term(conn);
    }
}

void nvmf_tx_run(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, tx_job);
    conn->tx_posted = false;
    ASH_ASSERT(!conn->tx_busy);
    if (!conn->tx_dead)
        fill_batch(conn);
    if (conn->tx_dead || conn->fatal)
        drop_queue(conn);
    if (conn->tx_dead || conn->tx_n_iov == 0) {
        nvmf_rx_resume(conn);
        if (conn->move_pending && !conn->tx_posted)
            nvmf_conn_move(conn);
        else
            nvmf_conn_check_end(conn);
        return;
    }
    conn->tx_op.kind = RT_OP_SEND;
    conn->tx_op.flags = 0;
    conn->tx_op.sock = conn->sock;
    conn->tx_op.iov = conn->tx_iov;
    conn->tx_op.n_iov = conn->tx_n_iov;
    conn->tx_op.done = tx_done;
    conn->tx_busy = true;
    nvmf_stream_submit(conn, &conn->tx_op);
}

void nvmf_send_r2t(struct nvmf_req *req)
{
    ASH_ASSERT(req->buf && req->buf_bytes >= req->sgl_bytes);
    req->state = NVMF_REQ_WAIT_DATA;
    req->send_r2t = true;
    ash_list_push_tail(&req->conn->tx_queue, &req->link);
    nvmf_tx_kick(req->conn);
}

void nvmf_reply(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    ASH_ASSERT(req->n_ios == 0 && !req->lns);
    if (req->status != NVME_SC_SUCCESS)
        nvmf_log_error(req);
    req->state = NVMF_REQ_REPLY;
    ash_list_push_tail(&conn->tx_queue, &req->link);
    nvmf_tx_kick(conn);
}

void nvmf_fail(struct nvmf_req *req, uint32_t status)
{
    req->status = status & 0x7FF;
    req->dnr = status & NVME_STATUS_DNR;
    nvmf_reply(req);
}
