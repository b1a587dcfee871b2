/* SPDX-License-Identifier: Apache-2.0 */
/* A recursive-descent reader of TOML 1.0.
 *
 * What may be extended is not visible in the tree, so three sets of tables are kept beside it:
 * `defined` were headed by [x] or stem from a dotted key of another table (heading them again is an
 * error), `closed` were written inline or as array values (nothing may be added). */
#include "base/toml.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define MAX_MARKS 4096

struct mark {
    struct json_object *obj;
    char kind; /* 'h' headed, 'd' made by a dotted key, 'c' closed, 'a' array of tables */
};

struct toml {
    const char *p, *end;
    unsigned line;
    struct ash_err *err;
    int rc;
    struct mark *marks;
    size_t n_marks;
};

static int bad(struct toml *t, const char *what)
{
    if (!t->rc)
        t->rc = ash_err_set(t->err, ASH_E_CONFIG_SYNTAX, NULL, "line %u: %s", t->line, what);
    return t->rc;
}

static bool marked(const struct toml *t, const struct json_object *obj, char kind)
{
    for (size_t i = 0; i < t->n_marks; i++) {
        if (t->marks[i].obj == obj && t->marks[i].kind == kind)
            return true;
    }
    return false;
}

static void mark(struct toml *t, struct json_object *obj, char kind)
{
    if (t->n_marks == MAX_MARKS)
        bad(t, "too many tables");
    else
        t->marks[t->n_marks++] = (struct mark){obj, kind};
}

static int peek(const struct toml *t)
{
    return t->p < t->end ? (unsigned char)*t->p : -1;
}

static bool at(const struct toml *t, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(t->end - t->p) >= n && !memcmp(t->p, text, n);
}

static void blanks(struct toml *t)
{
    while (peek(t) == ' ' || peek(t) == '\t')
        t->p++;
}

static void comment(struct toml *t)
{
    if (peek(t) != '#')
        return;
    while (t->p < t->end && *t->p != '\n') {
        if (((unsigned char)*t->p < 0x20 && *t->p != '\t' && !at(t, "\r\n")) || *t->p == 0x7f)
            bad(t, "a control character in a comment");
        t->p++;
    }
}

static bool newline(struct toml *t)
{
    if (at(t, "\r\n"))
        t->p++;
    if (peek(t) != '\n')
        return false;
    t->p++;
    t->line++;
    return true;
}

static void blank_lines(struct toml *t)
{
    do {
        blanks(t);
        comment(t);
    } while (!t->rc && newline(t));
}

/* --------------------------------------------------------------- strings */

static void put_utf8(struct toml *t, struct ash_buf *out, uint32_t cp)
{
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000) || cp == 0) {
        bad(t, "an escape that is no character");
    } else if (cp < 0x80) {
        ash_buf_chr(out, (char)cp);
    } else if (cp < 0x800) {
        ash_buf_chr(out, (char)(0xc0 | cp >> 6));
        ash_buf_chr(out, (char)(0x80 | (cp & 0x3f)));
    } else if (cp < 0x10000) {
        ash_buf_chr(out, (char)(0xe0 | cp >> 12));
        ash_buf_chr(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        ash_buf_chr(out, (char)(0x80 | (cp & 0x3f)));
    } else {
        ash_buf_chr(out, (char)(0xf0 | cp >> 18));
        ash_buf_chr(out, (char)(0x80 | (cp >> 12 & 0x3f)));
        ash_buf_chr(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        ash_buf_chr(out, (char)(0x80 | (cp & 0x3f)));
    }
}

static void escape(struct toml *t, struct ash_buf *out, bool multi)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    int c = peek(t);
    const char *pos = c > 0 ? strchr(from, c) : NULL;
    if (pos) {
        ash_buf_chr(out, to[pos - from]);
        t->p++;
        return;
    }
    if (c == 'u' || c == 'U') {
        uint32_t cp = 0;
        t->p++;
        for (int i = 0; i < (c == 'u' ? 4 : 8); i++, t->p++) {
            int h = peek(t);
            if (h < 0 || !isxdigit(h)) {
                bad(t, "an escape with too few digits");
                return;
            }
            cp = cp << 4 | (uint32_t)(isdigit(h) ? h - '0' : (h | 32) - 'a' + 10);
        }
        put_utf8(t, out, cp);
        return;
    }
    /* The end of a line after a backslash takes all white space after it away. */
    const char *from_p = t->p;
    if (multi) {
        blanks(t);
        if (newline(t)) {
            do
                blanks(t);
            while (newline(t));
            return;
        }
    }
    t->p = from_p;
    bad(t, "an unknown escape in a string");
}

static bool string_char(struct toml *t, struct ash_buf *out, bool multi)
{
    int c = peek(t);
    if (c < 0 || ((c < 0x20 && c != '\t') && !(multi && (c == '\n' || at(t, "\r\n")))) ||
        c == 0x7f) {
        bad(t, c < 0 || c == '\n' ? "a string without end" : "a control character in a string");
        return false;
    }
    if (c == '\n' || (multi && at(t, "\r\n"))) {
        newline(t);
        ash_buf_chr(out, '\n');
    } else {
        ash_buf_chr(out, (char)c);
        t->p++;
    }
    return true;
}

static void string(struct toml *t, struct ash_buf *out, bool allow_multi)
{
    char q = *t->p, three[4] = {q, q, q, '\0'};
    bool multi = allow_multi && at(t, three);
    t->p += multi ? 3 : 1;
    if (multi)
        (void)newline(t);
    size_t n_before = out->n_bytes;
    while (!t->rc) {
        if (multi ? at(t, three) : peek(t) == q) {
            t->p += multi ? 3 : 1;
            /* Up to two quotes may stand right before the closing ones. */
            for (int i = 0; multi && i < 2 && peek(t) == q; i++, t->p++)
                ash_buf_chr(out, q);
            break;
        }
        if (q == '"' && peek(t) == '\\') {
            t->p++;
            escape(t, out, multi);
        } else if (!string_char(t, out, multi)) {
            break;
        }
    }
    if (!t->rc && !ash_utf8_valid(ash_buf_text(out) + n_before, out->n_bytes - n_before))
        bad(t, "a string that is not UTF-8");
}

/* ------------------------------------------------------------------ keys */

static bool bare(int c)
{
    return c > 0 && (isalnum(c) || c == '_' || c == '-');
}

static void simple_key(struct toml *t, struct ash_buf *out)
{
    ash_buf_reset(out);
    if (peek(t) == '"' || peek(t) == '\'') {
        string(t, out, false);
    } else if (bare(peek(t))) {
        while (bare(peek(t)))
            ash_buf_chr(out, *t->p++);
    } else {
        bad(t, "a key is missing");
    }
    if (out->failed)
        t->rc = ash_err_set(t->err, ASH_E_NO_MEMORY, NULL, "no memory");
}

/* A table that a key names on the way to its last part. In a header, the last element of an array
 * of tables stands for it. */
static struct json_object *step_into(struct toml *t, struct json_object *table, const char *key,
                                     bool header)
{
    struct json_object *next = NULL;
    if (!json_object_object_get_ex(table, key, &next)) {
        next = json_object_new_object();
        json_object_object_add(table, key, next);
        if (!header)
            mark(t, next, 'd');
        return next;
    }
    if (header && json_object_is_type(next, json_type_array) && marked(t, next, 'a'))
        return json_object_array_get_idx(next, json_object_array_length(next) - 1);
    if (!json_object_is_type(next, json_type_object) || marked(t, next, 'c') ||
        (!header && !marked(t, next, 'd'))) {
        bad(t, "a key names something that is no table or may not be added to");
        return NULL;
    }
    return next;
}

/* Reads a.b.c: steps into all but the last part, which stays in `last`. */
static struct json_object *dotted_key(struct toml *t, struct json_object *table,
                                      struct ash_buf *last, bool header)
{
    for (unsigned depth = 0; !t->rc; depth++) {
        blanks(t);
        simple_key(t, last);
        blanks(t);
        if (t->rc || peek(t) != '.')
            return t->rc ? NULL : table;
        t->p++;
        if (depth >= ASH_TOML_MAX_DEPTH)
            bad(t, "a key with too many parts");
        else
            table = step_into(t, table, ash_buf_text(last), header);
    }
    return NULL;
}

/* ---------------------------------------------------------------- values */

static struct json_object *value(struct toml *t, unsigned depth);

static void key_value(struct toml *t, struct json_object *table, unsigned depth)
{
    struct ash_buf key = {0};
    struct json_object *in = dotted_key(t, table, &key, false), *old = NULL;
    if (in && peek(t) != '=')
        bad(t, "'=' is missing after a key");
    if (!t->rc) {
        t->p++;
        blanks(t);
        struct json_object *v = value(t, depth);
        if (t->rc) {
            json_object_put(v);
        } else if (json_object_object_get_ex(in, ash_buf_text(&key), &old)) {
            json_object_put(v);
            bad(t, "a key is given twice");
        } else {
            json_object_object_add(in, ash_buf_text(&key), v);
        }
    }
    ash_buf_free(&key);
}

static struct json_object *array(struct toml *t, unsigned depth)
{
    struct json_object *arr = json_object_new_array();
    t->p++;
    for (;;) {
        blank_lines(t);
        if (t->rc || peek(t) == ']')
            break;
        struct json_object *v = value(t, depth + 1);
        if (t->rc) {
            json_object_put(v);
            break;
        }
        json_object_array_add(arr, v);
        blank_lines(t);
        if (peek(t) == ',')
            t->p++;
        else if (peek(t) != ']')
            bad(t, "',' or ']' is missing in an array");
    }
    if (!t->rc)
        t->p++;
    return arr;
}

static struct json_object *inline_table(struct toml *t, unsigned depth)
{
    struct json_object *obj = json_object_new_object();
    t->p++;
    blanks(t);
    if (peek(t) == '}') {
        t->p++;
        mark(t, obj, 'c');
        return obj;
    }
    while (!t->rc) {
        key_value(t, obj, depth + 1);
        blanks(t);
        if (peek(t) == ',') {
            t->p++;
            continue;
        }
        if (peek(t) != '}')
            bad(t, "',' or '}' is missing in an inline table");
        else
            t->p++;
        break;
    }
    if (!t->rc)
        mark(t, obj, 'c');
    return obj;
}

/* Digits of a base with single underscores between them; n_digits 0: malformed. */
static const char *digits(const char *p, int base, char *out, size_t n_room, size_t *n_digits)
{
    *n_digits = 0;
    bool under = true; /* none at the begin */
    for (;; p++) {
        int c = (unsigned char)*p;
        int d = isdigit(c) ? c - '0' : isxdigit(c) ? (c | 32) - 'a' + 10 : 99;
        if (c == '_' && !under) {
            under = true;
            continue;
        }
        if (d >= base)
            break;
        if (*n_digits + 1 >= n_room) {
            *n_digits = 0;
            return p;
        }
        out[(*n_digits)++] = (char)c;
        under = false;
    }
    if (under)
        *n_digits = 0;
    return p;
}

static bool date_like(const char *w)
{
    size_t n = strspn(w, "0123456789");
    return (n == 4 && w[4] == '-') || (n == 2 && w[2] == ':');
}

/* Dates and times are kept as text; their shape is checked, not the calendar. */
static bool date_ok(const char *w)
{
    const char *shape = w[2] == ':' ? "dd:dd:dd" : "dddd-dd-dd";
    for (; *shape; shape++, w++) {
        if (*shape == 'd' ? !isdigit((unsigned char)*w) : *w != *shape)
            return false;
    }
    if (*w == 'T' || *w == 't' || *w == ' ')
        return date_ok(w + 1) && w[3] == ':';
    if (*w == '.') {
        size_t n = strspn(w + 1, "0123456789");
        if (!n)
            return false;
        w += 1 + n;
    }
    if (*w == 'Z' || *w == 'z')
        w++;
    else if ((*w == '+' || *w == '-') && isdigit((unsigned char)w[1]) &&
             isdigit((unsigned char)w[2]) && w[3] == ':' && isdigit((unsigned char)w[4]) &&
             isdigit((unsigned char)w[5]))
        w += 6;
    return !*w;
}

static struct json_object *integer(struct toml *t, const char *w)
{
    char text[80] = "";
    size_t n = 0, n_digits;
    int base = 10;
    if (*w == '+' || *w == '-') {
        if (*w == '-')
            text[n++] = '-';
        w++;
    } else if (w[0] == '0' && (w[1] == 'x' || w[1] == 'o' || w[1] == 'b')) {
        base = w[1] == 'x' ? 16 : w[1] == 'o' ? 8 : 2;
        w += 2;
    }
    const char *end = digits(w, base, text + n, sizeof(text) - n, &n_digits);
    if (!n_digits || *end || (base == 10 && n_digits > 1 && *w == '0')) {
        bad(t, "a value that is not TOML");
        return NULL;
    }
    text[n + n_digits] = '\0';
    errno = 0;
    long long v = strtoll(text, NULL, base);
    if (errno)
        bad(t, "a number that is out of range");
    return json_object_new_int64(v);
}

static struct json_object *floating(struct toml *t, const char *w)
{
    char text[128];
    size_t n = 0, k;
    if (*w == '+' || *w == '-')
        text[n++] = *w++;
    if (!strcmp(w, "inf") || !strcmp(w, "nan"))
        return json_object_new_double(*w == 'n' ? NAN : n && *text == '-' ? -INFINITY : INFINITY);
    const char *p = digits(w, 10, text + n, 40, &k);
    bool ok = k && !(k > 1 && *w == '0');
    n += k;
    if (ok && *p == '.') {
        text[n++] = '.';
        p = digits(p + 1, 10, text + n, 40, &k);
        ok = k;
        n += k;
    }
    if (ok && (*p == 'e' || *p == 'E')) {
        text[n++] = 'e';
        p++;
        if (*p == '+' || *p == '-')
            text[n++] = *p++;
        p = digits(p, 10, text + n, 20, &k);
        ok = k;
        n += k;
    }
    if (!ok || *p) {
        bad(t, "a value that is not TOML");
        return NULL;
    }
    text[n] = '\0';
    return json_object_new_double(strtod(text, NULL));
}

static struct json_object *word(struct toml *t)
{
    char w[128];
    size_t n = 0;
    while (n + 1 < sizeof(w) && peek(t) > 0 && (isalnum(peek(t)) || strchr("+-._:", peek(t))))
        w[n++] = *t->p++;
    w[n] = '\0';
    /* One blank may stand between date and time. */
    if (n == 10 && date_like(w) && peek(t) == ' ' && t->end - t->p > 2 &&
        isdigit((unsigned char)t->p[1])) {
        w[n++] = *t->p++;
        while (n + 1 < sizeof(w) && peek(t) > 0 && (isalnum(peek(t)) || strchr("+-.:", peek(t))))
            w[n++] = *t->p++;
        w[n] = '\0';
    }
    if (!strcmp(w, "true") || !strcmp(w, "false"))
        return json_object_new_boolean(w[0] == 't');
    if (date_like(w)) {
        if (!date_ok(w))
            bad(t, "a malformed date or time");
        return json_object_new_string(w);
    }
    if (!n) {
        bad(t, "a value is missing");
        return NULL;
    }
    bool prefixed = w[0] == '0' && (w[1] == 'x' || w[1] == 'o' || w[1] == 'b');
    bool is_float = !prefixed && (strpbrk(w, ".eE") || strstr(w, "inf") || strstr(w, "nan"));
    return is_float ? floating(t, w) : integer(t, w);
}

static struct json_object *value(struct toml *t, unsigned depth)
{
    if (depth >= ASH_TOML_MAX_DEPTH) {
        bad(t, "values are nested too deeply");
        return NULL;
    }
    switch (peek(t)) {
    case '"':
    case '\'': {
        struct ash_buf text = {0};
        string(t, &text, true);
        struct json_object *v = json_object_new_string_len(ash_buf_text(&text), (int)text.n_bytes);
        ash_buf_free(&text);
        return v;
    }
    case '[':
        return array(t, depth);
    case '{':
        return inline_table(t, depth);
    default:
        return word(t);
    }
}

/* --------------------------------------------------------------- headers */

static struct json_object *header(struct toml *t, struct json_object *root)
{
    struct ash_buf key = {0};
    bool is_array = at(t, "[[");
    t->p += is_array ? 2 : 1;
    struct json_object *in = dotted_key(t, root, &key, true), *table = NULL;
    if (in && !at(t, is_array ? "]]" : "]"))
        bad(t, "']' is missing after a table's name");
    if (!t->rc) {
        t->p += is_array ? 2 : 1;
        bool there = json_object_object_get_ex(in, ash_buf_text(&key), &table);
        if (is_array) {
            struct json_object *arr = table;
            if (there && !marked(t, arr, 'a'))
                bad(t, "an array of tables has the name of something else");
            if (!there) {
                arr = json_object_new_array();
                json_object_object_add(in, ash_buf_text(&key), arr);
                mark(t, arr, 'a');
            }
            if (!t->rc) {
                table = json_object_new_object();
                json_object_array_add(arr, table);
            }
        } else if (!there) {
            table = json_object_new_object();
            json_object_object_add(in, ash_buf_text(&key), table);
        } else if (!json_object_is_type(table, json_type_object) || marked(t, table, 'h') ||
                   marked(t, table, 'c') || marked(t, table, 'd')) {
            bad(t, "a table is defined twice");
        }
        if (!t->rc && !is_array)
            mark(t, table, 'h');
    }
    ash_buf_free(&key);
    return t->rc ? NULL : table;
}

int ash_toml_parse(const char *text, size_t n_bytes, struct json_object **ret_root,
                   struct ash_err *err)
{
    struct toml t = {.p = text, .end = text + n_bytes, .line = 1, .err = err};
    struct json_object *root = json_object_new_object(), *table = root;
    t.marks = ash_mem_alloc(MAX_MARKS * sizeof(*t.marks));
    if (!t.marks || !root)
        t.rc = ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
    if (!t.rc && memchr(text, '\0', n_bytes))
        bad(&t, "a NUL byte");
    while (!t.rc) {
        blank_lines(&t);
        if (t.rc || t.p >= t.end)
            break;
        if (peek(&t) == '[')
            table = header(&t, root);
        else
            key_value(&t, table, 0);
        blanks(&t);
        comment(&t);
        if (!t.rc && t.p < t.end && !newline(&t))
            bad(&t, "something follows at the end of a line");
    }
    ash_mem_free(t.marks);
    if (t.rc) {
        json_object_put(root);
        return t.rc;
    }
    *ret_root = root;
    return 0;
}
