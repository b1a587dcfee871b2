/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"

#include <limits.h>

#include <isa-l/crc.h>

#include "base/assert.h"

uint32_t ash_crc32c(const void *data, size_t n_bytes)
{
    ASH_ASSERT(n_bytes <= INT_MAX);
    /* isa-l leaves the final inversion to the caller and does not write through the pointer. */
    return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)n_bytes, 0xFFFFFFFFu);
}
