/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the commands on pools, volumes and exports. */
#ifndef ASH_CTL_CLI_NOUNS_H
#define ASH_CTL_CLI_NOUNS_H

#include "ctl/cli/cmd.h"

/* The element of a listing whose key or uuid is name; *ret NULL when there is none. */
int cli_find(struct cli *cli, const char *method, const char *key, const char *name,
             struct json_object **ret, struct ash_err *err) ASH_MAY_WAIT;
int cli_find_pool(struct cli *cli, const char *name, struct json_object **ret,
                  struct ash_err *err) ASH_MAY_WAIT;
int cli_call_quiet(struct cli *cli, const char *method, struct json_object *params,
                   struct ash_err *err) ASH_MAY_WAIT;
void cli_size_cell(struct cli_table *t, uint64_t n_bytes);
void cli_show(struct cli *cli, struct json_object *obj);

#endif
