/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bitmap.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

int ash_bitmap_init(struct ash_bitmap *bm, uint64_t n_bits)
{
    *bm = (struct ash_bitmap){.n_bits = n_bits};
    bm->words = ash_mem_alloc((ash_div_up(n_bits, 64) + 1) * sizeof(uint64_t));
    if (!bm->words)
        *bm = (struct ash_bitmap){0}; /* an empty one, in which nothing is found */
    return bm->words ? 0 : -ENOMEM;
}

void ash_bitmap_fini(struct ash_bitmap *bm)
{
    ash_mem_free(bm->words);
    *bm = (struct ash_bitmap){0};
}

int ash_bitmap_resize(struct ash_bitmap *bm, uint64_t n_bits)
{
    ASH_ASSERT(n_bits >= bm->n_bits);
    uint64_t n_old = ash_div_up(bm->n_bits, 64) + 1, n_new = ash_div_up(n_bits, 64) + 1;
    uint64_t *words =
        ash_mem_realloc(bm->words, n_old * sizeof(uint64_t), n_new * sizeof(uint64_t));
    if (!words)
        return -ENOMEM;
    bm->words = words;
    bm->n_bits = n_bits;
    return 0;
}

bool ash_bitmap_set(struct ash_bitmap *bm, uint64_t idx)
{
    ASH_ASSERT(idx < bm->n_bits);
    uint64_t bit = UINT64_C(1) << (idx % 64);
    if (bm->words[idx / 64] & bit)
        return true;
    bm->words[idx / 64] |= bit;
    bm->n_set++;
    return false;
}

bool ash_bitmap_clear(struct ash_bitmap *bm, uint64_t idx)
{
    ASH_ASSERT(idx < bm->n_bits);
    uint64_t bit = UINT64_C(1) << (idx % 64);
    if (!(bm->words[idx / 64] & bit))
        return false;
    bm->words[idx / 64] &= ~bit;
    bm->n_set--;
    if (idx < bm->first_clear_hint)
        bm->first_clear_hint = idx;
    return true;
}

uint64_t ash_bitmap_find_clear(struct ash_bitmap *bm, uint64_t from)
{
    bool from_hint = from <= bm->first_clear_hint;
    uint64_t idx = from_hint ? bm->first_clear_hint : from;
    while (idx < bm->n_bits) {
        uint64_t free_bits = ~bm->words[idx / 64] >> (idx % 64);
        if (free_bits) {
            idx += (uint64_t)__builtin_ctzll(free_bits);
            break;
        }
        idx = (idx / 64 + 1) * 64;
    }
    if (idx > bm->n_bits)
        idx = bm->n_bits;
    if (from_hint)
        bm->first_clear_hint = idx;
    return idx < bm->n_bits ? idx : ASH_BITMAP_NONE;
}

uint64_t ash_bitmap_find_set(const struct ash_bitmap *bm, uint64_t from)
{
    for (uint64_t idx = from; idx < bm->n_bits; idx = (idx / 64 + 1) * 64) {
        uint64_t set_bits = bm->words[idx / 64] >> (idx % 64);
        if (set_bits) {
            idx += (uint64_t)__builtin_ctzll(set_bits);
            return idx < bm->n_bits ? idx : ASH_BITMAP_NONE;
        }
    }
    return ASH_BITMAP_NONE;
}

void ash_bitmap_clear_all(struct ash_bitmap *bm)
{
    memset(bm->words, 0, (ash_div_up(bm->n_bits, 64) + 1) * sizeof(uint64_t));
    bm->n_set = 0;
    bm->first_clear_hint = 0;
}

void ash_bitmap_store(const struct ash_bitmap *bm, uint8_t *bytes)
{
    memset(bytes, 0, ash_div_up(bm->n_bits, 8));
    for (uint64_t i = ash_bitmap_find_set(bm, 0); i != ASH_BITMAP_NONE;
         i = ash_bitmap_find_set(bm, i + 1))
        bytes[i / 8] |= (uint8_t)(1u << (i % 8));
}

void ash_bitmap_load(struct ash_bitmap *bm, const uint8_t *bytes, uint64_t n_bits)
{
    ASH_ASSERT(n_bits <= bm->n_bits);
    ash_bitmap_clear_all(bm);
    for (uint64_t i = 0; i < n_bits; i++) {
        if (i % 8 == 0 && !bytes[i / 8])
            i += 7;
        else if (bytes[i / 8] >> (i % 8) & 1)
            ash_bitmap_set(bm, i);
    }
}
