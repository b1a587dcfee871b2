/* SPDX-License-Identifier: Apache-2.0 */
/* A volume used by an NBD client over a simulated byte stream. */
#ifndef ASH_SIM_WORLD_NBD_H
#define ASH_SIM_WORLD_NBD_H

#include "world.h"

/* Export the volume, connect, write, read back, flush, disconnect. 0 or -errno. */
int sim_nbd_session(struct sim_world *w, struct ora_vol *v, const struct sim_step *s,
                    uint64_t block, uint64_t n_blocks) ASH_MAY_WAIT;

#endif
