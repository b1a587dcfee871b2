/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations: TOML when the first byte is even (a document or an error with a reason), else
 * JSON that a whole engine in a simulated world with two files runs; what was made can be saved. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/toml.h"
#include "ctl/jsonrpc/jsonrpc.h"
#include "engine/engine.h"
#include "rt/rt_sim.h"

struct input {
    const char *text;
    size_t n_bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int body(void *arg)
{
    struct input *in = arg;
    struct ash_engine *engine;
    struct ash_err err = {0};
    struct ash_buf saved = {0};
    ASH_ASSERT(ash_engine_create(NULL, &engine, NULL) == 0);
    int rc = jsonrpc_load_config(engine, in->text, in->n_bytes, false, &err);
    ASH_ASSERT(rc == 0 || (rc < 0 && err.text[0]));
    bdev_wait_for_examine(ash_engine_bdevs(engine));
    ASH_ASSERT(jsonrpc_save_config(engine, &saved, &err) == 0 || err.text[0]);
    ash_buf_free(&saved);
    ash_engine_destroy(engine);
    return 0;
}

static void toml(const char *text, size_t n_bytes)
{
    struct json_object *root = NULL;
    struct ash_err err = {0};
    int rc = ash_toml_parse(text, n_bytes, &root, &err);
    ASH_ASSERT(rc == 0 ? root != NULL : root == NULL && err.text[0]);
    json_object_put(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct input in = {.text = (const char *)data + 1, .n_bytes = n_bytes - 1};
    struct rt_opts opts;
    struct rt *rt;
    if (n_bytes < 1 || n_bytes > 4000)
        return 0;
    if (data[0] % 2 == 0) {
        toml(in.text, in.n_bytes);
        return 0;
    }
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_sim_disk_create(rt, "/d", 8 << 20, 512));
    ASH_ASSERT(rt_sim_disk_create(rt, "/e", 8 << 20, 4096));
    rt_run_task(rt, "fuzz", body, &in);
    rt_destroy(rt);
    return 0;
}
