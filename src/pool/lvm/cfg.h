/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration language of LVM2, in which its metadata, backups and lvm.conf are written
 * (docs/spec/lvm2-format.md 11.1): read into a tree, written back.
 *
 *   file    := { section }
 *   section := name "{" { section } "}"  |  name "=" value       name may be a path a/b/c
 *   value   := scalar | "[" [ scalar { [","] scalar } [","] ] "]"
 *
 * The reader is pure: it takes any bytes and either makes a tree or tells line and reason. Nodes
 * and texts live in the caller's arena. */
#ifndef ASH_POOL_LVM_CFG_H
#define ASH_POOL_LVM_CFG_H

#include "base/err.h"
#include "base/text.h"
#include "pool/lvm/arena.h"

enum lvm_cfg_kind { LVM_CFG_INT, LVM_CFG_FLOAT, LVM_CFG_STRING };

struct lvm_cfg_value {
    struct lvm_cfg_value *next; /* of the same list */
    enum lvm_cfg_kind kind;
    int64_t n;
    const char *text; /* of strings unescaped, of numbers as written; never NULL */
};

struct lvm_cfg {
    const char *key;
    struct lvm_cfg *next, *child; /* siblings; content of a section */
    struct lvm_cfg_value *values; /* NULL: a section, or the empty list */
    bool is_section, is_list;     /* is_list: written with [ ] */
};

enum { LVM_CFG_DEPTH_MAX = 32 };

/* Parse text (a NUL in it ends it). The root is a section without a key. 0, -ENOMEM, or -EINVAL
 * LVM_TEXT_SYNTAX with line and column; what: the file or place for the message. */
int lvm_cfg_parse(struct lvm_arena *arena, const char *text, size_t n_bytes, const char *what,
                  struct lvm_cfg **ret_root, struct ash_err *err);

/* First child of that name (which is no path), or NULL. */
const struct lvm_cfg *lvm_cfg_find(const struct lvm_cfg *section, const char *key);
/* The same with a path "backup/archive". */
const struct lvm_cfg *lvm_cfg_path(const struct lvm_cfg *section, const char *path);
/* Scalars of a child: false when absent, of another kind, or a list of another length than one. */
bool lvm_cfg_u64(const struct lvm_cfg *section, const char *key, uint64_t *ret_n);
bool lvm_cfg_str(const struct lvm_cfg *section, const char *key, const char **ret_text);

/* Write a string with quotes and escapes, a list, or a whole node with `indent` tabs before each
 * line (-1: none at any depth). */
void lvm_cfg_put_str(struct ash_buf *out, const char *text);
void lvm_cfg_put_values(struct ash_buf *out, const struct lvm_cfg *node);
void lvm_cfg_put(struct ash_buf *out, const struct lvm_cfg *node, int indent);

#endif
