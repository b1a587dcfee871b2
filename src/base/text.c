/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

void ash_buf_free(struct ash_buf *buf)
{
    ash_mem_free(buf->data);
    *buf = (struct ash_buf){0};
}

void ash_buf_reset(struct ash_buf *buf)
{
    buf->n_bytes = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

static bool make_room(struct ash_buf *buf, size_t n_more)
{
    if (buf->failed || n_more > SIZE_MAX / 4 - buf->n_bytes) {
        buf->failed = true;
        return false;
    }
    if (buf->n_bytes + n_more + 1 <= buf->n_room)
        return true;
    size_t n_room = ASH_MAX(buf->n_room * 2, buf->n_bytes + n_more + 1);
    n_room = ASH_MAX(n_room, (size_t)64);
    char *data = ash_mem_grow(buf->data, buf->n_room, n_room);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->n_room = n_room;
    return true;
}

void ash_buf_reserve(struct ash_buf *buf, size_t n_bytes)
{
    if (buf->failed || n_bytes <= buf->n_room - buf->n_bytes)
        return;
    char *data = ash_mem_grow(buf->data, buf->n_room, buf->n_bytes + n_bytes);
    if (!data)
        return;
    buf->data = data;
    buf->n_room = buf->n_bytes + n_bytes;
}

void ash_buf_add(struct ash_buf *buf, const void *data, size_t n_bytes)
{
    if (!make_room(buf, n_bytes))
        return;
    if (n_bytes)
        memcpy(buf->data + buf->n_bytes, data, n_bytes);
    buf->n_bytes += n_bytes;
    buf->data[buf->n_bytes] = '\0';
}

void ash_buf_str(struct ash_buf *buf, const char *text)
{
    ash_buf_add(buf, text, strlen(text));
}

void ash_buf_chr(struct ash_buf *buf, char c)
{
    if (ASH_UNLIKELY(buf->n_bytes + 2 > buf->n_room || buf->failed) && !make_room(buf, 1))
        return;
    buf->data[buf->n_bytes++] = c;
    buf->data[buf->n_bytes] = '\0';
}

void ash_buf_vfmt(struct ash_buf *buf, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && make_room(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->n_bytes, (size_t)n + 1, fmt, again);
        buf->n_bytes += (size_t)n;
    }
    va_end(again);
}

void ash_buf_fmt(struct ash_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(buf, fmt, ap);
    va_end(ap);
}

const char *ash_buf_text(const struct ash_buf *buf)
{
    return buf->data ? buf->data : "";
}

int ash_parse_u64(const char *text, uint64_t max, uint64_t *ret_n)
{
    uint64_t n = 0;
    if (!*text)
        return -EINVAL;
    for (const char *p = text; *p; p++) {
        if (!isdigit((unsigned char)*p))
            return -EINVAL;
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return -ERANGE;
        n = n * 10 + digit;
    }
    if (n > max)
        return -ERANGE;
    *ret_n = n;
    return 0;
}

static int size_unit(const char *unit, uint64_t *ret_factor)
{
    static const char letters[] = "KMGTPE";
    if (!*unit || strcasecmp(unit, "B") == 0) {
        *ret_factor = 1;
        return 0;
    }
    const char *at = strchr(letters, toupper((unsigned char)*unit));
    if (!at || !*at)
        return -EINVAL;
    unsigned power = (unsigned)(at - letters) + 1;
    uint64_t base;
    if (!unit[1] || strcasecmp(unit + 1, "iB") == 0 || strcasecmp(unit + 1, "i") == 0)
        base = 1024;
    else if (strcasecmp(unit + 1, "B") == 0)
        base = 1000;
    else
        return -EINVAL;
    *ret_factor = 1;
    while (power--)
        *ret_factor *= base;
    return 0;
}

int ash_parse_size(const char *text, uint64_t *ret_bytes)
{
    uint64_t whole = 0, part = 0, part_unit = 1, factor;
    const char *p = text;
    if (!isdigit((unsigned char)*p))
        return -EINVAL;
    for (; isdigit((unsigned char)*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (whole > (UINT64_MAX - digit) / 10)
            return -ERANGE;
        whole = whole * 10 + digit;
    }
    if (*p == '.') {
        if (!isdigit((unsigned char)*++p))
            return -EINVAL;
        for (; isdigit((unsigned char)*p); p++) {
            if (part_unit < 1000000) {
                part = part * 10 + (uint64_t)(*p - '0');
                part_unit *= 10;
            }
        }
    }
    while (*p == ' ')
        p++;
    int rc = size_unit(p, &factor);
    if (rc)
        return rc;
    if (whole > UINT64_MAX / factor)
        return -ERANGE;
    /* The fraction has at most 6 digits, so this product fits in 128 bits with ease. */
    uint64_t extra = (uint64_t)((unsigned __int128)part * factor / part_unit);
    if (whole * factor > UINT64_MAX - extra)
        return -ERANGE;
    *ret_bytes = whole * factor + extra;
    return 0;
}

const char *ash_format_size(uint64_t n_bytes, char *buf, size_t n_buf)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned u = 0;
    uint64_t unit = 1;
    while (u + 1 < ASH_N_ELEMS(units) && n_bytes / unit >= 1024) {
        unit *= 1024;
        u++;
    }
    if (n_bytes % unit == 0)
        snprintf(buf, n_buf, "%llu %s", (unsigned long long)(n_bytes / unit), units[u]);
    else
        snprintf(buf, n_buf, "%.2f %s", (double)n_bytes / (double)unit, units[u]);
    return buf;
}

bool ash_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool ash_utf8_valid(const char *text, size_t n_bytes)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + n_bytes;
    while (p < end) {
        unsigned n_more;
        uint32_t cp, min;
        if (*p < 0x80) {
            p++;
            continue;
        } else if ((*p & 0xe0) == 0xc0) {
            n_more = 1, cp = *p & 0x1f, min = 0x80;
        } else if ((*p & 0xf0) == 0xe0) {
            n_more = 2, cp = *p & 0x0f, min = 0x800;
        } else if ((*p & 0xf8) == 0xf0) {
            n_more = 3, cp = *p & 0x07, min = 0x10000;
        } else {
            return false;
        }
        if ((size_t)(end - p) <= n_more)
            return false;
        for (p++; n_more; n_more--, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            cp = cp << 6 | (*p & 0x3f);
        }
        if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
            return false;
    }
    return true;
}

int ash_percent_decode(char *text, bool plus)
{
    char *out = text;
    for (const char *p = text; *p; p++) {
        if (*p == '%') {
            if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
                return -EINVAL;
            char hex[3] = {p[1], p[2], '\0'};
            *out = (char)strtoul(hex, NULL, 16);
            if (!*out++)
                return -EINVAL;
            p += 2;
        } else {
            *out++ = plus && *p == '+' ? ' ' : *p;
        }
    }
    *out = '\0';
    return 0;
}

void ash_base64(struct ash_buf *buf, const void *data, size_t n_bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = data;
    for (size_t i = 0; i < n_bytes; i += 3) {
        size_t n = ASH_MIN(n_bytes - i, (size_t)3);
        uint32_t v =
            (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        char quad[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
                        n > 2 ? digits[v & 63] : '='};
        ash_buf_add(buf, quad, sizeof(quad));
    }
}
