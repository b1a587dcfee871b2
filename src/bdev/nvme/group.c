/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: one remote subsystem under one name. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/nvme/host.h"

struct nvme_group *nvme_group_find(struct nvme_host *host, const char *name)
{
    ash_list_for_each (l, &host->groups) {
        struct nvme_group *g = ash_list_entry(l, struct nvme_group, link);
        if (strcmp(g->name, name) == 0 && !g->is_removing)
            return g;
    }
    return NULL;
}

int nvme_group_create(struct nvme_host *host, const char *name, unsigned n_lanes,
                      struct nvme_group **ret_group, struct ash_err *err)
{
    struct rt *rt = rt_world();
    struct nvme_group *g = rt_alloc(sizeof(*g));
    if (g) {
        g->name = rt_strdup(name);
        g->lanes = rt_alloc(n_lanes * sizeof(*g->lanes));
    }
    if (!g || !g->name || !g->lanes) {
        if (g) {
            rt_free(g->name);
            rt_free(g->lanes);
        }
        rt_free(g);
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for controller '%s'", name);
    }
    g->host = host;
    g->n_lanes = n_lanes;
    ash_list_init(&g->paths);
    ash_list_init(&g->namespaces);
    for (unsigned i = 0; i < n_lanes; i++)
        nvme_lane_init(&g->lanes[i], g, rt_reactor(rt, i));
    ash_list_push_tail(&host->groups, &g->link);
    *ret_group = g;
    return 0;
}

void nvme_group_free(struct nvme_group *group)
{
    ASH_ASSERT(group->n_paths == 0 && ash_list_empty(&group->namespaces) && group->n_users == 0);
    struct nvme_host *host = group->host;
    ash_list_remove(&group->link);
    for (unsigned i = 0; i < group->n_lanes; i++)
        ASH_ASSERT(group->lanes[i].n_held == 0);
    rt_free(group->lanes);
    rt_free(group->name);
    rt_free(group);
    rt_waitq_wake_all(&host->gone_q);
}

struct lane_call {
    struct nvme_lane *lane;
    int fail_rc; /* 0: kick */
};

static int lane_call(void *arg)
{
    struct lane_call *c = arg;
    if (c->fail_rc)
        nvme_lane_fail_held(c->lane, c->fail_rc);
    else
        nvme_lane_kick(c->lane);
    return 0;
}

static void on_lanes(struct nvme_group *group, int fail_rc) ASH_MAY_WAIT
{
    group->n_users++;
    for (unsigned i = 0; i < group->n_lanes; i++) {
        struct lane_call c = {&group->lanes[i], fail_rc};
        rt_call_on(c.lane->reactor, "nvme held ios", lane_call, &c);
    }
    group->n_users--;
}

void nvme_group_kick(struct nvme_group *group)
{
    on_lanes(group, 0);
}

void nvme_group_update(struct nvme_group *group)
{
    bool may_wait = false;
    ash_list_for_each (l, &group->paths) {
        enum nvme_path_state s = ash_list_entry(l, struct nvme_path, link)->state;
        may_wait |= s != NVME_PATH_FAILED && s != NVME_PATH_DELETING;
    }
    atomic_store(&group->may_wait, may_wait);
    if (!may_wait)
        on_lanes(group, -EIO);
}

void nvme_group_remove(struct nvme_group *group)
{
    struct nvme_host *host = group->host;
    bool is_first = !group->is_removing;
    group->is_removing = true;
    if (is_first) {
        nvme_ns_remove_all(group);
        while (group->n_paths)
            nvme_path_detach(ash_list_entry(group->paths.next, struct nvme_path, link));
        while (group->n_users)
            rt_waitq_wait(&host->gone_q);
        nvme_group_free(group);
        return;
    }
    for (;;) { /* somebody is at it */
        bool there = false;
        ash_list_for_each (l, &host->groups)
            there |= ash_list_entry(l, struct nvme_group, link) == group;
        if (!there)
            return;
        rt_waitq_wait(&host->gone_q);
    }
}
