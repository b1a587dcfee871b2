/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nvme_pdu.h"

#include <limits.h>

#include <isa-l/crc.h>

#include "base/assert.h"

enum { TO_HOST = 1, HAS_DATA = 2, MAY_HAVE_DATA = 4, IS_IC = 8, IS_TERM = 16 };

struct kind {
    uint8_t hlen, traits;
};

static const struct kind kinds[] = {
    [NVME_PDU_IC_REQ] = {sizeof(struct nvme_ic_req), IS_IC},
    [NVME_PDU_IC_RESP] = {sizeof(struct nvme_ic_resp), IS_IC | TO_HOST},
    [NVME_PDU_H2C_TERM_REQ] = {sizeof(struct nvme_term_req), IS_TERM},
    [NVME_PDU_C2H_TERM_REQ] = {sizeof(struct nvme_term_req), IS_TERM | TO_HOST},
    [NVME_PDU_CAPSULE_CMD] = {sizeof(struct nvme_capsule_cmd), MAY_HAVE_DATA},
    [NVME_PDU_CAPSULE_RESP] = {sizeof(struct nvme_capsule_resp), TO_HOST},
    [NVME_PDU_H2C_DATA] = {sizeof(struct nvme_data_pdu), HAS_DATA},
    [NVME_PDU_C2H_DATA] = {sizeof(struct nvme_data_pdu), HAS_DATA | TO_HOST},
    [NVME_PDU_R2T] = {sizeof(struct nvme_r2t), TO_HOST},
};

static const struct kind *kind_of(uint8_t type)
{
    return type < ASH_N_ELEMS(kinds) && kinds[type].hlen ? &kinds[type] : NULL;
}

uint8_t nvme_pdu_hlen(uint8_t type)
{
    const struct kind *kind = kind_of(type);
    return kind ? kind->hlen : 0;
}

static bool fault(struct nvme_pdu_fault *ret, uint16_t fes, uint32_t fei)
{
    *ret = (struct nvme_pdu_fault){fes, fei};
    return false;
}

#define FIELD(member) ((uint32_t)offsetof(struct nvme_pdu_hdr, member))

/* TermReq: no digests, and some of the offending header right behind its own. */
static bool check_term(const struct nvme_pdu_hdr *hdr, struct nvme_pdu_layout *ret,
                       struct nvme_pdu_fault *ret_fault)
{
    uint32_t plen = ash_le32_get(hdr->plen);
    uint32_t hlen = sizeof(struct nvme_term_req);
    if (plen <= hlen || plen > hlen + NVME_TERM_DATA_MAX)
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(plen));
    *ret = (struct nvme_pdu_layout){plen, hlen, hlen, plen - hlen, 0};
    return true;
}

/* Where data starts behind n_head bytes. A capsule's 72 at an alignment of 68 go beyond 128. */
static uint32_t data_offset(const struct nvme_pdu_rules *rules, uint32_t n_head)
{
    uint32_t align = (rules->pda + 1u) * 4;
    return (uint32_t)ash_div_up(n_head, align) * align;
}

static bool check_data(const struct nvme_pdu_rules *rules, const struct nvme_pdu_hdr *hdr,
                       struct nvme_pdu_layout *ret, struct nvme_pdu_fault *ret_fault)
{
    uint32_t align = (rules->pda + 1u) * 4;
    if (hdr->pdo < ret->head_bytes || hdr->pdo % align ||
        hdr->pdo > ASH_MAX(NVME_PDO_MAX, data_offset(rules, ret->head_bytes)))
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(pdo));
    ret->ddgst_bytes = rules->ddgst ? NVME_DIGEST_BYTES : 0;
    if (ret->plen <= hdr->pdo + ret->ddgst_bytes)
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(plen));
    ret->data_offset = hdr->pdo;
    ret->data_bytes = ret->plen - hdr->pdo - ret->ddgst_bytes;
    if (ret->data_bytes > rules->max_data_bytes)
        return fault(ret_fault, NVME_FES_LIMIT, 0);
    return true;
}

bool nvme_pdu_check(const struct nvme_pdu_rules *rules, const struct nvme_pdu_hdr *hdr,
                    struct nvme_pdu_layout *ret, struct nvme_pdu_fault *ret_fault)
{
    const struct kind *kind = kind_of(hdr->type);
    if (!kind || !!(kind->traits & TO_HOST) != rules->to_host)
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(type));
    if (!(kind->traits & IS_TERM) && !!(kind->traits & IS_IC) != rules->before_ic)
        return fault(ret_fault, NVME_FES_SEQUENCE, 0);
    if (hdr->hlen != kind->hlen)
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(hlen));
    if (kind->traits & IS_TERM)
        return check_term(hdr, ret, ret_fault);

    bool hdgst = rules->hdgst && !(kind->traits & IS_IC);
    uint32_t plen = ash_le32_get(hdr->plen);
    *ret = (struct nvme_pdu_layout){.plen = plen,
                                    .head_bytes = hdr->hlen + (hdgst ? NVME_DIGEST_BYTES : 0u),
                                    .data_offset = plen};
    if (plen < ret->head_bytes)
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(plen));
    bool has_data = plen > ret->head_bytes;
    if (has_data ? !(kind->traits & (HAS_DATA | MAY_HAVE_DATA)) : kind->traits & HAS_DATA)
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(plen));
    uint8_t digests =
        (hdgst ? NVME_PDU_HDGST : 0) | (has_data && rules->ddgst ? NVME_PDU_DDGST : 0);
    uint8_t mask = NVME_PDU_HDGST | (has_data ? NVME_PDU_DDGST : 0);
    if ((hdr->flags & mask) != digests)
        return fault(ret_fault, NVME_FES_HEADER_FIELD, FIELD(flags));
    return !has_data || check_data(rules, hdr, ret, ret_fault);
}

uint32_t nvme_digest_add(uint32_t state, const void *data, size_t n_bytes)
{
    ASH_ASSERT(n_bytes <= INT_MAX);
    /* isa-l does not write through the pointer. */
    return crc32_iscsi((unsigned char *)(uintptr_t)data, (int)n_bytes, state);
}

bool nvme_pdu_head_ok(const void *head, const struct nvme_pdu_layout *layout,
                      struct nvme_pdu_fault *ret_fault)
{
    const struct nvme_pdu_hdr *hdr = head;
    if (layout->head_bytes == hdr->hlen)
        return true;
    ASH_ASSERT(layout->head_bytes == hdr->hlen + NVME_DIGEST_BYTES);
    struct le32 want = nvme_digest_end(nvme_digest_add(NVME_DIGEST_START, head, hdr->hlen)), is;
    memcpy(&is, (const uint8_t *)head + hdr->hlen, sizeof(is));
    if (memcmp(&want, &is, sizeof(is)) == 0)
        return true;
    return fault(ret_fault, NVME_FES_HEADER_DIGEST, ash_le32_get(is));
}

uint32_t nvme_pdu_seal(const struct nvme_pdu_rules *rules, void *head, uint8_t type, uint8_t flags,
                       uint32_t n_data)
{
    const struct kind *kind = kind_of(type);
    ASH_ASSERT(kind && !!(kind->traits & TO_HOST) == rules->to_host);
    struct nvme_pdu_hdr *hdr = head;
    bool bare = kind->traits & (IS_IC | IS_TERM);
    bool hdgst = rules->hdgst && !bare, ddgst = rules->ddgst && !bare && n_data;
    uint32_t n_head = kind->hlen + (hdgst ? NVME_DIGEST_BYTES : 0u);
    uint32_t pdo = n_data && !bare ? data_offset(rules, n_head) : n_head;
    ASH_ASSERT(pdo <= NVME_PDU_HEAD_MAX || bare);
    hdr->type = type;
    hdr->flags = flags | (hdgst ? NVME_PDU_HDGST : 0) | (ddgst ? NVME_PDU_DDGST : 0);
    hdr->hlen = kind->hlen;
    hdr->pdo = n_data && !bare ? (uint8_t)pdo : 0;
    hdr->plen = ash_le32(pdo + n_data + (ddgst ? NVME_DIGEST_BYTES : 0));
    if (hdgst) {
        struct le32 digest = nvme_digest_end(nvme_digest_add(NVME_DIGEST_START, head, kind->hlen));
        memcpy((uint8_t *)head + kind->hlen, &digest, sizeof(digest));
    }
    memset((uint8_t *)head + n_head, 0, pdo - n_head);
    return pdo;
}

static bool all_in(const char *text, size_t n, const char *set)
{
    for (size_t i = 0; i < n; i++) {
        if (!strchr(set, text[i]))
            return false;
    }
    return true;
}

static bool uuid_text_ok(const char *text)
{
    if (strlen(text) != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    }
    return true;
}

/* "rev.domain": labels of 1 to 63 letters, digits and inner dashes. */
static bool domain_ok(const char *text, size_t n)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    size_t start = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && text[i] != '.')
            continue;
        size_t n_label = i - start;
        if (!n_label || n_label > 63 || text[start] == '-' || text[i - 1] == '-' ||
            !all_in(text + start, n_label, chars))
            return false;
        start = i + 1;
    }
    return true;
}

bool nvme_nqn_ok(const char *nqn, size_t n_field)
{
    static const char digits[] = "0123456789";
    size_t n = strnlen(nqn, n_field);
    if (n == n_field || n < NVME_NQN_MIN || n > NVME_NQN_MAX || strncmp(nqn, "nqn.", 4) != 0)
        return false;
    if (strcmp(nqn, NVME_DISCOVERY_NQN) == 0)
        return true;
    size_t n_prefix = strlen(NVME_UUID_NQN);
    if (strncmp(nqn, NVME_UUID_NQN, n_prefix) == 0)
        return uuid_text_ok(nqn + n_prefix);
    if (!all_in(nqn + 4, 4, digits) || nqn[8] != '-' || !all_in(nqn + 9, 2, digits) ||
        nqn[11] != '.')
        return false;
    const char *colon = strchr(nqn + 12, ':');
    return colon && colon[1] && domain_ok(nqn + 12, (size_t)(colon - nqn - 12));
}
