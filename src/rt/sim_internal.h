/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the simulator. An op under way uses op->backend[0..3] as its timer. */
#ifndef ASH_RT_SIM_INTERNAL_H
#define ASH_RT_SIM_INTERNAL_H

#include "rt/rt_internal.h"
#include "rt/rt_sim.h"

struct rt_sim_disk {
    unsigned n_refs;
    struct rt_sim_image *image;
    uint32_t logical_block_bytes;
    bool is_device, can_punch, can_zero;
    enum rt_sim_trim trim;
    struct rt_sim_log *log;
    size_t n_durable; /* of the log: rt_sim_log_n_durable() at its end */
};

/* A disk under a path of one world; locks are the world's. */
struct rt_sim_attach {
    struct ash_list link;
    unsigned n_refs; /* the path's and one per open file */
    struct rt_sim_disk *disk;
    unsigned n_shared;
    bool is_locked;
    char path[];
};

struct rt_sim {
    uint64_t rng, now_ns, submit_seq;
    unsigned n_ports;
    size_t n_socks, n_files;
    struct rt_sim_hooks hooks;
    struct ash_list attached, detached; /* detached: out of sight, but open */
    struct ash_list mems, bufs, listeners;
};

enum {
    SIM_OP_LOG_AT = 4, /* op->backend[]: entries in the log at submission */
    SIM_OP_SEQ = 5,
    SIM_OP_DURABLE = 6,
};

_Static_assert(sizeof(struct rt_timer) == 4 * 8, "op->backend[0..3]");

static inline struct rt_timer *rt_sim_timer(struct rt_op *op)
{
    return (struct rt_timer *)(void *)op->backend;
}

/* Let the op fire after a duration chosen by the seed. */
void rt_sim_delay(struct rt_op *op, void (*fire)(struct rt_timer *timer), unsigned divisor);
uint64_t rt_sim_below(struct rt *rt, uint64_t n); /* a number in 0 .. n-1 */
void rt_sim_file_submit(struct rt_op *op);
void rt_sim_detach_all(struct rt *rt);

#endif
