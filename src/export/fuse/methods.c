/* SPDX-License-Identifier: Apache-2.0 */
/* JSON-RPC methods of the FUSE export. */
#include "export/fuse/fuse.h"
#include "export/part.h"

struct p_mount {
    char *bdev, *dir, *name;
    bool readonly;
};

static const struct ash_param mount_params[] = {
    ASH_PARAM(struct p_mount, bdev, ASH_P_STR, ASH_P_REQUIRED, NULL, "name, alias or UUID"),
    ASH_PARAM(struct p_mount, dir, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "folder to mount on, an absolute path; one of ours gets one more file"),
    ASH_PARAM(struct p_mount, name, ASH_P_STR, 0, NULL,
              "name of the file; what follows the last '/' of bdev when left out"),
    ASH_PARAM(struct p_mount, readonly, ASH_P_BOOL, 0, "false", "refuse writes"),
    {0}};

struct p_unmount {
    char *dir;
    bool force;
};

static const struct ash_param unmount_params[] = {
    ASH_PARAM(struct p_unmount, dir, ASH_P_STR, ASH_P_REQUIRED, NULL, "as given to fuse_mount"),
    ASH_PARAM(struct p_unmount, force, ASH_P_BOOL, 0, "false",
              "also when files are open: whoever uses them gets errors"),
    {0}};

static int run_mount(struct ash_call *call, void *params)
{
    struct p_mount *p = params;
    struct fexp_server *srv;
    int rc = fexp_server(call->engine, &srv, call->err);
    if (!rc)
        rc = fexp_add(srv, p->bdev, p->dir, p->name, p->readonly, call->err);
    if (!rc)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

static int run_unmount(struct ash_call *call, void *params)
{
    struct p_unmount *p = params;
    struct fexp_server *srv;
    int rc = fexp_server(call->engine, &srv, call->err);
    if (!rc)
        rc = fexp_unmount(srv, p->dir, p->force, call->err);
    if (!rc)
        ash_jsonw_bool(call->result, NULL, true);
    return rc;
}

struct dump {
    struct ash_jsonw *w;
    bool in_mount;
};

static void end_mount(struct dump *d)
{
    if (!d->in_mount)
        return;
    ash_jsonw_arr_end(d->w);
    ash_jsonw_obj_end(d->w);
}

static void dump_one(const struct fexp_info *info, void *arg)
{
    struct dump *d = arg;
    struct ash_jsonw *w = d->w;
    const struct fexp_counters *c = &info->counters;
    if (!info->name) {
        end_mount(d);
        d->in_mount = true;
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "dir", info->dir);
        ash_jsonw_arr(w, "files");
        return;
    }
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "name", info->name);
    ash_jsonw_str(w, "bdev", info->bdev);
    ash_jsonw_u64(w, "size_bytes", info->size_bytes);
    ash_jsonw_bool(w, "readonly", info->read_only);
    ash_jsonw_u64(w, "open", info->n_opens);
    ash_jsonw_obj(w, "counters");
    ash_jsonw_u64(w, "reads", c->n_reads);
    ash_jsonw_u64(w, "bytes_read", c->read_bytes);
    ash_jsonw_u64(w, "writes", c->n_writes);
    ash_jsonw_u64(w, "bytes_written", c->write_bytes);
    ash_jsonw_u64(w, "flushes", c->n_flushes);
    ash_jsonw_u64(w, "punches", c->n_punches);
    ash_jsonw_u64(w, "bytes_punched", c->punched_bytes);
    ash_jsonw_u64(w, "write_zeroes", c->n_zeroes);
    ash_jsonw_u64(w, "bytes_zeroed", c->zeroes_bytes);
    ash_jsonw_u64(w, "errors", c->n_errors);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

static int run_get_mounts(struct ash_call *call, void *params)
{
    struct dump d = {.w = call->result};
    struct fexp_server *srv;
    int rc = fexp_server(call->engine, &srv, call->err);
    if (rc)
        return rc;
    ash_jsonw_arr(call->result, NULL);
    fexp_for_each(srv, dump_one, &d);
    end_mount(&d);
    ash_jsonw_arr_end(call->result);
    return 0;
}

const struct ash_method fexp_methods[] = {
    {.name = "fuse_mount",
     .help = "Show a device as a file, for loop devices and everything that wants a file",
     .params = mount_params,
     .params_bytes = sizeof(struct p_mount),
     .run = run_mount},
    {.name = "fuse_unmount",
     .help = "Unmount a folder of fuse_mount with all its files",
     .params = unmount_params,
     .params_bytes = sizeof(struct p_unmount),
     .run = run_unmount},
    {.name = "fuse_get_mounts",
     .help = "Folders of fuse_mount, their files and counters",
     .flags = ASH_M_NO_PARAMS | ASH_M_READ_ONLY,
     .run = run_get_mounts},
    {0}};
