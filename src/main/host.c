/* SPDX-License-Identifier: Apache-2.0 */
/* What the CLI needs of the process around it (ctl/cli/cli.h). Outside src/rt, system calls are
 * allowed in this folder only. */
#include "main/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *host_env(const char *name)
{
    return getenv(name);
}

static bool host_is_tty(int fd)
{
    return isatty(fd) == 1;
}

static int64_t host_read(int fd, void *buf, size_t n_bytes)
{
    ssize_t n;
    do
        n = read(fd, buf, n_bytes);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int host_write(int fd, const void *buf, size_t n_bytes)
{
    const char *p = buf;
    while (n_bytes) {
        ssize_t n = write(fd, p, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        n_bytes -= (size_t)n;
    }
    return 0;
}

static int64_t host_seek_end(int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    return S_ISREG(st.st_mode) ? st.st_size : -ESPIPE;
}

static unsigned host_uid(void)
{
    return geteuid();
}

static unsigned host_pid(void)
{
    return (unsigned)getpid();
}

/* In clock ticks: coarse, but every kernel tells it. */
static uint64_t cpu_of_stat(unsigned pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return UINT64_MAX;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    /* The program's name stands in brackets and may hold anything; fields count from its end. */
    const char *p = strrchr(text, ')');
    unsigned long long user = 0, sys = 0;
    if (!p ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys) != 2)
        return UINT64_MAX;
    return (user + sys) * (1000000000ull / (unsigned long long)sysconf(_SC_CLK_TCK));
}

/* All threads, those that have ended too: a server may use one per connection. */
static uint64_t cpu_of_process(unsigned pid)
{
    clockid_t clock;
    struct timespec ts;
    if (clock_getcpuclockid((pid_t)pid, &clock) || clock_gettime(clock, &ts))
        return cpu_of_stat(pid);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t host_cpu_ns(unsigned pid)
{
    if (pid == 0) {
        struct rusage ru;
        if (getrusage(RUSAGE_SELF, &ru))
            return 0;
        return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000u +
               (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000u;
    }
    return cpu_of_process(pid);
}

static uint64_t host_rss_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned host_n_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}

static int host_mkdir_private(const char *path)
{
    struct stat st;
    if (!mkdir(path, 0700))
        return 0;
    if (errno != EEXIST)
        return -errno;
    if (lstat(path, &st))
        return -errno;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return -EEXIST;
    return 0;
}

static void host_rmdir(const char *path)
{
    (void)rmdir(path);
}

static int host_abs_path(const char *path, char *buf, size_t n_buf)
{
    char cwd[4096];
    int n;
    if (path[0] == '/') {
        n = snprintf(buf, n_buf, "%s", path);
    } else {
        if (!getcwd(cwd, sizeof(cwd)))
            return -errno;
        while (path[0] == '.' && path[1] == '/')
            for (path += 2; *path == '/';)
                path++;
        n = snprintf(buf, n_buf, "%s/%s", cwd, path);
    }
    return n < 0 || (size_t)n >= n_buf ? -ENAMETOOLONG : 0;
}

static int host_spawn(char *const argv[], char *const more_env[], int *ret_pid)
{
    size_t n_old = 0, n_more = 0, n = 0;
    while (environ[n_old])
        n_old++;
    while (more_env[n_more])
        n_more++;
    char **env = calloc(n_old + n_more + 1, sizeof(*env));
    if (!env)
        return -ENOMEM;
    for (size_t i = 0; i < n_more; i++)
        env[n++] = more_env[i];
    for (size_t i = 0; i < n_old; i++) {
        size_t k, n_name = strcspn(environ[i], "=") + 1;
        for (k = 0; k < n_more && strncmp(more_env[k], environ[i], n_name); k++)
            ;
        if (k == n_more)
            env[n++] = environ[i];
    }
    int report[2], child_err = 0;
    if (pipe2(report, O_CLOEXEC)) {
        free(env);
        return -errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int s = 1; s < 32; s++)
            signal(s, SIG_DFL);
        environ = env;
        execvp(argv[0], argv);
        child_err = errno;
        (void)!write(report[1], &child_err, sizeof(child_err));
        _exit(127);
    }
    int rc = pid < 0 ? -errno : 0;
    close(report[1]);
    if (!rc && host_read(report[0], &child_err, sizeof(child_err)) == sizeof(child_err)) {
        waitpid(pid, NULL, 0);
        rc = -child_err;
    }
    close(report[0]);
    free(env);
    if (!rc)
        *ret_pid = pid;
    return rc;
}

static int host_wait_child(int pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void host_kill_child(int pid, int signo)
{
    if (pid > 0)
        (void)kill(pid, signo);
}

/* The protocol of sd_notify: one datagram to the socket that the environment names. */
static void host_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (!path || !*path || strlen(path) >= sizeof(sa.sun_path))
        return;
    size_t n = strlen(path);
    memcpy(sa.sun_path, path, n);
    if (path[0] == '@')
        sa.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

static void host_exit_now(int code)
{
    _exit(code);
}

static const char *host_os_text(void)
{
    static _Thread_local char text[256];
    struct utsname u;
    if (uname(&u))
        return "unknown";
    snprintf(text, sizeof(text), "%s %s %s", u.sysname, u.release, u.machine);
    return text;
}

static const char *host_node_name(void)
{
    static _Thread_local struct utsname u;
    return uname(&u) ? "unknown" : u.nodename;
}

static const char *host_uname_text(void)
{
    static _Thread_local char text[512];
    struct utsname u;
    if (uname(&u))
        return "unknown";
    snprintf(text, sizeof(text), "%s %s %s %s %s", u.sysname, u.nodename, u.release, u.version,
             u.machine);
    return text;
}

static uint64_t limit_of(int which)
{
    struct rlimit lim;
    if (getrlimit(which, &lim))
        return 0;
    return lim.rlim_cur == RLIM_INFINITY ? UINT64_MAX : lim.rlim_cur;
}

static uint64_t host_max_files(void)
{
    return limit_of(RLIMIT_NOFILE);
}

static uint64_t host_max_locked_bytes(void)
{
    return limit_of(RLIMIT_MEMLOCK);
}

static int host_uring_disabled(void)
{
    int value = 0;
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%d", &value) != 1)
        value = 0;
    fclose(f);
    return value;
}

const struct cli_host host = {
    .env = host_env,
    .is_tty = host_is_tty,
    .read = host_read,
    .write = host_write,
    .seek_end = host_seek_end,
    .uid = host_uid,
    .pid = host_pid,
    .cpu_ns = host_cpu_ns,
    .rss_bytes = host_rss_bytes,
    .n_cpus = host_n_cpus,
    .mkdir_private = host_mkdir_private,
    .rmdir = host_rmdir,
    .abs_path = host_abs_path,
    .spawn = host_spawn,
    .wait_child = host_wait_child,
    .kill_child = host_kill_child,
    .notify = host_notify,
    .exit_now = host_exit_now,
    .max_files = host_max_files,
    .max_locked_bytes = host_max_locked_bytes,
    .uring_disabled = host_uring_disabled,
    .os_text = host_os_text,
    .node_name = host_node_name,
    .uname_text = host_uname_text,
};
