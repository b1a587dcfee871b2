/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on volumes, snapshots and clones. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/nouns.h"

/* "POOL/NAME" in two. */
static int split(const char *text, char pool[128], const char **ret_name, struct ash_err *err)
{
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : 0;
    if (!slash || !n || n >= 128 || !slash[1])
        return ash_err_set(err, ASH_E_USAGE, text, "'%s' is not of the form POOL/NAME", text);
    memcpy(pool, text, n);
    pool[n] = '\0';
    *ret_name = slash + 1;
    return 0;
}

/* The name alone, of "NAME" or of "POOL/NAME" with the pool of `of`. */
static int name_in(const char *of, const char *text, const char **ret_name, struct ash_err *err)
{
    const char *slash = strchr(text, '/'), *of_slash = strchr(of, '/');
    *ret_name = text;
    if (!slash)
        return 0;
    size_t n = (size_t)(slash - text);
    if (!of_slash || (size_t)(of_slash - of) != n || memcmp(of, text, n))
        return ash_err_set(err, ASH_E_BAD_NAME, text, "'%s' is in another pool than %s", text, of);
    *ret_name = slash + 1;
    return 0;
}

static int volume_info(struct cli *cli, const char *name, struct json_object **ret,
                       struct ash_err *err)
{
    return cli_call(cli, "volume_info", cli_params("name", name, NULL), ret, err);
}

static int print_id(struct cli *cli, const char *method, struct json_object *params,
                    struct ash_err *err)
{
    struct json_object *id = NULL;
    int rc = cli_call(cli, method, params, &id, err);
    if (rc)
        return rc;
    cli_out(cli, "%s\n", json_object_get_string(id));
    json_object_put(id);
    return CLI_DONE;
}

static int size_of(const char *text, uint64_t *ret, struct ash_err *err)
{
    if (ash_parse_size(text, ret))
        return ash_err_set(err, ASH_E_BAD_SIZE, text, "'%s' is not a size", text);
    return 0;
}

int cli_volume_create(struct cli *cli, struct ash_err *err)
{
    char pool[128];
    const char *name = NULL;
    uint64_t size = 0;
    int rc = split(cli->args[0], pool, &name, err);
    if (!rc)
        rc = size_of(cli->args[1], &size, err);
    if (!rc && cli_flag(cli, "thick") && cli_flag(cli, "thin"))
        rc = ash_err_set(err, ASH_E_USAGE, NULL, "--thick and --thin exclude each other");
    if (rc)
        return rc;
    struct json_object *p =
        cli_params("lvs_name", pool, "lvol_name", name, "clear_method", cli_opt(cli, "clear"),
                   "lvol_uuid", cli_opt(cli, "uuid"), NULL);
    json_object_object_add(p, "size", json_object_new_uint64(size));
    json_object_object_add(p, "thin_provision", json_object_new_boolean(!cli_flag(cli, "thick")));
    return print_id(cli, "bdev_lvol_create", p, err);
}

static int delete_one(struct cli *cli, bool want_snapshot, struct ash_err *err)
{
    const char *name = cli->args[0];
    struct json_object *info = NULL;
    char size[32];
    int rc = volume_info(cli, name, &info, err);
    if (rc)
        return rc;
    bool snapshot = cli_jbool(info, "snapshot");
    if (want_snapshot && !snapshot)
        rc = ash_err_set(err, ASH_E_BAD_ARGUMENT, name, "%s is no snapshot but a volume", name);
    else if (cli_ju64(info, "n_clones") > 1)
        rc = ash_err_set(err, ASH_E_VOLUME_HAS_CLONES, name, "%s has %llu clones", name,
                         (unsigned long long)cli_ju64(info, "n_clones"));
    else
        rc = cli_confirm(cli, err, "delete %s %s (%s)", snapshot ? "snapshot" : "volume", name,
                         ash_format_size(cli_ju64(info, "size_bytes"), size, sizeof(size)));
    json_object_put(info);
    if (rc)
        return rc < 0 ? rc : CLI_DONE;
    return cli_call_quiet(cli, "bdev_lvol_delete", cli_params("name", name, NULL), err);
}

int cli_volume_delete(struct cli *cli, struct ash_err *err)
{
    return delete_one(cli, false, err);
}

int cli_snapshot_delete(struct cli *cli, struct ash_err *err)
{
    return delete_one(cli, true, err);
}

int cli_volume_resize(struct cli *cli, struct ash_err *err)
{
    const char *name = cli->args[0];
    struct json_object *info = NULL;
    uint64_t size = 0;
    char from[32], to[32];
    int rc = size_of(cli->args[1], &size, err);
    if (!rc)
        rc = volume_info(cli, name, &info, err);
    if (rc)
        return rc;
    uint64_t old = cli_ju64(info, "size_bytes");
    json_object_put(info);
    if (size < old || cli_flag(cli, "dry-run")) {
        rc = cli_confirm(cli, err, "%s volume %s from %s to %s", size < old ? "shrink" : "grow",
                         name, ash_format_size(old, from, sizeof(from)),
                         ash_format_size(size, to, sizeof(to)));
        if (rc)
            return rc < 0 ? rc : CLI_DONE;
    }
    struct json_object *p = cli_params("name", name, NULL);
    json_object_object_add(p, "size", json_object_new_uint64(size));
    return cli_call_quiet(cli, "bdev_lvol_resize", p, err);
}

int cli_volume_rename(struct cli *cli, struct ash_err *err)
{
    const char *to = NULL;
    int rc = name_in(cli->args[0], cli->args[1], &to, err);
    if (rc)
        return rc;
    return cli_call_quiet(cli, "bdev_lvol_rename",
                          cli_params("old_name", cli->args[0], "new_name", to, NULL), err);
}

int cli_volume_set_read_only(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(cli, "bdev_lvol_set_read_only", cli_params("name", cli->args[0], NULL),
                          err);
}

int cli_volume_inflate(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(cli, "bdev_lvol_inflate", cli_params("name", cli->args[0], NULL), err);
}

int cli_volume_decouple(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(cli, "bdev_lvol_decouple_parent", cli_params("name", cli->args[0], NULL),
                          err);
}

int cli_volume_set_parent(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(
        cli, cli_flag(cli, "bdev") ? "bdev_lvol_set_parent_bdev" : "bdev_lvol_set_parent",
        cli_params("lvol_name", cli->args[0], "parent_name", cli->args[1], NULL), err);
}

int cli_volume_show(struct cli *cli, struct ash_err *err)
{
    struct json_object *info = NULL;
    int rc = volume_info(cli, cli->args[0], &info, err);
    if (rc)
        return rc;
    cli_show(cli, info);
    json_object_put(info);
    return CLI_DONE;
}

static void volume_row(struct cli_table *t, struct json_object *v)
{
    const char *parent = cli_jget(v, "parent")     ? cli_jstr(v, "parent")
                         : cli_jget(v, "esnap_id") ? cli_jstr(v, "esnap_id")
                                                   : "-";
    cli_table_cell(t, "%s", cli_jstr(v, "alias"));
    cli_size_cell(t, cli_ju64(v, "size_bytes"));
    cli_size_cell(t, cli_ju64(v, "allocated_bytes"));
    cli_table_cell(t, "%s",
                   cli_jbool(v, "snapshot")    ? "snapshot"
                   : cli_jbool(v, "read_only") ? "read-only"
                   : cli_jbool(v, "thin")      ? "thin"
                                               : "thick");
    cli_table_cell(t, "%s", parent);
    cli_table_cell(t, "%llu", (unsigned long long)cli_ju64(v, "n_clones"));
    cli_table_cell(t, "%s", cli_jstr(v, "state"));
}

static int list(struct cli *cli, bool only_snapshots, struct ash_err *err)
{
    static const char *const heads[] = {"VOLUME", ">SIZE",   ">ALLOCATED", "KIND",
                                        "PARENT", ">CLONES", "STATE",      NULL};
    struct json_object *all = NULL, *shown = json_object_new_array();
    int rc = cli_call(cli, "volume_list",
                      cli_params("pool", cli->n_args ? cli->args[0] : NULL, NULL), &all, err);
    struct cli_table t = {.heads = heads};
    for (size_t i = 0; !rc && i < json_object_array_length(all); i++) {
        struct json_object *v = json_object_array_get_idx(all, i);
        if (only_snapshots && !cli_jbool(v, "snapshot"))
            continue;
        json_object_array_add(shown, json_object_get(v));
        volume_row(&t, v);
    }
    if (!rc && cli->json)
        cli_out_json(cli, shown);
    else if (!rc)
        cli_table_print(cli, &t);
    ash_buf_free(&t.cells);
    json_object_put(shown);
    json_object_put(all);
    return rc;
}

int cli_volume_list(struct cli *cli, struct ash_err *err)
{
    return list(cli, false, err);
}

int cli_snapshot_list(struct cli *cli, struct ash_err *err)
{
    return list(cli, true, err);
}

int cli_snapshot_create(struct cli *cli, struct ash_err *err)
{
    const char *name = NULL;
    int rc = name_in(cli->args[0], cli->args[1], &name, err);
    if (rc)
        return rc;
    return print_id(cli, "bdev_lvol_snapshot",
                    cli_params("lvol_name", cli->args[0], "snapshot_name", name, "lvol_uuid",
                               cli_opt(cli, "uuid"), NULL),
                    err);
}

int cli_clone_create(struct cli *cli, struct ash_err *err)
{
    const char *name = NULL;
    char pool[128];
    int rc;
    if (cli_flag(cli, "bdev")) {
        rc = split(cli->args[1], pool, &name, err);
        return rc ? rc
                  : print_id(cli, "bdev_lvol_clone_bdev",
                             cli_params("bdev", cli->args[0], "lvs_name", pool, "clone_name", name,
                                        "lvol_uuid", cli_opt(cli, "uuid"), NULL),
                             err);
    }
    rc = name_in(cli->args[0], cli->args[1], &name, err);
    if (rc)
        return rc;
    return print_id(cli, "bdev_lvol_clone",
                    cli_params("snapshot_name", cli->args[0], "clone_name", name, "lvol_uuid",
                               cli_opt(cli, "uuid"), NULL),
                    err);
}
