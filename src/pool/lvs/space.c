/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters and metadata pages: which are free, and the I/O of taking and giving.
 *
 * Invariants
 *   - A bit in used_clusters / used_pages is cleared only when nothing on the medium refers to the
 *     cluster or page any more, and no I/O to it is in flight.
 *   - zero_clusters has a bit only for free clusters that are known to read as zeroes (8.6); it is
 *     never stored, so after a load nothing is known. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

/* A level is left only when usage is so many points below it: a pool that hovers at a threshold
 * tells once and not at every cluster. */
#define USAGE_SLACK_PERCENT 2

int lvs_space_init(struct lvs_store *s)
{
    int rc = ash_bitmap_init(&s->used_clusters, s->n_clusters);
    if (rc == 0)
        rc = ash_bitmap_init(&s->used_pages, s->md_len);
    if (rc == 0)
        rc = ash_bitmap_init(&s->zero_clusters, s->n_clusters);
    if (rc == 0)
        rc = lvs_roots_init(s);
    for (uint32_t c = 0; c < s->md_clusters && rc == 0; c++)
        ash_bitmap_set(&s->used_clusters, c);
    return rc;
}

void lvs_usage_changed(struct lvs_store *s)
{
    uint64_t n_data = s->n_clusters - s->md_clusters;
    uint64_t n_used = s->used_clusters.n_set - s->md_clusters;
    unsigned clusters_percent = n_data ? (unsigned)(n_used * 100 / n_data) : 100;
    unsigned pages_percent = (unsigned)(s->used_pages.n_set * 100 / s->md_len);
    unsigned percent = ASH_MAX(clusters_percent, pages_percent);
    int level = percent >= s->warn_percent[1] ? 2 : percent >= s->warn_percent[0] ? 1 : 0;
    if (level > s->usage_level)
        bdev_notify(s->bdevs, level == 2 ? "pool_usage_critical" : "pool_usage_warning", s->name);
    int held = s->usage_level;
    while (held > level &&
           (percent == 0 || percent + USAGE_SLACK_PERCENT < s->warn_percent[held - 1]))
        held--;
    s->usage_level = ASH_MAX(level, held);
}

uint32_t lvs_cluster_take(struct lvs_store *s, bool *ret_known_zero)
{
    uint64_t c = s->no_allocation ? ASH_BITMAP_NONE : ash_bitmap_find_clear(&s->used_clusters, 0);
    if (c == ASH_BITMAP_NONE)
        return 0;
    ash_bitmap_set(&s->used_clusters, c);
    *ret_known_zero = ash_bitmap_clear(&s->zero_clusters, c) || s->zeroing == POOL_ZEROING_OFF;
    lvs_usage_changed(s);
    return (uint32_t)c;
}

void lvs_cluster_give(struct lvs_store *s, uint32_t cluster, bool known_zero)
{
    bool was = ash_bitmap_clear(&s->used_clusters, cluster);
    ASH_ASSERT(was && cluster >= s->md_clusters);
    if (known_zero)
        ash_bitmap_set(&s->zero_clusters, cluster);
    lvs_usage_changed(s);
}

uint32_t lvs_page_take(struct lvs_store *s, uint32_t first)
{
    uint64_t p = ash_bitmap_find_clear(&s->used_pages, first);
    if (p == ASH_BITMAP_NONE)
        return LVS_INVALID_PAGE;
    ash_bitmap_set(&s->used_pages, p);
    lvs_usage_changed(s);
    return (uint32_t)p;
}

void lvs_page_give(struct lvs_store *s, uint32_t page)
{
    bool was = ash_bitmap_clear(&s->used_pages, page);
    ASH_ASSERT(was);
    lvs_usage_changed(s);
}

/* -------------------------------------------------------- several ios */

/* Ios in flight of one caller; the caller's task waits for all of them. */
struct batch {
    size_t n_left;
    int rc;
    struct rt_event done;
};

static void batch_done(struct bdev_io *io)
{
    struct batch *b = io->user;
    if (io->rc && !b->rc)
        b->rc = io->rc;
    bdev_io_put(io);
    if (--b->n_left == 0)
        rt_event_set(&b->done, 0);
}

static int batch_start(struct lvs_store *s, struct batch *b, uint8_t type, uint64_t offset,
                       uint64_t length, const void *data)
{
    struct bdev_io *io = bdev_io_get(s->ch);
    if (!io)
        return -ENOMEM;
    io->type = type;
    io->flags = 0;
    io->offset = offset;
    io->length = length;
    io->one_iov = (struct iovec){(void *)(uintptr_t)data, length};
    io->iov = &io->one_iov;
    io->n_iov = data ? 1 : 0;
    io->done = batch_done;
    io->user = b;
    b->n_left++;
    bdev_submit(io);
    return 0;
}

/* The caller holds one count so that the event is set once, at the end. */
static int batch_wait(struct batch *b)
{
    if (--b->n_left > 0)
        rt_event_wait(&b->done);
    return b->rc;
}

int lvs_write_all(struct lvs_store *s, const struct lvs_write *writes, size_t n)
{
    ASH_ASSERT(!s->read_only);
    struct batch b = {.n_left = 1, .done = RT_EVENT_INIT};
    for (size_t i = 0; i < n && b.rc == 0; i++) {
        int rc =
            batch_start(s, &b, BDEV_WRITE, writes[i].offset, writes[i].n_bytes, writes[i].data);
        if (rc)
            b.rc = rc;
    }
    int rc = batch_wait(&b);
    /* Counted when they have ended: a flush that ran meanwhile does not cover them. */
    lvs_md_written(s);
    return rc;
}

int lvs_flush(struct lvs_store *s)
{
    uint64_t seq = atomic_load(&s->md_written_seq);
    int rc = bdev_flush(s->ch);
    if (rc == 0 && atomic_load(&s->md_flushed_seq) < seq)
        atomic_store(&s->md_flushed_seq, seq);
    return rc;
}

void lvs_md_written(struct lvs_store *s)
{
    atomic_fetch_add(&s->md_written_seq, 1);
}

/* ------------------------------------------------------------ clearing */

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

enum { N_CLEARS_MAX = 32 }; /* in flight at once */

/* One operation over sorted clusters, neighbours merged. skip[i]: leave out (may be NULL). */
static int for_runs(struct lvs_store *s, uint8_t type, const uint32_t *clusters, const bool *skip,
                    size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0;) {
        struct batch b = {.n_left = 1, .done = RT_EVENT_INIT};
        for (int k = 0; k < N_CLEARS_MAX && i < n && b.rc == 0;) {
            if (skip && skip[i]) {
                i++;
                continue;
            }
            size_t j = i + 1;
            while (j < n && clusters[j] == clusters[j - 1] + 1 && !(skip && skip[j]))
                j++;
            int start_rc = batch_start(s, &b, type, lvs_cluster_offset(s, clusters[i]),
                                       (uint64_t)(j - i) * s->cluster_bytes, NULL);
            if (start_rc)
                b.rc = start_rc;
            i = j;
            k++;
        }
        rc = batch_wait(&b);
    }
    return rc;
}

static int lvs_clusters_zero(struct lvs_store *s, const uint32_t *clusters, const bool *known,
                             size_t n)
{
    rt_step("zero clusters");
    int rc = for_runs(s, BDEV_WRITE_ZEROES, clusters, known, n);
    lvs_md_written(s); /* the root that will refer to them waits for a flush */
    return rc;
}

void lvs_clusters_give(struct lvs_store *s, const uint32_t *clusters, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lvs_cluster_give(s, clusters[i], false);
}

int lvs_clusters_take_zeroed(struct lvs_store *s, size_t n, uint32_t **ret_clusters)
{
    if (n > lvs_n_free_clusters(s) || s->no_allocation)
        return -ENOSPC;
    uint32_t *clusters = rt_alloc((n + 1) * sizeof(*clusters));
    bool *known = rt_alloc(n + 1);
    int rc = clusters && known ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && rc == 0; i++) {
        clusters[i] = lvs_cluster_take(s, &known[i]);
        ASH_ASSERT(clusters[i]);
    }
    if (rc == 0) {
        rc = lvs_clusters_zero(s, clusters, known, n);
        if (rc)
            lvs_clusters_give(s, clusters, n);
    }
    rt_free(known);
    if (rc)
        rt_free(clusters);
    else
        *ret_clusters = clusters;
    return rc;
}

int lvs_clusters_release(struct lvs_store *s, uint32_t *clusters, size_t n, enum pool_clear clear)
{
    if (n == 0)
        return 0;
    struct bdev *base = bdev_desc_bdev(s->desc);
    qsort(clusters, n, sizeof(*clusters), compare_u32);
    bool zero = false;
    int rc = 0;
    rt_step("clear clusters");
    if (clear == POOL_CLEAR_WRITE_ZEROES) {
        rc = for_runs(s, BDEV_WRITE_ZEROES, clusters, NULL, n);
        zero = rc == 0;
    } else if (clear != POOL_CLEAR_NONE && bdev_supports(base, BDEV_UNMAP)) {
        rc = for_runs(s, BDEV_UNMAP, clusters, NULL, n);
        zero = rc == 0 && (base->unmap_zeroes || s->zeroing == POOL_ZEROING_TRUST_UNMAP);
    }
    /* An unmap that a power cut takes back must not take "reads as zero" with it. */
    if (zero && lvs_flush(s) != 0)
        zero = false;
    /* Clearing is a service to the device and to other readers of the format. Nothing refers to the
     * clusters any more, so they are free whether it worked or not: only "known zero" depends on
     * it. */
    for (size_t i = 0; i < n; i++)
        lvs_cluster_give(s, clusters[i], zero);
    return rc == -ENOTSUP ? 0 : rc;
}

int lvs_pages_release(struct lvs_store *s, const uint32_t *pages, size_t n)
{
    if (n == 0)
        return 0;
    uint8_t *zeroes = rt_buf_get(s->md_page_bytes);
    struct lvs_write *writes = rt_alloc(n * sizeof(*writes));
    int rc = zeroes && writes ? 0 : -ENOMEM;
    rt_step("erase metadata pages");
    if (rc == 0) {
        memset(zeroes, 0, s->md_page_bytes);
        for (size_t i = 0; i < n; i++)
            writes[i] = (struct lvs_write){lvs_page_offset(s, pages[i]), zeroes, s->md_page_bytes};
        rc = lvs_write_all(s, writes, n);
    }
    /* A page that could not be erased is harmless as long as nothing refers to it, but a root that
     * is still there is a live blob: the caller decides by rc; the pages stay reserved then. */
    if (rc == 0)
        for (size_t i = 0; i < n; i++)
            lvs_page_give(s, pages[i]);
    else
        s->needs_recovery = true;
    rt_free(writes);
    rt_buf_put(zeroes, s->md_page_bytes);
    return rc;
}
