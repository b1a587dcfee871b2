/* SPDX-License-Identifier: Apache-2.0 */
/* Growing text buffers and small parsers. */
#ifndef ASH_BASE_TEXT_H
#define ASH_BASE_TEXT_H

#include <stdarg.h>

#include "base/compiler.h"

/* Growing buffer. Zero-initialise. Once memory ran out, `failed` stays set and appends do nothing,
 * so a long series of appends is checked once, at its end. */
struct ash_buf {
    char *data; /* NUL after the last byte whenever not NULL */
    size_t n_bytes, n_room;
    bool failed;
};

void ash_buf_free(struct ash_buf *buf);  /* frees and zeroes; usable with ASH_CLEANUP */
void ash_buf_reset(struct ash_buf *buf); /* empties, keeps the memory */
/* Room for n_bytes more at once: a hint, for long texts. Without memory nothing happens. */
void ash_buf_reserve(struct ash_buf *buf, size_t n_bytes);
void ash_buf_add(struct ash_buf *buf, const void *data, size_t n_bytes);
void ash_buf_str(struct ash_buf *buf, const char *text);
void ash_buf_chr(struct ash_buf *buf, char c);
void ash_buf_fmt(struct ash_buf *buf, const char *fmt, ...) ASH_PRINTF(2, 3);
void ash_buf_vfmt(struct ash_buf *buf, const char *fmt, va_list ap) ASH_PRINTF(2, 0);
/* The text, or "" for an empty buffer. Lives until the next change. */
const char *ash_buf_text(const struct ash_buf *buf);

/* Decimal without sign, whole string, no blanks. 0, -EINVAL, -ERANGE (above max). */
int ash_parse_u64(const char *text, uint64_t max, uint64_t *ret_n);
/* "512", "64K", "64k", "64KB", "64KiB", "1MiB", "10G", "1.5G", "1T": units are powers of 1024
 * except KB, MB, GB, TB (1000) . 0, -EINVAL, -ERANGE. */
int ash_parse_size(const char *text, uint64_t *ret_bytes);
/* "10 GiB", "4 KiB", "512 B"; exact when it can be ("1.50 GiB" rounds). buf at least 32 bytes. */
const char *ash_format_size(uint64_t n_bytes, char *buf, size_t n_buf);

bool ash_starts_with(const char *text, const char *prefix);
bool ash_utf8_valid(const char *text, size_t n_bytes);
/* Decode %xx in place; plus: '+' is a blank. -EINVAL on a broken escape or %00. */
int ash_percent_decode(char *text, bool plus);

/* Base64 with padding, appended to buf. */
void ash_base64(struct ash_buf *buf, const void *data, size_t n_bytes);

#endif
