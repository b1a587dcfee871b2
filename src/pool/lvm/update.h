/* SPDX-License-Identifier: Apache-2.0 */
/* Changing what is on the disks of a set: labels, the texts of VGs, backups, locks
 * (docs/spec/lvm2-format.md 4, 7, 8, 17, 18). Control reactor, in a task.
 *
 * Whoever changes a VG takes its lock, scans, asks lvm_may_change, changes the VG in memory, and
 * calls lvm_vg_update. When that fails the disks hold the VG as it was (or, after a failed commit,
 * as either was); what is in memory is no longer theirs: scan again. */
#ifndef ASH_POOL_LVM_UPDATE_H
#define ASH_POOL_LVM_UPDATE_H

#include "pool/lvm/set.h"

/* Who writes; lives as long as the command. */
struct lvm_writer {
    struct lvm_origin origin; /* description and time are set at each write */
    const char *line;         /* the command line */
    unsigned n_writes;        /* so far */
    bool is_test;             /* check everything, write nothing */
};

/* ------------------------------------------------------------- PVs (pv.c) */

enum {
    LVM_DATA_ALIGN_BYTES = 1 << 20,
    LVM_MDA_BYTES = 2040 * 512 /* what a metadata area has unless asked otherwise */
};

struct lvm_pv_opts {
    struct lvm_id id;                         /* empty: a random one */
    uint64_t size_bytes;                      /* 0: the device's */
    uint64_t align_bytes, align_offset_bytes; /* 0: LVM_DATA_ALIGN_BYTES; none */
    uint64_t mda_bytes;                       /* 0: LVM_MDA_BYTES */
    unsigned n_mdas;                          /* 0 to LVM_MDA_MAX */
    bool mda_ignored;
    uint64_t boot_bytes;     /* 0: no bootloader area */
    uint64_t pe_start_bytes; /* 0: chosen; else data begins there, areas make room */
    uint32_t label_sector;   /* below LVM_SCAN_SECTORS */
    bool keep_head;          /* do not zero the first sectors */
};
void lvm_pv_opts_init(struct lvm_pv_opts *opts); /* one area, label in sector 1 */

/* A random UUID. */
void lvm_id_random(struct lvm_id *ret_id);
/* Where areas and data go on a device (4.1, 4.2). -EINVAL LVM_PV_SIZE, LVM_PV_LAYOUT. */
int lvm_pv_layout(const struct lvm_pv_opts *opts, uint64_t device_bytes, const char *dev_name,
                  struct lvm_label *ret_label, struct ash_err *err);
/* Make the device an orphan PV: empty areas first, then the label, each made durable. What was
 * there is not asked about. -EINVAL as above, or -errno BDEV_IO. */
int lvm_pv_create(struct lvm_dev *dev, const struct lvm_pv_opts *opts,
                  struct ash_err *err) ASH_MAY_WAIT;
/* The same with the layout that its label has now: a PV that left its VG. */
int lvm_pv_make_orphan(struct lvm_dev *dev, struct ash_err *err) ASH_MAY_WAIT;
/* An area begins anew, empty, at another place; dev->label says so when it is written next. */
int lvm_mda_move(struct lvm_dev *dev, size_t idx, const struct lvm_extent_bytes *to,
                 struct ash_err *err) ASH_MAY_WAIT;
/* Write dev->label over the one that is there, and make it durable. */
int lvm_label_write(struct lvm_dev *dev, struct ash_err *err) ASH_MAY_WAIT;
/* Take all labels away. */
int lvm_label_wipe(struct lvm_dev *dev, struct ash_err *err) ASH_MAY_WAIT;
/* Extents of that size between pe_start and the second area. */
uint32_t lvm_pe_count(const struct lvm_label *label, uint64_t size_bytes, uint32_t extent_sectors);

/* --------------------------------------------------------- locks (lock.c) */

/* As lvm2 on the same host takes them (18.1). Order: the global one, then VGs by name. */
struct lvm_locks {
    const char *dir; /* NULL: none are taken */
    bool no_wait;    /* -EBUSY RT_FILE_BUSY instead of waiting */
    struct rt_lock **held;
    size_t n_held;
};
int lvm_lock_global(struct lvm_locks *locks, bool shared, struct ash_err *err) ASH_MAY_WAIT;
int lvm_lock_vg(struct lvm_locks *locks, const char *vg_name, bool shared,
                struct ash_err *err) ASH_MAY_WAIT;
void lvm_unlock_all(struct lvm_locks *locks) ASH_MAY_WAIT;

/* ----------------------------------------------------- backups (backup.c) */

/* Where files with texts of VGs go (17). */
struct lvm_backups {
    const char *backup_dir, *archive_dir; /* NULL: none are written */
    uint64_t retain_min, retain_days;     /* archives beyond both go */
};
/* A file with the VG's text, replaced in one step. */
int lvm_file_write(const char *path, const struct lvm_vg *vg, struct lvm_writer *writer,
                   const char *description, struct ash_err *err) ASH_MAY_WAIT;
/* The VG as it is now: after a change / before one. */
int lvm_backup(const struct lvm_backups *b, const struct lvm_vg *vg, struct lvm_writer *writer,
               struct ash_err *err) ASH_MAY_WAIT;
int lvm_archive(const struct lvm_backups *b, const struct lvm_vg *vg, struct lvm_writer *writer,
                struct ash_err *err) ASH_MAY_WAIT;
/* Files of the folder that are archives of the VG, oldest first. ret_list: rt_free. */
int lvm_archive_list(const char *dir, const char *vg_name, struct rt_dirent **ret_list,
                     size_t *ret_n, struct ash_err *err) ASH_MAY_WAIT;
/* Is that the name of an archive of this VG ("vg_00012-1234567.vg")? Its number then. */
bool lvm_archive_name(const char *file, const char *vg_name, uint64_t *ret_idx);

/* --------------------------------------------------------- VGs (commit.c) */

/* The set owns a VG that is not on its disks yet. NULL: no memory, and the VG is freed. */
struct lvm_group *lvm_set_give_vg(struct lvm_set *set, struct lvm_vg *vg);
/* The VG is not on the disks any more; its memory stays until the next scan. */
void lvm_set_forget_vg(struct lvm_set *set, struct lvm_group *g);

/* Which areas the next update uses (8). All; or, when none but those of `but` would be in use, one
 * more. What metadata_copies asks for, the update itself sees to. */
void lvm_vg_use_all_areas(struct lvm_vg *vg);
void lvm_vg_use_some_area(struct lvm_vg *vg, const struct lvm_dev *but);

struct lvm_policy {
    const char *system_id; /* of this host; NULL: none */
    bool missing_is_fine, exported_is_fine, unknown_is_fine;
};
/* Is the VG ours to change? -EPERM LVM_VG_FOREIGN, LVM_VG_LOCK_TYPE, LVM_VG_EXPORTED,
 * LVM_VG_PARTIAL, LVM_VG_DUPLICATES, LVM_VG_UNKNOWN, LVM_VG_READ_ONLY. */
int lvm_may_change(const struct lvm_group *g, const struct lvm_policy *policy, struct ash_err *err);

/* One update of a VG, in its phases. */
struct lvm_update {
    struct lvm_set *set;
    struct lvm_vg *vg;
    struct lvm_writer *writer;
    struct ash_buf text; /* with the NUL */
    uint32_t crc;
    struct lvm_update_area {
        struct lvm_dev *dev;
        struct lvm_mda *mda;
        struct lvm_location loc; /* of the new text */
        bool is_ignored;         /* it gets no text: the flag is set at the commit */
        bool is_precommitted;
    } * areas;
    size_t n_areas;
};
/* Check the VG, raise its seqno, write labels that must change and the new text to all areas, and
 * tell of it in slot 1. All that can fail is done here; the disks still hold the old VG. On failure
 * everything is undone. -ENOSPC LVM_MDA_FULL, -EINVAL LVM_SEGMENTS, LVM_AREA, LVM_PE_TWICE,
 * -ENXIO LVM_NO_AREAS, -errno BDEV_IO. */
int lvm_update_prepare(struct lvm_update *u, struct lvm_set *set, struct lvm_vg *vg,
                       struct lvm_writer *writer, struct ash_err *err) ASH_MAY_WAIT;
/* The new text counts. Done when one area says so: the others are stale then, and a warning of the
 * set tells. -errno BDEV_IO: no area could be written. Frees what prepare took. */
int lvm_update_commit(struct lvm_update *u, struct ash_err *err) ASH_MAY_WAIT;
/* Or: the old text stays. */
void lvm_update_revert(struct lvm_update *u) ASH_MAY_WAIT;
/* Both phases. */
int lvm_vg_update(struct lvm_set *set, struct lvm_vg *vg, struct lvm_writer *writer,
                  struct ash_err *err) ASH_MAY_WAIT;
/* Bad areas of the VG's devices begin anew, empty, where the labels say they are; the next update
 * writes them like the others. -errno BDEV_IO. */
int lvm_vg_renew_areas(struct lvm_vg *vg, struct ash_err *err) ASH_MAY_WAIT;
/* All copies are written anew from the newest one (9): old ones, bad ones, and devices that the VG
 * dropped become orphans. A device that is in another VG by now is left alone. Errors as of
 * lvm_vg_update. */
int lvm_vg_repair(struct lvm_set *set, struct lvm_group *g, struct lvm_writer *writer,
                  struct ash_err *err) ASH_MAY_WAIT;
/* The PVs and LVs of one VG join another, and the first VG ends. Both are complete, with extents of
 * one size, no LV name in both, and no text of another VG in their areas. Errors as of
 * lvm_vg_update; memory of the set is as after a failed update then: scan again. */
int lvm_vg_merge(struct lvm_set *set, struct lvm_group *to, struct lvm_group *from,
                 struct lvm_writer *writer, struct ash_err *err) ASH_MAY_WAIT;
/* No area names the VG any more, and its PVs are orphans. */
int lvm_vg_remove(struct lvm_set *set, struct lvm_vg *vg, struct lvm_writer *writer,
                  struct ash_err *err) ASH_MAY_WAIT;

#endif
