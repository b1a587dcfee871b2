/* SPDX-License-Identifier: Apache-2.0 */
/* Selections: -S 'vg_name=x && (lv_size>1g || tags=fast)' (docs/spec/lvm2-commands.md 1.2). */
#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/lvm/report.h"

struct selector {
    struct lvmcmd *c;
    const struct rep_row *row;
    enum rep_of own;
    const char *begin, *at;
    bool failed;
    unsigned depth;
};

enum { DEPTH_MAX = 50 };

static void skip(struct selector *s)
{
    while (isspace((unsigned char)*s->at))
        s->at++;
}

static bool fail(struct selector *s, const char *why)
{
    if (!s->failed) {
        lvmcmd_error(s->c, "Selection syntax error at '%s': %s.", s->at, why);
        lvmcmd_error(s->c, "Use 'help' for selection to get more help.");
    }
    s->failed = true;
    return false;
}

static bool eat(struct selector *s, const char *token)
{
    skip(s);
    if (!ash_starts_with(s->at, token))
        return false;
    s->at += strlen(token);
    return true;
}

/* --------------------------------------------------------------- operands */

struct operand {
    char items[16][128];
    size_t n;
    bool is_list, is_or, is_subset;
};

static bool read_item(struct selector *s, char item[128])
{
    size_t n = 0;
    skip(s);
    char quote = *s->at == '"' || *s->at == '\'' ? *s->at++ : '\0';
    while (*s->at && n < 127) {
        if (quote ? *s->at == quote
                  : isspace((unsigned char)*s->at) || strchr("&|,#()[]{}", *s->at))
            break;
        item[n++] = *s->at++;
    }
    item[n] = '\0';
    if (quote && *s->at++ != quote)
        return fail(s, "a string has no end");
    return quote || n ? true : fail(s, "a value is missing");
}

static bool read_operand(struct selector *s, struct operand *o)
{
    *o = (struct operand){.n = 0};
    char close = '\0';
    if (eat(s, "["))
        close = ']';
    else if (eat(s, "{"))
        close = '}';
    o->is_list = close != '\0';
    o->is_subset = close == '}';
    do {
        skip(s);
        if (close && *s->at == close)
            break;
        if (o->n == ASH_N_ELEMS(o->items) || !read_item(s, o->items[o->n]))
            return fail(s, "a list is too long");
        o->n++;
        if (!close)
            return true;
        if (eat(s, "||") || eat(s, "#"))
            o->is_or = true;
        else if (!eat(s, "&&") && !eat(s, ","))
            break;
    } while (!s->failed);
    skip(s);
    if (*s->at != close)
        return fail(s, "a list has no end");
    s->at++;
    return true;
}

/* -------------------------------------------------------------- comparing */

static bool in_list(const char *list, const char *item)
{
    size_t n = strlen(item);
    for (const char *at = list; *at;) {
        size_t n_at = strcspn(at, ",");
        if (n_at == n && strncmp(at, item, n) == 0)
            return true;
        at += n_at;
        at += *at == ',';
    }
    return n == 0 && *list == '\0';
}

static size_t list_length(const char *list)
{
    size_t n = *list != '\0';
    for (; *list; list++)
        n += *list == ',';
    return n;
}

static bool list_matches(const char *list, const struct operand *o)
{
    size_t n_there = 0;
    for (size_t i = 0; i < o->n; i++)
        n_there += in_list(list, o->items[i]);
    if (!o->is_list)
        return n_there > 0;
    if (o->is_or)
        return n_there > 0;
    return n_there == o->n && (o->is_subset || list_length(list) == o->n);
}

static bool regex_matches(struct selector *s, const char *text, const char *pattern)
{
    regex_t re;
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
        return fail(s, "a regular expression is malformed");
    bool yes = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return yes;
}

static bool number_of(const struct rep_field *f, const char *item, uint64_t *ret_n)
{
    if (f->kind == REP_SIZE)
        return lvmcmd_parse_size(item, 'm', ret_n);
    return ash_parse_u64(item, UINT64_MAX, ret_n) == 0;
}

static bool compare_number(struct selector *s, const struct rep_field *f, const struct rep_value *v,
                           const char *op, const char *item)
{
    uint64_t n;
    bool undefined = strcmp(item, "undefined") == 0 || strcmp(item, "undef") == 0 ||
                     strcmp(item, "unknown") == 0 || strcmp(item, "-1") == 0;
    if (undefined)
        return (*op == '!') == v->is_defined;
    if (!number_of(f, item, &n))
        return fail(s, "a number was expected");
    if (!v->is_defined)
        return *op == '!';
    if (strcmp(op, "=") == 0)
        return v->n == n;
    if (strcmp(op, "!=") == 0)
        return v->n != n;
    if (strcmp(op, ">=") == 0 || strcmp(op, "since") == 0)
        return v->n >= n;
    if (strcmp(op, "<=") == 0 || strcmp(op, "until") == 0)
        return v->n <= n;
    return *op == '>' || *op == 'a' ? v->n > n : v->n < n;
}

static bool compare(struct selector *s, const struct rep_field *f, const struct rep_value *v,
                    const char *op, const struct operand *o)
{
    const char *text = ash_buf_text(&v->text);
    bool negative = *op == '!';
    if (strcmp(op, "=~") == 0 || strcmp(op, "!~") == 0) {
        bool any = false;
        if (f->kind != REP_STR && f->kind != REP_LIST)
            return fail(s, "a regular expression does not fit this field");
        if (v->sort)
            text = v->sort;
        for (size_t i = 0; i < o->n && !s->failed; i++)
            any |= regex_matches(s, text, o->items[i]);
        return any != negative;
    }
    if (f->kind == REP_NUM || f->kind == REP_SIZE || f->kind == REP_TIME)
        return compare_number(s, f, v, op, o->items[0]);
    if (strcmp(op, "=") != 0 && strcmp(op, "!=") != 0)
        return fail(s, "the operator does not fit this field");
    if (f->kind == REP_BIN) {
        bool want =
            strcmp(o->items[0], "1") == 0 || (*o->items[0] && strcmp(o->items[0], "0") != 0);
        return (v->n == want) != negative;
    }
    if (f->kind == REP_LIST)
        return list_matches(text, o) != negative;
    bool same =
        strcmp(v->sort ? v->sort : text, o->items[0]) == 0 || strcmp(text, o->items[0]) == 0;
    return same != negative;
}

/* ---------------------------------------------------------------- grammar */

static bool expression(struct selector *s);

static bool comparison(struct selector *s)
{
    static const char *const ops[] = {"!=", ">=", "<=",    "=~",    "!~",    "=",
                                      ">",  "<",  "since", "after", "until", "before"};
    struct operand operand;
    const char *op = NULL;
    skip(s);
    size_t n = 0;
    while (isalnum((unsigned char)s->at[n]) || s->at[n] == '_')
        n++;
    const struct rep_field *f = rep_field_find(s->at, n, s->own);
    if (!f)
        return fail(s, "no field of this name");
    s->at += n;
    for (size_t i = 0; i < ASH_N_ELEMS(ops) && !op; i++)
        if (eat(s, ops[i]))
            op = ops[i];
    if (!op)
        return fail(s, "an operator is missing");
    if (!read_operand(s, &operand))
        return false;
    struct rep_value v = {.n = 0};
    bool has_row = f->of == REP_LV    ? s->row->lv != NULL
                   : f->of == REP_SEG ? s->row->seg != NULL
                   : f->of == REP_VG  ? s->row->group != NULL
                                      : s->row->pv || s->row->dev;
    if (has_row)
        f->get(s->c, s->row, &v);
    bool yes = compare(s, f, &v, op, &operand);
    ash_buf_free(&v.text);
    return yes;
}

static bool primary(struct selector *s)
{
    if (eat(s, "!"))
        return ++s->depth > DEPTH_MAX ? fail(s, "too many negations") : !primary(s);
    if (eat(s, "(")) {
        if (++s->depth > DEPTH_MAX)
            return fail(s, "brackets are nested too deep");
        bool yes = expression(s);
        s->depth--;
        if (!s->failed && !eat(s, ")"))
            return fail(s, "a bracket is missing");
        return yes;
    }
    return comparison(s);
}

static bool conjunction(struct selector *s)
{
    bool yes = primary(s);
    while (!s->failed && (eat(s, "&&") || eat(s, ",")))
        yes &= primary(s);
    return yes;
}

static bool expression(struct selector *s)
{
    bool yes = conjunction(s);
    while (!s->failed && (eat(s, "||") || eat(s, "#")))
        yes |= conjunction(s);
    return yes;
}

int rep_select(struct lvmcmd *c, const char *expr, const struct rep_row *row, enum rep_of own)
{
    struct selector s = {c, row, own, expr, expr, false, 0};
    skip(&s);
    if (!*s.at)
        return 1;
    bool yes = expression(&s);
    skip(&s);
    if (!s.failed && *s.at)
        (void)fail(&s, "something is left over");
    return s.failed ? -1 : yes;
}
