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

static const struct {
    const char *name;
    size_t offset;
    uint64_t normal;
} fields[] = {
#define X(name, field, normal) {name, offsetof(struct sim_plan, field), normal},
    SIM_PLAN_FIELDS(X)
#undef X
};

static uint64_t *field_of(struct sim_plan *plan, size_t i)
{
    return (uint64_t *)(void *)((char *)plan + fields[i].offset);
}

/* Swarm: every seed has other disks, likes other steps and meets other faults, and has its own
 * probabilities of them; some do not occur in it at all. */
static void make_world(struct sim_plan *plan, uint64_t *rng)
{
    plan->cluster_bytes = 8192u << sim_below(rng, 8);
    plan->disk_bytes = (8u << 20) << sim_below(rng, 3);
    if (plan->cluster_bytes >= 512 << 10)
        plan->disk_bytes = ASH_MAX(plan->disk_bytes, (uint64_t)32 << 20);
    plan->block_bytes = sim_below(rng, 3) ? 512 : 4096;
    plan->n_reactors = 1 + sim_below(rng, 3);
    plan->n_inflight_max = 1u << sim_below(rng, 5);
    plan->is_device = sim_below(rng, 2);
    plan->can_punch = sim_below(rng, 4) != 0;
    plan->latency_ns = 1000u << sim_below(rng, 14);
    plan->trim = sim_below(rng, 3);
    plan->fault_kinds =
        (sim_below(rng, 2) ? sim_next(rng) : sim_next(rng) | sim_next(rng)) & 0xffff;
    plan->fault_ppm = 30u << sim_below(rng, 12);
    plan->rare_ppm = sim_below(rng, 3) ? 1000u << sim_below(rng, 9) : 0;
    plan->rpc = sim_below(rng, 2);
    plan->ext_disk = sim_below(rng, 2);
}

void sim_plan_make(struct sim_plan *plan, uint64_t seed, size_t n_steps)
{
    uint64_t rng = sim_mix(seed * 2 + 1), sum = 0, weights[SIM_N_KINDS];
    *plan = (struct sim_plan){.seed = seed};
    make_world(plan, &rng);
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
    ash_buf_fmt(out, "plan");
    for (size_t i = 0; i < ASH_N_ELEMS(fields); i++)
        ash_buf_fmt(out, " %s %llu", fields[i].name,
                    (unsigned long long)*field_of((struct sim_plan *)(uintptr_t)plan, i));
    ash_buf_fmt(out, "\n");
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct sim_step *s = &plan->steps[i];
        ash_buf_fmt(out, "%s %u %u %u %u\n", kinds[s->kind].name, s->a[0], s->a[1], s->a[2],
                    s->a[3]);
    }
}

/* "plan NAME NUMBER NAME NUMBER ..." */
static bool parse_head(struct sim_plan *plan, const char *line)
{
    char name[32];
    unsigned long long value;
    int n = 0;
    for (size_t i = 0; i < ASH_N_ELEMS(fields); i++)
        *field_of(plan, i) = fields[i].normal;
    if (strncmp(line, "plan ", 5) != 0)
        return false;
    for (line += 5; *line && *line != '\n'; line += n) {
        size_t i = 0;
        if (sscanf(line, "%31s %llu%n", name, &value, &n) != 2)
            return false;
        while (i < ASH_N_ELEMS(fields) && strcmp(name, fields[i].name) != 0)
            i++;
        if (i == ASH_N_ELEMS(fields))
            return false;
        *field_of(plan, i) = value;
        n += (int)strspn(line + n, " ");
    }
    return plan->cluster_bytes && plan->disk_bytes && plan->n_reactors && plan->n_inflight_max &&
           (plan->block_bytes == 512 || plan->block_bytes == 4096);
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
            ok = parse_head(plan, at);
        }
        at += n + (at[n] == '\n');
    }
    if (ok && begun)
        return true;
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
