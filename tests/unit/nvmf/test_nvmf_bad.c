/* SPDX-License-Identifier: Apache-2.0 */
/* Bad input of every kind, each with the status or the fatal error it earns
 * (docs/spec/nvme-tcp.md 1.2, 2, 4, 5). After each the target serves others as before. */
#include "nvmf_test.h"

/* ------------------------------------------------- commands, by their status */

enum queue { ON_ADMIN, ON_DISABLED, ON_DISCOVERY, ON_IO, ON_NEW };

#define FABRICS(type) .opcode = NVME_OP_FABRICS, .b4 = (type)

static const struct command {
    const char *what;
    enum queue queue;
    uint32_t status;
    uint8_t opcode, flags, b4;
    uint32_t nsid, dw10, dw11, dw12, dw13;
    uint32_t n_out; /* data in the capsule, zeroes */
    uint32_t n_in;  /* room for data */
} commands[] = {
    /* fabrics and properties */
    {"command before Connect", ON_NEW, NVME_SC_SEQUENCE | DNR, NVME_ADM_KEEP_ALIVE},
    {"property before Connect", ON_NEW, NVME_SC_SEQUENCE | DNR, FABRICS(NVME_FC_PROPERTY_GET)},
    {"Connect with 512 bytes", ON_NEW, NVME_SC_INVALID_FIELD | DNR, FABRICS(NVME_FC_CONNECT),
     .n_out = 512},
    {"Connect without data", ON_NEW, NVME_SC_INVALID_FIELD | DNR, FABRICS(NVME_FC_CONNECT)},
    {"Connect of a format", ON_NEW, NVME_SC_CONNECT_FORMAT | DNR, FABRICS(NVME_FC_CONNECT),
     .dw10 = 1, .n_out = 1024},
    {"Connect, zeroed data", ON_NEW, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_CONNECT),
     .dw11 = 31, .n_out = 1024},
    {"Connect twice", ON_ADMIN, NVME_SC_SEQUENCE | DNR, FABRICS(NVME_FC_CONNECT), .n_out = 1024},
    {"Connect twice, I/O", ON_IO, NVME_SC_SEQUENCE | DNR, FABRICS(NVME_FC_CONNECT), .n_out = 1024},
    {"property on an I/O queue", ON_IO, NVME_SC_SEQUENCE | DNR, FABRICS(NVME_FC_PROPERTY_GET)},
    {"property of no register", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR,
     FABRICS(NVME_FC_PROPERTY_GET), .dw11 = 0x1000},
    {"property between registers", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR,
     FABRICS(NVME_FC_PROPERTY_GET), .dw11 = 0x0a},
    {"property of 8 bytes, register of 4", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR,
     FABRICS(NVME_FC_PROPERTY_GET), .dw10 = 1, .dw11 = NVME_PROP_CC},
    {"property of a size unknown", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR,
     FABRICS(NVME_FC_PROPERTY_GET), .dw10 = 2, .dw11 = NVME_PROP_CC},
    {"write to CAP", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw10 = 1, .dw11 = NVME_PROP_CAP, .dw12 = 1},
    {"write to CSTS", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw11 = NVME_PROP_CSTS, .dw12 = 1},
    {"subsystem reset", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw11 = NVME_PROP_NSSR, .dw12 = 0x4E564D65},
    {"CC of 8 bytes", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw10 = 1, .dw11 = NVME_PROP_CC, .dw12 = CC_ON},
    {"CC, other page size", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw11 = NVME_PROP_CC, .dw12 = CC_ON | 1 << 7},
    {"CC, arbitration", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw11 = NVME_PROP_CC, .dw12 = CC_ON | 1 << 11},
    {"CC, command set", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw11 = NVME_PROP_CC, .dw12 = CC_ON | 6 << 4},
    {"CC, shutdown 3", ON_ADMIN, NVME_SC_CONNECT_PARAM | DNR, FABRICS(NVME_FC_PROPERTY_SET),
     .dw11 = NVME_PROP_CC, .dw12 = CC_ON | 3 << 14},
    {"disconnect of the admin queue", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR,
     FABRICS(NVME_FC_DISCONNECT)},
    {"disconnect of a format", ON_IO, NVME_SC_CONNECT_FORMAT | DNR, FABRICS(NVME_FC_DISCONNECT),
     .dw10 = 1},
    {"fabrics type unknown", ON_ADMIN, NVME_SC_INVALID_OPCODE | DNR, FABRICS(0x10)},
    {"authentication nobody asked for", ON_ADMIN, NVME_SC_SEQUENCE | DNR,
     FABRICS(NVME_FC_AUTH_SEND), .n_out = 64},
    /* admin */
    {"identify before CC.EN", ON_DISABLED, NVME_SC_SEQUENCE | DNR, NVME_ADM_IDENTIFY, .dw10 = 1,
     .n_in = 4096},
    {"AER before CC.EN", ON_DISABLED, NVME_SC_SEQUENCE | DNR, NVME_ADM_AER},
    {"create queue", ON_ADMIN, NVME_SC_INVALID_OPCODE | DNR, 0x01},
    {"delete queue", ON_ADMIN, NVME_SC_INVALID_OPCODE | DNR, 0x04},
    {"format", ON_ADMIN, NVME_SC_INVALID_OPCODE | DNR, 0x80},
    {"security send", ON_ADMIN, NVME_SC_INVALID_OPCODE | DNR, 0x81, .n_out = 512},
    {"vendor command", ON_ADMIN, NVME_SC_INVALID_OPCODE | DNR, 0xC0},
    {"both directions", ON_ADMIN, NVME_SC_INVALID_OPCODE | DNR, 0xC3},
    {"fused admin command", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_KEEP_ALIVE,
     .flags = NVME_FUSE_FIRST},
    {"identify, page unknown", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_IDENTIFY,
     .dw10 = 0x44, .n_in = 4096},
    {"identify, 512 bytes", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_IDENTIFY, .dw10 = 1,
     .n_in = 512},
    {"identify, no data", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_IDENTIFY, .dw10 = 1},
    {"identify namespace 0", ON_ADMIN, NVME_SC_INVALID_NS | DNR, NVME_ADM_IDENTIFY, .n_in = 4096},
    {"identify namespace beyond NN", ON_ADMIN, NVME_SC_INVALID_NS | DNR, NVME_ADM_IDENTIFY,
     .nsid = 33, .n_in = 4096},
    {"identify all namespaces", ON_ADMIN, NVME_SC_INVALID_NS | DNR, NVME_ADM_IDENTIFY,
     .nsid = NVME_NSID_ALL, .n_in = 4096},
    {"list after FFFFFFFE", ON_ADMIN, NVME_SC_INVALID_NS | DNR, NVME_ADM_IDENTIFY,
     .nsid = 0xFFFFFFFE, .dw10 = 2, .n_in = 4096},
    {"descriptors of an inactive namespace", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR,
     NVME_ADM_IDENTIFY, .nsid = 9, .dw10 = 3, .n_in = 4096},
    {"descriptors beyond NN", ON_ADMIN, NVME_SC_INVALID_NS | DNR, NVME_ADM_IDENTIFY, .nsid = 99,
     .dw10 = 3, .n_in = 4096},
    {"list of another command set", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_IDENTIFY,
     .dw10 = 7, .dw11 = 2u << 24, .n_in = 4096},
    {"log page unknown", ON_ADMIN, NVME_SC_LOG_PAGE | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = 0x7f << 16 | 0xC5, .n_in = 512},
    {"discovery log of an I/O controller", ON_ADMIN, NVME_SC_LOG_PAGE | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = 0x7f << 16 | NVME_LOG_DISCOVERY, .n_in = 512},
    {"ANA log without ANA", ON_ADMIN, NVME_SC_LOG_PAGE | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = 0x7f << 16 | NVME_LOG_ANA, .n_in = 512},
    {"log longer than the buffer", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = 0x80 << 16 | NVME_LOG_SMART, .n_in = 512},
    {"log of 16 GiB", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = 0xFFFFu << 16 | NVME_LOG_SMART, .dw11 = 0xFFFF, .n_in = 512},
    {"log at an odd offset", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = NVME_LOG_SMART, .dw12 = 2, .n_in = 4},
    {"log behind its end", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = NVME_LOG_SMART, .dw12 = 1024, .n_in = 4},
    {"log at 2^63", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = NVME_LOG_SMART, .dw13 = 1u << 31, .n_in = 4},
    {"SMART of no namespace", ON_ADMIN, NVME_SC_INVALID_NS | DNR, NVME_ADM_GET_LOG_PAGE, .nsid = 7,
     .dw10 = 0x7f << 16 | NVME_LOG_SMART, .n_in = 512},
    {"feature unknown", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_FEATURES, .dw10 = 0xD0},
    {"feature 0", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_FEATURES},
    {"feature, saved value", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_FEATURES,
     .dw10 = NVME_FEAT_N_QUEUES | 2 << 8},
    {"feature of a namespace that is not", ON_ADMIN, NVME_SC_FEATURE_NOT_NS | DNR,
     NVME_ADM_GET_FEATURES, .nsid = 1, .dw10 = NVME_FEAT_N_QUEUES},
    {"feature of no namespace", ON_ADMIN, NVME_SC_INVALID_NS | DNR, NVME_ADM_GET_FEATURES,
     .nsid = 8, .dw10 = NVME_FEAT_RESV_PERSISTENCE},
    {"feature to be saved", ON_ADMIN, NVME_SC_FEATURE_NOT_SAVEABLE | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_SAVE | NVME_FEAT_AER_CONFIG},
    {"keep alive 0", ON_ADMIN, NVME_SC_KATO_INVALID | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_KEEP_ALIVE},
    {"65536 queues", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_N_QUEUES, .dw11 = 0xFFFF},
    {"cache off", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_WRITE_CACHE},
    {"power state", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_POWER, .dw11 = 3},
    {"host id set", ON_ADMIN, NVME_SC_SEQUENCE | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_HOST_ID},
    {"host id of 8 bytes", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_FEATURES,
     .dw10 = NVME_FEAT_HOST_ID, .n_in = 8},
    {"interrupt vector set", ON_ADMIN, NVME_SC_FEATURE_NOT_CHANGEABLE | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_IRQ_VECTOR},
    {"host behaviour without data", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_SET_FEATURES,
     .dw10 = NVME_FEAT_HOST_BEHAVIOR},
    {"persistence without a file", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_SET_FEATURES,
     .nsid = 1, .dw10 = NVME_FEAT_RESV_PERSISTENCE, .dw11 = 1},
    {"deallocated blocks as errors", ON_ADMIN, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_SET_FEATURES,
     .nsid = 1, .dw10 = NVME_FEAT_ERROR_RECOVERY, .dw11 = 1 << 16},
    /* discovery controllers */
    {"discovery: namespace", ON_DISCOVERY, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_IDENTIFY,
     .nsid = 1, .n_in = 4096},
    {"discovery: SMART", ON_DISCOVERY, NVME_SC_LOG_PAGE | DNR, NVME_ADM_GET_LOG_PAGE,
     .dw10 = 0x7f << 16 | NVME_LOG_SMART, .n_in = 512},
    {"discovery: queues", ON_DISCOVERY, NVME_SC_INVALID_FIELD | DNR, NVME_ADM_GET_FEATURES,
     .dw10 = NVME_FEAT_N_QUEUES},
    {"discovery: abort", ON_DISCOVERY, NVME_SC_INVALID_OPCODE | DNR, NVME_ADM_ABORT},
    /* I/O */
    {"I/O opcode unknown", ON_IO, NVME_SC_INVALID_OPCODE | DNR, 0x70, .nsid = 1},
    {"write uncorrectable", ON_IO, NVME_SC_INVALID_OPCODE | DNR, 0x04, .nsid = 1},
    {"copy", ON_IO, NVME_SC_INVALID_OPCODE | DNR, NVME_IO_COPY, .nsid = 1, .n_out = 32},
    {"vendor I/O", ON_IO, NVME_SC_INVALID_OPCODE | DNR, 0x90, .nsid = 1},
    {"namespace 0", ON_IO, NVME_SC_INVALID_NS | DNR, NVME_IO_READ, .n_in = 512},
    {"namespace 2", ON_IO, NVME_SC_INVALID_NS | DNR, NVME_IO_READ, .nsid = 2, .n_in = 512},
    {"namespace beyond NN", ON_IO, NVME_SC_INVALID_NS | DNR, NVME_IO_READ, .nsid = 33, .n_in = 512},
    {"flush of all", ON_IO, NVME_SC_INVALID_NS | DNR, NVME_IO_FLUSH, .nsid = NVME_NSID_ALL},
    {"read past the end", ON_IO, NVME_SC_LBA_RANGE | DNR, NVME_IO_READ, .nsid = 1,
     .dw10 = DEV_BYTES / 512, .n_in = 512},
    {"read across the end", ON_IO, NVME_SC_LBA_RANGE | DNR, NVME_IO_READ, .nsid = 1,
     .dw10 = DEV_BYTES / 512 - 1, .dw12 = 1, .n_in = 1024},
    {"read at 2^64", ON_IO, NVME_SC_LBA_RANGE | DNR, NVME_IO_READ, .nsid = 1, .dw10 = UINT32_MAX,
     .dw11 = UINT32_MAX, .dw12 = 1, .n_in = 1024},
    {"read beyond MDTS", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_READ, .nsid = 1, .dw12 = 256,
     .n_in = 131072},
    {"read, SGL too short", ON_IO, NVME_SC_SGL_LENGTH | DNR, NVME_IO_READ, .nsid = 1, .dw12 = 1,
     .n_in = 512},
    {"read without data", ON_IO, NVME_SC_SGL_LENGTH | DNR, NVME_IO_READ, .nsid = 1},
    {"write past the end", ON_IO, NVME_SC_LBA_RANGE | DNR, NVME_IO_WRITE, .nsid = 1,
     .dw10 = DEV_BYTES / 512, .n_out = 512},
    {"write, SGL too short", ON_IO, NVME_SC_SGL_LENGTH | DNR, NVME_IO_WRITE, .nsid = 1, .dw12 = 3,
     .n_out = 512},
    {"compare past the end", ON_IO, NVME_SC_LBA_RANGE | DNR, NVME_IO_COMPARE, .nsid = 1,
     .dw10 = DEV_BYTES / 512, .n_out = 512},
    {"zeroes across the end", ON_IO, NVME_SC_LBA_RANGE | DNR, NVME_IO_WRITE_ZEROES, .nsid = 1,
     .dw10 = DEV_BYTES / 512 - 9, .dw12 = 9},
    {"verify past the end", ON_IO, NVME_SC_LBA_RANGE | DNR, NVME_IO_VERIFY, .nsid = 1, .dw11 = 1},
    {"DSM, too little data", ON_IO, NVME_SC_SGL_LENGTH | DNR, NVME_IO_DSM, .nsid = 1, .dw10 = 2,
     .dw11 = NVME_DSM_AD, .n_out = 32},
    {"DSM without data", ON_IO, NVME_SC_SGL_LENGTH | DNR, NVME_IO_DSM, .nsid = 1,
     .dw11 = NVME_DSM_AD},
    {"fuse 3", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_READ, .flags = 3, .nsid = 1,
     .n_in = 512},
    {"fused first of a read", ON_IO, NVME_SC_FUSED_MISSING, NVME_IO_READ, .flags = NVME_FUSE_FIRST,
     .nsid = 1, .n_in = 512},
    {"fused second alone", ON_IO, NVME_SC_FUSED_MISSING, NVME_IO_WRITE, .flags = NVME_FUSE_SECOND,
     .nsid = 1, .n_out = 512},
    {"register, too little data", ON_IO, NVME_SC_SGL_LENGTH | DNR, NVME_IO_RESV_REGISTER, .nsid = 1,
     .n_out = 8},
    {"register with key 0", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_RESV_REGISTER, .nsid = 1,
     .n_out = 16},
    {"register, action unknown", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_RESV_REGISTER,
     .nsid = 1, .dw10 = 5, .n_out = 16},
    {"register, persistence without a file", ON_IO, NVME_SC_INVALID_FIELD | DNR,
     NVME_IO_RESV_REGISTER, .nsid = 1, .dw10 = 3u << 30, .n_out = 16},
    {"unregister of a stranger", ON_IO, NVME_SC_RESV_CONFLICT | DNR, NVME_IO_RESV_REGISTER,
     .nsid = 1, .dw10 = 1, .n_out = 16},
    {"acquire of a stranger", ON_IO, NVME_SC_RESV_CONFLICT | DNR, NVME_IO_RESV_ACQUIRE, .nsid = 1,
     .dw10 = 1 << 8, .n_out = 16},
    {"acquire of type 0", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_RESV_ACQUIRE, .nsid = 1,
     .n_out = 16},
    {"acquire of type 7", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_RESV_ACQUIRE, .nsid = 1,
     .dw10 = 7 << 8, .n_out = 16},
    {"acquire with IEKEY", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_RESV_ACQUIRE, .nsid = 1,
     .dw10 = 1 << 8 | 8, .n_out = 16},
    {"release of a stranger", ON_IO, NVME_SC_RESV_CONFLICT | DNR, NVME_IO_RESV_RELEASE, .nsid = 1,
     .n_out = 8},
    {"report of short host ids", ON_IO, NVME_SC_HOSTID_FORMAT | DNR, NVME_IO_RESV_REPORT, .nsid = 1,
     .dw10 = 15, .n_in = 64},
    {"report longer than the buffer", ON_IO, NVME_SC_INVALID_FIELD | DNR, NVME_IO_RESV_REPORT,
     .nsid = 1, .dw10 = 31, .dw11 = 1, .n_in = 64},
};

static int do_command(struct cl *c, const struct command *row)
{
    static const uint8_t zeroes[4096];
    uint8_t *in = malloc(131072);
    struct nvme_sqe sqe = {.opcode = row->opcode, .flags = row->flags, .nsid = ash_le32(row->nsid)};
    if (row->opcode == NVME_OP_FABRICS)
        sqe.nsid = ash_le32(row->b4); /* byte 4 */
    sqe.cdw10 = ash_le32(row->dw10);
    sqe.cdw11 = ash_le32(row->dw11);
    sqe.cdw12 = ash_le32(row->dw12);
    sqe.cdw13 = ash_le32(row->dw13);
    int rc = cl_do(c, &sqe, zeroes, row->n_out, in, row->n_in);
    free(in);
    if (rc == 0 && cl_status(c) == row->status && c->n_data == 0)
        return 0;
    print_error("%s: rc %d, status %x, wanted %x\n", row->what, rc, cl_status(c), row->status);
    return -1;
}

static int bad_commands(struct tw *w)
{
    struct cl admin, disabled, discovery, io, fresh;
    TRY(cl_admin(w, &admin));
    TRY(cl_admin_as(w, &discovery, 0, 0, NVME_DISCOVERY_NQN, HOSTNQN, 0x11));
    TRY(cl_io(&admin, &io, 1));
    TRY(cl_open(w, &disabled));
    TRY(cl_ic(&disabled, 0, 0));
    TRY(cl_connect_sqe(&disabled, 0, 31));
    CHECK(cl_status(&disabled) == 0);
    TRY(cl_open(w, &fresh));
    TRY(cl_ic(&fresh, 0, 0));
    struct cl *queues[] = {[ON_ADMIN] = &admin,
                           [ON_DISABLED] = &disabled,
                           [ON_DISCOVERY] = &discovery,
                           [ON_IO] = &io,
                           [ON_NEW] = &fresh};
    for (size_t i = 0; i < ASH_N_ELEMS(commands); i++)
        TRY(do_command(queues[commands[i].queue], &commands[i]));
    CHECK(w->dev.n_reads == 0 && w->dev.n_writes == 0 && w->dev.n_unmaps == 0);
    CHECK(w->dev.n_zeroes == 0);
    /* all of them still work */
    uint8_t page[4096];
    TRY(cl_identify(&admin, NVME_CNS_CTRLR, 0, page));
    CHECK(cl_status(&admin) == 0);
    TRY(cl_read(&io, 0, page, sizeof(page)));
    CHECK(cl_status(&io) == 0);
    TRY(cl_connect_sqe(&fresh, 0, 31));
    CHECK(cl_status(&fresh) == 0);
    for (size_t i = 0; i < ASH_N_ELEMS(queues); i++)
        cl_close(queues[i]);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(bad_commands, 2)

/* --------------------------------------------------- Connect, by its offset */

struct connect_row {
    const char *what;
    uint32_t status, dw0;
    uint16_t qid, sqsize, cntlid; /* cntlid 0: as it should be */
    const char *subnqn, *hostnqn;
    uint8_t host;
    bool disabled, discovery;
};

#define IN_DATA(at) (NVME_CONNECT_IATTR_DATA | (at))
#define PARAM       (NVME_SC_CONNECT_PARAM | DNR)

static const struct connect_row connects[] = {
    {"subsystem unknown", PARAM, IN_DATA(256), 0, 31, 0, "nqn.2016-06.io.spdk:other"},
    {"subsystem empty", PARAM, IN_DATA(256), 0, 31, 0, ""},
    {"host empty", PARAM, IN_DATA(512), 0, 31, 0, NULL, ""},
    {"host is no NQN", PARAM, IN_DATA(512), 0, 31, 0, NULL, "iqn.2016-06.io.spdk:x"},
    {"admin queue of size 0", PARAM, 44, 0, 0},
    {"admin queue too deep", PARAM, 44, 0, 128},
    {"controller chosen", PARAM, IN_DATA(16), 0, 31, 7},
    {"static controller", PARAM, IN_DATA(16), 0, 31, NVME_CNTLID_STATIC},
    {"I/O queue of no controller", PARAM, IN_DATA(16), 1, 127, 999},
    {"I/O queue, dynamic", PARAM, IN_DATA(16), 1, 127, NVME_CNTLID_DYNAMIC},
    {"I/O queue of another host id", PARAM, IN_DATA(16), 1, 127, 0, NULL, NULL, 0x22},
    {"I/O queue of another host", PARAM, IN_DATA(16), 1, 127, 0, NULL, HOST2},
    {"I/O queue of size 0", PARAM, 44, 1, 0},
    {"I/O queue too deep", PARAM, 44, 1, 128},
    {"I/O queue beyond the granted", NVME_SC_QUEUE_ID | DNR, 0, 128, 127},
    {"I/O queue twice", NVME_SC_QUEUE_ID | DNR, 0, 9, 127},
    {"I/O queue before CC.EN", PARAM, 42, 1, 127, 0, NULL, NULL, 0, true},
    {"I/O queue of discovery", PARAM, 42, 1, 127, 0, NULL, NULL, 0, false, true},
};

static int do_connect(struct tw *w, struct cl *a, const struct connect_row *row)
{
    struct cl c;
    TRY(cl_open(w, &c));
    TRY(cl_ic(&c, 0, 0));
    if (row->subnqn || row->discovery)
        c.subnqn = row->discovery ? NVME_DISCOVERY_NQN : row->subnqn;
    if (row->hostnqn)
        c.hostnqn = row->hostnqn;
    if (row->host)
        memset(c.hostid, row->host, sizeof(c.hostid));
    c.cntlid = row->cntlid ? row->cntlid : row->qid ? a->cntlid : NVME_CNTLID_DYNAMIC;
    TRY(cl_connect_sqe(&c, row->qid, row->sqsize));
    bool ok = cl_status(&c) == row->status && ash_le32_get(c.cqe.dw0) == row->dw0;
    if (!ok)
        print_error("%s: status %x dw0 %x, wanted %x %x\n", row->what, cl_status(&c),
                    ash_le32_get(c.cqe.dw0), row->status, row->dw0);
    cl_close(&c);
    return ok ? 0 : -1;
}

static int bad_connects(struct tw *w)
{
    struct cl a, io, disabled, discovery;
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &io, 9));
    TRY(cl_open(w, &disabled));
    TRY(cl_ic(&disabled, 0, 0));
    TRY(cl_connect_sqe(&disabled, 0, 31));
    disabled.cntlid = (uint16_t)ash_le32_get(disabled.cqe.dw0);
    TRY(cl_admin_as(w, &discovery, 0, 0, NVME_DISCOVERY_NQN, HOSTNQN, 0x11));
    for (size_t i = 0; i < ASH_N_ELEMS(connects); i++)
        TRY(do_connect(w,
                       connects[i].disabled    ? &disabled
                       : connects[i].discovery ? &discovery
                                               : &a,
                       &connects[i]));
    cl_close(&a);
    cl_close(&io);
    cl_close(&disabled);
    cl_close(&discovery);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(bad_connects, 2)

/* ------------------------------------------------------ PDUs, by fatal error */

enum at { NEW, ADMIN, IO, R2T_OPEN }; /* R2T_OPEN: the target waits for 8 KiB of tag 1, cid 77 */

static const struct fatal {
    const char *what;
    enum at at;
    uint16_t fes;
    uint32_t fei;
    uint8_t type, flags, hlen, pdo;
    uint32_t plen;
    /* at 8: of the PDU's own header */
    uint32_t w8, w12, w16;
    /* capsules: the SGL */
    uint8_t opcode, sgl_type;
    uint32_t sgl_length, sgl_address;
} fatals[] = {
    {"capsule first", NEW, NVME_FES_SEQUENCE, 0, 4, 0, 72, 0, 72},
    {"data first", NEW, NVME_FES_SEQUENCE, 0, 6, 4, 24, 24, 4120},
    {"response from a host", NEW, NVME_FES_HEADER_FIELD, 0, 5, 0, 24, 0, 24},
    {"type unknown", NEW, NVME_FES_HEADER_FIELD, 0, 0x44, 0, 24, 0, 24},
    {"ICReq, HLEN", NEW, NVME_FES_HEADER_FIELD, 2, 0, 0, 127, 0, 128},
    {"ICReq, PLEN short", NEW, NVME_FES_HEADER_FIELD, 4, 0, 0, 128, 0, 120},
    {"ICReq, PLEN long", NEW, NVME_FES_HEADER_FIELD, 4, 0, 0, 128, 0, 4096},
    {"ICReq, PFV", NEW, NVME_FES_HEADER_FIELD, 8, 0, 0, 128, 0, 128, .w8 = 1},
    {"ICReq, HPDA", NEW, NVME_FES_HEADER_FIELD, 10, 0, 0, 128, 0, 128, .w8 = 32 << 16},
    {"ICReq, digest unknown", NEW, NVME_FES_HEADER_FIELD, 11, 0, 0, 128, 0, 128, .w8 = 4u << 24},
    {"ICReq twice", ADMIN, NVME_FES_SEQUENCE, 0, 0, 0, 128, 0, 128},
    {"ICResp", ADMIN, NVME_FES_HEADER_FIELD, 0, 1, 0, 128, 0, 128},
    {"C2HData from a host", IO, NVME_FES_HEADER_FIELD, 0, 7, 4, 24, 24, 536},
    {"R2T from a host", IO, NVME_FES_HEADER_FIELD, 0, 9, 0, 24, 0, 24},
    {"C2HTermReq from a host", IO, NVME_FES_HEADER_FIELD, 0, 3, 0, 24, 0, 96},
    {"capsule, HLEN", IO, NVME_FES_HEADER_FIELD, 2, 4, 0, 64, 0, 72},
    {"capsule, PDO inside", IO, NVME_FES_HEADER_FIELD, 3, 4, 0, 72, 8, 584},
    {"capsule, PDO odd", IO, NVME_FES_HEADER_FIELD, 3, 4, 0, 72, 74, 584},
    {"capsule, PDO far", IO, NVME_FES_HEADER_FIELD, 3, 4, 0, 72, 200, 712},
    {"capsule, PLEN 0", IO, NVME_FES_HEADER_FIELD, 4, 4, 0, 72, 72, 0},
    {"capsule, PLEN huge", IO, NVME_FES_LIMIT, 0, 4, 0, 72, 72, UINT32_MAX},
    {"capsule, digest not agreed", IO, NVME_FES_HEADER_FIELD, 1, 4, 1, 72, 0, 72},
    {"in-capsule data beyond the limit", IO, NVME_FES_LIMIT, 32, 4, 0, 72, 72, 72 + 8192,
     .opcode = NVME_IO_WRITE, .sgl_type = NVME_SGL_BLOCK_OFFSET, .sgl_length = 8192},
    {"admin data beyond 8 KiB", ADMIN, NVME_FES_LIMIT, 32, 4, 0, 72, 72, 72 + 8196,
     .opcode = NVME_ADM_SET_FEATURES, .sgl_type = NVME_SGL_BLOCK_OFFSET, .sgl_length = 8196},
    {"in-capsule offset", IO, NVME_FES_UNSUPPORTED, 32, 4, 0, 72, 72, 584, .opcode = NVME_IO_WRITE,
     .sgl_type = NVME_SGL_BLOCK_OFFSET, .sgl_length = 512, .sgl_address = 4},
    {"in-capsule length differs", IO, NVME_FES_HEADER_FIELD, 4, 4, 0, 72, 72, 584,
     .opcode = NVME_IO_WRITE, .sgl_type = NVME_SGL_BLOCK_OFFSET, .sgl_length = 1024},
    {"in-capsule data missing", IO, NVME_FES_HEADER_FIELD, 4, 4, 0, 72, 0, 72,
     .opcode = NVME_IO_WRITE, .sgl_type = NVME_SGL_BLOCK_OFFSET, .sgl_length = 512},
    {"in-capsule data of a transport SGL", IO, NVME_FES_HEADER_FIELD, 4, 4, 0, 72, 72, 584,
     .opcode = NVME_IO_WRITE, .sgl_type = NVME_SGL_TRANSPORT, .sgl_length = 512},
    {"SGL type unknown", IO, NVME_FES_UNSUPPORTED, 32, 4, 0, 72, 0, 72, .opcode = NVME_IO_READ,
     .sgl_type = 0x40, .sgl_length = 512},
    {"SGL by address", IO, NVME_FES_UNSUPPORTED, 32, 4, 0, 72, 0, 72, .opcode = NVME_IO_READ,
     .sgl_type = NVME_SGL_BLOCK_ADDRESS, .sgl_length = 512},
    {"SGL beyond the largest I/O", IO, NVME_FES_LIMIT, 32, 4, 0, 72, 0, 72, .opcode = NVME_IO_READ,
     .sgl_type = NVME_SGL_TRANSPORT, .sgl_length = 131073},
    {"SGL of 4 GiB", IO, NVME_FES_LIMIT, 32, 4, 0, 72, 0, 72, .opcode = NVME_IO_WRITE,
     .sgl_type = NVME_SGL_TRANSPORT, .sgl_length = UINT32_MAX},
    {"data without R2T, tag 0", IO, NVME_FES_SEQUENCE, 0, 6, 4, 24, 24, 24 + 512, .w16 = 512},
    {"data without R2T, tag 1", IO, NVME_FES_SEQUENCE, 0, 6, 4, 24, 24, 24 + 512, .w8 = 1 << 16,
     .w16 = 512},
    {"data of tag FFFF", IO, NVME_FES_SEQUENCE, 0, 6, 4, 24, 24, 24 + 512, .w8 = 0xFFFFu << 16,
     .w16 = 512},
    {"data of another tag", R2T_OPEN, NVME_FES_SEQUENCE, 0, 6, 4, 24, 24, 24 + 512,
     .w8 = 77 | 2 << 16, .w16 = 512},
    {"data of another command", R2T_OPEN, NVME_FES_SEQUENCE, 0, 6, 4, 24, 24, 24 + 512,
     .w8 = 78 | 1 << 16, .w16 = 512},
    {"data not from the start", R2T_OPEN, NVME_FES_DATA_RANGE, 12, 6, 4, 24, 24, 24 + 512,
     .w8 = 77 | 1 << 16, .w12 = 512, .w16 = 512},
    {"data past the end", R2T_OPEN, NVME_FES_DATA_RANGE, 12, 6, 4, 24, 24, 24 + 8196,
     .w8 = 77 | 1 << 16, .w16 = 8196},
    {"data at 2^32", R2T_OPEN, NVME_FES_DATA_RANGE, 12, 6, 4, 24, 24, 24 + 512, .w8 = 77 | 1 << 16,
     .w12 = UINT32_MAX - 511, .w16 = 512},
    {"data, DATAL differs", R2T_OPEN, NVME_FES_HEADER_FIELD, 16, 6, 4, 24, 24, 24 + 512,
     .w8 = 77 | 1 << 16, .w16 = 1024},
    {"data, last too early", R2T_OPEN, NVME_FES_HEADER_FIELD, 1, 6, 4, 24, 24, 24 + 512,
     .w8 = 77 | 1 << 16, .w16 = 512},
    {"data, last not told", R2T_OPEN, NVME_FES_HEADER_FIELD, 1, 6, 0, 24, 24, 24 + 8192,
     .w8 = 77 | 1 << 16, .w16 = 8192},
    {"data, nothing", R2T_OPEN, NVME_FES_HEADER_FIELD, 4, 6, 4, 24, 24, 24, .w8 = 77 | 1 << 16},
    {"TermReq, too short", IO, NVME_FES_HEADER_FIELD, 4, 2, 0, 24, 0, 24},
    {"TermReq, too long", IO, NVME_FES_HEADER_FIELD, 4, 2, 0, 24, 0, 153},
};

static int open_r2t(struct cl *c)
{
    struct pdu *p = malloc(sizeof(*p));
    struct nvme_sqe sqe = cl_rw(NVME_IO_WRITE, 0, 16, 0);
    sqe.cid = ash_le16(77);
    sqe.flags = NVME_PSDT_SGL;
    sqe.sgl.type = NVME_SGL_TRANSPORT;
    sqe.sgl.length = ash_le32(8192);
    CHECK(cl_command(c, &sqe, NULL, 0));
    TRY(cl_get(c, p));
    CHECK(p->hdr.type == NVME_PDU_R2T && ash_le16_get(p->r2t.ttag) == 1);
    CHECK(ash_le32_get(p->r2t.r2tl) == 8192);
    free(p);
    return 0;
}

/* The header of the row, and as much after it as a host would send. */
static int send_fatal(struct cl *c, const struct fatal *row)
{
    uint8_t wire[512] = {row->type, row->flags, row->hlen, row->pdo};
    struct le32 words[] = {ash_le32(row->plen), ash_le32(row->w8), ash_le32(row->w12),
                           ash_le32(row->w16)};
    memcpy(wire + 4, words, sizeof(words));
    if (row->type == NVME_PDU_CAPSULE_CMD) {
        struct nvme_capsule_cmd *pdu = (void *)wire;
        pdu->sqe = cl_rw(row->opcode, 0, 1, 0);
        pdu->sqe.flags = NVME_PSDT_SGL;
        pdu->sqe.sgl.type = row->sgl_type;
        pdu->sqe.sgl.length = ash_le32(row->sgl_length);
        pdu->sqe.sgl.address = ash_le64(row->sgl_address);
    }
    size_t n = ASH_MAX((size_t)row->hlen, (size_t)nvme_pdu_hlen(row->type));
    CHECK(cl_send(c, wire, ASH_MAX(n, sizeof(struct nvme_pdu_hdr))));
    return 0;
}

static int expect_term(struct cl *c, const struct fatal *row)
{
    struct pdu *p = malloc(sizeof(*p));
    TRY(cl_get(c, p));
    bool ok = p->hdr.type == NVME_PDU_C2H_TERM_REQ && ash_le16_get(p->term.fes) == row->fes &&
              ash_le32_get(p->term.fei) == row->fei && p->body[0] == row->type;
    if (!ok)
        print_error("%s: type %u FES %u FEI %u, wanted %u %u\n", row->what, p->hdr.type,
                    ash_le16_get(p->term.fes), ash_le32_get(p->term.fei), row->fes, row->fei);
    free(p);
    return ok ? 0 : -1;
}

static int do_fatal(struct tw *w, const struct fatal *row)
{
    struct cl a = {0}, c;
    unsigned n_writes = w->dev.n_writes;
    if (row->at == NEW) {
        TRY(cl_open(w, &c));
    } else if (row->at == ADMIN) {
        TRY(cl_admin(w, &c));
    } else {
        TRY(cl_admin(w, &a));
        TRY(cl_io(&a, &c, 1));
        if (row->at == R2T_OPEN)
            TRY(open_r2t(&c));
    }
    TRY(send_fatal(&c, row));
    TRY(expect_term(&c, row));
    CHECK(cl_is_closed(&c)); /* after it has lingered */
    cl_close(&c);
    cl_close(&a);
    CHECK(w->dev.n_writes == n_writes);
    return tw_wait_conns(w, 0);
}

static int bad_pdus(struct tw *w)
{
    for (size_t i = 0; i < ASH_N_ELEMS(fatals); i++) {
        if (do_fatal(w, &fatals[i])) {
            print_error("row: %s\n", fatals[i].what);
            return -1;
        }
    }
    print_message("# %zu commands, %zu connects, %zu PDUs\n", ASH_N_ELEMS(commands),
                  ASH_N_ELEMS(connects), ASH_N_ELEMS(fatals));
    return 0;
}
NVMF_SIM_TEST(bad_pdus, 2)

/* ------------------------------------------------------------ the others */

/* A wrong header digest is fatal, a wrong data digest fails the one command. */
static int bad_digests(struct tw *w)
{
    struct cl a, c;
    uint8_t data[512] = {1}, page[4096];
    TRY(cl_admin_as(w, &a, 3, 0, SUBNQN, HOSTNQN, 0x11));
    TRY(cl_io(&a, &c, 1));
    for (unsigned bad_head = 0; bad_head < 2; bad_head++) {
        union {
            struct nvme_capsule_cmd pdu;
            uint8_t room[NVME_PDU_HEAD_MAX];
        } u = {0};
        u.pdu.sqe = cl_rw(NVME_IO_WRITE, 0, 1, 0);
        u.pdu.sqe.cid = ash_le16(5);
        u.pdu.sqe.flags = NVME_PSDT_SGL;
        u.pdu.sqe.sgl.type = NVME_SGL_BLOCK_OFFSET;
        u.pdu.sqe.sgl.length = ash_le32(512);
        uint32_t n = nvme_pdu_seal(&c.to, &u, NVME_PDU_CAPSULE_CMD, 0, 512);
        if (bad_head)
            u.room[40] ^= 1;
        struct le32 digest = nvme_digest_end(nvme_digest_add(NVME_DIGEST_START, data, 512));
        digest.b[1] ^= !bad_head;
        CHECK(cl_send(&c, &u, n) && cl_send(&c, data, 512) && cl_send(&c, &digest, 4));
        if (bad_head) {
            struct pdu *p = malloc(sizeof(*p));
            TRY(cl_get(&c, p));
            CHECK(ash_le16_get(p->term.fes) == NVME_FES_HEADER_DIGEST);
            free(p);
        } else {
            TRY(cl_wait(&c, 5, NULL, 0, NULL, 0));
            CHECK(cl_status(&c) == NVME_SC_TRANSIENT_TRANSPORT);
            TRY(cl_read(&c, 0, page, 4096));
            CHECK(cl_status(&c) == 0);
        }
    }
    CHECK(w->dev.n_writes == 0);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(bad_digests, 2)

/* A command id in use, and more commands than the queue holds. */
static int too_many_for(struct tw *w, uint16_t sqsize)
{
    struct cl a, c;
    TRY(cl_admin(w, &a));
    TRY(cl_open(w, &c));
    TRY(cl_ic(&c, 0, 0));
    c.cntlid = a.cntlid;
    TRY(cl_connect_sqe(&c, 1, sqsize));
    CHECK(cl_status(&c) == 0);
    c.qid = 1;
    w->dev.hold_to = DEV_BYTES;
    w->dev.hold = true;
    struct nvme_sqe sqe = cl_rw(NVME_IO_FLUSH, 0, 1, 0);
    sqe.flags = NVME_PSDT_SGL;
    sqe.cid = ash_le16(1);
    CHECK(cl_command(&c, &sqe, NULL, 0) && cl_command(&c, &sqe, NULL, 0));
    TRY(cl_wait(&c, 1, NULL, 0, NULL, 0));
    CHECK(cl_status(&c) == (NVME_SC_CID_CONFLICT | DNR));
    unsigned n_flushes = w->dev.n_flushes;
    for (uint16_t cid = 2; cid <= sqsize + 1; cid++) { /* as many as it has room for */
        sqe.cid = ash_le16(cid);
        CHECK(cl_command(&c, &sqe, NULL, 0));
    }
    for (unsigned i = 0; i < 1000 && w->dev.n_flushes < n_flushes + sqsize; i++)
        rt_sleep_ns(100000);
    CHECK(w->dev.n_flushes == n_flushes + sqsize);
    sqe.cid = ash_le16((uint16_t)(sqsize + 2));
    cl_command(&c, &sqe, NULL, 0);
    CHECK(cl_is_closed(&c));
    tdev_release(&w->dev);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}

static int too_many(struct tw *w)
{
    for (uint16_t sqsize = 1; sqsize <= 8; sqsize++)
        TRY(too_many_for(w, sqsize));
    return 0;
}
NVMF_SIM_TEST(too_many, 1)

/* Who does not get to a Connect in time is let go; so are TermReqs. */
static int idle_handshake(struct tw *w)
{
    struct cl c;
    TRY(cl_open(w, &c));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    TRY(cl_open(w, &c));
    TRY(cl_ic(&c, 0, 0));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    TRY(cl_open(w, &c));
    struct nvme_term_req term = {.fes = ash_le16(1)};
    nvme_pdu_seal(&c.to, &term, NVME_PDU_H2C_TERM_REQ, 0, 8);
    CHECK(cl_send(&c, &term, sizeof(term)) && cl_send(&c, "12345678", 8));
    uint64_t begin = rt_now_ns();
    CHECK(cl_is_closed(&c) && rt_now_ns() - begin < 1000000000);
    cl_close(&c);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(idle_handshake, 1)

int main(void)
{
    _Static_assert(ASH_N_ELEMS(commands) + ASH_N_ELEMS(connects) + ASH_N_ELEMS(fatals) >= 160,
                   "the table of bad input shrinks");
    const struct CMUnitTest tests[] = {
        NVMF_TESTS(bad_commands),    NVMF_SIM_TESTS(bad_connects), NVMF_SIM_TESTS(bad_pdus),
        NVMF_SIM_TESTS(bad_digests), NVMF_SIM_TESTS(too_many),     NVMF_SIM_TESTS(idle_handshake),
    };
    return cmocka_run_group_tests_name("nvmf_bad", tests, NULL, NULL);
}
