/* SPDX-License-Identifier: Apache-2.0 */
/* lvremove, lvrename, lvchange (docs/spec/lvm2-commands.md 5, lvm2-format.md 16). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvargs.h"

/* ---------------------------------------------------------------- lvremove */

/* An LV goes with its parts when nothing else depends on it. */
static int check_removable(struct lvmcmd *c, const struct lvm_lv *lv)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    enum lvm_seg_class cls = seg ? seg->type->cls : LVM_SEG_UNKNOWN;
    bool is_plain = cls == LVM_SEG_STRIPED || cls == LVM_SEG_VIRTUAL || cls == LVM_SEG_RAID ||
                    cls == LVM_SEG_MIRROR;
    if (lv->user || !(lv->flags & LVM_VISIBLE))
        lvmcmd_error(c, "Can't remove logical volume %s used by another one.", lv->name);
    else if (lv->flags & LVM_LOCKED)
        lvmcmd_error(c, "Can't remove locked logical volume %s/%s.", lv->vg->name, lv->name);
    else if (!is_plain || lv->cow || lv->n_cow_snaps || lv->n_users)
        lvmcmd_error(c, "Removing %s/%s (%s%s) is not done here.", lv->vg->name, lv->name,
                     seg ? seg->type_text : "no segments",
                     lv->n_cow_snaps ? " with snapshots" : "");
    else
        return 0;
    return LVMCMD_FAILED;
}

/* Everything below it: images, metadata, logs, and what these are made of. */
static void remove_tree(struct lvm_lv *lv)
{
    struct lvm_vg *vg = lv->vg;
    for (struct ash_list *l = vg->lvs.next, *next; l != &vg->lvs; l = next) {
        next = l->next;
        const struct lvm_seg *user = lvm_lv_of(l)->user;
        while (user && user->lv != lv)
            user = user->lv->user;
        if (user)
            lvm_lv_remove(lvm_lv_of(l));
    }
    lvm_lv_remove(lv);
}

static int remove_lv(struct lvmcmd *c, struct lvm_lv *lv)
{
    int rc = check_removable(c, lv);
    if (rc)
        return rc;
    remove_tree(lv);
    rc = lvmcmd_commit(c, lv->vg);
    if (rc == 0)
        lvmcmd_print(c, "Logical volume \"%s\" successfully removed.", lv->name);
    return rc;
}

int lvmcmd_lvremove(struct lvmcmd *c)
{
    if (c->n_args == 0 && !lvmcmd_opt(c, "select"))
        return lvmcmd_no_syntax(c);
    return lvargs_each(c, LVMCMD_ALLOW_MISSING, remove_lv);
}

/* ---------------------------------------------------------------- lvrename */

/* "vg/old vg/new", "vg/old new", or "vg old new". */
static int read_names(struct lvmcmd *c, char vg[128], char old[128], char new[128])
{
    char other[128];
    const char *to = c->args[c->n_args - 1];
    if (c->n_args == 3) {
        const char *name = ash_starts_with(c->args[0], "/dev/") ? c->args[0] + 5 : c->args[0];
        snprintf(vg, 128, "%.127s", name);
        if (!strchr(c->args[1], '/'))
            snprintf(old, 128, "%.127s", c->args[1]);
        else if (!lvmcmd_split_lv(c, c->args[1], other, old))
            return lvmcmd_usage(c, "Please specify a logical volume path.");
    } else if (!lvmcmd_split_lv(c, c->args[0], vg, old)) {
        return lvmcmd_usage(c, "Old and new logical volume names required");
    }
    if (!strchr(to, '/'))
        snprintf(new, 128, "%.127s", to);
    else if (!lvmcmd_split_lv(c, to, other, new) || strcmp(other, vg) != 0)
        return lvmcmd_usage(c,
                            "Logical volume names must have the same volume group (\"%s\" or "
                            "\"%s\")",
                            vg, other);
    if (strlen(to) > 127 && !strchr(to, '/'))
        return lvmcmd_usage(c, "New logical volume path exceeds maximum length of 127!");
    return 0;
}

int lvmcmd_lvrename(struct lvmcmd *c)
{
    char vg_name[128], old[128], new[128];
    int rc = read_names(c, vg_name, old, new);
    if (rc == 0)
        rc = lvargs_new_name(c, new);
    if (rc == 0 && strcmp(old, new) == 0)
        rc = lvmcmd_usage(c, "Old and new logical volume names must differ");
    if (rc)
        return rc;
    struct lvm_group *g = lvmcmd_vg_to_change(c, vg_name, 0);
    if (!g)
        return LVMCMD_FAILED;
    struct lvm_lv *lv = lvm_lv_find(g->vg, old);
    if (!lv) {
        lvmcmd_error(c, "Existing logical volume \"%s\" not found in volume group \"%s\"", old,
                     g->vg->name);
        return LVMCMD_FAILED;
    }
    if (lvm_lv_find(g->vg, new)) {
        lvmcmd_error(c, "Logical Volume \"%s\" already exists in volume group \"%s\"", new,
                     g->vg->name);
        return LVMCMD_FAILED;
    }
    if (!lvm_lv_is_visible(lv)) {
        lvmcmd_error(c, "Cannot rename internal LV \"%s\".", lv->name);
        return LVMCMD_FAILED;
    }
    if (lv->flags & LVM_LOCKED) {
        lvmcmd_error(c, "Cannot rename locked LV %s", lv->name);
        return LVMCMD_FAILED;
    }
    if (!lvm_lv_rename(lv, new)) {
        lvmcmd_error(c, "LV \"%s\" or a part of it cannot be renamed to \"%s\".", old, new);
        return LVMCMD_FAILED;
    }
    rc = lvmcmd_commit(c, g->vg);
    if (rc == 0)
        lvmcmd_print(c, "Renamed \"%s\" to \"%s\" in volume group \"%s\"", old, new, g->vg->name);
    return rc;
}

/* ---------------------------------------------------------------- lvchange */

static int change_permission(struct lvmcmd *c, struct lvm_lv *lv)
{
    bool want = strcmp(lvmcmd_opt(c, "permission"), "rw") == 0;
    if (((lv->flags & LVM_WRITE) != 0) == want) {
        lvmcmd_error(c, "Logical volume \"%s/%s\" is already %s.", lv->vg->name, lv->name,
                     want ? "writable" : "read only");
        return LVMCMD_FAILED;
    }
    lv->flags ^= LVM_WRITE;
    return 0;
}

static int change_alloc(struct lvmcmd *c, struct lvm_lv *lv)
{
    enum lvm_alloc alloc;
    int rc = lvargs_alloc(c, &alloc);
    if (rc)
        return rc;
    if (alloc == lv->alloc) {
        lvmcmd_error(c, "Allocation policy of logical volume %s/%s is already %s.", lv->vg->name,
                     lv->name, lvm_alloc_name(alloc));
        return LVMCMD_FAILED;
    }
    lv->alloc = alloc;
    return 0;
}

static int change_read_ahead(struct lvmcmd *c, struct lvm_lv *lv)
{
    bool has;
    int64_t sectors;
    int rc = lvargs_read_ahead(c, lv->vg, &has, &sectors);
    if (rc)
        return rc;
    if (has == lv->has_read_ahead && (!has || sectors == lv->read_ahead_sectors)) {
        lvmcmd_error(c, "Read ahead is already %s for %s/%s.", lvmcmd_opt(c, "readahead"),
                     lv->vg->name, lv->name);
        return LVMCMD_FAILED;
    }
    lv->has_read_ahead = has;
    lv->read_ahead_sectors = sectors;
    return 0;
}

static int change_skip(struct lvmcmd *c, struct lvm_lv *lv)
{
    bool want = lvmcmd_opt_yes(c, "setactivationskip", false);
    lv->flags = want ? lv->flags | LVM_ACTIVATION_SKIP : lv->flags & ~LVM_ACTIVATION_SKIP;
    return 0;
}

static int change_autoactivation(struct lvmcmd *c, struct lvm_lv *lv)
{
    bool want = lvmcmd_opt_yes(c, "setautoactivation", true);
    lv->flags = want ? lv->flags & ~LVM_NOAUTOACTIVATE : lv->flags | LVM_NOAUTOACTIVATE;
    return 0;
}

static int change_persistent(struct lvmcmd *c, struct lvm_lv *lv)
{
    if (!lvmcmd_opt_yes(c, "persistent", false)) {
        lv->flags &= ~LVM_FIXED_MINOR;
        lv->major = lv->minor = -1;
        return 0;
    }
    if (!lvmcmd_opt(c, "minor")) {
        lvmcmd_error(c, "Minor number must be specified with -My");
        return LVMCMD_FAILED;
    }
    lv->flags |= LVM_FIXED_MINOR;
    lv->major = 0;
    lv->minor = (int32_t)ASH_MIN(lvmcmd_opt_u64(c, "minor", 0), (uint64_t)INT32_MAX);
    return 0;
}

static int change_tags(struct lvmcmd *c, struct lvm_lv *lv)
{
    (void)lvmcmd_change_tags(c, lv->vg, &lv->tags);
    return 0;
}

static const struct {
    const char *opt;
    int (*change)(struct lvmcmd *c, struct lvm_lv *lv);
} changes[] = {
    {"permission", change_permission},
    {"contiguous", change_alloc},
    {"alloc", change_alloc},
    {"readahead", change_read_ahead},
    {"persistent", change_persistent},
    {"setactivationskip", change_skip},
    {"setautoactivation", change_autoactivation},
    {"addtag", change_tags},
    {"deltag", change_tags},
};

static bool wants_change(struct lvmcmd *c)
{
    for (size_t i = 0; i < ASH_N_ELEMS(changes); i++)
        if (lvmcmd_opt(c, changes[i].opt))
            return true;
    return false;
}

/* Nothing is active here: to deactivate is to do nothing, to activate cannot be done. */
static int activate(struct lvmcmd *c, struct lvm_lv *lv)
{
    const char *how = lvmcmd_opt(c, "activate");
    if (how[strlen(how) - 1] == 'n')
        return 0;
    lvmcmd_error(c,
                 "Logical volume %s/%s cannot be activated: Ashlar serves it as a device of its "
                 "daemon.",
                 lv->vg->name, lv->name);
    return LVMCMD_FAILED;
}

static int change_lv(struct lvmcmd *c, struct lvm_lv *lv)
{
    bool both = lvmcmd_opt(c, "contiguous") && lvmcmd_opt(c, "alloc");
    struct lvm_lv before = *lv;
    int rc = 0;
    if (!lvm_lv_is_visible(lv)) {
        lvmcmd_error(c, "Operation not permitted on hidden LV %s/%s.", lv->vg->name, lv->name);
        return LVMCMD_FAILED;
    }
    for (size_t i = 0; i < ASH_N_ELEMS(changes) && rc == 0; i++)
        if (lvmcmd_opt(c, changes[i].opt) && !(both && strcmp(changes[i].opt, "alloc") == 0))
            rc = changes[i].change(c, lv);
    if (rc == 0 && wants_change(c)) {
        rc = lvmcmd_commit(c, lv->vg);
        if (rc == 0)
            lvmcmd_print(c, "Logical volume %s/%s changed.", lv->vg->name, lv->name);
    } else if (rc) { /* of several LVs the others are changed */
        lv->flags = before.flags;
        lv->alloc = before.alloc;
        lv->has_read_ahead = before.has_read_ahead;
        lv->read_ahead_sectors = before.read_ahead_sectors;
        lv->major = before.major;
        lv->minor = before.minor;
    }
    if (rc == 0 && lvmcmd_opt(c, "activate"))
        rc = activate(c, lv);
    return rc;
}

int lvmcmd_lvchange(struct lvmcmd *c)
{
    if ((!wants_change(c) && !lvmcmd_opt(c, "activate")) ||
        (c->n_args == 0 && !lvmcmd_opt(c, "select")))
        return lvmcmd_no_syntax(c);
    return lvargs_each(c, LVMCMD_ALLOW_MISSING, change_lv);
}
