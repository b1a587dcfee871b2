/* SPDX-License-Identifier: Apache-2.0 */
/* A disk as the offline commands read it: whole pages, no examination, nothing claimed. */
#ifndef ASH_CTL_CLI_DISK_H
#define ASH_CTL_CLI_DISK_H

#include "ctl/cli/cmd.h"

struct cli_disk {
    struct rt_file *file; /* a path; else a device of its own engine */
    struct ash_engine *engine;
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    uint64_t size_bytes;
    uint32_t block_bytes;
    bool in_use; /* another process holds its lock */
};

enum { CLI_DISK_WRITE = 1u << 0, CLI_DISK_EVEN_IN_USE = 1u << 1 };

/* Close with cli_disk_close, also after a failure. */
int cli_disk_open(struct cli *cli, const char *disk, unsigned flags, struct cli_disk *ret,
                  struct ash_err *err) ASH_MAY_WAIT;
void cli_disk_close(struct cli_disk *d) ASH_MAY_WAIT;
/* 4096-byte units, buffers from rt_buf_get; what lies past the end reads as zeroes. */
int cli_disk_read(void *disk, uint64_t offset, void *buf, size_t n_bytes) ASH_MAY_WAIT;
int cli_disk_write(void *disk, uint64_t offset, const void *buf, size_t n_bytes) ASH_MAY_WAIT;
int cli_disk_flush(void *disk) ASH_MAY_WAIT;

/* What is on it, by signature: a literal such as "blobstore", "gpt", "blank", "unknown". uuid: text
 * of what has one, else "". */
int cli_disk_sniff(struct cli_disk *d, const char **ret_kind, char uuid[64]) ASH_MAY_WAIT;

#endif
