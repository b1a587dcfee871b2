/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's configuration in TOML:
 *
 *   disks = ["/dev/vdb", "malloc:///m0?size_mb=64"]
 *   [nbd]
 *   listen = ["tcp://0.0.0.0:10809"]
 *   [[call]]                       # any JSON-RPC method, in order, after the disks
 *   method = "bdev_lvol_create"
 *   params = { lvs_name = "tank", lvol_name = "v1", size_in_mib = 64 }
 *   [[export]]
 *   volume = "tank/v1"
 *   name = "v1"
 *   readonly = false
 *
 * Unknown keys are errors: a misspelt one would otherwise be a silent loss. */
#include <errno.h>
#include <string.h>

#include "base/toml.h"
#include "ctl/cli/serve.h"
#include "export/nbd/nbd.h"

static int check_keys(struct json_object *obj, const char *where, const char *known,
                      struct ash_err *err)
{
    json_object_object_foreach(obj, key, val)
    {
        (void)val;
        size_t n = strlen(key);
        const char *p = known;
        while (p && (strncmp(p, key, n) || (p[n] && p[n] != ' '))) {
            p = strchr(p, ' ');
            p = p ? p + 1 : NULL;
        }
        if (!p)
            return ash_err_set(err, ASH_E_CONFIG_SYNTAX, key, "%s: unknown key '%s' (known: %s)",
                               where, key, known);
    }
    return 0;
}

static int get_array(struct json_object *obj, const char *key, struct json_object **ret,
                     struct ash_err *err)
{
    *ret = cli_jget(obj, key);
    if (*ret && !json_object_is_type(*ret, json_type_array))
        return ash_err_set(err, ASH_E_CONFIG_SYNTAX, key, "'%s' must be an array", key);
    return 0;
}

static size_t length(struct json_object *arr)
{
    return arr ? json_object_array_length(arr) : 0;
}

static const char *text_of(struct json_object *arr, size_t i)
{
    struct json_object *v = json_object_array_get_idx(arr, i);
    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static int call_one(struct ash_engine *engine, struct json_object *call, struct ash_err *err)
{
    struct ash_buf out = {0};
    const char *method = cli_jstr(call, "method");
    int rc = check_keys(call, "[[call]]", "method params", err);
    if (!rc && !*method)
        rc = ash_err_set(err, ASH_E_CONFIG_SYNTAX, NULL, "[[call]] has no method");
    if (!rc)
        rc = jsonrpc_call(engine, method, cli_jget(call, "params"), &out, err);
    ash_buf_free(&out);
    return rc ? ash_err_while(err, rc, "calling %s", method) : 0;
}

static int export_one(struct ash_engine *engine, struct json_object *obj, struct ash_err *err)
{
    const char *volume = cli_jstr(obj, "volume"), *name = cli_jstr(obj, "name");
    int rc = check_keys(obj, "[[export]]", "volume name readonly", err);
    if (!rc && !*volume)
        rc = ash_err_set(err, ASH_E_CONFIG_SYNTAX, NULL, "[[export]] has no volume");
    if (!rc)
        rc = nbd_add_export(ash_engine_nbd(engine), volume, *name ? name : volume,
                            cli_jbool(obj, "readonly"), NULL, err);
    return rc ? ash_err_while(err, rc, "exporting %s", volume) : 0;
}

static int apply(struct cli *cli, struct ash_engine *engine, struct json_object *root,
                 struct ash_err *err)
{
    struct json_object *disks, *calls, *exports, *listen = NULL, *nbd = cli_jget(root, "nbd");
    int rc = check_keys(root, "the configuration", "disks nbd call export", err);
    if (!rc)
        rc = get_array(root, "disks", &disks, err);
    if (!rc)
        rc = get_array(root, "call", &calls, err);
    if (!rc)
        rc = get_array(root, "export", &exports, err);
    if (!rc && nbd)
        rc = json_object_is_type(nbd, json_type_object)
                 ? check_keys(nbd, "[nbd]", "listen", err)
                 : ash_err_set(err, ASH_E_CONFIG_SYNTAX, "nbd", "'nbd' must be a table");
    if (!rc && nbd)
        rc = get_array(nbd, "listen", &listen, err);
    for (size_t i = 0; !rc && i < length(disks); i++)
        rc = text_of(disks, i)
                 ? cli_add_disk(cli, engine, text_of(disks, i), false, NULL, err)
                 : ash_err_set(err, ASH_E_CONFIG_SYNTAX, "disks", "'disks' must hold texts");
    if (!rc && length(disks))
        bdev_wait_for_examine(ash_engine_bdevs(engine));
    for (size_t i = 0; !rc && i < length(calls); i++)
        rc = call_one(engine, json_object_array_get_idx(calls, i), err);
    for (size_t i = 0; !rc && i < length(exports); i++)
        rc = export_one(engine, json_object_array_get_idx(exports, i), err);
    for (size_t i = 0; !rc && i < length(listen); i++)
        rc = text_of(listen, i)
                 ? nbd_listen(ash_engine_nbd(engine), text_of(listen, i), err)
                 : ash_err_set(err, ASH_E_CONFIG_SYNTAX, "listen", "'listen' must hold texts");
    return rc;
}

int cli_config_toml(struct cli *cli, struct ash_engine *engine, const char *text, size_t n_bytes,
                    struct ash_err *err)
{
    struct json_object *root = NULL;
    int rc = ash_toml_parse(text, n_bytes, &root, err);
    if (!rc && !ash_engine_started(engine))
        rc = ash_engine_start(engine, err);
    if (!rc)
        rc = apply(cli, engine, root, err);
    json_object_put(root);
    return rc;
}
