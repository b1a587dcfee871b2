/* SPDX-License-Identifier: Apache-2.0 */
/* Null disks: writes vanish, reads give zeroes. Also the model of a small module. With keep_mb the
 * first MiB are kept in memory, so that a pool can lie on the disk and only its data vanish.
 * Source: docs/spec/spdk-jsonrpc.md 6, mayastor-bdev-uris.md 3.2. */
#include <errno.h>
#include <string.h>

#include "bdev/mod/mod.h"

struct null_disk {
    struct bdev bdev;
    char *name;
    uint64_t kept_bytes;
    char *kept;
};

/* The io begins in the part that is kept; it may end behind it. */
static void kept_io(struct null_disk *d, struct bdev_io *io)
{
    uint64_t at = io->offset, left = ASH_MIN(io->length, d->kept_bytes - at);
    if (io->type == BDEV_WRITE_ZEROES)
        memset(d->kept + at, 0, left);
    for (uint32_t i = 0; i < io->n_iov && left; i++) {
        uint64_t n = ASH_MIN(left, (uint64_t)io->iov[i].iov_len);
        if (io->type == BDEV_READ)
            memcpy(io->iov[i].iov_base, d->kept + at, n);
        else if (io->type == BDEV_WRITE)
            memcpy(d->kept + at, io->iov[i].iov_base, n);
        at += n;
        left -= n;
    }
}

static void disk_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct null_disk *d = ash_container_of(ch->bdev, struct null_disk, bdev);
    if (io->type == BDEV_READ)
        bdev_iov_zero(io->iov, io->n_iov);
    if (ASH_UNLIKELY(io->offset < d->kept_bytes))
        kept_io(d, io);
    bdev_io_done_soon(io, io->type == BDEV_ABORT ? -EIO : 0);
}

static bool disk_supports(struct bdev *bdev, enum bdev_io_type type)
{
    return type == BDEV_READ || type == BDEV_WRITE || type == BDEV_WRITE_ZEROES ||
           type == BDEV_RESET || type == BDEV_ABORT;
}

static void disk_destroy(struct bdev *bdev)
{
    struct null_disk *d = ash_container_of(bdev, struct null_disk, bdev);
    rt_free(d->name);
    rt_free(d->kept);
    rt_free(d);
}

static void disk_dump_config(struct bdev *bdev, struct ash_jsonw *w)
{
    const struct null_disk *d = ash_container_of(bdev, struct null_disk, bdev);
    bdev_mod_config_blocks(w, "bdev_null_create", bdev);
    if (d->kept_bytes)
        ash_jsonw_u64(w, "keep_mb", d->kept_bytes >> 20);
    bdev_mod_config_end(w, bdev);
}

static const struct bdev_ops disk_ops = {
    .submit = disk_submit,
    .supports = disk_supports,
    .destroy = disk_destroy,
    .dump_config = disk_dump_config,
};

struct params {
    char *name;
    uint64_t num_blocks, size_mb, keep_mb;
    uint32_t block_size, physical_block_size, md_size, dif_type, dif_pi_format;
    bool dif_is_head_of_md;
    struct ash_uuid uuid;
    uint32_t preferred_write_alignment, preferred_write_granularity, optimal_write_size,
        preferred_unmap_alignment, preferred_unmap_granularity;
};

#define P(field, type, help) ASH_PARAM(struct params, field, type, 0, NULL, help)
#define RENAMED(pname, field, ptype, pflags, pdflt, phelp)                                         \
    {                                                                                              \
        pname, ptype, pflags, offsetof(struct params, field), SIZE_MAX, pdflt, NULL, phelp         \
    }
static const struct ash_param create_table[] = {
    ASH_PARAM(struct params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM(struct params, num_blocks, ASH_P_U64, ASH_P_REQUIRED, NULL, "size in blocks"),
    ASH_PARAM(struct params, block_size, ASH_P_U32, ASH_P_REQUIRED, NULL, "a multiple of 512"),
    P(uuid, ASH_P_UUID, "UUID; a random one if none"),
    P(physical_block_size, ASH_P_U32, "bytes"),
    P(keep_mb, ASH_P_U64, "our own: MiB at the begin that are kept in memory"),
    P(md_size, ASH_P_U32, "metadata per block: only 0"),
    P(dif_type, ASH_P_U32, "protection: only 0"),
    P(dif_is_head_of_md, ASH_P_BOOL, "no effect"),
    P(dif_pi_format, ASH_P_U32, "no effect"),
    P(preferred_write_alignment, ASH_P_U32, "hint, in blocks"),
    P(preferred_write_granularity, ASH_P_U32, "hint, in blocks"),
    P(optimal_write_size, ASH_P_U32, "hint, in blocks"),
    P(preferred_unmap_alignment, ASH_P_U32, "hint, in blocks"),
    P(preferred_unmap_granularity, ASH_P_U32, "hint, in blocks"),
    {.name = NULL},
};

static int disk_create(struct bdev_mgr *mgr, const struct params *p,
                       struct ash_err *err) ASH_MAY_WAIT
{
    if (p->num_blocks == 0 || p->block_size == 0 || p->block_size % 512 || p->md_size ||
        p->dif_type || p->num_blocks > (UINT64_MAX >> 1) / p->block_size)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, p->name,
                           "null disk '%s': bad num_blocks, block_size, md_size or dif_type",
                           p->name);
    struct null_disk *d = rt_alloc(sizeof(*d));
    uint64_t kept = ASH_MIN(p->keep_mb, (uint64_t)1 << 20) << 20;
    kept = ASH_MIN(kept, p->num_blocks * p->block_size);
    int rc = d && (d->name = rt_strdup(p->name)) && (!kept || (d->kept = rt_alloc(kept)))
                 ? 0
                 : ash_err_set(err, ASH_E_NO_MEMORY, p->name, "no memory for a disk");
    if (rc == 0) {
        d->kept_bytes = kept;
        d->bdev = (struct bdev){
            .name = d->name,
            .product_name = "Null disk",
            .ops = &disk_ops,
            .module = &bdev_null_module,
            .uuid = p->uuid,
            .block_bytes = p->block_size,
            .phys_block_bytes = p->physical_block_size,
            .size_bytes = p->num_blocks * p->block_size,
            .fast_zeroes = true,
            .prefer_write_align = p->preferred_write_alignment,
            .prefer_write_gran = p->preferred_write_granularity,
            .optimal_write_size = p->optimal_write_size,
            .prefer_unmap_align = p->preferred_unmap_alignment,
            .prefer_unmap_gran = p->preferred_unmap_granularity,
        };
        rc = bdev_register(mgr, &d->bdev, err);
    }
    if (rc && d)
        disk_destroy(&d->bdev);
    return rc;
}

static int run_create(struct ash_call *call, void *params)
{
    int rc = disk_create(call->bdevs, params, call->err);
    if (rc == 0)
        ash_jsonw_str(call->result, NULL, ((struct params *)params)->name);
    return rc;
}

static int run_delete(struct ash_call *call, void *params)
{
    return bdev_mod_delete(call, ((struct bdev_name_params *)params)->name, &bdev_null_module);
}

static const struct ash_param resize_table[] = {
    ASH_PARAM(struct params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    RENAMED("new_size", size_mb, ASH_P_U64, ASH_P_REQUIRED, NULL, "MiB, not smaller than now"),
    {.name = NULL},
};

static int run_resize(struct ash_call *call, void *params)
{
    struct params *p = params;
    struct bdev *bdev = NULL;
    int rc = bdev_mod_find(call->bdevs, p->name, &bdev_null_module, &bdev, call->err);
    if (rc)
        return rc;
    if (p->size_mb > UINT64_MAX >> 21 || p->size_mb << 20 < bdev->size_bytes ||
        bdev_resized(bdev, p->size_mb << 20))
        return ash_err_set(call->err, ASH_E_BDEV_BAD_GEOMETRY, p->name, "disk '%s' can only grow",
                           p->name);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static const struct ash_method methods[] = {
    {"bdev_null_create", "Make a null disk.", create_table, sizeof(struct params),
     .run = run_create},
    {"bdev_null_resize", "Grow a null disk.", resize_table, sizeof(struct params),
     .run = run_resize},
    {"bdev_null_delete", "Remove a null disk.", bdev_name_params, sizeof(struct bdev_name_params),
     .run = run_delete},
    {.name = NULL},
};

static const struct ash_param uri_table[] = {
    P(size_mb, ASH_P_U64, "size in MiB"),
    P(num_blocks, ASH_P_U64, "size in blocks, or size_mb"),
    P(keep_mb, ASH_P_U64, "MiB at the begin that are kept in memory"),
    RENAMED("blk_size", block_size, ASH_P_U32, 0, "512", "512 or 4096"),
    P(uuid, ASH_P_UUID, "UUID; a random one if none"),
    {.name = NULL},
};

static int uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                      char **ret_name, struct ash_err *err)
{
    struct params *p = params;
    char *name = NULL;
    int rc = bdev_uri_plain_name(uri, &name, err);
    if (rc)
        return rc;
    if (p->block_size != 512 && p->block_size != 4096)
        rc = bdev_uri_invalid(uri, "invalid blk_size specified must be one of 512 or 4096", err);
    else if (p->num_blocks && p->size_mb)
        rc = bdev_uri_invalid(
            uri, "conflicting parameters num_blocks and size_mb are mutually exclusive", err);
    else if (bdev_find(mgr, name))
        rc = bdev_uri_exists(name, err);
    else
        p->num_blocks = bdev_uri_blocks(p->size_mb, p->num_blocks, p->block_size);
    p->name = name;
    return bdev_uri_result(rc ? rc : disk_create(mgr, p, err), name, ret_name);
}

static const char *const schemes[] = {"null", NULL};

struct bdev_module bdev_null_module = {
    .name = "null",
    .schemes = schemes,
    .uri_help = "null:///NAME?size_mb=N",
    .uri_params = uri_table,
    .uri_params_bytes = sizeof(struct params),
    .uri_create = uri_create,
    .uri_name = bdev_uri_plain_name,
    .methods = methods,
};
