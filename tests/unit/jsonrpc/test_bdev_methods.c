/* SPDX-License-Identifier: Apache-2.0 */
/* jsonrpc: core, log, bdev methods and what they refuse; configuration files. */
#include "world.h"

/* ------------------------------------------------------------- bad inputs */

/* Each row: method, params, code, reason ("" = none given), a part of the message. */
static const struct {
    const char *method, *params;
    int code;
    const char *reason, *message;
} bad[] = {
#define DECODE "spdk_json_decode_object failed"
    {"nothing", "{}", -32601, "RPC_METHOD", "Method not found"},
    {"", "{}", -32601, "RPC_METHOD", "Method not found"},
    {"BDEV_GET_BDEVS", "{}", -32601, "RPC_METHOD", "Method not found"},
    {"ok\\u0000", "{}", -32601, "RPC_METHOD", "Method not found"},
    /* core */
    {"rpc_get_methods", "{\"x\":1}", -32602, "UNKNOWN_PARAMETER", "Invalid parameters"},
    {"rpc_get_methods", "{\"current\":1}", -32602, "BAD_PARAMETER_TYPE", "Invalid parameters"},
    {"rpc_get_methods", "{\"current\":null}", -32602, "BAD_PARAMETER_TYPE", "Invalid parameters"},
    {"rpc_get_methods", "{\"current\":true,\"current\":true}", -32602, "DUPLICATE_PARAMETER",
     "Invalid parameters"},
    {"rpc_get_methods", "[true]", -32602, "BAD_PARAMETER_TYPE", "Invalid parameters"},
    {"spdk_get_version", "{\"x\":1}", -32602, "UNKNOWN_PARAMETER",
     "spdk_get_version requires no parameters"},
    {"spdk_get_version", "[]", -32602, "UNKNOWN_PARAMETER", "requires no parameters"},
    {"framework_get_config", "{}", -32602, "MISSING_PARAMETER", "Invalid arguments"},
    {"framework_get_config", "{\"name\":\"x\"}", -32602, "BAD_ARGUMENT", "Subsystem 'x' not found"},
    {"framework_get_config", "{\"name\":5}", -32602, "BAD_PARAMETER_TYPE", "Invalid arguments"},
    {"framework_set_scheduler", "{}", -32602, "MISSING_PARAMETER", "Invalid parameters"},
    {"framework_set_scheduler", "{\"name\":\"dynamic\"}", -32603, "BAD_ARGUMENT", ""},
    {"framework_set_scheduler", "{\"name\":\"static\",\"load_limit\":256}", -32602,
     "BAD_PARAMETER_TYPE", "Invalid parameters"},
    {"framework_get_subsystems", "{\"a\":[]}", -32602, "UNKNOWN_PARAMETER",
     "framework_get_subsystems requires no parameters"},
    {"spdk_kill_instance", "{}", -32602, "MISSING_PARAMETER", "Invalid parameters"},
    {"spdk_kill_instance", "{\"sig_name\":\"SIGSEGV\"}", -32602, "BAD_PARAMETER_TYPE",
     "Invalid parameters"},
    {"spdk_kill_instance", "{\"sig_name\":null}", -32602, "BAD_PARAMETER_TYPE",
     "Invalid parameters"},
    {"spdk_kill_instance", "{\"sig_name\":11}", -32602, "BAD_PARAMETER_TYPE", "Invalid parameters"},
    {"spdk_kill_instance", "{\"sig_name\":\"SIGTERM\"}", -95, "NOT_SUPPORTED",
     "Operation not supported"},
    {"engine_stop", "{}", -95, "NOT_SUPPORTED", "Operation not supported"},
    {"framework_start_init", "{}", -1, "NOT_SUPPORTED", "only be called before"},
    {"bdev_set_options", "{}", -1, "NOT_SUPPORTED", "only be called before"},
    {"iobuf_set_options", "{}", -1, "NOT_SUPPORTED", "only be called before"},
    {"notify_get_notifications", "{\"id\":-1}", -32602, "BAD_PARAMETER_TYPE", "Invalid argument"},
    {"notify_get_notifications", "{\"max\":\"1\"}", -32602, "BAD_PARAMETER_TYPE",
     "Invalid argument"},
    {"notify_get_notifications", "{\"id\":18446744073709551616}", -32602, "BAD_PARAMETER_TYPE",
     "Invalid argument"},
    {"notify_get_types", "{\"x\":0}", -32602, "UNKNOWN_PARAMETER",
     "notify_get_types requires no parameters"},
    /* log */
    {"log_set_level", "{}", -32603, "MISSING_PARAMETER", DECODE},
    {"log_set_level", "{\"level\":\"LOUD\"}", -32602, "BAD_ARGUMENT", "invalid log level"},
    {"log_set_level", "{\"level\":3}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"log_set_level", "{\"level\":\"INFO\\u0000\"}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"log_set_print_level", "{\"level\":\"\"}", -32602, "BAD_ARGUMENT", "invalid log level"},
    {"log_set_flag", "{}", -32603, "MISSING_PARAMETER", DECODE},
    {"log_set_flag", "{\"flag\":\"no_such\"}", -32602, "BAD_ARGUMENT", "invalid log flag"},
    {"log_clear_flag", "{\"flag\":\"x*\"}", -32602, "BAD_ARGUMENT", "invalid log flag"},
    {"log_get_flags", "{\"flag\":\"x\"}", -32602, "UNKNOWN_PARAMETER",
     "log_get_flags requires no parameters"},
    {"log_enable_timestamps", "{}", -32602, "MISSING_PARAMETER", DECODE},
    {"log_enable_timestamps", "{\"enabled\":1}", -32602, "BAD_PARAMETER_TYPE", DECODE},
    /* fuse */
    {"fuse_mount", "{}", -32603, "MISSING_PARAMETER", DECODE},
    {"fuse_mount", "{\"bdev\":\"mem0\",\"dir\":5}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"fuse_unmount", "{}", -32603, "MISSING_PARAMETER", DECODE},
    {"fuse_get_mounts", "{\"x\":1}", -32602, "UNKNOWN_PARAMETER", "requires no parameters"},
    /* bdev */
    {"bdev_get_bdevs", "{\"name\":\"none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_get_bdevs", "{\"name\":\"\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_get_bdevs", "{\"name\":\"MEM0\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_get_bdevs", "{\"name\":\"none\",\"timeout\":250}", -110, "TIMED_OUT",
     "Connection timed out"},
    {"bdev_get_bdevs", "{\"nam\":\"mem0\"}", -32603, "UNKNOWN_PARAMETER",
     DECODE ": unknown parameter 'nam'"},
    {"bdev_get_bdevs", "{\"name\":1}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_get_bdevs", "{\"name\":\"mem0\",\"name\":\"mem0\"}", -32603, "DUPLICATE_PARAMETER",
     DECODE},
    {"bdev_get_bdevs", "{\"timeout\":1.5}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_get_bdevs", "{\"timeout\":-1}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_get_bdevs", "[\"mem0\"]", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_get_iostat", "{\"name\":\"none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_get_iostat", "{\"names\":[\"mem0\",\"none\"]}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_get_iostat", "{\"names\":[1]}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_get_iostat", "{\"names\":\"mem0\"}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_get_iostat", "{\"names\":[\"mem0\"],\"name\":\"mem0\"}", -22, "BAD_ARGUMENT",
     "Invalid argument"},
    {"bdev_get_iostat", "{\"per_channel\":true}", -22, "BAD_ARGUMENT", "Invalid argument"},
    {"bdev_get_iostat", "{\"names\":[\"mem0\",\"mem1\"],\"per_channel\":true}", -22, "BAD_ARGUMENT",
     "Invalid argument"},
    {"bdev_get_iostat", "{\"name\":\"none\",\"per_channel\":true}", -19, "BDEV_NOT_FOUND",
     "No such device"},
    {"bdev_set_qd_sampling_period", "{\"name\":\"none\",\"period\":1}", -19, "BDEV_NOT_FOUND",
     "No such device"},
    {"bdev_set_qd_sampling_period", "{\"name\":\"mem0\"}", -32603, "MISSING_PARAMETER", DECODE},
    {"bdev_set_qd_sampling_period", "{\"name\":\"mem0\",\"period\":18446744073709551615}", -22,
     "BAD_ARGUMENT", "Invalid argument"},
    {"bdev_get_histogram_borders", "{\"name\":\"mem0\",\"borders\":[1]}", -32603, "",
     "Bad address"},
    {"bdev_get_histogram_borders", "{\"name\":\"mem0\",\"borders\":[]}", -22, "BAD_PARAMETER_TYPE",
     ""},
    {"bdev_get_histogram_borders", "{\"name\":\"mem0\",\"borders\":7}", -22, "BAD_PARAMETER_TYPE",
     ""},
    {"bdev_get_histogram_borders", "{\"name\":\"mem0\",\"borders\":[5,5]}", -22,
     "BAD_PARAMETER_TYPE", ""},
    {"bdev_get_histogram_borders", "{\"name\":\"mem0\",\"borders\":[-1]}", -22,
     "BAD_PARAMETER_TYPE", ""},
    {"bdev_get_histogram_borders", "{\"name\":\"none\",\"borders\":[1]}", -19, "BDEV_NOT_FOUND",
     "No such device"},
    {"bdev_nvme_set_options", "{\"action_on_timeout\":\"panic\"}", -32603, "BAD_PARAMETER_TYPE",
     DECODE},
    {"bdev_nvme_set_options", "{\"ctrlr_loss_timeout_sec\":-2}", -22, "BAD_ARGUMENT", ""},
    {"bdev_nvme_set_options", "{\"no_such_option\":1}", -32603, "UNKNOWN_PARAMETER", DECODE},
    {"sock_impl_set_options", "{\"impl_name\":\"posix\"}", -1, "NOT_SUPPORTED",
     "only be called before"},
    {"accel_set_options", "{}", -1, "NOT_SUPPORTED", "only be called before"},
    {"scheduler_set_options", "{}", -1, "NOT_SUPPORTED", "only be called before"},
    {"framework_monitor_context_switch", "{\"enabled\":1}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"thread_get_pollers", "{\"x\":1}", -32602, "UNKNOWN_PARAMETER", "requires no parameters"},
    {"bdev_get_iostat", "{\"reset_mode\":\"ALL\"}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_reset_iostat", "{\"name\":\"none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_reset_iostat", "{\"mode\":\"some\"}", -32603, "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_enable_histogram", "{\"name\":\"mem0\"}", -32603, "MISSING_PARAMETER", DECODE},
    {"bdev_enable_histogram", "{\"name\":\"none\",\"enable\":true}", -19, "BDEV_NOT_FOUND",
     "No such device"},
    {"bdev_enable_histogram", "{\"name\":\"mem0\",\"enable\":\"true\"}", -32603,
     "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_enable_histogram", "{\"name\":\"mem0\",\"enable\":true,\"opc\":\"eat\"}", -32603,
     "BAD_ARGUMENT", "Invalid Io type"},
    {"bdev_enable_histogram", "{\"name\":\"mem0\",\"enable\":true,\"granularity\":256}", -32603,
     "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_get_histogram", "{\"name\":\"mem0\"}", -32603, "", "Bad address"},
    {"bdev_get_histogram", "{\"name\":\"none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_get_histogram", "{}", -32603, "MISSING_PARAMETER", DECODE},
    {"bdev_set_qos_limit", "{\"name\":\"mem0\"}", -22, "MISSING_PARAMETER",
     "No rate limits specified"},
    {"bdev_set_qos_limit", "{\"name\":\"none\",\"rw_ios_per_sec\":1000}", -19, "BDEV_NOT_FOUND",
     "No such device"},
    {"bdev_set_qos_limit", "{\"rw_ios_per_sec\":1000}", -32603, "MISSING_PARAMETER", DECODE},
    {"bdev_set_qos_limit", "{\"name\":\"mem0\",\"rw_ios_per_sec\":-5}", -32603,
     "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_examine", "{}", -32602, "MISSING_PARAMETER", DECODE},
    {"bdev_wait_for_examine", "{\"x\":1}", -32602, "UNKNOWN_PARAMETER",
     "bdev_wait_for_examine requires no parameters"},
    /* modules */
    {"bdev_malloc_create", "{\"num_blocks\":8}", -32603, "MISSING_PARAMETER", DECODE},
    {"bdev_malloc_create", "{\"num_blocks\":8,\"block_size\":512,\"name\":\"mem0\"}", -17,
     "BDEV_EXISTS", "File exists"},
    {"bdev_malloc_create", "{\"num_blocks\":8,\"block_size\":100}", -22, "BDEV_BAD_GEOMETRY",
     "Invalid argument"},
    {"bdev_malloc_create", "{\"num_blocks\":0,\"block_size\":512}", -22, "BDEV_BAD_GEOMETRY",
     "Invalid argument"},
    {"bdev_malloc_create", "{\"num_blocks\":8,\"block_size\":512,\"uuid\":\"zz\"}", -32603,
     "BAD_UUID", DECODE},
    {"bdev_malloc_create", "{\"num_blocks\":8,\"block_size\":4294967296}", -32603,
     "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_malloc_delete", "{\"name\":\"none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"bdev_malloc_delete", "{}", -32603, "MISSING_PARAMETER", DECODE},
    {"bdev_null_delete", "{\"name\":\"mem0\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    /* lvol */
    {"bdev_lvol_create_lvstore", "{\"bdev_name\":\"mem0\"}", -32603, "MISSING_PARAMETER", DECODE},
    {"bdev_lvol_create_lvstore", "{\"bdev_name\":\"none\",\"lvs_name\":\"s\"}", -19,
     "BDEV_NOT_FOUND", "No such device"},
    {"bdev_lvol_create_lvstore", "{\"bdev_name\":\"mem0\",\"lvs_name\":\"a/b\"}", -22, "BAD_NAME",
     "Invalid argument"},
    {"bdev_lvol_create_lvstore",
     "{\"bdev_name\":\"mem0\",\"lvs_name\":\"s\",\"clear_method\":\"default\"}", -32603,
     "BAD_PARAMETER_TYPE", DECODE},
    {"bdev_lvol_create_lvstore", "{\"bdev_name\":\"mem0\",\"lvs_name\":\"s\",\"cluster_sz\":1234}",
     -32602, "POOL_BAD_CLUSTER_SIZE", "Invalid argument"},
    {"bdev_lvol_create_lvstore",
     "{\"bdev_name\":\"mem0\",\"lvs_name\":\"s\",\"num_md_pages_per_cluster_ratio\":0}", -22,
     "POOL_BAD_RATIO", "Invalid argument"},
    {"bdev_lvol_delete_lvstore", "{}", -22, "BAD_ARGUMENT", "Invalid argument"},
    {"bdev_lvol_delete_lvstore", "{\"uuid\":\"zz\"}", -19, "POOL_NOT_FOUND", "No such device"},
    {"bdev_lvol_delete_lvstore", "{\"lvs_uuid\":\"zz\"}", -32603, "UNKNOWN_PARAMETER", DECODE},
    {"bdev_lvol_rename_lvstore", "{\"old_name\":\"x\",\"new_name\":\"y\"}", -2, "POOL_NOT_FOUND",
     "Lvol store x not found"},
    {"bdev_lvol_grow_lvstore", "{\"lvs_name\":\"x\"}", -19, "POOL_NOT_FOUND", "No such device"},
    {"bdev_lvol_get_lvstores", "{\"lvs_name\":\"x\",\"uuid\":\"y\"}", -22, "BAD_ARGUMENT",
     "Invalid argument"},
    {"bdev_lvol_create", "{\"lvs_name\":\"x\",\"lvol_name\":\"v\"}", -32603, "MISSING_PARAMETER",
     DECODE},
    {"bdev_lvol_create", "{\"lvs_name\":\"x\",\"lvol_name\":\"v\",\"size\":1,\"size_in_mib\":1}",
     -32603, "DUPLICATE_PARAMETER", DECODE},
    {"bdev_lvol_create",
     "{\"lvs_name\":\"x\",\"lvol_name\":\"v\",\"size_in_mib\":18446744073709551615}", -22,
     "VOLUME_BAD_SIZE", "Invalid argument"},
    {"bdev_lvol_create", "{\"lvol_name\":\"v\",\"size_in_mib\":1}", -22, "BAD_ARGUMENT",
     "Invalid argument"},
    {"bdev_lvol_snapshot", "{\"lvol_name\":\"mem0\",\"snapshot_name\":\"s\"}", -19,
     "VOLUME_NOT_FOUND", "No such device"},
    {"bdev_lvol_clone_bdev", "{\"bdev\":\"mem0\",\"lvs_name\":\"x\",\"clone_name\":\"c\"}", -32602,
     "POOL_NOT_FOUND", "lvs does not exist"},
    {"bdev_lvol_get_lvols", "{\"uuid\":\"a\",\"lvs_uuid\":\"a\"}", -22, "BAD_ARGUMENT",
     "Invalid argument"},
    {"bdev_lvol_check_shallow_copy", "{\"operation_id\":0}", -19, "BAD_ARGUMENT", "No such device"},
    {"bdev_lvol_get_snapshot_checksum", "{\"name\":\"x\"}", -19, "VOLUME_NOT_FOUND",
     "No such device"},
    /* our own */
    {"bdev_create_uri", "{}", -32602, "MISSING_PARAMETER", "Invalid parameters"},
    {"bdev_create_uri", "{\"uri\":\"nowhere:///x\"}", -22, "BDEV_URI_SCHEME", "Invalid argument"},
    {"bdev_create_uri", "{\"uri\":\"malloc:///u?size_mb=x\"}", -22, "BDEV_URI_PARAM",
     "Invalid argument"},
    {"bdev_create_uri", "{\"uri\":\"\"}", -22, "BDEV_URI_SYNTAX", "Invalid argument"},
    {"bdev_destroy_uri", "{\"uri\":\"malloc:///none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"ashlar_tasks", "{\"x\":1}", -32602, "UNKNOWN_PARAMETER", "requires no parameters"},
    {"pool_list", "[]", -32602, "UNKNOWN_PARAMETER", "requires no parameters"},
    {"pool_create", "{\"name\":\"p\"}", -22, "MISSING_PARAMETER", "Invalid argument"},
    {"pool_create", "{\"name\":\"p\",\"bdev\":\"mem0\",\"uri\":\"malloc:///x\"}", -22,
     "MISSING_PARAMETER", "Invalid argument"},
    {"pool_create", "{\"name\":\"p\",\"bdev\":\"none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"pool_create", "{\"name\":\"p\",\"bdev\":\"mem0\",\"cluster_size\":\"4X\"}", -32602,
     "BAD_SIZE", "Invalid parameters"},
    {"pool_create", "{\"name\":\"p\",\"bdev\":\"mem0\",\"cluster_size\":4294967296}", -22,
     "POOL_BAD_CLUSTER_SIZE", "Invalid argument"},
    {"pool_import", "{\"bdev\":\"none\"}", -19, "BDEV_NOT_FOUND", "No such device"},
    {"pool_export", "{\"name\":\"none\"}", -19, "POOL_NOT_FOUND", "No such device"},
    {"pool_destroy", "{}", -32602, "MISSING_PARAMETER", "Invalid parameters"},
    {"pool_grow", "{\"name\":\"none\"}", -19, "POOL_NOT_FOUND", "No such device"},
    {"pool_rename", "{\"name\":\"none\",\"new_name\":\"x\"}", -19, "POOL_NOT_FOUND",
     "No such device"},
    {"pool_set", "{\"name\":\"none\"}", -19, "POOL_NOT_FOUND", "No such device"},
    {"volume_list", "{\"pool\":\"none\"}", -19, "POOL_NOT_FOUND", "No such device"},
    {"volume_info", "{\"name\":\"none/none\"}", -19, "VOLUME_NOT_FOUND", "No such device"},
};

static int bad_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        char text[160];
        snprintf(text, sizeof(text),
                 "{\"id\":1,\"method\":\"bdev_malloc_create\",\"params\":{\"name\":\"mem%d\","
                 "\"num_blocks\":2048,\"block_size\":512}}",
                 i);
        json_object_put(client_call(&s.c, text));
    }
    bool good = true;
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        char text[512];
        snprintf(text, sizeof(text), "{\"id\":%zu,\"method\":\"%s\",\"params\":%s}", i,
                 bad[i].method, bad[i].params);
        struct json_object *v = client_call(&s.c, text), *error = member(v, "error");
        const char *reason = json_object_get_string(member(member(error, "data"), "reason"));
        if (!error || json_object_get_int(member(error, "code")) != bad[i].code ||
            strcmp(reason ? reason : "", bad[i].reason) ||
            !strstr(json_object_get_string(member(error, "message")), bad[i].message) ||
            (size_t)json_object_get_int(member(v, "id")) != i) {
            fprintf(stderr, "%s\n  gives %s\n  not %d %s '%s'\n", text,
                    json_object_to_json_string(v), bad[i].code, bad[i].reason, bad[i].message);
            good = false;
        }
        json_object_put(v);
    }
    setup_end(&s);
    CHECK(good);
    return 0;
}

static void bad_inputs_are_told(void **state)
{
    in_world(bad_body, NULL);
}

/* ------------------------------------------------------------- good inputs */

/* Result of a call as text; the object must be put. */
static struct json_object *good(struct client *c, const char *method, const char *params)
{
    struct ash_buf text = {0};
    ash_buf_fmt(&text, "{\"id\":1,\"method\":\"%s\",\"params\":%s}", method, params);
    struct json_object *v = client_call(c, text.data), *result;
    CHECK(json_object_object_get_ex(v, "result", &result), "%s\n  %s", text.data,
          json_object_to_json_string(v));
    ash_buf_free(&text);
    json_object_get(result);
    json_object_put(v);
    return result;
}

static void expect(struct client *c, const char *method, const char *params, const char *want)
{
    struct json_object *v = good(c, method, params);
    const char *got = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
    CHECK(strcmp(got, want) == 0, "%s %s\n  got  %s\n  want %s", method, params, got, want);
    json_object_put(v);
}

static int good_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, NULL);
    struct client *c = &s.c;
    expect(c, "bdev_get_bdevs", "null", "[]");
    expect(c, "bdev_get_bdevs", "{}", "[]");
    expect(c, "bdev_malloc_create", "{\"num_blocks\":2e3,\"block_size\":512.0}", "\"Malloc0\"");
    expect(c, "bdev_malloc_create", "{\"num_blocks\":8,\"block_size\":4096,\"name\":\"mem\"}",
           "\"mem\"");
    struct json_object *v = good(c, "bdev_get_bdevs", "{\"name\":\"mem\"}");
    struct json_object *b = json_object_array_get_idx(v, 0);
    CHECK(json_object_array_length(v) == 1);
    CHECK(json_object_get_int(member(b, "block_size")) == 4096);
    CHECK(json_object_get_int(member(b, "num_blocks")) == 8);
    CHECK(json_object_object_length(member(b, "supported_io_types")) == 22);
    /* by its UUID as well */
    char params[128];
    snprintf(params, sizeof(params), "{\"name\":\"%s\"}",
             json_object_get_string(member(b, "uuid")));
    json_object_put(good(c, "bdev_get_bdevs", params));
    json_object_put(v);
    v = good(c, "bdev_get_bdevs", "null");
    CHECK(json_object_array_length(v) == 2);
    json_object_put(v);
    /* a device that appears while somebody waits for it */
    client_text(c, "{\"id\":5,\"method\":\"bdev_get_bdevs\",\"params\":{\"name\":\"late\","
                   "\"timeout\":60000}}");
    rt_sleep_ns(250000000);
    client_text(c, "{\"id\":6,\"method\":\"bdev_null_create\",\"params\":{\"name\":\"late\","
                   "\"num_blocks\":8,\"block_size\":512}}");
    client_expect(c, "{\"jsonrpc\":\"2.0\",\"id\":6,\"result\":\"late\"}");
    char *line = client_line(c);
    CHECK(strstr(line, "\"id\":5,\"result\":[{\"name\":\"late\""), "%s", line);
    free(line);

    v = good(c, "bdev_get_iostat", "{\"name\":\"mem\",\"reset_mode\":\"all\"}");
    CHECK(json_object_get_int64(member(v, "tick_rate")) == 1000000000);
    b = json_object_array_get_idx(member(v, "bdevs"), 0);
    CHECK(json_object_object_length(b) == 1 + 8 + 12 + 1);
    CHECK(json_object_object_length(member(b, "io_error")) == 0);
    json_object_put(v);
    v = good(c, "bdev_get_iostat", "null");
    CHECK(json_object_array_length(member(v, "bdevs")) == 3);
    json_object_put(v);
    expect(c, "bdev_reset_iostat", "null", "true");
    expect(c, "bdev_enable_histogram", "{\"name\":\"mem\",\"enable\":true,\"opc\":\"read\"}",
           "true");
    v = good(c, "bdev_get_histogram", "{\"name\":\"mem\"}");
    CHECK(json_object_get_int(member(v, "granularity")) == 7);
    CHECK(json_object_get_string_len(member(v, "histogram")) > 0);
    json_object_put(v);
    expect(c, "bdev_set_qos_limit", "{\"name\":\"mem\",\"rw_ios_per_sec\":2000}", "true");
    expect(c, "bdev_set_qos_limit", "{\"name\":\"mem\",\"r_mbytes_per_sec\":3}", "true");
    v = good(c, "bdev_get_bdevs", "{\"name\":\"mem\"}");
    b = member(json_object_array_get_idx(v, 0), "assigned_rate_limits");
    CHECK(json_object_get_int(member(b, "rw_ios_per_sec")) == 2000);
    CHECK(json_object_get_int(member(b, "r_mbytes_per_sec")) == 3);
    json_object_put(v);
    expect(c, "bdev_wait_for_examine", "null", "true");
    expect(c, "bdev_malloc_delete", "{\"name\":\"Malloc0\"}", "true");
    expect(c, "notify_get_notifications", "{\"id\":1,\"max\":2}",
           "[{\"type\":\"bdev_register\",\"ctx\":\"mem\",\"id\":1},"
           "{\"type\":\"bdev_register\",\"ctx\":\"late\",\"id\":2}]");
    expect(c, "notify_get_notifications", "{\"id\":3}",
           "[{\"type\":\"bdev_unregister\",\"ctx\":\"Malloc0\",\"id\":3}]");
    expect(c, "notify_get_notifications", "{\"max\":0}", "[]");
    expect(c, "notify_get_types", "{}",
           "[\"bdev_register\",\"bdev_unregister\",\"bdev_resize\",\"loopback_removed\","
           "\"pool_open\",\"pool_open_failed\",\"pool_close\",\"pool_usage_warning\","
           "\"pool_usage_critical\"]");

    expect(c, "log_get_level", "null", "\"NOTICE\"");
    expect(c, "log_set_level", "{\"level\":\"debug\"}", "true");
    expect(c, "log_get_level", "null", "\"DEBUG\"");
    expect(c, "log_get_print_level", "null", "\"INFO\"");
    expect(c, "log_set_flag", "{\"flag\":\"NVM*\"}", "true");
    v = good(c, "log_get_flags", "null");
    CHECK(json_object_get_boolean(member(v, "nvmf_tcp")) &&
          !json_object_get_boolean(member(v, "bdev")));
    json_object_put(v);
    expect(c, "log_clear_flag", "{\"flag\":\"all\"}", "true");
    expect(c, "framework_set_scheduler", "{\"name\":\"static\",\"unknown\":1}", "true");
    v = good(c, "framework_get_scheduler", "null");
    CHECK(json_object_get_int(member(v, "scheduler_period")) == 1000000);
    json_object_put(v);
    v = good(c, "framework_get_reactors", "null");
    CHECK(json_object_array_length(member(v, "reactors")) == 2);
    json_object_put(v);
    v = good(c, "thread_get_stats", "null");
    CHECK(json_object_array_length(member(v, "threads")) == 2);
    json_object_put(v);
    v = good(c, "ashlar_tasks", "null");
    CHECK(json_object_array_length(v) >= 2);
    json_object_put(v);
    v = good(c, "spdk_get_version", "{}");
    CHECK(json_object_get_int(member(member(v, "fields"), "major")) == 26);
    json_object_put(v);
    v = good(c, "framework_get_subsystems", "null");
    CHECK(json_object_array_length(v) == 7);
    json_object_put(v);
    v = good(c, "thread_get_pollers", "null");
    CHECK(json_object_array_length(member(v, "threads")) == 2);
    json_object_put(v);
    expect(c, "framework_monitor_context_switch", "{\"enabled\":true}", "{\"enabled\":false}");
    expect(c, "framework_get_pci_devices", "null", "[]");
    expect(c, "framework_get_governor", "null", "{}");
    expect(c, "iobuf_get_stats", "null", "[]");
    expect(c, "bdev_create_uri", "{\"uri\":\"malloc:///uri0?size_mb=1\"}", "\"uri0\"");
    expect(c, "bdev_destroy_uri", "{\"uri\":\"malloc:///uri0?size_mb=1\"}", "true");
    setup_end(&s);
    return 0;
}

static void good_inputs_work(void **state)
{
    in_world(good_body, NULL);
}

/* -------------------------------------------------------------- channels */

/* The element of an array of objects that has a number in a member. */
static struct json_object *with(struct json_object *list, const char *key, int value)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        if (json_object_get_int(member(o, key)) == value)
            return o;
    }
    return NULL;
}

static int use_disk(void *arg)
{
    struct bdev_desc *desc = arg;
    struct bdev_channel *ch = bdev_channel_get(desc);
    char *buf = rt_buf_get(4096);
    CHECK(ch && buf);
    memset(buf, 7, 4096);
    for (int i = 0; i < 3; i++)
        CHECK(bdev_write(ch, buf, 0, 4096, 0) == 0);
    rt_buf_put(buf, 4096);
    bdev_channel_put(ch);
    return 0;
}

static void slow_done(struct bdev_io *io)
{
    struct rt_event *done = io->user;
    int rc = io->rc;
    bdev_io_put(io);
    rt_event_set(done, rc);
}

static int channel_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, NULL);
    struct client *c = &s.c;
    struct bdev_desc *desc;
    json_object_put(
        good(c, "bdev_malloc_create", "{\"name\":\"m\",\"num_blocks\":2048,\"block_size\":512}"));
    struct json_object *v = good(c, "bdev_get_iostat", "{\"name\":\"m\",\"per_channel\":true}");
    CHECK(json_object_array_length(member(v, "channels")) == 0 && member(v, "ticks"));
    json_object_put(v);
    CHECK(bdev_open(ash_engine_bdevs(s.engine), "m", BDEV_OPEN_WRITE, "test", NULL, NULL, &desc,
                    NULL) == 0);
    struct bdev_channel *ch = bdev_channel_get(desc);
    char *buf = rt_buf_get(4096);
    CHECK(bdev_read(ch, buf, 0, 512) == 0);
    /* the other reactor's channel closes again: the sum keeps it, the list does not */
    CHECK(rt_call_on(rt_reactor(rt_world(), 1), "use", use_disk, desc) == 0);
    v = good(c, "bdev_get_iostat", "{\"name\":\"m\",\"per_channel\":true}");
    struct json_object *one = with(member(v, "channels"), "thread_id", 1);
    CHECK(json_object_array_length(member(v, "channels")) == 1 && one, "%s",
          json_object_to_json_string(v));
    CHECK(json_object_get_int(member(one, "num_read_ops")) == 1 &&
          json_object_get_int(member(one, "num_write_ops")) == 0);
    json_object_put(v);
    v = good(c, "bdev_get_iostat", "{\"name\":\"m\"}");
    CHECK(json_object_get_int(
              member(json_object_array_get_idx(member(v, "bdevs"), 0), "num_write_ops")) == 3);
    json_object_put(v);
    v = good(c, "thread_get_io_channels", "null");
    one = member(with(member(v, "threads"), "id", 1), "io_channels");
    CHECK(json_object_array_length(one) == 1 &&
              !strcmp(json_object_get_string(member(json_object_array_get_idx(one, 0), "name")),
                      "bdev_m"),
          "%s", json_object_to_json_string(v));
    json_object_put(v);
    json_object_put(
        good(c, "bdev_get_iostat", "{\"name\":\"m\",\"per_channel\":true,\"reset_mode\":\"all\"}"));
    v = good(c, "bdev_get_iostat", "{\"name\":\"m\",\"per_channel\":true}");
    one = with(member(v, "channels"), "thread_id", 1);
    CHECK(json_object_get_int(member(one, "num_read_ops")) == 0);
    json_object_put(v);
    rt_buf_put(buf, 4096);
    bdev_channel_put(ch);
    bdev_close(desc);
    setup_end(&s);
    return 0;
}

static void channels_are_told_apart(void **state)
{
    in_world(channel_body, NULL);
}

static struct json_object *first_iostat(struct json_object *v)
{
    return json_object_array_get_idx(member(v, "bdevs"), 0);
}

static int sampling_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, NULL);
    struct client *c = &s.c;
    struct bdev_desc *desc;
    json_object_put(
        good(c, "bdev_malloc_create", "{\"name\":\"m\",\"num_blocks\":2048,\"block_size\":512}"));
    json_object_put(good(c, "bdev_delay_create",
                         "{\"name\":\"slow\",\"base_bdev_name\":\"m\",\"avg_read_latency\":50000,"
                         "\"p99_read_latency\":50000,\"avg_write_latency\":1,"
                         "\"p99_write_latency\":1}"));
    expect(c, "bdev_wait_for_examine", "null", "true");
    struct json_object *v = good(c, "bdev_get_iostat", "{\"name\":\"slow\"}");
    CHECK(!member(first_iostat(v), "queue_depth"));
    json_object_put(v);
    expect(c, "bdev_enable_histogram", "{\"name\":\"slow\",\"enable\":true}", "true");
    expect(c, "bdev_set_qd_sampling_period", "{\"name\":\"slow\",\"period\":1000}", "true");
    expect(c, "bdev_set_qd_sampling_period", "{\"name\":\"slow\",\"period\":2000}", "true");
    CHECK(bdev_open(ash_engine_bdevs(s.engine), "slow", BDEV_OPEN_READ, "test", NULL, NULL, &desc,
                    NULL) == 0);
    struct bdev_channel *ch = bdev_channel_get(desc);
    struct rt_event done[2] = {RT_EVENT_INIT, RT_EVENT_INIT};
    char *buf = rt_buf_get(4096);
    for (int i = 0; i < 2; i++) {
        struct bdev_io *io = bdev_io_get(ch);
        io->type = BDEV_READ;
        io->flags = 0;
        io->offset = 0;
        io->length = 512;
        io->one_iov = (struct iovec){buf + i * 512, 512};
        io->iov = &io->one_iov;
        io->n_iov = 1;
        io->done = slow_done;
        io->user = &done[i];
        bdev_submit(io);
    }
    rt_sleep_ns(20000000);
    v = good(c, "bdev_get_iostat", "{\"name\":\"slow\"}");
    CHECK(json_object_get_int(member(first_iostat(v), "queue_depth")) == 2, "%s",
          json_object_to_json_string(v));
    CHECK(json_object_get_int(member(first_iostat(v), "queue_depth_polling_period")) == 2000);
    json_object_put(v);
    for (int i = 0; i < 2; i++)
        CHECK(rt_event_wait(&done[i]) == 0);
    rt_sleep_ns(5000000);
    v = good(c, "bdev_get_iostat", "{\"name\":\"slow\"}");
    int64_t io_time = json_object_get_int64(member(first_iostat(v), "io_time"));
    CHECK(json_object_get_int(member(first_iostat(v), "queue_depth")) == 0);
    CHECK(io_time >= 46000 && io_time <= 54000, "%lld", (long long)io_time);
    CHECK(json_object_get_int64(member(first_iostat(v), "weighted_io_time")) == 2 * io_time);
    json_object_put(v);
    /* the same two reads in the histogram: from 50 ms on, below 100 ms */
    expect(c, "bdev_get_histogram_borders", "{\"name\":\"slow\",\"borders\":[100,49000,100000]}",
           "{\"borders_count\":[0,0,2,0]}");
    expect(c, "bdev_set_qd_sampling_period", "{\"name\":\"slow\",\"period\":0}", "true");
    v = good(c, "bdev_get_iostat", "{\"name\":\"slow\"}");
    CHECK(!member(first_iostat(v), "queue_depth"));
    json_object_put(v);
    /* a device that goes while it is sampled, and an engine that ends meanwhile */
    expect(c, "bdev_set_qd_sampling_period", "{\"name\":\"slow\",\"period\":1000}", "true");
    expect(c, "bdev_set_qd_sampling_period", "{\"name\":\"m\",\"period\":1000000}", "true");
    rt_buf_put(buf, 4096);
    bdev_channel_put(ch);
    bdev_close(desc);
    expect(c, "bdev_delay_delete", "{\"name\":\"slow\"}", "true");
    rt_sleep_ns(5000000);
    setup_end(&s);
    return 0;
}

static void queue_depth_is_sampled(void **state)
{
    in_world(sampling_body, NULL);
}

/* ------------------------------------------------------------ pool usage */

static void on_engine_log(void *arg, enum rt_log_level level, const char *module, const char *text)
{
    ash_buf_fmt(arg, "%d %s %s\n", level, module, text);
}

/* Types of all events of usage so far, a letter each. */
static void expect_usage(struct client *c, const char *want)
{
    struct json_object *v = good(c, "notify_get_notifications", "null");
    char got[32] = "";
    for (size_t i = 0; i < json_object_array_length(v); i++) {
        struct json_object *e = json_object_array_get_idx(v, i);
        const char *type = json_object_get_string(member(e, "type"));
        if (!ash_starts_with(type, "pool_usage_"))
            continue;
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%c", type[11]);
        CHECK(!strcmp(json_object_get_string(member(e, "ctx")), "p"));
    }
    CHECK(strcmp(got, want) == 0, "'%s', not '%s'", got, want);
    json_object_put(v);
}

/* Percent of the space that is used. */
static uint64_t used_percent(struct client *c)
{
    struct json_object *v = good(c, "pool_list", "null"), *p = json_object_array_get_idx(v, 0);
    uint64_t n = json_object_get_uint64(member(p, "n_clusters"));
    uint64_t percent = (n - json_object_get_uint64(member(p, "n_free_clusters"))) * 100 / n;
    json_object_put(v);
    return percent;
}

static void write_cluster(struct bdev_channel *ch, uint64_t idx)
{
    char *buf = rt_buf_get(4096);
    CHECK(buf);
    memset(buf, 'x', 4096);
    CHECK(bdev_write(ch, buf, idx << 16, 4096, 0) == 0);
    rt_buf_put(buf, 4096);
}

static int usage_body(void *arg)
{
    struct setup s;
    struct ash_buf log = {0};
    setup_begin(&s, NULL, NULL);
    struct client *c = &s.c;
    rt_set_log(rt_world(), on_engine_log, &log);
    json_object_put(
        good(c, "bdev_malloc_create", "{\"name\":\"m\",\"num_blocks\":16384,\"block_size\":512}"));
    json_object_put(
        good(c, "pool_create", "{\"bdev\":\"m\",\"name\":\"p\",\"cluster_size\":65536}"));
    json_object_put(good(c, "bdev_lvol_create",
                         "{\"lvs_name\":\"p\",\"lvol_name\":\"v\",\"size_in_mib\":8,"
                         "\"thin_provision\":true}"));
    struct bdev_desc *desc;
    CHECK(bdev_open(ash_engine_bdevs(s.engine), "p/v", BDEV_OPEN_WRITE, "test", NULL, NULL, &desc,
                    NULL) == 0);
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint64_t at = 0;
    expect_usage(c, "");
    for (uint64_t used = 0; used < 100;) {
        write_cluster(ch, at++);
        used = used_percent(c);
        expect_usage(c, used >= 95 ? "wc" : used >= 80 ? "w" : "");
    }
    CHECK(strstr(ash_buf_text(&log), "4 pool pool 'p' fills up: 80 % of its space"), "%s",
          log.data);
    CHECK(strstr(ash_buf_text(&log), "3 pool pool 'p' fills up: 95 % of its space"), "%s",
          log.data);
    /* what is freed and filled again is told again */
    for (uint64_t i = 0; i < at / 2; i++)
        CHECK(bdev_unmap(ch, i << 16, 65536) == 0);
    CHECK(used_percent(c) < 80);
    expect_usage(c, "wc");
    for (uint64_t i = 0; used_percent(c) < 80; i++)
        write_cluster(ch, i);
    expect_usage(c, "wcw");
    /* hovering at the threshold is told once */
    uint64_t last = 0;
    while (used_percent(c) >= 80)
        CHECK(bdev_unmap(ch, last++ << 16, 65536) == 0);
    for (int i = 0; i < 5; i++) {
        write_cluster(ch, last - 1);
        CHECK(used_percent(c) == 80);
        CHECK(bdev_unmap(ch, (last - 1) << 16, 65536) == 0);
        CHECK(used_percent(c) == 79);
    }
    expect_usage(c, "wcw");
    /* thresholds of the caller, for the metadata pages as well as for the space */
    expect(c, "pool_set", "{\"name\":\"p\",\"warn_percent\":1,\"critical_percent\":5}", "true");
    bdev_channel_put(ch);
    bdev_close(desc);
    expect(c, "bdev_lvol_delete", "{\"name\":\"p/v\"}", "true");
    CHECK(used_percent(c) == 0);
    ash_buf_reset(&log);
    for (int i = 0; i < 10; i++) {
        char text[120];
        snprintf(text, sizeof(text),
                 "{\"lvs_name\":\"p\",\"lvol_name\":\"n%d\",\"size_in_mib\":1,"
                 "\"thin_provision\":true}",
                 i);
        json_object_put(good(c, "bdev_lvol_create", text));
    }
    CHECK(used_percent(c) == 0);
    CHECK(strstr(ash_buf_text(&log), "3 pool pool 'p' fills up: 0 % of its space and "), "%s",
          ash_buf_text(&log));
    rt_set_log(rt_world(), NULL, NULL);
    ash_buf_free(&log);
    setup_end(&s);
    return 0;
}

static void pool_usage_is_told(void **state)
{
    in_world(usage_body, NULL);
}

/* ----------------------------------------------------------- chosen UUIDs */

#define ID(n) "0000000" #n "-1111-4222-8333-444444444444"

/* A call that must fail. */
static void refused(struct client *c, const char *method, const char *params, int code,
                    const char *reason)
{
    struct ash_buf text = {0};
    ash_buf_fmt(&text, "{\"id\":1,\"method\":\"%s\",\"params\":%s}", method, params);
    struct json_object *v = client_call(c, text.data), *error = member(v, "error");
    CHECK(error && json_object_get_int(member(error, "code")) == code, "%s\n  %s", text.data,
          json_object_to_json_string(v));
    CHECK(!strcmp(json_object_get_string(member(member(error, "data"), "reason")), reason), "%s",
          json_object_to_json_string(v));
    ash_buf_free(&text);
    json_object_put(v);
}

static int uuid_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, NULL);
    struct client *c = &s.c;
    for (int i = 0; i < 2; i++) {
        char text[80];
        snprintf(text, sizeof(text), "{\"name\":\"m%d\",\"num_blocks\":65536,\"block_size\":512}",
                 i);
        json_object_put(good(c, "bdev_malloc_create", text));
    }
#define STORE(bdev, name, id)                                                                      \
    "{\"bdev_name\":\"" bdev "\",\"lvs_name\":\"" name                                             \
    "\",\"cluster_sz\":1048576,\"lvs_uuid\":\"" id "\"}"
    expect(c, "bdev_lvol_create_lvstore", STORE("m0", "s", ID(1)), "\"" ID(1) "\"");
    refused(c, "bdev_lvol_create_lvstore", STORE("m1", "t", ID(1)), -17, "POOL_NAME_TAKEN");
    refused(c, "bdev_lvol_create_lvstore", STORE("m1", "t", "x"), -32603, "BAD_UUID");
    refused(c, "pool_create", "{\"bdev\":\"m1\",\"name\":\"t\",\"uuid\":\"" ID(1) "\"}", -17,
            "POOL_NAME_TAKEN");
#define LVOL(name, id)                                                                             \
    "{\"lvs_name\":\"s\",\"lvol_name\":\"" name                                                    \
    "\",\"size_in_mib\":1,\"thin_provision\":true,\"lvol_uuid\":\"" id "\"}"
    expect(c, "bdev_lvol_create", LVOL("v", ID(2)), "\"" ID(2) "\"");
    refused(c, "bdev_lvol_create", LVOL("w", ID(2)), -17, "VOLUME_UUID_TAKEN");
    refused(c, "bdev_lvol_create", LVOL("w", "12345"), -32603, "BAD_UUID");
#define SNAP(name, id)                                                                             \
    "{\"lvol_name\":\"s/v\",\"snapshot_name\":\"" name "\",\"lvol_uuid\":\"" id "\"}"
    expect(c, "bdev_lvol_snapshot", SNAP("sn", ID(3)), "\"" ID(3) "\"");
    refused(c, "bdev_lvol_snapshot", SNAP("so", ID(2)), -17, "VOLUME_UUID_TAKEN");
#define CLONE(name, id)                                                                            \
    "{\"snapshot_name\":\"s/sn\",\"clone_name\":\"" name "\",\"lvol_uuid\":\"" id "\"}"
    expect(c, "bdev_lvol_clone", CLONE("c", ID(4)), "\"" ID(4) "\"");
    refused(c, "bdev_lvol_clone", CLONE("d", ID(3)), -17, "VOLUME_UUID_TAKEN");
#define CLONE_BDEV(name, id)                                                                       \
    "{\"bdev\":\"m1\",\"lvs_name\":\"s\",\"clone_name\":\"" name "\",\"lvol_uuid\":\"" id "\"}"
    expect(c, "bdev_lvol_clone_bdev", CLONE_BDEV("e", ID(5)), "\"" ID(5) "\"");
    refused(c, "bdev_lvol_clone_bdev", CLONE_BDEV("f", ID(4)), -17, "VOLUME_UUID_TAKEN");
    /* two at once: one of them wins */
    for (int i = 0; i < 2; i++) {
        char text[300];
        snprintf(text, sizeof(text),
                 "{\"id\":%d,\"method\":\"bdev_lvol_create\",\"params\":{\"lvs_name\":\"s\","
                 "\"lvol_name\":\"t%d\",\"size_in_mib\":1,\"lvol_uuid\":\"" ID(6) "\"}}",
                 i, i);
        client_text(c, text);
    }
    unsigned n_good = 0, n_taken = 0;
    for (int i = 0; i < 2; i++) {
        char *line = client_line(c);
        n_good += strstr(line, "\"result\":\"" ID(6) "\"") != NULL;
        n_taken += strstr(line, "\"code\":-17") && strstr(line, "VOLUME_UUID_TAKEN");
        free(line);
    }
    CHECK(n_good == 1 && n_taken == 1, "%u made, %u refused", n_good, n_taken);
    /* nothing of what was refused is there; what was made has the UUID on the disk as well */
    expect(c, "pool_export", "{\"name\":\"s\"}", "true");
    json_object_put(good(c, "pool_import", "{\"bdev\":\"m0\"}"));
    struct json_object *v = good(c, "bdev_lvol_get_lvols", "{\"lvs_uuid\":\"" ID(1) "\"}");
    static const char *const ids[] = {ID(2), ID(3), ID(4), ID(5), ID(6)};
    CHECK(json_object_array_length(v) == ASH_N_ELEMS(ids), "%s", json_object_to_json_string(v));
    for (size_t i = 0; i < ASH_N_ELEMS(ids); i++)
        CHECK(strstr(json_object_to_json_string(v), ids[i]), "%s", json_object_to_json_string(v));
    json_object_put(v);
    setup_end(&s);
    return 0;
}

static void uuids_may_be_chosen(void **state)
{
    in_world(uuid_body, NULL);
}

/* ---------------------------------------------------------- configuration */

struct stop_seen {
    int signo, n;
    struct ash_buf log;
};

static void on_stop(void *arg, int signo)
{
    struct stop_seen *seen = arg;
    seen->signo = signo;
    seen->n++;
}

static void on_log(void *arg, enum jsonrpc_log_level level, const char *text)
{
    struct stop_seen *seen = arg;
    ash_buf_fmt(&seen->log, "%d %s\n", level, text);
}

static int stop_body(void *arg)
{
    struct stop_seen seen = {0};
    struct jsonrpc_opts opts = {.stop = on_stop, .log = on_log, .arg = &seen};
    struct setup s;
    setup_begin(&s, NULL, &opts);
    expect(&s.c, "spdk_kill_instance", "{\"sig_name\":\"SIGINT\"}", "true");
    CHECK(seen.n == 1 && seen.signo == 2);
    expect(&s.c, "spdk_kill_instance", "{\"sig_name\":15}", "true");
    CHECK(seen.n == 2 && seen.signo == 15);
    expect(&s.c, "engine_stop", "null", "true");
    CHECK(seen.n == 3 && seen.signo == 0);
    json_object_put(client_call(
        &s.c, "{\"id\":1,\"method\":\"bdev_get_bdevs\",\"params\":{\"name\":\"gone\"}}"));
    CHECK(strstr(ash_buf_text(&seen.log), "there is no device 'gone'"));
    expect(&s.c, "log_set_print_level", "{\"level\":\"ERROR\"}", "true");
    ash_buf_reset(&seen.log);
    json_object_put(client_call(
        &s.c, "{\"id\":1,\"method\":\"bdev_get_bdevs\",\"params\":{\"name\":\"gone\"}}"));
    CHECK(seen.log.n_bytes == 0);
    setup_end(&s);
    ash_buf_free(&seen.log);
    return 0;
}

static void stop_and_log_reach_the_daemon(void **state)
{
    in_world(stop_body, NULL);
}

static const char config[] =
    "// the whole line\n"
    "{ /* a \"comment\" */ \"other\": \"http://x/*no comment*/\\\"\", \"subsystems\": [\n"
    " {\"subsystem\":\"scheduler\",\"config\":[{\"method\":\"scheduler_set_options\",\"params\":"
    "{\"isolated_core_mask\":\"0x2\",\"scheduling_core\":1}}]},\n"
    " {\"subsystem\":\"sock\",\"config\":[{\"method\":\"sock_impl_set_options\",\"params\":"
    "{\"impl_name\":\"posix\",\"enable_ktls\":false}},{\"method\":\"sock_impl_set_options\","
    "\"params\":{\"impl_name\":\"ssl\",\"tls_version\":13}}]},\n"
    " {\"subsystem\":\"accel\",\"config\":[{\"method\":\"accel_set_options\",\"params\":"
    "{\"task_count\":99}}]},\n"
    " {\"subsystem\":\"iobuf\",\"config\":[{\"method\":\"iobuf_set_options\",\"params\":"
    "{\"small_pool_count\":5}}]},\n"
    " {\"subsystem\":\"bdev\",\"config\":[\n"
    "  {\"method\":\"bdev_set_options\",\"params\":{\"bdev_auto_examine\":true}},\n"
    "  [{\"method\":\"bdev_malloc_create\",\"params\":{\"name\":\"a\",\"num_blocks\":8,"
    "\"block_size\":512}},\n"
    "   {\"method\":\"bdev_malloc_create\",\"params\":{\"name\":\"b\",\"num_blocks\":8,"
    "\"block_size\":512}}],\n"
    "  {\"method\":\"bdev_set_qos_limit\",\"params\":{\"name\":\"a\",\"rw_ios_per_sec\":1000}},\n"
    "  {\"method\":\"bdev_enable_histogram\",\"params\":{\"name\":\"b\",\"enable\":true,"
    "\"opc\":\"write\",\"granularity\":3,\"min_nsec\":5000,\"max_nsec\":6000000}},\n"
    "  {\"method\":\"bdev_nvme_set_options\",\"params\":{\"ctrlr_loss_timeout_sec\":-1,"
    "\"dhchap_digests\":[\"sha256\"],\"timeout_us\":18446744073709551615}},\n"
    "  {\"method\":\"bdev_wait_for_examine\"}]},\n"
    " {\"subsystem\":\"nothing\",\"config\":null}]}\n";

static int load_text(struct ash_engine *engine, const char *text, bool ignore, struct ash_err *err)
{
    *err = (struct ash_err){0};
    return jsonrpc_load_config(engine, text, strlen(text), ignore, err);
}

static int config_body(void *arg)
{
    struct ash_err err;
    struct setup s;
    struct ash_engine_opts eopts = {.wait_for_start = true};
    setup_begin(&s, &eopts, NULL);
    CHECK(load_text(s.engine, config, false, &err) == 0, "%s", err.text);
    CHECK(ash_engine_started(s.engine));
    struct json_object *v = good(&s.c, "bdev_get_bdevs", "null");
    CHECK(json_object_array_length(v) == 2);
    json_object_put(v);
    /* saved, it makes the same state again */
    struct ash_buf saved = {0}, again = {0};
    CHECK(jsonrpc_save_config(s.engine, &saved, &err) == 0);
    CHECK(strstr(saved.data, "\"small_pool_count\":5") && strstr(saved.data, "bdev_set_qos_limit"),
          "%s", saved.data);
    v = good(&s.c, "framework_get_config", "{\"name\":\"bdev\",\"with_batches\":true}");
    CHECK(json_object_array_length(v) == 7, "%s", json_object_to_json_string(v));
    json_object_put(v);
    static const char *const kept[] = {
        ("{\"method\":\"bdev_nvme_set_options\",\"params\":{\"timeout_us\":18446744073709551615,"
         "\"ctrlr_loss_timeout_sec\":-1,\"dhchap_digests\":[\"sha256\"]}}"),
        "\"opc\":\"write\",\"granularity\":3,\"min_nsec\":5000,\"max_nsec\":6000000",
        "{\"impl_name\":\"posix\",\"enable_ktls\":false}",
        "{\"impl_name\":\"ssl\",\"tls_version\":13}",
        "{\"method\":\"accel_set_options\",\"params\":{\"task_count\":99}}",
    };
    for (size_t i = 0; i < ASH_N_ELEMS(kept); i++)
        CHECK(strstr(saved.data, kept[i]), "%s is not in %s", kept[i], saved.data);
    v = good(&s.c, "framework_get_scheduler", "null");
    CHECK(!strcmp(json_object_get_string(member(v, "isolated_core_mask")), "0x2") &&
          json_object_get_int(member(v, "scheduling_core")) == 1);
    json_object_put(v);
    /* a later call changes what it names */
    expect(&s.c, "bdev_nvme_set_options", "{\"timeout_us\":7}", "true");
    v = good(&s.c, "framework_get_config", "{\"name\":\"bdev\"}");
    const char *text = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
    CHECK(strstr(text, "\"timeout_us\":7") && strstr(text, "\"ctrlr_loss_timeout_sec\":-1"), "%s",
          text);
    json_object_put(v);
    setup_end(&s);
    setup_begin(&s, &eopts, NULL);
    CHECK(load_text(s.engine, saved.data, false, &err) == 0, "%s", err.text);
    CHECK(jsonrpc_save_config(s.engine, &again, &err) == 0);
    CHECK(strcmp(saved.data, again.data) == 0, "%s\n%s", saved.data, again.data);
    setup_end(&s);
    ash_buf_free(&saved);
    ash_buf_free(&again);
    return 0;
}

static void configuration_makes_the_state_again(void **state)
{
    in_world(config_body, NULL);
}

static int bad_config_body(void *arg)
{
    static const struct {
        const char *text;
        enum ash_reason reason;
    } rows[] = {
        {"", ASH_E_RPC_PARSE},
        {"{", ASH_E_RPC_PARSE},
        {"{} /* open", ASH_E_RPC_PARSE},
        {"{\"subsystems\":[],}", ASH_E_RPC_PARSE},
        {"{}", ASH_E_CONFIG_SYNTAX},
        {"null", ASH_E_CONFIG_SYNTAX},
        {"[]", ASH_E_CONFIG_SYNTAX},
        {"{\"subsystems\":{}}", ASH_E_CONFIG_SYNTAX},
        {"{\"subsystems\":[1]}", ASH_E_CONFIG_SYNTAX},
        {"{\"subsystems\":[{\"config\":{}}]}", ASH_E_CONFIG_SYNTAX},
        {"{\"subsystems\":[{\"config\":[1]}]}", ASH_E_CONFIG_SYNTAX},
        {"{\"subsystems\":[{\"config\":[{}]}]}", ASH_E_CONFIG_SYNTAX},
        {"{\"subsystems\":[{\"config\":[{\"method\":1}]}]}", ASH_E_CONFIG_SYNTAX},
        {"{\"subsystems\":[{\"config\":[{\"method\":\"none\"}]}]}", ASH_E_RPC_METHOD},
        {"{\"subsystems\":[{\"config\":[[{\"method\":\"none\"}]]}]}", ASH_E_RPC_METHOD},
        {"{\"subsystems\":[{\"config\":[{\"method\":\"bdev_malloc_create\"}]}]}",
         ASH_E_MISSING_PARAMETER},
    };
    struct ash_err err;
    struct setup s;
    setup_begin(&s, NULL, NULL);
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        int rc = load_text(s.engine, rows[i].text, false, &err);
        CHECK(rc < 0 && err.reason == rows[i].reason, "%s: %d %s", rows[i].text, rc, err.text);
    }
    /* entries that fail are left out when that is wanted */
    CHECK(load_text(s.engine,
                    "{\"subsystems\":[{\"config\":[{\"method\":\"bdev_malloc_delete\",\"params\":"
                    "{\"name\":\"x\"}},{\"method\":\"bdev_null_create\",\"params\":{\"name\":\"n\","
                    "\"num_blocks\":8,\"block_size\":512}}]}]}",
                    true, &err) == 0);
    CHECK(bdev_find(ash_engine_bdevs(s.engine), "n"));
    setup_end(&s);
    return 0;
}

static void bad_configuration_is_told(void **state)
{
    in_world(bad_config_body, NULL);
}

int main(void)
{
    _Static_assert(ASH_N_ELEMS(bad) >= 80, "the table shrank");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_inputs_are_told),
        cmocka_unit_test(good_inputs_work),
        cmocka_unit_test(channels_are_told_apart),
        cmocka_unit_test(queue_depth_is_sampled),
        cmocka_unit_test(pool_usage_is_told),
        cmocka_unit_test(uuids_may_be_chosen),
        cmocka_unit_test(stop_and_log_reach_the_daemon),
        cmocka_unit_test(configuration_makes_the_state_again),
        cmocka_unit_test(bad_configuration_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
