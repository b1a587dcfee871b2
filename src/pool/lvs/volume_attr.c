/* SPDX-License-Identifier: Apache-2.0 */
/* Small changes of a volume, each one write of its root: name, read-only, attributes
 * (docs/spec/blobstore-format.md 9.8, 12.2). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

/* Commit a changed root; what is changed in memory besides is the caller's. */
static int commit_root(struct lvs_volume *v, struct lvs_root *next, const char *what,
                       struct ash_err *err)
{
    rt_mutex_lock(&v->store->md_lock);
    int rc = lvs_volume_commit(v, next);
    rt_mutex_unlock(&v->store->md_lock);
    return lvs_err_rc(err, rc, v, what);
}

/* Keep a name taken that no volume has yet: a volume that is in no list. */
static int name_reserve(struct lvs_store *s, const char *name, struct lvs_volume **ret_holder,
                        struct ash_err *err)
{
    struct lvs_volume *holder;
    int rc = lvs_volume_name_free(s, name, err);
    if (rc)
        return rc;
    if (lvs_volume_new(s, &holder))
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for the name '%s'", name);
    snprintf(holder->name, sizeof(holder->name), "%s", name);
    rc = ash_htab_insert(&s->by_name, &holder->by_name, holder->name);
    ASH_ASSERT(rc == 0);
    *ret_holder = holder;
    return 0;
}

static void name_release(struct lvs_volume *holder)
{
    ash_htab_remove(&holder->store->by_name, &holder->by_name);
    lvs_volume_free(holder);
}

int lvs_volume_rename(struct volume *vol, const char *new_name, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    struct lvs_volume *holder = NULL;
    struct lvs_root next;
    if (lvs_is_read_only(v))
        return ash_err_set(err, ASH_E_VOLUME_READ_ONLY, v->name, "volume '%s' is read-only",
                           v->name);
    int rc = lvs_op_begin(v, "rename", err);
    if (rc)
        return rc;
    rc = name_reserve(v->store, new_name, &holder, err);
    if (rc == 0) {
        rc = lvs_root_copy(v, &next);
        if (rc == 0)
            rc = lvs_xattrs_set(&next.user, LVS_XATTR_NAME, new_name, strlen(new_name) + 1);
        if (rc) {
            lvs_xattrs_free(&next.user);
            lvs_xattrs_free(&next.internal);
        }
        rc = rc ? lvs_err_rc(err, rc, v, "rename") : commit_root(v, &next, "rename", err);
        name_release(holder);
    }
    if (rc == 0) {
        if (v->has_bdev)
            (void)bdev_alias_del(&v->bdev, v->alias);
        lvs_volume_identify(v);
        if (v->has_bdev)
            (void)bdev_alias_add(&v->bdev, v->alias);
    }
    lvs_op_end(v);
    return rc;
}

int lvs_volume_set_read_only(struct volume *vol, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    if (lvs_is_read_only(v))
        return 0;
    int rc = lvs_op_begin(v, "set read-only", err);
    if (rc)
        return rc;
    /* Writes that were accepted end before the volume becomes read-only. */
    rt_mutex_lock(&v->store->tree_lock);
    rc = lvs_err_rc(err, lvs_freeze_tree(v), v, "quiesce");
    if (rc == 0) {
        struct lvs_root next = v->root;
        next.data_ro_flags |= LVS_DATA_RO_READ_ONLY;
        rc = commit_root(v, &next, "make read-only", err);
        if (rc == 0 && v->has_bdev) {
            v->bdev.read_only = true;
            bdev_caps_changed(&v->bdev);
        }
        lvs_thaw_tree(v);
    }
    rt_mutex_unlock(&v->store->tree_lock);
    lvs_op_end(v);
    return rc;
}

static int xattr_change(struct lvs_volume *v, const char *name, const void *value, size_t n_bytes,
                        bool even_read_only, struct ash_err *err)
{
    struct lvs_root next;
    if (strcmp(name, LVS_XATTR_NAME) == 0 || strcmp(name, LVS_XATTR_UUID) == 0 || !*name)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, v->name, "attribute '%s' cannot be changed",
                           name);
    if (lvs_is_read_only(v) && !even_read_only)
        return ash_err_set(err, ASH_E_VOLUME_READ_ONLY, v->name, "volume '%s' is read-only",
                           v->name);
    if (!value && !lvs_xattrs_find(&v->root.user, name))
        return ash_err_set(err, ASH_E_XATTR_NOT_FOUND, v->name, "volume '%s' has no attribute '%s'",
                           v->name, name);
    int rc = lvs_op_begin(v, "change attribute", err);
    if (rc)
        return rc;
    rc = lvs_root_copy(v, &next);
    if (rc == 0 && value)
        rc = lvs_xattrs_set(&next.user, name, value, n_bytes);
    else if (rc == 0)
        lvs_xattrs_remove(&next.user, name);
    if (rc) {
        lvs_xattrs_free(&next.user);
        lvs_xattrs_free(&next.internal);
        rc = lvs_err_rc(err, rc, v, "change an attribute of");
    } else {
        rc = commit_root(v, &next, "change an attribute of", err);
    }
    lvs_op_end(v);
    return rc;
}

int lvs_volume_xattr_set(struct volume *vol, const char *name, const void *value, size_t n_bytes,
                         bool even_read_only, struct ash_err *err)
{
    return xattr_change(lvs_of_volume(vol), name, value ? value : "", n_bytes, even_read_only, err);
}

int lvs_volume_xattr_remove(struct volume *vol, const char *name, bool even_read_only,
                            struct ash_err *err)
{
    return xattr_change(lvs_of_volume(vol), name, NULL, 0, even_read_only, err);
}

int lvs_volume_xattr_get(const struct volume *vol, const char *name, const void **ret_value,
                         size_t *ret_n_bytes)
{
    const struct lvs_volume *v = ash_container_of(vol, struct lvs_volume, vol);
    const struct lvs_xattr *x = lvs_xattrs_find(&v->root.user, name);
    if (!x)
        return -ENOENT;
    *ret_value = lvs_xattr_value(x);
    *ret_n_bytes = x->n_value;
    return 0;
}

size_t lvs_volume_xattrs(const struct volume *vol, struct volume_xattr *ret, size_t n_max)
{
    const struct lvs_xattrs *xs = &ash_container_of(vol, struct lvs_volume, vol)->root.user;
    for (size_t i = 0; i < ASH_MIN(xs->n, n_max); i++)
        ret[i] = (struct volume_xattr){lvs_xattr_name(&xs->v[i]), lvs_xattr_value(&xs->v[i]),
                                       xs->v[i].n_value};
    return xs->n;
}
