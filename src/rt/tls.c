/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL sees no socket: it reads from a buffer that received bytes are put into (in), and writes
 * into one of two that take turns: while one is sent, what comes goes to the other.
 *
 * A receive first asks OpenSSL, which may have data already, then the socket. What OpenSSL wants to
 * say by itself (handshake, alerts, answers to new keys) is sent as part of a receive, which does
 * not end before, or goes along with a send that is in flight. */
#include "rt/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/assert.h"

enum {
    CIPHER_BYTES = 32 << 10,    /* of one receive of the socket */
    SEND_BYTES_MAX = 256 << 10, /* of one send of the socket, and a record more */
    RECORD_BYTES = 16 << 10,
};

struct rt_tls_server {
    SSL_CTX *ctx;
    rt_tls_find *find;
    void *user;
};

struct rt_tls {
    struct rt_tls_server *server; /* NULL: a client */
    struct rt_sock *sock;
    SSL *ssl;
    BIO *in, *out[2];
    unsigned out_idx;
    char identity[RT_TLS_IDENTITY_MAX];
    struct rt_tls_key key;
    bool is_known; /* a server: key is that of identity */
    /* the caller's operations; NULL: none */
    struct rt_op *recv, *send;
    bool has_recv_res; /* its result: it ends when what we say by ourselves has been sent */
    int64_t recv_res;
    bool is_cancelled;
    uint32_t send_iov; /* how far it has been encrypted */
    size_t send_at;
    int64_t send_bytes;
    /* the socket's */
    struct rt_op raw_recv, raw_send;
    struct iovec send_piece;
    bool is_receiving, is_sending;
    struct rt_job recv_job, send_job;
    bool is_recv_posted, is_send_posted; /* the jobs: nothing ends before they have run */
    uint8_t cipher[CIPHER_BYTES];
};

/* -------------------------------------------------------------------- keys */

static const char *suite_of(const struct rt_tls_key *key)
{
    return key->n_bytes == 48 ? "TLS_AES_256_GCM_SHA384" : "TLS_AES_128_GCM_SHA256";
}

/* The key as OpenSSL wants it. NULL: no memory. */
static SSL_SESSION *session_of(SSL *ssl, const struct rt_tls_key *key)
{
    static const uint8_t ids[2][2] = {{0x13, 0x01}, {0x13, 0x02}};
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, ids[key->n_bytes == 48]);
    SSL_SESSION *s = SSL_SESSION_new();
    if (s && cipher && SSL_SESSION_set1_master_key(s, key->bytes, key->n_bytes) &&
        SSL_SESSION_set_cipher(s, cipher) && SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION))
        return s;
    SSL_SESSION_free(s);
    return NULL;
}

/* The client is asked for its identity. md: the hash that was chosen, after a first refusal. */
static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **ret_id, size_t *ret_n,
                       SSL_SESSION **ret_session)
{
    struct rt_tls *tls = SSL_get_app_data(ssl);
    *ret_session = NULL;
    if (md && EVP_MD_get_size(md) != tls->key.n_bytes)
        return 1;
    *ret_id = (const unsigned char *)tls->identity;
    *ret_n = strlen(tls->identity);
    *ret_session = session_of(ssl, &tls->key);
    return *ret_session != NULL;
}

/* One that the client has named. */
static int find_session(SSL *ssl, const unsigned char *id, size_t n, SSL_SESSION **ret_session)
{
    struct rt_tls *tls = SSL_get_app_data(ssl);
    *ret_session = NULL;
    if (!tls->is_known || n != strlen(tls->identity) || memcmp(id, tls->identity, n) != 0)
        return 1;
    *ret_session = session_of(ssl, &tls->key);
    return *ret_session != NULL;
}

static bool know(struct rt_tls *tls, const uint8_t *id, size_t n)
{
    if (n == 0 || n >= sizeof(tls->identity) || memchr(id, 0, n))
        return false;
    memcpy(tls->identity, id, n);
    tls->identity[n] = 0;
    tls->is_known = tls->server->find(tls->server->user, tls->identity, &tls->key);
    return tls->is_known;
}

/* The first identity that is known decides which cipher it will be, since a key belongs to a hash
 * and the client may offer others too. Extension: u16 bytes of the list, then each u16 n, the
 * identity, u32 age; binders after it (RFC 8446, 4.2.11). */
static int look_at_hello(SSL *ssl, int *alert, void *arg)
{
    struct rt_tls *tls = SSL_get_app_data(ssl);
    const unsigned char *ext;
    size_t n_ext, at = 2;
    (void)arg;
    *alert = SSL_AD_HANDSHAKE_FAILURE;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &ext, &n_ext) || n_ext < 2)
        return SSL_CLIENT_HELLO_ERROR;
    size_t end = 2 + ((size_t)ext[0] << 8 | ext[1]);
    if (end > n_ext)
        return SSL_CLIENT_HELLO_ERROR;
    while (end - at >= 2) {
        size_t n = (size_t)ext[at] << 8 | ext[at + 1];
        if (end - at - 2 < n + 4)
            return SSL_CLIENT_HELLO_ERROR;
        if (know(tls, ext + at + 2, n))
            return SSL_set_ciphersuites(ssl, suite_of(&tls->key)) ? SSL_CLIENT_HELLO_SUCCESS
                                                                  : SSL_CLIENT_HELLO_ERROR;
        at += n + 6;
    }
    return SSL_CLIENT_HELLO_ERROR;
}

/* ----------------------------------------------------------- making and ending */

static SSL_CTX *ctx_new(bool is_server)
{
    SSL_CTX *ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL); /* a client: no certificate is good enough */
    if (is_server) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_client_hello_cb(ctx, look_at_hello, NULL);
        SSL_CTX_set_psk_find_session_callback(ctx, find_session);
    } else {
        SSL_CTX_set_psk_use_session_callback(ctx, use_session);
    }
    return ctx;
}

struct rt_tls_server *rt_tls_server_new(rt_tls_find *find, void *user)
{
    struct rt_tls_server *server = rt_alloc(sizeof(*server));
    if (!server)
        return NULL;
    *server = (struct rt_tls_server){ctx_new(true), find, user};
    if (server->ctx)
        return server;
    rt_free(server);
    return NULL;
}

void rt_tls_server_free(struct rt_tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->ctx);
    rt_free(server);
}

static void recv_step(struct rt_tls *tls);

static void recv_from_loop(struct rt_job *job)
{
    struct rt_tls *tls = ash_container_of(job, struct rt_tls, recv_job);
    tls->is_recv_posted = false;
    recv_step(tls);
}

static void post_recv(struct rt_tls *tls)
{
    if (!tls->is_recv_posted)
        rt_post(rt_self(), &tls->recv_job);
    tls->is_recv_posted = true;
}

static void set_recv_res(struct rt_tls *tls, int64_t res)
{
    if (!tls->has_recv_res)
        tls->recv_res = res;
    tls->has_recv_res = true;
}

static void send_from_loop(struct rt_job *job);

static struct rt_tls *tls_new(SSL_CTX *ctx, struct rt_sock *sock)
{
    struct rt_tls *tls = rt_alloc(sizeof(*tls));
    if (!tls)
        return NULL;
    tls->sock = sock;
    tls->recv_job.run = recv_from_loop;
    tls->send_job.run = send_from_loop;
    tls->ssl = SSL_new(ctx);
    tls->in = BIO_new(BIO_s_mem());
    tls->out[0] = BIO_new(BIO_s_mem());
    tls->out[1] = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->in || !tls->out[0] || !tls->out[1]) {
        rt_tls_free(tls);
        return NULL;
    }
    SSL_set_app_data(tls->ssl, tls);
    BIO_up_ref(tls->in);
    SSL_set0_rbio(tls->ssl, tls->in);
    BIO_up_ref(tls->out[0]);
    SSL_set0_wbio(tls->ssl, tls->out[0]);
    return tls;
}

struct rt_tls *rt_tls_accept(struct rt_tls_server *server, struct rt_sock *sock)
{
    struct rt_tls *tls = tls_new(server->ctx, sock);
    if (!tls)
        return NULL;
    tls->server = server;
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void rt_tls_free(struct rt_tls *tls)
{
    if (!tls)
        return;
    ASH_ASSERT(!tls->recv && !tls->send && !tls->is_receiving && !tls->is_sending);
    SSL_free(tls->ssl);
    BIO_free(tls->in);
    BIO_free(tls->out[0]);
    BIO_free(tls->out[1]);
    OPENSSL_cleanse(tls, sizeof(*tls));
    rt_free(tls);
}

const char *rt_tls_identity(const struct rt_tls *tls)
{
    return tls->is_known && SSL_is_init_finished(tls->ssl) ? tls->identity : "";
}

/* ----------------------------------------------------------------- sending */

static bool has_output(const struct rt_tls *tls)
{
    return BIO_ctrl_pending(tls->out[tls->out_idx]) > 0;
}

static void raw_send_done(struct rt_op *op);

/* What is in out goes to the socket; what OpenSSL says meanwhile comes after it. */
static void send_output(struct rt_tls *tls)
{
    BIO *full = tls->out[tls->out_idx];
    char *data;
    long n = BIO_get_mem_data(full, &data);
    ASH_ASSERT(!tls->is_sending && n > 0);
    tls->out_idx ^= 1;
    BIO_up_ref(tls->out[tls->out_idx]);
    SSL_set0_wbio(tls->ssl, tls->out[tls->out_idx]);
    tls->send_piece = (struct iovec){data, (size_t)n};
    tls->raw_send = (struct rt_op){.kind = RT_OP_SEND,
                                   .sock = tls->sock,
                                   .iov = &tls->send_piece,
                                   .n_iov = 1,
                                   .done = raw_send_done};
    tls->is_sending = true;
    rt_op_submit(&tls->raw_send);
}

/* The next of the caller's data. False: it cannot be. */
static bool encrypt_some(struct rt_tls *tls)
{
    struct rt_op *op = tls->send;
    while (tls->send_iov < op->n_iov && BIO_ctrl_pending(tls->out[tls->out_idx]) < SEND_BYTES_MAX) {
        const struct iovec *v = &op->iov[tls->send_iov];
        size_t n = ASH_MIN(v->iov_len - tls->send_at, (size_t)RECORD_BYTES), done = 0;
        ERR_clear_error();
        if (n && !SSL_write_ex(tls->ssl, (const char *)v->iov_base + tls->send_at, n, &done))
            return false;
        tls->send_at += done;
        tls->send_bytes += (int64_t)done;
        if (tls->send_at == v->iov_len) {
            tls->send_iov++;
            tls->send_at = 0;
        }
    }
    return true;
}

static void send_over(struct rt_tls *tls, int64_t res)
{
    struct rt_op *op = tls->send;
    tls->send = NULL;
    if (tls->recv) /* it may have waited for what was said along with this */
        post_recv(tls);
    op->res = res;
    op->done(op);
}

/* Go on with the caller's send. */
static void send_step(struct rt_tls *tls)
{
    if (tls->is_sending || tls->is_send_posted)
        return;
    bool ok = encrypt_some(tls);
    if (has_output(tls))
        send_output(tls);
    else
        send_over(tls, ok ? tls->send_bytes : -EPROTO);
}

static void send_from_loop(struct rt_job *job)
{
    struct rt_tls *tls = ash_container_of(job, struct rt_tls, send_job);
    tls->is_send_posted = false;
    send_step(tls);
}

static void raw_send_done(struct rt_op *op)
{
    struct rt_tls *tls = ash_container_of(op, struct rt_tls, raw_send);
    (void)BIO_reset(tls->out[tls->out_idx ^ 1]);
    tls->is_sending = false;
    if (op->res < 0 && tls->recv && !tls->is_receiving)
        set_recv_res(tls, op->res);
    if (tls->send && op->res < 0 && !tls->is_send_posted)
        send_over(tls, op->res);
    else if (tls->send)
        send_step(tls);
    else if (tls->recv)
        recv_step(tls);
}

/* --------------------------------------------------------------- receiving */

/* What OpenSSL has for op: bytes, 0 at the end, -EAGAIN when the socket must bring more. */
static int64_t decrypt(struct rt_tls *tls, struct rt_op *op)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < op->n_iov; i++) {
        size_t at = 0;
        while (at < op->iov[i].iov_len) {
            size_t got = 0;
            ERR_clear_error();
            if (!SSL_read_ex(tls->ssl, (char *)op->iov[i].iov_base + at, op->iov[i].iov_len - at,
                             &got)) {
                int why = SSL_get_error(tls->ssl, 0);
                return total                          ? total
                       : why == SSL_ERROR_WANT_READ   ? -EAGAIN
                       : why == SSL_ERROR_ZERO_RETURN ? 0
                                                      : -EPROTO;
            }
            at += got;
            total += (int64_t)got;
        }
    }
    return total;
}

static void raw_recv_done(struct rt_op *op)
{
    struct rt_tls *tls = ash_container_of(op, struct rt_tls, raw_recv);
    tls->is_receiving = false;
    if (op->res <= 0)
        set_recv_res(tls, op->res);
    else if (BIO_write(tls->in, tls->cipher, (int)op->res) != (int)op->res)
        set_recv_res(tls, -ENOMEM);
    recv_step(tls);
}

static void receive_more(struct rt_tls *tls)
{
    tls->raw_recv =
        (struct rt_op){.kind = RT_OP_RECV, .sock = tls->sock, .n_iov = 1, .done = raw_recv_done};
    tls->raw_recv.one_iov = (struct iovec){tls->cipher, sizeof(tls->cipher)};
    tls->raw_recv.iov = &tls->raw_recv.one_iov;
    tls->is_receiving = true;
    rt_op_submit(&tls->raw_recv);
}

static void recv_step(struct rt_tls *tls)
{
    if (!tls->recv || tls->is_receiving || tls->is_recv_posted)
        return;
    if (!tls->has_recv_res) {
        int64_t n = decrypt(tls, tls->recv);
        if (n == -EAGAIN && tls->is_cancelled)
            n = -ECANCELED;
        if (n != -EAGAIN)
            set_recv_res(tls, n);
    }
    if (has_output(tls) && !tls->is_sending)
        send_output(tls);
    if (!tls->has_recv_res) {
        receive_more(tls);
        return;
    }
    if (tls->is_sending && !tls->send)
        return; /* what we say by ourselves belongs to this receive */
    struct rt_op *op = tls->recv;
    tls->recv = NULL;
    op->res = tls->recv_res;
    tls->has_recv_res = false;
    op->done(op);
}

/* -------------------------------------------------------------- operations */

void rt_tls_submit(struct rt_tls *tls, struct rt_op *op)
{
    if (op->kind == RT_OP_RECV) {
        ASH_ASSERT(!tls->recv && !tls->is_receiving && !tls->has_recv_res);
        tls->recv = op;
        tls->is_cancelled = false;
        post_recv(tls);
        return;
    }
    ASH_ASSERT(op->kind == RT_OP_SEND && !tls->send);
    tls->send = op;
    tls->send_iov = 0;
    tls->send_at = 0;
    tls->send_bytes = 0;
    tls->is_send_posted = true;
    rt_post(rt_self(), &tls->send_job);
}

void rt_tls_cancel(struct rt_tls *tls, struct rt_op *op)
{
    if (tls->recv != op)
        return;
    tls->is_cancelled = true;
    if (tls->is_receiving)
        rt_op_cancel(&tls->raw_recv);
}

struct waiting {
    struct rt_op op;
    struct rt_event over;
};

static void wake(struct rt_op *op)
{
    rt_event_set(&ash_container_of(op, struct waiting, op)->over, 0);
}

int64_t rt_tls_wait(struct rt_tls *tls, struct rt_op *op)
{
    struct waiting w = {.op = *op, .over = RT_EVENT_INIT};
    if (op->iov == &op->one_iov)
        w.op.iov = &w.op.one_iov;
    w.op.done = wake;
    rt_tls_submit(tls, &w.op);
    rt_event_wait(&w.over);
    return w.op.res;
}

/* ------------------------------------------------------------------- client */

static int64_t wait_on_sock(struct rt_tls *tls, uint8_t kind, void *buf, size_t n) ASH_MAY_WAIT
{
    struct rt_op op = {.kind = kind, .sock = tls->sock, .n_iov = 1};
    op.one_iov = (struct iovec){buf, n};
    op.iov = &op.one_iov;
    return rt_op_wait(&op);
}

static int say_all(struct rt_tls *tls) ASH_MAY_WAIT
{
    char *data;
    long n = BIO_get_mem_data(tls->out[tls->out_idx], &data);
    int64_t rc = n > 0 ? wait_on_sock(tls, RT_OP_SEND, data, (size_t)n) : 0;
    (void)BIO_reset(tls->out[tls->out_idx]);
    return rc < 0 ? (int)rc : 0;
}

static int shake_hands(struct rt_tls *tls) ASH_MAY_WAIT
{
    for (;;) {
        ERR_clear_error();
        int done = SSL_do_handshake(tls->ssl);
        int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, done);
        int rc = say_all(tls);
        if (done == 1 || rc) /* by our key, nothing else is good enough */
            return rc ? rc : SSL_session_reused(tls->ssl) ? 0 : -EPROTO;
        if (why != SSL_ERROR_WANT_READ)
            return -EPROTO;
        int64_t n = wait_on_sock(tls, RT_OP_RECV, tls->cipher, sizeof(tls->cipher));
        if (n <= 0)
            return n < 0 ? (int)n : -ECONNRESET;
        if (BIO_write(tls->in, tls->cipher, (int)n) != (int)n)
            return -ENOMEM;
    }
}

int rt_tls_connect(struct rt_sock *sock, const char *identity, const struct rt_tls_key *key,
                   struct rt_tls **ret_tls)
{
    ASH_ASSERT(strlen(identity) < RT_TLS_IDENTITY_MAX);
    ASH_ASSERT(key->n_bytes == 32 || key->n_bytes == 48);
    SSL_CTX *ctx = ctx_new(false);
    struct rt_tls *tls = ctx ? tls_new(ctx, sock) : NULL;
    SSL_CTX_free(ctx); /* the stream has one of its own */
    if (!tls)
        return -ENOMEM;
    memcpy(tls->identity, identity, strlen(identity) + 1);
    tls->key = *key;
    SSL_set_connect_state(tls->ssl);
    int rc = SSL_set_ciphersuites(tls->ssl, suite_of(key)) ? shake_hands(tls) : -ENOMEM;
    if (rc) {
        rt_tls_free(tls);
        return rc;
    }
    *ret_tls = tls;
    return 0;
}
