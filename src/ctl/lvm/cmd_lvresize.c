/* SPDX-License-Identifier: Apache-2.0 */
/* lvextend, lvreduce, lvresize (docs/spec/lvm2-commands.md 5, lvm2-format.md 16). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvargs.h"

enum direction { GROW = 1u << 0, SHRINK = 1u << 1 };

struct resize {
    struct lvm_lv *lv;
    enum direction allowed;
    struct lvm_range *ranges;
    uint32_t n_extents; /* wanted */
    bool is_limit;
    uint32_t n_stripes, stripe_sectors; /* of what is added, or of the last segment */
};

/* ------------------------------------------------------------------ checks */

/* Only LVs whose extents are their own can change their size by themselves. */
static int check_kind(struct lvmcmd *c, const struct lvm_lv *lv)
{
    const char *why = NULL;
    ash_list_for_each (l, &lv->segs) {
        const struct lvm_seg *seg = lvm_seg_of(l);
        bool is_plain = seg->type->cls == LVM_SEG_VIRTUAL || seg->type->cls == LVM_SEG_STRIPED;
        for (uint32_t i = 0; is_plain && i < seg->n_areas; i++)
            is_plain = seg->areas[i].kind == LVM_AREA_PV;
        if (!is_plain)
            why = seg->type_text;
    }
    if (!lvm_lv_is_visible(lv))
        lvmcmd_error(c, "Can't resize internal logical volume %s/%s.", lv->vg->name, lv->name);
    else if (why || lv->cow || lv->n_cow_snaps || lv->n_users)
        lvmcmd_error(c, "Resizing of %s/%s (%s) is not done here.", lv->vg->name, lv->name,
                     why ? why : "used by others");
    else
        return 0;
    return LVMCMD_FAILED;
}

static const struct lvm_seg *last_seg(const struct lvm_lv *lv)
{
    return lvm_seg_of(lv->segs.prev);
}

/* ------------------------------------------------------------------- sizes */

static int out_of_range(struct lvmcmd *c, const struct resize *r)
{
    const struct lvm_lv *lv = r->lv;
    if (r->n_extents < lv->n_extents && r->allowed == GROW) {
        lvmcmd_error(c, "New size given (%u extents) not larger than existing size (%u extents)",
                     r->n_extents, lv->n_extents);
        return LVMCMD_FAILED;
    }
    if (r->n_extents > lv->n_extents && r->allowed == SHRINK) {
        lvmcmd_error(c, "New size given (%u extents) not less than existing size (%u extents)",
                     r->n_extents, lv->n_extents);
        return LVMCMD_FAILED;
    }
    return 0;
}

/* Without a size: all that is free on the PVs named. */
static int size_of_pvs(struct lvmcmd *c, struct resize *r)
{
    uint64_t n = lvm_alloc_n_free(r->lv->vg, r->ranges);
    r->is_limit = true;
    r->n_extents = (uint32_t)ASH_MIN(n + r->lv->n_extents, (uint64_t)UINT32_MAX);
    return 0;
}

static unsigned signs_of(enum direction allowed)
{
    return (allowed & GROW ? LVARGS_PLUS : 0) | (allowed & SHRINK ? LVARGS_MINUS : 0);
}

static int read_size(struct lvmcmd *c, struct resize *r)
{
    struct lvargs_size size;
    uint64_t n;
    if (!lvmcmd_opt(c, "size") && !lvmcmd_opt(c, "extents"))
        return size_of_pvs(c, r);
    int rc = lvargs_size(c, r->lv->vg, r->lv, r->ranges, signs_of(r->allowed), &size);
    if (rc)
        return rc;
    n = size.n_extents;
    r->is_limit = size.is_percent;
    if (size.sign == '+') {
        n += r->lv->n_extents;
    } else if (size.sign == '-' && n >= r->lv->n_extents) {
        lvmcmd_error(c, "Unable to reduce %s/%s below 1 extent.", r->lv->vg->name, r->lv->name);
        return LVMCMD_FAILED;
    } else if (size.sign == '-') {
        n = r->lv->n_extents - n;
    }
    if (r->is_limit && !size.of_lv &&
        n > r->lv->n_extents) /* of LVs without extents of their own, too */
        n = ASH_MIN(n, r->lv->n_extents + lvm_vg_n_free(r->lv->vg));
    r->n_extents = (uint32_t)ASH_MIN(n, (uint64_t)UINT32_MAX);
    if (r->n_extents == 0) {
        lvmcmd_error(c, "New size of 0 not permitted");
        return LVMCMD_FAILED;
    }
    return 0;
}

/* -i and -I, else as the last segment has it. */
static int read_stripes(struct lvmcmd *c, struct resize *r)
{
    char size[32];
    const struct lvm_seg *last = last_seg(r->lv);
    bool is_striped = last->type->cls == LVM_SEG_STRIPED;
    bool has_n = lvmcmd_opt(c, "stripes");
    uint32_t n = is_striped ? last->n_areas : 1;
    r->n_stripes = n;
    r->stripe_sectors = n > 1 ? (uint32_t)lvm_seg_u64(last, "stripe_size", 0) : 0;
    if (has_n) {
        int rc = lvargs_stripes(c, r->lv->vg, &r->n_stripes, &r->stripe_sectors);
        if (rc)
            return rc;
        r->n_stripes = ASH_MAX(r->n_stripes, 1u);
    } else if (n > 1 && lvmcmd_opt(c, "stripesize")) {
        r->stripe_sectors = (uint32_t)(lvmcmd_opt_size(c, "stripesize", 'k', 0) / LVM_SECTOR_BYTES);
    } else if (n > 1 && r->n_extents > r->lv->n_extents) {
        lvmcmd_print(
            c, "Using stripesize of last segment %s",
            lvmcmd_size_text((uint64_t)r->stripe_sectors * LVM_SECTOR_BYTES, size, sizeof(size)));
    }
    return 0;
}

/* The part that is added, or what is left of the last segment, in whole stripes. */
static void round_to_stripes(struct lvmcmd *c, struct resize *r)
{
    uint32_t base = r->lv->n_extents, n = r->n_stripes;
    if (r->n_extents < base) {
        ash_list_for_each (l, &r->lv->segs) {
            const struct lvm_seg *seg = lvm_seg_of(l);
            if (seg->start < r->n_extents && r->n_extents <= seg->start + seg->len) {
                base = seg->start;
                n = seg->type->cls == LVM_SEG_STRIPED ? seg->n_areas : 1;
            }
        }
    }
    uint32_t rest = r->n_extents > base ? (r->n_extents - base) % n : 0;
    if (!rest)
        return;
    bool down = r->is_limit && r->n_extents > r->lv->n_extents &&
                (uint64_t)r->n_extents - r->lv->n_extents + n - rest >
                    lvm_alloc_n_free(r->lv->vg, r->ranges);
    uint32_t to = down ? r->n_extents - rest : r->n_extents + n - rest;
    lvmcmd_print(c,
                 "Rounding size (%u extents) %s to stripe boundary size for segment (%u extents).",
                 r->n_extents, down ? "down" : "up", to);
    r->n_extents = to;
}

/* ----------------------------------------------------------------- changes */

static int grow(struct lvmcmd *c, struct resize *r)
{
    struct lvm_lv *lv = r->lv;
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_alloc_run *runs;
    uint32_t n = r->n_extents - lv->n_extents;
    if (last_seg(lv)->type->cls == LVM_SEG_VIRTUAL) {
        if (!lvm_seg_add(lv, last_seg(lv)->type->name, n, 0))
            return LVMCMD_FAILED;
        lvm_lv_merge(lv);
        return 0;
    }
    struct lvm_alloc_req req = {.vg = lv->vg,
                                .lv = lv,
                                .lv_name = lv->name,
                                .policy = lvargs_policy(lv),
                                .n_areas = r->n_stripes,
                                .len = n / r->n_stripes,
                                .ranges = r->ranges,
                                .is_limit = r->is_limit};
    if (lvmcmd_opt(c, "alloc"))
        (void)lvm_alloc_parse(lvmcmd_opt(c, "alloc"), &req.policy);
    if (req.policy == LVM_ALLOC_INHERIT)
        req.policy = lv->vg->alloc;
    if (req.len == 0) {
        lvmcmd_error(c,
                     "Insufficient free space: %u extents needed, but only %" PRIu64 " available",
                     r->n_stripes, lvm_alloc_n_free(lv->vg, r->ranges));
        return LVMCMD_FAILED;
    }
    if (lvm_alloc(&req, &runs, &err))
        return lvmcmd_fail(c, &err);
    if (!lvargs_append(lv, runs, r->n_stripes, r->stripe_sectors)) {
        lvmcmd_error(c, "Out of memory.");
        return LVMCMD_FAILED;
    }
    return 0;
}

/* Data are lost: it must be wanted. */
static int shrink(struct lvmcmd *c, struct resize *r)
{
    char size[32];
    struct lvm_lv *lv = r->lv;
    if (!c->force && !c->yes) {
        lvmcmd_error(c, "WARNING: Reducing logical volume to %s.",
                     lvmcmd_size_text((uint64_t)r->n_extents * rep_extent_bytes(lv->vg), size,
                                      sizeof(size)));
        lvmcmd_error(c, "THIS MAY DESTROY YOUR DATA (filesystem etc.)");
        if (!lvmcmd_ask(c, "Do you really want to reduce %s/%s?", lv->vg->name, lv->name)) {
            lvmcmd_error(c, "Logical volume %s/%s NOT reduced.", lv->vg->name, lv->name);
            return LVMCMD_FAILED;
        }
    }
    if (!lvm_lv_cut(lv, r->n_extents)) {
        lvmcmd_error(c, "%s/%s cannot be cut at %u extents.", lv->vg->name, lv->name, r->n_extents);
        return LVMCMD_FAILED;
    }
    return 0;
}

static int change(struct lvmcmd *c, struct resize *r)
{
    char a[32], b[32];
    struct lvm_lv *lv = r->lv;
    uint64_t extent = rep_extent_bytes(lv->vg);
    uint32_t before = lv->n_extents;
    if (r->is_limit && r->n_extents > before && lvm_alloc_n_free(lv->vg, r->ranges) == 0) {
        lvmcmd_print(c, "Size of logical volume %s/%s unchanged from %s (%u extents).",
                     lv->vg->name, lv->name, lvmcmd_size_text(before * extent, a, sizeof(a)),
                     before);
        lvmcmd_print(c, "Logical volume %s/%s successfully resized.", lv->vg->name, lv->name);
        return 0;
    }
    int rc = r->n_extents > before ? grow(c, r) : shrink(c, r);
    if (rc)
        return rc;
    lvmcmd_print(c, "Size of logical volume %s/%s changed from %s (%u extents) to %s (%u extents).",
                 lv->vg->name, lv->name, lvmcmd_size_text(before * extent, a, sizeof(a)), before,
                 lvmcmd_size_text(lv->n_extents * extent, b, sizeof(b)), lv->n_extents);
    rc = lvmcmd_commit(c, lv->vg);
    if (rc == 0)
        lvmcmd_print(c, "Logical volume %s/%s successfully resized.", lv->vg->name, lv->name);
    return rc;
}

static int resize(struct lvmcmd *c, enum direction allowed)
{
    struct resize r = {.allowed = allowed};
    int rc;
    if (lvmcmd_opt(c, "resizefs")) {
        lvmcmd_error(c, "%s --resizefs is not done here.", c->cmd->name);
        return LVMCMD_FAILED;
    }
    rc = lvargs_check_size(c, signs_of(allowed));
    if (rc)
        return rc;
    if (c->n_args < 2 && !lvmcmd_opt(c, "size") && !lvmcmd_opt(c, "extents"))
        return lvmcmd_no_syntax(c);
    r.lv = lvargs_lv(c, c->args[0], 0, &rc);
    if (!r.lv)
        return rc;
    rc = check_kind(c, r.lv);
    if (rc == 0)
        rc = lvargs_ranges(c, r.lv->vg, 1, &r.ranges);
    if (rc == 0)
        rc = read_size(c, &r);
    if (rc == 0)
        rc = out_of_range(c, &r);
    if (rc == 0)
        rc = read_stripes(c, &r);
    if (rc)
        return rc;
    round_to_stripes(c, &r);
    if (r.n_extents == r.lv->n_extents) {
        lvmcmd_error(c, "New size (%u extents) matches existing size (%u extents).", r.n_extents,
                     r.lv->n_extents);
        return LVMCMD_FAILED;
    }
    rc = out_of_range(c, &r);
    return rc ? rc : change(c, &r);
}

int lvmcmd_lvextend(struct lvmcmd *c)
{
    return resize(c, GROW);
}

int lvmcmd_lvreduce(struct lvmcmd *c)
{
    return resize(c, SHRINK);
}

int lvmcmd_lvresize(struct lvmcmd *c)
{
    return resize(c, GROW | SHRINK);
}
