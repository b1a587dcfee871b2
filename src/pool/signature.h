/* SPDX-License-Identifier: Apache-2.0 */
/* What is on a disk: well-known signatures, so that nothing is formatted by mistake. */
#ifndef ASH_POOL_SIGNATURE_H
#define ASH_POOL_SIGNATURE_H

#include "bdev/bdev.h"

/* *ret_what: words for people ("an ext2/3/4 file system"), a literal; NULL: nothing known.
 * 0 or the errno of a read. */
int pool_signature(struct bdev_channel *ch, const char **ret_what) ASH_MAY_WAIT;

#endif
