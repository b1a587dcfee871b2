/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that tell about Ashlar itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/cmd.h"
#include "ctl/lvm/lvmcmd.h"
#include "export/fuse/fuse.h"
#include "pool/lvs/check.h"

int cli_explain(struct cli *cli, struct ash_err *err)
{
    const char *name = cli->args[0], *what, *hint = "";
    const char *err_text = "";
    enum ash_reason reason;
    size_t f = 0;
    if (!ash_reason_parse(name, &reason)) {
        name = ash_reason_name(reason);
        what = ash_reason_what(reason);
        hint = ash_reason_hint(reason);
        err_text = ash_strerror(ash_reason_errno(reason));
    } else {
        /* A code of the checker. */
        while (f < LVS_N_FINDINGS && strcmp(lvs_check_code_text((enum lvs_check_code)f), name))
            f++;
        if (f == LVS_N_FINDINGS)
            return ash_err_set_rc(err, -ENOENT, ASH_E_BAD_ARGUMENT, name, "no code is called '%s'",
                                  name);
        what = lvs_check_code_what((enum lvs_check_code)f);
        hint = "`ashlar check --repair` mends what can be mended";
    }
    if (cli->json) {
        struct ash_jsonw w;
        ash_jsonw_init(&w, &cli->out);
        ash_jsonw_obj(&w, NULL);
        ash_jsonw_str(&w, "code", name);
        ash_jsonw_str(&w, "what", what);
        ash_jsonw_str(&w, "errno", err_text);
        ash_jsonw_str(&w, "now", hint);
        ash_jsonw_obj_end(&w);
        cli_out(cli, "\n");
        return CLI_DONE;
    }
    cli_out(cli, "%s: %s%s%s%s\nWhat to do: %s\n", name, what, *err_text ? " (" : "", err_text,
            *err_text ? ")" : "", hint);
    return CLI_DONE;
}

int cli_version(struct cli *cli, struct ash_err *err)
{
    (void)err;
    if (cli->json) {
        struct ash_jsonw w;
        ash_jsonw_init(&w, &cli->out);
        ash_jsonw_obj(&w, NULL);
        ash_jsonw_str(&w, "version", ASH_VERSION);
        ash_jsonw_str(&w, "json_c", json_c_version());
        ash_jsonw_str(&w, "libfuse", fexp_library() ? fexp_library() : "");
        ash_jsonw_str(&w, "compiler", __VERSION__);
        ash_jsonw_obj_end(&w);
        cli_out(cli, "\n");
    } else {
        cli_out(cli, "ashlar %s (json-c %s, %s%s, compiled by %s)\n", ASH_VERSION, json_c_version(),
                fexp_library() ? "libfuse " : "no libfuse", fexp_library() ? fexp_library() : "",
                __VERSION__);
    }
    return CLI_DONE;
}

static void help_uri(struct ash_buf *out)
{
    ash_buf_str(out, "A disk is a path (of a file or block device) or a URI:\n");
    for (size_t i = 0; bdev_modules[i]; i++) {
        const struct bdev_module *m = bdev_modules[i];
        if (!m->schemes || !m->schemes[0])
            continue;
        ash_buf_fmt(out, "\n%s\n", m->uri_help ? m->uri_help : m->schemes[0]);
        if (m->uri_params)
            ash_params_help(m->uri_params, out);
    }
}

/* "lvm lvs": the LVM command of the arguments; NULL: they are none. */
static const struct lvmcmd_cmd *lvm_cmd_of(const struct cli *cli)
{
    return cli->n_args == 2 && !strcmp(cli->args[0], "lvm") ? lvmcmd_find(cli->args[1]) : NULL;
}

int cli_help(struct cli *cli, struct ash_err *err)
{
    int n_words = 0;
    if (cli->n_args == 0) {
        cli_help_all(&cli->out);
        return CLI_DONE;
    }
    if (!strcmp(cli->args[0], "uri")) {
        help_uri(&cli->out);
        return CLI_DONE;
    }
    const struct lvmcmd_cmd *lvm = lvm_cmd_of(cli);
    if (lvm) {
        lvmcmd_help(lvm, &cli->out);
        return CLI_DONE;
    }
    const struct cli_cmd *cmd = cli_find_cmd((int)cli->n_args, cli->args, &n_words);
    if (cmd) {
        cli_help_cmd(cmd, &cli->out);
        return CLI_DONE;
    }
    /* "help pool": all commands of the group. */
    size_t n = strlen(cli->args[0]);
    bool any = false;
    for (const struct cli_cmd *c = cli_cmds; c->name && cli->n_args == 1; c++) {
        if (!strncmp(c->name, cli->args[0], n) && c->name[n] == ' ') {
            cli_out(cli, "  %-22s %s\n", c->name, c->brief);
            any = true;
        }
    }
    if (any)
        return CLI_DONE;
    char words[64];
    snprintf(words, sizeof(words), "%s%s%s", cli->args[0], cli->n_args > 1 ? " " : "",
             cli->n_args > 1 ? cli->args[1] : "");
    const char *nearest = cli_nearest_cmd(words);
    return ash_err_set(err, ASH_E_USAGE, words, "'%s' is no command%s%s%s", words,
                       nearest ? " (did you mean '" : "", nearest ? nearest : "",
                       nearest ? "'?)" : "");
}

int cli_man(struct cli *cli, struct ash_err *err)
{
    int n_words = 0;
    if (cli->n_args == 0) {
        cli_man_all(&cli->out);
        return CLI_DONE;
    }
    const struct lvmcmd_cmd *lvm = lvm_cmd_of(cli);
    if (lvm) {
        lvmcmd_man(lvm, &cli->out);
        return CLI_DONE;
    }
    const struct cli_cmd *cmd = cli_find_cmd((int)cli->n_args, cli->args, &n_words);
    if (!cmd)
        return ash_err_set(err, ASH_E_USAGE, cli->args[0], "'%s' is no command", cli->args[0]);
    cli_man_cmd(cmd, &cli->out);
    return CLI_DONE;
}

int cli_commands(struct cli *cli, struct ash_err *err)
{
    (void)err;
    for (const struct cli_cmd *c = cli_cmds; c->name; c++) {
        if (!(c->flags & CLI_C_HIDDEN))
            cli_out(cli, "%s\n", c->name);
    }
    for (const struct lvmcmd_cmd *c = lvmcmd_cmds; c->name; c++)
        cli_out(cli, "lvm %s\n", c->name);
    return CLI_DONE;
}

/* Without a command; those with one never come here (cli_main). */
int cli_lvm(struct cli *cli, struct ash_err *err)
{
    (void)err;
    lvmcmd_list(&cli->out);
    return CLI_DONE;
}
