/* SPDX-License-Identifier: Apache-2.0 */
/* Ashlar's own methods: pools and volumes as the command line sees them, devices by URI, tasks.
 * Results are flat objects; every size is in bytes, every count begins with n_. Failures are plain
 * -errno with the reason in error.data. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

/* ------------------------------------------------------------------ dumping */

static const char *const clear_names[] = {[POOL_CLEAR_DEFAULT] = "default",
                                          [POOL_CLEAR_NONE] = "none",
                                          [POOL_CLEAR_UNMAP] = "unmap",
                                          [POOL_CLEAR_WRITE_ZEROES] = "write_zeroes"};
static const char *const state_names[] = {
    [VOLUME_OK] = "ok", [VOLUME_DEGRADED] = "degraded", [VOLUME_FAULTED] = "faulted"};

static void dump_pool(struct ash_jsonw *w, const struct pool *pool)
{
    struct pool_info i;
    pool_get_info(pool, &i);
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "name", i.name);
    rpc_uuid(w, "uuid", &i.uuid);
    ash_jsonw_str(w, "backend", i.backend);
    ash_jsonw_str(w, "base_bdev", i.base_bdev);
    ash_jsonw_u64(w, "size_bytes", i.size_bytes);
    ash_jsonw_u64(w, "max_size_bytes", i.max_size_bytes);
    ash_jsonw_u64(w, "capacity_bytes", i.n_clusters * i.cluster_bytes);
    ash_jsonw_u64(w, "free_bytes", i.n_free_clusters * i.cluster_bytes);
    ash_jsonw_u64(w, "used_bytes", (i.n_clusters - i.n_free_clusters) * i.cluster_bytes);
    ash_jsonw_u64(w, "cluster_bytes", i.cluster_bytes);
    ash_jsonw_u64(w, "n_clusters", i.n_clusters);
    ash_jsonw_u64(w, "n_free_clusters", i.n_free_clusters);
    ash_jsonw_u64(w, "n_md_pages", i.n_md_pages);
    ash_jsonw_u64(w, "n_free_md_pages", i.n_free_md_pages);
    ash_jsonw_u64(w, "block_bytes", i.block_bytes);
    ash_jsonw_u64(w, "md_page_bytes", i.md_page_bytes);
    ash_jsonw_u64(w, "n_volumes", i.n_volumes);
    ash_jsonw_u64(w, "n_faulted", i.n_faulted);
    ash_jsonw_bool(w, "read_only", i.read_only);
    ash_jsonw_bool(w, "was_dirty", i.was_dirty);
    ash_jsonw_bool(w, "degraded", i.degraded);
    ash_jsonw_str(w, "damage", i.damage);
    ash_jsonw_arr(w, "warn_percent");
    ash_jsonw_u64(w, NULL, i.warn_percent[0]);
    ash_jsonw_u64(w, NULL, i.warn_percent[1]);
    ash_jsonw_arr_end(w);
    ash_jsonw_obj_end(w);
}

static const char *volume_name(const struct volume *vol)
{
    struct volume_info info;
    volume_get_info(vol, &info);
    return info.name;
}

/* Members of one volume, without the braces. */
static void dump_volume_members(struct ash_jsonw *w, const struct volume *vol,
                                const struct pool_info *pool)
{
    struct volume_info i;
    volume_get_info(vol, &i);
    ash_jsonw_str(w, "name", i.name);
    if (ash_uuid_is_nil(&i.uuid))
        ash_jsonw_null(w, "uuid");
    else
        rpc_uuid(w, "uuid", &i.uuid);
    ash_jsonw_str(w, "unique_id", i.unique_id);
    ash_jsonw_str(w, "bdev", i.bdev);
    ash_jsonw_str(w, "alias", i.alias);
    ash_jsonw_str(w, "pool", pool->name);
    rpc_uuid(w, "pool_uuid", &pool->uuid);
    ash_jsonw_u64(w, "blob_id", i.blob_id);
    ash_jsonw_u64(w, "size_bytes", i.size_bytes);
    ash_jsonw_u64(w, "allocated_bytes", i.n_allocated_clusters * pool->cluster_bytes);
    ash_jsonw_u64(w, "cluster_bytes", pool->cluster_bytes);
    ash_jsonw_u64(w, "n_clusters", i.n_clusters);
    ash_jsonw_u64(w, "n_allocated_clusters", i.n_allocated_clusters);
    ash_jsonw_u64(w, "n_ancestor_clusters", i.n_ancestor_clusters);
    ash_jsonw_bool(w, "thin", i.thin);
    ash_jsonw_bool(w, "read_only", i.read_only);
    ash_jsonw_bool(w, "snapshot", i.snapshot);
    ash_jsonw_bool(w, "spdk_snapshot", i.spdk_snapshot);
    ash_jsonw_bool(w, "clone", i.clone);
    ash_jsonw_bool(w, "esnap_clone", i.esnap_clone);
    ash_jsonw_str(w, "parent", i.parent ? volume_name(i.parent) : NULL);
    ash_jsonw_str(w, "esnap_id", i.esnap_id);
    ash_jsonw_u64(w, "n_clones", i.n_clones);
    ash_jsonw_arr(w, "clones");
    for (struct volume *c = volume_next_clone(vol, NULL); c; c = volume_next_clone(vol, c))
        ash_jsonw_str(w, NULL, volume_name(c));
    ash_jsonw_arr_end(w);
    ash_jsonw_str(w, "clear", clear_names[i.clear]);
    ash_jsonw_bool(w, "rle", i.rle);
    ash_jsonw_str(w, "state", state_names[i.state]);
    ash_jsonw_str(w, "fault", i.fault);
}

static int say_true(struct ash_call *call)
{
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

/* -------------------------------------------------------------------- tasks */

static int list_tasks(struct ash_call *call, void *params)
{
    enum { N_MAX = 4096 };
    struct rt_task_info *infos = rt_alloc(N_MAX * sizeof(*infos));
    if (!infos)
        return ash_err_set(call->err, ASH_E_NO_MEMORY, NULL, "no memory for a list of tasks");
    size_t n = 0;
    int rc = rt_tasks(infos, N_MAX, &n);
    struct ash_jsonw *w = call->result;
    if (rc == 0) {
        ash_jsonw_arr(w, NULL);
        for (size_t i = 0; i < ASH_MIN(n, (size_t)N_MAX); i++) {
            ash_jsonw_obj(w, NULL);
            ash_jsonw_u64(w, "id", infos[i].id);
            ash_jsonw_u64(w, "parent_id", infos[i].parent_id);
            ash_jsonw_str(w, "name", infos[i].name);
            ash_jsonw_str(w, "step", infos[i].step);
            ash_jsonw_u64(w, "reactor", infos[i].reactor_idx);
            ash_jsonw_u64(w, "age_ns", infos[i].age_ns);
            ash_jsonw_obj_end(w);
        }
        ash_jsonw_arr_end(w);
    }
    rt_free(infos);
    return rc;
}

/* ---------------------------------------------------------- devices by URI */

struct uri_params {
    char *uri;
};

static const struct ash_param uri_table[] = {
    ASH_PARAM(struct uri_params, uri, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "SCHEME://..., or the path of a file or block device"),
    {0},
};

static int create_uri(struct ash_call *call, void *params)
{
    char *name = NULL;
    int rc =
        bdev_create_uri(call->bdevs, ((const struct uri_params *)params)->uri, &name, call->err);
    if (rc)
        return rc;
    bdev_wait_for_examine(call->bdevs);
    ash_jsonw_str(call->result, NULL, name);
    rt_free(name);
    return 0;
}

static int destroy_uri(struct ash_call *call, void *params)
{
    int rc = bdev_destroy_uri(call->bdevs, ((const struct uri_params *)params)->uri, call->err);
    return rc ? rc : say_true(call);
}

/* -------------------------------------------------------------------- pools */

static int list_pools(struct ash_call *call, void *params)
{
    ash_jsonw_arr(call->result, NULL);
    for (struct pool *p = pool_next(call->pools, NULL); p; p = pool_next(call->pools, p))
        dump_pool(call->result, p);
    ash_jsonw_arr_end(call->result);
    return 0;
}

static void free_name(char **name)
{
    rt_free(*name);
}

/* The device a pool is made on or found on: there already, or made from its URI. *ret_name from
 * rt_alloc; *ret_made tells whether to take it away again after a failure. */
static int take_disk(struct ash_call *call, const char *bdev, const char *uri, char **ret_name,
                     bool *ret_made)
{
    *ret_made = false;
    if (!bdev == !uri)
        return ash_err_set(call->err, ASH_E_MISSING_PARAMETER, "bdev",
                           "give 'bdev' or 'uri', not %s", bdev ? "both" : "neither");
    struct bdev *found = bdev_find(call->bdevs, bdev ? bdev : uri);
    if (bdev && !found)
        return rpc_no_bdev(call, bdev);
    if (found) {
        *ret_name = rt_strdup(found->name);
        return *ret_name ? 0 : ash_err_set(call->err, ASH_E_NO_MEMORY, bdev, "no memory");
    }
    int rc = bdev_create_uri(call->bdevs, uri, ret_name, call->err);
    if (rc)
        return rc;
    *ret_made = true;
    bdev_wait_for_examine(call->bdevs);
    return 0;
}

/* First error wins, so the clean-up cannot hide it. */
static void give_disk_back(struct ash_call *call, const char *uri, bool made)
{
    if (made)
        bdev_destroy_uri(call->bdevs, uri, NULL);
}

struct pool_create_params {
    char *bdev, *uri, *name;
    uint64_t cluster_size;
    uint32_t md_page_size, md_ratio_percent;
    int clear_method;
    bool force;
    struct ash_uuid uuid;
};

static const struct ash_enum clear_methods[] = {
    {"default", POOL_CLEAR_DEFAULT},
    {"none", POOL_CLEAR_NONE},
    {"unmap", POOL_CLEAR_UNMAP},
    {"write_zeroes", POOL_CLEAR_WRITE_ZEROES},
    {NULL, 0},
};

static const struct ash_param pool_create_table[] = {
    ASH_PARAM(struct pool_create_params, bdev, ASH_P_STR, 0, NULL, "device, or"),
    ASH_PARAM(struct pool_create_params, uri, ASH_P_STR, 0, NULL,
              "URI or path that it is made from"),
    ASH_PARAM(struct pool_create_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the pool"),
    ASH_PARAM(struct pool_create_params, cluster_size, ASH_P_SIZE, 0, "0",
              "bytes of a cluster; 0: 4 MiB"),
    ASH_PARAM(struct pool_create_params, md_page_size, ASH_P_U32, 0, "0",
              "bytes of a metadata page; 0: 4096"),
    ASH_PARAM(struct pool_create_params, md_ratio_percent, ASH_P_U32, 0, "0",
              "metadata pages per 100 clusters; 0: 100"),
    ASH_PARAM_ENUM(struct pool_create_params, clear_method, 0, "default", clear_methods,
                   "default, none, unmap, write_zeroes"),
    ASH_PARAM(struct pool_create_params, force, ASH_P_BOOL, 0, "false",
              "format the device even when it holds something"),
    ASH_PARAM(struct pool_create_params, uuid, ASH_P_UUID, 0, NULL, "random when absent"),
    {0},
};

static int create_pool(struct ash_call *call, void *params)
{
    const struct pool_create_params *p = params;
    struct rpc_uuid_claim claim ASH_CLEANUP(rpc_uuid_release) = RPC_UUID_CLAIM_INIT(claim);
    if (p->cluster_size > UINT32_MAX)
        return ash_err_set(call->err, ASH_E_POOL_BAD_CLUSTER_SIZE, p->name,
                           "the cluster size is too large");
    int rc = rpc_claim_pool_uuid(call, &claim, &p->uuid);
    if (rc)
        return rc;
    char *disk ASH_CLEANUP(free_name) = NULL;
    bool made;
    rc = take_disk(call, p->bdev, p->uri, &disk, &made);
    if (rc)
        return rc;
    struct pool_create_opts opts = {
        .cluster_bytes = (uint32_t)p->cluster_size,
        .md_page_bytes = p->md_page_size,
        .md_ratio_percent = p->md_ratio_percent,
        .clear = (enum pool_clear)p->clear_method,
        .uuid = p->uuid,
        .force = p->force,
    };
    struct pool *pool = NULL;
    rc = pool_create(call->pools, disk, p->name, &opts, &pool, call->err);
    if (rc) {
        give_disk_back(call, p->uri, made);
        return rc;
    }
    dump_pool(call->result, pool);
    return 0;
}

struct pool_import_params {
    char *bdev, *uri, *new_name;
    bool read_only, grow;
};

static const struct ash_param pool_import_table[] = {
    ASH_PARAM(struct pool_import_params, bdev, ASH_P_STR, 0, NULL, "device, or"),
    ASH_PARAM(struct pool_import_params, uri, ASH_P_STR, 0, NULL,
              "URI or path that it is made from"),
    ASH_PARAM(struct pool_import_params, new_name, ASH_P_STR, 0, NULL,
              "name to load it under when its own is taken"),
    ASH_PARAM(struct pool_import_params, read_only, ASH_P_BOOL, 0, "false",
              "never write to the disk"),
    ASH_PARAM(struct pool_import_params, grow, ASH_P_BOOL, 0, "false",
              "then grow it to the size of its disk, if that fits"),
    {0},
};

static struct pool *pool_on(struct ash_call *call, const char *bdev)
{
    for (struct pool *p = pool_next(call->pools, NULL); p; p = pool_next(call->pools, p)) {
        struct pool_info info;
        pool_get_info(p, &info);
        if (info.base_bdev && strcmp(info.base_bdev, bdev) == 0)
            return p;
    }
    return NULL;
}

static int import_pool(struct ash_call *call, void *params)
{
    const struct pool_import_params *p = params;
    char *disk ASH_CLEANUP(free_name) = NULL;
    bool made;
    int rc = take_disk(call, p->bdev, p->uri, &disk, &made);
    if (rc)
        return rc;
    /* the examination may have opened it already, which is what was asked for */
    struct pool *pool = pool_on(call, disk);
    if (!pool)
        rc = pool_import(call->pools, disk, p->read_only, p->new_name, &pool, call->err);
    if (rc) {
        give_disk_back(call, p->uri, made);
        return rc;
    }
    /* One that cannot grow is open all the same (docs/spec/blobstore-format.md 9.9). */
    struct ash_err why = {0};
    if (p->grow && pool_grow(pool, &why) != 0)
        rt_log(RT_LOG_WARN, "pool", "not grown: %s", why.text);
    dump_pool(call->result, pool);
    return 0;
}

struct name_params {
    char *name;
};

static const struct ash_param pool_name_table[] = {
    ASH_PARAM(struct name_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "pool, by name or UUID"),
    {0},
};

static int on_pool(struct ash_call *call, void *params,
                   int (*operation)(struct pool *pool, struct ash_err *err))
{
    struct pool *pool = NULL;
    int rc = rpc_find_pool(call, ((const struct name_params *)params)->name, &pool);
    if (rc == 0)
        rc = operation(pool, call->err);
    return rc ? rc : say_true(call);
}

static int export_pool(struct ash_call *call, void *params)
{
    return on_pool(call, params, pool_export);
}

static int destroy_pool(struct ash_call *call, void *params)
{
    return on_pool(call, params, pool_destroy);
}

static int grow_pool(struct ash_call *call, void *params)
{
    return on_pool(call, params, pool_grow);
}

struct pool_rename_params {
    char *name, *new_name;
};

static const struct ash_param pool_rename_table[] = {
    ASH_PARAM(struct pool_rename_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "pool, by name or UUID"),
    ASH_PARAM(struct pool_rename_params, new_name, ASH_P_STR, ASH_P_REQUIRED, NULL, "new name"),
    {0},
};

static int rename_pool(struct ash_call *call, void *params)
{
    const struct pool_rename_params *p = params;
    struct pool *pool = NULL;
    int rc = rpc_find_pool(call, p->name, &pool);
    if (rc == 0)
        rc = pool_rename(pool, p->new_name, call->err);
    return rc ? rc : say_true(call);
}

struct pool_set_params {
    char *name;
    uint8_t warn_percent, critical_percent;
    bool has_warn_percent, has_critical_percent;
    int zeroing;
    bool has_zeroing;
};

static const struct ash_enum zeroings[] = {
    {"strict", POOL_ZEROING_STRICT},
    {"trust_unmap", POOL_ZEROING_TRUST_UNMAP},
    {"off", POOL_ZEROING_OFF},
    {NULL, 0},
};

static const struct ash_param pool_set_table[] = {
    ASH_PARAM(struct pool_set_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "pool, by name or UUID"),
    ASH_PARAM_OPT(struct pool_set_params, warn_percent, ASH_P_U8,
                  "usage that raises the first event"),
    ASH_PARAM_OPT(struct pool_set_params, critical_percent, ASH_P_U8,
                  "usage that raises the second"),
    {.name = "zeroing",
     .type = ASH_P_ENUM,
     .offset = offsetof(struct pool_set_params, zeroing),
     .has_offset = offsetof(struct pool_set_params, has_zeroing),
     .values = zeroings,
     .help = "strict, trust_unmap, off: how clusters are cleared before they are used again"},
    {0},
};

static int set_pool(struct ash_call *call, void *params)
{
    const struct pool_set_params *p = params;
    struct pool *pool = NULL;
    int rc = rpc_find_pool(call, p->name, &pool);
    if (rc)
        return rc;
    if (p->has_warn_percent || p->has_critical_percent) {
        struct pool_info info;
        pool_get_info(pool, &info);
        rc = pool_set_thresholds(
            pool, p->has_warn_percent ? p->warn_percent : info.warn_percent[0],
            p->has_critical_percent ? p->critical_percent : info.warn_percent[1], call->err);
        if (rc)
            return rc;
    }
    if (p->has_zeroing) {
        rc = pool_set_zeroing(pool, (enum pool_zeroing)p->zeroing);
        if (rc)
            return ash_err_set_rc(call->err, rc, ASH_E_BAD_ARGUMENT, p->name,
                                  "the zeroing of pool '%s' cannot be changed so", p->name);
    }
    return say_true(call);
}

/* ------------------------------------------------------------------ volumes */

struct volume_list_params {
    char *pool;
};

static const struct ash_param volume_list_table[] = {
    ASH_PARAM(struct volume_list_params, pool, ASH_P_STR, 0, NULL,
              "pool, by name or UUID; all when absent"),
    {0},
};

static void dump_volumes(struct ash_jsonw *w, struct pool *pool)
{
    struct pool_info info; /* once: it counts the volumes */
    pool_get_info(pool, &info);
    for (struct volume *v = volume_next(pool, NULL); v; v = volume_next(pool, v)) {
        ash_jsonw_obj(w, NULL);
        dump_volume_members(w, v, &info);
        ash_jsonw_obj_end(w);
    }
}

static int list_volumes(struct ash_call *call, void *params)
{
    const struct volume_list_params *p = params;
    struct pool *pool = NULL;
    if (p->pool) {
        int rc = rpc_find_pool(call, p->pool, &pool);
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

static const struct ash_param volume_name_table[] = {
    ASH_PARAM(struct name_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "POOL/NAME or UUID"),
    {0},
};

static void dump_xattrs(struct ash_jsonw *w, const struct volume *vol)
{
    struct volume_xattr xattrs[64];
    size_t n = ASH_MIN(volume_xattrs(vol, xattrs, ASH_N_ELEMS(xattrs)), ASH_N_ELEMS(xattrs));
    ash_jsonw_obj(w, "xattrs");
    for (size_t i = 0; i < n; i++) {
        if (strcmp(xattrs[i].name, "name") == 0 || strcmp(xattrs[i].name, "uuid") == 0)
            continue; /* the pool's own */
        const char *text = xattrs[i].value;
        size_t n_bytes = xattrs[i].n_bytes;
        ash_jsonw_strn(w, xattrs[i].name, text, n_bytes - (n_bytes && !text[n_bytes - 1]));
    }
    ash_jsonw_obj_end(w);
}

static int show_volume(struct ash_call *call, void *params)
{
    const struct name_params *p = params;
    struct volume *vol = volume_find(call->pools, p->name);
    if (!vol)
        return ash_err_set(call->err, ASH_E_VOLUME_NOT_FOUND, p->name, "there is no volume '%s'",
                           p->name);
    struct volume_info info;
    struct pool_info pool;
    volume_get_info(vol, &info);
    pool_get_info(info.pool, &pool);
    ash_jsonw_obj(call->result, NULL);
    dump_volume_members(call->result, vol, &pool);
    dump_xattrs(call->result, vol);
    ash_jsonw_obj_end(call->result);
    return 0;
}

#define ROW(row_name, row_help, row_table, row_params, row_flags, row_run)                         \
    {                                                                                              \
        .name = row_name, .help = row_help, .params = row_table,                                   \
        .params_bytes = sizeof(struct row_params), .flags = row_flags,                             \
        .decode_code = RPC_INVALID_PARAMS, .decode_text = "Invalid parameters", .run = row_run     \
    }
#define ROW_PLAIN(row_name, row_help, row_run)                                                     \
    {                                                                                              \
        .name = row_name, .help = row_help, .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,            \
        .run = row_run                                                                             \
    }

const struct ash_method rpc_own_methods[] = {
    ROW_PLAIN("ashlar_tasks", "What the daemon is doing and waiting for", list_tasks),
    ROW("bdev_create_uri", "Make a device from a URI; answers its name", uri_table, uri_params, 0,
        create_uri),
    ROW("bdev_destroy_uri", "Take a device away that was made from a URI", uri_table, uri_params, 0,
        destroy_uri),
    ROW_PLAIN("pool_list", "All pools", list_pools),
    ROW("pool_create", "Format a device as a pool", pool_create_table, pool_create_params, 0,
        create_pool),
    ROW("pool_import", "Open the pool that is on a device", pool_import_table, pool_import_params,
        0, import_pool),
    ROW("pool_export", "Close a pool cleanly", pool_name_table, name_params, 0, export_pool),
    ROW("pool_destroy", "Delete a pool and all its volumes", pool_name_table, name_params, 0,
        destroy_pool),
    ROW("pool_grow", "Let a pool use the present size of its device", pool_name_table, name_params,
        0, grow_pool),
    ROW("pool_rename", "Give a pool another name", pool_rename_table, pool_rename_params, 0,
        rename_pool),
    ROW("pool_set", "Change settings of a pool", pool_set_table, pool_set_params, 0, set_pool),
    ROW("volume_list", "Volumes of a pool or of all", volume_list_table, volume_list_params,
        ASH_M_READ_ONLY, list_volumes),
    ROW("volume_info", "One volume with its attributes", volume_name_table, name_params,
        ASH_M_READ_ONLY, show_volume),
    {0},
};
