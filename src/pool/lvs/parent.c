/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a volume's parent: inflate, decouple, detach, set parent
 * (docs/spec/blobstore-format.md 9.6, 9.7).
 *
 * Inflate and decouple copy first, cluster by cluster, each a settled state; the parent link goes
 * with one root write at the end. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

/* ------------------------------------------------- many clusters at once */

enum {
    N_COPIERS = 8,
    N_CLUSTERS_A_TURN = 1 << 16, /* looked at before others have their turn */
};

struct copy_all {
    struct lvs_volume *v;
    bool (*wanted)(const struct lvs_volume *v, uint64_t idx);
    uint64_t next;
    unsigned n_left;
    int rc;
    struct rt_event done;
};

static void copier(void *arg)
{
    struct copy_all *c = arg;
    while (c->rc == 0 && c->next < c->v->map.n_clusters) {
        uint64_t idx = c->next++;
        if (c->v->store->is_closing) { /* its disk goes: nobody waits for a long copy */
            c->rc = -ENODEV;
            break;
        }
        if (idx % N_CLUSTERS_A_TURN == 0)
            rt_yield();
        if (lvs_map_get(&c->v->map, idx) || !c->wanted(c->v, idx))
            continue;
        int rc = lvs_allocate(c->v, idx);
        if (rc && c->rc == 0)
            c->rc = rc;
    }
    if (--c->n_left == 0)
        rt_event_set(&c->done, 0);
}

/* Allocate every unallocated cluster that is wanted. */
static int allocate_all(struct lvs_volume *v,
                        bool (*wanted)(const struct lvs_volume *v, uint64_t idx))
{
    struct copy_all c = {.v = v, .wanted = wanted, .n_left = 1, .done = RT_EVENT_INIT};
    uint64_t n = 0;
    for (uint64_t i = 0; i < v->map.n_clusters && n <= lvs_n_free_clusters(v->store); i++) {
        n += !lvs_map_get(&v->map, i) && wanted(v, i);
        if (i % N_CLUSTERS_A_TURN == N_CLUSTERS_A_TURN - 1)
            rt_yield();
    }
    if (n == 0)
        return 0;
    if (n > lvs_n_free_clusters(v->store))
        return -ENOSPC;
    for (unsigned k = 0; k < N_COPIERS && k < n && c.rc == 0; k++) {
        c.rc = rt_task_spawn("copy clusters", copier, &c);
        c.n_left += c.rc == 0;
    }
    rt_step("copy clusters");
    if (--c.n_left > 0)
        rt_event_wait(&c.done);
    return c.rc;
}

static bool want_all(const struct lvs_volume *v, uint64_t idx)
{
    return true;
}

static bool want_parents_own(const struct lvs_volume *v, uint64_t idx)
{
    return v->parent && idx < v->parent->map.n_clusters && lvs_map_get(&v->parent->map, idx);
}

/* Beyond its parent's end v reads zeroes; would it read something else from the parent's parent? */
static bool want_beyond_parent(const struct lvs_volume *v, uint64_t idx)
{
    struct lvs_source src;
    if (!v->parent || idx < v->parent->map.n_clusters)
        return false;
    lvs_source_find(v->parent, idx, &src);
    return src.kind != LVS_FROM_ZERO;
}

int lvs_guard_parent_end(struct lvs_volume *v)
{
    if (!v->parent || v->map.n_clusters <= v->parent->map.n_clusters)
        return 0;
    return allocate_all(v, want_beyond_parent);
}

/* ----------------------------------------------------------- the new link */

struct new_parent {
    struct lvs_volume *volume; /* in the store; NULL: none */
    const char *esnap_id;      /* or an external device; NULL: none */
    bool thick;                /* THIN goes */
};

static int link_root(const struct lvs_volume *v, const struct new_parent *p, struct lvs_root *next)
{
    int rc = lvs_root_copy(v, next);
    if (rc)
        return rc;
    lvs_xattrs_remove(&next->internal, LVS_XATTR_SNAP);
    lvs_xattrs_remove(&next->internal, LVS_XATTR_EXTSNAP);
    next->invalid_flags &= ~LVS_INVALID_ESNAP;
    if (p->thick)
        next->invalid_flags &= ~LVS_INVALID_THIN;
    if (p->volume) {
        struct le64 id = ash_le64(p->volume->root.blob_id);
        rc = lvs_xattrs_set(&next->internal, LVS_XATTR_SNAP, &id, sizeof(id));
    } else if (p->esnap_id) {
        next->invalid_flags |= LVS_INVALID_ESNAP;
        rc = lvs_xattrs_set(&next->internal, LVS_XATTR_EXTSNAP, p->esnap_id, LVS_UUID_BYTES);
    }
    if (rc) {
        lvs_xattrs_free(&next->user);
        lvs_xattrs_free(&next->internal);
    }
    return rc;
}

/* Commit the link and change it in memory. The external device that v had is closed; desc (may be
 * NULL) is the one it gets. tree_lock held, and let go of while bdevs of volumes go that are
 * degraded now. */
static int change_parent(struct lvs_volume *v, const struct new_parent *p, struct bdev_desc *desc)
{
    struct lvs_store *s = v->store;
    struct lvs_root next;
    struct bdev_desc *old_desc = NULL;
    int rc = lvs_freeze_tree(v);
    if (rc)
        return rc;
    rt_mutex_lock(&s->md_lock);
    rc = link_root(v, p, &next);
    if (rc == 0)
        rc = lvs_volume_commit(v, &next);
    rt_mutex_unlock(&s->md_lock);
    if (rc == 0) {
        old_desc = v->esnap_desc;
        v->esnap_desc = desc;
        v->esnap_bytes = desc ? bdev_desc_bdev(desc)->size_bytes : 0;
        memset(v->esnap_id, 0, sizeof(v->esnap_id));
        if (p->esnap_id)
            memcpy(v->esnap_id, p->esnap_id, LVS_UUID_BYTES);
        lvs_set_parent_link(v, p->volume);
        lvs_bdev_refresh(v);
    }
    lvs_thaw_tree(v);
    if (old_desc)
        bdev_close(old_desc);
    if (rc == 0) {
        lvs_tree_bdevs(v);
        lvs_degraded_leave(s);
    }
    return rc;
}

/* ------------------------------------------------------------- operations */

static int begin(struct lvs_volume *v, const char *op, struct ash_err *err)
{
    int rc = lvs_op_begin(v, op, err);
    if (rc == 0 && v->state == VOLUME_DEGRADED) {
        lvs_op_end(v);
        rc = ash_err_set(err, ASH_E_VOLUME_DEGRADED, v->name,
                         "the external parent of volume '%s' is missing", v->name);
    }
    return rc;
}

int lvs_volume_inflate(struct volume *vol, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    struct new_parent none = {.thick = true};
    int rc = begin(v, "inflate", err);
    if (rc)
        return rc;
    if (lvs_is_thin(v)) {
        atomic_fetch_add(&v->n_no_release, 1);
        /* an unmap that began before the counter went up may still take a cluster away */
        if (v->has_bdev)
            bdev_grace(&v->bdev);
        rc = allocate_all(v, want_all);
        if (rc == 0) {
            rt_mutex_lock(&v->store->tree_lock);
            rc = change_parent(v, &none, NULL);
            rt_mutex_unlock(&v->store->tree_lock);
        }
        atomic_fetch_sub(&v->n_no_release, 1);
        rc = lvs_err_rc(err, rc, v, "inflate");
    }
    lvs_op_end(v);
    return rc;
}

int lvs_volume_decouple(struct volume *vol, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    struct lvs_volume *parent = v->parent;
    if (v->root.invalid_flags & LVS_INVALID_ESNAP)
        return lvs_volume_inflate(vol, err);
    if (!parent)
        return ash_err_set(err, ASH_E_VOLUME_NO_PARENT, v->name, "volume '%s' has no parent",
                           v->name);
    int rc = begin(v, "decouple", err);
    if (rc)
        return rc;
    rc = lvs_op_begin(parent, "decoupling of a clone", err);
    if (rc) {
        lvs_op_end(v);
        return rc;
    }
    atomic_fetch_add(&v->n_no_release, 1);
    if (v->has_bdev)
        bdev_grace(&v->bdev);
    rc = allocate_all(v, want_parents_own);
    if (rc == 0)
        rc = lvs_guard_parent_end(v);
    if (rc)
        lvs_err_rc(err, rc, v, "decouple");
    if (rc == 0) {
        struct new_parent p = {.volume = parent->parent};
        struct bdev_desc *desc = NULL;
        rt_mutex_lock(&v->store->tree_lock);
        if (parent->root.invalid_flags & LVS_INVALID_ESNAP) {
            struct lvs_volume probe = {.store = v->store};
            rc = lvs_esnap_open(&probe, parent->esnap_id, err);
            desc = probe.esnap_desc;
            p.esnap_id = parent->esnap_id;
        }
        if (rc == 0) {
            rc = change_parent(v, &p, desc);
            if (rc && desc)
                bdev_close(desc);
            rc = lvs_err_rc(err, rc, v, "decouple");
        }
        rt_mutex_unlock(&v->store->tree_lock);
    }
    atomic_fetch_sub(&v->n_no_release, 1);
    lvs_op_end(parent);
    lvs_op_end(v);
    return rc;
}

int lvs_volume_detach(struct volume *vol, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    struct new_parent none = {0};
    if (!v->parent && !(v->root.invalid_flags & LVS_INVALID_ESNAP))
        return ash_err_set(err, ASH_E_VOLUME_NO_PARENT, v->name, "volume '%s' has no parent",
                           v->name);
    int rc = lvs_op_begin(v, "detach", err);
    if (rc)
        return rc;
    rt_mutex_lock(&v->store->tree_lock);
    rc = lvs_err_rc(err, change_parent(v, &none, NULL), v, "detach");
    rt_mutex_unlock(&v->store->tree_lock);
    lvs_op_end(v);
    return rc;
}

int lvs_volume_set_parent(struct volume *vol, struct volume *snap_vol, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol), *snap = lvs_of_volume(snap_vol);
    if (v == snap || v->store != snap->store || !lvs_is_read_only(snap) ||
        snap->map.n_clusters != v->map.n_clusters)
        return ash_err_set(err, ASH_E_VOLUME_BAD_PARENT, v->name,
                           "'%s' cannot be the parent of '%s'", snap->name, v->name);
    for (struct lvs_volume *p = snap; p; p = p->parent)
        if (p == v)
            return ash_err_set(err, ASH_E_VOLUME_BAD_PARENT, v->name, "'%s' descends from '%s'",
                               snap->name, v->name);
    if (v->parent == snap)
        return ash_err_set(err, ASH_E_VOLUME_PARENT_SAME, v->name,
                           "'%s' is the parent of '%s' already", snap->name, v->name);
    if (!lvs_is_thin(v))
        return ash_err_set(err, ASH_E_VOLUME_NOT_THIN, v->name, "volume '%s' is thick", v->name);
    int rc = lvs_op_begin(v, "set parent", err);
    if (rc)
        return rc;
    rc = lvs_op_begin(snap, "set parent of another", err);
    if (rc) {
        lvs_op_end(v);
        return rc;
    }
    struct new_parent p = {.volume = snap};
    rt_mutex_lock(&v->store->tree_lock);
    rc = lvs_err_rc(err, change_parent(v, &p, NULL), v, "set the parent of");
    rt_mutex_unlock(&v->store->tree_lock);
    lvs_op_end(snap);
    lvs_op_end(v);
    return rc;
}

/* Does it read what v reads? Clones of v do as well. */
static bool reads_through(struct bdev *bdev, const void *v)
{
    if (bdev->module != &lvs_bdev_module)
        return false;
    const struct lvs_volume *p = ash_container_of(bdev, struct lvs_volume, bdev);
    while (p && p != v)
        p = p->parent;
    return p != NULL;
}

int lvs_volume_set_parent_bdev(struct volume *vol, const char *bdev_name, struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    struct lvs_volume probe = {.store = v->store};
    if (!lvs_is_thin(v))
        return ash_err_set(err, ASH_E_VOLUME_NOT_THIN, v->name, "volume '%s' is thick", v->name);
    int rc = lvs_op_begin(v, "set parent", err);
    if (rc)
        return rc;
    rt_mutex_lock(&v->store->tree_lock);
    rc = lvs_esnap_open(&probe, bdev_name, err);
    if (rc == 0) {
        struct bdev *bdev = bdev_desc_bdev(probe.esnap_desc);
        struct new_parent p = {.esnap_id = probe.esnap_id};
        if (ash_uuid_equal(&bdev->uuid, &v->uuid) || bdev_reaches(bdev, reads_through, v))
            rc = ash_err_set(err, ASH_E_VOLUME_BAD_PARENT, v->name,
                             "device '%s' is or reads from volume '%s' itself", bdev_name, v->name);
        else if (bdev->size_bytes % v->store->cluster_bytes != 0)
            rc = ash_err_set(err, ASH_E_VOLUME_BAD_SIZE, bdev_name,
                             "size of device '%s' is not a multiple of the cluster size %u",
                             bdev_name, v->store->cluster_bytes);
        else if ((v->root.invalid_flags & LVS_INVALID_ESNAP) &&
                 strcmp(v->esnap_id, probe.esnap_id) == 0)
            rc = ash_err_set(err, ASH_E_VOLUME_PARENT_SAME, v->name,
                             "'%s' is the parent of '%s' already", bdev_name, v->name);
        else
            rc = lvs_err_rc(err, change_parent(v, &p, probe.esnap_desc), v, "set the parent of");
        if (rc)
            bdev_close(probe.esnap_desc);
    }
    rt_mutex_unlock(&v->store->tree_lock);
    lvs_op_end(v);
    return rc;
}
