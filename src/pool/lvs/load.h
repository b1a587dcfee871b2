/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of opening a store; what happens in which order stands at the head of load.c. */
#ifndef ASH_POOL_LVS_LOAD_H
#define ASH_POOL_LVS_LOAD_H

#include "pool/lvs/lvs.h"

/* Volumes to write again, and to erase, when all is known. */
struct load_todo {
    struct lvs_volume *v;
    uint64_t *windows;
    size_t n_windows;
    bool rewrite, erase;
};

struct load {
    struct lvs_store *s;
    struct lvs_page_disk **pages; /* [md_len]: good pages; NULL: erased, garbage or not read */
    struct ash_bitmap kept;       /* those that are not NULL, so that few pages are found quickly */
    struct ash_bitmap bad_roots;  /* pages that were roots and fail their checksum */
    bool has_masks;
    struct ash_bitmap mask_pages, mask_clusters, mask_roots;
    struct ash_bitmap twice; /* clusters with two owners */
    bool hidden_clusters;    /* a faulted volume may own clusters that we cannot see */
    bool super_found;        /* the super blob was read, label and all */
    uint32_t super_page;     /* where the super block says it is; LVS_INVALID_PAGE: nowhere */
    struct load_todo *todos;
    size_t n_todos, todos_room;
};

/* load_read.c */
int load_read_masks(struct load *l) ASH_MAY_WAIT; /* those that do not fit are as good as none */
int load_read_pages(struct load *l) ASH_MAY_WAIT;
/* A page by its index (NULL: erased, garbage, outside); one that the page mask had left out is
 * fetched now. ctx is the struct load: the form that lvs_chain_decode asks for. */
const struct lvs_page_disk *load_get_page(void *ctx, uint32_t idx) ASH_MAY_WAIT;

/* load_build.c */
void load_fault(struct lvs_volume *v, const char *why); /* the first reason stays */
int load_build_volumes(struct load *l) ASH_MAY_WAIT;
void load_relate(struct load *l);

/* load_resolve.c */
int load_resolve(struct load *l);
void load_claim(struct load *l);

/* load_repair.c: the todo of a volume, made when missing; NULL, -ENOMEM: no memory */
struct load_todo *load_todo_of(struct load *l, struct lvs_volume *v);
int load_todo_rewrite(struct load *l, struct lvs_volume *v);
int load_todo_window(struct load *l, struct lvs_volume *v, uint64_t window);
bool load_has_lost_label(const struct load *l) ASH_MAY_WAIT;
int load_make_label(struct load *l);
int load_write_repairs(struct load *l) ASH_MAY_WAIT;
/* The pages of a volume that is to be erased must not be reused before it is. */
void load_reserve_erased(struct load *l, bool reserve);

#endif
