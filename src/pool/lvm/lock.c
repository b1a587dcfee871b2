/* SPDX-License-Identifier: Apache-2.0 */
/* File locks as lvm2 takes them (docs/spec/lvm2-format.md 18.1): V_NAME per VG, P_global for PVs
 * that are in none and for the names of VGs. So that readers cannot keep a writer out for ever,
 * each lock has a door, NAME:aux: a writer keeps it while it waits for the lock, a reader passes
 * through it. */
#include <errno.h>

#include "pool/lvm/update.h"

static int keep(struct lvm_locks *locks, struct rt_lock *lock, struct ash_err *err)
{
    size_t n = locks->n_held;
    struct rt_lock **more = rt_realloc(locks->held, n * sizeof(lock), (n + 1) * sizeof(lock));
    if (!more) {
        rt_lock_drop(lock);
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for a lock");
    }
    locks->held = more;
    locks->held[locks->n_held++] = lock;
    return 0;
}

static int take(struct lvm_locks *locks, const char *kind, const char *name, bool shared,
                struct ash_err *err)
{
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_buf door ASH_CLEANUP(ash_buf_free) = {0};
    struct rt_lock *aux, *lock;
    unsigned flags = (shared ? RT_LOCK_SHARED : 0) | (locks->no_wait ? RT_LOCK_NO_WAIT : 0);
    if (!locks->dir)
        return 0;
    ash_buf_fmt(&path, "%s/%s_%s", locks->dir, kind, name);
    ash_buf_fmt(&door, "%s:aux", ash_buf_text(&path));
    if (path.failed || door.failed)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for a lock");
    int rc = rt_lock_take(ash_buf_text(&door), flags, &aux, err);
    if (rc)
        return rc;
    if (shared)
        rt_lock_drop(aux);
    rc = rt_lock_take(ash_buf_text(&path), flags, &lock, err);
    if (!shared)
        rt_lock_drop(aux);
    return rc ? rc : keep(locks, lock, err);
}

int lvm_lock_global(struct lvm_locks *locks, bool shared, struct ash_err *err)
{
    int rc = locks->dir ? rt_make_dirs(locks->dir, 0700, err) : 0;
    return rc ? rc : take(locks, "P", "global", shared, err);
}

int lvm_lock_vg(struct lvm_locks *locks, const char *vg_name, bool shared, struct ash_err *err)
{
    return take(locks, "V", vg_name, shared, err);
}

void lvm_unlock_all(struct lvm_locks *locks)
{
    while (locks->n_held)
        rt_lock_drop(locks->held[--locks->n_held]);
    rt_free(locks->held);
    locks->held = NULL;
}
