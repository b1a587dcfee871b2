/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to a raid1 LV all of whose legs are there and in sync, with its write-intent bitmap
 * (docs/spec/dm-formats.md 9.2). Reads do not come here: any leg will do. */
#ifndef ASH_POOL_LVM_MIRROR_H
#define ASH_POOL_LVM_MIRROR_H

#include "bdev/bdev.h"
#include "pool/lvm/map.h"

struct lvm_mirror;

/* Per-io state of a write (bdev->io_ctx_bytes). */
struct lvm_mirror_io {
    struct lvm_mirror *m;
    uint32_t n_left;
    int32_t rc;
};

/* Read the bitmaps; the calling reactor does all writes from now on. map: one for which
 * lvm_map_metas is not 0, borrowed until close; the PVs are opened for writing. 0 with *ret NULL:
 * the LV must not be written to, *ret_why says why (static text). -ENOMEM; BDEV_IO. */
int lvm_mirror_open(struct bdev_mgr *mgr, const char *name, const struct lvm_map *map,
                    struct lvm_mirror **ret, const char **ret_why,
                    struct ash_err *err) ASH_MAY_WAIT;
/* No write may be under way. Bits that were set by us are cleared if all went well. NULL is fine.
 */
void lvm_mirror_close(struct lvm_mirror *m) ASH_MAY_WAIT;
/* Bytes that one bit stands for: no write may cross a multiple of it. */
uint64_t lvm_mirror_region_bytes(const struct lvm_mirror *m);
/* A flush of a PV has failed: what was written may be on one leg and not on another. No more
 * writes; the bits stay. Any reactor. */
void lvm_mirror_fail(struct lvm_mirror *m);
/* From inside ops->submit, on any reactor; ends io, later, on its reactor. io->rc: -EIO once a
 * write, a flush or a bit has failed on any leg, or what that leg said. */
void lvm_mirror_write(struct lvm_mirror *m, struct bdev_io *io);

#endif
