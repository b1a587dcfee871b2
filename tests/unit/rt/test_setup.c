/* SPDX-License-Identifier: Apache-2.0 */
/* rt: what a world says when the machine does not give it what it needs. Each run may have one more
 * descriptor than the last, until the world can be made; nothing is left open on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rt/rt.h"

static unsigned n_open(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += dup2(fd, fd) == fd;
    return n;
}

static void set_limit(rlim_t n)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static bool have(enum rt_backend backend)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = backend;
    if (rt_create(&opts, &rt, NULL) != 0)
        return false;
    rt_destroy(rt);
    return true;
}

/* Bit per reason that a world of this kind failed with before it could be made. */
static uint64_t reasons_of(enum rt_backend backend)
{
    uint64_t seen = 0;
    unsigned n = n_open();
    for (unsigned more = 0; more < 64; more++) {
        struct rt_opts opts;
        struct ash_err err = {0};
        struct rt *rt;
        rt_opts_init(&opts);
        opts.backend = backend;
        opts.n_reactors = 2;
        set_limit(n + more);
        int rc = rt_create(&opts, &rt, &err);
        set_limit(1024);
        if (rc == 0) {
            rt_destroy(rt);
            assert_int_equal(n_open(), n);
            assert_true(more > 0);
            return seen;
        }
        assert_true(rc < 0 && rc == err.rc && err.text[0] && err.reason < 64);
        assert_int_equal(n_open(), n);
        seen |= UINT64_C(1) << err.reason;
    }
    fail_msg("64 descriptors are not enough");
    return 0;
}

static void uring(void **state)
{
    if (!have(RT_BACKEND_URING))
        skip();
    assert_int_equal(reasons_of(RT_BACKEND_URING),
                     UINT64_C(1) << ASH_E_RT_NO_URING | UINT64_C(1) << ASH_E_RT_SETUP);
}

static void epoll(void **state)
{
    assert_int_equal(reasons_of(RT_BACKEND_EPOLL), UINT64_C(1) << ASH_E_RT_SETUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(uring), cmocka_unit_test(epoll)};
    return cmocka_run_group_tests_name("setup", tests, NULL, NULL);
}
