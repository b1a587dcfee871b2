/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of raid 4, 5 and 6 as docs/spec/dm-formats.md 9.3 has them, written down a second time: one
 * byte and one bit after the other, sharing nothing with src/. For tests. */
#ifndef ASH_TESTS_RAID_REF_H
#define ASH_TESTS_RAID_REF_H

#include <stdint.h>
#include <string.h>

#define RAID_REF_UNUSED __attribute__((unused))

static const char *const raid_ref_types[] = {
    "raid4",      "raid5",      "raid5_ls",   "raid5_la",   "raid5_ra", "raid5_rs",
    "raid5_n",    "raid6",      "raid6_zr",   "raid6_nr",   "raid6_nc", "raid6_n_6",
    "raid6_la_6", "raid6_ra_6", "raid6_ls_6", "raid6_rs_6",
};

enum { RAID_REF_MAX = 8, RAID_REF_P = -1, RAID_REF_Q = -2 };

RAID_REF_UNUSED static unsigned raid_ref_n_parity(const char *type)
{
    return strncmp(type, "raid6", 5) == 0 ? 2 : 1;
}

/* kinds[leg] = number of the data chunk on it, RAID_REF_P or RAID_REF_Q. */
RAID_REF_UNUSED static void raid_ref_row(const char *type, unsigned n, unsigned t, int *kinds)
{
    unsigned p = 0, q = n, d = 0, m = n; /* m: legs that P moves over */
    const char *move = strcmp(type, "raid5") == 0   ? "ls"
                       : strcmp(type, "raid6") == 0 ? "zr"
                                                    : type + 6;
    if (strcmp(type, "raid4") == 0)
        move = "p0";
    if (strstr(type, "_6"))
        m = n - 1;
    if (move[0] == 'l')
        p = m - 1 - t % m;
    else if (move[0] == 'r')
        p = t % m;
    else if (strncmp(move, "zr", 2) == 0)
        p = t % n;
    else if (strncmp(move, "nr", 2) == 0)
        p = n - 1 - (t + 1) % n;
    else if (strncmp(move, "nc", 2) == 0)
        p = n - 1 - t % n;
    else if (move[0] == 'n')
        p = m - 1;
    if (m < n)
        q = n - 1;
    else if (strncmp(move, "nc", 2) == 0)
        q = p ? p - 1 : n - 1;
    else if (raid_ref_n_parity(type) == 2)
        q = p == n - 1 ? 0 : p + 1;
    int from_p = move[1] == 's' || strncmp(move, "nc", 2) == 0;
    for (unsigned i = 0; i < m; i++) {
        unsigned leg = from_p ? (p + 1 + i) % m : i;
        if (leg != p && leg != q)
            kinds[leg] = (int)d++;
    }
    kinds[p] = RAID_REF_P;
    if (q < n)
        kinds[q] = RAID_REF_Q;
}

static uint8_t raid_ref_twice(uint8_t x)
{
    return (uint8_t)(x << 1) ^ (x & 0x80 ? 0x1d : 0);
}

/* Fill P and Q of a row; chunks[leg] has the data. Q by Horner's rule, from the highest slot down.
 */
RAID_REF_UNUSED static void raid_ref_encode(const char *type, unsigned n, const int *kinds,
                                            uint8_t *const *chunks, size_t n_bytes)
{
    int is_ddf = strcmp(type, "raid6") == 0 || strcmp(type, "raid6_zr") == 0 ||
                 strcmp(type, "raid6_nr") == 0 || strcmp(type, "raid6_nc") == 0;
    unsigned p = 0, q = n;
    for (unsigned leg = 0; leg < n; leg++) {
        p = kinds[leg] == RAID_REF_P ? leg : p;
        q = kinds[leg] == RAID_REF_Q ? leg : q;
    }
    for (size_t b = 0; b < n_bytes; b++) {
        uint8_t x = 0, y = 0;
        for (unsigned i = n; i-- > 0;) {
            unsigned leg = is_ddf || q == n ? i : (q + 1 + i) % n;
            uint8_t data = kinds[leg] >= 0 ? chunks[leg][b] : 0;
            x ^= data;
            if (is_ddf || kinds[leg] >= 0)
                y = raid_ref_twice(y) ^ data;
        }
        chunks[p][b] = x;
        if (q < n)
            chunks[q][b] = y;
    }
}

#endif
