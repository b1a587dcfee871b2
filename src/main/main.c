/* SPDX-License-Identifier: Apache-2.0 */
/* The one binary: daemon (also called as ashlard or spdk_tgt) and command line. */
#include <signal.h>

#include "main/host.h"

int main(int argc, char **argv)
{
    /* A reader that went away is an error of the write, not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    return cli_main(&host, argc, argv);
}
