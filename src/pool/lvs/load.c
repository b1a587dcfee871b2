/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store (docs/spec/blobstore-format.md section 11).
 *
 *   read_masks      clean store only: which pages are in use, which are roots
 *   read_pages      the metadata region in large parallel reads; holes of the device are skipped
 *   build_volumes   chains from their roots, then extent pages: strict; damage faults that one
 * volume relate          parents, names resolve         half-done snapshots and deletions (11.4)
 *   claim           one owner for each page and cluster; what has two is left alone (11.6)
 *   write_repairs   what resolve and build_volumes changed, in an order that any power cut survives
 *
 * Invariants
 *   - No byte of the disk is trusted: every index is checked before it is used, every length before
 *     it is followed. A failure of one volume never stops the others.
 *   - The masks are only a hint of where to look. What is free is computed from the chains alone;
 *     where a faulted volume hides part of that, the masks of a clean store keep its clusters
 *     reserved, and in a dirty one nothing is given out.
 *   - With a read-only pool not one byte is written: all repairs stay in memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

struct load {
    struct lvs_store *s;
    struct lvs_page_disk **pages; /* [md_len]: good pages; NULL: erased, garbage or not read */
    struct ash_bitmap bad_roots;  /* pages that were roots and fail their checksum */
    bool has_masks;
    struct ash_bitmap mask_pages, mask_clusters, mask_roots;
    struct ash_bitmap twice; /* clusters with two owners */
    bool hidden_clusters;    /* a faulted volume may own clusters that we cannot see */
    bool super_found;        /* the super blob was read, label and all */
    uint32_t super_page;     /* where the super block says it is; LVS_INVALID_PAGE: nowhere */
    /* volumes to write again, and to erase, when all is known */
    struct todo {
        struct lvs_volume *v;
        uint64_t *windows;
        size_t n_windows;
        bool rewrite, erase;
    } * todos;
    size_t n_todos, todos_room;
};

enum { CHUNK_BYTES = 1 << 20, N_CHUNKS = 16, CHUNK_PAGES_MIN = 1 };

static struct todo *todo_of(struct load *l, struct lvs_volume *v)
{
    for (size_t i = l->n_todos; i-- > 0;)
        if (l->todos[i].v == v)
            return &l->todos[i];
    struct todo *t = l->todos;
    if (l->n_todos == l->todos_room) {
        size_t room = l->todos_room ? 2 * l->todos_room : 16;
        t = rt_realloc(l->todos, l->n_todos * sizeof(*t), room * sizeof(*t));
        if (!t)
            return NULL;
        l->todos = t;
        l->todos_room = room;
    }
    t += l->n_todos++;
    *t = (struct todo){.v = v};
    return t;
}

static int todo_rewrite(struct load *l, struct lvs_volume *v)
{
    struct todo *t = todo_of(l, v);
    if (t)
        t->rewrite = true;
    return t ? 0 : -ENOMEM;
}

static int todo_window(struct load *l, struct lvs_volume *v, uint64_t window)
{
    struct todo *t = todo_of(l, v);
    if (!t)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_windows; i++)
        if (t->windows[i] == window)
            return 0;
    uint64_t *w =
        rt_realloc(t->windows, t->n_windows * sizeof(*w), (t->n_windows + 1) * sizeof(*w));
    if (!w)
        return -ENOMEM;
    t->windows = w;
    t->windows[t->n_windows++] = window;
    t->rewrite = true;
    return 0;
}

static void fault(struct lvs_volume *v, const char *why)
{
    if (v->state == VOLUME_FAULTED)
        return;
    v->state = VOLUME_FAULTED;
    snprintf(v->fault, sizeof(v->fault), "%s", why);
}

/* ----------------------------------------------------------------- reading */

struct chunk {
    struct bdev_io *io;
    struct rt_event done;
    uint32_t first, n_pages;
    uint8_t *buf;
};

static void chunk_done(struct bdev_io *io)
{
    struct chunk *c = io->user;
    rt_event_set(&c->done, io->rc);
}

/* A page whose checksum is wrong: was it a root? Either of two marks suffices, so that no single
 * damaged place makes a volume vanish unseen. A checksum of 0 is a first write or an erasure that
 * did not finish. */
static bool was_root(const struct lvs_page_disk *page, uint32_t idx)
{
    const struct lvs_flags_disk *flags = (const void *)page->descs;
    if (ash_le32_get(page->crc) == 0 || ash_le32_get(page->sequence) != 0)
        return false;
    return ash_le64_get(page->id) == lvs_blob_id(idx) ||
           (flags->desc.type == LVS_DESC_FLAGS &&
            ash_le32_get(flags->desc.n_bytes) == sizeof(*flags) - sizeof(flags->desc));
}

static int keep_page(struct load *l, uint32_t idx, const uint8_t *bytes)
{
    const struct lvs_page_disk *page = (const void *)bytes;
    if (l->pages[idx] || (ash_le64_get(page->id) == 0 && ash_le32_get(page->crc) == 0))
        return 0;
    if (!lvs_page_is_sealed(page)) {
        if (was_root(page, idx))
            ash_bitmap_set(&l->bad_roots, idx);
        return 0;
    }
    if (!lvs_id_is_valid(ash_le64_get(page->id)))
        return 0;
    l->pages[idx] = rt_alloc(LVS_PAGE_BYTES);
    if (!l->pages[idx])
        return -ENOMEM;
    memcpy(l->pages[idx], page, LVS_PAGE_BYTES);
    return 0;
}

/* A chunk that failed as a whole is read page by page, so that one bad sector costs one page. */
static int keep_chunk(struct load *l, const struct chunk *c, int rc)
{
    struct lvs_store *s = l->s;
    for (uint32_t i = 0; i < c->n_pages; i++) {
        uint8_t *bytes = c->buf + (size_t)i * s->md_page_bytes;
        if (rc == 0 ||
            bdev_read(s->ch, bytes, lvs_page_offset(s, c->first + i), s->md_page_bytes) == 0) {
            int keep_rc = keep_page(l, c->first + i, bytes);
            if (keep_rc)
                return keep_rc;
        } else if (!l->has_masks) {
            l->hidden_clusters = true; /* it might have been anything */
            snprintf(s->damage, sizeof(s->damage), "metadata page %u cannot be read", c->first + i);
        }
    }
    return 0;
}

/* The next run of pages to read from *at on; 0 pages: no more. */
static uint32_t next_run(struct load *l, uint64_t *at, uint32_t n_max)
{
    struct lvs_store *s = l->s;
    while (*at < s->md_len) {
        if (l->has_masks) {
            uint64_t first = ash_bitmap_find_set(&l->mask_pages, *at);
            *at = first == ASH_BITMAP_NONE ? s->md_len : first;
            uint32_t n = 0, n_gap = 0; /* short gaps are cheaper to read than to skip */
            for (uint64_t i = *at; i < s->md_len && i - *at < n_max && n_gap < 16; i++) {
                n_gap = ash_bitmap_test(&l->mask_pages, i) ? 0 : n_gap + 1;
                if (n_gap == 0)
                    n = (uint32_t)(i - *at + 1);
            }
            return n;
        }
        struct bdev_area area;
        uint64_t left = (s->md_len - *at) * s->md_page_bytes;
        bdev_area(s->ch, lvs_page_offset(s, (uint32_t)*at), left, &area);
        uint64_t n_pages = area.length / s->md_page_bytes;
        if (!(area.flags & BDEV_AREA_ZERO) || n_pages == 0) {
            /* a run of data that ends inside a page takes the page with it */
            n_pages = ash_div_up(area.length, s->md_page_bytes);
            n_pages = ASH_MIN(n_pages, s->md_len - *at);
            return (uint32_t)ASH_MIN(n_pages, (uint64_t)n_max);
        }
        *at += n_pages;
    }
    return 0;
}

static int read_pages(struct load *l)
{
    struct lvs_store *s = l->s;
    struct chunk chunks[N_CHUNKS] = {0};
    uint32_t n_max = CHUNK_BYTES / s->md_page_bytes;
    uint64_t at = 0;
    bool more = true;
    int rc = 0;
    rt_step("read metadata region");
    while (rc == 0 && more) {
        unsigned n = 0;
        for (; n < N_CHUNKS; n++) {
            struct chunk *c = &chunks[n];
            c->n_pages = next_run(l, &at, n_max);
            more = c->n_pages > 0;
            if (!more)
                break;
            c->first = (uint32_t)at;
            at += c->n_pages;
            c->done = RT_EVENT_INIT;
            if (!c->buf)
                c->buf = rt_buf_get(CHUNK_BYTES);
            c->io = c->buf ? bdev_io_get(s->ch) : NULL;
            if (!c->io) {
                rc = -ENOMEM;
                break;
            }
            c->io->type = BDEV_READ;
            c->io->flags = 0;
            c->io->offset = lvs_page_offset(s, c->first);
            c->io->length = (uint64_t)c->n_pages * s->md_page_bytes;
            c->io->one_iov = (struct iovec){c->buf, c->io->length};
            c->io->iov = &c->io->one_iov;
            c->io->n_iov = 1;
            c->io->done = chunk_done;
            c->io->user = c;
            bdev_submit(c->io);
        }
        for (unsigned i = 0; i < n; i++) {
            int read_rc = rt_event_wait(&chunks[i].done);
            bdev_io_put(chunks[i].io);
            if (rc == 0)
                rc = keep_chunk(l, &chunks[i], read_rc);
        }
    }
    for (unsigned i = 0; i < N_CHUNKS; i++)
        rt_buf_put(chunks[i].buf, CHUNK_BYTES);
    return rc;
}

static int read_mask(struct load *l, uint8_t type, uint32_t start, uint32_t n_pages,
                     uint64_t n_bits, bool may_be_longer, struct ash_bitmap *ret, bool *ret_ok)
{
    struct lvs_store *s = l->s;
    size_t n_bytes = (size_t)n_pages * s->md_page_bytes;
    int rc = ash_bitmap_init(ret, n_bits);
    uint8_t *buf = rc ? NULL : rt_buf_get(n_bytes);
    if (!buf)
        return -ENOMEM;
    rc = bdev_read(s->ch, buf, (uint64_t)start * s->md_page_bytes, n_bytes);
    const struct lvs_mask_disk *mask = (const void *)buf;
    uint64_t n_found = rc ? 0 : ash_le32_get(mask->n_bits);
    *ret_ok =
        rc == 0 && mask->type == type && (n_found == n_bits || (may_be_longer && n_found > n_bits));
    if (*ret_ok)
        ash_bitmap_load(ret, mask->bits, n_bits);
    rt_buf_put(buf, n_bytes);
    return rc == -ENOMEM ? rc : 0;
}

/* Masks that do not fit are as good as none: the recovery path needs none (section 4). */
static int read_masks(struct load *l)
{
    struct lvs_store *s = l->s;
    const struct lvs_super_disk *d = &s->super;
    bool ok[3] = {false, false, false};
    if (!s->is_clean_on_disk || ash_le32_get(d->version) < 3 ||
        ash_le32_get(d->used_blobid_mask_len) == 0)
        return 0;
    int rc =
        read_mask(l, LVS_MASK_PAGES, ash_le32_get(d->used_page_mask_start),
                  ash_le32_get(d->used_page_mask_len), s->md_len, false, &l->mask_pages, &ok[0]);
    if (rc == 0)
        rc = read_mask(l, LVS_MASK_CLUSTERS, ash_le32_get(d->used_cluster_mask_start),
                       ash_le32_get(d->used_cluster_mask_len), s->n_clusters, true,
                       &l->mask_clusters, &ok[1]);
    if (rc == 0)
        rc = read_mask(l, LVS_MASK_BLOBIDS, ash_le32_get(d->used_blobid_mask_start),
                       ash_le32_get(d->used_blobid_mask_len), s->md_len, false, &l->mask_roots,
                       &ok[2]);
    l->has_masks = rc == 0 && ok[0] && ok[1] && ok[2];
    return rc;
}

/* A page by its index; one that the page mask had left out is fetched now. */
static const struct lvs_page_disk *get_page(void *ctx, uint32_t idx)
{
    struct load *l = ctx;
    if (idx >= l->s->md_len)
        return NULL;
    if (!l->pages[idx] && l->has_masks && !ash_bitmap_test(&l->mask_pages, idx)) {
        uint8_t *buf = rt_buf_get(l->s->md_page_bytes);
        if (buf && bdev_read(l->s->ch, buf, lvs_page_offset(l->s, idx), l->s->md_page_bytes) == 0)
            (void)keep_page(l, idx, buf);
        rt_buf_put(buf, l->s->md_page_bytes);
    }
    return l->pages[idx];
}

/* ---------------------------------------------------------------- building */

static bool cluster_in_range(const struct lvs_store *s, uint32_t cluster)
{
    return cluster >= s->md_clusters && cluster < s->n_clusters;
}

static int put_entry(struct load *l, struct lvs_volume *v, uint64_t idx, uint32_t cluster)
{
    if (!cluster_in_range(l->s, cluster)) {
        char why[160];
        snprintf(why, sizeof(why), "cluster %llu lies at %u, outside of the store",
                 (unsigned long long)idx, cluster);
        fault(v, why);
        return 0;
    }
    if (!lvs_map_window(&v->map, idx / LVS_EXTENTS_PER_PAGE))
        return -ENOMEM;
    lvs_map_set(&v->map, idx, cluster);
    return 0;
}

static int build_rle(struct load *l, struct lvs_volume *v, const struct lvs_decoded *d)
{
    uint64_t idx = 0;
    for (size_t r = 0; r < d->n_runs; r++) {
        uint32_t cluster = ash_le32_get(d->runs[r].cluster),
                 n = ash_le32_get(d->runs[r].n_clusters);
        if (!cluster && !lvs_is_thin(v))
            fault(v, "a thick volume has clusters that are not allocated");
        for (uint32_t i = 0; cluster && i < n; i++) {
            if (!cluster_in_range(l->s, cluster + i)) { /* the rest of a run lies outside as well */
                int rc = put_entry(l, v, idx + i, cluster + i);
                if (rc)
                    return rc;
                break;
            }
            int rc = put_entry(l, v, idx + i, cluster + i);
            if (rc)
                return rc;
        }
        idx += n;
    }
    return 0;
}

/* One extent page into the map. Lengths: 11.5. */
static int build_window(struct load *l, struct lvs_volume *v, const struct lvs_ext_ref *ref,
                        uint64_t *ret_cut)
{
    const struct lvs_page_disk *page = get_page(l, ref->page);
    const struct le32 *clusters;
    uint32_t n = 0;
    bool leftovers = false;
    if (!page || lvs_extents_decode(page, ref->window, &clusters, &n, &leftovers)) {
        char why[160];
        snprintf(why, sizeof(why), "extent page %u for clusters from %llu on is missing or damaged",
                 ref->page, (unsigned long long)ref->window * LVS_EXTENTS_PER_PAGE);
        fault(v, why);
        l->hidden_clusters = true;
        return 0;
    }
    struct lvs_window *win = lvs_map_window(&v->map, ref->window);
    if (!win)
        return -ENOMEM;
    win->page = ref->page;
    uint32_t n_expected = lvs_window_clusters(v->map.n_clusters, ref->window);
    for (uint32_t i = 0; i < ASH_MIN(n, n_expected); i++) {
        uint32_t cluster = ash_le32_get(clusters[i]);
        int rc = cluster ? put_entry(l, v, ref->window * LVS_EXTENTS_PER_PAGE + i, cluster) : 0;
        if (rc)
            return rc;
        if (!cluster && !lvs_is_thin(v))
            fault(v, "a thick volume has clusters that are not allocated");
    }
    if (n < n_expected && !lvs_is_thin(v))
        *ret_cut = ASH_MIN(*ret_cut, ref->window * LVS_EXTENTS_PER_PAGE + n);
    return n != n_expected || leftovers ? todo_window(l, v, ref->window) : 0;
}

/* A thick volume whose shrinking was cut: finish it. */
static int finish_shrink(struct load *l, struct lvs_volume *v, uint64_t n_clusters)
{
    for (uint64_t i = lvs_map_next(&v->map, n_clusters); i != UINT64_MAX;
         i = lvs_map_next(&v->map, i + 1))
        lvs_map_set(&v->map, i, 0);
    struct todo *t = todo_of(l, v);
    if (!t)
        return -ENOMEM;
    size_t n_kept = 0;
    for (size_t i = 0; i < t->n_windows; i++)
        if (t->windows[i] < lvs_n_windows(n_clusters))
            t->windows[n_kept++] = t->windows[i];
    t->n_windows = n_kept;
    t->rewrite = true;
    return lvs_map_resize(&v->map, n_clusters);
}

static int build_table(struct load *l, struct lvs_volume *v, const struct lvs_decoded *d)
{
    uint64_t cut = UINT64_MAX;
    for (size_t i = 0; i < d->n_refs; i++) {
        int rc = build_window(l, v, &d->refs[i], &cut);
        if (rc)
            return rc;
    }
    if (!lvs_is_thin(v) && d->n_refs != v->map.n_windows)
        fault(v, "a thick volume lacks extent pages");
    if (cut != UINT64_MAX && v->state != VOLUME_FAULTED)
        return finish_shrink(l, v, cut);
    return 0;
}

/* Attributes, flags and map of one root. What is damaged becomes a faulted volume that still shows
 * what could be read. */
static int build_volume(struct load *l, uint32_t root_idx)
{
    struct lvs_store *s = l->s;
    struct lvs_volume *v;
    struct lvs_decoded d;
    char why[160];
    int rc = lvs_volume_new(s, &v);
    if (rc)
        return rc;
    rc = lvs_chain_decode(get_page, l, root_idx, s->md_len, &d, why);
    if (rc == -ENOMEM)
        goto fail;
    v->root = d.root;
    d.root.user = d.root.internal = (struct lvs_xattrs){0};
    v->cont_pages = d.cont_pages;
    v->n_cont_pages = d.n_cont_pages;
    d.cont_pages = NULL;
    if (rc) {
        fault(v, why);
        l->hidden_clusters = true;
    }
    /* a chain that broke off may say less than it should, never more */
    rc = lvs_map_init(&v->map, d.n_clusters, d.has_rle || !d.has_table);
    v->root.map = &v->map;
    if (rc == 0)
        rc = d.has_rle ? build_rle(l, v, &d) : build_table(l, v, &d);
    if (rc)
        goto fail;
    lvs_decoded_free(&d);
    lvs_volume_link(v);
    return 0;
fail:
    lvs_decoded_free(&d);
    lvs_volume_free(v);
    return rc;
}

/* The super blob carries the label; it is not a volume. */
static int build_super_blob(struct load *l)
{
    struct lvs_store *s = l->s;
    struct lvs_decoded d;
    char why[160];
    int rc = lvs_chain_decode(get_page, l, l->super_page, s->md_len, &d, why);
    if (rc == 0) {
        const struct lvs_xattr *uuid = lvs_xattrs_find(&d.root.user, LVS_XATTR_UUID);
        const struct lvs_xattr *name = lvs_xattrs_find(&d.root.user, LVS_XATTR_NAME);
        if (uuid && name && uuid->n_value == LVS_UUID_BYTES &&
            ash_uuid_parse(lvs_xattr_value(uuid), &s->uuid) == 0 && name->n_value >= 2 &&
            name->n_value <= LVS_NAME_BYTES && *(const char *)lvs_xattr_value(name)) {
            snprintf(s->name, sizeof(s->name), "%s", (const char *)lvs_xattr_value(name));
            s->super_root = d.root;
            s->super_root.map = &s->super_map;
            d.root.user = d.root.internal = (struct lvs_xattrs){0};
            s->super_cont_pages = d.cont_pages;
            s->n_super_cont_pages = d.n_cont_pages;
            d.cont_pages = NULL;
            rc = lvs_map_init(&s->super_map, 0, d.has_rle);
            l->super_found = rc == 0;
        }
    }
    lvs_decoded_free(&d);
    return rc == -ENOMEM ? rc : 0;
}

static bool looks_like_root(const struct load *l, uint32_t idx)
{
    const struct lvs_page_disk *p = l->pages[idx];
    return p && ash_le64_get(p->id) == lvs_blob_id(idx) && ash_le32_get(p->sequence) == 0;
}

static int build_volumes(struct load *l)
{
    struct lvs_store *s = l->s;
    uint64_t super_id = ash_le64_get(s->super.super_blob);
    l->super_page = lvs_id_is_valid(super_id) && lvs_id_page(super_id) < s->md_len
                        ? lvs_id_page(super_id)
                        : LVS_INVALID_PAGE;
    int rc = l->super_page != LVS_INVALID_PAGE ? build_super_blob(l) : 0;
    for (uint32_t idx = 0; idx < s->md_len && rc == 0; idx++) {
        bool is_root = l->has_masks
                           ? ash_bitmap_test(&l->mask_roots, idx)
                           : looks_like_root(l, idx) || ash_bitmap_test(&l->bad_roots, idx);
        /* The super block names a page that holds a volume's root: nothing we know of makes that,
         * so the page is the volume's. */
        if (is_root && (idx != l->super_page || (!l->super_found && looks_like_root(l, idx))))
            rc = build_volume(l, idx);
    }
    return rc;
}

/* ---------------------------------------------------------------- relating */

/* An erased super blob leaves a root without label; it is no volume. */
static bool is_empty_super(const struct load *l, const struct lvs_volume *v)
{
    return !l->super_found && lvs_id_page(v->root.blob_id) == l->super_page &&
           v->map.n_clusters == 0 && !lvs_xattrs_find(&v->root.user, LVS_XATTR_NAME);
}

static void relate(struct load *l)
{
    ash_list_for_each_safe (i, &l->s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        if (is_empty_super(l, v)) {
            lvs_volume_unlink(v);
            lvs_volume_free(v);
        }
    }
    ash_list_for_each (i, &l->s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        uint64_t id;
        lvs_volume_identify(v);
        if (v->root.invalid_flags & LVS_INVALID_ESNAP) {
            const struct lvs_xattr *x = lvs_xattrs_find(&v->root.internal, LVS_XATTR_EXTSNAP);
            struct ash_uuid uuid;
            if (x && x->n_value == LVS_UUID_BYTES && ash_uuid_parse(lvs_xattr_value(x), &uuid) == 0)
                ash_uuid_format(&uuid, v->esnap_id);
            else
                fault(v, "the id of its external snapshot cannot be read");
        } else if (lvs_xattrs_get_id(&v->root.internal, LVS_XATTR_SNAP, &id)) {
            struct lvs_volume *parent = lvs_find_blob(l->s, id);
            if (parent && parent != v)
                lvs_set_parent_link(v, parent);
            else
                fault(v, "its parent snapshot is not there");
        }
    }
    /* No volume may be its own ancestor. */
    ash_list_for_each (i, &l->s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link), *slow = v, *fast = v;
        while (fast && fast->parent) {
            slow = slow->parent;
            fast = fast->parent->parent;
            if (slow == fast)
                break;
        }
        if (fast && fast->parent) {
            fault(v, "its parents form a ring");
            lvs_set_parent_link(v, NULL);
        }
    }
    ash_list_for_each (i, &l->s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        for (struct lvs_volume *p = v->parent; p && v->state != VOLUME_FAULTED; p = p->parent)
            if (p->state == VOLUME_FAULTED)
                fault(v, "one of its parents is faulted");
    }
}

/* --------------------------------------------------------------- resolving */

static bool common_cluster(const struct lvs_volume *a, const struct lvs_volume *b)
{
    for (uint64_t i = lvs_map_next(&a->map, 0); i != UINT64_MAX && i < b->map.n_clusters;
         i = lvs_map_next(&a->map, i + 1))
        if (lvs_map_get(&a->map, i) == lvs_map_get(&b->map, i))
            return true;
    return false;
}

/* Take a volume out; its root is erased later. Its clones go to its parent. */
static int drop_volume(struct load *l, struct lvs_volume *x)
{
    struct todo *t = todo_of(l, x);
    if (!t)
        return -ENOMEM;
    t->erase = true;
    lvs_set_parent_link(x, NULL);
    while (!ash_list_empty(&x->clones))
        lvs_set_parent_link(ash_list_entry(x->clones.next, struct lvs_volume, clone_link), NULL);
    lvs_volume_unlink(x);
    return 0;
}

/* A deletion of snapshot x that was cut after clone v got some of its clusters: go on to the end.
 */
static int finish_merge(struct load *l, struct lvs_volume *x, struct lvs_volume *v)
{
    for (uint64_t i = lvs_map_next(&x->map, 0); i != UINT64_MAX && i < v->map.n_clusters;
         i = lvs_map_next(&x->map, i + 1)) {
        if (lvs_map_get(&v->map, i))
            continue;
        if (!lvs_map_window(&v->map, i / LVS_EXTENTS_PER_PAGE))
            return -ENOMEM;
        lvs_map_set(&v->map, i, lvs_map_get(&x->map, i));
        int rc = v->map.rle ? todo_rewrite(l, v) : todo_window(l, v, i / LVS_EXTENTS_PER_PAGE);
        if (rc)
            return rc;
    }
    struct lvs_volume *above = x->parent;
    int rc = 0;
    lvs_xattrs_remove(&v->root.internal, LVS_XATTR_SNAP);
    if (above) {
        struct le64 id = ash_le64(above->root.blob_id);
        rc = lvs_xattrs_set(&v->root.internal, LVS_XATTR_SNAP, &id, sizeof(id));
    } else if (x->root.invalid_flags & LVS_INVALID_ESNAP) {
        const struct lvs_xattr *e = lvs_xattrs_find(&x->root.internal, LVS_XATTR_EXTSNAP);
        v->root.invalid_flags |= LVS_INVALID_ESNAP;
        memcpy(v->esnap_id, x->esnap_id, sizeof(v->esnap_id));
        rc =
            e ? lvs_xattrs_set(&v->root.internal, LVS_XATTR_EXTSNAP, lvs_xattr_value(e), e->n_value)
              : 0;
    }
    if (rc == 0)
        rc = todo_rewrite(l, v);
    if (rc == 0) {
        lvs_set_parent_link(v, above);
        rc = drop_volume(l, x);
    }
    return rc;
}

/* Others than v name x as their parent: then x is a whole snapshot, whatever its mark says of v,
 * which has gone on since (the mark could not be taken off in time). */
static bool has_other_clones(const struct lvs_volume *x, const struct lvs_volume *v)
{
    ash_list_for_each (i, &x->clones)
        if (ash_list_entry(i, struct lvs_volume, clone_link) != v)
            return true;
    return false;
}

static int keep_snapshot(struct load *l, struct lvs_volume *x)
{
    lvs_xattrs_remove(&x->root.internal, LVS_XATTR_SNAPTMP);
    lvs_xattrs_remove(&x->root.internal, LVS_XATTR_SNAPRM);
    x->root.data_ro_flags |= LVS_DATA_RO_READ_ONLY;
    return todo_rewrite(l, x);
}

static int resolve_removal(struct load *l, struct lvs_volume *x, struct lvs_volume *v)
{
    if (has_other_clones(x, v))
        return keep_snapshot(l, x);
    if (v->parent != x)
        return drop_volume(l, x); /* the clone has taken over: the deletion counts */
    if (common_cluster(x, v))
        return finish_merge(l, x, v);
    return keep_snapshot(l, x);
}

static int resolve_creation(struct load *l, struct lvs_volume *x, struct lvs_volume *v)
{
    if (v->parent != x && !has_other_clones(x, v))
        return drop_volume(l, x); /* the clusters it lists are v's */
    return keep_snapshot(l, x);
}

static int resolve(struct load *l)
{
    int rc = 0;
    ash_list_for_each_safe (i, &l->s->volumes) {
        struct lvs_volume *x = ash_list_entry(i, struct lvs_volume, link);
        uint64_t id;
        bool removal = lvs_xattrs_get_id(&x->root.internal, LVS_XATTR_SNAPRM, &id);
        if ((!removal && !lvs_xattrs_get_id(&x->root.internal, LVS_XATTR_SNAPTMP, &id)) ||
            x->state == VOLUME_FAULTED)
            continue;
        struct lvs_volume *v = lvs_find_blob(l->s, id);
        if (!v || v == x || v->state == VOLUME_FAULTED) {
            /* Who is to have the clusters cannot be told: keep what there is, change nothing. */
            x->is_crosslinked = true;
            if (v)
                v->is_crosslinked = true;
            snprintf(l->s->damage, sizeof(l->s->damage),
                     "half-done operation on volume '%s' cannot be resolved", x->name);
            continue;
        }
        rc = removal ? resolve_removal(l, x, v) : resolve_creation(l, x, v);
        if (rc)
            break;
    }
    return rc;
}

/* ---------------------------------------------------------------- claiming */

/* Everybody who has one of the clusters that were found twice. One walk over all maps, however many
 * there are. */
static void mark_crosslinked(struct load *l)
{
    struct lvs_store *s = l->s;
    uint32_t which = 0;
    const struct lvs_volume *first = NULL, *second = NULL;
    ash_list_for_each (i, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        for (uint64_t k = lvs_map_next(&v->map, 0); k != UINT64_MAX;
             k = lvs_map_next(&v->map, k + 1)) {
            uint32_t cluster = lvs_map_get(&v->map, k);
            if (!ash_bitmap_test(&l->twice, cluster))
                continue;
            v->is_crosslinked = true;
            if (!which) {
                which = cluster;
                first = v;
            } else if (cluster == which && !second) {
                second = v;
            }
        }
    }
    if (first && second && second != first)
        snprintf(s->damage, sizeof(s->damage),
                 "cross-linked: volumes '%.40s' and '%.40s' both own cluster %u", first->name,
                 second->name, which);
    else if (first && !s->damage[0])
        snprintf(s->damage, sizeof(s->damage), "cross-linked: volume '%.60s' has cluster %u twice",
                 first->name, which);
}

static void claim_page(struct load *l, struct lvs_volume *v, uint32_t page)
{
    if (ash_bitmap_set(&l->s->used_pages, page) && v) {
        v->is_crosslinked = true;
        if (!l->s->damage[0])
            snprintf(l->s->damage, sizeof(l->s->damage),
                     "metadata page %u of volume '%s' is used twice", page, v->name);
    }
}

static void claim(struct load *l)
{
    struct lvs_store *s = l->s;
    if (l->super_found) {
        claim_page(l, NULL, lvs_id_page(s->super_root.blob_id));
        for (uint32_t i = 0; i < s->n_super_cont_pages; i++)
            claim_page(l, NULL, s->super_cont_pages[i]);
    }
    ash_list_for_each (i, &s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        claim_page(l, v, lvs_id_page(v->root.blob_id));
        for (uint32_t k = 0; k < v->n_cont_pages; k++)
            claim_page(l, v, v->cont_pages[k]);
        for (uint64_t w = 0; w < v->map.n_windows; w++) {
            struct lvs_window *win = lvs_map_peek(&v->map, w);
            if (win && win->page)
                claim_page(l, v, win->page);
        }
        for (uint64_t k = lvs_map_next(&v->map, 0); k != UINT64_MAX;
             k = lvs_map_next(&v->map, k + 1))
            if (ash_bitmap_set(&s->used_clusters, lvs_map_get(&v->map, k)))
                ash_bitmap_set(&l->twice, lvs_map_get(&v->map, k));
        if (v->state == VOLUME_FAULTED && !s->damage[0])
            snprintf(s->damage, sizeof(s->damage), "volume '%.60s': %.80s", v->name, v->fault);
    }
    if (l->twice.n_set)
        mark_crosslinked(l);
    if (!l->hidden_clusters)
        return;
    if (l->has_masks) {
        for (uint64_t c = ash_bitmap_find_set(&l->mask_clusters, 0); c != ASH_BITMAP_NONE;
             c = ash_bitmap_find_set(&l->mask_clusters, c + 1))
            ash_bitmap_set(&s->used_clusters, c);
        for (uint64_t p = ash_bitmap_find_set(&l->mask_pages, 0); p != ASH_BITMAP_NONE;
             p = ash_bitmap_find_set(&l->mask_pages, p + 1))
            ash_bitmap_set(&s->used_pages, p);
    } else {
        s->no_allocation = true;
    }
}

/* --------------------------------------------------------------- repairing */

/* A label for a store that has lost its own: the same at every load until it is written. */
static int make_label(struct load *l)
{
    struct lvs_store *s = l->s;
    static const struct ash_uuid space = {{0x9b, 0x1d, 0x0c, 0x52, 0x7e, 0x3f, 0x4a, 0x61, 0x9c,
                                           0x05, 0x2a, 0x77, 0x10, 0x6e, 0xd4, 0x38}};
    char text[ASH_UUID_TEXT_BYTES];
    struct lvs_super_disk same = s->super;
    same.clean = ash_le32(0);
    same.crc = ash_le32(0);
    ash_uuid_v5(&space, &same, sizeof(same), &s->uuid);
    ash_uuid_format(&s->uuid, text);
    snprintf(s->name, sizeof(s->name), "recovered-%.8s", text);
    uint32_t page = l->super_page;
    if (page == LVS_INVALID_PAGE || ash_bitmap_set(&s->used_pages, page))
        page = lvs_page_take(s, 0);
    if (page == LVS_INVALID_PAGE)
        return -ENOMEM;
    s->super_root = (struct lvs_root){.blob_id = lvs_blob_id(page),
                                      .invalid_flags = LVS_INVALID_EXTENT_TABLE,
                                      .map = &s->super_map};
    int rc = lvs_map_init(&s->super_map, 0, false);
    if (rc == 0)
        rc = lvs_xattrs_set(&s->super_root.user, LVS_XATTR_UUID, text, LVS_UUID_BYTES);
    if (rc == 0)
        rc = lvs_xattrs_set(&s->super_root.user, LVS_XATTR_NAME, s->name, strlen(s->name) + 1);
    return rc;
}

static int write_label(struct lvs_store *s)
{
    bool uncertain;
    int rc = lvs_chain_write(s, &s->super_root, NULL, &s->super_cont_pages, &s->n_super_cont_pages,
                             &uncertain);
    if (rc == 0 && ash_le64_get(s->super.super_blob) != s->super_root.blob_id) {
        struct lvs_super_disk next = s->super;
        next.super_blob = ash_le64(s->super_root.blob_id);
        rc = lvs_super_write(s, &next);
    }
    return rc;
}

static int rewrite_volume(struct load *l, struct todo *t)
{
    struct lvs_volume *v = t->v;
    struct lvs_store *s = l->s;
    uint32_t *old = rt_alloc((t->n_windows + 1) * sizeof(*old));
    struct lvs_map map = v->map;
    struct lvs_root next = v->root;
    map.with_new = true;
    next.map = &map;
    int rc = old ? lvs_stage_windows(v, &map, t->windows, t->n_windows) : -ENOMEM;
    if (rc == 0) {
        rc = lvs_volume_commit(v, &next);
        size_t n_old = lvs_stage_end(v, &map, t->windows, t->n_windows, rc == 0, old);
        if (rc == 0)
            rc = lvs_pages_release(s, old, n_old);
    }
    rt_free(old);
    return rc;
}

static int erase_root(struct lvs_store *s, const struct lvs_volume *x)
{
    uint8_t *zeroes = rt_buf_get(s->md_page_bytes);
    if (!zeroes)
        return -ENOMEM;
    memset(zeroes, 0, s->md_page_bytes);
    struct lvs_write w = {lvs_page_offset(s, lvs_id_page(x->root.blob_id)), zeroes,
                          s->md_page_bytes};
    int rc = lvs_mark_dirty(s);
    if (rc == 0)
        rc = lvs_write_all(s, &w, 1);
    if (rc == 0)
        rc = lvs_flush(s);
    rt_buf_put(zeroes, s->md_page_bytes);
    return rc;
}

/* First what volumes gain, then the erasing of those that have lost; each step a settled state. The
 * pages of what is erased are still reserved while anything is written to fresh ones. */
static int write_repairs(struct load *l)
{
    struct lvs_store *s = l->s;
    int rc = 0;
    rt_mutex_lock(&s->md_lock);
    rt_step("write repairs");
    for (size_t i = 0; i < l->n_todos && rc == 0; i++) {
        struct todo *t = &l->todos[i];
        if (t->rewrite && !t->erase && !t->v->is_crosslinked && t->v->state != VOLUME_FAULTED)
            rc = rewrite_volume(l, t);
    }
    if (rc == 0 && !l->super_found)
        rc = write_label(s);
    for (size_t i = 0; i < l->n_todos && rc == 0; i++)
        if (l->todos[i].erase)
            rc = erase_root(s, l->todos[i].v);
    rt_mutex_unlock(&s->md_lock);
    return rc;
}

/* The pages of a volume that is to be erased must not be reused before it is. */
static void reserve_erased(struct load *l, bool reserve)
{
    for (size_t i = 0; i < l->n_todos; i++) {
        struct lvs_volume *x = l->todos[i].v;
        if (!l->todos[i].erase)
            continue;
        uint32_t root = lvs_id_page(x->root.blob_id);
        if (reserve)
            ash_bitmap_set(&l->s->used_pages, root);
        else
            ash_bitmap_clear(&l->s->used_pages, root);
    }
}

static void load_end(struct load *l)
{
    for (uint32_t i = 0; l->pages && i < l->s->md_len; i++)
        rt_free(l->pages[i]);
    rt_free(l->pages);
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

/* A store without volumes whose super blob is damaged is a pool; one whose super blob is erased, or
 * was never named, is the end of a destruction or the beginning of a creation. */
static bool has_lost_label(const struct load *l)
{
    struct lvs_store *s = l->s;
    bool lost = false;
    if (l->super_page == LVS_INVALID_PAGE)
        return false;
    uint8_t *buf = rt_buf_get(s->md_page_bytes);
    if (buf && bdev_read(s->ch, buf, lvs_page_offset(s, l->super_page), s->md_page_bytes) == 0)
        for (size_t i = 0; i < LVS_PAGE_BYTES; i++)
            lost |= buf[i] != 0;
    rt_buf_put(buf, s->md_page_bytes);
    return lost;
}

static int load_steps(struct load *l, struct ash_err *err)
{
    struct lvs_store *s = l->s;
    int rc = ash_bitmap_init(&s->used_clusters, s->n_clusters);
    if (rc == 0)
        rc = ash_bitmap_init(&s->used_pages, s->md_len);
    if (rc == 0)
        rc = ash_bitmap_init(&s->zero_clusters, s->n_clusters);
    if (rc == 0)
        rc = lvs_roots_init(s);
    if (rc == 0)
        rc = ash_bitmap_init(&l->bad_roots, s->md_len);
    if (rc == 0)
        rc = ash_bitmap_init(&l->twice, s->n_clusters);
    if (rc == 0)
        rc = (l->pages = rt_alloc((size_t)s->md_len * sizeof(*l->pages))) ? 0 : -ENOMEM;
    for (uint32_t c = 0; c < s->md_clusters && rc == 0; c++)
        ash_bitmap_set(&s->used_clusters, c);
    /* What a process before us wrote or unmapped without a flush counts from here on. */
    if (rc == 0 && !s->read_only && !s->is_clean_on_disk)
        rc = lvs_flush(s);
    if (rc == 0)
        rc = read_masks(l);
    if (rc == 0)
        rc = read_pages(l);
    if (rc == 0)
        rc = build_volumes(l);
    if (rc == 0) {
        relate(l);
        if (!l->super_found && ash_list_empty(&s->volumes) && !has_lost_label(l))
            return ash_err_set(err, ASH_E_POOL_NO_SUPER_BLOB, s->base_name,
                               "store on '%s' has neither label nor volumes", s->base_name);
        rc = resolve(l);
    }
    if (rc == 0) {
        claim(l);
        if (!l->super_found)
            rc = make_label(l);
    }
    if (rc == 0 && !s->read_only) {
        reserve_erased(l, true);
        rc = write_repairs(l);
        reserve_erased(l, false);
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
