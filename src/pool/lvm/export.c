/* SPDX-License-Identifier: Apache-2.0 */
/* From a VG to its text, in the two renderings that lvm2 knows, byte for byte as it writes them
 * (docs/spec/lvm2-format.md 11.2): on disk without indentation and with the header last; in files
 * with tabs, comments and the header first. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "pool/lvm/vg.h"

struct writer {
    struct ash_buf *out;
    const struct lvm_vg *vg;
    bool in_file;
    unsigned indent;
};

enum { INDENT_MAX = 5, COMMENT_COLUMN = 40, TAB = 8 };

/* ------------------------------------------------------------------- lines */

static void newline(struct writer *w)
{
    ash_buf_chr(w->out, '\n');
}

/* One line at the present depth. comment may be NULL or "" and is for files only; it stands at the
 * next tab stop from column 40 on. */
static void line(struct writer *w, const char *comment, const char *fmt, ...) ASH_PRINTF(3, 4);
static void line(struct writer *w, const char *comment, const char *fmt, ...)
{
    unsigned n_tabs = w->in_file ? ASH_MIN(w->indent, (unsigned)INDENT_MAX) : 0;
    for (unsigned i = 0; i < n_tabs; i++)
        ash_buf_chr(w->out, '\t');
    size_t before = w->out->n_bytes;
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(w->out, fmt, ap);
    va_end(ap);
    if (w->in_file && comment && *comment) {
        size_t column = n_tabs * TAB + (w->out->n_bytes - before);
        do {
            ash_buf_chr(w->out, '\t');
            column = (column / TAB + 1) * TAB;
        } while (column < COMMENT_COLUMN);
        ash_buf_str(w->out, comment);
    }
    newline(w);
}

static void open_section(struct writer *w, const char *name)
{
    line(w, NULL, "%s {", name);
    w->indent++;
}

static void close_section(struct writer *w)
{
    w->indent--;
    line(w, NULL, "}");
}

/* "# 15.7422 Megabytes": the largest unit of which there is more than 1024 of the smaller. */
static const char *size_comment(uint64_t sectors, char *buf, size_t n_buf)
{
    static const char *const units[] = {"Kilobytes", "Megabytes", "Gigabytes",
                                        "Terabytes", "Petabytes", "Exabytes"};
    double n = (double)sectors / 2;
    size_t u = 0;
    while (n > 1024 && u + 1 < ASH_N_ELEMS(units)) {
        n /= 1024;
        u++;
    }
    snprintf(buf, n_buf, "# %g %s", n, units[u]);
    return buf;
}

static void size_line(struct writer *w, const char *key, uint64_t n, uint64_t sectors)
{
    char comment[48];
    line(w, size_comment(sectors, comment, sizeof(comment)), "%s = %" PRIu64, key, n);
}

static void str_line(struct writer *w, const char *comment, const char *key, const char *text)
{
    struct ash_buf quoted = {0};
    lvm_cfg_put_str(&quoted, text);
    w->out->failed |= quoted.failed;
    line(w, comment, "%s = %s", key, ash_buf_text(&quoted));
    ash_buf_free(&quoted);
}

static void opt_str_line(struct writer *w, const char *key, const char *text)
{
    if (text)
        str_line(w, NULL, key, text);
}

static void id_line(struct writer *w, const struct lvm_id *id)
{
    char text[LVM_ID_TEXT_BYTES];
    line(w, NULL, "id = \"%s\"", lvm_id_format(id, text));
}

static void put_list(struct ash_buf *buf, const struct lvm_str *list, bool *first)
{
    for (; list; list = list->next) {
        if (!*first)
            ash_buf_str(buf, ", ");
        *first = false;
        lvm_cfg_put_str(buf, list->text);
    }
}

static void list_line(struct writer *w, const char *key, const struct lvm_str *list)
{
    struct ash_buf buf = {0};
    bool first = true;
    put_list(&buf, list, &first);
    w->out->failed |= buf.failed;
    line(w, NULL, "%s = [%s]", key, ash_buf_text(&buf));
    ash_buf_free(&buf);
}

/* 12: a VG that belongs to one host or a cluster shows WRITE as WRITE_LOCKED. */
static bool hides_write(const struct lvm_vg *vg)
{
    return (vg->system_id && *vg->system_id) ||
           (vg->lock_type && strcmp(vg->lock_type, "none") != 0);
}

static void words_lines(struct writer *w, const struct lvm_word *words, uint32_t flags,
                        const struct lvm_str *more)
{
    for (int in_flags = 0; in_flags < 2; in_flags++) {
        struct ash_buf buf = {0};
        bool first = true;
        for (const struct lvm_word *word = words; word->name; word++) {
            struct lvm_str item = {NULL, word->name};
            if (word->in_flags == (bool)in_flags && (flags & word->flag))
                put_list(&buf, &item, &first);
        }
        if (in_flags)
            put_list(&buf, more, &first);
        w->out->failed |= buf.failed;
        line(w, NULL, "%s = [%s]", in_flags ? "flags" : "status", ash_buf_text(&buf));
        ash_buf_free(&buf);
    }
}

static uint32_t flags_in_text(const struct lvm_vg *vg, uint32_t flags)
{
    if (hides_write(vg) && (flags & LVM_WRITE))
        flags = (flags & ~LVM_WRITE) | LVM_WRITE_LOCKED;
    return flags;
}

/* ---------------------------------------------------------------- header */

static const char *date(uint64_t when, const char *fmt, char *buf, size_t n_buf)
{
    time_t t = (time_t)when;
    struct tm tm;
    if (!localtime_r(&t, &tm) || strftime(buf, n_buf, fmt, &tm) == 0)
        buf[0] = '\0';
    return buf;
}

static void put_header(struct writer *w, const struct lvm_origin *o)
{
    char when[64];
    struct ash_buf *out = w->out;
    date(o->time, "%a %b %e %H:%M:%S %Y", when, sizeof(when));
    ash_buf_fmt(out, "# Generated by LVM2 version %s: %s\n\n", o->version, when);
    ash_buf_str(out, "contents = \"Text Format Volume Group\"\nversion = 1\n\n");
    str_line(w, NULL, "description", o->description);
    newline(w);
    ash_buf_str(out, "creation_host = ");
    lvm_cfg_put_str(out, o->host);
    ash_buf_fmt(out, "\t# %s\n", o->uname);
    opt_str_line(w, "creation_host_system_id", o->host_system_id);
    ash_buf_fmt(out, "creation_time = %" PRIu64 "\t# %s\n\n", o->time, when);
}

/* -------------------------------------------------------------- segments */

static void put_areas(struct writer *w, const char *key, const struct lvm_seg *seg)
{
    newline(w);
    line(w, NULL, "%s = [", key);
    w->indent++;
    for (uint32_t i = 0; i < seg->n_areas; i++) {
        const struct lvm_area *a = &seg->areas[i];
        const char *comma = i + 1 < seg->n_areas ? "," : "";
        if (a->kind == LVM_AREA_PV)
            line(w, NULL, "\"pv%u\", %u%s", a->pv->idx, a->extent, comma);
        else
            line(w, NULL, "\"%s\", %u%s", a->lv->name, a->extent, comma);
    }
    w->indent--;
    line(w, NULL, "]");
}

static void put_raids(struct writer *w, const char *key, const struct lvm_seg *seg)
{
    newline(w);
    line(w, NULL, "%s = [", key);
    w->indent++;
    for (uint32_t i = 0; i < seg->n_areas; i++) {
        const char *comma = i + 1 < seg->n_areas ? "," : "";
        if (seg->metas && seg->metas[i].kind == LVM_AREA_LV)
            line(w, NULL, "\"%s\", \"%s\"%s", seg->metas[i].lv->name, seg->areas[i].lv->name,
                 comma);
        else
            line(w, NULL, "\"%s\"%s", seg->areas[i].lv->name, comma);
    }
    w->indent--;
    line(w, NULL, "]");
}

static void put_messages(struct writer *w, const struct lvm_seg *seg)
{
    unsigned n = 0;
    for (const struct lvm_message *m = seg->messages; m; m = m->next) {
        char name[24];
        snprintf(name, sizeof(name), "message%u", ++n);
        newline(w);
        open_section(w, name);
        if (m->is_delete)
            line(w, NULL, "delete = %u", m->delete_id);
        else
            str_line(w, NULL, "create", m->create->name);
        close_section(w);
    }
}

static void put_key(struct writer *w, const struct lvm_seg *seg, const struct lvm_key *key,
                    const struct lvm_val *val)
{
    switch (key->kind) {
    case LVM_K_COUNT:
        line(w, seg->type->cls == LVM_SEG_STRIPED && seg->n_areas == 1 ? "# linear" : NULL,
             "%s = %u", key->name, seg->n_areas);
        break;
    case LVM_K_U64:
        if (val->is_set)
            line(w, NULL, "%s = %" PRIu64, key->name, val->n);
        break;
    case LVM_K_SIZE:
        if (val->is_set && !((key->flags & LVM_K_STRIPED) && seg->n_areas == 1))
            size_line(w, key->name, val->n, val->n);
        break;
    case LVM_K_STR:
        if (val->is_set)
            str_line(w, NULL, key->name, val->text);
        break;
    case LVM_K_LV:
        if (val->is_set)
            str_line(w, NULL, key->name, val->lv->name);
        break;
    case LVM_K_SECT:
        if (val->is_set)
            lvm_cfg_put(w->out, val->section, w->in_file ? (int)w->indent : -1);
        break;
    case LVM_K_AREAS:
        put_areas(w, key->name, seg);
        break;
    case LVM_K_RAIDS:
    case LVM_K_IMAGES:
        put_raids(w, key->name, seg);
        break;
    case LVM_K_MSGS:
        put_messages(w, seg);
        break;
    }
}

/* A segment of a type that we do not know: everything but what was written already. */
static void put_unknown(struct writer *w, const struct lvm_seg *seg)
{
    static const char *const common[] = {"start_extent", "extent_count", "reshape_count", "type",
                                         "tags"};
    for (const struct lvm_cfg *c = seg->cfg->child; c; c = c->next) {
        bool is_common = false;
        for (size_t i = 0; i < ASH_N_ELEMS(common); i++)
            is_common |= strcmp(c->key, common[i]) == 0;
        if (!is_common)
            lvm_cfg_put(w->out, c, w->in_file ? (int)w->indent : -1);
    }
}

static void put_segment(struct writer *w, const struct lvm_seg *seg, unsigned n)
{
    char name[24];
    snprintf(name, sizeof(name), "segment%u", n);
    open_section(w, name);
    line(w, NULL, "start_extent = %u", seg->start);
    size_line(w, "extent_count", seg->len, (uint64_t)seg->len * w->vg->extent_sectors);
    if (seg->has_reshape_count)
        line(w, NULL, "reshape_count = %u", seg->reshape_count);
    newline(w);
    str_line(w, NULL, "type", seg->type_text);
    if (seg->tags)
        list_line(w, "tags", seg->tags);
    for (size_t i = 0; seg->type->keys[i].name; i++)
        put_key(w, seg, &seg->type->keys[i], &seg->vals[i]);
    if (seg->type->cls == LVM_SEG_UNKNOWN)
        put_unknown(w, seg);
    close_section(w);
}

/* ------------------------------------------------------------ LVs, PVs, VG */

static void put_lv(struct writer *w, const struct lvm_lv *lv)
{
    char comment[64];
    unsigned n = 0;
    newline(w);
    open_section(w, lv->name);
    id_line(w, &lv->id);
    words_lines(w, lvm_lv_words, flags_in_text(lv->vg, lv->flags), lv->more_flags);
    if (lv->tags)
        list_line(w, "tags", lv->tags);
    if (lv->has_time) {
        line(w, date(lv->creation_time, "# %Y-%m-%d %H:%M:%S %z", comment, sizeof(comment)),
             "creation_time = %" PRIu64, lv->creation_time);
        opt_str_line(w, "creation_host", lv->creation_host);
    }
    opt_str_line(w, "lock_args", lv->lock_args);
    if (lv->alloc != LVM_ALLOC_INHERIT)
        str_line(w, NULL, "allocation_policy", lvm_alloc_name(lv->alloc));
    opt_str_line(w, "profile", lv->profile);
    if (lv->has_read_ahead)
        line(w, NULL, "read_ahead = %" PRId64, lv->read_ahead_sectors);
    if (lv->major >= 0)
        line(w, NULL, "major = %d", lv->major);
    if (lv->minor >= 0)
        line(w, NULL, "minor = %d", lv->minor);
    ash_list_for_each (l, &lv->segs)
        n++;
    line(w, NULL, "segment_count = %u", n);
    newline(w);
    n = 0;
    ash_list_for_each (l, &lv->segs)
        put_segment(w, lvm_seg_of(l), ++n);
    close_section(w);
}

static void put_lvs(struct writer *w)
{
    if (!ash_list_empty(&w->vg->lvs)) {
        open_section(w, "logical_volumes");
        for (int visible = 1; visible >= 0; visible--)
            ash_list_for_each (l, &w->vg->lvs)
                if (lvm_lv_is_visible(lvm_lv_of(l)) == (bool)visible)
                    put_lv(w, lvm_lv_of(l));
        close_section(w);
    }
    newline(w);
}

static void put_pv(struct writer *w, const struct lvm_pv *pv)
{
    char name[24];
    const bool missing = (pv->flags & LVM_MISSING) != 0;
    snprintf(name, sizeof(name), "pv%u", pv->idx);
    newline(w);
    open_section(w, name);
    id_line(w, &pv->id);
    str_line(w, "# Hint only", "device", missing ? "[unknown]" : pv->device ? pv->device : "");
    newline(w);
    opt_str_line(w, "device_id_type", pv->device_id_type);
    opt_str_line(w, "device_id", pv->device_id);
    words_lines(w, lvm_pv_words, pv->flags, pv->more_flags);
    if (pv->tags)
        list_line(w, "tags", pv->tags);
    if (pv->has_dev_size)
        size_line(w, "dev_size", pv->dev_size_sectors, pv->dev_size_sectors);
    line(w, NULL, "pe_start = %" PRIu64, pv->pe_start_sectors);
    size_line(w, "pe_count", pv->pe_count, (uint64_t)pv->pe_count * w->vg->extent_sectors);
    if (pv->boot_start_sectors && pv->boot_sectors) {
        line(w, NULL, "ba_start = %" PRIu64, pv->boot_start_sectors);
        size_line(w, "ba_size", pv->boot_sectors, pv->boot_sectors);
    }
    close_section(w);
}

static void put_vg(struct writer *w)
{
    const struct lvm_vg *vg = w->vg;
    open_section(w, vg->name);
    id_line(w, &vg->id);
    line(w, NULL, "seqno = %u", vg->seqno);
    str_line(w, "# informational", "format", "lvm2");
    words_lines(w, lvm_vg_words, flags_in_text(vg, vg->flags), vg->more_flags);
    if (vg->tags)
        list_line(w, "tags", vg->tags);
    opt_str_line(w, "system_id", vg->system_id);
    opt_str_line(w, "lock_type", vg->lock_type);
    opt_str_line(w, "lock_args", vg->lock_args);
    if (vg->pr)
        list_line(w, "pr", vg->pr);
    size_line(w, "extent_size", vg->extent_sectors, vg->extent_sectors);
    line(w, NULL, "max_lv = %u", vg->max_lv);
    line(w, NULL, "max_pv = %u", vg->max_pv);
    if (vg->alloc != LVM_ALLOC_NORMAL)
        str_line(w, NULL, "allocation_policy", lvm_alloc_name(vg->alloc));
    opt_str_line(w, "profile", vg->profile);
    line(w, NULL, "metadata_copies = %u", vg->metadata_copies);
    newline(w);
    open_section(w, "physical_volumes");
    ash_list_for_each (l, &vg->pvs)
        put_pv(w, lvm_pv_of(l));
    close_section(w);
    newline(w);
    put_lvs(w);
    if (vg->historical) {
        lvm_cfg_put(w->out, vg->historical, w->in_file ? (int)w->indent : -1);
        newline(w);
    }
    close_section(w);
}

int lvm_vg_text(const struct lvm_vg *vg, const struct lvm_origin *origin,
                enum lvm_rendering rendering, struct ash_buf *out)
{
    struct writer w = {out, vg, rendering == LVM_IN_FILE, 0};
    if (w.in_file)
        put_header(&w, origin);
    put_vg(&w);
    if (!w.in_file)
        put_header(&w, origin);
    return out->failed ? -ENOMEM : 0;
}
