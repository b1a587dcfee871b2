/* SPDX-License-Identifier: Apache-2.0 */
/* Plans tried in processes of their own, and made smaller while they still fail. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "world.h"

#define TRY_SECONDS 120 /* a plan that runs longer turns round and round */

static void run_here(const struct sim_plan *plan, bool verbose, unsigned junk,
                     struct sim_verdict *ret)
{
    struct sim_world *w = calloc(1, sizeof(*w));
    ASH_ASSERT(w);
    /* another layout of memory must not change anything */
    for (unsigned i = 0; i < junk; i++)
        if (malloc(16 + sim_mix(i + junk) % 30000) == NULL)
            break;
    ret->ok = sim_world_run(w, plan, verbose);
    ret->crashed = false;
    ret->hash = w->hash;
    ret->n_lives = w->n_lives;
    ret->n_steps = w->next_step;
    ret->n_checked_blocks = w->n_checked_blocks;
    memcpy(ret->counts, w->counts, sizeof(w->counts));
    snprintf(ret->why, sizeof(ret->why), "%s", ash_buf_text(&w->why));
    sim_world_free(w);
    free(w);
}

void sim_try(const struct sim_plan *plan, bool verbose, unsigned junk, struct sim_verdict *ret)
{
    struct sim_verdict *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASH_ASSERT(shared != MAP_FAILED);
    shared->crashed = true;
    fflush(stdout);
    pid_t pid = fork();
    ASH_ASSERT(pid >= 0);
    if (pid == 0) {
        alarm(TRY_SECONDS);
        if (!verbose && !freopen("/dev/null", "w", stderr))
            _exit(1);
        run_here(plan, verbose, junk, shared);
        _exit(0);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    *ret = *shared;
    munmap(shared, sizeof(*shared));
    if (ret->crashed) {
        ret->ok = false;
        snprintf(ret->why, sizeof(ret->why), "the process ended by signal %d (%s)",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
    }
}

static bool still_fails(const struct sim_plan *plan)
{
    struct sim_verdict v;
    sim_try(plan, false, 0, &v);
    return !v.ok;
}

/* Without steps [from, from + n). */
static bool try_without(struct sim_plan *plan, size_t from, size_t n)
{
    struct sim_plan less;
    if (!sim_plan_copy(&less, plan))
        return false;
    memmove(less.steps + from, less.steps + from + n,
            (less.n_steps - from - n) * sizeof(*less.steps));
    less.n_steps -= n;
    if (!still_fails(&less)) {
        sim_plan_free(&less);
        return false;
    }
    sim_plan_free(plan);
    *plan = less;
    return true;
}

static void simplify(struct sim_plan *plan, uint32_t *field, uint32_t value, unsigned *n_left)
{
    uint32_t old = *field;
    if (old == value || *n_left == 0)
        return;
    --*n_left;
    *field = value;
    if (!still_fails(plan))
        *field = old;
}

void sim_shrink(struct sim_plan *plan, unsigned n_tries_max)
{
    unsigned n_left = n_tries_max;
    simplify(plan, &plan->n_reactors, 1, &n_left);
    simplify(plan, &plan->n_inflight_max, 1, &n_left);
    for (size_t n = plan->n_steps; n > 0; n /= 2) {
        for (size_t from = plan->n_steps; from > 0 && n_left > 0;) {
            size_t at = from > n ? from - n : 0;
            n_left--;
            (void)try_without(plan, at, ASH_MIN(n, plan->n_steps - at));
            from = ASH_MIN(at, plan->n_steps);
        }
        fprintf(stderr, "  %zu steps, %u tries left\n", plan->n_steps, n_left);
    }
    simplify(plan, &plan->n_inflight_max, 1, &n_left);
    simplify(plan, &plan->n_reactors, 1, &n_left);
}
