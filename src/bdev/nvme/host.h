/* SPDX-License-Identifier: Apache-2.0 */
/* The NVMe/TCP initiator: remote namespaces as devices.
 *
 *   nvme_host    state of the module: all groups, options            control reactor
 *   nvme_group   one subsystem under one name ("controller" of the   control reactor, but for
 *                RPCs), reached by one or several paths              what is marked [any]
 *   nvme_path    one controller: its admin queue and its life, a     control reactor
 *                task that reads top to bottom (path.c)
 *   nvme_ns      a namespace, with its bdev (ns.c)                   control reactor, ana [any]
 *   nvme_lane    what of a group belongs to one reactor: the I/O     its reactor only
 *                queues of all paths, and ios that wait (lane.c)
 *
 * An io goes to the lane of its reactor (or, with fewer queues than reactors, to another's), takes
 * the best path that has its namespace, and is held when there is none for the moment. When a
 * connection fails, its ios are held and go out again on what works: a command may then run twice
 * at the controller, which reads, writes, zeroes and deallocations stand; a fused
 * compare-and-write does not, and fails. What is held fails after hold_ns, or at once when no path
 * will come back or NVME_HELD_MAX are held already.
 *
 * A write must not come after a newer one because it ran twice. So a change whose connection failed
 * is sent again, by whatever path, only when its first self is over: when the controller says that
 * it is disabled; when it ended the association itself and has let us in again, which ours does
 * when nothing of the old one is in a device any more; or when its keep-alive timer must have run
 * out, after which it serves nothing of the old association (nvme-tcp.md 3). That a controller
 * hangs up says nothing of what it still works on. Not covered: one that lets us in again while it
 * does.
 * Source: docs/spec/nvme-tcp.md 10, spdk-jsonrpc.md 10, mayastor-bdev-uris.md 4.2. */
#ifndef ASH_BDEV_NVME_HOST_H
#define ASH_BDEV_NVME_HOST_H

#include <stdatomic.h>

#include "bdev/nvme/options.h"
#include "bdev/nvme/qpair.h"

#define NVME_HOLD_NS_DEFAULT UINT64_C(30000000000)
enum { NVME_PATHS_MAX = 8, NVME_NS_MAX = 1024, NVME_HELD_MAX = 8192 };

struct nvme_group;
struct nvme_path;

struct nvme_host {
    struct bdev_mgr *bdevs;
    struct ash_list groups;
    struct ash_list watches; /* watch.c */
    uint64_t n_watches_ever;
    struct nvme_options options;
    struct ash_uuid hostid; /* made once per engine */
    struct rt_waitq gone_q; /* a path or group has ended */
};

/* ------------------------------------------------------------------ lanes */

struct nvme_lane {
    struct nvme_group *group;
    struct rt_reactor *reactor;
    struct ash_list qpairs;  /* nvme_qpair.link */
    struct ash_list waiting; /* bdev_io.link, oldest first: for a slot */
    struct ash_list held;    /* for a path */
    uint32_t n_held;
    struct rt_timer hold_timer;
    uint64_t hold_until_ns; /* when it fires */
    /* By path: until when a change that it was given may still happen (lane.c). 0: not any more. */
    uint64_t unsafe_until_ns[NVME_PATHS_MAX];
    struct rt_timer unsafe_timer;
};

struct nvme_io_ctx {
    struct nvme_ns *ns;
    struct rt_reactor *home;
    uint64_t held_since_ns; /* the first time; 0: never */
    uint8_t n_tries;
    uint8_t unsafe_path; /* its idx + 1: a change that it was given and that has not ended; 0 */
};

struct nvme_group {
    struct nvme_host *host;
    struct ash_list link;
    char *name;
    struct ash_list paths, namespaces;
    unsigned n_paths;
    struct nvme_lane *lanes;
    unsigned n_lanes;
    unsigned max_namespaces;
    bool is_watched;       /* a discovery service brought it, and will again */
    uint32_t n_retries;    /* [any] */
    uint64_t hold_ns;      /* [any] */
    _Atomic bool may_wait; /* [any] a path is there or may come back */
    bool is_removing;
    uint32_t n_users; /* tasks that use it: it is not freed */
};

/* --------------------------------------------------------------- namespaces */

struct nvme_ns {
    struct bdev bdev;
    struct nvme_group *group;
    struct ash_list link;
    char *name;
    uint32_t nsid;
    uint8_t block_shift;
    bool is_registered, is_removing;
    uint8_t uuid[16], nguid[16], eui64[8];
    bool can_share;
    uint32_t ana_group;
    _Atomic uint8_t ana[NVME_PATHS_MAX]; /* [any] enum nvme_ana_state; 0: not on that path */
};

struct nvme_ns_channel {
    struct nvme_ns *ns;
    struct nvme_lane *lane;
};

/* What identify told of a namespace. */
struct nvme_ns_info {
    uint32_t nsid;
    uint8_t uuid[16], nguid[16], eui64[8];
    struct nvme_id_ns id;
};

/* -------------------------------------------------------------------- paths */

enum nvme_path_state {
    NVME_PATH_CONNECTING,
    NVME_PATH_ENABLED,
    NVME_PATH_DELAYED,
    NVME_PATH_FAILED,
    NVME_PATH_DELETING
};

struct nvme_path_opts {
    char *address; /* tcp://HOST:PORT */
    char *traddr, *trsvcid;
    char *subnqn, *hostnqn;
    char *key_name, *ctrlr_key_name;
    struct nvme_chap_key *key, *ctrlr_key; /* NULL: none */
    char *psk_name;
    struct nvme_tls_psk *psk; /* NULL: no TLS */
    bool is_ipv6;
    bool hdgst, ddgst;
    uint16_t n_queues_max;
    uint16_t depth;
    uint32_t keep_alive_ms;
    int32_t loss_s;
    uint32_t delay_s;
    uint64_t timeout_ns, timeout_admin_ns, connect_timeout_ns;
    enum nvme_late_action late_action;
};

struct nvme_path {
    struct nvme_group *group;
    struct ash_list link;
    unsigned idx; /* in nvme_ns.ana */
    struct nvme_path_opts opts;
    enum nvme_path_state state;
    /* the controller, as identify told */
    uint64_t cap;
    uint32_t vs;
    struct nvme_id_ctrlr *id;
    uint16_t depth;
    struct nvme_qpair *admin;
    struct nvme_qpair **queues; /* [n_lanes]: open or failed, closed on their reactors */
    /* the bell of its task */
    struct rt_waitq bell_q;
    struct rt_timer bell_timer;
    bool has_rung, timer_fired;
    bool want_stop, want_reset, has_lost_queue, ns_changed, ana_changed, log_changed;
    bool wants_event_request;
    bool has_served;        /* ios may have been given to it since it was connected */
    bool is_over;           /* what the last connection was given cannot run any more */
    bool was_hung_up;       /* the controller ended it: not over before it lets us in again */
    uint64_t lost_since_ns; /* 0: it is there */
    /* the first attempt, which whoever attaches waits for */
    bool is_new;
    int first_rc;
    struct ash_err *first_err;
    struct rt_event first_done;
    struct rt_event *stopped;     /* of whoever detaches */
    uint64_t n_begun, n_attempts; /* attempts, and those that have ended */
    int reset_rc;                 /* of the last one */
    _Atomic uint32_t n_aborts;    /* jobs on their way to the control reactor */
    struct nvme_path_job {
        struct rt_job job;
        struct nvme_path *path;
        _Atomic bool is_posted;
    } lost_jobs[RT_MAX_REACTORS], ana_jobs[RT_MAX_REACTORS];
};

/* path.c. Takes over what opts points to, in any case. Waits until the first attempt has ended: on
 * failure the path (and a group without paths) is gone again. */
int nvme_path_attach(struct nvme_group *group, struct nvme_path_opts *opts,
                     struct ash_err *err) ASH_MAY_WAIT;
/* Disconnect and free; what is in flight goes to other paths. */
void nvme_path_detach(struct nvme_path *path) ASH_MAY_WAIT;
void nvme_path_opts_free(struct nvme_path_opts *opts);
int nvme_path_open_admin(struct nvme_path *path, struct ash_err *err) ASH_MAY_WAIT;
/* Start anew; returns when that has succeeded or failed. */
int nvme_path_reset(struct nvme_path *path, struct ash_err *err) ASH_MAY_WAIT;
void nvme_path_ring(struct nvme_path *path);
void nvme_path_bell_init(struct nvme_path *path);
/* Until somebody rings, ns at most (0: for ever). True: nobody has rung. */
bool nvme_path_bell_wait(struct nvme_path *path, uint64_t ns) ASH_MAY_WAIT;
const char *nvme_path_state_name(enum nvme_path_state state);
void nvme_path_dump_trid(const struct nvme_path *path, struct ash_jsonw *w); /* a member "trid" */

/* group.c */
struct nvme_group *nvme_group_find(struct nvme_host *host, const char *name);
int nvme_group_create(struct nvme_host *host, const char *name, unsigned n_lanes,
                      struct nvme_group **ret_group, struct ash_err *err);
/* Devices first, then paths. Frees it. */
void nvme_group_remove(struct nvme_group *group) ASH_MAY_WAIT;
void nvme_group_free(struct nvme_group *group);
/* From the states of its paths; what is held fails when nothing is to be hoped for. */
void nvme_group_update(struct nvme_group *group) ASH_MAY_WAIT;
/* Look again whether held ios can go, on every lane. */
void nvme_group_kick(struct nvme_group *group) ASH_MAY_WAIT;

/* admin.c: what is said on an admin queue. Failures have NVME_PROTOCOL, BDEV_IO ... */
int nvme_admin_enable(struct nvme_path *path, struct ash_err *err) ASH_MAY_WAIT;
int nvme_admin_identify(struct nvme_path *path, struct ash_err *err) ASH_MAY_WAIT;
/* How many I/O queues it grants when n are asked for. */
int nvme_admin_queues(struct nvme_path *path, unsigned n, unsigned *ret_n,
                      struct ash_err *err) ASH_MAY_WAIT;
int nvme_admin_events(struct nvme_path *path, struct ash_err *err) ASH_MAY_WAIT;
int nvme_admin_keep_alive(struct nvme_path *path) ASH_MAY_WAIT;
int nvme_admin_log(struct nvme_qpair *admin, uint8_t lid, uint32_t nsid, uint64_t offset, void *buf,
                   uint32_t n_bytes) ASH_MAY_WAIT;
int nvme_admin_ns_list(struct nvme_path *path, uint32_t after,
                       struct le32 ret_list[NVME_NS_LIST_MAX]) ASH_MAY_WAIT;
/* -ENOENT: it is not active (any more). */
int nvme_admin_ns(struct nvme_path *path, uint32_t nsid, struct nvme_ns_info *ret) ASH_MAY_WAIT;
void nvme_admin_abort(struct nvme_path *path, uint16_t qid, uint16_t cid);
/* Disable the controller, or (for_good) shut it down, and wait until it says that it has: then no
 * command of its I/O queues runs any more. */
int nvme_admin_end(struct nvme_path *path, bool for_good) ASH_MAY_WAIT;

/* ns.c: make the group's namespaces what this path shows. */
int nvme_ns_scan(struct nvme_path *path, struct ash_err *err) ASH_MAY_WAIT;
int nvme_ns_read_ana(struct nvme_path *path) ASH_MAY_WAIT;
/* The path has gone: namespaces that no path shows lose their devices, in a task of their own. */
void nvme_ns_forget_path(struct nvme_path *path);
void nvme_ns_remove_all(struct nvme_group *group) ASH_MAY_WAIT;

/* lane.c */
void nvme_lane_init(struct nvme_lane *lane, struct nvme_group *group, struct rt_reactor *reactor);
void nvme_lane_submit(struct nvme_lane *lane, struct bdev_io *io);
void nvme_lane_io_done(struct nvme_qpair *qp, struct bdev_io *io, uint16_t status, int rc);
/* On the lane's reactor. */
void nvme_lane_add(struct nvme_lane *lane, struct nvme_qpair *qp);
void nvme_lane_kick(struct nvme_lane *lane);
/* What was given to that path cannot run any more. */
void nvme_lane_is_over(struct nvme_lane *lane, unsigned path_idx);
void nvme_lane_fail_held(struct nvme_lane *lane, int rc);
/* A path error of a namespace: ask the controller again. Any reactor. */
void nvme_path_ana_suspect(struct nvme_path *path);

/* discovery.c: the discovery log of the target at opts->address as one array. */
struct nvme_disc_entry;
/* The log, until it holds still; entries are the caller's. */
int nvme_read_discovery(struct nvme_qpair *admin, struct nvme_disc_entry **ret_entries,
                        uint32_t *ret_n) ASH_MAY_WAIT;
/* A field padded with spaces or NULs. False: it does not fit. */
bool nvme_disc_text(const char *field, size_t n_field, char *buf, size_t n_buf);
int nvme_discover(struct nvme_host *host, struct nvme_path_opts *opts, struct ash_jsonw *w,
                  struct ash_err *err) ASH_MAY_WAIT;

/* attach.c */
void nvme_know_hostid(struct nvme_host *host) ASH_MAY_WAIT;
/* Address and what the host's options say; the caller fills in the rest. hostnqn NULL: our own. */
int nvme_path_opts_make(struct nvme_host *host, const char *traddr, const char *trsvcid,
                        const char *subnqn, const char *hostnqn, struct nvme_path_opts *ret,
                        struct ash_err *err) ASH_MAY_WAIT;
/* Group by name, made when it is not there, then the path. Takes what opts points to. */
int nvme_attach(struct nvme_host *host, const char *name, bool may_join, uint32_t max_bdevs,
                uint64_t hold_ns, struct nvme_path_opts *opts, struct nvme_group **ret_group,
                struct ash_err *err) ASH_MAY_WAIT;
/* To that address and port, NULL: any. NULL: there is none. */
struct nvme_path *nvme_group_path(const struct nvme_group *group, const char *traddr,
                                  const char *trsvcid);

/* watch.c: discovery services whose subsystems are attached as they come and go. */
struct nvme_watch_opts {
    const char *name;           /* its controllers are NAME0, NAME1, ... */
    struct nvme_path_opts path; /* to the service; taken */
    bool wait;                  /* until what the service tells of has been tried once */
    uint64_t wait_ns;           /* at most; 0: as long as it takes */
    int32_t loss_s;             /* of its controllers */
    uint32_t delay_s, fast_s;
};
/* -EALREADY NVME_EXISTS; of the wait: -ETIMEDOUT and others NVME_CONNECT. */
int nvme_watch_start(struct nvme_host *host, struct nvme_watch_opts *opts,
                     struct ash_err *err) ASH_MAY_WAIT;
/* Its controllers go with it. -ENODEV NVME_NOT_FOUND. */
int nvme_watch_stop(struct nvme_host *host, const char *name, struct ash_err *err) ASH_MAY_WAIT;
/* All, at the end: controllers stay. */
void nvme_watches_fini(struct nvme_host *host) ASH_MAY_WAIT;
void nvme_dump_watches(const struct nvme_host *host, struct ash_jsonw *w);
void nvme_dump_watch_config(const struct nvme_host *host, struct ash_jsonw *w);

/* show.c */
void nvme_dump_group(const struct nvme_group *group, struct ash_jsonw *w);
void nvme_dump_io_paths(const struct nvme_host *host, const char *bdev_name, struct ash_jsonw *w);

/* config.c */
void nvme_dump_config(const struct nvme_host *host, struct ash_jsonw *w);

extern const struct bdev_ops nvme_ns_ops;
extern struct bdev_module bdev_nvme_module; /* mod/nvme.c, also in mod/mod.h */

#endif
