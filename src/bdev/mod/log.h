/* SPDX-License-Identifier: Apache-2.0 */
/* What the log module has recorded, for tests: who wrote what, when it was submitted and when it
 * had ended. */
#ifndef ASH_BDEV_MOD_LOG_H
#define ASH_BDEV_MOD_LOG_H

#include "bdev/bdev.h"

struct bdev_log_entry {
    uint64_t seq;      /* order of submission, over all reactors */
    uint64_t done_seq; /* order of completion in the same count; 0: has not ended */
    uint64_t offset, length;
    int rc; /* when it has ended */
    uint8_t type, flags;
    void *data; /* WRITE: a copy of the bytes; NULL when memory was out */
};

/* The entries in order of submission. Control reactor; they stay valid until the log is cleared or
 * the device goes, and the array is the caller's (rt_free). -EINVAL: not a log device, -ENOMEM. */
int bdev_log_get(struct bdev *bdev, struct bdev_log_entry ***ret_entries,
                 size_t *ret_n) ASH_MAY_WAIT;
/* Forget what has ended. */
void bdev_log_clear(struct bdev *bdev) ASH_MAY_WAIT;

#endif
