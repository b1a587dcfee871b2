/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given back all at once: a VG with its texts, a parsed configuration. Zeroed by the
 * caller; no I/O. Small things come from chunks, large ones stand alone. */
#ifndef ASH_POOL_LVM_ARENA_H
#define ASH_POOL_LVM_ARENA_H

#include <string.h>

#include "base/mem.h"

enum { LVM_ARENA_CHUNK_BYTES = 16 * 1024 };

struct lvm_arena {
    struct lvm_chunk {
        struct lvm_chunk *next;
        size_t n_used, n_room;
    } * chunks;
};

/* Zeroed, aligned to 8; NULL when memory is out. */
static inline void *lvm_arena_get(struct lvm_arena *arena, size_t n_bytes)
{
    n_bytes = (n_bytes + 7) & ~(size_t)7;
    struct lvm_chunk *c = arena->chunks;
    if (!c || c->n_room - c->n_used < n_bytes) {
        size_t n_room = ASH_MAX((size_t)LVM_ARENA_CHUNK_BYTES - sizeof(*c), n_bytes);
        c = (struct lvm_chunk *)ash_mem_alloc(sizeof(*c) + n_room);
        if (!c)
            return NULL;
        c->n_room = n_room;
        c->next = arena->chunks;
        arena->chunks = c;
    }
    void *p = (char *)(c + 1) + c->n_used;
    c->n_used += n_bytes;
    return p;
}

static inline char *lvm_arena_strn(struct lvm_arena *arena, const char *text, size_t n)
{
    char *p = (char *)lvm_arena_get(arena, n + 1);
    if (p)
        memcpy(p, text, n);
    return p;
}

static inline char *lvm_arena_str(struct lvm_arena *arena, const char *text)
{
    return lvm_arena_strn(arena, text, strlen(text));
}

static inline void lvm_arena_fini(struct lvm_arena *arena)
{
    while (arena->chunks) {
        struct lvm_chunk *c = arena->chunks;
        arena->chunks = c->next;
        ash_mem_free(c);
    }
}

#endif
