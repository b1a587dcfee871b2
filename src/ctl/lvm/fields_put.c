/* SPDX-License-Identifier: Apache-2.0 */
/* Values of report fields as text. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/lvm/report.h"

void rep_put_str(struct rep_value *v, const char *text)
{
    ash_buf_str(&v->text, text ? text : "");
    v->is_defined = text != NULL;
}

void rep_put_num(struct rep_value *v, uint64_t n)
{
    v->n = n;
    v->is_defined = true;
    ash_buf_fmt(&v->text, "%" PRIu64, n);
}

void rep_put_minus_one(struct rep_value *v)
{
    ash_buf_str(&v->text, "-1");
}

void rep_put_size(struct lvmcmd *c, struct rep_value *v, uint64_t bytes)
{
    v->n = bytes;
    v->is_defined = true;
    lvmcmd_size(&c->units, bytes, &v->text);
}

/* Words for a binary field: the word when it is so, nothing when not; 1 and 0 with --binary. */
void rep_put_bin(struct lvmcmd *c, struct rep_value *v, bool yes, const char *word)
{
    v->n = yes;
    v->is_defined = true;
    if (lvmcmd_opt(c, "binary"))
        ash_buf_str(&v->text, yes ? "1" : "0");
    else
        ash_buf_str(&v->text, yes ? word : "");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lists are shown in order. */
void rep_put_list(struct rep_value *v, const struct lvm_str *list)
{
    size_t n = 0;
    v->is_defined = true;
    for (const struct lvm_str *s = list; s; s = s->next)
        n++;
    const char **items = n ? rt_alloc(n * sizeof(*items)) : NULL;
    v->text.failed |= n && !items;
    for (size_t i = 0; i < n && items; i++, list = list->next)
        items[i] = list->text;
    if (items)
        qsort(items, n, sizeof(*items), by_text);
    for (size_t i = 0; i < n && items; i++)
        ash_buf_fmt(&v->text, "%s%s", i ? "," : "", items[i]);
    rt_free(items);
}

void rep_put_id(struct rep_value *v, const struct lvm_id *id)
{
    char text[LVM_ID_TEXT_BYTES];
    rep_put_str(v, lvm_id_format(id, text));
}

/* Hidden LVs stand in brackets. */
void rep_put_lv_name(struct rep_value *v, const struct lvm_lv *lv)
{
    if (!lv)
        return;
    v->is_defined = true;
    v->sort = lv->name;
    ash_buf_fmt(&v->text, lvm_lv_is_visible(lv) ? "%s" : "[%s]", lv->name);
}
