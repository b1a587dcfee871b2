/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: names, registration and removal, descriptors, events.
 *
 * Invariants
 *   - Names, aliases and UUIDs of all devices are one name space, compared exactly.
 *   - A device that is being removed is found by nobody, but its names stay taken until the last
 *     descriptor is closed and nobody works on it any more.
 *   - Each descriptor hears REMOVE at most once, from a job, never from inside another call.
 * Source: docs/spec/spdk-jsonrpc.md 13.1, 13.2, 13.4, 13.5. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bdev/core.h"

/* ----------------------------------------------------------------- names */

static int name_add(struct bdev *bdev, const char *text, struct bdev_name **ret_name)
{
    size_t n = strlen(text) + 1;
    struct bdev_name *name = rt_alloc(sizeof(*name) + n);
    if (!name)
        return -ENOMEM;
    memcpy(name->text, text, n);
    name->bdev = bdev;
    ash_list_init(&name->link);
    int rc = ash_htab_insert(&bdev->mgr->names, &name->node, name->text);
    if (rc) {
        rt_free(name);
        return rc;
    }
    *ret_name = name;
    return 0;
}

static void name_del(struct bdev_name *name)
{
    ash_list_remove(&name->link);
    ash_htab_remove(&name->bdev->mgr->names, &name->node);
    rt_free(name);
}

int bdev_alias_add(struct bdev *bdev, const char *alias)
{
    bdev_assert_control();
    struct bdev_name *name;
    int rc = name_add(bdev, alias, &name);
    if (rc)
        return rc;
    ash_list_push_tail(&bdev->core->aliases, &name->link);
    bdev->core->n_aliases++;
    return 0;
}

int bdev_alias_del(struct bdev *bdev, const char *alias)
{
    bdev_assert_control();
    struct ash_hnode *node = ash_htab_find(&bdev->mgr->names, alias);
    struct bdev_name *name = node ? ash_container_of(node, struct bdev_name, node) : NULL;
    if (!name || name->bdev != bdev || name == bdev->core->name)
        return -ENOENT;
    name_del(name);
    bdev->core->n_aliases--;
    return 0;
}

size_t bdev_n_aliases(const struct bdev *bdev)
{
    return bdev->core->n_aliases;
}

const char *bdev_alias(const struct bdev *bdev, size_t idx)
{
    ash_list_for_each (l, &bdev->core->aliases) {
        if (idx-- == 0)
            return ash_list_entry(l, struct bdev_name, link)->text;
    }
    return NULL;
}

static struct bdev *find_any(struct bdev_mgr *mgr, const char *name)
{
    struct ash_hnode *node = ash_htab_find(&mgr->names, name);
    struct ash_uuid uuid;
    char text[ASH_UUID_TEXT_BYTES];
    if (!node && ash_uuid_parse(name, &uuid) == 0)
        node = ash_htab_find(&mgr->names, ash_uuid_format(&uuid, text));
    return node ? ash_container_of(node, struct bdev_name, node)->bdev : NULL;
}

struct bdev *bdev_find(struct bdev_mgr *mgr, const char *name)
{
    bdev_assert_control();
    struct bdev *bdev = find_any(mgr, name);
    return bdev && !bdev->core->removing ? bdev : NULL;
}

struct bdev *bdev_next(struct bdev_mgr *mgr, struct bdev *prev)
{
    bdev_assert_control();
    struct ash_list *l = prev ? prev->core->link.next : mgr->bdevs.next;
    return l == &mgr->bdevs ? NULL : ash_list_entry(l, struct bdev_core, link)->bdev;
}

bool bdev_is_open(const struct bdev *bdev)
{
    return !ash_list_empty(&bdev->core->descs);
}

/* ---------------------------------------------------------- registration */

static int check_geometry(const struct bdev *bdev, struct ash_err *err)
{
    const char *name = bdev->name ? bdev->name : "";
    if (!*name)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, NULL, "a device needs a name");
    if (bdev->block_bytes == 0 || bdev->block_bytes > BDEV_ZERO_BYTES)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, name,
                           "block size %u of device '%s' cannot be: 1 to %u bytes are allowed",
                           bdev->block_bytes, name, BDEV_ZERO_BYTES);
    if (bdev->size_bytes % bdev->block_bytes)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, name,
                           "size %llu of device '%s' is no multiple of its block size %u",
                           (unsigned long long)bdev->size_bytes, name, bdev->block_bytes);
    const uint64_t limits[] = {bdev->boundary_bytes, bdev->max_rw_bytes, bdev->max_unmap_bytes,
                               bdev->max_write_zeroes_bytes};
    for (size_t i = 0; i < ASH_N_ELEMS(limits); i++) {
        if (limits[i] % bdev->block_bytes)
            return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, name,
                               "a limit of device '%s', %llu bytes, is no multiple of its block "
                               "size %u",
                               name, (unsigned long long)limits[i], bdev->block_bytes);
    }
    return 0;
}

static uint32_t sample_caps(struct bdev *bdev)
{
    uint32_t caps = 0;
    for (unsigned t = 0; t < BDEV_N_IO_TYPES; t++)
        if (bdev->ops->supports(bdev, (enum bdev_io_type)t))
            caps |= BDEV_BIT(t);
    return caps;
}

void bdev_caps_changed(struct bdev *bdev)
{
    bdev_assert_control();
    __atomic_store_n(&bdev->supported, sample_caps(bdev), __ATOMIC_RELAXED);
}

static void fill_derived(struct bdev *bdev)
{
    if (ash_uuid_is_nil(&bdev->uuid))
        rt_random_uuid(&bdev->uuid);
    if (!bdev->phys_block_bytes)
        bdev->phys_block_bytes = bdev->block_bytes;
    if (!bdev->align_bytes)
        bdev->align_bytes = 1;
    bdev->io_ctx_bytes = (uint32_t)ash_align_up(bdev->io_ctx_bytes, 16);
    bdev->stack_bytes = (uint32_t)ash_align_up(sizeof(struct bdev_frame) + bdev->io_ctx_bytes, 16) +
                        bdev->lower_stack_bytes;
    bdev->supported = sample_caps(bdev);
    if (ash_is_pow2(bdev->block_bytes))
        bdev->core->block_mask = bdev->block_bytes - 1;
}

static struct bdev_core *core_alloc(struct bdev_mgr *mgr, struct bdev *bdev)
{
    unsigned n = rt_n_reactors(mgr->rt);
    struct bdev_core *core = rt_alloc(sizeof(*core) + n * sizeof(core->slots[0]));
    if (!core)
        return NULL;
    core->bdev = bdev;
    core->mgr = mgr;
    core->n_slots = n;
    ash_list_init(&core->link);
    ash_list_init(&core->examine_link);
    ash_list_init(&core->aliases);
    ash_list_init(&core->descs);
    ash_list_init(&core->gates);
    rt_waitq_init(&core->changed);
    for (unsigned i = 0; i < n; i++) {
        ash_list_init(&core->slots[i].gates);
        rt_waitq_init(&core->slots[i].gate_waiters);
    }
    return core;
}

/* Everything of the registration that holds no I/O; undoes a half-made one, too. */
static void core_free(struct bdev *bdev)
{
    struct bdev_core *core = bdev->core;
    struct ash_list *l;
    while (!ash_list_empty(&core->aliases)) {
        l = core->aliases.next;
        name_del(ash_list_entry(l, struct bdev_name, link));
    }
    if (core->name)
        name_del(core->name);
    ash_list_remove(&core->link);
    for (unsigned i = 0; i < core->n_slots; i++)
        rt_free(core->slots[i].hist);
    bdev_inject_gone(core);
    rt_free(core->qos_state);
    rt_free(core);
    bdev->core = NULL;
}

static int add_names(struct bdev *bdev)
{
    char text[ASH_UUID_TEXT_BYTES];
    ash_uuid_format(&bdev->uuid, text);
    if (strcmp(text, bdev->name) != 0) {
        int rc = bdev_alias_add(bdev, text);
        if (rc)
            return rc;
    }
    return name_add(bdev, bdev->name, &bdev->core->name);
}

int bdev_register(struct bdev_mgr *mgr, struct bdev *bdev, struct ash_err *err)
{
    bdev_assert_control();
    int rc = check_geometry(bdev, err);
    if (rc)
        return rc;
    bdev->core = core_alloc(mgr, bdev);
    if (!bdev->core)
        return ash_err_set(err, ASH_E_NO_MEMORY, bdev->name, "no memory for device '%s'",
                           bdev->name);
    bdev->mgr = mgr;
    struct ash_uuid was = bdev->uuid;
    fill_derived(bdev);
    rc = add_names(bdev);
    if (rc == -EEXIST)
        ash_err_set(err, ASH_E_BDEV_EXISTS, bdev->name,
                    "a device with the name or UUID of '%s' exists already", bdev->name);
    else if (rc)
        ash_err_set(err, ASH_E_NO_MEMORY, bdev->name, "no memory for device '%s'", bdev->name);
    if (rc == 0) {
        ash_list_push_tail(&mgr->bdevs, &bdev->core->link);
        rc = bdev_examine_start(bdev);
        if (rc)
            ash_err_set(err, ASH_E_NO_MEMORY, bdev->name, "no memory to examine device '%s'",
                        bdev->name);
    }
    if (rc) {
        core_free(bdev);
        bdev->uuid = was;
    }
    return rc;
}

static void slot_removed(struct bdev_slot *slot, unsigned idx, void *arg)
{
    slot->removed = true;
    if (slot->ch)
        bdev_gate_abort_queued(slot->ch);
    rt_waitq_wake_all(&slot->gate_waiters);
}

static bool is_settled(const struct bdev_core *core)
{
    return ash_list_empty(&core->descs) && ash_list_empty(&core->gates) && !core->examining &&
           !core->resetting && core->n_working == 0;
}

/* docs/spec/spdk-jsonrpc.md 13.5 point 4: who keeps a device from going is told, once. */
#define HOLDER_PATIENCE_NS 10000000000ull

struct patience {
    struct rt_timer timer;
    struct bdev_core *core;
};

static void patience_ends(struct rt_timer *timer)
{
    const struct patience *p = ash_container_of(timer, struct patience, timer);
    const char *name = p->core->bdev->name;
    ash_list_for_each (l, &p->core->descs) {
        const struct bdev_desc *d = ash_list_entry(l, struct bdev_desc, link);
        rt_log(RT_LOG_WARN, "bdev",
               "device '%s' is to be removed, but after 10 s '%s' has not closed it; the removal "
               "goes on waiting",
               name, *d->who ? d->who : "somebody");
    }
    if (ash_list_empty(&p->core->descs))
        rt_log(RT_LOG_WARN, "bdev",
               "device '%s' is to be removed, but its I/O has not ended in 10 s", name);
}

int bdev_unregister(struct bdev *bdev)
{
    bdev_assert_control();
    struct bdev_core *core = bdev->core;
    struct bdev_mgr *mgr = bdev->mgr;
    if (core->removing)
        return -EBUSY;
    core->removing = true;
    rt_step("removing: queued I/O");
    bdev_on_slots(bdev, slot_removed, NULL);
    rt_step("removing: waiting for the examination");
    bdev_examine_drop(bdev);
    while (core->examining)
        rt_waitq_wait(&core->changed);
    ash_list_for_each (l, &core->descs)
        bdev_send_remove(ash_list_entry(l, struct bdev_desc, link));
    rt_step("removing: waiting for holders to close");
    struct patience patience = {.timer = {.fire = patience_ends}, .core = core};
    rt_timer_start(&patience.timer, HOLDER_PATIENCE_NS);
    while (!is_settled(core))
        rt_waitq_wait(&core->changed);
    rt_timer_stop(&patience.timer);
    char *name = rt_strdup(bdev->name);
    core_free(bdev);
    bdev_notify(mgr, "bdev_unregister", name ? name : "");
    rt_free(name);
    bdev->ops->destroy(bdev);
    rt_waitq_wake_all(&mgr->bdev_gone);
    return 0;
}

/* ------------------------------------------------------------ descriptors */

static void desc_free_if_quiet(struct bdev_desc *desc)
{
    if (desc->closed && !desc->remove_pending && !desc->resize_pending)
        rt_free(desc);
}

static void remove_run(struct rt_job *job)
{
    struct bdev_desc *desc = ash_container_of(job, struct bdev_desc, remove_job);
    desc->remove_pending = false;
    if (desc->closed)
        desc_free_if_quiet(desc);
    else if (desc->event)
        desc->event(desc, BDEV_EVENT_REMOVE);
}

static void resize_run(struct rt_job *job)
{
    struct bdev_desc *desc = ash_container_of(job, struct bdev_desc, resize_job);
    desc->resize_pending = false;
    if (desc->closed)
        desc_free_if_quiet(desc);
    else if (desc->event && !desc->remove_sent)
        desc->event(desc, BDEV_EVENT_RESIZE);
}

void bdev_send_remove(struct bdev_desc *desc)
{
    if (desc->remove_sent)
        return;
    desc->remove_sent = desc->remove_pending = true;
    desc->remove_job.run = remove_run;
    rt_post(rt_self(), &desc->remove_job);
}

int bdev_resized(struct bdev *bdev, uint64_t size_bytes)
{
    bdev_assert_control();
    if (size_bytes % bdev->block_bytes)
        return -EINVAL;
    if (size_bytes == bdev->size_bytes)
        return 0;
    if (size_bytes < bdev->size_bytes) {
        bdev_wait_examined(bdev);
        if (bdev_is_open(bdev))
            return -EBUSY;
    }
    __atomic_store_n(&bdev->size_bytes, size_bytes, __ATOMIC_RELAXED);
    bdev_notify(bdev->mgr, "bdev_resize", bdev->name);
    ash_list_for_each (l, &bdev->core->descs) {
        struct bdev_desc *desc = ash_list_entry(l, struct bdev_desc, link);
        if (desc->resize_pending)
            continue;
        desc->resize_pending = true;
        desc->resize_job.run = resize_run;
        rt_post(rt_self(), &desc->resize_job);
    }
    return 0;
}

int bdev_rescan(struct bdev *bdev, struct ash_err *err)
{
    return bdev->ops->rescan ? bdev->ops->rescan(bdev, err) : 0;
}

int bdev_open(struct bdev_mgr *mgr, const char *name, unsigned mode, const char *who,
              void (*event)(struct bdev_desc *desc, enum bdev_event ev), void *user,
              struct bdev_desc **ret_desc, struct ash_err *err)
{
    bdev_assert_control();
    struct bdev *bdev = find_any(mgr, name);
    if (!bdev)
        return ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "there is no device '%s'", name);
    struct bdev_core *core = bdev->core;
    if (core->removing)
        return ash_err_set(err, ASH_E_BDEV_REMOVED, name, "device '%s' is being removed", name);
    if (mode & BDEV_OPEN_WRITE && core->claim != BDEV_CLAIM_NONE)
        return ash_err_set(err, ASH_E_BDEV_CLAIMED, name,
                           "device '%s' cannot be opened for writing: it is claimed by %s", name,
                           core->claim_by);
    if (mode & BDEV_OPEN_WRITE && bdev->read_only)
        return ash_err_set(err, ASH_E_BDEV_READ_ONLY, name, "device '%s' is read-only", name);
    struct bdev_desc *desc = rt_alloc(sizeof(*desc));
    if (!desc)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory to open device '%s'", name);
    desc->bdev = bdev;
    desc->mode = mode % BDEV_N_VIEWS;
    desc->event = event;
    desc->user = user;
    snprintf(desc->who, sizeof(desc->who), "%s", who ? who : "");
    ash_list_push_tail(&core->descs, &desc->link);
    *ret_desc = desc;
    return 0;
}

void bdev_claim_release(struct bdev_desc *desc); /* claim.c */

void bdev_close(struct bdev_desc *desc)
{
    bdev_assert_control();
    ASH_ASSERT(!desc->closed);
    struct bdev_core *core = desc->bdev->core;
    bdev_claim_release(desc);
    ash_list_remove(&desc->link);
    desc->closed = true;
    desc_free_if_quiet(desc);
    rt_waitq_wake_all(&core->changed);
}

struct bdev *bdev_desc_bdev(const struct bdev_desc *desc)
{
    return desc->bdev;
}

void *bdev_desc_user(const struct bdev_desc *desc)
{
    return desc->user;
}

/* ------------------------------------------------------------------ rings */

enum { N_LAYERS_MAX = 64 };

static bool reaches(struct bdev *upper, bool (*match)(struct bdev *bdev, const void *arg),
                    const void *arg, unsigned n_layers)
{
    struct bdev *next;
    if (n_layers == N_LAYERS_MAX || match(upper, arg))
        return true;
    for (unsigned i = 0; upper->ops->lower && (next = upper->ops->lower(upper, i)) != NULL; i++)
        if (reaches(next, match, arg, n_layers + 1))
            return true;
    return false;
}

bool bdev_reaches(struct bdev *upper, bool (*match)(struct bdev *bdev, const void *arg),
                  const void *arg)
{
    bdev_assert_control();
    return reaches(upper, match, arg, 0);
}
