/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as bdevs: the data path (docs/spec/blobstore-format.md 8).
 *
 * Reads, and writes to allocated clusters, run on the channel's own reactor: one look into the map
 * and the same io goes down. What changes the map goes to the control reactor (alloc.c) and comes
 * back here. An io never crosses a cluster: the core splits at the boundary.
 *
 * Invariants
 *   - A FLUSH covers the map entries of all writes acknowledged before it: they have been written
 *     before the acknowledgement, and the base's flush follows.
 *   - A FUA write does not rely on an entry that a flush has not covered. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

static inline uint64_t cluster_of(const struct lvs_channel *c, uint64_t offset)
{
    return c->cluster_shift ? offset >> c->cluster_shift : offset / c->cluster_bytes;
}

static void io_submit(struct bdev_channel *ch, struct bdev_io *io);

static void again_job(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    io_submit(io->frame->ch, io);
}

static void end_job(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    bdev_io_done(io, io->rc);
}

void lvs_io_again(struct bdev_io *io)
{
    io->job.run = again_job;
    rt_post(io->frame->ch->reactor, &io->job);
}

void lvs_io_end(struct bdev_io *io, int rc)
{
    io->rc = rc;
    io->job.run = end_job;
    rt_post(io->frame->ch->reactor, &io->job);
}

static void alloc_job(struct rt_job *job)
{
    lvs_alloc_enter(ash_container_of(job, struct bdev_io, job));
}

static void release_job(struct rt_job *job)
{
    lvs_release_enter(ash_container_of(job, struct bdev_io, job));
}

/* Change of the map: the control reactor's work. */
static void to_owner(struct bdev_io *io, void (*run)(struct rt_job *job))
{
    io->job.run = run;
    rt_post(rt_reactor(rt_world(), 0), &io->job);
}

/* ------------------------------------------------------------------ read */

static void zero_iov(const struct iovec *iov, uint32_t n_iov, uint64_t skip)
{
    for (uint32_t i = 0; i < n_iov; i++) {
        uint64_t part = ASH_MIN(skip, (uint64_t)iov[i].iov_len);
        memset((uint8_t *)iov[i].iov_base + part, 0, iov[i].iov_len - part);
        skip -= part;
    }
}

static void copy_to_iov(const struct iovec *iov, uint32_t n_iov, const uint8_t *from, uint64_t n)
{
    for (uint32_t i = 0; i < n_iov && n; i++) {
        uint64_t part = ASH_MIN(n, (uint64_t)iov[i].iov_len);
        memcpy(iov[i].iov_base, from, part);
        from += part;
        n -= part;
    }
}

static void esnap_read_done(struct bdev_io *child)
{
    struct bdev_io *io = child->user;
    int rc = child->rc;
    if (child->iov == &child->one_iov) {
        if (rc == 0)
            copy_to_iov(io->iov, io->n_iov, child->one_iov.iov_base, child->length);
        rt_buf_put(child->one_iov.iov_base, child->length);
    }
    bdev_io_put(child);
    bdev_io_done(io, rc);
}

/* A read from the external device; what lies beyond its end is zeroes. */
static void esnap_read(struct lvs_channel *c, struct bdev_io *io, const struct lvs_source *src,
                       uint64_t in)
{
    uint64_t n = in < src->n_bytes ? ASH_MIN(src->n_bytes - in, io->length) : 0;
    if (n < io->length)
        zero_iov(io->iov, io->n_iov, n);
    if (n == 0) {
        bdev_io_done_soon(io, 0);
        return;
    }
    struct bdev_io *child = c->esnap ? bdev_io_get(c->esnap) : NULL;
    if (!child) {
        bdev_io_done_soon(io, c->esnap ? -ENOMEM : -EIO);
        return;
    }
    child->type = BDEV_READ;
    child->flags = 0;
    child->offset = src->offset + in;
    child->length = n;
    child->iov = io->iov;
    child->n_iov = io->n_iov;
    child->done = esnap_read_done;
    child->user = io;
    if (n < io->length) {
        /* The device ends inside the request, once per device: a bounce buffer will do. */
        child->one_iov = (struct iovec){rt_buf_get(n), n};
        child->iov = &child->one_iov;
        child->n_iov = 1;
        if (!child->one_iov.iov_base) {
            bdev_io_put(child);
            bdev_io_done_soon(io, -ENOMEM);
            return;
        }
    }
    bdev_submit(child);
}

static void read_from_above(struct lvs_channel *c, struct bdev_io *io, uint64_t idx, uint64_t in)
{
    struct lvs_source src;
    lvs_above_find(c, idx, &src);
    switch (src.kind) {
    case LVS_FROM_ZERO:
        zero_iov(io->iov, io->n_iov, 0);
        bdev_io_done_soon(io, 0);
        break;
    case LVS_FROM_CLUSTER:
        bdev_io_pass(io, c->base, src.offset + in, NULL);
        break;
    case LVS_FROM_ESNAP:
        esnap_read(c, io, &src, in);
        break;
    }
}

/* ----------------------------------------------------------------- write */

static void flush_covered(struct lvs_store *s, uint64_t seq)
{
    uint64_t was = atomic_load(&s->md_flushed_seq);
    while (was < seq && !atomic_compare_exchange_weak(&s->md_flushed_seq, &was, seq))
        ;
}

static void fua_flush_done(struct bdev_io *child)
{
    struct bdev_io *io = child->user;
    int rc = child->rc == -ENOTSUP ? 0 : child->rc;
    if (rc == 0)
        flush_covered(lvs_io_volume(io)->store, ((struct lvs_io_ctx *)bdev_io_ctx(io))->seq);
    bdev_io_put(child);
    bdev_io_done(io, rc);
}

/* The data are written; now a flush makes them and the map entry durable. */
static void fua_written(struct bdev_io *io)
{
    struct lvs_channel *c = io->frame->ch->ctx;
    io->flags = ((struct lvs_io_ctx *)bdev_io_ctx(io))->flags;
    struct bdev_io *child = io->rc ? NULL : bdev_io_get(c->base);
    if (!child) {
        bdev_io_done(io, io->rc ? io->rc : -ENOMEM);
        return;
    }
    child->type = BDEV_FLUSH;
    child->flags = 0;
    child->offset = 0;
    child->length = 0;
    child->n_iov = 0;
    child->done = fua_flush_done;
    child->user = io;
    bdev_submit(child);
}

static void pass_write(struct lvs_channel *c, struct bdev_io *io, uint64_t offset)
{
    if (io->flags & BDEV_FUA) {
        struct lvs_store *s = c->vol->store;
        uint64_t seq = atomic_load(&s->md_written_seq);
        if (seq != atomic_load(&s->md_flushed_seq)) {
            struct lvs_io_ctx *ctx = bdev_io_ctx(io);
            ctx->seq = seq;
            ctx->flags = io->flags;
            io->flags &= (uint8_t)~BDEV_FUA;
            bdev_io_pass(io, c->base, offset, fua_written);
            return;
        }
    }
    bdev_io_pass(io, c->base, offset, NULL);
}

/* ------------------------------------------------- unmap and write zeroes */

static bool may_release(struct lvs_volume *v, const struct bdev_io *io, uint64_t idx)
{
    struct lvs_source src;
    if (!lvs_is_thin(v) || io->length != v->store->cluster_bytes || (io->flags & BDEV_NO_HOLE) ||
        ((struct lvs_io_ctx *)bdev_io_ctx((struct bdev_io *)(uintptr_t)io))->no_release ||
        atomic_load(&v->n_no_release) > 0 || SIM_RARELY("unmap: the cluster is kept"))
        return false;
    lvs_source_find(v, idx, &src);
    return src.kind == LVS_FROM_ZERO; /* else the parent's data would show through */
}

static void unmap_passed(struct bdev_io *io)
{
    bdev_io_done(io, io->rc == -ENOTSUP ? 0 : io->rc); /* a hint that the base does not take */
}

static void zeroes_written(struct bdev_io *child)
{
    struct bdev_io *io = child->user;
    int rc = child->rc;
    bdev_io_put(child);
    bdev_io_done(io, rc);
}

/* An unmap that must not leave the choice of contents to a device that may choose anything. */
static void zero_instead(struct lvs_channel *c, struct bdev_io *io, uint64_t offset)
{
    struct bdev_io *child = bdev_io_get(c->base);
    if (!child) {
        bdev_io_done_soon(io, -ENOMEM);
        return;
    }
    child->type = BDEV_WRITE_ZEROES;
    child->flags = 0;
    child->offset = offset;
    child->length = io->length;
    child->n_iov = 0;
    child->done = zeroes_written;
    child->user = io;
    bdev_submit(child);
}

static void submit_unmap(struct lvs_channel *c, struct bdev_io *io, uint64_t idx, uint32_t cluster,
                         uint64_t in)
{
    if (!cluster)
        bdev_io_done_soon(io, 0);
    else if (may_release(c->vol, io, idx))
        to_owner(io, release_job);
    else if (!bdev_supports(c->base->bdev, BDEV_UNMAP))
        bdev_io_done_soon(io, 0);
    else if (!c->base->bdev->unmap_zeroes)
        zero_instead(c, io, lvs_cluster_offset(c->vol->store, cluster) + in);
    else
        bdev_io_pass(io, c->base, lvs_cluster_offset(c->vol->store, cluster) + in, unmap_passed);
}

/* The disk may say that the cluster is there, with data in it. */
static bool is_stale(const struct lvs_volume *v, uint64_t idx)
{
    const struct lvs_window *win = lvs_map_peek(&v->map, idx / LVS_EXTENTS_PER_PAGE);
    return win && atomic_load_explicit(&win->stale, memory_order_relaxed);
}

static void submit_zeroes(struct lvs_channel *c, struct bdev_io *io, uint64_t idx, uint32_t cluster,
                          uint64_t in)
{
    struct lvs_source src;
    if (cluster) {
        if (may_release(c->vol, io, idx))
            to_owner(io, release_job);
        else
            pass_write(c, io, lvs_cluster_offset(c->vol->store, cluster) + in);
        return;
    }
    lvs_source_find(c->vol, idx, &src);
    if (src.kind == LVS_FROM_ZERO && !(io->flags & BDEV_NO_HOLE) && !is_stale(c->vol, idx))
        bdev_io_done_soon(io, 0);
    else if (io->flags & BDEV_FAST)
        bdev_io_done_soon(io, -ENOTSUP);
    else
        to_owner(io, alloc_job);
}

static void flush_passed(struct bdev_io *io)
{
    struct lvs_store *s = lvs_io_volume(io)->store;
    int rc = io->rc == -ENOTSUP ? 0 : io->rc;
    if (rc == 0)
        flush_covered(s, ((struct lvs_io_ctx *)bdev_io_ctx(io))->seq);
    bdev_io_done(io, rc);
}

/* ------------------------------------------------------------------ areas */

static void area_one(struct lvs_channel *c, uint64_t idx, struct bdev_area *ret)
{
    struct lvs_source src;
    if (lvs_map_get(&c->vol->map, idx)) {
        *ret = (struct bdev_area){.flags = 0, .depth = 1};
        return;
    }
    lvs_source_find(c->vol, idx, &src);
    if (src.kind == LVS_FROM_ZERO)
        *ret = (struct bdev_area){.flags = BDEV_AREA_HOLE | BDEV_AREA_ZERO, .depth = 0};
    else
        *ret = (struct bdev_area){.flags = 0, .depth = src.depth};
}

static bool io_ancestor(struct bdev *bdev, uint32_t depth, const char **ret_name, uint64_t *ret_id)
{
    const struct lvs_volume *v = ash_container_of(bdev, struct lvs_volume, bdev);
    for (uint32_t d = 1; v && d < depth; d++)
        v = v->parent;
    if (!v)
        return false;
    *ret_name = v->name;
    *ret_id = v->root.blob_id;
    return true;
}

static uint32_t io_ancestor_depth(struct bdev_channel *ch, uint64_t id)
{
    const struct lvs_volume *v = ((struct lvs_channel *)ch->ctx)->vol->parent;
    for (uint32_t d = 2; v; v = v->parent, d++)
        if (v->root.blob_id == id)
            return d;
    return 0;
}

enum { N_AREA_CLUSTERS_MAX = 1 << 16 }; /* looked at in one call */

static void io_area(struct bdev_channel *ch, uint64_t offset, uint64_t length,
                    struct bdev_area *ret)
{
    struct lvs_channel *c = ch->ctx;
    struct lvs_store *s = c->vol->store;
    uint64_t idx = cluster_of(c, offset), end = idx * c->cluster_bytes, stop = offset + length;
    struct bdev_area one;
    area_one(c, idx, ret);
    for (unsigned n = 0; n < N_AREA_CLUSTERS_MAX; n++) {
        end += s->cluster_bytes;
        if (end >= stop)
            break;
        area_one(c, ++idx, &one);
        if (one.flags != ret->flags || one.depth != ret->depth)
            break;
    }
    ret->length = ASH_MIN(end, stop) - offset;
}

static void submit_seek(struct bdev_channel *ch, struct bdev_io *io)
{
    struct bdev_area area;
    uint64_t at = io->offset;
    bool want_hole = io->type == BDEV_SEEK_HOLE;
    io->offset_result = UINT64_MAX;
    while (at < ch->bdev->size_bytes) {
        io_area(ch, at, ch->bdev->size_bytes - at, &area);
        if (!!(area.flags & BDEV_AREA_HOLE) == want_hole) {
            io->offset_result = at;
            break;
        }
        at += area.length;
    }
    bdev_io_done_soon(io, 0);
}

/* ------------------------------------------------------------- dispatch */

static void submit_other(struct bdev_channel *ch, struct bdev_io *io)
{
    struct lvs_channel *c = ch->ctx;
    switch (io->type) {
    case BDEV_FLUSH:
        ((struct lvs_io_ctx *)bdev_io_ctx(io))->seq = atomic_load(&c->vol->store->md_written_seq);
        if (bdev_supports(c->base->bdev, BDEV_FLUSH))
            bdev_io_pass(io, c->base, 0, flush_passed);
        else
            bdev_io_done_soon(io, 0);
        break;
    case BDEV_RESET:
        bdev_io_done_soon(io, 0); /* the core has drained; there is nothing of ours to reset */
        break;
    case BDEV_SEEK_DATA:
    case BDEV_SEEK_HOLE:
        submit_seek(ch, io);
        break;
    default:
        bdev_io_done_soon(io, -ENOTSUP);
        break;
    }
}

static void io_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct lvs_channel *c = ch->ctx;
    if (io->type != BDEV_READ && io->type != BDEV_WRITE && io->type != BDEV_UNMAP &&
        io->type != BDEV_WRITE_ZEROES) {
        submit_other(ch, io);
        return;
    }
    if (io->length == 0) {
        bdev_io_done_soon(io, 0);
        return;
    }
    uint64_t idx = cluster_of(c, io->offset);
    uint64_t in = io->offset - idx * c->cluster_bytes;
    ASH_ASSERT(idx < c->vol->map.n_clusters && in + io->length <= c->cluster_bytes);
    uint32_t cluster = lvs_map_get(&c->vol->map, idx);
    if (io->type != BDEV_READ &&
        atomic_load_explicit(&c->vol->refuses_writes, memory_order_relaxed)) {
        bdev_io_done_soon(io, -EIO);
        return;
    }
    switch (io->type) {
    case BDEV_READ:
        if (cluster)
            bdev_io_pass(io, c->base, (uint64_t)cluster * c->cluster_bytes + in, NULL);
        else
            read_from_above(c, io, idx, in);
        break;
    case BDEV_WRITE:
        if (cluster)
            pass_write(c, io, (uint64_t)cluster * c->cluster_bytes + in);
        else
            to_owner(io, alloc_job);
        break;
    case BDEV_UNMAP:
        submit_unmap(c, io, idx, cluster, in);
        break;
    default:
        submit_zeroes(c, io, idx, cluster, in);
        break;
    }
}

/* -------------------------------------------------------------- channels */

/* A channel may be opened on any reactor while the chain above is being changed: it must not walk
 * it. It takes what was published last, and the refresh that follows a change finds it. */
static void publish_chain_end(struct lvs_volume *v)
{
    struct lvs_volume *owner = lvs_esnap_owner(v);
    atomic_store_explicit(&v->chain_desc, owner ? owner->esnap_desc : NULL, memory_order_release);
}

static int channel_take_esnap(struct lvs_channel *c)
{
    struct bdev_desc *desc = atomic_load_explicit(&c->vol->chain_desc, memory_order_acquire);
    c->esnap = desc ? bdev_channel_get(desc) : NULL;
    return desc && !c->esnap ? -ENOMEM : 0;
}

static int io_channel_init(struct bdev_channel *ch)
{
    struct lvs_channel *c = ch->ctx;
    c->vol = ash_container_of(ch->bdev, struct lvs_volume, bdev);
    c->cluster_bytes = c->vol->store->cluster_bytes;
    c->cluster_shift = c->vol->store->cluster_shift;
    c->base = bdev_channel_get(c->vol->store->desc);
    if (!c->base)
        return -ENOMEM;
    int rc = channel_take_esnap(c);
    if (rc)
        bdev_channel_put(c->base);
    return rc;
}

static void io_channel_fini(struct bdev_channel *ch)
{
    struct lvs_channel *c = ch->ctx;
    lvs_above_drop(c);
    if (c->esnap)
        bdev_channel_put(c->esnap);
    bdev_channel_put(c->base);
}

static void refresh_channel(struct bdev_channel *ch, void *arg)
{
    struct lvs_channel *c = ch->ctx;
    struct bdev_channel *old = c->esnap;
    /* Without memory the channel stays without external device: its reads fail, nothing else does.
     */
    (void)channel_take_esnap(c);
    if (old)
        bdev_channel_put(old);
}

void lvs_bdev_refresh(struct lvs_volume *root)
{
    for (struct lvs_volume *v = root; v; v = lvs_tree_next(root, v))
        if (v->has_bdev) {
            publish_chain_end(v);
            bdev_for_each_channel(&v->bdev, refresh_channel, NULL);
        }
}

static ASH_MAY_WAIT void thaw_one(struct lvs_volume *v)
{
    v->is_frozen = false;
    if (v->has_bdev)
        bdev_unquiesce(&v->bdev, 0, 0);
}

int lvs_freeze_tree(struct lvs_volume *root)
{
    struct lvs_store *s = root->store;
    ASH_ASSERT(s->tree_lock.owner == rt_task_self());
    rt_step("quiesce volumes");
    atomic_fetch_add(&s->tree_seq, 1);
    for (struct lvs_volume *v = root; v; v = lvs_tree_next(root, v)) {
        int rc = v->has_bdev ? bdev_quiesce(&v->bdev, 0, 0) : 0;
        if (rc) {
            while ((v = lvs_tree_prev(root, v)))
                thaw_one(v);
            rt_waitq_wake_all(&s->freeze_q);
            return rc;
        }
        v->is_frozen = true;
    }
    /* Copiers work beside the bdev: those that have begun end, others wait for the thaw. */
    for (struct lvs_volume *v = root; v; v = lvs_tree_next(root, v))
        while (v->n_allocating > 0)
            rt_waitq_wait(&s->freeze_q);
    /* A write that was still under way has failed, and nobody knows what the disk says. */
    if (root->state == VOLUME_FAULTED || root->has_stale) {
        lvs_thaw_tree(root);
        return -EIO;
    }
    return 0;
}

void lvs_thaw_tree(struct lvs_volume *root)
{
    atomic_fetch_add(&root->store->tree_seq, 1);
    for (struct lvs_volume *v = root; v; v = lvs_tree_next(root, v))
        if (v->is_frozen)
            thaw_one(v);
    rt_waitq_wake_all(&root->store->freeze_q);
}

/* ---------------------------------------------------------------- module */

static bool io_supports(struct bdev *bdev, enum bdev_io_type type)
{
    switch (type) {
    case BDEV_READ:
    case BDEV_FLUSH:
    case BDEV_RESET:
    case BDEV_SEEK_DATA:
    case BDEV_SEEK_HOLE:
        return true;
    case BDEV_WRITE:
    case BDEV_UNMAP:
    case BDEV_WRITE_ZEROES:
        return !bdev->read_only;
    default:
        return false;
    }
}

static void io_destroy(struct bdev *bdev)
{
    struct lvs_volume *v = ash_container_of(bdev, struct lvs_volume, bdev);
    v->has_bdev = false;
    rt_waitq_wake_all(&v->store->bdev_q);
}

static struct bdev *io_lower(struct bdev *bdev, unsigned idx)
{
    struct lvs_volume *v = ash_container_of(bdev, struct lvs_volume, bdev);
    struct lvs_volume *owner = lvs_esnap_owner(v);
    if (idx == 0)
        return bdev_desc_bdev(v->store->desc);
    return idx == 1 && owner && owner->esnap_desc ? bdev_desc_bdev(owner->esnap_desc) : NULL;
}

static void io_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    const struct lvs_volume *v = ash_container_of(bdev, struct lvs_volume, bdev);
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_jsonw_obj(w, "lvol");
    ash_jsonw_str(w, "lvol_store_uuid", ash_uuid_format(&v->store->uuid, uuid));
    ash_jsonw_str(w, "base_bdev", v->store->base_name);
    ash_jsonw_bool(w, "thin_provision", lvs_is_thin(v));
    ash_jsonw_u64(w, "num_allocated_clusters", v->map.n_used);
    ash_jsonw_bool(w, "snapshot", v->had_clone);
    ash_jsonw_bool(w, "clone", v->parent != NULL);
    if (v->parent)
        ash_jsonw_str(w, "base_snapshot", v->parent->name);
    if (!ash_list_empty(&v->clones)) {
        ash_jsonw_arr(w, "clones");
        ash_list_for_each (l, &v->clones)
            ash_jsonw_str(w, NULL, ash_list_entry(l, struct lvs_volume, clone_link)->name);
        ash_jsonw_arr_end(w);
    }
    ash_jsonw_bool(w, "esnap_clone", v->root.invalid_flags & LVS_INVALID_ESNAP);
    if (v->root.invalid_flags & LVS_INVALID_ESNAP)
        ash_jsonw_str(w, "external_snapshot_name", v->esnap_id);
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops lvol_ops = {
    .submit = io_submit,
    .supports = io_supports,
    .channel_init = io_channel_init,
    .channel_fini = io_channel_fini,
    .area = io_area,
    .ancestor = io_ancestor,
    .ancestor_depth = io_ancestor_depth,
    .destroy = io_destroy,
    .lower = io_lower,
    .dump = io_dump,
};

int lvs_bdev_register(struct lvs_volume *v, struct ash_err *err)
{
    ASH_ASSERT(!v->has_bdev);
    if (v->store->is_closing) /* an operation that began before */
        return ash_err_set(err, ASH_E_POOL_BUSY, v->name, "pool '%s' is being closed",
                           v->store->name);
    struct bdev *base = bdev_desc_bdev(v->store->desc);
    v->bdev = (struct bdev){
        .name = v->unique_id,
        .product_name = "Logical Volume",
        .ops = &lvol_ops,
        .module = &lvs_bdev_module,
        .uuid = v->uuid,
        .block_bytes = v->store->io_unit_bytes,
        .phys_block_bytes = ASH_MAX(base->phys_block_bytes, v->store->io_unit_bytes),
        .size_bytes = v->map.n_clusters * v->store->cluster_bytes,
        .align_bytes = base->align_bytes,
        .boundary_bytes = v->store->cluster_bytes,
        .read_only =
            lvs_is_read_only(v) || lvs_is_foreign(v) || v->must_stay || v->store->read_only,
        .volatile_cache = true,
        .unmap_zeroes = false,
        .fast_zeroes = lvs_is_thin(v) || base->fast_zeroes,
        .rotational = base->rotational,
        .io_ctx_bytes = sizeof(struct lvs_io_ctx),
        .lower_stack_bytes = base->stack_bytes,
        .channel_ctx_bytes = sizeof(struct lvs_channel),
        .reset_drain_ns = UINT64_C(5000000000),
    };
    publish_chain_end(v);
    int rc = bdev_register(v->store->bdevs, &v->bdev, err);
    if (rc)
        return rc;
    v->has_bdev = true;
    rc = bdev_alias_add(&v->bdev, v->alias);
    if (rc == -ENOMEM) {
        bdev_unregister(&v->bdev);
        return ash_err_set(err, ASH_E_NO_MEMORY, v->name, "no memory for the alias of volume '%s'",
                           v->name);
    }
    return 0; /* an alias that is taken by another device is missed by nobody: the unique id works
               */
}

void lvs_bdev_unregister(struct lvs_volume *v)
{
    if (!v->has_bdev)
        return;
    if (bdev_unregister(&v->bdev) == 0)
        ASH_ASSERT(!v->has_bdev);
    else /* somebody else is at it: he who asks here may rely on the end of it, too */
        while (v->has_bdev)
            rt_waitq_wait(&v->store->bdev_q);
}

void lvs_bdevs_leave(struct lvs_store *s, bool (*leaves)(struct lvs_volume *v, const void *arg),
                     const void *arg)
{
    ASH_ASSERT(s->tree_lock.owner == rt_task_self());
    struct ash_list *l = s->volumes.prev;
    while (l != &s->volumes) {
        struct lvs_volume *v = ash_list_entry(l, struct lvs_volume, link);
        uint64_t seq = s->n_unlinked;
        if (!v->has_bdev || !leaves(v, arg)) {
            l = l->prev;
            continue;
        }
        rt_mutex_unlock(&s->tree_lock);
        if (bdev_unregister(&v->bdev) != 0) /* somebody else is at it; v may go with the bdev */
            rt_waitq_wait(&s->bdev_q);
        rt_mutex_lock(&s->tree_lock);
        if (s->n_unlinked != seq)
            l = s->volumes.prev;
    }
}

static void module_examine_config(struct bdev_mgr *mgr, struct bdev *bdev)
{
    if (bdev_mgr_pools(mgr))
        lvs_esnap_examine(bdev_mgr_pools(mgr), bdev);
}

static void module_examine_disk(struct bdev_mgr *mgr, struct bdev *bdev)
{
    if (bdev_mgr_pools(mgr))
        lvs_examine(mgr, bdev);
}

struct bdev_module lvs_bdev_module = {
    .name = "lvol",
    .examine_config = module_examine_config,
    .examine_disk = module_examine_disk,
};
