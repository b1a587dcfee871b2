/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner: a push-down automaton that takes one byte at a time, so the way a stream is cut can
 * never matter. json-c's tokener is laxer than the protocol (comments, control characters, lone
 * surrogates, duplicates), so nothing reaches a tree that has not passed here.
 *
 * Invariants: depth <= JSON_DEPTH_MAX; level i of the stack is bit i of is_object; every byte moves
 * the automaton exactly once, but the byte that ends a number (it is looked at again). */
#include "ctl/jsonrpc/framing.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

enum {
    S_START,        /* between top-level values */
    S_VALUE,        /* a value must begin */
    S_VALUE_OR_END, /* after '[' */
    S_NAME_OR_END,  /* after '{' */
    S_NAME,         /* after ',' in an object */
    S_COLON,
    S_AFTER, /* after a value inside a container */
    S_STR,
    S_STR_UTF8,
    S_STR_ESC,
    S_STR_HEX,
    S_STR_LOW_BACKSLASH, /* a high surrogate wants its other half */
    S_STR_LOW_U,
    S_LITERAL,
    S_MINUS,
    S_ZERO,
    S_INT,
    S_DOT,
    S_FRAC,
    S_EXP,
    S_EXP_SIGN,
    S_EXP_DIGITS,
    S_DEAD,
};

void json_scan_init(struct json_scan *scan, uint32_t n_values_max)
{
    *scan = (struct json_scan){.n_values_max = n_values_max, .state = S_START};
}

bool json_scan_at_rest(const struct json_scan *scan)
{
    return scan->state == S_START ||
           (scan->depth == 0 && (scan->state == S_ZERO || scan->state == S_INT ||
                                 scan->state == S_FRAC || scan->state == S_EXP_DIGITS));
}

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* Names, scalars, begins and ends each count as one. */
static int count(struct json_scan *s)
{
    s->n_values++;
    return s->n_values_max && s->n_values > s->n_values_max ? -EINVAL : 0;
}

static int open_level(struct json_scan *s, bool object)
{
    if (s->depth == JSON_DEPTH_MAX)
        return -EINVAL;
    uint64_t bit = 1ull << s->depth++;
    s->is_object = object ? s->is_object | bit : s->is_object & ~bit;
    s->state = object ? S_NAME_OR_END : S_VALUE_OR_END;
    return count(s);
}

static bool in_object(const struct json_scan *s)
{
    return s->depth > 0 && (s->is_object >> (s->depth - 1) & 1);
}

/* A scalar has ended. */
static int scalar_ends(struct json_scan *s)
{
    if (s->depth) {
        s->state = S_AFTER;
        return JSON_SCAN_MORE;
    }
    bool told = s->reported;
    s->state = S_START;
    s->reported = false;
    return told ? JSON_SCAN_BLANK : JSON_SCAN_SCALAR;
}

/* A number could end here: at the top nobody can know, so it is told at once. */
static int number_could_end(struct json_scan *s, int state)
{
    s->state = (uint8_t)state;
    if (s->depth || s->reported)
        return JSON_SCAN_MORE;
    s->reported = true;
    return JSON_SCAN_SCALAR;
}

static int close_level(struct json_scan *s, unsigned char c)
{
    if (s->depth == 0 || (c == '}') != in_object(s) || count(s))
        return -EINVAL;
    s->depth--;
    if (s->depth) {
        s->state = S_AFTER;
        return JSON_SCAN_MORE;
    }
    s->state = S_START;
    return JSON_SCAN_VALUE;
}

static int begin_literal(struct json_scan *s, const char *rest)
{
    s->literal = rest;
    s->state = S_LITERAL;
    return count(s);
}

static int begin_string(struct json_scan *s, bool name)
{
    s->is_name = name;
    s->state = S_STR;
    return count(s);
}

static int begin_value(struct json_scan *s, unsigned char c)
{
    if (s->depth == 0)
        s->n_values = 0;
    switch (c) {
    case '{':
    case '[':
        return open_level(s, c == '{');
    case '"':
        return begin_string(s, false);
    case 't':
        return begin_literal(s, "rue");
    case 'f':
        return begin_literal(s, "alse");
    case 'n':
        return begin_literal(s, "ull");
    case '-':
        s->state = S_MINUS;
        return count(s);
    default:
        if (!is_digit(c) || count(s))
            return -EINVAL;
        return number_could_end(s, c == '0' ? S_ZERO : S_INT);
    }
}

static int begin_utf8(struct json_scan *s, unsigned char c)
{
    s->utf8_lo = 0x80;
    s->utf8_hi = 0xbf;
    if (c >= 0xc2 && c <= 0xdf)
        s->utf8_left = 1;
    else if ((c & 0xf0) == 0xe0)
        s->utf8_left = 2;
    else if (c >= 0xf0 && c <= 0xf4)
        s->utf8_left = 3;
    else
        return -EINVAL;
    /* no over-long forms, no surrogates, nothing above U+10FFFF */
    if (c == 0xe0)
        s->utf8_lo = 0xa0;
    else if (c == 0xed)
        s->utf8_hi = 0x9f;
    else if (c == 0xf0)
        s->utf8_lo = 0x90;
    else if (c == 0xf4)
        s->utf8_hi = 0x8f;
    s->state = S_STR_UTF8;
    return JSON_SCAN_MORE;
}

static int string_byte(struct json_scan *s, unsigned char c)
{
    if (c == '"') {
        if (!s->is_name)
            return scalar_ends(s);
        s->state = S_COLON;
    } else if (c == '\\') {
        s->state = S_STR_ESC;
    } else if (c < 0x20) {
        return -EINVAL;
    } else if (c >= 0x80) {
        return begin_utf8(s, c);
    }
    return JSON_SCAN_MORE;
}

static int utf8_byte(struct json_scan *s, unsigned char c)
{
    if (c < s->utf8_lo || c > s->utf8_hi)
        return -EINVAL;
    s->utf8_lo = 0x80;
    s->utf8_hi = 0xbf;
    if (--s->utf8_left == 0)
        s->state = S_STR;
    return JSON_SCAN_MORE;
}

static int escape_byte(struct json_scan *s, unsigned char c)
{
    if (c == 'u') {
        s->state = S_STR_HEX;
        s->n_hex = 0;
        s->hex = 0;
        return JSON_SCAN_MORE;
    }
    if (!c || !strchr("\"\\/bfnrt", c))
        return -EINVAL;
    s->state = S_STR;
    return JSON_SCAN_MORE;
}

static int hex_value(unsigned char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_byte(struct json_scan *s, unsigned char c)
{
    int digit = hex_value(c);
    if (digit < 0)
        return -EINVAL;
    s->hex = (uint16_t)(s->hex << 4 | digit);
    if (++s->n_hex < 4)
        return JSON_SCAN_MORE;
    bool is_high = s->hex >= 0xd800 && s->hex <= 0xdbff;
    bool is_low = s->hex >= 0xdc00 && s->hex <= 0xdfff;
    if (is_low != (s->high_surrogate != 0))
        return -EINVAL;
    s->high_surrogate = is_high ? s->hex : 0;
    s->state = is_high ? S_STR_LOW_BACKSLASH : S_STR;
    return JSON_SCAN_MORE;
}

/* Number states; *again is set when the byte is not part of the number. */
static int number_byte(struct json_scan *s, unsigned char c, bool *again)
{
    switch (s->state) {
    case S_MINUS:
        return is_digit(c) ? number_could_end(s, c == '0' ? S_ZERO : S_INT) : -EINVAL;
    case S_DOT:
        return is_digit(c) ? number_could_end(s, S_FRAC) : -EINVAL;
    case S_EXP:
        if (c == '+' || c == '-') {
            s->state = S_EXP_SIGN;
            return JSON_SCAN_MORE;
        }
        /* fall through */
    case S_EXP_SIGN:
        return is_digit(c) ? number_could_end(s, S_EXP_DIGITS) : -EINVAL;
    default:
        break;
    }
    if (is_digit(c) && s->state != S_ZERO)
        return JSON_SCAN_MORE;
    if (c == '.' && (s->state == S_ZERO || s->state == S_INT)) {
        s->state = S_DOT;
        return JSON_SCAN_MORE;
    }
    if ((c == 'e' || c == 'E') && s->state != S_EXP_DIGITS) {
        s->state = S_EXP;
        return JSON_SCAN_MORE;
    }
    *again = true;
    if (s->depth == 0 && !is_blank(c) && !strchr("{[\"", c))
        return -EINVAL; /* "12x" is no two values */
    return scalar_ends(s);
}

static int after_value(struct json_scan *s, unsigned char c)
{
    if (c == ',') {
        s->state = in_object(s) ? S_NAME : S_VALUE;
        return JSON_SCAN_MORE;
    }
    return c == '}' || c == ']' ? close_level(s, c) : -EINVAL;
}

static int structure_byte(struct json_scan *s, unsigned char c)
{
    if (is_blank(c))
        return JSON_SCAN_MORE;
    switch (s->state) {
    case S_START:
    case S_VALUE:
        return begin_value(s, c);
    case S_VALUE_OR_END:
        return c == ']' ? close_level(s, c) : begin_value(s, c);
    case S_NAME_OR_END:
        if (c == '}')
            return close_level(s, c);
        /* fall through */
    case S_NAME:
        return c == '"' ? begin_string(s, true) : -EINVAL;
    case S_COLON:
        s->state = S_VALUE;
        return c == ':' ? JSON_SCAN_MORE : -EINVAL;
    case S_AFTER:
        return after_value(s, c);
    default:
        return -EINVAL;
    }
}

static int take_byte(struct json_scan *s, unsigned char c, bool *again)
{
    switch (s->state) {
    case S_STR:
        return string_byte(s, c);
    case S_STR_UTF8:
        return utf8_byte(s, c);
    case S_STR_ESC:
        return escape_byte(s, c);
    case S_STR_HEX:
        return hex_byte(s, c);
    case S_STR_LOW_BACKSLASH:
        s->state = S_STR_LOW_U;
        return c == '\\' ? JSON_SCAN_MORE : -EINVAL;
    case S_STR_LOW_U:
        return c == 'u' ? escape_byte(s, c) : -EINVAL;
    case S_LITERAL:
        if (c != (unsigned char)*s->literal)
            return -EINVAL;
        return *++s->literal ? JSON_SCAN_MORE : scalar_ends(s);
    case S_MINUS:
    case S_ZERO:
    case S_INT:
    case S_DOT:
    case S_FRAC:
    case S_EXP:
    case S_EXP_SIGN:
    case S_EXP_DIGITS:
        return number_byte(s, c, again);
    default:
        return structure_byte(s, c);
    }
}

int json_scan_feed(struct json_scan *scan, const char *data, size_t n_bytes, size_t *ret_used)
{
    size_t i = 0;
    while (i < n_bytes) {
        if (scan->state == S_STR) {
            /* most bytes are plain text in strings */
            while (i < n_bytes && data[i] >= 0x20 && data[i] != '"' && data[i] != '\\' &&
                   (unsigned char)data[i] < 0x80)
                i++;
            if (i == n_bytes)
                break;
        }
        bool again = false;
        int event = take_byte(scan, (unsigned char)data[i], &again);
        i += !again;
        if (event != JSON_SCAN_MORE) {
            *ret_used = i;
            if (event < 0)
                scan->state = S_DEAD;
            return event;
        }
    }
    *ret_used = i;
    return scan->state == S_START ? JSON_SCAN_BLANK : JSON_SCAN_MORE;
}
