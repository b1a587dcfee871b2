/* SPDX-License-Identifier: Apache-2.0 */
/* What NVMe commands carry as data: identify structures, log pages, feature values, DSM ranges,
 * reservations. Only fields that one side or the other uses have names.
 * Source: docs/spec/nvme-tcp.md sections 4 to 8; section numbers below are of that text. */
#ifndef ASH_BASE_NVME_DATA_H
#define ASH_BASE_NVME_DATA_H

#include "base/nvme_proto.h"

#define NVME_IDENTIFY_BYTES 4096u

/* ------------------------------------------------------------- identify (4.1) */

enum nvme_cns {
    NVME_CNS_NS = 0x00,
    NVME_CNS_CTRLR = 0x01,
    NVME_CNS_NS_LIST = 0x02,
    NVME_CNS_NS_DESC = 0x03,
    NVME_CNS_CSI_NS = 0x05,
    NVME_CNS_CSI_CTRLR = 0x06,
    NVME_CNS_CSI_NS_LIST = 0x07,
    NVME_CNS_NS_INDEPENDENT = 0x08,
    NVME_CNS_CSI_VECTOR = 0x1C,
};

#define NVME_CSI_NVM     0u
#define NVME_NS_LIST_MAX 1024u

struct le128 {
    struct le64 low, high;
};

enum { NVME_FCATT_STATIC = 1u << 0 };
enum { NVME_CMIC_PORTS = 1u << 0, NVME_CMIC_CTRLRS = 1u << 1, NVME_CMIC_ANA = 1u << 3 };
enum { NVME_OAES_NS = 1u << 8, NVME_OAES_ANA = 1u << 11, NVME_OAES_DISCOVERY = 1u << 31 };
enum { NVME_CTRATT_HOSTID128 = 1u << 0, NVME_CTRATT_TBKAS = 1u << 6 };
enum { NVME_CNTRLTYPE_IO = 1, NVME_CNTRLTYPE_DISCOVERY = 2 };
enum { NVME_LPA_SMART_NS = 1u << 0, NVME_LPA_EFFECTS = 1u << 1, NVME_LPA_EXTENDED = 1u << 2 };
enum {
    NVME_ONCS_COMPARE = 1u << 0,
    NVME_ONCS_DSM = 1u << 2,
    NVME_ONCS_WRITE_ZEROES = 1u << 3,
    NVME_ONCS_SAVE_SELECT = 1u << 4,
    NVME_ONCS_RESERVATIONS = 1u << 5,
    NVME_ONCS_VERIFY = 1u << 7,
    NVME_ONCS_COPY = 1u << 8,
};
enum { NVME_FUSES_COMPARE_WRITE = 1u << 0 };
/* VWC bits 2:1 = 10: Flush with NSID 0xFFFFFFFF is refused, 11: means all */
enum { NVME_VWC_PRESENT = 1u << 0, NVME_VWC_NO_BROADCAST = 2u << 1, NVME_VWC_BROADCAST = 3u << 1 };
enum { NVME_SGLS_SUPPORTED = 1u << 0, NVME_SGLS_OFFSET = 1u << 20 };
enum { NVME_OFCS_DISCONNECT = 1u << 0 };
enum { NVME_ANACAP_ALL = 0x1F, NVME_ANACAP_STATIC_ID = 1u << 6 };

struct nvme_id_ctrlr {
    struct le16 vid, ssvid;
    char sn[20], mn[40], fr[8]; /* padded with spaces */
    uint8_t rab;
    uint8_t ieee[3];
    uint8_t cmic;
    uint8_t mdts; /* log2 of pages; 0: no limit */
    struct le16 cntlid;
    struct le32 ver;
    struct le32 rtd3r, rtd3e;
    struct le32 oaes;
    struct le32 ctratt;
    uint8_t reserved100[11];
    uint8_t cntrltype;
    uint8_t fguid[16];
    struct le16 crdt[3]; /* 100 ms */
    uint8_t reserved134[122];
    struct le16 oacs;
    uint8_t acl, aerl; /* 0's based */
    uint8_t frmw;
    uint8_t lpa;
    uint8_t elpe; /* 0's based */
    uint8_t npss;
    uint8_t avscc, apsta;
    struct le16 wctemp, cctemp; /* kelvin */
    struct le16 mtfa;
    struct le32 hmpre, hmmin;
    struct le128 tnvmcap, unvmcap; /* bytes */
    uint8_t reserved312[8];
    struct le16 kas; /* 100 ms */
    uint8_t reserved322[20];
    uint8_t anatt; /* s */
    uint8_t anacap;
    struct le32 anagrpmax, nanagrpid;
    uint8_t reserved352[160];
    uint8_t sqes, cqes;
    struct le16 maxcmd;
    struct le32 nn;
    struct le16 oncs;
    struct le16 fuses;
    uint8_t fna;
    uint8_t vwc;
    struct le16 awun, awupf; /* 0's based blocks */
    uint8_t icsvscc, nwpc;
    struct le16 acwu;
    struct le16 ocfs;
    struct le32 sgls;
    struct le32 mnan;
    uint8_t reserved544[224];
    char subnqn[NVME_NQN_FIELD];
    uint8_t reserved1024[768];
    struct le32 ioccsz, iorcsz; /* 16 bytes */
    struct le16 icdoff;
    uint8_t fcatt;
    uint8_t msdbd;
    struct le16 ofcs;
    uint8_t reserved1806[242];
    uint8_t psd[32][32];
    uint8_t vendor[1024];
};

enum { NVME_NSFEAT_THIN = 1u << 0, NVME_NSFEAT_ATOMICS = 1u << 1, NVME_NSFEAT_HINTS = 1u << 4 };
enum { NVME_NMIC_SHARED = 1u << 0 };
enum { NVME_RESCAP_PTPL = 1u << 0, NVME_RESCAP_TYPES = 0x7E, NVME_RESCAP_IEKEY = 1u << 7 };
enum { NVME_DLFEAT_READS_ZERO = 1u << 0, NVME_DLFEAT_WZ_DEAC = 1u << 3 };
enum { NVME_NSATTR_WRITE_PROTECTED = 1u << 0 };

struct nvme_lbaf {
    struct le16 ms;
    uint8_t lbads; /* log2 of the block size */
    uint8_t rp;
};

struct nvme_id_ns {
    struct le64 nsze, ncap, nuse; /* blocks */
    uint8_t nsfeat;
    uint8_t nlbaf, flbas;
    uint8_t mc, dpc, dps;
    uint8_t nmic;
    uint8_t rescap;
    uint8_t fpi;
    uint8_t dlfeat;
    struct le16 nawun, nawupf, nacwu; /* 0's based blocks */
    struct le16 nabsn, nabo, nabspf;
    struct le16 noiob;
    struct le128 nvmcap;
    struct le16 npwg, npwa, npdg, npda, nows; /* 0's based blocks */
    struct le16 mssrl;
    struct le32 mcl;
    uint8_t msrc;
    uint8_t reserved81[11];
    struct le32 anagrpid;
    uint8_t reserved96[3];
    uint8_t nsattr;
    struct le16 nvmsetid, endgid;
    uint8_t nguid[16];
    uint8_t eui64[8];
    struct nvme_lbaf lbaf[64];
    uint8_t vendor[3712];
};

enum { NVME_NIDT_EUI64 = 1, NVME_NIDT_NGUID = 2, NVME_NIDT_UUID = 3, NVME_NIDT_CSI = 4 };

struct nvme_ns_desc { /* the identifier follows */
    uint8_t type, length;
    uint8_t reserved[2];
};

struct nvme_id_ctrlr_nvm {   /* CNS 06, CSI 0 */
    uint8_t vsl, wzsl, wusl; /* log2 of pages; 0: no limit */
    uint8_t dmrl;            /* ranges of one DSM; 0: no limit */
    struct le32 dmrsl;       /* blocks of one range */
    struct le64 dmsl;        /* blocks of one command */
    uint8_t reserved16[4080];
};

struct nvme_id_ns_independent { /* CNS 08 */
    uint8_t nsfeat, nmic, rescap, fpi;
    struct le32 anagrpid;
    uint8_t nsattr;
    uint8_t reserved9;
    struct le16 nvmsetid, endgid;
    uint8_t nstat; /* bit 0: ready */
    uint8_t reserved15[4081];
};

/* ------------------------------------------------------------ log pages (4.2) */

enum nvme_lid {
    NVME_LOG_SUPPORTED = 0x00,
    NVME_LOG_ERROR = 0x01,
    NVME_LOG_SMART = 0x02,
    NVME_LOG_FIRMWARE = 0x03,
    NVME_LOG_CHANGED_NS = 0x04,
    NVME_LOG_EFFECTS = 0x05,
    NVME_LOG_ANA = 0x0C,
    NVME_LOG_DISCOVERY = 0x70,
    NVME_LOG_RESERVATION = 0x80,
};

#define NVME_LOG_RAE     (1u << 15) /* CDW10: the event stays masked */
#define NVME_ANA_LSP_RGO (1u << 8)  /* CDW10, LSP bit 0: groups only */

struct nvme_log_error_entry {
    struct le64 count;
    struct le16 sqid, cid, status, location;
    struct le64 lba;
    struct le32 nsid;
    uint8_t vendor, trtype;
    uint8_t reserved30[2];
    struct le64 command_specific;
    struct le16 trtype_specific;
    uint8_t reserved42[22];
};

enum { NVME_SMART_SPARE_LOW = 1u << 0, NVME_SMART_READ_ONLY = 1u << 3 };

struct nvme_log_smart {
    uint8_t critical_warning;
    struct le16 temperature_kelvin;
    uint8_t spare_percent, spare_threshold_percent, used_percent;
    uint8_t reserved6[26];
    struct le128 units_read, units_written; /* 1000 * 512 bytes, rounded up */
    struct le128 host_reads, host_writes;
    struct le128 busy_minutes, power_cycles, power_on_hours, unsafe_shutdowns, media_errors,
        error_entries;
    uint8_t reserved192[320];
};

struct nvme_log_firmware {
    uint8_t afi;
    uint8_t reserved1[7];
    char slot[7][8];
    uint8_t reserved64[448];
};

enum { NVME_EFFECT_CSUPP = 1u << 0, NVME_EFFECT_LBCC = 1u << 1 };

struct nvme_log_effects {
    struct le32 admin[256], io[256];
    uint8_t reserved2048[2048];
};

enum nvme_ana_state {
    NVME_ANA_OPTIMIZED = 1,
    NVME_ANA_NON_OPTIMIZED = 2,
    NVME_ANA_INACCESSIBLE = 3,
    NVME_ANA_PERSISTENT_LOSS = 4,
    NVME_ANA_CHANGE = 15,
};

struct nvme_log_ana {
    struct le64 change_count;
    struct le16 n_groups;
    uint8_t reserved10[6];
};

struct nvme_log_ana_group { /* n_nsids of struct le32 follow */
    struct le32 group_id, n_nsids;
    struct le64 change_count;
    uint8_t state;
    uint8_t reserved17[15];
};

struct nvme_log_reservation {
    struct le64 count;
    uint8_t type; /* enum nvme_resv_notice */
    uint8_t n_more;
    uint8_t reserved10[2];
    struct le32 nsid;
    uint8_t reserved16[48];
};

/* ------------------------------------------------------------- discovery (6) */

enum { NVME_TRTYPE_RDMA = 1, NVME_TRTYPE_FC = 2, NVME_TRTYPE_TCP = 3 };
enum { NVME_ADRFAM_IPV4 = 1, NVME_ADRFAM_IPV6 = 2 };
enum { NVME_SUBTYPE_REFERRAL = 1, NVME_SUBTYPE_NVM = 2, NVME_SUBTYPE_DISCOVERY = 3 };
enum { NVME_TREQ_NOT_SPECIFIED = 0, NVME_TREQ_REQUIRED = 1, NVME_TREQ_NOT_REQUIRED = 2 };
enum { NVME_SECTYPE_TLS13 = 2 };
enum { NVME_DISC_EFLAG_DUPLICATE = 1u << 0, NVME_DISC_EFLAG_PERSISTENT = 1u << 1 };

struct nvme_disc_header {
    struct le64 genctr, numrec;
    struct le16 recfmt;
    uint8_t reserved18[1006];
};

struct nvme_disc_entry {
    uint8_t trtype, adrfam, subtype, treq;
    struct le16 portid, cntlid, asqsz, eflags;
    uint8_t reserved12[20];
    char trsvcid[32]; /* these padded with spaces, but readers take NULs too */
    uint8_t reserved64[192];
    char subnqn[NVME_NQN_FIELD]; /* NUL-terminated */
    char traddr[256];
    uint8_t sectype;
    uint8_t tsas[255];
};

/* ------------------------------------------------------ features, events (4.3, 4.4) */

enum nvme_feature {
    NVME_FEAT_ARBITRATION = 0x01,
    NVME_FEAT_POWER = 0x02,
    NVME_FEAT_TEMPERATURE = 0x04,
    NVME_FEAT_ERROR_RECOVERY = 0x05,
    NVME_FEAT_WRITE_CACHE = 0x06,
    NVME_FEAT_N_QUEUES = 0x07,
    NVME_FEAT_IRQ_COALESCING = 0x08,
    NVME_FEAT_IRQ_VECTOR = 0x09,
    NVME_FEAT_WRITE_ATOMICITY = 0x0A,
    NVME_FEAT_AER_CONFIG = 0x0B,
    NVME_FEAT_KEEP_ALIVE = 0x0F,
    NVME_FEAT_HOST_BEHAVIOR = 0x16,
    NVME_FEAT_HOST_ID = 0x81,
    NVME_FEAT_RESV_MASK = 0x82,
    NVME_FEAT_RESV_PERSISTENCE = 0x83,
};

#define NVME_FEAT_SAVE         (1u << 31) /* Set Features CDW10 */
#define NVME_FEAT_SELECT(dw10) ((dw10) >> 8 & 7)
#define NVME_HOSTID_EXTENDED   1u /* CDW11 of feature 81: 16 bytes */

/* AER's DW0: type 2:0, info 15:8, log page 23:16 */
enum { NVME_AEN_ERROR = 0, NVME_AEN_SMART = 1, NVME_AEN_NOTICE = 2, NVME_AEN_IO = 6 };
enum {
    NVME_AEN_INFO_NS = 0x00,
    NVME_AEN_INFO_ANA = 0x03,
    NVME_AEN_INFO_DISCOVERY = 0xF0,
};
#define NVME_AEN(type, info, lid) ((uint32_t)(type) | (uint32_t)(info) << 8 | (uint32_t)(lid) << 16)

/* ------------------------------------------------------------ I/O data (5, 7) */

#define NVME_DSM_RANGES_MAX 256u

struct nvme_dsm_range {
    struct le32 attributes, n_blocks;
    struct le64 slba;
};

enum nvme_resv_type {
    NVME_RESV_NONE = 0,
    NVME_RESV_WRITE_EXCLUSIVE = 1,
    NVME_RESV_EXCLUSIVE_ACCESS = 2,
    NVME_RESV_WE_REG_ONLY = 3,
    NVME_RESV_EA_REG_ONLY = 4,
    NVME_RESV_WE_ALL_REGS = 5,
    NVME_RESV_EA_ALL_REGS = 6,
};

enum { NVME_RREGA_REGISTER = 0, NVME_RREGA_UNREGISTER = 1, NVME_RREGA_REPLACE = 2 };
enum { NVME_RACQA_ACQUIRE = 0, NVME_RACQA_PREEMPT = 1, NVME_RACQA_PREEMPT_ABORT = 2 };
enum { NVME_RRELA_RELEASE = 0, NVME_RRELA_CLEAR = 1 };
#define NVME_RESV_IEKEY       (1u << 3) /* CDW10 of register, acquire, release */
#define NVME_RESV_CPTPL(dw10) ((dw10) >> 30)
enum { NVME_CPTPL_KEEP = 0, NVME_CPTPL_OFF = 2, NVME_CPTPL_ON = 3 };
#define NVME_RESV_EDS (1u << 0) /* CDW11 of report */

enum nvme_resv_notice {
    NVME_RESV_NOTICE_EMPTY = 0,
    NVME_RESV_NOTICE_REG_PREEMPTED = 1,
    NVME_RESV_NOTICE_RELEASED = 2,
    NVME_RESV_NOTICE_RESV_PREEMPTED = 3,
};

struct nvme_resv_register_data {
    struct le64 crkey, nrkey;
};
struct nvme_resv_acquire_data {
    struct le64 crkey, prkey;
};
struct nvme_resv_release_data {
    struct le64 crkey;
};

struct nvme_resv_status { /* entries follow */
    struct le32 gen;
    uint8_t rtype;
    struct le16 n_registrants;
    uint8_t reserved7[2];
    uint8_t ptpls;
    uint8_t reserved10[54];
};

struct nvme_resv_entry {
    struct le16 cntlid; /* 0xFFFF: not connected */
    uint8_t rcsts;      /* bit 0: holds the reservation */
    uint8_t reserved3[5];
    struct le64 rkey;
    uint8_t hostid[16];
    uint8_t reserved32[32];
};

/* ------------------------------------------------------------------- asserts */

NVME_SIZE(le128, 16);
NVME_SIZE(nvme_id_ctrlr, 4096);
NVME_AT(nvme_id_ctrlr, sn, 4);
NVME_AT(nvme_id_ctrlr, mn, 24);
NVME_AT(nvme_id_ctrlr, fr, 64);
NVME_AT(nvme_id_ctrlr, rab, 72);
NVME_AT(nvme_id_ctrlr, ieee, 73);
NVME_AT(nvme_id_ctrlr, cmic, 76);
NVME_AT(nvme_id_ctrlr, mdts, 77);
NVME_AT(nvme_id_ctrlr, cntlid, 78);
NVME_AT(nvme_id_ctrlr, ver, 80);
NVME_AT(nvme_id_ctrlr, rtd3e, 88);
NVME_AT(nvme_id_ctrlr, oaes, 92);
NVME_AT(nvme_id_ctrlr, ctratt, 96);
NVME_AT(nvme_id_ctrlr, cntrltype, 111);
NVME_AT(nvme_id_ctrlr, crdt, 128);
NVME_AT(nvme_id_ctrlr, oacs, 256);
NVME_AT(nvme_id_ctrlr, acl, 258);
NVME_AT(nvme_id_ctrlr, aerl, 259);
NVME_AT(nvme_id_ctrlr, frmw, 260);
NVME_AT(nvme_id_ctrlr, lpa, 261);
NVME_AT(nvme_id_ctrlr, elpe, 262);
NVME_AT(nvme_id_ctrlr, wctemp, 266);
NVME_AT(nvme_id_ctrlr, cctemp, 268);
NVME_AT(nvme_id_ctrlr, tnvmcap, 280);
NVME_AT(nvme_id_ctrlr, unvmcap, 296);
NVME_AT(nvme_id_ctrlr, kas, 320);
NVME_AT(nvme_id_ctrlr, anatt, 342);
NVME_AT(nvme_id_ctrlr, anacap, 343);
NVME_AT(nvme_id_ctrlr, anagrpmax, 344);
NVME_AT(nvme_id_ctrlr, nanagrpid, 348);
NVME_AT(nvme_id_ctrlr, sqes, 512);
NVME_AT(nvme_id_ctrlr, cqes, 513);
NVME_AT(nvme_id_ctrlr, maxcmd, 514);
NVME_AT(nvme_id_ctrlr, nn, 516);
NVME_AT(nvme_id_ctrlr, oncs, 520);
NVME_AT(nvme_id_ctrlr, fuses, 522);
NVME_AT(nvme_id_ctrlr, vwc, 525);
NVME_AT(nvme_id_ctrlr, awun, 526);
NVME_AT(nvme_id_ctrlr, awupf, 528);
NVME_AT(nvme_id_ctrlr, acwu, 532);
NVME_AT(nvme_id_ctrlr, ocfs, 534);
NVME_AT(nvme_id_ctrlr, sgls, 536);
NVME_AT(nvme_id_ctrlr, mnan, 540);
NVME_AT(nvme_id_ctrlr, subnqn, 768);
NVME_AT(nvme_id_ctrlr, ioccsz, 1792);
NVME_AT(nvme_id_ctrlr, iorcsz, 1796);
NVME_AT(nvme_id_ctrlr, icdoff, 1800);
NVME_AT(nvme_id_ctrlr, fcatt, 1802);
NVME_AT(nvme_id_ctrlr, msdbd, 1803);
NVME_AT(nvme_id_ctrlr, ofcs, 1804);
NVME_AT(nvme_id_ctrlr, psd, 2048);
NVME_SIZE(nvme_id_ns, 4096);
NVME_AT(nvme_id_ns, nuse, 16);
NVME_AT(nvme_id_ns, nsfeat, 24);
NVME_AT(nvme_id_ns, nlbaf, 25);
NVME_AT(nvme_id_ns, flbas, 26);
NVME_AT(nvme_id_ns, dps, 29);
NVME_AT(nvme_id_ns, nmic, 30);
NVME_AT(nvme_id_ns, rescap, 31);
NVME_AT(nvme_id_ns, dlfeat, 33);
NVME_AT(nvme_id_ns, nawun, 34);
NVME_AT(nvme_id_ns, nawupf, 36);
NVME_AT(nvme_id_ns, nacwu, 38);
NVME_AT(nvme_id_ns, noiob, 46);
NVME_AT(nvme_id_ns, npwg, 64);
NVME_AT(nvme_id_ns, npwa, 66);
NVME_AT(nvme_id_ns, npdg, 68);
NVME_AT(nvme_id_ns, npda, 70);
NVME_AT(nvme_id_ns, nows, 72);
NVME_AT(nvme_id_ns, mssrl, 74);
NVME_AT(nvme_id_ns, mcl, 76);
NVME_AT(nvme_id_ns, msrc, 80);
NVME_AT(nvme_id_ns, anagrpid, 92);
NVME_AT(nvme_id_ns, nsattr, 99);
NVME_AT(nvme_id_ns, nguid, 104);
NVME_AT(nvme_id_ns, eui64, 120);
NVME_AT(nvme_id_ns, lbaf, 128);
NVME_SIZE(nvme_ns_desc, 4);
NVME_SIZE(nvme_id_ctrlr_nvm, 4096);
NVME_AT(nvme_id_ctrlr_nvm, dmrl, 3);
NVME_AT(nvme_id_ctrlr_nvm, dmrsl, 4);
NVME_AT(nvme_id_ctrlr_nvm, dmsl, 8);
NVME_SIZE(nvme_id_ns_independent, 4096);
NVME_AT(nvme_id_ns_independent, anagrpid, 4);
NVME_AT(nvme_id_ns_independent, nsattr, 8);
NVME_AT(nvme_id_ns_independent, nvmsetid, 10);
NVME_AT(nvme_id_ns_independent, endgid, 12);
NVME_AT(nvme_id_ns_independent, nstat, 14);
NVME_SIZE(nvme_log_error_entry, 64);
NVME_AT(nvme_log_error_entry, sqid, 8);
NVME_AT(nvme_log_error_entry, lba, 16);
NVME_AT(nvme_log_error_entry, nsid, 24);
NVME_SIZE(nvme_log_smart, 512);
NVME_AT(nvme_log_smart, temperature_kelvin, 1);
NVME_AT(nvme_log_smart, spare_percent, 3);
NVME_AT(nvme_log_smart, units_read, 32);
NVME_AT(nvme_log_smart, host_reads, 64);
NVME_AT(nvme_log_smart, busy_minutes, 96);
NVME_AT(nvme_log_smart, power_on_hours, 128);
NVME_AT(nvme_log_smart, media_errors, 160);
NVME_AT(nvme_log_smart, error_entries, 176);
NVME_SIZE(nvme_log_firmware, 512);
NVME_AT(nvme_log_firmware, slot, 8);
NVME_SIZE(nvme_log_effects, 4096);
NVME_SIZE(nvme_log_ana, 16);
NVME_SIZE(nvme_log_ana_group, 32);
NVME_AT(nvme_log_ana_group, state, 16);
NVME_SIZE(nvme_log_reservation, 64);
NVME_AT(nvme_log_reservation, type, 8);
NVME_AT(nvme_log_reservation, nsid, 12);
NVME_SIZE(nvme_disc_header, 1024);
NVME_AT(nvme_disc_header, recfmt, 16);
NVME_SIZE(nvme_disc_entry, 1024);
NVME_AT(nvme_disc_entry, portid, 4);
NVME_AT(nvme_disc_entry, cntlid, 6);
NVME_AT(nvme_disc_entry, asqsz, 8);
NVME_AT(nvme_disc_entry, eflags, 10);
NVME_AT(nvme_disc_entry, trsvcid, 32);
NVME_AT(nvme_disc_entry, subnqn, 256);
NVME_AT(nvme_disc_entry, traddr, 512);
NVME_AT(nvme_disc_entry, sectype, 768);
NVME_SIZE(nvme_dsm_range, 16);
NVME_AT(nvme_dsm_range, n_blocks, 4);
NVME_AT(nvme_dsm_range, slba, 8);
NVME_SIZE(nvme_resv_register_data, 16);
NVME_SIZE(nvme_resv_acquire_data, 16);
NVME_SIZE(nvme_resv_release_data, 8);
NVME_SIZE(nvme_resv_status, 64);
NVME_AT(nvme_resv_status, rtype, 4);
NVME_AT(nvme_resv_status, n_registrants, 5);
NVME_AT(nvme_resv_status, ptpls, 9);
NVME_SIZE(nvme_resv_entry, 64);
NVME_AT(nvme_resv_entry, rcsts, 2);
NVME_AT(nvme_resv_entry, rkey, 8);
NVME_AT(nvme_resv_entry, hostid, 16);

#endif
