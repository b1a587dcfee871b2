/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive hash table with text keys. The caller owns nodes and keys; a key must not change while
 * its node is in the table. */
#ifndef ASH_BASE_HTAB_H
#define ASH_BASE_HTAB_H

#include "base/compiler.h"

struct ash_hnode {
    struct ash_hnode *next;
    const char *key;
    uint64_t hash;
};

struct ash_htab {
    struct ash_hnode **slots;
    size_t n_slots, n_nodes;
};

int ash_htab_init(struct ash_htab *tab);  /* 0 or -ENOMEM */
void ash_htab_fini(struct ash_htab *tab); /* must be empty or its nodes are forgotten */
struct ash_hnode *ash_htab_find(const struct ash_htab *tab, const char *key);
/* -EEXIST when the key is there already. Growing is best effort, so this never runs out of memory.
 */
int ash_htab_insert(struct ash_htab *tab, struct ash_hnode *node, const char *key);
void ash_htab_remove(struct ash_htab *tab, struct ash_hnode *node); /* must be in the table */

#endif
