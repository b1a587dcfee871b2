/* SPDX-License-Identifier: Apache-2.0 */
/* Where the bytes of a logical volume lie: what device-mapper tables say, as a function of an
 * offset (docs/spec/lvm2-format.md 13, dm-formats.md 9.3). A map is made once of a VG's text and
 * does not refer to it; asking it needs no memory and no lock.
 *
 *   LV = pieces; a piece = legs (runs of PVs, or other LVs with maps of their own) and a rule
 *
 * A leg is *good* when what it holds is what the LV holds: its PV is there, and it is in sync by
 * the superblocks of its raid set (9.1). One place is told for each byte: that of a data leg. Where
 * the leg of a row of raid 4, 5 or 6 is not good, it is told what the byte can be made of. */
#ifndef ASH_POOL_LVM_MAP_H
#define ASH_POOL_LVM_MAP_H

#include "pool/lvm/parity.h"
#include "pool/lvm/set.h"

struct lvm_map;

enum lvm_place_kind {
    LVM_PLACE_PV,
    LVM_PLACE_ZERO,  /* reads as zeroes, takes writes for nothing */
    LVM_PLACE_ERROR, /* fails */
    LVM_PLACE_LOST,  /* nowhere, but it can be rebuilt: lvm_map_lost */
};

struct lvm_place {
    enum lvm_place_kind kind;
    unsigned pv;     /* into lvm_map_pvs */
    uint64_t offset; /* on the PV's device, bytes */
    uint64_t length; /* how far it goes on like this */
};

/* The sources of a byte that is lost, and of those behind it as far as its place goes. */
struct lvm_lost {
    struct lvm_parity_sum sum;
    struct lvm_place from[LVM_RAID_LEGS_MAX]; /* sum.n of them; none is LOST */
};

/* -ENOTSUP LVM_LV_TYPE: a type that is not read here; -EIO LVM_LV_PARTIAL: data of it are on a PV
 * that is missing, and nothing makes up for it; -EINVAL LVM_RAID: a raid set's superblocks
 * contradict each other; -ENOMEM, BDEV_IO. */
int lvm_map_new(const struct lvm_lv *lv, struct lvm_map **ret_map,
                struct ash_err *err) ASH_MAY_WAIT;
void lvm_map_free(struct lvm_map *map); /* NULL is fine */

/* offset < lvm_map_size. */
struct lvm_place lvm_map_find(const struct lvm_map *map, uint64_t offset);
/* offset: one for which lvm_map_find tells LVM_PLACE_LOST. */
void lvm_map_lost(const struct lvm_map *map, uint64_t offset, struct lvm_lost *ret);
bool lvm_map_has_lost(const struct lvm_map *map); /* is there any? */
/* An LV that is a raid1, all legs there and in sync: their number, and where the superblock of each
 * is (length: of the metadata LV; LVM_RAID_LEGS_MAX elements). 0: not such an LV. */
unsigned lvm_map_metas(const struct lvm_map *map, struct lvm_place *ret);
/* Of such an LV: the place of a byte on each leg. */
void lvm_map_copies(const struct lvm_map *map, uint64_t offset, struct lvm_place *ret);
uint64_t lvm_map_size(const struct lvm_map *map); /* bytes */
/* No place goes over a multiple of it. Bytes. */
uint64_t lvm_map_boundary(const struct lvm_map *map);
/* Does a write to the place that is told (where lvm_map_metas is not 0: to all places of copies,
 * with the bitmap) do all that a write to the LV has to do? NULL: yes; else why not, for people. */
const char *lvm_map_why_read_only(const struct lvm_map *map);
/* Names of the bdevs of the PVs, n of them. */
const char *const *lvm_map_pvs(const struct lvm_map *map, unsigned *ret_n);

#endif
