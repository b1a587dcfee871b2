/* SPDX-License-Identifier: Apache-2.0 */
/* Insides of the device layer, shared by the files of src/bdev only (modules see bdev.h).
 *
 * Who owns what
 *   bdev_mgr, bdev_core, bdev_desc, bdev_gate   the control reactor
 *   bdev_slot, bdev_chcore                      the reactor whose index the slot has
 * A slot exists for every reactor from registration to the end, with or without a channel: what
 * must hold for a channel from its first I/O on (gates, QoS, histogram) is kept there.
 *
 * In flight: a frame that is inside the device is counted in inflight[frame->gen] of its channel.
 * A frame that waits outside (held by a gate, queued by QoS, waiting for a range lock) is not; it
 * is counted again when it enters. Ios that the core makes itself on behalf of a counted one
 * (children) are never counted, have FRAME_CHILD, and pass no gate. */
#ifndef ASH_BDEV_CORE_H
#define ASH_BDEV_CORE_H

#include "base/assert.h"
#include "bdev/bdev.h"

enum {
    FRAME_CHILD = 1u << 0,  /* made by the core: no statistics */
    FRAME_HIST = 1u << 1,   /* goes into the histogram */
    FRAME_QUEUED = 1u << 8, /* counted in n_queued[FRAME_QUEUE_GEN ? 1 : 0] */
    FRAME_QUEUE_GEN = 1u << 9,
    FRAME_HOOK = 1u << 2, /* slot->hook sees the completion */
};
enum { GEN_NONE = 2 };

enum { BDEV_ZERO_BYTES = 1u << 20, BDEV_BOUNCE_BYTES = 1u << 20, BDEV_N_VIEWS = 4 };

#define BDEV_BIT(type) (1u << (type))
#define BDEV_RW_TYPES  (BDEV_BIT(BDEV_READ) | BDEV_BIT(BDEV_WRITE))
#define BDEV_WRITE_TYPES                                                                           \
    (BDEV_BIT(BDEV_WRITE) | BDEV_BIT(BDEV_UNMAP) | BDEV_BIT(BDEV_WRITE_ZEROES) |                   \
     BDEV_BIT(BDEV_COMPARE_AND_WRITE) | BDEV_BIT(BDEV_COPY))
/* no offset and length */
#define BDEV_WHOLE_TYPES (BDEV_BIT(BDEV_FLUSH) | BDEV_BIT(BDEV_RESET) | BDEV_BIT(BDEV_ABORT))
#define BDEV_IOV_TYPES                                                                             \
    (BDEV_BIT(BDEV_READ) | BDEV_BIT(BDEV_WRITE) | BDEV_BIT(BDEV_COMPARE) |                         \
     BDEV_BIT(BDEV_COMPARE_AND_WRITE))

/* ------------------------------------------------------------ per channel */

struct bdev_grace_wait {
    struct ash_list link;
    void (*done)(struct bdev_grace_wait *wait);
};

/* What every io touches stands together in the two cache lines behind the views; the rest is for
 * the exceptions. */
struct bdev_chcore {
    /* One channel as four faces, by the mode of the descriptor (BDEV_OPEN_*): the mode is the
     * index, so the access check needs no descriptor. */
    struct bdev_channel view[BDEV_N_VIEWS];
    uint32_t inflight[2], gen;
    uint32_t frame_bytes; /* of this layer, its own state included */
    uint64_t block_mask;  /* block_bytes - 1 when that is a power of two, else UINT64_MAX */
    uint64_t split_mask;  /* ~(boundary_bytes - 1) when plain reads and writes are limited by a
                           * boundary only and it is a power of two; 0: ask piece() */
    struct ash_list free_ios;
    struct bdev_slot *slot;
    void (*enter)(struct bdev_channel *ch, struct bdev_io *io); /* ops->submit or the splitter */
    unsigned n_ios_out, n_slab_ios;
    struct rt_timer nomem_timer;
    struct bdev_stats stats;
    /* not on the plain path */
    unsigned n_users;
    struct ash_list grace_cur;  /* wait for inflight[!gen] == 0 */
    struct ash_list grace_next; /* wait for the next change of gen */
    /* The same for ios that are queued (held, qos_queue) and so not in flight: a grace period
     * waits for those as well, a quiesce does not. */
    uint32_t n_queued[2], queue_gen;
    struct ash_list queue_cur, queue_next;
    struct ash_list slabs;
    size_t io_bytes;
    struct ash_list held;      /* ios at a gate */
    struct ash_list qos_queue; /* ios over their quota */
    struct rt_timer qos_timer;
    struct ash_list nomem;       /* ios that the module had no memory for; they stay counted */
    struct ash_list split_stuck; /* struct bdev_split that got no child */
    struct ash_list free_splits;
};

/* Fault injection sees every io of a device while it is set (inject.c). */
struct bdev_hook {
    /* 0: go on; else the io fails with it (or: 1, the hook took the io) */
    int (*submit)(struct bdev_hook *hook, struct bdev_channel *ch, struct bdev_io *io);
    /* returns the rc that the io shall have */
    int (*complete)(struct bdev_hook *hook, struct bdev_channel *ch, struct bdev_io *io, int rc);
};

struct bdev_hist {
    struct bdev_hist_opts opts;
    uint32_t min_range, max_range;
    size_t n_buckets;
    uint64_t counts[];
};

struct bdev_qos_state; /* qos.c */

struct bdev_slot {
    struct bdev_chcore *ch;
    struct ash_list gates;        /* struct bdev_gate_part.link */
    struct rt_waitq gate_waiters; /* tasks that wait for a gate to open */
    struct bdev_hist *hist;
    struct bdev_qos_state *qos; /* shared by all reactors */
    struct bdev_hook *hook;
    bool removed;
    struct bdev_stats closed; /* of channels that are gone */
};

/* ------------------------------------------------------------- per device */

struct bdev_name {
    struct ash_hnode node;
    struct bdev *bdev;
    struct ash_list link;
    char text[];
};

struct bdev_core {
    struct bdev *bdev;
    struct bdev_mgr *mgr;
    struct ash_list link;
    struct bdev_name *name;
    struct ash_list aliases;
    size_t n_aliases;
    struct ash_list descs;
    struct ash_list examine_link; /* mgr->examine_queue: to be examined */
    bool removing, examining, announced, resetting, setting_hist;
    unsigned n_working; /* tasks of ours that use the device without a descriptor */
    int reset_rc;
    uint64_t reset_seq;
    enum bdev_claim claim;
    uint64_t claim_key;
    const char *claim_by;
    unsigned n_claims;
    struct rt_waitq changed;
    struct ash_list gates; /* every gate there is */
    uint64_t block_mask;   /* block_bytes - 1 when that is a power of two, else 0 */
    struct bdev_qos qos;
    struct bdev_qos_state *qos_state;
    bool hist_enabled;
    struct bdev_hist_opts hist_opts;
    uint32_t hist_min_range, hist_max_range;
    struct bdev_hook *hook;
    unsigned n_slots;
    struct bdev_slot slots[];
};

struct bdev_desc {
    struct ash_list link;
    struct bdev *bdev;
    unsigned mode; /* [any] BDEV_OPEN_* */
    bool owns_claim, closed, remove_sent, remove_pending, resize_pending;
    void (*event)(struct bdev_desc *desc, enum bdev_event ev);
    void *user;
    struct rt_job remove_job, resize_job;
    char who[64];
};

struct bdev_mgr {
    struct rt *rt;
    struct ash_list bdevs, watches, manual; /* manual: names to examine */
    struct ash_list injections;             /* inject.c */
    struct ash_htab names;
    struct bdev_module **modules;
    void **states;
    size_t n_modules, n_inited;
    struct bdev_mgr_opts opts;
    struct pool_mgr *pools;
    unsigned n_examining, n_examiners; /* devices; tasks that examine */
    struct ash_list examine_queue;
    struct rt_waitq examine_done, bdev_gone;
    void *zero_mem;
    const void *zeroes; /* BDEV_ZERO_BYTES, aligned to 4096 */
};

/* --------------------------------------------------------------- gate.c */

enum bdev_gate_kind { GATE_QUIESCE, GATE_LOCK, GATE_RESET };

struct bdev_gate_part {
    struct rt_job job;
    struct ash_list link;
    struct bdev_gate *gate;
    struct bdev_grace_wait wait;
};

struct bdev_gate {
    struct bdev *bdev;
    enum bdev_gate_kind kind;
    uint64_t offset, end;
    struct ash_list link;
    unsigned n_left;
    bool started, is_closed, is_released;
    void *waiter; /* of a reset */
    void (*closed)(struct bdev_gate *gate);
    void (*opened)(struct bdev_gate *gate);
    struct rt_event ev;
    struct rt_job job;
    struct rt_reactor *owner; /* of a lock */
    struct rt_event granted;  /* on the owner */
    struct bdev_gate_part parts[];
};

void bdev_gate_submit(struct bdev_channel *ch, struct bdev_io *io);
void bdev_gate_pass(struct bdev_chcore *core, struct bdev_io *io); /* after QoS */
void bdev_gate_uncount(struct bdev_io *io);
void bdev_gate_count(struct bdev_io *io);
void bdev_gate_enqueue(struct bdev_chcore *core, struct ash_list *queue, struct bdev_io *io);
void bdev_gate_drained(struct bdev_chcore *core);
void bdev_gate_update(struct bdev_chcore *core); /* choose ch->submit anew */
/* Complete with -ECANCELED what waits outside. */
void bdev_gate_abort_queued(struct bdev_chcore *core);
void bdev_grace_start(struct bdev_chcore *core, struct bdev_grace_wait *wait);
/* A counted io becomes the only one in [offset, end) of the device; on any reactor. */
int bdev_lock_range(struct bdev_io *io, uint64_t offset, uint64_t end,
                    struct bdev_gate **ret_gate) ASH_MAY_WAIT;
void bdev_unlock_range(struct bdev_gate *gate);
void bdev_reset_run(struct bdev_channel *ch, struct bdev_io *io);

/* Run fn(slot, arg) on every reactor as a callback and wait. -ENOMEM: it ran nowhere. */
int bdev_on_slots(struct bdev *bdev, void (*fn)(struct bdev_slot *slot, unsigned idx, void *arg),
                  void *arg) ASH_MAY_WAIT;

/* ----------------------------------------------------------------- io.c */

static inline unsigned bdev_ch_mode(const struct bdev_channel *ch)
{
    return ch->mode;
}
static inline uint64_t bdev_size(const struct bdev *bdev)
{
    return __atomic_load_n(&bdev->size_bytes, __ATOMIC_RELAXED);
}
static inline uint32_t bdev_supported(const struct bdev *bdev)
{
    return __atomic_load_n(&bdev->supported, __ATOMIC_RELAXED);
}
static inline bool bdev_aligned(const struct bdev *bdev, uint64_t n_bytes)
{
    return bdev->core->block_mask ? (n_bytes & bdev->core->block_mask) == 0
                                  : n_bytes % bdev->block_bytes == 0;
}

/* The frame for ch is pushed and counted: split, emulate or hand to the module. */
void bdev_enter(struct bdev_channel *ch, struct bdev_io *io);
/* A child made by the core: push an uncounted frame and enter. */
void bdev_child_submit(struct bdev_io *io, uint64_t start_ns);
void bdev_nomem_queue(struct bdev_chcore *core, struct bdev_io *io);
void bdev_nomem_arm(struct bdev_chcore *core);
void bdev_nomem_fire(struct rt_timer *timer);

/* split.c */
void bdev_split_submit(struct bdev_channel *ch, struct bdev_io *io);
void bdev_split_retry(struct bdev_chcore *core);
bool bdev_has_limits(const struct bdev *bdev);

/* emul.c */
bool bdev_needs_emulation(const struct bdev_channel *ch, const struct bdev_io *io);
bool bdev_can_emulate(const struct bdev *bdev, enum bdev_io_type type);
void bdev_emulate(struct bdev_channel *ch, struct bdev_io *io);

/* channel.c */
struct bdev_chcore *bdev_channel_open(struct bdev *bdev);

/* stats.c */
void bdev_stat_add(struct bdev_stats *to, const struct bdev_stats *from);
void bdev_hist_tally(struct bdev_hist *hist, unsigned type, uint64_t ns);

/* qos.c */
bool bdev_qos_take(struct bdev_qos_state *qos, const struct bdev_io *io);
void bdev_qos_wait(struct bdev_chcore *core, struct bdev_io *io);
void bdev_qos_fire(struct rt_timer *timer);
void bdev_qos_release(struct bdev_chcore *core);

/* inject.c */
int bdev_inject_apply(struct bdev *bdev) ASH_MAY_WAIT; /* after a change of rules or names */
void bdev_inject_gone(struct bdev_core *core);
void bdev_inject_clear(struct bdev_mgr *mgr);

/* mgr.c */
int bdev_examine_start(struct bdev *bdev);
void bdev_examine_drop(struct bdev *bdev); /* if it has not begun, it never will */

/* registry.c */
void bdev_send_remove(struct bdev_desc *desc);
static inline void bdev_assert_control(void)
{
    ASH_ASSERT(rt_self() && rt_reactor_idx(rt_self()) == 0);
}

#endif
