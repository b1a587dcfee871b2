/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher: one table of all methods, put together from the tables of this face, of the
 * exports and of the bdev modules; state check, decoding, the run, and how a failure is told.
 *
 * Invariants: the table never changes after it was made; `running` goes from false to true once;
 * the watch hangs on the bdev manager exactly while `running`. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/assert.h"
#include "export/nvmf/nvmf.h"
#include "export/fuse/fuse.h"
#include "export/nbd/nbd.h"

#define PART_KEY "jsonrpc"

/* ------------------------------------------------------------------ table */

static bool is_allowed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p && *p;) {
        size_t len = strcspn(p, ",");
        if (len == n && memcmp(p, name, n) == 0)
            return true;
        p += len + (p[len] == ',');
    }
    return !list;
}

static void add_table(struct jsonrpc *rpc, const struct ash_method *table, bool fill)
{
    for (const struct ash_method *m = table; m && m->name; m++) {
        if (!is_allowed(rpc->opts.allowed, m->name))
            continue;
        if (fill) {
            struct rpc_entry *entry = &rpc->entries[rpc->n_entries];
            entry->method = m;
            /* the first table wins: one module may serve the rows of another */
            if (ash_htab_insert(&rpc->methods, &entry->node, m->name))
                continue;
        }
        rpc->n_entries++;
    }
}

static void add_tables(struct jsonrpc *rpc, bool fill)
{
    const struct ash_method *const own[] = {
        rpc_core_methods, rpc_log_methods,       rpc_config_methods, rpc_bdev_methods,
        rpc_lvol_methods, rpc_lvol_attr_methods, rpc_own_methods,    nbd_methods,
        nvmf_methods,     nvmf_referral_methods, rpc_kept_methods,   rpc_qd_methods,
        fexp_methods,
    };
    rpc->n_entries = 0;
    for (const struct ash_method *const *t = rpc->opts.extra; t && *t; t++)
        add_table(rpc, *t, fill);
    for (size_t i = 0; i < ASH_N_ELEMS(own); i++)
        add_table(rpc, own[i], fill);
    for (struct bdev_module *const *m = bdev_modules; *m; m++)
        add_table(rpc, (*m)->methods, fill);
    for (struct bdev_module *const *m = pool_bdev_modules; *m; m++)
        add_table(rpc, (*m)->methods, fill);
}

/* Events that somebody should know who asks for no notifications. */
static void log_event(struct jsonrpc *rpc, const char *type, const char *name)
{
    bool critical = strcmp(type, "pool_usage_critical") == 0;
    if (strcmp(type, "pool_open_failed") == 0)
        rt_log(RT_LOG_ERR, "pool", "a pool was found and could not be opened: %s", name);
    if (!critical && strcmp(type, "pool_usage_warning") != 0)
        return;
    const struct pool *pool = pool_find(ash_engine_pools(rpc->engine), name);
    struct pool_info i = {0};
    if (pool)
        pool_get_info(pool, &i);
    if (i.n_clusters && i.n_md_pages)
        rt_log(critical ? RT_LOG_ERR : RT_LOG_WARN, "pool",
               "pool '%s' fills up: %u %% of its space and %u %% of its metadata pages are used "
               "(%s from %u %% on)",
               name, (unsigned)((i.n_clusters - i.n_free_clusters) * 100 / i.n_clusters),
               (unsigned)((i.n_md_pages - i.n_free_md_pages) * 100 / i.n_md_pages),
               critical ? "critical" : "warning", i.warn_percent[critical]);
    else
        rt_log(critical ? RT_LOG_ERR : RT_LOG_WARN, "pool", "pool '%s' fills up", name);
}

static void note_event(struct bdev_watch *watch, const char *type, const char *name)
{
    struct jsonrpc *rpc = ash_container_of(watch, struct jsonrpc, watch);
    struct rpc_notification *n = &rpc->ring[rpc->n_notifications++ % RPC_N_NOTIFICATIONS];
    n->type = type;
    snprintf(n->name, sizeof(n->name), "%s", name);
    log_event(rpc, type, name);
}

static void become_running(struct jsonrpc *rpc)
{
    rpc->running = true;
    bdev_watch_add(ash_engine_bdevs(rpc->engine), &rpc->watch);
    rt_waitq_wake_all(&rpc->started);
}

static void part_destroy(struct ash_engine_part *part)
{
    struct jsonrpc *rpc = ash_container_of(part, struct jsonrpc, part);
    if (rpc->running)
        bdev_watch_del(&rpc->watch);
    rpc_stop_sampling(rpc);
    json_object_put(rpc->kept);
    for (size_t i = 0; i < rpc->n_entries; i++)
        ash_htab_remove(&rpc->methods, &rpc->entries[i].node);
    ash_htab_fini(&rpc->methods);
    for (size_t i = 0; i < rpc->examine_names.n_items; i++)
        free(rpc->examine_names.items[i]);
    free(rpc->examine_names.items);
    rt_free(rpc->entries);
    rt_free(rpc->ring);
    rt_free(rpc);
}

int jsonrpc_setup(struct ash_engine *engine, const struct jsonrpc_opts *opts, struct ash_err *err)
{
    if (ash_engine_part(engine, PART_KEY))
        return ash_err_set_rc(err, -EEXIST, ASH_E_BAD_ARGUMENT, NULL,
                              "the JSON-RPC methods of this engine are set up already");
    struct jsonrpc *rpc = rt_alloc(sizeof(*rpc));
    if (!rpc)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the JSON-RPC methods");
    rpc->engine = engine;
    if (opts)
        rpc->opts = *opts;
    rpc->part = (struct ash_engine_part){.key = PART_KEY, .destroy = part_destroy};
    rpc->watch.fn = note_event;
    rpc->hints = (struct rpc_hints){.bdev_io_pool_size = 65535,
                                    .bdev_io_cache_size = 256,
                                    .iobuf_small_cache_size = 128,
                                    .iobuf_large_cache_size = 16};
    rpc->log_level = JSONRPC_LOG_NOTICE;
    rpc->print_level = JSONRPC_LOG_INFO;
    rt_waitq_init(&rpc->started);
    rt_waitq_init(&rpc->sampler_gone);
    ash_list_init(&rpc->samplers);
    ash_list_init(&rpc->uuid_claims);
    rpc->since_ns = rt_now_ns();
    add_tables(rpc, false);
    rpc->entries = rt_alloc((rpc->n_entries + 1) * sizeof(*rpc->entries));
    rpc->ring = rt_alloc(RPC_N_NOTIFICATIONS * sizeof(*rpc->ring));
    if (!rpc->entries || !rpc->ring || ash_htab_init(&rpc->methods)) {
        rt_free(rpc->entries);
        rt_free(rpc->ring);
        rt_free(rpc);
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the JSON-RPC methods");
    }
    add_tables(rpc, true);
    ash_engine_attach(engine, &rpc->part);
    if (ash_engine_started(engine))
        become_running(rpc);
    return 0;
}

struct jsonrpc *rpc_of(struct ash_engine *engine)
{
    if (!ash_engine_part(engine, PART_KEY) && jsonrpc_setup(engine, NULL, NULL))
        return NULL;
    return ash_container_of(ash_engine_part(engine, PART_KEY), struct jsonrpc, part);
}

struct rpc_entry *rpc_find(struct jsonrpc *rpc, const char *method)
{
    struct ash_hnode *node = ash_htab_find(&rpc->methods, method);
    return node ? ash_container_of(node, struct rpc_entry, node) : NULL;
}

/* ------------------------------------------------------------------ state */

bool rpc_callable(const struct jsonrpc *rpc, const struct ash_method *method)
{
    unsigned states = method->flags & (ASH_M_STARTUP | ASH_M_RUNTIME);
    return (states ? states : ASH_M_RUNTIME) & (rpc->running ? ASH_M_RUNTIME : ASH_M_STARTUP);
}

int rpc_start(struct jsonrpc *rpc, struct ash_err *err)
{
    if (rpc->running || rpc->starting)
        return -EALREADY;
    rpc->starting = true;
    int rc = ash_engine_start(rpc->engine, err);
    rpc->starting = false;
    if (rc == 0) {
        rpc_apply_nvme_options(rpc);
        become_running(rpc);
    }
    return rc;
}

void rpc_log(struct jsonrpc *rpc, enum jsonrpc_log_level level, const char *fmt, ...)
{
    if (!rpc->opts.log || level > rpc->print_level)
        return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    rpc->opts.log(rpc->opts.arg, level, text);
}

/* ------------------------------------------------------------------- runs */

static void tell(struct jsonrpc_failure *failure, int code, const char *message)
{
    failure->code = code;
    snprintf(failure->message, sizeof(failure->message), "%s", message);
}

int rpc_unknown_method(const char *method, struct jsonrpc_failure *failure, struct ash_err *err)
{
    tell(failure, RPC_METHOD_NOT_FOUND, "Method not found");
    return ash_err_set(err, ASH_E_RPC_METHOD, method, "there is no method '%s'", method);
}

int rpc_check(struct jsonrpc *rpc, struct rpc_entry *entry, struct jsonrpc_failure *failure,
              struct ash_err *err)
{
    const struct ash_method *m = entry->method;
    if ((m->flags & ASH_M_HIDDEN) && !entry->alias_warned) {
        entry->alias_warned = true;
        rpc_log(rpc, JSONRPC_LOG_WARNING, "method '%s' has a newer name", m->name);
    }
    if (rpc_callable(rpc, m))
        return 0;
    tell(failure, RPC_WRONG_STATE,
         rpc->running ? "Method may only be called before framework is initialized. Use "
                        "--wait-for-rpc command line parameter and then issue this RPC before the "
                        "framework_start_init RPC."
                      : "Method may only be called after framework is initialized using "
                        "framework_start_init RPC.");
    return ash_err_set_rc(err, -EPERM, ASH_E_NOT_SUPPORTED, m->name,
                          "method '%s' cannot be called %s the engine is started", m->name,
                          rpc->running ? "after" : "before");
}

static int decode(struct rpc_entry *entry, struct json_object *params, bool duplicate, void *st,
                  struct jsonrpc_failure *failure, struct ash_err *err)
{
    const struct ash_method *m = entry->method;
    if (m->flags & ASH_M_NO_PARAMS) {
        if (!params || (json_object_is_type(params, json_type_object) &&
                        json_object_object_length(params) == 0))
            return 0;
        failure->code = RPC_INVALID_PARAMS;
        snprintf(failure->message, sizeof(failure->message), "%s requires no parameters", m->name);
        return ash_err_set(err, ASH_E_UNKNOWN_PARAMETER, m->name, "%s takes no parameters",
                           m->name);
    }
    if (!m->params)
        return 0;
    int rc = duplicate ? ash_err_set(err, ASH_E_DUPLICATE_PARAMETER, m->name,
                                     "a parameter or member was given twice")
                       : ash_params_from_json(m->params, st, params, m->flags & ASH_M_RELAXED, err);
    if (rc == 0)
        return 0;
    failure->code = m->decode_code ? m->decode_code : RPC_INTERNAL_ERROR;
    snprintf(failure->message, sizeof(failure->message), "%.60s: %.440s",
             m->decode_text ? m->decode_text : "spdk_json_decode_object failed",
             err->reason ? err->text : ash_strerror(rc));
    return rc;
}

static int run_decoded(struct jsonrpc *rpc, struct rpc_entry *entry, void *st, struct ash_buf *out,
                       struct jsonrpc_failure *failure, struct ash_err *err)
{
    struct ash_jsonw w;
    ash_jsonw_init(&w, out);
    struct ash_call call = {
        .bdevs = ash_engine_bdevs(rpc->engine),
        .pools = ash_engine_pools(rpc->engine),
        .engine = rpc->engine,
        .result = &w,
        .err = err,
    };
    size_t n_before = out->n_bytes;
    rt_step(entry->method->name);
    int rc = entry->method->run(&call, st);
    if (rc == 0) {
        ASH_ASSERT(out->failed || out->n_bytes > n_before);
        if (!out->failed && out->n_bytes - n_before <= RPC_REPLY_MAX_BYTES)
            return 0;
        rc = ash_err_set(err, ASH_E_NO_MEMORY, entry->method->name, "the result is too large");
        tell(failure, RPC_INTERNAL_ERROR, "Internal error");
        return rc;
    }
    ASH_ASSERT(rc < 0);
    tell(failure, call.rpc_code ? call.rpc_code : rc,
         call.rpc_message[0] ? call.rpc_message : ash_strerror(rc));
    return rc;
}

int rpc_run(struct jsonrpc *rpc, struct rpc_entry *entry, struct json_object *params,
            bool duplicate, struct ash_buf *out, struct jsonrpc_failure *failure,
            struct ash_err *err)
{
    const struct ash_method *m = entry->method;
    uint64_t room[32] = {0};
    void *st = room, *heap = NULL;
    if (m->params_bytes > sizeof(room)) {
        st = heap = rt_alloc(m->params_bytes);
        if (!heap) {
            tell(failure, -ENOMEM, ash_strerror(ENOMEM));
            return ash_err_set(err, ASH_E_NO_MEMORY, m->name, "no memory for parameters");
        }
    }
    int rc = decode(entry, params, duplicate, st, failure, err);
    if (rc == 0) {
        rc = run_decoded(rpc, entry, st, out, failure, err);
        if (m->params)
            ash_params_free(m->params, st);
    }
    rt_free(heap);
    if (rc)
        rpc_log(rpc, JSONRPC_LOG_INFO, "%s failed: %d %s%s%s", m->name, failure->code,
                failure->message, err->reason ? ": " : "", err->reason ? err->text : "");
    return rc;
}

int jsonrpc_call_full(struct ash_engine *engine, const char *method, struct json_object *params,
                      struct ash_buf *out, struct jsonrpc_failure *ret_failure, struct ash_err *err)
{
    struct jsonrpc *rpc = rpc_of(engine);
    if (!rpc)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the JSON-RPC methods");
    struct jsonrpc_failure failure = {0};
    struct ash_err own = {.reason = ASH_OK};
    struct rpc_entry *entry = rpc_find(rpc, method);
    size_t n_before = out->n_bytes;
    int rc;
    if (!entry) {
        rc = rpc_unknown_method(method, &failure, &own);
    } else {
        rc = rpc_check(rpc, entry, &failure, &own);
        if (rc == 0)
            rc = rpc_run(rpc, entry, params, false, out, &failure, &own);
    }
    if (rc == 0)
        return 0;
    if (!out->failed && out->data) {
        out->n_bytes = n_before;
        out->data[n_before] = '\0';
    }
    if (ret_failure)
        *ret_failure = failure;
    if (own.reason == ASH_OK)
        ash_err_set_rc(&own, rc, ASH_E_INTERNAL, method, "%s: %s", method, failure.message);
    if (err && err->reason == ASH_OK)
        *err = own;
    return rc;
}

/* ------------------------------------------------------- for the methods */

int rpc_fail(struct ash_call *call, int rc, int code, const char *fmt, ...)
{
    ASH_ASSERT(rc < 0);
    call->rpc_code = code;
    call->rpc_message[0] = '\0';
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(call->rpc_message, sizeof(call->rpc_message), fmt, ap);
        va_end(ap);
    }
    return rc;
}

int rpc_async(struct ash_call *call, int rc, int code)
{
    return rc ? rpc_fail(call, rc, code, NULL) : 0;
}

int rpc_no_bdev(struct ash_call *call, const char *name)
{
    return ash_err_set(call->err, ASH_E_BDEV_NOT_FOUND, name, "there is no device '%s'", name);
}

void rpc_uuid(struct ash_jsonw *w, const char *name, const struct ash_uuid *uuid)
{
    char text[ASH_UUID_TEXT_BYTES];
    ash_jsonw_str(w, name, ash_uuid_format(uuid, text));
}
