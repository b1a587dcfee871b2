/* SPDX-License-Identifier: Apache-2.0 */
/* A set of devices, and the VGs that are on them: what LVM2 would find on a host with these disks
 * (docs/spec/lvm2-format.md 9). Reading goes through the bdev layer; control reactor, in a task.
 *
 * Copies of a VG's text may differ: the highest seqno counts, the others are told about and (when
 * they are good but old) written by the next update. A bad area is set aside: ordinary updates
 * leave it alone, lvm_vg_repair (update.h) writes it anew. */
#ifndef ASH_POOL_LVM_SET_H
#define ASH_POOL_LVM_SET_H

#include "bdev/bdev.h"
#include "pool/lvm/vg.h"

/* One metadata area of a device. */
struct lvm_mda {
    uint64_t start, size; /* bytes, as the label says */
    bool has_header;      /* the header could be read; else fault tells */
    struct lvm_mda_header header;
    bool ignored;
    enum ash_reason fault; /* of header or text; ASH_OK: good, or empty */
    char fault_text[200];
    struct lvm_vg *copy;     /* the VG as this area tells it; NULL: empty, ignored or bad. May be
                              * shared with other areas of equal text */
    struct lvm_group *group; /* where it belongs */
};

struct lvm_dev {
    struct ash_list link; /* of set->devs */
    const char *name;     /* as the user gave it */
    uint64_t size_bytes;
    uint32_t block_bytes;
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    bool writable;
    bool has_label;
    enum ash_reason fault; /* of the label; LVM_NO_LABEL for any other disk */
    char fault_text[200];
    struct lvm_label label;
    struct lvm_mda mdas[LVM_MDA_MAX];
    struct lvm_pv *pv;          /* in the VG it belongs to; NULL: an orphan, or none of ours */
    bool is_duplicate;          /* another device with the same UUID was chosen */
    struct lvm_group *outdated; /* its area names this VG, which has it no more */
};

/* A VG with what concerns its copies. */
struct lvm_group {
    struct ash_list link; /* of set->groups */
    struct lvm_vg *vg;    /* the newest copy */
    bool is_old;          /* some good area holds an older text, or none */
    bool is_bad;          /* some area is bad */
    bool has_duplicates;  /* some PV is there twice */
    bool has_outdated;    /* some device thinks it is in this VG */
    bool same_name;       /* another VG has this name */
};

struct lvm_set {
    struct bdev_mgr *bdevs;
    struct ash_list devs, groups; /* groups sorted by name */
    struct lvm_arena arena;
    struct lvm_str *warnings, **warnings_tail; /* sentences, in the order they arose */
    struct lvm_vg **copies;                    /* all texts that were parsed */
    size_t n_copies, n_copies_room;
};

struct lvm_set *lvm_set_new(struct bdev_mgr *bdevs); /* NULL: no memory */
/* Puts channels, closes devices. NULL is fine. */
void lvm_set_free(struct lvm_set *set) ASH_MAY_WAIT;
/* Add a device by its bdev's name; shown: what people call it. */
int lvm_set_add(struct lvm_set *set, const char *bdev_name, const char *shown, bool writable,
                struct ash_err *err) ASH_MAY_WAIT;
/* Read all labels, areas and texts anew, and find the VGs. Only running out of memory fails: bad
 * disks are described by their dev's faults, and by warnings. */
int lvm_set_scan(struct lvm_set *set, struct ash_err *err) ASH_MAY_WAIT;

struct lvm_dev *lvm_dev_find(const struct lvm_set *set, const char *shown); /* NULL */
/* By name, or by UUID with dashes. NULL. */
struct lvm_group *lvm_group_find(const struct lvm_set *set, const char *name);
void lvm_warn(struct lvm_set *set, const char *fmt, ...) ASH_PRINTF(2, 3);

/* Read the text a location names into a buffer of loc->size bytes (rt_free; at the end is a NUL
 * more). checked: its checksum must be right. */
int lvm_text_read(struct lvm_dev *dev, const struct lvm_mda *mda, const struct lvm_location *loc,
                  bool checked, char **ret_text, struct ash_err *err) ASH_MAY_WAIT;

#define lvm_dev_of(l)   ash_list_entry(l, struct lvm_dev, link)
#define lvm_group_of(l) ash_list_entry(l, struct lvm_group, link)

#endif
