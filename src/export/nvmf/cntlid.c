/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of controllers. The lowest n_statics of a subsystem's range are static: a host gets one only
 * by asking for it (or, FFFEh, for any of them), and finds there what it had set before. The others
 * are for who asks for no certain one (FFFFh). Control reactor.
 * Source: docs/spec/nvme-tcp.md 2, 13. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <stdio.h>

#define DEFAULT_FEATURES                                                                           \
    (struct nvmf_features)                                                                         \
    {                                                                                              \
        .temperature = 0x157                                                                       \
    }

int nvmf_statics_init(struct nvmf_subsystem *sub, uint16_t n)
{
    if (n == 0)
        return 0;
    sub->statics = rt_alloc(n * sizeof(*sub->statics));
    if (!sub->statics)
        return -ENOMEM;
    sub->n_statics = n;
    return 0;
}

struct nvmf_ctrlr *nvmf_find_ctrlr(const struct nvmf_subsystem *sub, uint16_t cntlid)
{
    ash_list_for_each (item, &sub->ctrlrs) {
        struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (ctrlr->cntlid == cntlid)
            return ctrlr;
    }
    return NULL;
}

static uint16_t first_dynamic(const struct nvmf_subsystem *sub)
{
    return (uint16_t)(sub->min_cntlid + sub->n_statics);
}

static bool is_static(const struct nvmf_subsystem *sub, uint16_t cntlid)
{
    return cntlid >= sub->min_cntlid && cntlid < first_dynamic(sub);
}

bool nvmf_cntlid_ok(const struct nvmf_subsystem *sub, uint16_t cntlid)
{
    if (cntlid == NVME_CNTLID_DYNAMIC)
        return first_dynamic(sub) <= sub->max_cntlid;
    if (cntlid == NVME_CNTLID_STATIC)
        return sub->n_statics > 0;
    return is_static(sub, cntlid);
}

/* Round robin, so that an id is not used again at once. 0: none is free. */
static uint16_t next_dynamic(struct nvmf_subsystem *sub)
{
    uint16_t first = first_dynamic(sub);
    for (uint32_t n = (uint32_t)sub->max_cntlid + 1 - first; n > 0; n--) {
        if (sub->next_cntlid < first || sub->next_cntlid > sub->max_cntlid)
            sub->next_cntlid = first;
        uint16_t id = sub->next_cntlid++;
        if (!nvmf_find_ctrlr(sub, id))
            return id;
    }
    return 0;
}

static struct nvmf_static *static_of(const struct nvmf_subsystem *sub, uint16_t cntlid)
{
    return &sub->statics[cntlid - sub->min_cntlid];
}

static bool was_hosts(const struct nvmf_static *st, const struct nvmf_ctrlr *ctrlr)
{
    return strcmp(st->hostnqn, ctrlr->hostnqn) == 0 &&
           memcmp(st->hostid, ctrlr->hostid, sizeof(st->hostid)) == 0;
}

/* The one that the host had, else one that nobody had, else any. 0: none is free. */
static uint16_t best_static(const struct nvmf_ctrlr *ctrlr)
{
    const struct nvmf_subsystem *sub = ctrlr->sub;
    uint16_t unused = 0, any = 0;
    for (uint16_t id = sub->min_cntlid; is_static(sub, id); id++) {
        const struct nvmf_static *st = static_of(sub, id);
        if (nvmf_find_ctrlr(sub, id))
            continue;
        if (was_hosts(st, ctrlr))
            return id;
        if (!unused && st->hostnqn[0] == 0)
            unused = id;
        if (!any)
            any = id;
    }
    return unused ? unused : any;
}

static struct nvmf_features *take_static(const struct nvmf_ctrlr *ctrlr, uint16_t cntlid)
{
    struct nvmf_static *st = static_of(ctrlr->sub, cntlid);
    if (!was_hosts(st, ctrlr)) {
        memcpy(st->hostid, ctrlr->hostid, sizeof(st->hostid));
        memcpy(st->hostnqn, ctrlr->hostnqn, sizeof(st->hostnqn));
        st->features = DEFAULT_FEATURES;
    }
    return &st->features;
}

bool nvmf_take_cntlid(struct nvmf_ctrlr *ctrlr, uint16_t asked)
{
    struct nvmf_subsystem *sub = ctrlr->sub;
    if (asked == NVME_CNTLID_DYNAMIC) {
        ctrlr->cntlid = next_dynamic(sub);
        ctrlr->own_features = DEFAULT_FEATURES;
        ctrlr->features = &ctrlr->own_features;
        return ctrlr->cntlid != 0;
    }
    uint16_t id = asked == NVME_CNTLID_STATIC    ? best_static(ctrlr)
                  : !nvmf_find_ctrlr(sub, asked) ? asked
                                                 : 0;
    if (id == 0)
        return false;
    ctrlr->cntlid = id;
    ctrlr->is_static = true;
    ctrlr->features = take_static(ctrlr, id);
    return true;
}
