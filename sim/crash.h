/* SPDX-License-Identifier: Apache-2.0 */
/* The crash explorer: what a power cut at any moment of any operation leaves behind.
 *
 * A *case* is one operation on one layout (a small pool made for the purpose). The operation runs
 * once on a simulated disk with the write log on. Then for every prefix of the log, and for every
 * subset of the writes that need not be on the medium yet, the image is built, opened by the engine
 * in a fresh world, and compared with what the pool held before and after the operation; the
 * independent checker judges it before and after (docs/spec/blobstore-format.md 18).
 *
 *   crash_world.c   worlds: a life of the engine on an image, and what it shows there
 *   crash_cases.c   layouts and operations
 *   crash_image.c   states: images made of a log
 *   crash_judge.c   what must be true of a state
 *   crash.c         the walk over the states of a case
 *   crash_main.c    the program */
#ifndef ASH_SIM_CRASH_H
#define ASH_SIM_CRASH_H

#include "base/text.h"
#include "pool/lvs/check.h"
#include "pool/pool.h"
#include "rt/rt_sim.h"

/* ------------------------------------------------------------- what is seen */

enum { CRASH_N_VOLUMES = 16 };

struct crash_volume {
    struct ash_uuid uuid;
    char name[64], parent[64];
    uint64_t blob_id, n_clusters, size_bytes;
    bool thin, read_only, rle;
    int state;        /* enum volume_state */
    int read_rc;      /* of reading the whole content */
    uint64_t attrs;   /* digest of the user attributes */
    uint64_t content; /* digest */
    uint8_t *data;
};

/* A pool as an engine shows it. Data of all volumes lies in one arena that is used again. */
struct crash_view {
    bool exists;
    char name[64], damage[160];
    struct ash_uuid uuid;
    uint64_t n_clusters, n_free;
    struct crash_volume v[CRASH_N_VOLUMES];
    size_t n;
    uint8_t *arena;
};

void crash_view_free(struct crash_view *view);
const struct crash_volume *crash_view_find(const struct crash_view *view,
                                           const struct ash_uuid *uuid);
/* Everything but the content, the free count and damage. */
uint64_t crash_view_meta(const struct crash_view *view);
uint64_t crash_view_digest(const struct crash_view *view);

/* -------------------------------------------------------------------- cases */

struct crash_env;

struct crash_layout {
    const char *name;
    uint64_t disk_bytes;
    uint32_t cluster_bytes;
    bool is_device; /* of fixed size, cannot tell holes */
    bool no_punch;  /* the disk knows neither unmap nor write zeroes */
    bool has_ext;   /* a malloc device "ext" is there */
    bool left_dirty;
    int (*make)(struct crash_env *e); /* NULL: no pool on the disk */
};

enum crash_rule {
    CRASH_ATOMIC, /* before or after, nothing else */
    CRASH_DATA,   /* each block as before or as after */
    CRASH_SUBSET, /* destroy: volumes go one by one */
};

struct crash_op {
    const char *name;
    const char *needs; /* a volume of the layout; "" none, NULL: a disk without pool */
    enum crash_rule rule;
    int (*run)(struct crash_env *e);
    uint64_t grow_bytes; /* the disk becomes larger before */
    bool at_load;        /* the load itself is the operation */
    bool needs_ext;
    bool changes; /* though CRASH_ATOMIC it changes what volumes hold */
};

extern const struct crash_layout crash_layouts[]; /* end with a NULL name */
extern const struct crash_op crash_ops[];

/* From log entry n on these bytes must be as after the operation. */
struct crash_mark {
    size_t n;
    char volume[64];
    uint64_t offset, length;
};

enum { CRASH_N_MARKS = 8 };

struct crash_counts {
    uint64_t n_states, n_unique, n_nested, n_torn, n_failed;
};

struct crash_limits {
    unsigned n_exhaustive; /* up to so many pending writes all subsets are walked */
    unsigned n_samples;    /* else so many */
    unsigned nested_every; /* one in so many states is crashed again while it recovers; 0: none */
    unsigned n_nested;     /* crashes then */
    unsigned n_kills;      /* places per case where the engine ends and a second one goes on */
    unsigned use_every;    /* one in so many recovered pools is used to the full; 0: none */
    bool no_tears;         /* writes are there or not, never in part */
};

/* One state of a case: n entries completed, mask of the pending writes that reached the medium. */
struct crash_state {
    size_t n;
    uint64_t mask[4]; /* bit k: pending write k */
    unsigned tear;    /* 0, 512, 4096: bytes of the unit that stays whole */
    unsigned torn;    /* pending write that is torn */
    uint64_t tear_seed;
    bool killed; /* the engine ended after kill_n entries without a power cut; a second one went on
                  * with the same disk, and n counts the entries of both */
    size_t kill_n;
    bool has_then; /* crash again while that is recovered */
    size_t then_n;
    uint64_t then_mask[4];
};

enum { CRASH_FIRST_MAX = 2 };

struct crash_case {
    const struct crash_layout *layout;
    const struct crash_op *op;
    /* Others that run before it, in the same life: the crash comes while their last writes may
     * still be pending. What they write to volumes is flushed. */
    const struct crash_op *first[CRASH_FIRST_MAX];
    unsigned n_first;
    size_t n_log_first; /* entries of theirs: the walk begins there */
    bool warm;          /* the store has been written to before the operation */
    uint64_t seed;
    struct crash_limits limits;
    char *repro; /* text of at least CRASH_REPRO_BYTES; always names the state under test */

    struct rt_sim_image *start; /* the disk when the log began */
    struct rt_sim_log log;
    struct crash_mark marks[CRASH_N_MARKS];
    size_t n_marks;
    int op_rc;
    uint64_t md_start, md_end; /* bytes of the metadata pages; 0: no pool before */
    struct crash_view before, after, seen, again;
    struct crash_counts counts;
    struct ash_buf why; /* of the failure */
    char note[640];     /* the same from inside a world, whose memory ends with it */
};

enum { CRASH_REPRO_BYTES = 512, CRASH_FAILURES_MAX = 3 };

/* Run the operation and look at the pool before and after. 0, -ENOENT: the operation does not fit
 * the layout, else a failure that c->why tells. */
int crash_case_record(struct crash_case *c);
void crash_case_free(struct crash_case *c);
/* All states. Returns the number of failures; each is printed with the command that repeats it. */
uint64_t crash_case_walk(struct crash_case *c);
/* One state. 0 or -1, c->why tells. */
int crash_case_one(struct crash_case *c, const struct crash_state *st);

/* ------------------------------------------------------------------- worlds */

struct crash_env {
    const struct crash_layout *layout;
    struct crash_case *c; /* NULL: not the run of an operation */
    struct rt *rt;
    struct rt_sim_disk *disk;
    struct bdev_mgr *mgr;
    struct pool_mgr *pools;
    struct pool *pool; /* NULL: none on the disk */
    uint64_t seed;
};

/* One life of the engine on the disk: fn(e, arg) with the pool open, then an orderly end.
 * What fn returned | -EDEADLK it hangs | -EBUSY something was left behind. */
struct crash_life {
    bool cut;                                /* leave everything as it is: a power cut */
    struct rt_sim_log *log;                  /* set on the disk before anything else happens */
    struct crash_case *c;                    /* the operation of this case runs */
    void (*setup)(struct rt *rt, void *arg); /* with fn's arg, before anything else happens */
};
/* how: NULL is all zero */
int crash_world(const struct crash_layout *layout, struct rt_sim_disk *disk, uint64_t seed,
                int (*fn)(struct crash_env *e, void *arg), void *arg, const struct crash_life *how);
struct rt_sim_disk *crash_disk(const struct crash_layout *layout, const struct rt_sim_image *image);
/* For fn: describe the pool. */
int crash_look(struct crash_env *e, struct crash_view *view);

/* For operations and layouts. */
struct volume *crash_volume(struct crash_env *e, const char *name); /* NULL */
/* The same for the same name in all worlds. */
struct ash_uuid crash_uuid(const char *name);
int crash_make(struct crash_env *e, const char *name, uint64_t n_clusters, bool thin, bool rle);
int crash_snap(struct crash_env *e, const char *vol, const char *name);
/* Blocks that only this volume, tag and place have. */
int crash_write(struct crash_env *e, const char *vol, uint64_t offset, uint64_t length,
                unsigned tag, unsigned flags);
int crash_io(struct crash_env *e, const char *vol, enum bdev_io_type type, uint64_t offset,
             uint64_t length);
/* The writes so far to these bytes have been flushed. */
void crash_mark(struct crash_env *e, const char *vol, uint64_t offset, uint64_t length);
int crash_add_ext(struct crash_env *e);

/* ----------------------------------------------------------- images, judges */

/* Pending writes after n entries: may be on the medium or not. Returns how many, at most n_max. */
size_t crash_pending(const struct rt_sim_log *log, size_t n, uint32_t *ret, size_t n_max);
/* Image of a state of the log on start; the caller's. NULL: no memory. */
struct rt_sim_image *crash_build(const struct rt_sim_image *start, const struct rt_sim_log *log,
                                 const struct crash_state *st);
uint64_t crash_mix(uint64_t x);
uint64_t crash_hash(const void *data, size_t n_bytes, uint64_t seed);

/* Open, judge, close, judge. weak_id: the page of this blob was torn at 512 (else 0): only other
 * volumes are whole for certain. want: exactly this (NULL: by the case's rule after n entries).
 * log: records the recovery. 0 or -1, c->why tells; c->seen is what was seen. */
int crash_judge(struct crash_case *c, const struct rt_sim_image *image, size_t n, uint64_t weak_id,
                const struct crash_view *want, struct rt_sim_log *log);
/* *code: first finding that is wrong. */
int crash_check_image(const struct rt_sim_image *image, struct lvs_report *report,
                      const uint64_t *expect_free);

#endif
