/* SPDX-License-Identifier: Apache-2.0 */
/* `run`: export a volume over NBD on a socket that only we can reach, for as long as one command
 * runs, and leave with that command's exit code. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/cmd.h"
#include "export/nbd/nbd.h"

struct captive {
    struct cli *cli;
    char dir[256], sock[300];
    char uri[1024];
    int pid;
    struct rt_signal int_sig, term_sig;
};

/* $uri and $nbd are also replaced inside the arguments, so that no shell is needed. */
static char *expand(const char *text, const struct captive *c)
{
    struct ash_buf out = {0};
    while (*text) {
        if (ash_starts_with(text, "$uri")) {
            ash_buf_str(&out, c->uri);
            text += 4;
        } else if (ash_starts_with(text, "$nbd")) {
            ash_buf_str(&out, c->uri);
            text += 4;
        } else if (ash_starts_with(text, "$unixsocket")) {
            ash_buf_str(&out, c->sock);
            text += 11;
        } else {
            ash_buf_chr(&out, *text++);
        }
    }
    if (!out.data)
        ash_buf_chr(&out, '\0');
    return out.data;
}

static int wait_for(void *arg)
{
    struct captive *c = arg;
    return c->cli->host->wait_child(c->pid);
}

/* The terminal sends Ctrl-C to the command too: it decides, we only wait. SIGTERM comes to us alone
 * and is passed on. */
static void on_int(struct rt_signal *sig)
{
    (void)sig;
}

static void on_term(struct rt_signal *sig)
{
    struct captive *c = ash_container_of(sig, struct captive, term_sig);
    c->cli->host->kill_child(c->pid, SIGTERM);
}

static int run_command(struct captive *c, struct ash_err *err)
{
    struct cli *cli = c->cli;
    char uri_env[1100], nbd_env[1100], sock_env[400];
    char shell[] = "/bin/sh", dash_c[] = "-c";
    char *argv[64];
    size_t n = 0;
    snprintf(uri_env, sizeof(uri_env), "uri=%s", c->uri);
    snprintf(nbd_env, sizeof(nbd_env), "nbd=%s", c->uri);
    snprintf(sock_env, sizeof(sock_env), "unixsocket=%s", c->sock);
    char *env[] = {uri_env, nbd_env, sock_env, NULL};
    bool by_shell = cli->n_rest == 1 && strpbrk(cli->rest[0], " \t\n;|&$<>");
    if (cli->n_rest + 1 > ASH_N_ELEMS(argv))
        return ash_err_set(err, ASH_E_USAGE, NULL, "the command has more than 63 words");
    if (by_shell) {
        argv[n++] = shell;
        argv[n++] = dash_c;
        argv[n++] = cli->rest[0];
    }
    size_t n_fixed = n;
    for (size_t i = 0; !by_shell && i < cli->n_rest; i++) {
        argv[n++] = expand(cli->rest[i], c);
        if (!argv[n - 1])
            return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
    }
    argv[n] = NULL;
    int rc = cli->host->spawn(argv, env, &c->pid);
    if (rc)
        ash_err_set_rc(err, rc, ASH_E_BAD_ARGUMENT, argv[0], "cannot start %s: %s", argv[0],
                       ash_strerror(rc));
    while (!by_shell && n > n_fixed) {
        struct ash_buf b = {.data = argv[--n]};
        ash_buf_free(&b);
    }
    if (rc)
        return rc;
    c->int_sig = (struct rt_signal){.signo = SIGINT, .fire = on_int};
    c->term_sig = (struct rt_signal){.signo = SIGTERM, .fire = on_term};
    bool watches = !rt_signal_watch(&c->int_sig);
    bool watches_term = !rt_signal_watch(&c->term_sig);
    rc = rt_work("command", wait_for, c);
    if (watches)
        rt_signal_unwatch(&c->int_sig);
    if (watches_term)
        rt_signal_unwatch(&c->term_sig);
    return rc;
}

static int serve_captive(struct captive *c, struct ash_engine *engine, struct ash_err *err)
{
    struct cli *cli = c->cli;
    const char *name = cli->args[0];
    struct volume *vol = volume_find(ash_engine_pools(engine), name);
    struct volume_info info;
    char bdev[160], address[320];
    if (!vol)
        return ash_err_set(err, ASH_E_VOLUME_NOT_FOUND, name,
                           "%s: no such volume on the disks given with --disk", name);
    volume_get_info(vol, &info);
    if (info.state != VOLUME_OK || !info.bdev)
        return ash_err_set(
            err, info.state == VOLUME_DEGRADED ? ASH_E_VOLUME_DEGRADED : ASH_E_VOLUME_FAULTED, name,
            "%s cannot be opened: %s", name, info.fault ? info.fault : "no device");
    snprintf(bdev, sizeof(bdev), "%s", info.bdev);
    struct nbd_server *srv = ash_engine_nbd(engine);
    if (!srv)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the NBD server");
    snprintf(address, sizeof(address), "unix://%s", c->sock);
    int rc = nbd_listen(srv, address, err);
    if (!rc)
        rc = nbd_add_export(srv, bdev, "", cli_flag(cli, "read-only"), name, err);
    if (rc)
        return rc;
    snprintf(c->uri, sizeof(c->uri), "nbd+unix:///?socket=%s", c->sock);
    return run_command(c, err);
}

int cli_run(struct cli *cli, struct ash_err *err)
{
    struct captive c = {.cli = cli};
    struct ash_engine *engine;
    const char *base = cli->host->env("XDG_RUNTIME_DIR");
    if (!base || !*base || strlen(base) > 64)
        base = "/tmp";
    snprintf(c.dir, sizeof(c.dir), "%s/ashlar-run-%016llx", base,
             (unsigned long long)rt_random_u64());
    snprintf(c.sock, sizeof(c.sock), "%s/nbd.sock", c.dir);
    if (!cli_opt(cli, "disk"))
        return ash_err_set(err, ASH_E_USAGE, NULL, "run: --disk DISK is needed");
    int rc = cli_engine(cli, cli_flag(cli, "read-only"), &engine, err);
    if (rc)
        return rc;
    rc = cli->host->mkdir_private(c.dir);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_SOCKET, c.dir, "%s: %s", c.dir, ash_strerror(rc));
    rc = serve_captive(&c, engine, err);
    cli_session_end(cli); /* closes the pool; an error there would have been logged */
    rt_unlink(c.sock);
    char lock[320];
    snprintf(lock, sizeof(lock), "%s.lock", c.sock);
    rt_unlink(lock);
    cli->host->rmdir(c.dir);
    return rc;
}
