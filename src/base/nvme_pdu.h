/* SPDX-License-Identifier: Apache-2.0 */
/* What both sides of NVMe/TCP do to every PDU: check the header that arrived, compute the layout,
 * make headers and digests. No state, no I/O.
 *
 * Receiving: read the 8 bytes of the common header, nvme_pdu_check(), read layout.head_bytes in
 * all, nvme_pdu_head_ok(), then the data.
 * Sending: fill the fields after the common header, nvme_pdu_seal(): that gives the bytes up to the
 * data; send those, the data, and (DDGST) the digest of the data.
 * Source: docs/spec/nvme-tcp.md sections 1 and 1.2. */
#ifndef ASH_BASE_NVME_PDU_H
#define ASH_BASE_NVME_PDU_H

#include <sys/uio.h>

#include "base/nvme_proto.h"

/* What has been agreed for one direction of a connection. */
struct nvme_pdu_rules {
    bool to_host;            /* PDUs of the controller (C2H); else of the host */
    bool before_ic;          /* only ICReq or ICResp (and TermReq) may come */
    bool hdgst, ddgst;       /* by ICReq/ICResp; none of both before */
    uint8_t pda;             /* HPDA or CPDA as stored: PDO is a multiple of (pda + 1) * 4 */
    uint32_t max_data_bytes; /* of one PDU; more is NVME_FES_LIMIT */
};

struct nvme_pdu_layout {
    uint32_t plen;
    uint32_t head_bytes;  /* header and its digest */
    uint32_t data_offset; /* PDO; plen when there is no data */
    uint32_t data_bytes;
    uint32_t ddgst_bytes; /* 0 or 4, after the data */
};

/* The fatal error a PDU earns; fes NVME_FES_NONE: none. */
struct nvme_pdu_fault {
    uint16_t fes; /* enum nvme_fes */
    uint32_t fei;
};

/* Check the common header. True: layout is filled. False: fault is. */
bool nvme_pdu_check(const struct nvme_pdu_rules *rules, const struct nvme_pdu_hdr *hdr,
                    struct nvme_pdu_layout *ret_layout, struct nvme_pdu_fault *ret_fault);

/* The digest after a complete header (layout.head_bytes at head) is right, or none was agreed.
 * ret_fault as above. */
bool nvme_pdu_head_ok(const void *head, const struct nvme_pdu_layout *layout,
                      struct nvme_pdu_fault *ret_fault);

/* Header length of a type; 0: there is no such type. */
uint8_t nvme_pdu_hlen(uint8_t type);

/* Longest head that nvme_pdu_seal makes: header, digest, padding. */
#define NVME_PDU_HEAD_MAX 152u

/* Finish a header in head[NVME_PDU_HEAD_MAX]: common header for n_data bytes of data, header digest
 * and zeroed padding. rules are those of the direction it goes. flags: NVME_PDU_LAST, _SUCCESS.
 * Returns the number of bytes before the data. */
uint32_t nvme_pdu_seal(const struct nvme_pdu_rules *rules, void *head, uint8_t type, uint8_t flags,
                       uint32_t n_data);

/* Data digest, also piecewise: start with NVME_DIGEST_START, add, end. */
#define NVME_DIGEST_START 0xFFFFFFFFu
uint32_t nvme_digest_add(uint32_t state, const void *data, size_t n_bytes);
static inline struct le32 nvme_digest_end(uint32_t state)
{
    return ash_le32(~state);
}

/* A NQN as nvme-tcp.md's head wants it; n_field: bytes of the field, the NUL must be inside. */
bool nvme_nqn_ok(const char *nqn, size_t n_field);

#endif
