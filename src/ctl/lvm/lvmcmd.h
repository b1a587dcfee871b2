/* SPDX-License-Identifier: Apache-2.0 */
/* The LVM commands (`ashlar lvm lvs`, or a link called lvs): their table, the parsed command line,
 * output, sizes (docs/spec/lvm2-commands.md). Conventions are those of lvm2 2.03.16.
 *
 * One table (table.c) names every command with its options; parsing, help and manual pages come
 * from it. A command reads top to bottom in one function: scan, check, change, commit, say so. */
#ifndef ASH_CTL_LVM_LVMCMD_H
#define ASH_CTL_LVM_LVMCMD_H

#include "base/err.h"
#include "base/text.h"
#include "ctl/cli/cli.h"
#include "engine/engine.h"
#include "pool/lvm/update.h"

enum lvmcmd_exit {
    LVMCMD_OK = 0,
    LVMCMD_NO_SUCH = 2,
    LVMCMD_USAGE = 3,
    LVMCMD_INIT = 4,
    LVMCMD_FAILED = 5
};

struct lvmcmd;

/* What an option takes; the parser checks it. */
enum lvmcmd_arg {
    LVMCMD_FLAG,
    LVMCMD_STR,
    LVMCMD_YN,
    LVMCMD_NUM,
    LVMCMD_SIZE_M, /* without a unit: MiB; may have + or - */
    LVMCMD_SIZE_K, /* without a unit: KiB */
    LVMCMD_EXTENTS,
    LVMCMD_TAG,
    LVMCMD_ALLOC,
    LVMCMD_PERM,
};

struct lvmcmd_opt {
    const char *name;
    enum lvmcmd_arg arg;
    const char *help;
};
extern const struct lvmcmd_opt lvmcmd_opts[]; /* ends with a NULL name */
/* By a word of a command's list, without its letter. NULL. */
const struct lvmcmd_opt *lvmcmd_opt_named(const char *word, size_t n);

struct lvmcmd_cmd {
    const char *name;
    const char *args; /* for people */
    unsigned n_args_min, n_args_max;
    unsigned flags;
    const char *opts; /* "name n:name name= ...": with or without a letter, of lvmcmd_opts; with '='
                       * the one of that name that takes a value */
    const char *brief;
    int (*run)(struct lvmcmd *c); /* exit code */
};
enum {
    LVMCMD_C_WRITES = 1u << 0,   /* opens devices for writing, takes the locks exclusively */
    LVMCMD_C_PV_ARGS = 1u << 1,  /* all positional arguments are devices */
    LVMCMD_C_PV_ARGS1 = 1u << 2, /* all but the first */
    LVMCMD_C_NO_SCAN = 1u << 3,  /* needs no devices */
};
extern const struct lvmcmd_cmd lvmcmd_cmds[];
extern const char lvmcmd_common_opts[];

enum { LVMCMD_VALUES_MAX = 256 };

struct lvmcmd_units {
    char unit; /* r R h H b s k m g t p e, upper case: powers of 1000; 'U': custom */
    double custom_bytes;
    bool suffix;
};

struct lvmcmd {
    const struct cli_host *host;
    const struct lvmcmd_cmd *cmd;
    struct lvmcmd_value {
        const struct lvmcmd_opt *opt;
        const char *text;
    } values[LVMCMD_VALUES_MAX];
    size_t n_values;
    char **args;
    size_t n_args;
    const char *line; /* the whole command line, for descriptions */
    struct ash_buf out;
    struct ash_engine *engine;
    struct lvm_set *set;
    struct lvm_arena arena;  /* configuration */
    struct lvm_cfg *config;  /* --config; NULL */
    struct lvm_cfg *conf[2]; /* lvmlocal.conf, lvm.conf of $LVM_SYSTEM_DIR; NULL */
    /* for commands that change something: */
    struct lvm_writer writer;
    struct lvm_backups backups;
    struct lvm_locks locks;
    const char *system_id; /* of this host; NULL */
    struct lvmcmd_units units;
    bool yes, test, quiet;
    unsigned force, n_writes;
};

/* --- lvmcmd.c --- */
/* argv[0] is the command's name, or "lvm". Returns the exit code of the process. */
int lvmcmd_main(const struct cli_host *host, int argc, char **argv);
const struct lvmcmd_cmd *lvmcmd_find(const char *name);                     /* NULL */
void lvmcmd_out(struct lvmcmd *c, const char *fmt, ...) ASH_PRINTF(2, 3);   /* raw */
void lvmcmd_print(struct lvmcmd *c, const char *fmt, ...) ASH_PRINTF(2, 3); /* "  text\n" */
void lvmcmd_error(struct lvmcmd *c, const char *fmt, ...) ASH_PRINTF(2, 3); /* the same, stderr */
/* The question's answer; --yes says yes, end of input no. */
bool lvmcmd_ask(struct lvmcmd *c, const char *fmt, ...) ASH_PRINTF(2, 3);
/* Print an error's sentence; returns LVMCMD_FAILED. */
int lvmcmd_fail(struct lvmcmd *c, const struct ash_err *err);
/* The VG of that name ("/dev/" before it is cut off), or NULL with the messages printed. */
struct lvm_group *lvmcmd_vg(struct lvmcmd *c, const char *name);
/* "vg/lv", "/dev/vg/lv", "/dev/mapper/vg-lv": cut in two; false: it names no LV. */
bool lvmcmd_split_lv(struct lvmcmd *c, const char *name, char vg[128], char lv[128]);

/* Where the ranges of "PV:0-5:9" begin: the length of the name. */
size_t lvmcmd_range_begin(const char *arg);

/* --- parse.c --- */
int lvmcmd_parse(struct lvmcmd *c, int argc, char **argv);        /* 0 or an exit code */
const char *lvmcmd_opt(const struct lvmcmd *c, const char *name); /* last value, "" a flag; NULL */
const char *lvmcmd_opt_nth(const struct lvmcmd *c, const char *name, size_t nth);
size_t lvmcmd_opt_count(const struct lvmcmd *c, const char *name);
/* A size in bytes; dflt_unit 'm' or 'k'. */
bool lvmcmd_parse_size(const char *text, char dflt_unit, uint64_t *ret_bytes);

/* --- conf.c: settings --- */
/* Read lvm.conf and set up what depends on it. 0 or an exit code. */
int lvmcmd_conf_load(struct lvmcmd *c);
/* "section/key": of --config, lvmlocal.conf, lvm.conf, or the default. */
const char *lvmcmd_conf_str(struct lvmcmd *c, const char *path, const char *dflt);
uint64_t lvmcmd_conf_u64(struct lvmcmd *c, const char *path, uint64_t dflt);

/* --- change.c: what changes have in common --- */
enum {
    LVMCMD_ALLOW_MISSING = 1u << 0,
    LVMCMD_ALLOW_EXPORTED = 1u << 1,
    LVMCMD_ALLOW_UNKNOWN = 1u << 2,
    LVMCMD_NO_ARCHIVE = 1u << 3,
};
/* May the command change this VG? Then its archive is written. 0 or an exit code, printed. */
int lvmcmd_begin(struct lvmcmd *c, struct lvm_group *g, unsigned allow);
/* The VG of that name, ready to be changed; NULL: printed. */
struct lvm_group *lvmcmd_vg_to_change(struct lvmcmd *c, const char *name, unsigned allow);
/* Write the VG, then its backup. 0 or an exit code, printed. */
int lvmcmd_commit(struct lvmcmd *c, struct lvm_vg *vg);
enum { LVMCMD_ALL_IS_FINE = 1u << 0, LVMCMD_EXPORTED_TOO = 1u << 1 };
/* fn for each VG that the arguments (from the first on; "@tag") or -S name; all, when there are
 * none and ALL_IS_FINE. Of those that were not named, exported ones only with EXPORTED_TOO. The
 * worst exit code. */
int lvmcmd_each_vg(struct lvmcmd *c, size_t first, unsigned how,
                   int (*fn)(struct lvmcmd *c, struct lvm_group *g));
/* The device that people call so, by path too; NULL. */
struct lvm_dev *lvmcmd_dev(struct lvmcmd *c, const char *name);
/* Its VG; NULL: an orphan or no PV. */
struct lvm_group *lvmcmd_group_of(struct lvmcmd *c, const struct lvm_dev *dev);
/* Tags of --addtag and --deltag. False: none were given. */
bool lvmcmd_change_tags(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_str **tags);
int lvmcmd_usage(struct lvmcmd *c, const char *fmt, ...) ASH_PRINTF(2, 3); /* LVMCMD_USAGE */
int lvmcmd_no_syntax(struct lvmcmd *c);                                    /* LVMCMD_USAGE */
/* An option's number, size in bytes, y or n; the default when it is not given. */
uint64_t lvmcmd_opt_u64(struct lvmcmd *c, const char *name, uint64_t dflt);
uint64_t lvmcmd_opt_size(struct lvmcmd *c, const char *name, char unit, uint64_t dflt);
bool lvmcmd_opt_yes(struct lvmcmd *c, const char *name, bool dflt);

/* --- cmd_vg.c: values that several commands take --- */
bool lvmcmd_name_ok(struct lvmcmd *c, const char *name); /* of a VG; false: printed why */
/* 0 or an exit code, printed. */
int lvmcmd_extent_size(struct lvmcmd *c, uint64_t bytes, uint32_t *ret_sectors);
struct lvmcmd_copies_wanted {
    uint32_t n; /* 0: as many as there are */
    bool all;   /* those that are ignored too */
};
bool lvmcmd_copies(const char *text, struct lvmcmd_copies_wanted *ret);
void lvmcmd_remove_backup(struct lvmcmd *c, const char *vg_name);

/* --- pvmake.c: devices become PVs --- */
/* Options of pvcreate, which vgcreate and vgextend share. 0 or an exit code. */
int lvmcmd_pv_opts(struct lvmcmd *c, struct lvm_pv_opts *opts);
/* May the device become a PV, or (joins) enter a VG? Asks about what is on it. 0 or an exit code,
 * printed. */
int lvmcmd_pv_check(struct lvmcmd *c, const char *name, bool joins, struct lvm_dev **ret_dev);
/* Make it one; prints so. */
int lvmcmd_pv_make(struct lvmcmd *c, struct lvm_dev *dev, const struct lvm_pv_opts *opts);
/* The device joins the VG, made a PV first when it is none. */
int lvmcmd_pv_join(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_dev *dev,
                   const struct lvm_pv_opts *opts);

/* --- units.c --- */
bool lvmcmd_units_parse(const char *text, struct lvmcmd_units *u);
/* The size as reports show it. */
void lvmcmd_size(const struct lvmcmd_units *u, uint64_t bytes, struct ash_buf *out);
/* "8.00 MiB", for messages; buf at least 32 bytes. */
const char *lvmcmd_size_text(uint64_t bytes, char *buf, size_t n_buf);

/* --- help.c --- */
void lvmcmd_help(const struct lvmcmd_cmd *cmd, struct ash_buf *out);
void lvmcmd_man(const struct lvmcmd_cmd *cmd, struct ash_buf *out);
void lvmcmd_list(struct ash_buf *out);

/* --- the commands --- */
int lvmcmd_lvs(struct lvmcmd *c);
int lvmcmd_vgs(struct lvmcmd *c);
int lvmcmd_pvs(struct lvmcmd *c);
int lvmcmd_fullreport(struct lvmcmd *c);
int lvmcmd_vgscan(struct lvmcmd *c);
int lvmcmd_pvscan(struct lvmcmd *c);
int lvmcmd_lvscan(struct lvmcmd *c);
int lvmcmd_segtypes(struct lvmcmd *c);
int lvmcmd_version(struct lvmcmd *c);
int lvmcmd_help_cmd(struct lvmcmd *c);
int lvmcmd_pvcreate(struct lvmcmd *c);
int lvmcmd_pvremove(struct lvmcmd *c);
int lvmcmd_pvchange(struct lvmcmd *c);
int lvmcmd_pvresize(struct lvmcmd *c);
int lvmcmd_vgcreate(struct lvmcmd *c);
int lvmcmd_vgremove(struct lvmcmd *c);
int lvmcmd_vgextend(struct lvmcmd *c);
int lvmcmd_vgreduce(struct lvmcmd *c);
int lvmcmd_vgchange(struct lvmcmd *c);
int lvmcmd_vgrename(struct lvmcmd *c);
int lvmcmd_vgexport(struct lvmcmd *c);
int lvmcmd_vgimport(struct lvmcmd *c);
int lvmcmd_vgck(struct lvmcmd *c);
int lvmcmd_vgmerge(struct lvmcmd *c);
int lvmcmd_vgcfgbackup(struct lvmcmd *c);
int lvmcmd_vgcfgrestore(struct lvmcmd *c);
int lvmcmd_pvck(struct lvmcmd *c);
int lvmcmd_lvcreate(struct lvmcmd *c);
int lvmcmd_lvremove(struct lvmcmd *c);
int lvmcmd_lvrename(struct lvmcmd *c);
int lvmcmd_lvchange(struct lvmcmd *c);
int lvmcmd_lvextend(struct lvmcmd *c);
int lvmcmd_lvreduce(struct lvmcmd *c);
int lvmcmd_lvresize(struct lvmcmd *c);

#endif
