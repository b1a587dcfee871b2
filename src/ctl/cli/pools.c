/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on pools and exports. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/nouns.h"

int cli_find(struct cli *cli, const char *method, const char *key, const char *name,
             struct json_object **ret, struct ash_err *err)
{
    struct json_object *all = NULL;
    int rc = cli_call(cli, method, NULL, &all, err);
    if (rc)
        return rc;
    *ret = NULL;
    for (size_t i = 0; i < json_object_array_length(all) && !*ret; i++) {
        struct json_object *obj = json_object_array_get_idx(all, i);
        if (!strcmp(cli_jstr(obj, key), name) || !strcmp(cli_jstr(obj, "uuid"), name))
            *ret = json_object_get(obj);
    }
    json_object_put(all);
    return 0;
}

int cli_find_pool(struct cli *cli, const char *name, struct json_object **ret, struct ash_err *err)
{
    int rc = cli_find(cli, "pool_list", "name", name, ret, err);
    if (!rc && !*ret)
        rc = ash_err_set(err, ASH_E_POOL_NOT_FOUND, name, "there is no pool '%s'", name);
    return rc;
}

void cli_size_cell(struct cli_table *t, uint64_t n_bytes)
{
    char size[32];
    cli_table_cell(t, "%s", ash_format_size(n_bytes, size, sizeof(size)));
}

int cli_call_quiet(struct cli *cli, const char *method, struct json_object *params,
                   struct ash_err *err)
{
    return cli_call(cli, method, params, NULL, err);
}

/* Print an object as "key: value" lines, or as JSON. */
void cli_show(struct cli *cli, struct json_object *obj)
{
    if (cli->json) {
        cli_out_json(cli, obj);
        return;
    }
    json_object_object_foreach(obj, key, val)
    {
        char size[32];
        size_t n = strlen(key);
        bool is_size = n > 6 && !strcmp(key + n - 6, "_bytes");
        const char *text = val ? json_object_get_string(val) : "-";
        if (json_object_is_type(val, json_type_array) && !json_object_array_length(val))
            text = "-";
        cli_out(cli, "%-22.*s %s", (int)(is_size ? n - 6 : n), key,
                is_size ? ash_format_size(json_object_get_uint64(val), size, sizeof(size)) : text);
        cli_out(cli, "\n");
    }
}

/* ----------------------------------------------------------------- pools */

/* A DISK argument for the daemon, which has a working directory of its own. */
static int add_disk_param(struct cli *cli, struct json_object *params, const char *disk,
                          struct ash_err *err)
{
    ASH_CLEANUP(ash_buf_free) struct ash_buf uri = {0};
    int rc = cli_disk_uri(cli, disk, &uri, err);
    if (rc) {
        json_object_put(params);
        return rc;
    }
    json_object_object_add(params, "uri", json_object_new_string(ash_buf_text(&uri)));
    return 0;
}

/* With --disk the pool is made in-process, on that disk or another that is named. */
int cli_pool_create(struct cli *cli, struct ash_err *err)
{
    struct json_object *p = cli_params("name", cli->args[0], "clear_method", cli_opt(cli, "clear"),
                                       "uuid", cli_opt(cli, "uuid"), NULL);
    int rc = add_disk_param(cli, p, cli->args[1], err);
    if (rc)
        return rc;
    if (cli_opt(cli, "cluster-size"))
        json_object_object_add(p, "cluster_size",
                               json_object_new_uint64(cli_opt_size(cli, "cluster-size", 0)));
    if (cli_opt(cli, "md-page-size"))
        json_object_object_add(p, "md_page_size",
                               json_object_new_uint64(cli_opt_size(cli, "md-page-size", 0)));
    if (cli_opt(cli, "md-ratio"))
        json_object_object_add(p, "md_ratio_percent",
                               json_object_new_uint64(cli_opt_u64(cli, "md-ratio", 0)));
    if (cli_flag(cli, "force"))
        json_object_object_add(p, "force", json_object_new_boolean(true));
    return cli_call_quiet(cli, "pool_create", p, err);
}

int cli_pool_import(struct cli *cli, struct ash_err *err)
{
    struct json_object *p = cli_params("new_name", cli_opt(cli, "name"), NULL), *pool = NULL;
    int rc = add_disk_param(cli, p, cli->args[0], err);
    if (rc)
        return rc;
    if (cli_flag(cli, "read-only"))
        json_object_object_add(p, "read_only", json_object_new_boolean(true));
    if (cli_flag(cli, "grow"))
        json_object_object_add(p, "grow", json_object_new_boolean(true));
    rc = cli_call(cli, "pool_import", p, &pool, err);
    if (rc)
        return rc;
    cli_out(cli, "pool %s with %llu volumes\n", cli_jstr(pool, "name"),
            (unsigned long long)cli_ju64(pool, "n_volumes"));
    json_object_put(pool);
    return CLI_DONE;
}

int cli_pool_export(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(cli, "pool_export", cli_params("name", cli->args[0], NULL), err);
}

int cli_pool_destroy(struct cli *cli, struct ash_err *err)
{
    struct json_object *pool = NULL;
    int rc = cli_find_pool(cli, cli->args[0], &pool, err);
    if (rc)
        return rc;
    rc = cli_confirm(cli, err, "destroy pool %s with its %llu volumes", cli->args[0],
                     (unsigned long long)cli_ju64(pool, "n_volumes"));
    json_object_put(pool);
    if (rc)
        return rc < 0 ? rc : CLI_DONE;
    return cli_call_quiet(cli, "pool_destroy", cli_params("name", cli->args[0], NULL), err);
}

int cli_pool_grow(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(cli, "pool_grow", cli_params("name", cli->args[0], NULL), err);
}

int cli_pool_rename(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(cli, "pool_rename",
                          cli_params("name", cli->args[0], "new_name", cli->args[1], NULL), err);
}

int cli_pool_list(struct cli *cli, struct ash_err *err)
{
    static const char *const heads[] = {"POOL",     ">SIZE", ">USED", ">FREE",
                                        ">VOLUMES", "DISK",  "STATE", NULL};
    struct json_object *pools = NULL;
    int rc = cli_call(cli, "pool_list", NULL, &pools, err);
    if (rc)
        return rc;
    if (cli->json) {
        cli_out_json(cli, pools);
    } else {
        struct cli_table t = {.heads = heads};
        for (size_t i = 0; i < json_object_array_length(pools); i++) {
            struct json_object *p = json_object_array_get_idx(pools, i);
            cli_table_cell(&t, "%s", cli_jstr(p, "name"));
            cli_size_cell(&t, cli_ju64(p, "capacity_bytes"));
            cli_size_cell(&t, cli_ju64(p, "used_bytes"));
            cli_size_cell(&t, cli_ju64(p, "free_bytes"));
            cli_table_cell(&t, "%llu", (unsigned long long)cli_ju64(p, "n_volumes"));
            cli_table_cell(&t, "%s", cli_jstr(p, "base_bdev"));
            cli_table_cell(&t, "%s%s", cli_jbool(p, "degraded") ? "degraded" : "ok",
                           cli_jbool(p, "read_only") ? ", read-only" : "");
        }
        cli_table_print(cli, &t);
    }
    json_object_put(pools);
    return CLI_DONE;
}

int cli_pool_show(struct cli *cli, struct ash_err *err)
{
    struct json_object *pool = NULL;
    int rc = cli_find_pool(cli, cli->args[0], &pool, err);
    if (rc)
        return rc;
    cli_show(cli, pool);
    json_object_put(pool);
    return CLI_DONE;
}

/* --------------------------------------------------------------- exports */

int cli_export_add(struct cli *cli, struct ash_err *err)
{
    const char *name = cli_opt(cli, "name");
    struct json_object *p =
        cli_params("bdev", cli->args[0], "name", name ? name : cli->args[0], NULL);
    if (cli_flag(cli, "read-only"))
        json_object_object_add(p, "readonly", json_object_new_boolean(true));
    return cli_call_quiet(cli, "nbd_add_export", p, err);
}

int cli_export_remove(struct cli *cli, struct ash_err *err)
{
    struct json_object *p = cli_params("name", cli->args[0], NULL);
    if (cli_flag(cli, "force"))
        json_object_object_add(p, "force", json_object_new_boolean(true));
    return cli_call_quiet(cli, "nbd_remove_export", p, err);
}

int cli_export_list(struct cli *cli, struct ash_err *err)
{
    static const char *const heads[] = {"EXPORT", ">SIZE", "ACCESS", ">CLIENTS", "URI", NULL};
    struct json_object *exports = NULL;
    int rc = cli_call(cli, "nbd_get_exports", NULL, &exports, err);
    if (rc)
        return rc;
    if (cli->json) {
        cli_out_json(cli, exports);
    } else {
        struct cli_table t = {.heads = heads};
        for (size_t i = 0; i < json_object_array_length(exports); i++) {
            struct json_object *e = json_object_array_get_idx(exports, i);
            struct json_object *uris = cli_jget(e, "uris");
            size_t n = uris ? json_object_array_length(uris) : 0;
            cli_table_cell(&t, "%s", cli_jstr(e, "name"));
            cli_size_cell(&t, cli_ju64(e, "size_bytes"));
            cli_table_cell(&t, "%s", cli_jbool(e, "readonly") ? "read" : "read-write");
            cli_table_cell(&t, "%llu", (unsigned long long)cli_ju64(e, "connections"));
            cli_table_cell(&t, "%s",
                           n ? json_object_get_string(json_object_array_get_idx(uris, 0))
                             : "(no listener)");
        }
        cli_table_print(cli, &t);
    }
    json_object_put(exports);
    return CLI_DONE;
}

int cli_export_listen(struct cli *cli, struct ash_err *err)
{
    struct json_object *address = NULL;
    int rc = cli_call(cli, "nbd_listen", cli_params("uri", cli->args[0], NULL), &address, err);
    if (rc)
        return rc;
    cli_out(cli, "%s\n", json_object_get_string(address));
    json_object_put(address);
    return CLI_DONE;
}

int cli_tasks(struct cli *cli, struct ash_err *err)
{
    static const char *const heads[] = {">ID", "TASK", "STEP", ">REACTOR", ">AGE", NULL};
    struct json_object *tasks = NULL;
    int rc = cli_call(cli, "ashlar_tasks", NULL, &tasks, err);
    if (rc)
        return rc;
    if (cli->json) {
        cli_out_json(cli, tasks);
    } else {
        struct cli_table t = {.heads = heads};
        for (size_t i = 0; i < json_object_array_length(tasks); i++) {
            struct json_object *o = json_object_array_get_idx(tasks, i);
            const char *step = cli_jstr(o, "step");
            cli_table_cell(&t, "%llu", (unsigned long long)cli_ju64(o, "id"));
            cli_table_cell(&t, "%s", cli_jstr(o, "name"));
            cli_table_cell(&t, "%s", step && *step ? step : "-");
            cli_table_cell(&t, "%llu", (unsigned long long)cli_ju64(o, "reactor"));
            cli_table_cell(&t, "%.3f s", (double)cli_ju64(o, "age_ns") / 1e9);
        }
        cli_table_print(cli, &t);
    }
    json_object_put(tasks);
    return CLI_DONE;
}
