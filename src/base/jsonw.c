/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jsonw.h"

#include <math.h>
#include <string.h>

/* Decode one code point; bytes that are not UTF-8 come out one by one as U+FFFD. */
static size_t next_code_point(const char *text, size_t n_bytes, uint32_t *ret_cp)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 4;
    if (n > n_bytes || !ash_utf8_valid(text, n)) {
        *ret_cp = 0xfffd;
        return 1;
    }
    uint32_t cp = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        cp = cp << 6 | (p[i] & 0x3f);
    *ret_cp = cp;
    return n;
}

static bool is_plain(char c)
{
    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

static void quote(struct ash_buf *buf, const char *text, size_t n_bytes)
{
    ash_buf_chr(buf, '"');
    for (size_t i = 0; i < n_bytes;) {
        size_t run = 0;
        while (i + run < n_bytes && is_plain(text[i + run]))
            run++;
        if (run) {
            ash_buf_add(buf, text + i, run);
            i += run;
            continue;
        }
        uint32_t cp;
        i += next_code_point(text + i, n_bytes - i, &cp);
        static const char shorts[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
        const char *at = cp && cp < 0x80 ? strchr(shorts, (int)cp) : NULL;
        if (at) {
            ash_buf_chr(buf, '\\');
            ash_buf_chr(buf, letters[at - shorts]);
        } else if (cp >= 0x20 && cp <= 0x7e) {
            ash_buf_chr(buf, (char)cp);
        } else if (cp < 0x10000) {
            ash_buf_fmt(buf, "\\u%04X", cp);
        } else {
            ash_buf_fmt(buf, "\\u%04X\\u%04X", 0xd800 + ((cp - 0x10000) >> 10),
                        0xdc00 + ((cp - 0x10000) & 0x3ff));
        }
    }
    ash_buf_chr(buf, '"');
}

static void start_value(struct ash_jsonw *w, const char *name)
{
    if (w->need_comma)
        ash_buf_chr(w->buf, ',');
    w->need_comma = true;
    if (name) {
        quote(w->buf, name, strlen(name));
        ash_buf_chr(w->buf, ':');
    }
}

static void open_level(struct ash_jsonw *w, const char *name, char c)
{
    start_value(w, name);
    ash_buf_chr(w->buf, c);
    w->need_comma = false;
}

static void close_level(struct ash_jsonw *w, char c)
{
    ash_buf_chr(w->buf, c);
    w->need_comma = true;
}

void ash_jsonw_obj(struct ash_jsonw *w, const char *name)
{
    open_level(w, name, '{');
}

void ash_jsonw_obj_end(struct ash_jsonw *w)
{
    close_level(w, '}');
}

void ash_jsonw_arr(struct ash_jsonw *w, const char *name)
{
    open_level(w, name, '[');
}

void ash_jsonw_arr_end(struct ash_jsonw *w)
{
    close_level(w, ']');
}

void ash_jsonw_strn(struct ash_jsonw *w, const char *name, const char *text, size_t n_bytes)
{
    start_value(w, name);
    quote(w->buf, text, n_bytes);
}

void ash_jsonw_str(struct ash_jsonw *w, const char *name, const char *text)
{
    if (text)
        ash_jsonw_strn(w, name, text, strlen(text));
    else
        ash_jsonw_null(w, name);
}

void ash_jsonw_u64(struct ash_jsonw *w, const char *name, uint64_t n)
{
    start_value(w, name);
    char digits[20];
    size_t pos = sizeof(digits);
    do
        digits[--pos] = (char)('0' + n % 10);
    while (n /= 10);
    ash_buf_add(w->buf, digits + pos, sizeof(digits) - pos);
}

void ash_jsonw_i64(struct ash_jsonw *w, const char *name, int64_t n)
{
    start_value(w, name);
    ash_buf_fmt(w->buf, "%lld", (long long)n);
}

void ash_jsonw_f64(struct ash_jsonw *w, const char *name, double n)
{
    start_value(w, name);
    if (isfinite(n))
        ash_buf_fmt(w->buf, "%.6g", n);
    else
        ash_buf_str(w->buf, "null");
}

void ash_jsonw_bool(struct ash_jsonw *w, const char *name, bool b)
{
    start_value(w, name);
    ash_buf_str(w->buf, b ? "true" : "false");
}

void ash_jsonw_null(struct ash_jsonw *w, const char *name)
{
    start_value(w, name);
    ash_buf_str(w->buf, "null");
}

void ash_jsonw_raw(struct ash_jsonw *w, const char *name, const char *json, size_t n_bytes)
{
    start_value(w, name);
    ash_buf_add(w->buf, json, n_bytes);
}
