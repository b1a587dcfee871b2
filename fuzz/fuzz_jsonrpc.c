/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a client would send them, into an engine with a few devices, in a simulated world.
 * The first byte says how the stream is cut. Whatever comes: no crash, every line that is answered
 * is JSON, and the server ends cleanly afterwards. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "ctl/jsonrpc/jsonrpc.h"

struct input {
    const uint8_t *data;
    size_t n_bytes;
    struct rt_sock *sock;
    struct rt_event read_all;
};

static void check_lines(struct ash_buf *got)
{
    char *line = got->data, *nl;
    while (line && (nl = memchr(line, '\n', got->n_bytes - (size_t)(line - got->data)))) {
        struct json_object *v = NULL;
        ASH_ASSERT(jsonrpc_parse(line, (size_t)(nl - line), &v, NULL) == 0);
        ASH_ASSERT(json_object_is_type(v, json_type_object) ||
                   json_object_is_type(v, json_type_array));
        json_object_put(v);
        line = nl + 1;
    }
    ASH_ASSERT(!line || line == got->data + got->n_bytes);
}

static void reader(void *arg)
{
    struct input *in = arg;
    struct ash_buf got = {0};
    char buf[4096];
    for (;;) {
        struct rt_op op = {.kind = RT_OP_RECV, .sock = in->sock, .n_iov = 1};
        op.one_iov = (struct iovec){buf, sizeof(buf)};
        op.iov = &op.one_iov;
        int64_t n = rt_op_wait(&op);
        if (n <= 0)
            break;
        ash_buf_add(&got, buf, (size_t)n);
    }
    check_lines(&got);
    ash_buf_free(&got);
    rt_event_set(&in->read_all, 0);
}

static void writer(struct input *in)
{
    size_t chunk = in->n_bytes && in->data[0] ? in->data[0] : 100000;
    for (size_t pos = 1; pos < in->n_bytes; pos += chunk) {
        struct rt_op op = {.kind = RT_OP_SEND, .sock = in->sock, .n_iov = 1};
        op.one_iov = (struct iovec){(void *)(in->data + pos), ASH_MIN(chunk, in->n_bytes - pos)};
        op.iov = &op.one_iov;
        if (rt_op_wait(&op) < 0)
            break;
    }
}

static int body(void *arg)
{
    struct input *in = arg;
    struct ash_engine *engine;
    struct jsonrpc_server *srv;
    struct rt_sock *far;
    int rc = ash_engine_create(NULL, &engine, NULL);
    if (rc)
        return rc;
    for (int i = 0; i < 3; i++) {
        static const char *const uris[] = {"malloc:///m0?size_mb=1", "malloc:///m1?size_mb=1",
                                           "null:///n0?size_mb=1"};
        char *name = NULL;
        bdev_create_uri(ash_engine_bdevs(engine), uris[i], &name, NULL);
        rt_free(name);
    }
    rc = jsonrpc_serve_only(engine, NULL, &srv, NULL);
    if (rc == 0)
        rc = rt_sock_pair(&in->sock, &far);
    if (rc == 0)
        rc = jsonrpc_adopt(srv, far);
    if (rc == 0)
        rc = rt_task_spawn("reader", reader, in);
    ASH_ASSERT(rc == 0);
    writer(in);
    jsonrpc_close(srv);
    rt_event_wait(&in->read_all);
    rt_sock_close(in->sock);
    ash_engine_destroy(engine);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct input in = {.data = data, .n_bytes = n_bytes, .read_all = RT_EVENT_INIT};
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    if (rt_create(&opts, &rt, NULL))
        abort();
    rt_run_task(rt, "fuzz", body, &in);
    rt_destroy(rt);
    return 0;
}
