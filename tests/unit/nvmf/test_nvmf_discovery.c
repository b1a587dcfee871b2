/* SPDX-License-Identifier: Apache-2.0 */
/* Referrals in the discovery log (docs/spec/nvme-tcp.md 6). */
#include "nvmf_test.h"

enum { N_MAX = 256, LOG_BYTES = 1024 * (N_MAX + 8) };

static bool field_is(const char *field, size_t n, const char *text)
{
    for (size_t i = strlen(text); i < n; i++)
        if (field[i] != ' ')
            return false;
    return memcmp(field, text, strlen(text)) == 0;
}

static int read_log(struct cl *c, uint8_t *log, uint64_t n_wanted)
{
    const struct nvme_disc_header *head = (const void *)log;
    for (uint32_t at = 0; at < 1024 * (n_wanted + 1); at += 4096) {
        struct nvme_sqe sqe = {.opcode = NVME_ADM_GET_LOG_PAGE};
        sqe.cdw10 = ash_le32(NVME_LOG_DISCOVERY | 1023u << 16);
        sqe.cdw12 = ash_le32(at);
        TRY(cl_do(c, &sqe, NULL, 0, log + at, 4096));
        CHECK(cl_status(c) == 0);
    }
    CHECK(ash_le64_get(head->numrec) == n_wanted);
    return 0;
}

static int await_change(struct cl *c, uint16_t cid)
{
    TRY(cl_wait(c, cid, NULL, 0, NULL, 0));
    CHECK(ash_le32_get(c->cqe.dw0) == NVME_AEN(NVME_AEN_NOTICE, 0xF0, NVME_LOG_DISCOVERY));
    return 0;
}

static int ask_for_event(struct cl *c, uint16_t cid)
{
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(cid), .flags = NVME_PSDT_SGL};
    CHECK(cl_command(c, &aer, NULL, 0));
    return 0;
}

static int referrals(struct tw *w)
{
    static const struct nvmf_address v4 = {"192.0.2.7", "8009", false},
                                     v6 = {"2001:db8::9", "4420", true, .secure = true};
    static const char other[] = "nqn.2016-06.io.spdk:their-discovery";
    struct ash_err err = {0};
    struct cl c;
    uint8_t *log = malloc(LOG_BYTES);
    const struct nvme_disc_entry *e = (const void *)(log + 1024);
    TRY(cl_admin_as(w, &c, 0, 0, NVME_DISCOVERY_NQN, HOSTNQN, 0x11));
    TRY(cl_feature(&c, true, NVME_FEAT_AER_CONFIG, NVME_OAES_DISCOVERY));
    TRY(read_log(&c, log, 1));
    TRY(ask_for_event(&c, 900));
    TRY(nvmf_add_referral(w->srv, &v4, NVME_DISCOVERY_NQN, &err));
    TRY(await_change(&c, 900));
    TRY(nvmf_add_referral(w->srv, &v6, other, &err));
    TRY(read_log(&c, log, 3));
    CHECK(e[0].subtype == NVME_SUBTYPE_NVM);
    CHECK(e[1].subtype == NVME_SUBTYPE_REFERRAL && e[1].trtype == NVME_TRTYPE_TCP);
    CHECK(e[1].adrfam == NVME_ADRFAM_IPV4 && e[1].treq == NVME_TREQ_NOT_REQUIRED);
    CHECK(field_is(e[1].traddr, sizeof(e[1].traddr), "192.0.2.7"));
    CHECK(field_is(e[1].trsvcid, sizeof(e[1].trsvcid), "8009"));
    CHECK(strcmp(e[1].subnqn, NVME_DISCOVERY_NQN) == 0 && e[1].sectype == 0);
    CHECK(ash_le16_get(e[1].asqsz) >= 32 && ash_le16_get(e[1].cntlid) == NVME_CNTLID_DYNAMIC);
    CHECK(e[2].adrfam == NVME_ADRFAM_IPV6 && e[2].treq == NVME_TREQ_REQUIRED);
    CHECK(e[2].sectype == NVME_SECTYPE_TLS13 && strcmp(e[2].subnqn, other) == 0);
    TRY(ask_for_event(&c, 901));
    TRY(nvmf_remove_referral(w->srv, &v4, NVME_DISCOVERY_NQN, &err));
    TRY(await_change(&c, 901));
    TRY(read_log(&c, log, 2));
    CHECK(strcmp(e[1].subnqn, other) == 0);
    free(log);
    cl_close(&c);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(referrals, 1)

static int refused(int rc, int want_rc, enum ash_reason want, struct ash_err *err)
{
    CHECK(rc == want_rc && err->reason == want);
    *err = (struct ash_err){0};
    return 0;
}

static int limits(struct tw *w)
{
    struct ash_err err = {0};
    struct nvmf_address a = {"192.0.2.7", "8009", false};
    char port[16], longer[300];
    memset(longer, '1', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    TRY(refused(nvmf_add_referral(w->srv, &a, "x", &err), -EINVAL, ASH_E_BAD_NAME, &err));
    a.traddr = longer;
    TRY(refused(nvmf_add_referral(w->srv, &a, SUBNQN, &err), -EINVAL, ASH_E_BAD_ARGUMENT, &err));
    a.traddr = "";
    TRY(refused(nvmf_add_referral(w->srv, &a, SUBNQN, &err), -EINVAL, ASH_E_BAD_ARGUMENT, &err));
    a.traddr = "192.0.2.7";
    a.trsvcid = longer;
    TRY(refused(nvmf_add_referral(w->srv, &a, SUBNQN, &err), -EINVAL, ASH_E_BAD_ARGUMENT, &err));
    a.trsvcid = port;
    for (unsigned i = 0; i < N_MAX; i++) {
        snprintf(port, sizeof(port), "%u", i);
        TRY(nvmf_add_referral(w->srv, &a, SUBNQN, &err));
    }
    TRY(refused(nvmf_add_referral(w->srv, &a, SUBNQN, &err), -EEXIST, ASH_E_EXPORT_EXISTS, &err));
    TRY(refused(nvmf_add_referral(w->srv, &a, HOSTNQN, &err), -EBUSY, ASH_E_EXPORT_LIMIT, &err));
    TRY(refused(nvmf_remove_referral(w->srv, &a, HOSTNQN, &err), -ENOENT, ASH_E_EXPORT_NOT_FOUND,
                &err));
    struct cl c;
    uint8_t *log = malloc(LOG_BYTES);
    TRY(cl_admin_as(w, &c, 0, 0, NVME_DISCOVERY_NQN, HOSTNQN, 0x11));
    TRY(read_log(&c, log, N_MAX + 1));
    free(log);
    cl_close(&c);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(limits, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NVMF_TESTS(referrals),
        NVMF_SIM_TESTS(limits),
    };
    return cmocka_run_group_tests_name("nvmf_discovery", tests, NULL, NULL);
}
