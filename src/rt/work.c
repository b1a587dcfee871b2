/* SPDX-License-Identifier: Apache-2.0 */
/* Worker threads for calls that block. A thread is started when work waits and none is free, up to
 * the limit, and ends after IDLE_S without work, so an idle world has none. Ended threads leave
 * their struct on a list until somebody joins them. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "rt/rt_internal.h"

#define IDLE_S 5

struct worker {
    struct ash_list link;
    pthread_t thread;
    struct rt_pool *pool;
};

struct rt_pool {
    pthread_mutex_t lock;
    pthread_cond_t work_cond, end_cond;
    struct rt_job *jobs, **jobs_tail;
    unsigned n_jobs, n_threads, n_idle, n_max;
    struct ash_list ended;
    bool quit;
};

void rt_block_signals(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < ASH_N_ELEMS(faults); i++)
        sigdelset(&set, faults[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int rt_pool_create(struct rt *rt)
{
    struct rt_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work_cond, &attr);
    pthread_cond_init(&pool->end_cond, NULL);
    pthread_condattr_destroy(&attr);
    pool->jobs_tail = &pool->jobs;
    pool->n_max = rt->opts.n_workers_max;
    ash_list_init(&pool->ended);
    rt->pool = pool;
    return 0;
}

/* Called with the lock; gives it up meanwhile. */
static void join_ended(struct rt_pool *pool)
{
    struct ash_list *item;
    while ((item = ash_list_pop_head(&pool->ended)) != NULL) {
        struct worker *w = ash_list_entry(item, struct worker, link);
        pthread_mutex_unlock(&pool->lock);
        pthread_join(w->thread, NULL);
        free(w);
        pthread_mutex_lock(&pool->lock);
    }
}

void rt_pool_destroy(struct rt *rt)
{
    struct rt_pool *pool = rt->pool;
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_broadcast(&pool->work_cond);
    while (pool->n_threads > 0)
        pthread_cond_wait(&pool->end_cond, &pool->lock);
    join_ended(pool);
    ASH_ASSERT(pool->jobs == NULL);
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_destroy(&pool->work_cond);
    pthread_cond_destroy(&pool->end_cond);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    rt->pool = NULL;
}

/* Called with the lock. False: nothing came for IDLE_S, or the pool ends. */
static bool wait_for_work(struct rt_pool *pool)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_S;
    pool->n_idle++;
    int rc = 0;
    while (!pool->jobs && !pool->quit && rc == 0)
        rc = pthread_cond_timedwait(&pool->work_cond, &pool->lock, &until);
    pool->n_idle--;
    return pool->jobs != NULL;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct rt_pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    while (pool->jobs || wait_for_work(pool)) {
        struct rt_job *job = pool->jobs;
        pool->jobs = job->next;
        if (!pool->jobs)
            pool->jobs_tail = &pool->jobs;
        pool->n_jobs--;
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
    }
    pool->n_threads--;
    ash_list_push_tail(&pool->ended, &w->link);
    pthread_cond_broadcast(&pool->end_cond);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Called with the lock. */
static bool start_worker(struct rt_pool *pool)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return false;
    w->pool = pool;
    ash_list_init(&w->link);
    sigset_t old;
    pthread_sigmask(SIG_BLOCK, NULL, &old);
    rt_block_signals(); /* inherited by the thread */
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        free(w);
        return false;
    }
    pool->n_threads++;
    return true;
}

void rt_pool_put(struct rt *rt, struct rt_job *job)
{
    struct rt_pool *pool = rt->pool;
    pthread_mutex_lock(&pool->lock);
    join_ended(pool);
    if (pool->n_jobs >= pool->n_idle && pool->n_threads < pool->n_max)
        start_worker(pool);
    if (pool->n_threads == 0) {
        /* No thread can be had: better slow than never. */
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        return;
    }
    job->next = NULL;
    *pool->jobs_tail = job;
    pool->jobs_tail = &job->next;
    pool->n_jobs++;
    pthread_cond_signal(&pool->work_cond);
    pthread_mutex_unlock(&pool->lock);
}

struct work {
    struct rt_job job;
    int (*fn)(void *arg);
    void *arg;
    int rc;
    struct rt_reactor *reactor;
    struct rt_task *task;
};

static void work_ended(struct rt_job *job)
{
    rt_task_resume(ash_container_of(job, struct work, job)->task);
}

static void work_run(struct rt_job *job)
{
    struct work *work = ash_container_of(job, struct work, job);
    work->rc = work->fn(work->arg);
    work->job.run = work_ended;
    rt_post(work->reactor, &work->job);
}

int rt_work(const char *name, int (*fn)(void *arg), void *arg)
{
    struct rt_reactor *r = rt_tls_self;
    ASH_ASSERT(r != NULL && r->current != NULL);
    if (r->rt->sim) {
        int rc = fn(arg);
        rt_yield();
        return rc;
    }
    struct work work = {
        .job.run = work_run, .fn = fn, .arg = arg, .reactor = r, .task = r->current};
    const char *step = r->current->step;
    r->current->step = name;
    r->n_inflight++;
    rt_pool_put(r->rt, &work.job);
    rt_task_suspend();
    r->n_inflight--;
    r->current->step = step;
    return work.rc;
}
