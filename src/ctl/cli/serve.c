/* SPDX-License-Identifier: Apache-2.0 */
/* `serve`: the daemon. `demo`: the same on a disk image of its own.
 *
 * Order of the start: engine, disks, exports, then the control socket: who sees the socket answer
 * sees everything. Order of the end: exports, then pools (closed cleanly), then devices; a second
 * signal leaves at once, which is as safe as a power cut. */
#include "ctl/cli/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "export/nbd/nbd.h"
#include "export/nvmf/nvmf.h"

static void ask_stop(struct cli_stop *s)
{
    if (!s->asked) {
        s->asked = true;
        s->asked_ns = rt_now_ns();
        rt_event_set(&s->event, 0);
    }
}

/* Shells and timeout(1) send a signal to the process and to its group, so two that come at the same
 * time are one. */
#define SAME_SIGNAL_NS 300000000u

static void on_signal(struct cli_stop *s)
{
    if (s->asked && rt_now_ns() - s->asked_ns > SAME_SIGNAL_NS) {
        cli_log(s->cli, CLI_LOG_WARN, "second signal: leaving at once");
        s->cli->host->exit_now(CLI_FAILED);
    }
    ask_stop(s);
}

static void on_int(struct rt_signal *sig)
{
    on_signal(ash_container_of(sig, struct cli_stop, int_sig));
}

static void on_term(struct rt_signal *sig)
{
    on_signal(ash_container_of(sig, struct cli_stop, term_sig));
}

/* What the engine itself has to say; it comes on the control reactor. */
static void on_engine_log(void *arg, enum rt_log_level level, const char *module, const char *text)
{
    struct cli_stop *s = arg;
    cli_log(s->cli, (int)level, "%s: %s", module, text);
}

int cli_stop_init(struct cli_stop *s, struct cli *cli, struct ash_err *err)
{
    *s = (struct cli_stop){.cli = cli, .event = RT_EVENT_INIT};
    s->int_sig = (struct rt_signal){.signo = SIGINT, .fire = on_int};
    s->term_sig = (struct rt_signal){.signo = SIGTERM, .fire = on_term};
    int rc = rt_signal_watch(&s->int_sig);
    if (!rc) {
        rc = rt_signal_watch(&s->term_sig);
        if (rc)
            rt_signal_unwatch(&s->int_sig);
    }
    s->watches = !rc;
    rt_set_log(rt_world(), on_engine_log, s);
    return rc ? ash_err_set_rc(err, rc, ASH_E_RT_SETUP, NULL, "watching signals: %s",
                               ash_strerror(rc))
              : 0;
}

void cli_stop_wait(struct cli_stop *s)
{
    rt_step("serving");
    (void)rt_event_wait(&s->event);
}

void cli_stop_fini(struct cli_stop *s)
{
    rt_set_log(rt_world(), NULL, NULL);
    if (s->watches) {
        rt_signal_unwatch(&s->int_sig);
        rt_signal_unwatch(&s->term_sig);
    }
}

static void on_rpc_stop(void *arg, int signo)
{
    struct cli_stop *s = arg;
    if (signo == SIGKILL)
        s->cli->host->exit_now(128 + SIGKILL);
    ask_stop(s);
}

static void on_rpc_log(void *arg, enum jsonrpc_log_level level, const char *text)
{
    struct cli_stop *s = arg;
    cli_log(s->cli,
            level <= JSONRPC_LOG_ERROR     ? CLI_LOG_ERR
            : level == JSONRPC_LOG_WARNING ? CLI_LOG_WARN
                                           : CLI_LOG_INFO,
            "%s", text);
}

struct jsonrpc_opts cli_rpc_opts(struct cli_stop *s)
{
    return (struct jsonrpc_opts){
        .stop = on_rpc_stop,
        .log = on_rpc_log,
        .arg = s,
        .pid = (int)s->cli->host->pid(),
    };
}

int cli_listen_control(struct cli *cli, struct ash_engine *engine, struct jsonrpc_server **ret_srv,
                       struct ash_err *err)
{
    char given[512], path[600], dir[64];
    cli_socket_path(cli, given, sizeof(given));
    /* The fallback of the default lies in a folder that only its owner may enter. */
    snprintf(dir, sizeof(dir), "/tmp/ashlar-%u", cli->host->uid());
    if (ash_starts_with(given, dir) && given[strlen(dir)] == '/') {
        int rc = cli->host->mkdir_private(dir);
        if (rc)
            return ash_err_set_rc(err, rc, ASH_E_RT_SOCKET, dir, "%s: %s", dir, ash_strerror(rc));
    }
    if (strstr(given, "://"))
        snprintf(path, sizeof(path), "%s", given);
    else if (cli->host->abs_path(given, path, sizeof(path)))
        return ash_err_set(err, ASH_E_RT_BAD_ADDRESS, given, "%s: the path is too long", given);
    int rc = jsonrpc_listen(engine, path, 0600, NULL, ret_srv, err);
    return rc ? ash_err_while(err, rc, "opening the control socket") : 0;
}

/* ----------------------------------------------------------------- serve */

/* "POOL/VOLUME" or "POOL/VOLUME=NAME" */
static int add_export(struct ash_engine *engine, const char *text, struct ash_err *err)
{
    char bdev[256];
    const char *eq = strchr(text, '=');
    size_t n = eq ? (size_t)(eq - text) : strlen(text);
    if (n >= sizeof(bdev))
        return ash_err_set(err, ASH_E_BAD_NAME, text, "--export: the name is too long");
    memcpy(bdev, text, n);
    bdev[n] = '\0';
    return nbd_add_export(ash_engine_nbd(engine), bdev, eq ? eq + 1 : bdev, false, NULL, err);
}

static int load_config(struct cli *cli, struct ash_engine *engine, const char *file,
                       struct ash_err *err)
{
    char *text = NULL;
    size_t n_bytes = 0, n = strlen(file);
    int rc = rt_read_text(file, 16u << 20, &text, &n_bytes, err);
    if (rc)
        return ash_err_while(err, rc, "reading the configuration %s", file);
    if (n > 5 && !strcmp(file + n - 5, ".toml"))
        rc = cli_config_toml(cli, engine, text, n_bytes, err);
    else
        rc = jsonrpc_load_config(engine, text, n_bytes, cli_flag(cli, "json-ignore-init-errors"),
                                 err);
    rt_free(text);
    return rc ? ash_err_while(err, rc, "loading the configuration %s", file) : 0;
}

static int bring_up(struct cli *cli, struct ash_engine *engine, struct ash_err *err)
{
    const char *text;
    const char *shares = cli_opt(cli, "nvmf");
    int rc = shares ? nvmf_set_share_address(ash_engine_nvmf(engine), shares, err) : 0;
    const char *file = cli_opt(cli, "config") ? cli_opt(cli, "config") : cli_opt(cli, "json");
    if (!rc && file)
        rc = load_config(cli, engine, file, err);
    for (size_t i = 0; !rc && (text = cli_opt_nth(cli, "disk", i)); i++)
        rc = cli_add_disk(cli, engine, text, false, NULL, err);
    if (!rc && cli_opt(cli, "disk"))
        bdev_wait_for_examine(ash_engine_bdevs(engine));
    for (size_t i = 0; !rc && (text = cli_opt_nth(cli, "export", i)); i++)
        rc = add_export(engine, text, err);
    for (size_t i = 0; !rc && (text = cli_opt_nth(cli, "nbd", i)); i++)
        rc = nbd_listen(ash_engine_nbd(engine), text, err);
    return rc;
}

static void say_ready(struct cli *cli, struct ash_engine *engine)
{
    size_t n_pools = 0, n_vols = 0;
    struct pool_info info;
    char sock[512];
    if (ash_engine_started(engine)) {
        for (struct pool *p = NULL; (p = pool_next(ash_engine_pools(engine), p));) {
            pool_get_info(p, &info);
            n_pools++;
            n_vols += info.n_volumes;
            if (info.was_dirty)
                cli_log(cli, CLI_LOG_INFO, "pool %s was not closed cleanly and was recovered",
                        info.name);
            if (info.degraded)
                cli_log(cli, CLI_LOG_WARN, "pool %s is degraded: %s", info.name,
                        info.damage ? info.damage : "see ashlar check");
        }
    }
    cli_log(cli, CLI_LOG_INFO, "serving %zu pool%s, %zu volume%s; control socket %s", n_pools,
            n_pools == 1 ? "" : "s", n_vols, n_vols == 1 ? "" : "s",
            cli_socket_path(cli, sock, sizeof(sock)));
    cli->host->notify("READY=1");
}

int cli_serve(struct cli *cli, struct ash_err *err)
{
    struct cli_stop stop;
    struct ash_engine *engine = NULL;
    struct jsonrpc_server *srv = NULL;
    bool waits = cli_flag(cli, "wait-for-rpc");
    if (waits && (cli_opt(cli, "disk") || cli_opt(cli, "nbd") || cli_opt(cli, "export") ||
                  cli_opt(cli, "nvmf")))
        return ash_err_set(err, ASH_E_USAGE, NULL,
                           "serve: --wait-for-rpc excludes --disk, --nbd, --nvmf and --export");
    int rc = cli_stop_init(&stop, cli, err);
    if (rc)
        return rc;
    struct ash_engine_opts opts = {.wait_for_start = waits, .restore_shares = true};
    struct jsonrpc_opts rpc_opts = cli_rpc_opts(&stop);
    rpc_opts.allowed = cli_opt(cli, "rpcs-allowed");
    rc = ash_engine_create(&opts, &engine, err);
    if (!rc)
        rc = jsonrpc_setup(engine, &rpc_opts, err);
    if (!rc)
        rc = bring_up(cli, engine, err);
    if (!rc)
        rc = cli_listen_control(cli, engine, &srv, err);
    if (!rc) {
        say_ready(cli, engine);
        cli_stop_wait(&stop);
        cli->host->notify("STOPPING=1");
        cli_log(cli, CLI_LOG_INFO, "stopping");
    }
    jsonrpc_close(srv);
    ash_engine_destroy(engine);
    cli_stop_fini(&stop);
    if (!rc)
        cli_log(cli, CLI_LOG_INFO, "stopped, pools closed cleanly");
    return rc;
}
