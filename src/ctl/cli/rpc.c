/* SPDX-License-Identifier: Apache-2.0 */
/* `rpc`: one call, for people and scripts. */
#include <errno.h>
#include <string.h>

#include "ctl/cli/cmd.h"
#include "ctl/jsonrpc/jsonrpc.h"

/* What looks like a JSON number without exponent, true, false or null is one; anything else is
 * text. */
static struct json_object *guess(const char *text)
{
    const char *p = text + (*text == '-');
    size_t n_int = strspn(p, "0123456789");
    struct json_object *value = NULL;
    struct ash_err ignored = {.reason = ASH_OK};
    bool number = n_int && (n_int == 1 || *p != '0') &&
                  (!p[n_int] || (p[n_int] == '.' && p[n_int + 1] &&
                                 strspn(p + n_int + 1, "0123456789") == strlen(p + n_int + 1)));
    if ((number || !strcmp(text, "true") || !strcmp(text, "false") || !strcmp(text, "null")) &&
        !jsonrpc_parse(text, strlen(text), &value, &ignored))
        return value;
    return json_object_new_string(text);
}

static int pair(struct json_object *params, const char *text, struct ash_err *err)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text || (eq == text + 1 && *text == ':'))
        return ash_err_set(err, ASH_E_USAGE, text,
                           "rpc: '%s' is neither key=value, key:=JSON nor an object", text);
    bool as_json = eq[-1] == ':';
    char key[128];
    size_t n = (size_t)(eq - text) - as_json;
    if (n >= sizeof(key))
        return ash_err_set(err, ASH_E_USAGE, text, "rpc: the name of a parameter is too long");
    memcpy(key, text, n);
    key[n] = '\0';
    struct json_object *value = NULL;
    if (json_object_object_get_ex(params, key, &value))
        return ash_err_set(err, ASH_E_DUPLICATE_PARAMETER, key, "rpc: '%s' is given twice", key);
    value = NULL;
    if (as_json) {
        int rc = jsonrpc_parse(eq + 1, strlen(eq + 1), &value, err);
        if (rc)
            return ash_err_while(err, rc, "reading the value of '%s'", key);
    } else {
        value = guess(eq + 1);
    }
    json_object_object_add(params, key, value);
    return 0;
}

int cli_rpc(struct cli *cli, struct ash_err *err)
{
    struct json_object *params = NULL, *result = NULL;
    int rc = 0;
    if (cli->n_args == 2 && (cli->args[1][0] == '{' || cli->args[1][0] == '[')) {
        rc = jsonrpc_parse(cli->args[1], strlen(cli->args[1]), &params, err);
    } else if (cli->n_args > 1) {
        params = json_object_new_object();
        for (size_t i = 1; i < cli->n_args && !rc; i++)
            rc = pair(params, cli->args[i], err);
    }
    if (rc) {
        json_object_put(params);
        return rc;
    }
    rc = cli_call(cli, cli->args[0], params, &result, err);
    if (rc)
        return rc;
    cli_out_json(cli, result);
    json_object_put(result);
    return CLI_DONE;
}
