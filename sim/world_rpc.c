/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations over JSON-RPC on the simulated byte stream: the engine's own server at one
 * end, at the other a client that sends its requests in pieces (docs/spec/spdk-jsonrpc.md 1). */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "ctl/jsonrpc/jsonrpc.h"
#include "world.h"

enum { N_REPLY_MAX = 1 << 16 };

int sim_rpc_start(struct sim_world *w, struct ash_err *err)
{
    struct rt_sock *server;
    int rc = jsonrpc_serve_only(w->engine, NULL, &w->rpc_server, err);
    if (rc == 0)
        rc = rt_sock_pair(&w->rpc_sock, &server);
    return rc ? rc : jsonrpc_adopt(w->rpc_server, server);
}

void sim_rpc_stop(struct sim_world *w)
{
    if (w->rpc_sock) {
        rt_sock_shutdown(w->rpc_sock);
        rt_sock_close(w->rpc_sock);
    }
    w->rpc_sock = NULL;
    jsonrpc_close(w->rpc_server);
    w->rpc_server = NULL;
}

static int64_t transfer(struct sim_world *w, enum rt_op_kind kind, char *data, size_t n)
{
    struct rt_op op = {.kind = kind, .sock = w->rpc_sock};
    op.one_iov = (struct iovec){data, n};
    op.iov = &op.one_iov;
    op.n_iov = 1;
    return rt_op_wait(&op);
}

/* A whole reply, or NULL. */
static struct json_object *hear(struct sim_world *w)
{
    struct json_tokener *tok = json_tokener_new();
    struct json_object *reply = NULL;
    char buf[512];
    for (size_t n_total = 0; !reply && n_total < N_REPLY_MAX;) {
        int64_t n = transfer(w, RT_OP_RECV, buf, sizeof(buf));
        if (n <= 0)
            break;
        n_total += (size_t)n;
        reply = json_tokener_parse_ex(tok, buf, (int)n);
        if (!reply && json_tokener_get_error(tok) != json_tokener_continue)
            break;
    }
    json_tokener_free(tok);
    return reply;
}

/* rc of a reply's error, and its reason and text. */
static int failure(struct sim_world *w, struct json_object *error, struct ash_err *err)
{
    struct json_object *data, *name, *text;
    enum ash_reason reason;
    if (!json_object_object_get_ex(error, "message", &text) ||
        !json_object_object_get_ex(error, "data", &data) ||
        !json_object_object_get_ex(data, "reason", &name) ||
        ash_reason_parse(json_object_get_string(name), &reason) || reason == ASH_OK) {
        sim_wrong(w, "an error without reason over JSON-RPC: %s",
                  json_object_to_json_string(error));
        return -EPROTO;
    }
    return ash_err_set(err, reason, NULL, "%s", json_object_get_string(text));
}

int sim_rpc(struct sim_world *w, struct ash_err *err, const char *method, const char *fmt, ...)
{
    char request[1024], params[800];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(params, sizeof(params), fmt, ap);
    va_end(ap);
    int n = snprintf(request, sizeof(request),
                     "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\",\"params\":{%s}}",
                     ++w->rpc_id, method, params);
    ASH_ASSERT(n > 0 && (size_t)n < sizeof(request));
    size_t n_first = 1 + sim_next(&w->rpc_rng) % (unsigned)n;
    int64_t res = transfer(w, RT_OP_SEND, request, n_first);
    if (res >= 0 && n_first < (size_t)n)
        res = transfer(w, RT_OP_SEND, request + n_first, (size_t)n - n_first);
    struct json_object *reply = res < 0 ? NULL : hear(w), *id, *error;
    int rc = 0;
    w->counts.n_rpcs++;
    if (!reply || !json_object_object_get_ex(reply, "id", &id) ||
        (unsigned)json_object_get_int(id) != w->rpc_id) {
        sim_wrong(w, "%s over JSON-RPC is answered by: %s", method,
                  reply ? json_object_to_json_string(reply) : "nothing");
        rc = -EPROTO;
    } else if (json_object_object_get_ex(reply, "error", &error)) {
        rc = failure(w, error, err);
    }
    json_object_put(reply);
    return rc;
}

/* ---------------------------------------------------------------- operations */

bool sim_by_rpc(const struct sim_world *w, const struct sim_step *s)
{
    return w->engine && s->a[3] >> 20 & 1;
}

int sim_rpc_op(struct sim_world *w, const struct sim_step *s, const struct sim_op *op,
               struct ash_err *err)
{
    char v[ASH_UUID_TEXT_BYTES] = "", other[ASH_UUID_TEXT_BYTES] = "";
    unsigned long long bytes = op->n_bytes;
    if (op->v)
        ash_uuid_format(&op->v->uuid, v);
    if (op->other)
        ash_uuid_format(&op->other->uuid, other);
    switch (s->kind) {
    case SIM_CREATE:
        return sim_rpc(w, err, "bdev_lvol_create",
                       "\"lvs_name\":\"tank\",\"lvol_name\":\"%s\",\"size\":%llu,"
                       "\"thin_provision\":%s,\"lvol_uuid\":\"%s\"",
                       op->v->name, bytes, op->thin ? "true" : "false", v);
    case SIM_DELETE:
        return sim_rpc(w, err, "bdev_lvol_delete", "\"name\":\"%s\"", v);
    case SIM_SNAPSHOT:
        return sim_rpc(w, err, "bdev_lvol_snapshot",
                       "\"lvol_name\":\"%s\",\"snapshot_name\":\"%s\",\"lvol_uuid\":\"%s\"", v,
                       op->other->name, other);
    case SIM_CLONE:
        return sim_rpc(w, err, "bdev_lvol_clone",
                       "\"snapshot_name\":\"%s\",\"clone_name\":\"%s\",\"lvol_uuid\":\"%s\"", other,
                       op->v->name, v);
    case SIM_ESNAP:
        return sim_rpc(w, err, "bdev_lvol_clone_bdev",
                       "\"bdev\":\"%s\",\"lvs_name\":\"tank\",\"clone_name\":\"%s\","
                       "\"lvol_uuid\":\"%s\"",
                       sim_ext_name(w), op->v->name, v);
    case SIM_RESIZE:
        return sim_rpc(w, err, "bdev_lvol_resize", "\"name\":\"%s\",\"size\":%llu", v, bytes);
    case SIM_INFLATE:
        return sim_rpc(w, err, "bdev_lvol_inflate", "\"name\":\"%s\"", v);
    case SIM_DECOUPLE:
        return sim_rpc(w, err, "bdev_lvol_decouple_parent", "\"name\":\"%s\"", v);
    case SIM_DETACH:
        return sim_rpc(w, err, "bdev_lvol_detach_parent", "\"name\":\"%s\"", v);
    case SIM_SET_PARENT:
        return sim_rpc(w, err, "bdev_lvol_set_parent",
                       "\"lvol_name\":\"%s\",\"parent_name\":\"%s\"", v, other);
    case SIM_RENAME:
        return sim_rpc(w, err, "bdev_lvol_rename", "\"old_name\":\"%s\",\"new_name\":\"%s\"", v,
                       op->v->alt_name);
    case SIM_GROW:
        return sim_rpc(w, err, "pool_grow", "\"name\":\"tank\"");
    default:
        ASH_ASSERT(false);
        return -EINVAL;
    }
}
