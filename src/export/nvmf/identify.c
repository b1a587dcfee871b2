/* SPDX-License-Identifier: Apache-2.0 */
/* Identify. Control reactor. Source: docs/spec/nvme-tcp.md 4.1. */
#include "export/nvmf/nvmf_int.h"

#define FIRMWARE "1"

#define BAD_FIELD (NVME_SC_INVALID_FIELD | NVME_STATUS_DNR)
#define BAD_NS    (NVME_SC_INVALID_NS | NVME_STATUS_DNR)

void nvmf_put_text(char *to, size_t n, const char *text)
{
    memset(to, ' ', n);
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(to, text, ASH_MIN(strlen(text), n));
}

static uint8_t log2_of(uint64_t n)
{
    return (uint8_t)(63 - __builtin_clzll(n));
}

/* Zero based, for fields of 16 bits. */
static struct le16 less_one(uint64_t n)
{
    return ash_le16((uint16_t)(ASH_MIN(ASH_MAX(n, 1ull), 65536ull) - 1));
}

/* ------------------------------------------------------------ controller */

static void put_common(const struct nvmf_ctrlr *ctrlr, struct nvme_id_ctrlr *id)
{
    const struct nvmf_transport_opts *o = &ctrlr->sub->srv->transport;
    nvmf_put_text(id->fr, sizeof(id->fr), FIRMWARE);
    id->mdts = log2_of(o->max_io_size / NVME_PAGE_BYTES);
    id->cntlid = ash_le16(ctrlr->cntlid);
    id->ver = ash_le32(NVME_VS_1_4);
    id->rtd3e = ash_le32(10000000);
    id->cmic = NVME_CMIC_PORTS | NVME_CMIC_CTRLRS;
    id->acl = 3;
    id->aerl = NVMF_AERL;
    id->elpe = NVMF_ELPE;
    id->lpa = NVME_LPA_EXTENDED;
    id->kas = ash_le16(o->kas);
    id->sqes = 0x11 * NVME_SQES_LOG2;
    id->cqes = 0x11 * NVME_CQES_LOG2;
    id->maxcmd = ash_le16(o->max_queue_depth);
    id->sgls = ash_le32(NVME_SGLS_SUPPORTED | NVME_SGLS_OFFSET);
    id->ctratt = ash_le32(NVME_CTRATT_HOSTID128);
    id->ioccsz = ash_le32((sizeof(struct nvme_sqe) + o->in_capsule_data_size) / 16);
    id->iorcsz = ash_le32(1);
    id->fcatt = ctrlr->is_static ? NVME_FCATT_STATIC : 0;
    id->msdbd = 1;
    memcpy(id->subnqn, ctrlr->sub->nqn, sizeof(id->subnqn));
}

static void put_nvm(const struct nvmf_ctrlr *ctrlr, struct nvme_id_ctrlr *id)
{
    const struct nvmf_subsystem *sub = ctrlr->sub;
    nvmf_put_text(id->sn, sizeof(id->sn), sub->serial);
    nvmf_put_text(id->mn, sizeof(id->mn), sub->model);
    id->rab = 6;
    id->cntrltype = NVME_CNTRLTYPE_IO;
    id->oaes = ash_le32(NVME_OAES_NS);
    id->frmw = 0x03; /* one slot, read-only */
    id->lpa |= NVME_LPA_SMART_NS | NVME_LPA_EFFECTS;
    id->wctemp = ash_le16(0x157);
    id->cctemp = ash_le16(0x175);
    id->nn = id->mnan = ash_le32(sub->max_namespaces);
    id->oncs = ash_le16(NVME_ONCS_COMPARE | NVME_ONCS_DSM | NVME_ONCS_WRITE_ZEROES |
                        NVME_ONCS_RESERVATIONS | NVME_ONCS_VERIFY);
    id->fuses = ash_le16(NVME_FUSES_COMPARE_WRITE);
    id->vwc = NVME_VWC_PRESENT | NVME_VWC_NO_BROADCAST;
    id->ofcs = ash_le16(NVME_OFCS_DISCONNECT);
    if (sub->ana_reporting) {
        id->cmic |= NVME_CMIC_ANA;
        id->oaes = ash_le32(NVME_OAES_NS | NVME_OAES_ANA);
        id->anatt = NVMF_ANATT_S;
        id->anacap = NVME_ANACAP_ALL;
        id->anagrpmax = id->nanagrpid = ash_le32(sub->max_namespaces);
    }
}

static uint16_t identify_ctrlr(struct nvmf_req *req)
{
    struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    struct nvme_id_ctrlr *id = req->buf;
    put_common(ctrlr, id);
    if (!ctrlr->sub->discovery) {
        put_nvm(ctrlr, id);
        return 0;
    }
    nvmf_put_text(id->sn, sizeof(id->sn), "00000000000000000000");
    nvmf_put_text(id->mn, sizeof(id->mn), "Ashlar discovery controller");
    id->cntrltype = NVME_CNTRLTYPE_DISCOVERY;
    id->oaes = ash_le32(NVME_OAES_DISCOVERY);
    return 0;
}

static uint16_t identify_csi_ctrlr(struct nvmf_req *req)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    struct nvme_id_ctrlr_nvm *id = req->buf;
    if (ash_le32_get(req->sqe.cdw11) >> 24 != NVME_CSI_NVM)
        return BAD_FIELD;
    id->dmrsl = ash_le32(ctrlr->sub->dmrsl);
    id->dmsl = ash_le64((uint64_t)ctrlr->sub->dmrsl * NVME_DSM_RANGES_MAX);
    return 0;
}

/* ------------------------------------------------------------ namespaces */

static bool nsid_valid(const struct nvmf_ctrlr *ctrlr, uint32_t nsid)
{
    return nsid >= 1 && nsid <= ctrlr->sub->max_namespaces;
}

/* What a thin volume holds, in blocks; false: it is not thin. */
static bool thin_use(const struct nvmf_ns *ns, uint64_t *ret_blocks)
{
    struct pool_mgr *pools = ns->sub->srv->pools;
    struct volume *vol = pools ? volume_of_bdev(pools, ns->bdev->name) : NULL;
    if (!vol)
        return false;
    struct volume_info info;
    struct pool_info pool;
    volume_get_info(vol, &info);
    pool_get_info(info.pool, &pool);
    *ret_blocks = info.n_allocated_clusters * pool.cluster_bytes / ns->bdev->block_bytes;
    return info.thin;
}

static uint8_t rescap(const struct nvmf_ns *ns)
{
    return NVME_RESCAP_TYPES | NVME_RESCAP_IEKEY | (ns->ptpl_file ? NVME_RESCAP_PTPL : 0);
}

static void put_hints(const struct bdev *bdev, struct nvme_id_ns *id)
{
    uint32_t block = bdev->block_bytes;
    uint32_t phys = bdev->phys_block_bytes ? bdev->phys_block_bytes : block;
    id->nsfeat |= NVME_NSFEAT_HINTS;
    id->npwg = less_one(ASH_MAX(phys / block, bdev->prefer_write_gran));
    id->npwa = less_one(ASH_MAX(phys / block, bdev->prefer_write_align));
    id->npdg = less_one(bdev->prefer_unmap_gran);
    id->npda = less_one(bdev->prefer_unmap_align);
    id->nows = less_one(bdev->optimal_write_size);
}

static uint16_t identify_ns(struct nvmf_req *req)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    if (!nsid_valid(ctrlr, nsid))
        return BAD_NS;
    const struct nvmf_ns *ns = nvmf_ctrlr_ns(ctrlr, nsid);
    if (!ns)
        return 0; /* inactive: all zeroes */
    struct nvme_id_ns *id = req->buf;
    uint64_t n_blocks = nvmf_size_now(ns->bdev) / ns->bdev->block_bytes, n_used = 0;
    bool thin = thin_use(ns, &n_used);
    id->nsze = id->ncap = ash_le64(n_blocks);
    id->nuse = ash_le64(thin ? ASH_MIN(n_used, n_blocks) : n_blocks);
    id->nsfeat = thin ? NVME_NSFEAT_THIN : 0;
    put_hints(ns->bdev, id);
    id->nmic = NVME_NMIC_SHARED;
    id->rescap = rescap(ns);
    id->dlfeat = NVME_DLFEAT_WZ_DEAC | (ns->bdev->unmap_zeroes ? NVME_DLFEAT_READS_ZERO : 0);
    id->anagrpid = ash_le32(ctrlr->sub->ana_reporting ? ns->anagrpid : 0);
    id->nsattr = ns->read_only ? NVME_NSATTR_WRITE_PROTECTED : 0;
    memcpy(id->nguid, ns->nguid, sizeof(id->nguid));
    memcpy(id->eui64, ns->eui64, sizeof(id->eui64));
    id->lbaf[0].lbads = log2_of(ns->bdev->block_bytes);
    return 0;
}

static uint16_t identify_ns_list(struct nvmf_req *req)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    struct le32 *list = req->buf;
    if (nsid >= NVME_NSID_ALL - 1)
        return BAD_NS;
    for (uint32_t n = 0, i = nsid + 1; i <= ctrlr->sub->max_namespaces && n < NVME_NS_LIST_MAX;
         i++) {
        if (nvmf_ctrlr_ns(ctrlr, i))
            list[n++] = ash_le32(i);
    }
    return 0;
}

static uint8_t *put_desc(uint8_t *to, uint8_t type, const void *id, uint8_t n)
{
    struct nvme_ns_desc desc = {.type = type, .length = n};
    memcpy(to, &desc, sizeof(desc));
    memcpy(to + sizeof(desc), id, n);
    return to + sizeof(desc) + n;
}

static uint16_t identify_ns_desc(struct nvmf_req *req)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    if (!nsid_valid(ctrlr, nsid))
        return BAD_NS;
    const struct nvmf_ns *ns = nvmf_ctrlr_ns(ctrlr, nsid);
    if (!ns)
        return BAD_FIELD;
    static const uint8_t zero[16], csi = NVME_CSI_NVM;
    uint8_t *to = req->buf;
    if (ns->has_eui64)
        to = put_desc(to, NVME_NIDT_EUI64, ns->eui64, 8);
    if (memcmp(ns->nguid, zero, 16) != 0)
        to = put_desc(to, NVME_NIDT_NGUID, ns->nguid, 16);
    to = put_desc(to, NVME_NIDT_UUID, ns->uuid.b, 16);
    put_desc(to, NVME_NIDT_CSI, &csi, 1);
    return 0;
}

/* CNS 05: nothing to tell for the NVM command set, but that the namespace is there. */
static uint16_t identify_csi_ns(struct nvmf_req *req)
{
    if (ash_le32_get(req->sqe.cdw11) >> 24 != NVME_CSI_NVM)
        return BAD_FIELD;
    return nsid_valid(req->conn->ctrlr, ash_le32_get(req->sqe.nsid)) ? 0 : BAD_NS;
}

static uint16_t identify_independent(struct nvmf_req *req)
{
    const struct nvmf_ctrlr *ctrlr = req->conn->ctrlr;
    uint32_t nsid = ash_le32_get(req->sqe.nsid);
    if (!nsid_valid(ctrlr, nsid))
        return BAD_NS;
    const struct nvmf_ns *ns = nvmf_ctrlr_ns(ctrlr, nsid);
    if (!ns)
        return 0;
    struct nvme_id_ns_independent *id = req->buf;
    id->nmic = NVME_NMIC_SHARED;
    id->rescap = rescap(ns);
    id->anagrpid = ash_le32(ctrlr->sub->ana_reporting ? ns->anagrpid : 0);
    id->nsattr = ns->read_only ? NVME_NSATTR_WRITE_PROTECTED : 0;
    id->nstat = 1;
    return 0;
}

static uint16_t identify_csi_list(struct nvmf_req *req)
{
    if (ash_le32_get(req->sqe.cdw11) >> 24 != NVME_CSI_NVM)
        return BAD_FIELD;
    return identify_ns_list(req);
}

static uint16_t identify_vector(struct nvmf_req *req)
{
    struct le64 nvm = ash_le64(1);
    memcpy(req->buf, &nvm, sizeof(nvm));
    return 0;
}

uint16_t nvmf_identify(struct nvmf_req *req)
{
    static uint16_t (*const pages[])(struct nvmf_req * req) = {
        [NVME_CNS_NS] = identify_ns,
        [NVME_CNS_CTRLR] = identify_ctrlr,
        [NVME_CNS_NS_LIST] = identify_ns_list,
        [NVME_CNS_NS_DESC] = identify_ns_desc,
        [NVME_CNS_CSI_NS] = identify_csi_ns,
        [NVME_CNS_CSI_CTRLR] = identify_csi_ctrlr,
        [NVME_CNS_CSI_NS_LIST] = identify_csi_list,
        [NVME_CNS_NS_INDEPENDENT] = identify_independent,
        [NVME_CNS_CSI_VECTOR] = identify_vector,
    };
    uint32_t cns = ash_le32_get(req->sqe.cdw10) & 0xFF;
    bool known = cns < ASH_N_ELEMS(pages) && pages[cns];
    if (!known || (req->conn->discovery && cns != NVME_CNS_CTRLR))
        return BAD_FIELD;
    if (req->sgl_bytes < NVME_IDENTIFY_BYTES)
        return BAD_FIELD;
    if (!nvmf_reply_data(req, NVME_IDENTIFY_BYTES))
        return NVME_SC_INTERNAL;
    return pages[cns](req);
}
