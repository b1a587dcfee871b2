/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping I/O: quiesce, range locks, reset, grace periods.
 *
 * A gate is a range that no user io may enter. It is made on the control reactor, handed to every
 * reactor (with or without a channel) by message and kept in the slot there; a reactor answers when
 * what was in flight at its arrival has ended. While a slot has a gate, QoS, histogram, hook or a
 * queue, ch->submit is bdev_gate_submit; otherwise the plain path knows nothing of all this.
 *
 * Waiting for what is in flight: two counters and a generation. A waiter turns the generation and
 * waits until the counter of the old one is zero; new ios count in the other. When the other is not
 * zero yet (an earlier waiter), the turn is put off until it is.
 *
 * Locks (unaligned writes, compare-and-write) are gates with an owner. Overlapping locks are in
 * force one after the other, in order of request. An io that waits for its lock is not in flight,
 * and once it has it, it still waits for overlapping gates of other kinds before it is counted in:
 * so neither locks nor quiesces wait for each other in a circle. */
#include <errno.h>

#include "bdev/core.h"

/* ------------------------------------------------------------- counting */

void bdev_gate_count(struct bdev_io *io)
{
    struct bdev_frame *f = io->frame;
    ASH_ASSERT(f->gen == GEN_NONE);
    f->gen = f->ch->core->gen;
    f->ch->core->inflight[f->gen]++;
}

void bdev_gate_uncount(struct bdev_io *io)
{
    struct bdev_frame *f = io->frame;
    struct bdev_chcore *core = f->ch->core;
    uint32_t gen = f->gen;
    ASH_ASSERT(gen != GEN_NONE);
    f->gen = GEN_NONE;
    if (--core->inflight[gen] == 0 && gen != core->gen)
        bdev_gate_drained(core);
}

/* The counter of the old generation is zero. */
void bdev_gate_drained(struct bdev_chcore *core)
{
    for (;;) {
        struct ash_list *l;
        while ((l = ash_list_pop_head(&core->grace_cur))) {
            struct bdev_grace_wait *w = ash_list_entry(l, struct bdev_grace_wait, link);
            w->done(w);
        }
        if (ash_list_empty(&core->grace_next))
            return;
        ash_list_splice_tail(&core->grace_cur, &core->grace_next);
        core->gen ^= 1;
        if (core->inflight[core->gen ^ 1] != 0)
            return;
    }
}

void bdev_grace_start(struct bdev_chcore *core, struct bdev_grace_wait *wait)
{
    ash_list_push_tail(&core->grace_next, &wait->link);
    if (core->inflight[core->gen ^ 1] == 0)
        bdev_gate_drained(core);
}

/* An io leaves the counted ones and is queued. Wherever it is queued again before it enters, it is
 * the same wait. */
void bdev_gate_enqueue(struct bdev_chcore *core, struct ash_list *queue, struct bdev_io *io)
{
    struct bdev_frame *f = io->frame;
    bdev_gate_uncount(io);
    if (!(f->reserved & FRAME_QUEUED)) {
        f->reserved |= FRAME_QUEUED | (core->queue_gen ? FRAME_QUEUE_GEN : 0);
        core->n_queued[core->queue_gen]++;
    }
    ash_list_push_tail(queue, &io->link);
}

static void queue_drained(struct bdev_chcore *core)
{
    while (core->n_queued[core->queue_gen ^ 1] == 0) {
        struct ash_list *l;
        while ((l = ash_list_pop_head(&core->queue_cur))) {
            struct bdev_grace_wait *w = ash_list_entry(l, struct bdev_grace_wait, link);
            w->done(w);
        }
        if (ash_list_empty(&core->queue_next))
            return;
        ash_list_splice_tail(&core->queue_cur, &core->queue_next);
        core->queue_gen ^= 1;
    }
}

/* The io enters, or ends; it is counted again. */
static void leave_queue(struct bdev_chcore *core, struct bdev_io *io)
{
    struct bdev_frame *f = io->frame;
    if (!(f->reserved & FRAME_QUEUED))
        return;
    uint32_t gen = f->reserved & FRAME_QUEUE_GEN ? 1 : 0;
    f->reserved &= ~(uint32_t)(FRAME_QUEUED | FRAME_QUEUE_GEN);
    if (--core->n_queued[gen] == 0 && gen != core->queue_gen)
        queue_drained(core);
}

static void queue_grace_start(struct bdev_chcore *core, struct bdev_grace_wait *wait)
{
    ash_list_push_tail(&core->queue_next, &wait->link);
    queue_drained(core);
}

/* ------------------------------------------------------------ submission */

static bool touches(const struct bdev_gate *g, const struct bdev_io *io)
{
    if (BDEV_WHOLE_TYPES & BDEV_BIT(io->type))
        return g->kind != GATE_LOCK;
    if (io->type == BDEV_SEEK_DATA || io->type == BDEV_SEEK_HOLE)
        return io->offset < g->end;
    if (io->offset < g->end && io->offset + io->length > g->offset)
        return true;
    return io->type == BDEV_COPY && io->src_offset < g->end &&
           io->src_offset + io->length > g->offset;
}

static struct bdev_gate *gate_for(const struct bdev_slot *slot, const struct bdev_io *io)
{
    ash_list_for_each (l, &slot->gates) {
        struct bdev_gate *g = ash_list_entry(l, struct bdev_gate_part, link)->gate;
        if (touches(g, io))
            return g;
    }
    return NULL;
}

/* Past QoS: wait at a gate, behind others for memory, or enter. The io is counted. */
void bdev_gate_pass(struct bdev_chcore *core, struct bdev_io *io)
{
    const struct bdev_gate *g = gate_for(core->slot, io);
    if (g && !(core->slot->removed && g->kind != GATE_LOCK)) {
        bdev_gate_enqueue(core, &core->held, io);
        return;
    }
    leave_queue(core, io);
    if (g)
        bdev_io_done_soon(io, -ECANCELED);
    else if (!ash_list_empty(&core->nomem))
        ash_list_push_tail(&core->nomem, &io->link);
    else
        bdev_enter(io->frame->ch, io);
}

void bdev_gate_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct bdev_chcore *core = ch->core;
    struct bdev_slot *slot = core->slot;
    if (slot->hist)
        io->frame->reserved |= FRAME_HIST;
    if (slot->hook) {
        int rc = slot->hook->submit(slot->hook, ch, io);
        if (rc > 0)
            return;
        if (rc < 0) {
            bdev_io_done_soon(io, rc);
            return;
        }
    }
    if (slot->qos && BDEV_RW_TYPES & BDEV_BIT(io->type) &&
        (!ash_list_empty(&core->qos_queue) || !bdev_qos_take(slot->qos, io))) {
        if (slot->removed) {
            bdev_io_done_soon(io, -ECANCELED);
            return;
        }
        bdev_qos_wait(core, io);
        return;
    }
    bdev_gate_pass(core, io);
}

void bdev_gate_update(struct bdev_chcore *core)
{
    const struct bdev_slot *slot = core->slot;
    bool is_gated = !ash_list_empty(&slot->gates) || slot->qos || slot->hist || slot->hook ||
                    !ash_list_empty(&core->qos_queue) || !ash_list_empty(&core->nomem);
    for (unsigned i = 0; i < BDEV_N_VIEWS; i++)
        core->view[i].submit = is_gated ? bdev_gate_submit : core->enter;
}

static void cancel_list(struct bdev_chcore *core, struct ash_list *list, bool is_counted)
{
    struct ash_list *l;
    while ((l = ash_list_pop_head(list))) {
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        if (!is_counted)
            bdev_gate_count(io);
        leave_queue(core, io);
        bdev_io_done_soon(io, -ECANCELED);
    }
}

void bdev_gate_abort_queued(struct bdev_chcore *core)
{
    rt_timer_stop(&core->qos_timer);
    cancel_list(core, &core->qos_queue, false);
    cancel_list(core, &core->held, false);
    cancel_list(core, &core->nomem, true);
    bdev_gate_update(core);
}

/* A gate has gone: let in whom no other one holds. */
static void release_held(struct bdev_chcore *core)
{
    struct ash_list waiting;
    ash_list_init(&waiting);
    ash_list_splice_tail(&waiting, &core->held);
    struct ash_list *l;
    while ((l = ash_list_pop_head(&waiting))) {
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        bdev_gate_count(io);
        bdev_gate_pass(core, io);
    }
}

/* ------------------------------------------------------- gates, all over */

static void part_closed(struct rt_job *job)
{
    struct bdev_gate_part *part = ash_container_of(job, struct bdev_gate_part, job);
    struct bdev_gate *g = part->gate;
    ASH_ASSERT(g->n_left > 0);
    if (--g->n_left == 0) {
        g->is_closed = true;
        g->closed(g);
    }
}

static void part_answer(struct bdev_gate_part *part, void (*run)(struct rt_job *job))
{
    part->job.run = run;
    rt_post(rt_reactor(rt_world(), 0), &part->job);
}

static void part_drained(struct bdev_grace_wait *wait)
{
    part_answer(ash_container_of(wait, struct bdev_gate_part, wait), part_closed);
}

static struct bdev_slot *my_slot(struct bdev *bdev)
{
    return &bdev->core->slots[rt_reactor_idx(rt_self())];
}

static void part_close(struct rt_job *job)
{
    struct bdev_gate_part *part = ash_container_of(job, struct bdev_gate_part, job);
    struct bdev_slot *slot = my_slot(part->gate->bdev);
    ash_list_push_tail(&slot->gates, &part->link);
    if (!slot->ch) {
        part_answer(part, part_closed);
        return;
    }
    bdev_gate_update(slot->ch);
    if (part->gate->kind == GATE_RESET)
        bdev_gate_abort_queued(slot->ch);
    part->wait.done = part_drained;
    bdev_grace_start(slot->ch, &part->wait);
}

static void part_opened(struct rt_job *job)
{
    struct bdev_gate_part *part = ash_container_of(job, struct bdev_gate_part, job);
    struct bdev_gate *g = part->gate;
    ASH_ASSERT(g->n_left > 0);
    if (--g->n_left == 0)
        g->opened(g);
}

static void part_open(struct rt_job *job)
{
    struct bdev_gate_part *part = ash_container_of(job, struct bdev_gate_part, job);
    struct bdev_slot *slot = my_slot(part->gate->bdev);
    ash_list_remove(&part->link);
    if (slot->ch) {
        bdev_gate_update(slot->ch);
        release_held(slot->ch);
    }
    rt_waitq_wake_all(&slot->gate_waiters);
    part_answer(part, part_opened);
}

static void gate_broadcast(struct bdev_gate *g, void (*run)(struct rt_job *job))
{
    unsigned n = g->bdev->core->n_slots;
    ASH_ASSERT(g->n_left == 0);
    g->n_left = n;
    struct rt *rt = g->bdev->mgr->rt;
    for (unsigned i = 0; i < n; i++) {
        g->parts[i].job.run = run;
        rt_post(rt_reactor(rt, i), &g->parts[i].job);
    }
}

static struct bdev_gate *gate_alloc(struct bdev *bdev, enum bdev_gate_kind kind, uint64_t offset,
                                    uint64_t end)
{
    unsigned n = bdev->core->n_slots;
    struct bdev_gate *g = rt_alloc(sizeof(*g) + n * sizeof(g->parts[0]));
    if (!g)
        return NULL;
    g->bdev = bdev;
    g->kind = kind;
    g->offset = offset;
    g->end = end;
    ash_list_init(&g->link);
    for (unsigned i = 0; i < n; i++) {
        g->parts[i].gate = g;
        ash_list_init(&g->parts[i].link);
        ash_list_init(&g->parts[i].wait.link);
    }
    return g;
}

static void gate_free(struct bdev_gate *g)
{
    struct bdev_core *core = g->bdev->core;
    ash_list_remove(&g->link);
    rt_free(g);
    rt_waitq_wake_all(&core->changed);
}

static void wake_task(struct bdev_gate *g)
{
    rt_event_set(&g->ev, 0);
}

static void gate_start(struct bdev_gate *g, void (*closed)(struct bdev_gate *g))
{
    g->started = true;
    g->closed = closed;
    g->ev = RT_EVENT_INIT;
    gate_broadcast(g, part_close);
}

static void gate_open_wait(struct bdev_gate *g) ASH_MAY_WAIT
{
    g->ev = RT_EVENT_INIT;
    g->opened = wake_task;
    gate_broadcast(g, part_open);
    rt_event_wait(&g->ev);
    gate_free(g);
}

/* -------------------------------------------------------------- quiesce */

int bdev_quiesce(struct bdev *bdev, uint64_t offset, uint64_t length)
{
    bdev_assert_control();
    uint64_t end = length ? offset + length : UINT64_MAX;
    ASH_ASSERT(end > offset);
    struct bdev_gate *g = gate_alloc(bdev, GATE_QUIESCE, length ? offset : 0, end);
    if (!g)
        return -ENOMEM;
    ash_list_push_tail(&bdev->core->gates, &g->link);
    gate_start(g, wake_task);
    rt_event_wait(&g->ev);
    return 0;
}

void bdev_unquiesce(struct bdev *bdev, uint64_t offset, uint64_t length)
{
    bdev_assert_control();
    uint64_t end = length ? offset + length : UINT64_MAX;
    struct bdev_gate *found = NULL;
    ash_list_for_each (l, &bdev->core->gates) {
        struct bdev_gate *g = ash_list_entry(l, struct bdev_gate, link);
        if (g->kind == GATE_QUIESCE && g->is_closed && g->end == end &&
            g->offset == (length ? offset : 0))
            found = g;
    }
    ASH_ASSERT(found);
    found->is_closed = false; /* taken: a second unquiesce of the same range finds its own */
    gate_open_wait(found);
}

/* ---------------------------------------------------------------- locks */

static void lock_granted(struct rt_job *job)
{
    struct bdev_gate *g = ash_container_of(job, struct bdev_gate, job);
    rt_event_set(&g->granted, 0);
}

static void lock_closed(struct bdev_gate *g)
{
    g->job.run = lock_granted;
    rt_post(g->owner, &g->job);
}

/* Start locks that no earlier overlapping one is before. */
static void locks_advance(struct bdev_core *core)
{
    ash_list_for_each (l, &core->gates) {
        struct bdev_gate *g = ash_list_entry(l, struct bdev_gate, link);
        if (g->kind != GATE_LOCK || g->started)
            continue;
        bool is_blocked = false;
        for (struct ash_list *e = core->gates.next; e != l && !is_blocked; e = e->next) {
            const struct bdev_gate *b = ash_list_entry(e, struct bdev_gate, link);
            is_blocked =
                b->kind == GATE_LOCK && !b->is_released && b->offset < g->end && b->end > g->offset;
        }
        if (!is_blocked)
            gate_start(g, lock_closed);
    }
}

static void lock_request(struct rt_job *job)
{
    struct bdev_gate *g = ash_container_of(job, struct bdev_gate, job);
    ash_list_push_tail(&g->bdev->core->gates, &g->link);
    locks_advance(g->bdev->core);
}

static void lock_opened(struct bdev_gate *g)
{
    gate_free(g);
}

static void lock_release(struct rt_job *job)
{
    struct bdev_gate *g = ash_container_of(job, struct bdev_gate, job);
    struct bdev_core *core = g->bdev->core;
    g->opened = lock_opened;
    /* listed until all have answered, but out of the way of its successors */
    g->is_released = true;
    gate_broadcast(g, part_open);
    locks_advance(core);
}

static bool blocked_by_others(const struct bdev_slot *slot, const struct bdev_gate *mine,
                              const struct bdev_io *io)
{
    ash_list_for_each (l, &slot->gates) {
        const struct bdev_gate *g = ash_list_entry(l, struct bdev_gate_part, link)->gate;
        if (g != mine && g->kind != GATE_LOCK && touches(g, io))
            return true;
    }
    return false;
}

int bdev_lock_range(struct bdev_io *io, uint64_t offset, uint64_t end, struct bdev_gate **ret_gate)
{
    struct bdev *bdev = io->frame->ch->bdev;
    struct bdev_slot *slot = my_slot(bdev);
    struct bdev_gate *g = gate_alloc(bdev, GATE_LOCK, offset, end);
    if (!g)
        return -ENOMEM;
    bdev_gate_uncount(io);
    g->owner = rt_self();
    g->granted = RT_EVENT_INIT;
    g->job.run = lock_request;
    rt_post(rt_reactor(bdev->mgr->rt, 0), &g->job);
    rt_event_wait(&g->granted);
    while (blocked_by_others(slot, g, io) && !slot->removed)
        rt_waitq_wait(&slot->gate_waiters);
    bdev_gate_count(io);
    if (blocked_by_others(slot, g, io)) {
        bdev_unlock_range(g);
        return -ECANCELED;
    }
    *ret_gate = g;
    return 0;
}

void bdev_unlock_range(struct bdev_gate *g)
{
    g->job.run = lock_release;
    rt_post(rt_reactor(g->bdev->mgr->rt, 0), &g->job);
}

/* ---------------------------------------------------------------- reset */

struct reset_call {
    struct bdev *bdev;
    struct bdev_gate *gate;
    bool joined, is_drained;
};

struct reset_wait {
    struct rt_timer timer;
    struct rt_event ev;
    struct bdev_gate *gate;
};

static void reset_drained(struct bdev_gate *g)
{
    struct reset_wait *w = g->waiter;
    if (w && !w->ev.is_set)
        rt_event_set(&w->ev, 0);
    rt_event_set(&g->ev, 0);
}

static void reset_timeout(struct rt_timer *timer)
{
    struct reset_wait *w = ash_container_of(timer, struct reset_wait, timer);
    if (!w->ev.is_set)
        rt_event_set(&w->ev, -ETIMEDOUT);
}

/* Control reactor: freeze everything and wait for the end of what is in flight, or join. */
static int reset_begin(void *arg)
{
    struct reset_call *call = arg;
    struct bdev_core *core = call->bdev->core;
    if (core->resetting) {
        uint64_t seq = core->reset_seq;
        call->joined = true;
        while (core->reset_seq == seq)
            rt_waitq_wait(&core->changed);
        return core->reset_rc;
    }
    struct bdev_gate *g = gate_alloc(call->bdev, GATE_RESET, 0, UINT64_MAX);
    if (!g)
        return -ENOMEM;
    core->resetting = true;
    ash_list_push_tail(&core->gates, &g->link);
    struct reset_wait w = {.timer.fire = reset_timeout, .ev = RT_EVENT_INIT};
    g->waiter = &w;
    gate_start(g, reset_drained);
    bool is_native = bdev_supports(call->bdev, BDEV_RESET);
    if (is_native)
        rt_timer_start(&w.timer, call->bdev->reset_drain_ns);
    call->is_drained = rt_event_wait(&w.ev) == 0;
    rt_timer_stop(&w.timer);
    g->waiter = NULL;
    call->gate = g;
    return 0;
}

static int reset_end(void *arg)
{
    struct reset_call *call = arg;
    struct bdev_core *core = call->bdev->core;
    rt_event_wait(&call->gate->ev);
    gate_open_wait(call->gate);
    core->resetting = false;
    core->reset_seq++;
    rt_waitq_wake_all(&core->changed);
    return 0;
}

static void child_wake(struct bdev_io *io)
{
    rt_event_set(io->user, io->rc);
}

static int native_reset(struct bdev_channel *ch, uint64_t start_ns) ASH_MAY_WAIT
{
    struct bdev_io *io = bdev_io_get(&ch->core->view[BDEV_OPEN_WRITE]);
    if (!io)
        return -ENOMEM;
    struct rt_event ev = RT_EVENT_INIT;
    io->type = BDEV_RESET;
    io->user = &ev;
    io->done = child_wake;
    bdev_child_submit(io, start_ns);
    int rc = rt_event_wait(&ev);
    bdev_io_put(io);
    return rc;
}

static void reset_task(void *arg)
{
    struct bdev_io *io = arg;
    struct bdev_channel *ch = io->frame->ch;
    struct bdev *bdev = ch->bdev;
    struct rt_reactor *control = rt_reactor(bdev->mgr->rt, 0);
    struct reset_call call = {.bdev = bdev};
    int rc = rt_call_on(control, "bdev reset", reset_begin, &call);
    if (rc == 0 && !call.joined) {
        bool is_enough = call.is_drained && bdev->reset_drain_ns != 0;
        if (!is_enough && bdev_supported(bdev) & BDEV_BIT(BDEV_RESET))
            rc = native_reset(ch, io->frame->start_ns);
        __atomic_store_n(&bdev->core->reset_rc, rc, __ATOMIC_RELAXED);
        int end_rc = rt_call_on(control, "bdev reset", reset_end, &call);
        rc = rc ? rc : end_rc;
    }
    bdev_gate_count(io);
    bdev_io_done(io, rc);
}

void bdev_reset_run(struct bdev_channel *ch, struct bdev_io *io)
{
    bdev_gate_uncount(io);
    if (rt_task_spawn("bdev reset", reset_task, io)) {
        bdev_gate_count(io);
        bdev_io_done_soon(io, -EIO);
    }
}

/* ------------------------------------------------------- every reactor */

/* Between the two, the device is not freed. */
static void work_begin(struct bdev *bdev)
{
    bdev->core->n_working++;
}

static void work_end(struct bdev *bdev)
{
    if (--bdev->core->n_working == 0)
        rt_waitq_wake_all(&bdev->core->changed);
}

struct slot_call {
    struct bdev *bdev;
    void (*fn)(struct bdev_slot *slot, unsigned idx, void *arg);
    void *arg;
    struct rt_event ev;
    unsigned n_left;
    struct slot_part {
        struct rt_job job;
        struct slot_call *call;
    } parts[RT_MAX_REACTORS];
};

static void slot_part_back(struct rt_job *job)
{
    struct slot_call *call = ash_container_of(job, struct slot_part, job)->call;
    if (--call->n_left == 0)
        rt_event_set(&call->ev, 0);
}

static void slot_part_run(struct rt_job *job)
{
    struct slot_call *call = ash_container_of(job, struct slot_part, job)->call;
    unsigned idx = rt_reactor_idx(rt_self());
    call->fn(&call->bdev->core->slots[idx], idx, call->arg);
    job->run = slot_part_back;
    rt_post(rt_reactor(rt_world(), 0), job);
}

int bdev_on_slots(struct bdev *bdev, void (*fn)(struct bdev_slot *slot, unsigned idx, void *arg),
                  void *arg)
{
    bdev_assert_control();
    struct slot_call call = {.bdev = bdev, .fn = fn, .arg = arg, .ev = RT_EVENT_INIT};
    call.n_left = bdev->core->n_slots;
    for (unsigned i = 0; i < bdev->core->n_slots; i++) {
        call.parts[i].call = &call;
        call.parts[i].job.run = slot_part_run;
        rt_post(rt_reactor(bdev->mgr->rt, i), &call.parts[i].job);
    }
    work_begin(bdev);
    int rc = rt_event_wait(&call.ev);
    work_end(bdev);
    return rc;
}

struct channel_call {
    void (*fn)(struct bdev_channel *ch, void *arg);
    void *arg;
};

static void run_on_channel(struct bdev_slot *slot, unsigned idx, void *arg)
{
    struct channel_call *call = arg;
    if (slot->ch)
        call->fn(&slot->ch->view[BDEV_OPEN_WRITE], call->arg);
}

void bdev_for_each_channel(struct bdev *bdev, void (*fn)(struct bdev_channel *ch, void *arg),
                           void *arg)
{
    struct channel_call call = {fn, arg};
    bdev_on_slots(bdev, run_on_channel, &call);
}

/* ---------------------------------------------------------------- grace */

struct grace_call {
    struct rt_event ev;
    unsigned n_left;
    struct grace_part {
        struct rt_job job;
        struct bdev_grace_wait wait;
        struct bdev *bdev;
        struct grace_call *call;
    } parts[RT_MAX_REACTORS];
};

static void grace_part_back(struct rt_job *job)
{
    struct grace_call *call = ash_container_of(job, struct grace_part, job)->call;
    if (--call->n_left == 0)
        rt_event_set(&call->ev, 0);
}

static void grace_part_ended(struct bdev_grace_wait *wait)
{
    struct grace_part *part = ash_container_of(wait, struct grace_part, wait);
    part->job.run = grace_part_back;
    rt_post(rt_reactor(rt_world(), 0), &part->job);
}

/* What was queued at the call has entered by now: it is in flight, with the rest. */
static void grace_part_entered(struct bdev_grace_wait *wait)
{
    struct grace_part *part = ash_container_of(wait, struct grace_part, wait);
    part->wait.done = grace_part_ended;
    bdev_grace_start(my_slot(part->bdev)->ch, &part->wait);
}

static void grace_part_run(struct rt_job *job)
{
    struct grace_part *part = ash_container_of(job, struct grace_part, job);
    struct bdev_slot *slot = my_slot(part->bdev);
    part->wait.done = grace_part_entered;
    if (slot->ch)
        queue_grace_start(slot->ch, &part->wait);
    else
        grace_part_ended(&part->wait);
}

void bdev_grace(struct bdev *bdev)
{
    bdev_assert_control();
    struct grace_call call = {.ev = RT_EVENT_INIT, .n_left = bdev->core->n_slots};
    for (unsigned i = 0; i < bdev->core->n_slots; i++) {
        struct grace_part *part = &call.parts[i];
        part->bdev = bdev;
        part->call = &call;
        ash_list_init(&part->wait.link);
        part->job.run = grace_part_run;
        rt_post(rt_reactor(bdev->mgr->rt, i), &part->job);
    }
    work_begin(bdev);
    rt_event_wait(&call.ev);
    work_end(bdev);
}
