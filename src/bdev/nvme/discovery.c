/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a target what it offers: the discovery log page, read until it holds still.
 * Source: docs/spec/nvme-tcp.md 6. */
#include <errno.h>
#include <string.h>

#include "bdev/nvme/host.h"

enum { N_ENTRIES_MAX = 1024, N_TRIES = 5 };

static size_t field_length(const char *field, size_t n_field)
{
    size_t n = strnlen(field, n_field);
    while (n && field[n - 1] == ' ')
        n--;
    return n;
}

static void field_text(struct ash_jsonw *w, const char *name, const char *field, size_t n_field)
{
    ash_jsonw_strn(w, name, field, field_length(field, n_field));
}

bool nvme_disc_text(const char *field, size_t n_field, char *buf, size_t n_buf)
{
    size_t n = field_length(field, n_field);
    if (n >= n_buf)
        return false;
    memcpy(buf, field, n);
    buf[n] = 0;
    return true;
}

static void dump_entry(const struct nvme_disc_entry *e, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "trtype",
                  e->trtype == NVME_TRTYPE_TCP    ? "TCP"
                  : e->trtype == NVME_TRTYPE_RDMA ? "RDMA"
                  : e->trtype == NVME_TRTYPE_FC   ? "FC"
                                                  : "unknown");
    ash_jsonw_str(w, "adrfam", e->adrfam == NVME_ADRFAM_IPV6 ? "IPv6" : "IPv4");
    ash_jsonw_str(w, "subtype",
                  e->subtype == NVME_SUBTYPE_NVM         ? "nvme"
                  : e->subtype == NVME_SUBTYPE_DISCOVERY ? "discovery"
                                                         : "referral");
    field_text(w, "traddr", e->traddr, sizeof(e->traddr));
    field_text(w, "trsvcid", e->trsvcid, sizeof(e->trsvcid));
    field_text(w, "subnqn", e->subnqn, sizeof(e->subnqn));
    ash_jsonw_u64(w, "portid", ash_le16_get(e->portid));
    ash_jsonw_bool(w, "secure_channel", (e->treq & 3) == NVME_TREQ_REQUIRED);
    ash_jsonw_obj_end(w);
}

/* Header, entries, header again: a generation that has not moved. -EAGAIN: it has. */
static int read_log(struct nvme_qpair *admin, struct nvme_disc_header *head,
                    struct nvme_disc_entry **ret_entries, uint32_t *ret_n) ASH_MAY_WAIT
{
    int rc = nvme_admin_log(admin, NVME_LOG_DISCOVERY, 0, 0, head, sizeof(*head));
    if (rc)
        return rc;
    uint64_t n = ash_le64_get(head->numrec), gen = ash_le64_get(head->genctr);
    if (ash_le16_get(head->recfmt) != 0 || n > N_ENTRIES_MAX)
        return -EPROTO;
    struct nvme_disc_entry *entries = rt_alloc((n + 1) * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    for (uint64_t i = 0; i < n && rc == 0; i++) /* one at a time fits every transfer limit */
        rc = nvme_admin_log(admin, NVME_LOG_DISCOVERY, 0, sizeof(*head) + i * sizeof(*entries),
                            &entries[i], sizeof(*entries));
    if (rc == 0)
        rc = nvme_admin_log(admin, NVME_LOG_DISCOVERY, 0, 0, head, sizeof(*head));
    if (rc == 0 && (ash_le64_get(head->genctr) != gen || ash_le64_get(head->numrec) != n))
        rc = -EAGAIN;
    if (rc) {
        rt_free(entries);
        return rc;
    }
    *ret_entries = entries;
    *ret_n = (uint32_t)n;
    return 0;
}

int nvme_read_discovery(struct nvme_qpair *admin, struct nvme_disc_entry **ret_entries,
                        uint32_t *ret_n)
{
    struct nvme_disc_header *head = rt_alloc(sizeof(*head));
    int rc = head ? -EAGAIN : -ENOMEM;
    for (unsigned i = 0; rc == -EAGAIN && i < N_TRIES; i++)
        rc = read_log(admin, head, ret_entries, ret_n);
    rt_free(head);
    return rc;
}

int nvme_discover(struct nvme_host *host, struct nvme_path_opts *opts, struct ash_jsonw *w,
                  struct ash_err *err)
{
    struct nvme_group group = {.host = host, .name = opts->address};
    struct nvme_path path = {.group = &group, .opts = *opts};
    struct nvme_disc_entry *entries = NULL;
    uint32_t n = 0;
    int rc = nvme_path_open_admin(&path, err);
    if (rc == 0) {
        rc = nvme_admin_enable(&path, err);
        if (rc == 0)
            rc = nvme_read_discovery(path.admin, &entries, &n);
        (void)nvme_admin_end(&path, true);
        nvme_qpair_close(path.admin);
    }
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_NVME_PROTOCOL, opts->address,
                              "discovery at '%s' failed: %s", opts->address, ash_strerror(rc));
    ash_jsonw_arr(w, NULL);
    for (uint32_t i = 0; i < n; i++)
        dump_entry(&entries[i], w);
    ash_jsonw_arr_end(w);
    rt_free(entries);
    return 0;
}
