/* SPDX-License-Identifier: Apache-2.0 */
/* What is on a disk: well-known signatures, so that nothing is formatted by mistake. */
#ifndef ASH_POOL_SIGNATURE_H
#define ASH_POOL_SIGNATURE_H

#include "bdev/bdev.h"

/* *ret_what: words for people ("an ext2/3/4 file system"), a literal; NULL: nothing known.
 * 0 or the errno of a read. */
struct pool_signature {
    uint32_t offset;
    uint8_t n_bytes;
    const char *bytes, *what;
    const char *name; /* as blkid calls it: "ext4" */
};
/* The same in the first 128 KiB of a device. */
const struct pool_signature *pool_signature_in(const uint8_t *head, bool not_lvm);
/* The same with its place; *ret NULL: nothing known. not_lvm: PVs of LVM2 are not looked for. */
int pool_signature_find(struct bdev_channel *ch, bool not_lvm,
                        const struct pool_signature **ret) ASH_MAY_WAIT;
int pool_signature(struct bdev_channel *ch, const char **ret_what) ASH_MAY_WAIT;

#endif
