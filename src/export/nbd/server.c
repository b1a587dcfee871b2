/* SPDX-License-Identifier: Apache-2.0 */
/* The server's objects: listeners, exports, the table of connections. Control reactor only.
 *
 * Invariants
 *  - an export that is closing cannot be found by clients; its descriptor is closed when its last
 *    connection has released it, and only then is it freed;
 *  - whoever waits (removal, shutdown) waits on srv->changed and looks again;
 *  - a connection that was told to shut down is freed only after a message to its reactor and back:
 *    the order of jobs then says that the telling is over. */
#include "export/nbd/nbd_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RETRY_NS 100000000ull

static struct rt_reactor *control(void)
{
    return rt_reactor(rt_world(), 0);
}

/* ---------------------------------------------------------- connections */

static void conn_free(struct nbd_conn *conn)
{
    struct nbd_server *srv = conn->srv;
    ASH_ASSERT(!conn->attached);
    ash_list_remove(&conn->link);
    srv->n_conns--;
    rt_free(conn);
    rt_waitq_wake_all(&srv->changed);
}

static void fence_back(struct rt_job *job)
{
    conn_free(ash_container_of(job, struct nbd_conn, fence_job));
}

static void fence_there(struct rt_job *job)
{
    struct nbd_conn *conn = ash_container_of(job, struct nbd_conn, fence_job);
    conn->fence_job.run = fence_back;
    rt_post(rt_reactor(rt_of(conn->reactor), 0), &conn->fence_job);
}

void nbd_conn_gone(struct rt_job *job)
{
    struct nbd_conn *conn = ash_container_of(job, struct nbd_conn, gone_job);
    if (!conn->shut_posted) {
        conn_free(conn);
        return;
    }
    conn->fence_job.run = fence_there;
    rt_post(conn->reactor, &conn->fence_job);
}

/* conn->counters += onto sum; the connection may be running. */
static void add_counters(struct nbd_counters *sum, const struct nbd_counters *c)
{
    enum { N = sizeof(*sum) / sizeof(uint64_t) };
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)c;
    for (size_t i = 0; i < N; i++)
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void nbd_conn_released(struct rt_job *job)
{
    struct nbd_conn *conn = ash_container_of(job, struct nbd_conn, release_job);
    struct nbd_export *exp = conn->attached;
    ASH_ASSERT(exp && exp->n_attached > 0);
    add_counters(&exp->ended, &conn->counters);
    ash_list_remove(&conn->exp_link);
    conn->attached = NULL;
    exp->n_attached--;
    rt_waitq_wake_all(&conn->srv->changed);
}

static void conn_shut(struct nbd_conn *conn)
{
    if (conn->shut_posted)
        return;
    conn->shut_posted = true;
    conn->shut_job.run = nbd_conn_shut;
    rt_post(conn->reactor, &conn->shut_job);
}

int nbd_serve_sock(struct nbd_server *srv, struct rt_sock *sock, struct ash_err *err)
{
    struct nbd_conn *conn = NULL;
    int rc;
    if (srv->stopping || srv->n_conns >= srv->limits.max_connections) {
        rc = ash_err_set(err, ASH_E_EXPORT_LIMIT, NULL, "the NBD server has %u connections already",
                         srv->n_conns);
        goto fail;
    }
    conn = rt_alloc(sizeof(*conn));
    if (!conn) {
        rc = ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for an NBD connection");
        goto fail;
    }
    conn->srv = srv;
    conn->sock = sock;
    conn->limits = srv->limits;
    conn->reactor = rt_reactor(rt_world(), srv->next_reactor++ % rt_n_reactors(rt_world()));
    conn->rx_buf = conn->small;
    conn->rx_room = sizeof(conn->small);
    ash_list_init(&conn->exp_link);
    ash_list_init(&conn->free_reqs);
    ash_list_init(&conn->flush_waiters);
    ash_list_init(&conn->tx_queue);
    ash_list_init(&conn->tx_batch);
    rc = rt_task_spawn_on(conn->reactor, "nbd handshake", nbd_handshake_task, conn);
    if (rc) {
        rc = ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for an NBD handshake");
        goto fail;
    }
    ash_list_push_tail(&srv->conns, &conn->link);
    srv->n_conns++;
    return 0;
fail:
    rt_free(conn);
    rt_sock_close(sock);
    return rc;
}

/* ------------------------------------------------------------ listeners */

static void accept_more(struct nbd_listener *l);

static void accept_retry(struct rt_timer *timer)
{
    accept_more(ash_container_of(timer, struct nbd_listener, retry));
}

static void accept_done(struct rt_op *op)
{
    struct nbd_listener *l = ash_container_of(op, struct nbd_listener, op);
    l->op_busy = false;
    if (op->res >= 0)
        nbd_serve_sock(l->srv, op->ret_sock, NULL); /* a failure closes the connection: enough */
    if (l->closing)
        rt_waitq_wake_all(&l->srv->changed);
    else if (op->res >= 0 || op->res == -ECONNABORTED || op->res == -EINTR)
        accept_more(l);
    else
        rt_timer_start(&l->retry, RETRY_NS); /* no descriptors or no memory: they come back */
}

static void accept_more(struct nbd_listener *l)
{
    l->op.kind = RT_OP_ACCEPT;
    l->op.sock = l->sock;
    l->op.done = accept_done;
    l->op_busy = true;
    rt_op_submit(&l->op);
}

static struct nbd_listener *find_listener(const struct nbd_server *srv, const char *uri)
{
    ash_list_for_each (item, &srv->listeners) {
        struct nbd_listener *l = ash_list_entry(item, struct nbd_listener, link);
        if (strcmp(l->uri, uri) == 0 || strcmp(rt_sock_address(l->sock), uri) == 0)
            return l;
    }
    return NULL;
}

int nbd_listen(struct nbd_server *srv, const char *uri, struct ash_err *err)
{
    if (find_listener(srv, uri))
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, uri, "the NBD server listens on '%s' already",
                           uri);
    struct nbd_listener *l = rt_alloc(sizeof(*l));
    char *copy = rt_strdup(uri);
    if (!l || !copy) {
        rt_free(l);
        rt_free(copy);
        return ash_err_set(err, ASH_E_NO_MEMORY, uri, "no memory for a listener");
    }
    srv->n_busy++;
    int rc = rt_listen(uri, 0600, &l->sock, err);
    if (rc == 0 && srv->stopping) {
        rt_sock_close(l->sock);
        rc = ash_err_set(err, ASH_E_CANCELED, uri, "the NBD server is shutting down");
    }
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
    if (rc) {
        rt_free(l);
        rt_free(copy);
        return ash_err_while(err, rc, "making the NBD server listen on '%s'", uri);
    }
    l->srv = srv;
    l->uri = copy;
    l->retry.fire = accept_retry;
    ash_list_push_tail(&srv->listeners, &l->link);
    accept_more(l);
    return 0;
}

static void close_listener(struct nbd_listener *l)
{
    struct nbd_server *srv = l->srv;
    srv->n_busy++;
    l->closing = true;
    ash_list_remove(&l->link);
    rt_timer_stop(&l->retry);
    if (l->op_busy)
        rt_op_cancel(&l->op);
    while (l->op_busy)
        rt_waitq_wait(&srv->changed);
    rt_sock_close(l->sock);
    rt_free(l->uri);
    rt_free(l);
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
}

int nbd_unlisten(struct nbd_server *srv, const char *uri, struct ash_err *err)
{
    struct nbd_listener *l = find_listener(srv, uri);
    if (!l)
        return ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, uri, "the NBD server has no listener '%s'",
                           uri);
    close_listener(l);
    return 0;
}

const char *nbd_listener_address(const struct nbd_server *srv, size_t idx)
{
    ash_list_for_each (item, &srv->listeners) {
        if (idx-- == 0)
            return rt_sock_address(ash_list_entry(item, struct nbd_listener, link)->sock);
    }
    return NULL;
}

/* --------------------------------------------------------------- server */

int nbd_server_create(struct bdev_mgr *mgr, struct nbd_server **ret_srv, struct ash_err *err)
{
    struct nbd_server *srv = rt_alloc(sizeof(*srv));
    if (!srv || ash_htab_init(&srv->exports)) {
        rt_free(srv);
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the NBD server");
    }
    srv->mgr = mgr;
    srv->limits = (struct nbd_limits){
        .max_connections = 4096,
        .max_export_connections = 1024,
        .max_inflight_requests = 1024,
        .max_inflight_bytes = 64u << 20,
        .handshake_ns = 60ull * 1000000000,
        .grace_ns = 500ull * 1000000,
    };
    ash_list_init(&srv->export_list);
    ash_list_init(&srv->listeners);
    ash_list_init(&srv->conns);
    rt_waitq_init(&srv->changed);
    *ret_srv = srv;
    return 0;
}

void nbd_server_destroy(struct nbd_server *srv)
{
    if (!srv)
        return;
    srv->stopping = true;
    while (!ash_list_empty(&srv->listeners))
        close_listener(ash_list_entry(srv->listeners.next, struct nbd_listener, link));
    ash_list_for_each (item, &srv->conns)
        conn_shut(ash_list_entry(item, struct nbd_conn, link));
    while (!ash_list_empty(&srv->export_list)) {
        struct nbd_export *exp = ash_list_entry(srv->export_list.next, struct nbd_export, link);
        if (exp->closing)
            rt_waitq_wait(&srv->changed); /* somebody removes it already */
        else
            nbd_remove_export(srv, exp->name, true, NULL);
    }
    while (srv->n_conns > 0 || srv->n_busy > 0)
        rt_waitq_wait(&srv->changed);
    ash_htab_fini(&srv->exports);
    rt_free(srv);
}

void nbd_get_limits(const struct nbd_server *srv, struct nbd_limits *ret_limits)
{
    *ret_limits = srv->limits;
}

void nbd_set_limits(struct nbd_server *srv, const struct nbd_limits *limits)
{
    srv->limits = *limits;
}

uint32_t nbd_n_connections(const struct nbd_server *srv)
{
    return srv->n_conns;
}

/* -------------------------------------------------------------- exports */

static struct nbd_export *find_export(const struct nbd_server *srv, const char *name)
{
    struct ash_hnode *node = ash_htab_find(&srv->exports, name);
    if (node)
        return ash_container_of(node, struct nbd_export, node);
    if (name[0])
        return NULL;
    if (srv->dflt)
        return srv->dflt;
    struct nbd_export *only = NULL;
    ash_list_for_each (item, &srv->export_list) {
        struct nbd_export *exp = ash_list_entry(item, struct nbd_export, link);
        if (exp->closing)
            continue;
        if (only)
            return NULL;
        only = exp;
    }
    return only;
}

static void export_free(struct nbd_export *exp)
{
    rt_free(exp->name);
    rt_free(exp->description);
    rt_free(exp);
}

/* Nobody finds it any more, its connections finish. */
static void begin_close(struct nbd_export *exp)
{
    struct nbd_server *srv = exp->srv;
    ASH_ASSERT(!exp->closing);
    exp->closing = true;
    ash_htab_remove(&srv->exports, &exp->node);
    if (srv->dflt == exp)
        srv->dflt = NULL;
    ash_list_for_each (item, &exp->conns)
        conn_shut(ash_list_entry(item, struct nbd_conn, exp_link));
}

static void finish_close(struct nbd_export *exp)
{
    struct nbd_server *srv = exp->srv;
    while (exp->n_attached > 0)
        rt_waitq_wait(&srv->changed);
    rt_timer_stop(&exp->retry);
    bdev_close(exp->desc);
    ash_list_remove(&exp->link);
    export_free(exp);
    rt_waitq_wake_all(&srv->changed);
}

static void close_export_task(void *arg)
{
    finish_close(arg);
}

static void spawn_close(struct nbd_export *exp)
{
    if (rt_task_spawn("nbd export removal", close_export_task, exp))
        rt_timer_start(&exp->retry, RETRY_NS);
}

static void retry_close(struct rt_timer *timer)
{
    spawn_close(ash_container_of(timer, struct nbd_export, retry));
}

/* A changed size needs nothing: every request looks at the device's size. */
static void on_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct nbd_export *exp = bdev_desc_user(desc);
    if (ev != BDEV_EVENT_REMOVE || exp->closing)
        return;
    if (exp->opening) {
        exp->removed = true;
        return;
    }
    begin_close(exp);
    spawn_close(exp);
}

static int check_name(const char *name, struct ash_err *err)
{
    size_t n = strlen(name);
    if (n == 0 || n > NBD_STRING_MAX || !ash_utf8_valid(name, n))
        return ash_err_set(err, ASH_E_BAD_NAME, NULL,
                           "the name of an NBD export must be 1 to %u bytes of UTF-8",
                           NBD_STRING_MAX);
    return 0;
}

int nbd_add_export(struct nbd_server *srv, const char *bdev_name, const char *name, bool readonly,
                   const char *description, struct ash_err *err)
{
    if (!name || !name[0])
        name = bdev_name;
    int rc = check_name(name, err);
    if (rc == 0 && description &&
        (strlen(description) > NBD_STRING_MAX || !ash_utf8_valid(description, strlen(description))))
        rc = ash_err_set(err, ASH_E_BAD_ARGUMENT, name,
                         "the description of export '%s' must be UTF-8, at most %u bytes", name,
                         NBD_STRING_MAX);
    if (rc)
        return rc;
    struct nbd_export *exp = rt_alloc(sizeof(*exp));
    if (exp) {
        exp->srv = srv;
        exp->name = rt_strdup(name);
        exp->description = rt_strdup(description ? description : "");
        exp->retry.fire = retry_close;
        ash_list_init(&exp->conns);
    }
    if (!exp || !exp->name || !exp->description) {
        if (exp)
            export_free(exp);
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for export '%s'", name);
    }
    /* The name is taken before anything waits, and found by clients when all is ready. */
    if (srv->stopping || ash_htab_insert(&srv->exports, &exp->node, exp->name)) {
        export_free(exp);
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, name, "an NBD export '%s' exists", name);
    }
    const struct bdev *bdev = bdev_find(srv->mgr, bdev_name);
    exp->read_only = readonly || (bdev && bdev->read_only);
    unsigned mode = BDEV_OPEN_UNALIGNED | (exp->read_only ? BDEV_OPEN_READ : BDEV_OPEN_WRITE);
    exp->opening = true;
    srv->n_busy++;
    rc = bdev_open(srv->mgr, bdev_name, mode, "nbd", on_event, exp, &exp->desc, err);
    exp->opening = false;
    if (rc == 0 && srv->stopping) {
        bdev_close(exp->desc);
        rc = ash_err_set(err, ASH_E_CANCELED, name, "the NBD server is shutting down");
    } else if (rc == 0 && exp->removed) {
        bdev_close(exp->desc);
        rc = ash_err_set(err, ASH_E_BDEV_REMOVED, bdev_name, "device '%s' is being removed",
                         bdev_name);
    }
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
    if (rc) {
        ash_htab_remove(&srv->exports, &exp->node);
        export_free(exp);
        return ash_err_while(err, rc, "exporting '%s' as '%s'", bdev_name, name);
    }
    exp->bdev = bdev_desc_bdev(exp->desc);
    ash_list_push_tail(&srv->export_list, &exp->link);
    return 0;
}

int nbd_remove_export(struct nbd_server *srv, const char *name, bool force, struct ash_err *err)
{
    struct nbd_export *exp = name[0] ? find_export(srv, name) : NULL;
    if (!exp || exp->opening)
        return ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, name, "no NBD export '%s'", name);
    if (exp->n_attached > 0 && !force)
        return ash_err_set(err, ASH_E_EXPORT_BUSY, name, "NBD export '%s' has %u connections", name,
                           exp->n_attached);
    begin_close(exp);
    finish_close(exp);
    return 0;
}

int nbd_set_default_export(struct nbd_server *srv, const char *name, struct ash_err *err)
{
    struct nbd_export *exp = name ? find_export(srv, name) : NULL;
    if (name && (!exp || exp->opening))
        return ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, name, "no NBD export '%s'", name);
    srv->dflt = exp;
    return 0;
}

static void export_info(const struct nbd_server *srv, const struct nbd_export *exp,
                        struct nbd_export_info *info)
{
    *info = (struct nbd_export_info){
        .name = exp->name,
        .description = exp->description,
        .bdev = exp->bdev->name,
        .size_bytes = nbd_size_now(exp->bdev),
        .read_only = exp->read_only,
        .is_default = find_export(srv, "") == exp,
        .n_connections = exp->n_attached,
        .counters = exp->ended,
    };
    ash_list_for_each (item, &exp->conns)
        add_counters(&info->counters, &ash_list_entry(item, struct nbd_conn, exp_link)->counters);
}

void nbd_for_each_export(const struct nbd_server *srv,
                         void (*fn)(const struct nbd_export_info *info, void *arg), void *arg)
{
    ash_list_for_each (item, &srv->export_list) {
        struct nbd_export *exp = ash_list_entry(item, struct nbd_export, link);
        struct nbd_export_info info;
        if (exp->closing)
            continue;
        export_info(srv, exp, &info);
        fn(&info, arg);
    }
}

bool nbd_find_export(const struct nbd_server *srv, const char *name,
                     struct nbd_export_info *ret_info)
{
    struct nbd_export *exp = find_export(srv, name);
    if (!exp || exp->opening)
        return false;
    export_info(srv, exp, ret_info);
    return true;
}

/* --------------------------------------- questions of handshaking clients */

struct question {
    struct nbd_conn *conn;
    const char *name;
    bool attach;
    struct nbd_export_view *view;
    struct ash_buf *out;
};

void nbd_export_view_free(struct nbd_export_view *view)
{
    rt_free(view->name);
    rt_free(view->description);
    *view = (struct nbd_export_view){0};
}

static uint16_t transmission_flags(const struct nbd_export *exp)
{
    unsigned f = NBD_TF_HAS_FLAGS | NBD_TF_SEND_FLUSH | NBD_TF_SEND_FUA | NBD_TF_SEND_WRITE_ZEROES |
                 NBD_TF_CAN_MULTI_CONN | NBD_TF_SEND_CACHE | NBD_TF_SEND_FAST_ZERO;
    if (exp->read_only)
        f |= NBD_TF_READ_ONLY;
    if (exp->bdev->rotational)
        f |= NBD_TF_ROTATIONAL;
    if (bdev_supports(exp->bdev, BDEV_UNMAP))
        f |= NBD_TF_SEND_TRIM;
    return (uint16_t)f;
}

static void add_ancestors(const struct nbd_export *exp, struct nbd_export_view *view)
{
    const char *name;
    while (view->n_ancestors < NBD_ANCESTORS_MAX) {
        struct nbd_ancestor *a = &view->ancestors[view->n_ancestors];
        if (!bdev_ancestor(exp->bdev, view->n_ancestors + 2, &name, &a->id))
            break;
        snprintf(a->name, sizeof(a->name), "%s", name);
        view->n_ancestors++;
    }
}

static int answer_export(void *arg)
{
    struct question *q = arg;
    struct nbd_server *srv = q->conn->srv;
    struct nbd_export *exp = find_export(srv, q->name);
    if (srv->stopping)
        return -ESHUTDOWN;
    if (!exp || exp->opening)
        return -ENOENT;
    if (q->attach && exp->n_attached >= srv->limits.max_export_connections)
        return -EMFILE;
    struct nbd_export_view view = {rt_strdup(exp->name), rt_strdup(exp->description),
                                   nbd_size_now(exp->bdev), transmission_flags(exp)};
    if (!view.name || !view.description) {
        nbd_export_view_free(&view);
        return -ENOMEM;
    }
    add_ancestors(exp, &view);
    *q->view = view;
    if (q->attach) {
        ASH_ASSERT(!q->conn->attached);
        q->conn->attached = exp;
        q->conn->exp = exp; /* for the connection, which waits for this answer */
        exp->n_attached++;
        ash_list_push_tail(&exp->conns, &q->conn->exp_link);
    }
    return 0;
}

static int answer_list(void *arg)
{
    struct question *q = arg;
    ash_list_for_each (item, &q->conn->srv->export_list) {
        const struct nbd_export *exp = ash_list_entry(item, struct nbd_export, link);
        struct ash_buf data = {0};
        struct be32 n_name = ash_be32((uint32_t)strlen(exp->name));
        if (exp->closing)
            continue;
        ash_buf_add(&data, &n_name, sizeof(n_name));
        ash_buf_str(&data, exp->name);
        ash_buf_str(&data, exp->description);
        nbd_put_option_reply(q->out, NBD_OPT_LIST, NBD_REP_SERVER, data.data, data.n_bytes);
        q->out->failed |= data.failed;
        ash_buf_free(&data);
    }
    return q->out->failed ? -ENOMEM : 0;
}

static int ask(struct question *q, int (*answer)(void *arg))
{
    rt_step("asking the control reactor");
    if (rt_self() == control())
        return answer(q);
    return rt_call_on(control(), "nbd question", answer, q);
}

int nbd_ask_export(struct nbd_conn *conn, const char *name, struct nbd_export_view *ret_view)
{
    struct question q = {.conn = conn, .name = name, .view = ret_view};
    return ask(&q, answer_export);
}

int nbd_ask_attach(struct nbd_conn *conn, const char *name, struct nbd_export_view *ret_view)
{
    struct question q = {.conn = conn, .name = name, .attach = true, .view = ret_view};
    return ask(&q, answer_export);
}

int nbd_ask_list(struct nbd_conn *conn, struct ash_buf *out)
{
    struct question q = {.conn = conn, .out = out};
    return ask(&q, answer_list);
}
