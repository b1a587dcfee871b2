/* SPDX-License-Identifier: Apache-2.0 */
/* Parity of raid 4, 5 and 6: which legs and factors make up a chunk that is lost
 * (docs/spec/dm-formats.md 9.3). No I/O. */
#ifndef ASH_POOL_LVM_PARITY_H
#define ASH_POOL_LVM_PARITY_H

#include "pool/lvm/raid.h"

/* A chunk as a sum over others of its row: sum of factors[i] * chunk of legs[i], in GF(2^8). */
struct lvm_parity_sum {
    unsigned n; /* >= 1 */
    uint8_t legs[LVM_RAID_LEGS_MAX];
    uint8_t factors[LVM_RAID_LEGS_MAX]; /* not 0 */
};

/* How the data chunk on leg `lost` of row t is rebuilt of legs that are good. layout: one with
 * parity; n_parity < n_legs <= LVM_RAID_LEGS_MAX; is_good[lost] is false. False: too many legs are
 * lost, or `lost` has no data in that row. */
bool lvm_parity_find(const struct lvm_raid_layout *layout, unsigned n_legs, uint64_t t,
                     unsigned lost, const bool *is_good, struct lvm_parity_sum *ret);
/* to = the sum of from[0 .. sum->n), n_bytes of each; each aligned to 32 bytes. */
void lvm_parity_add(const struct lvm_parity_sum *sum, void *const *from, void *to, size_t n_bytes);

#endif
