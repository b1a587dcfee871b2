/* SPDX-License-Identifier: Apache-2.0 */
/* Small things that several modules need. No state. */
#include <errno.h>
#include <string.h>

#include "bdev/mod/mod.h"

int bdev_uri_exists(const char *name, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BDEV_EXISTS, name,
                       "Failed to create a BDEV: name '%s' already exists", name);
}

int bdev_uri_path_name(const struct bdev_uri *uri, const char *empty_text, char **ret_name,
                       struct ash_err *err)
{
    const char *path = uri->path[0] == '/' ? uri->path + 1 : uri->path;
    if (uri->n_segments == 0 || !*path)
        return bdev_uri_invalid(uri, empty_text, err);
    char *name = rt_strdup(path);
    if (!name)
        return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory for a name");
    *ret_name = name;
    return 0;
}

int bdev_uri_plain_name(const struct bdev_uri *uri, char **ret_name, struct ash_err *err)
{
    return bdev_uri_path_name(uri, "empty path", ret_name, err);
}

int bdev_uri_result(int rc, char *name, char **ret_name)
{
    if (rc)
        rt_free(name);
    else
        *ret_name = name;
    return rc;
}

uint64_t bdev_uri_blocks(uint64_t size_mb, uint64_t num_blocks, uint32_t block_bytes)
{
    if (num_blocks || block_bytes == 0)
        return num_blocks;
    /* more than any memory holds stays more than any memory holds */
    return size_mb > UINT64_MAX >> 21 ? UINT64_MAX / block_bytes : (size_mb << 20) / block_bytes;
}

const struct ash_param bdev_name_params[] = {
    ASH_PARAM(struct bdev_name_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    {.name = NULL},
};

int bdev_mod_find(struct bdev_mgr *mgr, const char *name, const struct bdev_module *module,
                  struct bdev **ret_bdev, struct ash_err *err)
{
    struct bdev *bdev = bdev_find(mgr, name);
    if (!bdev)
        return ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "there is no device '%s'", name);
    if (module && bdev->module != module)
        return ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "device '%s' was not made by module %s",
                           name, module->name);
    *ret_bdev = bdev;
    return 0;
}

int bdev_mod_delete(struct ash_call *call, const char *name, const struct bdev_module *module)
{
    struct bdev *bdev = NULL;
    int rc = bdev_mod_find(call->bdevs, name, module, &bdev, call->err);
    if (rc)
        return rc;
    rc = bdev_unregister(bdev);
    if (rc)
        return ash_err_set(call->err, ASH_E_BDEV_BUSY, name, "device '%s' is being removed", name);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

void bdev_mod_config(struct ash_jsonw *w, const char *method, const struct bdev *bdev)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "method", method);
    ash_jsonw_obj(w, "params");
    ash_jsonw_str(w, "name", bdev->name);
}

void bdev_mod_config_blocks(struct ash_jsonw *w, const char *method, const struct bdev *bdev)
{
    bdev_mod_config(w, method, bdev);
    ash_jsonw_u64(w, "num_blocks", bdev->size_bytes / bdev->block_bytes);
    ash_jsonw_u64(w, "block_size", bdev->block_bytes);
    ash_jsonw_u64(w, "physical_block_size", bdev->phys_block_bytes);
}

void bdev_mod_config_end(struct ash_jsonw *w, const struct bdev *bdev)
{
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_jsonw_str(w, "uuid", ash_uuid_format(&bdev->uuid, uuid));
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

void bdev_iov_from(const struct iovec *iov, uint32_t n_iov, const void *from)
{
    const char *p = from;
    for (uint32_t i = 0; i < n_iov; i++) {
        memcpy(iov[i].iov_base, p, iov[i].iov_len);
        p += iov[i].iov_len;
    }
}

void bdev_iov_to(const struct iovec *iov, uint32_t n_iov, void *to)
{
    char *p = to;
    for (uint32_t i = 0; i < n_iov; i++) {
        memcpy(p, iov[i].iov_base, iov[i].iov_len);
        p += iov[i].iov_len;
    }
}

int bdev_iov_compare(const struct iovec *iov, uint32_t n_iov, const void *with)
{
    const char *p = with;
    for (uint32_t i = 0; i < n_iov; i++) {
        if (memcmp(iov[i].iov_base, p, iov[i].iov_len) != 0)
            return -EILSEQ;
        p += iov[i].iov_len;
    }
    return 0;
}

void bdev_iov_zero(const struct iovec *iov, uint32_t n_iov)
{
    for (uint32_t i = 0; i < n_iov; i++)
        memset(iov[i].iov_base, 0, iov[i].iov_len);
}
