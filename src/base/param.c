/* SPDX-License-Identifier: Apache-2.0 */
#include "base/param.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <json-c/json.h>

#include "base/assert.h"
#include "base/uuid.h"

static const char *const type_names[] = {
    [ASH_P_STR] = "string", [ASH_P_BOOL] = "boolean", [ASH_P_FLAG] = "flag",
    [ASH_P_U8] = "u8",      [ASH_P_U16] = "u16",      [ASH_P_U32] = "u32",
    [ASH_P_U64] = "u64",    [ASH_P_I32] = "i32",      [ASH_P_SIZE] = "size",
    [ASH_P_UUID] = "uuid",  [ASH_P_ENUM] = "word",    [ASH_P_STRLIST] = "list of strings",
    [ASH_P_JSON] = "JSON",
};

static void *field(const struct ash_param *p, void *st)
{
    return (char *)st + p->offset;
}

static void mark_given(const struct ash_param *p, void *st)
{
    if (p->has_offset != SIZE_MAX)
        *(bool *)((char *)st + p->has_offset) = true;
}

static int bad_type(const struct ash_param *p, const char *value, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BAD_PARAMETER_TYPE, p->name,
                       "parameter '%s' cannot be '%s': %s expected", p->name, value,
                       type_names[p->type]);
}

/* Largest value of an unsigned field. */
static uint64_t unsigned_max(enum ash_ptype type)
{
    switch (type) {
    case ASH_P_U8:
        return UINT8_MAX;
    case ASH_P_U16:
        return UINT16_MAX;
    case ASH_P_U32:
        return UINT32_MAX;
    default:
        return UINT64_MAX;
    }
}

static void put_unsigned(const struct ash_param *p, void *st, uint64_t n)
{
    void *f = field(p, st);
    switch (p->type) {
    case ASH_P_U8:
        *(uint8_t *)f = (uint8_t)n;
        break;
    case ASH_P_U16:
        *(uint16_t *)f = (uint16_t)n;
        break;
    case ASH_P_U32:
        *(uint32_t *)f = (uint32_t)n;
        break;
    default:
        *(uint64_t *)f = n;
        break;
    }
}

static int put_str(const struct ash_param *p, void *st, const char *text, struct ash_err *err)
{
    char *copy = strdup(text);
    if (!copy)
        return ash_err_set(err, ASH_E_NO_MEMORY, p->name, "no memory for parameter '%s'", p->name);
    free(*(char **)field(p, st));
    *(char **)field(p, st) = copy;
    return 0;
}

static int put_enum(const struct ash_param *p, void *st, const char *text, struct ash_err *err)
{
    struct ash_buf words ASH_CLEANUP(ash_buf_free) = {0};
    for (const struct ash_enum *e = p->values; e->name; e++) {
        if (strcmp(e->name, text) == 0) {
            *(int *)field(p, st) = e->value;
            return 0;
        }
        ash_buf_fmt(&words, "%s%s", words.n_bytes ? ", " : "", e->name);
    }
    return ash_err_set(err, ASH_E_BAD_PARAMETER_TYPE, p->name,
                       "parameter '%s' cannot be '%s': one of %s expected", p->name, text,
                       ash_buf_text(&words));
}

static int list_add(const struct ash_param *p, void *st, const char *text, struct ash_err *err)
{
    struct ash_strlist *l = field(p, st);
    char **items = realloc(l->items, (l->n_items + 1) * sizeof(*items));
    if (items)
        l->items = items;
    char *copy = items ? strdup(text) : NULL;
    if (!copy)
        return ash_err_set(err, ASH_E_NO_MEMORY, p->name, "no memory for parameter '%s'", p->name);
    l->items[l->n_items++] = copy;
    return 0;
}

static int parse_bool(const char *text, bool *ret)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};
    for (size_t i = 0; i < ASH_N_ELEMS(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i & 1;
            return 0;
        }
    }
    uint64_t n;
    int rc = ash_parse_u64(text, UINT32_MAX, &n);
    if (rc == 0)
        *ret = n != 0;
    return rc;
}

int ash_param_from_text(const struct ash_param *p, void *st, const char *text, struct ash_err *err)
{
    uint64_t n;
    int rc = 0;
    switch (p->type) {
    case ASH_P_STR:
        rc = put_str(p, st, text, err);
        break;
    case ASH_P_FLAG:
        *(bool *)field(p, st) = true;
        break;
    case ASH_P_BOOL:
        /* "present without a value" is the usual way to say yes in a query */
        if (!*text)
            *(bool *)field(p, st) = true;
        else if (parse_bool(text, field(p, st)))
            return bad_type(p, text, err);
        break;
    case ASH_P_U8:
    case ASH_P_U16:
    case ASH_P_U32:
    case ASH_P_U64:
        if (ash_parse_u64(text, unsigned_max(p->type), &n))
            return bad_type(p, text, err);
        put_unsigned(p, st, n);
        break;
    case ASH_P_I32:
        if (ash_parse_u64(text + (*text == '-'), INT32_MAX, &n))
            return bad_type(p, text, err);
        *(int32_t *)field(p, st) = *text == '-' ? -(int32_t)n : (int32_t)n;
        break;
    case ASH_P_SIZE:
        if (ash_parse_size(text, &n))
            return ash_err_set(err, ASH_E_BAD_SIZE, p->name,
                               "parameter '%s' cannot be '%s': a size like 64K or 10GiB expected",
                               p->name, text);
        put_unsigned(p, st, n);
        break;
    case ASH_P_UUID:
        if (ash_uuid_parse_any(text, field(p, st)))
            return ash_err_set(err, ASH_E_BAD_UUID, p->name, "parameter '%s' is not a UUID: '%s'",
                               p->name, text);
        break;
    case ASH_P_ENUM:
        rc = put_enum(p, st, text, err);
        break;
    case ASH_P_STRLIST:
        rc = list_add(p, st, text, err);
        break;
    case ASH_P_JSON:
        return bad_type(p, text, err);
    }
    if (rc == 0)
        mark_given(p, st);
    return rc;
}

void ash_params_defaults(const struct ash_param *table, void *st)
{
    for (const struct ash_param *p = table; p->name; p++) {
        if (!p->dflt)
            continue;
        int rc = ash_param_from_text(p, st, p->dflt, NULL);
        ASH_ASSERT(rc == 0 || rc == -ENOMEM);
        if (p->has_offset != SIZE_MAX)
            *(bool *)((char *)st + p->has_offset) = false;
    }
}

const struct ash_param *ash_param_find(const struct ash_param *table, const char *name)
{
    for (const struct ash_param *p = table; p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

/* An exactly integral JSON number as sign and magnitude. */
static int json_integer(struct json_object *v, bool *ret_negative, uint64_t *ret_n)
{
    if (json_object_is_type(v, json_type_int)) {
        /* json-c keeps values above INT64_MAX as unsigned, negative ones as signed */
        int64_t s = json_object_get_int64(v);
        *ret_negative = s < 0;
        *ret_n = s < 0 ? -(uint64_t)s : json_object_get_uint64(v);
        return 0;
    }
    if (json_object_is_type(v, json_type_double)) {
        double d = json_object_get_double(v);
        if (!isfinite(d) || d != floor(d) || fabs(d) >= 18446744073709551616.0)
            return -EINVAL;
        *ret_negative = d < 0;
        *ret_n = (uint64_t)fabs(d);
        return 0;
    }
    return -EINVAL;
}

static int from_json_value(const struct ash_param *p, void *st, struct json_object *v,
                           struct ash_err *err)
{
    bool negative = false;
    uint64_t n = 0;
    const char *shown = v ? json_object_to_json_string(v) : "null";
    switch (p->type) {
    case ASH_P_STR:
    case ASH_P_ENUM:
    case ASH_P_UUID:
        if (!json_object_is_type(v, json_type_string))
            return bad_type(p, shown, err);
        if (strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
            return bad_type(p, "text with a NUL", err);
        if (p->type == ASH_P_UUID && ash_uuid_parse(json_object_get_string(v), field(p, st)))
            return ash_err_set(err, ASH_E_BAD_UUID, p->name, "parameter '%s' is not a UUID: %s",
                               p->name, shown);
        return ash_param_from_text(p, st, json_object_get_string(v), err);
    case ASH_P_BOOL:
    case ASH_P_FLAG:
        if (!json_object_is_type(v, json_type_boolean))
            return bad_type(p, shown, err);
        *(bool *)field(p, st) = json_object_get_boolean(v);
        break;
    case ASH_P_SIZE:
        if (json_object_is_type(v, json_type_string))
            return ash_param_from_text(p, st, json_object_get_string(v), err);
        /* fall through */
    case ASH_P_U8:
    case ASH_P_U16:
    case ASH_P_U32:
    case ASH_P_U64:
        if (json_integer(v, &negative, &n) || (negative && n) || n > unsigned_max(p->type))
            return bad_type(p, shown, err);
        put_unsigned(p, st, n);
        break;
    case ASH_P_I32:
        if (json_integer(v, &negative, &n) || n > (uint64_t)INT32_MAX + negative)
            return bad_type(p, shown, err);
        *(int32_t *)field(p, st) = (int32_t)(negative ? -(int64_t)n : (int64_t)n);
        break;
    case ASH_P_STRLIST:
        if (!json_object_is_type(v, json_type_array))
            return bad_type(p, shown, err);
        for (size_t i = 0; i < json_object_array_length(v); i++) {
            struct json_object *item = json_object_array_get_idx(v, i);
            if (!json_object_is_type(item, json_type_string))
                return bad_type(p, shown, err);
            int rc = list_add(p, st, json_object_get_string(item), err);
            if (rc)
                return rc;
        }
        break;
    case ASH_P_JSON:
        *(struct json_object **)field(p, st) = json_object_get(v);
        break;
    }
    mark_given(p, st);
    return 0;
}

static int from_json(const struct ash_param *table, void *st, struct json_object *obj, bool relaxed,
                     struct ash_err *err)
{
    ash_params_defaults(table, st);
    if (obj && !json_object_is_type(obj, json_type_object))
        return ash_err_set(err, ASH_E_BAD_PARAMETER_TYPE, "params", "parameters must be an object");
    if (obj) {
        json_object_object_foreach(obj, name, v)
        {
            const struct ash_param *p = ash_param_find(table, name);
            if (!p && !relaxed)
                return ash_err_set(err, ASH_E_UNKNOWN_PARAMETER, name, "unknown parameter '%s'",
                                   name);
            int rc = p ? from_json_value(p, st, v, err) : 0;
            if (rc)
                return rc;
        }
    }
    for (const struct ash_param *p = table; p->name; p++) {
        if ((p->flags & ASH_P_REQUIRED) && !(obj && json_object_object_get_ex(obj, p->name, NULL)))
            return ash_err_set(err, ASH_E_MISSING_PARAMETER, p->name, "parameter '%s' is missing",
                               p->name);
    }
    return 0;
}

int ash_params_from_json(const struct ash_param *table, void *st, struct json_object *obj,
                         bool relaxed, struct ash_err *err)
{
    int rc = from_json(table, st, obj, relaxed, err);
    if (rc)
        ash_params_free(table, st);
    return rc;
}

void ash_params_free(const struct ash_param *table, void *st)
{
    for (const struct ash_param *p = table; p->name; p++) {
        if (p->type == ASH_P_STR) {
            ash_freep(field(p, st));
        } else if (p->type == ASH_P_STRLIST) {
            struct ash_strlist *l = field(p, st);
            for (size_t i = 0; i < l->n_items; i++)
                free(l->items[i]);
            free(l->items);
            *l = (struct ash_strlist){0};
        } else if (p->type == ASH_P_JSON) {
            json_object_put(*(struct json_object **)field(p, st));
            *(struct json_object **)field(p, st) = NULL;
        }
    }
}

void ash_params_help(const struct ash_param *table, struct ash_buf *out)
{
    for (const struct ash_param *p = table; p->name; p++) {
        if (p->flags & ASH_P_HIDDEN)
            continue;
        ash_buf_fmt(out, "  %-28s %-8s %s", p->name, type_names[p->type], p->help ? p->help : "");
        if (p->flags & ASH_P_REQUIRED)
            ash_buf_str(out, " (required)");
        else if (p->dflt)
            ash_buf_fmt(out, " (default %s)", p->dflt);
        ash_buf_chr(out, '\n');
    }
}
