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
    X(FAULTS, "faults", 4, 0)                                                                      \
    X(NO_FAULTS, "no-faults", 3, 0)                                                                \
    X(RESTART, "restart", 1, 1)                                                                    \
    X(KILL, "kill", 2, 0)                                                                          \
    X(CUT, "cut", 3, 0)                                                                            \
    X(EXT, "ext", 2, 0)

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

/* name in the text, field, what it is where the text does not say */
#define SIM_PLAN_FIELDS(X)                                                                         \
    X("seed", seed, 1) /* of the runtime's scheduling too */                                       \
    X("cluster", cluster_bytes, 65536)                                                             \
    X("disk", disk_bytes, 16777216)                                                                \
    X("block", block_bytes, 512)                                                                   \
    X("reactors", n_reactors, 1)                                                                   \
    X("inflight", n_inflight_max, 1)                                                               \
    X("device", is_device, 0)                                                                      \
    X("punch", can_punch, 1)                                                                       \
    X("latency", latency_ns, 1000)                                                                 \
    X("trim", trim, 0)               /* enum rt_sim_trim, of a device */                           \
    X("faults", fault_kinds, 0xffff) /* mask: those that occur */                                  \
    X("ppm", fault_ppm, 1000)        /* of a random error; a step of faults multiplies it */       \
    X("rarely", rare_ppm, 0)         /* of a SIM_RARELY mark */                                    \
    X("rpc", rpc, 0)                 /* a whole engine; control operations over JSON-RPC too */    \
    X("ext", ext_disk, 0)            /* the external device may go and come back */

struct sim_plan {
#define X(name, field, normal) uint64_t field;
    SIM_PLAN_FIELDS(X)
#undef X
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
    bool failed;          /* whether it happened may be decided by the next load: the map on the
                           * disk may have its cluster (of zeroes: still) when the one in memory
                           * has not */
    bool returns; /* dead, but the next load may bring it back: it or what was seen failed */
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
void ora_clone(struct oracle *to, const struct oracle *from); /* everything at rest */
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
/* DONE: it did what it says. MAYBE: it was free not to (an unmap). FAILED: nobody knows. */
enum ora_end { ORA_DONE, ORA_MAYBE, ORA_FAILED };
void ora_write_end(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t n, uint64_t submit,
                   enum ora_end end, bool durable);
/* v closes in order on a disk that works: what has been seen stays. */
void ora_close(struct ora_vol *v);
/* A flush that was submitted at time since has succeeded. */
void ora_flush(struct ora_vol *v, uint64_t since);
/* A read that began at time since shows this. Narrows when nothing is under way. */
bool ora_read(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t since, uint64_t tag);
/* The first look after a life has ended; lossy: by a power cut. */
bool ora_settle(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t tag, bool lossy);
void ora_tell(const struct ora_vol *v, uint64_t block, struct ash_buf *out);

/* ------------------------------------------------------------------- world */

/* What befell the disk, counted. */
#define SIM_FIRED(X)                                                                               \
    X(READ_ERROR, "read errors")                                                                   \
    X(WRITE_ERROR, "write errors")                                                                 \
    X(FLUSH_ERROR, "flush errors")                                                                 \
    X(NO_SPACE, "no space under the file")                                                         \
    X(BAD_PLACE, "errors of a bad place")                                                          \
    X(AWAY, "errors of a disk that is away")                                                       \
    X(HANGS, "seconds that an operation hangs")                                                    \
    X(SLOW, "slow spells")                                                                         \
    X(LOST, "unflushed writes lost")                                                               \
    X(TORN, "writes torn")                                                                         \
    X(OVERTAKEN, "writes kept though an earlier one is lost")                                      \
    X(CUT, "power cuts")                                                                           \
    X(KILLED, "kills")                                                                             \
    X(RESTARTED, "orderly restarts")                                                               \
    X(GROWN, "disks grown")                                                                        \
    X(TRIM_KEPT, "unmaps that keep old data")                                                      \
    X(TRIM_GARBAGE, "unmaps that leave garbage")                                                   \
    X(BACK_SAME, "disks that come back as they were")                                              \
    X(BACK_OLDER, "disks that come back older")                                                    \
    X(BACK_FOREIGN, "foreign disks in the place")                                                  \
    X(BACK_BLOCKS, "disks that come back with larger blocks")                                      \
    X(RARELY, "rare branches taken")                                                               \
    X(EXT_LOST, "external devices lost under their clones")                                        \
    X(EXT_BACK, "external devices that come back")

enum sim_fired {
#define X(id, name) SIM_FIRED_##id,
    SIM_FIRED(X)
#undef X
        SIM_N_FIRED
};

enum { SIM_N_TAGS = 16 }; /* of SIM_RARELY marks */

struct sim_counts {
    uint64_t steps[SIM_N_KINDS], fired[SIM_N_FIRED];
    uint64_t n_lives, n_steps, n_errors, n_checked_blocks, n_rpcs, n_exports_max, sim_ns;
    const char *tags[SIM_N_TAGS];
    uint64_t taken[SIM_N_TAGS];
};

struct sim_faults {
    bool on;
    uint64_t away_until_ns, hang_until_ns;
    uint64_t rng;
    uint64_t read_ppm, write_ppm, flush_ppm, space_ppm, hang_ppm;
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
    char why[1024]; /* not empty: the world is wrong. No ash_buf: that memory ends with a life */
    struct sim_counts counts;
    struct rt_sim_image *old_image; /* an older disk, and what was known then */
    struct oracle old_ora;
    struct rt_sim_image *own_image; /* while another disk is in its place */
    uint64_t rare_rng, rpc_rng;
    struct rt_sim_disk *ext_disk; /* holds the external device when that can go */

    /* of one life */
    struct rt *rt;
    struct bdev_mgr *mgr;
    struct pool_mgr *pools;
    struct nbd_server *nbd;
    struct ash_engine *engine; /* when the plan has one; then the three above are its own */
    struct jsonrpc_server *rpc_server;
    struct rt_sock *rpc_sock;
    unsigned rpc_id;
    struct sim_faults faults;
    bool ext_away;      /* volumes that stand on the external device are degraded */
    uint64_t ext_epoch; /* moves when it goes and when it is back */
    bool faulty;        /* an operation has failed by the disk's fault: errors are expected */
    bool removed;       /* the disk is away or was taken away while things ran */
    bool stopping;      /* the life ends */
    bool control;       /* a control operation runs */
    bool cutting;       /* the countdown runs */
    bool lossy;         /* this life ends (or the last one ended) by a power cut */
    uint64_t n_disk_ops;
    uint32_t n_until;    /* disk operations until the end */
    struct sim_step end; /* how */
    unsigned n_inflight, n_exports;
    struct rt_waitq idle; /* something has ended */
    int life_rc;
    uint64_t life_ns;
};

/* true: it went well. */
bool sim_world_run(struct sim_world *w, const struct sim_plan *plan, bool verbose);
void sim_world_free(struct sim_world *w);

void sim_note(struct sim_world *w, uint64_t what, uint64_t a, uint64_t b);
void sim_wrong(struct sim_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool sim_is_wrong(const struct sim_world *w)
{
    return w->why[0] != 0;
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
/* Nothing was asked for: nothing happens, for an hour. */
void sim_check_idle(struct sim_world *w) ASH_MAY_WAIT;
/* An orderly end comes; what is known then holds in the next life. */
void sim_before_close(struct sim_world *w);
/* The last thing: everything is deleted, and all space is there again. */
void sim_finish(struct sim_world *w) ASH_MAY_WAIT;
void sim_check_image(struct sim_world *w, const char *when, const uint64_t *expect_free,
                     bool want_clean);

/* world_rpc.c: a server on the engine and a client of it; a method call, params without braces. The
 * error is told by the reply's reason. */
int sim_rpc_start(struct sim_world *w, struct ash_err *err) ASH_MAY_WAIT;
void sim_rpc_stop(struct sim_world *w) ASH_MAY_WAIT;
int sim_rpc(struct sim_world *w, struct ash_err *err, const char *method, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))) ASH_MAY_WAIT;

/* Does this step go over JSON-RPC? Then it is one call. */
bool sim_by_rpc(const struct sim_world *w, const struct sim_step *s);
struct sim_op {
    const struct ora_vol *v, *other; /* what it is about or makes; its snapshot or parent */
    uint64_t n_bytes;
    bool thin;
};
int sim_rpc_op(struct sim_world *w, const struct sim_step *s, const struct sim_op *op,
               struct ash_err *err) ASH_MAY_WAIT;

/* world_ext.c: the external device, alone and under its clones. */
int sim_ext_add(struct sim_world *w, struct ash_err *err) ASH_MAY_WAIT;
void sim_ext_step(struct sim_world *w,
                  const struct sim_step *s) ASH_MAY_WAIT; /* goes, or is back */
void sim_ext_back(struct sim_world *w) ASH_MAY_WAIT;      /* if it is away */
const char *sim_ext_name(const struct sim_world *w);
/* May something on v that began at this epoch have failed for it? */
bool sim_ext_excuses(const struct sim_world *w, const struct ora_vol *v, uint64_t epoch);

/* world_disk.c */
void sim_remember(struct sim_world *w, struct rt_sim_image *image);
void sim_remove(struct sim_world *w, const struct sim_step *s) ASH_MAY_WAIT;
void sim_own_disk(struct sim_world *w); /* back in its place, if another one is there */

/* faults.c */
void sim_fired(struct sim_world *w, enum sim_fired what);
void sim_faults_hook(struct sim_world *w);
void sim_faults_start(struct sim_world *w, const struct sim_step *s);
/* The life has ended as w->end says: make the disk what the next one finds. */
void sim_disk_after(struct sim_world *w);

/* shrink.c: does the plan fail, in a process of its own? why may be NULL. */
struct sim_verdict {
    bool ok, crashed;
    uint64_t hash;
    struct sim_counts counts;
    char why[1024];
};
void sim_try(const struct sim_plan *plan, bool verbose, unsigned junk, struct sim_verdict *ret);
/* What a failure is about: its text without numbers. */
void sim_signature(const struct sim_verdict *v, char ret[256]);
void sim_shrink(struct sim_plan *plan, unsigned n_tries_max);

#endif
