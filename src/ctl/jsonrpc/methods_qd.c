/* SPDX-License-Identifier: Apache-2.0 */
/* bdev_set_qd_sampling_period: a task per sampled device looks at its queue depth now and then.
 * Source: docs/spec/spdk-jsonrpc.md 5.2.
 *
 * Invariants: a sampler is on rpc->samplers as long as its task runs; the task alone frees it. It
 * knows its device by name and UUID only, so the device may go at any time and the sampler ends.
 * Nobody samples unless somebody asked: idle stays idle. */
#include "ctl/jsonrpc/rpc.h"

#include <string.h>

#include "base/assert.h"

/* Less than this would keep a reactor busy with nothing else. */
#define PERIOD_MIN_NS 100000ull

struct sampler {
    struct ash_list link;
    struct jsonrpc *rpc;
    struct rt_timer timer;
    struct rt_event wake;
    bool stop;
    char *name;
    struct ash_uuid uuid;
    struct bdev_channel_stats *stats; /* one per reactor */
    uint64_t period_us, last_ns;
    uint64_t depth, busy_us, weighted_us;
};

static struct sampler *find(struct jsonrpc *rpc, const char *name)
{
    ash_list_for_each (l, &rpc->samplers) {
        struct sampler *s = ash_list_entry(l, struct sampler, link);
        if (!s->stop && strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static void sampler_free(struct sampler *s)
{
    rt_free(s->name);
    rt_free(s->stats);
    rt_free(s);
}

static void fire(struct rt_timer *timer)
{
    struct sampler *s = ash_container_of(timer, struct sampler, timer);
    rt_event_set(&s->wake, 0);
}

static void ask_to_stop(struct sampler *s)
{
    s->stop = true;
    if (rt_timer_armed(&s->timer)) {
        rt_timer_stop(&s->timer);
        rt_event_set(&s->wake, 0);
    }
}

static bool sample(struct sampler *s) ASH_MAY_WAIT
{
    struct bdev *bdev = bdev_find(ash_engine_bdevs(s->rpc->engine), s->name);
    if (!bdev || !ash_uuid_equal(&bdev->uuid, &s->uuid))
        return false;
    bdev_get_channel_stats(bdev, BDEV_RESET_NONE, s->stats);
    uint64_t depth = 0, now = rt_now_ns(), us = (now - s->last_ns) / 1000;
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++)
        depth += s->stats[i].n_in_flight;
    s->depth = depth;
    s->busy_us += depth ? us : 0;
    s->weighted_us += depth * us;
    s->last_ns = now;
    return true;
}

static void sampler_main(void *arg)
{
    struct sampler *s = arg;
    struct jsonrpc *rpc = s->rpc;
    while (!s->stop) {
        s->wake = RT_EVENT_INIT;
        rt_timer_start(&s->timer, ASH_MAX(s->period_us * 1000, PERIOD_MIN_NS));
        rt_step("until the next sample");
        rt_event_wait(&s->wake);
        if (!s->stop && !sample(s))
            break;
    }
    ash_list_remove(&s->link);
    rt_waitq_wake_all(&rpc->sampler_gone);
    sampler_free(s);
}

void rpc_stop_sampling(struct jsonrpc *rpc)
{
    ash_list_for_each (l, &rpc->samplers)
        ask_to_stop(ash_list_entry(l, struct sampler, link));
    while (!ash_list_empty(&rpc->samplers))
        rt_waitq_wait(&rpc->sampler_gone);
}

void rpc_dump_queue_depth(struct jsonrpc *rpc, const char *bdev_name, struct ash_jsonw *w)
{
    const struct sampler *s = find(rpc, bdev_name);
    if (!s)
        return;
    ash_jsonw_u64(w, "queue_depth_polling_period", s->period_us);
    ash_jsonw_u64(w, "queue_depth", s->depth);
    ash_jsonw_u64(w, "io_time", s->busy_us);
    ash_jsonw_u64(w, "weighted_io_time", s->weighted_us);
}

struct sampling_params {
    char *name;
    uint64_t period;
};

static const struct ash_param sampling_table[] = {
    ASH_PARAM(struct sampling_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "device"),
    ASH_PARAM(struct sampling_params, period, ASH_P_U64, ASH_P_REQUIRED, NULL,
              "microseconds between two looks at the queue depth; 0: off"),
    {0},
};

static int sampler_start(struct ash_call *call, const struct bdev *bdev, uint64_t period_us)
{
    struct jsonrpc *rpc = rpc_of(call->engine);
    struct sampler *s = rt_alloc(sizeof(*s));
    if (s) {
        s->name = rt_strdup(bdev->name);
        s->stats = rt_alloc(rt_n_reactors(rt_world()) * sizeof(*s->stats));
        s->rpc = rpc;
        s->uuid = bdev->uuid;
        s->timer.fire = fire;
        s->period_us = period_us;
        s->last_ns = rt_now_ns();
    }
    if (!s || !s->name || !s->stats || rt_task_spawn("qd-sampler", sampler_main, s)) {
        if (s)
            sampler_free(s);
        return ash_err_set(call->err, ASH_E_NO_MEMORY, bdev->name, "no memory for sampling");
    }
    ash_list_push_tail(&rpc->samplers, &s->link);
    return 0;
}

static int set_sampling(struct ash_call *call, void *params)
{
    const struct sampling_params *p = params;
    const struct bdev *bdev = bdev_find(call->bdevs, p->name);
    if (!bdev)
        return rpc_no_bdev(call, p->name);
    if (p->period > UINT64_MAX / 2000)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, "period", "the period is too long");
    struct sampler *old = find(rpc_of(call->engine), bdev->name);
    int rc = p->period ? sampler_start(call, bdev, p->period) : 0;
    if (rc)
        return rc;
    if (old)
        ask_to_stop(old);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

const struct ash_method rpc_qd_methods[] = {
    {.name = "bdev_set_qd_sampling_period",
     .help = "Look at the queue depth of a device now and then; bdev_get_iostat tells",
     .params = sampling_table,
     .params_bytes = sizeof(struct sampling_params),
     .run = set_sampling},
    {0},
};
