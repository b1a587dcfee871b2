/* SPDX-License-Identifier: Apache-2.0 */
/* Raid LVs as devices, on PVs that are made here: every parity type without any of its legs, what
 * superblocks say of legs and parity, sources that fail, memory that runs out, and raid0 with
 * metadata. The rows come from a reference of their own (raid_ref.h). */
#include "../bdev/bdev_test.h"
#include "bdev/inject.h"
#include "pool/lvm/update.h"
#include "pool/pool.h"
#include "raid_ref.h"

enum {
    PV_BYTES = 2 << 20,
    PE_START = 1 << 20,
    EXTENT = 128 << 10,
    CHUNK = 8 << 10, /* unless said otherwise */
    LEG_EXTENTS = 1, /* of data, behind one of metadata */
    N_LEGS = 5,
    LEG_BYTES = LEG_EXTENTS * EXTENT,
    META = PE_START,
    IMAGE = PE_START + EXTENT,
};

/* --------------------------------------------------------------- the disks */

struct disks {
    struct bdev_mgr *mgr;
    const char *type;
    unsigned n_data, chunk;
    uint8_t *legs[N_LEGS];  /* what they hold, for data of lv */
    uint8_t *lv, *got;      /* LEG_BYTES * n_data */
    struct bdev_desc *desc; /* the open LV */
    struct bdev_channel *ch;
    char uri[128];
};

static unsigned n_parity(const struct disks *d)
{
    return strncmp(d->type, "raid0", 5) == 0 ? 0 : raid_ref_n_parity(d->type);
}

static uint64_t lv_bytes(const struct disks *d)
{
    return (uint64_t)LEG_BYTES * d->n_data;
}

static void leg_io(struct disks *d, unsigned leg, bool is_write, void *buf, uint64_t at, size_t n)
{
    struct bdev_desc *desc;
    char name[16];
    snprintf(name, sizeof(name), "m%u", leg);
    CHECK_INT(bdev_open(d->mgr, name, is_write, "test", NULL, NULL, &desc, NULL), 0);
    struct bdev_channel *ch = bdev_channel_get(desc);
    CHECK_INT(is_write ? bdev_write(ch, buf, at, n, 0) : bdev_read(ch, buf, at, n), 0);
    bdev_channel_put(ch);
    bdev_close(desc);
}

/* docs/spec/dm-formats.md 9.1. */
struct super {
    uint64_t events, failed, recovered, resync;
};
static const struct super in_sync = {7, 0, UINT64_MAX, UINT64_MAX};

static void put(uint8_t *at, uint64_t value, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void write_super(struct disks *d, unsigned leg, const struct super *s)
{
    uint8_t sb[4096] = {0};
    put(sb, 0x64526d44, 4);
    put(sb + 4, 1, 4);
    put(sb + 8, N_LEGS, 4);
    put(sb + 12, leg, 4);
    put(sb + 16, s->events, 8);
    put(sb + 24, s->failed, 8);
    put(sb + 32, s->recovered, 8);
    put(sb + 40, s->resync, 8);
    put(sb + 48, n_parity(d) == 0 ? 0 : n_parity(d) == 1 ? 5 : 6, 4);
    put(sb + 64, UINT64_MAX, 8);
    leg_io(d, leg, true, sb, META, sizeof(sb));
}

/* Data of every row from the reference, to d->lv and d->legs. */
static void make_rows(struct disks *d)
{
    for (unsigned t = 0; t < LEG_BYTES / d->chunk; t++) {
        int kinds[RAID_REF_MAX];
        uint8_t *chunks[RAID_REF_MAX];
        for (unsigned leg = 0; leg < N_LEGS; leg++)
            kinds[leg] = (int)leg;
        if (n_parity(d))
            raid_ref_row(d->type, N_LEGS, t, kinds);
        for (unsigned leg = 0; leg < N_LEGS; leg++) {
            chunks[leg] = d->legs[leg] + t * d->chunk;
            for (unsigned i = 0; i < d->chunk; i++)
                chunks[leg][i] = (uint8_t)((i * 131 + t * 7 + leg * 29 + (i >> 8) * 17) ^ i >> 3);
            if (kinds[leg] >= 0)
                memcpy(d->lv + ((uint64_t)t * d->n_data + (unsigned)kinds[leg]) * d->chunk,
                       chunks[leg], d->chunk);
        }
        if (n_parity(d))
            raid_ref_encode(d->type, N_LEGS, kinds, chunks, d->chunk);
    }
}

static void text_of(const struct disks *d, struct ash_buf *b)
{
    ash_buf_fmt(b,
                "contents = \"Text Format Volume Group\"\nversion = 1\nvg {\nid = "
                "\"VVVVVV-VVVV-VVVV-VVVV-VVVV-VVVV-VVVVVV\"\nseqno = 0\nformat = \"lvm2\"\n"
                "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size = %u\n"
                "max_lv = 0\nmax_pv = 0\nmetadata_copies = 0\nphysical_volumes {\n",
                EXTENT / 512);
    for (unsigned i = 0; i < N_LEGS; i++)
        ash_buf_fmt(b,
                    "pv%u {\nid = \"PPPPPP-PPPP-PPPP-PPPP-PPPP-PPPP-PPPPP%u\"\ndevice = \"m%u\"\n"
                    "status = [\"ALLOCATABLE\"]\nflags = []\ndev_size = %u\npe_start = %u\n"
                    "pe_count = %u\n}\n",
                    i, i, i, PV_BYTES / 512, PE_START / 512, (PV_BYTES - PE_START) / EXTENT);
    ash_buf_fmt(b,
                "}\nlogical_volumes {\nlv {\nid = \"LLLLLL-LLLL-LLLL-LLLL-LLLL-LLLL-LLLLLL\"\n"
                "status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []\nsegment_count = 1\n"
                "segment1 {\nstart_extent = 0\nextent_count = %u\ntype = \"%s\"\n%s = %u\n"
                "region_size = 128\nstripe_size = %u\nraids = [",
                LEG_EXTENTS * d->n_data, d->type, n_parity(d) ? "device_count" : "stripe_count",
                N_LEGS, d->chunk / 512);
    for (unsigned i = 0; i < N_LEGS; i++)
        ash_buf_fmt(b, "%s\"lv_rmeta_%u\", \"lv_rimage_%u\"", i ? ", " : "", i, i);
    ash_buf_fmt(b, "]\n}\n}\n");
    for (unsigned i = 0; i < 2 * N_LEGS; i++)
        ash_buf_fmt(b,
                    "lv_r%s_%u {\nid = \"%c00000-0000-0000-0000-0000-0000-00000%u\"\n"
                    "status = [\"READ\", \"WRITE\"]\nflags = []\nsegment_count = 1\n"
                    "segment1 {\nstart_extent = 0\nextent_count = %u\ntype = \"striped\"\n"
                    "stripe_count = 1\nstripes = [\"pv%u\", %u]\n}\n}\n",
                    i % 2 ? "image" : "meta", i / 2, i % 2 ? 'I' : 'M', i / 2,
                    i % 2 ? LEG_EXTENTS : 1, i / 2, i % 2);
    ash_buf_fmt(b, "}\n}\n");
    CHECK(!b->failed);
}

static void make_pvs(struct disks *d, struct lvm_set *set)
{
    for (unsigned i = 0; i < N_LEGS; i++) {
        char uri[64], *name = NULL;
        struct lvm_pv_opts opts;
        struct ash_err err = {0};
        snprintf(uri, sizeof(uri), "malloc:///m%u?size_mb=%d", i, PV_BYTES >> 20);
        CHECK_INT(bdev_create_uri(d->mgr, uri, &name, &err), 0);
        CHECK_INT(lvm_set_add(set, name, name, true, &err), 0);
        lvm_pv_opts_init(&opts);
        memset(opts.id.c, 'P', 31);
        opts.id.c[31] = (char)('0' + i);
        opts.pe_start_bytes = PE_START;
        CHECK_INT(lvm_pv_create(lvm_dev_find(set, name), &opts, &err), 0);
        rt_free(name);
    }
}

static void make_vg(struct disks *d)
{
    struct lvm_writer writer = {.line = "test",
                                .origin = {.version = "2.03.16(2)", .host = "h", .uname = "Linux"}};
    struct lvm_set *set = lvm_set_new(d->mgr);
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_err err = {0};
    struct lvm_vg *vg;
    CHECK(set);
    make_pvs(d, set);
    CHECK_INT(lvm_set_scan(set, NULL), 0);
    text_of(d, &text);
    if (lvm_vg_parse(ash_buf_text(&text), text.n_bytes, "test", &vg, &err))
        fprintf(stderr, "# %s\n", err.text);
    CHECK_INT(err.reason, ASH_OK);
    unsigned i = 0;
    char name[16];
    ash_list_for_each (l, &vg->pvs) {
        snprintf(name, sizeof(name), "m%u", i++);
        lvm_pv_of(l)->dev = lvm_dev_find(set, name);
    }
    CHECK(lvm_set_give_vg(set, vg));
    if (lvm_vg_update(set, vg, &writer, &err))
        fprintf(stderr, "# %s\n", err.text);
    CHECK_INT(err.reason, ASH_OK);
    lvm_set_free(set);
}

static void disks_init(struct disks *d, struct bdev_mgr *mgr, const char *type, unsigned chunk)
{
    *d = (struct disks){.mgr = mgr, .type = type, .chunk = chunk};
    d->n_data = N_LEGS - n_parity(d);
    for (unsigned i = 0; i < N_LEGS; i++)
        CHECK(d->legs[i] = rt_buf_get(LEG_BYTES));
    CHECK(d->lv = rt_buf_get(lv_bytes(d)));
    CHECK(d->got = rt_buf_get(lv_bytes(d)));
    make_vg(d);
    make_rows(d);
    for (unsigned i = 0; i < N_LEGS; i++) {
        leg_io(d, i, true, d->legs[i], IMAGE, LEG_BYTES);
        write_super(d, i, &in_sync);
    }
}

static void disks_fini(struct disks *d)
{
    for (unsigned i = 0; i < N_LEGS; i++) {
        char uri[64];
        snprintf(uri, sizeof(uri), "malloc:///m%u?size_mb=%d", i, PV_BYTES >> 20);
        CHECK_INT(bdev_destroy_uri(d->mgr, uri, NULL), 0);
        rt_buf_put(d->legs[i], LEG_BYTES);
    }
    rt_buf_put(d->lv, lv_bytes(d));
    rt_buf_put(d->got, lv_bytes(d));
}

/* Open the LV of the PVs that are not in a mask. */
static int lv_open(struct disks *d, unsigned lost, unsigned mode, struct ash_err *err)
{
    char *name = NULL;
    int n = snprintf(d->uri, sizeof(d->uri), "lvm:///vg/lv?pvs=");
    for (unsigned i = 0; i < N_LEGS; i++)
        if (!(lost >> i & 1))
            n += snprintf(d->uri + n, sizeof(d->uri) - (size_t)n, "m%u,", i);
    d->uri[n - 1] = 0;
    int rc = bdev_create_uri(d->mgr, d->uri, &name, err);
    rt_free(name);
    if (rc)
        return rc;
    CHECK_INT(bdev_open(d->mgr, "vg/lv", mode, "test", NULL, NULL, &d->desc, err), 0);
    CHECK(d->ch = bdev_channel_get(d->desc));
    CHECK_INT(bdev_desc_bdev(d->desc)->size_bytes, lv_bytes(d));
    return 0;
}

static void lv_close(struct disks *d)
{
    bdev_channel_put(d->ch);
    bdev_close(d->desc);
    CHECK_INT(bdev_destroy_uri(d->mgr, d->uri, NULL), 0);
}

static void check_whole(struct disks *d)
{
    memset(d->got, 0xee, lv_bytes(d));
    CHECK_INT(bdev_read(d->ch, d->got, 0, lv_bytes(d)), 0);
    CHECK(memcmp(d->got, d->lv, lv_bytes(d)) == 0);
}

/* Without the PVs of a mask all is read, or the LV is refused. */
static void check_open(struct disks *d, unsigned lost, bool is_readable)
{
    struct ash_err err = {0};
    int rc = lv_open(d, lost, BDEV_OPEN_READ, &err);
    if ((rc == 0) != is_readable)
        fprintf(stderr, "# %s without %#x: %s\n", d->type, lost, err.text);
    CHECK_INT(err.reason, is_readable ? ASH_OK : ASH_E_LVM_LV_PARTIAL);
    if (rc)
        return;
    check_whole(d);
    lv_close(d);
}

/* ------------------------------------------------------------------- worlds */

struct raid_case {
    void (*fn)(struct bdev_mgr *mgr);
};

static int raid_main(void *arg)
{
    struct raid_case *c = arg;
    struct bdev_mgr_opts opts = {.no_auto_examine = true};
    struct bdev_mgr *mgr;
    CHECK_INT(bdev_mgr_create(pool_bdev_modules, &opts, &mgr, NULL), 0);
    c->fn(mgr);
    bdev_mgr_destroy(mgr);
    return 0;
}

static void run(void (*fn)(struct bdev_mgr *mgr))
{
    static const enum rt_backend backends[] = {RT_BACKEND_SIM, RT_BACKEND_EPOLL, RT_BACKEND_URING};
    for (size_t i = 0; i < ASH_N_ELEMS(backends); i++) {
        struct raid_case c = {fn};
        struct rt_opts opts;
        struct rt *rt;
        rt_opts_init(&opts);
        opts.backend = backends[i];
        opts.n_reactors = 1;
        int rc = rt_create(&opts, &rt, NULL);
        if (rc == -ENOSYS && backends[i] == RT_BACKEND_URING)
            continue;
        assert_int_equal(rc, 0);
        assert_int_equal(rt_run_task(rt, "case", raid_main, &c), 0);
        if (backends[i] == RT_BACKEND_SIM)
            assert_int_equal(rt_sim_n_live(rt), 0);
        rt_destroy(rt);
    }
}

/* -------------------------------------------------------------------- cases */

static bool has_fixed_parity(const char *type, unsigned leg)
{
    return (strcmp(type, "raid4") == 0 && leg == 0) ||
           (strcmp(type, "raid5_n") == 0 && leg == N_LEGS - 1);
}

static void every_leg_in(struct bdev_mgr *mgr)
{
    for (size_t k = 0; k < ASH_N_ELEMS(raid_ref_types); k++) {
        struct disks d;
        disks_init(&d, mgr, raid_ref_types[k], CHUNK);
        for (unsigned lost = 0; lost < 1u << N_LEGS; lost++) {
            unsigned n_lost = (unsigned)__builtin_popcount(lost);
            if (n_lost <= 3)
                check_open(&d, lost, n_lost <= n_parity(&d));
        }
        disks_fini(&d);
    }
}

static void every_leg(void **state)
{
    run(every_leg_in);
}

/* Reads that begin and end anywhere, and across chunks; it is not written to. */
static void pieces_of(struct bdev_mgr *mgr, unsigned chunk)
{
    char *name = NULL;
    struct disks d;
    struct ash_err err = {0};
    disks_init(&d, mgr, "raid6_nc", chunk);
    CHECK_INT(lv_open(&d, 1u << 1 | 1u << 3, BDEV_OPEN_READ, &err), 0);
    check_whole(&d);
    for (uint64_t at = 0; at < lv_bytes(&d); at += 7 * 512) {
        uint64_t n = ASH_MIN(lv_bytes(&d) - at, (at / 512 % 40 + 1) * 512);
        memset(d.got, 0xee, n + 512);
        CHECK_INT(bdev_read(d.ch, d.got, at, n), 0);
        CHECK(memcmp(d.got, d.lv + at, n) == 0);
    }
    lv_close(&d);
    CHECK_INT(bdev_create_uri(mgr, d.uri, &name, &err), 0);
    rt_free(name);
    CHECK_INT(bdev_open(mgr, "vg/lv", BDEV_OPEN_WRITE, "test", NULL, NULL, &d.desc, &err), -EROFS);
    CHECK_INT(bdev_destroy_uri(mgr, d.uri, NULL), 0);
    disks_fini(&d);
}

/* Chunks larger than what is rebuilt at once, too. */
static void pieces_in(struct bdev_mgr *mgr)
{
    pieces_of(mgr, CHUNK);
    pieces_of(mgr, LEG_BYTES);
}

static void pieces(void **state)
{
    run(pieces_in);
}

/* All PVs are there, but a leg's contents are old: they are not read. */
static void out_of_sync_in(struct bdev_mgr *mgr)
{
    static const struct super says[][2] = {
        /* of the other legs, of leg 2 */
        {{9, 1u << 2, UINT64_MAX, UINT64_MAX}, {9, 1u << 2, UINT64_MAX, UINT64_MAX}}, /* failed */
        {{9, 0, UINT64_MAX, UINT64_MAX}, {9, 0, 16, UINT64_MAX}},         /* partly rebuilt */
        {{9, 0, UINT64_MAX, UINT64_MAX}, {7, 0, UINT64_MAX, UINT64_MAX}}, /* behind */
    };
    struct disks d;
    disks_init(&d, mgr, "raid5_rs", CHUNK);
    memset(d.got, 0x77, LEG_BYTES);
    leg_io(&d, 2, true, d.got, IMAGE, LEG_BYTES);
    for (size_t k = 0; k < ASH_N_ELEMS(says); k++) {
        for (unsigned i = 0; i < N_LEGS; i++)
            write_super(&d, i, &says[k][i == 2]);
        check_open(&d, 0, true);
        check_open(&d, 1u << 2, true);
        check_open(&d, 1u << 0, false);
    }
    disks_fini(&d);
}

static void out_of_sync(void **state)
{
    run(out_of_sync_in);
}

/* Parity that was never made is of no use: data legs are read, but none can be missing. */
static void no_parity_in(struct bdev_mgr *mgr)
{
    static const char *const types[] = {"raid4", "raid5_n", "raid5", "raid6"};
    for (size_t k = 0; k < ASH_N_ELEMS(types); k++) {
        struct super half = in_sync;
        struct disks d;
        half.resync = 64;
        disks_init(&d, mgr, types[k], CHUNK);
        for (unsigned is_new = 0; is_new < 2; is_new++) {
            for (unsigned i = 0; i < N_LEGS; i++) {
                memset(d.got, 0, 4096);
                if (is_new)
                    leg_io(&d, i, true, d.got, META, 4096);
                else
                    write_super(&d, i, &half);
            }
            check_open(&d, 0, true);
            for (unsigned i = 0; i < N_LEGS; i++)
                check_open(&d, 1u << i, has_fixed_parity(types[k], i));
        }
        disks_fini(&d);
    }
}

static void no_parity(void **state)
{
    run(no_parity_in);
}

/* A source that cannot be read fails the reads that need it, and no others. */
static void failing_source_in(struct bdev_mgr *mgr)
{
    static const char rule[] = "inject://m1?op=read&stage=compl";
    struct disks d;
    struct ash_err err = {0};
    disks_init(&d, mgr, "raid4", CHUNK);
    CHECK_INT(lv_open(&d, 1u << 3, BDEV_OPEN_READ, &err), 0);
    CHECK_INT(bdev_inject_add(mgr, rule, &err), 0);
    CHECK_INT(bdev_read(d.ch, d.got, 2 * CHUNK, CHUNK), -EIO); /* on leg 3, needs leg 1 */
    CHECK_INT(bdev_read(d.ch, d.got, 1 * CHUNK, CHUNK), 0);    /* on leg 2 */
    CHECK(memcmp(d.got, d.lv + CHUNK, CHUNK) == 0);
    CHECK_INT(bdev_inject_remove(mgr, rule, &err), 0);
    check_whole(&d);
    lv_close(&d);
    disks_fini(&d);
}

static void failing_source(void **state)
{
    run(failing_source_in);
}

static bool nth_fails(void *arg)
{
    int *n = arg;
    return (*n)-- == 0;
}

/* Each allocation of a read fails once: the read is late, and right. */
static void no_memory_in(struct bdev_mgr *mgr)
{
    struct disks d;
    struct ash_err err = {0};
    unsigned n_failed = 0;
    disks_init(&d, mgr, "raid6", CHUNK);
    for (int nth = 0;; nth++) {
        int left = nth;
        CHECK_INT(lv_open(&d, 1u << 0 | 1u << 4, BDEV_OPEN_READ, &err), 0); /* fresh channels */
        memset(d.got, 0xee, lv_bytes(&d));
        rt_set_alloc_hook(rt_world(), nth_fails, &left);
        int rc = bdev_read(d.ch, d.got, 0, lv_bytes(&d));
        rt_set_alloc_hook(rt_world(), NULL, NULL);
        lv_close(&d);
        if (rc == 0)
            CHECK(memcmp(d.got, d.lv, lv_bytes(&d)) == 0);
        else /* the reader's own io */
            CHECK(rc == -ENOMEM && nth == 0);
        if (left >= 0)
            break;
        n_failed++;
    }
    CHECK(n_failed > 3 + 2); /* sources have channels and ios of their own */
    disks_fini(&d);
}

static void no_memory(void **state)
{
    run(no_memory_in);
}

/* raid0 with metadata LVs: written, to the places of striping; not at all without a leg. */
static void raid0_meta_in(struct bdev_mgr *mgr)
{
    struct disks d;
    struct ash_err err = {0};
    disks_init(&d, mgr, "raid0_meta", CHUNK);
    check_open(&d, 0, true);
    check_open(&d, 1u << 2, false);
    CHECK_INT(lv_open(&d, 0, BDEV_OPEN_WRITE, &err), 0);
    for (uint64_t i = 0; i < lv_bytes(&d); i++)
        d.lv[i] = (uint8_t)(i * 5 + (i >> 11));
    CHECK_INT(bdev_write(d.ch, d.lv, 0, lv_bytes(&d), 0), 0);
    CHECK_INT(bdev_flush(d.ch), 0);
    check_whole(&d);
    lv_close(&d);
    for (unsigned leg = 0; leg < N_LEGS; leg++) {
        leg_io(&d, leg, false, d.legs[leg], IMAGE, LEG_BYTES);
        for (unsigned t = 0; t < LEG_BYTES / CHUNK; t++)
            CHECK(memcmp(d.legs[leg] + t * CHUNK, d.lv + (t * N_LEGS + leg) * CHUNK, CHUNK) == 0);
    }
    disks_fini(&d);
}

static void raid0_meta(void **state)
{
    run(raid0_meta_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_leg),      cmocka_unit_test(pieces),
        cmocka_unit_test(out_of_sync),    cmocka_unit_test(no_parity),
        cmocka_unit_test(failing_source), cmocka_unit_test(no_memory),
        cmocka_unit_test(raid0_meta),
    };
    return cmocka_run_group_tests_name("lvm_raid", tests, NULL, NULL);
}
