/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the LVM commands: --config, and lvmlocal.conf and lvm.conf in $LVM_SYSTEM_DIR
 * (docs/spec/lvm2-commands.md 7). Without that variable no file of the host is read or written: our
 * disks are often plain files, and who runs us often nobody in particular. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"

enum { CONF_BYTES_MAX = 4 << 20 };

static const struct lvm_cfg_value *find(struct lvmcmd *c, const char *path)
{
    struct lvm_cfg *const roots[] = {c->config, c->conf[0], c->conf[1]};
    for (size_t i = 0; i < ASH_N_ELEMS(roots); i++) {
        const struct lvm_cfg *node = roots[i] ? lvm_cfg_path(roots[i], path) : NULL;
        if (node && node->values)
            return node->values;
    }
    return NULL;
}

const char *lvmcmd_conf_str(struct lvmcmd *c, const char *path, const char *dflt)
{
    const struct lvm_cfg_value *v = find(c, path);
    return v ? v->text : dflt;
}

uint64_t lvmcmd_conf_u64(struct lvmcmd *c, const char *path, uint64_t dflt)
{
    const struct lvm_cfg_value *v = find(c, path);
    return v && v->kind == LVM_CFG_INT && v->n >= 0 ? (uint64_t)v->n : dflt;
}

static int read_file(struct lvmcmd *c, const char *dir, const char *name, struct lvm_cfg **ret)
{
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_err err = {.reason = ASH_OK};
    char *text;
    size_t n;
    ash_buf_fmt(&path, "%s/%s", dir, name);
    if (!rt_path_exists(ash_buf_text(&path)))
        return 0;
    int rc = rt_read_text(ash_buf_text(&path), CONF_BYTES_MAX, &text, &n, &err);
    if (rc == 0) {
        rc = lvm_cfg_parse(&c->arena, text, n, ash_buf_text(&path), ret, &err);
        rt_free(text);
    }
    if (rc) {
        lvmcmd_error(c, "%s", err.text);
        lvmcmd_error(c, "Failed to load config file %s", ash_buf_text(&path));
    }
    return rc ? LVMCMD_INIT : 0;
}

/* A folder in the system folder; NULL when there is none. */
static const char *folder(struct lvmcmd *c, const char *key, const char *system_dir,
                          const char *name)
{
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    if (system_dir)
        ash_buf_fmt(&path, "%s/%s", system_dir, name);
    const char *set = lvmcmd_conf_str(c, key, system_dir ? ash_buf_text(&path) : NULL);
    return set ? lvm_arena_str(&c->arena, set) : NULL;
}

static void set_backups(struct lvmcmd *c, const char *system_dir)
{
    const char *autobackup = lvmcmd_opt(c, "autobackup");
    c->backups.retain_min = lvmcmd_conf_u64(c, "backup/retain_min", 10);
    c->backups.retain_days = lvmcmd_conf_u64(c, "backup/retain_days", 30);
    if (autobackup && strcmp(autobackup, "n") == 0)
        return;
    if (lvmcmd_conf_u64(c, "backup/backup", 1))
        c->backups.backup_dir = folder(c, "backup/backup_dir", system_dir, "backup");
    if (lvmcmd_conf_u64(c, "backup/archive", 1))
        c->backups.archive_dir = folder(c, "backup/archive_dir", system_dir, "archive");
}

/* lvm2's own folder is for root alone. Others are kept apart by the locks on the devices, which
 * every Ashlar takes, unless they name a folder. */
static void set_locks(struct lvmcmd *c)
{
    c->locks.dir =
        lvmcmd_conf_str(c, "global/locking_dir", c->host->uid() == 0 ? "/run/lock/lvm" : NULL);
    c->locks.no_wait = !lvmcmd_conf_u64(c, "global/wait_for_locks", 1);
    if (lvmcmd_opt(c, "nolocking"))
        c->locks.dir = NULL;
}

/* First line of a file that is no comment, cut to what a system ID may hold. */
static const char *id_from_file(struct lvmcmd *c, const char *path)
{
    char *text, id[128];
    size_t n, n_id = 0;
    if (rt_read_text(path, 65536, &text, &n, NULL))
        return NULL;
    const char *at = text;
    while (*at == '#' || isspace((unsigned char)*at))
        at = *at == '#' ? at + strcspn(at, "\n") : at + 1;
    for (; *at && *at != '\n' && n_id + 1 < sizeof(id); at++)
        if (isalnum((unsigned char)*at) || strchr("_.-+/", *at))
            id[n_id++] = *at;
    id[n_id] = '\0';
    rt_free(text);
    return n_id ? lvm_arena_str(&c->arena, id) : NULL;
}

/* docs/spec/lvm2-format.md 18.2 */
static const char *host_system_id(struct lvmcmd *c)
{
    const char *source = lvmcmd_conf_str(c, "global/system_id_source", "none");
    const char *file = lvmcmd_conf_str(c, "global/system_id_file", NULL);
    if (strcmp(source, "uname") == 0)
        return lvm_arena_str(&c->arena, c->host->node_name());
    if (strcmp(source, "machineid") == 0)
        return id_from_file(c, "/etc/machine-id");
    if (strcmp(source, "file") == 0)
        return file ? id_from_file(c, file) : NULL;
    /* A local/system_id on the command line is one, whatever lvm.conf says. */
    if (strcmp(source, "lvmlocal") == 0 ||
        (c->config && lvm_cfg_path(c->config, "local/system_id")))
        return lvmcmd_conf_str(c, "local/system_id", NULL);
    return NULL;
}

int lvmcmd_conf_load(struct lvmcmd *c)
{
    const char *system_dir = c->host->env("LVM_SYSTEM_DIR");
    int rc = 0;
    if (system_dir && !*system_dir)
        system_dir = NULL;
    if (system_dir)
        rc = read_file(c, system_dir, "lvmlocal.conf", &c->conf[0]);
    if (system_dir && rc == 0)
        rc = read_file(c, system_dir, "lvm.conf", &c->conf[1]);
    set_backups(c, system_dir);
    set_locks(c);
    c->system_id = host_system_id(c);
    c->writer = (struct lvm_writer){.line = c->line, .is_test = c->test};
    c->writer.origin = (struct lvm_origin){.version = "2.03.16(2) (2022-05-18)",
                                           .host = lvm_arena_str(&c->arena, c->host->node_name()),
                                           .uname = lvm_arena_str(&c->arena, c->host->uname_text()),
                                           .host_system_id = c->system_id};
    if (!c->writer.origin.host || !c->writer.origin.uname) {
        lvmcmd_error(c, "Out of memory.");
        return LVMCMD_INIT;
    }
    return rc;
}
