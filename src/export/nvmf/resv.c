/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations of a namespace. A command comes from an I/O queue; a task on the control reactor
 * does it under the namespace's resv_lock: work out the new state in a copy, make it durable when
 * it is to persist, give it to all reactors, reply.
 *
 * Invariants
 *  - there is a holder only among the registrants; with "all registrants" all of them hold;
 *  - a reply is sent after every reactor checks by the new state.
 * Source: docs/spec/nvme-tcp.md 7. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <stdio.h>

#define DNR      NVME_STATUS_DNR
#define CONFLICT (NVME_SC_RESV_CONFLICT | DNR)
#define BAD      (NVME_SC_INVALID_FIELD | DNR)

static bool all_regs(uint8_t rtype)
{
    return rtype == NVME_RESV_WE_ALL_REGS || rtype == NVME_RESV_EA_ALL_REGS;
}

static bool regs_only(uint8_t rtype)
{
    return rtype == NVME_RESV_WE_REG_ONLY || rtype == NVME_RESV_EA_REG_ONLY;
}

/* --------------------------------------------------- checks of the data path */

bool nvmf_resv_allows(const struct nvmf_ns_view *view, const uint8_t hostid[16], bool write_like)
{
    if (view->rtype == NVME_RESV_NONE)
        return true;
    bool registered = false;
    for (uint32_t i = 0; i < view->n_regs && !registered; i++)
        registered = memcmp(view->regs[i], hostid, 16) == 0;
    bool holds = all_regs(view->rtype) ? registered : memcmp(view->holder, hostid, 16) == 0;
    if (holds)
        return true;
    switch (view->rtype) {
    case NVME_RESV_WRITE_EXCLUSIVE:
        return !write_like;
    case NVME_RESV_EXCLUSIVE_ACCESS:
        return false;
    case NVME_RESV_WE_REG_ONLY:
    case NVME_RESV_WE_ALL_REGS:
        return registered || !write_like;
    default: /* exclusive access, registrants */
        return registered;
    }
}

/* ------------------------------------------------------- one change of state */

struct notice {
    uint8_t hostid[16];
    uint8_t type;
};

struct change {
    struct nvmf_ns *ns;
    struct nvmf_req *req;
    const struct nvmf_conn *by;
    struct nvmf_resv next;
    bool dirty;
    struct notice notices[2 * NVMF_REGISTRANTS_MAX];
    uint32_t n_notices;
    uint8_t victims[NVMF_REGISTRANTS_MAX][16]; /* of preempt and abort */
    uint32_t n_victims;
};

static struct nvmf_registrant *find_reg(struct nvmf_resv *r, const uint8_t hostid[16])
{
    for (uint32_t i = 0; i < r->n_regs; i++) {
        if (memcmp(r->regs[i].hostid, hostid, 16) == 0)
            return &r->regs[i];
    }
    return NULL;
}

static bool holds(const struct nvmf_resv *r, const uint8_t hostid[16])
{
    return r->rtype != NVME_RESV_NONE && (all_regs(r->rtype) || memcmp(r->holder, hostid, 16) == 0);
}

static void notify(struct change *c, const uint8_t hostid[16], uint8_t type)
{
    if (memcmp(hostid, c->by->hostid, 16) == 0 || c->n_notices >= ASH_N_ELEMS(c->notices))
        return;
    memcpy(c->notices[c->n_notices].hostid, hostid, 16);
    c->notices[c->n_notices++].type = type;
}

static void notify_all(struct change *c, uint8_t type)
{
    for (uint32_t i = 0; i < c->next.n_regs; i++)
        notify(c, c->next.regs[i].hostid, type);
}

static void set_holder(struct nvmf_resv *r, const uint8_t hostid[16], uint8_t rtype)
{
    r->rtype = rtype;
    memcpy(r->holder, hostid, 16);
}

static void set_none(struct nvmf_resv *r)
{
    r->rtype = NVME_RESV_NONE;
    memset(r->holder, 0, sizeof(r->holder));
}

/* A registrant goes, and its reservation with it when nobody else holds it. */
static void unregister(struct change *c, struct nvmf_registrant *reg)
{
    struct nvmf_resv *r = &c->next;
    bool held = holds(r, reg->hostid);
    uint8_t rtype = r->rtype;
    *reg = r->regs[--r->n_regs];
    if (!held || (all_regs(rtype) && r->n_regs > 0))
        return;
    set_none(r);
    if (regs_only(rtype))
        notify_all(c, NVME_RESV_NOTICE_RELEASED);
}

/* --------------------------------------------------------------- register */

static uint32_t add_reg(struct change *c, uint64_t key)
{
    struct nvmf_resv *r = &c->next;
    if (key == 0)
        return BAD;
    if (r->n_regs >= NVMF_REGISTRANTS_MAX)
        return NVME_SC_INTERNAL | DNR;
    struct nvmf_registrant *reg = &r->regs[r->n_regs++];
    memset(reg, 0, sizeof(*reg));
    memcpy(reg->hostid, c->by->hostid, 16);
    memcpy(reg->hostnqn, c->by->hostnqn, sizeof(reg->hostnqn));
    reg->key = key;
    r->gen++;
    c->dirty = true;
    return 0;
}

static uint32_t set_ptpl(struct change *c, uint32_t cptpl)
{
    if (cptpl == NVME_CPTPL_KEEP)
        return 0;
    if (cptpl == 1 || (cptpl == NVME_CPTPL_ON && !c->ns->ptpl_file))
        return BAD;
    bool on = cptpl == NVME_CPTPL_ON;
    c->dirty |= c->next.ptpl != on;
    c->next.ptpl = on;
    return 0;
}

static uint32_t do_register(struct change *c, uint32_t dw10)
{
    const struct nvme_resv_register_data *data = c->req->buf;
    struct nvmf_resv *r = &c->next;
    struct nvmf_registrant *reg = find_reg(r, c->by->hostid);
    uint64_t crkey = ash_le64_get(data->crkey), nrkey = ash_le64_get(data->nrkey);
    bool iekey = dw10 & NVME_RESV_IEKEY;
    uint32_t status = set_ptpl(c, NVME_RESV_CPTPL(dw10));
    if (status)
        return status;
    switch (dw10 & 7) {
    case NVME_RREGA_REGISTER:
        if (reg)
            return reg->key == nrkey ? 0 : CONFLICT;
        return add_reg(c, nrkey);
    case NVME_RREGA_UNREGISTER:
        if (!reg || (!iekey && reg->key != crkey))
            return CONFLICT;
        unregister(c, reg);
        r->gen++;
        c->dirty = true;
        return 0;
    case NVME_RREGA_REPLACE:
        if (nrkey == 0)
            return BAD;
        if (!reg)
            return iekey ? add_reg(c, nrkey) : CONFLICT;
        if (!iekey && reg->key != crkey)
            return CONFLICT;
        reg->key = nrkey;
        r->gen++;
        c->dirty = true;
        return 0;
    default:
        return BAD;
    }
}

/* ---------------------------------------------------------------- acquire */

/* Everybody with this key (0: everybody) but the caller is unregistered. */
static uint32_t drop_keys(struct change *c, uint64_t key)
{
    struct nvmf_resv *r = &c->next;
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_regs;) {
        struct nvmf_registrant *reg = &r->regs[i];
        if (memcmp(reg->hostid, c->by->hostid, 16) == 0 || (key && reg->key != key)) {
            i++;
            continue;
        }
        notify(c, reg->hostid, NVME_RESV_NOTICE_REG_PREEMPTED);
        memcpy(c->victims[c->n_victims++], reg->hostid, 16);
        *reg = r->regs[--r->n_regs];
        n++;
    }
    return n;
}

static void take_over(struct change *c, uint8_t rtype)
{
    struct nvmf_resv *r = &c->next;
    uint8_t old = r->rtype;
    set_holder(r, c->by->hostid, rtype);
    if (old != rtype && (regs_only(old) || all_regs(old)))
        notify_all(c, NVME_RESV_NOTICE_RELEASED);
}

static uint32_t preempt(struct change *c, uint64_t prkey, uint8_t rtype)
{
    struct nvmf_resv *r = &c->next;
    const struct nvmf_registrant *holder = find_reg(r, r->holder);
    uint32_t n;
    if (r->rtype == NVME_RESV_NONE) {
        n = prkey ? drop_keys(c, prkey) : 0;
        if (n == 0)
            return CONFLICT;
    } else if (all_regs(r->rtype)) {
        n = drop_keys(c, prkey);
        if (prkey == 0)
            take_over(c, rtype);
        else if (n == 0)
            return CONFLICT;
    } else if (prkey == 0) {
        return CONFLICT;
    } else if (holder && holder->key == prkey) {
        drop_keys(c, prkey);
        take_over(c, rtype);
    } else if (drop_keys(c, prkey) == 0) {
        return CONFLICT;
    }
    r->gen++;
    c->dirty = true;
    return 0;
}

static uint32_t do_acquire(struct change *c, uint32_t dw10)
{
    const struct nvme_resv_acquire_data *data = c->req->buf;
    struct nvmf_resv *r = &c->next;
    struct nvmf_registrant *reg = find_reg(r, c->by->hostid);
    uint8_t rtype = dw10 >> 8 & 0xFF;
    if ((dw10 & NVME_RESV_IEKEY) || rtype < NVME_RESV_WRITE_EXCLUSIVE ||
        rtype > NVME_RESV_EA_ALL_REGS)
        return BAD;
    if (!reg || reg->key != ash_le64_get(data->crkey))
        return CONFLICT;
    switch (dw10 & 7) {
    case NVME_RACQA_ACQUIRE:
        if (r->rtype == NVME_RESV_NONE) {
            set_holder(r, c->by->hostid, rtype);
            c->dirty = true;
            return 0;
        }
        return holds(r, c->by->hostid) && r->rtype == rtype ? 0 : CONFLICT;
    case NVME_RACQA_PREEMPT:
    case NVME_RACQA_PREEMPT_ABORT: {
        uint32_t status = preempt(c, ash_le64_get(data->prkey), rtype);
        if ((dw10 & 7) == NVME_RACQA_PREEMPT)
            c->n_victims = 0;
        return status;
    }
    default:
        return BAD;
    }
}

/* ---------------------------------------------------------------- release */

static uint32_t do_release(struct change *c, uint32_t dw10)
{
    const struct nvme_resv_release_data *data = c->req->buf;
    struct nvmf_resv *r = &c->next;
    struct nvmf_registrant *reg = find_reg(r, c->by->hostid);
    if (dw10 & NVME_RESV_IEKEY)
        return BAD;
    if (!reg || reg->key != ash_le64_get(data->crkey))
        return CONFLICT;
    switch (dw10 & 7) {
    case NVME_RRELA_RELEASE: {
        uint8_t rtype = r->rtype;
        if (rtype == NVME_RESV_NONE || !holds(r, c->by->hostid))
            return 0;
        if ((dw10 >> 8 & 0xFF) != rtype)
            return BAD;
        set_none(r);
        if (rtype >= NVME_RESV_WE_REG_ONLY)
            notify_all(c, NVME_RESV_NOTICE_RELEASED);
        c->dirty = true;
        return 0;
    }
    case NVME_RRELA_CLEAR:
        notify_all(c, NVME_RESV_NOTICE_RESV_PREEMPTED);
        set_none(r);
        r->n_regs = 0;
        r->gen++;
        c->dirty = true;
        return 0;
    default:
        return BAD;
    }
}

/* ----------------------------------------------------------------- report */

static uint16_t cntlid_of(const struct nvmf_subsystem *sub, const uint8_t hostid[16])
{
    ash_list_for_each (item, &sub->ctrlrs) {
        const struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        if (memcmp(ctrlr->hostid, hostid, 16) == 0 && !ctrlr->dying)
            return ctrlr->cntlid;
    }
    return NVME_CNTLID_DYNAMIC;
}

static uint32_t do_report(struct change *c)
{
    struct nvmf_req *req = c->req;
    const struct nvmf_resv *r = &c->next;
    uint64_t length = (ash_le32_get(req->sqe.cdw10) + 1ull) * 4;
    if (!(ash_le32_get(req->sqe.cdw11) & NVME_RESV_EDS))
        return NVME_SC_HOSTID_FORMAT | DNR;
    if (length > req->sgl_bytes || length < 4)
        return BAD;
    struct ash_buf out ASH_CLEANUP(ash_buf_free) = {0};
    struct nvme_resv_status head = {.gen = ash_le32(r->gen),
                                    .rtype = r->rtype,
                                    .n_registrants = ash_le16((uint16_t)r->n_regs),
                                    .ptpls = r->ptpl};
    ash_buf_add(&out, &head, sizeof(head));
    for (uint32_t i = 0; i < r->n_regs; i++) {
        const struct nvmf_registrant *reg = &r->regs[i];
        struct nvme_resv_entry e = {.cntlid = ash_le16(cntlid_of(c->ns->sub, reg->hostid)),
                                    .rcsts = holds(r, reg->hostid),
                                    .rkey = ash_le64(reg->key)};
        memcpy(e.hostid, reg->hostid, sizeof(e.hostid));
        ash_buf_add(&out, &e, sizeof(e));
    }
    if (out.failed || !nvmf_reply_data(req, (uint32_t)length))
        return NVME_SC_INTERNAL;
    memcpy(req->buf, out.data, ASH_MIN(length, (uint64_t)out.n_bytes));
    return 0;
}

/* ----------------------------------------------------------------- commit */

static void tell(const struct change *c)
{
    ash_list_for_each (item, &c->ns->sub->ctrlrs) {
        struct nvmf_ctrlr *ctrlr = ash_list_entry(item, struct nvmf_ctrlr, link);
        for (uint32_t i = 0; i < c->n_notices; i++) {
            const struct notice *n = &c->notices[i];
            if (memcmp(ctrlr->hostid, n->hostid, 16) != 0 ||
                (ctrlr->features->resv_mask >> n->type & 1))
                continue;
            ctrlr->n_notices_ever++;
            if (ctrlr->n_notices < NVMF_NOTICES_MAX) {
                struct nvme_log_reservation *log = &ctrlr->notices[ctrlr->n_notices++];
                *log = (struct nvme_log_reservation){.count = ash_le64(ctrlr->n_notices_ever),
                                                     .type = n->type,
                                                     .nsid = ash_le32(c->ns->nsid)};
            }
            nvmf_event(ctrlr, NVMF_EV_RESV);
        }
    }
}

struct mark {
    struct nvmf_conn *conn;
    struct nvmf_ns *ns;
};

/* On the reactor of a victim's queue: what it has in flight ends as aborted. */
static int mark_preempted(void *arg)
{
    struct mark *m = arg;
    for (unsigned i = 0; i < m->conn->n_slots; i++) {
        struct nvmf_req *req = m->conn->slots[i];
        if (req && req->lns && req->lns->ns == m->ns)
            req->preempted = true;
    }
    return 0;
}

static bool is_victim(const struct change *c, const uint8_t hostid[16])
{
    for (uint32_t i = 0; i < c->n_victims; i++) {
        if (memcmp(c->victims[i], hostid, 16) == 0)
            return true;
    }
    return false;
}

static void abort_victims(struct change *c)
{
    struct nvmf_server *srv = c->ns->sub->srv;
    if (c->n_victims == 0)
        return;
    rt_mutex_lock(&srv->preempt_lock); /* one at a time marks where it has been */
again:
    ash_list_for_each (item, &srv->conns) {
        struct nvmf_conn *conn = ash_list_entry(item, struct nvmf_conn, link);
        if (!conn->ctrlr || conn->is_admin || conn->moving || conn->ctrlr->sub != c->ns->sub ||
            !is_victim(c, conn->hostid) || conn->preempt_req == c->req)
            continue;
        struct mark m = {conn, c->ns};
        conn->preempt_req = c->req;
        conn->messaged = true; /* so it stays until the call is over */
        rt_call_on(conn->reactor, "nvmf preempt", mark_preempted, &m);
        goto again; /* that has waited: the list may be another */
    }
    rt_mutex_unlock(&srv->preempt_lock);
    bdev_grace(c->ns->bdev);
}

static uint32_t commit(struct change *c)
{
    struct nvmf_ns *ns = c->ns;
    struct nvmf_resv *old = rt_alloc(sizeof(*old));
    if (!old)
        return NVME_SC_INTERNAL;
    *old = ns->resv;
    ns->resv = c->next;
    int rc = ns->resv.ptpl || old->ptpl ? nvmf_ptpl_save(ns) : 0;
    if (rc == 0)
        rc = nvmf_ns_publish(ns);
    if (rc) {
        ns->resv = *old;
        if (old->ptpl)
            nvmf_ptpl_save(ns); /* the change was not made; best effort, as that it failed at all */
    }
    rt_free(old);
    if (rc)
        return NVME_SC_INTERNAL;
    tell(c);
    abort_victims(c);
    return 0;
}

static size_t data_needed(uint8_t opcode)
{
    switch (opcode) {
    case NVME_IO_RESV_REGISTER:
        return sizeof(struct nvme_resv_register_data);
    case NVME_IO_RESV_ACQUIRE:
        return sizeof(struct nvme_resv_acquire_data);
    case NVME_IO_RESV_RELEASE:
        return sizeof(struct nvme_resv_release_data);
    default:
        return 0;
    }
}

static uint32_t run(struct change *c)
{
    uint32_t dw10 = ash_le32_get(c->req->sqe.cdw10), status;
    c->next = c->ns->resv;
    switch (c->req->sqe.opcode) {
    case NVME_IO_RESV_REGISTER:
        status = do_register(c, dw10);
        break;
    case NVME_IO_RESV_ACQUIRE:
        status = do_acquire(c, dw10);
        break;
    case NVME_IO_RESV_RELEASE:
        status = do_release(c, dw10);
        break;
    default:
        return do_report(c);
    }
    return !status && c->dirty ? commit(c) : status;
}

static void back(struct rt_job *job)
{
    struct nvmf_req *req = ash_container_of(job, struct nvmf_req, job);
    nvmf_io_end(req, req->task_status);
}

static void resv_task(void *arg)
{
    struct nvmf_req *req = arg;
    struct nvmf_ns *ns = req->lns->ns;
    struct change *c = rt_alloc(sizeof(*c));
    req->task_status = NVME_SC_INTERNAL;
    if (c) {
        *c = (struct change){.ns = ns, .req = req, .by = req->conn};
        rt_mutex_lock(&ns->resv_lock);
        req->task_status = run(c);
        rt_mutex_unlock(&ns->resv_lock);
        rt_free(c);
    }
    req->job.run = back;
    rt_post(req->conn->reactor, &req->job);
}

void nvmf_resv_start(struct nvmf_req *req)
{
    if (req->got_bytes < data_needed(req->sqe.opcode))
        nvmf_io_end(req, NVME_SC_SGL_LENGTH | DNR);
    else if (rt_task_spawn_on(nvmf_control(), "nvmf reservation", resv_task, req))
        nvmf_io_end(req, NVME_SC_INTERNAL);
}

/* --------------------------------------------------- persistence as a feature */

static void persist_task(void *arg)
{
    struct nvmf_req *req = arg;
    struct nvmf_server *srv = req->conn->srv;
    bool on = ash_le32_get(req->sqe.cdw11) & 1;
    uint32_t status = NVME_SC_INVALID_NS | DNR;
    rt_mutex_lock(&srv->lock); /* so the namespace stays */
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    struct nvmf_ns *ns = ctrlr ? nvmf_ctrlr_ns(ctrlr, ash_le32_get(req->sqe.nsid)) : NULL;
    if (ns) {
        rt_mutex_lock(&ns->resv_lock);
        bool old = ns->resv.ptpl;
        ns->resv.ptpl = on;
        status = on && !ns->ptpl_file ? BAD : 0;
        if (!status && (on || old) && nvmf_ptpl_save(ns))
            status = NVME_SC_INTERNAL;
        if (status)
            ns->resv.ptpl = old;
        rt_mutex_unlock(&ns->resv_lock);
    }
    rt_mutex_unlock(&srv->lock);
    if (status)
        nvmf_fail(req, status);
    else
        nvmf_reply(req);
}

void nvmf_resv_persist(struct nvmf_req *req)
{
    if (rt_task_spawn("nvmf persistence", persist_task, req))
        nvmf_fail(req, NVME_SC_INTERNAL);
}

int nvmf_resv_load(struct nvmf_ns *ns, struct ash_err *err)
{
    return ns->ptpl_file ? nvmf_ptpl_load(ns, err) : 0;
}
