/* SPDX-License-Identifier: Apache-2.0 */
/* The load generator: jobs on reactors, each keeps a fixed number of requests in flight on one
 * target until the time is over. Latencies go into a log-linear histogram (error under 1.6 %). */
#ifndef ASH_CTL_CLI_BENCH_H
#define ASH_CTL_CLI_BENCH_H

#include "ctl/cli/cmd.h"

#define HIST_SUB_BITS 6
#define HIST_MAX_BITS 40 /* 2^40 ns = 18 minutes */
#define HIST_N        ((HIST_MAX_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
    uint64_t n, sum, min, max;
    uint64_t counts[HIST_N];
};
void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *to, const struct hist *from);
uint64_t hist_percentile(const struct hist *h, double percent);

struct bench_opts {
    bool random;
    unsigned read_percent; /* 100: only reads */
    uint32_t block_bytes;
    unsigned depth;
    uint64_t time_ns, warmup_ns;
    unsigned n_jobs;
    uint64_t range_bytes; /* of the target; set by the driver's open */
    uint64_t max_ios;     /* per job; 0: no limit */
};

struct bench_job {
    const struct bench_opts *opts;
    unsigned idx;
    struct hist hist;
    uint64_t n_ios, n_failed, rng, next_offset; /* n_ios: after the warm-up */
    uint64_t n_all;
    uint64_t begin_ns, end_ns;    /* of what was measured */
    uint64_t n_started, n_blocks; /* n_blocks: in the range */
    bool is_started;              /* the driver owns sock from then on */
    int rc;
    struct rt_event *all_done; /* control reactor */
    unsigned *n_running;       /* control reactor */
    struct rt_job report;
    struct rt_reactor *control;
    /* of the driver */
    struct bdev_desc *desc;
    const char *address, *export_name;
    struct rt_sock *sock; /* connected already: instead of address */
    char *area, *bufs;    /* memcpy: and memset: */
    int (*run)(struct bench_job *job) ASH_MAY_WAIT;
};

/* For drivers: what comes next, false when the job is over. */
bool bench_next(struct bench_job *job, uint64_t now_ns, uint64_t *ret_offset, bool *ret_write);
void bench_count(struct bench_job *job, uint64_t begin_ns, uint64_t now_ns, int rc);

/* Drivers. *_run run as a task on the job's reactor. */
int bench_bdev_run(struct bench_job *job) ASH_MAY_WAIT;
int bench_nbd_run(struct bench_job *job) ASH_MAY_WAIT;
int bench_mem_run(struct bench_job *job); /* waits for nothing */
/* Its memory, touched; copies: memcpy, else memset. -ENOMEM: fini all the same. */
int bench_mem_init(struct bench_job *job, bool copies);
void bench_mem_fini(struct bench_job *job);
/* "nbd://HOST[:PORT]/NAME", "nbd+unix:///NAME?socket=PATH" -> address for rt_connect and name. */
int bench_nbd_parse(const char *uri, struct ash_buf *ret_address, struct ash_buf *ret_name,
                    struct ash_err *err);
int bench_nbd_size(const char *address, const char *name, uint64_t *ret_size_bytes,
                   struct ash_err *err) ASH_MAY_WAIT;

#endif
