/* SPDX-License-Identifier: Apache-2.0 */
/* Where a command's methods run: in the daemon, over its socket, or in this process on the disks of
 * --disk. Both ways end in the same methods, so a command is written once. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "ctl/cli/cmd.h"
#include "ctl/jsonrpc/jsonrpc.h"

#define MAX_REPLY_BYTES (256u << 20)

struct cli_session {
    struct ash_engine *engine;
    struct rt_sock *sock;
    struct json_tokener *tok;
    uint64_t next_id;
    char buf[16384];
};

const char *cli_socket_path(struct cli *cli, char *buf, size_t n_buf)
{
    const char *given = cli_opt(cli, "socket");
    const char *env = cli->host->env("ASHLAR_SOCKET");
    const char *run = cli->host->env("XDG_RUNTIME_DIR");
    if (given)
        snprintf(buf, n_buf, "%s", given);
    else if (env && *env)
        snprintf(buf, n_buf, "%s", env);
    else if (cli->host->uid() == 0)
        snprintf(buf, n_buf, "/var/tmp/spdk.sock");
    else if (run && *run)
        snprintf(buf, n_buf, "%s/ashlar.sock", run);
    else
        snprintf(buf, n_buf, "/tmp/ashlar-%u/ashlar.sock", cli->host->uid());
    return buf;
}

static int session(struct cli *cli, struct cli_session **ret, struct ash_err *err)
{
    if (!cli->session) {
        cli->session = rt_alloc(sizeof(*cli->session));
        if (!cli->session)
            return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for a session");
        cli->session->next_id = 1;
    }
    *ret = cli->session;
    return 0;
}

void cli_session_end(struct cli *cli)
{
    struct cli_session *s = cli->session;
    if (!s)
        return;
    ash_engine_destroy(s->engine);
    if (s->sock)
        rt_sock_close(s->sock);
    if (s->tok)
        json_tokener_free(s->tok);
    rt_free(s);
    cli->session = NULL;
}

/* ------------------------------------------------------------ in-process */

int cli_disk_uri(struct cli *cli, const char *disk, struct ash_buf *out, struct ash_err *err)
{
    char path[4096];
    ash_buf_reset(out);
    if (strstr(disk, "://")) {
        ash_buf_str(out, disk);
    } else {
        int rc = cli->host->abs_path(disk, path, sizeof(path));
        if (rc)
            return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, disk, "%s: %s", disk,
                                  ash_strerror(rc));
        if (!rt_path_exists(path))
            return ash_err_set_rc(err, -ENOENT, ASH_E_RT_FILE_OPEN, disk,
                                  "%s: no such file or device", disk);
        ash_buf_str(out, path);
    }
    return out->failed ? ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory") : 0;
}

/* Say in the URI of a file or block device that it is not to be written. Other devices are made as
 * they are: nothing outside of this process depends on them. */
static void make_read_only(struct ash_buf *uri)
{
    struct ash_buf out = {0};
    const char *text = ash_buf_text(uri);
    if (text[0] == '/') {
        ash_buf_str(&out, "aio://");
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
            ash_buf_fmt(&out, strchr("%?#", *p) || *p <= ' ' || *p >= 0x7f ? "%%%02X" : "%c", *p);
        ash_buf_str(&out, "?readonly");
    } else if (ash_starts_with(text, "aio:") || ash_starts_with(text, "uring:")) {
        ash_buf_add(&out, text, strcspn(text, "#"));
        ash_buf_fmt(&out, "%creadonly", strchr(ash_buf_text(&out), '?') ? '&' : '?');
    } else {
        return;
    }
    ash_buf_free(uri);
    *uri = out;
}

int cli_add_disk(struct cli *cli, struct ash_engine *engine, const char *disk, bool read_only,
                 char **ret_name, struct ash_err *err)
{
    ASH_CLEANUP(ash_buf_free) struct ash_buf uri = {0};
    char *name = NULL;
    int rc = cli_disk_uri(cli, disk, &uri, err);
    if (!rc && read_only)
        make_read_only(&uri);
    if (!rc && uri.failed)
        rc = ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
    if (!rc)
        rc = bdev_create_uri(ash_engine_bdevs(engine), ash_buf_text(&uri), &name, err);
    if (rc)
        return ash_err_while(err, rc, "opening disk %s", disk);
    if (ret_name)
        *ret_name = name;
    else
        rt_free(name);
    return 0;
}

int cli_engine(struct cli *cli, bool read_only, struct ash_engine **ret_engine, struct ash_err *err)
{
    struct cli_session *s = NULL;
    int rc = session(cli, &s, err);
    if (rc)
        return rc;
    if (!s->engine) {
        struct ash_engine_opts opts = {.pools_read_only = read_only};
        rc = ash_engine_create(&opts, &s->engine, err);
        if (rc)
            return rc;
        const char *disk;
        for (size_t i = 0; (disk = cli_opt_nth(cli, "disk", i)); i++) {
            rc = cli_add_disk(cli, s->engine, disk, read_only, NULL, err);
            if (rc)
                return rc;
        }
        bdev_wait_for_examine(ash_engine_bdevs(s->engine));
    }
    *ret_engine = s->engine;
    return 0;
}

static int call_here(struct cli *cli, const char *method, struct json_object *params,
                     struct ash_buf *text, struct ash_err *err)
{
    struct ash_engine *engine;
    int rc = cli_engine(cli, cli->cmd->flags & CLI_C_READ_ONLY, &engine, err);
    if (rc)
        return rc;
    return jsonrpc_call(engine, method, params, text, err);
}

/* ------------------------------------------------------- over the socket */

static int connect_daemon(struct cli *cli, struct cli_session *s, struct ash_err *err)
{
    char path[512], address[600];
    struct ash_err why = {.reason = ASH_OK};
    cli_socket_path(cli, path, sizeof(path));
    if (strstr(path, "://"))
        snprintf(address, sizeof(address), "%s", path);
    else
        snprintf(address, sizeof(address), "unix://%s", path);
    if (path[0] != '/' && !strstr(path, "://")) {
        char full[500];
        int rc = cli->host->abs_path(path, full, sizeof(full));
        if (rc)
            return ash_err_set_rc(err, rc, ASH_E_RT_BAD_ADDRESS, path, "socket %s: %s", path,
                                  ash_strerror(rc));
        snprintf(address, sizeof(address), "unix://%s", full);
    }
    int rc = rt_connect(address, &s->sock, &why);
    if (rc)
        return ash_err_set_rc(err, -EIO, ASH_E_RPC_CONNECT, path, "no daemon on socket %s: %s",
                              path, ash_strerror(rc));
    s->tok = json_tokener_new_ex(64);
    return s->tok ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
}

static int64_t transfer(struct cli_session *s, uint8_t kind, void *buf, size_t n_bytes)
{
    struct rt_op op = {.kind = kind, .sock = s->sock, .n_iov = 1};
    op.one_iov = (struct iovec){buf, n_bytes};
    op.iov = &op.one_iov;
    return rt_op_wait(&op);
}

static int receive(struct cli_session *s, struct json_object **ret_reply, struct ash_err *err)
{
    size_t n_total = 0;
    json_tokener_reset(s->tok);
    for (;;) {
        int64_t n = transfer(s, RT_OP_RECV, s->buf, sizeof(s->buf));
        if (n <= 0)
            return ash_err_set(err, ASH_E_RPC_PROTOCOL, NULL, "the daemon hung up: %s",
                               n ? ash_strerror((int)n) : "end of the stream");
        n_total += (size_t)n;
        struct json_object *obj = json_tokener_parse_ex(s->tok, s->buf, (int)n);
        enum json_tokener_error e = json_tokener_get_error(s->tok);
        if (e == json_tokener_success) {
            *ret_reply = obj;
            return 0;
        }
        if (e != json_tokener_continue || n_total > MAX_REPLY_BYTES)
            return ash_err_set(err, ASH_E_RPC_PROTOCOL, NULL, "the answer is not JSON: %s",
                               json_tokener_error_desc(e));
    }
}

/* The nearest reason for what a server told: only number and text travel. */
static enum ash_reason reason_of(const char *method, int err_no)
{
    bool pool = strstr(method, "lvstore") || ash_starts_with(method, "pool_");
    bool vol = !pool && (strstr(method, "lvol") || ash_starts_with(method, "volume_"));
    bool nbd = ash_starts_with(method, "nbd_");
    switch (err_no) {
    case ENOENT:
    case ENODEV:
        return pool  ? ASH_E_POOL_NOT_FOUND
               : vol ? ASH_E_VOLUME_NOT_FOUND
               : nbd ? ASH_E_EXPORT_NOT_FOUND
                     : ASH_E_BDEV_NOT_FOUND;
    case EEXIST:
        return pool  ? ASH_E_POOL_NAME_TAKEN
               : vol ? ASH_E_VOLUME_NAME_TAKEN
               : nbd ? ASH_E_EXPORT_EXISTS
                     : ASH_E_BDEV_EXISTS;
    case EBUSY:
        return pool ? ASH_E_POOL_BUSY : vol ? ASH_E_VOLUME_OPEN : ASH_E_BDEV_BUSY;
    case EADDRINUSE:
        return ASH_E_RT_SOCKET_BUSY;
    case ENOSPC:
        return ASH_E_POOL_FULL;
    case ENOMEM:
        return ASH_E_NO_MEMORY;
    case EPERM:
        return vol ? ASH_E_VOLUME_READ_ONLY : ASH_E_BDEV_CLAIMED;
    case EINVAL:
        return ASH_E_BAD_ARGUMENT;
    case ENOTSUP:
        return ASH_E_NOT_SUPPORTED;
    case ENOSYS:
        return ASH_E_RPC_METHOD;
    case ETIMEDOUT:
        return ASH_E_TIMED_OUT;
    case ECANCELED:
        return ASH_E_CANCELED;
    case EIO:
        return ASH_E_BDEV_IO;
    default:
        return ASH_E_INTERNAL;
    }
}

/* Codes of docs/spec/spdk-jsonrpc.md section 2. */
static int errno_of(int code, const char *message)
{
    static const int known[] = {ENOENT, EIO,    ENOMEM,  EBUSY,     EEXIST, ENODEV,
                                EINVAL, ENOSPC, ENOTSUP, ETIMEDOUT, EPERM,  EADDRINUSE,
                                EROFS,  EILSEQ, ENXIO,   ECANCELED};
    if (code == -32601)
        return ENOSYS;
    if (code < 0 && code > -4096)
        return -code;
    for (size_t i = 0; i < ASH_N_ELEMS(known); i++) {
        if (strstr(message, ash_strerror(known[i])))
            return known[i];
    }
    return code == -32602 || code == -32700 || code == -32600 ? EINVAL : EIO;
}

static int remote_failure(struct cli *cli, const char *method, struct json_object *error,
                          struct ash_err *err)
{
    struct json_object *code_obj = cli_jget(error, "code");
    const char *message = cli_jstr(error, "message");
    int code = code_obj ? json_object_get_int(code_obj) : -32603;
    int err_no = errno_of(code, message);
    enum ash_reason reason = reason_of(method, err_no);
    /* Our server tells more than SPDK's. */
    struct json_object *data = cli_jget(error, "data");
    if (data && !ash_reason_parse(cli_jstr(data, "reason"), &reason)) {
        const char *object = cli_jstr(data, "object"), *detail = cli_jstr(data, "detail");
        err_no = ash_reason_errno(reason);
        if (!strcmp(cli->cmd->name, "rpc"))
            ash_err_set_rc(err, -err_no, reason, object, "%s: %s (code %d)", method,
                           *detail ? detail : message, code);
        return ash_err_set_rc(err, -err_no, reason, object, "%s", *detail ? detail : message);
    }
    return ash_err_set_rc(err, -err_no, reason, method, "%s: %s (code %d)", method, message, code);
}

static int call_there(struct cli *cli, const char *method, struct json_object *params,
                      struct json_object **ret_result, struct ash_err *err)
{
    struct cli_session *s = NULL;
    int rc = session(cli, &s, err);
    if (!rc && !s->sock)
        rc = connect_daemon(cli, s, err);
    if (rc)
        return rc;
    struct json_object *req = json_object_new_object();
    json_object_object_add(req, "jsonrpc", json_object_new_string("2.0"));
    json_object_object_add(req, "id", json_object_new_uint64(s->next_id++));
    json_object_object_add(req, "method", json_object_new_string(method));
    if (params)
        json_object_object_add(req, "params", json_object_get(params));
    ASH_CLEANUP(ash_buf_free) struct ash_buf text = {0};
    ash_buf_str(&text, json_object_to_json_string_ext(req, JSON_C_TO_STRING_PLAIN));
    ash_buf_chr(&text, '\n');
    json_object_put(req);
    if (text.failed)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the request");
    int64_t n = transfer(s, RT_OP_SEND, text.data, text.n_bytes);
    if (n < 0)
        return ash_err_set(err, ASH_E_RPC_PROTOCOL, NULL, "sending to the daemon: %s",
                           ash_strerror((int)n));
    struct json_object *reply = NULL, *error;
    rc = receive(s, &reply, err);
    if (rc)
        return rc;
    struct json_object *result = NULL;
    if ((error = cli_jget(reply, "error")))
        rc = remote_failure(cli, method, error, err);
    else if (json_object_object_get_ex(reply, "result", &result))
        *ret_result = json_object_get(result);
    else
        rc = ash_err_set(err, ASH_E_RPC_PROTOCOL, NULL, "%s: the answer has no result", method);
    json_object_put(reply);
    return rc;
}

int cli_call(struct cli *cli, const char *method, struct json_object *params,
             struct json_object **ret_result, struct ash_err *err)
{
    int rc;
    struct json_object *result = NULL;
    if (cli_opt(cli, "disk") && cli_opt(cli, "socket")) {
        rc = ash_err_set(err, ASH_E_USAGE, NULL, "--disk and --socket exclude each other");
    } else if (cli_opt(cli, "disk")) {
        ASH_CLEANUP(ash_buf_free) struct ash_buf text = {0};
        rc = call_here(cli, method, params, &text, err);
        if (!rc)
            rc = jsonrpc_parse(ash_buf_text(&text), text.n_bytes, &result, err);
    } else {
        rc = call_there(cli, method, params, &result, err);
    }
    json_object_put(params);
    if (rc)
        return rc;
    if (ret_result)
        *ret_result = result;
    else
        json_object_put(result);
    return 0;
}

/* ------------------------------------------------------- reading results */

struct json_object *cli_jget(struct json_object *obj, const char *key)
{
    struct json_object *value = NULL;
    if (!json_object_is_type(obj, json_type_object) || !json_object_object_get_ex(obj, key, &value))
        return NULL;
    return value;
}

const char *cli_jstr(struct json_object *obj, const char *key)
{
    struct json_object *value = cli_jget(obj, key);
    return value ? json_object_get_string(value) : "";
}

uint64_t cli_ju64(struct json_object *obj, const char *key)
{
    struct json_object *value = cli_jget(obj, key);
    return value ? json_object_get_uint64(value) : 0;
}

bool cli_jbool(struct json_object *obj, const char *key)
{
    struct json_object *value = cli_jget(obj, key);
    return value && json_object_get_boolean(value);
}

struct json_object *cli_params(const char *key, ...)
{
    struct json_object *obj = json_object_new_object();
    va_list ap;
    va_start(ap, key);
    for (; key; key = va_arg(ap, const char *)) {
        const char *value = va_arg(ap, const char *);
        if (value)
            json_object_object_add(obj, key, json_object_new_string(value));
    }
    va_end(ap);
    return obj;
}
