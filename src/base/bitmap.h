/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-size bitmap with a count of set bits and first-fit search. */
#ifndef ASH_BASE_BITMAP_H
#define ASH_BASE_BITMAP_H

#include "base/compiler.h"

struct ash_bitmap {
    uint64_t *words;
    uint64_t n_bits, n_set;
    uint64_t first_clear_hint; /* no clear bit lies below */
};

#define ASH_BITMAP_NONE UINT64_MAX

int ash_bitmap_init(struct ash_bitmap *bm, uint64_t n_bits);   /* all clear; 0 or -ENOMEM */
void ash_bitmap_fini(struct ash_bitmap *bm);                   /* also for a zeroed one */
int ash_bitmap_resize(struct ash_bitmap *bm, uint64_t n_bits); /* grows only; new bits clear */

static inline bool ash_bitmap_test(const struct ash_bitmap *bm, uint64_t idx)
{
    return idx < bm->n_bits && (bm->words[idx / 64] >> (idx % 64) & 1);
}

/* Return the former value. idx must be < n_bits. */
bool ash_bitmap_set(struct ash_bitmap *bm, uint64_t idx);
bool ash_bitmap_clear(struct ash_bitmap *bm, uint64_t idx);
/* Lowest clear bit at or after from, or ASH_BITMAP_NONE. */
uint64_t ash_bitmap_find_clear(struct ash_bitmap *bm, uint64_t from);
uint64_t ash_bitmap_find_set(const struct ash_bitmap *bm, uint64_t from);
void ash_bitmap_clear_all(struct ash_bitmap *bm);
/* To and from bytes with bit i at byte i/8, value 1 << (i%8); n_bits bits, the rest of the last
 * byte 0. */
void ash_bitmap_store(const struct ash_bitmap *bm, uint8_t *bytes);
void ash_bitmap_load(struct ash_bitmap *bm, const uint8_t *bytes, uint64_t n_bits);

#endif
