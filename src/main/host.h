/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ASH_MAIN_HOST_H
#define ASH_MAIN_HOST_H

#include "ctl/cli/cli.h"

extern const struct cli_host host;

#endif
