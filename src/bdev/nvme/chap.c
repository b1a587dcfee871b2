/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of DH-HMAC-CHAP, on a queue that has just connected.
 * Source: docs/spec/nvme-tcp.md 9. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/nvme_chap.h"
#include "bdev/nvme/qpair.h"

enum { MESSAGE_ROOM = 4096 };

struct exchange {
    struct nvme_qpair *qp;
    struct ash_err *err;
    uint16_t t_id;
    uint8_t hash, group;
    uint32_t seq; /* of our challenge; 0: there is none */
    uint8_t random[NVME_CHAP_RANDOM], challenge[NVME_CHAP_HASH_MAX];
    uint8_t shared[NVME_CHAP_DH_MAX];
    uint8_t *buf; /* MESSAGE_ROOM bytes */
};

static int refuse(struct exchange *x, const char *what)
{
    return ash_err_set(x->err, ASH_E_NVME_AUTH, x->qp->opts.subnqn, "authentication with '%s': %s",
                       x->qp->opts.subnqn, what);
}

static int move(struct exchange *x, bool send, uint32_t n) ASH_MAY_WAIT
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
    struct nvme_cqe cqe;
    int rc = nvme_exec(x->qp, &u.sqe, x->buf, n, send, &cqe);
    if (rc && x->qp->is_by_peer) /* perhaps before we could ask why: that is an answer too */
        return refuse(x, "the controller has ended the connection");
    if (rc)
        return rc;
    return nvme_cqe_status(&cqe) ? refuse(x, "the controller refuses a message") : 0;
}

static int say(struct exchange *x, uint8_t type, uint8_t id, uint32_t n) ASH_MAY_WAIT
{
    struct nvme_chap_hdr *hdr = (void *)x->buf;
    *hdr = (struct nvme_chap_hdr){.type = type, .id = id, .t_id = ash_le16(x->t_id)};
    return move(x, true, n);
}

/* A message of that id, or the controller's reason why not. */
static int hear(struct exchange *x, uint8_t id) ASH_MAY_WAIT
{
    const struct nvme_chap_hdr *hdr = (const void *)x->buf;
    const struct nvme_chap_failure *failure = (const void *)x->buf;
    memset(x->buf, 0, MESSAGE_ROOM);
    int rc = move(x, false, MESSAGE_ROOM);
    if (rc)
        return rc;
    if (hdr->type == NVME_CHAP_TYPE_COMMON && hdr->id == NVME_CHAP_FAILURE1)
        return refuse(x, nvme_chap_reason_text(failure->reason));
    if (hdr->type != NVME_CHAP_TYPE_DHCHAP || hdr->id != id || ash_le16_get(hdr->t_id) != x->t_id)
        return refuse(x, "the controller does not keep to the protocol");
    return 0;
}

static int negotiate(struct exchange *x) ASH_MAY_WAIT
{
    static const uint8_t hashes[] = {NVME_CHAP_SHA512, NVME_CHAP_SHA384, NVME_CHAP_SHA256};
    static const uint8_t groups[] = {NVME_CHAP_FFDHE3072, NVME_CHAP_FFDHE4096, NVME_CHAP_FFDHE2048,
                                     NVME_CHAP_FFDHE6144, NVME_CHAP_FFDHE8192, NVME_CHAP_NO_GROUP};
    struct nvme_chap_negotiate *m = (void *)x->buf;
    memset(m, 0, sizeof(*m));
    m->n_descriptors = 1;
    m->descriptor.protocol = NVME_CHAP_PROTOCOL;
    m->descriptor.n_hashes = sizeof(hashes);
    m->descriptor.n_groups = sizeof(groups);
    memcpy(m->descriptor.hashes, hashes, sizeof(hashes));
    memcpy(m->descriptor.groups, groups, sizeof(groups));
    return say(x, NVME_CHAP_TYPE_COMMON, NVME_CHAP_NEGOTIATE, sizeof(*m));
}

static int respond(struct exchange *x, bool of_host, const uint8_t *challenge, uint32_t seq,
                   uint8_t *ret)
{
    const struct nvme_qpair_opts *o = &x->qp->opts;
    struct nvme_chap_proof proof = {.key = of_host ? o->chap_key : o->chap_ctrlr_key,
                                    .of_host = of_host,
                                    .hash = x->hash,
                                    .group = x->group,
                                    .shared = x->group ? x->shared : NULL,
                                    .challenge = challenge,
                                    .seq = seq,
                                    .t_id = x->t_id,
                                    .hostnqn = o->hostnqn,
                                    .subnqn = o->subnqn};
    return nvme_chap_response(&proof, ret);
}

/* The challenge is in the buffer: answer it. */
static int reply(struct exchange *x) ASH_MAY_WAIT
{
    struct nvme_chap_challenge c;
    uint8_t theirs[NVME_CHAP_HASH_MAX], response[NVME_CHAP_HASH_MAX];
    memcpy(&c, x->buf, sizeof(c));
    unsigned n_hash = nvme_chap_hash_bytes(c.hash), n_dh = nvme_chap_group_bytes(c.group);
    if (n_hash == 0 || c.hash_bytes != n_hash || c.group >= NVME_CHAP_N_GROUPS ||
        ash_le16_get(c.dh_bytes) != n_dh)
        return refuse(x, "a challenge that does not fit what was offered");
    x->hash = c.hash;
    x->group = c.group;
    memcpy(theirs, x->buf + sizeof(c), n_hash);
    int rc =
        n_dh ? nvme_chap_dh_shared(c.group, x->random, x->buf + sizeof(c) + n_hash, x->shared) : 0;
    if (rc == -EINVAL)
        return refuse(x, "a DH value that must not be");
    if (rc == 0)
        rc = respond(x, true, theirs, ash_le32_get(c.seq), response);
    struct nvme_chap_reply *m = (void *)x->buf;
    memset(m, 0, sizeof(*m));
    m->hash_bytes = (uint8_t)n_hash;
    m->has_challenge = x->seq != 0;
    m->dh_bytes = ash_le16((uint16_t)n_dh);
    m->seq = ash_le32(x->seq);
    uint8_t *at = x->buf + sizeof(*m);
    memcpy(at, response, n_hash);
    memset(at + n_hash, 0, n_hash);
    if (x->seq)
        memcpy(at + n_hash, x->challenge, n_hash);
    if (rc == 0 && n_dh)
        rc = nvme_chap_dh_value(c.group, x->random, at + 2 * n_hash);
    if (rc)
        return ash_err_set_rc(x->err, rc, ASH_E_NVME_AUTH, x->qp->opts.subnqn,
                              "the response to '%s' could not be computed", x->qp->opts.subnqn);
    return say(x, NVME_CHAP_TYPE_DHCHAP, NVME_CHAP_REPLY, (uint32_t)sizeof(*m) + 2 * n_hash + n_dh);
}

/* It has let us in; is it the one that we want? */
static int check_controller(struct exchange *x) ASH_MAY_WAIT
{
    const struct nvme_chap_success1 *s = (const void *)x->buf;
    uint8_t want[NVME_CHAP_HASH_MAX];
    unsigned n_hash = nvme_chap_hash_bytes(x->hash);
    if (!x->seq)
        return 0;
    int rc = respond(x, false, x->challenge, x->seq, want);
    bool ok = rc == 0 && s->has_response && s->hash_bytes == n_hash &&
              nvme_chap_equal(want, x->buf + sizeof(*s), n_hash);
    if (ok) {
        memset(x->buf, 0, sizeof(struct nvme_chap_success2));
        return say(x, NVME_CHAP_TYPE_DHCHAP, NVME_CHAP_SUCCESS2, sizeof(struct nvme_chap_success2));
    }
    struct nvme_chap_failure *m = (void *)x->buf;
    *m = (struct nvme_chap_failure){.code = 1, .reason = NVME_CHAP_FAILED};
    struct ash_err ignored = {0}, *err = x->err;
    x->err = &ignored;
    (void)say(x, NVME_CHAP_TYPE_COMMON, NVME_CHAP_FAILURE2, sizeof(*m));
    x->err = err;
    return refuse(x, "the controller does not know its own key");
}

int nvme_qpair_authenticate(struct nvme_qpair *qp, struct ash_err *err)
{
    struct exchange *x = rt_alloc(sizeof(*x));
    uint8_t *buf = rt_alloc(MESSAGE_ROOM);
    int rc = x && buf ? 0 : -ENOMEM;
    if (rc == 0) {
        *x = (struct exchange){.qp = qp, .err = err, .buf = buf};
        x->t_id = (uint16_t)rt_random_u64();
        rt_random(x->random, sizeof(x->random));
        if (qp->opts.chap_ctrlr_key) {
            rt_random(x->challenge, sizeof(x->challenge));
            x->seq = (uint32_t)rt_random_u64() | 1;
        }
        rc = negotiate(x);
    }
    if (rc == 0)
        rc = hear(x, NVME_CHAP_CHALLENGE);
    if (rc == 0)
        rc = reply(x);
    if (rc == 0)
        rc = hear(x, NVME_CHAP_SUCCESS1);
    if (rc == 0)
        rc = check_controller(x);
    if (x)
        nvme_chap_wipe(x, sizeof(*x));
    rt_free(x);
    rt_free(buf);
    return rc;
}
