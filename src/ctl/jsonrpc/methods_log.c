/* SPDX-License-Identifier: Apache-2.0 */
/* log_*: levels and flags. Source: docs/spec/spdk-jsonrpc.md 4.1. The print level decides what
 * rpc_log hands to the daemon's log; flags are kept, so that clients find what they set. */
#include "ctl/jsonrpc/rpc.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

enum { ANY_TIME = ASH_M_STARTUP | ASH_M_RUNTIME };

const char *const rpc_log_flag_names[RPC_N_LOG_FLAGS] = {
    "bdev", "blob",     "lvol",      "lvol_rpc", "vbdev_lvol", "nvmf",
    "nvme", "nvmf_tcp", "bdev_raid", "rpc",      "nbd",        "aio",
};

static const char *const level_names[] = {"DISABLED", "ERROR", "WARNING",
                                          "NOTICE",   "INFO",  "DEBUG"};

struct level_params {
    char *level;
};

static const struct ash_param level_table[] = {
    ASH_PARAM(struct level_params, level, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "DISABLED, ERROR, WARNING, NOTICE, INFO or DEBUG"),
    {0},
};

static int take_level(struct ash_call *call, const char *text, enum jsonrpc_log_level *ret_level)
{
    for (size_t i = 0; i < ASH_N_ELEMS(level_names); i++) {
        if (strcasecmp(text, level_names[i]) == 0) {
            *ret_level = (enum jsonrpc_log_level)i;
            ash_jsonw_bool(call->result, NULL, true);
            return 0;
        }
    }
    int rc = ash_err_set(call->err, ASH_E_BAD_ARGUMENT, text, "there is no log level '%s'", text);
    return rpc_fail(call, rc, RPC_INVALID_PARAMS, "invalid log level");
}

static int set_level(struct ash_call *call, void *params)
{
    struct level_params *p = params;
    return take_level(call, p->level, &rpc_of(call->engine)->log_level);
}

static int set_print_level(struct ash_call *call, void *params)
{
    struct level_params *p = params;
    struct jsonrpc *rpc = rpc_of(call->engine);
    int rc = take_level(call, p->level, &rpc->print_level);
    static const int levels[] = {
        [JSONRPC_LOG_DISABLED] = 1, /* alerts only, of which there are none */
        [JSONRPC_LOG_ERROR] = RT_LOG_ERR,
        [JSONRPC_LOG_WARNING] = RT_LOG_WARN,
        [JSONRPC_LOG_NOTICE] = RT_LOG_INFO - 1,
        [JSONRPC_LOG_INFO] = RT_LOG_INFO,
        [JSONRPC_LOG_DEBUG] = RT_LOG_DEBUG,
    };
    if (rc == 0)
        rt_set_log_level(rt_world(), (enum rt_log_level)levels[rpc->print_level]);
    return rc;
}

static int get_level(struct ash_call *call, void *params)
{
    ash_jsonw_str(call->result, NULL, level_names[rpc_of(call->engine)->log_level]);
    return 0;
}

static int get_print_level(struct ash_call *call, void *params)
{
    ash_jsonw_str(call->result, NULL, level_names[rpc_of(call->engine)->print_level]);
    return 0;
}

struct flag_params {
    char *flag;
};

static const struct ash_param flag_table[] = {
    ASH_PARAM(struct flag_params, flag, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name or shell pattern, or 'all'"),
    {0},
};

static int change_flags(struct ash_call *call, const char *pattern, bool on)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    uint32_t hit = 0;
    for (unsigned i = 0; i < RPC_N_LOG_FLAGS && rpc_log_flag_names[i]; i++)
        if (strcasecmp(pattern, "all") == 0 ||
            fnmatch(pattern, rpc_log_flag_names[i], FNM_CASEFOLD) == 0)
            hit |= 1u << i;
    if (!hit) {
        int rc = ash_err_set(call->err, ASH_E_BAD_ARGUMENT, pattern, "there is no log flag '%s'",
                             pattern);
        return rpc_fail(call, rc, RPC_INVALID_PARAMS, "invalid log flag");
    }
    rpc->log_flags = on ? rpc->log_flags | hit : rpc->log_flags & ~hit;
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int set_flag(struct ash_call *call, void *params)
{
    return change_flags(call, ((struct flag_params *)params)->flag, true);
}

static int clear_flag(struct ash_call *call, void *params)
{
    return change_flags(call, ((struct flag_params *)params)->flag, false);
}

static int get_flags(struct ash_call *call, void *params)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    ash_jsonw_obj(call->result, NULL);
    for (unsigned i = 0; i < RPC_N_LOG_FLAGS && rpc_log_flag_names[i]; i++)
        ash_jsonw_bool(call->result, rpc_log_flag_names[i], rpc->log_flags >> i & 1);
    ash_jsonw_obj_end(call->result);
    return 0;
}

struct timestamps_params {
    bool enabled;
};

static const struct ash_param timestamps_table[] = {
    ASH_PARAM(struct timestamps_params, enabled, ASH_P_BOOL, ASH_P_REQUIRED, NULL,
              "stored: the journal stamps each line"),
    {0},
};

static int enable_timestamps(struct ash_call *call, void *params)
{
    rpc_of(call->engine)->log_timestamps = ((struct timestamps_params *)params)->enabled;
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

const struct ash_method rpc_log_methods[] = {
    {.name = "log_set_level",
     .help = "Level of the system log",
     .params = level_table,
     .params_bytes = sizeof(struct level_params),
     .flags = ANY_TIME,
     .run = set_level},
    {.name = "log_get_level",
     .help = "Level of the system log",
     .flags = ANY_TIME | ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_level},
    {.name = "log_set_print_level",
     .help = "Level of what is printed to stderr",
     .params = level_table,
     .params_bytes = sizeof(struct level_params),
     .flags = ANY_TIME,
     .run = set_print_level},
    {.name = "log_get_print_level",
     .help = "Level of what is printed to stderr",
     .flags = ANY_TIME | ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_print_level},
    {.name = "log_set_flag",
     .help = "Switch debug flags on",
     .params = flag_table,
     .params_bytes = sizeof(struct flag_params),
     .flags = ANY_TIME,
     .run = set_flag},
    {.name = "log_clear_flag",
     .help = "Switch debug flags off",
     .params = flag_table,
     .params_bytes = sizeof(struct flag_params),
     .flags = ANY_TIME,
     .run = clear_flag},
    {.name = "log_get_flags",
     .help = "Debug flags and whether they are on",
     .flags = ANY_TIME | ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_flags},
    {.name = "log_enable_timestamps",
     .help = "Accepted for compatibility",
     .params = timestamps_table,
     .params_bytes = sizeof(struct timestamps_params),
     .flags = ASH_M_RUNTIME,
     .decode_code = RPC_INVALID_PARAMS,
     .run = enable_timestamps},
    {0},
};
