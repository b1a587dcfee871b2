/* SPDX-License-Identifier: Apache-2.0 */
/* See map.h. Source: docs/spec/lvm2-format.md 13, dm-formats.md 9. */
#include "pool/lvm/map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvm/raid.h"

enum { DEPTH_MAX = 8 }; /* an LV of LVs of LVs ... */

enum rule { RULE_ZERO, RULE_ERROR, RULE_STRIPED, RULE_COPIES, RULE_RAID10, RULE_PARITY };

struct leg {
    bool is_good;
    unsigned pv;
    struct lvm_map *lv; /* NULL: on the PV */
    uint64_t offset;
};

struct piece {
    uint64_t start, length;
    enum rule rule;
    uint64_t chunk; /* bytes in a row on one leg */
    unsigned n_legs, n_copies;
    const struct lvm_raid_layout *layout; /* PARITY */
    bool has_parity;                      /* PARITY: and it is in sync */
    struct leg *legs;
    struct lvm_place *metas; /* COPIES, all legs in sync: their superblocks; else NULL */
};

struct pvs {
    const char *names[256];
    unsigned n;
};

struct lvm_map {
    uint64_t size, boundary;
    size_t n_pieces;
    struct piece *pieces;
    bool has_lost;             /* some of it, through all layers, must be rebuilt */
    const char *why_read_only; /* static text */
    struct pvs *pvs;           /* of the whole tree */
    bool owns_pvs;
};

/* What the making of a tree hands on. */
struct maker {
    struct pvs *pvs;
    uint64_t extent_bytes;
    struct ash_err *err;
};

/* ---------------------------------------------------------------- finding */

static const struct piece *piece_at(const struct lvm_map *map, uint64_t offset)
{
    size_t lo = 0, hi = map->n_pieces;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (map->pieces[mid].start <= offset)
            lo = mid;
        else
            hi = mid;
    }
    return &map->pieces[lo];
}

static struct lvm_place place_on_leg(const struct leg *leg, uint64_t in, uint64_t length)
{
    struct lvm_place at = {LVM_PLACE_ERROR, 0, 0, length};
    if (!leg->is_good || (leg->lv && leg->offset + in >= leg->lv->size))
        return at; /* a leg may be shorter than its text says */
    if (leg->lv) {
        at = lvm_map_find(leg->lv, leg->offset + in);
        at.length = ASH_MIN(at.length, length);
        return at;
    }
    return (struct lvm_place){LVM_PLACE_PV, leg->pv, leg->offset + in, length};
}

/* Where on a leg a byte is, and how many follow it there. */
struct spot {
    const struct leg *leg;
    uint64_t row, in, length; /* in: bytes from the leg's begin */
};

/* Of the copies beginning at the n-th chunk of all, counted over the legs (raid10 near). */
static struct spot spot_near(const struct piece *p, uint64_t n, uint64_t in, uint64_t length)
{
    struct spot s = {.length = length};
    for (unsigned i = 0; i < p->n_copies; i++) {
        s.leg = &p->legs[(n + i) % p->n_legs];
        s.row = (n + i) / p->n_legs;
        if (s.leg->is_good)
            break;
    }
    s.in = s.row * p->chunk + in;
    return s;
}

/* p: one with legs; at: from its start. */
static struct spot spot_at(const struct piece *p, uint64_t at)
{
    uint64_t left = p->length - at, n = at / p->chunk, in = at % p->chunk;
    uint64_t length = ASH_MIN(p->chunk - in, left);
    if (p->rule == RULE_COPIES)
        return spot_near(p, 0, at, left);
    if (p->rule == RULE_RAID10)
        return spot_near(p, n * p->n_copies, in, length);
    unsigned n_data = p->rule == RULE_PARITY ? p->n_legs - p->layout->n_parity : p->n_legs;
    unsigned leg = (unsigned)(n % n_data);
    if (p->rule == RULE_PARITY)
        leg = lvm_raid_data_leg(p->layout, p->n_legs, n / n_data, leg);
    return (struct spot){&p->legs[leg], n / n_data, n / n_data * p->chunk + in, length};
}

static bool has_legs(const struct piece *p)
{
    return p->rule != RULE_ZERO && p->rule != RULE_ERROR;
}

struct lvm_place lvm_map_find(const struct lvm_map *map, uint64_t offset)
{
    ASH_ASSERT(offset < map->size);
    const struct piece *p = piece_at(map, offset);
    uint64_t at = offset - p->start;
    if (!has_legs(p))
        return (struct lvm_place){p->rule == RULE_ZERO ? LVM_PLACE_ZERO : LVM_PLACE_ERROR, 0, 0,
                                  p->length - at};
    struct spot s = spot_at(p, at);
    if (p->rule == RULE_PARITY && !s.leg->is_good)
        return (struct lvm_place){LVM_PLACE_LOST, 0, 0, s.length};
    return place_on_leg(s.leg, s.in, s.length);
}

static bool find_sum(const struct piece *p, uint64_t row, unsigned leg, struct lvm_parity_sum *ret)
{
    bool is_good[LVM_RAID_LEGS_MAX];
    for (unsigned i = 0; i < p->n_legs; i++)
        is_good[i] = p->legs[i].is_good;
    return p->has_parity && lvm_parity_find(p->layout, p->n_legs, row, leg, is_good, ret);
}

void lvm_map_lost(const struct lvm_map *map, uint64_t offset, struct lvm_lost *ret)
{
    const struct piece *p = piece_at(map, offset);
    struct spot s = spot_at(p, offset - p->start);
    while (p->rule != RULE_PARITY || s.leg->is_good) { /* the raid is a part of another LV */
        ASH_ASSERT(s.leg->lv);
        offset = s.leg->offset + s.in;
        map = s.leg->lv;
        p = piece_at(map, offset);
        s = spot_at(p, offset - p->start);
    }
    bool is_found = find_sum(p, s.row, (unsigned)(s.leg - p->legs), &ret->sum);
    ASH_ASSERT(is_found); /* else the map had not been made */
    for (unsigned i = 0; i < ret->sum.n; i++)
        ret->from[i] = place_on_leg(&p->legs[ret->sum.legs[i]], s.in, s.length);
}

unsigned lvm_map_metas(const struct lvm_map *map, struct lvm_place *ret)
{
    const struct piece *p = &map->pieces[0];
    if (map->n_pieces != 1 || !p->metas)
        return 0;
    memcpy(ret, p->metas, p->n_legs * sizeof(*ret));
    return p->n_legs;
}

void lvm_map_copies(const struct lvm_map *map, uint64_t offset, struct lvm_place *ret)
{
    const struct piece *p = &map->pieces[0];
    ASH_ASSERT(p->metas && offset < map->size);
    for (unsigned i = 0; i < p->n_legs; i++)
        ret[i] = place_on_leg(&p->legs[i], offset, map->size - offset);
}

/* ----------------------------------------------------------------- making */

static int no_memory(const struct lvm_lv *lv, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_NO_MEMORY, lv->name, "no memory to open LV '%s'", lv->name);
}

static int pv_index(struct maker *m, const struct lvm_lv *lv, const struct lvm_pv *pv,
                    unsigned *ret_idx)
{
    const char *name = bdev_desc_bdev(pv->dev->desc)->name;
    struct pvs *pvs = m->pvs;
    for (*ret_idx = 0; *ret_idx < pvs->n; ++*ret_idx)
        if (strcmp(pvs->names[*ret_idx], name) == 0)
            return 0;
    if (pvs->n == ASH_N_ELEMS(pvs->names))
        return ash_err_set(m->err, ASH_E_LVM_LV_TYPE, lv->name,
                           "LV '%s' lies on more than %zu physical volumes", lv->name,
                           ASH_N_ELEMS(pvs->names));
    char *copy = rt_strdup(name);
    if (!copy)
        return no_memory(lv, m->err);
    pvs->names[pvs->n++] = copy;
    return 0;
}

static int make(struct maker *m, const struct lvm_lv *lv, unsigned depth,
                struct lvm_map **ret_map) ASH_MAY_WAIT;

/* A leg that is not there is not good; whether that matters, its piece knows. */
static int make_leg(struct maker *m, const struct lvm_lv *lv, const struct lvm_area *area,
                    unsigned depth, struct leg *ret) ASH_MAY_WAIT
{
    *ret = (struct leg){.is_good = true, .offset = area->extent * m->extent_bytes};
    if (area->kind == LVM_AREA_LV)
        return make(m, area->lv, depth + 1, &ret->lv);
    /* one that was missing and came back holds what was written before it went */
    ret->is_good = area->kind == LVM_AREA_PV && area->pv->dev && !(area->pv->flags & LVM_MISSING);
    if (!ret->is_good)
        return 0;
    ret->offset += area->pv->pe_start_sectors * LVM_SECTOR_BYTES;
    return pv_index(m, lv, area->pv, &ret->pv);
}

static bool is_whole(const struct lvm_map *map);

static bool is_whole_leg(const struct leg *leg)
{
    return leg->is_good && (!leg->lv || is_whole(leg->lv));
}

/* Wherever a chunk's copies begin, one of them is there. */
static bool has_all_copies(const struct piece *p)
{
    unsigned step = p->n_legs % p->n_copies ? 1 : p->n_copies;
    for (unsigned first = 0; first < p->n_legs; first += step) {
        unsigned n_good = 0;
        for (unsigned i = 0; i < p->n_copies; i++)
            n_good += is_whole_leg(&p->legs[(first + i) % p->n_legs]);
        if (n_good == 0)
            return false;
    }
    return true;
}

/* Is each chunk of data there, or can be rebuilt? Rows repeat after as many as there are legs. */
static bool has_all_chunks(const struct piece *p)
{
    struct lvm_parity_sum sum;
    for (unsigned row = 0; row < p->n_legs; row++) {
        for (unsigned d = 0; d < p->n_legs - p->layout->n_parity; d++) {
            unsigned leg = lvm_raid_data_leg(p->layout, p->n_legs, row, d);
            if (!p->legs[leg].is_good && !find_sum(p, row, leg, &sum))
                return false;
        }
    }
    return true;
}

/* Can everything of the LV be read? */
static bool is_whole(const struct lvm_map *map)
{
    for (size_t i = 0; i < map->n_pieces; i++) {
        const struct piece *p = &map->pieces[i];
        unsigned n_good = 0;
        for (unsigned k = 0; k < p->n_legs; k++)
            n_good += is_whole_leg(&p->legs[k]);
        if (p->rule == RULE_COPIES || p->rule == RULE_RAID10) {
            if (!has_all_copies(p))
                return false;
        } else if (p->rule == RULE_PARITY) {
            if (!has_all_chunks(p))
                return false;
        } else if (n_good < p->n_legs) {
            return false;
        }
    }
    return true;
}

/* One layer is rebuilt, not legs that are to be rebuilt themselves. */
static void mark_missing_legs(struct piece *p)
{
    for (unsigned i = 0; i < p->n_legs; i++) {
        const struct leg *leg = &p->legs[i];
        p->legs[i].is_good = is_whole_leg(leg) && !(leg->lv && leg->lv->has_lost);
    }
}

static bool has_lost_legs(const struct piece *p)
{
    bool any = false;
    for (unsigned i = 0; i < p->n_legs; i++)
        any |=
            p->rule == RULE_PARITY ? !p->legs[i].is_good : p->legs[i].lv && p->legs[i].lv->has_lost;
    return any;
}

static const char why_raid[] = "it is a mirror or a raid with copies or parity, only read so far";

/* Are all legs in use, each with its metadata in one piece on a PV? One that was split off for a
 * while, with its changes tracked, may not be written to. */
static int find_metas(struct maker *m, const struct lvm_seg *seg, struct piece *p) ASH_MAY_WAIT
{
    struct lvm_place *metas = rt_alloc(p->n_legs * sizeof(*metas));
    int rc = metas ? 0 : no_memory(seg->lv, m->err);
    bool all = true;
    for (unsigned i = 0; i < p->n_legs && rc == 0 && all; i++) {
        const struct lvm_lv *lv = seg->metas[i].lv;
        const struct lvm_seg *meta = lv ? lvm_lv_seg(lv) : NULL;
        struct leg leg = {0};
        all = p->legs[i].is_good && p->legs[i].lv && seg->areas[i].lv->flags & LVM_WRITE && meta &&
              meta->len == lv->n_extents && meta->n_areas == 1 &&
              meta->type->cls == LVM_SEG_STRIPED && meta->areas[0].kind == LVM_AREA_PV;
        if (all)
            rc = make_leg(m, seg->lv, &meta->areas[0], 0, &leg);
        all = all && leg.is_good;
        if (rc == 0 && all)
            metas[i] =
                (struct lvm_place){LVM_PLACE_PV, leg.pv, leg.offset, meta->len * m->extent_bytes};
    }
    if (rc == 0 && all)
        p->metas = metas;
    else
        rt_free(metas);
    return rc;
}

static int make_raid(struct maker *m, const struct lvm_seg *seg, struct lvm_map *map,
                     struct piece *p) ASH_MAY_WAIT
{
    struct ash_err *err = m->err;
    struct lvm_raid_legs legs = {.n = p->n_legs};
    p->layout = lvm_raid_layout(seg->type->name);
    p->chunk = lvm_seg_u64(seg, "stripe_size", 0) * LVM_SECTOR_BYTES;
    if (!p->layout || p->n_legs > LVM_RAID_LEGS_MAX || p->n_legs <= p->layout->n_parity)
        return ash_err_set(err, ASH_E_LVM_LV_TYPE, seg->lv->name,
                           "LV '%s' is of type %s, which cannot be opened", seg->lv->name,
                           seg->type_text);
    if (seg->has_reshape_count || lvm_seg_u64(seg, "data_offset", 0))
        return ash_err_set(err, ASH_E_LVM_LV_TYPE, seg->lv->name,
                           "LV '%s' is being reshaped, or was not to the end", seg->lv->name);
    static const enum rule rules[] = {
        [LVM_RAID_STRIPED] = RULE_STRIPED,
        [LVM_RAID_MIRROR] = RULE_COPIES,
        [LVM_RAID_NEAR] = RULE_RAID10,
        [LVM_RAID_PARITY] = RULE_PARITY,
    };
    p->rule = rules[p->layout->kind];
    if (p->rule != RULE_STRIPED) /* raid0's superblocks tell nothing that a write changes */
        map->why_read_only = why_raid;
    p->n_copies = p->rule == RULE_COPIES   ? p->n_legs
                  : p->rule == RULE_RAID10 ? (unsigned)lvm_seg_u64(seg, "data_copies", 2)
                                           : 1;
    if (p->rule == RULE_COPIES)
        p->chunk = p->length;
    if (p->n_copies == 0 || p->n_copies > p->n_legs)
        return ash_err_set(err, ASH_E_LVM_RAID, seg->lv->name, "LV '%s' has %u copies on %u legs",
                           seg->lv->name, p->n_copies, p->n_legs);
    mark_missing_legs(p);
    for (unsigned i = 0; i < p->n_legs; i++)
        if (seg->areas[i].kind == LVM_AREA_LV && seg->areas[i].lv->flags & LVM_REBUILD)
            p->legs[i].is_good = false;
    if (!seg->metas)
        return 0;
    for (unsigned i = 0; i < p->n_legs; i++)
        legs.metas[i] = p->legs[i].is_good ? seg->metas[i].lv : NULL;
    int rc = lvm_raid_read(seg->lv, p->layout, &legs, err);
    for (unsigned i = 0; i < p->n_legs && rc == 0; i++)
        p->legs[i].is_good = p->legs[i].is_good && legs.is_good[i];
    p->has_parity = legs.has_parity;
    if (rc == 0 && p->rule == RULE_COPIES && seg->lv->segs.next->next == &seg->lv->segs)
        rc = find_metas(m, seg, p);
    if (p->metas)
        map->why_read_only = NULL;
    return rc;
}

/* The first leg is what the others are made equal to (9.5). */
static void make_mirror(struct lvm_map *map, struct piece *p)
{
    map->why_read_only = why_raid;
    p->rule = RULE_COPIES;
    for (; p->n_legs > 1; p->n_legs--)
        lvm_map_free(p->legs[p->n_legs - 1].lv);
    p->n_copies = 1;
    p->chunk = p->length;
}

static int make_piece(struct maker *m, const struct lvm_seg *seg, unsigned depth,
                      struct lvm_map *map, struct piece *p) ASH_MAY_WAIT
{
    enum lvm_seg_class cls = seg->type->cls;
    int rc = 0;
    p->start = seg->start * m->extent_bytes;
    p->length = seg->len * m->extent_bytes;
    if (cls == LVM_SEG_VIRTUAL) {
        p->rule = strcmp(seg->type->name, "zero") == 0 ? RULE_ZERO : RULE_ERROR;
        return 0;
    }
    if (cls != LVM_SEG_STRIPED && cls != LVM_SEG_MIRROR && cls != LVM_SEG_RAID)
        return ash_err_set(m->err, ASH_E_LVM_LV_TYPE, seg->lv->name,
                           "LV '%s' is of type %s, which cannot be opened yet", seg->lv->name,
                           seg->type_text);
    p->legs = rt_alloc(seg->n_areas * sizeof(*p->legs));
    if (!p->legs)
        return no_memory(seg->lv, m->err);
    for (; p->n_legs < seg->n_areas && rc == 0; p->n_legs++)
        rc = make_leg(m, seg->lv, &seg->areas[p->n_legs], depth, &p->legs[p->n_legs]);
    if (rc)
        return rc;
    p->rule = RULE_STRIPED;
    p->chunk = seg->n_areas > 1 ? lvm_seg_u64(seg, "stripe_size", 0) * LVM_SECTOR_BYTES : p->length;
    if (cls == LVM_SEG_MIRROR)
        make_mirror(map, p);
    else if (cls == LVM_SEG_RAID)
        rc = make_raid(m, seg, map, p);
    if (rc == 0 && (p->chunk == 0 || (p->chunk < p->length && m->extent_bytes % p->chunk)))
        rc = ash_err_set(m->err, ASH_E_LVM_LV_TYPE, seg->lv->name,
                         "LV '%s' has stripes of %llu bytes, which its extents are no multiple of",
                         seg->lv->name, (unsigned long long)p->chunk);
    return rc;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t c = a % b;
        a = b;
        b = c;
    }
    return a;
}

static int fill(struct maker *m, const struct lvm_lv *lv, unsigned depth,
                struct lvm_map *map) ASH_MAY_WAIT
{
    size_t n = 0;
    int rc = 0;
    ash_list_for_each (l, &lv->segs)
        n++;
    map->size = lv->n_extents * m->extent_bytes;
    map->boundary = m->extent_bytes;
    map->pieces = rt_alloc((n + 1) * sizeof(*map->pieces));
    if (!map->pieces)
        return no_memory(lv, m->err);
    ash_list_for_each (l, &lv->segs) {
        struct piece *p = &map->pieces[map->n_pieces++];
        rc = make_piece(m, lvm_seg_of(l), depth, map, p);
        if (rc)
            break;
        if (p->chunk)
            map->boundary = gcd(map->boundary, p->chunk);
        map->has_lost |= has_lost_legs(p);
        for (unsigned i = 0; i < p->n_legs; i++) {
            if (!p->legs[i].lv)
                continue;
            map->boundary = gcd(map->boundary, p->legs[i].lv->boundary);
            if (!map->why_read_only)
                map->why_read_only =
                    p->legs[i].lv->pieces[0].metas ? why_raid : p->legs[i].lv->why_read_only;
        }
    }
    return rc;
}

static int make(struct maker *m, const struct lvm_lv *lv, unsigned depth, struct lvm_map **ret_map)
{
    *ret_map = NULL;
    if (depth > DEPTH_MAX)
        return ash_err_set(m->err, ASH_E_LVM_LV_TYPE, lv->name, "LV '%s' has too many layers",
                           lv->name);
    struct lvm_map *map = rt_alloc(sizeof(*map));
    if (!map)
        return no_memory(lv, m->err);
    map->pvs = m->pvs;
    *ret_map = map; /* on failure too: it is freed with what holds it */
    return fill(m, lv, depth, map);
}

int lvm_map_new(const struct lvm_lv *lv, struct lvm_map **ret_map, struct ash_err *err)
{
    struct pvs *pvs = rt_alloc(sizeof(*pvs));
    struct maker m = {pvs, (uint64_t)lv->vg->extent_sectors * LVM_SECTOR_BYTES, err};
    struct lvm_map *map;
    if (!pvs)
        return no_memory(lv, err);
    int rc = make(&m, lv, 0, &map);
    if (!map) {
        rt_free(pvs);
        return rc;
    }
    map->owns_pvs = true;
    if (rc == 0 && !is_whole(map))
        rc = ash_err_set(err, ASH_E_LVM_LV_PARTIAL, lv->name,
                         "LV '%s' has data on physical volumes that are missing", lv->name);
    if (lv->n_cow_snaps && !map->why_read_only)
        map->why_read_only = "it has snapshots, whose exceptions are not written here";
    if (!(lv->flags & LVM_WRITE) || !(lv->vg->flags & LVM_WRITE))
        map->why_read_only = "its permission is read-only";
    if (rc)
        lvm_map_free(map);
    else
        *ret_map = map;
    return rc;
}

void lvm_map_free(struct lvm_map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->n_pieces; i++) {
        for (unsigned k = 0; k < map->pieces[i].n_legs; k++)
            lvm_map_free(map->pieces[i].legs[k].lv);
        rt_free(map->pieces[i].legs);
        rt_free(map->pieces[i].metas);
    }
    for (unsigned i = 0; map->owns_pvs && i < map->pvs->n; i++)
        rt_free((char *)map->pvs->names[i]);
    if (map->owns_pvs)
        rt_free(map->pvs);
    rt_free(map->pieces);
    rt_free(map);
}

uint64_t lvm_map_size(const struct lvm_map *map)
{
    return map->size;
}

uint64_t lvm_map_boundary(const struct lvm_map *map)
{
    return map->boundary;
}

bool lvm_map_has_lost(const struct lvm_map *map)
{
    return map->has_lost;
}

const char *lvm_map_why_read_only(const struct lvm_map *map)
{
    return map->why_read_only;
}

const char *const *lvm_map_pvs(const struct lvm_map *map, unsigned *ret_n)
{
    *ret_n = map->pvs->n;
    return map->pvs->names;
}
