/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: made from a seed, written as text, read again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "world.h"

static const struct {
    const char *name;
    unsigned weight;
    bool exclusive;
} kinds[SIM_N_KINDS] = {
#define X(id, name, weight, exclusive) {name, weight, exclusive},
    SIM_STEPS(X)
#undef X
};

const char *sim_kind_name(unsigned kind)
{
    return kinds[kind].name;
}

bool sim_kind_exclusive(unsigned kind)
{
    return kinds[kind].exclusive;
}

/* Swarm: every seed likes other things; some kinds do not occur in it at all. */
void sim_plan_make(struct sim_plan *plan, uint64_t seed, size_t n_steps)
{
    uint64_t rng = sim_mix(seed * 2 + 1), sum = 0, weights[SIM_N_KINDS];
    *plan = (struct sim_plan){.seed = seed};
    plan->cluster_bytes = 8192u << sim_below(&rng, 8);
    plan->disk_bytes = (8u << 20) << sim_below(&rng, 3);
    if (plan->cluster_bytes >= 512 << 10)
        plan->disk_bytes = ASH_MAX(plan->disk_bytes, (uint64_t)32 << 20);
    plan->block_bytes = sim_below(&rng, 3) ? 512 : 4096;
    plan->n_reactors = 1 + (uint32_t)sim_below(&rng, 3);
    plan->n_inflight_max = 1u << sim_below(&rng, 5);
    plan->is_device = (uint32_t)sim_below(&rng, 2);
    plan->can_punch = sim_below(&rng, 4) != 0;
    plan->latency_ns = 1000u << sim_below(&rng, 14);
    for (unsigned k = 0; k < SIM_N_KINDS; k++) {
        weights[k] = sim_below(&rng, 5) ? kinds[k].weight * (1 + sim_below(&rng, 6)) : 0;
        if (k == SIM_WRITE || k == SIM_CREATE || k == SIM_FLUSH)
            weights[k] = ASH_MAX(weights[k], (uint64_t)kinds[k].weight);
        sum += weights[k];
    }
    if (weights[SIM_NO_FAULTS] == 0)
        sum -= weights[SIM_FAULTS], weights[SIM_FAULTS] = 0;
    plan->steps = calloc(n_steps + 1, sizeof(*plan->steps));
    ASH_ASSERT(plan->steps);
    for (plan->n_steps = 0; plan->n_steps < n_steps; plan->n_steps++) {
        struct sim_step *s = &plan->steps[plan->n_steps];
        uint64_t at = sim_below(&rng, sum);
        while (at >= weights[s->kind])
            at -= weights[s->kind++];
        if (plan->n_steps < 2)
            s->kind = SIM_CREATE;
        for (unsigned i = 0; i < 4; i++)
            s->a[i] = (uint32_t)sim_next(&rng);
    }
}

void sim_plan_print(const struct sim_plan *plan, struct ash_buf *out)
{
    ash_buf_fmt(out,
                "plan seed %llu cluster %llu disk %llu block %u reactors %u inflight %u device %u "
                "punch %u latency %llu\n",
                (unsigned long long)plan->seed, (unsigned long long)plan->cluster_bytes,
                (unsigned long long)plan->disk_bytes, plan->block_bytes, plan->n_reactors,
                plan->n_inflight_max, plan->is_device, plan->can_punch,
                (unsigned long long)plan->latency_ns);
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct sim_step *s = &plan->steps[i];
        ash_buf_fmt(out, "%s %u %u %u %u\n", kinds[s->kind].name, s->a[0], s->a[1], s->a[2],
                    s->a[3]);
    }
}

static bool parse_step(struct sim_plan *plan, const char *line)
{
    char name[32];
    struct sim_step s = {0};
    if (sscanf(line, "%31s %u %u %u %u", name, &s.a[0], &s.a[1], &s.a[2], &s.a[3]) != 5)
        return false;
    while (s.kind < SIM_N_KINDS && strcmp(kinds[s.kind].name, name) != 0)
        s.kind++;
    if (s.kind == SIM_N_KINDS)
        return false;
    plan->steps[plan->n_steps++] = s;
    return true;
}

bool sim_plan_parse(struct sim_plan *plan, const char *text)
{
    unsigned long long seed, cluster, disk, latency;
    bool begun = false, ok = true;
    *plan = (struct sim_plan){0};
    plan->steps = calloc(strlen(text) / 8 + 2, sizeof(*plan->steps));
    ASH_ASSERT(plan->steps);
    for (const char *at = text; *at && ok;) {
        size_t n = strcspn(at, "\n");
        if (n == 0 || *at == '#') {
            /* a comment */
        } else if (begun) {
            ok = parse_step(plan, at);
        } else {
            begun = true;
            ok = sscanf(at,
                        "plan seed %llu cluster %llu disk %llu block %u reactors %u inflight %u "
                        "device %u punch %u latency %llu",
                        &seed, &cluster, &disk, &plan->block_bytes, &plan->n_reactors,
                        &plan->n_inflight_max, &plan->is_device, &plan->can_punch, &latency) == 9;
        }
        at += n + (at[n] == '\n');
    }
    if (ok && begun) {
        plan->seed = seed;
        plan->cluster_bytes = cluster;
        plan->disk_bytes = disk;
        plan->latency_ns = latency;
        return true;
    }
    sim_plan_free(plan);
    return false;
}

void sim_plan_free(struct sim_plan *plan)
{
    free(plan->steps);
    *plan = (struct sim_plan){0};
}

bool sim_plan_copy(struct sim_plan *to, const struct sim_plan *from)
{
    *to = *from;
    to->steps = malloc((from->n_steps + 1) * sizeof(*to->steps));
    if (!to->steps)
        return false;
    memcpy(to->steps, from->steps, from->n_steps * sizeof(*to->steps));
    return true;
}
