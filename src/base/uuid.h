/* SPDX-License-Identifier: Apache-2.0 */
/* UUIDs as 16 bytes in text order. Random ones come from rt_random_uuid. */
#ifndef ASH_BASE_UUID_H
#define ASH_BASE_UUID_H

#include "base/compiler.h"

struct ash_uuid {
    uint8_t b[16];
};

#define ASH_UUID_TEXT_BYTES 37 /* 36 characters and NUL */

/* 8-4-4-4-12 hexadecimal digits of any case, exactly 36 characters before the NUL. 0 or -EINVAL. */
int ash_uuid_parse(const char *text, struct ash_uuid *ret_uuid);
/* Also without hyphens, in braces, with "urn:uuid:" before it. 0 or -EINVAL. */
int ash_uuid_parse_any(const char *text, struct ash_uuid *ret_uuid);
/* Lower case. Returns buf. */
char *ash_uuid_format(const struct ash_uuid *uuid, char buf[ASH_UUID_TEXT_BYTES]);
bool ash_uuid_is_nil(const struct ash_uuid *uuid);
bool ash_uuid_equal(const struct ash_uuid *a, const struct ash_uuid *b);
/* Version 5: SHA-1 of name space and data (docs/spec/spdk-jsonrpc.md 6.1). */
void ash_uuid_v5(const struct ash_uuid *name_space, const void *data, size_t n_bytes,
                 struct ash_uuid *ret_uuid);
/* Sets version 4 and the variant in 16 random bytes. */
void ash_uuid_stamp_v4(struct ash_uuid *uuid);

#endif
