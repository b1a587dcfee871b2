/* SPDX-License-Identifier: Apache-2.0 */
/* The external device: parent of clones, never written to. It goes, with all that stands on it, and
 * comes back as it was. */
#include <stdio.h>

#include "base/assert.h"
#include "world.h"

static const char *uri_of(const struct sim_world *w, char buf[128])
{
    static const char uuid[] = "e5a9e5a9-0000-4000-8000-00000000c0de";
    if (w->plan->ext_disk)
        snprintf(buf, 128, "aio:///ext?blk_size=%u&uuid=%s", SIM_BLOCK, uuid);
    else
        snprintf(buf, 128, "malloc:///ext?num_blocks=%u&blk_size=%u&uuid=%s",
                 SIM_EXT_BYTES / SIM_BLOCK, SIM_BLOCK, uuid);
    return buf;
}

const char *sim_ext_name(const struct sim_world *w)
{
    return w->plan->ext_disk ? "/ext" : "ext";
}

int sim_ext_add(struct sim_world *w, struct ash_err *err)
{
    char uri[128], *name = NULL;
    int rc = bdev_create_uri(w->mgr, uri_of(w, uri), &name, err);
    rt_free(name);
    if (rc == 0 && !w->plan->ext_disk)
        rc = sim_fill_ext(w);
    return rc;
}

void sim_ext_back(struct sim_world *w)
{
    struct ash_err err = {0};
    if (!w->ext_away)
        return;
    int rc = sim_ext_add(w, &err);
    bdev_wait_for_examine(w->mgr); /* only then are its clones there again */
    w->ext_away = false;
    w->ext_epoch++;
    if (rc)
        sim_wrong(w, "the external device does not come back: %s", err.text);
    sim_fired(w, SIM_FIRED_EXT_BACK);
}

void sim_ext_step(struct sim_world *w, const struct sim_step *s)
{
    struct ash_err err = {0};
    char uri[128];
    if (!w->plan->ext_disk)
        return;
    if (w->ext_away) {
        sim_ext_back(w);
        return;
    }
    w->ext_away = true;
    w->ext_epoch++;
    int rc = bdev_destroy_uri(w->mgr, uri_of(w, uri), &err);
    if (rc)
        sim_wrong(w, "the external device does not go: %s", err.text);
    sim_fired(w, SIM_FIRED_EXT_LOST);
}

static bool stands_on_ext(const struct sim_world *w, const struct ora_vol *v)
{
    for (unsigned i = 0; v && i < ORA_N_VOLS; i++) {
        if (v->parent == ORA_EXT)
            return true;
        v = ora_find((struct oracle *)(uintptr_t)&w->ora, v->parent);
    }
    return false;
}

bool sim_ext_excuses(const struct sim_world *w, const struct ora_vol *v, uint64_t epoch)
{
    return (w->ext_away || w->ext_epoch != epoch) && (!v || stands_on_ext(w, v));
}
