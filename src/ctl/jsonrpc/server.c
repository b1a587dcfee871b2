/* SPDX-License-Identifier: Apache-2.0 */
/* Servers and connections: bytes in, bytes out. All callbacks, on the control reactor.
 * Source: docs/spec/spdk-jsonrpc.md 1.1, 1.2, 1.7.
 *
 * A connection
 *   reading   while nothing forbids it: at most RPC_IN_FLIGHT_MAX requests run, the client takes
 *             its replies. Bytes are scanned when they come; complete values are handled at once.
 *   ended     the peer has ended its stream (half-close), or the server closes: no more reading,
 * the replies of running requests are still delivered. broken    not JSON, or a request over the
 * limit: the error is queued, then as ended; at last the socket is shut down and what the peer
 * still sent is thrown away, so that it reads our error and the end of the stream, not a reset.
 *   dead      the peer is gone: replies are dropped; running requests end by themselves.
 *
 * Invariants: rx holds the bytes of the value that is not complete yet, n_scanned of them are known
 * to the scanner; one receive and one send are in flight at most; out[sending] belongs to the send;
 * a connection is freed when nothing is in flight: no request, no op. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "ctl/jsonrpc/framing.h"

enum {
    RX_FIRST_BYTES = 4096,
    RX_KEEP_BYTES = 65536, /* larger buffers are given back when they are empty */
    REPLY_KEEP_BYTES = 16384,
    BACKLOG_BYTES = 4 << 20, /* a client that is this far behind is not read from */
    IDLE_REQUESTS_MAX = 256,
};

#define CLOSE_GRACE_NS  (2 * 1000000000ull)
#define ACCEPT_PAUSE_NS (100 * 1000000ull)

struct jsonrpc_server {
    struct jsonrpc *rpc;
    struct rt_sock *listener; /* NULL: jsonrpc_serve_only */
    struct rt_op accept_op;
    struct rt_timer timer; /* accept again after a failure; kill the slow ones when closing */
    struct ash_list conns;
    size_t n_conns;
    struct ash_list idle_requests;
    size_t n_idle;
    bool accepting, closing;
    struct rt_event closed;
};

struct rpc_conn {
    struct jsonrpc_server *srv;
    struct ash_list link;
    struct rt_sock *sock;
    struct rt_op recv_op, send_op;
    bool receiving, sending_now;
    bool ended, broken, dead, shut;
    bool stepping;
    struct json_scan scan;
    char *rx;
    size_t rx_room, n_rx, n_scanned;
    struct ash_buf out[2];
    unsigned sending; /* index into out */
    size_t n_in_flight;
};

static void accept_next(struct jsonrpc_server *srv);

/* --------------------------------------------------------------- requests */

struct jsonrpc *rpc_conn_rpc(struct rpc_conn *conn)
{
    return conn->srv->rpc;
}

struct rpc_request *rpc_conn_request(struct rpc_conn *conn)
{
    struct jsonrpc_server *srv = conn->srv;
    struct ash_list *idle = ash_list_pop_head(&srv->idle_requests);
    struct rpc_request *req;
    if (idle) {
        req = ash_list_entry(idle, struct rpc_request, link);
        srv->n_idle--;
    } else {
        req = rt_alloc(sizeof(*req));
        if (!req)
            return NULL;
        ash_list_init(&req->link);
    }
    req->rpc = srv->rpc;
    req->conn = conn;
    conn->n_in_flight++;
    return req;
}

static void request_free(struct rpc_request *req)
{
    ash_buf_free(&req->id);
    ash_buf_free(&req->reply);
    rt_free(req);
}

static void tidy(struct ash_buf *buf, size_t keep_bytes)
{
    if (buf->failed || buf->n_room > keep_bytes)
        ash_buf_free(buf);
    else
        ash_buf_reset(buf);
}

void rpc_conn_request_done(struct rpc_request *req)
{
    struct rpc_conn *conn = req->conn;
    struct jsonrpc_server *srv = conn->srv;
    ASH_ASSERT(conn->n_in_flight > 0);
    conn->n_in_flight--;
    req->conn = NULL;
    req->batch = NULL;
    if (srv->n_idle >= IDLE_REQUESTS_MAX) {
        request_free(req);
        return;
    }
    tidy(&req->id, 256);
    tidy(&req->reply, REPLY_KEEP_BYTES);
    ash_list_push_head(&srv->idle_requests, &req->link);
    srv->n_idle++;
}

/* ------------------------------------------------------------ connections */

static void conn_free(struct rpc_conn *conn)
{
    rt_sock_close(conn->sock);
    ash_list_remove(&conn->link);
    rt_free(conn->rx);
    ash_buf_free(&conn->out[0]);
    ash_buf_free(&conn->out[1]);
    rt_free(conn);
}

static void server_freed_one(struct jsonrpc_server *srv)
{
    srv->n_conns--;
    if (!srv->closing)
        accept_next(srv);
    else if (srv->n_conns == 0 && !srv->accepting && !srv->closed.is_set)
        rt_event_set(&srv->closed, 0);
}

void rpc_conn_kill(struct rpc_conn *conn)
{
    conn->dead = true;
    conn->ended = true;
    rt_sock_shutdown(conn->sock);
}

void rpc_conn_send(struct rpc_conn *conn, const char *data, size_t n_bytes)
{
    if (conn->dead)
        return;
    struct ash_buf *out = &conn->out[!conn->sending];
    ash_buf_add(out, data, n_bytes);
    if (out->failed)
        rpc_conn_kill(conn); /* half a reply would be worse than none */
}

void rpc_conn_send_buf(struct rpc_conn *conn, struct ash_buf *buf)
{
    struct ash_buf *out = &conn->out[!conn->sending];
    if (!conn->dead && out->n_bytes == 0 && !out->failed && buf->n_bytes > RX_KEEP_BYTES) {
        struct ash_buf empty = *out;
        *out = *buf;
        *buf = empty;
        rpc_conn_send(conn, "\n", 1);
        return;
    }
    rpc_conn_send(conn, buf->data, buf->n_bytes);
    rpc_conn_send(conn, "\n", 1);
}

static void send_done(struct rt_op *op)
{
    struct rpc_conn *conn = ash_container_of(op, struct rpc_conn, send_op);
    conn->sending_now = false;
    tidy(&conn->out[conn->sending], RX_KEEP_BYTES);
    if (op->res < 0 && !conn->dead)
        rpc_conn_kill(conn);
    rpc_conn_step(conn);
}

static void send_next(struct rpc_conn *conn)
{
    unsigned next = !conn->sending;
    if (conn->sending_now || conn->dead || conn->out[next].n_bytes == 0)
        return;
    conn->sending = next;
    conn->sending_now = true;
    struct rt_op *op = &conn->send_op;
    op->kind = RT_OP_SEND;
    op->flags = 0;
    op->sock = conn->sock;
    op->one_iov =
        (struct iovec){.iov_base = conn->out[next].data, .iov_len = conn->out[next].n_bytes};
    op->iov = &op->one_iov;
    op->n_iov = 1;
    op->done = send_done;
    rt_op_submit(op);
}

static bool may_read(const struct rpc_conn *conn)
{
    return !conn->ended && conn->n_in_flight < RPC_IN_FLIGHT_MAX &&
           conn->out[!conn->sending].n_bytes < BACKLOG_BYTES;
}

static void break_conn(struct rpc_conn *conn)
{
    rpc_reply_error(conn, RPC_PARSE_ERROR, "Parse error");
    conn->broken = true;
    conn->ended = true;
    conn->n_rx = conn->n_scanned = 0;
}

/* Forget the first n bytes of rx. */
static void drop_rx(struct rpc_conn *conn, size_t n)
{
    memmove(conn->rx, conn->rx + n, conn->n_rx - n);
    conn->n_rx -= n;
    conn->n_scanned = 0;
}

/* Handle every value that is complete in rx, as far as may_read. */
static void scan_rx(struct rpc_conn *conn)
{
    size_t start = 0, pos = conn->n_scanned;
    while (pos < conn->n_rx && may_read(conn)) {
        size_t used;
        int event = json_scan_feed(&conn->scan, conn->rx + pos, conn->n_rx - pos, &used);
        pos += used;
        /* the limit must not depend on how the bytes came */
        if (event < 0 || pos - start > RPC_REQUEST_MAX_BYTES) {
            break_conn(conn);
            return;
        }
        if (event == JSON_SCAN_VALUE)
            rpc_handle_value(conn, conn->rx + start, pos - start);
        else if (event == JSON_SCAN_SCALAR)
            rpc_reply_error(conn, RPC_INVALID_REQUEST, "Invalid request");
        if (event != JSON_SCAN_MORE)
            start = pos;
    }
    if (start)
        drop_rx(conn, start);
    conn->n_scanned = pos - start;
}

static void recv_done(struct rt_op *op)
{
    struct rpc_conn *conn = ash_container_of(op, struct rpc_conn, recv_op);
    conn->receiving = false;
    if (conn->ended) {
        /* what comes now is thrown away */
        if (op->res < 0 || (op->res == 0 && conn->shut))
            conn->dead = true;
    } else if (op->res < 0) {
        rpc_conn_kill(conn);
    } else if (op->res == 0) {
        conn->ended = true;
        if (!json_scan_at_rest(&conn->scan))
            break_conn(conn);
    } else {
        conn->n_rx += (size_t)op->res;
    }
    rpc_conn_step(conn);
}

static bool make_room(struct rpc_conn *conn)
{
    if (conn->n_rx == 0 && conn->rx_room > RX_KEEP_BYTES) {
        rt_free(conn->rx);
        conn->rx = NULL;
        conn->rx_room = 0;
    }
    if (conn->rx_room - conn->n_rx >= RX_FIRST_BYTES / 2)
        return true;
    size_t room = conn->rx_room ? 2 * conn->rx_room : RX_FIRST_BYTES;
    char *rx = rt_realloc(conn->rx, conn->rx_room, room);
    if (!rx)
        return false;
    conn->rx = rx;
    conn->rx_room = room;
    return true;
}

static void receive_next(struct rpc_conn *conn)
{
    if (conn->receiving)
        return;
    if (!make_room(conn)) {
        rpc_conn_kill(conn);
        return;
    }
    conn->receiving = true;
    struct rt_op *op = &conn->recv_op;
    op->kind = RT_OP_RECV;
    op->flags = 0;
    op->sock = conn->sock;
    op->one_iov =
        (struct iovec){.iov_base = conn->rx + conn->n_rx, .iov_len = conn->rx_room - conn->n_rx};
    op->iov = &op->one_iov;
    op->n_iov = 1;
    op->done = recv_done;
    rt_op_submit(op);
}

/* Nothing will be sent any more: end. A broken connection first throws away what the peer still
 * sent, because unread bytes at the close would reset the peer before it has read our error. */
static void conn_end(struct rpc_conn *conn)
{
    struct jsonrpc_server *srv = conn->srv;
    if (!conn->shut)
        rt_sock_shutdown(conn->sock);
    conn->shut = true;
    if (conn->broken && !conn->dead && !conn->receiving) {
        conn->n_rx = 0;
        receive_next(conn);
    }
    if (conn->receiving)
        return;
    conn_free(conn);
    server_freed_one(srv);
}

/* Look at the state and do all that can be done now. The connection may be gone afterwards. */
void rpc_conn_step(struct rpc_conn *conn)
{
    ASH_ASSERT(!conn->stepping);
    conn->stepping = true;
    if (!conn->receiving && may_read(conn) && conn->n_scanned < conn->n_rx)
        scan_rx(conn);
    if (!conn->receiving && may_read(conn))
        receive_next(conn);
    send_next(conn);
    conn->stepping = false;
    bool quiet = conn->n_in_flight == 0 && !conn->sending_now &&
                 (conn->dead || conn->out[!conn->sending].n_bytes == 0);
    if (conn->ended && quiet)
        conn_end(conn);
}

int jsonrpc_adopt(struct jsonrpc_server *srv, struct rt_sock *sock)
{
    struct rpc_conn *conn = srv->closing ? NULL : rt_alloc(sizeof(*conn));
    if (!conn) {
        rt_sock_close(sock);
        return srv->closing ? -ECANCELED : -ENOMEM;
    }
    conn->srv = srv;
    conn->sock = sock;
    json_scan_init(&conn->scan, JSON_VALUES_MAX);
    ash_list_push_tail(&srv->conns, &conn->link);
    srv->n_conns++;
    rpc_conn_step(conn);
    return 0;
}

/* ----------------------------------------------------------------- servers */

static void accept_done(struct rt_op *op)
{
    struct jsonrpc_server *srv = ash_container_of(op, struct jsonrpc_server, accept_op);
    srv->accepting = false;
    if (op->res >= 0) {
        int rc = jsonrpc_adopt(srv, op->ret_sock);
        if (rc)
            rpc_log(srv->rpc, JSONRPC_LOG_WARNING, "a connection was turned away: %s",
                    ash_strerror(rc));
    } else if (!srv->closing) {
        rpc_log(srv->rpc, JSONRPC_LOG_ERROR, "no connection could be accepted: %s",
                ash_strerror((int)op->res));
        rt_timer_start(&srv->timer, ACCEPT_PAUSE_NS);
        return;
    }
    if (!srv->closing)
        accept_next(srv);
    else if (srv->n_conns == 0 && !srv->closed.is_set)
        rt_event_set(&srv->closed, 0);
}

static void accept_next(struct jsonrpc_server *srv)
{
    if (!srv->listener || srv->accepting || srv->closing || rt_timer_armed(&srv->timer) ||
        srv->n_conns >= RPC_CONNECTIONS_MAX)
        return;
    srv->accepting = true;
    srv->accept_op.kind = RT_OP_ACCEPT;
    srv->accept_op.sock = srv->listener;
    srv->accept_op.done = accept_done;
    rt_op_submit(&srv->accept_op);
}

static void timer_fired(struct rt_timer *timer)
{
    struct jsonrpc_server *srv = ash_container_of(timer, struct jsonrpc_server, timer);
    if (!srv->closing) {
        accept_next(srv);
        return;
    }
    ash_list_for_each_safe (pos, &srv->conns) {
        struct rpc_conn *conn = ash_list_entry(pos, struct rpc_conn, link);
        rpc_conn_kill(conn);
        rpc_conn_step(conn);
    }
}

int jsonrpc_serve_only(struct ash_engine *engine, const struct jsonrpc_opts *opts,
                       struct jsonrpc_server **ret_srv, struct ash_err *err)
{
    int rc = opts ? jsonrpc_setup(engine, opts, err) : 0;
    if (rc)
        return rc;
    struct jsonrpc *rpc = rpc_of(engine);
    struct jsonrpc_server *srv = rpc ? rt_alloc(sizeof(*srv)) : NULL;
    if (!srv)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for a JSON-RPC server");
    srv->rpc = rpc;
    srv->timer.fire = timer_fired;
    srv->closed = RT_EVENT_INIT;
    ash_list_init(&srv->conns);
    ash_list_init(&srv->idle_requests);
    *ret_srv = srv;
    return 0;
}

int jsonrpc_listen(struct ash_engine *engine, const char *path, unsigned mode,
                   const struct jsonrpc_opts *opts, struct jsonrpc_server **ret_srv,
                   struct ash_err *err)
{
    char address[512];
    int n = snprintf(address, sizeof(address), "%s%s", strstr(path, "://") ? "" : "unix://", path);
    if (n < 0 || (size_t)n >= sizeof(address))
        return ash_err_set(err, ASH_E_RT_BAD_ADDRESS, path, "the socket's path is too long");
    struct jsonrpc_server *srv = NULL;
    int rc = jsonrpc_serve_only(engine, opts, &srv, err);
    if (rc)
        return rc;
    rc = rt_listen(address, mode ? mode : 0600, &srv->listener, err);
    if (rc) {
        rt_free(srv);
        return ash_err_while(err, rc, "opening the JSON-RPC socket '%s'", path);
    }
    accept_next(srv);
    *ret_srv = srv;
    return 0;
}

void jsonrpc_close(struct jsonrpc_server *srv)
{
    if (!srv)
        return;
    srv->closing = true;
    srv->rpc->stopping = true;
    rt_waitq_wake_all(&srv->rpc->started);
    rt_timer_stop(&srv->timer);
    if (srv->accepting)
        rt_op_cancel(&srv->accept_op);
    ash_list_for_each_safe (pos, &srv->conns) {
        struct rpc_conn *conn = ash_list_entry(pos, struct rpc_conn, link);
        conn->ended = true;
        rpc_conn_step(conn);
    }
    rt_timer_start(&srv->timer, CLOSE_GRACE_NS);
    if (srv->n_conns || srv->accepting)
        rt_event_wait(&srv->closed);
    rt_timer_stop(&srv->timer);
    srv->rpc->stopping = false; /* other sockets may go on */
    if (srv->listener)
        rt_sock_close(srv->listener);
    while (!ash_list_empty(&srv->idle_requests))
        request_free(
            ash_list_entry(ash_list_pop_head(&srv->idle_requests), struct rpc_request, link));
    rt_free(srv);
}
