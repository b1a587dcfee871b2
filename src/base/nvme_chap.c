/* SPDX-License-Identifier: Apache-2.0 */
/* Source: docs/spec/nvme-tcp.md 9. */
#include "base/nvme_chap.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <string.h>

/* ------------------------------------------------------------------- secrets */

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    while (n--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* How many bytes a text of n characters stands for; -1: it is no base64. */
static int decode_base64(const char *text, size_t n, uint8_t *out, size_t n_room)
{
    uint8_t buf[NVME_CHAP_SECRET_MAX];
    if (n == 0 || n % 4 || n / 4 * 3 > sizeof(buf))
        return -1;
    int got = EVP_DecodeBlock(buf, (const uint8_t *)text, (int)n);
    for (size_t i = n; got > 0 && i > n - 2 && text[i - 1] == '='; i--)
        got--;
    if (got < 0 || (size_t)got > n_room)
        return -1;
    memcpy(out, buf, (size_t)got);
    OPENSSL_cleanse(buf, sizeof(buf));
    return got;
}

static int bad_key(const char *name, const char *what, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_NVME_KEY, name, "key '%s': %s", name, what);
}

int nvme_key_parse(const char *head, const char *text, const char *name,
                   struct nvme_chap_key *ret_key, struct ash_err *err)
{
    struct nvme_chap_key key = {0};
    uint8_t raw[NVME_CHAP_KEY_MAX + 4];
    size_t n = strlen(text);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        n--;
    if (n > NVME_CHAP_SECRET_MAX || n < strlen(head) + 5 || strncmp(text, head, strlen(head)) != 0)
        return ash_err_set(err, ASH_E_NVME_KEY, name, "key '%s': it does not begin with %s", name,
                           head);
    const char *p = text + strlen(head);
    if (p[0] != '0' || p[1] < '0' || p[1] > '3' || p[2] != ':')
        return bad_key(name, "its hash must be 00, 01, 02 or 03", err);
    key.hash = (uint8_t)(p[1] - '0');
    if (text[n - 1] != ':')
        return bad_key(name, "it does not end with a colon", err);
    p += 3;
    int n_raw = decode_base64(p, (size_t)(text + n - 1 - p), raw, sizeof(raw));
    if (n_raw != 36 && n_raw != 52 && n_raw != 68)
        return bad_key(name, "it does not hold 32, 48 or 64 bytes", err);
    key.n_bytes = (uint8_t)(n_raw - 4);
    struct le32 crc = ash_le32(crc32_of(raw, key.n_bytes));
    if (memcmp(&crc, raw + key.n_bytes, sizeof(crc)) != 0)
        return bad_key(name, "its check sum is wrong", err);
    memcpy(key.bytes, raw, key.n_bytes);
    OPENSSL_cleanse(raw, sizeof(raw));
    *ret_key = key;
    return 0;
}

int nvme_chap_key_parse(const char *text, const char *name, struct nvme_chap_key *ret_key,
                        struct ash_err *err)
{
    return nvme_key_parse("DHHC-1:", text, name, ret_key, err);
}

/* --------------------------------------------------------------- computation */

const char *nvme_chap_reason_text(unsigned reason)
{
    static const char *const texts[] = {
        "no reason given",  "authentication failed",  "the protocol is not usable",
        "no concatenation", "the hash is not usable", "the DH group is not usable",
        "a wrong payload",  "a wrong message"};
    return texts[reason < ASH_N_ELEMS(texts) ? reason : 0];
}

static const EVP_MD *md_of(unsigned hash)
{
    switch (hash) {
    case NVME_CHAP_SHA256:
        return EVP_sha256();
    case NVME_CHAP_SHA384:
        return EVP_sha384();
    case NVME_CHAP_SHA512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

unsigned nvme_chap_hash_bytes(unsigned hash)
{
    static const uint8_t n[] = {0, 32, 48, 64};
    return hash < ASH_N_ELEMS(n) ? n[hash] : 0;
}

unsigned nvme_chap_group_bytes(unsigned group)
{
    static const uint16_t n[NVME_CHAP_N_GROUPS] = {0, 256, 384, 512, 768, 1024};
    return group < NVME_CHAP_N_GROUPS ? n[group] : 0;
}

bool nvme_chap_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void nvme_chap_wipe(void *secret, size_t n_bytes)
{
    OPENSSL_cleanse(secret, n_bytes);
}

/* The prime of a group; the generator is 2. NULL: no memory. */
static BIGNUM *prime_of(unsigned group)
{
    static const char *const names[NVME_CHAP_N_GROUPS] = {NULL,        "ffdhe2048", "ffdhe3072",
                                                          "ffdhe4096", "ffdhe6144", "ffdhe8192"};
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)names[group], 0),
        OSSL_PARAM_END};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    EVP_PKEY *pkey = NULL;
    BIGNUM *p = NULL;
    if (ctx && EVP_PKEY_fromdata_init(ctx) > 0 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEY_PARAMETERS, params) > 0)
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_FFC_P, &p);
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(ctx);
    return p;
}

/* base ^ random mod p, with leading zeroes. base: theirs, NULL: 2. */
static int power(unsigned group, const uint8_t *random, const uint8_t *theirs, uint8_t *ret)
{
    int n = (int)nvme_chap_group_bytes(group), rc = -ENOMEM;
    BN_CTX *ctx = BN_CTX_secure_new();
    BIGNUM *p = prime_of(group), *base = BN_new(), *x = BN_secure_new(), *y = BN_new();
    if (!ctx || !p || !base || !x || !y)
        goto out;
    if (!(theirs ? BN_bin2bn(theirs, n, base) : BN_set_word(base, 2) ? base : NULL))
        goto out;
    if (!BN_bin2bn(random, NVME_CHAP_RANDOM, x) || !BN_set_bit(x, NVME_CHAP_RANDOM * 8 - 1))
        goto out;
    if (!BN_copy(y, p) || !BN_sub_word(y, 1))
        goto out;
    if (BN_is_zero(base) || BN_is_one(base) || BN_cmp(base, y) >= 0) {
        rc = -EINVAL; /* 0, 1 or p - 1: everybody would know what is shared */
        goto out;
    }
    BN_set_flags(x, BN_FLG_CONSTTIME);
    if (BN_mod_exp(y, base, x, p, ctx) && BN_bn2binpad(y, ret, n) == n)
        rc = 0;
out:
    BN_free(p);
    BN_free(base);
    BN_clear_free(x);
    BN_clear_free(y);
    BN_CTX_free(ctx);
    return rc;
}

int nvme_chap_dh_value(unsigned group, const uint8_t random[NVME_CHAP_RANDOM], uint8_t *ret)
{
    return power(group, random, NULL, ret);
}

int nvme_chap_dh_shared(unsigned group, const uint8_t random[NVME_CHAP_RANDOM],
                        const uint8_t *theirs, uint8_t *ret)
{
    return power(group, random, theirs, ret);
}

static bool hmac(unsigned hash, const uint8_t *key, size_t n_key, const uint8_t *data, size_t n,
                 uint8_t *ret)
{
    return HMAC(md_of(hash), key, (int)n_key, data, n, ret, NULL);
}

/* The key as it is used: bound to its owner, when it says so. */
static bool bound_key(const struct nvme_chap_key *key, const char *nqn, uint8_t *ret, size_t *ret_n)
{
    static const char tail[] = "NVMe-over-Fabrics";
    uint8_t text[NVME_NQN_FIELD + sizeof(tail)];
    size_t n = strnlen(nqn, NVME_NQN_FIELD);
    if (!key->hash) {
        memcpy(ret, key->bytes, key->n_bytes);
        *ret_n = key->n_bytes;
        return true;
    }
    memcpy(text, nqn, n);
    /* no string. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(text + n, tail, strlen(tail));
    *ret_n = nvme_chap_hash_bytes(key->hash);
    return hmac(key->hash, key->bytes, key->n_bytes, text, n + strlen(tail), ret);
}

/* With a group the challenge is mixed with what is shared. */
static bool mixed_challenge(const struct nvme_chap_proof *p, uint8_t *ret)
{
    unsigned n = nvme_chap_hash_bytes(p->hash);
    uint8_t session[NVME_CHAP_HASH_MAX];
    if (!p->shared) {
        memcpy(ret, p->challenge, n);
        return true;
    }
    bool ok = EVP_Digest(p->shared, nvme_chap_group_bytes(p->group), session, NULL, md_of(p->hash),
                         NULL) &&
              hmac(p->hash, session, n, p->challenge, n, ret);
    OPENSSL_cleanse(session, sizeof(session));
    return ok;
}

static size_t put(uint8_t *buf, size_t at, const void *data, size_t n)
{
    memcpy(buf + at, data, n);
    return at + n;
}

int nvme_chap_response(const struct nvme_chap_proof *p, uint8_t *ret)
{
    uint8_t key[NVME_CHAP_KEY_MAX], text[NVME_CHAP_HASH_MAX + 32 + 2 * NVME_NQN_FIELD];
    const char *first = p->of_host ? p->hostnqn : p->subnqn;
    const char *second = p->of_host ? p->subnqn : p->hostnqn;
    const char *role = p->of_host ? "HostHost" : "Controller";
    struct le32 seq = ash_le32(p->seq);
    struct le16 t_id = ash_le16(p->t_id);
    size_t n_key = 0, n = nvme_chap_hash_bytes(p->hash);
    bool ok = bound_key(p->key, first, key, &n_key) && mixed_challenge(p, text);
    n = put(text, n, &seq, sizeof(seq));
    n = put(text, n, &t_id, sizeof(t_id));
    n = put(text, n, "", 1); /* SC_C */
    n = put(text, n, role, strlen(role));
    n = put(text, n, first, strnlen(first, NVME_NQN_FIELD));
    n = put(text, n, "", 1);
    n = put(text, n, second, strnlen(second, NVME_NQN_FIELD));
    ok = ok && hmac(p->hash, key, n_key, text, n, ret);
    OPENSSL_cleanse(key, sizeof(key));
    return ok ? 0 : -ENOMEM;
}
