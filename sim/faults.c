/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk does to its users: errors that pass, errors that stay, no room under a file, long
 * silence; and what is left on it after a power cut. */
#include <errno.h>

#include "base/assert.h"
#include "world.h"

static bool chance(struct sim_faults *f, uint32_t ppm)
{
    return ppm && sim_below(&f->rng, 1000000) < ppm;
}

static int fault(struct sim_world *w, const struct rt_op *op)
{
    struct sim_faults *f = &w->faults;
    uint64_t length = op->length;
    if (op->kind == RT_OP_READ || op->kind == RT_OP_WRITE) {
        length = 0;
        for (uint32_t i = 0; i < op->n_iov; i++)
            length += op->iov[i].iov_len;
    }
    bool sticky = op->offset < f->sticky_to && op->offset + length > f->sticky_from;
    switch (op->kind) {
    case RT_OP_READ:
        return (sticky && f->sticky_reads) || chance(f, f->read_ppm) ? -EIO : 0;
    case RT_OP_FSYNC:
        return chance(f, f->flush_ppm) ? -EIO : 0;
    default:
        if (!w->plan->is_device && chance(f, f->space_ppm))
            return -ENOSPC;
        return sticky || chance(f, f->write_ppm) ? -EIO : 0;
    }
}

static int hook(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct sim_world *w = arg;
    if (disk != w->disk)
        return 0;
    sim_note(w, op->kind, op->offset, op->length);
    if (w->cutting && w->n_until-- == 0) {
        w->n_until = 0;
        rt_stop(w->rt);
        return -EIO;
    }
    int rc = w->faults.on ? fault(w, op) : 0;
    if (rc)
        w->faulty = true;
    return rc;
}

void sim_faults_hook(struct sim_world *w)
{
    struct rt_sim_hooks hooks = {.fail = hook,
                                 .arg = w,
                                 .latency_min_ns = w->plan->latency_ns / 8 + 1,
                                 .latency_max_ns = 2 * w->plan->latency_ns};
    rt_sim_set_hooks(w->rt, &hooks);
}

void sim_faults_start(struct sim_world *w, const struct sim_step *s)
{
    struct sim_faults *f = &w->faults;
    *f = (struct sim_faults){.on = true, .rng = s->a[0]};
    if (s->a[3] % 4 == 0) { /* silence: nothing ends for up to half a minute */
        struct rt_sim_hooks hooks = {
            .fail = hook, .arg = w, .latency_min_ns = 1000000, .latency_max_ns = 30000000000ull};
        rt_sim_set_hooks(w->rt, &hooks);
        return;
    }
    uint32_t ppm = 1000u << s->a[1] % 8;
    f->read_ppm = s->a[2] & 1 ? ppm : 0;
    f->write_ppm = s->a[2] & 2 ? ppm : 0;
    f->flush_ppm = s->a[2] & 4 ? ppm : 0;
    f->space_ppm = s->a[2] & 8 ? 8 * ppm : 0;
    f->sticky_reads = s->a[2] & 32;
    if (s->a[2] & 16) {
        f->sticky_from = sim_below(&f->rng, w->plan->disk_bytes);
        f->sticky_to = f->sticky_from + (4096u << sim_below(&f->rng, 9));
    }
}

/* ------------------------------------------------------------- power cuts */

static void must(struct sim_world *w, int rc)
{
    if (rc)
        sim_wrong(w, "no memory for an image");
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
                    : rt_sim_image_zero(w->medium, at, next - at));
    }
}

static void cut_power(struct sim_world *w)
{
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
            if (sim_below(&rng, 100) < tear)
                apply_torn(w, e, &rng);
            else
                must(w, rt_sim_log_apply(&w->log, i, w->medium));
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
