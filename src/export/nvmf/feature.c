/* SPDX-License-Identifier: Apache-2.0 */
/* Get and Set Features. Control reactor; what belongs to a namespace's reservations is done by a
 * task of resv.c. Source: docs/spec/nvme-tcp.md 4.3. */
#include "export/nvmf/nvmf_int.h"

#define BAD_FIELD (NVME_SC_INVALID_FIELD | NVME_STATUS_DNR)

/* Features of a controller that are just a number. NULL: it is none of those. */
static uint32_t *plain(struct nvmf_ctrlr *ctrlr, uint8_t fid)
{
    switch (fid) {
    case NVME_FEAT_ARBITRATION:
        return &ctrlr->features->arbitration;
    case NVME_FEAT_TEMPERATURE:
        return &ctrlr->features->temperature;
    case NVME_FEAT_WRITE_ATOMICITY:
        return &ctrlr->features->atomicity;
    default:
        return NULL;
    }
}

static bool known(const struct nvmf_ctrlr *ctrlr, uint8_t fid)
{
    switch (fid) {
    case NVME_FEAT_AER_CONFIG:
    case NVME_FEAT_KEEP_ALIVE:
        return true;
    case NVME_FEAT_ARBITRATION:
    case NVME_FEAT_POWER:
    case NVME_FEAT_TEMPERATURE:
    case NVME_FEAT_ERROR_RECOVERY:
    case NVME_FEAT_WRITE_CACHE:
    case NVME_FEAT_N_QUEUES:
    case NVME_FEAT_IRQ_COALESCING:
    case NVME_FEAT_IRQ_VECTOR:
    case NVME_FEAT_WRITE_ATOMICITY:
    case NVME_FEAT_HOST_BEHAVIOR:
    case NVME_FEAT_HOST_ID:
    case NVME_FEAT_RESV_MASK:
    case NVME_FEAT_RESV_PERSISTENCE:
        return !ctrlr->sub->discovery;
    default:
        return false;
    }
}

static bool of_namespace(uint8_t fid)
{
    return fid == NVME_FEAT_ERROR_RECOVERY || fid == NVME_FEAT_RESV_MASK ||
           fid == NVME_FEAT_RESV_PERSISTENCE;
}

/* 0 or why the command cannot be. */
static uint32_t check(const struct nvmf_ctrlr *ctrlr, const struct nvmf_req *req, uint8_t fid)
{
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    if (!known(ctrlr, fid))
        return BAD_FIELD;
    if (!of_namespace(fid))
        return nsid && nsid != NVME_NSID_ALL ? NVME_SC_FEATURE_NOT_NS | NVME_STATUS_DNR : 0;
    if (nsid != NVME_NSID_ALL && !nvmf_ctrlr_ns(ctrlr, nsid))
        return NVME_SC_INVALID_NS | NVME_STATUS_DNR;
    return 0;
}

static uint32_t granted(const struct nvmf_ctrlr *ctrlr)
{
    uint32_t n = ctrlr->n_granted - 1u;
    return n | n << 16;
}

/* ------------------------------------------------------------------- get */

static uint16_t get_host_id(struct nvmf_req *req)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    if (!(ash_le32_get(req->sqe.cdw11) & NVME_HOSTID_EXTENDED) || req->sgl_bytes < 16)
        return BAD_FIELD;
    if (!nvmf_reply_data(req, 16))
        return NVME_SC_INTERNAL;
    memcpy(req->buf, ctrlr->hostid, 16);
    return 0;
}

static uint16_t get_host_behavior(struct nvmf_req *req)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    if (req->sgl_bytes < sizeof(ctrlr->features->host_behavior))
        return BAD_FIELD;
    if (!nvmf_reply_data(req, sizeof(ctrlr->features->host_behavior)))
        return NVME_SC_INTERNAL;
    memcpy(req->buf, ctrlr->features->host_behavior, sizeof(ctrlr->features->host_behavior));
    return 0;
}

uint16_t nvmf_get_feature(struct nvmf_req *req)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t dw10 = ash_le32_get(req->sqe.cdw10);
    uint8_t fid = dw10 & 0xFF;
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    uint32_t status = check(ctrlr, req, fid);
    if (status)
        return (uint16_t)status;
    if (NVME_FEAT_SELECT(dw10) != 0)
        return BAD_FIELD; /* nothing is saved, see ONCS */
    if (plain(ctrlr, fid)) {
        req->dw0 = *plain(ctrlr, fid);
        return 0;
    }
    const struct nvmf_ns *ns = nvmf_ctrlr_ns(ctrlr, nsid);
    switch (fid) {
    case NVME_FEAT_ERROR_RECOVERY:
        req->dw0 = ctrlr->features->error_recovery;
        break;
    case NVME_FEAT_WRITE_CACHE:
        req->dw0 = 1;
        break;
    case NVME_FEAT_N_QUEUES:
        req->dw0 = granted(ctrlr);
        break;
    case NVME_FEAT_AER_CONFIG:
        req->dw0 = ctrlr->aer_config;
        break;
    case NVME_FEAT_KEEP_ALIVE:
        req->dw0 = ctrlr->kato_ms;
        break;
    case NVME_FEAT_HOST_BEHAVIOR:
        return get_host_behavior(req);
    case NVME_FEAT_HOST_ID:
        return get_host_id(req);
    case NVME_FEAT_RESV_MASK:
        req->dw0 = ctrlr->features->resv_mask;
        break;
    case NVME_FEAT_RESV_PERSISTENCE:
        if (!ns)
            return BAD_FIELD;
        req->dw0 = ns->resv.ptpl;
        break;
    default: /* power, interrupts: 0 */
        break;
    }
    return 0;
}

/* ------------------------------------------------------------------- set */

static uint32_t set_n_queues(struct nvmf_req *req, uint32_t dw11)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t n_sq = dw11 & 0xFFFF, n_cq = dw11 >> 16;
    if (n_sq == 0xFFFF || n_cq == 0xFFFF)
        return BAD_FIELD;
    if (ctrlr->n_io > 0)
        return NVME_SC_SEQUENCE | NVME_STATUS_DNR;
    uint32_t max = ctrlr->sub->srv->transport.max_io_qpairs_per_ctrlr,
             asked = ASH_MIN(n_sq, n_cq) + 1;
    uint32_t n = ASH_MIN(asked, max);
    ctrlr->n_granted = (uint16_t)n;
    req->dw0 = granted(ctrlr);
    return 0;
}

static uint32_t set_host_behavior(struct nvmf_req *req)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    if (req->got_bytes < sizeof(ctrlr->features->host_behavior))
        return BAD_FIELD;
    memcpy(ctrlr->features->host_behavior, req->buf, sizeof(ctrlr->features->host_behavior));
    return 0;
}

static uint32_t set_one(struct nvmf_req *req, uint8_t fid, uint32_t dw11)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    if (plain(ctrlr, fid)) {
        *plain(ctrlr, fid) = dw11;
        return 0;
    }
    switch (fid) {
    case NVME_FEAT_ERROR_RECOVERY:
        if (dw11 >> 16) /* DULBE: unwritten blocks read as zeroes */
            return BAD_FIELD;
        ctrlr->features->error_recovery = dw11;
        return 0;
    case NVME_FEAT_POWER:
        return dw11 & 0x1F ? BAD_FIELD : 0;
    case NVME_FEAT_WRITE_CACHE: /* it is always on: durability is by FLUSH and FUA */
        return dw11 & 1 ? 0 : BAD_FIELD;
    case NVME_FEAT_N_QUEUES:
        return set_n_queues(req, dw11);
    case NVME_FEAT_AER_CONFIG:
        ctrlr->aer_config = dw11;
        return 0;
    case NVME_FEAT_KEEP_ALIVE:
        if (dw11 == 0)
            return NVME_SC_KATO_INVALID | NVME_STATUS_DNR;
        nvmf_ctrlr_set_kato(ctrlr, dw11);
        return 0;
    case NVME_FEAT_HOST_BEHAVIOR:
        return set_host_behavior(req);
    case NVME_FEAT_HOST_ID:
        return NVME_SC_SEQUENCE | NVME_STATUS_DNR;
    case NVME_FEAT_RESV_MASK:
        ctrlr->features->resv_mask = dw11 & 0xE;
        return 0;
    default: /* interrupts: there are none here */
        return NVME_SC_FEATURE_NOT_CHANGEABLE | NVME_STATUS_DNR;
    }
}

void nvmf_set_feature(struct nvmf_req *req)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t dw10 = ash_le32_get(req->sqe.cdw10), dw11 = ash_le32_get(req->sqe.cdw11);
    uint8_t fid = dw10 & 0xFF;
    uint32_t status = check(ctrlr, req, fid);
    if (!status && (dw10 & NVME_FEAT_SAVE))
        status = NVME_SC_FEATURE_NOT_SAVEABLE | NVME_STATUS_DNR;
    if (!status && fid == NVME_FEAT_RESV_PERSISTENCE) {
        nvmf_resv_persist(req);
        return;
    }
    if (!status)
        status = set_one(req, fid, dw11);
    if (status)
        nvmf_fail(req, status);
    else
        nvmf_reply(req);
}
