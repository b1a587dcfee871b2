/* SPDX-License-Identifier: Apache-2.0 */
/* Shares: volumes exported as Mayastor does it, one subsystem and one namespace each.
 *
 * That a volume is shared stands in its own attributes, "shared" ("true" or "false") and
 * "allowed-hosts" (NQNs between commas), both with their NUL, so it comes back wherever its pool is
 * opened: whenever a device appears, a task looks at the volumes that are not shared yet.
 *
 * The attributes are written by whoever changes a share, never by a pool that is closed or a volume
 * that goes. srv->lock is not held while the pool is asked.
 * Source: docs/spec/mayastor-behaviour.md 3.2, 5. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/evp.h>

#define NQN_PREFIX       "nqn.2019-05.io.openebs:"
#define XATTR_SHARED     "shared"
#define XATTR_HOSTS      "allowed-hosts"
#define DEFAULT_URI      "tcp://127.0.0.1:8420"
#define MODEL            "Mayastor NVMe controller"
#define RETRY_NS         100000000ull
#define RESHARE_RETRY_NS 500000000ull
#define RESHARE_TRIES    20

static void make_nqn(const char *name, char nqn[NVME_NQN_FIELD])
{
    snprintf(nqn, NVME_NQN_FIELD, "%s%.180s", NQN_PREFIX, name);
}

/* "DCS" and 17 digits of the UUID's SHA-256. */
static void make_serial(const struct ash_uuid *uuid, char serial[21])
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    EVP_Digest(uuid->b, sizeof(uuid->b), digest, NULL, EVP_sha256(), NULL);
    memcpy(serial, "DCS", 3);
    for (unsigned i = 0; i < 17; i++)
        serial[3 + i] = "0123456789ABCDEF"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
    serial[20] = 0;
}

/* "tcp://ADDRESS:PORT" in two. */
static int split_uri(const char *uri, char host[64], char port[16], bool *ret_ipv6,
                     struct ash_err *err)
{
    const char *at = ash_starts_with(uri, "tcp://") ? uri + 6 : NULL;
    const char *colon = at ? strrchr(at, ':') : NULL;
    bool v6 = at && at[0] == '[';
    size_t n = colon ? (size_t)(colon - at) : 0;
    uint64_t n_port;
    if (v6 && n >= 2 && at[n - 1] == ']') {
        at++;
        n -= 2;
    }
    if (!colon || n == 0 || n >= 64 || ash_parse_u64(colon + 1, 65535, &n_port))
        return ash_err_set(err, ASH_E_RT_BAD_ADDRESS, uri,
                           "'%s' is not of the form tcp://ADDRESS:PORT", uri);
    snprintf(host, 64, "%.*s", (int)n, at);
    snprintf(port, 16, "%s", colon + 1);
    *ret_ipv6 = v6;
    return 0;
}

int nvmf_set_share_address(struct nvmf_server *srv, const char *uri, struct ash_err *err)
{
    char host[64], port[16];
    bool v6;
    int rc = split_uri(uri, host, port, &v6, err);
    if (rc)
        return rc;
    ash_list_for_each (item, &srv->subsystems) {
        if (ash_list_entry(item, struct nvmf_subsystem, link)->shared)
            return ash_err_set(err, ASH_E_EXPORT_BUSY, uri, "there are shares at another address");
    }
    char *copy = rt_strdup(uri);
    if (!copy)
        return ash_err_set(err, ASH_E_NO_MEMORY, uri, "no memory for an address");
    rt_free(srv->share_uri);
    srv->share_uri = copy;
    return 0;
}

/* -------------------------------------------------------------- exporting */

static int add_hosts(struct nvmf_server *srv, const char *nqn, const char *const *hosts,
                     size_t n_hosts, struct ash_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n_hosts && rc == 0; i++) {
        struct ash_err one = {0};
        rc = nvmf_add_host(srv, nqn, hosts[i], &one);
        if (rc == -EEXIST)
            rc = 0; /* named twice */
        if (rc && err)
            *err = one;
    }
    return rc;
}

/* What a share of a volume is made of. */
struct spec {
    char nqn[NVME_NQN_FIELD], serial[21], bdev[128], name[192];
    struct ash_uuid uuid;
};

static void make_spec(const struct volume_info *info, struct spec *spec)
{
    *spec = (struct spec){.uuid = info->uuid};
    make_nqn(info->name, spec->nqn);
    make_serial(&info->uuid, spec->serial);
    snprintf(spec->bdev, sizeof(spec->bdev), "%s", info->unique_id);
    snprintf(spec->name, sizeof(spec->name), "%s", info->alias);
}

static int listen_for(struct nvmf_server *srv, const char *nqn, struct ash_err *err)
{
    char host[64], port[16], chosen[16];
    struct nvmf_address address = {host, port, false};
    const char *uri = srv->share_uri ? srv->share_uri : DEFAULT_URI;
    int rc = split_uri(uri, host, port, &address.ipv6, err);
    if (rc)
        return rc;
    rc = nvmf_add_listener(srv, nqn, &address, 0, chosen, err);
    if (rc == 0 && strcmp(port, "0") == 0) { /* the others shall be there too */
        struct ash_buf fixed ASH_CLEANUP(ash_buf_free) = {0};
        ash_buf_fmt(&fixed, address.ipv6 ? "tcp://[%s]:%s" : "tcp://%s:%s", host, chosen);
        char *copy = fixed.failed ? NULL : rt_strdup(fixed.data);
        if (!copy)
            return ash_err_set(err, ASH_E_NO_MEMORY, uri, "no memory for an address");
        rt_free(srv->share_uri);
        srv->share_uri = copy;
    }
    return rc;
}

static int export(struct nvmf_server *srv, const struct spec *spec, const char *const *hosts,
                  size_t n_hosts, struct ash_err *err)
{
    struct nvmf_transport_opts transport;
    nvmf_transport_defaults(&transport);
    if (!srv->has_transport)
        nvmf_create_transport(srv, &transport, NULL);
    struct nvmf_subsystem_opts opts = {.nqn = spec->nqn,
                                       .serial_number = spec->serial,
                                       .model_number = MODEL,
                                       .max_namespaces = 1,
                                       .allow_any_host = n_hosts == 0,
                                       .openebs = true};
    int rc = nvmf_create_subsystem(srv, &opts, err);
    if (rc)
        return rc;
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, spec->nqn);
    if (sub)
        sub->shared = true;
    struct nvmf_ns_opts ns = {.bdev_name = spec->bdev, .nsid = 1, .uuid = spec->uuid};
    uint32_t nsid;
    rc = nvmf_add_ns(srv, spec->nqn, &ns, &nsid, err);
    if (rc == 0)
        rc = add_hosts(srv, spec->nqn, hosts, n_hosts, err);
    if (rc == 0)
        rc = listen_for(srv, spec->nqn, err);
    if (rc)
        nvmf_delete_subsystem(srv, spec->nqn, NULL);
    return rc;
}

static bool listed(const char *const *hosts, size_t n_hosts, const char *nqn)
{
    for (size_t i = 0; i < n_hosts; i++) {
        if (strcmp(hosts[i], nqn) == 0)
            return true;
    }
    return false;
}

/* Hosts that are gone from the list are disconnected. */
static int replace_hosts(struct nvmf_server *srv, struct nvmf_subsystem *sub,
                         const char *const *hosts, size_t n_hosts, struct ash_err *err)
{
    char nqn[NVME_NQN_FIELD], gone[NVME_NQN_FIELD];
    memcpy(nqn, sub->nqn, sizeof(nqn));
    sub->allow_any_host = n_hosts == 0;
    nvmf_discovery_changed(srv);
    if (n_hosts == 0)
        return 0; /* any host; those of before stay on record */
    int rc = add_hosts(srv, nqn, hosts, n_hosts, err);
again:
    sub = nvmf_find_subsystem(srv, nqn);
    if (rc || !sub)
        return rc;
    ash_list_for_each (item, &sub->hosts) {
        const struct nvmf_host *host = ash_list_entry(item, struct nvmf_host, link);
        if (listed(hosts, n_hosts, host->nqn))
            continue;
        memcpy(gone, host->nqn, sizeof(gone));
        rc = nvmf_remove_host(srv, nqn, gone, err);
        goto again;
    }
    ash_list_for_each_safe (item, &sub->ctrlrs) { /* those that came while any host could */
        struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (!nvmf_host_allowed(sub, ctrlr->hostnqn))
            nvmf_ctrlr_kill(ctrlr);
    }
    return 0;
}

/* ------------------------------------------------------------- attributes */

static int set_xattr(struct nvmf_server *srv, const char *volume, const char *name,
                     const char *value, struct ash_err *err)
{
    struct volume *vol = volume_find(srv->pools, volume);
    const void *old;
    size_t n_old;
    if (!vol)
        return ash_err_set(err, ASH_E_VOLUME_NOT_FOUND, volume, "there is no volume '%s'", volume);
    if (volume_xattr_get(vol, name, &old, &n_old) == 0 && n_old == strlen(value) + 1 &&
        memcmp(old, value, n_old) == 0)
        return 0;
    return volume_xattr_set(vol, name, value, strlen(value) + 1, true, err);
}

/* With or without NULs at its end; NULL: there is none, or it is no text. On the heap. */
static char *get_xattr(const struct volume *vol, const char *name)
{
    const void *value;
    size_t n;
    if (volume_xattr_get(vol, name, &value, &n))
        return NULL;
    while (n > 0 && ((const char *)value)[n - 1] == 0)
        n--;
    if (memchr(value, 0, n) || !ash_utf8_valid(value, n))
        return NULL;
    char *text = rt_alloc(n + 1);
    if (text)
        memcpy(text, value, n);
    return text;
}

static void join(const char *const *hosts, size_t n_hosts, struct ash_buf *out)
{
    ash_buf_str(out, "");
    for (size_t i = 0; i < n_hosts; i++) {
        if (i > 0)
            ash_buf_chr(out, ',');
        ash_buf_str(out, hosts[i]);
    }
}

/* Splits in place. */
static size_t split_hosts(char *text, const char *hosts[NVMF_HOSTS_MAX])
{
    size_t n = 0;
    char *save = NULL;
    for (char *at = strtok_r(text, ",", &save); at && n < NVMF_HOSTS_MAX;
         at = strtok_r(NULL, ",", &save))
        hosts[n++] = at;
    return n;
}

/* ---------------------------------------------------------- share, unshare */

static int find_volume(struct nvmf_server *srv, const char *volume, struct spec *spec,
                       bool *ret_has_bdev, struct ash_err *err)
{
    struct volume *vol = srv->pools ? volume_find(srv->pools, volume) : NULL;
    if (!vol)
        return ash_err_set(err, ASH_E_VOLUME_NOT_FOUND, volume, "there is no volume '%s'", volume);
    struct volume_info info;
    volume_get_info(vol, &info);
    make_spec(&info, spec);
    *ret_has_bdev = info.bdev != NULL;
    return 0;
}

static int check_hosts(const char *const *hosts, size_t n_hosts, struct ash_err *err)
{
    if (n_hosts > NVMF_HOSTS_MAX)
        return ash_err_set(err, ASH_E_EXPORT_LIMIT, NULL, "a share can have %u hosts",
                           NVMF_HOSTS_MAX);
    for (size_t i = 0; i < n_hosts; i++) {
        if (!nvme_nqn_ok(hosts[i], strlen(hosts[i]) + 1))
            return ash_err_set(err, ASH_E_BAD_NAME, hosts[i], "'%s' is no NQN", hosts[i]);
    }
    return 0;
}

static void share_uri(struct nvmf_server *srv, const struct spec *spec, struct ash_buf *out)
{
    char uuid[ASH_UUID_TEXT_BYTES];
    const char *uri = srv->share_uri ? srv->share_uri : DEFAULT_URI;
    ash_buf_fmt(out, "nvmf+%s/%s?uuid=%s", uri, spec->nqn, ash_uuid_format(&spec->uuid, uuid));
}

int nvmf_share(struct nvmf_server *srv, const char *volume, const char *const *hosts,
               size_t n_hosts, struct ash_buf *ret_uri, struct ash_err *err)
{
    struct spec spec;
    bool has_bdev = false;
    int rc = check_hosts(hosts, n_hosts, err);
    if (rc == 0)
        rc = find_volume(srv, volume, &spec, &has_bdev, err);
    if (rc == 0 && !has_bdev)
        rc = ash_err_set(err, ASH_E_VOLUME_DEGRADED, volume, "'%s' has no device to share", volume);
    if (rc)
        return rc;
    struct ash_buf list ASH_CLEANUP(ash_buf_free) = {0};
    join(hosts, n_hosts, &list);
    if (list.failed)
        return ash_err_set(err, ASH_E_NO_MEMORY, volume, "no memory for the hosts of a share");
    srv->n_busy++;
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, spec.nqn);
    bool mine = sub && sub->shared && sub->ns[0] && strcmp(sub->ns[0]->bdev_name, spec.bdev) == 0;
    if (mine)
        rc = replace_hosts(srv, sub, hosts, n_hosts, err);
    else
        rc = export(srv, &spec, hosts, n_hosts, err);
    if (rc == 0)
        rc = set_xattr(srv, spec.name, XATTR_HOSTS, ash_buf_text(&list), err);
    if (rc == 0)
        rc = set_xattr(srv, spec.name, XATTR_SHARED, "true", err);
    if (rc && !mine)
        nvmf_delete_subsystem(srv, spec.nqn, NULL);
    if (rc == 0 && ret_uri)
        share_uri(srv, &spec, ret_uri);
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
    return rc ? ash_err_while(err, rc, "sharing '%s'", volume) : 0;
}

int nvmf_unshare(struct nvmf_server *srv, const char *volume, struct ash_err *err)
{
    struct spec spec;
    bool has_bdev = false;
    int rc = find_volume(srv, volume, &spec, &has_bdev, err);
    if (rc)
        return rc;
    srv->n_busy++;
    const struct volume *vol = volume_find(srv->pools, spec.name);
    char *was = vol ? get_xattr(vol, XATTR_SHARED) : NULL;
    if (was) /* written first: a power cut must not bring it back */
        rc = set_xattr(srv, spec.name, XATTR_SHARED, "false", err);
    rt_free(was);
    struct nvmf_subsystem *sub = nvmf_find_subsystem(srv, spec.nqn);
    if (rc == 0 && sub && sub->shared)
        rc = nvmf_delete_subsystem(srv, spec.nqn, err);
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
    return rc ? ash_err_while(err, rc, "unsharing '%s'", volume) : 0;
}

/* ------------------------------------------------------------- coming back */

static bool is_shared(const struct volume *vol)
{
    char *text = get_xattr(vol, XATTR_SHARED);
    bool is = text && strcmp(text, "true") == 0;
    if (text && !is && strcmp(text, "false") != 0)
        rt_log(RT_LOG_WARN, "nvmf", "a volume's attribute '%s' is '%.32s': not shared",
               XATTR_SHARED, text);
    rt_free(text);
    return is;
}

/* A volume that wants to be shared and is not: the first that was not tried. */
static struct volume *next_to_share(struct nvmf_server *srv, uint64_t *skip, struct spec *spec)
{
    uint64_t n = 0;
    for (struct pool *p = NULL; (p = pool_next(srv->pools, p)) != NULL;) {
        for (struct volume *v = NULL; (v = volume_next(p, v)) != NULL;) {
            struct volume_info info;
            if (n++ < *skip)
                continue;
            ++*skip;
            if (!is_shared(v))
                continue;
            volume_get_info(v, &info);
            if (!info.bdev)
                continue;
            make_spec(&info, spec);
            if (!nvmf_find_subsystem(srv, spec->nqn))
                return v;
        }
    }
    return NULL;
}

static int reshare(struct nvmf_server *srv, struct volume *vol,
                   const struct spec *spec) ASH_MAY_WAIT
{
    const char **hosts = rt_alloc(NVMF_HOSTS_MAX * sizeof(*hosts));
    char *text = get_xattr(vol, XATTR_HOSTS);
    struct ash_err err = {0};
    int rc = hosts ? 0 : -ENOMEM;
    if (rc == 0)
        rc = export(srv, spec, hosts, text ? split_hosts(text, hosts) : 0, &err);
    if (rc)
        rt_log(RT_LOG_ERR, "nvmf", "volume %s could not be shared again: %s", spec->name,
               err.text[0] ? err.text : ash_strerror(rc));
    else
        rt_log(RT_LOG_INFO, "nvmf", "volume %s is shared again as %s", spec->name, spec->nqn);
    rt_free(text);
    rt_free(hosts);
    return rc;
}

/* The port of a daemon that was killed is taken until the kernel has ended what was in flight
 * there. */
static void retry_failed(struct nvmf_server *srv, bool any_failed)
{
    if (!any_failed)
        srv->n_reshare_tries = 0;
    else if (!srv->stopping && srv->n_reshare_tries++ < RESHARE_TRIES)
        rt_timer_start(&srv->reshare_retry, RESHARE_RETRY_NS);
}

static void reshare_task(void *arg)
{
    struct nvmf_server *srv = arg;
    bool any_failed;
    uint64_t skip = 0;
    struct spec spec;
    struct volume *vol;
    rt_yield(); /* many volumes come together */
    do {
        srv->reshare_again = any_failed = false;
        skip = 0;
        while (!srv->stopping && (vol = next_to_share(srv, &skip, &spec)) != NULL)
            any_failed |= reshare(srv, vol, &spec) != 0;
    } while (srv->reshare_again && !srv->stopping);
    srv->resharing = false;
    retry_failed(srv, any_failed);
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
}

static void start_reshare(struct nvmf_server *srv)
{
    if (srv->stopping)
        return;
    srv->reshare_again = true;
    if (srv->resharing)
        return;
    if (rt_task_spawn("nvmf shares", reshare_task, srv)) {
        rt_timer_start(&srv->reshare_retry, RETRY_NS);
        return;
    }
    srv->resharing = true;
    srv->n_busy++;
}

static void reshare_retry(struct rt_timer *timer)
{
    start_reshare(ash_container_of(timer, struct nvmf_server, reshare_retry));
}

static void on_device(struct bdev_watch *watch, const char *type, const char *name)
{
    struct nvmf_server *srv = ash_container_of(watch, struct nvmf_server, watch);
    /* Only a volume that wants it: the search goes through all, and thousands may come. */
    const struct volume *vol =
        strcmp(type, "bdev_register") == 0 ? volume_of_bdev(srv->pools, name) : NULL;
    if (vol && is_shared(vol))
        start_reshare(srv);
    else if (strcmp(type, "pool_open") == 0)
        start_reshare(srv);
}

void nvmf_restore_shares(struct nvmf_server *srv)
{
    ASH_ASSERT(srv->pools && !srv->restores_shares);
    srv->restores_shares = true;
    srv->reshare_retry.fire = reshare_retry;
    srv->watch.fn = on_device;
    bdev_watch_add(srv->mgr, &srv->watch);
    start_reshare(srv);
}

void nvmf_shares_fini(struct nvmf_server *srv)
{
    if (srv->restores_shares)
        bdev_watch_del(&srv->watch);
    rt_timer_stop(&srv->reshare_retry);
    srv->stopping = true;
    while (srv->resharing)
        rt_waitq_wait(&srv->changed);
}
