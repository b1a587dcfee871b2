/* SPDX-License-Identifier: Apache-2.0 */
/* A device that hands everything to its base and remembers each write, unmap, zeroes and flush,
 * with the data. For tests: memory grows with every write.
 * Each reactor has a list of its own; a count shared by all puts them in order. */
#include "bdev/mod/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "bdev/mod/vbdev.h"

struct log_item {
    struct bdev_log_entry e;
    struct ash_list link;
};

struct log_disk {
    struct vbdev v;
    _Atomic uint64_t seq;
    struct ash_list items[RT_MAX_REACTORS]; /* each of its reactor */
};

struct log_io {
    struct log_item *item;
};

static struct log_disk *disk_of(const struct bdev *bdev)
{
    return ash_container_of(vbdev_of(bdev), struct log_disk, v);
}

static void base_done(struct bdev_io *io)
{
    struct log_item *item = ((struct log_io *)bdev_io_ctx(io))->item;
    struct log_disk *d = disk_of(io->frame->ch->bdev);
    item->e.rc = io->rc;
    item->e.done_seq = atomic_fetch_add(&d->seq, 1) + 1;
    bdev_io_done(io, io->rc);
}

static void log_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    const uint32_t types = 1u << BDEV_WRITE | 1u << BDEV_UNMAP | 1u << BDEV_FLUSH |
                           1u << BDEV_WRITE_ZEROES | 1u << BDEV_COPY | 1u << BDEV_COMPARE_AND_WRITE;
    if (!(types >> io->type & 1)) {
        bdev_io_pass(io, vbdev_lower(ch), io->offset, NULL);
        return;
    }
    struct log_disk *d = disk_of(ch->bdev);
    struct log_item *item = rt_alloc(sizeof(*item));
    if (!item) {
        bdev_io_done_soon(io, -ENOMEM);
        return;
    }
    item->e.seq = atomic_fetch_add(&d->seq, 1) + 1;
    item->e.offset = io->offset;
    item->e.length = io->length;
    item->e.type = io->type;
    item->e.flags = io->flags;
    if (io->type == BDEV_WRITE) {
        item->e.data = rt_alloc(io->length);
        if (item->e.data)
            bdev_iov_to(io->iov, io->n_iov, item->e.data);
    }
    ash_list_push_tail(&d->items[rt_reactor_idx(ch->reactor)], &item->link);
    ((struct log_io *)bdev_io_ctx(io))->item = item;
    bdev_io_pass(io, vbdev_lower(ch), io->offset, base_done);
}

static void item_free(struct log_item *item)
{
    ash_list_remove(&item->link);
    rt_free(item->e.data);
    rt_free(item);
}

static void log_destroy(struct bdev *bdev)
{
    struct log_disk *d = disk_of(bdev);
    vbdev_fini(&d->v);
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++)
        while (!ash_list_empty(&d->items[i]))
            item_free(ash_list_entry(d->items[i].next, struct log_item, link));
    rt_free(d);
}

static void log_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, "log");
    ash_jsonw_str(w, "name", bdev->name);
    ash_jsonw_str(w, "base_bdev_name", vbdev_of(bdev)->base->name);
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops log_ops = {
    .submit = log_submit,
    .supports = vbdev_supports,
    .channel_init = vbdev_channel_init,
    .channel_fini = vbdev_channel_fini,
    .area = vbdev_area,
    .destroy = log_destroy,
    .lower = vbdev_base,
    .dump = log_dump,
};

/* -------------------------------------------------------------- accessors */

struct log_walk {
    struct log_disk *disk;
    bool clear;
    struct bdev_log_entry **entries[RT_MAX_REACTORS];
    size_t n[RT_MAX_REACTORS];
};

static int walk_one(void *arg)
{
    struct log_walk *w = arg;
    unsigned r = rt_reactor_idx(rt_self());
    size_t n = 0;
    ash_list_for_each (l, &w->disk->items[r])
        n++;
    if (!w->clear && n && !(w->entries[r] = rt_alloc(n * sizeof(w->entries[r][0]))))
        return -ENOMEM;
    ash_list_for_each_safe (l, &w->disk->items[r]) {
        struct log_item *item = ash_list_entry(l, struct log_item, link);
        if (!w->clear)
            w->entries[r][w->n[r]++] = &item->e;
        else if (item->e.done_seq)
            item_free(item);
    }
    return 0;
}

static int walk(struct log_walk *w) ASH_MAY_WAIT
{
    int rc = 0;
    for (unsigned i = 0; i < rt_n_reactors(rt_world()) && rc == 0; i++)
        rc = rt_call_on(rt_reactor(rt_world(), i), "bdev log", walk_one, w);
    return rc;
}

static int by_seq(const void *a, const void *b)
{
    const struct bdev_log_entry *x = *(struct bdev_log_entry *const *)a;
    const struct bdev_log_entry *y = *(struct bdev_log_entry *const *)b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

int bdev_log_get(struct bdev *bdev, struct bdev_log_entry ***ret_entries, size_t *ret_n)
{
    if (bdev->module != &bdev_log_module)
        return -EINVAL;
    struct log_walk w = {.disk = disk_of(bdev)};
    int rc = walk(&w);
    size_t n = 0, at = 0;
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++)
        n += w.n[i];
    struct bdev_log_entry **all = rc ? NULL : rt_alloc((n + 1) * sizeof(struct bdev_log_entry *));
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++) {
        for (size_t j = 0; all && j < w.n[i]; j++)
            all[at++] = w.entries[i][j];
        rt_free(w.entries[i]);
    }
    if (!all)
        return -ENOMEM;
    qsort(all, n, sizeof(struct bdev_log_entry *), by_seq);
    *ret_entries = all;
    *ret_n = n;
    return 0;
}

void bdev_log_clear(struct bdev *bdev)
{
    ASH_ASSERT(bdev->module == &bdev_log_module);
    struct log_walk w = {.disk = disk_of(bdev), .clear = true};
    walk(&w);
}

/* --------------------------------------------------------------- methods */

static int attach(struct bdev_mgr *mgr, struct vbdev_cfg *cfg, struct ash_err *err) ASH_MAY_WAIT
{
    struct log_disk *d = rt_alloc(sizeof(*d));
    if (!d)
        return ash_err_set(err, ASH_E_NO_MEMORY, cfg->name, "no memory for '%s'", cfg->name);
    for (unsigned i = 0; i < RT_MAX_REACTORS; i++)
        ash_list_init(&d->items[i]);
    int rc = vbdev_init(&d->v, mgr, cfg->name, cfg->base, &bdev_log_module, &log_ops, err);
    if (rc == 0) {
        d->v.bdev.io_ctx_bytes = sizeof(struct log_io);
        d->v.bdev.uuid = cfg->uuid;
        rc = bdev_register(mgr, &d->v.bdev, err);
        if (rc)
            vbdev_fini(&d->v);
    }
    if (rc)
        rt_free(d);
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
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    {.name = NULL},
};

static int run_create(struct ash_call *call, void *params)
{
    struct create_params *p = params;
    struct vbdev_cfg *cfg;
    int rc = vbdev_cfg_new(sizeof(*cfg), p->name, p->base_bdev_name, &p->uuid, &cfg, call->err);
    if (rc)
        return rc;
    rc = vbdev_cfg_add(call->bdevs, &bdev_log_module, cfg, attach, call->err);
    if (rc)
        vbdev_cfg_free(cfg);
    else
        ash_jsonw_str(call->result, NULL, p->name);
    return rc;
}

static int run_delete(struct ash_call *call, void *params)
{
    struct bdev_name_params *p = params;
    return vbdev_cfg_delete(call, &bdev_log_module, p->name, NULL);
}

struct save_params {
    char *name, *filename;
};

static const struct ash_param save_table[] = {
    ASH_PARAM(struct save_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM(struct save_params, filename, ASH_P_STR, ASH_P_REQUIRED, NULL, "file to write"),
    {.name = NULL},
};

/* One entry in the file, little-endian; a write's bytes follow. */
struct saved_entry {
    uint64_t seq, done_seq, offset, length, n_data_bytes;
    int32_t rc;
    uint8_t type, flags, unused[2];
};

_Static_assert(sizeof(struct saved_entry) == 48, "the tests read it");

static int save_entries(struct rt_file *file, struct bdev_log_entry **entries,
                        size_t n) ASH_MAY_WAIT
{
    uint64_t at = 0;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct bdev_log_entry *e = entries[i];
        struct saved_entry s = {.seq = e->seq,
                                .done_seq = e->done_seq,
                                .offset = e->offset,
                                .length = e->length,
                                .n_data_bytes = e->data ? e->length : 0,
                                .rc = e->rc,
                                .type = e->type,
                                .flags = e->flags};
        rc = rt_file_write(file, &s, sizeof(s), at);
        at += sizeof(s);
        if (rc == 0 && e->data)
            rc = rt_file_write(file, e->data, e->length, at);
        at += s.n_data_bytes;
    }
    return rc;
}

static struct bdev *log_of(struct ash_call *call, const char *name)
{
    struct bdev *bdev = bdev_find(call->bdevs, name);
    if (!bdev || bdev->module != &bdev_log_module) {
        ash_err_set(call->err, ASH_E_BDEV_NOT_FOUND, name, "there is no log device '%s'", name);
        return NULL;
    }
    return bdev;
}

static int run_save(struct ash_call *call, void *params)
{
    struct save_params *p = params;
    struct bdev *bdev = log_of(call, p->name);
    struct bdev_log_entry **entries;
    struct rt_file *file;
    size_t n;
    if (!bdev)
        return -ENODEV;
    int rc = bdev_log_get(bdev, &entries, &n);
    if (rc)
        return ash_err_set(call->err, ASH_E_NO_MEMORY, p->name, "no memory for the log of '%s'",
                           p->name);
    rc = rt_file_open(p->filename, RT_FILE_CREATE, &file, call->err);
    if (rc == 0) {
        rc = save_entries(file, entries, n);
        rt_file_close(file);
        if (rc)
            ash_err_set_rc(call->err, rc, ASH_E_RT_FILE_OPEN, p->filename,
                           "'%s' cannot be written: %s", p->filename, ash_strerror(rc));
    }
    rt_free(entries);
    if (rc == 0)
        ash_jsonw_u64(call->result, NULL, n);
    return rc;
}

static int run_seq(struct ash_call *call, void *params)
{
    struct bdev_name_params *p = params;
    struct bdev *bdev = log_of(call, p->name);
    if (!bdev)
        return -ENODEV;
    ash_jsonw_u64(call->result, NULL, atomic_load(&disk_of(bdev)->seq));
    return 0;
}

static const struct ash_method methods[] = {
    {"bdev_log_create", "Make a device that remembers all writes (for tests).", create_table,
     sizeof(struct create_params), .run = run_create},
    {"bdev_log_delete", "Remove a log device.", bdev_name_params, sizeof(struct bdev_name_params),
     .run = run_delete},
    {"bdev_log_save", "Write what a log device remembers to a file (for tests).", save_table,
     sizeof(struct save_params), .run = run_save},
    {"bdev_log_seq", "Tell how far a log device has counted (for tests).", bdev_name_params,
     sizeof(struct bdev_name_params), .run = run_seq},
    {.name = NULL},
};

static void examine_config(struct bdev_mgr *mgr, struct bdev *bdev)
{
    vbdev_cfg_examine(mgr, &bdev_log_module, bdev, attach);
}

static void module_fini(struct bdev_mgr *mgr, void *state)
{
    vbdev_state_fini(state, NULL);
}

struct bdev_module bdev_log_module = {
    .name = "log",
    .methods = methods,
    .examine_config = examine_config,
    .init = vbdev_state_init,
    .fini = module_fini,
};
