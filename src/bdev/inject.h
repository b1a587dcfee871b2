/* SPDX-License-Identifier: Apache-2.0 */
/* Fault injection by URI, on any device (docs/spec/mayastor-bdev-uris.md 9):
 * inject://DEVICE?domain=block&op=read&stage=compl&method=status&offset=0&num_blk=8&retries=3
 * A rule affects exactly `retries` ios; the first rule in order of addition that fires wins.
 * Domains block and bdev_io; child belongs to the nexus. Control reactor. */
#ifndef ASH_BDEV_INJECT_H
#define ASH_BDEV_INJECT_H

#include "bdev/bdev.h"

enum bdev_inject_domain { INJECT_CHILD, INJECT_BLOCK, INJECT_BDEV_IO };
enum bdev_inject_op { INJECT_READ = 1, INJECT_WRITE = 2, INJECT_READ_WRITE = 3 };
enum bdev_inject_stage { INJECT_SUBMIT, INJECT_COMPLETION };
enum bdev_inject_method { INJECT_STATUS, INJECT_DATA };

struct bdev_inject_rule {
    char *uri, *device;
    enum bdev_inject_domain domain;
    enum bdev_inject_op op;
    enum bdev_inject_stage stage;
    enum bdev_inject_method method;
    bool is_nvme_status;       /* status and status-nvme-* */
    int rc;                    /* of STATUS */
    char method_text[32];      /* as given */
    uint64_t begin_ms, end_ms; /* since the first match; UINT64_MAX: never */
    uint64_t offset, num_blk;  /* blocks; UINT64_MAX: to the end */
    uint64_t retries;          /* UINT64_MAX: no limit */
};

/* 0; -EINVAL BDEV_INJECT_INVALID, BDEV_URI_SYNTAX. */
int bdev_inject_parse(const char *uri, struct bdev_inject_rule *ret_rule, struct ash_err *err);
void bdev_inject_rule_free(struct bdev_inject_rule *rule);
/* The canonical text: domain, op, stage always, the rest when it is not the default. */
void bdev_inject_format(const struct bdev_inject_rule *rule, struct ash_buf *out);

int bdev_inject_add(struct bdev_mgr *mgr, const char *uri, struct ash_err *err) ASH_MAY_WAIT;
/* Every rule whose URI is exactly this text; none is no failure, but it must parse. */
int bdev_inject_remove(struct bdev_mgr *mgr, const char *uri, struct ash_err *err) ASH_MAY_WAIT;

struct bdev_inject_info {
    const char *uri, *device; /* live until the next change */
    bool is_active;           /* can still affect an io now */
};
/* Up to n_max; returns how many there are. */
size_t bdev_inject_list(struct bdev_mgr *mgr, struct bdev_inject_info *infos, size_t n_max);

#endif
