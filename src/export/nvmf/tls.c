/* SPDX-License-Identifier: Apache-2.0 */
/* TLS: which key a host has for which subsystem. Control reactor: handshakes are over before a
 * queue goes to another. Source: docs/spec/nvme-tcp.md 9, 13. */
#include <errno.h>

#include "base/nvme_tls.h"
#include "export/nvmf/nvmf_int.h"

static bool find_key(void *user, const char *identity, struct rt_tls_key *ret_key)
{
    const struct nvmf_server *srv = user;
    char hostnqn[NVME_NQN_FIELD], subnqn[NVME_NQN_FIELD];
    if (!nvme_tls_identity_parse(identity, hostnqn, subnqn))
        return false;
    const struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, subnqn);
    const struct nvmf_host *host = sub && !sub->closing ? nvmf_find_host(sub, hostnqn) : NULL;
    struct nvme_tls_psk psk;
    if (!host || !host->psk || nvme_tls_derive(host->psk, hostnqn, subnqn, &psk) != 0)
        return false;
    bool same = strcmp(psk.identity, identity) == 0; /* else it names another hash */
    if (same) {
        memcpy(ret_key->bytes, psk.key, sizeof(ret_key->bytes));
        ret_key->n_bytes = psk.n_bytes;
    }
    nvme_chap_wipe(&psk, sizeof(psk));
    return same;
}

int nvmf_tls_init(struct nvmf_server *srv)
{
    if (!srv->tls)
        srv->tls = rt_tls_server_new(find_key, srv);
    return srv->tls ? 0 : -ENOMEM;
}

int nvmf_tls_accept(struct nvmf_conn *conn, const struct nvmf_listener *l, struct rt_sock *sock)
{
    if (!l || !l->secure)
        return 0;
    conn->tls = rt_tls_accept(l->srv->tls, sock);
    return conn->tls ? 0 : -ENOMEM;
}

bool nvmf_tls_fits(const struct nvmf_conn *conn, const struct nvmf_host *host,
                   const struct nvme_connect_data *data)
{
    char hostnqn[NVME_NQN_FIELD], subnqn[NVME_NQN_FIELD];
    if (!conn->tls)
        return !host || !host->psk;
    return nvme_tls_identity_parse(rt_tls_identity(conn->tls), hostnqn, subnqn) &&
           strcmp(hostnqn, data->hostnqn) == 0 && strcmp(subnqn, data->subnqn) == 0;
}

void nvmf_host_forget_psk(struct nvmf_host *host)
{
    if (host->psk)
        nvme_chap_wipe(host->psk, sizeof(*host->psk));
    rt_free(host->psk);
    rt_free(host->psk_name);
    host->psk = NULL;
    host->psk_name = NULL;
}

int nvmf_set_host_psk(struct nvmf_server *srv, const char *nqn, const char *host, const char *name,
                      const struct nvme_chap_key *key, struct ash_err *err)
{
    const struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, nqn);
    struct nvmf_host *h = sub ? nvmf_find_host(sub, host) : NULL;
    struct nvme_tls_psk psk;
    if (!h)
        return sub ? ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, host, "'%s' does not list host '%s'",
                                 nqn, host)
                   : nvmf_no_subsystem(nqn, err);
    if (nvme_tls_derive(key, host, nqn, &psk) != 0)
        return ash_err_set(err, ASH_E_NVME_KEY, name, "key '%s' cannot be used for '%s' and '%s'",
                           name, host, nqn);
    nvme_chap_wipe(&psk, sizeof(psk));
    nvmf_host_forget_psk(h);
    h->psk = rt_alloc(sizeof(*h->psk));
    h->psk_name = rt_strdup(name);
    if (!h->psk || !h->psk_name) {
        nvmf_host_forget_psk(h);
        return ash_err_set(err, ASH_E_NO_MEMORY, host, "no memory for a key");
    }
    *h->psk = *key;
    return 0;
}
