/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of a blob in memory: ordered as on the disk, bytes preserved (5.4). */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

const struct lvs_xattr *lvs_xattrs_find_raw(const struct lvs_xattrs *xs, const void *name,
                                            size_t n_name)
{
    for (size_t i = 0; i < xs->n; i++)
        if (xs->v[i].n_name == n_name && memcmp(xs->v[i].bytes, name, n_name) == 0)
            return &xs->v[i];
    return NULL;
}

const struct lvs_xattr *lvs_xattrs_find(const struct lvs_xattrs *xs, const char *name)
{
    return lvs_xattrs_find_raw(xs, name, strlen(name));
}

static int xattr_make(struct lvs_xattr *x, const void *name, size_t n_name, const void *value,
                      size_t n_value)
{
    if (n_name + n_value > LVS_XATTR_BYTES_MAX)
        return -E2BIG;
    uint8_t *bytes = rt_alloc(n_name + n_value + 2);
    if (!bytes)
        return -ENOMEM;
    memcpy(bytes, name, n_name);
    if (n_value)
        memcpy(bytes + n_name + 1, value, n_value);
    *x = (struct lvs_xattr){bytes, (uint16_t)n_name, (uint16_t)n_value};
    return 0;
}

int lvs_xattrs_add_raw(struct lvs_xattrs *xs, const void *name, size_t n_name, const void *value,
                       size_t n_value)
{
    struct lvs_xattr x;
    int rc = xattr_make(&x, name, n_name, value, n_value);
    if (rc)
        return rc;
    struct lvs_xattr *v = rt_realloc(xs->v, xs->n * sizeof(*v), (xs->n + 1) * sizeof(*v));
    if (!v) {
        rt_free(x.bytes);
        return -ENOMEM;
    }
    xs->v = v;
    xs->v[xs->n++] = x;
    return 0;
}

int lvs_xattrs_set(struct lvs_xattrs *xs, const char *name, const void *value, size_t n_value)
{
    const struct lvs_xattr *found = lvs_xattrs_find(xs, name);
    if (!found)
        return lvs_xattrs_add_raw(xs, name, strlen(name), value, n_value);
    struct lvs_xattr x;
    int rc = xattr_make(&x, name, strlen(name), value, n_value);
    if (rc)
        return rc;
    struct lvs_xattr *slot = &xs->v[found - xs->v];
    rt_free(slot->bytes);
    *slot = x;
    return 0;
}

bool lvs_xattrs_remove(struct lvs_xattrs *xs, const char *name)
{
    const struct lvs_xattr *found = lvs_xattrs_find(xs, name);
    if (!found)
        return false;
    size_t i = (size_t)(found - xs->v);
    rt_free(xs->v[i].bytes);
    memmove(&xs->v[i], &xs->v[i + 1], (xs->n - i - 1) * sizeof(xs->v[0]));
    xs->n--;
    return true;
}

int lvs_xattrs_copy(struct lvs_xattrs *to, const struct lvs_xattrs *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct lvs_xattr *x = &from->v[i];
        int rc = lvs_xattrs_add_raw(to, x->bytes, x->n_name, lvs_xattr_value(x), x->n_value);
        if (rc) {
            lvs_xattrs_free(to);
            return rc;
        }
    }
    return 0;
}

void lvs_xattrs_free(struct lvs_xattrs *xs)
{
    for (size_t i = 0; i < xs->n; i++)
        rt_free(xs->v[i].bytes);
    rt_free(xs->v);
    *xs = (struct lvs_xattrs){0};
}

bool lvs_xattrs_get_id(const struct lvs_xattrs *xs, const char *name, uint64_t *ret_id)
{
    const struct lvs_xattr *x = lvs_xattrs_find(xs, name);
    struct le64 id;
    if (!x || x->n_value != sizeof(id))
        return false;
    memcpy(&id, lvs_xattr_value(x), sizeof(id));
    *ret_id = ash_le64_get(id);
    return true;
}
