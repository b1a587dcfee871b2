/* SPDX-License-Identifier: Apache-2.0 */
/* Controllers: Connect, properties, keep alive, the end. Control reactor, but for what says
 * otherwise.
 *
 *   Connect (admin) --> made; CC.EN = 1 --> ready: I/O queues may connect
 *        admin connection gone, keep alive over, removed --> dying: all connections are cut
 *        last connection gone --> freed
 *
 * A host that comes back is let in when nothing of its earlier association that is known to have
 * ended is in a device any more: it sends again what it does not know the end of, and a write that
 * ran twice must not come after a newer one.
 *
 * Source: docs/spec/nvme-tcp.md 2, 3. */
#include "export/nvmf/nvmf_int.h"

#include <stdio.h>

#define SECOND_NS         1000000000ull
#define ASSOCIATION_NS    (120 * SECOND_NS) /* disabled for so long: given up */
#define DISCOVERY_IDLE_NS (120 * SECOND_NS) /* without keep alive */
#define OLD_QUEUE_NS      (SECOND_NS / 20)  /* wait for the old connection of a queue ... */
#define OLD_QUEUE_TRIES   20u               /* ... so often */
#define LEAVING_TRIES     200u              /* and for the host's old association: 10 s */

/* ------------------------------------------------------------------ life */

static void ctrlr_free_if_gone(struct nvmf_ctrlr *ctrlr)
{
    if (ctrlr->admin || ctrlr->n_io)
        return;
    rt_timer_stop(&ctrlr->keep_alive);
    rt_timer_stop(&ctrlr->shutdown);
    ash_list_remove(&ctrlr->link);
    rt_waitq_wake_all(&ctrlr->sub->srv->changed);
    rt_free(ctrlr->io);
    rt_free(ctrlr);
}

static void cut_io_queues(struct nvmf_ctrlr *ctrlr)
{
    for (unsigned i = 0; i < ctrlr->sub->srv->transport.max_io_qpairs_per_ctrlr; i++) {
        if (ctrlr->io[i])
            nvmf_shut(ctrlr->io[i]);
    }
}

void nvmf_ctrlr_kill(struct nvmf_ctrlr *ctrlr)
{
    ctrlr->dying = true;
    cut_io_queues(ctrlr);
    if (ctrlr->admin)
        nvmf_shut(ctrlr->admin);
}

/* What waited for the I/O queues to go is done. */
static void io_queues_gone(struct nvmf_ctrlr *ctrlr)
{
    if (!(ctrlr->cc & NVME_CC_EN))
        ctrlr->csts &= ~NVME_CSTS_RDY;
    if (NVME_CC_SHN(ctrlr->cc))
        ctrlr->csts = (ctrlr->csts & ~(3u << 2)) | NVME_CSTS_SHST_DONE;
}

void nvmf_ctrlr_conn_gone(struct nvmf_conn *conn)
{
    struct nvmf_ctrlr *ctrlr = conn->ctrlr;
    if (!ctrlr)
        return;
    conn->ctrlr = NULL;
    if (ctrlr->admin == conn) {
        ctrlr->admin = NULL;
        nvmf_ctrlr_kill(ctrlr);
    } else {
        ASH_ASSERT(ctrlr->io[conn->qid - 1] == conn && ctrlr->n_io > 0);
        ctrlr->io[conn->qid - 1] = NULL;
        ctrlr->sub->srv->n_io_queues[rt_reactor_idx(conn->target)]--;
        if (--ctrlr->n_io == 0)
            io_queues_gone(ctrlr);
    }
    ctrlr_free_if_gone(ctrlr);
}

static void keep_alive_over(struct rt_timer *timer)
{
    struct nvmf_ctrlr *ctrlr = ash_container_of(timer, struct nvmf_ctrlr, keep_alive);
    rt_log(RT_LOG_WARN, "nvmf", "no keep alive from host %s in time: its controller %u is ended",
           ctrlr->hostnqn, ctrlr->cntlid);
    ctrlr->csts |= NVME_CSTS_CFS;
    nvmf_ctrlr_kill(ctrlr);
}

static void disabled_too_long(struct rt_timer *timer)
{
    nvmf_ctrlr_kill(ash_container_of(timer, struct nvmf_ctrlr, shutdown));
}

void nvmf_ctrlr_alive(struct nvmf_ctrlr *ctrlr)
{
    if (ctrlr->kato_ns && !ctrlr->dying)
        rt_timer_start(&ctrlr->keep_alive, ctrlr->kato_ns);
}

/* Milliseconds as a host gives them, rounded up to our granularity. */
void nvmf_ctrlr_set_kato(struct nvmf_ctrlr *ctrlr, uint32_t kato_ms)
{
    const struct nvmf_transport_opts *o = &ctrlr->sub->srv->transport;
    uint64_t unit_ms = o->kas * 100u;
    uint64_t ms = ash_div_up(ASH_MAX(kato_ms, o->min_kato_ms), unit_ms) * unit_ms;
    ctrlr->kato_ms = kato_ms;
    ctrlr->kato_ns = kato_ms ? ms * 1000000 : 0;
    if (!kato_ms && ctrlr->sub->discovery)
        ctrlr->kato_ns = DISCOVERY_IDLE_NS;
    rt_timer_stop(&ctrlr->keep_alive);
    nvmf_ctrlr_alive(ctrlr);
}

/* ------------------------------------------------------------ its making */

/* NULL: no memory, or no id is free. */
static struct nvmf_ctrlr *ctrlr_new(struct nvmf_conn *conn, struct nvmf_subsystem *sub,
                                    const struct nvme_connect_data *data)
{
    struct nvmf_ctrlr *ctrlr = rt_alloc(sizeof(*ctrlr));
    if (!ctrlr)
        return NULL;
    ctrlr->sub = sub;
    memcpy(ctrlr->hostid, data->hostid, sizeof(ctrlr->hostid));
    memcpy(ctrlr->hostnqn, data->hostnqn, sizeof(ctrlr->hostnqn));
    ctrlr->io = rt_alloc(sub->srv->transport.max_io_qpairs_per_ctrlr * sizeof(*ctrlr->io));
    if (!ctrlr->io || !nvmf_take_cntlid(ctrlr, ash_le16_get(data->cntlid))) {
        rt_free(ctrlr->io);
        rt_free(ctrlr);
        return NULL;
    }
    ctrlr->listener_id = conn->listener_id;
    ctrlr->path = nvmf_find_path(sub, conn->listener_id);
    ctrlr->n_granted = sub->srv->transport.max_io_qpairs_per_ctrlr;
    ctrlr->since_ns = rt_now_ns();
    ctrlr->keep_alive.fire = keep_alive_over;
    ctrlr->shutdown.fire = disabled_too_long;
    ash_list_init(&ctrlr->aers);
    ctrlr->admin = conn;
    ash_list_push_tail(&sub->ctrlrs, &ctrlr->link);
    rt_timer_start(&ctrlr->shutdown, ASSOCIATION_NS);
    return ctrlr;
}

/* --------------------------------------------------------------- Connect */

enum { IN_SQE = 0, IN_DATA = 1 };

static void bad_param(struct nvmf_req *req, unsigned where, size_t at)
{
    req->dw0 = (uint32_t)at | (where == IN_DATA ? NVME_CONNECT_IATTR_DATA : 0);
    nvmf_fail(req, NVME_SC_CONNECT_PARAM | NVME_STATUS_DNR);
}

#define BAD_DATA(req, member) bad_param(req, IN_DATA, offsetof(struct nvme_connect_data, member))
#define BAD_SQE(req, member)  bad_param(req, IN_SQE, offsetof(struct nvme_connect_sqe, member))

static const struct nvme_connect_sqe *connect_sqe(const struct nvmf_req *req)
{
    return (const void *)&req->sqe;
}

static void not_proven(struct rt_timer *timer)
{
    struct nvmf_conn *conn = ash_container_of(timer, struct nvmf_conn, connect_timer);
    if (!__atomic_load_n(&conn->proven, __ATOMIC_RELAXED))
        nvmf_shut(conn);
}

/* The connection belongs to the controller now. */
static void associate(struct nvmf_conn *conn, struct nvmf_ctrlr *ctrlr, struct nvmf_req *req)
{
    const struct nvme_connect_sqe *sqe = connect_sqe(req);
    conn->ctrlr = ctrlr;
    conn->qid = ash_le16_get(sqe->qid);
    conn->sqsize = ash_le16_get(sqe->sqsize);
    conn->is_admin = conn->qid == 0;
    conn->discovery = ctrlr->sub->discovery;
    conn->openebs = ctrlr->sub->openebs;
    conn->subnqn = ctrlr->sub->nqn; /* which outlives its connections */
    conn->sq_flow = !(sqe->cattr & NVME_CATTR_NO_SQ_FLOW);
    conn->sqhd = 1;
    memcpy(conn->hostid, ctrlr->hostid, sizeof(conn->hostid));
    memcpy(conn->hostnqn, ctrlr->hostnqn, sizeof(conn->hostnqn));
    conn->path = ctrlr->path;
    if (conn->path)
        conn->path->n_conns++;
    conn->unassociated = false;
    conn->srv->n_unassociated--;
    rt_timer_stop(&conn->connect_timer);
    req->dw0 = ctrlr->cntlid;
    if (conn->auth) {
        req->dw0 |= (uint32_t)NVME_AUTHREQ_ATR << 16;
        conn->connect_timer.fire = not_proven;
        rt_timer_start(&conn->connect_timer, conn->limits.handshake_ns);
    }
}

/* A host that has to prove itself has as long for it as for Connect. False: no memory. */
static bool ask_for_proof(struct nvmf_conn *conn, const struct nvmf_host *host)
{
    nvmf_auth_free(conn->auth); /* of a Connect before that was refused, by another name perhaps */
    conn->auth = host && host->key ? nvmf_auth_new(host) : NULL;
    return !host || !host->key || conn->auth;
}

static void connect_again(struct rt_timer *timer);

/* Connect waits for something that ends soon; false: it has waited long enough. */
static bool connect_later(struct nvmf_req *req, unsigned n_tries_max)
{
    struct nvmf_conn *conn = req->conn;
    if (++conn->n_connect_tries > n_tries_max)
        return false;
    conn->connect_req = req;
    conn->rx_paused = true;
    conn->connect_timer.fire = connect_again;
    rt_timer_start(&conn->connect_timer, OLD_QUEUE_NS);
    return true;
}

static bool is_leaving(const struct nvmf_subsystem *sub, const struct nvme_connect_data *data)
{
    ash_list_for_each (item, &sub->ctrlrs) {
        const struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (ctrlr->dying && memcmp(ctrlr->hostid, data->hostid, 16) == 0 &&
            strcmp(ctrlr->hostnqn, data->hostnqn) == 0)
            return true;
    }
    return false;
}

static void connect_admin(struct nvmf_req *req, struct nvmf_subsystem *sub)
{
    struct nvmf_conn *conn = req->conn;
    const struct nvme_connect_sqe *sqe = connect_sqe(req);
    const struct nvme_connect_data *data = req->buf;
    uint32_t sqsize = ash_le16_get(sqe->sqsize);
    if (sqsize == 0 || sqsize >= conn->opts.max_aq_depth) {
        BAD_SQE(req, sqsize);
        return;
    }
    if (!nvmf_cntlid_ok(sub, ash_le16_get(data->cntlid))) {
        BAD_DATA(req, cntlid);
        return;
    }
    if (is_leaving(sub, data)) {
        if (!connect_later(req, LEAVING_TRIES))
            nvmf_fail(req, NVME_SC_CONNECT_BUSY);
        return;
    }
    if (nvmf_conn_make_slots(conn, (uint16_t)(sqsize + 1 + NVMF_AERL + 1))) {
        nvmf_fail(req, NVME_SC_CONNECT_BUSY);
        return;
    }
    struct nvmf_ctrlr *ctrlr = ctrlr_new(conn, sub, data);
    if (!ctrlr) {
        nvmf_fail(req, NVME_SC_CONNECT_BUSY);
        return;
    }
    associate(conn, ctrlr, req);
    conn->connected = true;
    conn->counted = true;
    NVMF_COUNT(conn->stats->n_admin_qpairs, 1);
    NVMF_COUNT(conn->stats->n_admin_now, 1);
    nvmf_ctrlr_set_kato(ctrlr, ash_le32_get(sqe->kato_ms));
    nvmf_reply(req);
}

/* On the connection's own reactor from here on. */
static void arrive(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, move_job);
    struct nvmf_req *req = conn->connect_req;
    conn->connect_req = NULL;
    conn->move_pending = false;
    conn->stats = &conn->srv->groups[rt_reactor_idx(conn->reactor)];
    conn->local->n_conns++;
    conn->connected = true;
    conn->counted = true;
    NVMF_COUNT(conn->stats->n_pending, 1);
    NVMF_COUNT(conn->stats->n_io_qpairs, 1);
    NVMF_COUNT(conn->stats->n_io_now, 1);
    nvmf_reply(req);
    nvmf_rx_unpause(conn);
    nvmf_conn_check_end(conn);
}

void nvmf_conn_move(struct nvmf_conn *conn)
{
    ASH_ASSERT(!conn->tx_busy && !conn->tx_posted && !conn->rx_busy);
    rt_timer_stop(&conn->linger_timer);
    NVMF_COUNT(conn->stats->n_pending, -1);
    conn->moving = false;
    conn->reactor = conn->target;
    conn->move_job.run = arrive;
    rt_post(conn->reactor, &conn->move_job);
    if (conn->shut_wanted)
        rt_post(conn->reactor, &conn->shut_job);
}

static void move_when_quiet(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, move_job);
    if (!conn->tx_busy && !conn->tx_posted)
        nvmf_conn_move(conn); /* else the end of the send does it */
}

static void connect_again(struct rt_timer *timer)
{
    struct nvmf_conn *conn = ash_container_of(timer, struct nvmf_conn, connect_timer);
    struct nvmf_req *req = conn->connect_req;
    conn->connect_req = NULL;
    nvmf_connect(req);
    if (!conn->connect_req && !conn->move_pending)
        nvmf_rx_unpause(conn);
    nvmf_conn_check_end(conn);
}

static bool io_queues_allowed(const struct nvmf_ctrlr *ctrlr)
{
    return (ctrlr->cc & NVME_CC_EN) && !NVME_CC_SHN(ctrlr->cc) && !ctrlr->dying &&
           NVME_CC_IOSQES(ctrlr->cc) == NVME_SQES_LOG2 &&
           NVME_CC_IOCQES(ctrlr->cc) == NVME_CQES_LOG2;
}

/* The reactor with the fewest I/O queues, in turn when there are several. */
static unsigned choose_reactor(struct nvmf_server *srv)
{
    unsigned n = rt_n_reactors(rt_world()), best = srv->next_reactor % n;
    for (unsigned i = 1; i < n; i++) {
        unsigned idx = (srv->next_reactor + i) % n;
        if (srv->n_io_queues[idx] < srv->n_io_queues[best])
            best = idx;
    }
    srv->next_reactor = best + 1;
    srv->n_io_queues[best]++;
    return best;
}

static void connect_io(struct nvmf_req *req, struct nvmf_subsystem *sub)
{
    struct nvmf_conn *conn = req->conn;
    const struct nvme_connect_sqe *sqe = connect_sqe(req);
    const struct nvme_connect_data *data = req->buf;
    uint32_t sqsize = ash_le16_get(sqe->sqsize), qid = ash_le16_get(sqe->qid);
    struct nvmf_ctrlr *ctrlr = nvmf_find_ctrlr(sub, ash_le16_get(data->cntlid));
    if (sub->discovery) {
        BAD_SQE(req, qid);
    } else if (!ctrlr || memcmp(ctrlr->hostid, data->hostid, 16) != 0 ||
               strcmp(ctrlr->hostnqn, data->hostnqn) != 0) {
        BAD_DATA(req, cntlid);
    } else if (!io_queues_allowed(ctrlr) ||
               (sub->ana_reporting && ctrlr->listener_id != conn->listener_id)) {
        BAD_SQE(req, qid);
    } else if (sqsize == 0 || sqsize >= conn->opts.max_queue_depth) {
        BAD_SQE(req, sqsize);
    } else if (qid > ctrlr->n_granted) {
        nvmf_fail(req, NVME_SC_QUEUE_ID | NVME_STATUS_DNR);
    } else if (ctrlr->io[qid - 1]) {
        /* The old connection may be on its way out. */
        if (!connect_later(req, OLD_QUEUE_TRIES))
            nvmf_fail(req, NVME_SC_QUEUE_ID | NVME_STATUS_DNR);
    } else if (nvmf_conn_make_slots(conn, (uint16_t)(sqsize + 1))) {
        nvmf_fail(req, NVME_SC_CONNECT_BUSY);
    } else {
        struct nvmf_server *srv = conn->srv;
        unsigned idx = choose_reactor(srv);
        associate(conn, ctrlr, req);
        ctrlr->io[qid - 1] = conn;
        ctrlr->n_io++;
        conn->ana = sub->ana_reporting && conn->path ? conn->path->ana : NULL;
        conn->local = &sub->locals[idx];
        conn->target = rt_reactor(rt_world(), idx);
        conn->connect_req = req;
        conn->rx_paused = true;
        conn->move_pending = conn->moving = true;
        conn->move_job.run = move_when_quiet;
        rt_post(nvmf_control(), &conn->move_job);
    }
}

void nvmf_connect(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    struct nvmf_server *srv = conn->srv;
    const struct nvme_connect_sqe *sqe = connect_sqe(req);
    const struct nvme_connect_data *data = req->buf;
    if (req->got_bytes < sizeof(*data)) {
        nvmf_fail(req, NVME_SC_INVALID_FIELD | NVME_STATUS_DNR);
        return;
    }
    if (ash_le16_get(sqe->recfmt) != 0) {
        nvmf_fail(req, NVME_SC_CONNECT_FORMAT | NVME_STATUS_DNR);
        return;
    }
    if (!memchr(data->subnqn, 0, sizeof(data->subnqn))) {
        BAD_DATA(req, subnqn);
        return;
    }
    if (!nvme_nqn_ok(data->hostnqn, sizeof(data->hostnqn))) {
        BAD_DATA(req, hostnqn);
        return;
    }
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, data->subnqn);
    if (!sub || srv->stopping || conn->shut_posted) {
        BAD_DATA(req, subnqn);
        return;
    }
    if (!nvmf_host_allowed(sub, data->hostnqn) ||
        (!sub->discovery && !nvmf_find_path(sub, conn->listener_id)) ||
        !nvmf_tls_fits(conn, nvmf_find_host(sub, data->hostnqn), data)) {
        nvmf_fail(req, NVME_SC_CONNECT_HOST | NVME_STATUS_DNR);
        return;
    }
    if (!ask_for_proof(conn, nvmf_find_host(sub, data->hostnqn)))
        nvmf_fail(req, NVME_SC_CONNECT_BUSY);
    else if (ash_le16_get(sqe->qid) == 0)
        connect_admin(req, sub);
    else
        connect_io(req, sub);
}

/* ------------------------------------------------------------ properties */

uint64_t nvmf_cap(const struct nvmf_server *srv)
{
    return (srv->transport.max_queue_depth - 1u) | NVME_CAP_CQR |
           (uint64_t)NVMF_CAP_TO_500MS << NVME_CAP_TO_SHIFT | NVME_CAP_CSS_NVM | NVME_CAP_CRWMS;
}

static bool read_reg(const struct nvmf_ctrlr *ctrlr, uint32_t ofst, bool eight, uint64_t *ret)
{
    uint64_t cap = nvmf_cap(ctrlr->sub->srv);
    switch (ofst) {
    case NVME_PROP_CAP:
        *ret = eight ? cap : (uint32_t)cap;
        return true;
    case NVME_PROP_CAP + 4:
        *ret = cap >> 32;
        return !eight;
    case NVME_PROP_VS:
        *ret = NVME_VS_1_4;
        return !eight;
    case NVME_PROP_CC:
        *ret = ctrlr->cc;
        return !eight;
    case NVME_PROP_CSTS:
        *ret = ctrlr->csts;
        return !eight;
    case NVME_PROP_NSSR:
    case NVME_PROP_AQA:
    case NVME_PROP_ASQ + 4:
    case NVME_PROP_ACQ + 4:
        *ret = 0;
        return !eight;
    case NVME_PROP_ASQ:
    case NVME_PROP_ACQ:
        *ret = 0;
        return true;
    case NVME_PROP_CRTO:
        *ret = NVMF_CAP_TO_500MS;
        return !eight;
    default:
        return false;
    }
}

static void enable(struct nvmf_ctrlr *ctrlr)
{
    ctrlr->csts = NVME_CSTS_RDY;
    rt_timer_stop(&ctrlr->shutdown);
    nvmf_ctrlr_alive(ctrlr);
}

static void disable(struct nvmf_ctrlr *ctrlr)
{
    cut_io_queues(ctrlr);
    rt_timer_start(&ctrlr->shutdown, ASSOCIATION_NS);
    if (ctrlr->n_io == 0)
        io_queues_gone(ctrlr);
}

static bool write_cc(struct nvmf_ctrlr *ctrlr, uint32_t cc)
{
    if (NVME_CC_MPS(cc) || NVME_CC_AMS(cc) || NVME_CC_SHN(cc) == 3 || NVME_CC_CSS(cc))
        return false;
    uint32_t old = ctrlr->cc;
    ctrlr->cc = cc;
    if (NVME_CC_SHN(cc) && !NVME_CC_SHN(old)) {
        ctrlr->csts = (ctrlr->csts & ~(3u << 2)) | NVME_CSTS_SHST_ACTIVE;
        rt_timer_stop(&ctrlr->keep_alive);
        disable(ctrlr);
    }
    if ((cc & NVME_CC_EN) && !(old & NVME_CC_EN) && !NVME_CC_SHN(cc))
        enable(ctrlr);
    else if (!(cc & NVME_CC_EN) && (old & NVME_CC_EN))
        disable(ctrlr);
    return true;
}

static void property_get(struct nvmf_req *req)
{
    const struct nvme_prop_sqe *sqe = (const void *)&req->sqe;
    unsigned size = sqe->attrib & 7;
    uint64_t value = 0;
    if (size > 1 || !read_reg(req->conn->ctrlr, ash_le32_get(sqe->ofst), size == 1, &value)) {
        nvmf_fail(req, NVME_SC_CONNECT_PARAM | NVME_STATUS_DNR);
        return;
    }
    req->dw0 = (uint32_t)value;
    req->dw1 = (uint32_t)(value >> 32);
    nvmf_reply(req);
}

static void property_set(struct nvmf_req *req)
{
    const struct nvme_prop_sqe *sqe = (const void *)&req->sqe;
    unsigned size = sqe->attrib & 7;
    bool ok = false;
    switch (ash_le32_get(sqe->ofst)) {
    case NVME_PROP_CC:
        ok = size == 0 && write_cc(req->conn->ctrlr, (uint32_t)ash_le64_get(sqe->value));
        break;
    case NVME_PROP_AQA: /* accepted: nothing of a fabric */
        ok = size == 0;
        break;
    case NVME_PROP_ASQ:
    case NVME_PROP_ACQ:
        ok = size <= 1;
        break;
    default: /* read-only, or there is none */
        break;
    }
    if (ok)
        nvmf_reply(req);
    else
        nvmf_fail(req, NVME_SC_CONNECT_PARAM | NVME_STATUS_DNR);
}

/* Any reactor. */
static void disconnect(struct nvmf_req *req)
{
    const struct nvme_disconnect_sqe *sqe = (const void *)&req->sqe;
    if (req->conn->is_admin) {
        nvmf_fail(req, NVME_SC_INVALID_FIELD | NVME_STATUS_DNR);
    } else if (ash_le16_get(sqe->recfmt) != 0) {
        nvmf_fail(req, NVME_SC_CONNECT_FORMAT | NVME_STATUS_DNR);
    } else {
        req->conn->hang_up = true;
        nvmf_reply(req);
    }
}

void nvmf_fabrics(struct nvmf_req *req)
{
    const struct nvme_prop_sqe *sqe = (const void *)&req->sqe;
    struct nvmf_conn *conn = req->conn;
    bool property = sqe->fctype == NVME_FC_PROPERTY_GET || sqe->fctype == NVME_FC_PROPERTY_SET;
    if (property && conn->is_admin) {
        nvmf_ctrlr_alive(conn->ctrlr);
        if (sqe->fctype == NVME_FC_PROPERTY_GET)
            property_get(req);
        else
            property_set(req);
    } else if (property || sqe->fctype == NVME_FC_CONNECT) {
        nvmf_fail(req, NVME_SC_SEQUENCE | NVME_STATUS_DNR);
    } else if (sqe->fctype == NVME_FC_DISCONNECT) {
        disconnect(req);
    } else if (sqe->fctype == NVME_FC_AUTH_SEND || sqe->fctype == NVME_FC_AUTH_RECV) {
        nvmf_auth(req);
    } else {
        nvmf_fail(req, NVME_SC_INVALID_OPCODE | NVME_STATUS_DNR);
    }
}
