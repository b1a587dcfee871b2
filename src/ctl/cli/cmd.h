/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the CLI: the table's rows, the parsed command line, and the helpers of the commands. */
#ifndef ASH_CTL_CLI_CMD_H
#define ASH_CTL_CLI_CMD_H

#include <json-c/json.h>

#include "base/err.h"
#include "base/text.h"
#include "ctl/cli/cli.h"
#include "engine/engine.h"
#include "rt/rt.h"

struct cli;

/* arg says what the option takes, and the parser checks it: NULL a flag; "SIZE" a size; "N" a
 * decimal number; "A|B|C" one of these; anything else is free text. */
struct cli_opt {
    const char *name; /* long name; a table ends with NULL */
    char letter;      /* or 0 */
    const char *arg;
    const char *help;
    unsigned flags;
};
enum { CLI_O_MULTI = 1u << 0, CLI_O_HIDDEN = 1u << 1, CLI_O_REQUIRED = 1u << 2 };

enum {
    CLI_C_DAEMON = 1u << 0,   /* by RPC to the daemon, or in-process with --disk: adds -r, --disk */
    CLI_C_DISKS = 1u << 1,    /* in-process only: adds --disk */
    CLI_C_OUTPUT = 1u << 2,   /* adds -o text|json */
    CLI_C_DESTROYS = 1u << 3, /* adds --yes and --dry-run */
    CLI_C_REST = 1u << 4,     /* takes "-- COMMAND..." */
    CLI_C_NO_WORLD = 1u << 5, /* runs without a runtime */
    CLI_C_HIDDEN = 1u << 6,
    CLI_C_READ_ONLY = 1u << 7, /* with --disk: disks are opened without writing to them */
    CLI_C_REACTORS = 1u << 8,  /* as many reactors as CPUs, or --reactors */
};

struct cli_cmd {
    const char *name; /* one or two words */
    const char *args; /* for people: "POOL DISK" */
    unsigned n_args_min, n_args_max;
    unsigned flags;
    const struct cli_opt *opts; /* NULL: none of its own */
    const char *brief;          /* one line, no full stop */
    const char *help;           /* paragraphs; NULL: none */
    const char *example;        /* one per line; NULL: none */
    /* As a task of the world (but CLI_C_NO_WORLD). >= 0: exit code; < 0: -errno with err set. */
    int (*run)(struct cli *cli, struct ash_err *err);
};

extern const struct cli_cmd cli_cmds[]; /* ends with a NULL name */

#define CLI_MAX_VALUES 128

struct cli {
    const struct cli_host *host;
    const char *self; /* how we were called */
    const struct cli_cmd *cmd;
    struct cli_value {
        const struct cli_opt *opt;
        const char *text;
    } values[CLI_MAX_VALUES];
    size_t n_values;
    char **args; /* positional */
    size_t n_args;
    char **rest; /* after "--"; ends with NULL */
    size_t n_rest;
    bool json;          /* -o json */
    struct ash_buf out; /* standard output until cli_flush */
    struct cli_session *session;
};

/* --- parse.c --- */
/* Split the command line by cmd's tables. -EINVAL USAGE with a suggestion on bad input. */
int cli_parse(struct cli *cli, int argc, char **argv, struct ash_err *err);
const struct cli_cmd *cli_find_cmd(int argc, char **argv, int *ret_n_words);
/* The nearest of the names when one is near, else NULL. */
const char *cli_nearest_cmd(const char *word);
size_t cli_distance(const char *a, const char *b);
/* All options of a command, its own and those from its flags; idx counts up, NULL ends. */
const struct cli_opt *cli_cmd_opt(const struct cli_cmd *cmd, size_t idx);

const char *cli_opt(const struct cli *cli, const char *name); /* last value, "" for a flag; NULL */
const char *cli_opt_nth(const struct cli *cli, const char *name, size_t nth);
static inline bool cli_flag(const struct cli *cli, const char *name)
{
    return cli_opt(cli, name) != NULL;
}
/* Checked by the parser already; the default when absent. */
uint64_t cli_opt_u64(const struct cli *cli, const char *name, uint64_t dflt);
uint64_t cli_opt_size(const struct cli *cli, const char *name, uint64_t dflt);

/* --- help.c --- */
void cli_help_all(struct ash_buf *out);
void cli_help_cmd(const struct cli_cmd *cmd, struct ash_buf *out);
void cli_man_all(struct ash_buf *out);
void cli_man_cmd(const struct cli_cmd *cmd, struct ash_buf *out);

/* --- output (cli.c) --- */
void cli_out(struct cli *cli, const char *fmt, ...) ASH_PRINTF(2, 3);
int cli_flush(struct cli *cli); /* 0 or -errno of writing */
void cli_log(struct cli *cli, int level, const char *fmt, ...) ASH_PRINTF(3, 4); /* to stderr */
enum { CLI_LOG_ERR = 3, CLI_LOG_WARN = 4, CLI_LOG_INFO = 6 };
void cli_print_err(struct cli *cli, const struct ash_err *err);
int cli_exit_of(const struct ash_err *err, int rc);
void cli_out_json(struct cli *cli, struct json_object *obj); /* pretty on a terminal */
/* "refused unless confirmed": asks on a terminal; 0 go on, > 0 stop with this exit code (dry run),
 * < 0 REFUSED. what: "delete volume tank/vol1 (10 GiB)". */
int cli_confirm(struct cli *cli, struct ash_err *err, const char *fmt, ...) ASH_PRINTF(3, 4);

/* Columns of text, as wide as needed; numbers to the right. */
struct cli_table {
    const char *const *heads; /* ends with NULL; a head that begins with '>' is right-aligned */
    struct ash_buf cells;     /* NUL-separated */
    size_t n_cells;
};
void cli_table_cell(struct cli_table *t, const char *fmt, ...) ASH_PRINTF(2, 3);
void cli_table_print(struct cli *cli, struct cli_table *t); /* and frees */

/* --- session.c: methods, wherever they run --- */
/* Default socket of the user, into buf. */
const char *cli_socket_path(struct cli *cli, char *buf, size_t n_buf);
/* Call a method: over the socket, or in-process when --disk is given (the engine is made at the
 * first call and closed by cli_session_end). params: taken; NULL is fine. ret_result: the caller's
 * reference. Failures keep the server's text and get the nearest reason. */
int cli_call(struct cli *cli, const char *method, struct json_object *params,
             struct json_object **ret_result, struct ash_err *err) ASH_MAY_WAIT;
void cli_session_end(struct cli *cli) ASH_MAY_WAIT;
/* The in-process engine with the disks of --disk opened and examined. */
int cli_engine(struct cli *cli, bool read_only, struct ash_engine **ret_engine,
               struct ash_err *err) ASH_MAY_WAIT;
/* Add one DISK (path or URI) to an engine; ret_name (heap) may be NULL. */
int cli_add_disk(struct cli *cli, struct ash_engine *engine, const char *disk, bool read_only,
                 char **ret_name, struct ash_err *err) ASH_MAY_WAIT;
/* A path as an absolute one (-ENOENT when nothing is there), a URI as it stands. */
int cli_disk_uri(struct cli *cli, const char *disk, struct ash_buf *out,
                 struct ash_err *err) ASH_MAY_WAIT;

/* --- small readers of JSON results --- */
const char *cli_jstr(struct json_object *obj, const char *key); /* "" when absent */
uint64_t cli_ju64(struct json_object *obj, const char *key);
bool cli_jbool(struct json_object *obj, const char *key);
struct json_object *cli_jget(struct json_object *obj, const char *key); /* borrowed; NULL */
/* {"key": "value", ...} from pairs, ended by NULL. */
struct json_object *cli_params(const char *key, ...) __attribute__((sentinel));

/* --- the commands --- */
int cli_serve(struct cli *cli, struct ash_err *err);
int cli_rpc(struct cli *cli, struct ash_err *err);
int cli_look(struct cli *cli, struct ash_err *err);
int cli_check(struct cli *cli, struct ash_err *err);
int cli_copy(struct cli *cli, struct ash_err *err);
int cli_run(struct cli *cli, struct ash_err *err);
int cli_demo(struct cli *cli, struct ash_err *err);
int cli_bench(struct cli *cli, struct ash_err *err);
int cli_lvm(struct cli *cli, struct ash_err *err);
int cli_pool_create(struct cli *cli, struct ash_err *err);
int cli_pool_import(struct cli *cli, struct ash_err *err);
int cli_pool_export(struct cli *cli, struct ash_err *err);
int cli_pool_destroy(struct cli *cli, struct ash_err *err);
int cli_pool_grow(struct cli *cli, struct ash_err *err);
int cli_pool_rename(struct cli *cli, struct ash_err *err);
int cli_pool_list(struct cli *cli, struct ash_err *err);
int cli_pool_show(struct cli *cli, struct ash_err *err);
int cli_volume_create(struct cli *cli, struct ash_err *err);
int cli_volume_delete(struct cli *cli, struct ash_err *err);
int cli_volume_resize(struct cli *cli, struct ash_err *err);
int cli_volume_rename(struct cli *cli, struct ash_err *err);
int cli_volume_set_read_only(struct cli *cli, struct ash_err *err);
int cli_volume_inflate(struct cli *cli, struct ash_err *err);
int cli_volume_decouple(struct cli *cli, struct ash_err *err);
int cli_volume_set_parent(struct cli *cli, struct ash_err *err);
int cli_volume_show(struct cli *cli, struct ash_err *err);
int cli_volume_list(struct cli *cli, struct ash_err *err);
int cli_snapshot_create(struct cli *cli, struct ash_err *err);
int cli_snapshot_delete(struct cli *cli, struct ash_err *err);
int cli_snapshot_list(struct cli *cli, struct ash_err *err);
int cli_clone_create(struct cli *cli, struct ash_err *err);
int cli_export_add(struct cli *cli, struct ash_err *err);
int cli_export_remove(struct cli *cli, struct ash_err *err);
int cli_export_list(struct cli *cli, struct ash_err *err);
int cli_export_listen(struct cli *cli, struct ash_err *err);
int cli_share(struct cli *cli, struct ash_err *err);
int cli_unshare(struct cli *cli, struct ash_err *err);
int cli_shares(struct cli *cli, struct ash_err *err);
int cli_mount(struct cli *cli, struct ash_err *err);
int cli_umount(struct cli *cli, struct ash_err *err);
int cli_tree(struct cli *cli, struct ash_err *err);
int cli_tasks(struct cli *cli, struct ash_err *err);
int cli_doctor(struct cli *cli, struct ash_err *err);
int cli_explain(struct cli *cli, struct ash_err *err);
int cli_version(struct cli *cli, struct ash_err *err);
int cli_help(struct cli *cli, struct ash_err *err);
int cli_man(struct cli *cli, struct ash_err *err);
int cli_commands(struct cli *cli, struct ash_err *err);

#endif
