/* SPDX-License-Identifier: Apache-2.0 */
/* lvol:///NAME?size=SIZE&lvs=lvs:///POOL?mode=MODE&disk=URI: a pool and a thick volume in one text,
 * for tests and benchmarks (docs/spec/mayastor-bdev-uris.md 4.5). It replaces a volume of that
 * name, and destroying it destroys the pool: never a thing for data that somebody wants to keep.
 *
 * The query of the nested lvs URI cannot hold an '&', so `disk` arrives as a parameter of ours. */
#include <errno.h>
#include <string.h>

#include "pool/lvs/lvs.h"

struct lvol_params {
    char *size, *lvs, *disk;
};

static const struct ash_param lvol_table[] = {
    ASH_PARAM(struct lvol_params, size, ASH_P_STR, 0, NULL, "size of the volume"),
    ASH_PARAM(struct lvol_params, lvs, ASH_P_STR, 0, NULL,
              "lvs:///POOL?mode=create|import|create_import|purge"),
    ASH_PARAM(struct lvol_params, disk, ASH_P_STR, 0, NULL, "URI of the pool's disk"),
    {.name = NULL},
};

enum { PURGE_BYTES = 8 << 20 };

static int invalid(const struct bdev_uri *uri, const char *why, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BDEV_URI_INVALID, uri->text, "Invalid URI '%s': %s", uri->text,
                       why);
}

static int lvol_uri_name(const struct bdev_uri *uri, char **ret_name, struct ash_err *err)
{
    if (uri->n_segments == 0)
        return invalid(uri, "no path segments", err);
    *ret_name = rt_strdup(uri->path + 1);
    return *ret_name ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, uri->text, "no memory");
}

static const char *query_value(const struct bdev_uri *uri, const char *key)
{
    const char *value = NULL;
    for (size_t i = 0; i < uri->n_query; i++)
        if (strcmp(uri->query[i].key, key) == 0)
            value = uri->query[i].value; /* the last one counts */
    return value;
}

/* Zeroes over the begin of the disk, so that nothing on it is recognised. */
static int purge(struct bdev_mgr *mgr, const char *disk, struct ash_err *err)
{
    struct bdev_desc *desc;
    int rc = bdev_open(mgr, disk, BDEV_OPEN_WRITE, "purge", NULL, NULL, &desc, err);
    if (rc)
        return rc;
    struct bdev_channel *ch = bdev_channel_get(desc);
    rc = ch ? bdev_write_zeroes(ch, 0,
                                ASH_MIN(bdev_desc_bdev(desc)->size_bytes, (uint64_t)PURGE_BYTES), 0)
            : -ENOMEM;
    if (ch)
        bdev_channel_put(ch);
    bdev_close(desc);
    return rc ? ash_err_set_rc(err, rc, ASH_E_BDEV_IO, disk, "Failed to wipe the BDEV") : 0;
}

/* The pool that the nested URI asks for. */
static int lvol_pool(struct bdev_mgr *mgr, const struct bdev_uri *uri, const struct bdev_uri *lvs,
                     const char *disk_uri, struct pool **ret_pool, struct ash_err *err)
{
    struct pool_mgr *pools = bdev_mgr_pools(mgr);
    const char *mode = query_value(lvs, "mode"), *name = lvs->path + 1;
    char *disk = NULL;
    if (!mode)
        return invalid(uri, "'mode' must be specified", err);
    if (!disk_uri)
        return invalid(uri, "'disk' must be specified", err);
    bool create = strcmp(mode, "create") == 0, wipe = strcmp(mode, "purge") == 0;
    int rc = bdev_create_uri(mgr, disk_uri, &disk, err);
    if (rc)
        return rc;
    bdev_wait_for_examine(mgr);
    struct pool *pool = pool_find(pools, name);
    if (pool && create) {
        rc = ash_err_set(err, ASH_E_BDEV_EXISTS, name,
                         "Failed to create a BDEV: name '%s' already exists", name);
    } else if (pool && wipe) {
        rc = pool_destroy(pool, err);
        pool = NULL;
    }
    if (rc == 0 && wipe)
        rc = purge(mgr, disk, err);
    if (rc == 0 && !pool && (create || wipe || strcmp(mode, "create_import") == 0))
        rc = pool_create(pools, disk, name, NULL, &pool, err);
    else if (rc == 0 && !pool)
        rc = pool_import(pools, disk, false, NULL, &pool, err);
    rt_free(disk);
    *ret_pool = pool;
    return rc;
}

static int lvol_uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                           char **ret_name, struct ash_err *err)
{
    struct lvol_params *p = params;
    struct bdev_uri lvs = {0};
    struct pool *pool = NULL;
    struct volume *v = NULL;
    struct volume_info info;
    uint64_t size = 0;
    char *name;
    int rc = lvol_uri_name(uri, &name, err);
    if (rc)
        return rc;
    if (!p->size)
        rc = invalid(uri, "'size' is not specified", err);
    else if (ash_parse_size(p->size, &size))
        rc = invalid(uri, "'size' is invalid", err);
    else if (!p->lvs)
        rc = invalid(uri, "'lvs' must be specified", err);
    else if (!bdev_mgr_pools(mgr))
        rc = ash_err_set(err, ASH_E_NOT_SUPPORTED, name, "pools are not available here");
    else
        rc = bdev_uri_parse(p->lvs, &lvs, err);
    if (rc == 0 && (strcmp(lvs.scheme, "lvs") != 0 || lvs.n_segments != 1))
        rc = invalid(uri, "'lvs' must be specified", err);
    if (rc == 0)
        rc = lvol_pool(mgr, uri, &lvs, p->disk, &pool, err);
    if (rc == 0 && (v = volume_find_in(pool, name)))
        rc = volume_delete(v, err);
    if (rc == 0)
        rc = volume_create(pool, name, size, NULL, &v, err);
    if (rc == 0) {
        volume_get_info(v, &info);
        struct bdev *bdev = info.bdev ? bdev_find(mgr, info.bdev) : NULL;
        rc = bdev ? bdev_alias_add(bdev, name) : -ENODEV;
        if (rc)
            ash_err_set_rc(err, rc, ASH_E_BDEV_EXISTS, name, "Failed to create a BDEV '%s'", name);
    }
    bdev_uri_free(&lvs);
    if (rc)
        rt_free(name);
    else
        *ret_name = name;
    return rc;
}

static int lvol_uri_destroy(struct bdev_mgr *mgr, const struct bdev_uri *uri, struct ash_err *err)
{
    char *name;
    int rc = lvol_uri_name(uri, &name, err);
    if (rc)
        return rc;
    struct volume *v = bdev_mgr_pools(mgr) ? volume_of_bdev(bdev_mgr_pools(mgr), name) : NULL;
    if (!v) {
        rc = ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "BDEV '%s' could not be found", name);
    } else {
        struct volume_info info;
        volume_get_info(v, &info);
        rc = pool_destroy(info.pool, err);
    }
    rt_free(name);
    return rc;
}

static const char *const lvol_schemes[] = {"lvol", NULL};

struct bdev_module lvs_uri_module = {
    .name = "lvol-uri",
    .schemes = lvol_schemes,
    .uri_help = "lvol:///NAME?size=SIZE&lvs=lvs:///POOL?mode=MODE&disk=URI",
    .uri_params = lvol_table,
    .uri_params_bytes = sizeof(struct lvol_params),
    .uri_create = lvol_uri_create,
    .uri_name = lvol_uri_name,
    .uri_destroy = lvol_uri_destroy,
};
