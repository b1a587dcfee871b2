/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon, the demo and the tools that run until Ctrl-C share. */
#ifndef ASH_CTL_CLI_SERVE_H
#define ASH_CTL_CLI_SERVE_H

#include "ctl/cli/cmd.h"
#include "ctl/jsonrpc/jsonrpc.h"

/* Waiting for SIGINT, SIGTERM or an RPC that asks for the end. */
struct cli_stop {
    struct cli *cli;
    struct rt_signal int_sig, term_sig;
    struct rt_event event;
    bool asked, watches;
    uint64_t asked_ns;
};
int cli_stop_init(struct cli_stop *s, struct cli *cli, struct ash_err *err) ASH_MAY_WAIT;
void cli_stop_wait(struct cli_stop *s) ASH_MAY_WAIT;
void cli_stop_fini(struct cli_stop *s) ASH_MAY_WAIT;

struct jsonrpc_opts cli_rpc_opts(struct cli_stop *s);
/* The control socket of -r or the default, mode 0600. */
int cli_listen_control(struct cli *cli, struct ash_engine *engine, struct jsonrpc_server **ret_srv,
                       struct ash_err *err) ASH_MAY_WAIT;

/* Configuration in TOML: disks, [nbd] listen, [[export]], [[call]] (docs: ashlar-serve(1)). */
int cli_config_toml(struct cli *cli, struct ash_engine *engine, const char *text, size_t n_bytes,
                    struct ash_err *err) ASH_MAY_WAIT;

#endif
