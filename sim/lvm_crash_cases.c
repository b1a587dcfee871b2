/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts and operations of the LVM2 crash explorer. */
#include "lvm_crash.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"

const struct lc_layout lc_layouts[] = {
    {"one", 1, {1}, 0, 0, 1, 0},
    {"one-two-areas", 1, {2}, 0, 0, 1, 0},
    {"wrap", 1, {2}, 32768, 4096, 17, 0},
    {"two", 2, {1, 1}, 0, 0, 2, 0},
    {"three", 3, {1, 0, 2}, 65536, 65536, 3, 0},
    {"three-ignored", 3, {1, 1, 1}, 32768, 4096, 9, 2},
    {NULL},
};

/* ----------------------------------------------------------------- layouts */

static int add_pv(struct lc_env *e, struct lvm_vg *vg, unsigned d)
{
    struct lvm_dev *dev = e->devs[d];
    struct lvm_pv *pv = lvm_arena_get(&vg->arena, sizeof(*pv));
    if (!pv)
        return -ENOMEM;
    pv->vg = vg;
    pv->id = dev->label.pv_id;
    pv->dev = dev;
    pv->device = dev->name;
    pv->flags = LVM_ALLOCATABLE;
    pv->has_dev_size = true;
    pv->dev_size_sectors = dev->size_bytes / LVM_SECTOR_BYTES;
    pv->pe_start_sectors = dev->label.data_offset / LVM_SECTOR_BYTES;
    pv->pe_count = lvm_pe_count(&dev->label, dev->size_bytes, vg->extent_sectors);
    ash_list_push_tail(&vg->pvs, &pv->link);
    return 0;
}

static int make_pv(struct lc_env *e, unsigned d)
{
    struct lvm_pv_opts opts;
    lvm_pv_opts_init(&opts);
    opts.n_mdas = e->layout->n_mdas[d];
    opts.mda_bytes = e->layout->mda_bytes;
    opts.align_bytes = e->layout->align_bytes;
    opts.mda_ignored = e->layout->ignored >> d & 1;
    return lvm_pv_create(e->devs[d], &opts, NULL);
}

static struct lvm_vg *new_vg(const char *name)
{
    struct lvm_vg *vg = lvm_vg_new();
    ASH_ASSERT(vg);
    vg->name = lvm_arena_str(&vg->arena, name);
    lvm_id_random(&vg->id);
    vg->flags = LVM_RESIZEABLE | LVM_READ | LVM_WRITE;
    vg->extent_sectors = 2048;
    ASH_ASSERT(vg->name);
    return vg;
}

/* PVs 0 .. n-1 become a VG. */
static int make_vg(struct lc_env *e, const char *name, unsigned n)
{
    struct lvm_vg *vg = new_vg(name);
    int rc = 0;
    for (unsigned d = 0; d < n && rc == 0; d++)
        rc = add_pv(e, vg, d);
    ASH_ASSERT(rc == 0);
    e->group = lvm_set_give_vg(e->set, vg);
    return e->group ? lvm_vg_update(e->set, vg, &e->writer, NULL) : -ENOMEM;
}

/* The last disk of several is kept as an orphan. */
static unsigned n_members(const struct lc_env *e)
{
    return e->layout->n_disks > 1 ? e->layout->n_disks - 1 : 1;
}

int lc_next_update(struct lc_env *e)
{
    char tag[24];
    struct lvm_vg *vg = e->group->vg;
    snprintf(tag, sizeof(tag), "t%u", vg->seqno);
    vg->tags = NULL;
    return lvm_tag_add(vg, &vg->tags, tag) ? lvm_vg_update(e->set, vg, &e->writer, NULL) : -ENOMEM;
}

int lc_make_layout(struct lc_env *e)
{
    int rc = 0;
    for (unsigned d = 0; d < e->layout->n_disks && rc == 0; d++)
        rc = make_pv(e, d);
    if (rc == 0)
        rc = make_vg(e, "vg", n_members(e));
    for (unsigned i = 0; i < e->layout->n_updates && rc == 0; i++)
        rc = lc_next_update(e);
    return rc;
}

/* -------------------------------------------------------------- operations */

static int op_update(struct lc_env *e)
{
    return lc_next_update(e);
}

/* Three times: the ring goes on while the places of the texts before are still pending. */
static int op_updates(struct lc_env *e)
{
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = lc_next_update(e);
    return rc;
}

static int op_large(struct lc_env *e)
{
    struct lvm_vg *vg = e->group->vg;
    char tag[600];
    memset(tag, 'x', sizeof(tag));
    for (int i = 0; i < 8; i++) {
        snprintf(tag + 590, 10, "%d", i);
        if (!lvm_tag_add(vg, &vg->tags, tag))
            return -ENOMEM;
    }
    return lvm_vg_update(e->set, vg, &e->writer, NULL);
}

static int op_rename(struct lc_env *e)
{
    e->group->vg->name = "renamed";
    return lvm_vg_update(e->set, e->group->vg, &e->writer, NULL);
}

static int op_revert(struct lc_env *e)
{
    struct lvm_update u;
    struct lvm_vg *vg = e->group->vg;
    struct lvm_str *tags = vg->tags;
    if (!lvm_tag_add(vg, &vg->tags, "never"))
        return -ENOMEM;
    int rc = lvm_update_prepare(&u, e->set, vg, &e->writer, NULL);
    if (rc == 0)
        lvm_update_revert(&u);
    vg->tags = tags;
    lvm_tag_del(&vg->tags, "never");
    return rc;
}

/* The first PV's areas stop being used, the second's begin. */
static int op_toggle_ignored(struct lc_env *e)
{
    for (size_t i = 0; i < e->devs[0]->label.n_mdas; i++)
        e->devs[0]->mdas[i].ignored = true;
    for (size_t i = 0; i < e->devs[1]->label.n_mdas; i++)
        e->devs[1]->mdas[i].ignored = false;
    return lvm_vg_update(e->set, e->group->vg, &e->writer, NULL);
}

static int op_vgextend(struct lc_env *e)
{
    unsigned last = e->layout->n_disks - 1;
    int rc = make_pv(e, last);
    if (rc == 0)
        rc = add_pv(e, e->group->vg, last);
    return rc ? rc : lvm_vg_update(e->set, e->group->vg, &e->writer, NULL);
}

static int op_vgreduce(struct lc_env *e)
{
    struct lvm_pv *pv = lvm_pv_of(e->group->vg->pvs.prev);
    ash_list_remove(&pv->link);
    int rc = lvm_vg_update(e->set, e->group->vg, &e->writer, NULL);
    return rc ? rc : lvm_pv_make_orphan(pv->dev, NULL);
}

/* The last disk becomes a VG of its own, which then joins the first. */
static int op_vgmerge(struct lc_env *e)
{
    unsigned last = e->layout->n_disks - 1;
    int rc = make_pv(e, last);
    struct lvm_vg *vg = new_vg("second");
    if (rc == 0)
        rc = add_pv(e, vg, last);
    struct lvm_group *g = lvm_set_give_vg(e->set, vg);
    if (!g)
        return -ENOMEM;
    if (rc == 0)
        rc = lvm_vg_update(e->set, vg, &e->writer, NULL);
    return rc ? rc : lvm_vg_merge(e->set, e->group, g, &e->writer, NULL);
}

static int op_vgremove(struct lc_env *e)
{
    return lvm_vg_remove(e->set, e->group->vg, &e->writer, NULL);
}

static int op_vgcreate(struct lc_env *e)
{
    unsigned last = e->layout->n_disks - 1;
    int rc = make_pv(e, last);
    struct lvm_vg *vg = new_vg("second");
    if (rc == 0)
        rc = add_pv(e, vg, last);
    struct lvm_group *g = lvm_set_give_vg(e->set, vg);
    if (!g)
        return -ENOMEM;
    return rc ? rc : lvm_vg_update(e->set, vg, &e->writer, NULL);
}

static int op_pvcreate(struct lc_env *e)
{
    return make_pv(e, e->layout->n_disks - 1);
}

const struct lc_op lc_ops[] = {
    {"update", op_update, 1, 1, false},
    {"updates", op_updates, 1, 3, false},
    {"large", op_large, 1, 1, false},
    {"rename", op_rename, 1, 1, false},
    {"revert", op_revert, 1, 0, false},
    {"toggle-ignored", op_toggle_ignored, 3, 1, true},
    {"vgextend", op_vgextend, 2, 1, false},
    {"vgreduce", op_vgreduce, 3, 1, false},
    {"vgremove", op_vgremove, 1, 1, false},
    {"vgcreate", op_vgcreate, 2, 1, false},
    {"pvcreate", op_pvcreate, 2, 0, false},
    {"vgmerge", op_vgmerge, 2, 3, false},
    {NULL},
};
