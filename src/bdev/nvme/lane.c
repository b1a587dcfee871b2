/* SPDX-License-Identifier: Apache-2.0 */
/* The data path of the initiator: choosing a path, holding what cannot go now, trying again.
 *
 * An io for which its path has no slot waits for one; there are as many of them as the device's
 * users submit. An io whose namespace no path has now is held, and so is a change that may still
 * run where it was sent before (host.h): NVME_HELD_MAX of them at most, and each for hold_ns at
 * most since it was first held. What is beyond fails with -EIO. Those of one kind keep their order.
 * Source: docs/spec/nvme-tcp.md 5, 8, 10. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/mod/mod.h"
#include "bdev/nvme/host.h"

enum started { STARTED, NO_SLOT, NO_PATH };

#define KATO_MARGIN_NS UINT64_C(1000000000)

static struct nvme_io_ctx *ctx_of(struct bdev_io *io)
{
    return bdev_io_ctx(io);
}

/* ----------------------------------------------------------------- the end */

static void finish_at_home(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    bdev_io_done(io, io->rc);
}

/* soon: from inside a submission */
static void finish(struct bdev_io *io, int rc, bool soon)
{
    struct nvme_io_ctx *c = ctx_of(io);
    if (c->home == rt_self()) {
        if (soon)
            bdev_io_done_soon(io, rc);
        else
            bdev_io_done(io, rc);
        return;
    }
    io->rc = rc;
    io->job.run = finish_at_home;
    rt_post(c->home, &io->job);
}

/* -------------------------------------- what may still run at the controller */

/* The first of all later ones that are still to come; 0: none. */
static uint64_t next_safe_ns(const struct nvme_lane *lane, uint64_t now)
{
    uint64_t next = 0;
    for (unsigned i = 0; i < NVME_PATHS_MAX; i++) {
        uint64_t t = lane->unsafe_until_ns[i];
        if (t > now && t != UINT64_MAX && (!next || t < next))
            next = t;
    }
    return next;
}

static void arm_unsafe(struct nvme_lane *lane)
{
    uint64_t now = rt_now_ns(), next = next_safe_ns(lane, now);
    if (next)
        rt_timer_start(&lane->unsafe_timer, next - now);
}

static void unsafe_fired(struct rt_timer *timer)
{
    struct nvme_lane *lane = ash_container_of(timer, struct nvme_lane, unsafe_timer);
    arm_unsafe(lane);
    nvme_lane_kick(lane);
}

void nvme_lane_is_over(struct nvme_lane *lane, unsigned path_idx)
{
    lane->unsafe_until_ns[path_idx] = 0;
}

static bool changes(const struct bdev_io *io)
{
    return io->type == BDEV_WRITE || io->type == BDEV_WRITE_ZEROES || io->type == BDEV_UNMAP;
}

/* Its connection has failed, and the controller may still be at it, or may not even know. It does
 * know when its keep-alive timer has
 * run out, which began at the latest when the connection failed; without one it never does. */
static void mark_unsafe(struct nvme_lane *lane, const struct nvme_path *path, struct bdev_io *io)
{
    uint64_t unit_ns = ash_le16_get(path->id->kas) * UINT64_C(100000000);
    uint64_t kato_ns = path->opts.keep_alive_ms * UINT64_C(1000000);
    uint64_t until = UINT64_MAX;
    if (kato_ns)
        until = rt_now_ns() + ash_div_up(kato_ns, unit_ns) * unit_ns + KATO_MARGIN_NS;
    lane->unsafe_until_ns[path->idx] = until;
    ctx_of(io)->unsafe_path = (uint8_t)(path->idx + 1);
    arm_unsafe(lane);
}

static bool is_safe(const struct nvme_lane *lane, struct bdev_io *io)
{
    struct nvme_io_ctx *c = ctx_of(io);
    if (ASH_LIKELY(!c->unsafe_path))
        return true;
    uint64_t until = lane->unsafe_until_ns[c->unsafe_path - 1];
    if (until > rt_now_ns())
        return false;
    c->unsafe_path = 0;
    return true;
}

/* ---------------------------------------------------------------- starting */

static unsigned rank(uint8_t ana)
{
    return ana == NVME_ANA_OPTIMIZED ? 2 : ana == NVME_ANA_NON_OPTIMIZED ? 1 : 0;
}

/* The first of the best: all ios of a namespace take one path as long as it stays. */
static struct nvme_qpair *choose(struct nvme_lane *lane, const struct nvme_ns *ns)
{
    struct nvme_qpair *best = NULL;
    unsigned best_rank = 0;
    ash_list_for_each (l, &lane->qpairs) {
        struct nvme_qpair *qp = ash_list_entry(l, struct nvme_qpair, link);
        const struct nvme_path *path = qp->opts.owner;
        unsigned r = rank(atomic_load_explicit(&ns->ana[path->idx], memory_order_acquire));
        if (r > best_rank) {
            best = qp;
            best_rank = r;
        }
    }
    return best;
}

static bool start_fused(struct nvme_qpair *qp, struct bdev_io *io, const struct nvme_sqe *rw)
{
    struct nvme_sqe sqe[2] = {*rw, *rw};
    sqe[0].opcode = NVME_IO_COMPARE;
    sqe[1].opcode = NVME_IO_WRITE;
    const struct iovec *const iov[2] = {io->iov, io->write_iov};
    const uint32_t n_iov[2] = {io->n_iov, io->n_write_iov};
    return nvme_qpair_submit_fused(qp, io, sqe, iov, n_iov, (uint32_t)io->length);
}

static bool start_on(struct nvme_qpair *qp, struct bdev_io *io)
{
    const struct nvme_ns *ns = ctx_of(io)->ns;
    uint64_t slba = io->offset >> ns->block_shift, n_blocks = io->length >> ns->block_shift;
    struct nvme_sqe sqe = {.nsid = ash_le32(ns->nsid)};
    if (io->type == BDEV_FLUSH) {
        sqe.opcode = NVME_IO_FLUSH;
        return nvme_qpair_submit(qp, io, &sqe, NULL, 0, 0, false);
    }
    if (io->type == BDEV_UNMAP)
        return nvme_qpair_submit_dsm(qp, io, ns->nsid, slba, (uint32_t)n_blocks);
    sqe.slba = ash_le64(slba);
    sqe.rw_cdw12 =
        ash_le32((uint32_t)(n_blocks - 1) | (io->flags & BDEV_FUA ? NVME_RW_FUA : 0) |
                 (io->type == BDEV_WRITE_ZEROES && !(io->flags & BDEV_NO_HOLE) ? NVME_RW_DEAC : 0));
    switch (io->type) {
    case BDEV_WRITE_ZEROES:
        sqe.opcode = NVME_IO_WRITE_ZEROES;
        return nvme_qpair_submit(qp, io, &sqe, NULL, 0, 0, false);
    case BDEV_COMPARE_AND_WRITE:
        return start_fused(qp, io, &sqe);
    case BDEV_READ:
        sqe.opcode = NVME_IO_READ;
        break;
    case BDEV_WRITE:
        sqe.opcode = NVME_IO_WRITE;
        break;
    default:
        ASH_ASSERT(io->type == BDEV_COMPARE);
        sqe.opcode = NVME_IO_COMPARE;
        break;
    }
    return nvme_qpair_submit(qp, io, &sqe, io->iov, io->n_iov, (uint32_t)io->length,
                             io->type != BDEV_READ);
}

static enum started start(struct nvme_lane *lane, struct bdev_io *io)
{
    struct nvme_qpair *qp = is_safe(lane, io) ? choose(lane, ctx_of(io)->ns) : NULL;
    if (!qp)
        return NO_PATH;
    return start_on(qp, io) ? STARTED : NO_SLOT;
}

/* ----------------------------------------------------------------- holding */

static void arm_hold(struct nvme_lane *lane, uint64_t deadline_ns)
{
    uint64_t now = rt_now_ns();
    if (rt_timer_armed(&lane->hold_timer) && lane->hold_until_ns <= deadline_ns)
        return;
    lane->hold_until_ns = deadline_ns;
    rt_timer_start(&lane->hold_timer, deadline_ns > now ? deadline_ns - now : 0);
}

/* Until a path has its namespace: hold_ns at most since it first had none, however often it has
 * been sent since then. */
static void hold(struct nvme_lane *lane, struct bdev_io *io)
{
    struct nvme_io_ctx *c = ctx_of(io);
    if (!c->held_since_ns)
        c->held_since_ns = rt_now_ns();
    uint64_t deadline_ns = c->held_since_ns + lane->group->hold_ns;
    if (!atomic_load_explicit(&lane->group->may_wait, memory_order_acquire) ||
        lane->n_held >= NVME_HELD_MAX || deadline_ns <= rt_now_ns()) {
        finish(io, -EIO, true);
        return;
    }
    ash_list_push_tail(&lane->held, &io->link);
    lane->n_held++;
    arm_hold(lane, deadline_ns);
}

static void unhold(struct nvme_lane *lane, struct bdev_io *io)
{
    ash_list_remove(&io->link);
    lane->n_held--;
}

static void await_slot(struct nvme_lane *lane, struct bdev_io *io)
{
    ash_list_push_tail(&lane->waiting, &io->link);
}

/* Slots have become free, or the paths of what waits for them have gone. */
static void start_waiting(struct nvme_lane *lane)
{
    struct ash_list *l;
    while ((l = ash_list_pop_head(&lane->waiting))) {
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        enum started s = start(lane, io);
        if (s == NO_SLOT) {
            ash_list_push_head(&lane->waiting, &io->link);
            return;
        }
        if (s == NO_PATH)
            hold(lane, io);
    }
}

void nvme_lane_kick(struct nvme_lane *lane)
{
    start_waiting(lane);
    ash_list_for_each_safe (l, &lane->held) {
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        unhold(lane, io);
        enum started s = start(lane, io);
        if (s == NO_SLOT) {
            await_slot(lane, io);
        } else if (s == NO_PATH) { /* back to its place */
            ash_list_insert_before(l_next, &io->link);
            lane->n_held++;
        }
    }
}

static void hold_fired(struct rt_timer *timer)
{
    struct nvme_lane *lane = ash_container_of(timer, struct nvme_lane, hold_timer);
    uint64_t now = rt_now_ns(), next = UINT64_MAX;
    ash_list_for_each_safe (l, &lane->held) {
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        uint64_t until = ctx_of(io)->held_since_ns + lane->group->hold_ns;
        if (until <= now) {
            unhold(lane, io);
            finish(io, -EIO, true);
        } else {
            next = ASH_MIN(next, until);
        }
    }
    if (next != UINT64_MAX)
        arm_hold(lane, next);
}

static void fail_list(struct ash_list *list, int rc)
{
    struct ash_list *l;
    while ((l = ash_list_pop_head(list)))
        finish(ash_list_entry(l, struct bdev_io, link), rc, true);
}

void nvme_lane_fail_held(struct nvme_lane *lane, int rc)
{
    fail_list(&lane->held, rc);
    fail_list(&lane->waiting, rc);
    lane->n_held = 0;
    rt_timer_stop(&lane->hold_timer);
    rt_timer_stop(&lane->unsafe_timer);
}

void nvme_lane_init(struct nvme_lane *lane, struct nvme_group *group, struct rt_reactor *reactor)
{
    lane->group = group;
    lane->reactor = reactor;
    ash_list_init(&lane->qpairs);
    ash_list_init(&lane->held);
    ash_list_init(&lane->waiting);
    lane->hold_timer.fire = hold_fired;
    lane->unsafe_timer.fire = unsafe_fired;
}

/* In the order of the paths, so that all lanes prefer the same one. */
void nvme_lane_add(struct nvme_lane *lane, struct nvme_qpair *qp)
{
    struct ash_list *pos = lane->qpairs.next;
    unsigned idx = ((const struct nvme_path *)qp->opts.owner)->idx;
    while (
        pos != &lane->qpairs &&
        ((const struct nvme_path *)ash_list_entry(pos, struct nvme_qpair, link)->opts.owner)->idx <
            idx)
        pos = pos->next;
    ash_list_insert_before(pos, &qp->link);
    nvme_lane_kick(lane);
}

/* -------------------------------------------------------------- in and out */

static void submit_here(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    const struct nvme_ns_channel *c = io->frame->ch->ctx;
    nvme_lane_submit(c->lane, io);
}

void nvme_lane_submit(struct nvme_lane *lane, struct bdev_io *io)
{
    if (lane->reactor != rt_self()) {
        io->job.run = submit_here;
        rt_post(lane->reactor, &io->job);
        return;
    }
    enum started s = ash_list_empty(&lane->waiting) ? start(lane, io) : NO_SLOT;
    if (s == NO_SLOT)
        await_slot(lane, io);
    else if (s == NO_PATH)
        hold(lane, io);
}

/* A status that says "not here", of a controller that can tell when that ends. */
static bool is_path_status(const struct nvme_path *path, uint16_t sc)
{
    return sc >> 8 == 3 && (path->id->cmic & NVME_CMIC_ANA);
}

static bool is_transient(uint16_t sc)
{
    return sc >> 8 == 3 || sc == NVME_SC_INTERRUPTED || sc == NVME_SC_TRANSIENT_TRANSPORT ||
           sc == NVME_SC_NOT_READY || sc == NVME_SC_SQ_DELETED;
}

static int rc_of_status(uint16_t sc)
{
    switch (sc) {
    case NVME_SC_SUCCESS:
        return 0;
    case NVME_SC_WRITE_PROTECTED:
        return -EPERM;
    case NVME_SC_INVALID_OPCODE:
        return -ENOTSUP;
    case NVME_SC_LBA_RANGE:
        return -EINVAL;
    case NVME_SC_CAPACITY:
        return -ENOSPC;
    case NVME_SC_RESV_CONFLICT:
        return -EBUSY;
    default:
        return bdev_rc_of_nvme(sc >> 8, sc & 0xFF);
    }
}

void nvme_lane_io_done(struct nvme_qpair *qp, struct bdev_io *io, uint16_t status, int rc)
{
    struct nvme_path *path = qp->opts.owner;
    struct nvme_group *group = path->group;
    struct nvme_lane *lane = &group->lanes[qp->opts.qid - 1];
    struct nvme_io_ctx *c = ctx_of(io);
    uint16_t sc = status & ~NVME_STATUS_DNR;
    if (rc == 0 && ASH_LIKELY(sc == NVME_SC_SUCCESS)) {
        finish(io, 0, false);
    } else if (rc) {
        /* Nobody knows whether a fused pair has run, and it may not run twice. */
        if (io->type == BDEV_COMPARE_AND_WRITE) {
            finish(io, -EIO, false);
        } else {
            if (changes(io))
                mark_unsafe(lane, path, io);
            hold(lane, io);
        }
    } else if (is_path_status(path, sc)) {
        /* This path does not serve the namespace now: not again before it says so. */
        atomic_store_explicit(&c->ns->ana[path->idx], NVME_ANA_CHANGE, memory_order_release);
        nvme_path_ana_suspect(path);
        hold(lane, io);
    } else if (is_transient(sc) && !(status & NVME_STATUS_DNR) && c->n_tries < group->n_retries) {
        c->n_tries++;
        await_slot(lane, io);
    } else {
        finish(io, rc_of_status(sc), false);
    }
    /* After a failure the last one does it: others may serve what was held. */
    if (qp->has_failed ? qp->n_busy == 0 : sc >> 8 == 3)
        nvme_lane_kick(lane);
    else if (!qp->has_failed)
        start_waiting(lane);
}
