/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ASHLAR_H
#define ASHLAR_H

#ifdef __cplusplus
extern "C" {
#endif

#define ASHLAR_VERSION "0.1.0"

/* Version of the library as text; lives for ever. */
const char *ashlar_version(void);

#ifdef __cplusplus
}
#endif

#endif
