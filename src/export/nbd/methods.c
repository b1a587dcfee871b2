/* SPDX-License-Identifier: Apache-2.0 */
/* JSON-RPC methods of the NBD server. */
#include <string.h>

#include "export/nbd/nbd.h"

struct p_uri {
    char *uri;
};

static const struct ash_param uri_params[] = {
    ASH_PARAM(struct p_uri, uri, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "unix:///PATH or tcp://ADDRESS:PORT (port 0 chooses one)"),
    {0}};

struct p_add {
    char *bdev, *name, *description;
    bool readonly;
    bool is_default;
};

static const struct ash_param add_params[] = {
    ASH_PARAM(struct p_add, bdev, ASH_P_STR, ASH_P_REQUIRED, NULL, "name, alias or UUID"),
    ASH_PARAM(struct p_add, name, ASH_P_STR, 0, NULL, "export name; the device's when left out"),
    ASH_PARAM(struct p_add, readonly, ASH_P_BOOL, 0, "false", "refuse writes"),
    ASH_PARAM(struct p_add, description, ASH_P_STR, 0, NULL, "text for people, shown by nbdinfo"),
    {.name = "default",
     .type = ASH_P_BOOL,
     .offset = offsetof(struct p_add, is_default),
     .has_offset = SIZE_MAX,
     .dflt = "false",
     .help = "clients that ask for the empty name get this export"},
    {0}};

struct p_remove {
    char *name;
    bool force;
};

static const struct ash_param remove_params[] = {
    ASH_PARAM(struct p_remove, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "export name"),
    ASH_PARAM(struct p_remove, force, ASH_P_BOOL, 0, "false",
              "also when clients are connected: they are shut out"),
    {0}};

static int run_listen(struct ash_call *call, void *params)
{
    struct p_uri *p = params;
    struct nbd_server *srv = ash_engine_nbd(call->engine);
    int rc = nbd_listen(srv, p->uri, call->err);
    if (rc)
        return rc;
    const char *address = p->uri, *a;
    for (size_t i = 0; (a = nbd_listener_address(srv, i)) != NULL; i++)
        address = a; /* the newest is the last */
    ash_jsonw_str(call->result, NULL, address);
    return 0;
}

static int run_unlisten(struct ash_call *call, void *params)
{
    struct p_uri *p = params;
    int rc = nbd_unlisten(ash_engine_nbd(call->engine), p->uri, call->err);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static int run_get_listeners(struct ash_call *call, void *params)
{
    const char *address;
    ash_jsonw_arr(call->result, NULL);
    for (size_t i = 0; (address = nbd_listener_address(ash_engine_nbd(call->engine), i)); i++)
        ash_jsonw_str(call->result, NULL, address);
    ash_jsonw_arr_end(call->result);
    return 0;
}

static int run_add_export(struct ash_call *call, void *params)
{
    struct p_add *p = params;
    struct nbd_server *srv = ash_engine_nbd(call->engine);
    const char *name = p->name && p->name[0] ? p->name : p->bdev;
    int rc = nbd_add_export(srv, p->bdev, name, p->readonly, p->description, call->err);
    if (rc == 0 && p->is_default)
        rc = nbd_set_default_export(srv, name, call->err);
    if (rc == 0)
        ash_jsonw_str(call->result, NULL, name);
    return rc;
}

static int run_remove_export(struct ash_call *call, void *params)
{
    struct p_remove *p = params;
    int rc = nbd_remove_export(ash_engine_nbd(call->engine), p->name, p->force, call->err);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

struct dump {
    struct ash_jsonw *w;
    const struct nbd_server *srv;
};

static void dump_export(const struct nbd_export_info *info, void *arg)
{
    const struct dump *d = arg;
    struct ash_jsonw *w = d->w;
    const struct nbd_counters *c = &info->counters;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "name", info->name);
    ash_jsonw_str(w, "bdev", info->bdev);
    ash_jsonw_str(w, "description", info->description);
    ash_jsonw_u64(w, "size_bytes", info->size_bytes);
    ash_jsonw_bool(w, "readonly", info->read_only);
    ash_jsonw_bool(w, "default", info->is_default);
    ash_jsonw_u64(w, "connections", info->n_connections);
    ash_jsonw_arr(w, "uris");
    for (size_t i = 0; nbd_listener_address(d->srv, i); i++) {
        struct ash_buf uri = {0};
        nbd_export_uri(d->srv, i, info->name, &uri);
        ash_jsonw_str(w, NULL, ash_buf_text(&uri));
        ash_buf_free(&uri);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj(w, "counters");
    ash_jsonw_u64(w, "reads", c->n_reads);
    ash_jsonw_u64(w, "bytes_read", c->read_bytes);
    ash_jsonw_u64(w, "writes", c->n_writes);
    ash_jsonw_u64(w, "bytes_written", c->write_bytes);
    ash_jsonw_u64(w, "flushes", c->n_flushes);
    ash_jsonw_u64(w, "trims", c->n_trims);
    ash_jsonw_u64(w, "bytes_trimmed", c->trim_bytes);
    ash_jsonw_u64(w, "write_zeroes", c->n_zeroes);
    ash_jsonw_u64(w, "bytes_zeroed", c->zeroes_bytes);
    ash_jsonw_u64(w, "block_status", c->n_status);
    ash_jsonw_u64(w, "errors", c->n_errors);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

static int run_get_exports(struct ash_call *call, void *params)
{
    struct dump d = {call->result, ash_engine_nbd(call->engine)};
    ash_jsonw_arr(call->result, NULL);
    nbd_for_each_export(d.srv, dump_export, &d);
    ash_jsonw_arr_end(call->result);
    return 0;
}

static void add_escaped(struct ash_buf *out, const char *text, const char *also)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr(also, c);
        if (plain)
            ash_buf_chr(out, (char)c);
        else
            ash_buf_fmt(out, "%%%02X", c);
    }
}

void nbd_export_uri(const struct nbd_server *srv, size_t listener_idx, const char *name,
                    struct ash_buf *out)
{
    const char *address = nbd_listener_address(srv, listener_idx);
    if (!address)
        return;
    bool local = ash_starts_with(address, "unix://");
    const char *rest = strstr(address, "://") ? strstr(address, "://") + 3 : address;
    if (local)
        ash_buf_str(out, "nbd+unix:///");
    else
        ash_buf_fmt(out, "nbd://%s/", rest);
    add_escaped(out, name, "-._~/:");
    if (local) {
        ash_buf_str(out, "?socket=");
        add_escaped(out, rest, "-._~/");
    }
}

const struct ash_method nbd_methods[] = {
    {.name = "nbd_listen",
     .help = "Listen for NBD clients; the result is the address",
     .params = uri_params,
     .params_bytes = sizeof(struct p_uri),
     .run = run_listen},
    {.name = "nbd_unlisten",
     .help = "Stop listening; connections stay",
     .params = uri_params,
     .params_bytes = sizeof(struct p_uri),
     .run = run_unlisten},
    {.name = "nbd_get_listeners",
     .help = "Addresses of the NBD server",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = run_get_listeners},
    {.name = "nbd_add_export",
     .help = "Export a device by NBD; the result is the export's name",
     .params = add_params,
     .params_bytes = sizeof(struct p_add),
     .run = run_add_export},
    {.name = "nbd_remove_export",
     .help = "Take an NBD export away",
     .params = remove_params,
     .params_bytes = sizeof(struct p_remove),
     .run = run_remove_export},
    {.name = "nbd_get_exports",
     .help = "NBD exports with their URIs, connections and counters",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = run_get_exports},
    {0}};
