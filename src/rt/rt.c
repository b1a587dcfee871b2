/* SPDX-License-Identifier: Apache-2.0 */
/* Worlds and loops.
 *
 * A turn of a reactor: take what other threads have posted, fire due timers, run everything that
 * was ready at the start of the turn; then one wait call of the back end that also submits what the
 * turn has queued. Jobs from other threads come through a lock-free stack that the reactor takes as
 * a whole and turns round. Sleeping: the reactor sets `asleep` and looks at its inbox once more;
 * a poster pushes first and looks at `asleep` then; both sequentially consistent, so one of them
 * sees the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "base/uuid.h"
#include "rt/rt_internal.h"

#define SPIN_FIRST_NS  (5u * 1000)
#define SPIN_HOPE      4 /* waits of so many limits may be made short by spinning */
#define SPIN_TRIES     4 /* such waits that are spun for in a row ... */
#define SPIN_PAUSE_MIN 8 /* ... after so many that were not; doubled when it was in vain */
#define SPIN_PAUSE_MAX 64
#define TURNS_HELD_MAX 4    /* that queued operations may wait for others ... */
#define SHORT_TURN_NS  4000 /* ... while turns are short */
#define N_COARSE       16
#define TRIM_AFTER_NS  (1000ull * 1000 * 1000)

_Thread_local struct rt_reactor *rt_tls_self;

/* ----------------------------------------------------------- time and chance */

uint64_t rt_now_ns(void)
{
    struct rt_reactor *r = rt_tls_self;
    if (!r)
        return rt_clock_ns();
    if (r->rt->sim)
        return rt_sim_now(r->rt);
    r->n_coarse_left = N_COARSE;
    return r->coarse_ns = rt_clock_read(&r->clock);
}

uint64_t rt_coarse_ns(void)
{
    struct rt_reactor *r = rt_tls_self;
    if (ASH_UNLIKELY(!r || r->n_coarse_left == 0))
        return rt_now_ns();
    r->n_coarse_left--;
    return r->coarse_ns;
}

uint64_t rt_wall_ns(void)
{
    if (rt_tls_self && rt_tls_self->rt->sim)
        return rt_sim_wall(rt_tls_self->rt);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void rt_random(void *buf, size_t n_bytes)
{
    uint8_t *at = buf;
    if (rt_tls_self && rt_tls_self->rt->sim) {
        while (n_bytes > 0) {
            uint64_t r = rt_sim_random(rt_tls_self->rt);
            size_t n = ASH_MIN(n_bytes, sizeof(r));
            memcpy(at, &r, n);
            at += n;
            n_bytes -= n;
        }
        return;
    }
    while (n_bytes > 0) {
        ssize_t n = getrandom(at, n_bytes, 0);
        ASH_ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            at += n;
            n_bytes -= (size_t)n;
        }
    }
}

uint64_t rt_random_u64(void)
{
    uint64_t r;
    rt_random(&r, sizeof(r));
    return r;
}

void rt_random_uuid(struct ash_uuid *ret_uuid)
{
    rt_random(ret_uuid->b, sizeof(ret_uuid->b));
    ash_uuid_stamp_v4(ret_uuid);
}

/* -------------------------------------------------------------------- worlds */

void rt_opts_init(struct rt_opts *opts)
{
    *opts = (struct rt_opts){
        .backend = RT_BACKEND_AUTO,
        .n_workers_max = 16,
        .spin_limit_ns = 50000,
        .seed = 1,
    };
}

static void reactor_init(struct rt *rt, unsigned idx)
{
    struct rt_reactor *r = &rt->reactors[idx];
    r->rt = rt;
    r->idx = idx;
    r->ready_tail = &r->ready;
    r->n_spin_pause = SPIN_PAUSE_MIN;
    ash_list_init(&r->tasks);
    atomic_init(&r->inbox, NULL);
    atomic_init(&r->asleep, false);
}

static void world_free(struct rt *rt)
{
    rt_pool_destroy(rt); /* first: a worker may still be in rt_post */
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        struct rt_reactor *r = &rt->reactors[i];
        if (r->backend)
            rt->ops->fini(r);
        rt_bufs_trim(r);
        rt_task_free_stacks(r);
        free(r->timers);
        free(r->trace);
    }
    pthread_mutex_destroy(&rt->run_lock);
    pthread_cond_destroy(&rt->run_cond);
    free(rt->reactors);
    free(rt);
}

/* Set up all reactors for one back end. */
static int try_backend(struct rt *rt, const struct rt_backend_ops *ops, struct ash_err *err)
{
    rt->ops = ops;
    rt->sockets_block = ops == &rt_uring_ops;
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        int rc = ops->init(&rt->reactors[i], err);
        if (rc) {
            while (i-- > 0)
                ops->fini(&rt->reactors[i]);
            return rc;
        }
        if (ops != &rt_sim_ops) /* asking the CPU is dear in a virtual machine */
            rt_clock_init(&rt->reactors[i].clock);
    }
    return 0;
}

static int choose_backend(struct rt *rt, struct ash_err *err)
{
    enum rt_backend backend = rt->opts.backend;
    if (backend == RT_BACKEND_AUTO) {
        const char *forced = getenv("ASHLAR_IO");
        if (forced && strcmp(forced, "uring") == 0)
            backend = RT_BACKEND_URING;
        else if (forced && strcmp(forced, "epoll") == 0)
            backend = RT_BACKEND_EPOLL;
        else if (forced && *forced)
            return ash_err_set(err, ASH_E_BAD_ARGUMENT, "ASHLAR_IO",
                               "ASHLAR_IO is '%s', not 'uring' or 'epoll'", forced);
    }
    if (backend == RT_BACKEND_URING)
        return try_backend(rt, &rt_uring_ops, err);
    if (backend == RT_BACKEND_AUTO && try_backend(rt, &rt_uring_ops, NULL) == 0)
        return 0;
    return try_backend(rt, &rt_epoll_ops, err);
}

int rt_create(const struct rt_opts *opts, struct rt **ret_rt, struct ash_err *err)
{
    unsigned n = opts->n_reactors;
    if (n == 0) {
        long n_cpus = opts->backend == RT_BACKEND_SIM ? 1 : sysconf(_SC_NPROCESSORS_ONLN);
        n = n_cpus < 1 ? 1 : (unsigned)ASH_MIN(n_cpus, 4l);
    }
    if (n > RT_MAX_REACTORS || opts->backend > RT_BACKEND_SIM)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, NULL, "%u reactors are more than the limit, %u",
                           n, (unsigned)RT_MAX_REACTORS);
    struct rt *rt = calloc(1, sizeof(*rt));
    if (!rt)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the runtime");
    rt->opts = *opts;
    if (rt->opts.n_workers_max == 0)
        rt->opts.n_workers_max = 16;
    rt->reactors = aligned_alloc(64, n * sizeof(*rt->reactors));
    pthread_mutex_init(&rt->run_lock, NULL);
    pthread_cond_init(&rt->run_cond, NULL);
    bool is_sim = opts->backend == RT_BACKEND_SIM;
    if (rt->reactors) {
        memset(rt->reactors, 0, n * sizeof(*rt->reactors));
        rt->n_reactors = n;
        for (unsigned i = 0; i < n; i++)
            reactor_init(rt, i);
    }
    size_t n_trace = is_sim ? RT_N_TRACE_SIM : RT_N_TRACE;
    bool ok = rt->reactors != NULL;
    for (unsigned i = 0; ok && i < n; i++)
        ok = (rt->reactors[i].trace = calloc(n_trace, sizeof(struct rt_trace_event))) != NULL;
    int rc = ok ? 0 : -ENOMEM;
    if (rc == 0)
        rc = is_sim ? rt_sim_init(rt) : rt_pool_create(rt);
    if (rc == -ENOMEM)
        ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the runtime");
    else if (rc == 0 && !is_sim)
        rc = choose_backend(rt, err);
    if (rc) {
        world_free(rt);
        return rc;
    }
    rt_signals_init(rt);
    *ret_rt = rt;
    return 0;
}

static void end_threads(struct rt *rt)
{
    pthread_mutex_lock(&rt->run_lock);
    rt->quit = true;
    pthread_cond_broadcast(&rt->run_cond);
    pthread_mutex_unlock(&rt->run_lock);
    for (unsigned i = 1; i < rt->n_reactors; i++) {
        if (rt->reactors[i].has_thread)
            pthread_join(rt->reactors[i].thread, NULL);
    }
}

void rt_destroy(struct rt *rt)
{
    if (!rt)
        return;
    ASH_ASSERT(rt_tls_self == NULL);
    if (rt->sim) {
        rt_sim_fini(rt);
        world_free(rt);
        return;
    }
    end_threads(rt);
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        struct rt_reactor *r = &rt->reactors[i];
        ASH_ASSERT(ash_list_empty(&r->tasks));
        ASH_ASSERT(r->n_inflight == 0 && r->n_internal == 0);
        ASH_ASSERT(r->n_timers == 0);
    }
    world_free(rt);
}

const char *rt_backend_name(const struct rt *rt)
{
    return rt->ops->name;
}

void rt_features_text(const struct rt *rt, struct ash_buf *out)
{
    ash_buf_str(out, rt->ops->name);
    if (rt->ops->features)
        rt->ops->features(&rt->reactors[0], out);
}

unsigned rt_n_reactors(const struct rt *rt)
{
    return rt->n_reactors;
}

struct rt_reactor *rt_reactor(struct rt *rt, unsigned idx)
{
    ASH_ASSERT(idx < rt->n_reactors);
    return &rt->reactors[idx];
}

struct rt_reactor *rt_self(void)
{
    return rt_tls_self;
}

struct rt *rt_of(const struct rt_reactor *reactor)
{
    return reactor->rt;
}

unsigned rt_reactor_idx(const struct rt_reactor *reactor)
{
    return reactor->idx;
}

struct rt *rt_world(void)
{
    ASH_ASSERT(rt_tls_self != NULL);
    return rt_tls_self->rt;
}

/* ---------------------------------------------------------------------- jobs */

static void wake_if_asleep(struct rt_reactor *r)
{
    if (atomic_load(&r->asleep) && atomic_exchange(&r->asleep, false))
        r->rt->ops->wake(r);
}

void rt_post(struct rt_reactor *to, struct rt_job *job)
{
    if (to == rt_tls_self || to->rt->sim) {
        rt_ready(to, job);
        return;
    }
    struct rt_job *old = atomic_load_explicit(&to->inbox, memory_order_relaxed);
    do
        job->next = old;
    while (!atomic_compare_exchange_weak(&to->inbox, &old, job));
    wake_if_asleep(to);
}

static void take_inbox(struct rt_reactor *r)
{
    if (!atomic_load_explicit(&r->inbox, memory_order_relaxed))
        return;
    struct rt_job *job = atomic_exchange(&r->inbox, NULL);
    struct rt_job *oldest = NULL;
    while (job) {
        struct rt_job *next = job->next;
        job->next = oldest;
        oldest = job;
        job = next;
    }
    while (oldest) {
        struct rt_job *next = oldest->next;
        rt_ready(r, oldest);
        oldest = next;
    }
}

bool rt_run_one(struct rt_reactor *r)
{
    struct rt_job *job = r->ready;
    if (!job)
        return false;
    r->ready = job->next;
    if (!r->ready)
        r->ready_tail = &r->ready;
    RT_STAT(r, n_jobs, 1);
    job->run(job);
    return true;
}

/* Run what is ready now; what becomes ready meanwhile waits for the next turn. */
static void run_ready(struct rt_reactor *r)
{
    struct rt_job *job = r->ready;
    r->ready = NULL;
    r->ready_tail = &r->ready;
    uint64_t n = 0;
    while (job) {
        struct rt_job *next = job->next; /* running it may free it */
        job->run(job);
        job = next;
        n++;
    }
    RT_STAT(r, n_jobs, n);
}

/* ---------------------------------------------------------------------- loop */

static bool has_work(struct rt_reactor *r)
{
    return r->ready || atomic_load_explicit(&r->inbox, memory_order_relaxed) ||
           atomic_load_explicit(&r->rt->stop, memory_order_relaxed);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* How long to spin next time. Waits shorter than the limit are worth spinning for. A longer one may
 * be long only because both sides sleep and have to be woken: when both spin at the same time their
 * waits become short and stay so. So now and then a few waits that are not hopeless are spun for,
 * longer than the limit, and more rarely while it does not help. */
static void spin_missed(struct rt_reactor *r, uint64_t waited_ns)
{
    uint64_t limit_ns = r->rt->opts.spin_limit_ns;
    if (waited_ns < limit_ns) {
        r->spin_ns = ASH_MIN(limit_ns, ASH_MAX(2 * r->spin_ns, (uint64_t)SPIN_FIRST_NS));
        r->n_spin_tries = 0;
    } else if (r->n_spin_tries > 1) {
        r->n_spin_tries--;
    } else if (r->spin_ns > 0) {
        r->spin_ns = 0;
        r->n_spin_tries = 0;
        r->n_spin_pause = ASH_MIN(2 * r->n_spin_pause, (unsigned)SPIN_PAUSE_MAX);
        r->n_spin_skipped = 0;
    } else if (waited_ns < SPIN_HOPE * limit_ns && ++r->n_spin_skipped >= r->n_spin_pause) {
        r->spin_ns = 2 * limit_ns;
        r->n_spin_tries = SPIN_TRIES;
    }
}

static void spin_hit(struct rt_reactor *r, uint64_t waited_ns)
{
    r->n_spin_pause = SPIN_PAUSE_MIN;
    if (waited_ns < r->rt->opts.spin_limit_ns) {
        r->spin_ns = ASH_MIN(r->spin_ns, r->rt->opts.spin_limit_ns);
        r->n_spin_tries = 0;
    }
    RT_STAT(r, spin_ns, waited_ns);
}

/* Look for completions without sleeping for at most spin_ns. */
static bool spin(struct rt_reactor *r, uint64_t start_ns, uint64_t limit_ns)
{
    const struct rt_backend_ops *ops = r->rt->ops;
    uint64_t now_ns = start_ns;
    do {
        for (int i = 0; i < 8; i++) {
            ops->wait(r, 0);
            if (has_work(r)) {
                spin_hit(r, rt_now_ns() - start_ns);
                return true;
            }
            cpu_relax();
        }
        now_ns = rt_now_ns();
    } while (now_ns - start_ns < limit_ns);
    RT_STAT(r, spin_ns, now_ns - start_ns);
    return false;
}

static void sleep_for(struct rt_reactor *r, uint64_t timeout_ns)
{
    const struct rt_backend_ops *ops = r->rt->ops;
    /* Caches are given back after a second without work: one wake-up, then none. */
    bool trim = !r->was_trimmed && r->cached_bytes > 0 && timeout_ns > TRIM_AFTER_NS;
    atomic_store(&r->asleep, true);
    if (atomic_load(&r->inbox) || atomic_load(&r->rt->stop)) {
        atomic_store(&r->asleep, false);
        ops->wait(r, 0);
        return;
    }
    RT_STAT(r, n_sleeps, 1);
    ops->wait(r, trim ? TRIM_AFTER_NS : timeout_ns);
    atomic_store(&r->asleep, false);
    if (trim && !has_work(r)) {
        rt_bufs_trim(r);
        rt_task_free_stacks(r);
        r->was_trimmed = true;
    }
}

static void wait_for_more(struct rt_reactor *r, uint64_t start_ns, uint64_t now_ns)
{
    const struct rt_backend_ops *ops = r->rt->ops;
    uint64_t next_ns = rt_timers_next(r);
    if (has_work(r) || next_ns <= now_ns) {
        /* What is ready may queue more for the same system call: a reply behind the next receive.
         */
        if (r->ready && ++r->n_turns_held <= TURNS_HELD_MAX && now_ns - start_ns < SHORT_TURN_NS &&
            ops->may_hold && ops->may_hold(r))
            return;
        r->n_turns_held = 0;
        ops->wait(r, 0);
        return;
    }
    r->n_turns_held = 0;
    uint64_t timeout_ns = next_ns == RT_NEVER_NS ? RT_NEVER_NS : next_ns - now_ns;
    uint64_t spin_ns = ASH_MIN(r->spin_ns, timeout_ns);
    if (r->n_inflight > 0 && spin_ns > 0 && spin(r, now_ns, spin_ns))
        return;
    if (spin_ns == timeout_ns)
        return;
    sleep_for(r, timeout_ns == RT_NEVER_NS ? RT_NEVER_NS : timeout_ns - spin_ns);
    if (r->n_inflight > 0 || r->ready)
        spin_missed(r, rt_now_ns() - now_ns);
}

static void reactor_loop(struct rt_reactor *r)
{
    struct rt *rt = r->rt;
    while (!atomic_load(&rt->stop)) {
        uint64_t start_ns = rt_now_ns();
        RT_STAT(r, n_turns, 1);
        take_inbox(r);
        if (r->n_timers)
            rt_timers_run(r, start_ns);
        run_ready(r);
        uint64_t end_ns = rt_now_ns();
        RT_STAT(r, busy_ns, end_ns - start_ns);
        if (atomic_load(&rt->stop))
            rt->ops->wait(r, 0);
        else
            wait_for_more(r, start_ns, end_ns);
    }
}

static void reactor_run(struct rt_reactor *r)
{
    rt_tls_self = r;
    r->enter_rc = r->rt->ops->enter(r);
    if (r->enter_rc == 0) {
        reactor_loop(r);
        r->rt->ops->leave(r);
    } else {
        rt_stop(r->rt);
    }
    rt_tls_self = NULL;
}

/* A reactor's thread lives from the first rt_run to rt_destroy and stands still between runs. */
static void *reactor_main(void *arg)
{
    struct rt_reactor *r = arg;
    struct rt *rt = r->rt;
    uint64_t gen = 0;
    pthread_mutex_lock(&rt->run_lock);
    for (;;) {
        while (rt->run_gen == gen && !rt->quit)
            pthread_cond_wait(&rt->run_cond, &rt->run_lock);
        if (rt->quit)
            break;
        gen = rt->run_gen;
        pthread_mutex_unlock(&rt->run_lock);
        reactor_run(r);
        pthread_mutex_lock(&rt->run_lock);
        rt->n_running--;
        pthread_cond_broadcast(&rt->run_cond);
    }
    pthread_mutex_unlock(&rt->run_lock);
    return NULL;
}

static int start_threads(struct rt *rt)
{
    int rc = 0;
    sigset_t old;
    pthread_sigmask(SIG_BLOCK, NULL, &old);
    rt_block_signals();
    for (unsigned i = 1; i < rt->n_reactors && rc == 0; i++) {
        struct rt_reactor *r = &rt->reactors[i];
        if (!r->has_thread) {
            rc = -pthread_create(&r->thread, NULL, reactor_main, r);
            r->has_thread = rc == 0;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int rt_run(struct rt *rt)
{
    ASH_ASSERT(rt_tls_self == NULL);
    if (rt->sim)
        return rt_sim_run(rt);
    int rc = start_threads(rt);
    if (rc)
        return rc;
    pthread_mutex_lock(&rt->run_lock);
    rt->run_gen++;
    rt->n_running = rt->n_reactors - 1;
    pthread_cond_broadcast(&rt->run_cond);
    pthread_mutex_unlock(&rt->run_lock);

    reactor_run(&rt->reactors[0]);

    pthread_mutex_lock(&rt->run_lock);
    while (rt->n_running > 0)
        pthread_cond_wait(&rt->run_cond, &rt->run_lock);
    pthread_mutex_unlock(&rt->run_lock);
    atomic_store(&rt->stop, false);
    for (unsigned i = 0; i < rt->n_reactors && rc == 0; i++)
        rc = rt->reactors[i].enter_rc;
    return rc;
}

void rt_stop(struct rt *rt)
{
    atomic_store(&rt->stop, true);
    if (rt->sim)
        return;
    for (unsigned i = 0; i < rt->n_reactors; i++)
        wake_if_asleep(&rt->reactors[i]);
}

struct run_task {
    struct rt *rt;
    int (*fn)(void *arg);
    void *arg;
    int rc;
    bool has_ended;
};

static void run_task_main(void *arg)
{
    struct run_task *run = arg;
    run->rc = run->fn(run->arg);
    run->has_ended = true;
    rt_stop(run->rt);
}

int rt_run_task(struct rt *rt, const char *name, int (*fn)(void *arg), void *arg)
{
    struct run_task run = {.rt = rt, .fn = fn, .arg = arg};
    int rc = rt_task_spawn_on(&rt->reactors[0], name, run_task_main, &run);
    while (rc == 0 && !run.has_ended)
        rc = rt_run(rt); /* somebody else may have stopped the world */
    return rc ? rc : run.rc;
}

/* ------------------------------------------------------ traces and statistics */

void rt_trace(const char *what, uint64_t a, uint64_t b)
{
    struct rt_reactor *r = rt_tls_self;
    if (!r)
        return;
    uint64_t n_room = r->rt->sim ? RT_N_TRACE_SIM : RT_N_TRACE;
    struct rt_trace_event *e = &r->trace[r->n_traced % n_room];
    __atomic_store_n(&e->what, what, __ATOMIC_RELAXED);
    __atomic_store_n(&e->a, a, __ATOMIC_RELAXED);
    __atomic_store_n(&e->b, b, __ATOMIC_RELAXED);
    __atomic_store_n(&e->at_ns, rt_now_ns(), __ATOMIC_RELAXED);
    __atomic_store_n(&r->n_traced, r->n_traced + 1, __ATOMIC_RELEASE);
}

void rt_trace_dump(struct rt *rt, struct ash_buf *out)
{
    uint64_t n_room = rt->sim ? RT_N_TRACE_SIM : RT_N_TRACE;
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        struct rt_reactor *r = &rt->reactors[i];
        uint64_t n = __atomic_load_n(&r->n_traced, __ATOMIC_ACQUIRE);
        for (uint64_t k = n > n_room ? n - n_room : 0; k < n; k++) {
            const struct rt_trace_event *e = &r->trace[k % n_room];
            const char *what = __atomic_load_n(&e->what, __ATOMIC_RELAXED);
            uint64_t at_ns = __atomic_load_n(&e->at_ns, __ATOMIC_RELAXED);
            ash_buf_fmt(out, "%llu.%09llu r%u %s %llu %llu\n",
                        (unsigned long long)(at_ns / 1000000000u),
                        (unsigned long long)(at_ns % 1000000000u), i, what,
                        (unsigned long long)__atomic_load_n(&e->a, __ATOMIC_RELAXED),
                        (unsigned long long)__atomic_load_n(&e->b, __ATOMIC_RELAXED));
        }
    }
}

void rt_reactor_stats(const struct rt_reactor *reactor, struct rt_stats *ret_stats)
{
    const struct rt_stats *s = &reactor->stats;
    ret_stats->n_turns = __atomic_load_n(&s->n_turns, __ATOMIC_RELAXED);
    ret_stats->n_sleeps = __atomic_load_n(&s->n_sleeps, __ATOMIC_RELAXED);
    ret_stats->n_syscalls = __atomic_load_n(&s->n_syscalls, __ATOMIC_RELAXED);
    ret_stats->n_jobs = __atomic_load_n(&s->n_jobs, __ATOMIC_RELAXED);
    ret_stats->n_ops = __atomic_load_n(&s->n_ops, __ATOMIC_RELAXED);
    ret_stats->busy_ns = __atomic_load_n(&s->busy_ns, __ATOMIC_RELAXED);
    ret_stats->spin_ns = __atomic_load_n(&s->spin_ns, __ATOMIC_RELAXED);
}
