/* SPDX-License-Identifier: Apache-2.0 */
/* The monotonic clock. Every I/O is timed twice, so reading the clock must cost little: on x86-64
 * with an invariant time stamp counter a reactor counts cycles from an anchor, a pair of counter
 * and CLOCK_MONOTONIC, and takes a new anchor from the kernel about every millisecond. What the
 * counter's rate is follows from two anchors. The kernel's adjustments (500 ppm at the most) thus
 * show with a delay of a millisecond, which is an error of half a microsecond.
 *
 * Invariant: what one reactor reads never goes back. Elsewhere the kernel is asked each time. */
#include <time.h>

#include "rt/rt_internal.h"

uint64_t rt_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

#define ANCHOR_NS    1000000u /* an anchor is good for so long */
#define CALIBRATE_NS 200000u  /* two anchors this far apart tell the rate to 1 in 10^4 */

static bool counter_is_invariant(void)
{
    unsigned a, b, c, d;
    return (unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000007u &&
           __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & 1u << 8);
}

void rt_clock_init(struct rt_clock *clock)
{
    *clock = (struct rt_clock){.usable = counter_is_invariant()};
}

/* A new anchor; the old one gives the rate, once it lies far enough back. */
static uint64_t new_anchor(struct rt_clock *clock, uint64_t cycles)
{
    uint64_t ns = rt_clock_ns();
    uint64_t d_ns = ns - clock->anchor_ns, d_cycles = cycles - clock->anchor_cycles;
    if (clock->anchor_ns == 0) {
        clock->anchor_ns = ns;
        clock->anchor_cycles = cycles;
    } else if (d_ns >= CALIBRATE_NS && d_cycles > 0) {
        clock->ns_per_cycle = (uint64_t)(((unsigned __int128)d_ns << 32) / d_cycles);
        clock->good_cycles = (uint64_t)((unsigned __int128)d_cycles * ANCHOR_NS / d_ns);
        clock->anchor_ns = ns;
        clock->anchor_cycles = cycles;
    }
    return ns;
}

uint64_t rt_clock_read(struct rt_clock *clock)
{
    if (!clock->usable)
        return rt_clock_ns();
    uint64_t cycles = __rdtsc(), d = cycles - clock->anchor_cycles, ns;
    /* also when another CPU's counter is a little behind: d is then huge */
    if (ASH_LIKELY(d < clock->good_cycles))
        ns = clock->anchor_ns + (uint64_t)(((unsigned __int128)d * clock->ns_per_cycle) >> 32);
    else
        ns = new_anchor(clock, cycles);
    clock->last_ns = ASH_MAX(ns, clock->last_ns);
    return clock->last_ns;
}

#else

void rt_clock_init(struct rt_clock *clock)
{
    *clock = (struct rt_clock){.usable = false};
}

uint64_t rt_clock_read(struct rt_clock *clock)
{
    (void)clock;
    return rt_clock_ns();
}

#endif
