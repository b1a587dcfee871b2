/* SPDX-License-Identifier: Apache-2.0 */
/* Our initiator and a controller that does not do as it should, or is not there any more: what it
 * may ask for and say (R2T, data, replies), commands that are late, refusals, and changes that are
 * not sent twice while their first self may still run. */
#include "fake.h"

enum { N_WRITE = 40 * BLOCK };

#define LOSS ",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1"
#define HOST "127.0.1.1"

/* ------------------------------------------------------- R2T and data, one by one */

enum { N_STEPS_MAX = 4 };
enum step_kind { END, R2T, DATA, REPLY, ERROR };

/* What the controller says to the first command, one behind the other. */
struct step {
    enum step_kind kind;
    uint32_t at, n;
    uint8_t flags;
    uint16_t cid; /* added to the command's */
    bool waits;   /* for the data of the R2T before it */
};

struct row {
    const char *name;
    bool is_read, ok;
    struct step steps[N_STEPS_MAX];
};

static const struct row rows[] = {
    {"all at once", .ok = true, .steps = {{R2T, 0, N_WRITE}, {REPLY, .waits = true}}},
    {"two after one another", .ok = true,
     .steps = {{R2T, 0, 8192}, {R2T, 8192, N_WRITE - 8192, .waits = true}, {REPLY, .waits = true}}},
    {"an error instead", .ok = true, .steps = {{ERROR}}},
    {"an error half-way", .ok = true, .steps = {{R2T, 0, 8192}, {ERROR, .waits = true}}},
    {"two at a time", .steps = {{R2T, 0, 8192}, {R2T, 8192, N_WRITE - 8192}}},
    {"second half first", .steps = {{R2T, 8192, N_WRITE - 8192}}},
    {"a gap", .steps = {{R2T, 0, 8192}, {R2T, 8196, 8192, .waits = true}}},
    {"overlapping", .steps = {{R2T, 0, 8192}, {R2T, 4096, 8192, .waits = true}}},
    {"the same again", .steps = {{R2T, 0, 8192}, {R2T, 0, 8192, .waits = true}}},
    {"nothing", .steps = {{R2T, 0, 0}}},
    {"a byte too much", .steps = {{R2T, 0, N_WRITE + 1}}},
    {"too much at the end", .steps = {{R2T, 0, 8192}, {R2T, 8192, N_WRITE, .waits = true}}},
    {"4 GiB", .steps = {{R2T, 0, UINT32_MAX}}},
    {"around the end of 32 bits",
     .steps = {{R2T, 0, 8192}, {R2T, 8192, UINT32_MAX - 8191, .waits = true}}},
    {"far away", .steps = {{R2T, UINT32_MAX - 3, 4}}},
    {"for another command", .steps = {{R2T, 0, N_WRITE, .cid = 7}}},
    {"beyond the queue", .steps = {{R2T, 0, N_WRITE, .cid = 4711}}},
    {"success without data", .steps = {{REPLY}}},
    {"success half-way", .steps = {{R2T, 0, 8192}, {REPLY, .waits = true}}},
    {"R2T for a read", .is_read = true, .steps = {{R2T, 0, 512}}},
    {"data of a write", .steps = {{DATA, 0, 512}}},
    {"all data", .is_read = true, .ok = true,
     .steps = {{DATA, 0, N_WRITE, NVME_PDU_LAST}, {REPLY}}},
    {"in two", .is_read = true, .ok = true,
     .steps = {{DATA, 0, 512}, {DATA, 512, N_WRITE - 512, NVME_PDU_LAST | NVME_PDU_SUCCESS}}},
    {"data, then an error", .is_read = true, .ok = true, .steps = {{DATA, 0, 512}, {ERROR}}},
    {"data out of order", .is_read = true, .steps = {{DATA, 512, 512}}},
    {"data twice", .is_read = true, .steps = {{DATA, 0, 512}, {DATA, 0, 512}}},
    {"overlapping data", .is_read = true, .steps = {{DATA, 0, 1024}, {DATA, 512, 1024}}},
    {"more data than asked", .is_read = true, .steps = {{DATA, 0, N_WRITE + 4}}},
    {"data beyond the end", .is_read = true, .steps = {{DATA, 0, 512}, {DATA, 512, N_WRITE}}},
    {"success with half of it", .is_read = true,
     .steps = {{DATA, 0, 512, NVME_PDU_LAST | NVME_PDU_SUCCESS}}},
    {"success, not the last", .is_read = true, .steps = {{DATA, 0, N_WRITE, NVME_PDU_SUCCESS}}},
    {"a reply to half of it", .is_read = true, .steps = {{DATA, 0, 512, NVME_PDU_LAST}, {REPLY}}},
    {"a reply to nothing", .is_read = true, .steps = {{REPLY, .cid = 3}}},
    {"a reply beyond the queue", .is_read = true, .steps = {{REPLY, .cid = 999}}},
    {"data for nothing", .is_read = true, .steps = {{DATA, 0, 512, .cid = 3}}},
};

struct script {
    const struct row *row;
    unsigned at; /* step */
    uint16_t cid;
    uint32_t asked, got; /* of the R2T in force: up to where; what has come */
    unsigned n_commands;
    bool is_bad; /* it still does as the row says */
    uint8_t data[N_WRITE];
};

static void say(struct fake_conn *c, const struct step *s, struct script *sc)
{
    uint16_t cid = (uint16_t)(sc->cid + s->cid);
    switch (s->kind) {
    case R2T:
        sc->asked = s->at + s->n;
        fake_r2t(c, cid, 0x1234, s->at, s->n);
        break;
    case DATA:
        memset(c->data, 0x5A, s->n);
        fake_data(c, cid, s->at, s->n, s->flags);
        break;
    case REPLY:
        fake_reply(c, cid, 0, 0);
        break;
    default:
        fake_reply(c, cid, 0, NVME_SC_INTERNAL | NVME_STATUS_DNR);
    }
}

/* Up to the next step that waits. */
static void go_on(struct fake_conn *c)
{
    struct script *sc = c->fake->user;
    const struct step *steps = sc->row->steps;
    do {
        if (sc->at == N_STEPS_MAX || steps[sc->at].kind == END)
            return;
        say(c, &steps[sc->at++], sc);
    } while (sc->at < N_STEPS_MAX && !steps[sc->at].waits);
}

static void scripted_io(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    struct script *sc = c->fake->user;
    uint16_t cid = ash_le16_get(sqe->cid);
    sc->n_commands++;
    if (sc->is_bad) {
        sc->is_bad = false;
        sc->cid = cid;
        go_on(c);
    } else if (sqe->opcode == NVME_IO_READ) {
        memset(c->data, 0x5A, N_WRITE);
        fake_data(c, cid, 0, ash_le32_get(sqe->sgl.length), NVME_PDU_LAST | NVME_PDU_SUCCESS);
    } else {
        sc->got = 0;
        sc->asked = N_WRITE;
        fake_r2t(c, cid, 0x1234, 0, N_WRITE);
    }
}

static void scripted_h2c(struct fake_conn *c, const struct nvme_data_pdu *pdu)
{
    struct script *sc = c->fake->user;
    uint32_t at = ash_le32_get(pdu->datao), n = ash_le32_get(pdu->datal);
    CHECK(ash_le16_get(pdu->ttag) == 0x1234 && at == sc->got && at + n <= sc->asked);
    memcpy(sc->data + at, c->data, n);
    sc->got = at + n;
    bool fits = sc->row->ok || sc->n_commands > 1; /* else asked is not what was answered */
    CHECK(!fits || !!(pdu->hdr.flags & NVME_PDU_LAST) == (sc->got == sc->asked));
    if (sc->got < sc->asked)
        return;
    if (sc->n_commands > 1)
        fake_reply(c, ash_le16_get(pdu->cccid), 0, 0);
    else
        go_on(c);
}

static bool ends_in_error(const struct row *row)
{
    for (unsigned i = 0; i < N_STEPS_MAX; i++)
        if (row->steps[i].kind == ERROR)
            return true;
    return false;
}

static int body_row(void *arg)
{
    struct script *sc = arg;
    struct nvme_world w;
    struct fake f = {.io = scripted_io, .h2c = scripted_h2c, .user = sc, .uuid = 1};
    struct disk d;
    world_up(&w);
    fake_open(&f, "tcp://" HOST ":4420");
    CHECK(fake_attach(&w, HOST, ",\"num_io_queues\":1" LOSS) == 0);
    disk_open(&w, "nn1", &d);
    sc->is_bad = true; /* from now on: whoever examined the device has been served */
    sc->n_commands = 0;
    unsigned n_conns = f.n_conns;
    uint8_t *buf = rt_buf_get(N_WRITE);
    for (unsigned i = 0; i < N_WRITE; i++)
        buf[i] = (uint8_t)(i * 7 + 1);
    int want = ends_in_error(sc->row) ? -EIO : 0;
    int rc =
        sc->row->is_read ? bdev_read(d.ch, buf, 0, N_WRITE) : bdev_write(d.ch, buf, 0, N_WRITE, 0);
    CHECK(rc == want, "%s: %d", sc->row->name, rc);
    CHECK((f.n_conns == n_conns) == sc->row->ok, "%s", sc->row->name);
    CHECK(sc->n_commands == (sc->row->ok ? 1 : 2), "%s", sc->row->name);
    for (unsigned i = 0; i < N_WRITE && rc == 0; i++)
        CHECK(sc->row->is_read ? buf[i] == 0x5A : sc->data[i] == buf[i], "%s", sc->row->name);
    rt_buf_put(buf, N_WRITE);
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    fake_close(&f);
    world_down(&w);
    return 0;
}

static void test_rows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct script *sc = calloc(1, sizeof(*sc));
        sc->row = &rows[i];
        in_seeded_world(body_row, sc, i + 1, 1);
        free(sc);
    }
}

/* ------------------------------------------------------------ late commands */

struct late {
    unsigned n_aborts, n_ios;
    uint16_t late_cid;
    struct fake_conn *conn;
    bool is_armed, aborts; /* aborts: it does as it is asked */
};

static void late_io(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    struct late *l = c->fake->user;
    if (l->is_armed && l->n_ios++ == 0) { /* the first is never answered */
        l->late_cid = ash_le16_get(sqe->cid);
        l->conn = c;
        return;
    }
    fake_data(c, ash_le16_get(sqe->cid), 0, ash_le32_get(sqe->sgl.length),
              NVME_PDU_LAST | NVME_PDU_SUCCESS);
}

static void late_abort(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    struct late *l = c->fake->user;
    l->n_aborts++;
    CHECK(ash_le32_get(sqe->cdw10) == (1u | (uint32_t)l->late_cid << 16));
    fake_reply(c, ash_le16_get(sqe->cid), l->aborts ? 0 : 1, 0);
    if (l->aborts)
        fake_reply(l->conn, l->late_cid, 0, NVME_SC_ABORT_REQUESTED);
}

static int body_late(void *arg)
{
    struct late *l = arg;
    struct nvme_world w;
    struct fake f = {.io = late_io, .abort = late_abort, .user = l, .uuid = 1};
    struct disk d;
    uint8_t buf[BLOCK];
    world_up(&w);
    fake_open(&f, "tcp://" HOST ":4420");
    rpc_ok(&w, "bdev_nvme_set_options", "{\"action_on_timeout\":\"abort\",\"timeout_us\":2000000}");
    CHECK(fake_attach(&w, HOST, ",\"num_io_queues\":1" LOSS) == 0);
    disk_open(&w, "nn1", &d);
    l->is_armed = true;
    unsigned n_conns = f.n_conns;
    uint64_t begin = rt_now_ns();
    int rc = bdev_read(d.ch, buf, 0, BLOCK);
    uint64_t took = rt_now_ns() - begin;
    CHECK(l->n_aborts == 1);
    if (l->aborts) { /* nothing else is disturbed */
        CHECK(rc == -ECANCELED || rc == -EIO, "%d", rc);
        CHECK(took >= 2 * SECOND && took < 3 * SECOND && f.n_conns == n_conns);
    } else { /* waited for once more, then all begins anew */
        CHECK(rc == 0 && took >= 4 * SECOND && took < 6 * SECOND && f.n_conns > n_conns);
    }
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == 0);
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    fake_close(&f);
    world_down(&w);
    return 0;
}

static void test_late(void **state)
{
    (void)state;
    for (int aborts = 0; aborts < 2; aborts++)
        in_seeded_world(body_late, &(struct late){.aborts = aborts}, 2, 1);
}

/* ----------------------------------------------------------------- refusals */

static void never_io(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    fake_reply(c, ash_le16_get(sqe->cid), 0, NVME_SC_INVALID_OPCODE | NVME_STATUS_DNR);
}

static int refused(struct nvme_world *w, const char *traddr, const char *reason)
{
    char params[512];
    snprintf(params, sizeof(params),
             "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"%s\",\"subnqn\":\"" NQN "\"" LOSS "}",
             traddr);
    return rpc_fails(w, "bdev_nvme_attach_controller", params, reason);
}

static int body_refusals(void *arg)
{
    struct nvme_world w;
    struct fake *f = calloc(NVME_PATHS_MAX + 1, sizeof(*f));
    char address[64];
    (void)arg;
    world_up(&w);
    for (unsigned i = 0; i <= NVME_PATHS_MAX; i++) {
        f[i].io = never_io;
        f[i].uuid = 1;
        snprintf(address, sizeof(address), "tcp://127.0.1.%u:4420", i + 1);
        fake_open(&f[i], address);
    }
    f[0].authreq = NVME_AUTHREQ_ATR;
    CHECK(refused(&w, HOST, "NVME_AUTH") == -13);
    f[0].authreq = 0;
    f[0].n_queues = 1; /* two reactors want two */
    CHECK(refused(&w, HOST, "NVME_TOO_FEW_QUEUES") == -87);
    f[0].n_queues = 0;
    f[0].connect_status = NVME_SC_CONNECT_BUSY;
    CHECK(refused(&w, HOST, "NVME_CONNECT") == -111);
    f[0].connect_status = 0;
    for (unsigned i = 0; i < NVME_PATHS_MAX; i++) {
        snprintf(address, sizeof(address), "127.0.1.%u", i + 1);
        CHECK(fake_attach(&w, address, LOSS) == 0);
    }
    snprintf(address, sizeof(address), "127.0.1.%u", NVME_PATHS_MAX + 1);
    CHECK(refused(&w, address, "NVME_PATHS") == -87);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\",\"traddr\":\"127.0.1.3\"}");
    CHECK(fake_attach(&w, address, LOSS) == 0);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    for (unsigned i = 0; i <= NVME_PATHS_MAX; i++)
        fake_close(&f[i]);
    free(f);
    world_down(&w);
    return 0;
}

static void test_refusals(void **state)
{
    (void)state;
    in_seeded_world(body_refusals, NULL, 3, 2);
}

/* ------------------------- a change and its older self: two paths to one namespace */

enum loss { FALLS_SILENT, HANGS_UP, COMES_BACK, ONLY_THE_QUEUE, NEVER_DISABLED };

struct twice {
    enum loss loss;
    bool is_armed;
    unsigned n_writes[2], n_reads[2];
    uint64_t lost_at_ns, write_at_ns, read_at_ns;
};

/* The first controller: takes one write and one read, and then as the test says. */
static void first_io(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    struct twice *t = c->fake->user;
    if (!t->is_armed) { /* who examines the device */
        fake_data(c, ash_le16_get(sqe->cid), 0, ash_le32_get(sqe->sgl.length),
                  NVME_PDU_LAST | NVME_PDU_SUCCESS);
        return;
    }
    t->n_writes[0] += sqe->opcode == NVME_IO_WRITE;
    t->n_reads[0] += sqe->opcode == NVME_IO_READ;
    if (t->n_writes[0] + t->n_reads[0] < 2)
        return;
    t->lost_at_ns = rt_now_ns();
    c->fake->connect_status = NVME_SC_CONNECT_BUSY; /* it does not come back, or later */
    if (t->loss == HANGS_UP || t->loss == COMES_BACK)
        fake_hang_up(c->fake);
    for (unsigned i = 0; i < c->fake->n_conns && t->loss == FALLS_SILENT; i++)
        c->fake->conns[i].is_deaf = true;
}

static void second_io(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    struct twice *t = c->fake->user;
    if (sqe->opcode == NVME_IO_WRITE) {
        t->n_writes[1]++;
        t->write_at_ns = rt_now_ns();
        fake_reply(c, ash_le16_get(sqe->cid), 0, 0);
        return;
    }
    t->n_reads[1]++;
    t->read_at_ns = rt_now_ns();
    fake_data(c, ash_le16_get(sqe->cid), 0, ash_le32_get(sqe->sgl.length),
              NVME_PDU_LAST | NVME_PDU_SUCCESS);
}

struct one_write {
    struct disk *d;
    int rc;
    struct rt_event over;
};

static void write_task(void *arg)
{
    struct one_write *o = arg;
    uint8_t *buf = rt_buf_get(BLOCK);
    o->rc = bdev_write(o->d->ch, buf, 0, BLOCK, 0);
    rt_buf_put(buf, BLOCK);
    rt_event_set(&o->over, 0);
}

static void come_back_task(void *arg)
{
    struct fake *f = arg;
    struct twice *t = f->user;
    while (!t->lost_at_ns)
        rt_sleep_ns(SECOND / 10);
    rt_sleep_ns(4 * SECOND);
    f->connect_status = 0;
    f->io = second_io;
}

static int body_twice(void *arg)
{
    struct twice *t = arg;
    struct nvme_world w;
    struct fake first = {.io = first_io, .user = t, .uuid = 1, .in_capsule = 4096};
    struct fake second = {.io = second_io, .user = t, .uuid = 1, .in_capsule = 4096};
    struct disk d;
    struct one_write o = {.d = &d, .over = RT_EVENT_INIT};
    uint8_t buf[BLOCK];
    world_up(&w);
    first.keeps_ready = t->loss == NEVER_DISABLED;
    fake_open(&first, "tcp://127.0.1.1:4420");
    fake_open(&second, "tcp://127.0.1.2:4420");
    rpc_ok(
        &w, "bdev_nvme_set_options",
        "{\"action_on_timeout\":\"reset\",\"timeout_us\":3000000,\"keep_alive_timeout_ms\":10000}");
    CHECK(fake_attach(&w, "127.0.1.1", ",\"num_io_queues\":1" LOSS) == 0);
    CHECK(fake_attach(&w, "127.0.1.2", ",\"num_io_queues\":1" LOSS) == 0);
    disk_open(&w, "nn1", &d);
    t->is_armed = true;
    if (t->loss == COMES_BACK)
        CHECK(rt_task_spawn("come back", come_back_task, &first) == 0);
    CHECK(rt_task_spawn("write", write_task, &o) == 0);
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == 0);
    rt_event_wait(&o.over);
    CHECK(o.rc == 0 && t->n_writes[1] == 1 && t->n_reads[1] == 1);
    uint64_t write_ns = t->write_at_ns - t->lost_at_ns, read_ns = t->read_at_ns - t->lost_at_ns;
    bool is_noticed = t->loss == HANGS_UP || t->loss == COMES_BACK;
    uint64_t limit_ns = is_noticed ? 0 : 3 * SECOND;
    CHECK(read_ns + SECOND / 10 >= limit_ns && read_ns < limit_ns + SECOND, "%llu",
          (unsigned long long)read_ns);
    switch (t->loss) {
    case COMES_BACK: /* what it was given before is over, else it would not let us in */
        CHECK(write_ns >= 4 * SECOND && write_ns < 6 * SECOND, "%llu",
              (unsigned long long)write_ns);
        break;
    case ONLY_THE_QUEUE: /* asked, and it says so */
        CHECK(first.n_disables == 1 && t->write_at_ns >= first.disabled_at_ns);
        CHECK(write_ns < 4 * SECOND);
        break;
    default: /* when its keep-alive timer has run out */
        CHECK(write_ns >= limit_ns + 9 * SECOND && write_ns < limit_ns + 13 * SECOND, "%llu",
              (unsigned long long)write_ns);
    }
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    fake_close(&first);
    fake_close(&second);
    world_down(&w);
    return 0;
}

static void test_twice(void **state)
{
    (void)state;
    for (int loss = FALLS_SILENT; loss <= NEVER_DISABLED; loss++)
        in_seeded_world(body_twice, &(struct twice){.loss = (enum loss)loss}, 4, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_twice),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
