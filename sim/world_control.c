/* SPDX-License-Identifier: Apache-2.0 */
/* Control operations of the simulated world, one at a time, beside reads and writes; and the
 * comparisons with the oracle while nothing else goes on. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/check.h"
#include "world.h"

/* ------------------------------------------------------------------ helpers */

struct pool *sim_pool(struct sim_world *w)
{
    return pool_find(w->pools, "tank");
}

static struct volume *volume_of(struct sim_world *w, const struct ora_vol *v)
{
    char text[ASH_UUID_TEXT_BYTES];
    ash_uuid_format(&v->uuid, text);
    return volume_find(w->pools, text);
}

static struct ora_vol *choose(struct sim_world *w, uint32_t number,
                              bool (*fits)(const struct ora_vol *v))
{
    struct ora_vol *fit[ORA_N_VOLS];
    size_t n = 0;
    for (size_t i = 0; i < ORA_N_VOLS; i++) {
        struct ora_vol *v = &w->ora.vols[i];
        if (v->state == ORA_LIVE && !v->locked && fits(v))
            fit[n++] = v;
    }
    return n ? fit[number % n] : NULL;
}

static bool is_any(const struct ora_vol *v)
{
    return true;
}

static bool is_writable(const struct ora_vol *v)
{
    return !v->snapshot;
}

static bool is_snapshot(const struct ora_vol *v)
{
    return v->snapshot;
}

static bool has_parent(const struct ora_vol *v)
{
    return !v->snapshot && v->parent;
}

/* Who is whose parent is read from the engine: it decides nothing but what fresh blocks show. */
static void learn_parents(struct sim_world *w)
{
    for (size_t i = 0; i < ORA_N_VOLS; i++) {
        struct ora_vol *v = &w->ora.vols[i];
        struct volume *vol = v->state == ORA_ABSENT ? NULL : volume_of(w, v);
        struct volume_info info, up;
        if (!vol)
            continue;
        volume_get_info(vol, &info);
        v->thin = info.thin;
        v->parent = info.esnap_clone ? ORA_EXT : 0;
        if (info.parent) {
            volume_get_info(info.parent, &up);
            const struct ora_vol *p = ora_find_uuid(&w->ora, &up.uuid);
            v->parent = p ? p->id : 0;
        }
    }
}

/* Did what was done to v (NULL: to the pool) end as it may? Else nothing of it may be left: the
 * next look will tell. */
static bool ended(struct sim_world *w, const struct sim_step *s, const struct ora_vol *v, int rc,
                  bool may_refuse, const struct ash_err *err)
{
    sim_note(w, 0x200 + s->kind, 0, (uint64_t)(int64_t)rc);
    const char *name = v ? v->name : "tank";
    if (w->verbose)
        fprintf(stderr, "%10llu %s %s: %d %s\n", (unsigned long long)(rt_now_ns() / 1000),
                sim_kind_name(s->kind), name, rc, rc ? err->text : "");
    if (rc) {
        w->counts.n_errors++;
        /* over JSON-RPC a volume without a device is not found, as with SPDK */
        bool degraded = (err->reason == ASH_E_VOLUME_DEGRADED || rc == -ENODEV) && v &&
                        sim_ext_excuses(w, v, w->ext_epoch);
        /* -ENOMEM: no metadata page is left */
        if (!w->faulty && !w->removed && rc != -ENOSPC && rc != -ENOMEM && !may_refuse && !degraded)
            sim_wrong(w, "%s %s: %s (%s)", sim_kind_name(s->kind), name, err->text,
                      ash_strerror(rc));
    }
    learn_parents(w);
    return rc == 0;
}

/* After a failure on a bad disk nobody knows how it ended. */
static bool is_unsure(const struct sim_world *w)
{
    return w->faulty || w->removed;
}

static void cut_off(struct ora_vol *v, uint64_t n_blocks)
{
    for (uint64_t i = n_blocks; i < v->n_rooms; i++)
        free(v->blocks[i].v);
    v->n_rooms = ASH_MIN(v->n_rooms, n_blocks);
    v->n_blocks = v->alt_n_blocks = n_blocks;
}

static void made(struct sim_world *w, struct ora_vol *v, bool ok)
{
    if (ok) {
        v->state = ORA_LIVE;
        v->locked = false;
    } else if (!is_unsure(w)) {
        ora_drop(&w->ora, v);
    }
}

/* ------------------------------------------------------------ making volumes */

static void do_create(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = ora_new(&w->ora);
    struct ash_err err = {0};
    struct volume *vol;
    if (!v)
        return;
    uint64_t cluster = w->plan->cluster_bytes, most = ASH_MAX((1u << 20) / cluster, 4u);
    uint64_t bytes = (1 + s->a[1] % most) * cluster;
    struct volume_create_opts opts = {
        .thin = s->a[2] & 3, .rle = (s->a[2] & 28) == 28, .uuid = v->uuid};
    v->n_blocks = v->alt_n_blocks = bytes / SIM_BLOCK;
    ora_room(v, v->n_blocks, 0);
    struct sim_op op = {.v = v, .n_bytes = bytes, .thin = opts.thin};
    int rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err)
                              : volume_create(sim_pool(w), v->name, bytes, &opts, &vol, &err);
    made(w, v, ended(w, s, v, rc, false, &err));
}

static void do_delete(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = choose(w, s->a[0], is_any);
    struct ash_err err = {0};
    unsigned n_clones = 0;
    if (!v)
        return;
    for (size_t i = 0; i < ORA_N_VOLS; i++)
        n_clones += w->ora.vols[i].state != ORA_ABSENT && w->ora.vols[i].parent == v->id;
    v->state = ORA_DELETING;
    v->locked = true;
    struct sim_op op = {.v = v};
    int rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err) : volume_delete(volume_of(w, v), &err);
    bool ok = ended(w, s, v, rc, n_clones > 1, &err);
    if (ok)
        ora_drop(&w->ora, v);
    else if (!is_unsure(w))
        v->state = ORA_LIVE, v->locked = false;
}

static void do_snapshot(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = choose(w, s->a[0], is_writable), *snap = v ? ora_new(&w->ora) : NULL;
    struct ash_err err = {0};
    struct volume *vol;
    if (!snap)
        return;
    struct volume_create_opts opts = {.uuid = snap->uuid};
    snap->source = v->id;
    snap->snapshot = true;
    snap->n_blocks = snap->alt_n_blocks = v->n_blocks;
    v->n_held++;
    v->locked = true;
    struct sim_op op = {.v = v, .other = snap};
    int rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err)
                              : volume_snapshot(volume_of(w, v), snap->name, &opts, &vol, &err);
    ora_room(snap, v->n_blocks, 0);
    for (uint64_t i = 0; i < snap->n_blocks; i++)
        ora_copy(&snap->blocks[i], &v->blocks[i], snap->begun, rc != 0);
    snap->source = 0;
    v->n_held--;
    bool ok = ended(w, s, v, rc, false, &err);
    v->locked = !ok && is_unsure(w);
    made(w, snap, ok);
}

static void do_clone(struct sim_world *w, const struct sim_step *s)
{
    bool ext = s->kind == SIM_ESNAP;
    struct ora_vol *snap = ext ? NULL : choose(w, s->a[0], is_snapshot);
    struct ora_vol *v = (ext && !w->ext_away) || snap ? ora_new(&w->ora) : NULL;
    struct ash_err err = {0};
    struct volume *vol;
    if (!v)
        return;
    struct volume_create_opts opts = {.uuid = v->uuid};
    v->n_blocks = v->alt_n_blocks = ext ? SIM_EXT_BYTES / SIM_BLOCK : snap->n_blocks;
    v->parent = ext ? ORA_EXT : snap->id;
    ora_room(v, v->n_blocks, 0);
    for (uint64_t i = 0; i < v->n_blocks; i++) {
        if (ext)
            ora_set(&v->blocks[i], sim_ext_tag(i));
        else
            ora_copy(&v->blocks[i], &snap->blocks[i], ORA_NEVER, false);
    }
    struct sim_op op = {.v = v, .other = snap};
    int rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err)
             : ext ? volume_clone_bdev(sim_pool(w), sim_ext_name(w), v->name, &opts, &vol, &err)
                   : volume_clone(volume_of(w, snap), v->name, &opts, &vol, &err);
    made(w, v, ended(w, s, v, rc, false, &err));
}

/* ---------------------------------------------------------- changing volumes */

/* Fresh blocks at the end: zeroes, or what a larger parent shows there. */
static void room_beyond(struct sim_world *w, struct ora_vol *v, uint64_t n)
{
    uint64_t from = v->n_rooms;
    const struct ora_vol *p = ora_find(&w->ora, v->parent);
    ora_room(v, n, 0);
    for (uint64_t i = from; i < n; i++) {
        if (v->parent == ORA_EXT && i < SIM_EXT_BYTES / SIM_BLOCK) {
            struct ora_block b = {0};
            ora_set(&b, sim_ext_tag(i));
            ora_also(&w->ora, &v->blocks[i], &b);
            free(b.v);
        } else if (p && i < p->n_rooms) {
            ora_also(&w->ora, &v->blocks[i], &p->blocks[i]);
        }
    }
}

static void do_resize(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = choose(w, s->a[0], is_writable);
    struct ash_err err = {0};
    if (!v)
        return;
    uint64_t cluster = w->plan->cluster_bytes, most = ASH_MAX((3u << 19) / cluster, 6u);
    uint64_t n_old = v->n_blocks, n_new = (1 + s->a[1] % most) * cluster / SIM_BLOCK;
    v->alt_n_blocks = n_new;
    v->locked = true;
    room_beyond(w, v, n_new);
    struct sim_op op = {.v = v, .n_bytes = n_new * SIM_BLOCK};
    int rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err)
                              : volume_resize(volume_of(w, v), n_new * SIM_BLOCK, &err);
    bool ok = ended(w, s, v, rc, n_new < n_old, &err);
    if (ok || !is_unsure(w)) {
        cut_off(v, ok ? n_new : n_old);
        v->locked = false;
    }
}

static void do_rename(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = choose(w, s->a[0], is_writable);
    struct ash_err err = {0};
    if (!v)
        return;
    snprintf(v->alt_name, sizeof(v->alt_name), "v%u-%u", v->id, s->a[1] % 1000);
    if (strcmp(v->alt_name, v->name) == 0) /* a rename that a crash had cut, and that counts */
        return;
    v->locked = true;
    struct sim_op op = {.v = v};
    int rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err)
                              : volume_rename(volume_of(w, v), v->alt_name, &err);
    if (ended(w, s, v, rc, false, &err))
        memcpy(v->name, v->alt_name, sizeof(v->name));
    else if (is_unsure(w))
        return;
    memcpy(v->alt_name, v->name, sizeof(v->name));
    v->locked = false;
}

static void do_xattr(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = choose(w, s->a[0], is_writable);
    struct ash_err err = {0};
    if (!v)
        return;
    v->alt_attr = s->a[1] | 1;
    v->locked = true;
    int rc = volume_xattr_set(volume_of(w, v), "k", &v->alt_attr, sizeof(v->alt_attr), false, &err);
    if (ended(w, s, v, rc, false, &err))
        v->attr = v->alt_attr;
    else if (is_unsure(w))
        return;
    v->alt_attr = v->attr;
    v->locked = false;
}

static void do_copy_in(struct sim_world *w, const struct sim_step *s)
{
    struct ora_vol *v = choose(w, s->a[0], has_parent);
    struct ash_err err = {0};
    if (!v)
        return;
    v->locked = true;
    struct volume *vol = volume_of(w, v);
    struct sim_op op = {.v = v};
    int rc = sim_by_rpc(w, s)         ? sim_rpc_op(w, s, &op, &err)
             : s->kind == SIM_INFLATE ? volume_inflate(vol, &err)
                                      : volume_decouple(vol, &err);
    bool ok = ended(w, s, v, rc, false, &err);
    v->locked = !ok && is_unsure(w);
}

/* Detach and set parent: blocks that the volume does not own change with the parent. Nothing else
 * runs. */
static void do_parent(struct sim_world *w, const struct sim_step *s)
{
    bool detach = s->kind == SIM_DETACH;
    struct ora_vol *v = choose(w, s->a[0], detach ? has_parent : is_writable);
    struct ora_vol *p = detach ? NULL : choose(w, s->a[1], is_snapshot);
    struct ash_err err = {0};
    if (!v || (!detach && (!p || p->n_blocks != v->n_blocks)))
        return;
    uint64_t per = w->plan->cluster_bytes / SIM_BLOCK, n = v->n_blocks / per;
    uint8_t *own = rt_alloc(n / 8 + 1);
    struct ora_block zero = {0};
    ora_set(&zero, 0);
    int rc = volume_allocation_map(volume_of(w, v), 0, n, own);
    uint64_t since = ++w->ora.now;
    v->locked = true;
    for (uint64_t i = 0; i < v->n_blocks && rc == 0; i++)
        if (!(own[i / per / 8] >> (i / per % 8) & 1))
            ora_also(&w->ora, &v->blocks[i], detach ? &zero : &p->blocks[i]);
    struct sim_op op = {.v = v, .other = p};
    if (rc == 0)
        rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err)
             : detach         ? volume_detach(volume_of(w, v), &err)
                              : volume_set_parent(volume_of(w, v), volume_of(w, p), &err);
    bool ok = ended(w, s, v, rc, !detach, &err);
    for (uint64_t i = 0; i < v->n_blocks && (ok || !is_unsure(w)); i++) {
        struct ora_block *b = &v->blocks[i];
        uint32_t n_left = 0;
        if (own[i / per / 8] >> (i / per % 8) & 1)
            continue;
        for (uint32_t k = 0; k < b->n; k++)
            if (ok ? b->v[k].submit >= since && b->v[k].ack == ORA_NEVER
                   : b->v[k].submit < since || b->v[k].ack != ORA_NEVER)
                b->v[n_left++] = b->v[k];
        b->n = n_left;
        for (uint32_t k = 0; k < n_left && ok; k++)
            b->v[k].ack = b->v[k].submit, b->v[k].effective = b->v[k].durable = true;
    }
    v->locked = !ok && is_unsure(w);
    free(zero.v);
    rt_free(own);
}

/* -------------------------------------------------------------------- pools */

static void do_grow(struct sim_world *w, const struct sim_step *s)
{
    struct ash_err err = {0};
    uint64_t now_bytes = rt_sim_disk_size(w->disk);
    struct sim_op op = {0};
    int rc = sim_by_rpc(w, s) ? sim_rpc_op(w, s, &op, &err) : pool_grow(sim_pool(w), &err);
    (void)ended(w, s, NULL, rc, true, &err);
    if (now_bytes < 2 * w->plan->disk_bytes) { /* the next opening sees it */
        uint64_t bytes = now_bytes + (uint64_t)(1 + s->a[0] % 64) * 65536;
        rt_sim_disk_resize(w->disk, bytes);
        if (rt_sim_image_resize(w->medium, bytes) != 0)
            sim_wrong(w, "no memory");
        sim_fired(w, SIM_FIRED_GROWN);
    }
}

static void do_reopen(struct sim_world *w, const struct sim_step *s)
{
    struct ash_err err = {0};
    struct pool_info info;
    struct pool *pool = sim_pool(w);
    if (is_unsure(w))
        return;
    bdev_wait_for_examine(w->mgr); /* looking at a fresh volume keeps it open */
    pool = sim_pool(w);
    pool_get_info(pool, &info);
    uint64_t n_free = info.n_free_clusters;
    char bdev[64];
    snprintf(bdev, sizeof(bdev), "%s", info.base_bdev);
    if (!ended(w, s, NULL, pool_export(pool, &err), false, &err))
        return;
    sim_check_image(w, "after an export", &n_free, true);
    struct rt_sim_image *image = rt_sim_image_clone(rt_sim_disk_image(w->disk));
    ASH_ASSERT(image);
    if (!sim_is_wrong(w) &&
        ended(w, s, NULL, pool_import(w->pools, bdev, false, NULL, &pool, &err), false, &err)) {
        w->lossy = false;
        sim_settle(w);
        sim_remember(w, image);
    } else {
        rt_sim_image_free(image);
    }
}

void sim_control(struct sim_world *w, const struct sim_step *s)
{
    static void (*const fns[SIM_N_KINDS])(struct sim_world *, const struct sim_step *) = {
        [SIM_CREATE] = do_create,     [SIM_DELETE] = do_delete,    [SIM_SNAPSHOT] = do_snapshot,
        [SIM_CLONE] = do_clone,       [SIM_ESNAP] = do_clone,      [SIM_RESIZE] = do_resize,
        [SIM_INFLATE] = do_copy_in,   [SIM_DECOUPLE] = do_copy_in, [SIM_RENAME] = do_rename,
        [SIM_XATTR] = do_xattr,       [SIM_GROW] = do_grow,        [SIM_DETACH] = do_parent,
        [SIM_SET_PARENT] = do_parent, [SIM_REOPEN] = do_reopen,    [SIM_REMOVE] = sim_remove,
        [SIM_EXT] = sim_ext_step,
    };
    if (w->verbose)
        fprintf(stderr, "%10llu %s begins\n", (unsigned long long)(rt_now_ns() / 1000),
                sim_kind_name(s->kind));
    if (fns[s->kind] && sim_pool(w))
        fns[s->kind](w, s);
}

/* ------------------------------------------------------------------ looking */

static void compare(struct sim_world *w, struct volume *vol, bool first)
{
    struct volume_info info;
    const void *attr = NULL;
    size_t n_attr = 0;
    uint32_t value = 0;
    volume_get_info(vol, &info);
    struct ora_vol *v = ora_find_uuid(&w->ora, &info.uuid);
    if (!v) {
        sim_wrong(w, "volume '%s' is there, and was never made or has been deleted", info.name);
        return;
    }
    if (info.state != VOLUME_OK && !(w->faulty && !first) && !sim_ext_excuses(w, v, w->ext_epoch))
        sim_wrong(w, "volume %s is not ok: %s", v->name, info.fault ? info.fault : "");
    bool renamed = strcmp(info.name, v->name) != 0;
    if (renamed && strcmp(info.name, v->alt_name) != 0)
        sim_wrong(w, "volume %s is called '%s'", v->name, info.name);
    uint64_t n = info.size_bytes / SIM_BLOCK;
    if (n != v->n_blocks && n != v->alt_n_blocks)
        sim_wrong(w, "volume %s has %llu blocks, not %llu", v->name, (unsigned long long)n,
                  (unsigned long long)v->n_blocks);
    if (volume_xattr_get(vol, "k", &attr, &n_attr) == 0 && n_attr == sizeof(value))
        memcpy(&value, attr, sizeof(value));
    /* a snapshot takes its origin's attributes along */
    if (value != v->attr && value != v->alt_attr && !(first && v->state == ORA_MAKING) &&
        !v->snapshot)
        sim_wrong(w, "volume %s has attribute %u, not %u", v->name, value, v->attr);
    if (!first || sim_is_wrong(w))
        return;
    snprintf(v->name, sizeof(v->name), "%s", info.name);
    memcpy(v->alt_name, v->name, sizeof(v->name));
    if (v->n_rooms < n)
        ora_room(v, n, 0);
    cut_off(v, n);
    v->attr = v->alt_attr = value;
    v->locked = false;
    v->state = ORA_LIVE;
}

static void compare_all(struct sim_world *w, bool first)
{
    struct pool *pool = sim_pool(w);
    bool seen[ORA_N_VOLS] = {false};
    struct pool_info pi;
    pool_get_info(pool, &pi);
    if (pi.degraded && (first || !w->faulty))
        sim_wrong(w, "the pool counts as damaged: %s", pi.damage);
    for (struct volume *vol = volume_next(pool, NULL); vol && !sim_is_wrong(w);
         vol = volume_next(pool, vol)) {
        struct volume_info info;
        volume_get_info(vol, &info);
        struct ora_vol *v = ora_find_uuid(&w->ora, &info.uuid);
        if (v)
            seen[v - w->ora.vols] = true;
        compare(w, vol, first);
    }
    for (size_t i = 0; i < ORA_N_VOLS && !sim_is_wrong(w); i++) {
        struct ora_vol *v = &w->ora.vols[i];
        if (v->state == ORA_ABSENT || seen[i])
            continue;
        if (v->state == ORA_LIVE)
            sim_wrong(w, "volume %s is lost", v->name);
        else if (first)
            ora_drop(&w->ora, v);
    }
    learn_parents(w);
}

/* Snapshots that were being taken hold what their origin could show since. */
static void fill_unborn(struct sim_world *w)
{
    for (size_t i = 0; i < ORA_N_VOLS; i++) {
        struct ora_vol *snap = &w->ora.vols[i];
        struct ora_vol *v =
            snap->state == ORA_MAKING && snap->source ? ora_find(&w->ora, snap->source) : NULL;
        if (!v)
            continue;
        snap->n_blocks = snap->alt_n_blocks = ASH_MIN(snap->n_blocks, v->n_rooms);
        ora_room(snap, snap->n_blocks, 0);
        for (uint64_t k = 0; k < snap->n_blocks; k++)
            ora_copy(&snap->blocks[k], &v->blocks[k], snap->begun, true);
    }
}

void sim_settle(struct sim_world *w)
{
    w->ora.now++;
    fill_unborn(w);
    for (size_t i = 0; i < ORA_N_VOLS; i++)
        w->ora.vols[i].n_held = 0;
    compare_all(w, true);
    for (size_t i = 0; i < ORA_N_VOLS && !sim_is_wrong(w); i++)
        if (w->ora.vols[i].state == ORA_LIVE)
            sim_read_volume(w, &w->ora.vols[i], true);
}

void sim_before_close(struct sim_world *w)
{
    struct volume_info info;
    for (size_t i = 0; i < ORA_N_VOLS && !w->faults.on; i++) {
        struct ora_vol *v = &w->ora.vols[i];
        struct volume *vol = v->state == ORA_LIVE ? volume_of(w, v) : NULL;
        if (!vol)
            continue;
        volume_get_info(vol, &info);
        if (info.state != VOLUME_FAULTED)
            ora_close(v);
    }
}

void sim_verify(struct sim_world *w)
{
    compare_all(w, false);
    for (size_t i = 0; i < ORA_N_VOLS && !sim_is_wrong(w); i++)
        if (w->ora.vols[i].state == ORA_LIVE)
            sim_read_volume(w, &w->ora.vols[i], false);
}

static uint64_t n_turns(struct sim_world *w)
{
    struct rt_stats stats;
    uint64_t n = 0;
    for (unsigned i = 0; i < w->plan->n_reactors; i++) {
        rt_reactor_stats(rt_reactor(w->rt, i), &stats);
        n += stats.n_turns;
    }
    return n;
}

void sim_check_idle(struct sim_world *w)
{
    struct pool_info info;
    if (sim_is_wrong(w) || is_unsure(w) || w->cutting)
        return;
    rt_sleep_ns(60000000000ull); /* limits of connections that are closed pass */
    uint64_t n_ops = w->n_disk_ops, n = n_turns(w);
    rt_sleep_ns(3600000000000ull);
    if (w->n_disk_ops != n_ops || n_turns(w) - n > 10)
        sim_wrong(w, "an idle hour takes %llu disk operations and %llu turns of the reactors",
                  (unsigned long long)(w->n_disk_ops - n_ops),
                  (unsigned long long)(n_turns(w) - n));
    pool_get_info(sim_pool(w), &info);
    sim_check_image(w, "at a quiet point", &info.n_free_clusters, false);
}

/* A pool that was full and has been emptied can be filled again, to the last cluster. */
static void fill_again(struct sim_world *w, uint64_t n_clusters)
{
    struct volume_create_opts opts = {.uuid = {{0x77}}};
    struct ash_err err = {0};
    struct bdev_desc *desc;
    struct volume *vol;
    uint64_t cluster = w->plan->cluster_bytes;
    int rc = volume_create(sim_pool(w), "all", n_clusters * cluster, &opts, &vol, &err);
    if (rc == 0)
        rc = bdev_open(w->mgr, "tank/all", BDEV_OPEN_WRITE, "world", NULL, NULL, &desc, &err);
    if (rc) {
        sim_wrong(w, "a volume of all clusters: %s", err.text);
        return;
    }
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint8_t *buf = rt_buf_get(4096);
    ASH_ASSERT(ch && buf);
    memset(buf, 0x5a, 4096);
    for (uint64_t i = 0; i < n_clusters && rc == 0; i += ASH_MAX(n_clusters / 16, 1u))
        rc = bdev_write(ch, buf, i * cluster, 4096, 0);
    if (rc == 0)
        rc = bdev_write(ch, buf, n_clusters * cluster - 4096, 4096, 0);
    rt_buf_put(buf, 4096);
    bdev_channel_put(ch);
    bdev_close(desc);
    bdev_wait_for_examine(w->mgr);
    if (rc == 0)
        rc = volume_delete(volume_find(w->pools, "tank/all"), &err);
    if (rc)
        sim_wrong(w, "a volume of all clusters is filled and deleted: %s %s", ash_strerror(rc),
                  err.text);
}

void sim_finish(struct sim_world *w)
{
    static const struct sim_step reopen = {.kind = SIM_REOPEN};
    struct ash_err err = {0};
    struct pool_info info;
    struct volume *vol;
    sim_verify(w);
    if (!sim_is_wrong(w))
        do_reopen(w, &reopen);
    while (!sim_is_wrong(w) && (vol = volume_next(sim_pool(w), NULL)) != NULL) {
        struct volume *leaf = vol, *next;
        while ((next = volume_next_clone(leaf, NULL)) != NULL)
            leaf = next;
        int rc = volume_delete(leaf, &err);
        if (rc)
            sim_wrong(w, "the last deletes: %s", err.text);
    }
    if (sim_is_wrong(w))
        return;
    for (size_t i = 0; i < ORA_N_VOLS; i++)
        ora_drop(&w->ora, &w->ora.vols[i]);
    pool_get_info(sim_pool(w), &info);
    sim_note(w, 0x300, info.n_free_clusters, info.n_clusters);
    if (info.n_free_clusters != info.n_clusters)
        sim_wrong(w, "the pool is empty, and %llu of %llu clusters are free",
                  (unsigned long long)info.n_free_clusters, (unsigned long long)info.n_clusters);
    else
        fill_again(w, info.n_free_clusters);
    if (!sim_is_wrong(w))
        do_reopen(w, &reopen);
}

/* -------------------------------------------------------------------- judge */

static int image_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    rt_sim_image_read(ctx, offset, buf, n_bytes);
    return 0;
}

void sim_check_image(struct sim_world *w, const char *when, const uint64_t *expect_free,
                     bool want_clean)
{
    struct lvs_report report;
    const struct rt_sim_image *image = rt_sim_disk_image(w->disk);
    struct lvs_check_dev dev = {.read = image_read,
                                .size_bytes = rt_sim_image_size(image),
                                .block_bytes = (uint32_t)w->plan->block_bytes,
                                .ctx = (void *)(uintptr_t)image};
    struct lvs_check_opts opts = {.expect_free = expect_free};
    int rc = lvs_check(&dev, &opts, &report);
    if (rc) {
        sim_wrong(w, "the checker %s: %s", when, ash_strerror(rc));
    } else if (!report.readable || !lvs_report_is_clean(&report) || (want_clean && !report.clean)) {
        struct ash_buf text = {0};
        lvs_report_text(&report, &text);
        sim_wrong(w, "the checker %s:\n%s", when, ash_buf_text(&text));
        ash_buf_free(&text);
    }
    lvs_report_fini(&report);
}
