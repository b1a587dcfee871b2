/* SPDX-License-Identifier: Apache-2.0 */
/* The crash explorer of LVM2 metadata: each update of pool/lvm on some layouts of PVs, and every
 * state that a power cut or a failed write can leave behind (docs/spec/lvm2-format.md 7).
 *
 * What must be true of a state: the VGs that a reader finds are those from before the operation or
 * those from after it, whole, with no area that is bad; and the next writer gets through, after
 * which all areas agree.
 *
 *   lvm_crash_cases.c   layouts and operations
 *   lvm_crash.c         worlds, states, the walk, the program */
#ifndef ASH_SIM_LVM_CRASH_H
#define ASH_SIM_LVM_CRASH_H

#include "pool/lvm/update.h"
#include "rt/rt_sim.h"

enum { LC_DISKS_MAX = 3, LC_DISK_BYTES = 8 << 20 };

struct lc_layout {
    const char *name;
    unsigned n_disks; /* the last one is no PV of the VG */
    unsigned n_mdas[LC_DISKS_MAX];
    uint32_t mda_bytes, align_bytes; /* 0: as usual */
    unsigned n_updates;              /* before the operation: the ring goes on */
    unsigned ignored;                /* bit per disk: its areas are */
};

/* A world in which an operation runs, or somebody looks. */
struct lc_env {
    const struct lc_layout *layout;
    struct bdev_mgr *mgr;
    struct lvm_set *set;
    struct lvm_dev *devs[LC_DISKS_MAX];
    struct lvm_writer writer;
    struct lvm_group *group; /* "vg"; NULL: there is none */
};

struct lc_op {
    const char *name;
    int (*run)(struct lc_env *e);
    unsigned disks_min;
    size_t n_commits; /* so often what a reader sees changes */
    bool needs_ignored;
};

extern const struct lc_layout lc_layouts[]; /* ends with a NULL name */
extern const struct lc_op lc_ops[];

int lc_make_layout(struct lc_env *e);
/* One more update: it changes a tag. */
int lc_next_update(struct lc_env *e);

#endif
