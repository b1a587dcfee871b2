/* SPDX-License-Identifier: Apache-2.0 */
/* rt: the same cases on io_uring, epoll and the simulator. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/uuid.h"
#include "rt/rt.h"
#include "rt/rt_sim.h"

#define MS 1000000ull

static char folder[64];

static struct rt *world(void **state, unsigned n_reactors)
{
    struct rt_opts opts;
    struct rt *rt = NULL;
    struct ash_err err = {0};
    rt_opts_init(&opts);
    opts.backend = *(enum rt_backend *)*state;
    const char *forced = getenv("ASHLAR_IO");
    if (opts.backend == RT_BACKEND_URING && forced && strcmp(forced, "epoll") == 0)
        skip(); /* e.g. under valgrind, which knows too little of io_uring */
    opts.n_reactors = n_reactors;
    opts.n_workers_max = 4;
    int rc = rt_create(&opts, &rt, &err);
    if (rc == -ENOSYS && opts.backend == RT_BACKEND_URING)
        skip();
    assert_int_equal(rc, 0);
    assert_int_equal(rt_n_reactors(rt), n_reactors);
    return rt;
}

static bool is_sim(void)
{
    return strcmp(rt_backend_name(rt_world()), "sim") == 0;
}

/* Run a case as a task of a fresh world; what it returns is the number of the line that failed. */
static void run(void **state, unsigned n_reactors, int (*fn)(void *arg), void *arg)
{
    struct rt *rt = world(state, n_reactors);
    assert_int_equal(rt_run_task(rt, "case", fn, arg), 0);
    rt_destroy(rt);
}

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "# line %d: %s\n", __LINE__, #x);                                      \
            return __LINE__;                                                                       \
        }                                                                                          \
    } while (0)

static const char *path_of(const char *name)
{
    static _Thread_local char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* --------------------------------------------------------------------- jobs */

#define N_HOPS 2000

struct hopper {
    struct rt_job job;
    unsigned n_hops, id;
    struct rt_event *end;
    bool wrong_place;
};

static void hop(struct rt_job *job)
{
    struct hopper *h = (struct hopper *)job;
    struct rt *rt = rt_world();
    unsigned n = rt_n_reactors(rt);
    h->wrong_place |= rt_reactor_idx(rt_self()) != (h->id + h->n_hops) % n;
    if (++h->n_hops > N_HOPS && rt_reactor_idx(rt_self()) == 0) {
        rt_event_set(h->end, h->wrong_place ? -1 : 0);
        return;
    }
    rt_post(rt_reactor(rt, (h->id + h->n_hops) % n), job);
}

static int jobs_hop(void *arg)
{
    struct hopper h[8] = {0};
    struct rt_event end[8];
    for (unsigned i = 0; i < 8; i++) {
        end[i] = RT_EVENT_INIT;
        h[i].job.run = hop;
        h[i].id = i;
        h[i].end = &end[i];
        unsigned to = i % rt_n_reactors(rt_world());
        rt_post(rt_reactor(rt_world(), to), &h[i].job);
        if (to == 0)
            CHECK(h[i].n_hops == 0); /* never before rt_post returns */
    }
    for (unsigned i = 0; i < 8; i++)
        CHECK(rt_event_wait(&end[i]) == 0);
    return 0;
}

struct ordered {
    struct rt_job job;
    unsigned n;
    unsigned *next;
    struct rt_event *end;
};

static void ordered_run(struct rt_job *job)
{
    struct ordered *o = (struct ordered *)job;
    if (*o->next == o->n)
        ++*o->next;
    if (o->n == 999)
        rt_event_set(o->end, *o->next == 1000 ? 0 : -1);
}

static int post_in_order(void *arg)
{
    struct ordered *o = arg;
    for (unsigned i = 0; i < 1000; i++) {
        o[i].job.run = ordered_run;
        o[i].n = i;
        rt_post(rt_reactor(rt_world(), 0), &o[i].job);
    }
    return 0;
}

static int jobs_keep_order(void *arg)
{
    static struct ordered o[1000];
    unsigned next = 0;
    struct rt_event end = RT_EVENT_INIT;
    for (unsigned i = 0; i < 1000; i++)
        o[i] = (struct ordered){.next = &next, .end = &end};
    CHECK(rt_call_on(rt_reactor(rt_world(), 1), "poster", post_in_order, o) == 0);
    CHECK(rt_event_wait(&end) == 0);
    return 0;
}

static void jobs(void **state)
{
    run(state, 3, jobs_hop, NULL);
    run(state, 1, jobs_hop, NULL);
    run(state, 2, jobs_keep_order, NULL);
}

struct stranger {
    struct rt_job job;
    struct rt_reactor *to;
    struct rt_event end;
};

static void stranger_run(struct rt_job *job)
{
    rt_event_set(&((struct stranger *)job)->end, 7);
}

static void *stranger_main(void *arg)
{
    struct stranger *s = arg;
    usleep(20000); /* the reactor sleeps by now, or else the case is only weaker */
    rt_post(s->to, &s->job);
    return NULL;
}

static int wait_for_stranger(void *arg)
{
    struct stranger s = {.job.run = stranger_run, .to = rt_self(), .end = RT_EVENT_INIT};
    pthread_t thread;
    if (is_sim())
        return 0; /* has only one thread */
    CHECK(pthread_create(&thread, NULL, stranger_main, &s) == 0);
    CHECK(rt_event_wait(&s.end) == 7);
    pthread_join(thread, NULL);
    return 0;
}

static void foreign_thread_wakes_a_sleeper(void **state)
{
    run(state, 1, wait_for_stranger, NULL);
}

/* ------------------------------------------------------- foreign descriptors */

struct canceller {
    struct rt_op op;
    struct rt_event end;
};

static void canceller_done(struct rt_op *op)
{
    struct canceller *c = (struct canceller *)op;
    rt_event_set(&c->end, (int)op->res);
}

struct poker {
    struct rt_timer timer;
    int fd;
};

static void poke(struct rt_timer *timer)
{
    struct poker *p = (struct poker *)timer;
    ssize_t n = write(p->fd, "hello", 5);
    (void)n; /* the reader checks */
}

static int watch_a_pipe(void *arg)
{
    struct poker poker = {.timer.fire = poke};
    struct rt_sock *sock = NULL;
    char buf[16];
    int fds[2];
    CHECK(pipe(fds) == 0);
    if (is_sim()) {
        CHECK(rt_watch_fd(fds[0], &sock) == -ENOTSUP);
        close(fds[0]);
        close(fds[1]);
        return 0;
    }
    CHECK(rt_watch_fd(-1, &sock) == -EBADF);
    CHECK(rt_watch_fd(fds[0], &sock) == 0);
    close(fds[0]);
    CHECK(rt_watch_read(sock, buf, sizeof(buf)) == -EAGAIN);
    poker.fd = fds[1];
    struct rt_op op = {.kind = RT_OP_POLL, .sock = sock};
    for (int i = 0; i < 3; i++) {
        rt_timer_start(&poker.timer, MS);
        CHECK(rt_op_wait(&op) >= 0);
        CHECK(rt_watch_read(sock, buf, sizeof(buf)) == 5 && memcmp(buf, "hello", 5) == 0);
        CHECK(rt_watch_read(sock, buf, sizeof(buf)) == -EAGAIN);
    }
    struct canceller c = {.end = RT_EVENT_INIT};
    c.op = (struct rt_op){.kind = RT_OP_POLL, .sock = sock, .done = canceller_done};
    rt_op_submit(&c.op);
    rt_sleep_ns(MS);
    rt_op_cancel(&c.op);
    CHECK(rt_event_wait(&c.end) == -ECANCELED);
    close(fds[1]);
    CHECK(rt_op_wait(&op) >= 0); /* the other end has gone */
    CHECK(rt_watch_read(sock, buf, sizeof(buf)) == 0);
    rt_sock_close(sock);
    return 0;
}

static void watches(void **state)
{
    run(state, 1, watch_a_pipe, NULL);
}

/* ------------------------------------------------------------------- timers */

struct alarm {
    struct rt_timer timer;
    unsigned id, *order, *n;
};

static void alarm_fire(struct rt_timer *timer)
{
    struct alarm *a = (struct alarm *)timer;
    a->order[(*a->n)++] = a->id;
}

static int timers_in_order(void *arg)
{
    unsigned order[40], n = 0;
    struct alarm a[40];
    uint64_t start = rt_now_ns();
    for (unsigned i = 0; i < 40; i++) {
        a[i] = (struct alarm){.timer.fire = alarm_fire, .id = i, .order = order, .n = &n};
        rt_timer_start(&a[i].timer, (1 + (i * 7) % 40) * MS);
    }
    for (unsigned i = 0; i < 40; i += 4) {
        rt_timer_stop(&a[i].timer);
        rt_timer_stop(&a[i].timer);
        CHECK(!rt_timer_armed(&a[i].timer));
    }
    rt_timer_start(&a[1].timer, 45 * MS); /* again, later */
    rt_sleep_ns(50 * MS);
    CHECK(rt_now_ns() - start >= 50 * MS);
    CHECK(n == 30 && order[29] == 1);
    for (unsigned i = 1; i < 29; i++)
        CHECK(order[i - 1] % 4 != 0 && order[i - 1] * 7 % 40 < order[i] * 7 % 40);
    return 0;
}

static void timers(void **state)
{
    run(state, 1, timers_in_order, NULL);
}

/* -------------------------------------------------------------------- tasks */

struct family {
    struct rt_mutex mutex;
    struct rt_waitq q;
    unsigned n_started, n_in, n_ended, order[8], n_order;
    bool overlap;
    struct rt_event all;
};

static void member(void *arg)
{
    struct family *f = arg;
    unsigned id = f->n_started++;
    rt_step("waiting for the mutex");
    rt_mutex_lock(&f->mutex);
    f->overlap |= f->n_in++ > 0;
    f->order[f->n_order++] = id;
    rt_yield();
    rt_sleep_ns(1 * MS);
    f->n_in--;
    rt_mutex_unlock(&f->mutex);
    rt_waitq_wait(&f->q);
    if (++f->n_ended == 8)
        rt_event_set(&f->all, 42);
}

static int tasks_together(void *arg)
{
    struct family f = {.all = RT_EVENT_INIT};
    rt_mutex_init(&f.mutex);
    rt_waitq_init(&f.q);
    for (unsigned i = 0; i < 8; i++)
        CHECK(rt_task_spawn("member", member, &f) == 0);
    CHECK(f.n_started == 0);
    rt_yield();
    CHECK(f.n_started == 8);
    struct rt_task_info infos[16];
    size_t n;
    CHECK(rt_tasks(infos, 16, &n) == 0 && n == 9);
    CHECK(strcmp(infos[0].name, "case") == 0 && infos[0].parent_id == 0);
    CHECK(strcmp(infos[3].name, "member") == 0 && infos[3].parent_id == infos[0].id);
    CHECK(strcmp(infos[3].step, "waiting for the mutex") == 0);
    CHECK(rt_tasks(infos, 4, &n) == 0 && n == 4);
    while (f.n_order < 8 || f.mutex.owner)
        rt_sleep_ns(1 * MS);
    CHECK(!f.overlap);
    for (unsigned i = 0; i < 8; i++)
        CHECK(f.order[i] == i);
    rt_waitq_wake_one(&f.q);
    rt_yield();
    CHECK(f.n_ended == 1);
    rt_waitq_wake_all(&f.q);
    CHECK(rt_event_wait(&f.all) == 42);
    CHECK(rt_event_wait(&f.all) == 42); /* set already */
    rt_yield();
    return 0;
}

static void tasks(void **state)
{
    run(state, 1, tasks_together, NULL);
}

static int deep(int n)
{
    volatile char room[512];
    room[0] = (char)n;
    return n == 0 ? room[0] : deep(n - 1) + (room[0] == (char)n);
}

static int slow_sum(void *arg)
{
    int *n = arg;
    return *n + deep(20);
}

static int far_call(void *arg)
{
    unsigned *idx = arg;
    *idx = rt_reactor_idx(rt_self());
    rt_sleep_ns(1 * MS);
    int n = 100;
    return rt_work("sum", slow_sum, &n);
}

static int works_and_calls(void *arg)
{
    int n = 5;
    CHECK(rt_work("sum", slow_sum, &n) == 25);
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        unsigned idx = 99;
        CHECK(rt_call_on(rt_reactor(rt_world(), i), "far", far_call, &idx) == 120);
        CHECK(idx == i);
    }
    CHECK(deep(50) == 50);
    CHECK(rt_reactor_idx(rt_self()) == 0);
    return 0;
}

static void work_and_calls(void **state)
{
    run(state, 3, works_and_calls, NULL);
}

struct crowd {
    unsigned n_left;
    struct rt_event end;
};

static void crowd_member(void *arg)
{
    struct crowd *c = arg;
    int n = 1;
    rt_sleep_ns(rt_random_u64() % MS);
    if (rt_work("sum", slow_sum, &n) == 21 && --c->n_left == 0)
        rt_event_set(&c->end, 0);
}

static int many_tasks(void *arg)
{
    struct crowd c = {.n_left = 300, .end = RT_EVENT_INIT};
    for (unsigned i = 0; i < 300; i++)
        CHECK(rt_task_spawn("crowd", crowd_member, &c) == 0);
    CHECK(rt_event_wait(&c.end) == 0);
    rt_yield();
    return 0;
}

static void crowds(void **state)
{
    run(state, 1, many_tasks, NULL);
}

/* -------------------------------------------------------------------- files */

static int files_work(void *arg)
{
    struct ash_err err = {0};
    struct rt_file *f;
    struct rt_file_info info;
    char path[128];
    snprintf(path, sizeof(path), "%s", path_of("disk"));
    CHECK(rt_file_open(path, 0, &f, &err) == -ENOENT && err.reason == ASH_E_RT_FILE_OPEN);
    CHECK(!rt_path_exists(path));
    CHECK(rt_file_open(path, RT_FILE_CREATE | RT_FILE_EXCL | RT_FILE_LOCK, &f, NULL) == 0);
    CHECK(rt_path_exists(path) && !rt_path_is_blockdev(path));
    struct rt_file *g = NULL;
    ash_err_clear(&err);
    CHECK(rt_file_open(path, RT_FILE_LOCK | RT_FILE_RDONLY, &g, &err) == -EBUSY);
    CHECK(err.reason == ASH_E_RT_FILE_BUSY && g == NULL);
    CHECK(rt_file_open(path, RT_FILE_CREATE | RT_FILE_EXCL, &g, NULL) == -EEXIST);
    CHECK(rt_file_truncate(f, 1 << 20) == 0);
    CHECK(rt_file_info(f, &info) == 0 && info.size_bytes == 1 << 20 && !info.is_device);
    CHECK(info.logical_block_bytes == 512 && info.dio_align_bytes == 1);

    char *buf = rt_buf_get(65536), *back = rt_buf_get(65536);
    CHECK(buf && back && ((uintptr_t)buf & 4095) == 0);
    for (int i = 0; i < 65536; i++)
        buf[i] = (char)(i * 7 + i / 256);
    CHECK(rt_file_write(f, buf, 65536, 4096) == 0);
    CHECK(rt_file_sync(f) == 0);
    CHECK(rt_file_read(f, back, 65536, 4096) == 0 && memcmp(buf, back, 65536) == 0);

    /* vectors, force-unit-access, short at the end */
    struct iovec iov[5] = {{buf, 1}, {buf + 1, 0}, {buf + 1, 4095}, {buf + 4096, 3}, {buf, 777}};
    struct rt_op op = {.kind = RT_OP_WRITE,
                       .flags = RT_OP_FUA,
                       .file = f,
                       .iov = iov,
                       .n_iov = 5,
                       .offset = 500000};
    CHECK(rt_op_wait(&op) == 4099 + 777);
    CHECK(rt_file_read(f, back, 4099 + 777, 500000) == 0);
    CHECK(memcmp(buf, back, 4099) == 0 && memcmp(buf, back + 4099, 777) == 0);
    struct iovec riov[2] = {{back, 100}, {back + 100, 60000}};
    op = (struct rt_op){
        .kind = RT_OP_READ, .file = f, .iov = riov, .n_iov = 2, .offset = (1 << 20) - 1000};
    CHECK(rt_op_wait(&op) == 1000);
    op.offset = 2 << 20;
    CHECK(rt_op_wait(&op) == 0);
    CHECK(rt_file_read(f, back, 4096, (1 << 20) - 4095) == -EIO);
    CHECK(rt_file_write(f, buf, 100, (1 << 20) - 50) == 0); /* grows */
    CHECK(rt_file_info(f, &info) == 0 && info.size_bytes == (1 << 20) + 50);
    CHECK(rt_file_truncate(f, 1 << 20) == 0);

    /* holes */
    uint64_t at;
    CHECK(rt_file_seek(f, true, 0, &at) == 0 && at <= 4096);
    CHECK(rt_file_seek(f, true, 1 << 20, &at) == -ENXIO);
    if (info.can_punch) {
        op = (struct rt_op){.kind = RT_OP_PUNCH, .file = f, .offset = 8192, .length = 8192};
        CHECK(rt_op_wait(&op) == 0);
        CHECK(rt_file_seek(f, false, 4096, &at) == 0 && at == 8192);
        CHECK(rt_file_read(f, back, 65536, 4096) == 0);
        CHECK(back[4096] == 0 && memcmp(back + 4096, back + 4097, 8191) == 0);
        CHECK(memcmp(buf, back, 4096) == 0 && memcmp(buf + 12288, back + 12288, 4096) == 0);
    }
    for (int no_hole = 0; no_hole < 2; no_hole++) {
        CHECK(rt_file_write(f, buf, 65536, 4096) == 0);
        op = (struct rt_op){.kind = RT_OP_ZERO,
                            .file = f,
                            .offset = 5000,
                            .length = 10000,
                            .flags = no_hole ? RT_OP_NO_HOLE : 0};
        CHECK(rt_op_wait(&op) == 0);
        CHECK(rt_file_read(f, back, 65536, 4096) == 0);
        CHECK(memcmp(buf, back, 904) == 0 && back[904] == 0);
        CHECK(memcmp(back + 904, back + 905, 9999) == 0);
        CHECK(memcmp(buf + 10904, back + 10904, 1000) == 0);
    }
    rt_buf_put(buf, 65536);
    rt_buf_put(back, 65536);
    rt_file_close(f);
    CHECK(rt_file_open(path, RT_FILE_LOCK | RT_FILE_RDONLY, &f, NULL) == 0);
    CHECK(rt_file_open(path, RT_FILE_LOCK | RT_FILE_RDONLY, &g, NULL) == 0);
    CHECK(rt_file_write(f, "x", 1, 0) == -EBADF);
    rt_file_close(g);
    rt_file_close(f);
    CHECK(rt_unlink(path) == 0 && !rt_path_exists(path) && rt_unlink(path) == -ENOENT);
    return 0;
}

static void files(void **state)
{
    run(state, 1, files_work, NULL);
}

static int direct_files(void *arg)
{
    struct rt_file *f;
    struct rt_file_info info;
    char path[128];
    snprintf(path, sizeof(path), "%s", path_of("direct"));
    CHECK(rt_file_open(path, RT_FILE_CREATE | RT_FILE_EXCL | RT_FILE_DIRECT, &f, NULL) == 0);
    CHECK(rt_file_info(f, &info) == 0);
    char *buf = rt_buf_get(8192);
    memset(buf, 0x5a, 8192);
    CHECK(rt_file_write(f, buf, 8192, 0) == 0);
    memset(buf, 0, 8192);
    CHECK(rt_file_read(f, buf, 8192, 0) == 0 && buf[0] == 0x5a && buf[8191] == 0x5a);
    if (info.is_direct)
        CHECK(info.dio_align_bytes >= 512 && info.dio_align_bytes <= 4096);
    /* the end of the file is not a multiple of the sector */
    CHECK(rt_file_truncate(f, 5000) == 0);
    struct rt_op op = {.kind = RT_OP_READ, .file = f, .n_iov = 1};
    op.one_iov = (struct iovec){buf, 8192};
    op.iov = &op.one_iov;
    CHECK(rt_op_wait(&op) == 5000);
    rt_buf_put(buf, 8192);
    rt_file_close(f);
    CHECK(rt_unlink(path) == 0);
    return 0;
}

static void direct(void **state)
{
    run(state, 1, direct_files, NULL);
}

struct burst {
    struct rt_op op;
    char data[512];
    unsigned *n_done;
    struct rt_event *end;
};

#define N_BURST 700 /* more than a submission queue holds */

static void burst_done(struct rt_op *op)
{
    struct burst *b = (struct burst *)op;
    if (++*b->n_done == N_BURST)
        rt_event_set(b->end, 0);
}

static int file_burst(void *arg)
{
    struct rt_file *f;
    char path[128];
    unsigned n_done = 0;
    struct rt_event end = RT_EVENT_INIT;
    struct burst *b = rt_alloc(N_BURST * sizeof(*b));
    snprintf(path, sizeof(path), "%s", path_of("burst"));
    CHECK(rt_file_open(path, RT_FILE_CREATE, &f, NULL) == 0);
    for (int round = 0; round < 2; round++) {
        n_done = 0;
        end = RT_EVENT_INIT;
        for (unsigned i = 0; i < N_BURST; i++) {
            if (round == 0)
                memset(b[i].data, (int)i, sizeof(b[i].data));
            else
                memset(b[i].data, 0xee, sizeof(b[i].data));
            b[i].n_done = &n_done;
            b[i].end = &end;
            b[i].op = (struct rt_op){
                .kind = round ? RT_OP_READ : RT_OP_WRITE,
                .file = f,
                .n_iov = 1,
                .offset = 512ull * i,
                .done = burst_done,
            };
            b[i].op.one_iov = (struct iovec){b[i].data, 512};
            b[i].op.iov = &b[i].op.one_iov;
            rt_op_submit(&b[i].op);
            CHECK(n_done == 0); /* never from inside */
        }
        CHECK(rt_event_wait(&end) == 0);
        for (unsigned i = 0; i < N_BURST; i++) {
            CHECK(b[i].op.res == 512);
            CHECK(b[i].data[0] == (char)i && b[i].data[511] == (char)i);
        }
    }
    rt_free(b);
    rt_file_close(f);
    CHECK(rt_unlink(path) == 0);
    return 0;
}

static void bursts(void **state)
{
    run(state, 1, file_burst, NULL);
}

static int small_files(void *arg)
{
    struct ash_err err = {0};
    struct rt_file *f;
    char path[128], *text;
    size_t n;
    snprintf(path, sizeof(path), "%s", path_of("a/b/c"));
    CHECK(rt_make_dirs(path, 0700, &err) == 0);
    CHECK(rt_make_dirs(path, 0700, &err) == 0);
    snprintf(path, sizeof(path), "%s", path_of("a/b/c/text"));
    CHECK(rt_file_open(path, RT_FILE_CREATE, &f, &err) == 0);
    CHECK(rt_file_write(f, "hello", 5, 0) == 0);
    rt_file_close(f);
    CHECK(rt_read_text(path, 100, &text, &n, &err) == 0);
    CHECK(n == 5 && strcmp(text, "hello") == 0);
    rt_free(text);
    CHECK(rt_read_text(path, 4, &text, &n, &err) == -EFBIG);
    if (!is_sim())
        CHECK(rt_make_dirs(path, 0700, NULL) == -ENOTDIR);
    CHECK(rt_unlink(path) == 0);
    ash_err_clear(&err);
    CHECK(rt_read_text(path, 100, &text, &n, &err) == -ENOENT);
    CHECK(err.reason == ASH_E_RT_FILE_OPEN);
    return 0;
}

static void host_files(void **state)
{
    run(state, 1, small_files, NULL);
}

/* ------------------------------------------------------------------ sockets */

static int64_t sock_io(struct rt_sock *sock, uint8_t kind, void *data, size_t n)
{
    struct rt_op op = {.kind = kind, .sock = sock, .n_iov = 1};
    op.one_iov = (struct iovec){data, n};
    op.iov = &op.one_iov;
    return rt_op_wait(&op);
}

static int recv_all(struct rt_sock *sock, char *data, size_t n)
{
    while (n > 0) {
        int64_t got = sock_io(sock, RT_OP_RECV, data, n);
        if (got <= 0)
            return got < 0 ? (int)got : -ECONNRESET;
        data += got;
        n -= (size_t)got;
    }
    return 0;
}

#define BIG_BYTES (3u << 20)

struct echo {
    struct rt_sock *listener;
    struct rt_event end;
    int rc;
};

static int serve_one(struct rt_sock *listener)
{
    struct rt_op op = {.kind = RT_OP_ACCEPT, .sock = listener};
    CHECK(rt_op_wait(&op) == 0 && op.ret_sock);
    struct rt_sock *sock = op.ret_sock;
    char *data = rt_buf_get(BIG_BYTES);
    CHECK(recv_all(sock, data, BIG_BYTES) == 0);
    struct iovec iov[3] = {{data, 10}, {data + 10, BIG_BYTES / 2}, {NULL, 0}};
    iov[2].iov_base = data + 10 + BIG_BYTES / 2;
    iov[2].iov_len = BIG_BYTES - 10 - BIG_BYTES / 2;
    op = (struct rt_op){.kind = RT_OP_SEND, .sock = sock, .iov = iov, .n_iov = 3};
    CHECK(rt_op_wait(&op) == BIG_BYTES);
    CHECK(sock_io(sock, RT_OP_RECV, data, 10) == 0); /* the peer has ended */
    rt_buf_put(data, BIG_BYTES);
    rt_sock_close(sock);
    return 0;
}

static void server(void *arg)
{
    struct echo *e = arg;
    rt_event_set(&e->end, serve_one(e->listener));
}

static int talk(const char *address)
{
    struct ash_err err = {0};
    struct echo e = {.end = RT_EVENT_INIT};
    struct rt_sock *sock, *other;
    CHECK(rt_listen(address, 0600, &e.listener, &err) == 0);
    const char *bound = rt_sock_address(e.listener);
    CHECK(strncmp(bound, address, 9) == 0 && strcmp(bound + strlen(bound) - 2, ":0") != 0);
    CHECK(rt_listen(bound, 0600, &other, &err) == -EADDRINUSE);
    CHECK(err.reason == ASH_E_RT_SOCKET_BUSY);
    CHECK(rt_task_spawn("server", server, &e) == 0);
    CHECK(rt_connect(bound, &sock, NULL) == 0);
    CHECK(strncmp(rt_sock_address(sock), address, 9) == 0);
    char *data = rt_buf_get(BIG_BYTES), *back = rt_buf_get(BIG_BYTES);
    for (unsigned i = 0; i < BIG_BYTES; i++)
        data[i] = (char)(i * 31 + i / 1000);
    CHECK(sock_io(sock, RT_OP_SEND, data, BIG_BYTES) == BIG_BYTES);
    CHECK(recv_all(sock, back, BIG_BYTES) == 0);
    CHECK(memcmp(data, back, BIG_BYTES) == 0);
    rt_sock_close(sock);
    CHECK(rt_event_wait(&e.end) == 0);
    rt_sock_close(e.listener);
    CHECK(rt_connect(address, &sock, NULL) < 0);
    rt_buf_put(data, BIG_BYTES);
    rt_buf_put(back, BIG_BYTES);
    return 0;
}

static int sockets_talk(void *arg)
{
    char address[160];
    snprintf(address, sizeof(address), "unix://%s", path_of("sock"));
    int rc = talk(address);
    CHECK(rc == 0);
    CHECK(!rt_path_exists(path_of("sock")) && !rt_path_exists(path_of("sock.lock")));
    rc = talk("tcp://127.0.0.1:0");
    CHECK(rc == 0);
    struct rt_sock *sock;
    struct ash_err err = {0};
    CHECK(rt_listen("unix:/x", 0, &sock, &err) == -EINVAL && err.reason == ASH_E_RT_BAD_ADDRESS);
    CHECK(rt_listen("tcp://1.2.3.4", 0, &sock, NULL) == -EINVAL);
    CHECK(rt_listen("tcp://1.2.3.4:65536", 0, &sock, NULL) == -EINVAL);
    CHECK(rt_listen("tcp://::1:80", 0, &sock, NULL) == -EINVAL);
    return 0;
}

static void sockets(void **state)
{
    run(state, 1, sockets_talk, NULL);
}

static int stale_socket(void *arg)
{
    struct rt_sock *sock;
    struct stat st;
    char address[160];
    snprintf(address, sizeof(address), "unix://%s", path_of("stale"));
    if (is_sim())
        return 0; /* there is no file */
    CHECK(rt_listen(address, 0640, &sock, NULL) == 0);
    CHECK(stat(path_of("stale"), &st) == 0 && (st.st_mode & 07777) == 0640);
    /* as a killed server leaves it: the file without the lock */
    char moved[160];
    snprintf(moved, sizeof(moved), "%s", path_of("moved"));
    CHECK(rename(path_of("stale"), moved) == 0);
    rt_sock_close(sock);
    CHECK(rename(moved, path_of("stale")) == 0);
    CHECK(rt_listen(address, 0600, &sock, NULL) == 0);
    CHECK(stat(path_of("stale"), &st) == 0 && (st.st_mode & 07777) == 0600);
    rt_sock_close(sock);
    /* a file that is no socket stays */
    FILE *f = fopen(path_of("stale"), "w");
    CHECK(f != NULL);
    fclose(f);
    CHECK(rt_listen(address, 0600, &sock, NULL) == -EEXIST);
    CHECK(unlink(path_of("stale")) == 0);
    CHECK(!rt_path_exists(path_of("stale.lock")));
    return 0;
}

static void stale_sockets(void **state)
{
    run(state, 1, stale_socket, NULL);
}

struct pending {
    struct rt_op op;
    struct rt_event end;
    char data[64];
};

static void pending_done(struct rt_op *op)
{
    rt_event_set(&((struct pending *)op)->end, (int)op->res);
}

static void pending_start(struct pending *p, struct rt_sock *sock, uint8_t kind)
{
    *p = (struct pending){.end = RT_EVENT_INIT};
    p->op = (struct rt_op){.kind = kind, .sock = sock, .n_iov = 1, .done = pending_done};
    p->op.one_iov = (struct iovec){p->data, sizeof(p->data)};
    p->op.iov = &p->op.one_iov;
    rt_op_submit(&p->op);
}

static int cancel_and_shut(void *arg)
{
    struct rt_sock *a, *b, *listener;
    struct pending p, q, r;
    CHECK(rt_sock_pair(&a, &b) == 0);
    /* cancel at once, and after it has gone to the back end; queued ones too */
    pending_start(&p, a, RT_OP_RECV);
    rt_op_cancel(&p.op);
    CHECK(rt_event_wait(&p.end) == -ECANCELED);
    pending_start(&p, a, RT_OP_RECV);
    pending_start(&q, a, RT_OP_RECV);
    pending_start(&r, a, RT_OP_RECV);
    rt_sleep_ns(2 * MS);
    rt_op_cancel(&q.op);
    CHECK(rt_event_wait(&q.end) == -ECANCELED);
    rt_op_cancel(&p.op);
    CHECK(rt_event_wait(&p.end) == -ECANCELED);
    CHECK(sock_io(b, RT_OP_SEND, "xyz", 3) == 3);
    int n_first = rt_event_wait(&r.end);
    CHECK(n_first >= 1 && n_first <= 3 && memcmp(r.data, "xyz", (size_t)n_first) == 0);
    if (n_first < 3)
        CHECK(recv_all(a, r.data, 3 - (size_t)n_first) == 0);
    /* shutting down ends what waits, on both sides */
    pending_start(&p, a, RT_OP_RECV);
    pending_start(&q, b, RT_OP_RECV);
    rt_sleep_ns(2 * MS);
    rt_sock_shutdown(a);
    CHECK(rt_event_wait(&p.end) == 0);
    CHECK(rt_event_wait(&q.end) == 0);
    CHECK(sock_io(a, RT_OP_SEND, "x", 1) == -EPIPE);
    CHECK(sock_io(b, RT_OP_SEND, "x", 1) == -EPIPE);
    rt_sock_close(a);
    rt_sock_close(b);
    static const char *const addresses[] = {"unix://", "tcp://127.0.0.1:0"};
    for (int i = 0; i < 2; i++) {
        char address[160];
        snprintf(address, sizeof(address), "%s%s", addresses[i], i ? "" : path_of("shut"));
        CHECK(rt_listen(address, 0, &listener, NULL) == 0);
        pending_start(&p, listener, RT_OP_ACCEPT);
        rt_sleep_ns(2 * MS);
        rt_op_cancel(&p.op);
        CHECK(rt_event_wait(&p.end) == -ECANCELED);
        pending_start(&p, listener, RT_OP_ACCEPT);
        rt_sleep_ns(2 * MS);
        rt_sock_shutdown(listener);
        CHECK(rt_event_wait(&p.end) < 0);
        rt_sock_close(listener);
    }
    /* the peer goes away without a word */
    CHECK(rt_sock_pair(&a, &b) == 0);
    pending_start(&p, a, RT_OP_RECV);
    rt_sock_close(b);
    CHECK(rt_event_wait(&p.end) == 0);
    rt_sock_close(a);
    return 0;
}

static void cancels(void **state)
{
    run(state, 1, cancel_and_shut, NULL);
}

/* A connection goes from reactor to reactor between its operations. */
struct wander {
    struct rt_sock *sock;
    char c;
};

static int wander_recv(void *arg)
{
    struct wander *w = arg;
    return (int)sock_io(w->sock, RT_OP_RECV, &w->c, 1);
}

struct sender {
    struct rt_sock *sock;
    char c;
    struct rt_event end;
};

static void delayed_send(void *arg)
{
    struct sender *s = arg;
    rt_sleep_ns(rt_random_u64() % 200000);
    rt_event_set(&s->end, (int)sock_io(s->sock, RT_OP_SEND, &s->c, 1));
}

static int handed_on(void *arg)
{
    struct rt_sock *a, *b;
    CHECK(rt_sock_pair(&a, &b) == 0);
    for (unsigned i = 0; i < 200; i++) {
        struct wander w = {.sock = a};
        struct sender s = {.sock = b, .c = (char)i, .end = RT_EVENT_INIT};
        CHECK(rt_task_spawn("sender", delayed_send, &s) == 0);
        CHECK(rt_call_on(rt_reactor(rt_world(), i % 3), "receiver", wander_recv, &w) == 1);
        CHECK(w.c == (char)i);
        CHECK(rt_event_wait(&s.end) == 1);
    }
    rt_sock_close(a);
    rt_sock_close(b);
    return 0;
}

static void sockets_move(void **state)
{
    run(state, 3, handed_on, NULL);
}

/* ------------------------------------------------------------------- memory */

static bool fail_every_third(void *arg)
{
    unsigned *n = arg;
    return ++*n % 3 == 0;
}

static void nothing(void *arg)
{
}

static int memory_fails(void *arg)
{
    unsigned n = 0;
    rt_set_alloc_hook(rt_world(), fail_every_third, &n);
    char *a = rt_alloc(100), *b = rt_strdup("text");
    CHECK(a && b && rt_alloc(1) == NULL);
    char *c = rt_realloc(a, 100, 200);
    CHECK(c && c[199] == 0);
    n = 2;
    CHECK(rt_buf_get(4096) == NULL);
    n = 2;
    CHECK(rt_task_spawn("x", nothing, NULL) == -ENOMEM);
    n = 2;
    CHECK(rt_realloc(c, 200, 300) == NULL);
    rt_set_alloc_hook(rt_world(), NULL, NULL);
    c[0] = 'x';
    c = rt_realloc(c, 200, 300);
    CHECK(c && c[0] == 'x' && c[299] == 0 && strcmp(b, "text") == 0);
    rt_free(c);
    rt_free(b);
    rt_free(NULL);
    return 0;
}

static int put_far(void *arg)
{
    rt_buf_put(arg, 12345);
    return 0;
}

static int buffers_travel(void *arg)
{
    static const size_t sizes[] = {1, 512, 4096, 4097, 65536, 1 << 20, (4 << 20) + 1, 12345};
    for (int round = 0; round < 3; round++) {
        void *bufs[ASH_N_ELEMS(sizes)];
        for (size_t i = 0; i < ASH_N_ELEMS(sizes); i++) {
            bufs[i] = rt_buf_get(sizes[i]);
            CHECK(bufs[i] && ((uintptr_t)bufs[i] & 4095) == 0);
            memset(bufs[i], round, sizes[i]);
        }
        CHECK(rt_call_on(rt_reactor(rt_world(), 1), "put", put_far, bufs[7]) == 0);
        for (size_t i = 0; i < 7; i++)
            rt_buf_put(bufs[i], sizes[i]);
        rt_buf_put(NULL, 5);
    }
    return 0;
}

static void memory(void **state)
{
    run(state, 1, memory_fails, NULL);
    run(state, 2, buffers_travel, NULL);
}

/* ------------------------------------------------------------ idle and the rest */

static int idle_sleeps(void *arg)
{
    struct rt *rt = rt_world();
    struct rt_sock *a, *b;
    struct pending p;
    CHECK(rt_sock_pair(&a, &b) == 0);
    pending_start(&p, a, RT_OP_RECV); /* an idle client */
    rt_sleep_ns(20 * MS);
    struct rt_stats before[2], after[2];
    for (unsigned i = 0; i < 2; i++)
        rt_reactor_stats(rt_reactor(rt, i), &before[i]);
    rt_sleep_ns(100 * MS);
    for (unsigned i = 0; i < 2; i++)
        rt_reactor_stats(rt_reactor(rt, i), &after[i]);
    CHECK(after[0].n_turns - before[0].n_turns <= 3); /* our own timer */
    CHECK(after[1].n_turns == before[1].n_turns);
    CHECK(after[1].n_syscalls == before[1].n_syscalls);
    CHECK(sock_io(b, RT_OP_SEND, "x", 1) == 1);
    CHECK(rt_event_wait(&p.end) == 1);
    rt_sock_close(a);
    rt_sock_close(b);
    return 0;
}

static void idle(void **state)
{
    run(state, 2, idle_sleeps, NULL);
}

struct watcher {
    struct rt_signal sig;
    unsigned n;
    struct rt_event end;
};

static void watcher_fire(struct rt_signal *sig)
{
    struct watcher *w = (struct watcher *)sig;
    if (++w->n == 1)
        rt_event_set(&w->end, sig->signo);
}

static int send_signal(void *arg)
{
    return kill(getpid(), SIGUSR1);
}

static int signals_arrive(void *arg)
{
    struct watcher w = {.sig = {SIGUSR1, watcher_fire}, .end = RT_EVENT_INIT};
    struct watcher v = {.sig = {SIGUSR2, watcher_fire}, .end = RT_EVENT_INIT};
    CHECK(rt_signal_watch(&w.sig) == 0);
    CHECK(rt_signal_watch(&v.sig) == 0);
    rt_sleep_ns(2 * MS);
    if (is_sim())
        rt_sim_raise(rt_world(), SIGUSR1);
    else
        CHECK(rt_work("kill", send_signal, NULL) == 0);
    CHECK(rt_event_wait(&w.end) == SIGUSR1);
    rt_signal_unwatch(&w.sig);
    rt_signal_unwatch(&v.sig);
    CHECK(w.n == 1 && v.n == 0);
    CHECK(rt_signal_watch(&v.sig) == 0); /* again after the last has gone */
    rt_signal_unwatch(&v.sig);
    return 0;
}

static void signals(void **state)
{
    run(state, 2, signals_arrive, NULL);
}

static int trace_some(void *arg)
{
    rt_trace("something happened", 7, 8);
    struct ash_uuid u;
    rt_random_uuid(&u);
    CHECK((u.b[6] & 0xf0) == 0x40 && (u.b[8] & 0xc0) == 0x80);
    CHECK(rt_random_u64() != rt_random_u64());
    CHECK(rt_wall_ns() > 1700000000ull * 1000000000u);
    return 0;
}

static int return_five(void *arg)
{
    return 5;
}

struct other_thread {
    struct rt *rt;
    int rc;
};

static void *run_elsewhere(void *arg)
{
    struct other_thread *o = arg;
    o->rc = rt_run_task(o->rt, "elsewhere", works_and_calls, NULL);
    return NULL;
}

static void worlds_run_again(void **state)
{
    struct rt *rt = world(state, 3);
    assert_int_equal(rt_run_task(rt, "first", return_five, NULL), 5);
    assert_int_equal(rt_run_task(rt, "trace", trace_some, NULL), 0);
    assert_int_equal(rt_run_task(rt, "calls", works_and_calls, NULL), 0);
    struct ash_buf buf ASH_CLEANUP(ash_buf_free) = {0};
    rt_trace_dump(rt, &buf);
    assert_non_null(strstr(ash_buf_text(&buf), "something happened 7 8\n"));
    assert_null(strstr(ash_buf_text(&buf), "(null)"));                /* only what there is */
    assert_true(strtoull(ash_buf_text(&buf), NULL, 10) < 1ull << 40); /* seconds */
    rt_stop(rt); /* before rt_run: it returns at once */
    assert_int_equal(rt_run(rt), 0);
    /* another thread takes over reactor 0 */
    struct other_thread o = {.rt = rt, .rc = -1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_elsewhere, &o), 0);
    pthread_join(thread, NULL);
    assert_int_equal(o.rc, 0);
    assert_int_equal(rt_run_task(rt, "calls", works_and_calls, NULL), 0);
    rt_destroy(rt);
    rt_destroy(NULL);
}

static void bad_options(void **state)
{
    struct rt_opts opts;
    struct rt *rt = NULL;
    struct ash_err err = {0};
    rt_opts_init(&opts);
    opts.n_reactors = RT_MAX_REACTORS + 1;
    assert_int_equal(rt_create(&opts, &rt, &err), -EINVAL);
    opts.n_reactors = 1;
    setenv("ASHLAR_IO", "nonsense", 1);
    assert_int_equal(rt_create(&opts, &rt, NULL), -EINVAL);
    setenv("ASHLAR_IO", "epoll", 1);
    assert_int_equal(rt_create(&opts, &rt, NULL), 0);
    assert_string_equal(rt_backend_name(rt), "epoll");
    rt_destroy(rt);
    unsetenv("ASHLAR_IO");
}

static enum rt_backend backends[] = {RT_BACKEND_URING, RT_BACKEND_EPOLL, RT_BACKEND_SIM};

#define ON(name, fn, idx)                                                                          \
    {                                                                                              \
#fn " on " name, fn, NULL, NULL, &backends[idx]                                            \
    }
#define ON_ALL(fn) ON("uring", fn, 0), ON("epoll", fn, 1), ON("sim", fn, 2)

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 40) /* paths of sockets are short by law */
        tmp = "/tmp";
    snprintf(folder, sizeof(folder), "%s/ash-rt-XXXXXX", tmp);
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        ON_ALL(jobs),
        ON_ALL(foreign_thread_wakes_a_sleeper),
        ON_ALL(watches),
        ON_ALL(timers),
        ON_ALL(tasks),
        ON_ALL(work_and_calls),
        ON_ALL(crowds),
        ON_ALL(files),
        ON_ALL(direct),
        ON_ALL(bursts),
        ON_ALL(host_files),
        ON_ALL(sockets),
        ON_ALL(stale_sockets),
        ON_ALL(cancels),
        ON_ALL(sockets_move),
        ON_ALL(memory),
        ON_ALL(idle),
        ON_ALL(signals),
        ON_ALL(worlds_run_again),
        cmocka_unit_test(bad_options),
    };
    int rc = cmocka_run_group_tests_name("rt", tests, NULL, NULL);
    static const char *const left[] = {"a/b/c", "a/b", "a", ""};
    for (size_t i = 0; i < ASH_N_ELEMS(left); i++)
        rmdir(path_of(left[i]));
    return rc;
}
