/* SPDX-License-Identifier: Apache-2.0 */
/* Options that SPDK's clients set when they start and that mean nothing here, or nothing yet. They
 * are checked, kept and given back in the saved configuration, so that a client finds what it said.
 * Source: docs/spec/spdk-jsonrpc.md sections 1.8, 10, 11.
 *
 * rpc->kept maps "METHOD", or "METHOD OBJECT" for options of one object among several, to the
 * parameters that were given; a later call changes only what it names. */
#include "bdev/nvme/options.h"
#include "ctl/jsonrpc/rpc.h"

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "base/assert.h"

enum { N_SLOTS = 40 };

/* Place for the values of any of the tables below, by their number. */
struct kept_params {
    struct kept_slot {
        union {
            uint64_t u64;
            uint32_t u32;
            uint16_t u16;
            uint8_t u8;
            int32_t i32;
            bool yes;
            char *text;
            struct ash_strlist list;
        };
        bool given;
    } slot[N_SLOTS];
};

#define KEPT_FULL(idx, kname, ktype, kflags, khelp)                                                \
    {                                                                                              \
        .name = kname, .type = ktype, .flags = kflags,                                             \
        .offset = offsetof(struct kept_params, slot) + (idx) * sizeof(struct kept_slot),           \
        .has_offset = offsetof(struct kept_params, slot) + (idx) * sizeof(struct kept_slot) +      \
                      offsetof(struct kept_slot, given),                                           \
        .help = khelp                                                                              \
    }
#define KEPT(idx, kname, ktype) KEPT_FULL(idx, kname, ktype, 0, "kept, without effect")

static const struct ash_param scheduler_table[] = {
    KEPT(0, "isolated_core_mask", ASH_P_STR),
    KEPT(1, "scheduling_core", ASH_P_U32),
    {0},
};

static const struct ash_param accel_table[] = {
    KEPT(0, "small_cache_size", ASH_P_U32), KEPT(1, "large_cache_size", ASH_P_U32),
    KEPT(2, "task_count", ASH_P_U32),       KEPT(3, "sequence_count", ASH_P_U32),
    KEPT(4, "buf_count", ASH_P_U32),        {0},
};

static const struct ash_param sock_table[] = {
    KEPT_FULL(0, "impl_name", ASH_P_STR, ASH_P_REQUIRED, "posix, ssl or uring"),
    KEPT(1, "recv_buf_size", ASH_P_U32),
    KEPT(2, "send_buf_size", ASH_P_U32),
    KEPT(3, "enable_recv_pipe", ASH_P_BOOL),
    KEPT(4, "enable_quickack", ASH_P_BOOL),
    KEPT(5, "enable_placement_id", ASH_P_U32),
    KEPT(6, "enable_zerocopy_send_server", ASH_P_BOOL),
    KEPT(7, "enable_zerocopy_send_client", ASH_P_BOOL),
    KEPT(8, "zerocopy_threshold", ASH_P_U32),
    KEPT(9, "tls_version", ASH_P_U32),
    KEPT(10, "enable_ktls", ASH_P_BOOL),
    {0},
};

static const struct ash_param nvme_table[] = {
    KEPT_FULL(0, "action_on_timeout", ASH_P_STR, 0,
              "of a command that takes too long: none, reset or abort (reset)"),
    KEPT_FULL(1, "timeout_us", ASH_P_U64, 0, "limit for a command; 0: none (30 s)"),
    KEPT_FULL(2, "timeout_admin_us", ASH_P_U64, 0, "the same for admin commands; 0: 10 s"),
    KEPT_FULL(3, "keep_alive_timeout_ms", ASH_P_U32, 0,
              "the controller gives us up after so long (10000)"),
    KEPT(4, "transport_retry_count", ASH_P_U32),
    KEPT_FULL(5, "bdev_retry_count", ASH_P_I32, 0, "tries of what is refused for now; -1: 255 (3)"),
    KEPT(6, "transport_ack_timeout", ASH_P_U8),
    KEPT_FULL(7, "ctrlr_loss_timeout_sec", ASH_P_I32, 0, "as in bdev_nvme_attach_controller"),
    KEPT_FULL(8, "reconnect_delay_sec", ASH_P_U32, 0, "as in bdev_nvme_attach_controller"),
    KEPT_FULL(9, "fast_io_fail_timeout_sec", ASH_P_U32, 0, "as in bdev_nvme_attach_controller"),
    KEPT(10, "arbitration_burst", ASH_P_U32),
    KEPT(11, "low_priority_weight", ASH_P_U32),
    KEPT(12, "medium_priority_weight", ASH_P_U32),
    KEPT(13, "high_priority_weight", ASH_P_U32),
    KEPT(14, "nvme_adminq_poll_period_us", ASH_P_U64),
    KEPT(15, "nvme_ioq_poll_period_us", ASH_P_U64),
    KEPT_FULL(16, "io_queue_requests", ASH_P_U32, 0, "commands in flight on a queue (128)"),
    KEPT(17, "poll_group_requests", ASH_P_U32),
    KEPT(18, "delay_cmd_submit", ASH_P_BOOL),
    KEPT(19, "disable_auto_failback", ASH_P_BOOL),
    KEPT(20, "generate_uuids", ASH_P_BOOL),
    KEPT(21, "transport_tos", ASH_P_U8),
    KEPT(22, "nvme_error_stat", ASH_P_BOOL),
    KEPT(23, "io_path_stat", ASH_P_BOOL),
    KEPT(24, "allow_accel_sequence", ASH_P_BOOL),
    KEPT(25, "rdma_srq_size", ASH_P_U32),
    KEPT(26, "rdma_max_cq_size", ASH_P_U16),
    KEPT(27, "rdma_cm_event_timeout_ms", ASH_P_U16),
    KEPT(28, "rdma_umr_per_io", ASH_P_BOOL),
    KEPT(29, "tcp_connect_timeout_ms", ASH_P_U32),
    KEPT(30, "enable_flush", ASH_P_BOOL),
    KEPT(31, "dhchap_digests", ASH_P_STRLIST),
    KEPT(32, "dhchap_dhgroups", ASH_P_STRLIST),
    KEPT_FULL(33, "retry_count", ASH_P_U32, ASH_P_HIDDEN, "transport_retry_count of old"),
    {0},
};

static struct json_object *to_json(const struct ash_param *p, const struct kept_slot *s)
{
    switch (p->type) {
    case ASH_P_STR:
        return json_object_new_string(s->text);
    case ASH_P_BOOL:
        return json_object_new_boolean(s->yes);
    case ASH_P_U8:
        return json_object_new_uint64(s->u8);
    case ASH_P_U16:
        return json_object_new_uint64(s->u16);
    case ASH_P_U32:
        return json_object_new_uint64(s->u32);
    case ASH_P_I32:
        return json_object_new_int(s->i32);
    case ASH_P_STRLIST: {
        struct json_object *list = json_object_new_array();
        for (size_t i = 0; list && i < s->list.n_items; i++)
            json_object_array_add(list, json_object_new_string(s->list.items[i]));
        return list;
    }
    default:
        ASH_ASSERT(p->type == ASH_P_U64);
        return json_object_new_uint64(s->u64);
    }
}

/* Take over what was given. object: NULL, or the name of what the options are of. */
static int keep(struct ash_call *call, const char *method, const char *object,
                const struct ash_param *table, const struct kept_params *params)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    char key[128];
    struct json_object *old = NULL;
    snprintf(key, sizeof(key), "%s%s%s", method, object ? " " : "", object ? object : "");
    if (!rpc->kept)
        rpc->kept = json_object_new_object();
    if (!json_object_object_get_ex(rpc->kept, key, &old)) {
        old = json_object_new_object();
        json_object_object_add(rpc->kept, key, old);
    }
    for (size_t i = 0; table[i].name; i++)
        if (params->slot[i].given)
            json_object_object_add(old, table[i].name, to_json(&table[i], &params->slot[i]));
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int set_scheduler_options(struct ash_call *call, void *params)
{
    return keep(call, "scheduler_set_options", NULL, scheduler_table, params);
}

static int set_accel_options(struct ash_call *call, void *params)
{
    return keep(call, "accel_set_options", NULL, accel_table, params);
}

static int one_of(const char *text, const char *const *names)
{
    while (*names && strcmp(*names, text))
        names++;
    return *names ? 0 : -1;
}

static int set_sock_options(struct ash_call *call, void *params)
{
    static const char *const impls[] = {"posix", "ssl", "uring", NULL};
    const struct kept_params *p = params;
    if (one_of(p->slot[0].text, impls)) {
        int rc = ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->slot[0].text,
                             "there is no kind of socket '%s'", p->slot[0].text);
        return rpc_fail(call, rc, RPC_INVALID_PARAMS, "Invalid parameters");
    }
    return keep(call, "sock_impl_set_options", p->slot[0].text, sock_table, params);
}

static int set_nvme_options(struct ash_call *call, void *params)
{
    static const char *const actions[] = {"none", "reset", "abort", NULL};
    const struct kept_params *p = params;
    if (p->slot[0].given && one_of(p->slot[0].text, actions)) {
        int rc = ash_err_set(call->err, ASH_E_BAD_PARAMETER_TYPE, "action_on_timeout",
                             "parameter 'action_on_timeout' is none, reset or abort");
        return rpc_fail(call, rc, RPC_INTERNAL_ERROR, "spdk_json_decode_object failed");
    }
    if (p->slot[7].given && p->slot[7].i32 < -1)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, "ctrlr_loss_timeout_sec",
                           "ctrlr_loss_timeout_sec is -1 (for ever), 0 or more");
    int rc = keep(call, "bdev_nvme_set_options", NULL, nvme_table, params);
    rpc_apply_nvme_options(rpc_of(call->engine));
    return rc;
}

/* What of them has a meaning here; before the start of the engine they wait. */
void rpc_apply_nvme_options(struct jsonrpc *rpc)
{
    static const char *const actions[] = {
        [NVME_LATE_NONE] = "none", [NVME_LATE_RESET] = "reset", [NVME_LATE_ABORT] = "abort"};
    struct bdev_mgr *bdevs = ash_engine_bdevs(rpc->engine);
    struct json_object *kept = NULL;
    struct nvme_options o;
    if (!bdevs || !rpc->kept ||
        !json_object_object_get_ex(rpc->kept, "bdev_nvme_set_options", &kept))
        return;
    nvme_options_get(bdevs, &o);
    json_object_object_foreach(kept, key, v)
    {
        int64_t n = json_object_get_int64(v);
        for (size_t i = 0; !strcmp(key, "action_on_timeout") && i < ASH_N_ELEMS(actions); i++)
            if (!strcmp(json_object_get_string(v), actions[i]))
                o.late_action = (enum nvme_late_action)i;
        if (!strcmp(key, "timeout_us"))
            o.timeout_us = json_object_get_uint64(v);
        else if (!strcmp(key, "timeout_admin_us"))
            o.timeout_admin_us = json_object_get_uint64(v);
        else if (!strcmp(key, "keep_alive_timeout_ms"))
            o.keep_alive_ms = (uint32_t)n;
        else if (!strcmp(key, "bdev_retry_count"))
            o.n_retries = n < 0 ? UINT32_MAX : (uint32_t)n;
        else if (!strcmp(key, "ctrlr_loss_timeout_sec"))
            o.loss_s = (int32_t)n;
        else if (!strcmp(key, "reconnect_delay_sec"))
            o.delay_s = (uint32_t)n;
        else if (!strcmp(key, "fast_io_fail_timeout_sec"))
            o.fast_fail_s = (uint32_t)n;
        else if (!strcmp(key, "io_queue_requests") && n)
            o.depth = (uint32_t)ASH_MIN(n, (int64_t)UINT32_MAX);
    }
    nvme_options_set(bdevs, &o);
}

/* ------------------------------------------------------------- giving back */

void rpc_dump_kept(struct jsonrpc *rpc, const char *method, struct ash_jsonw *w)
{
    size_t n = strlen(method);
    if (!rpc->kept)
        return;
    json_object_object_foreach(rpc->kept, key, params)
    {
        if (strncmp(key, method, n) || (key[n] && key[n] != ' '))
            continue;
        const char *text = json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "method", method);
        ash_jsonw_raw(w, "params", text, strlen(text));
        ash_jsonw_obj_end(w);
    }
}

struct json_object *rpc_kept_value(struct jsonrpc *rpc, const char *method, const char *param)
{
    struct json_object *params = NULL, *value = NULL;
    if (rpc->kept && json_object_object_get_ex(rpc->kept, method, &params))
        json_object_object_get_ex(params, param, &value);
    return value;
}

#define ROW(row_name, row_help, row_table, row_flags, row_code, row_text, row_run)                 \
    {                                                                                              \
        .name = row_name, .help = row_help, .params = row_table,                                   \
        .params_bytes = sizeof(struct kept_params), .flags = row_flags, .decode_code = row_code,   \
        .decode_text = row_text, .run = row_run                                                    \
    }

const struct ash_method rpc_kept_methods[] = {
    ROW("scheduler_set_options", "Accepted for compatibility and kept", scheduler_table,
        ASH_M_STARTUP, RPC_INVALID_PARAMS, "Invalid parameters", set_scheduler_options),
    ROW("sock_impl_set_options", "Accepted for compatibility and kept", sock_table, ASH_M_STARTUP,
        RPC_INVALID_PARAMS, "Invalid parameters", set_sock_options),
    ROW("accel_set_options", "Accepted for compatibility and kept", accel_table, ASH_M_STARTUP,
        RPC_INVALID_PARAMS, "Invalid parameters", set_accel_options),
    ROW("bdev_nvme_set_options", "Defaults of NVMe controllers that are attached later", nvme_table,
        ASH_M_STARTUP | ASH_M_RUNTIME, 0, NULL, set_nvme_options),
    {0},
};
