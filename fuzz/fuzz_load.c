/* SPDX-License-Identifier: Apache-2.0 */
/* A whole engine over arbitrary disks, in a simulated world: the pool is opened, its volumes are
 * read (and, if the options say so, written, cut, snapshotted and deleted), then closed.
 *  - Whatever the bytes are: no crash, nothing is left behind.
 *  - Read-only changes no byte of the disk.
 *  - A store that the engine has closed as clean holds no more errors than the checker had found
 *    before.
 * The input is described in fuzz_disk.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "engine/engine.h"
#include "fuzz_disk.h"
#include "pool/lvs/check.h"
#include "rt/rt_sim.h"

enum {
    READ_ONLY = 4,
    CHANGE = 8,
};

struct run {
    uint8_t options;
    bool loaded;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int image_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    rt_sim_image_read(ctx, offset, buf, n_bytes);
    return 0;
}

/* Errors that the checker sees; *ret_clean: the store says of itself that it is closed. */
static uint64_t n_errors(const struct rt_sim_disk *disk, bool *ret_clean, struct ash_buf *text)
{
    const struct rt_sim_image *image = rt_sim_disk_image(disk);
    struct lvs_check_dev dev = {.read = image_read,
                                .size_bytes = rt_sim_image_size(image),
                                .block_bytes = 512,
                                .ctx = (void *)(uintptr_t)image};
    struct lvs_report report;
    ASH_ASSERT(lvs_check(&dev, NULL, &report) == 0);
    uint64_t n = report.n_by_severity[LVS_SEV_ERROR];
    *ret_clean = report.readable && report.clean;
    lvs_report_text(&report, text);
    lvs_report_fini(&report);
    return n;
}

static void touch(struct bdev_mgr *mgr, const char *name, bool change)
{
    struct bdev_desc *desc;
    if (bdev_open(mgr, name, change ? BDEV_OPEN_WRITE : BDEV_OPEN_READ, "fuzz", NULL, NULL, &desc,
                  NULL))
        return;
    uint64_t size = bdev_desc_bdev(desc)->size_bytes, n = ASH_MIN(size, (uint64_t)65536);
    struct bdev_channel *ch = bdev_channel_get(desc);
    void *buf = rt_buf_get(65536);
    ASH_ASSERT(ch && buf);
    if (n) {
        bdev_read(ch, buf, 0, n);
        bdev_read(ch, buf, (size - n) & ~UINT64_C(4095), ASH_MIN(n, (uint64_t)512));
    }
    if (n && change) {
        memset(buf, 0x5a, n);
        bdev_write(ch, buf, 0, ASH_MIN(n, (uint64_t)4096), 0);
        bdev_unmap(ch, 0, size);
        bdev_write(ch, buf, size - ASH_MIN(n, (uint64_t)512), ASH_MIN(n, (uint64_t)512), 0);
        bdev_flush(ch);
    }
    rt_buf_put(buf, 65536);
    bdev_channel_put(ch);
    bdev_close(desc);
}

static void change_volumes(struct pool *pool)
{
    struct volume *v = volume_next(pool, NULL), *made;
    if (v && volume_snapshot(v, "fuzz-snapshot", NULL, &made, NULL) == 0)
        volume_clone(made, "fuzz-clone", NULL, &made, NULL);
    volume_create(pool, "fuzz-volume", 1 << 20, NULL, &made, NULL);
    v = volume_next(pool, NULL);
    if (v)
        volume_resize(v, 3 << 20, NULL);
    v = volume_next(pool, NULL);
    if (v && (v = volume_next(pool, v)))
        volume_delete(v, NULL);
}

static int body(void *arg)
{
    struct run *run = arg;
    struct ash_engine_opts opts = {.pools_read_only = run->options & READ_ONLY};
    struct ash_engine *engine;
    struct ash_err err = {0};
    char *name = NULL;
    bool change = (run->options & CHANGE) && !(run->options & READ_ONLY);
    ASH_ASSERT(ash_engine_create(&opts, &engine, NULL) == 0);
    struct bdev_mgr *mgr = ash_engine_bdevs(engine);
    ASH_ASSERT(bdev_create_uri(mgr, "aio:///d?blk_size=512", &name, &err) == 0);
    rt_free(name);
    bdev_wait_for_examine(mgr);
    struct pool *pool = pool_next(ash_engine_pools(engine), NULL);
    run->loaded = pool != NULL;
    char names[8][256];
    size_t n = 0;
    for (struct volume *v = NULL; pool && n < 8 && (v = volume_next(pool, v));) {
        struct volume_info info;
        volume_get_info(v, &info);
        if (info.bdev)
            snprintf(names[n++], sizeof(names[0]), "%s", info.bdev);
    }
    for (size_t i = 0; i < n; i++)
        touch(mgr, names[i], change);
    if (pool && change)
        change_volumes(pool);
    ash_engine_destroy(engine);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes < 1)
        return 0;
    struct run run = {.options = data[0]};
    struct rt_sim_disk *disk = rt_sim_disk_new(DEVICE_BYTES, 512);
    uint8_t *bytes = calloc(1, KEPT_BYTES);
    struct ash_buf before = {0}, after = {0};
    struct rt_opts opts;
    struct rt *rt;
    bool clean;
    ASH_ASSERT(disk && bytes);
    fuzz_unfold(bytes, data + 1, n_bytes - 1, data[0]);
    for (size_t at = 0; at < KEPT_BYTES; at += 4096) {
        static const uint8_t zeroes[4096];
        if (memcmp(bytes + at, zeroes, 4096) != 0)
            ASH_ASSERT(rt_sim_disk_poke(disk, at, bytes + at, 4096) == 0);
    }
    free(bytes);
    struct rt_sim_image *old = rt_sim_image_clone(rt_sim_disk_image(disk));
    uint64_t n_before = n_errors(disk, &clean, &before);
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_sim_attach(rt, "/d", disk) == 0);
    rt_run_task(rt, "fuzz", body, &run);
    ASH_ASSERT(rt_sim_n_live(rt) == 0);
    rt_destroy(rt);
    uint64_t n_after = n_errors(disk, &clean, &after);
    bool same = rt_sim_image_differs(old, rt_sim_disk_image(disk)) == UINT64_MAX;
    if (((run.options & READ_ONLY) || !run.loaded) && !same) {
        fprintf(stderr, "a disk that was not opened for writing has changed\n");
        abort();
    }
    if (run.loaded && clean && n_after > n_before) {
        fprintf(stderr, "before:\n%s\nafter:\n%s\n", ash_buf_text(&before), ash_buf_text(&after));
        abort();
    }
    ash_buf_free(&before);
    ash_buf_free(&after);
    rt_sim_image_free(old);
    rt_sim_disk_put(disk);
    return 0;
}
