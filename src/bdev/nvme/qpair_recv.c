/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs: what the controller sends. One receive takes what has arrived; large data go
 * straight into the command's buffers. A PDU passes through the phases
 *
 *   COMMON   8 bytes, checked                 HEAD   the rest, checked and understood
 *   PAD      up to where data start           DATA   into the command's buffers
 *   DIGEST   of the data; then the PDU has its effect, and the next begins
 *
 * Nothing of a PDU is believed: command id, direction, order and length are checked against what
 * was asked, and what does not fit ends the connection.
 * Source: docs/spec/nvme-tcp.md 1, 1.1, 10. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/nvme/qpair.h"

enum { PH_COMMON, PH_HEAD, PH_PAD, PH_DATA, PH_DIGEST };
enum { DIRECT_BYTES_MIN = 16 << 10 };

static void receive(struct nvme_qpair *qp);

static struct nvme_cmd *find_cmd(struct nvme_qpair *qp, uint16_t cid)
{
    struct nvme_cmd *cmd = cid < qp->opts.depth ? &qp->cmds[cid] : NULL;
    return cmd && cmd->in_use && !cmd->is_answered ? cmd : NULL;
}

static bool broken(struct nvme_qpair *qp, const char *what)
{
    nvme_qpair_fail(qp, "protocol: %s", what);
    return false;
}

static bool head_data(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    const struct nvme_data_pdu *pdu = (const void *)rx->head;
    struct nvme_cmd *cmd = find_cmd(qp, ash_le16_get(pdu->cccid));
    uint32_t at = ash_le32_get(pdu->datao), n = ash_le32_get(pdu->datal);
    if (!cmd || cmd->to_device)
        return broken(qp, "data for a command that reads nothing");
    if (n != rx->layout.data_bytes || at != cmd->n_moved || n > cmd->data_bytes - at)
        return broken(qp, "data that were not asked for");
    bool whole = at + n == cmd->data_bytes;
    if ((pdu->hdr.flags & NVME_PDU_SUCCESS) && (!(pdu->hdr.flags & NVME_PDU_LAST) || !whole))
        return broken(qp, "success before all data");
    rx->cmd = cmd;
    return true;
}

static bool head_response(struct nvme_qpair *qp)
{
    const struct nvme_capsule_resp *pdu = (const void *)qp->rx.head;
    struct nvme_cmd *cmd = find_cmd(qp, ash_le16_get(pdu->cqe.cid));
    if (!cmd)
        return broken(qp, "a reply to no command");
    if (nvme_cqe_status(&pdu->cqe) == NVME_SC_SUCCESS && cmd->n_moved != cmd->data_bytes)
        return broken(qp, "a reply before all data");
    nvme_cmd_answered(cmd, &pdu->cqe);
    return true;
}

static bool head_r2t(struct nvme_qpair *qp)
{
    const struct nvme_r2t *pdu = (const void *)qp->rx.head;
    struct nvme_cmd *cmd = find_cmd(qp, ash_le16_get(pdu->cccid));
    if (!cmd || !nvme_cmd_r2t(cmd, ash_le16_get(pdu->ttag), ash_le32_get(pdu->r2to),
                              ash_le32_get(pdu->r2tl)))
        return broken(qp, "a request for data that does not fit its command");
    return true;
}

/* The head is whole. False: the connection has failed. */
static bool understand(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    const struct nvme_pdu_hdr *hdr = (const void *)rx->head;
    rx->cmd = NULL;
    switch (hdr->type) {
    case NVME_PDU_C2H_DATA:
        return head_data(qp);
    case NVME_PDU_CAPSULE_RESP:
        return head_response(qp);
    case NVME_PDU_R2T:
        return head_r2t(qp);
    case NVME_PDU_C2H_TERM_REQ:
        nvme_qpair_fail_by_peer(
            qp, "the controller ends it: error %u at %u",
            ash_le16_get(((const struct nvme_term_req *)(const void *)rx->head)->fes),
            ash_le32_get(((const struct nvme_term_req *)(const void *)rx->head)->fei));
        return false;
    default:
        return broken(qp, "a PDU that a host cannot get");
    }
}

static void enter(struct nvme_rx *rx, int phase, uint32_t n_bytes)
{
    rx->phase = phase;
    rx->left_bytes = n_bytes;
    if (phase == PH_COMMON)
        rx->n_head = 0;
}

/* After the data, their digest too: the last data of a read may stand for its reply. */
static void data_are_here(struct nvme_qpair *qp)
{
    static const struct nvme_cqe success;
    const struct nvme_pdu_hdr *hdr = (const void *)qp->rx.head;
    struct nvme_cmd *cmd = qp->rx.cmd;
    enter(&qp->rx, PH_COMMON, sizeof(struct nvme_pdu_hdr));
    if (cmd && (hdr->flags & NVME_PDU_SUCCESS))
        nvme_cmd_answered(cmd, &success);
}

static void data_moved(struct nvme_qpair *qp, uint32_t n_bytes)
{
    struct nvme_rx *rx = &qp->rx;
    if (rx->cmd) {
        uint32_t at = rx->cmd->n_moved, n = n_bytes;
        while (rx->layout.ddgst_bytes && n) {
            struct iovec piece = {0};
            uint32_t n_piece;
            nvme_cmd_slice(rx->cmd, at, n, &piece, 1, &n_piece);
            ASH_ASSERT(n_piece);
            rx->digest = nvme_digest_add(rx->digest, piece.iov_base, n_piece);
            at += n_piece;
            n -= n_piece;
        }
        rx->cmd->n_moved += n_bytes;
    }
    rx->left_bytes -= n_bytes;
    if (rx->left_bytes > 0)
        return;
    if (rx->layout.ddgst_bytes)
        enter(rx, PH_DIGEST, rx->layout.ddgst_bytes);
    else
        data_are_here(qp);
}

/* What is in the buffer of the current data. */
static void take_data(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    uint32_t n = (uint32_t)ASH_MIN((size_t)rx->left_bytes, rx->n - rx->at);
    uint32_t done = 0;
    while (rx->cmd && done < n) {
        struct iovec piece = {0};
        uint32_t n_piece;
        nvme_cmd_slice(rx->cmd, rx->cmd->n_moved + done, n - done, &piece, 1, &n_piece);
        ASH_ASSERT(n_piece);
        memcpy(piece.iov_base, rx->buf + rx->at + done, n_piece);
        done += n_piece;
    }
    rx->at += n;
    data_moved(qp, n);
}

static void take_digest(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    struct le32 want = nvme_digest_end(rx->digest);
    if (rx->cmd && memcmp(&want, rx->head + sizeof(rx->head) - NVME_DIGEST_BYTES, sizeof(want)))
        rx->cmd->is_data_bad = true;
    data_are_here(qp);
}

static bool common_is_whole(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    struct nvme_pdu_fault fault;
    if (!nvme_pdu_check(&qp->in_rules, (const void *)rx->head, &rx->layout, &fault)) {
        nvme_qpair_fail(qp, "protocol: a bad PDU header (error %u at %u)", fault.fes, fault.fei);
        return false;
    }
    enter(rx, PH_HEAD, rx->layout.head_bytes - rx->n_head);
    return true;
}

static bool head_is_whole(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    struct nvme_pdu_fault fault;
    if (!nvme_pdu_head_ok(rx->head, &rx->layout, &fault)) {
        nvme_qpair_fail(qp, "a header digest is wrong");
        return false;
    }
    if (!understand(qp))
        return false;
    rx->digest = NVME_DIGEST_START;
    if (rx->layout.data_bytes == 0)
        enter(rx, PH_COMMON, sizeof(struct nvme_pdu_hdr));
    else
        enter(rx, PH_PAD, rx->layout.data_offset - rx->layout.head_bytes);
    return true;
}

/* Bytes of a phase that end in rx->head; the digest goes to its end. */
static void collect(struct nvme_rx *rx)
{
    uint32_t n = (uint32_t)ASH_MIN((size_t)rx->left_bytes, rx->n - rx->at);
    if (rx->phase == PH_DIGEST)
        memcpy(rx->head + sizeof(rx->head) - rx->left_bytes, rx->buf + rx->at, n);
    else if (rx->phase != PH_PAD)
        memcpy(rx->head + rx->n_head, rx->buf + rx->at, n);
    if (rx->phase == PH_COMMON || rx->phase == PH_HEAD)
        rx->n_head += n;
    rx->at += n;
    rx->left_bytes -= n;
}

static void parse(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    while (!qp->has_failed) {
        if (rx->phase == PH_DATA) {
            if (rx->at == rx->n)
                return;
            take_data(qp);
            continue;
        }
        if (rx->left_bytes > 0) {
            if (rx->at == rx->n)
                return;
            collect(rx);
            if (rx->left_bytes > 0)
                return;
        }
        if (rx->phase == PH_COMMON && !common_is_whole(qp))
            return;
        else if (rx->phase == PH_HEAD && rx->left_bytes == 0 && !head_is_whole(qp))
            return;
        else if (rx->phase == PH_PAD && rx->left_bytes == 0)
            enter(rx, PH_DATA, rx->layout.data_bytes);
        else if (rx->phase == PH_DIGEST && rx->left_bytes == 0)
            take_digest(qp);
    }
}

static void recv_done(struct rt_op *op)
{
    struct nvme_qpair *qp = ash_container_of(op, struct nvme_qpair, recv);
    struct nvme_rx *rx = &qp->rx;
    uint32_t n_direct = 0;
    qp->is_receiving = false;
    if (op->res == 0 || op->res == -ECONNRESET) {
        nvme_qpair_fail_by_peer(qp, "the controller has closed the connection");
    } else if (op->res < 0) {
        nvme_qpair_fail(qp, "%s", ash_strerror((int)op->res));
    } else {
        n_direct = (uint32_t)ASH_MIN(op->res, (int64_t)rx->direct_bytes);
        rx->at = 0;
        rx->n = (size_t)op->res - n_direct;
        if (n_direct)
            data_moved(qp, n_direct);
        parse(qp);
        receive(qp);
    }
    nvme_qpair_op_ended(qp);
}

static void receive(struct nvme_qpair *qp)
{
    struct nvme_rx *rx = &qp->rx;
    uint32_t n = 0;
    if (qp->has_failed)
        return;
    rx->direct_bytes = 0;
    if (rx->phase == PH_DATA && rx->cmd && rx->left_bytes >= DIRECT_BYTES_MIN)
        n = nvme_cmd_slice(rx->cmd, rx->cmd->n_moved, rx->left_bytes, rx->iov,
                           ASH_N_ELEMS(rx->iov) - 1, &rx->direct_bytes);
    /* What follows comes along when the data end with these pieces. */
    if (rx->direct_bytes == 0 || rx->direct_bytes == rx->left_bytes)
        rx->iov[n++] = (struct iovec){rx->buf, NVME_RX_BYTES};
    qp->recv = (struct rt_op){
        .kind = RT_OP_RECV, .sock = qp->sock, .iov = rx->iov, .n_iov = n, .done = recv_done};
    qp->is_receiving = true;
    nvme_stream_submit(qp, &qp->recv);
}

void nvme_rx_start(struct nvme_qpair *qp)
{
    enter(&qp->rx, PH_COMMON, sizeof(struct nvme_pdu_hdr));
    receive(qp);
}
