/* SPDX-License-Identifier: Apache-2.0 */
/* What an export needs of the engine that it lives in. The engine (above) defines these; so an
 * export knows no more of it than its name. */
#ifndef ASH_EXPORT_PART_H
#define ASH_EXPORT_PART_H

#include "bdev/bdev.h"

struct ash_engine;

/* Something of a control face that lives as long as the engine (embed it; zero it first). destroy
 * runs at the begin of ash_engine_destroy, last attached first. key: a literal, compared as text.
 */
struct ash_engine_part {
    const char *key;
    void (*destroy)(struct ash_engine_part *part); /* may wait */
    struct ash_list link;
};
void ash_engine_attach(struct ash_engine *engine, struct ash_engine_part *part);
struct ash_engine_part *ash_engine_part(struct ash_engine *engine, const char *key); /* NULL */

struct bdev_mgr *ash_engine_bdevs(struct ash_engine *engine);

#endif
