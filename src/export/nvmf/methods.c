/* SPDX-License-Identifier: Apache-2.0 */
/* JSON-RPC methods of the NVMe target, as SPDK has them, and nvmf_share and its kin.
 * Source: docs/spec/spdk-jsonrpc.md 9; differences there in section 14. */
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "base/nvme_chap.h"
#include "bdev/keyring.h"
#include "export/nvmf/show.h"

enum { INVALID_PARAMS = -32602, INTERNAL_ERROR = -32603 };

static struct nvmf_server *server(const struct ash_call *call)
{
    return ash_engine_nvmf(call->engine);
}

static int fail(struct ash_call *call, int rc, int code, const char *fmt, ...) ASH_PRINTF(4, 5);
static int fail(struct ash_call *call, int rc, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    call->rpc_code = code;
    vsnprintf(call->rpc_message, sizeof(call->rpc_message), fmt, ap);
    va_end(ap);
    return rc;
}

static int no_subsystem(struct ash_call *call, const char *nqn)
{
    return fail(call, nvmf_no_subsystem(nqn, call->err), INVALID_PARAMS,
                "Invalid parameters: Subsystem with NQN '%.64s' not found", nqn);
}

/* Ends a call that changed something: true, or the failure with SPDK's code and text. */
static int done(struct ash_call *call, int rc, const char *nqn, int code, const char *text)
{
    if (rc == 0) {
        ash_jsonw_bool(call->result, NULL, true);
        return 0;
    }
    if (nqn && !nvmf_find_subsystem(server(call), nqn))
        return fail(call, rc, INVALID_PARAMS,
                    "Invalid parameters: Subsystem with NQN '%.64s' not found", nqn);
    return fail(call, rc, code, "%s", text);
}

static bool target_ok(struct ash_call *call, const char *tgt_name)
{
    if (!tgt_name || strcmp(tgt_name, "nvmf_tgt") == 0)
        return true;
    ash_err_set(call->err, ASH_E_EXPORT_NOT_FOUND, tgt_name, "there is no target '%s'", tgt_name);
    fail(call, -ENOENT, INTERNAL_ERROR, "Unable to find a target.");
    return false;
}

#define TGT(st)                                                                                    \
    ASH_PARAM(struct st, tgt_name, ASH_P_STR, 0, NULL, "name of the target: nvmf_tgt, the only one")
#define NQN(st) ASH_PARAM(struct st, nqn, ASH_P_STR, ASH_P_REQUIRED, NULL, "NQN of the subsystem")
#define KEPT(st, field, type, dflt)                                                                \
    ASH_PARAM(struct st, field, type, 0, dflt, "kept for clients, without effect")

#define METHOD(fn, table, st, about)                                                               \
    {                                                                                              \
        .name = #fn, .help = about, .params = table, .params_bytes = sizeof(struct st),            \
        .decode_code = INVALID_PARAMS, .decode_text = "Invalid parameters", .run = run_##fn        \
    }
#define LISTING(fn, table, st, about)                                                              \
    {                                                                                              \
        .name = #fn, .help = about, .params = table, .params_bytes = sizeof(struct st),            \
        .flags = ASH_M_READ_ONLY, .decode_code = INVALID_PARAMS,                                   \
        .decode_text = "Invalid parameters", .run = run_##fn                                       \
    }

/* -------------------------------------------------------------- transport */

struct p_transport {
    char *trtype, *tgt_name;
    uint16_t max_queue_depth, max_io_qpairs_per_ctrlr, control_msg_num, kas;
    uint32_t in_capsule_data_size, max_io_size, io_unit_size, max_aq_depth, num_shared_buffers,
        buf_cache_size, iobuf_small_cache_size, iobuf_large_cache_size, sock_priority,
        abort_timeout_sec, acceptor_poll_rate, ack_timeout, min_kato;
    bool zcopy, c2h_success, dif_insert_or_strip;
};

static const struct ash_param transport_table[] = {
    ASH_PARAM(struct p_transport, trtype, ASH_P_STR, ASH_P_REQUIRED, NULL, "TCP"),
    TGT(p_transport),
    ASH_PARAM(struct p_transport, max_queue_depth, ASH_P_U16, 0, "128",
              "commands of one I/O queue, 2 to 4096"),
    ASH_PARAM(struct p_transport, max_io_qpairs_per_ctrlr, ASH_P_U16, 0, "127",
              "I/O queues of one controller, 1 to 1024"),
    ASH_PARAM(struct p_transport, in_capsule_data_size, ASH_P_U32, 0, "4096",
              "data that may come with a command, at most 65536"),
    ASH_PARAM(struct p_transport, max_io_size, ASH_P_U32, 0, "131072",
              "data of one command, a power of two up to 4194304"),
    ASH_PARAM(struct p_transport, max_aq_depth, ASH_P_U32, 0, "128",
              "commands of an admin queue, 32 to 4096"),
    ASH_PARAM(struct p_transport, c2h_success, ASH_P_BOOL, 0, "true",
              "a read that succeeds is not answered by a capsule besides"),
    ASH_PARAM(struct p_transport, kas, ASH_P_U16, 0, "10", "granularity of keep alive, in 100 ms"),
    ASH_PARAM(struct p_transport, min_kato, ASH_P_U32, 0, "1000",
              "shortest keep alive time-out in ms"),
    KEPT(p_transport, io_unit_size, ASH_P_U32, "131072"),
    KEPT(p_transport, num_shared_buffers, ASH_P_U32, "511"),
    KEPT(p_transport, buf_cache_size, ASH_P_U32, "4294967295"),
    KEPT(p_transport, iobuf_small_cache_size, ASH_P_U32, "4294967295"),
    KEPT(p_transport, iobuf_large_cache_size, ASH_P_U32, "4294967295"),
    KEPT(p_transport, sock_priority, ASH_P_U32, "0"),
    KEPT(p_transport, abort_timeout_sec, ASH_P_U32, "1"),
    KEPT(p_transport, acceptor_poll_rate, ASH_P_U32, "10000"),
    KEPT(p_transport, ack_timeout, ASH_P_U32, "0"),
    KEPT(p_transport, control_msg_num, ASH_P_U16, "32"),
    KEPT(p_transport, zcopy, ASH_P_BOOL, "false"),
    KEPT(p_transport, dif_insert_or_strip, ASH_P_BOOL, "false"),
    {0}};

static int run_nvmf_create_transport(struct ash_call *call, void *params)
{
    const struct p_transport *p = params;
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    if (strcasecmp(p->trtype, "TCP") != 0)
        return fail(call,
                    ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->trtype,
                                "the transport '%s' is not known", p->trtype),
                    INVALID_PARAMS, "Invalid transport type '%.64s'", p->trtype);
    struct nvmf_transport_opts o = {
        .max_queue_depth = p->max_queue_depth,
        .max_io_qpairs_per_ctrlr = p->max_io_qpairs_per_ctrlr,
        .in_capsule_data_size = p->in_capsule_data_size,
        .max_io_size = p->max_io_size,
        .max_aq_depth = p->max_aq_depth,
        .c2h_success = p->c2h_success,
        .kas = p->kas,
        .min_kato_ms = p->min_kato,
        .io_unit_size = p->io_unit_size,
        .num_shared_buffers = p->num_shared_buffers,
        .buf_cache_size = p->buf_cache_size,
        .iobuf_small_cache_size = p->iobuf_small_cache_size,
        .iobuf_large_cache_size = p->iobuf_large_cache_size,
        .sock_priority = p->sock_priority,
        .abort_timeout_sec = p->abort_timeout_sec,
        .acceptor_poll_rate = p->acceptor_poll_rate,
        .ack_timeout = p->ack_timeout,
        .control_msg_num = p->control_msg_num,
        .zcopy = p->zcopy,
        .dif_insert_or_strip = p->dif_insert_or_strip,
    };
    int rc = nvmf_create_transport(server(call), &o, call->err);
    if (rc == -EEXIST)
        return fail(call, rc, INTERNAL_ERROR, "Transport type 'TCP' already exists");
    return done(call, rc, NULL, INTERNAL_ERROR, "Transport type 'TCP' create failed");
}

struct p_get {
    char *trtype, *tgt_name;
};
static const struct ash_param get_transports_table[] = {
    ASH_PARAM(struct p_get, trtype, ASH_P_STR, 0, NULL, "only this one"), TGT(p_get), {0}};

static int run_nvmf_get_transports(struct ash_call *call, void *params)
{
    const struct p_get *p = params;
    const struct nvmf_server *srv = server(call);
    bool wanted = !p->trtype || strcasecmp(p->trtype, "TCP") == 0;
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    if (p->trtype && (!wanted || !srv->has_transport))
        return ash_err_set_rc(call->err, -ENODEV, ASH_E_EXPORT_NOT_FOUND, p->trtype,
                              "there is no transport '%s'", p->trtype);
    ash_jsonw_arr(call->result, NULL);
    if (srv->has_transport)
        nvmf_show_transport(srv, call->result);
    ash_jsonw_arr_end(call->result);
    return 0;
}

/* -------------------------------------------------------------- subsystems */

struct p_subsystem {
    char *nqn, *serial_number, *model_number, *tgt_name, *admin_label;
    uint32_t max_namespaces, dmrsl;
    uint64_t max_discard_size_kib, max_write_zeroes_size_kib;
    uint16_t min_cntlid, max_cntlid, num_static_cntlids;
    uint8_t wzsl;
    bool allow_any_host, ana_reporting, passthrough, enable_nssr;
};

static const struct ash_param subsystem_table[] = {
    NQN(p_subsystem),
    ASH_PARAM(struct p_subsystem, serial_number, ASH_P_STR, 0, NULL, "at most 20 ASCII characters"),
    ASH_PARAM(struct p_subsystem, model_number, ASH_P_STR, 0, NULL, "at most 40 ASCII characters"),
    ASH_PARAM(struct p_subsystem, max_namespaces, ASH_P_U32, 0, "32", "at most 1024"),
    ASH_PARAM(struct p_subsystem, allow_any_host, ASH_P_BOOL, 0, "false",
              "else only hosts that were added"),
    ASH_PARAM(struct p_subsystem, ana_reporting, ASH_P_BOOL, 0, "false",
              "tell the states of paths (multipath)"),
    ASH_PARAM(struct p_subsystem, min_cntlid, ASH_P_U16, 0, "1", "lowest controller id"),
    ASH_PARAM(struct p_subsystem, max_cntlid, ASH_P_U16, 0, "65519", "highest controller id"),
    ASH_PARAM(struct p_subsystem, num_static_cntlids, ASH_P_U16, 0, "0",
              "so many of the lowest ids are only for hosts that ask for one of them, and keep "
              "what the host set"),
    ASH_PARAM(struct p_subsystem, dmrsl, ASH_P_U32, 0, "2097152",
              "blocks of one range that may be deallocated"),
    TGT(p_subsystem),
    KEPT(p_subsystem, wzsl, ASH_P_U8, "12"),
    KEPT(p_subsystem, passthrough, ASH_P_BOOL, "false"),
    KEPT(p_subsystem, enable_nssr, ASH_P_BOOL, "false"),
    KEPT(p_subsystem, admin_label, ASH_P_STR, NULL),
    KEPT(p_subsystem, max_discard_size_kib, ASH_P_U64, "0"),
    KEPT(p_subsystem, max_write_zeroes_size_kib, ASH_P_U64, "0"),
    {0}};

static int run_nvmf_create_subsystem(struct ash_call *call, void *params)
{
    const struct p_subsystem *p = params;
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    struct nvmf_subsystem_opts o = {.nqn = p->nqn,
                                    .serial_number = p->serial_number,
                                    .model_number = p->model_number,
                                    .max_namespaces = p->max_namespaces,
                                    .allow_any_host = p->allow_any_host,
                                    .ana_reporting = p->ana_reporting,
                                    .min_cntlid = p->min_cntlid,
                                    .max_cntlid = p->max_cntlid,
                                    .n_static_cntlids = p->num_static_cntlids,
                                    .dmrsl = p->dmrsl};
    if (p->min_cntlid == 0 || p->min_cntlid > p->max_cntlid || p->max_cntlid > NVME_CNTLID_MAX)
        return fail(call,
                    ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->nqn,
                                "Invalid cntlid range [%u-%u]", p->min_cntlid, p->max_cntlid),
                    INVALID_PARAMS, "Invalid cntlid range [%u-%u]", p->min_cntlid, p->max_cntlid);
    char text[120];
    snprintf(text, sizeof(text), "Unable to create subsystem %.80s", p->nqn);
    return done(call, nvmf_create_subsystem(server(call), &o, call->err), NULL, INTERNAL_ERROR,
                text);
}

struct p_nqn {
    char *nqn, *tgt_name;
};
static const struct ash_param nqn_table[] = {NQN(p_nqn), TGT(p_nqn), {0}};
static const struct ash_param opt_nqn_table[] = {
    ASH_PARAM(struct p_nqn, nqn, ASH_P_STR, 0, NULL, "only this subsystem"), TGT(p_nqn), {0}};

static int run_nvmf_delete_subsystem(struct ash_call *call, void *params)
{
    const struct p_nqn *p = params;
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    return done(call, nvmf_delete_subsystem(server(call), p->nqn, call->err), p->nqn,
                INVALID_PARAMS, "Invalid parameters");
}

static int run_nvmf_get_subsystems(struct ash_call *call, void *params)
{
    const struct p_nqn *p = params;
    const struct nvmf_server *srv = server(call);
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    if (p->nqn && !nvmf_find_subsystem(srv, p->nqn))
        return no_subsystem(call, p->nqn);
    ash_jsonw_arr(call->result, NULL);
    ash_list_for_each (item, &srv->subsystems) {
        const struct nvmf_subsystem *sub = ash_list_entry(item, struct nvmf_subsystem, link);
        if (!sub->closing && (!p->nqn || strcmp(p->nqn, sub->nqn) == 0))
            nvmf_show_subsystem(sub, call->result);
    }
    ash_jsonw_arr_end(call->result);
    return 0;
}

static int show_one(struct ash_call *call, const struct p_nqn *p,
                    void (*show)(const struct nvmf_subsystem *sub, struct ash_jsonw *w))
{
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    const struct nvmf_subsystem *sub = nvmf_find_subsystem(server(call), p->nqn);
    if (!sub)
        return no_subsystem(call, p->nqn);
    show(sub, call->result);
    return 0;
}

static int run_nvmf_subsystem_get_listeners(struct ash_call *call, void *params)
{
    return show_one(call, params, nvmf_show_listeners);
}

static int run_nvmf_subsystem_get_controllers(struct ash_call *call, void *params)
{
    return show_one(call, params, nvmf_show_controllers);
}

static int run_nvmf_subsystem_get_qpairs(struct ash_call *call, void *params)
{
    return show_one(call, params, nvmf_show_qpairs);
}

/* ------------------------------------------------------------- namespaces */

struct p_ns {
    char *bdev_name, *nguid, *eui64, *ptpl_file;
    uint32_t nsid, anagrpid;
    struct ash_uuid uuid;
    bool no_auto_visible, hide_metadata;
};

static const struct ash_param ns_table[] = {
    ASH_PARAM(struct p_ns, bdev_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "the device"),
    ASH_PARAM(struct p_ns, nsid, ASH_P_U32, 0, "0", "0: the first free one"),
    ASH_PARAM(struct p_ns, nguid, ASH_P_STR, 0, NULL, "32 hexadecimal digits; else the UUID"),
    ASH_PARAM(struct p_ns, eui64, ASH_P_STR, 0, NULL, "16 hexadecimal digits"),
    ASH_PARAM(struct p_ns, uuid, ASH_P_UUID, 0, NULL, "else the device's"),
    ASH_PARAM(struct p_ns, ptpl_file, ASH_P_STR, 0, NULL,
              "where reservations are kept that persist through power loss"),
    ASH_PARAM(struct p_ns, anagrpid, ASH_P_U32, 0, "0", "ANA group; 0: that of its nsid"),
    ASH_PARAM(struct p_ns, no_auto_visible, ASH_P_BOOL, 0, "false",
              "only hosts of nvmf_ns_add_host see it"),
    KEPT(p_ns, hide_metadata, ASH_P_BOOL, "false"),
    {0}};

struct p_add_ns {
    char *nqn, *tgt_name;
    struct json_object *namespace;
};
static const struct ash_param add_ns_table[] = {
    NQN(p_add_ns),
    ASH_PARAM(struct p_add_ns, namespace, ASH_P_JSON, ASH_P_REQUIRED, NULL,
              "{bdev_name, nsid, nguid, eui64, uuid, ptpl_file, anagrpid, no_auto_visible}"),
    TGT(p_add_ns),
    {0}};

static bool hex_digits(const char *text, uint8_t *ret, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * n)
        return false;
    for (size_t i = 0; i < 2 * n; i++) {
        const char *at = strchr(digits, text[i] | 0x20);
        if (!at)
            return false;
        ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (at - digits));
    }
    return true;
}

static int add_ns(struct ash_call *call, const char *nqn, const struct p_ns *p)
{
    struct nvmf_ns_opts o = {.bdev_name = p->bdev_name,
                             .nsid = p->nsid,
                             .uuid = p->uuid,
                             .anagrpid = p->anagrpid,
                             .no_auto_visible = p->no_auto_visible,
                             .ptpl_file = p->ptpl_file,
                             .has_nguid = p->nguid,
                             .has_eui64 = p->eui64};
    uint32_t nsid;
    if (p->nguid && !hex_digits(p->nguid, o.nguid, 16))
        return fail(call,
                    ash_err_set(call->err, ASH_E_BAD_ARGUMENT, nqn, "'%s' is no NGUID", p->nguid),
                    INVALID_PARAMS, "Invalid nguid");
    if (p->eui64 && !hex_digits(p->eui64, o.eui64, 8))
        return fail(call,
                    ash_err_set(call->err, ASH_E_BAD_ARGUMENT, nqn, "'%s' is no EUI64", p->eui64),
                    INVALID_PARAMS, "Invalid eui64");
    int rc = nvmf_add_ns(server(call), nqn, &o, &nsid, call->err);
    if (rc)
        return done(call, rc, nqn, INVALID_PARAMS, "Invalid parameters");
    ash_jsonw_u64(call->result, NULL, nsid);
    return 0;
}

static int run_nvmf_subsystem_add_ns(struct ash_call *call, void *params)
{
    const struct p_add_ns *p = params;
    struct p_ns ns = {0};
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    int rc = ash_params_from_json(ns_table, &ns, p->namespace, false, call->err);
    if (rc)
        return fail(call, rc, INVALID_PARAMS, "Invalid parameters");
    rc = add_ns(call, p->nqn, &ns);
    ash_params_free(ns_table, &ns);
    return rc;
}

struct p_nsid {
    char *nqn, *tgt_name, *host;
    uint32_t nsid, anagrpid;
};
#define NSID ASH_PARAM(struct p_nsid, nsid, ASH_P_U32, ASH_P_REQUIRED, NULL, "of the namespace")
static const struct ash_param nsid_table[] = {NQN(p_nsid), NSID, TGT(p_nsid), {0}};
static const struct ash_param ns_group_table[] = {
    NQN(p_nsid),
    NSID,
    ASH_PARAM(struct p_nsid, anagrpid, ASH_P_U32, ASH_P_REQUIRED, NULL, "the new ANA group"),
    TGT(p_nsid),
    {0}};
static const struct ash_param ns_host_table[] = {
    NQN(p_nsid),
    NSID,
    ASH_PARAM(struct p_nsid, host, ASH_P_STR, ASH_P_REQUIRED, NULL, "NQN of the host"),
    TGT(p_nsid),
    {0}};

static int run_nvmf_subsystem_remove_ns(struct ash_call *call, void *params)
{
    const struct p_nsid *p = params;
    return done(call, nvmf_remove_ns(server(call), p->nqn, p->nsid, call->err), p->nqn,
                INVALID_PARAMS, "Invalid parameters");
}

static int run_nvmf_subsystem_set_ns_ana_group(struct ash_call *call, void *params)
{
    const struct p_nsid *p = params;
    return done(call, nvmf_set_ns_ana_group(server(call), p->nqn, p->nsid, p->anagrpid, call->err),
                p->nqn, INVALID_PARAMS, "Invalid parameters");
}

static int run_nvmf_ns_add_host(struct ash_call *call, void *params)
{
    const struct p_nsid *p = params;
    return done(call, nvmf_ns_visible(server(call), p->nqn, p->nsid, p->host, true, call->err),
                p->nqn, INVALID_PARAMS, "Invalid parameters");
}

static int run_nvmf_ns_remove_host(struct ash_call *call, void *params)
{
    const struct p_nsid *p = params;
    return done(call, nvmf_ns_visible(server(call), p->nqn, p->nsid, p->host, false, call->err),
                p->nqn, INVALID_PARAMS, "Invalid parameters");
}

/* -------------------------------------------------------------- listeners */

static const struct ash_param address_table[] = {
    ASH_PARAM(struct nvmf_address_params, trtype, ASH_P_STR, ASH_P_REQUIRED, NULL, "TCP"),
    ASH_PARAM(struct nvmf_address_params, traddr, ASH_P_STR, ASH_P_REQUIRED, NULL, "IP address"),
    ASH_PARAM(struct nvmf_address_params, adrfam, ASH_P_STR, 0, NULL, "IPv4 (default) or IPv6"),
    ASH_PARAM(struct nvmf_address_params, trsvcid, ASH_P_STR, 0, NULL, "port; 4420 when left out"),
    {0}};

void nvmf_address_free(struct nvmf_address_params *params)
{
    ash_params_free(address_table, params);
}

int nvmf_address_decode(struct json_object *json, struct nvmf_address_params *ret_params,
                        struct nvmf_address *ret_address, struct ash_err *err)
{
    struct nvmf_address_params *a = ret_params;
    *a = (struct nvmf_address_params){0};
    int rc = ash_params_from_json(address_table, a, json, false, err);
    if (rc)
        return rc;
    bool v6 = a->adrfam && strcasecmp(a->adrfam, "IPv6") == 0;
    if (strcasecmp(a->trtype, "TCP") != 0 ||
        (a->adrfam && !v6 && strcasecmp(a->adrfam, "IPv4") != 0))
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, a->traddr,
                           "only TCP over IPv4 and IPv6 is supported");
    *ret_address = (struct nvmf_address){a->traddr, a->trsvcid ? a->trsvcid : "4420", v6};
    return 0;
}

struct p_listener {
    char *nqn, *tgt_name, *sock_impl;
    struct json_object *listen_address;
    bool secure_channel;
    int ana_state;
    uint32_t anagrpid;
};

static const struct ash_enum ana_states[] = {{"optimized", NVME_ANA_OPTIMIZED},
                                             {"non_optimized", NVME_ANA_NON_OPTIMIZED},
                                             {"inaccessible", NVME_ANA_INACCESSIBLE},
                                             {NULL, 0}};
#define ADDRESS                                                                                    \
    ASH_PARAM(struct p_listener, listen_address, ASH_P_JSON, ASH_P_REQUIRED, NULL,                 \
              "{trtype, traddr, adrfam, trsvcid}")
static const struct ash_param listener_table[] = {NQN(p_listener), ADDRESS, TGT(p_listener), {0}};
static const struct ash_param add_listener_table[] = {
    NQN(p_listener),
    ADDRESS,
    ASH_PARAM(struct p_listener, secure_channel, ASH_P_BOOL, 0, "false",
              "TLS only; not with allow_any_host"),
    ASH_PARAM_ENUM(struct p_listener, ana_state, 0, NULL, ana_states,
                   "of all groups by this listener (default optimized)"),
    KEPT(p_listener, sock_impl, ASH_P_STR, NULL),
    TGT(p_listener),
    {0}};
static const struct ash_param ana_state_table[] = {
    NQN(p_listener),
    ADDRESS,
    ASH_PARAM_ENUM(struct p_listener, ana_state, ASH_P_REQUIRED, NULL, ana_states, "the new state"),
    ASH_PARAM(struct p_listener, anagrpid, ASH_P_U32, 0, "0", "0: all groups"),
    TGT(p_listener),
    {0}};

/* Decode the address and do it. */
static int with_address(struct ash_call *call, const struct p_listener *p,
                        int (*fn)(struct ash_call *call, const struct p_listener *p,
                                  const struct nvmf_address *address))
{
    struct nvmf_address_params params;
    struct nvmf_address address;
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    int rc = nvmf_address_decode(p->listen_address, &params, &address, call->err);
    if (rc == 0)
        rc = fn(call, p, &address);
    nvmf_address_free(&params);
    return done(call, rc, p->nqn, INVALID_PARAMS, "Invalid parameters");
}

static int add_listener(struct ash_call *call, const struct p_listener *p,
                        const struct nvmf_address *address)
{
    struct nvmf_address a = *address;
    a.secure = p->secure_channel;
    return nvmf_add_listener(server(call), p->nqn, &a, (unsigned)p->ana_state, NULL, call->err);
}

static int remove_listener(struct ash_call *call, const struct p_listener *p,
                           const struct nvmf_address *address)
{
    return nvmf_remove_listener(server(call), p->nqn, address, call->err);
}

static int run_nvmf_subsystem_add_listener(struct ash_call *call, void *params)
{
    const struct p_listener *p = params;
    int rc = with_address(call, params, add_listener);
    const struct nvmf_subsystem *sub = rc ? nvmf_find_subsystem(server(call), p->nqn) : NULL;
    if (sub && p->secure_channel && sub->allow_any_host)
        fail(call, rc, INTERNAL_ERROR, "Internal error");
    return rc;
}

static int run_nvmf_subsystem_remove_listener(struct ash_call *call, void *params)
{
    return with_address(call, params, remove_listener);
}

static int set_ana_state(struct ash_call *call, const struct p_listener *p,
                         const struct nvmf_address *address)
{
    return nvmf_set_ana_state(server(call), p->nqn, address, (unsigned)p->ana_state, p->anagrpid,
                              call->err);
}

static int run_nvmf_subsystem_listener_set_ana_state(struct ash_call *call, void *params)
{
    const struct p_listener *p = params;
    int rc = with_address(call, params, set_ana_state);
    if (rc && nvmf_find_subsystem(server(call), p->nqn))
        fail(call, rc, INTERNAL_ERROR, "error setting ANA state: %d", rc);
    return rc;
}

/* ------------------------------------------------------------------- hosts */

struct p_host {
    char *nqn, *tgt_name, *host, *psk, *dhchap_key, *dhchap_ctrlr_key;
    uint64_t timeout_ms;
    bool allow_any_host;
};
#define HOST ASH_PARAM(struct p_host, host, ASH_P_STR, ASH_P_REQUIRED, NULL, "NQN of the host")
#define HOST_KEYS                                                                                  \
    ASH_PARAM(struct p_host, dhchap_key, ASH_P_STR, 0, NULL,                                       \
              "name of the key that the host must have (DH-HMAC-CHAP)"),                           \
        ASH_PARAM(struct p_host, dhchap_ctrlr_key, ASH_P_STR, 0, NULL,                             \
                  "name of the key by which we prove ourselves to it")
static const struct ash_param add_host_table[] = {
    NQN(p_host),
    HOST,
    ASH_PARAM(struct p_host, psk, ASH_P_STR, 0, NULL, "name of the host's key for TLS"),
    HOST_KEYS,
    TGT(p_host),
    {0}};
static const struct ash_param set_keys_table[] = {NQN(p_host), HOST, HOST_KEYS, TGT(p_host), {0}};
static const struct ash_param remove_host_table[] = {
    NQN(p_host), HOST, KEPT(p_host, timeout_ms, ASH_P_U64, "0"), TGT(p_host), {0}};
static const struct ash_param any_host_table[] = {NQN(p_host),
                                                  ASH_PARAM(struct p_host, allow_any_host,
                                                            ASH_P_BOOL, ASH_P_REQUIRED, NULL,
                                                            "false: only hosts that were added"),
                                                  TGT(p_host),
                                                  {0}};

struct host_keys {
    struct nvme_chap_key key, ctrlr_key, psk;
    struct nvmf_host_keys names;
};

static int read_keys(struct ash_call *call, const struct p_host *p,
                     struct host_keys *ret) ASH_MAY_WAIT
{
    int rc = 0;
    *ret = (struct host_keys){
        .names = {.key_name = p->dhchap_key, .ctrlr_key_name = p->dhchap_ctrlr_key}};
    if (p->dhchap_ctrlr_key && !p->dhchap_key)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->host,
                           "a key of the controller needs one of the host");
    if (p->dhchap_key) {
        rc = bdev_key_chap(call->bdevs, p->dhchap_key, &ret->key, call->err);
        ret->names.key = &ret->key;
    }
    if (rc == 0 && p->dhchap_ctrlr_key) {
        rc = bdev_key_chap(call->bdevs, p->dhchap_ctrlr_key, &ret->ctrlr_key, call->err);
        ret->names.ctrlr_key = &ret->ctrlr_key;
    }
    if (rc == 0 && p->psk)
        rc = bdev_key_tls(call->bdevs, p->psk, &ret->psk, call->err);
    return rc;
}

static int run_nvmf_subsystem_add_host(struct ash_call *call, void *params)
{
    const struct p_host *p = params;
    struct host_keys keys;
    int rc = read_keys(call, p, &keys);
    if (rc == 0)
        rc = nvmf_add_host(server(call), p->nqn, p->host, call->err);
    if (rc == 0) { /* nothing waits in between: nobody comes in without */
        if (p->dhchap_key)
            rc = nvmf_set_host_keys(server(call), p->nqn, p->host, &keys.names, call->err);
        if (rc == 0 && p->psk)
            rc = nvmf_set_host_psk(server(call), p->nqn, p->host, p->psk, &keys.psk, call->err);
        if (rc)
            nvmf_remove_host(server(call), p->nqn, p->host, NULL);
    }
    nvme_chap_wipe(&keys, sizeof(keys));
    return done(call, rc, p->nqn, INTERNAL_ERROR, "Internal error");
}

static int run_nvmf_subsystem_set_keys(struct ash_call *call, void *params)
{
    const struct p_host *p = params;
    struct host_keys keys;
    int rc = read_keys(call, p, &keys);
    if (rc == 0)
        rc = nvmf_set_host_keys(server(call), p->nqn, p->host, &keys.names, call->err);
    nvme_chap_wipe(&keys, sizeof(keys));
    return done(call, rc, p->nqn, INTERNAL_ERROR, "Internal error");
}

static int run_nvmf_subsystem_remove_host(struct ash_call *call, void *params)
{
    const struct p_host *p = params;
    return done(call, nvmf_remove_host(server(call), p->nqn, p->host, call->err), p->nqn,
                INTERNAL_ERROR, "Internal error");
}

static int run_nvmf_subsystem_allow_any_host(struct ash_call *call, void *params)
{
    const struct p_host *p = params;
    return done(call, nvmf_allow_any_host(server(call), p->nqn, p->allow_any_host, call->err),
                p->nqn, INTERNAL_ERROR, "Internal error");
}

/* -------------------------------------------------------- stats and shares */

struct p_tgt {
    char *tgt_name;
};
static const struct ash_param tgt_table[] = {TGT(p_tgt), {0}};

static int run_nvmf_get_stats(struct ash_call *call, void *params)
{
    const struct p_tgt *p = params;
    if (!target_ok(call, p->tgt_name))
        return -ENOENT;
    nvmf_show_stats(server(call), call->result);
    return 0;
}

struct p_share {
    char *volume;
    struct ash_strlist allowed_hosts;
};
static const struct ash_param share_table[] = {
    ASH_PARAM(struct p_share, volume, ASH_P_STR, ASH_P_REQUIRED, NULL, "POOL/VOLUME or UUID"),
    ASH_PARAM(struct p_share, allowed_hosts, ASH_P_STRLIST, 0, NULL,
              "NQNs of hosts; none: any host"),
    {0}};
static const struct ash_param unshare_table[] = {
    ASH_PARAM(struct p_share, volume, ASH_P_STR, ASH_P_REQUIRED, NULL, "POOL/VOLUME or UUID"), {0}};

static int run_nvmf_share(struct ash_call *call, void *params)
{
    const struct p_share *p = params;
    struct ash_buf uri ASH_CLEANUP(ash_buf_free) = {0};
    int rc = nvmf_share(server(call), p->volume, (const char *const *)p->allowed_hosts.items,
                        p->allowed_hosts.n_items, &uri, call->err);
    if (rc == 0)
        ash_jsonw_str(call->result, NULL, ash_buf_text(&uri));
    return rc;
}

static int run_nvmf_unshare(struct ash_call *call, void *params)
{
    const struct p_share *p = params;
    int rc = nvmf_unshare(server(call), p->volume, call->err);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static int run_nvmf_get_shares(struct ash_call *call, void *params)
{
    nvmf_show_shares(server(call), call->result);
    return 0;
}

const struct ash_method nvmf_methods[] = {
    {.name = "nvmf_create_transport",
     .help = "Set the limits of the NVMe target's TCP transport",
     .params = transport_table,
     .params_bytes = sizeof(struct p_transport),
     .flags = ASH_M_RELAXED,
     .decode_code = INVALID_PARAMS,
     .decode_text = "Invalid parameters",
     .run = run_nvmf_create_transport},
    LISTING(nvmf_get_transports, get_transports_table, p_get, "Limits of the transport"),
    METHOD(nvmf_create_subsystem, subsystem_table, p_subsystem, "Make an NVM subsystem"),
    METHOD(nvmf_delete_subsystem, nqn_table, p_nqn,
           "Delete a subsystem; its hosts are disconnected"),
    LISTING(nvmf_get_subsystems, opt_nqn_table, p_nqn, "Subsystems, the discovery subsystem first"),
    METHOD(nvmf_subsystem_add_ns, add_ns_table, p_add_ns,
           "Add a device as a namespace; the result is its nsid"),
    METHOD(nvmf_subsystem_remove_ns, nsid_table, p_nsid, "Take a namespace away"),
    METHOD(nvmf_subsystem_set_ns_ana_group, ns_group_table, p_nsid,
           "Move a namespace to another ANA group"),
    METHOD(nvmf_ns_add_host, ns_host_table, p_nsid, "Show a namespace to a host"),
    METHOD(nvmf_ns_remove_host, ns_host_table, p_nsid, "Hide a namespace from a host"),
    METHOD(nvmf_subsystem_add_listener, add_listener_table, p_listener,
           "Make a subsystem reachable by an address"),
    METHOD(nvmf_subsystem_remove_listener, listener_table, p_listener,
           "Stop listening; hosts that came by it are disconnected"),
    LISTING(nvmf_subsystem_get_listeners, nqn_table, p_nqn, "Listeners and their ANA states"),
    METHOD(nvmf_subsystem_listener_set_ana_state, ana_state_table, p_listener,
           "Change the ANA state of a listener's groups"),
    METHOD(nvmf_subsystem_add_host, add_host_table, p_host, "Let a host connect"),
    METHOD(nvmf_subsystem_set_keys, set_keys_table, p_host,
           "Other keys for a host; none: it need not prove itself any more"),
    METHOD(nvmf_subsystem_remove_host, remove_host_table, p_host,
           "Shut a host out; its connections are cut"),
    METHOD(nvmf_subsystem_allow_any_host, any_host_table, p_host, "Let any host connect, or not"),
    LISTING(nvmf_subsystem_get_controllers, nqn_table, p_nqn, "Connected controllers"),
    LISTING(nvmf_subsystem_get_qpairs, nqn_table, p_nqn, "Connected queue pairs"),
    LISTING(nvmf_get_stats, tgt_table, p_tgt, "Counters of each reactor"),
    {.name = "nvmf_share",
     .help = "Export a volume over NVMe/TCP as Mayastor does, now and whenever its pool is opened; "
             "the result is its URI",
     .params = share_table,
     .params_bytes = sizeof(struct p_share),
     .run = run_nvmf_share},
    {.name = "nvmf_unshare",
     .help = "End the share of a volume",
     .params = unshare_table,
     .params_bytes = sizeof(struct p_share),
     .run = run_nvmf_unshare},
    {.name = "nvmf_get_shares",
     .help = "Shared volumes with their URIs",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = run_nvmf_get_shares},
    {0}};
