/* SPDX-License-Identifier: Apache-2.0 */
/* NVMe/TCP over TLS 1.3: the configured key, and the key and identity that TLS is given for a host
 * and a subsystem. No I/O, no TLS.
 *
 *   configured PSK  --HostNQN-->  retained PSK  --identity-->  TLS PSK
 *
 * Source: docs/spec/nvme-tcp.md 9. */
#ifndef ASH_BASE_NVME_TLS_H
#define ASH_BASE_NVME_TLS_H

#include "base/nvme_chap.h"

enum { NVME_TLS_KEY_MAX = 48, NVME_TLS_IDENTITY_MAX = 9 + 2 * NVME_NQN_FIELD };

/* "NVMeTLSkey-1:hh:base64(key, CRC-32 of it):". -EINVAL NVME_KEY; the text is never shown. */
int nvme_tls_key_parse(const char *text, const char *name, struct nvme_chap_key *ret_key,
                       struct ash_err *err);

struct nvme_tls_psk {
    char identity[NVME_TLS_IDENTITY_MAX];
    uint8_t key[NVME_TLS_KEY_MAX];
    uint8_t n_bytes; /* 32: TLS_AES_128_GCM_SHA256; 48: TLS_AES_256_GCM_SHA384 */
};

/* -EINVAL: the names are too long for an identity; -ENOMEM. */
int nvme_tls_derive(const struct nvme_chap_key *key, const char *hostnqn, const char *subnqn,
                    struct nvme_tls_psk *ret_psk);

/* The names in an identity, each with room for NVME_NQN_FIELD. False: it is none of ours. */
bool nvme_tls_identity_parse(const char *identity, char *ret_hostnqn, char *ret_subnqn);

/* HKDF-Extract without salt and HKDF-Expand-Label (RFC 8446, 7.1), n_bytes of the hash with as
 * many. Public for their tests. -EINVAL: label or context too long; -ENOMEM. */
int nvme_tls_extract(const uint8_t *key, size_t n_bytes, uint8_t *ret);
int nvme_tls_expand(const uint8_t *secret, size_t n_bytes, const char *label, const void *context,
                    size_t n_context, uint8_t *ret);

#endif
