/* SPDX-License-Identifier: Apache-2.0 */
/* Saving the live state as method calls, and running such calls from a file.
 * Source: docs/spec/spdk-jsonrpc.md section 12. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/assert.h"
#include "export/fuse/fuse.h"
#include "export/nbd/nbd.h"
#include "export/nvmf/nvmf.h"

/* ------------------------------------------------------------------- saving */

static void entry_begin(struct ash_jsonw *w, const char *method)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "method", method);
    ash_jsonw_obj(w, "params");
}

static void entry_end(struct ash_jsonw *w)
{
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

static void dump_scheduler(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    rpc_dump_kept(rpc, "scheduler_set_options", w);
    if (!rpc->hints.has_scheduler)
        return;
    entry_begin(w, "framework_set_scheduler");
    ash_jsonw_str(w, "name", rpc->hints.scheduler);
    ash_jsonw_u64(w, "period", rpc->hints.scheduler_period_us);
    entry_end(w);
}

static void dump_iobuf(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    const struct rpc_hints *h = &rpc->hints;
    if (!h->has_iobuf)
        return;
    entry_begin(w, "iobuf_set_options");
    ash_jsonw_u64(w, "small_pool_count", h->small_pool_count);
    ash_jsonw_u64(w, "large_pool_count", h->large_pool_count);
    ash_jsonw_u64(w, "small_bufsize", h->small_bufsize);
    ash_jsonw_u64(w, "large_bufsize", h->large_bufsize);
    ash_jsonw_bool(w, "enable_numa", h->enable_numa);
    entry_end(w);
}

static void dump_sock(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    rpc_dump_kept(rpc, "sock_impl_set_options", w);
}

static void dump_accel(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    rpc_dump_kept(rpc, "accel_set_options", w);
}

static void dump_qos(struct bdev *bdev, struct ash_jsonw *w)
{
    struct bdev_qos q;
    bdev_get_qos(bdev, &q);
    if (!q.rw_ios_per_sec && !q.rw_mbytes_per_sec && !q.r_mbytes_per_sec && !q.w_mbytes_per_sec)
        return;
    entry_begin(w, "bdev_set_qos_limit");
    ash_jsonw_str(w, "name", bdev->name);
    ash_jsonw_u64(w, "rw_ios_per_sec", q.rw_ios_per_sec);
    ash_jsonw_u64(w, "rw_mbytes_per_sec", q.rw_mbytes_per_sec);
    ash_jsonw_u64(w, "r_mbytes_per_sec", q.r_mbytes_per_sec);
    ash_jsonw_u64(w, "w_mbytes_per_sec", q.w_mbytes_per_sec);
    entry_end(w);
}

static void dump_bdev(struct bdev *bdev, struct ash_jsonw *w)
{
    /* volumes and what else lives on a disk comes back by itself */
    if (bdev->ops->dump_config)
        bdev->ops->dump_config(bdev, w);
    dump_qos(bdev, w);
    if (bdev_histogram_enabled(bdev)) {
        entry_begin(w, "bdev_enable_histogram");
        ash_jsonw_str(w, "name", bdev->name);
        ash_jsonw_bool(w, "enable", true);
        struct bdev_hist_opts opts;
        bdev_histogram_opts(bdev, &opts);
        if (opts.type >= 0)
            ash_jsonw_str(w, "opc", bdev_io_type_name((enum bdev_io_type)opts.type));
        ash_jsonw_u64(w, "granularity", opts.granularity);
        ash_jsonw_u64(w, "min_nsec", opts.min_ns);
        ash_jsonw_u64(w, "max_nsec", opts.max_ns);
        entry_end(w);
    }
}

static void dump_bdev_options(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    const struct rpc_hints *h = &rpc->hints;
    entry_begin(w, "bdev_set_options");
    ash_jsonw_u64(w, "bdev_io_pool_size", h->bdev_io_pool_size);
    ash_jsonw_u64(w, "bdev_io_cache_size", h->bdev_io_cache_size);
    ash_jsonw_u64(w, "iobuf_small_cache_size", h->iobuf_small_cache_size);
    ash_jsonw_u64(w, "iobuf_large_cache_size", h->iobuf_large_cache_size);
    ash_jsonw_bool(w, "bdev_auto_examine", ash_engine_auto_examine(rpc->engine));
    entry_end(w);
}

static void dump_bdevs(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    struct bdev_mgr *mgr = ash_engine_bdevs(rpc->engine);
    dump_bdev_options(rpc, w);
    rpc_dump_kept(rpc, "bdev_nvme_set_options", w);
    for (size_t i = 0; i < rpc->examine_names.n_items; i++) {
        entry_begin(w, "bdev_examine");
        ash_jsonw_str(w, "name", rpc->examine_names.items[i]);
        entry_end(w);
    }
    for (struct bdev_module *const *m = bdev_modules; *m; m++)
        if ((*m)->dump_config)
            (*m)->dump_config(mgr, w);
    for (struct bdev *b = bdev_next(mgr, NULL); b; b = bdev_next(mgr, b))
        dump_bdev(b, w);
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "method", "bdev_wait_for_examine");
    ash_jsonw_obj_end(w);
}

static void dump_export(const struct nbd_export_info *info, void *arg)
{
    struct ash_jsonw *w = arg;
    entry_begin(w, "nbd_add_export");
    ash_jsonw_str(w, "bdev", info->bdev);
    ash_jsonw_str(w, "name", info->name);
    ash_jsonw_bool(w, "readonly", info->read_only);
    entry_end(w);
}

static void dump_file(const struct fexp_info *info, void *arg)
{
    struct ash_jsonw *w = arg;
    if (!info->name)
        return;
    entry_begin(w, "fuse_mount");
    ash_jsonw_str(w, "bdev", info->bdev);
    ash_jsonw_str(w, "dir", info->dir);
    ash_jsonw_str(w, "name", info->name);
    ash_jsonw_bool(w, "readonly", info->read_only);
    entry_end(w);
}

static void dump_nbd(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    struct nbd_server *srv = ash_engine_nbd(rpc->engine);
    const char *address;
    for (size_t i = 0; (address = nbd_listener_address(srv, i)); i++) {
        entry_begin(w, "nbd_listen");
        ash_jsonw_str(w, "uri", address);
        entry_end(w);
    }
    nbd_for_each_export(srv, dump_export, w);
    struct fexp_server *files;
    if (!fexp_server(rpc->engine, &files, NULL)) /* else built without: nothing to save */
        fexp_for_each(files, dump_file, w);
}

static void dump_nvmf(struct jsonrpc *rpc, struct ash_jsonw *w)
{
    nvmf_dump_config(ash_engine_nvmf(rpc->engine), w);
}

static const struct {
    const char *name;
    void (*dump)(struct jsonrpc *rpc, struct ash_jsonw *w);
} subsystems[] = {{"scheduler", dump_scheduler},
                  {"sock", dump_sock},
                  {"iobuf", dump_iobuf},
                  {"accel", dump_accel},
                  {"bdev", dump_bdevs},
                  {"nbd", dump_nbd},
                  {"nvmf", dump_nvmf}};

int rpc_dump_subsystem(struct jsonrpc *rpc, const char *subsystem, struct ash_jsonw *w)
{
    for (size_t i = 0; i < ASH_N_ELEMS(subsystems); i++) {
        if (strcmp(subsystems[i].name, subsystem) == 0) {
            ash_jsonw_arr(w, NULL);
            subsystems[i].dump(rpc, w);
            ash_jsonw_arr_end(w);
            return 0;
        }
    }
    return -ENOENT;
}

int jsonrpc_save_config(struct ash_engine *engine, struct ash_buf *out, struct ash_err *err)
{
    struct jsonrpc *rpc = rpc_of(engine);
    if (!rpc)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the JSON-RPC methods");
    struct ash_jsonw w;
    ash_jsonw_init(&w, out);
    ash_jsonw_obj(&w, NULL);
    ash_jsonw_arr(&w, "subsystems");
    for (size_t i = 0; i < ASH_N_ELEMS(subsystems); i++) {
        ash_jsonw_obj(&w, NULL);
        ash_jsonw_str(&w, "subsystem", subsystems[i].name);
        ash_jsonw_arr(&w, "config");
        subsystems[i].dump(rpc, &w);
        ash_jsonw_arr_end(&w);
        ash_jsonw_obj_end(&w);
    }
    ash_jsonw_arr_end(&w);
    ash_jsonw_obj_end(&w);
    return out->failed ? ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the configuration")
                       : 0;
}

struct get_config_params {
    char *name;
    bool with_batches;
};

static const struct ash_param get_config_table[] = {
    ASH_PARAM(struct get_config_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "subsystem"),
    ASH_PARAM(struct get_config_params, with_batches, ASH_P_BOOL, 0, "false",
              "accepted: no subsystem here has groups of independent calls"),
    {0},
};

static int get_config(struct ash_call *call, void *params)
{
    const struct get_config_params *p = params;
    if (rpc_dump_subsystem(rpc_of(call->engine), p->name, call->result) == 0)
        return 0;
    int rc =
        ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->name, "there is no subsystem '%s'", p->name);
    return rpc_fail(call, rc, RPC_INVALID_PARAMS, "Subsystem '%s' not found", p->name);
}

const struct ash_method rpc_config_methods[] = {
    {.name = "framework_get_config",
     .help = "The calls that make the live state of a subsystem again",
     .params = get_config_table,
     .params_bytes = sizeof(struct get_config_params),
     .flags = ASH_M_READ_ONLY,
     .decode_code = RPC_INVALID_PARAMS,
     .decode_text = "Invalid arguments",
     .run = get_config},
    {0},
};

/* ------------------------------------------------------------------ loading */

/* The block comment at from; one that is never closed stays, to be refused as no JSON.
 * Returns its last byte. */
static size_t blank_block(char *text, size_t n_bytes, size_t from)
{
    const char *close = memmem(text + from + 2, n_bytes - from - 2, "*/", 2);
    if (!close)
        return n_bytes;
    size_t last = (size_t)(close - text) + 1;
    for (size_t i = from; i <= last; i++)
        if (text[i] != '\n')
            text[i] = ' ';
    return last;
}

/* Comments become blanks, so that places in messages stay right. */
static void blank_comments(char *text, size_t n_bytes)
{
    bool in_string = false;
    for (size_t i = 0; i < n_bytes; i++) {
        char next = i + 1 < n_bytes ? text[i + 1] : '\0';
        if (in_string) {
            if (text[i] == '\\')
                i++; /* whatever is escaped does not end the string */
            else
                in_string = text[i] != '"';
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '/' && next == '/') {
            for (; i < n_bytes && text[i] != '\n'; i++)
                text[i] = ' ';
        } else if (text[i] == '/' && next == '*') {
            i = blank_block(text, n_bytes, i);
        }
    }
}

struct loader {
    struct jsonrpc *rpc;
    bool ignore_errors, moved;
    struct ash_err *err;
};

/* What an entry is; NULL in the entry's place when it has been run. */
static int entry_method(struct loader *l, struct json_object *entry, struct rpc_entry **ret_method,
                        struct json_object **ret_params)
{
    struct json_object *name = NULL;
    *ret_params = NULL;
    if (!json_object_is_type(entry, json_type_object) ||
        !json_object_object_get_ex(entry, "method", &name) ||
        !json_object_is_type(name, json_type_string))
        return ash_err_set(l->err, ASH_E_CONFIG_SYNTAX, NULL,
                           "an entry of the configuration has no method");
    json_object_object_get_ex(entry, "params", ret_params);
    *ret_method = rpc_find(l->rpc, json_object_get_string(name));
    if (!*ret_method)
        return ash_err_set(l->err, ASH_E_RPC_METHOD, json_object_get_string(name),
                           "the configuration uses the method '%s', which does not exist",
                           json_object_get_string(name));
    return 0;
}

/* All entries, whatever is callable now, must be of known methods. */
static int check_entries(struct loader *l, struct json_object *list)
{
    if (!json_object_is_type(list, json_type_array))
        return list ? ash_err_set(l->err, ASH_E_CONFIG_SYNTAX, NULL,
                                  "'config' of a subsystem must be a list")
                    : 0;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *entry = json_object_array_get_idx(list, i), *params;
        struct rpc_entry *method;
        int rc = json_object_is_type(entry, json_type_array)
                     ? check_entries(l, entry)
                     : entry_method(l, entry, &method, &params);
        if (rc)
            return rc;
    }
    return 0;
}

static int run_entry(struct loader *l, struct json_object *entry, bool *ret_ran)
{
    struct rpc_entry *method;
    struct json_object *params;
    struct ash_err err = {.reason = ASH_OK};
    *ret_ran = false;
    int rc = entry_method(l, entry, &method, &params);
    if (rc || !rpc_callable(l->rpc, method->method))
        return rc;
    *ret_ran = l->moved = true;
    struct ash_buf out ASH_CLEANUP(ash_buf_free) = {0};
    struct jsonrpc_failure failure;
    rc = rpc_run(l->rpc, method, params, false, &out, &failure, &err);
    if (rc == 0)
        return 0;
    if (l->ignore_errors) {
        rpc_log(l->rpc, JSONRPC_LOG_WARNING, "configuration: %s failed and was left out: %s",
                method->method->name, err.reason ? err.text : failure.message);
        return 0;
    }
    if (err.reason == ASH_OK)
        ash_err_set_rc(&err, rc, ASH_E_INTERNAL, method->method->name, "%s", failure.message);
    if (l->err && l->err->reason == ASH_OK)
        *l->err = err;
    return ash_err_while(l->err, rc, "running '%s' of the configuration", method->method->name);
}

/* Run what can be run now, in order, and take it off the list. */
static int run_entries(struct loader *l, struct json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list);) {
        struct json_object *entry = json_object_array_get_idx(list, i);
        bool ran;
        int rc;
        if (json_object_is_type(entry, json_type_array)) {
            rc = run_entries(l, entry);
            ran = json_object_array_length(entry) == 0;
        } else {
            rc = run_entry(l, entry, &ran);
        }
        if (rc)
            return rc;
        if (ran)
            json_object_array_del_idx(list, i, 1);
        else
            i++;
    }
    return 0;
}

static int each_subsystem(struct loader *l, struct json_object *list,
                          int (*fn)(struct loader *l, struct json_object *entries))
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *sub = json_object_array_get_idx(list, i), *config = NULL;
        if (!json_object_is_type(sub, json_type_object))
            return ash_err_set(l->err, ASH_E_CONFIG_SYNTAX, NULL,
                               "a subsystem of the configuration is no object");
        json_object_object_get_ex(sub, "config", &config);
        if (config || fn == check_entries) {
            int rc = fn(l, config);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int load(struct loader *l, struct json_object *root)
{
    struct json_object *list = NULL;
    if (!json_object_is_type(root, json_type_object) ||
        !json_object_object_get_ex(root, "subsystems", &list) ||
        !json_object_is_type(list, json_type_array))
        return ash_err_set(l->err, ASH_E_CONFIG_SYNTAX, NULL,
                           "the configuration must be {\"subsystems\": [...]}");
    int rc = each_subsystem(l, list, check_entries);
    if (rc)
        return rc;
    do {
        l->moved = false;
        rc = each_subsystem(l, list, run_entries);
        if (rc == 0 && !l->rpc->running && !l->rpc->starting) {
            rc = rpc_start(l->rpc, l->err);
            l->moved = true;
        }
    } while (rc == 0 && l->moved);
    return rc;
}

int jsonrpc_load_config(struct ash_engine *engine, const char *text, size_t n_bytes,
                        bool ignore_errors, struct ash_err *err)
{
    struct jsonrpc *rpc = rpc_of(engine);
    char *copy = rpc ? rt_alloc(n_bytes + 1) : NULL;
    if (!copy)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the configuration");
    memcpy(copy, text, n_bytes);
    blank_comments(copy, n_bytes);
    struct json_object *root = NULL;
    int rc = jsonrpc_parse(copy, n_bytes, &root, err);
    rt_free(copy);
    if (rc == 0) {
        struct loader l = {.rpc = rpc, .ignore_errors = ignore_errors, .err = err};
        rc = load(&l, root);
    }
    json_object_put(root);
    return rc ? ash_err_while(err, rc, "loading the configuration") : 0;
}
