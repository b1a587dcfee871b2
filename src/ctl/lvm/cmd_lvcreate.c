/* SPDX-License-Identifier: Apache-2.0 */
/* lvcreate: linear, striped, zero and error LVs (docs/spec/lvm2-commands.md 5).
 *
 * lvm2 zeroes the begin of a new LV through the active device; we write to its extents, which
 * nobody else uses, before the VG's text names it: a crash leaves no LV that shows old contents. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvargs.h"
#include "pool/signature.h"

enum { ZEROED_BYTES = 4096, LOOKED_AT_BYTES = 128 * 1024 };

struct create {
    struct lvm_group *g;
    char name[128], vg_name[128];
    size_t first_pv; /* argument */
    const char *type;
    bool is_virtual;
    uint32_t n_stripes, stripe_sectors;
    enum lvm_alloc alloc;
    struct lvm_range *ranges;
    uint32_t n_extents;
    bool is_limit;
    bool has_read_ahead;
    int64_t read_ahead;
};

/* --------------------------------------------------------------- arguments */

static int not_done(struct lvmcmd *c)
{
    static const char *const opts[] = {"mirrors",  "snapshot", "thin",     "virtualsize",
                                       "thinpool", "cache",    "mirrorlog"};
    for (size_t i = 0; i < ASH_N_ELEMS(opts); i++)
        if (lvmcmd_opt(c, opts[i])) {
            lvmcmd_error(c, "lvcreate --%s is not done here.", opts[i]);
            return LVMCMD_FAILED;
        }
    return 0;
}

static int read_type(struct lvmcmd *c, struct create *cr)
{
    static const char *const done[] = {"linear", "striped", "zero", "error"};
    cr->type = lvmcmd_opt(c, "type");
    if (!cr->type)
        cr->type = "striped";
    cr->is_virtual = strcmp(cr->type, "zero") == 0 || strcmp(cr->type, "error") == 0;
    for (size_t i = 0; i < ASH_N_ELEMS(done); i++)
        if (strcmp(cr->type, done[i]) == 0)
            return 0;
    if (lvm_segtype_find(cr->type)->cls != LVM_SEG_UNKNOWN) {
        lvmcmd_error(c, "lvcreate --type %s is not done here.", cr->type);
        return LVMCMD_FAILED;
    }
    lvmcmd_error(c, "WARNING: Unrecognised segment type %s", cr->type);
    lvmcmd_error(c, "Invalid argument for --type: %s", cr->type);
    lvmcmd_error(c, "Error during parsing of command line.");
    return LVMCMD_USAGE;
}

/* The VG is the first argument, or stands before the name, or in the environment. */
static int read_names(struct lvmcmd *c, struct create *cr)
{
    const char *name = lvmcmd_opt(c, "name"), *env = c->host->env("LVM_VG_NAME");
    char vg_of_name[128] = "";
    if (name && strchr(name, '/')) {
        if (!lvmcmd_split_lv(c, name, vg_of_name, cr->name))
            return lvmcmd_usage(c, "Logical volume name \"%s\" is invalid.", name);
    } else if (name) {
        snprintf(cr->name, sizeof(cr->name), "%.127s", name);
        if (strlen(name) > 127)
            return lvmcmd_usage(c, "Logical volume name \"%s\" is invalid.", name);
    }
    const char *arg = c->n_args ? c->args[0] : NULL;
    if (arg && ash_starts_with(arg, "/dev/") && lvm_group_find(c->set, arg + 5))
        arg += 5;
    cr->first_pv = arg && (lvm_group_find(c->set, arg) || !*vg_of_name) ? 1 : 0;
    if (cr->first_pv && *vg_of_name && strcmp(arg, vg_of_name) != 0)
        return lvmcmd_usage(c, "Inconsistent volume group names given: \"%s\" and \"%s\"",
                            vg_of_name, arg);
    const char *vg = cr->first_pv ? arg : *vg_of_name ? vg_of_name : env;
    snprintf(cr->vg_name, sizeof(cr->vg_name), "%.127s", vg ? vg : "");
    if (!*cr->vg_name) {
        return lvmcmd_no_syntax(c);
    }
    return *cr->name || name ? lvargs_new_name(c, cr->name) : 0;
}

static int check_vg(struct lvmcmd *c, struct create *cr)
{
    const struct lvm_vg *vg = cr->g->vg;
    unsigned n = 0;
    ash_list_for_each (l, &vg->lvs)
        n += lvm_lv_is_visible(lvm_lv_of(l));
    if (*cr->name && lvm_lv_find(vg, cr->name)) {
        lvmcmd_error(c, "Logical Volume \"%s\" already exists in volume group \"%s\"", cr->name,
                     vg->name);
        return LVMCMD_FAILED;
    }
    if (vg->max_lv && n >= vg->max_lv) {
        lvmcmd_error(c, "Maximum number of logical volumes (%u) reached in volume group %s",
                     vg->max_lv, vg->name);
        return LVMCMD_FAILED;
    }
    return 0;
}

static int read_minor(struct lvmcmd *c)
{
    if (!lvmcmd_opt_yes(c, "persistent", false))
        return 0;
    if (!lvmcmd_opt(c, "minor")) {
        lvmcmd_error(c, "Please specify minor number with --minor when using -My.");
        return LVMCMD_FAILED;
    }
    if (lvmcmd_opt(c, "major"))
        lvmcmd_error(c,
                     "WARNING: Ignoring supplied major number %s - kernel assigns major numbers "
                     "dynamically. Using major number 0 instead.",
                     lvmcmd_opt(c, "major"));
    return 0;
}

/* ------------------------------------------------------------------- sizes */

/* Whole stripes: up, or down where the percentage was of what is free. */
static void round_to_stripes(struct lvmcmd *c, struct create *cr, uint64_t n_free)
{
    char a[32], b[32];
    uint64_t extent = rep_extent_bytes(cr->g->vg);
    uint32_t n = cr->n_stripes, rest = cr->n_extents % n;
    if (!rest)
        return;
    if (cr->is_limit && (uint64_t)cr->n_extents + n - rest > n_free) {
        lvmcmd_print(c, "Rounding size (%u extents) down to stripe boundary size (%u extents)",
                     cr->n_extents, cr->n_extents - rest);
        cr->n_extents -= rest;
        return;
    }
    lvmcmd_print(c, "Rounding size %s (%u extents) up to stripe boundary size %s (%u extents).",
                 lvmcmd_size_text(cr->n_extents * extent, a, sizeof(a)), cr->n_extents,
                 lvmcmd_size_text((cr->n_extents + n - rest) * extent, b, sizeof(b)),
                 cr->n_extents + n - rest);
    cr->n_extents += n - rest;
}

static int read_size(struct lvmcmd *c, struct create *cr)
{
    struct lvm_vg *vg = cr->g->vg;
    struct lvargs_size size;
    int rc = lvargs_size(c, vg, NULL, cr->ranges, 0, &size);
    if (rc)
        return rc;
    cr->n_extents = size.n_extents;
    cr->is_limit = size.is_percent;
    if (cr->is_virtual)
        return 0;
    uint64_t n_free = lvm_vg_n_free(vg);
    round_to_stripes(c, cr, n_free);
    if (cr->is_limit)
        cr->n_extents =
            (uint32_t)ASH_MIN((uint64_t)cr->n_extents, lvm_alloc_n_free(vg, cr->ranges));
    cr->n_extents -= cr->n_extents % cr->n_stripes;
    if (cr->n_extents == 0 || cr->n_extents > n_free) {
        lvmcmd_error(c,
                     "Volume group \"%s\" has insufficient free space (%" PRIu64
                     " extents): %u required.",
                     vg->name, n_free, ASH_MAX(cr->n_extents, 1u));
        return LVMCMD_FAILED;
    }
    return 0;
}

static int read_layout(struct lvmcmd *c, struct create *cr)
{
    struct lvm_vg *vg = cr->g->vg;
    int rc = lvargs_alloc(c, &cr->alloc);
    if (rc == 0)
        rc = lvargs_stripes(c, vg, &cr->n_stripes, &cr->stripe_sectors);
    if (rc == 0 && strcmp(cr->type, "linear") == 0 && cr->n_stripes > 1) {
        lvmcmd_error(c, "Command does not accept option: --stripes %s.", lvmcmd_opt(c, "stripes"));
        rc = LVMCMD_USAGE;
    }
    if (rc == 0 && lvmcmd_opt(c, "readahead"))
        rc = lvargs_read_ahead(c, vg, &cr->has_read_ahead, &cr->read_ahead);
    if (rc == 0)
        rc = read_minor(c);
    if (rc == 0)
        rc = lvargs_ranges(c, vg, cr->first_pv, &cr->ranges);
    cr->n_stripes = ASH_MAX(cr->n_stripes, 1u);
    if (rc == 0 && cr->n_stripes > lvargs_n_pvs(vg, cr->ranges) &&
        (cr->alloc == LVM_ALLOC_INHERIT ? vg->alloc : cr->alloc) != LVM_ALLOC_ANYWHERE) {
        lvmcmd_error(c, "Number of stripes (%u) must not exceed number of physical volumes (%u)",
                     cr->n_stripes, lvargs_n_pvs(vg, cr->ranges));
        rc = LVMCMD_FAILED;
    }
    return rc ? rc : read_size(c, cr);
}

/* ---------------------------------------------------------------- contents */

/* Where byte `at` of a linear or striped LV lies, and how many behind it lie there too. */
static struct lvm_dev *place_of(const struct lvm_lv *lv, uint64_t at, uint64_t *ret_offset,
                                uint64_t *ret_n)
{
    const uint64_t extent = rep_extent_bytes(lv->vg);
    ash_list_for_each (l, &lv->segs) {
        const struct lvm_seg *seg = lvm_seg_of(l);
        uint64_t in_seg = at - seg->start * extent;
        if (at < seg->start * extent || in_seg >= seg->len * extent)
            continue;
        uint64_t stripe = seg->n_areas > 1 ? lvm_seg_u64(seg, "stripe_size", 0) * LVM_SECTOR_BYTES
                                           : seg->len * extent;
        uint64_t chunk = in_seg / stripe;
        const struct lvm_area *area = &seg->areas[chunk % seg->n_areas];
        uint64_t in_area = chunk / seg->n_areas * stripe + in_seg % stripe;
        *ret_offset =
            area->pv->pe_start_sectors * LVM_SECTOR_BYTES + area->extent * extent + in_area;
        *ret_n = stripe - in_seg % stripe;
        return area->pv->dev;
    }
    return NULL;
}

enum content_op { CONTENT_READ, CONTENT_WRITE };

static int content(struct lvm_lv *lv, enum content_op op, uint64_t at, uint8_t *buf, uint64_t n)
{
    int rc = 0;
    while (n && rc == 0) {
        uint64_t offset, n_here;
        struct lvm_dev *dev = place_of(lv, at, &offset, &n_here);
        if (!dev)
            return -ENXIO;
        n_here = ASH_MIN(n_here, n);
        rc = op == CONTENT_READ ? bdev_read(dev->ch, buf, offset, n_here)
                                : bdev_write(dev->ch, buf, offset, n_here, BDEV_FUA);
        at += n_here;
        buf += n_here;
        n -= n_here;
    }
    return rc;
}

/* What the extents show of former users: asked about, and wiped. */
static int wipe(struct lvmcmd *c, struct lvm_lv *lv, uint8_t *head, uint64_t n)
{
    static const uint8_t zeroes[64];
    const struct pool_signature *s;
    int rc = content(lv, CONTENT_READ, 0, head, n);
    while (rc == 0 && (s = pool_signature_in(head, false)) != NULL) {
        if (!lvmcmd_ask(c, "WARNING: %s signature detected on /dev/%s/%s at offset %u. Wipe it?",
                        s->name, lv->vg->name, lv->name, s->offset)) {
            lvmcmd_error(c, "Aborted wiping of %s.", s->name);
            lvmcmd_error(c, "1 existing signature left on the device.");
            return LVMCMD_FAILED;
        }
        lvmcmd_print(c, "Wiping %s signature on /dev/%s/%s.", s->name, lv->vg->name, lv->name);
        memset(head + s->offset, 0, s->n_bytes);
        if (!c->test)
            rc = content(lv, CONTENT_WRITE, s->offset, (uint8_t *)zeroes, s->n_bytes);
    }
    return rc;
}

/* As if it were active, unless that was not wanted. */
static int prepare_contents(struct lvmcmd *c, struct lvm_lv *lv)
{
    const char *activate = lvmcmd_opt(c, "activate");
    bool active = !activate || activate[strlen(activate) - 1] != 'n';
    bool zero = lvmcmd_opt_yes(c, "zero", lv->flags & LVM_WRITE);
    bool wipes = lvmcmd_opt_yes(c, "wipesignatures", zero);
    uint64_t n =
        ASH_MIN((uint64_t)lv->n_extents * rep_extent_bytes(lv->vg), (uint64_t)LOOKED_AT_BYTES);
    if (!active || !zero)
        lvmcmd_error(c, "WARNING: Logical volume %s/%s not zeroed.", lv->vg->name, lv->name);
    if (!active || (!zero && !wipes))
        return 0;
    uint8_t *head = rt_buf_get(LOOKED_AT_BYTES);
    if (!head) {
        lvmcmd_error(c, "Out of memory.");
        return LVMCMD_FAILED;
    }
    memset(head, 0, LOOKED_AT_BYTES);
    int rc = wipes ? wipe(c, lv, head, n) : 0;
    memset(head, 0, ZEROED_BYTES);
    if (rc == 0 && zero && !c->test)
        rc = content(lv, CONTENT_WRITE, 0, head, ASH_MIN(n, (uint64_t)ZEROED_BYTES));
    rt_buf_put(head, LOOKED_AT_BYTES);
    if (rc < 0) {
        lvmcmd_error(c, "The begin of %s/%s cannot be written: %s", lv->vg->name, lv->name,
                     ash_strerror(rc));
        rc = LVMCMD_FAILED;
    }
    return rc;
}

/* ---------------------------------------------------------------- creation */

static int allocate(struct lvmcmd *c, struct create *cr, struct lvm_lv *lv)
{
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_alloc_run *runs;
    struct lvm_alloc_req req = {.vg = lv->vg,
                                .lv_name = lv->name,
                                .policy = lvargs_policy(lv),
                                .n_areas = cr->n_stripes,
                                .len = cr->n_extents / cr->n_stripes,
                                .ranges = cr->ranges,
                                .is_limit = cr->is_limit};
    if (cr->is_virtual)
        return lvm_seg_add(lv, cr->type, cr->n_extents, 0) ? 0 : LVMCMD_FAILED;
    if (lvm_alloc(&req, &runs, &err))
        return lvmcmd_fail(c, &err);
    return lvargs_append(lv, runs, cr->n_stripes, cr->stripe_sectors) ? 0 : LVMCMD_FAILED;
}

static void set_properties(struct lvmcmd *c, struct create *cr, struct lvm_lv *lv)
{
    const char *perm = lvmcmd_opt(c, "permission");
    lv->alloc = cr->alloc;
    if (perm && strcmp(perm, "r") == 0)
        lv->flags &= ~LVM_WRITE;
    if (lvmcmd_opt_yes(c, "setactivationskip", false))
        lv->flags |= LVM_ACTIVATION_SKIP;
    if (!lvmcmd_opt_yes(c, "setautoactivation", true))
        lv->flags |= LVM_NOAUTOACTIVATE;
    if (lvmcmd_opt_yes(c, "persistent", false)) {
        lv->flags |= LVM_FIXED_MINOR;
        lv->major = 0;
        lv->minor = (int32_t)lvmcmd_opt_u64(c, "minor", 0);
    }
    if (lvmcmd_opt(c, "readahead")) {
        lv->has_read_ahead = cr->has_read_ahead;
        lv->read_ahead_sectors = cr->read_ahead;
    }
    (void)lvmcmd_change_tags(c, lv->vg, &lv->tags);
}

static int create(struct lvmcmd *c, struct create *cr)
{
    struct lvm_vg *vg = cr->g->vg;
    if (!*cr->name)
        lvm_lv_free_name(vg, "lvol", cr->name);
    struct lvm_id id;
    lvm_id_random(&id);
    struct lvm_lv *lv =
        lvm_lv_add(vg, cr->name, &id, c->writer.origin.host, rt_wall_ns() / 1000000000u);
    if (!lv) {
        lvmcmd_error(c, "Out of memory.");
        return LVMCMD_FAILED;
    }
    set_properties(c, cr, lv);
    int rc = allocate(c, cr, lv);
    if (rc == 0 && !cr->is_virtual)
        rc = prepare_contents(c, lv);
    if (rc == 0)
        rc = lvmcmd_commit(c, vg);
    if (rc == 0)
        lvmcmd_print(c, "Logical volume \"%s\" created.", lv->name);
    return rc;
}

int lvmcmd_lvcreate(struct lvmcmd *c)
{
    struct create cr = {.g = NULL};
    int rc = not_done(c);
    if (rc == 0)
        rc = read_type(c, &cr);
    if (rc == 0 && !lvmcmd_opt(c, "size") && !lvmcmd_opt(c, "extents")) {
        rc = lvmcmd_no_syntax(c);
    }
    if (rc == 0)
        rc = lvargs_check_size(c, 0);
    if (rc == 0)
        rc = read_names(c, &cr);
    if (rc)
        return rc;
    cr.g = lvmcmd_vg_to_change(c, cr.vg_name, 0);
    if (!cr.g)
        return LVMCMD_FAILED;
    /* Options are looked at before the VG is. */
    rc = read_layout(c, &cr);
    if (rc == 0)
        rc = check_vg(c, &cr);
    return rc ? rc : create(c, &cr);
}
