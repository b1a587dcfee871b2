/* SPDX-License-Identifier: Apache-2.0 */
/* Raid sets of LVM: where chunks are, and which legs are in sync (docs/spec/dm-formats.md 9). */
#ifndef ASH_POOL_LVM_RAID_H
#define ASH_POOL_LVM_RAID_H

#include "pool/lvm/vg.h"

enum { LVM_RAID_LEGS_MAX = 64 };

enum lvm_raid_kind { LVM_RAID_STRIPED, LVM_RAID_MIRROR, LVM_RAID_NEAR, LVM_RAID_PARITY };

/* How the legs of a row of parity chunks are chosen (9.3). */
enum lvm_raid_rotation {
    LVM_RAID_LA,      /* P moves to the left, data from leg 0 on */
    LVM_RAID_RA,      /* P moves to the right */
    LVM_RAID_LS,      /* as LA, data from behind P on */
    LVM_RAID_RS,      /* as RA, data from behind P on */
    LVM_RAID_P_FIRST, /* raid4 */
    LVM_RAID_P_LAST,
    LVM_RAID_ZR, /* P moves to the right, Q behind it, data from leg 0 on */
    LVM_RAID_NR, /* P moves to the left, one row ahead */
    LVM_RAID_NC, /* P moves to the left, Q before it, data from behind P on */
};

struct lvm_raid_layout {
    const char *name; /* of the segment type */
    enum lvm_raid_kind kind;
    uint8_t level; /* as superblocks say */
    uint8_t n_parity;
    enum lvm_raid_rotation rotation;
    bool q_is_last; /* raid6_n_6 and the _6 types: Q on the last leg, the rest as raid5 */
};

/* NULL: none of ours. */
const struct lvm_raid_layout *lvm_raid_layout(const char *type);
/* The leg that has data chunk d of row t; n_legs > n_parity. */
unsigned lvm_raid_data_leg(const struct lvm_raid_layout *layout, unsigned n_legs, uint64_t t,
                           unsigned d);
/* The legs of P and Q of row t; n_parity of the layout is 1 (*ret_q stays) or 2. */
void lvm_raid_parity_legs(const struct lvm_raid_layout *layout, unsigned n_legs, uint64_t t,
                          unsigned *ret_p, unsigned *ret_q);

struct lvm_raid_legs {
    unsigned n;
    const struct lvm_lv *metas[LVM_RAID_LEGS_MAX]; /* NULL: not there */
    bool is_good[LVM_RAID_LEGS_MAX];               /* out: in sync, all of it */
    bool has_parity; /* out: the first sync was done to its end: parity may be made use of */
};

/* Read the superblocks and tell which legs are in sync. A set without any is new: all its legs
 * count, its parity does not. -EINVAL LVM_RAID: they are of another set, or of a kind that is not
 * known; -ENOMEM, BDEV_IO. */
int lvm_raid_read(const struct lvm_lv *lv, const struct lvm_raid_layout *layout,
                  struct lvm_raid_legs *legs, struct ash_err *err) ASH_MAY_WAIT;
/* Does a superblock (its first 4096 bytes) say that its set was synchronized to the end? */
bool lvm_raid_is_synced(const void *super, uint64_t *ret_events);

#endif
