/* SPDX-License-Identifier: Apache-2.0 */
/* RAM disks. Contents start as zeroes; every io ends at once, by way of the ready queue.
 * Source: docs/spec/spdk-jsonrpc.md 6, mayastor-bdev-uris.md 3.1. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bdev/mod/mod.h"

enum { N_PREFETCH = 8 }; /* cache lines; behind the end of the disk they do no harm */

struct malloc_disk {
    struct bdev bdev;
    char *name;
    void *mem;  /* what was allocated */
    char *data; /* aligned into it. Read on all reactors; changes only while I/O is quiesced */
};

struct malloc_state {
    unsigned next_idx; /* of Malloc0, Malloc1 ... */
};

static struct malloc_disk *disk_of(struct bdev *bdev)
{
    return ash_container_of(bdev, struct malloc_disk, bdev);
}

static int disk_io(struct malloc_disk *d, struct bdev_io *io)
{
    switch (io->type) {
    case BDEV_READ:
        bdev_iov_from(io->iov, io->n_iov, d->data + io->offset);
        return 0;
    case BDEV_WRITE:
        bdev_iov_to(io->iov, io->n_iov, d->data + io->offset);
        return 0;
    case BDEV_UNMAP:
    case BDEV_WRITE_ZEROES:
        memset(d->data + io->offset, 0, io->length);
        return 0;
    case BDEV_COMPARE:
        return bdev_iov_compare(io->iov, io->n_iov, d->data + io->offset);
    case BDEV_COPY:
        memmove(d->data + io->offset, d->data + io->src_offset, io->length);
        return 0;
    case BDEV_FLUSH:
    case BDEV_RESET:
        return 0;
    default: /* ABORT: everything has ended already, there is nothing to abort */
        return -EIO;
    }
}

static void run_io(struct rt_job *job)
{
    struct bdev_io *io = ash_container_of(job, struct bdev_io, job);
    bdev_io_done(io, disk_io(disk_of(io->frame->ch->bdev), io));
}

/* Lines that will be written are asked for as such, where the compiler's plain processor has no
 * word for it; older ones take the instruction for nothing. */
#if defined(__x86_64__)
#define MAY_PREFETCHW __attribute__((target("prfchw")))
#else
#define MAY_PREFETCHW
#endif

/* The copy is made when the ready queue comes to it: until then the memory it needs is on its way.
 * A few lines are enough, the hardware follows them. */
MAY_PREFETCHW static void disk_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    const char *at = disk_of(ch->bdev)->data + io->offset;
    if (io->type == BDEV_READ)
        for (unsigned i = 0; i < N_PREFETCH; i++)
            __builtin_prefetch(at + i * 64, 0, 2);
    else if (io->type == BDEV_WRITE)
        for (unsigned i = 0; i < N_PREFETCH; i++)
            __builtin_prefetch(at + i * 64, 1, 2);
    io->job.run = run_io;
    rt_post(ch->reactor, &io->job);
}

static bool disk_supports(struct bdev *bdev, enum bdev_io_type type)
{
    const uint32_t types = 1u << BDEV_READ | 1u << BDEV_WRITE | 1u << BDEV_FLUSH |
                           1u << BDEV_RESET | 1u << BDEV_UNMAP | 1u << BDEV_WRITE_ZEROES |
                           1u << BDEV_ABORT | 1u << BDEV_COMPARE | 1u << BDEV_COPY;
    return types >> type & 1;
}

static void disk_free(struct malloc_disk *d)
{
    rt_free(d->mem);
    rt_free(d->name);
    rt_free(d);
}

static void disk_destroy(struct bdev *bdev)
{
    disk_free(disk_of(bdev));
}

static void disk_dump_config(struct bdev *bdev, struct ash_jsonw *w)
{
    bdev_mod_config_blocks(w, "bdev_malloc_create", bdev);
    ash_jsonw_u64(w, "optimal_io_boundary", bdev->boundary_bytes / bdev->block_bytes);
    bdev_mod_config_end(w, bdev);
}

static const struct bdev_ops disk_ops = {
    .submit = disk_submit,
    .supports = disk_supports,
    .destroy = disk_destroy,
    .dump_config = disk_dump_config,
};

/* -------------------------------------------------------------- creation */

struct create_params {
    char *name;
    uint64_t num_blocks;
    uint32_t block_size, physical_block_size, optimal_io_boundary, md_size, dif_pi_format;
    struct ash_uuid uuid;
    int32_t dif_type, numa_id;
    bool md_interleave, dif_is_head_of_md;
};

static const struct ash_param create_table[] = {
    ASH_PARAM(struct create_params, name, ASH_P_STR, 0, NULL, "name; Malloc0, Malloc1 ... if none"),
    ASH_PARAM(struct create_params, num_blocks, ASH_P_U64, ASH_P_REQUIRED, NULL, "size in blocks"),
    ASH_PARAM(struct create_params, block_size, ASH_P_U32, ASH_P_REQUIRED, NULL,
              "bytes of a block, a multiple of 512"),
    ASH_PARAM(struct create_params, physical_block_size, ASH_P_U32, 0, NULL,
              "bytes of a physical block"),
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    ASH_PARAM(struct create_params, optimal_io_boundary, ASH_P_U32, 0, NULL,
              "I/O is split at multiples of so many blocks"),
    ASH_PARAM(struct create_params, md_size, ASH_P_U32, 0, NULL, "metadata per block: only 0"),
    ASH_PARAM(struct create_params, md_interleave, ASH_P_BOOL, 0, NULL, "accepted, no effect"),
    ASH_PARAM(struct create_params, dif_type, ASH_P_I32, 0, NULL, "protection: only 0"),
    ASH_PARAM(struct create_params, dif_is_head_of_md, ASH_P_BOOL, 0, NULL, "accepted, no effect"),
    ASH_PARAM(struct create_params, dif_pi_format, ASH_P_U32, 0, NULL, "accepted, no effect"),
    ASH_PARAM(struct create_params, numa_id, ASH_P_I32, 0, "-1", "accepted, no effect"),
    {.name = NULL},
};

static int check_params(const struct create_params *p, struct ash_err *err)
{
    if (p->num_blocks == 0)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, p->name, "num_blocks must not be 0");
    if (p->block_size == 0 || p->block_size % 512)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, p->name,
                           "block_size %u is no multiple of 512", p->block_size);
    if (p->physical_block_size % 512)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, p->name,
                           "physical_block_size %u is no multiple of 512", p->physical_block_size);
    if (p->md_size || p->dif_type)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, p->name,
                           "metadata in or beside blocks is not supported: md_size and dif_type "
                           "must be 0");
    if (p->num_blocks > (UINT64_MAX >> 1) / p->block_size)
        return ash_err_set(err, ASH_E_NO_MEMORY, p->name, "no memory for a disk of this size");
    return 0;
}

/* Room for n_bytes, zeroed, aligned to a page. */
static char *data_alloc(uint64_t n_bytes, void **ret_mem)
{
    *ret_mem = rt_alloc(n_bytes + 4096);
    if (!*ret_mem)
        return NULL;
    char *data = (char *)ash_align_up((uintptr_t)*ret_mem, 4096);
    rt_want_huge(data, n_bytes);
    return data;
}

static int make_name(struct bdev_mgr *mgr, const struct create_params *p, char **ret_name)
{
    char auto_name[32];
    struct malloc_state *st = bdev_module_state(mgr, &bdev_malloc_module);
    const char *name = p->name;
    if (!name) {
        do
            snprintf(auto_name, sizeof(auto_name), "Malloc%u", st->next_idx++);
        while (bdev_find(mgr, auto_name));
        name = auto_name;
    }
    *ret_name = rt_strdup(name);
    return *ret_name ? 0 : -ENOMEM;
}

static int disk_create(struct bdev_mgr *mgr, const struct create_params *p, const char **ret_name,
                       struct ash_err *err) ASH_MAY_WAIT
{
    int rc = check_params(p, err);
    if (rc)
        return rc;
    struct malloc_disk *d = rt_alloc(sizeof(*d));
    uint64_t n_bytes = p->num_blocks * p->block_size;
    if (d)
        d->data = data_alloc(n_bytes, &d->mem);
    if (!d || !d->data || make_name(mgr, p, &d->name)) {
        if (d)
            disk_free(d);
        return ash_err_set(err, ASH_E_NO_MEMORY, p->name, "no memory for a disk of %llu bytes",
                           (unsigned long long)n_bytes);
    }
    d->bdev = (struct bdev){
        .name = d->name,
        .product_name = "Malloc disk",
        .ops = &disk_ops,
        .module = &bdev_malloc_module,
        .uuid = p->uuid,
        .block_bytes = p->block_size,
        .phys_block_bytes = p->physical_block_size,
        .size_bytes = n_bytes,
        .boundary_bytes = (uint64_t)p->optimal_io_boundary * p->block_size,
        .unmap_zeroes = true,
        .fast_zeroes = true,
    };
    rc = bdev_register(mgr, &d->bdev, err);
    if (rc)
        disk_free(d);
    else
        *ret_name = d->name;
    return rc;
}

static int run_create(struct ash_call *call, void *params)
{
    const char *name;
    int rc = disk_create(call->bdevs, params, &name, call->err);
    if (rc == 0)
        ash_jsonw_str(call->result, NULL, name);
    return rc;
}

static int run_delete(struct ash_call *call, void *params)
{
    struct bdev_name_params *p = params;
    return bdev_mod_delete(call, p->name, &bdev_malloc_module);
}

static const struct ash_method methods[] = {
    {"bdev_malloc_create", "Make a RAM disk.", create_table, sizeof(struct create_params),
     .run = run_create},
    {"bdev_malloc_delete", "Remove a RAM disk.", bdev_name_params, sizeof(struct bdev_name_params),
     .run = run_delete},
    {.name = NULL},
};

/* ------------------------------------------------------------------- URI */

struct uri_params {
    uint32_t blk_size, size_mb, num_blocks;
    struct ash_uuid uuid;
    bool resize;
};

static const struct ash_param uri_table[] = {
    ASH_PARAM(struct uri_params, size_mb, ASH_P_U32, 0, NULL, "size in MiB"),
    ASH_PARAM(struct uri_params, num_blocks, ASH_P_U32, 0, NULL, "size in blocks, or size_mb"),
    ASH_PARAM(struct uri_params, blk_size, ASH_P_U32, 0, "512", "512 or 4096"),
    ASH_PARAM(struct uri_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    ASH_PARAM(struct uri_params, resize, ASH_P_FLAG, 0, NULL, "a disk of the name gets the size"),
    {.name = NULL},
};

static int disk_resize(struct bdev *bdev, uint64_t n_bytes, struct ash_err *err) ASH_MAY_WAIT
{
    struct malloc_disk *d = disk_of(bdev);
    void *mem = NULL;
    if (n_bytes < bdev->size_bytes)
        bdev_wait_examined(bdev);
    int rc = n_bytes < bdev->size_bytes && bdev_is_open(bdev) ? -EBUSY : 0;
    char *data = rc ? NULL : data_alloc(n_bytes, &mem);
    if (rc == 0)
        rc = data ? bdev_quiesce(bdev, 0, 0) : -ENOMEM;
    if (rc == 0) {
        void *old = d->mem;
        memcpy(data, d->data, ASH_MIN(n_bytes, bdev->size_bytes));
        d->mem = mem;
        d->data = data;
        mem = old;
        rc = bdev_resized(bdev, n_bytes);
        bdev_unquiesce(bdev, 0, 0);
    }
    rt_free(mem);
    if (rc)
        return ash_err_set_rc(err, rc, rc == -EBUSY ? ASH_E_BDEV_BUSY : ASH_E_NO_MEMORY, bdev->name,
                              "Failed to resize a BDEV '%s'", bdev->name);
    return 0;
}

static int uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                      char **ret_name, struct ash_err *err)
{
    struct uri_params *p = params;
    char *name;
    int rc = bdev_uri_plain_name(uri, &name, err);
    if (rc)
        return rc;
    if (p->blk_size != 512 && p->blk_size != 4096)
        rc = bdev_uri_invalid(uri, "'blk_size' must be one of: 512, 4096", err);
    else if (p->num_blocks && p->size_mb)
        rc = bdev_uri_invalid(uri, "'num_blocks' and 'size_mb' are mutually exclusive", err);
    else if (!p->num_blocks && !p->size_mb)
        rc = bdev_uri_invalid(uri, "either 'num_blocks' or 'size_mb' must be specified", err);
    struct create_params c = {
        .name = name,
        .num_blocks = bdev_uri_blocks(p->size_mb, p->num_blocks, p->blk_size),
        .block_size = p->blk_size,
        .uuid = p->uuid,
    };
    struct bdev *there = bdev_find(mgr, name);
    const char *made;
    if (rc == 0 && there && p->resize && there->module == &bdev_malloc_module)
        rc = disk_resize(there, c.num_blocks * p->blk_size, err);
    else if (rc == 0 && there)
        rc = bdev_uri_exists(name, err);
    else if (rc == 0)
        rc = disk_create(mgr, &c, &made, err);
    return bdev_uri_result(rc, name, ret_name);
}

static int module_init(struct bdev_mgr *mgr, void **ret_state)
{
    *ret_state = rt_alloc(sizeof(struct malloc_state));
    return *ret_state ? 0 : -ENOMEM;
}

static void module_fini(struct bdev_mgr *mgr, void *state)
{
    rt_free(state);
}

static const char *const schemes[] = {"malloc", NULL};

struct bdev_module bdev_malloc_module = {
    .name = "malloc",
    .schemes = schemes,
    .uri_help = "malloc:///NAME?size_mb=N",
    .uri_params = uri_table,
    .uri_params_bytes = sizeof(struct uri_params),
    .uri_create = uri_create,
    .uri_name = bdev_uri_plain_name,
    .methods = methods,
    .init = module_init,
    .fini = module_fini,
};
