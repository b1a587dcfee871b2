/* SPDX-License-Identifier: Apache-2.0 */
/* Writing metadata: chains, and map entries in groups (docs/spec/blobstore-format.md 7).
 *
 * Invariants
 *   - A root page is written only after a flush that covers all it refers to; what the root before
 *     it referred to is erased and given back only after a flush that covers the new root.
 *   - An extent page of constant length is rewritten in place by the committer task and by nobody
 *     else; one at a time, so updates of one page are never lost. Everything that arrives while a
 *     batch is being written goes into the next batch together.
 *   - A map entry is published in memory after it has been written: until then writers to the
 *     cluster wait, so no acknowledged write depends on an entry that is not there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

void *lvs_page_buf(const struct lvs_store *s, const struct lvs_page_disk *page)
{
    uint8_t *buf = rt_buf_get(s->md_page_bytes);
    if (buf) {
        memcpy(buf, page, LVS_PAGE_BYTES);
        memset(buf + LVS_PAGE_BYTES, 0, s->md_page_bytes - LVS_PAGE_BYTES);
    }
    return buf;
}

static int flush_if_needed(struct lvs_store *s)
{
    return atomic_load(&s->md_written_seq) != atomic_load(&s->md_flushed_seq) ? lvs_flush(s) : 0;
}

static int write_page(struct lvs_store *s, uint32_t idx, const struct lvs_page_disk *page)
{
    void *buf = lvs_page_buf(s, page);
    if (!buf)
        return -ENOMEM;
    struct lvs_write w = {lvs_page_offset(s, idx), buf, s->md_page_bytes};
    int rc = lvs_write_all(s, &w, 1);
    rt_buf_put(buf, s->md_page_bytes);
    return rc;
}

/* Put pages 1 .. n-1 at fresh places; next and CRC of all n are set. */
static int place_pages(struct lvs_store *s, struct lvs_page_disk *pages, uint32_t n,
                       uint32_t *places)
{
    for (uint32_t i = 0; i + 1 < n; i++) {
        places[i] = lvs_page_take(s, 1);
        if (places[i] == LVS_INVALID_PAGE) {
            while (i-- > 0)
                lvs_page_give(s, places[i]);
            return -ENOMEM; /* the errno of the format's users for "no metadata page" */
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        pages[i].next = ash_le32(i + 1 < n ? places[i] : LVS_INVALID_PAGE);
        lvs_page_seal(&pages[i]);
    }
    return 0;
}

/* The root page as it is on the disk. It cannot be made again from memory: a release that has not
 * been committed yet is missing there, and continuation pages would not fit. */
static int read_root(struct lvs_store *s, uint64_t blob_id, bool exists, struct lvs_page_disk *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (!exists)
        return 0;
    uint8_t *buf = rt_buf_get(s->md_page_bytes);
    if (!buf)
        return -ENOMEM;
    int rc = bdev_read(s->ch, buf, lvs_page_offset(s, lvs_id_page(blob_id)), s->md_page_bytes);
    memcpy(ret, buf, sizeof(*ret));
    rt_buf_put(buf, s->md_page_bytes);
    return rc;
}

/* After a failed root write: make the disk say again what it said before. */
static int restore_root(struct lvs_store *s, uint64_t blob_id, const struct lvs_page_disk *was)
{
    int rc = write_page(s, lvs_id_page(blob_id), was);
    return rc ? rc : lvs_flush(s);
}

/* The writes of one chain: continuation pages, flush, root, flush. */
static int write_chain_pages(struct lvs_store *s, uint32_t root_idx, struct lvs_page_disk *pages,
                             uint32_t n, const uint32_t *places, bool *ret_root_hit)
{
    struct lvs_write *writes = rt_alloc(n * sizeof(*writes));
    int rc = writes ? 0 : -ENOMEM;
    for (uint32_t i = 1; i < n && rc == 0; i++) {
        void *buf = lvs_page_buf(s, &pages[i]);
        writes[i - 1] =
            (struct lvs_write){lvs_page_offset(s, places[i - 1]), buf, s->md_page_bytes};
        if (!buf)
            rc = -ENOMEM;
    }
    if (rc == 0 && n > 1)
        rc = lvs_write_all(s, writes, n - 1);
    if (rc == 0)
        rc = flush_if_needed(s);
    if (rc == 0) {
        *ret_root_hit = true;
        rc = write_page(s, root_idx, &pages[0]);
    }
    if (rc == 0)
        rc = lvs_flush(s);
    for (uint32_t i = 1; i < n && writes; i++)
        rt_buf_put((void *)(uintptr_t)writes[i - 1].data, s->md_page_bytes);
    rt_free(writes);
    return rc;
}

int lvs_chain_write(struct lvs_store *s, const struct lvs_root *next, const struct lvs_root *old,
                    uint32_t **cont, uint32_t *n_cont, bool *ret_uncertain)
{
    ASH_ASSERT(s->md_lock.owner == rt_task_self());
    struct lvs_page_disk *pages = NULL, was;
    uint32_t n = 0, *places = NULL;
    bool placed = false, root_hit = false;
    *ret_uncertain = false;
    rt_step("write blob metadata");
    int rc = lvs_mark_dirty(s);
    if (rc == 0)
        rc = lvs_root_encode(next, &pages, &n);
    if (rc == 0)
        rc = read_root(s, next->blob_id, old != NULL, &was);
    if (rc == 0)
        rc = (places = rt_alloc(n * sizeof(*places))) ? 0 : -ENOMEM;
    if (rc == 0) {
        rc = place_pages(s, pages, n, places);
        placed = rc == 0;
    }
    if (rc == 0)
        rc = write_chain_pages(s, lvs_id_page(next->blob_id), pages, n, places, &root_hit);
    if (rc == 0) {
        /* Old pages that cannot be erased stay reserved until the next load. */
        (void)lvs_pages_release(s, *cont, *n_cont);
        rt_free(*cont);
        *cont = places;
        *n_cont = n - 1;
        places = NULL;
    } else if (root_hit && restore_root(s, next->blob_id, &was) != 0) {
        *ret_uncertain = s->needs_recovery = true;
    } else if (placed) {
        for (uint32_t i = 0; i + 1 < n; i++)
            lvs_page_give(s, places[i]);
    }
    rt_free(places);
    rt_free(pages);
    return rc;
}

int lvs_root_copy(const struct lvs_volume *v, struct lvs_root *ret_next)
{
    *ret_next = v->root;
    ret_next->user = ret_next->internal = (struct lvs_xattrs){0};
    int rc = lvs_xattrs_copy(&ret_next->user, &v->root.user);
    if (rc == 0)
        rc = lvs_xattrs_copy(&ret_next->internal, &v->root.internal);
    if (rc)
        lvs_xattrs_free(&ret_next->user);
    return rc;
}

int lvs_volume_commit(struct lvs_volume *v, struct lvs_root *next)
{
    bool uncertain;
    int rc =
        lvs_chain_write(v->store, next, &v->root, &v->cont_pages, &v->n_cont_pages, &uncertain);
    if (rc == 0) {
        if (next->user.v != v->root.user.v)
            lvs_xattrs_free(&v->root.user);
        if (next->internal.v != v->root.internal.v)
            lvs_xattrs_free(&v->root.internal);
        v->root.user = next->user;
        v->root.internal = next->internal;
        /* Other reactors read the flags: they are touched only when they change, and then the
         * volume is quiesced. */
        if (v->root.invalid_flags != next->invalid_flags)
            v->root.invalid_flags = next->invalid_flags;
        if (v->root.data_ro_flags != next->data_ro_flags)
            v->root.data_ro_flags = next->data_ro_flags;
        v->root.md_ro_flags = next->md_ro_flags;
        return 0;
    }
    if (next->user.v != v->root.user.v)
        lvs_xattrs_free(&next->user);
    if (next->internal.v != v->root.internal.v)
        lvs_xattrs_free(&next->internal);
    if (uncertain) {
        v->state = VOLUME_FAULTED;
        atomic_store(&v->refuses_writes, true);
        snprintf(v->fault, sizeof(v->fault),
                 "its metadata could not be written (%s); close and open the pool again",
                 ash_strerror(rc));
        snprintf(v->store->damage, sizeof(v->store->damage),
                 "metadata of volume '%s' could not be written", v->name);
        return -EUCLEAN;
    }
    return rc;
}

/* -------------------------------------------------- windows at new places */

static int stage_window(struct lvs_volume *v, const struct lvs_map *next, uint64_t window,
                        struct lvs_write *ret)
{
    struct lvs_store *s = v->store;
    struct lvs_window *win = lvs_map_peek(next, window);
    uint32_t clusters[LVS_EXTENTS_PER_PAGE], n = lvs_window_clusters(next->n_clusters, window);
    ASH_ASSERT(win && !win->new_page && win->n_pending == 0);
    for (uint32_t i = 0; i < n; i++)
        clusters[i] = atomic_load_explicit(&win->cluster[i], memory_order_relaxed);
    uint8_t *buf = rt_buf_get(s->md_page_bytes);
    if (!buf)
        return -ENOMEM;
    lvs_extents_encode((void *)buf, v->root.blob_id, window, clusters, n);
    memset(buf + LVS_PAGE_BYTES, 0, s->md_page_bytes - LVS_PAGE_BYTES);
    *ret = (struct lvs_write){0, buf, s->md_page_bytes};
    uint32_t page = lvs_page_take(s, 1);
    if (page == LVS_INVALID_PAGE)
        return -ENOMEM;
    win->new_page = page;
    win->new_written = true;
    ret->offset = lvs_page_offset(s, page);
    return 0;
}

int lvs_stage_windows(struct lvs_volume *v, const struct lvs_map *next, const uint64_t *windows,
                      size_t n)
{
    if (n == 0)
        return 0;
    struct lvs_write *writes = rt_alloc(n * sizeof(*writes));
    int rc = writes ? lvs_mark_dirty(v->store) : -ENOMEM;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = stage_window(v, next, windows[i], &writes[i]);
    rt_step("write extent pages");
    if (rc == 0)
        rc = lvs_write_all(v->store, writes, n);
    for (size_t i = 0; i < n && writes; i++)
        rt_buf_put((void *)(uintptr_t)writes[i].data, v->store->md_page_bytes);
    rt_free(writes);
    if (rc)
        lvs_stage_end(v, next, windows, n, false, NULL);
    return rc;
}

size_t lvs_stage_end(struct lvs_volume *v, const struct lvs_map *next, const uint64_t *windows,
                     size_t n, bool committed, uint32_t *old_pages)
{
    size_t n_old = 0;
    for (size_t i = 0; i < n; i++) {
        struct lvs_window *win = lvs_map_peek(next, windows[i]);
        if (!win->new_page)
            continue;
        if (committed) {
            if (win->page)
                old_pages[n_old++] = win->page;
            win->page = win->new_page;
        } else {
            lvs_page_give(v->store, win->new_page);
        }
        win->new_page = 0;
        win->new_written = false;
    }
    return n_old;
}

/* ------------------------------------------------------ groups of entries */

static int compare_commits(const void *a, const void *b)
{
    const struct lvs_commit *x = *(struct lvs_commit *const *)a,
                            *y = *(struct lvs_commit *const *)b;
    if (x->vol != y->vol) /* by what the disk knows, not by address: runs can be repeated */
        return x->vol->root.blob_id < y->vol->root.blob_id ? -1 : 1;
    return x->idx < y->idx ? -1 : x->idx > y->idx;
}

/* One batch: commits sorted by volume and cluster. */
struct group {
    struct lvs_store *s;
    struct lvs_commit **c;
    size_t n;
    struct lvs_write *writes; /* one per window at most */
    size_t n_writes;
};

/* The page of one window (of entry `from`) with the entries [from, to) of the batch put in. */
static int build_window(struct group *g, size_t from, size_t to)
{
    struct lvs_volume *v = g->c[from]->vol;
    uint64_t window = g->c[from]->idx / LVS_EXTENTS_PER_PAGE;
    struct lvs_window *win = lvs_map_window(&v->map, window);
    uint32_t clusters[LVS_EXTENTS_PER_PAGE];
    uint32_t n = lvs_window_clusters(v->map.n_clusters, window);
    if (!win)
        return -ENOMEM;
    ASH_ASSERT(win->page || win->new_page);
    for (uint32_t i = 0; i < n; i++)
        clusters[i] = atomic_load_explicit(&win->cluster[i], memory_order_relaxed);
    for (size_t i = from; i < to; i++)
        clusters[g->c[i]->idx % LVS_EXTENTS_PER_PAGE] = g->c[i]->cluster;
    uint8_t *buf = rt_buf_get(g->s->md_page_bytes);
    if (!buf)
        return -ENOMEM;
    lvs_extents_encode((void *)buf, v->root.blob_id, window, clusters, n);
    memset(buf + LVS_PAGE_BYTES, 0, g->s->md_page_bytes - LVS_PAGE_BYTES);
    g->writes[g->n_writes++] = (struct lvs_write){
        lvs_page_offset(g->s, win->page ? win->page : win->new_page), buf, g->s->md_page_bytes};
    return 0;
}

static size_t group_end(const struct group *g, size_t from, bool whole_volume)
{
    size_t to = from + 1;
    while (to < g->n && g->c[to]->vol == g->c[from]->vol &&
           (whole_volume ||
            g->c[to]->idx / LVS_EXTENTS_PER_PAGE == g->c[from]->idx / LVS_EXTENTS_PER_PAGE))
        to++;
    return to;
}

static void group_put_bufs(struct group *g)
{
    for (size_t i = 0; i < g->n_writes; i++)
        rt_buf_put((void *)(uintptr_t)g->writes[i].data, g->s->md_page_bytes);
    g->n_writes = 0;
}

/* The pages of all windows of the batch, with its entries or as they were before. */
static int build_windows(struct group *g, bool with_entries)
{
    int rc = 0;
    for (size_t i = 0, to; i < g->n && rc == 0; i = to) {
        to = group_end(g, i, g->c[i]->vol->map.rle);
        if (!g->c[i]->vol->map.rle)
            rc = build_window(g, i, with_entries ? to : i);
    }
    return rc;
}

/* After a failed write each page may be old or new: make them say again what they said. */
static int restore_windows(struct group *g)
{
    int rc = build_windows(g, false);
    if (rc == 0)
        rc = lvs_write_all(g->s, g->writes, g->n_writes);
    if (rc == 0)
        rc = lvs_flush(g->s);
    group_put_bufs(g);
    return rc;
}

static int write_windows(struct group *g)
{
    int rc = build_windows(g, true);
    bool hit = rc == 0;
    if (rc == 0)
        rc = lvs_write_all(g->s, g->writes, g->n_writes);
    group_put_bufs(g);
    if (rc && hit && restore_windows(g) != 0) {
        g->s->needs_recovery = true;
        rc = -EUCLEAN;
    }
    return rc;
}

/* A copy of an RLE volume's map with the batch's entries put in. */
static int rle_map(const struct lvs_volume *v, struct lvs_commit **c, size_t n, struct lvs_map *ret)
{
    int rc = lvs_map_init(ret, v->map.n_clusters, true);
    if (rc)
        return rc;
    for (uint64_t i = lvs_map_next(&v->map, 0); i != UINT64_MAX && rc == 0;
         i = lvs_map_next(&v->map, i + 1)) {
        rc = lvs_map_window(ret, i / LVS_EXTENTS_PER_PAGE) ? 0 : -ENOMEM;
        if (rc == 0)
            lvs_map_set(ret, i, lvs_map_get(&v->map, i));
    }
    for (size_t k = 0; k < n && rc == 0; k++) {
        rc = lvs_map_window(ret, c[k]->idx / LVS_EXTENTS_PER_PAGE) ? 0 : -ENOMEM;
        if (rc == 0)
            lvs_map_set(ret, c[k]->idx, c[k]->cluster);
    }
    if (rc)
        lvs_map_fini(ret);
    return rc;
}

/* The root of one volume, when the batch gave it a new extent page or its map is in the chain. */
static int write_root(struct group *g, size_t from, size_t to)
{
    struct lvs_volume *v = g->c[from]->vol;
    struct lvs_root next = v->root;
    struct lvs_map map;
    bool needed = v->map.rle;
    for (size_t i = from; i < to && !v->map.rle; i++) {
        struct lvs_window *win = lvs_map_peek(&v->map, g->c[i]->idx / LVS_EXTENTS_PER_PAGE);
        if (!win->page) {
            win->new_written = true;
            needed = true;
        }
    }
    if (!needed)
        return 0;
    int rc = 0;
    if (v->map.rle)
        rc = rle_map(v, g->c + from, to - from, &map);
    else
        map = v->map;
    if (rc)
        return rc;
    map.with_new = true;
    next.map = &map;
    rc = lvs_volume_commit(v, &next);
    if (v->map.rle)
        lvs_map_fini(&map);
    return rc;
}

/* The windows of the volume are written; now its root. If that fails, the windows that are
 * rewritten in place must not keep what nobody was told. */
static int commit_volume(struct group *g, size_t from, size_t to)
{
    struct group part = {.s = g->s, .c = g->c + from, .n = to - from, .writes = g->writes};
    int rc = write_root(g, from, to);
    if (rc && rc != -EUCLEAN && restore_windows(&part) != 0) {
        g->s->needs_recovery = true;
        rc = -EUCLEAN;
    }
    return rc;
}

static void publish(struct group *g, size_t from, size_t to, int rc)
{
    for (size_t i = from; i < to; i++) {
        struct lvs_commit *c = g->c[i];
        struct lvs_window *win = lvs_map_peek(&c->vol->map, c->idx / LVS_EXTENTS_PER_PAGE);
        if (rc == 0 && win->new_written) {
            win->page = win->new_page;
            win->new_page = 0;
            win->new_uncertain = false;
        }
        win->new_written = false;
        if (rc == -EUCLEAN)
            c->vol->has_stale = true;
        if (rc == 0 || rc == -EUCLEAN)
            atomic_store(&win->stale, rc != 0);
        if (rc == 0)
            lvs_map_set(&c->vol->map, c->idx, c->cluster);
        ash_list_remove(&c->link);
        rt_event_set(&c->done, rc);
    }
}

static void commit_group(struct group *g)
{
    bool barrier = false;
    for (size_t i = 0; i < g->n; i++)
        barrier |= g->c[i]->needs_barrier;
    qsort(g->c, g->n, sizeof(*g->c), compare_commits);
    rt_mutex_lock(&g->s->md_lock);
    rt_step("commit map entries");
    int rc = lvs_mark_dirty(g->s);
    if (rc == 0 && barrier)
        rc = lvs_flush(g->s);
    if (rc == 0)
        rc = write_windows(g);
    for (size_t i = 0, to; i < g->n; i = to) {
        to = group_end(g, i, true);
        publish(g, i, to, rc ? rc : commit_volume(g, i, to));
    }
    rt_mutex_unlock(&g->s->md_lock);
}

enum { N_COMMITS_MAX = 1024 }; /* in one batch */

static void commit_task(void *arg)
{
    struct lvs_store *s = arg;
    struct group g = {.s = s};
    g.c = rt_alloc(N_COMMITS_MAX * sizeof(*g.c));
    g.writes = rt_alloc(N_COMMITS_MAX * sizeof(*g.writes));
    while (!ash_list_empty(&s->commit_queue)) {
        if (!g.c || !g.writes) {
            struct lvs_commit *c =
                ash_list_entry(ash_list_pop_head(&s->commit_queue), struct lvs_commit, link);
            rt_event_set(&c->done, -ENOMEM);
            continue;
        }
        g.n = g.n_writes = 0;
        while (g.n < N_COMMITS_MAX && !ash_list_empty(&s->commit_queue) &&
               !(g.n && SIM_RARELY("commit: a batch ends early")))
            g.c[g.n++] =
                ash_list_entry(ash_list_pop_head(&s->commit_queue), struct lvs_commit, link);
        commit_group(&g);
    }
    rt_free(g.c);
    rt_free(g.writes);
    s->commit_running = false;
    rt_waitq_wake_all(&s->idle_q);
}

void lvs_commit_start(struct lvs_commit *c)
{
    struct lvs_store *s = c->vol->store;
    c->done = RT_EVENT_INIT;
    ash_list_push_tail(&s->commit_queue, &c->link);
    if (s->commit_running)
        return;
    if (rt_task_spawn("commit", commit_task, s) == 0) {
        s->commit_running = true;
    } else {
        ash_list_remove(&c->link);
        rt_event_set(&c->done, -ENOMEM);
    }
}
