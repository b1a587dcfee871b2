/* SPDX-License-Identifier: Apache-2.0 */
/* The manager: modules and their state, examination of new devices, notifications, the end.
 *
 * Each new device is examined by a task: every module's examine_config, then examine_disk of those
 * that its claim allows; afterwards it is announced. There are few such tasks and a queue: a pool
 * may bring thousands of volumes at once. An examination may remove devices, so bdev_unregister
 * waits for one that runs, but takes one that has not begun off the queue: what is waited for
 * always goes on. Source: docs/spec/spdk-jsonrpc.md 13.6. */
#include <errno.h>
#include <string.h>

#include "bdev/core.h"

/* ------------------------------------------------------------ examination */

struct manual_name {
    struct ash_list link;
    char text[];
};

static bool is_on_manual_list(const struct bdev *bdev)
{
    ash_list_for_each (l, &bdev->mgr->manual) {
        const char *text = ash_list_entry(l, struct manual_name, link)->text;
        struct ash_hnode *node = ash_htab_find(&bdev->mgr->names, text);
        if (node && ash_container_of(node, struct bdev_name, node)->bdev == bdev)
            return true;
    }
    return false;
}

static bool may_examine_disk(const struct bdev *bdev, const struct bdev_module *m)
{
    const struct bdev_core *core = bdev->core;
    return core->claim == BDEV_CLAIM_NONE || strcmp(core->claim_by, m->name) == 0;
}

static void examine_end(struct bdev *bdev)
{
    struct bdev_core *core = bdev->core;
    struct bdev_mgr *mgr = bdev->mgr;
    if (!core->announced)
        bdev_notify(mgr, "bdev_register", bdev->name);
    core->announced = true;
    core->examining = false;
    rt_waitq_wake_all(&core->changed);
    if (--mgr->n_examining == 0)
        rt_waitq_wake_all(&mgr->examine_done);
}

static void examine_one(struct bdev *bdev) ASH_MAY_WAIT
{
    struct bdev_mgr *mgr = bdev->mgr;
    struct bdev_core *core = bdev->core;
    bool wanted =
        (!mgr->opts.no_auto_examine || is_on_manual_list(bdev)) && bdev_supports(bdev, BDEV_READ);
    if (!ash_list_empty(&mgr->injections))
        bdev_inject_apply(bdev); /* without memory the device works, without its faults */
    for (size_t i = 0; wanted && i < mgr->n_modules && !core->removing; i++)
        if (mgr->modules[i]->examine_config)
            mgr->modules[i]->examine_config(mgr, bdev);
    for (size_t i = 0; wanted && i < mgr->n_modules && !core->removing; i++)
        if (mgr->modules[i]->examine_disk && may_examine_disk(bdev, mgr->modules[i]))
            mgr->modules[i]->examine_disk(mgr, bdev);
    examine_end(bdev);
}

enum { N_EXAMINERS = 16 };

static void examine_task(void *arg)
{
    struct bdev_mgr *mgr = arg;
    struct ash_list *l;
    while ((l = ash_list_pop_head(&mgr->examine_queue)))
        examine_one(ash_list_entry(l, struct bdev_core, examine_link)->bdev);
    mgr->n_examiners--;
    rt_waitq_wake_all(&mgr->examine_done);
}

int bdev_examine_start(struct bdev *bdev)
{
    struct bdev_mgr *mgr = bdev->mgr;
    if (mgr->n_examiners < N_EXAMINERS) {
        int rc = rt_task_spawn("bdev examine", examine_task, mgr);
        if (rc && mgr->n_examiners == 0)
            return rc;
        mgr->n_examiners += rc == 0;
    }
    ash_list_push_tail(&mgr->examine_queue, &bdev->core->examine_link);
    bdev->core->examining = true;
    mgr->n_examining++;
    return 0;
}

void bdev_examine_drop(struct bdev *bdev)
{
    if (ash_list_empty(&bdev->core->examine_link))
        return;
    ash_list_remove(&bdev->core->examine_link);
    examine_end(bdev);
}

void bdev_wait_for_examine(struct bdev_mgr *mgr)
{
    while (mgr->n_examining)
        rt_waitq_wait(&mgr->examine_done);
}

void bdev_wait_examined(struct bdev *bdev)
{
    struct bdev_core *core = bdev->core;
    core->n_working++; /* a removal waits for us */
    while (core->examining)
        rt_waitq_wait(&core->changed);
    if (--core->n_working == 0)
        rt_waitq_wake_all(&core->changed);
}

int bdev_examine(struct bdev_mgr *mgr, const char *name, struct ash_err *err)
{
    if (!mgr->opts.no_auto_examine)
        return ash_err_set(err, ASH_E_BAD_ARGUMENT, name,
                           "devices are examined by themselves: there is nothing to ask for");
    ash_list_for_each (l, &mgr->manual) {
        if (strcmp(ash_list_entry(l, struct manual_name, link)->text, name) == 0)
            return ash_err_set(err, ASH_E_BDEV_EXISTS, name,
                               "device '%s' is on the list of devices to examine already", name);
    }
    size_t n = strlen(name) + 1;
    struct manual_name *m = rt_alloc(sizeof(*m) + n);
    if (!m)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory");
    memcpy(m->text, name, n);
    ash_list_push_tail(&mgr->manual, &m->link);
    struct bdev *bdev = bdev_find(mgr, name);
    if (!bdev || bdev->core->examining)
        return 0;
    int rc = bdev_examine_start(bdev);
    return rc ? ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory to examine '%s'", name) : 0;
}

/* ---------------------------------------------------------- notifications */

void bdev_watch_add(struct bdev_mgr *mgr, struct bdev_watch *watch)
{
    ash_list_push_tail(&mgr->watches, &watch->link);
}

void bdev_watch_del(struct bdev_watch *watch)
{
    ash_list_remove(&watch->link);
}

void bdev_notify(struct bdev_mgr *mgr, const char *type, const char *name)
{
    ash_list_for_each_safe (l, &mgr->watches) {
        struct bdev_watch *w = ash_list_entry(l, struct bdev_watch, link);
        w->fn(w, type, name);
    }
}

/* --------------------------------------------------------------- manager */

void *bdev_module_state(struct bdev_mgr *mgr, const struct bdev_module *module)
{
    for (size_t i = 0; i < mgr->n_inited; i++)
        if (mgr->modules[i] == module)
            return mgr->states[i];
    return NULL;
}

void bdev_mgr_set_pools(struct bdev_mgr *mgr, struct pool_mgr *pools)
{
    mgr->pools = pools;
}

struct pool_mgr *bdev_mgr_pools(struct bdev_mgr *mgr)
{
    return mgr->pools;
}

static size_t count_modules(struct bdev_module *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

static void mgr_free(struct bdev_mgr *mgr)
{
    bdev_inject_clear(mgr);
    while (mgr->n_inited) {
        size_t i = --mgr->n_inited;
        if (mgr->modules[i]->fini)
            mgr->modules[i]->fini(mgr, mgr->states[i]);
    }
    struct ash_list *l;
    while ((l = ash_list_pop_head(&mgr->manual)))
        rt_free(ash_list_entry(l, struct manual_name, link));
    ash_htab_fini(&mgr->names);
    rt_free(mgr->modules);
    rt_free(mgr->states);
    rt_free(mgr->zero_mem);
    rt_free(mgr);
}

static int mgr_init(struct bdev_mgr *mgr, struct bdev_module *const *extra)
{
    size_t n_own = count_modules(bdev_modules), n_extra = count_modules(extra);
    mgr->modules = rt_alloc((n_own + n_extra) * sizeof(mgr->modules[0]));
    mgr->states = rt_alloc((n_own + n_extra) * sizeof(mgr->states[0]));
    /* fresh pages of the system: costs address space only until it is used */
    mgr->zero_mem = rt_alloc(BDEV_ZERO_BYTES + 4096);
    if (!mgr->modules || !mgr->states || !mgr->zero_mem || ash_htab_init(&mgr->names))
        return -ENOMEM;
    mgr->zeroes = (const void *)ash_align_up((uintptr_t)mgr->zero_mem, 4096);
    memcpy(mgr->modules, bdev_modules, n_own * sizeof(mgr->modules[0]));
    if (n_extra)
        memcpy(mgr->modules + n_own, extra, n_extra * sizeof(mgr->modules[0]));
    mgr->n_modules = n_own + n_extra;
    while (mgr->n_inited < mgr->n_modules) {
        struct bdev_module *m = mgr->modules[mgr->n_inited];
        int rc = m->init ? m->init(mgr, &mgr->states[mgr->n_inited]) : 0;
        if (rc)
            return rc;
        mgr->n_inited++;
    }
    return 0;
}

int bdev_mgr_create(struct bdev_module *const *extra, const struct bdev_mgr_opts *opts,
                    struct bdev_mgr **ret_mgr, struct ash_err *err)
{
    bdev_assert_control();
    struct bdev_mgr *mgr = rt_alloc(sizeof(*mgr));
    if (!mgr)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for the device manager");
    mgr->rt = rt_world();
    if (opts)
        mgr->opts = *opts;
    ash_list_init(&mgr->bdevs);
    ash_list_init(&mgr->watches);
    ash_list_init(&mgr->manual);
    ash_list_init(&mgr->injections);
    ash_list_init(&mgr->examine_queue);
    rt_waitq_init(&mgr->examine_done);
    rt_waitq_init(&mgr->bdev_gone);
    int rc = mgr_init(mgr, extra);
    if (rc) {
        mgr_free(mgr);
        return ash_err_set_rc(err, rc, ASH_E_NO_MEMORY, NULL,
                              "the device modules could not be set up");
    }
    *ret_mgr = mgr;
    return 0;
}

/* The youngest device that is not being removed: what stands on others is younger than they. */
static struct bdev *topmost(struct bdev_mgr *mgr)
{
    for (struct ash_list *l = mgr->bdevs.prev; l != &mgr->bdevs; l = l->prev) {
        struct bdev_core *core = ash_list_entry(l, struct bdev_core, link);
        if (!core->removing)
            return core->bdev;
    }
    return NULL;
}

void bdev_mgr_destroy(struct bdev_mgr *mgr)
{
    if (!mgr)
        return;
    bdev_assert_control();
    /* nothing waits for a base any more, or a device would come back while others go */
    mgr->opts.no_auto_examine = true;
    while (!ash_list_empty(&mgr->bdevs) || mgr->n_examiners) {
        struct bdev *bdev = topmost(mgr);
        if (bdev)
            bdev_unregister(bdev);
        else if (mgr->n_examiners)
            rt_waitq_wait(&mgr->examine_done);
        else
            rt_waitq_wait(&mgr->bdev_gone);
    }
    mgr_free(mgr);
}
