/* SPDX-License-Identifier: Apache-2.0 */
/* The TOML reader: what is valid gives this JSON, what is not is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/toml.h"

static const struct {
    const char *toml, *json;
} good[] = {
    {"", "{}"},
    {"# only a comment", "{}"},
    {"a = 1", "{\"a\":1}"},
    {"a = 1\r\nb = 2\r\n", "{\"a\":1,\"b\":2}"},
    {"a.b.c = 1\na.b.d = 2", "{\"a\":{\"b\":{\"c\":1,\"d\":2}}}"},
    {"\"a b\" = true\n'c' = false", "{\"a b\":true,\"c\":false}"},
    {"1-x_Y = 'bare'", "{\"1-x_Y\":\"bare\"}"},
    {"[t]\nx = 1\n[t.u]\ny = 2", "{\"t\":{\"x\":1,\"u\":{\"y\":2}}}"},
    {"[t.u]\ny = 2\n[t]\nx = 1", "{\"t\":{\"u\":{\"y\":2},\"x\":1}}"},
    {"[[l]]\nx = 1\n[[l]]\nx = 2\n[l.sub]\ny = 3",
     "{\"l\":[{\"x\":1},{\"x\":2,\"sub\":{\"y\":3}}]}"},
    {"a = [1, [2, 3], # c\n 'x',\n]", "{\"a\":[1,[2,3],\"x\"]}"},
    {"a = { b = 1, c.d = 'x' }", "{\"a\":{\"b\":1,\"c\":{\"d\":\"x\"}}}"},
    {"a = {}", "{\"a\":{}}"},
    {"a = 0xDEAD_beef\nb = 0o17\nc = 0b101\nd = 1_000\ne = -5\nf = +7",
     "{\"a\":3735928559,\"b\":15,\"c\":5,\"d\":1000,\"e\":-5,\"f\":7}"},
    {"a = 9223372036854775807", "{\"a\":9223372036854775807}"},
    {"a = 1.5\nb = 1e3", "{\"a\":1.5,\"b\":1000.0}"},
    {"a = \"x\\ty\\u00e9\\U0001F600\\\"\"", "{\"a\":\"x\\ty\xc3\xa9\xf0\x9f\x98\x80\\\"\"}"},
    {"a = 'C:\\n'", "{\"a\":\"C:\\\\n\"}"},
    {"a = \"\"\"\nx\ny \\\n   z\"\"\"", "{\"a\":\"x\\ny z\"}"},
    {"a = '''x'y'''''", "{\"a\":\"x'y''\"}"},
    {"a = 1979-05-27T07:32:00Z\nb = 07:32:00\nc = 1979-05-27 07:32:00.5+01:00",
     "{\"a\":\"1979-05-27T07:32:00Z\",\"b\":\"07:32:00\",\"c\":\"1979-05-27 07:32:00.5+01:00\"}"},
};

static const char *const wrong[] = {
    "a",
    "a =",
    "= 1",
    "a = 1 b = 2",
    "a = 1\na = 2",
    "[t]\n[t]",
    "a = 01",
    "a = 1__0",
    "a = _1",
    "a = 1_",
    "a = 0x",
    "a = 1.",
    "a = .5",
    "a = tru",
    "a = \"x",
    "a = \"\\q\"",
    "a = \"\\u12\"",
    "a = 'x\ny'",
    "a = [1 2]",
    "a = [1,",
    "a = {b = 1,}",
    "a = {b = 1",
    "a = {\nb = 1}",
    "[t",
    "[]",
    "[a]\nb=1\n[a.b]\n",
    "a = {b=1}\na.c = 2",
    "a = [1]\n[[a]]",
    "[[a]]\n[a]",
    "a.b = 1\na = 2",
    "a = 1\na.b = 2",
    "a = 99999999999999999999",
    "a = 1979-5-27",
    "a = \"\\ud800\"",
    "a = \"\x01\"",
    "# \x01",
    "[a.b]\nx=1\n[a]\nb.y=2",
};

static void reads_what_is_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(good); i++) {
        struct json_object *root = NULL;
        struct ash_err err = {.reason = ASH_OK};
        int rc = ash_toml_parse(good[i].toml, strlen(good[i].toml), &root, &err);
        if (rc)
            fail_msg("%s: %s", good[i].toml, err.text);
        assert_string_equal(json_object_to_json_string_ext(
                                root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                            good[i].json);
        json_object_put(root);
    }
}

static void refuses_what_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(wrong); i++) {
        struct json_object *root = NULL;
        struct ash_err err = {.reason = ASH_OK};
        if (!ash_toml_parse(wrong[i], strlen(wrong[i]), &root, &err))
            fail_msg("taken: %s", wrong[i]);
        assert_int_equal(err.reason, ASH_E_CONFIG_SYNTAX);
        assert_null(root);
    }
}

static void tells_the_line(void **state)
{
    (void)state;
    struct json_object *root = NULL;
    struct ash_err err = {.reason = ASH_OK};
    const char *text = "a = 1\n\n# c\nb = ?\n";
    assert_int_not_equal(ash_toml_parse(text, strlen(text), &root, &err), 0);
    assert_non_null(strstr(err.text, "line 4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_valid),
        cmocka_unit_test(refuses_what_is_not),
        cmocka_unit_test(tells_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
