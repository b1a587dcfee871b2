/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store: volumes from their chains, then who is whose parent
 * (docs/spec/blobstore-format.md 11.2 - 11.5). Strict; damage faults one volume and never stops the
 * others. */
#include <errno.h>
#include <stdio.h>

#include "pool/lvs/load.h"

void load_fault(struct lvs_volume *v, const char *why)
{
    if (v->state == VOLUME_FAULTED)
        return;
    v->state = VOLUME_FAULTED;
    snprintf(v->fault, sizeof(v->fault), "%s", why);
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
        load_fault(v, why);
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
            load_fault(v, "a thick volume has clusters that are not allocated");
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
    const struct lvs_page_disk *page = load_get_page(l, ref->page);
    const struct le32 *clusters;
    uint32_t n = 0;
    bool leftovers = false;
    if (!page || lvs_extents_decode(page, ref->window, &clusters, &n, &leftovers)) {
        char why[160];
        snprintf(why, sizeof(why), "extent page %u for clusters from %llu on is missing or damaged",
                 ref->page, (unsigned long long)ref->window * LVS_EXTENTS_PER_PAGE);
        load_fault(v, why);
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
            load_fault(v, "a thick volume has clusters that are not allocated");
    }
    if (n < n_expected && !lvs_is_thin(v))
        *ret_cut = ASH_MIN(*ret_cut, ref->window * LVS_EXTENTS_PER_PAGE + n);
    return n != n_expected || leftovers ? load_todo_window(l, v, ref->window) : 0;
}

/* A thick volume whose shrinking was cut: finish it. */
static int finish_shrink(struct load *l, struct lvs_volume *v, uint64_t n_clusters)
{
    for (uint64_t i = lvs_map_next(&v->map, n_clusters); i != UINT64_MAX;
         i = lvs_map_next(&v->map, i + 1))
        lvs_map_set(&v->map, i, 0);
    struct load_todo *t = load_todo_of(l, v);
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
        load_fault(v, "a thick volume lacks extent pages");
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
    rc = lvs_chain_decode(load_get_page, l, root_idx, s->md_len, &d, why);
    if (rc == -ENOMEM)
        goto fail;
    v->root = d.root;
    d.root.user = d.root.internal = (struct lvs_xattrs){0};
    v->cont_pages = d.cont_pages;
    v->n_cont_pages = d.n_cont_pages;
    d.cont_pages = NULL;
    if (rc) {
        load_fault(v, why);
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
    int rc = lvs_chain_decode(load_get_page, l, l->super_page, s->md_len, &d, why);
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

/* Pages that may be roots, in order. Each of the two bitmaps is walked once: of millions of pages
 * most are not even looked at. */
struct candidates {
    uint64_t kept, bad; /* the next of each, ASH_BITMAP_NONE behind the last */
};

/* The next page >= from that may be a root; ASH_BITMAP_NONE (the largest number): no more. */
static uint64_t next_candidate(const struct load *l, struct candidates *c, uint64_t from)
{
    if (l->has_masks)
        return ash_bitmap_find_set(&l->mask_roots, from);
    if (c->kept < from)
        c->kept = ash_bitmap_find_set(&l->kept, from);
    if (c->bad < from)
        c->bad = ash_bitmap_find_set(&l->bad_roots, from);
    return ASH_MIN(c->kept, c->bad);
}

int load_build_volumes(struct load *l)
{
    struct lvs_store *s = l->s;
    uint64_t super_id = ash_le64_get(s->super.super_blob);
    l->super_page = lvs_id_is_valid(super_id) && lvs_id_page(super_id) < s->md_len
                        ? lvs_id_page(super_id)
                        : LVS_INVALID_PAGE;
    int rc = l->super_page != LVS_INVALID_PAGE ? build_super_blob(l) : 0;
    struct candidates next = {
        .kept = ash_bitmap_find_set(&l->kept, 0),
        .bad = ash_bitmap_find_set(&l->bad_roots, 0),
    };
    for (uint64_t at = next_candidate(l, &next, 0); at != ASH_BITMAP_NONE && rc == 0;
         at = next_candidate(l, &next, at + 1)) {
        uint32_t idx = (uint32_t)at;
        bool is_root =
            l->has_masks || looks_like_root(l, idx) || ash_bitmap_test(&l->bad_roots, idx);
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

/* A snapshot that was being taken and never counted: the volume it is of has no need of it, and
 * load_resolve drops it. Taking it had failed and its root could not be erased; its parent may have
 * been deleted since. */
static bool is_uncommitted(const struct load *l, const struct lvs_volume *x)
{
    uint64_t id;
    if (!lvs_xattrs_get_id(&x->root.internal, LVS_XATTR_SNAPTMP, &id) ||
        !ash_list_empty(&x->clones))
        return false;
    const struct lvs_volume *v = lvs_find_blob(l->s, id);
    return v && v != x && v->parent != x && v->state != VOLUME_FAULTED;
}

void load_relate(struct load *l)
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
                load_fault(v, "the id of its external snapshot cannot be read");
        } else if (lvs_xattrs_get_id(&v->root.internal, LVS_XATTR_SNAP, &id)) {
            struct lvs_volume *parent = lvs_find_blob(l->s, id);
            if (parent && parent != v)
                lvs_set_parent_link(v, parent);
            else if (lvs_xattrs_find(&v->root.internal, LVS_XATTR_SNAPTMP))
                v->is_orphan = true;
            else
                load_fault(v, "its parent snapshot is not there");
        }
    }
    ash_list_for_each (i, &l->s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        if (v->is_orphan && !is_uncommitted(l, v))
            load_fault(v, "its parent snapshot is not there");
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
            load_fault(v, "its parents form a ring");
            lvs_set_parent_link(v, NULL);
        }
    }
    ash_list_for_each (i, &l->s->volumes) {
        struct lvs_volume *v = ash_list_entry(i, struct lvs_volume, link);
        for (struct lvs_volume *p = v->parent; p && v->state != VOLUME_FAULTED; p = p->parent)
            if (p->state == VOLUME_FAULTED)
                load_fault(v, "one of its parents is faulted");
    }
}
