/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a path: one task that connects, serves, notices the end, and begins again.
 *
 *   CONNECTING  -> ENABLED   every step of bring_up succeeded
 *               -> DELAYED   it failed, and the path may be away for longer; then CONNECTING again
 *               -> FAILED    it failed, and the path has no more tries; a reset begins again
 *   ENABLED     -> CONNECTING  the connection failed, or a reset was asked for
 *   any         -> DELETING  detached, or away for longer than loss_s
 *
 * A failure of any queue ends all of them: ios that were in flight are held by their lanes before
 * the first step of the next attempt, so none is forgotten and none runs on two connections of one
 * path. Source: docs/spec/nvme-tcp.md 10, spdk-jsonrpc.md 10. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/nvme/host.h"

#define SECOND_NS UINT64_C(1000000000)

enum { ADMIN_DEPTH = 31, DELAY_S_MAX = 10 };

const char *nvme_path_state_name(enum nvme_path_state state)
{
    static const char *const names[] = {"resetting", "enabled", "reconnect_is_delayed", "failed",
                                        "deleting"};
    return names[state];
}

void nvme_path_opts_free(struct nvme_path_opts *opts)
{
    rt_free(opts->address);
    rt_free(opts->traddr);
    rt_free(opts->trsvcid);
    rt_free(opts->subnqn);
    rt_free(opts->hostnqn);
    rt_free(opts->key_name);
    rt_free(opts->ctrlr_key_name);
    if (opts->key)
        nvme_chap_wipe(opts->key, sizeof(*opts->key));
    if (opts->ctrlr_key)
        nvme_chap_wipe(opts->ctrlr_key, sizeof(*opts->ctrlr_key));
    rt_free(opts->key);
    rt_free(opts->ctrlr_key);
    if (opts->psk)
        nvme_chap_wipe(opts->psk, sizeof(*opts->psk));
    rt_free(opts->psk);
    rt_free(opts->psk_name);
    *opts = (struct nvme_path_opts){0};
}

/* --------------------------------------------------------------------- bell */

void nvme_path_ring(struct nvme_path *path)
{
    path->has_rung = true;
    rt_waitq_wake_all(&path->bell_q);
}

static void bell_fired(struct rt_timer *timer)
{
    struct nvme_path *path = ash_container_of(timer, struct nvme_path, bell_timer);
    path->timer_fired = true;
    rt_waitq_wake_all(&path->bell_q);
}

void nvme_path_bell_init(struct nvme_path *path)
{
    rt_waitq_init(&path->bell_q);
    path->bell_timer.fire = bell_fired;
}

bool nvme_path_bell_wait(struct nvme_path *path, uint64_t ns)
{
    path->timer_fired = false;
    if (ns)
        rt_timer_start(&path->bell_timer, ns);
    while (!path->has_rung && !path->timer_fired)
        rt_waitq_wait(&path->bell_q);
    rt_timer_stop(&path->bell_timer);
    bool timed_out = !path->has_rung;
    path->has_rung = false;
    return timed_out;
}

/* ---------------------------------------- what happens on other reactors */

static void lost_on_control(struct rt_job *job)
{
    struct nvme_path_job *j = ash_container_of(job, struct nvme_path_job, job);
    j->path->has_lost_queue = true;
    nvme_path_ring(j->path);
}

/* An I/O queue has failed; on its reactor. Its ios follow when the task closes it. */
static void queue_failed(struct nvme_qpair *qp)
{
    struct nvme_path *path = qp->opts.owner;
    ash_list_remove(&qp->link);
    rt_post(rt_reactor(rt_world(), 0), &path->lost_jobs[qp->opts.qid - 1].job);
}

static void admin_failed(struct nvme_qpair *qp)
{
    struct nvme_path *path = qp->opts.owner;
    path->has_lost_queue = true;
    nvme_path_ring(path);
}

static void suspect_on_control(struct rt_job *job)
{
    struct nvme_path_job *j = ash_container_of(job, struct nvme_path_job, job);
    atomic_store(&j->is_posted, false);
    j->path->ana_changed = true;
    nvme_path_ring(j->path);
}

void nvme_path_ana_suspect(struct nvme_path *path)
{
    struct nvme_path_job *j = &path->ana_jobs[rt_reactor_idx(rt_self())];
    if (!atomic_exchange(&j->is_posted, true))
        rt_post(rt_reactor(rt_world(), 0), &j->job);
}

/* A late command is to be aborted: said on the admin queue, by the control reactor. */
struct abort_job {
    struct rt_job job;
    struct nvme_path *path;
    uint16_t qid, cid;
};

static void abort_on_control(struct rt_job *job)
{
    struct abort_job *a = ash_container_of(job, struct abort_job, job);
    a->path->n_aborts--;
    nvme_admin_abort(a->path, a->qid, a->cid);
    rt_waitq_wake_all(&a->path->group->host->gone_q);
    rt_free(a);
}

static bool command_late(struct nvme_qpair *qp, struct nvme_cmd *cmd)
{
    struct nvme_path *path = qp->opts.owner;
    if (path->opts.late_action == NVME_LATE_NONE)
        return true;
    if (path->opts.late_action == NVME_LATE_RESET || qp->opts.qid == 0)
        return false;
    struct abort_job *a = rt_alloc(sizeof(*a));
    if (!a)
        return false;
    *a = (struct abort_job){{.run = abort_on_control}, path, qp->opts.qid, cmd->cid};
    path->n_aborts++;
    rt_post(rt_reactor(rt_world(), 0), &a->job);
    return true;
}

/* ------------------------------------------------------------------- queues */

struct queue_call {
    struct nvme_path *path;
    unsigned idx;
    struct ash_err *err;
};

static void fill_opts(const struct nvme_path *path, struct nvme_qpair_opts *o)
{
    *o = (struct nvme_qpair_opts){
        .address = path->opts.address,
        .subnqn = path->opts.subnqn,
        .hostnqn = path->opts.hostnqn,
        .chap_key = path->opts.key,
        .chap_ctrlr_key = path->opts.ctrlr_key,
        .psk = path->opts.psk,
        .hdgst = path->opts.hdgst,
        .ddgst = path->opts.ddgst,
        .connect_timeout_ns = path->opts.connect_timeout_ns,
        .late = command_late,
        .owner = (void *)(uintptr_t)path,
    };
    memcpy(o->hostid, &path->group->host->hostid, sizeof(o->hostid));
}

static int open_queue(void *arg) ASH_MAY_WAIT;

static int open_queue(void *arg)
{
    struct queue_call *c = arg;
    struct nvme_path *path = c->path;
    struct nvme_qpair_opts o;
    struct nvme_qpair *qp;
    fill_opts(path, &o);
    o.qid = (uint16_t)(c->idx + 1);
    o.cntlid = path->admin->cntlid;
    o.depth = path->depth;
    o.timeout_ns = path->opts.timeout_ns;
    o.io_done = nvme_lane_io_done;
    o.failed = queue_failed;
    int rc = nvme_qpair_open(&o, &qp, c->err);
    if (rc)
        return rc;
    qp->in_capsule_bytes = ash_le32_get(path->id->ioccsz) * 16 - (uint32_t)sizeof(struct nvme_sqe);
    path->queues[c->idx] = qp;
    return 0;
}

static int add_queue(void *arg)
{
    struct queue_call *c = arg;
    struct nvme_qpair *qp = c->path->queues[c->idx];
    if (c->path->was_hung_up)
        nvme_lane_is_over(&c->path->group->lanes[c->idx], c->path->idx);
    if (!qp->has_failed) /* else its failure has been told already */
        nvme_lane_add(&c->path->group->lanes[c->idx], qp);
    return 0;
}

static int close_queue(void *arg) ASH_MAY_WAIT;

static int close_queue(void *arg)
{
    struct queue_call *c = arg;
    struct nvme_qpair *qp = c->path->queues[c->idx];
    c->path->queues[c->idx] = NULL;
    ash_list_remove(&qp->link);
    nvme_qpair_close(qp);
    if (c->path->is_over)
        nvme_lane_is_over(&c->path->group->lanes[c->idx], c->path->idx);
    nvme_lane_kick(&c->path->group->lanes[c->idx]); /* onto another path, if there is one */
    return 0;
}

static int on_lane(struct nvme_path *path, unsigned idx, int (*fn)(void *arg),
                   struct ash_err *err) ASH_MAY_WAIT
{
    struct queue_call c = {path, idx, err};
    return rt_call_on(path->group->lanes[idx].reactor, "nvme queue", fn, &c);
}

/* Ios that go out again must not meet their older selves: the controller is asked to end, as long
 * as it can be asked. */
static void tear_down(struct nvme_path *path) ASH_MAY_WAIT
{
    bool was_up = path->has_served;
    rt_step("disconnecting");
    int rc = path->admin && (was_up || path->want_stop) ? nvme_admin_end(path, path->want_stop)
                                                        : -ENOTCONN;
    path->is_over = rc == 0;
    path->has_served = false;
    if (was_up)
        path->was_hung_up = path->admin && path->admin->is_by_peer;
    for (unsigned i = 0; i < path->group->n_lanes; i++)
        if (path->queues[i])
            on_lane(path, i, close_queue, NULL);
    nvme_qpair_close(path->admin);
    path->admin = NULL;
    while (path->n_aborts)
        rt_waitq_wait(&path->group->host->gone_q);
}

int nvme_path_open_admin(struct nvme_path *path, struct ash_err *err)
{
    struct nvme_qpair_opts o;
    fill_opts(path, &o);
    o.cntlid = NVME_CNTLID_DYNAMIC;
    o.depth = ADMIN_DEPTH;
    o.kato_ms = path->opts.keep_alive_ms;
    o.timeout_ns = path->opts.timeout_admin_ns;
    o.failed = admin_failed;
    o.late = NULL;
    return nvme_qpair_open(&o, &path->admin, err);
}

/* ----------------------------------------------------------------- the life */

static int bring_up(struct nvme_path *path, struct ash_err *err) ASH_MAY_WAIT
{
    unsigned n_lanes = path->group->n_lanes, n_granted;
    path->n_begun++;
    path->has_lost_queue = path->want_reset = path->ns_changed = path->ana_changed = false;
    rt_step("connecting");
    int rc = nvme_path_open_admin(path, err);
    if (rc == 0)
        rc = nvme_admin_enable(path, err);
    if (rc == 0)
        rc = nvme_admin_identify(path, err);
    if (rc == 0)
        rc = nvme_admin_events(path, err);
    if (rc == 0)
        rc = nvme_admin_queues(path, n_lanes, &n_granted, err);
    if (rc == 0 && n_granted < n_lanes)
        rc = ash_err_set(err, ASH_E_NVME_TOO_FEW_QUEUES, path->opts.subnqn,
                         "'%s' grants %u I/O queues, not %u: attach with num_io_queues=%u",
                         path->opts.subnqn, n_granted, n_lanes, n_granted);
    for (unsigned i = 0; i < n_lanes && rc == 0; i++)
        rc = on_lane(path, i, open_queue, err);
    for (unsigned i = 0; i < n_lanes && rc == 0; i++) {
        path->has_served = true;
        on_lane(path, i, add_queue, NULL);
    }
    if (rc == 0)
        path->was_hung_up = false;
    rt_step("reading namespaces");
    return rc ? rc : nvme_ns_scan(path, err);
}

/* Until the connection ends or somebody wants it to. */
static void serve(struct nvme_path *path) ASH_MAY_WAIT
{
    uint64_t beat_ns = (uint64_t)path->opts.keep_alive_ms * 1000000 / 2;
    for (;;) {
        rt_step("connected");
        bool timed_out = nvme_path_bell_wait(path, beat_ns);
        if (path->want_stop || path->want_reset || path->has_lost_queue)
            return;
        int rc = timed_out ? nvme_admin_keep_alive(path) : 0;
        if (rc == 0 && path->wants_event_request)
            rc = nvme_admin_events(path, NULL);
        if (rc == 0 && path->ns_changed) {
            struct le32 changed[NVME_NS_LIST_MAX];
            path->ns_changed = false;
            /* Reading the list, and Linux' nvmet wants it whole, is what lets the next event come;
             * what is in it we ask anew. */
            (void)nvme_admin_log(path->admin, NVME_LOG_CHANGED_NS, NVME_NSID_ALL, 0, changed,
                                 sizeof(changed));
            rc = nvme_ns_scan(path, NULL) == -ENOTCONN ? -ENOTCONN : 0;
            nvme_group_kick(path->group);
        }
        if (rc == 0 && path->ana_changed) {
            path->ana_changed = false;
            rc = nvme_ns_read_ana(path) == -ENOTCONN ? -ENOTCONN : 0;
            nvme_group_kick(path->group);
        }
        if (rc) {
            rt_log(RT_LOG_WARN, "nvme", "'%s' at %s does not answer: %s", path->opts.subnqn,
                   path->opts.address, ash_strerror(rc));
            return;
        }
    }
}

static void set_state(struct nvme_path *path, enum nvme_path_state state) ASH_MAY_WAIT
{
    path->state = state;
    nvme_group_update(path->group);
}

static void tell_reset(struct nvme_path *path, int rc)
{
    path->reset_rc = rc;
    path->n_attempts++;
    rt_waitq_wake_all(&path->group->host->gone_q);
}

/* How long until the next attempt; false: there is none. */
static bool next_delay(const struct nvme_path *path, unsigned n_failed, uint64_t *ret_ns)
{
    uint64_t away_ns = rt_now_ns() - path->lost_since_ns;
    if (path->opts.loss_s == 0)
        return false;
    if (path->opts.loss_s > 0 && away_ns >= (uint64_t)path->opts.loss_s * SECOND_NS)
        return false;
    uint64_t delay_s = path->opts.delay_s;
    if (delay_s == 0) { /* 1, 2, 4, 8, then 10 s */
        unsigned shift = ASH_MIN(n_failed - 1, 4u);
        delay_s = ASH_MIN(1u << shift, (unsigned)DELAY_S_MAX);
    }
    *ret_ns = delay_s * SECOND_NS;
    return true;
}

/* After an attempt that failed. False: the path ends. */
static bool wait_for_next(struct nvme_path *path, unsigned n_failed) ASH_MAY_WAIT
{
    uint64_t delay_ns = 0;
    if (next_delay(path, n_failed, &delay_ns)) {
        set_state(path, NVME_PATH_DELAYED);
    } else if (path->opts.loss_s > 0) {
        rt_log(RT_LOG_ERR, "nvme", "'%s' at %s has been away for %d s and is given up",
               path->opts.subnqn, path->opts.address, path->opts.loss_s);
        return false;
    } else {
        set_state(path, NVME_PATH_FAILED);
    }
    while (!path->want_stop && !path->want_reset)
        if (nvme_path_bell_wait(path, delay_ns))
            break;
    return !path->want_stop;
}

static void live(struct nvme_path *path) ASH_MAY_WAIT
{
    unsigned n_failed = 0;
    for (;;) {
        struct ash_err why = {0};
        set_state(path, NVME_PATH_CONNECTING);
        int rc = bring_up(path, path->is_new ? path->first_err : &why);
        if (rc == 0 && !path->has_lost_queue) {
            n_failed = 0;
            path->lost_since_ns = 0;
            set_state(path, NVME_PATH_ENABLED);
            nvme_group_kick(path->group);
            if (path->is_new)
                rt_event_set(&path->first_done, 0);
            else
                rt_log(RT_LOG_INFO, "nvme", "'%s' at %s is connected", path->opts.subnqn,
                       path->opts.address);
            path->is_new = false;
            tell_reset(path, 0);
            serve(path);
            path->lost_since_ns = rt_now_ns();
            set_state(path, NVME_PATH_CONNECTING);
            tear_down(path);
            if (path->want_stop)
                return;
            rt_log(RT_LOG_WARN, "nvme", "'%s' at %s: connection ended; connecting again",
                   path->opts.subnqn, path->opts.address);
            continue;
        }
        tear_down(path);
        tell_reset(path, rc ? rc : -ENOTCONN);
        if (path->is_new || path->want_stop) {
            path->first_rc = rc ? rc : -ENOTCONN;
            return;
        }
        if (!path->lost_since_ns)
            path->lost_since_ns = rt_now_ns();
        if (!wait_for_next(path, ++n_failed))
            return;
    }
}

static void path_free(struct nvme_path *path)
{
    nvme_path_opts_free(&path->opts);
    rt_free(path->id);
    rt_free(path->queues);
    rt_free(path);
}

static void last_path_task(void *arg)
{
    struct nvme_group *group = arg;
    group->n_users--;
    nvme_group_remove(group);
}

static void path_task(void *arg)
{
    struct nvme_path *path = arg;
    struct nvme_group *group = path->group;
    live(path);
    bool was_new = path->is_new;
    set_state(path, NVME_PATH_DELETING);
    ash_list_remove(&path->link);
    group->n_paths--;
    nvme_ns_forget_path(path);
    nvme_group_update(group);
    bool abandoned = !path->want_stop && !was_new && group->n_paths == 0 && !group->is_removing;
    struct rt_event *stopped = path->stopped;
    if (was_new) { /* whoever attaches frees it */
        rt_event_set(&path->first_done, path->first_rc ? path->first_rc : -ECANCELED);
    } else {
        path_free(path);
    }
    if (abandoned) { /* given up by itself: the group goes as well */
        group->n_users++;
        if (rt_task_spawn("nvme controller removal", last_path_task, group) != 0)
            group->n_users--;
    }
    rt_waitq_wake_all(&group->host->gone_q);
    if (stopped)
        rt_event_set(stopped, 0);
}

void nvme_path_detach(struct nvme_path *path)
{
    struct nvme_host *host = path->group->host;
    struct rt_event stopped = RT_EVENT_INIT;
    if (path->stopped) { /* somebody else waits for it */
        struct nvme_group *group = path->group;
        unsigned n = group->n_paths;
        group->n_users++;
        while (group->n_paths >= n && group->n_paths)
            rt_waitq_wait(&host->gone_q);
        group->n_users--;
        return;
    }
    path->stopped = &stopped; /* cppcheck-suppress autoVariables; it is waited for below */
    path->want_stop = true;
    nvme_path_ring(path);
    rt_event_wait(&stopped);
}

int nvme_path_reset(struct nvme_path *path, struct ash_err *err)
{
    struct nvme_group *group = path->group;
    uint64_t n = path->n_begun; /* one that has begun already does not count */
    int rc = -ECANCELED;
    path->want_reset = true;
    nvme_path_ring(path);
    group->n_users++;
    for (;;) {
        bool there = false;
        ash_list_for_each (l, &group->paths)
            there |= ash_list_entry(l, struct nvme_path, link) == path;
        if (there && path->n_attempts > n)
            rc = path->reset_rc;
        if (!there || path->n_attempts > n)
            break;
        rt_waitq_wait(&group->host->gone_q);
    }
    group->n_users--;
    rt_waitq_wake_all(&group->host->gone_q);
    return rc ? ash_err_set_rc(err, rc, ASH_E_NVME_CONNECT, group->name,
                               "controller '%s' could not be reset: %s", group->name,
                               ash_strerror(rc))
              : 0;
}

static unsigned free_idx(const struct nvme_group *group)
{
    bool taken[NVME_PATHS_MAX] = {false};
    unsigned idx = 0;
    ash_list_for_each (l, &group->paths)
        taken[ash_list_entry(l, struct nvme_path, link)->idx] = true;
    while (idx < NVME_PATHS_MAX && taken[idx])
        idx++;
    return idx;
}

static struct nvme_path *path_new(struct nvme_group *group, struct nvme_path_opts *opts)
{
    struct nvme_path *path = rt_alloc(sizeof(*path));
    if (!path)
        return NULL;
    path->group = group;
    path->id = rt_alloc(sizeof(*path->id));
    path->queues = rt_alloc(group->n_lanes * sizeof(struct nvme_qpair *));
    if (!path->id || !path->queues) {
        path_free(path);
        return NULL;
    }
    path->opts = *opts;
    *opts = (struct nvme_path_opts){0};
    nvme_path_bell_init(path);
    path->is_new = true;
    path->first_done = RT_EVENT_INIT;
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++) {
        path->lost_jobs[i].job.run = lost_on_control;
        path->ana_jobs[i].job.run = suspect_on_control;
        path->lost_jobs[i].path = path->ana_jobs[i].path = path;
    }
    return path;
}

int nvme_path_attach(struct nvme_group *group, struct nvme_path_opts *opts, struct ash_err *err)
{
    unsigned idx = free_idx(group);
    struct nvme_path *path = idx < NVME_PATHS_MAX ? path_new(group, opts) : NULL;
    if (!path) {
        int rc =
            idx < NVME_PATHS_MAX
                ? ash_err_set(err, ASH_E_NO_MEMORY, group->name, "no memory for a path")
                : ash_err_set(err, ASH_E_NVME_PATHS, group->name,
                              "controller '%s' has %u paths already", group->name, NVME_PATHS_MAX);
        nvme_path_opts_free(opts);
        return rc;
    }
    path->idx = idx;
    path->first_err = err;
    ash_list_push_tail(&group->paths, &path->link);
    group->n_paths++;
    int rc = rt_task_spawn("nvme path", path_task, path);
    if (rc) {
        ash_list_remove(&path->link);
        group->n_paths--;
        path_free(path);
        return ash_err_set(err, ASH_E_NO_MEMORY, group->name, "no memory for a task");
    }
    rc = rt_event_wait(&path->first_done);
    if (rc == 0)
        return 0;
    ash_err_set_rc(err, rc, ASH_E_NVME_CONNECT, group->name, "no connection to '%s' at %s: %s",
                   path->opts.subnqn, path->opts.address, ash_strerror(rc));
    path_free(path);
    return rc;
}
