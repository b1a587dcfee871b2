/* SPDX-License-Identifier: Apache-2.0 */
/* rt: what only the simulator does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rt/rt.h"
#include "rt/rt_sim.h"

#define MIB (1u << 20)

static struct rt *world(uint64_t seed, unsigned n_reactors)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = n_reactors;
    opts.seed = seed;
    assert_int_equal(rt_create(&opts, &rt, NULL), 0);
    return rt;
}

/* ----------------------------------------------------------------- same seed */

struct history {
    uint64_t events[4096];
    size_t n;
};

struct actor {
    struct history *h;
    struct rt_file *file;
    struct rt_sock *sock;
    unsigned id, *n_left;
    struct rt_reactor *home;
    struct rt_event *end;
};

static void note(struct history *h, uint64_t what)
{
    if (h->n < 4096)
        h->events[h->n++] = what * 1000000 + rt_now_ns() % 1000000;
}

static void actor_ended(void *arg)
{
    struct actor *a = arg;
    if (--*a->n_left == 0)
        rt_event_set(a->end, 0);
}

static void act(void *arg)
{
    struct actor *a = arg;
    char buf[512] = {0}, c;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t r = rt_random_u64();
        if (r % 3 == 0)
            rt_sleep_ns(r % 100000);
        else if (r % 3 == 1)
            rt_file_write(a->file, buf, sizeof(buf), 512 * (r % 100));
        else
            rt_yield();
        note(a->h, a->id);
    }
    struct rt_op op = {.kind = RT_OP_SEND, .sock = a->sock, .n_iov = 1};
    op.one_iov = (struct iovec){&c, 1};
    op.iov = &op.one_iov;
    c = (char)a->id;
    rt_op_wait(&op);
    int rc = rt_task_spawn_on(a->home, "ended", actor_ended, a);
    assert_int_equal(rc, 0);
}

static int play(void *arg)
{
    struct history *h = arg;
    struct rt_file *file;
    struct rt_sock *near, *far;
    struct actor actors[12];
    struct rt_event end = RT_EVENT_INIT;
    unsigned n_left = 12;
    assert_int_equal(rt_file_open("/disk", 0, &file, NULL), 0);
    assert_int_equal(rt_sock_pair(&near, &far), 0);
    for (unsigned i = 0; i < 12; i++) {
        actors[i] = (struct actor){h, file, near, i, &n_left, rt_self(), &end};
        assert_int_equal(rt_task_spawn_on(rt_reactor(rt_world(), i % 3), "actor", act, &actors[i]),
                         0);
    }
    rt_event_wait(&end);
    rt_yield();
    unsigned n = 0;
    while (n < 12) {
        char c[12];
        struct rt_op op = {.kind = RT_OP_RECV, .sock = far, .n_iov = 1};
        op.one_iov = (struct iovec){c, sizeof(c)};
        op.iov = &op.one_iov;
        int64_t got = rt_op_wait(&op);
        assert_true(got > 0);
        note(h, 100 + (uint64_t)got * 100 + (uint64_t)c[0]);
        n += (unsigned)got;
    }
    rt_sock_close(near);
    rt_sock_close(far);
    rt_file_close(file);
    return 0;
}

static void replay(uint64_t seed, struct history *h)
{
    struct rt *rt = world(seed, 3);
    h->n = 0;
    assert_non_null(rt_sim_disk_create(rt, "/disk", MIB, 512));
    assert_int_equal(rt_run_task(rt, "play", play, h), 0);
    rt_destroy(rt);
}

static void seed_decides_everything(void **state)
{
    static struct history a, b;
    unsigned n_same = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        replay(seed, &a);
        replay(seed, &b);
        assert_true(a.n > 120 && a.n == b.n);
        assert_memory_equal(a.events, b.events, a.n * sizeof(a.events[0]));
        replay(seed + 1, &b);
        n_same += a.n == b.n && memcmp(a.events, b.events, a.n * sizeof(a.events[0])) == 0;
    }
    assert_int_equal(n_same, 0);
}

/* --------------------------------------------------------------- dead ends */

static int wait_for_ever(void *arg)
{
    struct rt_event ev = RT_EVENT_INIT;
    return rt_event_wait(&ev);
}

static void deadlock_is_seen(void **state)
{
    struct rt *rt = world(1, 2);
    assert_int_equal(rt_run_task(rt, "stuck", wait_for_ever, NULL), -EDEADLK);
    assert_int_equal(rt_run(rt), -EDEADLK);
    assert_int_equal(rt_sim_n_live(rt), 1);
    rt_sim_discard(rt);
}

static int sleep_a_year(void *arg)
{
    uint64_t start = rt_now_ns(), wall = rt_wall_ns();
    rt_sleep_ns(365ull * 86400 * 1000000000u);
    return rt_now_ns() - start >= 365ull * 86400 * 1000000000u && rt_wall_ns() > wall ? 0 : -1;
}

static void time_jumps(void **state)
{
    struct rt *rt = world(1, 1);
    assert_int_equal(rt_run_task(rt, "sleeper", sleep_a_year, NULL), 0);
    rt_destroy(rt);
}

/* ------------------------------------------------------------------- images */

static void images_share_and_part(void **state)
{
    const uint64_t size = 10 * MIB + 512;
    struct rt_sim_image *a = rt_sim_image_new(size);
    uint8_t buf[10000], back[10000];
    memset(buf, 0x11, sizeof(buf));
    assert_int_equal(rt_sim_image_write(a, 2 * MIB - 5000, buf, 10000), 0);
    struct rt_sim_image *b = rt_sim_image_clone(a);
    assert_true(rt_sim_image_differs(a, b) == UINT64_MAX);
    memset(buf, 0x22, sizeof(buf));
    assert_int_equal(rt_sim_image_write(b, 2 * MIB + 10, buf, 5), 0);
    assert_true(rt_sim_image_differs(a, b) == 2 * MIB + 10);
    rt_sim_image_read(a, 2 * MIB - 5000, back, 10000);
    memset(buf, 0x11, sizeof(buf));
    assert_memory_equal(buf, back, 10000);
    assert_int_equal(rt_sim_image_zero(b, 1 * MIB, 9 * MIB), 0);
    rt_sim_image_read(a, 2 * MIB - 5000, back, 10000);
    assert_memory_equal(buf, back, 10000);
    assert_true(rt_sim_image_seek(b, true, 0) == size);
    assert_true(rt_sim_image_seek(a, true, 0) == 2 * MIB - 8192);
    assert_true(rt_sim_image_seek(a, false, 2 * MIB) == 2 * MIB + 8192);
    /* shrinking forgets */
    assert_int_equal(rt_sim_image_resize(a, 2 * MIB - 100), 0);
    assert_int_equal(rt_sim_image_resize(a, size), 0);
    rt_sim_image_read(a, 2 * MIB - 200, back, 200);
    assert_int_equal(back[99], 0x11);
    assert_int_equal(back[100], 0);
    rt_sim_image_free(a);
    rt_sim_image_free(b);
}

/* --------------------------------------------------- the log and power cuts */

static int put(struct rt_file *f, char c, uint64_t offset, uint8_t flags)
{
    char buf[512];
    memset(buf, c, sizeof(buf));
    struct rt_op op = {
        .kind = RT_OP_WRITE, .flags = flags, .file = f, .offset = offset, .n_iov = 1};
    op.one_iov = (struct iovec){buf, sizeof(buf)};
    op.iov = &op.one_iov;
    return rt_op_wait(&op) == 512 ? 0 : -EIO;
}

static void put_late(void *arg)
{
    int rc = put(arg, 'L', 4096, 0);
    assert_int_equal(rc, 0);
}

static int write_and_sync(void *arg)
{
    struct rt_file *f;
    assert_int_equal(rt_file_open("/disk", 0, &f, NULL), 0);
    assert_int_equal(put(f, 'a', 0, 0), 0);           /* 0 */
    assert_int_equal(put(f, 'b', 512, RT_OP_FUA), 0); /* 1 */
    assert_int_equal(rt_file_sync(f), 0);             /* 2 */
    assert_int_equal(put(f, 'c', 0, 0), 0);           /* 3 */
    struct rt_op op = {.kind = RT_OP_PUNCH, .file = f, .offset = 512, .length = 512};
    assert_int_equal(rt_op_wait(&op), 0); /* 4 */
    /* one write and one sync under way together: the sync promises nothing about the write */
    assert_int_equal(rt_task_spawn("late", put_late, f), 0);
    assert_int_equal(rt_file_sync(f), 0); /* 5 or 6 */
    rt_sleep_ns(1000000);
    rt_file_close(f);
    return 0;
}

static char byte_of(const struct rt_sim_image *image, uint64_t offset)
{
    char c;
    rt_sim_image_read(image, offset, &c, 1);
    return c;
}

static void log_tells_what_can_be_lost(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(MIB, 512);
    struct rt_sim_log log = {0};
    bool seen[2] = {false, false};
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct rt *rt = world(seed, 1);
        struct rt_sim_image *before = rt_sim_image_clone(rt_sim_disk_image(disk));
        rt_sim_disk_set_log(disk, &log);
        assert_int_equal(rt_sim_attach(rt, "/disk", disk), 0);
        assert_int_equal(rt_sim_attach(rt, "/disk", disk), -EEXIST);
        assert_int_equal(rt_run_task(rt, "writer", write_and_sync, NULL), 0);
        assert_int_equal(rt_sim_n_live(rt), 0);
        rt_destroy(rt);
        assert_int_equal(log.n_entries, 7);
        assert_false(log.failed);
        /* before the sync: only what was written through */
        assert_false(rt_sim_log_is_durable(&log, 2, 0));
        assert_true(rt_sim_log_is_durable(&log, 2, 1));
        assert_true(rt_sim_log_is_durable(&log, 3, 0));
        assert_int_equal(rt_sim_log_n_durable(&log, disk, 3), 2);
        assert_false(rt_sim_log_is_durable(&log, 5, 3));
        assert_true(rt_sim_log_is_durable(&log, 7, 3) && rt_sim_log_is_durable(&log, 7, 4));
        size_t late = log.entries[5].kind == RT_OP_WRITE ? 5 : 6;
        seen[late - 5] = true;
        assert_int_equal(log.entries[late].kind, RT_OP_WRITE);
        assert_int_equal(log.entries[11 - late].kind, RT_OP_FSYNC);
        assert_false(rt_sim_log_is_durable(&log, 7, late));
        assert_true(rt_sim_log_is_possible(&log, 5, late)); /* was under way already */
        assert_false(rt_sim_log_is_possible(&log, 4, late));
        assert_true(log.entries[3].n_durable_before_submit == 2);
        /* the image without the write that was never promised, and with all */
        struct rt_sim_image *image = rt_sim_image_clone(before);
        for (size_t i = 0; i < 7; i++) {
            if (i == 3)
                assert_int_equal(byte_of(image, 0), 'a');
            if (i != late)
                assert_int_equal(rt_sim_log_apply(&log, i, image), 0);
        }
        assert_int_equal(byte_of(image, 0), 'c');
        assert_int_equal(byte_of(image, 512), 0);
        assert_int_equal(byte_of(image, 4096), 0);
        assert_int_equal(rt_sim_log_apply(&log, late, image), 0);
        assert_true(rt_sim_image_differs(image, rt_sim_disk_image(disk)) == UINT64_MAX);
        rt_sim_image_free(image);
        rt_sim_log_free(&log);
        rt_sim_disk_give_image(disk, before);
    }
    assert_true(seen[0] && seen[1]);
    rt_sim_disk_set_log(disk, NULL);
    rt_sim_disk_put(disk);
}

static int cut_here(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    unsigned *n = arg;
    if (op->kind == RT_OP_WRITE && --*n == 0) {
        rt_stop(rt_world());
        return -EIO;
    }
    return 0;
}

static void holder(void *arg)
{
    struct rt_file *f;
    void *buf = rt_buf_get(100000);
    char *mem = rt_alloc(1000);
    assert_true(buf && mem);
    assert_int_equal(rt_file_open("/made", RT_FILE_CREATE | RT_FILE_LOCK, &f, NULL), 0);
    for (;;) {
        assert_int_equal(put(f, 'x', 512 * (rt_random_u64() % 100), 0), 0);
        rt_sleep_ns(1000);
    }
}

static void hold_much(void *arg)
{
    struct rt_sock *a, *b, *listener;
    assert_int_equal(rt_sock_pair(&a, &b), 0);
    assert_int_equal(rt_listen("unix:///s", 0, &listener, NULL), 0);
    assert_int_equal(rt_connect("unix:///s", &a, NULL), 0);
    assert_int_equal(rt_task_spawn("holder", holder, NULL), 0);
    rt_sleep_ns(50000);
    struct rt_file *f;
    assert_int_equal(rt_file_open("/disk", RT_FILE_LOCK, &f, NULL), 0);
    assert_int_equal(rt_sim_detach(rt_world(), "/disk"), 0);
    struct rt_mutex m;
    rt_mutex_init(&m);
    rt_mutex_lock(&m);
    wait_for_ever(NULL);
}

static void power_cut_leaves_nothing_behind(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(MIB, 512);
    for (unsigned n = 1; n < 30; n++) {
        struct rt *rt = world(n, 2);
        unsigned n_left = n;
        rt_sim_set_hooks(rt, &(struct rt_sim_hooks){.fail = cut_here, .arg = &n_left});
        assert_int_equal(rt_sim_attach(rt, "/disk", disk), 0);
        assert_int_equal(rt_task_spawn_on(rt_reactor(rt, 0), "much", hold_much, NULL), 0);
        assert_int_equal(rt_run(rt), 0);
        assert_int_equal(n_left, 0);
        assert_true(rt_sim_n_live(rt) > 5);
        rt_sim_discard(rt); /* the leak checker does the rest */
    }
    rt_sim_disk_put(disk);
}

static int fail_nth(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    unsigned *n = arg;
    return --*n == 0 ? -EIO : 0;
}

static int three_writes(void *arg)
{
    struct rt_file *f;
    int *n_ok = arg;
    *n_ok = 0;
    assert_int_equal(rt_file_open("/disk", RT_FILE_DIRECT, &f, NULL), 0);
    struct rt_file_info info;
    assert_int_equal(rt_file_info(f, &info), 0);
    assert_true(info.is_device && info.logical_block_bytes == 4096 && info.dio_align_bytes == 4096);
    char *buf = rt_buf_get(4096);
    memset(buf, 'w', 4096);
    for (unsigned i = 0; i < 3; i++)
        *n_ok += rt_file_write(f, buf, 4096, 4096 * i) == 0;
    assert_int_equal(rt_file_write(f, buf, 512, 0), -EINVAL);
    assert_int_equal(rt_file_write(f, buf, 4096, 100), -EINVAL);
    assert_int_equal(rt_file_write(f, buf, 4096, MIB), -ENOSPC);
    struct rt_op op = {.kind = RT_OP_PUNCH, .file = f, .offset = 0, .length = 4096};
    assert_int_equal(rt_op_wait(&op), -EOPNOTSUPP);
    rt_buf_put(buf, 4096);
    rt_file_close(f);
    return 0;
}

static void nth_io_fails(void **state)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct rt *rt = world(n, 1);
        struct rt_sim_disk *disk = rt_sim_disk_create(rt, "/disk", MIB, 4096);
        assert_non_null(disk);
        assert_ptr_equal(rt_sim_disk_find(rt, "/disk"), disk);
        rt_sim_disk_set_device(disk, true);
        rt_sim_disk_set_features(disk, false, true);
        unsigned n_left = n;
        int n_ok;
        rt_sim_set_hooks(rt, &(struct rt_sim_hooks){.fail = fail_nth, .arg = &n_left});
        if (n == 4)
            rt_sim_set_hooks(rt, &(struct rt_sim_hooks){0});
        assert_int_equal(rt_run_task(rt, "writer", three_writes, &n_ok), 0);
        assert_int_equal(n_ok, n <= 3 ? 2 : 3);
        for (unsigned i = 0; i < 3; i++) {
            char c;
            rt_sim_disk_peek(disk, 4096 * i, &c, 1);
            assert_int_equal(c, i + 1 == n ? 0 : 'w');
        }
        rt_destroy(rt);
    }
}

/* ------------------------------------------------------------ files, streams */

static int made_file(void *arg)
{
    struct rt_file *f;
    struct rt_file_info info;
    assert_int_equal(rt_file_open("/made", 0, &f, NULL), -ENOENT);
    assert_int_equal(rt_file_open("/made", RT_FILE_CREATE, &f, NULL), 0);
    assert_int_equal(rt_file_info(f, &info), 0);
    assert_int_equal(info.size_bytes, 0);
    rt_file_close(f);
    assert_int_equal(rt_file_open("/made", RT_FILE_CREATE | RT_FILE_EXCL, &f, NULL), -EEXIST);
    return 0;
}

static void a_file_begins_empty(void **state)
{
    struct rt *rt = world(1, 1);
    assert_int_equal(rt_run_task(rt, "maker", made_file, NULL), 0);
    rt_destroy(rt);
}

struct listener {
    struct rt_sock *sock;
    int64_t res;
    struct rt_event ended;
};

static void listen_task(void *arg)
{
    struct listener *l = arg;
    char c;
    struct rt_op op = {.kind = RT_OP_RECV, .sock = l->sock, .n_iov = 1};
    op.one_iov = (struct iovec){&c, 1};
    op.iov = &op.one_iov;
    l->res = rt_op_wait(&op);
    rt_event_set(&l->ended, 0);
}

/* A receive that waits for data ends when either side says that none will come. */
static int stream_case(void *arg)
{
    for (unsigned who = 0; who < 3; who++) {
        struct listener l = {.res = 1, .ended = RT_EVENT_INIT};
        struct rt_sock *peer;
        assert_int_equal(rt_sock_pair(&l.sock, &peer), 0);
        assert_int_equal(rt_task_spawn("listener", listen_task, &l), 0);
        rt_sleep_ns(1000000);
        assert_int_equal(l.res, 1);
        if (who == 0)
            rt_sock_shutdown(l.sock);
        else if (who == 1)
            rt_sock_shutdown(peer);
        else
            rt_sock_close(peer);
        assert_int_equal(rt_event_wait(&l.ended), 0);
        assert_true(l.res <= 0);
        rt_sock_close(l.sock);
        if (who < 2)
            rt_sock_close(peer);
    }
    return 0;
}

static void waiting_receives_end(void **state)
{
    struct rt *rt = world(1, 1);
    assert_int_equal(rt_run_task(rt, "streams", stream_case, NULL), 0);
    rt_destroy(rt);
}

/* ---------------------------------------------------------------- many worlds */

static int small_life(void *arg)
{
    struct rt_file *f;
    assert_int_equal(rt_file_open("/disk", 0, &f, NULL), 0);
    char *buf = rt_buf_get(4096);
    memset(buf, 1, 4096);
    assert_int_equal(rt_file_write(f, buf, 4096, 8192), 0);
    assert_int_equal(rt_file_read(f, buf, 4096, 4096), 0);
    rt_buf_put(buf, 4096);
    rt_file_close(f);
    return 0;
}

static void worlds_are_cheap(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(64 * MIB, 512);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    const unsigned n = 2000;
    for (unsigned i = 0; i < n; i++) {
        struct rt *rt = world(i, 1);
        struct rt_sim_image *image = rt_sim_image_clone(rt_sim_disk_image(disk));
        assert_int_equal(rt_sim_attach(rt, "/disk", disk), 0);
        assert_int_equal(rt_run_task(rt, "life", small_life, NULL), 0);
        rt_sim_discard(rt);
        rt_sim_disk_give_image(disk, image);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    double us = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e3 / n;
    print_message("# %.1f us per world\n", us);
    assert_true(us < 2000); /* far above what it takes, so that a busy machine does not fail it */
    rt_sim_disk_put(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_decides_everything),
        cmocka_unit_test(deadlock_is_seen),
        cmocka_unit_test(time_jumps),
        cmocka_unit_test(images_share_and_part),
        cmocka_unit_test(log_tells_what_can_be_lost),
        cmocka_unit_test(power_cut_leaves_nothing_behind),
        cmocka_unit_test(nth_io_fails),
        cmocka_unit_test(a_file_begins_empty),
        cmocka_unit_test(waiting_receives_end),
        cmocka_unit_test(worlds_are_cheap),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
