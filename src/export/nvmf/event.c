/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous events and the error log.
 *
 * One event per kind: once sent it is masked until its log page has been read (RAE = 0); what
 * happens while it is masked, or while no event request is there, is sent later, once.
 * Source: docs/spec/nvme-tcp.md 4.2, 4.4. */
#include "export/nvmf/nvmf_int.h"

static const struct {
    uint32_t enable; /* bit of feature 0B; 0: always */
    uint32_t aen;
} events[NVMF_N_EVENTS] = {
    [NVMF_EV_NS] = {NVME_OAES_NS, NVME_AEN(NVME_AEN_NOTICE, NVME_AEN_INFO_NS, NVME_LOG_CHANGED_NS)},
    [NVMF_EV_ANA] = {NVME_OAES_ANA, NVME_AEN(NVME_AEN_NOTICE, NVME_AEN_INFO_ANA, NVME_LOG_ANA)},
    [NVMF_EV_DISCOVERY] = {NVME_OAES_DISCOVERY,
                           NVME_AEN(NVME_AEN_NOTICE, NVME_AEN_INFO_DISCOVERY, NVME_LOG_DISCOVERY)},
    [NVMF_EV_RESV] = {0, NVME_AEN(NVME_AEN_IO, 0, NVME_LOG_RESERVATION)},
};

static bool enabled(const struct nvmf_ctrlr *ctrlr, unsigned ev)
{
    return !events[ev].enable || (ctrlr->aer_config & events[ev].enable);
}

static void deliver(struct nvmf_ctrlr *ctrlr)
{
    for (unsigned ev = 0; ev < NVMF_N_EVENTS; ev++) {
        uint32_t bit = 1u << ev;
        if (!(ctrlr->pending & bit) || (ctrlr->masked & bit) || !enabled(ctrlr, ev))
            continue;
        struct ash_list *item = ash_list_pop_head(&ctrlr->aers);
        if (!item)
            return;
        ctrlr->n_aers--;
        ctrlr->pending &= ~bit;
        ctrlr->masked |= bit;
        struct nvmf_req *req = ash_list_entry(item, struct nvmf_req, link);
        req->dw0 = events[ev].aen;
        nvmf_reply(req);
    }
}

void nvmf_event(struct nvmf_ctrlr *ctrlr, enum nvmf_event ev)
{
    if (!enabled(ctrlr, ev) || ctrlr->dying)
        return;
    ctrlr->pending |= 1u << ev;
    deliver(ctrlr);
}

void nvmf_event_read(struct nvmf_ctrlr *ctrlr, enum nvmf_event ev)
{
    ctrlr->masked &= ~(1u << ev);
    deliver(ctrlr);
}

void nvmf_aer(struct nvmf_req *req)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    if (ctrlr->n_aers > NVMF_AERL) {
        nvmf_fail(req, NVME_SC_AER_LIMIT | NVME_STATUS_DNR);
        return;
    }
    req->state = NVMF_REQ_HELD;
    ash_list_push_tail(&ctrlr->aers, &req->link);
    ctrlr->n_aers++;
    deliver(ctrlr);
}

/* The list stays sorted and without doubles. */
void nvmf_ns_note_changed(struct nvmf_ctrlr *ctrlr, uint32_t nsid)
{
    uint32_t at = 0;
    while (at < ctrlr->n_changed && at < NVMF_CHANGED_MAX && ctrlr->changed[at] < nsid)
        at++;
    bool is_there = at < ctrlr->n_changed && at < NVMF_CHANGED_MAX && ctrlr->changed[at] == nsid;
    if (!is_there && ctrlr->n_changed < NVMF_CHANGED_MAX) {
        memmove(&ctrlr->changed[at + 1], &ctrlr->changed[at],
                (ctrlr->n_changed - at) * sizeof(ctrlr->changed[0]));
        ctrlr->changed[at] = nsid;
        ctrlr->n_changed++;
    } else if (!is_there) {
        ctrlr->n_changed = NVMF_CHANGED_MAX + 1;
    }
    nvmf_event(ctrlr, NVMF_EV_NS);
}

/* ------------------------------------------------------------- error log */

static void append(struct nvmf_ctrlr *ctrlr, const struct nvme_log_error_entry *entry,
                   uint32_t n_lost)
{
    ctrlr->n_errors += n_lost;
    struct nvme_log_error_entry *to = &ctrlr->errors[ctrlr->n_errors % (NVMF_ELPE + 1)];
    *to = *entry;
    to->count = ash_le64(++ctrlr->n_errors);
}

static void error_back(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, error_job);
    conn->error_busy = false;
    nvmf_conn_check_end(conn);
}

static void error_there(struct rt_job *job)
{
    struct nvmf_conn *conn = ash_container_of(job, struct nvmf_conn, error_job);
    if (conn->ctrlr)
        append(conn->ctrlr, &conn->error_entry, conn->n_errors_told);
    conn->error_job.run = error_back;
    rt_post(conn->reactor, &conn->error_job);
}

void nvmf_log_error(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    if (!conn->connected)
        return;
    uint16_t status = (uint16_t)(req->status << 1 | (req->dnr ? NVME_STATUS_DNR : 0));
    bool io = !conn->is_admin;
    struct nvme_log_error_entry entry = {.sqid = ash_le16(conn->qid),
                                         .cid = ash_le16(req->cid),
                                         .status = ash_le16(status),
                                         .location = ash_le16(0xFFFF),
                                         .trtype = NVME_TRTYPE_TCP,
                                         .nsid = req->sqe.nsid};
    if (io && (req->sqe.opcode & 3) && req->sqe.opcode != NVME_IO_DSM)
        entry.lba = req->sqe.slba;
    if (!io) {
        append(conn->ctrlr, &entry, 0);
    } else if (conn->error_busy) {
        conn->n_errors_lost++; /* counted, not told: one at a time is on its way */
    } else {
        conn->error_busy = true;
        conn->error_entry = entry;
        conn->n_errors_told = conn->n_errors_lost;
        conn->n_errors_lost = 0;
        conn->error_job.run = error_there;
        rt_post(nvmf_control(), &conn->error_job);
    }
}
