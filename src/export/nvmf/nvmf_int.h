/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the NVMe/TCP target.
 *
 * Who owns what
 *  - server, listeners, subsystems, namespaces, controllers, reservations: the control reactor;
 *  - a connection begins on the control reactor (ICReq, Connect). An admin queue stays; an I/O
 * queue is handed over to a reactor of its own, with nothing in flight, before Connect is answered;
 *  - what an I/O queue must know of its subsystem stands in a nvmf_local, one per subsystem and
 *    reactor, which only that reactor reads and writes: the control reactor changes it by calls
 *    to each reactor in turn. */
#ifndef ASH_EXPORT_NVMF_NVMF_INT_H
#define ASH_EXPORT_NVMF_NVMF_INT_H

#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/nvme_data.h"
#include "base/nvme_pdu.h"
#include "export/nvmf/nvmf.h"
#include "rt/tls.h"

#define NVMF_SMALL_BYTES               8192u        /* receive buffer of an idle connection */
#define NVMF_BIG_BYTES                 (128u << 10) /* of a busy one; given back when idle */
#define NVMF_TX_IOVS                   96u
#define NVMF_TX_HDR_BYTES              4096u
#define NVMF_IDLE_NS                   1000000000ull
#define NVMF_AERL                      3u  /* 0's based: 4 events outstanding */
#define NVMF_ELPE                      63u /* 0's based: 64 entries of the error log */
#define NVMF_HOSTS_MAX                 1024u
#define NVMF_REGISTRANTS_MAX           64u
#define NVMF_NOTICES_MAX               32u
#define NVMF_STATICS_MAX               1024u
#define NVMF_CHANGED_MAX               NVME_NS_LIST_MAX
#define NVMF_CAP_TO_500MS              30u
#define NVMF_ANATT_S                   10u
#define NVMF_CID_BUCKETS               64u
#define NVMF_STATUS_VENDOR_NOSPC       0x71Cu /* docs/spec/mayastor-bdev-uris.md 8 */
#define NVMF_STATUS_UNWRITTEN          0x287u
#define NVMF_RW_UNWRITTEN_FAIL         (1u << 22)
#define NVMF_RW_CURRENT_UNWRITTEN_FAIL (1u << 21)

struct nvmf_conn;
struct nvmf_ctrlr;
struct nvmf_subsystem;
struct nvmf_ns;

struct nvmf_group_stats { /* of one reactor; written there, read by the control reactor */
    uint64_t n_admin_qpairs, n_io_qpairs, n_completed;
    uint32_t n_admin_now, n_io_now, n_pending;
};

struct nvmf_server {
    struct bdev_mgr *mgr;
    struct pool_mgr *pools;
    struct nvmf_limits limits;
    bool has_transport;
    struct nvmf_transport_opts transport;
    struct ash_list subsystems; /* the discovery subsystem, then by NQN */
    struct ash_list listeners, conns;
    struct ash_list referrals;
    uint32_t n_conns, n_subsystems, n_unassociated, n_referrals;
    uint32_t n_busy;                       /* calls that wait while they use the server */
    unsigned next_reactor;                 /* for an I/O queue, when several have as few */
    uint32_t n_io_queues[RT_MAX_REACTORS]; /* given to each */
    uint64_t next_listener_id;
    uint64_t genctr; /* of the discovery log */
    bool stopping;
    struct rt_waitq changed;      /* something ended: look again */
    struct rt_mutex lock;         /* one change of the configuration at a time */
    struct rt_mutex preempt_lock; /* resv.c */
    struct nvmf_group_stats *groups;
    struct bdev_watch watch;
    char *share_uri;
    bool restores_shares, resharing, reshare_again; /* share.c */
    struct rt_tls_server *tls;                      /* from the first secure listener on */
    bool sweeping;
    unsigned n_reshare_tries; /* in a row that some share failed */
    struct rt_timer reshare_retry, sweep_retry;
};

struct nvmf_listener {
    struct ash_list link;
    struct nvmf_server *srv;
    uint64_t id;
    char traddr[64], trsvcid[16];
    bool ipv6, secure, op_busy, closing;
    uint32_t n_users; /* nvmf_path */
    struct rt_sock *sock;
    struct rt_op op;
    struct rt_timer retry;
};

struct nvmf_referral {
    struct ash_list link;
    char traddr[256], trsvcid[33], subnqn[NVME_NQN_FIELD];
    bool ipv6, secure;
};

/* A subsystem as it is reached by one listener. Stays while a connection points at it. */
struct nvmf_path {
    struct ash_list link;
    struct nvmf_subsystem *sub;
    struct nvmf_listener *listener;
    uint64_t listener_id;
    uint32_t n_conns;
    bool closing;
    uint16_t port_id;
    uint64_t ana_changes;
    uint8_t *ana; /* [any] state of group g at g; sub->max_namespaces + 1 */
    uint64_t *ana_group_changes;
};

struct nvmf_host {
    struct ash_list link;
    char nqn[NVME_NQN_FIELD];
    char *key_name, *ctrlr_key_name;
    struct nvme_chap_key *key, *ctrlr_key; /* NULL: none */
    char *psk_name;
    struct nvme_chap_key *psk; /* NULL: none; else it comes by TLS only */
};

/* ------------------------------------------------------------ namespaces */

struct nvmf_registrant {
    uint8_t hostid[16];
    char hostnqn[NVME_NQN_FIELD];
    uint64_t key;
};

struct nvmf_resv {
    uint32_t gen;
    uint8_t rtype; /* enum nvme_resv_type */
    bool ptpl;
    uint8_t holder[16]; /* unless all registrants hold it */
    uint32_t n_regs;
    struct nvmf_registrant regs[NVMF_REGISTRANTS_MAX];
};

/* What I/O queues check commands against; replaced as a whole. None: everything is allowed. */
struct nvmf_ns_view {
    bool hidden; /* only those hosts see it */
    uint8_t rtype;
    uint8_t holder[16];
    uint32_t n_regs, n_hosts;
    uint8_t (*regs)[16];
    char (*hosts)[NVME_NQN_FIELD];
};

struct nvmf_counters {
    uint64_t n_reads, read_bytes, n_writes, write_bytes, n_media_errors;
};

/* A namespace on one reactor. */
struct nvmf_local_ns {
    struct nvmf_ns *ns;
    struct bdev_channel *ch; /* NULL until first used here */
    const struct nvmf_ns_view *view;
    uint32_t n_busy; /* commands that use it */
    bool closing;
    struct rt_waitq idle;
    struct nvmf_counters counters; /* written here only, read by the control reactor: relaxed */
};

struct nvmf_local {
    struct nvmf_subsystem *sub;
    uint32_t n_conns;
    struct nvmf_local_ns **ns; /* by nsid - 1 */
};

struct nvmf_ns {
    struct nvmf_subsystem *sub;
    uint32_t nsid;
    uint32_t anagrpid; /* [any] */
    struct bdev_desc *desc;
    struct bdev *bdev;
    char *bdev_name;
    struct ash_uuid uuid;
    uint8_t nguid[16], eui64[8];
    bool has_nguid, has_eui64, read_only, no_auto_visible;
    bool opening, removed, closing;
    char *ptpl_file;
    struct rt_mutex resv_lock;
    struct nvmf_resv resv;
    struct ash_list hosts;
    struct nvmf_ns_view *view;
    struct nvmf_local_ns *locals;
};

struct nvmf_subsystem {
    struct ash_list link;
    struct nvmf_server *srv;
    char nqn[NVME_NQN_FIELD], serial[21], model[41];
    bool discovery, allow_any_host, ana_reporting, openebs, closing;
    bool shared; /* made by nvmf_share */
    uint32_t max_namespaces, dmrsl;
    uint16_t min_cntlid, max_cntlid, next_cntlid;
    uint16_t n_statics; /* of the lowest ids (cntlid.c) */
    struct nvmf_static *statics;
    struct ash_list hosts, paths, ctrlrs;
    uint32_t n_hosts;
    struct nvmf_ns **ns; /* by nsid - 1 */
    struct nvmf_local *locals;
    struct nvmf_counters ended; /* of namespaces that were removed */
    uint64_t since_ns;
};

/* ----------------------------------------------------------- controllers */

struct nvmf_features {
    uint32_t arbitration, temperature, error_recovery, atomicity, resv_mask;
    uint8_t host_behavior[512];
};

/* What a static controller keeps for the host that had it last. */
struct nvmf_static {
    uint8_t hostid[16];
    char hostnqn[NVME_NQN_FIELD]; /* "": nobody had it */
    struct nvmf_features features;
};

struct nvmf_ctrlr {
    struct ash_list link;
    struct nvmf_subsystem *sub;
    struct nvmf_path *path; /* NULL: discovery by a listener without one */
    uint64_t listener_id;
    uint16_t cntlid;
    bool is_static;
    uint8_t hostid[16];
    char hostnqn[NVME_NQN_FIELD];
    struct nvmf_conn *admin;
    struct nvmf_conn **io; /* by qid - 1; max_io_qpairs */
    uint32_t n_io;
    uint16_t n_granted;
    bool dying; /* its connections are being cut */
    uint32_t cc, csts;
    uint32_t kato_ms; /* as the host said */
    uint64_t kato_ns;
    struct rt_timer keep_alive;
    struct rt_timer shutdown;
    uint64_t since_ns, disabled_since_ns;
    /* events */
    uint32_t aer_config;
    struct ash_list aers; /* held AER commands */
    uint32_t n_aers;
    uint32_t pending, masked; /* bit per enum nvmf_event */
    uint32_t n_changed;       /* NVMF_CHANGED_MAX + 1: too many */
    uint32_t changed[NVMF_CHANGED_MAX];
    struct nvme_log_reservation notices[NVMF_NOTICES_MAX];
    uint32_t n_notices;
    uint64_t n_notices_ever;
    /* error log */
    struct nvme_log_error_entry errors[NVMF_ELPE + 1];
    uint64_t n_errors;
    struct nvmf_features *features; /* its own or its id's */
    struct nvmf_features own_features;
};

enum nvmf_event { NVMF_EV_NS, NVMF_EV_ANA, NVMF_EV_DISCOVERY, NVMF_EV_RESV, NVMF_N_EVENTS };

/* ----------------------------------------------------------- connections */

enum nvmf_req_state {
    NVMF_REQ_DATA_IN,   /* in-capsule data is arriving */
    NVMF_REQ_WAIT_BUF,  /* for memory, to be asked for its data or to read into */
    NVMF_REQ_WAIT_DATA, /* R2T sent (or about to be), H2CData arrives */
    NVMF_REQ_FUSED,     /* first of a pair, complete */
    NVMF_REQ_HELD,      /* event request */
    NVMF_REQ_BUSY,      /* with the device or a task */
    NVMF_REQ_REPLY,
};

/* One command, from its capsule to the end of the send that carries its reply. */
struct nvmf_req {
    struct ash_list link; /* tx queue, buffer queue, held events, free list */
    struct nvmf_conn *conn;
    struct rt_job job;
    struct nvme_sqe sqe;
    uint16_t cid, slot, cid_next;
    uint8_t state;
    bool send_r2t, bad_digest, is_fused, is_second, preempted;
    uint32_t sgl_bytes;  /* what the host offers or has room for */
    uint32_t data_bytes; /* to send to the host */
    uint32_t got_bytes;  /* of the host's data */
    void *buf;           /* rt_buf */
    uint32_t buf_bytes;
    uint64_t charged_bytes;
    uint16_t status; /* enum nvme_status, NVME_STATUS_DNR: shifted when it is put on the wire */
    bool dnr, more;
    uint8_t crd;
    uint32_t dw0, dw1;
    uint16_t location;    /* for the error log */
    uint32_t task_status; /* of what was done on the control reactor */
    struct nvmf_local_ns *lns;
    struct nvmf_conn *target; /* Abort: whose command */
    struct nvmf_req *partner; /* of a fused pair: the first holds the second */
    struct iovec write_iov;   /* of the second of a pair */
    uint32_t n_ios, verified_blocks;
    int io_rc;
};

enum nvmf_rx { NVMF_RX_HEAD, NVMF_RX_DATA, NVMF_RX_DDGST };

struct nvmf_conn {
    /* control reactor */
    struct ash_list link;
    struct nvmf_server *srv;
    struct nvmf_ctrlr *ctrlr; /* control reactor only, once connected */
    struct nvmf_path *path;
    uint64_t listener_id;
    bool shut_posted, unassociated;
    bool moving, shut_wanted;           /* between Connect and its reactor: messages wait */
    bool messaged;                      /* something was posted to its reactor */
    const struct nvmf_req *preempt_req; /* the preempt that has been here; identity only */
    struct rt_timer connect_timer;      /* handshake limit; later: waits for an old queue */
    struct nvmf_req *connect_req;
    unsigned n_connect_tries;
    char traddr[64], trsvcid[16];
    bool ipv6;

    /* fixed, or handed over by messages */
    struct rt_reactor *reactor, *target;
    struct rt_sock *sock;
    struct rt_tls *tls; /* NULL: none */
    struct rt_job shut_job, gone_job, fence_job, move_job;
    struct nvmf_limits limits;
    struct nvmf_transport_opts opts;
    struct nvmf_group_stats *stats;
    uint16_t qid, sqsize;
    uint16_t n_slots; /* depth, or a few more */
    uint16_t depth;   /* commands at a time */
    bool is_admin, discovery, openebs;
    uint8_t hostid[16];
    char hostnqn[NVME_NQN_FIELD];
    const char *subnqn;
    struct nvmf_local *local; /* I/O queues */
    const uint8_t *ana;       /* of its path; NULL: no ANA */

    struct nvmf_auth
        *auth;   /* auth.c: the host has still to prove itself; own reactor, once connected */
    bool proven; /* [any] it has */

    /* own reactor */
    bool connected, counted;
    bool shutting;     /* its last commands are awaited, then we hang up */
    bool move_pending; /* to another reactor, when the send in flight has ended */
    bool hang_up;      /* when everything queued has been sent */
    bool fatal;        /* nothing but the TermReq is sent any more */
    bool sq_flow;
    uint16_t sqhd;
    struct nvme_ic_req ic;
    struct nvme_term_req term;
    uint8_t term_data[NVME_TERM_DATA_MAX];
    uint32_t n_term_data;
    bool term_pending, ic_resp_pending;

    /* receiving */
    struct nvmf_pdu_in {
        uint8_t stage; /* enum nvmf_rx */
        struct nvme_pdu_layout layout;
        uint8_t type;
        bool checked;
        struct nvmf_req *req; /* NULL: the data is thrown away */
        uint8_t *to;
        uint32_t got;
    } in;
    struct nvme_pdu_rules rx_rules, tx_rules;
    struct rt_op rx_op;
    struct iovec rx_iov[2];
    uint8_t *rx_buf; /* small or big */
    size_t rx_room, rx_head, rx_tail, rx_direct;
    bool rx_busy, rx_ended, rx_paused, rx_want_big, rx_give_back;
    uint32_t last_data_bytes;

    /* requests */
    struct nvmf_req **slots;
    uint16_t n_active, first_free; /* slots: free ones are a list of indices */
    uint16_t *next_free;
    uint16_t cid_heads[NVMF_CID_BUCKETS];
    uint32_t n_reqs, n_free;
    uint64_t inflight_bytes, n_seen, n_seen_at_timer;
    struct ash_list free_reqs, buf_waiters;
    struct nvmf_req *fused; /* first of a pair that waits for the second */
    struct rt_timer idle_timer, linger_timer;

    /* errors on their way to the controller's log */
    struct rt_job error_job;
    bool error_busy;
    uint32_t n_errors_lost, n_errors_told;
    struct nvme_log_error_entry error_entry;

    /* sending */
    struct rt_op tx_op;
    struct rt_job tx_job;
    bool tx_busy, tx_posted, tx_dead;
    struct ash_list tx_queue, tx_batch;
    uint32_t tx_n_iov;
    size_t tx_n_hdr;
    struct iovec tx_iov[NVMF_TX_IOVS];
    uint8_t tx_hdr[NVMF_TX_HDR_BYTES];
    uint8_t small[NVMF_SMALL_BYTES];
};
_Static_assert(sizeof(struct nvmf_conn) < 20 << 10, "memory of an idle connection: below 24 KiB");

#define NVMF_NO_SLOT 0xFFFFu
#define NVMF_COUNT(place, n)                                                                       \
    __atomic_store_n(&(place), __atomic_load_n(&(place), __ATOMIC_RELAXED) + (n), __ATOMIC_RELAXED)

static inline uint64_t nvmf_size_now(const struct bdev *bdev)
{
    return __atomic_load_n(&bdev->size_bytes, __ATOMIC_RELAXED);
}
static inline struct rt_reactor *nvmf_control(void)
{
    return rt_reactor(rt_world(), 0);
}

/* share.c */
void nvmf_shares_fini(struct nvmf_server *srv) ASH_MAY_WAIT;

/* server.c */
void nvmf_conn_gone(struct rt_job *job); /* control reactor */
void nvmf_shut(struct nvmf_conn *conn);  /* control reactor: have it finished off */
struct nvmf_listener *nvmf_get_listener(struct nvmf_server *srv, const struct nvmf_address *address,
                                        struct ash_err *err) ASH_MAY_WAIT;
struct nvmf_listener *nvmf_find_listener(const struct nvmf_server *srv,
                                         const struct nvmf_address *address);
void nvmf_put_listener(struct nvmf_listener *l) ASH_MAY_WAIT;
/* Run fn(arg, reactor index) as a task on every reactor in turn. */
void nvmf_on_all(void (*fn)(void *arg, unsigned idx), void *arg) ASH_MAY_WAIT;

/* subsystem.c */
struct nvmf_subsystem *nvmf_find_subsystem(const struct nvmf_server *srv, const char *nqn);
int nvmf_make_discovery(struct nvmf_server *srv, struct ash_err *err);
void nvmf_subsystem_close(struct nvmf_subsystem *sub) ASH_MAY_WAIT; /* lock held */
bool nvmf_host_allowed(const struct nvmf_subsystem *sub, const char *hostnqn);
struct nvmf_host *nvmf_find_host(const struct nvmf_subsystem *sub, const char *hostnqn);
struct nvmf_path *nvmf_find_path(const struct nvmf_subsystem *sub, uint64_t listener_id);
void nvmf_discovery_changed(struct nvmf_server *srv);
int nvmf_no_subsystem(const char *nqn, struct ash_err *err);
const char *nvmf_ana_name(unsigned state);

/* ns.c */
void nvmf_ns_close(struct nvmf_ns *ns) ASH_MAY_WAIT; /* lock held */
bool nvmf_ns_visible_to(const struct nvmf_ns *ns, const char *hostnqn);
/* The namespace if it is active and the controller may see it; control reactor. NULL. */
struct nvmf_ns *nvmf_ctrlr_ns(const struct nvmf_ctrlr *ctrlr, uint32_t nsid);
int nvmf_ns_publish(struct nvmf_ns *ns) ASH_MAY_WAIT; /* a new view of reservations and hosts */
void nvmf_ns_changed(struct nvmf_ns *ns);             /* tell all controllers */
void nvmf_sweep_retry(struct rt_timer *timer);
void nvmf_sum_counters(const struct nvmf_ns *ns, struct nvmf_counters *sum);
struct bdev_channel *nvmf_local_channel(struct nvmf_local_ns *lns); /* opens it when needed */
void nvmf_local_put(struct nvmf_local *local); /* a connection leaves; own reactor */

/* cntlid.c */
int nvmf_statics_init(struct nvmf_subsystem *sub, uint16_t n); /* 0 or -ENOMEM */
struct nvmf_ctrlr *nvmf_find_ctrlr(const struct nvmf_subsystem *sub, uint16_t cntlid);
/* May Connect ask for this id, FFFEh or FFFFh? Whether it is free is another question. */
bool nvmf_cntlid_ok(const struct nvmf_subsystem *sub, uint16_t cntlid);
/* Its id, and the features that come with it. False: none that was asked for is free. */
bool nvmf_take_cntlid(struct nvmf_ctrlr *ctrlr, uint16_t asked);

/* ctrlr.c: life of controllers, Connect, properties, keep alive */
void nvmf_connect(struct nvmf_req *req);
void nvmf_fabrics(struct nvmf_req *req); /* on a connected queue */
void nvmf_ctrlr_conn_gone(struct nvmf_conn *conn);
void nvmf_ctrlr_kill(struct nvmf_ctrlr *ctrlr);
void nvmf_ctrlr_alive(struct nvmf_ctrlr *ctrlr);
void nvmf_ctrlr_set_kato(struct nvmf_ctrlr *ctrlr, uint32_t kato_ms);
uint64_t nvmf_cap(const struct nvmf_server *srv);

void nvmf_conn_move(struct nvmf_conn *conn); /* to conn->reactor: Connect is answered there */

/* auth.c */
struct nvmf_auth *nvmf_auth_new(const struct nvmf_host *host); /* NULL: no memory */
void nvmf_auth_free(struct nvmf_auth *auth);
void nvmf_auth(struct nvmf_req *req); /* Authentication Send and Receive */
bool nvmf_is_auth(const struct nvme_sqe *sqe);

/* referral.c */
void nvmf_referrals_fini(struct nvmf_server *srv);

/* tls.c */
int nvmf_tls_init(struct nvmf_server *srv); /* 0 or -ENOMEM */
/* conn->tls, if the listener (NULL: none) wants it. 0 or -ENOMEM. */
int nvmf_tls_accept(struct nvmf_conn *conn, const struct nvmf_listener *l, struct rt_sock *sock);
static inline void nvmf_stream_submit(struct nvmf_conn *conn, struct rt_op *op)
{
    if (ASH_UNLIKELY(conn->tls))
        rt_tls_submit(conn->tls, op);
    else
        rt_op_submit(op);
}
static inline void nvmf_stream_cancel(struct nvmf_conn *conn, struct rt_op *op)
{
    if (conn->tls)
        rt_tls_cancel(conn->tls, op);
    else
        rt_op_cancel(op);
}
/* Is this the host, and that the subsystem, of the connection's key? Without TLS: has the host
 * none?
 */
bool nvmf_tls_fits(const struct nvmf_conn *conn, const struct nvmf_host *host,
                   const struct nvme_connect_data *data);
void nvmf_host_forget_psk(struct nvmf_host *host);

/* event.c */
void nvmf_event(struct nvmf_ctrlr *ctrlr, enum nvmf_event ev);
void nvmf_event_read(struct nvmf_ctrlr *ctrlr, enum nvmf_event ev); /* its log page was read */
void nvmf_aer(struct nvmf_req *req);
void nvmf_ns_note_changed(struct nvmf_ctrlr *ctrlr, uint32_t nsid);
void nvmf_log_error(struct nvmf_req *req); /* any reactor: req ends with an error */

/* admin.c */
void nvmf_admin(struct nvmf_req *req);
bool nvmf_admin_known(uint8_t opcode);
/* identify.c, log.c: fill req->buf; status. */
uint16_t nvmf_identify(struct nvmf_req *req);
/* A text field of n bytes, filled with spaces (docs/spec/nvme-tcp.md 4). */
void nvmf_put_text(char *to, size_t n, const char *text);
uint16_t nvmf_get_log_page(struct nvmf_req *req);
/* feature.c */
uint16_t nvmf_get_feature(struct nvmf_req *req);
void nvmf_set_feature(struct nvmf_req *req); /* replies by itself */
/* Data for the host in req->buf, zeroed; false: no memory. */
bool nvmf_reply_data(struct nvmf_req *req, uint32_t n_bytes);

/* resv.c */
void nvmf_resv_persist(struct nvmf_req *req); /* feature 83; replies by itself */
void nvmf_resv_start(struct nvmf_req *req);   /* own reactor; the work is done on the control one */
int nvmf_resv_load(struct nvmf_ns *ns, struct ash_err *err) ASH_MAY_WAIT;
bool nvmf_resv_allows(const struct nvmf_ns_view *view, const uint8_t hostid[16], bool write_like);
/* ptpl.c */
int nvmf_ptpl_save(struct nvmf_ns *ns) ASH_MAY_WAIT;
int nvmf_ptpl_load(struct nvmf_ns *ns, struct ash_err *err) ASH_MAY_WAIT;

/* conn.c: life, receiving */
int nvmf_conn_start(struct nvmf_server *srv, struct rt_sock *sock, struct nvmf_listener *l,
                    const struct nvmf_address *address, struct ash_err *err);
void nvmf_conn_shut(struct rt_job *job); /* own reactor */
void nvmf_conn_cut(struct nvmf_conn *conn);
void nvmf_conn_check_end(struct nvmf_conn *conn); /* conn may be gone afterwards */
void nvmf_fatal(struct nvmf_conn *conn, const struct nvme_pdu_fault *fault, const void *head,
                size_t n_head);
void nvmf_rx_resume(struct nvmf_conn *conn);
/* Memory for req's data. False: it waits; nvmf_io_start (or the R2T) comes when it has it. */
bool nvmf_want_buf(struct nvmf_req *req, uint32_t n_bytes);
void nvmf_rx_unpause(struct nvmf_conn *conn);

/* req.c */
struct nvmf_req *nvmf_req_get(struct nvmf_conn *conn); /* there is a slot; NULL: no memory */
void nvmf_req_put(struct nvmf_req *req);
void nvmf_req_release(struct nvmf_req *req); /* its slot and command id: the reply is on its way */
void nvmf_cid_insert(struct nvmf_req *req);  /* no other has its id */
struct nvmf_req *nvmf_find_cid(const struct nvmf_conn *conn, uint16_t cid);
/* From now on so many commands at a time. 0 or -ENOMEM */
int nvmf_conn_make_slots(struct nvmf_conn *conn, uint16_t depth);
void nvmf_free_spare_reqs(struct nvmf_conn *conn);

/* reply.c */
void nvmf_reply(struct nvmf_req *req); /* queue; leaves from the loop, later */
/* The same with a status (DNR as NVME_STATUS_DNR in it). */
void nvmf_fail(struct nvmf_req *req, uint32_t status);
void nvmf_send_r2t(struct nvmf_req *req);
void nvmf_tx_kick(struct nvmf_conn *conn);
void nvmf_tx_run(struct rt_job *job);

/* io.c */
/* May it be asked for its data? 0 or the status it fails with. */
uint32_t nvmf_io_check(struct nvmf_req *req);
void nvmf_io_start(struct nvmf_req *req); /* data, if any, is in req->buf */
/* In the order of arrival: does req begin, end or break a fused pair? 0 or the status it fails
 * with. */
uint32_t nvmf_fuse(struct nvmf_req *req);
void nvmf_fused_ready(struct nvmf_req *req);             /* the data of one of a pair is here */
void nvmf_io_end(struct nvmf_req *req, uint32_t status); /* leaves its namespace, replies */

#endif
