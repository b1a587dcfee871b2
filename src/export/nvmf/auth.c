/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's side of DH-HMAC-CHAP. A host that has a key must prove it on each queue, right
 * after Connect: until then nothing but the messages of the exchange is taken.
 *
 *   WAIT_NEGOTIATE --Send--> SAY_CHALLENGE --Receive--> WAIT_REPLY --Send--> SAY_SUCCESS1
 * --Receive--> done, or, when the host wants us to prove ourselves: WAIT_SUCCESS2 --Send--> done
 *   any --wrong message, wrong proof--> SAY_FAILURE1 --Receive--> the connection ends
 *
 * All of it is on the queue's own reactor, with a copy of the keys as they were at Connect.
 * Source: docs/spec/nvme-tcp.md 9. */
#include <errno.h>

#include "base/nvme_chap.h"
#include "export/nvmf/nvmf_int.h"

enum state {
    WAIT_NEGOTIATE,
    SAY_CHALLENGE,
    WAIT_REPLY,
    SAY_SUCCESS1,
    WAIT_SUCCESS2,
    SAY_FAILURE1,
    OVER,
};

struct nvmf_auth {
    enum state state;
    struct nvme_chap_key key, ctrlr_key;
    bool has_ctrlr_key;
    uint16_t t_id;
    uint8_t hash, group, reason;
    uint32_t seq;
    uint8_t random[NVME_CHAP_RANDOM], challenge[NVME_CHAP_HASH_MAX];
    uint8_t response[NVME_CHAP_HASH_MAX]; /* ours, when the host wants it */
    bool has_response;
};

struct nvmf_auth *nvmf_auth_new(const struct nvmf_host *host)
{
    struct nvmf_auth *auth = rt_alloc(sizeof(*auth));
    if (!auth)
        return NULL;
    auth->key = *host->key;
    auth->has_ctrlr_key = host->ctrlr_key;
    if (host->ctrlr_key)
        auth->ctrlr_key = *host->ctrlr_key;
    return auth;
}

bool nvmf_is_auth(const struct nvme_sqe *sqe)
{
    const struct nvme_auth_sqe *auth = (const void *)sqe;
    return sqe->opcode == NVME_OP_FABRICS &&
           (auth->fctype == NVME_FC_AUTH_SEND || auth->fctype == NVME_FC_AUTH_RECV);
}

void nvmf_auth_free(struct nvmf_auth *auth)
{
    if (!auth)
        return;
    nvme_chap_wipe(auth, sizeof(*auth));
    rt_free(auth);
}

static void fail(struct nvmf_auth *auth, enum nvme_chap_reason reason)
{
    auth->state = SAY_FAILURE1;
    auth->reason = (uint8_t)reason;
}

/* ------------------------------------------------------------- what it says */

/* The strongest hash; the group by how long the reactor is busy with it, none only when the host
 * offers no other. */
static uint8_t choose(const uint8_t *offered, unsigned n_offered, const uint8_t *wanted,
                      unsigned n_wanted, bool *ret_found)
{
    for (unsigned i = 0; i < n_wanted; i++)
        if (memchr(offered, wanted[i], n_offered)) {
            *ret_found = true;
            return wanted[i];
        }
    *ret_found = false;
    return 0;
}

static void take_negotiate(struct nvmf_auth *auth, const uint8_t *data, uint32_t n)
{
    static const uint8_t hashes[] = {NVME_CHAP_SHA512, NVME_CHAP_SHA384, NVME_CHAP_SHA256};
    static const uint8_t groups[] = {NVME_CHAP_FFDHE3072, NVME_CHAP_FFDHE4096, NVME_CHAP_FFDHE2048,
                                     NVME_CHAP_FFDHE6144, NVME_CHAP_FFDHE8192, NVME_CHAP_NO_GROUP};
    const struct nvme_chap_negotiate *m = (const void *)data;
    const struct nvme_chap_descriptor *d = &m->descriptor;
    bool found;
    if (m->hdr.type != NVME_CHAP_TYPE_COMMON || m->hdr.id != NVME_CHAP_NEGOTIATE) {
        fail(auth, NVME_CHAP_BAD_MESSAGE);
        return;
    }
    auth->t_id = ash_le16_get(m->hdr.t_id);
    if (n < sizeof(*m) || m->n_descriptors == 0 || d->n_hashes > NVME_CHAP_LIST_MAX ||
        d->n_groups > NVME_CHAP_LIST_MAX) {
        fail(auth, NVME_CHAP_BAD_PAYLOAD);
        return;
    }
    if (m->sc_c != 0) {
        fail(auth, NVME_CHAP_NO_CONCATENATION);
        return;
    }
    if (d->protocol != NVME_CHAP_PROTOCOL) {
        fail(auth, NVME_CHAP_NO_PROTOCOL);
        return;
    }
    auth->hash = choose(d->hashes, d->n_hashes, hashes, sizeof(hashes), &found);
    if (!found) {
        fail(auth, NVME_CHAP_NO_HASH);
        return;
    }
    auth->group = choose(d->groups, d->n_groups, groups, sizeof(groups), &found);
    if (!found) {
        fail(auth, NVME_CHAP_NO_DH_GROUP);
        return;
    }
    rt_random(auth->random, sizeof(auth->random));
    rt_random(auth->challenge, sizeof(auth->challenge));
    auth->seq = (uint32_t)rt_random_u64() | 1;
    auth->state = SAY_CHALLENGE;
}

static bool prove(const struct nvmf_conn *conn, bool of_host, const uint8_t *shared,
                  const uint8_t *challenge, uint32_t seq, uint8_t *ret)
{
    const struct nvmf_auth *auth = conn->auth;
    struct nvme_chap_proof proof = {.key = of_host ? &auth->key : &auth->ctrlr_key,
                                    .of_host = of_host,
                                    .hash = auth->hash,
                                    .group = auth->group,
                                    .shared = auth->group ? shared : NULL,
                                    .challenge = challenge,
                                    .seq = seq,
                                    .t_id = auth->t_id,
                                    .hostnqn = conn->hostnqn,
                                    .subnqn = conn->subnqn};
    return nvme_chap_response(&proof, ret) == 0;
}

static void take_reply(struct nvmf_conn *conn, const uint8_t *data, uint32_t n)
{
    struct nvmf_auth *auth = conn->auth;
    const struct nvme_chap_reply *m = (const void *)data;
    unsigned n_hash = nvme_chap_hash_bytes(auth->hash), n_dh = nvme_chap_group_bytes(auth->group);
    uint8_t want[NVME_CHAP_HASH_MAX], shared[NVME_CHAP_DH_MAX];
    const uint8_t *response = data + sizeof(*m), *theirs = response + n_hash;
    if (m->hdr.type != NVME_CHAP_TYPE_DHCHAP || m->hdr.id != NVME_CHAP_REPLY) {
        fail(auth, NVME_CHAP_BAD_MESSAGE);
        return;
    }
    if (n < sizeof(*m) + 2 * n_hash + n_dh || ash_le16_get(m->hdr.t_id) != auth->t_id ||
        m->hash_bytes != n_hash || ash_le16_get(m->dh_bytes) != n_dh ||
        (n_dh && nvme_chap_dh_shared(auth->group, auth->random, theirs + n_hash, shared) != 0)) {
        fail(auth, NVME_CHAP_BAD_PAYLOAD);
        return;
    }
    bool ok = prove(conn, true, shared, auth->challenge, auth->seq, want) &&
              nvme_chap_equal(want, response, n_hash);
    auth->has_response = ok && m->has_challenge;
    if (auth->has_response)
        ok = auth->has_ctrlr_key &&
             prove(conn, false, shared, theirs, ash_le32_get(m->seq), auth->response);
    nvme_chap_wipe(shared, sizeof(shared));
    if (ok)
        auth->state = SAY_SUCCESS1;
    else
        fail(auth, NVME_CHAP_FAILED);
}

/* Success2, or Failure2: the host does not believe us. */
static bool take_last(struct nvmf_conn *conn, const uint8_t *data)
{
    const struct nvme_chap_hdr *hdr = (const void *)data;
    if (hdr->type != NVME_CHAP_TYPE_DHCHAP || hdr->id != NVME_CHAP_SUCCESS2 ||
        ash_le16_get(hdr->t_id) != conn->auth->t_id)
        return false;
    conn->auth->state = OVER;
    return true;
}

/* ------------------------------------------------------------- what we say */

static void put_challenge(struct nvmf_req *req)
{
    struct nvmf_auth *auth = req->conn->auth;
    struct nvme_chap_challenge *m = req->buf;
    unsigned n_hash = nvme_chap_hash_bytes(auth->hash), n_dh = nvme_chap_group_bytes(auth->group);
    m->hdr.type = NVME_CHAP_TYPE_DHCHAP;
    m->hdr.id = NVME_CHAP_CHALLENGE;
    m->hash_bytes = (uint8_t)n_hash;
    m->hash = auth->hash;
    m->group = auth->group;
    m->dh_bytes = ash_le16((uint16_t)n_dh);
    m->seq = ash_le32(auth->seq);
    uint8_t *at = (uint8_t *)(m + 1);
    memcpy(at, auth->challenge, n_hash);
    auth->state = WAIT_REPLY;
    if (n_dh && nvme_chap_dh_value(auth->group, auth->random, at + n_hash) != 0)
        fail(auth, NVME_CHAP_NO_DH_GROUP);
}

static void put_success1(struct nvmf_req *req)
{
    struct nvmf_auth *auth = req->conn->auth;
    struct nvme_chap_success1 *m = req->buf;
    m->hdr.type = NVME_CHAP_TYPE_DHCHAP;
    m->hdr.id = NVME_CHAP_SUCCESS1;
    m->hash_bytes = (uint8_t)nvme_chap_hash_bytes(auth->hash);
    m->has_response = auth->has_response;
    if (auth->has_response)
        memcpy(m + 1, auth->response, m->hash_bytes);
    auth->state = auth->has_response ? WAIT_SUCCESS2 : OVER;
}

static void put_failure1(struct nvmf_req *req)
{
    struct nvme_chap_failure *m = req->buf;
    m->hdr.type = NVME_CHAP_TYPE_COMMON;
    m->hdr.id = NVME_CHAP_FAILURE1;
    m->code = 1;
    m->reason = req->conn->auth->reason;
    req->conn->hang_up = true;
    rt_log(RT_LOG_WARN, "nvmf", "host %s is not let in to %s: %s", req->conn->hostnqn,
           req->conn->subnqn, nvme_chap_reason_text(m->reason));
}

/* ------------------------------------------------------------------ commands */

static void auth_send(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    if (req->got_bytes < sizeof(struct nvme_chap_failure)) {
        fail(conn->auth, NVME_CHAP_BAD_PAYLOAD);
    } else if (conn->auth->state == WAIT_NEGOTIATE) {
        take_negotiate(conn->auth, req->buf, req->got_bytes);
    } else if (conn->auth->state == WAIT_REPLY) {
        take_reply(conn, req->buf, req->got_bytes);
    } else if (conn->auth->state == WAIT_SUCCESS2) {
        if (!take_last(conn, req->buf))
            conn->hang_up = true;
    } else {
        fail(conn->auth, NVME_CHAP_BAD_MESSAGE);
    }
    nvmf_reply(req);
}

static void auth_receive(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    enum state state = conn->auth->state;
    if (state != SAY_CHALLENGE && state != SAY_SUCCESS1 && state != SAY_FAILURE1) {
        nvmf_fail(req, NVME_SC_SEQUENCE | NVME_STATUS_DNR);
        return;
    }
    if (req->sgl_bytes < NVME_CHAP_MESSAGE_MAX) {
        nvmf_fail(req, NVME_SC_INVALID_FIELD | NVME_STATUS_DNR);
        return;
    }
    if (!nvmf_reply_data(req, NVME_CHAP_MESSAGE_MAX)) {
        nvmf_fail(req, NVME_SC_INTERNAL);
        return;
    }
    if (state == SAY_CHALLENGE)
        put_challenge(req);
    else if (state == SAY_SUCCESS1)
        put_success1(req);
    if (conn->auth->state == SAY_FAILURE1) {
        memset(req->buf, 0, req->buf_bytes);
        put_failure1(req);
    }
    ((struct nvme_chap_hdr *)req->buf)->t_id = ash_le16(conn->auth->t_id);
    nvmf_reply(req);
}

void nvmf_auth(struct nvmf_req *req)
{
    const struct nvme_auth_sqe *sqe = (const void *)&req->sqe;
    struct nvmf_conn *conn = req->conn;
    bool send = sqe->fctype == NVME_FC_AUTH_SEND;
    if (!conn->auth) { /* nobody asked for it, or it is over */
        nvmf_fail(req, NVME_SC_SEQUENCE | NVME_STATUS_DNR);
        return;
    }
    if (sqe->secp != NVME_SECP_AUTH || sqe->spsp0 != 1 || sqe->spsp1 != 1 ||
        ash_le32_get(sqe->length) != req->sgl_bytes || (send && !req->buf)) {
        nvmf_fail(req, NVME_SC_INVALID_FIELD | NVME_STATUS_DNR);
        return;
    }
    if (send)
        auth_send(req);
    else
        auth_receive(req);
    if (conn->auth->state == OVER) {
        nvmf_auth_free(conn->auth);
        conn->auth = NULL;
        __atomic_store_n(&conn->proven, true, __ATOMIC_RELAXED);
    }
}
