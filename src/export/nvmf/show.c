/* SPDX-License-Identifier: Apache-2.0 */
/* The target as JSON: listings of the methods, and the configuration that makes it again.
 * Shapes: docs/spec/spdk-jsonrpc.md 9, 12. */
#include "export/nvmf/show.h"

#include <stdio.h>

static void hex(struct ash_jsonw *w, const char *name, const uint8_t *bytes, unsigned n)
{
    char text[33];
    for (unsigned i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02X", bytes[i]);
    ash_jsonw_str(w, name, text);
}

static void uuid(struct ash_jsonw *w, const char *name, const struct ash_uuid *id)
{
    char text[ASH_UUID_TEXT_BYTES];
    ash_jsonw_str(w, name, ash_uuid_format(id, text));
}

static void address_members(struct ash_jsonw *w, const char *traddr, const char *trsvcid, bool ipv6)
{
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_str(w, "adrfam", ipv6 ? "IPv6" : "IPv4");
    ash_jsonw_str(w, "traddr", traddr);
    ash_jsonw_str(w, "trsvcid", trsvcid);
}

static void address(struct ash_jsonw *w, const char *name, const struct nvmf_listener *l)
{
    ash_jsonw_obj(w, name);
    address_members(w, l->traddr, l->trsvcid, l->ipv6);
    ash_jsonw_obj_end(w);
}

void nvmf_show_transport(const struct nvmf_server *srv, struct ash_jsonw *w)
{
    const struct nvmf_transport_opts *o = &srv->transport;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_u64(w, "max_queue_depth", o->max_queue_depth);
    ash_jsonw_u64(w, "max_io_qpairs_per_ctrlr", o->max_io_qpairs_per_ctrlr);
    ash_jsonw_u64(w, "in_capsule_data_size", o->in_capsule_data_size);
    ash_jsonw_u64(w, "max_io_size", o->max_io_size);
    ash_jsonw_u64(w, "io_unit_size", o->io_unit_size);
    ash_jsonw_u64(w, "max_aq_depth", o->max_aq_depth);
    ash_jsonw_u64(w, "num_shared_buffers", o->num_shared_buffers);
    ash_jsonw_u64(w, "buf_cache_size", o->buf_cache_size);
    ash_jsonw_u64(w, "iobuf_small_cache_size", o->iobuf_small_cache_size);
    ash_jsonw_u64(w, "iobuf_large_cache_size", o->iobuf_large_cache_size);
    ash_jsonw_bool(w, "dif_insert_or_strip", o->dif_insert_or_strip);
    ash_jsonw_bool(w, "zcopy", o->zcopy);
    ash_jsonw_bool(w, "c2h_success", o->c2h_success);
    ash_jsonw_u64(w, "sock_priority", o->sock_priority);
    ash_jsonw_u64(w, "abort_timeout_sec", o->abort_timeout_sec);
    ash_jsonw_u64(w, "ack_timeout", o->ack_timeout);
    ash_jsonw_u64(w, "data_wr_pool_size", 0);
    ash_jsonw_bool(w, "disable_command_passthru", true);
    ash_jsonw_u64(w, "kas", o->kas);
    ash_jsonw_u64(w, "min_kato", o->min_kato_ms);
    ash_jsonw_obj_end(w);
}

static void show_ns(const struct nvmf_ns *ns, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "nsid", ns->nsid);
    ash_jsonw_str(w, "bdev_name", ns->bdev->name);
    ash_jsonw_str(w, "name", ns->bdev->name);
    hex(w, "nguid", ns->nguid, 16);
    if (ns->has_eui64)
        hex(w, "eui64", ns->eui64, 8);
    uuid(w, "uuid", &ns->uuid);
    if (ns->sub->ana_reporting)
        ash_jsonw_u64(w, "anagrpid", ns->anagrpid);
    if (ns->no_auto_visible) {
        ash_jsonw_bool(w, "no_auto_visible", true);
        ash_jsonw_arr(w, "hosts");
        ash_list_for_each (item, &ns->hosts)
            ash_jsonw_str(w, NULL, ash_list_entry(item, struct nvmf_host, link)->nqn);
        ash_jsonw_arr_end(w);
    }
    ash_jsonw_obj_end(w);
}

static void show_keys(const struct nvmf_host *host, struct ash_jsonw *w)
{
    if (host->psk)
        ash_jsonw_str(w, "psk", host->psk_name);
    if (host->key)
        ash_jsonw_str(w, "dhchap_key", host->key_name);
    if (host->ctrlr_key)
        ash_jsonw_str(w, "dhchap_ctrlr_key", host->ctrlr_key_name);
}

static void show_hosts(const struct nvmf_subsystem *sub, struct ash_jsonw *w)
{
    ash_jsonw_bool(w, "allow_any_host", sub->allow_any_host);
    ash_jsonw_arr(w, "hosts");
    ash_list_for_each (item, &sub->hosts) {
        ash_jsonw_obj(w, NULL);
        const struct nvmf_host *host = ash_list_entry(item, struct nvmf_host, link);
        ash_jsonw_str(w, "nqn", host->nqn);
        show_keys(host, w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
}

void nvmf_show_subsystem(const struct nvmf_subsystem *sub, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "nqn", sub->nqn);
    ash_jsonw_str(w, "subtype", sub->discovery ? "Discovery" : "NVMe");
    ash_jsonw_arr(w, "listen_addresses");
    ash_list_for_each (item, &sub->paths)
        address(w, NULL, ash_list_entry(item, struct nvmf_path, link)->listener);
    ash_jsonw_arr_end(w);
    show_hosts(sub, w);
    if (!sub->discovery) {
        ash_jsonw_str(w, "serial_number", sub->serial);
        ash_jsonw_str(w, "model_number", sub->model);
        ash_jsonw_u64(w, "max_namespaces", sub->max_namespaces);
        ash_jsonw_bool(w, "passthrough", false);
        ash_jsonw_u64(w, "min_cntlid", sub->min_cntlid);
        ash_jsonw_u64(w, "max_cntlid", sub->max_cntlid);
        if (sub->n_statics)
            ash_jsonw_u64(w, "num_static_cntlids", sub->n_statics);
        ash_jsonw_u64(w, "dmrsl", sub->dmrsl);
        ash_jsonw_u64(w, "wzsl", 0);
        ash_jsonw_arr(w, "namespaces");
        for (uint32_t i = 0; i < sub->max_namespaces; i++) {
            if (sub->ns[i] && !sub->ns[i]->opening)
                show_ns(sub->ns[i], w);
        }
        ash_jsonw_arr_end(w);
    }
    ash_jsonw_obj_end(w);
}

void nvmf_show_listeners(const struct nvmf_subsystem *sub, struct ash_jsonw *w)
{
    ash_jsonw_arr(w, NULL);
    ash_list_for_each (item, &sub->paths) {
        const struct nvmf_path *path = ash_list_entry(item, struct nvmf_path, link);
        ash_jsonw_obj(w, NULL);
        address(w, "address", path->listener);
        if (sub->ana_reporting) {
            ash_jsonw_arr(w, "ana_states");
            for (uint32_t g = 1; g <= sub->max_namespaces; g++) {
                ash_jsonw_obj(w, NULL);
                ash_jsonw_u64(w, "ana_group", g);
                ash_jsonw_str(w, "ana_state", nvmf_ana_name(path->ana[g]));
                ash_jsonw_obj_end(w);
            }
            ash_jsonw_arr_end(w);
            ash_jsonw_str(w, "ana_state", nvmf_ana_name(path->ana[1])); /* of older clients */
        }
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
}

void nvmf_show_controllers(const struct nvmf_subsystem *sub, struct ash_jsonw *w)
{
    ash_jsonw_arr(w, NULL);
    ash_list_for_each (item, &sub->ctrlrs) {
        const struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        struct ash_uuid hostid;
        memcpy(hostid.b, ctrlr->hostid, sizeof(hostid.b));
        ash_jsonw_obj(w, NULL);
        ash_jsonw_u64(w, "cntlid", ctrlr->cntlid);
        ash_jsonw_str(w, "cntrltype", sub->discovery ? "discovery" : "io");
        ash_jsonw_str(w, "hostnqn", ctrlr->hostnqn);
        uuid(w, "hostid", &hostid);
        ash_jsonw_u64(w, "num_io_qpairs", ctrlr->n_io);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
}

static void show_qpair(const struct nvmf_conn *conn, struct ash_jsonw *w)
{
    char thread[32];
    snprintf(thread, sizeof(thread), "reactor_%u", rt_reactor_idx(conn->reactor));
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "cntlid", conn->ctrlr->cntlid);
    ash_jsonw_u64(w, "qid", conn->qid);
    ash_jsonw_str(w, "state", conn->shut_posted ? "deactivating" : "enabled");
    ash_jsonw_str(w, "thread", thread);
    ash_jsonw_str(w, "hostnqn", conn->hostnqn);
    ash_jsonw_obj(w, "listen_address");
    address_members(w, conn->traddr, conn->trsvcid, conn->ipv6);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

void nvmf_show_qpairs(const struct nvmf_subsystem *sub, struct ash_jsonw *w)
{
    ash_jsonw_arr(w, NULL);
    ash_list_for_each (item, &sub->ctrlrs) {
        const struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (ctrlr->admin)
            show_qpair(ctrlr->admin, w);
        for (unsigned i = 0; i < sub->srv->transport.max_io_qpairs_per_ctrlr; i++) {
            if (ctrlr->io[i])
                show_qpair(ctrlr->io[i], w);
        }
    }
    ash_jsonw_arr_end(w);
}

#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)

void nvmf_show_stats(const struct nvmf_server *srv, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "tick_rate", 1000000000);
    ash_jsonw_arr(w, "poll_groups");
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        const struct nvmf_group_stats *g = &srv->groups[i];
        char name[32];
        snprintf(name, sizeof(name), "nvmf_tgt_poll_group_%03u", i);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "name", name);
        ash_jsonw_u64(w, "admin_qpairs", LOAD(g->n_admin_qpairs));
        ash_jsonw_u64(w, "io_qpairs", LOAD(g->n_io_qpairs));
        ash_jsonw_u64(w, "current_admin_qpairs", LOAD(g->n_admin_now));
        ash_jsonw_u64(w, "current_io_qpairs", LOAD(g->n_io_now));
        ash_jsonw_u64(w, "current_unassociated_qpairs", i == 0 ? srv->n_unassociated : 0);
        ash_jsonw_u64(w, "pending_bdev_io", LOAD(g->n_pending));
        ash_jsonw_u64(w, "completed_nvme_io", LOAD(g->n_completed));
        ash_jsonw_arr(w, "transports");
        if (srv->has_transport) {
            ash_jsonw_obj(w, NULL);
            ash_jsonw_str(w, "trtype", "TCP");
            ash_jsonw_obj_end(w);
        }
        ash_jsonw_arr_end(w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
}

void nvmf_show_shares(const struct nvmf_server *srv, struct ash_jsonw *w)
{
    ash_jsonw_arr(w, NULL);
    ash_list_for_each (item, &srv->subsystems) {
        const struct nvmf_subsystem *sub = ash_list_entry(item, struct nvmf_subsystem, link);
        if (!sub->shared || sub->closing || !sub->ns[0] || ash_list_empty(&sub->paths))
            continue;
        const struct nvmf_path *path = ash_list_entry(sub->paths.next, struct nvmf_path, link);
        const struct nvmf_listener *l = path->listener;
        char id[ASH_UUID_TEXT_BYTES];
        struct ash_buf uri = {0};
        ash_buf_fmt(&uri, l->ipv6 ? "nvmf+tcp://[%s]:%s/%s?uuid=%s" : "nvmf+tcp://%s:%s/%s?uuid=%s",
                    l->traddr, l->trsvcid, sub->nqn, ash_uuid_format(&sub->ns[0]->uuid, id));
        const char *alias = bdev_n_aliases(sub->ns[0]->bdev) ? bdev_alias(sub->ns[0]->bdev, 0)
                                                             : sub->ns[0]->bdev_name;
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "volume", alias);
        ash_jsonw_str(w, "bdev", sub->ns[0]->bdev_name);
        ash_jsonw_str(w, "nqn", sub->nqn);
        ash_jsonw_str(w, "uri", ash_buf_text(&uri));
        ash_jsonw_bool(w, "any_host", sub->allow_any_host);
        ash_jsonw_arr(w, "allowed_hosts");
        ash_list_for_each (h, &sub->hosts)
            ash_jsonw_str(w, NULL, ash_list_entry(h, struct nvmf_host, link)->nqn);
        ash_jsonw_arr_end(w);
        uint32_t n = 0;
        ash_list_for_each (c, &sub->ctrlrs)
            n++;
        ash_jsonw_u64(w, "controllers", n);
        ash_jsonw_obj_end(w);
        ash_buf_free(&uri);
    }
    ash_jsonw_arr_end(w);
}

/* ---------------------------------------------------------- configuration */

static void entry_begin(struct ash_jsonw *w, const char *method)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "method", method);
    ash_jsonw_obj(w, "params");
}

static void entry_end(struct ash_jsonw *w)
{
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

static void config_transport(const struct nvmf_server *srv, struct ash_jsonw *w)
{
    const struct nvmf_transport_opts *o = &srv->transport;
    entry_begin(w, "nvmf_create_transport");
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_u64(w, "max_queue_depth", o->max_queue_depth);
    ash_jsonw_u64(w, "max_io_qpairs_per_ctrlr", o->max_io_qpairs_per_ctrlr);
    ash_jsonw_u64(w, "in_capsule_data_size", o->in_capsule_data_size);
    ash_jsonw_u64(w, "max_io_size", o->max_io_size);
    ash_jsonw_u64(w, "max_aq_depth", o->max_aq_depth);
    ash_jsonw_bool(w, "c2h_success", o->c2h_success);
    ash_jsonw_u64(w, "kas", o->kas);
    ash_jsonw_u64(w, "min_kato", o->min_kato_ms);
    entry_end(w);
}

static void config_ns(const struct nvmf_ns *ns, struct ash_jsonw *w)
{
    entry_begin(w, "nvmf_subsystem_add_ns");
    ash_jsonw_str(w, "nqn", ns->sub->nqn);
    ash_jsonw_obj(w, "namespace");
    ash_jsonw_u64(w, "nsid", ns->nsid);
    ash_jsonw_str(w, "bdev_name", ns->bdev->name);
    if (ns->has_nguid)
        hex(w, "nguid", ns->nguid, 16);
    if (ns->has_eui64)
        hex(w, "eui64", ns->eui64, 8);
    uuid(w, "uuid", &ns->uuid);
    ash_jsonw_u64(w, "anagrpid", ns->anagrpid);
    if (ns->ptpl_file)
        ash_jsonw_str(w, "ptpl_file", ns->ptpl_file);
    ash_jsonw_bool(w, "no_auto_visible", ns->no_auto_visible);
    ash_jsonw_obj_end(w);
    entry_end(w);
    ash_list_for_each (item, &ns->hosts) {
        entry_begin(w, "nvmf_ns_add_host");
        ash_jsonw_str(w, "nqn", ns->sub->nqn);
        ash_jsonw_u64(w, "nsid", ns->nsid);
        ash_jsonw_str(w, "host", ash_list_entry(item, struct nvmf_host, link)->nqn);
        entry_end(w);
    }
}

static void config_listener(const struct nvmf_path *path, struct ash_jsonw *w)
{
    const struct nvmf_subsystem *sub = path->sub;
    entry_begin(w, "nvmf_subsystem_add_listener");
    ash_jsonw_str(w, "nqn", sub->nqn);
    address(w, "listen_address", path->listener);
    if (path->listener->secure)
        ash_jsonw_bool(w, "secure_channel", true);
    entry_end(w);
    for (uint32_t g = 1; sub->ana_reporting && g <= sub->max_namespaces; g++) {
        if (path->ana[g] == NVME_ANA_OPTIMIZED)
            continue;
        entry_begin(w, "nvmf_subsystem_listener_set_ana_state");
        ash_jsonw_str(w, "nqn", sub->nqn);
        address(w, "listen_address", path->listener);
        ash_jsonw_str(w, "ana_state", nvmf_ana_name(path->ana[g]));
        ash_jsonw_u64(w, "anagrpid", g);
        entry_end(w);
    }
}

static void config_subsystem(const struct nvmf_subsystem *sub, struct ash_jsonw *w)
{
    if (!sub->discovery) {
        entry_begin(w, "nvmf_create_subsystem");
        ash_jsonw_str(w, "nqn", sub->nqn);
        ash_jsonw_bool(w, "allow_any_host", sub->allow_any_host);
        ash_jsonw_str(w, "serial_number", sub->serial);
        ash_jsonw_str(w, "model_number", sub->model);
        ash_jsonw_u64(w, "max_namespaces", sub->max_namespaces);
        ash_jsonw_u64(w, "min_cntlid", sub->min_cntlid);
        ash_jsonw_u64(w, "max_cntlid", sub->max_cntlid);
        if (sub->n_statics)
            ash_jsonw_u64(w, "num_static_cntlids", sub->n_statics);
        ash_jsonw_bool(w, "ana_reporting", sub->ana_reporting);
        ash_jsonw_u64(w, "dmrsl", sub->dmrsl);
        entry_end(w);
    }
    ash_list_for_each (item, &sub->hosts) {
        entry_begin(w, "nvmf_subsystem_add_host");
        ash_jsonw_str(w, "nqn", sub->nqn);
        ash_jsonw_str(w, "host", ash_list_entry(item, struct nvmf_host, link)->nqn);
        show_keys(ash_list_entry(item, struct nvmf_host, link), w);
        entry_end(w);
    }
    for (uint32_t i = 0; i < sub->max_namespaces; i++) {
        if (sub->ns[i] && !sub->ns[i]->opening)
            config_ns(sub->ns[i], w);
    }
    ash_list_for_each (item, &sub->paths)
        config_listener(ash_list_entry(item, struct nvmf_path, link), w);
}

static void show_referral(const struct nvmf_referral *r, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, "address");
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_str(w, "adrfam", r->ipv6 ? "IPv6" : "IPv4");
    ash_jsonw_str(w, "traddr", r->traddr);
    ash_jsonw_str(w, "trsvcid", r->trsvcid);
    ash_jsonw_obj_end(w);
    ash_jsonw_bool(w, "secure_channel", r->secure);
    ash_jsonw_str(w, "subnqn", r->subnqn);
}

void nvmf_show_referrals(const struct nvmf_server *srv, struct ash_jsonw *w)
{
    ash_jsonw_arr(w, NULL);
    ash_list_for_each (item, &srv->referrals) {
        ash_jsonw_obj(w, NULL);
        show_referral(ash_list_entry(item, struct nvmf_referral, link), w);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
}

void nvmf_dump_config(const struct nvmf_server *srv, struct ash_jsonw *w)
{
    if (srv->has_transport)
        config_transport(srv, w);
    ash_list_for_each (item, &srv->referrals) {
        entry_begin(w, "nvmf_discovery_add_referral");
        show_referral(ash_list_entry(item, struct nvmf_referral, link), w);
        entry_end(w);
    }
    ash_list_for_each (item, &srv->subsystems) {
        const struct nvmf_subsystem *sub = ash_list_entry(item, struct nvmf_subsystem, link);
        if (!sub->shared && !sub->closing)
            config_subsystem(sub, w);
    }
}
