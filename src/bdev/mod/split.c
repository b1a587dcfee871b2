/* SPDX-License-Identifier: Apache-2.0 */
/* A device in equal parts: BASEp0, BASEp1 ... A remainder at the end stays unused.
 * The first part holds the claim of the base for all; parts go from the last to the first.
 * Source: docs/spec/spdk-jsonrpc.md 6. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "bdev/mod/vbdev.h"

struct part {
    struct vbdev v;
    uint64_t offset;
};

struct split_cfg {
    struct vbdev_cfg c; /* name and base: the base as given */
    uint32_t count;
    uint64_t size_mb;
};

static struct part *part_of(const struct bdev *bdev)
{
    return ash_container_of(vbdev_of(bdev), struct part, v);
}

static void copy_done(struct bdev_io *io)
{
    io->src_offset -= part_of(io->frame->ch->bdev)->offset;
    bdev_io_done(io, io->rc);
}

/* What lies behind the end of the part is none of its own. */
static void seek_done(struct bdev_io *io)
{
    struct bdev *bdev = io->frame->ch->bdev;
    uint64_t start = part_of(bdev)->offset;
    if (io->rc == 0 && io->offset_result != UINT64_MAX)
        io->offset_result =
            io->offset_result - start < bdev->size_bytes ? io->offset_result - start : UINT64_MAX;
    bdev_io_done(io, io->rc);
}

static void part_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    uint64_t start = part_of(ch->bdev)->offset;
    void (*pop)(struct bdev_io * io) = NULL;
    if (io->type == BDEV_COPY) {
        io->src_offset += start;
        pop = copy_done;
    } else if (io->type == BDEV_SEEK_DATA || io->type == BDEV_SEEK_HOLE) {
        pop = seek_done;
    }
    bdev_io_pass(io, vbdev_lower(ch), io->offset + start, pop);
}

static void part_area(struct bdev_channel *ch, uint64_t offset, uint64_t length,
                      struct bdev_area *ret)
{
    bdev_area(vbdev_lower(ch), offset + part_of(ch->bdev)->offset, length, ret);
}

static void part_destroy(struct bdev *bdev)
{
    struct part *p = part_of(bdev);
    vbdev_fini(&p->v);
    rt_free(p);
}

static void part_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, "split");
    ash_jsonw_str(w, "base_bdev", vbdev_of(bdev)->base->name);
    ash_jsonw_u64(w, "offset_blocks", part_of(bdev)->offset / bdev->block_bytes);
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops part_ops = {
    .submit = part_submit,
    .supports = vbdev_supports,
    .channel_init = vbdev_channel_init,
    .channel_fini = vbdev_channel_fini,
    .area = part_area,
    .destroy = part_destroy,
    .lower = vbdev_base,
    .dump = part_dump,
};

static int part_create(struct bdev_mgr *mgr, struct bdev *base, unsigned idx, uint64_t bytes,
                       struct ash_err *err) ASH_MAY_WAIT
{
    struct ash_buf name ASH_CLEANUP(ash_buf_free) = {0};
    ash_buf_fmt(&name, "%sp%u", base->name, idx);
    struct part *p = rt_alloc(sizeof(*p));
    if (!p)
        return ash_err_set(err, ASH_E_NO_MEMORY, base->name, "no memory for a part");
    p->v.fixed_size = true;
    p->v.no_claim = idx > 0;
    int rc =
        vbdev_init(&p->v, mgr, ash_buf_text(&name), base->name, &bdev_split_module, &part_ops, err);
    if (rc == 0) {
        p->offset = idx * bytes;
        p->v.bdev.size_bytes = bytes;
        p->v.bdev.product_name = "Split Disk";
        struct le64 range[2] = {ash_le64(p->offset / base->block_bytes),
                                ash_le64(bytes / base->block_bytes)};
        vbdev_derive_uuid(&p->v, &(struct ash_uuid){{0}}, "976b899e-3e1e-4d71-ab69-c2b08e9df8b8",
                          range, sizeof(range));
        rc = bdev_register(mgr, &p->v.bdev, err);
        if (rc)
            vbdev_fini(&p->v);
    }
    if (rc)
        rt_free(p);
    return rc;
}

/* The last part that stands on base; NULL when there is none. */
static struct bdev *last_part(struct bdev_mgr *mgr, const struct bdev *base)
{
    struct bdev *last = NULL;
    for (struct bdev *b = bdev_next(mgr, NULL); b; b = bdev_next(mgr, b))
        if (b->module == &bdev_split_module && vbdev_of(b)->base == base &&
            bdev_find(mgr, b->name) == b)
            last = b;
    return last;
}

static int attach(struct bdev_mgr *mgr, struct vbdev_cfg *cfg, struct ash_err *err) ASH_MAY_WAIT
{
    const struct split_cfg *sc = ash_container_of(cfg, struct split_cfg, c);
    struct bdev *base = bdev_find(mgr, cfg->base);
    if (!base)
        return ash_err_set(err, ASH_E_BDEV_NOT_FOUND, cfg->base, "there is no '%s'", cfg->base);
    uint64_t n_blocks = base->size_bytes / base->block_bytes;
    uint64_t part_blocks = n_blocks / sc->count, count = sc->count;
    if (sc->size_mb) {
        if (sc->size_mb > UINT64_MAX >> 21 || (sc->size_mb << 20) % base->block_bytes)
            return ash_err_set(err, ASH_E_BAD_ARGUMENT, cfg->base,
                               "parts of %llu MiB are no multiple of the block size",
                               (unsigned long long)sc->size_mb);
        part_blocks = (sc->size_mb << 20) / base->block_bytes;
        count = ASH_MIN(count, n_blocks / part_blocks);
    }
    if (part_blocks == 0 || count == 0)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, cfg->base,
                           "device '%s' is too small to be split so", cfg->base);
    int rc = 0;
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = part_create(mgr, base, i, part_blocks * base->block_bytes, err);
    struct bdev *part;
    while (rc && (part = last_part(mgr, base)))
        bdev_unregister(part);
    return rc;
}

/* --------------------------------------------------------------- methods */

struct create_params {
    char *base_bdev;
    uint32_t split_count;
    uint64_t split_size_mb;
};

static const struct ash_param create_table[] = {
    ASH_PARAM(struct create_params, base_bdev, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "device to split; may come later"),
    ASH_PARAM(struct create_params, split_count, ASH_P_U32, ASH_P_REQUIRED, NULL,
              "number of parts"),
    ASH_PARAM(struct create_params, split_size_mb, ASH_P_U64, 0, NULL,
              "MiB of a part; 0: equal parts of all"),
    {.name = NULL},
};

static int create_failed(struct ash_call *call, const struct create_params *p, int rc)
{
    call->rpc_code = -32602;
    snprintf(call->rpc_message, sizeof(call->rpc_message),
             "Failed to create %u split bdevs from '%.60s': %s", p->split_count, p->base_bdev,
             ash_strerror(rc));
    return rc;
}

static int run_create(struct ash_call *call, void *params)
{
    const struct create_params *p = params;
    struct vbdev_cfg *cfg = NULL;
    struct vbdev_state *st = bdev_module_state(call->bdevs, &bdev_split_module);
    int rc = 0;
    if (p->split_count == 0)
        rc = ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->base_bdev, "split_count must not be 0");
    else if (vbdev_cfg_find(st, p->base_bdev))
        rc = ash_err_set(call->err, ASH_E_BDEV_EXISTS, p->base_bdev, "'%s' is split already",
                         p->base_bdev);
    if (rc == 0)
        rc = vbdev_cfg_new(sizeof(struct split_cfg), p->base_bdev, p->base_bdev,
                           &(struct ash_uuid){{0}}, &cfg, call->err);
    if (rc)
        return create_failed(call, p, rc);
    struct split_cfg *sc = ash_container_of(cfg, struct split_cfg, c);
    sc->count = p->split_count;
    sc->size_mb = p->split_size_mb;
    struct bdev *base = bdev_find(call->bdevs, p->base_bdev);
    rc = base ? attach(call->bdevs, cfg, call->err) : 0;
    if (rc) {
        vbdev_cfg_free(cfg);
        return create_failed(call, p, rc);
    }
    ash_list_push_tail(&st->cfgs, &cfg->link);
    ash_jsonw_arr(call->result, NULL);
    for (struct bdev *b = bdev_next(call->bdevs, NULL); b; b = bdev_next(call->bdevs, b))
        if (base && b->module == &bdev_split_module && vbdev_of(b)->base == base)
            ash_jsonw_str(call->result, NULL, b->name);
    ash_jsonw_arr_end(call->result);
    return 0;
}

struct delete_params {
    char *base_bdev;
};

static const struct ash_param delete_table[] = {
    ASH_PARAM(struct delete_params, base_bdev, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "the device that was split"),
    {.name = NULL},
};

static int run_delete(struct ash_call *call, void *params)
{
    const struct delete_params *p = params;
    struct vbdev_state *st = bdev_module_state(call->bdevs, &bdev_split_module);
    struct vbdev_cfg *cfg = vbdev_cfg_find(st, p->base_bdev);
    if (!cfg) {
        int rc = ash_err_set(call->err, ASH_E_BDEV_NOT_FOUND, p->base_bdev, "'%s' is not split",
                             p->base_bdev);
        call->rpc_code = -32602;
        snprintf(call->rpc_message, sizeof(call->rpc_message), "%s", ash_strerror(rc));
        return rc;
    }
    struct bdev *base = bdev_find(call->bdevs, cfg->base), *part;
    ash_list_remove(&cfg->link);
    vbdev_cfg_free(cfg);
    while (base && (part = last_part(call->bdevs, base)))
        bdev_unregister(part);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

#define BAD_PARAMS .decode_code = -32602, .decode_text = "Invalid parameters"
static const struct ash_method methods[] = {
    {"bdev_split_create", "Divide a device in equal parts.", create_table,
     sizeof(struct create_params), BAD_PARAMS, .run = run_create},
    {"bdev_split_delete", "Remove the parts of a device.", delete_table,
     sizeof(struct delete_params), BAD_PARAMS, .run = run_delete},
    {.name = NULL},
};

static void examine_config(struct bdev_mgr *mgr, struct bdev *bdev)
{
    struct vbdev_state *st = bdev_module_state(mgr, &bdev_split_module);
    ash_list_for_each_safe (l, &st->cfgs) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        struct ash_err err = {0};
        if (bdev_find(mgr, cfg->base) == bdev && !last_part(mgr, bdev))
            attach(mgr, cfg, &err); /* a base that does not fit is left alone */
    }
}

static void dump_config(struct bdev_mgr *mgr, struct ash_jsonw *w)
{
    struct vbdev_state *st = bdev_module_state(mgr, &bdev_split_module);
    ash_list_for_each (l, &st->cfgs) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        const struct split_cfg *sc = ash_container_of(cfg, struct split_cfg, c);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "method", "bdev_split_create");
        ash_jsonw_obj(w, "params");
        ash_jsonw_str(w, "base_bdev", cfg->base);
        ash_jsonw_u64(w, "split_count", sc->count);
        ash_jsonw_u64(w, "split_size_mb", sc->size_mb);
        ash_jsonw_obj_end(w);
        ash_jsonw_obj_end(w);
    }
}

static void module_fini(struct bdev_mgr *mgr, void *state)
{
    vbdev_state_fini(state, NULL);
}

struct bdev_module bdev_split_module = {
    .name = "split",
    .methods = methods,
    .examine_config = examine_config,
    .dump_config = dump_config,
    .init = vbdev_state_init,
    .fini = module_fini,
};
