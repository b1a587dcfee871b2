/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands on LVs take: names, sizes in extents, PVs with ranges. */
#ifndef ASH_CTL_LVM_LVARGS_H
#define ASH_CTL_LVM_LVARGS_H

#include "ctl/lvm/report.h"
#include "pool/lvm/alloc.h"
#include "pool/lvm/edit.h"

/* A name for a new LV: 0, or LVMCMD_USAGE with the reason printed. */
int lvargs_new_name(struct lvmcmd *c, const char *name);
/* PVs of the arguments from the first on, as "PV", "PV:0-5:9", "@tag". *ret NULL: none were named.
 * 0 or an exit code, printed. */
int lvargs_ranges(struct lvmcmd *c, struct lvm_vg *vg, size_t first, struct lvm_range **ret);
unsigned lvargs_n_pvs(const struct lvm_vg *vg, const struct lvm_range *ranges);

/* -L or -l, as it was given. */
struct lvargs_size {
    char sign;       /* '+', '-', or '\0' */
    bool is_percent; /* then approximate */
    bool of_lv;      /* %LV */
    uint32_t n_extents;
};
enum { LVARGS_PLUS = 1u << 0, LVARGS_MINUS = 1u << 1 }; /* signs that are taken */
/* What can be said against them before the VG is looked at. 0 or LVMCMD_USAGE, printed. */
int lvargs_check_size(struct lvmcmd *c, unsigned signs);
/* One of both must be there, and was checked. lv: for %LV; NULL: none. 0 or an exit code, printed.
 */
int lvargs_size(struct lvmcmd *c, struct lvm_vg *vg, const struct lvm_lv *lv,
                const struct lvm_range *ranges, unsigned signs, struct lvargs_size *ret);
/* -i and -I. Sizes are in sectors; 0 stripes: not given. 0 or an exit code, printed. */
int lvargs_stripes(struct lvmcmd *c, const struct lvm_vg *vg, uint32_t *ret_n,
                   uint32_t *ret_size_sectors);
/* -r: sectors, -1 none; has: false for auto. 0 or an exit code. */
int lvargs_read_ahead(struct lvmcmd *c, const struct lvm_vg *vg, bool *ret_has, int64_t *ret);
/* -C and --alloc; inherit when neither is given. */
int lvargs_alloc(struct lvmcmd *c, enum lvm_alloc *ret);
static inline enum lvm_alloc lvargs_policy(const struct lvm_lv *lv)
{
    return lv->alloc == LVM_ALLOC_INHERIT ? lv->vg->alloc : lv->alloc;
}
/* Segments from what was found. False: no memory. */
bool lvargs_append(struct lvm_lv *lv, const struct lvm_alloc_run *runs, uint32_t n_stripes,
                   uint32_t stripe_sectors);
/* fn for each LV that arguments name (VG: all visible ones). Groups are begun when first met, with
 * `allow`, and *changed VGs* are the caller's to commit. The worst exit code. */
int lvargs_each(struct lvmcmd *c, unsigned allow, int (*fn)(struct lvmcmd *c, struct lvm_lv *lv));
/* "vg/lv" of the first argument, ready to be changed; NULL: printed. */
struct lvm_lv *lvargs_lv(struct lvmcmd *c, const char *name, unsigned allow, int *ret_code);

#endif
