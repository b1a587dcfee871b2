/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that answer late: the base does its work first, then reads and writes wait. One in a
 * hundred waits the p99 time, the others the average. Source: docs/spec/spdk-jsonrpc.md 6. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "bdev/mod/vbdev.h"

enum latency { AVG_READ, P99_READ, AVG_WRITE, P99_WRITE, N_LATENCIES };

static const char *const latency_names[N_LATENCIES] = {"avg_read_latency", "p99_read_latency",
                                                       "avg_write_latency", "p99_write_latency"};

struct delay_disk {
    struct vbdev v;
    _Atomic uint64_t us[N_LATENCIES];
};

struct delay_cfg {
    struct vbdev_cfg c;
    uint64_t us[N_LATENCIES];
};

struct delay_io {
    struct rt_timer timer;
    struct bdev_io *io;
};

static struct delay_disk *disk_of(const struct bdev *bdev)
{
    return ash_container_of(vbdev_of(bdev), struct delay_disk, v);
}

static void delay_over(struct rt_timer *timer)
{
    struct bdev_io *io = ash_container_of(timer, struct delay_io, timer)->io;
    bdev_io_done(io, io->rc);
}

static void base_done(struct bdev_io *io)
{
    struct delay_disk *d = disk_of(io->frame->ch->bdev);
    bool is_p99 = rt_random_u64() % 100 == 0;
    enum latency which =
        io->type == BDEV_READ ? (is_p99 ? P99_READ : AVG_READ) : (is_p99 ? P99_WRITE : AVG_WRITE);
    uint64_t us = atomic_load(&d->us[which]);
    if ((io->type != BDEV_READ && io->type != BDEV_WRITE) || us == 0) {
        bdev_io_done(io, io->rc);
        return;
    }
    struct delay_io *di = bdev_io_ctx(io);
    *di = (struct delay_io){.timer.fire = delay_over, .io = io};
    rt_timer_start(&di->timer, us * 1000);
}

static void delay_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    bdev_io_pass(io, vbdev_lower(ch), io->offset, base_done);
}

static void delay_destroy(struct bdev *bdev)
{
    struct delay_disk *d = disk_of(bdev);
    vbdev_fini(&d->v);
    rt_free(d);
}

static void delay_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    struct delay_disk *d = disk_of(bdev);
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_jsonw_obj(w, "delay");
    ash_jsonw_str(w, "name", bdev->name);
    ash_jsonw_str(w, "base_bdev_name", d->v.base->name);
    ash_jsonw_str(w, "uuid", ash_uuid_format(&bdev->uuid, uuid));
    for (int i = 0; i < N_LATENCIES; i++)
        ash_jsonw_u64(w, latency_names[i], atomic_load(&d->us[i]));
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops delay_ops = {
    .submit = delay_submit,
    .supports = vbdev_supports,
    .channel_init = vbdev_channel_init,
    .channel_fini = vbdev_channel_fini,
    .area = vbdev_area,
    .destroy = delay_destroy,
    .lower = vbdev_base,
    .dump = delay_dump,
};

static int attach(struct bdev_mgr *mgr, struct vbdev_cfg *cfg, struct ash_err *err) ASH_MAY_WAIT
{
    const struct delay_cfg *dc = ash_container_of(cfg, struct delay_cfg, c);
    struct delay_disk *d = rt_alloc(sizeof(*d));
    if (!d)
        return ash_err_set(err, ASH_E_NO_MEMORY, cfg->name, "no memory for '%s'", cfg->name);
    int rc = vbdev_init(&d->v, mgr, cfg->name, cfg->base, &bdev_delay_module, &delay_ops, err);
    if (rc == 0) {
        for (int i = 0; i < N_LATENCIES; i++)
            atomic_init(&d->us[i], dc->us[i]);
        d->v.bdev.io_ctx_bytes = sizeof(struct delay_io);
        vbdev_derive_uuid(&d->v, &cfg->uuid, "4009b574-6430-4f1b-bc40-ace811091027", NULL, 0);
        rc = bdev_register(mgr, &d->v.bdev, err);
        if (rc)
            vbdev_fini(&d->v);
    }
    if (rc)
        rt_free(d);
    return rc;
}

/* --------------------------------------------------------------- methods */

struct create_params {
    char *name, *base_bdev_name;
    uint64_t avg_read_latency, p99_read_latency, avg_write_latency, p99_write_latency;
    struct ash_uuid uuid;
};

#define US(field)                                                                                  \
    ASH_PARAM(struct create_params, field, ASH_P_U64, ASH_P_REQUIRED, NULL, "microseconds")
static const struct ash_param create_table[] = {
    ASH_PARAM(struct create_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM(struct create_params, base_bdev_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "device below; may come later"),
    US(avg_read_latency),
    US(p99_read_latency),
    US(avg_write_latency),
    US(p99_write_latency),
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL,
              "UUID; made from the base's if none"),
    {.name = NULL},
};

static int check_order(const char *name, const uint64_t us[N_LATENCIES], struct ash_err *err)
{
    if (us[P99_READ] < us[AVG_READ] || us[P99_WRITE] < us[AVG_WRITE])
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, name,
                           "delay '%s': a p99 latency is less than its average", name);
    return 0;
}

static int run_create(struct ash_call *call, void *params)
{
    const struct create_params *p = params;
    const uint64_t us[N_LATENCIES] = {p->avg_read_latency, p->p99_read_latency,
                                      p->avg_write_latency, p->p99_write_latency};
    int rc = check_order(p->name, us, call->err);
    struct vbdev_cfg *cfg = NULL;
    if (rc == 0)
        rc = vbdev_cfg_new(sizeof(struct delay_cfg), p->name, p->base_bdev_name, &p->uuid, &cfg,
                           call->err);
    if (rc)
        return rc;
    struct delay_cfg *dc = ash_container_of(cfg, struct delay_cfg, c);
    for (int i = 0; i < N_LATENCIES; i++)
        dc->us[i] = us[i];
    rc = vbdev_cfg_add(call->bdevs, &bdev_delay_module, cfg, attach, call->err);
    if (rc)
        vbdev_cfg_free(cfg);
    else
        ash_jsonw_str(call->result, NULL, p->name);
    return rc;
}

static int run_delete(struct ash_call *call, void *params)
{
    struct bdev_name_params *p = params;
    return vbdev_cfg_delete(call, &bdev_delay_module, p->name, NULL);
}

struct update_params {
    char *delay_bdev_name;
    int latency_type;
    uint64_t latency_us;
};

static const struct ash_enum latency_types[] = {
    {"avg_read", AVG_READ},
    {"p99_read", P99_READ},
    {"avg_write", AVG_WRITE},
    {"p99_write", P99_WRITE},
    {NULL, 0},
};

static const struct ash_param update_table[] = {
    ASH_PARAM(struct update_params, delay_bdev_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name of the device"),
    ASH_PARAM_ENUM(struct update_params, latency_type, ASH_P_REQUIRED, NULL, latency_types,
                   "which one"),
    ASH_PARAM(struct update_params, latency_us, ASH_P_U64, ASH_P_REQUIRED, NULL, "microseconds"),
    {.name = NULL},
};

static int run_update(struct ash_call *call, void *params)
{
    struct update_params *p = params;
    struct bdev *bdev = bdev_find(call->bdevs, p->delay_bdev_name);
    if (!bdev || bdev->module != &bdev_delay_module) {
        call->rpc_code = bdev ? -32600 : -32602;
        snprintf(call->rpc_message, sizeof(call->rpc_message), "%s",
                 bdev ? "The requested bdev is not a delay bdev."
                      : "The requested bdev does not exist.");
        return ash_err_set(call->err, bdev ? ASH_E_BDEV_WRONG_KIND : ASH_E_BDEV_NOT_FOUND,
                           p->delay_bdev_name, "there is no delay device '%s'", p->delay_bdev_name);
    }
    struct delay_disk *d = disk_of(bdev);
    uint64_t us[N_LATENCIES];
    for (int i = 0; i < N_LATENCIES; i++)
        us[i] = atomic_load(&d->us[i]);
    us[p->latency_type] = p->latency_us;
    int rc = check_order(bdev->name, us, call->err);
    if (rc)
        return rc;
    atomic_store(&d->us[p->latency_type], p->latency_us);
    struct vbdev_cfg *cfg =
        vbdev_cfg_find(bdev_module_state(call->bdevs, &bdev_delay_module), bdev->name);
    if (cfg)
        ash_container_of(cfg, struct delay_cfg, c)->us[p->latency_type] = p->latency_us;
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static const struct ash_method methods[] = {
    {"bdev_delay_create", "Make a device that answers late.", create_table,
     sizeof(struct create_params), .run = run_create},
    {"bdev_delay_update_latency", "Change a latency of a delay device.", update_table,
     sizeof(struct update_params), .run = run_update},
    {"bdev_delay_delete", "Remove a delay device.", bdev_name_params,
     sizeof(struct bdev_name_params), .run = run_delete},
    {.name = NULL},
};

static void examine_config(struct bdev_mgr *mgr, struct bdev *bdev)
{
    vbdev_cfg_examine(mgr, &bdev_delay_module, bdev, attach);
}

static void dump_config(struct bdev_mgr *mgr, struct ash_jsonw *w)
{
    struct vbdev_state *st = bdev_module_state(mgr, &bdev_delay_module);
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_list_for_each (l, &st->cfgs) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "method", "bdev_delay_create");
        ash_jsonw_obj(w, "params");
        ash_jsonw_str(w, "name", cfg->name);
        ash_jsonw_str(w, "base_bdev_name", cfg->base);
        if (!ash_uuid_is_nil(&cfg->uuid))
            ash_jsonw_str(w, "uuid", ash_uuid_format(&cfg->uuid, uuid));
        for (int i = 0; i < N_LATENCIES; i++)
            ash_jsonw_u64(w, latency_names[i], ash_container_of(cfg, struct delay_cfg, c)->us[i]);
        ash_jsonw_obj_end(w);
        ash_jsonw_obj_end(w);
    }
}

static void module_fini(struct bdev_mgr *mgr, void *state)
{
    vbdev_state_fini(state, NULL);
}

struct bdev_module bdev_delay_module = {
    .name = "delay",
    .methods = methods,
    .examine_config = examine_config,
    .dump_config = dump_config,
    .init = vbdev_state_init,
    .fini = module_fini,
};
