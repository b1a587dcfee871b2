/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C as iSCSI and the blobstore use it: initial value and final XOR 0xFFFFFFFF
 * (docs/spec/blobstore-format.md 1.1). */
#ifndef ASH_BASE_CRC32C_H
#define ASH_BASE_CRC32C_H

#include "base/compiler.h"

uint32_t ash_crc32c(const void *data, size_t n_bytes);

#endif
