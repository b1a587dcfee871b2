/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked circular list. An item that is on no list points at itself. */
#ifndef ASH_BASE_LIST_H
#define ASH_BASE_LIST_H

#include "base/compiler.h"

struct ash_list {
    struct ash_list *prev, *next;
};

static inline void ash_list_init(struct ash_list *l)
{
    l->prev = l->next = l;
}

static inline bool ash_list_empty(const struct ash_list *l)
{
    return l->next == l;
}

static inline void ash_list_insert_before(struct ash_list *pos, struct ash_list *item)
{
    item->prev = pos->prev;
    item->next = pos;
    pos->prev->next = item;
    pos->prev = item;
}

static inline void ash_list_push_tail(struct ash_list *l, struct ash_list *item)
{
    ash_list_insert_before(l, item);
}

static inline void ash_list_push_head(struct ash_list *l, struct ash_list *item)
{
    ash_list_insert_before(l->next, item);
}

/* Taking an item off leaves it pointing at itself, so taking it off twice is harmless. */
static inline void ash_list_remove(struct ash_list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    ash_list_init(item);
}

static inline struct ash_list *ash_list_pop_head(struct ash_list *l)
{
    if (ash_list_empty(l))
        return NULL;
    struct ash_list *item = l->next;
    /* not what was freed: that had been taken out. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    ash_list_remove(item);
    return item;
}

/* Moves everything from one list to the tail of another. */
static inline void ash_list_splice_tail(struct ash_list *to, struct ash_list *from)
{
    if (ash_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    ash_list_init(from);
}

#define ash_list_entry(ptr, type, member) ash_container_of(ptr, type, member)

#define ash_list_for_each(pos, list)                                                               \
    for (struct ash_list *pos = (list)->next; pos != (list); pos = pos->next)

#define ash_list_for_each_safe(pos, list)                                                          \
    for (struct ash_list *pos = (list)->next, *pos##_next = pos->next; pos != (list);              \
         pos = pos##_next, pos##_next = pos->next)

#endif
