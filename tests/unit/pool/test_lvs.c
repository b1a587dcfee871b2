/* SPDX-License-Identifier: Apache-2.0 */
/* Life of pools and volumes on a simulated disk; after each case the independent checker judges the
 * disk, and a second engine opens it and finds the same. */
#include "pool_test.h"

#define C (64u << 10)

static struct volume *find(struct pt *t, const char *name)
{
    struct volume *v = volume_find(t->pools, name);
    CHECK(v);
    return v;
}

static void make(struct pt *t, const char *name, uint64_t n_clusters, bool thin)
{
    struct volume *v;
    struct ash_err err = {0};
    struct volume_create_opts opts = {.thin = thin};
    int rc = volume_create(pool_find(t->pools, "tank"), name, n_clusters * C, &opts, &v, &err);
    if (rc)
        fprintf(stderr, "# %s\n", err.text);
    CHECK_INT(rc, 0);
}

static void snapshot(struct pt *t, const char *vol, const char *name)
{
    struct volume *snap;
    CHECK_INT(volume_snapshot(find(t, vol), name, NULL, &snap, NULL), 0);
}

static uint64_t allocated(struct pt *t, const char *name)
{
    struct volume_info info;
    volume_get_info(find(t, name), &info);
    return info.n_allocated_clusters;
}

static uint64_t n_free(struct pt *t)
{
    struct pool_info info;
    pool_get_info(pool_find(t->pools, "tank"), &info);
    return info.n_free_clusters;
}

/* Runs make_case on a new disk, then check_case in a second engine; judges the disk between. */
static void two_lives(uint64_t disk_bytes, int (*first)(struct pt *t, void *arg),
                      int (*second)(struct pt *t, void *arg))
{
    struct rt_sim_disk *disk = rt_sim_disk_new(disk_bytes, 512);
    for (int cut = 0; cut < 2; cut++) {
        struct rt_sim_image *blank = rt_sim_image_new(disk_bytes);
        rt_sim_disk_give_image(disk, blank);
        CHECK_INT(pt_run(disk, 11, false, cut, first, NULL), 0);
        assert_true(pt_disk_is_sound(disk, !cut));
        if (second)
            CHECK_INT(pt_run(disk, 12, false, false, second, NULL), 0);
        assert_true(pt_disk_is_sound(disk, second || !cut));
    }
    rt_sim_disk_put(disk);
}

static void start(struct pt *t)
{
    struct ash_err err = {0};
    int rc = pt_add_disk(t, "aio:///d", &err);
    if (rc)
        fprintf(stderr, "# %s\n", err.text);
    CHECK_INT(rc, 0);
}

/* ------------------------------------------------------------------- cases */

static int basic_first(struct pt *t, void *arg)
{
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    make(t, "thick", 3, false);
    make(t, "thin", 600, true);
    CHECK_INT(allocated(t, "tank/thick"), 3);
    CHECK_INT(allocated(t, "tank/thin"), 0);
    CHECK(pt_holds(t, "tank/thick", 0, 3 * C, 0));
    CHECK_INT(pt_fill(t, "tank/thick", C, C, 0x51), 0);
    CHECK_INT(pt_fill(t, "tank/thin", C - 512, 1024, 0x52), 0);
    CHECK_INT(pt_fill(t, "tank/thin", 599 * C, C, 0x53), 0);
    CHECK_INT(allocated(t, "tank/thin"), 3);
    snapshot(t, "tank/thin", "s1");
    CHECK_INT(allocated(t, "tank/thin"), 0);
    CHECK_INT(pt_fill(t, "tank/thin", 512, 512, 0x61), 0);
    CHECK_INT(allocated(t, "tank/thin"), 1);
    CHECK(pt_holds(t, "tank/s1", 512, 512, 0));
    CHECK(pt_holds(t, "tank/s1", C - 512, 1024, 0x52));
    CHECK(pt_holds(t, "tank/thin", C - 512, 1024, 0x52));
    CHECK_INT(pt_fill(t, "tank/s1", 0, 512, 1), -EROFS);
    struct volume *clone;
    CHECK_INT(volume_clone(find(t, "tank/s1"), "c1", NULL, &clone, NULL), 0);
    CHECK_INT(pt_fill(t, "tank/c1", 599 * C, 512, 0x71), 0);
    CHECK_INT(volume_delete(find(t, "tank/s1"), NULL), -EBUSY);
    CHECK_INT(volume_rename(find(t, "tank/thick"), "fat", NULL), 0);
    CHECK_INT(pt_op(t, "tank/thin", BDEV_FLUSH, 0, 0), 0);
    return 0;
}

static int basic_second(struct pt *t, void *arg)
{
    start(t);
    CHECK(pt_holds(t, "tank/fat", 0, C, 0));
    CHECK(pt_holds(t, "tank/fat", C, C, 0x51));
    CHECK(pt_holds(t, "tank/thin", 512, 512, 0x61));
    CHECK(pt_holds(t, "tank/thin", C - 512, 1024, 0x52));
    CHECK(pt_holds(t, "tank/s1", 512, 512, 0));
    CHECK(pt_holds(t, "tank/s1", 599 * C, C, 0x53));
    CHECK(pt_holds(t, "tank/c1", 599 * C, 512, 0x71));
    CHECK(pt_holds(t, "tank/c1", 599 * C + 512, C - 512, 0x53));
    CHECK_INT(volume_delete(find(t, "tank/c1"), NULL), 0);
    CHECK_INT(volume_delete(find(t, "tank/s1"), NULL), 0);
    CHECK(pt_holds(t, "tank/thin", 512, 512, 0x61));
    CHECK(pt_holds(t, "tank/thin", C - 512, 1024, 0x52));
    CHECK(pt_holds(t, "tank/thin", 599 * C, C, 0x53));
    CHECK_INT(allocated(t, "tank/thin"), 3);
    CHECK_INT(volume_delete(find(t, "tank/thin"), NULL), 0);
    CHECK_INT(volume_delete(find(t, "tank/fat"), NULL), 0);
    struct pool_info info;
    pool_get_info(pool_find(t->pools, "tank"), &info);
    CHECK_INT(info.n_free_clusters, info.n_clusters);
    CHECK_INT(info.n_free_md_pages, info.n_md_pages - 1);
    return 0;
}

static void basic(void **state)
{
    two_lives(64 << 20, basic_first, basic_second);
}

/* Lengths: up, down, within and across windows, with a snapshot of another length in between. */
static int resize_first(struct pt *t, void *arg)
{
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    for (int thick = 0; thick < 2; thick++) {
        const char *name = thick ? "tank/thick" : "tank/thin";
        make(t, name + 5, 6, !thick);
        CHECK_INT(pt_fill(t, name, 0, 8192, 0x11), 0);
        CHECK_INT(pt_fill(t, name, 5 * C, 8192, 0x15), 0);
        CHECK_INT(volume_resize(find(t, name), 9 * C, NULL), 0);
        CHECK_INT(allocated(t, name), thick ? 9 : 2);
        CHECK(pt_holds(t, name, 6 * C, 3 * C, 0));
        CHECK_INT(pt_fill(t, name, 8 * C, 512, 0x18), 0);
        CHECK_INT(volume_resize(find(t, name), 600 * C, NULL), 0);
        CHECK_INT(pt_fill(t, name, 599 * C, 512, 0x19), 0);
        CHECK(pt_holds(t, name, 8 * C, 512, 0x18));
        CHECK_INT(volume_resize(find(t, name), 7 * C, NULL), 0);
        CHECK_INT(volume_resize(find(t, name), 10 * C, NULL), 0);
        CHECK(pt_holds(t, name, 8 * C, C, 0)); /* what was cut off does not come back */
        CHECK_INT(volume_resize(find(t, name), 0, NULL), 0);
        CHECK_INT(volume_resize(find(t, name), 5 * C, NULL), 0);
        CHECK(pt_holds(t, name, 0, 5 * C, 0));
    }
    return 0;
}

static void resize(void **state)
{
    two_lives(64 << 20, resize_first, NULL);
}

/* The clean path that the reference implementation gets wrong (5.7, 9.5): snapshot, resize, delete
 * the snapshot, reload. arg: new length, whether something is written at the end. */
struct merge_arg {
    uint64_t n;
    bool write_end;
};

static int merge_first(struct pt *t, void *arg)
{
    struct merge_arg *m = arg;
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    make(t, "v", 6, true);
    CHECK_INT(pt_fill(t, "tank/v", 0, 8192, 0x11), 0);
    CHECK_INT(pt_fill(t, "tank/v", 5 * C, 8192, 0x15), 0);
    snapshot(t, "tank/v", "s1");
    CHECK_INT(volume_resize(find(t, "tank/v"), m->n * C, NULL), 0);
    if (m->write_end)
        CHECK_INT(pt_fill(t, "tank/v", (m->n - 1) * C, 4096, 0x77), 0);
    CHECK_INT(volume_delete(find(t, "tank/s1"), NULL), 0);
    return 0;
}

static int merge_second(struct pt *t, void *arg)
{
    struct merge_arg *m = arg;
    struct volume_info info;
    start(t);
    volume_get_info(find(t, "tank/v"), &info);
    CHECK_INT(info.n_clusters, m->n);
    CHECK(!info.clone);
    CHECK(pt_holds(t, "tank/v", 0, 8192, 0x11));
    if (m->n > 6 || (m->n == 6 && !m->write_end))
        CHECK(pt_holds(t, "tank/v", 5 * C, 8192, 0x15));
    if (m->n > 6)
        CHECK(pt_holds(t, "tank/v", 6 * C, (m->n - 6 - m->write_end) * C, 0));
    if (m->write_end)
        CHECK(pt_holds(t, "tank/v", (m->n - 1) * C, 4096, 0x77));
    uint64_t n_used = 1 + (m->n >= 6) + (m->write_end && m->n > 6) + (m->write_end && m->n < 6);
    CHECK_INT(info.n_allocated_clusters, n_used);
    return 0;
}

static void merge_lengths(void **state)
{
    static const uint64_t lengths[] = {3, 6, 9, 512, 513, 600};
    for (size_t i = 0; i < ASH_N_ELEMS(lengths); i++) {
        for (int w = 0; w < 2; w++) {
            struct merge_arg m = {lengths[i], w};
            struct rt_sim_disk *disk = rt_sim_disk_new(64 << 20, 512);
            CHECK_INT(pt_run(disk, 5, false, false, merge_first, &m), 0);
            assert_true(pt_disk_is_sound(disk, true));
            CHECK_INT(pt_run(disk, 6, false, false, merge_second, &m), 0);
            assert_true(pt_disk_is_sound(disk, true));
            rt_sim_disk_put(disk);
        }
    }
}

static int unmap_first(struct pt *t, void *arg)
{
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    uint64_t before = n_free(t);
    make(t, "v", 20, true);
    CHECK_INT(pt_fill(t, "tank/v", 0, 8 * C, 0x22), 0);
    CHECK_INT(n_free(t), before - 8);
    CHECK_INT(pt_op(t, "tank/v", BDEV_UNMAP, C, 2 * C), 0);
    CHECK_INT(n_free(t), before - 6);
    CHECK(pt_holds(t, "tank/v", C, 2 * C, 0));
    CHECK_INT(pt_op(t, "tank/v", BDEV_WRITE_ZEROES, 4 * C - 512, C + 1024), 0);
    CHECK_INT(n_free(t), before - 5);
    CHECK(pt_holds(t, "tank/v", 3 * C, C - 512, 0x22));
    CHECK(pt_holds(t, "tank/v", 4 * C - 512, C + 1024, 0));
    CHECK(pt_holds(t, "tank/v", 5 * C + 512, 3 * C - 512, 0x22));
    /* unallocated: nothing is allocated for zeroes */
    CHECK_INT(pt_op(t, "tank/v", BDEV_WRITE_ZEROES, 10 * C, 5 * C), 0);
    CHECK_INT(n_free(t), before - 5);
    /* a parent's data must not come back */
    snapshot(t, "tank/v", "s");
    CHECK_INT(pt_fill(t, "tank/v", 0, C, 0x33), 0);
    CHECK_INT(pt_op(t, "tank/v", BDEV_UNMAP, 0, C), 0);
    CHECK(pt_holds(t, "tank/v", 0, C, 0));
    CHECK_INT(pt_op(t, "tank/v", BDEV_WRITE_ZEROES, 6 * C, C), 0);
    CHECK(pt_holds(t, "tank/v", 6 * C, C, 0));
    CHECK(pt_holds(t, "tank/s", 6 * C, C, 0x22));
    CHECK(pt_holds(t, "tank/s", 0, C, 0x22));
    return 0;
}

static void unmap(void **state)
{
    two_lives(32 << 20, unmap_first, NULL);
}

static int inflate_first(struct pt *t, void *arg)
{
    struct volume *c;
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    make(t, "v", 8, true);
    CHECK_INT(pt_fill(t, "tank/v", 0, C, 1), 0);
    snapshot(t, "tank/v", "s1");
    CHECK_INT(pt_fill(t, "tank/v", C, C, 2), 0);
    snapshot(t, "tank/v", "s2");
    CHECK_INT(pt_fill(t, "tank/v", 2 * C, 512, 3), 0);
    CHECK_INT(volume_clone(find(t, "tank/s2"), "c", NULL, &c, NULL), 0);
    CHECK_INT(volume_decouple(find(t, "tank/c"), NULL), 0);
    CHECK_INT(allocated(t, "tank/c"), 1);
    struct volume_info info;
    volume_get_info(find(t, "tank/c"), &info);
    CHECK(info.parent == find(t, "tank/s1"));
    CHECK_INT(volume_inflate(find(t, "tank/v"), NULL), 0);
    volume_get_info(find(t, "tank/v"), &info);
    CHECK(!info.parent && !info.thin);
    CHECK_INT(info.n_allocated_clusters, 8);
    CHECK_INT(volume_detach(find(t, "tank/c"), NULL), 0);
    return 0;
}

static int inflate_second(struct pt *t, void *arg)
{
    start(t);
    CHECK(pt_holds(t, "tank/v", 0, C, 1));
    CHECK(pt_holds(t, "tank/v", C, C, 2));
    CHECK(pt_holds(t, "tank/v", 2 * C, 512, 3));
    CHECK(pt_holds(t, "tank/v", 2 * C + 512, 6 * C - 512, 0));
    CHECK(pt_holds(t, "tank/c", 0, C, 0));
    CHECK(pt_holds(t, "tank/c", C, C, 2));
    return 0;
}

static void inflate(void **state)
{
    two_lives(32 << 20, inflate_first, inflate_second);
}

static int full_first(struct pt *t, void *arg)
{
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    uint64_t n = n_free(t);
    make(t, "v", n + 10, true);
    CHECK_INT(pt_fill(t, "tank/v", 0, n * C, 9), 0);
    CHECK_INT(n_free(t), 0);
    CHECK_INT(pt_fill(t, "tank/v", n * C, 512, 9), -ENOSPC);
    CHECK_INT(pt_fill(t, "tank/v", 0, 512, 8), 0);
    struct volume *v;
    struct volume_create_opts opts = {0};
    CHECK_INT(volume_create(pool_find(t->pools, "tank"), "w", C, &opts, &v, NULL), -ENOSPC);
    CHECK_INT(pt_op(t, "tank/v", BDEV_UNMAP, 3 * C, C), 0);
    CHECK_INT(pt_fill(t, "tank/v", n * C, 512, 9), 0);
    CHECK_INT(pt_fill(t, "tank/v", 3 * C, 512, 9), -ENOSPC);
    CHECK(pt_holds(t, "tank/v", n * C + 512, C - 512, 0)); /* nobody's old data */
    return 0;
}

static void full(void **state)
{
    two_lives(4 << 20, full_first, NULL);
}

static int esnap_first(struct pt *t, void *arg)
{
    struct volume *c, *s;
    struct ash_err err = {0};
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    CHECK_INT(
        pt_add_disk(t, "malloc:///ext?size_mb=1&uuid=e5a9e5a9-0000-4000-8000-00000000c0de", &err),
        0);
    CHECK_INT(pt_fill(t, "ext", 0, 1 << 20, 0x44), 0);
    int rc = volume_clone_bdev(pool_find(t->pools, "tank"), "ext", "c", NULL, &c, &err);
    if (rc)
        fprintf(stderr, "# %s\n", err.text);
    CHECK_INT(rc, 0);
    CHECK(pt_holds(t, "tank/c", 0, 1 << 20, 0x44));
    CHECK_INT(pt_fill(t, "tank/c", 512, 512, 0x45), 0);
    CHECK(pt_holds(t, "tank/c", 1024, (1 << 20) - 1024, 0x44));
    CHECK_INT(volume_resize(find(t, "tank/c"), (1 << 20) + 2 * C, NULL), 0);
    CHECK(pt_holds(t, "tank/c", 1 << 20, 2 * C, 0)); /* past the parent's end */
    CHECK_INT(volume_snapshot(find(t, "tank/c"), "cs", NULL, &s, NULL), 0);
    CHECK_INT(pt_fill(t, "tank/c", C, 512, 0x46), 0);
    /* the parent goes, and comes back */
    CHECK_INT(bdev_unregister(bdev_find(t->mgr, "ext")), 0);
    struct volume_info info;
    volume_get_info(find(t, "tank/c"), &info);
    CHECK_INT(info.state, VOLUME_DEGRADED);
    CHECK(!info.bdev);
    volume_get_info(find(t, "tank/cs"), &info);
    CHECK_INT(info.state, VOLUME_DEGRADED);
    CHECK_INT(
        pt_add_disk(t, "malloc:///ext?size_mb=1&uuid=e5a9e5a9-0000-4000-8000-00000000c0de", &err),
        0);
    CHECK_INT(pt_fill(t, "tank/c", 8192, 512, 0x47), 0);
    CHECK(pt_holds(t, "tank/c", C, 512, 0x46));
    CHECK(pt_holds(t, "tank/cs", 512, 512, 0x45));
    return 0;
}

static int esnap_second(struct pt *t, void *arg)
{
    struct volume_info info;
    struct ash_err err = {0};
    start(t);
    volume_get_info(find(t, "tank/cs"), &info);
    CHECK_INT(info.state, VOLUME_DEGRADED);
    CHECK(info.esnap_clone);
    CHECK_INT(
        pt_add_disk(t, "malloc:///ext?size_mb=1&uuid=e5a9e5a9-0000-4000-8000-00000000c0de", &err),
        0);
    CHECK(pt_holds(t, "tank/cs", 512, 512, 0x45));
    CHECK(pt_holds(t, "tank/c", C, 512, 0x46));
    CHECK_INT(volume_delete(find(t, "tank/cs"), NULL), 0);
    volume_get_info(find(t, "tank/c"), &info);
    CHECK(info.esnap_clone);
    CHECK(pt_holds(t, "tank/c", 512, 512, 0x45));
    CHECK_INT(volume_inflate(find(t, "tank/c"), NULL), 0);
    CHECK(pt_holds(t, "tank/c", C, 512, 0x46));
    return 0;
}

static void esnap(void **state)
{
    two_lives(32 << 20, esnap_first, esnap_second);
}

/* lvol: URIs, good and bad. */
static int uri_first(struct pt *t, void *arg)
{
    static const struct {
        const char *uri;
        enum ash_reason reason;
    } rows[] = {
        {"lvol:///?size=1MiB&lvs=lvs:///p?mode=create&disk=aio:///d", ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?lvs=lvs:///p?mode=create&disk=aio:///d", ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?size=many&lvs=lvs:///p?mode=create&disk=aio:///d", ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?size=1MiB&disk=aio:///d", ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?size=1MiB&lvs=lvs:///p&disk=aio:///d", ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?size=1MiB&lvs=lvs:///p?mode=create", ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?size=1MiB&lvs=aio:///p?mode=create&disk=aio:///d", ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?size=1MiB&lvs=lvs:///p?mode=create&disk=aio:///d&extra=1",
         ASH_E_BDEV_URI_INVALID},
        {"lvol:///v?size=1MiB&lvs=lvs:///p?mode=import&disk=aio:///d", ASH_E_POOL_SUPER_SIGNATURE},
        {"lvol:///v?size=8MiB&lvs=lvs:///p?mode=create&disk=malloc:///m?size_mb=64", ASH_OK},
        {"lvol:///v?size=8MiB&lvs=lvs:///p?mode=create&disk=malloc:///m2?size_mb=64",
         ASH_E_BDEV_EXISTS},
        {"lvol:///v?size=12MiB&lvs=lvs:///p?mode=import&disk=malloc:///m3?size_mb=64", ASH_OK},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct ash_err err = {0};
        char *name = NULL;
        int rc = bdev_create_uri(t->mgr, rows[i].uri, &name, &err);
        if (err.reason != rows[i].reason || (rc == 0) != (rows[i].reason == ASH_OK))
            fprintf(stderr, "# %s: %s: %s\n", rows[i].uri, ash_reason_name(err.reason), err.text);
        CHECK_INT(err.reason, rows[i].reason);
        rt_free(name);
        if (rows[i].reason == ASH_E_POOL_SUPER_SIGNATURE)
            CHECK_INT(bdev_unregister(bdev_find(t->mgr, "/d")), 0);
    }
    CHECK_INT(bdev_find(t->mgr, "v")->size_bytes, 12 << 20);
    CHECK_INT(bdev_destroy_uri(t->mgr, "lvol:///v", NULL), 0);
    CHECK(!pool_next(t->pools, NULL));
    return 0;
}

static void uris(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(64 << 20, 512);
    CHECK_INT(pt_run(disk, 1, false, false, uri_first, NULL), 0);
    rt_sim_disk_put(disk);
}

/* A channel that stays open while the tree above its volume changes: what it remembers of the chain
 * must not outlive the chain. */
static bool channel_reads(struct bdev_channel *ch, uint64_t offset, uint8_t b) ASH_MAY_WAIT
{
    uint8_t buf[512], want[512];
    memset(want, b, sizeof(want));
    CHECK_INT(bdev_read(ch, buf, offset, sizeof(buf)), 0);
    return memcmp(buf, want, sizeof(buf)) == 0;
}

static int held_channel(struct pt *t, void *arg)
{
    struct ash_err err = {0};
    struct bdev_desc *desc;
    struct volume *v;
    start(t);
    pt_make_pool(t, "/d", "tank", C);
    make(t, "a", 4, true);
    make(t, "b", 4, true);
    CHECK_INT(pt_fill(t, "tank/a", 0, C, 0x11), 0);
    CHECK_INT(pt_fill(t, "tank/b", 0, C, 0x22), 0);
    CHECK_INT(pt_fill(t, "tank/b", 2 * C, C, 0x33), 0);
    snapshot(t, "tank/a", "sa");
    snapshot(t, "tank/b", "sb");
    CHECK_INT(volume_clone(find(t, "tank/sa"), "v", NULL, &v, &err), 0);
    CHECK_INT(bdev_open(t->mgr, "tank/v", BDEV_OPEN_WRITE, "test", NULL, NULL, &desc, &err), 0);
    struct bdev_channel *ch = bdev_channel_get(desc);
    CHECK(channel_reads(ch, 0, 0x11) && channel_reads(ch, C, 0) && channel_reads(ch, 2 * C, 0));
    /* another parent */
    CHECK_INT(volume_set_parent(v, find(t, "tank/sb"), &err), 0);
    CHECK(channel_reads(ch, 0, 0x22) && channel_reads(ch, C, 0) && channel_reads(ch, 2 * C, 0x33));
    /* what the volume has written moves up, over what was seen there before */
    uint8_t buf[512];
    memset(buf, 0x44, sizeof(buf));
    CHECK_INT(bdev_write(ch, buf, 0, sizeof(buf), 0), 0);
    CHECK_INT(bdev_write(ch, buf, C, sizeof(buf), 0), 0);
    snapshot(t, "tank/v", "sv");
    CHECK(channel_reads(ch, 0, 0x44) && channel_reads(ch, 512, 0x22) && channel_reads(ch, C, 0x44));
    /* a longer map than the one that was remembered */
    CHECK_INT(volume_resize(v, 1100 * C, &err), 0);
    CHECK(channel_reads(ch, 0, 0x44) && channel_reads(ch, 1099 * C, 0));
    /* and the chain shrinks again */
    CHECK_INT(volume_delete(find(t, "tank/sv"), &err), 0);
    CHECK(channel_reads(ch, 0, 0x44) && channel_reads(ch, 512, 0x22) &&
          channel_reads(ch, 2 * C, 0x33));
    bdev_channel_put(ch);
    bdev_close(desc);
    return 0;
}

static int nothing_more(struct pt *t, void *arg)
{
    start(t);
    return 0;
}

static void remembered_chain(void **state)
{
    two_lives(64 << 20, held_channel, nothing_more);
}

/* ---------------------------------------------- what has just been made */

/* A new volume is examined, that is opened for some moments. Nobody uses it for that. */
static int just_made(struct pt *t, void *arg)
{
    start(t);
    for (unsigned pause = 0; pause < 40; pause++) {
        struct pool *pool = pt_make_pool(t, "/d", "tank", C);
        make(t, "v", 3, false);
        for (unsigned i = 0; i < pause / 2; i++)
            rt_sleep_ns(10000);
        if (pause % 2)
            CHECK_INT(volume_resize(find(t, "tank/v"), C, NULL), 0);
        CHECK_INT(pool_export(pool, NULL), 0);
        CHECK_INT(pt_op(t, "/d", BDEV_WRITE_ZEROES, 0, 8 * C), 0);
    }
    pt_make_pool(t, "/d", "tank", C);
    return 0;
}

static void in_use_for_a_moment(void **state)
{
    two_lives(64 << 20, just_made, NULL);
}

/* A base that copies by itself: first writes at the begin, in the middle and at the end of a
 * parent's clusters, and of whole ones. */
static int copying_base(struct pt *t, void *arg)
{
    struct ash_err err = {0};
    CHECK_INT(pt_add_disk(t, "malloc:///m?size_mb=16", &err), 0);
    pt_make_pool(t, "m", "tank", C);
    make(t, "a", 4, true);
    CHECK_INT(pt_fill(t, "tank/a", 0, 4 * C, 0x11), 0);
    snapshot(t, "tank/a", "s");
    CHECK_INT(pt_fill(t, "tank/a", 0, 512, 0x22), 0);
    CHECK_INT(pt_fill(t, "tank/a", C + 512, 1024, 0x33), 0);
    CHECK_INT(pt_fill(t, "tank/a", 3 * C - 512, 512, 0x44), 0);
    CHECK_INT(pt_fill(t, "tank/a", 3 * C, C, 0x55), 0);
    CHECK(pt_holds(t, "tank/a", 0, 512, 0x22) && pt_holds(t, "tank/a", 512, C, 0x11));
    CHECK(pt_holds(t, "tank/a", C + 512, 1024, 0x33));
    CHECK(pt_holds(t, "tank/a", C + 1536, 2 * C - 2048, 0x11));
    CHECK(pt_holds(t, "tank/a", 3 * C - 512, 512, 0x44) && pt_holds(t, "tank/a", 3 * C, C, 0x55));
    CHECK(pt_holds(t, "tank/s", 0, 4 * C, 0x11));
    CHECK_INT(allocated(t, "tank/a"), 4);
    return 0;
}

static void cow_by_copy(void **state)
{
    CHECK_INT(pt_run(NULL, 1, false, false, copying_base, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basic),
        cmocka_unit_test(resize),
        cmocka_unit_test(merge_lengths),
        cmocka_unit_test(unmap),
        cmocka_unit_test(inflate),
        cmocka_unit_test(full),
        cmocka_unit_test(esnap),
        cmocka_unit_test(uris),
        cmocka_unit_test(remembered_chain),
        cmocka_unit_test(cow_by_copy),
        cmocka_unit_test(in_use_for_a_moment),
    };
    return cmocka_run_group_tests_name("lvs", tests, NULL, NULL);
}
