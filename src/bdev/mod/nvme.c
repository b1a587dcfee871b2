/* SPDX-License-Identifier: Apache-2.0 */
/* Remote NVMe namespaces over TCP: methods and URIs. What they do is in bdev/nvme.
 * Source: docs/spec/spdk-jsonrpc.md 10, mayastor-bdev-uris.md 4.2. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bdev/keyring.h"
#include "bdev/mod/mod.h"
#include "bdev/nvme/host.h"

#define SECOND_NS  UINT64_C(1000000000)
#define URI_PORT   "8420"
#define CONNECT_NS (10 * SECOND_NS)
#define ADMIN_NS   (10 * SECOND_NS)

static struct nvme_host *host_of(struct bdev_mgr *mgr)
{
    return bdev_module_state(mgr, &bdev_nvme_module);
}

static int module_init(struct bdev_mgr *mgr, void **ret_state)
{
    struct nvme_host *host = rt_alloc(sizeof(*host));
    if (!host)
        return -ENOMEM;
    host->bdevs = mgr;
    ash_list_init(&host->groups);
    ash_list_init(&host->watches);
    rt_waitq_init(&host->gone_q);
    /* A peer that falls silent on one connection is noticed: SPDK's default is to wait for ever. */
    host->options = (struct nvme_options){.keep_alive_ms = 10000,
                                          .n_retries = 3,
                                          .depth = 128,
                                          .timeout_us = 30 * 1000 * 1000,
                                          .late_action = NVME_LATE_RESET};
    *ret_state = host;
    return 0;
}

static void module_fini(struct bdev_mgr *mgr, void *state)
{
    struct nvme_host *host = state;
    nvme_watches_fini(host);
    while (!ash_list_empty(&host->groups)) {
        struct nvme_group *g = ash_list_entry(host->groups.next, struct nvme_group, link);
        g->is_removing = false; /* by the end of its devices */
        nvme_group_remove(g);
    }
    rt_free(host);
}

/* ---------------------------------------------------------------- attaching */

struct attach_params {
    char *name, *trtype, *traddr, *adrfam, *trsvcid, *subnqn, *hostnqn, *hostaddr, *hostsvcid,
        *priority, *psk, *dhchap_key, *dhchap_ctrlr_key;
    bool hdgst, ddgst, prchk_reftag, prchk_guard, allow_unrecognized_csi, disable_sq_flow_control;
    uint64_t fabrics_connect_timeout_us;
    int multipath;
    struct json_object *multipath_opts;
    uint32_t num_io_queues, reconnect_delay_sec, fast_io_fail_timeout_sec, max_bdevs;
    int32_t ctrlr_loss_timeout_sec;
    bool has_reconnect_delay_sec, has_fast_io_fail_timeout_sec, has_ctrlr_loss_timeout_sec;
};

enum { MULTIPATH, FAILOVER, DISABLE };
static const struct ash_enum multipaths[] = {
    {"multipath", MULTIPATH}, {"failover", FAILOVER}, {"disable", DISABLE}, {NULL, 0}};

#define A(field, type, help) ASH_PARAM(struct attach_params, field, type, 0, NULL, help)
static const struct ash_param attach_table[] = {
    ASH_PARAM(struct attach_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name of the controller; its devices are NAMEn1 and so on"),
    ASH_PARAM(struct attach_params, trtype, ASH_P_STR, ASH_P_REQUIRED, NULL, "TCP"),
    ASH_PARAM(struct attach_params, traddr, ASH_P_STR, ASH_P_REQUIRED, NULL, "address"),
    A(adrfam, ASH_P_STR, "IPv4 or IPv6; by the address if none"),
    A(trsvcid, ASH_P_STR, "port (4420)"),
    A(subnqn, ASH_P_STR, "NQN of the subsystem"),
    A(hostnqn, ASH_P_STR, "our NQN; made of the machine's id if none"),
    A(hostaddr, ASH_P_STR, "no effect"),
    A(hostsvcid, ASH_P_STR, "no effect"),
    A(priority, ASH_P_STR, "no effect"),
    A(hdgst, ASH_P_BOOL, "protect headers by a digest"),
    A(ddgst, ASH_P_BOOL, "protect data by a digest"),
    A(fabrics_connect_timeout_us, ASH_P_U64, "limit for making a connection (10 s)"),
    ASH_PARAM_ENUM(struct attach_params, multipath, 0, "multipath", multipaths,
                   "what a second path under the same name is"),
    ASH_PARAM(struct attach_params, num_io_queues, ASH_P_U32, 0, "1024", "at most so many"),
    ASH_PARAM_OPT(struct attach_params, ctrlr_loss_timeout_sec, ASH_P_I32,
                  "given up after so long; -1: never; 0: after one try"),
    ASH_PARAM_OPT(struct attach_params, reconnect_delay_sec, ASH_P_U32, "between tries"),
    ASH_PARAM_OPT(struct attach_params, fast_io_fail_timeout_sec, ASH_P_U32,
                  "ios fail after waiting so long for a path"),
    A(psk, ASH_P_STR, "name of the key for TLS"),
    A(dhchap_key, ASH_P_STR, "name of our key (DH-HMAC-CHAP)"),
    A(dhchap_ctrlr_key, ASH_P_STR, "name of the key by which the controller proves itself"),
    ASH_PARAM(struct attach_params, max_bdevs, ASH_P_U32, 0, "128", "devices at most"),
    A(prchk_reftag, ASH_P_BOOL, "no effect: there is no protection information"),
    A(prchk_guard, ASH_P_BOOL, "no effect: there is no protection information"),
    A(allow_unrecognized_csi, ASH_P_BOOL, "no effect"),
    A(disable_sq_flow_control, ASH_P_BOOL, "no effect: it is never used"),
    A(multipath_opts, ASH_P_JSON, "policy: active_passive"),
    {.name = NULL},
};

static int invalid(const char *name, const char *what, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BAD_ARGUMENT, name, "%s", what);
}

static bool is_word(const char *text, const char *word)
{
    return text && strcasecmp(text, word) == 0;
}

/* spdk-jsonrpc.md 10, "Rules" */
static int check_times(const char *name, int32_t loss_s, uint32_t delay_s, uint32_t fast_s,
                       struct ash_err *err)
{
    if (loss_s < -1)
        return invalid(name, "ctrlr_loss_timeout_sec can't be less than -1.", err);
    if (loss_s == -1 && delay_s == 0)
        return invalid(name, "reconnect_delay_sec can't be 0 if ctrlr_loss_timeout_sec is not 0.",
                       err);
    if (loss_s > 0 && (delay_s == 0 || delay_s > (uint32_t)loss_s))
        return invalid(
            name, "reconnect_delay_sec must be 1 to ctrlr_loss_timeout_sec if that is not 0.", err);
    if (loss_s == 0 && (delay_s || fast_s))
        return invalid(name,
                       "Both reconnect_delay_sec and fast_io_fail_timeout_sec must be 0 if "
                       "ctrlr_loss_timeout_sec is 0.",
                       err);
    if (fast_s && (fast_s < delay_s || (loss_s > 0 && fast_s > (uint32_t)loss_s)))
        return invalid(name,
                       "fast_io_fail_timeout_sec must be reconnect_delay_sec to "
                       "ctrlr_loss_timeout_sec.",
                       err);
    return 0;
}

static int check_attach(const struct attach_params *p, struct ash_err *err)
{
    if (!is_word(p->trtype, "TCP"))
        return ash_err_set(err, ASH_E_NOT_SUPPORTED, p->name,
                           "transport '%s' is not supported: only TCP is", p->trtype);
    if (p->adrfam && !is_word(p->adrfam, "IPv4") && !is_word(p->adrfam, "IPv6"))
        return invalid(p->name, "adrfam must be IPv4 or IPv6", err);
    if (!p->subnqn || !nvme_nqn_ok(p->subnqn, NVME_NQN_FIELD))
        return invalid(p->name, "subnqn is missing or is no NQN", err);
    if (p->hostnqn && !nvme_nqn_ok(p->hostnqn, NVME_NQN_FIELD))
        return invalid(p->name, "hostnqn is no NQN", err);
    if (p->dhchap_ctrlr_key && !p->dhchap_key)
        return invalid(p->name, "dhchap_ctrlr_key needs dhchap_key", err);
    if (p->num_io_queues == 0)
        return invalid(p->name, "num_io_queues must be 1 or more", err);
    return 0;
}

/* A key by its name, and the name, both for a path. */
static int take_key(struct nvme_host *host, const char *name, char **ret_name,
                    struct nvme_chap_key **ret_key, struct ash_err *err) ASH_MAY_WAIT
{
    if (!name)
        return 0;
    *ret_name = rt_strdup(name);
    *ret_key = rt_alloc(sizeof(**ret_key));
    if (!*ret_name || !*ret_key)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for a key");
    return bdev_key_chap(host->bdevs, name, *ret_key, err);
}

/* The same for TLS: what is kept is the key that was made of it, for these names. */
static int take_psk(struct nvme_host *host, const char *name, struct nvme_path_opts *opts,
                    struct ash_err *err) ASH_MAY_WAIT
{
    struct nvme_chap_key key;
    if (!name)
        return 0;
    opts->psk_name = rt_strdup(name);
    opts->psk = rt_alloc(sizeof(*opts->psk));
    if (!opts->psk_name || !opts->psk)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for a key");
    int rc = bdev_key_tls(host->bdevs, name, &key, err);
    if (rc)
        return rc;
    rc = nvme_tls_derive(&key, opts->hostnqn, opts->subnqn, opts->psk);
    nvme_chap_wipe(&key, sizeof(key));
    return rc ? ash_err_set_rc(err, rc, ASH_E_NVME_KEY, name,
                               "key '%s' cannot be used for '%s' and '%s': %s", name, opts->hostnqn,
                               opts->subnqn, ash_strerror(rc))
              : 0;
}

static int attach_by_params(struct nvme_host *host, const struct attach_params *p,
                            struct nvme_group **ret_group, struct ash_err *err) ASH_MAY_WAIT
{
    const struct nvme_options *o = &host->options;
    int32_t loss_s = p->has_ctrlr_loss_timeout_sec ? p->ctrlr_loss_timeout_sec : o->loss_s;
    uint32_t delay_s = p->has_reconnect_delay_sec ? p->reconnect_delay_sec : o->delay_s;
    uint32_t fast_s =
        p->has_fast_io_fail_timeout_sec ? p->fast_io_fail_timeout_sec : o->fast_fail_s;
    struct nvme_path_opts opts;
    int rc = check_attach(p, err);
    if (rc == 0)
        rc = check_times(p->name, loss_s, delay_s, fast_s, err);
    if (rc == 0)
        rc = nvme_path_opts_make(host, p->traddr, p->trsvcid ? p->trsvcid : "4420", p->subnqn,
                                 p->hostnqn, &opts, err);
    if (rc)
        return rc;
    opts.hdgst = p->hdgst;
    opts.ddgst = p->ddgst;
    opts.loss_s = loss_s;
    opts.delay_s = delay_s;
    opts.n_queues_max = (uint16_t)ASH_MIN(p->num_io_queues, (uint32_t)RT_MAX_REACTORS);
    if (p->fabrics_connect_timeout_us)
        opts.connect_timeout_ns = p->fabrics_connect_timeout_us * 1000;
    rc = take_key(host, p->dhchap_key, &opts.key_name, &opts.key, err);
    if (rc == 0)
        rc = take_key(host, p->dhchap_ctrlr_key, &opts.ctrlr_key_name, &opts.ctrlr_key, err);
    if (rc == 0)
        rc = take_psk(host, p->psk, &opts, err);
    if (rc) {
        nvme_path_opts_free(&opts);
        return rc;
    }
    uint64_t hold_ns = fast_s ? fast_s * SECOND_NS : NVME_HOLD_NS_DEFAULT;
    return nvme_attach(host, p->name, p->multipath != DISABLE, p->max_bdevs, hold_ns, &opts,
                       ret_group, err);
}

static int run_attach(struct ash_call *call, void *params)
{
    struct nvme_group *group;
    int rc = attach_by_params(host_of(call->bdevs), params, &group, call->err);
    if (rc)
        return rc;
    group->n_users++;
    bdev_wait_for_examine(call->bdevs);
    ash_jsonw_arr(call->result, NULL);
    ash_list_for_each (l, &group->namespaces) {
        const struct nvme_ns *ns = ash_list_entry(l, struct nvme_ns, link);
        if (ns->is_registered && !ns->is_removing)
            ash_jsonw_str(call->result, NULL, ns->name);
    }
    ash_jsonw_arr_end(call->result);
    group->n_users--;
    rt_waitq_wake_all(&group->host->gone_q);
    return 0;
}

/* ----------------------------------------------------- detach, reset, list */

static int find_group(struct ash_call *call, const char *name, struct nvme_group **ret_group)
{
    *ret_group = nvme_group_find(host_of(call->bdevs), name);
    return *ret_group ? 0
                      : ash_err_set(call->err, ASH_E_NVME_NOT_FOUND, name,
                                    "there is no controller '%s'", name);
}

struct detach_params {
    char *name, *trtype, *traddr, *adrfam, *trsvcid, *subnqn, *hostaddr, *hostsvcid;
};

#define D(field, help) ASH_PARAM(struct detach_params, field, ASH_P_STR, 0, NULL, help)
static const struct ash_param detach_table[] = {
    ASH_PARAM(struct detach_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "controller"),
    D(trtype, "only paths of this transport"),
    D(traddr, "only the path to this address"),
    D(adrfam, "only paths of this family"),
    D(trsvcid, "only the path to this port"),
    D(subnqn, "only paths to this subsystem"),
    D(hostaddr, "no effect"),
    D(hostsvcid, "no effect"),
    {.name = NULL},
};

static int run_detach(struct ash_call *call, void *params)
{
    const struct detach_params *p = params;
    struct nvme_group *group;
    int rc = find_group(call, p->name, &group);
    if (rc)
        return rc;
    bool is_some = p->traddr || p->trsvcid || p->subnqn || p->trtype;
    struct nvme_path *path = nvme_group_path(group, p->traddr, p->trsvcid);
    if (path && ((p->subnqn && strcmp(path->opts.subnqn, p->subnqn) != 0) ||
                 (p->trtype && !is_word(p->trtype, "TCP"))))
        path = NULL;
    if (is_some && !path)
        return ash_err_set_rc(call->err, -ENXIO, ASH_E_NVME_NOT_FOUND, p->name,
                              "controller '%s' has no such path", p->name);
    if (is_some && group->n_paths > 1)
        nvme_path_detach(path);
    else
        nvme_group_remove(group);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

struct reset_params {
    char *name;
    uint32_t cntlid;
    bool has_cntlid;
};

static const struct ash_param reset_table[] = {
    ASH_PARAM(struct reset_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "controller"),
    ASH_PARAM_OPT(struct reset_params, cntlid, ASH_P_U32, "only the path with this id"),
    {.name = NULL},
};

static int run_reset(struct ash_call *call, void *params)
{
    const struct reset_params *p = params;
    struct nvme_group *group;
    struct nvme_path *list[NVME_PATHS_MAX];
    unsigned n = 0;
    int rc = find_group(call, p->name, &group);
    if (rc)
        return rc;
    ash_list_for_each (l, &group->paths) {
        struct nvme_path *path = ash_list_entry(l, struct nvme_path, link);
        if (!p->has_cntlid || ash_le16_get(path->id->cntlid) == p->cntlid)
            list[n++] = path;
    }
    if (n == 0)
        return ash_err_set(call->err, ASH_E_NVME_NOT_FOUND, p->name,
                           "controller '%s' has no path with cntlid %u", p->name, p->cntlid);
    group->n_users++;
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = nvme_path_reset(list[i], call->err);
    group->n_users--;
    rt_waitq_wake_all(&group->host->gone_q);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static const struct ash_param list_table[] = {
    ASH_PARAM(struct bdev_name_params, name, ASH_P_STR, 0, NULL, "only this one"),
    {.name = NULL},
};

static int run_list(struct ash_call *call, void *params)
{
    const struct bdev_name_params *p = params;
    struct nvme_group *only = NULL;
    int rc = p->name ? find_group(call, p->name, &only) : 0;
    if (rc)
        return rc;
    ash_jsonw_arr(call->result, NULL);
    ash_list_for_each (l, &host_of(call->bdevs)->groups) {
        const struct nvme_group *group = ash_list_entry(l, struct nvme_group, link);
        if (!only || group == only)
            nvme_dump_group(group, call->result);
    }
    ash_jsonw_arr_end(call->result);
    return 0;
}

static int run_io_paths(struct ash_call *call, void *params)
{
    const struct bdev_name_params *p = params;
    if (p->name && !bdev_find(call->bdevs, p->name))
        return ash_err_set(call->err, ASH_E_BDEV_NOT_FOUND, p->name, "there is no device '%s'",
                           p->name);
    nvme_dump_io_paths(host_of(call->bdevs), p->name, call->result);
    return 0;
}

static int run_health(struct ash_call *call, void *params)
{
    const struct bdev_name_params *p = params;
    struct nvme_log_smart smart;
    struct nvme_group *group;
    int rc = find_group(call, p->name, &group);
    if (rc)
        return rc;
    struct nvme_path *path = nvme_group_path(group, NULL, NULL);
    rc = path && path->state == NVME_PATH_ENABLED
             ? nvme_admin_log(path->admin, NVME_LOG_SMART, NVME_NSID_ALL, 0, &smart, sizeof(smart))
             : -ENOTCONN;
    if (rc)
        return ash_err_set_rc(call->err, rc, ASH_E_NVME_CONNECT, p->name,
                              "controller '%s' does not tell its health: %s", p->name,
                              ash_strerror(rc));
    struct ash_jsonw *w = call->result;
    int kelvin = ash_le16_get(smart.temperature_kelvin);
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "critical_warning", smart.critical_warning);
    ash_jsonw_i64(w, "temperature_celsius", kelvin ? kelvin - 273 : 0);
    ash_jsonw_u64(w, "available_spare_percentage", smart.spare_percent);
    ash_jsonw_u64(w, "available_spare_threshold_percentage", smart.spare_threshold_percent);
    ash_jsonw_u64(w, "percentage_used", smart.used_percent);
    ash_jsonw_u64(w, "data_units_read", ash_le64_get(smart.units_read.low));
    ash_jsonw_u64(w, "data_units_written", ash_le64_get(smart.units_written.low));
    ash_jsonw_u64(w, "host_read_commands", ash_le64_get(smart.host_reads.low));
    ash_jsonw_u64(w, "host_write_commands", ash_le64_get(smart.host_writes.low));
    ash_jsonw_u64(w, "controller_busy_time", ash_le64_get(smart.busy_minutes.low));
    ash_jsonw_u64(w, "power_cycles", ash_le64_get(smart.power_cycles.low));
    ash_jsonw_u64(w, "power_on_hours", ash_le64_get(smart.power_on_hours.low));
    ash_jsonw_u64(w, "unsafe_shutdowns", ash_le64_get(smart.unsafe_shutdowns.low));
    ash_jsonw_u64(w, "media_errors", ash_le64_get(smart.media_errors.low));
    ash_jsonw_u64(w, "num_err_log_entries", ash_le64_get(smart.error_entries.low));
    ash_jsonw_obj_end(w);
    return 0;
}

/* ------------------------------------------------------------------ options */

void nvme_options_get(struct bdev_mgr *mgr, struct nvme_options *ret_options)
{
    *ret_options = host_of(mgr)->options;
}

void nvme_options_set(struct bdev_mgr *mgr, const struct nvme_options *options)
{
    struct nvme_options *o = &host_of(mgr)->options;
    *o = *options;
    o->timeout_us = ASH_MIN(o->timeout_us, UINT64_MAX / 1000);
    o->timeout_admin_us = ASH_MIN(o->timeout_admin_us, UINT64_MAX / 1000);
    o->depth = ASH_MAX(2u, ASH_MIN(o->depth, 1024u));
    o->n_retries = ASH_MIN(o->n_retries, (uint32_t)UINT8_MAX);
}

struct hotplug_params {
    bool enable;
    uint64_t period_us;
};

static const struct ash_param hotplug_table[] = {
    ASH_PARAM(struct hotplug_params, enable, ASH_P_BOOL, ASH_P_REQUIRED, NULL,
              "no effect: there are no local controllers"),
    ASH_PARAM(struct hotplug_params, period_us, ASH_P_U64, 0, NULL, "no effect"),
    {.name = NULL},
};

static int run_set_hotplug(struct ash_call *call, void *params)
{
    (void)params;
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

/* ---------------------------------------------------------------- discovery */

struct discover_params {
    char *traddr, *trsvcid, *hostnqn;
};

static const struct ash_param discover_table[] = {
    ASH_PARAM(struct discover_params, traddr, ASH_P_STR, ASH_P_REQUIRED, NULL, "address"),
    ASH_PARAM(struct discover_params, trsvcid, ASH_P_STR, 0, "8009", "port"),
    ASH_PARAM(struct discover_params, hostnqn, ASH_P_STR, 0, NULL, "our NQN"),
    {.name = NULL},
};

static int run_discover(struct ash_call *call, void *params)
{
    const struct discover_params *p = params;
    struct nvme_host *host = host_of(call->bdevs);
    struct nvme_path_opts opts;
    if (p->hostnqn && !nvme_nqn_ok(p->hostnqn, NVME_NQN_FIELD))
        return invalid(p->traddr, "hostnqn is no NQN", call->err);
    nvme_know_hostid(host);
    int rc = nvme_path_opts_make(host, p->traddr, p->trsvcid, NVME_DISCOVERY_NQN, p->hostnqn, &opts,
                                 call->err);
    if (rc)
        return rc;
    opts.keep_alive_ms = 0;
    rc = nvme_discover(host, &opts, call->result, call->err);
    nvme_path_opts_free(&opts);
    return rc;
}

struct watch_params {
    char *name, *trtype, *traddr, *adrfam, *trsvcid, *hostnqn;
    bool wait_for_attach;
    uint64_t attach_timeout_ms;
    uint32_t reconnect_delay_sec, fast_io_fail_timeout_sec;
    int32_t ctrlr_loss_timeout_sec;
    bool has_reconnect_delay_sec, has_fast_io_fail_timeout_sec, has_ctrlr_loss_timeout_sec;
};

#define W(field, type, dflt, help) ASH_PARAM(struct watch_params, field, type, 0, dflt, help)
static const struct ash_param watch_table[] = {
    ASH_PARAM(struct watch_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "its controllers are NAME0, NAME1 and so on"),
    ASH_PARAM(struct watch_params, trtype, ASH_P_STR, ASH_P_REQUIRED, NULL, "TCP"),
    ASH_PARAM(struct watch_params, traddr, ASH_P_STR, ASH_P_REQUIRED, NULL, "address"),
    W(adrfam, ASH_P_STR, NULL, "IPv4 or IPv6; by the address if none"),
    W(trsvcid, ASH_P_STR, "8009", "port"),
    W(hostnqn, ASH_P_STR, NULL, "our NQN; made of the machine's id if none"),
    W(wait_for_attach, ASH_P_BOOL, "false", "return when what it tells of has been attached"),
    W(attach_timeout_ms, ASH_P_U64, "0", "at most; 0: as long as it takes"),
    ASH_PARAM_OPT(struct watch_params, ctrlr_loss_timeout_sec, ASH_P_I32,
                  "of its controllers: given up after so long; -1: never; 0: after one try"),
    ASH_PARAM_OPT(struct watch_params, reconnect_delay_sec, ASH_P_U32, "between tries"),
    ASH_PARAM_OPT(struct watch_params, fast_io_fail_timeout_sec, ASH_P_U32,
                  "ios fail after waiting so long for a path"),
    {.name = NULL},
};

static int run_start_discovery(struct ash_call *call, void *params)
{
    const struct watch_params *p = params;
    struct nvme_host *host = host_of(call->bdevs);
    const struct nvme_options *o = &host->options;
    struct nvme_watch_opts w = {
        .name = p->name,
        .wait = p->wait_for_attach,
        .wait_ns = p->attach_timeout_ms * 1000000,
        .loss_s = p->has_ctrlr_loss_timeout_sec ? p->ctrlr_loss_timeout_sec : o->loss_s,
        .delay_s = p->has_reconnect_delay_sec ? p->reconnect_delay_sec : o->delay_s,
        .fast_s = p->has_fast_io_fail_timeout_sec ? p->fast_io_fail_timeout_sec : o->fast_fail_s};
    if (!is_word(p->trtype, "TCP"))
        return ash_err_set(call->err, ASH_E_NOT_SUPPORTED, p->name,
                           "transport '%s' is not supported: only TCP is", p->trtype);
    if (p->hostnqn && !nvme_nqn_ok(p->hostnqn, NVME_NQN_FIELD))
        return invalid(p->name, "hostnqn is no NQN", call->err);
    int rc = check_times(p->name, w.loss_s, w.delay_s, w.fast_s, call->err);
    if (rc == 0)
        rc = nvme_path_opts_make(host, p->traddr, p->trsvcid, NVME_DISCOVERY_NQN, p->hostnqn,
                                 &w.path, call->err);
    if (rc == 0)
        rc = nvme_watch_start(host, &w, call->err);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static const struct ash_param watch_name_table[] = {
    ASH_PARAM(struct bdev_name_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "as it was started"),
    {.name = NULL},
};

static int run_stop_discovery(struct ash_call *call, void *params)
{
    const struct bdev_name_params *p = params;
    int rc = nvme_watch_stop(host_of(call->bdevs), p->name, call->err);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static int run_discovery_info(struct ash_call *call, void *params)
{
    (void)params;
    nvme_dump_watches(host_of(call->bdevs), call->result);
    return 0;
}

static const struct ash_method methods[] = {
    {"bdev_nvme_attach_controller", "Connect to an NVMe subsystem over TCP.", attach_table,
     sizeof(struct attach_params), .run = run_attach},
    {"bdev_nvme_detach_controller", "Disconnect from a subsystem, or one path to it.", detach_table,
     sizeof(struct detach_params), .run = run_detach},
    {"bdev_nvme_get_controllers", "List controllers and their paths.", list_table,
     sizeof(struct bdev_name_params), ASH_M_READ_ONLY, .run = run_list},
    {"bdev_nvme_get_io_paths", "The ways from each reactor to namespaces.", list_table,
     sizeof(struct bdev_name_params), ASH_M_READ_ONLY, .run = run_io_paths},
    {"bdev_nvme_reset_controller", "Connect anew.", reset_table, sizeof(struct reset_params),
     .run = run_reset},
    {"bdev_nvme_get_controller_health_info", "What the controller tells of its health.",
     bdev_name_params, sizeof(struct bdev_name_params), ASH_M_READ_ONLY, .run = run_health},
    {"bdev_nvme_set_hotplug", "Accepted: there are no local controllers.", hotplug_table,
     sizeof(struct hotplug_params), .run = run_set_hotplug},
    {"bdev_nvme_start_discovery",
     "Attach what a discovery service tells of, now and whenever that changes.", watch_table,
     sizeof(struct watch_params), .run = run_start_discovery},
    {"bdev_nvme_stop_discovery", "Watch it no more; its controllers are detached.",
     watch_name_table, sizeof(struct bdev_name_params), .run = run_stop_discovery},
    {"bdev_nvme_get_discovery_info", "Discovery services that are watched.", NULL, 0,
     ASH_M_READ_ONLY, .run = run_discovery_info},
    {"nvme_discover", "Ask a target what it offers.", discover_table,
     sizeof(struct discover_params), ASH_M_READ_ONLY, .run = run_discover},
    {.name = NULL},
};

static void module_dump_config(struct bdev_mgr *mgr, struct ash_jsonw *w)
{
    nvme_dump_config(host_of(mgr), w);
}

/* --------------------------------------------------------------------- URIs */

struct uri_params {
    bool reftag, guard, hdgst, ddgst;
    struct ash_uuid uuid;
    char *hostnqn;
    uint32_t queues;
    int32_t loss_timeout_sec;
};

static const struct ash_param uri_table[] = {
    ASH_PARAM(struct uri_params, reftag, ASH_P_BOOL, 0, NULL, "no effect"),
    ASH_PARAM(struct uri_params, guard, ASH_P_BOOL, 0, NULL, "no effect"),
    ASH_PARAM(struct uri_params, uuid, ASH_P_UUID, 0, NULL, "no effect"),
    ASH_PARAM(struct uri_params, hostnqn, ASH_P_STR, 0, NULL, "our NQN"),
    ASH_PARAM(struct uri_params, hdgst, ASH_P_FLAG, 0, NULL, "protect headers by a digest"),
    ASH_PARAM(struct uri_params, ddgst, ASH_P_FLAG, 0, NULL, "protect data by a digest"),
    ASH_PARAM(struct uri_params, queues, ASH_P_U32, 0, "64", "I/O queues at most"),
    ASH_PARAM(struct uri_params, loss_timeout_sec, ASH_P_I32, 0, "600",
              "given up after so long; -1: never; 0: after one try"),
    {.name = NULL},
};

static int uri_check(const struct bdev_uri *uri, struct ash_err *err)
{
    if (!uri->host[0])
        return bdev_uri_invalid(uri, "missing host", err);
    if (uri->n_segments == 0)
        return bdev_uri_invalid(uri, "no path segment", err);
    if (uri->n_segments > 1)
        return bdev_uri_invalid(uri, "too many path segments", err);
    return 0;
}

static char *joined(const char *a, const char *b, const char *c)
{
    size_t n = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = rt_alloc(n);
    if (text)
        snprintf(text, n, "%s%s%s", a, b, c);
    return text;
}

static int uri_name(const struct bdev_uri *uri, char **ret_name, struct ash_err *err)
{
    int rc = uri_check(uri, err);
    if (rc)
        return rc;
    *ret_name = joined(uri->host, uri->path, "n1");
    return *ret_name ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, uri->text, "no memory for a name");
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static int split_host(const struct bdev_uri *uri, char traddr[128], char trsvcid[16],
                      struct ash_err *err)
{
    const char *h = uri->host, *port = NULL;
    size_t n;
    if (h[0] == '[') {
        const char *end = strchr(++h, ']');
        if (!end || (end[1] && end[1] != ':'))
            return bdev_uri_invalid(uri, "a broken address", err);
        n = (size_t)(end - h);
        port = end[1] ? end + 2 : NULL;
    } else {
        port = strrchr(h, ':');
        n = port ? (size_t)(port - h) : strlen(h);
        port = port ? port + 1 : NULL;
    }
    if (n == 0 || n >= 128 || (port && (!*port || strlen(port) > 5)))
        return bdev_uri_invalid(uri, "a broken address", err);
    snprintf(traddr, 128, "%.*s", (int)n, h);
    snprintf(trsvcid, 16, "%s", port ? port : URI_PORT);
    return 0;
}

static int uri_attach(struct nvme_host *host, const struct bdev_uri *uri,
                      const struct uri_params *p, const char *group_name,
                      struct nvme_group **ret_group, struct ash_err *err) ASH_MAY_WAIT
{
    char traddr[128], trsvcid[16];
    struct nvme_path_opts opts;
    const char *subnqn = uri->path + 1;
    int rc = split_host(uri, traddr, trsvcid, err);
    if (rc == 0 && (!nvme_nqn_ok(subnqn, NVME_NQN_FIELD) ||
                    (p->hostnqn && !nvme_nqn_ok(p->hostnqn, NVME_NQN_FIELD))))
        rc = bdev_uri_invalid(uri, "no valid NQN", err);
    if (rc == 0 && (p->queues == 0 || p->loss_timeout_sec < -1))
        rc = bdev_uri_invalid(uri, "queues must be 1 or more, loss_timeout_sec -1 or more", err);
    if (rc == 0)
        rc = nvme_path_opts_make(host, traddr, trsvcid, subnqn, p->hostnqn, &opts, err);
    if (rc)
        return rc;
    opts.hdgst = p->hdgst;
    opts.ddgst = p->ddgst;
    opts.n_queues_max = (uint16_t)ASH_MIN(p->queues, (uint32_t)RT_MAX_REACTORS);
    opts.loss_s = p->loss_timeout_sec;
    opts.delay_s = 0; /* 1 s, growing */
    return nvme_attach(host, group_name, false, 0, NVME_HOLD_NS_DEFAULT, &opts, ret_group, err);
}

static int uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                      char **ret_name, struct ash_err *err)
{
    struct nvme_host *host = host_of(mgr);
    struct nvme_group *group = NULL;
    char *name, *group_name;
    int rc = uri_name(uri, &name, err);
    if (rc)
        return rc;
    group_name = joined(uri->host, uri->path, "");
    if (!group_name)
        rc = ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for a name");
    else if (bdev_find(mgr, name) || nvme_group_find(host, group_name))
        rc = bdev_uri_exists(name, err);
    else
        rc = uri_attach(host, uri, params, group_name, &group, err);
    if (rc == 0 && !bdev_find(mgr, name)) {
        nvme_group_remove(group);
        rc = ash_err_set_rc(err, -ENXIO, ASH_E_BDEV_NOT_FOUND, name, "'%s' has no namespace 1",
                            group_name);
    }
    rt_free(group_name);
    return bdev_uri_result(rc, name, ret_name);
}

static int uri_destroy(struct bdev_mgr *mgr, const struct bdev_uri *uri, struct ash_err *err)
{
    int rc = uri_check(uri, err);
    if (rc)
        return rc;
    char *name = joined(uri->host, uri->path, "");
    struct nvme_group *group = name ? nvme_group_find(host_of(mgr), name) : NULL;
    if (group)
        nvme_group_remove(group);
    else
        rc = ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "BDEV '%sn1' could not be found",
                         name ? name : uri->text);
    rt_free(name);
    return rc;
}

static const char *const schemes[] = {"nvmf", "nvmf+tcp", "nvmf+rdma+tcp", NULL};

struct bdev_module bdev_nvme_module = {
    .name = "nvme",
    .schemes = schemes,
    .uri_help = "nvmf://HOST[:PORT]/NQN",
    .uri_params = uri_table,
    .uri_params_bytes = sizeof(struct uri_params),
    .uri_create = uri_create,
    .uri_name = uri_name,
    .uri_destroy = uri_destroy,
    .methods = methods,
    .dump_config = module_dump_config,
    .init = module_init,
    .fini = module_fini,
};
