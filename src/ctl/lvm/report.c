/* SPDX-License-Identifier: Apache-2.0 */
/* Building, sorting and printing of reports (docs/spec/lvm2-commands.md 2.1 to 2.3). */
#include "ctl/lvm/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* ----------------------------------------------------------------- fields */

static const struct {
    const char *name;
    enum rep_of of;
} groups[] = {{"lv_all", REP_LV},
              {"vg_all", REP_VG},
              {"pv_all", REP_PV},
              {"seg_all", REP_SEG},
              {"pvseg_all", REP_PVSEG}};

static void help_fields(struct ash_buf *out)
{
    static const char *const titles[] = {"Logical Volume Fields", "Volume Group Fields",
                                         "Physical Volume Fields", "Logical Volume Segment Fields",
                                         "Physical Volume Segment Fields"};
    for (size_t g = 0; g < ASH_N_ELEMS(groups); g++) {
        ash_buf_fmt(out, "  %s\n  %.*s\n", titles[groups[g].of], (int)strlen(titles[groups[g].of]),
                    "----------------------------------------");
        ash_buf_fmt(out, "    %-27s - All fields in this section.\n", groups[g].name);
        for (const struct rep_field *f = NULL; (f = rep_field_next(f));)
            if (f->of == groups[g].of)
                ash_buf_fmt(out, "    %-27s - %s\n", f->id, f->help);
        ash_buf_str(out, "   \n");
    }
}

static int unknown_field(struct lvmcmd *c, const char *name, size_t n)
{
    struct ash_buf out = {0};
    help_fields(&out);
    (void)c->host->write(2, ash_buf_text(&out), out.n_bytes);
    ash_buf_free(&out);
    lvmcmd_error(c, "Unrecognised field: %.*s", (int)n, name);
    return LVMCMD_FAILED;
}

static void add_field(struct rep *rep, const struct rep_field *f)
{
    for (size_t i = 0; i < rep->n_fields; i++)
        if (rep->fields[i] == f)
            return;
    if (rep->n_fields < ASH_N_ELEMS(rep->fields))
        rep->fields[rep->n_fields++] = f;
}

static void del_field(struct rep *rep, const struct rep_field *f)
{
    size_t n = 0;
    for (size_t i = 0; i < rep->n_fields; i++)
        if (rep->fields[i] != f)
            rep->fields[n++] = rep->fields[i];
    rep->n_fields = n;
}

static bool add_group(struct rep *rep, const char *name, size_t n)
{
    bool all = n == 3 && strncmp(name, "all", 3) == 0, found = all;
    for (size_t g = 0; g < ASH_N_ELEMS(groups); g++) {
        bool is_it = strlen(groups[g].name) == n && strncmp(groups[g].name, name, n) == 0;
        if (!is_it && !(all && groups[g].of == rep->of))
            continue;
        found = true;
        for (const struct rep_field *f = NULL; (f = rep_field_next(f));)
            if (f->of == groups[g].of)
                add_field(rep, f);
    }
    return found;
}

/* One list of -o. "+list" adds to what is there, "-list" takes away, "list" begins anew. */
static int field_list(struct rep *rep, const char *list)
{
    char how = *list == '+' || *list == '-' || *list == '#' ? *list++ : '\0';
    if (how == '\0')
        rep->n_fields = 0;
    while (*list) {
        size_t n = strcspn(list, ",");
        const struct rep_field *f = rep_field_find(list, n, rep->of);
        if (f && how == '-')
            del_field(rep, f);
        else if (f)
            add_field(rep, f);
        else if (n && !add_group(rep, list, n))
            return unknown_field(rep->c, list, n);
        list += n;
        list += *list == ',';
    }
    return 0;
}

static int key_list(struct rep *rep, const char *list)
{
    rep->n_keys = 0;
    while (*list && rep->n_keys < ASH_N_ELEMS(rep->keys)) {
        bool down = *list == '-';
        list += *list == '-' || *list == '+';
        size_t n = strcspn(list, ",");
        const struct rep_field *f = rep_field_find(list, n, rep->of);
        if (!f)
            return unknown_field(rep->c, list, n);
        rep->keys[rep->n_keys].field = f;
        rep->keys[rep->n_keys++].down = down;
        list += n;
        list += *list == ',';
    }
    return 0;
}

/* What a row must be so that all fields have a meaning. */
static enum rep_of rows_of(const struct rep *rep)
{
    bool has[5] = {false};
    for (size_t i = 0; i < rep->n_fields; i++)
        has[rep->fields[i]->of] = true;
    has[rep->of] = true;
    if (has[REP_PVSEG] || (has[REP_PV] && (has[REP_LV] || has[REP_SEG])))
        return REP_PVSEG;
    if (has[REP_SEG])
        return REP_SEG;
    if (has[REP_PV])
        return REP_PV;
    return has[REP_LV] ? REP_LV : REP_VG;
}

int rep_begin(struct rep *rep, struct lvmcmd *c, enum rep_of of, const char *fields,
              const char *keys)
{
    memset(rep, 0, sizeof(*rep));
    rep->c = c;
    rep->of = of;
    int rc = field_list(rep, fields);
    if (rc == 0)
        rc = key_list(rep, keys);
    for (size_t i = 0; i < lvmcmd_opt_count(c, "options") && rc == 0; i++) {
        const char *list = lvmcmd_opt_nth(c, "options", i);
        if (strcmp(list, "help") == 0) {
            struct ash_buf out = {0};
            help_fields(&out);
            (void)c->host->write(2, ash_buf_text(&out), out.n_bytes);
            ash_buf_free(&out);
            rep->n_fields = 0;
            return 0;
        }
        rc = field_list(rep, list);
    }
    if (rc == 0 && lvmcmd_opt(c, "sort"))
        rc = key_list(rep, lvmcmd_opt(c, "sort"));
    rep->rows_of = rows_of(rep);
    if (rep->rows_of == REP_SEG && rep->of == REP_LV && !lvmcmd_opt(c, "sort"))
        rc = rc ? rc : key_list(rep, "vg_name,lv_name,seg_start");
    return rc;
}

/* ------------------------------------------------------------------- rows */

static const struct rep_field *column(const struct rep *rep, size_t i)
{
    return i < rep->n_fields ? rep->fields[i] : rep->keys[i - rep->n_fields].field;
}

static bool applies(const struct rep_field *f, const struct rep_row *row)
{
    switch (f->of) {
    case REP_LV:
        return row->lv != NULL;
    case REP_SEG:
        return row->seg != NULL;
    case REP_VG: /* the name says something of PVs without a VG, too */
        return row->group || (row->dev && strcmp(f->id, "vg_name") == 0);
    default:
        return row->pv || row->dev;
    }
}

int rep_add(struct rep *rep, const struct rep_row *row)
{
    const char *select = lvmcmd_opt(rep->c, "select");
    size_t n_columns = rep->n_fields + rep->n_keys;
    if (rep->n_fields == 0)
        return 0;
    int fits = select ? rep_select(rep->c, select, row, rep->of) : 1;
    if (fits <= 0)
        return fits < 0 ? LVMCMD_FAILED : 0;
    if (rep->n_rows == rep->n_rows_room) {
        size_t n = rep->n_rows_room ? 2 * rep->n_rows_room : 64;
        struct rep_value *more =
            rt_realloc(rep->values, rep->n_rows_room * n_columns * sizeof(*more),
                       n * n_columns * sizeof(*more));
        if (!more)
            return LVMCMD_FAILED;
        rep->values = more;
        rep->n_rows_room = n;
    }
    for (size_t i = 0; i < n_columns; i++)
        if (applies(column(rep, i), row))
            column(rep, i)->get(rep->c, row, &rep->values[rep->n_rows * n_columns + i]);
    rep->n_rows++;
    return 0;
}

static bool shows_hidden(const struct rep *rep)
{
    return lvmcmd_opt(rep->c, "all") != NULL;
}

static bool is_listed(const struct rep *rep, const struct lvm_lv *lv)
{
    const struct lvm_seg *seg = lvm_lv_seg(lv);
    if (seg && seg->type->cls == LVM_SEG_SNAPSHOT)
        return false;
    return lvm_lv_is_visible(lv) || shows_hidden(rep);
}

struct run {
    uint32_t first, n;
    struct lvm_seg *seg;
};

static int run_order(const void *a, const void *b)
{
    uint32_t x = ((const struct run *)a)->first, y = ((const struct run *)b)->first;
    return x < y ? -1 : x > y;
}

/* Runs of a PV in order of their extents, free ones too. */
static int add_pv_segments(struct rep *rep, struct rep_row row)
{
    struct lvm_pv *pv = row.pv;
    size_t n = 0, n_room = 1;
    ash_list_for_each (l, &pv->vg->lvs)
        ash_list_for_each (s, &lvm_lv_of(l)->segs)
            n_room += lvm_seg_of(s)->n_areas;
    struct run *runs = rt_alloc(n_room * sizeof(*runs));
    if (!runs)
        return LVMCMD_FAILED;
    ash_list_for_each (l, &pv->vg->lvs)
        ash_list_for_each (s, &lvm_lv_of(l)->segs) {
            struct lvm_seg *seg = lvm_seg_of(s);
            for (uint32_t i = 0; i < seg->n_areas && seg->areas; i++)
                if (seg->areas[i].pv == pv)
                    runs[n++] = (struct run){seg->areas[i].extent, lvm_seg_area_len(seg), seg};
        }
    qsort(runs, n, sizeof(*runs), run_order);
    uint32_t at = 0;
    int rc = 0;
    for (size_t i = 0; i <= n && rc == 0; i++) {
        uint32_t next = i < n ? runs[i].first : pv->pe_count;
        if (next > at || (i == n && pv->pe_count == 0)) {
            row.seg = NULL;
            row.lv = NULL;
            row.pvseg_start = at;
            row.pvseg_len = next - at;
            if (rep->of != REP_LV)
                rc = rep_add(rep, &row);
        }
        if (i == n || rc)
            break;
        row.seg = runs[i].seg;
        row.lv = runs[i].seg->lv;
        row.pvseg_start = runs[i].first;
        row.pvseg_len = runs[i].n;
        if (rep->of != REP_LV || is_listed(rep, row.lv))
            rc = rep_add(rep, &row);
        at = runs[i].first + runs[i].n;
    }
    rt_free(runs);
    return rc;
}

int rep_collect(struct rep *rep, struct lvm_group *g)
{
    struct rep_row row = {.group = g};
    int rc = 0;
    if (rep->rows_of == REP_VG)
        return rep_add(rep, &row);
    if (rep->rows_of == REP_PV || rep->rows_of == REP_PVSEG) {
        ash_list_for_each (l, &g->vg->pvs) {
            row.pv = lvm_pv_of(l);
            row.dev = row.pv->dev;
            rc = rc ? rc : rep->rows_of == REP_PV ? rep_add(rep, &row) : add_pv_segments(rep, row);
        }
        return rc;
    }
    ash_list_for_each (l, &g->vg->lvs) {
        row.lv = lvm_lv_of(l);
        row.seg = NULL;
        if (rc || !is_listed(rep, row.lv))
            continue;
        if (rep->rows_of == REP_LV)
            rc = rep_add(rep, &row);
        ash_list_for_each (s, &row.lv->segs) {
            row.seg = lvm_seg_of(s);
            if (rep->rows_of == REP_SEG && rc == 0)
                rc = rep_add(rep, &row);
        }
    }
    return rc;
}

/* ---------------------------------------------------------------- sorting */

static int compare_values(const struct rep_field *f, const struct rep_value *a,
                          const struct rep_value *b)
{
    if (f->kind == REP_NUM || f->kind == REP_SIZE || f->kind == REP_TIME)
        return a->n < b->n ? -1 : a->n > b->n;
    return strcmp(a->sort ? a->sort : ash_buf_text(&a->text),
                  b->sort ? b->sort : ash_buf_text(&b->text));
}

struct order {
    const struct rep *rep;
    size_t row;
};

static int row_order(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    const struct rep *rep = x->rep;
    size_t n = rep->n_fields + rep->n_keys;
    for (size_t k = 0; k < rep->n_keys; k++) {
        int d = compare_values(rep->keys[k].field, &rep->values[x->row * n + rep->n_fields + k],
                               &rep->values[y->row * n + rep->n_fields + k]);
        if (d)
            return rep->keys[k].down ? -d : d;
    }
    return x->row < y->row ? -1 : 1; /* stable */
}

/* --------------------------------------------------------------- printing */

static const char *cell(const struct rep *rep, size_t row, size_t i)
{
    return ash_buf_text(&rep->values[row * (rep->n_fields + rep->n_keys) + i].text);
}

static bool to_right(const struct rep_field *f)
{
    return f->kind == REP_NUM || f->kind == REP_SIZE || f->kind == REP_PERCENT;
}

static const char *object_key(const struct rep *rep)
{
    static const char *const keys[] = {"lv", "vg", "pv", "seg", "pvseg"};
    if (rep->of == REP_LV && rep->rows_of == REP_SEG && lvmcmd_opt(rep->c, "segments"))
        return "seg";
    if (rep->of == REP_PV && rep->rows_of == REP_PVSEG && lvmcmd_opt(rep->c, "segments"))
        return "pvseg";
    return keys[rep->of];
}

static void json_text(struct ash_buf *out, const char *text)
{
    ash_buf_chr(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            ash_buf_fmt(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            ash_buf_fmt(out, "\\u%04X", (unsigned char)*text);
        else
            ash_buf_chr(out, *text);
    }
    ash_buf_chr(out, '"');
}

static void json_rows(struct rep *rep, const struct order *order, struct ash_buf *out)
{
    ash_buf_fmt(out, "              \"%s\": [\n", object_key(rep));
    for (size_t r = 0; r < rep->n_rows; r++) {
        ash_buf_str(out, "                  {");
        for (size_t i = 0; i < rep->n_fields; i++) {
            const char *text = cell(rep, order[r].row, i);
            size_t n = strlen(text);
            struct ash_buf trimmed = {0};
            while (rep->fields[i]->kind == REP_SIZE && n && text[n - 1] == ' ')
                n--;
            ash_buf_add(&trimmed, text, n);
            ash_buf_fmt(out, "%s\"%s\":", i ? ", " : "", rep->fields[i]->id);
            json_text(out, ash_buf_text(&trimmed));
            ash_buf_free(&trimmed);
        }
        ash_buf_str(out, r + 1 < rep->n_rows ? "},\n" : "}\n");
    }
    ash_buf_str(out, "              ]\n");
}

static void print_json(struct rep *rep, const struct order *order)
{
    struct ash_buf *out = &rep->c->out;
    ash_buf_str(out, "  {\n      \"report\": [\n          {\n");
    json_rows(rep, order, out);
    ash_buf_str(out, "          }\n      ]\n  }\n");
}

static void print_plain(struct rep *rep, const struct order *order)
{
    struct lvmcmd *c = rep->c;
    const char *separator = lvmcmd_opt(c, "separator");
    bool prefixes = lvmcmd_opt(c, "nameprefixes"), quoted = !lvmcmd_opt(c, "unquoted");
    bool aligned = (!separator && !prefixes) || lvmcmd_opt(c, "aligned");
    bool headings = !lvmcmd_opt(c, "noheadings") && !prefixes;
    size_t width[REP_MAX_FIELDS] = {0};
    for (size_t i = 0; i < rep->n_fields; i++) {
        width[i] = headings ? strlen(rep->fields[i]->heading) : 0;
        width[i] = ASH_MAX(width[i], (size_t)rep->fields[i]->min_width);
        for (size_t r = 0; r < rep->n_rows; r++)
            width[i] = ASH_MAX(width[i], strlen(cell(rep, r, i)));
    }
    for (size_t r = headings ? 0 : 1; r <= rep->n_rows; r++) {
        ash_buf_str(&c->out, "  ");
        for (size_t i = 0; i < rep->n_fields; i++) {
            const struct rep_field *f = rep->fields[i];
            const char *text = r ? cell(rep, order[r - 1].row, i) : f->heading;
            int pad = aligned ? (int)(width[i] - strlen(text)) : 0;
            bool right = r && to_right(f);
            if (i)
                ash_buf_str(&c->out, separator ? separator : " ");
            if (prefixes) {
                ash_buf_str(&c->out, "LVM2_");
                for (const char *p = f->id; *p; p++)
                    ash_buf_chr(&c->out, (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p));
                ash_buf_fmt(&c->out, quoted ? "='%s'" : "=%s", text);
            } else {
                ash_buf_fmt(&c->out, "%*s%s%*s", right ? pad : 0, "", text, right ? 0 : pad, "");
            }
        }
        ash_buf_chr(&c->out, '\n');
    }
}

static struct order *sorted(struct rep *rep)
{
    struct order *order = rt_alloc((rep->n_rows + 1) * sizeof(*order));
    if (!order) {
        rep->c->out.failed = true;
        return NULL;
    }
    for (size_t r = 0; r < rep->n_rows; r++)
        order[r] = (struct order){rep, r};
    qsort(order, rep->n_rows, sizeof(*order), row_order);
    return order;
}

static bool wants_json(struct lvmcmd *c)
{
    const char *format = lvmcmd_opt(c, "reportformat");
    return format && ash_starts_with(format, "json");
}

void rep_print(struct rep *rep)
{
    struct order *order = sorted(rep);
    if (!order || rep->n_fields == 0) {
        rt_free(order);
        return;
    }
    if (wants_json(rep->c))
        print_json(rep, order);
    else if (rep->n_rows)
        print_plain(rep, order);
    rt_free(order);
}

/* fullreport: one object of the report for each VG. */
void rep_print_part(struct rep *rep, bool first)
{
    struct order *order = sorted(rep);
    if (!order)
        return;
    if (wants_json(rep->c)) {
        if (!first)
            ash_buf_str(&rep->c->out, "              ,\n");
        json_rows(rep, order, &rep->c->out);
    } else if (rep->n_rows) {
        print_plain(rep, order);
    }
    rt_free(order);
}

void rep_end(struct rep *rep)
{
    size_t n = rep->n_rows * (rep->n_fields + rep->n_keys);
    for (size_t i = 0; i < n; i++)
        ash_buf_free(&rep->values[i].text);
    rt_free(rep->values);
}
