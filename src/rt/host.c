/* SPDX-License-Identifier: Apache-2.0 */
/* Small host files: configuration, state folders. All calls block, on a worker thread. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rt/rt_internal.h"

struct path_args {
    const char *path, *to;
    unsigned mode;
    size_t n_max;
    char *text; /* malloc */
    size_t n_bytes;
    bool is_device;
};

static int read_blocking(void *arg)
{
    struct path_args *a = arg;
    int fd = open(a->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t n_room = 4096, n = 0;
    char *text = malloc(n_room + 1);
    int rc = text ? 0 : -ENOMEM;
    while (rc == 0) {
        if (n == n_room) {
            char *more = realloc(text, 2 * n_room + 1);
            if (!more) {
                rc = -ENOMEM;
                break;
            }
            text = more;
            n_room *= 2;
        }
        ssize_t got = read(fd, text + n, n_room - n);
        if (got < 0 && errno != EINTR)
            rc = -errno;
        else if (got > 0)
            n += (size_t)got;
        if (got == 0)
            break;
        if (n > a->n_max)
            rc = -EFBIG;
    }
    close(fd);
    if (rc) {
        free(text);
        return rc;
    }
    text[n] = '\0';
    a->text = text;
    a->n_bytes = n;
    return 0;
}

int rt_read_text(const char *path, size_t n_max_bytes, char **ret_text, size_t *ret_n_bytes,
                 struct ash_err *err)
{
    struct rt *rt = rt_world();
    if (rt->sim)
        return rt_sim_read_text(rt, path, n_max_bytes, ret_text, ret_n_bytes, err);
    struct path_args a = {.path = path, .n_max = n_max_bytes};
    int rc = rt_work("read text", read_blocking, &a);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path, "'%s' cannot be read: %s", path,
                              ash_strerror(rc));
    char *text = rt_alloc(a.n_bytes + 1);
    if (text)
        memcpy(text, a.text, a.n_bytes);
    free(a.text);
    if (!text)
        return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory to read '%s'", path);
    *ret_text = text;
    *ret_n_bytes = a.n_bytes;
    return 0;
}

static int make_dirs_blocking(void *arg)
{
    struct path_args *a = arg;
    char *path = strdup(a->path);
    if (!path)
        return -ENOMEM;
    int rc = 0;
    for (char *at = path + 1; rc == 0; at++) {
        char c = *at;
        if (c != '/' && c != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, a->mode) && errno != EEXIST)
            rc = -errno;
        *at = c;
        if (c == '\0')
            break;
    }
    struct stat st;
    if (rc == 0 && stat(path, &st))
        rc = -errno;
    else if (rc == 0 && !S_ISDIR(st.st_mode))
        rc = -ENOTDIR;
    free(path);
    return rc;
}

int rt_make_dirs(const char *path, unsigned mode, struct ash_err *err)
{
    if (*path == '\0')
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, NULL, "the folder's path is empty");
    if (rt_world()->sim)
        return 0; /* the simulator's files need no folders */
    struct path_args a = {.path = path, .mode = mode};
    int rc = rt_work("make folders", make_dirs_blocking, &a);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path,
                              "the folder '%s' cannot be made: %s", path, ash_strerror(rc));
    return 0;
}

static int mode_blocking(void *arg)
{
    struct path_args *a = arg;
    struct stat st;
    if (stat(a->path, &st))
        return -errno;
    a->mode = st.st_mode & 07777;
    return 0;
}

int rt_path_mode(const char *path, unsigned *ret_mode)
{
    struct path_args a = {.path = path, .mode = 0600};
    int rc = rt_world()->sim ? 0 : rt_work("permissions", mode_blocking, &a);
    if (rc == 0)
        *ret_mode = a.mode;
    return rc;
}

static int unlink_blocking(void *arg)
{
    struct path_args *a = arg;
    return unlink(a->path) ? -errno : 0;
}

int rt_unlink(const char *path)
{
    struct rt *rt = rt_world();
    if (rt->sim)
        return rt_sim_unlink(rt, path);
    struct path_args a = {.path = path};
    return rt_work("unlink", unlink_blocking, &a);
}

static int rename_blocking(void *arg)
{
    struct path_args *a = arg;
    if (rename(a->path, a->to))
        return -errno;
    char *folder = strdup(a->to);
    if (!folder)
        return -ENOMEM;
    int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) ? -errno : 0;
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

int rt_rename(const char *from, const char *to)
{
    struct rt *rt = rt_world();
    if (rt->sim)
        return rt_sim_rename(rt, from, to);
    struct path_args a = {.path = from, .to = to};
    return rt_work("rename", rename_blocking, &a);
}

static int stat_blocking(void *arg)
{
    struct path_args *a = arg;
    struct stat st;
    if (stat(a->path, &st))
        return -errno;
    a->is_device = S_ISBLK(st.st_mode);
    return 0;
}

bool rt_path_exists(const char *path)
{
    struct rt *rt = rt_world();
    struct path_args a = {.path = path};
    if (rt->sim)
        return rt_sim_path(rt, path, &a.is_device);
    return rt_work("stat", stat_blocking, &a) == 0;
}

bool rt_path_is_blockdev(const char *path)
{
    struct rt *rt = rt_world();
    struct path_args a = {.path = path};
    if (rt->sim)
        return rt_sim_path(rt, path, &a.is_device) && a.is_device;
    return rt_work("stat", stat_blocking, &a) == 0 && a.is_device;
}
