/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "base/assert.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Reads 32 digits with (hyphens) or without; returns the characters used, 0 when malformed. */
static size_t parse_digits(const char *text, bool hyphens, struct ash_uuid *ret_uuid)
{
    const char *p = text;
    for (int i = 0; i < 16; i++) {
        if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
            return 0;
        int hi = hex_digit(p[0]);
        int lo = hi < 0 ? -1 : hex_digit(p[1]);
        if (lo < 0)
            return 0;
        ret_uuid->b[i] = (uint8_t)(hi << 4 | lo);
        p += 2;
    }
    return (size_t)(p - text);
}

int ash_uuid_parse(const char *text, struct ash_uuid *ret_uuid)
{
    struct ash_uuid u;
    size_t n = parse_digits(text, true, &u);
    if (n != 36 || text[n] != '\0')
        return -EINVAL;
    *ret_uuid = u;
    return 0;
}

int ash_uuid_parse_any(const char *text, struct ash_uuid *ret_uuid)
{
    struct ash_uuid u;
    if (strncasecmp(text, "urn:uuid:", 9) == 0)
        text += 9;
    bool brace = *text == '{';
    text += brace;
    size_t n = parse_digits(text, strlen(text) > 8 && text[8] == '-', &u);
    if (n == 0 || (brace && text[n] != '}') || text[n + brace] != '\0')
        return -EINVAL;
    *ret_uuid = u;
    return 0;
}

char *ash_uuid_format(const struct ash_uuid *uuid, char buf[ASH_UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *p = buf;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = digits[uuid->b[i] >> 4];
        *p++ = digits[uuid->b[i] & 15];
    }
    *p = '\0';
    return buf;
}

bool ash_uuid_is_nil(const struct ash_uuid *uuid)
{
    static const struct ash_uuid nil;
    return ash_uuid_equal(uuid, &nil);
}

bool ash_uuid_equal(const struct ash_uuid *a, const struct ash_uuid *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static void stamp(struct ash_uuid *uuid, unsigned version)
{
    uuid->b[6] = (uint8_t)((uuid->b[6] & 0x0f) | version << 4);
    uuid->b[8] = (uint8_t)((uuid->b[8] & 0x3f) | 0x80);
}

void ash_uuid_v5(const struct ash_uuid *name_space, const void *data, size_t n_bytes,
                 struct ash_uuid *ret_uuid)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) &&
              EVP_DigestUpdate(ctx, name_space->b, sizeof(name_space->b)) &&
              EVP_DigestUpdate(ctx, data, n_bytes) && EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    ASH_ASSERT(ok);
    memcpy(ret_uuid->b, digest, sizeof(ret_uuid->b));
    stamp(ret_uuid, 5);
}

void ash_uuid_stamp_v4(struct ash_uuid *uuid)
{
    stamp(uuid, 4);
}
