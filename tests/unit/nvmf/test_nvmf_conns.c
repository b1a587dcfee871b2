/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the NVMe target: which reactors serve them, and what becomes of those whose host
 * is there no more but never says so. */
#include "nvmf_test.h"
#include "export/nvmf/show.h"

/* ------------------------------------------------------------ spread over reactors */

enum { N_REACTORS = 4, N_HOSTS = 3, N_QUEUES = 4 };

static unsigned n_queues_of(struct tw *w, unsigned reactor)
{
    return __atomic_load_n(&w->srv->groups[reactor].n_io_now, __ATOMIC_RELAXED);
}

static uint64_t n_ios_of(struct tw *w, unsigned reactor)
{
    return __atomic_load_n(&w->srv->groups[reactor].n_completed, __ATOMIC_RELAXED);
}

/* Each reactor has so many of the I/O queues. */
static int spread(struct tw *w, unsigned want)
{
    for (unsigned i = 0; i < N_REACTORS; i++) {
        if (n_queues_of(w, i) != want)
            print_error("reactor %u has %u queues, not %u\n", i, n_queues_of(w, i), want);
        CHECK(n_queues_of(w, i) == want);
    }
    return 0;
}

/* Commands on each queue; each reactor has worked as much for them as the others. */
static int use_all(struct tw *w, struct cl io[N_HOSTS][N_QUEUES], unsigned n_hosts)
{
    uint8_t *buf = malloc(8192);
    uint64_t before[N_REACTORS];
    for (unsigned i = 0; i < N_REACTORS; i++)
        before[i] = n_ios_of(w, i);
    for (unsigned round = 0; round < 8; round++)
        for (unsigned h = 0; h < n_hosts; h++)
            for (unsigned q = 0; q < N_QUEUES; q++) {
                fill(buf, 4096, round * 64 + h * 8 + q);
                TRY(cl_write(&io[h][q], h * 64 + q * 8, buf, 4096, 0));
                TRY(cl_read(&io[h][q], h * 64 + q * 8, buf + 4096, 4096));
                CHECK(cl_status(&io[h][q]) == 0 && memcmp(buf, buf + 4096, 4096) == 0);
            }
    for (unsigned i = 0; i < N_REACTORS; i++)
        CHECK(n_ios_of(w, i) - before[i] == 16 * n_hosts * N_QUEUES / N_REACTORS);
    free(buf);
    return 0;
}

static int over_reactors(struct tw *w)
{
    struct cl admin[N_HOSTS], io[N_HOSTS][N_QUEUES];
    for (unsigned h = 0; h < N_HOSTS; h++) {
        TRY(cl_admin_as(w, &admin[h], 0, 0, SUBNQN, HOSTNQN, (uint8_t)(h + 1)));
        for (unsigned q = 0; q < N_QUEUES; q++)
            TRY(cl_io(&admin[h], &io[h][q], (uint16_t)(q + 1)));
        TRY(spread(w, h + 1));
    }
    TRY(use_all(w, io, N_HOSTS));
    for (unsigned i = 1; i < N_REACTORS; i++)
        CHECK(__atomic_load_n(&w->srv->groups[i].n_admin_now, __ATOMIC_RELAXED) == 0);
    /* All of two reactors go: those that come instead make up for it, whatever their order. */
    for (unsigned h = 0; h < N_HOSTS; h++) {
        cl_close(&io[h][0]);
        cl_close(&io[h][1]);
    }
    TRY(tw_wait_conns(w, N_HOSTS + N_HOSTS * (N_QUEUES - 2)));
    for (unsigned q = 0; q < 2; q++)
        for (unsigned h = 0; h < N_HOSTS; h++)
            TRY(cl_io(&admin[h], &io[h][q], (uint16_t)(q + 1)));
    TRY(spread(w, N_HOSTS));
    TRY(use_all(w, io, N_HOSTS));
    for (unsigned h = 0; h < N_HOSTS; h++) {
        for (unsigned q = 0; q < N_QUEUES; q++)
            cl_close(&io[h][q]);
        cl_close(&admin[h]);
    }
    TRY(tw_wait_conns(w, 0));
    return spread(w, 0);
}
NVMF_TEST(over_reactors, N_REACTORS)

/* ------------------------------------------------------------------- half-open */

/* A host that has gone without a word in the middle of a transfer, of a capsule, of a header, or
 * with commands that wait for their data: its keep alive ends it, what it had begun changes
 * nothing, and another host is served all the while. */
enum where { IN_TRANSFER, IN_CAPSULE, IN_HEADER, N_WHERES };

static struct nvme_sqe write_sqe(uint32_t n_bytes, bool in_capsule)
{
    struct nvme_sqe sqe = cl_rw(NVME_IO_WRITE, 0, n_bytes / DEV_BLOCK, 0);
    sqe.cid = ash_le16(7);
    sqe.flags = NVME_PSDT_SGL;
    sqe.sgl.type = in_capsule ? NVME_SGL_BLOCK_OFFSET : NVME_SGL_TRANSPORT;
    sqe.sgl.length = ash_le32(n_bytes);
    return sqe;
}

static int fall_silent(struct cl *c, enum where where)
{
    static const uint8_t data[8192] = {0xEE};
    union {
        struct nvme_capsule_cmd cmd;
        struct nvme_data_pdu data;
        uint8_t room[NVME_PDU_HEAD_MAX];
    } u = {0};
    if (where != IN_TRANSFER) {
        u.cmd.sqe = write_sqe(4096, true);
        uint32_t n_head = nvme_pdu_seal(&c->to, &u, NVME_PDU_CAPSULE_CMD, 0, 4096);
        CHECK(cl_send(c, &u, where == IN_HEADER ? 5 : n_head));
        CHECK(where == IN_HEADER || cl_send(c, data, 1000));
        return 0;
    }
    struct pdu *p = malloc(sizeof(*p));
    struct nvme_sqe sqe = write_sqe(65536, false);
    CHECK(cl_command(c, &sqe, NULL, 0));
    TRY(cl_get(c, p));
    CHECK(p->hdr.type == NVME_PDU_R2T);
    u.data.cccid = p->r2t.cccid;
    u.data.ttag = p->r2t.ttag;
    u.data.datal = ash_le32(sizeof(data));
    CHECK(cl_send(c, &u, nvme_pdu_seal(&c->to, &u, NVME_PDU_H2C_DATA, 0, sizeof(data))));
    CHECK(cl_send(c, data, 3000));
    free(p);
    return 0;
}

static int ask_for_event(struct cl *c)
{
    struct nvme_sqe aer = {.opcode = NVME_ADM_AER, .cid = ash_le16(99), .flags = NVME_PSDT_SGL};
    CHECK(cl_command(c, &aer, NULL, 0));
    return 0;
}

static int half_open(struct tw *w)
{
    uint8_t buf[4096];
    struct cl other, other_io;
    TRY(cl_admin_as(w, &other, 0, 0, SUBNQN, HOST2, 0x22));
    TRY(cl_io(&other, &other_io, 1));
    for (int where = 0; where < N_WHERES; where++) {
        struct cl a, io;
        TRY(cl_open(w, &a));
        TRY(cl_ic(&a, 0, 0));
        a.kato_ms = 2000;
        TRY(cl_connect_sqe(&a, 0, 31));
        a.cntlid = (uint16_t)ash_le32_get(a.cqe.dw0);
        TRY(cl_prop_set(&a, NVME_PROP_CC, CC_ON));
        TRY(cl_io(&a, &io, 1));
        uint64_t begin = rt_now_ns();
        TRY(fall_silent(&io, (enum where)where));
        while (nvmf_n_connections(w->srv) != 2) {
            CHECK(rt_now_ns() - begin < 3000000000);
            TRY(cl_read(&other_io, 0, buf, sizeof(buf)));
            CHECK(cl_status(&other_io) == 0 && buf[0] == 0);
            rt_sleep_ns(100000000);
        }
        CHECK(rt_now_ns() - begin >= 1900000000);
        CHECK(w->dev.n_writes == 0);
        cl_close(&a);
        cl_close(&io);
    }
    cl_close(&other_io);
    cl_close(&other);
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(half_open, 2)

/* ------------------------------------------------- when its host is told of the end */

struct removal {
    struct tw *w;
    struct rt_event done;
};

static void remove_listener_task(void *arg)
{
    struct removal *r = arg;
    rt_event_set(&r->done, nvmf_remove_listener(r->w->srv, SUBNQN, &r->w->address, NULL));
}

struct ending {
    struct cl *c;
    uint64_t at_ns;
    struct rt_event seen;
};

static void see_end_task(void *arg)
{
    struct ending *e = arg;
    bool ended = cl_is_closed(e->c);
    e->at_ns = rt_now_ns();
    rt_event_set(&e->seen, ended ? 0 : -EPROTO);
}

/* The connection is ended by us while a write is in the device: the host sees it when the write has
 * left, for it may send it again by another way at once. What only waited is forgotten before. */
static int hangs_up_when_done(struct tw *w)
{
    static uint8_t data[4096] = {9};
    struct cl a, c;
    TRY(cl_admin(w, &a));
    TRY(cl_io(&a, &c, 1));
    TRY(ask_for_event(&a));
    w->dev.hold_to = DEV_BYTES;
    w->dev.hold = true;
    struct nvme_sqe sqe = write_sqe(sizeof(data), true), waits = write_sqe(65536, false);
    waits.cid = ash_le16(8);
    struct pdu *p = malloc(sizeof(*p));
    CHECK(cl_command(&c, &waits, NULL, 0));
    TRY(cl_get(&c, p));
    CHECK(p->hdr.type == NVME_PDU_R2T); /* and gets nothing */
    free(p);
    CHECK(cl_command(&c, &sqe, data, sizeof(data)));
    while (__atomic_load_n(&w->dev.n_writes, __ATOMIC_RELAXED) == 0)
        rt_sleep_ns(1000000);
    struct removal r = {w, RT_EVENT_INIT};
    struct ending e = {&c, 0, RT_EVENT_INIT};
    CHECK(rt_task_spawn("end", see_end_task, &e) == 0);
    CHECK(rt_task_spawn("remove", remove_listener_task, &r) == 0);
    CHECK(cl_is_closed(&a)); /* nothing of it is in a device */
    rt_sleep_ns(300000000);
    CHECK(e.at_ns == 0);
    uint64_t released_at_ns = rt_now_ns();
    tdev_release(&w->dev);
    TRY(rt_event_wait(&e.seen));
    CHECK(e.at_ns >= released_at_ns && w->dev.mem[0] == 9);
    TRY(rt_event_wait(&r.done));
    cl_close(&c);
    cl_close(&a);
    return tw_wait_conns(w, 0);
}
NVMF_TEST(hangs_up_when_done, 2)

/* ---------------------------------------------------------------------- limits */

static int refused(int rc, int want_rc, struct ash_err *err)
{
    if (rc != want_rc || err->reason != ASH_E_EXPORT_LIMIT)
        print_error("rc %d reason %d: %s\n", rc, err->reason, err->text);
    CHECK(rc == want_rc && err->reason == ASH_E_EXPORT_LIMIT);
    *err = (struct ash_err){0};
    return 0;
}

static int resv_register(struct cl *c, uint8_t host)
{
    struct nvme_sqe sqe = {.opcode = NVME_IO_RESV_REGISTER, .nsid = ash_le32(1)};
    struct le64 keys[2] = {ash_le64(0), ash_le64(host)};
    return cl_do(c, &sqe, keys, sizeof(keys), NULL, 0);
}

/* More hosts than a reservation can have: the last is told so, the others are registered. */
static int registrants(struct tw *w)
{
    struct cl a, c;
    for (uint8_t host = 1; host <= 65; host++) {
        TRY(cl_admin_as(w, &a, 0, 0, SUBNQN, HOSTNQN, host));
        TRY(cl_io(&a, &c, 1));
        TRY(resv_register(&c, host));
        CHECK(cl_status(&c) == (host <= 64 ? 0 : (NVME_SC_INTERNAL | DNR)));
        cl_close(&c);
        cl_close(&a);
    }
    return tw_wait_conns(w, 0);
}

static int limits(struct tw *w)
{
    enum { N_HOSTS_MAX = 1024 };
    struct nvmf_limits l;
    struct ash_err err = {0};
    struct cl c[3];
    char name[64];
    TRY(registrants(w));
    nvmf_get_limits(w->srv, &l);
    l.max_connections = 3;
    l.max_subsystems = 2;
    nvmf_set_limits(w->srv, &l);
    for (unsigned i = 0; i < 3; i++)
        TRY(cl_admin(w, &c[i]));
    struct rt_sock *ours, *theirs;
    CHECK(rt_sock_pair(&ours, &theirs) == 0);
    TRY(refused(nvmf_serve_sock(w->srv, theirs, &w->address, &err), -EBUSY, &err));
    rt_sock_close(ours);
    cl_close(&c[0]); /* room again */
    TRY(tw_wait_conns(w, 2));
    TRY(cl_admin(w, &c[0]));
    for (unsigned i = 0; i < 3; i++)
        cl_close(&c[i]);
    TRY(nvmf_create_subsystem(w->srv, &(struct nvmf_subsystem_opts){.nqn = SUBNQN "2"}, &err));
    TRY(refused(
        nvmf_create_subsystem(w->srv, &(struct nvmf_subsystem_opts){.nqn = SUBNQN "3"}, &err),
        -EBUSY, &err));
    for (unsigned i = 0; i <= N_HOSTS_MAX; i++) {
        snprintf(name, sizeof(name), "nqn.2016-06.io.spdk:host%u", i);
        int rc = nvmf_add_host(w->srv, SUBNQN "2", name, &err);
        if (i < N_HOSTS_MAX)
            CHECK(rc == 0);
        else
            TRY(refused(rc, -EBUSY, &err));
    }
    return tw_wait_conns(w, 0);
}
NVMF_SIM_TEST(limits, 1)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        NVMF_TESTS(over_reactors),
        NVMF_SIM_TESTS(half_open),
        NVMF_TESTS(hangs_up_when_done),
        NVMF_SIM_TESTS(limits),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("nvmf_conns", tests, NULL, NULL);
}
