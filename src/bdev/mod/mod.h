/* SPDX-License-Identifier: Apache-2.0 */
/* What the modules of this folder share: their names, and small helpers for URIs and methods. */
#ifndef ASH_BDEV_MOD_MOD_H
#define ASH_BDEV_MOD_MOD_H

#include "bdev/bdev.h"

extern struct bdev_module bdev_malloc_module;
extern struct bdev_module bdev_null_module;
extern struct bdev_module bdev_aio_module;
extern struct bdev_module bdev_uring_module;
extern struct bdev_module bdev_loopback_module;
extern struct bdev_module bdev_passthru_module;
extern struct bdev_module bdev_delay_module;
extern struct bdev_module bdev_error_module;
extern struct bdev_module bdev_split_module;
extern struct bdev_module bdev_log_module;
extern struct bdev_module bdev_verify_module;
extern struct bdev_module bdev_keyring_module;
extern struct bdev_module bdev_nvme_module;

/* "Invalid URI 'u': why" with BDEV_URI_INVALID. */
int bdev_uri_invalid(const struct bdev_uri *uri, const char *why, struct ash_err *err);
/* "Failed to create a BDEV: name 'n' already exists" with BDEV_EXISTS. */
int bdev_uri_exists(const char *name, struct ash_err *err);
/* The path without its first '/', copied; empty: `empty_text` is what is wrong. */
int bdev_uri_path_name(const struct bdev_uri *uri, const char *empty_text, char **ret_name,
                       struct ash_err *err);
/* The same as a module's uri_name; "empty path" when there is none. */
int bdev_uri_plain_name(const struct bdev_uri *uri, char **ret_name, struct ash_err *err);
/* The end of a uri_create: give the name out or free it. Returns rc. */
int bdev_uri_result(int rc, char *name, char **ret_name);
/* size_mb and num_blocks of malloc and null as a number of blocks; 0 for neither. */
uint64_t bdev_uri_blocks(uint64_t size_mb, uint64_t num_blocks, uint32_t block_bytes);

struct bdev_name_params {
    char *name;
};
extern const struct ash_param bdev_name_params[];
/* A device by name that belongs to module (NULL: any), or BDEV_NOT_FOUND. */
int bdev_mod_find(struct bdev_mgr *mgr, const char *name, const struct bdev_module *module,
                  struct bdev **ret_bdev, struct ash_err *err);
/* The whole of a delete method: find, unregister, answer true. */
int bdev_mod_delete(struct ash_call *call, const char *name,
                    const struct bdev_module *module) ASH_MAY_WAIT;
/* Opens {"method":m,"params":{"name":n; the caller goes on with parameters, then ..._end. */
void bdev_mod_config(struct ash_jsonw *w, const char *method, const struct bdev *bdev);
/* The same, and the sizes. */
void bdev_mod_config_blocks(struct ash_jsonw *w, const char *method, const struct bdev *bdev);
void bdev_mod_config_end(struct ash_jsonw *w, const struct bdev *bdev);

/* The rc of an io that stands for an NVMe status. */
int bdev_rc_of_nvme(unsigned sct, unsigned sc);

/* Copying between an io's vector and one piece of memory. */
void bdev_iov_from(const struct iovec *iov, uint32_t n_iov, const void *from);
void bdev_iov_to(const struct iovec *iov, uint32_t n_iov, void *to);
int bdev_iov_compare(const struct iovec *iov, uint32_t n_iov, const void *with); /* -EILSEQ */

void bdev_iov_zero(const struct iovec *iov, uint32_t n_iov);

#endif
