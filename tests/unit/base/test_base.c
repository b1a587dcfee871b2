/* SPDX-License-Identifier: Apache-2.0 */
/* base: the parts everything else stands on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/err.h"
#include "base/htab.h"
#include "base/jsonw.h"
#include "base/param.h"
#include "base/text.h"
#include "base/uuid.h"

static void crc_matches_vectors(void **state)
{
    static const uint8_t zeroes[4092];
    assert_int_equal(ash_crc32c("123456789", 9), 0xE3069283u);
    assert_int_equal(ash_crc32c(zeroes, sizeof(zeroes)), 0xA732586Eu);
}

static void bitmap_is_first_fit(void **state)
{
    struct ash_bitmap bm;
    assert_int_equal(ash_bitmap_init(&bm, 130), 0);
    for (uint64_t i = 0; i < 130; i++) {
        assert_int_equal(ash_bitmap_find_clear(&bm, 0), i);
        assert_false(ash_bitmap_set(&bm, i));
    }
    assert_true(ash_bitmap_find_clear(&bm, 0) == ASH_BITMAP_NONE);
    assert_true(ash_bitmap_clear(&bm, 77));
    assert_true(ash_bitmap_clear(&bm, 5));
    assert_int_equal(ash_bitmap_find_clear(&bm, 0), 5);
    assert_int_equal(ash_bitmap_find_clear(&bm, 6), 77);
    uint8_t bytes[17];
    ash_bitmap_store(&bm, bytes);
    assert_int_equal(bytes[0], 0xdf);
    assert_int_equal(bytes[16], 0x03);
    assert_int_equal(ash_bitmap_resize(&bm, 300), 0);
    assert_int_equal(bm.n_set, 128);
    ash_bitmap_load(&bm, bytes, 130);
    assert_int_equal(bm.n_set, 128);
    assert_false(ash_bitmap_test(&bm, 77));
    assert_int_equal(ash_bitmap_find_set(&bm, 129), 129);
    assert_true(ash_bitmap_find_set(&bm, 130) == ASH_BITMAP_NONE);
    ash_bitmap_fini(&bm);
}

static void uuid_forms(void **state)
{
    struct ash_uuid u, v;
    char text[ASH_UUID_TEXT_BYTES];
    assert_int_equal(ash_uuid_parse("AAAAAAAA-0000-4000-8000-00000000000f", &u), 0);
    assert_string_equal(ash_uuid_format(&u, text), "aaaaaaaa-0000-4000-8000-00000000000f");
    assert_int_equal(ash_uuid_parse("aaaaaaaa-0000-4000-8000-00000000000", &v), -EINVAL);
    assert_int_equal(ash_uuid_parse("aaaaaaaa00004000800000000000000f", &v), -EINVAL);
    assert_int_equal(ash_uuid_parse_any("{aaaaaaaa-0000-4000-8000-00000000000f}", &v), 0);
    assert_true(ash_uuid_equal(&u, &v));
    assert_int_equal(ash_uuid_parse_any("urn:uuid:aaaaaaaa00004000800000000000000f", &v), 0);
    assert_true(ash_uuid_equal(&u, &v));
    assert_int_equal(ash_uuid_parse_any("{aaaaaaaa-0000-4000-8000-00000000000f", &v), -EINVAL);
    /* RFC 4122 DNS name space and "www.example.com": a published version 5 value */
    assert_int_equal(ash_uuid_parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8", &u), 0);
    ash_uuid_v5(&u, "www.example.com", 15, &v);
    assert_string_equal(ash_uuid_format(&v, text), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        int rc;
        uint64_t n;
    } rows[] = {
        {"512", 0, 512},         {"64K", 0, 65536},
        {"64k", 0, 65536},       {"1MiB", 0, 1 << 20},
        {"10G", 0, 10ull << 30}, {"1.5G", 0, 3ull << 29},
        {"10KB", 0, 10000},      {"7B", 0, 7},
        {"1 GiB", 0, 1 << 30},   {"15E", 0, 15ull << 60},
        {"16E", -ERANGE, 0},     {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},      {"1X", -EINVAL, 0},
        {"1.", -EINVAL, 0},      {"K", -EINVAL, 0},
        {"1KiBx", -EINVAL, 0},   {"99999999999999999999", -ERANGE, 0},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        uint64_t n = 0;
        assert_int_equal(ash_parse_size(rows[i].text, &n), rows[i].rc);
        if (rows[i].rc == 0)
            assert_int_equal(n, rows[i].n);
    }
    char buf[32];
    assert_string_equal(ash_format_size(10ull << 30, buf, sizeof(buf)), "10 GiB");
    assert_string_equal(ash_format_size(3ull << 29, buf, sizeof(buf)), "1.50 GiB");
}

static void json_text_is_seven_bit(void **state)
{
    struct ash_buf buf ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_jsonw w;
    ash_jsonw_init(&w, &buf);
    ash_jsonw_obj(&w, NULL);
    ash_jsonw_str(&w, "a", "h\xc3\xa9/\x7f\n\"");
    ash_jsonw_arr(&w, "b");
    ash_jsonw_u64(&w, NULL, UINT64_MAX);
    ash_jsonw_bool(&w, NULL, true);
    ash_jsonw_arr_end(&w);
    ash_jsonw_strn(&w, "c", "x\0\xf0\x9f\x98\x80\xff", 7);
    ash_jsonw_null(&w, "d");
    ash_jsonw_obj_end(&w);
    assert_string_equal(ash_buf_text(&buf),
                        "{\"a\":\"h\\u00E9/\\u007F\\n\\\"\",\"b\":[18446744073709551615,true],"
                        "\"c\":\"x\\u0000\\uD83D\\uDE00\\uFFFD\",\"d\":null}");
}

static void first_error_wins(void **state)
{
    struct ash_err err = {0};
    assert_int_equal(ash_err_set(&err, ASH_E_POOL_FULL, "tank", "pool 'tank' is full"), -ENOSPC);
    assert_int_equal(ash_err_set(&err, ASH_E_NO_MEMORY, "x", "other"), -ENOMEM);
    ash_err_while(&err, -1, "writing %d", 7);
    assert_string_equal(err.text, "pool 'tank' is full; while writing 7");
    assert_int_equal(err.reason, ASH_E_POOL_FULL);
    enum ash_reason r;
    assert_int_equal(ash_reason_parse("pool-full", &r), 0);
    assert_int_equal(r, ASH_E_POOL_FULL);
    assert_int_equal(ash_reason_parse("pool-ful", &r), -ENOENT);
    for (int i = 1; i < ASH_N_REASONS; i++)
        assert_true(ash_reason_errno(i) > 0 && *ash_reason_what(i) && *ash_reason_hint(i));
}

static void table_finds_all(void **state)
{
    struct ash_htab tab;
    struct ash_hnode nodes[500] = {{0}};
    char keys[500][16];
    assert_int_equal(ash_htab_init(&tab), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        assert_int_equal(ash_htab_insert(&tab, &nodes[i], keys[i]), 0);
    }
    struct ash_hnode again;
    assert_int_equal(ash_htab_insert(&tab, &again, "k7"), -EEXIST);
    for (int i = 0; i < 500; i += 2)
        ash_htab_remove(&tab, &nodes[i]);
    for (int i = 0; i < 500; i++)
        assert_ptr_equal(ash_htab_find(&tab, keys[i]), i & 1 ? &nodes[i] : NULL);
    ash_htab_fini(&tab);
}

struct sample {
    char *name;
    uint32_t n;
    uint64_t big;
    bool on, has_n;
    int mode;
    struct ash_strlist list;
};

static const struct ash_enum modes[] = {{"one", 1}, {"two", 2}, {NULL, 0}};
static const struct ash_param sample_table[] = {
    ASH_PARAM(struct sample, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name"),
    ASH_PARAM_OPT(struct sample, n, ASH_P_U32, "number"),
    ASH_PARAM(struct sample, big, ASH_P_U64, 0, "77", "number"),
    ASH_PARAM(struct sample, on, ASH_P_BOOL, 0, NULL, "switch"),
    ASH_PARAM_ENUM(struct sample, mode, 0, "two", modes, "word"),
    ASH_PARAM(struct sample, list, ASH_P_STRLIST, 0, NULL, "words"),
    {0},
};

static enum ash_reason decode(const char *json, struct sample *s)
{
    struct ash_err err = {0};
    memset(s, 0, sizeof(*s));
    struct json_object *o = json_tokener_parse(json);
    assert_non_null(o);
    ash_params_from_json(sample_table, s, o, false, &err);
    json_object_put(o);
    return err.reason;
}

static void params_decode(void **state)
{
    struct sample s;
    assert_int_equal(
        decode("{\"name\":\"x\",\"n\":1e3,\"big\":18446744073709551615,\"list\":[\"a\",\"b\"]}",
               &s),
        ASH_OK);
    assert_string_equal(s.name, "x");
    assert_int_equal(s.n, 1000);
    assert_true(s.has_n);
    assert_true(s.big == UINT64_MAX);
    assert_int_equal(s.mode, 2);
    assert_int_equal(s.list.n_items, 2);
    ash_params_free(sample_table, &s);
    assert_int_equal(decode("{\"name\":\"x\"}", &s), ASH_OK);
    assert_false(s.has_n);
    assert_int_equal(s.big, 77);
    ash_params_free(sample_table, &s);
    assert_int_equal(decode("{}", &s), ASH_E_MISSING_PARAMETER);
    assert_int_equal(decode("{\"name\":null}", &s), ASH_E_BAD_PARAMETER_TYPE);
    assert_int_equal(decode("{\"name\":\"x\",\"n\":1.5}", &s), ASH_E_BAD_PARAMETER_TYPE);
    assert_int_equal(decode("{\"name\":\"x\",\"n\":4294967296}", &s), ASH_E_BAD_PARAMETER_TYPE);
    assert_int_equal(decode("{\"name\":\"x\",\"n\":-1}", &s), ASH_E_BAD_PARAMETER_TYPE);
    assert_int_equal(decode("{\"name\":\"x\",\"mode\":\"Two\"}", &s), ASH_E_BAD_PARAMETER_TYPE);
    assert_int_equal(decode("{\"name\":\"x\",\"other\":1}", &s), ASH_E_UNKNOWN_PARAMETER);
    assert_int_equal(decode("{\"name\":\"x\",\"list\":[1]}", &s), ASH_E_BAD_PARAMETER_TYPE);
}

static void small_parsers(void **state)
{
    uint64_t n;
    assert_int_equal(ash_parse_u64("18446744073709551615", UINT64_MAX, &n), 0);
    assert_int_equal(ash_parse_u64("18446744073709551616", UINT64_MAX, &n), -ERANGE);
    assert_int_equal(ash_parse_u64("5x", 10, &n), -EINVAL);
    char text[] = "a%20b+c%2F";
    assert_int_equal(ash_percent_decode(text, true), 0);
    assert_string_equal(text, "a b c/");
    char bad[] = "%zz";
    assert_int_equal(ash_percent_decode(bad, false), -EINVAL);
    assert_true(ash_utf8_valid("\xe2\x82\xac", 3));
    assert_false(ash_utf8_valid("\xed\xa0\x80", 3)); /* a surrogate */
    assert_false(ash_utf8_valid("\xc0\xaf", 2));     /* overlong */
    struct ash_buf b ASH_CLEANUP(ash_buf_free) = {0};
    ash_base64(&b, "abcd", 4);
    assert_string_equal(ash_buf_text(&b), "YWJjZA==");
    assert_int_equal(ash_be32_get((struct be32){{1, 2, 3, 4}}), 0x01020304);
    assert_int_equal(ash_le32_get((struct le32){{1, 2, 3, 4}}), 0x04030201);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_matches_vectors),
        cmocka_unit_test(bitmap_is_first_fit),
        cmocka_unit_test(uuid_forms),
        cmocka_unit_test(sizes),
        cmocka_unit_test(json_text_is_seven_bit),
        cmocka_unit_test(first_error_wins),
        cmocka_unit_test(table_finds_all),
        cmocka_unit_test(params_decode),
        cmocka_unit_test(small_parsers),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
