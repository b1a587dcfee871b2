/* SPDX-License-Identifier: Apache-2.0 */
/* Log pages. Control reactor. Each page is made whole, then the part that was asked for is copied.
 * Source: docs/spec/nvme-tcp.md 4.2, 6. */
#include "export/nvmf/nvmf_int.h"

#include <stdio.h>

#define BAD_FIELD (NVME_SC_INVALID_FIELD | NVME_STATUS_DNR)
#define MINUTE_NS 60000000000ull

static const uint8_t nvm_pages[] = {NVME_LOG_SUPPORTED, NVME_LOG_ERROR,      NVME_LOG_SMART,
                                    NVME_LOG_FIRMWARE,  NVME_LOG_CHANGED_NS, NVME_LOG_EFFECTS,
                                    NVME_LOG_ANA,       NVME_LOG_RESERVATION};
static const uint8_t discovery_pages[] = {NVME_LOG_SUPPORTED, NVME_LOG_DISCOVERY};

static bool has_page(const struct nvmf_subsystem *sub, uint8_t lid)
{
    const uint8_t *pages = sub->discovery ? discovery_pages : nvm_pages;
    size_t n = sub->discovery ? sizeof(discovery_pages) : sizeof(nvm_pages);
    return memchr(pages, lid, n) && (lid != NVME_LOG_ANA || sub->ana_reporting);
}

/* ----------------------------------------------------------------- pages */

static void log_supported(struct nvmf_req *req, struct ash_buf *out)
{
    struct le32 page[256] = {0};
    for (unsigned lid = 0; lid < 256; lid++) {
        if (has_page(req->conn->ctrlr->sub, (uint8_t)lid))
            page[lid] = ash_le32(3); /* and takes an offset */
    }
    ash_buf_add(out, page, sizeof(page));
}

static void log_errors(struct nvmf_req *req, struct ash_buf *out)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    static const struct nvme_log_error_entry none;
    uint64_t oldest = ctrlr->n_errors > NVMF_ELPE + 1 ? ctrlr->n_errors - NVMF_ELPE - 1 : 0;
    unsigned n = 0;
    for (uint64_t i = ctrlr->n_errors; i-- > oldest;) {
        const struct nvme_log_error_entry *entry = &ctrlr->errors[i % (NVMF_ELPE + 1)];
        if (ash_le64_get(entry->count) != i + 1)
            continue; /* counted, not told */
        ash_buf_add(out, entry, sizeof(*entry));
        n++;
    }
    for (; n <= NVMF_ELPE; n++)
        ash_buf_add(out, &none, sizeof(none));
}

static struct le128 le128(uint64_t n)
{
    return (struct le128){ash_le64(n), ash_le64(0)};
}

static void sum_ns(const struct nvmf_ns *ns, struct nvmf_counters *sum, bool *full, bool *ro)
{
    nvmf_sum_counters(ns, sum);
    *ro |= ns->read_only;
    struct pool_mgr *pools = ns->sub->srv->pools;
    struct volume *vol = pools ? volume_of_bdev(pools, ns->bdev->name) : NULL;
    if (!vol)
        return;
    struct volume_info info;
    struct pool_info pool;
    volume_get_info(vol, &info);
    pool_get_info(info.pool, &pool);
    uint64_t n_used = pool.n_clusters - pool.n_free_clusters;
    *full |= info.thin && n_used * 100 >= (uint64_t)pool.warn_percent[1] * pool.n_clusters;
}

static void log_smart(struct nvmf_req *req, struct ash_buf *out)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    struct nvmf_subsystem *sub = ctrlr->sub;
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    struct nvmf_counters c = {0};
    bool full = false, ro = false;
    bool whole = nsid == 0 || nsid == NVME_NSID_ALL;
    if (whole)
        c = sub->ended;
    for (uint32_t i = 1; i <= sub->max_namespaces; i++) {
        const struct nvmf_ns *ns = nvmf_ctrlr_ns(ctrlr, i);
        if (ns && (whole || i == nsid))
            sum_ns(ns, &c, &full, &ro);
    }
    struct nvme_log_smart log = {
        .critical_warning = (uint8_t)((full ? NVME_SMART_SPARE_LOW : 0) |
                                      (ro && !whole ? NVME_SMART_READ_ONLY : 0)),
        .temperature_kelvin = ash_le16(0x12C),
        .spare_percent = full ? 5 : 100,
        .spare_threshold_percent = 10,
        .units_read = le128(ash_div_up(c.read_bytes, 512000)),
        .units_written = le128(ash_div_up(c.write_bytes, 512000)),
        .host_reads = le128(c.n_reads),
        .host_writes = le128(c.n_writes),
        .power_cycles = le128(1),
        .power_on_hours = le128((rt_now_ns() - sub->since_ns) / (60 * MINUTE_NS)),
        .media_errors = le128(c.n_media_errors),
        .error_entries = le128(ctrlr->n_errors),
    };
    ash_buf_add(out, &log, sizeof(log));
}

static void log_firmware(struct nvmf_req *req, struct ash_buf *out)
{
    struct nvme_log_firmware log = {.afi = 1};
    memcpy(log.slot[0], "1       ", 8);
    ash_buf_add(out, &log, sizeof(log));
}

static void log_changed(struct nvmf_req *req, struct ash_buf *out)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    struct le32 page[NVME_NS_LIST_MAX] = {0};
    if (ctrlr->n_changed > NVMF_CHANGED_MAX)
        page[0] = ash_le32(NVME_NSID_ALL);
    else
        for (uint32_t i = 0; i < ctrlr->n_changed; i++)
            page[i] = ash_le32(ctrlr->changed[i]);
    ash_buf_add(out, page, sizeof(page));
}

static void log_effects(struct nvmf_req *req, struct ash_buf *out)
{
    static const uint8_t changing[] = {NVME_IO_WRITE, NVME_IO_WRITE_ZEROES, NVME_IO_DSM};
    static const uint8_t other[] = {
        NVME_IO_FLUSH,         NVME_IO_READ,        NVME_IO_COMPARE,      NVME_IO_VERIFY,
        NVME_IO_RESV_REGISTER, NVME_IO_RESV_REPORT, NVME_IO_RESV_ACQUIRE, NVME_IO_RESV_RELEASE};
    struct nvme_log_effects *log = rt_alloc(sizeof(*log));
    if (!log) {
        out->failed = true;
        return;
    }
    for (unsigned op = 0; op < 256; op++) {
        if (nvmf_admin_known((uint8_t)op))
            log->admin[op] = ash_le32(NVME_EFFECT_CSUPP);
    }
    for (size_t i = 0; i < sizeof(changing); i++)
        log->io[changing[i]] = ash_le32(NVME_EFFECT_CSUPP | NVME_EFFECT_LBCC);
    for (size_t i = 0; i < sizeof(other); i++)
        log->io[other[i]] = ash_le32(NVME_EFFECT_CSUPP);
    ash_buf_add(out, log, sizeof(*log));
    rt_free(log);
}

static void put_group(const struct nvmf_ctrlr *ctrlr, uint32_t g, bool with_ns, struct ash_buf *out)
{
    struct le32 nsids[NVME_NS_LIST_MAX];
    uint32_t n = 0;
    for (uint32_t i = 1; i <= ctrlr->sub->max_namespaces; i++) {
        const struct nvmf_ns *ns = nvmf_ctrlr_ns(ctrlr, i);
        if (ns && ns->anagrpid == g)
            nsids[n++] = ash_le32(i);
    }
    struct nvme_log_ana_group group = {
        .group_id = ash_le32(g),
        .n_nsids = ash_le32(with_ns ? n : 0),
        .change_count = ash_le64(ctrlr->path->ana_group_changes[g]),
        .state = ctrlr->path->ana[g],
    };
    ash_buf_add(out, &group, sizeof(group));
    if (with_ns)
        ash_buf_add(out, nsids, n * sizeof(nsids[0]));
}

static void log_ana(struct nvmf_req *req, struct ash_buf *out)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t dw10 = ash_le32_get(req->sqe.cdw10);
    struct nvme_log_ana head = {.change_count = ash_le64(ctrlr->path->ana_changes),
                                .n_groups = ash_le16((uint16_t)ctrlr->sub->max_namespaces)};
    ash_buf_add(out, &head, sizeof(head));
    for (uint32_t g = 1; g <= ctrlr->sub->max_namespaces; g++)
        put_group(ctrlr, g, !(dw10 & NVME_ANA_LSP_RGO), out);
}

static void log_reservation(struct nvmf_req *req, struct ash_buf *out)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    struct nvme_log_reservation log = {.count = ash_le64(ctrlr->n_notices_ever)};
    if (ctrlr->n_notices > 0) {
        log = ctrlr->notices[0];
        log.n_more = (uint8_t)(ctrlr->n_notices - 1);
        ctrlr->n_notices--;
        memmove(ctrlr->notices, ctrlr->notices + 1, ctrlr->n_notices * sizeof(log));
    }
    ash_buf_add(out, &log, sizeof(log));
}

/* ------------------------------------------------------------- discovery */

/* by: the connection of the host that asks; it has come to a certain address even where the
 * listener has none. */
static void put_entry(const struct nvmf_subsystem *sub, const struct nvmf_listener *l,
                      const struct nvmf_conn *by, struct ash_buf *out)
{
    bool wildcard = strcmp(l->traddr, "0.0.0.0") == 0 || strcmp(l->traddr, "::") == 0;
    const char *traddr = wildcard ? by->traddr : l->traddr;
    bool ipv6 = strchr(traddr, ':') != NULL;
    struct nvme_disc_entry e = {
        .trtype = NVME_TRTYPE_TCP,
        .adrfam = ipv6 ? NVME_ADRFAM_IPV6 : NVME_ADRFAM_IPV4,
        .subtype = sub->discovery ? NVME_SUBTYPE_DISCOVERY : NVME_SUBTYPE_NVM,
        .treq = l->secure ? NVME_TREQ_REQUIRED : NVME_TREQ_NOT_REQUIRED,
        .portid = ash_le16((uint16_t)l->id),
        .cntlid = ash_le16(nvmf_cntlid_ok(sub, NVME_CNTLID_DYNAMIC) ? NVME_CNTLID_DYNAMIC
                                                                    : NVME_CNTLID_STATIC),
        .asqsz = ash_le16(sub->srv->transport.max_aq_depth),
        .eflags = ash_le16(sub->discovery ? NVME_DISC_EFLAG_PERSISTENT : 0),
    };
    e.sectype = l->secure ? NVME_SECTYPE_TLS13 : 0;
    nvmf_put_text(e.trsvcid, sizeof(e.trsvcid), l->trsvcid);
    nvmf_put_text(e.traddr, sizeof(e.traddr), traddr);
    memcpy(e.subnqn, sub->nqn, sizeof(e.subnqn));
    ash_buf_add(out, &e, sizeof(e));
}

static void put_referral(const struct nvmf_referral *r, uint16_t asqsz, struct ash_buf *out)
{
    struct nvme_disc_entry e = {
        .trtype = NVME_TRTYPE_TCP,
        .adrfam = r->ipv6 ? NVME_ADRFAM_IPV6 : NVME_ADRFAM_IPV4,
        .subtype = NVME_SUBTYPE_REFERRAL,
        .treq = r->secure ? NVME_TREQ_REQUIRED : NVME_TREQ_NOT_REQUIRED,
        .cntlid = ash_le16(NVME_CNTLID_DYNAMIC),
        .asqsz = ash_le16(asqsz),
        .sectype = r->secure ? NVME_SECTYPE_TLS13 : 0,
    };
    nvmf_put_text(e.trsvcid, sizeof(e.trsvcid), r->trsvcid);
    nvmf_put_text(e.traddr, sizeof(e.traddr), r->traddr);
    memcpy(e.subnqn, r->subnqn, sizeof(e.subnqn));
    ash_buf_add(out, &e, sizeof(e));
}

static void log_discovery(struct nvmf_req *req, struct ash_buf *out)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    const struct nvmf_server *srv = req->conn->srv;
    struct nvme_disc_header head = {.genctr = ash_le64(srv->genctr)};
    ash_buf_add(out, &head, sizeof(head));
    ash_list_for_each (item, &srv->subsystems) {
        const struct nvmf_subsystem *sub = ash_list_entry(item, struct nvmf_subsystem, link);
        if (sub->closing || !nvmf_host_allowed(sub, ctrlr->hostnqn))
            continue;
        ash_list_for_each (p, &sub->paths) {
            const struct nvmf_path *path = ash_list_entry(p, struct nvmf_path, link);
            if (!path->closing)
                put_entry(sub, path->listener, req->conn, out);
        }
    }
    ash_list_for_each (item, &srv->referrals)
        put_referral(ash_list_entry(item, struct nvmf_referral, link), srv->transport.max_aq_depth,
                     out);
    if (out->failed)
        return;
    uint64_t n = (out->n_bytes - sizeof(head)) / sizeof(struct nvme_disc_entry);
    ((struct nvme_disc_header *)out->data)->numrec = ash_le64(n);
}

/* -------------------------------------------------------------- dispatch */

/* Reading a page with RAE = 0 lets its event come again. */
static void page_was_read(struct nvmf_ctrlr *ctrlr, uint8_t lid)
{
    if (lid == NVME_LOG_CHANGED_NS) {
        ctrlr->n_changed = 0;
        nvmf_event_read(ctrlr, NVMF_EV_NS);
    } else if (lid == NVME_LOG_ANA) {
        nvmf_event_read(ctrlr, NVMF_EV_ANA);
    } else if (lid == NVME_LOG_DISCOVERY) {
        nvmf_event_read(ctrlr, NVMF_EV_DISCOVERY);
    } else if (lid == NVME_LOG_RESERVATION) {
        if (ctrlr->n_notices > 0)
            ctrlr->pending |= 1u << NVMF_EV_RESV;
        nvmf_event_read(ctrlr, NVMF_EV_RESV);
    }
}

static void make_page(struct nvmf_req *req, uint8_t lid, struct ash_buf *out)
{
    switch (lid) {
    case NVME_LOG_SUPPORTED:
        log_supported(req, out);
        break;
    case NVME_LOG_ERROR:
        log_errors(req, out);
        break;
    case NVME_LOG_SMART:
        log_smart(req, out);
        break;
    case NVME_LOG_FIRMWARE:
        log_firmware(req, out);
        break;
    case NVME_LOG_CHANGED_NS:
        log_changed(req, out);
        break;
    case NVME_LOG_EFFECTS:
        log_effects(req, out);
        break;
    case NVME_LOG_ANA:
        log_ana(req, out);
        break;
    case NVME_LOG_DISCOVERY:
        log_discovery(req, out);
        break;
    default:
        log_reservation(req, out);
        break;
    }
}

uint16_t nvmf_get_log_page(struct nvmf_req *req)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t dw10 = ash_le32_get(req->sqe.cdw10), dw11 = ash_le32_get(req->sqe.cdw11);
    uint64_t offset = ash_le32_get(req->sqe.cdw12) | (uint64_t)ash_le32_get(req->sqe.cdw13) << 32;
    uint64_t length = (((uint64_t)(dw11 & 0xFFFF) << 16 | dw10 >> 16) + 1) * 4;
    uint8_t lid = dw10 & 0xFF;
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    if (!has_page(ctrlr->sub, lid))
        return NVME_SC_LOG_PAGE | NVME_STATUS_DNR;
    if (length > req->sgl_bytes || offset % 4)
        return BAD_FIELD;
    if (lid == NVME_LOG_SMART && nsid && nsid != NVME_NSID_ALL && !nvmf_ctrlr_ns(ctrlr, nsid))
        return NVME_SC_INVALID_NS | NVME_STATUS_DNR;
    struct ash_buf page ASH_CLEANUP(ash_buf_free) = {0};
    make_page(req, lid, &page);
    if (page.failed || !nvmf_reply_data(req, (uint32_t)length))
        return NVME_SC_INTERNAL;
    if (offset > page.n_bytes)
        return BAD_FIELD;
    memcpy(req->buf, page.data + offset, ASH_MIN(length, page.n_bytes - offset));
    if (!(dw10 & NVME_LOG_RAE))
        page_was_read(ctrlr, lid);
    return 0;
}
