/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics and latency histograms. Each channel counts for itself; asking sums up over reactors,
 * with what closed channels left behind. Source: docs/spec/spdk-jsonrpc.md 13.10. */
#include <errno.h>
#include <string.h>

#include "bdev/core.h"

/* ------------------------------------------------------------ statistics */

void bdev_stat_add(struct bdev_stats *to, const struct bdev_stats *from)
{
    for (int i = 0; i < BDEV_N_STATS; i++) {
        struct bdev_counters *a = &to->c[i];
        const struct bdev_counters *b = &from->c[i];
        a->n_ops += b->n_ops;
        a->n_bytes += b->n_bytes;
        a->ticks += b->ticks;
        a->max_ticks = ASH_MAX(a->max_ticks, b->max_ticks);
        if (b->min_ticks && (!a->min_ticks || b->min_ticks < a->min_ticks))
            a->min_ticks = b->min_ticks;
    }
    to->n_failed += from->n_failed;
    to->n_nomem += from->n_nomem;
    to->n_miscompare += from->n_miscompare;
    to->n_aborted += from->n_aborted;
}

static void reset_one(struct bdev_stats *st, enum bdev_stat_reset reset)
{
    if (reset == BDEV_RESET_ALL)
        *st = (struct bdev_stats){0};
    if (reset == BDEV_RESET_MAXMIN) {
        for (int i = 0; i < BDEV_N_STATS; i++)
            st->c[i].max_ticks = st->c[i].min_ticks = 0;
    }
    if (reset == BDEV_RESET_ERROR)
        st->n_failed = st->n_nomem = st->n_miscompare = st->n_aborted = 0;
}

struct stat_call {
    enum bdev_stat_reset reset;
    struct bdev_stats per_slot[RT_MAX_REACTORS];
};

static void stat_slot(struct bdev_slot *slot, unsigned idx, void *arg)
{
    struct stat_call *call = arg;
    call->per_slot[idx] = slot->closed;
    reset_one(&slot->closed, call->reset);
    if (slot->ch) {
        bdev_stat_add(&call->per_slot[idx], &slot->ch->stats);
        reset_one(&slot->ch->stats, call->reset);
    }
}

void bdev_get_stats(struct bdev *bdev, enum bdev_stat_reset reset, struct bdev_stats *ret_stats)
{
    struct stat_call call = {.reset = reset};
    bdev_on_slots(bdev, stat_slot, &call);
    *ret_stats = (struct bdev_stats){0};
    for (unsigned i = 0; i < bdev->core->n_slots; i++)
        bdev_stat_add(ret_stats, &call.per_slot[i]);
}

struct channel_stat_call {
    enum bdev_stat_reset reset;
    struct bdev_channel_stats *stats;
};

static void channel_stat_slot(struct bdev_slot *slot, unsigned idx, void *arg)
{
    struct channel_stat_call *call = arg;
    struct bdev_channel_stats *to = &call->stats[idx];
    *to = (struct bdev_channel_stats){0};
    if (!slot->ch)
        return;
    to->n_users = slot->ch->n_users;
    to->n_in_flight = slot->ch->inflight[0] + slot->ch->inflight[1];
    to->stats = slot->ch->stats;
    reset_one(&slot->ch->stats, call->reset);
}

void bdev_get_channel_stats(struct bdev *bdev, enum bdev_stat_reset reset,
                            struct bdev_channel_stats *ret_stats)
{
    struct channel_stat_call call = {reset, ret_stats};
    bdev_on_slots(bdev, channel_stat_slot, &call);
}

/* ------------------------------------------------------------ histograms */

static uint32_t range_of(uint64_t d, unsigned granularity)
{
    if (d < 1ull << granularity)
        return 0;
    return 63u - (unsigned)__builtin_clzll(d) - granularity + 1;
}

void bdev_hist_tally(struct bdev_hist *hist, unsigned type, uint64_t ns)
{
    if (hist->opts.type >= 0 && (unsigned)hist->opts.type != type)
        return;
    unsigned g = hist->opts.granularity;
    uint32_t range = range_of(ns, g);
    size_t at;
    if (range < hist->min_range)
        at = 0;
    else if (range > hist->max_range)
        at = hist->n_buckets - 1;
    else
        at = ((size_t)(range - hist->min_range) << g) +
             ((ns >> (range ? range - 1 : 0)) & ((1ull << g) - 1));
    hist->counts[at]++;
}

struct hist_call {
    struct bdev_hist *hist[RT_MAX_REACTORS]; /* in: the new ones; out: the old ones */
};

static void hist_swap(struct bdev_slot *slot, unsigned idx, void *arg)
{
    struct hist_call *call = arg;
    struct bdev_hist *old = slot->hist;
    slot->hist = call->hist[idx];
    call->hist[idx] = old;
    if (slot->ch)
        bdev_gate_update(slot->ch);
}

static void hist_free(struct hist_call *call)
{
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++)
        rt_free(call->hist[i]);
}

static int hist_alloc(const struct bdev_core *core, struct hist_call *call)
{
    size_t n = (size_t)(core->hist_max_range - core->hist_min_range + 1)
               << core->hist_opts.granularity;
    for (unsigned i = 0; i < core->n_slots; i++) {
        struct bdev_hist *h = rt_alloc(sizeof(*h) + n * sizeof(h->counts[0]));
        if (!h)
            return -ENOMEM;
        h->opts = core->hist_opts;
        h->min_range = core->hist_min_range;
        h->max_range = core->hist_max_range;
        h->n_buckets = n;
        call->hist[i] = h;
    }
    return 0;
}

int bdev_set_histogram(struct bdev *bdev, bool enable, const struct bdev_hist_opts *opts,
                       struct ash_err *err)
{
    struct bdev_core *core = bdev->core;
    if (core->setting_hist)
        return ash_err_set_rc(err, -EAGAIN, ASH_E_BDEV_BUSY, bdev->name,
                              "the histogram of '%s' is being changed already", bdev->name);
    struct hist_call call = {0};
    if (enable) {
        static const struct bdev_hist_opts dflt = {7, 1000, 120000000000ull, -1};
        const struct bdev_hist_opts *o = opts ? opts : &dflt;
        if (o->granularity < 1 || o->granularity > 16 || o->min_ns >= o->max_ns)
            return ash_err_set(err, ASH_E_BAD_ARGUMENT, bdev->name,
                               "histogram of '%s': granularity must be 1 to 16 and the least "
                               "latency below the greatest",
                               bdev->name);
        core->hist_opts = *o;
        core->hist_min_range = range_of(o->min_ns, o->granularity);
        core->hist_max_range = range_of(o->max_ns - 1, o->granularity);
        if (hist_alloc(core, &call)) {
            hist_free(&call);
            return ash_err_set(err, ASH_E_NO_MEMORY, bdev->name, "no memory for a histogram");
        }
    }
    core->setting_hist = true;
    bdev_on_slots(bdev, hist_swap, &call);
    core->setting_hist = false;
    core->hist_enabled = enable;
    hist_free(&call);
    return 0;
}

bool bdev_histogram_enabled(const struct bdev *bdev)
{
    return bdev->core->hist_enabled;
}

void bdev_histogram_opts(const struct bdev *bdev, struct bdev_hist_opts *ret_opts)
{
    *ret_opts = bdev->core->hist_opts;
}

struct hist_read {
    uint64_t *sums[RT_MAX_REACTORS];
    size_t n;
};

static void hist_copy(struct bdev_slot *slot, unsigned idx, void *arg)
{
    struct hist_read *rd = arg;
    if (slot->hist && slot->hist->n_buckets == rd->n)
        memcpy(rd->sums[idx], slot->hist->counts, rd->n * sizeof(uint64_t));
}

/* A copy of the sums over all reactors (rt_free). The options may change while it is taken: those
 * that belong to it are returned. */
static int hist_sum(struct bdev *bdev, uint64_t **ret_counts, size_t *ret_n,
                    struct bdev_hist_opts *ret_opts, uint32_t *ret_min_range,
                    uint32_t *ret_max_range) ASH_MAY_WAIT
{
    struct bdev_core *core = bdev->core;
    if (!core->hist_enabled)
        return -EFAULT;
    *ret_opts = core->hist_opts;
    *ret_min_range = core->hist_min_range;
    *ret_max_range = core->hist_max_range;
    unsigned n_slots = core->n_slots;
    struct hist_read rd = {.n = (size_t)(*ret_max_range - *ret_min_range + 1)
                                << ret_opts->granularity};
    uint64_t *all = rt_alloc(n_slots * rd.n * sizeof(uint64_t));
    if (!all)
        return -ENOMEM;
    for (unsigned i = 0; i < n_slots; i++)
        rd.sums[i] = all + i * rd.n;
    bdev_on_slots(bdev, hist_copy, &rd);
    for (unsigned i = 1; i < n_slots; i++)
        for (size_t j = 0; j < rd.n; j++)
            all[j] += rd.sums[i][j];
    *ret_counts = all;
    *ret_n = rd.n;
    return 0;
}

int bdev_get_histogram(struct bdev *bdev, struct ash_buf *out, struct bdev_hist_opts *ret_opts,
                       uint32_t *ret_min_range, uint32_t *ret_max_range)
{
    struct bdev_hist_opts opts;
    uint32_t min_range, max_range;
    uint64_t *counts;
    size_t n;
    int rc = hist_sum(bdev, &counts, &n, &opts, &min_range, &max_range);
    if (rc)
        return rc;
    ash_base64(out, counts, n * sizeof(uint64_t));
    rt_free(counts);
    *ret_opts = opts;
    *ret_min_range = min_range;
    *ret_max_range = max_range;
    return 0;
}

int bdev_histogram_borders(struct bdev *bdev, const uint64_t *borders_ns, size_t n,
                           uint64_t *ret_counts)
{
    struct bdev_hist_opts opts;
    uint32_t min_range, max_range;
    uint64_t *counts;
    size_t n_buckets, at = 0;
    int rc = hist_sum(bdev, &counts, &n_buckets, &opts, &min_range, &max_range);
    if (rc)
        return rc;
    memset(ret_counts, 0, (n + 1) * sizeof(*ret_counts));
    for (size_t i = 0; i < n_buckets; i++) {
        uint32_t range = min_range + (uint32_t)(i >> opts.granularity);
        uint64_t idx = i & ((1ull << opts.granularity) - 1);
        /* the least latency that the bucket takes */
        uint64_t from =
            range == 0 ? idx : (1ull << (range + opts.granularity - 1)) + (idx << (range - 1));
        while (at < n && from >= borders_ns[at])
            at++;
        ret_counts[at] += counts[i];
    }
    rt_free(counts);
    return 0;
}
