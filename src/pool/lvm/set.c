/* SPDX-License-Identifier: Apache-2.0 */
/* Finding PVs and VGs on a set of devices (docs/spec/lvm2-format.md 9). */
#include "pool/lvm/set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "pool/lvm/update.h"

enum { TEXT_BYTES_MAX = 256 << 20 };

/* ---------------------------------------------------------------- the set */

struct lvm_set *lvm_set_new(struct bdev_mgr *bdevs)
{
    struct lvm_set *set = rt_alloc(sizeof(*set));
    if (!set)
        return NULL;
    set->bdevs = bdevs;
    set->warnings_tail = &set->warnings;
    ash_list_init(&set->devs);
    ash_list_init(&set->groups);
    return set;
}

/* Forget what was found, keep the devices. */
static void forget(struct lvm_set *set)
{
    ash_list_for_each (l, &set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        dev->has_label = dev->is_duplicate = false;
        dev->fault = ASH_OK;
        dev->pv = NULL;
        dev->outdated = NULL;
        memset(dev->mdas, 0, sizeof(dev->mdas));
    }
    while (!ash_list_empty(&set->groups))
        rt_free(lvm_group_of(ash_list_pop_head(&set->groups)));
    for (size_t i = 0; i < set->n_copies; i++)
        lvm_vg_free(set->copies[i]);
    set->n_copies = 0;
    lvm_arena_fini(&set->arena);
    set->warnings = NULL;
    set->warnings_tail = &set->warnings;
}

static void free_dev(struct lvm_dev *dev)
{
    if (dev->ch)
        bdev_channel_put(dev->ch);
    if (dev->desc)
        bdev_close(dev->desc);
    rt_free((char *)dev->name);
    rt_free(dev);
}

void lvm_set_free(struct lvm_set *set)
{
    if (!set)
        return;
    forget(set);
    rt_free(set->copies);
    while (!ash_list_empty(&set->devs))
        free_dev(lvm_dev_of(ash_list_pop_head(&set->devs)));
    rt_free(set);
}

int lvm_set_add(struct lvm_set *set, const char *bdev_name, const char *shown, bool writable,
                struct ash_err *err)
{
    struct lvm_dev *dev = rt_alloc(sizeof(*dev));
    if (!dev || !(dev->name = rt_strdup(shown))) {
        rt_free(dev);
        return ash_err_set(err, ASH_E_NO_MEMORY, shown, "no memory for device '%s'", shown);
    }
    ash_list_init(&dev->link);
    int rc = bdev_open(set->bdevs, bdev_name,
                       BDEV_OPEN_UNALIGNED | (writable ? BDEV_OPEN_WRITE : BDEV_OPEN_READ), "lvm",
                       NULL, NULL, &dev->desc, err);
    if (rc == 0 && !(dev->ch = bdev_channel_get(dev->desc)))
        rc = ash_err_set(err, ASH_E_NO_MEMORY, shown, "no memory for device '%s'", shown);
    if (rc) {
        free_dev(dev);
        return rc;
    }
    dev->writable = writable;
    dev->size_bytes = bdev_desc_bdev(dev->desc)->size_bytes;
    dev->block_bytes = bdev_desc_bdev(dev->desc)->block_bytes;
    ash_list_push_tail(&set->devs, &dev->link);
    return 0;
}

struct lvm_dev *lvm_dev_find(const struct lvm_set *set, const char *shown)
{
    ash_list_for_each (l, &set->devs)
        if (strcmp(lvm_dev_of(l)->name, shown) == 0)
            return lvm_dev_of(l);
    return NULL;
}

struct lvm_group *lvm_group_find(const struct lvm_set *set, const char *name)
{
    struct lvm_id id;
    ash_list_for_each (l, &set->groups)
        if (strcmp(lvm_group_of(l)->vg->name, name) == 0)
            return lvm_group_of(l);
    if (lvm_id_parse(name, &id))
        ash_list_for_each (l, &set->groups)
            if (lvm_id_equal(&lvm_group_of(l)->vg->id, &id))
                return lvm_group_of(l);
    return NULL;
}

void lvm_warn(struct lvm_set *set, const char *fmt, ...)
{
    struct ash_buf text = {0};
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&text, fmt, ap);
    va_end(ap);
    struct lvm_str *w = lvm_arena_get(&set->arena, sizeof(*w));
    if (w && !text.failed && (w->text = lvm_arena_str(&set->arena, ash_buf_text(&text)))) {
        *set->warnings_tail = w;
        set->warnings_tail = &w->next;
    }
    ash_buf_free(&text);
}

/* ------------------------------------------------------------------ texts */

int lvm_text_read(struct lvm_dev *dev, const struct lvm_mda *mda, const struct lvm_location *loc,
                  bool checked, char **ret_text, struct ash_err *err)
{
    int rc = lvm_location_check(loc, mda->header.size, dev->name, err);
    if (rc)
        return rc;
    if (loc->size > TEXT_BYTES_MAX)
        return ash_err_set(err, ASH_E_LVM_MDA_LOCATION, dev->name,
                           "'%s': metadata of %" PRIu64 " bytes is more than can be", dev->name,
                           loc->size);
    char *text = rt_alloc(loc->size + 1);
    if (!text)
        return ash_err_set(err, ASH_E_NO_MEMORY, dev->name, "'%s': no memory to read metadata",
                           dev->name);
    uint64_t n_first = ASH_MIN(loc->size, mda->header.size - loc->offset);
    rc = bdev_read(dev->ch, text, mda->start + loc->offset, n_first);
    if (rc == 0 && loc->size > n_first)
        rc = bdev_read(dev->ch, text + n_first, mda->start + LVM_SECTOR_BYTES, loc->size - n_first);
    if (rc)
        rc = ash_err_set_rc(err, rc, ASH_E_BDEV_IO, dev->name,
                            "'%s': reading metadata at %" PRIu64 ": %s", dev->name,
                            mda->start + loc->offset, ash_strerror(rc));
    uint32_t crc = rc ? 0 : lvm_crc(LVM_CRC_INIT, text, loc->size);
    if (rc == 0 && checked && crc != loc->crc)
        rc = ash_err_set(err, ASH_E_LVM_TEXT_CRC, dev->name,
                         "'%s': checksum of the metadata at %" PRIu64 " is %08x, not %08x",
                         dev->name, mda->start + loc->offset, crc, loc->crc);
    if (rc) {
        rt_free(text);
        return rc;
    }
    *ret_text = text;
    return 0;
}

/* An area with this very text was parsed already: then there is nothing to parse. */
static struct lvm_vg *same_text(struct lvm_set *set, const struct lvm_location *loc)
{
    ash_list_for_each (l, &set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        for (size_t i = 0; i < dev->label.n_mdas && dev->has_label; i++) {
            struct lvm_mda *m = &dev->mdas[i];
            if (m->copy && m->header.slots[0].crc == loc->crc &&
                m->header.slots[0].size == loc->size)
                return m->copy;
        }
    }
    return NULL;
}

static int keep_copy(struct lvm_set *set, struct lvm_vg *vg)
{
    if (set->n_copies == set->n_copies_room) {
        size_t n_room = set->n_copies_room ? 2 * set->n_copies_room : 8;
        struct lvm_vg **more =
            rt_realloc(set->copies, set->n_copies_room * sizeof(*more), n_room * sizeof(*more));
        if (!more)
            return -ENOMEM;
        set->copies = more;
        set->n_copies_room = n_room;
    }
    set->copies[set->n_copies++] = vg;
    return 0;
}

static int read_copy(struct lvm_set *set, struct lvm_dev *dev, struct lvm_mda *mda,
                     struct ash_err *err)
{
    const struct lvm_location *loc = &mda->header.slots[0];
    char *text, what[160];
    struct lvm_vg *vg = NULL;
    int rc = lvm_text_read(dev, mda, loc, true, &text, err);
    if (rc)
        return rc;
    vg = same_text(set, loc);
    if (!vg) {
        snprintf(what, sizeof(what), "'%.100s' at %" PRIu64, dev->name, mda->start + loc->offset);
        rc = lvm_vg_parse(text, loc->size, what, &vg, err);
        if (rc == 0 && keep_copy(set, vg)) {
            lvm_vg_free(vg);
            rc = ash_err_set(err, ASH_E_NO_MEMORY, dev->name, "no memory for metadata");
        }
    }
    rt_free(text);
    if (rc == 0)
        mda->copy = vg;
    return rc;
}

/* ---------------------------------------------------------------- devices */

static void fault(enum ash_reason *ret_reason, char *text, size_t n_text, const struct ash_err *err)
{
    *ret_reason = err->reason;
    snprintf(text, n_text, "%.199s", err->text);
}

static int read_mda(struct lvm_set *set, struct lvm_dev *dev, struct lvm_mda *mda)
{
    uint8_t sector[LVM_SECTOR_BYTES];
    struct ash_err err = {.reason = ASH_OK};
    int rc = bdev_read(dev->ch, sector, mda->start, sizeof(sector));
    if (rc)
        rc = ash_err_set_rc(&err, rc, ASH_E_BDEV_IO, dev->name,
                            "'%s': reading the metadata area header at %" PRIu64 ": %s", dev->name,
                            mda->start, ash_strerror(rc));
    else
        rc = lvm_mda_parse(sector, mda->start, mda->size, dev->name, &mda->header, &err);
    if (rc == 0) {
        mda->has_header = true;
        mda->ignored = mda->header.slots[0].flags & LVM_LOCATION_IGNORED;
        bool is_empty = mda->header.slots[0].offset == 0 || mda->header.slots[0].size == 0;
        if (!mda->ignored && !is_empty)
            rc = read_copy(set, dev, mda, &err);
    }
    if (rc)
        fault(&mda->fault, mda->fault_text, sizeof(mda->fault_text), &err);
    return err.reason == ASH_E_NO_MEMORY ? rc : 0;
}

static int read_dev(struct lvm_set *set, struct lvm_dev *dev)
{
    uint8_t head[LVM_SCAN_BYTES];
    struct ash_err err = {.reason = ASH_OK};
    size_t n = ASH_MIN(dev->size_bytes, (uint64_t)sizeof(head));
    n -= n % LVM_SECTOR_BYTES;
    int rc = bdev_read(dev->ch, head, 0, n);
    if (rc)
        rc = ash_err_set_rc(&err, rc, ASH_E_BDEV_IO, dev->name, "'%s': reading the label: %s",
                            dev->name, ash_strerror(rc));
    else
        rc = lvm_label_parse(head, n, dev->size_bytes, dev->name, &dev->label, &err);
    if (rc) {
        fault(&dev->fault, dev->fault_text, sizeof(dev->fault_text), &err);
        return 0;
    }
    for (size_t i = 0; i < dev->label.n_mdas && rc == 0; i++) {
        dev->mdas[i].start = dev->label.mdas[i].offset;
        dev->mdas[i].size = dev->label.mdas[i].size;
    }
    dev->has_label = true;
    for (size_t i = 0; i < dev->label.n_mdas && rc == 0; i++)
        rc = read_mda(set, dev, &dev->mdas[i]);
    return rc;
}

/* -------------------------------------------------------------------- VGs */

static struct lvm_group *group_of_id(struct lvm_set *set, const struct lvm_id *id)
{
    ash_list_for_each (l, &set->groups)
        if (lvm_id_equal(&lvm_group_of(l)->vg->id, id))
            return lvm_group_of(l);
    return NULL;
}

static struct lvm_group *new_group(struct lvm_set *set, struct lvm_vg *vg)
{
    struct lvm_group *g = rt_alloc(sizeof(*g));
    if (!g)
        return NULL;
    g->vg = vg;
    struct ash_list *pos = set->groups.next;
    while (pos != &set->groups && strcmp(lvm_group_of(pos)->vg->name, vg->name) < 0)
        pos = pos->next;
    ash_list_insert_before(pos, &g->link);
    return g;
}

/* Put a copy into the group of its VG: the highest seqno is the VG. */
static int sort_copy(struct lvm_set *set, struct lvm_mda *mda)
{
    struct lvm_group *g = group_of_id(set, &mda->copy->id);
    if (!g && !(g = new_group(set, mda->copy)))
        return -ENOMEM;
    if (mda->copy->seqno > g->vg->seqno)
        g->vg = mda->copy;
    mda->group = g;
    return 0;
}

struct lvm_group *lvm_set_give_vg(struct lvm_set *set, struct lvm_vg *vg)
{
    if (keep_copy(set, vg)) {
        lvm_vg_free(vg);
        return NULL;
    }
    return new_group(set, vg);
}

void lvm_set_forget_vg(struct lvm_set *set, struct lvm_group *g)
{
    ash_list_for_each (l, &set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        if (dev->outdated == g)
            dev->outdated = NULL;
        for (size_t i = 0; i < LVM_MDA_MAX; i++)
            if (dev->mdas[i].group == g)
                dev->mdas[i].group = NULL;
    }
    ash_list_remove(&g->link);
    rt_free(g);
}

static bool is_better_duplicate(const struct lvm_dev *a, const struct lvm_dev *b,
                                const struct lvm_pv *pv)
{
    bool a_size = a->size_bytes / LVM_SECTOR_BYTES == pv->dev_size_sectors;
    bool b_size = b->size_bytes / LVM_SECTOR_BYTES == pv->dev_size_sectors;
    if (a_size != b_size)
        return a_size;
    bool a_hint = pv->device && strcmp(a->name, pv->device) == 0;
    bool b_hint = pv->device && strcmp(b->name, pv->device) == 0;
    return a_hint && !b_hint;
}

/* Find the device of each PV of a VG. */
static void find_pv_devices(struct lvm_set *set, struct lvm_group *g)
{
    char id[LVM_ID_TEXT_BYTES];
    ash_list_for_each (p, &g->vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(p);
        pv->dev = NULL;
        ash_list_for_each (l, &set->devs) {
            struct lvm_dev *dev = lvm_dev_of(l);
            if (!dev->has_label || !lvm_id_equal(&dev->label.pv_id, &pv->id))
                continue;
            if (!pv->dev) {
                pv->dev = dev;
                continue;
            }
            g->has_duplicates = true;
            struct lvm_dev *worse = dev;
            if (is_better_duplicate(dev, pv->dev, pv)) {
                worse = pv->dev;
                pv->dev = dev;
            }
            worse->is_duplicate = true;
            lvm_warn(set, "WARNING: Not using device %s for PV %s.", worse->name,
                     lvm_id_format(&pv->id, id));
        }
        if (!pv->dev)
            continue;
        pv->dev->pv = pv;
        if ((pv->flags & LVM_MISSING) && pv->n_allocated_pe == 0) {
            pv->is_back = true;
            pv->flags &= ~LVM_MISSING;
        }
    }
}

/* Copies that are not the newest, areas that are bad, devices the VG knows nothing of. */
static void judge_copies(struct lvm_set *set, struct lvm_group *g)
{
    ash_list_for_each (l, &set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        for (size_t i = 0; i < dev->label.n_mdas && dev->has_label; i++) {
            struct lvm_mda *m = &dev->mdas[i];
            bool is_member = dev->pv && dev->pv->vg == g->vg;
            if (is_member && m->fault != ASH_OK)
                g->is_bad = true;
            if (is_member && m->has_header && !m->ignored && !m->copy && m->fault == ASH_OK)
                g->is_old = true;
            if (m->group != g)
                continue;
            if (!is_member && !dev->is_duplicate) {
                dev->outdated = g;
                g->has_outdated = true;
            }
            if (m->copy != g->vg)
                g->is_old = true;
        }
    }
}

static void warn_of_copies(struct lvm_set *set, struct lvm_group *g)
{
    const char *newest = NULL;
    ash_list_for_each (l, &set->devs)
        for (size_t i = 0; i < LVM_MDA_MAX; i++)
            if (lvm_dev_of(l)->mdas[i].copy == g->vg)
                newest = lvm_dev_of(l)->name;
    ash_list_for_each (l, &set->devs) {
        struct lvm_dev *dev = lvm_dev_of(l);
        for (size_t i = 0; i < LVM_MDA_MAX; i++) {
            struct lvm_mda *m = &dev->mdas[i];
            if (m->group == g && m->copy->seqno < g->vg->seqno)
                lvm_warn(set,
                         "WARNING: ignoring metadata seqno %u on %s for seqno %u on %s for VG %s.",
                         m->copy->seqno, dev->name, g->vg->seqno, newest, g->vg->name);
        }
        if (dev->outdated == g)
            lvm_warn(set,
                     "WARNING: outdated PV %s seqno %u has been removed in current VG %s seqno %u.",
                     dev->name, dev->mdas[0].copy ? dev->mdas[0].copy->seqno : 0, g->vg->name,
                     g->vg->seqno);
    }
    if (g->is_old)
        lvm_warn(set, "WARNING: Inconsistent metadata found for VG %s.", g->vg->name);
    if (g->is_old || g->has_outdated)
        lvm_warn(set, "See vgck --updatemetadata to correct inconsistency.");
}

static void warn_of_missing(struct lvm_set *set, struct lvm_vg *vg)
{
    char id[LVM_ID_TEXT_BYTES];
    ash_list_for_each (p, &vg->pvs)
        if (!lvm_pv_of(p)->dev)
            lvm_warn(set, "WARNING: Couldn't find device with uuid %s.",
                     lvm_id_format(&lvm_pv_of(p)->id, id));
    ash_list_for_each (p, &vg->pvs) {
        struct lvm_pv *pv = lvm_pv_of(p);
        if (!pv->dev)
            lvm_warn(set, "WARNING: VG %s is missing PV %s (last written to %s).", vg->name,
                     lvm_id_format(&pv->id, id), pv->device ? pv->device : "[unknown]");
        else if (pv->is_back)
            lvm_warn(set, "WARNING: VG %s has unused reappeared PV %s %s.", vg->name, pv->dev->name,
                     lvm_id_format(&pv->id, id));
        else if (pv->flags & LVM_MISSING)
            lvm_warn(set, "WARNING: VG %s was missing PV %s %s.", vg->name,
                     lvm_id_format(&pv->id, id), pv->dev->name);
    }
}

static void warn_of_faults(struct lvm_set *set, const struct lvm_dev *dev)
{
    if (!dev->has_label && dev->fault != ASH_E_LVM_NO_LABEL)
        lvm_warn(set, "WARNING: %s", dev->fault_text);
    for (size_t i = 0; i < dev->label.n_mdas && dev->has_label; i++)
        if (dev->mdas[i].fault != ASH_OK) {
            lvm_warn(set, "WARNING: bad metadata on %s in mda%zu: %s.", dev->name, i + 1,
                     dev->mdas[i].fault_text);
            lvm_warn(set, "WARNING: repair VG metadata on %s with vgck --updatemetadata.",
                     dev->name);
        }
}

int lvm_set_scan(struct lvm_set *set, struct ash_err *err)
{
    int rc = 0;
    forget(set);
    ash_list_for_each (l, &set->devs) {
        rc = rc ? rc : read_dev(set, lvm_dev_of(l));
        warn_of_faults(set, lvm_dev_of(l));
    }
    ash_list_for_each (l, &set->devs)
        for (size_t i = 0; i < LVM_MDA_MAX && rc == 0; i++)
            if (lvm_dev_of(l)->has_label && lvm_dev_of(l)->mdas[i].copy)
                rc = sort_copy(set, &lvm_dev_of(l)->mdas[i]);
    if (rc)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory to read the devices");
    ash_list_for_each (l, &set->groups)
        find_pv_devices(set, lvm_group_of(l));
    ash_list_for_each (l, &set->groups) {
        struct lvm_group *g = lvm_group_of(l);
        g->same_name =
            l->next != &set->groups && strcmp(lvm_group_of(l->next)->vg->name, g->vg->name) == 0;
        g->same_name |=
            l->prev != &set->groups && strcmp(lvm_group_of(l->prev)->vg->name, g->vg->name) == 0;
        judge_copies(set, g);
        warn_of_copies(set, g);
        warn_of_missing(set, g->vg);
        lvm_vg_find_partial(g->vg);
    }
    return 0;
}
