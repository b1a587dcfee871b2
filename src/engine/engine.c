/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: puts the managers together and takes them apart in the right order.
 *
 * Invariants
 *  - bdevs, pools, nbd and nvmf are all there or all absent; they are absent only before
 * ash_engine_start.
 *  - Taking apart goes from the top down: parts of control faces, exports, pools, devices. A layer
 *    is gone before what it stands on goes. */
#include "engine/engine.h"

#include <string.h>

#include "ashlar/ashlar.h"
#include "base/assert.h"
#include "export/nbd/nbd.h"
#include "export/nvmf/nvmf.h"

struct ash_engine {
    struct ash_engine_opts opts;
    struct bdev_mgr *bdevs;
    struct pool_mgr *pools;
    struct nbd_server *nbd;
    struct nvmf_server *nvmf;
    struct ash_list parts;
};

const char *ashlar_version(void)
{
    return ASHLAR_VERSION;
}

int ash_engine_create(const struct ash_engine_opts *opts, struct ash_engine **ret_engine,
                      struct ash_err *err)
{
    struct ash_engine *engine = rt_alloc(sizeof(*engine));
    if (!engine)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the engine");
    if (opts)
        engine->opts = *opts;
    ash_list_init(&engine->parts);
    int rc = engine->opts.wait_for_start ? 0 : ash_engine_start(engine, err);
    if (rc) {
        rt_free(engine);
        return rc;
    }
    *ret_engine = engine;
    return 0;
}

int ash_engine_start(struct ash_engine *engine, struct ash_err *err)
{
    ASH_ASSERT(!engine->bdevs && !engine->pools);
    struct bdev_mgr_opts opts = {.no_auto_examine = engine->opts.no_auto_examine};
    struct bdev_mgr *bdevs;
    int rc = bdev_mgr_create(pool_bdev_modules, &opts, &bdevs, err);
    if (rc)
        return ash_err_while(err, rc, "setting up block devices");
    struct pool_mgr *pools;
    rc = pool_mgr_create(bdevs, &pools, err);
    if (rc) {
        bdev_mgr_destroy(bdevs);
        return ash_err_while(err, rc, "setting up pools");
    }
    bdev_mgr_set_pools(bdevs, pools);
    if (engine->opts.pools_read_only)
        pool_mgr_set_read_only(pools, true);
    struct nbd_server *nbd;
    rc = nbd_server_create(bdevs, &nbd, err);
    if (rc) {
        pool_mgr_destroy(pools);
        bdev_mgr_destroy(bdevs);
        return ash_err_while(err, rc, "setting up the NBD server");
    }
    struct nvmf_server *nvmf;
    rc = nvmf_server_create(bdevs, pools, &nvmf, err);
    if (rc) {
        nbd_server_destroy(nbd);
        pool_mgr_destroy(pools);
        bdev_mgr_destroy(bdevs);
        return ash_err_while(err, rc, "setting up the NVMe target");
    }
    if (engine->opts.restore_shares)
        nvmf_restore_shares(nvmf);
    engine->bdevs = bdevs;
    engine->pools = pools;
    engine->nbd = nbd;
    engine->nvmf = nvmf;
    return 0;
}

bool ash_engine_started(const struct ash_engine *engine)
{
    return engine->bdevs != NULL;
}

void ash_engine_set_auto_examine(struct ash_engine *engine, bool on)
{
    ASH_ASSERT(!engine->bdevs);
    engine->opts.no_auto_examine = !on;
}

bool ash_engine_auto_examine(const struct ash_engine *engine)
{
    return !engine->opts.no_auto_examine;
}

void ash_engine_destroy(struct ash_engine *engine)
{
    if (!engine)
        return;
    while (!ash_list_empty(&engine->parts)) {
        struct ash_engine_part *part =
            ash_list_entry(engine->parts.prev, struct ash_engine_part, link);
        ash_list_remove(&part->link);
        part->destroy(part);
    }
    if (engine->bdevs) {
        nvmf_server_destroy(engine->nvmf);
        nbd_server_destroy(engine->nbd);
        pool_mgr_destroy(engine->pools);
        bdev_mgr_destroy(engine->bdevs);
    }
    rt_free(engine);
}

struct bdev_mgr *ash_engine_bdevs(struct ash_engine *engine)
{
    return engine->bdevs;
}

struct pool_mgr *ash_engine_pools(struct ash_engine *engine)
{
    return engine->pools;
}

struct nbd_server *ash_engine_nbd(struct ash_engine *engine)
{
    return engine->nbd;
}

struct nvmf_server *ash_engine_nvmf(struct ash_engine *engine)
{
    return engine->nvmf;
}

void ash_engine_attach(struct ash_engine *engine, struct ash_engine_part *part)
{
    ASH_ASSERT(!ash_engine_part(engine, part->key));
    ash_list_push_tail(&engine->parts, &part->link);
}

struct ash_engine_part *ash_engine_part(struct ash_engine *engine, const char *key)
{
    ash_list_for_each (pos, &engine->parts) {
        struct ash_engine_part *part = ash_list_entry(pos, struct ash_engine_part, link);
        if (strcmp(part->key, key) == 0)
            return part;
    }
    return NULL;
}
