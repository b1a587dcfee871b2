/* SPDX-License-Identifier: Apache-2.0 */
/* Disks in files and block devices, under both names that people know: aio and uring. What moves
 * the data is the runtime's back end in either case; they differ in methods and answers only.
 *
 * Invariants
 *   - A disk is opened under a lock: no two processes and no two devices serve one file.
 *   - The medium sees what the io said: FUA writes are on it when done, FLUSH covers everything
 *     acknowledged before it. Flushes that arrive while one runs on the channel share the next.
 *   - A file that shrinks or vanishes gives -EIO.
 * Source: docs/spec/spdk-jsonrpc.md 6 and 14.10, mayastor-bdev-uris.md 2. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/mod/mod.h"

struct file_disk {
    struct bdev bdev;
    char *name, *path;
    struct rt_file *file;
    struct rt_file_info info;
    bool block_size_override, readonly, fallocate, no_fallocate, nowait;
};

struct file_io {
    struct rt_op op;
    struct bdev_io *io;
    void *bounce;
    bool sync_after;
};

struct file_channel {
    struct ash_list flush_running, flush_next; /* bdev_io.link */
};

static struct file_disk *disk_of(const struct bdev *bdev)
{
    return ash_container_of(bdev, struct file_disk, bdev);
}

/* ------------------------------------------------------------------- I/O */

static int io_rc(int64_t res)
{
    switch (res) {
    case -ENOSPC:
    case -ECANCELED:
        return (int)res;
    case -EDQUOT:
        return -ENOSPC;
    case -ENOMEM:
    case -EAGAIN:
        return -ENOMEM;
    case -EOPNOTSUPP:
        return -ENOTSUP;
    default:
        return res < 0 ? -EIO : 0;
    }
}

static void rw_done(struct rt_op *op)
{
    struct file_io *f = ash_container_of(op, struct file_io, op);
    struct bdev_io *io = f->io;
    int rc = io_rc(op->res);
    if (rc == 0 && (uint64_t)op->res != io->length)
        rc = -EIO; /* the file has become shorter */
    if (f->bounce) {
        if (rc == 0 && io->type == BDEV_READ)
            bdev_iov_from(io->iov, io->n_iov, f->bounce);
        rt_buf_put(f->bounce, io->length);
    }
    bdev_io_done(io, rc);
}

static bool is_aligned(const struct bdev_io *io, uint32_t align)
{
    uintptr_t bits = 0;
    for (uint32_t i = 0; i < io->n_iov; i++)
        bits |= (uintptr_t)io->iov[i].iov_base | io->iov[i].iov_len;
    return (bits & (align - 1)) == 0;
}

static void submit_rw(struct file_disk *d, struct bdev_io *io, struct file_io *f)
{
    f->op.kind = io->type == BDEV_READ ? RT_OP_READ : RT_OP_WRITE;
    f->op.flags = io->flags & BDEV_FUA ? RT_OP_FUA : 0;
    f->op.iov = io->iov;
    f->op.n_iov = io->n_iov;
    f->op.done = rw_done;
    if (d->info.dio_align_bytes > 1 && !is_aligned(io, d->info.dio_align_bytes)) {
        f->bounce = rt_buf_get(io->length);
        if (!f->bounce) {
            bdev_io_done_soon(io, -ENOMEM);
            return;
        }
        if (io->type == BDEV_WRITE)
            bdev_iov_to(io->iov, io->n_iov, f->bounce);
        f->op.one_iov = (struct iovec){f->bounce, io->length};
        f->op.iov = &f->op.one_iov;
        f->op.n_iov = 1;
    }
    rt_op_submit(&f->op);
}

static void space_done(struct rt_op *op)
{
    struct file_io *f = ash_container_of(op, struct file_io, op);
    if (op->res >= 0 && f->sync_after) {
        f->sync_after = false;
        f->op.kind = RT_OP_FSYNC;
        rt_op_submit(&f->op);
        return;
    }
    bdev_io_done(f->io, io_rc(op->res));
}

static void submit_space(struct file_disk *d, struct bdev_io *io, struct file_io *f)
{
    bool may_punch = d->info.can_punch && !d->info.is_device && !(io->flags & BDEV_NO_HOLE);
    f->op.kind = io->type == BDEV_UNMAP || may_punch ? RT_OP_PUNCH : RT_OP_ZERO;
    f->op.flags = io->flags & BDEV_NO_HOLE ? RT_OP_NO_HOLE : 0;
    f->op.length = io->length;
    f->op.done = space_done;
    f->sync_after = io->type == BDEV_WRITE_ZEROES && io->flags & BDEV_FUA;
    rt_op_submit(&f->op);
}

static void flush_start(struct file_channel *fc);

static void flush_done(struct rt_op *op)
{
    struct file_io *f = ash_container_of(op, struct file_io, op);
    struct file_channel *fc = f->io->frame->ch->ctx;
    int rc = io_rc(op->res);
    struct ash_list done;
    ash_list_init(&done);
    ash_list_splice_tail(&done, &fc->flush_running);
    if (rc == -ENOMEM)
        rc = -EIO; /* a flush that failed once may not be tried again: its data may be lost */
    flush_start(fc);
    struct ash_list *l;
    while ((l = ash_list_pop_head(&done)))
        bdev_io_done(ash_list_entry(l, struct bdev_io, link), rc);
}

/* One fsync for all flushes that have come up to now. */
static void flush_start(struct file_channel *fc)
{
    if (!ash_list_empty(&fc->flush_running) || ash_list_empty(&fc->flush_next))
        return;
    ash_list_splice_tail(&fc->flush_running, &fc->flush_next);
    struct bdev_io *io = ash_list_entry(fc->flush_running.next, struct bdev_io, link);
    struct file_io *f = bdev_io_ctx(io);
    f->op.kind = RT_OP_FSYNC;
    f->op.done = flush_done;
    rt_op_submit(&f->op);
}

static void disk_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct file_disk *d = disk_of(ch->bdev);
    struct file_channel *fc = ch->ctx;
    struct file_io *f = bdev_io_ctx(io);
    memset(f, 0, sizeof(*f));
    f->io = io;
    f->op.file = d->file;
    f->op.offset = io->offset;
    switch (io->type) {
    case BDEV_READ:
    case BDEV_WRITE:
        submit_rw(d, io, f);
        break;
    case BDEV_UNMAP:
    case BDEV_WRITE_ZEROES:
        submit_space(d, io, f);
        break;
    case BDEV_FLUSH:
        ash_list_push_tail(&fc->flush_next, &io->link);
        flush_start(fc);
        break;
    default: /* RESET: the core waits for what is in flight, which always ends */
        bdev_io_done_soon(io, 0);
        break;
    }
}

static bool disk_supports(struct bdev *bdev, enum bdev_io_type type)
{
    const struct file_disk *d = disk_of(bdev);
    switch (type) {
    case BDEV_READ:
    case BDEV_FLUSH:
    case BDEV_RESET:
        return true;
    case BDEV_WRITE:
        return !d->readonly;
    case BDEV_UNMAP:
        return !d->readonly && !d->no_fallocate && d->info.can_punch;
    case BDEV_WRITE_ZEROES:
        return !d->readonly && !d->no_fallocate && d->info.can_zero;
    default:
        return false;
    }
}

static int channel_init(struct bdev_channel *ch)
{
    struct file_channel *fc = ch->ctx;
    ash_list_init(&fc->flush_running);
    ash_list_init(&fc->flush_next);
    return 0;
}

static void disk_area(struct bdev_channel *ch, uint64_t offset, uint64_t length,
                      struct bdev_area *ret)
{
    struct file_disk *d = disk_of(ch->bdev);
    uint64_t data, hole;
    if (d->info.is_device)
        return;
    int rc = rt_file_seek(d->file, true, offset, &data);
    if (rc == 0 && data == offset) {
        if (rt_file_seek(d->file, false, offset, &hole) == 0 && hole > offset)
            ret->length = ASH_MIN(length, hole - offset);
        return;
    }
    if (rc && rc != -ENXIO)
        return; /* cannot tell: data */
    ret->length = rc == 0 && data > offset ? ASH_MIN(length, data - offset) : length;
    ret->flags = BDEV_AREA_HOLE | BDEV_AREA_ZERO;
    ret->depth = 0;
}

static void disk_free(struct file_disk *d) ASH_MAY_WAIT
{
    if (d->file)
        rt_file_close(d->file);
    rt_free(d->name);
    rt_free(d->path);
    rt_free(d);
}

static void disk_destroy(struct bdev *bdev)
{
    disk_free(disk_of(bdev));
}

static void disk_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    const struct file_disk *d = disk_of(bdev);
    bool is_aio = bdev->module == &bdev_aio_module;
    ash_jsonw_obj(w, is_aio ? "aio" : "uring");
    ash_jsonw_str(w, "filename", d->path);
    if (is_aio) {
        ash_jsonw_bool(w, "block_size_override", d->block_size_override);
        ash_jsonw_bool(w, "readonly", d->readonly);
        ash_jsonw_bool(w, "fallocate", d->fallocate);
        ash_jsonw_bool(w, "nowait", d->nowait);
    }
    ash_jsonw_obj_end(w);
}

static void disk_dump_config(struct bdev *bdev, struct ash_jsonw *w)
{
    const struct file_disk *d = disk_of(bdev);
    bool is_aio = bdev->module == &bdev_aio_module;
    bdev_mod_config(w, is_aio ? "bdev_aio_create" : "bdev_uring_create", bdev);
    ash_jsonw_str(w, "filename", d->path);
    ash_jsonw_u64(w, "block_size", bdev->block_bytes);
    if (is_aio) {
        ash_jsonw_bool(w, "readonly", d->readonly);
        if (d->fallocate || d->no_fallocate)
            ash_jsonw_bool(w, "fallocate", d->fallocate);
        ash_jsonw_bool(w, "nowait", d->nowait);
    } else if (d->readonly) {
        ash_jsonw_bool(w, "readonly", true); /* our own: only when it has to be said */
    }
    bdev_mod_config_end(w, bdev);
}

static int disk_rescan(struct bdev *bdev, struct ash_err *err) ASH_MAY_WAIT
{
    struct rt_file_info info;
    int rc = rt_file_info(disk_of(bdev)->file, &info);
    if (rc == 0)
        rc = bdev_resized(bdev, info.size_bytes / bdev->block_bytes * bdev->block_bytes);
    if (rc)
        return ash_err_set_rc(err, rc, rc == -EBUSY ? ASH_E_BDEV_BUSY : ASH_E_BDEV_IO, bdev->name,
                              "Failed to resize a BDEV '%s': %s", bdev->name,
                              rc == -EBUSY ? "the file has become smaller while the disk is open"
                                           : ash_strerror(rc));
    return 0;
}

/* A disk whose file has gone to nothing is removed. */
static int rescan_or_remove(struct bdev *bdev, struct ash_err *err) ASH_MAY_WAIT
{
    struct rt_file_info info;
    if (rt_file_info(disk_of(bdev)->file, &info) == 0 && info.size_bytes < bdev->block_bytes) {
        int rc = bdev_unregister(bdev);
        return rc ? ash_err_set(err, ASH_E_BDEV_BUSY, bdev->name, "the disk is being removed") : 0;
    }
    return disk_rescan(bdev, err);
}

static const struct bdev_ops disk_ops = {
    .submit = disk_submit,
    .supports = disk_supports,
    .channel_init = channel_init,
    .area = disk_area,
    .destroy = disk_destroy,
    .dump = disk_dump,
    .rescan = disk_rescan,
    .dump_config = disk_dump_config,
};

/* -------------------------------------------------------------- creation */

struct create_params {
    char *name, *filename;
    uint32_t block_size;
    struct ash_uuid uuid;
    bool readonly, fallocate, has_fallocate, nowait;
};

static int open_file(struct file_disk *d, uint32_t block_size, struct ash_err *err) ASH_MAY_WAIT
{
    unsigned flags = RT_FILE_LOCK | RT_FILE_DIRECT | (d->readonly ? RT_FILE_RDONLY : 0);
    int rc = rt_file_open(d->path, flags, &d->file, err);
    if (rc == 0)
        rc = rt_file_info(d->file, &d->info);
    if (rc == 0 && block_size && d->info.dio_align_bytes > block_size) {
        /* blocks smaller than what direct I/O takes: through the page cache then */
        rt_file_close(d->file);
        d->file = NULL;
        rc = rt_file_open(d->path, flags & ~(unsigned)RT_FILE_DIRECT, &d->file, err);
        if (rc == 0)
            rc = rt_file_info(d->file, &d->info);
    }
    if (rc)
        ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, d->path, "'%s' cannot be used: %s", d->path,
                       ash_strerror(rc));
    return rc;
}

static int check_block_size(const struct file_disk *d, uint32_t block, struct ash_err *err)
{
    if (block < 512 || !ash_is_pow2(block) || block > 1u << 20)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, d->path,
                           "block size %u of '%s' is not a power of two from 512 on", block,
                           d->path);
    if (d->info.is_device && block < d->info.logical_block_bytes)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, d->path,
                           "block size %u of '%s' is less than the device's own, %u", block,
                           d->path, d->info.logical_block_bytes);
    if (d->info.size_bytes == 0 || d->info.size_bytes % block)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, d->path,
                           "size %llu of '%s' is not a multiple of the block size %u",
                           (unsigned long long)d->info.size_bytes, d->path, block);
    return 0;
}

static void fill_bdev(struct file_disk *d, struct bdev_module *module, uint32_t block,
                      const struct ash_uuid *uuid)
{
    const struct rt_file_info *info = &d->info;
    d->bdev = (struct bdev){
        .name = d->name,
        .product_name = module == &bdev_aio_module ? "AIO disk" : "URING bdev",
        .ops = &disk_ops,
        .module = module,
        .uuid = *uuid,
        .block_bytes = block,
        .phys_block_bytes = ASH_MAX(block, info->physical_block_bytes),
        .size_bytes = info->size_bytes,
        .align_bytes = info->dio_align_bytes,
        .read_only = d->readonly,
        .volatile_cache = true,
        .unmap_zeroes = !info->is_device,
        .fast_zeroes = info->can_zero,
        .rotational = info->is_rotational,
        .io_ctx_bytes = sizeof(struct file_io),
        .channel_ctx_bytes = sizeof(struct file_channel),
    };
}

static int disk_create(struct bdev_mgr *mgr, struct bdev_module *module,
                       const struct create_params *p, struct ash_err *err) ASH_MAY_WAIT
{
    if (bdev_find(mgr, p->name))
        return bdev_uri_exists(p->name, err);
    struct file_disk *d = rt_alloc(sizeof(*d));
    if (d) {
        d->name = rt_strdup(p->name);
        d->path = rt_strdup(p->filename);
    }
    if (!d || !d->name || !d->path) {
        if (d)
            disk_free(d);
        return ash_err_set(err, ASH_E_NO_MEMORY, p->name, "no memory for disk '%s'", p->name);
    }
    d->readonly = p->readonly;
    d->fallocate = p->fallocate;
    d->no_fallocate = p->has_fallocate && !p->fallocate;
    d->nowait = p->nowait;
    d->block_size_override = p->block_size != 0;
    int rc = open_file(d, p->block_size, err);
    uint32_t block = p->block_size;
    if (rc == 0 && !block)
        block = d->info.is_device ? d->info.logical_block_bytes : 512;
    if (rc == 0 && d->info.dio_align_bytes > block) {
        rt_file_close(d->file);
        d->file = NULL;
        rc = open_file(d, block, err);
    }
    if (rc == 0)
        rc = check_block_size(d, block, err);
    if (rc == 0) {
        fill_bdev(d, module, block, &p->uuid);
        rc = bdev_register(mgr, &d->bdev, err);
    }
    if (rc)
        disk_free(d);
    return rc;
}

/* --------------------------------------------------------------- methods */

static const struct ash_param aio_table[] = {
    ASH_PARAM(struct create_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM(struct create_params, filename, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "path of a file or block device"),
    ASH_PARAM(struct create_params, block_size, ASH_P_U32, 0, NULL, "bytes; 0: find out"),
    ASH_PARAM(struct create_params, readonly, ASH_P_BOOL, 0, NULL, "never write"),
    ASH_PARAM_OPT(struct create_params, fallocate, ASH_P_BOOL,
                  "false: neither unmap nor write zeroes by the file system"),
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    ASH_PARAM(struct create_params, nowait, ASH_P_BOOL, 0, NULL, "accepted, no effect"),
    {.name = NULL},
};

static const struct ash_param uring_table[] = {
    ASH_PARAM(struct create_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM(struct create_params, filename, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "path of a file or block device"),
    ASH_PARAM(struct create_params, block_size, ASH_P_U32, 0, NULL, "bytes; 0: find out"),
    ASH_PARAM(struct create_params, readonly, ASH_P_BOOL, 0, NULL, "never write"),
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    {.name = NULL},
};

static int run_create(struct ash_call *call, struct bdev_module *module,
                      struct create_params *p) ASH_MAY_WAIT
{
    int rc = disk_create(call->bdevs, module, p, call->err);
    if (rc)
        return rc;
    /* what is on the disk is usable when the call answers */
    bdev_wait_for_examine(call->bdevs);
    ash_jsonw_str(call->result, NULL, p->name);
    return 0;
}

static int run_aio_create(struct ash_call *call, void *params)
{
    return run_create(call, &bdev_aio_module, params);
}

static int run_uring_create(struct ash_call *call, void *params)
{
    int rc = run_create(call, &bdev_uring_module, params);
    if (rc) {
        call->rpc_code = -32603;
        strcpy(call->rpc_message, "Unable to create URING bdev.");
    }
    return rc;
}

static int run_rescan(struct ash_call *call, void *params, struct bdev_module *module) ASH_MAY_WAIT
{
    struct bdev_name_params *p = params;
    struct bdev *bdev = NULL;
    int rc = bdev_mod_find(call->bdevs, p->name, module, &bdev, call->err);
    if (rc == 0)
        rc = rescan_or_remove(bdev, call->err);
    if (rc == 0)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static int run_aio_rescan(struct ash_call *call, void *params)
{
    return run_rescan(call, params, &bdev_aio_module);
}

static int run_uring_rescan(struct ash_call *call, void *params)
{
    return run_rescan(call, params, &bdev_uring_module);
}

static int run_aio_delete(struct ash_call *call, void *params)
{
    return bdev_mod_delete(call, ((struct bdev_name_params *)params)->name, &bdev_aio_module);
}

static int run_uring_delete(struct ash_call *call, void *params)
{
    return bdev_mod_delete(call, ((struct bdev_name_params *)params)->name, &bdev_uring_module);
}

static const struct ash_method aio_methods[] = {
    {"bdev_aio_create", "Serve a file or block device.", aio_table, sizeof(struct create_params),
     .run = run_aio_create},
    {"bdev_aio_rescan", "Take over the size of the file.", bdev_name_params,
     sizeof(struct bdev_name_params), .run = run_aio_rescan},
    {"bdev_aio_delete", "Stop serving a file.", bdev_name_params, sizeof(struct bdev_name_params),
     .run = run_aio_delete},
    {.name = NULL},
};

static const struct ash_method uring_methods[] = {
    {"bdev_uring_create", "Serve a file or block device.", uring_table,
     sizeof(struct create_params), .run = run_uring_create},
    {"bdev_uring_rescan", "Take over the size of the file.", bdev_name_params,
     sizeof(struct bdev_name_params), .run = run_uring_rescan},
    {"bdev_uring_delete", "Stop serving a file.", bdev_name_params, sizeof(struct bdev_name_params),
     .run = run_uring_delete},
    {.name = NULL},
};

/* ------------------------------------------------------------------ URIs */

struct uri_params {
    uint32_t blk_size;
    bool has_blk_size, rescan, readonly;
    struct ash_uuid uuid;
};

static const struct ash_param aio_uri_table[] = {
    ASH_PARAM_OPT(struct uri_params, blk_size, ASH_P_U32,
                  "bytes of a block; 512 for files, found out for devices"),
    ASH_PARAM(struct uri_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    ASH_PARAM(struct uri_params, rescan, ASH_P_FLAG, 0, NULL, "a disk of the name is rescanned"),
    ASH_PARAM(struct uri_params, readonly, ASH_P_FLAG, 0, NULL, "never write"),
    {.name = NULL},
};

static const struct ash_param uring_uri_table[] = {
    ASH_PARAM_OPT(struct uri_params, blk_size, ASH_P_U32,
                  "bytes of a block; 512 for files, found out for devices"),
    ASH_PARAM(struct uri_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    ASH_PARAM(struct uri_params, readonly, ASH_P_FLAG, 0, NULL, "never write"),
    {.name = NULL},
};

static int uri_name(const struct bdev_uri *uri, char **ret_name, struct ash_err *err)
{
    if (uri->n_segments == 0)
        return bdev_uri_invalid(uri, "no path segments", err);
    *ret_name = rt_strdup(uri->path);
    return *ret_name ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, uri->path, "no memory for a name");
}

static int uri_create(struct bdev_mgr *mgr, struct bdev_module *module, const struct bdev_uri *uri,
                      const struct uri_params *p, char **ret_name, struct ash_err *err) ASH_MAY_WAIT
{
    char *name;
    int rc = uri_name(uri, &name, err);
    if (rc)
        return rc;
    struct bdev *there = bdev_find(mgr, name);
    if (there && p->rescan && there->module == module) {
        rc = rescan_or_remove(there, err);
    } else if (there) {
        rc = bdev_uri_exists(name, err);
    } else {
        struct create_params c = {
            .name = name, .filename = name, .uuid = p->uuid, .readonly = p->readonly};
        c.block_size = p->blk_size;
        if (!p->has_blk_size)
            c.block_size = rt_path_is_blockdev(name) ? 0 : 512;
        rc = disk_create(mgr, module, &c, err);
    }
    return bdev_uri_result(rc, name, ret_name);
}

static int aio_uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                          char **ret_name, struct ash_err *err)
{
    return uri_create(mgr, &bdev_aio_module, uri, params, ret_name, err);
}

static int uring_uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                            char **ret_name, struct ash_err *err)
{
    return uri_create(mgr, &bdev_uring_module, uri, params, ret_name, err);
}

static const char *const aio_schemes[] = {"aio", NULL};
static const char *const uring_schemes[] = {"uring", NULL};

struct bdev_module bdev_aio_module = {
    .name = "aio",
    .schemes = aio_schemes,
    .uri_help = "aio:///PATH",
    .uri_params = aio_uri_table,
    .uri_params_bytes = sizeof(struct uri_params),
    .uri_create = aio_uri_create,
    .uri_name = uri_name,
    .methods = aio_methods,
};

struct bdev_module bdev_uring_module = {
    .name = "uring",
    .schemes = uring_schemes,
    .uri_help = "uring:///PATH",
    .uri_params = uring_uri_table,
    .uri_params_bytes = sizeof(struct uri_params),
    .uri_create = uring_uri_create,
    .uri_name = uri_name,
    .methods = uring_methods,
};
