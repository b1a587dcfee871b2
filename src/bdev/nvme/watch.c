/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery services that are watched: one task for each, which reads the log, attaches the
 * subsystems that it tells of, and looks again when the service says that something has changed.
 * Two entries of one subsystem are two paths of one controller. What leaves the log is detached.
 *
 * While the service is away its controllers stay. What could not be attached is tried again at
 * every beat of the keep alive. Source: docs/spec/nvme-tcp.md 6, spdk-jsonrpc.md 10. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/nvme/host.h"

#define SECOND_NS UINT64_C(1000000000)

enum { DELAY_S_MAX = 10, ADDRESS_MAX = 256, PORT_MAX = 32 };

/* A path that an entry has become. */
struct attached {
    struct ash_list link;
    char group[128];
    char traddr[ADDRESS_MAX], trsvcid[PORT_MAX], subnqn[NVME_NQN_FIELD];
    bool is_listed;
};

/* A discovery service that the log refers to. */
struct referral {
    char traddr[ADDRESS_MAX], trsvcid[PORT_MAX], subnqn[NVME_NQN_FIELD];
};

enum { REFERRALS_MAX = 32 };

struct nvme_watch {
    struct ash_list link;
    struct nvme_host *host;
    char *name;
    struct nvme_group group; /* of the service's path; in no list */
    struct nvme_path path;
    struct nvme_watch_opts opts; /* but for name and path */
    struct ash_list attached;
    struct referral referrals[REFERRALS_MAX];
    unsigned n_referrals, next_idx, n_failed;
    uint64_t id;
    struct first_wait *first; /* of whoever started it and waits; NULL: nobody */
    struct rt_event ended;
};

/* On the stack of whoever waits: the watch may end meanwhile. */
struct first_wait {
    struct rt_event done;
    struct rt_timer timer;
    struct nvme_watch *watch;
};

/* ---------------------------------------------------------- from log to paths */

static struct attached *find(struct nvme_watch *watch, const struct attached *like)
{
    ash_list_for_each (l, &watch->attached) {
        struct attached *a = ash_list_entry(l, struct attached, link);
        if (strcmp(a->subnqn, like->subnqn) == 0 && strcmp(a->traddr, like->traddr) == 0 &&
            strcmp(a->trsvcid, like->trsvcid) == 0)
            return a;
    }
    return NULL;
}

/* The controller that other paths to it have, or a new name that nobody has. */
static void name_group(struct nvme_watch *watch, struct attached *a)
{
    ash_list_for_each (l, &watch->attached) {
        const struct attached *other = ash_list_entry(l, struct attached, link);
        if (strcmp(other->subnqn, a->subnqn) == 0 && nvme_group_find(watch->host, other->group)) {
            memcpy(a->group, other->group, sizeof(a->group));
            return;
        }
    }
    do
        snprintf(a->group, sizeof(a->group), "%.100s%u", watch->name, watch->next_idx++);
    while (nvme_group_find(watch->host, a->group));
}

static int attach(struct nvme_watch *watch, struct attached *a) ASH_MAY_WAIT
{
    struct nvme_path_opts opts;
    struct nvme_group *group;
    struct ash_err err = {0};
    const struct nvme_watch_opts *o = &watch->opts;
    unsigned idx = watch->next_idx;
    name_group(watch, a);
    int rc = nvme_path_opts_make(watch->host, a->traddr, a->trsvcid, a->subnqn,
                                 watch->path.opts.hostnqn, &opts, &err);
    if (rc == 0) {
        opts.loss_s = o->loss_s;
        opts.delay_s = o->delay_s;
        rc = nvme_attach(watch->host, a->group, true, 128,
                         o->fast_s ? o->fast_s * SECOND_NS : NVME_HOLD_NS_DEFAULT, &opts, &group,
                         &err);
    }
    if (rc) {
        watch->next_idx = idx;
        rt_log(RT_LOG_WARN, "nvme", "discovery '%s': '%s' at %s is not attached: %s", watch->name,
               a->subnqn, a->traddr, err.text);
        return rc;
    }
    group->is_watched = true;
    return 0;
}

static void detach(struct nvme_watch *watch, const struct attached *a) ASH_MAY_WAIT
{
    struct nvme_group *group = nvme_group_find(watch->host, a->group);
    struct nvme_path *path = group ? nvme_group_path(group, a->traddr, a->trsvcid) : NULL;
    if (path && group->n_paths > 1)
        nvme_path_detach(path);
    else if (path)
        nvme_group_remove(group);
}

static bool take_entry(const struct nvme_disc_entry *e, struct attached *ret)
{
    *ret = (struct attached){.is_listed = true};
    return nvme_disc_text(e->traddr, sizeof(e->traddr), ret->traddr, sizeof(ret->traddr)) &&
           nvme_disc_text(e->trsvcid, sizeof(e->trsvcid), ret->trsvcid, sizeof(ret->trsvcid)) &&
           nvme_disc_text(e->subnqn, sizeof(e->subnqn), ret->subnqn, sizeof(ret->subnqn)) &&
           ret->traddr[0] && nvme_nqn_ok(ret->subnqn, NVME_NQN_FIELD);
}

static void note_referral(struct nvme_watch *watch, const struct attached *a)
{
    if (watch->n_referrals == REFERRALS_MAX)
        return;
    struct referral *r = &watch->referrals[watch->n_referrals++];
    memcpy(r->traddr, a->traddr, sizeof(r->traddr));
    memcpy(r->trsvcid, a->trsvcid, sizeof(r->trsvcid));
    memcpy(r->subnqn, a->subnqn, sizeof(r->subnqn));
}

static void attach_entry(struct nvme_watch *watch, const struct attached *wanted) ASH_MAY_WAIT
{
    struct attached *a = find(watch, wanted);
    const struct nvme_group *group = a ? nvme_group_find(watch->host, a->group) : NULL;
    if (group && nvme_group_path(group, a->traddr, a->trsvcid)) {
        a->is_listed = true;
        return;
    }
    if (!a) {
        a = rt_alloc(sizeof(*a));
        if (!a) {
            watch->n_failed++;
            return;
        }
        *a = *wanted;
        ash_list_init(&a->link);
    } else { /* it was given up, or somebody has detached it */
        ash_list_remove(&a->link);
        a->is_listed = true;
    }
    if (attach(watch, a)) {
        rt_free(a);
        watch->n_failed++;
    } else {
        ash_list_push_tail(&watch->attached, &a->link);
    }
}

static void sync_with(struct nvme_watch *watch, const struct nvme_disc_entry *entries,
                      uint32_t n) ASH_MAY_WAIT
{
    struct attached wanted;
    watch->n_failed = watch->n_referrals = 0;
    ash_list_for_each (l, &watch->attached)
        ash_list_entry(l, struct attached, link)->is_listed = false;
    for (uint32_t i = 0; i < n && !watch->path.want_stop; i++) {
        if (entries[i].trtype != NVME_TRTYPE_TCP || !take_entry(&entries[i], &wanted))
            continue;
        if (entries[i].subtype == NVME_SUBTYPE_NVM)
            attach_entry(watch, &wanted);
        else if (entries[i].subtype == NVME_SUBTYPE_REFERRAL)
            note_referral(watch, &wanted);
    }
    ash_list_for_each_safe (l, &watch->attached) {
        struct attached *a = ash_list_entry(l, struct attached, link);
        if (a->is_listed || watch->path.want_stop)
            continue;
        detach(watch, a);
        ash_list_remove(&a->link);
        rt_free(a);
    }
}

/* Read the log and do as it says. */
static int look(struct nvme_watch *watch) ASH_MAY_WAIT
{
    struct nvme_disc_entry *entries = NULL;
    uint32_t n = 0;
    rt_step("reading the log");
    watch->path.log_changed = false;
    int rc = nvme_read_discovery(watch->path.admin, &entries, &n);
    rt_step("attaching");
    if (rc == 0)
        sync_with(watch, entries, n);
    rt_free(entries);
    return rc;
}

/* ------------------------------------------------------------------- its life */

static int bring_up(struct nvme_watch *watch, struct ash_err *err) ASH_MAY_WAIT
{
    struct nvme_path *path = &watch->path;
    path->has_lost_queue = path->has_rung = false;
    rt_step("connecting");
    int rc = nvme_path_open_admin(path, err);
    if (rc == 0)
        rc = nvme_admin_enable(path, err);
    /* One that tells of no changes is looked at with every beat. */
    if (rc == 0 && nvme_admin_events(path, NULL) != 0)
        path->id->oaes = ash_le32(0);
    if (rc == 0)
        rc = look(watch);
    return rc;
}

static void serve(struct nvme_watch *watch) ASH_MAY_WAIT
{
    struct nvme_path *path = &watch->path;
    uint64_t beat_ns = (uint64_t)path->opts.keep_alive_ms * 1000000 / 2;
    int rc = 0;
    while (rc == 0) {
        rt_step("connected");
        bool timed_out = nvme_path_bell_wait(path, beat_ns);
        if (path->want_stop || path->has_lost_queue)
            return;
        if (timed_out)
            rc = nvme_admin_keep_alive(path);
        if (rc == 0 && path->wants_event_request && nvme_admin_events(path, NULL) != 0)
            path->id->oaes = ash_le32(0);
        bool is_blind = ash_le32_get(path->id->oaes) == 0;
        if (rc == 0 && (path->log_changed || (timed_out && (is_blind || watch->n_failed))))
            rc = look(watch);
    }
}

static void tell_first(struct nvme_watch *watch, int rc)
{
    if (watch->first)
        rt_event_set(&watch->first->done, rc);
    watch->first = NULL;
}

static void watch_task(void *arg)
{
    struct nvme_watch *watch = arg;
    struct nvme_path *path = &watch->path;
    unsigned n_failed = 0;
    while (!path->want_stop) {
        struct ash_err err = {0};
        path->id->oaes = ash_le32(NVME_OAES_DISCOVERY);
        int rc = bring_up(watch, &err);
        if (rc)
            rt_log(RT_LOG_WARN, "nvme", "discovery '%s' at %s: %s", watch->name, path->opts.address,
                   err.text[0] ? err.text : ash_strerror(rc));
        tell_first(watch, rc);
        n_failed = rc ? n_failed + 1 : 0;
        if (rc == 0)
            serve(watch);
        (void)nvme_admin_end(path, true);
        nvme_qpair_close(path->admin);
        path->admin = NULL;
        unsigned delay_s = n_failed < 4 ? 1u << n_failed : DELAY_S_MAX;
        path->has_rung = path->want_stop;
        rt_step("waiting");
        if (!path->want_stop)
            nvme_path_bell_wait(path, delay_s * SECOND_NS);
    }
    tell_first(watch, -ECANCELED);
    rt_event_set(&watch->ended, 0);
}

static void watch_free(struct nvme_watch *watch)
{
    struct ash_list *l;
    while ((l = ash_list_pop_head(&watch->attached)))
        rt_free(ash_list_entry(l, struct attached, link));
    nvme_path_opts_free(&watch->path.opts);
    rt_free(watch->path.id);
    rt_free(watch->name);
    rt_free(watch);
}

static struct nvme_watch *find_watch(const struct nvme_host *host, const char *name)
{
    ash_list_for_each (l, &host->watches) {
        struct nvme_watch *watch = ash_list_entry(l, struct nvme_watch, link);
        if (strcmp(watch->name, name) == 0 && !watch->path.want_stop)
            return watch;
    }
    return NULL;
}

/* Its task has ended; nobody finds it any more. */
static void end_task(struct nvme_watch *watch) ASH_MAY_WAIT
{
    watch->path.want_stop = true;
    nvme_path_ring(&watch->path);
    rt_event_wait(&watch->ended);
    ash_list_remove(&watch->link);
}

static void waited_too_long(struct rt_timer *timer)
{
    struct first_wait *first = ash_container_of(timer, struct first_wait, timer);
    if (first->watch->first == first)
        tell_first(first->watch, -ETIMEDOUT);
}

static struct nvme_watch *watch_new(struct nvme_host *host, struct nvme_watch_opts *opts)
{
    struct nvme_watch *watch = rt_alloc(sizeof(*watch));
    if (!watch)
        return NULL;
    ash_list_init(&watch->attached);
    watch->host = host;
    watch->opts = *opts;
    watch->path.opts = opts->path;
    watch->opts.path = opts->path = (struct nvme_path_opts){0};
    watch->name = rt_strdup(opts->name);
    watch->path.id = rt_alloc(sizeof(*watch->path.id));
    watch->group = (struct nvme_group){.host = host, .name = watch->name};
    watch->path.group = &watch->group;
    nvme_path_bell_init(&watch->path);
    watch->ended = RT_EVENT_INIT;
    watch->id = ++host->n_watches_ever;
    if (watch->name && watch->path.id)
        return watch;
    watch_free(watch);
    return NULL;
}

/* Until the first look has ended. If it has failed, so has the start. */
static int await_first(struct nvme_host *host, struct nvme_watch *watch,
                       const struct nvme_watch_opts *opts, struct ash_err *err) ASH_MAY_WAIT
{
    struct first_wait first = {RT_EVENT_INIT, {.fire = waited_too_long}, watch};
    uint64_t id = watch->id;
    watch->first = &first; /* cppcheck-suppress autoVariables; it is waited for here */
    if (opts->wait_ns)
        rt_timer_start(&first.timer, opts->wait_ns);
    int rc = rt_event_wait(&first.done);
    if (rt_timer_armed(&first.timer))
        rt_timer_stop(&first.timer);
    if (rc == 0)
        return 0;
    watch = find_watch(host, opts->name); /* or has somebody stopped it? */
    if (watch && watch->id == id) {
        end_task(watch);
        watch_free(watch);
    }
    return ash_err_set_rc(err, rc, ASH_E_NVME_CONNECT, opts->name,
                          "the discovery service of '%s' cannot be used: %s", opts->name,
                          ash_strerror(rc));
}

int nvme_watch_start(struct nvme_host *host, struct nvme_watch_opts *opts, struct ash_err *err)
{
    nvme_know_hostid(host);
    struct nvme_watch *watch = NULL;
    if (find_watch(host, opts->name)) {
        nvme_path_opts_free(&opts->path);
        return ash_err_set(err, ASH_E_NVME_EXISTS, opts->name,
                           "a discovery service is watched as '%s' already", opts->name);
    }
    watch = watch_new(host, opts);
    if (watch)
        ash_list_push_tail(&host->watches, &watch->link);
    if (!watch || rt_task_spawn("nvme discovery", watch_task, watch)) {
        nvme_path_opts_free(&opts->path);
        if (watch) {
            ash_list_remove(&watch->link);
            watch_free(watch);
        }
        return ash_err_set(err, ASH_E_NO_MEMORY, opts->name, "no memory to watch a service");
    }
    return opts->wait ? await_first(host, watch, opts, err) : 0;
}

int nvme_watch_stop(struct nvme_host *host, const char *name, struct ash_err *err)
{
    struct nvme_watch *watch = find_watch(host, name);
    if (!watch)
        return ash_err_set(err, ASH_E_NVME_NOT_FOUND, name, "no discovery service is '%s'", name);
    end_task(watch);
    ash_list_for_each (l, &watch->attached)
        detach(watch, ash_list_entry(l, struct attached, link));
    watch_free(watch);
    return 0;
}

void nvme_watches_fini(struct nvme_host *host)
{
    while (!ash_list_empty(&host->watches)) {
        struct nvme_watch *watch = ash_list_entry(host->watches.next, struct nvme_watch, link);
        end_task(watch);
        watch_free(watch);
    }
}

/* --------------------------------------------------------------------- listing */

static void dump_trid(const char *member, const char *traddr, const char *trsvcid,
                      const char *subnqn, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, member);
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_str(w, "adrfam", strchr(traddr, ':') ? "IPv6" : "IPv4");
    ash_jsonw_str(w, "traddr", traddr);
    ash_jsonw_str(w, "trsvcid", trsvcid);
    ash_jsonw_str(w, "subnqn", subnqn);
    ash_jsonw_obj_end(w);
}

void nvme_dump_watches(const struct nvme_host *host, struct ash_jsonw *w)
{
    ash_jsonw_arr(w, NULL);
    ash_list_for_each (l, &host->watches) {
        const struct nvme_watch *watch = ash_list_entry(l, struct nvme_watch, link);
        const struct nvme_path_opts *o = &watch->path.opts;
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "name", watch->name);
        dump_trid("trid", o->traddr, o->trsvcid, o->subnqn, w);
        ash_jsonw_arr(w, "referrals");
        for (unsigned i = 0; i < watch->n_referrals; i++) {
            const struct referral *r = &watch->referrals[i];
            ash_jsonw_obj(w, NULL);
            dump_trid("trid", r->traddr, r->trsvcid, r->subnqn, w);
            ash_jsonw_obj_end(w);
        }
        ash_jsonw_arr_end(w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
}

void nvme_dump_watch_config(const struct nvme_host *host, struct ash_jsonw *w)
{
    ash_list_for_each (l, &host->watches) {
        const struct nvme_watch *watch = ash_list_entry(l, struct nvme_watch, link);
        const struct nvme_path_opts *o = &watch->path.opts;
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "method", "bdev_nvme_start_discovery");
        ash_jsonw_obj(w, "params");
        ash_jsonw_str(w, "name", watch->name);
        ash_jsonw_str(w, "trtype", "TCP");
        ash_jsonw_str(w, "adrfam", o->is_ipv6 ? "IPv6" : "IPv4");
        ash_jsonw_str(w, "traddr", o->traddr);
        ash_jsonw_str(w, "trsvcid", o->trsvcid);
        ash_jsonw_str(w, "hostnqn", o->hostnqn);
        ash_jsonw_i64(w, "ctrlr_loss_timeout_sec", watch->opts.loss_s);
        ash_jsonw_u64(w, "reconnect_delay_sec", watch->opts.delay_s);
        ash_jsonw_u64(w, "fast_io_fail_timeout_sec", watch->opts.fast_s);
        ash_jsonw_obj_end(w);
        ash_jsonw_obj_end(w);
    }
}
