/* SPDX-License-Identifier: Apache-2.0 */
/* bdev_lvol_*: stores and volumes the way SPDK's clients know them.
 * Source: docs/spec/spdk-jsonrpc.md section 7.
 *
 * What is found wrong before the operation begins answers -errno, what the operation itself says
 * answers -32602 with the same text (-32603 for bdev_lvol_delete): clients tell them apart.
 * Pool and volume pointers are used before the first wait after their lookup only. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

enum { NAME_MAX_BYTES = 63 };

static int say_true(struct ash_call *call)
{
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

/* The end of most methods: true, or the failure of the operation. */
static int say_done(struct ash_call *call, int rc)
{
    return rc ? rpc_async(call, rc, RPC_INVALID_PARAMS) : say_true(call);
}

static int check_name(struct ash_call *call, const char *name)
{
    if (*name && strlen(name) <= NAME_MAX_BYTES && !strchr(name, '/'))
        return 0;
    return ash_err_set(call->err, ASH_E_BAD_NAME, name,
                       "'%s' cannot be a name: 1 to %d bytes without '/'", name, NAME_MAX_BYTES);
}

int rpc_find_pool(struct ash_call *call, const char *name_or_uuid, struct pool **ret_pool)
{
    struct ash_uuid uuid;
    struct pool *pool = pool_find(call->pools, name_or_uuid);
    if (!pool && ash_uuid_parse(name_or_uuid, &uuid) == 0)
        pool = pool_find_uuid(call->pools, &uuid);
    if (!pool)
        return ash_err_set(call->err, ASH_E_POOL_NOT_FOUND, name_or_uuid, "there is no pool '%s'",
                           name_or_uuid);
    *ret_pool = pool;
    return 0;
}

int rpc_find_volume(struct ash_call *call, const char *name, struct volume **ret_vol)
{
    struct volume *vol = volume_of_bdev(call->pools, name);
    if (!vol)
        return ash_err_set(call->err, ASH_E_VOLUME_NOT_FOUND, name, "there is no volume '%s'",
                           name);
    *ret_vol = vol;
    return 0;
}

/* Exactly one of the two. */
static int select_store(struct ash_call *call, const char *uuid, const char *name,
                        struct pool **ret_pool)
{
    if (!uuid == !name)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, NULL,
                           "give the store's UUID or its name, not %s", uuid ? "both" : "neither");
    struct ash_uuid id;
    struct pool *pool = name                             ? pool_find(call->pools, name)
                        : ash_uuid_parse(uuid, &id) == 0 ? pool_find_uuid(call->pools, &id)
                                                         : NULL;
    if (!pool)
        return ash_err_set(call->err, ASH_E_POOL_NOT_FOUND, name ? name : uuid,
                           "there is no pool '%s'", name ? name : uuid);
    *ret_pool = pool;
    return 0;
}

static const char *volume_uuid_text(const struct volume_info *info, char buf[ASH_UUID_TEXT_BYTES])
{
    return ash_uuid_is_nil(&info->uuid) ? info->unique_id : ash_uuid_format(&info->uuid, buf);
}

static int say_volume(struct ash_call *call, const struct volume *vol)
{
    struct volume_info info;
    char text[ASH_UUID_TEXT_BYTES];
    volume_get_info(vol, &info);
    ash_jsonw_str(call->result, NULL, volume_uuid_text(&info, text));
    return 0;
}

/* A UUID that the caller chose must be nobody's: of no device or volume (those without a device,
 * faulted and degraded, own theirs too), and of none that another call is just making. */
static int claim_uuid(struct ash_call *call, struct rpc_uuid_claim *claim,
                      const struct ash_uuid *uuid, bool taken, enum ash_reason reason)
{
    char text[ASH_UUID_TEXT_BYTES];
    struct jsonrpc *rpc = rpc_of(call->engine);
    if (ash_uuid_is_nil(uuid))
        return 0;
    ash_list_for_each (l, &rpc->uuid_claims)
        taken =
            taken || ash_uuid_equal(&ash_list_entry(l, struct rpc_uuid_claim, link)->uuid, uuid);
    ash_uuid_format(uuid, text);
    if (taken)
        return ash_err_set(call->err, reason, text, "the UUID %s is taken", text);
    claim->uuid = *uuid;
    ash_list_push_tail(&rpc->uuid_claims, &claim->link);
    return 0;
}

static int claim_volume_uuid(struct ash_call *call, struct rpc_uuid_claim *claim,
                             const struct ash_uuid *uuid)
{
    char text[ASH_UUID_TEXT_BYTES];
    ash_uuid_format(uuid, text);
    return claim_uuid(call, claim, uuid,
                      bdev_find(call->bdevs, text) || volume_find(call->pools, text),
                      ASH_E_VOLUME_UUID_TAKEN);
}

int rpc_claim_pool_uuid(struct ash_call *call, struct rpc_uuid_claim *claim,
                        const struct ash_uuid *uuid)
{
    return claim_uuid(call, claim, uuid, pool_find_uuid(call->pools, uuid), ASH_E_POOL_NAME_TAKEN);
}

#define LVOL_UUID_PARAM(st)                                                                        \
    ASH_PARAM(st, lvol_uuid, ASH_P_UUID, 0, NULL, "UUID of the new volume; random when absent")

/* ------------------------------------------------------------------- stores */

static const struct ash_enum store_clear_methods[] = {
    {"unmap", POOL_CLEAR_UNMAP},
    {"write_zeroes", POOL_CLEAR_WRITE_ZEROES},
    {"none", POOL_CLEAR_NONE},
    {NULL, 0},
};

static const struct ash_enum clear_methods[] = {
    {"default", POOL_CLEAR_DEFAULT},
    {"none", POOL_CLEAR_NONE},
    {"unmap", POOL_CLEAR_UNMAP},
    {"write_zeroes", POOL_CLEAR_WRITE_ZEROES},
    {NULL, 0},
};

struct create_store_params {
    char *bdev_name, *lvs_name;
    uint32_t cluster_sz, num_md_pages_per_cluster_ratio, md_page_size;
    int clear_method;
    bool force;
    struct ash_uuid lvs_uuid;
};

static const struct ash_param create_store_table[] = {
    ASH_PARAM(struct create_store_params, bdev_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "device to format"),
    ASH_PARAM(struct create_store_params, lvs_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name of the store"),
    ASH_PARAM(struct create_store_params, cluster_sz, ASH_P_U32, 0, "4194304",
              "bytes of a cluster"),
    ASH_PARAM_ENUM(struct create_store_params, clear_method, 0, "unmap", store_clear_methods,
                   "unmap, write_zeroes, none: how the data area is cleared"),
    ASH_PARAM(struct create_store_params, num_md_pages_per_cluster_ratio, ASH_P_U32, 0, "100",
              "metadata pages per 100 clusters"),
    ASH_PARAM(struct create_store_params, md_page_size, ASH_P_U32, 0, "0",
              "bytes of a metadata page; 0: 4096"),
    ASH_PARAM(struct create_store_params, force, ASH_P_BOOL, 0, "false",
              "format the device even when it holds something"),
    ASH_PARAM(struct create_store_params, lvs_uuid, ASH_P_UUID, 0, NULL,
              "UUID of the store; random when absent"),
    {0},
};

static int create_store(struct ash_call *call, void *params)
{
    const struct create_store_params *p = params;
    struct rpc_uuid_claim claim ASH_CLEANUP(rpc_uuid_release) = RPC_UUID_CLAIM_INIT(claim);
    const struct bdev *bdev = bdev_find(call->bdevs, p->bdev_name);
    const char *by = NULL;
    if (!bdev)
        return rpc_no_bdev(call, p->bdev_name);
    int rc = check_name(call, p->lvs_name);
    if (rc)
        return rc;
    if (pool_find(call->pools, p->lvs_name))
        return ash_err_set(call->err, ASH_E_POOL_NAME_TAKEN, p->lvs_name,
                           "there is a pool '%s' already", p->lvs_name);
    if (bdev_claimed(bdev, &by) != BDEV_CLAIM_NONE)
        return ash_err_set(call->err, ASH_E_BDEV_CLAIMED, p->bdev_name,
                           "device '%s' is claimed by %s", p->bdev_name, by ? by : "a module");
    if (p->cluster_sz == 0 || p->num_md_pages_per_cluster_ratio == 0)
        return ash_err_set(call->err,
                           p->cluster_sz ? ASH_E_POOL_BAD_RATIO : ASH_E_POOL_BAD_CLUSTER_SIZE,
                           p->lvs_name, "%s cannot be 0",
                           p->cluster_sz ? "the metadata ratio" : "the cluster size");
    rc = rpc_claim_pool_uuid(call, &claim, &p->lvs_uuid);
    if (rc)
        return rc;
    struct pool_create_opts opts = {
        .cluster_bytes = p->cluster_sz,
        .md_page_bytes = p->md_page_size,
        .md_ratio_percent = p->num_md_pages_per_cluster_ratio,
        .clear = (enum pool_clear)p->clear_method,
        .force = p->force,
        .uuid = p->lvs_uuid,
    };
    struct pool *pool = NULL;
    rc = pool_create(call->pools, p->bdev_name, p->lvs_name, &opts, &pool, call->err);
    if (rc)
        return rpc_async(call, rc, RPC_INVALID_PARAMS);
    struct pool_info info;
    pool_get_info(pool, &info);
    rpc_uuid(call->result, NULL, &info.uuid);
    return 0;
}

struct selector_params {
    char *uuid, *lvs_name;
};

#define SELECTOR_PARAMS(st)                                                                        \
    ASH_PARAM(st, uuid, ASH_P_STR, 0, NULL, "UUID of the store, or"),                              \
        ASH_PARAM(st, lvs_name, ASH_P_STR, 0, NULL, "its name")

static const struct ash_param selector_table[] = {
    SELECTOR_PARAMS(struct selector_params),
    {0},
};

static int delete_store(struct ash_call *call, void *params)
{
    const struct selector_params *p = params;
    struct pool *pool = NULL;
    int rc = select_store(call, p->uuid, p->lvs_name, &pool);
    return rc ? rc : say_done(call, pool_destroy(pool, call->err));
}

static int grow_store(struct ash_call *call, void *params)
{
    const struct selector_params *p = params;
    struct pool *pool = NULL;
    int rc = select_store(call, p->uuid, p->lvs_name, &pool);
    return rc ? rc : say_done(call, pool_grow(pool, call->err));
}

struct rename_params {
    char *old_name, *new_name;
};

static const struct ash_param rename_table[] = {
    ASH_PARAM(struct rename_params, old_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "present name"),
    ASH_PARAM(struct rename_params, new_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "new name"),
    {0},
};

static int rename_store(struct ash_call *call, void *params)
{
    const struct rename_params *p = params;
    struct pool *pool = pool_find(call->pools, p->old_name);
    if (!pool) {
        ash_err_set(call->err, ASH_E_POOL_NOT_FOUND, p->old_name, "there is no pool '%s'",
                    p->old_name);
        return rpc_fail(call, -ENOENT, -ENOENT, "Lvol store %s not found", p->old_name);
    }
    if (strcmp(p->old_name, p->new_name) == 0)
        return say_true(call);
    int rc = check_name(call, p->new_name);
    return say_done(call, rc ? rc : pool_rename(pool, p->new_name, call->err));
}

static void dump_store(struct ash_jsonw *w, const struct pool *pool)
{
    struct pool_info info;
    pool_get_info(pool, &info);
    ash_jsonw_obj(w, NULL);
    rpc_uuid(w, "uuid", &info.uuid);
    ash_jsonw_str(w, "name", info.name);
    ash_jsonw_str(w, "base_bdev", info.base_bdev);
    ash_jsonw_u64(w, "total_data_clusters", info.n_clusters);
    ash_jsonw_u64(w, "free_clusters", info.n_free_clusters);
    ash_jsonw_u64(w, "block_size", info.block_bytes);
    ash_jsonw_u64(w, "cluster_size", info.cluster_bytes);
    ash_jsonw_u64(w, "max_growable_size", info.max_size_bytes);
    ash_jsonw_obj_end(w);
}

static int get_stores(struct ash_call *call, void *params)
{
    const struct selector_params *p = params;
    struct pool *pool = NULL;
    if (p->uuid || p->lvs_name) {
        int rc = select_store(call, p->uuid, p->lvs_name, &pool);
        if (rc)
            return rc;
    }
    ash_jsonw_arr(call->result, NULL);
    if (pool)
        dump_store(call->result, pool);
    else
        while ((pool = pool_next(call->pools, pool)))
            dump_store(call->result, pool);
    ash_jsonw_arr_end(call->result);
    return 0;
}

/* ------------------------------------------------------------------ volumes */

struct create_params {
    char *uuid, *lvs_name, *lvol_name;
    uint64_t size_in_mib, size;
    bool has_size_in_mib, has_size, thin_provision;
    int clear_method;
    struct ash_uuid lvol_uuid;
};

static const struct ash_param create_table[] = {
    SELECTOR_PARAMS(struct create_params),
    ASH_PARAM(struct create_params, lvol_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name of the volume"),
    ASH_PARAM_OPT(struct create_params, size_in_mib, ASH_P_U64,
                  "MiB, rounded up to whole clusters, or"),
    ASH_PARAM_OPT(struct create_params, size, ASH_P_U64, "bytes"),
    ASH_PARAM(struct create_params, thin_provision, ASH_P_BOOL, 0, "false",
              "take clusters when they are written"),
    ASH_PARAM_ENUM(struct create_params, clear_method, 0, "default", clear_methods,
                   "default, none, unmap, write_zeroes: what happens to clusters given back"),
    LVOL_UUID_PARAM(struct create_params),
    {0},
};

/* Size from one of the two parameters; neither or both is a failure to decode. */
static int take_size(struct ash_call *call, bool has_mib, uint64_t mib, bool has_bytes,
                     uint64_t n_bytes, uint64_t *ret_bytes)
{
    if (has_mib == has_bytes) {
        int rc = ash_err_set(
            call->err, has_mib ? ASH_E_DUPLICATE_PARAMETER : ASH_E_MISSING_PARAMETER, "size_in_mib",
            "give 'size_in_mib' or 'size', not %s", has_mib ? "both" : "neither");
        return rpc_fail(call, rc, RPC_INTERNAL_ERROR, "spdk_json_decode_object failed: %s",
                        "exactly one of 'size_in_mib' and 'size' is needed");
    }
    if (has_mib && mib > UINT64_MAX >> 20)
        return ash_err_set(call->err, ASH_E_VOLUME_BAD_SIZE, NULL, "the size is too large");
    *ret_bytes = has_mib ? mib << 20 : n_bytes;
    return 0;
}

static int create_volume(struct ash_call *call, void *params)
{
    const struct create_params *p = params;
    struct rpc_uuid_claim claim ASH_CLEANUP(rpc_uuid_release) = RPC_UUID_CLAIM_INIT(claim);
    struct pool *pool = NULL;
    uint64_t size_bytes = 0;
    int rc = take_size(call, p->has_size_in_mib, p->size_in_mib, p->has_size, p->size, &size_bytes);
    if (rc == 0)
        rc = select_store(call, p->uuid, p->lvs_name, &pool);
    if (rc == 0)
        rc = check_name(call, p->lvol_name);
    if (rc)
        return rc;
    if (volume_find_in(pool, p->lvol_name))
        return ash_err_set(call->err, ASH_E_VOLUME_NAME_TAKEN, p->lvol_name,
                           "there is a volume '%s' already", p->lvol_name);
    rc = claim_volume_uuid(call, &claim, &p->lvol_uuid);
    if (rc)
        return rc;
    struct volume_create_opts opts = {
        .thin = p->thin_provision, .clear = (enum pool_clear)p->clear_method, .uuid = p->lvol_uuid};
    struct volume *vol = NULL;
    rc = volume_create(pool, p->lvol_name, size_bytes, &opts, &vol, call->err);
    if (rc == -EEXIST)
        return rc; /* somebody else is just making it */
    return rc ? rpc_async(call, rc, RPC_INVALID_PARAMS) : say_volume(call, vol);
}

struct snapshot_params {
    char *lvol_name, *snapshot_name;
    struct json_object *xattrs;
    struct ash_uuid lvol_uuid;
};

static const struct ash_param snapshot_table[] = {
    ASH_PARAM(struct snapshot_params, lvol_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "volume"),
    ASH_PARAM(struct snapshot_params, snapshot_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name of the snapshot"),
    ASH_PARAM(struct snapshot_params, xattrs, ASH_P_JSON, 0, NULL,
              "object of attributes for the snapshot: name to text"),
    LVOL_UUID_PARAM(struct snapshot_params),
    {0},
};

static int snapshot(struct ash_call *call, void *params)
{
    const struct snapshot_params *p = params;
    struct rpc_uuid_claim claim ASH_CLEANUP(rpc_uuid_release) = RPC_UUID_CLAIM_INIT(claim);
    struct volume_create_opts opts = {.uuid = p->lvol_uuid};
    struct volume_xattr *xattrs = NULL;
    struct volume *vol = NULL, *snap = NULL;
    int rc = rpc_find_volume(call, p->lvol_name, &vol);
    if (rc == 0)
        rc = claim_volume_uuid(call, &claim, &p->lvol_uuid);
    if (rc == 0)
        rc = rpc_take_xattrs(call, p->xattrs, &xattrs, &opts.n_xattrs);
    if (rc)
        return rc;
    opts.xattrs = xattrs;
    rc = check_name(call, p->snapshot_name);
    if (rc == 0)
        rc = volume_snapshot(vol, p->snapshot_name, &opts, &snap, call->err);
    rt_free(xattrs);
    return rc ? rpc_async(call, rc, RPC_INVALID_PARAMS) : say_volume(call, snap);
}

struct clone_params {
    char *snapshot_name, *clone_name;
    struct ash_uuid lvol_uuid;
};

static const struct ash_param clone_table[] = {
    ASH_PARAM(struct clone_params, snapshot_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "snapshot or read-only volume"),
    ASH_PARAM(struct clone_params, clone_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name of the clone"),
    LVOL_UUID_PARAM(struct clone_params),
    {0},
};

static int clone_volume(struct ash_call *call, void *params)
{
    const struct clone_params *p = params;
    struct rpc_uuid_claim claim ASH_CLEANUP(rpc_uuid_release) = RPC_UUID_CLAIM_INIT(claim);
    struct volume *snap = NULL, *clone = NULL;
    struct volume_create_opts opts = {.uuid = p->lvol_uuid};
    int rc = rpc_find_volume(call, p->snapshot_name, &snap);
    if (rc == 0)
        rc = claim_volume_uuid(call, &claim, &p->lvol_uuid);
    if (rc)
        return rc;
    rc = check_name(call, p->clone_name);
    if (rc == 0)
        rc = volume_clone(snap, p->clone_name, &opts, &clone, call->err);
    return rc ? rpc_async(call, rc, RPC_INVALID_PARAMS) : say_volume(call, clone);
}

struct clone_bdev_params {
    char *bdev, *lvs_name, *clone_name;
    struct ash_uuid lvol_uuid;
};

static const struct ash_param clone_bdev_table[] = {
    ASH_PARAM(struct clone_bdev_params, bdev, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "device to clone (external snapshot)"),
    ASH_PARAM(struct clone_bdev_params, lvs_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "store of the clone"),
    ASH_PARAM(struct clone_bdev_params, clone_name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "name of the clone"),
    LVOL_UUID_PARAM(struct clone_bdev_params),
    {0},
};

static int clone_bdev(struct ash_call *call, void *params)
{
    const struct clone_bdev_params *p = params;
    struct rpc_uuid_claim claim ASH_CLEANUP(rpc_uuid_release) = RPC_UUID_CLAIM_INIT(claim);
    struct pool *pool = pool_find(call->pools, p->lvs_name);
    if (!pool) {
        int rc = ash_err_set(call->err, ASH_E_POOL_NOT_FOUND, p->lvs_name, "there is no pool '%s'",
                             p->lvs_name);
        return rpc_fail(call, rc, RPC_INVALID_PARAMS, "lvs does not exist");
    }
    if (!bdev_find(call->bdevs, p->bdev))
        return rpc_fail(call, rpc_no_bdev(call, p->bdev), RPC_INVALID_PARAMS,
                        "bdev does not exist");
    struct volume *src = volume_of_bdev(call->pools, p->bdev), *clone;
    struct volume_info info = {0};
    if (src)
        volume_get_info(src, &info);
    if (src && info.pool == pool) {
        int rc = ash_err_set(call->err, ASH_E_BDEV_WRONG_KIND, p->bdev,
                             "'%s' is a volume of the same pool: clone it as such", p->bdev);
        return rpc_fail(call, rc, RPC_INVALID_PARAMS,
                        "bdev is an lvol in same lvs as clone; use bdev_lvol_clone instead");
    }
    int rc = claim_volume_uuid(call, &claim, &p->lvol_uuid);
    if (rc)
        return rc;
    struct volume_create_opts opts = {.uuid = p->lvol_uuid};
    rc = check_name(call, p->clone_name);
    if (rc == 0)
        rc = volume_clone_bdev(pool, p->bdev, p->clone_name, &opts, &clone, call->err);
    return rc ? rpc_async(call, rc, RPC_INVALID_PARAMS) : say_volume(call, clone);
}

static int rename_volume(struct ash_call *call, void *params)
{
    const struct rename_params *p = params;
    struct volume *vol = NULL;
    int rc = rpc_find_volume(call, p->old_name, &vol);
    if (rc)
        return rc;
    rc = check_name(call, p->new_name);
    if (rc)
        return rpc_async(call, rc, RPC_INVALID_PARAMS);
    struct volume_info info;
    volume_get_info(vol, &info);
    if (strcmp(info.name, p->new_name) == 0)
        rc = ash_err_set(call->err, ASH_E_VOLUME_NAME_TAKEN, p->new_name,
                         "this is the volume's name already");
    else
        rc = volume_rename(vol, p->new_name, call->err);
    return say_done(call, rc);
}

struct resize_params {
    char *name;
    uint64_t size_in_mib, size;
    bool has_size_in_mib, has_size;
};

static const struct ash_param resize_table[] = {
    ASH_PARAM(struct resize_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "volume"),
    ASH_PARAM_OPT(struct resize_params, size_in_mib, ASH_P_U64,
                  "MiB, rounded up to whole clusters, or"),
    ASH_PARAM_OPT(struct resize_params, size, ASH_P_U64, "bytes"),
    {0},
};

static int resize(struct ash_call *call, void *params)
{
    const struct resize_params *p = params;
    uint64_t size_bytes = 0;
    struct volume *vol = NULL;
    int rc = take_size(call, p->has_size_in_mib, p->size_in_mib, p->has_size, p->size, &size_bytes);
    if (rc == 0)
        rc = rpc_find_volume(call, p->name, &vol);
    return rc ? rc : say_done(call, volume_resize(vol, size_bytes, call->err));
}

struct name_params {
    char *name;
};

static const struct ash_param name_table[] = {
    ASH_PARAM(struct name_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "UUID or STORE/NAME of the volume"),
    {0},
};

/* The methods that take a volume's name and answer true. */
static int on_volume(struct ash_call *call, void *params,
                     int (*operation)(struct volume *vol, struct ash_err *err))
{
    struct volume *vol = NULL;
    int rc = rpc_find_volume(call, ((const struct name_params *)params)->name, &vol);
    return rc ? rc : say_done(call, operation(vol, call->err));
}

static int set_read_only(struct ash_call *call, void *params)
{
    return on_volume(call, params, volume_set_read_only);
}

static int inflate(struct ash_call *call, void *params)
{
    return on_volume(call, params, volume_inflate);
}

static int decouple_parent(struct ash_call *call, void *params)
{
    return on_volume(call, params, volume_decouple);
}

static int detach_parent(struct ash_call *call, void *params)
{
    return on_volume(call, params, volume_detach);
}

static int delete_volume(struct ash_call *call, void *params)
{
    const struct name_params *p = params;
    struct volume *vol = volume_of_bdev(call->pools, p->name);
    if (!vol)
        vol = volume_find(call->pools, p->name);
    if (!vol)
        return ash_err_set(call->err, ASH_E_VOLUME_NOT_FOUND, p->name, "there is no volume '%s'",
                           p->name);
    int rc = volume_delete(vol, call->err);
    if (rc == 0)
        return say_true(call);
    if (call->err->reason == ASH_E_VOLUME_HAS_CLONES)
        return rpc_fail(call, rc, RPC_INTERNAL_ERROR, "%s", ash_strerror(EPERM));
    return rpc_async(call, rc, RPC_INTERNAL_ERROR);
}

struct parent_params {
    char *lvol_name, *parent_name;
};

static const struct ash_param parent_table[] = {
    ASH_PARAM(struct parent_params, lvol_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "volume"),
    ASH_PARAM(struct parent_params, parent_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "its new parent"),
    {0},
};

static int set_parent(struct ash_call *call, void *params)
{
    const struct parent_params *p = params;
    struct volume *vol = NULL, *parent = NULL;
    int rc = rpc_find_volume(call, p->lvol_name, &vol);
    if (rc == 0)
        rc = rpc_find_volume(call, p->parent_name, &parent);
    return rc ? rc : say_done(call, volume_set_parent(vol, parent, call->err));
}

static int set_parent_bdev(struct ash_call *call, void *params)
{
    const struct parent_params *p = params;
    struct volume *vol = NULL;
    int rc = rpc_find_volume(call, p->lvol_name, &vol);
    if (rc)
        return rc;
    if (!bdev_find(call->bdevs, p->parent_name))
        return rpc_async(call, rpc_no_bdev(call, p->parent_name), RPC_INVALID_PARAMS);
    return say_done(call, volume_set_parent_bdev(vol, p->parent_name, call->err));
}

/* ------------------------------------------------------------------ listing */

struct get_lvols_params {
    char *lvs_uuid, *uuid, *lvs_name;
};

static const struct ash_param get_lvols_table[] = {
    ASH_PARAM(struct get_lvols_params, lvs_uuid, ASH_P_STR, 0, NULL, "UUID of a store, or"),
    ASH_PARAM(struct get_lvols_params, uuid, ASH_P_STR, ASH_P_HIDDEN, NULL,
              "the same (older clients)"),
    ASH_PARAM(struct get_lvols_params, lvs_name, ASH_P_STR, 0, NULL,
              "its name; all stores when both are absent"),
    {0},
};

static void dump_volume(struct ash_jsonw *w, const struct volume *vol, const char *pool_name,
                        const struct ash_uuid *pool_uuid)
{
    struct volume_info info;
    char text[ASH_UUID_TEXT_BYTES];
    volume_get_info(vol, &info);
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "alias", info.alias);
    ash_jsonw_str(w, "uuid", volume_uuid_text(&info, text));
    ash_jsonw_str(w, "name", info.name);
    ash_jsonw_bool(w, "is_thin_provisioned", info.thin);
    ash_jsonw_bool(w, "is_snapshot", info.spdk_snapshot);
    ash_jsonw_bool(w, "is_clone", info.clone);
    ash_jsonw_bool(w, "is_esnap_clone", info.esnap_clone);
    ash_jsonw_bool(w, "is_degraded", info.state != VOLUME_OK);
    ash_jsonw_u64(w, "num_allocated_clusters", info.n_allocated_clusters);
    ash_jsonw_obj(w, "lvs");
    ash_jsonw_str(w, "name", pool_name);
    rpc_uuid(w, "uuid", pool_uuid);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

static void dump_volumes(struct ash_jsonw *w, struct pool *pool)
{
    struct pool_info info;
    pool_get_info(pool, &info);
    for (struct volume *v = volume_next(pool, NULL); v; v = volume_next(pool, v))
        dump_volume(w, v, info.name, &info.uuid);
}

static int get_lvols(struct ash_call *call, void *params)
{
    const struct get_lvols_params *p = params;
    struct pool *pool = NULL;
    if (p->lvs_uuid && p->uuid)
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, NULL, "give the store's UUID once");
    if (p->lvs_uuid || p->uuid || p->lvs_name) {
        int rc = select_store(call, p->lvs_uuid ? p->lvs_uuid : p->uuid, p->lvs_name, &pool);
        if (rc)
            return rc;
    }
    ash_jsonw_arr(call->result, NULL);
    if (pool)
        dump_volumes(call->result, pool);
    else
        while ((pool = pool_next(call->pools, pool)))
            dump_volumes(call->result, pool);
    ash_jsonw_arr_end(call->result);
    return 0;
}

#define ROW(row_name, row_help, row_table, row_params, row_flags, row_run)                         \
    {                                                                                              \
        .name = row_name, .help = row_help, .params = row_table,                                   \
        .params_bytes = sizeof(struct row_params), .flags = row_flags, .run = row_run              \
    }

const struct ash_method rpc_lvol_methods[] = {
    ROW("bdev_lvol_create_lvstore", "Format a device as a store of volumes; answers its UUID",
        create_store_table, create_store_params, 0, create_store),
    ROW("bdev_lvol_delete_lvstore", "Delete a store and all volumes in it", selector_table,
        selector_params, 0, delete_store),
    ROW("bdev_lvol_rename_lvstore", "Give a store another name", rename_table, rename_params, 0,
        rename_store),
    ROW("bdev_lvol_grow_lvstore", "Let a store use the present size of its device", selector_table,
        selector_params, 0, grow_store),
    ROW("bdev_lvol_get_lvstores", "Stores, or one of them", selector_table, selector_params,
        ASH_M_READ_ONLY, get_stores),
    ROW("bdev_lvol_create", "Make a volume; answers its UUID", create_table, create_params, 0,
        create_volume),
    ROW("bdev_lvol_snapshot", "Take a snapshot; answers its UUID", snapshot_table, snapshot_params,
        0, snapshot),
    ROW("bdev_lvol_clone", "Make a writable clone of a snapshot; answers its UUID", clone_table,
        clone_params, 0, clone_volume),
    ROW("bdev_lvol_clone_bdev", "Make a clone of any device; answers its UUID", clone_bdev_table,
        clone_bdev_params, 0, clone_bdev),
    ROW("bdev_lvol_rename", "Give a volume another name", rename_table, rename_params, 0,
        rename_volume),
    ROW("bdev_lvol_resize", "Change the size of a volume", resize_table, resize_params, 0, resize),
    ROW("bdev_lvol_set_read_only", "Make a volume read-only for ever", name_table, name_params, 0,
        set_read_only),
    ROW("bdev_lvol_delete", "Delete a volume", name_table, name_params, 0, delete_volume),
    ROW("bdev_lvol_inflate", "Allocate every cluster and drop the parent", name_table, name_params,
        0, inflate),
    ROW("bdev_lvol_decouple_parent", "Copy what the parents hold, then drop the parent", name_table,
        name_params, 0, decouple_parent),
    ROW("bdev_lvol_detach_parent", "Drop the parent; what only it held reads as zeroes", name_table,
        name_params, 0, detach_parent),
    ROW("bdev_lvol_set_parent", "Give a volume another snapshot as parent", parent_table,
        parent_params, 0, set_parent),
    ROW("bdev_lvol_set_parent_bdev", "Give a volume any device as parent", parent_table,
        parent_params, 0, set_parent_bdev),
    ROW("bdev_lvol_get_lvols", "Volumes, degraded ones too", get_lvols_table, get_lvols_params,
        ASH_M_READ_ONLY, get_lvols),
    {0},
};
