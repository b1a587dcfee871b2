/* SPDX-License-Identifier: Apache-2.0 */
/* Logical volumes as bdevs: lvm:///VG/LV?pvs=DEVICE,DEVICE... A map (map.h) says for each byte
 * where it lies; the core cuts requests so that each lies in one place.
 *
 * The device opens its PVs itself and claims none of them: other LVs share them. When one of them
 * goes, it goes too. What was on a leg of a raid 4, 5 or 6 that is lost is rebuilt for each read
 * (rebuild.h), not restored. Writes to a raid1 go to all legs (mirror.h). What else would need more
 * than one write (old mirrors, raid with parity, raid10, origins of snapshots) is read-only.
 * Source: docs/spec/lvm2-format.md 13, dm-formats.md 9. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/mod/vbdev.h"
#include "pool/lvm/map.h"
#include "pool/lvm/mirror.h"
#include "pool/lvm/rebuild.h"
#include "pool/pool_internal.h"

struct lv_dev {
    struct vbdev v; /* its base is the first PV */
    struct lvm_map *map;
    unsigned n_pvs;
    struct bdev_desc **others; /* of PVs 1, 2 ... */
    const char *why_read_only; /* static text, NULL: it is not, or for the PVs */
    struct lvm_mirror *mirror; /* a raid1 that is written to; else NULL */
};

struct lv_channel {
    struct vbdev_channel first;
    struct bdev_channel *pvs[]; /* all; [0] is first.lower */
};

/* A flush goes to one PV after the other. */
struct flush_ctx {
    uint32_t n_done;
    int32_t rc; /* of the first that failed */
    bool is_passed;
};

static struct lv_dev *lv_of(const struct bdev *bdev)
{
    return ash_container_of(vbdev_of(bdev), struct lv_dev, v);
}

/* -------------------------------------------------------------------- I/O */

static void flush_next(struct bdev_io *io);

static void flushed(struct bdev_io *io)
{
    struct flush_ctx *f = bdev_io_ctx(io);
    struct lv_dev *d = lv_of(io->frame->ch->bdev);
    if (io->rc && !f->rc)
        f->rc = io->rc;
    if (io->rc && d->mirror)
        lvm_mirror_fail(d->mirror);
    f->n_done++;
    f->is_passed = true;
    flush_next(io);
}

static void flush_next(struct bdev_io *io)
{
    struct bdev_channel *ch = io->frame->ch;
    struct lv_channel *c = ch->ctx;
    struct flush_ctx *f = bdev_io_ctx(io);
    while (f->n_done < lv_of(ch->bdev)->n_pvs &&
           !bdev_supports(c->pvs[f->n_done]->bdev, BDEV_FLUSH))
        f->n_done++; /* it has nothing to flush */
    if (f->n_done == lv_of(ch->bdev)->n_pvs && !f->is_passed)
        bdev_io_done_soon(io, 0);
    else if (f->n_done == lv_of(ch->bdev)->n_pvs)
        bdev_io_done(io, f->rc);
    else
        bdev_io_pass(io, c->pvs[f->n_done], 0, flushed);
}

static void submit_nowhere(struct bdev_io *io, enum lvm_place_kind kind)
{
    if (kind == LVM_PLACE_ZERO && io->type == BDEV_READ)
        bdev_iov_zero(io->iov, io->n_iov);
    bdev_io_done_soon(io, kind == LVM_PLACE_ZERO ? 0 : -EIO);
}

static void submit_lost(struct lv_dev *d, struct lv_channel *c, struct bdev_io *io)
{
    struct lvm_lost lost;
    if (io->type != BDEV_READ) { /* the device says that it is read-only */
        bdev_io_done_soon(io, -EPERM);
        return;
    }
    lvm_map_lost(d->map, io->offset, &lost);
    lvm_rebuild_read(io, &lost, c->pvs);
}

static void lv_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct lv_channel *c = ch->ctx;
    struct lv_dev *d = lv_of(ch->bdev);
    if (io->type == BDEV_FLUSH) {
        *(struct flush_ctx *)bdev_io_ctx(io) = (struct flush_ctx){0};
        flush_next(io);
        return;
    }
    if (io->length == 0) {
        bdev_io_done_soon(io, 0);
        return;
    }
    if (d->mirror && io->type == BDEV_WRITE) {
        lvm_mirror_write(d->mirror, io);
        return;
    }
    struct lvm_place at = lvm_map_find(d->map, io->offset);
    ASH_ASSERT(io->length <= at.length);
    if (at.kind == LVM_PLACE_PV)
        bdev_io_pass(io, c->pvs[at.pv], at.offset, NULL);
    else if (at.kind == LVM_PLACE_LOST)
        submit_lost(d, c, io);
    else
        submit_nowhere(io, at.kind);
}

static void lv_area(struct bdev_channel *ch, uint64_t offset, uint64_t length,
                    struct bdev_area *ret)
{
    struct lv_channel *c = ch->ctx;
    struct lvm_place at = lvm_map_find(lv_of(ch->bdev)->map, offset);
    length = ASH_MIN(length, at.length);
    if (at.kind == LVM_PLACE_PV)
        bdev_area(c->pvs[at.pv], at.offset, length, ret);
    else
        *ret = (struct bdev_area){
            .length = length,
            .depth = 1,
            .flags = at.kind == LVM_PLACE_ZERO ? BDEV_AREA_HOLE | BDEV_AREA_ZERO : 0};
}

static bool lv_supports(struct bdev *bdev, enum bdev_io_type type)
{
    const struct lv_dev *d = lv_of(bdev);
    if (type == BDEV_FLUSH)
        return true;
    if (d->mirror && type != BDEV_READ && type != BDEV_WRITE)
        return false; /* what is unmapped could differ from leg to leg */
    const uint32_t types =
        1u << BDEV_READ | 1u << BDEV_WRITE | 1u << BDEV_UNMAP | 1u << BDEV_WRITE_ZEROES;
    bool all = (types >> type & 1) && bdev_supports(d->v.base, type);
    for (unsigned i = 1; i < d->n_pvs; i++)
        all = all && bdev_supports(bdev_desc_bdev(d->others[i - 1]), type);
    return all;
}

static void lv_channel_fini(struct bdev_channel *ch)
{
    struct lv_channel *c = ch->ctx;
    for (unsigned i = 0; i < lv_of(ch->bdev)->n_pvs && c->pvs[i]; i++)
        bdev_channel_put(c->pvs[i]);
}

static int lv_channel_init(struct bdev_channel *ch)
{
    struct lv_channel *c = ch->ctx;
    const struct lv_dev *d = lv_of(ch->bdev);
    for (unsigned i = 0; i < d->n_pvs; i++) {
        c->pvs[i] = bdev_channel_get(i ? d->others[i - 1] : d->v.base_desc);
        if (!c->pvs[i]) {
            lv_channel_fini(ch);
            return -ENOMEM;
        }
    }
    c->first.lower = c->pvs[0];
    return 0;
}

static struct bdev *lv_lower(struct bdev *bdev, unsigned idx)
{
    const struct lv_dev *d = lv_of(bdev);
    if (idx >= d->n_pvs)
        return NULL;
    return idx ? bdev_desc_bdev(d->others[idx - 1]) : d->v.base;
}

static void lv_free(struct lv_dev *d) ASH_MAY_WAIT
{
    lvm_mirror_close(d->mirror);
    for (unsigned i = 1; i < d->n_pvs && d->others; i++)
        if (d->others[i - 1])
            bdev_close(d->others[i - 1]);
    vbdev_fini(&d->v);
    rt_free(d->others);
    lvm_map_free(d->map);
    rt_free(d);
}

static void lv_destroy(struct bdev *bdev)
{
    lv_free(lv_of(bdev));
}

static void lv_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    const struct lv_dev *d = lv_of(bdev);
    unsigned n;
    const char *const *names = lvm_map_pvs(d->map, &n);
    ash_jsonw_obj(w, "lvm");
    ash_jsonw_arr(w, "pvs");
    for (unsigned i = 0; i < n; i++)
        ash_jsonw_str(w, NULL, names[i]);
    ash_jsonw_arr_end(w);
    if (d->why_read_only)
        ash_jsonw_str(w, "read_only_because", d->why_read_only);
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops lv_ops = {
    .submit = lv_submit,
    .supports = lv_supports,
    .channel_init = lv_channel_init,
    .channel_fini = lv_channel_fini,
    .area = lv_area,
    .lower = lv_lower,
    .destroy = lv_destroy,
    .dump = lv_dump,
};

/* ----------------------------------------------------------------- making */

static void pv_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct lv_dev *d = bdev_desc_user(desc);
    if (ev == BDEV_EVENT_REMOVE && d->v.bdev.core)
        vbdev_leave(&d->v);
}

static int open_others(struct lv_dev *d, struct bdev_mgr *mgr, const char *const *names,
                       struct ash_err *err) ASH_MAY_WAIT
{
    struct bdev *b = &d->v.bdev;
    int rc = 0;
    d->others = rt_alloc(d->n_pvs * sizeof(struct bdev_desc *));
    if (!d->others)
        return ash_err_set(err, ASH_E_NO_MEMORY, b->name, "no memory for device '%s'", b->name);
    for (unsigned i = 1; i < d->n_pvs && rc == 0; i++) {
        rc = bdev_open(mgr, names[i], BDEV_OPEN_READ, "lvm", pv_event, d, &d->others[i - 1], err);
        if (rc)
            break;
        const struct bdev *pv = bdev_desc_bdev(d->others[i - 1]);
        b->block_bytes = ASH_MAX(b->block_bytes, pv->block_bytes);
        b->phys_block_bytes = ASH_MAX(b->phys_block_bytes, pv->phys_block_bytes);
        b->align_bytes = ASH_MAX(b->align_bytes, pv->align_bytes);
        b->lower_stack_bytes = ASH_MAX(b->lower_stack_bytes, pv->stack_bytes);
        b->reset_drain_ns = ASH_MAX(b->reset_drain_ns, pv->reset_drain_ns);
        b->read_only |= pv->read_only;
        b->volatile_cache |= pv->volatile_cache;
        b->unmap_zeroes &= pv->unmap_zeroes;
        b->fast_zeroes &= pv->fast_zeroes;
    }
    return rc;
}

static int open_mirror(struct lv_dev *d, struct bdev_mgr *mgr, struct ash_err *err) ASH_MAY_WAIT
{
    struct bdev *b = &d->v.bdev;
    struct lvm_place metas[LVM_RAID_LEGS_MAX];
    if (b->read_only || !lvm_map_metas(d->map, metas))
        return 0;
    int rc = lvm_mirror_open(mgr, b->name, d->map, &d->mirror, &d->why_read_only, err);
    b->read_only |= d->why_read_only != NULL;
    if (d->mirror) {
        uint64_t region = lvm_mirror_region_bytes(d->mirror); /* a power of two */
        while (b->boundary_bytes % region)
            region /= 2;
        b->boundary_bytes = region;
    }
    return rc;
}

static void name_it(struct lv_dev *d, const struct lvm_lv *lv)
{
    struct bdev *b = &d->v.bdev;
    b->product_name = "LVM logical volume";
    b->size_bytes = lvm_map_size(d->map);
    b->boundary_bytes = lvm_map_boundary(d->map);
    if (lvm_map_has_lost(d->map) && (!b->max_rw_bytes || b->max_rw_bytes > LVM_REBUILD_MAX_BYTES))
        b->max_rw_bytes = LVM_REBUILD_MAX_BYTES;
    b->io_ctx_bytes = ASH_MAX(sizeof(struct flush_ctx), sizeof(struct lvm_mirror_io));
    b->channel_ctx_bytes = (uint32_t)(sizeof(struct lv_channel) + d->n_pvs * sizeof(void *));
    vbdev_derive_uuid(&d->v, &(struct ash_uuid){{0}}, "5a1e4b7c-1f0d-4c58-9d5e-8f7a6c3b2d10",
                      lv->id.c, sizeof(lv->id.c));
}

static int register_lv(struct bdev_mgr *mgr, const char *name, const struct lvm_lv *lv,
                       bool read_only, struct lvm_map *map, struct ash_err *err) ASH_MAY_WAIT
{
    unsigned n_pvs;
    const char *const *pvs = lvm_map_pvs(map, &n_pvs);
    struct lv_dev *d = n_pvs ? rt_alloc(sizeof(*d)) : NULL;
    if (!d) {
        lvm_map_free(map);
        return n_pvs ? ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for device '%s'", name)
                     : ash_err_set(err, ASH_E_LVM_LV_TYPE, name, "LV '%s' is on no device", name);
    }
    d->map = map;
    d->n_pvs = n_pvs;
    d->v.no_claim = d->v.fixed_size = true;
    int rc = vbdev_init(&d->v, mgr, name, pvs[0], &lvm_uri_module, &lv_ops, err);
    if (rc == 0)
        rc = open_others(d, mgr, pvs, err);
    if (rc == 0) {
        name_it(d, lv);
        d->why_read_only = lvm_map_why_read_only(map);
        d->v.bdev.read_only |= read_only || d->why_read_only;
        rc = open_mirror(d, mgr, err);
    }
    if (rc == 0)
        rc = bdev_register(mgr, &d->v.bdev, err);
    if (rc)
        lv_free(d);
    return rc;
}

/* -------------------------------------------------------------------- URI */

struct lvm_params {
    char *pvs;
    bool read_only;
};

static const struct ash_param lvm_table[] = {
    ASH_PARAM(struct lvm_params, pvs, ASH_P_STR, 0, NULL,
              "devices of the VG: names or paths, separated by commas"),
    ASH_PARAM(struct lvm_params, read_only, ASH_P_FLAG, 0, NULL, "nothing is written"),
    {.name = NULL},
};

/* A device by its name, or a file by its path. */
static int add_pv(struct lvm_set *set, const char *text, struct ash_err *err) ASH_MAY_WAIT
{
    struct ash_buf uri ASH_CLEANUP(ash_buf_free) = {0};
    char *name = NULL;
    if (bdev_find(set->bdevs, text))
        return lvm_set_add(set, text, text, false, err);
    ash_buf_fmt(&uri, "aio://%s", text);
    if (uri.failed)
        return ash_err_set(err, ASH_E_NO_MEMORY, text, "no memory");
    int rc = bdev_create_uri(set->bdevs, ash_buf_text(&uri), &name, err);
    if (rc == 0)
        rc = lvm_set_add(set, name, text, false, err);
    rt_free(name);
    return rc;
}

static int add_pvs(struct lvm_set *set, char *list, struct ash_err *err) ASH_MAY_WAIT
{
    int rc = 0;
    for (char *at = list; at && rc == 0;) {
        char *comma = strchr(at, ',');
        if (comma)
            *comma = 0;
        rc = add_pv(set, at, err);
        at = comma ? comma + 1 : NULL;
    }
    return rc ? rc : lvm_set_scan(set, err);
}

static int find_lv(struct lvm_set *set, const char *name, struct lvm_lv **ret_lv,
                   struct ash_err *err)
{
    const char *slash = strchr(name, '/');
    char vg[128];
    struct lvm_group *g = NULL;
    *ret_lv = NULL;
    if (slash && (size_t)(slash - name) < sizeof(vg)) {
        snprintf(vg, sizeof(vg), "%.*s", (int)(slash - name), name);
        g = lvm_group_find(set, vg);
    }
    if (g)
        *ret_lv = lvm_lv_find(g->vg, slash + 1);
    if (!*ret_lv)
        return ash_err_set(err, ASH_E_LVM_LV_NOT_FOUND, name, "no logical volume '%s' is there",
                           name);
    if (!((*ret_lv)->flags & LVM_VISIBLE))
        return ash_err_set(err, ASH_E_LVM_LV_TYPE, name, "LV '%s' is a part of another", name);
    if (g->vg->flags & LVM_EXPORTED)
        return ash_err_set(err, ASH_E_LVM_VG_EXPORTED, name, "Volume group %s is exported", vg);
    if (g->has_duplicates)
        return ash_err_set(err, ASH_E_LVM_VG_DUPLICATES, name,
                           "a physical volume of %s is there twice", vg);
    return 0;
}

static int lvm_uri_name(const struct bdev_uri *uri, char **ret_name, struct ash_err *err)
{
    if (uri->n_segments != 2)
        return bdev_uri_invalid(uri, "the path must be /VG/LV", err);
    *ret_name = rt_strdup(uri->path + 1);
    return *ret_name ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, uri->text, "no memory");
}

static int open_lv(struct bdev_mgr *mgr, const char *name, struct lvm_params *p,
                   struct ash_err *err) ASH_MAY_WAIT
{
    struct lvm_set *set = lvm_set_new(mgr);
    struct lvm_map *map;
    struct lvm_lv *lv;
    if (!set)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory");
    int rc = add_pvs(set, p->pvs, err);
    if (rc == 0)
        rc = find_lv(set, name, &lv, err);
    if (rc == 0)
        rc = lvm_map_new(lv, &map, err);
    if (rc == 0)
        rc = register_lv(mgr, name, lv, p->read_only, map, err);
    lvm_set_free(set);
    return rc;
}

static int lvm_uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                          char **ret_name, struct ash_err *err)
{
    struct lvm_params *p = params;
    char *name;
    int rc = lvm_uri_name(uri, &name, err);
    if (rc)
        return rc;
    if (!p->pvs || !*p->pvs)
        rc = bdev_uri_invalid(uri, "'pvs' must be specified", err);
    else if (bdev_find(mgr, name))
        rc = bdev_uri_exists(name, err);
    else
        rc = open_lv(mgr, name, p, err);
    return bdev_uri_result(rc, name, ret_name);
}

static const char *const lvm_schemes[] = {"lvm", NULL};

struct bdev_module lvm_uri_module = {
    .name = "lvm",
    .schemes = lvm_schemes,
    .uri_help = "lvm:///VG/LV?pvs=DEVICE,DEVICE...",
    .uri_params = lvm_table,
    .uri_params_bytes = sizeof(struct lvm_params),
    .uri_create = lvm_uri_create,
    .uri_name = lvm_uri_name,
};
