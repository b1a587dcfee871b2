/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE export: volumes as files of a folder, so that a loop device and a file system work on
 * machines that have neither nbd nor nvme nor ublk.
 *
 * A server belongs to an engine and has any number of mounts; a mount is a folder with one file per
 * exported device. All of it lives on the control reactor. The prefix is fexp_: libfuse owns fuse_.
 * Without libfuse at build time the functions are there and say EXPORT_NO_FUSE.
 * Source: docs/spec/vhost-ublk-iouring.md part C. */
#ifndef ASH_EXPORT_FUSE_FUSE_H
#define ASH_EXPORT_FUSE_FUSE_H

#include "base/err.h"
#include "base/method.h"
#include "bdev/bdev.h"

struct fexp_server;
struct ash_engine;

#define FEXP_NAME_MAX 255

/* Version text of libfuse; NULL: built without it. */
const char *fexp_library(void);

/* The server of an engine, made at the first call; it goes with the engine (all mounts are then
 * unmounted by force, before pools are closed). -EOPNOTSUPP EXPORT_NO_FUSE, -ENOMEM. */
int fexp_server(struct ash_engine *engine, struct fexp_server **ret_srv, struct ash_err *err);

/* Show a device as file DIR/name; mounts DIR when it is not a mount of ours yet. dir: absolute.
 * name: NULL or "" means what follows the last '/' of bdev. A read-only device is shown read-only.
 * -EEXIST EXPORT_EXISTS, BAD_NAME, BAD_ARGUMENT, EXPORT_MOUNT, and those of bdev_open. */
int fexp_add(struct fexp_server *srv, const char *bdev, const char *dir, const char *name,
             bool readonly, struct ash_err *err) ASH_MAY_WAIT;
/* Requests in flight end first. Files that are open: -EBUSY EXPORT_BUSY unless force; whoever has
 * them open then gets errors. -ENOENT EXPORT_NOT_FOUND. */
int fexp_unmount(struct fexp_server *srv, const char *dir, bool force,
                 struct ash_err *err) ASH_MAY_WAIT;
/* Return when DIR is no mount of ours (any more), whoever has unmounted it. */
void fexp_wait_unmounted(struct fexp_server *srv, const char *dir) ASH_MAY_WAIT;

struct fexp_counters {
    uint64_t n_reads, read_bytes, n_writes, write_bytes, n_flushes, n_punches, punched_bytes,
        n_zeroes, zeroes_bytes, n_errors;
};

struct fexp_info {
    const char *dir;
    const char *name; /* of the file; NULL: the mount itself, comes before its files */
    const char *bdev;
    uint64_t size_bytes;
    bool read_only;
    uint32_t n_opens;
    struct fexp_counters counters;
};
/* fn must not wait nor change the server. */
void fexp_for_each(const struct fexp_server *srv, void (*fn)(const struct fexp_info *, void *),
                   void *arg);

/* fuse_mount, fuse_unmount, fuse_get_mounts. */
extern const struct ash_method fexp_methods[];

#endif
