/* SPDX-License-Identifier: Apache-2.0 */
/* `share`, `unshare`, `shares`: volumes over NVMe/TCP. */
#include "ctl/cli/nouns.h"

int cli_share(struct cli *cli, struct ash_err *err)
{
    struct json_object *hosts = json_object_new_array(), *uri = NULL;
    const char *nqn;
    for (size_t i = 0; (nqn = cli_opt_nth(cli, "allow", i)) != NULL; i++)
        json_object_array_add(hosts, json_object_new_string(nqn));
    struct json_object *params = cli_params("volume", cli->args[0], NULL);
    json_object_object_add(params, "allowed_hosts", hosts);
    int rc = cli_call(cli, "nvmf_share", params, &uri, err);
    if (rc)
        return rc;
    cli_out(cli, "%s\n", json_object_get_string(uri));
    json_object_put(uri);
    return CLI_DONE;
}

int cli_unshare(struct cli *cli, struct ash_err *err)
{
    return cli_call_quiet(cli, "nvmf_unshare", cli_params("volume", cli->args[0], NULL), err);
}

int cli_shares(struct cli *cli, struct ash_err *err)
{
    static const char *const heads[] = {"VOLUME", "HOSTS", ">CONNECTED", "URI", NULL};
    struct json_object *shares = NULL;
    int rc = cli_call(cli, "nvmf_get_shares", NULL, &shares, err);
    if (rc)
        return rc;
    struct cli_table t = {.heads = heads};
    for (size_t i = 0; !cli->json && i < json_object_array_length(shares); i++) {
        struct json_object *s = json_object_array_get_idx(shares, i);
        size_t n_hosts = json_object_array_length(cli_jget(s, "allowed_hosts"));
        cli_table_cell(&t, "%s", cli_jstr(s, "volume"));
        if (cli_jbool(s, "any_host"))
            cli_table_cell(&t, "any");
        else
            cli_table_cell(&t, "%zu", n_hosts);
        cli_table_cell(&t, "%llu", (unsigned long long)cli_ju64(s, "controllers"));
        cli_table_cell(&t, "%s", cli_jstr(s, "uri"));
    }
    if (cli->json)
        cli_out_json(cli, shares);
    else
        cli_table_print(cli, &t);
    json_object_put(shares);
    return CLI_DONE;
}
