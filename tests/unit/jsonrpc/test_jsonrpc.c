/* SPDX-License-Identifier: Apache-2.0 */
/* jsonrpc: the transport with toy methods: conformance vectors of docs/spec/spdk-jsonrpc.md 1.8a,
 * ids, notifications, batches, order, limits, endings, start-up states. */
#include "world.h"

#define INV                                                                                        \
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"Invalid "           \
    "request\"}}"
#define PARSE                                                                                      \
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"Parse error\"}}"
#define OK(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":true}"
#define ERR(id)                                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":{\"code\":-19,\"message\":\"No such device\"}}"

/* -------------------------------------------------------------------- toys */

static int toy_ok(struct ash_call *call, void *params)
{
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int toy_err(struct ash_call *call, void *params)
{
    return -ENODEV;
}

static int toy_half(struct ash_call *call, void *params)
{
    ash_jsonw_arr(call->result, NULL);
    ash_jsonw_str(call->result, NULL, "half a result");
    return -ENODEV;
}

static int toy_slow(struct ash_call *call, void *params)
{
    rt_sleep_ns(300000000);
    return toy_ok(call, params);
}

static int toy_str(struct ash_call *call, void *params)
{
    ash_jsonw_str(call->result, NULL, "h\xc3\xa9/\x7f");
    return 0;
}

struct echo_params {
    char *text;
    uint64_t fill;
    struct json_object *any;
};

static const struct ash_param echo_table[] = {
    ASH_PARAM(struct echo_params, text, ASH_P_STR, ASH_P_REQUIRED, NULL, "answered"),
    ASH_PARAM(struct echo_params, fill, ASH_P_U64, 0, "0", "so many bytes more"),
    ASH_PARAM(struct echo_params, any, ASH_P_JSON, 0, NULL, "ignored"),
    {0},
};

static int toy_echo(struct ash_call *call, void *params)
{
    const struct echo_params *p = params;
    struct ash_buf out ASH_CLEANUP(ash_buf_free) = {0};
    ash_buf_str(&out, p->text);
    for (uint64_t i = 0; i < p->fill; i++)
        ash_buf_chr(&out, 'x');
    ash_jsonw_strn(call->result, NULL, ash_buf_text(&out), out.n_bytes);
    return 0;
}

static int toy_told(struct ash_call *call, void *params)
{
    return ash_err_set(call->err, ASH_E_POOL_FULL, "tank", "pool 'tank' has no free cluster");
}

static const struct ash_method toys[] = {
    {.name = "ok", .help = "true", .run = toy_ok},
    {.name = "err", .run = toy_err},
    {.name = "half", .run = toy_half},
    {.name = "slow", .run = toy_slow},
    {.name = "np", .flags = ASH_M_NO_PARAMS, .run = toy_ok},
    {.name = "str", .run = toy_str},
    {.name = "told", .run = toy_told},
    {.name = "early", .flags = ASH_M_STARTUP, .run = toy_ok},
    {.name = "old", .flags = ASH_M_HIDDEN, .run = toy_ok},
    {.name = "echo",
     .params = echo_table,
     .params_bytes = sizeof(struct echo_params),
     .run = toy_echo},
    {0},
};

static const struct ash_method *const toy_tables[] = {toys, NULL};
static const struct jsonrpc_opts toy_opts = {.extra = toy_tables};

/* ----------------------------------------------------------------- vectors */

static const struct {
    const char *sent, *received; /* lines */
} vectors[] = {
    {"{\"id\":1,\"method\":\"ok\"}{\"id\":\"a\",\"method\":\"ok\"}", OK("1") "\n" OK("\"a\"")},
    {"{\"id\":1.0e0,\"method\":\"ok\"}", OK("1.0e0")},
    {"{\"id\":-0.0,\"method\":\"ok\"}", OK("-0.0")},
    {"{\"id\":123456789012345678901234567890,\"method\":\"ok\"}",
     OK("123456789012345678901234567890")},
    {"{\"id\":\"a\\u0000b\",\"method\":\"ok\"}", OK("\"a\\u0000b\"")},
    {"{\"id\":\"\\u00e9\\/\xc3\xa9\",\"method\":\"ok\"}", OK("\"\\u00E9/\\u00E9\"")},
    {"{\"id\":\"\",\"method\":\"ok\"}", OK("\"\"")},
    {"{\"method\":\"ok\"}", ""},
    {"{\"method\":\"ok\",\"id\":null}", ""},
    {"{\"method\":\"err\"}", ERR("null")},
    {"{\"method\":\"err\",\"id\":null}", ERR("null")},
    {"{\"id\":true,\"method\":\"ok\"}", INV},
    {"{\"id\":{},\"method\":\"ok\"}", INV},
    {"{\"id\":[1],\"method\":\"ok\"}", INV},
    {"{\"id\":1,\"method\":\"ok\",\"extra\":1}", INV},
    {"{\"id\":1,\"method\":\"ok\",\"jsonrpc\":\"1.0\"}", INV},
    {"{\"id\":1,\"method\":\"ok\",\"jsonrpc\":2.0}", INV},
    {"{\"id\":1,\"method\":\"ok\",\"jsonrpc\":null}", INV},
    {"{\"id\":1,\"method\":\"ok\",\"jsonrpc\":\"2.0\"}", OK("1")},
    {"{\"id\":1,\"id\":1,\"method\":\"ok\"}", INV},
    {"{\"id\":1,\"method\":\"ok\",\"method\":\"ok\"}", INV},
    {"{\"id\":1}", INV},
    {"{}", INV},
    {"{\"id\":1,\"method\":5}", INV},
    {"{\"id\":1,\"method\":null}", INV},
    {"{\"id\":1,\"m\\u0065thod\":\"o\\u006b\"}", OK("1")},
    {"\"abc\"", INV},
    {"12", INV},
    {"12 ", INV},
    {"true null", INV "\n" INV},
    {"[]", INV},
    {"[5]", "[" INV "]"},
    {"[[]]", "[" INV "]"},
    {"{\"id\":1,\"method\":\"np\",\"params\":\"x\"}",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32600,\"message\":\"Invalid request\"}}"},
    {"{\"id\":1,\"method\":\"np\",\"params\":5}",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32600,\"message\":\"Invalid request\"}}"},
    {"{\"id\":1,\"method\":\"np\",\"params\":null}", OK("1")},
    {"{\"id\":1,\"method\":\"np\",\"params\":{}}", OK("1")},
    {"[{\"id\":1,\"method\":\"ok\"},{\"method\":\"ok\"}]", "[" OK("1") "]"},
    {"[{\"method\":\"ok\"},{\"method\":\"ok\"}]", ""},
    {"{\"id\":1,\"method\":\"str\"}",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"h\\u00E9/\\u007F\"}"},
    {"{\"id\":1,\"method\":\"half\"}", ERR("1")},
    {" \r\n\t{ \"id\" : 1 ,\n \"method\" : \"ok\" } \n", OK("1")},
    {"{\"id\":1,\"method\":\"old\"}", OK("1")},
    {"{\"id\":1,\"method\":\"told\"}",
     "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-28,\"message\":\"No space left on "
     "device\",\"data\":{\"reason\":\"POOL_FULL\",\"object\":\"tank\",\"detail\":\"pool 'tank' has "
     "no free cluster\",\"hint\":\"delete volumes or snapshots, or grow the pool\"}}}"},
};

static int vectors_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, &toy_opts);
    for (unsigned seed = 0; seed < 6; seed++) {
        for (size_t i = 0; i < ASH_N_ELEMS(vectors); i++) {
            client_send(&s.c, vectors[i].sent, strlen(vectors[i].sent), seed);
            client_send(&s.c, " ", 1, 0);
            char *copy = strdup(vectors[i].received), *rest = copy, *line;
            while ((line = strsep(&rest, "\n")) && *line)
                client_expect(&s.c, line);
            free(copy);
            /* and nothing else: the next reply is the one to this */
            client_text(&s.c, "{\"id\":\"end\",\"method\":\"ok\"}");
            client_expect(&s.c, OK("\"end\""));
        }
    }
    setup_end(&s);
    return 0;
}

static void vectors_hold(void **state)
{
    in_world(vectors_body, NULL);
}

/* The elements end in order of their errors and tasks, so this is not compared as text. */
static int batch_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, &toy_opts);
    struct json_object *v =
        client_call(&s.c, "[{\"id\":1,\"method\":\"ok\"},5,{\"method\":\"ok\"},{\"id\":2,"
                          "\"method\":\"err\"}]");
    CHECK(json_object_array_length(v) == 3);
    unsigned seen = 0;
    for (size_t i = 0; i < 3; i++) {
        struct json_object *e = json_object_array_get_idx(v, i);
        struct json_object *id = member(e, "id"), *error = member(e, "error");
        if (json_object_get_int(id) == 1)
            seen |= member(e, "result") ? 1 : 0;
        else if (json_object_get_int(id) == 2)
            seen |= json_object_get_int(member(error, "code")) == -19 ? 2 : 0;
        else
            seen |= json_object_get_int(member(error, "code")) == -32600 ? 4 : 0;
    }
    CHECK(seen == 7, "seen %x", seen);
    json_object_put(v);

    client_text(&s.c, "[{\"id\":1,\"method\":\"slow\"},{\"id\":2,\"method\":\"ok\"}]");
    client_expect(&s.c, "[" OK("2") "," OK("1") "]");
    client_text(&s.c, "{\"id\":1,\"method\":\"slow\"}{\"id\":2,\"method\":\"ok\"}");
    client_expect(&s.c, OK("2"));
    client_expect(&s.c, OK("1"));
    /* batches do not wait for one another */
    client_text(&s.c, "[{\"id\":1,\"method\":\"slow\"}][{\"id\":2,\"method\":\"ok\"}]");
    client_expect(&s.c, "[" OK("2") "]");
    client_expect(&s.c, "[" OK("1") "]");
    setup_end(&s);
    return 0;
}

static void batches_and_order(void **state)
{
    in_world(batch_body, NULL);
}

/* ---------------------------------------------------------- broken streams */

static void fill(struct ash_buf *buf, const char *head, const char *unit, size_t n,
                 const char *tail)
{
    ash_buf_str(buf, head);
    for (size_t i = 0; i < n; i++)
        ash_buf_str(buf, unit);
    ash_buf_str(buf, tail);
}

static int broken_body(void *arg)
{
    static const struct {
        const char *head, *unit;
        size_t n;
        const char *tail;
    } rows[] = {
        {"{\"id\":1,/*c*/\"method\":\"ok\"}", "", 0, ""},
        {"{\"id\":1,\"method\":\"ok\",}", "", 0, ""},
        {"{\"id\":1,\"method\":\"ok\",\"params\":", "[", 70, ""},
        {"{\"id\":1,\"method\":\"ok\",\"params\":[0", ",0", 9000, "]}"},
        {"{\"id\":\"\\ud800\",\"method\":\"ok\"}", "", 0, ""},
        {"{\"id\":\"\xff\",\"method\":\"ok\"}", "", 0, ""},
        {"{\"id\":\"\n\",\"method\":\"ok\"}", "", 0, ""},
        {"hello", "", 0, ""},
        {"{\"id\":'1'}", "", 0, ""},
        {"[{\"id\":1,\"method\":\"ok\"}", "]", 2, ""},
        {"\"", "x", 1100000, "\""},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct setup s;
        setup_begin(&s, NULL, &toy_opts);
        struct ash_buf text = {0};
        fill(&text, rows[i].head, rows[i].unit, rows[i].n, rows[i].tail);
        ash_buf_str(&text, "{\"id\":9,\"method\":\"ok\"}");
        client_text(&s.c, "{\"id\":0,\"method\":\"slow\"}");
        client_send(&s.c, text.data, text.n_bytes, 0);
        ash_buf_free(&text);
        /* the error, the reply that was still to come, the end, in this order or with the batch */
        bool error = false, slow = false;
        char *line;
        while ((line = client_line(&s.c))) {
            error |= strcmp(line, PARSE) == 0;
            slow |= strcmp(line, OK("0")) == 0;
            CHECK(!strstr(line, "\"id\":9"), "row %zu: read on after the error", i);
            free(line);
        }
        CHECK(error && slow, "row %zu: error %d slow %d", i, error, slow);
        setup_end(&s);
    }
    return 0;
}

static void broken_streams_are_told_and_closed(void **state)
{
    in_world(broken_body, NULL);
}

/* ------------------------------------------------------------------ limits */

static int limits_body(void *arg)
{
    struct setup s;
    setup_begin(&s, NULL, &toy_opts);
    /* requests of 200 KiB, 300 KiB and nearly 1 MiB */
    static const size_t sizes[] = {200 << 10, 300 << 10, (1 << 20) - 200};
    for (size_t i = 0; i < ASH_N_ELEMS(sizes); i++) {
        struct ash_buf text = {0};
        fill(&text, "{\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"a\",\"any\":\"", "x",
             sizes[i], "\"}}");
        client_send(&s.c, text.data, text.n_bytes, 0);
        ash_buf_free(&text);
        client_expect(&s.c, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"a\"}");
    }
    /* replies up to 32 MiB */
    client_text(&s.c,
                "{\"id\":2,\"method\":\"echo\",\"params\":{\"text\":\"\",\"fill\":20000000}}");
    char *line = client_line(&s.c);
    CHECK(line && strlen(line) > 20000000 && line[strlen(line) - 1] == '}');
    free(line);
    struct json_object *v = client_call(
        &s.c, "{\"id\":3,\"method\":\"echo\",\"params\":{\"text\":\"\",\"fill\":40000000}}");
    CHECK(json_object_get_int(member(member(v, "error"), "code")) == -32603);
    CHECK(json_object_get_int(member(v, "id")) == 3);
    json_object_put(v);
    /* more in flight than a connection may have: all are answered all the same */
    enum { N = 5000 };
    struct ash_buf text = {0};
    for (int i = 0; i < N; i++)
        ash_buf_fmt(&text, "{\"id\":%d,\"method\":\"%s\"}", i, i % 3 ? "slow" : "ok");
    client_send(&s.c, text.data, text.n_bytes, 0);
    ash_buf_free(&text);
    bool *seen = calloc(N, sizeof(*seen));
    for (int i = 0; i < N; i++) {
        int id;
        line = client_line(&s.c);
        CHECK(line && sscanf(line, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":true}", &id) == 1);
        CHECK(id >= 0 && id < N && !seen[id]);
        seen[id] = true;
        free(line);
    }
    free(seen);
    setup_end(&s);
    return 0;
}

static void limits_hold(void **state)
{
    in_world(limits_body, NULL);
}

static int connections_body(void *arg)
{
    struct ash_engine *engine;
    struct jsonrpc_server *srv, *second;
    struct ash_err err = {0};
    CHECK(ash_engine_create(NULL, &engine, &err) == 0, "%s", err.text);
    CHECK(jsonrpc_listen(engine, "/tmp/ashlar-test.sock", 0, &toy_opts, &srv, &err) == 0, "%s",
          err.text);
    CHECK(jsonrpc_listen(engine, "/tmp/ashlar-test2.sock", 0, NULL, &second, &err) == 0);
    CHECK(jsonrpc_listen(engine, "/tmp/x.sock", 0, &toy_opts, &second, &err) == -EEXIST);
    struct client c[66] = {0};
    for (size_t i = 0; i < ASH_N_ELEMS(c); i++) {
        err = (struct ash_err){0};
        CHECK(rt_connect("unix:///tmp/ashlar-test.sock", &c[i].sock, &err) == 0, "%s", err.text);
        client_text(&c[i], "{\"id\":1,\"method\":\"ok\"}");
        if (i < 64)
            client_expect(&c[i], OK("1"));
    }
    /* two wait; each place that becomes free lets one in */
    struct client other = {0};
    CHECK(rt_connect("unix:///tmp/ashlar-test2.sock", &other.sock, &err) == 0);
    client_text(&other, "{\"id\":2,\"method\":\"ok\"}");
    client_expect(&other, OK("2"));
    client_close(&other);
    client_close(&c[10]);
    client_expect(&c[64], OK("1"));
    client_close(&c[20]);
    client_expect(&c[65], OK("1"));
    for (size_t i = 0; i < ASH_N_ELEMS(c); i++)
        if (i != 10 && i != 20)
            client_close(&c[i]);
    jsonrpc_close(srv);
    jsonrpc_close(second);
    ash_engine_destroy(engine);
    return 0;
}

static void connections_are_limited(void **state)
{
    in_world(connections_body, NULL);
}

/* ----------------------------------------------------------------- endings */

static int endings_body(void *arg)
{
    struct setup s;
    /* the client goes while its request runs */
    setup_begin(&s, NULL, &toy_opts);
    client_text(&s.c, "{\"id\":1,\"method\":\"slow\"}{\"id\":");
    rt_sleep_ns(1000000);
    setup_end(&s);
    /* the server closes while a request runs: its reply still comes */
    setup_begin(&s, NULL, &toy_opts);
    client_text(&s.c, "{\"id\":1,\"method\":\"slow\"}");
    rt_sleep_ns(1000000);
    jsonrpc_close(s.srv);
    client_expect(&s.c, OK("1"));
    client_expect_end(&s.c);
    client_close(&s.c);
    ash_engine_destroy(s.engine);
    /* a client that never reads cannot hold the end up */
    setup_begin(&s, NULL, &toy_opts);
    client_text(&s.c,
                "{\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"\",\"fill\":30000000}}");
    rt_sleep_ns(1000000);
    jsonrpc_close(s.srv);
    client_close(&s.c);
    ash_engine_destroy(s.engine);
    return 0;
}

static void endings_lose_nothing(void **state)
{
    in_world(endings_body, NULL);
}

/* ------------------------------------------------------------------ states */

static void expect_code(struct client *c, const char *request, int code, const char *part)
{
    struct json_object *v = client_call(c, request), *error = member(v, "error");
    int got = error ? json_object_get_int(member(error, "code")) : 0;
    const char *message = error ? json_object_get_string(member(error, "message")) : "";
    CHECK(got == code && strstr(message, part), "%s: %s", request, json_object_to_json_string(v));
    json_object_put(v);
}

static bool lists(struct client *c, const char *params, const char *name)
{
    char request[256];
    snprintf(request, sizeof(request), "{\"id\":1,\"method\":\"rpc_get_methods\",\"params\":%s}",
             params);
    struct json_object *v = client_call(c, request), *list = member(v, "result");
    bool found = false;
    for (size_t i = 0; i < json_object_array_length(list); i++)
        found |= strcmp(json_object_get_string(json_object_array_get_idx(list, i)), name) == 0;
    json_object_put(v);
    return found;
}

static int states_body(void *arg)
{
    struct setup s;
    struct ash_engine_opts eopts = {.wait_for_start = true};
    setup_begin(&s, &eopts, &toy_opts);
    expect_code(&s.c, "{\"id\":1,\"method\":\"ok\"}", -1, "only be called after");
    expect_code(&s.c, "{\"id\":1,\"method\":\"bdev_get_bdevs\"}", -1, "only be called after");
    expect_code(&s.c, "{\"id\":1,\"method\":\"early\"}", 0, "");
    expect_code(&s.c, "{\"id\":1,\"method\":\"spdk_get_version\"}", 0, "");
    CHECK(lists(&s.c, "{\"current\":true}", "framework_start_init"));
    CHECK(!lists(&s.c, "{\"current\":true}", "bdev_get_bdevs"));
    CHECK(lists(&s.c, "null", "bdev_get_bdevs"));
    expect_code(&s.c,
                "{\"id\":1,\"method\":\"bdev_set_options\",\"params\":{\"bdev_io_pool_size\":10}}",
                -32602, "Pool size 10 too small for cache size 256");
    expect_code(
        &s.c, "{\"id\":1,\"method\":\"bdev_set_options\",\"params\":{\"bdev_auto_examine\":false}}",
        0, "");
    client_text(&s.c, "{\"id\":7,\"method\":\"framework_wait_init\"}"
                      "{\"id\":8,\"method\":\"framework_start_init\"}");
    for (int i = 0; i < 2; i++) {
        char *line = client_line(&s.c);
        CHECK(line && strstr(line, "\"result\":true"), "%s", line);
        free(line);
    }
    CHECK(ash_engine_started(s.engine) && !ash_engine_auto_examine(s.engine));
    expect_code(&s.c, "{\"id\":1,\"method\":\"ok\"}", 0, "");
    expect_code(&s.c, "{\"id\":1,\"method\":\"early\"}", -1, "only be called before");
    expect_code(&s.c, "{\"id\":1,\"method\":\"framework_start_init\"}", -1,
                "only be called before");
    expect_code(&s.c, "{\"id\":1,\"method\":\"framework_wait_init\",\"params\":{\"x\":1}}", 0, "");
    CHECK(lists(&s.c, "{}", "ok") && !lists(&s.c, "{}", "old"));
    CHECK(lists(&s.c, "{\"include_aliases\":true}", "old"));
    setup_end(&s);
    /* who waits for a start that never comes is told at the end */
    setup_begin(&s, &eopts, &toy_opts);
    client_text(&s.c, "{\"id\":7,\"method\":\"framework_wait_init\"}");
    rt_sleep_ns(1000000);
    jsonrpc_close(s.srv);
    char *line = client_line(&s.c);
    CHECK(line && strstr(line, "CANCELED"), "%s", line ? line : "(end)");
    free(line);
    client_close(&s.c);
    ash_engine_destroy(s.engine);
    return 0;
}

static void states_gate_methods(void **state)
{
    in_world(states_body, NULL);
}

static int allowed_body(void *arg)
{
    struct setup s;
    struct jsonrpc_opts opts = {.extra = toy_tables, .allowed = "ok,rpc_get_methods"};
    setup_begin(&s, NULL, &opts);
    expect_code(&s.c, "{\"id\":1,\"method\":\"ok\"}", 0, "");
    expect_code(&s.c, "{\"id\":1,\"method\":\"err\"}", -32601, "Method not found");
    expect_code(&s.c, "{\"id\":1,\"method\":\"bdev_get_bdevs\"}", -32601, "Method not found");
    CHECK(!lists(&s.c, "null", "bdev_get_bdevs") && lists(&s.c, "null", "ok"));
    setup_end(&s);
    return 0;
}

static void allowed_list_hides(void **state)
{
    in_world(allowed_body, NULL);
}

/* -------------------------------------------------------------- in-process */

static int call_body(void *arg)
{
    struct ash_engine *engine;
    struct ash_buf out = {0};
    struct ash_err err = {0};
    struct jsonrpc_failure failure;
    CHECK(ash_engine_create(NULL, &engine, &err) == 0);
    CHECK(jsonrpc_setup(engine, &toy_opts, &err) == 0);
    ash_buf_str(&out, "x");
    CHECK(jsonrpc_call(engine, "str", NULL, &out, &err) == 0);
    CHECK(strcmp(out.data, "x\"h\\u00E9/\\u007F\"") == 0, "%s", out.data);
    CHECK(jsonrpc_call_full(engine, "half", NULL, &out, &failure, &err) == -ENODEV);
    CHECK(strcmp(out.data, "x\"h\\u00E9/\\u007F\"") == 0, "%s", out.data);
    CHECK(failure.code == -19 && err.reason == ASH_E_INTERNAL);
    err = (struct ash_err){0};
    CHECK(jsonrpc_call_full(engine, "none", NULL, &out, &failure, &err) == -ENOSYS);
    CHECK(failure.code == -32601 && err.reason == ASH_E_RPC_METHOD);
    ash_buf_reset(&out);
    CHECK(jsonrpc_reference(engine, &out, &err) == 0);
    CHECK(strstr(out.data, "## bdev_lvol_create\n") && !strstr(out.data, "## old\n"));
    ash_buf_free(&out);
    ash_engine_destroy(engine);
    return 0;
}

static void calls_work_in_process(void **state)
{
    in_world(call_body, NULL);
}

/* --------------------------------------------------------- no memory left */

struct nth {
    uint64_t n_left; /* 0: never fails */
    bool hit;
};

static bool fail_nth(void *arg)
{
    struct nth *nth = arg;
    if (nth->n_left == 0 || --nth->n_left)
        return false;
    nth->hit = true;
    return true;
}

/* Whichever allocation fails: every request is answered, or the connection ends; the next client
 * finds everything in order. */
static int memory_body(void *arg)
{
    static const char requests[] =
        "{\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"abc\",\"fill\":5000}}"
        "[{\"id\":2,\"method\":\"slow\"},{\"id\":3,\"method\":\"none\"},7]"
        "{\"id\":4,\"method\":\"rpc_get_methods\"}"
        "{\"id\":\"five\",\"method\":\"bdev_get_iostat\",\"params\":{\"names\":[\"m\"]}}"
        "{\"id\":6,\"method\":\"told\"}";
    enum { N_LINES = 5 };
    for (uint64_t n = 1;; n++) {
        struct nth nth = {0};
        struct setup s;
        setup_begin(&s, NULL, &toy_opts);
        rt_set_alloc_hook(rt_world(), fail_nth, &nth);
        nth.n_left = n;
        bool sent = client_text(&s.c, requests); /* the simulated socket takes memory too */
        int n_lines = 0;
        char *line;
        while (sent && n_lines < N_LINES && (line = client_line(&s.c))) {
            struct json_object *v = NULL;
            CHECK(jsonrpc_parse(line, strlen(line), &v, NULL) == 0 || nth.hit, "%s", line);
            json_object_put(v);
            free(line);
            n_lines++;
        }
        nth.n_left = 0;
        CHECK(!sent || n_lines == N_LINES || s.c.ended, "allocation %llu: %d lines",
              (unsigned long long)n, n_lines);
        struct client other;
        client_connect(s.srv, &other);
        client_text(&other, "{\"id\":1,\"method\":\"ok\"}");
        client_expect(&other, OK("1"));
        client_close(&other);
        rt_set_alloc_hook(rt_world(), NULL, NULL);
        setup_end(&s);
        if (!nth.hit)
            break;
        CHECK(n < 10000);
    }
    return 0;
}

static void any_allocation_may_fail(void **state)
{
    in_world(memory_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(batches_and_order),
        cmocka_unit_test(broken_streams_are_told_and_closed),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(connections_are_limited),
        cmocka_unit_test(endings_lose_nothing),
        cmocka_unit_test(states_gate_methods),
        cmocka_unit_test(allowed_list_hides),
        cmocka_unit_test(calls_work_in_process),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
