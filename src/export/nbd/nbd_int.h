/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the NBD server share. Who touches what:
 *
 *   nbd_server, nbd_export, listeners   control reactor only. A connection reads the descriptor and
 *                                       the read-only bit of the export it is attached to; they do
 *                                       not change while anything is attached.
 *   nbd_conn                            its own reactor, but for the part marked so.
 *
 * Life of a connection: accepted (control) -> handshake task (own reactor) -> attached to an export
 * by a call to the control reactor -> transmission, callbacks only -> released (channel put, export
 * free to go) -> gone (message to the control reactor, which frees it).
 * Every attach is followed by exactly one release, every connection ends by exactly one gone. */
#ifndef ASH_EXPORT_NBD_INT_H
#define ASH_EXPORT_NBD_INT_H

#include "base/assert.h"
#include "base/htab.h"
#include "base/list.h"
#include "export/nbd/nbd.h"
#include "export/nbd/nbd_proto.h"

#define NBD_SMALL_BYTES     8192u        /* receive buffer of an idle or lightly used connection */
#define NBD_BIG_BYTES       (256u << 10) /* of a busy one; given back when idle */
#define NBD_TX_IOVS         128u
#define NBD_TX_HDR_BYTES    4096u
#define NBD_READ_CHUNKS     16u /* data and hole runs in one READ reply */
#define NBD_ERROR_TEXT      160u
#define NBD_IDLE_NS         1000000000ull /* without requests for so long: give buffers back */
#define NBD_AREA_READ_BYTES (32u << 10)   /* shorter reads are not worth a look at the map */
#define NBD_OPTION_MAX      (64u << 10)   /* longer options are answered TOO_BIG ... */
#define NBD_OPTION_DISCARD  (1u << 20)    /* ... and beyond this the connection ends */
#define NBD_OPTIONS_MAX     4096u
#define NBD_QUERIES_MAX     64u
#define NBD_STATUS_EXTENTS  8192u  /* descriptors in one BLOCK_STATUS chunk */
#define NBD_STATUS_WALK     65536u /* areas looked at for one BLOCK_STATUS */

/* Contexts are bits; a context's id is the place of its bit + 1. From NBD_META_SINCE on: one dirty
 * bitmap per ancestor of the volume, "since" that snapshot. */
enum { NBD_META_ALLOCATION = 1u << 0, NBD_META_DEPTH = 1u << 1, NBD_META_SINCE_SHIFT = 2 };
enum { NBD_ANCESTORS_MAX = 16 };

struct nbd_conn;

struct nbd_export {
    struct ash_hnode node; /* server->exports while it can be found */
    struct ash_list link;  /* server->export_list; gone from there when closed */
    struct nbd_server *srv;
    char *name, *description;
    struct bdev_desc *desc;
    struct bdev *bdev;
    bool read_only;
    bool opening; /* name taken, device not open yet */
    bool removed; /* its device went away meanwhile */
    bool closing; /* cannot be found any more; its connections are being finished off */
    uint32_t n_attached;
    struct ash_list conns;
    struct nbd_counters ended; /* sums of connections that were released */
    struct rt_timer retry;     /* closing after REMOVE could not get a task */
};

struct nbd_listener {
    struct ash_list link;
    struct nbd_server *srv;
    struct rt_sock *sock;
    char *uri;
    struct rt_op op;
    struct rt_timer retry;
    bool op_busy, closing;
};

struct nbd_server {
    struct bdev_mgr *mgr;
    struct nbd_limits limits;
    struct ash_htab exports;
    struct ash_list export_list, listeners, conns;
    struct nbd_export *dflt;
    uint32_t n_conns;
    uint32_t n_busy; /* calls that wait while they use the server */
    unsigned next_reactor;
    bool stopping;
    struct rt_waitq changed; /* something ended: look again */
};

/* What a client may know about an export, copied for the handshake. */
struct nbd_export_view {
    char *name, *description;
    uint64_t size_bytes;
    uint16_t flags; /* without SEND_DF */
    struct nbd_ancestor {
        char name[64];
        uint64_t id;
    } ancestors[NBD_ANCESTORS_MAX]; /* nearest first */
    unsigned n_ancestors;
};
void nbd_export_view_free(struct nbd_export_view *view);

struct nbd_chunk {
    uint32_t offset, length; /* relative to the request */
    bool hole;
};

enum nbd_step { NBD_STEP_MAIN, NBD_STEP_EDGES, NBD_STEP_FLUSH };

/* One request, from its header to the end of the send that carries its reply. */
struct nbd_req {
    struct ash_list link; /* reply queue, flush queue, free list */
    struct nbd_conn *conn;
    uint64_t cookie, offset;
    uint32_t length;
    uint16_t flags, type;
    uint16_t error; /* enum nbd_error */
    uint16_t n_ios; /* inside the device */
    uint8_t step;
    bool has_error_offset, started;
    const char *text; /* literal; why it failed */
    uint64_t error_offset;
    void *buf; /* rt_buf */
    size_t buf_bytes;
    uint64_t charged_bytes;  /* of the connection's payload limit */
    uint32_t n_status_bytes; /* BLOCK_STATUS: length of the ready chunks in buf */
    uint16_t n_chunks;       /* READ with holes; 0: one data chunk */
    struct nbd_chunk *chunks;
    struct ash_list riders; /* FLUSH: others that this one speaks for */
};

struct nbd_conn {
    /* control reactor */
    struct ash_list link, exp_link;
    struct nbd_server *srv;
    struct nbd_export *attached; /* until released */
    bool shut_posted;

    /* fixed, or handed over by messages */
    struct rt_reactor *reactor;
    struct rt_sock *sock;
    struct rt_job shut_job, release_job, gone_job, fence_job;
    struct nbd_limits limits;
    struct nbd_counters counters; /* written here only, read by the control reactor: relaxed */

    /* own reactor */
    struct nbd_export *exp;
    struct bdev_channel *ch; /* NULL once released */
    struct rt_timer timer;   /* handshake limit, later: idle */
    struct rt_timer grace;
    bool fixed_newstyle, no_zeroes, structured, read_only;
    bool transmitting, shutting, released, release_posted;
    uint32_t contexts; /* NBD_META_ bits in force */
    char *meta_export; /* of the last successful SET_META_CONTEXT */
    uint32_t meta_contexts;
    uint64_t meta_since[NBD_ANCESTORS_MAX]; /* ids of the ancestors that the bits mean */

    /* receiving */
    struct rt_op rx_op;
    struct iovec rx_iov[2];
    uint8_t *rx_buf; /* small or big */
    size_t rx_room, rx_head, rx_tail, rx_direct;
    struct nbd_req *rx_req; /* WRITE whose payload is arriving; buf NULL: is thrown away */
    size_t rx_got;
    uint32_t last_write_bytes;
    bool rx_busy, rx_ended, rx_stalled, rx_want_big, rx_give_back;

    /* requests */
    uint32_t n_reqs, n_free;
    uint32_t n_started; /* use the device; not answered yet */
    uint64_t inflight_bytes, n_seen, n_seen_at_timer;
    struct ash_list free_reqs;
    struct ash_list flush_waiters;
    bool flush_busy;

    /* sending */
    struct rt_op tx_op;
    struct rt_job tx_job;
    bool tx_busy, tx_posted, tx_dead;
    struct ash_list tx_queue, tx_batch;
    uint32_t tx_n_iov;
    size_t tx_n_hdr;
    struct iovec tx_iov[NBD_TX_IOVS];
    uint8_t tx_hdr[NBD_TX_HDR_BYTES];
    uint8_t small[NBD_SMALL_BYTES];
};
_Static_assert(sizeof(struct nbd_conn) < 24 << 10, "memory of an idle connection: below 32 KiB");

#define NBD_COUNT(conn, field, n)                                                                  \
    __atomic_store_n(&(conn)->counters.field, (conn)->counters.field + (n), __ATOMIC_RELAXED)

static inline uint64_t nbd_size_now(const struct bdev *bdev)
{
    return __atomic_load_n(&bdev->size_bytes, __ATOMIC_RELAXED);
}

/* server.c: questions of a connection to the control reactor; from its handshake task. */
/* -ENOENT, -ENOMEM, -ESHUTDOWN. Free the view. */
int nbd_ask_export(struct nbd_conn *conn, const char *name,
                   struct nbd_export_view *ret_view) ASH_MAY_WAIT;
/* As above and attach: -EMFILE when the export has too many connections. */
int nbd_ask_attach(struct nbd_conn *conn, const char *name,
                   struct nbd_export_view *ret_view) ASH_MAY_WAIT;
/* All replies to NBD_OPT_LIST but the ACK. */
int nbd_ask_list(struct nbd_conn *conn, struct ash_buf *out) ASH_MAY_WAIT;
void nbd_conn_released(struct rt_job *job); /* control reactor */
void nbd_conn_gone(struct rt_job *job);     /* control reactor */

/* handshake.c */
void nbd_handshake_task(void *arg) ASH_MAY_WAIT;
void nbd_put_option_reply(struct ash_buf *out, uint32_t option, uint32_t type, const void *data,
                          size_t n_bytes);

/* conn.c: life, receiving, sending */
void nbd_conn_shut(struct rt_job *job); /* own reactor: finish off */
void nbd_conn_release(struct nbd_conn *conn);
void nbd_conn_end(struct nbd_conn *conn);
void nbd_conn_transmit(struct nbd_conn *conn);
void nbd_conn_cut(struct nbd_conn *conn);
void nbd_conn_check_end(struct nbd_conn *conn); /* conn may be gone afterwards */
struct nbd_req *nbd_req_get(struct nbd_conn *conn);
void nbd_req_put(struct nbd_req *req);
void nbd_rx_resume(struct nbd_conn *conn);

/* reply.c */
void nbd_reply(struct nbd_req *req); /* queue;the answer leaves from the loop, later */
void nbd_tx_kick(struct nbd_conn *conn);
void nbd_tx_run(struct rt_job *job);

/* transmit.c */
/* Look at a request: NBD_OK or the error it will be answered with, req->text set. */
enum nbd_error nbd_check(struct nbd_req *req);
/* Start a request whose payload, if any, is in req->buf. Always ends in nbd_reply, later. */
void nbd_start(struct nbd_req *req);
enum nbd_error nbd_error_of(int rc);

/* status.c */
/* Fill req->buf with the chunks of a BLOCK_STATUS reply. */
enum nbd_error nbd_status(struct nbd_req *req);
/* Runs of zeroes that need no reading: fills chunks[NBD_READ_CHUNKS], returns their number, or 0
 * when there are none worth it. */
unsigned nbd_read_map(struct nbd_req *req, struct nbd_chunk *chunks);

#endif
