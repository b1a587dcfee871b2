/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes of the simulated world: each a task that opens a volume, goes to a reactor, does
 * one thing there and tells the oracle. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "world.h"
#include "world_nbd.h"

struct io {
    struct sim_world *w;
    struct sim_step s;
    uint32_t vol_id;
    uint64_t block, n_blocks;
    struct bdev_desc *desc;
    bool opened;
    uint64_t ext_epoch;
};

/* ---------------------------------------------------------------- contents */

static void fill(uint8_t *buf, const struct ora_vol *v, uint64_t block, uint64_t n, uint64_t submit)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t tag = ora_tag(v, block + i, submit);
        for (unsigned k = 0; k < SIM_BLOCK; k += 8)
            memcpy(buf + i * SIM_BLOCK + k, &tag, 8);
    }
}

static bool tag_of(const uint8_t *buf, uint64_t *ret_tag)
{
    memcpy(ret_tag, buf, 8);
    return memcmp(buf, buf + 8, SIM_BLOCK - 8) == 0;
}

uint64_t sim_ext_tag(uint64_t block)
{
    return (uint64_t)0xe57 << 52 | block;
}

int sim_fill_ext(struct sim_world *w)
{
    struct bdev_desc *desc;
    int rc = bdev_open(w->mgr, "ext", BDEV_OPEN_WRITE, "world", NULL, NULL, &desc, NULL);
    if (rc)
        return rc;
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint8_t *buf = rt_buf_get(SIM_EXT_BYTES);
    for (uint64_t i = 0; i < SIM_EXT_BYTES; i += 8) {
        uint64_t tag = sim_ext_tag(i / SIM_BLOCK);
        memcpy(buf + i, &tag, 8);
    }
    rc = bdev_write(ch, buf, 0, SIM_EXT_BYTES, 0);
    rt_buf_put(buf, SIM_EXT_BYTES);
    bdev_channel_put(ch);
    bdev_close(desc);
    return rc;
}

static void wrong_block(struct sim_world *w, const struct ora_vol *v, uint64_t block, uint64_t tag,
                        bool whole, const char *when)
{
    struct ash_buf may = {0};
    ora_tell(v, block, &may);
    sim_wrong(w, "volume %s block %llu reads %016llx%s %s, not one of: %s", v->name,
              (unsigned long long)block, (unsigned long long)tag, whole ? "" : " (mixed)", when,
              ash_buf_text(&may));
    ash_buf_free(&may);
}

static void check(struct sim_world *w, struct ora_vol *v, const uint8_t *buf, uint64_t block,
                  uint64_t n, uint64_t since)
{
    uint64_t sum = 0, tag;
    for (uint64_t i = 0; i < n && !sim_is_wrong(w); i++) {
        bool whole = tag_of(buf + i * SIM_BLOCK, &tag);
        sum = sim_mix(sum + tag);
        if (!whole || !ora_read(&w->ora, v, block + i, since, tag))
            wrong_block(w, v, block + i, tag, whole, "");
    }
    w->counts.n_checked_blocks += n;
    sim_note(w, v->id, block, sum);
}

/* --------------------------------------------------------------------- one */

/* May an io on the volume fail like this? */
static bool may_fail(const struct sim_world *w, const struct io *io, const struct ora_vol *v,
                     int rc)
{
    return w->faulty || w->removed || rc == -ENOSPC || sim_ext_excuses(w, v, io->ext_epoch) ||
           ((rc == -ENODEV || rc == -ECANCELED) && (!v || v->state != ORA_LIVE));
}

static int do_read(struct io *io, struct ora_vol *v, struct bdev_channel *ch)
{
    uint64_t bytes = io->n_blocks * SIM_BLOCK, since = ++io->w->ora.now;
    uint8_t *buf = rt_buf_get(bytes);
    if (!buf)
        return -ENOMEM;
    memset(buf, 0xee, bytes);
    v->n_held++;
    int rc = bdev_read(ch, buf, io->block * SIM_BLOCK, bytes);
    v = ora_find(&io->w->ora, io->vol_id);
    if (v) {
        v->n_held--;
        if (rc == 0)
            check(io->w, v, buf, io->block, io->n_blocks, since);
    }
    rt_buf_put(buf, bytes);
    return rc;
}

static int do_change(struct io *io, struct ora_vol *v, struct bdev_channel *ch)
{
    uint64_t at = io->block * SIM_BLOCK, bytes = io->n_blocks * SIM_BLOCK;
    unsigned flags = io->s.a[3] >> 8 & 3 ? 0 : BDEV_FUA;
    uint8_t *buf = NULL;
    int rc;
    if (io->s.kind == SIM_WRITE && !(buf = rt_buf_get(bytes)))
        return -ENOMEM;
    uint64_t submit = ora_write_begin(&io->w->ora, v, io->block, io->n_blocks, !buf);
    if (buf) {
        fill(buf, v, io->block, io->n_blocks, submit);
        rc = bdev_write(ch, buf, at, bytes, flags);
    } else if (io->s.kind == SIM_ZEROES) {
        rc = bdev_write_zeroes(ch, at, bytes, flags);
    } else {
        rc = bdev_unmap(ch, at, bytes);
    }
    v = ora_find(&io->w->ora, io->vol_id);
    if (v)
        ora_write_end(&io->w->ora, v, io->block, io->n_blocks, submit,
                      rc                        ? ORA_FAILED
                      : io->s.kind == SIM_UNMAP ? ORA_MAYBE
                                                : ORA_DONE,
                      flags & BDEV_FUA);
    rt_buf_put(buf, bytes);
    return rc;
}

static int io_there(void *arg)
{
    struct io *io = arg;
    struct ora_vol *v = ora_find(&io->w->ora, io->vol_id);
    if (!v)
        return -ENODEV;
    if (io->block + io->n_blocks > v->n_rooms)
        return -EINVAL; /* cut off by a resize */
    struct bdev_channel *ch = bdev_channel_get(io->desc);
    if (!ch)
        return -ENOMEM;
    int rc;
    if (io->s.kind == SIM_READ) {
        rc = do_read(io, v, ch);
    } else if (io->s.kind == SIM_FLUSH) {
        uint64_t since = ++io->w->ora.now;
        rc = bdev_flush(ch);
        v = ora_find(&io->w->ora, io->vol_id);
        if (rc == 0 && v)
            ora_flush(v, since);
    } else {
        rc = do_change(io, v, ch);
    }
    bdev_channel_put(ch);
    return rc;
}

static int open_uuid(struct sim_world *w, const struct ora_vol *v, bool write,
                     struct bdev_desc **ret_desc)
{
    char text[ASH_UUID_TEXT_BYTES];
    ash_uuid_format(&v->uuid, text);
    return bdev_open(w->mgr, text, write ? BDEV_OPEN_WRITE : BDEV_OPEN_READ, "world", NULL, NULL,
                     ret_desc, NULL);
}

static void io_main(void *arg)
{
    struct io *io = arg;
    struct sim_world *w = io->w;
    struct ora_vol *v = ora_find(&w->ora, io->vol_id);
    int rc = -ENODEV;
    if (v && io->s.kind == SIM_NBD) {
        rc = sim_nbd_session(w, v, &io->s, io->block, io->n_blocks);
    } else if (v) {
        rc = open_uuid(w, v, io->s.kind != SIM_READ, &io->desc);
        if (rc == 0) {
            struct rt_reactor *r = rt_reactor(w->rt, io->s.a[3] % w->plan->n_reactors);
            rc = rt_call_on(r, "io", io_there, io);
            bdev_close(io->desc);
        }
    }
    v = ora_find(&w->ora, io->vol_id);
    sim_note(w, 0x100 + io->s.kind, io->vol_id, (uint64_t)(int64_t)rc);
    if (rc) {
        w->counts.n_errors++;
        /* chosen before a resize cut that end off */
        bool beyond = v && io->block + io->n_blocks > ASH_MIN(v->n_blocks, v->alt_n_blocks);
        if (!may_fail(w, io, v, rc) && !(rc == -EINVAL && beyond))
            sim_wrong(w, "%s of volume %u at block %llu of %llu blocks: %s",
                      sim_kind_name(io->s.kind), io->vol_id, (unsigned long long)io->block,
                      (unsigned long long)io->n_blocks, ash_strerror(rc));
    }
    if (w->verbose)
        fprintf(stderr, "%10llu   %s of %u, %llu blocks at %llu: %d\n",
                (unsigned long long)(rt_now_ns() / 1000), sim_kind_name(io->s.kind), io->vol_id,
                (unsigned long long)io->n_blocks, (unsigned long long)io->block, rc);
    w->n_inflight--;
    rt_waitq_wake_all(&w->idle);
    rt_free(io);
}

static struct ora_vol *choose(struct sim_world *w, uint32_t number, bool write)
{
    struct ora_vol *fit[ORA_N_VOLS] = {0};
    size_t n = 0;
    for (size_t i = 0; i < ORA_N_VOLS; i++) {
        struct ora_vol *v = &w->ora.vols[i];
        if (v->state == ORA_LIVE && (!write || !v->snapshot) && v->n_blocks && v->alt_n_blocks)
            fit[n++] = v;
    }
    return n ? fit[number % n] : NULL;
}

void sim_io_start(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = choose(w, s->a[0], s->kind != SIM_READ);
    if (!v)
        return;
    uint64_t unit = w->plan->block_bytes / SIM_BLOCK;
    uint64_t n_units = ASH_MIN(v->n_blocks, v->alt_n_blocks) / unit;
    uint64_t most = s->a[2] & 1 ? 8 : s->a[2] & 2 ? 256 / unit : n_units;
    struct io *io = rt_alloc(sizeof(*io));
    *io = (struct io){.w = w, .s = *s, .vol_id = v->id};
    uint64_t at = s->a[1] % n_units;
    uint64_t room = ASH_MIN(n_units - at, 1024 / unit);
    uint64_t n = 1 + (s->a[2] >> 2) % ASH_MIN(room, most);
    io->block = at * unit;
    io->n_blocks = n * unit;
    io->ext_epoch = w->ext_epoch;
    w->n_inflight++;
    if (rt_task_spawn("io", io_main, io) != 0)
        sim_wrong(w, "no task");
}

/* ------------------------------------------------------------------- whole */

static void settle(struct sim_world *w, struct ora_vol *v, const uint8_t *buf, uint64_t block,
                   uint64_t n)
{
    uint64_t sum = 0, tag;
    for (uint64_t i = 0; i < n && !sim_is_wrong(w); i++) {
        bool whole = tag_of(buf + i * SIM_BLOCK, &tag);
        sum = sim_mix(sum + tag);
        if (!whole || !ora_settle(&w->ora, v, block + i, tag, w->lossy))
            wrong_block(w, v, block + i, tag, whole,
                        w->lossy ? "after a power cut" : "after a new start");
    }
    w->counts.n_checked_blocks += n;
    sim_note(w, v->id, block, sum);
}

void sim_read_volume(struct sim_world *w, struct ora_vol *v, bool first)
{
    struct bdev_desc *desc;
    uint64_t step = 512, since = ++w->ora.now;
    uint32_t id = v->id;
    int rc = open_uuid(w, v, false, &desc);
    if (rc) {
        if (!w->faulty)
            sim_wrong(w, "volume %s cannot be opened: %s", v->name, ash_strerror(rc));
        return;
    }
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint8_t *buf = rt_buf_get(step * SIM_BLOCK);
    v->n_held++;
    for (uint64_t at = 0; at < v->n_blocks && !sim_is_wrong(w); at += step) {
        uint64_t n = ASH_MIN(step, v->n_blocks - at);
        memset(buf, 0xee, n * SIM_BLOCK);
        rc = bdev_read(ch, buf, at * SIM_BLOCK, n * SIM_BLOCK);
        ASH_ASSERT(ora_find(&w->ora, id) == v);
        if (rc && !w->faulty)
            sim_wrong(w, "volume %s cannot be read: %s", v->name, ash_strerror(rc));
        else if (rc == 0 && first)
            settle(w, v, buf, at, n);
        else if (rc == 0)
            check(w, v, buf, at, n, since);
    }
    v->n_held--;
    rt_buf_put(buf, step * SIM_BLOCK);
    bdev_channel_put(ch);
    bdev_close(desc);
}
