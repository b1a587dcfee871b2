/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in for the FUSE export in builds without libfuse says so, whatever it is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "export/fuse/fuse.h"

static void says_so(void **state)
{
    struct fexp_server *srv;
    struct ash_err err = {0};
    assert_null(fexp_library());
    assert_int_equal(fexp_server(NULL, &srv, &err), -EOPNOTSUPP);
    assert_int_equal(err.reason, ASH_E_EXPORT_NO_FUSE);
    assert_int_equal(fexp_add(NULL, "disk", "/mnt", "disk", false, NULL), -EOPNOTSUPP);
    assert_int_equal(fexp_unmount(NULL, "/mnt", false, NULL), -EOPNOTSUPP);
    fexp_wait_unmounted(NULL, "/mnt");
    fexp_for_each(NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_so)};
    return cmocka_run_group_tests_name("fuse none", tests, NULL, NULL);
}
