/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts and manual pages, all from the table of commands. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/cmd.h"

static const struct {
    const char *title, *first, *last; /* names of the first and last command of the group */
} groups[] = {
    {"The daemon", "serve", "rpc"},
    {"Without a daemon", "look", "lvm"},
    {"Pools", "pool create", "pool show"},
    {"Volumes", "volume create", "volume list"},
    {"Snapshots and clones", "snapshot create", "clone create"},
    {"Exports", "export add", "umount"},
    {"Looking around", "ls", "help"},
};

static void usage_line(const struct cli_cmd *cmd, struct ash_buf *out)
{
    ash_buf_fmt(out, "ashlar %s", cmd->name);
    const struct cli_opt *o;
    bool any = false;
    for (size_t i = 0; (o = cli_cmd_opt(cmd, i)); i++) {
        if (o->flags & CLI_O_REQUIRED)
            ash_buf_fmt(out, " --%s %s", o->name, o->arg ? o->arg : "");
        else
            any = true;
    }
    if (any)
        ash_buf_str(out, " [OPTION]...");
    if (*cmd->args)
        ash_buf_fmt(out, " %s", cmd->args);
}

void cli_help_all(struct ash_buf *out)
{
    ash_buf_str(out, "ashlar: logical volumes in user space\n\nusage: ashlar COMMAND [OPTION]... "
                     "[ARGUMENT]...\n");
    for (size_t g = 0; g < ASH_N_ELEMS(groups); g++) {
        ash_buf_fmt(out, "\n%s\n", groups[g].title);
        bool on = false;
        for (const struct cli_cmd *c = cli_cmds; c->name; c++) {
            on = on || !strcmp(c->name, groups[g].first);
            if (on && !(c->flags & CLI_C_HIDDEN))
                ash_buf_fmt(out, "  %-22s %s\n", c->name, c->brief);
            if (!strcmp(c->name, groups[g].last))
                on = false;
        }
    }
    ash_buf_str(out, "\n`ashlar help COMMAND` tells more about one; `ashlar help uri` lists the "
                     "kinds of disks.\nExit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 "
                     "busy, 5 refused.\n");
}

void cli_help_cmd(const struct cli_cmd *cmd, struct ash_buf *out)
{
    ash_buf_str(out, "usage: ");
    usage_line(cmd, out);
    ash_buf_fmt(out, "\n\n%c%s.\n", toupper((unsigned char)cmd->brief[0]), cmd->brief + 1);
    if (cmd->help)
        ash_buf_fmt(out, "\n%s\n", cmd->help);
    ash_buf_str(out, "\noptions:\n");
    const struct cli_opt *o;
    for (size_t i = 0; (o = cli_cmd_opt(cmd, i)); i++) {
        if (o->flags & CLI_O_HIDDEN)
            continue;
        char left[80];
        snprintf(left, sizeof(left), "%s%c%s --%s%s%s", o->letter ? "-" : " ",
                 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        ash_buf_fmt(out, "  %-28s %s\n", left, o->help);
    }
    if (cmd->example)
        ash_buf_fmt(out, "\nexamples:\n%s\n", cmd->example);
}

/* scdoc gives a meaning to some characters. */
static void sc_text(struct ash_buf *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\*_`<#~[]", *text))
            ash_buf_chr(out, '\\');
        ash_buf_chr(out, *text);
    }
}

static void sc_options(const struct cli_cmd *cmd, struct ash_buf *out)
{
    const struct cli_opt *o;
    for (size_t i = 0; (o = cli_cmd_opt(cmd, i)); i++) {
        if (o->flags & CLI_O_HIDDEN)
            continue;
        if (o->letter)
            ash_buf_fmt(out, "*-%c*, ", o->letter);
        ash_buf_fmt(out, "*--%s*", o->name);
        if (o->arg) {
            ash_buf_chr(out, ' ');
            sc_text(out, o->arg);
        }
        ash_buf_str(out, "\n\t");
        sc_text(out, o->help);
        ash_buf_str(out, "\n\n");
    }
}

void cli_man_cmd(const struct cli_cmd *cmd, struct ash_buf *out)
{
    char page[64];
    snprintf(page, sizeof(page), "ashlar-%s", cmd->name);
    for (char *p = page; *p; p++)
        *p = *p == ' ' ? '-' : *p;
    ash_buf_fmt(out, "%s(1)\n\n# NAME\n\n%s - ", page, page);
    sc_text(out, cmd->brief);
    ash_buf_str(out, "\n\n# SYNOPSIS\n\n");
    struct ash_buf line = {0};
    usage_line(cmd, &line);
    sc_text(out, ash_buf_text(&line));
    ash_buf_free(&line);
    ash_buf_str(out, "\n\n# DESCRIPTION\n\n");
    if (cmd->help) {
        sc_text(out, cmd->help);
    } else {
        ash_buf_chr(out, (char)toupper((unsigned char)cmd->brief[0]));
        sc_text(out, cmd->brief + 1);
        ash_buf_chr(out, '.');
    }
    ash_buf_str(out, "\n\n# OPTIONS\n\n");
    sc_options(cmd, out);
    if (cmd->example) {
        ash_buf_str(out, "# EXAMPLES\n\n```\n");
        ash_buf_str(out, cmd->example);
        ash_buf_str(out, "\n```\n\n");
    }
    ash_buf_str(out, "# SEE ALSO\n\n*ashlar*(1)\n");
}

void cli_man_all(struct ash_buf *out)
{
    ash_buf_str(out, "ashlar(1)\n\n# NAME\n\nashlar - logical volumes in user space\n\n# SYNOPSIS"
                     "\n\nashlar COMMAND \\[OPTION\\]... \\[ARGUMENT\\]...\n\n# DESCRIPTION\n\n"
                     "Ashlar opens the disks that SPDK and Mayastor write (blobstore with lvstore) "
                     "and serves their volumes over NBD, without kernel modules or huge pages. "
                     "Commands on pools, volumes and exports talk to the daemon over its socket, "
                     "or work in-process on the disks given with *--disk*.\n\n# COMMANDS\n\n");
    for (const struct cli_cmd *c = cli_cmds; c->name; c++) {
        if (c->flags & CLI_C_HIDDEN)
            continue;
        ash_buf_fmt(out, "*%s* ", c->name);
        sc_text(out, c->args);
        ash_buf_str(out, "\n\t");
        sc_text(out, c->brief);
        ash_buf_str(out, "\n\n");
    }
    ash_buf_str(
        out, "# DISKS\n\nA disk is a path or a device URI such as "
             "aio:///dev/vdb?blk\\_size=4096; *ashlar help uri* lists the kinds.\n\n"
             "# EXIT STATUS\n\n0 done, 1 failed, 2 usage, 3 not found, 4 busy, 5 refused (wants "
             "*--yes* or *--force*).\n\n# ERRORS\n\nAn error line says what failed, on which "
             "object, why, and what to do now, and ends in a reason code; *ashlar explain* "
             "CODE tells about it.\n\n# ENVIRONMENT\n\n*ASHLAR\\_IO*\n\turing or epoll: the back "
             "end for I/O. Default: io\\_uring when allowed.\n\n*ASHLAR\\_SOCKET*\n\tsocket of the "
             "daemon when -r is not given.\n");
}
