/* SPDX-License-Identifier: Apache-2.0 */
/* Referrals: other discovery services that ours tells hosts of. Control reactor.
 * Source: docs/spec/nvme-tcp.md 6, spdk-jsonrpc.md 9. */
#include <errno.h>
#include <stdio.h>

#include "export/nvmf/show.h"

enum { REFERRALS_MAX = 256, INVALID_PARAMS = -32602, INTERNAL_ERROR = -32603 };

static struct nvmf_referral *find(const struct nvmf_server *srv, const struct nvmf_address *a,
                                  const char *subnqn)
{
    ash_list_for_each (item, &srv->referrals) {
        struct nvmf_referral *r = ash_list_entry(item, struct nvmf_referral, link);
        if (strcmp(r->traddr, a->traddr) == 0 && strcmp(r->trsvcid, a->trsvcid) == 0 &&
            strcmp(r->subnqn, subnqn) == 0)
            return r;
    }
    return NULL;
}

int nvmf_add_referral(struct nvmf_server *srv, const struct nvmf_address *address,
                      const char *subnqn, struct ash_err *err)
{
    struct nvmf_referral *r;
    if (!nvme_nqn_ok(subnqn, strlen(subnqn) + 1))
        return ash_err_set(err, ASH_E_BAD_NAME, subnqn, "'%s' is no NQN", subnqn);
    if (!address->traddr[0] || strlen(address->traddr) >= sizeof(r->traddr) ||
        !address->trsvcid[0] || strlen(address->trsvcid) >= sizeof(r->trsvcid))
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, address->traddr,
                           "an address has at most %zu characters, a port %zu",
                           sizeof(r->traddr) - 1, sizeof(r->trsvcid) - 1);
    if (find(srv, address, subnqn))
        return ash_err_set(err, ASH_E_EXPORT_EXISTS, address->traddr,
                           "there is a referral to %s:%s already", address->traddr,
                           address->trsvcid);
    if (srv->n_referrals >= REFERRALS_MAX)
        return ash_err_set(err, ASH_E_EXPORT_LIMIT, NULL, "there are %u referrals already",
                           srv->n_referrals);
    r = rt_alloc(sizeof(*r));
    if (!r)
        return ash_err_set(err, ASH_E_NO_MEMORY, address->traddr, "no memory for a referral");
    snprintf(r->traddr, sizeof(r->traddr), "%s", address->traddr);
    snprintf(r->trsvcid, sizeof(r->trsvcid), "%s", address->trsvcid);
    snprintf(r->subnqn, sizeof(r->subnqn), "%s", subnqn);
    r->ipv6 = address->ipv6;
    r->secure = address->secure;
    ash_list_push_tail(&srv->referrals, &r->link);
    srv->n_referrals++;
    nvmf_discovery_changed(srv);
    return 0;
}

static void forget(struct nvmf_server *srv, struct nvmf_referral *r)
{
    ash_list_remove(&r->link);
    srv->n_referrals--;
    rt_free(r);
}

int nvmf_remove_referral(struct nvmf_server *srv, const struct nvmf_address *address,
                         const char *subnqn, struct ash_err *err)
{
    struct nvmf_referral *r = find(srv, address, subnqn);
    if (!r)
        return ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, address->traddr,
                           "there is no referral to %s:%s", address->traddr, address->trsvcid);
    forget(srv, r);
    nvmf_discovery_changed(srv);
    return 0;
}

void nvmf_referrals_fini(struct nvmf_server *srv)
{
    while (!ash_list_empty(&srv->referrals))
        forget(srv, ash_list_entry(srv->referrals.next, struct nvmf_referral, link));
}

/* ------------------------------------------------------------------- methods */

struct p_referral {
    char *tgt_name, *subnqn;
    struct json_object *address;
    bool secure_channel;
};

#define TGT                                                                                        \
    ASH_PARAM(struct p_referral, tgt_name, ASH_P_STR, 0, NULL,                                     \
              "name of the target: nvmf_tgt, the only one")
#define WHERE                                                                                      \
    ASH_PARAM(struct p_referral, address, ASH_P_JSON, ASH_P_REQUIRED, NULL,                        \
              "{trtype, traddr, adrfam, trsvcid} of the other discovery service"),                 \
        ASH_PARAM(struct p_referral, subnqn, ASH_P_STR, 0, NVME_DISCOVERY_NQN, "its NQN")
static const struct ash_param add_table[] = {WHERE,
                                             ASH_PARAM(struct p_referral, secure_channel,
                                                       ASH_P_BOOL, 0, "false",
                                                       "it is reached by TLS only"),
                                             TGT,
                                             {0}};
static const struct ash_param remove_table[] = {WHERE, TGT, {0}};
static const struct ash_param list_table[] = {TGT, {0}};

static int fail(struct ash_call *call, int rc, int code, const char *text)
{
    call->rpc_code = code;
    snprintf(call->rpc_message, sizeof(call->rpc_message), "%s", text);
    return rc;
}

static int check_target(struct ash_call *call, const char *name)
{
    if (!name || strcmp(name, "nvmf_tgt") == 0)
        return 0;
    return fail(
        call, ash_err_set(call->err, ASH_E_EXPORT_NOT_FOUND, name, "there is no target '%s'", name),
        INTERNAL_ERROR, "Unable to find a target.");
}

static int change(struct ash_call *call, const struct p_referral *p,
                  int (*fn)(struct nvmf_server *srv, const struct nvmf_address *address,
                            const char *subnqn, struct ash_err *err))
{
    struct nvmf_address_params params;
    struct nvmf_address address;
    int rc = check_target(call, p->tgt_name);
    if (rc)
        return rc;
    rc = nvmf_address_decode(p->address, &params, &address, call->err);
    if (rc == 0) {
        address.secure = p->secure_channel;
        rc = fn(ash_engine_nvmf(call->engine), &address, p->subnqn, call->err);
    }
    nvmf_address_free(&params);
    if (rc)
        return fail(call, rc, INVALID_PARAMS, "Invalid parameters");
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int run_add(struct ash_call *call, void *params)
{
    return change(call, params, nvmf_add_referral);
}

static int run_remove(struct ash_call *call, void *params)
{
    return change(call, params, nvmf_remove_referral);
}

static int run_list(struct ash_call *call, void *params)
{
    const struct p_referral *p = params;
    int rc = check_target(call, p->tgt_name);
    if (rc == 0)
        nvmf_show_referrals(ash_engine_nvmf(call->engine), call->result);
    return rc;
}

#define METHOD(fn, table, run_fn, more, about)                                                     \
    {                                                                                              \
        .name = #fn, .help = about, .params = table, .params_bytes = sizeof(struct p_referral),    \
        .flags = more, .decode_code = INVALID_PARAMS, .decode_text = "Invalid parameters",         \
        .run = run_fn                                                                              \
    }
const struct ash_method nvmf_referral_methods[] = {
    METHOD(nvmf_discovery_add_referral, add_table, run_add, 0,
           "Tell hosts of another discovery service"),
    METHOD(nvmf_discovery_remove_referral, remove_table, run_remove, 0, "Tell them no more of it"),
    METHOD(nvmf_discovery_get_referrals, list_table, run_list, ASH_M_READ_ONLY,
           "Discovery services that hosts are told of"),
    {.name = NULL},
};
