/* SPDX-License-Identifier: Apache-2.0 */
/* `bench`: the command around the load generator. */
#include "ctl/cli/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/disk.h"
#include "ctl/jsonrpc/jsonrpc.h"
#include "export/nbd/nbd.h"

/* ------------------------------------------------------------- histogram */

static unsigned slot_of(uint64_t v)
{
    if (v < 1u << HIST_SUB_BITS)
        return (unsigned)v;
    unsigned log2 = 63 - (unsigned)__builtin_clzll(v);
    if (log2 >= HIST_MAX_BITS)
        return HIST_N - 1;
    unsigned shift = log2 - HIST_SUB_BITS;
    return ((shift + 1) << HIST_SUB_BITS) + (unsigned)((v >> shift) & ((1u << HIST_SUB_BITS) - 1));
}

static uint64_t middle_of(unsigned slot)
{
    if (slot < 1u << HIST_SUB_BITS)
        return slot;
    unsigned shift = (slot >> HIST_SUB_BITS) - 1;
    uint64_t low = (uint64_t)((1u << HIST_SUB_BITS) + (slot & ((1u << HIST_SUB_BITS) - 1)))
                   << shift;
    return low + ((1ull << shift) >> 1);
}

void hist_add(struct hist *h, uint64_t value)
{
    if (!h->n || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->n++;
    h->sum += value;
    h->counts[slot_of(value)]++;
}

void hist_merge(struct hist *to, const struct hist *from)
{
    if (from->n && (!to->n || from->min < to->min))
        to->min = from->min;
    to->max = ASH_MAX(to->max, from->max);
    to->n += from->n;
    to->sum += from->sum;
    for (size_t i = 0; i < HIST_N; i++)
        to->counts[i] += from->counts[i];
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
    double want = (double)h->n * percent / 100.0;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_N; i++) {
        seen += h->counts[i];
        if (h->counts[i] && (double)seen >= want)
            return ASH_MIN(ASH_MAX(middle_of(i), h->min), h->max);
    }
    return h->max;
}

/* ------------------------------------------------------------------ jobs */

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

bool bench_next(struct bench_job *job, uint64_t now_ns, uint64_t *ret_offset, bool *ret_write)
{
    const struct bench_opts *o = job->opts;
    if (job->n_failed || now_ns >= job->begin_ns + o->time_ns ||
        (o->max_ios && job->n_started >= o->max_ios))
        return false;
    if (o->random) {
        /* The high half: multiply instead of divide. */
        uint64_t r = next_random(&job->rng);
        *ret_offset = (uint64_t)(((unsigned __int128)r * job->n_blocks) >> 64) * o->block_bytes;
    } else {
        *ret_offset = job->next_offset;
        job->next_offset += o->block_bytes;
        if (job->next_offset >= job->n_blocks * o->block_bytes)
            job->next_offset = 0;
    }
    *ret_write = o->read_percent == 0 ||
                 (o->read_percent < 100 && next_random(&job->rng) % 100 >= o->read_percent);
    job->n_started++;
    return true;
}

void bench_count(struct bench_job *job, uint64_t begin_ns, uint64_t now_ns, int rc)
{
    if (rc) {
        job->n_failed++;
        job->rc = job->rc ? job->rc : rc;
        return;
    }
    job->n_all++;
    if (begin_ns < job->begin_ns)
        return; /* of the warm-up */
    hist_add(&job->hist, now_ns - begin_ns);
    job->n_ios++;
    job->end_ns = now_ns;
}

static void job_reported(struct rt_job *rt_job)
{
    struct bench_job *job = ash_container_of(rt_job, struct bench_job, report);
    if (--*job->n_running == 0)
        rt_event_set(job->all_done, 0);
}

static void job_task(void *arg)
{
    struct bench_job *job = arg;
    job->is_started = true;
    uint64_t seed = 0x9e3779b97f4a7c15u * (job->idx + 1);
    job->rng = seed ? seed : 1;
    job->begin_ns = rt_now_ns() + job->opts->warmup_ns;
    uint64_t blocks = job->opts->range_bytes / job->opts->block_bytes;
    job->next_offset = blocks / job->opts->n_jobs * job->idx * job->opts->block_bytes;
    int rc = job->run(job);
    job->rc = job->rc ? job->rc : rc;
    job->report.run = job_reported;
    rt_post(job->control, &job->report);
}

static int run_jobs(struct bench_job *jobs, unsigned n_jobs, struct ash_err *err)
{
    struct rt *rt = rt_world();
    struct rt_event all_done = RT_EVENT_INIT;
    unsigned n_running = 1; /* our own hold, so that the event waits for all starts */
    int rc = 0;
    for (unsigned i = 0; i < n_jobs && !rc; i++) {
        jobs[i].all_done = &all_done;
        jobs[i].n_running = &n_running;
        jobs[i].control = rt_self();
        rc = rt_task_spawn_on(rt_reactor(rt, i % rt_n_reactors(rt)), "bench", job_task, &jobs[i]);
        n_running += !rc;
    }
    if (--n_running)
        (void)rt_event_wait(&all_done);
    for (unsigned i = 0; i < n_jobs && !rc; i++)
        rc = jobs[i].rc;
    return rc ? ash_err_set_rc(err, rc, ASH_E_BDEV_IO, NULL, "the load failed: %s",
                               ash_strerror(rc))
              : 0;
}

/* ---------------------------------------------------------------- report */

struct bench_result {
    struct hist hist;
    double seconds;
    uint64_t n_ios, n_all, cpu_ns, server_cpu_ns; /* CPU time is that of n_all */
};

static void report_json(struct cli *cli, const struct bench_opts *o, const struct bench_result *r)
{
    struct ash_jsonw w;
    double n = (double)ASH_MAX(r->n_all, (uint64_t)1);
    ash_jsonw_init(&w, &cli->out);
    ash_jsonw_obj(&w, NULL);
    ash_jsonw_str(&w, "target", cli->args[0]);
    ash_jsonw_str(&w, "rw", cli_opt(cli, "rw"));
    ash_jsonw_u64(&w, "bs", o->block_bytes);
    ash_jsonw_u64(&w, "qd", o->depth);
    ash_jsonw_u64(&w, "jobs", o->n_jobs);
    ash_jsonw_f64(&w, "seconds", r->seconds);
    ash_jsonw_u64(&w, "ios", r->n_ios);
    ash_jsonw_f64(&w, "iops", (double)r->n_ios / r->seconds);
    ash_jsonw_f64(&w, "mb_per_s", (double)r->n_ios * o->block_bytes / r->seconds / 1e6);
    ash_jsonw_obj(&w, "latency_ns");
    ash_jsonw_u64(&w, "min", r->hist.min);
    ash_jsonw_u64(&w, "mean", r->hist.n ? r->hist.sum / r->hist.n : 0);
    ash_jsonw_u64(&w, "p50", hist_percentile(&r->hist, 50));
    ash_jsonw_u64(&w, "p90", hist_percentile(&r->hist, 90));
    ash_jsonw_u64(&w, "p99", hist_percentile(&r->hist, 99));
    ash_jsonw_u64(&w, "p99.9", hist_percentile(&r->hist, 99.9));
    ash_jsonw_u64(&w, "p99.99", hist_percentile(&r->hist, 99.99));
    ash_jsonw_u64(&w, "max", r->hist.max);
    ash_jsonw_obj_end(&w);
    ash_jsonw_f64(&w, "cpu_ns_per_io", (double)r->cpu_ns / n);
    if (cli_opt(cli, "server-pid"))
        ash_jsonw_f64(&w, "server_cpu_ns_per_io", (double)r->server_cpu_ns / n);
    ash_jsonw_str(&w, "backend", rt_backend_name(rt_world()));
    ash_jsonw_u64(&w, "reactors", rt_n_reactors(rt_world()));
    ash_jsonw_obj_end(&w);
    ash_buf_chr(&cli->out, '\n');
}

static void report_text(struct cli *cli, const struct bench_opts *o, const struct bench_result *r)
{
    static const double percents[] = {50, 90, 99, 99.9, 99.99};
    double n = (double)ASH_MAX(r->n_all, (uint64_t)1);
    char size[32];
    cli_out(cli, "%s %s, %u in flight, %u job%s, %s with %u reactor%s\n", cli_opt(cli, "rw"),
            ash_format_size(o->block_bytes, size, sizeof(size)), o->depth, o->n_jobs,
            o->n_jobs == 1 ? "" : "s", rt_backend_name(rt_world()), rt_n_reactors(rt_world()),
            rt_n_reactors(rt_world()) == 1 ? "" : "s");
    cli_out(cli, "  %.0f IOPS, %.1f MB/s, %" PRIu64 " I/Os in %.2f s\n",
            (double)r->n_ios / r->seconds, (double)r->n_ios * o->block_bytes / r->seconds / 1e6,
            r->n_ios, r->seconds);
    cli_out(cli, "  latency us: min %.1f, mean %.1f", (double)r->hist.min / 1e3,
            r->hist.n ? (double)r->hist.sum / (double)r->hist.n / 1e3 : 0.0);
    for (size_t i = 0; i < ASH_N_ELEMS(percents); i++)
        cli_out(cli, ", p%g %.1f", percents[i],
                (double)hist_percentile(&r->hist, percents[i]) / 1e3);
    cli_out(cli, ", max %.1f\n  CPU per I/O: %.0f ns", (double)r->hist.max / 1e3,
            (double)r->cpu_ns / n);
    if (cli_opt(cli, "server-pid"))
        cli_out(cli, " here, %.0f ns in the server", (double)r->server_cpu_ns / n);
    cli_out(cli, "\n");
}

static int run_and_report(struct cli *cli, struct bench_job *jobs, const struct bench_opts *o,
                          struct ash_err *err)
{
    unsigned server = (unsigned)cli_opt_u64(cli, "server-pid", 0);
    struct bench_result *r = rt_alloc(sizeof(*r));
    if (!r)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
    for (unsigned i = 0; i < o->n_jobs; i++)
        jobs[i].n_blocks = o->range_bytes / o->block_bytes;
    uint64_t cpu = cli->host->cpu_ns(0), server_cpu = server ? cli->host->cpu_ns(server) : 0;
    int rc = run_jobs(jobs, o->n_jobs, err);
    r->cpu_ns = cli->host->cpu_ns(0) - cpu;
    r->server_cpu_ns = server ? cli->host->cpu_ns(server) - server_cpu : 0;
    uint64_t begin = UINT64_MAX, end = 0;
    for (unsigned i = 0; i < o->n_jobs; i++) {
        hist_merge(&r->hist, &jobs[i].hist);
        r->n_ios += jobs[i].n_ios;
        r->n_all += jobs[i].n_all;
        begin = ASH_MIN(begin, jobs[i].begin_ns);
        end = ASH_MAX(end, jobs[i].end_ns);
    }
    r->seconds = end > begin ? (double)(end - begin) / 1e9 : 1e-9;
    if (!rc && cli->json)
        report_json(cli, o, r);
    else if (!rc)
        report_text(cli, o, r);
    rt_free(r);
    return rc;
}

/* --------------------------------------------------------------- targets */

/* A raw disk that holds something is not overwritten without a word. */
static int guard_disk(struct cli *cli, const char *target, struct ash_err *err)
{
    struct cli_disk d;
    const char *kind = NULL;
    char uuid[64];
    if (cli_flag(cli, "yes") ||
        (target[0] != '/' && target[0] != '.' && !ash_starts_with(target, "aio://") &&
         !ash_starts_with(target, "uring://")))
        return 0;
    int rc = cli_disk_open(cli, target, 0, &d, err);
    if (!rc)
        rc = cli_disk_sniff(&d, &kind, uuid);
    cli_disk_close(&d);
    if (!rc && strcmp(kind, "blank"))
        rc = ash_err_set(err, ASH_E_REFUSED, target,
                         "%s holds something (%s) that writing destroys", target, kind);
    return rc;
}

#define FILL_BYTES (1u << 20)
#define MEM_BYTES  (256u << 20) /* of memcpy: unless --size says otherwise */

/* Every byte of a device, so that reads meet data and writes meet allocated clusters. */
static int fill(struct ash_engine *engine, const char *name, struct ash_err *err)
{
    struct bdev_desc *desc;
    int rc =
        bdev_open(ash_engine_bdevs(engine), name, BDEV_OPEN_WRITE, "fill", NULL, NULL, &desc, err);
    if (rc)
        return rc;
    uint64_t size = bdev_desc_bdev(desc)->size_bytes;
    struct bdev_channel *ch = bdev_channel_get(desc);
    char *buf = rt_buf_get(FILL_BYTES);
    if (!ch || !buf)
        rc = -ENOMEM;
    if (buf)
        memset(buf, 0x5a, FILL_BYTES);
    for (uint64_t at = 0; !rc && at < size; at += FILL_BYTES)
        rc = bdev_write(ch, buf, at, ASH_MIN(size - at, (uint64_t)FILL_BYTES), 0);
    if (!rc)
        rc = bdev_flush(ch);
    rt_buf_put(buf, FILL_BYTES);
    if (ch)
        bdev_channel_put(ch);
    bdev_close(desc);
    return rc ? ash_err_set_rc(err, rc, ASH_E_BDEV_IO, name, "filling %s: %s", name,
                               ash_strerror(rc))
              : 0;
}

static int take_step(struct ash_engine *engine, const char *step, struct ash_err *err)
{
    char method[96];
    const char *eq = strchr(step, '=');
    size_t n = eq ? (size_t)(eq - step) : 0;
    if (!n || n >= sizeof(method))
        return ash_err_set(err, ASH_E_USAGE, step, "--step: '%s' is not METHOD={JSON}", step);
    memcpy(method, step, n);
    method[n] = '\0';
    if (!strcmp(method, "fill"))
        return fill(engine, eq + 1, err);
    struct json_object *params = NULL;
    struct ash_buf out = {0};
    int rc = jsonrpc_parse(eq + 1, strlen(eq + 1), &params, err);
    if (!rc)
        rc = jsonrpc_call(engine, method, params, &out, err);
    ash_buf_free(&out);
    json_object_put(params);
    return rc ? ash_err_while(err, rc, "taking the step %s", method) : 0;
}

/* A connection to the engine's own server for each job; server and load share the reactors. */
static int connect_jobs(struct ash_engine *engine, const char *name, struct bench_job *jobs,
                        unsigned n_jobs, struct ash_err *err)
{
    struct nbd_server *srv = ash_engine_nbd(engine);
    int rc = nbd_add_export(srv, name, "bench", false, NULL, err);
    for (unsigned i = 0; i < n_jobs && !rc; i++) {
        struct rt_sock *far;
        rc = rt_sock_pair(&jobs[i].sock, &far);
        if (rc)
            return ash_err_set_rc(err, rc, ASH_E_RT_SOCKET, name, "no socket pair: %s",
                                  ash_strerror(rc));
        rc = nbd_serve_sock(srv, far, err);
        jobs[i].export_name = "bench";
        jobs[i].run = bench_nbd_run;
    }
    return rc;
}

/* What no job has taken is closed here; the server closes its ends by itself. */
static void disconnect_jobs(struct ash_engine *engine, struct bench_job *jobs,
                            unsigned n_jobs) ASH_MAY_WAIT
{
    for (unsigned i = 0; i < n_jobs; i++)
        if (jobs[i].sock && !jobs[i].is_started)
            rt_sock_close(jobs[i].sock);
    (void)nbd_remove_export(ash_engine_nbd(engine), "bench", true, NULL);
}

static int bench_bdev(struct cli *cli, struct bench_job *jobs, struct bench_opts *o,
                      struct ash_err *err)
{
    const char *target = cli->args[0], *step;
    bool writes = o->read_percent < 100 || cli_opt(cli, "step");
    struct ash_engine *engine;
    struct bdev_desc *desc;
    char *name = NULL;
    int rc = writes ? guard_disk(cli, target, err) : 0;
    if (!rc)
        rc = cli_engine(cli, !writes, &engine, err);
    for (size_t i = 0; !rc && (step = cli_opt_nth(cli, "step", i)); i++)
        rc = take_step(engine, step, err);
    if (rc)
        return rc;
    if (!bdev_find(ash_engine_bdevs(engine), target)) {
        bool raw = target[0] == '/' || target[0] == '.' || strstr(target, "://");
        if (!raw)
            return ash_err_set(err, ASH_E_VOLUME_NOT_FOUND, target,
                               "%s: no such volume on the disks given with --disk", target);
        rc = cli_add_disk(cli, engine, target, !writes, &name, err);
        if (rc)
            return rc;
    }
    rc = bdev_open(ash_engine_bdevs(engine), name ? name : target,
                   writes ? BDEV_OPEN_WRITE : BDEV_OPEN_READ, "bench", NULL, NULL, &desc, err);
    rt_free(name);
    if (rc)
        return rc;
    struct bdev *bdev = bdev_desc_bdev(desc);
    o->range_bytes = ASH_MIN(bdev->size_bytes, o->range_bytes);
    if (o->block_bytes % bdev->block_bytes || o->range_bytes < o->block_bytes)
        rc = ash_err_set(err, ASH_E_BAD_SIZE, target,
                         "--bs %u does not fit %s: blocks of %u bytes, %" PRIu64 " bytes in all",
                         o->block_bytes, target, bdev->block_bytes, bdev->size_bytes);
    for (unsigned i = 0; i < o->n_jobs; i++) {
        jobs[i].desc = desc;
        jobs[i].run = bench_bdev_run;
    }
    bool nbd = !rc && cli_flag(cli, "nbd");
    if (nbd)
        rc = connect_jobs(engine, bdev->name, jobs, o->n_jobs, err);
    if (!rc)
        rc = run_and_report(cli, jobs, o, err);
    if (nbd)
        disconnect_jobs(engine, jobs, o->n_jobs);
    bdev_close(desc);
    return rc;
}

static int bench_nbd(struct cli *cli, struct bench_job *jobs, struct bench_opts *o,
                     struct ash_err *err)
{
    ASH_CLEANUP(ash_buf_free) struct ash_buf address = {0};
    ASH_CLEANUP(ash_buf_free) struct ash_buf name = {0};
    uint64_t size = 0;
    int rc = bench_nbd_parse(cli->args[0], &address, &name, err);
    if (!rc)
        rc = bench_nbd_size(ash_buf_text(&address), ash_buf_text(&name), &size, err);
    if (rc)
        return rc;
    o->range_bytes = ASH_MIN(size, o->range_bytes);
    if (o->range_bytes < o->block_bytes)
        return ash_err_set(err, ASH_E_BAD_SIZE, cli->args[0], "%s is smaller than --bs",
                           cli->args[0]);
    for (unsigned i = 0; i < o->n_jobs; i++) {
        jobs[i].address = ash_buf_text(&address);
        jobs[i].export_name = ash_buf_text(&name);
        jobs[i].run = bench_nbd_run;
    }
    return run_and_report(cli, jobs, o, err);
}

/* "memcpy:" and "memset:" */
static int bench_mem(struct cli *cli, struct bench_job *jobs, struct bench_opts *o,
                     struct ash_err *err)
{
    if (o->range_bytes == UINT64_MAX)
        o->range_bytes = MEM_BYTES;
    if (o->range_bytes < o->block_bytes)
        return ash_err_set(err, ASH_E_BAD_SIZE, cli->args[0], "--size is smaller than --bs");
    int rc = 0;
    for (unsigned i = 0; i < o->n_jobs && !rc; i++) {
        rc = bench_mem_init(&jobs[i], strcmp(cli->args[0], "memcpy:") == 0);
        jobs[i].run = bench_mem_run;
    }
    if (rc)
        ash_err_set(err, ASH_E_NO_MEMORY, cli->args[0], "no memory for the load");
    else
        rc = run_and_report(cli, jobs, o, err);
    for (unsigned i = 0; i < o->n_jobs; i++)
        bench_mem_fini(&jobs[i]);
    return rc;
}

int cli_bench(struct cli *cli, struct ash_err *err)
{
    const char *rw = cli_opt(cli, "rw");
    uint64_t bs = cli_opt_size(cli, "bs", 4096), depth = cli_opt_u64(cli, "qd", 32),
             n_jobs = cli_opt_u64(cli, "jobs", 1), seconds = cli_opt_u64(cli, "time", 5);
    if (bs < 512 || bs > 32u << 20 || bs % 512)
        return ash_err_set(err, ASH_E_BAD_SIZE, NULL,
                           "--bs: a multiple of 512 from 512 to 32 MiB is wanted");
    if (depth < 1 || depth > 4096 || n_jobs < 1 || n_jobs > 256 || seconds < 1 || seconds > 86400)
        return ash_err_set(err, ASH_E_USAGE, NULL,
                           "bench: --qd 1..4096, --jobs 1..256, --time 1..86400");
    if (cli_opt(cli, "server-pid") &&
        cli->host->cpu_ns((unsigned)cli_opt_u64(cli, "server-pid", 0)) == UINT64_MAX)
        return ash_err_set(err, ASH_E_USAGE, NULL, "--server-pid: no such process");
    struct bench_opts o = {
        .random = ash_starts_with(rw, "rand"),
        .read_percent = strstr(rw, "rw")      ? (unsigned)cli_opt_u64(cli, "read-percent", 70)
                        : strstr(rw, "write") ? 0
                                              : 100,
        .block_bytes = (uint32_t)bs,
        .depth = (unsigned)depth,
        .n_jobs = (unsigned)n_jobs,
        .time_ns = seconds * 1000000000u,
        .warmup_ns = cli_opt_u64(cli, "warmup-ms", 100) * 1000000u,
        .range_bytes = cli_opt_size(cli, "size", UINT64_MAX),
        .max_ios = cli_opt_u64(cli, "ios", 0),
    };
    struct bench_job *jobs = rt_alloc(n_jobs * sizeof(*jobs));
    if (!jobs)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for %u jobs", o.n_jobs);
    for (unsigned i = 0; i < o.n_jobs; i++) {
        jobs[i].opts = &o;
        jobs[i].idx = i;
    }
    const char *target = cli->args[0];
    int rc;
    if (ash_starts_with(target, "nbd://") || ash_starts_with(target, "nbd+unix://"))
        rc = bench_nbd(cli, jobs, &o, err);
    else if (strcmp(target, "memcpy:") == 0 || strcmp(target, "memset:") == 0)
        rc = bench_mem(cli, jobs, &o, err);
    else
        rc = bench_bdev(cli, jobs, &o, err);
    rt_free(jobs);
    return rc;
}
