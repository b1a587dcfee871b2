/* SPDX-License-Identifier: Apache-2.0 */
/* DH-HMAC-CHAP in both roles, in a simulated world: our target against a host, or our host against
 * a controller, that says what it should but for what the input changes. So every mutation is of an
 * exchange that would go on. Input:
 *
 *   byte 0   bit 0 which role is ours (0 target, 1 host), bit 1 the other side has a wrong key,
 *            bit 2 both prove themselves, bit 3 a group, bits 7:6 hash
 *   then, for each message of the other side, a byte (enum trick in bits 2:0, a number in 7:3) and
 *   what the trick takes
 *
 * Whoever has a wrong key may never get in, and an exchange that nothing was done to must succeed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/nvme_chap.h"
#include "base/nvme_data.h"
#include "base/nvme_pdu.h"
#include "bdev/nvme/qpair.h"
#include "export/nvmf/nvmf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define SUBNQN  "nqn.2016-06.io.spdk:f"
#define HOSTNQN "nqn.2016-06.io.spdk:host"

enum { OUR_HOST = 1, WRONG_KEY = 2, BOTH_WAYS = 4, WITH_GROUP = 8 };
enum trick { HONEST, XOR, RAW, SHORT, LONG, AGAIN, OTHER, END };
enum { MESSAGE_MAX = 4096, STEPS_MAX = 24 };

static const struct nvme_chap_key host_key = {.n_bytes = 32, .bytes = {1, 2, 3}};
static const struct nvme_chap_key ctrlr_key = {.hash = 1, .n_bytes = 32, .bytes = {4, 5, 6}};
static const struct nvme_chap_key wrong_key = {.n_bytes = 32, .bytes = {7, 8, 9}};

struct input {
    const uint8_t *data;
    size_t n;
};

/* One side of the exchange, as the fuzzer plays it. */
struct side {
    struct input *in;
    uint8_t flags;
    bool is_touched; /* something was not as it should be */
    unsigned n_steps;
    struct rt_sock *sock;
    uint16_t next_cid;
    uint8_t hash, group;
    uint16_t t_id;
    uint32_t seq;
    bool wants_proof; /* of the controller */
    uint8_t random[NVME_CHAP_RANDOM], challenge[NVME_CHAP_HASH_MAX];
    uint8_t theirs[NVME_CHAP_HASH_MAX], shared[NVME_CHAP_DH_MAX];
    uint8_t said[MESSAGE_MAX], heard[MESSAGE_MAX];
    uint32_t n_said;
};

/* ------------------------------------------------------------------- the input */

static unsigned next_byte(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->data++;
}

/* The message in said, and what the input makes of it. False: the connection ends here. */
static bool spoil(struct side *s, unsigned *ret_trick)
{
    unsigned b = next_byte(s->in), trick = b & 7, number = b >> 3;
    *ret_trick = trick;
    if (trick != HONEST)
        s->is_touched = true;
    if (++s->n_steps > STEPS_MAX)
        return false;
    switch (trick) {
    case XOR:
        for (unsigned i = 0; i <= number; i++) {
            unsigned at = next_byte(s->in) | next_byte(s->in) << 8;
            s->said[at % MESSAGE_MAX] ^= (uint8_t)next_byte(s->in);
        }
        break;
    case RAW:
        s->n_said = 0;
        for (unsigned n = number * 8 + 8; s->n_said < n; s->n_said++)
            s->said[s->n_said] = (uint8_t)next_byte(s->in);
        break;
    case SHORT:
        s->n_said -= ASH_MIN(s->n_said - 1, number + 1);
        break;
    case LONG:
        s->n_said = ASH_MIN(s->n_said + (number + 1) * 64, (uint32_t)MESSAGE_MAX);
        break;
    default:
        break;
    }
    return trick != END;
}

/* ---------------------------------------------------------------- what is said */

static void begin(struct side *s, uint8_t type, uint8_t id, uint32_t n)
{
    memset(s->said, 0, sizeof(s->said));
    *(struct nvme_chap_hdr *)(void *)s->said =
        (struct nvme_chap_hdr){.type = type, .id = id, .t_id = ash_le16(s->t_id)};
    s->n_said = n;
}

static void prove(struct side *s, bool of_host, const struct nvme_chap_key *key,
                  const uint8_t *challenge, uint32_t seq, uint8_t *ret)
{
    struct nvme_chap_proof proof = {.key = key,
                                    .of_host = of_host,
                                    .hash = s->hash,
                                    .group = s->group,
                                    .shared = s->group ? s->shared : NULL,
                                    .challenge = challenge,
                                    .seq = seq,
                                    .t_id = s->t_id,
                                    .hostnqn = HOSTNQN,
                                    .subnqn = SUBNQN};
    ASH_ASSERT(nvme_chap_response(&proof, ret) == 0);
}

static void make_negotiate(struct side *s)
{
    struct nvme_chap_negotiate *m = (void *)s->said;
    begin(s, NVME_CHAP_TYPE_COMMON, NVME_CHAP_NEGOTIATE, sizeof(*m));
    m->n_descriptors = 1;
    m->descriptor.protocol = NVME_CHAP_PROTOCOL;
    m->descriptor.n_hashes = m->descriptor.n_groups = 1;
    m->descriptor.hashes[0] = s->hash;
    m->descriptor.groups[0] = s->group;
}

static void make_challenge(struct side *s)
{
    struct nvme_chap_challenge *m = (void *)s->said;
    unsigned n_hash = nvme_chap_hash_bytes(s->hash), n_dh = nvme_chap_group_bytes(s->group);
    begin(s, NVME_CHAP_TYPE_DHCHAP, NVME_CHAP_CHALLENGE, (uint32_t)sizeof(*m) + n_hash + n_dh);
    m->hash_bytes = (uint8_t)n_hash;
    m->hash = s->hash;
    m->group = s->group;
    m->dh_bytes = ash_le16((uint16_t)n_dh);
    m->seq = ash_le32(7);
    uint8_t *at = (uint8_t *)(m + 1);
    memset(s->challenge, 0x5A, n_hash);
    memcpy(at, s->challenge, n_hash);
    if (n_dh)
        ASH_ASSERT(nvme_chap_dh_value(s->group, s->random, at + n_hash) == 0);
}

/* To the challenge in heard. */
static void make_reply(struct side *s)
{
    struct nvme_chap_reply *m = (void *)s->said;
    const struct nvme_chap_challenge *c = (const void *)s->heard;
    unsigned n_hash = nvme_chap_hash_bytes(s->hash), n_dh = nvme_chap_group_bytes(s->group);
    const uint8_t *theirs = (const uint8_t *)(c + 1);
    begin(s, NVME_CHAP_TYPE_DHCHAP, NVME_CHAP_REPLY, (uint32_t)sizeof(*m) + 2 * n_hash + n_dh);
    m->hash_bytes = (uint8_t)n_hash;
    m->has_challenge = !!(s->flags & BOTH_WAYS);
    m->dh_bytes = ash_le16((uint16_t)n_dh);
    m->seq = ash_le32(9);
    uint8_t *at = (uint8_t *)(m + 1);
    if (n_dh && nvme_chap_dh_shared(s->group, s->random, theirs + n_hash, s->shared))
        s->is_touched = true; /* there is no challenge */
    prove(s, true, s->flags & WRONG_KEY ? &wrong_key : &host_key, theirs, ash_le32_get(c->seq), at);
    memset(s->challenge, 0x3C, n_hash);
    if (m->has_challenge)
        memcpy(at + n_hash, s->challenge, n_hash);
    if (n_dh)
        ASH_ASSERT(nvme_chap_dh_value(s->group, s->random, at + 2 * n_hash) == 0);
}

/* To the reply in heard. */
static void make_success1(struct side *s)
{
    struct nvme_chap_success1 *m = (void *)s->said;
    const struct nvme_chap_reply *r = (const void *)s->heard;
    unsigned n_hash = nvme_chap_hash_bytes(s->hash);
    const uint8_t *theirs = (const uint8_t *)(r + 1) + n_hash;
    begin(s, NVME_CHAP_TYPE_DHCHAP, NVME_CHAP_SUCCESS1, (uint32_t)sizeof(*m) + n_hash);
    m->hash_bytes = (uint8_t)n_hash;
    m->has_response = r->has_challenge;
    if (s->group && nvme_chap_dh_shared(s->group, s->random, theirs + n_hash, s->shared))
        s->is_touched = true;
    uint8_t proof[NVME_CHAP_HASH_MAX];
    prove(s, true, &host_key, s->challenge, 7, proof);
    ASH_ASSERT(s->is_touched || memcmp(proof, r + 1, n_hash) == 0);
    prove(s, false, s->flags & WRONG_KEY ? &wrong_key : &ctrlr_key, theirs, ash_le32_get(r->seq),
          (uint8_t *)(m + 1));
}

/* ------------------------------------------------------------------- the wire */

static bool op(struct rt_sock *sock, uint8_t kind, void *data, size_t n)
{
    while (n > 0) {
        struct rt_op o = {.kind = kind, .sock = sock, .n_iov = 1};
        o.one_iov = (struct iovec){data, n};
        o.iov = &o.one_iov;
        int64_t got = rt_op_wait(&o);
        if (got <= 0)
            return false;
        data = (uint8_t *)data + got;
        n -= (size_t)got;
    }
    return true;
}

struct pdu {
    union {
        struct nvme_pdu_hdr hdr;
        struct nvme_capsule_cmd cmd;
        struct nvme_capsule_resp resp;
        struct nvme_data_pdu data;
        struct nvme_ic_req ic_req;
        struct nvme_ic_resp ic_resp;
        uint8_t head[NVME_PDU_HEAD_MAX];
    };
    uint8_t body[MESSAGE_MAX];
    uint32_t n_body;
};

static bool put(struct rt_sock *sock, void *head, bool to_host, uint8_t type, uint8_t flags,
                const void *data, uint32_t n)
{
    const struct nvme_pdu_rules rules = {.to_host = to_host};
    uint32_t n_head = nvme_pdu_seal(&rules, head, type, flags, n);
    return op(sock, RT_OP_SEND, head, n_head) && op(sock, RT_OP_SEND, (void *)(uintptr_t)data, n);
}

static bool get(struct rt_sock *sock, struct pdu *p)
{
    if (!op(sock, RT_OP_RECV, &p->hdr, sizeof(p->hdr)))
        return false;
    uint32_t n_head = p->hdr.hlen, n = ash_le32_get(p->hdr.plen);
    ASH_ASSERT(n_head >= sizeof(p->hdr) && n_head <= sizeof(p->head) && n >= n_head);
    p->n_body = n - n_head;
    ASH_ASSERT(p->n_body <= sizeof(p->body));
    return op(sock, RT_OP_RECV, p->head + sizeof(p->hdr), n_head - sizeof(p->hdr)) &&
           op(sock, RT_OP_RECV, p->body, p->n_body);
}

/* -------------------------------------------------- our target, and its bad host */

/* Status of the command, -1: the connection is gone. What comes is in heard. */
static int command(struct side *s, struct nvme_sqe *sqe, const void *out, uint32_t n_out,
                   uint32_t n_in)
{
    struct pdu p = {.cmd.sqe = *sqe};
    p.cmd.sqe.flags = NVME_PSDT_SGL;
    p.cmd.sqe.cid = ash_le16(s->next_cid++);
    p.cmd.sqe.sgl.type = n_out ? NVME_SGL_BLOCK_OFFSET : NVME_SGL_TRANSPORT;
    p.cmd.sqe.sgl.length = ash_le32(n_out ? n_out : n_in);
    if (!put(s->sock, &p, false, NVME_PDU_CAPSULE_CMD, 0, out, n_out))
        return -1;
    while (get(s->sock, &p)) {
        if (p.hdr.type == NVME_PDU_C2H_DATA) {
            uint32_t at = ash_le32_get(p.data.datao);
            ASH_ASSERT(at + p.n_body <= n_in && n_in <= MESSAGE_MAX);
            memcpy(s->heard + at, p.body, p.n_body);
            if (p.hdr.flags & NVME_PDU_SUCCESS)
                return 0;
        } else if (p.hdr.type == NVME_PDU_CAPSULE_RESP) {
            return nvme_status_sc(ash_le16_get(p.resp.cqe.status));
        } else {
            return -1;
        }
    }
    return -1;
}

static int auth_command(struct side *s, bool send)
{
    union {
        struct nvme_auth_sqe auth;
        struct nvme_sqe sqe;
    } u = {.auth = {.opcode = NVME_OP_FABRICS,
                    .fctype = send ? NVME_FC_AUTH_SEND : NVME_FC_AUTH_RECV,
                    .spsp0 = 1,
                    .spsp1 = 1,
                    .secp = NVME_SECP_AUTH,
                    .length = ash_le32(send ? s->n_said : MESSAGE_MAX)}};
    return command(s, &u.sqe, send ? s->said : NULL, send ? s->n_said : 0, send ? 0 : MESSAGE_MAX);
}

static int property(struct side *s)
{
    union {
        struct nvme_sqe sqe;
        struct nvme_prop_sqe prop;
    } u = {0};
    u.prop.opcode = NVME_OP_FABRICS;
    u.prop.fctype = NVME_FC_PROPERTY_GET;
    u.prop.ofst = ash_le32(NVME_PROP_CC);
    return command(s, &u.sqe, NULL, 0, 0);
}

static bool connect_queue(struct side *s)
{
    struct nvme_ic_req ic = {0};
    struct pdu p;
    union {
        struct nvme_sqe sqe;
        struct nvme_connect_sqe connect;
    } u = {0};
    struct nvme_connect_data data = {
        .cntlid = ash_le16(NVME_CNTLID_DYNAMIC), .subnqn = SUBNQN, .hostnqn = HOSTNQN};
    u.connect.opcode = NVME_OP_FABRICS;
    u.connect.fctype = NVME_FC_CONNECT;
    u.connect.sqsize = ash_le16(31);
    return put(s->sock, &ic, false, NVME_PDU_IC_REQ, 0, NULL, 0) && get(s->sock, &p) &&
           command(s, &u.sqe, &data, sizeof(data), 0) == 0;
}

/* Send what is in said, or what the input makes of it, and whatever else it wants. False: over. */
static bool send_message(struct side *s)
{
    unsigned trick;
    do {
        if (!spoil(s, &trick))
            return false;
        if (trick == OTHER && property(s) < 0)
            return false;
        if (trick == AGAIN && auth_command(s, true) < 0)
            return false;
        if (trick == AGAIN && (next_byte(s->in) & 1) && auth_command(s, false) < 0)
            return false;
    } while (trick == OTHER);
    return auth_command(s, true) >= 0;
}

static void talk(struct side *s)
{
    make_negotiate(s);
    if (!send_message(s) || auth_command(s, false) < 0)
        return;
    make_reply(s);
    if (!send_message(s) || auth_command(s, false) < 0)
        return;
    if (!(s->flags & BOTH_WAYS))
        return;
    uint8_t want[NVME_CHAP_HASH_MAX];
    prove(s, false, &ctrlr_key, s->challenge, 9, want);
    ASH_ASSERT(s->is_touched || (s->flags & WRONG_KEY) ||
               memcmp(want, s->heard + sizeof(struct nvme_chap_success1),
                      nvme_chap_hash_bytes(s->hash)) == 0);
    begin(s, NVME_CHAP_TYPE_DHCHAP, NVME_CHAP_SUCCESS2, sizeof(struct nvme_chap_success2));
    send_message(s);
}

static void try_target(struct side *s, struct bdev_mgr *mgr)
{
    struct nvmf_transport_opts transport;
    struct nvmf_server *srv;
    struct rt_sock *theirs;
    char port[16];
    struct nvmf_address address = {"127.0.0.1", "4420", false};
    ASH_ASSERT(nvmf_server_create(mgr, NULL, &srv, NULL) == 0);
    nvmf_transport_defaults(&transport);
    ASH_ASSERT(nvmf_create_transport(srv, &transport, NULL) == 0);
    ASH_ASSERT(nvmf_create_subsystem(srv, &(struct nvmf_subsystem_opts){.nqn = SUBNQN}, NULL) == 0);
    struct nvmf_host_keys keys = {"k", "ck", &host_key, &ctrlr_key};
    ASH_ASSERT(nvmf_add_host(srv, SUBNQN, HOSTNQN, NULL) == 0);
    ASH_ASSERT(nvmf_set_host_keys(srv, SUBNQN, HOSTNQN, &keys, NULL) == 0);
    ASH_ASSERT(nvmf_add_listener(srv, SUBNQN, &address, 0, port, NULL) == 0);
    ASH_ASSERT(rt_sock_pair(&s->sock, &theirs) == 0);
    ASH_ASSERT(nvmf_serve_sock(srv, theirs, &address, NULL) == 0);
    ASH_ASSERT(connect_queue(s));
    talk(s);
    bool is_in = property(s) == 0;
    ASH_ASSERT(!is_in || !(s->flags & WRONG_KEY));
    ASH_ASSERT(is_in || s->is_touched || (s->flags & WRONG_KEY));
    rt_sock_close(s->sock);
    nvmf_server_destroy(srv);
}

/* ---------------------------------------------- our host, and its bad controller */

struct ctrlr {
    struct side *side;
    struct rt_sock *listener;
    struct rt_event ended;
};

static bool answer(struct side *s, const struct pdu *p, uint32_t dw0, uint16_t status)
{
    struct pdu r = {.resp.cqe = {.dw0 = ash_le32(dw0),
                                 .cid = p->cmd.sqe.cid,
                                 .status = ash_le16((uint16_t)(status << 1))}};
    return put(s->sock, &r, true, NVME_PDU_CAPSULE_RESP, 0, NULL, 0);
}

static bool answer_data(struct side *s, const struct pdu *p)
{
    uint32_t n = ASH_MIN(ash_le32_get(p->cmd.sqe.sgl.length), (uint32_t)MESSAGE_MAX);
    struct pdu r = {.data = {.cccid = p->cmd.sqe.cid, .datal = ash_le32(n)}};
    return put(s->sock, &r, true, NVME_PDU_C2H_DATA, NVME_PDU_LAST, s->said, n) &&
           answer(s, p, 0, 0);
}

/* A message for the host, which has sent the last one. */
static bool say_next(struct side *s, const struct pdu *p)
{
    unsigned trick;
    const struct nvme_chap_hdr *last = (const void *)s->heard;
    if (last->type == NVME_CHAP_TYPE_COMMON)
        make_challenge(s);
    else
        make_success1(s);
    if (!spoil(s, &trick))
        return false;
    if (trick == OTHER)
        return answer(s, p, 0, NVME_SC_INVALID_FIELD);
    if (trick == SHORT) /* else the same as the whole: it is padded */
        memset(s->said + s->n_said, 0, sizeof(s->said) - s->n_said);
    return answer_data(s, p);
}

static void take_message(struct side *s, const struct pdu *p)
{
    memset(s->heard, 0, sizeof(s->heard));
    memcpy(s->heard, p->body, p->n_body);
    s->t_id = ash_le16_get(((const struct nvme_chap_hdr *)(const void *)s->heard)->t_id);
}

static void ctrlr_task(void *arg)
{
    struct ctrlr *c = arg;
    struct side *s = c->side;
    struct rt_op o = {.kind = RT_OP_ACCEPT, .sock = c->listener};
    struct pdu *p = calloc(1, sizeof(*p));
    struct nvme_ic_resp ic = {.maxh2cdata = ash_le32(131072)};
    bool ok = rt_op_wait(&o) >= 0;
    s->sock = ok ? o.ret_sock : NULL;
    ok = ok && get(s->sock, p) && put(s->sock, &ic, true, NVME_PDU_IC_RESP, 0, NULL, 0);
    while (ok && get(s->sock, p) && p->hdr.type == NVME_PDU_CAPSULE_CMD) {
        uint8_t fctype = ((const struct nvme_connect_sqe *)(const void *)&p->cmd.sqe)->fctype;
        if (fctype == NVME_FC_CONNECT) {
            ok = answer(s, p, 1 | (uint32_t)NVME_AUTHREQ_ATR << 16, 0);
        } else if (fctype == NVME_FC_AUTH_SEND) {
            take_message(s, p);
            ok = answer(s, p, 0, 0);
        } else {
            ok = say_next(s, p);
        }
    }
    if (s->sock)
        rt_sock_close(s->sock);
    free(p);
    rt_event_set(&c->ended, 0);
}

static void try_host(struct side *s)
{
    struct ctrlr c = {.side = s, .ended = RT_EVENT_INIT};
    struct nvme_qpair *qp = NULL;
    struct nvme_qpair_opts o = {.address = "tcp://127.0.0.1:4420",
                                .subnqn = SUBNQN,
                                .hostnqn = HOSTNQN,
                                .chap_key = &host_key,
                                .chap_ctrlr_key = s->flags & BOTH_WAYS ? &ctrlr_key : NULL,
                                .cntlid = NVME_CNTLID_DYNAMIC,
                                .depth = 31,
                                .connect_timeout_ns = 1000000000};
    ASH_ASSERT(rt_listen("tcp://127.0.0.1:4420", 0600, &c.listener, NULL) == 0);
    ASH_ASSERT(rt_task_spawn("controller", ctrlr_task, &c) == 0);
    struct ash_err err = {0};
    int rc = nvme_qpair_open(&o, &qp, &err);
    ASH_ASSERT((rc == 0) == (qp != NULL) && (rc == 0 || err.reason != ASH_OK));
    ASH_ASSERT(rc || !(s->flags & WRONG_KEY) || !(s->flags & BOTH_WAYS));
    ASH_ASSERT(rc == 0 || s->is_touched || (s->flags & WRONG_KEY));
    nvme_qpair_close(qp);
    rt_sock_shutdown(c.listener);
    rt_event_wait(&c.ended);
    rt_sock_close(c.listener);
}

/* --------------------------------------------------------------------- a run */

static int body(void *arg)
{
    struct side *s = arg;
    struct bdev_mgr *mgr;
    ASH_ASSERT(bdev_mgr_create(NULL, NULL, &mgr, NULL) == 0);
    s->flags = (uint8_t)next_byte(s->in);
    s->hash = (uint8_t)(1 + (s->flags >> 6) % 3);
    s->group = s->flags & WITH_GROUP ? NVME_CHAP_FFDHE2048 : NVME_CHAP_NO_GROUP;
    s->t_id = 0x1234;
    memset(s->random, 0x77, sizeof(s->random));
    if (s->flags & OUR_HOST)
        try_host(s);
    else
        try_target(s, mgr);
    bdev_mgr_destroy(mgr);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input in = {data, n};
    struct side *s = calloc(1, sizeof(*s));
    struct rt_opts opts;
    struct rt *rt;
    s->in = &in;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_run_task(rt, "fuzz", body, s) == 0);
    rt_destroy(rt);
    free(s);
    return 0;
}
