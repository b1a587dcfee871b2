/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for TLS: HKDF-Expand-Label against the trace of RFC 8448 (3, 1-RTT handshake), the key of a
 * host and a subsystem against numbers from another implementation (Python's hmac), bad keys. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/nvme_tls.h"

#define HOSTNQN "nqn.2014-08.org.nvmexpress:uuid:6e8e2f0c-1d5c-4f30-8c4f-0f4b2b8f6d10"
#define SUBNQN  "nqn.2016-06.io.spdk:t"
#define S32     "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC"
#define S48     "AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3PkVMRdxyRQ=="

static void check(const uint8_t *is, const char *want)
{
    char text[2 * NVME_TLS_KEY_MAX + 1];
    for (size_t i = 0; i < strlen(want) / 2; i++)
        snprintf(text + 2 * i, 3, "%02x", is[i]);
    assert_string_equal(text, want);
}

static void test_labels(void **state)
{
    static const uint8_t zeroes[32];
    uint8_t early[32], derived[32], empty[32];
    (void)state;
    assert_int_equal(nvme_tls_extract(zeroes, 32, early), 0);
    check(early, "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    SHA256((const uint8_t *)"", 0, empty);
    assert_int_equal(nvme_tls_expand(early, 32, "derived", empty, 32, derived), 0);
    check(derived, "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
    char label[256];
    memset(label, 'x', sizeof(label) - 1);
    label[250] = 0;
    assert_int_equal(nvme_tls_expand(early, 32, label, "", 0, derived), -EINVAL);
    label[249] = 0;
    assert_int_equal(nvme_tls_expand(early, 32, label, "", 0, derived), 0);
    assert_int_equal(nvme_tls_expand(early, 32, "x", label, 256, derived), -EINVAL);
}

static const struct {
    const char *secret, *identity, *key;
} derived_keys[] = {
    {"NVMeTLSkey-1:00:" S32 ":", "NVMe0R01 " HOSTNQN " " SUBNQN,
     "8bd25c9d4a5e715d8b484920d71d10bc3e902f206335ddff829bf54f0298a713"},
    {"NVMeTLSkey-1:01:" S32 ":\n", "NVMe0R01 " HOSTNQN " " SUBNQN,
     "892844ae7feaf0ef0e7e0fc6b34173b297449d14cd11a918457f9adcf72a6934"},
    {"NVMeTLSkey-1:02:" S48 ":", "NVMe0R02 " HOSTNQN " " SUBNQN,
     "fac3418c9ae573ed261979af00060d01381f88b11afdd4f057c94cf55135cc5197031a2846eb62d0f38c0c7f3417f"
     "d59"},
};

static void test_derived(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ASH_N_ELEMS(derived_keys); i++) {
        struct nvme_chap_key key;
        struct nvme_tls_psk psk;
        char hostnqn[NVME_NQN_FIELD], subnqn[NVME_NQN_FIELD];
        struct ash_err err = {0};
        assert_int_equal(nvme_tls_key_parse(derived_keys[i].secret, "k", &key, &err), 0);
        assert_int_equal(nvme_tls_derive(&key, HOSTNQN, SUBNQN, &psk), 0);
        assert_string_equal(psk.identity, derived_keys[i].identity);
        assert_int_equal(psk.n_bytes, key.n_bytes);
        check(psk.key, derived_keys[i].key);
        assert_true(nvme_tls_identity_parse(psk.identity, hostnqn, subnqn));
        assert_string_equal(hostnqn, HOSTNQN);
        assert_string_equal(subnqn, SUBNQN);
    }
}

static void test_long_names(void **state)
{
    struct nvme_chap_key key;
    struct nvme_tls_psk psk;
    struct ash_err err = {0};
    char name[NVME_NQN_FIELD];
    (void)state;
    snprintf(name, sizeof(name), "nqn.2016-06.io.spdk:%0200d", 1);
    assert_int_equal(nvme_tls_key_parse("NVMeTLSkey-1:01:" S32 ":", "k", &key, &err), 0);
    assert_int_equal(nvme_tls_derive(&key, name, SUBNQN, &psk), 0);
    assert_int_equal(nvme_tls_derive(&key, name, "nqn.2016-06.io.spdk:long", &psk), 0);
    assert_int_equal(nvme_tls_derive(&key, name, "nqn.2016-06.io.spdk:longer", &psk), -EINVAL);
}

static void test_bad(void **state)
{
    static const char *const secrets[] = {
        "",
        "NVMeTLSkey-1:",
        "DHHC-1:01:" S32 ":",
        "NVMeTLSkey-2:01:" S32 ":",
        "NVMeTLSkey-1:02:" S32 ":",
        "NVMeTLSkey-1:03:" S32 ":",
        "NVMeTLSkey-1:01:" S48 ":",
        "NVMeTLSkey-1:01:" S32,
        "NVMeTLSkey-1:01:BQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:",
    };
    static const char *const identities[] = {
        "",
        "NVMe0R01",
        "NVMe0R01 ",
        "NVMe0R01 " HOSTNQN,
        "NVMe0R03 " HOSTNQN " " SUBNQN,
        "NVMe1R01 " HOSTNQN " " SUBNQN,
        "NVMe0G01 " HOSTNQN " " SUBNQN,
    };
    char a[NVME_NQN_FIELD], b[NVME_NQN_FIELD], identity[600];
    struct nvme_chap_key key = {0};
    (void)state;
    for (unsigned i = 0; i < ASH_N_ELEMS(secrets); i++) {
        struct ash_err err = {0};
        if (nvme_tls_key_parse(secrets[i], "k", &key, &err) != -EINVAL)
            fail_msg("%s", secrets[i]);
        assert_int_equal(err.reason, ASH_E_NVME_KEY);
        assert_null(strstr(err.text, "AQgP"));
        assert_int_equal(key.n_bytes, 0);
    }
    for (unsigned i = 0; i < ASH_N_ELEMS(identities); i++)
        if (nvme_tls_identity_parse(identities[i], a, b))
            fail_msg("%s", identities[i]);
    snprintf(identity, sizeof(identity), "NVMe0R01 %0256d x", 1);
    assert_false(nvme_tls_identity_parse(identity, a, b));
    snprintf(identity, sizeof(identity), "NVMe0R01 x %0256d", 1);
    assert_false(nvme_tls_identity_parse(identity, a, b));
    snprintf(identity, sizeof(identity), "NVMe0R01 %0255d %0255d", 1, 2);
    assert_true(nvme_tls_identity_parse(identity, a, b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_derived),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests_name("nvme_tls", tests, NULL, NULL);
}
