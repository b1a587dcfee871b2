/* SPDX-License-Identifier: Apache-2.0 */
/* The `ashlar` command line. One table (cmds.c) names every command with its arguments, options,
 * help and function; parsing, `ashlar help` and the manual pages all come from it.
 *
 * The CLI does no system call of its own: files, sockets and time come from rt, the rest (standard
 * streams, environment, child processes, CPU time) from struct cli_host, which main fills. */
#ifndef ASH_CTL_CLI_CLI_H
#define ASH_CTL_CLI_CLI_H

#include "base/compiler.h"

/* What the process around the CLI offers. All functions are thread-safe and may block where it says
 * so: call those through rt_work. */
struct cli_host {
    const char *(*env)(const char *name);
    bool (*is_tty)(int fd);
    int64_t (*read)(int fd, void *buf, size_t n_bytes);    /* blocks; 0 at the end; -errno */
    int (*write)(int fd, const void *buf, size_t n_bytes); /* all of it; blocks; 0 or -errno */
    int64_t (*seek_end)(int fd);                           /* size when seekable, else -errno */
    unsigned (*uid)(void);
    unsigned (*pid)(void);
    uint64_t (*cpu_ns)(unsigned pid); /* of a process (0: this); UINT64_MAX: none such */
    uint64_t (*rss_bytes)(void);
    unsigned (*n_cpus)(void);
    int (*mkdir_private)(const char *path); /* mode 0700, must not exist or belong to us alone */
    void (*rmdir)(const char *path);
    int (*abs_path)(const char *path, char *buf, size_t n_buf); /* relative to where we are */
    /* Start a program with more environment ("NAME=value", ends with NULL). 0 or -errno. */
    int (*spawn)(char *const argv[], char *const more_env[], int *ret_pid);
    int (*wait_child)(int pid); /* blocks; exit code, 128 + signal, or -errno */
    void (*kill_child)(int pid, int signo);
    void (*notify)(const char *state); /* sd_notify: "READY=1"; nothing without $NOTIFY_SOCKET */
    void (*exit_now)(int code);        /* does not return */
    uint64_t (*max_files)(void);
    uint64_t (*max_locked_bytes)(void); /* UINT64_MAX: no limit */
    int (*uring_disabled)(void);        /* sysctl kernel.io_uring_disabled; 0 also when absent */
    const char *(*os_text)(void);       /* "Linux 6.1.0 x86_64" */
    const char *(*node_name)(void);
    const char *(*uname_text)(void); /* as `uname -snrvm` */
};

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_BUSY = 4,
    CLI_REFUSED = 5,
};

/* Returns the exit code of the process. */
int cli_main(const struct cli_host *host, int argc, char **argv);

#endif
