/* SPDX-License-Identifier: Apache-2.0 */
/* The NVMe over TCP target: block devices as namespaces of NVM subsystems.
 *
 * A target has one TCP transport (limits), listeners, and subsystems. A subsystem has a name (NQN),
 * namespaces, listeners it may be reached by, hosts it admits, and controllers, one per connected
 * host and path. A discovery subsystem is always there, on every listener, open to anybody.
 *
 * All functions here belong to the control reactor. Admin queues live there too; I/O queues are
 * spread over all reactors. Names of members are those of SPDK's JSON-RPC.
 * Source: docs/spec/nvme-tcp.md, docs/spec/spdk-jsonrpc.md 9. */
#ifndef ASH_EXPORT_NVMF_NVMF_H
#define ASH_EXPORT_NVMF_NVMF_H

#include "base/err.h"
#include "base/method.h"
#include "base/uuid.h"
#include "bdev/bdev.h"
#include "pool/pool.h"
#include "rt/rt.h"

struct nvme_chap_key;
struct nvmf_server;

struct nvmf_limits {
    uint32_t max_connections;    /* more are closed at once. Default 4096 */
    uint32_t max_subsystems;     /* Default 2048 */
    uint64_t max_inflight_bytes; /* data buffers of one connection; what is beyond waits. 16 MiB */
    uint64_t handshake_ns;       /* from accept to a successful Connect. 15 s */
    uint64_t linger_ns;          /* after a fatal error, for the host to close. 5 s */
};

/* of nvmf_create_transport */
struct nvmf_transport_opts {
    uint16_t max_queue_depth;         /* 128 */
    uint16_t max_io_qpairs_per_ctrlr; /* 127 */
    uint32_t in_capsule_data_size;    /* 4096; of 16, at most 64 KiB */
    uint32_t max_io_size;             /* 131072; power of two, 4 KiB .. 4 MiB */
    uint32_t max_aq_depth;            /* 128 */
    bool c2h_success;                 /* true */
    uint16_t kas;                     /* keep-alive granularity, 100 ms; 10 */
    uint32_t min_kato_ms;             /* 1000 */
    /* kept for clients, without effect */
    uint32_t io_unit_size, num_shared_buffers, buf_cache_size, iobuf_small_cache_size,
        iobuf_large_cache_size, sock_priority, abort_timeout_sec, acceptor_poll_rate, ack_timeout,
        control_msg_num;
    bool zcopy, dif_insert_or_strip;
};
void nvmf_transport_defaults(struct nvmf_transport_opts *opts);

/* pools: for shares; NULL: none. */
int nvmf_server_create(struct bdev_mgr *mgr, struct pool_mgr *pools, struct nvmf_server **ret_srv,
                       struct ash_err *err) ASH_MAY_WAIT;
/* Cut all connections when their I/O has ended, close all devices. NULL is fine. */
void nvmf_server_destroy(struct nvmf_server *srv) ASH_MAY_WAIT;

void nvmf_get_limits(const struct nvmf_server *srv, struct nvmf_limits *ret_limits);
void nvmf_set_limits(struct nvmf_server *srv, const struct nvmf_limits *limits);

/* -EEXIST EXPORT_EXISTS, -EINVAL BAD_ARGUMENT. */
int nvmf_create_transport(struct nvmf_server *srv, const struct nvmf_transport_opts *opts,
                          struct ash_err *err);
const struct nvmf_transport_opts *nvmf_transport(const struct nvmf_server *srv); /* NULL: none */

/* ----------------------------------------------------------- subsystems */

struct nvmf_subsystem_opts {
    const char *nqn;
    const char *serial_number; /* NULL: twenty '0' */
    const char *model_number;  /* NULL: "Ashlar NVMe controller" */
    uint32_t max_namespaces;   /* 0: 32 */
    bool allow_any_host, ana_reporting;
    uint16_t min_cntlid, max_cntlid; /* 0: 1, 0xFFEF */
    uint16_t n_static_cntlids;       /* the lowest: only for hosts that ask for one of them */
    uint32_t dmrsl;                  /* blocks; 0: 2097152 */
    bool openebs; /* a full pool is told as Mayastor does (status 7/1Ch), and reads may ask for
                   * holes (docs/spec/mayastor-bdev-uris.md 8) */
};
/* -EINVAL BAD_NAME, BAD_ARGUMENT, -EEXIST EXPORT_EXISTS, -EBUSY EXPORT_LIMIT. */
int nvmf_create_subsystem(struct nvmf_server *srv, const struct nvmf_subsystem_opts *opts,
                          struct ash_err *err) ASH_MAY_WAIT;
/* Its controllers are gone and its devices closed when this returns. -ENOENT EXPORT_NOT_FOUND. */
int nvmf_delete_subsystem(struct nvmf_server *srv, const char *nqn,
                          struct ash_err *err) ASH_MAY_WAIT;

struct nvmf_ns_opts {
    const char *bdev_name;
    uint32_t nsid; /* 0: the first free one */
    bool has_nguid, has_eui64;
    uint8_t nguid[16], eui64[8]; /* without: the UUID, none */
    struct ash_uuid uuid;        /* nil: the device's */
    uint32_t anagrpid;           /* 0: nsid */
    bool no_auto_visible;        /* only hosts added by nvmf_ns_add_host see it */
    const char *ptpl_file; /* reservations persist through power loss here; NULL: they do not */
};
/* The device is opened for writing (read-only ones for reading) and claimed. */
int nvmf_add_ns(struct nvmf_server *srv, const char *nqn, const struct nvmf_ns_opts *opts,
                uint32_t *ret_nsid, struct ash_err *err) ASH_MAY_WAIT;
int nvmf_remove_ns(struct nvmf_server *srv, const char *nqn, uint32_t nsid,
                   struct ash_err *err) ASH_MAY_WAIT;
int nvmf_set_ns_ana_group(struct nvmf_server *srv, const char *nqn, uint32_t nsid,
                          uint32_t anagrpid, struct ash_err *err) ASH_MAY_WAIT;
/* Who sees a namespace of no_auto_visible. */
int nvmf_ns_visible(struct nvmf_server *srv, const char *nqn, uint32_t nsid, const char *host,
                    bool visible, struct ash_err *err) ASH_MAY_WAIT;

struct nvmf_address {
    const char *traddr, *trsvcid; /* "127.0.0.1", "4420"; trsvcid "0" chooses a port */
    bool ipv6;
    bool secure; /* nvmf_add_listener: TLS only */
};
/* ana_state: enum nvme_ana_state of all its groups, 0: optimized. ret_trsvcid (may be NULL): the
 * port, 16 bytes. nqn may be the discovery subsystem's. */
int nvmf_add_listener(struct nvmf_server *srv, const char *nqn, const struct nvmf_address *address,
                      unsigned ana_state, char *ret_trsvcid, struct ash_err *err) ASH_MAY_WAIT;
int nvmf_remove_listener(struct nvmf_server *srv, const char *nqn,
                         const struct nvmf_address *address, struct ash_err *err) ASH_MAY_WAIT;
/* anagrpid 0: all groups. */
int nvmf_set_ana_state(struct nvmf_server *srv, const char *nqn, const struct nvmf_address *address,
                       unsigned ana_state, uint32_t anagrpid, struct ash_err *err);

int nvmf_add_host(struct nvmf_server *srv, const char *nqn, const char *host, struct ash_err *err);
/* DH-HMAC-CHAP: what a host must prove that it has, and what we prove to it when it asks. Names are
 * for lists and configuration. ctrlr_key NULL: we have none. */
struct nvmf_host_keys {
    const char *key_name, *ctrlr_key_name;
    const struct nvme_chap_key *key, *ctrlr_key;
};
/* Of a host that was added; keys->key NULL: from now on it need not prove anything. Connections
 * that are there stay. -ENOENT EXPORT_NOT_FOUND. */
int nvmf_set_host_keys(struct nvmf_server *srv, const char *nqn, const char *host,
                       const struct nvmf_host_keys *keys, struct ash_err *err);
/* TLS: the host's key, which must be one of nvme_tls.h; from now on it is let in by TLS only. name:
 * for lists and configuration. -ENOENT EXPORT_NOT_FOUND, -EINVAL NVME_KEY the NQNs are too long. */
int nvmf_set_host_psk(struct nvmf_server *srv, const char *nqn, const char *host, const char *name,
                      const struct nvme_chap_key *key, struct ash_err *err);
/* Its connections are cut. */
int nvmf_remove_host(struct nvmf_server *srv, const char *nqn, const char *host,
                     struct ash_err *err) ASH_MAY_WAIT;
int nvmf_allow_any_host(struct nvmf_server *srv, const char *nqn, bool allow, struct ash_err *err);

/* Another discovery service, that ours tells of. -EEXIST EXPORT_EXISTS, -EBUSY EXPORT_LIMIT,
 * -EINVAL BAD_NAME, BAD_ARGUMENT; removing: -ENOENT EXPORT_NOT_FOUND. */
int nvmf_add_referral(struct nvmf_server *srv, const struct nvmf_address *address,
                      const char *subnqn, struct ash_err *err);
int nvmf_remove_referral(struct nvmf_server *srv, const struct nvmf_address *address,
                         const char *subnqn, struct ash_err *err);

uint32_t nvmf_n_connections(const struct nvmf_server *srv);

/* Serve one connected socket as if it had come by a listener of the target (tests). The server owns
 * it from here on, also when this fails. */
int nvmf_serve_sock(struct nvmf_server *srv, struct rt_sock *sock,
                    const struct nvmf_address *address, struct ash_err *err);

/* --------------------------------------------------------------- shares */

/* The address that shares are reached by: "tcp://ADDRESS:PORT". Default tcp://127.0.0.1:8420;
 * before the first share only. Source: docs/spec/mayastor-behaviour.md 5. */
int nvmf_set_share_address(struct nvmf_server *srv, const char *uri, struct ash_err *err);
/* From now on volumes whose attributes say so are shared as soon as their pool is open (daemons
 * want that, commands that open a disk for a moment do not). Once. */
void nvmf_restore_shares(struct nvmf_server *srv);
/* Export a volume under nqn.2019-05.io.openebs:NAME to hosts (none: to any), and keep that in the
 * volume's attributes, so that it is exported again whenever its pool is opened. Shared already:
 * the list of hosts is replaced. uri: "nvmf+tcp://ADDRESS:PORT/NQN?uuid=UUID" is appended. */
int nvmf_share(struct nvmf_server *srv, const char *volume, const char *const *hosts,
               size_t n_hosts, struct ash_buf *ret_uri, struct ash_err *err) ASH_MAY_WAIT;
/* 0 when it is not shared. */
int nvmf_unshare(struct nvmf_server *srv, const char *volume, struct ash_err *err) ASH_MAY_WAIT;

/* ---------------------------------------------------------- control faces */

/* nvmf_* methods of docs/spec/spdk-jsonrpc.md 9, nvmf_share, nvmf_unshare, nvmf_get_shares. */
extern const struct ash_method nvmf_methods[];
extern const struct ash_method nvmf_referral_methods[];
/* The calls that make transport, subsystems and what is in them again (shares come back by
 * themselves). */
void nvmf_dump_config(const struct nvmf_server *srv, struct ash_jsonw *w);
/* The server of an engine; the engine defines it. Never NULL while methods can run. */
struct nvmf_server *ash_engine_nvmf(struct ash_engine *engine);

#endif
