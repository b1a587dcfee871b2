/* SPDX-License-Identifier: Apache-2.0 */
/* lvs, vgs, pvs, fullreport, and the scans (docs/spec/lvm2-commands.md 2). */
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/report.h"

#define LVS_FIELDS                                                                                 \
    "lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,move_pv,"        \
    "mirror_log,copy_percent,convert_lv"
#define LVS_FIELDS_V                                                                               \
    "lv_name,vg_name,seg_count,lv_attr,lv_size,lv_major,lv_minor,lv_kernel_major,lv_kernel_minor," \
    "pool_lv,origin,data_percent,metadata_percent,move_pv,copy_percent,mirror_log,convert_lv,"     \
    "lv_uuid,lv_profile"
#define SEGS_FIELDS "lv_name,vg_name,lv_attr,stripes,segtype,seg_size"
#define VGS_FIELDS  "vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_free"
#define VGS_FIELDS_V                                                                               \
    "vg_name,vg_attr,vg_extent_size,pv_count,lv_count,snap_count,vg_size,vg_free,vg_uuid,"         \
    "vg_profile"
#define PVS_FIELDS   "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free"
#define PVSEG_FIELDS PVS_FIELDS ",pvseg_start,pvseg_size"

/* -------------------------------------------------------------- selection */

/* Is the VG, or the LV in it, among the arguments? No arguments: everything is. */
static bool wants_vg(struct lvmcmd *c, const struct lvm_vg *vg)
{
    for (size_t i = 0; i < c->n_args; i++) {
        const char *arg = c->args[i];
        char vg_name[128], lv_name[128];
        if (*arg == '@' ? lvm_tag_has(vg->tags, arg + 1)
                        : strcmp(ash_starts_with(arg, "/dev/") ? arg + 5 : arg, vg->name) == 0)
            return true;
        if (lvmcmd_split_lv(c, arg, vg_name, lv_name) && strcmp(vg_name, vg->name) == 0)
            return true;
    }
    return c->n_args == 0;
}

static bool lv_has_tag(const struct lvm_vg *vg, const char *tag)
{
    ash_list_for_each (l, &vg->lvs)
        if (lvm_tag_has(lvm_lv_of(l)->tags, tag))
            return true;
    return false;
}

/* Rows of single LVs: as rep_collect, for those that are named or tagged. */
static int collect_lvs(struct rep *rep, struct lvm_group *g, const char *arg)
{
    char vg_name[128], lv_name[128] = "";
    int rc = 0, n = 0;
    if (*arg != '@' && !lvmcmd_split_lv(rep->c, arg, vg_name, lv_name))
        return rep_collect(rep, g);
    ash_list_for_each (l, &g->vg->lvs) {
        struct rep_row row = {.group = g, .lv = lvm_lv_of(l)};
        bool fits =
            *arg == '@' ? lvm_tag_has(row.lv->tags, arg + 1) : strcmp(row.lv->name, lv_name) == 0;
        if (!fits || rc)
            continue;
        n++;
        if (rep->rows_of == REP_LV)
            rc = rep_add(rep, &row);
        ash_list_for_each (s, &row.lv->segs) {
            row.seg = lvm_seg_of(s);
            if (rep->rows_of != REP_LV && rc == 0)
                rc = rep_add(rep, &row);
        }
    }
    if (n == 0 && *arg != '@') {
        lvmcmd_error(rep->c, "Failed to find logical volume \"%s/%s\"", vg_name, lv_name);
        rc = LVMCMD_FAILED;
    }
    return rc;
}

/* A foreign VG (18.2) is shown on demand only. */
static bool is_shown(struct lvmcmd *c, const struct lvm_vg *vg)
{
    const struct lvm_cfg *own = lvm_cfg_path(c->config, "local/system_id");
    if (!vg->system_id || !*vg->system_id || lvmcmd_opt(c, "foreign"))
        return true;
    return own && own->values && strcmp(own->values->text, vg->system_id) == 0;
}

/* The LVs of an exported VG are not shown. */
static bool hides_lvs(const struct rep *rep, const struct lvm_vg *vg)
{
    return rep->of == REP_LV && (vg->flags & LVM_EXPORTED);
}

static int collect(struct rep *rep)
{
    struct lvmcmd *c = rep->c;
    int worst = 0;
    if (c->n_args == 0) {
        ash_list_for_each (l, &c->set->groups)
            if (is_shown(c, lvm_group_of(l)->vg) && !hides_lvs(rep, lvm_group_of(l)->vg))
                worst = ASH_MAX(worst, rep_collect(rep, lvm_group_of(l)));
        return worst;
    }
    for (size_t i = 0; i < c->n_args; i++) {
        const char *arg = c->args[i];
        char vg_name[128], lv_name[128];
        if (*arg == '@') {
            ash_list_for_each (l, &c->set->groups) {
                struct lvm_group *g = lvm_group_of(l);
                if (hides_lvs(rep, g->vg))
                    continue;
                if (lvm_tag_has(g->vg->tags, arg + 1))
                    worst = ASH_MAX(worst, rep_collect(rep, g));
                else if (rep->of == REP_LV && lv_has_tag(g->vg, arg + 1))
                    worst = ASH_MAX(worst, collect_lvs(rep, g, arg));
            }
            continue;
        }
        bool is_lv = rep->of == REP_LV && lvmcmd_split_lv(c, arg, vg_name, lv_name);
        struct lvm_group *g = lvmcmd_vg(c, is_lv ? vg_name : arg);
        if (g && !is_shown(c, g->vg)) {
            lvmcmd_error(c, "Cannot access VG %s with system ID %s with unknown local system ID.",
                         g->vg->name, g->vg->system_id);
            g = NULL;
        }
        if (g && hides_lvs(rep, g->vg)) {
            lvmcmd_error(c, "Volume group %s is exported", g->vg->name);
            g = NULL;
        }
        int rc = !g ? LVMCMD_FAILED : is_lv ? collect_lvs(rep, g, arg) : rep_collect(rep, g);
        worst = ASH_MAX(worst, rc);
    }
    return worst;
}

static bool pv_is_wanted(struct lvmcmd *c, const struct lvm_pv *pv, const struct lvm_dev *dev)
{
    for (size_t i = 0; i < c->n_args; i++) {
        if (dev && strcmp(c->args[i], dev->name) == 0)
            return true;
        if (*c->args[i] == '@' && pv &&
            (lvm_tag_has(pv->tags, c->args[i] + 1) || lvm_tag_has(pv->vg->tags, c->args[i] + 1)))
            return true;
    }
    return c->n_args == 0;
}

/* All PVs of one VG that are wanted (g NULL: of none). An outdated PV is no PV of its VG, and no
 * orphan either: lvm2 leaves it out, too. */
static int collect_pvs(struct rep *rep, struct lvm_group *g)
{
    struct lvmcmd *c = rep->c;
    int worst = 0;
    if (g && c->n_args == 0)
        return rep_collect(rep, g);
    ash_list_for_each (l, &c->set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        struct rep_row row = {.group = g, .pv = dev->pv, .dev = dev};
        bool is_ours = g ? dev->pv && dev->pv->vg == g->vg : !dev->pv;
        if (!is_ours || !pv_is_wanted(c, dev->pv, dev) ||
            ((!dev->has_label || dev->outdated) && !lvmcmd_opt(c, "all")))
            continue;
        row.pvseg_len = 0;
        worst = ASH_MAX(worst, rep_add(rep, &row));
    }
    return worst;
}

/* ---------------------------------------------------------------- reports */

static int report(struct lvmcmd *c, enum rep_of of, const char *fields, const char *keys)
{
    struct rep rep;
    int rc = rep_begin(&rep, c, of, fields, keys);
    if (rc == 0 && of == REP_PV) {
        ash_list_for_each (l, &c->set->groups)
            rc = ASH_MAX(rc, collect_pvs(&rep, lvm_group_of(l)));
        rc = ASH_MAX(rc, collect_pvs(&rep, NULL));
        for (size_t i = 0; i < c->n_args; i++)
            if (*c->args[i] != '@' && (!lvm_dev_find(c->set, c->args[i]) ||
                                       !lvm_dev_find(c->set, c->args[i])->has_label)) {
                lvmcmd_error(c, "Failed to find physical volume \"%s\".", c->args[i]);
                rc = LVMCMD_FAILED;
            }
    } else if (rc == 0) {
        rc = collect(&rep);
    }
    rep_print(&rep);
    rep_end(&rep);
    return rc;
}

int lvmcmd_lvs(struct lvmcmd *c)
{
    if (lvmcmd_opt(c, "segments"))
        return report(c, REP_LV, SEGS_FIELDS, "vg_name,lv_name,seg_start");
    return report(c, REP_LV, lvmcmd_opt(c, "verbose") ? LVS_FIELDS_V : LVS_FIELDS,
                  "vg_name,lv_name");
}

int lvmcmd_vgs(struct lvmcmd *c)
{
    return report(c, REP_VG, lvmcmd_opt(c, "verbose") ? VGS_FIELDS_V : VGS_FIELDS, "vg_name");
}

int lvmcmd_pvs(struct lvmcmd *c)
{
    if (lvmcmd_opt(c, "segments"))
        return report(c, REP_PV, PVSEG_FIELDS, "pv_name,pvseg_start");
    return report(c, REP_PV, lvmcmd_opt(c, "verbose") ? PVS_FIELDS ",dev_size,pv_uuid" : PVS_FIELDS,
                  "pv_name");
}

static int full_part(struct lvmcmd *c, struct lvm_group *g, enum rep_of of, const char *fields,
                     const char *keys, bool first)
{
    struct rep rep;
    int rc = rep_begin(&rep, c, of, fields, keys);
    if (rc == 0 && g)
        rc = rep_collect(&rep, g);
    if (rc == 0 && !g && of == REP_PV)
        rc = collect_pvs(&rep, NULL);
    rep_print_part(&rep, first);
    rep_end(&rep);
    return rc;
}

/* One object per VG, and one for the PVs that are in none. */
static int full_object(struct lvmcmd *c, struct lvm_group *g)
{
    int rc = full_part(c, g, REP_VG, "vg_all", "vg_name", true);
    rc = ASH_MAX(rc, full_part(c, g, REP_PV, "pv_all", "pv_name", false));
    rc = ASH_MAX(rc, full_part(c, g, REP_LV, "lv_all", "lv_name", false));
    rc = ASH_MAX(
        rc, full_part(c, g, REP_PVSEG, "pvseg_all,pv_uuid,lv_uuid", "pv_uuid,pvseg_start", false));
    return ASH_MAX(rc, full_part(c, g, REP_SEG, "seg_all,lv_uuid", "lv_uuid,seg_start", false));
}

int lvmcmd_fullreport(struct lvmcmd *c)
{
    const char *format = lvmcmd_opt(c, "reportformat");
    bool json = format && ash_starts_with(format, "json");
    bool first = true;
    int rc = 0;
    if (json)
        lvmcmd_out(c, "  {\n      \"report\": [\n");
    ash_list_for_each (l, &c->set->groups) {
        if (!wants_vg(c, lvm_group_of(l)->vg) || !is_shown(c, lvm_group_of(l)->vg))
            continue;
        if (json)
            lvmcmd_out(c, "%s          {\n", first ? "" : "          ,\n");
        rc = ASH_MAX(rc, full_object(c, lvm_group_of(l)));
        if (json)
            lvmcmd_out(c, "          }\n");
        first = false;
    }
    if (json)
        lvmcmd_out(c, "      ]\n  }\n");
    return rc;
}

/* ------------------------------------------------------------------ scans */

int lvmcmd_vgscan(struct lvmcmd *c)
{
    ash_list_for_each (l, &c->set->groups)
        lvmcmd_print(c, "Found %svolume group \"%s\" using metadata type lvm2",
                     lvm_group_of(l)->vg->flags & LVM_EXPORTED ? "exported " : "",
                     lvm_group_of(l)->vg->name);
    return 0;
}

int lvmcmd_lvscan(struct lvmcmd *c)
{
    char size[32];
    ash_list_for_each (g, &c->set->groups)
        ash_list_for_each (l, &lvm_group_of(g)->vg->lvs) {
            struct lvm_lv *lv = lvm_lv_of(l);
            if (lv->vg->flags & LVM_EXPORTED)
                continue;
            if (!lvm_lv_is_visible(lv) && !lvmcmd_opt(c, "all"))
                continue;
            lvmcmd_print(c, "%-15s   '/dev/%s/%s' [%s] %s",
                         lv->cow           ? "inactive Snapshot"
                         : lv->n_cow_snaps ? "inactive Original"
                                           : "inactive",
                         lv->vg->name, lv->name,
                         lvmcmd_size_text((uint64_t)lv->n_extents * lv->vg->extent_sectors * 512,
                                          size, sizeof(size)),
                         lvm_alloc_name(lv->alloc));
        }
    return 0;
}

int lvmcmd_pvscan(struct lvmcmd *c)
{
    char a[32], b[32], d[32];
    uint64_t n_in = 0, in_bytes = 0, n_out = 0, out_bytes = 0;
    size_t w_dev = 0, w_vg = 0;
    ash_list_for_each (l, &c->set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        if (!dev->has_label)
            continue;
        w_dev = ASH_MAX(w_dev, strlen(dev->name));
        w_vg = ASH_MAX(w_vg, dev->pv ? strlen(dev->pv->vg->name) : 0);
    }
    for (int in = 1; in >= 0; in--)
        ash_list_for_each (l, &c->set->devs) {
            struct lvm_dev *dev = lvm_dev_of(l);
            if (!dev->has_label || (dev->pv != NULL) != (bool)in ||
                (in && lvmcmd_opt(c, "novolumegroup")))
                continue;
            uint64_t extent = in ? (uint64_t)dev->pv->vg->extent_sectors * 512 : 0;
            uint64_t size = in ? dev->pv->pe_count * extent : dev->label.device_bytes;
            uint64_t room = in ? (dev->pv->pe_count - dev->pv->n_allocated_pe) * extent : 0;
            *(in ? &n_in : &n_out) += 1;
            *(in ? &in_bytes : &out_bytes) += size;
            if (lvmcmd_opt(c, "short"))
                lvmcmd_print(c, "%s", dev->name);
            else if (in)
                lvmcmd_print(c, "PV %-*s   VG %-*s   lvm2 [%s / %s free]", (int)w_dev, dev->name,
                             (int)w_vg, dev->pv->vg->name, lvmcmd_size_text(size, a, sizeof(a)),
                             lvmcmd_size_text(room, b, sizeof(b)));
            else
                lvmcmd_print(c, "PV %-*s   %-*s   lvm2 [%s]", (int)w_dev, dev->name,
                             (int)(w_vg ? w_vg + 3 : 0), "", lvmcmd_size_text(size, a, sizeof(a)));
        }
    if (n_in + n_out == 0)
        lvmcmd_print(c, "No matching physical volumes found");
    else if (!lvmcmd_opt(c, "short"))
        lvmcmd_print(c, "Total: %llu [%s] / in use: %llu [%s] / in no VG: %llu [%s]",
                     (unsigned long long)n_in + n_out,
                     lvmcmd_size_text(in_bytes + out_bytes, a, sizeof(a)), (unsigned long long)n_in,
                     lvmcmd_size_text(in_bytes, b, sizeof(b)), (unsigned long long)n_out,
                     lvmcmd_size_text(out_bytes, d, sizeof(d)));
    return 0;
}

int lvmcmd_segtypes(struct lvmcmd *c)
{
    for (const struct lvm_segtype *t = lvm_segtypes; t->name; t++) {
        lvmcmd_print(c, "%s", t->name);
        if (t == lvm_segtypes)
            lvmcmd_print(c, "linear");
    }
    return 0;
}

int lvmcmd_version(struct lvmcmd *c)
{
    lvmcmd_print(c, "LVM version:     2.03.16(2) (2022-05-18), spoken by Ashlar");
    lvmcmd_print(c, "Library version: none: no device-mapper is used");
    return 0;
}
