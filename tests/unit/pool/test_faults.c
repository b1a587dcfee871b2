/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation with its Nth I/O failing (once, from then on, from then on until after the
 * close), and with its Nth allocation failing, for N = 1, 2, ... until it runs through. The
 * operation may fail, nothing else may: the other volumes stay readable in the same engine, nothing
 * leaks, and the next engine finds the pool as before or after, sound and with the right number of
 * free clusters. Layouts and operations are those of the crash explorer (sim/crash_cases.c).
 *
 * FAULT=layout:operation:mode:N repeats one run. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../sim/crash.h"
#include "base/assert.h"

enum mode { ONCE, STICKY, DEAD, ALLOC, LOAD_IO, LOAD_ALLOC, N_MODES };

static const char *const mode_names[N_MODES] = {"once",  "sticky",  "dead",
                                                "alloc", "load-io", "load-alloc"};

struct fault {
    struct crash_case *c;
    enum mode mode;
    uint64_t nth, n_seen; /* counted from 1 while armed */
    bool armed, hit;
    int rc; /* of the operation */
    struct crash_view view;
    struct ash_buf why;
    char note[160]; /* the same from inside a world, whose memory ends with it */
};

/* Where we are, for a crash of the engine. */
static char where[200];

static void on_crash(int signo)
{
    (void)!write(2, where, strlen(where));
    signal(signo, SIG_DFL);
    raise(signo);
}

/* ------------------------------------------------------------------ faults */

static int fail_io(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct fault *f = arg;
    if (!f->armed)
        return 0;
    f->n_seen++;
    bool fails = f->mode == ONCE || f->mode == LOAD_IO ? f->n_seen == f->nth : f->n_seen >= f->nth;
    f->hit |= fails;
    return fails ? -EIO : 0;
}

static bool fail_alloc(void *arg)
{
    struct fault *f = arg;
    if (!f->armed || ++f->n_seen != f->nth)
        return false;
    f->hit = true;
    return true;
}

static bool is_alloc(const struct fault *f)
{
    return f->mode == ALLOC || f->mode == LOAD_ALLOC;
}

static void set_up(struct rt *rt, void *arg)
{
    struct fault *f = arg;
    struct rt_sim_hooks hooks = {.fail = fail_io, .arg = f};
    if (is_alloc(f))
        rt_set_alloc_hook(rt, fail_alloc, f);
    else
        rt_sim_set_hooks(rt, &hooks);
    f->armed = f->mode == LOAD_IO || f->mode == LOAD_ALLOC;
}

/* ----------------------------------------------------------------- one run */

/* What the same engine shows after the fault: whatever opens is as before or after. */
static void look_around(struct crash_env *e, struct fault *f)
{
    const struct crash_case *c = f->c;
    if (!e->pool || crash_look(e, &f->view))
        return;
    for (size_t i = 0; i < c->before.n; i++) {
        const struct crash_volume *b = &c->before.v[i], *v = crash_view_find(&f->view, &b->uuid),
                                  *a = crash_view_find(&c->after, &b->uuid);
        if (!v && a) {
            snprintf(f->note, sizeof(f->note), "volume %s is gone", b->name);
        } else if (v && v->state == VOLUME_OK && v->read_rc) {
            snprintf(f->note, sizeof(f->note), "volume %s cannot be read: %d", b->name, v->read_rc);
        } else if (v && v->state == VOLUME_OK && c->op->rule != CRASH_DATA &&
                   v->content != b->content && (!a || v->content != a->content)) {
            snprintf(f->note, sizeof(f->note), "volume %s holds something else", b->name);
        } else if (v && v->state != VOLUME_OK && f->rc == 0) {
            snprintf(f->note, sizeof(f->note), "volume %s is broken after success", b->name);
        }
    }
}

/* Something is faulted until the pool is opened again, and says so. */
static bool is_damaged(struct crash_env *e)
{
    struct pool_info info;
    pool_get_info(e->pool, &info);
    return info.degraded || info.n_faulted > 0;
}

static int run_main(struct crash_env *e, void *arg)
{
    struct fault *f = arg;
    if (f->mode == LOAD_IO || f->mode == LOAD_ALLOC) {
        f->armed = false;
        return 0;
    }
    f->armed = true;
    f->rc = f->c->op->run(e);
    if (f->mode == DEAD)
        return 0;
    f->armed = false;
    if (f->c->op->rule != CRASH_SUBSET)
        look_around(e, f);
    /* One failure must not stop the engine: what failed can be asked for again. */
    if (f->mode == ONCE && f->rc == -EIO && f->c->op->rule != CRASH_SUBSET && e->pool &&
        !is_damaged(e) && f->c->op->run(e) == -EIO)
        snprintf(f->note, sizeof(f->note), "it fails again, without a fault");
    return 0;
}

static int judge(struct fault *f, const struct rt_sim_image *image, int world_rc)
{
    struct crash_case *c = f->c;
    bool loads = f->mode == LOAD_IO || f->mode == LOAD_ALLOC;
    ash_buf_str(&f->why, f->note);
    if (world_rc == -EBUSY)
        ash_buf_str(&f->why, "something was left behind");
    else if (world_rc == -EDEADLK)
        ash_buf_str(&f->why, "it hangs");
    else if (world_rc && !loads)
        ash_buf_fmt(&f->why, "engine: %d", world_rc);
    if (!f->why.n_bytes && is_alloc(f) && !loads && f->hit && f->rc && f->rc != -ENOMEM &&
        f->rc != -EIO && f->rc != c->op_rc)
        ash_buf_fmt(&f->why, "the error is %d", f->rc);
    if (f->why.n_bytes)
        return -1;
    ash_buf_reset(&c->why);
    if (crash_judge(c, image, 0, 0, NULL, NULL)) {
        ash_buf_str(&f->why, ash_buf_text(&c->why));
        return -1;
    }
    if (!loads && f->rc == 0 && c->op_rc == 0 && c->op->rule != CRASH_SUBSET &&
        crash_view_digest(&c->seen) != crash_view_digest(&c->after)) {
        ash_buf_str(&f->why, "success, and the pool is not as after the operation");
        return -1;
    }
    return 0;
}

/* True: the fault was not reached. */
static bool run_once(struct crash_case *c, enum mode mode, uint64_t nth, unsigned *n_failed)
{
    struct fault f = {.c = c, .mode = mode, .nth = nth};
    struct crash_life how = {.setup = set_up};
    snprintf(where, sizeof(where), "# crashed: FAULT=%s:%s:%s:%llu\n", c->layout->name, c->op->name,
             mode_names[mode], (unsigned long long)nth);
    struct rt_sim_disk *disk = crash_disk(c->layout, c->start);
    int rc = crash_world(c->layout, disk, c->seed + 10, run_main, &f, &how);
    if (judge(&f, rt_sim_disk_image(disk), rc)) {
        fprintf(stderr, "# FAULT=%s:%s:%s:%llu rc %d: %s\n", c->layout->name, c->op->name,
                mode_names[mode], (unsigned long long)nth, f.rc, ash_buf_text(&f.why));
        ++*n_failed;
    }
    rt_sim_disk_put(disk);
    crash_view_free(&f.view);
    ash_buf_free(&f.why);
    return !f.hit;
}

/* -------------------------------------------------------------------- loops */

struct totals {
    unsigned n_cases, n_runs, n_failed;
};

enum { N_MAX = 4000, FAILED_MAX = 3 };

/* nth 0: all until it runs through. */
static void loop(const struct crash_layout *layout, const struct crash_op *op, enum mode mode,
                 uint64_t nth, struct totals *t)
{
    char repro[CRASH_REPRO_BYTES];
    struct crash_case c = {.layout = layout, .op = op, .seed = 1, .repro = repro};
    unsigned n_failed = 0;
    int rc = crash_case_record(&c);
    if (rc == 0 && (c.op_rc == 0 || c.op_rc == -ENOSPC)) {
        t->n_cases++;
        for (uint64_t n = nth ? nth : 1; n < N_MAX && n_failed < FAILED_MAX; n++) {
            t->n_runs++;
            if (run_once(&c, mode, n, &n_failed) || nth)
                break;
        }
    } else if (rc && rc != -ENOENT) {
        fprintf(stderr, "# %s %s: %s\n", layout->name, op->name, ash_buf_text(&c.why));
        n_failed++;
    }
    t->n_failed += n_failed;
    crash_case_free(&c);
}

static const struct crash_layout *find_layout(const char *name)
{
    for (const struct crash_layout *l = crash_layouts; l->name; l++)
        if (strcmp(l->name, name) == 0)
            return l;
    return NULL;
}

static void run_mode(enum mode mode, const char *const *layouts)
{
    struct totals t = {0};
    bool loads = mode == LOAD_IO || mode == LOAD_ALLOC;
    for (; *layouts; layouts++) {
        const struct crash_layout *l = find_layout(*layouts);
        assert_non_null(l);
        for (const struct crash_op *op = crash_ops; op->name; op++)
            if (!op->at_load && (!loads || strcmp(op->name, "pool-export") == 0))
                loop(l, op, mode, 0, &t);
    }
    printf("# %s: %u cases, %u runs, %u failed\n", mode_names[mode], t.n_cases, t.n_runs,
           t.n_failed);
    assert_int_equal(t.n_failed, 0);
}

#ifdef __SANITIZE_ADDRESS__ /* ten times slower */
static const char *const io_layouts[] = {"none", "clone", "rle", "window", NULL};
static const char *const alloc_layouts[] = {"none", "chain", "rle", NULL};
#else
static const char *const io_layouts[] = {"none", "thin",   "clone", "chain", "uneven", "plain",
                                         "rle",  "window", "full",  "esnap", NULL};
static const char *const alloc_layouts[] = {"none",  "clone", "chain", "rle",
                                            "grown", "esnap", NULL};
#endif
static const char *const load_layouts[] = {"chain", "rle",   "window",      "esnap",
                                           "full",  "dirty", "dirty-clone", NULL};

static void io_once(void **state)
{
    run_mode(ONCE, io_layouts);
}

static void io_sticky(void **state)
{
    run_mode(STICKY, io_layouts);
}

static void io_dead(void **state)
{
    run_mode(DEAD, io_layouts);
}

static void alloc(void **state)
{
    run_mode(ALLOC, alloc_layouts);
}

static void load_io(void **state)
{
    run_mode(LOAD_IO, load_layouts);
}

static void load_alloc(void **state)
{
    run_mode(LOAD_ALLOC, load_layouts);
}

/* FAULT=layout:operation:mode[:N] */
static int repeat(const char *text)
{
    char layout[32], op_name[32], mode_name[16];
    unsigned long long nth = 0;
    struct totals t = {0};
    if (sscanf(text, "%31[^:]:%31[^:]:%15[^:]:%llu", layout, op_name, mode_name, &nth) < 3)
        return 2;
    for (const struct crash_op *op = crash_ops; op->name; op++)
        for (int m = 0; m < N_MODES; m++)
            if (strcmp(op->name, op_name) == 0 && strcmp(mode_names[m], mode_name) == 0 &&
                find_layout(layout))
                loop(find_layout(layout), op, (enum mode)m, nth, &t);
    printf("%u runs, %u failed\n", t.n_runs, t.n_failed);
    return t.n_failed || !t.n_runs;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(io_once), cmocka_unit_test(io_sticky), cmocka_unit_test(io_dead),
        cmocka_unit_test(alloc),   cmocka_unit_test(load_io),   cmocka_unit_test(load_alloc),
    };
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    const char *one = getenv("FAULT");
    if (one)
        return repeat(one);
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
