/* SPDX-License-Identifier: Apache-2.0 */
/* What memory alone can do: a bare loop that copies blocks between a large area and a few buffers,
 * or that sets the buffers to zero. The yard-stick for devices that do nothing else. One sample of
 * the histogram is the mean of a batch. */
#include <errno.h>
#include <string.h>

#include "ctl/cli/bench.h"

enum { BATCH = 64 };

static void move_one(struct bench_job *job, char *area, char *buf, uint64_t offset, bool write)
{
    size_t n = job->opts->block_bytes;
    if (!area)
        memset(buf, 0, n);
    else if (write)
        memcpy(area + offset, buf, n);
    else
        memcpy(buf, area + offset, n);
    __asm__ volatile("" ::: "memory"); /* the copies are wanted, although nobody looks */
}

static void loop(struct bench_job *job, char *area, char *bufs)
{
    uint64_t begin_ns = rt_now_ns(), offset;
    unsigned at = 0, depth = job->opts->depth;
    size_t room = ash_align_up(job->opts->block_bytes, 4096);
    bool write, go_on = true;
    while (go_on) {
        unsigned n = 0;
        for (; n < BATCH && (go_on = bench_next(job, begin_ns, &offset, &write)); n++) {
            move_one(job, area, bufs + at * room, offset, write);
            at = at + 1 < depth ? at + 1 : 0;
        }
        uint64_t now_ns = rt_now_ns();
        job->n_all += n;
        if (n && begin_ns >= job->begin_ns) {
            hist_add(&job->hist, (now_ns - begin_ns) / n);
            job->n_ios += n;
            job->end_ns = now_ns;
        }
        begin_ns = now_ns;
    }
}

int bench_mem_init(struct bench_job *job, bool copies)
{
    const struct bench_opts *o = job->opts;
    size_t n_bufs = o->depth * ash_align_up(o->block_bytes, 4096);
    job->bufs = rt_buf_get(n_bufs);
    job->area = copies ? rt_buf_get(o->range_bytes) : NULL;
    if (!job->bufs || (copies && !job->area))
        return -ENOMEM;
    memset(job->bufs, 0x5a, n_bufs);
    if (copies)
        memset(job->area, 0xa5, o->range_bytes);
    return 0;
}

void bench_mem_fini(struct bench_job *job)
{
    const struct bench_opts *o = job->opts;
    rt_buf_put(job->area, o->range_bytes);
    rt_buf_put(job->bufs, o->depth * ash_align_up(o->block_bytes, 4096));
}

int bench_mem_run(struct bench_job *job)
{
    loop(job, job->area, job->bufs);
    return 0;
}
