/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers that every file uses. No I/O, no state. */
#ifndef ASH_BASE_COMPILER_H
#define ASH_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ASH_MUST_CHECK        __attribute__((warn_unused_result))
#define ASH_LIKELY(x)         __builtin_expect(!!(x), 1)
#define ASH_UNLIKELY(x)       __builtin_expect(!!(x), 0)
#define ASH_CLEANUP(fn)       __attribute__((cleanup(fn)))
#define ASH_N_ELEMS(a)        (sizeof(a) / sizeof((a)[0]))

/* Marks a function that may suspend the calling task: call it only from a task, never from a
 * completion callback and never between steps that must not be interleaved with others. */
#define ASH_MAY_WAIT

#define ash_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ASH_MIN(a, b)                                                                              \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define ASH_MAX(a, b)                                                                              \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

static inline uint64_t ash_div_up(uint64_t n, uint64_t d)
{
    return n / d + (n % d != 0);
}

static inline bool ash_is_pow2(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* n rounded up or down to a multiple of a power of two. */
static inline uint64_t ash_align_up(uint64_t n, uint64_t pow2)
{
    return (n + pow2 - 1) & ~(pow2 - 1);
}

static inline uint64_t ash_align_down(uint64_t n, uint64_t pow2)
{
    return n & ~(pow2 - 1);
}

/* free() for ASH_CLEANUP: `ASH_CLEANUP(ash_freep) char *s = NULL;` */
void ash_freep(void *ptr_to_ptr);

#endif
