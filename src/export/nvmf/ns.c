/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: a device under a number, on every reactor.
 *
 * Invariants
 *  - a namespace that is closing cannot be found on any reactor; its device is closed when the
 *    last command that uses it, on any reactor, has ended;
 *  - a view (reservations, hosts) is never changed: a new one replaces it, and the old one is freed
 *    when all reactors have the new one;
 *  - sub->ns is the control reactor's truth; locals[i].ns follow it. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <stdio.h>

#define RETRY_NS 100000000ull
#define CLAIM_BY "NVMe-oF Target"

/* ------------------------------------------------------- on each reactor */

static void attach_one(void *arg, unsigned idx)
{
    struct nvmf_ns *ns = arg;
    ns->locals[idx].view = ns->view;
    ns->sub->locals[idx].ns[ns->nsid - 1] = &ns->locals[idx];
}

static void detach_one(void *arg, unsigned idx)
{
    struct nvmf_ns *ns = arg;
    struct nvmf_local_ns *lns = &ns->locals[idx];
    ns->sub->locals[idx].ns[ns->nsid - 1] = NULL;
    lns->closing = true;
    while (lns->n_busy > 0)
        rt_waitq_wait(&lns->idle);
    if (lns->ch)
        bdev_channel_put(lns->ch);
    lns->ch = NULL;
}

struct bdev_channel *nvmf_local_channel(struct nvmf_local_ns *lns)
{
    if (!lns->ch)
        lns->ch = bdev_channel_get(lns->ns->desc);
    return lns->ch;
}

void nvmf_local_put(struct nvmf_local *local)
{
    ASH_ASSERT(local->n_conns > 0);
    if (--local->n_conns > 0)
        return;
    for (uint32_t i = 0; i < local->sub->max_namespaces; i++) {
        struct nvmf_local_ns *lns = local->ns[i];
        if (!lns || !lns->ch)
            continue;
        ASH_ASSERT(lns->n_busy == 0);
        bdev_channel_put(lns->ch);
        lns->ch = NULL;
    }
}

void nvmf_sum_counters(const struct nvmf_ns *ns, struct nvmf_counters *sum)
{
    enum { N = sizeof(*sum) / sizeof(uint64_t) };
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        const uint64_t *from = (const uint64_t *)&ns->locals[i].counters;
        for (size_t k = 0; k < N; k++)
            ((uint64_t *)sum)[k] += __atomic_load_n(&from[k], __ATOMIC_RELAXED);
    }
}

/* ----------------------------------------------------------------- views */

static void view_free(struct nvmf_ns_view *view)
{
    if (!view)
        return;
    rt_free(view->regs);
    rt_free(view->hosts);
    rt_free(view);
}

static uint32_t count_hosts(const struct nvmf_ns *ns)
{
    uint32_t n = 0;
    ash_list_for_each (item, &ns->hosts)
        n++;
    return n;
}

/* NULL in *ret_view: everything is allowed. */
static int make_view(const struct nvmf_ns *ns, struct nvmf_ns_view **ret_view)
{
    const struct nvmf_resv *r = &ns->resv;
    *ret_view = NULL;
    if (!ns->no_auto_visible && r->rtype == NVME_RESV_NONE)
        return 0;
    struct nvmf_ns_view *view = rt_alloc(sizeof(*view));
    if (!view)
        return -ENOMEM;
    view->hidden = ns->no_auto_visible;
    view->rtype = r->rtype;
    memcpy(view->holder, r->holder, sizeof(view->holder));
    view->regs = rt_alloc((r->n_regs + 1) * sizeof(*view->regs));
    view->hosts = rt_alloc((count_hosts(ns) + 1) * sizeof(*view->hosts));
    if (!view->regs || !view->hosts) {
        view_free(view);
        return -ENOMEM;
    }
    for (; view->n_regs < r->n_regs; view->n_regs++)
        memcpy(view->regs[view->n_regs], r->regs[view->n_regs].hostid, 16);
    ash_list_for_each (item, &ns->hosts)
        memcpy(view->hosts[view->n_hosts++], ash_list_entry(item, struct nvmf_host, link)->nqn,
               NVME_NQN_FIELD);
    *ret_view = view;
    return 0;
}

struct publish {
    struct nvmf_ns *ns;
    struct nvmf_ns_view *view;
};

static void publish_one(void *arg, unsigned idx)
{
    struct publish *p = arg;
    p->ns->locals[idx].view = p->view;
}

int nvmf_ns_publish(struct nvmf_ns *ns)
{
    struct publish p = {.ns = ns};
    int rc = make_view(ns, &p.view);
    if (rc)
        return rc;
    nvmf_on_all(publish_one, &p);
    view_free(ns->view);
    ns->view = p.view;
    return 0;
}

bool nvmf_ns_visible_to(const struct nvmf_ns *ns, const char *hostnqn)
{
    if (!ns->no_auto_visible)
        return true;
    ash_list_for_each (item, &ns->hosts) {
        if (strcmp(ash_list_entry(item, struct nvmf_host, link)->nqn, hostnqn) == 0)
            return true;
    }
    return false;
}

struct nvmf_ns *nvmf_ctrlr_ns(const struct nvmf_ctrlr *ctrlr, uint32_t nsid)
{
    const struct nvmf_subsystem *sub = ctrlr->sub;
    if (nsid == 0 || nsid > sub->max_namespaces)
        return NULL;
    struct nvmf_ns *ns = sub->ns[nsid - 1];
    return ns && !ns->opening && !ns->closing && nvmf_ns_visible_to(ns, ctrlr->hostnqn) ? ns : NULL;
}

void nvmf_ns_changed(struct nvmf_ns *ns)
{
    ash_list_for_each (item, &ns->sub->ctrlrs) {
        struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (nvmf_ns_visible_to(ns, ctrlr->hostnqn))
            nvmf_ns_note_changed(ctrlr, ns->nsid);
    }
}

/* -------------------------------------------------------------- removing */

static void ns_free(struct nvmf_ns *ns)
{
    struct ash_list *item;
    while ((item = ash_list_pop_head(&ns->hosts)) != NULL)
        rt_free(ash_list_entry(item, struct nvmf_host, link));
    view_free(ns->view);
    rt_free(ns->locals);
    rt_free(ns->bdev_name);
    rt_free(ns->ptpl_file);
    rt_free(ns);
}

void nvmf_ns_close(struct nvmf_ns *ns)
{
    struct nvmf_subsystem *sub = ns->sub;
    ASH_ASSERT(!ns->closing && !ns->opening);
    ns->closing = true;
    nvmf_on_all(detach_one, ns);
    nvmf_sum_counters(ns, &sub->ended);
    sub->ns[ns->nsid - 1] = NULL;
    nvmf_ns_changed(ns);
    bdev_close(ns->desc);
    ns_free(ns);
}

/* Close what has lost its device. A share without its volume is none. */
static void sweep_task(void *arg)
{
    struct nvmf_server *srv = arg;
    rt_mutex_lock(&srv->lock);
    srv->sweeping = false;
again:
    ash_list_for_each (item, &srv->subsystems) {
        struct nvmf_subsystem *sub = ash_list_entry(item, struct nvmf_subsystem, link);
        for (uint32_t i = 0; i < sub->max_namespaces; i++) {
            if (!sub->ns[i] || !sub->ns[i]->removed || sub->ns[i]->opening)
                continue;
            if (sub->shared)
                nvmf_subsystem_close(sub);
            else
                nvmf_ns_close(sub->ns[i]);
            goto again; /* that has waited: the list may be another */
        }
    }
    rt_mutex_unlock(&srv->lock);
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
}

static void start_sweep(struct nvmf_server *srv)
{
    if (srv->sweeping)
        return;
    if (rt_task_spawn("nvmf namespace removal", sweep_task, srv)) {
        rt_timer_start(&srv->sweep_retry, RETRY_NS);
        return;
    }
    srv->sweeping = true;
    srv->n_busy++;
}

void nvmf_sweep_retry(struct rt_timer *timer)
{
    start_sweep(ash_container_of(timer, struct nvmf_server, sweep_retry));
}

static void on_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct nvmf_ns *ns = bdev_desc_user(desc);
    if (ev == BDEV_EVENT_RESIZE) {
        if (!ns->opening && !ns->closing)
            nvmf_ns_changed(ns);
        return;
    }
    ns->removed = true;
    if (!ns->opening && !ns->closing)
        start_sweep(ns->sub->srv);
}

/* ---------------------------------------------------------------- adding */

static int choose_nsid(struct nvmf_subsystem *sub, uint32_t nsid, uint32_t *ret_nsid,
                       struct ash_err *err)
{
    if (nsid > sub->max_namespaces)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, sub->nqn, "'%s' has namespaces 1 to %u",
                           sub->nqn, sub->max_namespaces);
    if (nsid && sub->ns[nsid - 1])
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, sub->nqn, "'%s' has a namespace %u already",
                           sub->nqn, nsid);
    for (uint32_t i = 0; !nsid && i < sub->max_namespaces; i++) {
        if (!sub->ns[i])
            nsid = i + 1;
    }
    if (!nsid)
        return ash_err_set(err, ASH_E_EXPORT_LIMIT, sub->nqn, "'%s' has %u namespaces already",
                           sub->nqn, sub->max_namespaces);
    *ret_nsid = nsid;
    return 0;
}

static struct nvmf_ns *ns_new(struct nvmf_subsystem *sub, const struct nvmf_ns_opts *o,
                              uint32_t nsid)
{
    struct nvmf_ns *ns = rt_alloc(sizeof(*ns));
    if (!ns)
        return NULL;
    unsigned n_reactors = rt_n_reactors(rt_world());
    ns->sub = sub;
    ns->nsid = nsid;
    ns->anagrpid = o->anagrpid ? o->anagrpid : nsid;
    ns->no_auto_visible = o->no_auto_visible;
    ash_list_init(&ns->hosts);
    rt_mutex_init(&ns->resv_lock);
    ns->bdev_name = rt_strdup(o->bdev_name);
    ns->ptpl_file = o->ptpl_file ? rt_strdup(o->ptpl_file) : NULL;
    ns->locals = rt_alloc(n_reactors * sizeof(*ns->locals));
    if (!ns->bdev_name || !ns->locals || (o->ptpl_file && !ns->ptpl_file)) {
        ns_free(ns);
        return NULL;
    }
    for (unsigned i = 0; i < n_reactors; i++) {
        ns->locals[i].ns = ns;
        rt_waitq_init(&ns->locals[i].idle);
    }
    return ns;
}

static void set_ids(struct nvmf_ns *ns, const struct nvmf_ns_opts *o)
{
    ns->uuid = ash_uuid_is_nil(&o->uuid) ? ns->bdev->uuid : o->uuid;
    ns->has_nguid = o->has_nguid;
    ns->has_eui64 = o->has_eui64;
    memcpy(ns->nguid, o->has_nguid ? o->nguid : ns->uuid.b, 16);
    memcpy(ns->eui64, o->eui64, 8);
}

static int open_bdev(struct nvmf_ns *ns, struct ash_err *err)
{
    struct bdev_mgr *mgr = ns->sub->srv->mgr;
    const struct bdev *bdev = bdev_find(mgr, ns->bdev_name);
    ns->read_only = bdev && bdev->read_only;
    int rc = bdev_open(mgr, ns->bdev_name, ns->read_only ? BDEV_OPEN_READ : BDEV_OPEN_WRITE, "nvmf",
                       on_event, ns, &ns->desc, err);
    if (rc)
        return rc;
    ns->bdev = bdev_desc_bdev(ns->desc);
    uint32_t block = ns->bdev->block_bytes;
    if (!ash_is_pow2(block) || block < 512 || block > 4096)
        rc = ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, ns->bdev_name,
                         "blocks of %u bytes cannot be a namespace", block);
    else if (!ns->read_only)
        rc = bdev_claim(ns->desc, BDEV_CLAIM_EXCL_WRITE, 0, CLAIM_BY, err);
    if (rc)
        bdev_close(ns->desc);
    return rc;
}

static int check_ns(struct nvmf_subsystem *sub, const struct nvmf_ns_opts *o, struct ash_err *err)
{
    if (sub->discovery)
        return nvmf_no_subsystem(sub->nqn, err);
    if (o->anagrpid > sub->max_namespaces)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, sub->nqn, "ANA groups of '%s' are 1 to %u",
                           sub->nqn, sub->max_namespaces);
    return 0;
}

static int add_ns(struct nvmf_subsystem *sub, const struct nvmf_ns_opts *o, uint32_t *ret_nsid,
                  struct ash_err *err)
{
    uint32_t nsid = 0;
    int rc = check_ns(sub, o, err);
    if (rc == 0)
        rc = choose_nsid(sub, o->nsid, &nsid, err);
    if (rc)
        return rc;
    struct nvmf_ns *ns = ns_new(sub, o, nsid);
    if (!ns)
        return ash_err_set(err, ASH_E_NO_MEMORY, sub->nqn, "no memory for a namespace");
    ns->opening = true;
    sub->ns[nsid - 1] = ns;
    rc = open_bdev(ns, err);
    if (rc == 0) {
        set_ids(ns, o);
        rc = nvmf_resv_load(ns, err);
        if (rc == 0 && ns->removed)
            rc = ash_err_set(err, ASH_E_BDEV_REMOVED, o->bdev_name, "device '%s' is being removed",
                             o->bdev_name);
        if (rc == 0 && make_view(ns, &ns->view))
            rc = ash_err_set(err, ASH_E_NO_MEMORY, sub->nqn, "no memory for a namespace");
        if (rc)
            bdev_close(ns->desc);
    }
    if (rc) {
        sub->ns[nsid - 1] = NULL;
        ns_free(ns);
        return ash_err_while(err, rc, "adding '%s' to '%s'", o->bdev_name, sub->nqn);
    }
    nvmf_on_all(attach_one, ns);
    ns->opening = false;
    if (ns->removed)
        start_sweep(sub->srv);
    nvmf_ns_changed(ns);
    *ret_nsid = nsid;
    return 0;
}

int nvmf_add_ns(struct nvmf_server *srv, const char *nqn, const struct nvmf_ns_opts *opts,
                uint32_t *ret_nsid, struct ash_err *err)
{
    rt_mutex_lock(&srv->lock);
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    int rc = sub ? add_ns(sub, opts, ret_nsid, err) : nvmf_no_subsystem(nqn, err);
    rt_mutex_unlock(&srv->lock);
    return rc;
}

/* The namespace of a change; -ENOENT with err set. Lock held. */
static int find_ns(struct nvmf_server *srv, const char *nqn, uint32_t nsid, struct nvmf_ns **ret_ns,
                   struct ash_err *err)
{
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    if (!sub)
        return nvmf_no_subsystem(nqn, err);
    struct nvmf_ns *ns = nsid && nsid <= sub->max_namespaces ? sub->ns[nsid - 1] : NULL;
    if (!ns)
        return ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, nqn, "'%s' has no namespace %u", nqn, nsid);
    *ret_ns = ns;
    return 0;
}

int nvmf_remove_ns(struct nvmf_server *srv, const char *nqn, uint32_t nsid, struct ash_err *err)
{
    struct nvmf_ns *ns = NULL;
    rt_mutex_lock(&srv->lock);
    int rc = find_ns(srv, nqn, nsid, &ns, err);
    if (rc == 0)
        nvmf_ns_close(ns);
    rt_mutex_unlock(&srv->lock);
    return rc;
}

int nvmf_set_ns_ana_group(struct nvmf_server *srv, const char *nqn, uint32_t nsid,
                          uint32_t anagrpid, struct ash_err *err)
{
    struct nvmf_ns *ns = NULL;
    rt_mutex_lock(&srv->lock);
    int rc = find_ns(srv, nqn, nsid, &ns, err);
    if (rc == 0 && (anagrpid == 0 || anagrpid > ns->sub->max_namespaces))
        rc = ash_err_set(err, ASH_E_BAD_ARGUMENT, nqn, "ANA groups of '%s' are 1 to %u", nqn,
                         ns->sub->max_namespaces);
    if (rc == 0) {
        __atomic_store_n(&ns->anagrpid, anagrpid, __ATOMIC_RELAXED);
        nvmf_ns_changed(ns);
        ash_list_for_each (item, &ns->sub->ctrlrs)
            nvmf_event(ash_list_entry(item, struct nvmf_ctrlr, link), NVMF_EV_ANA);
    }
    rt_mutex_unlock(&srv->lock);
    return rc;
}

static int set_visible(struct nvmf_ns *ns, const char *host, bool visible, struct ash_err *err)
{
    bool is = ns->no_auto_visible && nvmf_ns_visible_to(ns, host);
    if (!ns->no_auto_visible)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, ns->bdev_name,
                           "namespace %u is visible to all hosts", ns->nsid);
    if (!nvme_nqn_ok(host, strlen(host) + 1))
        return ash_err_set(err, ASH_E_BAD_NAME, host, "'%s' is no NQN", host);
    if (is == visible)
        return visible
                   ? ash_err_set(err, ASH_E_EXPORT_EXISTS, host, "'%s' sees it already", host)
                   : ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, host, "'%s' does not see it", host);
    struct nvmf_host *h = NULL;
    if (visible) {
        h = rt_alloc(sizeof(*h));
        if (!h)
            return ash_err_set(err, ASH_E_NO_MEMORY, host, "no memory for a host");
        snprintf(h->nqn, sizeof(h->nqn), "%s", host);
        ash_list_push_tail(&ns->hosts, &h->link);
    } else {
        nvmf_ns_changed(ns);
        ash_list_for_each (item, &ns->hosts) {
            h = ash_list_entry(item, struct nvmf_host, link);
            if (strcmp(h->nqn, host) == 0)
                break;
        }
        ash_list_remove(&h->link);
        rt_free(h);
    }
    rt_mutex_lock(&ns->resv_lock); /* that publishes too */
    int rc = nvmf_ns_publish(ns);
    rt_mutex_unlock(&ns->resv_lock);
    if (rc)
        return ash_err_set(err, ASH_E_NO_MEMORY, host, "no memory for the hosts of a namespace");
    if (visible)
        nvmf_ns_changed(ns);
    return 0;
}

int nvmf_ns_visible(struct nvmf_server *srv, const char *nqn, uint32_t nsid, const char *host,
                    bool visible, struct ash_err *err)
{
    struct nvmf_ns *ns = NULL;
    rt_mutex_lock(&srv->lock);
    int rc = find_ns(srv, nqn, nsid, &ns, err);
    if (rc == 0)
        rc = set_visible(ns, host, visible, err);
    rt_mutex_unlock(&srv->lock);
    return rc;
}
