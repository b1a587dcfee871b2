/* SPDX-License-Identifier: Apache-2.0 */
/* Entry, world, devices and messages of the LVM commands (docs/spec/lvm2-commands.md 1). */
#include "ctl/lvm/lvmcmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* --------------------------------------------------------------- messages */

void lvmcmd_out(struct lvmcmd *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&c->out, fmt, ap);
    va_end(ap);
}

static int flush(struct lvmcmd *c)
{
    int rc = c->out.failed ? -ENOMEM : 0;
    if (rc == 0 && c->out.n_bytes)
        rc = c->host->write(1, c->out.data, c->out.n_bytes);
    ash_buf_reset(&c->out);
    return rc;
}

void lvmcmd_print(struct lvmcmd *c, const char *fmt, ...)
{
    va_list ap;
    if (c->quiet)
        return;
    ash_buf_str(&c->out, "  ");
    va_start(ap, fmt);
    ash_buf_vfmt(&c->out, fmt, ap);
    va_end(ap);
    ash_buf_chr(&c->out, '\n');
}

void lvmcmd_error(struct lvmcmd *c, const char *fmt, ...)
{
    struct ash_buf line = {0};
    va_list ap;
    (void)flush(c); /* in the order they arose */
    ash_buf_str(&line, "  ");
    va_start(ap, fmt);
    ash_buf_vfmt(&line, fmt, ap);
    va_end(ap);
    ash_buf_chr(&line, '\n');
    (void)c->host->write(2, ash_buf_text(&line), line.n_bytes);
    ash_buf_free(&line);
}

int lvmcmd_fail(struct lvmcmd *c, const struct ash_err *err)
{
    lvmcmd_error(c, "%s", err->text);
    return LVMCMD_FAILED;
}

struct answer {
    struct lvmcmd *c;
    char text[16];
};

static int read_answer(void *arg)
{
    struct answer *a = arg;
    size_t n = 0;
    while (n + 1 < sizeof(a->text) && a->c->host->read(0, a->text + n, 1) == 1 &&
           a->text[n++] != '\n')
        ;
    a->text[n] = '\0';
    return 0;
}

bool lvmcmd_ask(struct lvmcmd *c, const char *fmt, ...)
{
    struct ash_buf text = {0};
    struct answer a = {c, ""};
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&text, fmt, ap);
    va_end(ap);
    ash_buf_str(&text, " [y/n]: ");
    bool yes = c->yes;
    if (!yes) {
        (void)flush(c);
        (void)c->host->write(2, ash_buf_text(&text), text.n_bytes);
        (void)rt_work("ask", read_answer, &a);
        yes = a.text[0] == 'y' || a.text[0] == 'Y';
        if (!a.text[0])
            (void)c->host->write(2, "[n]\n", 4);
    }
    ash_buf_free(&text);
    return yes;
}

/* ------------------------------------------------------------------ names */

static const char *without_dev(const char *name)
{
    return ash_starts_with(name, "/dev/") ? name + 5 : name;
}

struct lvm_group *lvmcmd_vg(struct lvmcmd *c, const char *name)
{
    name = without_dev(name);
    struct lvm_group *g = lvm_name_valid(name) ? lvm_group_find(c->set, name) : NULL;
    if (g && g->same_name && strcmp(g->vg->name, name) == 0) {
        lvmcmd_error(c, "Multiple VGs found with the same name: %s.", name);
        lvmcmd_error(c, "Use the VG's UUID, or rename one with vgrename UUID NEW.");
        return NULL;
    }
    if (!g) {
        lvmcmd_error(c, "Volume group \"%s\" not found", name);
        lvmcmd_error(c, "Cannot process volume group %s", name);
    }
    return g;
}

/* vg--a-lv: single hyphen between, doubled ones within. */
static bool split_mapper(const char *name, char vg[128], char lv[128])
{
    char *to = vg;
    size_t n = 0;
    for (; *name; name++) {
        if (*name == '-' && name[1] != '-' && to == vg) {
            to[n] = '\0';
            to = lv;
            n = 0;
            continue;
        }
        name += *name == '-' && name[1] == '-';
        if (n == 127)
            return false;
        to[n++] = *name;
    }
    to[n] = '\0';
    return to == lv && n > 0;
}

bool lvmcmd_split_lv(struct lvmcmd *c, const char *name, char vg[128], char lv[128])
{
    if (ash_starts_with(name, "/dev/mapper/"))
        return split_mapper(name + 12, vg, lv);
    name = without_dev(name);
    const char *slash = strchr(name, '/');
    const char *env = c->host->env("LVM_VG_NAME");
    if (!slash && env && *env) {
        snprintf(vg, 128, "%s", env);
        snprintf(lv, 128, "%s", name);
        return true;
    }
    if (!slash || strchr(slash + 1, '/') || slash - name > 127 || strlen(slash + 1) > 127)
        return false;
    snprintf(vg, 128, "%.*s", (int)(slash - name), name);
    snprintf(lv, 128, "%s", slash + 1);
    return *vg && *lv;
}

/* ---------------------------------------------------------------- devices */

static int add_device(struct lvmcmd *c, const char *name, bool writable, bool must_exist)
{
    char path[4096];
    struct ash_buf uri = {0};
    struct ash_err err = {.reason = ASH_OK};
    char *bdev = NULL;
    if (lvmcmd_dev(c, name))
        return 0;
    if (strstr(name, "://")) {
        ash_buf_str(&uri, name);
    } else if (c->host->abs_path(name, path, sizeof(path)) == 0) {
        if (!rt_path_exists(path)) {
            if (must_exist)
                lvmcmd_error(c, "No device found for %s.", name);
            return must_exist ? LVMCMD_FAILED : 0;
        }
        ash_buf_fmt(&uri, "aio://%s%s", path, writable ? "" : "?readonly=true");
    }
    int rc = uri.failed
                 ? -ENOMEM
                 : bdev_create_uri(ash_engine_bdevs(c->engine), ash_buf_text(&uri), &bdev, &err);
    if (rc == 0)
        rc = lvm_set_add(c->set, bdev, name, writable, &err);
    rt_free(bdev);
    ash_buf_free(&uri);
    if (rc == 0)
        return 0;
    lvmcmd_error(c, "%s: %s", name, err.text);
    return must_exist ? LVMCMD_FAILED : 0;
}

/* "a:b,c": both separators, as lvm2 takes the one and PATH-like variables the other. URIs stay
 * whole. */
static int add_list(struct lvmcmd *c, const char *list, bool writable)
{
    char name[4096];
    int worst = 0;
    while (*list) {
        size_t n = strstr(list, "://") ? strcspn(list, ",") : strcspn(list, ",:");
        if (n && n < sizeof(name)) {
            snprintf(name, sizeof(name), "%.*s", (int)n, list);
            int rc = add_device(c, name, writable, false);
            worst = ASH_MAX(worst, rc);
        }
        list += n;
        list += *list != '\0';
    }
    return worst;
}

size_t lvmcmd_range_begin(const char *arg)
{
    size_t n = strlen(arg);
    for (;;) {
        size_t at = n;
        while (at > 0 && strchr("0123456789-", arg[at - 1]))
            at--;
        if (at < 2 || arg[at - 1] != ':')
            return n;
        n = at - 1;
    }
}

/* vgck reads, but for one option. */
static bool changes_something(const struct lvmcmd *c)
{
    return (c->cmd->flags & LVMCMD_C_WRITES) || lvmcmd_opt(c, "updatemetadata");
}

static int open_devices(struct lvmcmd *c)
{
    bool writable = changes_something(c) && !c->test;
    const char *env = c->host->env("ASHLAR_LVM_DEVICES");
    size_t n = lvmcmd_opt_count(c, "devices");
    int rc = 0;
    for (size_t i = 0; i < n; i++)
        rc = ASH_MAX(rc, add_list(c, lvmcmd_opt_nth(c, "devices", i), writable));
    if (n == 0 && env)
        rc = add_list(c, env, writable);
    size_t first = c->cmd->flags & LVMCMD_C_PV_ARGS ? 0 : 1;
    for (size_t i = first;
         i < c->n_args && (c->cmd->flags & (LVMCMD_C_PV_ARGS | LVMCMD_C_PV_ARGS1)); i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%.*s", (int)lvmcmd_range_begin(c->args[i]), c->args[i]);
        if (*path != '@')
            (void)add_device(c, path, writable, false);
    }
    if (ash_list_empty(&c->set->devs) && n == 0 && !env)
        lvmcmd_error(c, "No devices to look at: give --devices LIST or set ASHLAR_LVM_DEVICES.");
    return rc;
}

/* ------------------------------------------------------------------ entry */

/* A change keeps others out: from PVs and names of VGs, then from each VG that is there. What was
 * read before a lock was held is read again. */
static int lock_all(struct lvmcmd *c)
{
    struct ash_err err = {.reason = ASH_OK};
    if (!changes_something(c) || !c->locks.dir)
        return 0;
    int rc = lvm_lock_global(&c->locks, false, &err);
    if (rc == 0)
        rc = lvm_set_scan(c->set, &err);
    ash_list_for_each (l, &c->set->groups)
        if (rc == 0 && !lvm_group_of(l)->same_name)
            rc = lvm_lock_vg(&c->locks, lvm_group_of(l)->vg->name, false, &err);
    if (rc) {
        lvmcmd_error(c, "Can't get lock: %s", err.text);
        return LVMCMD_FAILED;
    }
    return 0;
}

static int scan(struct lvmcmd *c)
{
    struct ash_err err = {.reason = ASH_OK};
    struct ash_engine_opts opts = {.no_auto_examine = true};
    if (ash_engine_create(&opts, &c->engine, &err))
        return lvmcmd_fail(c, &err);
    c->set = lvm_set_new(ash_engine_bdevs(c->engine));
    if (!c->set) {
        lvmcmd_error(c, "Out of memory.");
        return LVMCMD_INIT;
    }
    int rc = open_devices(c);
    if (rc == 0)
        rc = lock_all(c);
    if (rc)
        return rc;
    if (lvm_set_scan(c->set, &err))
        return lvmcmd_fail(c, &err);
    for (const struct lvm_str *w = c->set->warnings; w; w = w->next)
        lvmcmd_error(c, "%s", w->text);
    return 0;
}

static int run_in_task(void *arg)
{
    struct lvmcmd *c = arg;
    int rc = c->cmd->flags & LVMCMD_C_NO_SCAN ? 0 : lvmcmd_conf_load(c);
    if (rc == 0 && !(c->cmd->flags & LVMCMD_C_NO_SCAN))
        rc = scan(c);
    if (rc == 0)
        rc = c->cmd->run(c);
    lvm_unlock_all(&c->locks);
    lvm_set_free(c->set);
    ash_engine_destroy(c->engine);
    if (flush(c) && rc == 0)
        rc = LVMCMD_FAILED;
    return rc;
}

static int settings(struct lvmcmd *c)
{
    struct ash_err err = {.reason = ASH_OK};
    const char *config = lvmcmd_opt(c, "config"), *units = lvmcmd_opt(c, "units");
    c->yes = lvmcmd_opt(c, "yes");
    c->test = lvmcmd_opt(c, "test");
    c->quiet = lvmcmd_opt(c, "quiet");
    c->force = (unsigned)lvmcmd_opt_count(c, "force");
    c->units = (struct lvmcmd_units){'r', 0, !lvmcmd_opt(c, "nosuffix")};
    if (config && lvm_cfg_parse(&c->arena, config, strlen(config), "--config", &c->config, &err)) {
        lvmcmd_error(c, "%s", err.text);
        return LVMCMD_INIT;
    }
    const struct lvm_cfg *set = lvm_cfg_path(c->config, "global/units");
    if (!units && set && set->values)
        units = set->values->text;
    if (units && !lvmcmd_units_parse(units, &c->units)) {
        lvmcmd_error(c, "Invalid units specification");
        return LVMCMD_USAGE;
    }
    return 0;
}

static int run(struct lvmcmd *c, int argc, char **argv)
{
    struct ash_buf line = {0};
    struct rt_opts opts;
    struct rt *rt;
    for (int i = 0; i < argc; i++)
        ash_buf_fmt(&line, "%s%s", i ? " " : "", argv[i]);
    c->line = ash_buf_text(&line);
    int rc = lvmcmd_parse(c, argc - 1, argv + 1);
    if (rc == 0)
        rc = settings(c);
    if (rc == 0 && lvmcmd_opt(c, "help")) {
        lvmcmd_help(c->cmd, &c->out);
        rc = flush(c) ? LVMCMD_FAILED : 0;
    } else if (rc == 0 && lvmcmd_opt(c, "version")) {
        rc = lvmcmd_version(c);
        (void)flush(c);
    } else if (rc == 0) {
        if (c->test)
            lvmcmd_error(c, "TEST MODE: Metadata will NOT be updated and volumes will not be "
                            "(de)activated.");
        rt_opts_init(&opts);
        opts.n_reactors = 1;
        rc = rt_create(&opts, &rt, NULL) ? LVMCMD_INIT : 0;
        if (rc == 0) {
            rc = rt_run_task(rt, c->cmd->name, run_in_task, c);
            rt_destroy(rt);
        }
    }
    ash_buf_free(&line);
    return rc;
}

const struct lvmcmd_cmd *lvmcmd_find(const char *name)
{
    for (const struct lvmcmd_cmd *cmd = lvmcmd_cmds; cmd->name; cmd++)
        if (strcmp(cmd->name, name) == 0)
            return cmd;
    return NULL;
}

int lvmcmd_main(const struct cli_host *host, int argc, char **argv)
{
    struct lvmcmd c = {.host = host};
    if (argc > 0 && strcmp(argv[0], "lvm") == 0) {
        argc--;
        argv++;
    }
    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        lvmcmd_list(&c.out);
        (void)host->write(argc ? 1 : 2, ash_buf_text(&c.out), c.out.n_bytes);
        ash_buf_free(&c.out);
        return argc ? LVMCMD_OK : LVMCMD_USAGE;
    }
    c.cmd = lvmcmd_find(argv[0]);
    if (!c.cmd) {
        lvmcmd_error(&c, "No such command.  Try 'lvm help'.");
        return LVMCMD_NO_SUCH;
    }
    int rc = run(&c, argc, argv);
    ash_buf_free(&c.out);
    lvm_arena_fini(&c.arena);
    return rc;
}
