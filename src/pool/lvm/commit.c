/* SPDX-License-Identifier: Apache-2.0 */
/* The update of a VG (docs/spec/lvm2-format.md 6 to 9). What holds at every moment, and so after
 * every power cut:
 *
 * 1. What slot 0 of an area's header names is a whole text: a new text goes where it touches
 * neither the header nor the committed text, and is on the medium before any slot names it.
 * 2. A header is one sector and replaced by one write.
 * 3. Slot 1 is on the medium before slot 0 of any area changes, and is cleared by that change.
 * 4. Some area that is in use holds the old text until some area in use holds the new one: an area
 *    that shall be ignored is marked after the others have the new text and were flushed.
 * 5. All areas of an update get the same text and number (seqno), one above the old one: a reader
 *    that finds both takes the new one.
 * 6. Areas that are bad, or name another VG, are not touched. A repair empties bad ones first: the
 *    VG was read from another area, which keeps its text meanwhile.
 * 7. An area that names another VG until now is the first that names this one: there its PVs change
 *    sides, and when that cannot be written, nothing is.
 * 8. An area of a PV that leaves names the old text until the others have the new one; where the VG
 *    ends, its PVs become orphans when no area names it any more.
 *
 *   prepare:  labels, texts | flush | slot 1 of each header
 *   commit:   slot 0 of each header, slot 1 empty; the same of areas to be ignored
 *   revert:   slot 1 empty
 *
 * Headers and labels are on the medium when their write is done (FUA). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "pool/lvm/update.h"

/* ------------------------------------------------------------- permission */

static int check_owner(const struct lvm_vg *vg, const struct lvm_policy *policy,
                       struct ash_err *err)
{
    if (vg->lock_type && strcmp(vg->lock_type, "none") != 0)
        return ash_err_set(err, ASH_E_LVM_VG_LOCK_TYPE, vg->name,
                           "Cannot access VG %s with lock type %s that requires lvmlockd.",
                           vg->name, vg->lock_type);
    if (vg->flags & LVM_CLUSTERED)
        return ash_err_set(err, ASH_E_LVM_VG_LOCK_TYPE, vg->name, "Cannot access clustered VG %s.",
                           vg->name);
    if (!vg->system_id || !*vg->system_id)
        return 0;
    if (!policy->system_id || !*policy->system_id)
        return ash_err_set(err, ASH_E_LVM_VG_FOREIGN, vg->name,
                           "Cannot access VG %s with system ID %s with unknown local system ID.",
                           vg->name, vg->system_id);
    if (strcmp(vg->system_id, policy->system_id) != 0)
        return ash_err_set(err, ASH_E_LVM_VG_FOREIGN, vg->name,
                           "Cannot access VG %s with system ID %s with local system ID %s.",
                           vg->name, vg->system_id, policy->system_id);
    return 0;
}

int lvm_may_change(const struct lvm_group *g, const struct lvm_policy *policy, struct ash_err *err)
{
    const struct lvm_vg *vg = g->vg;
    int rc = check_owner(vg, policy, err);
    if (rc)
        return rc;
    if ((vg->flags & LVM_EXPORTED) && !policy->exported_is_fine)
        return ash_err_set(err, ASH_E_LVM_VG_EXPORTED, vg->name, "Volume group %s is exported",
                           vg->name);
    if (!(vg->flags & LVM_WRITE))
        return ash_err_set(err, ASH_E_LVM_VG_READ_ONLY, vg->name, "Volume group %s is read-only",
                           vg->name);
    if (g->has_duplicates)
        return ash_err_set(err, ASH_E_LVM_VG_DUPLICATES, vg->name,
                           "Cannot update volume group %s with duplicate PV devices.", vg->name);
    if (vg->has_unknown_types && !policy->unknown_is_fine)
        return ash_err_set(err, ASH_E_LVM_VG_UNKNOWN, vg->name,
                           "Cannot change VG %s with unknown segments in it!", vg->name);
    if (lvm_vg_n_missing(vg) && !policy->missing_is_fine)
        return ash_err_set(err, ASH_E_LVM_VG_PARTIAL, vg->name,
                           "Cannot change VG %s while PVs are missing.", vg->name);
    return 0;
}

/* ---------------------------------------------------------- what is written */

/* 9: a PV that is not there is written as missing; one that came back, and holds nothing by now,
 * is not. */
static void mark_missing(struct lvm_vg *vg)
{
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(l);
        if (!pv->dev) {
            pv->flags |= LVM_MISSING;
            pv->device = "[unknown]";
            continue;
        }
        pv->device = pv->dev->name;
        if ((pv->flags & LVM_MISSING) && pv->n_allocated_pe == 0)
            pv->flags &= ~LVM_MISSING;
    }
}

static int make_text(struct lvm_update *u, struct ash_err *err)
{
    struct lvm_writer *w = u->writer;
    struct ash_buf description ASH_CLEANUP(ash_buf_free) = {0};
    if (w->n_writes++)
        ash_buf_fmt(&description, "Write[%u] from %s.", w->n_writes, w->line);
    else
        ash_buf_fmt(&description, "Write from %s.", w->line);
    w->origin.description = ash_buf_text(&description);
    w->origin.time = rt_wall_ns() / 1000000000u;
    int rc = lvm_vg_text(u->vg, &w->origin, LVM_ON_DISK, &u->text);
    w->origin.description = NULL;
    ash_buf_chr(&u->text, '\0');
    if (rc || u->text.failed || description.failed)
        return ash_err_set(err, ASH_E_NO_MEMORY, u->vg->name, "no memory for the text of VG '%s'",
                           u->vg->name);
    u->crc = lvm_crc(LVM_CRC_INIT, u->text.data, u->text.n_bytes);
    return 0;
}

static bool is_usable(const struct lvm_pv *pv, const struct lvm_mda *mda)
{
    if (!mda->has_header || mda->fault != ASH_OK)
        return false;
    return !mda->copy || pv->is_moved || lvm_id_equal(&mda->copy->id, &pv->vg->id);
}

/* 8: of the areas that can be used, some do not have to be. */
static size_t find_areas(struct lvm_vg *vg, const struct lvm_dev *but, bool ignored,
                         struct lvm_mda **areas, size_t n_max)
{
    size_t n = 0;
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(l);
        for (size_t i = 0; pv->dev && pv->dev != but && i < pv->dev->label.n_mdas; i++)
            if (is_usable(pv, &pv->dev->mdas[i]) && pv->dev->mdas[i].ignored == ignored &&
                n < n_max)
                areas[n++] = &pv->dev->mdas[i];
    }
    return n;
}

void lvm_vg_use_all_areas(struct lvm_vg *vg)
{
    struct lvm_mda *area;
    while (find_areas(vg, NULL, true, &area, 1))
        area->ignored = false;
}

void lvm_vg_use_some_area(struct lvm_vg *vg, const struct lvm_dev *but)
{
    struct lvm_mda *area;
    if (find_areas(vg, but, false, &area, 1) == 0 && find_areas(vg, but, true, &area, 1))
        area->ignored = false;
}

/* Exactly metadata_copies areas in use, or all when there are fewer; which ones is left to chance.
 */
static int balance_areas(struct lvm_vg *vg, struct ash_err *err)
{
    size_t n_max = vg->n_pvs * LVM_MDA_MAX + 1;
    struct lvm_mda **list = rt_alloc(n_max * sizeof(struct lvm_mda *));
    if (!list)
        return ash_err_set(err, ASH_E_NO_MEMORY, vg->name, "no memory to write VG '%s'", vg->name);
    for (;;) {
        size_t n_used = find_areas(vg, NULL, false, list, n_max);
        bool more = n_used < vg->metadata_copies;
        size_t n = n_used == vg->metadata_copies ? 0 : find_areas(vg, NULL, more, list, n_max);
        if (n == 0)
            break;
        list[rt_random_u64() % n]->ignored = !more;
    }
    rt_free(list);
    return 0;
}

static int choose_area(struct lvm_update *u, struct lvm_dev *dev, struct lvm_mda *mda,
                       struct ash_err *err)
{
    struct lvm_location *old = &mda->header.slots[0];
    bool was_ignored = old->flags & LVM_LOCATION_IGNORED;
    struct lvm_update_area *a = &u->areas[u->n_areas];
    int rc = 0;
    if (mda->ignored && was_ignored)
        return 0;
    *a = (struct lvm_update_area){.dev = dev, .mda = mda, .is_ignored = mda->ignored};
    if (a->is_ignored) {
        a->loc = *old; /* stale from now on, and not looked at */
        a->loc.flags |= LVM_LOCATION_IGNORED;
    } else {
        static const struct lvm_location none;
        a->loc = (struct lvm_location){
            .size = u->text.n_bytes, .crc = u->crc, .flags = old->flags & ~LVM_LOCATION_IGNORED};
        rc = lvm_ring_next(was_ignored ? &none : old, mda->header.size, a->loc.size, dev->name,
                           &a->loc.offset, err);
    }
    if (rc == 0)
        u->n_areas++;
    return rc;
}

static int choose_areas(struct lvm_update *u, struct ash_err *err)
{
    size_t n_used = 0;
    int rc = u->vg->metadata_copies ? balance_areas(u->vg, err) : 0;
    if (rc)
        return rc;
    u->areas = rt_alloc((u->vg->n_pvs * LVM_MDA_MAX + 1) * sizeof(*u->areas));
    if (!u->areas)
        return ash_err_set(err, ASH_E_NO_MEMORY, u->vg->name, "no memory to write VG '%s'",
                           u->vg->name);
    ash_list_for_each (l, &u->vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(l);
        for (size_t i = 0; pv->dev && i < pv->dev->label.n_mdas && rc == 0; i++)
            if (is_usable(pv, &pv->dev->mdas[i]))
                rc = choose_area(u, pv->dev, &pv->dev->mdas[i], err);
    }
    for (size_t i = 0; i < u->n_areas; i++)
        n_used += !u->areas[i].is_ignored;
    if (rc == 0 && n_used == 0)
        rc = ash_err_set(err, ASH_E_LVM_NO_AREAS, u->vg->name,
                         "Volume group %s has no metadata area that can be written", u->vg->name);
    return rc;
}

/* ---------------------------------------------------------------- writing */

static int failed(const struct lvm_dev *dev, int rc, const char *what, uint64_t at,
                  struct ash_err *err)
{
    return ash_err_set_rc(err, rc, ASH_E_BDEV_IO, dev->name, "'%s': writing %s at %" PRIu64 ": %s",
                          dev->name, what, at, ash_strerror(rc));
}

/* What was written to areas so far is on the medium; each device once. */
static int flush_areas(struct lvm_update *u, struct ash_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < u->n_areas && rc == 0; i++) {
        struct lvm_update_area *a = &u->areas[i];
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= u->areas[k].dev == a->dev;
        if (!again && (rc = bdev_flush(a->dev->ch)))
            rc = failed(a->dev, rc, "metadata", a->mda->start + a->loc.offset, err);
    }
    return rc;
}

/* The text, around the end of the ring, with zeroes up to the next sector. */
static int write_text(struct lvm_update *u, struct lvm_update_area *a, struct ash_err *err)
{
    uint64_t n = ash_align_up(u->text.n_bytes, LVM_SECTOR_BYTES);
    uint64_t n_first = ASH_MIN(n, a->mda->header.size - a->loc.offset);
    char *padded = rt_alloc(n);
    if (!padded)
        return ash_err_set(err, ASH_E_NO_MEMORY, u->vg->name, "no memory to write VG '%s'",
                           u->vg->name);
    memcpy(padded, u->text.data, u->text.n_bytes);
    int rc = bdev_write(a->dev->ch, padded, a->mda->start + a->loc.offset, n_first, 0);
    if (rc == 0 && n > n_first)
        rc = bdev_write(a->dev->ch, padded + n_first, a->mda->start + LVM_SECTOR_BYTES, n - n_first,
                        0);
    rt_free(padded);
    return rc ? failed(a->dev, rc, "metadata", a->mda->start + a->loc.offset, err) : 0;
}

/* On the medium when it returns. */
static int write_header(struct lvm_dev *dev, struct lvm_mda *mda, const struct lvm_location *slot0,
                        const struct lvm_location *slot1, struct ash_err *err)
{
    uint8_t sector[LVM_SECTOR_BYTES];
    struct lvm_mda_header h = mda->header;
    h.slots[0] = *slot0;
    h.slots[1] = slot1 ? *slot1 : (struct lvm_location){0};
    lvm_mda_build(&h, sector);
    int rc = bdev_write(dev->ch, sector, mda->start, sizeof(sector), BDEV_FUA);
    if (rc)
        return failed(dev, rc, "the metadata area header", mda->start, err);
    mda->header = h;
    return 0;
}

/* 3.2: labels tell that their PVs are in some VG, before any text says so. */
static int write_labels(struct lvm_vg *vg, struct ash_err *err)
{
    int rc = 0;
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_dev *dev = lvm_pv_of(l)->dev;
        if (!dev || rc ||
            (dev->label.ext_version >= LVM_PV_EXT_VERSION &&
             (dev->label.ext_flags & LVM_PV_EXT_USED)))
            continue;
        dev->label.ext_flags |= LVM_PV_EXT_USED;
        rc = lvm_label_write(dev, err);
    }
    return rc;
}

static int write_texts(struct lvm_update *u, struct ash_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < u->n_areas && rc == 0; i++)
        if (!u->areas[i].is_ignored)
            rc = write_text(u, &u->areas[i], err);
    return rc ? rc : flush_areas(u, err);
}

static int precommit(struct lvm_update *u, struct ash_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < u->n_areas && rc == 0; i++) {
        struct lvm_update_area *a = &u->areas[i];
        if (a->is_ignored)
            continue;
        a->is_precommitted = true; /* perhaps also when it failed */
        struct lvm_location next = a->loc;
        next.flags = 0;
        rc = write_header(a->dev, a->mda, &a->mda->header.slots[0], &next, err);
    }
    return rc;
}

static void end(struct lvm_update *u)
{
    ash_buf_free(&u->text);
    rt_free(u->areas);
    u->areas = NULL;
    u->n_areas = 0;
}

/* ----------------------------------------------------------------- phases */

int lvm_update_prepare(struct lvm_update *u, struct lvm_set *set, struct lvm_vg *vg,
                       struct lvm_writer *writer, struct ash_err *err)
{
    *u = (struct lvm_update){.set = set, .vg = vg, .writer = writer};
    vg->seqno++;
    int rc = lvm_vg_link(vg, vg->name, err);
    if (rc == 0) {
        mark_missing(vg);
        rc = make_text(u, err);
    }
    if (rc == 0)
        rc = choose_areas(u, err);
    if (rc == 0 && !writer->is_test)
        rc = write_labels(vg, err);
    if (rc == 0 && !writer->is_test)
        rc = write_texts(u, err);
    if (rc == 0 && !writer->is_test)
        rc = precommit(u, err);
    if (rc)
        lvm_update_revert(u);
    return rc;
}

void lvm_update_revert(struct lvm_update *u)
{
    for (size_t i = 0; i < u->n_areas; i++) {
        struct lvm_update_area *a = &u->areas[i];
        if (a->is_precommitted) /* at the best: slot 1 is looked at by nobody */
            (void)write_header(a->dev, a->mda, &a->mda->header.slots[0], NULL, NULL);
    }
    u->vg->seqno--;
    end(u);
}

static void committed(struct lvm_update *u, struct lvm_update_area *a)
{
    a->mda->copy = a->is_ignored ? NULL : u->vg;
    a->mda->group = NULL;
    ash_list_for_each (l, &u->set->groups)
        if (lvm_group_of(l)->vg == u->vg && !a->is_ignored)
            a->mda->group = lvm_group_of(l);
}

/* An area that names another VG, which it leaves by this update: it comes first (merge.c). NULL. */
static struct lvm_update_area *leaving(struct lvm_update *u)
{
    for (size_t i = 0; i < u->n_areas; i++) {
        const struct lvm_vg *copy = u->areas[i].mda->copy;
        if (!u->areas[i].is_ignored && copy && !lvm_id_equal(&copy->id, &u->vg->id))
            return &u->areas[i];
    }
    return NULL;
}

static int commit_area(struct lvm_update *u, struct lvm_update_area *a, struct ash_err *err)
{
    struct ash_err one = {.reason = ASH_OK};
    if (write_header(a->dev, a->mda, &a->loc, NULL, &one)) {
        lvm_warn(u->set, "WARNING: VG %s: %s", u->vg->name, one.text);
        return ash_err_set_rc(err, one.rc, one.reason, a->dev->name, "%s", one.text);
    }
    committed(u, a);
    return 0;
}

/* Areas of one kind, but the one that was first. Returns how many count now. */
static size_t commit_areas(struct lvm_update *u, bool ignored, const struct lvm_update_area *first,
                           struct ash_err *err)
{
    size_t n_done = 0;
    for (size_t i = 0; i < u->n_areas; i++)
        if (u->areas[i].is_ignored == ignored && &u->areas[i] != first)
            n_done += commit_area(u, &u->areas[i], err) == 0;
    return n_done;
}

/* What cannot be marked as ignored stays as a stale copy. */
static int commit_all(struct lvm_update *u, struct ash_err *err)
{
    struct ash_err why = {.reason = ASH_OK};
    struct lvm_update_area *first = leaving(u);
    int rc = first ? commit_area(u, first, err) : 0;
    if (rc)
        return rc;
    if (commit_areas(u, false, first, &why) == 0 && !first)
        return ash_err_set_rc(err, why.rc, why.reason, u->vg->name, "%s", why.text);
    (void)commit_areas(u, true, first, &why);
    return 0;
}

int lvm_update_commit(struct lvm_update *u, struct ash_err *err)
{
    int rc = u->writer->is_test ? 0 : commit_all(u, err);
    ash_list_for_each (l, &u->vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(l);
        pv->is_moved = false;
        if (pv->dev && rc == 0)
            pv->dev->pv = pv;
    }
    end(u);
    return rc;
}

int lvm_vg_update(struct lvm_set *set, struct lvm_vg *vg, struct lvm_writer *writer,
                  struct ash_err *err)
{
    struct lvm_update u;
    int rc = lvm_update_prepare(&u, set, vg, writer, err);
    return rc ? rc : lvm_update_commit(&u, err);
}

/* ----------------------------------------------------------------- repair */

int lvm_vg_renew_areas(struct lvm_vg *vg, struct ash_err *err)
{
    int rc = 0;
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_dev *dev = lvm_pv_of(l)->dev;
        for (size_t i = 0; dev && i < dev->label.n_mdas && rc == 0; i++)
            if (dev->mdas[i].fault != ASH_OK)
                rc = lvm_mda_move(dev, i, &dev->label.mdas[i], err);
    }
    return rc;
}

int lvm_vg_repair(struct lvm_set *set, struct lvm_group *g, struct lvm_writer *writer,
                  struct ash_err *err)
{
    int rc = writer->is_test ? 0 : lvm_vg_renew_areas(g->vg, err);
    if (rc == 0)
        rc = lvm_vg_update(set, g->vg, writer, err);
    ash_list_for_each (l, &set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        if (rc || writer->is_test || dev->outdated != g || dev->pv)
            continue;
        lvm_warn(set, "WARNING: wiping metadata on outdated PV %s", dev->name);
        rc = lvm_pv_make_orphan(dev, err);
        if (rc == 0)
            dev->outdated = NULL;
    }
    return rc;
}

/* ---------------------------------------------------------------- the end */

static int forget_text(struct lvm_dev *dev, struct lvm_mda *mda, struct ash_err *err)
{
    struct lvm_location none = {.flags = mda->header.slots[0].flags};
    if (!mda->has_header || mda->fault != ASH_OK)
        return 0;
    int rc = write_header(dev, mda, &none, NULL, err);
    if (rc == 0) {
        mda->copy = NULL;
        mda->group = NULL;
    }
    return rc;
}

int lvm_vg_remove(struct lvm_set *set, struct lvm_vg *vg, struct lvm_writer *writer,
                  struct ash_err *err)
{
    int rc = 0;
    (void)set;
    if (writer->is_test)
        return 0;
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(l);
        for (size_t i = 0; pv->dev && i < pv->dev->label.n_mdas && rc == 0; i++)
            if (is_usable(pv, &pv->dev->mdas[i]))
                rc = forget_text(pv->dev, &pv->dev->mdas[i], err);
    }
    ash_list_for_each (l, &vg->pvs) {
        struct lvm_dev *dev = lvm_pv_of(l)->dev;
        if (!dev || rc)
            continue;
        dev->label.ext_flags &= ~LVM_PV_EXT_USED;
        rc = lvm_label_write(dev, err);
        dev->pv = NULL;
    }
    return rc;
}
