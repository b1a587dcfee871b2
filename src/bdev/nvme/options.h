/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the NVMe/TCP initiator, for control faces. Source: docs/spec/spdk-jsonrpc.md 10. */
#ifndef ASH_BDEV_NVME_OPTIONS_H
#define ASH_BDEV_NVME_OPTIONS_H

#include "bdev/bdev.h"

enum nvme_late_action { NVME_LATE_NONE, NVME_LATE_RESET, NVME_LATE_ABORT };

/* bdev_nvme_set_options: defaults of paths that are attached later. */
struct nvme_options {
    enum nvme_late_action late_action;
    uint64_t timeout_us, timeout_admin_us; /* 0: none; admin: 10 s */
    uint32_t keep_alive_ms;
    uint32_t n_retries; /* of an io that the controller refuses for the moment */
    int32_t loss_s;     /* how long a path may be away; -1: for ever; 0: one try */
    uint32_t delay_s;   /* between tries; 0: 1 s, growing to 10 s */
    uint32_t fast_fail_s;
    uint32_t depth;
};

/* Control reactor. Values out of range are brought into it; paths check how times go together when
 * they are attached. */
void nvme_options_get(struct bdev_mgr *mgr, struct nvme_options *ret_options);
void nvme_options_set(struct bdev_mgr *mgr, const struct nvme_options *options);

#endif
