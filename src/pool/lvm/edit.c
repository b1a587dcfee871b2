/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a VG in memory (docs/spec/lvm2-format.md 10, 13, 15.3). */
#include "pool/lvm/edit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

/* --------------------------------------------------------------------- LVs */

struct lvm_lv *lvm_lv_add(struct lvm_vg *vg, const char *name, const struct lvm_id *id,
                          const char *host, uint64_t time_s)
{
    struct lvm_lv *lv = lvm_arena_get(&vg->arena, sizeof(*lv));
    if (!lv || !(lv->name = lvm_arena_str(&vg->arena, name)) ||
        !(lv->creation_host = lvm_arena_str(&vg->arena, host)))
        return NULL;
    lv->vg = vg;
    lv->id = *id;
    lv->flags = LVM_READ | LVM_WRITE | LVM_VISIBLE;
    lv->has_time = true;
    lv->creation_time = time_s;
    lv->major = lv->minor = -1;
    ash_list_init(&lv->segs);
    if (ash_htab_insert(&vg->lv_names, &lv->by_name, lv->name))
        return NULL;
    ash_list_push_tail(&vg->lvs, &lv->link);
    vg->n_lvs++;
    return lv;
}

void lvm_lv_remove(struct lvm_lv *lv)
{
    ash_htab_remove(&lv->vg->lv_names, &lv->by_name);
    ash_list_remove(&lv->link);
    lv->vg->n_lvs--;
}

void lvm_lv_free_name(const struct lvm_vg *vg, const char *prefix, char *buf)
{
    size_t n = strlen(prefix);
    int64_t highest = -1;
    ash_list_for_each (l, &vg->lvs) {
        const char *name = lvm_lv_of(l)->name;
        char *end;
        if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9')
            continue;
        long long number = strtoll(name + n, &end, 10);
        if (number < INT32_MAX)
            highest = ASH_MAX(highest, (int64_t)number);
    }
    snprintf(buf, 128, "%s%lld", prefix, (long long)highest + 1);
}

/* Is `part` the name of a part of the LV called so: NAME_suffix? */
static bool is_part_name(const char *part, const char *name)
{
    size_t n = strlen(name);
    return strncmp(part, name, n) == 0 && part[n] == '_' && lvm_name_reserved(part + n);
}

static bool rename_one(struct lvm_lv *lv, const char *name)
{
    const char *copy = lvm_arena_str(&lv->vg->arena, name);
    if (!copy)
        return false;
    ash_htab_remove(&lv->vg->lv_names, &lv->by_name);
    lv->name = copy;
    return ash_htab_insert(&lv->vg->lv_names, &lv->by_name, lv->name) == 0;
}

/* Does this LV lie below the other, however deep? */
static bool is_below(const struct lvm_lv *part, const struct lvm_lv *lv)
{
    for (const struct lvm_seg *up = part->user; up; up = up->lv->user)
        if (up->lv == lv)
            return true;
    return false;
}

bool lvm_lv_rename(struct lvm_lv *lv, const char *name)
{
    char part[256];
    const char *old = lv->name;
    ash_list_for_each (l, &lv->vg->lvs) {
        struct lvm_lv *p = lvm_lv_of(l);
        if (!is_below(p, lv) || !is_part_name(p->name, old))
            continue;
        snprintf(part, sizeof(part), "%s%s", name, p->name + strlen(old));
        if (!lvm_name_valid(part) || !rename_one(p, part))
            return false;
    }
    return rename_one(lv, name);
}

/* ---------------------------------------------------------------- segments */

struct lvm_seg *lvm_seg_add(struct lvm_lv *lv, const char *type, uint32_t len, uint32_t n_areas)
{
    struct lvm_arena *arena = &lv->vg->arena;
    struct lvm_seg *seg = lvm_arena_get(arena, sizeof(*seg));
    size_t n_keys = 0;
    if (!seg)
        return NULL;
    seg->type = lvm_segtype_find(type);
    while (seg->type->keys[n_keys].name)
        n_keys++;
    seg->vals = lvm_arena_get(arena, (n_keys + 1) * sizeof(*seg->vals));
    seg->areas = n_areas ? lvm_arena_get(arena, n_areas * sizeof(*seg->areas)) : NULL;
    if (!seg->vals || (n_areas && !seg->areas))
        return NULL;
    seg->type_text = seg->type->name;
    seg->lv = lv;
    seg->start = lv->n_extents;
    seg->len = len;
    seg->n_areas = n_areas;
    ash_list_push_tail(&lv->segs, &seg->link);
    lv->n_extents += len;
    return seg;
}

static bool same_tags(const struct lvm_str *a, const struct lvm_str *b)
{
    for (; a && b; a = a->next, b = b->next)
        if (strcmp(a->text, b->text) != 0)
            return false;
    return !a && !b;
}

/* Does b begin where a ends, in the LV and in all areas? */
static bool continues(const struct lvm_seg *a, const struct lvm_seg *b)
{
    if (a->type != b->type || a->n_areas != b->n_areas || !same_tags(a->tags, b->tags) ||
        a->has_reshape_count || b->has_reshape_count || a->start + a->len != b->start ||
        (uint64_t)a->len + b->len > UINT32_MAX)
        return false;
    if (a->type->cls == LVM_SEG_VIRTUAL)
        return true;
    if (a->type->cls != LVM_SEG_STRIPED ||
        (a->n_areas > 1 && lvm_seg_u64(a, "stripe_size", 0) != lvm_seg_u64(b, "stripe_size", 0)))
        return false;
    for (uint32_t i = 0; i < a->n_areas; i++) {
        const struct lvm_area *x = &a->areas[i], *y = &b->areas[i];
        if (x->kind != y->kind || x->pv != y->pv || x->lv != y->lv ||
            x->extent + lvm_seg_area_len(a) != y->extent)
            return false;
    }
    return true;
}

void lvm_lv_merge(struct lvm_lv *lv)
{
    for (struct ash_list *l = lv->segs.next; l != &lv->segs && l->next != &lv->segs;) {
        struct lvm_seg *a = lvm_seg_of(l), *b = lvm_seg_of(l->next);
        if (!continues(a, b)) {
            l = l->next;
            continue;
        }
        a->len += b->len;
        ash_list_remove(&b->link);
    }
}

bool lvm_lv_cut(struct lvm_lv *lv, uint32_t n_extents)
{
    ASH_ASSERT(n_extents <= lv->n_extents);
    while (lv->n_extents > n_extents) {
        struct lvm_seg *last = lvm_seg_of(lv->segs.prev);
        if (last->start >= n_extents) {
            ash_list_remove(&last->link);
            lv->n_extents = last->start;
            continue;
        }
        uint32_t left = n_extents - last->start;
        bool is_cuttable =
            last->type->cls == LVM_SEG_VIRTUAL ||
            (last->type->cls == LVM_SEG_STRIPED && left % ASH_MAX(last->n_areas, 1u) == 0);
        if (!is_cuttable)
            return false;
        last->len = left;
        lv->n_extents = n_extents;
    }
    return true;
}
