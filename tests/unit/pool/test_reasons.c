/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals of pools, volumes and devices, each with its reason code. tools/check/reasons wants
 * every code of src/base/reasons.h to be asserted by some test; those of this layer that no other
 * test meets on its way are here. */
#include "mkdisk.h"
#include "pool/lvm/set.h"
#include "pool_test.h"

#define C    (64u << 10)
#define BASE UINT64_C(0x100000000)

/* Runs call and tells the reason that it left in err. */
#define REASON(call)                                                                               \
    ({                                                                                             \
        struct ash_err err = {0};                                                                  \
        int rc_ = (call);                                                                          \
        if ((rc_ != 0) != (err.reason != ASH_OK))                                                  \
            fprintf(stderr, "# rc %d and reason %s\n", rc_, ash_reason_name(err.reason));          \
        if (rc_ != err.rc)                                                                         \
            fprintf(stderr, "# rc %d, in the error %d\n", rc_, err.rc);                            \
        err.reason;                                                                                \
    })
#define CHECK_REASON(call, code) CHECK_INT(REASON(call), code)

static struct volume *find(struct pt *t, const char *name)
{
    struct volume *v = volume_find(t->pools, name);
    CHECK(v);
    return v;
}

static struct volume *make(struct pt *t, const char *name, uint64_t n_clusters, bool thin)
{
    struct volume *v = NULL;
    struct volume_create_opts opts = {.thin = thin};
    CHECK_INT(volume_create(pool_next(t->pools, NULL), name, n_clusters * C, &opts, &v, NULL), 0);
    return v;
}

static void run(struct rt_sim_disk *disk, int (*fn)(struct pt *t, void *arg), void *arg)
{
    CHECK_INT(pt_run(disk, 1, false, false, fn, arg), 0);
}

/* ------------------------------------------------------- stores that are refused */

struct bad_super {
    void (*make)(struct mkdisk *d);
    enum ash_reason reason;
};

static void version(struct mkdisk *d)
{
    mkdisk_super(d)->version = ash_le32(9);
    mkdisk_seal_super(d);
}
static void crc(struct mkdisk *d)
{
    mkdisk_super(d)->cluster_bytes = ash_le32(4096);
}
static void geometry(struct mkdisk *d)
{
    mkdisk_super(d)->md_start = ash_le32(0);
    mkdisk_seal_super(d);
}
static void page_size(struct mkdisk *d)
{
    mkdisk_super(d)->md_page_bytes = ash_le32(4097);
    mkdisk_seal_super(d);
}
static void cluster_size(struct mkdisk *d)
{
    mkdisk_super(d)->cluster_bytes = ash_le32(1000);
    mkdisk_seal_super(d);
}
static void block_size(struct mkdisk *d)
{
    mkdisk_super(d)->io_unit_bytes = ash_le32(513);
    mkdisk_seal_super(d);
}
static void no_metadata(struct mkdisk *d)
{
    mkdisk_super(d)->md_len = ash_le32(0);
    mkdisk_seal_super(d);
}
static void past_the_end(struct mkdisk *d)
{
    mkdisk_super(d)->md_start = ash_le32(64 * 256 - 32);
    mkdisk_seal_super(d);
}
static void too_big(struct mkdisk *d)
{
    mkdisk_super(d)->size_bytes = ash_le64(d->n_bytes + 1);
    mkdisk_seal_super(d);
}
static void type(struct mkdisk *d)
{
    memcpy(mkdisk_super(d)->bstype, "SOMETHING", 10);
    mkdisk_seal_super(d);
}
static void empty(struct mkdisk *d)
{
    mkdisk_init_geometry(d, MKDISK_N_CLUSTERS, MKDISK_CLUSTER_BYTES, 4096, false);
}
static void nothing(struct mkdisk *d)
{
    memset(d->bytes, 0, 4096);
}

static int import_case(struct pt *t, void *arg)
{
    struct pool *pool;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    CHECK(!pool_next(t->pools, NULL));
    CHECK_REASON(pool_import(t->pools, "/d", false, NULL, &pool, &err), *(enum ash_reason *)arg);
    return 0;
}

static struct rt_sim_disk *disk_of(struct mkdisk *d)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(d->n_bytes, 4096);
    struct rt_sim_image *image = rt_sim_image_new(d->n_bytes);
    CHECK_INT(rt_sim_image_write(image, 0, d->bytes, MKDISK_CLUSTER_BYTES), 0);
    rt_sim_disk_give_image(disk, image);
    return disk;
}

static void supers(void **state)
{
    static struct bad_super rows[] = {
        {version, ASH_E_POOL_SUPER_VERSION},       {crc, ASH_E_POOL_SUPER_CRC},
        {geometry, ASH_E_POOL_SUPER_GEOMETRY},     {page_size, ASH_E_POOL_SUPER_GEOMETRY},
        {cluster_size, ASH_E_POOL_SUPER_GEOMETRY}, {block_size, ASH_E_POOL_SUPER_GEOMETRY},
        {no_metadata, ASH_E_POOL_SUPER_GEOMETRY},  {past_the_end, ASH_E_POOL_SUPER_GEOMETRY},
        {too_big, ASH_E_POOL_SUPER_TOO_BIG},       {type, ASH_E_POOL_WRONG_TYPE},
        {empty, ASH_E_POOL_NO_SUPER_BLOB},         {nothing, ASH_E_POOL_SUPER_SIGNATURE},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct mkdisk d;
        mkdisk_init(&d, true);
        rows[i].make(&d);
        struct rt_sim_disk *disk = disk_of(&d);
        run(disk, import_case, &rows[i].reason);
        rt_sim_disk_put(disk);
        mkdisk_fini(&d);
    }
}

/* Two volumes own the same clusters: neither may be changed. */
static int crosslinked_case(struct pt *t, void *arg)
{
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    CHECK_REASON(volume_resize(find(t, "lvs0/thick"), 8 << 20, &err), ASH_E_POOL_DEGRADED);
    CHECK_REASON(volume_delete(find(t, "lvs0/rle"), &err), ASH_E_POOL_DEGRADED);
    return 0;
}

static void crosslinked(void **state)
{
    struct mkdisk d;
    mkdisk_init(&d, true);
    struct mkpage p = mkpage_begin(&d, 7, BASE + 7, 0);
    mkpage_flags(&p, 1, 0, 2);
    mkpage_names(&p, "rle", 4);
    mkpage_rle(&p, (uint32_t[]){1, 3}, 1);
    mkpage_end(&p, LVS_INVALID_PAGE);
    struct rt_sim_disk *disk = disk_of(&d);
    run(disk, crosslinked_case, NULL);
    rt_sim_disk_put(disk);
    mkdisk_fini(&d);
}

/* --------------------------------------------------------------- making a pool */

static int fail_reads(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    return op->kind == RT_OP_READ ? -EIO : 0;
}

static int fail_writes(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    return op->kind == RT_OP_WRITE ? -EIO : 0;
}

static void set_fail(struct pt *t, int (*fail)(void *, const struct rt_op *, struct rt_sim_disk *))
{
    struct rt_sim_hooks hooks = {.fail = fail};
    rt_sim_set_hooks(t->rt, &hooks);
}

static enum ash_reason create(struct pt *t, const char *bdev, const struct pool_create_opts *opts)
{
    struct pool *pool;
    return REASON(pool_create(t->pools, bdev, "tank", opts, &pool, &err));
}

static int create_case(struct pt *t, void *arg)
{
    static const struct {
        struct pool_create_opts opts;
        enum ash_reason reason;
    } rows[] = {
        {{.cluster_bytes = 1 << 30}, ASH_E_POOL_TOO_SMALL},
        {{.cluster_bytes = C, .md_ratio_percent = 100000}, ASH_E_POOL_METADATA_TOO_BIG},
        {{.cluster_bytes = C, .md_page_bytes = 5000}, ASH_E_POOL_BAD_MD_PAGE_SIZE},
        {{.cluster_bytes = C, .md_page_bytes = 131072}, ASH_E_POOL_BAD_MD_PAGE_SIZE},
        {{.cluster_bytes = 5000}, ASH_E_POOL_BAD_CLUSTER_SIZE},
    };
    const struct pool_create_opts good = {.cluster_bytes = C};
    struct pool *pool;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++)
        CHECK_INT(create(t, "/d", &rows[i].opts), rows[i].reason);
    set_fail(t, fail_reads);
    CHECK_INT(create(t, "/d", &good), ASH_E_POOL_UNREADABLE);
    set_fail(t, NULL);
    CHECK_INT(create(t, "/d", &good), ASH_OK);
    pool = pool_find(t->pools, "tank");
    make(t, "v", 1, true);
    set_fail(t, fail_writes);
    CHECK_REASON(pool_rename(pool, "other", &err), ASH_E_POOL_IO);
    set_fail(t, NULL);
    rt_sim_disk_resize(arg, 5 << 20); /* smaller than what it holds */
    CHECK_REASON(bdev_rescan(bdev_find(t->mgr, "/d"), &err), ASH_E_BDEV_BUSY);
    return 0;
}

static void creation(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(8 << 20, 512);
    run(disk, create_case, disk);
    rt_sim_disk_put(disk);
}

/* A pool is made for so many clusters as its masks have room for. */
static int grow_case(struct pt *t, void *arg)
{
    struct pool *pool;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    pool = pt_make_pool(t, "/d", "tank", 8192);
    rt_sim_disk_resize(arg, (uint64_t)2 << 30);
    CHECK_REASON(pool_grow(pool, &err), ASH_E_POOL_CANNOT_GROW);
    return 0;
}

static void growth(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(8 << 20, 512);
    run(disk, grow_case, disk);
    rt_sim_disk_put(disk);
}

/* ------------------------------------------------------------ a pool at work */

struct beside {
    struct pt *t;
    int (*fn)(struct beside *b);
    int rc;
    struct rt_event done;
};

static void beside_task(void *arg)
{
    struct beside *b = arg;
    b->rc = b->fn(b);
    rt_event_set(&b->done, 0);
}

static int inflate_v(struct beside *b)
{
    return volume_inflate(find(b->t, "tank/c"), NULL);
}

static int set_xattr(struct volume *v, const char *name, size_t n_bytes, struct ash_err *err)
{
    uint8_t value[5000] = {1};
    return volume_xattr_set(v, name, value, n_bytes, false, err);
}

static int volumes_case(struct pt *t, void *arg)
{
    struct volume *v, *s, *c;
    struct bdev_desc *desc;
    uint32_t id;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    struct pool *pool = pt_make_pool(t, "/d", "tank", C);
    v = make(t, "v", 8, true);
    make(t, "thick", 1, false);
    CHECK_INT(pt_fill(t, "tank/v", 0, 8 * C, 1), 0);
    CHECK_REASON(volume_clone(v, "c", NULL, &c, &err), ASH_E_VOLUME_NOT_READ_ONLY);
    CHECK_REASON(volume_detach(v, &err), ASH_E_VOLUME_NO_PARENT);
    CHECK_REASON(volume_decouple(v, &err), ASH_E_VOLUME_NO_PARENT);
    CHECK_INT(volume_snapshot(v, "s", NULL, &s, NULL), 0);
    CHECK_REASON(volume_snapshot(s, "s2", NULL, &c, &err), ASH_E_VOLUME_SOURCE_READ_ONLY);
    CHECK_INT(volume_clone(s, "c", NULL, &c, NULL), 0);
    CHECK_REASON(volume_set_parent_bdev(find(t, "tank/thick"), "tank/s", &err),
                 ASH_E_VOLUME_NOT_THIN);
    CHECK_REASON(volume_xattr_remove(v, "nothing", false, &err), ASH_E_XATTR_NOT_FOUND);
    CHECK_REASON(set_xattr(v, "large", 4090, &err), ASH_E_XATTR_TOO_BIG);
    CHECK_REASON(set_xattr(s, "k", 1, &err), ASH_E_VOLUME_READ_ONLY);
    /* a copy to something too small, and of something that changes */
    CHECK_INT(pt_add_disk(t, "malloc:///small?num_blocks=64&blk_size=512", NULL), 0);
    CHECK_REASON(volume_shallow_copy(s, "small", &id, &err), ASH_E_VOLUME_COPY_TARGET);
    CHECK_REASON(volume_shallow_copy(v, "small", &id, &err), ASH_E_VOLUME_NOT_READ_ONLY);
    /* open: not to be shrunk, the pool not to be closed */
    CHECK_INT(bdev_open(t->mgr, "tank/v", BDEV_OPEN_READ, "test", NULL, NULL, &desc, NULL), 0);
    CHECK_REASON(volume_resize(v, C, &err), ASH_E_VOLUME_OPEN);
    CHECK_REASON(pool_export(pool, &err), ASH_E_POOL_BUSY);
    bdev_close(desc);
    /* one operation at a time */
    struct beside b = {.t = t, .fn = inflate_v, .done = RT_EVENT_INIT};
    CHECK_INT(rt_task_spawn("beside", beside_task, &b), 0);
    rt_yield();
    CHECK_REASON(volume_rename(c, "d", &err), ASH_E_VOLUME_LOCKED);
    rt_event_wait(&b.done);
    CHECK_INT(b.rc, 0);
    return 0;
}

static int read_only_case(struct pt *t, void *arg)
{
    struct volume *v;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    struct pool *pool = pool_find(t->pools, "tank");
    CHECK(pool);
    CHECK_REASON(volume_create(pool, "new", C, NULL, &v, &err), ASH_E_POOL_READ_ONLY);
    CHECK_REASON(volume_delete(find(t, "tank/thick"), &err), ASH_E_POOL_READ_ONLY);
    return 0;
}

static void volumes(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(8 << 20, 512);
    run(disk, volumes_case, NULL);
    CHECK_INT(pt_run(disk, 2, true, false, read_only_case, NULL), 0);
    rt_sim_disk_put(disk);
}

/* As many volumes as there are metadata pages. */
static int metadata_full_case(struct pt *t, void *arg)
{
    struct volume *v;
    enum ash_reason reason = ASH_OK;
    char name[16];
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    struct pool *pool = pt_make_pool(t, "/d", "tank", C);
    for (unsigned i = 0; reason == ASH_OK && i < 1000; i++) {
        struct volume_create_opts opts = {.thin = true};
        snprintf(name, sizeof(name), "v%u", i);
        reason = REASON(volume_create(pool, name, C, &opts, &v, &err));
    }
    CHECK_INT(reason, ASH_E_POOL_METADATA_FULL);
    /* a first write needs an extent page */
    CHECK_INT(pt_fill(t, "tank/v0", 0, 512, 1), -ENOSPC);
    CHECK_INT(volume_delete(find(t, "tank/v1"), NULL), 0);
    CHECK_INT(pt_fill(t, "tank/v0", 0, 512, 1), 0);
    return 0;
}

static void metadata_full(void **state)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(4 << 20, 512);
    run(disk, metadata_full_case, NULL);
    assert_true(pt_disk_is_sound(disk, true));
    rt_sim_disk_put(disk);
}

/* ------------------------------------------------------------------- devices */

static int devices_case(struct pt *t, void *arg)
{
    struct bdev_desc *desc, *other;
    struct ash_err e = {0};
    CHECK_INT(pt_add_disk(t, "malloc:///m?size_mb=4", NULL), 0);
    CHECK_INT(bdev_open(t->mgr, "m", BDEV_OPEN_READ, "test", NULL, NULL, &desc, NULL), 0);
    CHECK_INT(bdev_claim(desc, BDEV_CLAIM_EXCL_WRITE, 0, "test", NULL), 0);
    CHECK_REASON(bdev_open(t->mgr, "m", BDEV_OPEN_WRITE, "test", NULL, NULL, &other, &err),
                 ASH_E_BDEV_CLAIMED);
    bdev_close(desc);
    CHECK_INT(call(t->mgr, "bdev_delay_update_latency",
                   "{\"delay_bdev_name\":\"m\",\"latency_type\":\"avg_read\",\"latency_us\":1}",
                   NULL, &e),
              e.rc);
    CHECK_INT(e.reason, ASH_E_BDEV_WRONG_KIND);
    /* a snapshot cannot be written */
    struct volume *s;
    pt_make_pool(t, "m", "tank", C);
    CHECK_INT(volume_snapshot(make(t, "v", 1, true), "s", NULL, &s, NULL), 0);
    CHECK_REASON(bdev_open(t->mgr, "tank/s", BDEV_OPEN_WRITE, "test", NULL, NULL, &desc, &err),
                 ASH_E_BDEV_READ_ONLY);
    return 0;
}

/* Whoever holds a device that goes, and does not let go at once. */
static int take_m(struct beside *b)
{
    return bdev_unregister(bdev_find(b->t->mgr, "m"));
}

static int removal_case(struct pt *t, void *arg)
{
    struct bdev_desc *desc, *other;
    struct beside b = {.t = t, .fn = take_m, .done = RT_EVENT_INIT};
    CHECK_INT(pt_add_disk(t, "malloc:///m?size_mb=4", NULL), 0);
    CHECK_INT(bdev_open(t->mgr, "m", BDEV_OPEN_READ, "test", NULL, NULL, &desc, NULL), 0);
    CHECK_INT(rt_task_spawn("beside", beside_task, &b), 0);
    rt_yield();
    CHECK_REASON(bdev_open(t->mgr, "m", BDEV_OPEN_READ, "test", NULL, NULL, &other, &err),
                 ASH_E_BDEV_REMOVED);
    bdev_close(desc);
    rt_event_wait(&b.done);
    CHECK_INT(b.rc, 0);
    return 0;
}

static void devices(void **state)
{
    run(NULL, devices_case, NULL);
    run(NULL, removal_case, NULL);
}

/* ----------------------------------------------------------------------- LVM2 */

#define LVM_DISK_BYTES (8u << 20)

/* A PV whose one area names a text with a checksum that it does not have. */
static struct rt_sim_disk *pv_with_bad_text(void)
{
    static const char text[] = "vg { }\n";
    uint8_t sector[LVM_SECTOR_BYTES];
    struct lvm_label label = {.sector = LVM_LABEL_SECTOR,
                              .device_bytes = LVM_DISK_BYTES,
                              .data_offset = 1u << 20,
                              .mdas = {{LVM_MDA_START, (1u << 20) - LVM_MDA_START}},
                              .n_mdas = 1};
    struct lvm_mda_header header = {.start = LVM_MDA_START, .size = label.mdas[0].size};
    CHECK(lvm_id_parse("JI5L9E-vnd1-gvdP-EEaj-WzyT-MSlx-FmYtke", &label.pv_id));
    header.slots[0] = (struct lvm_location){LVM_SECTOR_BYTES, sizeof(text),
                                            lvm_crc(LVM_CRC_INIT, text, sizeof(text)) ^ 1, 0};
    struct rt_sim_disk *disk = rt_sim_disk_new(LVM_DISK_BYTES, 512);
    struct rt_sim_image *image = rt_sim_image_new(LVM_DISK_BYTES);
    lvm_label_build(&label, sector);
    CHECK_INT(rt_sim_image_write(image, LVM_SECTOR_BYTES, sector, sizeof(sector)), 0);
    lvm_mda_build(&header, sector);
    CHECK_INT(rt_sim_image_write(image, LVM_MDA_START, sector, sizeof(sector)), 0);
    CHECK_INT(rt_sim_image_write(image, LVM_MDA_START + LVM_SECTOR_BYTES, text, sizeof(text)), 0);
    rt_sim_disk_give_image(disk, image);
    return disk;
}

static int bad_text_case(struct pt *t, void *arg)
{
    struct lvm_set *set = lvm_set_new(t->mgr);
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    CHECK_INT(lvm_set_add(set, "/d", "/d", false, NULL), 0);
    CHECK_INT(lvm_set_scan(set, NULL), 0);
    const struct lvm_dev *dev = lvm_dev_find(set, "/d");
    CHECK(dev && dev->has_label);
    CHECK_INT(dev->mdas[0].fault, ASH_E_LVM_TEXT_CRC);
    CHECK(!dev->mdas[0].copy && ash_list_empty(&set->groups));
    CHECK(set->warnings && strstr(set->warnings->text, "bad metadata on /d in mda1"));
    lvm_set_free(set);
    return 0;
}

static void lvm_texts(void **state)
{
    struct rt_sim_disk *disk = pv_with_bad_text();
    run(disk, bad_text_case, NULL);
    rt_sim_disk_put(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(supers),  cmocka_unit_test(crosslinked), cmocka_unit_test(creation),
        cmocka_unit_test(growth),  cmocka_unit_test(volumes),     cmocka_unit_test(metadata_full),
        cmocka_unit_test(devices), cmocka_unit_test(lvm_texts),
    };
    return cmocka_run_group_tests_name("reasons", tests, NULL, NULL);
}
