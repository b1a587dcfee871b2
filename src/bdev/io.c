/* SPDX-License-Identifier: Apache-2.0 */
/* The path of an io: checks at the top, frames, completion, waiting for memory.
 *
 * Invariants
 *   - io->frame is the frame of the layer that is working; below it lies what upper layers need.
 *   - Every pushed frame is popped by bdev_io_done exactly once, on its channel's reactor.
 *   - Nothing here allocates or takes a lock. Times are rt_coarse_ns: reading the clock for every
 *     io would be a third of the path. */
#include <errno.h>
#include <string.h>

#include "bdev/core.h"

static inline void push(struct bdev_io *io, struct bdev_channel *ch,
                        void (*pop)(struct bdev_io *io), uint64_t start_ns)
{
    struct bdev_chcore *core = ch->core;
    struct bdev_frame *f = (struct bdev_frame *)(void *)(io->stack + io->stack_used);
    io->stack_used += core->frame_bytes;
    ASH_ASSERT(io->stack_used <= io->stack_room);
    ASH_DASSERT(ch->reactor == rt_self());
    f->up = io->frame;
    f->ch = ch;
    f->pop = pop;
    f->saved_offset = io->offset;
    f->start_ns = start_ns;
    f->gen = core->gen;
    f->reserved = 0;
    core->inflight[f->gen]++;
    io->frame = f;
}

static inline void count_success(struct bdev_stats *st, const struct bdev_io *io, uint64_t ns)
{
    /* place + 1 */
    static const uint8_t places[BDEV_N_IO_TYPES] = {
        [BDEV_READ] = BDEV_STAT_READ + 1,
        [BDEV_WRITE] = BDEV_STAT_WRITE + 1,
        [BDEV_UNMAP] = BDEV_STAT_UNMAP + 1,
        [BDEV_COPY] = BDEV_STAT_COPY + 1,
    };
    unsigned place = places[io->type];
    if (!place)
        return;
    struct bdev_counters *c = &st->c[place - 1];
    c->n_ops++;
    c->n_bytes += io->length;
    c->ticks += ns;
    if (ns > c->max_ticks)
        c->max_ticks = ns;
    if (ASH_UNLIKELY(ns < c->min_ticks || c->min_ticks == 0))
        c->min_ticks = ns ? ns : 1; /* 0 means: none yet */
}

static void count_failure(struct bdev_stats *st, int rc)
{
    if (rc == -EILSEQ)
        st->n_miscompare++;
    else if (rc == -ECANCELED)
        st->n_aborted++;
    else
        st->n_failed++;
}

static void account_special(struct bdev_io *io, struct bdev_frame *f, uint64_t now_ns)
{
    struct bdev_chcore *core = f->ch->core;
    if (f->reserved & FRAME_HOOK && core->slot->hook)
        io->rc = core->slot->hook->complete(core->slot->hook, f->ch, io, io->rc);
    if (!(f->reserved & FRAME_CHILD)) {
        if (ASH_LIKELY(io->rc == 0))
            count_success(&core->stats, io, now_ns - f->start_ns);
        else
            count_failure(&core->stats, io->rc);
        if (f->reserved & FRAME_HIST && core->slot->hist)
            bdev_hist_tally(core->slot->hist, io->type, now_ns - f->start_ns);
    }
}

static inline void account(struct bdev_io *io, struct bdev_frame *f, uint64_t now_ns)
{
    struct bdev_chcore *core = f->ch->core;
    if (ASH_LIKELY(!f->reserved && io->rc == 0))
        count_success(&core->stats, io, now_ns - f->start_ns);
    else
        account_special(io, f, now_ns);
    if (f->gen != GEN_NONE && --core->inflight[f->gen] == 0 && f->gen != core->gen)
        bdev_gate_drained(core);
}

/* Something has come back: there may be memory again for one or two that wait. */
static void nomem_kick(struct bdev_chcore *core)
{
    bdev_split_retry(core);
    for (int i = 0; i < 2; i++) {
        struct ash_list *l = ash_list_pop_head(&core->nomem);
        if (!l)
            break;
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        bdev_enter(io->frame->ch, io);
    }
    if (ash_list_empty(&core->nomem)) {
        if (ash_list_empty(&core->split_stuck))
            rt_timer_stop(&core->nomem_timer);
        bdev_gate_update(core);
    }
}

void bdev_nomem_fire(struct rt_timer *timer)
{
    struct bdev_chcore *core = ash_container_of(timer, struct bdev_chcore, nomem_timer);
    nomem_kick(core);
    bdev_nomem_arm(core);
}

void bdev_nomem_arm(struct bdev_chcore *core)
{
    bool is_needed = !ash_list_empty(&core->nomem) || !ash_list_empty(&core->split_stuck);
    if (is_needed && !rt_timer_armed(&core->nomem_timer))
        rt_timer_start(&core->nomem_timer, 1000000);
}

void bdev_nomem_queue(struct bdev_chcore *core, struct bdev_io *io)
{
    core->stats.n_nomem++;
    ash_list_push_tail(&core->nomem, &io->link);
    bdev_gate_update(core);
    bdev_nomem_arm(core);
}

void bdev_io_done(struct bdev_io *io, int rc)
{
    ASH_ASSERT(io->frame && rc <= 0);
    ASH_DASSERT(io->frame->ch->reactor == rt_self());
    if (ASH_UNLIKELY(rc == -ENOMEM)) {
        bdev_nomem_queue(io->frame->ch->core, io);
        return;
    }
    struct bdev_chcore *lowest = io->frame->ch->core;
    if (ASH_UNLIKELY(rt_timer_armed(&lowest->nomem_timer)))
        nomem_kick(lowest);
    io->rc = rc;
    uint64_t now_ns = rt_coarse_ns();
    for (;;) {
        struct bdev_frame *f = io->frame;
        account(io, f, now_ns);
        io->offset = f->saved_offset;
        io->frame = f->up;
        io->stack_used = (uint32_t)((uint8_t *)f - io->stack);
        if (f->pop) {
            f->pop(io);
            return;
        }
        if (!io->frame) {
            io->done(io);
            return;
        }
    }
}

static void done_soon_run(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    bdev_io_done(io, io->rc);
}

void bdev_io_done_soon(struct bdev_io *io, int rc)
{
    io->rc = rc;
    io->job.run = done_soon_run;
    rt_post(io->frame->ch->reactor, &io->job);
}

void bdev_io_pass(struct bdev_io *io, struct bdev_channel *lower, uint64_t offset,
                  void (*pop)(struct bdev_io *io))
{
    push(io, lower, pop, io->frame->start_ns);
    io->offset = offset;
    if (ASH_UNLIKELY(io->type == BDEV_RESET))
        bdev_reset_run(lower, io);
    else
        lower->submit(lower, io);
}

void bdev_child_submit(struct bdev_io *io, uint64_t start_ns)
{
    struct bdev_channel *ch = io->ch;
    push(io, ch, NULL, start_ns);
    ch->core->inflight[io->frame->gen]--;
    io->frame->gen = GEN_NONE;
    io->frame->reserved = FRAME_CHILD;
    ch->core->enter(ch, io);
}

void bdev_enter(struct bdev_channel *ch, struct bdev_io *io)
{
    if (!(io->frame->reserved & FRAME_CHILD) && bdev_needs_emulation(ch, io))
        bdev_emulate(ch, io);
    else
        ch->core->enter(ch, io);
}

/* ------------------------------------------------------------- the top */

enum { CHECK_PLAIN = 0, CHECK_NOTHING_TO_DO = 1, CHECK_EMULATE = 2 };

static bool iov_fits(const struct iovec *iov, uint32_t n_iov, uint64_t n_bytes)
{
    if (ASH_LIKELY(n_iov == 1))
        return iov->iov_len == n_bytes;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n_iov; i++)
        sum += iov[i].iov_len;
    return sum == n_bytes;
}

/* What is asked of a type that the device has not got itself. */
static int check_unsupported(struct bdev *bdev, const struct bdev_io *io)
{
    return io->type == BDEV_RESET || bdev_can_emulate(bdev, io->type) ? CHECK_EMULATE : -ENOTSUP;
}

static int check_range(const struct bdev_channel *ch, const struct bdev_io *io)
{
    struct bdev *bdev = ch->bdev;
    uint64_t size = bdev_size(bdev);
    if (io->type == BDEV_SEEK_DATA || io->type == BDEV_SEEK_HOLE)
        return io->offset < size ? CHECK_PLAIN : -EINVAL;
    if (io->offset > size || io->length > size - io->offset)
        return -EINVAL;
    if (io->type == BDEV_COPY && (io->src_offset > size || io->length > size - io->src_offset ||
                                  !bdev_aligned(bdev, io->src_offset)))
        return -EINVAL;
    if (BDEV_IOV_TYPES & BDEV_BIT(io->type) && !iov_fits(io->iov, io->n_iov, io->length))
        return -EINVAL;
    if (io->type == BDEV_COMPARE_AND_WRITE && !iov_fits(io->write_iov, io->n_write_iov, io->length))
        return -EINVAL;
    if (io->length == 0)
        return CHECK_NOTHING_TO_DO;
    if (!bdev_aligned(bdev, io->offset) || !bdev_aligned(bdev, io->length)) {
        bool may = bdev_ch_mode(ch) & BDEV_OPEN_UNALIGNED && io->type != BDEV_COPY &&
                   io->type != BDEV_COMPARE_AND_WRITE;
        return may ? CHECK_EMULATE : -EINVAL;
    }
    return CHECK_PLAIN;
}

static int check(const struct bdev_channel *ch, const struct bdev_io *io)
{
    struct bdev *bdev = ch->bdev;
    if (io->type >= BDEV_N_IO_TYPES)
        return -EINVAL;
    uint32_t bit = BDEV_BIT(io->type);
    if (bit & (BDEV_WRITE_TYPES | BDEV_BIT(BDEV_FLUSH))) {
        if (!(bdev_ch_mode(ch) & BDEV_OPEN_WRITE))
            return -EBADF;
        if (bit & BDEV_WRITE_TYPES && __atomic_load_n(&bdev->read_only, __ATOMIC_RELAXED))
            return -EPERM;
        if (io->type == BDEV_WRITE_ZEROES && io->flags & BDEV_FAST && !bdev->fast_zeroes)
            return -ENOTSUP;
    }
    int rc = bit & BDEV_WHOLE_TYPES ? CHECK_PLAIN : check_range(ch, io);
    if (rc < 0)
        return rc;
    if (ASH_UNLIKELY(!(bdev_supported(bdev) & bit) || io->type == BDEV_RESET)) {
        int unsupported_rc = check_unsupported(bdev, io);
        return rc == CHECK_NOTHING_TO_DO && unsupported_rc >= 0 ? rc : unsupported_rc;
    }
    return rc;
}

static void refused_run(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    io->done(io);
}

/* Everything check() asks, for a plain read or write with one buffer; false: ask check(). */
static inline bool is_plain(const struct bdev_channel *ch, const struct bdev_io *io)
{
    const struct bdev *bdev = ch->bdev;
    uint64_t size = bdev_size(bdev);
    if (io->type > BDEV_WRITE || io->n_iov != 1 || io->iov->iov_len != io->length || !io->length ||
        (io->offset | io->length) & ch->core->block_mask || io->offset > size ||
        io->length > size - io->offset || !(bdev_supported(bdev) & BDEV_BIT(io->type)))
        return false;
    return io->type == BDEV_READ || (bdev_ch_mode(ch) & BDEV_OPEN_WRITE &&
                                     !__atomic_load_n(&bdev->read_only, __ATOMIC_RELAXED));
}

static void submit_special(struct bdev_io *io)
{
    struct bdev_channel *ch = io->ch;
    int rc = check(ch, io);
    if (ASH_UNLIKELY(rc < 0 || rc == CHECK_NOTHING_TO_DO)) {
        io->rc = rc < 0 ? rc : 0;
        io->job.run = refused_run;
        rt_post(ch->reactor, &io->job);
        return;
    }
    push(io, ch, NULL, rt_coarse_ns());
    if (ASH_LIKELY(rc == CHECK_PLAIN))
        ch->submit(ch, io);
    else if (io->type == BDEV_RESET)
        bdev_reset_run(ch, io);
    else if (ch->submit == bdev_gate_submit)
        bdev_gate_submit(ch, io);
    else
        bdev_enter(ch, io);
}

void bdev_submit(struct bdev_io *io)
{
    struct bdev_channel *ch = io->ch;
    ASH_ASSERT(!io->frame && io->done);
    if (ASH_LIKELY(is_plain(ch, io))) {
        push(io, ch, NULL, rt_coarse_ns());
        ch->submit(ch, io);
    } else {
        submit_special(io);
    }
}

/* ---------------------------------------------------------- task forms */

static void wake(struct bdev_io *io)
{
    rt_event_set(io->user, io->rc);
}

static int run_io(struct bdev_channel *ch, enum bdev_io_type type, unsigned flags, void *buf,
                  uint64_t offset, uint64_t length) ASH_MAY_WAIT
{
    struct bdev_io *io = bdev_io_get(ch);
    if (!io)
        return -ENOMEM;
    struct rt_event ev = RT_EVENT_INIT;
    io->type = (uint8_t)type;
    io->flags = (uint8_t)flags;
    io->offset = offset;
    io->length = length;
    io->one_iov = (struct iovec){buf, length};
    io->iov = &io->one_iov;
    io->n_iov = buf ? 1 : 0;
    io->done = wake;
    io->user = &ev;
    bdev_submit(io);
    int rc = rt_event_wait(&ev);
    bdev_io_put(io);
    return rc;
}

int bdev_read(struct bdev_channel *ch, void *buf, uint64_t offset, uint64_t length)
{
    return run_io(ch, BDEV_READ, 0, buf, offset, length);
}

int bdev_write(struct bdev_channel *ch, const void *buf, uint64_t offset, uint64_t length,
               unsigned flags)
{
    return run_io(ch, BDEV_WRITE, flags, (void *)(uintptr_t)buf, offset, length);
}

int bdev_flush(struct bdev_channel *ch)
{
    if (!(bdev_supported(ch->bdev) & BDEV_BIT(BDEV_FLUSH)) && !ch->bdev->volatile_cache)
        return 0;
    return run_io(ch, BDEV_FLUSH, 0, NULL, 0, 0);
}

int bdev_unmap(struct bdev_channel *ch, uint64_t offset, uint64_t length)
{
    return run_io(ch, BDEV_UNMAP, 0, NULL, offset, length);
}

int bdev_write_zeroes(struct bdev_channel *ch, uint64_t offset, uint64_t length, unsigned flags)
{
    return run_io(ch, BDEV_WRITE_ZEROES, flags, NULL, offset, length);
}

void bdev_area(struct bdev_channel *ch, uint64_t offset, uint64_t length,
               struct bdev_area *ret_area)
{
    ASH_ASSERT(length > 0);
    *ret_area = (struct bdev_area){.length = length, .depth = 1};
    /* Looking at a layer's maps is no io, so a quiesce does not wait for it; but it runs to its end
     * on this reactor, and a quiesce is not in force before this reactor has taken its gate in. */
    if (!ch->bdev->ops->area || !ash_list_empty(&ch->core->slot->gates))
        return;
    ch->bdev->ops->area(ch, offset, length, ret_area);
    ASH_ASSERT(ret_area->length > 0 && ret_area->length <= length);
}

bool bdev_ancestor(struct bdev *bdev, uint32_t depth, const char **ret_name, uint64_t *ret_id)
{
    return bdev->ops->ancestor && bdev->ops->ancestor(bdev, depth, ret_name, ret_id);
}

uint32_t bdev_ancestor_depth(struct bdev_channel *ch, uint64_t id)
{
    if (!ch->bdev->ops->ancestor_depth || !ash_list_empty(&ch->core->slot->gates))
        return 0;
    return ch->bdev->ops->ancestor_depth(ch, id);
}

const char *bdev_io_type_name(enum bdev_io_type type)
{
    static const char *const names[BDEV_N_IO_TYPES] = {
        [BDEV_READ] = "read",
        [BDEV_WRITE] = "write",
        [BDEV_UNMAP] = "unmap",
        [BDEV_FLUSH] = "flush",
        [BDEV_WRITE_ZEROES] = "write_zeroes",
        [BDEV_RESET] = "reset",
        [BDEV_COMPARE] = "compare",
        [BDEV_COMPARE_AND_WRITE] = "compare_and_write",
        [BDEV_COPY] = "copy",
        [BDEV_SEEK_DATA] = "seek_data",
        [BDEV_SEEK_HOLE] = "seek_hole",
        [BDEV_ABORT] = "abort",
    };
    return (unsigned)type < BDEV_N_IO_TYPES ? names[type] : "unknown";
}
