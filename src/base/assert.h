/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions for our own invariants; they stay on in release. Never for bytes from a disk, a socket
 * or a user: those get an error with a reason code (err.h). */
#ifndef ASH_BASE_ASSERT_H
#define ASH_BASE_ASSERT_H

#include "base/compiler.h"

_Noreturn void ash_assert_fail(const char *expr, const char *file, int line, const char *func);

/* Called once before abort(), e.g. to dump the trace ring. fn NULL clears it. */
void ash_assert_hook(void (*fn)(void));

#define ASH_ASSERT(x)                                                                              \
    do {                                                                                           \
        if (ASH_UNLIKELY(!(x)))                                                                    \
            ash_assert_fail(#x, __FILE__, __LINE__, __func__);                                     \
    } while (0)

#ifdef ASH_DEBUG
#define ASH_DASSERT(x) ASH_ASSERT(x)
#else
#define ASH_DASSERT(x) ((void)sizeof(x))
#endif

/* Defensive branches: taken never (always) as far as we know. Assertion in debug builds,
 * a plain condition in release. */
#ifdef ASH_DEBUG
#define ASH_NEVER(x)                                                                               \
    ((x) ? (ash_assert_fail("NEVER: " #x, __FILE__, __LINE__, __func__), true) : false)
#define ASH_ALWAYS(x)                                                                              \
    ((x) ? true : (ash_assert_fail("ALWAYS: " #x, __FILE__, __LINE__, __func__), false))
#else
#define ASH_NEVER(x)  ASH_UNLIKELY(x)
#define ASH_ALWAYS(x) ASH_LIKELY(x)
#endif

#endif
