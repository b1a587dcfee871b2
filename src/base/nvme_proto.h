/* SPDX-License-Identifier: Apache-2.0 */
/* NVMe over TCP on the wire: PDUs, submission and completion entries, fabrics commands, opcodes and
 * status codes. What commands carry as data is in nvme_data.h. Target (export/nvmf) and initiator
 * (bdev/mod) both build from here. All integers are little-endian byte arrays (base/endian.h), so
 * an unconverted read does not compile and no struct needs an attribute.
 *
 * A TCP connection is one queue pair. Every message is a PDU:
 *
 *   common header (8) | rest of the header, HLEN in all | header digest | pad | data | data digest
 *   0                                                   HLEN             PDO             PLEN
 *
 * Source: docs/spec/nvme-tcp.md; section numbers below are of that text. */
#ifndef ASH_BASE_NVME_PROTO_H
#define ASH_BASE_NVME_PROTO_H

#include "base/endian.h"

#define NVME_PORT_IO        4420u
#define NVME_PORT_DISCOVERY 8009u
#define NVME_NQN_MIN        11u
#define NVME_NQN_MAX        223u /* without the NUL */
#define NVME_NQN_FIELD      256u
#define NVME_DISCOVERY_NQN  "nqn.2014-08.org.nvmexpress.discovery"
#define NVME_UUID_NQN       "nqn.2014-08.org.nvmexpress:uuid:" /* 36 characters follow */

#define NVME_NSID_ALL       0xFFFFFFFFu
#define NVME_CNTLID_DYNAMIC 0xFFFFu /* in Connect: any controller, please */
#define NVME_CNTLID_STATIC  0xFFFEu /* in Connect, static model: any of the free ones */
#define NVME_CNTLID_MIN     1u
#define NVME_CNTLID_MAX     0xFFEFu
#define NVME_SQHD_DISABLED  0xFFFFu /* CQE without flow control (3) */
#define NVME_ADMIN_DATA_MAX                                                                        \
    8192u /* in-capsule data that admin and fabrics commands may have (1.1) */
#define NVME_FABRICS_DATA_MAX NVME_ADMIN_DATA_MAX
#define NVME_PAGE_BYTES       4096u /* CC.MPS 0; unit of MDTS */

/* ------------------------------------------------------------------ PDUs (1) */

enum nvme_pdu_type {
    NVME_PDU_IC_REQ = 0x00,
    NVME_PDU_IC_RESP = 0x01,
    NVME_PDU_H2C_TERM_REQ = 0x02,
    NVME_PDU_C2H_TERM_REQ = 0x03,
    NVME_PDU_CAPSULE_CMD = 0x04,
    NVME_PDU_CAPSULE_RESP = 0x05,
    NVME_PDU_H2C_DATA = 0x06,
    NVME_PDU_C2H_DATA = 0x07,
    NVME_PDU_R2T = 0x09,
};

enum {
    NVME_PDU_HDGST = 1u << 0,
    NVME_PDU_DDGST = 1u << 1,
    NVME_PDU_LAST = 1u << 2,
    NVME_PDU_SUCCESS = 1u << 3, /* C2HData: no CapsuleResp follows */
};

enum { NVME_DGST_HEADER = 1u << 0, NVME_DGST_DATA = 1u << 1 }; /* ICReq, ICResp */

#define NVME_DIGEST_BYTES   4u
#define NVME_PDA_MAX        31u  /* HPDA, CPDA: PDO is a multiple of (value + 1) * 4 */
#define NVME_PDO_MAX        128u /* (NVME_PDA_MAX + 1) * 4 */
#define NVME_TERM_DATA_MAX  128u
#define NVME_MAXH2CDATA_MIN 4096u

struct nvme_pdu_hdr {
    uint8_t type;  /* enum nvme_pdu_type */
    uint8_t flags; /* NVME_PDU_ */
    uint8_t hlen;  /* without digest */
    uint8_t pdo;   /* where data starts; 0: no data */
    struct le32 plen;
};

struct nvme_ic_req {
    struct nvme_pdu_hdr hdr;
    struct le16 pfv; /* 0 */
    uint8_t hpda;
    uint8_t dgst;       /* NVME_DGST_ */
    struct le32 maxr2t; /* 0's based: R2Ts at a time for one command */
    uint8_t reserved[112];
};

struct nvme_ic_resp {
    struct nvme_pdu_hdr hdr;
    struct le16 pfv;
    uint8_t cpda;
    uint8_t dgst;
    struct le32 maxh2cdata; /* bytes of one H2CData */
    uint8_t reserved[112];
};

/* fatal error status (1.2) */
enum nvme_fes {
    NVME_FES_NONE = 0,
    NVME_FES_HEADER_FIELD = 1, /* FEI: byte offset of the field */
    NVME_FES_SEQUENCE = 2,
    NVME_FES_HEADER_DIGEST = 3, /* FEI: the digest received */
    NVME_FES_DATA_RANGE = 4,
    NVME_FES_LIMIT = 5,
    NVME_FES_UNSUPPORTED = 6, /* FEI: byte offset of the parameter */
};

struct nvme_term_req {
    struct nvme_pdu_hdr hdr;
    struct le16 fes;
    struct le32 fei;
    uint8_t reserved[10];
    /* the header of the offending PDU follows, 1 .. NVME_TERM_DATA_MAX bytes */
};

struct nvme_data_pdu { /* H2CData, C2HData */
    struct nvme_pdu_hdr hdr;
    struct le16 cccid; /* command id */
    struct le16 ttag;  /* H2CData: of the R2T; C2HData: reserved */
    struct le32 datao, datal;
    uint8_t reserved[4];
};

struct nvme_r2t {
    struct nvme_pdu_hdr hdr;
    struct le16 cccid;
    struct le16 ttag;
    struct le32 r2to, r2tl;
    uint8_t reserved[4];
};

/* ---------------------------------------------- submission entries (1.1, 2, 4, 5) */

/* SQE byte 1 */
enum {
    NVME_FUSE_MASK = 3u,
    NVME_FUSE_FIRST = 1u,
    NVME_FUSE_SECOND = 2u,
    NVME_PSDT_MASK = 0xC0u,
    NVME_PSDT_SGL = 0x40u,
};

/* SGL descriptor type and subtype */
enum {
    NVME_SGL_BLOCK_ADDRESS = 0x00, /* used with length 0 only: no data */
    NVME_SGL_BLOCK_OFFSET = 0x01,  /* data in the capsule, address = offset there (0) */
    NVME_SGL_TRANSPORT = 0x5A,     /* data by PDUs */
};

struct nvme_sgl {
    struct le64 address;
    struct le32 length;
    uint8_t reserved[3];
    uint8_t type;
};

struct nvme_sqe {
    uint8_t opcode;
    uint8_t flags; /* NVME_FUSE_, NVME_PSDT_ */
    struct le16 cid;
    struct le32 nsid;
    uint8_t reserved[8];
    struct le64 mptr;
    struct nvme_sgl sgl;
    union {
        struct le32 cdw[6]; /* CDW10 .. CDW15 */
        struct {
            struct le32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
        };
        struct {
            struct le64 slba;
            struct le32 rw_cdw12;
        };
    };
};

/* Connect (2) */
enum {
    NVME_CATTR_PRIORITY = 3u,
    NVME_CATTR_NO_SQ_FLOW = 1u << 2,
    NVME_CATTR_IOQ_DELETE = 1u << 3,
};

struct nvme_connect_sqe {
    uint8_t opcode; /* NVME_OP_FABRICS */
    uint8_t flags;
    struct le16 cid;
    uint8_t fctype;
    uint8_t reserved5[19];
    struct nvme_sgl sgl;
    struct le16 recfmt; /* 0 */
    struct le16 qid;
    struct le16 sqsize; /* 0's based */
    uint8_t cattr;
    uint8_t reserved47;
    struct le32 kato_ms;
    uint8_t reserved52[12];
};

struct nvme_connect_data {
    uint8_t hostid[16];
    struct le16 cntlid;
    uint8_t reserved18[238];
    char subnqn[NVME_NQN_FIELD];
    char hostnqn[NVME_NQN_FIELD];
    uint8_t reserved768[256];
};

struct nvme_prop_sqe {
    uint8_t opcode;
    uint8_t flags;
    struct le16 cid;
    uint8_t fctype;
    uint8_t reserved5[35];
    uint8_t attrib; /* bits 2:0: 0 four bytes, 1 eight */
    uint8_t reserved41[3];
    struct le32 ofst;
    struct le64 value; /* Property Set */
    uint8_t reserved56[8];
};

/* Authentication Send and Receive (9) */
struct nvme_auth_sqe {
    uint8_t opcode;
    uint8_t flags;
    struct le16 cid;
    uint8_t fctype;
    uint8_t reserved5[19];
    struct nvme_sgl sgl;
    uint8_t reserved40;
    uint8_t spsp0, spsp1;
    uint8_t secp;
    struct le32 length; /* TL or AL */
    uint8_t reserved48[16];
};

#define NVME_SECP_AUTH 0xE9u

struct nvme_disconnect_sqe {
    uint8_t opcode;
    uint8_t flags;
    struct le16 cid;
    uint8_t fctype;
    uint8_t reserved5[35];
    struct le16 recfmt; /* 0 */
    uint8_t reserved42[22];
};

struct nvme_cqe {
    struct le32 dw0, dw1;
    struct le16 sqhd, sqid;
    struct le16 cid;
    struct le16 status; /* phase (0) bit 0, SC 8:1, SCT 11:9, CRD 13:12, more 14, DNR 15 */
};

/* Connect's reply in DW0: CNTLID 15:0, AUTHREQ 31:16 */
enum { NVME_AUTHREQ_ATR = 1u << 1, NVME_AUTHREQ_ASCR = 1u << 2 };
/* DW0 of NVME_SC_CONNECT_PARAM: offset of the field 15:0, this bit: it is in the data */
#define NVME_CONNECT_IATTR_DATA (1u << 16)

struct nvme_capsule_cmd {
    struct nvme_pdu_hdr hdr;
    union {
        struct nvme_sqe sqe;
        struct nvme_connect_sqe connect;
        struct nvme_prop_sqe prop;
        struct nvme_auth_sqe auth;
        struct nvme_disconnect_sqe disconnect;
    };
};

struct nvme_capsule_resp {
    struct nvme_pdu_hdr hdr;
    struct nvme_cqe cqe;
};

/* ----------------------------------------------------------- opcodes (2, 4, 5) */

enum nvme_fctype {
    NVME_FC_PROPERTY_SET = 0x00,
    NVME_FC_CONNECT = 0x01,
    NVME_FC_PROPERTY_GET = 0x04,
    NVME_FC_AUTH_SEND = 0x05,
    NVME_FC_AUTH_RECV = 0x06,
    NVME_FC_DISCONNECT = 0x08,
};

enum { NVME_OP_FABRICS = 0x7F };

enum nvme_admin_op {
    NVME_ADM_GET_LOG_PAGE = 0x02,
    NVME_ADM_IDENTIFY = 0x06,
    NVME_ADM_ABORT = 0x08,
    NVME_ADM_SET_FEATURES = 0x09,
    NVME_ADM_GET_FEATURES = 0x0A,
    NVME_ADM_AER = 0x0C,
    NVME_ADM_KEEP_ALIVE = 0x18,
};

enum nvme_io_op {
    NVME_IO_FLUSH = 0x00,
    NVME_IO_WRITE = 0x01,
    NVME_IO_READ = 0x02,
    NVME_IO_COMPARE = 0x05,
    NVME_IO_WRITE_ZEROES = 0x08,
    NVME_IO_DSM = 0x09,
    NVME_IO_VERIFY = 0x0C,
    NVME_IO_RESV_REGISTER = 0x0D,
    NVME_IO_RESV_REPORT = 0x0E,
    NVME_IO_RESV_ACQUIRE = 0x11,
    NVME_IO_RESV_RELEASE = 0x15,
    NVME_IO_COPY = 0x19,
};

/* CDW12 of Read, Write, Compare, Write Zeroes, Verify */
enum {
    NVME_RW_NLB_MASK = 0xFFFFu, /* 0's based */
    NVME_RW_DEAC = 1u << 25,    /* Write Zeroes: may deallocate */
    NVME_RW_FUA = 1u << 30,
    NVME_RW_LR = 1u << 31,
};
enum { NVME_DSM_AD = 1u << 2 }; /* CDW11: deallocate */

/* --------------------------------------------------------------- status (5) */

/* SCT << 8 | SC. In a CQE: status field = this << 1, plus NVME_STATUS_DNR. */
enum nvme_status {
    NVME_SC_SUCCESS = 0x000,
    NVME_SC_INVALID_OPCODE = 0x001,
    NVME_SC_INVALID_FIELD = 0x002,
    NVME_SC_CID_CONFLICT = 0x003,
    NVME_SC_DATA_TRANSFER = 0x004,
    NVME_SC_INTERNAL = 0x006,
    NVME_SC_ABORT_REQUESTED = 0x007,
    NVME_SC_SQ_DELETED = 0x008,
    NVME_SC_FUSED_FAILED = 0x009,
    NVME_SC_FUSED_MISSING = 0x00A,
    NVME_SC_INVALID_NS = 0x00B,
    NVME_SC_SEQUENCE = 0x00C,
    NVME_SC_SGL_LENGTH = 0x00F,
    NVME_SC_SGL_TYPE = 0x011,
    NVME_SC_HOSTID_FORMAT = 0x018,
    NVME_SC_KATO_EXPIRED = 0x019,
    NVME_SC_KATO_INVALID = 0x01A,
    NVME_SC_ABORTED_PREEMPT = 0x01B,
    NVME_SC_WRITE_PROTECTED = 0x020,
    NVME_SC_INTERRUPTED = 0x021,
    NVME_SC_TRANSIENT_TRANSPORT = 0x022,
    NVME_SC_LBA_RANGE = 0x080,
    NVME_SC_CAPACITY = 0x081,
    NVME_SC_NOT_READY = 0x082,
    NVME_SC_RESV_CONFLICT = 0x083,

    NVME_SC_QUEUE_ID = 0x101,
    NVME_SC_AER_LIMIT = 0x105,
    NVME_SC_LOG_PAGE = 0x109,
    NVME_SC_FEATURE_NOT_SAVEABLE = 0x10D,
    NVME_SC_FEATURE_NOT_CHANGEABLE = 0x10E,
    NVME_SC_FEATURE_NOT_NS = 0x10F,
    NVME_SC_CONNECT_FORMAT = 0x180,
    NVME_SC_CONNECT_BUSY = 0x181,
    NVME_SC_CONNECT_PARAM = 0x182,
    NVME_SC_CONNECT_RESTART_DISCOVERY = 0x183,
    NVME_SC_CONNECT_HOST = 0x184,
    NVME_SC_SIZE_LIMIT = 0x183, /* DSM, Copy */
    NVME_SC_AUTH_REQUIRED = 0x191,

    NVME_SC_WRITE_FAULT = 0x280,
    NVME_SC_READ_ERROR = 0x281,
    NVME_SC_COMPARE = 0x285,
    NVME_SC_ACCESS_DENIED = 0x286,

    NVME_SC_PATH_INTERNAL = 0x300,
    NVME_SC_ANA_LOSS = 0x301,
    NVME_SC_ANA_INACCESSIBLE = 0x302,
    NVME_SC_ANA_TRANSITION = 0x303,
    NVME_SC_PATH_CONTROLLER = 0x360,
    NVME_SC_PATH_HOST = 0x370,
    NVME_SC_PATH_ABORTED = 0x371,
};

#define NVME_STATUS_DNR  0x8000u /* as in the CQE: do not retry */
#define NVME_STATUS_MORE 0x4000u

static inline uint16_t nvme_status_sc(uint16_t cqe_status) /* enum nvme_status */
{
    return cqe_status >> 1 & 0x7FF;
}

/* ------------------------------------------------------------- properties (2) */

enum {
    NVME_PROP_CAP = 0x00, /* 8 bytes */
    NVME_PROP_VS = 0x08,
    NVME_PROP_CC = 0x14,
    NVME_PROP_CSTS = 0x1C,
    NVME_PROP_NSSR = 0x20,
    NVME_PROP_AQA = 0x24,
    NVME_PROP_ASQ = 0x28, /* 8 bytes */
    NVME_PROP_ACQ = 0x30, /* 8 bytes */
    NVME_PROP_CRTO = 0x68,
};

#define NVME_VS_1_3 0x00010300u
#define NVME_VS_1_4 0x00010400u
#define NVME_VS_2_0 0x00020000u

/* CAP */
#define NVME_CAP_MQES(cap)   ((uint32_t)((cap)&0xFFFF)) /* 0's based */
#define NVME_CAP_CQR         (1ull << 16)
#define NVME_CAP_TO_SHIFT    24 /* 8 bits, 500 ms */
#define NVME_CAP_TO(cap)     ((uint32_t)((cap) >> 24 & 0xFF))
#define NVME_CAP_CSS_NVM     (1ull << 37)
#define NVME_CAP_MPSMIN(cap) ((uint32_t)((cap) >> 48 & 0xF))
#define NVME_CAP_CRWMS       (1ull << 59)

/* CC */
#define NVME_CC_EN           (1u << 0)
#define NVME_CC_CSS(cc)      ((cc) >> 4 & 7)
#define NVME_CC_MPS(cc)      ((cc) >> 7 & 15)
#define NVME_CC_AMS(cc)      ((cc) >> 11 & 7)
#define NVME_CC_SHN(cc)      ((cc) >> 14 & 3)
#define NVME_CC_SHN_NORMAL   (1u << 14)
#define NVME_CC_SHN_ABRUPT   (2u << 14)
#define NVME_CC_IOSQES(cc)   ((cc) >> 16 & 15)
#define NVME_CC_IOCQES(cc)   ((cc) >> 20 & 15)
#define NVME_CC_IOSQES_SHIFT 16
#define NVME_CC_IOCQES_SHIFT 20
#define NVME_CC_CRIME        (1u << 24)

#define NVME_CSTS_RDY         (1u << 0)
#define NVME_CSTS_CFS         (1u << 1)
#define NVME_CSTS_SHST(csts)  ((csts) >> 2 & 3)
#define NVME_CSTS_SHST_MASK   (3u << 2)
#define NVME_CSTS_SHST_ACTIVE (1u << 2)
#define NVME_CSTS_SHST_DONE   (2u << 2)

#define NVME_SQES_LOG2 6u
#define NVME_CQES_LOG2 4u

/* ------------------------------------------------------------------- asserts */

#define NVME_AT(type, member, at) _Static_assert(offsetof(struct type, member) == (at), #member)
#define NVME_SIZE(type, n_bytes)  _Static_assert(sizeof(struct type) == (n_bytes), #type)

NVME_SIZE(nvme_pdu_hdr, 8);
NVME_AT(nvme_pdu_hdr, hlen, 2);
NVME_AT(nvme_pdu_hdr, pdo, 3);
NVME_AT(nvme_pdu_hdr, plen, 4);
NVME_SIZE(nvme_ic_req, 128);
NVME_AT(nvme_ic_req, pfv, 8);
NVME_AT(nvme_ic_req, hpda, 10);
NVME_AT(nvme_ic_req, dgst, 11);
NVME_AT(nvme_ic_req, maxr2t, 12);
NVME_SIZE(nvme_ic_resp, 128);
NVME_AT(nvme_ic_resp, cpda, 10);
NVME_AT(nvme_ic_resp, maxh2cdata, 12);
NVME_SIZE(nvme_term_req, 24);
NVME_AT(nvme_term_req, fes, 8);
NVME_AT(nvme_term_req, fei, 10);
NVME_SIZE(nvme_data_pdu, 24);
NVME_AT(nvme_data_pdu, cccid, 8);
NVME_AT(nvme_data_pdu, ttag, 10);
NVME_AT(nvme_data_pdu, datao, 12);
NVME_AT(nvme_data_pdu, datal, 16);
NVME_SIZE(nvme_r2t, 24);
NVME_AT(nvme_r2t, ttag, 10);
NVME_AT(nvme_r2t, r2to, 12);
NVME_AT(nvme_r2t, r2tl, 16);
NVME_SIZE(nvme_sgl, 16);
NVME_AT(nvme_sgl, length, 8);
NVME_AT(nvme_sgl, type, 15);
NVME_SIZE(nvme_sqe, 64);
NVME_AT(nvme_sqe, cid, 2);
NVME_AT(nvme_sqe, nsid, 4);
NVME_AT(nvme_sqe, sgl, 24);
NVME_AT(nvme_sqe, cdw10, 40);
NVME_AT(nvme_sqe, cdw15, 60);
NVME_AT(nvme_sqe, slba, 40);
NVME_AT(nvme_sqe, rw_cdw12, 48);
NVME_SIZE(nvme_connect_sqe, 64);
NVME_AT(nvme_connect_sqe, fctype, 4);
NVME_AT(nvme_connect_sqe, sgl, 24);
NVME_AT(nvme_connect_sqe, recfmt, 40);
NVME_AT(nvme_connect_sqe, qid, 42);
NVME_AT(nvme_connect_sqe, sqsize, 44);
NVME_AT(nvme_connect_sqe, cattr, 46);
NVME_AT(nvme_connect_sqe, kato_ms, 48);
NVME_SIZE(nvme_connect_data, 1024);
NVME_AT(nvme_connect_data, cntlid, 16);
NVME_AT(nvme_connect_data, subnqn, 256);
NVME_AT(nvme_connect_data, hostnqn, 512);
NVME_SIZE(nvme_prop_sqe, 64);
NVME_AT(nvme_prop_sqe, attrib, 40);
NVME_AT(nvme_prop_sqe, ofst, 44);
NVME_AT(nvme_prop_sqe, value, 48);
NVME_SIZE(nvme_auth_sqe, 64);
NVME_AT(nvme_auth_sqe, secp, 43);
NVME_AT(nvme_auth_sqe, length, 44);
NVME_SIZE(nvme_disconnect_sqe, 64);
NVME_AT(nvme_disconnect_sqe, recfmt, 40);
NVME_SIZE(nvme_cqe, 16);
NVME_AT(nvme_cqe, sqhd, 8);
NVME_AT(nvme_cqe, cid, 12);
NVME_AT(nvme_cqe, status, 14);
NVME_SIZE(nvme_capsule_cmd, 72);
NVME_AT(nvme_capsule_cmd, sqe, 8);
NVME_SIZE(nvme_capsule_resp, 24);
NVME_AT(nvme_capsule_resp, cqe, 8);

#endif
