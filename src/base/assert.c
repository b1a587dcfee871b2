/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static void (*assert_hook)(void); /* set once by main, before any thread starts */

void ash_assert_hook(void (*fn)(void))
{
    assert_hook = fn;
}

void ash_assert_fail(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "<2>ashlar: assertion failed: %s (%s:%d, %s)\n", expr, file, line, func);
    void (*hook)(void) = assert_hook;
    assert_hook = NULL;
    if (hook)
        hook();
    abort();
}

void ash_freep(void *ptr_to_ptr)
{
    free(*(void **)ptr_to_ptr);
    *(void **)ptr_to_ptr = NULL;
}
