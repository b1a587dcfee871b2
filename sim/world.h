/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world: random operations on a pool, a disk that misbehaves, and an oracle that
 * knows what every block may hold.
 *
 * A plan is a configuration and a list of steps. Steps carry plain numbers that are taken modulo
 * what there is when they run, so that any subset of a plan is a plan: that is what the shrinker
 * lives on. A seed makes a plan; everything else follows from the plan alone. */
#ifndef ASH_SIM_WORLD_H
#define ASH_SIM_WORLD_H

#include "base/text.h"
#include "bdev/bdev.h"
#include "pool/pool.h"
#include "rt/rt_sim.h"

#define SIM_BLOCK 512u

/* -------------------------------------------------------------------- plan */

/* name, base weight, exclusive: nothing else runs beside it */
#define SIM_STEPS(X)                                                                               \
    X(WRITE, "write", 60, 0)                                                                       \
    X(READ, "read", 20, 0)                                                                         \
    X(FLUSH, "flush", 12, 0)                                                                       \
    X(UNMAP, "unmap", 8, 0)                                                                        \
    X(ZEROES, "zeroes", 8, 0)                                                                      \
    X(NBD, "nbd", 4, 0)                                                                            \
    X(SLEEP, "sleep", 6, 0)                                                                        \
    X(CREATE, "create", 8, 0)                                                                      \
    X(DELETE, "delete", 5, 0)                                                                      \
    X(SNAPSHOT, "snapshot", 6, 0)                                                                  \
    X(CLONE, "clone", 5, 0)                                                                        \
    X(ESNAP, "esnap", 2, 0)                                                                        \
    X(RESIZE, "resize", 4, 0)                                                                      \
    X(INFLATE, "inflate", 2, 0)                                                                    \
    X(DECOUPLE, "decouple", 2, 0)                                                                  \
    X(RENAME, "rename", 2, 0)                                                                      \
    X(XATTR, "xattr", 2, 0)                                                                        \
    X(GROW, "grow", 1, 1)                                                                          \
    X(DETACH, "detach", 2, 1)                                                                      \
    X(SET_PARENT, "set-parent", 2, 1)                                                              \
    X(QUIET, "quiet", 2, 1)                                                                        \
    X(REOPEN, "reopen", 1, 1)                                                                      \
    X(REMOVE, "remove", 1, 0)                                                                      \
    X(FAULTS, "faults", 2, 0)                                                                      \
    X(NO_FAULTS, "no-faults", 3, 0)                                                                \
    X(RESTART, "restart", 1, 1)                                                                    \
    X(KILL, "kill", 2, 0)                                                                          \
    X(CUT, "cut", 3, 0)

enum sim_kind {
#define X(id, name, weight, exclusive) SIM_##id,
    SIM_STEPS(X)
#undef X
        SIM_N_KINDS
};

struct sim_step {
    uint8_t kind;
    uint32_t a[4];
};

struct sim_plan {
    uint64_t seed; /* of the runtime's scheduling too */
    uint64_t cluster_bytes, disk_bytes;
    uint32_t block_bytes, n_reactors, n_inflight_max, is_device, can_punch;
    uint64_t latency_ns;
    struct sim_step *steps;
    size_t n_steps;
};

const char *sim_kind_name(unsigned kind);
bool sim_kind_exclusive(unsigned kind);
void sim_plan_make(struct sim_plan *plan, uint64_t seed, size_t n_steps);
void sim_plan_print(const struct sim_plan *plan, struct ash_buf *out);
bool sim_plan_parse(struct sim_plan *plan, const char *text);
void sim_plan_free(struct sim_plan *plan);
bool sim_plan_copy(struct sim_plan *to, const struct sim_plan *from);

static inline uint64_t sim_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static inline uint64_t sim_next(uint64_t *state)
{
    return sim_mix(*state += 0x9e3779b97f4a7c15ull);
}

static inline uint64_t sim_below(uint64_t *state, uint64_t n)
{
    return n < 2 ? 0 : sim_next(state) % n;
}

/* ------------------------------------------------------------------ oracle */

#define ORA_NEVER UINT64_MAX

/* One value that a block may hold. Times are the oracle's own count of events. */
struct ora_value {
    uint64_t tag;         /* 0: zeroes */
    uint64_t submit, ack; /* ack NEVER: under way */
    uint64_t dead;        /* a read begun after this cannot see it any more; NEVER: it can */
    bool effective;       /* acknowledged with success: it replaced what was acknowledged before */
    bool durable;         /* ... and a flush since says that it is on the medium */
    bool gone;            /* no crash brings it back: a durable one came after it */
};

struct ora_block {
    uint32_t n, room;
    struct ora_value *v;
};

enum ora_state { ORA_ABSENT, ORA_MAKING, ORA_LIVE, ORA_DELETING };

struct ora_vol {
    enum ora_state state;
    uint32_t id;
    struct ash_uuid uuid;
    char name[24], alt_name[24]; /* alt: what an operation that has not ended (or that failed on a
                                  * faulty disk) would make of it */
    uint64_t n_blocks, alt_n_blocks;
    uint64_t n_rooms; /* blocks[] */
    struct ora_block *blocks;
    uint32_t attr, alt_attr;
    bool snapshot, thin;
    uint32_t parent; /* id of the volume that its unwritten blocks come from; 0 none, ORA_EXT */
    uint32_t source; /* MAKING a snapshot: of this one */
    uint64_t begun;  /* MAKING: when */
    unsigned n_held; /* reads and copies that look at values from before */
    bool locked;     /* a control operation is at it, or nobody knows how it ended */
};

#define ORA_N_VOLS 24
#define ORA_EXT    UINT32_MAX

struct oracle {
    uint64_t now;
    uint32_t next_id;
    struct ora_vol vols[ORA_N_VOLS];
};

struct ora_vol *ora_find(struct oracle *o, uint32_t id);
struct ora_vol *ora_find_uuid(struct oracle *o, const struct ash_uuid *uuid);
struct ora_vol *ora_new(struct oracle *o); /* NULL: no room; MAKING */
void ora_drop(struct oracle *o, struct ora_vol *v);
void ora_free(struct oracle *o);
/* Blocks [v's room, n) that begin with one value, known and durable. */
void ora_room(struct ora_vol *v, uint64_t n, uint64_t tag);
void ora_set(struct ora_block *b, uint64_t tag);
/* dst: what src may be read as since time since (crash: or may be after a crash now). */
void ora_copy(struct ora_block *dst, const struct ora_block *src, uint64_t since, bool crash);
/* dst may also be what src may. */
void ora_also(struct oracle *o, struct ora_block *dst, const struct ora_block *src);
uint64_t ora_tag(const struct ora_vol *v, uint64_t block, uint64_t submit);
/* A write of its own tags (zero: of zeroes) begins; returns its time of submission. */
uint64_t ora_write_begin(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t n,
                         bool zero);
/* effective: it did what it says. Else nobody knows. */
void ora_write_end(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t n, uint64_t submit,
                   bool effective, bool durable);
/* A flush that was submitted at time since has succeeded. */
void ora_flush(struct ora_vol *v, uint64_t since);
/* A read that began at time since shows this. Narrows when nothing is under way. */
bool ora_read(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t since, uint64_t tag);
/* The first look after a life has ended; lossy: by a power cut. */
bool ora_settle(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t tag, bool lossy);
void ora_tell(const struct ora_vol *v, uint64_t block, struct ash_buf *out);

/* ------------------------------------------------------------------- world */

struct sim_faults {
    bool on;
    uint64_t rng;
    uint32_t read_ppm, write_ppm, flush_ppm, space_ppm;
    uint64_t sticky_from, sticky_to; /* writes there fail */
    bool sticky_reads;
};

struct sim_world {
    const struct sim_plan *plan;
    bool verbose;
    struct oracle ora;
    struct rt_sim_disk *disk;
    struct rt_sim_image *medium; /* what is on it for certain; the log follows */
    struct rt_sim_log log;
    size_t next_step;
    uint64_t hash;
    struct ash_buf why; /* not empty: the world is wrong */
    uint64_t counts[SIM_N_KINDS], n_lives, n_errors, n_checked_blocks;

    /* of one life */
    struct rt *rt;
    struct bdev_mgr *mgr;
    struct pool_mgr *pools;
    struct nbd_server *nbd;
    struct sim_faults faults;
    bool faulty;         /* an operation has failed by the disk's fault: errors are expected */
    bool removed;        /* the disk is away or was taken away while things ran */
    bool stopping;       /* the life ends */
    bool control;        /* a control operation runs */
    bool cutting;        /* the countdown runs */
    bool lossy;          /* this life ends (or the last one ended) by a power cut */
    uint32_t n_until;    /* disk operations until the end */
    struct sim_step end; /* how */
    unsigned n_inflight;
    struct rt_waitq idle; /* something has ended */
    int life_rc;
};

/* true: it went well. */
bool sim_world_run(struct sim_world *w, const struct sim_plan *plan, bool verbose);
void sim_world_free(struct sim_world *w);

void sim_note(struct sim_world *w, uint64_t what, uint64_t a, uint64_t b);
void sim_wrong(struct sim_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool sim_is_wrong(const struct sim_world *w)
{
    return w->why.n_bytes != 0;
}

/* world_io.c: start the step beside everything else, or do it. */
void sim_io_start(struct sim_world *w, const struct sim_step *s) ASH_MAY_WAIT;
/* Read all of a volume; settle: for the first time after a life. */
void sim_read_volume(struct sim_world *w, struct ora_vol *v, bool settle) ASH_MAY_WAIT;
int sim_fill_ext(struct sim_world *w) ASH_MAY_WAIT;
uint64_t sim_ext_tag(uint64_t block);
#define SIM_EXT_BYTES (1u << 20)

/* world_control.c */
void sim_control(struct sim_world *w, const struct sim_step *s) ASH_MAY_WAIT;
struct pool *sim_pool(struct sim_world *w);
/* Compare what the pool shows with the oracle, after a load. */
void sim_settle(struct sim_world *w) ASH_MAY_WAIT;
void sim_verify(struct sim_world *w) ASH_MAY_WAIT;
/* The last thing: everything is deleted, and all space is there again. */
void sim_finish(struct sim_world *w) ASH_MAY_WAIT;
void sim_check_image(struct sim_world *w, const char *when, const uint64_t *expect_free,
                     bool want_clean);

/* faults.c */
void sim_faults_hook(struct sim_world *w);
void sim_faults_start(struct sim_world *w, const struct sim_step *s);
/* The life has ended as w->end says: make the disk what the next one finds. */
void sim_disk_after(struct sim_world *w);

/* shrink.c: does the plan fail, in a process of its own? why may be NULL. */
struct sim_verdict {
    bool ok, crashed;
    uint64_t hash, n_steps, n_lives, n_checked_blocks;
    uint64_t counts[SIM_N_KINDS];
    char why[1024];
};
void sim_try(const struct sim_plan *plan, bool verbose, unsigned junk, struct sim_verdict *ret);
void sim_shrink(struct sim_plan *plan, unsigned n_tries_max);

#endif
