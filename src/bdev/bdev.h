/* SPDX-License-Identifier: Apache-2.0 */
/* Block devices: one interface between what offers storage (modules) and what uses it (pools,
 * exports, other modules).
 *
 * Objects, and who may touch them
 *   bdev_mgr   registry of all devices of an engine. Control reactor only.
 *   bdev       a registered device. Control reactor only, but for the fields marked [any].
 *   desc       an open of a device, with event callback and claim. Control reactor only.
 *   channel    a device as seen from one reactor; all I/O goes through it. Its reactor only.
 *   io         one request. It travels: a layer that maps one to one pushes a frame, changes the
 *              offset and hands the same io down; completion pops. Only a layer that splits or
 *              fans out takes ios of its own from the lower channel.
 *
 * Offsets and lengths are bytes, checked once at the top (bounds, alignment, write access).
 * Submitting never completes before it returns.
 * Source: docs/spec/spdk-jsonrpc.md section 13, mayastor-bdev-uris.md. */
#ifndef ASH_BDEV_BDEV_H
#define ASH_BDEV_BDEV_H

#include "base/err.h"
#include "base/htab.h"
#include "base/jsonw.h"
#include "base/list.h"
#include "base/method.h"
#include "base/param.h"
#include "base/uuid.h"
#include "rt/rt.h"

struct bdev_mgr;
struct bdev;
struct bdev_desc;
struct bdev_channel;
struct bdev_io;
struct bdev_module;

/* ------------------------------------------------------------------- I/O */

enum bdev_io_type {
    BDEV_READ,
    BDEV_WRITE,
    BDEV_UNMAP, /* contents afterwards undefined unless the device says unmap_zeroes */
    BDEV_FLUSH, /* everything acknowledged before the submission is on the medium when done */
    BDEV_WRITE_ZEROES, /* reads as zeroes afterwards */
    BDEV_RESET,
    BDEV_COMPARE,           /* iov against the device: -EILSEQ on a difference */
    BDEV_COMPARE_AND_WRITE, /* iov = what is expected, write_iov = what is written */
    BDEV_COPY,              /* from src_offset to offset, same device */
    BDEV_SEEK_DATA,         /* result in io->offset_result; UINT64_MAX: none */
    BDEV_SEEK_HOLE,
    BDEV_ABORT,
    BDEV_N_IO_TYPES
};

enum {
    BDEV_FUA = 1u << 0,     /* write, zeroes: on the medium when done */
    BDEV_NO_HOLE = 1u << 1, /* write zeroes: the space stays or becomes allocated */
    BDEV_FAST = 1u << 2,    /* write zeroes: -ENOTSUP at once when it is not faster than writing */
};

/* rc of an io: 0 or -EIO medium, -ENOSPC pool full, -ECANCELED device removed or reset,
 * -EPERM write to a read-only device, -EBADF write through a read-only descriptor, -EINVAL bounds
 * or alignment, -ENOTSUP the device cannot, -EILSEQ miscompare, -ENOMEM (never seen by users: the
 * core queues and tries again). */

/* Layout. An io begins on a cache line of its own (64 bytes). A plain read or write touches three
 * lines per layer-less trip: the two of the head and one frame; a frame is 48 bytes, so with up to
 * 16 bytes of the layer's own state it is one line. What only some types need stands in a third
 * line of the head that others never touch. */
struct bdev_frame {
    struct bdev_frame *up;
    struct bdev_channel *ch;
    void (*pop)(
        struct bdev_io *io); /* of the layer above, which is current again; NULL: go on up */
    uint64_t saved_offset;
    uint64_t start_ns;
    uint32_t gen; /* which in-flight counter of the channel holds it */
    uint32_t reserved;
    /* the layer's own per-io state follows (bdev->io_ctx_bytes), see bdev_io_ctx() */
};
_Static_assert(sizeof(struct bdev_frame) == 48, "a frame and 16 bytes of state: one cache line");

struct bdev_io {
    struct rt_job job; /* ready queue and messages between reactors; free for the current layer */
    struct ash_list link;             /* queues; free for the current layer */
    void (*done)(struct bdev_io *io); /* of the submitter */
    void *user;                       /* of the submitter */
    struct bdev_channel *ch;          /* of the submitter */
    struct bdev_frame *frame; /* of the current layer; NULL while the submitter owns the io */
    /* second cache line */
    uint8_t type, flags;
    uint16_t reserved;
    int32_t rc;
    uint64_t offset, length; /* bytes, on the current layer's device */
    const struct iovec *iov; /* sum = length for READ, WRITE, COMPARE*; borrowed until done */
    uint32_t n_iov, n_write_iov;
    struct iovec one_iov; /* room for a submitter with a single buffer */
    uint32_t stack_used, stack_room;
    /* third: not touched by plain reads and writes, and not set by bdev_io_get */
    const struct iovec *write_iov;      /* COMPARE_AND_WRITE */
    uint64_t src_offset, offset_result; /* COPY; SEEK_* */
    uint8_t stack[] __attribute__((aligned(64)));
};
_Static_assert(offsetof(struct bdev_io, type) == 64, "two cache lines of what every io needs");
_Static_assert(offsetof(struct bdev_io, write_iov) == 128,
               "two cache lines of what every io needs");

/* Take an io for a channel (from its slab; grows; NULL when memory is out) and give it back. */
struct bdev_io *bdev_io_get(struct bdev_channel *ch);
void bdev_io_put(struct bdev_io *io);

/* Start io (type, flags, offset, length, iov, done, user filled in) on io->ch. Checks, splitting,
 * emulation, QoS, statistics happen here. done runs exactly once, later, on this reactor. */
void bdev_submit(struct bdev_io *io);

/* --- for layers, inside or after ops->submit --- */

/* The layer's own state for this io. */
static inline void *bdev_io_ctx(struct bdev_io *io)
{
    return io->frame + 1;
}
/* Complete the current layer's part. Not from inside ops->submit: use bdev_io_done_soon there. */
void bdev_io_done(struct bdev_io *io, int rc);
/* The same from the ready queue: the way out for modules that finish at once. */
void bdev_io_done_soon(struct bdev_io *io, int rc);
/* Hand the same io to a lower channel at another offset. pop (may be NULL) runs when it comes back:
 * the layer is current again, io->rc tells; pop ends with bdev_io_done or goes on otherwise. */
void bdev_io_pass(struct bdev_io *io, struct bdev_channel *lower, uint64_t offset,
                  void (*pop)(struct bdev_io *io));

/* --- task forms: one io, wait, rc --- */
int bdev_read(struct bdev_channel *ch, void *buf, uint64_t offset, uint64_t length) ASH_MAY_WAIT;
int bdev_write(struct bdev_channel *ch, const void *buf, uint64_t offset, uint64_t length,
               unsigned flags) ASH_MAY_WAIT;
int bdev_flush(struct bdev_channel *ch) ASH_MAY_WAIT; /* 0 also when the device needs none */
int bdev_unmap(struct bdev_channel *ch, uint64_t offset, uint64_t length) ASH_MAY_WAIT;
int bdev_write_zeroes(struct bdev_channel *ch, uint64_t offset, uint64_t length,
                      unsigned flags) ASH_MAY_WAIT;

/* What an area is, without I/O; any reactor that has the channel. Fills the length of the first run
 * of one kind (>= 1, <= length). Devices that cannot tell: all data, depth 1. */
enum { BDEV_AREA_HOLE = 1u << 0, BDEV_AREA_ZERO = 1u << 1 };
struct bdev_area {
    uint64_t length;
    uint32_t flags;
    uint32_t depth; /* 0 nowhere in the chain, 1 here, 2 in the parent ... */
};
void bdev_area(struct bdev_channel *ch, uint64_t offset, uint64_t length,
               struct bdev_area *ret_area);
/* While a quiesce is in force bdev_area tells "data, depth 1" and bdev_ancestor_depth 0: the layer
 * is being changed and must not be looked at. */
bool bdev_ancestor(struct bdev *bdev, uint32_t depth, const char **ret_name, uint64_t *ret_id);
uint32_t bdev_ancestor_depth(struct bdev_channel *ch, uint64_t id);
/* Is a device of the kind that match tells among upper and all that it reads from, through however
 * many layers? Also true for towers of more than 64 layers. Who puts a device under another asks
 * this first: a ring would send its reads round for ever. Control reactor. */
bool bdev_reaches(struct bdev *upper, bool (*match)(struct bdev *bdev, const void *arg),
                  const void *arg);

/* ------------------------------------------------------------ devices */

struct bdev_ops {
    /* Start io on ch. io->frame is this layer's. Ends by exactly one bdev_io_done/_done_soon/_pass.
     */
    void (*submit)(struct bdev_channel *ch, struct bdev_io *io);
    /* Can the device do this itself? Called at registration and when bdev_caps_changed. */
    bool (*supports)(struct bdev *bdev, enum bdev_io_type type);
    /* Open and close what a channel needs (lower channels into ch->ctx). Its reactor; may not wait.
     */
    int (*channel_init)(struct bdev_channel *ch);
    void (*channel_fini)(struct bdev_channel *ch);
    void (*area)(struct bdev_channel *ch, uint64_t offset, uint64_t length, struct bdev_area *ret);
    /* Volumes: name and lasting id of the ancestor at depth 2 (parent), 3 ...; false: there is
     * none. Control reactor. NULL: no ancestors. */
    bool (*ancestor)(struct bdev *bdev, uint32_t depth, const char **ret_name, uint64_t *ret_id);
    /* Its depth now, on the channel's reactor; 0: it is an ancestor no more. */
    uint32_t (*ancestor_depth)(struct bdev_channel *ch, uint64_t id);
    /* The idx-th device that this one reads from now; NULL: no more. Control reactor. NULL: none.
     */
    struct bdev *(*lower)(struct bdev *bdev, unsigned idx);
    /* After the last close, names gone: free everything, bdev included. */
    void (*destroy)(struct bdev *bdev) ASH_MAY_WAIT;
    /* Ask what lies below for its present size and call bdev_resized. NULL: nothing to ask. */
    int (*rescan)(struct bdev *bdev, struct ash_err *err) ASH_MAY_WAIT;
    /* Members of "driver_specific" in bdev_get_bdevs. */
    void (*dump)(struct bdev *bdev, struct ash_jsonw *w);
    /* The {"method","params"} object that makes this device again; NULL: it is never saved. */
    void (*dump_config)(struct bdev *bdev, struct ash_jsonw *w);
};

struct bdev_counters {
    uint64_t n_ops, n_bytes, ticks, max_ticks, min_ticks; /* min 0: none yet */
};

enum { BDEV_STAT_READ, BDEV_STAT_WRITE, BDEV_STAT_UNMAP, BDEV_STAT_COPY, BDEV_N_STATS };

struct bdev_stats {
    struct bdev_counters c[BDEV_N_STATS];
    uint64_t n_failed, n_nomem, n_miscompare, n_aborted;
};

/* Made by a module, embedded in its own struct; zero it, fill the first part, bdev_register(). */
struct bdev {
    /* filled by the module, fixed after registration */
    const char *name; /* owned by the module until destroy */
    const char *product_name;
    const struct bdev_ops *ops;
    struct bdev_module *module;
    struct ash_uuid uuid;      /* nil: a random one is made */
    uint32_t block_bytes;      /* [any] */
    uint32_t phys_block_bytes; /* 0: block_bytes */
    uint64_t size_bytes;       /* [any] changes by bdev_resized only */
    uint32_t align_bytes;      /* [any] of buffers, for best speed; 1: any */
    uint64_t boundary_bytes;   /* [any] the core splits read/write/unmap/zeroes here; 0: never */
    uint64_t max_unmap_bytes, max_write_zeroes_bytes, max_rw_bytes; /* 0: no limit */
    bool read_only;
    bool volatile_cache; /* [any] writes want a FLUSH (or FUA) to be durable */
    bool unmap_zeroes;   /* [any] what was unmapped reads as zeroes */
    bool fast_zeroes;    /* [any] write zeroes is much quicker than writing */
    bool rotational;
    uint32_t io_ctx_bytes;      /* per-io state of this layer */
    uint32_t stack_bytes;       /* frames of this layer and all below: set by bdev_register from
                                 * io_ctx_bytes plus lower_stack_bytes */
    uint32_t lower_stack_bytes; /* the largest stack_bytes of the devices that ios are passed to */
    uint32_t channel_ctx_bytes;
    uint32_t prefer_write_align, prefer_write_gran, optimal_write_size, prefer_unmap_align,
        prefer_unmap_gran; /* blocks, hints for bdev_get_bdevs */
    uint64_t reset_drain_ns;

    /* the core's */
    struct bdev_mgr *mgr;
    struct bdev_core *core;
    uint32_t supported; /* [any] bit per bdev_io_type that the device does itself */
};

struct bdev_channel {
    struct bdev *bdev;
    struct rt_reactor *reactor;
    struct bdev_chcore *core; /* slab, in-flight counters, queues, statistics */
    void (*submit)(struct bdev_channel *ch,
                   struct bdev_io *io); /* ops->submit or a gate before it */
    void *ctx;                          /* bdev->channel_ctx_bytes, zeroed */
    unsigned mode;                      /* BDEV_OPEN_* of the descriptor: its access rights */
};

/* Register; the device is examined and then announced. -EEXIST BDEV_EXISTS, -EINVAL
 * BDEV_BAD_GEOMETRY. On failure nothing is left behind and the module still owns bdev.
 * Returns before the examination has ended: bdev_wait_for_examine(). */
int bdev_register(struct bdev_mgr *mgr, struct bdev *bdev, struct ash_err *err) ASH_MAY_WAIT;
/* Send REMOVE to every holder, wait until all have closed, take the names away, ops->destroy.
 * -EBUSY when it is being removed already. */
int bdev_unregister(struct bdev *bdev) ASH_MAY_WAIT;
/* Announce a new size (after growing / before shrinking the backing). -EBUSY: smaller while open;
 * the examination of a new device is waited for, it opens the device for a moment. */
int bdev_resized(struct bdev *bdev, uint64_t size_bytes) ASH_MAY_WAIT;
/* Take over the size that the device's file or medium has now. -EBUSY BDEV_BUSY: it has become
 * smaller under a user. 0 also for devices that have nothing to ask. */
int bdev_rescan(struct bdev *bdev, struct ash_err *err) ASH_MAY_WAIT;
/* read_only or what supports() answers has changed. */
void bdev_caps_changed(struct bdev *bdev);

int bdev_alias_add(struct bdev *bdev, const char *alias); /* copied; -EEXIST, -ENOMEM */
int bdev_alias_del(struct bdev *bdev, const char *alias); /* -ENOENT */
size_t bdev_n_aliases(const struct bdev *bdev);
const char *bdev_alias(const struct bdev *bdev, size_t idx);

/* By name, alias or UUID text; NULL. Devices that are being removed are not found. */
struct bdev *bdev_find(struct bdev_mgr *mgr, const char *name);
/* All devices in order of registration, those being removed included. NULL starts and ends. */
struct bdev *bdev_next(struct bdev_mgr *mgr, struct bdev *prev);
bool bdev_is_open(const struct bdev *bdev);
static inline bool bdev_supports(const struct bdev *bdev, enum bdev_io_type type)
{
    return bdev->supported >> type & 1;
}

/* --------------------------------------------------- descriptors, claims */

enum bdev_event { BDEV_EVENT_REMOVE, BDEV_EVENT_RESIZE };

enum {
    BDEV_OPEN_READ = 0,
    BDEV_OPEN_WRITE = 1u << 0,
    /* Reads and writes of any byte offset and length: the core reads, modifies and writes whole
     * blocks under a range lock, so that concurrent neighbours are never lost. */
    BDEV_OPEN_UNALIGNED = 1u << 1,
};

/* event runs as a callback on the control reactor, REMOVE at most once; on REMOVE the holder stops
 * new I/O, waits for its own, puts its channels and closes (from a task it spawns).
 * who: short text for people ("nbd", "lvstore tank"), copied.
 * -ENODEV absent or being removed; -EPERM BDEV_CLAIMED write while claimed; -EROFS write to a
 * read-only device. */
int bdev_open(struct bdev_mgr *mgr, const char *name, unsigned mode, const char *who,
              void (*event)(struct bdev_desc *desc, enum bdev_event ev), void *user,
              struct bdev_desc **ret_desc, struct ash_err *err) ASH_MAY_WAIT;
/* All channels of the descriptor must have been put. Releases the claim. */
void bdev_close(struct bdev_desc *desc) ASH_MAY_WAIT;
struct bdev *bdev_desc_bdev(const struct bdev_desc *desc);
void *bdev_desc_user(const struct bdev_desc *desc);

enum bdev_claim {
    BDEV_CLAIM_NONE,
    BDEV_CLAIM_EXCL_WRITE,       /* exclusive_write */
    BDEV_CLAIM_READ_WRITE_ONE,   /* read_many_write_one */
    BDEV_CLAIM_READ_WRITE_NONE,  /* read_many_write_none */
    BDEV_CLAIM_READ_WRITE_SHARED /* read_many_write_shared */
};
/* Rules of docs/spec/spdk-jsonrpc.md 13.3. by: name of the claiming module (literal). -EPERM,
 * -EINVAL. */
int bdev_claim(struct bdev_desc *desc, enum bdev_claim claim, uint64_t key, const char *by,
               struct ash_err *err);
enum bdev_claim bdev_claimed(const struct bdev *bdev, const char **ret_by);

/* The device on the calling reactor. Shared between users of one bdev on one reactor and counted;
 * the access rights are those of the descriptor. desc may be used here from any reactor while it is
 * open. NULL when memory is out or the module fails. */
struct bdev_channel *bdev_channel_get(struct bdev_desc *desc);
void bdev_channel_put(struct bdev_channel *ch);

/* --------------------------------------- stopping I/O (control reactor) */

/* From the return on until bdev_unquiesce, no user I/O overlapping the range is inside the device,
 * on any reactor: what was in flight has ended, what comes is queued in order. length 0:
 * everything. Nests and overlaps freely (each quiesce has its own unquiesce with the same range).
 */
int bdev_quiesce(struct bdev *bdev, uint64_t offset, uint64_t length) ASH_MAY_WAIT;
void bdev_unquiesce(struct bdev *bdev, uint64_t offset, uint64_t length) ASH_MAY_WAIT;
/* Returns when every I/O that was in flight in the device at the call has ended; nothing is held
 * up. */
void bdev_grace(struct bdev *bdev) ASH_MAY_WAIT;
/* Run fn(ch, arg) on every reactor that has a channel of the device, and wait for all. */
void bdev_for_each_channel(struct bdev *bdev, void (*fn)(struct bdev_channel *ch, void *arg),
                           void *arg) ASH_MAY_WAIT;

/* ------------------------------------------------------------- modules */

struct bdev_uri {
    char *text;        /* as given */
    char *scheme;      /* lower case */
    char *host;        /* host[:port], "" when none */
    char *path;        /* with its first '/', percent-decoded */
    size_t n_segments; /* of the path; "scheme:///" has none */
    struct bdev_uri_query {
        char *key, *value; /* decoded */
    } * query;
    size_t n_query;
};

/* One registration per module: bdev/mod/NAME.c defines it, bdev/modules.c lists it. */
struct bdev_module {
    const char *name;
    const char *const *schemes; /* ends with NULL; NULL: no URI */
    const char *uri_help;       /* "aio:///PATH" */
    const struct ash_param *uri_params;
    size_t uri_params_bytes;
    /* Create from a URI whose query was decoded into params; ret_name: the device's name (rt_free).
     * existing: the device of that name when there is one already. */
    int (*uri_create)(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                      char **ret_name, struct ash_err *err) ASH_MAY_WAIT;
    int (*uri_name)(const struct bdev_uri *uri, char **ret_name, struct ash_err *err);
    int (*uri_destroy)(struct bdev_mgr *mgr, const struct bdev_uri *uri, struct ash_err *err)
        ASH_MAY_WAIT;                 /* NULL: unregister the device of that name */
    const struct ash_method *methods; /* bdev_NAME_create and so on */
    /* A new device: is it the base I wait for? No I/O. */
    void (*examine_config)(struct bdev_mgr *mgr, struct bdev *bdev) ASH_MAY_WAIT;
    /* A new device that nobody claimed: may read it, claim it, build on it. */
    void (*examine_disk)(struct bdev_mgr *mgr, struct bdev *bdev) ASH_MAY_WAIT;
    /* Configuration that belongs to no device yet (bases that are awaited). */
    void (*dump_config)(struct bdev_mgr *mgr, struct ash_jsonw *w);
    /* A module-wide state that belongs to one engine: made before, freed after everything else. */
    int (*init)(struct bdev_mgr *mgr, void **ret_state);
    void (*fini)(struct bdev_mgr *mgr, void *state) ASH_MAY_WAIT;
};

void *bdev_module_state(struct bdev_mgr *mgr, const struct bdev_module *module);
extern struct bdev_module *const bdev_modules[]; /* ends with NULL */

/* Parse and create: aliases the device with the URI text. A path (begins with '/' or '.') means
 * aio:// of it. ret_name on the heap. The reasons are BDEV_URI_* and what the module says. */
int bdev_create_uri(struct bdev_mgr *mgr, const char *uri, char **ret_name,
                    struct ash_err *err) ASH_MAY_WAIT;
int bdev_destroy_uri(struct bdev_mgr *mgr, const char *uri, struct ash_err *err) ASH_MAY_WAIT;
int bdev_uri_parse(const char *text, struct bdev_uri *ret_uri, struct ash_err *err);
void bdev_uri_free(struct bdev_uri *uri);

/* ------------------------------------------------------------- manager */

struct bdev_mgr_opts {
    bool no_auto_examine;
};
/* Other layers add their modules (the lvol module is pool/lvs's): extra, ends with NULL, may be
 * NULL. */
int bdev_mgr_create(struct bdev_module *const *extra, const struct bdev_mgr_opts *opts,
                    struct bdev_mgr **ret_mgr, struct ash_err *err) ASH_MAY_WAIT;
/* Unregister everything, top layers first, then free. */
void bdev_mgr_destroy(struct bdev_mgr *mgr) ASH_MAY_WAIT;
void bdev_mgr_set_pools(struct bdev_mgr *mgr,
                        struct pool_mgr *pools); /* for modules of other layers */
struct pool_mgr *bdev_mgr_pools(struct bdev_mgr *mgr);
void bdev_wait_for_examine(struct bdev_mgr *mgr) ASH_MAY_WAIT;
/* The same for one device, which the caller keeps from going. */
void bdev_wait_examined(struct bdev *bdev) ASH_MAY_WAIT;
int bdev_examine(struct bdev_mgr *mgr, const char *name, struct ash_err *err) ASH_MAY_WAIT;

/* What happens, for notify_get_notifications and for the engine. type: literal. */
struct bdev_watch {
    void (*fn)(struct bdev_watch *watch, const char *type, const char *name);
    struct ash_list link;
};
void bdev_watch_add(struct bdev_mgr *mgr, struct bdev_watch *watch);
void bdev_watch_del(struct bdev_watch *watch);
void bdev_notify(struct bdev_mgr *mgr, const char *type, const char *name);

/* --------------------------------------------- statistics, QoS, histogram */

struct bdev_qos {
    uint64_t rw_ios_per_sec, rw_mbytes_per_sec, r_mbytes_per_sec,
        w_mbytes_per_sec; /* 0: no limit */
};
int bdev_set_qos(struct bdev *bdev, const struct bdev_qos *qos, struct ash_err *err) ASH_MAY_WAIT;
void bdev_get_qos(const struct bdev *bdev, struct bdev_qos *ret_qos);

enum bdev_stat_reset { BDEV_RESET_NONE, BDEV_RESET_MAXMIN, BDEV_RESET_ERROR, BDEV_RESET_ALL };
void bdev_get_stats(struct bdev *bdev, enum bdev_stat_reset reset,
                    struct bdev_stats *ret_stats) ASH_MAY_WAIT;
/* One element per reactor (the caller has room for all). n_users 0: no channel there, all 0. */
struct bdev_channel_stats {
    unsigned n_users;
    uint32_t n_in_flight; /* now */
    struct bdev_stats stats;
};
void bdev_get_channel_stats(struct bdev *bdev, enum bdev_stat_reset reset,
                            struct bdev_channel_stats *ret_stats) ASH_MAY_WAIT;

struct bdev_hist_opts {
    uint8_t granularity;
    uint64_t min_ns, max_ns;
    int type; /* bdev_io_type or -1: all */
};
int bdev_set_histogram(struct bdev *bdev, bool enable, const struct bdev_hist_opts *opts,
                       struct ash_err *err) ASH_MAY_WAIT;
/* counts: base64 as docs/spec/spdk-jsonrpc.md 13.10 into out; -EFAULT when not enabled. */
int bdev_get_histogram(struct bdev *bdev, struct ash_buf *out, struct bdev_hist_opts *ret_opts,
                       uint32_t *ret_min_range, uint32_t *ret_max_range) ASH_MAY_WAIT;
/* How many ios fell between given latencies: ret_counts[0] below borders_ns[0], ret_counts[n] at or
 * above the last; exact to a bucket. borders_ns must ascend. -EFAULT when not enabled, -ENOMEM. */
int bdev_histogram_borders(struct bdev *bdev, const uint64_t *borders_ns, size_t n,
                           uint64_t *ret_counts) ASH_MAY_WAIT;
bool bdev_histogram_enabled(const struct bdev *bdev);
/* Those of the histogram that is enabled. */
void bdev_histogram_opts(const struct bdev *bdev, struct bdev_hist_opts *ret_opts);

/* One element of bdev_get_bdevs (docs/spec/spdk-jsonrpc.md 5.1). */
void bdev_dump(struct bdev *bdev, struct ash_jsonw *w);
const char *bdev_io_type_name(enum bdev_io_type type); /* "read", "write_zeroes" ... */

#endif
