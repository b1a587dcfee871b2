/* SPDX-License-Identifier: Apache-2.0 */
/* The device modules, each on its own. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
