/* SPDX-License-Identifier: Apache-2.0 */
/* A bare JSON-RPC server for tests and measurements, without the command line's rest:
 *   rpc_server [-w] [-c CONFIG.json] [-s SOCKET]... [-d DISK_URI]...
 *   rpc_server --reference        prints docs/rpc.md
 * -w waits for framework_start_init. Prints "ready" when it serves, runs until SIGINT, SIGTERM,
 * spdk_kill_instance or engine_stop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/jsonrpc/jsonrpc.h"

enum { MAX_ARGS = 16 };

struct app {
    const char *sockets[MAX_ARGS], *disks[MAX_ARGS], *config;
    int n_sockets, n_disks;
    bool wait, reference;
    struct rt_event quit;
    struct ash_engine *engine;
    struct jsonrpc_server *servers[MAX_ARGS];
};

struct quitter {
    struct rt_signal sig;
    struct app *app;
};

static void ask_to_quit(void *arg, int signo)
{
    struct app *app = arg;
    if (!app->quit.is_set)
        rt_event_set(&app->quit, 0);
}

static void fire(struct rt_signal *sig)
{
    ask_to_quit(ash_container_of(sig, struct quitter, sig)->app, sig->signo);
}

static void log_line(void *arg, enum jsonrpc_log_level level, const char *text)
{
    fprintf(stderr, "%d: %s\n", level, text);
}

static int set_up(struct app *app, struct ash_err *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < app->n_disks; i++) {
        char *name = NULL;
        rc = bdev_create_uri(ash_engine_bdevs(app->engine), app->disks[i], &name, err);
        rt_free(name);
    }
    if (rc == 0 && app->config) {
        char *text;
        size_t n_bytes;
        rc = rt_read_text(app->config, 16 << 20, &text, &n_bytes, err);
        if (rc == 0) {
            rc = jsonrpc_load_config(app->engine, text, n_bytes, false, err);
            rt_free(text);
        }
    }
    for (int i = 0; rc == 0 && i < app->n_sockets; i++)
        rc = jsonrpc_listen(app->engine, app->sockets[i], 0, NULL, &app->servers[i], err);
    return rc;
}

static int print_reference(struct app *app, struct ash_err *err)
{
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    int rc = jsonrpc_reference(app->engine, &text, err);
    if (rc == 0)
        fputs(ash_buf_text(&text), stdout);
    return rc;
}

static int serve(void *arg)
{
    struct app *app = arg;
    struct ash_err err = {0};
    struct ash_engine_opts eopts = {.wait_for_start = app->wait};
    struct jsonrpc_opts opts = {.stop = ask_to_quit, .log = log_line, .arg = app, .pid = getpid()};
    struct quitter quitters[] = {{.sig = {.signo = SIGINT, .fire = fire}, .app = app},
                                 {.sig = {.signo = SIGTERM, .fire = fire}, .app = app}};
    int rc = ash_engine_create(&eopts, &app->engine, &err);
    if (rc == 0)
        rc = jsonrpc_setup(app->engine, &opts, &err);
    if (rc == 0 && app->reference) {
        rc = print_reference(app, &err);
    } else if (rc == 0) {
        for (size_t i = 0; i < ASH_N_ELEMS(quitters); i++)
            rt_signal_watch(&quitters[i].sig);
        rc = set_up(app, &err);
        if (rc == 0) {
            puts("ready");
            fflush(stdout);
            rt_event_wait(&app->quit);
        }
        for (size_t i = 0; i < ASH_N_ELEMS(quitters); i++)
            rt_signal_unwatch(&quitters[i].sig);
    }
    if (rc)
        fprintf(stderr, "rpc_server: %s\n", err.text);
    for (int i = 0; i < app->n_sockets; i++)
        jsonrpc_close(app->servers[i]);
    ash_engine_destroy(app->engine);
    return rc;
}

int main(int argc, char **argv)
{
    struct app app = {.quit = RT_EVENT_INIT};
    app.reference = argc > 1 && strcmp(argv[1], "--reference") == 0;
    int c;
    while (!app.reference && (c = getopt(argc, argv, "wc:s:d:")) != -1) {
        if (c == 'w')
            app.wait = true;
        else if (c == 'c')
            app.config = optarg;
        else if (c == 's' && app.n_sockets < MAX_ARGS)
            app.sockets[app.n_sockets++] = optarg;
        else if (c == 'd' && app.n_disks < MAX_ARGS)
            app.disks[app.n_disks++] = optarg;
        else
            return 2;
    }
    struct rt_opts opts;
    struct rt *rt;
    struct ash_err err = {0};
    rt_opts_init(&opts);
    if (rt_create(&opts, &rt, &err)) {
        fprintf(stderr, "rpc_server: %s\n", err.text);
        return 1;
    }
    int rc = rt_run_task(rt, "rpc_server", serve, &app);
    rt_destroy(rt);
    return rc ? 1 : 0;
}
