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
    void *holes[1024] = {0};
    for (unsigned i = 0; i < junk; i++) {
        void **hole = &holes[sim_mix(i * junk) % 1024];
        free(*hole);
        *hole = malloc(16 + sim_mix(i + junk) % (i % 8 ? 700 : 30000));
    }
    for (unsigned i = 0; i < 1024 && junk; i += 2)
        free(holes[i]);
    ret->ok = sim_world_run(w, plan, verbose);
    ret->crashed = false;
    ret->hash = w->hash;
    ret->counts = w->counts;
    snprintf(ret->why, sizeof(ret->why), "%s", w->why);
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

void sim_signature(const struct sim_verdict *v, char ret[256])
{
    size_t n = 0;
    for (const char *at = v->why; *at && *at != '\n' && n < 255;) {
        size_t n_hex = strspn(at, "0123456789abcdef");
        if (strncmp(at, ", not one of", 12) == 0)
            break;
        if (n_hex && (strcspn(at, "0123456789") < n_hex || n_hex == 16)) { /* a number */
            ret[n++] = '#';
            at += n_hex;
            at += strspn(at, "-0123456789");
        } else {
            ret[n++] = *at++;
        }
    }
    ret[n] = 0;
}

struct shrink {
    struct sim_plan *plan;
    char signature[256];
    unsigned n_left;
};

/* In the same way: another failure is another story. */
static bool still_fails(const struct shrink *k, const struct sim_plan *plan)
{
    struct sim_verdict v;
    char signature[256];
    sim_try(plan, false, 0, &v);
    if (v.ok)
        return false;
    sim_signature(&v, signature);
    return strcmp(signature, k->signature) == 0;
}

/* Without steps [from, from + n). */
static bool try_without(struct shrink *k, size_t from, size_t n)
{
    struct sim_plan less, *plan = k->plan;
    if (!sim_plan_copy(&less, plan))
        return false;
    memmove(less.steps + from, less.steps + from + n,
            (less.n_steps - from - n) * sizeof(*less.steps));
    less.n_steps -= n;
    if (!still_fails(k, &less)) {
        sim_plan_free(&less);
        return false;
    }
    sim_plan_free(plan);
    *plan = less;
    return true;
}

static void simplify(struct shrink *k, uint64_t *field, uint64_t value)
{
    uint64_t old = *field;
    if (old == value || k->n_left == 0)
        return;
    k->n_left--;
    *field = value;
    if (!still_fails(k, k->plan))
        *field = old;
}

static void simplify_step(struct shrink *k, struct sim_step *s)
{
    for (unsigned i = 0; i < 4 && k->n_left; i++) {
        for (unsigned n = 0; n < 2 && k->n_left; n++) {
            uint32_t old = s->a[i], less = n ? old % 64 : 0;
            if (less == old)
                break;
            s->a[i] = less;
            k->n_left--;
            if (still_fails(k, k->plan))
                break;
            s->a[i] = old;
        }
    }
}

static void simplify_world(struct shrink *k)
{
    struct sim_plan *plan = k->plan;
    simplify(k, &plan->n_reactors, 1);
    simplify(k, &plan->n_inflight_max, 1);
    simplify(k, &plan->rare_ppm, 0);
    simplify(k, &plan->trim, 0);
    simplify(k, &plan->fault_kinds, 0);
    for (uint64_t bit = 1; bit < 0x10000; bit <<= 1)
        if (plan->fault_kinds & bit)
            simplify(k, &plan->fault_kinds, plan->fault_kinds & ~bit);
}

void sim_shrink(struct sim_plan *plan, unsigned n_tries_max)
{
    struct shrink k = {.plan = plan, .n_left = n_tries_max};
    struct sim_verdict v;
    sim_try(plan, false, 0, &v);
    sim_signature(&v, k.signature);
    fprintf(stderr, "  %s\n", k.signature);
    if (v.counts.n_steps && v.counts.n_steps < plan->n_steps)
        (void)try_without(&k, v.counts.n_steps, plan->n_steps - v.counts.n_steps);
    simplify_world(&k);
    for (unsigned round = 0; round < 3; round++) {
        size_t n_before = plan->n_steps;
        for (size_t n = plan->n_steps; n > 0; n /= 2) {
            for (size_t from = plan->n_steps; from > 0 && k.n_left > 0;) {
                size_t at = from > n ? from - n : 0;
                k.n_left--;
                (void)try_without(&k, at, ASH_MIN(n, plan->n_steps - at));
                from = ASH_MIN(at, plan->n_steps);
            }
            fprintf(stderr, "  %zu steps, %u tries left\n", plan->n_steps, k.n_left);
        }
        simplify_world(&k);
        if (plan->n_steps == n_before)
            break;
    }
    for (size_t i = 0; i < plan->n_steps; i++)
        simplify_step(&k, &plan->steps[i]);
}
