/* SPDX-License-Identifier: Apache-2.0 */
/* A device that hands everything to its base. Mostly of use as a model for other modules.
 * Source: docs/spec/spdk-jsonrpc.md 6. */
#include "bdev/mod/vbdev.h"

static void pt_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    bdev_io_pass(io, vbdev_lower(ch), io->offset, NULL);
}

static void pt_destroy(struct bdev *bdev)
{
    struct vbdev *v = vbdev_of(bdev);
    vbdev_fini(v);
    rt_free(v);
}

static void pt_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, "passthru");
    ash_jsonw_str(w, "name", bdev->name);
    ash_jsonw_str(w, "base_bdev_name", vbdev_of(bdev)->base->name);
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops pt_ops = {
    .submit = pt_submit,
    .supports = vbdev_supports,
    .channel_init = vbdev_channel_init,
    .channel_fini = vbdev_channel_fini,
    .area = vbdev_area,
    .destroy = pt_destroy,
    .lower = vbdev_base,
    .dump = pt_dump,
};

static int attach(struct bdev_mgr *mgr, struct vbdev_cfg *cfg, struct ash_err *err) ASH_MAY_WAIT
{
    struct vbdev *v = rt_alloc(sizeof(*v));
    if (!v)
        return ash_err_set(err, ASH_E_NO_MEMORY, cfg->name, "no memory for '%s'", cfg->name);
    int rc = vbdev_init(v, mgr, cfg->name, cfg->base, &bdev_passthru_module, &pt_ops, err);
    if (rc == 0) {
        vbdev_derive_uuid(v, &cfg->uuid, "7e25812e-c8c0-4d3f-8599-16d790555b85", NULL, 0);
        rc = bdev_register(mgr, &v->bdev, err);
        if (rc)
            vbdev_fini(v);
    }
    if (rc)
        rt_free(v);
    return rc;
}

struct create_params {
    char *name, *base_bdev_name;
    struct ash_uuid uuid;
};

static const struct ash_param create_table[] = {
    ASH_PARAM(struct create_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM(struct create_params, base_bdev_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "device below; may come later"),
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL,
              "UUID; made from the base's if none"),
    {.name = NULL},
};

static int run_create(struct ash_call *call, void *params)
{
    struct create_params *p = params;
    struct vbdev_cfg *cfg;
    int rc = vbdev_cfg_new(sizeof(*cfg), p->name, p->base_bdev_name, &p->uuid, &cfg, call->err);
    if (rc)
        return rc;
    rc = vbdev_cfg_add(call->bdevs, &bdev_passthru_module, cfg, attach, call->err);
    if (rc)
        vbdev_cfg_free(cfg);
    else
        ash_jsonw_str(call->result, NULL, p->name);
    return rc;
}

static int run_delete(struct ash_call *call, void *params)
{
    struct bdev_name_params *p = params;
    return vbdev_cfg_delete(call, &bdev_passthru_module, p->name, NULL);
}

static const struct ash_method methods[] = {
    {"bdev_passthru_create", "Make a device that hands everything to another.", create_table,
     sizeof(struct create_params), .run = run_create},
    {"bdev_passthru_delete", "Remove a passthru device.", bdev_name_params,
     sizeof(struct bdev_name_params), .run = run_delete},
    {.name = NULL},
};

static void examine_config(struct bdev_mgr *mgr, struct bdev *bdev)
{
    vbdev_cfg_examine(mgr, &bdev_passthru_module, bdev, attach);
}

static void dump_config(struct bdev_mgr *mgr, struct ash_jsonw *w)
{
    struct vbdev_state *st = bdev_module_state(mgr, &bdev_passthru_module);
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_list_for_each (l, &st->cfgs) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "method", "bdev_passthru_create");
        ash_jsonw_obj(w, "params");
        ash_jsonw_str(w, "name", cfg->name);
        ash_jsonw_str(w, "base_bdev_name", cfg->base);
        if (!ash_uuid_is_nil(&cfg->uuid))
            ash_jsonw_str(w, "uuid", ash_uuid_format(&cfg->uuid, uuid));
        ash_jsonw_obj_end(w);
        ash_jsonw_obj_end(w);
    }
}

static void module_fini(struct bdev_mgr *mgr, void *state)
{
    vbdev_state_fini(state, NULL);
}

struct bdev_module bdev_passthru_module = {
    .name = "passthru",
    .methods = methods,
    .examine_config = examine_config,
    .dump_config = dump_config,
    .init = vbdev_state_init,
    .fini = module_fini,
};
