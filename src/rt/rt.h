/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime: the only door to the operating system.
 *
 * A `struct rt` is one world: reactors, clock, randomness, files, sockets, worker threads. Behind
 * it stands one of three back ends: io_uring, epoll with worker threads, or the simulator (one
 * thread, clock and disks simulated, everything decided by one seed). Nothing above src/rt calls
 * the OS.
 *
 * A *reactor* is one thread's loop (in the simulator: one of several loops that a single thread
 * takes turns with). An object belongs to one reactor; others send it jobs (rt_post). Reactor 0 is
 * the *control reactor*: all control-plane state lives there.
 *
 * Two forms of code:
 *  - callbacks: a struct embedded in the caller's object (rt_job, rt_timer, rt_op) whose function
 *    runs from the reactor's loop. Starting something never calls back before it returns.
 *  - tasks: a function on a small stack of its own, plain C from top to bottom. Functions marked
 *    ASH_MAY_WAIT may only be called from a task.
 *
 * Idle costs nothing: a reactor with nothing ready, no timer due and nothing to complete sleeps in
 * one wait call without limit. Memory of embedded structs belongs to the caller and must stay valid
 * until the callback has run (or the stop/cancel call says it will not).
 *
 * Source: docs/spec/vhost-ublk-iouring.md part D; docs/ARCHITECTURE.md "runtime". */
#ifndef ASH_RT_RT_H
#define ASH_RT_RT_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"

struct rt;
struct rt_reactor;
struct rt_task;
struct rt_file;
struct rt_sock;
struct ash_buf;

/* ------------------------------------------------------------------ worlds */

enum rt_backend {
    RT_BACKEND_AUTO, /* $ASHLAR_IO = uring | epoll when set, else io_uring when allowed, else epoll
                      */
    RT_BACKEND_URING,
    RT_BACKEND_EPOLL,
    RT_BACKEND_SIM,
};

struct rt_opts {
    enum rt_backend backend;
    unsigned n_reactors; /* 0: as many as CPUs, at most 4; the limit is RT_MAX_REACTORS */
    unsigned
        n_workers_max; /* 0: 16. Threads for calls that block; started when needed, end when idle */
    uint64_t spin_limit_ns; /* how long a reactor with I/O in flight may spin before it sleeps;
                             * adaptive below this; 0: never spin. Default in rt_opts_init: 50 us */
    uint64_t seed;          /* simulator only: decides everything */
};

#define RT_MAX_REACTORS 64

void rt_opts_init(struct rt_opts *opts);

/* Build a world; nothing runs yet. Errors: -EINVAL, -ENOMEM, -ENOSYS (RT_NO_URING), RT_SETUP. */
int rt_create(const struct rt_opts *opts, struct rt **ret_rt, struct ash_err *err);

/* NULL is fine. Asserts that no task, op or timer is left (a leak is a bug) unless it is a
 * simulated world, where rt_sim_discard() throws everything away. */
void rt_destroy(struct rt *rt);

/* Run reactor 0 on the calling thread and the others on threads of their own until rt_stop().
 * May be called again afterwards. Returns 0 or -errno of starting the threads. */
int rt_run(struct rt *rt);
void rt_stop(struct rt *rt); /* from anywhere, also before rt_run */

/* Spawn fn as a task on reactor 0, rt_run until it has returned, give back its result.
 * This is how tools and tests enter a world. */
int rt_run_task(struct rt *rt, const char *name, int (*fn)(void *arg), void *arg);

const char *rt_backend_name(const struct rt *rt); /* "uring", "epoll", "sim" */
/* What the back end found in this kernel, for people: set-up flags, features, operations. */
void rt_features_text(const struct rt *rt, struct ash_buf *out);
unsigned rt_n_reactors(const struct rt *rt);
struct rt_reactor *rt_reactor(struct rt *rt, unsigned idx);

/* The reactor that runs the calling code; NULL outside rt_run. */
struct rt_reactor *rt_self(void);
struct rt *rt_of(const struct rt_reactor *reactor);
unsigned rt_reactor_idx(const struct rt_reactor *reactor);
/* Shorthand: the world of the calling code. Asserts that there is one. */
struct rt *rt_world(void);

/* ------------------------------------------------------- time and chance */

uint64_t rt_now_ns(void); /* monotonic, read now; usable on any reactor */
/* The same clock for statistics of what happens very often: as this reactor has read it last, which
 * is at most one turn of the loop or 16 calls ago. Never behind an earlier answer of either. */
uint64_t rt_coarse_ns(void);
uint64_t rt_wall_ns(void); /* UTC since 1970 */
void rt_random(void *buf, size_t n_bytes);
uint64_t rt_random_u64(void);
struct ash_uuid;
void rt_random_uuid(struct ash_uuid *ret_uuid); /* version 4 */

/* ------------------------------------------------------------------ jobs */

struct rt_job {
    struct rt_job *next; /* private */
    void (*run)(struct rt_job *job);
};

/* Run job->run(job) on a reactor, from its loop, after jobs posted before (per sender). Any thread
 * (also none of ours). To the calling reactor itself: no lock, no system call. */
void rt_post(struct rt_reactor *to, struct rt_job *job);

/* ---------------------------------------------------------------- timers */

struct rt_timer {
    void (*fire)(struct rt_timer *timer);
    uint64_t deadline_ns; /* private from here */
    struct rt_reactor *reactor;
    size_t heap_pos; /* 0: not armed, else place in the heap + 1 */
};

/* (Re)arm on the calling reactor for rt_now_ns() + delay_ns. One shot. */
void rt_timer_start(struct rt_timer *timer, uint64_t delay_ns);
/* Afterwards fire() will not run. Same reactor only. Harmless when not armed. */
void rt_timer_stop(struct rt_timer *timer);
static inline bool rt_timer_armed(const struct rt_timer *timer)
{
    return timer->heap_pos != 0;
}

/* ----------------------------------------------------------------- tasks */

/* Start fn on its own stack (64 KiB with a guard page, from a cache) on the calling reactor, from
 * the loop (not before this returns). name must outlive the task or be a literal.
 * -ENOMEM when no stack can be had. */
int rt_task_spawn(const char *name, void (*fn)(void *arg), void *arg) ASH_MUST_CHECK;
/* The same on another reactor; any thread. */
int rt_task_spawn_on(struct rt_reactor *reactor, const char *name, void (*fn)(void *arg),
                     void *arg) ASH_MUST_CHECK;

struct rt_task *rt_task_self(void); /* NULL in a callback */
/* What the task is doing now, for rt_tasks(); the text must be a literal. Harmless in callbacks. */
void rt_step(const char *step);

/* One-shot rendezvous between a task and callbacks or other tasks of the same reactor. */
struct rt_event {
    struct rt_task *waiter; /* private */
    bool is_set;
    int rc;
};
#define RT_EVENT_INIT ((struct rt_event){NULL, false, 0})
void rt_event_set(struct rt_event *ev, int rc);      /* once; same reactor */
int rt_event_wait(struct rt_event *ev) ASH_MAY_WAIT; /* returns rc; at once if set already */

/* Queue of waiting tasks of one reactor, first come first served. */
struct rt_waitq {
    struct ash_list waiters;
};
void rt_waitq_init(struct rt_waitq *q);
void rt_waitq_wait(struct rt_waitq *q) ASH_MAY_WAIT;
void rt_waitq_wake_one(struct rt_waitq *q);
void rt_waitq_wake_all(struct rt_waitq *q);

/* Mutual exclusion between tasks of one reactor, first come first served. */
struct rt_mutex {
    struct rt_task *owner;
    struct rt_waitq q;
};
void rt_mutex_init(struct rt_mutex *m);
void rt_mutex_lock(struct rt_mutex *m) ASH_MAY_WAIT;
void rt_mutex_unlock(struct rt_mutex *m);

void rt_sleep_ns(uint64_t ns) ASH_MAY_WAIT;
void rt_yield(void) ASH_MAY_WAIT; /* let everything that is ready run once */

/* Run fn(arg) on a worker thread and wait for its result. fn must not use rt_ calls. In the
 * simulator fn runs inline. */
int rt_work(const char *name, int (*fn)(void *arg), void *arg) ASH_MAY_WAIT;

/* Run fn(arg) as a task on another reactor and wait for its result. */
int rt_call_on(struct rt_reactor *reactor, const char *name, int (*fn)(void *arg),
               void *arg) ASH_MAY_WAIT;

/* Tell about every task of the calling reactor's world: name, reactor, step, age. Control reactor,
 * task context (it asks the others in turn). */
struct rt_task_info {
    const char *name, *step;
    unsigned reactor_idx;
    uint64_t age_ns, id, parent_id;
};
int rt_tasks(struct rt_task_info *infos, size_t n_max, size_t *ret_n) ASH_MAY_WAIT;

/* ------------------------------------------------------ I/O operations */

enum rt_op_kind {
    RT_OP_READ,   /* file: fill iov from offset. res = total, short only at the end of the file */
    RT_OP_WRITE,  /* file: all of iov or an error. RT_OP_FUA: on the medium when done */
    RT_OP_FSYNC,  /* file: data on the medium (fdatasync, or BLKFLSBUF's equal for devices) */
    RT_OP_PUNCH,  /* file: deallocate offset/length; -EOPNOTSUPP when it cannot. Devices: BLKDISCARD
                   */
    RT_OP_ZERO,   /* file: offset/length reads as zeroes; devices: BLKZEROOUT. RT_OP_NO_HOLE: keep
                   * the space allocated */
    RT_OP_ACCEPT, /* listener: ret_sock is the new connection */
    RT_OP_RECV,   /* socket: at least one byte into iov; 0 = the peer has ended its stream */
    RT_OP_SEND,   /* socket: all of iov, or an error */
    RT_OP_POLL,   /* rt_watch_fd: res >= 0 when rt_watch_read would not say -EAGAIN */
};

enum {
    RT_OP_FUA = 1u << 0,
    RT_OP_NO_HOLE = 1u << 1,
    RT_OP_MORE = 1u << 2, /* SEND: more follows at once */
};

/* One operation, embedded in the caller's object. Fill kind, flags, file/sock, iov, n_iov, offset,
 * length, done; then rt_op_submit. iov, its buffers and the op stay valid until done runs, which it
 * does exactly once, from the loop of the submitting reactor. */
struct rt_op {
    struct rt_job job; /* private */
    void (*done)(struct rt_op *op);
    struct rt_file *file;
    struct rt_sock *sock;
    const struct iovec *iov;
    uint32_t n_iov;
    uint8_t kind, flags;
    uint64_t offset;
    uint64_t length; /* PUNCH, ZERO; READ/WRITE: ignored (sum of iov) */
    int64_t res;     /* >= 0 or -errno */
    struct rt_sock *ret_sock;
    struct rt_reactor *reactor; /* private from here */
    uint64_t done_bytes;
    uint64_t backend[10];
    struct iovec one_iov; /* room for callers with a single buffer: iov = &op->one_iov */
};

/* Queue for the next system call of this loop turn (batched). */
void rt_op_submit(struct rt_op *op);
/* Ask for an early end (sockets: certain; files: best effort). done still runs, res = -ECANCELED
 * or the result. */
void rt_op_cancel(struct rt_op *op);
/* Submit and wait: returns res. */
int64_t rt_op_wait(struct rt_op *op) ASH_MAY_WAIT;

/* ----------------------------------------------------------------- files */

enum {
    RT_FILE_RDONLY = 1u << 0,
    RT_FILE_DIRECT = 1u << 1, /* O_DIRECT when the file system takes it; see direct in the info */
    RT_FILE_CREATE = 1u << 2, /* with EXCL: must not exist */
    RT_FILE_EXCL = 1u << 3,
    RT_FILE_LOCK = 1u << 4, /* advisory lock (OFD): shared when RDONLY, else exclusive;
                             * -EBUSY RT_FILE_BUSY when another process or rt_file holds it */
};

struct rt_file_info {
    uint64_t size_bytes;
    uint32_t logical_block_bytes; /* devices; 512 for files */
    uint32_t physical_block_bytes;
    uint32_t dio_align_bytes; /* of buffers, offsets and lengths for direct I/O; 1 when buffered */
    bool is_device, is_direct, is_rotational;
    bool can_punch, can_zero; /* what PUNCH/ZERO will do (probed without changing anything) */
};

int rt_file_open(const char *path, unsigned flags, struct rt_file **ret_file,
                 struct ash_err *err) ASH_MAY_WAIT;
/* No op may be in flight. */
void rt_file_close(struct rt_file *file) ASH_MAY_WAIT;
int rt_file_info(struct rt_file *file, struct rt_file_info *ret_info) ASH_MAY_WAIT; /* asks again */
int rt_file_truncate(struct rt_file *file, uint64_t size_bytes) ASH_MAY_WAIT;
/* First data or hole at or after offset; -ENXIO when there is none before the end; files that
 * cannot tell are all data. Quick (no disk access expected), callable from callbacks. */
int rt_file_seek(struct rt_file *file, bool want_data, uint64_t offset, uint64_t *ret_offset);

/* Whole-transfer task forms; 0 or -errno; a read that meets the end of the file is -EIO. */
int rt_file_read(struct rt_file *file, void *buf, size_t n_bytes, uint64_t offset) ASH_MAY_WAIT;
int rt_file_write(struct rt_file *file, const void *buf, size_t n_bytes,
                  uint64_t offset) ASH_MAY_WAIT;
int rt_file_sync(struct rt_file *file) ASH_MAY_WAIT;

/* Small host files (configuration, state folder): the few calls that tools need. */
int rt_read_text(const char *path, size_t n_max_bytes, char **ret_text, size_t *ret_n_bytes,
                 struct ash_err *err) ASH_MAY_WAIT;
int rt_make_dirs(const char *path, unsigned mode, struct ash_err *err) ASH_MAY_WAIT; /* mkdir -p */
int rt_unlink(const char *path) ASH_MAY_WAIT;
/* Put `from` in the place of `to` (which may exist) in one step, durable when it returns. */
int rt_rename(const char *from, const char *to) ASH_MAY_WAIT;
bool rt_path_exists(const char *path) ASH_MAY_WAIT;
/* The regular files of a folder, in no order. ret_entries: rt_free. The simulator has none. */
struct rt_dirent {
    char name[256];
    int64_t mtime_s; /* since 1970 */
};
int rt_list_dir(const char *path, struct rt_dirent **ret_entries, size_t *ret_n,
                struct ash_err *err) ASH_MAY_WAIT;
/* A lock file as flock(1) and LVM2 use them: made when it is not there, removed by its last holder.
 * -EBUSY RT_FILE_BUSY: NO_WAIT, and somebody holds it. In the simulator nobody ever does. */
struct rt_lock;
enum { RT_LOCK_SHARED = 1u << 0, RT_LOCK_NO_WAIT = 1u << 1 };
int rt_lock_take(const char *path, unsigned flags, struct rt_lock **ret_lock,
                 struct ash_err *err) ASH_MAY_WAIT;
void rt_lock_drop(struct rt_lock *lock) ASH_MAY_WAIT; /* NULL is fine */
/* Permission bits of a file, as chmod counts them; 0600 in the simulator. */
int rt_path_mode(const char *path, unsigned *ret_mode) ASH_MAY_WAIT;
/* "is_device" for URI defaults: 1 block device, 0 anything else or absent. */
bool rt_path_is_blockdev(const char *path) ASH_MAY_WAIT;

/* --------------------------------------------------------------- sockets */

/* address: "unix:///PATH" (mode: permissions of the socket file; a stale file is replaced, guarded
 * by PATH.lock as docs/spec/spdk-jsonrpc.md 1.1) or "tcp://ADDRESS:PORT" (brackets for IPv6;
 * port 0 chooses one, see rt_sock_address). */
int rt_listen(const char *address, unsigned mode, struct rt_sock **ret_sock,
              struct ash_err *err) ASH_MAY_WAIT;
int rt_connect(const char *address, struct rt_sock **ret_sock, struct ash_err *err) ASH_MAY_WAIT;
/* A connected pair (simulator: in memory). For tests and captive exports. */
int rt_sock_pair(struct rt_sock **ret_a, struct rt_sock **ret_b) ASH_MAY_WAIT;
/* A foreign descriptor that hands out whole messages and can be polled (/dev/fuse): it is
 * duplicated and made non-blocking. Only RT_OP_POLL, rt_watch_read and rt_sock_close are for it.
 * -ENOTSUP in the simulator. */
int rt_watch_fd(int fd, struct rt_sock **ret_sock);
/* read() that never waits: bytes, 0 at the end, -EAGAIN when there is nothing, or another -errno.
 */
int64_t rt_watch_read(struct rt_sock *sock, void *buf, size_t n_bytes);
/* Tell the kernel that the calling thread serves block I/O, so that its allocations never wait for
 * write-back that only it could do. False when it may not (CAP_SYS_RESOURCE). */
bool rt_thread_serves_io(void);
/* The address a listener is bound to / the peer of a connection, as text; lives with the socket. */
const char *rt_sock_address(const struct rt_sock *sock);
/* Our own end of a connection in the same form: which address a peer came to when the listener has
 * no certain one (0.0.0.0). "" when that cannot be told (simulator). */
void rt_sock_local(const struct rt_sock *sock, char *buf, size_t n_buf);
/* End both directions: pending ops of the socket end with an error or 0 soon. */
void rt_sock_shutdown(struct rt_sock *sock);
/* Close. No op may be in flight (shut down and wait for them first). A listener removes its socket
 * file. A connection may be used on any one reactor at a time: hand it over before its first op
 * there, with none in flight. */
void rt_sock_close(struct rt_sock *sock);

/* --------------------------------------------------------------- buffers */

/* Memory for data, aligned to 4096, contents undefined, from caches of the calling reactor (size
 * classes 4 KiB .. 4 MiB; larger ones straight from the system). NULL when memory is out. A buffer
 * may be put on another reactor than it came from. */
void *rt_buf_get(size_t n_bytes);
void rt_buf_put(void *buf, size_t n_bytes); /* same n_bytes; NULL is fine */
/* Large memory that is used at random places: ask the system for huge pages behind it, for fewer
 * look-ups of addresses. A hint; touched memory is then resident in pieces of 2 MiB. */
void rt_want_huge(void *ptr, size_t n_bytes);

/* -------------------------------------------------- signals and the rest */

struct rt_signal {
    int signo;
    void (*fire)(struct rt_signal *sig); /* on the control reactor */
    struct rt_signal *next;              /* private */
};
int rt_signal_watch(struct rt_signal *sig) ASH_MAY_WAIT;
void rt_signal_unwatch(struct rt_signal *sig) ASH_MAY_WAIT;

/* Fixed ring of recent events for post-mortems: text literals and two numbers; cheap, any reactor.
 */
void rt_trace(const char *what, uint64_t a, uint64_t b);
void rt_trace_dump(struct rt *rt, struct ash_buf *out);

struct rt_stats {
    uint64_t n_turns, n_sleeps, n_syscalls, n_jobs, n_ops, busy_ns, spin_ns;
};
void rt_reactor_stats(const struct rt_reactor *reactor, struct rt_stats *ret_stats);

/* Messages for the people who run the process. Without a sink (a library's world) they go nowhere.
 * Control reactor only: other reactors stay silent, the data path reports by its results.
 *   ERR    needs a person;  WARN  we carry on, and say how;  INFO  changes of state;  DEBUG  off
 * unless asked for. The numbers are syslog's. */
enum rt_log_level { RT_LOG_ERR = 3, RT_LOG_WARN = 4, RT_LOG_INFO = 6, RT_LOG_DEBUG = 7 };
/* module: a short literal ("bdev"). One sentence without a full stop. */
void rt_log(enum rt_log_level level, const char *module, const char *fmt, ...) ASH_PRINTF(3, 4);
/* sink NULL: silence again. It must not wait. */
void rt_set_log(struct rt *rt,
                void (*sink)(void *arg, enum rt_log_level level, const char *module,
                             const char *text),
                void *arg);
/* What is above (a larger number) is dropped; INFO at first. */
void rt_set_log_level(struct rt *rt, enum rt_log_level max_level);

/* True now and then, in a simulated world that has asked for it (rt_sim_hooks.rarely); everywhere
 * else false. Put beside a condition that is rarely true, where being true is never wrong: the
 * simulator makes such branches common. tag: a literal. */
bool rt_rarely(const char *tag);
#define SIM_RARELY(tag) rt_rarely(tag)

/* Test hook of every world: when set, asked before each allocation made through rt_alloc; true =
 * fail it. The Nth-allocation loops of the tests use it. */
void rt_set_alloc_hook(struct rt *rt, bool (*should_fail)(void *arg), void *arg);
/* calloc/free through the hook. All control-plane memory above rt comes from here. */
void *rt_alloc(size_t n_bytes);                                      /* zeroed; NULL when out */
void *rt_realloc(void *old, size_t n_old_bytes, size_t n_new_bytes); /* new part zeroed */
void rt_free(void *ptr);
char *rt_strdup(const char *text);

#endif
