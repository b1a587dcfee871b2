/* SPDX-License-Identifier: Apache-2.0 */
/* Device URIs as users write them, one a line, in a simulated world with two files: whatever they
 * say, what is made can be found by its name and taken away again, and nothing is left. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
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
    ASH_ASSERT(ash_engine_create(NULL, &engine, NULL) == 0);
    struct bdev_mgr *mgr = ash_engine_bdevs(engine);
    for (size_t at = 0; at < in->n_bytes;) {
        const char *end = memchr(in->text + at, '\n', in->n_bytes - at);
        size_t n = (end ? (size_t)(end - in->text) : in->n_bytes) - at;
        char *uri = rt_alloc(n + 1), *name = NULL;
        struct ash_err err = {0};
        ASH_ASSERT(uri);
        memcpy(uri, in->text + at, n);
        at += n + 1;
        int rc = bdev_create_uri(mgr, uri, &name, &err);
        ASH_ASSERT(rc <= 0 && (rc == 0) == (name != NULL));
        ASH_ASSERT(rc == 0 || err.text[0]);
        if (rc == 0) {
            ASH_ASSERT(bdev_find(mgr, name));
            bdev_wait_for_examine(mgr);
            if (n & 1) /* the others go when the engine ends */
                ASH_ASSERT(bdev_destroy_uri(mgr, uri, NULL) <= 0);
        }
        rt_free(name);
        rt_free(uri);
    }
    ash_engine_destroy(engine);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct input in = {.text = (const char *)data, .n_bytes = ASH_MIN(n_bytes, (size_t)2000)};
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_sim_disk_create(rt, "/d", 1 << 20, 512));
    ASH_ASSERT(rt_sim_disk_create(rt, "/dev/sdb", 4 << 20, 4096));
    rt_run_task(rt, "fuzz", body, &in);
    ASH_ASSERT(rt_sim_n_live(rt) == 0);
    rt_destroy(rt);
    return 0;
}
