/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the JSON-RPC face: the dispatcher and what its methods share. Control reactor only. */
#ifndef ASH_CTL_JSONRPC_RPC_H
#define ASH_CTL_JSONRPC_RPC_H

#include "base/method.h"
#include "ctl/jsonrpc/jsonrpc.h"

enum {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_INTERNAL_ERROR = -32603,
    RPC_WRONG_STATE = -1,
};

struct rpc_entry {
    const struct ash_method *method;
    struct ash_hnode node;
    bool alias_warned;
};

enum { RPC_N_NOTIFICATIONS = 1024 };

struct rpc_notification {
    const char *type;
    char name[128];
};

/* Options that SPDK's clients set and that Ashlar keeps as hints. */
struct rpc_hints {
    bool has_iobuf, has_scheduler;
    uint32_t bdev_io_pool_size, bdev_io_cache_size, iobuf_small_cache_size, iobuf_large_cache_size;
    uint64_t small_pool_count, large_pool_count;
    uint32_t small_bufsize, large_bufsize;
    bool enable_numa;
    char scheduler[16];
    uint64_t scheduler_period_us;
};

enum { RPC_N_LOG_FLAGS = 16 };

struct jsonrpc {
    struct ash_engine_part part;
    struct ash_engine *engine;
    struct jsonrpc_opts opts;

    struct ash_htab methods;
    struct rpc_entry *entries; /* in the order of the tables */
    size_t n_entries;

    bool running;  /* RUNTIME; false: STARTUP */
    bool starting; /* framework_start_init is at work */
    bool stopping; /* methods that wait for something should give up */
    struct rt_waitq started;
    uint64_t since_ns; /* when this was made */

    struct bdev_watch watch;
    struct rpc_notification *ring; /* RPC_N_NOTIFICATIONS */
    uint64_t n_notifications;      /* ever */

    struct rpc_hints hints;
    struct json_object *kept; /* methods_kept.c: "METHOD" or "METHOD OBJECT" to what it was told */
    struct ash_list samplers; /* methods_qd.c */
    struct rt_waitq sampler_gone;
    struct ash_list uuid_claims;      /* rpc_uuid_claim */
    struct ash_strlist examine_names; /* of bdev_examine */
    enum jsonrpc_log_level log_level, print_level;
    bool log_timestamps;
    uint32_t log_flags; /* bit per name */
};

/* The engine's dispatcher, made when it is not there yet. NULL when memory is out. */
struct jsonrpc *rpc_of(struct ash_engine *engine);

struct rpc_entry *rpc_find(struct jsonrpc *rpc, const char *method);
bool rpc_callable(const struct jsonrpc *rpc, const struct ash_method *method);
/* STARTUP -> RUNTIME. -EALREADY when it is there or on its way. */
int rpc_start(struct jsonrpc *rpc, struct ash_err *err) ASH_MAY_WAIT;
void rpc_log(struct jsonrpc *rpc, enum jsonrpc_log_level level, const char *fmt, ...)
    ASH_PRINTF(3, 4);

/* What may stop a call before its method runs: state. 0 or -EPERM with failure filled. */
int rpc_check(struct jsonrpc *rpc, struct rpc_entry *entry, struct jsonrpc_failure *failure,
              struct ash_err *err);
/* Decode and run. out: the result is appended (on failure it may hold half a result: cut it off).
 * duplicate: some object in params had a member twice. */
int rpc_run(struct jsonrpc *rpc, struct rpc_entry *entry, struct json_object *params,
            bool duplicate, struct ash_buf *out, struct jsonrpc_failure *failure,
            struct ash_err *err) ASH_MAY_WAIT;
int rpc_unknown_method(const char *method, struct jsonrpc_failure *failure, struct ash_err *err);

/* --- for methods --- */

/* Fail with another code than -errno. message NULL: strerror(rc). Returns rc. */
int rpc_fail(struct ash_call *call, int rc, int code, const char *fmt, ...) ASH_PRINTF(4, 5);
/* The failure of an asynchronous step: code with strerror(rc). 0 passes. */
int rpc_async(struct ash_call *call, int rc, int code);
int rpc_no_bdev(struct ash_call *call, const char *name);
void rpc_uuid(struct ash_jsonw *w, const char *name, const struct ash_uuid *uuid);

/* -ENODEV POOL_NOT_FOUND. */
int rpc_find_pool(struct ash_call *call, const char *name_or_uuid, struct pool **ret_pool);
/* A volume that has a device, by any of its names. -ENODEV VOLUME_NOT_FOUND. */
int rpc_find_volume(struct ash_call *call, const char *name, struct volume **ret_vol);
/* A chosen UUID belongs to the call that uses it until the call ends. -EEXIST POOL_NAME_TAKEN when
 * an open pool or another call has it; nil is always free. */
struct rpc_uuid_claim {
    struct ash_list link;
    struct ash_uuid uuid;
};
#define RPC_UUID_CLAIM_INIT(name)                                                                  \
    {                                                                                              \
        .link = { &(name).link, &(name).link }                                                     \
    }
int rpc_claim_pool_uuid(struct ash_call *call, struct rpc_uuid_claim *claim,
                        const struct ash_uuid *uuid);
static inline void rpc_uuid_release(struct rpc_uuid_claim *claim)
{
    ash_list_remove(&claim->link);
}
/* {"name": "value"} or [{"name","value"}] to attributes, values with their NUL as Longhorn stores
 * them. *ret_xattrs on the heap, borrowing from obj. -EINVAL. */
int rpc_take_xattrs(struct ash_call *call, struct json_object *obj,
                    struct volume_xattr **ret_xattrs, size_t *ret_n);

extern const struct ash_method rpc_core_methods[], rpc_log_methods[], rpc_bdev_methods[],
    rpc_lvol_methods[], rpc_lvol_attr_methods[], rpc_kept_methods[], rpc_qd_methods[],
    rpc_own_methods[], rpc_config_methods[];

/* Options that are kept for the sake of clients: as entries of a saved configuration, and one
 * value (NULL). */
void rpc_dump_kept(struct jsonrpc *rpc, const char *method, struct ash_jsonw *w);
/* Give the initiator what bdev_nvme_set_options kept; nothing before the engine has started. */
void rpc_apply_nvme_options(struct jsonrpc *rpc);
struct json_object *rpc_kept_value(struct jsonrpc *rpc, const char *method, const char *param);

/* Members of the device in bdev_get_iostat; nothing unless its queue depth is sampled. */
void rpc_dump_queue_depth(struct jsonrpc *rpc, const char *bdev_name, struct ash_jsonw *w);
void rpc_stop_sampling(struct jsonrpc *rpc) ASH_MAY_WAIT;

/* Configuration of one subsystem as an array of {"method","params"}; -ENOENT when unknown. */
int rpc_dump_subsystem(struct jsonrpc *rpc, const char *subsystem, struct ash_jsonw *w);
extern const char *const rpc_log_flag_names[RPC_N_LOG_FLAGS]; /* unused places are NULL */

/* --- connections (server.c) and requests (request.c) --- */

enum {
    RPC_REQUEST_MAX_BYTES = 1 << 20,
    RPC_REPLY_MAX_BYTES = 32 << 20,
    RPC_CONNECTIONS_MAX = 64,
    RPC_IN_FLIGHT_MAX = 1024, /* per connection; more wait in the socket */
};

struct rpc_conn;
struct rpc_batch;

struct rpc_request {
    struct ash_list link; /* of the server: idle ones */
    struct jsonrpc *rpc;
    struct rpc_conn *conn;
    struct rpc_batch *batch;
    struct rpc_entry *entry;
    struct json_object *params;
    bool duplicate, notification;
    struct ash_buf id;    /* as it is echoed */
    struct ash_buf reply; /* keeps its memory while idle */
};

/* Handle one complete value of a connection. */
void rpc_handle_value(struct rpc_conn *conn, const char *text, size_t n_bytes);
/* An error that belongs to no request. */
void rpc_reply_error(struct rpc_conn *conn, int code, const char *message);

struct jsonrpc *rpc_conn_rpc(struct rpc_conn *conn);
struct rpc_request *rpc_conn_request(struct rpc_conn *conn); /* NULL: no memory; counts in flight */
void rpc_conn_request_done(struct rpc_request *req);         /* gives it back */
void rpc_conn_send(struct rpc_conn *conn, const char *data, size_t n_bytes);
/* The same with a line end; takes the buffer's memory when nothing else is waiting to be sent. */
void rpc_conn_send_buf(struct rpc_conn *conn, struct ash_buf *buf);
/* A reply is lost: the connection must not go on. Ends with the next rpc_conn_step. */
void rpc_conn_kill(struct rpc_conn *conn);
/* After sends that happened outside of a server's callback. */
void rpc_conn_step(struct rpc_conn *conn);

#endif
