/* SPDX-License-Identifier: Apache-2.0 */
/* An engine in a program of one's own: a pool on a file, a volume in it, a block written, made
 * durable and read; run again, the block is there.
 *
 *   cc embed.c $(pkg-config --cflags --libs --static ashlar)
 *   ./a.out FILE */
#include <ashlar/ashlar.h>
#include <engine/engine.h>
#include <stdio.h>
#include <string.h>

static char block[4096] __attribute__((aligned(4096)));

static int use(struct ash_engine *engine, struct ash_err *err) ASH_MAY_WAIT
{
    struct pool_mgr *pools = ash_engine_pools(engine);
    struct volume_create_opts opts = {.thin = true};
    struct bdev_desc *desc;
    struct volume *vol = volume_find(pools, "tank/v");
    bool is_new = !vol;
    int rc = is_new ? volume_create(pool_find(pools, "tank"), "v", 64 << 20, &opts, &vol, err) : 0;
    if (rc == 0)
        rc = bdev_open(pool_mgr_bdevs(pools), "tank/v", BDEV_OPEN_READ | BDEV_OPEN_WRITE, "embed",
                       NULL, NULL, &desc, err);
    if (rc)
        return rc;
    struct bdev_channel *ch = bdev_channel_get(desc);
    if (!ch)
        rc = -1;
    if (rc == 0 && is_new) {
        strcpy(block, "written before");
        rc = bdev_write(ch, block, 0, sizeof(block), 0);
        if (rc == 0)
            rc = bdev_flush(ch);
    }
    memset(block, 0, sizeof(block));
    if (rc == 0)
        rc = bdev_read(ch, block, 0, sizeof(block));
    if (ch)
        bdev_channel_put(ch);
    bdev_close(desc);
    if (rc == 0)
        printf("%s: %s\n", is_new ? "new" : "found", block);
    return rc;
}

static int run(void *arg) ASH_MAY_WAIT
{
    const char *path = arg;
    struct ash_engine *engine;
    struct ash_err err = {0};
    struct pool *pool;
    char uri[4096];
    char *name = NULL;
    int rc = ash_engine_create(NULL, &engine, &err);
    if (rc) {
        fprintf(stderr, "%s\n", err.text);
        return rc;
    }
    struct bdev_mgr *bdevs = pool_mgr_bdevs(ash_engine_pools(engine));
    snprintf(uri, sizeof(uri), "aio://%s", path);
    rc = bdev_create_uri(bdevs, uri, &name, &err);
    bdev_wait_for_examine(bdevs); /* a pool that is there is opened by itself */
    if (rc == 0 && !pool_find(ash_engine_pools(engine), "tank"))
        rc = pool_create(ash_engine_pools(engine), name, "tank", NULL, &pool, &err);
    if (rc == 0)
        rc = use(engine, &err);
    if (rc)
        fprintf(stderr, "%s\n", err.text);
    rt_free(name);
    ash_engine_destroy(engine);
    return rc;
}

int main(int argc, char **argv)
{
    struct rt_opts opts;
    struct rt *rt;
    struct ash_err err = {0};
    if (argc != 2)
        return 2;
    rt_opts_init(&opts);
    opts.n_reactors = 1;
    if (rt_create(&opts, &rt, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int rc = rt_run_task(rt, "embed", run, argv[1]);
    rt_destroy(rt);
    printf("Ashlar %s: %s\n", ashlar_version(), rc ? "failed" : "ok");
    return rc != 0;
}
