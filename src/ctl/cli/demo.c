/* SPDX-License-Identifier: Apache-2.0 */
/* `demo`: a pool on a sparse file of ours, one thin volume, exported over NBD, with the control
 * socket open. Nothing but that file and the sockets is touched; the next start finds the pool
 * again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/serve.h"
#include "export/nbd/nbd.h"

#define DEMO_DISK_BYTES   (10ull << 30)
#define DEMO_VOLUME_BYTES (4ull << 30)
#define DEMO_TCP          "tcp://127.0.0.1:10809"

struct demo {
    struct cli *cli;
    char dir[512], image[600], control[600], nbd_sock[600];
    struct ash_engine *engine;
    struct jsonrpc_server *rpc;
    bool is_new, has_tcp;
};

static int paths(struct demo *d, struct ash_err *err)
{
    struct cli *cli = d->cli;
    const char *given = cli_opt(cli, "dir");
    const char *state = cli->host->env("XDG_STATE_HOME"), *home = cli->host->env("HOME");
    int rc = 0;
    if (given)
        rc = cli->host->abs_path(given, d->dir, sizeof(d->dir));
    else if (state && *state == '/')
        snprintf(d->dir, sizeof(d->dir), "%s/ashlar", state);
    else if (home && *home == '/')
        snprintf(d->dir, sizeof(d->dir), "%s/.local/state/ashlar", home);
    else
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, NULL,
                           "neither $XDG_STATE_HOME nor $HOME is set; give --dir");
    /* A Unix socket's path holds 107 bytes, its lock file included. */
    if (rc || strlen(d->dir) > 85)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, d->dir,
                           "%s: the path is too long for a socket in it; give --dir", d->dir);
    snprintf(d->image, sizeof(d->image), "%s/demo.img", d->dir);
    snprintf(d->nbd_sock, sizeof(d->nbd_sock), "%s/demo-nbd.sock", d->dir);
    if (cli_opt(cli, "socket"))
        cli_socket_path(cli, d->control, sizeof(d->control));
    else
        snprintf(d->control, sizeof(d->control), "%s/demo.sock", d->dir);
    return rt_make_dirs(d->dir, 0700, err);
}

static int make_image(struct demo *d, struct ash_err *err)
{
    struct rt_file *file;
    struct rt_file_info info;
    int rc = rt_file_open(d->image, RT_FILE_CREATE | RT_FILE_LOCK, &file, err);
    if (rc)
        return ash_err_while(err, rc, "opening the demo's disk (is a demo running?)");
    rc = rt_file_info(file, &info);
    if (!rc && info.size_bytes == 0) {
        d->is_new = true;
        rc = rt_file_truncate(file, DEMO_DISK_BYTES);
    }
    if (rc)
        ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, d->image, "%s: %s", d->image, ash_strerror(rc));
    rt_file_close(file);
    return rc;
}

static int make_pool(struct demo *d, struct ash_err *err)
{
    struct pool_mgr *pools = ash_engine_pools(d->engine);
    char *disk = NULL;
    struct pool *pool;
    int rc = cli_add_disk(d->cli, d->engine, d->image, false, &disk, err);
    if (rc)
        return rc;
    bdev_wait_for_examine(ash_engine_bdevs(d->engine));
    if (!pool_find(pools, "demo")) {
        /* Only a blank disk is formatted: a damaged pool is an error with its reason. */
        const struct pool_create_opts opts = {.cluster_bytes = 1u << 20};
        d->is_new = true;
        rc = pool_create(pools, disk, "demo", &opts, &pool, err);
    }
    rt_free(disk);
    pool = pool_find(pools, "demo");
    if (!rc && pool && !volume_find(pools, "demo/vol1")) {
        const struct volume_create_opts opts = {.thin = true};
        struct volume *vol;
        rc = volume_create(pool, "vol1", DEMO_VOLUME_BYTES, &opts, &vol, err);
    }
    return rc;
}

static int export_all(struct demo *d, struct ash_err *err)
{
    struct nbd_server *nbd = ash_engine_nbd(d->engine);
    char address[700];
    if (!nbd)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the NBD server");
    snprintf(address, sizeof(address), "unix://%s", d->nbd_sock);
    int rc = nbd_add_export(nbd, "demo/vol1", "vol1", false, "demo/vol1", err);
    if (!rc)
        rc = nbd_listen(nbd, address, err);
    if (rc)
        return rc;
    struct ash_err tcp = {.reason = ASH_OK};
    d->has_tcp = !nbd_listen(nbd, DEMO_TCP, &tcp);
    if (!d->has_tcp)
        cli_log(d->cli, CLI_LOG_WARN, "not on TCP: %s [%s]; the Unix socket below works", tcp.text,
                ash_reason_name(tcp.reason));
    return 0;
}

static void say_hello(struct demo *d)
{
    struct cli *cli = d->cli;
    char uri[700];
    snprintf(uri, sizeof(uri), "nbd+unix:///vol1?socket=%s", d->nbd_sock);
    cli_out(cli,
            "Pool 'demo' on %s (%s), volume demo/vol1 of 4 GiB, thin.\n"
            "Exported as '%s'%s.\n"
            "Try:\n"
            "  nbdinfo '%s'\n"
            "  qemu-img convert -n -f raw -O raw FILE '%s'\n"
            "  %s tree -r %s\n"
            "Ctrl-C ends it and closes the pool; the next start finds it again.\n",
            d->image, d->is_new ? "new" : "found", uri,
            d->has_tcp ? " and as nbd://127.0.0.1/vol1" : "", uri, uri, cli->self, d->control);
    (void)cli_flush(cli);
    cli->host->notify("READY=1");
}

int cli_demo(struct cli *cli, struct ash_err *err)
{
    struct demo d = {.cli = cli};
    struct cli_stop stop;
    int rc = cli_stop_init(&stop, cli, err);
    if (rc)
        return rc;
    struct jsonrpc_opts rpc_opts = cli_rpc_opts(&stop);
    rc = paths(&d, err);
    if (!rc)
        rc = make_image(&d, err);
    if (!rc)
        rc = ash_engine_create(&(struct ash_engine_opts){.restore_shares = true}, &d.engine, err);
    if (!rc)
        rc = jsonrpc_setup(d.engine, &rpc_opts, err);
    if (!rc)
        rc = make_pool(&d, err);
    if (!rc)
        rc = export_all(&d, err);
    if (!rc)
        rc = jsonrpc_listen(d.engine, d.control, 0600, NULL, &d.rpc, err);
    if (!rc) {
        say_hello(&d);
        cli_stop_wait(&stop);
        cli->host->notify("STOPPING=1");
    }
    jsonrpc_close(d.rpc);
    ash_engine_destroy(d.engine);
    cli_stop_fini(&stop);
    if (!rc)
        cli_out(cli, "Pool closed cleanly.\n");
    return rc;
}
