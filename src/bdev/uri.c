/* SPDX-License-Identifier: Apache-2.0 */
/* Device URIs: one text that names a device and tells how to make it.
 * Source: docs/spec/mayastor-bdev-uris.md 1-4, 6. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "bdev/core.h"
#include "bdev/mod/mod.h"

void bdev_uri_free(struct bdev_uri *uri)
{
    rt_free(uri->text);
    rt_free(uri->scheme);
    rt_free(uri->host);
    rt_free(uri->path);
    for (size_t i = 0; i < uri->n_query; i++) {
        rt_free(uri->query[i].key);
        rt_free(uri->query[i].value);
    }
    rt_free(uri->query);
    *uri = (struct bdev_uri){0};
}

static char *dup_part(const char *from, size_t n)
{
    char *s = rt_alloc(n + 1);
    if (s)
        memcpy(s, from, n);
    return s;
}

static size_t count_segments(const char *path)
{
    if (path[0] == '\0' || strcmp(path, "/") == 0)
        return 0;
    size_t n = 0;
    for (const char *p = path; *p; p++)
        n += *p == '/';
    return path[0] == '/' ? n : n + 1;
}

static int syntax(const char *text, const char *why, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BDEV_URI_SYNTAX, text, "Error parsing URI '%s': %s", text, why);
}

/* One "key=value" of the query; the last of a repeated key wins. */
static int add_query(struct bdev_uri *uri, const char *item, size_t n, struct ash_err *err)
{
    const char *eq = memchr(item, '=', n);
    size_t n_key = eq ? (size_t)(eq - item) : n;
    char *key = dup_part(item, n_key), *value = dup_part(eq ? eq + 1 : "", eq ? n - n_key - 1 : 0);
    int rc = -ENOMEM;
    if (key && value)
        rc = ash_percent_decode(key, true) || ash_percent_decode(value, true)
                 ? syntax(uri->text, "a parameter has a broken % escape", err)
                 : 0;
    struct bdev_uri_query *q = NULL;
    for (size_t i = 0; rc == 0 && i < uri->n_query; i++)
        if (strcmp(uri->query[i].key, key) == 0)
            q = &uri->query[i];
    if (rc == 0 && q) {
        rt_free(q->value);
        q->value = value;
        rt_free(key);
        return 0;
    }
    if (rc == 0) {
        size_t n_old = uri->n_query * sizeof(*q);
        q = rt_realloc(uri->query, n_old, n_old + sizeof(*q));
        rc = q ? 0 : -ENOMEM;
    }
    if (rc) {
        rt_free(key);
        rt_free(value);
        return rc;
    }
    uri->query = q;
    uri->query[uri->n_query++] = (struct bdev_uri_query){key, value};
    return 0;
}

static int parse_query(struct bdev_uri *uri, const char *p, struct ash_err *err)
{
    while (*p) {
        size_t n = strcspn(p, "&");
        int rc = n ? add_query(uri, p, n, err) : 0;
        if (rc)
            return rc;
        p += n + (p[n] == '&');
    }
    return 0;
}

static int parse_parts(struct bdev_uri *uri, struct ash_err *err)
{
    const char *p = uri->text;
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || (n && p[n] && strchr("+-.", p[n])))
        n++;
    if (n == 0 || !isalpha((unsigned char)p[0]) || p[n] != ':')
        return syntax(uri->text, "it does not begin with a scheme like aio:", err);
    uri->scheme = dup_part(p, n);
    if (!uri->scheme)
        return -ENOMEM;
    for (char *c = uri->scheme; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    p += n + 1;
    if (strncmp(p, "//", 2) == 0) {
        p += 2;
        n = strcspn(p, "/?#");
        uri->host = dup_part(p, n);
        p += n;
    } else {
        uri->host = dup_part("", 0);
    }
    n = strcspn(p, "?#");
    uri->path = dup_part(p, n);
    if (!uri->host || !uri->path)
        return -ENOMEM;
    uri->n_segments = count_segments(uri->path);
    if (ash_percent_decode(uri->path, false))
        return syntax(uri->text, "the path has a broken % escape", err);
    p += n;
    if (*p != '?')
        return 0;
    p++;
    char *query = dup_part(p, strcspn(p, "#"));
    if (!query)
        return -ENOMEM;
    int rc = parse_query(uri, query, err);
    rt_free(query);
    return rc;
}

int bdev_uri_parse(const char *text, struct bdev_uri *ret_uri, struct ash_err *err)
{
    struct bdev_uri uri = {.text = rt_strdup(text)};
    int rc;
    if (!uri.text) {
        rc = -ENOMEM;
    } else if (text[0] == '/' || text[0] == '.') {
        /* a path as it stands, whatever characters it has */
        uri.scheme = rt_strdup("aio");
        uri.host = rt_strdup("");
        uri.path = rt_strdup(text);
        uri.n_segments = count_segments(text);
        rc = uri.scheme && uri.host && uri.path ? 0 : -ENOMEM;
    } else {
        rc = parse_parts(&uri, err);
    }
    if (rc) {
        bdev_uri_free(&uri);
        return rc == -ENOMEM ? ash_err_set(err, ASH_E_NO_MEMORY, text, "no memory for a URI") : rc;
    }
    *ret_uri = uri;
    return 0;
}

int bdev_uri_invalid(const struct bdev_uri *uri, const char *why, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BDEV_URI_INVALID, uri->text, "Invalid URI '%s': %s", uri->text,
                       why);
}

/* ----------------------------------------------------------- parameters */

static struct bdev_module *module_of(struct bdev_mgr *mgr, const struct bdev_uri *uri)
{
    for (size_t i = 0; i < mgr->n_modules; i++) {
        const char *const *s = mgr->modules[i]->schemes;
        for (; s && *s; s++)
            if (strcmp(*s, uri->scheme) == 0)
                return mgr->modules[i];
    }
    return NULL;
}

static int find_module(struct bdev_mgr *mgr, const struct bdev_uri *uri, struct bdev_module **ret,
                       struct ash_err *err)
{
    *ret = module_of(mgr, uri);
    if (*ret)
        return 0;
    return ash_err_set(err, ASH_E_BDEV_URI_SCHEME, uri->scheme, "Unsupported URI scheme: %s",
                       uri->scheme);
}

static int bad_param(const struct bdev_uri *uri, const struct ash_param *p, const char *value,
                     struct ash_err *err)
{
    if (p->type == ASH_P_UUID)
        return ash_err_set(err, ASH_E_BDEV_URI_PARAM, uri->text,
                           "Invalid URI '%s': could not parse value of UUID parameter", uri->text);
    const char *kind = p->type == ASH_P_BOOL   ? "a boolean"
                       : p->type == ASH_P_SIZE ? "a size"
                       : p->type == ASH_P_ENUM ? "one of a list of words"
                                               : "an integer";
    return ash_err_set(err, ASH_E_BDEV_URI_PARAM, uri->text,
                       "Invalid URI '%s': could not parse value of parameter '%s': '%s' is given, "
                       "%s expected",
                       uri->text, p->name, value, kind);
}

static int decode(const struct bdev_module *m, const struct bdev_uri *uri, void *params,
                  struct ash_err *err)
{
    static const struct ash_param none[] = {{.name = NULL}};
    const struct ash_param *table = m->uri_params ? m->uri_params : none;
    struct ash_buf rest ASH_CLEANUP(ash_buf_free) = {0};
    ash_params_defaults(table, params);
    for (size_t i = 0; i < uri->n_query; i++) {
        const struct bdev_uri_query *q = &uri->query[i];
        const struct ash_param *p = ash_param_find(table, q->key);
        if (!p)
            ash_buf_fmt(&rest, "%s%s=%s", rest.n_bytes ? ", " : "", q->key, q->value);
        else if (ash_param_from_text(p, params, q->value, NULL))
            return bad_param(uri, p, q->value, err);
    }
    if (rest.n_bytes == 0)
        return 0;
    return ash_err_set(err, ASH_E_BDEV_URI_INVALID, uri->text,
                       "Invalid URI '%s': unrecognized parameter(s): %s", uri->text,
                       ash_buf_text(&rest));
}

/* --------------------------------------------------------- create, destroy */

static int create_parsed(struct bdev_mgr *mgr, const struct bdev_uri *uri, char **ret_name,
                         struct ash_err *err) ASH_MAY_WAIT
{
    struct bdev_module *m;
    int rc = find_module(mgr, uri, &m, err);
    if (rc)
        return rc;
    if (!m->uri_create)
        return ash_err_set(err, ASH_E_NOT_SUPPORTED, uri->text,
                           "devices of scheme %s cannot be made here", uri->scheme);
    void *params = rt_alloc(m->uri_params_bytes ? m->uri_params_bytes : 1);
    if (!params)
        return ash_err_set(err, ASH_E_NO_MEMORY, uri->text, "no memory for a URI");
    rc = decode(m, uri, params, err);
    if (rc == 0)
        rc = m->uri_create(mgr, uri, params, ret_name, err);
    if (m->uri_params)
        ash_params_free(m->uri_params, params);
    rt_free(params);
    return rc;
}

int bdev_create_uri(struct bdev_mgr *mgr, const char *text, char **ret_name, struct ash_err *err)
{
    struct bdev_uri uri;
    int rc = bdev_uri_parse(text, &uri, err);
    if (rc)
        return rc;
    char *name = NULL;
    rc = create_parsed(mgr, &uri, &name, err);
    if (rc == 0) {
        struct bdev *bdev = bdev_find(mgr, name);
        if (bdev)
            bdev_alias_add(bdev, text); /* a name that is taken is no failure of the creation */
        *ret_name = name;
    }
    bdev_uri_free(&uri);
    return rc;
}

static int destroy_parsed(struct bdev_mgr *mgr, const struct bdev_uri *uri,
                          struct ash_err *err) ASH_MAY_WAIT
{
    struct bdev_module *m;
    int rc = find_module(mgr, uri, &m, err);
    if (rc)
        return rc;
    if (m->uri_destroy)
        return m->uri_destroy(mgr, uri, err);
    char *name = NULL;
    rc = m->uri_name(uri, &name, err);
    if (rc)
        return rc;
    struct bdev *bdev = bdev_find(mgr, name);
    if (!bdev || bdev->module != m)
        rc = ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "BDEV '%s' could not be found", name);
    else if (bdev_unregister(bdev))
        rc = ash_err_set(err, ASH_E_BDEV_BUSY, name, "Failed to destroy a BDEV '%s'", name);
    rt_free(name);
    return rc;
}

int bdev_destroy_uri(struct bdev_mgr *mgr, const char *text, struct ash_err *err)
{
    struct bdev_uri uri;
    int rc = bdev_uri_parse(text, &uri, err);
    if (rc)
        return rc;
    rc = destroy_parsed(mgr, &uri, err);
    bdev_uri_free(&uri);
    return rc;
}
