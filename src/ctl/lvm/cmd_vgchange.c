/* SPDX-License-Identifier: Apache-2.0 */
/* vgchange, vgrename, vgexport, vgimport, vgck (docs/spec/lvm2-commands.md 4, lvm2-format.md 16).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"

/* ------------------------------------------------------------ extent size */

/* n units of the old size in units of the new one; false: it does not come out even. */
static bool rescale(uint64_t n, uint32_t from, uint32_t to, uint32_t *ret)
{
    uint64_t sectors = n * from;
    if (sectors % to || sectors / to > UINT32_MAX)
        return false;
    *ret = (uint32_t)(sectors / to);
    return true;
}

static bool rescale_lv(struct lvm_lv *lv, uint32_t from, uint32_t to)
{
    bool fits = true;
    ash_list_for_each (s, &lv->segs) {
        struct lvm_seg *seg = lvm_seg_of(s);
        uint32_t area_len;
        fits = fits && rescale(lvm_seg_area_len(seg), from, to, &area_len) &&
               rescale(seg->start, from, to, &seg->start) && rescale(seg->len, from, to, &seg->len);
        for (uint32_t i = 0; i < seg->n_areas && seg->areas && fits; i++)
            fits = rescale(seg->areas[i].extent, from, to, &seg->areas[i].extent);
    }
    return fits;
}

static int change_extent_size(struct lvmcmd *c, struct lvm_vg *vg)
{
    uint32_t to = vg->extent_sectors, from = vg->extent_sectors;
    bool fits = true;
    int rc = lvmcmd_extent_size(c, lvmcmd_opt_size(c, "physicalextentsize", 'm', 0), &to);
    if (rc)
        return rc;
    if (!(vg->flags & LVM_RESIZEABLE)) {
        lvmcmd_error(c, "Volume group \"%s\" must be resizeable to change PE size", vg->name);
        return LVMCMD_FAILED;
    }
    ash_list_for_each (l, &vg->lvs)
        fits = fits && rescale_lv(lvm_lv_of(l), from, to);
    ash_list_for_each (l, &vg->pvs)
        fits = fits && rescale(lvm_pv_of(l)->pe_count, from, to, &lvm_pv_of(l)->pe_count);
    vg->extent_sectors = to;
    if (!fits) {
        lvmcmd_error(c, "New extent size is not a perfect fit");
        return LVMCMD_FAILED;
    }
    return 0;
}

/* ---------------------------------------------------------------- vgchange */

static int change_resizeable(struct lvmcmd *c, struct lvm_vg *vg)
{
    bool want = lvmcmd_opt_yes(c, "resizeable", true);
    if (((vg->flags & LVM_RESIZEABLE) != 0) == want) {
        lvmcmd_error(c, "Volume group \"%s\" is already %sresizeable", vg->name,
                     want ? "" : "not ");
        return LVMCMD_FAILED;
    }
    vg->flags ^= LVM_RESIZEABLE;
    return 0;
}

static int change_limits(struct lvmcmd *c, struct lvm_vg *vg)
{
    uint64_t max_lv = lvmcmd_opt_u64(c, "logicalvolume", vg->max_lv), n_lvs = 0;
    uint64_t max_pv = lvmcmd_opt_u64(c, "maxphysicalvolumes", vg->max_pv);
    ash_list_for_each (l, &vg->lvs)
        n_lvs += lvm_lv_is_visible(lvm_lv_of(l));
    bool lvs = lvmcmd_opt(c, "logicalvolume"), pvs = lvmcmd_opt(c, "maxphysicalvolumes");
    if ((lvs || pvs) && !(vg->flags & LVM_RESIZEABLE)) {
        lvmcmd_error(c, "Volume group \"%s\" must be resizeable to change Max%s", vg->name,
                     lvs ? "LogicalVolume" : "PhysicalVolumes");
        return LVMCMD_FAILED;
    }
    if (max_lv && max_lv < n_lvs) {
        lvmcmd_error(c,
                     "MaxLogicalVolume is less than the current number %" PRIu64 " of LVs for %s",
                     n_lvs, vg->name);
        return LVMCMD_FAILED;
    }
    if (max_pv && max_pv < vg->n_pvs) {
        lvmcmd_error(c, "MaxPhysicalVolumes is less than the current number %u of PVs for \"%s\"",
                     vg->n_pvs, vg->name);
        return LVMCMD_FAILED;
    }
    vg->max_lv = (uint32_t)ASH_MIN(max_lv, UINT32_MAX);
    vg->max_pv = (uint32_t)ASH_MIN(max_pv, UINT32_MAX);
    return 0;
}

static int change_alloc(struct lvmcmd *c, struct lvm_vg *vg)
{
    enum lvm_alloc alloc;
    (void)lvm_alloc_parse(lvmcmd_opt(c, "alloc"), &alloc);
    if (alloc == LVM_ALLOC_INHERIT) {
        lvmcmd_error(c, "Volume Group allocation policy cannot inherit from anything");
        return LVMCMD_FAILED;
    }
    if (alloc == vg->alloc) {
        lvmcmd_error(c, "Volume group allocation policy is already %s", lvm_alloc_name(alloc));
        return LVMCMD_FAILED;
    }
    vg->alloc = alloc;
    return 0;
}

static int change_autoactivation(struct lvmcmd *c, struct lvm_vg *vg)
{
    bool want = lvmcmd_opt_yes(c, "setautoactivation", true);
    if (((vg->flags & LVM_NOAUTOACTIVATE) == 0) == want) {
        lvmcmd_error(c, "Volume group autoactivation is already %s.", want ? "yes" : "no");
        return LVMCMD_FAILED;
    }
    vg->flags ^= LVM_NOAUTOACTIVATE;
    return 0;
}

static int change_system_id(struct lvmcmd *c, struct lvm_vg *vg)
{
    const char *id = lvmcmd_opt(c, "systemid");
    if (strcmp(id, vg->system_id ? vg->system_id : "") == 0) {
        lvmcmd_error(c, "Volume Group system ID is already \"%s\".", id);
        return LVMCMD_FAILED;
    }
    if (*id && (!c->system_id || strcmp(id, c->system_id) != 0)) {
        if (!c->system_id)
            lvmcmd_error(c, "WARNING: No local system ID is set.");
        else
            lvmcmd_error(c, "WARNING: Requested system ID %s does not match local system ID %s.",
                         id, c->system_id);
        lvmcmd_error(c, "WARNING: Volume group %s might become inaccessible from this machine.",
                     vg->name);
        if (!lvmcmd_ask(c, "Set foreign system ID %s on volume group %s?", id, vg->name)) {
            lvmcmd_error(c, "Volume group %s system ID not changed.", vg->name);
            return LVMCMD_FAILED;
        }
    }
    vg->system_id = lvm_arena_str(&vg->arena, id);
    return 0;
}

static int change_copies(struct lvmcmd *c, struct lvm_vg *vg)
{
    struct lvmcmd_copies_wanted copies;
    const char *text = lvmcmd_opt(c, "vgmetadatacopies");
    if (!lvmcmd_copies(text, &copies)) {
        lvmcmd_error(c, "Invalid argument for --vgmetadatacopies: %s", text);
        lvmcmd_error(c, "Error during parsing of command line.");
        return LVMCMD_USAGE;
    }
    if (!copies.all && copies.n == vg->metadata_copies) {
        if (copies.n == 0)
            lvmcmd_error(c, "Number of metadata copies for VG %s is already unmanaged.", vg->name);
        else
            lvmcmd_error(c, "Number of metadata copies for VG %s is already %u.", vg->name,
                         copies.n);
        return 0; /* no failure to lvm2, either */
    }
    vg->metadata_copies = copies.n;
    if (copies.all)
        lvm_vg_use_all_areas(vg);
    return 0;
}

static int change_tags(struct lvmcmd *c, struct lvm_vg *vg)
{
    (void)lvmcmd_change_tags(c, vg, &vg->tags);
    return 0;
}

static int change_uuid(struct lvmcmd *c, struct lvm_vg *vg)
{
    (void)c;
    lvm_id_random(&vg->id);
    ash_list_for_each (l, &vg->pvs)
        lvm_pv_of(l)->is_moved = true; /* their areas name the old one */
    return 0;
}

static const struct {
    const char *opt;
    int (*change)(struct lvmcmd *c, struct lvm_vg *vg);
} changes[] = {
    {"addtag", change_tags},
    {"deltag", change_tags},
    {"logicalvolume", change_limits},
    {"maxphysicalvolumes", change_limits},
    {"physicalextentsize", change_extent_size},
    {"resizeable", change_resizeable},
    {"uuid", change_uuid},
    {"alloc", change_alloc},
    {"vgmetadatacopies", change_copies},
    {"setautoactivation", change_autoactivation},
    {"systemid", change_system_id},
};

/* Nothing is active here: to deactivate is to do nothing, to activate cannot be done. */
static int activate(struct lvmcmd *c, struct lvm_vg *vg)
{
    const char *how = lvmcmd_opt(c, "activate");
    if (how[strlen(how) - 1] != 'n') {
        lvmcmd_error(c,
                     "Logical volumes of %s cannot be activated: Ashlar serves them as devices "
                     "of its daemon.",
                     vg->name);
        return LVMCMD_FAILED;
    }
    lvmcmd_print(c, "0 logical volume(s) in volume group \"%s\" now active", vg->name);
    return 0;
}

static int change_vg(struct lvmcmd *c, struct lvm_group *g)
{
    bool any = false;
    bool no_missing = lvmcmd_opt(c, "uuid") || lvmcmd_opt(c, "physicalextentsize");
    int rc = lvmcmd_begin(c, g, no_missing ? 0 : LVMCMD_ALLOW_MISSING);
    for (size_t i = 0; i < ASH_N_ELEMS(changes) && rc == 0; i++)
        if (lvmcmd_opt(c, changes[i].opt)) {
            rc = changes[i].change(c, g->vg);
            any = true;
        }
    if (rc == 0 && any)
        rc = lvmcmd_commit(c, g->vg);
    if (rc == 0 && any)
        lvmcmd_print(c, "Volume group \"%s\" successfully changed", g->vg->name);
    if (rc == 0 && lvmcmd_opt(c, "activate"))
        rc = activate(c, g->vg);
    return rc;
}

int lvmcmd_vgchange(struct lvmcmd *c)
{
    bool any = lvmcmd_opt(c, "activate");
    for (size_t i = 0; i < ASH_N_ELEMS(changes); i++)
        any |= lvmcmd_opt(c, changes[i].opt) != NULL;
    if (!any) {
        return lvmcmd_no_syntax(c);
    }
    return lvmcmd_each_vg(c, 0, LVMCMD_ALL_IS_FINE, change_vg);
}

/* ---------------------------------------------------------------- vgrename */

static const char *bare(const char *name)
{
    return ash_starts_with(name, "/dev/") ? name + 5 : name;
}

int lvmcmd_vgrename(struct lvmcmd *c)
{
    const char *old = bare(c->args[0]), *new = bare(c->args[1]);
    char old_name[128];
    if (!lvmcmd_name_ok(c, new)) {
        lvmcmd_error(c, "New volume group name \"%s\" is invalid.", new);
        return LVMCMD_FAILED;
    }
    if (strcmp(old, new) == 0) {
        lvmcmd_error(c, "Old and new volume group names must differ");
        return LVMCMD_FAILED;
    }
    struct lvm_group *g = lvmcmd_vg(c, old);
    if (!g)
        return LVMCMD_FAILED;
    const struct lvm_group *other = lvm_group_find(c->set, new);
    if (other && strcmp(other->vg->name, new) == 0) {
        lvmcmd_error(c, "New VG name \"%s\" already exists", new);
        return LVMCMD_FAILED;
    }
    if (strcmp(g->vg->name, old) != 0)
        lvmcmd_print(c, "Processing VG %s because of matching UUID %s", g->vg->name, old);
    int rc = lvmcmd_begin(c, g, LVMCMD_ALLOW_EXPORTED);
    if (rc)
        return rc;
    snprintf(old_name, sizeof(old_name), "%s", g->vg->name);
    g->vg->name = lvm_arena_str(&g->vg->arena, new);
    rc = lvmcmd_commit(c, g->vg);
    if (rc)
        return rc;
    lvmcmd_remove_backup(c, old_name);
    lvmcmd_print(c, "Volume group \"%s\" successfully renamed to \"%s\"", old, new);
    return 0;
}

/* ------------------------------------------------------ vgexport, vgimport */

static void set_exported(struct lvm_vg *vg, bool exported)
{
    vg->flags = exported ? vg->flags | LVM_EXPORTED : vg->flags & ~LVM_EXPORTED;
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(l);
        pv->flags = exported ? pv->flags | LVM_EXPORTED : pv->flags & ~LVM_EXPORTED;
    }
    if (exported)
        vg->system_id = NULL; /* whoever imports it owns it */
}

static int export_vg(struct lvmcmd *c, struct lvm_group *g)
{
    int rc = lvmcmd_begin(c, g, 0);
    if (rc)
        return rc;
    set_exported(g->vg, true);
    rc = lvmcmd_commit(c, g->vg);
    if (rc == 0)
        lvmcmd_print(c, "Volume group \"%s\" successfully exported", g->vg->name);
    return rc;
}

static int import_vg(struct lvmcmd *c, struct lvm_group *g)
{
    if (!(g->vg->flags & LVM_EXPORTED)) {
        lvmcmd_error(c, "Volume group \"%s\" is not exported", g->vg->name);
        return LVMCMD_FAILED;
    }
    int rc = lvmcmd_begin(c, g, LVMCMD_ALLOW_EXPORTED | (c->force ? LVMCMD_ALLOW_MISSING : 0));
    if (rc)
        return rc;
    set_exported(g->vg, false);
    g->vg->system_id = c->system_id;
    rc = lvmcmd_commit(c, g->vg);
    if (rc == 0)
        lvmcmd_print(c, "Volume group \"%s\" successfully imported", g->vg->name);
    return rc;
}

/* VGs by name, or all of them: one of both. */
static int named_or_all(struct lvmcmd *c, unsigned how,
                        int (*fn)(struct lvmcmd *c, struct lvm_group *g))
{
    bool all = lvmcmd_opt(c, "all");
    if (all && c->n_args) {
        lvmcmd_error(c, "Command does not accept argument: %s.", c->args[0]);
        return LVMCMD_USAGE;
    }
    if (!all && c->n_args == 0 && !lvmcmd_opt(c, "select")) {
        return lvmcmd_no_syntax(c);
    }
    return lvmcmd_each_vg(c, 0, how | (all ? LVMCMD_ALL_IS_FINE : 0), fn);
}

int lvmcmd_vgexport(struct lvmcmd *c)
{
    return named_or_all(c, 0, export_vg);
}

int lvmcmd_vgimport(struct lvmcmd *c)
{
    return named_or_all(c, LVMCMD_EXPORTED_TOO, import_vg);
}

/* -------------------------------------------------------------------- vgck */

/* What there is to complain of was said when the devices were read. */
static int check_vg(struct lvmcmd *c, struct lvm_group *g)
{
    if (g->vg->flags & LVM_EXPORTED) {
        lvmcmd_error(c, "Volume group %s is exported", g->vg->name);
        return LVMCMD_FAILED;
    }
    if (lvm_vg_n_missing(g->vg)) {
        lvmcmd_error(c, "The volume group is missing %u physical volumes.",
                     lvm_vg_n_missing(g->vg));
        return LVMCMD_FAILED;
    }
    return 0;
}

/* The backup follows the change, as after any other. */
static int repair_vg(struct lvmcmd *c, struct lvm_group *g)
{
    struct ash_err err = {.reason = ASH_OK};
    int rc = lvmcmd_begin(c, g, LVMCMD_ALLOW_MISSING);
    if (rc)
        return rc;
    if (lvm_vg_repair(c->set, g, &c->writer, &err)) {
        lvmcmd_error(c, "%s", err.text);
        lvmcmd_error(c, "Failed to write VG %s.", g->vg->name);
        return LVMCMD_FAILED;
    }
    if (lvm_backup(&c->backups, g->vg, &c->writer, &err))
        lvmcmd_error(c, "WARNING: Backup of volume group %s failed: %s", g->vg->name, err.text);
    return 0;
}

int lvmcmd_vgck(struct lvmcmd *c)
{
    if (lvmcmd_opt(c, "updatemetadata"))
        return lvmcmd_each_vg(c, 0, 0, repair_vg);
    return lvmcmd_each_vg(c, 0, LVMCMD_ALL_IS_FINE, check_vg);
}
