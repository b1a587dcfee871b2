/* SPDX-License-Identifier: Apache-2.0 */
/* The search for free extents (docs/spec/lvm2-format.md 15.2).
 *
 * Policies are tried from the strictest to the LV's own; each goes on from what the one before has
 * found. One *round* finds one run: an area of equal length for each stripe or leg.
 *
 *   contiguous   each area directly behind the last one of the LV; a new LV is one run
 *   cling        on the PVs of the run before
 *   normal       anywhere, areas of a round on different PVs
 *   anywhere     several areas of a round on one PV, too
 *
 * In a round, each PV offers one free piece; the longest offers win, equal ones in the order of the
 * PVs. Which piece that is looks odd, and is what lvm2 was seen to do: its list of pieces, largest
 * first, is walked from the begin, and each piece that is long enough takes the place of the one
 * before. But a piece that is looked at counts as shortened at once, and goes to where that length
 * belongs in the list (behind equal ones): the walk goes on from there. So a smaller piece is found
 * where lengths lie far apart, and else often the largest is taken. */
#include "pool/lvm/alloc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"

struct piece { /* free extents of one PV; gets shorter from its begin */
    struct lvm_pv *pv;
    uint32_t first, n;
    uint32_t n_left;   /* in this round */
    unsigned pv_order; /* place of the PV in the search */
};

struct pv_pieces { /* of one PV, the longest first: pieces[order[begin ...]] */
    size_t begin, n;
};

struct search {
    const struct lvm_alloc_req *req;
    struct piece *pieces; /* in order of PVs, each PV's by place */
    size_t n_pieces, n_room;
    size_t *order;
    struct pv_pieces *pvs;
    size_t n_pvs;
    uint32_t done;                 /* of req->len */
    const struct lvm_area *before; /* of the run that is continued; NULL: none */
    uint32_t before_len;
    struct lvm_alloc_run **tail;
    bool no_memory;
};

/* ------------------------------------------------------------- free pieces */

static void add_piece(struct search *s, struct lvm_pv *pv, unsigned order, uint64_t first,
                      uint64_t end)
{
    if (first >= end || s->no_memory)
        return;
    if (s->n_pieces == s->n_room) {
        size_t n_room = s->n_room ? 2 * s->n_room : 64;
        struct piece *more = ash_mem_alloc(n_room * sizeof(*more));
        if (!more) {
            s->no_memory = true;
            return;
        }
        if (s->n_pieces)
            memcpy(more, s->pieces, s->n_pieces * sizeof(*more));
        ash_mem_free(s->pieces);
        s->pieces = more;
        s->n_room = n_room;
    }
    s->pieces[s->n_pieces++] =
        (struct piece){pv, (uint32_t)first, (uint32_t)(end - first), 0, order};
}

struct used {
    uint32_t first, n;
};

static int used_order(const void *a, const void *b)
{
    const struct used *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* What is allocated on a PV, by place. *ret: ash_mem_free. */
static size_t find_used(const struct lvm_pv *pv, struct used **ret)
{
    size_t n = 0, n_room = 1;
    ash_list_for_each (l, &pv->vg->lvs)
        ash_list_for_each (g, &lvm_lv_of(l)->segs)
            n_room += lvm_seg_of(g)->n_areas;
    struct used *used = *ret = ash_mem_alloc(n_room * sizeof(*used));
    ash_list_for_each (l, &pv->vg->lvs)
        ash_list_for_each (g, &lvm_lv_of(l)->segs) {
            const struct lvm_seg *seg = lvm_seg_of(g);
            for (uint32_t i = 0; used && i < seg->n_areas && seg->areas; i++)
                if (seg->areas[i].kind == LVM_AREA_PV && seg->areas[i].pv == pv)
                    used[n++] = (struct used){seg->areas[i].extent, lvm_seg_area_len(seg)};
        }
    if (used)
        qsort(used, n, sizeof(*used), used_order);
    return n;
}

static bool is_usable(const struct lvm_pv *pv)
{
    return (pv->flags & LVM_ALLOCATABLE) && !lvm_pv_is_missing(pv);
}

/* The free pieces of a PV between two extents. */
static void add_free(struct search *s, struct lvm_pv *pv, unsigned order, uint64_t first,
                     uint64_t end)
{
    struct used *used;
    size_t n = is_usable(pv) ? find_used(pv, &used) : 0;
    if (!is_usable(pv))
        return;
    if (!used) {
        s->no_memory = true;
        return;
    }
    end = ASH_MIN(end, (uint64_t)pv->pe_count);
    for (size_t i = 0; i < n && first < end; i++) {
        add_piece(s, pv, order, first, ASH_MIN((uint64_t)used[i].first, end));
        first = ASH_MAX(first, (uint64_t)used[i].first + used[i].n);
    }
    add_piece(s, pv, order, first, end);
    ash_mem_free(used);
}

/* The place of a PV among those of the ranges: where it is named first. */
static unsigned order_in(const struct lvm_range *ranges, const struct lvm_pv *pv)
{
    unsigned n = 0;
    for (const struct lvm_range *r = ranges; r && r->pv != pv; r = r->next)
        n++;
    return n;
}

static int piece_order(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->pv_order != y->pv_order)
        return x->pv_order < y->pv_order ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Ranges may overlap: no extent is offered twice. */
static void drop_overlaps(struct search *s)
{
    size_t n = 0;
    qsort(s->pieces, s->n_pieces, sizeof(*s->pieces), piece_order);
    for (size_t i = 0; i < s->n_pieces; i++) {
        struct piece *last = n ? &s->pieces[n - 1] : NULL, *p = &s->pieces[i];
        uint64_t end = (uint64_t)p->first + p->n;
        if (last && last->pv == p->pv && p->first <= last->first + last->n) {
            if (end > (uint64_t)last->first + last->n)
                last->n = (uint32_t)(end - last->first);
            continue;
        }
        s->pieces[n++] = *p;
    }
    s->n_pieces = n;
}

static int find_pieces(struct search *s, const struct lvm_vg *vg, const struct lvm_range *ranges)
{
    unsigned order = 0;
    if (ranges) {
        for (const struct lvm_range *r = ranges; r; r = r->next)
            add_free(s, r->pv, order_in(ranges, r->pv), r->first, (uint64_t)r->first + r->n);
        if (s->n_pieces)
            drop_overlaps(s);
    } else {
        ash_list_for_each (l, &vg->pvs)
            add_free(s, lvm_pv_of(l), order++, 0, UINT64_MAX);
    }
    return s->no_memory ? -ENOMEM : 0;
}

static uint64_t n_free(const struct search *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->n_pieces; i++)
        n += s->pieces[i].n;
    return n;
}

uint64_t lvm_alloc_n_free(const struct lvm_vg *vg, const struct lvm_range *ranges)
{
    struct search s = {0};
    uint64_t n = find_pieces(&s, vg, ranges) ? 0 : n_free(&s);
    ash_mem_free(s.pieces);
    return n;
}

/* ---------------------------------------------------------------- the lists */

static struct piece *piece_at(const struct search *s, const struct pv_pieces *list, size_t pos)
{
    return &s->pieces[s->order[list->begin + pos]];
}

static void swap_with_next(struct search *s, const struct pv_pieces *list, size_t pos)
{
    size_t *at = &s->order[list->begin + pos], next = at[1];
    at[1] = at[0];
    at[0] = next;
}

/* A piece became shorter: it goes behind those that are as long or longer. Returns its new place.
 */
static size_t move_down(struct search *s, const struct pv_pieces *list, size_t pos)
{
    while (pos + 1 < list->n &&
           piece_at(s, list, pos + 1)->n_left >= piece_at(s, list, pos)->n_left)
        swap_with_next(s, list, pos++);
    return pos;
}

/* A piece that was only looked at is as long as before: it goes up, before equal ones. */
static void move_up(struct search *s, const struct pv_pieces *list, size_t pos)
{
    while (pos > 0 && piece_at(s, list, pos - 1)->n_left <= piece_at(s, list, pos)->n_left)
        swap_with_next(s, list, --pos);
}

/* What was taken is gone, the rest is free again. */
static void begin_round(struct search *s)
{
    for (size_t v = 0; v < s->n_pvs; v++) {
        struct pv_pieces *list = &s->pvs[v];
        for (size_t pos = list->n; pos-- > 0;) {
            struct piece *p = piece_at(s, list, pos);
            if (p->n_left > p->n) {
                p->n_left = p->n;
                (void)move_down(s, list, pos);
            }
        }
        for (size_t pos = 0; pos < list->n; pos++) {
            struct piece *p = piece_at(s, list, pos);
            if (p->n_left < p->n) {
                p->n_left = p->n;
                move_up(s, list, pos);
            }
        }
    }
}

static int make_lists(struct search *s)
{
    s->order = ash_mem_alloc((s->n_pieces + 1) * sizeof(*s->order));
    s->pvs = ash_mem_alloc((s->n_pieces + 1) * sizeof(*s->pvs));
    if (!s->order || !s->pvs)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_pieces; i++) {
        if (i == 0 || s->pieces[i].pv_order != s->pieces[i - 1].pv_order)
            s->pvs[s->n_pvs++].begin = i;
        struct pv_pieces *list = &s->pvs[s->n_pvs - 1];
        size_t pos = list->n++;
        s->order[i] = i;
        s->pieces[i].n_left = s->pieces[i].n;
        while (pos > 0 && piece_at(s, list, pos - 1)->n_left < s->pieces[i].n_left)
            swap_with_next(s, list, --pos);
    }
    return 0;
}

/* ----------------------------------------------------------------- a round */

struct offer {
    struct piece *piece;
    uint32_t n; /* of the piece that can be used */
    size_t idx; /* in the order they were found */
};

/* The walk over one PV's pieces (see the head of this file). Several: each piece that is met is an
 * offer of its own. Returns how many. */
static size_t offers_of_pv(struct search *s, const struct pv_pieces *list, uint32_t need,
                           bool may_split, bool several, struct offer *offers)
{
    size_t n = 0;
    for (size_t pos = 0; pos < list->n; pos++) {
        struct piece *p = piece_at(s, list, pos);
        bool fits = p->n_left >= need;
        if (p->n_left == 0 || (!fits && (!may_split || (n && !several))))
            continue;
        n = several ? n + 1 : 1;
        offers[n - 1] = (struct offer){p, ASH_MIN(p->n_left, need), 0};
        p->n_left -= offers[n - 1].n;
        if (p->n_left)
            pos = move_down(s, list, pos);
    }
    return n;
}

static int longest_first(const void *a, const void *b)
{
    const struct offer *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->idx < y->idx ? -1 : x->idx > y->idx;
}

/* An offer of each PV (anywhere: as many as are needed), the best first. */
static size_t find_offers(struct search *s, uint32_t need, bool may_split, bool anywhere,
                          struct offer *offers)
{
    size_t n = 0, n_more = 1;
    while (n_more && (n == 0 || (anywhere && n < s->req->n_areas))) {
        n_more = 0;
        for (size_t v = 0; v < s->n_pvs; v++)
            n_more += offers_of_pv(s, &s->pvs[v], need, may_split, anywhere, offers + n + n_more);
        n += n_more;
    }
    for (size_t i = 0; i < n; i++)
        offers[i].idx = i;
    qsort(offers, n, sizeof(*offers), longest_first);
    return n;
}

/* Directly behind each area of the run before. */
static bool offer_behind(struct search *s, uint32_t need, struct offer *offers)
{
    for (uint32_t a = 0; a < s->req->n_areas; a++) {
        const struct lvm_area *before = &s->before[a];
        offers[a].piece = NULL;
        for (size_t i = 0; i < s->n_pieces; i++) {
            struct piece *p = &s->pieces[i];
            if (before->kind == LVM_AREA_PV && p->pv == before->pv && p->n &&
                p->first == before->extent + s->before_len)
                offers[a] = (struct offer){p, ASH_MIN(p->n, need), 0};
        }
        if (!offers[a].piece || offers[a].n < need)
            return false;
    }
    return true;
}

/* On the PV of each area of the run before. */
static bool offer_same_pvs(struct search *s, uint32_t need, struct offer *offers)
{
    for (uint32_t a = 0; a < s->req->n_areas; a++) {
        const struct lvm_area *before = &s->before[a];
        size_t v = 0;
        while (v < s->n_pvs && s->pieces[s->pvs[v].begin].pv != before->pv)
            v++;
        if (v == s->n_pvs || before->kind != LVM_AREA_PV ||
            offers_of_pv(s, &s->pvs[v], need, true, false, &offers[a]) == 0)
            return false;
    }
    return true;
}

static int take(struct search *s, const struct offer *offers)
{
    const uint32_t n_areas = s->req->n_areas;
    struct lvm_alloc_run *run =
        lvm_arena_get(&s->req->vg->arena, sizeof(*run) + n_areas * sizeof(run->areas[0]));
    if (!run)
        return -ENOMEM;
    run->len = offers[0].n;
    for (uint32_t a = 1; a < n_areas; a++)
        run->len = ASH_MIN(run->len, offers[a].n);
    ASH_ASSERT(run->len > 0);
    for (uint32_t a = 0; a < n_areas; a++) {
        struct piece *p = offers[a].piece;
        run->areas[a] = (struct lvm_area){.kind = LVM_AREA_PV, .pv = p->pv, .extent = p->first};
        p->first += run->len;
        p->n -= run->len;
    }
    *s->tail = run;
    s->tail = &run->next;
    s->before = run->areas;
    s->before_len = run->len;
    s->done += run->len;
    return 0;
}

/* One run by this policy. 1 found, 0 not, -ENOMEM. */
static int find_run(struct search *s, enum lvm_alloc policy, struct offer *offers)
{
    uint32_t need = s->req->len - s->done;
    bool found;
    begin_round(s);
    if (policy == LVM_ALLOC_CONTIGUOUS && s->before)
        found = offer_behind(s, need, offers);
    else if (policy == LVM_ALLOC_CLING && s->before)
        found = offer_same_pvs(s, need, offers);
    else
        found = find_offers(s, need, policy != LVM_ALLOC_CONTIGUOUS, policy == LVM_ALLOC_ANYWHERE,
                            offers) >= s->req->n_areas;
    if (!found)
        return 0;
    int rc = take(s, offers);
    return rc ? rc : 1;
}

/* ------------------------------------------------------------- all of them */

static int too_few(const struct search *s, struct ash_err *err)
{
    const struct lvm_alloc_req *req = s->req;
    return ash_err_set(err, ASH_E_LVM_NO_SPACE, req->lv_name,
                       "Insufficient free space: %" PRIu64 " extents needed, but only %" PRIu64
                       " available",
                       (uint64_t)(req->len - s->done) * req->n_areas, n_free(s));
}

static int no_fit(const struct search *s, struct ash_err *err)
{
    const struct lvm_alloc_req *req = s->req;
    return ash_err_set(err, ASH_E_LVM_NO_FIT, req->lv_name,
                       "Insufficient suitable %sallocatable extents for logical volume %s: %" PRIu64
                       " more required",
                       req->policy == LVM_ALLOC_CONTIGUOUS ? "contiguous " : "", req->lv_name,
                       (uint64_t)(req->len - s->done) * req->n_areas);
}

static int search(struct search *s, struct ash_err *err)
{
    const struct lvm_alloc_req *req = s->req;
    struct offer *offers = ash_mem_alloc((2 * s->n_pieces + req->n_areas + 1) * sizeof(*offers));
    int rc = offers ? make_lists(s) : -ENOMEM;
    if (rc == 0 && n_free(s) < (uint64_t)req->len * req->n_areas && !req->is_limit)
        rc = too_few(s, err);
    for (int policy = LVM_ALLOC_CONTIGUOUS; policy <= (int)req->policy && rc == 0; policy++) {
        int found = 1;
        while (found > 0 && s->done < req->len)
            found = find_run(s, (enum lvm_alloc)policy, offers);
        rc = ASH_MIN(found, 0);
    }
    ash_mem_free(offers);
    if (rc == -ENOMEM)
        return ash_err_set(err, ASH_E_NO_MEMORY, req->lv_name, "no memory to find extents");
    if (rc == 0 && s->done < req->len && !(req->is_limit && s->done))
        rc = no_fit(s, err);
    return rc;
}

int lvm_alloc(const struct lvm_alloc_req *req, struct lvm_alloc_run **ret_runs, struct ash_err *err)
{
    struct lvm_alloc_run *runs = NULL;
    struct search s = {.req = req, .tail = &runs};
    ASH_ASSERT(req->n_areas > 0 && req->len > 0 && req->policy != LVM_ALLOC_INHERIT);
    if (req->lv && !ash_list_empty(&req->lv->segs)) {
        const struct lvm_seg *last = lvm_seg_of(req->lv->segs.prev);
        if (last->n_areas == req->n_areas && last->areas) {
            s.before = last->areas;
            s.before_len = lvm_seg_area_len(last);
        }
    }
    int rc = find_pieces(&s, req->vg, req->ranges);
    if (rc)
        rc = ash_err_set(err, ASH_E_NO_MEMORY, req->lv_name, "no memory to find extents");
    if (rc == 0)
        rc = search(&s, err);
    ash_mem_free(s.pieces);
    ash_mem_free(s.order);
    ash_mem_free(s.pvs);
    if (rc == 0)
        *ret_runs = runs;
    return rc;
}
