/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute letters, layout and role (docs/spec/lvm2-commands.md 2.5 to 2.7). Nothing is active in
 * a kernel here, so states of devices are those of inactive ones. */
#include <ctype.h>
#include <string.h>

#include "ctl/lvm/report.h"

bool rep_is_part(const struct lvm_lv *lv, const char *suffix)
{
    const char *at = lv->name;
    size_t n = strlen(suffix);
    while ((at = strstr(at, suffix))) {
        const char *end = at + n;
        while (isdigit((unsigned char)*end))
            end++;
        if (*end == '\0' || strncmp(end, "_", 1) == 0)
            return true;
        at += n;
    }
    return false;
}

static enum lvm_seg_class cls_of(const struct lvm_lv *lv)
{
    struct lvm_seg *seg = lvm_lv_seg(lv);
    return seg ? seg->type->cls : LVM_SEG_UNKNOWN;
}

static bool user_is(const struct lvm_lv *lv, enum lvm_seg_class cls)
{
    return lv->user && lv->user->type->cls == cls;
}

static bool is_metadata_of(const struct lvm_lv *lv, const struct lvm_seg *seg)
{
    for (uint32_t i = 0; seg && seg->metas && i < seg->n_areas; i++)
        if (seg->metas[i].lv == lv)
            return true;
    return seg && (lvm_seg_lv(seg, "metadata") == lv || lvm_seg_lv(seg, "meta_dev") == lv);
}

static bool is_log(const struct lvm_lv *lv)
{
    return user_is(lv, LVM_SEG_MIRROR) && lvm_seg_lv(lv->user, "mirror_log") == lv;
}

/* Thin LVs of which it is the origin, inside the pool or outside. */
static unsigned n_thin_snaps(const struct lvm_lv *lv, const char *key)
{
    unsigned n = 0;
    ash_list_for_each (l, &lv->vg->lvs) {
        struct lvm_seg *seg = lvm_lv_seg(lvm_lv_of(l));
        n += seg && seg->type->cls == LVM_SEG_THIN && lvm_seg_lv(seg, key) == lv;
    }
    return n;
}

static bool is_spare(const struct lvm_lv *lv)
{
    return rep_is_part(lv, "_pmspare");
}

static bool is_cache_origin(const struct lvm_lv *lv)
{
    return (user_is(lv, LVM_SEG_CACHE) || user_is(lv, LVM_SEG_WRITECACHE)) &&
           lvm_seg_lv(lv->user, "origin") == lv;
}

/* A merging snapshot is under way. */
static bool is_merging_origin(const struct lvm_lv *lv)
{
    ash_list_for_each (l, &lv->vg->lvs) {
        struct lvm_seg *seg = lvm_lv_seg(lvm_lv_of(l));
        if (seg && seg->type->cls == LVM_SEG_SNAPSHOT && lvm_seg_lv(seg, "origin") == lv &&
            lvm_seg_lv(seg, "merging_store"))
            return true;
        if (seg && seg->type->cls == LVM_SEG_THIN && lvm_seg_lv(seg, "merge") == lv)
            return true;
    }
    return false;
}

static char type_letter(const struct lvm_lv *lv)
{
    enum lvm_seg_class cls = cls_of(lv);
    if ((lv->flags & LVM_PVMOVE) && cls == LVM_SEG_MIRROR)
        return 'p';
    if (lv->n_cow_snaps || n_thin_snaps(lv, "external_origin") || is_cache_origin(lv))
        return is_merging_origin(lv) ? 'O' : 'o';
    if (is_spare(lv) || is_metadata_of(lv, lv->user))
        return 'e';
    if (cls == LVM_SEG_CACHE || cls == LVM_SEG_CACHE_POOL || cls == LVM_SEG_WRITECACHE ||
        (lv->flags & LVM_CACHE_VOL))
        return 'C';
    if (cls == LVM_SEG_INTEGRITY)
        return 'g';
    if (cls == LVM_SEG_RAID)
        return lv->flags & LVM_NOTSYNCED ? 'R' : 'r';
    if (cls == LVM_SEG_MIRROR)
        return lv->flags & LVM_NOTSYNCED ? 'M' : 'm';
    if (cls == LVM_SEG_THIN)
        return lvm_seg_lv(lvm_lv_seg(lv), "merge") ? 'S' : 'V';
    if (cls == LVM_SEG_VDO_POOL)
        return 'd';
    if (user_is(lv, LVM_SEG_VDO_POOL))
        return 'D';
    if (cls == LVM_SEG_VIRTUAL || cls == LVM_SEG_VDO || cls == LVM_SEG_UNKNOWN)
        return 'v';
    if (cls == LVM_SEG_THIN_POOL)
        return 't';
    if (user_is(lv, LVM_SEG_THIN_POOL) && lvm_seg_lv(lv->user, "pool") == lv)
        return 'T';
    if (user_is(lv, LVM_SEG_CACHE_POOL))
        return 'C';
    if (is_log(lv))
        return 'l';
    if (user_is(lv, LVM_SEG_MIRROR) || user_is(lv, LVM_SEG_RAID))
        return 'I'; /* in sync only while active */
    if (lv->cow)
        return lvm_seg_lv(lv->cow, "merging_store") ? 'S' : 's';
    return '-';
}

static char target_letter(const struct lvm_lv *lv)
{
    enum lvm_seg_class cls = cls_of(lv);
    if (cls == LVM_SEG_THIN || cls == LVM_SEG_THIN_POOL)
        return 't';
    if (cls == LVM_SEG_CACHE || cls == LVM_SEG_CACHE_POOL || cls == LVM_SEG_WRITECACHE ||
        is_cache_origin(lv) || (lv->flags & LVM_CACHE_VOL) || user_is(lv, LVM_SEG_CACHE_POOL))
        return 'C';
    if (cls == LVM_SEG_RAID || user_is(lv, LVM_SEG_RAID))
        return 'r';
    if (cls == LVM_SEG_MIRROR || user_is(lv, LVM_SEG_MIRROR))
        return 'm';
    if (lv->cow || lv->n_cow_snaps)
        return 's';
    if (cls == LVM_SEG_UNKNOWN)
        return 'u';
    return cls == LVM_SEG_VIRTUAL || cls == LVM_SEG_VDO || cls == LVM_SEG_VDO_POOL ? 'v' : '-';
}

static bool zeroes_blocks(const struct lvm_lv *lv)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    if (seg && seg->type->cls == LVM_SEG_THIN)
        seg = lvm_lv_seg(lvm_seg_lv(seg, "thin_pool"));
    return seg && seg->type->cls == LVM_SEG_THIN_POOL && lvm_seg_u64(seg, "zero_new_blocks", 0);
}

void rep_lv_attr(const struct lvm_lv *lv, char attr[11])
{
    static const char policy[] = "iclna";
    memcpy(attr, "----------", 11);
    attr[0] = type_letter(lv);
    attr[1] = lv->flags & LVM_PVMOVE ? '-' : lv->flags & LVM_WRITE ? 'w' : 'r';
    attr[2] = policy[lv->alloc];
    if (lv->flags & LVM_LOCKED)
        attr[2] = (char)toupper(attr[2]);
    if (lv->flags & LVM_FIXED_MINOR)
        attr[3] = 'm';
    attr[6] = target_letter(lv);
    if (zeroes_blocks(lv))
        attr[7] = 'z';
    if (lv->partial)
        attr[8] = 'p';
    else if (lv->flags & LVM_WRITEMOSTLY)
        attr[8] = 'w';
    if (lv->flags & LVM_ACTIVATION_SKIP)
        attr[9] = 'k';
}

void rep_vg_attr(const struct lvm_vg *vg, char attr[8])
{
    static const char policy[] = "-clna";
    memcpy(attr, "------", 7);
    attr[0] = vg->flags & LVM_WRITE ? 'w' : 'r';
    attr[1] = vg->flags & LVM_RESIZEABLE ? 'z' : '-';
    attr[2] = vg->flags & LVM_EXPORTED ? 'x' : '-';
    attr[3] = lvm_vg_n_missing(vg) ? 'p' : '-';
    attr[4] = policy[vg->alloc];
    if (vg->flags & LVM_CLUSTERED)
        attr[5] = 'c';
    else if (vg->lock_type && strcmp(vg->lock_type, "none") != 0)
        attr[5] = 's';
}

void rep_pv_attr(const struct lvm_pv *pv, const struct lvm_dev *dev, char attr[4])
{
    memcpy(attr, "---", 4);
    if (dev && dev->is_duplicate)
        attr[0] = 'd';
    else if (pv)
        attr[0] = pv->flags & LVM_ALLOCATABLE ? 'a' : 'u';
    else if (dev && dev->has_label && (dev->label.ext_flags & LVM_PV_EXT_USED))
        attr[0] = 'u';
    if (pv && (pv->vg->flags & LVM_EXPORTED))
        attr[1] = 'x';
    if (pv && lvm_pv_is_missing(pv))
        attr[2] = 'm';
}

/* ----------------------------------------------------------- layout, role */

static void add(struct ash_buf *out, bool when, const char *word)
{
    if (!when)
        return;
    if (out->n_bytes)
        ash_buf_chr(out, ',');
    ash_buf_str(out, word);
}

void rep_lv_layout(const struct lvm_lv *lv, struct ash_buf *out)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    enum lvm_seg_class cls = cls_of(lv);
    bool linear = false, striped = false, zero = false, error = false, unknown = false;
    ash_list_for_each (l, &lv->segs) {
        const struct lvm_seg *s = lvm_seg_of(l);
        linear |= s->type->cls == LVM_SEG_STRIPED && s->n_areas == 1;
        striped |= s->type->cls == LVM_SEG_STRIPED && s->n_areas > 1;
        zero |= strcmp(s->type->name, "zero") == 0;
        error |= strcmp(s->type->name, "error") == 0;
        unknown |= s->type->cls == LVM_SEG_UNKNOWN;
    }
    add(out, linear, "linear");
    add(out, striped, "striped");
    add(out, cls == LVM_SEG_MIRROR, "mirror");
    if (cls == LVM_SEG_RAID) {
        add(out, true, "raid");
        add(out, true, seg->type->name);
        add(out, strcmp(seg->type->name, "raid5") == 0, "raid5_ls");
        add(out, strcmp(seg->type->name, "raid6") == 0, "raid6_zr");
    }
    add(out, cls == LVM_SEG_THIN || cls == LVM_SEG_THIN_POOL, "thin");
    add(out, cls == LVM_SEG_THIN, "sparse");
    add(out, cls == LVM_SEG_CACHE || cls == LVM_SEG_CACHE_POOL, "cache");
    add(out, cls == LVM_SEG_WRITECACHE, "writecache");
    add(out, cls == LVM_SEG_VDO || cls == LVM_SEG_VDO_POOL, "vdo");
    add(out, cls == LVM_SEG_THIN_POOL || cls == LVM_SEG_CACHE_POOL || cls == LVM_SEG_VDO_POOL,
        "pool");
    add(out, zero || error, "unknown"); /* so 2.03.16; newer ones: virtual */
    add(out, unknown || out->n_bytes == 0, "unknown");
}

/* What a part is good for, by who uses it. */
static void part_role(const struct lvm_lv *lv, struct ash_buf *out)
{
    const struct lvm_seg *u = lv->user;
    bool meta = is_metadata_of(lv, u);
    switch (u->type->cls) {
    case LVM_SEG_THIN_POOL:
    case LVM_SEG_CACHE_POOL:
    case LVM_SEG_VDO_POOL:
        add(out, true,
            u->type->cls == LVM_SEG_THIN_POOL    ? "thin"
            : u->type->cls == LVM_SEG_CACHE_POOL ? "cache"
                                                 : "vdo");
        add(out, true, "pool");
        add(out, true, meta ? "metadata" : "data");
        break;
    case LVM_SEG_RAID:
        add(out, true, "raid");
        add(out, true, meta ? "metadata" : "image");
        break;
    case LVM_SEG_MIRROR:
        add(out, true, "mirror");
        add(out, true, is_log(lv) ? "log" : "image");
        break;
    case LVM_SEG_CACHE:
    case LVM_SEG_WRITECACHE:
        add(out, true, "cache");
        add(out, is_cache_origin(lv), "origin");
        add(out, is_cache_origin(lv), "cacheorigin");
        break;
    case LVM_SEG_INTEGRITY:
        add(out, true, "integrity");
        add(out, true, meta ? "metadata" : "origin");
        break;
    default:
        break;
    }
}

void rep_lv_role(const struct lvm_lv *lv, struct ash_buf *out)
{
    enum lvm_seg_class cls = cls_of(lv);
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    bool is_private = !lvm_lv_is_visible(lv) || cls == LVM_SEG_THIN_POOL ||
                      cls == LVM_SEG_CACHE_POOL || cls == LVM_SEG_VDO_POOL;
    add(out, true, is_private ? "private" : "public");
    if (lv->user && !lvm_lv_is_visible(lv))
        part_role(lv, out);
    add(out, is_spare(lv), "pool");
    add(out, is_spare(lv), "spare");
    unsigned n_thin = n_thin_snaps(lv, "origin"), n_ext = n_thin_snaps(lv, "external_origin");
    add(out, lv->n_cow_snaps || n_thin || n_ext, "origin");
    add(out, lv->n_cow_snaps > 0, "thickorigin");
    add(out, lv->n_cow_snaps > 1, "multithickorigin");
    add(out, n_thin > 0, "thinorigin");
    add(out, n_thin > 1, "multithinorigin");
    add(out, n_ext > 0, "extthinorigin");
    add(out, n_ext > 1, "multiextthinorigin");
    bool thin_snap =
        cls == LVM_SEG_THIN && (lvm_seg_lv(seg, "origin") || lvm_seg_lv(seg, "external_origin"));
    add(out, lv->cow || thin_snap, "snapshot");
    add(out, lv->cow != NULL, "thicksnapshot");
    add(out, thin_snap, "thinsnapshot");
}
