/* SPDX-License-Identifier: Apache-2.0 */
/* Controllers and the ways to their namespaces, as JSON. Control reactor.
 * Source: docs/spec/spdk-jsonrpc.md 10. */
#include <stdio.h>
#include <string.h>

#include "bdev/nvme/host.h"

void nvme_dump_group(const struct nvme_group *group, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "name", group->name);
    ash_jsonw_arr(w, "ctrlrs");
    ash_list_for_each (l, &group->paths) {
        const struct nvme_path *path = ash_list_entry(l, struct nvme_path, link);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "state", nvme_path_state_name(path->state));
        nvme_path_dump_trid(path, w);
        ash_jsonw_u64(w, "cntlid", ash_le16_get(path->id->cntlid));
        ash_jsonw_obj(w, "host");
        ash_jsonw_str(w, "nqn", path->opts.hostnqn);
        ash_jsonw_str(w, "addr", "");
        ash_jsonw_str(w, "svcid", "");
        ash_jsonw_bool(w, "no_shn_notification", false);
        ash_jsonw_obj_end(w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
}

/* One way from one reactor to a namespace. */
static void dump_io_path(const struct nvme_ns *ns, const struct nvme_path *path, bool is_current,
                         bool is_connected, struct ash_jsonw *w)
{
    uint8_t ana = atomic_load(&ns->ana[path->idx]);
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "bdev_name", ns->name);
    ash_jsonw_u64(w, "cntlid", ash_le16_get(path->id->cntlid));
    ash_jsonw_bool(w, "current", is_current);
    ash_jsonw_bool(w, "connected", is_connected);
    ash_jsonw_bool(w, "accessible", ana == NVME_ANA_OPTIMIZED || ana == NVME_ANA_NON_OPTIMIZED);
    ash_jsonw_obj(w, "transport");
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_str(w, "traddr", path->opts.traddr);
    ash_jsonw_str(w, "trsvcid", path->opts.trsvcid);
    ash_jsonw_str(w, "adrfam", path->opts.is_ipv6 ? "IPv6" : "IPv4");
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

/* A queue of a path that is up stays until its task has noticed the end, here. */
static bool has_queue(const struct nvme_path *path, unsigned lane)
{
    return path->state == NVME_PATH_ENABLED && path->queues[lane];
}

/* As choose() in lane.c does: the first of the best. */
static const struct nvme_path *current_path(const struct nvme_ns *ns, unsigned lane)
{
    const struct nvme_path *best = NULL;
    unsigned best_rank = 0;
    ash_list_for_each (l, &ns->group->paths) {
        const struct nvme_path *path = ash_list_entry(l, struct nvme_path, link);
        uint8_t ana = atomic_load(&ns->ana[path->idx]);
        unsigned rank = ana == NVME_ANA_OPTIMIZED ? 2 : ana == NVME_ANA_NON_OPTIMIZED ? 1 : 0;
        if (has_queue(path, lane) &&
            (rank > best_rank || (rank && rank == best_rank && path->idx < best->idx))) {
            best = path;
            best_rank = rank;
        }
    }
    return best;
}

static void dump_lane(const struct nvme_host *host, unsigned lane, const char *bdev_name,
                      struct ash_jsonw *w)
{
    ash_list_for_each (g, &host->groups) {
        const struct nvme_group *group = ash_list_entry(g, struct nvme_group, link);
        if (lane >= group->n_lanes)
            continue;
        ash_list_for_each (n, &group->namespaces) {
            const struct nvme_ns *ns = ash_list_entry(n, struct nvme_ns, link);
            if (!ns->is_registered || (bdev_name && strcmp(ns->name, bdev_name) != 0))
                continue;
            const struct nvme_path *current = current_path(ns, lane);
            ash_list_for_each (p, &group->paths) {
                const struct nvme_path *path = ash_list_entry(p, struct nvme_path, link);
                if (atomic_load(&ns->ana[path->idx]))
                    dump_io_path(ns, path, path == current, has_queue(path, lane), w);
            }
        }
    }
}

void nvme_dump_io_paths(const struct nvme_host *host, const char *bdev_name, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_arr(w, "poll_groups");
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        char name[32];
        snprintf(name, sizeof(name), "reactor_%u", i);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "thread", name);
        ash_jsonw_arr(w, "io_paths");
        dump_lane(host, i, bdev_name, w);
        ash_jsonw_arr_end(w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
}
