/* SPDX-License-Identifier: Apache-2.0 */
/* Lives: an engine on the disk runs steps of the plan until it ends in order, is killed, or loses
 * power; the next one goes on with what is on the disk. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "engine/engine.h"
#include "export/nbd/nbd.h"
#include "world.h"

void sim_note(struct sim_world *w, uint64_t what, uint64_t a, uint64_t b)
{
    uint64_t now_ns = rt_self() ? rt_now_ns() : 0;
    w->hash = sim_mix(w->hash + what) ^ sim_mix(a + 0x9e3779b97f4a7c15ull * b);
    w->hash = sim_mix(w->hash + now_ns);
    w->life_ns = ASH_MAX(w->life_ns, now_ns);
}

void sim_wrong(struct sim_world *w, const char *fmt, ...)
{
    va_list ap;
    if (!sim_is_wrong(w)) {
        va_start(ap, fmt);
        vsnprintf(w->why, sizeof(w->why), fmt, ap);
        va_end(ap);
    }
    if (rt_self())
        rt_stop(w->rt);
}

/* ------------------------------------------------------------------ driving */

static void wait_idle(struct sim_world *w, unsigned n_inflight_max, bool control)
{
    while (!sim_is_wrong(w) &&
           (w->n_inflight > n_inflight_max || (control && w->control) || w->stopping))
        rt_waitq_wait(&w->idle);
}

struct control {
    struct sim_world *w;
    struct sim_step s;
};

static void control_main(void *arg)
{
    struct control *c = arg;
    sim_control(c->w, &c->s);
    c->w->control = false;
    rt_waitq_wake_all(&c->w->idle);
    rt_free(c);
}

static void faults_off(struct sim_world *w)
{
    w->faults.on = false;
    sim_faults_hook(w);
}

/* A countdown to the end begins: in the middle of whatever goes on then. */
static void begin_end(struct sim_world *w, const struct sim_step *s)
{
    w->end = *s;
    w->cutting = true;
    w->n_until = s->a[0] % (s->a[3] & 1 ? 20 : 300);
}

static void start_control(struct sim_world *w, const struct sim_step *s)
{
    struct control *c = rt_alloc(sizeof(*c));
    wait_idle(w, UINT32_MAX - 1, true);
    *c = (struct control){w, *s};
    w->control = true;
    if (rt_task_spawn("control", control_main, c) != 0)
        sim_wrong(w, "no task");
}

/* false: the life ends here, in order. */
static bool drive_step(struct sim_world *w, const struct sim_step *s)
{
    bool exclusive = sim_kind_exclusive(s->kind);
    wait_idle(w, exclusive ? 0 : (unsigned)w->plan->n_inflight_max - 1, exclusive);
    sim_note(w, 0x400 + s->kind, s->a[0], s->a[1]);
    if (sim_is_wrong(w))
        return true;
    w->counts.steps[s->kind]++;
    switch (s->kind) {
    case SIM_WRITE:
    case SIM_READ:
    case SIM_FLUSH:
    case SIM_UNMAP:
    case SIM_ZEROES:
    case SIM_NBD:
        sim_io_start(w, s);
        break;
    case SIM_SLEEP:
        rt_sleep_ns(s->a[0] % 16 ? s->a[1] % 1000000 : s->a[1] % 10000000000ull);
        break;
    case SIM_QUIET:
        faults_off(w);
        sim_ext_back(w);
        sim_verify(w);
        sim_check_idle(w);
        break;
    case SIM_FAULTS:
        sim_faults_start(w, s);
        break;
    case SIM_NO_FAULTS:
        faults_off(w);
        break;
    case SIM_RESTART:
        w->end = *s;
        return false;
    case SIM_KILL:
    case SIM_CUT:
        begin_end(w, s);
        break;
    case SIM_REOPEN:
        faults_off(w);
        sim_ext_back(w);
        sim_control(w, s);
        break;
    default:
        if (exclusive)
            sim_control(w, s);
        else
            start_control(w, s);
    }
    return true;
}

static bool ends_life(const struct sim_step *s)
{
    return s->kind == SIM_KILL || s->kind == SIM_CUT || s->kind == SIM_RESTART ||
           s->kind == SIM_REOPEN;
}

static void drive(struct sim_world *w)
{
    while (w->next_step < w->plan->n_steps && !sim_is_wrong(w)) {
        const struct sim_step *s = &w->plan->steps[w->next_step];
        if (w->cutting && ends_life(s)) {
            rt_stop(w->rt);
            rt_sleep_ns(1);
        }
        w->next_step++;
        if (!drive_step(w, s))
            return;
    }
    if (w->cutting) {
        rt_stop(w->rt);
        rt_sleep_ns(1);
    }
    wait_idle(w, 0, true);
    w->end = (struct sim_step){.kind = SIM_N_KINDS};
    faults_off(w);
    sim_ext_back(w);
    if (w->faulty)
        w->end.kind = SIM_RESTART; /* the next life has no excuses */
    else if (!sim_is_wrong(w))
        sim_finish(w);
}

/* --------------------------------------------------------------------- lives */

static int start_parts(struct sim_world *w, struct ash_err *err) ASH_MAY_WAIT
{
    int rc = bdev_mgr_create(pool_bdev_modules, NULL, &w->mgr, err);
    if (rc == 0)
        rc = pool_mgr_create(w->mgr, &w->pools, err);
    return rc ? rc : nbd_server_create(w->mgr, &w->nbd, err);
}

static int start_whole(struct sim_world *w, struct ash_err *err) ASH_MAY_WAIT
{
    int rc = ash_engine_create(NULL, &w->engine, err);
    if (rc)
        return rc;
    w->pools = ash_engine_pools(w->engine);
    w->mgr = pool_mgr_bdevs(w->pools);
    w->nbd = ash_engine_nbd(w->engine);
    return sim_rpc_start(w, err);
}

static void stop_engine(struct sim_world *w) ASH_MAY_WAIT
{
    if (w->engine) {
        sim_rpc_stop(w);
        ash_engine_destroy(w->engine);
    } else {
        nbd_server_destroy(w->nbd);
        pool_mgr_destroy(w->pools);
        bdev_mgr_destroy(w->mgr);
    }
}

static int start_engine(struct sim_world *w, struct ash_err *err)
{
    char *name = NULL;
    bool late = w->plan->ext_disk && w->counts.n_lives % 2 == 0; /* its clones wait for it */
    int rc = w->plan->rpc ? start_whole(w, err) : start_parts(w, err);
    if (rc == 0 && !late)
        rc = sim_ext_add(w, err);
    if (rc == 0)
        rc = bdev_create_uri(w->mgr, "aio:///d", &name, err);
    if (rc == 0 && late)
        rc = sim_ext_add(w, err);
    bdev_wait_for_examine(w->mgr);
    if (rc == 0 && w->counts.n_lives == 1) {
        struct pool *pool;
        struct pool_create_opts opts = {.cluster_bytes = (uint32_t)w->plan->cluster_bytes,
                                        .uuid = {{0x54}}};
        rc = pool_create(w->pools, name, "tank", &opts, &pool, err);
    }
    rt_free(name);
    return rc;
}

static int life_main(void *arg)
{
    struct sim_world *w = arg;
    struct ash_err err = {0};
    int rc = start_engine(w, &err);
    if (rc || !sim_pool(w)) {
        sim_wrong(w, "the pool does not open: %s", rc ? err.text : "nothing was found on the disk");
        return -1;
    }
    sim_settle(w);
    if (!sim_is_wrong(w))
        drive(w);
    if (sim_is_wrong(w))
        return -1;
    sim_before_close(w);
    stop_engine(w);
    return 0;
}

static void life_task(void *arg)
{
    struct sim_world *w = arg;
    w->life_rc = life_main(w);
    w->cutting = false;
    rt_stop(w->rt);
}

/* false: that was the last. */
static bool live(struct sim_world *w)
{
    struct rt_opts opts;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = (unsigned)w->plan->n_reactors;
    opts.seed = sim_mix(w->plan->seed + 1000003 * ++w->counts.n_lives);
    w->faults.on = w->faulty = w->removed = w->stopping = w->control = w->cutting = false;
    w->ext_away = false;
    w->engine = NULL;
    w->rpc_sock = NULL;
    w->rpc_server = NULL;
    w->n_inflight = w->n_exports = 0;
    w->life_rc = 1;
    if (w->verbose)
        fprintf(stderr, "life %llu\n", (unsigned long long)w->counts.n_lives);
    if (rt_create(&opts, &w->rt, NULL) != 0 || rt_sim_attach(w->rt, "/d", w->disk) != 0 ||
        (w->ext_disk && rt_sim_attach(w->rt, "/ext", w->ext_disk) != 0)) {
        sim_wrong(w, "no world");
        return false;
    }
    sim_faults_hook(w);
    rt_waitq_init(&w->idle);
    int rc = rt_task_spawn_on(rt_reactor(w->rt, 0), "life", life_task, w);
    if (rc == 0)
        rc = rt_run(w->rt);
    if (rc == -EDEADLK)
        sim_wrong(w, "nothing will ever happen again, and %u ios and %s are under way",
                  w->n_inflight, w->control ? "a control operation" : "no control operation");
    else if (rc)
        sim_wrong(w, "the world cannot run: %s", ash_strerror(rc));
    if (w->life_rc == 0) /* it closed in order: whatever still wants to run may, then nothing is */
        (void)rt_run(w->rt);
    if (w->life_rc == 0 && rt_sim_n_live(w->rt) != 0)
        sim_wrong(w, "%zu things were left behind by an orderly close", rt_sim_n_live(w->rt));
    w->counts.n_steps = w->next_step;
    w->counts.sim_ns += w->life_ns;
    w->life_ns = 0;
    rt_sim_discard(w->rt);
    w->rt = NULL;
    sim_own_disk(w);
    return !sim_is_wrong(w) && w->end.kind != SIM_N_KINDS;
}

static void make_ext_disk(struct sim_world *w)
{
    struct rt_sim_image *image = rt_sim_image_new(SIM_EXT_BYTES);
    uint64_t block[SIM_BLOCK / 8];
    w->ext_disk = rt_sim_disk_new(SIM_EXT_BYTES, SIM_BLOCK);
    ASH_ASSERT(w->ext_disk && image);
    for (uint64_t i = 0; i < SIM_EXT_BYTES / SIM_BLOCK; i++) {
        for (size_t k = 0; k < ASH_N_ELEMS(block); k++)
            block[k] = sim_ext_tag(i);
        ASH_ASSERT(rt_sim_image_write(image, i * SIM_BLOCK, block, sizeof(block)) == 0);
    }
    rt_sim_disk_give_image(w->ext_disk, image);
}

bool sim_world_run(struct sim_world *w, const struct sim_plan *plan, bool verbose)
{
    *w = (struct sim_world){.plan = plan, .verbose = verbose};
    w->disk = rt_sim_disk_new(plan->disk_bytes, (uint32_t)plan->block_bytes);
    w->medium = rt_sim_image_new(plan->disk_bytes);
    ASH_ASSERT(w->disk && w->medium);
    rt_sim_disk_set_device(w->disk, plan->is_device);
    rt_sim_disk_set_features(w->disk, plan->can_punch != 0, plan->can_punch != 0);
    rt_sim_disk_set_trim(w->disk, (enum rt_sim_trim)(plan->trim % 3));
    rt_sim_disk_set_log(w->disk, &w->log);
    w->rare_rng = w->rpc_rng = plan->seed;
    if (plan->ext_disk)
        make_ext_disk(w);
    w->end.kind = SIM_N_KINDS;
    while (live(w)) {
        sim_note(w, 0x500 + w->end.kind, w->log.n_entries, 0);
        sim_disk_after(w);
        w->end.kind = SIM_N_KINDS;
        if (sim_is_wrong(w))
            break;
    }
    return !sim_is_wrong(w);
}

void sim_world_free(struct sim_world *w)
{
    ora_free(&w->ora);
    rt_sim_disk_set_log(w->disk, NULL);
    rt_sim_disk_put(w->disk);
    rt_sim_image_free(w->medium);
    rt_sim_log_free(&w->log);
    rt_sim_image_free(w->old_image);
    rt_sim_image_free(w->own_image);
    ora_free(&w->old_ora);
    if (w->ext_disk)
        rt_sim_disk_put(w->ext_disk);
}
