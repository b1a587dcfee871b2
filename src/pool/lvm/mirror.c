/* SPDX-License-Identifier: Apache-2.0 */
/* See mirror.h. Source: docs/spec/dm-formats.md 9.1, 9.2.
 *
 *  1. While legs may differ in a region, its bit is set on the medium in the bitmap of each leg: a
 *     bit is written to all of them, and flushed, before the first write to the region begins.
 *  2. A bit is cleared only at the end, only if this opening has set it, after all legs were
 *     flushed, and when nothing has failed.
 *  3. Writes that overlap go one after the other, so that all legs see them in one order.
 *  4. After a failure nothing is written any more. The legs may differ then: bits tell where, and
 *     the next activation makes the other legs equal to the first.
 *  5. Superblocks stay as they are: all legs are in before and after.
 *
 * All of it belongs to one reactor; writes of others are posted to it. */
#include "pool/lvm/mirror.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "pool/lvm/raid.h"

enum { BITMAP_AT = 4096, BITS_AT = 256, PAGE_BYTES = 4096, BITMAP_MAGIC = 0x6d746962 };
enum { STATE_STALE = 2, STATE_WRITE_ERROR = 4 };

struct bitmap_disk {
    struct le32 magic, version;
    uint8_t uuid[16];
    struct le64 events, events_cleared, sync_sectors;
    struct le32 state, region_bytes, daemon_sleep, write_behind;
};
_Static_assert(offsetof(struct bitmap_disk, sync_sectors) == 40, "docs/spec/dm-formats.md 9.2");
_Static_assert(offsetof(struct bitmap_disk, region_bytes) == 52, "docs/spec/dm-formats.md 9.2");

enum region { CLEAN, SETTING, SET };

struct lvm_mirror {
    const struct lvm_map *map;
    struct rt_reactor *home;
    unsigned n_pvs, n_legs;
    struct bdev_desc **descs;
    struct bdev_channel **pvs;
    struct lvm_place metas[LVM_RAID_LEGS_MAX];
    uint8_t *bitmaps[LVM_RAID_LEGS_MAX]; /* header and bits, as on the leg or about to be */
    uint64_t bitmap_bytes, region_bytes, n_regions;
    uint8_t *regions;                /* enum region */
    uint8_t *is_ours;                /* we have set it, and no leg had it set */
    bool *is_new;                    /* pages of the bitmap that must be written */
    struct ash_list queued, running; /* ios, in the order they came */
    bool is_setting;
    atomic_bool has_failed; /* a write, a bit, or a flush: set on any reactor */
};

/* ------------------------------------------------------------------ bitmaps */

static bool bit_is_set(const uint8_t *bitmap, uint64_t r)
{
    return bitmap[BITS_AT + r / 8] >> r % 8 & 1;
}

static void put_bit(struct lvm_mirror *m, uint64_t r, bool is_set)
{
    uint8_t bit = (uint8_t)(1u << r % 8);
    for (unsigned i = 0; i < m->n_legs; i++) {
        uint8_t *at = &m->bitmaps[i][BITS_AT + r / 8];
        *at = is_set ? *at | bit : *at & (uint8_t)~bit;
    }
    m->is_new[(BITS_AT + r / 8) / PAGE_BYTES] = true;
}

static int flush_all(struct lvm_mirror *m) ASH_MAY_WAIT
{
    int rc = 0;
    for (unsigned i = 0; i < m->n_pvs && rc == 0; i++)
        rc = bdev_flush(m->pvs[i]);
    return rc;
}

/* Pages that have changed, to all legs, durably. */
static int write_bits(struct lvm_mirror *m) ASH_MAY_WAIT
{
    int rc = 0;
    for (uint64_t page = 0; page < m->bitmap_bytes / PAGE_BYTES; page++) {
        if (!m->is_new[page])
            continue;
        m->is_new[page] = false;
        for (unsigned i = 0; i < m->n_legs && rc == 0; i++)
            rc = bdev_write(m->pvs[m->metas[i].pv], m->bitmaps[i] + page * PAGE_BYTES,
                            m->metas[i].offset + BITMAP_AT + page * PAGE_BYTES, PAGE_BYTES, 0);
    }
    return rc ? rc : flush_all(m);
}

/* ------------------------------------------------------------------- writes */

static uint64_t region_of(const struct lvm_mirror *m, const struct bdev_io *io)
{
    return io->offset / m->region_bytes;
}

static struct bdev_io *io_of(struct ash_list *l)
{
    return ash_list_entry(l, struct bdev_io, link);
}

static bool overlaps_any(struct ash_list *list, const struct bdev_io *io)
{
    ash_list_for_each (l, list) {
        const struct bdev_io *other = io_of(l);
        if (other == io)
            return false; /* those before it are asked about */
        if (other->offset < io->offset + io->length && io->offset < other->offset + other->length)
            return true;
    }
    return false;
}

static void pump(struct lvm_mirror *m);

static void leg_done(struct bdev_io *leg)
{
    struct bdev_io *io = leg->user;
    struct lvm_mirror_io *w = bdev_io_ctx(io);
    if (leg->rc)
        w->rc = leg->rc;
    bdev_io_put(leg);
    if (--w->n_left)
        return;
    ash_list_remove(&io->link);
    if (w->rc)
        lvm_mirror_fail(w->m);
    pump(w->m);
    bdev_io_done_soon(io, w->rc);
}

static struct bdev_io *leg_io(struct lvm_mirror *m, struct bdev_io *io, const struct lvm_place *at)
{
    struct bdev_io *leg = bdev_io_get(m->pvs[at->pv]);
    if (!leg)
        return NULL;
    leg->type = io->type;
    leg->flags = io->flags & BDEV_FUA;
    leg->offset = at->offset;
    leg->length = io->length;
    leg->iov = io->iov;
    leg->n_iov = io->n_iov;
    leg->done = leg_done;
    leg->user = io;
    return leg;
}

/* To all legs, or (no memory) to none. */
static void start(struct lvm_mirror *m, struct bdev_io *io)
{
    struct lvm_mirror_io *w = bdev_io_ctx(io);
    struct lvm_place at[LVM_RAID_LEGS_MAX];
    struct bdev_io *legs[LVM_RAID_LEGS_MAX];
    unsigned n = 0;
    lvm_map_copies(m->map, io->offset, at);
    for (unsigned i = 0; i < m->n_legs; i++) {
        if (at[i].kind != LVM_PLACE_PV || at[i].length < io->length) {
            bdev_io_done_soon(io, -EIO); /* the text lets a leg end before the LV does */
            return;
        }
    }
    while (n < m->n_legs && (legs[n] = leg_io(m, io, &at[n])))
        n++;
    if (n < m->n_legs) {
        while (n)
            bdev_io_put(legs[--n]);
        bdev_io_done_soon(io, -ENOMEM);
        return;
    }
    w->n_left = n;
    ash_list_push_tail(&m->running, &io->link);
    for (unsigned i = 0; i < n; i++)
        bdev_submit(legs[i]);
}

/* Give back what waits: all of it, or what waits for a bit. */
static void give_back(struct lvm_mirror *m, bool all, int rc)
{
    ash_list_for_each_safe (l, &m->queued) {
        struct bdev_io *io = io_of(l);
        if (!all && m->regions[region_of(m, io)] == SET)
            continue;
        ash_list_remove(l);
        bdev_io_done_soon(io, rc);
    }
}

/* Regions of waiting writes: their bits, until all have theirs. */
static void set_bits(void *arg)
{
    struct lvm_mirror *m = arg;
    for (;;) {
        bool any = false;
        ash_list_for_each (l, &m->queued) {
            uint64_t r = region_of(m, io_of(l));
            if (m->regions[r] != CLEAN)
                continue;
            m->regions[r] = SETTING;
            m->is_ours[r] = true;
            for (unsigned i = 0; i < m->n_legs; i++)
                m->is_ours[r] &= !bit_is_set(m->bitmaps[i], r);
            put_bit(m, r, true);
            any = true;
        }
        if (!any)
            break;
        int rc = write_bits(m);
        if (rc)
            lvm_mirror_fail(m);
        ash_list_for_each (l, &m->queued) {
            uint8_t *state = &m->regions[region_of(m, io_of(l))];
            *state = *state == SETTING && rc == 0 ? SET : *state;
        }
        pump(m);
    }
    m->is_setting = false;
}

/* Start what can be started. */
static void pump(struct lvm_mirror *m)
{
    bool wants_bits = false;
    if (m->has_failed) {
        give_back(m, true, -EIO);
        return;
    }
    ash_list_for_each_safe (l, &m->queued) {
        struct bdev_io *io = io_of(l);
        wants_bits |= m->regions[region_of(m, io)] == CLEAN;
        if (m->regions[region_of(m, io)] != SET || overlaps_any(&m->running, io) ||
            overlaps_any(&m->queued, io))
            continue;
        ash_list_remove(l);
        start(m, io);
    }
    if (!wants_bits || m->is_setting)
        return;
    m->is_setting = rt_task_spawn("raid1 bitmap", set_bits, m) == 0;
    if (!m->is_setting)
        give_back(m, false, -ENOMEM);
}

static void arrive(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    struct lvm_mirror *m = ((struct lvm_mirror_io *)bdev_io_ctx(io))->m;
    ASH_ASSERT(m->home == rt_self());
    ash_list_push_tail(&m->queued, &io->link);
    pump(m);
}

void lvm_mirror_write(struct lvm_mirror *m, struct bdev_io *io)
{
    ASH_ASSERT(io->type == BDEV_WRITE && io->length);
    ASH_ASSERT(io->offset % m->region_bytes + io->length <= m->region_bytes);
    *(struct lvm_mirror_io *)bdev_io_ctx(io) = (struct lvm_mirror_io){.m = m};
    io->job.run = arrive;
    rt_post(m->home, &io->job);
}

/* ------------------------------------------------------------------ opening */

static const char no_write[] = "it is a raid1 on devices that are not to be written to";
static const char no_super[] = "it is a raid1 that was not yet synchronized";
static const char bad_bitmap[] = "it is a raid1 without a good write-intent bitmap";

static int no_memory(const char *name, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory to open '%s'", name);
}

static int read_meta(struct lvm_mirror *m, unsigned leg, uint64_t at, void *buf, uint64_t n_bytes,
                     const char *name, struct ash_err *err) ASH_MAY_WAIT
{
    const struct lvm_place *meta = &m->metas[leg];
    int rc = bdev_read(m->pvs[meta->pv], buf, meta->offset + at, n_bytes);
    return rc ? ash_err_set_rc(err, rc, ASH_E_BDEV_IO, name, "'%s': reading metadata of leg %u: %s",
                               name, leg, ash_strerror(rc))
              : 0;
}

/* Can its bits be relied on (9.2)? They are of a set of this size, and not of before the
 * superblock. */
static bool is_good(const struct lvm_mirror *m, unsigned leg, const struct bitmap_disk *b,
                    uint64_t events)
{
    uint32_t region = ash_le32_get(b->region_bytes);
    uint64_t size = lvm_map_size(m->map);
    if (ash_le32_get(b->magic) != BITMAP_MAGIC || ash_le32_get(b->version) != 4 ||
        ash_le64_get(b->events) < events ||
        ash_le32_get(b->state) & (STATE_STALE | STATE_WRITE_ERROR))
        return false;
    if (ash_le64_get(b->sync_sectors) != size / LVM_SECTOR_BYTES || region < PAGE_BYTES ||
        region & (region - 1) || (leg && region != m->region_bytes))
        return false;
    return BITMAP_AT + BITS_AT + ash_div_up(ash_div_up(size, region), 8) <= m->metas[leg].length;
}

static int load_leg(struct lvm_mirror *m, unsigned leg, void *page, const char *name,
                    const char **ret_why, struct ash_err *err) ASH_MAY_WAIT
{
    uint64_t events;
    int rc = read_meta(m, leg, 0, page, PAGE_BYTES, name, err);
    if (rc)
        return rc;
    if (!lvm_raid_is_synced(page, &events)) {
        *ret_why = no_super;
        return 0;
    }
    rc = read_meta(m, leg, BITMAP_AT, page, PAGE_BYTES, name, err);
    if (rc)
        return rc;
    const struct bitmap_disk *b = page;
    if (!is_good(m, leg, b, events)) {
        *ret_why = bad_bitmap;
        return 0;
    }
    m->region_bytes = ash_le32_get(b->region_bytes);
    m->n_regions = ash_div_up(lvm_map_size(m->map), m->region_bytes);
    m->bitmap_bytes = ash_align_up(BITS_AT + ash_div_up(m->n_regions, 8), PAGE_BYTES);
    m->bitmaps[leg] = rt_buf_get(m->bitmap_bytes);
    if (!m->bitmaps[leg])
        return no_memory(name, err);
    return read_meta(m, leg, BITMAP_AT, m->bitmaps[leg], m->bitmap_bytes, name, err);
}

/* A bit that is set everywhere needs no writing. */
static int find_set_bits(struct lvm_mirror *m, const char *name, struct ash_err *err)
{
    m->regions = rt_alloc(m->n_regions);
    m->is_ours = rt_alloc(m->n_regions);
    m->is_new = rt_alloc(m->bitmap_bytes / PAGE_BYTES);
    if (!m->regions || !m->is_ours || !m->is_new)
        return no_memory(name, err);
    for (uint64_t r = 0; r < m->n_regions; r++) {
        m->regions[r] = SET;
        for (unsigned i = 0; i < m->n_legs; i++)
            if (!bit_is_set(m->bitmaps[i], r))
                m->regions[r] = CLEAN;
    }
    return 0;
}

static int open_pvs(struct lvm_mirror *m, struct bdev_mgr *mgr, const char *name,
                    const char **ret_why, struct ash_err *err) ASH_MAY_WAIT
{
    const char *const *names = lvm_map_pvs(m->map, &m->n_pvs);
    m->descs = rt_alloc(m->n_pvs * sizeof(struct bdev_desc *));
    m->pvs = rt_alloc(m->n_pvs * sizeof(struct bdev_channel *));
    if (!m->descs || !m->pvs)
        return no_memory(name, err);
    for (unsigned i = 0; i < m->n_pvs; i++) {
        int rc = bdev_open(mgr, names[i], BDEV_OPEN_WRITE, "lvm", NULL, NULL, &m->descs[i], NULL);
        if (rc == -ENOMEM)
            return no_memory(name, err);
        if (rc) {
            *ret_why = no_write;
            return 0;
        }
        m->pvs[i] = bdev_channel_get(m->descs[i]);
        if (!m->pvs[i])
            return no_memory(name, err);
    }
    return 0;
}

static void mirror_free(struct lvm_mirror *m) ASH_MAY_WAIT
{
    for (unsigned i = 0; i < m->n_legs; i++)
        rt_buf_put(m->bitmaps[i], m->bitmap_bytes);
    for (unsigned i = 0; i < m->n_pvs && m->descs && m->pvs; i++) {
        if (m->pvs[i])
            bdev_channel_put(m->pvs[i]);
        if (m->descs[i])
            bdev_close(m->descs[i]);
    }
    rt_free(m->descs);
    rt_free(m->pvs);
    rt_free(m->regions);
    rt_free(m->is_ours);
    rt_free(m->is_new);
    rt_free(m);
}

int lvm_mirror_open(struct bdev_mgr *mgr, const char *name, const struct lvm_map *map,
                    struct lvm_mirror **ret, const char **ret_why, struct ash_err *err)
{
    struct lvm_mirror *m = rt_alloc(sizeof(*m));
    void *page = rt_buf_get(PAGE_BYTES);
    *ret = NULL;
    *ret_why = NULL;
    if (!m || !page) {
        rt_buf_put(page, PAGE_BYTES);
        rt_free(m);
        return no_memory(name, err);
    }
    m->map = map;
    m->home = rt_self();
    m->n_legs = lvm_map_metas(map, m->metas);
    ash_list_init(&m->queued);
    ash_list_init(&m->running);
    int rc = open_pvs(m, mgr, name, ret_why, err);
    for (unsigned i = 0; i < m->n_legs && rc == 0 && !*ret_why; i++)
        rc = load_leg(m, i, page, name, ret_why, err);
    if (rc == 0 && !*ret_why)
        rc = find_set_bits(m, name, err);
    rt_buf_put(page, PAGE_BYTES);
    if (rc || *ret_why)
        mirror_free(m);
    else
        *ret = m;
    return rc;
}

static void clear_bits(struct lvm_mirror *m) ASH_MAY_WAIT
{
    bool any = false;
    for (uint64_t r = 0; r < m->n_regions; r++)
        any |= m->is_ours[r];
    if (!any || m->has_failed || flush_all(m))
        return; /* set bits cost the next activation some time, no more */
    for (uint64_t r = 0; r < m->n_regions; r++)
        if (m->is_ours[r])
            put_bit(m, r, false);
    (void)write_bits(m);
}

void lvm_mirror_close(struct lvm_mirror *m)
{
    if (!m)
        return;
    ASH_ASSERT(ash_list_empty(&m->queued) && ash_list_empty(&m->running));
    while (m->is_setting) /* what waited for bits was given back; the task has yet to see that */
        rt_sleep_ns(1000000);
    clear_bits(m);
    mirror_free(m);
}

void lvm_mirror_fail(struct lvm_mirror *m)
{
    atomic_store(&m->has_failed, true);
}

uint64_t lvm_mirror_region_bytes(const struct lvm_mirror *m)
{
    return m->region_bytes;
}
