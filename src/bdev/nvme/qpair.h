/* SPDX-License-Identifier: Apache-2.0 */
/* One queue pair of the initiator: a TCP connection to a controller, with its commands.
 *
 * A queue pair belongs to the reactor that opened it. It knows nothing of paths, namespaces and
 * retries: it tells its owner what became of each command, and once that the connection has failed.
 * After a failure nothing is sent any more, and what was in flight ends with -ENOTCONN as soon as
 * the kernel has let go of the buffers.
 *
 * Bounds: `depth` commands in flight, one R2T at a time for each, data in order and never beyond
 * what was asked for; whatever else the controller sends ends the connection.
 * Source: docs/spec/nvme-tcp.md sections 1 - 3, 10. */
#ifndef ASH_BDEV_NVME_QPAIR_H
#define ASH_BDEV_NVME_QPAIR_H

#include "base/nvme_chap.h"
#include "base/nvme_data.h"
#include "base/nvme_pdu.h"
#include "base/nvme_tls.h"
#include "bdev/bdev.h"
#include "rt/tls.h"

struct nvme_qpair;

enum { NVME_RX_BYTES = 64 << 10 };

/* A PDU on its way out: a head, then data_bytes of its command's data from data_at on. */
struct nvme_tx {
    struct ash_list link;
    uint32_t head_bytes, data_at, data_bytes;
    bool is_busy; /* queued or being sent */
    bool has_digest;
    struct le32 digest;
    uint8_t head[NVME_PDU_HEAD_MAX];
};

struct nvme_cmd {
    struct nvme_qpair *qp;
    struct ash_list link; /* qp->free, or qp->busy by age */
    uint16_t cid;
    bool in_use;
    bool to_device;     /* of its data */
    bool is_answered;   /* the reply is here, what is being sent is not over */
    bool is_untimed;    /* an event request: may take for ever */
    bool is_late;       /* its owner has been told */
    bool is_data_bad;   /* a data digest was wrong */
    bool in_r2t;        /* sending what an R2T asks for */
    struct bdev_io *io; /* NULL: done is told */
    struct nvme_cmd *mate;
    uint16_t mate_status;
    void (*done)(struct nvme_cmd *cmd); /* the slot is free again after it */
    void *user;
    const struct iovec *iov;
    uint32_t n_iov;
    uint32_t data_bytes, n_moved; /* n_moved: in order, received or handed to the connection */
    uint32_t r2t_end;
    uint16_t ttag;
    uint64_t begin_ns;
    struct nvme_cqe cqe;
    int rc; /* 0: cqe counts; -ENOTCONN the connection has failed */
    struct nvme_dsm_range range;
    struct iovec own_iov;
    struct nvme_tx tx;
};

struct nvme_qpair_opts {
    const char *address; /* tcp://HOST:PORT */
    const char *subnqn, *hostnqn;
    uint8_t hostid[16];
    const struct nvme_chap_key *chap_key, *chap_ctrlr_key; /* NULL: none; the owner's */
    const struct nvme_tls_psk *psk;                        /* NULL: no TLS */
    uint16_t qid;
    uint16_t cntlid; /* of the admin queue's reply; NVME_CNTLID_DYNAMIC for that */
    uint16_t depth;  /* commands in flight */
    uint32_t kato_ms;
    bool hdgst, ddgst;
    uint64_t connect_timeout_ns; /* of each step */
    uint64_t timeout_ns;         /* of a command; 0: none */
    /* Each io that was submitted: rc 0 and status (enum nvme_status with NVME_STATUS_DNR), or rc.
     */
    void (*io_done)(struct nvme_qpair *qp, struct bdev_io *io, uint16_t status, int rc);
    void (*failed)(struct nvme_qpair *qp); /* once; never from inside a submit */
    /* A command is overdue. True: wait as long again; false: the connection fails. */
    bool (*late)(struct nvme_qpair *qp, struct nvme_cmd *cmd);
    void *owner;
};

struct nvme_qpair {
    struct nvme_qpair_opts opts; /* the texts are the owner's */
    struct ash_list link;        /* of the owner */
    struct rt_sock *sock;
    struct rt_tls *tls; /* NULL: none */
    uint16_t cntlid;
    bool has_failed;
    bool is_by_peer; /* the controller ended it */
    char why[96];    /* what ended it */
    struct nvme_pdu_rules out_rules, in_rules;
    uint32_t max_h2c_bytes, in_capsule_bytes;
    struct nvme_cmd *cmds;
    struct ash_list free, busy;
    uint32_t n_busy;
    /* sending */
    struct ash_list tx_queue, tx_sending;
    struct rt_op send;
    struct rt_job send_job;
    bool is_sending, is_send_posted;
    struct iovec *send_iov;
    /* receiving: see qpair_recv.c */
    struct rt_op recv;
    bool is_receiving;
    struct nvme_rx {
        uint8_t *buf;
        size_t at, n;
        int phase;
        uint32_t n_head;
        uint8_t head[NVME_PDU_HEAD_MAX + 8];
        struct nvme_pdu_layout layout;
        struct nvme_cmd *cmd;  /* of the data that come; NULL: they are thrown away */
        uint32_t left_bytes;   /* of the phase */
        uint32_t direct_bytes; /* the running receive goes to the command's own buffers first */
        uint32_t digest;
        struct iovec iov[18];
    } rx;
    struct rt_timer timer;
    struct rt_event *closing; /* set when the last op has ended */
};

/* Connect, agree on digests, say Connect. -ETIMEDOUT, -ECONNREFUSED, -EACCES the controller refuses
 * this host, -EPROTO it does not keep the protocol, ...; err has the reason. */
int nvme_qpair_open(const struct nvme_qpair_opts *opts, struct nvme_qpair **ret_qp,
                    struct ash_err *err) ASH_MAY_WAIT;
/* End the connection. Commands in flight end with -ENOTCONN, oldest first. NULL is fine. */
void nvme_qpair_close(struct nvme_qpair *qp) ASH_MAY_WAIT;
/* Give up on the connection. why: for people. */
void nvme_qpair_fail(struct nvme_qpair *qp, const char *fmt, ...) ASH_PRINTF(2, 3);
/* The controller has given up on it. */
void nvme_qpair_fail_by_peer(struct nvme_qpair *qp, const char *fmt, ...) ASH_PRINTF(2, 3);

/* A command for io with its data; false: no slot is free, nothing was done. */
bool nvme_qpair_submit(struct nvme_qpair *qp, struct bdev_io *io, const struct nvme_sqe *sqe,
                       const struct iovec *iov, uint32_t n_iov, uint32_t data_bytes,
                       bool to_device);
/* Two commands one behind the other that the controller runs as one (section 5); one io_done. */
bool nvme_qpair_submit_fused(struct nvme_qpair *qp, struct bdev_io *io, struct nvme_sqe sqe[2],
                             const struct iovec *const iov[2], const uint32_t n_iov[2],
                             uint32_t data_bytes);
/* A deallocation of one range; the range lives in the command. */
bool nvme_qpair_submit_dsm(struct nvme_qpair *qp, struct bdev_io *io, uint32_t nsid, uint64_t slba,
                           uint32_t n_blocks);
/* A command without io: done(cmd) runs once, cmd->rc and cmd->cqe tell. NULL: no slot. */
struct nvme_cmd *nvme_qpair_start(struct nvme_qpair *qp, const struct nvme_sqe *sqe, void *data,
                                  uint32_t data_bytes, bool to_device, bool is_untimed,
                                  void (*done)(struct nvme_cmd *cmd), void *user);

/* The task form: 0 and the reply, whatever its status; -ENOTCONN, -EBUSY no slot. */
int nvme_exec(struct nvme_qpair *qp, const struct nvme_sqe *sqe, void *data, uint32_t data_bytes,
              bool to_device, struct nvme_cqe *ret_cqe) ASH_MAY_WAIT;

static inline uint16_t nvme_cqe_status(const struct nvme_cqe *cqe)
{
    uint16_t field = ash_le16_get(cqe->status);
    return nvme_status_sc(field) | (field & NVME_STATUS_DNR);
}

/* chap.c: prove that we have the host's key, and see that the controller has its own, if we know
 * it. -EACCES NVME_AUTH. */
int nvme_qpair_authenticate(struct nvme_qpair *qp, struct ash_err *err) ASH_MAY_WAIT;

/* qpair.c and qpair_recv.c to each other */
static inline void nvme_stream_submit(struct nvme_qpair *qp, struct rt_op *op)
{
    if (ASH_UNLIKELY(qp->tls))
        rt_tls_submit(qp->tls, op);
    else
        rt_op_submit(op);
}
void nvme_rx_start(struct nvme_qpair *qp);
void nvme_qpair_op_ended(struct nvme_qpair *qp);
void nvme_cmd_answered(struct nvme_cmd *cmd, const struct nvme_cqe *cqe);
bool nvme_cmd_r2t(struct nvme_cmd *cmd, uint16_t ttag, uint32_t from, uint32_t n_bytes);
/* Up to n_max pieces of the command's data from `at` on, n_bytes at most; returns how many. */
uint32_t nvme_cmd_slice(const struct nvme_cmd *cmd, uint32_t at, uint32_t n_bytes,
                        struct iovec *ret, uint32_t n_max, uint32_t *ret_bytes);

#endif
