/* SPDX-License-Identifier: Apache-2.0 */
/* `mount` and `umount`: a volume as a file, by the daemon or by this process. */
#include <string.h>

#include "ctl/cli/cmd.h"
#include "ctl/cli/nouns.h"
#include "ctl/cli/serve.h"
#include "export/fuse/fuse.h"

struct watch {
    struct fexp_server *srv;
    const char *dir;
    struct cli_stop *stop;
    struct rt_event ended;
};

/* Unmounted by somebody: as good as a signal. */
static void watch_task(void *arg)
{
    struct watch *w = arg;
    fexp_wait_unmounted(w->srv, w->dir);
    if (!w->stop->asked) {
        w->stop->asked = true;
        rt_event_set(&w->stop->event, 0);
    }
    rt_event_set(&w->ended, 0);
}

/* This process serves the mount until it is over. */
static int serve_here(struct cli *cli, const char *dir, struct ash_err *err)
{
    struct ash_engine *engine;
    struct cli_stop stop;
    struct watch w = {.dir = dir, .stop = &stop, .ended = RT_EVENT_INIT};
    int rc = cli_engine(cli, false, &engine, err);
    if (!rc)
        rc = fexp_server(engine, &w.srv, err);
    if (!rc)
        rc = cli_stop_init(&stop, cli, err);
    if (rc)
        return rc;
    if (rt_task_spawn("mount watch", watch_task, &w)) {
        rc = ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for a task");
    } else {
        cli_log(cli, CLI_LOG_INFO, "serving %s; `fusermount3 -u` or Ctrl-C ends it", dir);
        cli->host->notify("READY=1");
        cli_stop_wait(&stop);
        cli->host->notify("STOPPING=1");
        if (!w.ended.is_set) {
            struct ash_err why = {.reason = ASH_OK};
            if (fexp_unmount(w.srv, dir, false, &why)) {
                cli_log(cli, CLI_LOG_WARN, "%s; unmounting all the same", why.text);
                fexp_unmount(w.srv, dir, true, NULL);
            }
            (void)rt_event_wait(&w.ended);
        }
    }
    cli_stop_fini(&stop);
    return rc;
}

/* The daemon serves it; stay until it is over, or end it. */
static int stay(struct cli *cli, const char *dir, struct ash_err *err)
{
    struct cli_stop stop;
    int rc = cli_stop_init(&stop, cli, err);
    if (rc)
        return rc;
    for (bool there = true; there && !rc && !stop.asked;) {
        struct json_object *mounts = NULL;
        rt_sleep_ns(250000000u);
        rc = cli_call(cli, "fuse_get_mounts", NULL, &mounts, err);
        there = false;
        for (size_t i = 0; !rc && i < json_object_array_length(mounts); i++) {
            const char *d = cli_jstr(json_object_array_get_idx(mounts, i), "dir");
            there = there || strcmp(d, dir) == 0;
        }
        json_object_put(mounts);
    }
    if (!rc && stop.asked)
        rc = cli_call_quiet(cli, "fuse_unmount", cli_params("dir", dir, NULL), err);
    cli_stop_fini(&stop);
    return rc;
}

static int folder(struct cli *cli, const char *text, char *dir, size_t n_dir, struct ash_err *err)
{
    int rc = cli->host->abs_path(text, dir, n_dir);
    for (size_t n = rc ? 0 : strlen(dir); n > 1 && dir[n - 1] == '/'; n--)
        dir[n - 1] = '\0';
    return rc ? ash_err_set_rc(err, rc, ASH_E_EXPORT_MOUNT, text, "%s: %s", text, ash_strerror(rc))
              : 0;
}

int cli_mount(struct cli *cli, struct ash_err *err)
{
    char dir[4096];
    int rc = folder(cli, cli->args[1], dir, sizeof(dir), err);
    if (rc)
        return rc;
    struct json_object *p =
        cli_params("bdev", cli->args[0], "dir", dir, "name", cli_opt(cli, "name"), NULL);
    if (cli_flag(cli, "read-only"))
        json_object_object_add(p, "readonly", json_object_new_boolean(true));
    rc = cli_call_quiet(cli, "fuse_mount", p, err);
    if (rc < 0)
        return rc;
    if (cli_opt(cli, "disk"))
        return serve_here(cli, dir, err);
    return cli_flag(cli, "foreground") ? stay(cli, dir, err) : CLI_DONE;
}

int cli_umount(struct cli *cli, struct ash_err *err)
{
    char dir[4096];
    int rc = folder(cli, cli->args[0], dir, sizeof(dir), err);
    if (rc)
        return rc;
    struct json_object *p = cli_params("dir", dir, NULL);
    if (cli_flag(cli, "force"))
        json_object_object_add(p, "force", json_object_new_boolean(true));
    return cli_call_quiet(cli, "fuse_unmount", p, err);
}
