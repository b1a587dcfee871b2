/* SPDX-License-Identifier: Apache-2.0 */
/* One VG becomes part of another (docs/spec/lvm2-format.md 16). The order of writes, so that every
 * PV is in exactly one VG whenever the power goes:
 *
 * 1. The VG that ends is written with one area in use: its other areas are ignored, and unmanaged.
 * 2. The merged text is on all areas, named by none. The first header written is that of this one
 *    area: from one sector to the next it names the merged VG, with the highest seqno of that. So
 * the old VG ends, and its PVs are in the other, at once.
 * 3. The other headers follow; what they said was old since 2.
 *
 * A power cut after 1 leaves a VG with fewer areas in use. */
#include <errno.h>

#include "pool/lvm/edit.h"
#include "pool/lvm/update.h"

/* Only the first area in use stays so. list: those that did not, NULL at the end. */
static int use_one_area(struct lvm_vg *vg, struct lvm_mda ***ret_list, struct ash_err *err)
{
    size_t n = 0;
    bool has_one = false;
    struct lvm_mda **list = rt_alloc((vg->n_pvs * LVM_MDA_MAX + 1) * sizeof(struct lvm_mda *));
    if (!list)
        return ash_err_set(err, ASH_E_NO_MEMORY, vg->name, "no memory to merge VG '%s'", vg->name);
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_dev *dev = lvm_pv_of(l)->dev;
        for (size_t i = 0; dev && i < dev->label.n_mdas; i++) {
            struct lvm_mda *m = &dev->mdas[i];
            if (!m->has_header || m->fault != ASH_OK || m->ignored)
                continue;
            if (has_one)
                (list[n++] = m)->ignored = true;
            has_one = true;
        }
    }
    list[n] = NULL;
    vg->metadata_copies = 0;
    *ret_list = list;
    return 0;
}

static int move_all(struct lvm_vg *to, struct lvm_vg *from, struct ash_err *err)
{
    while (!ash_list_empty(&from->pvs)) {
        struct lvm_pv *pv = lvm_pv_of(from->pvs.next);
        ash_list_remove(&pv->link);
        pv->vg = to;
        pv->is_moved = true;
        ash_list_push_tail(&to->pvs, &pv->link);
    }
    while (!ash_list_empty(&from->lvs)) {
        struct lvm_lv *lv = lvm_lv_of(from->lvs.next);
        lvm_lv_remove(lv);
        lv->vg = to;
        if (ash_htab_insert(&to->lv_names, &lv->by_name, lv->name))
            return ash_err_set(err, ASH_E_NO_MEMORY, to->name, "no memory to merge into VG '%s'",
                               to->name);
        ash_list_push_tail(&to->lvs, &lv->link);
        to->n_lvs++;
    }
    lvm_vg_number_pvs(from);
    lvm_vg_number_pvs(to);
    return 0;
}

int lvm_vg_merge(struct lvm_set *set, struct lvm_group *to, struct lvm_group *from,
                 struct lvm_writer *writer, struct ash_err *err)
{
    struct lvm_mda **ignored = NULL;
    uint32_t n_copies = to->vg->metadata_copies;
    int rc = use_one_area(from->vg, &ignored, err);
    if (rc == 0)
        rc = lvm_vg_update(set, from->vg, writer, err);
    for (size_t i = 0; rc == 0 && ignored[i]; i++)
        ignored[i]->ignored = false;
    rt_free(ignored);
    if (rc == 0)
        rc = move_all(to->vg, from->vg, err);
    to->vg->metadata_copies = 0; /* the area of 2 must be one in use */
    if (rc == 0)
        rc = lvm_vg_update(set, to->vg, writer, err);
    to->vg->metadata_copies = n_copies;
    if (rc == 0 && n_copies)
        rc = lvm_vg_update(set, to->vg, writer, err);
    if (rc == 0)
        lvm_set_forget_vg(set, from);
    return rc;
}
