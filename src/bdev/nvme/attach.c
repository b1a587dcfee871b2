/* SPDX-License-Identifier: Apache-2.0 */
/* A path as whoever asks for it wants it, and the group that it belongs to.
 * Source: docs/spec/spdk-jsonrpc.md 10. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bdev/nvme/host.h"

#define SECOND_NS  UINT64_C(1000000000)
#define CONNECT_NS (10 * SECOND_NS)
#define ADMIN_NS   (10 * SECOND_NS)

/* The same at every start, so that reservations stay ours: from the machine's id, if it has one. */
void nvme_know_hostid(struct nvme_host *host)
{
    static const struct ash_uuid space = {{0x5d, 0x1e, 0x83, 0x44, 0x0f, 0x6a, 0x4c, 0x2b, 0xa1,
                                           0x77, 0x3e, 0x90, 0x52, 0xc8, 0x1b, 0x06}};
    char *text = NULL;
    size_t n = 0;
    if (!ash_uuid_is_nil(&host->hostid))
        return;
    if (rt_read_text("/etc/machine-id", 4096, &text, &n, NULL) == 0 && n >= 32)
        ash_uuid_v5(&space, text, 32, &host->hostid);
    else
        rt_random_uuid(&host->hostid);
    rt_free(text);
}

static char *default_hostnqn(struct nvme_host *host) ASH_MAY_WAIT
{
    char nqn[NVME_NQN_MAX + 1], uuid[ASH_UUID_TEXT_BYTES];
    nvme_know_hostid(host);
    snprintf(nqn, sizeof(nqn), "%s%s", NVME_UUID_NQN, ash_uuid_format(&host->hostid, uuid));
    return rt_strdup(nqn);
}

struct nvme_path *nvme_group_path(const struct nvme_group *group, const char *traddr,
                                  const char *trsvcid)
{
    ash_list_for_each (l, &group->paths) {
        struct nvme_path *path = ash_list_entry(l, struct nvme_path, link);
        if ((!traddr || strcmp(path->opts.traddr, traddr) == 0) &&
            (!trsvcid || strcmp(path->opts.trsvcid, trsvcid) == 0))
            return path;
    }
    return NULL;
}

static int exists(const char *name, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_NVME_EXISTS, name,
                       "A controller named %s already exists with the specified network path",
                       name);
}

/* Group by name, made when it is not there, then the path. Takes what opts points to. */
int nvme_attach(struct nvme_host *host, const char *name, bool may_join, uint32_t max_bdevs,
                uint64_t hold_ns, struct nvme_path_opts *opts, struct nvme_group **ret_group,
                struct ash_err *err)
{
    struct nvme_group *group = nvme_group_find(host, name);
    int rc = 0;
    nvme_know_hostid(host);
    if (group && (!may_join || nvme_group_path(group, opts->traddr, opts->trsvcid)))
        rc = exists(name, err);
    else if (group && group->n_paths &&
             strcmp(ash_list_entry(group->paths.next, struct nvme_path, link)->opts.subnqn,
                    opts->subnqn) != 0)
        rc = ash_err_set(err, ASH_E_BAD_ARGUMENT, name,
                         "the paths of one controller lead to one subsystem");
    else if (!group) {
        unsigned n = ASH_MIN(rt_n_reactors(rt_world()), (unsigned)opts->n_queues_max);
        rc = nvme_group_create(host, name, n, &group, err);
        if (rc == 0) {
            group->max_namespaces = max_bdevs;
            group->n_retries = host->options.n_retries;
            group->hold_ns = hold_ns;
        }
    }
    if (rc) {
        nvme_path_opts_free(opts);
        return rc;
    }
    group->n_users++;
    rc = nvme_path_attach(group, opts, err);
    group->n_users--;
    rt_waitq_wake_all(&host->gone_q);
    if (rc && group->n_paths == 0 && !group->is_removing)
        nvme_group_remove(group);
    if (rc == 0)
        *ret_group = group;
    return rc;
}

/* Address and what the options say; the caller fills in the rest. */
int nvme_path_opts_make(struct nvme_host *host, const char *traddr, const char *trsvcid,
                        const char *subnqn, const char *hostnqn, struct nvme_path_opts *ret,
                        struct ash_err *err)
{
    const struct nvme_options *o = &host->options;
    char address[160];
    bool is_ipv6 = strchr(traddr, ':');
    snprintf(address, sizeof(address), is_ipv6 ? "tcp://[%s]:%s" : "tcp://%s:%s", traddr, trsvcid);
    *ret = (struct nvme_path_opts){
        .address = rt_strdup(address),
        .traddr = rt_strdup(traddr),
        .trsvcid = rt_strdup(trsvcid),
        .subnqn = rt_strdup(subnqn),
        .hostnqn = hostnqn ? rt_strdup(hostnqn) : default_hostnqn(host),
        .is_ipv6 = is_ipv6,
        .n_queues_max = RT_MAX_REACTORS,
        .depth = (uint16_t)o->depth,
        .keep_alive_ms = o->keep_alive_ms,
        .loss_s = o->loss_s,
        .delay_s = o->delay_s,
        .timeout_ns = o->timeout_us * 1000,
        .timeout_admin_ns = o->timeout_admin_us ? o->timeout_admin_us * 1000 : ADMIN_NS,
        .connect_timeout_ns = CONNECT_NS,
        .late_action = o->late_action,
    };
    if (ret->address && ret->traddr && ret->trsvcid && ret->subnqn && ret->hostnqn)
        return 0;
    nvme_path_opts_free(ret);
    return ash_err_set(err, ASH_E_NO_MEMORY, traddr, "no memory for a path");
}
