/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: one binary heap per reactor, the earliest first; equal deadlines fire in the order they
 * were armed. A timer's heap_pos is its place + 1, so a zeroed timer is not armed. */
#include <stdlib.h>

#include "rt/rt_internal.h"

static bool is_before(const struct rt_timer_slot *a, const struct rt_timer_slot *b)
{
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->seq < b->seq;
}

static void put(struct rt_reactor *r, size_t pos, struct rt_timer_slot slot)
{
    r->timers[pos] = slot;
    slot.timer->heap_pos = pos + 1;
}

static void sift_up(struct rt_reactor *r, size_t pos, struct rt_timer_slot slot)
{
    while (pos > 0 && is_before(&slot, &r->timers[(pos - 1) / 2])) {
        put(r, pos, r->timers[(pos - 1) / 2]);
        pos = (pos - 1) / 2;
    }
    put(r, pos, slot);
}

static void sift_down(struct rt_reactor *r, size_t pos, struct rt_timer_slot slot)
{
    for (;;) {
        size_t child = 2 * pos + 1;
        if (child >= r->n_timers)
            break;
        if (child + 1 < r->n_timers && is_before(&r->timers[child + 1], &r->timers[child]))
            child++;
        if (is_before(&slot, &r->timers[child]))
            break;
        put(r, pos, r->timers[child]);
        pos = child;
    }
    put(r, pos, slot);
}

static void take_out(struct rt_reactor *r, struct rt_timer *timer)
{
    size_t pos = timer->heap_pos - 1;
    ASH_ASSERT(pos < r->n_timers && r->timers[pos].timer == timer);
    struct rt_timer_slot last = r->timers[--r->n_timers];
    timer->heap_pos = 0;
    if (last.timer == timer)
        return;
    if (pos > 0 && is_before(&last, &r->timers[(pos - 1) / 2]))
        sift_up(r, pos, last);
    else
        sift_down(r, pos, last);
}

void rt_timer_start_on(struct rt_reactor *r, struct rt_timer *timer, uint64_t deadline_ns)
{
    if (timer->heap_pos != 0) {
        ASH_ASSERT(timer->reactor == r);
        take_out(r, timer);
    }
    if (r->n_timers == r->n_timers_room) {
        size_t n_room = r->n_timers_room ? 2 * r->n_timers_room : 16;
        struct rt_timer_slot *more = realloc(r->timers, n_room * sizeof(*more));
        /* There is nobody to tell, and a timer that does not fire is worse than an end. */
        ASH_ASSERT(more != NULL);
        r->timers = more;
        r->n_timers_room = n_room;
    }
    timer->reactor = r;
    timer->deadline_ns = deadline_ns;
    sift_up(r, r->n_timers++, (struct rt_timer_slot){deadline_ns, r->timer_seq++, timer});
}

void rt_timer_start(struct rt_timer *timer, uint64_t delay_ns)
{
    struct rt_reactor *r = rt_tls_self;
    ASH_ASSERT(r != NULL);
    uint64_t now_ns = rt_now_ns();
    uint64_t deadline_ns =
        delay_ns < RT_NEVER_NS - 1 - now_ns ? now_ns + delay_ns : RT_NEVER_NS - 1;
    rt_timer_start_on(r, timer, deadline_ns);
}

void rt_timer_stop(struct rt_timer *timer)
{
    if (timer->heap_pos == 0)
        return;
    ASH_ASSERT(timer->reactor == rt_tls_self);
    take_out(timer->reactor, timer);
}

uint64_t rt_timers_next(const struct rt_reactor *r)
{
    return r->n_timers ? r->timers[0].deadline_ns : RT_NEVER_NS;
}

void rt_timers_run(struct rt_reactor *r, uint64_t now_ns)
{
    /* Timers that are armed while others fire wait for the next turn, so that a timer of no delay
     * that arms itself again does not starve the rest. */
    uint64_t seq_end = r->timer_seq;
    while (r->n_timers && r->timers[0].deadline_ns <= now_ns && r->timers[0].seq < seq_end) {
        struct rt_timer *timer = r->timers[0].timer;
        take_out(r, timer);
        timer->fire(timer);
    }
}
