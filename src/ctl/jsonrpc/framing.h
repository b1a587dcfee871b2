/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as it arrives: a scanner that finds the ends of values in a byte stream and refuses what is
 * not strict JSON, and a builder that turns a scanned value into json-c's tree.
 * Source: docs/spec/spdk-jsonrpc.md 1.2, 1.3, 3. */
#ifndef ASH_CTL_JSONRPC_FRAMING_H
#define ASH_CTL_JSONRPC_FRAMING_H

#include "base/text.h"

struct json_object;

enum { JSON_DEPTH_MAX = 64, JSON_VALUES_MAX = 8192 };

/* One stream. Plain data: copy and compare freely. */
struct json_scan {
    uint64_t is_object; /* bit per open level: 1 object, 0 array */
    uint32_t n_values;  /* of the present top-level value; limit 0: none */
    uint32_t n_values_max;
    uint16_t hex, high_surrogate;
    uint8_t depth, state;
    uint8_t n_hex, utf8_left, utf8_lo, utf8_hi;
    bool is_name;  /* the string being read is a member name */
    bool reported; /* top-level scalar: told already */
    const char *literal;
};

enum json_scan_event {
    JSON_SCAN_MORE,   /* everything consumed, the value goes on */
    JSON_SCAN_BLANK,  /* between values: what was consumed belongs to none that is to come */
    JSON_SCAN_VALUE,  /* an object or array ends at *ret_used */
    JSON_SCAN_SCALAR, /* a top-level scalar: told once, as soon as it could be complete */
};

void json_scan_init(struct json_scan *scan, uint32_t n_values_max);
/* Take bytes until the next event. The same bytes must not be given again: the next call starts
 * with data + *ret_used. Returns an event, or -EINVAL (not JSON; the scanner is dead then).
 * How the stream is cut into calls never changes the events. */
int json_scan_feed(struct json_scan *scan, const char *data, size_t n_bytes, size_t *ret_used);
/* May the stream end here? */
bool json_scan_at_rest(const struct json_scan *scan);

/* Cursor over text that the scanner has passed. */
struct json_cursor {
    const char *p, *end;
    bool duplicate; /* some object had a member twice, or a member name with a NUL */
    bool no_memory;
};

void json_skip_blanks(struct json_cursor *c);
/* The string that begins here, decoded; appended to out. */
void json_take_string(struct json_cursor *c, struct ash_buf *out);
/* Skip the value that begins here. */
void json_skip_value(struct json_cursor *c);
/* The tree of the value that begins here; null is NULL. Numbers that are exactly integral and fit
 * in 64 bits become integers however they are written. NULL and no_memory when memory is out. */
struct json_object *json_build(struct json_cursor *c);

#endif
