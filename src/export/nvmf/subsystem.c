/* SPDX-License-Identifier: Apache-2.0 */
/* Subsystems: who may reach what by which listener. Control reactor only.
 *
 * Invariants
 *  - the discovery subsystem is the first of the list and goes last; others stand in order of NQN;
 *  - a path (subsystem and listener) is freed when no connection points at it;
 *  - a subsystem that is closing admits nobody; it is freed when its controllers are gone. */
#include "base/nvme_chap.h"
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <stdio.h>

int nvmf_no_subsystem(const char *nqn, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, nqn, "Subsystem with NQN '%s' not found", nqn);
}

struct nvmf_subsystem *nvmf_find_subsystem(const struct nvmf_server *srv, const char *nqn)
{
    ash_list_for_each (item, &srv->subsystems) {
        struct nvmf_subsystem *sub = ash_list_entry(item, struct nvmf_subsystem, link);
        if (!sub->closing && strcmp(sub->nqn, nqn) == 0)
            return sub;
    }
    return NULL;
}

const char *nvmf_ana_name(unsigned state)
{
    switch (state) {
    case NVME_ANA_OPTIMIZED:
        return "optimized";
    case NVME_ANA_NON_OPTIMIZED:
        return "non_optimized";
    case NVME_ANA_INACCESSIBLE:
        return "inaccessible";
    case NVME_ANA_PERSISTENT_LOSS:
        return "persistent_loss";
    default:
        return "change";
    }
}

/* --------------------------------------------------------------- making */

static void sub_free(struct nvmf_subsystem *sub)
{
    if (sub->locals) {
        for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++)
            rt_free(sub->locals[i].ns);
    }
    rt_free(sub->locals);
    rt_free(sub->statics);
    rt_free(sub->ns);
    rt_free(sub);
}

static struct nvmf_subsystem *sub_new(struct nvmf_server *srv, uint32_t max_namespaces)
{
    unsigned n_reactors = rt_n_reactors(rt_world());
    struct nvmf_subsystem *sub = rt_alloc(sizeof(*sub));
    if (!sub)
        return NULL;
    sub->srv = srv;
    sub->max_namespaces = max_namespaces;
    sub->since_ns = rt_now_ns();
    ash_list_init(&sub->hosts);
    ash_list_init(&sub->paths);
    ash_list_init(&sub->ctrlrs);
    sub->ns = rt_alloc((max_namespaces + 1) * sizeof(*sub->ns));
    sub->locals = rt_alloc(n_reactors * sizeof(*sub->locals));
    bool ok = sub->ns && sub->locals;
    for (unsigned i = 0; ok && i < n_reactors; i++) {
        sub->locals[i].sub = sub;
        sub->locals[i].ns = rt_alloc((max_namespaces + 1) * sizeof(*sub->locals[i].ns));
        ok = sub->locals[i].ns != NULL;
    }
    if (ok)
        return sub;
    sub_free(sub);
    return NULL;
}

int nvmf_make_discovery(struct nvmf_server *srv, struct ash_err *err)
{
    struct nvmf_subsystem *sub = sub_new(srv, 0);
    if (!sub)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the discovery subsystem");
    snprintf(sub->nqn, sizeof(sub->nqn), "%s", NVME_DISCOVERY_NQN);
    sub->discovery = sub->allow_any_host = true;
    sub->min_cntlid = NVME_CNTLID_MIN;
    sub->max_cntlid = NVME_CNTLID_MAX;
    ash_list_push_tail(&srv->subsystems, &sub->link);
    return 0;
}

static bool printable(const char *text, size_t n_max)
{
    size_t n = strlen(text);
    if (n > n_max)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < 0x20 || text[i] > 0x7E)
            return false;
    }
    return true;
}

static int check_opts(const struct nvmf_server *srv, const struct nvmf_subsystem_opts *o,
                      struct ash_err *err)
{
    if (!nvme_nqn_ok(o->nqn, strlen(o->nqn) + 1) || strcmp(o->nqn, NVME_DISCOVERY_NQN) == 0)
        return ash_err_set(err, ASH_E_BAD_NAME, o->nqn, "'%s' is no NQN for a subsystem", o->nqn);
    if (nvmf_find_subsystem(srv, o->nqn))
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, o->nqn, "subsystem '%s' exists", o->nqn);
    if (srv->stopping || srv->n_subsystems >= srv->limits.max_subsystems)
        return ash_err_set(err, ASH_E_EXPORT_LIMIT, o->nqn, "there are %u subsystems already",
                           srv->n_subsystems);
    if ((o->serial_number && !printable(o->serial_number, 20)) ||
        (o->model_number && !printable(o->model_number, 40)))
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, o->nqn,
                           "serial and model number must be ASCII, at most 20 and 40 characters");
    if (o->max_namespaces > NVME_NS_LIST_MAX)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, o->nqn, "max_namespaces must be at most %u",
                           NVME_NS_LIST_MAX);
    uint32_t min = o->min_cntlid ? o->min_cntlid : NVME_CNTLID_MIN;
    uint32_t max = o->max_cntlid ? o->max_cntlid : NVME_CNTLID_MAX;
    if (min > max || max > NVME_CNTLID_MAX)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, o->nqn, "Invalid cntlid range [%u-%u]", min,
                           max);
    uint32_t n_static_max = ASH_MIN(max - min + 1, (uint32_t)NVMF_STATICS_MAX);
    if (o->n_static_cntlids > n_static_max)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, o->nqn,
                           "at most %u controller ids of the range %u to %u can be static",
                           n_static_max, min, max);
    return 0;
}

static void insert_sorted(struct nvmf_subsystem *sub)
{
    struct nvmf_server *srv = sub->srv;
    struct ash_list *at = srv->subsystems.next->next; /* behind the discovery subsystem */
    while (at != &srv->subsystems &&
           strcmp(ash_list_entry(at, struct nvmf_subsystem, link)->nqn, sub->nqn) < 0)
        at = at->next;
    ash_list_insert_before(at, &sub->link);
    srv->n_subsystems++;
}

int nvmf_create_subsystem(struct nvmf_server *srv, const struct nvmf_subsystem_opts *o,
                          struct ash_err *err)
{
    rt_mutex_lock(&srv->lock);
    int rc = check_opts(srv, o, err);
    struct nvmf_subsystem *sub = NULL;
    if (rc == 0) {
        sub = sub_new(srv, o->max_namespaces ? o->max_namespaces : 32);
        if (sub && nvmf_statics_init(sub, o->n_static_cntlids)) {
            sub_free(sub);
            sub = NULL;
        }
        if (!sub)
            rc = ash_err_set(err, ASH_E_NO_MEMORY, o->nqn, "no memory for subsystem '%s'", o->nqn);
    }
    if (rc == 0) {
        snprintf(sub->nqn, sizeof(sub->nqn), "%s", o->nqn);
        snprintf(sub->serial, sizeof(sub->serial), "%s",
                 o->serial_number && o->serial_number[0] ? o->serial_number
                                                         : "00000000000000000000");
        snprintf(sub->model, sizeof(sub->model), "%s",
                 o->model_number && o->model_number[0] ? o->model_number
                                                       : "Ashlar NVMe controller");
        sub->allow_any_host = o->allow_any_host;
        sub->ana_reporting = o->ana_reporting;
        sub->openebs = o->openebs;
        sub->min_cntlid = o->min_cntlid ? o->min_cntlid : NVME_CNTLID_MIN;
        sub->max_cntlid = o->max_cntlid ? o->max_cntlid : NVME_CNTLID_MAX;
        sub->dmrsl = o->dmrsl ? o->dmrsl : 2097152;
        insert_sorted(sub);
        nvmf_discovery_changed(srv);
    }
    rt_mutex_unlock(&srv->lock);
    return rc;
}

/* -------------------------------------------------------------- removing */

static void path_close(struct nvmf_path *path)
{
    struct nvmf_subsystem *sub = path->sub;
    struct nvmf_server *srv = sub->srv;
    path->closing = true;
    ash_list_for_each_safe (item, &sub->ctrlrs) {
        struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (ctrlr->path == path)
            nvmf_ctrlr_kill(ctrlr);
    }
    while (path->n_conns > 0)
        rt_waitq_wait(&srv->changed);
    ash_list_remove(&path->link);
    nvmf_put_listener(path->listener);
    rt_free(path->ana);
    rt_free(path->ana_group_changes);
    rt_free(path);
}

static void free_keys(struct nvmf_host *host)
{
    if (host->key)
        nvme_chap_wipe(host->key, sizeof(*host->key));
    if (host->ctrlr_key)
        nvme_chap_wipe(host->ctrlr_key, sizeof(*host->ctrlr_key));
    rt_free(host->key);
    rt_free(host->ctrlr_key);
    rt_free(host->key_name);
    rt_free(host->ctrlr_key_name);
    host->key = host->ctrlr_key = NULL;
    host->key_name = host->ctrlr_key_name = NULL;
}

static void host_free(struct nvmf_host *host)
{
    free_keys(host);
    nvmf_host_forget_psk(host);
    rt_free(host);
}

void nvmf_subsystem_close(struct nvmf_subsystem *sub)
{
    struct nvmf_server *srv = sub->srv;
    sub->closing = true;
    ash_list_for_each_safe (item, &sub->ctrlrs)
        nvmf_ctrlr_kill(ash_list_entry(item, struct nvmf_ctrlr, link));
    while (!ash_list_empty(&sub->ctrlrs))
        rt_waitq_wait(&srv->changed);
    while (!ash_list_empty(&sub->paths))
        path_close(ash_list_entry(sub->paths.next, struct nvmf_path, link));
    for (uint32_t i = 0; i < sub->max_namespaces; i++) {
        if (sub->ns[i])
            nvmf_ns_close(sub->ns[i]);
    }
    struct ash_list *item;
    while ((item = ash_list_pop_head(&sub->hosts)) != NULL)
        host_free(ash_list_entry(item, struct nvmf_host, link));
    if (!sub->discovery)
        srv->n_subsystems--;
    ash_list_remove(&sub->link);
    sub_free(sub);
    if (!srv->stopping)
        nvmf_discovery_changed(srv);
    rt_waitq_wake_all(&srv->changed);
}

int nvmf_delete_subsystem(struct nvmf_server *srv, const char *nqn, struct ash_err *err)
{
    rt_mutex_lock(&srv->lock);
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    int rc = 0;
    if (!sub || sub->discovery)
        rc = nvmf_no_subsystem(nqn, err);
    else
        nvmf_subsystem_close(sub);
    rt_mutex_unlock(&srv->lock);
    return rc;
}

/* ----------------------------------------------------------------- hosts */

struct nvmf_host *nvmf_find_host(const struct nvmf_subsystem *sub, const char *nqn)
{
    ash_list_for_each (item, &sub->hosts) {
        struct nvmf_host *host = ash_list_entry(item, struct nvmf_host, link);
        if (strcmp(host->nqn, nqn) == 0)
            return host;
    }
    return NULL;
}

bool nvmf_host_allowed(const struct nvmf_subsystem *sub, const char *hostnqn)
{
    return sub->allow_any_host || nvmf_find_host(sub, hostnqn);
}

int nvmf_add_host(struct nvmf_server *srv, const char *nqn, const char *host, struct ash_err *err)
{
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    if (!sub || sub->discovery)
        return nvmf_no_subsystem(nqn, err);
    if (!nvme_nqn_ok(host, strlen(host) + 1))
        return ash_err_set(err, ASH_E_BAD_NAME, host, "'%s' is no NQN", host);
    if (nvmf_find_host(sub, host))
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, host, "host '%s' is allowed already", host);
    if (sub->n_hosts >= NVMF_HOSTS_MAX)
        return ash_err_set(err, ASH_E_EXPORT_LIMIT, nqn, "'%s' has %u hosts already", nqn,
                           sub->n_hosts);
    struct nvmf_host *h = rt_alloc(sizeof(*h));
    if (!h)
        return ash_err_set(err, ASH_E_NO_MEMORY, host, "no memory for a host");
    snprintf(h->nqn, sizeof(h->nqn), "%s", host);
    ash_list_push_tail(&sub->hosts, &h->link);
    sub->n_hosts++;
    nvmf_discovery_changed(srv);
    return 0;
}

static struct nvme_chap_key *copy_key(const struct nvme_chap_key *key)
{
    struct nvme_chap_key *copy = rt_alloc(sizeof(*copy));
    if (copy)
        *copy = *key;
    return copy;
}

int nvmf_set_host_keys(struct nvmf_server *srv, const char *nqn, const char *host,
                       const struct nvmf_host_keys *keys, struct ash_err *err)
{
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    struct nvmf_host *h = sub ? nvmf_find_host(sub, host) : NULL, new = {0};
    if (!h)
        return sub ? ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, host, "'%s' does not list host '%s'",
                                 nqn, host)
                   : nvmf_no_subsystem(nqn, err);
    bool ok = true;
    if (keys->key) {
        new.key = copy_key(keys->key);
        new.key_name = rt_strdup(keys->key_name);
        ok = new.key &&new.key_name;
    }
    if (ok && keys->key && keys->ctrlr_key) {
        new.ctrlr_key = copy_key(keys->ctrlr_key);
        new.ctrlr_key_name = rt_strdup(keys->ctrlr_key_name);
        ok = new.ctrlr_key &&new.ctrlr_key_name;
    }
    if (!ok) {
        free_keys(&new);
        return ash_err_set(err, ASH_E_NO_MEMORY, host, "no memory for keys");
    }
    free_keys(h);
    h->key = new.key;
    h->key_name = new.key_name;
    h->ctrlr_key = new.ctrlr_key;
    h->ctrlr_key_name = new.ctrlr_key_name;
    return 0;
}

static bool host_connected(const struct nvmf_subsystem *sub, const char *host)
{
    ash_list_for_each (item, &sub->ctrlrs) {
        if (strcmp(ash_list_entry(item, struct nvmf_ctrlr, link)->hostnqn, host) == 0)
            return true;
    }
    return false;
}

int nvmf_remove_host(struct nvmf_server *srv, const char *nqn, const char *host,
                     struct ash_err *err)
{
    rt_mutex_lock(&srv->lock);
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    struct nvmf_host *h = sub ? nvmf_find_host(sub, host) : NULL;
    int rc = 0;
    if (!h) {
        rc = sub ? ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, host, "'%s' does not list host '%s'",
                               nqn, host)
                 : nvmf_no_subsystem(nqn, err);
    } else {
        ash_list_remove(&h->link);
        host_free(h);
        sub->n_hosts--;
        if (!sub->allow_any_host) {
            ash_list_for_each_safe (item, &sub->ctrlrs) {
                struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
                if (strcmp(ctrlr->hostnqn, host) == 0)
                    nvmf_ctrlr_kill(ctrlr);
            }
            while (host_connected(sub, host) && !nvmf_find_host(sub, host))
                rt_waitq_wait(&srv->changed);
        }
        nvmf_discovery_changed(srv);
    }
    rt_mutex_unlock(&srv->lock);
    return rc;
}

int nvmf_allow_any_host(struct nvmf_server *srv, const char *nqn, bool allow, struct ash_err *err)
{
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    if (!sub || sub->discovery)
        return nvmf_no_subsystem(nqn, err);
    sub->allow_any_host = allow;
    nvmf_discovery_changed(srv);
    return 0;
}

/* ------------------------------------------------------------- listeners */

struct nvmf_path *nvmf_find_path(const struct nvmf_subsystem *sub, uint64_t listener_id)
{
    ash_list_for_each (item, &sub->paths) {
        struct nvmf_path *path = ash_list_entry(item, struct nvmf_path, link);
        if (path->listener_id == listener_id && !path->closing)
            return path;
    }
    return NULL;
}

static struct nvmf_path *path_new(struct nvmf_subsystem *sub, unsigned ana_state)
{
    struct nvmf_path *path = rt_alloc(sizeof(*path));
    if (!path)
        return NULL;
    uint32_t n_groups = sub->max_namespaces + 1;
    path->sub = sub;
    path->ana = rt_alloc(n_groups);
    path->ana_group_changes = rt_alloc(n_groups * sizeof(*path->ana_group_changes));
    if (!path->ana || !path->ana_group_changes) {
        rt_free(path->ana);
        rt_free(path->ana_group_changes);
        rt_free(path);
        return NULL;
    }
    memset(path->ana, ana_state ? (int)ana_state : NVME_ANA_OPTIMIZED, n_groups);
    return path;
}

static int add_listener(struct nvmf_subsystem *sub, const struct nvmf_address *address,
                        unsigned ana_state, char *ret_trsvcid, struct ash_err *err)
{
    struct nvmf_server *srv = sub->srv;
    if (!srv->has_transport)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, "TCP",
                           "there is no TCP transport (nvmf_create_transport)");
    if (address->secure && (sub->discovery || sub->allow_any_host))
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, sub->nqn,
                           "TLS is for subsystems that list their hosts, not for '%s'", sub->nqn);
    struct nvmf_listener *old = nvmf_find_listener(srv, address);
    if (old && nvmf_find_path(sub, old->id))
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, sub->nqn, "'%s' listens on %s:%s already",
                           sub->nqn, address->traddr, address->trsvcid);
    struct nvmf_path *path = path_new(sub, ana_state);
    if (!path)
        return ash_err_set(err, ASH_E_NO_MEMORY, sub->nqn, "no memory for a listener");
    path->listener = nvmf_get_listener(srv, address, err);
    if (!path->listener) {
        rt_free(path->ana);
        rt_free(path->ana_group_changes);
        rt_free(path);
        return err && err->rc ? err->rc : -EADDRNOTAVAIL;
    }
    path->listener_id = path->listener->id;
    path->port_id = (uint16_t)path->listener->id;
    ash_list_push_tail(&sub->paths, &path->link);
    if (ret_trsvcid)
        snprintf(ret_trsvcid, sizeof(path->listener->trsvcid), "%s", path->listener->trsvcid);
    nvmf_discovery_changed(srv);
    return 0;
}

int nvmf_add_listener(struct nvmf_server *srv, const char *nqn, const struct nvmf_address *address,
                      unsigned ana_state, char *ret_trsvcid, struct ash_err *err)
{
    rt_mutex_lock(&srv->lock);
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    int rc =
        sub ? add_listener(sub, address, ana_state, ret_trsvcid, err) : nvmf_no_subsystem(nqn, err);
    rt_mutex_unlock(&srv->lock);
    return rc;
}

static struct nvmf_path *path_at(const struct nvmf_subsystem *sub,
                                 const struct nvmf_address *address, struct ash_err *err)
{
    const struct nvmf_listener *l = nvmf_find_listener(sub->srv, address);
    struct nvmf_path *path = l ? nvmf_find_path(sub, l->id) : NULL;
    if (!path)
        ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, sub->nqn, "'%s' does not listen on %s:%s",
                    sub->nqn, address->traddr, address->trsvcid);
    return path;
}

int nvmf_remove_listener(struct nvmf_server *srv, const char *nqn,
                         const struct nvmf_address *address, struct ash_err *err)
{
    rt_mutex_lock(&srv->lock);
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    struct nvmf_path *path = sub ? path_at(sub, address, err) : NULL;
    int rc = 0;
    if (path) {
        path_close(path);
        nvmf_discovery_changed(srv);
    } else {
        rc = sub ? -ENOENT : nvmf_no_subsystem(nqn, err);
    }
    rt_mutex_unlock(&srv->lock);
    return rc;
}

/* --------------------------------------------------------- ANA, discovery */

int nvmf_set_ana_state(struct nvmf_server *srv, const char *nqn, const struct nvmf_address *address,
                       unsigned ana_state, uint32_t anagrpid, struct ash_err *err)
{
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    if (!sub || sub->discovery)
        return nvmf_no_subsystem(nqn, err);
    struct nvmf_path *path = path_at(sub, address, err);
    if (!path)
        return -ENOENT;
    if (!sub->ana_reporting || anagrpid > sub->max_namespaces)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, nqn, "%s",
                           sub->ana_reporting ? "there is no such ANA group"
                                              : "the subsystem does not report ANA states");
    bool any = false;
    path->ana_changes++;
    for (uint32_t g = 1; g <= sub->max_namespaces; g++) {
        if ((anagrpid && g != anagrpid) || path->ana[g] == ana_state)
            continue;
        __atomic_store_n(&path->ana[g], (uint8_t)ana_state, __ATOMIC_RELAXED);
        path->ana_group_changes[g] = path->ana_changes;
        any = true;
    }
    ash_list_for_each (item, &sub->ctrlrs) {
        struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (any && ctrlr->path == path)
            nvmf_event(ctrlr, NVMF_EV_ANA);
    }
    return 0;
}

/* Any host may have another view of the log now. */
void nvmf_discovery_changed(struct nvmf_server *srv)
{
    srv->genctr++;
    struct nvmf_subsystem *sub = ash_list_entry(srv->subsystems.next, struct nvmf_subsystem, link);
    if (ash_list_empty(&srv->subsystems) || !sub->discovery)
        return;
    ash_list_for_each (item, &sub->ctrlrs)
        nvmf_event(ash_list_entry(item, struct nvmf_ctrlr, link), NVMF_EV_DISCOVERY);
}
