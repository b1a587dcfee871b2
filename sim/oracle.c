/* SPDX-License-Identifier: Apache-2.0 */
/* What every block of every volume may hold.
 *
 * Rules
 *   - A value can be read until another write, begun after the value was acknowledged, has been
 *     acknowledged itself.
 *   - A value can come back after a power cut until such a write is durable: acknowledged before a
 *     flush began that has succeeded, or written with FUA.
 *   - What has been seen while nothing was under way is what there is.
 *   - What failed may have happened. Which of the two is seen stays so until the next load, which
 *     may decide otherwise once more: the disk was asked to take the change, then to take its
 *     undoing, and nobody knows what it did. An orderly close on a disk that works leaves the
 *     load nothing to decide. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "world.h"

struct ora_vol *ora_find(struct oracle *o, uint32_t id)
{
    for (size_t i = 0; i < ORA_N_VOLS; i++)
        if (o->vols[i].state != ORA_ABSENT && o->vols[i].id == id)
            return &o->vols[i];
    return NULL;
}

struct ora_vol *ora_find_uuid(struct oracle *o, const struct ash_uuid *uuid)
{
    for (size_t i = 0; i < ORA_N_VOLS; i++)
        if (o->vols[i].state != ORA_ABSENT && ash_uuid_equal(&o->vols[i].uuid, uuid))
            return &o->vols[i];
    return NULL;
}

struct ora_vol *ora_new(struct oracle *o)
{
    for (size_t i = 0; i < ORA_N_VOLS; i++) {
        struct ora_vol *v = &o->vols[i];
        if (v->state != ORA_ABSENT)
            continue;
        *v = (struct ora_vol){.state = ORA_MAKING, .id = ++o->next_id, .begun = ++o->now};
        memset(&v->uuid, 0x40, sizeof(v->uuid));
        memcpy(&v->uuid, &v->id, sizeof(v->id));
        snprintf(v->name, sizeof(v->name), "v%u", v->id);
        memcpy(v->alt_name, v->name, sizeof(v->name));
        return v;
    }
    return NULL;
}

void ora_drop(struct oracle *o, struct ora_vol *v)
{
    for (uint64_t i = 0; i < v->n_rooms; i++)
        free(v->blocks[i].v);
    free(v->blocks);
    *v = (struct ora_vol){0};
}

void ora_free(struct oracle *o)
{
    for (size_t i = 0; i < ORA_N_VOLS; i++)
        ora_drop(o, &o->vols[i]);
}

void ora_clone(struct oracle *to, const struct oracle *from)
{
    *to = *from;
    for (size_t i = 0; i < ORA_N_VOLS; i++) {
        struct ora_vol *v = &to->vols[i];
        const struct ora_block *blocks = v->blocks;
        v->blocks = NULL;
        if (!blocks)
            continue;
        v->blocks = calloc(v->n_rooms + 1, sizeof(*v->blocks));
        ASH_ASSERT(v->blocks);
        for (uint64_t k = 0; k < v->n_rooms; k++) {
            struct ora_block *b = &v->blocks[k];
            b->n = b->room = blocks[k].n;
            b->v = malloc(b->n * sizeof(*b->v));
            ASH_ASSERT(b->v);
            memcpy(b->v, blocks[k].v, b->n * sizeof(*b->v));
        }
    }
}

static struct ora_value *push(struct ora_block *b, uint64_t tag, uint64_t submit, uint64_t ack)
{
    if (b->n == b->room) {
        b->room = b->room ? 2 * b->room : 2;
        b->v = realloc(b->v, b->room * sizeof(*b->v));
        ASH_ASSERT(b->v);
    }
    struct ora_value *v = &b->v[b->n++];
    *v = (struct ora_value){.tag = tag, .submit = submit, .ack = ack, .dead = ORA_NEVER};
    return v;
}

void ora_set(struct ora_block *b, uint64_t tag)
{
    b->n = 0;
    struct ora_value *v = push(b, tag, 0, 0);
    v->effective = v->durable = true;
}

void ora_room(struct ora_vol *v, uint64_t n, uint64_t tag)
{
    if (n <= v->n_rooms)
        return;
    v->blocks = realloc(v->blocks, n * sizeof(*v->blocks));
    ASH_ASSERT(v->blocks);
    memset(v->blocks + v->n_rooms, 0, (n - v->n_rooms) * sizeof(*v->blocks));
    for (uint64_t i = v->n_rooms; i < n; i++)
        ora_set(&v->blocks[i], tag);
    v->n_rooms = n;
}

void ora_copy(struct ora_block *dst, const struct ora_block *src, uint64_t since, bool crash)
{
    dst->n = 0;
    for (uint32_t i = 0; i < src->n; i++) {
        const struct ora_value *s = &src->v[i];
        if (s->dead < since && (!crash || s->gone))
            continue;
        struct ora_value *d = push(dst, s->tag, 0, 0);
        d->effective = d->durable = true;
    }
    ASH_ASSERT(dst->n > 0);
}

void ora_also(struct oracle *o, struct ora_block *dst, const struct ora_block *src)
{
    for (uint32_t i = 0; i < src->n; i++)
        if (src->v[i].dead == ORA_NEVER)
            push(dst, src->v[i].tag, o->now, ORA_NEVER);
}

uint64_t ora_tag(const struct ora_vol *v, uint64_t block, uint64_t submit)
{
    return (uint64_t)v->id << 52 | (submit & 0xffffffff) << 20 | (block & 0xfffff) | 1ull << 51;
}

static void sweep(const struct ora_vol *v, struct ora_block *b)
{
    uint32_t n = 0;
    if (v->n_held)
        return;
    for (uint32_t i = 0; i < b->n; i++)
        if (b->v[i].dead == ORA_NEVER || !b->v[i].gone)
            b->v[n++] = b->v[i];
    b->n = n;
    ASH_ASSERT(n > 0);
}

/* Value at idx is durable: those it replaced never come back. */
static void bury(struct ora_block *b, uint32_t idx)
{
    for (uint32_t k = 0; k < b->n; k++)
        if (k != idx && b->v[k].ack < b->v[idx].submit)
            b->v[k].gone = true;
}

uint64_t ora_write_begin(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t n, bool zero)
{
    uint64_t submit = ++o->now;
    for (uint64_t i = block; i < block + n; i++) {
        sweep(v, &v->blocks[i]);
        push(&v->blocks[i], zero ? 0 : ora_tag(v, i, submit), submit, ORA_NEVER);
    }
    return submit;
}

void ora_write_end(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t n, uint64_t submit,
                   enum ora_end end, bool durable)
{
    uint64_t now = ++o->now;
    for (uint64_t i = block; i < block + n && i < v->n_rooms; i++) {
        struct ora_block *b = &v->blocks[i];
        uint32_t k = 0;
        while (k < b->n && b->v[k].submit != submit)
            k++;
        if (k == b->n)
            continue; /* cut off by a resize */
        b->v[k].ack = now;
        b->v[k].failed = end == ORA_FAILED;
        if (end != ORA_DONE)
            continue;
        b->v[k].effective = true;
        for (uint32_t m = 0; m < b->n; m++) {
            if (m == k || b->v[m].ack >= submit)
                continue;
            b->v[m].returns = false;
            b->v[m].dead = ASH_MIN(b->v[m].dead, now);
        }
        if (durable) {
            b->v[k].durable = true;
            bury(b, k);
        }
        sweep(v, b);
    }
}

void ora_close(struct ora_vol *v)
{
    for (uint64_t i = 0; i < v->n_rooms; i++)
        for (uint32_t k = 0; k < v->blocks[i].n; k++)
            v->blocks[i].v[k].returns = false;
}

void ora_flush(struct ora_vol *v, uint64_t since)
{
    for (uint64_t i = 0; i < v->n_rooms; i++) {
        struct ora_block *b = &v->blocks[i];
        for (uint32_t k = 0; k < b->n; k++) {
            struct ora_value *x = &b->v[k];
            if (x->effective && !x->durable && x->ack < since) {
                x->durable = true;
                bury(b, k);
            }
        }
        sweep(v, b);
    }
}

/* The value at seen is what there is. */
static void narrow(struct ora_block *b, uint32_t seen, uint64_t now)
{
    struct ora_value *x = &b->v[seen];
    bool undecided = x->failed && x->tag == 0; /* the cluster may be on the disk, and come back */
    for (uint32_t k = 0; k < b->n; k++) {
        struct ora_value *other = &b->v[k];
        if (k == seen || other->dead != ORA_NEVER)
            continue;
        other->dead = now;
        other->returns = other->failed || undecided;
    }
    x->effective |= !undecided;
}

bool ora_read(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t since, uint64_t tag)
{
    struct ora_block *b = &v->blocks[block];
    bool ok = false, still = true;
    uint32_t n_alive = 0, seen = UINT32_MAX;
    for (uint32_t k = 0; k < b->n; k++) {
        const struct ora_value *x = &b->v[k];
        ok |= x->tag == tag && x->dead >= since;
        still &= x->ack < since;
        if (x->dead == ORA_NEVER) {
            n_alive++;
            if (x->tag == tag)
                seen = k;
        }
    }
    if (ok && still && n_alive > 1 && seen != UINT32_MAX)
        narrow(b, seen, o->now);
    return ok;
}

bool ora_settle(struct oracle *o, struct ora_vol *v, uint64_t block, uint64_t tag, bool lossy)
{
    struct ora_block *b = &v->blocks[block];
    uint32_t seen = UINT32_MAX;
    for (uint32_t k = 0; k < b->n; k++) {
        const struct ora_value *x = &b->v[k];
        if (x->tag == tag && (lossy ? !x->gone : x->dead == ORA_NEVER || x->returns))
            seen = k;
    }
    if (seen == UINT32_MAX)
        return false;
    if (lossy) {
        ora_set(b, tag);
        return true;
    }
    for (uint32_t k = 0; k < b->n; k++) {
        struct ora_value *x = &b->v[k];
        if (x->ack == ORA_NEVER)
            x->ack = o->now;
        x->failed = x->returns = false;
        if (k == seen)
            x->effective = true, x->dead = ORA_NEVER;
        else if (x->dead == ORA_NEVER)
            x->dead = o->now;
    }
    return true;
}

void ora_tell(const struct ora_vol *v, uint64_t block, struct ash_buf *out)
{
    const struct ora_block *b = &v->blocks[block];
    for (uint32_t k = 0; k < b->n; k++) {
        const struct ora_value *x = &b->v[k];
        ash_buf_fmt(out, "%s%016llx (%llu..%lld%s%s%s%s)", k ? ", " : "",
                    (unsigned long long)x->tag, (unsigned long long)x->submit, (long long)x->ack,
                    x->effective ? " effective" : "", x->durable ? " durable" : "",
                    x->dead != ORA_NEVER ? " dead" : "", x->gone ? " gone" : "");
    }
}
