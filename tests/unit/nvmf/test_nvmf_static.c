/* SPDX-License-Identifier: Apache-2.0 */
/* Controllers that a host asks for by their ids, beside those it is given (docs/spec/nvme-tcp.md 2,
 * 13). */
#include "nvmf_test.h"

#define NQN_BOTH "nqn.2016-06.io.spdk:both" /* 5, 6, 7 are static, 8 and 9 are not */
#define NQN_ALL  "nqn.2016-06.io.spdk:static"
#define PARAM    (NVME_SC_CONNECT_PARAM | DNR)
#define IN_DATA  (NVME_CONNECT_IATTR_DATA | 16)

static int make(struct tw *w, const char *nqn, uint16_t n_statics)
{
    struct ash_err err = {0};
    struct nvmf_subsystem_opts o = {.nqn = nqn,
                                    .allow_any_host = true,
                                    .min_cntlid = 5,
                                    .max_cntlid = 9,
                                    .n_static_cntlids = n_statics};
    TRY(nvmf_create_subsystem(w->srv, &o, &err));
    return nvmf_add_listener(w->srv, nqn, &w->address, 0, NULL, &err);
}

/* An admin queue, or not; its status is in c->cqe. */
static int ask(struct tw *w, struct cl *c, const char *nqn, const char *host, uint16_t cntlid)
{
    TRY(cl_open(w, c));
    c->subnqn = nqn;
    c->hostnqn = host;
    memset(c->hostid, strcmp(host, HOSTNQN) ? 0x22 : 0x11, sizeof(c->hostid));
    c->cntlid = cntlid;
    TRY(cl_ic(c, 0, 0));
    return cl_connect_sqe(c, 0, 31);
}

/* Asks, and is given the id that is wanted. */
static int get(struct tw *w, struct cl *c, const char *host, uint16_t cntlid, uint16_t want)
{
    TRY(ask(w, c, NQN_BOTH, host, cntlid));
    c->cntlid = (uint16_t)ash_le32_get(c->cqe.dw0);
    if (cl_status(c) || c->cntlid != want)
        print_error("asked for %x, got %x status %x\n", cntlid, c->cntlid, cl_status(c));
    CHECK(cl_status(c) == 0 && c->cntlid == want);
    TRY(cl_prop_set(c, NVME_PROP_CC, CC_ON));
    CHECK(cl_status(c) == 0);
    return 0;
}

static int refuse(struct tw *w, const char *nqn, uint16_t cntlid, uint32_t status, uint32_t dw0)
{
    struct cl c;
    TRY(ask(w, &c, nqn, HOSTNQN, cntlid));
    bool ok = cl_status(&c) == status && ash_le32_get(c.cqe.dw0) == dw0;
    if (!ok)
        print_error("asked for %x: status %x dw0 %x\n", cntlid, cl_status(&c),
                    ash_le32_get(c.cqe.dw0));
    cl_close(&c);
    return ok ? 0 : -1;
}

static int ids(struct tw *w)
{
    static const uint16_t bad[] = {0, 1, 4, 8, 9, 10, 0xFFEF, 0xFFF0, 0xFFFD};
    struct cl c[5], io;
    TRY(make(w, NQN_BOTH, 3));
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++)
        TRY(refuse(w, NQN_BOTH, bad[i], PARAM, IN_DATA));
    TRY(get(w, &c[0], HOSTNQN, 6, 6));
    TRY(get(w, &c[1], HOSTNQN, NVME_CNTLID_DYNAMIC, 8));
    TRY(get(w, &c[2], HOSTNQN, NVME_CNTLID_STATIC, 5));
    TRY(get(w, &c[3], HOST2, NVME_CNTLID_STATIC, 7));
    TRY(get(w, &c[4], HOST2, NVME_CNTLID_DYNAMIC, 9));
    /* all are in use */
    for (uint16_t id = 5; id <= 7; id++)
        TRY(refuse(w, NQN_BOTH, id, NVME_SC_CONNECT_BUSY, 0));
    TRY(refuse(w, NQN_BOTH, NVME_CNTLID_STATIC, NVME_SC_CONNECT_BUSY, 0));
    TRY(refuse(w, NQN_BOTH, NVME_CNTLID_DYNAMIC, NVME_SC_CONNECT_BUSY, 0));
    /* each is what it says, and has queues */
    for (unsigned i = 0; i < 5; i++) {
        struct nvme_id_ctrlr id;
        TRY(cl_identify(&c[i], NVME_CNS_CTRLR, 0, &id));
        CHECK(ash_le16_get(id.cntlid) == c[i].cntlid);
        CHECK(id.fcatt == (c[i].cntlid < 8 ? NVME_FCATT_STATIC : 0));
        TRY(cl_io(&c[i], &io, 1));
        cl_close(&io);
    }
    /* one that has gone can be had again */
    cl_close(&c[3]);
    TRY(tw_wait_conns(w, 4));
    TRY(get(w, &c[3], HOSTNQN, 7, 7));
    for (unsigned i = 0; i < 5; i++)
        cl_close(&c[i]);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(ids, 2)

static int leave(struct tw *w, struct cl *c)
{
    cl_close(c);
    return tw_wait_conns(w, 0);
}

static int temperature(struct cl *c, uint32_t want)
{
    TRY(cl_feature(c, false, NVME_FEAT_TEMPERATURE, 0));
    CHECK(cl_status(c) == 0 && ash_le32_get(c->cqe.dw0) == want);
    return 0;
}

/* What a host sets is there when it comes back, and not when another had it since. */
static int features(struct tw *w)
{
    struct cl c;
    TRY(make(w, NQN_BOTH, 3));
    TRY(get(w, &c, HOSTNQN, 6, 6));
    TRY(temperature(&c, 0x157));
    TRY(cl_feature(&c, true, NVME_FEAT_TEMPERATURE, 0x150));
    TRY(leave(w, &c));
    TRY(get(w, &c, HOSTNQN, 5, 5));
    TRY(temperature(&c, 0x157));
    TRY(cl_feature(&c, true, NVME_FEAT_TEMPERATURE, 0x151));
    TRY(leave(w, &c));
    TRY(get(w, &c, HOSTNQN, 6, 6));
    TRY(temperature(&c, 0x150));
    TRY(leave(w, &c));
    TRY(get(w, &c, HOSTNQN, NVME_CNTLID_STATIC, 5)); /* the first of those it had */
    TRY(temperature(&c, 0x151));
    TRY(leave(w, &c));
    TRY(get(w, &c, HOST2, NVME_CNTLID_STATIC, 7)); /* nobody had it */
    TRY(leave(w, &c));
    TRY(get(w, &c, HOST2, 6, 6));
    TRY(temperature(&c, 0x157));
    TRY(leave(w, &c));
    TRY(get(w, &c, HOSTNQN, 6, 6));
    TRY(temperature(&c, 0x157));
    TRY(leave(w, &c));
    TRY(get(w, &c, HOSTNQN, NVME_CNTLID_DYNAMIC, 8));
    TRY(cl_feature(&c, true, NVME_FEAT_TEMPERATURE, 0x140));
    TRY(leave(w, &c));
    TRY(get(w, &c, HOSTNQN, NVME_CNTLID_DYNAMIC, 9));
    TRY(temperature(&c, 0x157));
    return leave(w, &c);
}
NVMF_SIM_TEST(features, 2)

/* Only static ones: nobody is given one who did not ask, and discovery says so. */
static int all_static(struct tw *w)
{
    struct cl c;
    struct {
        struct nvme_disc_header head;
        struct nvme_disc_entry e[8];
    } *log = calloc(1, sizeof(*log));
    TRY(make(w, NQN_ALL, 5));
    TRY(refuse(w, NQN_ALL, NVME_CNTLID_DYNAMIC, PARAM, IN_DATA));
    TRY(refuse(w, SUBNQN, NVME_CNTLID_STATIC, PARAM, IN_DATA));
    TRY(refuse(w, NVME_DISCOVERY_NQN, NVME_CNTLID_STATIC, PARAM, IN_DATA));
    TRY(cl_admin_as(w, &c, 0, 0, NVME_DISCOVERY_NQN, HOSTNQN, 0x11));
    TRY(cl_log(&c, NVME_LOG_DISCOVERY, 0, log, sizeof(*log)));
    CHECK(ash_le64_get(log->head.numrec) == 2);
    for (unsigned i = 0; i < 2; i++)
        CHECK(ash_le16_get(log->e[i].cntlid) ==
              (strcmp(log->e[i].subnqn, NQN_ALL) ? NVME_CNTLID_DYNAMIC : NVME_CNTLID_STATIC));
    free(log);
    return leave(w, &c);
}
NVMF_SIM_TEST(all_static, 1)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        NVMF_TESTS(ids),
        NVMF_SIM_TESTS(features),
        NVMF_SIM_TESTS(all_static),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
