/* SPDX-License-Identifier: Apache-2.0 */
/* A named operation of the control plane: one row holds name, parameters, help and the function.
 * JSON-RPC dispatch, `ashlar rpc` help and the reference page all come from such rows. The rows of
 * a bdev module stand in the module's own file; nothing here knows a wire protocol. */
#ifndef ASH_BASE_METHOD_H
#define ASH_BASE_METHOD_H

#include "base/err.h"
#include "base/jsonw.h"
#include "base/param.h"

struct bdev_mgr;
struct pool_mgr;
struct ash_engine;

struct ash_call {
    struct bdev_mgr *bdevs;
    struct pool_mgr *pools;
    struct ash_engine *engine;
    struct ash_jsonw *result; /* write exactly one value on success, none on failure */
    struct ash_err *err;
    /* JSON-RPC code and message when they are not (-errno, strerror): 0 / empty = default.
     * See docs/spec/spdk-jsonrpc.md section 2. */
    int rpc_code;
    char rpc_message[160];
};

enum {
    ASH_M_STARTUP = 1u << 0,   /* callable before framework_start_init */
    ASH_M_RUNTIME = 1u << 1,   /* callable after it; neither bit = RUNTIME */
    ASH_M_RELAXED = 1u << 2,   /* unknown parameters are ignored */
    ASH_M_NO_PARAMS = 1u << 3, /* takes none; {} and null are fine */
    ASH_M_HIDDEN = 1u << 4,    /* stale alias: answered, listed only with include_aliases */
    ASH_M_READ_ONLY = 1u << 5, /* changes nothing */
};

struct ash_method {
    const char *name; /* a table of rows ends with NULL */
    const char *help;
    const struct ash_param *params; /* NULL: none */
    size_t params_bytes;            /* struct that run() gets, zeroed and decoded */
    unsigned flags;
    int decode_code;         /* JSON-RPC code of a decode failure; 0 = -32603 */
    const char *decode_text; /* its message; NULL = "spdk_json_decode_object failed" */
    /* Runs as a task on the control reactor. 0 or -errno with call->err set. */
    int (*run)(struct ash_call *call, void *params);
};

#endif
