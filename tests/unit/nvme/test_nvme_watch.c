/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery services that are watched, against our own target; and the list of ways to namespaces.
 */
#include "nvme_test.h"

#define NQN2 "nqn.2016-06.io.spdk:cnode2"
#define START                                                                                      \
    "{\"name\":\"d\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.2\",\"trsvcid\":\"4420\","            \
    "\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1"

static void await(struct nvme_world *w, const char *name, bool there)
{
    for (unsigned i = 0; !!bdev_find(w->bdevs, name) != there; i++) {
        CHECK(i < 300, "%s", name);
        rt_sleep_ns(SECOND / 10);
    }
}

static struct json_object *ask(struct nvme_world *w, const char *method, const char *params)
{
    char request[512];
    snprintf(request, sizeof(request),
             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method, params);
    struct json_object *reply = client_call(&w->s.c, request);
    CHECK(member(reply, "result"), "%s", json_object_to_json_string(reply));
    return reply;
}

static unsigned n_paths(struct nvme_world *w, const char *name)
{
    char params[64];
    snprintf(params, sizeof(params), "{\"name\":\"%s\"}", name);
    struct json_object *reply = ask(w, "bdev_nvme_get_controllers", params);
    struct json_object *c = json_object_array_get_idx(member(reply, "result"), 0);
    unsigned n = (unsigned)json_object_array_length(member(c, "ctrlrs"));
    json_object_put(reply);
    return n;
}

static void await_paths(struct nvme_world *w, const char *name, unsigned n)
{
    for (unsigned i = 0; n_paths(w, name) != n; i++) {
        CHECK(i < 300, "%u", n_paths(w, name));
        rt_sleep_ns(SECOND / 10);
    }
}

static void listener(struct nvme_world *w, const char *nqn, const char *traddr, bool there)
{
    char params[256];
    snprintf(params, sizeof(params),
             "{\"nqn\":\"%s\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"%s\","
             "\"trsvcid\":\"4420\"}}",
             nqn, traddr);
    rpc_ok(w, there ? "nvmf_subsystem_add_listener" : "nvmf_subsystem_remove_listener", params);
}

static void second_subsystem(struct nvme_world *w)
{
    rpc_ok(w, "bdev_malloc_create",
           "{\"name\":\"m1\",\"num_blocks\":2048,\"block_size\":512,"
           "\"uuid\":\"11111111-2222-3333-4444-555555555556\"}");
    rpc_ok(w, "nvmf_create_subsystem", "{\"nqn\":\"" NQN2 "\",\"allow_any_host\":true}");
    rpc_ok(w, "nvmf_subsystem_add_ns",
           "{\"nqn\":\"" NQN2 "\",\"namespace\":{\"bdev_name\":\"m1\","
           "\"uuid\":\"21111111-2222-3333-4444-555555555556\"}}");
    listener(w, NQN2, "127.0.0.1", true);
}

static int body_follows(void *arg)
{
    struct nvme_world w;
    struct disk d;
    uint8_t buf[BLOCK] = {0};
    (void)arg;
    world_up(&w);
    listener(&w, NVME_DISCOVERY_NQN, "127.0.0.1", true); /* the service stays when they go */
    rpc_ok(&w, "bdev_nvme_start_discovery", START ",\"wait_for_attach\":true}");
    CHECK(bdev_find(w.bdevs, "d0n1"));
    disk_open(&w, "d0n1", &d);
    CHECK(bdev_write(d.ch, buf, 0, BLOCK, 0) == 0);
    /* what comes: a subsystem, a path of one that is there */
    uint64_t begin = rt_now_ns();
    second_subsystem(&w);
    await(&w, "d1n1", true);
    listener(&w, NQN, "127.0.0.9", true);
    await_paths(&w, "d0", 2);
    CHECK(rt_now_ns() - begin < 2 * SECOND); /* by its event, not by a beat */
    CHECK(n_paths(&w, "d1") == 1);
    /* what goes: the first path, with I/O on it, then a subsystem */
    listener(&w, NQN, "127.0.0.1", false);
    await_paths(&w, "d0", 1);
    CHECK(bdev_write(d.ch, buf, 0, BLOCK, 0) == 0);
    rpc_ok(&w, "nvmf_delete_subsystem", "{\"nqn\":\"" NQN2 "\"}");
    await(&w, "d1n1", false);
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == 0);
    disk_close(&d);
    /* somebody detaches one: it comes back with the next change */
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"d0\"}");
    await(&w, "d0n1", false);
    listener(&w, NQN, "127.0.0.10", true);
    for (unsigned i = 0; !bdev_find(w.bdevs, "d2n1") && !bdev_find(w.bdevs, "d0n1"); i++) {
        CHECK(i < 100);
        rt_sleep_ns(SECOND / 10);
    }
    rpc_ok(&w, "bdev_nvme_stop_discovery", "{\"name\":\"d\"}");
    CHECK(!bdev_find(w.bdevs, "d0n1") && !bdev_find(w.bdevs, "d2n1"));
    CHECK(rpc_fails(&w, "bdev_nvme_stop_discovery", "{\"name\":\"d\"}", "NVME_NOT_FOUND") == -19);
    world_down(&w);
    return 0;
}

static void test_follows(void **state)
{
    (void)state;
    in_seeded_world(body_follows, NULL, 1, 2);
}

/* The service goes away and comes back: controllers stay, changes meanwhile are seen. */
static int body_away(void *arg)
{
    struct nvme_world w;
    (void)arg;
    world_up(&w);
    rpc_ok(&w, "bdev_nvme_start_discovery", START ",\"wait_for_attach\":true}");
    w.wire.is_closed = true;
    wire_cut_all(&w.wire);
    rt_sleep_ns(5 * SECOND);
    CHECK(bdev_find(w.bdevs, "d0n1"));
    second_subsystem(&w);
    rt_sleep_ns(5 * SECOND);
    CHECK(!bdev_find(w.bdevs, "d1n1"));
    w.wire.is_closed = false;
    await(&w, "d1n1", true);
    /* it falls silent: noticed by its keep alive */
    w.wire.trick = WIRE_STALL;
    w.wire.at = 0;
    rpc_ok(&w, "nvmf_delete_subsystem", "{\"nqn\":\"" NQN2 "\"}");
    await(&w, "d1n1", false);
    world_down(&w); /* with the service still watched */
    return 0;
}

static void test_away(void **state)
{
    (void)state;
    in_seeded_world(body_away, NULL, 2, 1);
}

static int body_bad(void *arg)
{
    static const struct {
        const char *params, *reason;
        int code;
    } bad[] = {
        {"{}", NULL, -32603},
        {"{\"name\":\"x\",\"trtype\":\"RDMA\",\"traddr\":\"127.0.0.1\"}", "NOT_SUPPORTED", -95},
        {"{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"hostnqn\":\"x\"}",
         "BAD_ARGUMENT", -22},
        {"{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
         "\"ctrlr_loss_timeout_sec\":-1}",
         "BAD_ARGUMENT", -22},
        {"{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"trsvcid\":\"1\","
         "\"wait_for_attach\":true}",
         "NVME_CONNECT", -111},
        {START "}", "NVME_EXISTS", -114},
    };
    struct nvme_world w;
    (void)arg;
    world_up(&w);
    rpc_ok(&w, "bdev_nvme_start_discovery", START "}");
    await(&w, "d0n1", true);
    for (unsigned i = 0; i < ASH_N_ELEMS(bad); i++) {
        int code = rpc_fails(&w, "bdev_nvme_start_discovery", bad[i].params, bad[i].reason);
        CHECK(code == bad[i].code, "row %u: %d", i, code);
    }
    /* nobody answers for as long as it is waited for */
    struct rt_sock *deaf;
    CHECK(rt_listen("tcp://127.0.4.4:8009", 0600, &deaf, NULL) == 0);
    uint64_t begin = rt_now_ns();
    CHECK(rpc_fails(&w, "bdev_nvme_start_discovery",
                    "{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.4.4\","
                    "\"wait_for_attach\":true,\"attach_timeout_ms\":3000}",
                    "NVME_CONNECT") == -110);
    CHECK(rt_now_ns() - begin >= 3 * SECOND);
    rt_sock_close(deaf);
    world_down(&w);
    return 0;
}

static void test_bad(void **state)
{
    (void)state;
    in_seeded_world(body_bad, NULL, 3, 2);
}

/* Stopped by another while somebody waits for its first look, which ends as the connection does;
 * and at once after its start. */
struct starter {
    struct nvme_world *w;
    struct rt_event over;
};

static void start_task(void *arg)
{
    struct starter *s = arg;
    struct client c;
    client_connect(s->w->s.srv, &c);
    struct json_object *reply = client_call(
        &c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"bdev_nvme_start_discovery\",\"params\":"
            "{\"name\":\"x\",\"trtype\":\"TCP\",\"traddr\":\"127.0.4.4\","
            "\"wait_for_attach\":true}}\n");
    CHECK(json_object_get_int(member(member(reply, "error"), "code")) == -110, "%s",
          json_object_to_json_string(reply));
    json_object_put(reply);
    client_close(&c);
    rt_event_set(&s->over, 0);
}

static int body_stopped(void *arg)
{
    struct nvme_world w;
    struct starter s = {&w, RT_EVENT_INIT};
    struct rt_sock *deaf;
    (void)arg;
    world_up(&w);
    CHECK(rt_listen("tcp://127.0.4.4:8009", 0600, &deaf, NULL) == 0);
    CHECK(rt_task_spawn("start", start_task, &s) == 0);
    rt_sleep_ns(SECOND);
    rpc_ok(&w, "bdev_nvme_stop_discovery", "{\"name\":\"x\"}");
    rt_event_wait(&s.over);
    rt_sock_close(deaf);
    for (unsigned i = 0; i < 5; i++) {
        rpc_ok(&w, "bdev_nvme_start_discovery", START "}");
        rt_sleep_ns(i * 100000);
        rpc_ok(&w, "bdev_nvme_stop_discovery", "{\"name\":\"d\"}");
        CHECK(!bdev_find(w.bdevs, "d0n1"));
    }
    world_down(&w);
    return 0;
}

static void test_stopped(void **state)
{
    (void)state;
    in_seeded_world(body_stopped, NULL, 6, 2);
}

/* Referrals are listed; the configuration has the service, not what it brought. */
static int body_told(void *arg)
{
    struct nvme_world w;
    struct ash_err err = {0};
    struct ash_buf config = {0};
    (void)arg;
    world_up(&w);
    rpc_ok(&w, "nvmf_discovery_add_referral",
           "{\"address\":{\"trtype\":\"TCP\",\"traddr\":\"192.0.2.1\",\"trsvcid\":\"8009\"}}");
    rpc_ok(&w, "bdev_nvme_start_discovery", START ",\"wait_for_attach\":true}");
    struct json_object *reply = ask(&w, "bdev_nvme_get_discovery_info", "{}");
    static const char want[] =
        "[{\"name\":\"d\",\"trid\":{\"trtype\":\"TCP\",\"adrfam\":\"IPv4\",\"traddr\":\"127.0.0."
        "2\","
        "\"trsvcid\":\"4420\",\"subnqn\":\"" NVME_DISCOVERY_NQN "\"},\"referrals\":[{\"trid\":"
        "{\"trtype\":\"TCP\",\"adrfam\":\"IPv4\",\"traddr\":\"192.0.2.1\",\"trsvcid\":\"8009\","
        "\"subnqn\":\"" NVME_DISCOVERY_NQN "\"}}]}]";
    const char *is = json_object_to_json_string_ext(
        member(reply, "result"), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    CHECK(strcmp(is, want) == 0, "%s", is);
    json_object_put(reply);
    CHECK(jsonrpc_save_config(w.s.engine, &config, &err) == 0);
    CHECK(strstr(config.data, "bdev_nvme_start_discovery"));
    CHECK(!strstr(config.data, "bdev_nvme_attach_controller"));
    ash_buf_free(&config);
    world_down(&w);
    return 0;
}

static void test_told(void **state)
{
    (void)state;
    in_seeded_world(body_told, NULL, 4, 1);
}

/* ------------------------------------------------------------------ io paths */

static bool flag(struct json_object *path, const char *name)
{
    return json_object_get_boolean(member(path, name));
}

/* For each reactor, the paths by address: current, connected, accessible. */
static void expect_paths(struct nvme_world *w, bool want[2][3])
{
    struct json_object *reply = ask(w, "bdev_nvme_get_io_paths", "{\"name\":\"nn1\"}");
    struct json_object *groups = member(member(reply, "result"), "poll_groups");
    CHECK(json_object_array_length(groups) == 2);
    for (unsigned g = 0; g < 2; g++) {
        struct json_object *list = member(json_object_array_get_idx(groups, g), "io_paths");
        CHECK(json_object_array_length(list) == 2);
        for (unsigned i = 0; i < 2; i++) {
            struct json_object *p = json_object_array_get_idx(list, i);
            const char *traddr = json_object_get_string(member(member(p, "transport"), "traddr"));
            CHECK(strcmp(traddr, i ? "127.0.0.9" : "127.0.0.2") == 0);
            CHECK(flag(p, "current") == want[i][0] && flag(p, "connected") == want[i][1] &&
                      flag(p, "accessible") == want[i][2],
                  "%s", json_object_to_json_string(reply));
        }
    }
    json_object_put(reply);
}

static int body_io_paths(void *arg)
{
    struct nvme_world w;
    (void)arg;
    world_up(&w);
    listener(&w, NQN, "127.0.0.9", true);
    static const char more[] = ",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1}";
    char params[512];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(params, sizeof(params),
                 "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"%s\",\"trsvcid\":\"4420\","
                 "\"subnqn\":\"" NQN "\"%s",
                 i ? "127.0.0.9" : "127.0.0.2", more);
        rpc_ok(&w, "bdev_nvme_attach_controller", params);
    }
    expect_paths(&w, (bool[2][3]){{true, true, true}, {false, true, true}});
    rpc_ok(&w, "nvmf_subsystem_listener_set_ana_state",
           "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
           "\"trsvcid\":\"4420\"},\"ana_state\":\"inaccessible\"}");
    rt_sleep_ns(SECOND);
    expect_paths(&w, (bool[2][3]){{false, true, false}, {true, true, true}});
    w.wire.is_closed = true;
    wire_cut_all(&w.wire);
    rt_sleep_ns(SECOND / 2);
    expect_paths(&w, (bool[2][3]){{false, false, false}, {true, true, true}});
    CHECK(rpc_fails(&w, "bdev_nvme_get_io_paths", "{\"name\":\"x\"}", "BDEV_NOT_FOUND") == -19);
    w.wire.is_closed = false;
    world_down(&w);
    return 0;
}

static void test_io_paths(void **state)
{
    (void)state;
    in_seeded_world(body_io_paths, NULL, 5, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows),  cmocka_unit_test(test_away),
        cmocka_unit_test(test_bad),      cmocka_unit_test(test_told),
        cmocka_unit_test(test_io_paths), cmocka_unit_test(test_stopped),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
