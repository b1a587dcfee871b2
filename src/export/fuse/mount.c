/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts and their files: made, removed, taken apart. Control reactor only; calls of libfuse and of
 * the system that may wait run on a worker, so that the reactor can answer the kernel meanwhile.
 *
 * Invariants
 *  - a file in m->files that is not `opening` has its descriptor and channel; who takes it off the
 *    list closes them, when its requests have ended;
 *  - a mount that is closing reads no more requests; it is unmounted when those it has read have
 *    been answered, and freed after that;
 *  - whoever waits, waits on srv->changed and looks again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "export/fuse/fuse_int.h"
#include "rt/rt.h"

#define RETRY_NS      100000000ull
#define RELEASE_NS    1000000000ull /* the kernel tells of a close() a moment later */
#define RELEASE_STEPS 50
#define FIRST_INO     16

/* --------------------------------------------------------------- looking up */

static size_t dir_length(const char *dir)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    return n;
}

static struct fexp_mount *find_mount(const struct fexp_server *srv, const char *dir)
{
    size_t n = dir_length(dir);
    ash_list_for_each (item, &srv->mounts) {
        struct fexp_mount *m = ash_list_entry(item, struct fexp_mount, link);
        if (strlen(m->dir) == n && memcmp(m->dir, dir, n) == 0)
            return m;
    }
    return NULL;
}

static bool mount_exists(const struct fexp_server *srv, uint64_t id)
{
    ash_list_for_each (item, &srv->mounts) {
        if (ash_list_entry(item, struct fexp_mount, link)->id == id)
            return true;
    }
    return false;
}

struct fexp_file *fexp_file_by_ino(struct fexp_mount *m, uint64_t ino)
{
    ash_list_for_each (item, &m->files) {
        struct fexp_file *f = ash_list_entry(item, struct fexp_file, link);
        if (f->ino == ino && !f->opening)
            return f;
    }
    return NULL;
}

uint64_t fexp_file_size(const struct fexp_file *f)
{
    return f->ch->bdev->size_bytes;
}

/* -------------------------------------------------------------------- files */

static void file_free(struct fexp_file *f)
{
    rt_timer_stop(&f->retry);
    if (f->ch)
        bdev_channel_put(f->ch);
    if (f->desc)
        bdev_close(f->desc);
    rt_free(f->name);
    rt_free(f->bdev_name);
    rt_free(f);
}

static void remove_file_task(void *arg)
{
    struct fexp_file *f = arg;
    struct fexp_mount *m = f->m;
    struct fexp_server *srv = m->srv;
    while (f->n_inflight > 0)
        rt_waitq_wait(&srv->changed);
    file_free(f);
    m->n_removing--;
    rt_waitq_wake_all(&srv->changed);
}

static void spawn_remove(struct fexp_file *f)
{
    if (rt_task_spawn("fuse file removal", remove_file_task, f))
        rt_timer_start(&f->retry, RETRY_NS);
}

static void retry_remove(struct rt_timer *timer)
{
    spawn_remove(ash_container_of(timer, struct fexp_file, retry));
}

/* The device goes: the name goes at once, open files answer ESHUTDOWN. A changed size needs
 * nothing: every request looks at the device's. */
static void on_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct fexp_file *f = bdev_desc_user(desc);
    if (ev != BDEV_EVENT_REMOVE)
        return;
    if (f->opening) {
        f->removed = true;
        return;
    }
    if (f->m->closing) /* the end of the mount closes it */
        return;
    ash_list_remove(&f->link);
    f->m->n_removing++;
    spawn_remove(f);
}

/* f is on the list, opening. */
static int file_open(struct fexp_file *f, struct ash_err *err)
{
    struct fexp_server *srv = f->m->srv;
    const struct bdev *bdev = bdev_find(srv->mgr, f->bdev_name);
    f->read_only = f->read_only || (bdev && bdev->read_only);
    unsigned mode = BDEV_OPEN_UNALIGNED | (f->read_only ? BDEV_OPEN_READ : BDEV_OPEN_WRITE);
    int rc = bdev_open(srv->mgr, f->bdev_name, mode, "fuse", on_event, f, &f->desc, err);
    if (rc)
        return rc;
    if (f->removed)
        return ash_err_set(err, ASH_E_BDEV_REMOVED, f->bdev_name, "device '%s' is being removed",
                           f->bdev_name);
    f->ch = bdev_channel_get(f->desc);
    if (!f->ch)
        return ash_err_set(err, ASH_E_NO_MEMORY, f->bdev_name, "no memory for a channel of '%s'",
                           f->bdev_name);
    return 0;
}

static int check_args(const char *dir, const char *name, struct ash_err *err)
{
    size_t n = strlen(name);
    if (dir[0] != '/')
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, dir, "the folder '%s' must be an absolute path",
                           dir);
    if (n == 0 || n > FEXP_NAME_MAX || strchr(name, '/') || !strcmp(name, ".") ||
        !strcmp(name, ".."))
        return ash_err_set(err, ASH_E_BAD_NAME, name, "'%s' cannot be the name of a file", name);
    return 0;
}

static struct fexp_file *file_new(struct fexp_mount *m, const char *bdev, const char *name,
                                  bool readonly)
{
    struct fexp_file *f = rt_alloc(sizeof(*f));
    if (!f)
        return NULL;
    f->m = m;
    f->name = rt_strdup(name);
    f->bdev_name = rt_strdup(bdev);
    f->read_only = readonly;
    f->opening = true;
    f->retry.fire = retry_remove;
    f->ino = m->next_ino++;
    ash_list_init(&f->link);
    if (!f->name || !f->bdev_name) {
        file_free(f);
        return NULL;
    }
    return f;
}

/* ----------------------------------------------------------------- mounting */

/* Is the topmost mount on dir of our kind? (/proc/mounts writes blanks and the like as \040.) */
static bool is_our_kind(const char *dir)
{
    bool is_ours = false;
    char at[4096], type[64];
    FILE *file = fopen("/proc/self/mounts", "re");
    char *line = NULL;
    size_t n_line = 0;
    while (file && getline(&line, &n_line, file) > 0) {
        if (sscanf(line, "%*s %4095s %63s", at, type) == 2 && strcmp(at, dir) == 0)
            is_ours = strcmp(type, "fuse.ashlar") == 0;
    }
    free(line);
    if (file)
        fclose(file);
    return is_ours;
}

/* A daemon that was killed leaves its mount behind; while requests of it are being given up the
 * kernel says ECONNABORTED, later ENOTCONN. Ours are taken away, so that a daemon that starts again
 * finds its folder free; others are not touched. */
static int look_at_folder(const char *dir, struct stat *st)
{
    int rc = stat(dir, st) ? -errno : 0;
    for (int i = 0; rc == -ECONNABORTED && i < 10; i++)
        rc = stat(dir, st) ? -errno : 0;
    if (rc == -ENOTCONN && is_our_kind(dir) && umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        rc = stat(dir, st) ? -errno : 0;
    return rc;
}

static int find_out(void *arg)
{
    struct fexp_mount *m = arg;
    struct stat st;
    int rc = look_at_folder(m->dir, &st);
    if (rc)
        return rc;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
        return -ENODEV;
    if (fd >= 0) /* else fusermount3 may open it for us */
        close(fd);
    m->uid = geteuid();
    m->gid = getegid();
    return 0;
}

static int do_mount(void *arg)
{
    struct fexp_mount *m = arg;
    return fuse_session_mount(m->se, m->dir) ? -EIO : 0;
}

static int do_unmount(void *arg)
{
    struct fexp_mount *m = arg;
    fuse_session_unmount(m->se); /* lazy: also when somebody has a file open */
    return 0;
}

static int mount_now(struct fexp_mount *m, struct ash_err *err)
{
    char prog[] = "ashlar", opt[] = "-o";
    char opts[] = "fsname=ashlar,subtype=ashlar,default_permissions,nosuid,nodev";
    char *argv[] = {prog, opt, opts, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    int rc = rt_work("looking at the folder", find_out, m);
    if (rc)
        return ash_err_set_rc(
            err, rc, ASH_E_EXPORT_MOUNT, m->dir, "cannot mount on '%s': %s", m->dir,
            rc == -ENODEV     ? "there is no usable /dev/fuse"
            : rc == -ENOTCONN ? "a dead mount is there, `fusermount3 -uz` takes it away"
                              : ash_strerror(rc));
    m->se = fuse_session_new(&args, &fexp_ops, sizeof(fexp_ops), m);
    fuse_opt_free_args(&args);
    if (!m->se)
        return ash_err_set(err, ASH_E_NO_MEMORY, m->dir, "no memory for a FUSE session");
    rc = rt_work("mounting", do_mount, m);
    if (rc)
        return ash_err_set(err, ASH_E_EXPORT_MOUNT, m->dir,
                           "cannot mount on '%s': libfuse says why on standard error", m->dir);
    rc = rt_watch_fd(fuse_session_fd(m->se), &m->sock);
    if (rc) {
        rt_work("unmounting", do_unmount, m);
        return ash_err_set_rc(err, rc, ASH_E_EXPORT_MOUNT, m->dir, "cannot serve '%s': %s", m->dir,
                              ash_strerror(rc));
    }
    rt_thread_serves_io(); /* without the right to it things work, just not with all memory dirty */
    fexp_rx_start(m);
    return 0;
}

static void mount_free(struct fexp_mount *m)
{
    struct fexp_server *srv = m->srv;
    fexp_rx_fini(m);
    if (m->se)
        fuse_session_destroy(m->se);
    rt_timer_stop(&m->retry);
    ash_list_remove(&m->link);
    rt_free(m->dir);
    rt_free(m);
    rt_waitq_wake_all(&srv->changed);
}

static void close_mount_task(void *arg)
{
    struct fexp_mount *m = arg;
    struct fexp_server *srv = m->srv;
    struct ash_list *item;
    rt_step("waiting for requests");
    while (m->polling || m->rx_posted || m->n_inflight > 0 || m->n_removing > 0)
        rt_waitq_wait(&srv->changed);
    rt_sock_close(m->sock);
    rt_step("unmounting");
    rt_work("unmounting", do_unmount, m);
    while ((item = ash_list_pop_head(&m->files)) != NULL)
        file_free(ash_list_entry(item, struct fexp_file, link));
    mount_free(m);
}

static void spawn_close(struct fexp_mount *m)
{
    if (rt_task_spawn("fuse unmount", close_mount_task, m))
        rt_timer_start(&m->retry, RETRY_NS);
}

static void retry_close(struct rt_timer *timer)
{
    spawn_close(ash_container_of(timer, struct fexp_mount, retry));
}

void fexp_mount_begin_close(struct fexp_mount *m)
{
    if (m->closing)
        return;
    m->closing = true;
    rt_timer_stop(&m->rx_timer);
    if (m->polling)
        rt_op_cancel(&m->poll_op);
    spawn_close(m);
}

struct fexp_mount *fexp_mount_new(struct fexp_server *srv, const char *dir)
{
    struct fexp_mount *m = rt_alloc(sizeof(*m));
    if (!m)
        return NULL;
    m->srv = srv;
    m->id = srv->next_mount_id++;
    m->next_ino = FIRST_INO;
    m->wall_ns = rt_wall_ns();
    m->retry.fire = retry_close;
    m->opening = true;
    ash_list_init(&m->files);
    ash_list_init(&m->link);
    fexp_rx_init(m);
    m->dir = rt_strdup(dir);
    if (!m->dir) {
        rt_free(m);
        return NULL;
    }
    m->dir[dir_length(dir)] = '\0';
    ash_list_push_tail(&srv->mounts, &m->link);
    return m;
}

/* The mount of dir when it can take files, or a new one (opening, and the caller's to finish). */
static int get_mount(struct fexp_server *srv, const char *dir, struct fexp_mount **ret,
                     struct ash_err *err)
{
    struct fexp_mount *m;
    while (!srv->stopping && (m = find_mount(srv, dir)) && (m->opening || m->closing))
        rt_waitq_wait(&srv->changed);
    if (srv->stopping)
        return ash_err_set(err, ASH_E_CANCELED, dir, "the FUSE server is shutting down");
    m = find_mount(srv, dir);
    *ret = m ? m : fexp_mount_new(srv, dir);
    return *ret ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, dir, "no memory for a mount");
}

static int add_file(struct fexp_mount *m, const char *bdev, const char *name, bool readonly,
                    struct ash_err *err)
{
    ash_list_for_each (item, &m->files) {
        if (!strcmp(ash_list_entry(item, struct fexp_file, link)->name, name))
            return ash_err_set(err, ASH_E_EXPORT_EXISTS, name, "'%s/%s' exists", m->dir, name);
    }
    struct fexp_file *f = file_new(m, bdev, name, readonly);
    if (!f)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for '%s/%s'", m->dir, name);
    ash_list_push_tail(&m->files, &f->link);
    m->n_removing++; /* keeps the mount while we wait */
    int rc = file_open(f, err);
    m->n_removing--;
    if (rc) {
        ash_list_remove(&f->link);
        file_free(f);
        rt_waitq_wake_all(&m->srv->changed);
        return rc;
    }
    f->opening = false;
    rt_waitq_wake_all(&m->srv->changed);
    return 0;
}

int fexp_add(struct fexp_server *srv, const char *bdev, const char *dir, const char *name,
             bool readonly, struct ash_err *err)
{
    struct fexp_mount *m;
    if (!name || !name[0])
        name = strrchr(bdev, '/') ? strrchr(bdev, '/') + 1 : bdev;
    int rc = check_args(dir, name, err);
    if (rc)
        return rc;
    srv->n_busy++;
    rc = get_mount(srv, dir, &m, err);
    if (!rc) {
        bool is_new = m->opening;
        rc = add_file(m, bdev, name, readonly, err);
        if (is_new && !rc)
            rc = mount_now(m, err);
        if (is_new && rc) {
            struct ash_list *item;
            m->closing = true; /* whose device goes now is closed here */
            while ((item = ash_list_pop_head(&m->files)) != NULL)
                file_free(ash_list_entry(item, struct fexp_file, link));
            while (m->n_removing > 0)
                rt_waitq_wait(&srv->changed);
            mount_free(m);
        } else {
            m->opening = false;
        }
    }
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
    return rc ? ash_err_while(err, rc, "showing '%s' as '%s/%s'", bdev, dir, name) : 0;
}

/* --------------------------------------------------------------- unmounting */

static const struct fexp_file *open_file(const struct fexp_mount *m)
{
    ash_list_for_each (item, &m->files) {
        const struct fexp_file *f = ash_list_entry(item, struct fexp_file, link);
        if (f->n_opens > 0)
            return f;
    }
    return NULL;
}

int fexp_unmount(struct fexp_server *srv, const char *dir, bool force, struct ash_err *err)
{
    struct fexp_mount *m = find_mount(srv, dir);
    if (!m || m->opening)
        return ash_err_set(err, ASH_E_EXPORT_NOT_FOUND, dir, "'%s' is no mount of ours", dir);
    uint64_t id = m->id;
    for (unsigned i = 0; !force && !m->closing && open_file(m); i++) {
        if (i == RELEASE_STEPS)
            return ash_err_set(err, ASH_E_EXPORT_BUSY, dir, "'%s/%s' is open", dir,
                               open_file(m)->name);
        rt_sleep_ns(RELEASE_NS / RELEASE_STEPS);
        if (!mount_exists(srv, id))
            return 0;
    }
    fexp_mount_begin_close(m);
    while (mount_exists(srv, id))
        rt_waitq_wait(&srv->changed);
    return 0;
}

void fexp_wait_unmounted(struct fexp_server *srv, const char *dir)
{
    const struct fexp_mount *m = find_mount(srv, dir);
    uint64_t id = m ? m->id : 0;
    srv->n_busy++;
    while (m && mount_exists(srv, id))
        rt_waitq_wait(&srv->changed);
    srv->n_busy--;
    rt_waitq_wake_all(&srv->changed);
}

void fexp_for_each(const struct fexp_server *srv, void (*fn)(const struct fexp_info *, void *),
                   void *arg)
{
    ash_list_for_each (item, &srv->mounts) {
        const struct fexp_mount *m = ash_list_entry(item, struct fexp_mount, link);
        struct fexp_info info = {.dir = m->dir};
        if (m->opening || m->closing)
            continue;
        fn(&info, arg);
        ash_list_for_each (file_item, &m->files) {
            const struct fexp_file *f = ash_list_entry(file_item, struct fexp_file, link);
            if (f->opening)
                continue;
            info = (struct fexp_info){.dir = m->dir,
                                      .name = f->name,
                                      .bdev = f->ch->bdev->name,
                                      .size_bytes = fexp_file_size(f),
                                      .read_only = f->read_only,
                                      .n_opens = f->n_opens,
                                      .counters = f->counters};
            fn(&info, arg);
        }
    }
}

/* ------------------------------------------------------------------- server */

static void server_destroy(struct ash_engine_part *part)
{
    struct fexp_server *srv = ash_container_of(part, struct fexp_server, part);
    srv->stopping = true;
    rt_waitq_wake_all(&srv->changed);
    while (!ash_list_empty(&srv->mounts) || srv->n_busy > 0) {
        ash_list_for_each (item, &srv->mounts) {
            struct fexp_mount *m = ash_list_entry(item, struct fexp_mount, link);
            if (!m->opening)
                fexp_mount_begin_close(m);
        }
        rt_waitq_wait(&srv->changed);
    }
    rt_free(srv);
}

const char *fexp_library(void)
{
    return fuse_pkgversion();
}

int fexp_server(struct ash_engine *engine, struct fexp_server **ret_srv, struct ash_err *err)
{
    struct ash_engine_part *part = ash_engine_part(engine, "fuse");
    if (part) {
        *ret_srv = ash_container_of(part, struct fexp_server, part);
        return 0;
    }
    struct fexp_server *srv = rt_alloc(sizeof(*srv));
    if (!srv)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the FUSE server");
    srv->mgr = ash_engine_bdevs(engine);
    srv->next_mount_id = 1;
    ash_list_init(&srv->mounts);
    rt_waitq_init(&srv->changed);
    srv->part.key = "fuse";
    srv->part.destroy = server_destroy;
    ash_engine_attach(engine, &srv->part);
    *ret_srv = srv;
    return 0;
}
