/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a VG in memory, and the links inside it (docs/spec/lvm2-format.md 9, 10). */
#include "pool/lvm/vg.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"

/* ----------------------------------------------------------------- memory */

struct lvm_vg *lvm_vg_new(void)
{
    struct lvm_vg *vg = ash_mem_alloc(sizeof(*vg));
    if (!vg)
        return NULL;
    ash_list_init(&vg->pvs);
    ash_list_init(&vg->lvs);
    vg->alloc = LVM_ALLOC_NORMAL;
    if (ash_htab_init(&vg->lv_names)) {
        ash_mem_free(vg);
        return NULL;
    }
    return vg;
}

void lvm_vg_free(struct lvm_vg *vg)
{
    if (!vg)
        return;
    ash_htab_fini(&vg->lv_names);
    lvm_arena_fini(&vg->arena);
    ash_mem_free(vg);
}

/* ---------------------------------------------------------------- look-up */

struct lvm_lv *lvm_lv_find(const struct lvm_vg *vg, const char *name)
{
    struct ash_hnode *n = ash_htab_find(&vg->lv_names, name);
    return n ? ash_container_of(n, struct lvm_lv, by_name) : NULL;
}

struct lvm_pv *lvm_pv_find(const struct lvm_vg *vg, const struct lvm_id *id)
{
    ash_list_for_each (l, &vg->pvs)
        if (lvm_id_equal(&lvm_pv_of(l)->id, id))
            return lvm_pv_of(l);
    return NULL;
}

void lvm_vg_number_pvs(struct lvm_vg *vg)
{
    unsigned n = 0;
    ash_list_for_each (l, &vg->pvs)
        lvm_pv_of(l)->idx = n++;
    vg->n_pvs = n;
}

struct lvm_seg *lvm_lv_seg(const struct lvm_lv *lv)
{
    return ash_list_empty(&lv->segs) ? NULL : lvm_seg_of(lv->segs.next);
}

static const char *const alloc_names[] = {"inherit", "contiguous", "cling", "normal", "anywhere"};

const char *lvm_alloc_name(enum lvm_alloc alloc)
{
    return alloc_names[alloc];
}

bool lvm_alloc_parse(const char *name, enum lvm_alloc *ret_alloc)
{
    for (size_t i = 0; i < ASH_N_ELEMS(alloc_names); i++)
        if (strcmp(alloc_names[i], name) == 0) {
            *ret_alloc = (enum lvm_alloc)i;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------ names */

bool lvm_name_valid(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-");
    return n >= 1 && n <= 127 && name[n] == '\0' && name[0] != '-' && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

const char *lvm_name_reserved(const char *name)
{
    static const char *const starts[] = {"pvmove", "snapshot"};
    static const char *const parts[] = {"_cdata",   "_cmeta",  "_corig", "_cpool",  "_cvol",
                                        "_wcorig",  "_mimage", "_mlog",  "_rimage", "_rmeta",
                                        "_tdata",   "_tmeta",  "_vdata", "_imeta",  "_iorig",
                                        "_pmspare", "_vorigin"};
    for (size_t i = 0; i < ASH_N_ELEMS(starts); i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return starts[i];
    for (size_t i = 0; i < ASH_N_ELEMS(parts); i++)
        if (strstr(name, parts[i]))
            return parts[i];
    return NULL;
}

bool lvm_tag_valid(const char *tag)
{
    size_t n = strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                           "_+.-/=!:&#");
    return n >= 1 && tag[n] == '\0';
}

bool lvm_tag_has(const struct lvm_str *tags, const char *tag)
{
    while (tags && strcmp(tags->text, tag) != 0)
        tags = tags->next;
    return tags != NULL;
}

bool lvm_tag_add(struct lvm_vg *vg, struct lvm_str **tags, const char *tag)
{
    if (lvm_tag_has(*tags, tag))
        return true;
    struct lvm_str *item = lvm_arena_get(&vg->arena, sizeof(*item));
    if (!item || !(item->text = lvm_arena_str(&vg->arena, tag)))
        return false;
    while (*tags)
        tags = &(*tags)->next;
    *tags = item;
    return true;
}

bool lvm_tag_del(struct lvm_str **tags, const char *tag)
{
    for (; *tags; tags = &(*tags)->next)
        if (strcmp((*tags)->text, tag) == 0) {
            *tags = (*tags)->next;
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------ links */

static void use(struct lvm_lv *part, struct lvm_seg *seg)
{
    part->user = seg;
    part->n_users++;
}

static void link_segment(struct lvm_seg *seg)
{
    for (uint32_t i = 0; i < seg->n_areas; i++) {
        if (seg->areas && seg->areas[i].kind == LVM_AREA_LV)
            use(seg->areas[i].lv, seg);
        if (seg->metas && seg->metas[i].kind == LVM_AREA_LV)
            use(seg->metas[i].lv, seg);
    }
    for (size_t i = 0; seg->type->keys[i].name; i++)
        if (seg->type->keys[i].kind == LVM_K_LV && (seg->type->keys[i].flags & LVM_K_OWNS) &&
            seg->vals[i].is_set)
            use(seg->vals[i].lv, seg);
    if (seg->type->cls == LVM_SEG_SNAPSHOT) {
        struct lvm_lv *cow = lvm_seg_lv(seg, "cow_store");
        cow = cow ? cow : lvm_seg_lv(seg, "merging_store");
        if (cow)
            cow->cow = seg;
        lvm_seg_lv(seg, "origin")->n_cow_snaps++;
    }
}

/* Segments cover 0..n-1, each area lies in its PV or LV. */
static int check_lv(struct lvm_lv *lv, const char *what, struct ash_err *err)
{
    uint64_t next = 0;
    ash_list_for_each (l, &lv->segs) {
        struct lvm_seg *seg = lvm_seg_of(l);
        if (seg->start != next || seg->len == 0)
            return ash_err_set(err, ASH_E_LVM_SEGMENTS, lv->name,
                               "%s: segments of LV '%s' leave a gap or overlap at extent %" PRIu64,
                               what, lv->name, next);
        next += seg->len;
    }
    if (next > UINT32_MAX)
        return ash_err_set(err, ASH_E_LVM_SEGMENTS, lv->name,
                           "%s: LV '%s' has more extents than possible", what, lv->name);
    lv->n_extents = (uint32_t)next;
    return 0;
}

static int check_areas(const struct lvm_seg *seg, const char *what, struct ash_err *err)
{
    uint32_t len = lvm_seg_area_len(seg);
    for (uint32_t i = 0; i < seg->n_areas && seg->areas; i++) {
        const struct lvm_area *a = &seg->areas[i];
        uint64_t room = a->kind == LVM_AREA_PV   ? a->pv->pe_count
                        : a->kind == LVM_AREA_LV ? a->lv->n_extents
                                                 : UINT64_MAX;
        if ((uint64_t)a->extent + len > room)
            return ash_err_set(err, ASH_E_LVM_AREA, seg->lv->name,
                               "%s: LV '%s' uses extents %u+%u of %s '%s', which has %" PRIu64,
                               what, seg->lv->name, a->extent, len,
                               a->kind == LVM_AREA_PV ? "PV" : "LV",
                               a->kind == LVM_AREA_PV ? a->pv->id.c : a->lv->name, room);
    }
    return 0;
}

/* Run fn for every LV that this one's data lie in. Stops at the first result that is not 0. */
static int for_each_below(struct lvm_lv *lv, int (*fn)(struct lvm_lv *below, void *arg), void *arg)
{
    int rc = 0;
    ash_list_for_each (l, &lv->segs) {
        struct lvm_seg *seg = lvm_seg_of(l);
        for (uint32_t i = 0; i < seg->n_areas && seg->areas && rc == 0; i++) {
            if (seg->areas[i].kind == LVM_AREA_LV)
                rc = fn(seg->areas[i].lv, arg);
            if (rc == 0 && seg->metas && seg->metas[i].kind == LVM_AREA_LV)
                rc = fn(seg->metas[i].lv, arg);
        }
        for (size_t i = 0; seg->type->keys[i].name && rc == 0; i++)
            if (seg->type->keys[i].kind == LVM_K_LV &&
                (seg->type->keys[i].flags & (LVM_K_OWNS | LVM_K_BELOW)) && seg->vals[i].is_set)
                rc = fn(seg->vals[i].lv, arg);
    }
    return rc;
}

/* Layers are counted from below, which also finds LVs that contain themselves. */
enum { LEVELS_MAX = 16, LEVEL_UNKNOWN = 0, LEVEL_VISITING = UINT8_MAX };

struct level_walk {
    uint8_t above, depth;
};

static int find_level(struct lvm_lv *lv, void *arg)
{
    struct level_walk *up = arg, walk = {0, (uint8_t)(up->depth + 1)};
    if (lv->level == LEVEL_VISITING || walk.depth > LEVELS_MAX)
        return -ELOOP;
    if (lv->level == LEVEL_UNKNOWN) {
        lv->level = LEVEL_VISITING;
        int rc = for_each_below(lv, find_level, &walk);
        if (rc)
            return rc;
        lv->level = (uint8_t)(walk.above + 1);
    }
    up->above = ASH_MAX(up->above, lv->level);
    return 0;
}

static int find_levels(struct lvm_vg *vg, const char *what, struct ash_err *err)
{
    ash_list_for_each (l, &vg->lvs)
        lvm_lv_of(l)->level = LEVEL_UNKNOWN;
    ash_list_for_each (l, &vg->lvs) {
        struct level_walk walk = {0, 0};
        if (find_level(lvm_lv_of(l), &walk))
            return ash_err_set(err, ASH_E_LVM_AREA, lvm_lv_of(l)->name,
                               "%s: LV '%s' contains itself, or too many layers", what,
                               lvm_lv_of(l)->name);
    }
    return 0;
}

struct run {
    const struct lvm_pv *pv;
    uint32_t first, n;
};

static int run_order(const void *a, const void *b)
{
    const struct run *x = a, *y = b;
    if (x->pv != y->pv)
        return x->pv->idx < y->pv->idx ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* No extent of a PV twice; counts what is allocated. */
static int check_extents(struct lvm_vg *vg, const char *what, struct ash_err *err)
{
    struct run *runs;
    size_t n = 0, n_room = 1;
    ash_list_for_each (l, &vg->pvs)
        lvm_pv_of(l)->n_allocated_pe = 0;
    ash_list_for_each (l, &vg->lvs)
        ash_list_for_each (s, &lvm_lv_of(l)->segs)
            n_room += lvm_seg_of(s)->n_areas;
    runs = ash_mem_alloc(n_room * sizeof(*runs));
    if (!runs)
        return ash_err_set(err, ASH_E_NO_MEMORY, what, "%s: no memory to check it", what);
    ash_list_for_each (l, &vg->lvs)
        ash_list_for_each (s, &lvm_lv_of(l)->segs) {
            struct lvm_seg *seg = lvm_seg_of(s);
            for (uint32_t i = 0; i < seg->n_areas && seg->areas; i++)
                if (seg->areas[i].kind == LVM_AREA_PV) {
                    runs[n++] =
                        (struct run){seg->areas[i].pv, seg->areas[i].extent, lvm_seg_area_len(seg)};
                    seg->areas[i].pv->n_allocated_pe += lvm_seg_area_len(seg);
                }
        }
    int rc = 0;
    qsort(runs, n, sizeof(*runs), run_order);
    for (size_t i = 1; i < n && rc == 0; i++)
        if (runs[i].pv == runs[i - 1].pv && runs[i].first < runs[i - 1].first + runs[i - 1].n)
            rc = ash_err_set(err, ASH_E_LVM_PE_TWICE, vg->name,
                             "%s: extent %u of PV '%s' is used twice", what, runs[i].first,
                             runs[i].pv->id.c);
    ash_mem_free(runs);
    return rc;
}

int lvm_vg_link(struct lvm_vg *vg, const char *what, struct ash_err *err)
{
    int rc = 0;
    lvm_vg_number_pvs(vg);
    vg->has_unknown_types = false;
    ash_list_for_each (l, &vg->lvs) {
        struct lvm_lv *lv = lvm_lv_of(l);
        lv->user = lv->cow = NULL;
        lv->n_users = lv->n_cow_snaps = 0;
        if (rc == 0)
            rc = check_lv(lv, what, err);
    }
    ash_list_for_each (l, &vg->lvs)
        ash_list_for_each (s, &lvm_lv_of(l)->segs) {
            struct lvm_seg *seg = lvm_seg_of(s);
            vg->has_unknown_types |= seg->type->cls == LVM_SEG_UNKNOWN;
            link_segment(seg);
            if (rc == 0)
                rc = check_areas(seg, what, err);
        }
    if (rc == 0)
        rc = find_levels(vg, what, err);
    if (rc == 0)
        rc = check_extents(vg, what, err);
    return rc;
}

/* ---------------------------------------------------------------- answers */

bool lvm_lv_is_visible(const struct lvm_lv *lv)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    if (seg && seg->type->cls == LVM_SEG_SNAPSHOT)
        return false;
    return (lv->flags & LVM_VISIBLE) || lv->cow;
}

static int mark_partial(struct lvm_lv *lv, void *arg)
{
    bool *above = arg, partial = false;
    if (!lv->partial_known) {
        ash_list_for_each (l, &lv->segs) {
            struct lvm_seg *seg = lvm_seg_of(l);
            for (uint32_t i = 0; i < seg->n_areas && seg->areas; i++)
                partial |= seg->areas[i].kind == LVM_AREA_PV && lvm_pv_is_missing(seg->areas[i].pv);
        }
        (void)for_each_below(lv, mark_partial, &partial);
        lv->partial = partial;
        lv->partial_known = true;
    }
    *above |= lv->partial;
    return 0;
}

void lvm_vg_find_partial(struct lvm_vg *vg)
{
    bool any = false;
    ash_list_for_each (l, &vg->lvs)
        lvm_lv_of(l)->partial_known = false;
    ash_list_for_each (l, &vg->lvs)
        (void)mark_partial(lvm_lv_of(l), &any);
}

unsigned lvm_vg_n_missing(const struct lvm_vg *vg)
{
    unsigned n = 0;
    ash_list_for_each (l, &vg->pvs)
        n += lvm_pv_is_missing(lvm_pv_of(l));
    return n;
}

uint64_t lvm_vg_n_extents(const struct lvm_vg *vg)
{
    uint64_t n = 0;
    ash_list_for_each (l, &vg->pvs)
        n += lvm_pv_of(l)->pe_count;
    return n;
}

uint64_t lvm_vg_n_free(const struct lvm_vg *vg)
{
    uint64_t n = 0;
    ash_list_for_each (l, &vg->pvs)
        n += lvm_pv_of(l)->pe_count - lvm_pv_of(l)->n_allocated_pe;
    return n;
}
