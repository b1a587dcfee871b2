/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of reports (docs/spec/lvm2-commands.md 2.7), one function each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/lvm/report.h"

#define GET(name)                                                                                  \
    static void get_##name(struct lvmcmd *c, const struct rep_row *r, struct rep_value *v)

/* ---------------------------------------------------------------- helpers */

static void put_str(struct rep_value *v, const char *text)
{
    ash_buf_str(&v->text, text ? text : "");
    v->is_defined = text != NULL;
}

static void put_num(struct rep_value *v, uint64_t n)
{
    v->n = n;
    v->is_defined = true;
    ash_buf_fmt(&v->text, "%" PRIu64, n);
}

static void put_minus_one(struct rep_value *v)
{
    ash_buf_str(&v->text, "-1");
}

static void put_size(struct lvmcmd *c, struct rep_value *v, uint64_t bytes)
{
    v->n = bytes;
    v->is_defined = true;
    lvmcmd_size(&c->units, bytes, &v->text);
}

/* Words for a binary field: the word when it is so, nothing when not; 1 and 0 with --binary. */
static void put_bin(struct lvmcmd *c, struct rep_value *v, bool yes, const char *word)
{
    v->n = yes;
    v->is_defined = true;
    if (lvmcmd_opt(c, "binary"))
        ash_buf_str(&v->text, yes ? "1" : "0");
    else
        ash_buf_str(&v->text, yes ? word : "");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lists are shown in order. */
static void put_list(struct rep_value *v, const struct lvm_str *list)
{
    size_t n = 0;
    v->is_defined = true;
    for (const struct lvm_str *s = list; s; s = s->next)
        n++;
    const char **items = n ? rt_alloc(n * sizeof(*items)) : NULL;
    v->text.failed |= n && !items;
    for (size_t i = 0; i < n && items; i++, list = list->next)
        items[i] = list->text;
    if (items)
        qsort(items, n, sizeof(*items), by_text);
    for (size_t i = 0; i < n && items; i++)
        ash_buf_fmt(&v->text, "%s%s", i ? "," : "", items[i]);
    rt_free(items);
}

static void put_id(struct rep_value *v, const struct lvm_id *id)
{
    char text[LVM_ID_TEXT_BYTES];
    put_str(v, lvm_id_format(id, text));
}

/* Hidden LVs stand in brackets. */
static void put_lv_name(struct rep_value *v, const struct lvm_lv *lv)
{
    if (!lv)
        return;
    v->is_defined = true;
    v->sort = lv->name;
    ash_buf_fmt(&v->text, lvm_lv_is_visible(lv) ? "%s" : "[%s]", lv->name);
}

static void put_lv_id(struct rep_value *v, const struct lvm_lv *lv)
{
    if (lv)
        put_id(v, &lv->id);
}

static uint64_t extent_bytes(const struct lvm_vg *vg)
{
    return (uint64_t)vg->extent_sectors * LVM_SECTOR_BYTES;
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
    put_id(v, &r->lv->id);
}
LV(name)
{
    put_lv_name(v, r->lv);
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
        put_lv_name(v, r->lv->user->lv);
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
    put_bin(c, v,
            (r->lv->cow && lvm_seg_lv(r->lv->cow, "merging_store")) ||
                (seg && lvm_seg_lv(seg, "merge")),
            "merging");
}
LV(converting)
{
    put_bin(c, v, false, "converting");
}
LV(allocation_policy)
{
    put_str(v, lvm_alloc_name(r->lv->alloc));
}
LV(allocation_locked)
{
    put_bin(c, v, r->lv->flags & LVM_LOCKED, "allocation locked");
}
LV(fixed_minor)
{
    put_bin(c, v, r->lv->flags & LVM_FIXED_MINOR, "fixed minor");
}
LV(skip_activation)
{
    put_bin(c, v, r->lv->flags & LVM_ACTIVATION_SKIP, "skip activation");
}
LV(autoactivation)
{
    put_bin(c, v, !(r->lv->flags & LVM_NOAUTOACTIVATE), "enabled");
}
LV(when_full)
{
    if (cls_of(r->lv) == LVM_SEG_THIN_POOL)
        put_str(v, r->lv->flags & LVM_ERROR_WHEN_FULL ? "error" : "queue");
}
LV(initial_sync)
{
    bool mirrored = cls_of(r->lv) == LVM_SEG_MIRROR || cls_of(r->lv) == LVM_SEG_RAID;
    put_bin(c, v, mirrored && !(r->lv->flags & LVM_NOTSYNCED), "initial image sync");
}
LV(inactive)
{
    put_bin(c, v, false, "active");
}
LV(major)
{
    if (r->lv->major >= 0)
        put_num(v, (uint64_t)r->lv->major);
    else
        put_minus_one(v);
}
LV(minor)
{
    if (r->lv->minor >= 0)
        put_num(v, (uint64_t)r->lv->minor);
    else
        put_minus_one(v);
}
LV(minus_one)
{
    put_minus_one(v);
}
LV(read_ahead)
{
    if (!r->lv->has_read_ahead)
        put_str(v, "auto");
    else if (r->lv->read_ahead_sectors < 0)
        put_size(c, v, 0);
    else
        put_size(c, v, (uint64_t)r->lv->read_ahead_sectors * LVM_SECTOR_BYTES);
}
LV(size)
{
    put_size(c, v, r->lv->n_extents * extent_bytes(r->lv->vg));
}
LV(metadata_size)
{
    const struct lvm_seg *seg = lvm_lv_seg(r->lv);
    struct lvm_lv *meta = seg ? lvm_seg_lv(seg, "metadata") : NULL;
    if (meta)
        put_size(c, v, meta->n_extents * extent_bytes(meta->vg));
}
LV(seg_count)
{
    uint64_t n = 0;
    ash_list_for_each (l, &r->lv->segs)
        n++;
    put_num(v, n);
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
    put_lv_name(v, origin_of(r->lv));
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
        put_size(c, v, o->n_extents * extent_bytes(o->vg));
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
        put_str(v, pv_shown(pv));
}
GET(move_pv_uuid)
{
    struct lvm_pv *pv = move_pv_of(r->lv);
    if (pv)
        put_id(v, &pv->id);
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
    put_lv_name(v, part(r->lv, "mirror_log"));
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
    put_lv_name(v, data_of(r->lv));
}
GET(data_lv_uuid)
{
    put_lv_id(v, data_of(r->lv));
}
GET(metadata_lv)
{
    put_lv_name(v, part(r->lv, "metadata"));
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
    put_lv_name(v, pool_of(r->lv));
}
GET(pool_lv_uuid)
{
    put_lv_id(v, pool_of(r->lv));
}
LV(tags)
{
    put_list(v, r->lv->tags);
}
LV(profile)
{
    put_str(v, r->lv->profile);
}
LV(lockargs)
{
    put_str(v, r->lv->lock_args);
}
LV(time)
{
    time_t t = (time_t)r->lv->creation_time;
    struct tm tm;
    char text[64];
    v->n = r->lv->creation_time;
    if (r->lv->has_time && localtime_r(&t, &tm) &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm))
        put_str(v, text);
}
LV(host)
{
    put_str(v, r->lv->creation_host);
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
    put_bin(c, v, false, "historical");
}
LV(permissions)
{
    put_str(v, r->lv->flags & LVM_WRITE ? "unknown" : "read-only"); /* of the device, when active */
}
LV(health)
{
    ash_buf_str(&v->text, r->lv->partial ? "partial" : "");
}
LV(attr)
{
    char attr[11];
    rep_lv_attr(r->lv, attr);
    put_str(v, attr);
}

/* -------------------------------------------------------------------- seg */

#define SEG(name) GET(seg_##name)

SEG(type)
{
    put_str(v, r->seg->type->cls == LVM_SEG_STRIPED && r->seg->n_areas == 1 ? "linear"
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
    put_num(v, n_areas(r->seg));
}
SEG(data_stripes)
{
    uint64_t n = n_areas(r->seg);
    if (r->seg->type->cls == LVM_SEG_RAID && strcmp(r->seg->type->name, "raid1") != 0)
        n -= r->seg->type->n_parity;
    put_num(v, n);
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
    put_num(v, n);
}
SEG(parity)
{
    if (strcmp(r->seg->type->name, "raid1") == 0)
        put_num(v, r->seg->n_areas - 1);
    else if (r->seg->type->n_parity)
        put_num(v, r->seg->type->n_parity);
}
SEG(stripe_size)
{
    bool linear = r->seg->type->cls == LVM_SEG_STRIPED && r->seg->n_areas == 1;
    put_size(c, v, linear ? 0 : lvm_seg_u64(r->seg, "stripe_size", 0) * LVM_SECTOR_BYTES);
}
SEG(region_size)
{
    put_size(c, v, lvm_seg_u64(r->seg, "region_size", 0) * LVM_SECTOR_BYTES);
}
SEG(chunk_size)
{
    const struct lvm_seg *seg = r->lv->cow ? r->lv->cow : r->seg;
    put_size(c, v, lvm_seg_u64(seg, "chunk_size", 0) * LVM_SECTOR_BYTES);
}
SEG(thin_count)
{
    uint64_t n = 0;
    if (r->seg->type->cls != LVM_SEG_THIN_POOL)
        return;
    ash_list_for_each (l, &r->lv->vg->lvs)
        n += cls_of(lvm_lv_of(l)) == LVM_SEG_THIN && pool_of(lvm_lv_of(l)) == r->lv;
    put_num(v, n);
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
        put_str(v, val ? val->text : "ignore");
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
        put_num(v, val->n);
}
SEG(cache_mode)
{
    const struct lvm_val *val = lvm_seg_val(cache_settings(r->seg), "cache_mode");
    if (val)
        put_str(v, val->text);
}
SEG(cache_policy)
{
    const struct lvm_val *val = lvm_seg_val(cache_settings(r->seg), "policy");
    if (val)
        put_str(v, val->text);
}
SEG(zero)
{
    const struct lvm_seg *pool = thin_pool_seg(r->seg);
    if (pool)
        put_bin(c, v, lvm_seg_u64(pool, "zero_new_blocks", 0), "zero");
}
SEG(transaction_id)
{
    const struct lvm_val *val = lvm_seg_val(r->seg, "transaction_id");
    if (val)
        put_num(v, val->n);
}
SEG(thin_id)
{
    const struct lvm_val *val = lvm_seg_val(r->seg, "device_id");
    if (val)
        put_num(v, val->n);
}
SEG(start)
{
    put_size(c, v, r->seg->start * extent_bytes(r->lv->vg));
}
SEG(start_pe)
{
    put_num(v, r->seg->start);
}
SEG(size)
{
    put_size(c, v, r->seg->len * extent_bytes(r->lv->vg));
}
SEG(size_pe)
{
    put_num(v, r->seg->len);
}
SEG(tags)
{
    put_list(v, r->seg->tags);
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

/* --------------------------------------------------------------------- vg */

#define VG(name) GET(vg_##name)

VG(fmt)
{
    put_str(v, "lvm2");
}
VG(uuid)
{
    put_id(v, &r->group->vg->id);
}
VG(name)
{
    put_str(v, r->group ? r->group->vg->name : "");
}
VG(attr)
{
    char attr[8];
    rep_vg_attr(r->group->vg, attr);
    put_str(v, attr);
}
VG(permissions)
{
    put_str(v, r->group->vg->flags & LVM_WRITE ? "writeable" : "read-only");
}
VG(extendable)
{
    put_bin(c, v, r->group->vg->flags & LVM_RESIZEABLE, "extendable");
}
VG(exported)
{
    put_bin(c, v, r->group->vg->flags & LVM_EXPORTED, "exported");
}
VG(autoactivation)
{
    put_bin(c, v, !(r->group->vg->flags & LVM_NOAUTOACTIVATE), "enabled");
}
VG(partial)
{
    put_bin(c, v, lvm_vg_n_missing(r->group->vg), "partial");
}
VG(alloc)
{
    put_str(v, lvm_alloc_name(r->group->vg->alloc));
}
VG(clustered)
{
    put_bin(c, v, r->group->vg->flags & LVM_CLUSTERED, "clustered");
}
VG(shared)
{
    const char *t = r->group->vg->lock_type;
    put_bin(c, v, t && strcmp(t, "none") != 0, "shared");
}
VG(size)
{
    put_size(c, v, lvm_vg_n_extents(r->group->vg) * extent_bytes(r->group->vg));
}
VG(free)
{
    put_size(c, v, lvm_vg_n_free(r->group->vg) * extent_bytes(r->group->vg));
}
VG(systemid)
{
    put_str(v, r->group->vg->system_id ? r->group->vg->system_id : "");
}
VG(lock_type)
{
    put_str(v, r->group->vg->lock_type);
}
VG(lock_args)
{
    put_str(v, r->group->vg->lock_args);
}
VG(extent_size)
{
    put_size(c, v, extent_bytes(r->group->vg));
}
VG(extent_count)
{
    put_num(v, lvm_vg_n_extents(r->group->vg));
}
VG(free_count)
{
    put_num(v, lvm_vg_n_free(r->group->vg));
}
VG(max_lv)
{
    put_num(v, r->group->vg->max_lv);
}
VG(max_pv)
{
    put_num(v, r->group->vg->max_pv);
}
VG(pv_count)
{
    put_num(v, r->group->vg->n_pvs);
}
VG(missing_pv_count)
{
    put_num(v, lvm_vg_n_missing(r->group->vg));
}
VG(lv_count)
{
    uint64_t n = 0;
    ash_list_for_each (l, &r->group->vg->lvs)
        n += lvm_lv_is_visible(lvm_lv_of(l));
    put_num(v, n);
}
VG(snap_count)
{
    uint64_t n = 0;
    ash_list_for_each (l, &r->group->vg->lvs)
        n += lvm_lv_of(l)->cow != NULL;
    put_num(v, n);
}
VG(seqno)
{
    put_num(v, r->group->vg->seqno);
}
VG(tags)
{
    put_list(v, r->group->vg->tags);
}
VG(profile)
{
    put_str(v, r->group->vg->profile);
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
    put_num(v, vg_mdas(r->group->vg).n);
}
VG(mda_used_count)
{
    put_num(v, vg_mdas(r->group->vg).n_used);
}
VG(mda_free)
{
    put_size(c, v, vg_mdas(r->group->vg).free);
}
VG(mda_size)
{
    put_size(c, v, vg_mdas(r->group->vg).size);
}
VG(mda_copies)
{
    if (r->group->vg->metadata_copies)
        put_num(v, r->group->vg->metadata_copies);
    else
        put_str(v, "unmanaged");
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
    put_str(v, r->pv || (r->dev && r->dev->has_label) ? "lvm2" : NULL);
}
PV(uuid)
{
    if (r->pv)
        put_id(v, &r->pv->id);
    else if (r->dev && r->dev->has_label)
        put_id(v, &r->dev->label.pv_id);
}
PV(dev_size)
{
    put_size(c, v, r->dev ? r->dev->size_bytes : 0);
}
PV(name)
{
    put_str(v, r->dev ? r->dev->name : "[unknown]");
    v->sort = r->dev ? NULL : "~"; /* missing ones come last */
}
PV(mda_free)
{
    put_size(c, v, pv_mdas(r).free);
}
PV(mda_size)
{
    put_size(c, v, pv_mdas(r).size);
}
PV(ext_vsn)
{
    if (r->dev && r->dev->has_label)
        put_num(v, r->dev->label.ext_version);
}
PV(pe_start)
{
    put_size(c, v,
             r->pv                         ? r->pv->pe_start_sectors * LVM_SECTOR_BYTES
             : r->dev && r->dev->has_label ? r->dev->label.data_offset
                                           : 0);
}
PV(size)
{
    put_size(c, v, r->pv ? r->pv->pe_count * extent_bytes(r->pv->vg) : orphan_bytes(r));
}
PV(free)
{
    put_size(c, v,
             r->pv ? (r->pv->pe_count - r->pv->n_allocated_pe) * extent_bytes(r->pv->vg)
                   : orphan_bytes(r));
}
PV(used)
{
    put_size(c, v, r->pv ? r->pv->n_allocated_pe * extent_bytes(r->pv->vg) : 0);
}
PV(attr)
{
    char attr[4];
    rep_pv_attr(r->pv, r->dev, attr);
    put_str(v, attr);
}
PV(allocatable)
{
    put_bin(c, v, r->pv && (r->pv->flags & LVM_ALLOCATABLE), "allocatable");
}
PV(exported)
{
    put_bin(c, v, r->pv && (r->pv->vg->flags & LVM_EXPORTED), "exported");
}
PV(missing)
{
    put_bin(c, v, r->pv && lvm_pv_is_missing(r->pv), "missing");
}
PV(pe_count)
{
    put_num(v, r->pv ? r->pv->pe_count : 0);
}
PV(pe_alloc_count)
{
    put_num(v, r->pv ? r->pv->n_allocated_pe : 0);
}
PV(tags)
{
    put_list(v, r->pv ? r->pv->tags : NULL);
}
PV(mda_count)
{
    put_num(v, pv_mdas(r).n);
}
PV(mda_used_count)
{
    put_num(v, pv_mdas(r).n_used);
}
PV(ba_start)
{
    put_size(c, v,
             r->pv                         ? r->pv->boot_start_sectors * LVM_SECTOR_BYTES
             : r->dev && r->dev->has_label ? r->dev->label.boot.offset
                                           : 0);
}
PV(ba_size)
{
    put_size(c, v,
             r->pv                         ? r->pv->boot_sectors * LVM_SECTOR_BYTES
             : r->dev && r->dev->has_label ? r->dev->label.boot.size
                                           : 0);
}
PV(in_use)
{
    put_bin(c, v,
            r->pv || (r->dev && r->dev->has_label && (r->dev->label.ext_flags & LVM_PV_EXT_USED)),
            "used");
}
PV(duplicate)
{
    put_bin(c, v, r->dev && r->dev->is_duplicate, "duplicate");
}
PV(device_id)
{
    put_str(v, r->pv ? r->pv->device_id : NULL);
}
PV(device_id_type)
{
    put_str(v, r->pv ? r->pv->device_id_type : NULL);
}
GET(pvseg_start)
{
    put_num(v, r->pvseg_start);
}
GET(pvseg_size)
{
    put_num(v, r->pvseg_len);
}

/* ------------------------------------------------------------------ table */

const struct rep_field rep_fields[] = {
#include "ctl/lvm/fields.h"
    {.id = NULL},
};

const struct rep_field *rep_field_find(const char *name, size_t n, enum rep_of own)
{
    static const char *const prefixes[] = {"lv_", "vg_", "pv_", "seg_", "pvseg_"};
    for (const struct rep_field *f = rep_fields; f->id; f++)
        if (strlen(f->id) == n && strncasecmp(f->id, name, n) == 0)
            return f;
    const char *prefix = prefixes[own];
    for (const struct rep_field *f = rep_fields; f->id; f++)
        if (strncmp(f->id, prefix, strlen(prefix)) == 0 && strlen(f->id) == strlen(prefix) + n &&
            strncasecmp(f->id + strlen(prefix), name, n) == 0)
            return f;
    return NULL;
}
