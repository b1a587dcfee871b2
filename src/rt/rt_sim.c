/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator: all reactors on one thread, clock and chance from one seed. It is a back end like
 * the others, with its own loop. See rt_sim.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rt/sim_internal.h"

#define WALL_START_NS (1767225600ull * 1000000000u) /* 2026-01-01 */
#define JOB_NS        100                           /* what running a job takes */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t rt_sim_random(struct rt *rt)
{
    return next_random(&rt->sim->rng);
}

uint64_t rt_sim_below(struct rt *rt, uint64_t n)
{
    return n < 2 ? 0 : rt_sim_random(rt) % n;
}

uint64_t rt_sim_now(const struct rt *rt)
{
    return rt->sim->now_ns;
}

uint64_t rt_sim_wall(const struct rt *rt)
{
    return WALL_START_NS + rt->sim->now_ns;
}

struct ash_list *rt_sim_mems(struct rt *rt)
{
    return &rt->sim->mems;
}

struct ash_list *rt_sim_bufs(struct rt *rt)
{
    return &rt->sim->bufs;
}

void rt_sim_delay(struct rt_op *op, void (*fire)(struct rt_timer *timer), unsigned divisor)
{
    struct rt *rt = op->reactor->rt;
    const struct rt_sim_hooks *hooks = &rt->sim->hooks;
    struct rt_timer *timer = rt_sim_timer(op);
    uint64_t span_ns = hooks->latency_max_ns - hooks->latency_min_ns;
    uint64_t ns = hooks->latency_min_ns + rt_sim_below(rt, span_ns + 1);
    *timer = (struct rt_timer){.fire = fire};
    rt_timer_start_on(op->reactor, timer, rt->sim->now_ns + ns / divisor);
}

void rt_sim_set_hooks(struct rt *rt, const struct rt_sim_hooks *hooks)
{
    rt->sim->hooks = *hooks;
    if (hooks->latency_min_ns == 0 && hooks->latency_max_ns == 0) {
        rt->sim->hooks.latency_min_ns = 10000;
        rt->sim->hooks.latency_max_ns = 200000;
    }
    ASH_ASSERT(rt->sim->hooks.latency_min_ns <= rt->sim->hooks.latency_max_ns);
}

bool rt_rarely(const char *tag)
{
    const struct rt_reactor *r = rt_tls_self;
    const struct rt_sim *sim = r ? r->rt->sim : NULL;
    return sim && sim->hooks.rarely && sim->hooks.rarely(sim->hooks.arg, tag);
}

int rt_sim_init(struct rt *rt)
{
    struct rt_sim *sim = calloc(1, sizeof(*sim));
    if (!sim)
        return -ENOMEM;
    sim->rng = rt->opts.seed;
    sim->now_ns = 1000000000u;
    ash_list_init(&sim->attached);
    ash_list_init(&sim->detached);
    ash_list_init(&sim->mems);
    ash_list_init(&sim->bufs);
    ash_list_init(&sim->listeners);
    rt->sim = sim;
    rt->ops = &rt_sim_ops;
    rt_sim_set_hooks(rt, &(struct rt_sim_hooks){0});
    return 0;
}

void rt_sim_fini(struct rt *rt)
{
    struct rt_sim *sim = rt->sim;
    struct ash_list *item;
    for (unsigned i = 0; i < rt->n_reactors; i++)
        rt_task_discard_all(&rt->reactors[i]);
    rt_sim_detach_all(rt);
    while ((item = ash_list_pop_head(&sim->mems)) != NULL)
        free(ash_list_entry(item, struct rt_mem, link));
    while ((item = ash_list_pop_head(&sim->bufs)) != NULL)
        rt_sim_buf_free(ash_list_entry(item, struct rt_mem, link));
    free(sim);
    rt->sim = NULL;
}

void rt_sim_discard(struct rt *rt)
{
    ASH_ASSERT(rt->sim != NULL);
    rt_destroy(rt);
}

static size_t count(const struct ash_list *list)
{
    size_t n = 0;
    for (const struct ash_list *pos = list->next; pos != list; pos = pos->next)
        n++;
    return n;
}

size_t rt_sim_n_live(struct rt *rt)
{
    size_t n = count(&rt->sim->bufs) + count(&rt->sim->mems);
    for (unsigned i = 0; i < rt->n_reactors; i++)
        n += count(&rt->reactors[i].tasks);
    return n;
}

void rt_sim_raise(struct rt *rt, int signo)
{
    rt_signals_fire(rt, signo);
}

/* ------------------------------------------------------------------------ loop */

static uint64_t next_timer(const struct rt *rt)
{
    uint64_t next_ns = RT_NEVER_NS;
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        uint64_t ns = rt_timers_next(&rt->reactors[i]);
        next_ns = ASH_MIN(next_ns, ns);
    }
    return next_ns;
}

static void fire_due(struct rt *rt)
{
    unsigned first = (unsigned)rt_sim_below(rt, rt->n_reactors);
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        struct rt_reactor *r = &rt->reactors[(first + i) % rt->n_reactors];
        if (rt_timers_next(r) > rt->sim->now_ns)
            continue;
        rt_tls_self = r;
        RT_STAT(r, n_turns, 1);
        rt_timers_run(r, rt->sim->now_ns);
        rt_tls_self = NULL;
    }
}

/* Run one job of a reactor that has any. */
static bool run_some(struct rt *rt)
{
    unsigned n = 0;
    struct rt_reactor *chosen = NULL;
    for (unsigned i = 0; i < rt->n_reactors; i++) {
        struct rt_reactor *r = &rt->reactors[i];
        if (r->ready && rt_sim_below(rt, ++n) == 0)
            chosen = r;
    }
    if (!chosen)
        return false;
    rt->sim->now_ns += JOB_NS;
    rt_tls_self = chosen;
    RT_STAT(chosen, n_turns, 1);
    rt_run_one(chosen);
    rt_tls_self = NULL;
    return true;
}

int rt_sim_run(struct rt *rt)
{
    int rc = 0;
    while (!atomic_load_explicit(&rt->stop, memory_order_relaxed)) {
        uint64_t next_ns = next_timer(rt);
        if (next_ns <= rt->sim->now_ns) {
            fire_due(rt);
        } else if (!run_some(rt)) {
            if (next_ns == RT_NEVER_NS) {
                rc = -EDEADLK; /* nothing will ever happen again */
                break;
            }
            rt->sim->now_ns = next_ns;
        }
    }
    atomic_store(&rt->stop, false);
    return rc;
}

/* -------------------------------------------------------------------- back end */

static void sim_submit(struct rt_op *op)
{
    if (op->kind < RT_OP_ACCEPT)
        rt_sim_file_submit(op);
    else
        rt_sim_sock_submit(op);
}

static void sim_cancel(struct rt_op *op)
{
    if (op->kind >= RT_OP_ACCEPT)
        rt_sim_sock_cancel(op);
}

const struct rt_backend_ops rt_sim_ops = {
    .name = "sim",
    .submit = sim_submit,
    .cancel = sim_cancel,
};
