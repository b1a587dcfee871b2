/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as shares: what is kept in their attributes, that they come back, what hosts see of pools
 * that fill up, of snapshots, of volumes that are resized or deleted, and what Mayastor asks for
 * (docs/spec/mayastor-behaviour.md 3.2, 5; mayastor-bdev-uris.md 8). */
#include "nvmf_test.h"
#include "pool/pool.h"
#include "rt/rt_sim.h"

#define CLUSTER   (1u << 20)
#define SHARE_NQN "nqn.2019-05.io.openebs:vol"

struct sw {
    struct tw tw;
    struct pool_mgr *pools;
    int (*fn)(struct sw *w);
};

static int sw_main(void *arg)
{
    struct sw *w = arg;
    struct ash_err err = {0};
    char *name = NULL;
    TRY(bdev_mgr_create(pool_bdev_modules, NULL, &w->tw.mgr, &err));
    TRY(pool_mgr_create(w->tw.mgr, &w->pools, &err));
    bdev_mgr_set_pools(w->tw.mgr, w->pools);
    TRY(nvmf_server_create(w->tw.mgr, w->pools, &w->tw.srv, &err));
    nvmf_restore_shares(w->tw.srv);
    /* where shares are unless somebody says otherwise: nobody else's machine */
    w->tw.address = (struct nvmf_address){"127.0.0.1", "8420", false};
    TRY(bdev_create_uri(w->tw.mgr, "aio:///d?blk_size=512", &name, &err));
    bdev_wait_for_examine(w->tw.mgr);
    if (!pool_find(w->pools, "tank")) {
        struct pool *pool;
        struct volume *vol;
        TRY(pool_create(w->pools, name, "tank",
                        &(struct pool_create_opts){.cluster_bytes = CLUSTER}, &pool, &err));
        TRY(volume_create(pool, "vol", 64u << 20, &(struct volume_create_opts){.thin = true}, &vol,
                          &err));
    }
    rt_free(name);
    int rc = w->fn(w);
    nvmf_server_destroy(w->tw.srv);
    pool_mgr_destroy(w->pools);
    bdev_mgr_destroy(w->tw.mgr);
    return rc;
}

static void sw_run(struct rt_sim_disk *disk, int (*fn)(struct sw *w))
{
    struct rt_opts opts;
    struct sw w = {.fn = fn};
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 2;
    opts.seed = 1;
    assert_int_equal(rt_create(&opts, &w.tw.rt, NULL), 0);
    assert_int_equal(rt_sim_attach(w.tw.rt, "/d", disk), 0);
    assert_int_equal(rt_run_task(w.tw.rt, "test", sw_main, &w), 0);
    rt_destroy(w.tw.rt);
}

/* One life of an engine after the other, on the same disk. */
static void lives(int (*const *fns)(struct sw *w))
{
    struct rt_sim_disk *disk = rt_sim_disk_new(24u << 20, 512);
    for (; *fns; fns++)
        sw_run(disk, *fns);
    rt_sim_disk_put(disk);
}

/* An attribute is exactly these bytes. */
static int xattr_is(struct sw *w, const char *name, const char *bytes, size_t n)
{
    const void *value;
    size_t n_value;
    struct volume *vol = volume_find(w->pools, "tank/vol");
    CHECK(vol && volume_xattr_get(vol, name, &value, &n_value) == 0);
    CHECK(n_value == n && memcmp(value, bytes, n) == 0);
    return 0;
}

static int connect_as(struct sw *w, struct cl *c, const char *host)
{
    TRY(cl_open(&w->tw, c));
    c->subnqn = SHARE_NQN;
    c->hostnqn = host;
    TRY(cl_ic(c, 0, 0));
    return cl_connect_sqe(c, 0, 31);
}

static int may_connect(struct sw *w, const char *host, bool want)
{
    struct cl c;
    TRY(connect_as(w, &c, host));
    CHECK(cl_status(&c) == (want ? 0 : NVME_SC_CONNECT_HOST | DNR));
    cl_close(&c);
    return tw_wait_conns(&w->tw, 0);
}

/* ------------------------------------------------------------ share, unshare */

static int share_first(struct sw *w)
{
    static const char *const both[] = {HOSTNQN, HOST2}, *const one[] = {HOST2};
    struct ash_err err = {0};
    struct ash_buf uri = {0};
    struct cl a;
    TRY(nvmf_share(w->tw.srv, "tank/vol", both, 2, &uri, &err));
    CHECK(ash_starts_with(ash_buf_text(&uri), "nvmf+tcp://127.0.0.1:8420/" SHARE_NQN "?uuid="));
    ash_buf_free(&uri);
    TRY(xattr_is(w, "shared", "true", 5));
    TRY(xattr_is(w, "allowed-hosts", HOSTNQN "," HOST2, 2 * strlen(HOSTNQN) + 2));
    TRY(may_connect(w, HOSTNQN, true));
    TRY(may_connect(w, "nqn.2016-06.io.spdk:stranger", false));
    /* a shorter list cuts off who is gone from it */
    TRY(cl_admin_as(&w->tw, &a, 0, 0, SHARE_NQN, HOSTNQN, 0x11));
    TRY(nvmf_share(w->tw.srv, "tank/vol", one, 1, NULL, &err));
    CHECK(cl_is_closed(&a));
    cl_close(&a);
    TRY(tw_wait_conns(&w->tw, 0));
    TRY(may_connect(w, HOSTNQN, false));
    TRY(may_connect(w, HOST2, true));
    return xattr_is(w, "allowed-hosts", HOST2, strlen(HOST2) + 1);
}

/* At another address, which cannot change while there are shares. */
static int elsewhere(struct sw *w)
{
    struct ash_err err = {0};
    struct ash_buf uri = {0};
    CHECK(nvmf_set_share_address(w->tw.srv, "127.0.0.3", &err) < 0);
    CHECK(err.reason == ASH_E_RT_BAD_ADDRESS);
    err = (struct ash_err){0};
    TRY(nvmf_set_share_address(w->tw.srv, "tcp://127.0.0.3:8421", &err));
    TRY(nvmf_share(w->tw.srv, "tank/vol", NULL, 0, &uri, &err));
    CHECK(ash_starts_with(ash_buf_text(&uri), "nvmf+tcp://127.0.0.3:8421/" SHARE_NQN "?uuid="));
    ash_buf_free(&uri);
    CHECK(nvmf_set_share_address(w->tw.srv, "tcp://127.0.0.1:8420", &err) < 0);
    CHECK(err.reason == ASH_E_EXPORT_BUSY);
    return nvmf_unshare(w->tw.srv, "tank/vol", NULL);
}

static int share_is_back(struct sw *w)
{
    struct cl a;
    struct nvme_id_ctrlr *id = malloc(sizeof(*id));
    struct ash_err err = {0};
    for (unsigned i = 0; i < 100 && connect_as(w, &a, HOST2) == 0 && cl_status(&a); i++) {
        cl_close(&a);
        rt_sleep_ns(1000000); /* it comes by a task of its own */
    }
    CHECK(cl_status(&a) == 0);
    cl_close(&a);
    TRY(may_connect(w, HOSTNQN, false));
    TRY(cl_admin_as(&w->tw, &a, 0, 0, SHARE_NQN, HOST2, 0x22));
    TRY(cl_identify(&a, NVME_CNS_CTRLR, 0, id));
    CHECK(memcmp(id->sn, "DCS", 3) == 0 && memcmp(id->mn, "Mayastor NVMe controller ", 25) == 0);
    CHECK(ash_le32_get(id->nn) == 1);
    free(id);
    cl_close(&a);
    /* any host, then none at all */
    TRY(nvmf_share(w->tw.srv, "tank/vol", NULL, 0, NULL, &err));
    TRY(xattr_is(w, "allowed-hosts", "", 1));
    TRY(may_connect(w, HOSTNQN, true));
    TRY(nvmf_unshare(w->tw.srv, "tank/vol", &err));
    TRY(nvmf_unshare(w->tw.srv, "tank/vol", &err));
    TRY(xattr_is(w, "shared", "false", 6));
    CHECK(nvmf_unshare(w->tw.srv, "tank/none", NULL) == -ENODEV);
    CHECK(nvmf_share(w->tw.srv, "tank/vol", (const char *const[]){"iqn.x"}, 1, NULL, NULL) ==
          -EINVAL);
    return elsewhere(w);
}

static int share_stays_away(struct sw *w)
{
    struct cl a;
    rt_sleep_ns(100000000);
    TRY(connect_as(w, &a, HOST2));
    CHECK(cl_status(&a) == (NVME_SC_CONNECT_PARAM | DNR));
    cl_close(&a);
    return tw_wait_conns(&w->tw, 0);
}

static void share_lives(void **state)
{
    lives((int (*const[])(struct sw *)){share_first, share_is_back, share_stays_away, NULL});
}

/* ------------------------------------------------- what becomes of a volume */

static int write_mib(struct cl *c, unsigned mib, uint32_t *ret_status)
{
    uint8_t *data = malloc(131072);
    memset(data, (int)mib + 1, 131072);
    *ret_status = 0;
    for (unsigned i = 0; i < 8 && !*ret_status; i++) {
        TRY(cl_write(c, mib * 2048ull + i * 256, data, 131072, 0));
        *ret_status = cl_status(c);
    }
    free(data);
    return 0;
}

static int open_share(struct sw *w, struct cl *a, struct cl *c)
{
    struct ash_err err = {0};
    TRY(nvmf_share(w->tw.srv, "tank/vol", NULL, 0, NULL, &err));
    TRY(cl_admin_as(&w->tw, a, 0, 0, SHARE_NQN, HOSTNQN, 0x11));
    return cl_io(a, c, 1);
}

/* A thin volume larger than its pool: Mayastor's status when it is full; reads and what is written
 * already go on; the host hears of it in SMART. */
static int pool_fills(struct sw *w)
{
    struct cl a, c;
    struct nvme_log_smart smart;
    struct nvme_id_ns *id = malloc(sizeof(*id));
    uint8_t data[4096];
    uint32_t status = 0;
    unsigned mib = 0;
    TRY(open_share(w, &a, &c));
    while (!status && mib < 64)
        TRY(write_mib(&c, mib++, &status));
    CHECK(status == (0x71C | DNR) && mib > 10 && mib <= 24);
    TRY(write_mib(&c, 0, &status));
    CHECK(status == 0);
    TRY(cl_read(&c, 2048, data, sizeof(data)));
    CHECK(cl_status(&c) == 0 && data[0] == 2);
    TRY(cl_log(&a, NVME_LOG_SMART, NVME_NSID_ALL, &smart, sizeof(smart)));
    CHECK(smart.critical_warning & NVME_SMART_SPARE_LOW);
    TRY(cl_identify(&a, NVME_CNS_NS, 1, id));
    CHECK((id->nsfeat & NVME_NSFEAT_THIN) && ash_le64_get(id->nuse) == (mib - 1) * 2048ull);
    free(id);
    cl_close(&a);
    cl_close(&c);
    return tw_wait_conns(&w->tw, 0);
}

/* Reads that want to know of holes: in this volume, or in all of its ancestors too. */
static int unwritten(struct sw *w)
{
    enum { FAIL = 1u << 22, CURRENT = 1u << 21 };
    struct cl a, c;
    struct ash_err err = {0};
    struct volume *snap;
    uint8_t data[512];
    uint32_t status;
    static const struct {
        unsigned mib;
        uint32_t flags, status;
    } rows[] = {{0, 0, 0}, {0, FAIL, 0},           {0, CURRENT, 0x287 | DNR}, {1, CURRENT, 0},
                {2, 0, 0}, {2, FAIL, 0x287 | DNR}, {2, CURRENT, 0x287 | DNR}};
    TRY(open_share(w, &a, &c));
    TRY(write_mib(&c, 0, &status));
    CHECK(status == 0);
    TRY(volume_snapshot(volume_find(w->pools, "tank/vol"), "snap", NULL, &snap, &err));
    TRY(write_mib(&c, 1, &status)); /* the connection goes on over a snapshot */
    CHECK(status == 0);
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct nvme_sqe sqe = cl_rw(NVME_IO_READ, rows[i].mib * 2048ull, 1, rows[i].flags);
        TRY(cl_do(&c, &sqe, NULL, 0, data, sizeof(data)));
        CHECK(cl_status(&c) == rows[i].status);
        CHECK(rows[i].status || data[0] == (rows[i].mib == 2 ? 0 : rows[i].mib + 1));
    }
    cl_close(&a);
    cl_close(&c);
    return tw_wait_conns(&w->tw, 0);
}

/* Snapshots while writes are on their way: each write is acknowledged, and is there. */
static int snapshots_under_writes(struct sw *w)
{
    enum { N = 32, ROUNDS = 6 };
    struct cl a, c;
    struct ash_err err = {0};
    struct volume *snap;
    uint8_t data[4096];
    struct pdu *p = malloc(sizeof(*p));
    TRY(open_share(w, &a, &c));
    for (unsigned round = 1; round <= ROUNDS; round++) {
        char name[16];
        memset(data, (int)round, sizeof(data));
        for (unsigned i = 0; i < N; i++) {
            struct nvme_sqe sqe = cl_rw(NVME_IO_WRITE, i * 64, 8, 0);
            sqe.cid = ash_le16((uint16_t)i);
            sqe.flags = NVME_PSDT_SGL;
            sqe.sgl.type = NVME_SGL_BLOCK_OFFSET;
            sqe.sgl.length = ash_le32(4096);
            CHECK(cl_command(&c, &sqe, data, 4096));
            if (i % 8 == round % 8)
                rt_yield();
        }
        snprintf(name, sizeof(name), "snap%u", round);
        TRY(volume_snapshot(volume_find(w->pools, "tank/vol"), name, NULL, &snap, &err));
        for (unsigned i = 0; i < N; i++) {
            TRY(cl_get(&c, p));
            CHECK(p->hdr.type == NVME_PDU_CAPSULE_RESP && !ash_le16_get(p->resp.cqe.status));
        }
        for (unsigned i = 0; i < N; i++) {
            TRY(cl_read(&c, i * 64, data, sizeof(data)));
            CHECK(cl_status(&c) == 0 && data[0] == round && data[4095] == round);
        }
    }
    free(p);
    cl_close(&a);
    cl_close(&c);
    return tw_wait_conns(&w->tw, 0);
}

/* Growing is told; shrinking under a host is refused; deleting takes the share with it. */
static int resized_and_deleted(struct sw *w)
{
    struct cl a, c;
    struct ash_err err = {0};
    uint8_t data[512];
    TRY(open_share(w, &a, &c));
    TRY(cl_feature(&a, true, NVME_FEAT_AER_CONFIG, NVME_OAES_NS));
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(7), .flags = NVME_PSDT_SGL};
    CHECK(cl_command(&a, &aer, NULL, 0));
    TRY(cl_read(&c, 64 * 2048, data, sizeof(data)));
    CHECK(cl_status(&c) == (NVME_SC_LBA_RANGE | DNR));
    TRY(volume_resize(volume_find(w->pools, "tank/vol"), 65u << 20, &err));
    TRY(cl_wait(&a, 7, NULL, 0, NULL, 0));
    TRY(cl_read(&c, 64 * 2048, data, sizeof(data)));
    CHECK(cl_status(&c) == 0);
    CHECK(volume_resize(volume_find(w->pools, "tank/vol"), 10u << 20, &err) < 0);
    TRY(cl_read(&c, 64 * 2048, data, sizeof(data)));
    CHECK(cl_status(&c) == 0);
    err = (struct ash_err){0};
    TRY(volume_delete(volume_find(w->pools, "tank/vol"), &err));
    CHECK(cl_is_closed(&c) && cl_is_closed(&a));
    cl_close(&a);
    cl_close(&c);
    TRY(tw_wait_conns(&w->tw, 0));
    TRY(connect_as(w, &a, HOSTNQN));
    CHECK(cl_status(&a) == (NVME_SC_CONNECT_PARAM | DNR));
    cl_close(&a);
    return tw_wait_conns(&w->tw, 0);
}

#define LIFE(name)                                                                                 \
    static void name##_life(void **state)                                                          \
    {                                                                                              \
        lives((int (*const[])(struct sw *)){name, NULL});                                          \
    }
LIFE(pool_fills)
LIFE(unwritten)
LIFE(resized_and_deleted)
LIFE(snapshots_under_writes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share_lives),
        cmocka_unit_test(pool_fills_life),
        cmocka_unit_test(unwritten_life),
        cmocka_unit_test(resized_and_deleted_life),
        cmocka_unit_test(snapshots_under_writes_life),
    };
    return cmocka_run_group_tests_name("nvmf_share", tests, NULL, NULL);
}
