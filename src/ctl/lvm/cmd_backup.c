/* SPDX-License-Identifier: Apache-2.0 */
/* vgcfgbackup, vgcfgrestore (docs/spec/lvm2-commands.md 4, lvm2-format.md 17). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/lvm/lvmcmd.h"

enum { TEXT_BYTES_MAX = 256 << 20 };

/* ------------------------------------------------------------- vgcfgbackup */

/* "%s" in the file's name stands for the VG's. */
static void file_name(const char *pattern, const char *vg_name, struct ash_buf *out)
{
    const char *at = strstr(pattern, "%s");
    if (at)
        ash_buf_fmt(out, "%.*s%s%s", (int)(at - pattern), pattern, vg_name, at + 2);
    else
        ash_buf_str(out, pattern);
}

static int backup_vg(struct lvmcmd *c, struct lvm_group *g)
{
    const char *pattern = lvmcmd_opt(c, "file");
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_err err = {.reason = ASH_OK};
    int rc;
    if (!pattern && !c->backups.backup_dir) {
        lvmcmd_error(c, "There is no folder for backups: give -f FILE or set LVM_SYSTEM_DIR.");
        return LVMCMD_FAILED;
    }
    if (pattern) {
        file_name(pattern, g->vg->name, &path);
        rc = lvm_file_write(ash_buf_text(&path), g->vg, &c->writer, c->line, &err);
    } else {
        rc = lvm_backup(&c->backups, g->vg, &c->writer, &err);
    }
    if (rc)
        return lvmcmd_fail(c, &err);
    lvmcmd_print(c, "Volume group \"%s\" successfully backed up.", g->vg->name);
    return 0;
}

int lvmcmd_vgcfgbackup(struct lvmcmd *c)
{
    return lvmcmd_each_vg(c, 0, LVMCMD_ALL_IS_FINE | LVMCMD_EXPORTED_TOO, backup_vg);
}

/* ------------------------------------------------------------ vgcfgrestore */

static int not_restored(struct lvmcmd *c)
{
    lvmcmd_error(c, "Restore failed.");
    return LVMCMD_FAILED;
}

static int load_file(struct lvmcmd *c, const char *path, const char *name, struct lvm_vg **ret_vg)
{
    struct ash_err err = {.reason = ASH_OK};
    char *text;
    size_t n;
    int rc = rt_read_text(path, TEXT_BYTES_MAX, &text, &n, &err);
    if (rc == 0) {
        rc = lvm_vg_parse(text, n, path, ret_vg, &err);
        rt_free(text);
    }
    if (rc) {
        lvmcmd_error(c, "%s", err.text);
        lvmcmd_error(c, "Failed to read VG %s from %s", name, path);
        return LVMCMD_FAILED;
    }
    return 0;
}

static int read_file(struct lvmcmd *c, const char *path, const char *name, struct lvm_vg **ret_vg)
{
    if (load_file(c, path, name, ret_vg))
        return not_restored(c);
    if (strcmp((*ret_vg)->name, name) == 0)
        return 0;
    lvmcmd_error(c, "'%s' does not contain volume group '%s'.", path, name);
    lvm_vg_free(*ret_vg);
    return not_restored(c);
}

/* The device of each PV, by UUID; it may be in no other VG, and must be large enough. */
static int find_devices(struct lvmcmd *c, struct lvm_vg *vg)
{
    char id[LVM_ID_TEXT_BYTES];
    unsigned n_missing = 0;
    ash_list_for_each (p, &vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(p);
        ash_list_for_each (l, &c->set->devs) {
            struct lvm_dev *dev = lvm_dev_of(l);
            if (dev->has_label && !dev->is_duplicate && lvm_id_equal(&dev->label.pv_id, &pv->id))
                pv->dev = dev;
        }
        if (!pv->dev) {
            lvmcmd_error(c, "WARNING: Couldn't find device with uuid %s.",
                         lvm_id_format(&pv->id, id));
            n_missing++;
            continue;
        }
        uint64_t end = pv->pe_start_sectors + (uint64_t)pv->pe_count * vg->extent_sectors;
        if (pv->dev->pv && !lvm_id_equal(&pv->dev->pv->vg->id, &vg->id)) {
            lvmcmd_error(c, "PV %s is in volume group %s.", pv->dev->name, pv->dev->pv->vg->name);
            return LVMCMD_FAILED;
        }
        if (end > pv->dev->size_bytes / LVM_SECTOR_BYTES) {
            lvmcmd_error(c, "PV %s is too small: %" PRIu64 " sectors are needed.", pv->dev->name,
                         end);
            return LVMCMD_FAILED;
        }
    }
    if (n_missing) {
        lvmcmd_error(c, "Cannot restore Volume Group %s with %u PVs marked as missing.", vg->name,
                     n_missing);
        return LVMCMD_FAILED;
    }
    return 0;
}

/* What is on the disks of this VG now is older than what comes. (lvm2 takes the file's number; then
 * a PV that is not in the file would win.) */
static void set_seqno(struct lvmcmd *c, struct lvm_vg *vg)
{
    ash_list_for_each (l, &c->set->groups)
        if (lvm_id_equal(&lvm_group_of(l)->vg->id, &vg->id))
            vg->seqno = ASH_MAX(vg->seqno, lvm_group_of(l)->vg->seqno);
}

static int renew_areas(struct lvmcmd *c, struct lvm_vg *vg)
{
    struct ash_err err = {.reason = ASH_OK};
    return !c->test && lvm_vg_renew_areas(vg, &err) ? lvmcmd_fail(c, &err) : 0;
}

/* The VG that is there now, if any: may it be changed? */
static int check_present(struct lvmcmd *c, const struct lvm_vg *vg)
{
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_group present = {.vg = (struct lvm_vg *)vg};
    struct lvm_policy policy = {.system_id = c->system_id,
                                .missing_is_fine = true,
                                .exported_is_fine = true,
                                .unknown_is_fine = true};
    if (lvm_may_change(&present, &policy, &err))
        return lvmcmd_fail(c, &err);
    ash_list_for_each (l, &c->set->groups) {
        struct lvm_group *g = lvm_group_of(l);
        bool is_it = lvm_id_equal(&g->vg->id, &vg->id);
        if (is_it && lvm_may_change(g, &policy, &err))
            return lvmcmd_fail(c, &err);
        if (!is_it && strcmp(g->vg->name, vg->name) == 0) {
            lvmcmd_error(c, "Another volume group is called %s.", vg->name);
            return LVMCMD_FAILED;
        }
    }
    ash_list_for_each (l, &vg->lvs) {
        const struct lvm_seg *seg = lvm_lv_seg(lvm_lv_of(l));
        if (seg && seg->type->cls == LVM_SEG_THIN_POOL && !c->force) {
            lvmcmd_error(c,
                         "Consider using option --force to restore Volume Group %s with thin "
                         "volumes.",
                         vg->name);
            return LVMCMD_FAILED;
        }
    }
    return 0;
}

static int restore(struct lvmcmd *c, struct lvm_vg *vg)
{
    int rc = check_present(c, vg);
    if (rc == 0)
        rc = find_devices(c, vg);
    if (rc == 0)
        rc = renew_areas(c, vg);
    if (rc) {
        lvm_vg_free(vg);
        return not_restored(c);
    }
    set_seqno(c, vg);
    if (!lvm_set_give_vg(c->set, vg)) {
        lvmcmd_error(c, "Out of memory.");
        return not_restored(c);
    }
    if (lvmcmd_commit(c, vg))
        return not_restored(c);
    lvmcmd_print(c, "Restored volume group %s.", vg->name);
    return 0;
}

/* ---------------------------------------------------------- vgcfgrestore -l */

static int list_file(struct lvmcmd *c, const char *dir, const char *file, const char *name)
{
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    struct lvm_vg *vg;
    char when[64];
    struct tm tm;
    ash_buf_fmt(&path, "%s%s%s", dir ? dir : "", dir ? "/" : "", file);
    int rc = load_file(c, ash_buf_text(&path), name, &vg);
    if (rc)
        return rc;
    time_t time = (time_t)vg->creation_time;
    if (!localtime_r(&time, &tm) || !strftime(when, sizeof(when), "%a %b %e %H:%M:%S %Y", &tm))
        snprintf(when, sizeof(when), "%" PRIu64, vg->creation_time);
    lvmcmd_print(c, " ");
    lvmcmd_print(c, "File:\t\t%s", ash_buf_text(&path));
    lvmcmd_print(c, "VG name:    \t%s", vg->name);
    lvmcmd_print(c, "Description:\t%s", vg->description ? vg->description : "");
    lvmcmd_print(c, "Backup Time:\t%s\n", when);
    lvm_vg_free(vg);
    return 0;
}

/* A file that cannot be read is told about; the others are listed all the same. */
static int list_archives(struct lvmcmd *c, const char *name)
{
    struct ash_err err = {.reason = ASH_OK};
    struct rt_dirent *list = NULL;
    size_t n = 0;
    const char *dir = c->backups.archive_dir;
    int worst = 0;
    if (dir && rt_path_exists(dir) && lvm_archive_list(dir, name, &list, &n, &err))
        return lvmcmd_fail(c, &err);
    if (n == 0)
        lvmcmd_print(c, "No archives found in %s.", dir ? dir : "(no folder)");
    for (size_t i = 0; i < n; i++)
        worst = ASH_MAX(worst, list_file(c, dir, list[i].name, name));
    rt_free(list);
    return worst;
}

static int list_all(struct lvmcmd *c, const char *name)
{
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    int rc = list_archives(c, name);
    if (!c->backups.backup_dir)
        return rc;
    ash_buf_fmt(&path, "%s/%s", c->backups.backup_dir, name);
    if (rt_path_exists(ash_buf_text(&path)))
        rc = ASH_MAX(rc, list_file(c, NULL, ash_buf_text(&path), name));
    return rc;
}

int lvmcmd_vgcfgrestore(struct lvmcmd *c)
{
    const char *file = lvmcmd_opt(c, "file");
    const char *name = ash_starts_with(c->args[0], "/dev/") ? c->args[0] + 5 : c->args[0];
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    struct lvm_vg *vg;
    if (lvmcmd_opt(c, "list"))
        return file ? list_file(c, NULL, file, name) : list_all(c, name);
    if (!file && !c->backups.backup_dir) {
        lvmcmd_error(c, "There is no folder of backups: give -f FILE or set LVM_SYSTEM_DIR.");
        return not_restored(c);
    }
    if (file)
        ash_buf_str(&path, file);
    else
        ash_buf_fmt(&path, "%s/%s", c->backups.backup_dir, name);
    int rc = read_file(c, ash_buf_text(&path), name, &vg);
    return rc ? rc : restore(c, vg);
}
