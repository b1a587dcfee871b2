/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts (small pools, each a different situation on the disk) and operations.
 *
 * Names of volumes say what they are for: v the one that is worked on, w a thick one, s its
 * parent snapshot, g the grandparent, c a second clone, e an external clone, x another snapshot. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "crash.h"

#define RET_IF(call)                                                                               \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_)                                                                                   \
            return rc_;                                                                            \
    } while (0)

static uint64_t cl(const struct crash_env *e, uint64_t n_clusters)
{
    return n_clusters * e->layout->cluster_bytes;
}

static int resize(struct crash_env *e, const char *vol, uint64_t n_clusters)
{
    struct volume *v = crash_volume(e, vol);
    return v ? volume_resize(v, cl(e, n_clusters), NULL) : -ENOENT;
}

static int delete (struct crash_env *e, const char *vol)
{
    struct volume *v = crash_volume(e, vol);
    return v ? volume_delete(v, NULL) : -ENOENT;
}

static int clone(struct crash_env *e, const char *snap, const char *name)
{
    struct volume *c, *s = crash_volume(e, snap);
    struct volume_create_opts opts = {.uuid = crash_uuid(name)};
    return s ? volume_clone(s, name, &opts, &c, NULL) : -ENOENT;
}

static int clone_ext(struct crash_env *e, const char *name)
{
    struct volume *c;
    struct volume_create_opts opts = {.uuid = crash_uuid(name)};
    return volume_clone_bdev(e->pool, "ext", name, &opts, &c, NULL);
}

static int set_attr(struct crash_env *e, const char *vol, const char *name, size_t n_bytes)
{
    char value[4000];
    struct volume *v = crash_volume(e, vol);
    memset(value, 'x', sizeof(value));
    return v ? volume_xattr_set(v, name, value, n_bytes, true, NULL) : -ENOENT;
}

/* ------------------------------------------------------------------ layouts */

static int make_empty(struct crash_env *e)
{
    return 0;
}

static int make_base(struct crash_env *e, bool rle)
{
    RET_IF(crash_make(e, "v", 12, true, rle));
    RET_IF(crash_write(e, "v", 0, cl(e, 1), 1, 0));
    RET_IF(crash_write(e, "v", cl(e, 3) + 4096, 4096, 1, 0));
    RET_IF(crash_write(e, "v", cl(e, 11), cl(e, 1), 1, 0));
    return set_attr(e, "v", "k", 10);
}

static int make_thin(struct crash_env *e)
{
    RET_IF(make_base(e, false));
    RET_IF(crash_make(e, "w", 3, false, false));
    return crash_write(e, "w", cl(e, 1) - 1024, 2048, 1, 0);
}

static int make_clone_of(struct crash_env *e, bool rle)
{
    RET_IF(make_base(e, rle));
    RET_IF(crash_snap(e, "v", "s"));
    RET_IF(crash_write(e, "v", 512, 1024, 2, 0));
    return crash_write(e, "v", cl(e, 6), cl(e, 1), 2, 0);
}

static int make_clone(struct crash_env *e)
{
    RET_IF(make_clone_of(e, false));
    RET_IF(crash_make(e, "w", 2, false, false));
    return crash_write(e, "w", 0, cl(e, 2), 1, 0);
}

static int make_rle(struct crash_env *e)
{
    return make_clone_of(e, true);
}

static int make_chain(struct crash_env *e)
{
    RET_IF(make_base(e, false));
    RET_IF(crash_snap(e, "v", "g"));
    RET_IF(crash_write(e, "v", 1024, 1024, 2, 0));
    RET_IF(crash_write(e, "v", cl(e, 5), cl(e, 1), 2, 0));
    RET_IF(crash_snap(e, "v", "s"));
    RET_IF(crash_write(e, "v", cl(e, 6), 512, 3, 0));
    RET_IF(clone(e, "g", "c"));
    RET_IF(crash_write(e, "c", cl(e, 11), 512, 4, 0));
    return set_attr(e, "s", "big", 3400);
}

/* A chain whose volumes differ in length: the shorter parent hides what the grandparent holds. */
static int make_uneven(struct crash_env *e)
{
    RET_IF(make_base(e, false));
    RET_IF(crash_snap(e, "v", "g"));
    RET_IF(resize(e, "v", 4));
    RET_IF(crash_write(e, "v", cl(e, 1), cl(e, 1), 2, 0));
    RET_IF(crash_snap(e, "v", "s"));
    RET_IF(resize(e, "v", 14));
    return crash_write(e, "v", cl(e, 13), 512, 3, 0);
}

static int make_window(struct crash_env *e)
{
    RET_IF(crash_make(e, "v", 600, true, false));
    RET_IF(crash_write(e, "v", 0, 4096, 1, 0));
    RET_IF(crash_write(e, "v", cl(e, 511), cl(e, 2), 1, 0));
    RET_IF(crash_write(e, "v", cl(e, 599), cl(e, 1), 1, 0));
    RET_IF(crash_snap(e, "v", "s"));
    RET_IF(crash_write(e, "v", cl(e, 599), 512, 2, 0));
    return crash_make(e, "w", 3, false, false);
}

static int make_window_thick(struct crash_env *e)
{
    RET_IF(crash_make(e, "w", 514, false, false));
    return crash_write(e, "w", cl(e, 511), cl(e, 2), 1, 0);
}

/* The snapshot is short, its clone long; what both have lies in the first window. */
static int make_grown(struct crash_env *e)
{
    RET_IF(make_base(e, false));
    RET_IF(crash_snap(e, "v", "s"));
    RET_IF(resize(e, "v", 600));
    RET_IF(crash_write(e, "v", cl(e, 599), 512, 2, 0));
    return crash_write(e, "v", cl(e, 12), 512, 2, 0);
}

static int make_shrunk(struct crash_env *e)
{
    RET_IF(crash_make(e, "v", 600, true, false));
    RET_IF(crash_write(e, "v", 0, 4096, 1, 0));
    RET_IF(crash_write(e, "v", cl(e, 4), cl(e, 1), 1, 0));
    RET_IF(crash_write(e, "v", cl(e, 599), cl(e, 1), 1, 0));
    RET_IF(crash_snap(e, "v", "s"));
    return resize(e, "v", 4);
}

static int make_full(struct crash_env *e)
{
    struct pool_info pi;
    RET_IF(make_base(e, false));
    RET_IF(crash_snap(e, "v", "s"));
    pool_get_info(e->pool, &pi);
    RET_IF(crash_make(e, "w", pi.n_free_clusters - 2, false, false));
    return crash_write(e, "w", 0, cl(e, 1), 1, 0);
}

static int make_esnap(struct crash_env *e)
{
    RET_IF(clone_ext(e, "v"));
    RET_IF(crash_write(e, "v", 512, 512, 1, 0));
    RET_IF(crash_snap(e, "v", "s"));
    RET_IF(crash_write(e, "v", cl(e, 1), 4096, 2, 0));
    return clone_ext(e, "e");
}

static int make_dirty(struct crash_env *e)
{
    RET_IF(make_chain(e));
    RET_IF(delete (e, "s"));
    return crash_write(e, "v", cl(e, 2), 512, 5, 0);
}

/* Everything the chain does, with the disk's cache full of it. */
static int make_dirty_clone(struct crash_env *e)
{
    RET_IF(make_clone(e));
    return crash_io(e, "v", BDEV_UNMAP, 0, cl(e, 2));
}

#define MIB (1u << 20)
const struct crash_layout crash_layouts[] = {
    {.name = "none", .disk_bytes = 4 * MIB, .cluster_bytes = 16384},
    {.name = "empty", .disk_bytes = 4 * MIB, .cluster_bytes = 16384, .make = make_empty},
    {.name = "thin", .disk_bytes = 4 * MIB, .cluster_bytes = 16384, .make = make_thin},
    {.name = "clone", .disk_bytes = 4 * MIB, .cluster_bytes = 16384, .make = make_clone},
    {.name = "device",
     .disk_bytes = 4 * MIB,
     .cluster_bytes = 16384,
     .make = make_clone,
     .is_device = true},
    {.name = "plain",
     .disk_bytes = 4 * MIB,
     .cluster_bytes = 65536,
     .make = make_clone,
     .is_device = true,
     .no_punch = true},
    {.name = "rle", .disk_bytes = 4 * MIB, .cluster_bytes = 16384, .make = make_rle},
    {.name = "chain", .disk_bytes = 4 * MIB, .cluster_bytes = 16384, .make = make_chain},
    {.name = "uneven", .disk_bytes = 4 * MIB, .cluster_bytes = 16384, .make = make_uneven},
    {.name = "window", .disk_bytes = 2 * MIB, .cluster_bytes = 4096, .make = make_window},
    {.name = "wide", .disk_bytes = 4 * MIB, .cluster_bytes = 4096, .make = make_window_thick},
    {.name = "grown", .disk_bytes = 2 * MIB, .cluster_bytes = 4096, .make = make_grown},
    {.name = "shrunk", .disk_bytes = 2 * MIB, .cluster_bytes = 4096, .make = make_shrunk},
    {.name = "full", .disk_bytes = 1 * MIB, .cluster_bytes = 16384, .make = make_full},
    {.name = "esnap",
     .disk_bytes = 4 * MIB,
     .cluster_bytes = 16384,
     .make = make_esnap,
     .has_ext = true},
    {.name = "dirty",
     .disk_bytes = 4 * MIB,
     .cluster_bytes = 16384,
     .make = make_dirty,
     .left_dirty = true},
    {.name = "dirty-clone",
     .disk_bytes = 4 * MIB,
     .cluster_bytes = 16384,
     .make = make_dirty_clone,
     .left_dirty = true},
    {.name = NULL},
};

/* --------------------------------------------------------------- operations */

static int op_pool_create(struct crash_env *e)
{
    struct pool_create_opts opts = {.cluster_bytes = e->layout->cluster_bytes,
                                    .md_ratio_percent = 25,
                                    .uuid = crash_uuid("tank"),
                                    .force = true};
    return pool_create(e->pools, "/d", "tank", &opts, &e->pool, NULL);
}

static int op_create_thin(struct crash_env *e)
{
    return crash_make(e, "n", 5, true, false);
}

static int op_create_thick(struct crash_env *e)
{
    return crash_make(e, "n", 3, false, false);
}

static int op_create_wide(struct crash_env *e)
{
    return crash_make(e, "n", 513, true, false);
}

static int op_create_rle(struct crash_env *e)
{
    return crash_make(e, "n", 3, false, true);
}

static int op_first_write(struct crash_env *e)
{
    return crash_write(e, "v", cl(e, 7) + 1024, 4096, 10, 0);
}

static int op_first_write_flush(struct crash_env *e)
{
    RET_IF(op_first_write(e));
    RET_IF(crash_io(e, "v", BDEV_FLUSH, 0, 0));
    crash_mark(e, "v", cl(e, 7) + 1024, 4096);
    return 0;
}

static int op_write_fua(struct crash_env *e)
{
    RET_IF(crash_write(e, "v", cl(e, 8), 512, 10, BDEV_FUA));
    crash_mark(e, "v", cl(e, 8), 512);
    RET_IF(crash_write(e, "v", cl(e, 8) + 512, 512, 11, 0));
    RET_IF(crash_write(e, "v", cl(e, 9) + 512, 512, 11, 0));
    RET_IF(crash_write(e, "v", cl(e, 9) + 1024, 512, 11, BDEV_FUA));
    crash_mark(e, "v", cl(e, 9) + 1024, 512);
    return 0;
}

static int op_first_whole(struct crash_env *e)
{
    return crash_write(e, "v", cl(e, 8), cl(e, 1), 10, 0);
}

static int op_overwrite(struct crash_env *e)
{
    return crash_write(e, "v", 0, 8192, 10, 0);
}

static int op_cow_write(struct crash_env *e)
{
    RET_IF(crash_write(e, "v", cl(e, 3) + 2048, 4096, 10, 0));
    RET_IF(crash_io(e, "v", BDEV_FLUSH, 0, 0));
    crash_mark(e, "v", cl(e, 3) + 2048, 4096);
    return crash_write(e, "v", cl(e, 3) + 512, 512, 10, 0);
}

static int op_cow_last(struct crash_env *e)
{
    return crash_write(e, "v", cl(e, 11), 512, 10, 0);
}

static int op_span(struct crash_env *e)
{
    return crash_write(e, "v", cl(e, 2) + 4096, cl(e, 5), 10, 0);
}

static int op_write_two_windows(struct crash_env *e)
{
    RET_IF(crash_write(e, "v", cl(e, 510) + 4096, cl(e, 3), 10, 0));
    RET_IF(crash_io(e, "v", BDEV_FLUSH, 0, 0));
    crash_mark(e, "v", cl(e, 510) + 4096, cl(e, 3));
    return 0;
}

static int op_unmap(struct crash_env *e)
{
    RET_IF(crash_io(e, "v", BDEV_UNMAP, 0, cl(e, 2)));
    return crash_io(e, "v", BDEV_UNMAP, cl(e, 11) + 512, 4096);
}

/* A cluster is given back and given out again: to another volume. */
static int op_unmap_reuse(struct crash_env *e)
{
    RET_IF(crash_io(e, "v", BDEV_UNMAP, 0, cl(e, 1)));
    return crash_write(e, "v", cl(e, 9), cl(e, 1), 10, 0);
}

/* The same with a write that covers only part of it: the rest is zeroes, not what was there. */
static int op_unmap_reuse_part(struct crash_env *e)
{
    RET_IF(crash_io(e, "v", BDEV_UNMAP, 0, cl(e, 1)));
    return crash_write(e, "v", cl(e, 9) + 1024, 512, 10, 0);
}

/* Nothing where an operation before has cut more off: what a volume shows as it grows is its
 * parent's, and neither old nor new. */
static int op_shrink_reuse(struct crash_env *e)
{
    struct volume_info info;
    volume_get_info(crash_volume(e, "v"), &info);
    if (info.n_clusters < 3)
        return 0;
    RET_IF(resize(e, "v", 3));
    return crash_write(e, "v", cl(e, 1) + 1024, 512, 10, 0);
}

static int op_delete_reuse(struct crash_env *e)
{
    RET_IF(delete (e, "w"));
    struct volume *v = crash_volume(e, "v");
    return v ? crash_write(e, "v", cl(e, 9) + 1024, 512, 10, 0) : -ENOENT;
}

static int op_zeroes(struct crash_env *e)
{
    return crash_io(e, "v", BDEV_WRITE_ZEROES, cl(e, 2) + 4096, cl(e, 5));
}

static int op_zero_first(struct crash_env *e)
{
    return crash_io(e, "v", BDEV_WRITE_ZEROES, 0, cl(e, 1));
}

struct writer {
    struct crash_env *e;
    const char *vol;
    uint64_t offset, length;
    struct crew *crew;
};

struct crew {
    struct writer w[5];
    unsigned n_left;
    int rc; /* the first failure */
    struct rt_event done;
};

static void writer_main(void *arg)
{
    struct writer *w = arg;
    struct crew *crew = w->crew;
    int rc = crash_write(w->e, w->vol, w->offset, w->length, 30, 0);
    if (rc && !crew->rc)
        crew->rc = rc;
    if (--crew->n_left == 0)
        rt_event_set(&crew->done, 0);
}

/* Writers of different clusters, all at once. */
static void start_writers(struct crash_env *e, struct crew *crew)
{
    static const uint8_t places[] = {1, 2, 4, 8, 9};
    *crew = (struct crew){.n_left = 1, .done = RT_EVENT_INIT};
    for (size_t i = 0; i < ASH_N_ELEMS(crew->w) && crew->rc == 0; i++) {
        crew->w[i] = (struct writer){e, "v", cl(e, places[i]) + 512 * i, 1024, crew};
        crew->rc = rt_task_spawn("writer", writer_main, &crew->w[i]);
        crew->n_left += crew->rc == 0;
    }
}

static int end_writers(struct crew *crew)
{
    if (--crew->n_left > 0)
        rt_event_wait(&crew->done);
    return crew->rc;
}

static int op_writes_at_once(struct crash_env *e)
{
    struct crew crew;
    start_writers(e, &crew);
    return end_writers(&crew);
}

static int op_resize_up(struct crash_env *e)
{
    return resize(e, "v", 20);
}

static int op_resize_far(struct crash_env *e)
{
    return resize(e, "v", 1030);
}

static int op_resize_down(struct crash_env *e)
{
    return resize(e, "v", 2);
}

static int op_resize_512(struct crash_env *e)
{
    return resize(e, "v", 512);
}

static int op_resize_zero(struct crash_env *e)
{
    return resize(e, "v", 0);
}

static int op_thick_up(struct crash_env *e)
{
    return resize(e, "w", 6);
}

static int op_thick_down(struct crash_env *e)
{
    return resize(e, "w", 1);
}

static int op_thick_far(struct crash_env *e)
{
    return resize(e, "w", 520);
}

static int op_rename(struct crash_env *e)
{
    return volume_rename(crash_volume(e, "v"), "n", NULL);
}

static int op_read_only(struct crash_env *e)
{
    return volume_set_read_only(crash_volume(e, "v"), NULL);
}

static int op_attr(struct crash_env *e)
{
    return set_attr(e, "v", "k", 20);
}

static int op_attr_big(struct crash_env *e)
{
    return set_attr(e, "v", "big", 3900); /* a second page of the chain */
}

static int op_attr_remove(struct crash_env *e)
{
    return volume_xattr_remove(crash_volume(e, "v"), "k", false, NULL);
}

static int op_snapshot(struct crash_env *e)
{
    return crash_snap(e, "v", "n");
}

static int op_snapshot_thick(struct crash_env *e)
{
    return crash_snap(e, "w", "n");
}

static int op_clone(struct crash_env *e)
{
    return clone(e, "s", "n");
}

static int op_clone_bdev(struct crash_env *e)
{
    return clone_ext(e, "n");
}

static int op_inflate(struct crash_env *e)
{
    return volume_inflate(crash_volume(e, "v"), NULL);
}

static int op_decouple(struct crash_env *e)
{
    return volume_decouple(crash_volume(e, "v"), NULL);
}

static int op_decouple_c(struct crash_env *e)
{
    return volume_decouple(crash_volume(e, "c"), NULL);
}

static int op_detach(struct crash_env *e)
{
    return volume_detach(crash_volume(e, "v"), NULL);
}

static int op_set_parent(struct crash_env *e)
{
    struct volume *s = crash_volume(e, "s");
    return s ? volume_set_parent(crash_volume(e, "c"), s, NULL) : -ENOENT;
}

static int op_set_parent_bdev(struct crash_env *e)
{
    return volume_set_parent_bdev(crash_volume(e, "v"), "ext", NULL);
}

static int op_delete_v(struct crash_env *e)
{
    return delete (e, "v");
}

static int op_delete_w(struct crash_env *e)
{
    return delete (e, "w");
}

static int op_delete_s(struct crash_env *e)
{
    return delete (e, "s");
}

static int op_delete_g(struct crash_env *e)
{
    return delete (e, "g");
}

/* Writes are under way while the snapshot is taken: it holds them or not, block by block. */
static int op_snapshot_busy(struct crash_env *e)
{
    struct crew crew;
    start_writers(e, &crew);
    rt_yield();
    int rc = crash_snap(e, "v", "n");
    int writers_rc = end_writers(&crew);
    return rc ? rc : writers_rc;
}

static int op_delete_s_busy(struct crash_env *e)
{
    struct crew crew;
    start_writers(e, &crew);
    rt_yield();
    int rc = delete (e, "s");
    int writers_rc = end_writers(&crew);
    return rc ? rc : writers_rc;
}

static int op_pool_rename(struct crash_env *e)
{
    return pool_rename(e->pool, "lake", NULL);
}

static int op_pool_grow(struct crash_env *e)
{
    return pool_grow(e->pool, NULL);
}

static int op_pool_export(struct crash_env *e)
{
    int rc = pool_export(e->pool, NULL);
    e->pool = NULL;
    return rc;
}

static int op_pool_destroy(struct crash_env *e)
{
    int rc = pool_destroy(e->pool, NULL);
    e->pool = NULL;
    return rc;
}

static int op_none(struct crash_env *e)
{
    return 0;
}

const struct crash_op crash_ops[] = {
    {"pool-create", NULL, CRASH_ATOMIC, op_pool_create},
    {"create-thin", "", CRASH_ATOMIC, op_create_thin},
    {"create-thick", "", CRASH_ATOMIC, op_create_thick},
    {"create-wide", "", CRASH_ATOMIC, op_create_wide},
    {"create-rle", "", CRASH_ATOMIC, op_create_rle},
    {"first-write", "v", CRASH_DATA, op_first_write},
    {"first-write-flush", "v", CRASH_DATA, op_first_write_flush},
    {"first-write-whole", "v", CRASH_DATA, op_first_whole},
    {"write-fua", "v", CRASH_DATA, op_write_fua},
    {"overwrite", "v", CRASH_DATA, op_overwrite},
    {"cow-write", "v", CRASH_DATA, op_cow_write},
    {"cow-write-last", "v", CRASH_DATA, op_cow_last},
    {"write-span", "v", CRASH_DATA, op_span},
    {"write-windows", "v", CRASH_DATA, op_write_two_windows},
    {"writes-at-once", "v", CRASH_DATA, op_writes_at_once},
    {"unmap", "v", CRASH_DATA, op_unmap},
    {"unmap-reuse", "v", CRASH_DATA, op_unmap_reuse},
    {"unmap-reuse-part", "v", CRASH_DATA, op_unmap_reuse_part},
    {"shrink-reuse", "v", CRASH_DATA, op_shrink_reuse},
    {"delete-reuse", "w", CRASH_DATA, op_delete_reuse},
    {"write-zeroes", "v", CRASH_DATA, op_zeroes},
    {"write-zeroes-first", "v", CRASH_DATA, op_zero_first},
    {"resize-up", "v", CRASH_ATOMIC, op_resize_up},
    {"resize-far", "v", CRASH_ATOMIC, op_resize_far},
    {"resize-down", "v", CRASH_ATOMIC, op_resize_down},
    {"resize-512", "v", CRASH_ATOMIC, op_resize_512},
    {"resize-zero", "v", CRASH_ATOMIC, op_resize_zero},
    {"thick-up", "w", CRASH_ATOMIC, op_thick_up},
    {"thick-down", "w", CRASH_ATOMIC, op_thick_down},
    {"thick-far", "w", CRASH_ATOMIC, op_thick_far},
    {"rename", "v", CRASH_ATOMIC, op_rename},
    {"set-read-only", "v", CRASH_ATOMIC, op_read_only},
    {"xattr-set", "v", CRASH_ATOMIC, op_attr},
    {"xattr-big", "v", CRASH_ATOMIC, op_attr_big},
    {"xattr-remove", "v", CRASH_ATOMIC, op_attr_remove},
    {"snapshot", "v", CRASH_ATOMIC, op_snapshot},
    {"snapshot-thick", "w", CRASH_ATOMIC, op_snapshot_thick},
    {"clone", "s", CRASH_ATOMIC, op_clone},
    {"clone-bdev", "", CRASH_ATOMIC, op_clone_bdev, .needs_ext = true},
    {"inflate", "v", CRASH_ATOMIC, op_inflate},
    {"decouple", "v", CRASH_ATOMIC, op_decouple},
    {"decouple-second", "c", CRASH_ATOMIC, op_decouple_c},
    {"detach", "v", CRASH_ATOMIC, op_detach, .changes = true},
    {"set-parent", "c", CRASH_ATOMIC, op_set_parent, .changes = true},
    {"set-parent-bdev", "v", CRASH_ATOMIC, op_set_parent_bdev, .needs_ext = true, .changes = true},
    {"delete", "v", CRASH_ATOMIC, op_delete_v},
    {"delete-thick", "w", CRASH_ATOMIC, op_delete_w},
    {"delete-snapshot", "s", CRASH_ATOMIC, op_delete_s},
    {"delete-grandparent", "g", CRASH_ATOMIC, op_delete_g},
    {"snapshot-busy", "v", CRASH_DATA, op_snapshot_busy},
    {"delete-snapshot-busy", "s", CRASH_DATA, op_delete_s_busy},
    {"pool-rename", "", CRASH_ATOMIC, op_pool_rename},
    {"pool-grow", "", CRASH_ATOMIC, op_pool_grow, .grow_bytes = 8u << 20},
    {"pool-export", "", CRASH_ATOMIC, op_pool_export},
    {"pool-import", "", CRASH_ATOMIC, op_none, .at_load = true},
    {"pool-destroy", "", CRASH_SUBSET, op_pool_destroy},
    {.name = NULL},
};
