/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store: what building and resolving changed goes to the disk, each step a settled state,
 * in an order that any power cut survives. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pool/lvs/load.h"

struct load_todo *load_todo_of(struct load *l, struct lvs_volume *v)
{
    for (size_t i = l->n_todos; i-- > 0;)
        if (l->todos[i].v == v)
            return &l->todos[i];
    struct load_todo *t = l->todos;
    if (l->n_todos == l->todos_room) {
        size_t room = l->todos_room ? 2 * l->todos_room : 16;
        t = rt_realloc(l->todos, l->n_todos * sizeof(*t), room * sizeof(*t));
        if (!t)
            return NULL;
        l->todos = t;
        l->todos_room = room;
    }
    t += l->n_todos++;
    *t = (struct load_todo){.v = v};
    return t;
}

int load_todo_rewrite(struct load *l, struct lvs_volume *v)
{
    struct load_todo *t = load_todo_of(l, v);
    if (t)
        t->rewrite = true;
    return t ? 0 : -ENOMEM;
}

int load_todo_window(struct load *l, struct lvs_volume *v, uint64_t window)
{
    struct load_todo *t = load_todo_of(l, v);
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

/* A store without volumes whose super blob is damaged is a pool; one whose super blob is erased, or
 * was never named, is the end of a destruction or the beginning of a creation. */
bool load_has_lost_label(const struct load *l)
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

/* --------------------------------------------------------------- repairing */

/* A label for a store that has lost its own: the same at every load until it is written. */
int load_make_label(struct load *l)
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

static int rewrite_volume(struct load *l, struct load_todo *t)
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
int load_write_repairs(struct load *l)
{
    struct lvs_store *s = l->s;
    int rc = 0;
    rt_mutex_lock(&s->md_lock);
    rt_step("write repairs");
    for (size_t i = 0; i < l->n_todos && rc == 0; i++) {
        struct load_todo *t = &l->todos[i];
        if (t->rewrite && !t->erase && !t->v->must_stay && t->v->state != VOLUME_FAULTED)
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
void load_reserve_erased(struct load *l, bool reserve)
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
