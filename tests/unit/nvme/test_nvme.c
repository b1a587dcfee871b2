/* SPDX-License-Identifier: Apache-2.0 */
/* The NVMe/TCP initiator against our own target. */
#include "nvme_test.h"

static uint64_t rnd_state;

static uint64_t rnd(uint64_t below)
{
    rnd_state = rnd_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rnd_state >> 33) % below;
}

/* ------------------------------------------------------------ reads and writes */

static void compare_disk(struct disk *d, const uint8_t *model)
{
    uint8_t *buf = rt_buf_get(DISK_BLOCKS * BLOCK);
    CHECK(bdev_read(d->ch, buf, 0, DISK_BLOCKS * BLOCK) == 0);
    CHECK(memcmp(buf, model, DISK_BLOCKS * BLOCK) == 0);
    rt_buf_put(buf, DISK_BLOCKS * BLOCK);
}

static int compare_io(struct disk *d, uint8_t type, uint64_t at, uint64_t n, void *expected,
                      void *next);

struct waiter {
    struct rt_event ev;
};

static void io_done(struct bdev_io *io)
{
    struct waiter *w = io->user;
    rt_event_set(&w->ev, io->rc);
}

static int compare_io(struct disk *d, uint8_t type, uint64_t at, uint64_t n, void *expected,
                      void *next)
{
    struct waiter w = {RT_EVENT_INIT};
    struct iovec write_iov = {next, n};
    struct bdev_io *io = bdev_io_get(d->ch);
    io->type = type;
    io->flags = 0;
    io->offset = at;
    io->length = n;
    io->one_iov = (struct iovec){expected, n};
    io->iov = &io->one_iov;
    io->n_iov = 1;
    io->write_iov = &write_iov;
    io->n_write_iov = 1;
    io->done = io_done;
    io->user = &w;
    bdev_submit(io);
    int rc = rt_event_wait(&w.ev);
    bdev_io_put(io);
    return rc;
}

static void random_ops(struct disk *d, unsigned n_ops)
{
    uint8_t *model = calloc(DISK_BLOCKS, BLOCK), *buf = rt_buf_get(DISK_BLOCKS * BLOCK);
    for (unsigned i = 0; i < n_ops; i++) {
        /* up to 300 KiB: beyond in-capsule, beyond MAXH2CDATA, beyond MDTS */
        uint64_t n = rnd(8) ? 1 + rnd(20) : 1 + rnd(600), at = rnd(DISK_BLOCKS - n + 1);
        uint64_t n_bytes = n * BLOCK, offset = at * BLOCK;
        switch (rnd(6)) {
        case 0:
        case 1:
            for (uint64_t k = 0; k < n_bytes; k++)
                buf[k] = (uint8_t)rnd(256);
            CHECK(bdev_write(d->ch, buf, offset, n_bytes, rnd(2) ? BDEV_FUA : 0) == 0);
            memcpy(model + offset, buf, n_bytes);
            break;
        case 2:
            CHECK(bdev_write_zeroes(d->ch, offset, n_bytes, 0) == 0);
            memset(model + offset, 0, n_bytes);
            break;
        case 3:
            CHECK(bdev_unmap(d->ch, offset, n_bytes) == 0);
            memset(model + offset, 0, n_bytes); /* malloc says so */
            break;
        case 4:
            CHECK(bdev_flush(d->ch) == 0);
            break;
        default:
            CHECK(bdev_read(d->ch, buf, offset, n_bytes) == 0);
            CHECK(memcmp(buf, model + offset, n_bytes) == 0, "read of %u blocks at %u", (unsigned)n,
                  (unsigned)at);
        }
    }
    compare_disk(d, model);
    /* compare, and compare-and-write as one */
    memset(buf, 0x11, 2 * BLOCK);
    CHECK(bdev_write(d->ch, buf, 0, BLOCK, 0) == 0);
    CHECK(compare_io(d, BDEV_COMPARE, 0, BLOCK, buf, NULL) == 0);
    CHECK(compare_io(d, BDEV_COMPARE, BLOCK, BLOCK, memset(buf + BLOCK, 0x77, BLOCK), NULL) ==
          -EILSEQ);
    memset(buf + BLOCK, 0x22, BLOCK);
    CHECK(compare_io(d, BDEV_COMPARE_AND_WRITE, 0, BLOCK, buf, buf + BLOCK) == 0);
    CHECK(compare_io(d, BDEV_COMPARE_AND_WRITE, 0, BLOCK, buf, buf + BLOCK) == -EILSEQ);
    CHECK(compare_io(d, BDEV_COMPARE, 0, BLOCK, buf + BLOCK, NULL) == 0);
    rt_buf_put(buf, DISK_BLOCKS * BLOCK);
    free(model);
}

static int body_io(void *arg)
{
    struct nvme_world w;
    struct disk d;
    world_up(&w);
    attach_ok(&w, arg);
    disk_open(&w, "nn1", &d);
    random_ops(&d, 400);
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_get_controllers", "{\"name\":\"n\"}");
    rpc_ok(&w, "bdev_nvme_get_controller_health_info", "{\"name\":\"n\"}");
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    CHECK(!bdev_find(w.bdevs, "nn1"));
    world_down(&w);
    return 0;
}

static void test_io(void **state)
{
    static const char *const variants[] = {"", ",\"hdgst\":true", ",\"ddgst\":true",
                                           ",\"hdgst\":true,\"ddgst\":true"};
    (void)state;
    for (unsigned i = 0; i < ASH_N_ELEMS(variants); i++) {
        rnd_state = i + 1;
        in_seeded_world(body_io, (void *)(uintptr_t)variants[i], i + 1, 1 + i);
    }
}

/* ---------------------------------------------------- connections that are cut */

/* A script with an oracle: each block is written with growing numbers; after an acknowledged write
 * no older number may be read, and nothing that was not written. */
enum { N_SCRIPT_BLOCKS = 4, N_ROUNDS = 3 };

struct script {
    enum wire_trick trick;
    enum wire_side side;
    uint64_t at;
    const char *more;
    uint64_t n_bytes[2]; /* how many have gone: where the next run may cut */
};

static void fill(uint8_t *block, unsigned idx, unsigned number)
{
    memset(block, (int)(number * 16 + idx), BLOCK);
}

static int body_script(void *arg)
{
    struct script *sc = arg;
    struct nvme_world w;
    struct disk d;
    uint8_t *buf = NULL;
    world_up(&w);
    w.wire.trick = sc->trick;
    w.wire.side = sc->side;
    w.wire.at = sc->at;
    unsigned n_tries = 0;
    while (try_attach(&w, sc->more) != 0) /* the first attempt may be the one that is hit */
        CHECK(++n_tries < 3);
    disk_open(&w, "nn1", &d);
    buf = rt_buf_get(N_SCRIPT_BLOCKS * 40 * BLOCK);
    for (unsigned round = 1; round <= N_ROUNDS; round++) {
        for (unsigned i = 0; i < N_SCRIPT_BLOCKS; i++) {
            fill(buf, i, round);
            CHECK(bdev_write(d.ch, buf, i * BLOCK, BLOCK, 0) == 0);
        }
        CHECK(bdev_flush(d.ch) == 0);
        CHECK(bdev_read(d.ch, buf, 0, N_SCRIPT_BLOCKS * BLOCK) == 0);
        for (unsigned i = 0; i < N_SCRIPT_BLOCKS; i++) {
            uint8_t want[BLOCK];
            fill(want, i, round);
            CHECK(memcmp(buf + i * BLOCK, want, BLOCK) == 0, "block %u of round %u", i, round);
        }
    }
    /* one that goes by R2T */
    memset(buf, 0xA5, 40 * BLOCK);
    CHECK(bdev_write(d.ch, buf, 100 * BLOCK, 40 * BLOCK, 0) == 0);
    memset(buf, 0, 40 * BLOCK);
    CHECK(bdev_read(d.ch, buf, 100 * BLOCK, 40 * BLOCK) == 0);
    for (unsigned i = 0; i < 40 * BLOCK; i++)
        CHECK(buf[i] == 0xA5);
    CHECK(sc->trick == WIRE_PASS || w.wire.is_played || w.wire.n_bytes[sc->side] <= sc->at);
    rt_buf_put(buf, N_SCRIPT_BLOCKS * 40 * BLOCK);
    disk_close(&d);
    sc->n_bytes[0] = w.wire.n_bytes[0];
    sc->n_bytes[1] = w.wire.n_bytes[1];
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    world_down(&w);
    return 0;
}

/* step: every so many bytes; NVME_CUT_STEP=1 plays every one. */
static void play_everywhere(enum wire_trick trick, const char *more, unsigned step)
{
    const char *env = getenv("NVME_CUT_STEP");
    struct script sc = {.trick = WIRE_PASS, .more = more};
    in_seeded_world(body_script, &sc, 1, 1);
    uint64_t n_bytes[2] = {sc.n_bytes[0], sc.n_bytes[1]};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    step = step * 5 + 1; /* they take their time */
#endif
    if (env)
        step = (unsigned)atoi(env);
    for (int side = 0; side < 2; side++)
        for (uint64_t at = 0; at < n_bytes[side]; at += step) {
            sc = (struct script){
                .trick = trick, .side = (enum wire_side)side, .at = at, .more = more};
            if (getenv("NVME_VERBOSE"))
                fprintf(stderr, "side %d at %llu\n", side, (unsigned long long)at);
            in_seeded_world(body_script, &sc, 1 + at, 1);
        }
    printf("# %llu + %llu bytes, every %u played\n", (unsigned long long)n_bytes[0],
           (unsigned long long)n_bytes[1], step);
}

#define RETRY ",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1"

static void test_cut_everywhere(void **state)
{
    (void)state;
    play_everywhere(WIRE_CUT, RETRY, 23);
}

static void test_flip_everywhere(void **state)
{
    (void)state;
    play_everywhere(WIRE_FLIP, RETRY ",\"hdgst\":true,\"ddgst\":true", 23);
}

/* The peer is there and says nothing: found out by keep-alive and command limits. */
static void test_stall(void **state)
{
    (void)state;
    play_everywhere(WIRE_STALL, RETRY, 101);
}

/* One byte at a time, from both sides. */
static int body_slow(void *arg)
{
    struct nvme_world w;
    struct disk d;
    (void)arg;
    world_up(&w);
    w.wire.is_slow = true;
    attach_ok(&w, ",\"hdgst\":true,\"ddgst\":true");
    disk_open(&w, "nn1", &d);
    uint8_t *buf = rt_buf_get(64 * BLOCK);
    memset(buf, 0x3C, 64 * BLOCK);
    CHECK(bdev_write(d.ch, buf, 0, 64 * BLOCK, BDEV_FUA) == 0);
    memset(buf, 0, 64 * BLOCK);
    CHECK(bdev_read(d.ch, buf, 0, 64 * BLOCK) == 0);
    for (unsigned i = 0; i < 64 * BLOCK; i++)
        CHECK(buf[i] == 0x3C);
    rt_buf_put(buf, 64 * BLOCK);
    disk_close(&d);
    world_down(&w); /* the engine takes the controller with it */
    return 0;
}

static void test_slow(void **state)
{
    (void)state;
    in_seeded_world(body_slow, NULL, 3, 1);
}

/* -------------------------------------------------- writers while connections go */

enum { N_WRITERS = 6, N_WRITES = 60 };

struct writer {
    struct disk *d;
    unsigned idx, number;
    unsigned *n_left;
    struct rt_waitq *q;
};

static void writer_task(void *arg)
{
    struct writer *wr = arg;
    uint8_t *buf = rt_buf_get(8 * BLOCK);
    for (wr->number = 1; wr->number <= N_WRITES; wr->number++) {
        memset(buf, (int)(wr->number + wr->idx * 64), 8 * BLOCK);
        CHECK(bdev_write(wr->d->ch, buf, wr->idx * 8 * BLOCK, 8 * BLOCK, 0) == 0);
        memset(buf, 0, 8 * BLOCK);
        CHECK(bdev_read(wr->d->ch, buf, wr->idx * 8 * BLOCK, 8 * BLOCK) == 0);
        for (unsigned i = 0; i < 8 * BLOCK; i++)
            CHECK(buf[i] == (uint8_t)(wr->number + wr->idx * 64), "writer %u: lost write %u",
                  wr->idx, wr->number);
    }
    rt_buf_put(buf, 8 * BLOCK);
    --*wr->n_left;
    rt_waitq_wake_all(wr->q);
}

static void add_path(struct nvme_world *w, const char *traddr)
{
    char params[512];
    snprintf(params, sizeof(params),
             "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"%s\",\"trsvcid\":\"4420\","
             "\"subnqn\":\"" NQN "\",\"num_io_queues\":1" RETRY "}",
             traddr);
    rpc_ok(w, "bdev_nvme_attach_controller", params);
}

static int body_under_load(void *arg)
{
    bool two_paths = arg != NULL;
    struct nvme_world w;
    struct wire other = {0};
    struct disk d;
    struct writer writers[N_WRITERS];
    unsigned n_left = N_WRITERS;
    struct rt_waitq q;
    rt_waitq_init(&q);
    world_up(&w);
    attach_ok(&w, RETRY);
    if (two_paths) {
        wire_open(&other, "tcp://127.0.0.3:4420");
        add_path(&w, "127.0.0.3");
        CHECK(rpc_fails(&w, "bdev_nvme_attach_controller", ATTACH_BASE RETRY "}", "NVME_EXISTS"));
    }
    disk_open(&w, "nn1", &d);
    for (unsigned i = 0; i < N_WRITERS; i++) {
        writers[i] = (struct writer){&d, i, 0, &n_left, &q};
        CHECK(rt_task_spawn("writer", writer_task, &writers[i]) == 0);
    }
    unsigned n_cuts = 0;
    while (n_left) {
        rt_sleep_ns(300000 + rnd(3000000));
        wire_cut_all(two_paths && rnd(2) ? &other : &w.wire);
        n_cuts++;
    }
    CHECK(n_cuts > 3);
    disk_close(&d);
    if (two_paths) {
        rpc_ok(&w, "bdev_nvme_detach_controller",
               "{\"name\":\"n\",\"traddr\":\"127.0.0.3\",\"trsvcid\":\"4420\"}");
        CHECK(bdev_find(w.bdevs, "nn1"));
    }
    rpc_ok(&w, "bdev_nvme_reset_controller", "{\"name\":\"n\"}");
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    CHECK(!bdev_find(w.bdevs, "nn1"));
    if (two_paths)
        wire_close(&other);
    world_down(&w);
    return 0;
}

static void test_reconnect_under_load(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        rnd_state = seed;
        in_seeded_world(body_under_load, NULL, seed, 1 + seed % 3);
    }
}

static void test_two_paths_under_load(void **state)
{
    static char yes;
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        rnd_state = seed;
        in_seeded_world(body_under_load, &yes, seed, 1 + seed % 3);
    }
}

/* ---------------------------------------------------------------------- ANA */

static void set_ana(struct nvme_world *w, const char *traddr, const char *ana)
{
    char params[512];
    snprintf(params, sizeof(params),
             "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"adrfam\":\"IPv4\","
             "\"traddr\":\"%s\",\"trsvcid\":\"4420\"},\"ana_state\":\"%s\"}",
             traddr, ana);
    rpc_ok(w, "nvmf_subsystem_listener_set_ana_state", params);
}

static int body_ana(void *arg)
{
    struct nvme_world w;
    struct disk d;
    uint8_t buf[BLOCK];
    (void)arg;
    world_up(&w);
    /* two listeners of the target itself: states are a listener's */
    rpc_ok(&w, "nvmf_subsystem_add_listener",
           "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"adrfam\":\"IPv4\","
           "\"traddr\":\"127.0.0.9\",\"trsvcid\":\"4420\"}}");
    add_path(&w, "127.0.0.1");
    add_path(&w, "127.0.0.9");
    disk_open(&w, "nn1", &d);
    static const char *const steps[][2] = {
        {"optimized", "optimized"},        {"inaccessible", "optimized"},
        {"inaccessible", "non_optimized"}, {"optimized", "inaccessible"},
        {"non_optimized", "optimized"},    {"optimized", "optimized"}};
    for (unsigned i = 0; i < ASH_N_ELEMS(steps); i++) {
        set_ana(&w, "127.0.0.1", steps[i][0]);
        set_ana(&w, "127.0.0.9", steps[i][1]);
        for (unsigned k = 0; k < 5; k++) {
            memset(buf, (int)(i * 8 + k), BLOCK);
            CHECK(bdev_write(d.ch, buf, k * BLOCK, BLOCK, 0) == 0, "step %u", i);
            memset(buf, 0, BLOCK);
            CHECK(bdev_read(d.ch, buf, k * BLOCK, BLOCK) == 0 && buf[7] == i * 8 + k);
            rt_sleep_ns(SECOND / 10);
        }
    }
    /* nowhere: held, then failed; and back when it returns */
    set_ana(&w, "127.0.0.1", "inaccessible");
    set_ana(&w, "127.0.0.9", "inaccessible");
    rt_sleep_ns(SECOND);
    uint64_t begin = rt_now_ns();
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == -EIO);
    CHECK(rt_now_ns() - begin >= 29 * SECOND && rt_now_ns() - begin < 40 * SECOND);
    set_ana(&w, "127.0.0.9", "optimized");
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == 0);
    disk_close(&d);
    world_down(&w);
    return 0;
}

static void test_ana(void **state)
{
    (void)state;
    in_seeded_world(body_ana, NULL, 5, 2);
}

/* ------------------------------------------------- namespaces that come and go */

static void await_bdev(struct nvme_world *w, const char *name, bool there)
{
    for (unsigned i = 0; !!bdev_find(w->bdevs, name) != there; i++) {
        CHECK(i < 500, "%s", name);
        rt_sleep_ns(SECOND / 10);
    }
}

static int body_namespaces(void *arg)
{
    struct nvme_world w;
    struct disk d;
    uint8_t buf[BLOCK] = {0};
    (void)arg;
    world_up(&w);
    attach_ok(&w, RETRY);
    rpc_ok(&w, "bdev_null_create", "{\"name\":\"m1\",\"num_blocks\":4096,\"block_size\":512}");
    rpc_ok(&w, "nvmf_subsystem_add_ns",
           "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m1\",\"nsid\":7,"
           "\"uuid\":\"31111111-2222-3333-4444-555555555555\"}}");
    await_bdev(&w, "nn7", true);
    disk_open(&w, "nn7", &d);
    CHECK(bdev_desc_bdev(d.desc)->size_bytes == 4096 * 512);
    CHECK(bdev_write(d.ch, buf, 0, BLOCK, 0) == 0);
    rpc_ok(&w, "bdev_null_resize", "{\"name\":\"m1\",\"new_size\":4}");
    for (unsigned i = 0; bdev_desc_bdev(d.desc)->size_bytes != 4u << 20; i++) {
        CHECK(i < 500);
        rt_sleep_ns(SECOND / 10);
    }
    CHECK(bdev_write(d.ch, buf, (4u << 20) - BLOCK, BLOCK, 0) == 0);
    rpc_ok(&w, "nvmf_subsystem_remove_ns", "{\"nqn\":\"" NQN "\",\"nsid\":7}");
    while (!d.is_removed)
        rt_waitq_wait(&d.gone_q);
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) < 0); /* ends, somehow */
    disk_close(&d);
    await_bdev(&w, "nn7", false);
    CHECK(bdev_find(w.bdevs, "nn1"));
    /* a subsystem that ends: the path goes to where nobody answers, and comes back */
    wire_cut_all(&w.wire);
    rt_sleep_ns(5 * SECOND);
    disk_open(&w, "nn1", &d);
    CHECK(bdev_write(d.ch, buf, 0, BLOCK, 0) == 0);
    disk_close(&d);
    world_down(&w);
    return 0;
}

static void test_namespaces(void **state)
{
    (void)state;
    in_seeded_world(body_namespaces, NULL, 6, 2);
}

/* ------------------------------------------------------------ giving up, refusing */

static int body_loss(void *arg)
{
    struct nvme_world w;
    struct disk d;
    uint8_t buf[BLOCK] = {0};
    (void)arg;
    world_up(&w);
    /* one try: the device stays and fails; a reset brings it back */
    attach_ok(&w, "");
    disk_open(&w, "nn1", &d);
    w.wire.is_closed = true;
    wire_cut_all(&w.wire);
    rt_sleep_ns(2 * SECOND);
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == -EIO);
    CHECK(rpc_fails(&w, "bdev_nvme_reset_controller", "{\"name\":\"n\"}", "NVME_CONNECT"));
    w.wire.is_closed = false;
    rpc_ok(&w, "bdev_nvme_reset_controller", "{\"name\":\"n\"}");
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == 0);
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    /* away for longer than the limit: the device goes, its users are told */
    attach_ok(&w, ",\"ctrlr_loss_timeout_sec\":20,\"reconnect_delay_sec\":2,"
                  "\"fast_io_fail_timeout_sec\":5");
    disk_open(&w, "nn1", &d);
    w.wire.is_closed = true;
    wire_cut_all(&w.wire);
    uint64_t begin = rt_now_ns();
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == -EIO);
    CHECK(rt_now_ns() - begin >= 4 * SECOND && rt_now_ns() - begin < 8 * SECOND);
    while (!d.is_removed)
        rt_waitq_wait(&d.gone_q);
    CHECK(rt_now_ns() - begin >= 19 * SECOND && rt_now_ns() - begin < 30 * SECOND);
    disk_close(&d);
    await_bdev(&w, "nn1", false);
    rt_sleep_ns(SECOND);
    CHECK(rpc_fails(&w, "bdev_nvme_get_controllers", "{\"name\":\"n\"}", "NVME_NOT_FOUND") == -19);
    world_down(&w);
    return 0;
}

static void test_loss(void **state)
{
    (void)state;
    in_seeded_world(body_loss, NULL, 7, 2);
}

struct bad {
    const char *params;
    int code;
    const char *reason;
};

#define AT(addr) "{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"" addr "\",\"subnqn\":\"" NQN "\""
static const struct bad bad_attach[] = {
    {"{}", -32603, NULL},
    {"{\"name\":\"x\",\"trtype\":\"TCP\"}", -32603, NULL},
    {"{\"name\":\"x\",\"trtype\":\"PCIe\",\"traddr\":\"0000:01:00.0\"}", -95, "NOT_SUPPORTED"},
    {"{\"name\":\"x\",\"trtype\":\"RDMA\",\"traddr\":\"1.2.3.4\",\"subnqn\":\"" NQN "\"}", -95,
     "NOT_SUPPORTED"},
    {"{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\"}", -22, "BAD_ARGUMENT"},
    {"{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"subnqn\":\"nonsense\"}", -22,
     "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"hostnqn\":\"me\"}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"adrfam\":\"IB\"}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"num_io_queues\":0}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"psk\":\"k\"}", -2, "NVME_KEY"},
    {AT("127.0.0.1") ",\"dhchap_key\":\"k\"}", -2, "NVME_KEY"},
    {AT("127.0.0.1") ",\"multipath\":\"maybe\"}", -32603, NULL},
    {AT("127.0.0.1") ",\"ctrlr_loss_timeout_sec\":-2}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"ctrlr_loss_timeout_sec\":-1}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"ctrlr_loss_timeout_sec\":5}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"ctrlr_loss_timeout_sec\":5,\"reconnect_delay_sec\":9}", -22,
     "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"reconnect_delay_sec\":1}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"fast_io_fail_timeout_sec\":1}", -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"ctrlr_loss_timeout_sec\":9,\"reconnect_delay_sec\":3,\"fast_io_fail_"
                     "timeout_sec\":2}",
     -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"ctrlr_loss_timeout_sec\":9,\"reconnect_delay_sec\":3,\"fast_io_fail_"
                     "timeout_sec\":10}",
     -22, "BAD_ARGUMENT"},
    {AT("127.0.0.1") ",\"trsvcid\":\"1\"}", -111, "RT_SOCKET"},
    {"{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
     "\"subnqn\":\"nqn.2016-06.io.spdk:nobody\"}",
     -19, "NVME_NO_SUBSYSTEM"},
    {"{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"subnqn\":\"" NVME_DISCOVERY_NQN
     "\"}",
     -71, "NVME_PROTOCOL"},
    {"{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"subnqn\":\"" NQN
     "\",\"multipath\":\"disable\"}",
     -114, "NVME_EXISTS"},
    {"{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
     "\"subnqn\":\"nqn.2016-06.io.spdk:other\"}",
     -22, "BAD_ARGUMENT"},
};

static const char *const bad_uris[] = {
    "nvmf:///" NQN,
    "nvmf://127.0.0.1",
    "nvmf://127.0.0.1:4420/",
    "nvmf://127.0.0.1:4420/a/b",
    "nvmf://127.0.0.1:4420/nonsense",
    "nvmf://[::1/" NQN,
    "nvmf://127.0.0.1:/" NQN,
    "nvmf://127.0.0.1:123456/" NQN,
    "nvmf://127.0.0.1:4420/" NQN "?hostnqn=x",
    "nvmf://127.0.0.1:4420/" NQN "?queues=0",
    "nvmf://127.0.0.1:4420/" NQN "?queues=many",
    "nvmf://127.0.0.1:4420/" NQN "?loss_timeout_sec=-2",
    "nvmf://127.0.0.1:4420/" NQN "?what=ever",
    "nvmf+rdma://127.0.0.1:4420/" NQN,
    "nvmf://127.0.0.1:4420/nqn.2016-06.io.spdk:nobody",
    "nvmf://127.0.0.1:1/" NQN,
};

static int body_bad(void *arg)
{
    struct nvme_world w;
    (void)arg;
    world_up(&w);
    attach_ok(&w, RETRY);
    for (unsigned i = 0; i < ASH_N_ELEMS(bad_attach); i++) {
        int code = rpc_fails(&w, "bdev_nvme_attach_controller", bad_attach[i].params,
                             bad_attach[i].reason);
        CHECK(code == bad_attach[i].code, "%s: %d", bad_attach[i].params, code);
    }
    for (unsigned i = 0; i < ASH_N_ELEMS(bad_uris); i++) {
        struct ash_err err = {0};
        char *name = NULL;
        CHECK(bdev_create_uri(w.bdevs, bad_uris[i], &name, &err) < 0, "%s", bad_uris[i]);
        CHECK(err.reason != ASH_OK && err.text[0], "%s", bad_uris[i]);
    }
    CHECK(rpc_fails(&w, "bdev_nvme_detach_controller", "{\"name\":\"x\"}", "NVME_NOT_FOUND") ==
          -19);
    CHECK(rpc_fails(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\",\"traddr\":\"9.9.9.9\"}",
                    "NVME_NOT_FOUND") == -6);
    CHECK(rpc_fails(&w, "bdev_nvme_reset_controller", "{\"name\":\"n\",\"cntlid\":999}",
                    "NVME_NOT_FOUND") == -19);
    /* hosts that are not let in */
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    rpc_ok(&w, "nvmf_subsystem_allow_any_host", "{\"nqn\":\"" NQN "\",\"allow_any_host\":false}");
    CHECK(rpc_fails(&w, "bdev_nvme_attach_controller", AT("127.0.0.1") "}", "NVME_HOST_REFUSED") ==
          -13);
    rpc_ok(&w, "nvmf_subsystem_add_host",
           "{\"nqn\":\"" NQN "\",\"host\":\"nqn.2016-06.io.ashlar:me\"}");
    rpc_ok(&w, "bdev_nvme_attach_controller",
           "{\"name\":\"n2\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
           "\"hostnqn\":\"nqn.2016-06.io.ashlar:me\",\"num_io_queues\":1,\"subnqn\":\"" NQN "\"}");
    rpc_ok(&w, "bdev_nvme_set_hotplug", "{\"enable\":false}");
    rpc_ok(&w, "nvme_discover", "{\"traddr\":\"127.0.0.1\",\"trsvcid\":\"4420\"}");
    CHECK(rpc_fails(&w, "nvme_discover", "{\"traddr\":\"127.0.0.1\",\"trsvcid\":\"2\"}",
                    "RT_SOCKET") == -111);
    world_down(&w);
    return 0;
}

static void test_bad(void **state)
{
    (void)state;
    in_seeded_world(body_bad, NULL, 8, 1);
}

static int body_uri(void *arg)
{
    static const char uri[] = "nvmf://127.0.0.1:4420/" NQN "?hdgst&ddgst";
    struct nvme_world w;
    struct ash_err err = {0};
    struct disk d;
    char *name = NULL;
    (void)arg;
    world_up(&w);
    CHECK(bdev_create_uri(w.bdevs, uri, &name, &err) == 0, "%s", err.text);
    CHECK(strcmp(name, "127.0.0.1:4420/" NQN "n1") == 0, "%s", name);
    disk_open(&w, uri, &d); /* also by the text */
    random_ops(&d, 50);
    disk_close(&d);
    rt_free(name);
    CHECK(bdev_create_uri(w.bdevs, uri, &name, &err) == -EEXIST);
    CHECK(bdev_destroy_uri(w.bdevs, uri, NULL) == 0);
    CHECK(bdev_destroy_uri(w.bdevs, uri, NULL) < 0);
    world_down(&w);
    return 0;
}

static void test_uri(void **state)
{
    (void)state;
    rnd_state = 9;
    in_seeded_world(body_uri, NULL, 9, 2);
}

/* ---------------------------------------------------------- seeds for fuzz_nvme */

struct record {
    const char *dir;
    unsigned digests;
};

static void record_use(struct disk *d)
{
    uint8_t *buf = rt_buf_get(16 * BLOCK);
    memset(buf, 1, 16 * BLOCK);
    CHECK(bdev_write(d->ch, buf, 0, BLOCK, 0) == 0);
    CHECK(bdev_read(d->ch, buf, 0, 16 * BLOCK) == 0);
    CHECK(bdev_write(d->ch, buf, 0, 16 * BLOCK, BDEV_FUA) == 0);
    CHECK(bdev_write_zeroes(d->ch, 0, BLOCK, 0) == 0);
    CHECK(bdev_unmap(d->ch, 0, BLOCK) == 0);
    CHECK(bdev_flush(d->ch) == 0);
    rt_buf_put(buf, 16 * BLOCK);
}

static int body_record(void *arg)
{
    const struct record *r = arg;
    struct nvme_world w;
    struct disk d;
    char more[64], path[512];
    world_up(&w);
    w.wire.is_recorded = true;
    snprintf(more, sizeof(more), ",\"hdgst\":%s,\"ddgst\":%s", r->digests & 1 ? "true" : "false",
             r->digests & 2 ? "true" : "false");
    attach_ok(&w, more);
    disk_open(&w, "nn1", &d);
    record_use(&d);
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    snprintf(path, sizeof(path), "%s/attach%u", r->dir, r->digests);
    FILE *f = fopen(path, "w");
    CHECK(f, "%s", path);
    fputc((int)r->digests, f);
    for (unsigned i = 0; i < w.wire.n_links; i++) {
        size_t n = ASH_MIN(w.wire.links[i]->n_said, (size_t)65535);
        fputc((int)(n & 255), f);
        fputc((int)(n >> 8), f);
        CHECK(fwrite(w.wire.links[i]->said, 1, n, f) == n);
    }
    CHECK(fclose(f) == 0);
    world_down(&w);
    return 0;
}

static int record_all(const char *dir)
{
    for (unsigned digests = 0; digests < 4; digests++) {
        struct record r = {dir, digests};
        in_seeded_world(body_record, &r, 1, 1);
    }
    return 0;
}

/* One argument: only this test. --record DIR: seeds for fuzz_nvme. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_io),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_flip_everywhere),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_reconnect_under_load),
        cmocka_unit_test(test_two_paths_under_load),
        cmocka_unit_test(test_ana),
        cmocka_unit_test(test_namespaces),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_uri),
    };
    if (argc == 3 && strcmp(argv[1], "--record") == 0)
        return record_all(argv[2]);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
