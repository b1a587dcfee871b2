/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks of one reactor wait for: events, queues, mutexes, time. A waiter's node lives on its
 * stack and is off every list before the task runs again. */
#include "rt/rt_internal.h"

void rt_event_set(struct rt_event *ev, int rc)
{
    ASH_ASSERT(!ev->is_set);
    ev->is_set = true;
    ev->rc = rc;
    if (ev->waiter) {
        struct rt_task *task = ev->waiter;
        ev->waiter = NULL;
        rt_task_wake(task);
    }
}

int rt_event_wait(struct rt_event *ev)
{
    if (!ev->is_set) {
        ASH_ASSERT(ev->waiter == NULL);
        ev->waiter = rt_task_self();
        rt_task_suspend();
        ASH_ASSERT(ev->is_set);
    }
    return ev->rc;
}

struct waiter {
    struct ash_list link;
    struct rt_task *task;
};

void rt_waitq_init(struct rt_waitq *q)
{
    ash_list_init(&q->waiters);
}

void rt_waitq_wait(struct rt_waitq *q)
{
    struct waiter w = {.task = rt_task_self()};
    ASH_ASSERT(w.task != NULL);
    ash_list_push_tail(&q->waiters, &w.link);
    rt_task_suspend();
}

void rt_waitq_wake_one(struct rt_waitq *q)
{
    struct ash_list *item = ash_list_pop_head(&q->waiters);
    if (item)
        rt_task_wake(ash_list_entry(item, struct waiter, link)->task);
}

void rt_waitq_wake_all(struct rt_waitq *q)
{
    while (!ash_list_empty(&q->waiters))
        rt_waitq_wake_one(q);
}

void rt_mutex_init(struct rt_mutex *m)
{
    m->owner = NULL;
    rt_waitq_init(&m->q);
}

void rt_mutex_lock(struct rt_mutex *m)
{
    struct rt_task *self = rt_task_self();
    ASH_ASSERT(self != NULL && m->owner != self);
    if (m->owner == NULL)
        m->owner = self;
    else
        rt_waitq_wait(&m->q); /* unlock hands the mutex over */
    ASH_ASSERT(m->owner == self);
}

void rt_mutex_unlock(struct rt_mutex *m)
{
    ASH_ASSERT(m->owner != NULL && m->owner == rt_task_self());
    m->owner = NULL;
    if (!ash_list_empty(&m->q.waiters)) {
        m->owner = ash_list_entry(m->q.waiters.next, struct waiter, link)->task;
        rt_waitq_wake_one(&m->q);
    }
}

struct sleeper {
    struct rt_timer timer;
    struct rt_task *task;
};

static void sleeper_fire(struct rt_timer *timer)
{
    rt_task_resume(ash_container_of(timer, struct sleeper, timer)->task);
}

void rt_sleep_ns(uint64_t ns)
{
    struct sleeper s = {.timer.fire = sleeper_fire, .task = rt_task_self()};
    ASH_ASSERT(s.task != NULL);
    rt_timer_start(&s.timer, ns);
    rt_task_suspend();
}

void rt_yield(void)
{
    struct rt_task *self = rt_task_self();
    ASH_ASSERT(self != NULL);
    rt_task_wake(self);
    rt_task_suspend();
}

/* ------------------------------------------------- calls on other reactors */

struct call {
    struct rt_job back;
    int (*fn)(void *arg);
    void *arg;
    int rc;
    struct rt_reactor *from;
    struct rt_task *task;
};

static void call_back(struct rt_job *job)
{
    rt_task_resume(ash_container_of(job, struct call, back)->task);
}

static void call_task(void *arg)
{
    struct call *call = arg;
    call->rc = call->fn(call->arg);
    call->back.run = call_back;
    rt_post(call->from, &call->back);
}

int rt_call_on(struct rt_reactor *reactor, const char *name, int (*fn)(void *arg), void *arg)
{
    struct rt_reactor *self = rt_tls_self;
    ASH_ASSERT(self != NULL && self->current != NULL && reactor->rt == self->rt);
    if (reactor == self)
        return fn(arg);
    struct call call = {.fn = fn, .arg = arg, .from = self, .task = self->current};
    int rc = rt_task_spawn_on(reactor, name, call_task, &call);
    if (rc)
        return rc;
    rt_task_suspend();
    return call.rc;
}
