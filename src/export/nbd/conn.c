/* SPDX-License-Identifier: Apache-2.0 */
/* A connection in transmission: receiving, and its end.
 *
 * Invariants
 *  - at most one receive and one send are in flight;
 *  - while a payload is awaited (rx_req), everything buffered has been consumed;
 *  - n_reqs counts requests from their header to the end of the send of their reply, so a client
 *    that does not read its replies stops being read itself (docs/spec/nbd.md 8, item 8);
 *  - a WRITE starts only when its whole payload is here: half of one is never applied;
 *  - the connection ends when nothing more is received and no request is left; nothing else frees
 *    it. */
#include <errno.h>
#include <string.h>

#include "export/nbd/nbd_int.h"

/* ------------------------------------------------------------- requests */

struct nbd_req *nbd_req_get(struct nbd_conn *conn)
{
    struct ash_list *item = ash_list_pop_head(&conn->free_reqs);
    struct nbd_req *req = NULL;
    if (item) {
        conn->n_free--;
        req = ash_list_entry(item, struct nbd_req, link);
        memset(req, 0, sizeof(*req));
    } else {
        req = rt_alloc(sizeof(*req));
        if (!req)
            return NULL;
    }
    req->conn = conn;
    ash_list_init(&req->link);
    ash_list_init(&req->riders);
    conn->n_reqs++;
    conn->n_seen++;
    return req;
}

void nbd_req_put(struct nbd_req *req)
{
    struct nbd_conn *conn = req->conn;
    ASH_ASSERT(conn->n_reqs > 0 && req->n_ios == 0);
    ASH_ASSERT(conn->inflight_bytes >= req->charged_bytes);
    rt_buf_put(req->buf, req->buf_bytes);
    rt_free(req->chunks);
    conn->inflight_bytes -= req->charged_bytes;
    conn->n_reqs--;
    ash_list_push_head(&conn->free_reqs, &req->link);
    conn->n_free++;
}

static void free_spare_reqs(struct nbd_conn *conn)
{
    struct ash_list *item;
    while ((item = ash_list_pop_head(&conn->free_reqs)) != NULL)
        rt_free(ash_list_entry(item, struct nbd_req, link));
    conn->n_free = 0;
}

/* ------------------------------------------------------------ receiving */

static void rx_done(struct rt_op *op);

static void give_back_big(struct nbd_conn *conn)
{
    if (conn->rx_buf == conn->small)
        return;
    ASH_ASSERT(conn->rx_head == conn->rx_tail);
    rt_buf_put(conn->rx_buf, NBD_BIG_BYTES);
    conn->rx_buf = conn->small;
    conn->rx_room = sizeof(conn->small);
    conn->rx_head = conn->rx_tail = 0;
}

/* Make room at the end of the buffer, in a bigger one when the last receive filled the small one.
 */
static void make_room(struct nbd_conn *conn)
{
    size_t n = conn->rx_tail - conn->rx_head;
    uint8_t *to = conn->rx_buf;
    if (conn->rx_want_big && to == conn->small) {
        uint8_t *big = rt_buf_get(NBD_BIG_BYTES);
        if (big) {
            to = big;
            conn->rx_room = NBD_BIG_BYTES;
        }
    }
    conn->rx_want_big = false;
    memmove(to, conn->rx_buf + conn->rx_head, n);
    conn->rx_buf = to;
    conn->rx_head = 0;
    conn->rx_tail = n;
}

static void rx_submit(struct nbd_conn *conn)
{
    if (conn->rx_busy || conn->rx_ended || conn->rx_stalled)
        return;
    make_room(conn);
    struct nbd_req *req = conn->rx_req;
    unsigned n = 0;
    conn->rx_direct = 0;
    size_t room = conn->rx_room - conn->rx_tail;
    if (req && req->buf) {
        conn->rx_direct = req->length - conn->rx_got;
        conn->rx_iov[n++] = (struct iovec){(uint8_t *)req->buf + conn->rx_got, conn->rx_direct};
    }
    /* Big payloads shall land in their own buffers, so take little more than the next header. */
    if (conn->last_write_bytes >= 16384 && !(req && !req->buf))
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
    rt_op_submit(&conn->rx_op);
}

/* Nothing more is taken from the peer; a payload that was arriving is forgotten. */
static void rx_end(struct nbd_conn *conn)
{
    conn->rx_ended = true;
    conn->rx_stalled = false;
    conn->rx_head = conn->rx_tail = 0;
    if (conn->rx_req) {
        nbd_req_put(conn->rx_req);
        conn->rx_req = NULL;
    }
}

static void start_or_refuse(struct nbd_req *req)
{
    if (req->error == NBD_OK && req->conn->shutting) {
        req->error = NBD_ESHUTDOWN;
        req->text = "the export is shutting down";
    }
    if (req->error != NBD_OK) {
        nbd_reply(req);
        return;
    }
    req->started = true;
    req->conn->n_started++;
    nbd_start(req);
}

/* Payload of the current WRITE out of the buffer. True when it is complete and under way. */
static bool take_payload(struct nbd_conn *conn)
{
    struct nbd_req *req = conn->rx_req;
    size_t n = ASH_MIN(conn->rx_tail - conn->rx_head, (size_t)req->length - conn->rx_got);
    if (req->buf && n > 0)
        memcpy((uint8_t *)req->buf + conn->rx_got, conn->rx_buf + conn->rx_head, n);
    conn->rx_head += n;
    conn->rx_got += n;
    if (conn->rx_got < req->length)
        return false;
    conn->rx_req = NULL;
    start_or_refuse(req);
    return true;
}

/* Does the request fit into what the connection may have in flight? */
static bool admit(struct nbd_conn *conn, uint64_t n_bytes)
{
    if (conn->n_reqs >= conn->limits.max_inflight_requests)
        return false;
    return conn->inflight_bytes == 0 ||
           conn->inflight_bytes + n_bytes <= conn->limits.max_inflight_bytes;
}

static void no_memory(struct nbd_req *req)
{
    req->error = NBD_ENOMEM;
    req->text = "the server is out of memory";
}

/* Give a request what it needs. False: not now, try again when something has completed. */
static bool prepare(struct nbd_conn *conn, struct nbd_req *req)
{
    req->error = (uint16_t)nbd_check(req);
    bool data = req->type == NBD_CMD_READ || req->type == NBD_CMD_WRITE;
    if (req->error != NBD_OK || !data || req->length == 0 || conn->shutting)
        return true;
    req->buf = rt_buf_get(req->length);
    if (!req->buf) {
        if (conn->n_reqs > 1)
            return false;
        no_memory(req);
        return true;
    }
    req->buf_bytes = req->length;
    req->charged_bytes = req->length;
    conn->inflight_bytes += req->length;
    return true;
}

/* One header. False: stop parsing (stalled or ended). */
static bool take_header(struct nbd_conn *conn)
{
    struct nbd_request_wire w;
    memcpy(&w, conn->rx_buf + conn->rx_head, sizeof(w));
    uint16_t type = ash_be16_get(w.type);
    uint32_t length = ash_be32_get(w.length);
    if (ash_be32_get(w.magic) != NBD_REQUEST_MAGIC || type == NBD_CMD_DISC ||
        (type == NBD_CMD_WRITE && length > NBD_MAX_DISCARD)) {
        rx_end(conn);
        return false;
    }
    bool data = (type == NBD_CMD_READ || type == NBD_CMD_WRITE) && length <= NBD_MAX_PAYLOAD;
    if (!admit(conn, data ? length : 0)) {
        conn->rx_stalled = true;
        return false;
    }
    struct nbd_req *req = nbd_req_get(conn);
    if (!req) {
        /* Nothing in flight and no memory for a request: there is nothing to wait for. */
        if (conn->n_reqs > 0)
            conn->rx_stalled = true;
        else
            rx_end(conn);
        return false;
    }
    req->type = type;
    req->flags = ash_be16_get(w.flags);
    req->cookie = ash_be64_get(w.cookie);
    req->offset = ash_be64_get(w.offset);
    req->length = length;
    if (!prepare(conn, req)) {
        nbd_req_put(req);
        conn->rx_stalled = true;
        return false;
    }
    conn->rx_head += sizeof(w);
    if (type == NBD_CMD_WRITE) {
        conn->last_write_bytes = length;
        conn->rx_req = req;
        conn->rx_got = 0;
    } else {
        start_or_refuse(req);
    }
    return true;
}

static void parse(struct nbd_conn *conn)
{
    while (!conn->rx_ended && !conn->rx_stalled) {
        if (conn->rx_req) {
            if (!take_payload(conn))
                break;
        } else if (conn->rx_tail - conn->rx_head < sizeof(struct nbd_request_wire)) {
            break;
        } else if (!take_header(conn)) {
            break;
        }
    }
}

static void rx_done(struct rt_op *op)
{
    struct nbd_conn *conn = ash_container_of(op, struct nbd_conn, rx_op);
    conn->rx_busy = false;
    if (conn->rx_give_back) {
        conn->rx_give_back = false;
        if (op->res == -ECANCELED && !conn->rx_req && conn->rx_head == conn->rx_tail) {
            give_back_big(conn);
            rx_submit(conn);
            return;
        }
        if (op->res == -ECANCELED) {
            rx_submit(conn);
            return;
        }
    }
    if (op->res <= 0 || conn->tx_dead) {
        rx_end(conn);
        nbd_conn_check_end(conn);
        return;
    }
    size_t n = (size_t)op->res;
    size_t direct = ASH_MIN(n, conn->rx_direct);
    conn->rx_got += direct;
    conn->rx_direct = 0;
    conn->rx_tail += n - direct;
    ASH_ASSERT(conn->rx_tail <= conn->rx_room);
    conn->rx_want_big = conn->rx_tail == conn->rx_room;
    parse(conn);
    rx_submit(conn);
    nbd_conn_check_end(conn);
}

/* Room has become free. */
void nbd_rx_resume(struct nbd_conn *conn)
{
    if (!conn->rx_stalled)
        return;
    conn->rx_stalled = false;
    parse(conn);
    rx_submit(conn);
}

/* --------------------------------------------------------- idle and grace */

/* Fires at most once a second while requests come, and not at all afterwards. */
static void idle_fire(struct rt_timer *timer)
{
    struct nbd_conn *conn = ash_container_of(timer, struct nbd_conn, timer);
    if (conn->n_seen != conn->n_seen_at_timer || conn->n_reqs > 0) {
        conn->n_seen_at_timer = conn->n_seen;
        rt_timer_start(timer, NBD_IDLE_NS);
        return;
    }
    free_spare_reqs(conn);
    if (conn->rx_buf != conn->small && conn->rx_busy && !conn->rx_give_back) {
        conn->rx_give_back = true;
        rt_op_cancel(&conn->rx_op);
    }
}

static void watch_idle(struct nbd_conn *conn)
{
    bool holds = conn->n_free > 0 || conn->rx_buf != conn->small;
    if (holds && !conn->rx_ended && !rt_timer_armed(&conn->timer)) {
        conn->n_seen_at_timer = conn->n_seen;
        rt_timer_start(&conn->timer, NBD_IDLE_NS);
    }
}

static void grace_fire(struct rt_timer *timer)
{
    struct nbd_conn *conn = ash_container_of(timer, struct nbd_conn, grace);
    nbd_conn_cut(conn);
    nbd_conn_check_end(conn);
}

/* The peer gets no more answers. A receive in flight ends soon; it may still own a buffer. */
void nbd_conn_cut(struct nbd_conn *conn)
{
    conn->tx_dead = true;
    rt_sock_shutdown(conn->sock);
    if (!conn->rx_busy)
        rx_end(conn);
    nbd_tx_kick(conn);
}

/* Finish off: from the control reactor, at most once. */
void nbd_conn_shut(struct rt_job *job)
{
    struct nbd_conn *conn = ash_container_of(job, struct nbd_conn, shut_job);
    conn->shutting = true;
    if (!conn->transmitting) {
        if (conn->sock)
            rt_sock_shutdown(conn->sock); /* the handshake task notices and ends */
        return;
    }
    rt_timer_start(&conn->grace, conn->limits.grace_ns);
    nbd_conn_check_end(conn);
}

/* -------------------------------------------------------------- its end */

/* Leave the export: its device is not used by this connection any more. */
void nbd_conn_release(struct nbd_conn *conn)
{
    if (conn->released || !conn->exp)
        return;
    conn->released = true;
    if (conn->ch)
        bdev_channel_put(conn->ch);
    conn->ch = NULL;
    conn->exp = NULL;
    conn->release_job.run = nbd_conn_released;
    rt_post(rt_reactor(rt_of(conn->reactor), 0), &conn->release_job);
}

/* Not from inside the completion of an io: its channel must outlive that. */
static void release_soon(struct rt_job *job)
{
    struct nbd_conn *conn = ash_container_of(job, struct nbd_conn, release_job);
    conn->release_posted = false;
    nbd_conn_release(conn);
    nbd_conn_check_end(conn);
}

void nbd_conn_end(struct nbd_conn *conn)
{
    ASH_ASSERT(!conn->rx_busy && !conn->tx_busy && !conn->tx_posted && conn->n_reqs == 0);
    rt_timer_stop(&conn->timer);
    rt_timer_stop(&conn->grace);
    nbd_conn_release(conn);
    if (conn->rx_buf != conn->small)
        rt_buf_put(conn->rx_buf, NBD_BIG_BYTES);
    conn->rx_buf = conn->small;
    free_spare_reqs(conn);
    rt_free(conn->meta_export);
    conn->meta_export = NULL;
    rt_sock_close(conn->sock);
    conn->sock = NULL;
    conn->transmitting = false;
    conn->gone_job.run = nbd_conn_gone;
    rt_post(rt_reactor(rt_of(conn->reactor), 0), &conn->gone_job);
}

void nbd_conn_check_end(struct nbd_conn *conn)
{
    if (conn->shutting && conn->ch && conn->n_started == 0 && !conn->release_posted) {
        conn->release_posted = true;
        conn->release_job.run = release_soon;
        rt_post(conn->reactor, &conn->release_job);
    }
    if (conn->rx_ended && !conn->rx_busy && conn->n_reqs == 0 && !conn->tx_busy &&
        !conn->tx_posted && !conn->release_posted)
        nbd_conn_end(conn);
    else
        watch_idle(conn);
}

/* The handshake is over; bytes that came after its last option stand in conn->small already. */
void nbd_conn_transmit(struct nbd_conn *conn)
{
    conn->transmitting = true;
    conn->timer.fire = idle_fire;
    conn->grace.fire = grace_fire;
    conn->tx_job.run = nbd_tx_run;
    if (conn->shutting)
        rt_timer_start(&conn->grace, conn->limits.grace_ns);
    parse(conn);
    rx_submit(conn);
    nbd_conn_check_end(conn);
}
