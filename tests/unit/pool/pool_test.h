/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of pools: an engine in a world, disks, patterns, the checker as judge. */
#ifndef ASH_TESTS_POOL_TEST_H
#define ASH_TESTS_POOL_TEST_H

#include "../bdev/bdev_test.h"
#include "pool/lvs/check.h"
#include "pool/pool.h"

/* ------------------------------------------------------------------ engine */

struct pt {
    struct rt *rt;
    struct bdev_mgr *mgr;
    struct pool_mgr *pools;
};

struct pt_case {
    struct rt *rt;
    int (*fn)(struct pt *t, void *arg);
    void *arg;
    bool read_only;
    bool keep_open; /* leave everything as it is: a power cut */
};

UNUSED static int pt_main(void *arg)
{
    struct pt_case *c = arg;
    struct pt t = {.rt = c->rt};
    struct ash_err err = {0};
    CHECK_INT(bdev_mgr_create(pool_bdev_modules, NULL, &t.mgr, &err), 0);
    CHECK_INT(pool_mgr_create(t.mgr, &t.pools, &err), 0);
    pool_mgr_set_read_only(t.pools, c->read_only);
    int rc = c->fn(&t, c->arg);
    if (!c->keep_open) {
        pool_mgr_destroy(t.pools);
        bdev_mgr_destroy(t.mgr);
    }
    return rc;
}

/* One engine's life in a simulated world with the disk at /d; returns what fn returns. */
UNUSED static int pt_run(struct rt_sim_disk *disk, uint64_t seed, bool read_only, bool keep_open,
                         int (*fn)(struct pt *t, void *arg), void *arg)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = seed;
    CHECK_INT(rt_create(&opts, &rt, NULL), 0);
    if (disk)
        CHECK_INT(rt_sim_attach(rt, "/d", disk), 0);
    struct pt_case c = {
        .rt = rt, .fn = fn, .arg = arg, .read_only = read_only, .keep_open = keep_open};
    int rc = rt_run_task(rt, "case", pt_main, &c);
    if (!keep_open)
        CHECK_INT(rt_sim_n_live(rt), 0);
    rt_sim_discard(rt);
    return rc;
}

/* The device over /d, examined. */
UNUSED static int pt_add_disk(struct pt *t, const char *uri, struct ash_err *err)
{
    char *name = NULL;
    int rc = bdev_create_uri(t->mgr, uri, &name, err);
    rt_free(name);
    bdev_wait_for_examine(t->mgr);
    return rc;
}

UNUSED static struct pool *pt_make_pool(struct pt *t, const char *bdev, const char *name,
                                        uint32_t cluster_bytes)
{
    struct pool *pool = NULL;
    struct ash_err err = {0};
    struct pool_create_opts opts = {.cluster_bytes = cluster_bytes};
    if (pool_create(t->pools, bdev, name, &opts, &pool, &err) != 0)
        fprintf(stderr, "# %s\n", err.text);
    CHECK(pool);
    return pool;
}

/* ---------------------------------------------------------------- patterns */

/* Write n bytes of value b at an offset of a device (by any of its names). */
UNUSED static int pt_fill(struct pt *t, const char *name, uint64_t offset, uint64_t n, uint8_t b)
{
    struct bdev_desc *desc;
    struct ash_err err = {0};
    int rc = bdev_open(t->mgr, name, BDEV_OPEN_WRITE, "test", NULL, NULL, &desc, &err);
    if (rc)
        return rc;
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint8_t *buf = rt_buf_get(n);
    memset(buf, b, n);
    rc = bdev_write(ch, buf, offset, n, 0);
    rt_buf_put(buf, n);
    bdev_channel_put(ch);
    bdev_close(desc);
    return rc;
}

UNUSED static int pt_op(struct pt *t, const char *name, enum bdev_io_type type, uint64_t offset,
                        uint64_t n)
{
    struct bdev_desc *desc;
    int rc = bdev_open(t->mgr, name, BDEV_OPEN_WRITE, "test", NULL, NULL, &desc, NULL);
    if (rc)
        return rc;
    struct bdev_channel *ch = bdev_channel_get(desc);
    rc = type == BDEV_UNMAP   ? bdev_unmap(ch, offset, n)
         : type == BDEV_FLUSH ? bdev_flush(ch)
                              : bdev_write_zeroes(ch, offset, n, 0);
    bdev_channel_put(ch);
    bdev_close(desc);
    return rc;
}

/* Whole content of a device: -errno, or its size with *ret_data on the heap. */
UNUSED static int64_t pt_read_all(struct pt *t, const char *name, uint8_t **ret_data)
{
    struct bdev_desc *desc;
    int rc = bdev_open(t->mgr, name, BDEV_OPEN_READ, "test", NULL, NULL, &desc, NULL);
    if (rc)
        return rc;
    uint64_t n = bdev_desc_bdev(desc)->size_bytes;
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint8_t *data = malloc(n + 1);
    CHECK(data);
    rt_want_huge(data, n + 1); /* some volumes are hundreds of megabytes of zeroes */
    for (uint64_t at = 0; at < n && rc == 0; at += 1 << 20)
        rc = bdev_read(ch, data + at, at, ASH_MIN(n - at, (uint64_t)1 << 20));
    bdev_channel_put(ch);
    bdev_close(desc);
    if (rc) {
        free(data);
        return rc;
    }
    *ret_data = data;
    return (int64_t)n;
}

/* All bytes of [offset, offset + n) are b. */
UNUSED static bool pt_holds(struct pt *t, const char *name, uint64_t offset, uint64_t n, uint8_t b)
{
    uint8_t *data = NULL;
    int64_t size = pt_read_all(t, name, &data);
    bool ok = size >= 0 && offset + n <= (uint64_t)size;
    for (uint64_t i = offset; ok && i < offset + n; i++) {
        if (data[i] != b) {
            fprintf(stderr, "# %s at %llu: 0x%02x, not 0x%02x\n", name, (unsigned long long)i,
                    data[i], b);
            ok = false;
        }
    }
    free(data);
    return ok;
}

/* ------------------------------------------------------------------- judge */

static int pt_dev_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    rt_sim_image_read(ctx, offset, buf, n_bytes);
    return 0;
}

UNUSED static int pt_check_image(const struct rt_sim_image *image, const uint64_t *expect_free,
                                 struct lvs_report *report)
{
    struct lvs_check_dev dev = {.read = pt_dev_read,
                                .size_bytes = rt_sim_image_size(image),
                                .block_bytes = 512,
                                .ctx = (void *)(uintptr_t)image};
    struct lvs_check_opts opts = {.expect_free = expect_free};
    return lvs_check(&dev, &opts, report);
}

/* The disk passes the checker; clean: and is marked so. */
UNUSED static bool pt_disk_is_sound(const struct rt_sim_disk *disk, bool clean)
{
    struct lvs_report report;
    bool ok = pt_check_image(rt_sim_disk_image(disk), NULL, &report) == 0 && report.readable &&
              lvs_report_is_clean(&report) && (!clean || report.clean);
    if (!ok) {
        struct ash_buf text = {0};
        lvs_report_text(&report, &text);
        fprintf(stderr, "# %s\n", ash_buf_text(&text));
        ash_buf_free(&text);
    }
    lvs_report_fini(&report);
    return ok;
}

#endif
