/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the admin queue. Control reactor. Source: docs/spec/nvme-tcp.md 4. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>

bool nvmf_reply_data(struct nvmf_req *req, uint32_t n_bytes)
{
    ASH_ASSERT(n_bytes <= req->sgl_bytes && !req->buf);
    if (req->sgl_bytes == 0)
        return true;
    /* A host wants exactly as much as it has room for. */
    req->buf = rt_buf_get(req->sgl_bytes);
    if (!req->buf)
        return false;
    req->buf_bytes = req->data_bytes = req->sgl_bytes;
    memset(req->buf, 0, req->sgl_bytes);
    return true;
}

static void finish(struct nvmf_req *req, uint32_t status)
{
    if (status)
        req->data_bytes = 0;
    if (status)
        nvmf_fail(req, status);
    else
        nvmf_reply(req);
}

/* ----------------------------------------------------------------- abort */

/* Only what has not begun can be taken back: a command whose turn for memory has not come, and
 * event requests. What the device works on ends by itself. */
static bool abort_in(struct nvmf_conn *conn, uint16_t cid)
{
    struct nvmf_req *victim = nvmf_find_cid(conn, cid);
    if (!victim || (victim->state != NVMF_REQ_WAIT_BUF && victim->state != NVMF_REQ_HELD) ||
        victim->is_fused || victim->is_second)
        return false;
    if (victim->state == NVMF_REQ_HELD)
        conn->ctrlr->n_aers--;
    ash_list_remove(&victim->link);
    nvmf_fail(victim, NVME_SC_ABORT_REQUESTED);
    return true;
}

static void abort_back(struct rt_job *job)
{
    nvmf_reply(ash_container_of(job, struct nvmf_req, job));
}

static void abort_there(struct rt_job *job)
{
    struct nvmf_req *req = ash_container_of(job, struct nvmf_req, job);
    uint32_t dw10 = ash_le32_get(req->sqe.cdw10);
    req->dw0 = abort_in(req->target, (uint16_t)(dw10 >> 16)) ? 0 : 1;
    req->job.run = abort_back;
    rt_post(nvmf_control(), &req->job);
}

static void run_abort(struct nvmf_req *req)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t dw10 = ash_le32_get(req->sqe.cdw10);
    uint32_t sqid = dw10 & 0xFFFF;
    req->dw0 = 1;
    if (sqid == 0) {
        req->dw0 = abort_in(req->conn, (uint16_t)(dw10 >> 16)) ? 0 : 1;
        nvmf_reply(req);
        return;
    }
    struct nvmf_conn *target =
        sqid <= ctrlr->sub->srv->transport.max_io_qpairs_per_ctrlr ? ctrlr->io[sqid - 1] : NULL;
    if (!target || target->moving) {
        nvmf_reply(req);
        return;
    }
    target->messaged = true;
    req->target = target;
    req->job.run = abort_there;
    rt_post(target->reactor, &req->job);
}

/* -------------------------------------------------------------- dispatch */

static bool known_to_discovery(uint8_t opcode)
{
    return opcode == NVME_ADM_IDENTIFY || opcode == NVME_ADM_GET_LOG_PAGE ||
           opcode == NVME_ADM_KEEP_ALIVE || opcode == NVME_ADM_SET_FEATURES ||
           opcode == NVME_ADM_GET_FEATURES || opcode == NVME_ADM_AER;
}

bool nvmf_admin_known(uint8_t opcode)
{
    return known_to_discovery(opcode) || opcode == NVME_ADM_ABORT;
}

void nvmf_admin(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    struct nvmf_ctrlr *ctrlr = conn->ctrlr;
    uint8_t opcode = req->sqe.opcode;
    nvmf_ctrlr_alive(ctrlr);
    if (!(ctrlr->cc & NVME_CC_EN)) {
        finish(req, NVME_SC_SEQUENCE | NVME_STATUS_DNR);
        return;
    }
    if (req->sqe.flags & NVME_FUSE_MASK) {
        finish(req, NVME_SC_INVALID_FIELD | NVME_STATUS_DNR);
        return;
    }
    if (!(conn->discovery ? known_to_discovery(opcode) : nvmf_admin_known(opcode))) {
        finish(req, NVME_SC_INVALID_OPCODE | NVME_STATUS_DNR);
        return;
    }
    switch (opcode) {
    case NVME_ADM_IDENTIFY:
        finish(req, nvmf_identify(req));
        break;
    case NVME_ADM_GET_LOG_PAGE:
        finish(req, nvmf_get_log_page(req));
        break;
    case NVME_ADM_GET_FEATURES:
        finish(req, nvmf_get_feature(req));
        break;
    case NVME_ADM_SET_FEATURES:
        nvmf_set_feature(req);
        break;
    case NVME_ADM_ABORT:
        run_abort(req);
        break;
    case NVME_ADM_AER:
        nvmf_aer(req);
        break;
    default: /* Keep Alive: that it came is enough */
        finish(req, 0);
        break;
    }
}
