/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the lvs backend: stores (blobstore + lvstore) and volumes (blobs) in memory.
 *
 * Who writes what
 *   - Everything here belongs to the control reactor. The one exception is a volume's map, which
 *     every reactor reads on the data path: entries and windows are published with release stores
 *     by the control reactor and read with acquire loads.
 *   - A volume's links (parent, map as a whole, length, external device) change only while the
 *     volume and all volumes below it are quiesced (lvs_freeze_tree).
 *   - Roots, continuation pages, super block and masks are written only with store->md_lock held.
 *     Freeze first, then lock: an allocation that is being drained needs the lock.
 *
 * Barriers (docs/spec/blobstore-format.md 7-9, "Ashlar does"): what a root refers to is on the
 * medium before the root is written; a root is on the medium before what it no longer refers to is
 * released. */
#ifndef ASH_POOL_LVS_LVS_H
#define ASH_POOL_LVS_LVS_H

#include <stdatomic.h>

#include "base/bitmap.h"
#include "pool/lvs/format.h"
#include "pool/pool_internal.h"

struct lvs_store;
struct lvs_volume;

/* ------------------------------------------------------------- attributes */

struct lvs_xattr {
    uint8_t *bytes; /* name, NUL, value, NUL; n_name and n_value do not count the NULs */
    uint16_t n_name, n_value;
};

struct lvs_xattrs {
    struct lvs_xattr *v;
    size_t n;
};

static inline const char *lvs_xattr_name(const struct lvs_xattr *x)
{
    return (const char *)x->bytes;
}

static inline const void *lvs_xattr_value(const struct lvs_xattr *x)
{
    return x->bytes + x->n_name + 1;
}

const struct lvs_xattr *lvs_xattrs_find(const struct lvs_xattrs *xs, const char *name);
const struct lvs_xattr *lvs_xattrs_find_raw(const struct lvs_xattrs *xs, const void *name,
                                            size_t n_name);
/* Replaces in place or appends. 0, -ENOMEM, -E2BIG. */
int lvs_xattrs_set(struct lvs_xattrs *xs, const char *name, const void *value, size_t n_value);
int lvs_xattrs_add_raw(struct lvs_xattrs *xs, const void *name, size_t n_name, const void *value,
                       size_t n_value);
bool lvs_xattrs_remove(struct lvs_xattrs *xs, const char *name); /* false: was not there */
int lvs_xattrs_copy(struct lvs_xattrs *to, const struct lvs_xattrs *from); /* to: empty */
void lvs_xattrs_free(struct lvs_xattrs *xs);
/* Value as le64 when it is 8 bytes long; false otherwise. */
bool lvs_xattrs_get_id(const struct lvs_xattrs *xs, const char *name, uint64_t *ret_id);

/* ------------------------------------------------------------------- maps */

struct lvs_window {
    uint32_t page; /* extent page on the disk that the root refers to; 0 none (and in RLE mode) */
    uint32_t new_page;  /* reserved for the first commit of this window; 0 none */
    uint32_t n_used;    /* entries that are not 0 */
    uint32_t n_pending; /* allocations in progress */
    bool new_written;   /* new_page holds the window; a root with map.with_new refers to it */
    bool new_uncertain; /* the root on the disk may refer to new_page: it stays reserved */
    /* A commit failed and could not be taken back: the disk may hold other entries than these. What
     * says that an entry is empty is not acknowledged, and nothing is built upon the window, before
     * another commit of it has succeeded. */
    _Atomic bool stale;
    _Atomic uint32_t cluster[LVS_EXTENTS_PER_PAGE]; /* 0: not allocated */
};

/* Cluster number -> place. A window that does not exist has no page and nothing allocated. */
struct lvs_map {
    bool rle;
    bool with_new; /* encode roots with the new pages that have been written */
    uint64_t n_clusters, n_windows, n_used;
    _Atomic(struct lvs_window *) *windows;
};

/* A volume may claim this many clusters (its map's top level is then 64 MiB). */
#define LVS_N_CLUSTERS_MAX (UINT64_C(1) << 32)

int lvs_map_init(struct lvs_map *map, uint64_t n_clusters, bool rle); /* 0, -ENOMEM, -EFBIG */
void lvs_map_fini(struct lvs_map *map);
/* The window, made when missing; NULL when memory is out. */
struct lvs_window *lvs_map_window(struct lvs_map *map, uint64_t window);
/* Publish one entry; the window must exist (lvs_map_window) unless cluster is 0. */
void lvs_map_set(struct lvs_map *map, uint64_t idx, uint32_t cluster);
/* Change the length. Entries beyond the end must be 0 before. -ENOMEM leaves it unchanged. */
int lvs_map_resize(struct lvs_map *map, uint64_t n_clusters);
/* First index >= from with an entry, or UINT64_MAX. */
uint64_t lvs_map_next(const struct lvs_map *map, uint64_t from);

static inline struct lvs_window *lvs_map_peek(const struct lvs_map *map, uint64_t window)
{
    return atomic_load_explicit(&map->windows[window], memory_order_acquire);
}

/* Any reactor. idx < n_clusters. */
static inline uint32_t lvs_map_get(const struct lvs_map *map, uint64_t idx)
{
    const struct lvs_window *w = lvs_map_peek(map, idx / LVS_EXTENTS_PER_PAGE);
    return w ? atomic_load_explicit(&w->cluster[idx % LVS_EXTENTS_PER_PAGE], memory_order_acquire)
             : 0;
}

/* ------------------------------------------------------------- blob state */

/* What a chain of metadata pages says. Used to read one, to keep it in memory, and to write the
 * next version: copy the struct, change it, lvs_chain_write, adopt it. */
struct lvs_root {
    uint64_t blob_id;
    uint64_t invalid_flags, data_ro_flags, md_ro_flags;
    struct lvs_xattrs user, internal;
    struct lvs_map *map;
};

struct lvs_volume {
    /* What a plain read or write looks at, close together. */
    struct volume vol;
    struct lvs_store *store;
    struct lvs_map map;
    /* Which of two roots the disk has is not known (state is FAULTED): what is written now could
     * land in a snapshot that was not acknowledged, or behind an end. */
    _Atomic bool refuses_writes;
    struct ash_list link;     /* store->volumes, by blob id */
    struct ash_hnode by_name; /* store->by_name: key = name */
    struct ash_hnode by_uid;  /* store->by_uid: key = unique_id; not in it: the id is taken */
    struct lvs_root root;
    uint32_t *cont_pages; /* continuation pages of the chain as it is on the disk */
    uint32_t n_cont_pages;
    char name[LVS_NAME_MAX + 1];
    char unique_id[64]; /* name of the bdev */
    char alias[2 * LVS_NAME_MAX + 2];
    struct ash_uuid uuid;
    bool must_stay; /* damaged so that nothing of it may change: shared clusters, or a parent that
                     * is not read-only */
    bool is_named_by_us; /* name on the disk unusable: a made-up one is shown */

    struct lvs_volume *parent;
    struct ash_list clones, clone_link;
    bool has_stale; /* windows of its map, perhaps */
    bool had_clone; /* SPDK's "snapshot": had a clone since the load */
    /* external parent */
    struct bdev_desc *esnap_desc;
    uint64_t esnap_bytes;
    char esnap_id[LVS_UUID_BYTES];
    _Atomic(struct bdev_desc *) chain_desc; /* external device that the chain ends in, as channels
                                             * being opened on any reactor may see it */

    enum volume_state state;
    char fault[160];
    const char *op; /* the locked operation; NULL: none */
    bool is_deleting;
    bool has_unknown_clone; /* making one failed, and its root may be on the disk */
    bool is_orphan;         /* while loading: a half-done snapshot whose parent is not there */
    struct bdev bdev;
    bool has_bdev;
    bool is_frozen;                /* by lvs_freeze_tree */
    uint32_t n_allocating;         /* in lvs_allocate: they do not come through the bdev */
    _Atomic uint32_t n_no_release; /* >0: unmap must not release clusters (inflate) */
};

/* ------------------------------------------------------------------ store */

struct lvs_store {
    struct pool pool;
    struct bdev_mgr *bdevs;
    struct bdev_desc *desc;
    struct bdev_channel *ch; /* of the control reactor */
    char name[LVS_NAME_MAX + 1];
    char base_name[128];
    struct ash_uuid uuid;

    struct lvs_super_disk super;       /* as it is on the disk */
    struct lvs_super_disk super_tried; /* its last write failed; the disk may hold this */
    uint32_t cluster_bytes, md_page_bytes, io_unit_bytes;
    uint8_t cluster_shift; /* 0: not a power of two */
    uint32_t md_len, md_clusters;
    uint64_t md_start_bytes;
    uint64_t n_clusters; /* all, metadata included */
    uint64_t size_bytes;
    enum pool_clear clear;
    enum pool_zeroing zeroing;
    bool read_only, was_dirty, is_clean_on_disk;
    bool is_closing;
    bool is_opening, is_disk_gone; /* the disk went while the pool was being opened */
    bool needs_recovery; /* a write failed, the disk may hold other than we know: it stays dirty */
    char damage[160];    /* not empty: the pool is degraded */
    bool no_allocation;  /* a faulted volume may own any cluster: none is given out */

    struct ash_bitmap used_clusters, used_pages;
    struct ash_bitmap zero_clusters; /* free clusters known to read as zeroes */

    struct lvs_root super_root; /* the super blob: name and UUID of the store */
    struct lvs_map super_map;
    uint32_t *super_cont_pages;
    uint32_t n_super_cont_pages;

    struct ash_list volumes;     /* by blob id */
    struct ash_bitmap roots;     /* root pages of the volumes in the list */
    struct lvs_volume **by_root; /* [md_len], mostly never touched */
    bool has_esnaps;             /* has or had volumes with an external parent */
    size_t n_volumes;
    uint64_t n_unlinked; /* volumes that have left the list, ever */
    struct ash_htab by_name, by_uid;

    struct rt_mutex md_lock;
    _Atomic uint64_t tree_seq; /* moves with every freeze and thaw of a tree: see above.c */
    struct rt_mutex tree_lock; /* held while parent links change; before freezing and md_lock */
    /* commits of map entries: see commit.c */
    struct ash_list commit_queue;
    bool commit_running;
    _Atomic uint64_t md_written_seq, md_flushed_seq;
    /* allocations and releases in progress: see alloc.c */
    struct ash_list pending_hash[256];
    uint32_t n_pending;
    struct ash_list alloc_waiting; /* ios held back by the limit on allocations */
    uint32_t n_ops;                /* operations in progress: the store cannot be closed */
    struct rt_waitq idle_q;
    struct rt_waitq bdev_q;   /* a volume's bdev has gone */
    struct rt_waitq freeze_q; /* a tree thawed, or an allocation ended */

    uint8_t warn_percent[2];
    int usage_level; /* thresholds passed: 0, 1, 2 */
};

static inline struct lvs_store *lvs_of_pool(const struct pool *pool)
{
    return ash_container_of(pool, struct lvs_store, pool);
}

static inline struct lvs_volume *lvs_of_volume(const struct volume *vol)
{
    return ash_container_of(vol, struct lvs_volume, vol);
}

static inline bool lvs_is_thin(const struct lvs_volume *v)
{
    return v->root.invalid_flags & LVS_INVALID_THIN;
}

static inline bool lvs_is_read_only(const struct lvs_volume *v)
{
    return v->root.data_ro_flags != 0;
}

/* Flags of a version to come: its metadata is not ours to change
 * (docs/spec/blobstore-format.md 5.3), and so no cluster can be given to it either. */
static inline bool lvs_is_foreign(const struct lvs_volume *v)
{
    return v->root.md_ro_flags & ~LVS_MD_RO_KNOWN;
}

static inline uint64_t lvs_page_offset(const struct lvs_store *s, uint32_t page)
{
    return s->md_start_bytes + (uint64_t)page * s->md_page_bytes;
}

static inline uint64_t lvs_cluster_offset(const struct lvs_store *s, uint32_t cluster)
{
    return (uint64_t)cluster * s->cluster_bytes;
}

static inline uint64_t lvs_n_free_clusters(const struct lvs_store *s)
{
    return s->used_clusters.n_bits - s->used_clusters.n_set;
}

/* ------------------------------------------- md.c: pages, one by one */

/* The only functions that seal and that check pages. */
void lvs_page_seal(struct lvs_page_disk *page);
bool lvs_page_is_sealed(const struct lvs_page_disk *page);

/* Pages of a chain from a root: encode into an array of n pages (heap, rt_free), ids, sequence
 * numbers and descriptors set; next and CRC are set by lvs_chain_write, which knows the places.
 * -ENOMEM, -E2BIG. */
int lvs_root_encode(const struct lvs_root *root, struct lvs_page_disk **ret_pages, uint32_t *ret_n);

/* Where decoding finds the page behind an index; NULL when it is not there or fails its CRC. */
typedef const struct lvs_page_disk *(*lvs_page_get)(void *ctx, uint32_t page);

/* One extent page that a root refers to. */
struct lvs_ext_ref {
    uint64_t window;
    uint32_t page;
};

struct lvs_decoded {
    struct lvs_root root; /* root.map NULL */
    uint64_t n_clusters;
    bool has_rle, has_table;
    struct lvs_ext_ref *refs; /* table mode */
    size_t n_refs;
    struct lvs_run_disk *runs; /* RLE mode */
    size_t n_runs;
    uint32_t *cont_pages;
    uint32_t n_cont_pages;
};

/* Read the chain that starts at page root_idx. Strict (11.2): CRC, id, sequence, no loop, lengths,
 * flags first. On failure *ret holds what could be read and must be freed all the same.
 * 0, -EILSEQ damage, -EINVAL unknown invalid flag, -ENOMEM; fault: a sentence for people. */
int lvs_chain_decode(lvs_page_get get, void *ctx, uint32_t root_idx, uint32_t n_pages_max,
                     struct lvs_decoded *ret, char fault[160]);
void lvs_decoded_free(struct lvs_decoded *d);

/* Extent page k: entries found. -EILSEQ when it is no extent page for this window. */
int lvs_extents_decode(const struct lvs_page_disk *page, uint64_t window,
                       const struct le32 **ret_clusters, uint32_t *ret_n, bool *ret_has_leftovers);
void lvs_extents_encode(struct lvs_page_disk *page, uint64_t blob_id, uint64_t window,
                        const uint32_t *clusters, uint32_t n);

/* ----------------------------------------------------- super.c */

int lvs_super_check(const struct lvs_super_disk *super, uint64_t device_bytes, struct ash_err *err);
bool lvs_super_is_lvstore(const struct lvs_super_disk *super);
void lvs_super_seal(struct lvs_super_disk *super);
/* Fill the geometry of the store from store->super. */
void lvs_super_apply(struct lvs_store *s, uint64_t device_bytes);
/* Lay out a new store. Reasons POOL_*. */
int lvs_super_layout(const struct pool_create_opts *opts, uint64_t device_bytes,
                     uint32_t block_bytes, uint32_t phys_block_bytes,
                     struct lvs_super_disk *ret_super, struct ash_err *err);
/* Re-read, validate, change, write, flush. md_lock held. */
int lvs_super_write(struct lvs_store *s, const struct lvs_super_disk *next) ASH_MAY_WAIT;
/* clean = 0 on the medium before the first change. md_lock held. */
int lvs_mark_dirty(struct lvs_store *s) ASH_MAY_WAIT;
int lvs_masks_write(struct lvs_store *s) ASH_MAY_WAIT;

/* ----------------------------------------------------- space.c */

/* Of a store whose sizes are known: nothing is used but the metadata's clusters. -ENOMEM. */
int lvs_space_init(struct lvs_store *s);
/* Lowest free cluster, marked used; 0: none (-ENOSPC). */
uint32_t lvs_cluster_take(struct lvs_store *s, bool *ret_known_zero);
void lvs_cluster_give(struct lvs_store *s, uint32_t cluster, bool known_zero);
/* Lowest free page >= first, marked used; LVS_INVALID_PAGE: none. */
uint32_t lvs_page_take(struct lvs_store *s, uint32_t first);
void lvs_page_give(struct lvs_store *s, uint32_t page);
/* Clear data clusters (sorted, merged runs) by a clear method, flush, and give them back. */
int lvs_clusters_release(struct lvs_store *s, uint32_t *clusters, size_t n,
                         enum pool_clear clear) ASH_MAY_WAIT;
/* Take n clusters (in the order of their places as far as that goes) that read as zeroes; the
 * root that is to refer to them waits for a flush. rt_free(*ret_clusters). -ENOSPC, -ENOMEM, or the
 * device's error; then none is taken. */
int lvs_clusters_take_zeroed(struct lvs_store *s, size_t n, uint32_t **ret_clusters) ASH_MAY_WAIT;
/* Give back clusters that nothing has been written to. */
void lvs_clusters_give(struct lvs_store *s, const uint32_t *clusters, size_t n);
/* Overwrite metadata pages with zeroes and give them back. Errors leave them reserved. */
int lvs_pages_release(struct lvs_store *s, const uint32_t *pages, size_t n) ASH_MAY_WAIT;
void lvs_usage_changed(struct lvs_store *s);

/* Several writes at once, then wait for all; the first error. */
struct lvs_write {
    uint64_t offset;
    const void *data;
    uint32_t n_bytes;
};
int lvs_write_all(struct lvs_store *s, const struct lvs_write *writes, size_t n) ASH_MAY_WAIT;
/* Flush the base device; afterwards everything written before is on the medium. */
int lvs_flush(struct lvs_store *s) ASH_MAY_WAIT;
/* A metadata write has ended: FUA writes and roots need a flush until one has covered it. */
void lvs_md_written(struct lvs_store *s);

/* ----------------------------------------------------- commit.c */

/* Write the chain of next: fresh continuation pages, flush, root page (commit), flush, old
 * continuation pages zeroed and given back. cont, n_cont: the places on the disk, updated on
 * success. md_lock held. On failure the old chain stands again on the disk (old NULL: an erased
 * root page), unless *ret_uncertain: then nobody knows which, and nothing that either refers to may
 * be released before the pool has been loaded again. */
int lvs_chain_write(struct lvs_store *s, const struct lvs_root *next, const struct lvs_root *old,
                    uint32_t **cont, uint32_t *n_cont, bool *ret_uncertain) ASH_MAY_WAIT;
/* The same for a volume: on success next's flags and attributes are adopted (its map is the
 * caller's work) and what they replace is freed; on failure next's attributes are freed unless they
 * are the volume's own. An uncertain outcome faults the volume: -EUCLEAN tells the caller to undo
 * nothing. */
int lvs_volume_commit(struct lvs_volume *v, struct lvs_root *next) ASH_MAY_WAIT;
/* A copy of the volume's root with attributes of its own, to be changed and committed. -ENOMEM. */
int lvs_root_copy(const struct lvs_volume *v, struct lvs_root *ret_next);
/* One metadata page with padding to md_page_bytes; freed by rt_buf_put(page, md_page_bytes). */
void *lvs_page_buf(const struct lvs_store *s, const struct lvs_page_disk *page);

/* Fresh copies of windows of map `next`, which shares its windows with the volume's: written to new
 * pages that the next root (next->with_new) refers to. The volume must be drained. */
int lvs_stage_windows(struct lvs_volume *v, const struct lvs_map *next, const uint64_t *windows,
                      size_t n) ASH_MAY_WAIT;
/* The end of it. committed: the new pages are the windows' now, and the pages they replace are put
 * into old_pages (room for n; may be NULL when there are none); returns how many. Else the new
 * pages are given back. */
size_t lvs_stage_end(struct lvs_volume *v, const struct lvs_map *next, const uint64_t *windows,
                     size_t n, bool committed, uint32_t *old_pages);

/* One map entry on its way to the disk. */
struct lvs_commit {
    struct ash_list link;
    struct lvs_volume *vol;
    uint64_t idx;
    uint32_t cluster;   /* 0: entry is taken away */
    bool needs_barrier; /* what was written to the cluster must be on the medium before */
    struct rt_event done;
};
/* Hand in; commit->done is set when the entry has been written (not flushed) and published. After a
 * failure the disk holds the old entry, unless it is -EUCLEAN: then nobody knows which. */
void lvs_commit_start(struct lvs_commit *c);

/* ------------------------------------------------------ alloc.c */

/* Make sure that cluster idx of the volume is allocated, with its parent's data or zeroes. */
int lvs_allocate(struct lvs_volume *v, uint64_t idx) ASH_MAY_WAIT;
/* An io of the volume's bdev that needs a new cluster, or gives one back; on the control reactor.
 */
void lvs_alloc_enter(struct bdev_io *io);
void lvs_release_enter(struct bdev_io *io);
/* Where the data of an unallocated cluster come from. */
struct lvs_source {
    enum { LVS_FROM_ZERO, LVS_FROM_CLUSTER, LVS_FROM_ESNAP } kind;
    uint64_t offset;          /* bytes, on the base or on the external device */
    uint64_t n_bytes;         /* ESNAP: may end inside the cluster; the rest is zero */
    uint32_t depth;           /* 2 parent, 3 grandparent ... */
    struct lvs_volume *owner; /* of the data */
};
/* Any reactor, for a volume that cannot change under the caller. Looks above v only. */
void lvs_source_find(const struct lvs_volume *v, uint64_t idx, struct lvs_source *ret);

/* --------------------------------------------------------- io.c */

struct lvs_channel {
    struct lvs_volume *vol;
    struct bdev_channel *base;
    struct bdev_channel *esnap; /* of the external device that the chain ends in; NULL: none */
    struct lvs_above *above;    /* above.c */
    uint32_t cluster_bytes;     /* of the store, here to be at hand */
    uint8_t cluster_shift;
};

/* above.c: lvs_source_find for reads of a channel, with a memory; depth and owner are not told. */
void lvs_above_find(struct lvs_channel *c, uint64_t idx, struct lvs_source *ret);
void lvs_above_drop(struct lvs_channel *c);

/* Per-io state of the lvol layer. */
struct lvs_io_ctx {
    uint64_t seq;    /* FLUSH, FUA: metadata writes that it covers */
    uint8_t flags;   /* of the io, while a lower layer sees others */
    bool no_release; /* the cluster stays, whatever the request would allow */
};

static inline struct lvs_volume *lvs_io_volume(const struct bdev_io *io)
{
    return ((struct lvs_channel *)io->frame->ch->ctx)->vol;
}

/* From the control reactor: let the io go on, or end, on its own reactor. */
void lvs_io_again(struct bdev_io *io);
void lvs_io_end(struct bdev_io *io, int rc);

extern struct bdev_module lvs_bdev_module;
extern struct bdev_module lvs_uri_module; /* uri.c */
int lvs_bdev_register(struct lvs_volume *v, struct ash_err *err) ASH_MAY_WAIT;
/* Holders are told and awaited. */
void lvs_bdev_unregister(struct lvs_volume *v) ASH_MAY_WAIT;
/* The same for each volume of the store that leaves() names. tree_lock is held, but not while a
 * bdev goes: a holder may be a volume of another pool, and so on back to this one, whose own
 * external devices cannot be let go without the lock. */
void lvs_bdevs_leave(struct lvs_store *s, bool (*leaves)(struct lvs_volume *v, const void *arg),
                     const void *arg) ASH_MAY_WAIT;
/* The chain above v has changed (quiesced): channels take what they need anew. */
void lvs_bdev_refresh(struct lvs_volume *v) ASH_MAY_WAIT;
/* Quiesce v and every volume below it; what was in flight has ended. */
int lvs_freeze_tree(struct lvs_volume *v) ASH_MAY_WAIT;
void lvs_thaw_tree(struct lvs_volume *v) ASH_MAY_WAIT;

/* ------------------------------------------------- volumes and stores */

int lvs_volume_new(struct lvs_store *s, struct lvs_volume **ret_vol);
void lvs_volume_free(struct lvs_volume *v);
/* Enter into / take off the store's list and name table. */
int lvs_roots_init(struct lvs_store *s); /* md_len is known; 0, -ENOMEM */
void lvs_volume_link(struct lvs_volume *v);
void lvs_volume_unlink(struct lvs_volume *v);
/* v and everything below it, parents first: from root to NULL. Backwards: from the last. */
struct lvs_volume *lvs_tree_next(const struct lvs_volume *root, struct lvs_volume *v);
struct lvs_volume *lvs_tree_last(struct lvs_volume *root);
struct lvs_volume *lvs_tree_prev(const struct lvs_volume *root, struct lvs_volume *v);
void lvs_set_parent_link(struct lvs_volume *v, struct lvs_volume *parent);
/* Name, UUID, alias from the attributes; makes up what is unusable (12.2). */
void lvs_volume_identify(struct lvs_volume *v);
int lvs_name_check(const char *name, const char *what, struct ash_err *err);
int lvs_volume_name_free(struct lvs_store *s, const char *name, struct ash_err *err);
struct lvs_volume *lvs_find_blob(struct lvs_store *s, uint64_t blob_id);
struct lvs_volume *lvs_find_name(struct lvs_store *s, const char *name);
/* One locked operation per volume. -EBUSY VOLUME_LOCKED, -EIO faulted, -EROFS pool read-only. */
int lvs_op_begin(struct lvs_volume *v, const char *op, struct ash_err *err) ASH_MAY_WAIT;
/* SNAPTMP or SNAPRM on a volume says something of its clone's parent link, which must not change
 * while the mark stands: a load would take a finished snapshot for an unfinished one. */
static inline bool lvs_has_marks(const struct lvs_volume *v)
{
    return lvs_xattrs_find(&v->root.internal, LVS_XATTR_SNAPTMP) ||
           lvs_xattrs_find(&v->root.internal, LVS_XATTR_SNAPRM);
}
/* Write the root of v without marks that an I/O error has left there. md_lock not held. */
int lvs_settle_marks(struct lvs_volume *v) ASH_MAY_WAIT;
/* Write stale windows again, until the disk says what memory does. 0 or -errno; -EUCLEAN when that
 * is still not known. */
int lvs_settle_windows(struct lvs_volume *v) ASH_MAY_WAIT;
void lvs_op_end(struct lvs_volume *v);
int lvs_store_op_begin(struct lvs_store *s, struct ash_err *err);
void lvs_store_op_end(struct lvs_store *s);
enum pool_clear lvs_volume_clear(const struct lvs_volume *v);
/* Take a fresh root page and fill in a new volume: identity, flags, attributes, map of n_clusters.
 * Nothing is written; lvs_volume_discard undoes it. */
int lvs_volume_prepare(struct lvs_store *s, const char *name, uint64_t n_clusters, bool rle,
                       bool thin, const struct volume_create_opts *opts,
                       struct lvs_volume **ret_vol, struct ash_err *err);
/* keep_places: what the disk says is uncertain, so its pages and clusters stay reserved. */
void lvs_volume_discard(struct lvs_volume *v, bool keep_places) ASH_MAY_WAIT;
/* Write the root of a new volume for the first time, link it, give it its bdev. On failure the
 * volume is discarded. md_lock not held. */
int lvs_volume_birth(struct lvs_volume *v, struct ash_err *err) ASH_MAY_WAIT;
/* Erase root and continuation pages; on success the volume is gone from the disk. counts: on
 * failure too, since the disk says already that it is half-done and the next load ends it (memory
 * may hold less of it than the disk by now, so the root cannot be written again from there); else a
 * failure is taken back, -EUCLEAN when it cannot be. md_lock held. */
int lvs_volume_erase(struct lvs_volume *v, bool counts) ASH_MAY_WAIT;
/* After the erasure: release the places of the map but those marked as kept, then free the volume.
 */
int lvs_volume_bury(struct lvs_volume *v) ASH_MAY_WAIT;
/* A map of another length (or with other windows) that shares the windows of an old one. */
int lvs_map_share(struct lvs_map *next, const struct lvs_map *old, uint64_t n_clusters);
/* Free the top level only. */
void lvs_map_unshare(struct lvs_map *map);
/* Entries that v has to own before its parent may be replaced by the parent's parent: where the
 * parent's end hid something (allocates zeroes there). */
int lvs_guard_parent_end(struct lvs_volume *v) ASH_MAY_WAIT;
int lvs_err_rc(struct ash_err *err, int rc, const struct lvs_volume *v, const char *what);

/* Operations behind struct pool_ops (store.c has the table); the same words as in pool.h. */
int lvs_volume_create(struct pool *pool, const char *name, uint64_t size_bytes,
                      const struct volume_create_opts *opts, struct volume **ret_vol,
                      struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_delete(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_rename(struct volume *vol, const char *new_name, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_set_read_only(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_xattr_set(struct volume *vol, const char *name, const void *value, size_t n_bytes,
                         bool even_read_only, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_xattr_remove(struct volume *vol, const char *name, bool even_read_only,
                            struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_xattr_get(const struct volume *vol, const char *name, const void **ret_value,
                         size_t *ret_n_bytes);
size_t lvs_volume_xattrs(const struct volume *vol, struct volume_xattr *ret, size_t n_max);
int lvs_volume_allocation_map(const struct volume *vol, uint64_t first, uint64_t n,
                              uint8_t *ret_bits);
struct volume *lvs_volume_find(struct pool *pool, const char *name);
struct volume *lvs_volume_next(struct pool *pool, struct volume *prev);
struct volume *lvs_volume_next_clone(const struct volume *snap, struct volume *prev);
void lvs_volume_get_info(const struct volume *vol, struct volume_info *ret);
int lvs_volume_resize(struct volume *vol, uint64_t size_bytes, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_snapshot(struct volume *vol, const char *name, const struct volume_create_opts *opts,
                        struct volume **ret_snap, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_clone(struct volume *snap, const char *name, const struct volume_create_opts *opts,
                     struct volume **ret_clone, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_clone_bdev(struct pool *pool, const char *bdev_name, const char *name,
                          const struct volume_create_opts *opts, struct volume **ret_clone,
                          struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_inflate(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_decouple(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_detach(struct volume *vol, struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_set_parent(struct volume *vol, struct volume *snap,
                          struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_set_parent_bdev(struct volume *vol, const char *bdev_name,
                               struct ash_err *err) ASH_MAY_WAIT;
int lvs_volume_shallow_copy(struct volume *vol, const char *dst_bdev, uint32_t *ret_id,
                            struct ash_err *err) ASH_MAY_WAIT;
/* Deletion of a snapshot whose only clone takes its data over (9.5). Both are locked; snap has no
 * bdev any more and is freed on success. */
int lvs_delete_merge(struct lvs_volume *snap, struct lvs_volume *clone,
                     struct ash_err *err) ASH_MAY_WAIT;
int lvs_delete_simple(struct lvs_volume *v, struct ash_err *err) ASH_MAY_WAIT;

/* load.c */
int lvs_load(struct lvs_store *s, struct ash_err *err) ASH_MAY_WAIT;
/* esnap.c */
int lvs_esnap_open(struct lvs_volume *v, const char *bdev_name, struct ash_err *err) ASH_MAY_WAIT;
void lvs_esnap_close(struct lvs_volume *v) ASH_MAY_WAIT;
void lvs_esnap_examine(struct pool_mgr *pools, struct bdev *bdev) ASH_MAY_WAIT;
/* The volume whose external device v's chain ends in; NULL: it ends in zeroes. */
struct lvs_volume *lvs_esnap_owner(const struct lvs_volume *v);
/* ok, or degraded when the chain ends in an external device that is missing */
void lvs_state_update(struct lvs_volume *v);
/* Find the states of v and everything below, and register the bdevs of those that are well. */
void lvs_tree_bdevs(struct lvs_volume *v) ASH_MAY_WAIT;
/* Degraded volumes lose their bdevs. As lvs_bdevs_leave. */
void lvs_degraded_leave(struct lvs_store *s) ASH_MAY_WAIT;

/* create.c: onto the open base device; what is recognisable there is refused unless forced */
int lvs_store_format(struct lvs_store *s, const char *name, const struct pool_create_opts *opts,
                     struct ash_err *err) ASH_MAY_WAIT;

/* store.c */
int lvs_store_open(struct pool_mgr *pools, const char *bdev_name, bool read_only,
                   const char *new_name, struct lvs_store **ret_store,
                   struct ash_err *err) ASH_MAY_WAIT;
int lvs_store_close(struct lvs_store *s, bool device_is_gone, struct ash_err *err) ASH_MAY_WAIT;
void lvs_examine(struct bdev_mgr *bdevs, struct bdev *bdev) ASH_MAY_WAIT;

#endif
