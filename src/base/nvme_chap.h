/* SPDX-License-Identifier: Apache-2.0 */
/* DH-HMAC-CHAP, what both sides compute and say: secrets, messages, responses. No I/O; whoever
 * calls brings the random numbers.
 *
 *   host                                   controller
 *   Negotiate: hashes, groups        -->
 *                                    <--   Challenge: hash, group, C1, S1, g^x
 *   Reply: R1, g^y, and (both ways) C2, S2 -->
 *                                    <--   Success1: (both ways) R2; or Failure1
 *   both ways: Success2 or Failure2  -->
 *
 * Source: docs/spec/nvme-tcp.md 9. */
#ifndef ASH_BASE_NVME_CHAP_H
#define ASH_BASE_NVME_CHAP_H

#include "base/err.h"
#include "base/nvme_proto.h"

enum {
    NVME_CHAP_KEY_MAX = 64,
    NVME_CHAP_HASH_MAX = 64,    /* bytes of a digest */
    NVME_CHAP_DH_MAX = 1024,    /* of a group's numbers */
    NVME_CHAP_SECRET_MAX = 160, /* characters of a secret, more than any has */
    NVME_CHAP_RANDOM = 64,      /* bytes of the secret exponent */
};

enum nvme_chap_hash { NVME_CHAP_SHA256 = 1, NVME_CHAP_SHA384 = 2, NVME_CHAP_SHA512 = 3 };
enum nvme_chap_group {
    NVME_CHAP_NO_GROUP = 0,
    NVME_CHAP_FFDHE2048 = 1,
    NVME_CHAP_FFDHE3072 = 2,
    NVME_CHAP_FFDHE4096 = 3,
    NVME_CHAP_FFDHE6144 = 4,
    NVME_CHAP_FFDHE8192 = 5,
    NVME_CHAP_N_GROUPS,
};

/* A secret as configured: "DHHC-1:hh:base64(key, CRC-32 of it):". */
struct nvme_chap_key {
    uint8_t
        hash; /* 0: the key is used as it is; else it is bound to its owner's NQN by that hash */
    uint8_t n_bytes;
    uint8_t bytes[NVME_CHAP_KEY_MAX];
};

/* Any key of that form, after head. As nvme_chap_key_parse. */
int nvme_key_parse(const char *head, const char *text, const char *name,
                   struct nvme_chap_key *ret_key, struct ash_err *err);
/* Blanks and a newline at the end do not count. -EINVAL NVME_KEY; the text is never shown. */
int nvme_chap_key_parse(const char *text, const char *name, struct nvme_chap_key *ret_key,
                        struct ash_err *err);

/* ------------------------------------------------------------------ messages */

enum {
    NVME_CHAP_TYPE_COMMON = 0, /* Negotiate, Failure1, Failure2 */
    NVME_CHAP_TYPE_DHCHAP = 1,
    NVME_CHAP_NEGOTIATE = 0x00,
    NVME_CHAP_CHALLENGE = 0x01,
    NVME_CHAP_REPLY = 0x02,
    NVME_CHAP_SUCCESS1 = 0x03,
    NVME_CHAP_SUCCESS2 = 0x04,
    NVME_CHAP_FAILURE2 = 0xF0,
    NVME_CHAP_FAILURE1 = 0xF1,
};
enum nvme_chap_reason {
    NVME_CHAP_FAILED = 1,
    NVME_CHAP_NO_PROTOCOL = 2,
    NVME_CHAP_NO_CONCATENATION = 3,
    NVME_CHAP_NO_HASH = 4,
    NVME_CHAP_NO_DH_GROUP = 5,
    NVME_CHAP_BAD_PAYLOAD = 6,
    NVME_CHAP_BAD_MESSAGE = 7,
};

struct nvme_chap_hdr {
    uint8_t type, id;
    struct le16 reserved;
    struct le16 t_id; /* of the exchange */
};

enum { NVME_CHAP_LIST_MAX = 30, NVME_CHAP_PROTOCOL = 1 };

struct nvme_chap_negotiate {
    struct nvme_chap_hdr hdr;
    uint8_t sc_c; /* secure channel concatenation: 0 */
    uint8_t n_descriptors;
    struct nvme_chap_descriptor {
        uint8_t protocol, reserved;
        uint8_t n_hashes, n_groups;
        uint8_t hashes[NVME_CHAP_LIST_MAX], groups[NVME_CHAP_LIST_MAX];
    } descriptor; /* the first */
};

struct nvme_chap_challenge { /* then the challenge, then the DH value */
    struct nvme_chap_hdr hdr;
    uint8_t hash_bytes, reserved7;
    uint8_t hash, group;
    struct le16 dh_bytes;
    struct le32 seq;
};

struct nvme_chap_reply { /* then the response, the host's challenge, the DH value */
    struct nvme_chap_hdr hdr;
    uint8_t hash_bytes, reserved7;
    uint8_t has_challenge, reserved9;
    struct le16 dh_bytes;
    struct le32 seq;
};

struct nvme_chap_success1 { /* then the controller's response */
    struct nvme_chap_hdr hdr;
    uint8_t hash_bytes, reserved7;
    uint8_t has_response, reserved9[7];
};

struct nvme_chap_success2 {
    struct nvme_chap_hdr hdr;
    uint8_t reserved6[10];
};

struct nvme_chap_failure {
    struct nvme_chap_hdr hdr;
    uint8_t code;   /* 1 */
    uint8_t reason; /* enum nvme_chap_reason */
};

NVME_SIZE(nvme_chap_negotiate, 72);
NVME_SIZE(nvme_chap_challenge, 16);
NVME_SIZE(nvme_chap_reply, 16);
NVME_SIZE(nvme_chap_success1, 16);
NVME_SIZE(nvme_chap_success2, 16);
NVME_SIZE(nvme_chap_failure, 8);

enum { NVME_CHAP_MESSAGE_MAX = 16 + 2 * NVME_CHAP_HASH_MAX + NVME_CHAP_DH_MAX };

const char *nvme_chap_reason_text(unsigned reason);

/* --------------------------------------------------------------- computation */

unsigned nvme_chap_hash_bytes(unsigned hash);   /* 0: there is no such hash */
unsigned nvme_chap_group_bytes(unsigned group); /* 0: without numbers, or no such group */

/* Our DH value, nvme_chap_group_bytes(group) bytes. -ENOMEM. */
int nvme_chap_dh_value(unsigned group, const uint8_t random[NVME_CHAP_RANDOM], uint8_t *ret);
/* What both sides know then, as many bytes. -EINVAL: theirs is not a number that may be. */
int nvme_chap_dh_shared(unsigned group, const uint8_t random[NVME_CHAP_RANDOM],
                        const uint8_t *theirs, uint8_t *ret);

/* One side's proof: of the host to the controller's challenge, or the other way round. */
struct nvme_chap_proof {
    const struct nvme_chap_key *key;
    bool of_host;
    uint8_t hash, group;
    const uint8_t *shared; /* of the group; NULL without one */
    const uint8_t *challenge;
    uint32_t seq;
    uint16_t t_id;
    const char *hostnqn, *subnqn;
};
/* nvme_chap_hash_bytes(hash) bytes. -ENOMEM. */
int nvme_chap_response(const struct nvme_chap_proof *p, uint8_t *ret);
bool nvme_chap_equal(const uint8_t *a, const uint8_t *b, size_t n); /* in constant time */
/* Overwrite what is secret; unlike a memset before the end of a life it is never left out. */
void nvme_chap_wipe(void *secret, size_t n_bytes);

#endif
