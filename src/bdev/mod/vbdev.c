/* SPDX-License-Identifier: Apache-2.0 */
#include "bdev/mod/vbdev.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

/* ---------------------------------------------------------------- devices */

static void leave_task(void *arg)
{
    struct vbdev *v = arg;
    v->leave_pending = false;
    if (!v->bdev.core)
        return;
    if (v->leaving)
        v->leaving(v);
    bdev_unregister(&v->bdev); /* busy: somebody removes it already */
}

static void leave_retry(struct rt_timer *timer)
{
    struct vbdev *v = ash_container_of(timer, struct vbdev, retry);
    v->leave_pending = rt_task_spawn("bdev base removed", leave_task, v) == 0;
    if (!v->leave_pending)
        rt_timer_start(timer, 10000000);
}

void vbdev_leave(struct vbdev *v)
{
    if (!v->leave_pending && !rt_timer_armed(&v->retry))
        leave_retry(&v->retry);
}

static void base_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct vbdev *v = bdev_desc_user(desc);
    if (!v->bdev.core)
        return; /* not registered: whoever makes it finds the base gone by itself */
    if (ev == BDEV_EVENT_REMOVE)
        vbdev_leave(v);
    else if (!v->fixed_size)
        bdev_resized(&v->bdev, v->base->size_bytes);
}

static void take_over(struct vbdev *v, const struct bdev *base)
{
    struct bdev *b = &v->bdev;
    b->block_bytes = base->block_bytes;
    b->phys_block_bytes = base->phys_block_bytes;
    b->size_bytes = base->size_bytes;
    b->align_bytes = base->align_bytes;
    /* boundary and greatest sizes need no copy: the base's channel cuts what is passed to it */
    b->read_only = base->read_only;
    b->volatile_cache = base->volatile_cache;
    b->unmap_zeroes = base->unmap_zeroes;
    b->fast_zeroes = base->fast_zeroes;
    b->rotational = base->rotational;
    b->lower_stack_bytes = base->stack_bytes;
    b->prefer_write_align = base->prefer_write_align;
    b->prefer_write_gran = base->prefer_write_gran;
    b->optimal_write_size = base->optimal_write_size;
    b->prefer_unmap_align = base->prefer_unmap_align;
    b->prefer_unmap_gran = base->prefer_unmap_gran;
    b->reset_drain_ns = base->reset_drain_ns;
}

int vbdev_init(struct vbdev *v, struct bdev_mgr *mgr, const char *name, const char *base,
               struct bdev_module *module, const struct bdev_ops *ops, struct ash_err *err)
{
    v->retry.fire = leave_retry;
    v->name = rt_strdup(name);
    if (!v->name)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for device '%s'", name);
    int rc = bdev_open(mgr, base, BDEV_OPEN_READ, module->name, base_event, v, &v->base_desc, err);
    if (rc)
        goto fail;
    v->base = bdev_desc_bdev(v->base_desc);
    if (!v->no_claim)
        rc = bdev_claim(v->base_desc,
                        v->base->read_only ? BDEV_CLAIM_READ_WRITE_NONE : BDEV_CLAIM_EXCL_WRITE, 0,
                        module->name, err);
    if (rc)
        goto fail;
    take_over(v, v->base);
    v->bdev.name = v->name;
    v->bdev.product_name = module->name;
    v->bdev.module = module;
    v->bdev.ops = ops;
    v->bdev.channel_ctx_bytes = sizeof(struct vbdev_channel);
    return 0;
fail:
    vbdev_fini(v);
    return rc;
}

void vbdev_fini(struct vbdev *v)
{
    rt_timer_stop(&v->retry);
    while (v->leave_pending)
        rt_yield();
    if (v->base_desc)
        bdev_close(v->base_desc);
    v->base_desc = NULL;
    rt_free(v->name);
    v->name = NULL;
}

void vbdev_derive_uuid(struct vbdev *v, const struct ash_uuid *given, const char *name_space,
                       const void *data, size_t n_bytes)
{
    uint8_t buf[64];
    struct ash_uuid ns;
    int rc = ash_uuid_parse(name_space, &ns);
    ASH_ASSERT(rc == 0 && sizeof(v->base->uuid.b) + n_bytes <= sizeof(buf));
    v->bdev.uuid = *given;
    if (!ash_uuid_is_nil(given))
        return;
    memcpy(buf, v->base->uuid.b, sizeof(v->base->uuid.b));
    if (n_bytes)
        memcpy(buf + sizeof(v->base->uuid.b), data, n_bytes);
    ash_uuid_v5(&ns, buf, sizeof(v->base->uuid.b) + n_bytes, &v->bdev.uuid);
}

bool vbdev_supports(struct bdev *bdev, enum bdev_io_type type)
{
    return bdev_supports(vbdev_of(bdev)->base, type);
}

int vbdev_channel_init(struct bdev_channel *ch)
{
    struct vbdev_channel *vc = ch->ctx;
    vc->lower = bdev_channel_get(vbdev_of(ch->bdev)->base_desc);
    return vc->lower ? 0 : -ENOMEM;
}

void vbdev_channel_fini(struct bdev_channel *ch)
{
    bdev_channel_put(vbdev_lower(ch));
}

struct bdev *vbdev_base(struct bdev *bdev, unsigned idx)
{
    return idx == 0 ? vbdev_of(bdev)->base : NULL;
}

void vbdev_area(struct bdev_channel *ch, uint64_t offset, uint64_t length, struct bdev_area *ret)
{
    bdev_area(vbdev_lower(ch), offset, length, ret);
}

/* --------------------------------------------------------- configurations */

int vbdev_state_init(struct bdev_mgr *mgr, void **ret_state)
{
    struct vbdev_state *st = rt_alloc(sizeof(*st));
    if (!st)
        return -ENOMEM;
    ash_list_init(&st->cfgs);
    *ret_state = st;
    return 0;
}

void vbdev_state_fini(struct vbdev_state *st, void (*free_cfg)(struct vbdev_cfg *cfg))
{
    struct ash_list *l;
    while ((l = ash_list_pop_head(&st->cfgs))) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        if (free_cfg)
            free_cfg(cfg);
        vbdev_cfg_free(cfg);
    }
    rt_free(st);
}

struct vbdev_cfg *vbdev_cfg_find(const struct vbdev_state *st, const char *name)
{
    ash_list_for_each (l, &st->cfgs) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        if (strcmp(cfg->name, name) == 0)
            return cfg;
    }
    return NULL;
}

int vbdev_cfg_new(size_t n_bytes, const char *name, const char *base, const struct ash_uuid *uuid,
                  struct vbdev_cfg **ret_cfg, struct ash_err *err)
{
    struct vbdev_cfg *cfg = rt_alloc(n_bytes);
    if (cfg) {
        ash_list_init(&cfg->link);
        cfg->name = rt_strdup(name);
        cfg->base = rt_strdup(base);
        cfg->uuid = *uuid;
    }
    if (!cfg || !cfg->name || !cfg->base) {
        vbdev_cfg_free(cfg);
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for device '%s'", name);
    }
    *ret_cfg = cfg;
    return 0;
}

void vbdev_cfg_free(struct vbdev_cfg *cfg)
{
    if (!cfg)
        return;
    rt_free(cfg->name);
    rt_free(cfg->base);
    rt_free(cfg);
}

int vbdev_cfg_add(struct bdev_mgr *mgr, struct bdev_module *module, struct vbdev_cfg *cfg,
                  int (*attach)(struct bdev_mgr *mgr, struct vbdev_cfg *cfg, struct ash_err *err),
                  struct ash_err *err)
{
    struct vbdev_state *st = bdev_module_state(mgr, module);
    if (vbdev_cfg_find(st, cfg->name) || bdev_find(mgr, cfg->name))
        return ash_err_set(err, ASH_E_BDEV_EXISTS, cfg->name, "device '%s' exists already",
                           cfg->name);
    ash_list_push_tail(&st->cfgs, &cfg->link);
    int rc = bdev_find(mgr, cfg->base) ? attach(mgr, cfg, err) : 0;
    if (rc)
        ash_list_remove(&cfg->link);
    return rc;
}

void vbdev_cfg_examine(struct bdev_mgr *mgr, struct bdev_module *module, struct bdev *bdev,
                       int (*attach)(struct bdev_mgr *mgr, struct vbdev_cfg *cfg,
                                     struct ash_err *err))
{
    struct vbdev_state *st = bdev_module_state(mgr, module);
    ash_list_for_each_safe (l, &st->cfgs) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        struct ash_err err = {0};
        if (bdev_find(mgr, cfg->base) == bdev && !bdev_find(mgr, cfg->name))
            attach(mgr, cfg, &err); /* a base that somebody else holds is waited for on */
    }
}

int vbdev_cfg_delete(struct ash_call *call, struct bdev_module *module, const char *name,
                     void (*free_cfg)(struct vbdev_cfg *cfg))
{
    struct vbdev_state *st = bdev_module_state(call->bdevs, module);
    struct bdev *bdev = bdev_find(call->bdevs, name);
    bool is_mine = bdev && bdev->module == module;
    struct vbdev_cfg *cfg = vbdev_cfg_find(st, is_mine ? bdev->name : name);
    if (!cfg && !is_mine)
        return ash_err_set(call->err, ASH_E_BDEV_NOT_FOUND, name,
                           "module %s has made no device '%s'", module->name, name);
    if (cfg) {
        ash_list_remove(&cfg->link);
        if (free_cfg)
            free_cfg(cfg);
        vbdev_cfg_free(cfg);
    }
    if (is_mine && vbdev_of(bdev)->leaving)
        vbdev_of(bdev)->leaving(vbdev_of(bdev));
    if (is_mine && bdev_unregister(bdev))
        return ash_err_set(call->err, ASH_E_BDEV_BUSY, name, "device '%s' is being removed", name);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}
