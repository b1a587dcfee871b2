/* SPDX-License-Identifier: Apache-2.0 */
/* The engine opens what the checker's tests know to be damaged: the vector disk with one fault
 * each. A volume that it calls good holds what it held before the fault; a read-only open writes
 * nothing; what is closed in order is as the checker wants it, unless the engine has said that it
 * is not. */
#include "faults.h"
#include "pool_test.h"

#define BASE  UINT64_C(0x100000000)
#define NONE  LVS_INVALID_PAGE
#define BLOCK 4096u

/* The first block of each data cluster c is filled with 0x50 + c. */
static struct rt_sim_disk *disk_of(const struct mkdisk *d)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(d->n_bytes, BLOCK);
    struct rt_sim_image *image = rt_sim_image_new(d->n_bytes);
    uint8_t block[BLOCK];
    CHECK(disk && image);
    CHECK_INT(rt_sim_image_write(image, 0, d->bytes, MKDISK_CLUSTER_BYTES), 0);
    for (unsigned c = 1; c < 20; c++) {
        memset(block, (int)(0x50 + c), BLOCK);
        CHECK_INT(rt_sim_image_write(image, (uint64_t)c * MKDISK_CLUSTER_BYTES, block, BLOCK), 0);
    }
    rt_sim_disk_give_image(disk, image);
    return disk;
}

/* --------------------------------------------------------------- one opening */

enum { N_VOLUMES_MAX = 16 };

struct seen {
    bool change; /* make a volume and delete it: what the close writes is then all new */
    bool opened, degraded;
    size_t n;
    struct {
        char name[64];
        enum volume_state state;
        bool read_only;
        uint64_t n_bytes;
        uint8_t first[64]; /* of each cluster the first byte */
    } v[N_VOLUMES_MAX];
};

static void look(struct pt *t, struct volume *vol, struct seen *s)
{
    struct volume_info info;
    struct bdev_desc *desc;
    volume_get_info(vol, &info);
    CHECK(s->n < N_VOLUMES_MAX);
    CHECK((info.state == VOLUME_OK) == (info.bdev != NULL));
    size_t i = s->n++;
    snprintf(s->v[i].name, sizeof(s->v[i].name), "%s", info.name);
    s->v[i].state = info.state;
    s->v[i].n_bytes = info.size_bytes;
    if (!info.bdev)
        return;
    CHECK_INT(bdev_open(t->mgr, info.bdev, BDEV_OPEN_READ, "test", NULL, NULL, &desc, NULL), 0);
    s->v[i].read_only = bdev_desc_bdev(desc)->read_only;
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint8_t *buf = rt_buf_get(BLOCK);
    for (uint64_t c = 0; c < 64 && c * MKDISK_CLUSTER_BYTES < info.size_bytes; c++) {
        CHECK_INT(bdev_read(ch, buf, c * MKDISK_CLUSTER_BYTES, BLOCK), 0);
        s->v[i].first[c] = buf[0];
    }
    rt_buf_put(buf, BLOCK);
    bdev_channel_put(ch);
    bdev_close(desc);
}

static int open_case(struct pt *t, void *arg)
{
    struct seen *s = arg;
    bool change = s->change;
    *s = (struct seen){0};
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    struct pool *pool = pool_next(t->pools, NULL);
    struct pool_info info;
    s->opened = pool != NULL;
    if (!pool)
        return 0;
    pool_get_info(pool, &info);
    s->degraded = info.degraded;
    for (struct volume *v = volume_next(pool, NULL); v; v = volume_next(pool, v))
        look(t, v, s);
    struct volume *v;
    if (change && volume_create(pool, "passing", 0, NULL, &v, NULL) == 0)
        CHECK_INT(volume_delete(v, NULL), 0);
    return 0;
}

/* The disk has no other findings than these two (code LVS_N_FINDINGS: none at all). */
static bool is_sound(const char *name, const struct rt_sim_disk *disk, enum lvs_check_code code,
                     enum lvs_check_code more)
{
    struct lvs_report r;
    struct lvs_check_dev dev = {.read = pt_dev_read,
                                .size_bytes = rt_sim_disk_size(disk),
                                .block_bytes = BLOCK,
                                .ctx = (void *)(uintptr_t)rt_sim_disk_image(disk)};
    CHECK_INT(lvs_check(&dev, NULL, &r), 0);
    bool ok = r.readable && r.clean;
    for (size_t i = 0; i < r.n_findings; i++)
        ok &= r.findings[i].severity == LVS_SEV_INFO || r.findings[i].code == code ||
              r.findings[i].code == more;
    if (!ok) {
        struct ash_buf text = {0};
        lvs_report_text(&r, &text);
        fprintf(stderr, "# %s: closed without complaint, and the checker: %s\n", name,
                ash_buf_text(&text));
        ash_buf_free(&text);
    }
    lvs_report_fini(&r);
    return ok;
}

static int find_seen(const struct seen *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* What is called good is what it was. */
static bool same_data(const char *fault, const struct seen *was, const struct seen *is)
{
    bool ok = true;
    for (size_t i = 0; i < is->n; i++) {
        int k = find_seen(was, is->v[i].name);
        if (k < 0 || is->v[i].state != VOLUME_OK)
            continue;
        uint64_t n = ASH_MIN(was->v[k].n_bytes, is->v[i].n_bytes) / MKDISK_CLUSTER_BYTES;
        n = ASH_MIN(n, (uint64_t)64);
        if (memcmp(was->v[k].first, is->v[i].first, n) == 0)
            continue;
        fprintf(stderr, "# %s: volume %s is called good and has other data\n", fault,
                is->v[i].name);
        ok = false;
    }
    return ok;
}

static bool same_views(const char *fault, const struct seen *a, const struct seen *b)
{
    bool same = a->opened == b->opened && a->n == b->n;
    for (size_t i = 0; i < a->n && same; i++)
        same = strcmp(a->v[i].name, b->v[i].name) == 0 && a->v[i].state == b->v[i].state &&
               a->v[i].n_bytes == b->v[i].n_bytes &&
               memcmp(a->v[i].first, b->v[i].first, sizeof(a->v[i].first)) == 0;
    if (!same)
        fprintf(stderr, "# %s: two openings see different things\n", fault);
    return same;
}

static struct seen whole(void)
{
    struct seen s = {0};
    struct mkdisk d;
    mkdisk_init(&d, true);
    struct rt_sim_disk *disk = disk_of(&d);
    CHECK_INT(pt_run(disk, 1, true, false, open_case, &s), 0);
    CHECK_INT(s.n, 4);
    rt_sim_disk_put(disk);
    mkdisk_fini(&d);
    return s;
}

/* These say something else of a volume in a form that cannot be told from the truth. */
static bool changes_a_volume(const char *name)
{
    static const char *const names[] = {
        "crosslink",    "crosslink_self", "crosslink_rle", "extpage_shared",
        "extpage_none", "rle_too_much",   "cluster_md",    NULL};
    for (const char *const *n = names; *n; n++)
        if (strcmp(*n, name) == 0)
            return true;
    return false;
}

/* 0, or 1 when something is wrong. ret_second: what the last opening saw. */
static int try_disk(const struct fault *f, struct seen *ret_last)
{
    struct seen was = whole(), first = {0}, second = {.change = true};
    const char *name = f->name;
    struct mkdisk d;
    bool ok = true;
    mkdisk_init(&d, !(f->kind & DIRTY));
    f->make(&d);
    struct rt_sim_disk *disk = disk_of(&d);
    struct rt_sim_image *before = rt_sim_image_clone(rt_sim_disk_image(disk));
    CHECK_INT(pt_run(disk, 2, true, false, open_case, &first), 0);
    if (rt_sim_image_differs(before, rt_sim_disk_image(disk)) != UINT64_MAX) {
        fprintf(stderr, "# %s: a read-only open wrote\n", name);
        ok = false;
    }
    CHECK_INT(pt_run(disk, 3, false, false, open_case, &second), 0);
    ok &= same_views(name, &first, &second);
    ok &= changes_a_volume(name) || same_data(name, &was, &second);
    if (second.opened && !second.degraded)
        ok &= is_sound(name, disk, f->code, f->more);
    *ret_last = (struct seen){0};
    CHECK_INT(pt_run(disk, 4, false, false, open_case, ret_last), 0);
    ok &= same_views(name, &second, ret_last);
    rt_sim_image_free(before);
    rt_sim_disk_put(disk);
    mkdisk_fini(&d);
    return !ok;
}

static void every_fault(void **state)
{
    struct seen last;
    int n_bad = 0;
    for (size_t i = 0; i < n_faults; i++)
        n_bad += try_disk(&faults[i], &last);
    assert_int_equal(n_bad, 0);
}

/* ------------------------------------------- half-done snapshots without parent */

static void half_of_7(struct mkdisk *d, bool counts)
{
    struct mkpage p = mkpage_begin(d, 8, BASE + 8, 0);
    mkpage_flags(&p, 1, 1, 0);
    mkpage_names(&p, "half", 8);
    mkpage_id_xattr(&p, "SNAPTMP", BASE + 7);
    mkpage_id_xattr(&p, "SNAP", BASE + 40);
    mkpage_rle(&p, (uint32_t[]){7, 2, 0, 3, 10, 1}, 3);
    mkpage_end(&p, NONE);
    if (!counts)
        return;
    p = mkpage_begin(d, 7, BASE + 7, 0);
    mkpage_flags(&p, 1, 0, 2);
    mkpage_names(&p, "rle", 4);
    mkpage_id_xattr(&p, "SNAP", BASE + 8);
    mkpage_rle(&p, (uint32_t[]){0, 6}, 1);
    mkpage_end(&p, NONE);
}

static void uncommitted(struct mkdisk *d)
{
    half_of_7(d, false);
}

static void committed(struct mkdisk *d)
{
    half_of_7(d, true);
}

static const struct fault uncommitted_fault = {"uncommitted", uncommitted, DIRTY, LVS_N_FINDINGS,
                                               LVS_N_FINDINGS};
static const struct fault committed_fault = {"committed", committed, DIRTY, LVS_N_FINDINGS,
                                             LVS_N_FINDINGS};

/* Taking it failed, its root could not be erased, and then its parent was deleted. */
static void orphan_that_never_counted(void **state)
{
    struct seen last;
    assert_int_equal(try_disk(&uncommitted_fault, &last), 0);
    assert_true(last.opened && !last.degraded);
    assert_int_equal(find_seen(&last, "half"), -1);
    int i = find_seen(&last, "rle");
    assert_true(i >= 0 && last.v[i].state == VOLUME_OK && last.v[i].first[0] == 0x57);
}

/* A volume stands on it: without its parent neither can be read. */
static void orphan_that_counts(void **state)
{
    struct seen last;
    assert_int_equal(try_disk(&committed_fault, &last), 0);
    assert_true(last.opened);
    int i = find_seen(&last, "half"), k = find_seen(&last, "rle");
    assert_true(i >= 0 && last.v[i].state == VOLUME_FAULTED);
    assert_true(k >= 0 && last.v[k].state == VOLUME_FAULTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault),
        cmocka_unit_test(orphan_that_never_counted),
        cmocka_unit_test(orphan_that_counts),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
