/* SPDX-License-Identifier: Apache-2.0 */
/* A bare NBD server for tests and measurements, without daemon or configuration:
 *   nbd_server [-r REACTORS] [-s SPIN_NS] [-l LISTEN_URI]... [-e NAME=BDEV_URI[,ro]]...
 * Prints "ready" when it serves, runs until SIGINT or SIGTERM, then prints one line per export and
 * the processor time it used. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "export/nbd/nbd.h"

enum { MAX_ARGS = 64 };

struct app {
    struct bdev_mgr *mgr;
    struct nbd_server *srv;
    const char *listen[MAX_ARGS];
    char *export[MAX_ARGS];
    int n_listen, n_export;
    struct rt_event quit;
};

struct quitter {
    struct rt_signal sig;
    struct rt_event *quit;
};

static void on_signal(struct quitter *q)
{
    if (!q->quit->is_set)
        rt_event_set(q->quit, 0);
}

static void fire(struct rt_signal *sig)
{
    on_signal(ash_container_of(sig, struct quitter, sig));
}

static int add_export(struct app *app, char *arg, struct ash_err *err)
{
    char *uri = strchr(arg, '='), *name = NULL;
    if (!uri)
        return ash_err_set(err, ASH_E_USAGE, arg, "write NAME=BDEV_URI, not '%s'", arg);
    *uri++ = 0;
    size_t n = strlen(uri);
    bool ro = n > 3 && strcmp(uri + n - 3, ",ro") == 0;
    if (ro)
        uri[n - 3] = 0;
    int rc = bdev_create_uri(app->mgr, uri, &name, err);
    if (rc == 0)
        rc = nbd_add_export(app->srv, name, arg, ro, "test export", err);
    rt_free(name);
    return rc;
}

static void tell(const struct nbd_export_info *i, void *arg)
{
    const struct nbd_counters *c = &i->counters;
    printf("%s: reads %llu writes %llu flushes %llu trims %llu zeroes %llu status %llu errors "
           "%llu\n",
           i->name, (unsigned long long)c->n_reads, (unsigned long long)c->n_writes,
           (unsigned long long)c->n_flushes, (unsigned long long)c->n_trims,
           (unsigned long long)c->n_zeroes, (unsigned long long)c->n_status,
           (unsigned long long)c->n_errors);
    *(uint64_t *)arg += c->n_reads + c->n_writes;
}

static void report(struct app *app)
{
    uint64_t n_ios = 0;
    struct rusage u;
    nbd_for_each_export(app->srv, tell, &n_ios);
    getrusage(RUSAGE_SELF, &u);
    double us = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
                (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    struct rt_stats sum = {0}, one;
    for (unsigned i = 0; i < rt_n_reactors(rt_world()); i++) {
        rt_reactor_stats(rt_reactor(rt_world(), i), &one);
        sum.n_turns += one.n_turns;
        sum.n_sleeps += one.n_sleeps;
        sum.n_syscalls += one.n_syscalls;
    }
    printf("cpu %.0f us, %llu ios, %.3f us per io, rss %ld KiB, turns %llu sleeps %llu syscalls "
           "%llu\n",
           us, (unsigned long long)n_ios, n_ios ? us / (double)n_ios : 0.0, u.ru_maxrss,
           (unsigned long long)sum.n_turns, (unsigned long long)sum.n_sleeps,
           (unsigned long long)sum.n_syscalls);
    fflush(stdout);
}

static int serve(void *arg)
{
    struct app *app = arg;
    struct ash_err err = {0};
    static const int signos[2] = {SIGINT, SIGTERM};
    struct quitter quitters[2];
    int rc = bdev_mgr_create(NULL, NULL, &app->mgr, &err);
    if (rc == 0)
        rc = nbd_server_create(app->mgr, &app->srv, &err);
    for (int i = 0; rc == 0 && i < app->n_export; i++)
        rc = add_export(app, app->export[i], &err);
    for (int i = 0; rc == 0 && i < app->n_listen; i++)
        rc = nbd_listen(app->srv, app->listen[i], &err);
    if (rc) {
        fprintf(stderr, "nbd_server: %s\n", err.text);
    } else {
        for (int i = 0; i < 2; i++) {
            quitters[i] = (struct quitter){{.signo = signos[i], .fire = fire}, &app->quit};
            if (rt_signal_watch(&quitters[i].sig))
                fprintf(stderr, "nbd_server: cannot watch signal %d\n", signos[i]);
        }
        for (size_t i = 0; nbd_listener_address(app->srv, i); i++)
            printf("listening %s\n", nbd_listener_address(app->srv, i));
        printf("ready %s\n", rt_backend_name(rt_world()));
        fflush(stdout);
        rt_event_wait(&app->quit);
        for (int i = 0; i < 2; i++)
            rt_signal_unwatch(&quitters[i].sig);
        report(app);
    }
    nbd_server_destroy(app->srv);
    if (app->mgr)
        bdev_mgr_destroy(app->mgr);
    return rc;
}

int main(int argc, char **argv)
{
    struct app app = {.quit = RT_EVENT_INIT};
    struct rt_opts opts;
    struct ash_err err = {0};
    struct rt *rt;
    int c;
    rt_opts_init(&opts);
    while ((c = getopt(argc, argv, "r:s:l:e:")) != -1) {
        if (c == 'r')
            opts.n_reactors = (unsigned)atoi(optarg);
        else if (c == 's')
            opts.spin_limit_ns = strtoull(optarg, NULL, 10);
        else if (c == 'l' && app.n_listen < MAX_ARGS)
            app.listen[app.n_listen++] = optarg;
        else if (c == 'e' && app.n_export < MAX_ARGS)
            app.export[app.n_export++] = optarg;
        else
            return 2;
    }
    if (rt_create(&opts, &rt, &err)) {
        fprintf(stderr, "nbd_server: %s\n", err.text);
        return 1;
    }
    int rc = rt_run_task(rt, "nbd server", serve, &app);
    rt_destroy(rt);
    return rc ? 1 : 0;
}
