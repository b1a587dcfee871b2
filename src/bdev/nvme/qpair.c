/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs: commands and what is sent. Everything that becomes ready to be sent in one turn of
 * the loop goes out in one send. Source: docs/spec/nvme-tcp.md 1.1, 3. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/nvme/qpair.h"

enum {
    N_SEND_IOVS = 256,
    N_TX_IOVS_MAX = 96,      /* data pieces of one PDU; H2CData are cut to it */
    IN_CAPSULE_IOVS_MAX = 64 /* with more pieces a write goes by R2T */
};

static void fail(struct nvme_qpair *qp, const char *fmt, va_list ap)
{
    if (qp->has_failed)
        return;
    vsnprintf(qp->why, sizeof(qp->why), fmt, ap);
    qp->has_failed = true;
    rt_timer_stop(&qp->timer);
    rt_sock_shutdown(qp->sock);
    if (qp->opts.failed)
        qp->opts.failed(qp);
}

void nvme_qpair_fail(struct nvme_qpair *qp, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail(qp, fmt, ap);
    va_end(ap);
}

void nvme_qpair_fail_by_peer(struct nvme_qpair *qp, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qp->is_by_peer |= !qp->has_failed;
    fail(qp, fmt, ap);
    va_end(ap);
}

/* ----------------------------------------------------------------- commands */

static void cmd_end(struct nvme_cmd *cmd)
{
    struct nvme_qpair *qp = cmd->qp;
    struct bdev_io *io = cmd->io;
    struct nvme_cmd *mate = cmd->mate;
    uint16_t status = cmd->rc ? 0 : nvme_cqe_status(&cmd->cqe);
    int rc = cmd->rc;
    if (rc == 0 && cmd->is_data_bad)
        status = NVME_SC_TRANSIENT_TRANSPORT;
    ash_list_remove(&cmd->link);
    qp->n_busy--;
    if (!io)
        cmd->done(cmd); /* may look at the command, so the slot is free only now */
    cmd->in_use = false;
    ash_list_push_head(&qp->free, &cmd->link);
    if (!io)
        return;
    uint16_t sc = status & ~NVME_STATUS_DNR;
    if (mate) { /* the other half is not over */
        mate->mate = NULL;
        if (sc && sc != NVME_SC_FUSED_FAILED)
            mate->mate_status = status;
        return;
    }
    qp->opts.io_done(qp, io, cmd->mate_status && !rc ? cmd->mate_status : status, rc);
}

/* After a failure, when the kernel has let go of all buffers: nothing more comes for any command.
 */
static void end_all(struct nvme_qpair *qp)
{
    while (!ash_list_empty(&qp->busy)) {
        struct nvme_cmd *cmd = ash_list_entry(qp->busy.next, struct nvme_cmd, link);
        ash_list_remove(&cmd->tx.link);
        cmd->tx.is_busy = false;
        if (!cmd->is_answered)
            cmd->rc = -ENOTCONN;
        cmd_end(cmd);
    }
}

void nvme_qpair_op_ended(struct nvme_qpair *qp)
{
    if (!qp->has_failed || qp->is_sending || qp->is_receiving)
        return;
    end_all(qp);
    if (qp->closing && !qp->is_send_posted) {
        struct rt_event *ev = qp->closing;
        qp->closing = NULL;
        rt_event_set(ev, 0);
    }
}

static void cmd_finish(struct nvme_cmd *cmd, int rc)
{
    cmd->rc = rc;
    cmd->is_answered = true;
    if (!cmd->tx.is_busy)
        cmd_end(cmd);
}

void nvme_cmd_answered(struct nvme_cmd *cmd, const struct nvme_cqe *cqe)
{
    cmd->cqe = *cqe;
    cmd_finish(cmd, 0);
}

static void timer_fired(struct rt_timer *timer)
{
    struct nvme_qpair *qp = ash_container_of(timer, struct nvme_qpair, timer);
    uint64_t now = rt_now_ns(), limit = qp->opts.timeout_ns, next = UINT64_MAX;
    ash_list_for_each (l, &qp->busy) {
        struct nvme_cmd *cmd = ash_list_entry(l, struct nvme_cmd, link);
        if (cmd->is_untimed)
            continue;
        uint64_t due = cmd->begin_ns + limit;
        if (due <= now && !cmd->is_answered) {
            if (cmd->is_late || !qp->opts.late || !qp->opts.late(qp, cmd)) {
                nvme_qpair_fail(qp, "a command took more than %llu ms",
                                (unsigned long long)(limit / 1000000));
                return;
            }
            cmd->is_late = true;
            cmd->begin_ns = now;
            due = now + limit;
        }
        next = ASH_MIN(next, due);
    }
    if (next != UINT64_MAX)
        rt_timer_start(&qp->timer, next > now ? next - now : 1);
}

static struct nvme_cmd *cmd_take(struct nvme_qpair *qp)
{
    if (qp->has_failed)
        return NULL;
    struct ash_list *l = ash_list_pop_head(&qp->free);
    if (!l)
        return NULL;
    struct nvme_cmd *cmd = ash_list_entry(l, struct nvme_cmd, link);
    cmd->to_device = cmd->is_answered = cmd->is_untimed = cmd->is_late = cmd->is_data_bad = false;
    cmd->in_r2t = false;
    cmd->io = NULL;
    cmd->mate = NULL;
    cmd->mate_status = 0;
    cmd->iov = NULL;
    cmd->n_iov = cmd->data_bytes = cmd->n_moved = cmd->r2t_end = 0;
    cmd->rc = 0;
    cmd->begin_ns = qp->opts.timeout_ns ? rt_now_ns() : 0;
    cmd->in_use = true;
    ash_list_push_tail(&qp->busy, &cmd->link);
    qp->n_busy++;
    return cmd;
}

uint32_t nvme_cmd_slice(const struct nvme_cmd *cmd, uint32_t at, uint32_t n_bytes,
                        struct iovec *ret, uint32_t n_max, uint32_t *ret_bytes)
{
    uint32_t n = 0, bytes = 0;
    for (uint32_t i = 0; i < cmd->n_iov && n < n_max && bytes < n_bytes; i++) {
        const struct iovec *v = &cmd->iov[i];
        if (at >= v->iov_len) {
            at -= (uint32_t)v->iov_len;
            continue;
        }
        uint32_t len = (uint32_t)ASH_MIN(v->iov_len - at, (size_t)(n_bytes - bytes));
        ret[n++] = (struct iovec){(uint8_t *)v->iov_base + at, len};
        bytes += len;
        at = 0;
    }
    *ret_bytes = bytes;
    return n;
}

/* ------------------------------------------------------------------ sending */

static void send_some(struct nvme_qpair *qp);

static void send_job(struct rt_job *job)
{
    struct nvme_qpair *qp = ash_container_of(job, struct nvme_qpair, send_job);
    qp->is_send_posted = false;
    send_some(qp);
    nvme_qpair_op_ended(qp);
}

static void tx_queue(struct nvme_cmd *cmd)
{
    struct nvme_qpair *qp = cmd->qp;
    cmd->tx.is_busy = true;
    ash_list_push_tail(&qp->tx_queue, &cmd->tx.link);
    if (!qp->is_sending && !qp->is_send_posted) {
        qp->is_send_posted = true;
        rt_post(rt_self(), &qp->send_job);
    }
}

static struct le32 digest_of(const struct nvme_cmd *cmd, uint32_t at, uint32_t n_bytes)
{
    uint32_t state = NVME_DIGEST_START;
    while (n_bytes) {
        struct iovec piece = {0};
        uint32_t n;
        nvme_cmd_slice(cmd, at, n_bytes, &piece, 1, &n);
        ASH_ASSERT(n);
        state = nvme_digest_add(state, piece.iov_base, n);
        at += n;
        n_bytes -= n;
    }
    return nvme_digest_end(state);
}

/* The head's fields are set; data_bytes of data follow from n_moved on. */
static void tx_seal(struct nvme_cmd *cmd, uint8_t type, uint8_t flags, uint32_t data_bytes)
{
    struct nvme_qpair *qp = cmd->qp;
    struct nvme_tx *tx = &cmd->tx;
    tx->head_bytes = nvme_pdu_seal(&qp->out_rules, tx->head, type, flags, data_bytes);
    tx->data_at = cmd->n_moved;
    tx->data_bytes = data_bytes;
    tx->has_digest = data_bytes && qp->out_rules.ddgst;
    if (tx->has_digest)
        tx->digest = digest_of(cmd, tx->data_at, data_bytes);
    cmd->n_moved += data_bytes;
    tx_queue(cmd);
}

/* The next part of what the R2T in force asks for. */
static void send_h2c_data(struct nvme_cmd *cmd)
{
    struct iovec pieces[N_TX_IOVS_MAX];
    uint32_t n = ASH_MIN(cmd->r2t_end - cmd->n_moved, cmd->qp->max_h2c_bytes);
    nvme_cmd_slice(cmd, cmd->n_moved, n, pieces, N_TX_IOVS_MAX, &n);
    struct nvme_data_pdu *pdu = (void *)cmd->tx.head;
    memset(pdu, 0, sizeof(*pdu));
    pdu->cccid = ash_le16(cmd->cid);
    pdu->ttag = ash_le16(cmd->ttag);
    pdu->datao = ash_le32(cmd->n_moved);
    pdu->datal = ash_le32(n);
    bool last = cmd->n_moved + n == cmd->r2t_end;
    tx_seal(cmd, NVME_PDU_H2C_DATA, last ? NVME_PDU_LAST : 0, n);
}

bool nvme_cmd_r2t(struct nvme_cmd *cmd, uint16_t ttag, uint32_t from, uint32_t n_bytes)
{
    if (!cmd->to_device || cmd->in_r2t || cmd->is_answered || n_bytes == 0 ||
        from != cmd->n_moved || n_bytes > cmd->data_bytes - from)
        return false;
    cmd->in_r2t = true;
    cmd->ttag = ttag;
    cmd->r2t_end = from + n_bytes;
    if (!cmd->tx.is_busy) /* else the capsule is still going out */
        send_h2c_data(cmd);
    return true;
}

static void tx_sent(struct nvme_cmd *cmd)
{
    cmd->tx.is_busy = false;
    if (cmd->in_r2t && cmd->n_moved == cmd->r2t_end)
        cmd->in_r2t = false;
    if (cmd->is_answered)
        cmd_end(cmd);
    else if (cmd->in_r2t && !cmd->qp->has_failed)
        send_h2c_data(cmd);
}

static void send_done(struct rt_op *op)
{
    struct nvme_qpair *qp = ash_container_of(op, struct nvme_qpair, send);
    qp->is_sending = false;
    if (op->res == -EPIPE || op->res == -ECONNRESET)
        nvme_qpair_fail_by_peer(qp, "the controller has closed the connection");
    else if (op->res < 0)
        nvme_qpair_fail(qp, "cannot send: %s", ash_strerror((int)op->res));
    struct ash_list sent;
    ash_list_init(&sent);
    ash_list_splice_tail(&sent, &qp->tx_sending);
    struct ash_list *l;
    while ((l = ash_list_pop_head(&sent)))
        tx_sent(ash_container_of(ash_list_entry(l, struct nvme_tx, link), struct nvme_cmd, tx));
    send_some(qp);
    nvme_qpair_op_ended(qp);
}

static void send_some(struct nvme_qpair *qp)
{
    uint32_t n = 0;
    if (qp->is_sending || qp->has_failed || ash_list_empty(&qp->tx_queue))
        return;
    while (!ash_list_empty(&qp->tx_queue) && n + N_TX_IOVS_MAX + 2 <= N_SEND_IOVS) {
        struct nvme_tx *tx = ash_list_entry(ash_list_pop_head(&qp->tx_queue), struct nvme_tx, link);
        struct nvme_cmd *cmd = ash_container_of(tx, struct nvme_cmd, tx);
        uint32_t n_bytes;
        qp->send_iov[n++] = (struct iovec){tx->head, tx->head_bytes};
        n += nvme_cmd_slice(cmd, tx->data_at, tx->data_bytes, qp->send_iov + n, N_TX_IOVS_MAX,
                            &n_bytes);
        ASH_ASSERT(n_bytes == tx->data_bytes);
        if (tx->has_digest)
            qp->send_iov[n++] = (struct iovec){&tx->digest, sizeof(tx->digest)};
        ash_list_push_tail(&qp->tx_sending, &tx->link);
    }
    qp->send = (struct rt_op){
        .kind = RT_OP_SEND, .sock = qp->sock, .iov = qp->send_iov, .n_iov = n, .done = send_done};
    qp->is_sending = true;
    nvme_stream_submit(qp, &qp->send);
}

/* --------------------------------------------------------------- submission */

static void cmd_start(struct nvme_cmd *cmd, const struct nvme_sqe *sqe, const struct iovec *iov,
                      uint32_t n_iov, uint32_t data_bytes, bool to_device)
{
    struct nvme_qpair *qp = cmd->qp;
    cmd->iov = iov;
    cmd->n_iov = n_iov;
    cmd->data_bytes = data_bytes;
    cmd->to_device = to_device;
    bool in_capsule =
        to_device && data_bytes <= qp->in_capsule_bytes && n_iov <= IN_CAPSULE_IOVS_MAX;
    struct nvme_capsule_cmd *capsule = (void *)cmd->tx.head;
    memset(&capsule->hdr, 0, sizeof(capsule->hdr));
    capsule->sqe = *sqe;
    capsule->sqe.flags |= NVME_PSDT_SGL;
    capsule->sqe.cid = ash_le16(cmd->cid);
    memset(&capsule->sqe.sgl, 0, sizeof(capsule->sqe.sgl));
    if (data_bytes) {
        capsule->sqe.sgl.length = ash_le32(data_bytes);
        capsule->sqe.sgl.type = in_capsule ? NVME_SGL_BLOCK_OFFSET : NVME_SGL_TRANSPORT;
    }
    if (qp->opts.timeout_ns && !cmd->is_untimed && !rt_timer_armed(&qp->timer))
        rt_timer_start(&qp->timer, qp->opts.timeout_ns);
    tx_seal(cmd, NVME_PDU_CAPSULE_CMD, 0, in_capsule ? data_bytes : 0);
}

bool nvme_qpair_submit(struct nvme_qpair *qp, struct bdev_io *io, const struct nvme_sqe *sqe,
                       const struct iovec *iov, uint32_t n_iov, uint32_t data_bytes, bool to_device)
{
    struct nvme_cmd *cmd = cmd_take(qp);
    if (!cmd)
        return false;
    cmd->io = io;
    cmd_start(cmd, sqe, iov, n_iov, data_bytes, to_device);
    return true;
}

bool nvme_qpair_submit_fused(struct nvme_qpair *qp, struct bdev_io *io, struct nvme_sqe sqe[2],
                             const struct iovec *const iov[2], const uint32_t n_iov[2],
                             uint32_t data_bytes)
{
    if (qp->has_failed || qp->n_busy + 2u > qp->opts.depth)
        return false;
    struct nvme_cmd *first = cmd_take(qp), *second = cmd_take(qp);
    ASH_ASSERT(first && second);
    first->io = second->io = io;
    first->mate = second;
    second->mate = first;
    sqe[0].flags |= NVME_FUSE_FIRST;
    sqe[1].flags |= NVME_FUSE_SECOND;
    cmd_start(first, &sqe[0], iov[0], n_iov[0], data_bytes, true);
    cmd_start(second, &sqe[1], iov[1], n_iov[1], data_bytes, true);
    return true;
}

bool nvme_qpair_submit_dsm(struct nvme_qpair *qp, struct bdev_io *io, uint32_t nsid, uint64_t slba,
                           uint32_t n_blocks)
{
    struct nvme_sqe sqe = {
        .opcode = NVME_IO_DSM, .nsid = ash_le32(nsid), .cdw11 = ash_le32(NVME_DSM_AD)};
    struct nvme_cmd *cmd = cmd_take(qp);
    if (!cmd)
        return false;
    cmd->io = io;
    cmd->range = (struct nvme_dsm_range){.n_blocks = ash_le32(n_blocks), .slba = ash_le64(slba)};
    cmd->own_iov = (struct iovec){&cmd->range, sizeof(cmd->range)};
    cmd_start(cmd, &sqe, &cmd->own_iov, 1, sizeof(cmd->range), true);
    return true;
}

struct nvme_cmd *nvme_qpair_start(struct nvme_qpair *qp, const struct nvme_sqe *sqe, void *data,
                                  uint32_t data_bytes, bool to_device, bool is_untimed,
                                  void (*done)(struct nvme_cmd *cmd), void *user)
{
    struct nvme_cmd *cmd = cmd_take(qp);
    if (!cmd)
        return NULL;
    cmd->done = done;
    cmd->user = user;
    cmd->is_untimed = is_untimed;
    cmd->own_iov = (struct iovec){data, data_bytes};
    cmd_start(cmd, sqe, &cmd->own_iov, data_bytes ? 1 : 0, data_bytes, to_device);
    return cmd;
}

struct exec {
    struct rt_event ev;
    struct nvme_cqe *cqe;
};

static void exec_done(struct nvme_cmd *cmd)
{
    struct exec *e = cmd->user;
    *e->cqe = cmd->cqe;
    if (cmd->rc == 0 && cmd->is_data_bad)
        cmd->rc = -EIO;
    rt_event_set(&e->ev, cmd->rc);
}

int nvme_exec(struct nvme_qpair *qp, const struct nvme_sqe *sqe, void *data, uint32_t data_bytes,
              bool to_device, struct nvme_cqe *ret_cqe)
{
    struct exec e = {RT_EVENT_INIT, ret_cqe};
    if (qp->has_failed)
        return -ENOTCONN;
    if (!nvme_qpair_start(qp, sqe, data, data_bytes, to_device, false, exec_done, &e))
        return -EBUSY;
    return rt_event_wait(&e.ev);
}

/* ------------------------------------------------------------ opening, closing */

/* Ends the connection when a step of the opening takes too long. */
struct guard {
    struct rt_timer timer;
    struct rt_sock *sock;
    bool has_fired;
};

static void guard_fired(struct rt_timer *timer)
{
    struct guard *g = ash_container_of(timer, struct guard, timer);
    g->has_fired = true;
    rt_sock_shutdown(g->sock);
}

static int xfer(struct nvme_qpair *qp, uint8_t kind, void *buf, size_t n_bytes) ASH_MAY_WAIT
{
    while (n_bytes) {
        struct rt_op op = {.kind = kind, .sock = qp->sock, .n_iov = 1};
        op.one_iov = (struct iovec){buf, n_bytes};
        op.iov = &op.one_iov;
        int64_t n = qp->tls ? rt_tls_wait(qp->tls, &op) : rt_op_wait(&op);
        if (n <= 0)
            return n ? (int)n : -ECONNRESET;
        buf = (char *)buf + n;
        n_bytes -= (size_t)n;
    }
    return 0;
}

static int secure(struct nvme_qpair *qp, struct ash_err *err) ASH_MAY_WAIT
{
    const struct nvme_tls_psk *psk = qp->opts.psk;
    struct rt_tls_key key = {.n_bytes = psk->n_bytes};
    _Static_assert((int)NVME_TLS_KEY_MAX == (int)RT_TLS_KEY_MAX, "");
    memcpy(key.bytes, psk->key, sizeof(key.bytes));
    int rc = rt_tls_connect(qp->sock, psk->identity, &key, &qp->tls);
    nvme_chap_wipe(&key, sizeof(key));
    if (rc == -EPROTO || rc == -ECONNRESET)
        return ash_err_set(err, ASH_E_NVME_TLS, qp->opts.subnqn,
                           "'%s' does not speak TLS, or has another key for '%s' and '%s'",
                           qp->opts.address, qp->opts.hostnqn, qp->opts.subnqn);
    return rc;
}

static int exchange_ic(struct nvme_qpair *qp) ASH_MAY_WAIT
{
    struct nvme_ic_req req = {0};
    struct nvme_ic_resp resp;
    struct nvme_pdu_rules out = {.to_host = false}, in = {.to_host = true, .before_ic = true};
    struct nvme_pdu_layout layout;
    struct nvme_pdu_fault fault;
    uint8_t dgst = (qp->opts.hdgst ? NVME_DGST_HEADER : 0) | (qp->opts.ddgst ? NVME_DGST_DATA : 0);
    req.dgst = dgst;
    nvme_pdu_seal(&out, &req, NVME_PDU_IC_REQ, 0, 0);
    int rc = xfer(qp, RT_OP_SEND, &req, sizeof(req));
    if (rc == 0)
        rc = xfer(qp, RT_OP_RECV, &resp, sizeof(resp.hdr));
    if (rc)
        return rc;
    if (!nvme_pdu_check(&in, &resp.hdr, &layout, &fault) || resp.hdr.type != NVME_PDU_IC_RESP ||
        layout.plen != sizeof(resp))
        return -EPROTO;
    rc = xfer(qp, RT_OP_RECV, (uint8_t *)&resp + sizeof(resp.hdr), sizeof(resp) - sizeof(resp.hdr));
    if (rc)
        return rc;
    uint32_t max_h2c = ash_le32_get(resp.maxh2cdata);
    if (ash_le16_get(resp.pfv) != 0 || resp.cpda > NVME_PDA_MAX || resp.dgst != dgst ||
        max_h2c < NVME_MAXH2CDATA_MIN || max_h2c % 4)
        return -EPROTO;
    qp->out_rules = (struct nvme_pdu_rules){
        .to_host = false, .hdgst = qp->opts.hdgst, .ddgst = qp->opts.ddgst, .pda = resp.cpda};
    qp->in_rules = (struct nvme_pdu_rules){.to_host = true,
                                           .hdgst = qp->opts.hdgst,
                                           .ddgst = qp->opts.ddgst,
                                           .max_data_bytes = UINT32_MAX};
    qp->max_h2c_bytes = max_h2c;
    return 0;
}

/* What Connect's reply asks for. A controller that is to prove itself must do so: one that does not
 * ask us could be anybody. */
static int prove(struct nvme_qpair *qp, uint32_t authreq, struct ash_err *err) ASH_MAY_WAIT
{
    const struct nvme_qpair_opts *o = &qp->opts;
    if (authreq & NVME_AUTHREQ_ASCR)
        return ash_err_set(err, ASH_E_NVME_AUTH, o->subnqn,
                           "'%s' wants TLS by concatenation, which is not supported", o->subnqn);
    if (authreq & NVME_AUTHREQ_ATR) {
        if (o->chap_key)
            return nvme_qpair_authenticate(qp, err);
        return ash_err_set(err, ASH_E_NVME_AUTH, o->subnqn,
                           "'%s' wants authentication, and there is no dhchap_key", o->subnqn);
    }
    if (o->chap_ctrlr_key)
        return ash_err_set(err, ASH_E_NVME_AUTH, o->subnqn,
                           "'%s' wants no authentication, but is to prove itself", o->subnqn);
    return 0;
}

static int say_connect(struct nvme_qpair *qp, struct ash_err *err) ASH_MAY_WAIT
{
    const struct nvme_qpair_opts *o = &qp->opts;
    struct nvme_connect_data *data = rt_alloc(sizeof(*data));
    if (!data)
        return -ENOMEM;
    memcpy(data->hostid, o->hostid, sizeof(data->hostid));
    data->cntlid = ash_le16(o->cntlid);
    snprintf(data->subnqn, sizeof(data->subnqn), "%s", o->subnqn);
    snprintf(data->hostnqn, sizeof(data->hostnqn), "%s", o->hostnqn);
    union {
        struct nvme_connect_sqe connect;
        struct nvme_sqe sqe;
    } u = {.connect = {.opcode = NVME_OP_FABRICS,
                       .fctype = NVME_FC_CONNECT,
                       .qid = ash_le16(o->qid),
                       .sqsize = ash_le16(o->depth),
                       .cattr = NVME_CATTR_NO_SQ_FLOW,
                       .kato_ms = ash_le32(o->kato_ms)}};
    struct nvme_cqe cqe;
    int rc = nvme_exec(qp, &u.sqe, data, sizeof(*data), true, &cqe);
    rt_free(data);
    if (rc)
        return rc;
    uint16_t sc = nvme_cqe_status(&cqe) & ~NVME_STATUS_DNR;
    if (sc == NVME_SC_CONNECT_HOST)
        return ash_err_set(err, ASH_E_NVME_HOST_REFUSED, o->subnqn,
                           "'%s' does not let host '%s' in", o->subnqn, o->hostnqn);
    if (sc == NVME_SC_CONNECT_PARAM)
        return ash_err_set(err, ASH_E_NVME_NO_SUBSYSTEM, o->subnqn,
                           "'%s' refuses the connection to '%s' (offset %u of the %s)", o->address,
                           o->subnqn, ash_le32_get(cqe.dw0) & 0xFFFF,
                           ash_le32_get(cqe.dw0) & NVME_CONNECT_IATTR_DATA ? "data" : "command");
    if (sc)
        return ash_err_set(err, ASH_E_NVME_CONNECT, o->subnqn,
                           "'%s' answers the connection to '%s' with status %x", o->address,
                           o->subnqn, sc);
    qp->cntlid = (uint16_t)(ash_le32_get(cqe.dw0) & 0xFFFF);
    return prove(qp, ash_le32_get(cqe.dw0) >> 16, err);
}

static void qpair_free(struct nvme_qpair *qp)
{
    rt_free(qp->cmds);
    rt_free(qp->send_iov);
    rt_buf_put(qp->rx.buf, NVME_RX_BYTES);
    rt_free(qp);
}

static struct nvme_qpair *qpair_new(const struct nvme_qpair_opts *opts)
{
    struct nvme_qpair *qp = rt_alloc(sizeof(*qp));
    if (!qp)
        return NULL;
    qp->opts = *opts;
    ash_list_init(&qp->link);
    ash_list_init(&qp->free);
    ash_list_init(&qp->busy);
    ash_list_init(&qp->tx_queue);
    ash_list_init(&qp->tx_sending);
    qp->in_capsule_bytes = NVME_FABRICS_DATA_MAX; /* until the controller has told */
    qp->timer.fire = timer_fired;
    qp->send_job.run = send_job;
    qp->cmds = rt_alloc(opts->depth * sizeof(*qp->cmds));
    qp->send_iov = rt_alloc(N_SEND_IOVS * sizeof(*qp->send_iov));
    qp->rx.buf = rt_buf_get(NVME_RX_BYTES);
    if (!qp->cmds || !qp->send_iov || !qp->rx.buf) {
        qpair_free(qp);
        return NULL;
    }
    for (uint16_t i = 0; i < opts->depth; i++) {
        struct nvme_cmd *cmd = &qp->cmds[i];
        cmd->qp = qp;
        cmd->cid = i;
        ash_list_init(&cmd->tx.link);
        ash_list_push_tail(&qp->free, &cmd->link);
    }
    return qp;
}

int nvme_qpair_open(const struct nvme_qpair_opts *opts, struct nvme_qpair **ret_qp,
                    struct ash_err *err)
{
    ASH_ASSERT(opts->depth >= 2);
    struct guard guard = {.timer = {.fire = guard_fired}};
    struct nvme_qpair *qp = qpair_new(opts);
    if (!qp)
        return ash_err_set(err, ASH_E_NO_MEMORY, opts->address, "no memory for a queue to '%s'",
                           opts->address);
    void (*failed)(struct nvme_qpair *) = qp->opts.failed;
    qp->opts.failed = NULL; /* whoever opens sees it by the result */
    int rc = rt_connect(opts->address, &qp->sock, err);
    if (rc) {
        qpair_free(qp);
        return rc;
    }
    guard.sock = qp->sock;
    rt_timer_start(&guard.timer, opts->connect_timeout_ns);
    rc = opts->psk ? secure(qp, err) : 0;
    if (rc == 0)
        rc = exchange_ic(qp);
    if (rc == 0) {
        nvme_rx_start(qp);
        rc = say_connect(qp, err);
    }
    rt_timer_stop(&guard.timer);
    if (rc == 0 && qp->has_failed)
        rc = -ENOTCONN;
    if (rc) {
        rc = guard.has_fired ? -ETIMEDOUT : rc;
        ash_err_set_rc(err, rc, ASH_E_NVME_CONNECT, opts->address,
                       "no NVMe connection to '%s': %s%s%s", opts->address, ash_strerror(rc),
                       qp->why[0] ? ": " : "", qp->why);
        nvme_qpair_close(qp);
        return rc;
    }
    qp->opts.failed = failed;
    *ret_qp = qp;
    return 0;
}

void nvme_qpair_close(struct nvme_qpair *qp)
{
    if (!qp)
        return;
    struct rt_event ended = RT_EVENT_INIT;
    qp->opts.failed = NULL;
    nvme_qpair_fail(qp, "closed");
    rt_timer_stop(&qp->timer);
    rt_sock_shutdown(qp->sock);
    if (qp->is_sending || qp->is_receiving || qp->is_send_posted) {
        qp->closing = &ended; /* cppcheck-suppress autoVariables; it is waited for here */
        rt_event_wait(&ended);
    }
    end_all(qp); /* of a connection that never came to receive */
    rt_tls_free(qp->tls);
    rt_sock_close(qp->sock);
    qpair_free(qp);
}
