/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON-RPC face of an engine: SPDK's methods with SPDK's codes, and our own beside them.
 * Source: docs/spec/spdk-jsonrpc.md. Reference of all methods: docs/rpc.md.
 *
 * Two halves. The *dispatcher* belongs to the engine (made at the first use, freed with it): the
 * method table, the start-up state, notifications, stored options. *Servers* bring requests to it
 * from sockets; the command line and the configuration loader call it in-process. Every method runs
 * as a task on the control reactor. */
#ifndef ASH_CTL_JSONRPC_H
#define ASH_CTL_JSONRPC_H

#include "engine/engine.h"

struct json_object;
struct jsonrpc_server;

enum jsonrpc_log_level {
    JSONRPC_LOG_DISABLED,
    JSONRPC_LOG_ERROR,
    JSONRPC_LOG_WARNING,
    JSONRPC_LOG_NOTICE,
    JSONRPC_LOG_INFO,
    JSONRPC_LOG_DEBUG
};

/* Zero-initialise; everything is optional. Strings and tables must outlive the engine. */
struct jsonrpc_opts {
    /* Names, comma separated: other methods do not exist (--rpcs-allowed). */
    const char *allowed;
    /* Somebody wants the engine to end: signo of spdk_kill_instance, 0 for engine_stop. Runs inside
     * the method, must only ask for the end (its reply has not been sent yet). NULL: refused. */
    void (*stop)(void *arg, int signo);
    /* One line for people, level already checked against log_set_print_level. */
    void (*log)(void *arg, enum jsonrpc_log_level level, const char *text);
    void *arg;
    int pid; /* shown in framework_get_reactors */
    /* More methods: tables, the list ends with NULL. */
    const struct ash_method *const *extra;
};

/* Make the dispatcher of the engine with these options. -EEXIST when there is one already.
 * The state is STARTUP when the engine has not been started (ash_engine_opts.wait_for_start), else
 * RUNTIME. */
int jsonrpc_setup(struct ash_engine *engine, const struct jsonrpc_opts *opts, struct ash_err *err);

/* Serve on a socket: path of a Unix socket or "tcp://ADDRESS:PORT". Any number per engine.
 * mode  permissions of the socket file; 0: 0600
 * opts  as jsonrpc_setup when the dispatcher does not exist yet, otherwise NULL
 * Errors: those of rt_listen (RT_SOCKET_BUSY: another server has the path). */
int jsonrpc_listen(struct ash_engine *engine, const char *path, unsigned mode,
                   const struct jsonrpc_opts *opts, struct jsonrpc_server **ret_srv,
                   struct ash_err *err) ASH_MAY_WAIT;
/* Serve a connection that exists already; without a listener of its own when srv came from
 * jsonrpc_serve_only. Takes the socket, also on failure. */
int jsonrpc_adopt(struct jsonrpc_server *srv, struct rt_sock *sock);
int jsonrpc_serve_only(struct ash_engine *engine, const struct jsonrpc_opts *opts,
                       struct jsonrpc_server **ret_srv, struct ash_err *err);
/* Stop reading, let running requests end, deliver their replies (clients that do not take them
 * within two seconds lose them), close everything. Not from inside a method. NULL is fine. */
void jsonrpc_close(struct jsonrpc_server *srv) ASH_MAY_WAIT;

/* What a JSON-RPC client would have been told. */
struct jsonrpc_failure {
    int code;
    char message[512];
};

/* Call a method in-process.
 * params       object, or NULL; borrowed
 * out          the result's JSON is appended; untouched on failure
 * ret_failure  may be NULL
 * Returns 0 or -errno: RPC_METHOD when there is no such method, else what the method says. */
int jsonrpc_call_full(struct ash_engine *engine, const char *method, struct json_object *params,
                      struct ash_buf *out, struct jsonrpc_failure *ret_failure,
                      struct ash_err *err) ASH_MAY_WAIT;
static inline int jsonrpc_call(struct ash_engine *engine, const char *method,
                               struct json_object *params, struct ash_buf *out, struct ash_err *err)
{
    return jsonrpc_call_full(engine, method, params, out, NULL, err);
}

/* Strict JSON (docs/spec/spdk-jsonrpc.md 1.3) to json-c's tree; one value, blanks around it.
 * -EINVAL RPC_PARSE. A null value gives *ret_value = NULL. */
int jsonrpc_parse(const char *text, size_t n_bytes, struct json_object **ret_value,
                  struct ash_err *err);

/* Run a configuration file {"subsystems":[{"subsystem","config":[{"method","params"}]}]}: comments
 * are allowed, entries may be arrays of entries, framework_start_init is called when the state
 * wants it. ignore_errors: go on after entries that fail (they are logged). */
int jsonrpc_load_config(struct ash_engine *engine, const char *text, size_t n_bytes,
                        bool ignore_errors, struct ash_err *err) ASH_MAY_WAIT;
/* The same form, from the live state. */
int jsonrpc_save_config(struct ash_engine *engine, struct ash_buf *out,
                        struct ash_err *err) ASH_MAY_WAIT;

/* The text of docs/rpc.md, and the help of one method (-ENOSYS RPC_METHOD). */
int jsonrpc_reference(struct ash_engine *engine, struct ash_buf *out, struct ash_err *err);
int jsonrpc_method_help(struct ash_engine *engine, const char *method, struct ash_buf *out,
                        struct ash_err *err);

#endif
