/* SPDX-License-Identifier: Apache-2.0 */
/* Switching stacks: the only processor-dependent part.
 *
 * rt_switch_stack saves the callee-saved registers on the running stack, stores its stack pointer
 * in *save_sp and continues what stands on load_sp. rt_switch_prepare builds a stack whose first
 * continuation is entry(). Elsewhere ucontext does the same, a hundred times slower. */
#ifndef ASH_RT_SWITCH_H
#define ASH_RT_SWITCH_H

#include "base/compiler.h"

void rt_switch_stack(void **save_sp, void *load_sp);
/* top: end of the stack, 64-byte aligned. Returns what to give as load_sp the first time. */
void *rt_switch_prepare(void *bottom, void *top, void (*entry)(void));

#endif
