/* SPDX-License-Identifier: Apache-2.0 */
/* Methods about block devices of every kind. Those of single modules stand with the modules.
 * Source: docs/spec/spdk-jsonrpc.md section 5, 13.8, 13.10.
 *
 * A struct bdev pointer is dead after a wait: whatever goes over several devices takes their names
 * first and looks each up again. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/assert.h"

#define TICK_RATE     1000000000ull
#define LOOK_EVERY_NS 100000000ull
#define IOSTAT_NAMES  1024

static int say_true(struct ash_call *call)
{
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

/* ------------------------------------------------------------------ listing */

struct get_bdevs_params {
    char *name;
    uint64_t timeout;
};

static const struct ash_param get_bdevs_table[] = {
    ASH_PARAM(struct get_bdevs_params, name, ASH_P_STR, 0, NULL, "name, alias or UUID"),
    ASH_PARAM(struct get_bdevs_params, timeout, ASH_P_U64, 0, "0",
              "wait so many milliseconds for the device to appear"),
    {0},
};

static int await_bdev(struct ash_call *call, const char *name, uint64_t timeout_ms)
{
    if (bdev_find(call->bdevs, name))
        return 0;
    if (timeout_ms == 0)
        return rpc_no_bdev(call, name);
    struct jsonrpc *rpc = rpc_of(call->engine);
    uint64_t now = rt_now_ns(), wait_ns;
    if (__builtin_mul_overflow(timeout_ms, 1000000ull, &wait_ns) || wait_ns > UINT64_MAX - now)
        wait_ns = UINT64_MAX - now;
    uint64_t end = now + wait_ns;
    rt_step("waiting for the device");
    while (!bdev_find(call->bdevs, name)) {
        now = rt_now_ns();
        if (now >= end || rpc->stopping)
            return ash_err_set(call->err, ASH_E_TIMED_OUT, name, "device '%s' did not appear",
                               name);
        rt_sleep_ns(ASH_MIN(LOOK_EVERY_NS, end - now));
    }
    return 0;
}

#define DUMP_BYTES 1280 /* what a volume takes, and some */

static int get_bdevs(struct ash_call *call, void *params)
{
    const struct get_bdevs_params *p = params;
    struct ash_jsonw *w = call->result;
    if (p->name) {
        int rc = await_bdev(call, p->name, p->timeout);
        if (rc)
            return rc;
    }
    ash_jsonw_arr(w, NULL);
    if (p->name) {
        bdev_dump(bdev_find(call->bdevs, p->name), w);
    } else {
        /* Thousands of them are many megabytes, which growing would copy several times. */
        size_t n = 0;
        for (struct bdev *b = bdev_next(call->bdevs, NULL); b; b = bdev_next(call->bdevs, b))
            n++;
        ash_buf_reserve(w->buf, n * DUMP_BYTES);
        for (struct bdev *b = bdev_next(call->bdevs, NULL); b; b = bdev_next(call->bdevs, b))
            bdev_dump(b, w);
    }
    ash_jsonw_arr_end(w);
    return 0;
}

/* --------------------------------------------------------------- statistics */

static const struct ash_enum reset_modes[] = {
    {"all", BDEV_RESET_ALL},
    {"maxmin", BDEV_RESET_MAXMIN},
    {"error", BDEV_RESET_ERROR},
    {"none", BDEV_RESET_NONE},
    {NULL, 0},
};

static void names_free(struct ash_strlist *names)
{
    for (size_t i = 0; i < names->n_items; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct ash_strlist){0};
}

static int names_add(struct ash_strlist *names, const char *name)
{
    char **items = realloc(names->items, (names->n_items + 1) * sizeof(*items));
    if (items)
        names->items = items;
    char *copy = items ? strdup(name) : NULL;
    if (!copy)
        return -ENOMEM;
    names->items[names->n_items++] = copy;
    return 0;
}

/* Names of all devices that can be found. */
static int all_names(struct ash_call *call, struct ash_strlist *names)
{
    for (struct bdev *b = bdev_next(call->bdevs, NULL); b; b = bdev_next(call->bdevs, b))
        if (bdev_find(call->bdevs, b->name) && names_add(names, b->name))
            return ash_err_set(call->err, ASH_E_NO_MEMORY, NULL, "no memory for a list of names");
    return 0;
}

static void dump_errors(struct ash_jsonw *w, const struct bdev_stats *st)
{
    const struct {
        const char *name;
        uint64_t n;
    } kinds[] = {{"failed", st->n_failed},
                 {"nomem", st->n_nomem},
                 {"miscompare", st->n_miscompare},
                 {"aborted", st->n_aborted}};
    ash_jsonw_obj(w, "io_error");
    for (size_t i = 0; i < ASH_N_ELEMS(kinds); i++)
        if (kinds[i].n)
            ash_jsonw_u64(w, kinds[i].name, ASH_MIN(kinds[i].n, (uint64_t)UINT32_MAX));
    ash_jsonw_obj_end(w);
}

static void dump_stats(struct ash_jsonw *w, const struct bdev_stats *st)
{
    static const struct {
        const char *bytes, *ops, *ticks, *max, *min;
    } names[BDEV_N_STATS] = {
        [BDEV_STAT_READ] = {"bytes_read", "num_read_ops", "read_latency_ticks",
                            "max_read_latency_ticks", "min_read_latency_ticks"},
        [BDEV_STAT_WRITE] = {"bytes_written", "num_write_ops", "write_latency_ticks",
                             "max_write_latency_ticks", "min_write_latency_ticks"},
        [BDEV_STAT_UNMAP] = {"bytes_unmapped", "num_unmap_ops", "unmap_latency_ticks",
                             "max_unmap_latency_ticks", "min_unmap_latency_ticks"},
        [BDEV_STAT_COPY] = {"bytes_copied", "num_copy_ops", "copy_latency_ticks",
                            "max_copy_latency_ticks", "min_copy_latency_ticks"},
    };
    for (int i = 0; i < BDEV_N_STATS; i++) {
        ash_jsonw_u64(w, names[i].bytes, st->c[i].n_bytes);
        ash_jsonw_u64(w, names[i].ops, st->c[i].n_ops);
    }
    for (int i = 0; i < BDEV_N_STATS; i++) {
        ash_jsonw_u64(w, names[i].ticks, st->c[i].ticks);
        ash_jsonw_u64(w, names[i].max, st->c[i].max_ticks);
        ash_jsonw_u64(w, names[i].min, st->c[i].min_ticks);
    }
    dump_errors(w, st);
}

struct iostat_params {
    struct ash_strlist names;
    char *name;
    bool has_names, per_channel;
    int reset_mode;
};

static const struct ash_param iostat_table[] = {
    ASH_PARAM_OPT(struct iostat_params, names, ASH_P_STRLIST, "devices; all when absent"),
    ASH_PARAM(struct iostat_params, name, ASH_P_STR, 0, NULL, "one device (older clients)"),
    ASH_PARAM(struct iostat_params, per_channel, ASH_P_BOOL, 0, "false",
              "numbers of each thread that uses the device; of one device only"),
    ASH_PARAM_ENUM(struct iostat_params, reset_mode, 0, "none", reset_modes,
                   "what is reset after the reading: all, maxmin, error, none"),
    {0},
};

static int iostat_check(struct ash_call *call, const struct iostat_params *p,
                        struct ash_strlist *names)
{
    if ((p->name && p->has_names) || p->names.n_items > IOSTAT_NAMES)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, NULL,
                           "give one name, or at most %d names", IOSTAT_NAMES);
    if (p->per_channel && p->names.n_items + (p->name != NULL) != 1)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, NULL,
                           "numbers per channel can be had of one device at a time");
    if (!p->name && !p->has_names)
        return all_names(call, names);
    for (size_t i = 0; i < p->names.n_items + (p->name != NULL); i++) {
        const char *name = p->name ? p->name : p->names.items[i];
        if (!bdev_find(call->bdevs, name))
            return rpc_no_bdev(call, name);
        if (names_add(names, name))
            return ash_err_set(call->err, ASH_E_NO_MEMORY, NULL, "no memory for a list of names");
    }
    return 0;
}

/* As SPDK: errors are told of the whole device only. */
static int channel_iostat(struct ash_call *call, const char *name, enum bdev_stat_reset reset)
{
    struct bdev *bdev = bdev_find(call->bdevs, name);
    if (!bdev)
        return rpc_no_bdev(call, name);
    unsigned n = rt_n_reactors(rt_world());
    struct bdev_channel_stats *stats = rt_alloc(n * sizeof(*stats));
    if (!stats)
        return ash_err_set(call->err, ASH_E_NO_MEMORY, name, "no memory for statistics");
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "tick_rate", TICK_RATE);
    ash_jsonw_u64(w, "ticks", rt_now_ns());
    ash_jsonw_str(w, "name", bdev->name);
    ash_jsonw_arr(w, "channels");
    bdev_get_channel_stats(bdev, reset, stats);
    for (unsigned i = 0; i < n; i++) {
        struct bdev_stats *st = &stats[i].stats;
        if (stats[i].n_users == 0)
            continue;
        st->n_failed = st->n_nomem = st->n_miscompare = st->n_aborted = 0;
        ash_jsonw_obj(w, NULL);
        ash_jsonw_u64(w, "thread_id", i + 1);
        dump_stats(w, st);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
    rt_free(stats);
    return 0;
}

static int get_iostat(struct ash_call *call, void *params)
{
    const struct iostat_params *p = params;
    struct ash_strlist names ASH_CLEANUP(names_free) = {0};
    struct ash_jsonw *w = call->result;
    int rc = iostat_check(call, p, &names);
    if (rc)
        /* names: freed by its cleanup attribute. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        return rc;
    bool is_all = !p->name && !p->has_names;
    if (p->per_channel)
        return channel_iostat(call, names.items[0], (enum bdev_stat_reset)p->reset_mode);
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "tick_rate", TICK_RATE);
    ash_jsonw_u64(w, "ticks", rt_now_ns());
    ash_jsonw_arr(w, "bdevs");
    for (size_t i = 0; i < names.n_items; i++) {
        struct bdev *bdev = bdev_find(call->bdevs, names.items[i]);
        if (!bdev && is_all)
            continue;
        if (!bdev)
            return rpc_no_bdev(call, names.items[i]);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "name", bdev->name);
        struct bdev_stats stats = {0};
        bdev_get_stats(bdev, (enum bdev_stat_reset)p->reset_mode, &stats);
        dump_stats(w, &stats);
        bdev = bdev_find(call->bdevs, names.items[i]);
        if (bdev)
            rpc_dump_queue_depth(rpc_of(call->engine), bdev->name, w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
    return 0;
}

struct reset_params {
    char *name;
    int mode;
};

static const struct ash_param reset_table[] = {
    ASH_PARAM(struct reset_params, name, ASH_P_STR, 0, NULL, "all devices when absent"),
    ASH_PARAM_ENUM(struct reset_params, mode, 0, "all", reset_modes, "all, maxmin, error, none"),
    {0},
};

static int reset_iostat(struct ash_call *call, void *params)
{
    const struct reset_params *p = params;
    struct ash_strlist names ASH_CLEANUP(names_free) = {0};
    if (p->name && !bdev_find(call->bdevs, p->name))
        return rpc_no_bdev(call, p->name);
    int rc = p->name ? names_add(&names, p->name) : all_names(call, &names);
    if (rc)
        /* names: freed by its cleanup attribute. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        return rc;
    for (size_t i = 0; i < names.n_items; i++) {
        struct bdev *bdev = bdev_find(call->bdevs, names.items[i]);
        struct bdev_stats stats;
        if (bdev)
            bdev_get_stats(bdev, (enum bdev_stat_reset)p->mode, &stats);
    }
    return say_true(call);
}

/* --------------------------------------------------------------- histograms */

struct enable_hist_params {
    char *name, *opc;
    bool enable;
    uint8_t granularity;
    uint64_t min_nsec, max_nsec;
};

static const struct ash_param enable_hist_table[] = {
    ASH_PARAM(struct enable_hist_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "device"),
    ASH_PARAM(struct enable_hist_params, enable, ASH_P_BOOL, ASH_P_REQUIRED, NULL, "on or off"),
    ASH_PARAM(struct enable_hist_params, opc, ASH_P_STR, 0, NULL,
              "I/O type (read, write ...); all when absent"),
    ASH_PARAM(struct enable_hist_params, granularity, ASH_P_U8, 0, "7",
              "2 to this power of buckets per range"),
    ASH_PARAM(struct enable_hist_params, min_nsec, ASH_P_U64, 0, "1000", "smallest latency"),
    ASH_PARAM(struct enable_hist_params, max_nsec, ASH_P_U64, 0, "120000000000", "largest latency"),
    {0},
};

static int io_type_of(const char *name)
{
    for (int i = 0; i < BDEV_N_IO_TYPES; i++)
        if (strcmp(bdev_io_type_name((enum bdev_io_type)i), name) == 0)
            return i;
    return -1;
}

static int enable_histogram(struct ash_call *call, void *params)
{
    const struct enable_hist_params *p = params;
    struct bdev *bdev = bdev_find(call->bdevs, p->name);
    if (!bdev)
        return rpc_no_bdev(call, p->name);
    struct bdev_hist_opts opts = {.granularity = p->granularity,
                                  .min_ns = p->min_nsec,
                                  .max_ns = p->max_nsec,
                                  .type = p->opc ? io_type_of(p->opc) : -1};
    if (p->opc && opts.type < 0) {
        int rc =
            ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->opc, "there is no I/O type '%s'", p->opc);
        return rpc_fail(call, rc, RPC_INTERNAL_ERROR, "Invalid Io type");
    }
    int rc = bdev_set_histogram(bdev, p->enable, &opts, call->err);
    return rc ? rc : say_true(call);
}

struct name_params {
    char *name;
};

static const struct ash_param name_table[] = {
    ASH_PARAM(struct name_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "device"),
    {0},
};

static int get_histogram(struct ash_call *call, void *params)
{
    const struct name_params *p = params;
    struct bdev *bdev = bdev_find(call->bdevs, p->name);
    if (!bdev)
        return rpc_no_bdev(call, p->name);
    struct ash_buf counts ASH_CLEANUP(ash_buf_free) = {0};
    struct bdev_hist_opts opts;
    uint32_t min_range, max_range;
    int rc = bdev_get_histogram(bdev, &counts, &opts, &min_range, &max_range);
    if (rc)
        return rpc_fail(call, rc, RPC_INTERNAL_ERROR, NULL);
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "histogram", ash_buf_text(&counts));
    ash_jsonw_u64(w, "granularity", opts.granularity);
    ash_jsonw_u64(w, "min_range", min_range);
    ash_jsonw_u64(w, "max_range", max_range);
    ash_jsonw_u64(w, "tsc_rate", TICK_RATE);
    ash_jsonw_obj_end(w);
    return 0;
}

struct borders_params {
    char *name;
    struct json_object *borders;
};

static const struct ash_param borders_table[] = {
    ASH_PARAM(struct borders_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "device"),
    ASH_PARAM(struct borders_params, borders, ASH_P_JSON, ASH_P_REQUIRED, NULL,
              "list of latencies in microseconds, ascending"),
    {0},
};

static int take_borders(struct ash_call *call, struct json_object *list, uint64_t *ret_ns)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *v = json_object_array_get_idx(list, i);
        bool is_int = json_object_is_type(v, json_type_int) && json_object_get_int64(v) >= 0;
        if (!is_int || __builtin_mul_overflow(json_object_get_uint64(v), 1000ull, &ret_ns[i]) ||
            (i && ret_ns[i] <= ret_ns[i - 1]))
            return ash_err_set(call->err, ASH_E_BAD_PARAMETER_TYPE, "borders",
                               "parameter 'borders' must be ascending numbers");
    }
    return 0;
}

static int get_histogram_borders(struct ash_call *call, void *params)
{
    const struct borders_params *p = params;
    struct bdev *bdev = bdev_find(call->bdevs, p->name);
    if (!bdev)
        return rpc_no_bdev(call, p->name);
    if (!json_object_is_type(p->borders, json_type_array) ||
        json_object_array_length(p->borders) == 0)
        return ash_err_set(call->err, ASH_E_BAD_PARAMETER_TYPE, "borders",
                           "parameter 'borders' must be a list of numbers");
    size_t n = json_object_array_length(p->borders);
    uint64_t *borders = rt_alloc(n * sizeof(*borders)),
             *counts = rt_alloc((n + 1) * sizeof(*counts));
    int rc = borders && counts ? take_borders(call, p->borders, borders)
                               : ash_err_set(call->err, ASH_E_NO_MEMORY, p->name, "no memory");
    if (rc == 0) {
        rc = bdev_histogram_borders(bdev, borders, n, counts);
        if (rc)
            rpc_fail(call, rc, RPC_INTERNAL_ERROR, NULL);
    }
    if (rc == 0) {
        ash_jsonw_obj(call->result, NULL);
        ash_jsonw_arr(call->result, "borders_count");
        for (size_t i = 0; i <= n; i++)
            ash_jsonw_u64(call->result, NULL, counts[i]);
        ash_jsonw_arr_end(call->result);
        ash_jsonw_obj_end(call->result);
    }
    rt_free(borders);
    rt_free(counts);
    return rc;
}

/* --------------------------------------------------------------------- QoS */

struct qos_params {
    char *name;
    uint64_t rw_ios_per_sec, rw_mbytes_per_sec, r_mbytes_per_sec, w_mbytes_per_sec;
    bool has_rw_ios_per_sec, has_rw_mbytes_per_sec, has_r_mbytes_per_sec, has_w_mbytes_per_sec;
};

static const struct ash_param qos_table[] = {
    ASH_PARAM(struct qos_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "device"),
    ASH_PARAM_OPT(struct qos_params, rw_ios_per_sec, ASH_P_U64, "reads and writes; 0: no limit"),
    ASH_PARAM_OPT(struct qos_params, rw_mbytes_per_sec, ASH_P_U64, "MiB; 0: no limit"),
    ASH_PARAM_OPT(struct qos_params, r_mbytes_per_sec, ASH_P_U64, "MiB; 0: no limit"),
    ASH_PARAM_OPT(struct qos_params, w_mbytes_per_sec, ASH_P_U64, "MiB; 0: no limit"),
    {0},
};

static int set_qos_limit(struct ash_call *call, void *params)
{
    const struct qos_params *p = params;
    struct bdev *bdev = bdev_find(call->bdevs, p->name);
    if (!bdev)
        return rpc_no_bdev(call, p->name);
    if (!p->has_rw_ios_per_sec && !p->has_rw_mbytes_per_sec && !p->has_r_mbytes_per_sec &&
        !p->has_w_mbytes_per_sec) {
        int rc = ash_err_set(call->err, ASH_E_MISSING_PARAMETER, p->name, "no limit was given");
        return rpc_fail(call, rc, rc, "No rate limits specified");
    }
    struct bdev_qos qos;
    bdev_get_qos(bdev, &qos);
    if (p->has_rw_ios_per_sec)
        qos.rw_ios_per_sec = p->rw_ios_per_sec;
    if (p->has_rw_mbytes_per_sec)
        qos.rw_mbytes_per_sec = p->rw_mbytes_per_sec;
    if (p->has_r_mbytes_per_sec)
        qos.r_mbytes_per_sec = p->r_mbytes_per_sec;
    if (p->has_w_mbytes_per_sec)
        qos.w_mbytes_per_sec = p->w_mbytes_per_sec;
    int rc = bdev_set_qos(bdev, &qos, call->err);
    if (rc)
        return rpc_fail(call, rc, RPC_INVALID_PARAMS, "Failed to configure rate limit: %s",
                        ash_strerror(rc));
    return say_true(call);
}

/* ----------------------------------------------------------------- options */

struct bdev_opts_params {
    uint32_t bdev_io_pool_size, bdev_io_cache_size, iobuf_small_cache_size, iobuf_large_cache_size;
    bool bdev_auto_examine;
};

static const struct ash_param bdev_opts_table[] = {
    ASH_PARAM(struct bdev_opts_params, bdev_io_pool_size, ASH_P_U32, 0, "65535", "a hint"),
    ASH_PARAM(struct bdev_opts_params, bdev_io_cache_size, ASH_P_U32, 0, "256", "a hint"),
    ASH_PARAM(struct bdev_opts_params, bdev_auto_examine, ASH_P_BOOL, 0, "true",
              "look for pools on every device that appears"),
    ASH_PARAM(struct bdev_opts_params, iobuf_small_cache_size, ASH_P_U32, 0, "128", "a hint"),
    ASH_PARAM(struct bdev_opts_params, iobuf_large_cache_size, ASH_P_U32, 0, "16", "a hint"),
    {0},
};

static int set_options(struct ash_call *call, void *params)
{
    const struct bdev_opts_params *p = params;
    struct rpc_hints *h = &rpc_of(call->engine)->hints;
    if (p->bdev_io_pool_size < (uint64_t)p->bdev_io_cache_size * (rt_n_reactors(rt_world()) + 1)) {
        int rc = ash_err_set(call->err, ASH_E_BAD_ARGUMENT, NULL,
                             "the pool must hold the caches of all threads and one more");
        return rpc_fail(call, rc, RPC_INVALID_PARAMS, "Pool size %u too small for cache size %u",
                        p->bdev_io_pool_size, p->bdev_io_cache_size);
    }
    h->bdev_io_pool_size = p->bdev_io_pool_size;
    h->bdev_io_cache_size = p->bdev_io_cache_size;
    h->iobuf_small_cache_size = p->iobuf_small_cache_size;
    h->iobuf_large_cache_size = p->iobuf_large_cache_size;
    ash_engine_set_auto_examine(call->engine, p->bdev_auto_examine);
    return say_true(call);
}

/* ----------------------------------------------------------------- examine */

static int examine(struct ash_call *call, void *params)
{
    const struct name_params *p = params;
    int rc = bdev_examine(call->bdevs, p->name, call->err);
    if (rc)
        return rc;
    /* remembered for the saved configuration only */
    rc = names_add(&rpc_of(call->engine)->examine_names, p->name);
    return rc ? rc : say_true(call);
}

static int wait_for_examine(struct ash_call *call, void *params)
{
    bdev_wait_for_examine(call->bdevs);
    return say_true(call);
}

const struct ash_method rpc_bdev_methods[] = {
    {.name = "bdev_get_bdevs",
     .help = "Devices with their properties",
     .params = get_bdevs_table,
     .params_bytes = sizeof(struct get_bdevs_params),
     .flags = ASH_M_READ_ONLY,
     .run = get_bdevs},
    {.name = "bdev_get_iostat",
     .help = "Counters and latencies of devices",
     .params = iostat_table,
     .params_bytes = sizeof(struct iostat_params),
     .run = get_iostat},
    {.name = "bdev_reset_iostat",
     .help = "Set counters of devices to zero",
     .params = reset_table,
     .params_bytes = sizeof(struct reset_params),
     .run = reset_iostat},
    {.name = "bdev_enable_histogram",
     .help = "Switch the latency histogram of a device on (empty) or off",
     .params = enable_hist_table,
     .params_bytes = sizeof(struct enable_hist_params),
     .run = enable_histogram},
    {.name = "bdev_get_histogram",
     .help = "The latency histogram of a device",
     .params = name_table,
     .params_bytes = sizeof(struct name_params),
     .flags = ASH_M_READ_ONLY,
     .run = get_histogram},
    {.name = "bdev_get_histogram_borders",
     .help = "How many I/Os were below, between and from given latencies on",
     .params = borders_table,
     .params_bytes = sizeof(struct borders_params),
     .flags = ASH_M_READ_ONLY,
     .run = get_histogram_borders},
    {.name = "bdev_set_qos_limit",
     .help = "Limit the I/O of a device; what is not given stays as it is",
     .params = qos_table,
     .params_bytes = sizeof(struct qos_params),
     .run = set_qos_limit},
    {.name = "bdev_set_options",
     .help = "Options of the device layer",
     .params = bdev_opts_table,
     .params_bytes = sizeof(struct bdev_opts_params),
     .flags = ASH_M_STARTUP,
     .decode_code = RPC_INVALID_PARAMS,
     .decode_text = "Invalid parameters",
     .run = set_options},
    {.name = "bdev_examine",
     .help = "Look for a pool on a device, when that is not done by itself",
     .params = name_table,
     .params_bytes = sizeof(struct name_params),
     .decode_code = RPC_INVALID_PARAMS,
     .run = examine},
    {.name = "bdev_wait_for_examine",
     .help = "Answer when every device that appeared has been looked at",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = wait_for_examine},
    {0},
};
