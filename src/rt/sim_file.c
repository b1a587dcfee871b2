/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a simulated world: disks under paths. There are no folders and no permissions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rt/sim_internal.h"

static struct rt_sim_attach *find(struct rt *rt, const char *path)
{
    ash_list_for_each (pos, &rt->sim->attached) {
        struct rt_sim_attach *at = ash_list_entry(pos, struct rt_sim_attach, link);
        if (strcmp(at->path, path) == 0)
            return at;
    }
    return NULL;
}

static void attach_put(struct rt_sim_attach *at)
{
    if (--at->n_refs > 0)
        return;
    ash_list_remove(&at->link);
    rt_sim_disk_put(at->disk);
    free(at);
}

int rt_sim_attach(struct rt *rt, const char *path, struct rt_sim_disk *disk)
{
    if (find(rt, path))
        return -EEXIST;
    size_t n = strlen(path) + 1;
    struct rt_sim_attach *at = calloc(1, sizeof(*at) + n);
    if (!at)
        return -ENOMEM;
    memcpy(at->path, path, n);
    at->n_refs = 1;
    at->disk = disk;
    disk->n_refs++;
    ash_list_push_tail(&rt->sim->attached, &at->link);
    return 0;
}

int rt_sim_detach(struct rt *rt, const char *path)
{
    struct rt_sim_attach *at = find(rt, path);
    if (!at)
        return -ENOENT;
    ash_list_remove(&at->link);
    ash_list_push_tail(&rt->sim->detached, &at->link);
    attach_put(at);
    return 0;
}

void rt_sim_detach_all(struct rt *rt)
{
    struct ash_list *item;
    ash_list_splice_tail(&rt->sim->attached, &rt->sim->detached);
    while ((item = ash_list_pop_head(&rt->sim->attached)) != NULL) {
        struct rt_sim_attach *at = ash_list_entry(item, struct rt_sim_attach, link);
        at->n_refs = 1; /* the open files are gone with the world */
        attach_put(at);
    }
}

struct rt_sim_disk *rt_sim_disk_create(struct rt *rt, const char *path, uint64_t size_bytes,
                                       uint32_t logical_block_bytes)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(size_bytes, logical_block_bytes);
    if (!disk)
        return NULL;
    int rc = rt_sim_attach(rt, path, disk);
    bool is_kept = disk->n_refs > 1;
    rt_sim_disk_put(disk);
    return rc == 0 && is_kept ? disk : NULL;
}

struct rt_sim_disk *rt_sim_disk_find(struct rt *rt, const char *path)
{
    struct rt_sim_attach *at = find(rt, path);
    return at ? at->disk : NULL;
}

static int open_at(struct rt *rt, const char *path, unsigned flags, struct rt_sim_attach **ret)
{
    struct rt_sim_attach *at = find(rt, path);
    if (at && (flags & RT_FILE_CREATE) && (flags & RT_FILE_EXCL))
        return -EEXIST;
    if (!at) {
        if (!(flags & RT_FILE_CREATE))
            return -ENOENT;
        if (!rt_sim_disk_create(rt, path, 0, 512))
            return -ENOMEM;
        at = find(rt, path);
    }
    bool is_shared = flags & RT_FILE_RDONLY;
    if (flags & RT_FILE_LOCK) {
        if (at->is_locked || (!is_shared && at->n_shared > 0))
            return -EBUSY;
        if (is_shared)
            at->n_shared++;
        else
            at->is_locked = true;
    }
    at->n_refs++;
    *ret = at;
    return 0;
}

int rt_sim_file_open(struct rt *rt, const char *path, unsigned flags, struct rt_file **ret_file,
                     struct ash_err *err)
{
    struct rt_file *file = rt_alloc(sizeof(*file));
    struct rt_sim_attach *at = NULL;
    rt_yield();
    int rc = file ? open_at(rt, path, flags, &at) : -ENOMEM;
    if (rc) {
        rt_free(file);
        if (rc == -ENOMEM)
            return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory to open '%s'", path);
        if (rc == -EBUSY)
            return ash_err_set(err, ASH_E_RT_FILE_BUSY, path, "'%s' is locked by another opener",
                               path);
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path, "'%s' cannot be opened: %s", path,
                              ash_strerror(rc));
    }
    file->rt = rt;
    file->fd = -1;
    file->flags = flags;
    file->is_device = at->disk->is_device;
    file->is_direct = flags & RT_FILE_DIRECT;
    file->sim = at;
    rt->sim->n_files++;
    *ret_file = file;
    return 0;
}

void rt_sim_file_close(struct rt_file *file)
{
    struct rt_sim_attach *at = file->sim;
    if (file->flags & RT_FILE_LOCK) {
        if (file->flags & RT_FILE_RDONLY)
            at->n_shared--;
        else
            at->is_locked = false;
    }
    file->rt->sim->n_files--;
    attach_put(at);
    rt_yield();
}

int rt_sim_file_info(struct rt_file *file, struct rt_file_info *info)
{
    const struct rt_sim_disk *disk = file->sim->disk;
    bool is_writable = !(file->flags & RT_FILE_RDONLY);
    *info = (struct rt_file_info){
        .size_bytes = rt_sim_disk_size(disk),
        .logical_block_bytes = disk->is_device ? disk->logical_block_bytes : 512,
        .physical_block_bytes = ASH_MAX(disk->logical_block_bytes, 4096u),
        .dio_align_bytes = file->is_direct ? disk->logical_block_bytes : 1,
        .is_device = disk->is_device,
        .is_direct = file->is_direct,
        .can_punch = disk->can_punch && is_writable,
        .can_zero = disk->can_zero && is_writable,
    };
    rt_yield();
    return 0;
}

int rt_sim_file_truncate(struct rt_file *file, uint64_t size_bytes)
{
    if (file->sim->disk->is_device || (file->flags & RT_FILE_RDONLY))
        return -EINVAL;
    rt_yield();
    return rt_sim_image_resize(file->sim->disk->image, size_bytes);
}

int rt_sim_file_seek(struct rt_file *file, bool want_data, uint64_t offset, uint64_t *ret_offset)
{
    const struct rt_sim_disk *disk = file->sim->disk;
    uint64_t size = rt_sim_disk_size(disk);
    if (offset >= size)
        return -ENXIO;
    if (disk->is_device) { /* as a real one: cannot tell */
        *ret_offset = want_data ? offset : size;
        return 0;
    }
    uint64_t at = rt_sim_image_seek(disk->image, want_data, offset);
    if (want_data && at == size)
        return -ENXIO;
    *ret_offset = at;
    return 0;
}

/* ------------------------------------------------------------ small host files */

int rt_sim_read_text(struct rt *rt, const char *path, size_t n_max, char **ret_text, size_t *ret_n,
                     struct ash_err *err)
{
    rt_yield();
    const struct rt_sim_disk *disk = rt_sim_disk_find(rt, path);
    int rc = !disk ? -ENOENT : rt_sim_disk_size(disk) > n_max ? -EFBIG : 0;
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path, "'%s' cannot be read: %s", path,
                              ash_strerror(rc));
    size_t n = (size_t)rt_sim_disk_size(disk);
    char *text = rt_alloc(n + 1);
    if (!text)
        return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory to read '%s'", path);
    rt_sim_disk_peek(disk, 0, text, n);
    *ret_text = text;
    *ret_n = n;
    return 0;
}

int rt_sim_unlink(struct rt *rt, const char *path)
{
    rt_yield();
    return rt_sim_detach(rt, path);
}

int rt_sim_rename(struct rt *rt, const char *from, const char *to)
{
    rt_yield();
    struct rt_sim_attach *at = find(rt, from);
    if (!at)
        return -ENOENT;
    struct rt_sim_disk *disk = at->disk;
    disk->n_refs++;
    rt_sim_detach(rt, from);
    if (find(rt, to))
        rt_sim_detach(rt, to);
    int rc = rt_sim_attach(rt, to, disk);
    rt_sim_disk_put(disk);
    return rc;
}

bool rt_sim_path(struct rt *rt, const char *path, bool *ret_is_device)
{
    rt_yield();
    const struct rt_sim_disk *disk = rt_sim_disk_find(rt, path);
    if (disk)
        *ret_is_device = disk->is_device;
    return disk != NULL;
}
