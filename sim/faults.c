/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk does to its users: errors that pass, errors that stay, no room under a file, long
 * silence; and what is left on it after a power cut. */
#include <errno.h>

#include "base/assert.h"
#include "world.h"

void sim_fired(struct sim_world *w, enum sim_fired what)
{
    w->counts.fired[what]++;
}

static int fired(struct sim_world *w, enum sim_fired what, int rc)
{
    sim_fired(w, what);
    return rc;
}

static bool chance(struct sim_faults *f, uint64_t ppm)
{
    return ppm && sim_below(&f->rng, 1000000) < ppm;
}

static uint64_t length_of(const struct rt_op *op)
{
    uint64_t length = 0;
    if (op->kind != RT_OP_READ && op->kind != RT_OP_WRITE)
        return op->length;
    for (uint32_t i = 0; i < op->n_iov; i++)
        length += op->iov[i].iov_len;
    return length;
}

static int fault(struct sim_world *w, const struct rt_op *op)
{
    struct sim_faults *f = &w->faults;
    uint64_t now_ns = rt_now_ns();
    if (now_ns < f->away_until_ns)
        return fired(w, SIM_FIRED_AWAY, f->sticky_reads ? -ENODEV : -EIO);
    if (now_ns < f->hang_until_ns && chance(f, f->hang_ppm))
        return fired(w, SIM_FIRED_HANGS, RT_SIM_HANG);
    bool sticky = op->offset < f->sticky_to && op->offset + length_of(op) > f->sticky_from;
    switch (op->kind) {
    case RT_OP_READ:
        if (sticky && f->sticky_reads)
            return fired(w, SIM_FIRED_BAD_PLACE, -EIO);
        return chance(f, f->read_ppm) ? fired(w, SIM_FIRED_READ_ERROR, -EIO) : 0;
    case RT_OP_FSYNC:
        return chance(f, f->flush_ppm) ? fired(w, SIM_FIRED_FLUSH_ERROR, -EIO) : 0;
    default:
        if (!w->plan->is_device && chance(f, f->space_ppm))
            return fired(w, SIM_FIRED_NO_SPACE, -ENOSPC);
        if (sticky)
            return fired(w, SIM_FIRED_BAD_PLACE, -EIO);
        return chance(f, f->write_ppm) ? fired(w, SIM_FIRED_WRITE_ERROR, -EIO) : 0;
    }
}

static int hook(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct sim_world *w = arg;
    if (disk != w->disk || w->own_image)
        return 0;
    w->n_disk_ops++;
    sim_note(w, op->kind, op->offset, op->length);
    if (w->cutting && w->n_until-- == 0) {
        w->n_until = 0;
        rt_stop(w->rt);
        return -EIO;
    }
    int rc = w->faults.on ? fault(w, op) : 0;
    if (rc < 0)
        w->faulty = true;
    else if (rc == 0 && op->kind == RT_OP_PUNCH && w->plan->is_device && w->plan->trim)
        sim_fired(w, w->plan->trim == RT_SIM_TRIM_KEEPS ? SIM_FIRED_TRIM_KEPT
                                                        : SIM_FIRED_TRIM_GARBAGE);
    return rc;
}

static bool rarely(void *arg, const char *tag)
{
    struct sim_world *w = arg;
    size_t i = 0;
    if (sim_below(&w->rare_rng, 1000000) >= w->plan->rare_ppm)
        return false;
    while (i < SIM_N_TAGS && w->counts.tags[i] && w->counts.tags[i] != tag)
        i++;
    if (i < SIM_N_TAGS) {
        w->counts.tags[i] = tag;
        w->counts.taken[i]++;
    }
    sim_fired(w, SIM_FIRED_RARELY);
    sim_note(w, 0x600, (uint64_t)(unsigned char)*tag, 0);
    return true;
}

static void set_hooks(struct sim_world *w, uint64_t min_ns, uint64_t max_ns)
{
    struct rt_sim_hooks hooks = {.fail = hook,
                                 .rarely = w->plan->rare_ppm ? rarely : NULL,
                                 .arg = w,
                                 .latency_min_ns = min_ns,
                                 .latency_max_ns = max_ns};
    rt_sim_set_hooks(w->rt, &hooks);
}

void sim_faults_hook(struct sim_world *w)
{
    set_hooks(w, w->plan->latency_ns / 8 + 1, 2 * w->plan->latency_ns);
}

/* Which of them the plan allows, and how often they come, is the plan's choice. */
void sim_faults_start(struct sim_world *w, const struct sim_step *s)
{
    struct sim_faults *f = &w->faults;
    uint64_t kinds = w->plan->fault_kinds & (s->a[2] | s->a[3]),
             ppm = w->plan->fault_ppm << s->a[1] % 6;
    *f = (struct sim_faults){.on = true, .rng = s->a[0]};
    ppm = ASH_MIN(ppm, (uint64_t)300000);
    f->read_ppm = kinds & 1 ? ppm : 0;
    f->write_ppm = kinds & 2 ? ppm : 0;
    f->flush_ppm = kinds & 4 ? ppm : 0;
    f->space_ppm = kinds & 8 ? 8 * ppm : 0;
    f->sticky_reads = s->a[2] & 32;
    if (kinds & 16) {
        f->sticky_from = sim_below(&f->rng, w->plan->disk_bytes);
        f->sticky_to = f->sticky_from + (4096u << sim_below(&f->rng, 9));
    }
    if (kinds & 64 && s->a[1] & 64) /* everything fails for a while */
        f->away_until_ns = rt_now_ns() + s->a[3] % 2000000000u;
    if (kinds & 128) { /* some things do not end for up to four minutes */
        f->hang_until_ns = rt_now_ns() + (uint64_t)(s->a[3] % 240) * 1000000000u;
        f->hang_ppm = 10000u << s->a[1] % 7;
    }
    if (kinds & 256) { /* everything may take up to half a minute */
        set_hooks(w, 1000000, 30000000000ull);
        sim_fired(w, SIM_FIRED_SLOW);
    }
}

/* ------------------------------------------------------------- power cuts */

static void must(struct sim_world *w, int rc)
{
    if (rc)
        sim_wrong(w, "no memory for an image");
}

static int apply_torn_space(struct sim_world *w, const struct rt_sim_log_entry *e, uint64_t at,
                            uint64_t n_bytes)
{
    struct rt_sim_log_entry part = *e;
    struct rt_sim_log log = {.entries = &part, .n_entries = 1};
    part.offset = at;
    part.length = n_bytes;
    return rt_sim_log_apply(&log, 0, w->medium);
}

/* Some pages of a change that was under way; smaller tears are outside what the format can bear. */
static void apply_torn(struct sim_world *w, const struct rt_sim_log_entry *e, uint64_t *rng)
{
    uint64_t end = e->offset + e->length, next;
    for (uint64_t at = e->offset; at < end; at = next) {
        next = ASH_MIN(end, (at / 4096 + 1) * 4096);
        if (sim_below(rng, 2) || next > rt_sim_image_size(w->medium))
            continue;
        must(w, e->kind == RT_OP_WRITE
                    ? rt_sim_image_write(w->medium, at, (uint8_t *)e->data + (at - e->offset),
                                         next - at)
                    : apply_torn_space(w, e, at, next - at));
    }
}

static void cut_power(struct sim_world *w)
{
    bool hole = false;
    uint64_t rng = w->end.a[1], keep = sim_below(&rng, 101), tear = sim_below(&rng, 50);
    if (w->end.a[2] % 4 == 0)
        keep = w->end.a[2] % 8 ? 100 : 0;
    size_t n_durable = rt_sim_log_n_durable(&w->log, w->disk, w->log.n_entries);
    for (size_t i = 0; i < w->log.n_entries; i++) {
        const struct rt_sim_log_entry *e = &w->log.entries[i];
        if (e->kind == RT_OP_FSYNC)
            continue;
        if (i < n_durable || e->is_fua) {
            must(w, rt_sim_log_apply(&w->log, i, w->medium));
        } else if (sim_below(&rng, 100) < keep) {
            if (sim_below(&rng, 100) < tear) {
                apply_torn(w, e, &rng);
                sim_fired(w, SIM_FIRED_TORN);
            } else {
                must(w, rt_sim_log_apply(&w->log, i, w->medium));
            }
            if (hole)
                sim_fired(w, SIM_FIRED_OVERTAKEN);
        } else {
            hole = true;
            sim_fired(w, SIM_FIRED_LOST);
        }
    }
    struct rt_sim_image *image = rt_sim_image_clone(w->medium);
    ASH_ASSERT(image);
    rt_sim_disk_set_log(w->disk, NULL);
    rt_sim_disk_give_image(w->disk, image);
    rt_sim_log_free(&w->log);
    rt_sim_disk_set_log(w->disk, &w->log);
}

void sim_disk_after(struct sim_world *w)
{
    if (w->log.failed) {
        sim_wrong(w, "no memory for the log");
        return;
    }
    w->lossy = w->end.kind == SIM_CUT;
    sim_fired(w, w->lossy                  ? SIM_FIRED_CUT
                 : w->end.kind == SIM_KILL ? SIM_FIRED_KILLED
                                           : SIM_FIRED_RESTARTED);
    if (w->lossy) {
        cut_power(w);
        sim_check_image(w, "after a power cut", NULL, false);
    } else if (rt_sim_log_n_durable(&w->log, w->disk, w->log.n_entries) >= w->log.n_entries) {
        rt_sim_image_free(w->medium);
        w->medium = rt_sim_image_clone(rt_sim_disk_image(w->disk));
        ASH_ASSERT(w->medium);
        rt_sim_disk_set_log(w->disk, NULL);
        rt_sim_log_free(&w->log);
        rt_sim_disk_set_log(w->disk, &w->log);
    }
}
