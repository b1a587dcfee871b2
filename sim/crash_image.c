/* SPDX-License-Identifier: Apache-2.0 */
/* States of a log: which writes are pending after a power cut, and the image that a choice of them
 * leaves. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crash.h"

size_t crash_pending(const struct rt_sim_log *log, size_t n, uint32_t *ret, size_t n_max)
{
    size_t k = 0;
    for (size_t i = 0; i < log->n_entries && k < n_max; i++)
        if (log->entries[i].kind != RT_OP_FSYNC && rt_sim_log_is_possible(log, n, i) &&
            !rt_sim_log_is_durable(log, n, i))
            ret[k++] = (uint32_t)i;
    return k;
}

/* Entry i, of which only some units of the medium were changed. Seed 0: the first half. */
static int apply_torn(const struct rt_sim_log *log, size_t i, struct rt_sim_image *image,
                      unsigned unit, uint64_t seed)
{
    const struct rt_sim_log_entry *e = &log->entries[i];
    uint64_t n_units = ash_div_up(e->length, unit);
    for (uint64_t u = 0; u < n_units; u++) {
        bool done = seed ? crash_mix(seed + u) & 1 : u < ash_div_up(n_units, 2);
        uint64_t at = u * unit, n = ASH_MIN((uint64_t)unit, e->length - at);
        int rc = 0;
        if (!done || e->offset + at + n > rt_sim_image_size(image))
            continue;
        if (e->kind == RT_OP_WRITE)
            rc = rt_sim_image_write(image, e->offset + at, (uint8_t *)e->data + at, n);
        else
            rc = rt_sim_image_zero(image, e->offset + at, n);
        if (rc)
            return rc;
    }
    return 0;
}

struct rt_sim_image *crash_build(const struct rt_sim_image *start, const struct rt_sim_log *log,
                                 const struct crash_state *st)
{
    struct rt_sim_image *image = rt_sim_image_clone(start);
    size_t k = 0;
    int rc = image ? 0 : -1;
    for (size_t i = 0; i < log->n_entries && rc == 0; i++) {
        if (log->entries[i].kind == RT_OP_FSYNC)
            continue;
        if (rt_sim_log_is_durable(log, st->n, i)) {
            rc = rt_sim_log_apply(log, i, image);
        } else if (rt_sim_log_is_possible(log, st->n, i) && k < 256) {
            bool done = st->mask[k / 64] >> (k % 64) & 1;
            if (done && st->tear && st->torn == k)
                rc = apply_torn(log, i, image, st->tear, st->tear_seed);
            else if (done)
                rc = rt_sim_log_apply(log, i, image);
            k++;
        }
    }
    if (rc) {
        rt_sim_image_free(image);
        return NULL;
    }
    return image;
}
