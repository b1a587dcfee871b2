/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store (docs/spec/blobstore-format.md section 11).
 *
 *   load_read.c     masks (clean store only: which pages are in use, which are roots), then the
 *                   metadata region in large parallel reads; holes of the device are skipped
 *   load_build.c    chains from their roots, extent pages, parents and names: strict; damage faults
 *                   that one volume
 *   load_resolve.c  half-done snapshots and deletions (11.4); one owner for each page and cluster,
 *                   what has two is left alone (11.6)
 *   load_repair.c   what building and resolving changed, in an order that any power cut survives
 *
 * Invariants
 *   - No byte of the disk is trusted: every index is checked before it is used, every length before
 *     it is followed. A failure of one volume never stops the others.
 *   - The masks are only a hint of where to look. What is free is computed from the chains alone;
 *     where a faulted volume hides part of that, the masks of a clean store keep its clusters
 *     reserved, and in a dirty one nothing is given out.
 *   - With a read-only pool not one byte is written: all repairs stay in memory. */
#include <errno.h>

#include "pool/lvs/load.h"

static void load_end(struct load *l)
{
    for (uint64_t i = ash_bitmap_find_set(&l->kept, 0); l->pages && i != ASH_BITMAP_NONE;
         i = ash_bitmap_find_set(&l->kept, i + 1))
        rt_free(l->pages[i]);
    rt_free(l->pages);
    ash_bitmap_fini(&l->kept);
    ash_bitmap_fini(&l->bad_roots);
    ash_bitmap_fini(&l->twice);
    ash_bitmap_fini(&l->mask_pages);
    ash_bitmap_fini(&l->mask_clusters);
    ash_bitmap_fini(&l->mask_roots);
    for (size_t i = 0; i < l->n_todos; i++) {
        rt_free(l->todos[i].windows);
        if (l->todos[i].erase)
            lvs_volume_free(l->todos[i].v);
    }
    rt_free(l->todos);
}

static int load_steps(struct load *l, struct ash_err *err)
{
    struct lvs_store *s = l->s;
    int rc = lvs_space_init(s);
    if (rc == 0)
        rc = ash_bitmap_init(&l->kept, s->md_len);
    if (rc == 0)
        rc = ash_bitmap_init(&l->bad_roots, s->md_len);
    if (rc == 0)
        rc = ash_bitmap_init(&l->twice, s->n_clusters);
    if (rc == 0)
        rc = (l->pages = rt_alloc((size_t)s->md_len * sizeof(*l->pages))) ? 0 : -ENOMEM;
    /* What a process before us wrote or unmapped without a flush counts from here on. */
    if (rc == 0 && !s->read_only && !s->is_clean_on_disk)
        rc = lvs_flush(s);
    if (rc == 0)
        rc = load_read_masks(l);
    if (rc == 0)
        rc = load_read_pages(l);
    if (rc == 0)
        rc = load_build_volumes(l);
    if (rc == 0) {
        load_relate(l);
        if (!l->super_found && ash_list_empty(&s->volumes) && !load_has_lost_label(l))
            return ash_err_set(err, ASH_E_POOL_NO_SUPER_BLOB, s->base_name,
                               "store on '%s' has neither label nor volumes", s->base_name);
        rc = load_resolve(l);
    }
    if (rc == 0) {
        load_claim(l);
        if (!l->super_found)
            rc = load_make_label(l);
    }
    if (rc == 0 && !s->read_only) {
        load_reserve_erased(l, true);
        rc = load_write_repairs(l);
        load_reserve_erased(l, false);
    }
    if (rc)
        return ash_err_set_rc(err, rc, rc == -ENOMEM ? ASH_E_NO_MEMORY : ASH_E_POOL_IO,
                              s->base_name, "metadata of the store on '%s' could not be %s: %s",
                              s->base_name, s->read_only ? "read" : "read or repaired",
                              ash_strerror(rc));
    return 0;
}

int lvs_load(struct lvs_store *s, struct ash_err *err)
{
    struct load l = {.s = s};
    s->was_dirty = !s->is_clean_on_disk;
    int rc = load_steps(&l, err);
    ash_list_for_each (i, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        v->had_clone = !ash_list_empty(&v->clones);
    }
    load_end(&l);
    return rc;
}
