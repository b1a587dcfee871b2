/* SPDX-License-Identifier: Apache-2.0 */
/* ashlar-sim: random worlds. */
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "world.h"

static const char usage[] =
    "usage: ashlar-sim --seed N [--steps N] [--verbose]    one world\n"
    "       ashlar-sim --seeds A..B [--steps N] [--seconds S]\n"
    "                                             many; stop after S seconds\n"
    "       ashlar-sim --twice N                  seeds 1..N, each twice: the hashes are equal\n"
    "       ashlar-sim --replay FILE [--verbose]  a plan; of a folder: all that are in it\n"
    "       ashlar-sim --shrink SEED [--steps N] [--tries N]\n"
    "                                             the smallest plan that still fails, as text\n"
    "       ashlar-sim --print SEED [--steps N]   the plan of a seed\n";

struct options {
    uint64_t first, last, twice;
    size_t n_steps;
    unsigned seconds, n_tries;
    const char *replay;
    bool one, many, shrink, print, verbose;
};

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {{"seed", 1, 0, 's'},
                                          {"seeds", 1, 0, 'S'},
                                          {"steps", 1, 0, 'n'},
                                          {"seconds", 1, 0, 't'},
                                          {"twice", 1, 0, '2'},
                                          {"replay", 1, 0, 'r'},
                                          {"shrink", 1, 0, 'x'},
                                          {"tries", 1, 0, 'y'},
                                          {"verbose", 0, 0, 'v'},
                                          {"print", 1, 0, 'p'},
                                          {0}};
    char *end;
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        unsigned long long n = optarg ? strtoull(optarg, &end, 10) : 0;
        switch (c) {
        case 's':
        case 'x':
        case 'p':
            o->one = c == 's';
            o->shrink = c == 'x';
            o->print = c == 'p';
            o->first = o->last = n;
            break;
        case 'S':
            o->many = true;
            o->first = n;
            if (strncmp(end, "..", 2) != 0)
                return false;
            o->last = strtoull(end + 2, NULL, 10);
            break;
        case 'n':
            o->n_steps = n;
            break;
        case 't':
            o->seconds = (unsigned)n;
            break;
        case '2':
            o->twice = n;
            break;
        case 'y':
            o->n_tries = (unsigned)n;
            break;
        case 'r':
            o->replay = optarg;
            break;
        case 'v':
            o->verbose = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && (o->one || o->many || o->shrink || o->print || o->twice || o->replay);
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    size_t n = 0, room = 1 << 16;
    char *text = malloc(room);
    if (!f || !text) {
        perror(path);
        exit(2);
    }
    while ((n += fread(text + n, 1, room - n - 1, f)) + 1 == room) {
        char *larger = realloc(text, room *= 2);
        if (!larger)
            exit(2);
        text = larger;
    }
    fclose(f);
    text[n] = 0;
    return text;
}

static int tell(const struct sim_verdict *v, const char *command)
{
    if (v->ok)
        return 0;
    printf("FAILED: %s\n  again: %s\n", v->why, command);
    fflush(stdout);
    return 1;
}

static void add(struct sim_counts *sum, const struct sim_counts *c)
{
    sum->n_lives += c->n_lives;
    sum->n_steps += c->n_steps;
    sum->n_checked_blocks += c->n_checked_blocks;
    sum->n_rpcs += c->n_rpcs;
    sum->n_exports_max = ASH_MAX(sum->n_exports_max, c->n_exports_max);
    sum->sim_ns += c->sim_ns;
    for (unsigned k = 0; k < SIM_N_KINDS; k++)
        sum->steps[k] += c->steps[k];
    for (unsigned k = 0; k < SIM_N_FIRED; k++)
        sum->fired[k] += c->fired[k];
    for (unsigned k = 0; k < SIM_N_TAGS && c->tags[k]; k++) {
        unsigned at = 0;
        while (at < SIM_N_TAGS - 1 && sum->tags[at] && sum->tags[at] != c->tags[k])
            at++;
        sum->tags[at] = c->tags[k];
        sum->taken[at] += c->taken[k];
    }
}

static void print_counts(const struct sim_counts *sum)
{
    static const char *const names[] = {
#define X(id, name) name,
        SIM_FIRED(X)
#undef X
    };
    for (unsigned k = 0; k < SIM_N_KINDS; k++)
        printf("step: %s: %llu\n", sim_kind_name(k), (unsigned long long)sum->steps[k]);
    for (unsigned k = 0; k < SIM_N_FIRED; k++)
        printf("fault: %s: %llu\n", names[k], (unsigned long long)sum->fired[k]);
    for (unsigned k = 0; k < SIM_N_TAGS && sum->tags[k]; k++)
        printf("rarely: %s: %llu\n", sum->tags[k], (unsigned long long)sum->taken[k]);
}

static int run_one(const struct options *o, const struct sim_plan *plan, const char *command)
{
    struct sim_verdict v;
    sim_try(plan, o->verbose, 0, &v);
    printf("%llu steps, %llu lives, %llu blocks checked, hash %016llx\n",
           (unsigned long long)v.counts.n_steps, (unsigned long long)v.counts.n_lives,
           (unsigned long long)v.counts.n_checked_blocks, (unsigned long long)v.hash);
    return tell(&v, command);
}

static int run_many(const struct options *o)
{
    struct sim_verdict v;
    struct sim_counts sum = {0};
    char command[96];
    uint64_t n_seeds = 0, n_failed = 0;
    double start_s = now_s();
    for (uint64_t seed = o->first; seed <= o->last; seed++) {
        struct sim_plan plan;
        if (o->seconds && now_s() - start_s >= o->seconds)
            break;
        sim_plan_make(&plan, seed, o->n_steps);
        sim_try(&plan, false, 0, &v);
        sim_plan_free(&plan);
        snprintf(command, sizeof(command), "ashlar-sim --seed %llu --steps %zu",
                 (unsigned long long)seed, o->n_steps);
        n_failed += (uint64_t)tell(&v, command);
        n_seeds++;
        add(&sum, &v.counts);
    }
    print_counts(&sum);
    printf(
        "%llu seeds, %llu failed, %llu steps, %llu lives, %llu blocks checked, "
        "%llu calls over JSON-RPC, up to %llu NBD exports at once, %.1f simulated hours, %.0f s\n",
        (unsigned long long)n_seeds, (unsigned long long)n_failed, (unsigned long long)sum.n_steps,
        (unsigned long long)sum.n_lives, (unsigned long long)sum.n_checked_blocks,
        (unsigned long long)sum.n_rpcs, (unsigned long long)sum.n_exports_max,
        (double)sum.sim_ns / 3.6e12, now_s() - start_s);
    return n_failed ? 1 : 0;
}

static int is_text(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && strcmp(dot, ".txt") == 0;
}

/* One TAP line for each plan of a folder. */
static int run_folder(const struct options *o)
{
    struct dirent **names = NULL;
    int n = scandir(o->replay, &names, is_text, alphasort), n_failed = 0;
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        struct sim_verdict v = {.why = "not a plan"};
        struct sim_plan plan;
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", o->replay, names[i]->d_name);
        char *text = read_file(path);
        if (sim_plan_parse(&plan, text)) {
            sim_try(&plan, false, 0, &v);
            sim_plan_free(&plan);
        }
        free(text);
        printf("%sok %d - %s\n", v.ok ? "" : "not ", i + 1, names[i]->d_name);
        if (!v.ok)
            printf("# %s\n# again: ashlar-sim --replay %s\n", v.why, path);
        n_failed += !v.ok;
        free(names[i]);
    }
    free(names);
    return n_failed || n <= 0 ? 1 : 0;
}

static int run_twice(const struct options *o)
{
    struct sim_verdict a, b;
    int n_failed = 0;
    for (uint64_t seed = 1; seed <= o->twice; seed++) {
        struct sim_plan plan;
        sim_plan_make(&plan, seed, o->n_steps);
        sim_try(&plan, false, 0, &a);
        sim_try(&plan, false, 5000 + (unsigned)seed, &b);
        sim_plan_free(&plan);
        if (a.ok && a.hash == b.hash && b.ok)
            continue;
        n_failed++;
        printf("FAILED: seed %llu: hashes %016llx and %016llx %s\n"
               "  again: ashlar-sim --seed %llu --steps %zu\n",
               (unsigned long long)seed, (unsigned long long)a.hash, (unsigned long long)b.hash,
               a.ok ? b.why : a.why, (unsigned long long)seed, o->n_steps);
    }
    printf("%llu seeds twice, %d failed\n", (unsigned long long)o->twice, n_failed);
    return n_failed ? 1 : 0;
}

static int run_shrink(const struct options *o, struct sim_plan *plan)
{
    struct sim_verdict v;
    struct ash_buf text = {0};
    sim_try(plan, false, 0, &v);
    if (v.ok) {
        printf("seed %llu does not fail\n", (unsigned long long)o->first);
        return 2;
    }
    sim_shrink(plan, o->n_tries);
    sim_try(plan, false, 0, &v);
    sim_plan_print(plan, &text);
    printf("# %.*s\n%s", (int)strcspn(v.why, "\n"), v.why, ash_buf_text(&text));
    ash_buf_free(&text);
    return 1;
}

int main(int argc, char **argv)
{
    struct options o = {.n_steps = 400, .n_tries = 2000};
    struct sim_plan plan = {0};
    char command[512];
    int rc;
    if (!parse(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    if (o.twice || o.many) {
        rc = o.twice ? run_twice(&o) : 0;
        return rc || !o.many ? rc : run_many(&o);
    }
    struct stat st;
    if (o.replay && stat(o.replay, &st) == 0 && S_ISDIR(st.st_mode))
        return run_folder(&o);
    if (o.replay) {
        char *text = read_file(o.replay);
        bool ok = sim_plan_parse(&plan, text);
        free(text);
        if (!ok) {
            fprintf(stderr, "%s: not a plan\n", o.replay);
            return 2;
        }
        snprintf(command, sizeof(command), "ashlar-sim --replay %s", o.replay);
    } else {
        sim_plan_make(&plan, o.first, o.n_steps);
        snprintf(command, sizeof(command), "ashlar-sim --seed %llu --steps %zu",
                 (unsigned long long)o.first, o.n_steps);
    }
    if (o.print) {
        struct ash_buf text = {0};
        sim_plan_print(&plan, &text);
        fputs(ash_buf_text(&text), stdout);
        ash_buf_free(&text);
        rc = 0;
    } else {
        rc = o.shrink ? run_shrink(&o, &plan) : run_one(&o, &plan, command);
    }
    sim_plan_free(&plan);
    return rc;
}
