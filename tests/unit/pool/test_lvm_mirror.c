/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to raid1: after a power cut at any time, with any choice of the writes that were under
 * way, a region whose legs differ has its bit set in both bitmaps, and what was flushed is on both
 * legs. Refused: bitmaps that cannot be relied on. */
#include "mirror_disks.h"

#include <unistd.h>

/* ------------------------------------------------------------------ writing */

#define SIM_URI "lvm:///vg/lv?pvs=/d0,/d1"
static char uri[256] = SIM_URI;

struct run {
    struct world *w;
    struct rt_sim_log log;
    uint64_t seed;
    size_t n_flushed; /* entries of the log when the flush was done */
};

static int open_lv(struct bdev_mgr *mgr, struct bdev_desc **ret, struct bdev_channel **ret_ch)
{
    struct ash_err err = {0};
    char *name = NULL;
    CHECK_INT(bdev_create_uri(mgr, uri, &name, &err), 0);
    rt_free(name);
    int rc = bdev_open(mgr, "vg/lv", BDEV_OPEN_WRITE, "test", NULL, NULL, ret, &err);
    if (rc == 0)
        CHECK(*ret_ch = bdev_channel_get(*ret));
    return rc;
}

static void close_lv(struct bdev_mgr *mgr, struct bdev_desc *desc, struct bdev_channel *ch)
{
    bdev_channel_put(ch);
    bdev_close(desc);
    CHECK_INT(bdev_destroy_uri(mgr, uri, NULL), 0);
}

static void one_done(struct bdev_io *io)
{
    unsigned *n_left = io->user;
    CHECK_INT(io->rc, 0);
    rt_buf_put(io->one_iov.iov_base, io->one_iov.iov_len);
    --*n_left;
    bdev_io_put(io);
}

/* n writes at once, many of them over each other, from block `first` on. */
static void burst(struct bdev_channel *ch, unsigned n, unsigned first, unsigned n_blocks,
                  uint8_t value)
{
    unsigned n_left = n;
    for (unsigned i = 0; i < n; i++) {
        struct bdev_io *io = bdev_io_get(ch);
        unsigned at = first + i * 7 % n_blocks, len = ASH_MIN(1 + i % 3, first + n_blocks - at);
        io->type = BDEV_WRITE;
        io->offset = (uint64_t)at * BLOCK;
        io->length = (uint64_t)len * BLOCK;
        io->one_iov = (struct iovec){rt_buf_get(io->length), io->length};
        memset(io->one_iov.iov_base, value + (int)i, io->length);
        io->iov = &io->one_iov;
        io->n_iov = 1;
        io->done = one_done;
        io->user = &n_left;
        bdev_submit(io);
    }
    while (n_left)
        rt_sleep_ns(10000);
}

enum { FIRST_BLOCKS = 24, SECOND = 40, SECOND_BLOCKS = 12 };

static int write_lv(struct bdev_mgr *mgr, void *arg)
{
    struct run *r = arg;
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    for (unsigned i = 0; i < N_LEGS; i++)
        rt_sim_disk_set_log(r->w->disks[i], &r->log);
    CHECK_INT(open_lv(mgr, &desc, &ch), 0);
    burst(ch, 12, 0, FIRST_BLOCKS, 1);
    CHECK_INT(bdev_flush(ch), 0);
    r->n_flushed = r->log.n_entries;
    burst(ch, 6, SECOND, SECOND_BLOCKS, 100);
    close_lv(mgr, desc, ch);
    for (unsigned i = 0; i < N_LEGS; i++)
        rt_sim_disk_set_log(r->w->disks[i], NULL);
    return 0;
}

/* ---------------------------------------------------------------- power cuts */

static bool has_bit(const uint8_t *bitmap, unsigned region)
{
    return bitmap[256 + region / 8] >> region % 8 & 1;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

struct start {
    struct rt_sim_image *images[N_LEGS];
    uint8_t final[LEG_BYTES];
    unsigned n_states, n_differ, n_torn;
};

/* One entry, or (tear) some of its sectors. */
static void apply(const struct run *r, size_t i, struct rt_sim_image *image, uint64_t tear)
{
    const struct rt_sim_log_entry *e = &r->log.entries[i];
    if (!tear || e->kind != RT_OP_WRITE) {
        assert_int_equal(rt_sim_log_apply(&r->log, i, image), 0);
        return;
    }
    for (uint64_t at = 0; at < e->length; at += 512)
        if (mix(tear + at) & 1)
            assert_int_equal(
                rt_sim_image_write(image, e->offset + at, (uint8_t *)e->data + at, 512), 0);
}

/* The disks after n entries, where bit k of mask says whether the k-th pending one got there; some
 * of them only in part. */
static void judge(const struct run *r, struct start *s, size_t n, uint64_t mask)
{
    static uint8_t legs[N_LEGS][LEG_BYTES], bitmaps[N_LEGS][4096];
    for (unsigned d = 0; d < N_LEGS; d++) {
        struct rt_sim_image *image = rt_sim_image_clone(s->images[d]);
        assert_non_null(image);
        unsigned k = 0;
        for (size_t i = 0; i < r->log.n_entries; i++) {
            const struct rt_sim_log_entry *e = &r->log.entries[i];
            if (e->kind == RT_OP_FSYNC || !rt_sim_log_is_possible(&r->log, n, i))
                continue;
            bool is_durable = rt_sim_log_is_durable(&r->log, n, i);
            bool is_there = is_durable || mask >> k % 64 & 1;
            bool is_torn = !is_durable && mask != UINT64_MAX && mix(mask + k) % 4 == 0;
            k += !is_durable;
            if (is_there && e->disk == r->w->disks[d])
                apply(r, i, image, is_torn ? mask : 0);
            s->n_torn += is_there && is_torn;
        }
        rt_sim_image_read(image, IMAGE, legs[d], LEG_BYTES);
        rt_sim_image_read(image, BITMAP, bitmaps[d], sizeof(bitmaps[d]));
        rt_sim_image_free(image);
    }
    s->n_states++;
    for (unsigned g = 0; g < N_REGIONS; g++) {
        bool differ = memcmp(legs[0] + g * REGION, legs[1] + g * REGION, REGION) != 0;
        s->n_differ += differ;
        if (differ && !(has_bit(bitmaps[0], g) && has_bit(bitmaps[1], g)))
            fail_msg("after %zu of %zu writes, mask %llx: region %u differs, its bit is not set", n,
                     r->log.n_entries, (unsigned long long)mask, g);
        if (n == r->log.n_entries && mask == UINT64_MAX)
            assert_false(differ || has_bit(bitmaps[0], g) || has_bit(bitmaps[1], g));
    }
    for (unsigned d = 0; d < N_LEGS && n >= r->n_flushed; d++)
        if (memcmp(legs[d], s->final, FIRST_BLOCKS * BLOCK) != 0)
            fail_msg("after %zu writes, mask %llx: what was flushed is not on leg %u", n,
                     (unsigned long long)mask, d);
}

static void power_cuts(void **state)
{
    unsigned n_states = 0, n_differ = 0, n_torn = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        static struct start s;
        struct world w;
        struct run r = {.w = &w, .seed = seed};
        make_disks(&w);
        memset(&s, 0, sizeof(s));
        for (unsigned d = 0; d < N_LEGS; d++)
            assert_non_null(s.images[d] = rt_sim_image_clone(rt_sim_disk_image(w.disks[d])));
        w.fn = write_lv;
        w.arg = &r;
        run_world(&w, seed);
        rt_sim_disk_peek(w.disks[0], IMAGE, s.final, LEG_BYTES);
        assert_true(r.log.n_entries > 20 && !r.log.failed);
        for (size_t n = 0; n <= r.log.n_entries; n++) {
            judge(&r, &s, n, 0);
            judge(&r, &s, n, UINT64_MAX);
            for (unsigned k = 0; k < 24; k++)
                judge(&r, &s, n, mix(seed << 40 | n << 8 | k));
        }
        for (unsigned d = 0; d < N_LEGS; d++)
            rt_sim_image_free(s.images[d]);
        rt_sim_log_free(&r.log);
        put_disks(&w);
        n_states += s.n_states;
        n_differ += s.n_differ;
        n_torn += s.n_torn;
    }
    fprintf(stderr, "# %u states, %u regions differ, %u torn writes\n", n_states, n_differ, n_torn);
    assert_true(n_states > 1000 && n_differ > 1000 &&
                n_torn > 1000); /* else it has looked at nothing */
}

/* ------------------------------------------------------------ refused, failed */

static int try_write(struct bdev_mgr *mgr, void *arg)
{
    int *rc = arg;
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    uint8_t *buf = rt_buf_get(BLOCK);
    memset(buf, 0x5a, BLOCK);
    *rc = open_lv(mgr, &desc, &ch);
    if (*rc == 0) {
        CHECK_INT(bdev_write(ch, buf, 3 * BLOCK, BLOCK, BDEV_FUA), 0);
        memset(buf, 0, BLOCK);
        CHECK_INT(bdev_read(ch, buf, 3 * BLOCK, BLOCK), 0);
        CHECK_INT(buf[0], 0x5a);
        close_lv(mgr, desc, ch);
    }
    rt_buf_put(buf, BLOCK);
    return 0;
}

/* Which metadata let a raid1 be written to. */
static void bitmaps(void **state)
{
    static const struct {
        const char *what;
        unsigned at, n_bytes;
        uint64_t value;
        int rc;
    } rows[] = {
        {"good", 4096 + 56, 4, 7, 0},
        {"one above the superblock", 4096 + 24, 8, 6, 0},
        {"no magic", 4096, 4, 0, -EROFS},
        {"another version", 4096 + 4, 4, 5, -EROFS},
        {"older than the superblock", 4096 + 24, 8, 4, -EROFS},
        {"of another size", 4096 + 40, 8, 8, -EROFS},
        {"stale", 4096 + 48, 4, 2, -EROFS},
        {"no power of two", 4096 + 52, 4, 3 * 4096, -EROFS},
        {"regions as of no other leg", 4096 + 52, 4, 2 * REGION, -EROFS},
        {"regions of nothing", 4096 + 52, 4, 0, -EROFS},
        {"leg not rebuilt", 32, 8, 16, -EROFS},
        {"not synchronized", 40, 8, 16, -EROFS},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct world w;
        uint8_t field[8];
        int rc = 1;
        make_disks(&w);
        put(field, rows[i].value, rows[i].n_bytes);
        assert_int_equal(rt_sim_disk_poke(w.disks[1], META + rows[i].at, field, rows[i].n_bytes),
                         0);
        w.fn = try_write;
        w.arg = &rc;
        run_world(&w, 3);
        if (rc != rows[i].rc)
            fail_msg("%s: %d", rows[i].what, rc);
        for (unsigned d = 0; d < N_LEGS; d++) {
            uint8_t byte;
            rt_sim_disk_peek(w.disks[d], IMAGE + 3 * BLOCK, &byte, 1);
            assert_int_equal(byte, rc ? 0 : 0x5a);
        }
        put_disks(&w);
    }
}

/* Not while a leg is split off: it must stay as it is. */
static void split_leg(void **state)
{
    struct world w;
    int rc = 1;
    make_disks_with(&w, true);
    w.fn = try_write;
    w.arg = &rc;
    run_world(&w, 3);
    assert_int_equal(rc, -EROFS);
    put_disks(&w);
}

/* A bit that was set before, if only on one leg, is not ours to clear. */
static void old_bits(void **state)
{
    for (unsigned both = 0; both < 2; both++) {
        struct world w;
        uint8_t byte = 1, bitmap[4096];
        int rc = 1;
        make_disks(&w);
        for (unsigned d = !both; d < N_LEGS; d++)
            assert_int_equal(rt_sim_disk_poke(w.disks[d], BITMAP + 256, &byte, 1), 0);
        w.fn = try_write;
        w.arg = &rc;
        run_world(&w, 3);
        assert_int_equal(rc, 0);
        for (unsigned d = 0; d < N_LEGS; d++) {
            rt_sim_disk_peek(w.disks[d], BITMAP, bitmap, sizeof(bitmap));
            assert_int_equal(bitmap[256], 1);
            assert_int_equal(bitmap[256 + N_REGIONS / 8], 0xff);
        }
        put_disks(&w);
    }
}

/* Bits are set on both legs for the first region, and for no other. */
static void check_first_bit(const struct world *w)
{
    uint8_t bitmap[4096];
    for (unsigned d = 0; d < N_LEGS; d++) {
        rt_sim_disk_peek(w->disks[d], BITMAP, bitmap, sizeof(bitmap));
        assert_true(has_bit(bitmap, 0));
        assert_false(has_bit(bitmap, 1));
    }
}

static int lose_flush(struct bdev_mgr *mgr, void *arg)
{
    struct world *w = arg;
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    uint8_t *buf = rt_buf_get(BLOCK);
    memset(buf, 0x5a, BLOCK);
    CHECK_INT(open_lv(mgr, &desc, &ch), 0);
    CHECK_INT(bdev_write(ch, buf, 0, BLOCK, 0), 0);
    w->fails_flush = true;
    CHECK_INT(bdev_flush(ch), -EIO);
    CHECK_INT(bdev_write(ch, buf, BLOCK, BLOCK, 0), -EIO);
    CHECK_INT(bdev_flush(ch), 0); /* tells nothing of what was lost */
    close_lv(mgr, desc, ch);
    rt_buf_put(buf, BLOCK);
    return 0;
}

/* A flush that failed may have lost data on one leg: no more writes, and the bit stays. */
static void failed_flush(void **state)
{
    struct world w;
    make_disks(&w);
    w.fn = lose_flush;
    w.arg = &w;
    run_world(&w, 3);
    check_first_bit(&w);
    put_disks(&w);
}

static int fail_leg(struct bdev_mgr *mgr, void *arg)
{
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    struct ash_err err = {0};
    uint8_t *buf = rt_buf_get(BLOCK);
    memset(buf, 0x5a, BLOCK);
    CHECK_INT(open_lv(mgr, &desc, &ch), 0);
    CHECK_INT(bdev_write(ch, buf, 0, BLOCK, 0), 0);
    CHECK_INT(bdev_inject_add(mgr, "inject:///d1?op=write&retries=1", &err), 0);
    memset(buf, 0x66, BLOCK);
    CHECK(bdev_write(ch, buf, BLOCK, BLOCK, 0) != 0); /* its bit is set already: data fails */
    CHECK_INT(bdev_write(ch, buf, 2 * BLOCK, BLOCK, 0), -EIO);
    CHECK_INT(bdev_read(ch, buf, 0, BLOCK), 0);
    CHECK_INT(buf[0], 0x5a);
    close_lv(mgr, desc, ch);
    rt_buf_put(buf, BLOCK);
    return 0;
}

/* A leg that fails: no more writes, and the bit stays. */
static void failed_leg(void **state)
{
    struct world w;
    uint8_t blocks[N_LEGS];
    make_disks(&w);
    w.fn = fail_leg;
    run_world(&w, 3);
    check_first_bit(&w);
    for (unsigned d = 0; d < N_LEGS; d++)
        rt_sim_disk_peek(w.disks[d], IMAGE + BLOCK, &blocks[d], 1);
    assert_int_not_equal(blocks[0], blocks[1]);
    put_disks(&w);
}

/* Writers on two reactors, over each other: both legs are alike in the end. */
struct writer {
    struct bdev_desc *desc;
    uint8_t value;
    struct rt_event done;
};

static int writer_fn(void *arg)
{
    struct writer *w = arg;
    struct bdev_channel *ch = bdev_channel_get(w->desc);
    CHECK(ch);
    for (unsigned i = 0; i < 8; i++)
        burst(ch, 8, 0, 16, w->value);
    bdev_channel_put(ch);
    return 0;
}

static void writer_task(void *arg)
{
    struct writer *w = arg;
    rt_event_set(&w->done, rt_call_on(rt_reactor(rt_world(), 1), "writer", writer_fn, w));
}

static int two_writers(struct bdev_mgr *mgr, void *arg)
{
    struct writer w = {.value = 100};
    struct bdev_channel *ch;
    CHECK_INT(open_lv(mgr, &w.desc, &ch), 0);
    CHECK_INT(rt_task_spawn("writer", writer_task, &w), 0);
    for (unsigned i = 0; i < 8; i++)
        burst(ch, 8, 0, 16, 1);
    CHECK_INT(rt_event_wait(&w.done), 0);
    close_lv(mgr, w.desc, ch);
    return 0;
}

static void check_alike(uint8_t (*legs)[LEG_BYTES], uint8_t (*bitmaps)[4096])
{
    assert_memory_equal(legs[0], legs[1], LEG_BYTES);
    assert_int_not_equal(legs[0][0], 0);
    assert_int_equal(bitmaps[0][256] | bitmaps[1][256], 0);
}

static uint8_t legs_now[N_LEGS][LEG_BYTES], bitmaps_now[N_LEGS][4096];

static void reactors(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct world w;
        make_disks(&w);
        w.fn = two_writers;
        w.n_reactors = 2;
        run_world(&w, seed);
        for (unsigned d = 0; d < N_LEGS; d++) {
            rt_sim_disk_peek(w.disks[d], IMAGE, legs_now[d], LEG_BYTES);
            rt_sim_disk_peek(w.disks[d], BITMAP, bitmaps_now[d], sizeof(bitmaps_now[d]));
        }
        check_alike(legs_now, bitmaps_now);
        put_disks(&w);
    }
}

/* The disk as a file, for back ends with threads. */
static void disk_to_file(const struct rt_sim_disk *disk, const char *path)
{
    static uint8_t bytes[PV_BYTES];
    rt_sim_disk_peek(disk, 0, bytes, sizeof(bytes));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, sizeof(bytes), f), sizeof(bytes));
    assert_int_equal(fclose(f), 0);
}

static void read_file(const char *path, long at, void *buf, size_t n)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fread(buf, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void threads_on(enum rt_backend backend, struct world *w)
{
    char dir[] = "/tmp/lvm_mirror.XXXXXX", paths[N_LEGS][64];
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = 2;
    int rc = rt_create(&opts, &rt, NULL);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING)
        return;
    assert_int_equal(rc, 0);
    assert_non_null(mkdtemp(dir));
    for (unsigned d = 0; d < N_LEGS; d++) {
        snprintf(paths[d], sizeof(paths[d]), "%s/d%u", dir, d);
        disk_to_file(w->disks[d], paths[d]);
    }
    snprintf(uri, sizeof(uri), "lvm:///vg/lv?pvs=%s,%s", paths[0], paths[1]);
    assert_int_equal(rt_run_task(rt, "case", world_main_fn, w), 0);
    rt_destroy(rt);
    snprintf(uri, sizeof(uri), SIM_URI);
    for (unsigned d = 0; d < N_LEGS; d++) {
        read_file(paths[d], IMAGE, legs_now[d], LEG_BYTES);
        read_file(paths[d], BITMAP, bitmaps_now[d], sizeof(bitmaps_now[d]));
        assert_int_equal(remove(paths[d]), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    check_alike(legs_now, bitmaps_now);
}

static void threads(void **state)
{
    struct world w;
    make_disks(&w);
    w.fn = two_writers;
    threads_on(RT_BACKEND_EPOLL, &w);
    threads_on(RT_BACKEND_URING, &w);
    put_disks(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_cuts), cmocka_unit_test(bitmaps),      cmocka_unit_test(old_bits),
        cmocka_unit_test(failed_leg), cmocka_unit_test(failed_flush), cmocka_unit_test(reactors),
        cmocka_unit_test(threads),    cmocka_unit_test(split_leg),
    };
    return cmocka_run_group_tests_name("lvm_mirror", tests, NULL, NULL);
}
