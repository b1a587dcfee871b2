/* SPDX-License-Identifier: Apache-2.0 */
/* From text that the scanner has passed to json-c's tree. Because the text is known to be strict
 * JSON, nothing here checks syntax: what the scanner promises is asserted. Two things json-c cannot
 * do are done here: duplicate members are noticed, and integers stay exact however they are written
 * (1e3, 2.0, 18446744073709551615). */
#include "ctl/jsonrpc/framing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/assert.h"
#include "ctl/jsonrpc/jsonrpc.h"

void json_skip_blanks(struct json_cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

static void put_utf8(struct ash_buf *out, uint32_t cp)
{
    char b[4];
    size_t n = 0;
    if (cp < 0x80) {
        b[n++] = (char)cp;
    } else if (cp < 0x800) {
        b[n++] = (char)(0xc0 | cp >> 6);
    } else if (cp < 0x10000) {
        b[n++] = (char)(0xe0 | cp >> 12);
        b[n++] = (char)(0x80 | (cp >> 6 & 0x3f));
    } else {
        b[n++] = (char)(0xf0 | cp >> 18);
        b[n++] = (char)(0x80 | (cp >> 12 & 0x3f));
        b[n++] = (char)(0x80 | (cp >> 6 & 0x3f));
    }
    if (cp >= 0x80)
        b[n++] = (char)(0x80 | (cp & 0x3f));
    ash_buf_add(out, b, n);
}

static uint32_t take_hex4(struct json_cursor *c)
{
    char digits[5] = {0};
    ASH_ASSERT(c->end - c->p >= 4);
    memcpy(digits, c->p, 4);
    c->p += 4;
    return (uint32_t)strtoul(digits, NULL, 16);
}

static void take_escape(struct json_cursor *c, struct ash_buf *out)
{
    static const char letters[] = "bfnrt", chars[] = "\b\f\n\r\t";
    char e = *c->p++;
    if (e != 'u') {
        const char *at = strchr(letters, e);
        ash_buf_chr(out, at ? chars[at - letters] : e);
        return;
    }
    uint32_t cp = take_hex4(c);
    if (cp >= 0xd800 && cp <= 0xdbff) {
        c->p += 2; /* \u, the scanner saw it */
        cp = 0x10000 + ((cp - 0xd800) << 10) + (take_hex4(c) - 0xdc00);
    }
    put_utf8(out, cp);
}

void json_take_string(struct json_cursor *c, struct ash_buf *out)
{
    ASH_ASSERT(c->p < c->end && *c->p == '"');
    c->p++;
    while (*c->p != '"') {
        const char *from = c->p;
        while (*c->p != '"' && *c->p != '\\')
            c->p++;
        ash_buf_add(out, from, (size_t)(c->p - from));
        if (*c->p == '\\') {
            c->p++;
            take_escape(c, out);
        }
    }
    c->p++;
}

void json_skip_value(struct json_cursor *c)
{
    size_t depth = 0;
    do {
        json_skip_blanks(c);
        char b = *c->p++;
        if (b == '"') {
            for (; *c->p != '"'; c->p++)
                c->p += *c->p == '\\';
            c->p++;
        } else if (b == '{' || b == '[') {
            depth++;
        } else if (b == '}' || b == ']') {
            depth--;
        } else if (b != ',' && b != ':') {
            while (c->p < c->end && !strchr(",:]}{[\" \t\r\n", *c->p))
                c->p++;
        }
    } while (depth);
}

/* Digits and exponent to an exact integer. false: it is none, or has more than 64 bits. */
static bool exact_integer(const char *p, const char *end, uint64_t *ret_n)
{
    uint64_t n = 0;
    int exp = 0, n_frac = 0;
    bool frac = false;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            frac = true;
            continue;
        }
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, *p - '0', &n))
            return false;
        n_frac += frac;
    }
    if (p < end) {
        long l = strtol(p + 1, NULL, 10);
        exp = (int)ASH_MAX(ASH_MIN(l, 10000L), -10000L);
    }
    for (exp = n == 0 ? 0 : exp - n_frac; exp < 0; exp++) {
        if (n % 10)
            return false;
        n /= 10;
    }
    for (; exp > 0; exp--)
        if (__builtin_mul_overflow(n, 10u, &n))
            return false;
    *ret_n = n;
    return true;
}

static struct json_object *build_number(struct json_cursor *c)
{
    const char *from = c->p;
    while (c->p < c->end && strchr("+-.eE0123456789", *c->p))
        c->p++;
    size_t n_bytes = (size_t)(c->p - from);
    bool negative = *from == '-';
    char text[64], *heap = NULL, *copy = text;
    if (n_bytes >= sizeof(text)) {
        copy = heap = malloc(n_bytes + 1);
        if (!copy)
            return NULL;
    }
    memcpy(copy, from, n_bytes);
    copy[n_bytes] = '\0';
    uint64_t n = 0;
    struct json_object *v;
    bool exact = exact_integer(copy + negative, copy + n_bytes, &n);
    if (exact && !negative)
        v = n <= INT64_MAX ? json_object_new_int64((int64_t)n) : json_object_new_uint64(n);
    else if (exact && n <= (uint64_t)INT64_MAX + 1)
        v = json_object_new_int64((int64_t)(0 - n));
    else
        v = json_object_new_double_s(strtod(copy, NULL), copy);
    free(heap);
    return v;
}

static struct json_object *build_string(struct json_cursor *c)
{
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    json_take_string(c, &text);
    if (text.failed)
        return NULL;
    return json_object_new_string_len(ash_buf_text(&text), (int)text.n_bytes);
}

static bool build_member(struct json_cursor *c, struct json_object *obj)
{
    struct ash_buf name ASH_CLEANUP(ash_buf_free) = {0};
    json_skip_blanks(c);
    json_take_string(c, &name);
    json_skip_blanks(c);
    c->p++; /* the colon */
    if (name.failed) {
        c->no_memory = true;
        return false;
    }
    const char *key = ash_buf_text(&name);
    if (strlen(key) != name.n_bytes || json_object_object_get_ex(obj, key, NULL))
        c->duplicate = true;
    struct json_object *v = json_build(c);
    if (c->no_memory)
        return false;
    if (json_object_object_add(obj, key, v)) {
        json_object_put(v);
        c->no_memory = true;
        return false;
    }
    return true;
}

static struct json_object *build_container(struct json_cursor *c)
{
    bool object = *c->p++ == '{';
    struct json_object *v = object ? json_object_new_object() : json_object_new_array();
    c->no_memory |= !v;
    json_skip_blanks(c);
    while (!c->no_memory && *c->p != '}' && *c->p != ']') {
        if (object) {
            build_member(c, v);
        } else {
            struct json_object *item = json_build(c);
            if (!c->no_memory && json_object_array_add(v, item)) {
                json_object_put(item);
                c->no_memory = true;
            }
        }
        json_skip_blanks(c);
        if (c->p < c->end && *c->p == ',')
            c->p++;
        json_skip_blanks(c);
    }
    if (c->no_memory) {
        json_object_put(v);
        return NULL;
    }
    c->p++;
    return v;
}

struct json_object *json_build(struct json_cursor *c)
{
    json_skip_blanks(c);
    ASH_ASSERT(c->p < c->end);
    struct json_object *v;
    switch (*c->p) {
    case '{':
    case '[':
        return build_container(c);
    case '"':
        v = build_string(c);
        break;
    case 't':
    case 'f':
        v = json_object_new_boolean(*c->p == 't');
        c->p += *c->p == 't' ? 4 : 5;
        break;
    case 'n':
        c->p += 4;
        return NULL;
    default:
        v = build_number(c);
        break;
    }
    c->no_memory |= !v;
    return v;
}

static void place_of(const char *text, size_t pos, size_t *ret_line, size_t *ret_column)
{
    *ret_line = *ret_column = 1;
    for (size_t i = 0; i + 1 < pos; i++) {
        *ret_column = text[i] == '\n' ? 1 : *ret_column + 1;
        *ret_line += text[i] == '\n';
    }
}

int jsonrpc_parse(const char *text, size_t n_bytes, struct json_object **ret_value,
                  struct ash_err *err)
{
    struct json_scan scan;
    json_scan_init(&scan, 0);
    size_t pos = 0, n_values = 0;
    while (pos < n_bytes) {
        size_t used, line, column;
        int event = json_scan_feed(&scan, text + pos, n_bytes - pos, &used);
        pos += used;
        n_values += event == JSON_SCAN_VALUE || event == JSON_SCAN_SCALAR;
        if (event >= 0 && n_values <= 1)
            continue;
        place_of(text, pos, &line, &column);
        return ash_err_set(err, ASH_E_RPC_PARSE, NULL, "line %zu, column %zu is not valid JSON",
                           line, column);
    }
    if (!json_scan_at_rest(&scan) || n_values == 0)
        return ash_err_set(err, ASH_E_RPC_PARSE, NULL, "the JSON text ends too early");
    struct json_cursor c = {.p = text, .end = text + n_bytes};
    struct json_object *v = json_build(&c);
    if (c.no_memory)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for %zu bytes of JSON", n_bytes);
    if (c.duplicate) {
        json_object_put(v);
        return ash_err_set(err, ASH_E_RPC_PARSE, NULL, "an object has two members of one name");
    }
    *ret_value = v;
    return 0;
}
