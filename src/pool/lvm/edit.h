/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a VG in memory: LVs and their segments (docs/spec/lvm2-format.md 10, 13, 15.3). After a
 * change lvm_vg_link makes the rest follow; lvm_vg_update does so itself. Nothing here does I/O. */
#ifndef ASH_POOL_LVM_EDIT_H
#define ASH_POOL_LVM_EDIT_H

#include "pool/lvm/vg.h"

/* A new LV without segments at the end of the list: READ, WRITE, VISIBLE. NULL: no memory, or the
 * name is taken. */
struct lvm_lv *lvm_lv_add(struct lvm_vg *vg, const char *name, const struct lvm_id *id,
                          const char *host, uint64_t time_s);
/* Take it out; its memory stays with the VG. Nobody may use it (parts go with their owner). */
void lvm_lv_remove(struct lvm_lv *lv);
/* A segment at the end of the LV, areas and values empty. NULL: no memory. */
struct lvm_seg *lvm_seg_add(struct lvm_lv *lv, const char *type, uint32_t len, uint32_t n_areas);
/* Make one of segments that continue each other (15.3). */
void lvm_lv_merge(struct lvm_lv *lv);
/* Cut the end off: n_extents are left, at a place that its last segment's stripes allow. False: no
 * segment may be cut there. */
bool lvm_lv_cut(struct lvm_lv *lv, uint32_t n_extents);
/* Rename it and its hidden parts (10). The new names are free. False: no memory, or too long. */
bool lvm_lv_rename(struct lvm_lv *lv, const char *name);
/* "lvol%d" and the like: one above the highest in use. buf at least 128 bytes. */
void lvm_lv_free_name(const struct lvm_vg *vg, const char *prefix, char *buf);

#endif
