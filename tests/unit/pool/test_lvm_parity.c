/* SPDX-License-Identifier: Apache-2.0 */
/* Lost chunks rebuilt: every layout, 2 to 8 legs, each row of a turn, every set of one, two or
 * three lost legs, against a slow reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "pool/lvm/parity.h"
#include "raid_ref.h"

enum { N_BYTES = 1024 };

struct row {
    const char *type;
    unsigned n, t;
    int kinds[RAID_REF_MAX];
    uint8_t *chunks[RAID_REF_MAX], *out;
};

static void make(struct row *r)
{
    raid_ref_row(r->type, r->n, r->t, r->kinds);
    for (unsigned i = 0; i < r->n; i++)
        for (unsigned b = 0; b < N_BYTES; b++)
            r->chunks[i][b] = (uint8_t)(rand() >> 7);
    raid_ref_encode(r->type, r->n, r->kinds, r->chunks, N_BYTES);
}

/* What is on a leg that is lost must not count: a source that is one would be caught here. */
static void lose(const struct row *r, unsigned lost_mask)
{
    const struct lvm_raid_layout *layout = lvm_raid_layout(r->type);
    bool good[RAID_REF_MAX];
    unsigned n_lost = (unsigned)__builtin_popcount(lost_mask);
    for (unsigned i = 0; i < r->n; i++)
        good[i] = !(lost_mask >> i & 1);
    for (unsigned leg = 0; leg < r->n; leg++) {
        struct lvm_parity_sum sum;
        void *from[LVM_RAID_LEGS_MAX];
        if (good[leg])
            continue;
        bool is_found = lvm_parity_find(layout, r->n, r->t, leg, good, &sum);
        if (is_found != (r->kinds[leg] >= 0 && n_lost <= layout->n_parity))
            fail_msg("%s of %u, row %u, lost %#x: leg %u", r->type, r->n, r->t, lost_mask, leg);
        if (!is_found)
            continue;
        for (unsigned i = 0; i < sum.n; i++) {
            assert_true(sum.legs[i] < r->n && good[sum.legs[i]]);
            from[i] = r->chunks[sum.legs[i]];
        }
        memset(r->out, 0xee, N_BYTES);
        lvm_parity_add(&sum, from, r->out, N_BYTES);
        if (memcmp(r->out, r->chunks[leg], N_BYTES) != 0)
            fail_msg("%s of %u, row %u, lost %#x: leg %u is not what it was", r->type, r->n, r->t,
                     lost_mask, leg);
    }
}

static void test_rebuilt(void **state)
{
    struct row r;
    void *mem = NULL;
    assert_int_equal(posix_memalign(&mem, 4096, (RAID_REF_MAX + 1) * N_BYTES), 0);
    for (unsigned i = 0; i < RAID_REF_MAX; i++)
        r.chunks[i] = (uint8_t *)mem + i * N_BYTES;
    r.out = (uint8_t *)mem + RAID_REF_MAX * N_BYTES;
    srand(1);
    for (size_t k = 0; k < ASH_N_ELEMS(raid_ref_types); k++) {
        r.type = raid_ref_types[k];
        for (r.n = raid_ref_n_parity(r.type) + 1; r.n <= RAID_REF_MAX; r.n++) {
            for (r.t = 0; r.t <= r.n; r.t++) {
                make(&r);
                for (unsigned mask = 1; mask < 1u << r.n; mask++)
                    if (__builtin_popcount(mask) <= 3)
                        lose(&r, mask);
            }
        }
    }
    free(mem);
}

/* The reference's rows are those that the tables by hand of test_lvm_map.c are about: the parity
 * legs of both agree, for rows beyond 2^32 too. */
static void test_parity_legs(void **state)
{
    for (size_t k = 0; k < ASH_N_ELEMS(raid_ref_types); k++) {
        const struct lvm_raid_layout *layout = lvm_raid_layout(raid_ref_types[k]);
        for (unsigned n = layout->n_parity + 1; n <= RAID_REF_MAX; n++) {
            for (unsigned t = 0; t < 2 * n; t++) {
                int kinds[RAID_REF_MAX];
                uint64_t turn = (UINT64_C(1) << 33) * n * (n - 1);
                for (unsigned far = 0; far < 2; far++) {
                    unsigned p = n, q = n;
                    raid_ref_row(layout->name, n, t, kinds);
                    lvm_raid_parity_legs(layout, n, t + far * turn, &p, &q);
                    assert_int_equal(kinds[p], RAID_REF_P);
                    assert_true(layout->n_parity == 1 ? q == n : kinds[q] == RAID_REF_Q);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parity_legs),
        cmocka_unit_test(test_rebuilt),
    };
    return cmocka_run_group_tests_name("lvm_parity", tests, NULL, NULL);
}
