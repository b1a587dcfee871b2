/* SPDX-License-Identifier: Apache-2.0 */
/* Where the containers of base take their memory from: the runtime defines these (src/rt/buf.c), so
 * that failing allocations can be simulated and a simulated power cut leaves nothing behind. */
#ifndef ASH_BASE_MEM_H
#define ASH_BASE_MEM_H

#include "base/compiler.h"

void *ash_mem_alloc(size_t n_bytes); /* zeroed; NULL when out */
/* New part zeroed; old stays on failure. */
void *ash_mem_realloc(void *old, size_t n_old_bytes, size_t n_new_bytes);
/* The same, new part as it comes: large pieces keep their pages and are not copied. */
void *ash_mem_grow(void *old, size_t n_old_bytes, size_t n_new_bytes);
void ash_mem_free(void *ptr);

#endif
