/* SPDX-License-Identifier: Apache-2.0 */
/* The disk goes away under the engine and comes back: as it was, as it was long ago, or another one
 * in its place for a while. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "world.h"

/* What an older disk would bring back: its content and what the oracle knew then. Taken between an
 * export and the import after it. */
void sim_remember(struct sim_world *w, struct rt_sim_image *image)
{
    rt_sim_image_free(w->old_image);
    ora_free(&w->old_ora);
    w->old_image = image;
    ora_clone(&w->old_ora, &w->ora);
}

static int take_away(struct sim_world *w, struct ash_err *err)
{
    return bdev_destroy_uri(w->mgr, "aio:///d", err);
}

static int bring_back(struct sim_world *w, struct ash_err *err)
{
    char *name = NULL;
    int rc = bdev_create_uri(w->mgr, "aio:///d", &name, err);
    rt_free(name);
    bdev_wait_for_examine(w->mgr);
    return rc;
}

static void become_older(struct sim_world *w)
{
    uint64_t now = w->ora.now;
    uint32_t next_id = w->ora.next_id;
    ora_free(&w->ora);
    ora_clone(&w->ora, &w->old_ora);
    w->ora.now = now;
    w->ora.next_id = next_id;
    struct rt_sim_image *disk = rt_sim_image_clone(w->old_image);
    rt_sim_image_free(w->medium);
    w->medium = rt_sim_image_clone(w->old_image);
    ASH_ASSERT(disk && w->medium);
    rt_sim_disk_set_log(w->disk, NULL);
    rt_sim_disk_give_image(w->disk, disk);
    rt_sim_log_free(&w->log);
    rt_sim_disk_set_log(w->disk, &w->log);
    sim_fired(w, SIM_FIRED_BACK_OLDER);
}

/* No pool: zeroes, or bytes of no meaning. */
static struct rt_sim_image *foreign_image(struct sim_world *w, uint64_t rng)
{
    struct rt_sim_image *image = rt_sim_image_new(rt_sim_disk_size(w->disk));
    uint64_t garbage[512];
    ASH_ASSERT(image);
    if (rng % 2 == 0)
        return image;
    for (uint64_t at = 0; at < 1 << 20; at += sizeof(garbage)) {
        for (size_t i = 0; i < ASH_N_ELEMS(garbage); i++)
            garbage[i] = sim_next(&rng);
        ASH_ASSERT(rt_sim_image_write(image, at, garbage, sizeof(garbage)) == 0);
    }
    return image;
}

/* What is there now must be no pool of ours, and nobody may write to it. */
static void must_be_left_alone(struct sim_world *w, const char *what)
{
    struct rt_sim_image *before = rt_sim_image_clone(rt_sim_disk_image(w->disk));
    struct ash_err err = {0};
    ASH_ASSERT(before);
    int rc = bring_back(w, &err);
    if (sim_pool(w))
        sim_wrong(w, "%s was taken for the pool", what);
    if (rc == 0)
        rc = take_away(w, &err);
    if (rc)
        sim_wrong(w, "%s: %s", what, err.text);
    if (rt_sim_image_differs(before, rt_sim_disk_image(w->disk)) != UINT64_MAX)
        sim_wrong(w, "%s was written to", what);
    rt_sim_image_free(before);
}

void sim_own_disk(struct sim_world *w)
{
    if (w->own_image) {
        rt_sim_disk_give_image(w->disk, w->own_image);
        w->own_image = NULL;
        rt_sim_disk_set_log(w->disk, &w->log);
    }
    rt_sim_disk_set_block(w->disk, w->plan->block_bytes);
}

static void stay_foreign(struct sim_world *w, const struct sim_step *s)
{
    w->own_image = rt_sim_image_clone(rt_sim_disk_image(w->disk));
    ASH_ASSERT(w->own_image);
    rt_sim_disk_set_log(w->disk, NULL);
    rt_sim_disk_give_image(w->disk, foreign_image(w, s->a[1]));
    must_be_left_alone(w, "a foreign disk");
    sim_own_disk(w);
    sim_fired(w, SIM_FIRED_BACK_FOREIGN);
}

/* Blocks of 4096 bytes cannot hold a store of 512. */
static void have_large_blocks(struct sim_world *w)
{
    rt_sim_disk_set_block(w->disk, 4096);
    must_be_left_alone(w, "a disk whose blocks are too large");
    sim_own_disk(w);
    sim_fired(w, SIM_FIRED_BACK_BLOCKS);
}

void sim_remove(struct sim_world *w, const struct sim_step *s)
{
    struct ash_err err = {0};
    w->removed = true;
    int rc = take_away(w, &err);
    w->stopping = true;
    while (w->n_inflight)
        rt_waitq_wait(&w->idle);
    w->faults.on = false;
    sim_ext_back(w);
    unsigned how = s->a[0] % 8;
    if (rc == 0 && how < 2)
        stay_foreign(w, s);
    else if (rc == 0 && how == 2 && w->plan->is_device && w->plan->block_bytes == 512)
        have_large_blocks(w);
    else if (rc == 0 && how < 5 && w->old_image)
        become_older(w);
    else
        sim_fired(w, SIM_FIRED_BACK_SAME);
    if (rc == 0)
        rc = bring_back(w, &err);
    if (rc || !sim_pool(w)) {
        sim_wrong(w, "the disk came back, the pool did not: %s", rc ? err.text : "not found");
    } else {
        w->lossy = false;
        w->faulty = false;
        sim_settle(w);
    }
    w->removed = false;
    w->stopping = false;
}
