/* SPDX-License-Identifier: Apache-2.0 */
/* Parameter tables: one description of what an operation takes, from which JSON-RPC decoding, URI
 * query parsing, command-line parsing, help and reference pages all come. */
#ifndef ASH_BASE_PARAM_H
#define ASH_BASE_PARAM_H

#include "base/err.h"
#include "base/text.h"

enum ash_ptype {
    ASH_P_STR,     /* char *            (heap, ash_params_free) */
    ASH_P_BOOL,    /* bool */
    ASH_P_FLAG,    /* bool; present = true (URI queries: whatever the value) */
    ASH_P_U8,      /* uint8_t */
    ASH_P_U16,     /* uint16_t */
    ASH_P_U32,     /* uint32_t */
    ASH_P_U64,     /* uint64_t */
    ASH_P_I32,     /* int32_t */
    ASH_P_SIZE,    /* uint64_t bytes; text forms take units */
    ASH_P_UUID,    /* struct ash_uuid, nil when absent */
    ASH_P_ENUM,    /* int, from values */
    ASH_P_STRLIST, /* struct ash_strlist */
    ASH_P_JSON,    /* struct json_object * (a reference of ours); JSON sources only */
};

struct ash_strlist {
    char **items;
    size_t n_items;
};

struct ash_enum {
    const char *name; /* ends with NULL */
    int value;
};

enum { ASH_P_REQUIRED = 1u << 0, ASH_P_HIDDEN = 1u << 1 /* stale alias: accepted, not listed */ };

struct ash_param {
    const char *name; /* table ends with a NULL name */
    enum ash_ptype type;
    unsigned flags;
    size_t offset;     /* of the field in the struct that is filled */
    size_t has_offset; /* of a bool that tells "was given"; SIZE_MAX: none */
    const char *dflt;  /* default as text; NULL: zero */
    const struct ash_enum *values;
    const char *help;
};

#define ASH_PARAM(st, field, ptype, pflags, pdflt, phelp)                                          \
    {                                                                                              \
        .name = #field, .type = ptype, .flags = pflags, .offset = offsetof(st, field),             \
        .has_offset = SIZE_MAX, .dflt = pdflt, .help = phelp                                       \
    }
/* With `bool has_FIELD` in the struct. */
#define ASH_PARAM_OPT(st, field, ptype, phelp)                                                     \
    {                                                                                              \
        .name = #field, .type = ptype, .offset = offsetof(st, field),                              \
        .has_offset = offsetof(st, has_##field), .help = phelp                                     \
    }
#define ASH_PARAM_ENUM(st, field, pflags, pdflt, pvalues, phelp)                                   \
    {                                                                                              \
        .name = #field, .type = ASH_P_ENUM, .flags = pflags, .offset = offsetof(st, field),        \
        .has_offset = SIZE_MAX, .dflt = pdflt, .values = pvalues, .help = phelp                    \
    }

/* Fill the struct (zeroed by the caller) with the defaults. Assertion when a default is malformed.
 */
void ash_params_defaults(const struct ash_param *table, void *st);
/* Decode one text value into its field. 0 or -EINVAL with BAD_PARAMETER_TYPE / BAD_UUID / BAD_SIZE.
 */
int ash_param_from_text(const struct ash_param *p, void *st, const char *text, struct ash_err *err);
const struct ash_param *ash_param_find(const struct ash_param *table, const char *name);
/* Decode a JSON object (NULL or null: none given). Rules of docs/spec/spdk-jsonrpc.md section 3:
 * unknown (unless relaxed), duplicate (json-c keeps the last: the transport refuses them before),
 * missing and ill-typed members fail; integers may be written 1e3 or 2.0. Sets the defaults first.
 * On failure everything already taken is freed again. */
struct json_object;
int ash_params_from_json(const struct ash_param *table, void *st, struct json_object *obj,
                         bool relaxed, struct ash_err *err);
/* Free what decoding put on the heap. */
void ash_params_free(const struct ash_param *table, void *st);
/* Help text: one line per parameter. */
void ash_params_help(const struct ash_param *table, struct ash_buf *out);

#endif
