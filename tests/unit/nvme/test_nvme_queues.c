/* SPDX-License-Identifier: Apache-2.0 */
/* Our initiator with several queues and many namespaces, and how it waits between attempts. */
#include "nvme_test.h"

enum { N_REACTORS = 4, N_ROUNDS = 60, AREA_BLOCKS = 64 };

/* ------------------------------------------------------ I/O from each reactor */

struct worker {
    struct bdev_desc *desc;
    unsigned idx;
    struct rt_event over;
};

/* Writes and reads its own area from its own reactor; no acknowledged write is lost. */
static int work(void *arg)
{
    struct worker *wk = arg;
    struct bdev_channel *ch = bdev_channel_get(wk->desc);
    CHECK(ch);
    uint8_t *buf = rt_buf_get(AREA_BLOCKS * BLOCK);
    for (unsigned round = 1; round <= N_ROUNDS; round++) {
        uint64_t n = (1 + round % AREA_BLOCKS) * BLOCK, at = wk->idx * AREA_BLOCKS * BLOCK;
        memset(buf, (int)(round + wk->idx * 64), n);
        CHECK(bdev_write(ch, buf, at, n, 0) == 0);
        memset(buf, 0, n);
        CHECK(bdev_read(ch, buf, at, n) == 0);
        for (uint64_t i = 0; i < n; i++)
            CHECK(buf[i] == (uint8_t)(round + wk->idx * 64), "reactor %u round %u", wk->idx, round);
    }
    rt_buf_put(buf, AREA_BLOCKS * BLOCK);
    bdev_channel_put(ch);
    return 0;
}

static void worker_task(void *arg)
{
    struct worker *wk = arg;
    rt_event_set(&wk->over, rt_call_on(rt_reactor(rt_world(), wk->idx), "worker", work, wk));
}

/* How many I/O queues the target has, and how many of its reactors have worked. */
static void ask_target(struct nvme_world *w, unsigned *ret_queues, unsigned *ret_workers)
{
    struct json_object *reply = client_call(
        &w->s.c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nvmf_get_stats\",\"params\":{}}\n");
    struct json_object *groups = member(member(reply, "result"), "poll_groups");
    *ret_queues = *ret_workers = 0;
    for (size_t i = 0; i < json_object_array_length(groups); i++) {
        struct json_object *g = json_object_array_get_idx(groups, i);
        *ret_queues += (unsigned)json_object_get_int(member(g, "current_io_qpairs"));
        *ret_workers += json_object_get_int(member(g, "completed_nvme_io")) > N_ROUNDS;
    }
    json_object_put(reply);
}

struct variant {
    unsigned n_queues;
    bool cuts;
};

static int body_queues(void *arg)
{
    const struct variant *v = arg;
    struct nvme_world w;
    struct disk d;
    struct worker workers[N_REACTORS];
    unsigned n_queues, n_workers;
    char params[512];
    world_up(&w);
    snprintf(params, sizeof(params),
             "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.2\",\"trsvcid\":\"4420\","
             "\"subnqn\":\"" NQN "\",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1,"
             "\"num_io_queues\":%u}",
             v->n_queues);
    rpc_ok(&w, "bdev_nvme_attach_controller", params);
    disk_open(&w, "nn1", &d);
    for (unsigned i = 0; i < N_REACTORS; i++) {
        workers[i] = (struct worker){d.desc, i, RT_EVENT_INIT};
        CHECK(rt_task_spawn("worker", worker_task, &workers[i]) == 0);
    }
    for (unsigned i = 0; v->cuts && i < 20; i++) {
        rt_sleep_ns(500000 + i * 100000);
        wire_cut_all(&w.wire);
    }
    for (unsigned i = 0; i < N_REACTORS; i++)
        CHECK(rt_event_wait(&workers[i].over) == 0);
    ask_target(&w, &n_queues, &n_workers);
    CHECK(v->cuts || (n_queues == v->n_queues && n_workers == v->n_queues), "%u queues on %u",
          n_queues, n_workers);
    disk_close(&d);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    world_down(&w);
    return 0;
}

static void test_queues(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= N_REACTORS; n++)
        in_seeded_world(body_queues, &(struct variant){n, false}, n, N_REACTORS);
}

/* On threads and sockets of this machine; the port may be somebody else's. */
static int body_real(void *arg)
{
    static const char *const addresses[] = {"tcp://127.0.0.1:4420", "tcp://127.0.0.2:4420"};
    for (unsigned i = 0; i < ASH_N_ELEMS(addresses); i++) {
        struct rt_sock *sock;
        if (rt_listen(addresses[i], 0600, &sock, NULL) != 0) {
            printf("# %s is in use: not tried\n", addresses[i]);
            return 0;
        }
        rt_sock_close(sock);
    }
    return body_queues(arg);
}

static void in_real_world(enum rt_backend backend, const struct variant *v)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = backend;
    opts.n_reactors = N_REACTORS;
    opts.spin_limit_ns = 0;
    int rc = rt_create(&opts, &rt, NULL);
    if (rc == -ENOSYS && backend == RT_BACKEND_URING) {
        printf("# no io_uring here\n");
        return;
    }
    CHECK(rc == 0);
    CHECK(rt_run_task(rt, "test", body_real, (void *)(uintptr_t)v) == 0);
    rt_destroy(rt);
}

static void test_queues_epoll(void **state)
{
    (void)state;
    in_real_world(RT_BACKEND_EPOLL, &(struct variant){N_REACTORS, false});
    in_real_world(RT_BACKEND_EPOLL, &(struct variant){2, true});
}

static void test_queues_uring(void **state)
{
    (void)state;
    in_real_world(RT_BACKEND_URING, &(struct variant){N_REACTORS, false});
    in_real_world(RT_BACKEND_URING, &(struct variant){2, true});
}

static void test_queues_cut(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++)
        in_seeded_world(body_queues, &(struct variant){1 + seed % N_REACTORS, true}, seed,
                        N_REACTORS);
}

/* ----------------------------------------------------------- many namespaces */

enum { N_MANY = 300 };

static unsigned n_devices(struct nvme_world *w)
{
    unsigned n = 0;
    char name[16];
    for (unsigned i = 1; i <= N_MANY; i++) {
        snprintf(name, sizeof(name), "nn%u", i);
        n += bdev_find(w->bdevs, name) != NULL;
    }
    return n;
}

static int body_many(void *arg)
{
    struct nvme_world w;
    char params[512];
    (void)arg;
    world_up(&w);
    rpc_ok(&w, "nvmf_create_subsystem",
           "{\"nqn\":\"" NQN "m\",\"allow_any_host\":true,\"max_namespaces\":300}");
    for (unsigned i = 1; i <= N_MANY; i++) {
        snprintf(params, sizeof(params), "{\"name\":\"z%u\",\"num_blocks\":%u,\"block_size\":512}",
                 i, 1000 + i);
        rpc_ok(&w, "bdev_null_create", params);
        snprintf(params, sizeof(params),
                 "{\"nqn\":\"" NQN "m\",\"namespace\":{\"bdev_name\":\"z%u\",\"nsid\":%u,"
                 "\"uuid\":\"31111111-2222-3333-4444-%012u\"}}",
                 i, i, i);
        rpc_ok(&w, "nvmf_subsystem_add_ns", params);
    }
    rpc_ok(&w, "nvmf_subsystem_add_listener",
           "{\"nqn\":\"" NQN "m\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
           "\"trsvcid\":\"4420\"}}");
#define MANY                                                                                       \
    "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.2\",\"trsvcid\":\"4420\","            \
    "\"subnqn\":\"" NQN "m\""
    rpc_ok(&w, "bdev_nvme_attach_controller", MANY ",\"max_bdevs\":7}");
    CHECK(n_devices(&w) == 7, "%u", n_devices(&w));
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    CHECK(n_devices(&w) == 0);
    rpc_ok(&w, "bdev_nvme_attach_controller", MANY ",\"max_bdevs\":1000}");
    CHECK(n_devices(&w) == N_MANY, "%u", n_devices(&w));
    for (unsigned i = 1; i <= N_MANY; i++) { /* each is the one that it should be */
        struct bdev *bdev;
        snprintf(params, sizeof(params), "nn%u", i);
        bdev = bdev_find(w.bdevs, params);
        CHECK(bdev->size_bytes == (1000 + i) * 512);
    }
    for (unsigned i = 2; i <= N_MANY; i += 2) {
        snprintf(params, sizeof(params), "{\"nqn\":\"" NQN "m\",\"nsid\":%u}", i);
        rpc_ok(&w, "nvmf_subsystem_remove_ns", params);
    }
    for (unsigned i = 0; n_devices(&w) != N_MANY / 2; i++) {
        CHECK(i < 300, "%u", n_devices(&w));
        rt_sleep_ns(SECOND / 10);
    }
    CHECK(bdev_find(w.bdevs, "nn1") && !bdev_find(w.bdevs, "nn2"));
    world_down(&w);
    return 0;
}

static void test_many(void **state)
{
    (void)state;
    in_seeded_world(body_many, NULL, 1, 2);
}

/* ------------------------------------------------------------------ back-off */

/* Attempts after a loss: at once, then after 1, 2, 4, 8, 10, 10 s; or after what was said. */
static void expect_attempts(struct nvme_world *w, uint64_t from_ns, const unsigned *delays_s,
                            unsigned n)
{
    uint64_t at = from_ns;
    for (unsigned i = 0; i < n; i++) {
        at += delays_s[i] * SECOND;
        CHECK(w->wire.n_refused > i);
        uint64_t is = w->wire.refused_at_ns[i];
        CHECK(is + SECOND / 10 >= at && is <= at + SECOND / 10, "attempt %u after %llu ms", i,
              (unsigned long long)((is - from_ns) / 1000000));
        at = is;
    }
}

static int body_back_off(void *arg)
{
    static const unsigned growing[] = {0, 1, 2, 4, 8, 10, 10}, fixed[] = {0, 3, 3, 3};
    bool grows = arg != NULL;
    struct nvme_world w;
    struct ash_err err = {0};
    char *name = NULL;
    world_up(&w);
    if (grows)
        CHECK(bdev_create_uri(w.bdevs, "nvmf://127.0.0.2:4420/" NQN "?loss_timeout_sec=-1", &name,
                              &err) == 0,
              "%s", err.text);
    else
        attach_ok(&w, ",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":3");
    w.wire.is_closed = true;
    wire_cut_all(&w.wire);
    uint64_t begin = rt_now_ns();
    rt_sleep_ns(40 * SECOND);
    if (grows)
        expect_attempts(&w, begin, growing, ASH_N_ELEMS(growing));
    else
        expect_attempts(&w, begin, fixed, ASH_N_ELEMS(fixed));
    w.wire.is_closed = false;
    rt_free(name);
    world_down(&w);
    return 0;
}

static void test_back_off(void **state)
{
    static char yes;
    (void)state;
    in_seeded_world(body_back_off, &yes, 1, 1);
    in_seeded_world(body_back_off, NULL, 2, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queues),       cmocka_unit_test(test_queues_cut),
        cmocka_unit_test(test_queues_epoll), cmocka_unit_test(test_queues_uring),
        cmocka_unit_test(test_many),         cmocka_unit_test(test_back_off),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
