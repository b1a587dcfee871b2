/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: functions on stacks of their own.
 *
 * A stack is one mapping: a guard page at the bottom, the stack, and struct rt_task at the top. It
 * is handed on from task to task through a cache (of the reactor; of the thread in the simulator,
 * where worlds come and go by the thousand). All help that sanitizers and valgrind need to follow
 * a switch is in this file. */
#include <errno.h>
#include <sys/mman.h>

#include "rt/rt_internal.h"
#include "rt/switch.h"

#ifdef RT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef RT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
#define GUARD_BYTES 4096u
#else
#define GUARD_BYTES 65536u /* the largest page there is */
#endif
#if defined(RT_ASAN) || defined(RT_TSAN) || defined(ASH_DEBUG)
#define STACK_BYTES (256u << 10) /* red zones and unoptimised frames need room */
#else
#define STACK_BYTES (64u << 10)
#endif
#define TASK_OFFSET ((GUARD_BYTES + STACK_BYTES - sizeof(struct rt_task)) & ~(size_t)63)

/* Stacks of simulated worlds. */
static _Thread_local struct rt_task *tls_sim_stacks;

static char *base_of(struct rt_task *task)
{
    return (char *)task - TASK_OFFSET;
}

static struct rt_task *stack_map(void)
{
    size_t n_bytes = GUARD_BYTES + STACK_BYTES;
    char *base = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base, GUARD_BYTES, PROT_NONE)) {
        munmap(base, n_bytes);
        return NULL;
    }
    struct rt_task *task = (struct rt_task *)(void *)(base + TASK_OFFSET);
    task->ctx.stack_bottom = base + GUARD_BYTES;
    task->ctx.stack_bytes = TASK_OFFSET - GUARD_BYTES;
#ifdef RT_ASAN
    __lsan_register_root_region(base + GUARD_BYTES, STACK_BYTES);
#endif
#ifdef RT_VALGRIND
    task->valgrind_id = VALGRIND_STACK_REGISTER(base + GUARD_BYTES, base + TASK_OFFSET);
#endif
    return task;
}

static void stack_unmap(struct rt_task *task)
{
    char *base = base_of(task);
#ifdef RT_VALGRIND
    VALGRIND_STACK_DEREGISTER(task->valgrind_id);
#endif
#ifdef RT_ASAN
    __asan_unpoison_memory_region(base + GUARD_BYTES, STACK_BYTES);
    __lsan_unregister_root_region(base + GUARD_BYTES, STACK_BYTES);
#endif
    munmap(base, GUARD_BYTES + STACK_BYTES);
}

/* The cache that the calling thread may use, or none. */
static struct rt_task **cache_of(struct rt *rt)
{
    if (rt->sim)
        return &tls_sim_stacks;
    return rt_tls_self && rt_tls_self->rt == rt ? &rt_tls_self->free_stacks : NULL;
}

static struct rt_task *stack_get(struct rt *rt)
{
    struct rt_task **cache = cache_of(rt);
    if (!cache || !*cache)
        return stack_map();
    struct rt_task *task = *cache;
    *cache = (struct rt_task *)(void *)task->job.next;
    if (!rt->sim)
        rt_tls_self->n_free_stacks--;
    return task;
}

static void stack_put(struct rt_task *task)
{
    struct rt_reactor *r = task->reactor;
#ifdef RT_ASAN
    __asan_unpoison_memory_region(task->ctx.stack_bottom, task->ctx.stack_bytes);
#endif
#ifdef RT_TSAN
    if (task->ctx.tsan_fiber)
        __tsan_destroy_fiber(task->ctx.tsan_fiber);
    task->ctx.tsan_fiber = NULL;
#endif
    if (r->rt->sim) {
        task->job.next = (struct rt_job *)(void *)tls_sim_stacks;
        tls_sim_stacks = task;
    } else if (r->n_free_stacks < RT_STACKS_CACHED) {
        task->job.next = (struct rt_job *)(void *)r->free_stacks;
        r->free_stacks = task;
        r->n_free_stacks++;
    } else {
        stack_unmap(task);
    }
}

void rt_task_free_stacks(struct rt_reactor *r)
{
    while (r->free_stacks) {
        struct rt_task *task = r->free_stacks;
        r->free_stacks = (struct rt_task *)(void *)task->job.next;
        stack_unmap(task);
    }
    r->n_free_stacks = 0;
}

void rt_task_discard_all(struct rt_reactor *r)
{
    while (!ash_list_empty(&r->tasks)) {
        struct rt_task *task = ash_list_entry(r->tasks.next, struct rt_task, link);
        ash_list_remove(&task->link);
        stack_put(task);
    }
}

/* ---------------------------------------------------------------- switching */

static void switch_to(struct rt_ctx *from, struct rt_ctx *to, bool is_last)
{
#ifdef RT_ASAN
    __sanitizer_start_switch_fiber(is_last ? NULL : &from->asan_fake_stack, to->stack_bottom,
                                   to->stack_bytes);
#endif
#ifdef RT_TSAN
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
    rt_switch_stack(&from->sp, to->sp);
#ifdef RT_ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake_stack, NULL, NULL);
#endif
}

static void task_entry(void)
{
    struct rt_reactor *r = rt_tls_self;
    struct rt_task *task = r->current;
#ifdef RT_ASAN
    /* the first switch off the loop's stack tells where that is */
    __sanitizer_finish_switch_fiber(NULL, &r->loop_ctx.stack_bottom, &r->loop_ctx.stack_bytes);
#endif
    task->fn(task->arg);
    task->is_done = true;
    switch_to(&task->ctx, &r->loop_ctx, true);
    __builtin_unreachable();
}

void rt_task_resume(struct rt_task *task)
{
    struct rt_reactor *r = task->reactor;
    ASH_ASSERT(r == rt_tls_self && r->current == NULL);
#ifdef RT_TSAN
    r->loop_ctx.tsan_fiber = __tsan_get_current_fiber();
#endif
    r->current = task;
    switch_to(&r->loop_ctx, &task->ctx, false);
    r->current = NULL;
    if (task->is_done) {
        ash_list_remove(&task->link);
        stack_put(task);
    }
}

static void resume_job(struct rt_job *job)
{
    rt_task_resume(ash_container_of(job, struct rt_task, job));
}

void rt_task_suspend(void)
{
    struct rt_reactor *r = rt_tls_self;
    /* Only a task can wait: a callback has no stack to leave. */
    ASH_ASSERT(r != NULL && r->current != NULL);
    switch_to(&r->current->ctx, &r->loop_ctx, false);
}

void rt_task_wake(struct rt_task *task)
{
    ASH_ASSERT(task->reactor == rt_tls_self);
    task->job.run = resume_job;
    rt_ready(task->reactor, &task->job);
}

static void start_job(struct rt_job *job)
{
    struct rt_task *task = ash_container_of(job, struct rt_task, job);
    ash_list_push_tail(&task->reactor->tasks, &task->link);
#ifdef RT_TSAN
    task->ctx.tsan_fiber = __tsan_create_fiber(0);
    __tsan_set_fiber_name(task->ctx.tsan_fiber, task->name);
#endif
    rt_task_resume(task);
}

/* ---------------------------------------------------------------- the calls */

int rt_task_spawn_on(struct rt_reactor *reactor, const char *name, void (*fn)(void *arg), void *arg)
{
    struct rt *rt = reactor->rt;
    if (rt->alloc_fails && rt->alloc_fails(rt->alloc_arg))
        return -ENOMEM;
    struct rt_task *task = stack_get(rt);
    if (!task)
        return -ENOMEM;
    struct rt_reactor *self = rt_tls_self;
    task->reactor = reactor;
    task->fn = fn;
    task->arg = arg;
    task->name = name;
    task->step = "";
    task->id = atomic_fetch_add_explicit(&rt->next_task_id, 1, memory_order_relaxed) + 1;
    task->parent_id = self && self->current ? self->current->id : 0;
    task->start_ns = rt->sim ? rt_sim_now(rt) : rt_clock_ns();
    task->is_done = false;
    task->ctx.asan_fake_stack = NULL;
    task->ctx.tsan_fiber = NULL;
    task->ctx.sp = rt_switch_prepare((void *)(uintptr_t)task->ctx.stack_bottom, task, task_entry);
    task->job.run = start_job;
    ash_list_init(&task->link);
    rt_post(reactor, &task->job);
    return 0;
}

int rt_task_spawn(const char *name, void (*fn)(void *arg), void *arg)
{
    ASH_ASSERT(rt_tls_self != NULL);
    return rt_task_spawn_on(rt_tls_self, name, fn, arg);
}

struct rt_task *rt_task_self(void)
{
    return rt_tls_self ? rt_tls_self->current : NULL;
}

void rt_step(const char *step)
{
    if (rt_tls_self && rt_tls_self->current)
        rt_tls_self->current->step = step;
}

struct ask {
    struct rt_task_info *infos;
    size_t n_max, n;
};

static int ask_reactor(void *arg)
{
    struct ask *ask = arg;
    struct rt_reactor *r = rt_tls_self;
    uint64_t now_ns = rt_now_ns();
    ash_list_for_each (pos, &r->tasks) {
        const struct rt_task *task = ash_list_entry(pos, struct rt_task, link);
        if (ask->n == ask->n_max)
            break;
        ask->infos[ask->n++] = (struct rt_task_info){
            .name = task->name,
            .step = task->step,
            .reactor_idx = r->idx,
            .age_ns = now_ns > task->start_ns ? now_ns - task->start_ns : 0,
            .id = task->id,
            .parent_id = task->parent_id,
        };
    }
    return 0;
}

int rt_tasks(struct rt_task_info *infos, size_t n_max, size_t *ret_n)
{
    struct rt *rt = rt_world();
    struct ask ask = {infos, n_max, 0};
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        int rc = rt_call_on(&rt->reactors[i], "rt: list tasks", ask_reactor, &ask);
        if (rc)
            return rc;
    }
    *ret_n = ask.n;
    return 0;
}
