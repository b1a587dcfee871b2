/* SPDX-License-Identifier: Apache-2.0 */
/* jsonrpc: where values end in a stream, what is refused, and what the tree holds. */
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

#include "ctl/jsonrpc/framing.h"
#include "ctl/jsonrpc/jsonrpc.h"

/* Events of a whole stream as text: V value, S scalar, E error; '.' when it may end there. */
static void events(const char *data, size_t n_bytes, size_t chunk, char *out)
{
    struct json_scan scan;
    json_scan_init(&scan, JSON_VALUES_MAX);
    size_t pos = 0;
    while (pos < n_bytes) {
        size_t used, n = ASH_MIN(chunk, n_bytes - pos);
        int event = json_scan_feed(&scan, data + pos, n, &used);
        assert_true(used <= n);
        pos += used;
        if (event == JSON_SCAN_VALUE)
            *out++ = 'V';
        else if (event == JSON_SCAN_SCALAR)
            *out++ = 'S';
        else if (event < 0) {
            *out++ = 'E';
            *out = '\0';
            return;
        }
    }
    *out++ = json_scan_at_rest(&scan) ? '.' : '-';
    *out = '\0';
}

static const struct {
    const char *text, *events;
} streams[] = {
    {"", "."},
    {" \t\r\n", "."},
    {"{}", "V."},
    {"[]", "V."},
    {"{}{}", "VV."},
    {" {} [] \n", "VV."},
    {"{\"a\":[1,2,{\"b\":null}],\"c\":\"x\"}", "V."},
    {"[true,false,null,-0,0.5,1e5,1E-5,-12.5e+3]", "V."},
    {"12", "S."},
    {"-", "-"},
    {"-1", "S."},
    {"1.", "S-"},
    {"1e", "S-"},
    {"12 {}", "SV."},
    {"12{\"a\":1}", "SV."},
    {"123456 7", "SS."},
    {"\"abc\"", "S."},
    {"\"abc\"12", "SS."},
    {"true", "S."},
    {"nul", "-"},
    {"nulx", "E"},
    {"truefalse", "SS."},
    {"12x", "SE"},
    {"hello", "E"},
    {"01", "SE"},
    {"[01]", "E"},
    {"[-]", "E"},
    {"[+1]", "E"},
    {"[.5]", "E"},
    {"[1.]", "E"},
    {"[1e]", "E"},
    {"[1,]", "E"},
    {"[,1]", "E"},
    {"[1 2]", "E"},
    {"{\"a\":1,}", "E"},
    {"{\"a\" 1}", "E"},
    {"{\"a\"}", "E"},
    {"{a:1}", "E"},
    {"{1:1}", "E"},
    {"{\"a\":}", "E"},
    {"[}", "E"},
    {"{]", "E"},
    {"]", "E"},
    {"}", "E"},
    {",", "E"},
    {":", "E"},
    {"{} // c", "VE"},
    {"{/*c*/}", "E"},
    {"['a']", "E"},
    {"[\"\\x\"]", "E"},
    {"[\"\\u12g4\"]", "E"},
    {"[\"\\u0000\"]", "V."},
    {"[\"\\ud83d\\ude00\"]", "V."},
    {"[\"\\ud83d\"]", "E"},
    {"[\"\\ud83dx\"]", "E"},
    {"[\"\\ud83d\\n\"]", "E"},
    {"[\"\\ud83d\\ud83d\"]", "E"},
    {"[\"\\ude00\"]", "E"},
    {"[\"\x01\"]", "E"},
    {"[\"a\nb\"]", "E"},
    {"[\"\x7f\"]", "V."},
    {"[\"\xc3\xa9\"]", "V."},
    {"[\"\xf0\x9f\x98\x80\"]", "V."},
    {"[\"\xff\"]", "E"},
    {"[\"\xc0\x80\"]", "E"},
    {"[\"\xc3\"]", "E"},
    {"[\"\xe0\x80\x80\"]", "E"},
    {"[\"\xed\xa0\x80\"]", "E"},
    {"[\"\xf4\x90\x80\x80\"]", "E"},
    {"[\"\x80\"]", "E"},
    {"\xef\xbb\xbf{}", "E"},
    {"[NaN]", "E"},
    {"[Infinity]", "E"},
    {"[0x10]", "E"},
    {"[1]x", "VE"},
    {"[\"unterminated", "-"},
    {"{\"a\":1", "-"},
};

static void streams_however_they_are_cut(void **state)
{
    for (size_t i = 0; i < ASH_N_ELEMS(streams); i++) {
        for (size_t chunk = 1; chunk <= 8; chunk++) {
            char out[64];
            events(streams[i].text, strlen(streams[i].text), chunk, out);
            if (strcmp(out, streams[i].events))
                fail_msg("%s in pieces of %zu: %s, not %s", streams[i].text, chunk, out,
                         streams[i].events);
        }
    }
}

static void depth_and_count_have_limits(void **state)
{
    char text[JSON_VALUES_MAX * 2 + 16], out[64];
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        events(text, 2 * (size_t)depth, 7, out);
        assert_string_equal(out, depth == JSON_DEPTH_MAX ? "V." : "E");
    }
    /* begin and end of the array count too */
    for (size_t n = JSON_VALUES_MAX - 2; n <= JSON_VALUES_MAX - 1; n++) {
        size_t pos = 0;
        text[pos++] = '[';
        for (size_t i = 0; i < n; i++) {
            text[pos++] = '1';
            text[pos++] = i + 1 < n ? ',' : ']';
        }
        events(text, pos, 1000, out);
        assert_string_equal(out, n == JSON_VALUES_MAX - 2 ? "V." : "E");
    }
    /* the count begins anew with each value */
    struct json_scan scan;
    json_scan_init(&scan, 4);
    size_t used;
    for (int i = 0; i < 10; i++)
        assert_int_equal(json_scan_feed(&scan, "[1]", 3, &used), JSON_SCAN_VALUE);
}

static struct json_object *parse(const char *text)
{
    struct json_object *v = NULL;
    struct ash_err err = {0};
    if (jsonrpc_parse(text, strlen(text), &v, &err))
        fail_msg("%s: %s", text, err.text);
    return v;
}

static void numbers_stay_exact(void **state)
{
    static const struct {
        const char *text;
        bool integer;
        int64_t n;
        uint64_t u;
    } rows[] = {
        {"0", true, 0, 0},
        {"-0", true, 0, 0},
        {"1e3", true, 1000, 1000},
        {"2.0", true, 2, 2},
        {"2.50e1", true, 25, 25},
        {"1200e-2", true, 12, 12},
        {"1234567890123456789e0", true, 1234567890123456789, 1234567890123456789},
        {"9223372036854775807", true, INT64_MAX, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN, 0},
        {"18446744073709551615", true, INT64_MAX, UINT64_MAX},
        {"18446744073709551616", false, 0, 0},
        {"-9223372036854775809", false, 0, 0},
        {"2.5", false, 0, 0},
        {"1e-1", false, 0, 0},
        {"1e400", false, 0, 0},
        {"0e99999999999999999999", true, 0, 0},
        {"1e99999999999999999999", false, 0, 0},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct json_object *v = parse(rows[i].text);
        if (json_object_is_type(v, json_type_int) != rows[i].integer)
            fail_msg("%s: wrong type", rows[i].text);
        if (rows[i].integer) {
            assert_true(json_object_get_int64(v) == rows[i].n);
            assert_true(json_object_get_uint64(v) == rows[i].u);
        }
        json_object_put(v);
    }
}

static void strings_are_decoded(void **state)
{
    struct json_object *v =
        parse(" \"h\\u00E9\\u0000\\/\\\"\\\\\\b\\f\\n\\r\\t\\ud83d\\ude00\xe2\x82\xac\" ");
    static const char want[] = "h\xc3\xa9\0/\"\\\b\f\n\r\t\xf0\x9f\x98\x80\xe2\x82\xac";
    assert_int_equal(json_object_get_string_len(v), sizeof(want) - 1);
    assert_memory_equal(json_object_get_string(v), want, sizeof(want) - 1);
    json_object_put(v);
}

static void trees_are_built(void **state)
{
    struct json_object *v = parse("{\"a\":[1,null,{\"b\":[]}],\"c\":{},\"d\":true}"), *a;
    assert_int_equal(json_object_object_length(v), 3);
    assert_true(json_object_object_get_ex(v, "a", &a));
    assert_int_equal(json_object_array_length(a), 3);
    assert_null(json_object_array_get_idx(a, 1));
    json_object_put(v);
    assert_null(parse("null"));
}

static void bad_texts_name_their_place(void **state)
{
    struct json_object *v = NULL;
    struct ash_err err = {0};
    assert_int_equal(jsonrpc_parse("{\n \"a\": x}", 10, &v, &err), -EINVAL);
    assert_int_equal(err.reason, ASH_E_RPC_PARSE);
    assert_non_null(strstr(err.text, "line 2, column 7"));
    static const char *const bad[] = {"",
                                      "  ",
                                      "{",
                                      "1 2",
                                      "{} {}",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"x\":{\"a\":1,\"a\":2}}",
                                      "{\"a\\u0000b\":1}"};
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++)
        if (jsonrpc_parse(bad[i], strlen(bad[i]), &v, NULL) != -EINVAL)
            fail_msg("'%s' was taken", bad[i]);
}

static void values_are_skipped(void **state)
{
    static const char text[] = "{\"a\":[\"]\\\"\",1,{}]}, \"x\\\\\" ,-1.5e3,true,[],null ";
    struct json_cursor c = {.p = text, .end = text + sizeof(text) - 1};
    for (int i = 0; i < 6; i++) {
        json_skip_value(&c);
        json_skip_blanks(&c);
        if (i < 5)
            assert_int_equal(*c.p++, ',');
    }
    assert_ptr_equal(c.p, c.end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_however_they_are_cut),
        cmocka_unit_test(depth_and_count_have_limits),
        cmocka_unit_test(numbers_stay_exact),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(trees_are_built),
        cmocka_unit_test(bad_texts_name_their_place),
        cmocka_unit_test(values_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
