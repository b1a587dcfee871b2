/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of the NVMe target: SPDK's names, results, codes and texts (docs/spec/spdk-jsonrpc.md
 * 9), and a configuration that is saved and loaded again. */
#include "world.h"

#define NQN "nqn.2016-06.io.spdk:a"
#define L   "\"listen_address\":{\"trtype\":\"tcp\",\"traddr\":\"127.0.0.1\",\"trsvcid\":\"4420\"}"

enum { BAD = -32602, FAILED = -32603 };

static const struct {
    const char *method, *params;
    int code;
    const char *message;
} bad[] = {
    {"nvmf_create_transport", "{}", BAD, "Invalid parameters"},
    {"nvmf_create_transport", "{\"trtype\":\"RDMA\"}", BAD, "Invalid transport type 'RDMA'"},
    {"nvmf_create_transport", "{\"trtype\":\"tcp\"}", FAILED,
     "Transport type 'TCP' already exists"},
    {"nvmf_get_transports", "{\"trtype\":\"RDMA\"}", -19, "No such device"},
    {"nvmf_create_subsystem", "{}", BAD, "Invalid parameters"},
    {"nvmf_create_subsystem", "{\"nqn\":\"nqn.x\"}", FAILED, "Unable to create subsystem nqn.x"},
    {"nvmf_create_subsystem", "{\"nqn\":\"" NQN "\"}", FAILED, "Unable to create subsystem"},
    {"nvmf_create_subsystem", "{\"nqn\":\"nqn.2014-08.org.nvmexpress.discovery\"}", FAILED,
     "Unable to create subsystem"},
    {"nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\",\"min_cntlid\":5,\"max_cntlid\":4}", BAD,
     "Invalid cntlid range [5-4]"},
    {"nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\",\"max_cntlid\":65520}", BAD,
     "Invalid cntlid range [1-65520]"},
    {"nvmf_create_subsystem",
     "{\"nqn\":\"" NQN "b\",\"min_cntlid\":5,\"max_cntlid\":9,\"num_static_cntlids\":6}", FAILED,
     "Unable to create subsystem"},
    {"nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\",\"num_static_cntlids\":1025}", FAILED,
     "Unable to create subsystem"},
    {"nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\",\"serial_number\":\"123456789012345678901\"}",
     FAILED, "Unable to create subsystem"},
    {"nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\",\"x\":1}", BAD, "Invalid parameters"},
    {"nvmf_create_subsystem", "{\"nqn\":\"" NQN "b\",\"tgt_name\":\"x\"}", FAILED,
     "Unable to find a target."},
    {"nvmf_discovery_add_referral", "{}", BAD, "Invalid parameters"},
    {"nvmf_discovery_add_referral",
     "{\"address\":{\"trtype\":\"tcp\",\"traddr\":\"192.0.2.1\",\"trsvcid\":\"8009\"}}", BAD,
     "Invalid parameters"}, /* there is one */
    {"nvmf_discovery_add_referral", "{\"address\":{\"trtype\":\"rdma\",\"traddr\":\"192.0.2.2\"}}",
     BAD, "Invalid parameters"},
    {"nvmf_discovery_add_referral",
     "{\"subnqn\":\"x\",\"address\":{\"trtype\":\"tcp\",\"traddr\":\"192.0.2.2\"}}", BAD,
     "Invalid parameters"},
    {"nvmf_discovery_add_referral",
     "{\"tgt_name\":\"x\",\"address\":{\"trtype\":\"tcp\",\"traddr\":\"192.0.2.2\"}}", FAILED,
     "Unable to find a target."},
    {"nvmf_discovery_remove_referral",
     "{\"address\":{\"trtype\":\"tcp\",\"traddr\":\"192.0.2.1\"}}", BAD, "Invalid parameters"},
    {"nvmf_delete_subsystem", "{\"nqn\":\"nqn.x\"}", BAD,
     "Invalid parameters: Subsystem with NQN 'nqn.x' not found"},
    {"nvmf_delete_subsystem", "{\"nqn\":\"nqn.2014-08.org.nvmexpress.discovery\"}", BAD,
     "Invalid parameters"},
    {"nvmf_get_subsystems", "{\"nqn\":\"nqn.x\"}", BAD, "Invalid parameters"},
    {"nvmf_subsystem_add_ns", "{\"nqn\":\"" NQN "\"}", BAD, "Invalid parameters"},
    {"nvmf_subsystem_add_ns", "{\"nqn\":\"nqn.x\",\"namespace\":{\"bdev_name\":\"m0\"}}", BAD,
     "Subsystem with NQN 'nqn.x' not found"},
    {"nvmf_subsystem_add_ns", "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"none\"}}", BAD,
     "Invalid parameters"},
    {"nvmf_subsystem_add_ns", "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m0\"}}", BAD,
     "Invalid parameters"}, /* claimed */
    {"nvmf_subsystem_add_ns",
     "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m1\",\"nsid\":1}}", BAD,
     "Invalid parameters"},
    {"nvmf_subsystem_add_ns",
     "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m1\",\"nsid\":99}}", BAD,
     "Invalid parameters"},
    {"nvmf_subsystem_add_ns",
     "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m1\",\"nguid\":\"12\"}}", BAD,
     "Invalid nguid"},
    {"nvmf_subsystem_add_ns",
     "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m1\",\"eui64\":\"0123456789abcdeg\"}}",
     BAD, "Invalid eui64"},
    {"nvmf_subsystem_add_ns", "{\"nqn\":\"" NQN "\",\"namespace\":{\"x\":1}}", BAD,
     "Invalid parameters"},
    {"nvmf_subsystem_remove_ns", "{\"nqn\":\"" NQN "\",\"nsid\":7}", BAD, "Invalid parameters"},
    {"nvmf_subsystem_add_listener", "{\"nqn\":\"" NQN "\"," L "}", BAD, "Invalid parameters"},
    {"nvmf_subsystem_add_listener",
     "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"RDMA\",\"traddr\":\"127.0.0.1\"}}", BAD,
     "Invalid parameters"},
    {"nvmf_subsystem_add_listener", "{\"nqn\":\"" NQN "\",\"secure_channel\":true," L "}", BAD,
     "Invalid parameters"},
    {"nvmf_subsystem_remove_listener",
     "{\"nqn\":\"" NQN "\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\","
     "\"trsvcid\":\"1\"}}",
     BAD, "Invalid parameters"},
    {"nvmf_subsystem_listener_set_ana_state", "{\"nqn\":\"" NQN "\",\"ana_state\":\"gone\"," L "}",
     BAD, "Invalid parameters"},
    {"nvmf_subsystem_listener_set_ana_state",
     "{\"nqn\":\"" NQN "\",\"ana_state\":\"optimized\",\"anagrpid\":99," L "}", FAILED,
     "error setting ANA state: -22"},
    {"nvmf_subsystem_add_host", "{\"nqn\":\"" NQN "\",\"host\":\"x\"}", FAILED, "Internal error"},
    {"nvmf_subsystem_add_host", "{\"nqn\":\"" NQN "\",\"host\":\"" NQN "h\",\"dhchap_key\":\"k\"}",
     FAILED, "Internal error"},
    {"nvmf_subsystem_remove_host", "{\"nqn\":\"" NQN "\",\"host\":\"" NQN "h\"}", FAILED,
     "Internal error"},
    {"nvmf_subsystem_allow_any_host", "{\"nqn\":\"" NQN "\"}", BAD, "Invalid parameters"},
    {"nvmf_subsystem_set_ns_ana_group", "{\"nqn\":\"" NQN "\",\"nsid\":1,\"anagrpid\":0}", BAD,
     "Invalid parameters"},
    {"nvmf_ns_add_host", "{\"nqn\":\"" NQN "\",\"nsid\":1,\"host\":\"" NQN "h\"}", BAD,
     "Invalid parameters"}, /* everybody sees it */
    {"nvmf_subsystem_get_controllers", "{\"nqn\":\"nqn.x\"}", BAD, "Invalid parameters"},
    {"nvmf_subsystem_get_qpairs", "{\"nqn\":\"nqn.x\"}", BAD, "Invalid parameters"},
    {"nvmf_share", "{\"volume\":\"none/none\"}", -19, "No such device"},
    {"nvmf_unshare", "{\"volume\":\"none/none\"}", -19, "No such device"},
};

static struct json_object *call(struct client *c, const char *method, const char *params)
{
    struct ash_buf text = {0};
    ash_buf_fmt(&text, "{\"id\":1,\"method\":\"%s\",\"params\":%s}", method, params);
    struct json_object *v = client_call(c, text.data);
    ash_buf_free(&text);
    return v;
}

static void expect(struct client *c, const char *method, const char *params, const char *want)
{
    struct json_object *v = call(c, method, params), *result = member(v, "result");
    const char *got = json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN);
    CHECK(result && strcmp(got, want) == 0, "%s %s\n  got  %s\n  want %s", method, params,
          result ? got : json_object_to_json_string(v), want);
    json_object_put(v);
}

/* Everything there is, with values of its own. */
static void build(struct client *c)
{
    expect(c, "bdev_malloc_create",
           "{\"name\":\"m0\",\"num_blocks\":8,\"block_size\":512,"
           "\"uuid\":\"12345678-1234-1234-1234-123456789abc\"}",
           "\"m0\"");
    expect(c, "bdev_malloc_create",
           "{\"name\":\"m1\",\"num_blocks\":8,\"block_size\":512,"
           "\"uuid\":\"12345678-1234-1234-1234-123456789abd\"}",
           "\"m1\"");
    expect(c, "nvmf_create_transport",
           "{\"trtype\":\"tcp\",\"in_capsule_data_size\":8192,\"unknown\":1}", "true");
    expect(c, "nvmf_discovery_add_referral",
           "{\"address\":{\"trtype\":\"tcp\",\"traddr\":\"192.0.2.1\",\"trsvcid\":\"8009\"}}",
           "true");
    expect(c, "nvmf_create_subsystem",
           "{\"nqn\":\"" NQN "\",\"serial_number\":\"S1\",\"model_number\":\"M1\","
           "\"max_namespaces\":2,\"ana_reporting\":true,\"min_cntlid\":10,\"max_cntlid\":20,"
           "\"num_static_cntlids\":4}",
           "true");
    expect(c, "nvmf_subsystem_add_ns",
           "{\"nqn\":\"" NQN "\",\"namespace\":{\"bdev_name\":\"m0\",\"eui64\":"
           "\"0123456789abcdef\",\"anagrpid\":2}}",
           "1");
    expect(c, "nvmf_subsystem_add_host", "{\"nqn\":\"" NQN "\",\"host\":\"" NQN "host\"}", "true");
    expect(c, "nvmf_subsystem_add_listener", "{\"nqn\":\"" NQN "\"," L "}", "true");
    expect(c, "nvmf_subsystem_listener_set_ana_state",
           "{\"nqn\":\"" NQN "\",\"ana_state\":\"non_optimized\",\"anagrpid\":2," L "}", "true");
}

#define ADDRESS                                                                                    \
    "{\"trtype\":\"TCP\",\"adrfam\":\"IPv4\",\"traddr\":\"127.0.0.1\",\"trsvcid\":\"4420\"}"

/* The shapes of the listings; the same before and after a save and a load. */
static void look(struct client *c)
{
    expect(c, "nvmf_get_subsystems", "{}",
           "[{\"nqn\":\"nqn.2014-08.org.nvmexpress.discovery\",\"subtype\":\"Discovery\","
           "\"listen_addresses\":[],\"allow_any_host\":true,\"hosts\":[]},"
           "{\"nqn\":\"" NQN "\",\"subtype\":\"NVMe\",\"listen_addresses\":[" ADDRESS "],"
           "\"allow_any_host\":false,\"hosts\":[{\"nqn\":\"" NQN "host\"}],"
           "\"serial_number\":\"S1\",\"model_number\":\"M1\",\"max_namespaces\":2,"
           "\"passthrough\":false,\"min_cntlid\":10,\"max_cntlid\":20,\"num_static_cntlids\":4,"
           "\"dmrsl\":2097152,\"wzsl\":0,\"namespaces\":[{\"nsid\":1,\"bdev_name\":\"m0\",\"name\":"
           "\"m0\","
           "\"nguid\":\"12345678123412341234123456789ABC\",\"eui64\":\"0123456789ABCDEF\","
           "\"uuid\":\"12345678-1234-1234-1234-123456789abc\",\"anagrpid\":2}]}]");
    expect(c, "nvmf_subsystem_get_listeners", "{\"nqn\":\"" NQN "\"}",
           "[{\"address\":" ADDRESS ",\"ana_states\":[{\"ana_group\":1,\"ana_state\":"
           "\"optimized\"},{\"ana_group\":2,\"ana_state\":\"non_optimized\"}],"
           "\"ana_state\":\"optimized\"}]");
    expect(c, "nvmf_discovery_get_referrals", "{}",
           "[{\"address\":{\"trtype\":\"TCP\",\"adrfam\":\"IPv4\",\"traddr\":\"192.0.2.1\","
           "\"trsvcid\":\"8009\"},\"secure_channel\":false,"
           "\"subnqn\":\"nqn.2014-08.org.nvmexpress.discovery\"}]");
    expect(c, "nvmf_subsystem_get_controllers", "{\"nqn\":\"" NQN "\"}", "[]");
    expect(c, "nvmf_subsystem_get_qpairs", "{\"nqn\":\"" NQN "\"}", "[]");
    struct json_object *v = call(c, "nvmf_get_transports", "{\"trtype\":\"TCP\"}");
    struct json_object *t = json_object_array_get_idx(member(v, "result"), 0);
    CHECK(json_object_get_int(member(t, "in_capsule_data_size")) == 8192);
    CHECK(json_object_get_boolean(member(t, "c2h_success")));
    json_object_put(v);
    v = call(c, "nvmf_get_stats", "{}");
    struct json_object *groups = member(member(v, "result"), "poll_groups");
    CHECK(json_object_array_length(groups) == 2);
    CHECK(json_object_object_length(json_object_array_get_idx(groups, 0)) == 9);
    json_object_put(v);
}

static int bad_body(void *arg)
{
    struct setup s;
    bool good = true;
    setup_begin(&s, NULL, NULL);
    build(&s.c);
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        struct json_object *v = call(&s.c, bad[i].method, bad[i].params);
        struct json_object *error = member(v, "error");
        if (!error || json_object_get_int(member(error, "code")) != bad[i].code ||
            !strstr(json_object_get_string(member(error, "message")), bad[i].message)) {
            fprintf(stderr, "%s %s\n  gives %s\n  not %d '%s'\n", bad[i].method, bad[i].params,
                    json_object_to_json_string(v), bad[i].code, bad[i].message);
            good = false;
        }
        json_object_put(v);
    }
    look(&s.c); /* nothing of that has changed anything */
    setup_end(&s);
    CHECK(good);
    return 0;
}

static void bad_inputs_are_told(void **state)
{
    in_world(bad_body, NULL);
}

static int saved_body(void *arg)
{
    struct setup s;
    struct ash_err err = {0};
    struct ash_buf config = {0}, again = {0};
    setup_begin(&s, NULL, NULL);
    build(&s.c);
    look(&s.c);
    CHECK(jsonrpc_save_config(s.engine, &config, &err) == 0);
    setup_end(&s);
    setup_begin(&s, NULL, NULL);
    CHECK(jsonrpc_load_config(s.engine, config.data, config.n_bytes, false, &err) == 0, "%s",
          err.text);
    look(&s.c);
    CHECK(jsonrpc_save_config(s.engine, &again, &err) == 0);
    CHECK(strcmp(config.data, again.data) == 0);
    /* and all of it can be taken away */
    expect(&s.c, "nvmf_subsystem_remove_ns", "{\"nqn\":\"" NQN "\",\"nsid\":1}", "true");
    expect(&s.c, "nvmf_subsystem_remove_listener", "{\"nqn\":\"" NQN "\"," L "}", "true");
    expect(&s.c, "nvmf_subsystem_remove_host", "{\"nqn\":\"" NQN "\",\"host\":\"" NQN "host\"}",
           "true");
    expect(&s.c, "nvmf_subsystem_allow_any_host", "{\"nqn\":\"" NQN "\",\"allow_any_host\":true}",
           "true");
    expect(&s.c, "nvmf_delete_subsystem", "{\"nqn\":\"" NQN "\"}", "true");
    expect(&s.c, "nvmf_discovery_remove_referral",
           "{\"address\":{\"trtype\":\"tcp\",\"traddr\":\"192.0.2.1\",\"trsvcid\":\"8009\"}}",
           "true");
    expect(&s.c, "nvmf_discovery_get_referrals", "{}", "[]");
    expect(&s.c, "bdev_malloc_delete", "{\"name\":\"m0\"}", "true");
    setup_end(&s);
    ash_buf_free(&config);
    ash_buf_free(&again);
    return 0;
}

static void saved_and_loaded(void **state)
{
    in_world(saved_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_inputs_are_told),
        cmocka_unit_test(saved_and_loaded),
    };
    return cmocka_run_group_tests_name("nvmf_methods", tests, NULL, NULL);
}
