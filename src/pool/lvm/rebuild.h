/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of what is on a lost leg of a raid 4, 5 or 6. */
#ifndef ASH_POOL_LVM_REBUILD_H
#define ASH_POOL_LVM_REBUILD_H

#include "bdev/bdev.h"
#include "pool/lvm/map.h"

/* No larger reads: with 63 sources and the sum a read fills the largest class of buffers. */
enum { LVM_REBUILD_MAX_BYTES = 64 << 10 };

/* Answer io, a read whose place is lost, from inside ops->submit: ends it, later. lost: borrowed
 * for the call; pvs: channels by lvm_place.pv, until io is done. io->rc: -EIO a source failed or is
 * not there; -ENOMEM (to the core, which tries again). */
void lvm_rebuild_read(struct bdev_io *io, const struct lvm_lost *lost,
                      struct bdev_channel *const *pvs);

#endif
