/* SPDX-License-Identifier: Apache-2.0 */
/* See parity.h. Source: docs/spec/dm-formats.md 9.3.
 *
 *   P = sum of d          Q = sum of g^slot(d) * d         (d: data chunks of the row, g = 2)
 *
 * isa-l's field has the same polynomial, 0x11D. */
#include "pool/lvm/parity.h"

#include <isa-l.h>
#include <string.h>

#include "base/assert.h"

enum { GENERATOR = 2, ORDER = 255 /* g^255 = 1 */, NO_LEG = LVM_RAID_LEGS_MAX };

/* A row: what is on its legs. */
struct row {
    unsigned n_legs, n_data;
    unsigned p, q; /* q: NO_LEG when there is none */
    unsigned data[LVM_RAID_LEGS_MAX];
    uint8_t weights[LVM_RAID_LEGS_MAX]; /* g^slot of each leg that has data */
};

static uint8_t power(unsigned n)
{
    uint8_t x = 1;
    for (n %= ORDER; n; n--)
        x = gf_mul(x, GENERATOR);
    return x;
}

/* In the order of DDF a leg's number is its slot; else slots are counted over the data legs, from
 * behind Q on. */
static bool is_ddf(const struct lvm_raid_layout *layout)
{
    return layout->rotation == LVM_RAID_ZR || layout->rotation == LVM_RAID_NR ||
           layout->rotation == LVM_RAID_NC;
}

static void weigh(const struct lvm_raid_layout *layout, struct row *r)
{
    unsigned slot = 0;
    for (unsigned i = 1; i <= r->n_legs; i++) {
        unsigned leg = (r->q + i) % r->n_legs;
        if (leg != r->p && leg != r->q)
            r->weights[leg] = power(is_ddf(layout) ? leg : slot++);
    }
}

static void make_row(const struct lvm_raid_layout *layout, unsigned n_legs, uint64_t t,
                     struct row *r)
{
    *r = (struct row){.n_legs = n_legs, .n_data = n_legs - layout->n_parity, .q = NO_LEG};
    for (unsigned d = 0; d < r->n_data; d++)
        r->data[d] = lvm_raid_data_leg(layout, n_legs, t, d);
    lvm_raid_parity_legs(layout, n_legs, t, &r->p, &r->q);
    if (layout->n_parity == 2)
        weigh(layout, r);
}

static void add_term(struct lvm_parity_sum *sum, unsigned leg, uint8_t factor)
{
    ASH_ASSERT(factor);
    sum->legs[sum->n] = (uint8_t)leg;
    sum->factors[sum->n++] = factor;
}

/* x = a * (P + all data but x and y) + b * (Q + ...). For y = NO_LEG one of a, b is 0. */
static void combine(const struct row *r, unsigned x, unsigned y, uint8_t a, uint8_t b,
                    struct lvm_parity_sum *sum)
{
    sum->n = 0;
    for (unsigned d = 0; d < r->n_data; d++) {
        unsigned leg = r->data[d];
        if (leg != x && leg != y)
            add_term(sum, leg, b ? a ^ gf_mul(b, r->weights[leg]) : a);
    }
    if (a)
        add_term(sum, r->p, a);
    if (b)
        add_term(sum, r->q, b);
}

bool lvm_parity_find(const struct lvm_raid_layout *layout, unsigned n_legs, uint64_t t,
                     unsigned lost, const bool *is_good, struct lvm_parity_sum *ret)
{
    struct row r;
    unsigned n_lost = 0, other = NO_LEG;
    bool is_data = false;
    ASH_ASSERT(layout->n_parity && n_legs > layout->n_parity && n_legs <= LVM_RAID_LEGS_MAX);
    ASH_ASSERT(lost < n_legs && !is_good[lost]);
    make_row(layout, n_legs, t, &r);
    for (unsigned d = 0; d < r.n_data; d++) {
        is_data |= r.data[d] == lost;
        n_lost += !is_good[r.data[d]];
        if (!is_good[r.data[d]] && r.data[d] != lost)
            other = r.data[d];
    }
    bool has_p = is_good[r.p], has_q = r.q != NO_LEG && is_good[r.q];
    if (!is_data || n_lost > (unsigned)has_p + has_q)
        return false;
    uint8_t over_x = r.q == NO_LEG ? 0 : gf_inv(r.weights[lost]);
    if (n_lost == 1) {
        combine(&r, lost, NO_LEG, has_p, has_p ? 0 : over_x, ret);
        return true;
    }
    uint8_t y_over_x = gf_mul(r.weights[other], over_x), scale = gf_inv(y_over_x ^ 1);
    combine(&r, lost, other, gf_mul(y_over_x, scale), gf_mul(over_x, scale), ret);
    return true;
}

static bool is_plain(const struct lvm_parity_sum *sum)
{
    for (unsigned i = 0; i < sum->n; i++)
        if (sum->factors[i] != 1)
            return false;
    return sum->n > 1; /* xor_gen wants two or more */
}

void lvm_parity_add(const struct lvm_parity_sum *sum, void *const *from, void *to, size_t n_bytes)
{
    void *vectors[LVM_RAID_LEGS_MAX + 1];
    uint8_t tables[32 * LVM_RAID_LEGS_MAX], factors[LVM_RAID_LEGS_MAX], *out = to;
    ASH_ASSERT(sum->n >= 1 && sum->n < LVM_RAID_LEGS_MAX && n_bytes <= INT32_MAX);
    memcpy(vectors, from, sum->n * sizeof(*vectors));
    vectors[sum->n] = to;
    if (is_plain(sum)) {
        int rc = xor_gen((int)sum->n + 1, (int)n_bytes, vectors);
        ASH_ASSERT(rc == 0);
        return;
    }
    memcpy(factors, sum->factors, sum->n);
    ec_init_tables((int)sum->n, 1, factors, tables);
    ec_encode_data((int)n_bytes, (int)sum->n, 1, tables, (uint8_t **)vectors, &out);
}
