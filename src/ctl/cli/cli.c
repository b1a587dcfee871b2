/* SPDX-License-Identifier: Apache-2.0 */
/* Entry, output and errors of the command line. Standard output is collected and written at the end
 * of a command or at cli_flush, so that a broken pipe is one error at one place. */
#include "ctl/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "ctl/cli/cmd.h"
#include "ctl/lvm/lvmcmd.h"

/* --------------------------------------------------------------- output */

void cli_out(struct cli *cli, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&cli->out, fmt, ap);
    va_end(ap);
}

int cli_flush(struct cli *cli)
{
    if (cli->out.failed)
        return -ENOMEM;
    int rc = cli->out.n_bytes ? cli->host->write(1, cli->out.data, cli->out.n_bytes) : 0;
    ash_buf_reset(&cli->out);
    return rc;
}

void cli_log(struct cli *cli, int level, const char *fmt, ...)
{
    struct ash_buf line = {0};
    /* journald reads the prefix; people do not want it. */
    if (!cli->host->is_tty(2))
        ash_buf_fmt(&line, "<%d>", level);
    ash_buf_str(&line, "ashlar: ");
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&line, fmt, ap);
    va_end(ap);
    ash_buf_chr(&line, '\n');
    (void)cli->host->write(2, ash_buf_text(&line), line.n_bytes);
    ash_buf_free(&line);
}

void cli_out_json(struct cli *cli, struct json_object *obj)
{
    int flags = cli->host->is_tty(1) ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                                     : JSON_C_TO_STRING_PLAIN;
    ash_buf_str(&cli->out,
                json_object_to_json_string_ext(obj, flags | JSON_C_TO_STRING_NOSLASHESCAPE));
    ash_buf_chr(&cli->out, '\n');
}

int cli_exit_of(const struct ash_err *err, int rc)
{
    switch (err->reason) {
    case ASH_E_USAGE:
    case ASH_E_BAD_SIZE:
    case ASH_E_BAD_UUID:
    case ASH_E_BAD_NAME:
    case ASH_E_UNKNOWN_PARAMETER:
    case ASH_E_MISSING_PARAMETER:
    case ASH_E_DUPLICATE_PARAMETER:
    case ASH_E_BAD_PARAMETER_TYPE:
    case ASH_E_BDEV_URI_SYNTAX:
    case ASH_E_BDEV_URI_SCHEME:
    case ASH_E_BDEV_URI_INVALID:
    case ASH_E_BDEV_URI_PARAM:
    case ASH_E_RT_BAD_ADDRESS:
        return CLI_USAGE;
    case ASH_E_REFUSED:
    case ASH_E_POOL_NOT_BLANK:
        return CLI_REFUSED;
    case ASH_E_BDEV_CLAIMED:
    case ASH_E_RT_FILE_BUSY:
    case ASH_E_RT_SOCKET_BUSY:
        return CLI_BUSY;
    default:
        break;
    }
    switch (rc) {
    case -ENOENT:
    case -ENODEV:
        return CLI_NOT_FOUND;
    case -EBUSY:
    case -EADDRINUSE:
        return CLI_BUSY;
    default:
        return CLI_FAILED;
    }
}

void cli_print_err(struct cli *cli, const struct ash_err *err)
{
    struct ash_buf line = {0};
    const char *hint = ash_reason_hint(err->reason);
    ash_buf_fmt(&line, "ashlar: %s", err->text);
    if (*hint)
        ash_buf_fmt(&line, "; %s", hint);
    ash_buf_fmt(&line, " [%s]\n", ash_reason_name(err->reason));
    (void)cli->host->write(2, ash_buf_text(&line), line.n_bytes);
    ash_buf_free(&line);
}

/* ---------------------------------------------------------------- tables */

void cli_table_cell(struct cli_table *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&t->cells, fmt, ap);
    va_end(ap);
    ash_buf_chr(&t->cells, '\0');
    t->n_cells++;
}

/* Columns on a terminal, that is without the continuation bytes of UTF-8. */
static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void table_line(struct cli *cli, const char *const *heads, size_t n_cols, const size_t *w,
                       const char *cells)
{
    for (size_t c = 0; c < n_cols; c++) {
        const char *text = cells ? cells : heads[c] + (*heads[c] == '>');
        size_t pad = w[c] - width(text);
        if (*heads[c] == '>')
            cli_out(cli, "%*s%s", (int)pad, "", text);
        else if (c + 1 < n_cols)
            cli_out(cli, "%s%*s", text, (int)pad, "");
        else
            cli_out(cli, "%s", text);
        cli_out(cli, c + 1 < n_cols ? "  " : "\n");
        if (cells)
            cells += strlen(cells) + 1;
    }
}

void cli_table_print(struct cli *cli, struct cli_table *t)
{
    size_t n_cols = 0, w[16] = {0};
    while (t->heads[n_cols])
        n_cols++;
    ASH_ASSERT(n_cols > 0 && n_cols <= ASH_N_ELEMS(w) && t->n_cells % n_cols == 0);
    for (size_t c = 0; c < n_cols; c++)
        w[c] = width(t->heads[c] + (*t->heads[c] == '>'));
    if (!t->cells.failed) {
        const char *p = t->cells.data;
        for (size_t i = 0; i < t->n_cells; i++, p += strlen(p) + 1)
            w[i % n_cols] = ASH_MAX(w[i % n_cols], width(p));
        table_line(cli, t->heads, n_cols, w, NULL);
        p = t->cells.data;
        for (size_t i = 0; i < t->n_cells; i += n_cols) {
            table_line(cli, t->heads, n_cols, w, p);
            for (size_t c = 0; c < n_cols; c++)
                p += strlen(p) + 1;
        }
    } else {
        cli->out.failed = true;
    }
    ash_buf_free(&t->cells);
}

/* --------------------------------------------------------- confirmation */

struct answer {
    struct cli *cli;
    char text[16];
};

static int read_answer(void *arg)
{
    struct answer *a = arg;
    int64_t n = a->cli->host->read(0, a->text, sizeof(a->text) - 1);
    a->text[n > 0 ? n : 0] = '\0';
    return 0;
}

int cli_confirm(struct cli *cli, struct ash_err *err, const char *fmt, ...)
{
    struct ash_buf what = {0};
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&what, fmt, ap);
    va_end(ap);
    int rc = 0;
    if (cli_flag(cli, "dry-run")) {
        cli_out(cli, "would %s\n", ash_buf_text(&what));
        rc = 1;
    } else if (!cli_flag(cli, "yes")) {
        struct answer a = {cli, ""};
        if (cli->host->is_tty(0) && cli->host->is_tty(2)) {
            struct ash_buf q = {0};
            ash_buf_fmt(&q, "%s? [y/N] ", ash_buf_text(&what));
            (void)cli->host->write(2, ash_buf_text(&q), q.n_bytes);
            ash_buf_free(&q);
            (void)rt_work("confirm", read_answer, &a);
        }
        if (a.text[0] != 'y' && a.text[0] != 'Y')
            rc = ash_err_set(err, ASH_E_REFUSED, NULL, "not confirmed: %s", ash_buf_text(&what));
    }
    ash_buf_free(&what);
    return rc;
}

/* ----------------------------------------------------------------- entry */

static int run_in_task(void *arg)
{
    struct cli *cli = arg;
    struct ash_err err = {.reason = ASH_OK};
    int rc = cli->cmd->run(cli, &err);
    cli_session_end(cli);
    int flush_rc = cli_flush(cli);
    if (rc < 0) {
        if (err.reason == ASH_OK)
            ash_err_set_rc(&err, rc, ASH_E_INTERNAL, cli->cmd->name, "%s: %s", cli->cmd->name,
                           ash_strerror(rc));
        cli_print_err(cli, &err);
        return cli_exit_of(&err, rc);
    }
    if (flush_rc) {
        cli_log(cli, CLI_LOG_ERR, "writing the output: %s", ash_strerror(flush_rc));
        return CLI_FAILED;
    }
    return rc;
}

static int run_cmd(struct cli *cli)
{
    if (cli->cmd->flags & CLI_C_NO_WORLD)
        return run_in_task(cli);
    struct ash_err err = {.reason = ASH_OK};
    struct rt_opts opts;
    struct rt *rt = NULL;
    rt_opts_init(&opts);
    opts.n_reactors = 1;
    if (cli->cmd->flags & CLI_C_REACTORS) {
        uint64_t n = cli_opt_u64(cli, "reactors", 0);
        if (n > RT_MAX_REACTORS) {
            ash_err_set(&err, ASH_E_USAGE, "reactors", "--reactors: at most %d", RT_MAX_REACTORS);
            cli_print_err(cli, &err);
            return CLI_USAGE;
        }
        opts.n_reactors = (unsigned)n;
    }
    int rc = rt_create(&opts, &rt, &err);
    if (rc) {
        cli_print_err(cli, &err);
        return CLI_FAILED;
    }
    rc = rt_run_task(rt, cli->cmd->name, run_in_task, cli);
    rt_destroy(rt);
    return rc;
}

static const struct cli_cmd *cmd_named(const char *name)
{
    for (const struct cli_cmd *c = cli_cmds; c->name; c++) {
        if (!strcmp(c->name, name))
            return c;
    }
    return NULL;
}

/* "ashlar pool" alone, or a word that is no command. */
static int no_such_cmd(struct cli *cli, int argc, char **argv)
{
    struct ash_err err = {.reason = ASH_OK};
    char words[64];
    size_t n = strlen(argv[0]);
    bool group = false;
    struct ash_buf subs = {0};
    for (const struct cli_cmd *c = cli_cmds; c->name; c++) {
        if (!strncmp(c->name, argv[0], n) && c->name[n] == ' ') {
            ash_buf_fmt(&subs, "%s%s", group ? ", " : "", c->name + n + 1);
            group = true;
        }
    }
    snprintf(words, sizeof(words), "%s%s%s", argv[0], group && argc > 1 ? " " : "",
             group && argc > 1 ? argv[1] : "");
    char both[64];
    snprintf(both, sizeof(both), "%s %s", argv[0], argc > 1 && argv[1][0] != '-' ? argv[1] : "");
    const char *nearest = argc > 1 ? cli_nearest_cmd(both) : NULL;
    nearest = nearest ? nearest : cli_nearest_cmd(words);
    if (group && argc == 1)
        ash_err_set(&err, ASH_E_USAGE, argv[0], "'%s' wants one of: %s", argv[0],
                    ash_buf_text(&subs));
    else if (nearest)
        ash_err_set(&err, ASH_E_USAGE, words, "'%s' is no command (did you mean '%s'?)", words,
                    nearest);
    else if (group)
        ash_err_set(&err, ASH_E_USAGE, words, "'%s' is no command; %s has: %s", words, argv[0],
                    ash_buf_text(&subs));
    else
        ash_err_set(&err, ASH_E_USAGE, words, "'%s' is no command", words);
    ash_buf_free(&subs);
    cli_print_err(cli, &err);
    return CLI_USAGE;
}

static int help_of(struct cli *cli)
{
    cli_help_cmd(cli->cmd, &cli->out);
    return cli_flush(cli) ? CLI_FAILED : CLI_DONE;
}

int cli_main(const struct cli_host *host, int argc, char **argv)
{
    struct cli cli = {.host = host, .self = argc > 0 ? argv[0] : "ashlar"};
    struct ash_err err = {.reason = ASH_OK};
    const char *self = argc > 0 ? strrchr(argv[0], '/') : NULL;
    self = self ? self + 1 : argc > 0 ? argv[0] : "ashlar";
    int n_words = 0, rc;
    if (argc > 0 && (!strcmp(self, "lvm") || lvmcmd_find(self))) {
        argv[0] = (char *)self; /* a link to us, called as the command */
        return lvmcmd_main(host, argc, argv);
    }
    argc -= argc > 0;
    argv++;
    /* "lvm --help" is the same as "help lvm", as with all commands. */
    bool is_help = argc == 2 && !strcmp(argv[1], "--help");
    if (argc > 0 && !strcmp(argv[0], "lvm") && !is_help)
        return lvmcmd_main(host, argc, argv);
    if (!strcmp(self, "ashlard") || !strcmp(self, "spdk_tgt")) {
        cli.cmd = cmd_named("serve");
    } else if (argc == 0) {
        cli_help_all(&cli.out);
        (void)host->write(2, ash_buf_text(&cli.out), cli.out.n_bytes);
        ash_buf_free(&cli.out);
        return CLI_USAGE;
    } else if (!strcmp(argv[0], "-h") || !strcmp(argv[0], "--help")) {
        cli.cmd = cmd_named("help");
        n_words = 1;
    } else if (!strcmp(argv[0], "-V") || !strcmp(argv[0], "--version")) {
        cli.cmd = cmd_named("version");
        n_words = 1;
    } else {
        cli.cmd = cli_find_cmd(argc, argv, &n_words);
    }
    if (!cli.cmd)
        return no_such_cmd(&cli, argc, argv);
    rc = cli_parse(&cli, argc - n_words, argv + n_words, &err);
    if (rc) {
        cli_print_err(&cli, &err);
        rc = cli_exit_of(&err, rc);
    } else if (cli_flag(&cli, "help")) {
        rc = help_of(&cli);
    } else {
        rc = run_cmd(&cli);
    }
    ash_buf_free(&cli.out);
    return rc;
}
