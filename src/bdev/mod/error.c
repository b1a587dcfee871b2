/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that fail on order: SPDK's counters per type of io, and rules of our own by type, byte
 * range, count and every Nth.
 *
 * Rules are fixed once made, but for their counters (atomics). A set of rules is published as a
 * whole; old sets and rules live until the device is destroyed, because ios on other reactors may
 * be looking at them. Source: docs/spec/spdk-jsonrpc.md 6. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "bdev/mod/vbdev.h"

enum kind { KIND_FAIL, KIND_PENDING, KIND_CORRUPT };

struct rule {
    struct ash_list link; /* error_disk.rules */
    uint32_t types;       /* bits */
    uint64_t offset, end; /* bytes of the device */
    uint64_t every, queue_depth, corrupt_offset;
    uint8_t corrupt_value;
    enum kind kind;
    int rc;
    bool is_counter; /* made by bdev_error_inject_error: one per type */
    _Atomic uint64_t n_left, n_seen;
};

struct rule_set {
    struct rule_set *older;
    size_t n_rules;
    struct rule *rules[];
};

struct error_disk {
    struct vbdev v;
    struct ash_list rules;
    _Atomic(struct rule_set *) set;
    _Atomic bool is_leaving;
};

struct error_channel {
    struct vbdev_channel vc;
    struct ash_list pending; /* bdev_io.link */
    uint64_t n_inflight;
};

struct error_io {
    struct rule *corrupt; /* after a read */
    const struct iovec *iov;
    uint32_t n_iov;
    struct iovec bounce; /* of a write that is spoiled */
};

static struct error_disk *disk_of(const struct bdev *bdev)
{
    return ash_container_of(vbdev_of(bdev), struct error_disk, v);
}

/* ------------------------------------------------------------------- I/O */

static bool rule_takes(struct rule *r, const struct bdev_io *io, uint64_t n_inflight)
{
    if (!(r->types >> io->type & 1) || n_inflight < r->queue_depth)
        return false;
    bool has_range = io->type != BDEV_FLUSH && io->type != BDEV_RESET;
    if (has_range && (io->offset >= r->end || io->offset + io->length <= r->offset))
        return false;
    if (r->every > 1 && atomic_fetch_add(&r->n_seen, 1) % r->every != r->every - 1)
        return false;
    uint64_t left = atomic_load(&r->n_left);
    do {
        if (left == 0)
            return false;
    } while (left != UINT64_MAX && !atomic_compare_exchange_weak(&r->n_left, &left, left - 1));
    return true;
}

static void spoil(struct rule *r, const struct iovec *iov, uint32_t n_iov)
{
    uint64_t at = r->corrupt_offset;
    for (uint32_t i = 0; i < n_iov; i++) {
        if (at < iov[i].iov_len) {
            ((uint8_t *)iov[i].iov_base)[at] ^= r->corrupt_value;
            return;
        }
        at -= iov[i].iov_len;
    }
}

static void base_done(struct bdev_io *io)
{
    struct error_io *ei = bdev_io_ctx(io);
    struct error_channel *ec = io->frame->ch->ctx;
    ec->n_inflight--;
    if (ei->corrupt && io->rc == 0)
        spoil(ei->corrupt, io->iov, io->n_iov);
    if (ei->bounce.iov_base) {
        rt_buf_put(ei->bounce.iov_base, ei->bounce.iov_len);
        io->iov = ei->iov;
        io->n_iov = ei->n_iov;
    }
    bdev_io_done(io, io->rc);
}

static void go_on(struct bdev_channel *ch, struct bdev_io *io)
{
    ((struct error_channel *)ch->ctx)->n_inflight++;
    bdev_io_pass(io, vbdev_lower(ch), io->offset, base_done);
}

/* The submitter's memory is not ours to change: a spoiled copy is written. */
static bool spoil_write(struct rule *r, struct bdev_io *io, struct error_io *ei)
{
    void *copy = rt_buf_get(io->length);
    if (!copy)
        return false;
    bdev_iov_to(io->iov, io->n_iov, copy);
    ei->iov = io->iov;
    ei->n_iov = io->n_iov;
    ei->bounce = (struct iovec){copy, io->length};
    io->iov = &ei->bounce;
    io->n_iov = 1;
    spoil(r, io->iov, 1);
    return true;
}

/* What is held ends: as if nothing had been (rc 0), or with rc. */
static void release_pending(struct bdev_channel *ch, int rc)
{
    struct error_channel *ec = ch->ctx;
    struct ash_list *l;
    while ((l = ash_list_pop_head(&ec->pending))) {
        struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
        ec->n_inflight--;
        if (rc)
            bdev_io_done_soon(io, rc);
        else
            go_on(io->frame->ch, io);
    }
}

static void error_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct error_disk *d = disk_of(ch->bdev);
    struct error_channel *ec = ch->ctx;
    struct error_io *ei = bdev_io_ctx(io);
    memset(ei, 0, sizeof(*ei));
    struct rule_set *set = atomic_load(&d->set);
    struct rule *r = NULL;
    for (size_t i = 0; set && i < set->n_rules && !r; i++)
        if (rule_takes(set->rules[i], io, ec->n_inflight))
            r = set->rules[i];
    if (io->type == BDEV_RESET)
        release_pending(ch, -ECANCELED);
    if (!r) {
        go_on(ch, io);
    } else if (r->kind == KIND_FAIL) {
        bdev_io_done_soon(io, r->rc);
    } else if (r->kind == KIND_PENDING) {
        if (atomic_load(&d->is_leaving)) {
            bdev_io_done_soon(io, -ECANCELED);
            return;
        }
        ec->n_inflight++;
        ash_list_push_tail(&ec->pending, &io->link);
    } else if (io->type == BDEV_WRITE && !spoil_write(r, io, ei)) {
        bdev_io_done_soon(io, -EIO); /* the rule is used up: failing is better than passing */
    } else {
        ei->corrupt = io->type == BDEV_READ ? r : NULL;
        go_on(ch, io);
    }
}

static int channel_init(struct bdev_channel *ch)
{
    struct error_channel *ec = ch->ctx;
    ash_list_init(&ec->pending);
    return vbdev_channel_init(ch);
}

/* ----------------------------------------------------------------- rules */

/* Publish the rules of the list in force: those that are still in it. */
static int publish(struct error_disk *d)
{
    size_t n = 0;
    ash_list_for_each (l, &d->rules)
        n += ash_list_entry(l, struct rule, link)->types != 0;
    struct rule_set *set = rt_alloc(sizeof(*set) + n * sizeof(set->rules[0]));
    if (!set)
        return -ENOMEM;
    ash_list_for_each (l, &d->rules) {
        struct rule *r = ash_list_entry(l, struct rule, link);
        if (atomic_load(&r->n_left))
            set->rules[set->n_rules++] = r;
    }
    set->older = atomic_load(&d->set);
    atomic_store(&d->set, set);
    return 0;
}

static int add_rule(struct error_disk *d, const struct rule *from, struct ash_err *err)
{
    struct rule *r = rt_alloc(sizeof(*r));
    int rc = -ENOMEM;
    if (r) {
        memcpy(r, from, sizeof(*r));
        ash_list_push_tail(&d->rules, &r->link);
        rc = publish(d);
    }
    if (rc && r) {
        ash_list_remove(&r->link);
        rt_free(r);
    }
    return rc ? ash_err_set(err, ASH_E_NO_MEMORY, d->v.name, "no memory for a rule") : 0;
}

/* Counters of SPDK's method are one per type: a new one takes the place of the old. */
static void stop_counters(struct error_disk *d, uint32_t types)
{
    ash_list_for_each (l, &d->rules) {
        struct rule *r = ash_list_entry(l, struct rule, link);
        if (r->is_counter && r->types & types)
            atomic_store(&r->n_left, 0);
    }
}

static void cancel_channel(struct bdev_channel *ch, void *arg)
{
    release_pending(ch, *(int *)arg);
}

static void leaving(struct vbdev *v) ASH_MAY_WAIT
{
    struct error_disk *d = ash_container_of(v, struct error_disk, v);
    int rc = -ECANCELED;
    atomic_store(&d->is_leaving, true);
    bdev_for_each_channel(&v->bdev, cancel_channel, &rc);
}

static void disk_free(struct error_disk *d) ASH_MAY_WAIT
{
    vbdev_fini(&d->v);
    for (struct rule_set *s = atomic_load(&d->set), *older; s; s = older) {
        older = s->older;
        rt_free(s);
    }
    struct ash_list *l;
    while ((l = ash_list_pop_head(&d->rules)))
        rt_free(ash_list_entry(l, struct rule, link));
    rt_free(d);
}

static void error_destroy(struct bdev *bdev)
{
    disk_free(disk_of(bdev));
}

static void error_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, "error_disk");
    ash_jsonw_str(w, "base_bdev", vbdev_of(bdev)->base->name);
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops error_ops = {
    .submit = error_submit,
    .supports = vbdev_supports,
    .channel_init = channel_init,
    .channel_fini = vbdev_channel_fini,
    .area = vbdev_area,
    .destroy = error_destroy,
    .lower = vbdev_base,
    .dump = error_dump,
};

static int attach(struct bdev_mgr *mgr, struct vbdev_cfg *cfg, struct ash_err *err) ASH_MAY_WAIT
{
    struct error_disk *d = rt_alloc(sizeof(*d));
    if (!d)
        return ash_err_set(err, ASH_E_NO_MEMORY, cfg->name, "no memory for '%s'", cfg->name);
    ash_list_init(&d->rules);
    int rc = vbdev_init(&d->v, mgr, cfg->name, cfg->base, &bdev_error_module, &error_ops, err);
    if (rc) {
        rt_free(d);
        return rc;
    }
    d->v.bdev.product_name = "Error Injection Disk";
    d->v.bdev.io_ctx_bytes = sizeof(struct error_io);
    d->v.bdev.channel_ctx_bytes = sizeof(struct error_channel);
    d->v.leaving = leaving;
    uint64_t range[2] = {0, d->v.base->size_bytes / d->v.base->block_bytes};
    for (int i = 0; i < 2; i++) {
        struct le64 le = ash_le64(range[i]);
        memcpy(&range[i], le.b, sizeof(le));
    }
    vbdev_derive_uuid(&d->v, &cfg->uuid, "976b899e-3e1e-4d71-ab69-c2b08e9df8b8", range,
                      sizeof(range));
    rc = bdev_register(mgr, &d->v.bdev, err);
    if (rc)
        disk_free(d);
    return rc;
}

/* --------------------------------------------------------------- methods */

struct create_params {
    char *base_name;
    struct ash_uuid uuid;
};

static const struct ash_param create_table[] = {
    ASH_PARAM(struct create_params, base_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "device below; may come later. The new one is EE_ and this name"),
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL,
              "UUID; made from the base's if none"),
    {.name = NULL},
};

static int run_create(struct ash_call *call, void *params)
{
    struct create_params *p = params;
    struct ash_buf name ASH_CLEANUP(ash_buf_free) = {0};
    ash_buf_fmt(&name, "EE_%s", p->base_name);
    struct vbdev_cfg *cfg;
    int rc =
        vbdev_cfg_new(sizeof(*cfg), ash_buf_text(&name), p->base_name, &p->uuid, &cfg, call->err);
    if (rc)
        return rc;
    rc = vbdev_cfg_add(call->bdevs, &bdev_error_module, cfg, attach, call->err);
    if (rc)
        vbdev_cfg_free(cfg);
    else
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static int run_delete(struct ash_call *call, void *params)
{
    struct bdev_name_params *p = params;
    return vbdev_cfg_delete(call, &bdev_error_module, p->name, NULL);
}

enum { TYPES_CLEAR = 0 };
#define BIT(type) (1 << (type))
static const struct ash_enum io_types[] = {
    {"clear", TYPES_CLEAR},
    {"read", BIT(BDEV_READ)},
    {"write", BIT(BDEV_WRITE)},
    {"unmap", BIT(BDEV_UNMAP)},
    {"flush", BIT(BDEV_FLUSH)},
    {"all", BIT(BDEV_READ) | BIT(BDEV_WRITE) | BIT(BDEV_UNMAP) | BIT(BDEV_FLUSH)},
    {NULL, 0},
};

enum error_type { ERR_FAILURE, ERR_PENDING, ERR_CORRUPT, ERR_NOMEM, ERR_NVME };
static const struct ash_enum error_types[] = {
    {"failure", ERR_FAILURE}, {"pending", ERR_PENDING},   {"corrupt_data", ERR_CORRUPT},
    {"nomem", ERR_NOMEM},     {"nvme_failure", ERR_NVME}, {NULL, 0},
};

struct inject_params {
    char *name;
    int io_type, error_type;
    uint32_t num, nvme_sct, nvme_sc;
    uint64_t queue_depth, corrupt_offset;
    uint8_t corrupt_value;
};

static const struct ash_param inject_table[] = {
    ASH_PARAM(struct inject_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM_ENUM(struct inject_params, io_type, ASH_P_REQUIRED, NULL, io_types, "which ios"),
    ASH_PARAM_ENUM(struct inject_params, error_type, ASH_P_REQUIRED, NULL, error_types,
                   "what happens"),
    ASH_PARAM(struct inject_params, num, ASH_P_U32, 0, "1", "how many ios"),
    ASH_PARAM(struct inject_params, queue_depth, ASH_P_U64, 0, NULL,
              "only when so many are in flight"),
    ASH_PARAM(struct inject_params, corrupt_offset, ASH_P_U64, 0, NULL, "byte of the io"),
    ASH_PARAM(struct inject_params, corrupt_value, ASH_P_U8, 0, NULL, "what it is XORed with"),
    ASH_PARAM(struct inject_params, nvme_sct, ASH_P_U32, 0, NULL, "NVMe status code type"),
    ASH_PARAM(struct inject_params, nvme_sc, ASH_P_U32, 0, NULL, "NVMe status code"),
    {.name = NULL},
};

int bdev_rc_of_nvme(unsigned sct, unsigned sc)
{
    if ((sct == 7 && sc == 0x1c) || (sct == 0 && sc == 0x81))
        return -ENOSPC;
    if (sct == 2 && sc == 0x85)
        return -EILSEQ;
    if (sct == 0 && sc == 0x07)
        return -ECANCELED;
    return -EIO;
}

static int check_inject(const struct inject_params *p, struct ash_err *err)
{
    bool has_status = p->nvme_sct || p->nvme_sc;
    if (p->error_type == ERR_NVME ? !has_status : has_status)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, p->name,
                           "nvme_sct and nvme_sc go with nvme_failure, and one must not be 0");
    if (p->error_type == ERR_CORRUPT && p->corrupt_value == 0)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, p->name, "corrupt_value must be 1 to 255");
    return 0;
}

static int run_inject(struct ash_call *call, void *params)
{
    const struct inject_params *p = params;
    struct bdev *bdev = NULL;
    int rc = bdev_mod_find(call->bdevs, p->name, &bdev_error_module, &bdev, call->err);
    if (rc == 0)
        rc = check_inject(p, call->err);
    if (rc)
        return rc;
    struct error_disk *d = disk_of(bdev);
    static const enum kind kinds[] = {[ERR_PENDING] = KIND_PENDING,
                                      [ERR_CORRUPT] = KIND_CORRUPT,
                                      [ERR_FAILURE] = KIND_FAIL,
                                      [ERR_NOMEM] = KIND_FAIL,
                                      [ERR_NVME] = KIND_FAIL};
    if (p->io_type == TYPES_CLEAR) {
        stop_counters(d, UINT32_MAX);
        ash_jsonw_bool(call->result, NULL, true);
        return 0;
    }
    stop_counters(d, (uint32_t)p->io_type);
    for (unsigned t = 0; t < BDEV_N_IO_TYPES && rc == 0; t++) {
        struct rule r = {
            .types = 1u << t,
            .end = UINT64_MAX,
            .every = 1,
            .queue_depth = p->queue_depth,
            .corrupt_offset = p->corrupt_offset,
            .corrupt_value = p->corrupt_value,
            .kind = kinds[p->error_type],
            .rc = p->error_type == ERR_NOMEM  ? -ENOMEM
                  : p->error_type == ERR_NVME ? bdev_rc_of_nvme(p->nvme_sct, p->nvme_sc)
                                              : -EIO,
            .is_counter = true,
        };
        atomic_init(&r.n_left, p->num);
        if (p->io_type >> t & 1)
            rc = add_rule(d, &r, call->err);
    }
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

struct rule_params {
    char *name;
    int op, error;
    uint64_t offset, length, count, every, corrupt_offset;
    uint8_t corrupt_value;
};

static const struct ash_enum rule_ops[] = {
    {"read", BIT(BDEV_READ)},
    {"write", BIT(BDEV_WRITE)},
    {"unmap", BIT(BDEV_UNMAP)},
    {"flush", BIT(BDEV_FLUSH)},
    {"write_zeroes", BIT(BDEV_WRITE_ZEROES)},
    {"any", BIT(BDEV_N_IO_TYPES) - 1},
    {NULL, 0},
};

enum { RULE_PENDING = 1000, RULE_CORRUPT };
static const struct ash_enum rule_errors[] = {
    {"EIO", EIO},
    {"ENOSPC", ENOSPC},
    {"ENOMEM", ENOMEM},
    {"ECANCELED", ECANCELED},
    {"EILSEQ", EILSEQ},
    {"pending", RULE_PENDING},
    {"corrupt", RULE_CORRUPT},
    {NULL, 0},
};

static const struct ash_param rule_table[] = {
    ASH_PARAM(struct rule_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM_ENUM(struct rule_params, op, ASH_P_REQUIRED, NULL, rule_ops, "which ios"),
    ASH_PARAM_ENUM(struct rule_params, error, 0, "EIO", rule_errors, "what happens"),
    ASH_PARAM(struct rule_params, offset, ASH_P_SIZE, 0, NULL, "first byte of the range"),
    ASH_PARAM(struct rule_params, length, ASH_P_SIZE, 0, NULL, "bytes of the range; 0: to the end"),
    ASH_PARAM(struct rule_params, count, ASH_P_U64, 0, NULL, "how many ios; 0: all"),
    ASH_PARAM(struct rule_params, every, ASH_P_U64, 0, "1", "only every Nth that matches"),
    ASH_PARAM(struct rule_params, corrupt_offset, ASH_P_U64, 0, NULL, "byte of the io"),
    ASH_PARAM(struct rule_params, corrupt_value, ASH_P_U8, 0, "255", "what it is XORed with"),
    {.name = NULL},
};

static int run_rule(struct ash_call *call, void *params)
{
    const struct rule_params *p = params;
    struct bdev *bdev = NULL;
    int rc = bdev_mod_find(call->bdevs, p->name, &bdev_error_module, &bdev, call->err);
    if (rc)
        return rc;
    if (p->every == 0 || p->corrupt_value == 0 || p->length > UINT64_MAX - p->offset)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->name,
                           "every and corrupt_value must not be 0, and the range must fit");
    struct rule r = {
        .types = (uint32_t)p->op,
        .offset = p->offset,
        .end = p->length ? p->offset + p->length : UINT64_MAX,
        .every = p->every,
        .corrupt_offset = p->corrupt_offset,
        .corrupt_value = p->corrupt_value,
        .kind = p->error == RULE_PENDING   ? KIND_PENDING
                : p->error == RULE_CORRUPT ? KIND_CORRUPT
                                           : KIND_FAIL,
        .rc = -p->error,
    };
    atomic_init(&r.n_left, p->count ? p->count : UINT64_MAX);
    rc = add_rule(disk_of(bdev), &r, call->err);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static int find_mine(struct ash_call *call, void *params, struct bdev **ret)
{
    struct bdev_name_params *p = params;
    return bdev_mod_find(call->bdevs, p->name, &bdev_error_module, ret, call->err);
}

static int run_clear_rules(struct ash_call *call, void *params)
{
    struct bdev *bdev = NULL;
    int rc = find_mine(call, params, &bdev);
    if (rc)
        return rc;
    ash_list_for_each (l, &disk_of(bdev)->rules)
        atomic_store(&ash_list_entry(l, struct rule, link)->n_left, 0);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int run_resume(struct ash_call *call, void *params)
{
    struct bdev *bdev = NULL;
    int rc = find_mine(call, params, &bdev);
    if (rc)
        return rc;
    int resume_rc = 0;
    bdev_for_each_channel(bdev, cancel_channel, &resume_rc);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

#define BAD_PARAMS .decode_code = -32602
static const struct ash_method methods[] = {
    {"bdev_error_create", "Make a device that fails on order.", create_table,
     sizeof(struct create_params), BAD_PARAMS, .run = run_create},
    {"bdev_error_inject_error", "Let the next ios of a type fail.", inject_table,
     sizeof(struct inject_params), BAD_PARAMS, .run = run_inject},
    {"bdev_error_inject_rule", "Let ios fail by type, range, count and every Nth.", rule_table,
     sizeof(struct rule_params), BAD_PARAMS, .run = run_rule},
    {"bdev_error_clear_rules", "Let nothing fail any more.", bdev_name_params,
     sizeof(struct bdev_name_params), BAD_PARAMS, .run = run_clear_rules},
    {"bdev_error_resume_pending", "Let go of ios that are held.", bdev_name_params,
     sizeof(struct bdev_name_params), BAD_PARAMS, .run = run_resume},
    {"bdev_error_delete", "Remove an error device.", bdev_name_params,
     sizeof(struct bdev_name_params), BAD_PARAMS, .run = run_delete},
    {.name = NULL},
};

static void examine_config(struct bdev_mgr *mgr, struct bdev *bdev)
{
    vbdev_cfg_examine(mgr, &bdev_error_module, bdev, attach);
}

static void dump_config(struct bdev_mgr *mgr, struct ash_jsonw *w)
{
    struct vbdev_state *st = bdev_module_state(mgr, &bdev_error_module);
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_list_for_each (l, &st->cfgs) {
        struct vbdev_cfg *cfg = ash_list_entry(l, struct vbdev_cfg, link);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "method", "bdev_error_create");
        ash_jsonw_obj(w, "params");
        ash_jsonw_str(w, "base_name", cfg->base);
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

struct bdev_module bdev_error_module = {
    .name = "error",
    .methods = methods,
    .examine_config = examine_config,
    .dump_config = dump_config,
    .init = vbdev_state_init,
    .fini = module_fini,
};
