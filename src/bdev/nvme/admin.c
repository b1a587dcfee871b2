/* SPDX-License-Identifier: Apache-2.0 */
/* What the initiator says on an admin queue, and what it demands of the answers.
 * Source: docs/spec/nvme-tcp.md 2, 4, 10. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/nvme/host.h"

enum { READY_POLL_NS = 10 * 1000 * 1000 };

static int refused(struct nvme_path *path, const char *what, int rc, const struct nvme_cqe *cqe,
                   struct ash_err *err)
{
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_NVME_CONNECT, path->opts.subnqn, "'%s': %s failed: %s",
                              path->opts.subnqn, what,
                              path->admin->why[0] ? path->admin->why : ash_strerror(rc));
    return ash_err_set(err, ASH_E_NVME_PROTOCOL, path->opts.subnqn, "'%s': %s ended with status %x",
                       path->opts.subnqn, what, nvme_cqe_status(cqe));
}

static int bad(struct nvme_path *path, const char *what, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_NVME_PROTOCOL, path->opts.subnqn, "controller of '%s': %s",
                       path->opts.subnqn, what);
}

/* ---------------------------------------------------------------- properties */

static int property(struct nvme_path *path, bool set, uint32_t offset, bool wide, uint64_t *value,
                    struct ash_err *err) ASH_MAY_WAIT
{
    union {
        struct nvme_prop_sqe prop;
        struct nvme_sqe sqe;
    } u = {.prop = {.opcode = NVME_OP_FABRICS,
                    .fctype = set ? NVME_FC_PROPERTY_SET : NVME_FC_PROPERTY_GET,
                    .attrib = wide ? 1 : 0,
                    .ofst = ash_le32(offset),
                    .value = ash_le64(set ? *value : 0)}};
    struct nvme_cqe cqe;
    int rc = nvme_exec(path->admin, &u.sqe, NULL, 0, false, &cqe);
    if (rc || nvme_cqe_status(&cqe))
        return refused(path, set ? "setting a property" : "reading a property", rc, &cqe, err);
    if (!set)
        *value = ash_le32_get(cqe.dw0) | (wide ? (uint64_t)ash_le32_get(cqe.dw1) << 32 : 0);
    return 0;
}

/* Until those bits of CSTS are what they should be; CAP.TO is how long that may take. */
static int await_csts(struct nvme_path *path, uint32_t mask, uint32_t want,
                      struct ash_err *err) ASH_MAY_WAIT
{
    uint64_t limit_ns = (uint64_t)(NVME_CAP_TO(path->cap) + 1) * 500000000u;
    uint64_t begin_ns = rt_now_ns();
    for (;;) {
        uint64_t csts = 0;
        int rc = property(path, false, NVME_PROP_CSTS, false, &csts, err);
        if (rc)
            return rc;
        if (csts & NVME_CSTS_CFS)
            return bad(path, "fatal status", err);
        if ((csts & mask) == want)
            return 0;
        if (rt_now_ns() - begin_ns > limit_ns)
            return ash_err_set(err, ASH_E_TIMED_OUT, path->opts.subnqn,
                               "controller of '%s' did not become ready", path->opts.subnqn);
        rt_sleep_ns(READY_POLL_NS);
    }
}

int nvme_admin_enable(struct nvme_path *path, struct ash_err *err)
{
    uint64_t cc = 0, vs = 0, none = 0;
    int rc = property(path, false, NVME_PROP_CAP, true, &path->cap, err);
    if (rc == 0)
        rc = property(path, false, NVME_PROP_VS, false, &vs, err);
    if (rc == 0)
        rc = property(path, false, NVME_PROP_CC, false, &cc, err);
    if (rc == 0 && (cc & NVME_CC_EN)) {
        rc = property(path, true, NVME_PROP_CC, false, &none, err);
        if (rc == 0)
            rc = await_csts(path, NVME_CSTS_RDY, 0, err);
    }
    if (rc)
        return rc;
    path->vs = (uint32_t)vs;
    if (NVME_CAP_MPSMIN(path->cap) != 0)
        return bad(path, "pages of 4 KiB are not supported", err);
    cc = NVME_CC_EN | NVME_SQES_LOG2 << NVME_CC_IOSQES_SHIFT |
         NVME_CQES_LOG2 << NVME_CC_IOCQES_SHIFT;
    rc = property(path, true, NVME_PROP_CC, false, &cc, err);
    return rc ? rc : await_csts(path, NVME_CSTS_RDY, NVME_CSTS_RDY, err);
}

int nvme_admin_end(struct nvme_path *path, bool for_good)
{
    uint64_t cc = NVME_SQES_LOG2 << NVME_CC_IOSQES_SHIFT | NVME_CQES_LOG2 << NVME_CC_IOCQES_SHIFT;
    if (!path->admin || path->admin->has_failed)
        return -ENOTCONN;
    if (for_good)
        cc |= NVME_CC_EN | NVME_CC_SHN_NORMAL;
    int rc = property(path, true, NVME_PROP_CC, false, &cc, NULL);
    if (rc)
        return rc;
    return for_good ? await_csts(path, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_DONE, NULL)
                    : await_csts(path, NVME_CSTS_RDY, 0, NULL);
}

/* ------------------------------------------------------------------ identify */

static int identify(struct nvme_path *path, uint8_t cns, uint32_t nsid, void *buf,
                    uint16_t *ret_status) ASH_MAY_WAIT
{
    struct nvme_sqe sqe = {
        .opcode = NVME_ADM_IDENTIFY, .nsid = ash_le32(nsid), .cdw10 = ash_le32(cns)};
    struct nvme_cqe cqe;
    int rc = nvme_exec(path->admin, &sqe, buf, NVME_IDENTIFY_BYTES, false, &cqe);
    *ret_status = rc ? 0 : nvme_cqe_status(&cqe) & (uint16_t)~NVME_STATUS_DNR;
    return rc;
}

static int check_identity(struct nvme_path *path, const struct nvme_id_ctrlr *id,
                          struct ash_err *err)
{
    if (ash_le16_get(id->cntlid) != path->admin->cntlid)
        return bad(path, "its id differs from that of the connection", err);
    if (strncmp(id->subnqn, path->opts.subnqn, sizeof(id->subnqn)) != 0)
        return bad(path, "it belongs to another subsystem", err);
    if (id->cntrltype == NVME_CNTRLTYPE_DISCOVERY)
        return bad(path, "it is for discovery and has no namespaces", err);
    if (!(ash_le32_get(id->sgls) & 3))
        return bad(path, "no SGLs", err);
    if (ash_le32_get(id->ioccsz) < 4 || ash_le32_get(id->iorcsz) < 1 ||
        ash_le16_get(id->icdoff) != 0)
        return bad(path, "capsule sizes that cannot be used", err);
    if (ash_le16_get(id->kas) == 0)
        return bad(path, "no keep-alive", err);
    if ((id->sqes & 15) > NVME_SQES_LOG2 || (id->cqes & 15) > NVME_CQES_LOG2)
        return bad(path, "queue entries of an unknown size", err);
    return 0;
}

int nvme_admin_identify(struct nvme_path *path, struct ash_err *err)
{
    uint16_t status;
    struct nvme_cqe cqe = {0};
    int rc = identify(path, NVME_CNS_CTRLR, 0, path->id, &status);
    if (rc || status) {
        cqe.status = ash_le16((uint16_t)(status << 1));
        return refused(path, "identifying the controller", rc, &cqe, err);
    }
    rc = check_identity(path, path->id, err);
    if (rc)
        return rc;
    /* 0's based in CAP; MAXCMD 0: not told */
    uint32_t depth = ASH_MIN((uint32_t)path->opts.depth, NVME_CAP_MQES(path->cap));
    uint16_t maxcmd = ash_le16_get(path->id->maxcmd);
    if (maxcmd)
        depth = ASH_MIN(depth, (uint32_t)maxcmd);
    path->depth = (uint16_t)ASH_MAX(depth, 2u);
    return 0;
}

/* ---------------------------------------------------------- features, events */

static int set_feature(struct nvme_path *path, uint8_t fid, uint32_t value, uint32_t *ret_dw0,
                       uint16_t *ret_status) ASH_MAY_WAIT
{
    struct nvme_sqe sqe = {
        .opcode = NVME_ADM_SET_FEATURES, .cdw10 = ash_le32(fid), .cdw11 = ash_le32(value)};
    struct nvme_cqe cqe;
    int rc = nvme_exec(path->admin, &sqe, NULL, 0, false, &cqe);
    *ret_status = rc ? 0 : nvme_cqe_status(&cqe);
    *ret_dw0 = rc ? 0 : ash_le32_get(cqe.dw0);
    return rc;
}

int nvme_admin_queues(struct nvme_path *path, unsigned n, unsigned *ret_n, struct ash_err *err)
{
    uint32_t dw0;
    uint16_t status;
    struct nvme_cqe cqe = {0};
    int rc = set_feature(path, NVME_FEAT_N_QUEUES, (n - 1) | (n - 1) << 16, &dw0, &status);
    if (rc || status) {
        cqe.status = ash_le16((uint16_t)(status << 1));
        return refused(path, "asking for I/O queues", rc, &cqe, err);
    }
    *ret_n = ASH_MIN((dw0 & 0xFFFF) + 1, (dw0 >> 16) + 1);
    return 0;
}

static void event_came(struct nvme_cmd *cmd)
{
    struct nvme_path *path = cmd->user;
    uint16_t status = cmd->rc ? 0 : nvme_cqe_status(&cmd->cqe);
    if (cmd->rc || status)
        return; /* the connection goes, or it takes no more of them */
    uint32_t dw0 = ash_le32_get(cmd->cqe.dw0);
    path->wants_event_request = true;
    if ((dw0 & 7) == NVME_AEN_NOTICE) {
        path->ns_changed |= (dw0 >> 8 & 0xFF) == NVME_AEN_INFO_NS;
        path->ana_changed |= (dw0 >> 8 & 0xFF) == NVME_AEN_INFO_ANA;
        path->log_changed |= (dw0 >> 8 & 0xFF) == NVME_AEN_INFO_DISCOVERY;
    }
    nvme_path_ring(path);
}

int nvme_admin_events(struct nvme_path *path, struct ash_err *err)
{
    struct nvme_sqe sqe = {.opcode = NVME_ADM_AER};
    uint32_t wanted = ash_le32_get(path->id->oaes) &
                      (NVME_OAES_NS | NVME_OAES_ANA | NVME_OAES_DISCOVERY),
             dw0;
    uint16_t status = 0;
    int rc = wanted ? set_feature(path, NVME_FEAT_AER_CONFIG, wanted, &dw0, &status) : 0;
    if (rc || status)
        return refused(path, "asking for events", rc,
                       &(struct nvme_cqe){.status = ash_le16((uint16_t)(status << 1))}, err);
    path->wants_event_request = false;
    if (!nvme_qpair_start(path->admin, &sqe, NULL, 0, false, true, event_came, path))
        return bad(path, "no room for an event request", err);
    return 0;
}

int nvme_admin_keep_alive(struct nvme_path *path)
{
    struct nvme_sqe sqe = {.opcode = NVME_ADM_KEEP_ALIVE};
    struct nvme_cqe cqe;
    int rc = nvme_exec(path->admin, &sqe, NULL, 0, false, &cqe);
    return rc ? rc : nvme_cqe_status(&cqe) ? -EIO : 0;
}

int nvme_admin_log(struct nvme_qpair *admin, uint8_t lid, uint32_t nsid, uint64_t offset, void *buf,
                   uint32_t n_bytes)
{
    ASH_ASSERT(n_bytes % 4 == 0 && offset % 4 == 0);
    uint32_t n_dwords = n_bytes / 4 - 1;
    struct nvme_sqe sqe = {.opcode = NVME_ADM_GET_LOG_PAGE,
                           .nsid = ash_le32(nsid),
                           .cdw10 = ash_le32(lid | (n_dwords & 0xFFFF) << 16),
                           .cdw11 = ash_le32(n_dwords >> 16),
                           .cdw12 = ash_le32((uint32_t)offset),
                           .cdw13 = ash_le32((uint32_t)(offset >> 32))};
    struct nvme_cqe cqe;
    int rc = nvme_exec(admin, &sqe, buf, n_bytes, false, &cqe);
    return rc ? rc : nvme_cqe_status(&cqe) ? -EIO : 0;
}

/* --------------------------------------------------------------- namespaces */

int nvme_admin_ns_list(struct nvme_path *path, uint32_t after,
                       struct le32 ret_list[NVME_NS_LIST_MAX])
{
    uint16_t status;
    int rc = identify(path, NVME_CNS_NS_LIST, after, ret_list, &status);
    return rc ? rc : status ? -EIO : 0;
}

static void take_descriptors(const uint8_t *buf, struct nvme_ns_info *ret)
{
    for (uint32_t at = 0; at + sizeof(struct nvme_ns_desc) <= NVME_IDENTIFY_BYTES;) {
        const struct nvme_ns_desc *d = (const void *)(buf + at);
        const uint8_t *value = buf + at + sizeof(*d);
        if (d->length == 0 || d->length > NVME_IDENTIFY_BYTES - at - sizeof(*d))
            return;
        if (d->type == NVME_NIDT_UUID && d->length == sizeof(ret->uuid))
            memcpy(ret->uuid, value, sizeof(ret->uuid));
        else if (d->type == NVME_NIDT_NGUID && d->length == sizeof(ret->nguid))
            memcpy(ret->nguid, value, sizeof(ret->nguid));
        else if (d->type == NVME_NIDT_EUI64 && d->length == sizeof(ret->eui64))
            memcpy(ret->eui64, value, sizeof(ret->eui64));
        at += (uint32_t)sizeof(*d) + d->length;
    }
}

int nvme_admin_ns(struct nvme_path *path, uint32_t nsid, struct nvme_ns_info *ret)
{
    uint8_t *buf = rt_alloc(NVME_IDENTIFY_BYTES);
    uint16_t status;
    if (!buf)
        return -ENOMEM;
    memset(ret, 0, sizeof(*ret));
    ret->nsid = nsid;
    int rc = identify(path, NVME_CNS_NS, nsid, &ret->id, &status);
    if (rc == 0 && status)
        rc = status == NVME_SC_INVALID_NS ? -ENOENT : -EIO;
    if (rc == 0 && ash_le64_get(ret->id.nsze) == 0)
        rc = -ENOENT;
    memcpy(ret->nguid, ret->id.nguid, sizeof(ret->nguid));
    memcpy(ret->eui64, ret->id.eui64, sizeof(ret->eui64));
    if (rc == 0) { /* older controllers have no descriptors: then there are none */
        rc = identify(path, NVME_CNS_NS_DESC, nsid, buf, &status);
        if (rc == 0 && status == 0)
            take_descriptors(buf, ret);
    }
    rt_free(buf);
    return rc;
}

static void abort_done(struct nvme_cmd *cmd)
{
    (void)cmd; /* the aborted command ends by itself, or is late once more */
}

void nvme_admin_abort(struct nvme_path *path, uint16_t qid, uint16_t cid)
{
    struct nvme_sqe sqe = {.opcode = NVME_ADM_ABORT, .cdw10 = ash_le32(qid | (uint32_t)cid << 16)};
    if (path->admin && !path->admin->has_failed)
        (void)nvme_qpair_start(path->admin, &sqe, NULL, 0, false, false, abort_done, NULL);
}
