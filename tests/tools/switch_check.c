/* SPDX-License-Identifier: Apache-2.0 */
/* src/rt/switch.c by itself, for processors that the other tests do not run on: two stacks take
 * turns; what each keeps in registers, integer and floating, and on its stack survives. Prints TAP.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "rt/switch.h"

enum { N_STACKS = 2, N_ROUNDS = 10000, STACK_BYTES = 64 << 10 };

static void *main_sp, *sp_of[N_STACKS];
static unsigned now, n_ended, n_wrong, n_misaligned;

static void leave(void)
{
    rt_switch_stack(&sp_of[now], main_sp);
}

/* Enough that is alive over the switch to fill the registers that a callee saves. */
static uint64_t walk(uint64_t seed, unsigned depth)
{
    uint64_t a = seed, b = a * 3, c = b ^ 5, d = c + 7, e = d * 11, f = e ^ 13, g = f + 17,
             h = g * 19;
    double x = (double)(a & 1023), y = x + 0.5, z = y * 3, w = z - 0.25;
    _Alignas(16) volatile uint64_t local[2] = {a, h};
    n_misaligned += ((uintptr_t)local & 15) != 0;
    leave();
    if (depth)
        (void)walk(seed + 1, depth - 1);
    n_wrong += local[0] != a || local[1] != h;
    n_wrong += y - x != 0.5 || z - w != 0.25;
    return a + b + c + d + e + f + g + h;
}

static uint64_t expected(uint64_t a)
{
    uint64_t b = a * 3, c = b ^ 5, d = c + 7, e = d * 11, f = e ^ 13, g = f + 17, h = g * 19;
    return a + b + c + d + e + f + g + h;
}

static void entry(void)
{
    unsigned me = now;
    for (uint64_t i = 0; i < N_ROUNDS; i++) {
        uint64_t seed = i << me;
        n_wrong += walk(seed, i % 3) != expected(seed);
        n_wrong += now != me;
    }
    n_ended++;
    for (;;)
        leave();
}

static void ok(unsigned n, int is_ok, const char *what)
{
    printf("%sok %u - %s\n", is_ok ? "" : "not ", n, what);
}

int main(void)
{
    unsigned n_switches = 0;
    for (unsigned i = 0; i < N_STACKS; i++) {
        char *stack = aligned_alloc(64, STACK_BYTES);
        if (!stack)
            return 1;
        sp_of[i] = rt_switch_prepare(stack, stack + STACK_BYTES, entry);
    }
    for (; n_ended < N_STACKS && n_switches < 10 * N_ROUNDS; n_switches++) {
        now = n_switches % N_STACKS;
        rt_switch_stack(&main_sp, sp_of[now]);
    }
    printf("1..3\n");
    ok(1, n_ended == N_STACKS, "both have come to their end");
    ok(2, n_wrong == 0, "registers and stacks are kept");
    ok(3, n_misaligned == 0, "stacks are aligned");
    return n_ended != N_STACKS || n_wrong || n_misaligned;
}
