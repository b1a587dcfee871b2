/* SPDX-License-Identifier: Apache-2.0 */
/* Load on a device of the own engine: one io per slot, resubmitted from its completion. */
#include <errno.h>

#include "ctl/cli/bench.h"

struct slot {
    struct bdev_run *run;
    uint64_t begin_ns;
    void *buf;
};

struct bdev_run {
    struct bench_job *job;
    struct bdev_channel *ch;
    struct rt_event idle;
    unsigned n_in_flight;
};

static void io_done(struct bdev_io *io);

static bool start(struct slot *s, uint64_t now_ns)
{
    struct bdev_run *r = s->run;
    uint64_t offset;
    bool write;
    if (!bench_next(r->job, now_ns, &offset, &write))
        return false;
    struct bdev_io *io = bdev_io_get(r->ch);
    if (!io) {
        bench_count(r->job, now_ns, now_ns, -ENOMEM);
        return false;
    }
    io->type = write ? BDEV_WRITE : BDEV_READ;
    io->flags = 0;
    io->offset = offset;
    io->length = r->job->opts->block_bytes;
    io->one_iov = (struct iovec){s->buf, io->length};
    io->iov = &io->one_iov;
    io->n_iov = 1;
    io->done = io_done;
    io->user = s;
    s->begin_ns = now_ns;
    r->n_in_flight++;
    bdev_submit(io);
    return true;
}

static void io_done(struct bdev_io *io)
{
    struct slot *s = io->user;
    struct bdev_run *r = s->run;
    uint64_t now = rt_coarse_ns();
    bench_count(r->job, s->begin_ns, now, io->rc);
    bdev_io_put(io);
    r->n_in_flight--;
    if (!start(s, now) && r->n_in_flight == 0)
        rt_event_set(&r->idle, 0);
}

int bench_bdev_run(struct bench_job *job)
{
    struct bdev_run r = {.job = job, .idle = RT_EVENT_INIT};
    unsigned depth = job->opts->depth;
    size_t block = job->opts->block_bytes;
    int rc = 0;
    struct slot *slots = rt_alloc(depth * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    r.ch = bdev_channel_get(job->desc);
    if (!r.ch)
        rc = -ENOMEM;
    for (unsigned i = 0; i < depth && !rc; i++) {
        slots[i].run = &r;
        slots[i].buf = rt_buf_get(block);
        if (!slots[i].buf) {
            rc = -ENOMEM;
            break;
        }
        uint64_t *words = slots[i].buf;
        for (size_t k = 0; k < block / 8; k++)
            words[k] = 0x9e3779b97f4a7c15u * (k + i + 1);
    }
    if (!rc) {
        for (unsigned i = 0; i < depth; i++)
            start(&slots[i], rt_now_ns());
        if (r.n_in_flight)
            (void)rt_event_wait(&r.idle);
    }
    for (unsigned i = 0; i < depth; i++)
        rt_buf_put(slots[i].buf, block);
    if (r.ch)
        bdev_channel_put(r.ch);
    rt_free(slots);
    return rc;
}
