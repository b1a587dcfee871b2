/* SPDX-License-Identifier: Apache-2.0 */
/* Source: docs/spec/nvme-tcp.md 9, 13. */
#include "base/nvme_tls.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* Which hash: a key of 48 bytes goes with SHA-384. */
static const EVP_MD *md_of(size_t n_bytes)
{
    ASH_ASSERT(n_bytes == 32 || n_bytes == 48);
    return n_bytes == 48 ? EVP_sha384() : EVP_sha256();
}

int nvme_tls_key_parse(const char *text, const char *name, struct nvme_chap_key *ret_key,
                       struct ash_err *err)
{
    struct nvme_chap_key key;
    int rc = nvme_key_parse("NVMeTLSkey-1:", text, name, &key, err);
    if (rc)
        return rc;
    if (key.n_bytes > NVME_TLS_KEY_MAX || key.hash > 2 || (key.hash == 1 && key.n_bytes != 32) ||
        (key.hash == 2 && key.n_bytes != 48)) {
        nvme_chap_wipe(&key, sizeof(key));
        return ash_err_set(err, ASH_E_NVME_KEY, name,
                           "key '%s': hash 01 goes with 32 bytes, 02 with 48, 00 with either",
                           name);
    }
    *ret_key = key;
    nvme_chap_wipe(&key, sizeof(key));
    return 0;
}

int nvme_tls_extract(const uint8_t *key, size_t n_bytes, uint8_t *ret)
{
    static const uint8_t no_salt[NVME_TLS_KEY_MAX];
    return HMAC(md_of(n_bytes), no_salt, (int)n_bytes, key, n_bytes, ret, NULL) ? 0 : -ENOMEM;
}

int nvme_tls_expand(const uint8_t *secret, size_t n_bytes, const char *label, const void *context,
                    size_t n_context, uint8_t *ret)
{
    static const char prefix[] = "tls13 ";
    uint8_t info[4 + 255 + 255 + 1];
    size_t n = 0, n_label = strlen(prefix) + strlen(label);
    if (n_label > 255 || n_context > 255)
        return -EINVAL;
    info[n++] = 0;
    info[n++] = (uint8_t)n_bytes;
    info[n++] = (uint8_t)n_label;
    memcpy(info + n, prefix, strlen(prefix));
    memcpy(info + n + strlen(prefix), label, strlen(label));
    n += n_label;
    info[n++] = (uint8_t)n_context;
    memcpy(info + n, context, n_context);
    n += n_context;
    info[n++] = 1; /* one block of the hash is all of it */
    return HMAC(md_of(n_bytes), secret, (int)n_bytes, info, n, ret, NULL) ? 0 : -ENOMEM;
}

static int derive(const uint8_t *key, size_t n_bytes, const char *label, const char *context,
                  uint8_t *ret)
{
    uint8_t secret[NVME_TLS_KEY_MAX];
    int rc = nvme_tls_extract(key, n_bytes, secret);
    if (rc == 0)
        rc = nvme_tls_expand(secret, n_bytes, label, context, strlen(context), ret);
    nvme_chap_wipe(secret, sizeof(secret));
    return rc;
}

int nvme_tls_derive(const struct nvme_chap_key *key, const char *hostnqn, const char *subnqn,
                    struct nvme_tls_psk *ret_psk)
{
    struct nvme_tls_psk psk = {.n_bytes = key->n_bytes};
    uint8_t retained[NVME_TLS_KEY_MAX];
    memcpy(retained, key->bytes, key->n_bytes);
    snprintf(psk.identity, sizeof(psk.identity), "NVMe0R0%d %s %s", key->n_bytes == 48 ? 2 : 1,
             hostnqn, subnqn);
    int rc = key->hash ? derive(key->bytes, key->n_bytes, "HostNQN", hostnqn, retained) : 0;
    if (rc == 0)
        rc = derive(retained, key->n_bytes, "nvme-tls-psk", psk.identity, psk.key);
    if (rc == 0)
        *ret_psk = psk;
    nvme_chap_wipe(retained, sizeof(retained));
    nvme_chap_wipe(&psk, sizeof(psk));
    return rc;
}

bool nvme_tls_identity_parse(const char *identity, char *ret_hostnqn, char *ret_subnqn)
{
    if (strncmp(identity, "NVMe0R01 ", 9) != 0 && strncmp(identity, "NVMe0R02 ", 9) != 0)
        return false;
    const char *host = identity + 9, *blank = strchr(host, ' ');
    if (!blank || blank - host >= NVME_NQN_FIELD || strlen(blank + 1) >= NVME_NQN_FIELD)
        return false;
    memcpy(ret_hostnqn, host, (size_t)(blank - host));
    ret_hostnqn[blank - host] = 0;
    memcpy(ret_subnqn, blank + 1, strlen(blank + 1) + 1);
    return true;
}
