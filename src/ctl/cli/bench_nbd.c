/* SPDX-License-Identifier: Apache-2.0 */
/* Load on an NBD server: a client that only generates load. One connection per job, simple replies;
 * everything that became due while a send was running goes out in the next one, and one receive
 * takes as many replies as have arrived. Source: docs/spec/nbd.md 2, 4. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "ctl/cli/bench.h"

#define NBDMAGIC      0x4e42444d41474943ull
#define IHAVEOPT      0x49484156454F5054ull
#define OPT_REPLY     0x0003e889045565a9ull
#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC   0x67446698u
#define OPT_GO        7
#define REP_ACK       1
#define REP_INFO      3
#define RECV_BYTES    (256u << 10)

struct nbd_request {
    struct be32 magic;
    struct be16 flags, type;
    struct be64 cookie, offset;
    struct be32 length;
};
_Static_assert(sizeof(struct nbd_request) == 28, "as on the wire");

struct nbd_reply {
    struct be32 magic, error;
    struct be64 cookie;
};
_Static_assert(sizeof(struct nbd_reply) == 16, "as on the wire");

struct nbd_slot {
    uint64_t begin_ns;
    struct nbd_request req;
    bool is_read;
};

struct nbd_load {
    struct bench_job *job;
    struct rt_sock *sock;
    struct nbd_slot *slots;
    uint32_t *due; /* slots whose request is to be sent */
    unsigned n_due, n_in_flight;
    struct iovec *iov;
    struct rt_op send, recv;
    bool sending, receiving, ending;
    uint8_t *in, *payload;
    struct nbd_reply head;
    size_t n_head;      /* bytes of the reply's head that are here */
    uint64_t n_to_skip; /* of the payload that follows */
    uint32_t cur;       /* slot of that payload */
    bool payload_open;
    struct rt_event over;
};

/* ------------------------------------------------------------- handshake */

static int xfer(struct rt_sock *sock, uint8_t kind, void *buf, size_t n_bytes)
{
    while (n_bytes) {
        struct rt_op op = {.kind = kind, .sock = sock, .n_iov = 1};
        op.one_iov = (struct iovec){buf, n_bytes};
        op.iov = &op.one_iov;
        int64_t n = rt_op_wait(&op);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -ECONNRESET;
        buf = (char *)buf + n;
        n_bytes -= (size_t)n;
    }
    return 0;
}

static int recv_discard(struct rt_sock *sock, uint32_t n_bytes, uint8_t *first, size_t n_first)
{
    uint8_t buf[512];
    size_t n_kept = 0;
    while (n_bytes) {
        size_t n = ASH_MIN((size_t)n_bytes, sizeof(buf));
        int rc = xfer(sock, RT_OP_RECV, buf, n);
        if (rc)
            return rc;
        size_t n_keep = ASH_MIN(n, n_first - n_kept);
        memcpy(first + n_kept, buf, n_keep);
        n_kept += n_keep;
        n_bytes -= (uint32_t)n;
    }
    return 0;
}

static int handshake(struct rt_sock *sock, const char *name, uint64_t *ret_size)
{
    struct {
        struct be64 magic, opt;
        struct be16 flags;
    } hello;
    struct {
        struct be32 client_flags;
        struct be64 magic;
        struct be32 option, length, n_name;
        char name_and_infos[4096 + 2];
    } go = {.client_flags = ash_be32(3), .magic = ash_be64(IHAVEOPT), .option = ash_be32(OPT_GO)};
    size_t n_name = strlen(name);
    if (n_name > 4096)
        return -ENAMETOOLONG;
    int rc = xfer(sock, RT_OP_RECV, &hello, sizeof(hello));
    if (rc)
        return rc;
    if (ash_be64_get(hello.magic) != NBDMAGIC || ash_be64_get(hello.opt) != IHAVEOPT)
        return -EPROTO;
    go.length = ash_be32((uint32_t)(4 + n_name + 2));
    go.n_name = ash_be32((uint32_t)n_name);
    memcpy(go.name_and_infos, name, n_name); /* no information is asked for: two zero bytes */
    rc = xfer(sock, RT_OP_SEND, &go, 4 + 8 + 4 + 4 + 4 + n_name + 2);
    while (!rc) {
        struct {
            struct be64 magic;
            struct be32 option, type, length;
        } rep;
        uint8_t data[12] = {0};
        rc = xfer(sock, RT_OP_RECV, &rep, sizeof(rep));
        if (!rc && ash_be64_get(rep.magic) != OPT_REPLY)
            return -EPROTO;
        if (!rc)
            rc = recv_discard(sock, ash_be32_get(rep.length), data, sizeof(data));
        if (rc)
            return rc;
        uint32_t type = ash_be32_get(rep.type);
        if (type == REP_ACK)
            return 0;
        if (type != REP_INFO)
            return type == 0x80000006u ? -ENOENT : -EPROTO;
        if (data[0] == 0 && data[1] == 0) {
            struct be64 size;
            memcpy(&size, data + 2, sizeof(size));
            *ret_size = ash_be64_get(size);
        }
    }
    return rc;
}

int bench_nbd_size(const char *address, const char *name, uint64_t *ret_size_bytes,
                   struct ash_err *err)
{
    struct rt_sock *sock;
    int rc = rt_connect(address, &sock, err);
    if (rc)
        return rc;
    rc = handshake(sock, name, ret_size_bytes);
    rt_sock_close(sock);
    return rc ? ash_err_set_rc(err, rc, rc == -ENOENT ? ASH_E_EXPORT_NOT_FOUND : ASH_E_RT_SOCKET,
                               name, "NBD handshake for export '%s': %s", name, ash_strerror(rc))
              : 0;
}

int bench_nbd_parse(const char *uri, struct ash_buf *ret_address, struct ash_buf *ret_name,
                    struct ash_err *err)
{
    bool is_unix = ash_starts_with(uri, "nbd+unix://");
    const char *host = uri + strlen(is_unix ? "nbd+unix://" : "nbd://");
    const char *slash = strchr(host, '/');
    const char *query = strchr(host, '?');
    const char *host_end = slash ? slash : query ? query : host + strlen(host);
    const char *name = slash ? slash + 1 : "";
    size_t n_name = strcspn(name, "?");
    ash_buf_add(ret_name, name, n_name);
    if (is_unix) {
        const char *sock = query ? strstr(query, "socket=") : NULL;
        if (!sock)
            return ash_err_set(err, ASH_E_BDEV_URI_SYNTAX, uri, "%s: no socket=PATH in it", uri);
        sock += strlen("socket=");
        ash_buf_str(ret_address, "unix://");
        ash_buf_add(ret_address, sock, strcspn(sock, "&"));
    } else {
        size_t n_host = (size_t)(host_end - host);
        if (!n_host)
            return ash_err_set(err, ASH_E_BDEV_URI_SYNTAX, uri, "%s: no host in it", uri);
        const char *bracket = memchr(host, ']', n_host);
        const char *from = bracket ? bracket : host;
        bool has_port = memchr(from, ':', (size_t)(host_end - from)) != NULL;
        ash_buf_str(ret_address, "tcp://");
        ash_buf_add(ret_address, host, n_host);
        if (!has_port)
            ash_buf_str(ret_address, ":10809");
    }
    if (!ret_name->data)
        ash_buf_chr(ret_name, '\0');
    if (ret_address->failed || ret_name->failed || ash_percent_decode(ret_name->data, false) ||
        ash_percent_decode(ret_address->data, false))
        return ash_err_set(err, ASH_E_BDEV_URI_SYNTAX, uri, "%s: not an NBD URI", uri);
    return 0;
}

/* -------------------------------------------------------------- the load */

static void fail(struct nbd_load *l, int rc)
{
    l->job->rc = l->job->rc ? l->job->rc : rc;
    l->job->n_failed++;
}

static void maybe_over(struct nbd_load *l)
{
    bool idle = !l->sending && l->n_in_flight == 0 && l->n_due == 0;
    if ((idle || l->job->rc) && !l->ending) {
        l->ending = true;
        rt_sock_shutdown(l->sock); /* ends the receive that is waiting */
    }
    if (l->ending && !l->sending && !l->receiving && !l->over.is_set)
        rt_event_set(&l->over, 0);
}

static bool plan(struct nbd_load *l, uint32_t idx, uint64_t now_ns)
{
    struct nbd_slot *s = &l->slots[idx];
    uint64_t offset;
    bool write;
    if (!bench_next(l->job, now_ns, &offset, &write))
        return false;
    s->begin_ns = now_ns;
    s->is_read = !write;
    s->req = (struct nbd_request){
        .magic = ash_be32(REQUEST_MAGIC),
        .type = ash_be16(write ? 1 : 0),
        .cookie = ash_be64(idx),
        .offset = ash_be64(offset),
        .length = ash_be32(l->job->opts->block_bytes),
    };
    l->due[l->n_due++] = idx;
    return true;
}

static void flush_due(struct nbd_load *l)
{
    if (l->sending || l->ending || !l->n_due)
        return;
    uint32_t n = 0;
    for (unsigned i = 0; i < l->n_due; i++) {
        struct nbd_slot *s = &l->slots[l->due[i]];
        l->iov[n++] = (struct iovec){&s->req, sizeof(s->req)};
        if (!s->is_read)
            l->iov[n++] = (struct iovec){l->payload, l->job->opts->block_bytes};
    }
    l->n_in_flight += l->n_due;
    l->n_due = 0;
    l->send.iov = l->iov;
    l->send.n_iov = n;
    l->sending = true;
    rt_op_submit(&l->send);
}

static void sent(struct rt_op *op)
{
    struct nbd_load *l = ash_container_of(op, struct nbd_load, send);
    l->sending = false;
    if (op->res < 0 && !l->ending)
        fail(l, (int)op->res);
    flush_due(l);
    maybe_over(l);
}

static void finish(struct nbd_load *l, uint32_t idx, uint64_t now_ns, int rc)
{
    l->n_in_flight--;
    bench_count(l->job, l->slots[idx].begin_ns, now_ns, rc);
    plan(l, idx, now_ns);
}

static void parse(struct nbd_load *l, const uint8_t *p, size_t n)
{
    uint64_t now = rt_now_ns();
    while (n && !l->job->rc) {
        if (l->payload_open) {
            size_t k = ASH_MIN((uint64_t)n, l->n_to_skip);
            p += k;
            n -= k;
            l->n_to_skip -= k;
            if (l->n_to_skip == 0) {
                l->payload_open = false;
                finish(l, l->cur, now, 0);
            }
            continue;
        }
        size_t k = ASH_MIN(n, sizeof(l->head) - l->n_head);
        memcpy((char *)&l->head + l->n_head, p, k);
        l->n_head += k;
        p += k;
        n -= k;
        if (l->n_head < sizeof(l->head))
            continue;
        l->n_head = 0;
        uint64_t cookie = ash_be64_get(l->head.cookie);
        uint32_t error = ash_be32_get(l->head.error);
        if (ash_be32_get(l->head.magic) != REPLY_MAGIC || cookie >= l->job->opts->depth) {
            fail(l, -EPROTO);
            return;
        }
        if (!error && l->slots[cookie].is_read) {
            l->cur = (uint32_t)cookie;
            l->payload_open = true;
            l->n_to_skip = l->job->opts->block_bytes;
        } else {
            finish(l, (uint32_t)cookie, now, -(int)error);
        }
    }
}

static void received(struct rt_op *op)
{
    struct nbd_load *l = ash_container_of(op, struct nbd_load, recv);
    l->receiving = false;
    if (op->res > 0)
        parse(l, l->in, (size_t)op->res);
    else if (!l->ending)
        fail(l, op->res ? (int)op->res : -ECONNRESET);
    flush_due(l);
    maybe_over(l);
    if (!l->ending) {
        l->receiving = true;
        rt_op_submit(&l->recv);
    }
}

static void load(struct nbd_load *l)
{
    struct bench_job *job = l->job;
    l->over = RT_EVENT_INIT;
    l->send = (struct rt_op){.kind = RT_OP_SEND, .sock = l->sock, .done = sent};
    l->recv = (struct rt_op){.kind = RT_OP_RECV, .sock = l->sock, .done = received, .n_iov = 1};
    l->recv.one_iov = (struct iovec){l->in, RECV_BYTES};
    l->recv.iov = &l->recv.one_iov;
    for (uint32_t i = 0; i < job->opts->depth; i++)
        plan(l, i, rt_now_ns());
    if (!l->n_due)
        return;
    l->receiving = true;
    rt_op_submit(&l->recv);
    flush_due(l);
    (void)rt_event_wait(&l->over);
}

int bench_nbd_run(struct bench_job *job)
{
    struct nbd_load l = {.job = job};
    unsigned depth = job->opts->depth;
    size_t block = ash_align_up(job->opts->block_bytes, 4096);
    struct ash_err err = {.reason = ASH_OK};
    uint64_t size = 0;
    int rc = 0;
    l.sock = job->sock;
    if (!l.sock)
        rc = rt_connect(job->address, &l.sock, &err);
    if (rc)
        return rc;
    l.slots = rt_alloc(depth * sizeof(*l.slots));
    l.due = rt_alloc(depth * sizeof(*l.due));
    l.iov = rt_alloc(2 * depth * sizeof(*l.iov));
    l.in = rt_buf_get(RECV_BYTES);
    l.payload = rt_buf_get(block);
    if (!l.slots || !l.due || !l.iov || !l.in || !l.payload)
        rc = -ENOMEM;
    if (!rc)
        rc = handshake(l.sock, job->export_name, &size);
    if (!rc) {
        memset(l.payload, 0xa5, block);
        job->begin_ns = rt_now_ns() + job->opts->warmup_ns;
        load(&l);
    }
    rt_sock_close(l.sock);
    rt_buf_put(l.payload, block);
    rt_buf_put(l.in, RECV_BYTES);
    rt_free(l.iov);
    rt_free(l.due);
    rt_free(l.slots);
    return rc;
}
