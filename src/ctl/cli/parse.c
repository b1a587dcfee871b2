/* SPDX-License-Identifier: Apache-2.0 */
/* The command line against the table: which command, which options, are their values well formed.
 * Everything wrong here is USAGE (exit code 2) and names what was probably meant. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "ctl/cli/cmd.h"

static const struct cli_opt opts_daemon[] = {
    {"socket", 'r', "SOCKET", "socket of the daemon"},
    {"disk", 'd', "DISK", "work in-process on this disk (path or URI); may be repeated",
     CLI_O_MULTI},
    {NULL},
};
static const struct cli_opt opts_disks[] = {
    {"disk", 'd', "DISK", "disk that holds the pool (path or URI); may be repeated", CLI_O_MULTI},
    {NULL},
};
static const struct cli_opt opts_output[] = {
    {"output", 'o', "text|json", "form of the output"},
    {NULL},
};
static const struct cli_opt opts_destroys[] = {
    {"yes", 'y', NULL, "do it without asking"},
    {"dry-run", 'n', NULL, "say what would be done, do nothing"},
    {NULL},
};
static const struct cli_opt opts_reactors[] = {
    {"reactors", 0, "N", "number of reactor threads (default: CPUs, at most 4)"},
    {NULL},
};
static const struct cli_opt opts_all[] = {
    {"help", 'h', NULL, "show this help"},
    {NULL},
};
static const struct {
    unsigned flag;
    const struct cli_opt *opts;
} opts_of_flags[] = {
    {CLI_C_DAEMON, opts_daemon},     {CLI_C_DISKS, opts_disks},       {CLI_C_OUTPUT, opts_output},
    {CLI_C_DESTROYS, opts_destroys}, {CLI_C_REACTORS, opts_reactors}, {0, opts_all},
};

const struct cli_opt *cli_cmd_opt(const struct cli_cmd *cmd, size_t idx)
{
    for (const struct cli_opt *o = cmd->opts; o && o->name; o++) {
        if (idx-- == 0)
            return o;
    }
    for (size_t i = 0; i < ASH_N_ELEMS(opts_of_flags); i++) {
        if (opts_of_flags[i].flag && !(cmd->flags & opts_of_flags[i].flag))
            continue;
        for (const struct cli_opt *o = opts_of_flags[i].opts; o->name; o++) {
            if (idx-- == 0)
                return o;
        }
    }
    return NULL;
}

/* Edit distance; good enough for words of a command line. */
size_t cli_distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[64];
    if (n >= ASH_N_ELEMS(row))
        return 64;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t diag = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diag + (*a != b[j - 1]);
            size_t insert = ASH_MIN(row[j], row[j - 1]) + 1;
            diag = row[j];
            row[j] = ASH_MIN(change, insert);
        }
    }
    return row[n];
}

static bool near(const char *word, const char *name, size_t *best)
{
    size_t d = cli_distance(word, name);
    if (ash_starts_with(name, word))
        d = ASH_MIN(d, (size_t)1);
    if (d >= *best || d > strlen(name) / 2)
        return false;
    *best = d;
    return true;
}

const char *cli_nearest_cmd(const char *word)
{
    const char *found = NULL;
    size_t best = 4;
    for (const struct cli_cmd *c = cli_cmds; c->name; c++) {
        if (!(c->flags & CLI_C_HIDDEN) && near(word, c->name, &best))
            found = c->name;
    }
    return found;
}

const struct cli_cmd *cli_find_cmd(int argc, char **argv, int *ret_n_words)
{
    const struct cli_cmd *found = NULL;
    for (const struct cli_cmd *c = cli_cmds; c->name; c++) {
        const char *space = strchr(c->name, ' ');
        if (!space) {
            if (argc >= 1 && !strcmp(argv[0], c->name) && !found) {
                found = c;
                *ret_n_words = 1;
            }
        } else if (argc >= 2 && strlen(argv[0]) == (size_t)(space - c->name) &&
                   !strncmp(argv[0], c->name, strlen(argv[0])) && !strcmp(argv[1], space + 1)) {
            *ret_n_words = 2;
            return c;
        }
    }
    return found;
}

static const struct cli_opt *find_opt(const struct cli_cmd *cmd, const char *name, size_t n_name,
                                      char letter)
{
    const struct cli_opt *o;
    for (size_t i = 0; (o = cli_cmd_opt(cmd, i)); i++) {
        if (letter ? o->letter == letter
                   : strlen(o->name) == n_name && !memcmp(o->name, name, n_name))
            return o;
    }
    return NULL;
}

static int unknown_opt(const struct cli_cmd *cmd, const char *text, struct ash_err *err)
{
    const char *found = NULL;
    size_t best = 4;
    const struct cli_opt *o;
    char word[64];
    size_t n = strcspn(text, "=");
    n = ASH_MIN(n, sizeof(word) - 1);
    memcpy(word, text, n);
    word[n] = '\0';
    for (size_t i = 0; (o = cli_cmd_opt(cmd, i)); i++) {
        if (word[0] == '-' && word[1] == '-' && near(word + 2, o->name, &best))
            found = o->name;
    }
    if (found)
        return ash_err_set(err, ASH_E_USAGE, word, "%s: unknown option '%s' (did you mean --%s?)",
                           cmd->name, word, found);
    return ash_err_set(err, ASH_E_USAGE, word, "%s: unknown option '%s'", cmd->name, word);
}

static bool one_of(const char *values, const char *text)
{
    for (const char *p = values; p; p = strchr(p, '|')) {
        p += *p == '|';
        size_t n = strcspn(p, "|");
        if (strlen(text) == n && !memcmp(p, text, n))
            return true;
    }
    return false;
}

static int take_value(struct cli *cli, const struct cli_opt *o, const char *text,
                      struct ash_err *err)
{
    uint64_t n;
    if (o->arg && !strcmp(o->arg, "SIZE") && ash_parse_size(text, &n))
        return ash_err_set(err, ASH_E_BAD_SIZE, text, "--%s: '%s' is not a size", o->name, text);
    if (o->arg && !strcmp(o->arg, "N") && ash_parse_u64(text, INT64_MAX, &n))
        return ash_err_set(err, ASH_E_USAGE, text, "--%s: '%s' is not a number", o->name, text);
    if (o->arg && strchr(o->arg, '|') && !one_of(o->arg, text))
        return ash_err_set(err, ASH_E_USAGE, text, "--%s: '%s' is not one of %s", o->name, text,
                           o->arg);
    if (!(o->flags & CLI_O_MULTI) && cli_opt(cli, o->name))
        return ash_err_set(err, ASH_E_USAGE, o->name, "--%s is given twice", o->name);
    if (cli->n_values == CLI_MAX_VALUES)
        return ash_err_set(err, ASH_E_USAGE, NULL, "more than %d options", CLI_MAX_VALUES);
    cli->values[cli->n_values++] = (struct cli_value){o, text};
    return 0;
}

static int parse_long(struct cli *cli, int argc, char **argv, int *i, struct ash_err *err)
{
    const char *word = argv[*i], *name = word + 2, *eq = strchr(name, '=');
    const struct cli_opt *o =
        find_opt(cli->cmd, name, eq ? (size_t)(eq - name) : strlen(name), '\0');
    if (!o)
        return unknown_opt(cli->cmd, word, err);
    if (!o->arg && eq)
        return ash_err_set(err, ASH_E_USAGE, word, "--%s takes no value", o->name);
    if (!o->arg || eq)
        return take_value(cli, o, eq ? eq + 1 : "", err);
    if (*i + 1 >= argc)
        return ash_err_set(err, ASH_E_USAGE, word, "--%s wants a value (%s)", o->name, o->arg);
    return take_value(cli, o, argv[++*i], err);
}

static int parse_short(struct cli *cli, int argc, char **argv, int *i, struct ash_err *err)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        const struct cli_opt *o = find_opt(cli->cmd, NULL, 0, *p);
        if (!o)
            return unknown_opt(cli->cmd, argv[*i], err);
        if (!o->arg) {
            int rc = take_value(cli, o, "", err);
            if (rc)
                return rc;
            continue;
        }
        if (p[1])
            return take_value(cli, o, p + 1, err);
        if (*i + 1 >= argc)
            return ash_err_set(err, ASH_E_USAGE, argv[*i], "-%c wants a value (%s)", *p, o->arg);
        return take_value(cli, o, argv[++*i], err);
    }
    return 0;
}

static int check_counts(struct cli *cli, struct ash_err *err)
{
    const struct cli_cmd *cmd = cli->cmd;
    const struct cli_opt *o;
    if (cli->n_args < cmd->n_args_min || cli->n_args > cmd->n_args_max)
        return ash_err_set(err, ASH_E_USAGE, cmd->name, "%s: %s argument%s; it takes: %s",
                           cmd->name, cli->n_args < cmd->n_args_min ? "missing" : "too many",
                           cli->n_args < cmd->n_args_min ? "" : "s",
                           *cmd->args ? cmd->args : "none");
    for (size_t i = 0; (o = cli_cmd_opt(cmd, i)); i++) {
        if ((o->flags & CLI_O_REQUIRED) && !cli_opt(cli, o->name))
            return ash_err_set(err, ASH_E_USAGE, cmd->name, "%s: --%s %s is needed", cmd->name,
                               o->name, o->arg ? o->arg : "");
    }
    if ((cmd->flags & CLI_C_REST) && !cli->n_rest)
        return ash_err_set(err, ASH_E_USAGE, cmd->name, "%s: no command after '--'", cmd->name);
    return 0;
}

int cli_parse(struct cli *cli, int argc, char **argv, struct ash_err *err)
{
    ASH_ASSERT(cli->cmd);
    cli->args = argv; /* positional ones are moved to the front */
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        int rc = 0;
        if (!strcmp(word, "--")) {
            if (!(cli->cmd->flags & CLI_C_REST)) {
                while (++i < argc)
                    argv[cli->n_args++] = argv[i];
                break;
            }
            cli->rest = argv + i + 1;
            cli->n_rest = (size_t)(argc - i - 1);
            break;
        }
        if (word[0] == '-' && word[1] == '-')
            rc = parse_long(cli, argc, argv, &i, err);
        else if (word[0] == '-' && word[1])
            rc = parse_short(cli, argc, argv, &i, err);
        else
            argv[cli->n_args++] = word;
        if (rc)
            return rc;
    }
    if (cli_flag(cli, "help"))
        return 0;
    const char *form = cli_opt(cli, "output");
    cli->json = form && !strcmp(form, "json");
    return check_counts(cli, err);
}

const char *cli_opt_nth(const struct cli *cli, const char *name, size_t nth)
{
    for (size_t i = 0; i < cli->n_values; i++) {
        if (!strcmp(cli->values[i].opt->name, name) && nth-- == 0)
            return cli->values[i].text;
    }
    return NULL;
}

const char *cli_opt(const struct cli *cli, const char *name)
{
    return cli_opt_nth(cli, name, 0);
}

uint64_t cli_opt_u64(const struct cli *cli, const char *name, uint64_t dflt)
{
    const char *text = cli_opt(cli, name);
    uint64_t n = dflt;
    if (text && ash_parse_u64(text, UINT64_MAX, &n))
        return dflt;
    return n;
}

uint64_t cli_opt_size(const struct cli *cli, const char *name, uint64_t dflt)
{
    const char *text = cli_opt(cli, name);
    uint64_t n = dflt;
    if (text && ash_parse_size(text, &n))
        return dflt;
    return n;
}
