/* SPDX-License-Identifier: Apache-2.0 */
/* From one complete JSON value to method calls and back: single requests, notifications, batches.
 * Source: docs/spec/spdk-jsonrpc.md 1.4 - 1.6, 2.
 *
 * Invariants: each call that must be answered adds exactly one reply to its connection or batch; a
 * batch sends when its last element has ended, and nothing when it holds no reply. Replies go out
 * in order of completion. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "base/assert.h"
#include "ctl/jsonrpc/framing.h"

struct rpc_batch {
    size_t n_pending;
    bool has_reply;
    struct ash_buf out;
};

static const char invalid_request[] =
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"Invalid request\"}}";

/* One reply, to the batch or to the connection. A batch's reply waits for the others. */
static void deliver(struct rpc_conn *conn, struct rpc_batch *batch, const char *data,
                    size_t n_bytes)
{
    if (!batch) {
        rpc_conn_send(conn, data, n_bytes);
        rpc_conn_send(conn, "\n", 1);
        return;
    }
    ash_buf_chr(&batch->out, batch->has_reply ? ',' : '[');
    ash_buf_add(&batch->out, data, n_bytes);
    batch->has_reply = true;
}

/* The same for a reply in a buffer. One that memory ran out for cannot be told: the client would
 * wait for ever, so its connection ends. */
static void deliver_buf(struct rpc_conn *conn, struct rpc_batch *batch, struct ash_buf *buf)
{
    if (buf->failed)
        rpc_conn_kill(conn);
    else if (!batch && buf->n_bytes)
        rpc_conn_send_buf(conn, buf);
    else
        deliver(conn, batch, ash_buf_text(buf), buf->n_bytes);
}

static void batch_element_done(struct rpc_conn *conn, struct rpc_batch *batch)
{
    if (!batch || --batch->n_pending)
        return;
    if (batch->out.failed || batch->out.n_bytes > RPC_REPLY_MAX_BYTES) {
        rpc_reply_error(conn, RPC_INTERNAL_ERROR, "Internal error");
    } else if (batch->has_reply) {
        ash_buf_chr(&batch->out, ']');
        deliver_buf(conn, NULL, &batch->out);
    }
    ash_buf_free(&batch->out);
    rt_free(batch);
}

static void write_error(struct ash_buf *out, const char *id, const struct jsonrpc_failure *failure,
                        const struct ash_err *err)
{
    struct ash_jsonw w;
    ash_jsonw_init(&w, out);
    ash_jsonw_obj(&w, NULL);
    ash_jsonw_str(&w, "jsonrpc", "2.0");
    ash_jsonw_raw(&w, "id", id, strlen(id));
    ash_jsonw_obj(&w, "error");
    ash_jsonw_i64(&w, "code", failure->code);
    ash_jsonw_str(&w, "message", failure->message);
    if (err && err->reason != ASH_OK) {
        ash_jsonw_obj(&w, "data");
        ash_jsonw_str(&w, "reason", ash_reason_name(err->reason));
        ash_jsonw_str(&w, "object", err->object);
        ash_jsonw_str(&w, "detail", err->text);
        ash_jsonw_str(&w, "hint", ash_reason_hint(err->reason));
        ash_jsonw_obj_end(&w);
    }
    ash_jsonw_obj_end(&w);
    ash_jsonw_obj_end(&w);
}

void rpc_reply_error(struct rpc_conn *conn, int code, const char *message)
{
    struct ash_buf out ASH_CLEANUP(ash_buf_free) = {0};
    struct jsonrpc_failure failure = {.code = code};
    snprintf(failure.message, sizeof(failure.message), "%s", message);
    write_error(&out, "null", &failure, NULL);
    deliver_buf(conn, NULL, &out);
}

static void reply_failure(struct rpc_request *req, const struct jsonrpc_failure *failure,
                          const struct ash_err *err)
{
    ash_buf_reset(&req->reply);
    /* the id of a notification is null, and its errors are told all the same */
    write_error(&req->reply, req->id.n_bytes ? req->id.data : "null", failure, err);
    deliver_buf(req->conn, req->batch, &req->reply);
}

static void finish(struct rpc_request *req)
{
    struct rpc_conn *conn = req->conn;
    struct rpc_batch *batch = req->batch;
    json_object_put(req->params);
    req->params = NULL;
    batch_element_done(conn, batch);
    rpc_conn_request_done(req);
}

static void run_request(void *arg)
{
    struct rpc_request *req = arg;
    struct rpc_conn *conn = req->conn;
    struct ash_err err;
    err.reason = ASH_OK;
    struct jsonrpc_failure failure;
    struct ash_buf *out = &req->reply;
    ash_buf_reset(out);
    ash_buf_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    ash_buf_add(out, req->id.data, req->id.n_bytes);
    ash_buf_str(out, ",\"result\":");
    int rc = rpc_run(req->rpc, req->entry, req->params, req->duplicate, out, &failure, &err);
    if (rc) {
        reply_failure(req, &failure, &err);
    } else if (!req->notification) {
        ash_buf_chr(out, '}');
        deliver_buf(conn, req->batch, out);
    }
    finish(req);
    rpc_conn_step(conn);
}

/* ----------------------------------------------------------------- parsing */

enum { GOT_JSONRPC = 1u << 0, GOT_METHOD = 1u << 1, GOT_PARAMS = 1u << 2, GOT_ID = 1u << 3 };

struct members {
    unsigned got;
    bool bad, bad_params, no_memory;
    struct ash_buf text; /* of the string at hand, later the method's name */
};

static bool text_is(const struct ash_buf *buf, const char *text)
{
    return buf->n_bytes == strlen(text) && memcmp(ash_buf_text(buf), text, buf->n_bytes) == 0;
}

static unsigned member_bit(const struct ash_buf *name)
{
    static const char *const names[] = {"jsonrpc", "method", "params", "id"};
    for (unsigned i = 0; i < ASH_N_ELEMS(names); i++)
        if (text_is(name, names[i]))
            return 1u << i;
    return 0;
}

static void take_id(struct rpc_request *req, struct json_cursor *c, struct members *m)
{
    const char *from = c->p;
    if (*c->p == '"') {
        struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
        json_take_string(c, &text);
        struct ash_jsonw w;
        ash_jsonw_init(&w, &req->id);
        ash_jsonw_strn(&w, NULL, ash_buf_text(&text), text.n_bytes);
        m->no_memory |= text.failed;
        return;
    }
    json_skip_value(c);
    if (*from == 'n')
        return;
    if (*from != '-' && (*from < '0' || *from > '9'))
        m->bad = true;
    else
        ash_buf_add(&req->id, from, (size_t)(c->p - from));
}

static void take_params(struct rpc_request *req, struct json_cursor *c, struct members *m)
{
    struct json_cursor sub = {.p = c->p, .end = c->end};
    req->params = json_build(&sub);
    req->duplicate = sub.duplicate;
    m->no_memory |= sub.no_memory;
    if (sub.no_memory)
        json_skip_value(c); /* a failed build stops anywhere */
    else
        c->p = sub.p;
}

static void take_member(struct rpc_request *req, struct json_cursor *c, unsigned bit,
                        struct members *m, struct ash_buf *method)
{
    switch (bit) {
    case GOT_JSONRPC:
        m->bad |= *c->p != '"';
        break;
    case GOT_METHOD:
        m->bad |= *c->p != '"';
        break;
    case GOT_ID:
        take_id(req, c, m);
        return;
    case GOT_PARAMS:
        m->bad_params = *c->p != '{' && *c->p != '[' && *c->p != 'n';
        if (m->bad_params)
            break;
        take_params(req, c, m);
        return;
    default:
        m->bad = true;
        break;
    }
    if (m->bad || m->bad_params) {
        json_skip_value(c);
    } else if (bit == GOT_METHOD) {
        json_take_string(c, method);
    } else {
        ash_buf_reset(&m->text);
        json_take_string(c, &m->text);
        m->bad |= !text_is(&m->text, "2.0");
    }
}

/* Take a request object apart; c stands at its '{' and is left behind its '}'. */
static void take_members(struct rpc_request *req, struct json_cursor *c, struct members *m,
                         struct ash_buf *method)
{
    c->p++;
    json_skip_blanks(c);
    while (*c->p != '}') {
        ash_buf_reset(&m->text);
        json_take_string(c, &m->text);
        unsigned bit = member_bit(&m->text);
        json_skip_blanks(c);
        c->p++; /* the colon */
        json_skip_blanks(c);
        m->bad |= !bit || (m->got & bit);
        m->got |= bit;
        if (m->bad || m->no_memory)
            json_skip_value(c);
        else
            take_member(req, c, bit, m, method);
        json_skip_blanks(c);
        if (*c->p == ',')
            c->p++;
        json_skip_blanks(c);
    }
    c->p++;
    m->bad |= !(m->got & GOT_METHOD);
    m->no_memory |= method->failed || m->text.failed || req->id.failed;
    ash_buf_free(&m->text);
}

static void fail_now(struct rpc_request *req, int code, const char *message)
{
    struct jsonrpc_failure failure = {.code = code};
    snprintf(failure.message, sizeof(failure.message), "%s", message);
    reply_failure(req, &failure, NULL);
    finish(req);
}

/* Start what was parsed, or answer at once what cannot be started. */
static void start(struct rpc_request *req, const struct members *m, const struct ash_buf *method)
{
    if (m->no_memory) {
        fail_now(req, -ENOMEM, ash_strerror(ENOMEM));
        return;
    }
    if (m->bad) {
        deliver(req->conn, req->batch, invalid_request, sizeof(invalid_request) - 1);
        finish(req);
        return;
    }
    if (m->bad_params) {
        fail_now(req, RPC_INVALID_REQUEST, "Invalid request");
        return;
    }
    struct ash_err err;
    err.reason = ASH_OK;
    struct jsonrpc_failure failure;
    const char *name = ash_buf_text(method);
    req->entry = strlen(name) == method->n_bytes ? rpc_find(req->rpc, name) : NULL;
    int rc = req->entry ? rpc_check(req->rpc, req->entry, &failure, &err)
                        : rpc_unknown_method(name, &failure, &err);
    if (rc == 0 && rt_task_spawn(req->entry->method->name, run_request, req) == 0)
        return;
    if (rc == 0) {
        fail_now(req, -ENOMEM, ash_strerror(ENOMEM));
        return;
    }
    reply_failure(req, &failure, &err);
    finish(req);
}

static void handle_object(struct rpc_conn *conn, struct rpc_batch *batch, struct json_cursor *c)
{
    struct rpc_request *req = rpc_conn_request(conn);
    if (!req) {
        json_skip_value(c);
        rpc_reply_error(conn, -ENOMEM, ash_strerror(ENOMEM));
        batch_element_done(conn, batch);
        return;
    }
    req->batch = batch;
    req->entry = NULL;
    req->duplicate = false;
    struct members m = {0};
    struct ash_buf method ASH_CLEANUP(ash_buf_free) = {0};
    take_members(req, c, &m, &method);
    req->notification = req->id.n_bytes == 0;
    start(req, &m, &method);
}

static size_t count_elements(struct json_cursor c)
{
    size_t n = 0;
    for (c.p++, json_skip_blanks(&c); *c.p != ']'; n++) {
        json_skip_value(&c);
        json_skip_blanks(&c);
        if (*c.p == ',')
            c.p++;
        json_skip_blanks(&c);
    }
    return n;
}

static void handle_batch(struct rpc_conn *conn, struct json_cursor *c)
{
    size_t n = count_elements(*c);
    struct rpc_batch *batch = n ? rt_alloc(sizeof(*batch)) : NULL;
    if (!n) {
        deliver(conn, NULL, invalid_request, sizeof(invalid_request) - 1);
        return;
    }
    if (!batch) {
        rpc_reply_error(conn, -ENOMEM, ash_strerror(ENOMEM));
        return;
    }
    batch->n_pending = n + 1; /* one for ourselves, so that it outlives the loop */
    c->p++;
    for (; n; n--) {
        json_skip_blanks(c);
        if (*c->p == '{') {
            handle_object(conn, batch, c);
        } else {
            json_skip_value(c);
            deliver(conn, batch, invalid_request, sizeof(invalid_request) - 1);
            batch_element_done(conn, batch);
        }
        json_skip_blanks(c);
        if (*c->p == ',')
            c->p++;
    }
    batch_element_done(conn, batch);
}

void rpc_handle_value(struct rpc_conn *conn, const char *text, size_t n_bytes)
{
    struct json_cursor c = {.p = text, .end = text + n_bytes};
    json_skip_blanks(&c);
    ASH_ASSERT(c.p < c.end);
    if (*c.p == '{')
        handle_object(conn, NULL, &c);
    else if (*c.p == '[')
        handle_batch(conn, &c);
    else
        deliver(conn, NULL, invalid_request, sizeof(invalid_request) - 1);
}
