/* SPDX-License-Identifier: Apache-2.0 */
/* Integers of fixed byte order, wrapped so that an unconverted read does not compile. The wrappers
 * are byte arrays: alignment 1, so packed on-disk structures need no attribute. */
#ifndef ASH_BASE_ENDIAN_H
#define ASH_BASE_ENDIAN_H

#include <string.h>

#include "base/compiler.h"

#define ASH_ENDIAN_TYPE(order, bits, swap)                                                         \
    struct order##bits {                                                                           \
        uint8_t b[(bits) / 8];                                                                     \
    };                                                                                             \
    static inline uint##bits##_t ash_##order##bits##_get(struct order##bits v)                     \
    {                                                                                              \
        uint##bits##_t n;                                                                          \
        memcpy(&n, v.b, sizeof(n));                                                                \
        return swap(n);                                                                            \
    }                                                                                              \
    static inline struct order##bits ash_##order##bits(uint##bits##_t n)                           \
    {                                                                                              \
        struct order##bits v;                                                                      \
        n = swap(n);                                                                               \
        memcpy(v.b, &n, sizeof(n));                                                                \
        return v;                                                                                  \
    }

#define ASH_NOSWAP(n) (n)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ASH_SWAP_LE(bits) ASH_NOSWAP
#define ASH_SWAP_BE(bits) __builtin_bswap##bits
#else
#define ASH_SWAP_LE(bits) __builtin_bswap##bits
#define ASH_SWAP_BE(bits) ASH_NOSWAP
#endif

ASH_ENDIAN_TYPE(le, 16, ASH_SWAP_LE(16))
ASH_ENDIAN_TYPE(le, 32, ASH_SWAP_LE(32))
ASH_ENDIAN_TYPE(le, 64, ASH_SWAP_LE(64))
ASH_ENDIAN_TYPE(be, 16, ASH_SWAP_BE(16))
ASH_ENDIAN_TYPE(be, 32, ASH_SWAP_BE(32))
ASH_ENDIAN_TYPE(be, 64, ASH_SWAP_BE(64))

_Static_assert(_Alignof(struct le64) == 1 && sizeof(struct le64) == 8, "wrappers are byte arrays");

#endif
