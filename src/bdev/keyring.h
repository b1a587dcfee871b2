/* SPDX-License-Identifier: Apache-2.0 */
/* Named keys of an engine, each in a file that only its owner can read. Who uses a key asks by name
 * and gets its text at that moment: the file may be replaced.
 * Source: docs/spec/spdk-jsonrpc.md 9 (keyring_file_*). */
#ifndef ASH_BDEV_KEYRING_H
#define ASH_BDEV_KEYRING_H

#include "base/nvme_chap.h"
#include "base/nvme_tls.h"
#include "bdev/bdev.h"

/* Control reactor. -ENOENT NVME_KEY: no such key; -EACCES NVME_KEY: others may read the file; what
 * reading it gives; -EINVAL NVME_KEY: it holds no DH-HMAC-CHAP secret. */
int bdev_key_chap(struct bdev_mgr *mgr, const char *name, struct nvme_chap_key *ret_key,
                  struct ash_err *err) ASH_MAY_WAIT;
/* The same of a key for TLS. */
int bdev_key_tls(struct bdev_mgr *mgr, const char *name, struct nvme_chap_key *ret_key,
                 struct ash_err *err) ASH_MAY_WAIT;

#endif
