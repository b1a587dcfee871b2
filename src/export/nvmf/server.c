/* SPDX-License-Identifier: Apache-2.0 */
/* The server's objects: transport, listeners, the table of connections. Control reactor only.
 *
 * Invariants
 *  - one change of the configuration at a time: whoever adds or removes holds srv->lock, and never
 *    while it waits for a pool;
 *  - whoever waits for something to end waits on srv->changed and looks again;
 *  - a connection that was sent a message is freed only after one more to its reactor and back: the
 *    order of jobs then says that the others are over. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <stdio.h>

#define RETRY_NS 100000000ull

/* ---------------------------------------------------------- connections */

static void conn_free(struct nvmf_conn *conn)
{
    struct nvmf_server *srv = conn->srv;
    if (conn->path) {
        ASH_ASSERT(conn->path->n_conns > 0);
        conn->path->n_conns--;
    }
    ash_list_remove(&conn->link);
    srv->n_conns--;
    nvmf_auth_free(conn->auth);
    rt_free(conn->slots);
    rt_free(conn->next_free);
    rt_free(conn);
    rt_waitq_wake_all(&srv->changed);
}

static void fence_back(struct rt_job *job)
{
    conn_free(ash_container_of(job, struct nvmf_conn, fence_job));
}

static void fence_there(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, fence_job);
    conn->fence_job.run = fence_back;
    rt_post(nvmf_control(), &conn->fence_job);
}

void nvmf_conn_gone(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, gone_job);
    rt_timer_stop(&conn->connect_timer);
    nvmf_ctrlr_conn_gone(conn);
    if (conn->unassociated)
        conn->srv->n_unassociated--;
    conn->unassociated = false;
    if (!conn->shut_posted && !conn->messaged) {
        conn_free(conn);
        return;
    }
    conn->fence_job.run = fence_there;
    rt_post(conn->reactor, &conn->fence_job);
}

void nvmf_shut(struct nvmf_conn *conn)
{
    if (conn->shut_posted)
        return;
    conn->shut_posted = true;
    conn->shut_job.run = nvmf_conn_shut;
    if (conn->moving)
        conn->shut_wanted = true;
    else
        rt_post(conn->reactor, &conn->shut_job);
}

static int serve(struct nvmf_server *srv, struct rt_sock *sock, struct nvmf_listener *l,
                 const struct nvmf_address *address, struct ash_err *err)
{
    if (srv->stopping || srv->n_conns >= srv->limits.max_connections) {
        rt_sock_close(sock);
        return ash_err_set(err, ASH_E_EXPORT_LIMIT, NULL,
                           "the NVMe target has %u connections already", srv->n_conns);
    }
    return nvmf_conn_start(srv, sock, l, address, err);
}

int nvmf_serve_sock(struct nvmf_server *srv, struct rt_sock *sock,
                    const struct nvmf_address *address, struct ash_err *err)
{
    struct nvmf_listener *l = address ? nvmf_find_listener(srv, address) : NULL;
    const struct nvmf_address none = {"", "", false};
    return serve(srv, sock, l, address ? address : &none, err);
}

uint32_t nvmf_n_connections(const struct nvmf_server *srv)
{
    return srv->n_conns;
}

/* ------------------------------------------------------------ listeners */

static void accept_more(struct nvmf_listener *l);

static void accept_retry(struct rt_timer *timer)
{
    accept_more(ash_container_of(timer, struct nvmf_listener, retry));
}

static bool is_wildcard(const struct nvmf_listener *l)
{
    return strcmp(l->traddr, "0.0.0.0") == 0 || strcmp(l->traddr, "::") == 0;
}

/* The address that a host has come to; what discovery tells it of listeners without a certain one.
 * Without brackets and, for IPv4 by an IPv6 socket, without its prefix. */
static void local_address(const struct rt_sock *sock, char *buf, size_t n_buf)
{
    char text[128];
    rt_sock_local(sock, text, sizeof(text));
    const char *at = ash_starts_with(text, "tcp://") ? text + 6 : "";
    if (ash_starts_with(at, "["))
        at++;
    if (ash_starts_with(at, "::ffff:"))
        at += 7;
    const char *end = strchr(at, ']');
    if (!end)
        end = strrchr(at, ':');
    snprintf(buf, n_buf, "%.*s", end ? (int)(end - at) : 0, at);
}

static void accept_done(struct rt_op *op)
{
    struct nvmf_listener *l = ash_container_of(op, struct nvmf_listener, op);
    struct nvmf_address address = {l->traddr, l->trsvcid, l->ipv6};
    char local[64] = "";
    l->op_busy = false;
    if (op->res >= 0 && is_wildcard(l))
        local_address(op->ret_sock, local, sizeof(local));
    if (local[0])
        address.traddr = local;
    if (op->res >= 0)
        serve(l->srv, op->ret_sock, l, &address, NULL); /* a failure closes it: enough */
    if (l->closing)
        rt_waitq_wake_all(&l->srv->changed);
    else if (op->res >= 0 || op->res == -ECONNABORTED || op->res == -EINTR)
        accept_more(l);
    else
        rt_timer_start(&l->retry, RETRY_NS); /* no descriptors or no memory: they come back */
}

static void accept_more(struct nvmf_listener *l)
{
    l->op.kind = RT_OP_ACCEPT;
    l->op.sock = l->sock;
    l->op.done = accept_done;
    l->op_busy = true;
    rt_op_submit(&l->op);
}

struct nvmf_listener *nvmf_find_listener(const struct nvmf_server *srv,
                                         const struct nvmf_address *address)
{
    ash_list_for_each (item, &srv->listeners) {
        struct nvmf_listener *l = ash_list_entry(item, struct nvmf_listener, link);
        if (!l->closing && strcmp(l->traddr, address->traddr) == 0 &&
            strcmp(l->trsvcid, address->trsvcid) == 0)
            return l;
    }
    return NULL;
}

/* The port that was chosen for port 0. */
static void learn_port(struct nvmf_listener *l)
{
    const char *colon = strrchr(rt_sock_address(l->sock), ':');
    if (colon)
        snprintf(l->trsvcid, sizeof(l->trsvcid), "%s", colon + 1);
}

struct nvmf_listener *nvmf_get_listener(struct nvmf_server *srv, const struct nvmf_address *address,
                                        struct ash_err *err)
{
    struct nvmf_listener *l = nvmf_find_listener(srv, address);
    if (l && l->secure != address->secure) {
        ash_err_set(err, ASH_E_EXPORT_EXISTS, address->traddr,
                    "%s:%s is listened on %s TLS already", l->traddr, l->trsvcid,
                    l->secure ? "with" : "without");
        return NULL;
    }
    if (l) {
        l->n_users++;
        return l;
    }
    l = rt_alloc(sizeof(*l));
    if (l && address->secure && nvmf_tls_init(srv)) {
        rt_free(l);
        l = NULL;
    }
    if (!l) {
        ash_err_set(err, ASH_E_NO_MEMORY, address->traddr, "no memory for a listener");
        return NULL;
    }
    char uri[128];
    snprintf(l->traddr, sizeof(l->traddr), "%s", address->traddr);
    snprintf(l->trsvcid, sizeof(l->trsvcid), "%s", address->trsvcid);
    l->ipv6 = address->ipv6;
    l->secure = address->secure;
    snprintf(uri, sizeof(uri), l->ipv6 ? "tcp://[%s]:%s" : "tcp://%s:%s", l->traddr, l->trsvcid);
    int rc = rt_listen(uri, 0600, &l->sock, err);
    if (rc) {
        ash_err_while(err, rc, "making the NVMe target listen on '%s'", uri);
        rt_free(l);
        return NULL;
    }
    learn_port(l);
    l->srv = srv;
    l->id = ++srv->next_listener_id;
    l->n_users = 1;
    l->retry.fire = accept_retry;
    ash_list_push_tail(&srv->listeners, &l->link);
    accept_more(l);
    return l;
}

void nvmf_put_listener(struct nvmf_listener *l)
{
    struct nvmf_server *srv = l->srv;
    ASH_ASSERT(l->n_users > 0);
    if (--l->n_users > 0)
        return;
    l->closing = true;
    ash_list_remove(&l->link);
    rt_timer_stop(&l->retry);
    /* Those that came by it to the discovery subsystem, or were about to connect. */
    ash_list_for_each (item, &srv->conns) {
        struct nvmf_conn *conn = ash_list_entry(item, struct nvmf_conn, link);
        if (conn->listener_id == l->id)
            nvmf_shut(conn);
    }
    if (l->op_busy)
        rt_op_cancel(&l->op);
    while (l->op_busy)
        rt_waitq_wait(&srv->changed);
    rt_sock_close(l->sock);
    rt_free(l);
    rt_waitq_wake_all(&srv->changed);
}

/* ------------------------------------------------------------- reactors */

struct on_one {
    void (*fn)(void *arg, unsigned idx);
    void *arg;
    unsigned idx;
};

static int run_on_one(void *arg)
{
    struct on_one *one = arg;
    one->fn(one->arg, one->idx);
    return 0;
}

/* A change that must reach every reactor cannot stop half-way. */
void nvmf_on_all(void (*fn)(void *arg, unsigned idx), void *arg)
{
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        struct on_one one = {fn, arg, i};
        if (i == 0) {
            fn(arg, 0);
            continue;
        }
        while (rt_call_on(rt_reactor(rt_world(), i), "nvmf change", run_on_one, &one) == -ENOMEM)
            rt_sleep_ns(RETRY_NS); /* no memory for a task: it comes back */
    }
}

/* ------------------------------------------------------------ transport */

void nvmf_transport_defaults(struct nvmf_transport_opts *opts)
{
    *opts = (struct nvmf_transport_opts){
        .max_queue_depth = 128,
        .max_io_qpairs_per_ctrlr = 127,
        .in_capsule_data_size = 4096,
        .max_io_size = 131072,
        .max_aq_depth = 128,
        .c2h_success = true,
        .kas = 10,
        .min_kato_ms = 1000,
        .io_unit_size = 131072,
        .num_shared_buffers = 511,
        .buf_cache_size = UINT32_MAX,
        .iobuf_small_cache_size = UINT32_MAX,
        .iobuf_large_cache_size = UINT32_MAX,
        .abort_timeout_sec = 1,
        .acceptor_poll_rate = 10000,
        .control_msg_num = 32,
    };
}

static int bad(struct ash_err *err, const char *what, uint32_t n, const char *allowed)
{
    return ash_err_set(err, ASH_E_BAD_ARGUMENT, what, "%s is %u, it must be %s", what, n, allowed);
}

static int check_transport(const struct nvmf_transport_opts *o, struct ash_err *err)
{
    if (o->max_queue_depth < 2 || o->max_queue_depth > 4096)
        return bad(err, "max_queue_depth", o->max_queue_depth, "2 to 4096");
    if (o->max_aq_depth < 32 || o->max_aq_depth > 4096)
        return bad(err, "max_aq_depth", o->max_aq_depth, "32 to 4096");
    if (o->max_io_qpairs_per_ctrlr < 1 || o->max_io_qpairs_per_ctrlr > 1024)
        return bad(err, "max_io_qpairs_per_ctrlr", o->max_io_qpairs_per_ctrlr, "1 to 1024");
    if (o->in_capsule_data_size % 16 || o->in_capsule_data_size > 65536)
        return bad(err, "in_capsule_data_size", o->in_capsule_data_size,
                   "a multiple of 16, at most 65536");
    if (!ash_is_pow2(o->max_io_size) || o->max_io_size < 8192 || o->max_io_size > 4u << 20)
        return bad(err, "max_io_size", o->max_io_size, "a power of two from 8192 to 4194304");
    if (o->in_capsule_data_size > o->max_io_size)
        return bad(err, "in_capsule_data_size", o->in_capsule_data_size, "at most max_io_size");
    if (o->kas < 1 || o->kas > 600)
        return bad(err, "kas", o->kas, "1 to 600");
    return 0;
}

int nvmf_create_transport(struct nvmf_server *srv, const struct nvmf_transport_opts *opts,
                          struct ash_err *err)
{
    if (srv->has_transport)
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, "TCP", "Transport type 'TCP' already exists");
    int rc = check_transport(opts, err);
    if (rc)
        return rc;
    srv->transport = *opts;
    srv->has_transport = true;
    return 0;
}

const struct nvmf_transport_opts *nvmf_transport(const struct nvmf_server *srv)
{
    return srv->has_transport ? &srv->transport : NULL;
}

/* --------------------------------------------------------------- server */

int nvmf_server_create(struct bdev_mgr *mgr, struct pool_mgr *pools, struct nvmf_server **ret_srv,
                       struct ash_err *err)
{
    struct nvmf_server *srv = rt_alloc(sizeof(*srv));
    if (srv)
        srv->groups = rt_alloc(rt_n_reactors(rt_world()) * sizeof(*srv->groups));
    if (!srv || !srv->groups) {
        rt_free(srv);
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the NVMe target");
    }
    srv->mgr = mgr;
    srv->pools = pools;
    srv->limits = (struct nvmf_limits){
        .max_connections = 4096,
        .max_subsystems = 2048,
        .max_inflight_bytes = 16u << 20,
        .handshake_ns = 15ull * 1000000000,
        .linger_ns = 5ull * 1000000000,
    };
    nvmf_transport_defaults(&srv->transport);
    ash_list_init(&srv->subsystems);
    ash_list_init(&srv->listeners);
    ash_list_init(&srv->referrals);
    ash_list_init(&srv->conns);
    rt_waitq_init(&srv->changed);
    rt_mutex_init(&srv->lock);
    rt_mutex_init(&srv->preempt_lock);
    srv->genctr = 1;
    srv->sweep_retry.fire = nvmf_sweep_retry;
    int rc = nvmf_make_discovery(srv, err);
    if (rc) {
        rt_free(srv->groups);
        rt_free(srv);
        return rc;
    }
    *ret_srv = srv;
    return 0;
}

void nvmf_server_destroy(struct nvmf_server *srv)
{
    if (!srv)
        return;
    nvmf_shares_fini(srv);
    srv->stopping = true;
    rt_mutex_lock(&srv->lock);
    while (!ash_list_empty(&srv->subsystems))
        nvmf_subsystem_close(ash_list_entry(srv->subsystems.prev, struct nvmf_subsystem, link));
    ash_list_for_each (item, &srv->conns)
        nvmf_shut(ash_list_entry(item, struct nvmf_conn, link));
    rt_mutex_unlock(&srv->lock);
    while (srv->n_conns > 0 || srv->n_busy > 0)
        rt_waitq_wait(&srv->changed);
    rt_timer_stop(&srv->sweep_retry);
    ASH_ASSERT(ash_list_empty(&srv->listeners));
    nvmf_referrals_fini(srv);
    rt_tls_server_free(srv->tls);
    rt_free(srv->share_uri);
    rt_free(srv->groups);
    rt_free(srv);
}

void nvmf_get_limits(const struct nvmf_server *srv, struct nvmf_limits *ret_limits)
{
    *ret_limits = srv->limits;
}

void nvmf_set_limits(struct nvmf_server *srv, const struct nvmf_limits *limits)
{
    srv->limits = *limits;
}
