/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that make our controllers what they are. Source: docs/spec/spdk-jsonrpc.md 12. */
#include "bdev/nvme/host.h"

static void dump_path_config(const struct nvme_group *group, const struct nvme_path *path,
                             struct ash_jsonw *w)
{
    const struct nvme_path_opts *o = &path->opts;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "method", "bdev_nvme_attach_controller");
    ash_jsonw_obj(w, "params");
    ash_jsonw_str(w, "name", group->name);
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_str(w, "adrfam", o->is_ipv6 ? "IPv6" : "IPv4");
    ash_jsonw_str(w, "traddr", o->traddr);
    ash_jsonw_str(w, "trsvcid", o->trsvcid);
    ash_jsonw_str(w, "subnqn", o->subnqn);
    ash_jsonw_str(w, "hostnqn", o->hostnqn);
    if (o->psk)
        ash_jsonw_str(w, "psk", o->psk_name);
    if (o->key)
        ash_jsonw_str(w, "dhchap_key", o->key_name);
    if (o->ctrlr_key)
        ash_jsonw_str(w, "dhchap_ctrlr_key", o->ctrlr_key_name);
    ash_jsonw_bool(w, "hdgst", o->hdgst);
    ash_jsonw_bool(w, "ddgst", o->ddgst);
    ash_jsonw_u64(w, "num_io_queues", o->n_queues_max);
    ash_jsonw_i64(w, "ctrlr_loss_timeout_sec", o->loss_s);
    ash_jsonw_u64(w, "reconnect_delay_sec", o->delay_s);
    if (o->loss_s && group->hold_ns != NVME_HOLD_NS_DEFAULT)
        ash_jsonw_u64(w, "fast_io_fail_timeout_sec", group->hold_ns / 1000000000);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

void nvme_dump_config(const struct nvme_host *host, struct ash_jsonw *w)
{
    ash_list_for_each (l, &host->groups) {
        const struct nvme_group *group = ash_list_entry(l, struct nvme_group, link);
        if (group->is_watched)
            continue;
        ash_list_for_each (k, &group->paths)
            dump_path_config(group, ash_list_entry(k, struct nvme_path, link), w);
    }
    nvme_dump_watch_config(host, w);
}
