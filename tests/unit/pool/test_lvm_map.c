/* SPDX-License-Identifier: Apache-2.0 */
/* Which legs of a raid set have the data of each row (docs/spec/dm-formats.md 9.3), for layouts
 * that no golden disk has too, as written down by hand from the table there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pool/lvm/map.h"
#include "pool/lvm/raid.h"

static const struct row {
    const char *type;
    unsigned n_legs;
    const char *legs; /* of rows 0, 1 ... */
} rows[] = {
    {"raid4", 4, "123 123 123 123"},          {"raid5", 4, "012 301 230 123"},
    {"raid5_ls", 4, "012 301 230 123"},       {"raid5_la", 4, "012 013 023 123"},
    {"raid5_ra", 4, "123 023 013 012"},       {"raid5_rs", 4, "123 230 301 012"},
    {"raid5_n", 4, "012 012 012 012"},        {"raid6", 5, "234 034 014 012 123"},
    {"raid6_zr", 5, "234 034 014 012 123"},   {"raid6_nr", 5, "012 014 034 234 123"},
    {"raid6_nc", 5, "012 401 340 234 123"},   {"raid6_n_6", 5, "012 012 012 012 012"},
    {"raid6_la_6", 5, "012 013 023 123 012"}, {"raid6_ra_6", 5, "123 023 013 012 123"},
    {"raid6_ls_6", 5, "012 301 230 123 012"}, {"raid6_rs_6", 5, "123 230 301 012 123"},
};

static void test_data_legs(void **state)
{
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        const struct row *r = &rows[i];
        const struct lvm_raid_layout *layout = lvm_raid_layout(r->type);
        char text[64] = "";
        size_t n = 0;
        assert_non_null(layout);
        for (unsigned t = 0; t < r->n_legs; t++) {
            if (t)
                text[n++] = ' ';
            for (unsigned d = 0; d < r->n_legs - layout->n_parity; d++)
                text[n++] = (char)('0' + lvm_raid_data_leg(layout, r->n_legs, t, d));
        }
        text[n] = 0;
        if (strcmp(text, r->legs) != 0)
            fail_msg("%s: %s, not %s", r->type, text, r->legs);
    }
}

/* Whatever the number of legs: no leg twice in a row, and a period of as many rows as legs. */
static void test_rows_have_different_legs(void **state)
{
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        const struct lvm_raid_layout *layout = lvm_raid_layout(rows[i].type);
        for (unsigned n_legs = layout->n_parity + 2u; n_legs < 12; n_legs++) {
            unsigned period = layout->q_is_last ? n_legs - 1 : n_legs;
            for (uint64_t t = 0; t < 3 * n_legs; t++) {
                uint64_t seen = 0;
                for (unsigned d = 0; d < n_legs - layout->n_parity; d++) {
                    unsigned leg = lvm_raid_data_leg(layout, n_legs, t, d);
                    assert_true(leg < n_legs);
                    assert_false(seen >> leg & 1);
                    seen |= UINT64_C(1) << leg;
                    assert_int_equal(leg, lvm_raid_data_leg(layout, n_legs, t + period, d));
                }
            }
        }
    }
}

static void test_unknown_types(void **state)
{
    assert_null(lvm_raid_layout("raid7"));
    assert_null(lvm_raid_layout("mirror"));
    assert_non_null(lvm_raid_layout("raid10"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_legs),
        cmocka_unit_test(test_rows_have_different_legs),
        cmocka_unit_test(test_unknown_types),
    };
    return cmocka_run_group_tests_name("lvm_map", tests, NULL, NULL);
}
