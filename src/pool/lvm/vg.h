/* SPDX-License-Identifier: Apache-2.0 */
/* A volume group in memory: what its text says, no more (docs/spec/lvm2-format.md 9 to 13).
 *
 *   VG --pvs--> PV            in the order of the text: pv0, pv1 ...
 *      --lvs--> LV --segs--> segment --areas--> a run of a PV's extents, or of another LV's
 *
 * A VG owns an arena: everything in it lives until lvm_vg_free. Names and UUIDs are checked when
 * they come in, so code behind the reader may rely on: names valid and unique, segments of each LV
 * cover it without gap or overlap, every area lies inside its PV or LV, no extent of a PV is used
 * twice. What we do not know (segment types, their keys) is kept and written back.
 *
 * Sizes are in sectors of 512 bytes or in extents; the names say which. */
#ifndef ASH_POOL_LVM_VG_H
#define ASH_POOL_LVM_VG_H

#include "base/htab.h"
#include "base/list.h"
#include "pool/lvm/cfg.h"
#include "pool/lvm/label.h"

struct lvm_lv;
struct lvm_dev;

/* Status and flag words (12), of all objects. */
#define LVM_EXPORTED        (1u << 0)
#define LVM_RESIZEABLE      (1u << 1)
#define LVM_PVMOVE          (1u << 2)
#define LVM_READ            (1u << 3)
#define LVM_WRITE           (1u << 4)
#define LVM_CLUSTERED       (1u << 5)
#define LVM_SHARED          (1u << 6)
#define LVM_ALLOCATABLE     (1u << 7)
#define LVM_MISSING         (1u << 8)
#define LVM_FIXED_MINOR     (1u << 9)
#define LVM_VISIBLE         (1u << 10)
#define LVM_LOCKED          (1u << 11)
#define LVM_NOTSYNCED       (1u << 12)
#define LVM_REBUILD         (1u << 13)
#define LVM_WRITEMOSTLY     (1u << 14)
#define LVM_NOAUTOACTIVATE  (1u << 15)
#define LVM_ACTIVATION_SKIP (1u << 16)
#define LVM_ERROR_WHEN_FULL (1u << 17)
#define LVM_CACHE_VOL       (1u << 18)
#define LVM_WRITE_LOCKED    (1u << 19) /* in texts only, see 12; never set in memory */
#define LVM_PARTIAL_OLD     (1u << 20) /* accepted in old files */

enum lvm_alloc {
    LVM_ALLOC_INHERIT, /* LVs only */
    LVM_ALLOC_CONTIGUOUS,
    LVM_ALLOC_CLING,
    LVM_ALLOC_NORMAL,
    LVM_ALLOC_ANYWHERE,
};
const char *lvm_alloc_name(enum lvm_alloc alloc);
bool lvm_alloc_parse(const char *name, enum lvm_alloc *ret_alloc);

struct lvm_str {
    struct lvm_str *next;
    const char *text;
};

struct lvm_pv {
    struct ash_list link; /* of vg->pvs */
    struct lvm_vg *vg;
    unsigned idx; /* pvN of the text, kept equal to the place in the list by lvm_vg_number_pvs */
    struct lvm_id id;
    const char *device; /* the path when it was written; a hint */
    const char *device_id_type, *device_id;
    uint32_t flags;
    struct lvm_str *more_flags; /* words in `flags` that we do not know */
    struct lvm_str *tags;
    bool has_dev_size;
    uint64_t dev_size_sectors, pe_start_sectors;
    uint32_t pe_count;
    uint64_t boot_start_sectors, boot_sectors;
    struct lvm_dev *dev; /* where it is; NULL: missing. Set by the scan */
    uint32_t n_allocated_pe;
    bool is_moved; /* it comes from another VG by the update under way: its areas may name that */
    bool is_back;  /* marked as missing in the text, but it is there, and nothing on it can be old:
                    * the scan took the mark away, the next update writes so */
};

enum lvm_area_kind { LVM_AREA_NONE, LVM_AREA_PV, LVM_AREA_LV };
struct lvm_area {
    enum lvm_area_kind kind;
    struct lvm_pv *pv;
    struct lvm_lv *lv;
    uint32_t extent; /* first of the run */
};

/* A value of a segment beside its areas; which one it is, the segment type's table says. */
struct lvm_val {
    bool is_set;
    uint64_t n;
    const char *text;
    struct lvm_lv *lv;
    const struct lvm_cfg *section;
};

struct lvm_message { /* queued for a thin pool (13.5) */
    struct lvm_message *next;
    bool is_delete;
    struct lvm_lv *create;
    uint32_t delete_id;
};

struct lvm_seg {
    struct ash_list link; /* of lv->segs */
    struct lvm_lv *lv;
    const struct lvm_segtype *type;
    const char *type_text; /* as written, with its +FLAGS */
    uint32_t start, len;   /* logical extents */
    bool has_reshape_count;
    uint32_t reshape_count;
    struct lvm_str *tags;
    uint32_t n_areas;
    struct lvm_area *areas; /* data: stripes, mirror legs, raid images */
    struct lvm_area
        *metas;           /* raid: metadata LVs, kind NONE where there is none; NULL: none at all */
    struct lvm_val *vals; /* as many as the type has keys */
    struct lvm_message *messages;
    const struct lvm_cfg *cfg; /* of unknown types: everything as it was */
};

struct lvm_lv {
    struct ash_list link; /* of vg->lvs */
    struct ash_hnode by_name;
    struct lvm_vg *vg;
    const char *name;
    struct lvm_id id;
    uint32_t flags;
    struct lvm_str *more_flags;
    struct lvm_str *tags;
    bool has_time;
    uint64_t creation_time;
    const char *creation_host;
    const char *lock_args, *profile;
    enum lvm_alloc alloc;
    bool has_read_ahead; /* else auto */
    int64_t read_ahead_sectors;
    int32_t major, minor; /* -1: none */
    uint32_t n_extents;
    struct ash_list segs;
    /* Who uses it, found by lvm_vg_link: */
    struct lvm_seg *user; /* the segment whose area, metadata or other part it is; NULL: nobody */
    uint32_t n_users;     /* 0 or 1, more for what is shared: origins, pools */
    struct lvm_seg *cow;  /* it is a COW store: the snapshot segment */
    uint32_t n_cow_snaps; /* it is the origin of so many */
    uint8_t level;        /* layers below it, and itself */
    bool partial, partial_known; /* set by lvm_vg_find_partial */
};

struct lvm_vg {
    struct lvm_arena arena;
    const char *name;
    struct lvm_id id;
    uint32_t seqno;
    uint32_t flags;
    struct lvm_str *more_flags;
    struct lvm_str *tags;
    const char *system_id, *lock_type, *lock_args, *profile;
    struct lvm_str *pr;
    uint32_t extent_sectors;
    uint32_t max_lv, max_pv;
    enum lvm_alloc alloc;
    uint32_t metadata_copies;
    struct ash_list pvs, lvs;
    unsigned n_pvs, n_lvs;
    struct ash_htab lv_names;
    const struct lvm_cfg *historical; /* the section (11.6), kept as it is; or NULL */
    bool has_unknown_types;           /* some segment's type is not known here */
    /* From the header of the text: */
    const char *description, *creation_host;
    uint64_t creation_time;
};

/* ------------------------------------------------------- segment types */

enum lvm_key_kind {
    LVM_K_COUNT,  /* how many areas follow; default 1 */
    LVM_K_U64,    /* a number */
    LVM_K_SIZE,   /* sectors, with a comment in files */
    LVM_K_STR,    /* a text */
    LVM_K_LV,     /* the name of an LV */
    LVM_K_SECT,   /* a section, kept as it is */
    LVM_K_AREAS,  /* [ area, extent, ... ] */
    LVM_K_RAIDS,  /* [ metadata LV, image LV, ... ] */
    LVM_K_IMAGES, /* [ image LV, ... ] */
    LVM_K_MSGS,   /* messageN sections */
};

struct lvm_key {
    const char *name;
    enum lvm_key_kind kind;
    unsigned flags;
};
enum {
    LVM_K_REQUIRED = 1u << 0,
    LVM_K_STRIPED = 1u << 1, /* written only for more than one area */
    LVM_K_OWNS = 1u << 2,    /* the LV named is a part of this one (hidden, goes with it) */
    LVM_K_BELOW = 1u << 3,   /* no part, but this one's data lie in it */
};

enum lvm_seg_class {
    LVM_SEG_STRIPED,
    LVM_SEG_MIRROR,
    LVM_SEG_RAID,
    LVM_SEG_SNAPSHOT,
    LVM_SEG_THIN_POOL,
    LVM_SEG_THIN,
    LVM_SEG_CACHE_POOL,
    LVM_SEG_CACHE,
    LVM_SEG_WRITECACHE,
    LVM_SEG_VDO,
    LVM_SEG_VDO_POOL,
    LVM_SEG_INTEGRITY,
    LVM_SEG_VIRTUAL, /* zero, error: no keys, no extents of its own */
    LVM_SEG_UNKNOWN,
};

struct lvm_segtype {
    const char *name;
    enum lvm_seg_class cls;
    uint8_t n_parity;           /* raid */
    const struct lvm_key *keys; /* in the order they are written; ends with a NULL name */
};

extern const struct lvm_segtype lvm_segtypes[]; /* ends with a NULL name */
extern const struct lvm_segtype lvm_segtype_unknown;
/* By the name in a text ("linear" is "striped"), +FLAGS cut off; the unknown type when it or a flag
 * is not known. */
const struct lvm_segtype *lvm_segtype_find(const char *text);
/* Value of a key of this segment, or NULL when the type has no such key or it is not set. */
const struct lvm_val *lvm_seg_val(const struct lvm_seg *seg, const char *key);
uint64_t lvm_seg_u64(const struct lvm_seg *seg, const char *key, uint64_t dflt);
struct lvm_lv *lvm_seg_lv(const struct lvm_seg *seg, const char *key); /* NULL */
/* Set a number; false when the type has no such key. */
bool lvm_seg_set_u64(struct lvm_seg *seg, const char *key, uint64_t n);
/* Extents of each area of the segment. */
uint32_t lvm_seg_area_len(const struct lvm_seg *seg);

/* Status words of one kind of object, in the order they are written. */
struct lvm_word {
    const char *name;
    uint32_t flag;
    bool in_flags; /* written to `flags`, not `status` */
};
extern const struct lvm_word lvm_vg_words[], lvm_pv_words[], lvm_lv_words[];

/* -------------------------------------------------------------- reading */

/* Make a VG of a text, in either rendering. what: place or file for messages.
 * -ENOMEM, or -EINVAL LVM_TEXT_*, LVM_SEGMENTS, LVM_AREA. */
int lvm_vg_parse(const char *text, size_t n_bytes, const char *what, struct lvm_vg **ret_vg,
                 struct ash_err *err);
void lvm_vg_free(struct lvm_vg *vg); /* NULL is fine */

/* -------------------------------------------------------------- writing */

/* Who writes: for the header of a text. */
struct lvm_origin {
    const char *version;        /* "2.03.16(2) (2022-05-18)" */
    const char *host;           /* node name */
    const char *uname;          /* "Linux ref 6.1.0 #1 ... x86_64" */
    const char *host_system_id; /* NULL: none */
    uint64_t time;
    const char *description;
};
enum lvm_rendering { LVM_ON_DISK, LVM_IN_FILE };
/* The text, without the NUL that ends it on disk. -ENOMEM. */
int lvm_vg_text(const struct lvm_vg *vg, const struct lvm_origin *origin,
                enum lvm_rendering rendering, struct ash_buf *out);

/* --------------------------------------------------------- asking (vg.c) */

struct lvm_vg *lvm_vg_new(void); /* empty; NULL: no memory */
struct lvm_lv *lvm_lv_find(const struct lvm_vg *vg, const char *name);
struct lvm_pv *lvm_pv_find(const struct lvm_vg *vg, const struct lvm_id *id);
void lvm_vg_number_pvs(struct lvm_vg *vg);
/* Find users, relations, sizes and allocation anew, after the reader or a change; checks what the
 * head of this file promises. -EINVAL LVM_SEGMENTS, LVM_AREA. */
int lvm_vg_link(struct lvm_vg *vg, const char *what, struct ash_err *err);
/* Shown to users: has VISIBLE, or is a COW store; not a snapshotN link. */
bool lvm_lv_is_visible(const struct lvm_lv *lv);
struct lvm_seg *lvm_lv_seg(const struct lvm_lv *lv); /* the first; NULL: none */
/* Set lv->partial where any area, through all layers, is on a PV that is not there. */
void lvm_vg_find_partial(struct lvm_vg *vg);
unsigned lvm_vg_n_missing(const struct lvm_vg *vg);
uint64_t lvm_vg_n_extents(const struct lvm_vg *vg);
uint64_t lvm_vg_n_free(const struct lvm_vg *vg);
static inline bool lvm_pv_is_missing(const struct lvm_pv *pv)
{
    return (pv->flags & LVM_MISSING) || !pv->dev;
}
/* 1..127 of [a-zA-Z0-9+_.-], not beginning with '-', not "." or "..". */
bool lvm_name_valid(const char *name);
/* The word that makes an LV name reserved for parts ("_tdata", "snapshot"), or NULL. */
const char *lvm_name_reserved(const char *name);
bool lvm_tag_valid(const char *tag);
/* Sets: add unless there (end of the list), remove. False: no memory. */
bool lvm_tag_add(struct lvm_vg *vg, struct lvm_str **tags, const char *tag);
bool lvm_tag_has(const struct lvm_str *tags, const char *tag);
bool lvm_tag_del(struct lvm_str **tags, const char *tag);

#define lvm_pv_of(l)  ash_list_entry(l, struct lvm_pv, link)
#define lvm_lv_of(l)  ash_list_entry(l, struct lvm_lv, link)
#define lvm_seg_of(l) ash_list_entry(l, struct lvm_seg, link)

#endif
