/* SPDX-License-Identifier: Apache-2.0 */
/* From a text to a VG (docs/spec/lvm2-format.md 11 to 13). Two passes over the LVs: names first,
 * then segments, because references go both ways. Every fault is an error that names the section.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "pool/lvm/vg.h"

enum { AREAS_MAX = 128 };

struct importer {
    struct lvm_vg *vg;
    const char *what;
    struct ash_err *err;
    char where[192]; /* "vg0/logical_volumes/a/segment1", for messages */
};

/* ----------------------------------------------------- reading of values */

static int bad(struct importer *im, enum ash_reason reason, const char *key, const char *why)
{
    return ash_err_set(im->err, reason, im->what, "%s: %s: '%s' %s", im->what, im->where, key, why);
}

static int no_memory(struct importer *im)
{
    return ash_err_set(im->err, ASH_E_NO_MEMORY, im->what, "%s: no memory to read it", im->what);
}

static int get_u64(struct importer *im, const struct lvm_cfg *s, const char *key, bool required,
                   uint64_t max, uint64_t *ret_n)
{
    uint64_t n;
    if (!lvm_cfg_find(s, key))
        return required ? bad(im, ASH_E_LVM_TEXT_MISSING, key, "is missing") : 0;
    if (!lvm_cfg_u64(s, key, &n) || n > max)
        return bad(im, ASH_E_LVM_TEXT_VALUE, key, "is no number in its range");
    *ret_n = n;
    return 0;
}

static int get_u32(struct importer *im, const struct lvm_cfg *s, const char *key, bool required,
                   uint32_t *ret_n)
{
    uint64_t n = *ret_n;
    int rc = get_u64(im, s, key, required, UINT32_MAX, &n);
    *ret_n = (uint32_t)n;
    return rc;
}

static int get_str(struct importer *im, const struct lvm_cfg *s, const char *key, bool required,
                   const char **ret_text)
{
    if (!lvm_cfg_find(s, key))
        return required ? bad(im, ASH_E_LVM_TEXT_MISSING, key, "is missing") : 0;
    if (!lvm_cfg_str(s, key, ret_text))
        return bad(im, ASH_E_LVM_TEXT_VALUE, key, "is no text");
    return 0;
}

static int get_id(struct importer *im, const struct lvm_cfg *s, struct lvm_id *ret_id)
{
    const char *text = NULL;
    int rc = get_str(im, s, "id", true, &text);
    if (rc)
        return rc;
    return lvm_id_parse(text, ret_id) ? 0 : bad(im, ASH_E_LVM_TEXT_VALUE, "id", "is no valid UUID");
}

/* A list of texts; a single text is a list of one. */
static int get_list(struct importer *im, const struct lvm_cfg *s, const char *key,
                    struct lvm_str **ret_list)
{
    const struct lvm_cfg *node = lvm_cfg_find(s, key);
    struct lvm_str **tail = ret_list;
    if (node && node->is_section)
        return bad(im, ASH_E_LVM_TEXT_VALUE, key, "is no list of texts");
    for (const struct lvm_cfg_value *v = node ? node->values : NULL; v; v = v->next) {
        if (v->kind != LVM_CFG_STRING)
            return bad(im, ASH_E_LVM_TEXT_VALUE, key, "is no list of texts");
        struct lvm_str *item = (struct lvm_str *)lvm_arena_get(&im->vg->arena, sizeof(*item));
        if (!item)
            return no_memory(im);
        item->text = v->text;
        *tail = item;
        tail = &item->next;
    }
    return 0;
}

/* `status` and `flags`: unknown words are an error in the first and kept from the second. */
static int get_words(struct importer *im, const struct lvm_cfg *s, const struct lvm_word *words,
                     bool status_required, uint32_t *ret_flags, struct lvm_str **ret_more)
{
    static const char *const keys[] = {"status", "flags"};
    if (status_required && !lvm_cfg_find(s, "status"))
        return bad(im, ASH_E_LVM_TEXT_MISSING, "status", "is missing");
    for (size_t k = 0; k < ASH_N_ELEMS(keys); k++) {
        struct lvm_str *list = NULL, **more = ret_more;
        int rc = get_list(im, s, keys[k], &list);
        if (rc)
            return rc;
        for (struct lvm_str *item = list, *next; item; item = next) {
            const struct lvm_word *w = words;
            next = item->next;
            while (w->name && strcmp(w->name, item->text) != 0)
                w++;
            if (w->name) {
                *ret_flags |= w->flag;
            } else if (k == 0) {
                return bad(im, ASH_E_LVM_TEXT_STATUS, item->text, "is an unknown status");
            } else {
                item->next = NULL;
                *more = item;
                more = &item->next;
            }
        }
    }
    /* 12: WRITE in a form that very old versions take for read-only. */
    if (*ret_flags & LVM_WRITE_LOCKED)
        *ret_flags = (*ret_flags & ~LVM_WRITE_LOCKED) | LVM_WRITE;
    *ret_flags &= ~LVM_PARTIAL_OLD;
    return 0;
}

static int get_alloc(struct importer *im, const struct lvm_cfg *s, enum lvm_alloc *ret_alloc)
{
    const char *name = NULL;
    int rc = get_str(im, s, "allocation_policy", false, &name);
    if (rc == 0 && name && !lvm_alloc_parse(name, ret_alloc))
        rc = bad(im, ASH_E_LVM_TEXT_VALUE, "allocation_policy", "is no policy");
    return rc;
}

/* -------------------------------------------------------- physical volumes */

static int read_pv(struct importer *im, const struct lvm_cfg *s)
{
    struct lvm_vg *vg = im->vg;
    struct lvm_pv *pv = (struct lvm_pv *)lvm_arena_get(&vg->arena, sizeof(*pv));
    if (!pv)
        return no_memory(im);
    pv->vg = vg;
    pv->idx = vg->n_pvs;
    snprintf(im->where, sizeof(im->where), "%.60s/physical_volumes/%.60s", vg->name, s->key);
    int rc = get_id(im, s, &pv->id);
    if (rc == 0 && lvm_pv_find(vg, &pv->id))
        rc = bad(im, ASH_E_LVM_TEXT_VALUE, "id", "is the UUID of another PV too");
    if (rc == 0)
        rc = get_str(im, s, "device", false, &pv->device);
    if (rc == 0)
        rc = get_str(im, s, "device_id_type", false, &pv->device_id_type);
    if (rc == 0)
        rc = get_str(im, s, "device_id", false, &pv->device_id);
    if (rc == 0)
        rc = get_words(im, s, lvm_pv_words, true, &pv->flags, &pv->more_flags);
    if (rc == 0)
        rc = get_list(im, s, "tags", &pv->tags);
    if (rc == 0)
        rc = get_u64(im, s, "dev_size", false, UINT64_MAX >> 10, &pv->dev_size_sectors);
    if (rc == 0)
        rc = get_u64(im, s, "pe_start", true, UINT64_MAX >> 10, &pv->pe_start_sectors);
    if (rc == 0)
        rc = get_u32(im, s, "pe_count", true, &pv->pe_count);
    if (rc == 0)
        rc = get_u64(im, s, "ba_start", false, UINT64_MAX >> 10, &pv->boot_start_sectors);
    if (rc == 0)
        rc = get_u64(im, s, "ba_size", false, UINT64_MAX >> 10, &pv->boot_sectors);
    if (rc)
        return rc;
    pv->has_dev_size = lvm_cfg_find(s, "dev_size") != NULL;
    ash_list_push_tail(&vg->pvs, &pv->link);
    vg->n_pvs++;
    return 0;
}

/* The PV that a segment calls "pvN": by the section's name, whatever number it has. */
static struct lvm_pv *pv_named(struct importer *im, const struct lvm_cfg *pvs, const char *name)
{
    const struct lvm_cfg *s = pvs->child;
    ash_list_for_each (l, &im->vg->pvs) {
        while (s && !s->is_section)
            s = s->next;
        if (!s)
            return NULL;
        if (strcmp(s->key, name) == 0)
            return lvm_pv_of(l);
        s = s->next;
    }
    return NULL;
}

/* ---------------------------------------------------------------- segments */

static int need_lv(struct importer *im, const char *key, const char *name, struct lvm_lv **ret_lv)
{
    *ret_lv = lvm_lv_find(im->vg, name);
    return *ret_lv ? 0 : bad(im, ASH_E_LVM_AREA, key, "names an LV that does not exist");
}

static int new_areas(struct importer *im, struct lvm_seg *seg, bool with_metas)
{
    if (seg->n_areas == 0 || seg->n_areas > AREAS_MAX)
        return bad(im, ASH_E_LVM_TEXT_VALUE, "count of areas", "is not in 1..128");
    seg->areas =
        (struct lvm_area *)lvm_arena_get(&im->vg->arena, seg->n_areas * sizeof(*seg->areas));
    if (with_metas)
        seg->metas =
            (struct lvm_area *)lvm_arena_get(&im->vg->arena, seg->n_areas * sizeof(*seg->metas));
    return seg->areas && (!with_metas || seg->metas) ? 0 : no_memory(im);
}

/* "pv0", 12, "lv", 0 ... */
static int read_areas(struct importer *im, const struct lvm_cfg *node, const struct lvm_cfg *pvs,
                      struct lvm_seg *seg)
{
    const struct lvm_cfg_value *v = node->values;
    int rc = new_areas(im, seg, false);
    for (uint32_t i = 0; i < seg->n_areas && rc == 0; i++) {
        struct lvm_area *a = &seg->areas[i];
        const struct lvm_cfg_value *at = v ? v->next : NULL;
        if (!at || v->kind != LVM_CFG_STRING || at->kind != LVM_CFG_INT || at->n < 0 ||
            at->n > UINT32_MAX)
            return bad(im, ASH_E_LVM_AREA, node->key, "is no list of name and extent");
        a->extent = (uint32_t)at->n;
        a->pv = pv_named(im, pvs, v->text);
        a->kind = a->pv ? LVM_AREA_PV : LVM_AREA_LV;
        if (!a->pv)
            rc = need_lv(im, v->text, v->text, &a->lv);
        v = at->next;
    }
    if (rc == 0 && v)
        rc = bad(im, ASH_E_LVM_AREA, node->key, "has more areas than it says");
    return rc;
}

/* Pairs of metadata and image; a name with "_rmeta_" is the metadata, which may be left out. */
static int read_raids(struct importer *im, const struct lvm_cfg *node, struct lvm_seg *seg,
                      bool with_metas)
{
    const struct lvm_cfg_value *v = node->values;
    int rc = new_areas(im, seg, with_metas);
    for (uint32_t i = 0; i < seg->n_areas && rc == 0; i++) {
        struct lvm_area *a = &seg->areas[i];
        if (with_metas && v && v->kind == LVM_CFG_STRING && strstr(v->text, "_rmeta_")) {
            struct lvm_area *m = &seg->metas[i];
            m->kind = LVM_AREA_LV;
            rc = need_lv(im, node->key, v->text, &m->lv);
            v = v->next;
        }
        if (rc == 0 && (!v || v->kind != LVM_CFG_STRING))
            return bad(im, ASH_E_LVM_AREA, node->key, "names fewer LVs than it should");
        if (rc == 0) {
            a->kind = LVM_AREA_LV;
            rc = need_lv(im, node->key, v->text, &a->lv);
            v = v->next;
        }
    }
    if (rc == 0 && v)
        rc = bad(im, ASH_E_LVM_AREA, node->key, "names more LVs than it should");
    return rc;
}

/* message1 { create = "lv" }, message2 { delete = 7 } ... */
static int read_messages(struct importer *im, const struct lvm_cfg *s, struct lvm_seg *seg)
{
    struct lvm_message **tail = &seg->messages;
    for (const struct lvm_cfg *c = s->child; c; c = c->next) {
        const char *name;
        uint64_t id;
        if (!c->is_section || strncmp(c->key, "message", 7) != 0)
            continue;
        struct lvm_message *m = (struct lvm_message *)lvm_arena_get(&im->vg->arena, sizeof(*m));
        if (!m)
            return no_memory(im);
        if (lvm_cfg_str(c, "create", &name)) {
            int rc = need_lv(im, c->key, name, &m->create);
            if (rc)
                return rc;
        } else if (lvm_cfg_u64(c, "delete", &id) && id < 1u << 24) {
            m->is_delete = true;
            m->delete_id = (uint32_t)id;
        } else {
            return bad(im, ASH_E_LVM_TEXT_VALUE, c->key, "is no message to a thin pool");
        }
        *tail = m;
        tail = &m->next;
    }
    return 0;
}

static int read_key(struct importer *im, const struct lvm_cfg *s, const struct lvm_cfg *pvs,
                    const struct lvm_key *key, struct lvm_val *val, struct lvm_seg *seg)
{
    const struct lvm_cfg *node = lvm_cfg_find(s, key->name);
    int rc = 0;
    if (key->kind == LVM_K_MSGS)
        return read_messages(im, s, seg);
    if (!node)
        return key->flags & LVM_K_REQUIRED
                   ? bad(im, ASH_E_LVM_TEXT_MISSING, key->name, "is missing")
                   : 0;
    switch (key->kind) {
    case LVM_K_COUNT:
        rc = get_u32(im, s, key->name, true, &seg->n_areas);
        break;
    case LVM_K_U64:
    case LVM_K_SIZE:
        rc = get_u64(im, s, key->name, true, INT64_MAX, &val->n);
        break;
    case LVM_K_STR:
        rc = get_str(im, s, key->name, true, &val->text);
        break;
    case LVM_K_LV:
        rc = get_str(im, s, key->name, true, &val->text);
        if (rc == 0)
            rc = need_lv(im, key->name, val->text, &val->lv);
        break;
    case LVM_K_SECT:
        val->section = node;
        if (!node->is_section)
            rc = bad(im, ASH_E_LVM_TEXT_VALUE, key->name, "is no section");
        break;
    case LVM_K_AREAS:
        rc = read_areas(im, node, pvs, seg);
        break;
    case LVM_K_RAIDS:
    case LVM_K_IMAGES:
        rc = read_raids(im, node, seg, key->kind == LVM_K_RAIDS);
        break;
    default:
        break;
    }
    val->is_set = rc == 0;
    return rc;
}

static int read_segment(struct importer *im, const struct lvm_cfg *s, const struct lvm_cfg *pvs,
                        struct lvm_lv *lv)
{
    struct lvm_seg *seg = (struct lvm_seg *)lvm_arena_get(&im->vg->arena, sizeof(*seg));
    size_t n_keys = 0;
    snprintf(im->where, sizeof(im->where), "%.60s/logical_volumes/%.60s/%.40s", im->vg->name,
             lv->name, s->key);
    if (!seg)
        return no_memory(im);
    seg->lv = lv;
    seg->n_areas = 0;
    int rc = get_u32(im, s, "start_extent", true, &seg->start);
    if (rc == 0)
        rc = get_u32(im, s, "extent_count", true, &seg->len);
    if (rc == 0)
        rc = get_str(im, s, "type", true, &seg->type_text);
    if (rc == 0)
        rc = get_u32(im, s, "reshape_count", false, &seg->reshape_count);
    if (rc == 0)
        rc = get_list(im, s, "tags", &seg->tags);
    if (rc)
        return rc;
    seg->has_reshape_count = lvm_cfg_find(s, "reshape_count") != NULL;
    seg->type = lvm_segtype_find(seg->type_text);
    if (seg->type == &lvm_segtypes[0] && strncmp(seg->type_text, "linear", 6) == 0)
        seg->type_text = "striped";
    if (seg->type->cls == LVM_SEG_UNKNOWN)
        seg->cfg = s;
    while (seg->type->keys[n_keys].name)
        n_keys++;
    seg->vals = (struct lvm_val *)lvm_arena_get(&im->vg->arena, (n_keys + 1) * sizeof(*seg->vals));
    if (!seg->vals)
        return no_memory(im);
    if (n_keys && seg->type->keys[0].kind == LVM_K_COUNT)
        seg->n_areas = 1;
    for (size_t i = 0; i < n_keys && rc == 0; i++)
        rc = read_key(im, s, pvs, &seg->type->keys[i], &seg->vals[i], seg);
    if (rc)
        return rc;
    if (seg->type->cls == LVM_SEG_STRIPED && seg->n_areas > 1 &&
        (seg->len % seg->n_areas || lvm_seg_u64(seg, "stripe_size", 0) == 0))
        return bad(im, ASH_E_LVM_SEGMENTS, s->key,
                   "has no stripe size, or extents that are no multiple of its stripes");
    /* In order of their begin, whatever order they were written in. */
    struct ash_list *pos = lv->segs.prev;
    while (pos != &lv->segs && lvm_seg_of(pos)->start > seg->start)
        pos = pos->prev;
    ash_list_insert_before(pos->next, &seg->link);
    return 0;
}

/* --------------------------------------------------------- logical volumes */

static int read_read_ahead(struct importer *im, const struct lvm_cfg *s, struct lvm_lv *lv)
{
    const struct lvm_cfg *node = lvm_cfg_find(s, "read_ahead");
    if (!node)
        return 0;
    if (!node->values || node->values->next || node->values->kind != LVM_CFG_INT ||
        node->values->n < -1 || node->values->n > UINT32_MAX)
        return bad(im, ASH_E_LVM_TEXT_VALUE, "read_ahead", "is no number in its range");
    lv->has_read_ahead = node->values->n != 0;
    lv->read_ahead_sectors = node->values->n;
    return 0;
}

static int read_lv(struct importer *im, const struct lvm_cfg *s)
{
    struct lvm_vg *vg = im->vg;
    struct lvm_lv *lv = (struct lvm_lv *)lvm_arena_get(&vg->arena, sizeof(*lv));
    uint32_t major = UINT32_MAX, minor = UINT32_MAX;
    snprintf(im->where, sizeof(im->where), "%.60s/logical_volumes/%.60s", vg->name, s->key);
    if (!lv)
        return no_memory(im);
    ash_list_init(&lv->segs);
    lv->vg = vg;
    lv->name = s->key;
    if (!lvm_name_valid(lv->name))
        return bad(im, ASH_E_LVM_NAME, s->key, "is no name of an LV");
    int rc = get_id(im, s, &lv->id);
    if (rc == 0)
        rc = get_words(im, s, lvm_lv_words, true, &lv->flags, &lv->more_flags);
    if (rc == 0)
        rc = get_list(im, s, "tags", &lv->tags);
    if (rc == 0)
        rc = get_u64(im, s, "creation_time", false, INT64_MAX, &lv->creation_time);
    if (rc == 0)
        rc = get_str(im, s, "creation_host", false, &lv->creation_host);
    if (rc == 0)
        rc = get_str(im, s, "lock_args", false, &lv->lock_args);
    if (rc == 0)
        rc = get_alloc(im, s, &lv->alloc);
    if (rc == 0)
        rc = get_str(im, s, "profile", false, &lv->profile);
    if (rc == 0)
        rc = read_read_ahead(im, s, lv);
    if (rc == 0)
        rc = get_u32(im, s, "major", false, &major);
    if (rc == 0)
        rc = get_u32(im, s, "minor", false, &minor);
    if (rc)
        return rc;
    lv->has_time = lvm_cfg_find(s, "creation_time") != NULL;
    lv->major = (int32_t)major;
    lv->minor = (int32_t)minor;
    if (ash_htab_insert(&vg->lv_names, &lv->by_name, lv->name))
        return bad(im, ASH_E_LVM_NAME, s->key, "is the name of two LVs");
    ash_list_push_tail(&vg->lvs, &lv->link);
    vg->n_lvs++;
    return 0;
}

static int read_lv_segments(struct importer *im, const struct lvm_cfg *s, const struct lvm_cfg *pvs,
                            struct lvm_lv *lv)
{
    uint32_t n_said = 0, n = 0;
    snprintf(im->where, sizeof(im->where), "%.60s/logical_volumes/%.60s", im->vg->name, lv->name);
    int rc = get_u32(im, s, "segment_count", true, &n_said);
    for (const struct lvm_cfg *c = s->child; c && rc == 0; c = c->next)
        if (c->is_section) {
            n++;
            rc = read_segment(im, c, pvs, lv);
        }
    if (rc == 0 && n != n_said) {
        snprintf(im->where, sizeof(im->where), "%.60s/logical_volumes/%.60s", im->vg->name,
                 lv->name);
        rc = bad(im, ASH_E_LVM_SEGMENTS, "segment_count", "is not the number of its segments");
    }
    return rc;
}

/* ------------------------------------------------------------------ the VG */

static int read_vg(struct importer *im, const struct lvm_cfg *s)
{
    struct lvm_vg *vg = im->vg;
    vg->name = s->key;
    vg->alloc = LVM_ALLOC_NORMAL;
    snprintf(im->where, sizeof(im->where), "%.100s", s->key);
    if (!lvm_name_valid(vg->name))
        return bad(im, ASH_E_LVM_NAME, s->key, "is no name of a VG");
    int rc = get_id(im, s, &vg->id);
    if (rc == 0)
        rc = get_u32(im, s, "seqno", true, &vg->seqno);
    if (rc == 0)
        rc = get_words(im, s, lvm_vg_words, true, &vg->flags, &vg->more_flags);
    if (rc == 0)
        rc = get_list(im, s, "tags", &vg->tags);
    if (rc == 0)
        rc = get_str(im, s, "system_id", false, &vg->system_id);
    if (rc == 0)
        rc = get_str(im, s, "lock_type", false, &vg->lock_type);
    if (rc == 0)
        rc = get_str(im, s, "lock_args", false, &vg->lock_args);
    if (rc == 0)
        rc = get_list(im, s, "pr", &vg->pr);
    if (rc == 0)
        rc = get_u32(im, s, "extent_size", true, &vg->extent_sectors);
    if (rc == 0 && vg->extent_sectors == 0)
        rc = bad(im, ASH_E_LVM_TEXT_VALUE, "extent_size", "is 0");
    if (rc == 0)
        rc = get_u32(im, s, "max_lv", true, &vg->max_lv);
    if (rc == 0)
        rc = get_u32(im, s, "max_pv", true, &vg->max_pv);
    if (rc == 0)
        rc = get_alloc(im, s, &vg->alloc);
    if (rc == 0)
        rc = get_str(im, s, "profile", false, &vg->profile);
    if (rc == 0)
        rc = get_u32(im, s, "metadata_copies", false, &vg->metadata_copies);
    return rc;
}

static int read_sections(struct importer *im, const struct lvm_cfg *s)
{
    const struct lvm_cfg *pvs = lvm_cfg_find(s, "physical_volumes");
    const struct lvm_cfg *lvs = lvm_cfg_find(s, "logical_volumes");
    int rc = 0;
    if (!pvs || !pvs->is_section)
        return bad(im, ASH_E_LVM_TEXT_MISSING, "physical_volumes", "is missing");
    for (const struct lvm_cfg *c = pvs->child; c && rc == 0; c = c->next)
        if (c->is_section)
            rc = read_pv(im, c);
    for (const struct lvm_cfg *c = lvs ? lvs->child : NULL; c && rc == 0; c = c->next)
        if (c->is_section)
            rc = read_lv(im, c);
    struct ash_list *l = im->vg->lvs.next;
    for (const struct lvm_cfg *c = lvs ? lvs->child : NULL; c && rc == 0; c = c->next)
        if (c->is_section) {
            rc = read_lv_segments(im, c, pvs, lvm_lv_of(l));
            l = l->next;
        }
    im->vg->historical = lvm_cfg_find(s, "historical_logical_volumes");
    return rc;
}

int lvm_vg_parse(const char *text, size_t n_bytes, const char *what, struct lvm_vg **ret_vg,
                 struct ash_err *err)
{
    struct importer im = {.vg = lvm_vg_new(), .what = what, .err = err};
    struct lvm_cfg *root;
    const char *contents;
    uint64_t version = 0;
    if (!im.vg)
        return no_memory(&im);
    int rc = lvm_cfg_parse(&im.vg->arena, text, n_bytes, what, &root, err);
    if (rc == 0 && (!lvm_cfg_str(root, "contents", &contents) ||
                    strcmp(contents, "Text Format Volume Group") != 0 ||
                    !lvm_cfg_u64(root, "version", &version) || version != 1))
        rc = ash_err_set(err, ASH_E_LVM_TEXT_CONTENTS, what,
                         "%s: no text of a volume group in version 1", what);
    const struct lvm_cfg *s = rc == 0 ? root->child : NULL;
    while (s && !s->is_section)
        s = s->next;
    if (rc == 0 && !s)
        rc = ash_err_set(err, ASH_E_LVM_TEXT_CONTENTS, what, "%s: holds no volume group", what);
    if (rc == 0) {
        (void)lvm_cfg_str(root, "description", &im.vg->description);
        (void)lvm_cfg_str(root, "creation_host", &im.vg->creation_host);
        (void)lvm_cfg_u64(root, "creation_time", &im.vg->creation_time);
        rc = read_vg(&im, s);
    }
    if (rc == 0)
        rc = read_sections(&im, s);
    if (rc == 0)
        rc = lvm_vg_link(im.vg, what, err);
    if (rc) {
        lvm_vg_free(im.vg);
        return rc;
    }
    *ret_vg = im.vg;
    return 0;
}
