/* SPDX-License-Identifier: Apache-2.0 */
/* Reports: fields, rows, layout, selection (docs/spec/lvm2-commands.md 2). */
#ifndef ASH_CTL_LVM_REPORT_H
#define ASH_CTL_LVM_REPORT_H

#include "ctl/lvm/lvmcmd.h"

enum rep_of { REP_LV, REP_VG, REP_PV, REP_SEG, REP_PVSEG };
enum rep_kind { REP_STR, REP_LIST, REP_NUM, REP_SIZE, REP_PERCENT, REP_BIN, REP_TIME };

/* What one row is about; what does not apply is NULL. */
struct rep_row {
    struct lvm_group *group;
    struct lvm_lv *lv;
    struct lvm_seg *seg;
    struct lvm_pv *pv;
    struct lvm_dev *dev;
    uint32_t pvseg_start, pvseg_len;
};

/* A field's value. Undefined: text empty. n is what numbers are sorted and selected by. */
struct rep_value {
    struct ash_buf text;
    const char *sort; /* instead of the text; NULL */
    uint64_t n;
    bool is_defined;
};

struct rep_field {
    const char *id;
    enum rep_of of;
    const char *heading;
    enum rep_kind kind;
    uint8_t min_width;
    void (*get)(struct lvmcmd *c, const struct rep_row *row, struct rep_value *v);
    const char *help;
};
extern const struct rep_field rep_fields_vg[]; /* of VGs and PVs; ends with a NULL id */
/* All fields in turn; NULL begins and ends. */
const struct rep_field *rep_field_next(const struct rep_field *f);

/* By name; a prefix ("lv_") of the report's own kind may be left out. NULL. */
const struct rep_field *rep_field_find(const char *name, size_t n, enum rep_of own);

/* --- fields_put.c: values as text --- */
void rep_put_str(struct rep_value *v, const char *text); /* NULL: undefined */
void rep_put_num(struct rep_value *v, uint64_t n);
void rep_put_minus_one(struct rep_value *v);
void rep_put_size(struct lvmcmd *c, struct rep_value *v, uint64_t bytes);
void rep_put_bin(struct lvmcmd *c, struct rep_value *v, bool yes, const char *word);
void rep_put_list(struct rep_value *v, const struct lvm_str *list);
void rep_put_id(struct rep_value *v, const struct lvm_id *id);
void rep_put_lv_name(struct rep_value *v, const struct lvm_lv *lv);
static inline uint64_t rep_extent_bytes(const struct lvm_vg *vg)
{
    return (uint64_t)vg->extent_sectors * LVM_SECTOR_BYTES;
}

/* --- select.c --- */
/* Does the row fit the expression? 1 yes, 0 no, -1 the expression is wrong (printed). */
int rep_select(struct lvmcmd *c, const char *expr, const struct rep_row *row, enum rep_of own);

/* --- attr.c: lv_attr and what layout and role need --- */
void rep_lv_attr(const struct lvm_lv *lv, char attr[11]);
void rep_vg_attr(const struct lvm_vg *vg, char attr[8]);
void rep_pv_attr(const struct lvm_pv *pv, const struct lvm_dev *dev, char attr[4]);
void rep_lv_layout(const struct lvm_lv *lv, struct ash_buf *out);
void rep_lv_role(const struct lvm_lv *lv, struct ash_buf *out);
/* Names end in this, and perhaps a number behind it. */
bool rep_is_part(const struct lvm_lv *lv, const char *suffix);

/* --- report.c --- */
enum { REP_MAX_FIELDS = 160 }; /* what is named beyond is left out */

struct rep {
    struct lvmcmd *c;
    enum rep_of of;      /* whose report it is: lvs, vgs, pvs */
    enum rep_of rows_of; /* what a row is */
    const struct rep_field *fields[REP_MAX_FIELDS];
    size_t n_fields;
    struct {
        const struct rep_field *field;
        bool down;
    } keys[16];
    size_t n_keys;
    struct rep_value *values; /* n_rows x (n_fields + n_keys) */
    size_t n_rows, n_rows_room;
};
/* Options -o, -O and defaults. 0 or an exit code. */
int rep_begin(struct rep *rep, struct lvmcmd *c, enum rep_of of, const char *fields,
              const char *keys);
int rep_add(struct rep *rep, const struct rep_row *row); /* when the selection wants it */
/* Make all rows of the VGs asked for. */
int rep_collect(struct rep *rep, struct lvm_group *g);
void rep_print(struct rep *rep);
/* The same as one of several parts of an object (fullreport). */
void rep_print_part(struct rep *rep, bool first);
void rep_end(struct rep *rep);

#endif
