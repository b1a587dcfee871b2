/* SPDX-License-Identifier: Apache-2.0 */
/* See raid.h. Source: docs/spec/dm-formats.md 9.1, 9.3. */
#include "pool/lvm/raid.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "pool/lvm/map.h"

/* ---------------------------------------------------------------- layouts */

static const struct lvm_raid_layout layouts[] = {
    {"raid0", LVM_RAID_STRIPED, 0, 0, LVM_RAID_LA, false},
    {"raid0_meta", LVM_RAID_STRIPED, 0, 0, LVM_RAID_LA, false},
    {"raid1", LVM_RAID_MIRROR, 1, 0, LVM_RAID_LA, false},
    {"raid10", LVM_RAID_NEAR, 10, 0, LVM_RAID_LA, false},
    {"raid10_near", LVM_RAID_NEAR, 10, 0, LVM_RAID_LA, false},
    {"raid4", LVM_RAID_PARITY, 5, 1, LVM_RAID_P_FIRST, false},
    {"raid5", LVM_RAID_PARITY, 5, 1, LVM_RAID_LS, false},
    {"raid5_n", LVM_RAID_PARITY, 5, 1, LVM_RAID_P_LAST, false},
    {"raid5_la", LVM_RAID_PARITY, 5, 1, LVM_RAID_LA, false},
    {"raid5_ra", LVM_RAID_PARITY, 5, 1, LVM_RAID_RA, false},
    {"raid5_ls", LVM_RAID_PARITY, 5, 1, LVM_RAID_LS, false},
    {"raid5_rs", LVM_RAID_PARITY, 5, 1, LVM_RAID_RS, false},
    {"raid6", LVM_RAID_PARITY, 6, 2, LVM_RAID_ZR, false},
    {"raid6_zr", LVM_RAID_PARITY, 6, 2, LVM_RAID_ZR, false},
    {"raid6_nr", LVM_RAID_PARITY, 6, 2, LVM_RAID_NR, false},
    {"raid6_nc", LVM_RAID_PARITY, 6, 2, LVM_RAID_NC, false},
    {"raid6_n_6", LVM_RAID_PARITY, 6, 2, LVM_RAID_P_LAST, true},
    {"raid6_la_6", LVM_RAID_PARITY, 6, 2, LVM_RAID_LA, true},
    {"raid6_ra_6", LVM_RAID_PARITY, 6, 2, LVM_RAID_RA, true},
    {"raid6_ls_6", LVM_RAID_PARITY, 6, 2, LVM_RAID_LS, true},
    {"raid6_rs_6", LVM_RAID_PARITY, 6, 2, LVM_RAID_RS, true},
};

const struct lvm_raid_layout *lvm_raid_layout(const char *type)
{
    for (size_t i = 0; i < ASH_N_ELEMS(layouts); i++)
        if (strcmp(layouts[i].name, type) == 0)
            return &layouts[i];
    return NULL;
}

/* Legs over which P (and Q, unless it is on the last one for good) moves. */
static unsigned n_moving(const struct lvm_raid_layout *layout, unsigned n_legs)
{
    return layout->q_is_last ? n_legs - 1 : n_legs;
}

static unsigned p_leg(const struct lvm_raid_layout *layout, unsigned n, uint64_t t)
{
    unsigned r = (unsigned)(t % n);
    switch (layout->rotation) {
    case LVM_RAID_LA:
    case LVM_RAID_LS:
    case LVM_RAID_NC:
        return n - 1 - r;
    case LVM_RAID_P_FIRST:
        return 0;
    case LVM_RAID_P_LAST:
        return n - 1;
    case LVM_RAID_NR:
        return n - 1 - (unsigned)((t + 1) % n);
    default: /* RA, RS, ZR */
        return r;
    }
}

/* Q follows P; when P is on the last leg, Q is on the first. */
static unsigned q_leg(const struct lvm_raid_layout *layout, unsigned n_legs, unsigned p)
{
    if (layout->q_is_last)
        return n_legs - 1;
    return (layout->rotation == LVM_RAID_NC ? p + n_legs - 1 : p + 1) % n_legs;
}

void lvm_raid_parity_legs(const struct lvm_raid_layout *layout, unsigned n_legs, uint64_t t,
                          unsigned *ret_p, unsigned *ret_q)
{
    ASH_ASSERT(layout->n_parity && layout->n_parity < n_legs);
    *ret_p = p_leg(layout, n_moving(layout, n_legs), t);
    if (layout->n_parity == 2)
        *ret_q = q_leg(layout, n_legs, *ret_p);
}

/* P on leg p, nothing else to be stepped over. */
static unsigned over_one(unsigned d, unsigned p)
{
    return d >= p ? d + 1 : d;
}

/* P on leg p and Q behind it. */
static unsigned over_two(unsigned d, unsigned p, unsigned n)
{
    return p == n - 1 ? d + 1 : d >= p ? d + 2 : d;
}

unsigned lvm_raid_data_leg(const struct lvm_raid_layout *layout, unsigned n_legs, uint64_t t,
                           unsigned d)
{
    unsigned n = n_moving(layout, n_legs), p = p_leg(layout, n, t);
    ASH_ASSERT(d < n_legs - layout->n_parity);
    switch (layout->rotation) {
    case LVM_RAID_LS:
    case LVM_RAID_RS:
    case LVM_RAID_NC:
        return (p + 1 + d) % n;
    case LVM_RAID_ZR:
    case LVM_RAID_NR:
        return over_two(d, p, n);
    default:
        return over_one(d, p);
    }
}

/* ------------------------------------------------------------- superblocks */

struct super_disk {
    struct le32 magic, compat, n_devices, position;
    struct le64 events, failed;
    struct le64 recovery_offset, resync_offset; /* sectors; all ones: in sync */
    struct le32 level, layout, stripe_sectors, flags;
    struct le64 reshape_position;
    struct le32 new_level, new_layout, new_stripe_sectors, delta_disks;
    struct le64 array_sectors, data_offset, new_data_offset, sectors;
    struct le64 more_failed[3];
    struct le32 incompat;
};
_Static_assert(offsetof(struct super_disk, array_sectors) == 88, "docs/spec/dm-formats.md 9.1");
_Static_assert(offsetof(struct super_disk, incompat) == 144, "docs/spec/dm-formats.md 9.1");

enum { SUPER_BYTES = 4096, SUPER_MAGIC = 0x64526d44, RESHAPING = 1 };

static int bad(const struct lvm_lv *lv, const char *what, unsigned leg, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_LVM_RAID, lv->name, "LV '%s': the superblock of leg %u %s",
                       lv->name, leg, what);
}

static struct lvm_dev *dev_of(const struct lvm_lv *meta, uint64_t *ret_offset)
{
    const struct lvm_seg *seg = lvm_seg_of(meta->segs.next);
    if (ash_list_empty(&meta->segs) || seg->type->cls != LVM_SEG_STRIPED || seg->n_areas == 0 ||
        seg->areas[0].kind != LVM_AREA_PV || !seg->areas[0].pv->dev)
        return NULL;
    const struct lvm_pv *pv = seg->areas[0].pv;
    *ret_offset =
        (pv->pe_start_sectors + (uint64_t)seg->areas[0].extent * meta->vg->extent_sectors) *
        LVM_SECTOR_BYTES;
    return pv->dev;
}

/* *ret_is: there is one. */
static int read_super(const struct lvm_lv *lv, const struct lvm_lv *meta, void *buf,
                      struct super_disk *ret, bool *ret_is, struct ash_err *err) ASH_MAY_WAIT
{
    uint64_t offset = 0;
    struct lvm_dev *dev = meta ? dev_of(meta, &offset) : NULL;
    *ret_is = false;
    if (!dev)
        return 0;
    int rc = bdev_read(dev->ch, buf, offset, SUPER_BYTES);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_BDEV_IO, lv->name, "LV '%s': reading '%s': %s",
                              lv->name, meta->name, ash_strerror(rc));
    memcpy(ret, buf, sizeof(*ret));
    *ret_is = ash_le32_get(ret->magic) == SUPER_MAGIC;
    return 0;
}

/* Of one set, and of a kind that we know? */
static int check_super(const struct lvm_lv *lv, const struct lvm_raid_layout *layout,
                       const struct super_disk *sb, unsigned leg, unsigned n_legs,
                       struct ash_err *err)
{
    bool is_anywhere = layout->kind == LVM_RAID_MIRROR || layout->kind == LVM_RAID_NEAR;
    if (ash_le32_get(sb->incompat) || ash_le32_get(sb->compat) & ~1u)
        return bad(lv, "is of a newer version", leg, err);
    if (ash_le32_get(sb->flags) & RESHAPING)
        return bad(lv, "says that a reshape was not ended", leg, err);
    if (ash_le32_get(sb->level) != layout->level)
        return bad(lv, "is of another raid level", leg, err);
    if (ash_le32_get(sb->n_devices) != n_legs)
        return bad(lv, "is of a set with another number of legs", leg, err);
    if (!is_anywhere && ash_le32_get(sb->position) != leg)
        return bad(lv, "is of another leg", leg, err);
    return 0;
}

/* The freshest superblock says which legs had failed; one that fell behind is out, too. */
static void judge(const struct super_disk *sb, const bool *is, struct lvm_raid_legs *legs)
{
    uint64_t freshest = 0, failed = 0, resync = 0;
    for (unsigned i = 0; i < legs->n; i++) {
        if (!is[i] || ash_le64_get(sb[i].events) < freshest)
            continue;
        freshest = ash_le64_get(sb[i].events);
        failed = ash_le64_get(sb[i].failed);
        resync = ash_le64_get(sb[i].resync_offset);
    }
    legs->has_parity = resync == UINT64_MAX;
    for (unsigned i = 0; i < legs->n; i++)
        legs->is_good[i] = is[i] && ash_le64_get(sb[i].events) + 1 >= freshest &&
                           ash_le64_get(sb[i].recovery_offset) == UINT64_MAX && !(failed >> i & 1);
}

int lvm_raid_read(const struct lvm_lv *lv, const struct lvm_raid_layout *layout,
                  struct lvm_raid_legs *legs, struct ash_err *err)
{
    struct super_disk *sb = rt_alloc(legs->n * sizeof(*sb));
    void *buf = rt_buf_get(SUPER_BYTES);
    legs->has_parity = false;
    bool is[LVM_RAID_LEGS_MAX] = {false}, any = false;
    int rc = sb && buf ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, lv->name, "no memory");
    for (unsigned i = 0; i < legs->n && rc == 0; i++) {
        rc = read_super(lv, legs->metas[i], buf, &sb[i], &is[i], err);
        if (rc == 0 && is[i])
            rc = check_super(lv, layout, &sb[i], i, legs->n, err);
        any |= is[i];
    }
    if (rc == 0 && any)
        judge(sb, is, legs);
    for (unsigned i = 0; i < legs->n && rc == 0 && !any; i++)
        legs->is_good[i] = legs->metas[i];
    rt_buf_put(buf, SUPER_BYTES);
    rt_free(sb);
    return rc;
}

bool lvm_raid_is_synced(const void *super, uint64_t *ret_events)
{
    const struct super_disk *sb = super;
    *ret_events = ash_le64_get(sb->events);
    return ash_le32_get(sb->magic) == SUPER_MAGIC && ash_le64_get(sb->resync_offset) == UINT64_MAX;
}
