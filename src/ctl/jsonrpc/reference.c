/* SPDX-License-Identifier: Apache-2.0 */
/* The reference page (docs/rpc.md) and the help of single methods, from the method tables. */
#include "ctl/jsonrpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *type_word(enum ash_ptype type)
{
    switch (type) {
    case ASH_P_STR:
        return "string";
    case ASH_P_BOOL:
    case ASH_P_FLAG:
        return "bool";
    case ASH_P_U8:
        return "u8";
    case ASH_P_U16:
        return "u16";
    case ASH_P_U32:
        return "u32";
    case ASH_P_U64:
        return "u64";
    case ASH_P_I32:
        return "i32";
    case ASH_P_SIZE:
        return "bytes (u64 or text like 4MiB)";
    case ASH_P_UUID:
        return "uuid";
    case ASH_P_ENUM:
        return "word";
    case ASH_P_STRLIST:
        return "list of strings";
    case ASH_P_JSON:
        return "JSON";
    }
    return "";
}

static void put_param(struct ash_buf *out, const struct ash_param *p)
{
    if (p->flags & ASH_P_HIDDEN)
        return;
    ash_buf_fmt(out, "| `%s` | %s | ", p->name, type_word(p->type));
    if (p->flags & ASH_P_REQUIRED)
        ash_buf_str(out, "required");
    else if (p->dflt)
        ash_buf_fmt(out, "`%s`", p->dflt);
    ash_buf_fmt(out, " | %s |\n", p->help ? p->help : "");
}

static void put_method(struct ash_buf *out, const struct ash_method *m)
{
    const char *help = m->help ? m->help : "";
    size_t n = strlen(help);
    ash_buf_fmt(out, "## %s\n\n%.*s.", m->name, (int)(n - (n && help[n - 1] == '.')), help);
    unsigned states = m->flags & (ASH_M_STARTUP | ASH_M_RUNTIME);
    if (states == ASH_M_STARTUP)
        ash_buf_str(out, " Only before `framework_start_init`.");
    else if (states == (ASH_M_STARTUP | ASH_M_RUNTIME))
        ash_buf_str(out, " At any time.");
    if (m->flags & ASH_M_READ_ONLY)
        ash_buf_str(out, " Changes nothing.");
    if (m->flags & ASH_M_RELAXED)
        ash_buf_str(out, " Parameters that are not known are ignored.");
    if (!m->params) {
        ash_buf_str(out, " No parameters.\n\n");
        return;
    }
    ash_buf_fmt(out, " Parameters that cannot be decoded: %d.\n\n",
                m->decode_code ? m->decode_code : RPC_INTERNAL_ERROR);
    ash_buf_str(out, "| parameter | type | default | |\n|---|---|---|---|\n");
    for (const struct ash_param *p = m->params; p->name; p++)
        put_param(out, p);
    ash_buf_chr(out, '\n');
}

static int by_name(const void *a, const void *b)
{
    const struct ash_method *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

int jsonrpc_reference(struct ash_engine *engine, struct ash_buf *out, struct ash_err *err)
{
    struct jsonrpc *rpc = rpc_of(engine);
    const struct ash_method **rows = rpc ? rt_alloc((rpc->n_entries + 1) * sizeof(*rows)) : NULL;
    if (!rows)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the reference");
    size_t n = 0;
    for (size_t i = 0; i < rpc->n_entries; i++)
        if (!(rpc->entries[i].method->flags & ASH_M_HIDDEN))
            rows[n++] = rpc->entries[i].method;
    qsort(rows, n, sizeof(*rows), by_name);
    ash_buf_str(out, "# JSON-RPC methods\n\n"
                     "Made from the method tables by `scripts/reference`; do not edit.\n"
                     "Protocol, results and error codes of SPDK's methods: "
                     "docs/spec/spdk-jsonrpc.md.\n\n"
                     "Every error that has a known cause carries "
                     "`data: {reason, object, detail, hint}` beside `code` and `message`.\n\n");
    for (size_t i = 0; i < n; i++)
        put_method(out, rows[i]);
    rt_free(rows);
    return out->failed ? ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the reference") : 0;
}

int jsonrpc_method_help(struct ash_engine *engine, const char *method, struct ash_buf *out,
                        struct ash_err *err)
{
    struct jsonrpc *rpc = rpc_of(engine);
    struct rpc_entry *entry = rpc ? rpc_find(rpc, method) : NULL;
    if (!entry)
        return ash_err_set(err, ASH_E_RPC_METHOD, method, "there is no method '%s'", method);
    ash_buf_fmt(out, "%s: %s\n", method, entry->method->help ? entry->method->help : "");
    if (entry->method->params)
        ash_params_help(entry->method->params, out);
    return out->failed ? ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the help") : 0;
}
