/* SPDX-License-Identifier: Apache-2.0 */
/* Lock files of other programs' conventions (flock), and what is in a folder. All calls block, on a
 * worker thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rt/rt_internal.h"

struct rt_lock {
    int fd; /* -1 in the simulator, where nobody else is */
    char path[];
};

struct lock_args {
    const char *path;
    unsigned flags;
    int fd;
};

/* Does the path still name the open file? The last holder of a lock removes its file. */
static bool is_same(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static int take_blocking(void *arg)
{
    struct lock_args *a = arg;
    int how = (a->flags & RT_LOCK_SHARED ? LOCK_SH : LOCK_EX) |
              (a->flags & RT_LOCK_NO_WAIT ? LOCK_NB : 0);
    for (;;) {
        int fd = open(a->path, O_CREAT | O_APPEND | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0)
            return -errno;
        int rc;
        while ((rc = flock(fd, how)) != 0 && errno == EINTR)
            ;
        if (rc) {
            rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
            close(fd);
            return rc;
        }
        if (is_same(fd, a->path)) {
            a->fd = fd;
            return 0;
        }
        close(fd);
    }
}

int rt_lock_take(const char *path, unsigned flags, struct rt_lock **ret_lock, struct ash_err *err)
{
    struct lock_args a = {.path = path, .flags = flags, .fd = -1};
    struct rt_lock *lock = rt_alloc(sizeof(*lock) + strlen(path) + 1);
    if (!lock)
        return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory for the lock '%s'", path);
    int rc = rt_world()->sim ? 0 : rt_work("lock", take_blocking, &a);
    if (rc) {
        rt_free(lock);
        if (rc == -EBUSY)
            return ash_err_set(err, ASH_E_RT_FILE_BUSY, path, "'%s' is locked", path);
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path, "'%s' cannot be locked: %s", path,
                              ash_strerror(rc));
    }
    lock->fd = a.fd;
    memcpy(lock->path, path, strlen(path) + 1);
    *ret_lock = lock;
    return 0;
}

static int drop_blocking(void *arg)
{
    struct rt_lock *lock = arg;
    /* Nobody else holds or awaits it: the file goes. */
    if (flock(lock->fd, LOCK_EX | LOCK_NB) == 0 && is_same(lock->fd, lock->path))
        (void)unlink(lock->path);
    return close(lock->fd) ? -errno : 0;
}

void rt_lock_drop(struct rt_lock *lock)
{
    if (!lock)
        return;
    if (lock->fd >= 0)
        (void)rt_work("unlock", drop_blocking, lock);
    rt_free(lock);
}

/* ----------------------------------------------------------------- folders */

struct list_args {
    const char *path;
    struct rt_dirent *entries; /* malloc */
    size_t n, n_room;
};

static int add_entry(struct list_args *a, int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return 0; /* gone meanwhile, or nothing to us */
    if (a->n == a->n_room) {
        size_t n_room = a->n_room ? 2 * a->n_room : 32;
        struct rt_dirent *more = realloc(a->entries, n_room * sizeof(*more));
        if (!more)
            return -ENOMEM;
        a->entries = more;
        a->n_room = n_room;
    }
    struct rt_dirent *e = &a->entries[a->n++];
    snprintf(e->name, sizeof(e->name), "%s", name);
    e->mtime_s = (int64_t)st.st_mtime;
    return 0;
}

static int list_blocking(void *arg)
{
    struct list_args *a = arg;
    DIR *dir = opendir(a->path);
    int rc = dir ? 0 : -errno;
    const struct dirent *d;
    while (rc == 0 && (d = readdir(dir)) != NULL)
        rc = add_entry(a, dirfd(dir), d->d_name);
    if (dir)
        closedir(dir);
    return rc;
}

int rt_list_dir(const char *path, struct rt_dirent **ret_entries, size_t *ret_n,
                struct ash_err *err)
{
    struct list_args a = {.path = path};
    int rc = rt_world()->sim ? 0 : rt_work("list folder", list_blocking, &a);
    struct rt_dirent *entries = rc ? NULL : rt_alloc((a.n + 1) * sizeof(*entries));
    if (rc == 0 && entries && a.n)
        memcpy(entries, a.entries, a.n * sizeof(*entries));
    free(a.entries);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, path,
                              "the folder '%s' cannot be read: %s", path, ash_strerror(rc));
    if (!entries)
        return ash_err_set(err, ASH_E_NO_MEMORY, path, "no memory to read '%s'", path);
    *ret_entries = entries;
    *ret_n = a.n;
    return 0;
}
