/* SPDX-License-Identifier: Apache-2.0 */
/* Files with the texts of VGs: one backup per VG, and archives of what was before each change
 * (docs/spec/lvm2-format.md 17). A file is written beside its place, made durable, and renamed:
 * whoever looks finds the one before or the one after. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "pool/lvm/update.h"

enum { DAY_S = 86400, ARCHIVE_DIGITS_MAX = 19 };

/* ------------------------------------------------------------------- files */

static int write_new(const char *path, const struct ash_buf *text, struct ash_err *err)
{
    struct rt_file *file;
    int rc = rt_file_open(path, RT_FILE_CREATE, &file, err);
    if (rc)
        return rc;
    rc = rt_file_truncate(file, 0);
    if (rc == 0)
        rc = rt_file_write(file, text->data, text->n_bytes, 0);
    if (rc == 0)
        rc = rt_file_sync(file);
    rt_file_close(file);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path, "'%s' cannot be written: %s", path,
                              ash_strerror(rc));
    return 0;
}

int lvm_file_write(const char *path, const struct lvm_vg *vg, struct lvm_writer *writer,
                   const char *description, struct ash_err *err)
{
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_buf temp ASH_CLEANUP(ash_buf_free) = {0};
    struct lvm_origin origin = writer->origin;
    origin.time = rt_wall_ns() / 1000000000u;
    origin.description = description;
    ash_buf_fmt(&temp, "%s.%" PRIx64 ".new", path, rt_random_u64());
    if (lvm_vg_text(vg, &origin, LVM_IN_FILE, &text) || temp.failed)
        return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory to write '%s'", path);
    int rc = write_new(ash_buf_text(&temp), &text, err);
    if (rc == 0 && (rc = rt_rename(ash_buf_text(&temp), path)))
        rc = ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path, "'%s' cannot be replaced: %s", path,
                            ash_strerror(rc));
    if (rc)
        (void)rt_unlink(ash_buf_text(&temp));
    return rc;
}

static int write_in(const char *dir, const char *name, const char *when, const struct lvm_vg *vg,
                    struct lvm_writer *writer, struct ash_err *err)
{
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_buf description ASH_CLEANUP(ash_buf_free) = {0};
    ash_buf_fmt(&path, "%s/%s", dir, name);
    ash_buf_fmt(&description, "Created *%s* executing '%s'", when, writer->line);
    if (path.failed || description.failed)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory to back up VG '%s'", vg->name);
    int rc = rt_make_dirs(dir, 0700, err);
    if (rc)
        return rc;
    return lvm_file_write(ash_buf_text(&path), vg, writer, ash_buf_text(&description), err);
}

int lvm_backup(const struct lvm_backups *b, const struct lvm_vg *vg, struct lvm_writer *writer,
               struct ash_err *err)
{
    if (!b->backup_dir || writer->is_test)
        return 0;
    return write_in(b->backup_dir, vg->name, "after", vg, writer, err);
}

/* ---------------------------------------------------------------- archives */

bool lvm_archive_name(const char *file, const char *vg_name, uint64_t *ret_idx)
{
    size_t n = strlen(vg_name), n_file = strlen(file);
    if (strncmp(file, vg_name, n) != 0 || file[n] != '_' || n_file < 4 ||
        strcmp(file + n_file - 3, ".vg") != 0)
        return false;
    const char *digits = file + n + 1;
    size_t n_digits = strspn(digits, "0123456789");
    if (n_digits < 5 || n_digits > ARCHIVE_DIGITS_MAX || digits[n_digits] != '-')
        return false;
    *ret_idx = strtoull(digits, NULL, 10);
    return strspn(digits + n_digits + 1, "0123456789") == n_file - 3 - n - 1 - n_digits - 1;
}

struct archive {
    const struct rt_dirent *entry;
    uint64_t idx;
};

static int by_idx(const void *a, const void *b)
{
    const struct archive *x = a, *y = b;
    return x->idx < y->idx ? -1 : x->idx > y->idx;
}

/* The archives of one VG, oldest first. Returns how many; list: rt_free. */
static size_t find_archives(const struct rt_dirent *entries, size_t n, const char *vg_name,
                            struct archive *list)
{
    size_t n_found = 0;
    for (size_t i = 0; i < n; i++)
        if (lvm_archive_name(entries[i].name, vg_name, &list[n_found].idx))
            list[n_found++].entry = &entries[i];
    qsort(list, n_found, sizeof(*list), by_idx);
    return n_found;
}

int lvm_archive_list(const char *dir, const char *vg_name, struct rt_dirent **ret_list,
                     size_t *ret_n, struct ash_err *err)
{
    struct rt_dirent *entries, *sorted;
    size_t n_entries;
    int rc = rt_list_dir(dir, &entries, &n_entries, err);
    if (rc)
        return rc;
    struct archive *list = rt_alloc((n_entries + 1) * sizeof(*list));
    sorted = rt_alloc((n_entries + 1) * sizeof(*sorted));
    if (list && sorted) {
        *ret_n = find_archives(entries, n_entries, vg_name, list);
        for (size_t i = 0; i < *ret_n; i++)
            sorted[i] = *list[i].entry;
        *ret_list = sorted;
    } else {
        rt_free(sorted);
        rc = ash_err_set(err, ASH_E_NO_MEMORY, vg_name, "no memory to list archives of VG '%s'",
                         vg_name);
    }
    rt_free(list);
    rt_free(entries);
    return rc;
}

/* Those that are old, but never so many that fewer than retain_min are left. */
static void expire(const struct lvm_backups *b, const struct archive *list, size_t n)
{
    int64_t now_s = (int64_t)(rt_wall_ns() / 1000000000u);
    for (size_t i = 0; i + b->retain_min < n; i++) {
        struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
        if (now_s - list[i].entry->mtime_s <= (int64_t)ASH_MIN(b->retain_days, 36500u) * DAY_S)
            continue;
        ash_buf_fmt(&path, "%s/%s", b->archive_dir, list[i].entry->name);
        if (!path.failed)
            (void)rt_unlink(ash_buf_text(&path));
    }
}

int lvm_archive(const struct lvm_backups *b, const struct lvm_vg *vg, struct lvm_writer *writer,
                struct ash_err *err)
{
    struct rt_dirent *entries = NULL;
    size_t n_entries;
    char name[192];
    if (!b->archive_dir || writer->is_test)
        return 0;
    int rc = rt_make_dirs(b->archive_dir, 0700, err);
    if (rc == 0)
        rc = rt_list_dir(b->archive_dir, &entries, &n_entries, err);
    if (rc)
        return rc;
    struct archive *list = rt_alloc((n_entries + 1) * sizeof(*list));
    if (!list) {
        rt_free(entries);
        return ash_err_set(err, ASH_E_NO_MEMORY, vg->name, "no memory to archive VG '%s'",
                           vg->name);
    }
    size_t n = find_archives(entries, n_entries, vg->name, list);
    uint64_t next = n ? list[n - 1].idx + 1 : 0;
    snprintf(name, sizeof(name), "%s_%05" PRIu64 "-%u.vg", vg->name, next,
             (unsigned)(rt_random_u64() & 0x7fffffff));
    rc = write_in(b->archive_dir, name, "before", vg, writer, err);
    if (rc == 0)
        expire(b, list, n);
    rt_free(list);
    rt_free(entries);
    return rc;
}
