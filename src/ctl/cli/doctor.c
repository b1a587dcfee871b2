/* SPDX-License-Identifier: Apache-2.0 */
/* `doctor`: what this machine offers. It changes nothing: the file that it makes to try direct I/O
 * and the port that it tries are gone when it ends. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/cmd.h"

#define NBD_ADDRESS  "tcp://127.0.0.1:10809"
#define FILES_WANTED 4096

struct doctor {
    struct cli *cli;
    struct ash_jsonw w;
};

static void say(struct doctor *d, const char *key, bool ok, const char *fmt, ...) ASH_PRINTF(4, 5);

static void say(struct doctor *d, const char *key, bool ok, const char *fmt, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (d->cli->json) {
        ash_jsonw_obj(&d->w, key);
        ash_jsonw_bool(&d->w, "ok", ok);
        ash_jsonw_str(&d->w, "text", text);
        ash_jsonw_obj_end(&d->w);
    } else {
        cli_out(d->cli, "%-15s %s %s\n", key, ok ? " " : "!", text);
    }
}

/* A world of one back end; NULL with err filled when there can be none. */
static struct rt *world(enum rt_backend backend, struct ash_err *err)
{
    struct rt_opts opts;
    struct rt *rt = NULL;
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = 1;
    return rt_create(&opts, &rt, err) ? NULL : rt;
}

static bool say_backends(struct doctor *d, struct rt **ret_rt)
{
    const struct cli_host *host = d->cli->host;
    struct ash_err why = {.reason = ASH_OK};
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    struct rt *uring = world(RT_BACKEND_URING, &why), *epoll;
    if (uring) {
        rt_features_text(uring, &text);
        say(d, "io_uring", true, "works: %s", ash_buf_text(&text));
    } else if (host->uring_disabled() > 0) {
        say(d, "io_uring", false, "switched off: kernel.io_uring_disabled is %d (sysctl)",
            host->uring_disabled());
    } else {
        say(d, "io_uring", false, "%s", why.text);
    }
    why = (struct ash_err){.reason = ASH_OK};
    epoll = world(RT_BACKEND_EPOLL, &why);
    say(d, "epoll", epoll != NULL, "%s", epoll ? "works, with worker threads for files" : why.text);
    const char *forced = host->env("ASHLAR_IO");
    say(d, "chosen", uring || epoll, "%s%s",
        forced  ? forced
        : uring ? "uring"
        : epoll ? "epoll"
                : "none",
        forced ? " (by $ASHLAR_IO)" : "");
    bool any = uring || epoll;
    *ret_rt = uring ? uring : epoll;
    if (uring)
        rt_destroy(epoll);
    return any;
}

static void say_limits(struct doctor *d)
{
    char size[32], sock[512];
    uint64_t n_files = d->cli->host->max_files(), locked = d->cli->host->max_locked_bytes();
    bool enough = n_files >= FILES_WANTED;
    if (n_files == UINT64_MAX)
        say(d, "open files", true, "no limit");
    else
        say(d, "open files", enough, "%" PRIu64 "%s", n_files,
            enough ? "" : " (few for many connections: raise RLIMIT_NOFILE)");
    say(d, "locked memory", true, "%s",
        locked == UINT64_MAX ? "no limit" : ash_format_size(locked, size, sizeof(size)));
    say(d, "control socket", true, "%s", cli_socket_path(d->cli, sock, sizeof(sock)));
}

static void say_port(struct doctor *d) ASH_MAY_WAIT
{
    struct ash_err why = {.reason = ASH_OK};
    struct rt_sock *sock;
    if (rt_listen(NBD_ADDRESS, 0, &sock, &why)) {
        say(d, "nbd port", false, "%s", why.text);
        return;
    }
    rt_sock_close(sock);
    say(d, "nbd port", true, "%s is free", NBD_ADDRESS);
}

/* The folder of the demo's disk, or the nearest one above that is there. */
static bool state_folder(struct doctor *d, char *path, size_t n_path) ASH_MAY_WAIT
{
    const char *state = d->cli->host->env("XDG_STATE_HOME"), *home = d->cli->host->env("HOME");
    if (state && *state == '/')
        snprintf(path, n_path, "%s/ashlar", state);
    else if (home && *home == '/')
        snprintf(path, n_path, "%s/.local/state/ashlar", home);
    else
        return false;
    char *slash;
    while (!rt_path_exists(path) && (slash = strrchr(path, '/')) && slash != path)
        *slash = '\0';
    return true;
}

static void say_direct(struct doctor *d) ASH_MAY_WAIT
{
    char dir[1024], path[1200];
    struct ash_err why = {.reason = ASH_OK};
    struct rt_file *file;
    struct rt_file_info info;
    if (!state_folder(d, dir, sizeof(dir))) {
        say(d, "direct I/O", false, "not tried: neither $XDG_STATE_HOME nor $HOME is set");
        return;
    }
    snprintf(path, sizeof(path), "%s/.ashlar-doctor-%u", dir, d->cli->host->pid());
    if (rt_file_open(path, RT_FILE_CREATE | RT_FILE_EXCL | RT_FILE_DIRECT, &file, &why)) {
        say(d, "direct I/O", false, "not tried: %s", why.text);
        return;
    }
    int rc = rt_file_info(file, &info);
    rt_file_close(file);
    rt_unlink(path);
    if (rc)
        say(d, "direct I/O", false, "%s: %s", dir, ash_strerror(rc));
    else if (info.is_direct)
        say(d, "direct I/O", true, "works in %s, in units of %u bytes%s", dir, info.dio_align_bytes,
            info.can_punch ? "; holes can be punched" : "");
    else
        say(d, "direct I/O", false, "not in %s: disks there go through the page cache", dir);
}

static int say_more(void *arg)
{
    say_port(arg);
    say_direct(arg);
    return 0;
}

int cli_doctor(struct cli *cli, struct ash_err *err)
{
    struct doctor d = {.cli = cli};
    struct rt *rt = NULL;
    ash_jsonw_init(&d.w, &cli->out);
    if (cli->json)
        ash_jsonw_obj(&d.w, NULL);
    say(&d, "system", true, "%s", cli->host->os_text());
    say(&d, "cpus", true, "%u", cli->host->n_cpus());
    bool works = say_backends(&d, &rt);
    say_limits(&d);
    int rc = rt ? rt_run_task(rt, "doctor", say_more, &d) : 0;
    rt_destroy(rt);
    if (cli->json) {
        ash_jsonw_obj_end(&d.w);
        cli_out(cli, "\n");
    }
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_SETUP, NULL, "nothing can be run: %s",
                              ash_strerror(rc));
    return works ? CLI_DONE : CLI_FAILED;
}
