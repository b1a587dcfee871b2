/* SPDX-License-Identifier: Apache-2.0 */
/* bdev:///NAME and loopback:///NAME: another name for a device that exists. No device is made; the
 * URI becomes an alias. Source: docs/spec/mayastor-bdev-uris.md 4.1. */
#include <errno.h>
#include <string.h>

#include "bdev/mod/mod.h"

struct uri_params {
    struct ash_uuid uuid;
};

static const struct ash_param uri_table[] = {
    ASH_PARAM(struct uri_params, uuid, ASH_P_UUID, 0, NULL, "the UUID that the device must have"),
    {.name = NULL},
};

static int uri_name(const struct bdev_uri *uri, char **ret_name, struct ash_err *err)
{
    return bdev_uri_path_name(uri, "no path segments", ret_name, err);
}

static int not_found(const char *name, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "BDEV '%s' could not be found", name);
}

static int uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                      char **ret_name, struct ash_err *err)
{
    struct uri_params *p = params;
    char text[ASH_UUID_TEXT_BYTES], *name;
    int rc = uri_name(uri, &name, err);
    if (rc)
        return rc;
    struct bdev *bdev = bdev_find(mgr, name);
    if (!bdev)
        rc = not_found(name, err);
    else if (!ash_uuid_is_nil(&p->uuid) && !ash_uuid_equal(&p->uuid, &bdev->uuid))
        rc = ash_err_set(err, ASH_E_BDEV_WRONG_UUID, name,
                         "Failed to create a BDEV: '%s' already exists with a different UUID: '%s'",
                         name, ash_uuid_format(&bdev->uuid, text));
    return bdev_uri_result(rc, name, ret_name);
}

/* Users of the alias hear of it by the notification; a device that is gone is no failure. */
static int uri_destroy(struct bdev_mgr *mgr, const struct bdev_uri *uri, struct ash_err *err)
{
    char *name;
    int rc = uri_name(uri, &name, err);
    if (rc)
        return rc;
    struct bdev *bdev = bdev_find(mgr, name);
    if (bdev && bdev_alias_del(bdev, uri->text) == 0)
        bdev_notify(mgr, "loopback_removed", bdev->name);
    rt_free(name);
    return 0;
}

static const char *const schemes[] = {"bdev", "loopback", NULL};

struct bdev_module bdev_loopback_module = {
    .name = "loopback",
    .schemes = schemes,
    .uri_help = "bdev:///NAME",
    .uri_params = uri_table,
    .uri_params_bytes = sizeof(struct uri_params),
    .uri_create = uri_create,
    .uri_name = uri_name,
    .uri_destroy = uri_destroy,
};
