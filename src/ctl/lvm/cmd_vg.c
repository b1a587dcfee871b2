/* SPDX-License-Identifier: Apache-2.0 */
/* vgcreate, vgremove, vgextend, vgreduce (docs/spec/lvm2-commands.md 4, lvm2-format.md 16). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"
#include "pool/lvm/edit.h"

enum { EXTENT_BYTES = 4 << 20, UNEVEN_EXTENT_SECTORS = 256 };

/* ------------------------------------------------------------------ values */

bool lvmcmd_name_ok(struct lvmcmd *c, const char *name)
{
    const char *why = NULL;
    if (!*name)
        why = "Name is zero length.";
    else if (*name == '-')
        why = "Name cannot start with hyphen.";
    else if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        why = "Name starts with . or .. and has no following character(s).";
    else if (strlen(name) > 127)
        why = "Name length exceeds maximum limit of 127.";
    else if (!lvm_name_valid(name))
        why = "Name contains invalid character, valid set includes: [a-zA-Z0-9.-_+].";
    if (why)
        lvmcmd_error(c, "%s", why);
    return why == NULL;
}

int lvmcmd_extent_size(struct lvmcmd *c, uint64_t bytes, uint32_t *ret_sectors)
{
    uint64_t n = bytes / LVM_SECTOR_BYTES;
    if (bytes == 0)
        return lvmcmd_usage(c, "Physical extent size may not be zero");
    if (n == 0 || n > UINT32_MAX || bytes % LVM_SECTOR_BYTES ||
        ((n & (n - 1)) && n % UNEVEN_EXTENT_SECTORS)) {
        lvmcmd_error(c, "Physical Extent size must be a multiple of 128.00 KiB when not a power of "
                        "2.");
        return LVMCMD_FAILED;
    }
    *ret_sectors = (uint32_t)n;
    return 0;
}

/* "unmanaged", "all", or a number. */
bool lvmcmd_copies(const char *text, struct lvmcmd_copies_wanted *ret)
{
    uint64_t n = 0;
    *ret = (struct lvmcmd_copies_wanted){.all = strcmp(text, "all") == 0};
    if (!ret->all && strcmp(text, "unmanaged") != 0 && ash_parse_u64(text, UINT32_MAX, &n) != 0)
        return false;
    ret->n = (uint32_t)n;
    return true;
}

/* ---------------------------------------------------------------- vgcreate */

/* What the options say of a VG; lives in its arena. */
static int set_options(struct lvmcmd *c, struct lvm_vg *vg)
{
    struct lvmcmd_copies_wanted copies;
    const char *alloc = lvmcmd_opt(c, "alloc"), *system_id = lvmcmd_opt(c, "systemid");
    const char *n_copies = lvmcmd_opt(c, "vgmetadatacopies");
    uint64_t dflt = lvmcmd_conf_u64(c, "allocation/physical_extent_size", EXTENT_BYTES / 1024);
    int rc = lvmcmd_extent_size(c, lvmcmd_opt_size(c, "physicalextentsize", 'm', dflt * 1024),
                                &vg->extent_sectors);
    if (rc)
        return rc;
    if (n_copies && !lvmcmd_copies(n_copies, &copies)) {
        lvmcmd_error(c, "Invalid argument for --vgmetadatacopies: %s", n_copies);
        lvmcmd_error(c, "Error during parsing of command line.");
        return LVMCMD_USAGE;
    }
    vg->metadata_copies = n_copies ? copies.n : 0;
    vg->max_lv = (uint32_t)lvmcmd_opt_u64(c, "maxlogicalvolumes", 0);
    vg->max_pv = (uint32_t)lvmcmd_opt_u64(c, "maxphysicalvolumes", 0);
    if (alloc && lvm_alloc_parse(alloc, &vg->alloc) && vg->alloc == LVM_ALLOC_INHERIT)
        return lvmcmd_usage(c, "Volume Group allocation policy cannot inherit from anything");
    if (!lvmcmd_opt_yes(c, "setautoactivation", true))
        vg->flags |= LVM_NOAUTOACTIVATE;
    system_id = system_id ? system_id : c->system_id;
    if (system_id && *system_id)
        vg->system_id = lvm_arena_str(&vg->arena, system_id);
    (void)lvmcmd_change_tags(c, vg, &vg->tags);
    return 0;
}

static struct lvm_vg *new_vg(struct lvmcmd *c, const char *name)
{
    struct lvm_vg *vg = lvm_vg_new();
    if (!vg || !(vg->name = lvm_arena_str(&vg->arena, name))) {
        lvmcmd_error(c, "Out of memory.");
        lvm_vg_free(vg);
        return NULL;
    }
    lvm_id_random(&vg->id);
    vg->flags = LVM_RESIZEABLE | LVM_READ | LVM_WRITE;
    return vg;
}

/* All devices that arguments name are there, may be used, and none comes twice. */
static int check_all(struct lvmcmd *c, struct lvm_dev **devs)
{
    int worst = 0;
    size_t n_lost = 0;
    for (size_t i = 1; i < c->n_args; i++)
        if (!lvmcmd_dev(c, c->args[i])) {
            lvmcmd_error(c, "No device found for %s.", c->args[i]);
            n_lost++;
        }
    if (n_lost && n_lost < c->n_args - 1)
        lvmcmd_error(c, "Command requires all devices to be found.");
    for (size_t i = 1; i < c->n_args && n_lost == 0; i++) {
        int rc = lvmcmd_pv_check(c, c->args[i], true, &devs[i]);
        for (size_t k = 1; k < i && rc == 0; k++)
            if (devs[k] == devs[i]) {
                lvmcmd_error(c, "Physical volume '%s' is named twice.", c->args[i]);
                rc = LVMCMD_FAILED;
            }
        worst = ASH_MAX(worst, rc);
    }
    return n_lost ? LVMCMD_FAILED : worst;
}

static int join_those(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_dev **devs, bool are_pvs,
                      const struct lvm_pv_opts *opts)
{
    int rc = 0;
    for (size_t i = 1; i < c->n_args && rc == 0; i++) {
        struct lvm_dev *dev = devs[i];
        if (!dev || dev->has_label != are_pvs)
            continue;
        if (vg->max_pv && vg->n_pvs >= vg->max_pv) {
            lvmcmd_error(c,
                         "No space for '%s' - volume group '%s' holds max %u physical volume(s).",
                         dev->name, vg->name, vg->max_pv);
            return LVMCMD_FAILED;
        }
        rc = lvmcmd_pv_join(c, vg, dev, opts);
        devs[i] = NULL;
    }
    return rc;
}

/* As with lvm2, those that are PVs already come first. */
static int join_all(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_dev **devs,
                    const struct lvm_pv_opts *opts)
{
    int rc = join_those(c, vg, devs, true, opts);
    return rc ? rc : join_those(c, vg, devs, false, opts);
}

int lvmcmd_vgcreate(struct lvmcmd *c)
{
    const char *name = ash_starts_with(c->args[0], "/dev/") ? c->args[0] + 5 : c->args[0];
    struct lvm_pv_opts opts;
    struct lvm_dev **devs = rt_alloc((c->n_args + 1) * sizeof(struct lvm_dev *));
    struct lvm_vg *vg = devs && lvmcmd_name_ok(c, name) ? new_vg(c, name) : NULL;
    int rc = lvmcmd_pv_opts(c, &opts);
    if (!vg && rc == 0)
        rc = lvmcmd_usage(c, "New volume group name \"%s\" is invalid.", name);
    if (rc == 0)
        rc = set_options(c, vg);
    if (rc == 0 && lvm_group_find(c->set, name)) {
        lvmcmd_error(c, "A volume group called %s already exists.", name);
        rc = LVMCMD_FAILED;
    }
    if (rc == 0)
        rc = check_all(c, devs);
    if (rc == 0)
        rc = join_all(c, vg, devs, &opts);
    if (rc == 0 && !lvm_set_give_vg(c->set, vg)) {
        rc = LVMCMD_FAILED; /* it is freed */
        vg = NULL;
    } else if (rc) {
        lvm_vg_free(vg);
        vg = NULL;
    }
    if (rc == 0)
        rc = lvmcmd_commit(c, vg);
    if (rc == 0)
        lvmcmd_print(c, "Volume group \"%s\" successfully created%s%s", name,
                     vg->system_id ? " with system ID " : "", vg->system_id ? vg->system_id : "");
    rt_free(devs);
    return rc;
}

/* ---------------------------------------------------------------- vgremove */

static unsigned n_visible(const struct lvm_vg *vg)
{
    unsigned n = 0;
    ash_list_for_each (l, &vg->lvs)
        n += lvm_lv_is_visible(lvm_lv_of(l));
    return n;
}

void lvmcmd_remove_backup(struct lvmcmd *c, const char *vg_name)
{
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    if (!c->backups.backup_dir || c->test)
        return;
    ash_buf_fmt(&path, "%s/%s", c->backups.backup_dir, vg_name);
    (void)rt_unlink(ash_buf_text(&path));
}

static int remove_vg(struct lvmcmd *c, struct lvm_group *g)
{
    struct lvm_vg *vg = g->vg;
    struct ash_err err = {.reason = ASH_OK};
    int rc = lvmcmd_begin(c, g, LVMCMD_ALLOW_MISSING | LVMCMD_ALLOW_UNKNOWN);
    if (rc)
        return rc;
    if (n_visible(vg) && lvm_vg_n_missing(vg))
        lvmcmd_error(c, "WARNING: %u physical volumes are currently missing from the system.",
                     lvm_vg_n_missing(vg));
    if (n_visible(vg) && !c->force &&
        !lvmcmd_ask(c,
                    "Do you really want to remove volume group \"%s\" containing %u logical "
                    "volumes?",
                    vg->name, n_visible(vg))) {
        lvmcmd_error(c, "Volume group \"%s\" not removed", vg->name);
        return LVMCMD_FAILED;
    }
    if (lvm_vg_remove(c->set, vg, &c->writer, &err))
        return lvmcmd_fail(c, &err);
    ash_list_for_each (l, &vg->lvs)
        if (lvm_lv_is_visible(lvm_lv_of(l)))
            lvmcmd_print(c, "Logical volume \"%s\" successfully removed.", lvm_lv_of(l)->name);
    lvmcmd_remove_backup(c, vg->name);
    lvmcmd_print(c, "Volume group \"%s\" successfully removed", vg->name);
    lvm_set_forget_vg(c->set, g);
    return 0;
}

int lvmcmd_vgremove(struct lvmcmd *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_args; i++) { /* each once */
        bool again = false;
        for (size_t k = 0; k < n; k++)
            again |= strcmp(c->args[k], c->args[i]) == 0;
        if (!again)
            c->args[n++] = c->args[i];
    }
    c->n_args = n;
    return lvmcmd_each_vg(c, 0, 0, remove_vg);
}

/* ---------------------------------------------------------------- vgextend */

/* A PV that was missing and is back may be used again as it is. */
static int restore_missing(struct lvmcmd *c, struct lvm_vg *vg)
{
    unsigned n = 0;
    for (size_t i = 1; i < c->n_args; i++) {
        struct lvm_dev *dev = lvmcmd_dev(c, c->args[i]);
        if (!dev || !dev->pv || dev->pv->vg != vg) {
            lvmcmd_error(c, "WARNING: PV %s not found in VG %s", c->args[i], vg->name);
            continue;
        }
        if (!(dev->pv->flags & LVM_MISSING) && !dev->pv->is_back) {
            lvmcmd_error(c, "WARNING: PV %s was not missing in VG %s", c->args[i], vg->name);
            continue;
        }
        dev->pv->flags &= ~LVM_MISSING;
        n++;
    }
    if (n == 0) {
        lvmcmd_error(c, "No PV has been restored.");
        return LVMCMD_FAILED;
    }
    return 0;
}

int lvmcmd_vgextend(struct lvmcmd *c)
{
    bool restores = lvmcmd_opt(c, "restoremissing");
    struct lvm_pv_opts opts;
    int rc = lvmcmd_pv_opts(c, &opts);
    if (rc)
        return rc;
    struct lvm_group *g = lvmcmd_vg_to_change(c, c->args[0], LVMCMD_ALLOW_MISSING);
    struct lvm_dev **devs = rt_alloc((c->n_args + 1) * sizeof(struct lvm_dev *));
    if (!g || !devs) {
        rc = LVMCMD_FAILED;
    } else if (restores) {
        rc = restore_missing(c, g->vg);
    } else if (!(g->vg->flags & LVM_RESIZEABLE)) {
        lvmcmd_error(c, "Volume group %s is not resizeable.", g->vg->name);
        rc = LVMCMD_FAILED;
    } else {
        rc = check_all(c, devs);
        if (rc == 0)
            rc = join_all(c, g->vg, devs, &opts);
    }
    if (rc == 0)
        rc = lvmcmd_commit(c, g->vg);
    if (rc == 0)
        lvmcmd_print(c, "Volume group \"%s\" successfully extended", g->vg->name);
    rt_free(devs);
    return rc;
}

/* ---------------------------------------------------------------- vgreduce */

static unsigned n_areas(const struct lvm_vg *vg, const struct lvm_dev *but)
{
    unsigned n = 0;
    ash_list_for_each (l, &vg->pvs) {
        const struct lvm_dev *dev = lvm_pv_of(l)->dev;
        for (size_t i = 0; dev && dev != but && i < dev->label.n_mdas; i++)
            n += dev->mdas[i].has_header && dev->mdas[i].fault == ASH_OK;
    }
    return n;
}

/* The VG is written without the PV first: until then the PV's own area still tells the truth. */
static int reduce_by(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_pv *pv)
{
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_dev *dev = pv->dev;
    const char *name = dev ? dev->name : "[unknown]";
    if (pv->n_allocated_pe) {
        lvmcmd_error(c, "Physical volume \"%s\" still in use", name);
        return LVMCMD_FAILED;
    }
    if (vg->n_pvs == 1) {
        lvmcmd_error(c, "Can't remove final physical volume \"%s\" from volume group \"%s\"", name,
                     vg->name);
        return LVMCMD_FAILED;
    }
    if (n_areas(vg, dev) == 0) {
        lvmcmd_error(c, "Cannot remove final metadata area on \"%s\" from \"%s\"", name, vg->name);
        return LVMCMD_FAILED;
    }
    /* Areas that were ignored are all that is left: they must be used now. */
    lvm_vg_use_some_area(vg, dev);
    ash_list_remove(&pv->link);
    int rc = lvmcmd_commit(c, vg);
    if (rc == 0 && dev && !c->test && lvm_pv_make_orphan(dev, &err))
        rc = lvmcmd_fail(c, &err);
    if (rc == 0 && dev)
        lvmcmd_print(c, "Removed \"%s\" from volume group \"%s\"", name, vg->name);
    return rc;
}

static int reduce_by_all(struct lvmcmd *c, struct lvm_vg *vg)
{
    int worst = 0;
    for (struct ash_list *l = vg->pvs.next, *next; l != &vg->pvs; l = next) {
        next = l->next;
        worst = ASH_MAX(worst, reduce_by(c, vg, lvm_pv_of(l)));
    }
    return worst;
}

/* Partial LVs are told of, or (--force) removed when nothing else is made of them. */
static int settle_partial(struct lvmcmd *c, struct lvm_vg *vg, unsigned *ret_n_left)
{
    *ret_n_left = 0;
    lvm_vg_find_partial(vg);
    for (struct ash_list *l = vg->lvs.next, *next; l != &vg->lvs; l = next) {
        struct lvm_lv *lv = lvm_lv_of(l);
        next = l->next;
        if (!lv->partial || !lvm_lv_is_visible(lv))
            continue;
        bool is_plain = lvm_lv_seg(lv)->type->cls == LVM_SEG_STRIPED && lv->n_users == 0 &&
                        !lv->cow && lv->n_cow_snaps == 0;
        if (!c->force || !is_plain) {
            if (c->force)
                lvmcmd_error(c,
                             "LV %s/%s is of a kind that cannot be removed here: lvremove it "
                             "first.",
                             vg->name, lv->name);
            else
                lvmcmd_error(c, "WARNING: Partial LV %s needs to be repaired or removed. ",
                             lv->name);
            ++*ret_n_left;
            continue;
        }
        lvmcmd_error(c, "WARNING: Removing partial LV %s/%s.", vg->name, lv->name);
        lvm_lv_remove(lv);
        lvmcmd_print(c, "Logical volume \"%s\" successfully removed.", lv->name);
    }
    struct ash_err err = {.reason = ASH_OK};
    return lvm_vg_link(vg, vg->name, &err) ? lvmcmd_fail(c, &err) : 0;
}

/* One that is back, but missed updates, goes too: its own area is outdated from then on. */
static int remove_missing(struct lvmcmd *c, struct lvm_vg *vg)
{
    unsigned n_left;
    if (lvm_vg_n_missing(vg) == 0) {
        lvmcmd_error(c, "Volume group \"%s\" is already consistent.", vg->name);
        return 0;
    }
    int rc = settle_partial(c, vg, &n_left);
    if (rc)
        return rc;
    if (n_left && !c->force) {
        lvmcmd_error(c, "There are still partial LVs in VG %s.", vg->name);
        lvmcmd_error(c, "To remove them unconditionally use: vgreduce --removemissing --force.");
        lvmcmd_error(c, "To remove them unconditionally from mirror LVs use: vgreduce "
                        "--removemissing --mirrorsonly --force.");
        lvmcmd_error(c, "WARNING: Proceeding to remove empty missing PVs.");
    }
    for (struct ash_list *l = vg->pvs.next, *next; l != &vg->pvs; l = next) {
        next = l->next;
        if (lvm_pv_is_missing(lvm_pv_of(l)) && lvm_pv_of(l)->n_allocated_pe == 0)
            ash_list_remove(l);
    }
    lvm_vg_number_pvs(vg);
    rc = lvmcmd_commit(c, vg);
    if (rc == 0 && n_left == 0)
        lvmcmd_print(c, "Wrote out consistent volume group %s.", vg->name);
    return rc ? rc : n_left ? LVMCMD_FAILED : 0;
}

int lvmcmd_vgreduce(struct lvmcmd *c)
{
    bool missing = lvmcmd_opt(c, "removemissing"), all = lvmcmd_opt(c, "all");
    int worst = 0;
    if ((missing || all) && c->n_args > 1) {
        lvmcmd_error(c, "Command does not accept argument: %s.", c->args[1]);
        return LVMCMD_USAGE;
    }
    if (lvmcmd_opt(c, "mirrorsonly")) {
        lvmcmd_error(c, "--mirrorsonly is not done here.");
        return LVMCMD_FAILED;
    }
    if (!missing && !all && c->n_args < 2) {
        return lvmcmd_no_syntax(c);
    }
    struct lvm_group *g = lvmcmd_vg_to_change(c, c->args[0], missing ? LVMCMD_ALLOW_MISSING : 0);
    if (!g)
        return LVMCMD_FAILED;
    if (missing)
        return remove_missing(c, g->vg);
    if (!(g->vg->flags & LVM_RESIZEABLE)) {
        lvmcmd_error(c, "Volume group %s is not resizeable.", g->vg->name);
        return LVMCMD_FAILED;
    }
    if (all)
        return reduce_by_all(c, g->vg);
    for (size_t i = 1; i < c->n_args; i++) {
        struct lvm_dev *dev = lvmcmd_dev(c, c->args[i]);
        int rc = LVMCMD_FAILED;
        if (!dev)
            lvmcmd_error(c, "Cannot use %s: device not found", c->args[i]);
        else if (!dev->pv || dev->pv->vg != g->vg)
            lvmcmd_error(c, "Failed to find physical volume \"%s\".", c->args[i]);
        else
            rc = reduce_by(c, g->vg, dev->pv);
        worst = ASH_MAX(worst, rc);
    }
    return worst;
}
