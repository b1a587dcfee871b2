/* SPDX-License-Identifier: Apache-2.0 */
/* The NVMe target's data path: data of all lengths by all ways, digests, alignment, order, fused
 * pairs, errors of the device, removal and resizing (docs/spec/nvme-tcp.md 1.1, 5, 8). Tests that
 * look into the device while it is in use have one reactor, so that it and they take turns. */
#include "nvmf_test.h"

static const uint32_t lengths[] = {512, 1024, 4096, 4608, 8192, 65536, 131072};

/* Write and read back by every combination of digests, alignment and way of the data. */
static int read_write(struct tw *w)
{
    static const uint8_t hpdas[] = {0, 3, 31};
    uint8_t *data = malloc(131072), *got = malloc(131072), *model = calloc(1, DEV_BYTES);
    for (unsigned mode = 0; mode < 4 * ASH_N_ELEMS(hpdas); mode++) {
        struct cl a, c;
        TRY(cl_admin_as(w, &a, mode & 3, hpdas[mode >> 2], SUBNQN, HOSTNQN, 0x11));
        TRY(cl_io(&a, &c, 1));
        for (size_t i = 0; i < ASH_N_ELEMS(lengths); i++) {
            uint64_t slba = 7 * i + mode;
            c.r2t_only = i & 1;
            fill(data, lengths[i], (uint32_t)(mode * 31 + i));
            TRY(cl_write(&c, slba, data, lengths[i], i & 1 ? NVME_RW_FUA : 0));
            CHECK(cl_status(&c) == 0 && c.n_r2t == (lengths[i] > 4096 || c.r2t_only));
            CHECK(__atomic_load_n(&w->dev.last_flags, __ATOMIC_RELAXED) == (i & 1 ? BDEV_FUA : 0));
            memcpy(model + slba * DEV_BLOCK, data, lengths[i]);
            memset(got, 0, lengths[i]);
            TRY(cl_read(&c, slba, got, lengths[i]));
            CHECK(cl_status(&c) == 0 && c.n_data == lengths[i] && c.by_success);
            CHECK(memcmp(got, data, lengths[i]) == 0);
        }
        cl_close(&c);
        cl_close(&a);
        TRY(tw_wait_conns(w, 0));
        CHECK(memcmp(w->dev.mem, model, DEV_BYTES) == 0);
    }
    free(data);
    free(got);
    free(model);
    return 0;
}
NVMF_TEST(read_write, 2)

/* PDUs cut at every place: some bytes at a time. */
static int by_pieces(struct tw *w)
{
    static const uint32_t chunks[] = {1, 3, 7, 71, 73};
    uint8_t data[8192], got[8192];
    for (size_t i = 0; i < ASH_N_ELEMS(chunks); i++) {
        struct cl a, c;
        TRY(cl_admin_as(w, &a, 3, 7, SUBNQN, HOSTNQN, 0x11));
        TRY(cl_io(&a, &c, 1));
        c.chunk = chunks[i];
        fill(data, sizeof(data), chunks[i]);
        TRY(cl_write(&c, 1, data, sizeof(data), 0));
        CHECK(cl_status(&c) == 0 && c.n_r2t == 1);
        TRY(cl_write(&c, 100, data, 1024, 0));
        CHECK(cl_status(&c) == 0 && c.n_r2t == 0);
        TRY(cl_read(&c, 1, got, sizeof(got)));
        CHECK(memcmp(got, data, sizeof(data)) == 0);
        CHECK(memcmp(w->dev.mem + 100 * DEV_BLOCK, data, 1024) == 0);
        cl_close(&c);
        cl_close(&a);
    }
    return tw_wait_conns(w, 0);
}
NVMF_TEST(by_pieces, 1)

/* SQHD counts modulo the queue; without flow control it is FFFF. */
static int flow_control(struct tw *w)
{
    struct cl a, c;
    TRY(cl_admin(w, &a));
    TRY(cl_open(w, &c));
    TRY(cl_ic(&c, 0, 0));
    c.cntlid = a.cntlid;
    TRY(cl_connect_sqe(&c, 1, 3));
    CHECK(cl_status(&c) == 0 && ash_le16_get(c.cqe.sqhd) == 1);
    c.qid = 1;
    for (unsigned i = 0; i < 9; i++) {
        struct nvme_sqe sqe = {.opcode = NVME_IO_FLUSH, .nsid = ash_le32(1)};
        TRY(cl_do(&c, &sqe, NULL, 0, NULL, 0));
        CHECK(cl_status(&c) == 0 && ash_le16_get(c.cqe.sqhd) == (i + 2) % 4);
    }
    CHECK(w->dev.n_flushes == 9);
    cl_close(&c);
    TRY(cl_open(w, &c));
    TRY(cl_ic(&c, 0, 0));
    c.cntlid = a.cntlid;
    c.cattr = NVME_CATTR_NO_SQ_FLOW;
    TRY(cl_connect_sqe(&c, 2, 3));
    CHECK(cl_status(&c) == 0 && ash_le16_get(c.cqe.sqhd) == NVME_SQHD_DISABLED);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(flow_control, 1)

static int zeroes_dsm_verify(struct tw *w)
{
    struct cl a, c;
    struct tdev *d = &w->dev;
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    memset(d->mem, 0xaa, 65536);
    struct nvme_sqe sqe = cl_rw(NVME_IO_WRITE_ZEROES, 1, 2, 0);
    TRY(cl_do(&c, &sqe, NULL, 0, NULL, 0));
    CHECK(cl_status(&c) == 0 && d->mem[511] == 0xaa && d->mem[512] == 0 && d->mem[1536] == 0xaa);
    CHECK(d->last_flags == BDEV_NO_HOLE);
    sqe = cl_rw(NVME_IO_WRITE_ZEROES, 8, 8, NVME_RW_DEAC | NVME_RW_FUA);
    TRY(cl_do(&c, &sqe, NULL, 0, NULL, 0));
    CHECK(cl_status(&c) == 0 && d->last_flags == BDEV_FUA && d->mem[4096] == 0);
    sqe = cl_rw(NVME_IO_WRITE_ZEROES, 0, 65536, NVME_RW_DEAC); /* beyond MDTS: fine */
    TRY(cl_do(&c, &sqe, NULL, 0, NULL, 0));
    CHECK(cl_status(&c) == 0 && d->mem[0] == 0);
    /* ranges: all are checked before one is touched */
    struct nvme_dsm_range ranges[3] = {{.n_blocks = ash_le32(1), .slba = ash_le64(4)},
                                       {.n_blocks = ash_le32(2), .slba = ash_le64(6)},
                                       {.n_blocks = ash_le32(1), .slba = ash_le64(DEV_BYTES)}};
    memset(d->mem, 0xbb, 65536);
    sqe = (struct nvme_sqe){.opcode = NVME_IO_DSM, .nsid = ash_le32(1)};
    sqe.cdw10 = ash_le32(2);
    sqe.cdw11 = ash_le32(NVME_DSM_AD);
    TRY(cl_do(&c, &sqe, ranges, sizeof(ranges), NULL, 0));
    CHECK(cl_status(&c) == (NVME_SC_LBA_RANGE | DNR) && d->n_unmaps == 0);
    sqe.cdw10 = ash_le32(1);
    TRY(cl_do(&c, &sqe, ranges, sizeof(ranges), NULL, 0));
    CHECK(cl_status(&c) == 0 && d->n_unmaps == 2 && d->mem[4 * 512] == 0 && d->mem[7 * 512] == 0);
    CHECK(d->mem[5 * 512] == 0xbb && d->mem[8 * 512] == 0xbb);
    sqe.cdw11 = ash_le32(0); /* only hints */
    TRY(cl_do(&c, &sqe, ranges, sizeof(ranges), NULL, 0));
    CHECK(cl_status(&c) == 0 && d->n_unmaps == 2);
    unsigned n_reads = d->n_reads;
    sqe = cl_rw(NVME_IO_VERIFY, 0, 1024, 0); /* four pieces of 128 KiB */
    TRY(cl_do(&c, &sqe, NULL, 0, NULL, 0));
    CHECK(cl_status(&c) == 0 && d->n_reads == n_reads + 4 && c.n_data == 0);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(zeroes_dsm_verify, 1)

static int compare_and_fused(struct tw *w)
{
    struct cl a, c;
    uint8_t data[1024], other[1024], got[1024];
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    fill(data, sizeof(data), 1);
    fill(other, sizeof(other), 2);
    memcpy(w->dev.mem, data, sizeof(data));
    struct nvme_sqe sqe = cl_rw(NVME_IO_COMPARE, 0, 2, 0);
    TRY(cl_do(&c, &sqe, data, sizeof(data), NULL, 0));
    CHECK(cl_status(&c) == 0);
    sqe = cl_rw(NVME_IO_COMPARE, 0, 2, 0);
    TRY(cl_do(&c, &sqe, other, sizeof(other), NULL, 0));
    CHECK(cl_status(&c) == (NVME_SC_COMPARE | DNR));

    for (unsigned match = 0; match < 2; match++) {
        struct nvme_sqe first = cl_rw(NVME_IO_COMPARE, 0, 2, 0);
        struct nvme_sqe second = cl_rw(NVME_IO_WRITE, 0, 2, 0);
        struct pdu *p = malloc(sizeof(*p));
        first.flags = NVME_PSDT_SGL | NVME_FUSE_FIRST;
        second.flags = NVME_PSDT_SGL | NVME_FUSE_SECOND;
        first.cid = ash_le16(1);
        second.cid = ash_le16(2);
        first.sgl.type = second.sgl.type = NVME_SGL_BLOCK_OFFSET;
        first.sgl.length = second.sgl.length = ash_le32(1024);
        CHECK(cl_command(&c, &first, match ? data : other, 1024));
        CHECK(cl_command(&c, &second, other, 1024));
        TRY(cl_get(&c, p));
        CHECK(ash_le16_get(p->resp.cqe.cid) == 1);
        CHECK(nvme_status_sc(ash_le16_get(p->resp.cqe.status)) == (match ? 0 : NVME_SC_COMPARE));
        TRY(cl_get(&c, p));
        CHECK(ash_le16_get(p->resp.cqe.cid) == 2);
        CHECK(nvme_status_sc(ash_le16_get(p->resp.cqe.status)) ==
              (match ? 0 : NVME_SC_FUSED_FAILED));
        CHECK(memcmp(w->dev.mem, match ? other : data, 1024) == 0);
        free(p);
    }
    /* A first alone ends when something else comes; a second alone at once. */
    struct nvme_sqe first = cl_rw(NVME_IO_COMPARE, 0, 2, 0);
    first.flags = NVME_PSDT_SGL | NVME_FUSE_FIRST;
    first.cid = ash_le16(1);
    first.sgl.type = NVME_SGL_BLOCK_OFFSET;
    first.sgl.length = ash_le32(1024);
    CHECK(cl_command(&c, &first, data, 1024));
    sqe = cl_rw(NVME_IO_READ, 0, 2, 0);
    sqe.cid = ash_le16(2);
    sqe.flags = NVME_PSDT_SGL;
    sqe.sgl.type = NVME_SGL_TRANSPORT;
    sqe.sgl.length = ash_le32(1024);
    CHECK(cl_command(&c, &sqe, NULL, 0));
    TRY(cl_wait(&c, 1, NULL, 0, NULL, 0));
    CHECK((cl_status(&c) & 0x7ff) == NVME_SC_FUSED_MISSING);
    TRY(cl_wait(&c, 2, NULL, 0, got, sizeof(got)));
    CHECK(cl_status(&c) == 0);
    sqe = cl_rw(NVME_IO_WRITE, 0, 2, 0);
    sqe.flags = NVME_FUSE_SECOND;
    TRY(cl_do(&c, &sqe, data, sizeof(data), NULL, 0));
    CHECK((cl_status(&c) & 0x7ff) == NVME_SC_FUSED_MISSING);
    CHECK(memcmp(w->dev.mem, other, 1024) == 0);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(compare_and_fused, 1)

/* What the device says becomes the right status. */
static int device_errors(struct tw *w)
{
    static const struct {
        int rc;
        uint32_t read, write;
    } rows[] = {
        {-EIO, NVME_SC_READ_ERROR, NVME_SC_WRITE_FAULT},
        {-ENOSPC, NVME_SC_CAPACITY | DNR, NVME_SC_CAPACITY | DNR},
        {-EPERM, NVME_SC_WRITE_PROTECTED | DNR, NVME_SC_WRITE_PROTECTED | DNR},
        {-ECANCELED, NVME_SC_INVALID_NS | DNR, NVME_SC_INVALID_NS | DNR},
        {-EINVAL, NVME_SC_LBA_RANGE | DNR, NVME_SC_LBA_RANGE | DNR},
        {-ETIMEDOUT, NVME_SC_INTERNAL, NVME_SC_INTERNAL},
    };
    struct cl a, c;
    uint8_t data[4096];
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    memset(data, 1, sizeof(data));
    w->dev.fail_to = DEV_BYTES;
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        w->dev.fail_rc = rows[i].rc;
        TRY(cl_read(&c, 0, data, sizeof(data)));
        CHECK(cl_status(&c) == rows[i].read && c.n_data == 0);
        TRY(cl_write(&c, 0, data, sizeof(data), 0));
        CHECK(cl_status(&c) == rows[i].write);
    }
    w->dev.fail_rc = 0;
    TRY(cl_read(&c, 0, data, sizeof(data)));
    CHECK(cl_status(&c) == 0);
    /* they stand in the error log, the newest first, and in SMART */
    struct nvme_log_error_entry log[64];
    struct nvme_log_smart smart;
    uint64_t n = 0;
    for (unsigned i = 0; i < 1000 && n < 12; i++) { /* they come by messages */
        TRY(cl_log(&a, NVME_LOG_SMART, NVME_NSID_ALL, &smart, sizeof(smart)));
        n = ash_le64_get(smart.error_entries.low);
        rt_sleep_ns(100000);
    }
    CHECK(n == 12 && ash_le64_get(smart.media_errors.low) == 2);
    TRY(cl_log(&a, NVME_LOG_ERROR, NVME_NSID_ALL, log, sizeof(log)));
    CHECK(ash_le64_get(log[0].count) == 12 && ash_le16_get(log[0].sqid) == 1);
    CHECK(nvme_status_sc(ash_le16_get(log[0].status)) == NVME_SC_INTERNAL);
    CHECK(ash_le32_get(log[0].nsid) == 1 && ash_le64_get(log[1].count) == 11);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(device_errors, 1)

/* Many commands at once, ended by the device in the reverse order. */
static int out_of_order(struct tw *w)
{
    enum { N = 100 };
    struct cl a, c;
    struct pdu *p = malloc(sizeof(*p));
    bool seen[N] = {0};
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    for (unsigned i = 0; i < N; i++)
        memset(w->dev.mem + i * 4096, (int)i, 4096);
    w->dev.hold_to = DEV_BYTES;
    w->dev.hold = true;
    for (unsigned i = 0; i < N; i++) {
        struct nvme_sqe sqe = cl_rw(NVME_IO_READ, i * 8, 8, 0);
        sqe.cid = ash_le16((uint16_t)(1000 + i));
        sqe.flags = NVME_PSDT_SGL;
        sqe.sgl.type = NVME_SGL_TRANSPORT;
        sqe.sgl.length = ash_le32(4096);
        CHECK(cl_command(&c, &sqe, NULL, 0));
    }
    for (unsigned i = 0; i < 5000 && __atomic_load_n(&w->dev.n_reads, __ATOMIC_RELAXED) < N; i++)
        rt_sleep_ns(100000);
    CHECK(w->dev.n_reads == N);
    tdev_release(&w->dev);
    for (unsigned i = 0; i < N; i++) {
        TRY(cl_get(&c, p));
        unsigned cid = ash_le16_get(p->data.cccid) - 1000u;
        CHECK(p->hdr.type == NVME_PDU_C2H_DATA && cid < N && !seen[cid]);
        seen[cid] = true;
        CHECK(p->layout.data_bytes == 4096 && p->body[0] == cid && p->body[4095] == cid);
    }
    free(p);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(out_of_order, 1)

/* A namespace goes while a command is in the device: the command ends, new ones are told, and the
 * device closes. Its coming and going is told by events. */
static int namespace_goes(struct tw *w)
{
    struct cl a, c;
    struct ash_err err = {0};
    uint8_t data[4096];
    struct le32 changed[NVME_NS_LIST_MAX];
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    TRY(cl_feature(&a, true, NVME_FEAT_AER_CONFIG, NVME_OAES_NS));
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(7), .flags = NVME_PSDT_SGL};
    CHECK(cl_command(&a, &aer, NULL, 0));
    TRY(cl_feature(&a, false, NVME_FEAT_AER_CONFIG, 0)); /* so the AER is there */
    uint32_t nsid;
    TRY(nvmf_add_ns(w->srv, SUBNQN, &(struct nvmf_ns_opts){.bdev_name = "dev2", .nsid = 5}, &nsid,
                    &err));
    TRY(cl_wait(&a, 7, NULL, 0, NULL, 0));
    CHECK(ash_le32_get(a.cqe.dw0) == NVME_AEN(NVME_AEN_NOTICE, 0, NVME_LOG_CHANGED_NS));
    CHECK(cl_command(&a, &aer, NULL, 0));
    TRY(cl_log(&a, NVME_LOG_CHANGED_NS, NVME_NSID_ALL, changed, sizeof(changed)));
    CHECK(ash_le32_get(changed[0]) == 5 && ash_le32_get(changed[1]) == 0);

    struct nvme_sqe sqe = cl_rw(NVME_IO_READ, 0, 8, 0);
    sqe.nsid = ash_le32(5);
    w->dev2.hold_to = DEV_BYTES;
    w->dev2.hold = true;
    sqe.cid = ash_le16(1);
    sqe.flags = NVME_PSDT_SGL;
    sqe.sgl.type = NVME_SGL_TRANSPORT;
    sqe.sgl.length = ash_le32(4096);
    CHECK(cl_command(&c, &sqe, NULL, 0));
    for (unsigned i = 0; i < 5000 && w->dev2.n_reads == 0; i++)
        rt_sleep_ns(100000);
    CHECK(w->dev2.n_reads == 1);
    /* the device is unplugged; that waits for us */
    struct unplug {
        struct bdev *bdev;
        bool done;
    };
    w->dev2.hold = false;
    struct bdev_io *io = ash_list_entry(w->dev2.held.prev, struct bdev_io, link);
    ash_list_remove(&io->link);
    bdev_io_done(io, -ECANCELED);
    CHECK(bdev_unregister(&w->dev2.bdev) == 0 && w->dev2.destroyed);
    TRY(cl_wait(&c, 1, NULL, 0, data, sizeof(data)));
    CHECK(cl_status(&c) == (NVME_SC_INVALID_NS | DNR));
    sqe.cid = ash_le16(2);
    CHECK(cl_command(&c, &sqe, NULL, 0));
    TRY(cl_wait(&c, 2, NULL, 0, data, sizeof(data)));
    CHECK(cl_status(&c) == (NVME_SC_INVALID_NS | DNR));
    TRY(cl_wait(&a, 7, NULL, 0, NULL, 0));
    CHECK(ash_le32_get(a.cqe.dw0) == NVME_AEN(NVME_AEN_NOTICE, 0, NVME_LOG_CHANGED_NS));
    TRY(cl_read(&c, 0, data, sizeof(data))); /* the other one is as before */
    CHECK(cl_status(&c) == 0);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(namespace_goes, 1)

/* Growing is seen by the next command and told by an event. */
static int resize(struct tw *w)
{
    struct cl a, c;
    uint8_t data[4096];
    struct nvme_id_ns *id = malloc(sizeof(*id));
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    TRY(cl_feature(&a, true, NVME_FEAT_AER_CONFIG, NVME_OAES_NS));
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(7), .flags = NVME_PSDT_SGL};
    CHECK(cl_command(&a, &aer, NULL, 0));
    uint8_t *bigger = calloc(1, DEV_BYTES * 2);
    free(w->dev.mem);
    w->dev.mem = bigger;
    TRY(cl_read(&c, DEV_BYTES / 512, data, sizeof(data)));
    CHECK(cl_status(&c) == (NVME_SC_LBA_RANGE | DNR));
    CHECK(bdev_resized(&w->dev.bdev, DEV_BYTES * 2) == 0);
    TRY(cl_read(&c, DEV_BYTES / 512, data, sizeof(data)));
    CHECK(cl_status(&c) == 0);
    TRY(cl_wait(&a, 7, NULL, 0, NULL, 0));
    TRY(cl_identify(&a, NVME_CNS_NS, 1, id));
    CHECK(ash_le64_get(id->nsze) == DEV_BYTES * 2 / 512 && id->lbaf[0].lbads == 9);
    free(id);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(resize, 1)

/* A host that asks for much and reads nothing is bounded in memory, and served when it reads. */
static int slow_reader(struct tw *w)
{
    enum { N = 128 };
    struct cl a, c;
    struct nvmf_limits limits;
    struct pdu *p = malloc(sizeof(*p));
    nvmf_get_limits(w->srv, &limits);
    limits.max_inflight_bytes = 1u << 20;
    nvmf_set_limits(w->srv, &limits);
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    for (unsigned i = 0; i < N; i++) {
        struct nvme_sqe sqe = cl_rw(NVME_IO_READ, i * 8, 256, 0);
        sqe.cid = ash_le16((uint16_t)i);
        sqe.flags = NVME_PSDT_SGL;
        sqe.sgl.type = NVME_SGL_TRANSPORT;
        sqe.sgl.length = ash_le32(131072);
        CHECK(cl_command(&c, &sqe, NULL, 0));
    }
    rt_sleep_ns(20000000);
    CHECK(__atomic_load_n(&w->dev.n_reads, __ATOMIC_RELAXED) < N);
    for (unsigned i = 0; i < N; i++) {
        TRY(cl_get(&c, p));
        CHECK(p->hdr.type == NVME_PDU_C2H_DATA && p->layout.data_bytes == 131072);
    }
    free(p);
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(slow_reader, 2)

/* Take a command id that is not used otherwise; the reply is for whoever waits for it. */
static bool start_write(struct cl *c, uint64_t slba, const void *data, uint16_t cid)
{
    struct nvme_sqe sqe = cl_rw(NVME_IO_WRITE, slba, 8, 0);
    sqe.cid = ash_le16(cid);
    sqe.flags = NVME_PSDT_SGL;
    sqe.sgl.type = NVME_SGL_BLOCK_OFFSET;
    sqe.sgl.length = ash_le32(4096);
    return cl_command(c, &sqe, data, 4096);
}

static int wait_writes(struct tw *w, unsigned n)
{
    for (unsigned i = 0; i < 5000 && w->dev.n_writes < n; i++)
        rt_sleep_ns(100000);
    CHECK(w->dev.n_writes == n);
    return 0;
}

struct knock { /* a host that comes back */
    struct tw *w;
    struct cl a;
    uint8_t hostid;
    uint32_t status;
    struct rt_event done;
};

static void knock_task(void *arg)
{
    struct knock *k = arg;
    int rc = cl_open(k->w, &k->a);
    memset(k->a.hostid, k->hostid, sizeof(k->a.hostid));
    if (rc == 0)
        rc = cl_ic(&k->a, 0, 0);
    if (rc == 0)
        rc = cl_connect_sqe(&k->a, 0, 31);
    k->status = cl_status(&k->a);
    rt_event_set(&k->done, rc);
}

static int knock(struct knock *k, struct tw *w, uint8_t hostid)
{
    *k = (struct knock){.w = w, .hostid = hostid, .status = UINT32_MAX, .done = RT_EVENT_INIT};
    return rt_task_spawn("knock", knock_task, k);
}

/* A host is cut off while its write is in the device, and comes back: it is let in when the write
 * has ended, so that what it sends again comes later. Others do not wait for that. */
static int comes_back(struct tw *w)
{
    struct cl a, c;
    struct knock same, other;
    uint8_t data[4096];
    memset(data, 1, sizeof(data));
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    w->dev.hold_to = DEV_BYTES;
    w->dev.hold = true;
    CHECK(start_write(&c, 0, data, 1));
    TRY(wait_writes(w, 1));
    cl_close(&c);
    cl_close(&a);
    rt_sleep_ns(10000000);
    TRY(knock(&same, w, 0x11));
    TRY(knock(&other, w, 0x22));
    TRY(rt_event_wait(&other.done));
    CHECK(other.status == 0);
    rt_sleep_ns(200000000);
    CHECK(same.status == UINT32_MAX);
    tdev_release(&w->dev);
    TRY(rt_event_wait(&same.done));
    CHECK(same.status == 0 && w->dev.mem[0] == 1);
    cl_close(&same.a);
    cl_close(&other.a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(comes_back, 1)

/* The device never ends it: the host is told that the controller is busy, and may try again. */
static int comes_back_in_vain(struct tw *w)
{
    struct cl a, c;
    struct knock same;
    uint8_t data[4096] = {0};
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    w->dev.hold_to = DEV_BYTES;
    w->dev.hold = true;
    CHECK(start_write(&c, 0, data, 1));
    TRY(wait_writes(w, 1));
    cl_close(&c);
    cl_close(&a);
    rt_sleep_ns(10000000);
    uint64_t begin = rt_now_ns();
    TRY(knock(&same, w, 0x11));
    TRY(rt_event_wait(&same.done));
    CHECK(same.status == NVME_SC_CONNECT_BUSY);
    CHECK(rt_now_ns() - begin >= 9000000000 && rt_now_ns() - begin < 12000000000);
    tdev_release(&w->dev);
    cl_close(&same.a);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(comes_back_in_vain, 1)

/* Disabled with a write in the device: the queue and ready go away when the write has ended. */
static int disable_drains(struct tw *w)
{
    struct cl a, c;
    uint8_t data[4096] = {0};
    uint64_t csts = 0;
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    w->dev.hold_to = DEV_BYTES;
    w->dev.hold = true;
    CHECK(start_write(&c, 0, data, 1));
    TRY(wait_writes(w, 1));
    TRY(cl_prop_set(&a, NVME_PROP_CC, CC_ON & ~NVME_CC_EN));
    CHECK(cl_status(&a) == 0);
    rt_sleep_ns(10000000);
    TRY(cl_prop_get(&a, NVME_PROP_CSTS, false, &csts));
    CHECK(csts == NVME_CSTS_RDY);
    tdev_release(&w->dev);
    for (unsigned i = 0; i < 5000 && csts; i++) {
        rt_sleep_ns(100000);
        TRY(cl_prop_get(&a, NVME_PROP_CSTS, false, &csts));
    }
    CHECK(csts == 0 && cl_is_closed(&c));
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(disable_drains, 1)

/* The connection goes at any byte of a write: the device gets all of it or nothing. */
static int cut_anywhere(struct tw *w)
{
    uint8_t data[1024], wire[4096];
    fill(data, sizeof(data), 9);
    for (unsigned at = 1; at < 72 + 1024; at += at < 80 ? 1 : 37) {
        struct cl a, c;
        TRY(cl_admin(w, &a));
        TRY(cl_io(&a, &c, 1));
        memset(w->dev.mem, 0, 1024);
        unsigned n_writes = w->dev.n_writes;
        union {
            struct nvme_capsule_cmd pdu;
            uint8_t room[NVME_PDU_HEAD_MAX];
        } u = {0};
        u.pdu.sqe = cl_rw(NVME_IO_WRITE, 0, 2, 0);
        u.pdu.sqe.flags = NVME_PSDT_SGL;
        u.pdu.sqe.sgl.type = NVME_SGL_BLOCK_OFFSET;
        u.pdu.sqe.sgl.length = ash_le32(1024);
        uint32_t n = nvme_pdu_seal(&c.to, &u, NVME_PDU_CAPSULE_CMD, 0, 1024);
        memcpy(wire, &u, n);
        memcpy(wire + n, data, sizeof(data));
        CHECK(cl_send(&c, wire, at));
        cl_close(&c);
        cl_close(&a);
        TRY(tw_wait_conns(w, 0));
        CHECK(w->dev.n_writes == n_writes && w->dev.mem[0] == 0);
    }
    return 0;
}
NVMF_SIM_TEST(cut_anywhere, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NVMF_TESTS(read_write),
        NVMF_TESTS(by_pieces),
        NVMF_TESTS(flow_control),
        NVMF_TESTS(zeroes_dsm_verify),
        NVMF_TESTS(compare_and_fused),
        NVMF_TESTS(device_errors),
        NVMF_TESTS(out_of_order),
        NVMF_TESTS(namespace_goes),
        NVMF_TESTS(resize),
        NVMF_TESTS(slow_reader),
        NVMF_SIM_TESTS(cut_anywhere),
        NVMF_TESTS(comes_back),
        NVMF_SIM_TESTS(comes_back_in_vain),
        NVMF_TESTS(disable_drains),
    };
    return cmocka_run_group_tests_name("nvmf_io", tests, NULL, NULL);
}
