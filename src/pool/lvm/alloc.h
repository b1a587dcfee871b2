/* SPDX-License-Identifier: Apache-2.0 */
/* Which extents an LV gets, as lvm2's search would choose (docs/spec/lvm2-format.md 15). Pure: it
 * looks at a VG in memory and changes nothing. */
#ifndef ASH_POOL_LVM_ALLOC_H
#define ASH_POOL_LVM_ALLOC_H

#include "pool/lvm/vg.h"

/* Extents that may be used, in the order of a command line. */
struct lvm_range {
    struct lvm_range *next;
    struct lvm_pv *pv;
    uint32_t first, n;
};

struct lvm_alloc_req {
    struct lvm_vg *vg;
    const struct lvm_lv *lv;        /* that grows: its last segment is continued; NULL: a new one */
    const char *lv_name;            /* for messages */
    enum lvm_alloc policy;          /* not inherit */
    uint32_t n_areas;               /* side by side: stripes, legs; on different PVs */
    uint32_t len;                   /* extents of each area */
    const struct lvm_range *ranges; /* NULL: the whole VG */
    bool is_limit;                  /* less is fine too: what there is */
};

/* A piece of what was found; all areas are equally long. */
struct lvm_alloc_run {
    struct lvm_alloc_run *next;
    uint32_t len;
    struct lvm_area areas[];
};

/* The runs live in the VG's arena. -ENOSPC LVM_NO_SPACE (too few extents), LVM_NO_FIT (enough, but
 * not as the policy wants them); -ENOMEM. */
int lvm_alloc(const struct lvm_alloc_req *req, struct lvm_alloc_run **ret_runs,
              struct ash_err *err);
/* Extents free on usable PVs, in the ranges. */
uint64_t lvm_alloc_n_free(const struct lvm_vg *vg, const struct lvm_range *ranges);

#endif
