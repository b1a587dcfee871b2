/* SPDX-License-Identifier: Apache-2.0 */
/* Methods about the process itself: what there is, start-up, threads, notifications, stored
 * options. Source: docs/spec/spdk-jsonrpc.md sections 4, 11. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ashlar/ashlar.h"

enum { ANY_TIME = ASH_M_STARTUP | ASH_M_RUNTIME };

struct get_methods_params {
    bool current, include_aliases;
};

static const struct ash_param get_methods_table[] = {
    ASH_PARAM(struct get_methods_params, current, ASH_P_BOOL, 0, "false",
              "only methods that may be called now"),
    ASH_PARAM(struct get_methods_params, include_aliases, ASH_P_BOOL, 0, "false",
              "old names as well"),
    {0},
};

static int get_methods(struct ash_call *call, void *params)
{
    const struct get_methods_params *p = params;
    struct jsonrpc *rpc = rpc_of(call->engine);
    ash_jsonw_arr(call->result, NULL);
    for (size_t i = 0; i < rpc->n_entries; i++) {
        const struct ash_method *m = rpc->entries[i].method;
        if ((p->current && !rpc_callable(rpc, m)) ||
            (!p->include_aliases && (m->flags & ASH_M_HIDDEN)))
            continue;
        ash_jsonw_str(call->result, NULL, m->name);
    }
    ash_jsonw_arr_end(call->result);
    return 0;
}

static int get_version(struct ash_call *call, void *params)
{
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "version", "SPDK v26.05 (Ashlar " ASHLAR_VERSION ")");
    ash_jsonw_obj(w, "fields");
    ash_jsonw_u64(w, "major", 26);
    ash_jsonw_u64(w, "minor", 5);
    ash_jsonw_u64(w, "patch", 0);
    ash_jsonw_str(w, "suffix", "");
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
    return 0;
}

/* ---------------------------------------------------------------- start-up */

static int start_init(struct ash_call *call, void *params)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    int rc = rpc_start(rpc, call->err);
    if (rc && rc != -EALREADY && rpc->opts.stop)
        rpc->opts.stop(rpc->opts.arg, 0); /* as SPDK: what cannot start ends */
    if (rc)
        return rpc_fail(call, rc, RPC_INTERNAL_ERROR, "framework_initialization failed");
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int wait_init(struct ash_call *call, void *params)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    while (!rpc->running && !rpc->stopping)
        rt_waitq_wait(&rpc->started);
    if (!rpc->running)
        return ash_err_set(call->err, ASH_E_CANCELED, NULL, "the engine ends before it started");
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int get_subsystems(struct ash_call *call, void *params)
{
    static const struct {
        const char *name, *depends_on[4];
    } subsystems[] = {{"scheduler", {NULL}},
                      {"sock", {NULL}},
                      {"iobuf", {NULL}},
                      {"accel", {"iobuf"}},
                      {"bdev", {"accel", "sock", "iobuf"}},
                      {"nbd", {"bdev"}},
                      {"nvmf", {"bdev"}}};
    struct ash_jsonw *w = call->result;
    ash_jsonw_arr(w, NULL);
    for (size_t i = 0; i < ASH_N_ELEMS(subsystems); i++) {
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "subsystem", subsystems[i].name);
        ash_jsonw_arr(w, "depends_on");
        for (const char *const *d = subsystems[i].depends_on; *d; d++)
            ash_jsonw_str(w, NULL, *d);
        ash_jsonw_arr_end(w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    return 0;
}

static const struct ash_enum signals[] = {
    {"SIGINT", SIGINT}, {"SIGTERM", SIGTERM}, {"SIGQUIT", SIGQUIT},
    {"SIGHUP", SIGHUP}, {"SIGKILL", SIGKILL}, {"SIGUSR1", SIGUSR1},
    {"2", SIGINT},      {"15", SIGTERM},      {"3", SIGQUIT},
    {"1", SIGHUP},      {"9", SIGKILL},       {"10", SIGUSR1},
    {NULL, 0},
};

struct kill_params {
    struct json_object *sig_name;
};

static const struct ash_param kill_table[] = {
    ASH_PARAM(struct kill_params, sig_name, ASH_P_JSON, ASH_P_REQUIRED, NULL,
              "SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGKILL or SIGUSR1 (a number is fine too)"),
    {0},
};

static int ask_to_stop(struct ash_call *call, int signo)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    if (!rpc->opts.stop)
        return ash_err_set(call->err, ASH_E_NOT_SUPPORTED, NULL,
                           "this engine cannot be stopped by a method");
    ash_jsonw_bool(call->result, NULL, true);
    rpc->opts.stop(rpc->opts.arg, signo);
    return 0;
}

static int kill_instance(struct ash_call *call, void *params)
{
    const struct kill_params *p = params;
    const char *text = json_object_is_type(p->sig_name, json_type_string) ||
                               json_object_is_type(p->sig_name, json_type_int)
                           ? json_object_get_string(p->sig_name)
                           : "";
    for (const struct ash_enum *e = signals; e->name; e++)
        if (strcmp(e->name, text) == 0)
            return ask_to_stop(call, e->value);
    int rc = ash_err_set(call->err, ASH_E_BAD_PARAMETER_TYPE, "sig_name",
                         "parameter 'sig_name' is no signal that can be sent");
    return rpc_fail(call, rc, RPC_INVALID_PARAMS, "Invalid parameters: unknown signal");
}

static int engine_stop(struct ash_call *call, void *params)
{
    return ask_to_stop(call, 0);
}

/* ----------------------------------------------------------------- threads */

#define TICK_RATE 1000000000ull

static uint64_t idle_ns(const struct jsonrpc *rpc, const struct rt_stats *stats)
{
    uint64_t age_ns = rt_now_ns() - rpc->since_ns;
    return age_ns > stats->busy_ns ? age_ns - stats->busy_ns : 0;
}

static void thread_name(unsigned idx, char *buf, size_t n_buf)
{
    if (idx == 0)
        snprintf(buf, n_buf, "app_thread");
    else
        snprintf(buf, n_buf, "reactor_%u", idx);
}

static void cpumask(unsigned idx, char *buf, size_t n_buf)
{
    snprintf(buf, n_buf, "%llx", 1ull << (idx % 64));
}

static int get_reactors(struct ash_call *call, void *params)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "tick_rate", TICK_RATE);
    ash_jsonw_i64(w, "pid", rpc->opts.pid);
    ash_jsonw_arr(w, "reactors");
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        struct rt_reactor *reactor = rt_reactor(rt_world(), i);
        struct rt_stats stats;
        rt_reactor_stats(reactor, &stats);
        uint64_t idle = idle_ns(rpc, &stats);
        char text[32];
        ash_jsonw_obj(w, NULL);
        ash_jsonw_u64(w, "lcore", i);
        ash_jsonw_u64(w, "busy", stats.busy_ns);
        ash_jsonw_u64(w, "idle", idle);
        ash_jsonw_bool(w, "in_interrupt", true);
        ash_jsonw_arr(w, "lw_threads");
        ash_jsonw_obj(w, NULL);
        thread_name(i, text, sizeof(text));
        ash_jsonw_str(w, "name", text);
        ash_jsonw_u64(w, "id", i + 1);
        cpumask(i, text, sizeof(text));
        ash_jsonw_str(w, "cpumask", text);
        ash_jsonw_u64(w, "elapsed", stats.busy_ns + idle);
        ash_jsonw_obj_end(w);
        ash_jsonw_arr_end(w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
    return 0;
}

static int get_thread_stats(struct ash_call *call, void *params)
{
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "tick_rate", TICK_RATE);
    ash_jsonw_arr(w, "threads");
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        struct rt_reactor *reactor = rt_reactor(rt_world(), i);
        struct rt_stats stats;
        rt_reactor_stats(reactor, &stats);
        char text[32];
        ash_jsonw_obj(w, NULL);
        thread_name(i, text, sizeof(text));
        ash_jsonw_str(w, "name", text);
        ash_jsonw_u64(w, "id", i + 1);
        cpumask(i, text, sizeof(text));
        ash_jsonw_str(w, "cpumask", text);
        ash_jsonw_u64(w, "busy", stats.busy_ns);
        ash_jsonw_u64(w, "idle", idle_ns(rpc_of(call->engine), &stats));
        /* reactors wait for events: there are no pollers */
        ash_jsonw_u64(w, "active_pollers_count", 0);
        ash_jsonw_u64(w, "timed_pollers_count", 0);
        ash_jsonw_u64(w, "paused_pollers_count", 0);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
    return 0;
}

/* Reactors wait for events: nothing is polled. */
static int get_pollers(struct ash_call *call, void *params)
{
    static const char *const kinds[] = {"active_pollers", "timed_pollers", "paused_pollers"};
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "tick_rate", TICK_RATE);
    ash_jsonw_arr(w, "threads");
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        char text[32];
        ash_jsonw_obj(w, NULL);
        thread_name(i, text, sizeof(text));
        ash_jsonw_str(w, "name", text);
        ash_jsonw_u64(w, "id", i + 1);
        for (size_t k = 0; k < ASH_N_ELEMS(kinds); k++) {
            ash_jsonw_arr(w, kinds[k]);
            ash_jsonw_arr_end(w);
        }
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
    return 0;
}

struct channel_row {
    char name[128];
    unsigned n_users[RT_MAX_REACTORS];
};

/* Who uses which device. The list of devices may change while each is asked. */
static int collect_channels(struct ash_call *call, struct channel_row **ret_rows, size_t *ret_n)
{
    size_t n = 0, n_rows = 0;
    for (struct bdev *b = bdev_next(call->bdevs, NULL); b; b = bdev_next(call->bdevs, b))
        n++;
    struct channel_row *rows = rt_alloc((n + 1) * sizeof(*rows));
    struct bdev_channel_stats *stats = rt_alloc(rt_n_reactors(rt_world()) * sizeof(*stats));
    if (!rows || !stats) {
        rt_free(rows);
        rt_free(stats);
        return ash_err_set(call->err, ASH_E_NO_MEMORY, NULL, "no memory for a list of channels");
    }
    for (struct bdev *b = bdev_next(call->bdevs, NULL); b && n_rows < n;
         b = bdev_next(call->bdevs, b))
        snprintf(rows[n_rows++].name, sizeof(rows[0].name), "%s", b->name ? b->name : "");
    for (size_t i = 0; i < n_rows; i++) {
        struct bdev *b = bdev_find(call->bdevs, rows[i].name);
        if (!b)
            continue;
        bdev_get_channel_stats(b, BDEV_RESET_NONE, stats);
        for (unsigned k = 0; k < rt_n_reactors(rt_world()); k++)
            rows[i].n_users[k] = stats[k].n_users;
    }
    rt_free(stats);
    *ret_rows = rows;
    *ret_n = n_rows;
    return 0;
}

static int get_io_channels(struct ash_call *call, void *params)
{
    struct channel_row *rows = NULL;
    size_t n_rows = 0;
    int rc = collect_channels(call, &rows, &n_rows);
    if (rc)
        return rc;
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "tick_rate", TICK_RATE);
    ash_jsonw_arr(w, "threads");
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        char text[160];
        ash_jsonw_obj(w, NULL);
        thread_name(i, text, sizeof(text));
        ash_jsonw_str(w, "name", text);
        ash_jsonw_u64(w, "id", i + 1);
        ash_jsonw_arr(w, "io_channels");
        for (size_t k = 0; k < n_rows; k++) {
            if (rows[k].n_users[i] == 0)
                continue;
            snprintf(text, sizeof(text), "bdev_%s", rows[k].name);
            ash_jsonw_obj(w, NULL);
            ash_jsonw_str(w, "name", text);
            ash_jsonw_u64(w, "ref", rows[k].n_users[i]);
            ash_jsonw_obj_end(w);
        }
        ash_jsonw_arr_end(w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
    rt_free(rows);
    return 0;
}

struct monitor_params {
    bool enabled;
};

static const struct ash_param monitor_table[] = {
    ASH_PARAM(struct monitor_params, enabled, ASH_P_BOOL, 0, "false",
              "accepted: switches of threads are not watched"),
    {0},
};

static int monitor_context_switch(struct ash_call *call, void *params)
{
    ash_jsonw_obj(call->result, NULL);
    ash_jsonw_bool(call->result, "enabled", false);
    ash_jsonw_obj_end(call->result);
    return 0;
}

/* --------------------------------------------------------------- scheduler */

struct set_scheduler_params {
    char *name, *mappings;
    uint64_t period;
    uint8_t load_limit, core_limit, core_busy;
    bool has_period;
};

static const struct ash_param set_scheduler_table[] = {
    ASH_PARAM(struct set_scheduler_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "static; others are not known"),
    ASH_PARAM_OPT(struct set_scheduler_params, period, ASH_P_U64, "microseconds; kept as a hint"),
    ASH_PARAM(struct set_scheduler_params, load_limit, ASH_P_U8, 0, "20", "ignored"),
    ASH_PARAM(struct set_scheduler_params, core_limit, ASH_P_U8, 0, "80", "ignored"),
    ASH_PARAM(struct set_scheduler_params, core_busy, ASH_P_U8, 0, "95", "ignored"),
    ASH_PARAM(struct set_scheduler_params, mappings, ASH_P_STR, 0, NULL, "ignored"),
    {0},
};

static int set_scheduler(struct ash_call *call, void *params)
{
    const struct set_scheduler_params *p = params;
    struct rpc_hints *hints = &rpc_of(call->engine)->hints;
    if (strcmp(p->name, "static") != 0) {
        int rc = ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->name,
                             "there is no scheduler '%s': only 'static'", p->name);
        return rpc_fail(call, rc, RPC_INTERNAL_ERROR, NULL);
    }
    snprintf(hints->scheduler, sizeof(hints->scheduler), "%s", p->name);
    if (p->has_period)
        hints->scheduler_period_us = p->period;
    else if (!hints->has_scheduler)
        hints->scheduler_period_us = 1000000;
    hints->has_scheduler = true;
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int get_scheduler(struct ash_call *call, void *params)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    const struct rpc_hints *hints = &rpc->hints;
    struct json_object *mask = rpc_kept_value(rpc, "scheduler_set_options", "isolated_core_mask");
    struct json_object *core = rpc_kept_value(rpc, "scheduler_set_options", "scheduling_core");
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "scheduler_name", "static");
    ash_jsonw_u64(w, "scheduler_period", hints->scheduler_period_us);
    ash_jsonw_str(w, "isolated_core_mask", mask ? json_object_get_string(mask) : "");
    ash_jsonw_u64(w, "scheduling_core", core ? json_object_get_uint64(core) : 0);
    ash_jsonw_obj_end(w);
    return 0;
}

static int get_governor(struct ash_call *call, void *params)
{
    ash_jsonw_obj(call->result, NULL);
    ash_jsonw_obj_end(call->result);
    return 0;
}

static int get_pci_devices(struct ash_call *call, void *params)
{
    ash_jsonw_arr(call->result, NULL);
    ash_jsonw_arr_end(call->result);
    return 0;
}

/* ------------------------------------------------------------------- iobuf */

struct iobuf_params {
    uint64_t small_pool_count, large_pool_count;
    uint32_t small_bufsize, large_bufsize;
    bool enable_numa;
};

static const struct ash_param iobuf_table[] = {
    ASH_PARAM(struct iobuf_params, small_pool_count, ASH_P_U64, 0, "8192", "a hint"),
    ASH_PARAM(struct iobuf_params, large_pool_count, ASH_P_U64, 0, "1024", "a hint"),
    ASH_PARAM(struct iobuf_params, small_bufsize, ASH_P_U32, 0, "8192", "a hint"),
    ASH_PARAM(struct iobuf_params, large_bufsize, ASH_P_U32, 0, "135168", "a hint"),
    ASH_PARAM(struct iobuf_params, enable_numa, ASH_P_BOOL, 0, "false", "a hint"),
    {0},
};

static int set_iobuf_options(struct ash_call *call, void *params)
{
    const struct iobuf_params *p = params;
    struct rpc_hints *h = &rpc_of(call->engine)->hints;
    h->has_iobuf = true;
    h->small_pool_count = p->small_pool_count;
    h->large_pool_count = p->large_pool_count;
    h->small_bufsize = p->small_bufsize;
    h->large_bufsize = p->large_bufsize;
    h->enable_numa = p->enable_numa;
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

/* Buffers come from the system when they are needed: no module has a pool to tell about. */
static int get_iobuf_stats(struct ash_call *call, void *params)
{
    ash_jsonw_arr(call->result, NULL);
    ash_jsonw_arr_end(call->result);
    return 0;
}

/* ----------------------------------------------------------- notifications */

static int get_types(struct ash_call *call, void *params)
{
    /* SPDK's, then ours */
    static const char *const types[] = {
        "bdev_register",    "bdev_unregister",    "bdev_resize",
        "loopback_removed", "pool_open",          "pool_open_failed",
        "pool_close",       "pool_usage_warning", "pool_usage_critical"};
    ash_jsonw_arr(call->result, NULL);
    for (size_t i = 0; i < ASH_N_ELEMS(types); i++)
        ash_jsonw_str(call->result, NULL, types[i]);
    ash_jsonw_arr_end(call->result);
    return 0;
}

struct notifications_params {
    uint64_t id, max;
};

static const struct ash_param notifications_table[] = {
    ASH_PARAM(struct notifications_params, id, ASH_P_U64, 0, "0", "the first event wanted"),
    ASH_PARAM(struct notifications_params, max, ASH_P_U64, 0, "18446744073709551615",
              "at most so many"),
    {0},
};

static int get_notifications(struct ash_call *call, void *params)
{
    const struct notifications_params *p = params;
    struct jsonrpc *rpc = rpc_of(call->engine);
    struct ash_jsonw *w = call->result;
    uint64_t oldest =
        rpc->n_notifications > RPC_N_NOTIFICATIONS ? rpc->n_notifications - RPC_N_NOTIFICATIONS : 0;
    uint64_t n = 0;
    ash_jsonw_arr(w, NULL);
    for (uint64_t id = ASH_MAX(p->id, oldest); id < rpc->n_notifications && n < p->max; id++, n++) {
        const struct rpc_notification *e = &rpc->ring[id % RPC_N_NOTIFICATIONS];
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "type", e->type);
        ash_jsonw_str(w, "ctx", e->name);
        ash_jsonw_u64(w, "id", id);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    return 0;
}

const struct ash_method rpc_core_methods[] = {
    {.name = "rpc_get_methods",
     .help = "Names of all methods",
     .params = get_methods_table,
     .params_bytes = sizeof(struct get_methods_params),
     .flags = ANY_TIME | ASH_M_READ_ONLY,
     .decode_code = RPC_INVALID_PARAMS,
     .decode_text = "Invalid parameters",
     .run = get_methods},
    {.name = "spdk_get_version",
     .help = "The SPDK release whose behaviour is followed",
     .flags = ANY_TIME | ASH_M_READ_ONLY | ASH_M_NO_PARAMS,
     .run = get_version},
    {.name = "framework_start_init",
     .help = "Start the engine of a daemon that was begun with --wait-for-rpc",
     .flags = ASH_M_STARTUP | ASH_M_NO_PARAMS,
     .run = start_init},
    {.name = "framework_wait_init",
     .help = "Answer when the engine is started",
     .flags = ANY_TIME | ASH_M_READ_ONLY,
     .run = wait_init},
    {.name = "framework_get_subsystems",
     .help = "Subsystems in order of their start, with what they stand on",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_subsystems},
    {.name = "framework_get_reactors",
     .help = "The worker threads and how busy they were",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_reactors},
    {.name = "framework_set_scheduler",
     .help = "Accepted for compatibility: only 'static'",
     .params = set_scheduler_table,
     .params_bytes = sizeof(struct set_scheduler_params),
     .flags = ANY_TIME | ASH_M_RELAXED,
     .decode_code = RPC_INVALID_PARAMS,
     .decode_text = "Invalid parameters",
     .run = set_scheduler},
    {.name = "framework_get_scheduler",
     .help = "What framework_set_scheduler has set",
     .flags = ANY_TIME | ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_scheduler},
    {.name = "framework_get_governor",
     .help = "Always an empty object: there is no governor",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_governor},
    {.name = "framework_get_pci_devices",
     .help = "Always an empty list: no PCI device is driven from user space",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_pci_devices},
    {.name = "thread_get_stats",
     .help = "Busy and idle time of the worker threads",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_thread_stats},
    {.name = "thread_get_pollers",
     .help = "The worker threads; they wait for events and poll nothing",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_pollers},
    {.name = "thread_get_io_channels",
     .help = "Which worker thread uses which devices, and how often",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_io_channels},
    {.name = "framework_monitor_context_switch",
     .help = "Accepted for compatibility: always off",
     .params = monitor_table,
     .params_bytes = sizeof(struct monitor_params),
     .run = monitor_context_switch},
    {.name = "spdk_kill_instance",
     .help = "End the daemon as if the signal had come",
     .params = kill_table,
     .params_bytes = sizeof(struct kill_params),
     .flags = ANY_TIME,
     .decode_code = RPC_INVALID_PARAMS,
     .decode_text = "Invalid parameters",
     .run = kill_instance},
    {.name = "engine_stop",
     .help = "End the daemon cleanly: exports, then pools, then devices",
     .flags = ANY_TIME | ASH_M_NO_PARAMS,
     .run = engine_stop},
    {.name = "iobuf_set_options",
     .help = "Accepted for compatibility: buffers grow as needed",
     .params = iobuf_table,
     .params_bytes = sizeof(struct iobuf_params),
     .flags = ASH_M_STARTUP,
     .decode_code = RPC_INVALID_PARAMS,
     .run = set_iobuf_options},
    {.name = "iobuf_get_stats",
     .help = "Always an empty list: there are no pools of buffers",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_iobuf_stats},
    {.name = "notify_get_types",
     .help = "Kinds of events",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = get_types},
    {.name = "notify_get_notifications",
     .help = "The last 1024 events",
     .params = notifications_table,
     .params_bytes = sizeof(struct notifications_params),
     .flags = ASH_M_READ_ONLY,
     .decode_code = RPC_INVALID_PARAMS,
     .decode_text = "Invalid argument",
     .run = get_notifications},
    {0},
};
