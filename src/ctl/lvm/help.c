/* SPDX-License-Identifier: Apache-2.0 */
/* Help and manual pages of the LVM commands, from their table. */
#include <string.h>

#include "ctl/lvm/lvmcmd.h"

static const char *const arg_names[] = {
    NULL,      "TEXT", "y|n",
    "N",       "SIZE", "SIZE",
    "EXTENTS", "TAG",  "contiguous|cling|normal|anywhere|inherit",
    "r|rw"};

/* Calls fn for each option of a list "n:name name ...". */
static void each_opt(const char *list, struct ash_buf *out,
                     void (*fn)(struct ash_buf *out, char letter, const struct lvmcmd_opt *opt))
{
    while (list && *list) {
        size_t n = strcspn(list, " ");
        char letter = n > 1 && list[1] == ':' ? list[0] : '\0';
        const struct lvmcmd_opt *opt =
            lvmcmd_opt_named(letter ? list + 2 : list, letter ? n - 2 : n);
        if (opt)
            fn(out, letter, opt);
        list += n;
        list += *list == ' ';
    }
}

static void help_opt(struct ash_buf *out, char letter, const struct lvmcmd_opt *opt)
{
    struct ash_buf left = {0};
    if (letter)
        ash_buf_fmt(&left, "-%c, ", letter);
    else
        ash_buf_str(&left, "    ");
    ash_buf_fmt(&left, "--%s", opt->name);
    if (arg_names[opt->arg])
        ash_buf_fmt(&left, " %s", arg_names[opt->arg]);
    ash_buf_fmt(out, "    %-34s %s\n", ash_buf_text(&left), opt->help);
    ash_buf_free(&left);
}

void lvmcmd_help(const struct lvmcmd_cmd *cmd, struct ash_buf *out)
{
    ash_buf_fmt(out, "  %s - %s\n\n  %s%s%s [options]\n\n", cmd->name, cmd->brief, cmd->name,
                *cmd->args ? " " : "", cmd->args);
    if (cmd->opts && *cmd->opts) {
        ash_buf_str(out, "  Options:\n");
        each_opt(cmd->opts, out, help_opt);
        ash_buf_chr(out, '\n');
    }
    ash_buf_str(out, "  Common options:\n");
    each_opt(lvmcmd_common_opts, out, help_opt);
}

static void man_opt(struct ash_buf *out, char letter, const struct lvmcmd_opt *opt)
{
    if (letter)
        ash_buf_fmt(out, "*-%c*, ", letter);
    ash_buf_fmt(out, "*--%s*", opt->name);
    if (arg_names[opt->arg])
        ash_buf_fmt(out, " _%s_", arg_names[opt->arg]);
    ash_buf_fmt(out, "\n\t%s.\n\n", opt->help);
}

void lvmcmd_man(const struct lvmcmd_cmd *cmd, struct ash_buf *out)
{
    ash_buf_fmt(out, "ashlar-lvm-%s(1)\n\n# NAME\n\n", cmd->name);
    ash_buf_fmt(out, "ashlar-lvm-%s - %s\n\n# SYNOPSIS\n\n*ashlar lvm %s* [options]", cmd->name,
                cmd->brief, cmd->name);
    if (*cmd->args)
        ash_buf_fmt(out, " _%s_", cmd->args);
    ash_buf_fmt(out, "\n\nAlso as a link to the program called *%s*.\n\n# OPTIONS\n\n", cmd->name);
    each_opt(cmd->opts, out, man_opt);
    ash_buf_str(out, "# COMMON OPTIONS\n\n");
    each_opt(lvmcmd_common_opts, out, man_opt);
    ash_buf_str(out,
                "# ENVIRONMENT\n\n*ASHLAR_LVM_DEVICES*\n\tFiles and devices to look at, with "
                "colons between, when *--devices* is not given.\n\n*LVM_VG_NAME*\n\tThe volume "
                "group of names without one.\n\n# EXIT STATUS\n\n0 done; 2 no such command; 3 "
                "the command line is wrong; 4 set-up failed; 5 something failed.\n\n# SEE "
                "ALSO\n\n*ashlar*(1)\n");
}

void lvmcmd_list(struct ash_buf *out)
{
    ash_buf_str(out,
                "  Available lvm commands:\n  Use 'lvm help COMMAND' for more information\n\n");
    for (const struct lvmcmd_cmd *cmd = lvmcmd_cmds; cmd->name; cmd++)
        ash_buf_fmt(out, "  %-15s %s\n", cmd->name, cmd->brief);
}

int lvmcmd_help_cmd(struct lvmcmd *c)
{
    int rc = 0;
    if (c->n_args == 0)
        lvmcmd_list(&c->out);
    for (size_t i = 0; i < c->n_args; i++) {
        const struct lvmcmd_cmd *cmd = lvmcmd_find(c->args[i]);
        if (cmd)
            lvmcmd_help(cmd, &c->out);
        else {
            lvmcmd_error(c, "%s: no such command.", c->args[i]);
            rc = LVMCMD_FAILED;
        }
    }
    return rc;
}
