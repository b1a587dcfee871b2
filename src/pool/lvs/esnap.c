/* SPDX-License-Identifier: Apache-2.0 */
/* External snapshots: volumes whose parent is a bdev (docs/spec/blobstore-format.md 12.2,
 * spdk-jsonrpc.md 13.5).
 *
 * The volume that names the device holds it open; volumes below reach it through their channels.
 * When the device is missing, that volume and all below it are degraded: listed, without bdev. When
 * it (or another with its UUID) appears, they come back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

struct lvs_volume *lvs_esnap_owner(const struct lvs_volume *v)
{
    for (; v; v = v->parent)
        if (v->root.invalid_flags & LVS_INVALID_ESNAP)
            return (struct lvs_volume *)(uintptr_t)v;
    return NULL;
}

void lvs_state_update(struct lvs_volume *v)
{
    if (v->state == VOLUME_FAULTED)
        return;
    const struct lvs_volume *owner = lvs_esnap_owner(v);
    bool missing = owner && !owner->esnap_desc;
    v->state = missing ? VOLUME_DEGRADED : VOLUME_OK;
    if (missing)
        snprintf(v->fault, sizeof(v->fault), "external parent %s is missing", owner->esnap_id);
}

void lvs_tree_bdevs(struct lvs_volume *root)
{
    for (struct lvs_volume *v = root; v; v = lvs_tree_next(root, v)) {
        lvs_state_update(v);
        if (v->state == VOLUME_OK && !v->has_bdev && !v->is_deleting && !v->store->is_closing)
            (void)lvs_bdev_register(v, NULL);
    }
}

static bool is_degraded(struct lvs_volume *v, const void *arg)
{
    return v->state == VOLUME_DEGRADED;
}

void lvs_degraded_leave(struct lvs_store *s)
{
    lvs_bdevs_leave(s, is_degraded, NULL);
}

/* The device goes: everything that reads it loses its bdev first, then we let go. */
struct loss {
    struct lvs_store *s;
    struct bdev_desc *desc;
};

/* Its channels may hold channels of the device. */
static bool reads(struct lvs_volume *v, const void *desc)
{
    return atomic_load_explicit(&v->chain_desc, memory_order_relaxed) == desc;
}

/* While bdevs went, volumes may have got other parents, who were seen as having a bdev still. */
static void give_back(struct lvs_store *s)
{
    ash_list_for_each (l, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        if (v->state == VOLUME_OK && !v->has_bdev && !v->op && !s->is_closing)
            (void)lvs_bdev_register(v, NULL);
    }
}

static void loss_task(void *arg)
{
    struct loss *loss = arg;
    struct lvs_store *s = loss->s;
    rt_mutex_lock(&s->tree_lock);
    ash_list_for_each (l, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        if (v->esnap_desc != loss->desc)
            continue;
        v->esnap_desc = NULL;
        for (struct lvs_volume *below = v; below; below = lvs_tree_next(v, below))
            lvs_state_update(below);
        uint64_t seq = s->tree_seq;
        lvs_bdevs_leave(s, reads, loss->desc);
        bdev_close(loss->desc);
        if (s->tree_seq != seq)
            give_back(s);
        break;
    }
    rt_mutex_unlock(&s->tree_lock);
    lvs_store_op_end(s);
    rt_free(loss);
}

static void esnap_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct lvs_store *s = bdev_desc_user(desc);
    if (ev != BDEV_EVENT_REMOVE)
        return;
    struct loss *loss = rt_alloc(sizeof(*loss));
    if (loss) {
        *loss = (struct loss){s, desc};
        s->n_ops++;
        if (rt_task_spawn("external parent removed", loss_task, loss) == 0)
            return;
        lvs_store_op_end(s);
        rt_free(loss);
    }
    /* Without memory the removal of the device waits until the pool is closed. */
}

int lvs_esnap_open(struct lvs_volume *v, const char *bdev_name, struct ash_err *err)
{
    struct lvs_store *s = v->store;
    struct bdev_desc *desc;
    char who[LVS_NAME_MAX + 32];
    snprintf(who, sizeof(who), "external parent in pool %s", s->name);
    int rc = bdev_open(s->bdevs, bdev_name, BDEV_OPEN_READ, who, esnap_event, s, &desc, err);
    if (rc)
        return rc;
    struct bdev *bdev = bdev_desc_bdev(desc);
    if (bdev->block_bytes > s->io_unit_bytes || s->io_unit_bytes % bdev->block_bytes != 0)
        rc = ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, bdev_name,
                         "blocks of %u of device '%s' do not divide the pool's blocks of %u",
                         bdev->block_bytes, bdev_name, s->io_unit_bytes);
    else if (bdev->module == &lvs_bdev_module &&
             ash_container_of(bdev, struct lvs_volume, bdev)->store == s)
        rc = ash_err_set(err, ASH_E_VOLUME_BAD_PARENT, bdev_name,
                         "'%s' is a volume of the same pool", bdev_name);
    else
        rc = bdev_claim(desc, BDEV_CLAIM_READ_WRITE_NONE, 0, "lvol", err);
    if (rc) {
        bdev_close(desc);
        return rc;
    }
    v->esnap_desc = desc;
    s->has_esnaps = true;
    v->esnap_bytes = bdev->size_bytes;
    ash_uuid_format(&bdev->uuid, v->esnap_id);
    return 0;
}

void lvs_esnap_close(struct lvs_volume *v)
{
    if (v->esnap_desc)
        bdev_close(v->esnap_desc);
    v->esnap_desc = NULL;
}

static bool waits_for(const struct lvs_volume *v, const char *uuid)
{
    return v->state != VOLUME_FAULTED && !v->esnap_desc &&
           (v->root.invalid_flags & LVS_INVALID_ESNAP) && strcmp(v->esnap_id, uuid) == 0;
}

static bool somebody_waits(const struct lvs_store *s, const char *uuid)
{
    if (!s->has_esnaps) /* most pools: their volumes are not looked at for every new device */
        return false;
    ash_list_for_each (l, &s->volumes)
        if (waits_for(ash_list_entry(l, struct lvs_volume, link), uuid))
            return true;
    return false;
}

/* A new device: is it what volumes are waiting for? */
void lvs_esnap_examine(struct pool_mgr *pools, struct bdev *bdev)
{
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_uuid_format(&bdev->uuid, uuid);
    /* A volume is nobody's parent in its own pool, whose lock its removal may be holding. */
    const struct lvs_store *own = bdev->module == &lvs_bdev_module
                                      ? ash_container_of(bdev, struct lvs_volume, bdev)->store
                                      : NULL;
    ash_list_for_each (p, &pools->pools) {
        struct lvs_store *s = lvs_of_pool(ash_list_entry(p, struct pool, link));
        if (s->is_closing || s == own || !somebody_waits(s, uuid))
            continue;
        s->n_ops++;
        rt_mutex_lock(&s->tree_lock);
        ash_list_for_each (l, &s->volumes) {
            struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
            if (waits_for(v, uuid) && lvs_esnap_open(v, uuid, NULL) == 0)
                lvs_tree_bdevs(v);
        }
        rt_mutex_unlock(&s->tree_lock);
        lvs_store_op_end(s);
    }
}
