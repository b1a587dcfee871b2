/* SPDX-License-Identifier: Apache-2.0 */
/* TLS between our initiator and our target: who gets in with which key by which listener, and what
 * becomes of connections that are cut or whose bytes were changed. Keys: base/test_nvme_tls.c; the
 * stream: rt/test_tls.c. */
#include "nvme_test.h"

#define ME     "nqn.2016-06.io.ashlar:me"
#define OTHER  "nqn.2016-06.io.ashlar:other"
#define SECURE "127.0.0.1" /* port 4420 */
#define PLAIN  "127.0.0.3"
#define RETRY  ",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1"

static const char *const secrets[] = {
    "NVMeTLSkey-1:01:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:\n",
    "NVMeTLSkey-1:00:AgkQFx4lLDM6QUhPVl1ka3J5gIeOlZyjqrG4v8bN1Nuz7TWq:",
    "NVMeTLSkey-1:02:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3PkVMRdxyRQ==:",
    "DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:",
};

static void put_key(struct nvme_world *w, unsigned i)
{
    char path[16], params[128], text[512] = "";
    snprintf(path, sizeof(path), "/key%u", i);
    snprintf(text, sizeof(text), "%s", secrets[i]);
    struct rt_sim_disk *disk = rt_sim_disk_new(sizeof(text), 512);
    CHECK(rt_sim_disk_poke(disk, 0, text, sizeof(text)) == 0);
    CHECK(rt_sim_attach(rt_world(), path, disk) == 0);
    rt_sim_disk_put(disk);
    snprintf(params, sizeof(params), "{\"name\":\"k%u\",\"path\":\"%s\"}", i, path);
    rpc_ok(w, "keyring_file_add_key", params);
}

static void add_listener(struct nvme_world *w, const char *traddr, bool secure)
{
    char params[512];
    snprintf(params, sizeof(params),
             "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"%s\","
             "\"trsvcid\":\"4420\"},\"secure_channel\":%s}",
             traddr, secure ? "true" : "false");
    rpc_ok(w, "nvmf_subsystem_add_listener", params);
}

/* key -1: none */
static void allow(struct nvme_world *w, const char *host, int key)
{
    char params[512], psk[32] = "";
    if (key >= 0)
        snprintf(psk, sizeof(psk), ",\"psk\":\"k%d\"", key);
    snprintf(params, sizeof(params), "{\"nqn\":\"" NQN "\",\"host\":\"%s\"%s}", host, psk);
    rpc_ok(w, "nvmf_subsystem_add_host", params);
}

static void disallow(struct nvme_world *w, const char *host)
{
    char params[512];
    snprintf(params, sizeof(params), "{\"nqn\":\"" NQN "\",\"host\":\"%s\"}", host);
    rpc_ok(w, "nvmf_subsystem_remove_host", params);
}

/* A target that has the secure listener behind the wire (127.0.0.2) and a plain one. */
static void world_of_tls(struct nvme_world *w)
{
    world_up(w);
    for (unsigned i = 0; i < ASH_N_ELEMS(secrets); i++)
        put_key(w, i);
    rpc_ok(w, "nvmf_subsystem_allow_any_host", "{\"nqn\":\"" NQN "\",\"allow_any_host\":false}");
    rpc_ok(w, "nvmf_subsystem_remove_listener",
           "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"" SECURE "\","
           "\"trsvcid\":\"4420\"}}");
    add_listener(w, SECURE, true);
    add_listener(w, PLAIN, false);
}

static int attach_as(struct nvme_world *w, const char *host, const char *traddr, int key,
                     const char *more, const char *reason)
{
    char params[1024], psk[32] = "";
    if (key >= 0)
        snprintf(psk, sizeof(psk), ",\"psk\":\"k%d\"", key);
    snprintf(params, sizeof(params),
             "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"%s\",\"subnqn\":\"" NQN
             "\",\"hostnqn\":\"%s\"%s%s}",
             traddr, host, psk, more);
    return rpc_fails(w, "bdev_nvme_attach_controller", params, reason);
}

static void use(struct nvme_world *w, unsigned mark)
{
    enum { N = 300 * BLOCK };
    struct disk d;
    disk_open(w, "nn1", &d);
    uint8_t *buf = rt_buf_get(N);
    for (unsigned i = 0; i < N; i++)
        buf[i] = (uint8_t)(i * 13 + mark);
    CHECK(bdev_write(d.ch, buf, 0, N, 0) == 0);
    wire_cut_all(&w->wire);
    memset(buf, 0, N);
    CHECK(bdev_read(d.ch, buf, 0, N) == 0);
    for (unsigned i = 0; i < N; i++)
        CHECK(buf[i] == (uint8_t)(i * 13 + mark));
    rt_buf_put(buf, N);
    disk_close(&d);
}

/* ------------------------------------------------------------- who is let in */

static const struct row {
    int target, host;
    const char *traddr;
    const char *reason; /* NULL: it is let in */
} rows[] = {
    {0, 0, "127.0.0.2", NULL},
    {1, 1, "127.0.0.2", NULL},
    {2, 2, "127.0.0.2", NULL},
    {0, 1, "127.0.0.2", "NVME_TLS"},
    {0, 2, "127.0.0.2", "NVME_TLS"}, /* another hash, so another identity */
    {2, 0, "127.0.0.2", "NVME_TLS"},
    {-1, 0, "127.0.0.2", "NVME_TLS"},     /* a host that has no key here */
    {0, -1, "127.0.0.2", "NVME_CONNECT"}, /* who does not speak TLS */
    {-1, -1, "127.0.0.2", "NVME_CONNECT"},
    {-1, -1, PLAIN, NULL},
    {0, -1, PLAIN, "NVME_HOST_REFUSED"}, /* who has a key comes by TLS */
    {0, 0, PLAIN, "NVME_TLS"},
    {0, 3, "127.0.0.2", "NVME_KEY"}, /* a key, but not for TLS */
    {0, 7, "127.0.0.2", "NVME_KEY"},
};

static int body_rows(void *arg)
{
    struct nvme_world w;
    (void)arg;
    world_of_tls(&w);
    for (unsigned i = 0; i < ASH_N_ELEMS(rows); i++) {
        const struct row *r = &rows[i];
        allow(&w, ME, r->target);
        int code = attach_as(&w, ME, r->traddr, r->host, RETRY, r->reason);
        CHECK((code == 0) == (r->reason == NULL), "row %u: %d", i, code);
        if (code == 0) {
            use(&w, i + 1);
            rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
        }
        disallow(&w, ME);
    }
    world_down(&w);
    return 0;
}

static void test_rows(void **state)
{
    (void)state;
    for (unsigned n_reactors = 1; n_reactors <= 3; n_reactors++)
        in_seeded_world(body_rows, NULL, n_reactors, n_reactors);
}

/* ------------------------------------------------- cut, changed, silent, slow */

struct script {
    enum wire_trick trick;
    enum wire_side side;
    uint64_t at, n_bytes[2];
    bool is_slow;
};

static int body_script(void *arg)
{
    struct script *sc = arg;
    struct nvme_world w;
    struct disk d;
    unsigned n_tries = 0;
    world_of_tls(&w);
    allow(&w, ME, 0);
    w.wire.trick = sc->trick;
    w.wire.side = sc->side;
    w.wire.at = sc->at;
    w.wire.is_slow = sc->is_slow;
    while (attach_as(&w, ME, "127.0.0.2", 0, RETRY ",\"num_io_queues\":1", NULL) != 0)
        CHECK(++n_tries < 3);
    disk_open(&w, "nn1", &d);
    uint8_t *buf = rt_buf_get(64 * BLOCK);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            unsigned n = i == 3 ? 60 : 1;
            memset(buf, (int)(round * 16 + i), n * BLOCK);
            CHECK(bdev_write(d.ch, buf, i * BLOCK, n * BLOCK, 0) == 0);
        }
        CHECK(bdev_read(d.ch, buf, 0, 63 * BLOCK) == 0);
        for (unsigned i = 0; i < 63; i++)
            CHECK(buf[i * BLOCK + 99] == (uint8_t)(round * 16 + ASH_MIN(i, 3u)));
    }
    CHECK(sc->trick == WIRE_PASS || w.wire.is_played || w.wire.n_bytes[sc->side] <= sc->at);
    rt_buf_put(buf, 64 * BLOCK);
    disk_close(&d);
    sc->n_bytes[0] = w.wire.n_bytes[0];
    sc->n_bytes[1] = w.wire.n_bytes[1];
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    world_down(&w);
    return 0;
}

static void play_everywhere(enum wire_trick trick, unsigned step)
{
    const char *env = getenv("NVME_CUT_STEP");
    struct script sc = {.trick = WIRE_PASS};
    in_seeded_world(body_script, &sc, 1, 1);
    uint64_t n_bytes[2] = {sc.n_bytes[0], sc.n_bytes[1]};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    step *= 9;
#endif
    if (env)
        step = (unsigned)atoi(env);
    for (int side = 0; side < 2; side++)
        for (uint64_t at = 0; at < n_bytes[side]; at += step) {
            sc = (struct script){.trick = trick, .side = (enum wire_side)side, .at = at};
            in_seeded_world(body_script, &sc, 1 + at, 1);
        }
    printf("# %llu + %llu bytes, every %u played\n", (unsigned long long)n_bytes[0],
           (unsigned long long)n_bytes[1], step);
}

static void test_cut_everywhere(void **state)
{
    (void)state;
    play_everywhere(WIRE_CUT, 211);
}

/* A bit that is wrong anywhere ends the connection; nothing of it is taken for data. */
static void test_flip_everywhere(void **state)
{
    (void)state;
    play_everywhere(WIRE_FLIP, 211);
}

static void test_stall(void **state)
{
    (void)state;
    play_everywhere(WIRE_STALL, 1511);
}

static void test_slow(void **state)
{
    (void)state;
    in_seeded_world(body_script, &(struct script){.is_slow = true}, 3, 1);
}

/* ------------------------------------------------- whose key, and for what; keys that go */

static int body_names(void *arg)
{
    struct nvme_world w;
    (void)arg;
    world_of_tls(&w);
    /* one listener, two subsystems: a key is for one of them */
    rpc_ok(&w, "nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\"}");
    rpc_ok(&w, "nvmf_subsystem_add_listener",
           "{\"nqn\":\"" NQN "b\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"" SECURE
           "\",\"trsvcid\":\"4420\"},\"secure_channel\":true}");
    rpc_ok(&w, "nvmf_subsystem_add_host",
           "{\"nqn\":\"" NQN "b\",\"host\":\"" ME "\",\"psk\":\"k1\"}");
    allow(&w, ME, 0);
    allow(&w, OTHER, 1);
    CHECK(attach_as(&w, ME, SECURE, 1, RETRY, "NVME_TLS"));
    CHECK(attach_as(&w, OTHER, SECURE, 0, RETRY, "NVME_TLS"));
    CHECK(attach_as(&w, OTHER, SECURE, 1, RETRY, NULL) == 0);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    /* a host that is removed has no key any more, and is cut off */
    CHECK(attach_as(&w, ME, SECURE, 0, RETRY, NULL) == 0);
    use(&w, 1);
    disallow(&w, ME);
    CHECK(attach_as(&w, ME, SECURE, 0, RETRY, NULL) != 0);
    allow(&w, ME, 0);
    use(&w, 2);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    world_down(&w);
    return 0;
}

/* What a configuration says of it, and the discovery log. */
static int body_told(void *arg)
{
    struct nvme_world w;
    struct ash_err err = {0};
    struct ash_buf config = {0};
    (void)arg;
    world_of_tls(&w);
    allow(&w, ME, 0);
    CHECK(attach_as(&w, ME, SECURE, 0, RETRY, NULL) == 0);
    CHECK(jsonrpc_save_config(w.s.engine, &config, &err) == 0);
    const char *text = config.data, *host = strstr(text, "nvmf_subsystem_add_host");
    const char *listener = strstr(text, "nvmf_subsystem_add_listener");
    const char *path = strstr(text, "bdev_nvme_attach_controller");
    CHECK(host && strstr(host, "\"psk\":\"k0\"") < strchr(host, '}'), "%s", host);
    CHECK(listener && strstr(listener, "\"secure_channel\":true"), "%s", listener);
    CHECK(path && strstr(path, "\"psk\":\"k0\"") < strchr(path, '}'), "%s", path);
    CHECK(!strstr(text, "NVMeTLSkey"));
    ash_buf_free(&config);
    struct json_object *reply = client_call(
        &w.s.c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nvme_discover\",\"params\":{\"traddr\":"
                "\"" PLAIN "\",\"trsvcid\":\"4420\",\"hostnqn\":\"" ME "\"}}\n");
    struct json_object *log = member(reply, "result");
    CHECK(json_object_array_length(log) == 2);
    for (unsigned i = 0; i < 2; i++) {
        struct json_object *e = json_object_array_get_idx(log, i);
        bool is_plain = strcmp(json_object_get_string(member(e, "traddr")), PLAIN) == 0;
        CHECK(json_object_get_boolean(member(e, "secure_channel")) == !is_plain);
    }
    json_object_put(reply);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    world_down(&w);
    return 0;
}

static void test_told(void **state)
{
    (void)state;
    in_seeded_world(body_told, NULL, 7, 1);
}

static void test_names(void **state)
{
    (void)state;
    in_seeded_world(body_names, NULL, 5, 2);
}

static int body_bad(void *arg)
{
    static const struct {
        const char *method, *params, *reason;
        int code;
    } bad[] = {
        {"nvmf_subsystem_add_host", "{\"nqn\":\"" NQN "\",\"host\":\"" ME "\",\"psk\":\"k3\"}",
         "NVME_KEY", -32603},
        {"nvmf_subsystem_add_host", "{\"nqn\":\"" NQN "\",\"host\":\"" ME "\",\"psk\":\"no\"}",
         "NVME_KEY", -32603},
        {"nvmf_subsystem_add_listener",
         "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"127.0.0.8\"},"
         "\"secure_channel\":true}",
         "BAD_ARGUMENT", -32603}, /* any host may come */
        {"nvmf_subsystem_add_listener",
         "{\"nqn\":\"" NVME_DISCOVERY_NQN "\",\"listen_address\":{\"trtype\":\"TCP\","
         "\"traddr\":\"127.0.0.8\"},\"secure_channel\":true}",
         "BAD_ARGUMENT", -32603},
        {"nvmf_subsystem_add_listener",
         "{\"nqn\":\"" NQN "b\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
         "\"trsvcid\":\"4420\"},\"secure_channel\":true}",
         "EXPORT_EXISTS", -32602}, /* it is there without */
    };
    struct nvme_world w;
    (void)arg;
    world_up(&w);
    for (unsigned i = 0; i < ASH_N_ELEMS(secrets); i++)
        put_key(&w, i);
    rpc_ok(&w, "nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\"}");
    for (unsigned i = 0; i < ASH_N_ELEMS(bad); i++) {
        int code = rpc_fails(&w, bad[i].method, bad[i].params, bad[i].reason);
        CHECK(code == bad[i].code, "row %u: %d", i, code);
    }
    /* nothing of that has let a host in */
    rpc_ok(&w, "nvmf_subsystem_allow_any_host", "{\"nqn\":\"" NQN "\",\"allow_any_host\":false}");
    CHECK(attach_as(&w, ME, "127.0.0.1", -1, "", "NVME_HOST_REFUSED") == -13);
    world_down(&w);
    return 0;
}

static void test_bad(void **state)
{
    (void)state;
    in_seeded_world(body_bad, NULL, 6, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_flip_everywhere),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_bad),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
