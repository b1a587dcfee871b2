/* SPDX-License-Identifier: Apache-2.0 */
/* The NVMe target's control side: controllers, properties, keep alive, events, identify, logs,
 * discovery, hosts, ANA, reservations (docs/spec/nvme-tcp.md 2 to 8). */
#include "nvmf_test.h"
#include "rt/rt_sim.h"

#define NQN_ANA "nqn.2016-06.io.spdk:ana"

/* A controller's life: ids are not used again at once; disabling closes I/O queues; shutdown. */
static int life(struct tw *w)
{
    struct cl a, b, c;
    uint64_t reg;
    TRY(cl_admin(w, &a));
    TRY(cl_admin(w, &b));
    CHECK(a.cntlid == 1 && b.cntlid == 2);
    cl_close(&b);
    TRY(tw_wait_conns(w, 1));
    TRY(cl_admin(w, &b));
    CHECK(b.cntlid == 3);
    cl_close(&b);
    TRY(cl_prop_get(&a, NVME_PROP_CAP, true, &reg));
    CHECK(NVME_CAP_MQES(reg) == 127 && (reg & NVME_CAP_CQR) && NVME_CAP_MPSMIN(reg) == 0);
    TRY(cl_prop_get(&a, NVME_PROP_VS, false, &reg));
    CHECK(reg == NVME_VS_1_4);
    TRY(cl_io(&a, &c, 3));
    TRY(cl_feature(&a, true, NVME_FEAT_N_QUEUES, 3 | 3 << 16));
    CHECK(cl_status(&a) == (NVME_SC_SEQUENCE | DNR)); /* too late */
    TRY(cl_prop_set(&a, NVME_PROP_CC, CC_ON & ~NVME_CC_EN));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    for (unsigned i = 0; i < 1000; i++) {
        TRY(cl_prop_get(&a, NVME_PROP_CSTS, false, &reg));
        if (!(reg & NVME_CSTS_RDY))
            break;
        rt_sleep_ns(1000000);
    }
    CHECK(reg == 0);
    TRY(cl_prop_set(&a, NVME_PROP_CC, CC_ON));
    TRY(cl_feature(&a, true, NVME_FEAT_N_QUEUES, 3 | 1 << 16));
    CHECK(cl_status(&a) == 0 && ash_le32_get(a.cqe.dw0) == (1 | 1 << 16));
    TRY(cl_io(&a, &c, 2));
    TRY(cl_prop_set(&a, NVME_PROP_CC, CC_ON | NVME_CC_SHN_NORMAL));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    for (unsigned i = 0; i < 1000 && NVME_CSTS_SHST(reg) != 2; i++) {
        TRY(cl_prop_get(&a, NVME_PROP_CSTS, false, &reg));
        rt_sleep_ns(1000000);
    }
    CHECK(NVME_CSTS_SHST(reg) == 2);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(life, 2)

/* An I/O queue that comes while its old connection is still closing waits for that. */
static int queue_again(struct tw *w)
{
    struct cl a, c, d;
    uint8_t page[4096];
    TRY(cl_admin(w, &a));
    for (unsigned i = 0; i < 20; i++) {
        TRY(cl_io(&a, &c, 1));
        cl_close(&c);
        TRY(cl_io(&a, &d, 1));
        TRY(cl_read(&d, 0, page, sizeof(page)));
        CHECK(cl_status(&d) == 0);
        struct nvme_sqe sqe = {.opcode = NVME_OP_FABRICS, .nsid = ash_le32(NVME_FC_DISCONNECT)};
        TRY(cl_do(&d, &sqe, NULL, 0, NULL, 0));
        CHECK(cl_status(&d) == 0 && cl_is_closed(&d));
        cl_close(&d);
    }
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(queue_again, 2)

/* Who says nothing for its keep alive time is cut off with all its queues. */
static int keep_alive(struct tw *w)
{
    struct cl a, c;
    TRY(cl_open(w, &a));
    TRY(cl_ic(&a, 0, 0));
    a.kato_ms = 2100; /* 3 s: granularity 1 s */
    TRY(cl_connect_sqe(&a, 0, 31));
    a.cntlid = (uint16_t)ash_le32_get(a.cqe.dw0);
    TRY(cl_prop_set(&a, NVME_PROP_CC, CC_ON));
    TRY(cl_io(&a, &c, 1));
    for (unsigned i = 0; i < 5; i++) {
        rt_sleep_ns(2900000000);
        struct nvme_sqe sqe = {.opcode = NVME_ADM_KEEP_ALIVE};
        TRY(cl_do(&a, &sqe, NULL, 0, NULL, 0));
        CHECK(cl_status(&a) == 0);
    }
    uint64_t begin = rt_now_ns();
    CHECK(cl_is_closed(&a) && cl_is_closed(&c));
    CHECK(rt_now_ns() - begin >= 2900000000 && rt_now_ns() - begin < 3200000000);
    cl_close(&a);
    cl_close(&c);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(keep_alive, 2)

static int identify(struct tw *w)
{
    struct cl a;
    struct nvme_id_ctrlr *id = malloc(sizeof(*id));
    struct nvme_id_ns *ns = (void *)id;
    struct ash_err err = {0};
    uint32_t nsid;
    TRY(nvmf_add_ns(w->srv, SUBNQN,
                    &(struct nvmf_ns_opts){.bdev_name = "dev2", .nsid = 4, .has_eui64 = true},
                    &nsid, &err));
    TRY(cl_admin(w, &a));
    TRY(cl_identify(&a, NVME_CNS_CTRLR, 0, id));
    CHECK(a.n_data == 4096 && ash_le16_get(id->cntlid) == a.cntlid && id->cntrltype == 1);
    CHECK(ash_le32_get(id->ioccsz) == 4 + 4096 / 16 && ash_le32_get(id->iorcsz) == 1);
    CHECK(strcmp(id->subnqn, SUBNQN) == 0 && id->sqes == 0x66 && id->cqes == 0x44);
    CHECK(ash_le16_get(id->kas) == 10 && id->mdts == 5 && ash_le32_get(id->sgls) == 0x100001);
    CHECK(ash_le16_get(id->maxcmd) == 128 && ash_le32_get(id->nn) == 32 && id->vwc == 5);
    TRY(cl_identify(&a, NVME_CNS_NS, 4, ns));
    CHECK(ash_le64_get(ns->nsze) == DEV_BYTES / 512 && ns->nmic == 1 && ns->rescap == 0xFE);
    CHECK(memcmp(ns->nguid, w->dev2.bdev.uuid.b, 16) == 0 && ns->lbaf[0].lbads == 9);
    TRY(cl_identify(&a, NVME_CNS_NS, 2, ns));
    CHECK(ash_le64_get(ns->nsze) == 0 && cl_status(&a) == 0); /* inactive */
    struct le32 *list = (void *)id;
    TRY(cl_identify(&a, NVME_CNS_NS_LIST, 0, list));
    CHECK(ash_le32_get(list[0]) == 1 && ash_le32_get(list[1]) == 4 && ash_le32_get(list[2]) == 0);
    TRY(cl_identify(&a, NVME_CNS_NS_LIST, 1, list));
    CHECK(ash_le32_get(list[0]) == 4 && ash_le32_get(list[1]) == 0);
    uint8_t *desc = (void *)id;
    TRY(cl_identify(&a, NVME_CNS_NS_DESC, 4, desc));
    CHECK(desc[0] == NVME_NIDT_EUI64 && desc[12] == NVME_NIDT_NGUID && desc[32] == NVME_NIDT_UUID);
    CHECK(memcmp(desc + 36, w->dev2.bdev.uuid.b, 16) == 0 && desc[52] == NVME_NIDT_CSI);
    free(id);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(identify, 1)

/* ------------------------------------------------------- hosts, discovery */

static unsigned log_entries(const uint8_t *log, const char *nqn)
{
    const struct nvme_disc_header *head = (const void *)log;
    const struct nvme_disc_entry *e = (const void *)(head + 1);
    unsigned n = 0;
    for (uint64_t i = 0; i < ash_le64_get(head->numrec); i++)
        n += strcmp(e[i].subnqn, nqn) == 0 && e[i].trtype == NVME_TRTYPE_TCP;
    return n;
}

static int discovery(struct tw *w)
{
    enum { N = 8192 };
    struct cl a;
    struct ash_err err = {0};
    uint8_t *log = malloc(N);
    const struct nvme_disc_header *head = (const void *)log;
    TRY(nvmf_create_subsystem(
        w->srv, &(struct nvmf_subsystem_opts){.nqn = "nqn.2016-06.io.spdk:closed"}, &err));
    TRY(nvmf_add_listener(w->srv, "nqn.2016-06.io.spdk:closed", &w->address, 0, NULL, &err));
    TRY(cl_admin_as(w, &a, 0, 0, NVME_DISCOVERY_NQN, HOSTNQN, 0x11));
    TRY(cl_feature(&a, true, NVME_FEAT_AER_CONFIG, NVME_OAES_DISCOVERY));
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(7), .flags = NVME_PSDT_SGL};
    CHECK(cl_command(&a, &aer, NULL, 0));
    TRY(cl_log(&a, NVME_LOG_DISCOVERY, 0, log, N));
    uint64_t genctr = ash_le64_get(head->genctr);
    CHECK(ash_le64_get(head->numrec) == 1 && log_entries(log, SUBNQN) == 1);
    TRY(nvmf_add_host(w->srv, "nqn.2016-06.io.spdk:closed", HOSTNQN, &err));
    TRY(cl_wait(&a, 7, NULL, 0, NULL, 0));
    CHECK(ash_le32_get(a.cqe.dw0) == NVME_AEN(NVME_AEN_NOTICE, 0xF0, NVME_LOG_DISCOVERY));
    TRY(cl_log(&a, NVME_LOG_DISCOVERY, 0, log, N));
    CHECK(ash_le64_get(head->numrec) == 2 && ash_le64_get(head->genctr) > genctr);
    CHECK(log_entries(log, "nqn.2016-06.io.spdk:closed") == 1);
    const struct nvme_disc_entry *e = (const void *)(head + 1);
    CHECK(memcmp(e->traddr, "127.0.0.1 ", 10) == 0 && e->adrfam == NVME_ADRFAM_IPV4);
    CHECK(strncmp(e->trsvcid, w->port, strlen(w->port)) == 0 && ash_le16_get(e->asqsz) >= 32);
    /* in parts, as a host reads it */
    TRY(cl_log(&a, NVME_LOG_DISCOVERY, 0, log, 1024));
    CHECK(ash_le64_get(head->numrec) == 2);
    cl_close(&a);
    free(log);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(discovery, 1)

/* A listener on all addresses: a host is told the one that it has come to. */
static int wildcard(struct tw *w)
{
    struct cl a;
    struct ash_err err = {0};
    char port[16], uri[64];
    if (strcmp(rt_backend_name(rt_world()), "sim") == 0)
        return 0; /* its connections have no addresses */
    uint8_t *log = malloc(8192);
    TRY(nvmf_add_listener(w->srv, SUBNQN, &(struct nvmf_address){"0.0.0.0", "0", false}, 0, port,
                          &err));
    snprintf(uri, sizeof(uri), "tcp://127.0.0.1:%s", port);
    cl_init(w, &a);
    a.subnqn = NVME_DISCOVERY_NQN;
    TRY(rt_connect(uri, &a.sock, &err));
    TRY(cl_ic(&a, 0, 0));
    TRY(cl_connect_sqe(&a, 0, 31));
    TRY(cl_prop_set(&a, NVME_PROP_CC, CC_ON));
    TRY(cl_log(&a, NVME_LOG_DISCOVERY, 0, log, 8192));
    const struct nvme_disc_header *head = (const void *)log;
    const struct nvme_disc_entry *e = (const void *)(head + 1);
    CHECK(ash_le64_get(head->numrec) == 2 && log_entries(log, SUBNQN) == 2);
    for (unsigned i = 0; i < 2; i++)
        CHECK(memcmp(e[i].traddr, "127.0.0.1 ", 10) == 0 && e[i].adrfam == NVME_ADRFAM_IPV4);
    cl_close(&a);
    free(log);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(wildcard, 1)

static int hosts(struct tw *w)
{
    struct cl a, c;
    struct ash_err err = {0};
    TRY(nvmf_allow_any_host(w->srv, SUBNQN, false, &err));
    TRY(cl_open(w, &a));
    TRY(cl_ic(&a, 0, 0));
    TRY(cl_connect_sqe(&a, 0, 31));
    CHECK(cl_status(&a) == (NVME_SC_CONNECT_HOST | DNR));
    cl_close(&a);
    TRY(nvmf_add_host(w->srv, SUBNQN, HOSTNQN, &err));
    CHECK(nvmf_add_host(w->srv, SUBNQN, HOSTNQN, NULL) == -EEXIST);
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    TRY(nvmf_remove_host(w->srv, SUBNQN, HOSTNQN, &err));
    CHECK(cl_is_closed(&a) && cl_is_closed(&c));
    cl_close(&a);
    cl_close(&c);
    TRY(tw_wait_conns(w, 0));
    CHECK(nvmf_remove_host(w->srv, SUBNQN, HOSTNQN, NULL) == -ENOENT);
    /* a subsystem goes with its controllers */
    TRY(nvmf_allow_any_host(w->srv, SUBNQN, true, &err));
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    TRY(nvmf_delete_subsystem(w->srv, SUBNQN, &err));
    CHECK(cl_is_closed(&a) && cl_is_closed(&c) && !bdev_is_open(&w->dev.bdev));
    cl_close(&a);
    cl_close(&c);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(hosts, 2)

/* A namespace that only some hosts see. */
static int visibility(struct tw *w)
{
    struct cl a, c;
    struct ash_err err = {0};
    struct le32 list[1024];
    uint8_t data[512];
    uint32_t nsid;
    TRY(nvmf_add_ns(w->srv, SUBNQN,
                    &(struct nvmf_ns_opts){.bdev_name = "dev2", .no_auto_visible = true}, &nsid,
                    &err));
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    struct nvme_sqe sqe = cl_rw(NVME_IO_READ, 0, 1, 0);
    for (unsigned visible = 0; visible < 2; visible++) {
        TRY(cl_identify(&a, NVME_CNS_NS_LIST, 0, list));
        CHECK(ash_le32_get(list[1]) == (visible ? 2 : 0));
        sqe.nsid = ash_le32(2);
        TRY(cl_do(&c, &sqe, NULL, 0, data, sizeof(data)));
        CHECK(cl_status(&c) == (visible ? 0 : NVME_SC_INVALID_NS | DNR));
        TRY(nvmf_ns_visible(w->srv, SUBNQN, 2, visible ? HOSTNQN : HOSTNQN, !visible, &err));
    }
    TRY(cl_do(&c, &sqe, NULL, 0, data, sizeof(data)));
    CHECK(cl_status(&c) == (NVME_SC_INVALID_NS | DNR));
    cl_close(&a);
    cl_close(&c);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(visibility, 2)

/* -------------------------------------------------------------------- ANA */

static int ana(struct tw *w)
{
    static const struct {
        unsigned state;
        uint32_t status;
    } rows[] = {{NVME_ANA_INACCESSIBLE, NVME_SC_ANA_INACCESSIBLE},
                {NVME_ANA_PERSISTENT_LOSS, NVME_SC_ANA_LOSS},
                {NVME_ANA_CHANGE, NVME_SC_ANA_TRANSITION},
                {NVME_ANA_NON_OPTIMIZED, 0},
                {NVME_ANA_OPTIMIZED, 0}};
    struct cl a, c;
    struct ash_err err = {0};
    uint8_t data[512], log[16 + 4 * (32 + 4)];
    uint32_t nsid;
    TRY(nvmf_create_subsystem(
        w->srv,
        &(struct nvmf_subsystem_opts){
            .nqn = NQN_ANA, .allow_any_host = true, .ana_reporting = true, .max_namespaces = 4},
        &err));
    TRY(nvmf_add_ns(w->srv, NQN_ANA, &(struct nvmf_ns_opts){.bdev_name = "dev2", .anagrpid = 2},
                    &nsid, &err));
    TRY(nvmf_add_listener(w->srv, NQN_ANA, &w->address, 0, NULL, &err));
    TRY(cl_admin_as(w, &a, 0, 0, NQN_ANA, HOSTNQN, 0x11));
    TRY(cl_io(&a, &c, 1));
    TRY(cl_feature(&a, true, NVME_FEAT_AER_CONFIG, NVME_OAES_ANA));
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(7), .flags = NVME_PSDT_SGL};
        CHECK(cl_command(&a, &aer, NULL, 0));
        TRY(nvmf_set_ana_state(w->srv, NQN_ANA, &w->address, rows[i].state, 2, &err));
        TRY(cl_wait(&a, 7, NULL, 0, NULL, 0));
        CHECK(ash_le32_get(a.cqe.dw0) == NVME_AEN(NVME_AEN_NOTICE, 3, NVME_LOG_ANA));
        TRY(cl_read(&c, 0, data, sizeof(data)));
        CHECK(cl_status(&c) == rows[i].status);
        memset(log, 0, sizeof(log));
        TRY(cl_log(&a, NVME_LOG_ANA, NVME_NSID_ALL, log, sizeof(log)));
        const struct nvme_log_ana_group *g = (const void *)(log + 16 + 32);
        CHECK(ash_le32_get(g->group_id) == 2 && g->state == rows[i].state);
        CHECK(ash_le32_get(g->n_nsids) == 1 && ash_le64_get(g->change_count) == i + 1);
    }
    cl_close(&a);
    cl_close(&c);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(ana, 2)

/* ----------------------------------------------------------- reservations */

static int reg(struct cl *c, uint32_t action, uint64_t crkey, uint64_t nrkey, uint32_t want)
{
    struct nvme_resv_register_data data = {ash_le64(crkey), ash_le64(nrkey)};
    struct nvme_sqe sqe = {.opcode = NVME_IO_RESV_REGISTER, .nsid = ash_le32(1)};
    sqe.cdw10 = ash_le32(action);
    TRY(cl_do(c, &sqe, &data, sizeof(data), NULL, 0));
    CHECK((cl_status(c) & 0x7ff) == want);
    return 0;
}

static int acquire(struct cl *c, uint32_t action, uint32_t type, uint64_t crkey, uint64_t prkey,
                   uint32_t want)
{
    struct nvme_resv_acquire_data data = {ash_le64(crkey), ash_le64(prkey)};
    struct nvme_sqe sqe = {.opcode = NVME_IO_RESV_ACQUIRE, .nsid = ash_le32(1)};
    sqe.cdw10 = ash_le32(action | type << 8);
    TRY(cl_do(c, &sqe, &data, sizeof(data), NULL, 0));
    CHECK((cl_status(c) & 0x7ff) == want);
    return 0;
}

static int release(struct cl *c, uint32_t action, uint32_t type, uint64_t crkey, uint32_t want)
{
    struct nvme_resv_release_data data = {ash_le64(crkey)};
    struct nvme_sqe sqe = {.opcode = NVME_IO_RESV_RELEASE, .nsid = ash_le32(1)};
    sqe.cdw10 = ash_le32(action | type << 8);
    TRY(cl_do(c, &sqe, &data, sizeof(data), NULL, 0));
    CHECK((cl_status(c) & 0x7ff) == want);
    return 0;
}

/* What a host may do: bit 0 read, bit 1 write, bit 2 flush, bit 3 zeroes. */
static int may(struct cl *c, unsigned want)
{
    static const uint8_t ops[] = {NVME_IO_READ, NVME_IO_WRITE, NVME_IO_FLUSH, NVME_IO_WRITE_ZEROES};
    uint8_t data[512] = {0};
    for (unsigned i = 0; i < 4; i++) {
        struct nvme_sqe sqe = cl_rw(ops[i], 0, 1, 0);
        TRY(cl_do(c, &sqe, data, i == 1 ? 512 : 0, data, i == 0 ? 512 : 0));
        CHECK(cl_status(c) == (want >> i & 1 ? 0 : NVME_SC_RESV_CONFLICT | DNR));
    }
    return 0;
}

/* The table of who may do what: three hosts, the holder, a registrant, a stranger. */
static int conflicts(struct tw *w)
{
    static const struct {
        uint8_t registrant, stranger;
    } rows[] = {
        [1] = {1, 1}, [2] = {0, 0}, [3] = {15, 1}, [4] = {15, 0}, [5] = {15, 1}, [6] = {15, 0}};
    struct cl a[3], c[3];
    static const char *const nqns[] = {HOSTNQN, HOST2, "nqn.2016-06.io.spdk:host3"};
    for (unsigned i = 0; i < 3; i++) {
        TRY(cl_admin_as(w, &a[i], 0, 0, SUBNQN, nqns[i], (uint8_t)(0x11 * (i + 1))));
        TRY(cl_io(&a[i], &c[i], 1));
    }
    TRY(reg(&c[0], 0, 0, 0xA, 0));
    TRY(reg(&c[0], 0, 0, 0xB, NVME_SC_RESV_CONFLICT));
    TRY(reg(&c[1], 0, 0, 0xB, 0));
    for (unsigned type = 1; type <= 6; type++) {
        TRY(acquire(&c[2], 0, type, 0, 0, NVME_SC_RESV_CONFLICT));
        TRY(acquire(&c[0], 0, type, 0xA, 0, 0));
        TRY(acquire(&c[0], 0, type, 0xA, 0, 0));
        TRY(may(&c[0], 15));
        TRY(may(&c[1], rows[type].registrant));
        TRY(may(&c[2], rows[type].stranger));
        TRY(release(&c[1], 0, type, 0xB,
                    0)); /* not the holder: no effect, but for all registrants */
        if (type <= 4)
            TRY(may(&c[2], rows[type].stranger));
        TRY(release(&c[0], 0, type, 0xA, 0));
        TRY(may(&c[2], 15));
    }
    for (unsigned i = 0; i < 3; i++) {
        cl_close(&a[i]);
        cl_close(&c[i]);
    }
    return tw_wait_conns(w, 0);
}
NVMF_TEST(conflicts, 2)

static int report(struct cl *c, struct nvme_resv_status *ret, struct nvme_resv_entry *e, unsigned n)
{
    uint8_t page[64 + 8 * 64];
    struct nvme_sqe sqe = {.opcode = NVME_IO_RESV_REPORT, .nsid = ash_le32(1)};
    sqe.cdw10 = ash_le32(sizeof(page) / 4 - 1);
    sqe.cdw11 = ash_le32(NVME_RESV_EDS);
    TRY(cl_do(c, &sqe, NULL, 0, page, sizeof(page)));
    CHECK(cl_status(c) == 0);
    memcpy(ret, page, sizeof(*ret));
    memcpy(e, page + 64, n * sizeof(*e));
    return 0;
}

static int preempt(struct tw *w)
{
    struct cl a, b, c, d;
    struct nvme_resv_status status;
    struct nvme_resv_entry e[8];
    struct nvme_log_reservation notice;
    uint8_t data[512];
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    TRY(cl_admin_as(w, &b, 0, 0, SUBNQN, HOST2, 0x22));
    TRY(cl_io(&b, &d, 1));
    TRY(reg(&c, 0, 0, 0xA, 0));
    TRY(reg(&d, 0, 0, 0xB, 0));
    TRY(acquire(&c, 0, NVME_RESV_WRITE_EXCLUSIVE, 0xA, 0, 0));
    TRY(report(&d, &status, e, 2));
    CHECK(ash_le32_get(status.gen) == 2 && status.rtype == 1 &&
          ash_le16_get(status.n_registrants) == 2);
    CHECK(ash_le64_get(e[0].rkey) == 0xA && e[0].rcsts == 1 && e[1].rcsts == 0);
    CHECK(ash_le16_get(e[0].cntlid) == a.cntlid && e[1].hostid[3] == 0x22);
    /* with the victim's read in the device: it ends as aborted, and only then does the preempt */
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(7), .flags = NVME_PSDT_SGL};
    CHECK(cl_command(&a, &aer, NULL, 0));
    w->dev.hold_to = DEV_BYTES;
    w->dev.hold = true;
    struct nvme_sqe sqe = cl_rw(NVME_IO_READ, 0, 1, 0);
    sqe.cid = ash_le16(1);
    sqe.flags = NVME_PSDT_SGL;
    sqe.sgl.type = NVME_SGL_TRANSPORT;
    sqe.sgl.length = ash_le32(512);
    CHECK(cl_command(&c, &sqe, NULL, 0));
    for (unsigned i = 0; i < 1000 && w->dev.n_reads == 0; i++)
        rt_sleep_ns(100000);
    struct nvme_resv_acquire_data keys = {ash_le64(0xB), ash_le64(0xA)};
    struct nvme_sqe p = {.opcode = NVME_IO_RESV_ACQUIRE, .nsid = ash_le32(1)};
    p.cdw10 = ash_le32(NVME_RACQA_PREEMPT_ABORT | NVME_RESV_EXCLUSIVE_ACCESS << 8);
    p.cid = ash_le16(2);
    p.flags = NVME_PSDT_SGL;
    p.sgl.type = NVME_SGL_BLOCK_OFFSET;
    p.sgl.length = ash_le32(sizeof(keys));
    CHECK(cl_command(&d, &p, &keys, sizeof(keys)));
    TRY(cl_wait(&a, 7, NULL, 0, NULL, 0)); /* the notice: the state has changed */
    CHECK(ash_le32_get(a.cqe.dw0) == NVME_AEN(NVME_AEN_IO, 0, NVME_LOG_RESERVATION));
    rt_sleep_ns(5000000);
    tdev_release(&w->dev);
    TRY(cl_wait(&c, 1, NULL, 0, data, sizeof(data)));
    CHECK(cl_status(&c) == (NVME_SC_ABORTED_PREEMPT | DNR) && c.n_data == 0);
    TRY(cl_wait(&d, 2, NULL, 0, NULL, 0));
    CHECK(cl_status(&d) == 0);
    TRY(cl_log(&a, NVME_LOG_RESERVATION, 0, &notice, sizeof(notice)));
    CHECK(notice.type == NVME_RESV_NOTICE_REG_PREEMPTED && ash_le32_get(notice.nsid) == 1);
    TRY(cl_log(&a, NVME_LOG_RESERVATION, 0, &notice, sizeof(notice)));
    CHECK(notice.type == NVME_RESV_NOTICE_EMPTY);
    TRY(may(&c, 0));
    TRY(may(&d, 15));
    TRY(acquire(&d, 1, 1, 0xB, 0xC, NVME_SC_RESV_CONFLICT)); /* nobody has this key */
    TRY(acquire(&d, 1, 1, 0xB, 0, NVME_SC_RESV_CONFLICT));
    TRY(reg(&d, NVME_RREGA_UNREGISTER, 0xC, 0, NVME_SC_RESV_CONFLICT));
    TRY(reg(&d, NVME_RREGA_UNREGISTER, 0xB, 0, 0)); /* and with it the reservation */
    TRY(may(&c, 15));
    TRY(reg(&d, NVME_RREGA_REPLACE | NVME_RESV_IEKEY, 0, 0xD, 0));
    TRY(release(&d, NVME_RRELA_CLEAR, 0, 0xD, 0));
    TRY(report(&d, &status, e, 0));
    CHECK(ash_le16_get(status.n_registrants) == 0 && status.rtype == 0);
    cl_close(&a);
    cl_close(&b);
    cl_close(&c);
    cl_close(&d);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(preempt, 1)

/* A reservation outlives its namespace when it is told to, and not when it is not. */
static int persistence(struct tw *w)
{
    struct cl a, c;
    struct ash_err err = {0};
    struct nvme_resv_status status;
    struct nvme_resv_entry e[8];
    uint32_t nsid;
    struct nvmf_ns_opts opts = {.bdev_name = "dev", .nsid = 1, .ptpl_file = "/ptpl.json"};
    for (unsigned on = 0; on < 2; on++) {
        TRY(nvmf_remove_ns(w->srv, SUBNQN, 1, &err));
        TRY(nvmf_add_ns(w->srv, SUBNQN, &opts, &nsid, &err));
        TRY(cl_admin(w, &a));
        TRY(cl_io(&a, &c, 1));
        TRY(reg(&c, (on ? 3u : 2u) << 30, 0, UINT64_MAX - 5, 0));
        TRY(acquire(&c, 0, NVME_RESV_EXCLUSIVE_ACCESS, UINT64_MAX - 5, 0, 0));
        TRY(nvmf_remove_ns(w->srv, SUBNQN, 1, &err));
        TRY(nvmf_add_ns(w->srv, SUBNQN, &opts, &nsid, &err));
        TRY(report(&c, &status, e, 1));
        CHECK(status.rtype == (on ? 2 : 0) && status.ptpls == on);
        CHECK(ash_le16_get(status.n_registrants) == on);
        CHECK(!on || ash_le64_get(e[0].rkey) == UINT64_MAX - 5);
        cl_close(&a);
        cl_close(&c);
        TRY(tw_wait_conns(w, 0));
    }
    /* a file that cannot be believed stops the namespace */
    struct rt_sim_disk *file = rt_sim_disk_find(rt_world(), "/ptpl.json");
    CHECK(file && rt_sim_disk_poke(file, 0, "[", 1) == 0);
    TRY(nvmf_remove_ns(w->srv, SUBNQN, 1, &err));
    CHECK(nvmf_add_ns(w->srv, SUBNQN, &opts, &nsid, &err) == -EINVAL);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(persistence, 2)

/* -------------------------------------------------------------- the rest */

static int events_and_abort(struct tw *w)
{
    struct cl a;
    TRY(cl_admin(w, &a));
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .flags = NVME_PSDT_SGL};
    for (uint16_t i = 0; i < 4; i++) {
        aer.cid = ash_le16((uint16_t)(10 + i));
        CHECK(cl_command(&a, &aer, NULL, 0));
    }
    TRY(cl_do(&a, &aer, NULL, 0, NULL, 0));
    CHECK(cl_status(&a) == (NVME_SC_AER_LIMIT | DNR));
    struct nvme_sqe sqe = {.opcode = NVME_ADM_ABORT, .flags = NVME_PSDT_SGL, .cid = ash_le16(50)};
    sqe.cdw10 = ash_le32(12u << 16);
    CHECK(cl_command(&a, &sqe, NULL, 0));
    TRY(cl_wait(&a, 12, NULL, 0, NULL, 0));
    CHECK((cl_status(&a) & 0x7ff) == NVME_SC_ABORT_REQUESTED);
    TRY(cl_wait(&a, 50, NULL, 0, NULL, 0));
    CHECK(cl_status(&a) == 0 && ash_le32_get(a.cqe.dw0) == 0);
    TRY(cl_do(&a, &sqe, NULL, 0, NULL, 0)); /* again: there is none */
    CHECK(cl_status(&a) == 0 && ash_le32_get(a.cqe.dw0) == 1);
    sqe.cdw10 = ash_le32(5 | 12u << 16);
    TRY(cl_do(&a, &sqe, NULL, 0, NULL, 0));
    CHECK(cl_status(&a) == 0 && ash_le32_get(a.cqe.dw0) == 1);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(events_and_abort, 1)

/* 1,000 idle connections: what they cost in memory, and that nothing runs for them. */
static int thousand(struct tw *w)
{
    enum { N = 1000 };
    struct cl *c = calloc(N, sizeof(*c));
    struct rt_stats before, after;
    for (unsigned i = 0; i < N; i++)
        TRY(cl_admin(w, &c[i]));
    CHECK(nvmf_n_connections(w->srv) == N);
    rt_sleep_ns(5000000000); /* spare memory is given back */
    rt_reactor_stats(rt_self(), &before);
    rt_sleep_ns(60000000000);
    rt_reactor_stats(rt_self(), &after);
    CHECK(after.n_turns - before.n_turns < 10); /* in a minute, of a thousand */
    for (unsigned i = 0; i < N; i++)
        cl_close(&c[i]);
    free(c);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(thousand, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NVMF_TESTS(life),
        NVMF_TESTS(queue_again),
        NVMF_SIM_TESTS(keep_alive),
        NVMF_TESTS(identify),
        NVMF_TESTS(discovery),
        NVMF_TESTS(wildcard),
        NVMF_TESTS(hosts),
        NVMF_TESTS(visibility),
        NVMF_TESTS(ana),
        NVMF_TESTS(conflicts),
        NVMF_TESTS(preempt),
        NVMF_SIM_TESTS(persistence),
        NVMF_TESTS(events_and_abort),
        NVMF_SIM_TESTS(thousand),
    };
    return cmocka_run_group_tests_name("nvmf", tests, NULL, NULL);
}
