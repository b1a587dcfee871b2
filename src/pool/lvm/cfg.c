/* SPDX-License-Identifier: Apache-2.0 */
/* Reader and writer of the configuration language (docs/spec/lvm2-format.md 11.1). */
#include "pool/lvm/cfg.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

struct parser {
    struct lvm_arena *arena;
    const char *at, *end, *begin;
    const char *what;
    struct ash_err *err;
};

/* ---------------------------------------------------------------- tokens */

static int complain(struct parser *p, const char *why)
{
    unsigned line = 1;
    const char *bol = p->begin;
    for (const char *c = p->begin; c < p->at; c++) {
        if (*c == '\n') {
            line++;
            bol = c + 1;
        }
    }
    return ash_err_set(p->err, ASH_E_LVM_TEXT_SYNTAX, p->what, "%s: line %u, column %zu: %s",
                       p->what, line, (size_t)(p->at - bol) + 1, why);
}

static int no_memory(struct parser *p)
{
    return ash_err_set(p->err, ASH_E_NO_MEMORY, p->what, "%s: no memory to read it", p->what);
}

/* White space and comments. */
static void skip(struct parser *p)
{
    while (p->at < p->end) {
        if (*p->at == '#') {
            while (p->at < p->end && *p->at != '\n')
                p->at++;
        } else if (isspace((unsigned char)*p->at)) {
            p->at++;
        } else {
            return;
        }
    }
}

static bool is_next(struct parser *p, char c)
{
    skip(p);
    return p->at < p->end && *p->at == c;
}

/* A quoted string: "..." with backslash escapes, '...' without. */
static int read_quoted(struct parser *p, const char **ret_text)
{
    char quote = *p->at;
    const char *begin = p->at + 1, *c = begin;
    size_t n_escapes = 0;
    for (; c < p->end && *c != quote; c++) {
        if (quote == '"' && *c == '\\' && c + 1 < p->end) {
            c++;
            n_escapes++;
        }
    }
    if (c >= p->end)
        return complain(p, "a string has no end");
    char *text = (char *)lvm_arena_get(p->arena, (size_t)(c - begin) - n_escapes + 1);
    if (!text)
        return no_memory(p);
    char *to = text;
    for (const char *from = begin; from < c; from++) {
        if (quote == '"' && *from == '\\')
            from++;
        *to++ = *from;
    }
    p->at = c + 1;
    *ret_text = text;
    return 0;
}

static size_t bare_length(struct parser *p, const char *stops)
{
    const char *c = p->at;
    while (c < p->end && !isspace((unsigned char)*c) && !strchr(stops, *c))
        c++;
    return (size_t)(c - p->at);
}

static int read_bare(struct parser *p, const char *stops, const char **ret_text)
{
    size_t n = bare_length(p, stops);
    *ret_text = lvm_arena_strn(p->arena, p->at, n);
    p->at += n;
    return *ret_text ? 0 : no_memory(p);
}

/* ---------------------------------------------------------------- values */

/* Decides what an unquoted word is: integer, float, or text. */
static int classify(struct parser *p, struct lvm_cfg_value *v)
{
    const char *c = v->text + (*v->text == '-' || *v->text == '+');
    size_t n_digits = strspn(c, "0123456789");
    v->kind = LVM_CFG_STRING;
    if (n_digits == 0 && c[0] != '.')
        return 0;
    if (c[n_digits] == '\0') {
        char *end;
        errno = 0;
        v->n = strtoll(v->text, &end, 0);
        if (errno || *end)
            return complain(p, "a number is out of range");
        v->kind = LVM_CFG_INT;
    } else if (c[n_digits] == '.' &&
               n_digits + 1 + strspn(c + n_digits + 1, "0123456789") == strlen(c) &&
               strlen(c) > 1) {
        v->kind = LVM_CFG_FLOAT;
    }
    return 0;
}

static int read_scalar(struct parser *p, struct lvm_cfg_value **ret_value)
{
    struct lvm_cfg_value *v = (struct lvm_cfg_value *)lvm_arena_get(p->arena, sizeof(*v));
    if (!v)
        return no_memory(p);
    int rc;
    skip(p);
    if (p->at >= p->end)
        return complain(p, "a value is missing");
    if (*p->at == '"' || *p->at == '\'') {
        v->kind = LVM_CFG_STRING;
        rc = read_quoted(p, &v->text);
    } else {
        if (bare_length(p, "#={}[],\"'") == 0)
            return complain(p, "a value is missing");
        rc = read_bare(p, "#={}[],\"'", &v->text);
        if (rc == 0)
            rc = classify(p, v);
    }
    if (rc == 0)
        *ret_value = v;
    return rc;
}

static int read_value(struct parser *p, struct lvm_cfg *node)
{
    if (!is_next(p, '['))
        return read_scalar(p, &node->values);
    node->is_list = true;
    p->at++;
    struct lvm_cfg_value **tail = &node->values;
    while (!is_next(p, ']')) {
        int rc = read_scalar(p, tail);
        if (rc)
            return rc;
        tail = &(*tail)->next;
        if (is_next(p, ','))
            p->at++;
    }
    p->at++;
    return 0;
}

/* -------------------------------------------------------------- sections */

static struct lvm_cfg *new_node(struct parser *p, const char *key, struct lvm_cfg ***tail)
{
    struct lvm_cfg *node = (struct lvm_cfg *)lvm_arena_get(p->arena, sizeof(*node));
    if (node) {
        node->key = key;
        **tail = node;
        *tail = &node->next;
    }
    return node;
}

static void to_tail(struct lvm_cfg ***tail)
{
    while (**tail)
        *tail = &(**tail)->next;
}

/* The node that a key names, below `section`: a/b/c goes through (or makes) sections a and b. */
static int make_node(struct parser *p, char *key, struct lvm_cfg *section, struct lvm_cfg ***tail,
                     struct lvm_cfg **ret_node)
{
    char *slash;
    unsigned depth = 0;
    struct lvm_cfg **own_tail;
    while ((slash = strchr(key, '/'))) {
        *slash = '\0';
        if (*key) {
            struct lvm_cfg *sub = section->child;
            while (sub && !(sub->is_section && strcmp(sub->key, key) == 0))
                sub = sub->next;
            if (++depth > LVM_CFG_DEPTH_MAX)
                return complain(p, "sections are nested too deep");
            if (!sub)
                sub = new_node(p, key, tail);
            if (!sub)
                return no_memory(p);
            sub->is_section = true;
            section = sub;
            own_tail = &section->child;
            to_tail(&own_tail);
            tail = &own_tail;
        }
        key = slash + 1;
    }
    *ret_node = new_node(p, key, tail);
    return *ret_node ? 0 : no_memory(p);
}

static int read_section(struct parser *p, struct lvm_cfg *section, unsigned depth)
{
    struct lvm_cfg **tail = &section->child;
    if (depth > LVM_CFG_DEPTH_MAX)
        return complain(p, "sections are nested too deep");
    for (;;) {
        const char *key;
        struct lvm_cfg *node;
        skip(p);
        if (p->at >= p->end)
            return depth ? complain(p, "a section has no end") : 0;
        if (*p->at == '}') {
            if (depth == 0)
                return complain(p, "'}' without a section");
            p->at++;
            return 0;
        }
        bool is_quoted = *p->at == '"' || *p->at == '\'';
        if (!is_quoted && bare_length(p, "#={}") == 0)
            return complain(p, "a name is missing");
        int rc = is_quoted ? read_quoted(p, &key) : read_bare(p, "#={}", &key);
        if (rc)
            return rc;
        rc = make_node(p, (char *)key, section, &tail, &node);
        if (rc)
            return rc;
        to_tail(&tail);
        if (is_next(p, '{')) {
            p->at++;
            node->is_section = true;
            rc = read_section(p, node, depth + 1);
        } else if (is_next(p, '=')) {
            p->at++;
            rc = read_value(p, node);
        } else {
            rc = complain(p, "'{' or '=' is missing");
        }
        if (rc)
            return rc;
    }
}

int lvm_cfg_parse(struct lvm_arena *arena, const char *text, size_t n_bytes, const char *what,
                  struct lvm_cfg **ret_root, struct ash_err *err)
{
    size_t n = strnlen(text, n_bytes);
    struct parser p = {arena, text, text + n, text, what, err};
    struct lvm_cfg *root = (struct lvm_cfg *)lvm_arena_get(arena, sizeof(*root));
    if (!root)
        return no_memory(&p);
    root->key = "";
    root->is_section = true;
    int rc = read_section(&p, root, 0);
    if (rc == 0)
        *ret_root = root;
    return rc;
}

/* --------------------------------------------------------------- look-up */

const struct lvm_cfg *lvm_cfg_find(const struct lvm_cfg *section, const char *key)
{
    const struct lvm_cfg *node = section ? section->child : NULL;
    while (node && strcmp(node->key, key) != 0)
        node = node->next;
    return node;
}

const struct lvm_cfg *lvm_cfg_path(const struct lvm_cfg *section, const char *path)
{
    while (section) {
        size_t n = strcspn(path, "/");
        const struct lvm_cfg *node = section->child;
        while (node && !(strncmp(node->key, path, n) == 0 && node->key[n] == '\0'))
            node = node->next;
        if (path[n] == '\0')
            return node;
        section = node;
        path += n + 1;
    }
    return NULL;
}

static const struct lvm_cfg_value *scalar(const struct lvm_cfg *section, const char *key)
{
    const struct lvm_cfg *node = lvm_cfg_find(section, key);
    return node && node->values && !node->values->next ? node->values : NULL;
}

bool lvm_cfg_u64(const struct lvm_cfg *section, const char *key, uint64_t *ret_n)
{
    const struct lvm_cfg_value *v = scalar(section, key);
    if (!v || v->kind != LVM_CFG_INT || v->n < 0)
        return false;
    *ret_n = (uint64_t)v->n;
    return true;
}

bool lvm_cfg_str(const struct lvm_cfg *section, const char *key, const char **ret_text)
{
    const struct lvm_cfg_value *v = scalar(section, key);
    if (!v || v->kind != LVM_CFG_STRING)
        return false;
    *ret_text = v->text;
    return true;
}

/* --------------------------------------------------------------- writing */

void lvm_cfg_put_str(struct ash_buf *out, const char *text)
{
    ash_buf_chr(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            ash_buf_chr(out, '\\');
        ash_buf_chr(out, *text);
    }
    ash_buf_chr(out, '"');
}

void lvm_cfg_put_values(struct ash_buf *out, const struct lvm_cfg *node)
{
    if (node->is_list)
        ash_buf_chr(out, '[');
    for (const struct lvm_cfg_value *v = node->values; v; v = v->next) {
        if (v->kind == LVM_CFG_STRING)
            lvm_cfg_put_str(out, v->text);
        else
            ash_buf_str(out, v->text);
        if (v->next)
            ash_buf_chr(out, ',');
    }
    if (node->is_list)
        ash_buf_chr(out, ']');
}

static void put_indent(struct ash_buf *out, int indent)
{
    for (int i = 0; i < indent; i++)
        ash_buf_chr(out, '\t');
}

/* A key that is no bare word any more, as quoted names and parts of paths may be. */
static void put_key(struct ash_buf *out, const char *key)
{
    bool is_bare = *key && *key != '"' && *key != '\'';
    for (const char *c = key; *c; c++)
        is_bare &= !isspace((unsigned char)*c) && !strchr("#={}", *c);
    if (is_bare)
        ash_buf_str(out, key);
    else
        lvm_cfg_put_str(out, key);
}

void lvm_cfg_put(struct ash_buf *out, const struct lvm_cfg *node, int indent)
{
    put_indent(out, indent);
    put_key(out, node->key);
    if (node->is_section) {
        ash_buf_str(out, " {\n");
        for (const struct lvm_cfg *c = node->child; c; c = c->next)
            lvm_cfg_put(out, c, indent < 0 ? indent : indent + 1);
        put_indent(out, indent);
        ash_buf_str(out, "}\n");
    } else {
        ash_buf_str(out, "=");
        lvm_cfg_put_values(out, node);
        ash_buf_chr(out, '\n');
    }
}
