/* SPDX-License-Identifier: Apache-2.0 */
#include "base/htab.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { N_SLOTS_FIRST = 16 };

/* FNV-1a: keys are names and UUIDs of our own users, not adversaries with millions of names. */
static uint64_t hash_text(const char *key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 0x100000001b3u;
    return h ^ h >> 32;
}

int ash_htab_init(struct ash_htab *tab)
{
    *tab = (struct ash_htab){.n_slots = N_SLOTS_FIRST};
    tab->slots = ash_mem_alloc(tab->n_slots * sizeof(*tab->slots));
    return tab->slots ? 0 : -ENOMEM;
}

void ash_htab_fini(struct ash_htab *tab)
{
    ash_mem_free(tab->slots);
    *tab = (struct ash_htab){0};
}

static struct ash_hnode *find_hashed(const struct ash_htab *tab, const char *key, uint64_t hash)
{
    struct ash_hnode *n = tab->slots[hash & (tab->n_slots - 1)];
    while (n && (n->hash != hash || strcmp(n->key, key) != 0))
        n = n->next;
    return n;
}

struct ash_hnode *ash_htab_find(const struct ash_htab *tab, const char *key)
{
    return find_hashed(tab, key, hash_text(key));
}

static void grow(struct ash_htab *tab)
{
    size_t n_new = tab->n_slots * 2;
    struct ash_hnode **slots = ash_mem_alloc(n_new * sizeof(*slots));
    if (!slots)
        return; /* slower, not wrong */
    for (size_t i = 0; i < tab->n_slots; i++) {
        for (struct ash_hnode *n = tab->slots[i], *next; n; n = next) {
            next = n->next;
            n->next = slots[n->hash & (n_new - 1)];
            slots[n->hash & (n_new - 1)] = n;
        }
    }
    ash_mem_free(tab->slots);
    tab->slots = slots;
    tab->n_slots = n_new;
}

int ash_htab_insert(struct ash_htab *tab, struct ash_hnode *node, const char *key)
{
    uint64_t hash = hash_text(key);
    if (find_hashed(tab, key, hash))
        return -EEXIST;
    if (tab->n_nodes >= tab->n_slots)
        grow(tab);
    node->key = key;
    node->hash = hash;
    node->next = tab->slots[hash & (tab->n_slots - 1)];
    tab->slots[hash & (tab->n_slots - 1)] = node;
    tab->n_nodes++;
    return 0;
}

void ash_htab_remove(struct ash_htab *tab, struct ash_hnode *node)
{
    struct ash_hnode **link = &tab->slots[node->hash & (tab->n_slots - 1)];
    while (*link && *link != node)
        link = &(*link)->next;
    ASH_ASSERT(*link == node);
    *link = node->next;
    node->next = NULL;
    tab->n_nodes--;
}
