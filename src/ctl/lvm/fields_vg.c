/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of VGs, PVs and their segments (docs/spec/lvm2-commands.md 2.7), one function each. */
#include <string.h>

#include "ctl/lvm/report.h"

#define GET(name)                                                                                  \
    static void get_##name(struct lvmcmd *c, const struct rep_row *r, struct rep_value *v)

/* Nothing has device numbers here. */
GET(minus_one)
{
    rep_put_minus_one(v);
}

/* --------------------------------------------------------------------- vg */

#define VG(name) GET(vg_##name)

VG(fmt)
{
    rep_put_str(v, "lvm2");
}
VG(uuid)
{
    rep_put_id(v, &r->group->vg->id);
}
/* A PV that is used, but by a VG whose text is nowhere to be found: there is no other name. */
static bool is_of_unknown_vg(const struct rep_row *r)
{
    return r->dev && !r->pv && r->dev->has_label && (r->dev->label.ext_flags & LVM_PV_EXT_USED) &&
           !r->dev->outdated;
}
VG(name)
{
    rep_put_str(v, r->group ? r->group->vg->name : is_of_unknown_vg(r) ? "[unknown]" : "");
}
VG(attr)
{
    char attr[8];
    rep_vg_attr(r->group->vg, attr);
    rep_put_str(v, attr);
}
VG(permissions)
{
    rep_put_str(v, r->group->vg->flags & LVM_WRITE ? "writeable" : "read-only");
}
VG(extendable)
{
    rep_put_bin(c, v, r->group->vg->flags & LVM_RESIZEABLE, "extendable");
}
VG(exported)
{
    rep_put_bin(c, v, r->group->vg->flags & LVM_EXPORTED, "exported");
}
VG(autoactivation)
{
    rep_put_bin(c, v, !(r->group->vg->flags & LVM_NOAUTOACTIVATE), "enabled");
}
VG(partial)
{
    rep_put_bin(c, v, lvm_vg_n_missing(r->group->vg), "partial");
}
VG(alloc)
{
    rep_put_str(v, lvm_alloc_name(r->group->vg->alloc));
}
VG(clustered)
{
    rep_put_bin(c, v, r->group->vg->flags & LVM_CLUSTERED, "clustered");
}
VG(shared)
{
    const char *t = r->group->vg->lock_type;
    rep_put_bin(c, v, t && strcmp(t, "none") != 0, "shared");
}
VG(size)
{
    rep_put_size(c, v, lvm_vg_n_extents(r->group->vg) * rep_extent_bytes(r->group->vg));
}
VG(free)
{
    rep_put_size(c, v, lvm_vg_n_free(r->group->vg) * rep_extent_bytes(r->group->vg));
}
VG(systemid)
{
    rep_put_str(v, r->group->vg->system_id ? r->group->vg->system_id : "");
}
VG(lock_type)
{
    rep_put_str(v, r->group->vg->lock_type);
}
VG(lock_args)
{
    rep_put_str(v, r->group->vg->lock_args);
}
VG(extent_size)
{
    rep_put_size(c, v, rep_extent_bytes(r->group->vg));
}
VG(extent_count)
{
    rep_put_num(v, lvm_vg_n_extents(r->group->vg));
}
VG(free_count)
{
    rep_put_num(v, lvm_vg_n_free(r->group->vg));
}
VG(max_lv)
{
    rep_put_num(v, r->group->vg->max_lv);
}
VG(max_pv)
{
    rep_put_num(v, r->group->vg->max_pv);
}
VG(pv_count)
{
    rep_put_num(v, r->group->vg->n_pvs);
}
VG(missing_pv_count)
{
    rep_put_num(v, lvm_vg_n_missing(r->group->vg));
}
VG(lv_count)
{
    uint64_t n = 0;
    ash_list_for_each (l, &r->group->vg->lvs)
        n += lvm_lv_is_visible(lvm_lv_of(l));
    rep_put_num(v, n);
}
VG(snap_count)
{
    uint64_t n = 0;
    ash_list_for_each (l, &r->group->vg->lvs)
        n += lvm_lv_of(l)->cow != NULL;
    rep_put_num(v, n);
}
VG(seqno)
{
    rep_put_num(v, r->group->vg->seqno);
}
VG(tags)
{
    rep_put_list(v, r->group->vg->tags);
}
VG(profile)
{
    rep_put_str(v, r->group->vg->profile);
}

struct mda_sums {
    uint64_t n, n_used, free, size;
    bool any;
};
/* Ignored areas have nothing free; for a VG they do not count, but as areas. */
static void sum_mdas(const struct lvm_dev *dev, bool of_vg, struct mda_sums *s)
{
    for (size_t i = 0; dev && dev->has_label && i < dev->label.n_mdas; i++) {
        const struct lvm_mda *m = &dev->mdas[i];
        if (m->fault != ASH_OK)
            continue; /* bad ones do not count */
        uint64_t is_free = m->ignored ? 0 : lvm_ring_free(m->size, m->header.slots[0].size);
        s->n++;
        s->n_used += !m->ignored;
        if (m->ignored && of_vg)
            continue;
        s->free = s->any ? ASH_MIN(s->free, is_free) : is_free;
        s->size = s->any ? ASH_MIN(s->size, m->size) : m->size;
        s->any = true;
    }
}
static struct mda_sums vg_mdas(const struct lvm_vg *vg)
{
    struct mda_sums s = {0};
    ash_list_for_each (l, &vg->pvs)
        sum_mdas(lvm_pv_of(l)->dev, true, &s);
    return s;
}
VG(mda_count)
{
    rep_put_num(v, vg_mdas(r->group->vg).n);
}
VG(mda_used_count)
{
    rep_put_num(v, vg_mdas(r->group->vg).n_used);
}
VG(mda_free)
{
    rep_put_size(c, v, vg_mdas(r->group->vg).free);
}
VG(mda_size)
{
    rep_put_size(c, v, vg_mdas(r->group->vg).size);
}
VG(mda_copies)
{
    if (r->group->vg->metadata_copies)
        rep_put_num(v, r->group->vg->metadata_copies);
    else
        rep_put_str(v, "unmanaged");
}

/* --------------------------------------------------------------------- pv */

#define PV(name) GET(pv_##name)

static struct mda_sums pv_mdas(const struct rep_row *r)
{
    struct mda_sums s = {0};
    sum_mdas(r->dev, false, &s);
    return s;
}
/* Without a VG: what the label says. */
static uint64_t orphan_bytes(const struct rep_row *r)
{
    return r->dev->has_label ? r->dev->label.device_bytes : 0;
}
PV(fmt)
{
    rep_put_str(v, r->pv || (r->dev && r->dev->has_label) ? "lvm2" : NULL);
}
PV(uuid)
{
    if (r->pv)
        rep_put_id(v, &r->pv->id);
    else if (r->dev && r->dev->has_label)
        rep_put_id(v, &r->dev->label.pv_id);
}
PV(dev_size)
{
    rep_put_size(c, v, r->dev ? r->dev->size_bytes : 0);
}
PV(name)
{
    rep_put_str(v, r->dev ? r->dev->name : "[unknown]");
    v->sort = r->dev ? NULL : "~"; /* missing ones come last */
}
PV(mda_free)
{
    rep_put_size(c, v, pv_mdas(r).free);
}
PV(mda_size)
{
    rep_put_size(c, v, pv_mdas(r).size);
}
PV(ext_vsn)
{
    if (r->dev && r->dev->has_label)
        rep_put_num(v, r->dev->label.ext_version);
}
PV(pe_start)
{
    rep_put_size(c, v,
                 r->pv                         ? r->pv->pe_start_sectors * LVM_SECTOR_BYTES
                 : r->dev && r->dev->has_label ? r->dev->label.data_offset
                                               : 0);
}
PV(size)
{
    rep_put_size(c, v, r->pv ? r->pv->pe_count * rep_extent_bytes(r->pv->vg) : orphan_bytes(r));
}
PV(free)
{
    rep_put_size(c, v,
                 r->pv ? (r->pv->pe_count - r->pv->n_allocated_pe) * rep_extent_bytes(r->pv->vg)
                 : is_of_unknown_vg(r) ? 0 /* nobody knows what is free */
                                       : orphan_bytes(r));
}
PV(used)
{
    rep_put_size(c, v, r->pv ? r->pv->n_allocated_pe * rep_extent_bytes(r->pv->vg) : 0);
}
PV(attr)
{
    char attr[4];
    rep_pv_attr(r->pv, r->dev, attr);
    rep_put_str(v, attr);
}
PV(allocatable)
{
    rep_put_bin(c, v, r->pv && (r->pv->flags & LVM_ALLOCATABLE), "allocatable");
}
PV(exported)
{
    rep_put_bin(c, v, r->pv && (r->pv->vg->flags & LVM_EXPORTED), "exported");
}
PV(missing)
{
    rep_put_bin(c, v, r->pv && lvm_pv_is_missing(r->pv), "missing");
}
PV(pe_count)
{
    rep_put_num(v, r->pv ? r->pv->pe_count : 0);
}
PV(pe_alloc_count)
{
    rep_put_num(v, r->pv ? r->pv->n_allocated_pe : 0);
}
PV(tags)
{
    rep_put_list(v, r->pv ? r->pv->tags : NULL);
}
PV(mda_count)
{
    rep_put_num(v, pv_mdas(r).n);
}
PV(mda_used_count)
{
    rep_put_num(v, pv_mdas(r).n_used);
}
PV(ba_start)
{
    rep_put_size(c, v,
                 r->pv                         ? r->pv->boot_start_sectors * LVM_SECTOR_BYTES
                 : r->dev && r->dev->has_label ? r->dev->label.boot.offset
                                               : 0);
}
PV(ba_size)
{
    rep_put_size(c, v,
                 r->pv                         ? r->pv->boot_sectors * LVM_SECTOR_BYTES
                 : r->dev && r->dev->has_label ? r->dev->label.boot.size
                                               : 0);
}
PV(in_use)
{
    rep_put_bin(
        c, v, r->pv || (r->dev && r->dev->has_label && (r->dev->label.ext_flags & LVM_PV_EXT_USED)),
        "used");
}
PV(duplicate)
{
    rep_put_bin(c, v, r->dev && r->dev->is_duplicate, "duplicate");
}
PV(device_id)
{
    rep_put_str(v, r->pv ? r->pv->device_id : NULL);
}
PV(device_id_type)
{
    rep_put_str(v, r->pv ? r->pv->device_id_type : NULL);
}
GET(pvseg_start)
{
    rep_put_num(v, r->pvseg_start);
}
GET(pvseg_size)
{
    rep_put_num(v, r->pvseg_len);
}

/* ------------------------------------------------------------------ table */

const struct rep_field rep_fields_vg[] = {
#include "ctl/lvm/fields_vg.h"
    {.id = NULL},
};
