/* SPDX-License-Identifier: Apache-2.0 */
/* JSON writer: compact, 7-bit, members in the order they are written
 * (docs/spec/spdk-jsonrpc.md 1.2: \uXXXX in upper case for everything outside 0x20..0x7E but the
 * short escapes; '/' is not escaped). Reading is json-c's work. */
#ifndef ASH_BASE_JSONW_H
#define ASH_BASE_JSONW_H

#include "base/text.h"

struct ash_jsonw {
    struct ash_buf *buf;
    bool need_comma;
};

static inline void ash_jsonw_init(struct ash_jsonw *w, struct ash_buf *buf)
{
    *w = (struct ash_jsonw){buf, false};
}

/* Values; name NULL inside arrays and at the top. */
void ash_jsonw_obj(struct ash_jsonw *w, const char *name);
void ash_jsonw_obj_end(struct ash_jsonw *w);
void ash_jsonw_arr(struct ash_jsonw *w, const char *name);
void ash_jsonw_arr_end(struct ash_jsonw *w);
void ash_jsonw_str(struct ash_jsonw *w, const char *name, const char *text); /* NULL text: null */
void ash_jsonw_strn(struct ash_jsonw *w, const char *name, const char *text, size_t n_bytes);
void ash_jsonw_u64(struct ash_jsonw *w, const char *name, uint64_t n);
void ash_jsonw_i64(struct ash_jsonw *w, const char *name, int64_t n);
void ash_jsonw_f64(struct ash_jsonw *w, const char *name, double n);
void ash_jsonw_bool(struct ash_jsonw *w, const char *name, bool b);
void ash_jsonw_null(struct ash_jsonw *w, const char *name);
/* Text that is JSON already. */
void ash_jsonw_raw(struct ash_jsonw *w, const char *name, const char *json, size_t n_bytes);

#endif
