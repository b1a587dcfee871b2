/* SPDX-License-Identifier: Apache-2.0 */
/* One engine: bdev manager, pools, NBD server, NVMe target, in one world. The daemon is a thin main
 * over it; the CLI runs the same engine in-process on a disk when no daemon owns it. */
#ifndef ASH_ENGINE_ENGINE_H
#define ASH_ENGINE_ENGINE_H

#include "bdev/bdev.h"
#include "export/part.h"
#include "pool/pool.h"

struct ash_engine;
struct nbd_server;
struct nvmf_server;

struct ash_engine_opts {
    bool no_auto_examine;
    bool
        pools_read_only; /* open pools without writing a byte; dirty ones are recovered in memory */
    bool restore_shares; /* volumes that are marked as shared are exported over NVMe/TCP again */
    bool wait_for_start; /* create an empty shell; ash_engine_start makes the rest */
};

/* Control reactor, in a task. opts may be NULL. */
int ash_engine_create(const struct ash_engine_opts *opts, struct ash_engine **ret_engine,
                      struct ash_err *err) ASH_MAY_WAIT;
/* Exports go first, then pools are closed cleanly, then devices. NULL is fine. */
void ash_engine_destroy(struct ash_engine *engine) ASH_MAY_WAIT;

/* Make the bdev manager, pools and servers of an engine that was created with wait_for_start
 * (before this they are NULL). */
int ash_engine_start(struct ash_engine *engine, struct ash_err *err) ASH_MAY_WAIT;
bool ash_engine_started(const struct ash_engine *engine);
/* Before the start only. */
void ash_engine_set_auto_examine(struct ash_engine *engine, bool on);
bool ash_engine_auto_examine(const struct ash_engine *engine);

struct pool_mgr *ash_engine_pools(struct ash_engine *engine);
/* NULL only before the start. */
struct nbd_server *ash_engine_nbd(struct ash_engine *engine);
struct nvmf_server *ash_engine_nvmf(struct ash_engine *engine);

#endif
