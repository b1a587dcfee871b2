/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the runtime: the world, its reactors, and the seam to the back ends.
 *
 * Invariants:
 *  - everything of a reactor is touched by its own thread only, but for `inbox` and `asleep`
 *    (atomics) and the statistics (one writer, relaxed readers);
 *  - callbacks and the loop run on the thread's stack, tasks on their own; tasks switch to and from
 *    the loop, never to one another;
 *  - of one socket at most one op per direction is with the back end, the others queue here. */
#ifndef ASH_RT_INTERNAL_H
#define ASH_RT_INTERNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "rt/rt.h"

#if defined(__SANITIZE_ADDRESS__)
#define RT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RT_ASAN 1
#endif
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define RT_VALGRIND 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RT_TSAN 1
#endif
#endif

#define RT_NEVER_NS UINT64_MAX

struct rt_sim;
struct rt_sim_attach;
struct rt_sim_sock;

/* --------------------------------------------------------------- back ends */

struct rt_backend_ops {
    const char *name;
    /* Set up what a reactor needs; called by rt_create, on any thread. */
    int (*init)(struct rt_reactor *r, struct ash_err *err);
    void (*fini)(struct rt_reactor *r);
    /* The loop's thread begins / ends to run the reactor. */
    int (*enter)(struct rt_reactor *r);
    void (*leave)(struct rt_reactor *r);
    /* Queue an op; it ends by rt_op_step()/rt_op_finish(). */
    void (*submit)(struct rt_op *op);
    void (*cancel)(struct rt_op *op);
    /* Hand over everything queued, take what has completed; wait at most so long for the first. */
    void (*wait)(struct rt_reactor *r, uint64_t timeout_ns);
    /* Is what is queued little, so that it may be handed over a few turns later? NULL: never hold.
     */
    bool (*may_hold)(struct rt_reactor *r);
    /* End a wait; any thread. */
    void (*wake)(struct rt_reactor *r);
    /* Forget a socket that is being closed. May be NULL. */
    void (*forget)(struct rt_sock *sock);
    /* Append to rt_features_text(). May be NULL. */
    void (*features)(const struct rt_reactor *r, struct ash_buf *out);
};

extern const struct rt_backend_ops rt_uring_ops, rt_epoll_ops, rt_sim_ops;

/* ------------------------------------------------------------------ worlds */

struct rt_timer_slot {
    uint64_t deadline_ns, seq;
    struct rt_timer *timer;
};

#define RT_BUF_CLASSES   11 /* 4 KiB .. 4 MiB */
#define RT_N_TRACE       4096
#define RT_N_TRACE_SIM   128
#define RT_STACKS_CACHED 64

struct rt_trace_event {
    const char *what;
    uint64_t a, b, at_ns;
};

/* Where a stack's owner stands while it does not run. */
struct rt_ctx {
    void *sp; /* or a ucontext_t where there is no switch in assembler */
    void *asan_fake_stack;
    void *tsan_fiber;
    const void *stack_bottom; /* of the context itself, for the sanitizers */
    size_t stack_bytes;
};

/* clock.c */
struct rt_clock {
    bool usable;
    uint64_t anchor_ns, anchor_cycles, good_cycles, ns_per_cycle /* << 32 */, last_ns;
};

struct rt_reactor {
    struct rt *rt;
    unsigned idx;
    struct rt_job *ready, **ready_tail;
    struct rt_task *current;
    uint64_t coarse_ns;
    unsigned n_coarse_left; /* answers that coarse_ns is still good for */
    struct rt_ctx loop_ctx;

    struct rt_timer_slot *timers; /* binary heap */
    size_t n_timers, n_timers_room;
    uint64_t timer_seq;

    struct ash_list tasks;
    struct rt_task *free_stacks;
    unsigned n_free_stacks;

    void *bufs[RT_BUF_CLASSES];
    size_t cached_bytes;
    bool was_trimmed;

    uint64_t n_inflight, n_internal; /* internal: of the runtime itself (signals) */
    uint64_t spin_ns;
    unsigned n_spin_pause, n_spin_skipped, n_spin_tries, n_turns_held;
    struct rt_clock clock;
    void *backend;

    struct rt_trace_event *trace;
    uint64_t n_traced;
    struct rt_stats stats;

    pthread_t thread;
    bool has_thread;
    int enter_rc;

    _Alignas(64) _Atomic(struct rt_job *) inbox; /* pushed by any thread, newest first */
    atomic_bool asleep;
};

struct rt_pool;

struct rt {
    const struct rt_backend_ops *ops;
    struct rt_opts opts;
    unsigned n_reactors;
    struct rt_reactor *reactors;
    struct rt_pool *pool;
    struct rt_sim *sim; /* NULL in the real world */
    bool sockets_block; /* io_uring wants blocking descriptors, epoll the others */

    atomic_bool stop;
    atomic_uint_fast64_t next_task_id;

    pthread_mutex_t run_lock; /* guards the four below */
    pthread_cond_t run_cond;
    uint64_t run_gen;
    unsigned n_running;
    bool quit;

    bool (*alloc_fails)(void *arg);
    void *alloc_arg;

    void (*log_sink)(void *arg, enum rt_log_level level, const char *module, const char *text);
    void *log_arg;
    int log_level; /* 0: INFO */

    struct {
        struct rt_signal *list;
        sigset_t set;
        int fd;
        struct rt_sock *sock;
        struct rt_op op;
        bool is_reading;
        uint8_t info[128]; /* struct signalfd_siginfo */
        struct rt_waitq ended;
    } sig;
};

extern _Thread_local struct rt_reactor *rt_tls_self;

#define RT_STAT(r, field, n)                                                                       \
    __atomic_store_n(&(r)->stats.field, (r)->stats.field + (n), __ATOMIC_RELAXED)

uint64_t rt_clock_ns(void); /* the kernel's */
void rt_clock_init(struct rt_clock *clock);
uint64_t rt_clock_read(struct rt_clock *clock); /* a reactor's own way to read it */

/* Queue on the calling reactor. */
static inline void rt_ready(struct rt_reactor *r, struct rt_job *job)
{
    job->next = NULL;
    *r->ready_tail = job;
    r->ready_tail = &job->next;
}
/* Take the oldest ready job and run it; false when there is none. */
bool rt_run_one(struct rt_reactor *r);

/* timer.c */
void rt_timer_start_on(struct rt_reactor *r, struct rt_timer *timer, uint64_t deadline_ns);
uint64_t rt_timers_next(const struct rt_reactor *r); /* RT_NEVER_NS when none */
void rt_timers_run(struct rt_reactor *r, uint64_t now_ns);

/* task.c */
struct rt_task {
    struct rt_job job; /* resumes the task */
    struct rt_reactor *reactor;
    void (*fn)(void *arg);
    void *arg;
    const char *name, *step;
    uint64_t id, parent_id, start_ns;
    struct ash_list link;
    struct rt_ctx ctx;
    unsigned valgrind_id;
    bool is_done;
};
/* Give way to the loop until rt_task_wake. */
void rt_task_suspend(void);
/* Make a suspended task of the calling reactor ready. */
void rt_task_wake(struct rt_task *task);
/* From the loop's stack: run it now until it suspends. */
void rt_task_resume(struct rt_task *task);
void rt_task_free_stacks(struct rt_reactor *r);
void rt_task_discard_all(struct rt_reactor *r);

/* work.c: job->run runs on a worker thread and says itself where to go on (rt_post). */
int rt_pool_create(struct rt *rt);
void rt_pool_destroy(struct rt *rt);
void rt_pool_put(struct rt *rt, struct rt_job *job);
void rt_block_signals(void);

/* buf.c */
void rt_bufs_trim(struct rt_reactor *r);
struct rt_mem {
    struct ash_list link;
    uint64_t n_bytes;
    uint64_t pad;
};

/* op.c */
#define RT_OP_WAITER 9 /* op->backend[9]: the task in rt_op_wait */
/* A part of the op has ended with res. True: the op has finished and is on its way to done. False:
 * go on with rt_op_rest(). */
bool rt_op_step(struct rt_op *op, int64_t res);
void rt_op_finish(struct rt_op *op, int64_t res);
/* What is still to transfer: points iov at caller's vector or at *room. */
unsigned rt_op_rest(const struct rt_op *op, const struct iovec **ret_iov, struct iovec *room);
/* Run a file op to its end on the calling (worker) thread; returns its result. */
int64_t rt_file_op_run(struct rt_op *op);
void rt_op_to_pool(struct rt_op *op);

/* file.c, sock.c */
struct rt_file {
    struct rt *rt;
    int fd;
    unsigned flags;
    bool is_device, is_direct;
    struct rt_sim_attach *sim;
};

struct rt_sock_dir {
    struct rt_op *active;
    struct rt_job *queued, **queued_tail;
};

struct rt_sock {
    struct rt *rt;
    int fd;
    bool is_listener, is_plain; /* plain: not a socket, read() it */
    bool is_shut;
    struct rt_sock_dir dir[2];       /* [1]: sending */
    struct rt_reactor *poll_reactor; /* epoll: whose set it is in, and for what */
    uint32_t poll_events;
    int lock_fd;
    char *path;
    struct rt_sim_sock *sim;
    char address[160];
};
struct rt_sock *rt_sock_new(struct rt *rt, int fd);
void rt_sock_free(struct rt_sock *sock);
struct rt_sock *rt_sock_accepted(struct rt_sock *listener, int fd);

/* signal.c */
void rt_signals_init(struct rt *rt);
void rt_signals_fire(struct rt *rt, int signo);

/* rt_sim.c: the simulator's side of what is not an op. */
int rt_sim_init(struct rt *rt);
void rt_sim_fini(struct rt *rt);
int rt_sim_run(struct rt *rt);
uint64_t rt_sim_now(const struct rt *rt);
uint64_t rt_sim_wall(const struct rt *rt);
uint64_t rt_sim_random(struct rt *rt);
struct ash_list *rt_sim_mems(struct rt *rt);
struct ash_list *rt_sim_bufs(struct rt *rt);
void rt_sim_buf_free(struct rt_mem *head);
int rt_sim_file_open(struct rt *rt, const char *path, unsigned flags, struct rt_file **ret_file,
                     struct ash_err *err);
void rt_sim_file_close(struct rt_file *file);
int rt_sim_file_info(struct rt_file *file, struct rt_file_info *info);
int rt_sim_file_truncate(struct rt_file *file, uint64_t size_bytes);
int rt_sim_file_seek(struct rt_file *file, bool want_data, uint64_t offset, uint64_t *ret_offset);
int rt_sim_read_text(struct rt *rt, const char *path, size_t n_max, char **ret_text, size_t *ret_n,
                     struct ash_err *err);
int rt_sim_unlink(struct rt *rt, const char *path);
int rt_sim_rename(struct rt *rt, const char *from, const char *to);
bool rt_sim_path(struct rt *rt, const char *path, bool *ret_is_device);
int rt_sim_listen(struct rt *rt, const char *address, struct rt_sock **ret, struct ash_err *err);
int rt_sim_connect(struct rt *rt, const char *address, struct rt_sock **ret, struct ash_err *err);
int rt_sim_sock_pair(struct rt *rt, struct rt_sock **ret_a, struct rt_sock **ret_b);
void rt_sim_sock_shutdown(struct rt_sock *sock);
void rt_sim_sock_close(struct rt_sock *sock);
void rt_sim_sock_submit(struct rt_op *op);
void rt_sim_sock_cancel(struct rt_op *op);

#endif
