/* SPDX-License-Identifier: Apache-2.0 */
/* What our initiator does with ios that no path can take: how many it holds, and how long. */
#include "fake.h"

#define RETRY ",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1"
#define HOST  "127.0.1.1"

enum { N_BEYOND = 50, N_READS = NVME_HELD_MAX + N_BEYOND };

/* ------------------------------------------------------------ many reads at once */

struct crowd {
    struct bdev_io *ios[N_READS];
    uint8_t buf[BLOCK]; /* of all: nobody looks */
    unsigned n_done, n_failed;
    uint64_t last_failed_ns;
};

static void one_done(struct bdev_io *io)
{
    struct crowd *c = io->user;
    c->n_done++;
    if (io->rc) {
        CHECK(io->rc == -EIO, "%d", io->rc);
        c->n_failed++;
        c->last_failed_ns = rt_now_ns();
    }
}

static void crowd_submit(struct crowd *c, struct disk *d)
{
    memset(c, 0, sizeof(*c));
    for (unsigned i = 0; i < N_READS; i++) {
        struct bdev_io *io = c->ios[i] = bdev_io_get(d->ch);
        CHECK(io);
        io->type = BDEV_READ;
        io->flags = 0;
        io->offset = 0;
        io->length = BLOCK;
        io->one_iov = (struct iovec){c->buf, BLOCK};
        io->iov = &io->one_iov;
        io->n_iov = 1;
        io->done = one_done;
        io->user = c;
        bdev_submit(io);
    }
}

static void crowd_wait(struct crowd *c)
{
    for (unsigned i = 0; c->n_done < N_READS; i++) {
        CHECK(i < 10000, "%u of %u", c->n_done, N_READS);
        rt_sleep_ns(SECOND / 10);
    }
    for (unsigned i = 0; i < N_READS; i++)
        bdev_io_put(c->ios[i]);
}

static void away(struct nvme_world *w, bool is_away)
{
    w->wire.is_closed = is_away;
    if (is_away)
        wire_cut_all(&w->wire);
}

static int body_number(void *arg)
{
    struct nvme_world w;
    struct disk d;
    struct crowd *c = calloc(1, sizeof(*c));
    (void)arg;
    world_up(&w);
    attach_ok(&w, RETRY);
    disk_open(&w, "nn1", &d);
    /* a path is there: they wait for slots, as many as they are */
    crowd_submit(c, &d);
    crowd_wait(c);
    CHECK(c->n_failed == 0);
    /* none: what is beyond the limit fails at once, the others when it is back */
    away(&w, true);
    rt_sleep_ns(SECOND / 2);
    crowd_submit(c, &d);
    rt_sleep_ns(SECOND / 100);
    CHECK(c->n_failed == N_BEYOND && c->n_done == N_BEYOND, "%u", c->n_failed);
    rt_sleep_ns(10 * SECOND);
    CHECK(c->n_done == N_BEYOND);
    away(&w, false);
    crowd_wait(c);
    CHECK(c->n_failed == N_BEYOND);
    /* it goes while they wait for slots */
    w.wire.is_slow = true;
    crowd_submit(c, &d);
    away(&w, true);
    rt_sleep_ns(SECOND);
    CHECK(c->n_failed == N_BEYOND && c->n_done == N_BEYOND, "%u of %u", c->n_failed, c->n_done);
    w.wire.is_slow = false;
    away(&w, false);
    crowd_wait(c);
    CHECK(c->n_failed == N_BEYOND);
    disk_close(&d);
    world_down(&w);
    free(c);
    return 0;
}

static void test_number(void **state)
{
    (void)state;
    in_seeded_world(body_number, NULL, 1, 1);
}

static int body_time(void *arg)
{
    struct nvme_world w;
    struct disk d;
    struct crowd *c = calloc(1, sizeof(*c));
    (void)arg;
    world_up(&w);
    attach_ok(&w, RETRY ",\"fast_io_fail_timeout_sec\":5");
    disk_open(&w, "nn1", &d);
    away(&w, true);
    rt_sleep_ns(SECOND / 2);
    uint64_t begin = rt_now_ns();
    crowd_submit(c, &d);
    rt_sleep_ns(5 * SECOND - SECOND / 10);
    CHECK(c->n_done == N_BEYOND);
    crowd_wait(c);
    CHECK(c->n_failed == N_READS && c->last_failed_ns - begin < 5 * SECOND + SECOND / 10);
    away(&w, false);
    disk_close(&d);
    world_down(&w);
    free(c);
    return 0;
}

static void test_time(void **state)
{
    (void)state;
    in_seeded_world(body_time, NULL, 2, 1);
}

/* --------------------------------------- a controller that sends us away for ever */

struct refusing {
    bool has_ana;
    uint16_t status; /* of reads, from when it is set */
    unsigned n_refused;
};

static void refusing_io(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    struct refusing *r = c->fake->user;
    r->n_refused += r->status != 0;
    if (r->status)
        fake_reply(c, ash_le16_get(sqe->cid), 0, r->status);
    else
        fake_data(c, ash_le16_get(sqe->cid), 0, ash_le32_get(sqe->sgl.length),
                  NVME_PDU_LAST | NVME_PDU_SUCCESS);
}

/* Its log says that the namespace can be reached, each of its replies that it cannot. */
static int body_refusing(void *arg)
{
    struct refusing *r = arg;
    struct nvme_world w;
    struct fake f = {.io = refusing_io, .user = r, .uuid = 1, .has_ana = r->has_ana};
    struct disk d;
    uint8_t buf[BLOCK];
    world_up(&w);
    fake_open(&f, "tcp://" HOST ":4420");
    CHECK(fake_attach(&w, HOST, ",\"num_io_queues\":1,\"fast_io_fail_timeout_sec\":3" RETRY) == 0);
    disk_open(&w, "nn1", &d);
    r->status = NVME_SC_ANA_INACCESSIBLE;
    uint64_t begin = rt_now_ns();
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == -EIO);
    uint64_t took = rt_now_ns() - begin;
    if (r->has_ana)
        CHECK(took >= 3 * SECOND && took < 4 * SECOND, "%llu", (unsigned long long)took);
    else /* nothing would ever say that it has ended */
        CHECK(took < SECOND && r->n_refused == 4, "%u", r->n_refused);
    r->status = 0;
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == 0);
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    fake_close(&f);
    world_down(&w);
    return 0;
}

static void test_refusing(void **state)
{
    (void)state;
    in_seeded_world(body_refusing, &(struct refusing){.has_ana = true}, 3, 1);
    in_seeded_world(body_refusing, &(struct refusing){.has_ana = false}, 4, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_refusing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
