/* SPDX-License-Identifier: Apache-2.0 */
/* `look` and `check`: what is on a disk, and whether it is sound. Both read through the checker
 * (pool/lvs/check.h), which takes any bytes, never through the engine: nothing is opened, claimed
 * or written, but by check --repair. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ctl/cli/disk.h"
#include "pool/lvs/check.h"

struct looked {
    const char *path;
    const char *kind;
    char uuid[64];
    uint64_t size_bytes;
    bool in_use;
    struct lvs_report report; /* of a blobstore */
    bool has_report;
    int rc; /* when it could not be read */
    struct ash_err err;
};

static struct lvs_check_dev check_dev(struct cli_disk *d)
{
    return (struct lvs_check_dev){
        .read = cli_disk_read,
        .write = cli_disk_write,
        .flush = cli_disk_flush,
        .size_bytes = ash_align_down(d->size_bytes, 4096),
        .block_bytes = d->block_bytes,
        .ctx = d,
    };
}

static void look_at(struct cli *cli, const char *path, struct looked *l)
{
    struct cli_disk d;
    l->path = path;
    l->kind = "unreadable";
    l->rc = cli_disk_open(cli, path, CLI_DISK_EVEN_IN_USE, &d, &l->err);
    if (!l->rc) {
        l->rc = cli_disk_sniff(&d, &l->kind, l->uuid);
        l->size_bytes = d.size_bytes;
        l->in_use = d.in_use;
        if (!l->rc && !strcmp(l->kind, "blobstore")) {
            struct lvs_check_dev dev = check_dev(&d);
            l->rc = lvs_check(&dev, NULL, &l->report);
            l->has_report = true;
        }
        if (l->rc)
            ash_err_set_rc(&l->err, l->rc, ASH_E_BDEV_IO, path, "%s: reading: %s", path,
                           ash_strerror(l->rc));
    }
    cli_disk_close(&d);
}

static const struct lvs_report_volume *volume_of(const struct lvs_report *r, uint64_t blob_id)
{
    for (size_t i = 0; i < r->n_volumes; i++) {
        if (r->volumes[i].blob_id == blob_id)
            return &r->volumes[i];
    }
    return NULL;
}

static bool uuid_known(const struct looked *all, size_t n_all, const char *text)
{
    char mine[ASH_UUID_TEXT_BYTES];
    for (size_t i = 0; i < n_all; i++) {
        for (size_t k = 0; all[i].has_report && k < all[i].report.n_volumes; k++) {
            if (!strcmp(ash_uuid_format(&all[i].report.volumes[k].uuid, mine), text))
                return true;
        }
    }
    return false;
}

/* An external parent counts as there when it is a volume of one of the disks looked at, or one of
 * them was given with its UUID. */
static bool esnap_there(const char *id, const struct looked *all, size_t n_all)
{
    for (size_t i = 0; *id && i < n_all; i++) {
        if (strstr(all[i].path, id))
            return true;
    }
    return uuid_known(all, n_all, id);
}

/* Degraded as soon as an external parent is missing anywhere up the chain. */
static const char *state_of(const struct lvs_report *r, const struct lvs_report_volume *v,
                            const struct looked *all, size_t n_all)
{
    if (v->state == LVS_VOLUME_FAULTED)
        return "faulted";
    for (size_t depth = 0; v && depth <= r->n_volumes; depth++) {
        if (v->parent_id == LVS_ESNAP_BLOB)
            return esnap_there(v->esnap_id, all, n_all) ? "ok" : "degraded";
        v = volume_of(r, v->parent_id);
    }
    return "ok";
}

static void volume_json(struct ash_jsonw *w, const struct looked *l,
                        const struct lvs_report_volume *v, const char *state)
{
    const struct lvs_report *r = &l->report;
    char uuid[ASH_UUID_TEXT_BYTES];
    const struct lvs_report_volume *parent = volume_of(r, v->parent_id);
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "name", v->name);
    ash_jsonw_str(w, "uuid", ash_uuid_is_nil(&v->uuid) ? NULL : ash_uuid_format(&v->uuid, uuid));
    ash_jsonw_u64(w, "size_bytes", v->n_clusters * r->cluster_bytes);
    ash_jsonw_bool(w, "thin", v->thin);
    ash_jsonw_bool(w, "snapshot", v->snapshot);
    ash_jsonw_bool(w, "read_only", v->read_only);
    if (parent)
        ash_jsonw_str(w, "parent", parent->name);
    else
        ash_jsonw_null(w, "parent");
    if (v->parent_id == LVS_ESNAP_BLOB)
        ash_jsonw_str(w, "external_parent", v->esnap_id);
    ash_jsonw_arr(w, "clones");
    for (size_t i = 0; i < r->n_volumes; i++) {
        if (r->volumes[i].parent_id == v->blob_id)
            ash_jsonw_str(w, NULL, r->volumes[i].name);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_u64(w, "allocated_bytes", v->n_allocated * r->cluster_bytes);
    ash_jsonw_u64(w, "blob_id", v->blob_id);
    ash_jsonw_str(w, "state", state);
    if (v->state == LVS_VOLUME_FAULTED)
        ash_jsonw_str(w, "fault", lvs_check_code_text(v->reason));
    ash_jsonw_obj_end(w);
}

static void look_json(struct cli *cli, const struct looked *all, size_t n_all)
{
    struct ash_jsonw w;
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_jsonw_init(&w, &cli->out);
    ash_jsonw_obj(&w, NULL);
    ash_jsonw_arr(&w, "disks");
    for (size_t i = 0; i < n_all; i++) {
        const struct looked *l = &all[i];
        const struct lvs_report *r = &l->report;
        ash_jsonw_obj(&w, NULL);
        ash_jsonw_str(&w, "path", l->path);
        ash_jsonw_str(&w, "kind", l->kind);
        ash_jsonw_u64(&w, "size_bytes", l->size_bytes);
        ash_jsonw_bool(&w, "in_use", l->in_use);
        if (l->rc) {
            ash_jsonw_str(&w, "error", l->err.text);
            ash_jsonw_str(&w, "reason", ash_reason_name(l->err.reason));
        } else if (l->has_report && r->readable) {
            ash_jsonw_str(&w, "pool", *r->name ? r->name : NULL);
            ash_jsonw_str(&w, "uuid",
                          ash_uuid_is_nil(&r->uuid) ? NULL : ash_uuid_format(&r->uuid, uuid));
            ash_jsonw_bool(&w, "clean", r->clean);
            ash_jsonw_bool(&w, "sound", lvs_report_is_clean(r));
            ash_jsonw_u64(&w, "cluster_bytes", r->cluster_bytes);
            ash_jsonw_u64(&w, "pool_bytes", r->size_bytes);
            ash_jsonw_u64(&w, "free_bytes", r->free_clusters * r->cluster_bytes);
            ash_jsonw_arr(&w, "volumes");
            for (size_t k = 0; k < r->n_volumes; k++)
                volume_json(&w, l, &r->volumes[k], state_of(r, &r->volumes[k], all, n_all));
            ash_jsonw_arr_end(&w);
        } else if (l->has_report) {
            ash_jsonw_bool(&w, "sound", false);
            ash_jsonw_arr(&w, "volumes");
            ash_jsonw_arr_end(&w);
        } else if (*l->uuid) {
            ash_jsonw_str(&w, "uuid", l->uuid);
        }
        ash_jsonw_obj_end(&w);
    }
    ash_jsonw_arr_end(&w);
    ash_jsonw_obj_end(&w);
    ash_buf_chr(&cli->out, '\n');
}

static void volumes_text(struct cli *cli, const struct looked *l, const struct looked *all,
                         size_t n_all)
{
    static const char *const heads[] = {"  VOLUME", ">SIZE", ">ALLOCATED", "KIND",
                                        "PARENT",   "STATE", NULL};
    const struct lvs_report *r = &l->report;
    struct cli_table t = {.heads = heads};
    char size[32], used[32];
    for (size_t i = 0; i < r->n_volumes; i++) {
        const struct lvs_report_volume *v = &r->volumes[i];
        const struct lvs_report_volume *parent = volume_of(r, v->parent_id);
        cli_table_cell(&t, "  %s", *v->name ? v->name : "(no name)");
        cli_table_cell(&t, "%s",
                       ash_format_size(v->n_clusters * r->cluster_bytes, size, sizeof(size)));
        cli_table_cell(&t, "%s",
                       ash_format_size(v->n_allocated * r->cluster_bytes, used, sizeof(used)));
        cli_table_cell(&t, "%s", v->snapshot ? "snapshot" : v->thin ? "thin" : "thick");
        cli_table_cell(&t, "%s",
                       parent                           ? parent->name
                       : v->parent_id == LVS_ESNAP_BLOB ? v->esnap_id
                                                        : "-");
        cli_table_cell(&t, "%s", state_of(r, v, all, n_all));
    }
    cli_table_print(cli, &t);
}

static void look_text(struct cli *cli, const struct looked *all, size_t n_all)
{
    for (size_t i = 0; i < n_all; i++) {
        const struct looked *l = &all[i];
        const struct lvs_report *r = &l->report;
        char size[32], cluster[32], room[32];
        if (l->rc)
            continue;
        ash_format_size(l->size_bytes, size, sizeof(size));
        cli_out(cli, "%s: %s, %s%s%s%s", l->path, l->kind, size, *l->uuid ? ", " : "", l->uuid,
                l->in_use ? ", in use by another process" : "");
        if (l->has_report && !r->readable)
            cli_out(cli, ", super block not readable (`ashlar check` tells why)");
        if (!l->has_report || !r->readable) {
            cli_out(cli, "\n");
            continue;
        }
        cli_out(cli, ", pool '%s', %s%s, clusters of %s, %s free, %zu volume%s\n",
                *r->name ? r->name : "(no name)", r->clean ? "clean" : "dirty",
                lvs_report_is_clean(r) ? "" : ", damaged (see `ashlar check`)",
                ash_format_size(r->cluster_bytes, cluster, sizeof(cluster)),
                ash_format_size(r->free_clusters * r->cluster_bytes, room, sizeof(room)),
                r->n_volumes, r->n_volumes == 1 ? "" : "s");
        if (r->n_volumes)
            volumes_text(cli, l, all, n_all);
    }
}

int cli_look(struct cli *cli, struct ash_err *err)
{
    struct looked *all = rt_alloc(cli->n_args * sizeof(*all));
    if (!all)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
    int rc = 0;
    for (size_t i = 0; i < cli->n_args; i++)
        look_at(cli, cli->args[i], &all[i]);
    if (cli->json)
        look_json(cli, all, cli->n_args);
    else
        look_text(cli, all, cli->n_args);
    for (size_t i = 0; i < cli->n_args; i++) {
        if (all[i].rc && !rc) {
            rc = all[i].rc;
            *err = all[i].err;
        } else if (all[i].rc) {
            cli_print_err(cli, &all[i].err);
        }
        if (all[i].has_report)
            lvs_report_fini(&all[i].report);
    }
    rt_free(all);
    return rc;
}

/* ----------------------------------------------------------------- check */

static void check_json(struct cli *cli, struct ash_jsonw *w, const char *path, const char *kind,
                       const struct lvs_report *r)
{
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "path", path);
    ash_jsonw_str(w, "kind", kind);
    if (r) {
        ash_jsonw_str(w, "pool", *r->name ? r->name : NULL);
        ash_jsonw_bool(w, "clean", r->clean);
        ash_jsonw_bool(w, "sound", lvs_report_is_clean(r));
        ash_jsonw_u64(w, "repaired", r->n_repaired);
        ash_jsonw_arr(w, "findings");
        for (size_t i = 0; i < r->n_findings; i++) {
            const struct lvs_finding *f = &r->findings[i];
            ash_jsonw_obj(w, NULL);
            ash_jsonw_str(w, "code", lvs_check_code_text(f->code));
            ash_jsonw_str(w, "severity", lvs_check_severity_text(f->severity));
            ash_jsonw_str(w, "what", lvs_check_code_what(f->code));
            ash_jsonw_str(w, "text", f->text);
            ash_jsonw_bool(w, "repairable", f->repairable);
            ash_jsonw_bool(w, "repaired", f->repaired);
            if (f->blob_id != LVS_CHECK_NONE)
                ash_jsonw_u64(w, "blob_id", f->blob_id);
            if (f->page_idx != LVS_CHECK_NONE)
                ash_jsonw_u64(w, "page", f->page_idx);
            if (f->cluster != LVS_CHECK_NONE)
                ash_jsonw_u64(w, "cluster", f->cluster);
            ash_jsonw_obj_end(w);
        }
        ash_jsonw_arr_end(w);
    }
    ash_jsonw_obj_end(w);
}

static void check_text(struct cli *cli, const char *path, const struct lvs_report *r)
{
    for (size_t i = 0; i < r->n_findings; i++) {
        cli_out(cli, "%s: ", path);
        lvs_finding_text(&r->findings[i], &cli->out);
        cli_out(cli, "\n");
    }
    if (lvs_report_is_clean(r))
        cli_out(cli, "%s: pool '%s' is sound: %zu volume%s, %s%" PRIu64 " repaired\n", path,
                *r->name ? r->name : "(no name)", r->n_volumes, r->n_volumes == 1 ? "" : "s",
                r->clean ? "closed cleanly, " : "not closed cleanly (the next open recovers it), ",
                r->n_repaired);
    else
        cli_out(cli, "%s: %" PRIu64 " errors, %" PRIu64 " warnings, %" PRIu64 " repaired\n", path,
                r->n_by_severity[LVS_SEV_ERROR], r->n_by_severity[LVS_SEV_WARNING], r->n_repaired);
}

/* Exit code of one disk, or -errno. */
static int check_one(struct cli *cli, const char *path, struct ash_jsonw *w, struct ash_err *err)
{
    struct cli_disk d;
    struct lvs_report r = {0};
    const char *kind = "unreadable";
    char uuid[64];
    bool repair = cli_flag(cli, "repair"), walked = false;
    int rc = cli_disk_open(cli, path, repair ? CLI_DISK_WRITE : 0, &d, err);
    if (!rc) {
        rc = cli_disk_sniff(&d, &kind, uuid);
        /* A damaged first block may have lost its signature, so "unknown" is walked too. */
        if (!rc && strcmp(kind, "blobstore") && strcmp(kind, "unknown"))
            rc = ash_err_set(err, ASH_E_POOL_SUPER_SIGNATURE, path, "%s holds no pool but: %s",
                             path, kind);
    }
    if (!rc) {
        struct lvs_check_dev dev = check_dev(&d);
        const struct lvs_check_opts opts = {.new_name = cli_opt(cli, "name")};
        walked = true;
        rc = repair ? lvs_check_repair(&dev, &opts, &r) : lvs_check(&dev, &opts, &r);
        if (rc)
            ash_err_set_rc(err, rc, ASH_E_POOL_IO, path, "%s: %s", path, ash_strerror(rc));
    }
    if (!rc && cli->json)
        check_json(cli, w, path, kind, &r);
    else if (!rc)
        check_text(cli, path, &r);
    if (!rc)
        rc = lvs_report_is_clean(&r) ? CLI_DONE : CLI_FAILED;
    if (walked)
        lvs_report_fini(&r);
    cli_disk_close(&d);
    return rc;
}

int cli_check(struct cli *cli, struct ash_err *err)
{
    struct ash_jsonw w;
    int worst = CLI_DONE;
    ash_jsonw_init(&w, &cli->out);
    if (cli->json) {
        ash_jsonw_obj(&w, NULL);
        ash_jsonw_arr(&w, "disks");
    }
    int failed = 0;
    for (size_t i = 0; i < cli->n_args; i++) {
        struct ash_err one = {.reason = ASH_OK};
        int rc = check_one(cli, cli->args[i], &w, &one);
        if (rc < 0 && !failed) {
            failed = rc;
            *err = one;
        } else if (rc < 0) {
            cli_print_err(cli, &one);
        } else {
            worst = ASH_MAX(worst, rc);
        }
    }
    if (cli->json) {
        ash_jsonw_arr_end(&w);
        ash_jsonw_obj_end(&w);
        ash_buf_chr(&cli->out, '\n');
    }
    return failed ? failed : worst;
}
