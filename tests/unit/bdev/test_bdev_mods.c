/* SPDX-License-Identifier: Apache-2.0 */
/* The device modules, each on its own. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bdev/inject.h"
#include "bdev/mod/log.h"
#include "bdev_test.h"

static char folder[64];

/* --------------------------------------------------------------- files */

enum { DISK_BYTES = 1 << 20 };

/* "f" is 1 MiB of zeroes, in the folder or in the simulator. */
static const char *file_path(void)
{
    static _Thread_local char path[100];
    snprintf(path, sizeof(path), "%s/f", folder);
    return path;
}

static void make_file(struct rt *rt)
{
    if (strcmp(rt_backend_name(rt), "sim") == 0) {
        assert_non_null(rt_sim_disk_create(rt, file_path(), DISK_BYTES, 512));
        return;
    }
    int fd = open(file_path(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
    close(fd);
}

static void resize_file(uint64_t n)
{
    struct rt_sim_disk *disk = NULL;
    if (strcmp(rt_backend_name(rt_world()), "sim") == 0)
        disk = rt_sim_disk_find(rt_world(), file_path());
    if (disk)
        rt_sim_disk_resize(disk, n);
    else
        CHECK_INT(truncate(file_path(), (off_t)n), 0);
}

static void file_io(struct bdev_mgr *mgr, const char *name)
{
    struct bdev_desc *d = open_rw(mgr, name);
    struct bdev_channel *ch = bdev_channel_get(d);
    struct bdev *bdev = bdev_desc_bdev(d);
    uint8_t *a = rt_buf_get(65536), *b = rt_buf_get(65536 + 512);
    fill(a, 65536, 4);
    CHECK(bdev->volatile_cache);
    CHECK_INT(bdev_write(ch, a, 8192, 65536, 0), 0);
    CHECK_INT(bdev_flush(ch), 0);
    CHECK_INT(bdev_read(ch, b, 8192, 65536), 0);
    CHECK(memcmp(a, b, 65536) == 0);
    /* memory that direct I/O would not take, both ways */
    CHECK_INT(bdev_write(ch, a + 3, 0, 4096, BDEV_FUA), 0);
    CHECK_INT(bdev_read(ch, b + 1, 0, 4096), 0);
    CHECK(memcmp(a + 3, b + 1, 4096) == 0);
    /* in pieces */
    struct iovec iov[3] = {{b, 100}, {b + 100, 412}, {b + 512, 3584}};
    struct rt_event ev = RT_EVENT_INIT;
    struct bdev_io *io = bdev_io_get(ch);
    io->type = BDEV_READ;
    io->offset = 8192;
    io->length = 4096;
    io->iov = iov;
    io->n_iov = 3;
    io->done = io_wake;
    io->user = &ev;
    bdev_submit(io);
    CHECK_INT(rt_event_wait(&ev), 0);
    bdev_io_put(io);
    CHECK(memcmp(a, b, 4096) == 0);
    /* several flushes at once */
    struct bdev_io *f[8];
    struct rt_event fev[8];
    for (int i = 0; i < 8; i++) {
        f[i] = bdev_io_get(ch);
        fev[i] = RT_EVENT_INIT;
        f[i]->type = BDEV_FLUSH;
        f[i]->done = io_wake;
        f[i]->user = &fev[i];
        bdev_submit(f[i]);
    }
    for (int i = 0; i < 8; i++) {
        CHECK_INT(rt_event_wait(&fev[i]), 0);
        bdev_io_put(f[i]);
    }
    /* zeroes and holes */
    memset(b, 0xff, 8192);
    CHECK_INT(bdev_write_zeroes(ch, 8192, 4096, BDEV_FUA), 0);
    CHECK_INT(bdev_write_zeroes(ch, 8192 + 4096, 4096, BDEV_NO_HOLE), 0);
    CHECK_INT(bdev_read(ch, b, 8192, 8192), 0);
    for (int i = 0; i < 8192; i++)
        CHECK(b[i] == 0);
    if (bdev_supports(bdev, BDEV_UNMAP)) {
        CHECK(bdev->unmap_zeroes);
        CHECK_INT(bdev_unmap(ch, 16384, 16384), 0);
        CHECK_INT(bdev_read(ch, b, 16384, 16384), 0);
        for (int i = 0; i < 16384; i++)
            CHECK(b[i] == 0);
        struct bdev_area area;
        bdev_area(ch, 16384, 16384, &area);
        CHECK(area.flags & BDEV_AREA_HOLE && area.flags & BDEV_AREA_ZERO && area.length == 16384);
        bdev_area(ch, 32768, 4096, &area);
        CHECK(area.flags == 0 && area.depth == 1);
        uint64_t at;
        CHECK_INT(do_io(ch, BDEV_SEEK_DATA, 0, 16384, 0, NULL, NULL, &at), 0);
        CHECK_INT(at, 32768);
        CHECK_INT(do_io(ch, BDEV_SEEK_HOLE, 0, 32768, 0, NULL, NULL, &at), 0);
        CHECK_INT(at, 8192 + 65536);
    }
    CHECK_INT(do_io(ch, BDEV_RESET, 0, 0, 0, NULL, NULL, NULL), 0);
    rt_buf_put(a, 65536);
    rt_buf_put(b, 65536 + 512);
    bdev_channel_put(ch);
    bdev_close(d);
}

static void file_case(struct bdev_mgr *mgr, const char *kind)
{
    char json[300], method[40];
    struct ash_buf out = {0};
    struct ash_err err = {0};
    snprintf(json, sizeof(json), "{\"name\":\"disk\",\"filename\":\"%s\",\"block_size\":512}",
             file_path());
    snprintf(method, sizeof(method), "bdev_%s_create", kind);
    CHECK_INT(call(mgr, method, json, &out, NULL), 0);
    CHECK_STR(ash_buf_text(&out), "\"disk\"");
    file_io(mgr, "disk");
    /* one file, one disk */
    snprintf(json, sizeof(json), "{\"name\":\"two\",\"filename\":\"%s\",\"block_size\":512}",
             file_path());
    CHECK_INT(call(mgr, method, json, NULL, &err), -EBUSY);
    CHECK_INT(err.reason, ASH_E_RT_FILE_BUSY);
    ash_err_clear(&err);
    CHECK_INT(call(mgr, method, "{\"name\":\"disk\",\"filename\":\"/x\"}", NULL, &err), -EEXIST);
    CHECK_INT(call(mgr, method, "{\"name\":\"d2\",\"filename\":\"/does/not/exist\"}", NULL, NULL),
              -ENOENT);
    CHECK_INT(call(mgr, method, "{\"name\":\"d2\"}", NULL, NULL), -EINVAL);
    /* what it tells about itself */
    ash_buf_reset(&out);
    struct ash_jsonw w;
    ash_jsonw_init(&w, &out);
    bdev_dump(bdev_find(mgr, "disk"), &w);
    struct json_object *obj = json_tokener_parse(ash_buf_text(&out)), *spec, *kindobj, *v;
    CHECK(json_object_object_get_ex(obj, "driver_specific", &spec) &&
          json_object_object_get_ex(spec, kind, &kindobj) &&
          json_object_object_get_ex(kindobj, "filename", &v));
    CHECK_STR(json_object_get_string(v), file_path());
    json_object_put(obj);
    /* grow, shrink while open, shrink, vanish */
    char rescan[40], del[40];
    snprintf(rescan, sizeof(rescan), "bdev_%s_rescan", kind);
    snprintf(del, sizeof(del), "bdev_%s_delete", kind);
    resize_file(DISK_BYTES * 2 + 100);
    CHECK_INT(call(mgr, rescan, "{\"name\":\"disk\"}", NULL, NULL), 0);
    CHECK_INT(bdev_find(mgr, "disk")->size_bytes, DISK_BYTES * 2);
    struct bdev_desc *d = open_rw(mgr, "disk");
    struct bdev_channel *ch = bdev_channel_get(d);
    resize_file(DISK_BYTES / 2);
    CHECK_INT(call(mgr, rescan, "{\"name\":\"disk\"}", NULL, NULL), -EBUSY);
    char buf[512];
    CHECK_INT(bdev_read(ch, buf, 0, 512), 0);
    CHECK_INT(bdev_read(ch, buf, DISK_BYTES, 512), -EIO); /* it is not there any more */
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_INT(call(mgr, rescan, "{\"name\":\"disk\"}", NULL, NULL), 0);
    CHECK_INT(bdev_find(mgr, "disk")->size_bytes, DISK_BYTES / 2);
    CHECK_INT(call(mgr, rescan, "{\"name\":\"absent\"}", NULL, NULL), -ENODEV);
    resize_file(0);
    CHECK_INT(call(mgr, rescan, "{\"name\":\"disk\"}", NULL, NULL), 0);
    CHECK(!bdev_find(mgr, "disk"));
    CHECK_INT(call(mgr, del, "{\"name\":\"disk\"}", NULL, NULL), -ENODEV);
    /* geometry */
    static const struct {
        unsigned bytes, block;
        int rc;
    } table[] = {
        {0, 512, -EINVAL},     {1000, 512, -EINVAL}, {4096, 256, -EINVAL}, {4096, 1000, -EINVAL},
        {4096, 8192, -EINVAL}, {8192, 4096, 0},      {5120, 0, 0},         {5120, 512, 0},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(table); i++) {
        resize_file(table[i].bytes);
        snprintf(json, sizeof(json), "{\"name\":\"g\",\"filename\":\"%s\",\"block_size\":%u}",
                 file_path(), table[i].block);
        CHECK_INT(call(mgr, method, json, NULL, NULL), table[i].rc);
        if (table[i].rc)
            continue;
        CHECK_INT(bdev_find(mgr, "g")->block_bytes, table[i].block ? table[i].block : 512);
        CHECK_INT(call(mgr, del, "{\"name\":\"g\"}", NULL, NULL), 0);
    }
    resize_file(DISK_BYTES);
    ash_buf_free(&out);
}

static void aio_case(struct bdev_mgr *mgr)
{
    file_case(mgr, "aio");
    char json[300];
    /* read-only, and without holes */
    snprintf(json, sizeof(json), "{\"name\":\"r\",\"filename\":\"%s\",\"readonly\":true}",
             file_path());
    CHECK_INT(call(mgr, "bdev_aio_create", json, NULL, NULL), 0);
    struct bdev_desc *d;
    CHECK_INT(bdev_open(mgr, "r", BDEV_OPEN_WRITE, "", NULL, NULL, &d, NULL), -EROFS);
    CHECK(!bdev_supports(bdev_find(mgr, "r"), BDEV_WRITE));
    CHECK_INT(call(mgr, "bdev_uring_delete", "{\"name\":\"r\"}", NULL, NULL), -ENODEV);
    CHECK_INT(call(mgr, "bdev_aio_delete", "{\"name\":\"r\"}", NULL, NULL), 0);
    snprintf(json, sizeof(json), "{\"name\":\"r\",\"filename\":\"%s\",\"fallocate\":false}",
             file_path());
    CHECK_INT(call(mgr, "bdev_aio_create", json, NULL, NULL), 0);
    CHECK(!bdev_supports(bdev_find(mgr, "r"), BDEV_UNMAP));
    CHECK(!bdev_supports(bdev_find(mgr, "r"), BDEV_WRITE_ZEROES));
}

static void uring_case(struct bdev_mgr *mgr)
{
    file_case(mgr, "uring");
}

static void files(void **state)
{
    static const enum rt_backend backends[] = {RT_BACKEND_SIM, RT_BACKEND_EPOLL, RT_BACKEND_URING};
    for (size_t i = 0; i < ASH_N_ELEMS(backends); i++) {
        run_in(backends[i], 1, make_file, aio_case);
        run_in(backends[i], 2, make_file, uring_case);
    }
}

/* ------------------------------------------------------- malloc and null */

/* The first MiB is memory, the rest is not; an io across the border is both. */
static void null_that_keeps(struct bdev_mgr *mgr) ASH_MAY_WAIT
{
    CHECK_INT(call(mgr, "bdev_null_create",
                   "{\"name\":\"k\",\"num_blocks\":4096,\"block_size\":512,\"keep_mb\":1}", NULL,
                   NULL),
              0);
    struct bdev_desc *d = open_rw(mgr, "k");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[2048], got[2048];
    memset(buf, 7, sizeof(buf));
    CHECK_INT(bdev_write(ch, buf, (1 << 20) - 1024, 2048, 0), 0);
    CHECK_INT(bdev_read(ch, got, (1 << 20) - 1024, 2048), 0);
    CHECK(memcmp(got, buf, 1024) == 0 && got[1024] == 0 && got[2047] == 0);
    CHECK_INT(bdev_write_zeroes(ch, (1 << 20) - 512, 1024, 0), 0);
    CHECK_INT(bdev_read(ch, got, (1 << 20) - 1024, 1024), 0);
    CHECK(memcmp(got, buf, 512) == 0 && got[512] == 0 && got[1023] == 0);
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_INT(call(mgr, "bdev_null_delete", "{\"name\":\"k\"}", NULL, NULL), 0);
}

static void ram_case(struct bdev_mgr *mgr)
{
    struct ash_buf out = {0};
    /* docs/spec/spdk-jsonrpc.md 6: names by themselves */
    CHECK_INT(call(mgr, "bdev_malloc_create", "{\"num_blocks\":32,\"block_size\":512}", &out, NULL),
              0);
    CHECK_INT(
        call(mgr, "bdev_malloc_create", "{\"num_blocks\":32,\"block_size\":4096}", &out, NULL), 0);
    CHECK_STR(ash_buf_text(&out), "\"Malloc0\"\"Malloc1\"");
    static const struct {
        const char *json;
        int rc;
    } bad[] = {
        {"{\"name\":\"x\",\"num_blocks\":0,\"block_size\":512}", -EINVAL},
        {"{\"name\":\"x\",\"num_blocks\":8,\"block_size\":0}", -EINVAL},
        {"{\"name\":\"x\",\"num_blocks\":8,\"block_size\":513}", -EINVAL},
        {"{\"name\":\"x\",\"num_blocks\":8,\"block_size\":512,\"physical_block_size\":100}",
         -EINVAL},
        {"{\"name\":\"x\",\"num_blocks\":8,\"block_size\":512,\"md_size\":8}", -EINVAL},
        {"{\"name\":\"x\",\"num_blocks\":18446744073709551615,\"block_size\":512}", -ENOMEM},
        {"{\"name\":\"x\",\"num_blocks\":8}", -EINVAL},
        {"{\"name\":\"x\",\"num_blocks\":8,\"block_size\":512,\"foo\":1}", -EINVAL},
        {"{\"name\":\"Malloc0\",\"num_blocks\":8,\"block_size\":512}", -EEXIST},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++)
        CHECK_INT(call(mgr, "bdev_malloc_create", bad[i].json, NULL, NULL), bad[i].rc);
    CHECK_INT(call(mgr, "bdev_malloc_create",
                   "{\"name\":\"u\",\"num_blocks\":8,\"block_size\":512,"
                   "\"uuid\":\"11111111-2222-4333-8444-555555555555\",\"optimal_io_boundary\":4}",
                   NULL, NULL),
              0);
    struct bdev *u = bdev_find(mgr, "11111111-2222-4333-8444-555555555555");
    CHECK(u == bdev_find(mgr, "u") && u->boundary_bytes == 2048);
    CHECK_INT(call(mgr, "bdev_malloc_create",
                   "{\"name\":\"v\",\"num_blocks\":8,\"block_size\":512,"
                   "\"uuid\":\"11111111-2222-4333-8444-555555555555\"}",
                   NULL, NULL),
              -EEXIST);
    CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"nope\"}", NULL, NULL), -ENODEV);
    /* the whole of an element of bdev_get_bdevs (5.1) */
    ash_buf_reset(&out);
    struct ash_jsonw w;
    ash_jsonw_init(&w, &out);
    bdev_dump(u, &w);
    CHECK_STR(ash_buf_text(&out),
              "{\"name\":\"u\",\"aliases\":[\"11111111-2222-4333-8444-555555555555\"],"
              "\"product_name\":\"Malloc disk\",\"block_size\":512,\"num_blocks\":8,"
              "\"preferred_write_alignment\":0,\"preferred_write_granularity\":0,"
              "\"optimal_write_size\":0,\"preferred_unmap_alignment\":0,"
              "\"preferred_unmap_granularity\":0,"
              "\"uuid\":\"11111111-2222-4333-8444-555555555555\",\"numa_id\":-1,"
              "\"assigned_rate_limits\":{\"rw_ios_per_sec\":0,\"rw_mbytes_per_sec\":0,"
              "\"r_mbytes_per_sec\":0,\"w_mbytes_per_sec\":0},\"claimed\":false,\"zoned\":false,"
              "\"supported_io_types\":{\"read\":true,\"write\":true,\"unmap\":true,\"flush\":true,"
              "\"reset\":true,\"nvme_admin\":false,\"nvme_io\":false,\"nvme_io_md\":false,"
              "\"write_zeroes\":true,\"zcopy\":false,\"get_zone_info\":false,"
              "\"zone_management\":false,\"zone_append\":false,\"compare\":true,"
              "\"compare_and_write\":false,\"abort\":true,\"seek_hole\":false,\"seek_data\":false,"
              "\"copy\":true,\"nvme_iov_md\":false,\"nvme_nssr\":false,"
              "\"write_uncorrectable\":false},\"driver_specific\":{}}");
    ash_buf_reset(&out);
    ash_jsonw_init(&w, &out);
    u->ops->dump_config(u, &w);
    CHECK_STR(ash_buf_text(&out),
              "{\"method\":\"bdev_malloc_create\",\"params\":{\"name\":\"u\",\"num_blocks\":8,"
              "\"block_size\":512,\"physical_block_size\":512,\"optimal_io_boundary\":4,"
              "\"uuid\":\"11111111-2222-4333-8444-555555555555\"}}");
    /* null */
    CHECK_INT(call(mgr, "bdev_null_create",
                   "{\"name\":\"n\",\"num_blocks\":2048,"
                   "\"block_size\":512,\"preferred_write_alignment\":8}",
                   NULL, NULL),
              0);
    struct bdev *n = bdev_find(mgr, "n");
    CHECK(n->prefer_write_align == 8 && !bdev_supports(n, BDEV_UNMAP) &&
          !bdev_supports(n, BDEV_FLUSH));
    struct bdev_desc *d = open_rw(mgr, "n");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[512];
    memset(buf, 7, sizeof(buf));
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0);
    CHECK_INT(bdev_read(ch, buf, 0, 512), 0);
    CHECK(buf[0] == 0 && buf[511] == 0); /* nobody's old data */
    bdev_channel_put(ch);
    bdev_close(d);
    null_that_keeps(mgr);
    CHECK_INT(call(mgr, "bdev_null_create", "{\"name\":\"m\",\"num_blocks\":8,\"block_size\":0}",
                   NULL, NULL),
              -EINVAL);
    CHECK_INT(call(mgr, "bdev_null_resize", "{\"name\":\"n\",\"new_size\":0}", NULL, NULL),
              -EINVAL);
    CHECK_INT(call(mgr, "bdev_null_resize", "{\"name\":\"n\",\"new_size\":3}", NULL, NULL), 0);
    CHECK_INT(n->size_bytes, 3 << 20);
    CHECK_INT(call(mgr, "bdev_null_resize", "{\"name\":\"u\",\"new_size\":3}", NULL, NULL),
              -ENODEV);
    CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"n\"}", NULL, NULL), -ENODEV);
    CHECK_INT(call(mgr, "bdev_null_delete", "{\"name\":\"n\"}", NULL, NULL), 0);
    ash_buf_free(&out);
}

static void ram(void **state)
{
    run_sim(1, ram_case);
}

/* ------------------------------------------------- devices on other devices */

/* The simulator's clock also counts a little for each step. */
static bool is_about(uint64_t ns, uint64_t want)
{
    return ns >= want && ns < want + 20000;
}

static void delay_case(struct bdev_mgr *mgr)
{
    static const char make[] =
        "{\"name\":\"d\",\"base_bdev_name\":\"m\",\"avg_read_latency\":100,"
        "\"p99_read_latency\":100,\"avg_write_latency\":1000,\"p99_write_latency\":5000}";
    struct ash_buf out = {0};
    /* the base may come later */
    CHECK_INT(call(mgr, "bdev_delay_create", make, &out, NULL), 0);
    CHECK_STR(ash_buf_text(&out), "\"d\"");
    CHECK(!bdev_find(mgr, "d"));
    CHECK_INT(call(mgr, "bdev_delay_create", make, NULL, NULL), -EEXIST);
    make_malloc(mgr, "m", 64, 512);
    bdev_wait_for_examine(mgr);
    CHECK(bdev_find(mgr, "d"));
    const char *by;
    CHECK_INT(bdev_claimed(bdev_find(mgr, "m"), &by), BDEV_CLAIM_EXCL_WRITE);
    CHECK_STR(by, "delay");
    struct bdev_desc *d = open_rw(mgr, "d");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[512] = {0};
    unsigned n_slow = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t t0 = rt_now_ns();
        CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0);
        uint64_t ns = rt_now_ns() - t0;
        CHECK(is_about(ns, 1000000) || is_about(ns, 5000000));
        n_slow += ns >= 5000000;
    }
    CHECK(n_slow > 0 && n_slow < 40); /* one in a hundred */
    uint64_t t0 = rt_now_ns();
    CHECK_INT(bdev_read(ch, buf, 0, 512), 0);
    CHECK(is_about(rt_now_ns() - t0, 100000));
    t0 = rt_now_ns();
    CHECK_INT(bdev_flush(ch), 0);
    CHECK_INT(bdev_unmap(ch, 0, 512), 0);
    CHECK(is_about(rt_now_ns() - t0, 0)); /* only reads and writes wait */
    static const struct {
        const char *json;
        int rc;
    } updates[] = {
        {"{\"delay_bdev_name\":\"d\",\"latency_type\":\"avg_read\",\"latency_us\":101}", -EINVAL},
        {"{\"delay_bdev_name\":\"d\",\"latency_type\":\"p99_read\",\"latency_us\":300}", 0},
        {"{\"delay_bdev_name\":\"d\",\"latency_type\":\"avg_read\",\"latency_us\":300}", 0},
        {"{\"delay_bdev_name\":\"d\",\"latency_type\":\"worst\",\"latency_us\":300}", -EINVAL},
        {"{\"delay_bdev_name\":\"m\",\"latency_type\":\"avg_read\",\"latency_us\":300}", -EINVAL},
        {"{\"delay_bdev_name\":\"no\",\"latency_type\":\"avg_read\",\"latency_us\":300}", -ENODEV},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(updates); i++)
        CHECK_INT(call(mgr, "bdev_delay_update_latency", updates[i].json, NULL, NULL),
                  updates[i].rc);
    t0 = rt_now_ns();
    CHECK_INT(bdev_read(ch, buf, 0, 512), 0);
    CHECK(is_about(rt_now_ns() - t0, 300000));
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_INT(call(mgr, "bdev_delay_create",
                   "{\"name\":\"e\",\"base_bdev_name\":\"m\",\"avg_read_latency\":2,"
                   "\"p99_read_latency\":1,\"avg_write_latency\":1,\"p99_write_latency\":1}",
                   NULL, NULL),
              -EINVAL);
    CHECK_INT(call(mgr, "bdev_delay_delete", "{\"name\":\"d\"}", NULL, NULL), 0);
    CHECK_INT(call(mgr, "bdev_delay_delete", "{\"name\":\"d\"}", NULL, NULL), -ENODEV);
    CHECK_INT(bdev_claimed(bdev_find(mgr, "m"), NULL), BDEV_CLAIM_NONE);
    ash_buf_free(&out);
}

static void delay(void **state)
{
    run_sim(1, delay_case);
}

/* docs/spec/spdk-jsonrpc.md 6.1: the same base gives the same identity, another one another. */
static void identity_case(struct bdev_mgr *mgr)
{
    char first[ASH_UUID_TEXT_BYTES], again[ASH_UUID_TEXT_BYTES];
    for (int round = 0; round < 2; round++) {
        CHECK_INT(call(mgr, "bdev_malloc_create",
                       "{\"name\":\"m\",\"num_blocks\":64,\"block_size\":512,"
                       "\"uuid\":\"6ba7b810-9dad-41d1-80b4-00c04fd430c8\"}",
                       NULL, NULL),
                  0);
        CHECK_INT(
            call(mgr, "bdev_passthru_create",
                 "{\"name\":\"p\",\"base_bdev_name\":\"6ba7b810-9dad-41d1-80b4-00c04fd430c8\"}",
                 NULL, NULL),
            0);
        struct bdev *p = bdev_find(mgr, "p");
        CHECK_INT(p->uuid.b[6] >> 4, 5);
        ash_uuid_format(&p->uuid, round ? again : first);
        CHECK_INT(call(mgr, "bdev_passthru_delete", "{\"name\":\"p\"}", NULL, NULL), 0);
        CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"m\"}", NULL, NULL), 0);
    }
    CHECK_STR(first, again);
}

static void identity(void **state)
{
    run_sim(1, identity_case);
}

static void error_case(struct bdev_mgr *mgr)
{
    make_malloc(mgr, "m", 64, 512);
    CHECK_INT(call(mgr, "bdev_error_create", "{\"base_name\":\"m\"}", NULL, NULL), 0);
    CHECK_INT(call(mgr, "bdev_error_create", "{\"base_name\":\"m\"}", NULL, NULL), -EEXIST);
    struct bdev_desc *d = open_rw(mgr, "EE_m");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[512], back[512];
    fill(buf, 512, 3);
    static const char *const bad[] = {
        "{\"name\":\"EE_m\",\"io_type\":\"copy\",\"error_type\":\"failure\"}",
        "{\"name\":\"EE_m\",\"io_type\":\"read\",\"error_type\":\"odd\"}",
        "{\"name\":\"EE_m\",\"io_type\":\"read\",\"error_type\":\"corrupt_data\"}",
        "{\"name\":\"EE_m\",\"io_type\":\"read\",\"error_type\":\"nvme_failure\"}",
        "{\"name\":\"EE_m\",\"io_type\":\"read\",\"error_type\":\"failure\",\"nvme_sc\":1}",
        "{\"name\":\"EE_m\",\"io_type\":\"read\"}",
    };
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++)
        CHECK_INT(call(mgr, "bdev_error_inject_error", bad[i], NULL, NULL), -EINVAL);
    CHECK_INT(call(mgr, "bdev_error_inject_error",
                   "{\"name\":\"m\",\"io_type\":\"read\",\"error_type\":\"failure\"}", NULL, NULL),
              -ENODEV);
#define INJECT(rest)                                                                               \
    CHECK_INT(call(mgr, "bdev_error_inject_error", "{\"name\":\"EE_m\"," rest "}", NULL, NULL), 0)
    INJECT("\"io_type\":\"write\",\"error_type\":\"failure\",\"num\":2");
    CHECK_INT(bdev_read(ch, back, 0, 512), 0);
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), -EIO);
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), -EIO);
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0);
    INJECT("\"io_type\":\"all\",\"error_type\":\"failure\",\"num\":1");
    CHECK_INT(bdev_flush(ch), -EIO);
    CHECK_INT(bdev_flush(ch), 0);
    CHECK_INT(bdev_unmap(ch, 512, 512), -EIO);
    INJECT("\"io_type\":\"clear\",\"error_type\":\"failure\"");
    CHECK_INT(bdev_read(ch, back, 0, 512), 0);
    INJECT("\"io_type\":\"write\",\"error_type\":\"nvme_failure\",\"nvme_sct\":7,\"nvme_sc\":28");
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), -ENOSPC);
    INJECT("\"io_type\":\"read\",\"error_type\":\"nomem\",\"num\":3");
    CHECK_INT(bdev_read(ch, back, 0, 512), 0); /* tried again, nobody sees it */
    /* spoiled on the way back, and on the way out without touching the writer's memory */
    INJECT("\"io_type\":\"read\",\"error_type\":\"corrupt_data\",\"corrupt_offset\":7,"
           "\"corrupt_value\":15");
    CHECK_INT(bdev_read(ch, back, 0, 512), 0);
    CHECK(back[7] == (buf[7] ^ 15) && memcmp(back, buf, 7) == 0 &&
          memcmp(back + 8, buf + 8, 504) == 0);
    INJECT("\"io_type\":\"write\",\"error_type\":\"corrupt_data\",\"corrupt_offset\":9,"
           "\"corrupt_value\":1");
    char copy[512];
    memcpy(copy, buf, 512);
    CHECK_INT(bdev_write(ch, buf, 512, 512, 0), 0);
    CHECK(memcmp(copy, buf, 512) == 0);
    CHECK_INT(bdev_read(ch, back, 512, 512), 0);
    CHECK(back[9] == (buf[9] ^ 1));
    /* pending: held until resumed; reset gives it up */
    struct bdev_io *io = bdev_io_get(ch);
    struct rt_event ev = RT_EVENT_INIT;
    io->type = BDEV_WRITE;
    io->length = 512;
    io->one_iov = (struct iovec){buf, 512};
    io->iov = &io->one_iov;
    io->n_iov = 1;
    io->done = io_wake;
    io->user = &ev;
    INJECT("\"io_type\":\"write\",\"error_type\":\"pending\"");
    bdev_submit(io);
    rt_sleep_ns(1000000);
    CHECK(!ev.is_set);
    CHECK_INT(call(mgr, "bdev_error_resume_pending", "{\"name\":\"EE_m\"}", NULL, NULL), 0);
    CHECK_INT(rt_event_wait(&ev), 0);
    INJECT("\"io_type\":\"write\",\"error_type\":\"pending\"");
    ev = RT_EVENT_INIT;
    bdev_submit(io);
    CHECK_INT(do_io(ch, BDEV_RESET, 0, 0, 0, NULL, NULL, NULL), 0);
    CHECK_INT(rt_event_wait(&ev), -ECANCELED);
    /* only when enough is in flight */
    INJECT("\"io_type\":\"read\",\"error_type\":\"failure\",\"queue_depth\":1");
    CHECK_INT(bdev_read(ch, back, 0, 512), 0);
    INJECT("\"io_type\":\"write\",\"error_type\":\"pending\"");
    ev = RT_EVENT_INIT;
    bdev_submit(io);
    CHECK_INT(bdev_read(ch, back, 0, 512), -EIO);
    CHECK_INT(call(mgr, "bdev_error_resume_pending", "{\"name\":\"EE_m\"}", NULL, NULL), 0);
    CHECK_INT(rt_event_wait(&ev), 0);
    bdev_io_put(io);
    /* rules of our own */
#define RULE(rest)                                                                                 \
    CHECK_INT(call(mgr, "bdev_error_inject_rule", "{\"name\":\"EE_m\"," rest "}", NULL, NULL), 0)
    RULE("\"op\":\"read\",\"offset\":1024,\"length\":\"1K\",\"count\":2,\"error\":\"ENOSPC\"");
    CHECK_INT(bdev_read(ch, back, 512, 512), 0);
    CHECK_INT(bdev_read(ch, back, 2048, 512), 0);
    CHECK_INT(bdev_read(ch, back, 1024, 512), -ENOSPC);
    CHECK_INT(bdev_read(ch, back, 1536, 512), -ENOSPC);
    CHECK_INT(bdev_read(ch, back, 1536, 512), 0);
    RULE("\"op\":\"write\",\"every\":3");
    for (int i = 1; i <= 9; i++)
        CHECK_INT(bdev_write(ch, buf, 0, 512, 0), i % 3 ? 0 : -EIO);
    CHECK_INT(call(mgr, "bdev_error_clear_rules", "{\"name\":\"EE_m\"}", NULL, NULL), 0);
    for (int i = 1; i <= 9; i++)
        CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0);
    CHECK_INT(call(mgr, "bdev_error_inject_rule", "{\"name\":\"EE_m\",\"op\":\"any\",\"every\":0}",
                   NULL, NULL),
              -EINVAL);
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_INT(call(mgr, "bdev_error_delete", "{\"name\":\"EE_m\"}", NULL, NULL), 0);
}

static void error(void **state)
{
    run_sim(1, error_case);
}

static void split_case(struct bdev_mgr *mgr)
{
    struct ash_buf out = {0};
    struct ash_err err = {0};
    CHECK_INT(call(mgr, "bdev_split_create", "{\"base_bdev\":\"m\",\"split_count\":3}", &out, NULL),
              0);
    CHECK_STR(ash_buf_text(&out), "[]");
    CHECK_INT(call(mgr, "bdev_split_create", "{\"base_bdev\":\"m\",\"split_count\":3}", NULL, &err),
              -EEXIST);
    make_malloc(mgr, "m", 100, 512);
    bdev_wait_for_examine(mgr);
    CHECK(bdev_find(mgr, "mp0") && bdev_find(mgr, "mp2") && !bdev_find(mgr, "mp3"));
    CHECK_INT(bdev_find(mgr, "mp1")->size_bytes, 33 * 512);
    CHECK_INT(bdev_claimed(bdev_find(mgr, "m"), NULL), BDEV_CLAIM_EXCL_WRITE);
    struct bdev_desc *d = open_rw(mgr, "mp1"), *all;
    CHECK_INT(bdev_open(mgr, "m", BDEV_OPEN_READ, "", NULL, NULL, &all, NULL), 0);
    struct bdev_channel *ch = bdev_channel_get(d), *base = bdev_channel_get(all);
    char buf[1024], back[512];
    fill(buf, 1024, 8);
    CHECK_INT(bdev_write(ch, buf, 0, 512, 0), 0);
    CHECK_INT(bdev_write(ch, buf + 512, 32 * 512, 512, 0), 0);
    CHECK_INT(bdev_write(ch, buf, 33 * 512, 512, 0), -EINVAL);
    CHECK_INT(bdev_read(base, back, 33 * 512, 512), 0);
    CHECK(memcmp(back, buf, 512) == 0);
    CHECK_INT(bdev_read(base, back, 65 * 512, 512), 0);
    CHECK(memcmp(back, buf + 512, 512) == 0);
    uint64_t at = 0;
    CHECK_INT(do_io(ch, BDEV_COPY, 0, 512, 512, NULL, NULL, &at), 0);
    CHECK_INT(bdev_read(base, back, 34 * 512, 512), 0);
    CHECK(memcmp(back, buf, 512) == 0);
    CHECK_INT(do_io(ch, BDEV_SEEK_DATA, 0, 512, 0, NULL, NULL, &at), 0);
    CHECK_INT(at, 512);
    bdev_channel_put(ch);
    bdev_channel_put(base);
    bdev_close(d);
    bdev_close(all);
    CHECK_INT(call(mgr, "bdev_split_delete", "{\"base_bdev\":\"m\"}", NULL, NULL), 0);
    CHECK(!bdev_find(mgr, "mp0") && bdev_find(mgr, "m"));
    CHECK_INT(bdev_claimed(bdev_find(mgr, "m"), NULL), BDEV_CLAIM_NONE);
    CHECK_INT(call(mgr, "bdev_split_delete", "{\"base_bdev\":\"m\"}", NULL, NULL), -ENODEV);
    /* sizes in MiB; more than fit are as many as fit */
    make_malloc(mgr, "big", 7168, 512);
    ash_buf_reset(&out);
    CHECK_INT(call(mgr, "bdev_split_create",
                   "{\"base_bdev\":\"big\",\"split_count\":9,\"split_size_mb\":1}", &out, NULL),
              0);
    CHECK_STR(ash_buf_text(&out), "[\"bigp0\",\"bigp1\",\"bigp2\"]");
    CHECK_INT(call(mgr, "bdev_split_create", "{\"base_bdev\":\"m\",\"split_count\":0}", NULL, NULL),
              -EINVAL);
    CHECK_INT(call(mgr, "bdev_split_create",
                   "{\"base_bdev\":\"m\",\"split_count\":1,\"split_size_mb\":64}", NULL, NULL),
              -EINVAL);
    /* the base goes with all its parts, and they come back with it */
    CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"big\"}", NULL, NULL), 0);
    CHECK(!bdev_find(mgr, "bigp1"));
    make_malloc(mgr, "big", 7168, 512);
    bdev_wait_for_examine(mgr);
    CHECK(bdev_find(mgr, "bigp1"));
    ash_buf_free(&out);
}

static void split(void **state)
{
    run_sim(1, split_case);
    run_sim(2, split_case);
}

/* ------------------------------------------------------------ log, verify */

static void log_case(struct bdev_mgr *mgr)
{
    make_malloc(mgr, "m", 64, 512);
    CHECK_INT(call(mgr, "bdev_log_create", "{\"name\":\"l\",\"base_bdev_name\":\"m\"}", NULL, NULL),
              0);
    struct bdev *l = bdev_find(mgr, "l");
    struct bdev_desc *d = open_rw(mgr, "l");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[1024], back[1024];
    fill(buf, 1024, 2);
    CHECK_INT(bdev_write(ch, buf, 512, 1024, BDEV_FUA), 0);
    CHECK_INT(bdev_read(ch, buf, 0, 512), 0);
    CHECK_INT(bdev_flush(ch), 0);
    CHECK_INT(bdev_unmap(ch, 1024, 512), 0);
    CHECK_INT(bdev_write_zeroes(ch, 2048, 512, BDEV_NO_HOLE), 0);
    struct bdev_log_entry **e;
    size_t n;
    CHECK_INT(bdev_log_get(bdev_find(mgr, "m"), &e, &n), -EINVAL);
    CHECK_INT(bdev_log_get(l, &e, &n), 0);
    CHECK_INT(n, 4);
    static const uint8_t types[] = {BDEV_WRITE, BDEV_FLUSH, BDEV_UNMAP, BDEV_WRITE_ZEROES};
    for (size_t i = 0; i < n; i++) {
        CHECK_INT(e[i]->type, types[i]);
        CHECK(e[i]->done_seq > e[i]->seq && e[i]->rc == 0);
        CHECK(i == 0 || e[i]->seq > e[i - 1]->done_seq);
    }
    fill(buf, 1024, 2);
    CHECK(e[0]->offset == 512 && e[0]->length == 1024 && e[0]->flags == BDEV_FUA &&
          memcmp(e[0]->data, buf, 1024) == 0);
    CHECK(e[3]->flags == BDEV_NO_HOLE);
    rt_free(e);
    CHECK_INT(call(mgr, "bdev_log_seq", "{\"name\":\"l\"}", NULL, NULL), 0);
    CHECK_INT(call(mgr, "bdev_log_seq", "{\"name\":\"m\"}", NULL, NULL), -ENODEV);
    CHECK_INT(call(mgr, "bdev_log_save", "{\"name\":\"m\",\"filename\":\"/x\"}", NULL, NULL),
              -ENODEV);
    CHECK_INT(call(mgr, "bdev_log_save", "{\"name\":\"l\",\"filename\":\"/saved\"}", NULL, NULL),
              0);
    struct rt_file *saved;
    char head[48];
    CHECK_INT(rt_file_open("/saved", RT_FILE_RDONLY, &saved, NULL), 0);
    CHECK_INT(rt_file_read(saved, head, sizeof(head), 48 + 1024), 0);
    CHECK_INT(head[44], BDEV_FLUSH);
    CHECK_INT(rt_file_read(saved, back, sizeof(back), 48), 0);
    CHECK(memcmp(buf, back, 1024) == 0);
    rt_file_close(saved);
    bdev_log_clear(l);
    CHECK_INT(bdev_log_get(l, &e, &n), 0);
    CHECK_INT(n, 0);
    rt_free(e);
    CHECK_INT(bdev_write(ch, buf, 512, 512, 0), 0); /* left behind for the end */
    bdev_channel_put(ch);
    bdev_close(d);
}

static void log_module(void **state)
{
    run_sim(1, log_case);
    run_sim(2, log_case);
}

static void verify_case(struct bdev_mgr *mgr)
{
    char *name;
    struct ash_err err = {0};
    static const char uri[] = "verify:///v?a=malloc:///a%3Fsize_mb=1&b=malloc:///b%3Fsize_mb=1";
    CHECK_INT(bdev_create_uri(mgr, uri, &name, &err), 0);
    CHECK_STR(name, "v");
    rt_free(name);
    struct bdev_desc *d = open_rw(mgr, "v"), *a;
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[4096], back[4096];
    fill(buf, 4096, 6);
    CHECK_INT(bdev_write(ch, buf, 0, 4096, 0), 0);
    CHECK_INT(bdev_read(ch, back, 0, 4096), 0);
    CHECK(memcmp(buf, back, 4096) == 0);
    CHECK_INT(bdev_unmap(ch, 512, 512), 0);
    CHECK_INT(bdev_write_zeroes(ch, 1024, 512, 0), 0);
    CHECK_INT(bdev_flush(ch), 0);
    CHECK_INT(bdev_read(ch, back, 0, 4096), 0);
    CHECK_INT(do_io(ch, BDEV_RESET, 0, 0, 0, NULL, NULL, NULL), 0);
    /* one of the two tells something else */
    CHECK_INT(bdev_inject_add(mgr, "inject://b?op=read&stage=compl&method=data&retries=1", &err),
              0);
    CHECK_INT(bdev_read(ch, back, 0, 4096), -EILSEQ);
    CHECK_INT(bdev_read(ch, back, 0, 4096), 0);
    CHECK_INT(bdev_inject_add(mgr, "inject://b?op=w&retries=1", &err), 0);
    CHECK_INT(bdev_write(ch, buf, 0, 4096, 0), -ENXIO);
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_INT(bdev_open(mgr, "a", BDEV_OPEN_WRITE, "", NULL, NULL, &a, NULL), -EPERM);
    CHECK_INT(bdev_destroy_uri(mgr, uri, &err), 0);
    CHECK(!bdev_next(mgr, NULL));
    /* different sizes; a missing one undoes the other */
    make_malloc(mgr, "x", 64, 512);
    make_malloc(mgr, "y", 65, 512);
    CHECK_INT(
        call(mgr, "bdev_verify_create", "{\"name\":\"v\",\"a\":\"x\",\"b\":\"y\"}", NULL, NULL),
        -EINVAL);
    CHECK_INT(
        bdev_create_uri(mgr, "verify:///v?a=malloc:///a%3Fsize_mb=1&b=bdev:///no", &name, NULL),
        -ENODEV);
    CHECK(!bdev_find(mgr, "a"));
    /* it goes when either goes */
    CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"y\"}", NULL, NULL), 0);
    make_malloc(mgr, "y", 64, 512);
    CHECK_INT(
        call(mgr, "bdev_verify_create", "{\"name\":\"v\",\"a\":\"x\",\"b\":\"y\"}", NULL, NULL), 0);
    CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"y\"}", NULL, NULL), 0);
    CHECK(!bdev_find(mgr, "v") && bdev_find(mgr, "x"));
}

static void verify(void **state)
{
    run_sim(1, verify_case);
    run_sim(3, verify_case);
}

/* --------------------------------------------------------------- injection */

static bool is_active(struct bdev_mgr *mgr, const char *uri)
{
    struct bdev_inject_info infos[8];
    size_t n = bdev_inject_list(mgr, infos, 8);
    for (size_t i = 0; i < n; i++)
        if (strcmp(infos[i].uri, uri) == 0)
            return infos[i].is_active;
    CHECK(false);
}

static void inject_case(struct bdev_mgr *mgr)
{
    make_malloc(mgr, "m", 64, 512);
    struct bdev_desc *d = open_rw(mgr, "m");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[1024], back[1024];
    fill(buf, 1024, 1);
    static const struct {
        const char *query;
        int read_rc, write_rc;
    } table[] = {
        {"", -ENXIO, -ENXIO},
        {"op=read", -ENXIO, 0},
        {"op=w&stage=s&method=status-nvme-7-1c", 0, -ENXIO},
        {"op=w&stage=compl&method=status-nvme-7-1c", 0, -ENOSPC},
        {"stage=c&method=status-lvol-nospace", -ENOSPC, -ENOSPC},
        {"stage=compl&method=status-nvme-2-85&op=read_write", -EILSEQ, -EILSEQ},
        {"domain=bdev_io&method=status-nvme-0-81", -ENOSPC, -ENOSPC},
        {"domain=BdevIo&op=Read", -EIO, 0},
        {"offset=8", 0, 0},
        {"offset=0&num_blk=1", -ENXIO, -ENXIO},
        {"offset=1&num_blocks=1", -ENXIO, -ENXIO},
        {"offset=2&num_blk=1", 0, 0},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(table); i++) {
        char uri[200];
        struct ash_err err = {0};
        snprintf(uri, sizeof(uri), "inject://m?retries=2%s%s", *table[i].query ? "&" : "",
                 table[i].query);
        CHECK_INT(bdev_inject_add(mgr, uri, &err), 0);
        CHECK(is_active(mgr, uri));
        CHECK_INT(bdev_read(ch, back, 0, 1024), table[i].read_rc);
        CHECK_INT(bdev_write(ch, buf, 0, 1024, 0), table[i].write_rc);
        CHECK_INT(bdev_flush(ch), 0);
        CHECK_INT(bdev_write_zeroes(ch, 16 * 512, 512, 0), 0); /* reads and writes only */
        int n_hit = (table[i].read_rc != 0) + (table[i].write_rc != 0);
        CHECK_INT(is_active(mgr, uri), n_hit < 2); /* exactly two are affected */
        if (n_hit == 1) {
            if (table[i].read_rc)
                CHECK_INT(bdev_read(ch, back, 0, 1024), table[i].read_rc);
            else
                CHECK_INT(bdev_write(ch, buf, 0, 1024, 0), table[i].write_rc);
        }
        if (n_hit) {
            CHECK_INT(bdev_read(ch, back, 0, 1024), 0);
            CHECK_INT(bdev_write(ch, buf, 0, 1024, 0), 0);
        }
        CHECK_INT(bdev_inject_remove(mgr, uri, &err), 0);
        CHECK_INT(bdev_inject_list(mgr, NULL, 0), 0);
    }
    /* data: a write stores garbage, its memory stays; a read gets garbage */
    CHECK_INT(bdev_write(ch, buf, 0, 1024, 0), 0);
    CHECK_INT(bdev_inject_add(mgr, "inject://m?op=r&stage=c&method=data", NULL), 0);
    CHECK_INT(bdev_read(ch, back, 0, 1024), 0);
    CHECK(memcmp(buf, back, 1024) != 0);
    CHECK_INT(bdev_inject_remove(mgr, "inject://m?op=r&stage=c&method=data", NULL), 0);
    CHECK_INT(bdev_read(ch, back, 0, 1024), 0);
    CHECK(memcmp(buf, back, 1024) == 0);
    CHECK_INT(bdev_inject_add(mgr, "inject://m?op=w&method=data&retries=1", NULL), 0);
    memcpy(back, buf, 1024);
    CHECK_INT(bdev_write(ch, buf, 0, 1024, 0), 0);
    CHECK(memcmp(buf, back, 1024) == 0);
    CHECK_INT(bdev_read(ch, back, 0, 1024), 0);
    CHECK(memcmp(buf, back, 1024) != 0);
    CHECK_INT(bdev_inject_remove(mgr, "inject://m?op=w&method=data&retries=1", NULL), 0);
    /* time counts from the first match */
    static const char timed[] = "inject://m?op=r&begin_at=10&end_at=20";
    CHECK_INT(bdev_inject_add(mgr, timed, NULL), 0);
    rt_sleep_ns(50000000);
    CHECK_INT(bdev_read(ch, back, 0, 512), 0);
    rt_sleep_ns(10000000);
    CHECK_INT(bdev_read(ch, back, 0, 512), -ENXIO);
    CHECK_INT(bdev_read(ch, back, 0, 512), -ENXIO);
    rt_sleep_ns(10000000);
    CHECK_INT(bdev_read(ch, back, 0, 512), 0);
    CHECK(!is_active(mgr, timed));
    CHECK_INT(bdev_inject_remove(mgr, timed, NULL), 0);
    /* of two that fire, the first wins; one rule twice is two */
    CHECK_INT(bdev_inject_add(mgr, "inject://m?stage=c&method=status-lvol-nospace&retries=1", NULL),
              0);
    CHECK_INT(bdev_inject_add(mgr, "inject://m?stage=c&retries=1", NULL), 0);
    CHECK_INT(bdev_inject_add(mgr, "inject://m?stage=c&retries=1", NULL), 0);
    CHECK_INT(bdev_read(ch, back, 0, 512), -ENOSPC);
    CHECK_INT(bdev_read(ch, back, 0, 512), -EIO);
    CHECK_INT(bdev_read(ch, back, 0, 512), -EIO);
    CHECK_INT(bdev_read(ch, back, 0, 512), 0);
    bdev_channel_put(ch);
    bdev_close(d);
    /* a rule waits for its device, and outlives it */
    CHECK_INT(bdev_inject_add(mgr, "inject://later?op=r", NULL), 0);
    for (int i = 0; i < 2; i++) {
        make_malloc(mgr, "later", 64, 512);
        bdev_wait_for_examine(mgr);
        d = open_rw(mgr, "later");
        ch = bdev_channel_get(d);
        CHECK_INT(bdev_read(ch, back, 0, 512), -ENXIO);
        bdev_channel_put(ch);
        bdev_close(d);
        CHECK_INT(call(mgr, "bdev_malloc_delete", "{\"name\":\"later\"}", NULL, NULL), 0);
    }
    static const struct {
        const char *uri;
        int rc;
    } bad[] = {
        {"malloc:///x", -EINVAL},
        {"inject://", -EINVAL},
        {"inject://m?foo=1", -EINVAL},
        {"inject://m?domain=disk", -EINVAL},
        {"inject://m?op=flush", -EINVAL},
        {"inject://m?stage=late", -EINVAL},
        {"inject://m?method=status-nvme-zz-1", -EINVAL},
        {"inject://m?method=status-nvme-1-1-1", -EINVAL},
        {"inject://m?retries=-1", -EINVAL},
        {"inject://m?offset=0x10", -EINVAL},
        {"inject://m?begin_at=9&end_at=8", -EINVAL},
        {"inject://m?domain=bdev_io&stage=compl", -EINVAL},
        {"inject://m?domain=bdev_io&method=data", -EINVAL},
        {"inject://m?domain=child", -EINVAL},
        {"inject://absent?domain=bdev_io", -ENODEV},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        struct ash_err err = {0};
        CHECK_INT(bdev_inject_add(mgr, bad[i].uri, &err), bad[i].rc);
        CHECK_INT(err.reason,
                  bad[i].rc == -ENODEV ? ASH_E_BDEV_NOT_FOUND : ASH_E_BDEV_INJECT_INVALID);
    }
    CHECK_INT(bdev_inject_add(mgr, "inject://m?domain=bdev_io", NULL), 0);
    CHECK_INT(bdev_inject_add(mgr, "inject://m?domain=bdev_io&op=r", NULL), -EINVAL);
    /* the canonical text */
    struct bdev_inject_rule r;
    struct ash_buf out = {0};
    CHECK_INT(bdev_inject_parse("inject:///dev/sdb?op=Read&stage=completion&num_blocks=7&offset=2"
                                "&domain=block_device&method=status-nvme-7-1c",
                                &r, NULL),
              0);
    CHECK_STR(r.device, "/dev/sdb");
    bdev_inject_format(&r, &out);
    CHECK_STR(ash_buf_text(&out), "inject:///dev/sdb?domain=block&op=r&stage=compl"
                                  "&method=status-nvme-7-1c&offset=2&num_blk=7");
    bdev_inject_rule_free(&r);
    ash_buf_free(&out);
}

static void inject(void **state)
{
    run_sim(1, inject_case);
    run_sim(2, inject_case);
}

/* ------------------------------------------------------------------- main */

static int make_folder(void **state)
{
    snprintf(folder, sizeof(folder), "%s/bdev_mods.XXXXXX",
             getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 30 ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    unlink(file_path());
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),      cmocka_unit_test(ram),    cmocka_unit_test(delay),
        cmocka_unit_test(identity),   cmocka_unit_test(error),  cmocka_unit_test(split),
        cmocka_unit_test(log_module), cmocka_unit_test(verify), cmocka_unit_test(inject),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
