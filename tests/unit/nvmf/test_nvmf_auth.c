/* SPDX-License-Identifier: Apache-2.0 */
/* The target's side of DH-HMAC-CHAP, by a client that says what it should not: commands before the
 * proof, messages out of order, offers that cannot be met, borrowed identities, silence. */
#include "nvmf_test.h"

#include "base/nvme_chap.h"

static const struct nvme_chap_key key_a = {0, 32, {1, 2, 3}}, key_b = {1, 48, {4, 5, 6}};

static int protect(struct tw *w)
{
    struct ash_err err = {0};
    struct nvmf_host_keys a = {"a", "b", &key_a, &key_b}, b = {"b", NULL, &key_b, NULL};
    TRY(nvmf_add_host(w->srv, SUBNQN, HOSTNQN, &err));
    TRY(nvmf_add_host(w->srv, SUBNQN, HOST2, &err));
    TRY(nvmf_set_host_keys(w->srv, SUBNQN, HOSTNQN, &a, &err));
    TRY(nvmf_set_host_keys(w->srv, SUBNQN, HOST2, &b, &err));
    return 0;
}

/* Connected, and not yet believed. */
static int open_queue(struct tw *w, struct cl *c, const char *hostnqn)
{
    TRY(cl_open(w, c));
    c->hostnqn = hostnqn;
    TRY(cl_ic(c, 0, 0));
    TRY(cl_connect_sqe(c, 0, 31));
    CHECK(cl_status(c) == 0);
    CHECK(ash_le32_get(c->cqe.dw0) >> 16 == NVME_AUTHREQ_ATR);
    return 0;
}

static int auth(struct cl *c, bool send, void *buf, uint32_t n)
{
    union {
        struct nvme_auth_sqe auth;
        struct nvme_sqe sqe;
    } u = {.auth = {.opcode = NVME_OP_FABRICS,
                    .fctype = send ? NVME_FC_AUTH_SEND : NVME_FC_AUTH_RECV,
                    .spsp0 = 1,
                    .spsp1 = 1,
                    .secp = NVME_SECP_AUTH,
                    .length = ash_le32(n)}};
    return send ? cl_do(c, &u.sqe, buf, n, NULL, 0) : cl_do(c, &u.sqe, NULL, 0, buf, n);
}

static struct nvme_chap_negotiate offer(uint8_t hash, uint8_t group)
{
    struct nvme_chap_negotiate m = {.hdr = {.t_id = ash_le16(77)}, .n_descriptors = 1};
    m.descriptor.protocol = NVME_CHAP_PROTOCOL;
    m.descriptor.n_hashes = m.descriptor.n_groups = 1;
    m.descriptor.hashes[0] = hash;
    m.descriptor.groups[0] = group;
    return m;
}

/* What is said then must be Failure1 with that reason, and the connection ends. */
static int is_refused(struct cl *c, uint8_t *buf, enum nvme_chap_reason reason)
{
    const struct nvme_chap_failure *f = (const void *)buf;
    CHECK(cl_status(c) == 0);
    TRY(auth(c, false, buf, 4096));
    CHECK(cl_status(c) == 0 && f->hdr.type == NVME_CHAP_TYPE_COMMON);
    CHECK(f->hdr.id == NVME_CHAP_FAILURE1 && f->code == 1 && f->reason == reason);
    CHECK(cl_is_closed(c));
    cl_close(c);
    return 0;
}

static int before_the_proof(struct tw *w)
{
    struct cl c;
    uint8_t *buf = malloc(4096);
    uint64_t cap;
    TRY(protect(w));
    TRY(open_queue(w, &c, HOSTNQN));
    TRY(cl_prop_get(&c, NVME_PROP_CAP, true, &cap));
    CHECK(cl_status(&c) == (NVME_SC_AUTH_REQUIRED | DNR));
    TRY(cl_prop_set(&c, NVME_PROP_CC, CC_ON));
    CHECK(cl_status(&c) == (NVME_SC_AUTH_REQUIRED | DNR));
    TRY(cl_identify(&c, NVME_CNS_CTRLR, 0, buf));
    CHECK(cl_status(&c) == (NVME_SC_AUTH_REQUIRED | DNR));
    TRY(auth(&c, false, buf, 4096)); /* it is the host's turn */
    CHECK(cl_status(&c) == (NVME_SC_SEQUENCE | DNR));
    cl_close(&c);
    TRY(tw_wait_conns(w, 0));
    /* where nobody asks for it */
    TRY(cl_admin_as(w, &c, 0, 0, SUBNQN, "nqn.2016-06.io.ashlar:other", 0x33));
    struct nvme_chap_negotiate m = offer(1, 0);
    TRY(auth(&c, true, &m, sizeof(m)));
    CHECK(cl_status(&c) == (NVME_SC_SEQUENCE | DNR));
    cl_close(&c);
    free(buf);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(before_the_proof, 1)

/* Fields of the command. */
static int bad_fields(struct tw *w)
{
    struct cl c;
    uint8_t *buf = malloc(4096);
    TRY(protect(w));
    TRY(open_queue(w, &c, HOSTNQN));
    for (unsigned i = 0; i < 4; i++) {
        struct nvme_chap_negotiate m = offer(1, 0);
        union {
            struct nvme_auth_sqe auth;
            struct nvme_sqe sqe;
        } u = {.auth = {.opcode = NVME_OP_FABRICS,
                        .fctype = NVME_FC_AUTH_SEND,
                        .spsp0 = i != 0,
                        .spsp1 = i != 1,
                        .secp = i == 2 ? 0 : NVME_SECP_AUTH,
                        .length = ash_le32(sizeof(m) + (i == 3))}};
        TRY(cl_do(&c, &u.sqe, &m, sizeof(m), NULL, 0));
        CHECK(cl_status(&c) == (NVME_SC_INVALID_FIELD | DNR));
    }
    struct nvme_chap_negotiate m = offer(1, 0);
    TRY(auth(&c, true, &m, sizeof(m)));
    CHECK(cl_status(&c) == 0);
    TRY(auth(&c, false, buf, 512)); /* less than a message may have */
    CHECK(cl_status(&c) == (NVME_SC_INVALID_FIELD | DNR));
    TRY(auth(&c, false, buf, 4096));
    CHECK(cl_status(&c) == 0 && buf[1] == NVME_CHAP_CHALLENGE);
    cl_close(&c);
    free(buf);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(bad_fields, 1)

static int bad_offers(struct tw *w)
{
    struct {
        struct nvme_chap_negotiate m;
        uint32_t n_bytes;
        enum nvme_chap_reason reason;
    } rows[10];
    unsigned n = ASH_N_ELEMS(rows);
    for (unsigned i = 0; i < n; i++) {
        rows[i].m = offer(1, 0);
        rows[i].n_bytes = sizeof(rows[i].m);
        rows[i].reason = NVME_CHAP_BAD_PAYLOAD;
    }
    rows[0].m.descriptor.hashes[0] = 9, rows[0].reason = NVME_CHAP_NO_HASH;
    rows[1].m.descriptor.n_hashes = 0, rows[1].reason = NVME_CHAP_NO_HASH;
    rows[2].m.descriptor.groups[0] = 6, rows[2].reason = NVME_CHAP_NO_DH_GROUP;
    rows[3].m.descriptor.n_groups = 0, rows[3].reason = NVME_CHAP_NO_DH_GROUP;
    rows[4].m.descriptor.protocol = 2, rows[4].reason = NVME_CHAP_NO_PROTOCOL;
    rows[5].m.sc_c = 1, rows[5].reason = NVME_CHAP_NO_CONCATENATION;
    rows[6].m.n_descriptors = 0;
    rows[7].m.descriptor.n_hashes = 31;
    rows[8].n_bytes = 71;
    rows[9].m.hdr.id = NVME_CHAP_REPLY, rows[9].reason = NVME_CHAP_BAD_MESSAGE;
    uint8_t *buf = malloc(4096);
    TRY(protect(w));
    for (unsigned i = 0; i < n; i++) {
        struct cl c;
        TRY(open_queue(w, &c, HOSTNQN));
        TRY(auth(&c, true, &rows[i].m, rows[i].n_bytes));
        TRY(is_refused(&c, buf, rows[i].reason));
    }
    free(buf);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(bad_offers, 1)

/* The right answer to a challenge without a group, but for what the row changes. */
static uint32_t make_reply(const uint8_t *challenge, const struct nvme_chap_key *key,
                           const char *hostnqn, uint8_t *ret)
{
    const struct nvme_chap_challenge *m = (const void *)challenge;
    struct nvme_chap_reply reply = {
        .hdr = {NVME_CHAP_TYPE_DHCHAP, NVME_CHAP_REPLY, {{0}}, m->hdr.t_id},
        .hash_bytes = m->hash_bytes};
    struct nvme_chap_proof proof = {.key = key,
                                    .of_host = true,
                                    .hash = m->hash,
                                    .group = m->group,
                                    .challenge = challenge + sizeof(*m),
                                    .seq = ash_le32_get(m->seq),
                                    .t_id = ash_le16_get(m->hdr.t_id),
                                    .hostnqn = hostnqn,
                                    .subnqn = SUBNQN};
    memcpy(ret, &reply, sizeof(reply));
    memset(ret + sizeof(reply), 0, 2 * NVME_CHAP_HASH_MAX);
    if (nvme_chap_response(&proof, ret + sizeof(reply)))
        return 0;
    return (uint32_t)sizeof(reply) + 2u * m->hash_bytes;
}

static int bad_replies(struct tw *w)
{
    uint8_t *buf = malloc(4096), reply[1024];
    TRY(protect(w));
    for (unsigned i = 0; i < 12; i++) {
        struct cl c;
        struct nvme_chap_reply *m = (void *)reply;
        struct nvme_chap_negotiate o = offer(NVME_CHAP_SHA256, 0);
        enum nvme_chap_reason reason = NVME_CHAP_BAD_PAYLOAD;
        TRY(open_queue(w, &c, HOSTNQN));
        TRY(auth(&c, true, &o, sizeof(o)));
        TRY(auth(&c, false, buf, 4096));
        CHECK(cl_status(&c) == 0 && buf[1] == NVME_CHAP_CHALLENGE);
        uint32_t n = make_reply(buf, i == 1 ? &key_b : &key_a, HOSTNQN, reply);
        CHECK(n);
        if (i == 2)
            reply[sizeof(*m)] ^= 1, reason = NVME_CHAP_FAILED;
        else if (i == 3)
            n -= 1;
        else if (i == 4)
            m->hash_bytes = 48;
        else if (i == 5)
            m->dh_bytes = ash_le16(256);
        else if (i == 6)
            m->hdr.t_id = ash_le16(78);
        else if (i == 7)
            m->hdr.id = NVME_CHAP_SUCCESS2, reason = NVME_CHAP_BAD_MESSAGE;
        else if (i == 8)
            m->hdr.type = NVME_CHAP_TYPE_COMMON, reason = NVME_CHAP_BAD_MESSAGE;
        else if (i == 9)
            n = 8;
        else if (i == 10) /* the host gives up */
            *m = (struct nvme_chap_reply){.hdr = {0, NVME_CHAP_FAILURE2, {{0}}, ash_le16(77)}},
            reason = NVME_CHAP_BAD_MESSAGE;
        else if (i == 11)
            make_reply(buf, &key_a, HOST2, reply), reason = NVME_CHAP_FAILED;
        if (i == 1)
            reason = NVME_CHAP_FAILED;
        TRY(auth(&c, true, reply, n));
        if (i > 0) {
            TRY(is_refused(&c, buf, reason));
            continue;
        }
        TRY(auth(&c, false, buf, 4096));
        CHECK(cl_status(&c) == 0 && buf[0] == 1 && buf[1] == NVME_CHAP_SUCCESS1 && buf[8] == 0);
        TRY(cl_prop_set(&c, NVME_PROP_CC, CC_ON));
        CHECK(cl_status(&c) == 0);
        c.cntlid = 1;
        cl_close(&c);
    }
    free(buf);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(bad_replies, 1)

/* A Connect that is refused leaves nothing behind: its name's key is not that of the next. */
static int borrowed_name(struct tw *w)
{
    struct cl c;
    uint8_t *buf = malloc(4096), reply[1024];
    struct nvme_chap_negotiate o = offer(NVME_CHAP_SHA256, 0);
    TRY(protect(w));
    TRY(cl_open(w, &c));
    c.hostnqn = HOSTNQN;
    TRY(cl_ic(&c, 0, 0));
    TRY(cl_connect_sqe(&c, 0, 0)); /* a queue without entries */
    CHECK(cl_status(&c) == (NVME_SC_CONNECT_PARAM | DNR));
    c.hostnqn = HOST2;
    TRY(cl_connect_sqe(&c, 0, 31));
    CHECK(cl_status(&c) == 0);
    TRY(auth(&c, true, &o, sizeof(o)));
    TRY(auth(&c, false, buf, 4096));
    uint32_t n = make_reply(buf, &key_a, HOST2, reply);
    TRY(auth(&c, true, reply, n));
    TRY(is_refused(&c, buf, NVME_CHAP_FAILED));
    free(buf);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(borrowed_name, 1)

/* Who never proves anything is let go, also half-way. */
static int silence(struct tw *w)
{
    struct cl c;
    struct nvme_chap_negotiate o = offer(NVME_CHAP_SHA256, NVME_CHAP_FFDHE2048);
    TRY(protect(w));
    for (int half_way = 0; half_way < 2; half_way++) {
        TRY(open_queue(w, &c, HOSTNQN));
        uint64_t begin = rt_now_ns();
        if (half_way)
            TRY(auth(&c, true, &o, sizeof(o)));
        CHECK(cl_is_closed(&c) && rt_now_ns() - begin < 20000000000);
        cl_close(&c);
    }
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(silence, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NVMF_TESTS(before_the_proof), NVMF_TESTS(bad_fields),    NVMF_SIM_TESTS(bad_offers),
        NVMF_SIM_TESTS(bad_replies),  NVMF_TESTS(borrowed_name), NVMF_SIM_TESTS(silence),
    };
    return cmocka_run_group_tests_name("nvmf_auth", tests, NULL, NULL);
}
