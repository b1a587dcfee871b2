/* SPDX-License-Identifier: Apache-2.0 */
/* The NBD server: exports block devices to NBD clients over Unix sockets and TCP.
 *
 * A server has any number of listeners and exports; each listener serves all exports, chosen by
 * name in the handshake. All functions here belong to the control reactor; connections are spread
 * over all reactors and live there. Source: docs/spec/nbd.md. */
#ifndef ASH_EXPORT_NBD_NBD_H
#define ASH_EXPORT_NBD_NBD_H

#include "base/err.h"
#include "base/method.h"
#include "bdev/bdev.h"
#include "rt/rt.h"

struct nbd_server;

struct nbd_limits {
    uint32_t max_connections;        /* of the server; more are closed at once. Default 4096 */
    uint32_t max_export_connections; /* of one export; more are refused. Default 1024 */
    uint32_t max_inflight_requests;  /* of one connection. Default 1024 */
    uint64_t max_inflight_bytes;     /* payload of one connection. Default 64 MiB */
    uint64_t handshake_ns;           /* time to reach transmission. Default 60 s */
    uint64_t grace_ns; /* how long clients of a removed export or a server that ends are answered
                        * ESHUTDOWN before they are cut off. Default 0.5 s */
};

int nbd_server_create(struct bdev_mgr *mgr, struct nbd_server **ret_srv,
                      struct ash_err *err) ASH_MAY_WAIT;
/* Soft shutdown: stop accepting, let requests in flight complete, answer new ones ESHUTDOWN for
 * the grace period, close everything. NULL is fine. */
void nbd_server_destroy(struct nbd_server *srv) ASH_MAY_WAIT;

void nbd_get_limits(const struct nbd_server *srv, struct nbd_limits *ret_limits);
void nbd_set_limits(struct nbd_server *srv, const struct nbd_limits *limits);

/* uri: "unix:///PATH" (mode 0600) or "tcp://ADDR:PORT" (port 0 chooses one). -EEXIST EXPORT_EXISTS
 * when it is listened on already; else what rt_listen says. */
int nbd_listen(struct nbd_server *srv, const char *uri, struct ash_err *err) ASH_MAY_WAIT;
/* uri as given or as bound. Connections stay. -ENOENT EXPORT_NOT_FOUND. */
int nbd_unlisten(struct nbd_server *srv, const char *uri, struct ash_err *err) ASH_MAY_WAIT;
/* Bound addresses in order of nbd_listen; NULL past the end. Valid until the next change. */
const char *nbd_listener_address(const struct nbd_server *srv, size_t idx);

/* Serve one connected socket (captive exports, tests). The server owns sock from here on, also
 * when this fails. -EBUSY EXPORT_LIMIT, -ENOMEM. */
int nbd_serve_sock(struct nbd_server *srv, struct rt_sock *sock, struct ash_err *err);

/* bdev: name, alias or UUID. name: NULL or "" means the name of the device. A read-only device is
 * exported read-only. description may be NULL. Errors: EXPORT_EXISTS, BAD_NAME, and those of
 * bdev_open. */
int nbd_add_export(struct nbd_server *srv, const char *bdev, const char *name, bool readonly,
                   const char *description, struct ash_err *err) ASH_MAY_WAIT;
/* Clients connected: -EBUSY EXPORT_BUSY unless force; then they are finished off as in
 * nbd_server_destroy. The device is closed when this returns. -ENOENT EXPORT_NOT_FOUND. */
int nbd_remove_export(struct nbd_server *srv, const char *name, bool force,
                      struct ash_err *err) ASH_MAY_WAIT;
/* The export that a client gets by the empty name; without one, the only export is. NULL: none. */
int nbd_set_default_export(struct nbd_server *srv, const char *name, struct ash_err *err);

struct nbd_counters {
    uint64_t n_reads, read_bytes, n_writes, write_bytes, n_flushes, n_trims, trim_bytes, n_zeroes,
        zeroes_bytes, n_status, n_errors;
};

struct nbd_export_info {
    const char *name, *description, *bdev;
    uint64_t size_bytes;
    bool read_only, is_default;
    uint32_t n_connections;
    struct nbd_counters counters; /* of all connections, those that have ended too */
};

/* fn must not wait nor change the server. */
void nbd_for_each_export(const struct nbd_server *srv,
                         void (*fn)(const struct nbd_export_info *info, void *arg), void *arg);
bool nbd_find_export(const struct nbd_server *srv, const char *name,
                     struct nbd_export_info *ret_info);   /* strings live until it is removed */
uint32_t nbd_n_connections(const struct nbd_server *srv); /* in handshake too */

/* URI of an export for clients ("nbd+unix:///NAME?socket=PATH") through listener idx. */
void nbd_export_uri(const struct nbd_server *srv, size_t listener_idx, const char *name,
                    struct ash_buf *out);

/* nbd_listen, nbd_unlisten, nbd_get_listeners, nbd_add_export, nbd_remove_export,
 * nbd_get_exports. */
extern const struct ash_method nbd_methods[];
/* The server of an engine; the engine defines it. Never NULL while methods can run. */
struct nbd_server *ash_engine_nbd(struct ash_engine *engine);

#endif
