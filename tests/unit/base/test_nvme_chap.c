/* SPDX-License-Identifier: Apache-2.0 */
/* DH-HMAC-CHAP: secrets good and bad; responses against numbers from another implementation
 * (Python's hashlib, hmac and pow, the primes by the formula of RFC 7919). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/nvme_chap.h"

#define HOSTNQN "nqn.2014-08.org.nvmexpress:uuid:6e8e2f0c-1d5c-4f30-8c4f-0f4b2b8f6d10"
#define SUBNQN  "nqn.2016-06.io.spdk:t"
#define S32     "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC"

static const char *const bad_secrets[] = {
    "",
    "DHHC-1:",
    "DHHC-1:00:",
    "DHHC-1:00::",
    "DHHC-2:00:" S32 ":",
    "dhhc-1:00:" S32 ":",
    "DHHC-1:04:" S32 ":",
    "DHHC-1:0:" S32 ":",
    "DHHC-1:10:" S32 ":",
    "DHHC-1:00:" S32,
    "DHHC-1:00:" S32 "::",
    "DHHC-1:00:BQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:", /* another key */
    "DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOD:", /* another sum */
    "DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl:",     /* 33 bytes */
    "DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OO=:",
    "DHHC-1:00:!QgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:",
    "DHHC-1:00:"
    "AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOCAQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3v"
    "sXM09pl1OOCAQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:",
};

static void test_secrets(void **state)
{
    (void)state;
    struct nvme_chap_key key = {0};
    struct ash_err err = {0};
    for (size_t i = 0; i < ASH_N_ELEMS(bad_secrets); i++) {
        err = (struct ash_err){0};
        if (nvme_chap_key_parse(bad_secrets[i], "k", &key, &err) != -EINVAL)
            fail_msg("%s", bad_secrets[i]);
        assert_int_equal(err.reason, ASH_E_NVME_KEY);
        assert_null(strstr(err.text, "AQgP")); /* never shown */
        assert_int_equal(key.n_bytes, 0);
    }
    err = (struct ash_err){0};
    assert_int_equal(nvme_chap_key_parse("DHHC-1:01:" S32 ":\n", "k", &key, &err), 0);
    assert_int_equal(key.hash, 1);
    assert_int_equal(key.n_bytes, 32);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(key.bytes[i], (i * 7 + 1) & 255);
}

struct row {
    const char *secret;
    bool of_host;
    uint8_t hash, group;
    const char *response, *dh_value; /* SHA-256 of them */
};

static const struct row rows[] = {
    {"DHHC-1:00:" S32 ":", true, 1, 0,
     "2853fc0c60df45ca21accb128586c91ccee83e895ef75b80383cecee7efab30c", ""},
    {"DHHC-1:01:AgkQFx4lLDM6QUhPVl1ka3J5gIeOlZyjqrG4v8bN1Nuz7TWq:", false, 1, 0,
     "9ec7d85b7e1aede4482a20c8bd08d4ad325334281dd8c9b4ad0e61a9c6b7f280", ""},
    {"DHHC-1:02:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3PkVMRdxyRQ==:", true, 2,
     1, "d6a0aac31b49a36d11b58d6d0862d5383c20da7a04d5a10c997ef8a5ed9d4ed8",
     "a0dcc24a1fb32fab3d1110715c0540ce79a9008eb39b34c1817ada19569456a7"},
    {"DHHC-1:03:BAsSGSAnLjU8Q0pRWF9mbXR7gomQl56lrLO6wcjP1t3k6/"
     "L5AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vVR3QN4=:",
     false, 3, 2, "08a2b40c93dc63899bb33ea2a0d89dc06f43c4bd5457d1b68cb66b10e3d969aa",
     "c1e4472f345acdd34a5cd346255bddba16004151bb63df995e1c9796c1ed6cb3"},
    {"DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09rh6O/2/QQLEhkgJy41PENKDH94wg==:", true, 3,
     3, "a65dbe9517a7c1e8f0918d89543bd46205bc062447af6d07e697004d1f491d6b",
     "ac6050a6efbeabde5e7e8abfcb24a64479f72aa4f28c96bb89ea962413fa50d4"},
    {"DHHC-1:01:AgkQFx4lLDM6QUhPVl1ka3J5gIeOlZyjqrG4v8bN1Nuz7TWq:", false, 2, 4,
     "8ccbe1212bab35afb18fe4727dde73115f6d446e8178fe7a159b44967357374e",
     "9a183a45e8f1719442afb112eb1697a31c9c10602b929bf439a7692585db8611"},
    {"DHHC-1:03:BAsSGSAnLjU8Q0pRWF9mbXR7gomQl56lrLO6wcjP1t3k6/"
     "L5AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vVR3QN4=:",
     true, 1, 5, "5834c35fd08df6bc6d999e35bf5512b2a7af1560728695f0950a36527e21e9a4",
     "770f2681fa856f880c68a0c0747ebe8a61ab02bcd698485f22f13c8b20bb2ff3"},
};

static void expect_sha256(const uint8_t *data, size_t n, const char *want)
{
    uint8_t digest[32];
    char text[65];
    assert_true(EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL));
    for (unsigned i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, want);
}

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        const struct row *r = &rows[i];
        struct nvme_chap_key key;
        struct ash_err err = {0};
        uint8_t a[NVME_CHAP_RANDOM], b[NVME_CHAP_RANDOM], challenge[NVME_CHAP_HASH_MAX];
        uint8_t ga[NVME_CHAP_DH_MAX], gb[NVME_CHAP_DH_MAX], ab[NVME_CHAP_DH_MAX],
            ba[NVME_CHAP_DH_MAX], response[NVME_CHAP_HASH_MAX];
        unsigned n_hash = nvme_chap_hash_bytes(r->hash), n_dh = nvme_chap_group_bytes(r->group);
        assert_int_equal(nvme_chap_key_parse(r->secret, "k", &key, &err), 0);
        for (unsigned k = 0; k < NVME_CHAP_RANDOM; k++) {
            a[k] = (uint8_t)(k * 5 + r->group);
            b[k] = (uint8_t)(k * 11 + r->group);
        }
        for (unsigned k = 0; k < n_hash; k++)
            challenge[k] = (uint8_t)(k * 3 + r->hash);
        if (n_dh) {
            assert_int_equal(nvme_chap_dh_value(r->group, a, ga), 0);
            assert_int_equal(nvme_chap_dh_value(r->group, b, gb), 0);
            expect_sha256(ga, n_dh, r->dh_value);
            assert_int_equal(nvme_chap_dh_shared(r->group, a, gb, ab), 0);
            assert_int_equal(nvme_chap_dh_shared(r->group, b, ga, ba), 0);
            assert_memory_equal(ab, ba, n_dh);
        }
        struct nvme_chap_proof p = {&key,      r->of_host, r->hash, r->group, n_dh ? ab : NULL,
                                    challenge, 0x01020304, 0x0506,  HOSTNQN,  SUBNQN};
        assert_int_equal(nvme_chap_response(&p, response), 0);
        expect_sha256(response, n_hash, r->response);
    }
}

/* Numbers that everybody could have guessed. */
static void test_bad_values(void **state)
{
    (void)state;
    uint8_t random[NVME_CHAP_RANDOM] = {1}, bad[NVME_CHAP_DH_MAX] = {0}, out[NVME_CHAP_DH_MAX];
    for (unsigned group = NVME_CHAP_FFDHE2048; group < NVME_CHAP_N_GROUPS; group++) {
        unsigned n = nvme_chap_group_bytes(group);
        memset(bad, 0, sizeof(bad));
        assert_int_equal(nvme_chap_dh_shared(group, random, bad, out), -EINVAL);
        bad[n - 1] = 1;
        assert_int_equal(nvme_chap_dh_shared(group, random, bad, out), -EINVAL);
        memset(bad, 0xFF, n); /* above the prime */
        assert_int_equal(nvme_chap_dh_shared(group, random, bad, out), -EINVAL);
    }
    assert_int_equal(nvme_chap_hash_bytes(0), 0);
    assert_int_equal(nvme_chap_hash_bytes(4), 0);
    assert_int_equal(nvme_chap_group_bytes(0), 0);
    assert_int_equal(nvme_chap_group_bytes(6), 0);
    assert_string_equal(nvme_chap_reason_text(200), nvme_chap_reason_text(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_bad_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
