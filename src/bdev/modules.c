/* SPDX-License-Identifier: Apache-2.0 */
/* The list of device modules: one line each, in the order they examine new devices; the keyring
 * before those that ask it for keys. */
#include "bdev/mod/mod.h"

/* clang-format off */
struct bdev_module *const bdev_modules[] = {
    &bdev_malloc_module,
    &bdev_null_module,
    &bdev_aio_module,
    &bdev_uring_module,
    &bdev_loopback_module,
    &bdev_passthru_module,
    &bdev_delay_module,
    &bdev_error_module,
    &bdev_split_module,
    &bdev_log_module,
    &bdev_verify_module,
    &bdev_keyring_module,
    &bdev_nvme_module,
    NULL,
};
/* clang-format on */
