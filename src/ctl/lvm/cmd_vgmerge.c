/* SPDX-License-Identifier: Apache-2.0 */
/* vgmerge (docs/spec/lvm2-commands.md 4, lvm2-format.md 16). */
#include <stdio.h>

#include "ctl/lvm/lvmcmd.h"

static int check_lvs(struct lvmcmd *c, const struct lvm_vg *to, const struct lvm_vg *from)
{
    ash_list_for_each (l, &from->lvs) {
        const struct lvm_lv *lv = lvm_lv_of(l);
        if (lvm_lv_find(to, lv->name)) {
            lvmcmd_error(c, "Duplicate logical volume name \"%s\" in \"%s\" and \"%s\"", lv->name,
                         to->name, from->name);
            return LVMCMD_FAILED;
        }
        ash_list_for_each (k, &to->lvs)
            if (lvm_id_equal(&lvm_lv_of(k)->id, &lv->id)) {
                lvmcmd_error(c, "LVs %s/%s and %s/%s have the same UUID.", from->name, lv->name,
                             to->name, lvm_lv_of(k)->name);
                return LVMCMD_FAILED;
            }
    }
    return 0;
}

static int check_vgs(struct lvmcmd *c, const struct lvm_vg *to, const struct lvm_vg *from)
{
    if (to->extent_sectors != from->extent_sectors) {
        lvmcmd_error(c, "Extent sizes differ: %u (%s) and %u (%s)", to->extent_sectors, to->name,
                     from->extent_sectors, from->name);
        return LVMCMD_FAILED;
    }
    if (to->max_pv && to->max_pv < to->n_pvs + from->n_pvs) {
        lvmcmd_error(c, "Maximum number of physical volumes (%u) exceeded for \"%s\" and \"%s\"",
                     to->max_pv, to->name, from->name);
        return LVMCMD_FAILED;
    }
    if (to->max_lv && to->max_lv < to->n_lvs + from->n_lvs) {
        lvmcmd_error(c, "Maximum number of logical volumes (%u) exceeded for \"%s\" and \"%s\"",
                     to->max_lv, to->name, from->name);
        return LVMCMD_FAILED;
    }
    if (from->historical) {
        lvmcmd_error(c, "VG %s keeps a history of LVs that are gone: that cannot be merged here.",
                     from->name);
        return LVMCMD_FAILED;
    }
    return check_lvs(c, to, from);
}

int lvmcmd_vgmerge(struct lvmcmd *c)
{
    struct ash_err err = {.reason = ASH_OK};
    char name[128];
    struct lvm_group *to = lvmcmd_vg_to_change(c, c->args[0], 0);
    struct lvm_group *from = to ? lvmcmd_vg_to_change(c, c->args[1], 0) : NULL;
    if (!from)
        return LVMCMD_FAILED;
    if (to == from) {
        lvmcmd_error(c, "Duplicate volume group name \"%s\"", to->vg->name);
        return LVMCMD_FAILED;
    }
    int rc = check_vgs(c, to->vg, from->vg);
    if (rc)
        return rc;
    snprintf(name, sizeof(name), "%s", from->vg->name);
    if (lvm_vg_merge(c->set, to, from, &c->writer, &err))
        return lvmcmd_fail(c, &err);
    lvmcmd_remove_backup(c, name);
    if (lvm_backup(&c->backups, to->vg, &c->writer, &err))
        lvmcmd_error(c, "WARNING: Backup of volume group %s failed: %s", to->vg->name, err.text);
    lvmcmd_print(c, "Volume group \"%s\" successfully merged into \"%s\"", name, to->vg->name);
    return 0;
}
