/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: what became ready in one turn of the loop leaves in one send.
 *
 * Headers are laid side by side in tx_hdr; neighbours share an iovec, data goes out of the buffer
 * it was read into. Data is read before its header is made, so an error can always be told
 * (docs/spec/nbd.md 4). */
#include <stdio.h>
#include <string.h>

#include "export/nbd/nbd_int.h"

static const char *command_name(unsigned type)
{
    static const char *const names[] = {
        [NBD_CMD_READ] = "read",
        [NBD_CMD_WRITE] = "write",
        [NBD_CMD_DISC] = "disc",
        [NBD_CMD_FLUSH] = "flush",
        [NBD_CMD_TRIM] = "trim",
        [NBD_CMD_CACHE] = "cache",
        [NBD_CMD_WRITE_ZEROES] = "write zeroes",
        [NBD_CMD_BLOCK_STATUS] = "block status",
    };
    return type < ASH_N_ELEMS(names) ? names[type] : "unknown command";
}

/* ------------------------------------------------------------- encoding */

/* Room for n bytes of header at the end of what is sent. */
static void *tx_header(struct nbd_conn *conn, size_t n)
{
    ASH_ASSERT(conn->tx_n_hdr + n <= sizeof(conn->tx_hdr));
    uint8_t *at = conn->tx_hdr + conn->tx_n_hdr;
    conn->tx_n_hdr += n;
    struct iovec *last = conn->tx_n_iov ? &conn->tx_iov[conn->tx_n_iov - 1] : NULL;
    if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
        last->iov_len += n;
    } else {
        ASH_ASSERT(conn->tx_n_iov < NBD_TX_IOVS);
        conn->tx_iov[conn->tx_n_iov++] = (struct iovec){at, n};
    }
    return at;
}

static void tx_data(struct nbd_conn *conn, void *data, size_t n)
{
    ASH_ASSERT(conn->tx_n_iov < NBD_TX_IOVS);
    conn->tx_iov[conn->tx_n_iov++] = (struct iovec){data, n};
}

static void put_simple(struct nbd_req *req)
{
    struct nbd_simple_reply_wire *w = tx_header(req->conn, sizeof(*w));
    w->magic = ash_be32(NBD_SIMPLE_REPLY_MAGIC);
    w->error = ash_be32(req->error);
    w->cookie = ash_be64(req->cookie);
    if (req->type == NBD_CMD_READ && req->error == NBD_OK && req->length > 0)
        tx_data(req->conn, req->buf, req->length);
}

static struct nbd_chunk_wire chunk_head(const struct nbd_req *req, unsigned flags, unsigned type,
                                        uint32_t n_bytes)
{
    return (struct nbd_chunk_wire){ash_be32(NBD_STRUCT_REPLY_MAGIC), ash_be16((uint16_t)flags),
                                   ash_be16((uint16_t)type), ash_be64(req->cookie),
                                   ash_be32(n_bytes)};
}

static void put_error(struct nbd_req *req)
{
    char text[NBD_ERROR_TEXT];
    int n =
        snprintf(text, sizeof(text), "%s of %u bytes at %llu: %s", command_name(req->type),
                 req->length, (unsigned long long)req->offset, req->text ? req->text : "failed");
    size_t n_text = ASH_MIN((size_t)n, sizeof(text) - 1);
    size_t n_offset = req->has_error_offset ? sizeof(struct be64) : 0;
    struct nbd_chunk_error_wire *w = tx_header(req->conn, sizeof(*w) + n_text + n_offset);
    w->chunk = chunk_head(req, NBD_CHUNK_DONE, n_offset ? NBD_CHUNK_ERROR_OFFSET : NBD_CHUNK_ERROR,
                          (uint32_t)(sizeof(*w) - sizeof(w->chunk) + n_text + n_offset));
    w->error = ash_be32(req->error);
    w->n_text = ash_be16((uint16_t)n_text);
    memcpy(w + 1, text, n_text);
    if (n_offset) {
        struct be64 offset = ash_be64(req->error_offset);
        memcpy((uint8_t *)(w + 1) + n_text, &offset, sizeof(offset));
    }
}

static void put_data_chunk(struct nbd_req *req, uint32_t at, uint32_t length, unsigned flags)
{
    struct nbd_chunk_data_wire *w = tx_header(req->conn, sizeof(*w));
    w->chunk = chunk_head(req, flags, NBD_CHUNK_DATA, (uint32_t)sizeof(w->offset) + length);
    w->offset = ash_be64(req->offset + at);
    tx_data(req->conn, (uint8_t *)req->buf + at, length);
}

static void put_hole_chunk(struct nbd_req *req, uint32_t at, uint32_t length, unsigned flags)
{
    struct nbd_chunk_hole_wire *w = tx_header(req->conn, sizeof(*w));
    w->chunk = chunk_head(req, flags, NBD_CHUNK_HOLE, sizeof(*w) - sizeof(w->chunk));
    w->offset = ash_be64(req->offset + at);
    w->length = ash_be32(length);
}

static void put_read(struct nbd_req *req)
{
    if (req->length == 0) {
        struct nbd_chunk_wire *w = tx_header(req->conn, sizeof(*w));
        *w = chunk_head(req, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0);
        return;
    }
    if (req->n_chunks == 0) {
        put_data_chunk(req, 0, req->length, NBD_CHUNK_DONE);
        return;
    }
    for (unsigned i = 0; i < req->n_chunks; i++) {
        const struct nbd_chunk *c = &req->chunks[i];
        unsigned flags = i + 1 == req->n_chunks ? NBD_CHUNK_DONE : 0;
        if (c->hole)
            put_hole_chunk(req, c->offset, c->length, flags);
        else
            put_data_chunk(req, c->offset, c->length, flags);
    }
}

static void put_reply(struct nbd_req *req)
{
    if (!req->conn->structured)
        put_simple(req);
    else if (req->error != NBD_OK)
        put_error(req);
    else if (req->type == NBD_CMD_READ)
        put_read(req);
    else if (req->type == NBD_CMD_BLOCK_STATUS)
        tx_data(req->conn, req->buf, req->n_status_bytes);
    else
        put_simple(req);
}

/* Is there room for the reply, whatever it is? */
static bool fits(const struct nbd_conn *conn, const struct nbd_req *req)
{
    unsigned n_chunks = ASH_MAX((unsigned)req->n_chunks, 1u);
    size_t n_hdr = ASH_MAX(n_chunks * sizeof(struct nbd_chunk_hole_wire),
                           sizeof(struct nbd_chunk_error_wire) + NBD_ERROR_TEXT + 8);
    return conn->tx_n_iov + 2 * n_chunks <= NBD_TX_IOVS &&
           conn->tx_n_hdr + n_hdr <= NBD_TX_HDR_BYTES;
}
_Static_assert(2 * NBD_READ_CHUNKS <= NBD_TX_IOVS &&
                   NBD_READ_CHUNKS * sizeof(struct nbd_chunk_hole_wire) <= NBD_TX_HDR_BYTES,
               "the longest reply fits in an empty batch");

/* -------------------------------------------------------------- sending */

static void put_all(struct ash_list *reqs)
{
    struct ash_list *item;
    while ((item = ash_list_pop_head(reqs)) != NULL)
        nbd_req_put(ash_list_entry(item, struct nbd_req, link));
}

static void tx_done(struct rt_op *op)
{
    struct nbd_conn *conn = ash_container_of(op, struct nbd_conn, tx_op);
    conn->tx_busy = false;
    put_all(&conn->tx_batch);
    if (op->res < 0 && !conn->tx_dead)
        nbd_conn_cut(conn);
    nbd_tx_kick(conn);
    nbd_rx_resume(conn);
    nbd_conn_check_end(conn);
}

/* Send what is ready, at the end of this turn; while a send is in flight its end does it. */
void nbd_tx_kick(struct nbd_conn *conn)
{
    if (conn->tx_busy || conn->tx_posted || ash_list_empty(&conn->tx_queue))
        return;
    conn->tx_posted = true;
    rt_post(conn->reactor, &conn->tx_job);
}

void nbd_tx_run(struct rt_job *job)
{
    struct nbd_conn *conn = ash_container_of(job, struct nbd_conn, tx_job);
    conn->tx_posted = false;
    ASH_ASSERT(!conn->tx_busy);
    if (conn->tx_dead) {
        put_all(&conn->tx_queue);
        nbd_rx_resume(conn);
        nbd_conn_check_end(conn);
        return;
    }
    conn->tx_n_iov = 0;
    conn->tx_n_hdr = 0;
    while (!ash_list_empty(&conn->tx_queue)) {
        struct nbd_req *req = ash_list_entry(conn->tx_queue.next, struct nbd_req, link);
        if (!fits(conn, req))
            break;
        ash_list_remove(&req->link);
        put_reply(req);
        ash_list_push_tail(&conn->tx_batch, &req->link);
    }
    ASH_ASSERT(conn->tx_n_iov > 0);
    conn->tx_op.kind = RT_OP_SEND;
    conn->tx_op.flags = 0;
    conn->tx_op.sock = conn->sock;
    conn->tx_op.iov = conn->tx_iov;
    conn->tx_op.n_iov = conn->tx_n_iov;
    conn->tx_op.done = tx_done;
    conn->tx_busy = true;
    rt_op_submit(&conn->tx_op);
}

void nbd_reply(struct nbd_req *req)
{
    struct nbd_conn *conn = req->conn;
    ASH_ASSERT(req->n_ios == 0);
    if (req->started) {
        ASH_ASSERT(conn->n_started > 0);
        conn->n_started--;
        req->started = false;
    }
    if (req->error != NBD_OK)
        NBD_COUNT(conn, n_errors, 1);
    ash_list_push_tail(&conn->tx_queue, &req->link);
    nbd_tx_kick(conn);
}
