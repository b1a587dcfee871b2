/* SPDX-License-Identifier: Apache-2.0 */
/* TOML 1.0 reader, to json-c's tree: tables are objects, dates and times are text. */
#ifndef ASH_BASE_TOML_H
#define ASH_BASE_TOML_H

#include "base/err.h"

struct json_object;

#define ASH_TOML_MAX_DEPTH 32

/* One document. ret_root: the caller's reference. -EINVAL CONFIG_SYNTAX with the line's number,
 * -ENOMEM. */
int ash_toml_parse(const char *text, size_t n_bytes, struct json_object **ret_root,
                   struct ash_err *err);

#endif
