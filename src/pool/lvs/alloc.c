/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters come and go: first writes, copy-on-write, releases by unmap
 * (docs/spec/blobstore-format.md 8.3, 8.4, 8.6; design in docs/ARCHITECTURE.md "data path").
 *
 * Invariants
 *   - At most one change is pending per cluster of a volume. Ios that meet it wait and start again
 *     when it has ended. Changes of different clusters run side by side.
 *   - Before a cluster's map entry is written, the cluster holds what the volume must read there:
 *     the parent's data or zeroes, under the write that asked for it. If that took writing (not
 *     known zero), it is on the medium before the entry is.
 *   - A released cluster is given out again only when no I/O that may still hit it is in flight on
 *     any reactor and its entry's removal is on the medium. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

enum {
    N_PENDING_MAX = 256,         /* changes in progress; more wait */
    COMPOSE_BYTES_MAX = 1 << 20, /* of a cluster that are put together in memory at once */
};

struct pending {
    struct ash_list hash_link;
    struct lvs_volume *vol;
    uint64_t idx;
    bool is_release;
    struct bdev_io *io;    /* that began it; NULL: lvs_allocate */
    struct ash_list ios;   /* that wait for its end */
    struct rt_waitq tasks; /* that wait for its end */
};

static struct ash_list *bucket(const struct lvs_volume *v, uint64_t idx)
{
    uint64_t h =
        ((uintptr_t)v >> 6) * UINT64_C(0x9E3779B97F4A7C15) ^ idx * UINT64_C(0xC2B2AE3D27D4EB4F);
    return &v->store->pending_hash[h >> 56];
}

static struct pending *pending_find(const struct lvs_volume *v, uint64_t idx)
{
    ash_list_for_each (l, bucket(v, idx)) {
        struct pending *p = ash_list_entry(l, struct pending, hash_link);
        if (p->vol == v && p->idx == idx)
            return p;
    }
    return NULL;
}

static struct pending *pending_begin(struct lvs_volume *v, uint64_t idx, bool is_release,
                                     struct bdev_io *io)
{
    struct pending *p = rt_alloc(sizeof(*p));
    if (!p)
        return NULL;
    *p = (struct pending){.vol = v, .idx = idx, .is_release = is_release, .io = io};
    ash_list_init(&p->ios);
    rt_waitq_init(&p->tasks);
    ash_list_push_tail(bucket(v, idx), &p->hash_link);
    v->store->n_pending++;
    return p;
}

/* As many as there is room for; each that finds nothing to do calls again. */
static void start_waiting(struct lvs_store *s)
{
    for (uint32_t n = s->n_pending; n < N_PENDING_MAX && !ash_list_empty(&s->alloc_waiting); n++) {
        struct bdev_io *io =
            ash_list_entry(ash_list_pop_head(&s->alloc_waiting), struct bdev_io, link);
        lvs_io_again(io);
    }
}

static void pending_end(struct pending *p, int rc)
{
    struct lvs_store *s = p->vol->store;
    ash_list_remove(&p->hash_link);
    s->n_pending--;
    while (!ash_list_empty(&p->ios)) {
        struct bdev_io *io = ash_list_entry(ash_list_pop_head(&p->ios), struct bdev_io, link);
        /* A full pool is full for all of them; other failures are each io's own to meet. */
        if (rc == -ENOSPC && !p->is_release)
            lvs_io_end(io, rc);
        else
            lvs_io_again(io);
    }
    rt_waitq_wake_all(&p->tasks);
    rt_free(p);
    start_waiting(s);
}

/* ---------------------------------------------------------------- sources */

void lvs_source_find(const struct lvs_volume *v, uint64_t idx, struct lvs_source *ret)
{
    struct lvs_store *s = v->store;
    uint32_t depth = 2;
    *ret = (struct lvs_source){.kind = LVS_FROM_ZERO};
    for (;;) {
        if (v->root.invalid_flags & LVS_INVALID_ESNAP) {
            uint64_t offset = idx * s->cluster_bytes;
            if (offset < v->esnap_bytes)
                *ret = (struct lvs_source){
                    .kind = LVS_FROM_ESNAP,
                    .offset = offset,
                    .n_bytes = ASH_MIN(v->esnap_bytes - offset, (uint64_t)s->cluster_bytes),
                    .depth = depth,
                    .owner = (struct lvs_volume *)(uintptr_t)v};
            return;
        }
        v = v->parent;
        if (!v || idx >= v->map.n_clusters)
            return; /* beyond the parent's end there are zeroes, whatever lies above it */
        uint32_t cluster = lvs_map_get(&v->map, idx);
        if (cluster) {
            *ret = (struct lvs_source){.kind = LVS_FROM_CLUSTER,
                                       .offset = lvs_cluster_offset(s, cluster),
                                       .n_bytes = s->cluster_bytes,
                                       .depth = depth,
                                       .owner = (struct lvs_volume *)(uintptr_t)v};
            return;
        }
        depth++;
    }
}

/* ---------------------------------------------------------------- compose */

/* A child io of ours on the base device, and the wait for it. */
struct child {
    struct bdev_io *io;
    struct rt_event done;
};

static void child_done(struct bdev_io *io)
{
    struct child *c = io->user;
    rt_event_set(&c->done, io->rc);
}

static int child_get(struct child *c, struct bdev_channel *ch, uint8_t type)
{
    c->done = RT_EVENT_INIT;
    c->io = bdev_io_get(ch);
    if (!c->io)
        return -ENOMEM;
    c->io->type = type;
    c->io->flags = 0;
    c->io->done = child_done;
    c->io->user = c;
    return 0;
}

static int child_start(struct child *c, struct bdev_channel *ch, uint8_t type, uint64_t offset,
                       uint64_t length, const struct iovec *iov, uint32_t n_iov)
{
    int rc = child_get(c, ch, type);
    if (rc)
        return rc;
    c->io->offset = offset;
    c->io->length = length;
    c->io->iov = iov;
    c->io->n_iov = n_iov;
    bdev_submit(c->io);
    return 0;
}

static int child_wait(struct child *c)
{
    int rc = rt_event_wait(&c->done);
    bdev_io_put(c->io);
    c->io = NULL;
    return rc;
}

/* The write that is folded into a new cluster; NULL iov: none. */
struct overlay {
    uint64_t from, to; /* bytes inside the cluster */
    const struct iovec *iov;
    uint32_t n_iov;
};

static void copy_from_iov(void *to, const struct iovec *iov, uint32_t n_iov, uint64_t skip,
                          uint64_t n)
{
    uint8_t *out = to;
    for (uint32_t i = 0; i < n_iov && n; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        uint64_t part = ASH_MIN(iov[i].iov_len - skip, n);
        memcpy(out, (uint8_t *)iov[i].iov_base + skip, part);
        out += part;
        n -= part;
        skip = 0;
    }
}

/* Bytes [from, to) of the source cluster into buf. */
static int read_source(struct lvs_store *s, struct bdev_channel *esnap,
                       const struct lvs_source *src, uint8_t *buf, uint64_t from, uint64_t to)
{
    if (from >= to)
        return 0;
    uint64_t end = src->kind == LVS_FROM_ZERO ? from : ASH_MAX(from, ASH_MIN(to, src->n_bytes));
    memset(buf + (end - from), 0, to - end);
    if (end == from)
        return 0;
    return bdev_read(src->kind == LVS_FROM_ESNAP ? esnap : s->ch, buf, src->offset + from,
                     end - from);
}

/* Bytes [from, to) of the new cluster: source under overlay, in one write. */
static int compose_part(struct lvs_store *s, struct bdev_channel *esnap, uint32_t cluster,
                        const struct lvs_source *src, const struct overlay *ov, uint8_t *buf,
                        uint64_t from, uint64_t to)
{
    uint64_t ov_from = ASH_MIN(ASH_MAX(ov->from, from), to),
             ov_to = ASH_MIN(ASH_MAX(ov->to, from), to);
    int rc = read_source(s, esnap, src, buf, from, ov_from);
    if (rc == 0)
        rc = read_source(s, esnap, src, buf + (ov_to - from), ov_to, to);
    if (rc)
        return rc;
    copy_from_iov(buf + (ov_from - from), ov->iov, ov->n_iov, ov_from - ov->from, ov_to - ov_from);
    return bdev_write(s->ch, buf, lvs_cluster_offset(s, cluster) + from, to - from, 0);
}

/* The device copies inside itself: what the write does not cover, and the write, side by side. */
static int compose_by_copy(struct lvs_store *s, uint32_t cluster, const struct lvs_source *src,
                           const struct overlay *ov)
{
    uint64_t to = lvs_cluster_offset(s, cluster);
    const struct {
        uint8_t type;
        uint64_t from, end;
    } parts[] = {{BDEV_COPY, 0, ov->from},
                 {BDEV_WRITE, ov->from, ov->to},
                 {BDEV_COPY, ov->to, s->cluster_bytes}};
    struct child children[ASH_N_ELEMS(parts)] = {0};
    int rc = 0;
    for (size_t i = 0; i < ASH_N_ELEMS(parts) && rc == 0; i++) {
        struct child *c = &children[i];
        if (parts[i].end > parts[i].from && (rc = child_get(c, s->ch, parts[i].type)) == 0) {
            c->io->offset = to + parts[i].from;
            c->io->length = parts[i].end - parts[i].from;
            c->io->src_offset = src->offset + parts[i].from;
            c->io->iov = parts[i].type == BDEV_WRITE ? ov->iov : NULL;
            c->io->n_iov = parts[i].type == BDEV_WRITE ? ov->n_iov : 0;
            bdev_submit(c->io);
        }
    }
    for (size_t i = 0; i < ASH_N_ELEMS(parts); i++) {
        int part_rc = children[i].io ? child_wait(&children[i]) : 0;
        rc = rc ? rc : part_rc;
    }
    return rc;
}

static int compose(struct lvs_store *s, uint32_t cluster, const struct lvs_source *src,
                   const struct overlay *ov)
{
    struct bdev_channel *esnap = NULL;
    uint32_t step = ASH_MIN(s->cluster_bytes, (uint32_t)COMPOSE_BYTES_MAX);
    int rc = 0;
    if (src->kind == LVS_FROM_ESNAP) {
        esnap = src->owner->esnap_desc ? bdev_channel_get(src->owner->esnap_desc) : NULL;
        if (!esnap)
            return -EIO;
    }
    uint8_t *buf = rt_buf_get(step);
    if (!buf)
        rc = -ENOMEM;
    for (uint64_t at = 0; at < s->cluster_bytes && rc == 0; at += step)
        rc = compose_part(s, esnap, cluster, src, ov, buf, at,
                          ASH_MIN(at + step, (uint64_t)s->cluster_bytes));
    rt_buf_put(buf, step);
    if (esnap)
        bdev_channel_put(esnap);
    return rc;
}

/* Zeroes around the overlay, by the device's own means: for large clusters. */
static int zero_around(struct lvs_store *s, uint32_t cluster, const struct overlay *ov)
{
    uint64_t base = lvs_cluster_offset(s, cluster);
    int rc = 0;
    if (ov->from > 0)
        rc = bdev_write_zeroes(s->ch, base, ov->from, 0);
    if (rc == 0 && ov->to < s->cluster_bytes)
        rc = bdev_write_zeroes(s->ch, base + ov->to, s->cluster_bytes - ov->to, 0);
    return rc;
}

/* Not known by our own books: does the device know that the cluster reads as zeroes? */
static bool device_knows_zero(struct lvs_store *s, uint32_t cluster)
{
    struct bdev_area area;
    bdev_area(s->ch, lvs_cluster_offset(s, cluster), s->cluster_bytes, &area);
    return (area.flags & BDEV_AREA_ZERO) && area.length >= s->cluster_bytes;
}

/* ------------------------------------------------------------ allocation */

/* The new cluster gets its content. When it needs no barrier the user's write may still be in
 * flight on return (data->io set). */
static int fill_cluster(struct pending *p, uint32_t cluster, bool known_zero, struct child *data,
                        bool *ret_barrier)
{
    struct lvs_store *s = p->vol->store;
    struct bdev_io *io = p->io && p->io->type == BDEV_WRITE ? p->io : NULL;
    struct overlay ov = {0};
    struct lvs_source src;
    lvs_source_find(p->vol, p->idx, &src);
    if (io) {
        ov.from = io->offset % s->cluster_bytes;
        ov.to = ov.from + io->length;
        ov.iov = io->iov;
        ov.n_iov = io->n_iov;
    }
    bool whole = ov.to - ov.from == s->cluster_bytes;
    known_zero = known_zero && !SIM_RARELY("allocate: nobody knows that the cluster is zero");
    if (!whole && src.kind == LVS_FROM_ZERO && !known_zero)
        known_zero = device_knows_zero(s, cluster);
    *ret_barrier = !(src.kind == LVS_FROM_ZERO && known_zero);
    if (!whole && *ret_barrier) {
        if (src.kind == LVS_FROM_CLUSTER && bdev_supports(s->ch->bdev, BDEV_COPY))
            return compose_by_copy(s, cluster, &src, &ov);
        if (src.kind != LVS_FROM_ZERO || (s->cluster_bytes <= COMPOSE_BYTES_MAX &&
                                          !SIM_RARELY("allocate: zeroes around the write")))
            return compose(s, cluster, &src, &ov);
        int rc = zero_around(s, cluster, &ov);
        if (rc)
            return rc;
    }
    if (!io)
        return 0;
    int rc = child_start(data, s->ch, BDEV_WRITE, lvs_cluster_offset(s, cluster) + ov.from,
                         io->length, io->iov, io->n_iov);
    if (rc == 0 && *ret_barrier)
        rc = child_wait(data);
    return rc;
}

static int commit_entry(struct pending *p, uint32_t cluster, bool barrier)
{
    struct lvs_commit c = {
        .vol = p->vol, .idx = p->idx, .cluster = cluster, .needs_barrier = barrier};
    rt_step("wait for map entry");
    lvs_commit_start(&c);
    return rt_event_wait(&c.done);
}

int lvs_settle_windows(struct lvs_volume *v)
{
    for (uint64_t w = 0; w < v->map.n_windows && v->has_stale;) {
        struct lvs_window *win = lvs_map_peek(&v->map, w);
        uint64_t idx = w * LVS_EXTENTS_PER_PAGE;
        struct pending *p = pending_find(v, idx);
        if (!win || !atomic_load(&win->stale)) {
            w++;
        } else if (!v->map.rle && !win->page) {
            atomic_store(&win->stale, false); /* no root has ever named it */
        } else if (p) {
            rt_waitq_wait(&p->tasks);
        } else {
            p = pending_begin(v, idx, true, NULL);
            int rc = p ? commit_entry(p, lvs_map_get(&v->map, idx), false) : -ENOMEM;
            if (rc == 0)
                rc = lvs_flush(v->store);
            if (p)
                pending_end(p, rc);
            if (rc)
                return rc;
        }
    }
    v->has_stale = false;
    return 0;
}

static int allocate_with_page(struct pending *p)
{
    struct lvs_store *s = p->vol->store;
    struct child data = {0};
    bool known_zero, barrier;
    uint32_t cluster = lvs_cluster_take(s, &known_zero);
    if (!cluster)
        return -ENOSPC;
    rt_step("fill new cluster");
    int rc = fill_cluster(p, cluster, known_zero, &data, &barrier);
    if (rc) {
        lvs_cluster_give(s, cluster, false);
        return rc;
    }
    rc = commit_entry(p, cluster, barrier);
    int data_rc = data.io ? child_wait(&data) : 0;
    if (rc && rc != -EUCLEAN) /* else the disk may name the cluster: reserved until the next load */
        lvs_cluster_give(s, cluster, false);
    if (rc == 0)
        rc = data_rc;
    if (rc == 0 && p->io && p->io->type == BDEV_WRITE && (p->io->flags & BDEV_FUA))
        rc = lvs_flush(s);
    return rc;
}

static int allocate(struct pending *p)
{
    struct lvs_store *s = p->vol->store;
    struct lvs_window *win = lvs_map_window(&p->vol->map, p->idx / LVS_EXTENTS_PER_PAGE);
    if (!win)
        return -ENOMEM;
    if (!p->vol->map.rle && !win->page && !win->new_page) {
        uint32_t page = lvs_page_take(s, 1);
        if (page == LVS_INVALID_PAGE)
            return -ENOSPC;
        win->new_page = page;
    }
    win->n_pending++;
    int rc = allocate_with_page(p);
    win->n_pending--;
    /* A page that was reserved and never written (or whose root never was) goes back, unless it is
     * uncertain whether a root was, now or before: the volume is faulted then. */
    if (rc == -EUCLEAN && win->new_page && p->vol->state == VOLUME_FAULTED)
        win->new_uncertain = true;
    if (win->n_pending == 0 && win->new_page && !win->new_uncertain) {
        lvs_page_give(s, win->new_page);
        win->new_page = 0;
    }
    return rc == -EUCLEAN ? -EIO : rc;
}

static void allocate_task(void *arg)
{
    struct pending *p = arg;
    struct bdev_io *io = p->io;
    int rc = allocate(p);
    pending_end(p, rc);
    if (rc == 0 && io->type != BDEV_WRITE)
        lvs_io_again(io); /* write zeroes: now there is a cluster to zero in */
    else
        lvs_io_end(io, rc);
}

/* The common way in: nothing to do any more, join, wait for room, or start a task. */
static void enter(struct bdev_io *io, bool is_release, void (*task)(void *arg), const char *name)
{
    struct lvs_volume *v = lvs_io_volume(io);
    uint64_t idx = io->offset / v->store->cluster_bytes;
    bool allocated = lvs_map_get(&v->map, idx) != 0;
    struct pending *p = pending_find(v, idx);
    if (p) {
        ash_list_push_tail(&p->ios, &io->link);
        return; /* the end of p starts others */
    }
    if (allocated != is_release) {
        lvs_io_again(io); /* somebody was quicker */
        start_waiting(v->store);
        return;
    }
    if (v->store->n_pending >= N_PENDING_MAX ||
        (v->store->n_pending && SIM_RARELY("allocate: no room for another"))) {
        ash_list_push_tail(&v->store->alloc_waiting, &io->link);
        return;
    }
    p = pending_begin(v, idx, is_release, io);
    int rc = p ? rt_task_spawn(name, task, p) : -ENOMEM;
    if (rc) {
        if (p)
            pending_end(p, rc);
        lvs_io_end(io, rc);
    }
}

void lvs_alloc_enter(struct bdev_io *io)
{
    enter(io, false, allocate_task, "allocate cluster");
}

int lvs_allocate(struct lvs_volume *v, uint64_t idx)
{
    for (;;) {
        if (v->is_frozen) {
            rt_waitq_wait(&v->store->freeze_q);
            continue;
        }
        struct pending *p = pending_find(v, idx);
        if (p) {
            rt_waitq_wait(&p->tasks); /* p is gone afterwards */
            continue;
        }
        if (lvs_map_get(&v->map, idx))
            return 0;
        p = pending_begin(v, idx, false, NULL);
        if (!p)
            return -ENOMEM;
        v->n_allocating++;
        int rc = allocate(p);
        pending_end(p, rc);
        if (--v->n_allocating == 0)
            rt_waitq_wake_all(&v->store->freeze_q);
        return rc;
    }
}

/* --------------------------------------------------------------- release */

static int release(struct pending *p)
{
    struct lvs_volume *v = p->vol;
    struct lvs_store *s = v->store;
    struct bdev *base = bdev_desc_bdev(s->desc);
    uint32_t cluster = lvs_map_get(&v->map, p->idx);
    bool unmap = bdev_supports(base, BDEV_UNMAP) && lvs_volume_clear(v) != POOL_CLEAR_NONE;
    bool zero = base->unmap_zeroes || s->zeroing == POOL_ZEROING_TRUST_UNMAP;
    /* From here on nobody starts I/O to the cluster; then wait for those who did. Writers that come
     * meanwhile find the entry empty and wait for the end of this change. */
    lvs_map_set(&v->map, p->idx, 0);
    rt_step("wait for I/O to the released cluster");
    bdev_grace(base);
    zero =
        zero && unmap && bdev_unmap(s->ch, lvs_cluster_offset(s, cluster), s->cluster_bytes) == 0;
    int rc = commit_entry(p, 0, false);
    /* Whether the disk still names the cluster is not known: other commits have written the window
     * without it. If it can be put back it is ours as before. */
    if (rc && rc != -EUCLEAN && commit_entry(p, cluster, false) == 0)
        return rc;
    if (rc == 0)
        rc = lvs_flush(s);
    /* A device that may show anything after an unmap gets it when the cluster is nobody's any more,
     * whatever comes in between. */
    if (rc == 0 && unmap && !zero)
        (void)bdev_unmap(s->ch, lvs_cluster_offset(s, cluster), s->cluster_bytes);
    if (rc == 0)
        lvs_cluster_give(s, cluster, zero);
    else
        s->needs_recovery = true; /* the cluster stays reserved until then */
    return rc;
}

static void release_task(void *arg)
{
    struct pending *p = arg;
    struct bdev_io *io = p->io;
    struct lvs_store *s = p->vol->store;
    int rc = release(p);
    uint32_t cluster = lvs_map_get(&p->vol->map, p->idx);
    if (rc && cluster) /* it could not be given back (metadata full?), but zeroed it can be */
        rc = bdev_write_zeroes(s->ch, lvs_cluster_offset(s, cluster), s->cluster_bytes, 0);
    pending_end(p, rc == -EUCLEAN ? -EIO : rc);
    lvs_io_end(io, rc == -EUCLEAN ? -EIO : rc);
}

void lvs_release_enter(struct bdev_io *io)
{
    struct lvs_volume *v = lvs_io_volume(io);
    if (atomic_load(&v->n_no_release) > 0) {
        ((struct lvs_io_ctx *)bdev_io_ctx(io))->no_release = true;
        lvs_io_again(io);
        return;
    }
    enter(io, true, release_task, "release cluster");
}
