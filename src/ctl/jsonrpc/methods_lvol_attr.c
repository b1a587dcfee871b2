/* SPDX-License-Identifier: Apache-2.0 */
/* bdev_lvol_*: shallow copies, attributes, fragment maps, checksums (Longhorn's extensions).
 * Source: docs/spec/spdk-jsonrpc.md section 7, Appendix C. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <string.h>

#include <json-c/json.h>

#include "base/assert.h"

static int say_done(struct ash_call *call, int rc)
{
    if (rc)
        return rpc_async(call, rc, RPC_INVALID_PARAMS);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

/* ------------------------------------------------------------- shallow copy */

struct start_copy_params {
    char *src_lvol_name, *dst_bdev_name;
};

static const struct ash_param start_copy_table[] = {
    ASH_PARAM(struct start_copy_params, src_lvol_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "read-only volume"),
    ASH_PARAM(struct start_copy_params, dst_bdev_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "device that takes its own clusters"),
    {0},
};

static int start_copy(struct ash_call *call, void *params)
{
    const struct start_copy_params *p = params;
    struct volume *vol = NULL;
    uint32_t id;
    int rc = rpc_find_volume(call, p->src_lvol_name, &vol);
    if (rc)
        return rc;
    if (!bdev_find(call->bdevs, p->dst_bdev_name))
        rc = rpc_no_bdev(call, p->dst_bdev_name);
    else
        rc = volume_shallow_copy(vol, p->dst_bdev_name, &id, call->err);
    if (rc)
        return rpc_async(call, rc, RPC_INVALID_PARAMS);
    ash_jsonw_obj(call->result, NULL);
    ash_jsonw_u64(call->result, "operation_id", id);
    ash_jsonw_obj_end(call->result);
    return 0;
}

struct check_copy_params {
    uint32_t operation_id;
};

static const struct ash_param check_copy_table[] = {
    ASH_PARAM(struct check_copy_params, operation_id, ASH_P_U32, ASH_P_REQUIRED, NULL,
              "from bdev_lvol_start_shallow_copy"),
    {0},
};

static int check_copy(struct ash_call *call, void *params)
{
    const struct check_copy_params *p = params;
    static const char *const states[] = {[VOLUME_COPY_RUNNING] = "in progress",
                                         [VOLUME_COPY_DONE] = "complete",
                                         [VOLUME_COPY_FAILED] = "error"};
    struct volume_copy_info info;
    if (volume_shallow_copy_info(call->pools, p->operation_id, &info))
        return ash_err_set_rc(call->err, -ENODEV, ASH_E_BAD_ARGUMENT, NULL,
                              "there is no copy with the id %u", p->operation_id);
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "copied_clusters", info.n_copied_clusters);
    ash_jsonw_u64(w, "total_clusters", info.n_total_clusters);
    ash_jsonw_str(w, "state", states[info.state]);
    if (info.state == VOLUME_COPY_FAILED)
        ash_jsonw_str(w, "error", ash_strerror(info.rc));
    ash_jsonw_obj_end(w);
    return 0;
}

/* --------------------------------------------------------------- attributes */

static int bad_xattrs(struct ash_call *call)
{
    int rc = ash_err_set(call->err, ASH_E_BAD_PARAMETER_TYPE, "xattrs",
                         "parameter 'xattrs' must be an object of texts");
    return rpc_fail(call, rc, RPC_INTERNAL_ERROR, "spdk_json_decode_object failed: xattrs");
}

/* A text without NUL, as an attribute value with its NUL. */
static bool take_value(struct json_object *v, struct volume_xattr *ret)
{
    if (!json_object_is_type(v, json_type_string))
        return false;
    ret->value = json_object_get_string(v);
    ret->n_bytes = (size_t)json_object_get_string_len(v) + 1;
    return strlen(ret->value) + 1 == ret->n_bytes;
}

static bool take_element(struct json_object *item, struct volume_xattr *ret)
{
    struct json_object *name, *value;
    if (!json_object_object_get_ex(item, "name", &name) ||
        !json_object_object_get_ex(item, "value", &value) || json_object_object_length(item) != 2 ||
        !json_object_is_type(name, json_type_string))
        return false;
    ret->name = json_object_get_string(name);
    return take_value(value, ret);
}

int rpc_take_xattrs(struct ash_call *call, struct json_object *obj,
                    struct volume_xattr **ret_xattrs, size_t *ret_n)
{
    *ret_xattrs = NULL;
    *ret_n = 0;
    if (!obj)
        return 0;
    bool object = json_object_is_type(obj, json_type_object);
    if (!object && !json_object_is_type(obj, json_type_array))
        return bad_xattrs(call);
    size_t n = object ? (size_t)json_object_object_length(obj) : json_object_array_length(obj);
    struct volume_xattr *xattrs = rt_alloc((n + 1) * sizeof(*xattrs));
    if (!xattrs)
        return ash_err_set(call->err, ASH_E_NO_MEMORY, NULL, "no memory for attributes");
    size_t i = 0;
    bool good = true;
    if (object) {
        json_object_object_foreach(obj, name, value)
        {
            xattrs[i].name = name;
            good &= take_value(value, &xattrs[i++]);
        }
    } else {
        for (; i < n; i++) {
            struct json_object *item = json_object_array_get_idx(obj, i);
            good &= json_object_is_type(item, json_type_object) && take_element(item, &xattrs[i]);
        }
    }
    if (!good) {
        rt_free(xattrs);
        return bad_xattrs(call);
    }
    *ret_xattrs = xattrs;
    *ret_n = n;
    return 0;
}

struct set_xattr_params {
    char *name, *xattr_name, *xattr_value;
};

static const struct ash_param set_xattr_table[] = {
    ASH_PARAM(struct set_xattr_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "volume"),
    ASH_PARAM(struct set_xattr_params, xattr_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "attribute"),
    ASH_PARAM(struct set_xattr_params, xattr_value, ASH_P_STR, ASH_P_REQUIRED, NULL, "its text"),
    {0},
};

static int set_xattr(struct ash_call *call, void *params)
{
    const struct set_xattr_params *p = params;
    struct volume *vol = NULL;
    int rc = rpc_find_volume(call, p->name, &vol);
    if (rc)
        return rc;
    return say_done(call, volume_xattr_set(vol, p->xattr_name, p->xattr_value,
                                           strlen(p->xattr_value) + 1, false, call->err));
}

struct get_xattr_params {
    char *name, *xattr_name;
};

static const struct ash_param get_xattr_table[] = {
    ASH_PARAM(struct get_xattr_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "volume"),
    ASH_PARAM(struct get_xattr_params, xattr_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "attribute"),
    {0},
};

static int get_xattr(struct ash_call *call, void *params)
{
    const struct get_xattr_params *p = params;
    struct volume *vol = NULL;
    const void *value;
    size_t n_bytes;
    int rc = rpc_find_volume(call, p->name, &vol);
    if (rc)
        return rc;
    rc = volume_xattr_get(vol, p->xattr_name, &value, &n_bytes);
    if (rc) {
        ash_err_set(call->err, ASH_E_XATTR_NOT_FOUND, p->xattr_name,
                    "volume '%s' has no attribute '%s'", p->name, p->xattr_name);
        return rpc_async(call, rc, RPC_INTERNAL_ERROR);
    }
    const char *text = value;
    ash_jsonw_strn(call->result, NULL, text, n_bytes - (n_bytes && !text[n_bytes - 1]));
    return 0;
}

/* ------------------------------------------------------- maps and checksums */

struct fragmap_params {
    char *name;
    uint64_t offset, size;
};

static const struct ash_param fragmap_table[] = {
    ASH_PARAM(struct fragmap_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "volume"),
    ASH_PARAM(struct fragmap_params, offset, ASH_P_U64, 0, "0", "bytes, whole clusters"),
    ASH_PARAM(struct fragmap_params, size, ASH_P_U64, 0, "0",
              "bytes, whole clusters; 0: to the end"),
    {0},
};

static int get_fragmap(struct ash_call *call, void *params)
{
    const struct fragmap_params *p = params;
    struct volume *vol = NULL;
    struct volume_info info;
    struct pool_info pool;
    int rc = rpc_find_volume(call, p->name, &vol);
    if (rc)
        return rc;
    volume_get_info(vol, &info);
    pool_get_info(info.pool, &pool);
    uint64_t cluster = pool.cluster_bytes, first = p->offset / cluster;
    uint64_t n = p->size ? p->size / cluster : info.n_clusters - ASH_MIN(first, info.n_clusters);
    if (p->offset % cluster || p->size % cluster || first > info.n_clusters ||
        n > info.n_clusters - first) {
        rc = ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->name,
                         "offset and size must be whole clusters of %llu bytes inside the volume",
                         (unsigned long long)cluster);
        return rpc_async(call, rc, RPC_INVALID_PARAMS);
    }
    uint8_t *bits = rt_alloc(n / 8 + 1);
    if (!bits)
        return ash_err_set(call->err, ASH_E_NO_MEMORY, p->name, "no memory for the map");
    rc = volume_allocation_map(vol, first, n, bits);
    if (rc) {
        rt_free(bits);
        return rpc_async(call, rc, RPC_INVALID_PARAMS);
    }
    uint64_t n_allocated = 0;
    for (uint64_t i = 0; i < n; i++)
        n_allocated += bits[i / 8] >> (i % 8) & 1;
    struct ash_buf map ASH_CLEANUP(ash_buf_free) = {0};
    ash_base64(&map, bits, ash_div_up(n, 8));
    rt_free(bits);
    if (map.failed)
        return ash_err_set(call->err, ASH_E_NO_MEMORY, p->name, "no memory for the map");
    struct ash_jsonw *w = call->result;
    ash_jsonw_obj(w, NULL);
    ash_jsonw_u64(w, "cluster_size", cluster);
    ash_jsonw_u64(w, "num_clusters", n);
    ash_jsonw_u64(w, "num_allocated_clusters", n_allocated);
    ash_jsonw_str(w, "fragmap", ash_buf_text(&map));
    ash_jsonw_obj_end(w);
    return 0;
}

struct name_params {
    char *name;
};

static const struct ash_param name_table[] = {
    ASH_PARAM(struct name_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "snapshot"),
    {0},
};

/* No checksum is ever registered: Longhorn asks for each snapshot and takes -19 for "none". */
static int get_checksum(struct ash_call *call, void *params)
{
    const struct name_params *p = params;
    struct volume *vol = NULL;
    int rc = rpc_find_volume(call, p->name, &vol);
    if (rc)
        return rc;
    return ash_err_set_rc(call->err, -ENODEV, ASH_E_NOT_SUPPORTED, p->name,
                          "snapshot '%s' has no registered checksum", p->name);
}

const struct ash_method rpc_lvol_attr_methods[] = {
    {.name = "bdev_lvol_start_shallow_copy",
     .help = "Copy the clusters that a read-only volume owns to a device, in the background",
     .params = start_copy_table,
     .params_bytes = sizeof(struct start_copy_params),
     .run = start_copy},
    {.name = "bdev_lvol_check_shallow_copy",
     .help = "How far a shallow copy is; the end can be asked for 10 minutes",
     .params = check_copy_table,
     .params_bytes = sizeof(struct check_copy_params),
     .flags = ASH_M_READ_ONLY,
     .run = check_copy},
    {.name = "bdev_lvol_set_xattr",
     .help = "Set an attribute of a volume",
     .params = set_xattr_table,
     .params_bytes = sizeof(struct set_xattr_params),
     .run = set_xattr},
    {.name = "bdev_lvol_get_xattr",
     .help = "Read an attribute of a volume",
     .params = get_xattr_table,
     .params_bytes = sizeof(struct get_xattr_params),
     .flags = ASH_M_READ_ONLY,
     .run = get_xattr},
    {.name = "bdev_lvol_get_fragmap",
     .help = "Which clusters a volume owns itself, a bit for each",
     .params = fragmap_table,
     .params_bytes = sizeof(struct fragmap_params),
     .flags = ASH_M_READ_ONLY,
     .run = get_fragmap},
    {.name = "bdev_lvol_get_snapshot_checksum",
     .help = "The registered checksum of a snapshot: always none (-19)",
     .params = name_table,
     .params_bytes = sizeof(struct name_params),
     .flags = ASH_M_READ_ONLY,
     .run = get_checksum},
    {0},
};
