/* SPDX-License-Identifier: Apache-2.0 */
/* A stream with TLS 1.3 and a pre-shared key on a connected socket. Its operations are those of the
 * socket: RT_OP_RECV and RT_OP_SEND, one of each at a time, with the same results; whoever has a
 * stream gives them to rt_tls_submit instead of rt_op_submit.
 *
 *   server   the handshake is part of the first receive
 *   client   rt_tls_connect has done it when it returns
 *
 * Only keys, no certificates, always with an ephemeral exchange. A server looks up the key by the
 * identity that the client names first among those it knows. Between operations nothing is in
 * flight, so a stream may go to another reactor as its socket may. A record that was changed or a
 * handshake that failed makes a receive end with -EPROTO; the other side is told by an alert.
 *
 * OpenSSL brings random numbers of its own: in the simulator bytes on the wire differ from run to
 * run, their number and order does not. Source: docs/spec/nvme-tcp.md 9, 13. */
#ifndef ASH_RT_TLS_H
#define ASH_RT_TLS_H

#include "rt/rt.h"

enum { RT_TLS_IDENTITY_MAX = 512, RT_TLS_KEY_MAX = 48 };

struct rt_tls;
struct rt_tls_server;

struct rt_tls_key {
    uint8_t bytes[RT_TLS_KEY_MAX];
    uint8_t n_bytes; /* 32: AES-128-GCM and SHA-256; 48: AES-256-GCM and SHA-384 */
};

/* Called on the reactor of a connection, from inside its first receive. False: nobody of that name.
 */
typedef bool rt_tls_find(void *user, const char *identity, struct rt_tls_key *ret_key);

/* What all connections of a server share. NULL: no memory. */
struct rt_tls_server *rt_tls_server_new(rt_tls_find *find, void *user);
/* NULL is fine. Its streams are gone. */
void rt_tls_server_free(struct rt_tls_server *server);

/* NULL: no memory. The socket stays the caller's. */
struct rt_tls *rt_tls_accept(struct rt_tls_server *server, struct rt_sock *sock);
/* -EPROTO: the server does not speak TLS, or has another key for this identity or none; -ECONNRESET
 * it ended the connection; -ENOMEM; what the socket says. identity: shorter than
 * RT_TLS_IDENTITY_MAX. */
int rt_tls_connect(struct rt_sock *sock, const char *identity, const struct rt_tls_key *key,
                   struct rt_tls **ret_tls) ASH_MAY_WAIT;
/* No operation is in flight. NULL is fine. */
void rt_tls_free(struct rt_tls *tls);

/* RECV or SEND on tls's socket, as rt_op_submit. */
void rt_tls_submit(struct rt_tls *tls, struct rt_op *op);
/* As rt_op_cancel, of a receive. */
void rt_tls_cancel(struct rt_tls *tls, struct rt_op *op);
int64_t rt_tls_wait(struct rt_tls *tls, struct rt_op *op) ASH_MAY_WAIT;

/* Of a server: whom the key has proven; "" before the handshake is done. Lives with tls. */
const char *rt_tls_identity(const struct rt_tls *tls);

#endif
