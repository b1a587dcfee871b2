/* SPDX-License-Identifier: Apache-2.0 */
/* ashlar-crash: walks the states that power cuts leave, all cases or one, or a single state again.
 *
 * Each case runs in a process of its own, so that a crash of the engine is a failure of that case:
 * the state under test is named in shared memory. Prints one line for each operation and a closing
 * total; exit 1 after any failure, 2 for wrong usage. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "crash.h"

struct options {
    const char *layout, *op;
    int warm; /* -1: both */
    bool one, verbose;
    const struct crash_op *first[CRASH_FIRST_MAX];
    unsigned n_first;
    unsigned sequence; /* 2, 3: all pairs, triples of operations; 0: single ones */
    uint64_t every;    /* of them: one in so many */
    uint64_t seed, min_states;
    struct crash_state state;
    struct crash_limits limits;
};

/* Shared with the process that runs the case. */
struct report {
    char repro[CRASH_REPRO_BYTES];
    struct crash_counts counts;
    int op_rc;
    size_t n_log;
    bool skipped, done;
};

static const char usage[] =
    "usage: ashlar-crash [--layout L] [--op O] [--warm | --cold] [--seed N] [--quick | --deep]\n"
    "                    [--at N --mask HEX [--tear UNIT:WRITE:SEED]\n"
    "       --first O: before it, up to twice; --pairs | --triples [--every N]\n"
    "                     [--then-at N --then-mask HEX | --killed-at N]] [--min-states N] "
    "[--verbose] [--list]\n";

static bool parse_mask(const char *text, uint64_t mask[4])
{
    if (strncmp(text, "0x", 2) == 0)
        text += 2;
    size_t n = strlen(text);
    memset(mask, 0, 4 * sizeof(mask[0]));
    if (n == 0 || n > 64 || strspn(text, "0123456789abcdefABCDEF") != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char digit[2] = {text[n - 1 - i], '\0'};
        mask[i / 16] |= strtoull(digit, NULL, 16) << (4 * (i % 16));
    }
    return true;
}

static int list(void)
{
    printf("layouts:");
    for (const struct crash_layout *l = crash_layouts; l->name; l++)
        printf(" %s", l->name);
    printf("\noperations:");
    for (const struct crash_op *op = crash_ops; op->name; op++)
        printf(" %s", op->name);
    printf("\n");
    return 0;
}

enum {
    O_LAYOUT = 256,
    O_OP,
    O_WARM,
    O_COLD,
    O_SEED,
    O_QUICK,
    O_DEEP,
    O_AT,
    O_MASK,
    O_TEAR,
    O_THEN_AT,
    O_THEN_MASK,
    O_KILLED_AT,
    O_MIN,
    O_VERBOSE,
    O_LIST,
    O_FIRST,
    O_PAIRS,
    O_TRIPLES,
    O_EVERY,
};

static const struct crash_op *find_op(const char *name)
{
    const struct crash_op *op = crash_ops;
    while (op->name && strcmp(op->name, name) != 0)
        op++;
    return op->name ? op : NULL;
}

static bool take_option(struct options *o, int c)
{
    struct crash_state *st = &o->state;
    unsigned long long seed;
    switch (c) {
    case O_LAYOUT:
        o->layout = optarg;
        return true;
    case O_OP:
        o->op = optarg;
        return true;
    case O_WARM:
    case O_COLD:
        o->warm = c == O_WARM;
        return true;
    case O_SEED:
        o->seed = strtoull(optarg, NULL, 0);
        return true;
    case O_QUICK:
        o->limits = (struct crash_limits){6, 24, 64, 4, 4, 64};
        return true;
    case O_DEEP:
        o->limits = (struct crash_limits){10, 512, 8, 16, 64, 8};
        return true;
    case O_AT:
        o->one = true;
        st->n = strtoull(optarg, NULL, 0);
        return true;
    case O_MASK:
        return parse_mask(optarg, st->mask);
    case O_TEAR:
        if (sscanf(optarg, "%u:%u:%llu", &st->tear, &st->torn, &seed) != 3)
            return false;
        st->tear_seed = seed;
        return st->tear == 512 || st->tear == 4096;
    case O_THEN_AT:
        st->has_then = true;
        st->then_n = strtoull(optarg, NULL, 0);
        return true;
    case O_THEN_MASK:
        return parse_mask(optarg, st->then_mask);
    case O_KILLED_AT:
        st->killed = true;
        st->kill_n = strtoull(optarg, NULL, 0);
        return true;
    case O_MIN:
        o->min_states = strtoull(optarg, NULL, 0);
        return true;
    case O_FIRST:
        if (o->n_first == CRASH_FIRST_MAX || !(o->first[o->n_first] = find_op(optarg)))
            return false;
        o->n_first++;
        return true;
    case O_PAIRS:
    case O_TRIPLES:
        o->sequence = c == O_PAIRS ? 2 : 3;
        /* nothing of the last writes there, or all: a crash at every write; a second one during the
         * recovery of one in four; a kill */
        o->limits = (struct crash_limits){
            .n_samples = 2, .nested_every = 4, .n_nested = 2, .n_kills = 1, .no_tears = true};
        return true;
    case O_EVERY:
        o->every = ASH_MAX(strtoull(optarg, NULL, 0), 1ull);
        return true;
    case O_VERBOSE:
        o->verbose = true;
        return true;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {
        {"layout", 1, NULL, O_LAYOUT},
        {"op", 1, NULL, O_OP},
        {"warm", 0, NULL, O_WARM},
        {"cold", 0, NULL, O_COLD},
        {"seed", 1, NULL, O_SEED},
        {"quick", 0, NULL, O_QUICK},
        {"deep", 0, NULL, O_DEEP},
        {"at", 1, NULL, O_AT},
        {"mask", 1, NULL, O_MASK},
        {"tear", 1, NULL, O_TEAR},
        {"then-at", 1, NULL, O_THEN_AT},
        {"then-mask", 1, NULL, O_THEN_MASK},
        {"killed-at", 1, NULL, O_KILLED_AT},
        {"min-states", 1, NULL, O_MIN},
        {"verbose", 0, NULL, O_VERBOSE},
        {"list", 0, NULL, O_LIST},
        {"first", 1, NULL, O_FIRST},
        {"pairs", 0, NULL, O_PAIRS},
        {"triples", 0, NULL, O_TRIPLES},
        {"every", 1, NULL, O_EVERY},
        {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (c == O_LIST)
            exit(list());
        if (!take_option(o, c))
            return false;
    }
    if (o->one && o->warm < 0)
        o->warm = 0;
    return optind == argc && (!o->one || (o->layout && o->op));
}

/* In the process of its own. */
static void run_case(const struct options *o, const struct crash_layout *layout,
                     const struct crash_op *op, bool warm, struct report *report)
{
    struct crash_case c = {.layout = layout,
                           .op = op,
                           .first = {o->first[0], o->first[1]},
                           .n_first = o->n_first,
                           .warm = warm,
                           .seed = o->seed,
                           .limits = o->limits,
                           .repro = report->repro};
    snprintf(report->repro, sizeof(report->repro), "ashlar-crash --layout %s --op %s%s --seed %llu",
             layout->name, op->name, warm ? " --warm" : "", (unsigned long long)o->seed);
    int rc = crash_case_record(&c);
    report->op_rc = c.op_rc;
    report->n_log = c.log.n_entries;
    if (rc == -ENOENT && !c.why.n_bytes) {
        report->skipped = true;
    } else if (rc || (o->one && crash_case_one(&c, &o->state))) {
        c.counts.n_failed++;
        printf("FAILED %s\n%s\n", report->repro, ash_buf_text(&c.why));
    } else if (!o->one) {
        crash_case_walk(&c);
    }
    report->counts = c.counts;
    report->done = true;
    crash_case_free(&c);
}

/* Processor time that one case may take: a loop in the engine is a failure too. */
enum { CASE_CPU_S = 300 };

static void fork_case(const struct options *o, const struct crash_layout *layout,
                      const struct crash_op *op, bool warm, struct report *report)
{
    memset(report, 0, sizeof(*report));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit cpu = {CASE_CPU_S, CASE_CPU_S};
        setrlimit(RLIMIT_CPU, &cpu);
        run_case(o, layout, op, warm, report);
        fflush(NULL);
        _exit(0);
    }
    int status = 0;
    if (pid > 0)
        waitpid(pid, &status, 0);
    if (pid < 0 || !report->done) {
        report->counts.n_failed++;
        printf("FAILED %s\nthe engine ended with %s %d\n", report->repro,
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
}

static void add(struct crash_counts *to, const struct crash_counts *c)
{
    to->n_states += c->n_states;
    to->n_unique += c->n_unique;
    to->n_nested += c->n_nested;
    to->n_torn += c->n_torn;
    to->n_failed += c->n_failed;
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* All layouts of one operation. */
static unsigned walk_op(const struct options *o, const struct crash_op *op, struct report *report,
                        struct crash_counts *total)
{
    struct crash_counts sum = {0};
    unsigned n_cases = 0;
    double start_s = now_s();
    for (const struct crash_layout *l = crash_layouts; l->name; l++) {
        if (o->layout && strcmp(o->layout, l->name) != 0)
            continue;
        for (int warm = 0; warm < 2; warm++) {
            if (o->warm >= 0 && warm != o->warm)
                continue;
            fork_case(o, l, op, warm, report);
            if (report->skipped)
                continue;
            n_cases++;
            add(&sum, &report->counts);
            if (o->verbose)
                printf("  %-12s %s rc %4d, %3zu log entries, %6llu states\n", l->name,
                       warm ? "warm" : "cold", report->op_rc, report->n_log,
                       (unsigned long long)report->counts.n_states);
        }
    }
    printf("%-20s %3u cases %8llu states %7llu different %6llu torn %6llu nested  %5.1f s%s\n",
           op->name, n_cases, (unsigned long long)sum.n_states, (unsigned long long)sum.n_unique,
           (unsigned long long)sum.n_torn, (unsigned long long)sum.n_nested, now_s() - start_s,
           sum.n_failed ? "  FAILED" : "");
    fflush(stdout);
    add(total, &sum);
    return n_cases;
}

/* ------------------------------------------------------- pairs and triples */

/* Can others come after it: the pool is there and open. */
static bool may_be_first(const struct crash_op *op)
{
    return op->needs && !op->at_load && op->rule != CRASH_SUBSET &&
           strcmp(op->name, "pool-export") != 0;
}

/* On the first of these layouts that the sequence fits; false: none. */
static bool walk_sequence(const struct options *o, const struct crash_op *op, struct report *report,
                          struct crash_counts *total)
{
    static const char *const names[] = {"clone", "chain", "esnap", "thin"};
    for (size_t i = 0; i < ASH_N_ELEMS(names); i++) {
        const struct crash_layout *l = crash_layouts;
        while (strcmp(l->name, names[i]) != 0)
            l++;
        bool ext = op->needs_ext;
        for (unsigned k = 0; k < o->n_first; k++)
            ext |= o->first[k]->needs_ext;
        if (ext && !l->has_ext)
            continue;
        fork_case(o, l, op, false, report);
        if (report->skipped)
            continue;
        add(total, &report->counts);
        return true;
    }
    return false;
}

static unsigned walk_sequences(struct options *o, struct report *report, struct crash_counts *total)
{
    unsigned n = 0;
    uint64_t turn = o->seed;
    for (const struct crash_op *a = crash_ops; a->name; a++) {
        for (const struct crash_op *b = crash_ops; b->name && may_be_first(a); b++) {
            o->first[0] = a;
            o->first[1] = b;
            o->n_first = o->sequence - 1;
            if (o->sequence == 2 && b->needs && !b->at_load && turn++ % o->every == 0)
                n += walk_sequence(o, b, report, total);
            for (const struct crash_op *c = crash_ops;
                 o->sequence == 3 && may_be_first(b) && c->name; c++)
                if (c->needs && !c->at_load && turn++ % o->every == 0)
                    n += walk_sequence(o, c, report, total);
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    struct options o = {.warm = -1, .seed = 1, .every = 1, .limits = {8, 64, 24, 6, 12, 24}};
    struct crash_counts total = {0};
    unsigned n_cases = 0;
    if (!parse(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    struct report *report =
        mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        perror("ashlar-crash");
        return 1;
    }
    double start_s = now_s();
    if (o.sequence)
        n_cases = walk_sequences(&o, report, &total);
    for (const struct crash_op *op = crash_ops; op->name && !o.sequence; op++)
        if (!o.op || strcmp(o.op, op->name) == 0)
            n_cases += walk_op(&o, op, report, &total);
    printf("total: %u cases, %llu states walked, %llu different images opened, %llu torn, "
           "%llu crashes during recovery, %llu failed, %.0f s\n",
           n_cases, (unsigned long long)total.n_states, (unsigned long long)total.n_unique,
           (unsigned long long)total.n_torn, (unsigned long long)total.n_nested,
           (unsigned long long)total.n_failed, now_s() - start_s);
    if (n_cases == 0) {
        fputs("no such case\n", stderr);
        return 2;
    }
    if (total.n_states < o.min_states) {
        printf("FAILED: fewer states than %llu\n", (unsigned long long)o.min_states);
        return 1;
    }
    return total.n_failed ? 1 : 0;
}
