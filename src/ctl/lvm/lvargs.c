/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of the commands on LVs (docs/spec/lvm2-commands.md 1, 5). */
#include "ctl/lvm/lvargs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STRIPES_MAX = 128, PAGE_SECTORS = 8, STRIPE_SECTORS = 128 };

/* ------------------------------------------------------------------- names */

int lvargs_new_name(struct lvmcmd *c, const char *name)
{
    const char *word = lvm_name_reserved(name);
    if (!lvm_name_valid(name))
        return lvmcmd_usage(c, "Logical volume name \"%s\" is invalid.", name);
    if (word)
        return lvmcmd_usage(c, "Names %s \"%s\" are reserved. Please choose a different LV name.",
                            *word == '_' ? "including" : "starting", word);
    return 0;
}

struct lvm_lv *lvargs_lv(struct lvmcmd *c, const char *name, unsigned allow, int *ret_code)
{
    char vg_name[128], lv_name[128];
    *ret_code = LVMCMD_FAILED;
    if (!lvmcmd_split_lv(c, name, vg_name, lv_name)) {
        *ret_code = lvmcmd_usage(c, "Please specify a logical volume path.");
        return NULL;
    }
    struct lvm_group *g = lvmcmd_vg(c, vg_name);
    if (!g)
        return NULL;
    if (lvmcmd_begin(c, g, allow))
        return NULL;
    struct lvm_lv *lv = lvm_lv_find(g->vg, lv_name);
    if (!lv) {
        lvmcmd_error(c, "Logical volume %s not found in volume group %s.", lv_name, g->vg->name);
        return NULL;
    }
    *ret_code = 0;
    return lv;
}

/* --------------------------------------------------------------------- PVs */

static int add_range(struct lvm_vg *vg, struct lvm_range ***tail, struct lvm_pv *pv, uint64_t first,
                     uint64_t n)
{
    struct lvm_range *r = lvm_arena_get(&vg->arena, sizeof(*r));
    if (!r)
        return LVMCMD_FAILED;
    r->pv = pv;
    r->first = (uint32_t)ASH_MIN(first, (uint64_t)UINT32_MAX);
    r->n = (uint32_t)ASH_MIN(n, (uint64_t)UINT32_MAX - r->first);
    **tail = r;
    *tail = &r->next;
    return 0;
}

static int bad_range(struct lvmcmd *c, const char *text)
{
    lvmcmd_error(c, "Physical extent parsing error at %s", text);
    return LVMCMD_FAILED;
}

/* ":0-5:9:20-" behind a PV; an end beyond the PV is no fault. */
static int parse_ranges(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_pv *pv, const char *text,
                        struct lvm_range ***tail)
{
    int rc = 0;
    if (!*text)
        return add_range(vg, tail, pv, 0, UINT32_MAX);
    while (*text && rc == 0) {
        char *at;
        uint64_t first = 0, end = UINT32_MAX;
        text++; /* the colon */
        const char *begin = text;
        if (*text >= '0' && *text <= '9') {
            first = end = strtoull(text, &at, 10);
            text = at;
        } else if (*text != '-') {
            return bad_range(c, begin);
        }
        if (*text == '-') {
            text++;
            end = UINT32_MAX;
            if (*text >= '0' && *text <= '9') {
                end = strtoull(text, &at, 10);
                text = at;
            }
        }
        if (*text && *text != ':')
            return bad_range(c, begin);
        if (end < first) {
            lvmcmd_error(c, "PV extent range %" PRIu64 "-%" PRIu64 " is not ascending.", first,
                         end);
            return LVMCMD_FAILED;
        }
        rc = add_range(vg, tail, pv, first, end - first + 1);
    }
    return rc;
}

static int add_pv_arg(struct lvmcmd *c, struct lvm_vg *vg, const char *arg,
                      struct lvm_range ***tail)
{
    char name[4096];
    size_t n = lvmcmd_range_begin(arg);
    if (*arg == '@') {
        ash_list_for_each (l, &vg->pvs)
            if (lvm_tag_has(lvm_pv_of(l)->tags, arg + 1) &&
                add_range(vg, tail, lvm_pv_of(l), 0, UINT32_MAX))
                return LVMCMD_FAILED;
        return 0;
    }
    snprintf(name, sizeof(name), "%.*s", (int)n, arg);
    const struct lvm_dev *dev = lvmcmd_dev(c, name);
    if (!dev || !dev->pv || dev->pv->vg != vg) {
        lvmcmd_error(c, "Physical Volume \"%s\" not found in Volume Group \"%s\".", name, vg->name);
        return LVMCMD_FAILED;
    }
    if (!(dev->pv->flags & LVM_ALLOCATABLE)) {
        lvmcmd_error(c, "Physical volume \"%s\" not allocatable.", name);
        return 0;
    }
    if (dev->pv->n_allocated_pe == dev->pv->pe_count) {
        lvmcmd_error(c, "WARNING: No free extents on physical volume \"%s\".", name);
        return 0;
    }
    return parse_ranges(c, vg, dev->pv, arg + n, tail);
}

int lvargs_ranges(struct lvmcmd *c, struct lvm_vg *vg, size_t first, struct lvm_range **ret)
{
    struct lvm_range **tail = ret;
    int rc = 0;
    *ret = NULL;
    for (size_t i = first; i < c->n_args && rc == 0; i++)
        rc = add_pv_arg(c, vg, c->args[i], &tail);
    if (rc == 0 && first < c->n_args && !*ret) {
        lvmcmd_error(c, "No specified PVs have space available.");
        rc = LVMCMD_FAILED;
    }
    return rc;
}

unsigned lvargs_n_pvs(const struct lvm_vg *vg, const struct lvm_range *ranges)
{
    unsigned n = 0;
    ash_list_for_each (l, &vg->pvs) {
        bool named = !ranges;
        for (const struct lvm_range *r = ranges; r; r = r->next)
            named |= r->pv == lvm_pv_of(l);
        n += named;
    }
    return n;
}

/* ------------------------------------------------------------------- sizes */

static int bad_sign(struct lvmcmd *c, const char *opt, const char *text)
{
    lvmcmd_error(c, "%s may not be %s.", strcmp(opt, "size") == 0 ? "Size" : "Extents",
                 *text == '-' ? "negative" : "positive");
    lvmcmd_error(c, "Invalid argument for --%s: %s", opt, text);
    lvmcmd_error(c, "Error during parsing of command line.");
    return LVMCMD_USAGE;
}

/* -L: whole extents, rounded up. */
static int extents_of_bytes(struct lvmcmd *c, const struct lvm_vg *vg, const char *text,
                            uint64_t *ret)
{
    char size[32];
    uint64_t bytes, extent = rep_extent_bytes(vg);
    if (!lvmcmd_parse_size(text, 'm', &bytes))
        return LVMCMD_USAGE; /* the parser has seen to that */
    *ret = ash_div_up(bytes, extent);
    if (bytes % extent)
        lvmcmd_print(c, "Rounding up size to full physical extent %s",
                     lvmcmd_size_text(*ret * extent, size, sizeof(size)));
    return 0;
}

/* What a percentage is of. */
static int whole_of(struct lvmcmd *c, const struct lvm_vg *vg, const struct lvm_lv *lv,
                    const struct lvm_range *ranges, char kind, uint64_t *ret)
{
    switch (kind) {
    case 'V':
        *ret = lvm_vg_n_extents(vg);
        return 0;
    case 'F':
        *ret = lvm_vg_n_free(vg);
        return 0;
    case 'P':
        *ret = 0;
        ash_list_for_each (l, &vg->pvs) {
            bool named = !ranges;
            for (const struct lvm_range *r = ranges; r; r = r->next)
                named |= r->pv == lvm_pv_of(l);
            *ret += named ? lvm_pv_of(l)->pe_count : 0;
        }
        return 0;
    case 'L':
        if (lv) {
            *ret = lv->n_extents;
            return 0;
        }
    }
    lvmcmd_error(c, "Please express size as %%FREE%s, %%PVS or %%VG.", lv ? ", %LV" : "");
    return LVMCMD_FAILED;
}

static int extents_of_text(struct lvmcmd *c, const struct lvm_vg *vg, const struct lvm_lv *lv,
                           const struct lvm_range *ranges, const char *text, bool up,
                           bool *ret_percent, uint64_t *ret)
{
    char *end;
    uint64_t whole, n = strtoull(text, &end, 10);
    *ret_percent = *end == '%';
    *ret = n;
    if (!*end)
        return 0;
    n = ASH_MIN(n, (uint64_t)UINT32_MAX);
    int rc = whole_of(c, vg, lv, ranges, end[1] >= 'a' ? (char)(end[1] - 32) : end[1], &whole);
    if (rc)
        return rc;
    /* What an LV is to have is rounded up, but for a new one. */
    *ret = up ? ash_div_up(n * whole, 100) : n * whole / 100;
    return 0;
}

int lvargs_check_size(struct lvmcmd *c, unsigned signs)
{
    const char *size = lvmcmd_opt(c, "size"), *extents = lvmcmd_opt(c, "extents");
    const char *text = size ? size : extents;
    uint64_t bytes;
    if (size && extents)
        return lvmcmd_usage(c, "Please specify either size or extents%s.",
                            signs ? " but not both" : " (not both)");
    if (!text)
        return 0;
    if ((*text == '-' && !(signs & LVARGS_MINUS)) || (*text == '+' && signs == LVARGS_MINUS))
        return bad_sign(c, size ? "size" : "extents", text);
    text += *text == '+' || *text == '-';
    if (size && (!lvmcmd_parse_size(text, 'm', &bytes) || bytes == 0))
        return lvmcmd_usage(c, "--size may not be zero.");
    if (extents && strtoull(text, NULL, 10) == 0)
        return lvmcmd_usage(c, "--extents may not be zero.");
    return 0;
}

int lvargs_size(struct lvmcmd *c, struct lvm_vg *vg, const struct lvm_lv *lv,
                const struct lvm_range *ranges, unsigned signs, struct lvargs_size *ret)
{
    const char *size = lvmcmd_opt(c, "size"), *extents = lvmcmd_opt(c, "extents");
    const char *text = size ? size : extents;
    uint64_t n = 0;
    *ret = (struct lvargs_size){0};
    if (*text == '+' || *text == '-')
        ret->sign = *text++;
    int rc = size ? extents_of_bytes(c, vg, text, &n)
                  : extents_of_text(c, vg, lv, ranges, text, signs && ret->sign != '-',
                                    &ret->is_percent, &n);
    if (rc)
        return rc;
    if (n > UINT32_MAX) {
        lvmcmd_error(c, "A logical volume cannot have %" PRIu64 " extents.", n);
        return LVMCMD_FAILED;
    }
    ret->n_extents = (uint32_t)n;
    ret->of_lv = ret->is_percent && strpbrk(text, "lL");
    if (!signs)
        ret->sign = '\0';
    return 0;
}

/* ----------------------------------------------------------------- stripes */

int lvargs_stripes(struct lvmcmd *c, const struct lvm_vg *vg, uint32_t *ret_n,
                   uint32_t *ret_size_sectors)
{
    char a[32], b[32];
    const char *size = lvmcmd_opt(c, "stripesize");
    uint64_t n = lvmcmd_opt_u64(c, "stripes", 0);
    uint64_t bytes = lvmcmd_opt_size(c, "stripesize", 'k', 0), sectors = bytes / LVM_SECTOR_BYTES;
    if (lvmcmd_opt(c, "stripes") && n == 0)
        return lvmcmd_usage(c, "--stripes may not be zero.");
    if (n > STRIPES_MAX)
        return lvmcmd_usage(c, "Number of stripes (%" PRIu64 ") must be between 1 and %d.", n,
                            STRIPES_MAX);
    if (size && n == 1) {
        lvmcmd_error(c, "Ignoring stripesize argument with single stripe.");
        sectors = 0;
    } else if (size && (sectors < PAGE_SECTORS || (sectors & (sectors - 1)))) {
        return lvmcmd_usage(c, "Invalid stripe size %s.", lvmcmd_size_text(bytes, a, sizeof(a)));
    }
    if (n > 1 && !size) {
        sectors = STRIPE_SECTORS;
        lvmcmd_print(c, "Using default stripesize 64.00 KiB.");
    }
    if (sectors > vg->extent_sectors) {
        lvmcmd_error(c, "Reducing requested stripe size %s to maximum, physical extent size %s.",
                     lvmcmd_size_text(sectors * LVM_SECTOR_BYTES, a, sizeof(a)),
                     lvmcmd_size_text(rep_extent_bytes(vg), b, sizeof(b)));
        sectors = vg->extent_sectors;
    }
    *ret_n = (uint32_t)n;
    *ret_size_sectors = (uint32_t)sectors;
    return 0;
}

/* ------------------------------------------------------------- other values */

int lvargs_read_ahead(struct lvmcmd *c, const struct lvm_vg *vg, bool *ret_has, int64_t *ret)
{
    const char *text = lvmcmd_opt(c, "readahead");
    uint64_t bytes;
    (void)vg;
    *ret_has = strcmp(text, "auto") != 0;
    *ret = -1;
    if (!*ret_has || strcmp(text, "none") == 0)
        return 0;
    if (!lvmcmd_parse_size(text, 's', &bytes)) {
        lvmcmd_error(c, "Invalid argument for --readahead: %s", text);
        lvmcmd_error(c, "Error during parsing of command line.");
        return LVMCMD_USAGE;
    }
    uint64_t sectors = bytes / LVM_SECTOR_BYTES;
    if (sectors == 0)
        return 0; /* 0 is none */
    if (sectors % PAGE_SECTORS) {
        sectors = ash_align_up(sectors, PAGE_SECTORS);
        lvmcmd_error(
            c, "WARNING: Overriding readahead to %" PRIu64 " sectors, a multiple of 4K page size.",
            sectors);
    }
    *ret = (int64_t)ASH_MIN(sectors, (uint64_t)UINT32_MAX);
    return 0;
}

int lvargs_alloc(struct lvmcmd *c, enum lvm_alloc *ret)
{
    const char *alloc = lvmcmd_opt(c, "alloc"), *contiguous = lvmcmd_opt(c, "contiguous");
    *ret = LVM_ALLOC_INHERIT;
    if (alloc)
        (void)lvm_alloc_parse(alloc, ret);
    if (!contiguous)
        return 0;
    if (alloc && (*contiguous == 'y') != (*ret == LVM_ALLOC_CONTIGUOUS))
        return lvmcmd_usage(c, "Conflicting contiguous and alloc arguments.");
    if (*contiguous == 'y')
        *ret = LVM_ALLOC_CONTIGUOUS;
    return 0;
}

bool lvargs_append(struct lvm_lv *lv, const struct lvm_alloc_run *runs, uint32_t n_stripes,
                   uint32_t stripe_sectors)
{
    for (const struct lvm_alloc_run *r = runs; r; r = r->next) {
        struct lvm_seg *seg = lvm_seg_add(lv, "striped", r->len * n_stripes, n_stripes);
        if (!seg)
            return false;
        memcpy(seg->areas, r->areas, n_stripes * sizeof(seg->areas[0]));
        if (n_stripes > 1)
            lvm_seg_set_u64(seg, "stripe_size", stripe_sectors);
    }
    lvm_lv_merge(lv);
    return true;
}

/* --------------------------------------------------------------- many LVs */

enum { LVS_MAX = 4096 };

struct chosen {
    struct lvm_lv *list[LVS_MAX];
    size_t n;
    int worst;
};

static void choose(struct lvmcmd *c, struct lvm_group *g, struct lvm_lv *lv, struct chosen *chosen)
{
    const char *expr = lvmcmd_opt(c, "select");
    struct rep_row row = {.group = g, .lv = lv};
    for (size_t i = 0; i < chosen->n; i++)
        if (chosen->list[i] == lv)
            return;
    int fits = expr ? rep_select(c, expr, &row, REP_LV) : 1;
    if (fits < 0)
        chosen->worst = LVMCMD_FAILED;
    if (fits > 0 && chosen->n == LVS_MAX) {
        lvmcmd_error(c, "More than %d logical volumes at once: name fewer.", LVS_MAX);
        chosen->worst = LVMCMD_FAILED;
    } else if (fits > 0) {
        chosen->list[chosen->n++] = lv;
    }
}

static void choose_all(struct lvmcmd *c, struct lvm_group *g, const char *tag,
                       struct chosen *chosen)
{
    bool all = !tag || lvm_tag_has(g->vg->tags, tag);
    if (g->vg->flags & LVM_EXPORTED)
        return;
    ash_list_for_each (l, &g->vg->lvs)
        if (lvm_lv_is_visible(lvm_lv_of(l)) && (all || lvm_tag_has(lvm_lv_of(l)->tags, tag)))
            choose(c, g, lvm_lv_of(l), chosen);
}

static void choose_arg(struct lvmcmd *c, const char *arg, struct chosen *chosen)
{
    char vg_name[128], lv_name[128];
    if (*arg == '@') {
        ash_list_for_each (l, &c->set->groups)
            choose_all(c, lvm_group_of(l), arg + 1, chosen);
        return;
    }
    bool is_lv = lvmcmd_split_lv(c, arg, vg_name, lv_name) &&
                 (strchr(arg, '/') || !lvm_group_find(c->set, arg));
    struct lvm_group *g = lvmcmd_vg(c, is_lv ? vg_name : arg);
    struct lvm_lv *lv = g && is_lv ? lvm_lv_find(g->vg, lv_name) : NULL;
    bool is_exported = g && (g->vg->flags & LVM_EXPORTED);
    if (is_exported)
        lvmcmd_error(c, "Volume group %s is exported", g->vg->name);
    else if (g && is_lv && !lv)
        lvmcmd_error(c, "Failed to find logical volume \"%s/%s\"", vg_name, lv_name);
    if (!g || is_exported || (is_lv && !lv))
        chosen->worst = LVMCMD_FAILED;
    else if (is_lv)
        choose(c, g, lv, chosen);
    else
        choose_all(c, g, NULL, chosen);
}

static struct lvm_group *group_of_vg(struct lvmcmd *c, const struct lvm_vg *vg)
{
    ash_list_for_each (l, &c->set->groups)
        if (lvm_group_of(l)->vg == vg)
            return lvm_group_of(l);
    return NULL;
}

int lvargs_each(struct lvmcmd *c, unsigned allow, int (*fn)(struct lvmcmd *c, struct lvm_lv *lv))
{
    struct chosen *chosen = rt_alloc(sizeof(*chosen));
    const struct lvm_vg *begun = NULL, *refused = NULL;
    if (!chosen) {
        lvmcmd_error(c, "Out of memory.");
        return LVMCMD_FAILED;
    }
    for (size_t i = 0; i < c->n_args; i++)
        choose_arg(c, c->args[i], chosen);
    if (c->n_args == 0)
        ash_list_for_each (l, &c->set->groups)
            choose_all(c, lvm_group_of(l), NULL, chosen);
    int worst = chosen->worst;
    for (size_t i = 0; i < chosen->n; i++) {
        struct lvm_vg *vg = chosen->list[i]->vg;
        if (vg != begun && vg != refused && lvmcmd_begin(c, group_of_vg(c, vg), allow) != 0) {
            refused = vg;
            worst = LVMCMD_FAILED;
        } else if (vg != refused) {
            begun = vg;
        }
        int rc = vg == refused ? LVMCMD_FAILED : fn(c, chosen->list[i]);
        worst = ASH_MAX(worst, rc);
    }
    rt_free(chosen);
    return worst;
}
