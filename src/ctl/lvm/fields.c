/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of LVs and their segments (docs/spec/lvm2-commands.md 2.7), one function each. */
#include <string.h>
#include <time.h>

#include "ctl/lvm/report.h"

#define GET(name)                                                                                  \
    static void get_##name(struct lvmcmd *c, const struct rep_row *r, struct rep_value *v)

static void put_lv_id(struct rep_value *v, const struct lvm_lv *lv)
{
    if (lv)
        rep_put_id(v, &lv->id);
}

static enum lvm_seg_class cls_of(const struct lvm_lv *lv)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    return seg ? seg->type->cls : LVM_SEG_UNKNOWN;
}

/* ---------------------------------------------------------------- lv_* */

#define LV(name) GET(lv_##name)

LV(uuid)
{
    rep_put_id(v, &r->lv->id);
}
LV(name)
{
    rep_put_lv_name(v, r->lv);
}
LV(full_name)
{
    v->is_defined = true;
    ash_buf_fmt(&v->text, "%s/%s", r->lv->vg->name, r->lv->name);
}
LV(path)
{
    enum lvm_seg_class cls = cls_of(r->lv);
    if (lvm_lv_is_visible(r->lv) && cls != LVM_SEG_THIN_POOL && cls != LVM_SEG_CACHE_POOL)
        ash_buf_fmt(&v->text, "/dev/%s/%s", r->lv->vg->name, r->lv->name);
}
static void put_dm_name(struct ash_buf *out, const char *name)
{
    for (; *name; name++)
        ash_buf_fmt(out, *name == '-' ? "--" : "%c", *name);
}
LV(dm_path)
{
    ash_buf_str(&v->text, "/dev/mapper/");
    put_dm_name(&v->text, r->lv->vg->name);
    ash_buf_chr(&v->text, '-');
    put_dm_name(&v->text, r->lv->name);
}
LV(parent)
{
    if (r->lv->user && !lvm_lv_is_visible(r->lv))
        rep_put_lv_name(v, r->lv->user->lv);
}
LV(layout)
{
    rep_lv_layout(r->lv, &v->text);
}
LV(role)
{
    rep_lv_role(r->lv, &v->text);
}
LV(merging)
{
    const struct lvm_seg *seg = lvm_lv_seg(r->lv);
    rep_put_bin(c, v,
                (r->lv->cow && lvm_seg_lv(r->lv->cow, "merging_store")) ||
                    (seg && lvm_seg_lv(seg, "merge")),
                "merging");
}
LV(converting)
{
    rep_put_bin(c, v, false, "converting");
}
LV(allocation_policy)
{
    rep_put_str(v, lvm_alloc_name(r->lv->alloc));
}
LV(allocation_locked)
{
    rep_put_bin(c, v, r->lv->flags & LVM_LOCKED, "allocation locked");
}
LV(fixed_minor)
{
    rep_put_bin(c, v, r->lv->flags & LVM_FIXED_MINOR, "fixed minor");
}
LV(skip_activation)
{
    rep_put_bin(c, v, r->lv->flags & LVM_ACTIVATION_SKIP, "skip activation");
}
LV(autoactivation)
{
    rep_put_bin(c, v, !(r->lv->flags & LVM_NOAUTOACTIVATE), "enabled");
}
LV(when_full)
{
    if (cls_of(r->lv) == LVM_SEG_THIN_POOL)
        rep_put_str(v, r->lv->flags & LVM_ERROR_WHEN_FULL ? "error" : "queue");
}
LV(initial_sync)
{
    bool mirrored = cls_of(r->lv) == LVM_SEG_MIRROR || cls_of(r->lv) == LVM_SEG_RAID;
    rep_put_bin(c, v, mirrored && !(r->lv->flags & LVM_NOTSYNCED), "initial image sync");
}
LV(inactive)
{
    rep_put_bin(c, v, false, "active");
}
LV(major)
{
    if (r->lv->major >= 0)
        rep_put_num(v, (uint64_t)r->lv->major);
    else
        rep_put_minus_one(v);
}
LV(minor)
{
    if (r->lv->minor >= 0)
        rep_put_num(v, (uint64_t)r->lv->minor);
    else
        rep_put_minus_one(v);
}
LV(minus_one)
{
    rep_put_minus_one(v);
}
LV(read_ahead)
{
    if (!r->lv->has_read_ahead)
        rep_put_str(v, "auto");
    else if (r->lv->read_ahead_sectors < 0)
        rep_put_size(c, v, 0);
    else
        rep_put_size(c, v, (uint64_t)r->lv->read_ahead_sectors * LVM_SECTOR_BYTES);
}
LV(size)
{
    rep_put_size(c, v, r->lv->n_extents * rep_extent_bytes(r->lv->vg));
}
LV(metadata_size)
{
    const struct lvm_seg *seg = lvm_lv_seg(r->lv);
    struct lvm_lv *meta = seg ? lvm_seg_lv(seg, "metadata") : NULL;
    if (meta)
        rep_put_size(c, v, meta->n_extents * rep_extent_bytes(meta->vg));
}
LV(seg_count)
{
    uint64_t n = 0;
    ash_list_for_each (l, &r->lv->segs)
        n++;
    rep_put_num(v, n);
}
static struct lvm_lv *origin_of(const struct lvm_lv *lv)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    if (lv->cow)
        return lvm_seg_lv(lv->cow, "origin");
    if (!seg)
        return NULL;
    struct lvm_lv *ext = seg->type->cls == LVM_SEG_THIN ? lvm_seg_lv(seg, "external_origin") : NULL;
    return ext ? ext : lvm_seg_lv(seg, "origin");
}
LV(origin)
{
    rep_put_lv_name(v, origin_of(r->lv));
}
LV(origin_uuid)
{
    put_lv_id(v, origin_of(r->lv));
}
LV(origin_size)
{
    struct lvm_lv *o = r->lv->n_cow_snaps ? r->lv : NULL;
    const struct lvm_seg *seg = lvm_lv_seg(r->lv);
    if (r->lv->cow || (seg && seg->type->cls == LVM_SEG_THIN && lvm_seg_lv(seg, "external_origin")))
        o = origin_of(r->lv);
    if (o)
        rep_put_size(c, v, o->n_extents * rep_extent_bytes(o->vg));
}
static void add_name(struct rep_value *v, const struct lvm_lv *lv)
{
    ash_buf_fmt(&v->text, lvm_lv_is_visible(lv) ? "%s%s" : "%s[%s]", v->text.n_bytes ? "," : "",
                lv->name);
}
enum { CHAIN_MAX = 10000 };
static struct lvm_lv *ancestor_of(const struct lvm_lv *lv)
{
    return lv->cow || cls_of(lv) == LVM_SEG_THIN ? origin_of(lv) : NULL;
}
LV(ancestors)
{
    unsigned n = 0;
    for (struct lvm_lv *o = ancestor_of(r->lv); o && n++ < CHAIN_MAX; o = ancestor_of(o))
        add_name(v, o);
}
static bool descends(const struct lvm_lv *lv, const struct lvm_lv *from)
{
    unsigned n = 0;
    for (struct lvm_lv *o = ancestor_of(lv); o && n++ < CHAIN_MAX; o = ancestor_of(o))
        if (o == from)
            return true;
    return false;
}
LV(descendants)
{
    ash_list_for_each (l, &r->lv->vg->lvs)
        if (descends(lvm_lv_of(l), r->lv))
            add_name(v, lvm_lv_of(l));
}
static struct lvm_pv *move_pv_of(const struct lvm_lv *lv)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    return (lv->flags & LVM_PVMOVE) && seg && seg->n_areas && seg->areas[0].kind == LVM_AREA_PV
               ? seg->areas[0].pv
               : NULL;
}
static const char *pv_shown(const struct lvm_pv *pv)
{
    return pv->dev ? pv->dev->name : "[unknown]";
}
GET(move_pv)
{
    struct lvm_pv *pv = move_pv_of(r->lv);
    if (pv)
        rep_put_str(v, pv_shown(pv));
}
GET(move_pv_uuid)
{
    struct lvm_pv *pv = move_pv_of(r->lv);
    if (pv)
        rep_put_id(v, &pv->id);
}
GET(nothing)
{
    (void)v;
}
static struct lvm_lv *part(const struct lvm_lv *lv, const char *key)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    return seg ? lvm_seg_lv(seg, key) : NULL;
}
GET(mirror_log)
{
    rep_put_lv_name(v, part(r->lv, "mirror_log"));
}
GET(mirror_log_uuid)
{
    put_lv_id(v, part(r->lv, "mirror_log"));
}
static struct lvm_lv *data_of(const struct lvm_lv *lv)
{
    switch (cls_of(lv)) {
    case LVM_SEG_THIN_POOL:
        return part(lv, "pool");
    case LVM_SEG_CACHE_POOL:
    case LVM_SEG_VDO_POOL:
        return part(lv, "data");
    default:
        return NULL;
    }
}
GET(data_lv)
{
    rep_put_lv_name(v, data_of(r->lv));
}
GET(data_lv_uuid)
{
    put_lv_id(v, data_of(r->lv));
}
GET(metadata_lv)
{
    rep_put_lv_name(v, part(r->lv, "metadata"));
}
GET(metadata_lv_uuid)
{
    put_lv_id(v, part(r->lv, "metadata"));
}
static struct lvm_lv *pool_of(const struct lvm_lv *lv)
{
    switch (cls_of(lv)) {
    case LVM_SEG_THIN:
        return part(lv, "thin_pool");
    case LVM_SEG_CACHE:
        return part(lv, "cache_pool");
    case LVM_SEG_WRITECACHE:
        return part(lv, "writecache");
    case LVM_SEG_VDO:
        return part(lv, "vdo_pool");
    default:
        return NULL;
    }
}
GET(pool_lv)
{
    rep_put_lv_name(v, pool_of(r->lv));
}
GET(pool_lv_uuid)
{
    put_lv_id(v, pool_of(r->lv));
}
LV(tags)
{
    rep_put_list(v, r->lv->tags);
}
LV(profile)
{
    rep_put_str(v, r->lv->profile);
}
LV(lockargs)
{
    rep_put_str(v, r->lv->lock_args);
}
LV(time)
{
    time_t t = (time_t)r->lv->creation_time;
    struct tm tm;
    char text[64];
    v->n = r->lv->creation_time;
    if (r->lv->has_time && localtime_r(&t, &tm) &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm))
        rep_put_str(v, text);
}
LV(host)
{
    rep_put_str(v, r->lv->creation_host);
}
LV(modules)
{
    const struct lvm_lv *lv = r->lv;
    switch (cls_of(lv)) {
    case LVM_SEG_THIN:
        ash_buf_str(&v->text, "thin,thin-pool");
        break;
    case LVM_SEG_THIN_POOL:
        ash_buf_str(&v->text, "thin-pool");
        break;
    case LVM_SEG_MIRROR:
        ash_buf_str(&v->text, "mirror");
        break;
    case LVM_SEG_RAID:
        ash_buf_str(&v->text, "raid");
        break;
    case LVM_SEG_CACHE:
    case LVM_SEG_CACHE_POOL:
        ash_buf_str(&v->text, "cache");
        break;
    default:
        if (lv->cow || lv->n_cow_snaps)
            ash_buf_str(&v->text, "snapshot");
        break;
    }
}
LV(historical)
{
    rep_put_bin(c, v, false, "historical");
}
LV(permissions)
{
    rep_put_str(v, r->lv->flags & LVM_WRITE ? "unknown"
                                            : "read-only"); /* of the device, when active */
}
LV(health)
{
    ash_buf_str(&v->text, r->lv->partial ? "partial" : "");
}
LV(attr)
{
    char attr[11];
    rep_lv_attr(r->lv, attr);
    rep_put_str(v, attr);
}

/* -------------------------------------------------------------------- seg */

#define SEG(name) GET(seg_##name)

SEG(type)
{
    rep_put_str(v, r->seg->type->cls == LVM_SEG_STRIPED && r->seg->n_areas == 1 ? "linear"
                   : r->seg->type->cls == LVM_SEG_UNKNOWN                       ? r->seg->type_text
                                                          : r->seg->type->name);
}
/* How many areas lvm2 counts for a type: pools lie on their data LV. */
static uint64_t n_areas(const struct lvm_seg *seg)
{
    switch (seg->type->cls) {
    case LVM_SEG_THIN_POOL:
    case LVM_SEG_CACHE_POOL:
    case LVM_SEG_VDO_POOL:
    case LVM_SEG_CACHE:
    case LVM_SEG_WRITECACHE:
    case LVM_SEG_INTEGRITY:
        return 1;
    default:
        return seg->n_areas;
    }
}
SEG(stripes)
{
    rep_put_num(v, n_areas(r->seg));
}
SEG(data_stripes)
{
    uint64_t n = n_areas(r->seg);
    if (r->seg->type->cls == LVM_SEG_RAID && strcmp(r->seg->type->name, "raid1") != 0)
        n -= r->seg->type->n_parity;
    rep_put_num(v, n);
}
SEG(data_copies)
{
    const struct lvm_seg *seg = r->seg;
    uint64_t n = 1;
    if (strcmp(seg->type->name, "raid1") == 0)
        n = seg->n_areas;
    else if (strncmp(seg->type->name, "raid10", 6) == 0)
        n = lvm_seg_u64(seg, "data_copies", 2);
    else if (seg->type->cls == LVM_SEG_RAID)
        n = seg->type->n_parity + 1u;
    rep_put_num(v, n);
}
SEG(parity)
{
    if (strcmp(r->seg->type->name, "raid1") == 0)
        rep_put_num(v, r->seg->n_areas - 1);
    else if (r->seg->type->n_parity)
        rep_put_num(v, r->seg->type->n_parity);
}
SEG(stripe_size)
{
    bool linear = r->seg->type->cls == LVM_SEG_STRIPED && r->seg->n_areas == 1;
    rep_put_size(c, v, linear ? 0 : lvm_seg_u64(r->seg, "stripe_size", 0) * LVM_SECTOR_BYTES);
}
SEG(region_size)
{
    rep_put_size(c, v, lvm_seg_u64(r->seg, "region_size", 0) * LVM_SECTOR_BYTES);
}
SEG(chunk_size)
{
    const struct lvm_seg *seg = r->lv->cow ? r->lv->cow : r->seg;
    rep_put_size(c, v, lvm_seg_u64(seg, "chunk_size", 0) * LVM_SECTOR_BYTES);
}
SEG(thin_count)
{
    uint64_t n = 0;
    if (r->seg->type->cls != LVM_SEG_THIN_POOL)
        return;
    ash_list_for_each (l, &r->lv->vg->lvs)
        n += cls_of(lvm_lv_of(l)) == LVM_SEG_THIN && pool_of(lvm_lv_of(l)) == r->lv;
    rep_put_num(v, n);
}
static const struct lvm_seg *thin_pool_seg(const struct lvm_seg *seg)
{
    if (seg->type->cls == LVM_SEG_THIN)
        seg = lvm_lv_seg(lvm_seg_lv(seg, "thin_pool"));
    return seg && seg->type->cls == LVM_SEG_THIN_POOL ? seg : NULL;
}
SEG(discards)
{
    const struct lvm_seg *pool = thin_pool_seg(r->seg);
    const struct lvm_val *val = pool ? lvm_seg_val(pool, "discards") : NULL;
    if (pool)
        rep_put_str(v, val ? val->text : "ignore");
}
static const struct lvm_seg *cache_settings(const struct lvm_seg *seg)
{
    struct lvm_lv *pool = seg->type->cls == LVM_SEG_CACHE ? lvm_seg_lv(seg, "cache_pool") : NULL;
    const struct lvm_seg *p = pool ? lvm_lv_seg(pool) : seg;
    return p && p->type->cls == LVM_SEG_CACHE_POOL ? p : seg;
}
SEG(cache_format)
{
    const struct lvm_val *val = lvm_seg_val(cache_settings(r->seg), "metadata_format");
    if (val)
        rep_put_num(v, val->n);
}
SEG(cache_mode)
{
    const struct lvm_val *val = lvm_seg_val(cache_settings(r->seg), "cache_mode");
    if (val)
        rep_put_str(v, val->text);
}
SEG(cache_policy)
{
    const struct lvm_val *val = lvm_seg_val(cache_settings(r->seg), "policy");
    if (val)
        rep_put_str(v, val->text);
}
SEG(zero)
{
    const struct lvm_seg *pool = thin_pool_seg(r->seg);
    if (pool)
        rep_put_bin(c, v, lvm_seg_u64(pool, "zero_new_blocks", 0), "zero");
}
SEG(transaction_id)
{
    const struct lvm_val *val = lvm_seg_val(r->seg, "transaction_id");
    if (val)
        rep_put_num(v, val->n);
}
SEG(thin_id)
{
    const struct lvm_val *val = lvm_seg_val(r->seg, "device_id");
    if (val)
        rep_put_num(v, val->n);
}
SEG(start)
{
    rep_put_size(c, v, r->seg->start * rep_extent_bytes(r->lv->vg));
}
SEG(start_pe)
{
    rep_put_num(v, r->seg->start);
}
SEG(size)
{
    rep_put_size(c, v, r->seg->len * rep_extent_bytes(r->lv->vg));
}
SEG(size_pe)
{
    rep_put_num(v, r->seg->len);
}
SEG(tags)
{
    rep_put_list(v, r->seg->tags);
}

/* The areas of a segment as reports count them: pools lie on their data LV. */
static bool nth_area(const struct lvm_seg *seg, uint32_t i, struct lvm_area *ret)
{
    struct lvm_lv *below = NULL;
    switch (seg->type->cls) {
    case LVM_SEG_THIN_POOL:
        below = lvm_seg_lv(seg, "pool");
        break;
    case LVM_SEG_CACHE_POOL:
    case LVM_SEG_VDO_POOL:
        below = lvm_seg_lv(seg, "data");
        break;
    case LVM_SEG_CACHE:
    case LVM_SEG_WRITECACHE:
    case LVM_SEG_INTEGRITY:
        below = lvm_seg_lv(seg, "origin");
        break;
    default:
        if (i < seg->n_areas && seg->areas)
            *ret = seg->areas[i];
        return i < seg->n_areas && seg->areas;
    }
    *ret = (struct lvm_area){LVM_AREA_LV, NULL, below, 0};
    return i == 0 && below;
}
static void put_area_name(struct rep_value *v, const struct lvm_area *a, bool brackets)
{
    if (a->kind == LVM_AREA_PV)
        ash_buf_str(&v->text, pv_shown(a->pv));
    else
        ash_buf_fmt(&v->text, brackets && !lvm_lv_is_visible(a->lv) ? "[%s]" : "%s", a->lv->name);
}
SEG(devices)
{
    struct lvm_area a;
    for (uint32_t i = 0; nth_area(r->seg, i, &a); i++) {
        if (i)
            ash_buf_chr(&v->text, ',');
        put_area_name(v, &a, false);
        ash_buf_fmt(&v->text, "(%u)", a.extent);
    }
}
static void put_ranges(struct rep_value *v, const struct lvm_seg *seg, char between, bool brackets)
{
    struct lvm_area a;
    for (uint32_t i = 0; nth_area(seg, i, &a); i++) {
        if (i)
            ash_buf_chr(&v->text, between);
        put_area_name(v, &a, brackets);
        ash_buf_fmt(&v->text, ":%u-%u", a.extent, a.extent + lvm_seg_area_len(seg) - 1);
    }
}
SEG(pe_ranges)
{
    put_ranges(v, r->seg, ' ', false);
}
SEG(le_ranges)
{
    put_ranges(v, r->seg, ',', true);
}
static void put_metas(struct rep_value *v, const struct lvm_seg *seg, bool ranges)
{
    for (uint32_t i = 0; seg->metas && i < seg->n_areas; i++) {
        struct lvm_lv *m = seg->metas[i].lv;
        if (!m)
            continue;
        if (v->text.n_bytes)
            ash_buf_chr(&v->text, ',');
        if (ranges)
            ash_buf_fmt(&v->text, lvm_lv_is_visible(m) ? "%s:0-%u" : "[%s]:0-%u", m->name,
                        m->n_extents - 1);
        else
            ash_buf_fmt(&v->text, "%s(0)", m->name);
    }
}
SEG(metadata_le_ranges)
{
    put_metas(v, r->seg, true);
}
SEG(metadata_devices)
{
    put_metas(v, r->seg, false);
}

/* ------------------------------------------------------------------ table */

static const struct rep_field rep_fields[] = {
#include "ctl/lvm/fields.h"
    {.id = NULL},
};

const struct rep_field *rep_field_next(const struct rep_field *f)
{
    f = f ? f + 1 : rep_fields;
    if (f == rep_fields + ASH_N_ELEMS(rep_fields) - 1)
        f = rep_fields_vg;
    return f->id ? f : NULL;
}

const struct rep_field *rep_field_find(const char *name, size_t n, enum rep_of own)
{
    static const char *const prefixes[] = {"lv_", "vg_", "pv_", "seg_", "pvseg_"};
    for (const struct rep_field *f = NULL; (f = rep_field_next(f));)
        if (strlen(f->id) == n && strncasecmp(f->id, name, n) == 0)
            return f;
    const char *prefix = prefixes[own];
    for (const struct rep_field *f = NULL; (f = rep_field_next(f));)
        if (strncmp(f->id, prefix, strlen(prefix)) == 0 && strlen(f->id) == strlen(prefix) + n &&
            strncasecmp(f->id + strlen(prefix), name, n) == 0)
            return f;
    return NULL;
}
