/* SPDX-License-Identifier: Apache-2.0 */
/* Worlds of the crash explorer: one life of the engine on a simulated disk, what it shows, and the
 * small steps that layouts and operations are made of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "crash.h"

#define EXT_URI   "malloc:///ext?num_blocks=512&uuid=e5a9e5a9-0000-4000-8000-00000000c0de"
#define EXT_BYTES (512u * 512u)

/* ------------------------------------------------------------------- worlds */

struct life {
    struct crash_env env;
    bool cut;
    int (*fn)(struct crash_env *e, void *arg);
    void *arg;
};

static int life_main(void *arg)
{
    struct life *l = arg;
    struct crash_env *e = &l->env;
    char *name = NULL;
    struct ash_err err = {0};
    int rc = bdev_mgr_create(pool_bdev_modules, NULL, &e->mgr, &err);
    if (rc)
        return rc;
    rc = pool_mgr_create(e->mgr, &e->pools, &err);
    if (rc == 0 && e->layout->has_ext)
        rc = crash_add_ext(e);
    if (rc == 0)
        rc = bdev_create_uri(e->mgr, "aio:///d", &name, &err);
    rt_free(name);
    bdev_wait_for_examine(e->mgr);
    e->pool = rc ? NULL : pool_next(e->pools, NULL);
    if (rc == 0)
        rc = l->fn(e, l->arg);
    if (l->cut)
        return rc;
    if (e->pools)
        pool_mgr_destroy(e->pools);
    bdev_mgr_destroy(e->mgr);
    return rc;
}

int crash_world(const struct crash_layout *layout, struct rt_sim_disk *disk, uint64_t seed,
                int (*fn)(struct crash_env *e, void *arg), void *arg, const struct crash_life *how)
{
    static const struct crash_life plain;
    struct rt_opts opts;
    struct rt *rt;
    how = how ? how : &plain;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = seed;
    int rc = rt_create(&opts, &rt, NULL);
    if (rc)
        return rc;
    rc = rt_sim_attach(rt, "/d", disk);
    if (how->log)
        rt_sim_disk_set_log(disk, how->log);
    if (how->setup)
        how->setup(rt, arg);
    struct life l = {.env = {.layout = layout, .c = how->c, .rt = rt, .disk = disk, .seed = seed},
                     .cut = how->cut,
                     .fn = fn,
                     .arg = arg};
    if (rc == 0)
        rc = rt_run_task(rt, "life", life_main, &l);
    rt_sim_disk_set_log(disk, NULL);
    if (rc != -EDEADLK && !how->cut && rt_sim_n_live(rt) != 0)
        rc = -EBUSY;
    rt_sim_discard(rt);
    return rc;
}

struct rt_sim_disk *crash_disk(const struct crash_layout *layout, const struct rt_sim_image *image)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(0, 512);
    ASH_ASSERT(disk);
    struct rt_sim_image *copy = rt_sim_image_clone(image);
    ASH_ASSERT(copy);
    rt_sim_disk_give_image(disk, copy);
    rt_sim_disk_set_device(disk, layout->is_device);
    if (layout->no_punch)
        rt_sim_disk_set_features(disk, false, false);
    return disk;
}

/* -------------------------------------------------------------------- steps */

struct volume *crash_volume(struct crash_env *e, const char *name)
{
    char full[160];
    snprintf(full, sizeof(full), "tank/%s", name);
    return volume_find(e->pools, full);
}

struct ash_uuid crash_uuid(const char *name)
{
    struct ash_uuid uuid;
    uint64_t h[2] = {crash_hash(name, strlen(name), 1), crash_hash(name, strlen(name), 2)};
    memcpy(&uuid, h, sizeof(uuid));
    return uuid;
}

int crash_make(struct crash_env *e, const char *name, uint64_t n_clusters, bool thin, bool rle)
{
    struct volume *v;
    struct volume_create_opts opts = {.thin = thin, .rle = rle, .uuid = crash_uuid(name)};
    return volume_create(e->pool, name, n_clusters * e->layout->cluster_bytes, &opts, &v, NULL);
}

int crash_snap(struct crash_env *e, const char *vol, const char *name)
{
    struct volume *snap, *v = crash_volume(e, vol);
    struct volume_create_opts opts = {.uuid = crash_uuid(name)};
    return v ? volume_snapshot(v, name, &opts, &snap, NULL) : -ENOENT;
}

/* Eight bytes, the same all over a block; never 0 and never the garbage of the disk. */
static void fill_blocks(uint8_t *buf, uint64_t offset, uint64_t length, uint64_t tag)
{
    for (uint64_t at = 0; at < length; at += 512) {
        uint64_t word = crash_mix(tag << 40 ^ (offset + at)) | 1;
        for (unsigned k = 0; k < 512; k += 8)
            memcpy(buf + at + k, &word, 8);
    }
}

static int open_volume(struct crash_env *e, const char *vol, struct bdev_desc **ret_desc,
                       struct bdev_channel **ret_ch)
{
    char full[160];
    snprintf(full, sizeof(full), strcmp(vol, "ext") ? "tank/%s" : "%s", vol);
    int rc = bdev_open(e->mgr, full, BDEV_OPEN_WRITE, "explorer", NULL, NULL, ret_desc, NULL);
    if (rc)
        return rc;
    *ret_ch = bdev_channel_get(*ret_desc);
    if (*ret_ch)
        return 0;
    bdev_close(*ret_desc);
    return -ENOMEM;
}

int crash_write(struct crash_env *e, const char *vol, uint64_t offset, uint64_t length,
                unsigned tag, unsigned flags)
{
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    int rc = open_volume(e, vol, &desc, &ch);
    if (rc)
        return rc;
    uint8_t *buf = rt_buf_get(length);
    rc = buf ? 0 : -ENOMEM;
    if (buf) {
        fill_blocks(buf, offset, length, tag * 256u + (uint8_t)vol[0]);
        rc = bdev_write(ch, buf, offset, length, flags);
    }
    rt_buf_put(buf, length);
    bdev_channel_put(ch);
    bdev_close(desc);
    return rc;
}

int crash_io(struct crash_env *e, const char *vol, enum bdev_io_type type, uint64_t offset,
             uint64_t length)
{
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    int rc = open_volume(e, vol, &desc, &ch);
    if (rc)
        return rc;
    rc = type == BDEV_UNMAP   ? bdev_unmap(ch, offset, length)
         : type == BDEV_FLUSH ? bdev_flush(ch)
                              : bdev_write_zeroes(ch, offset, length, 0);
    bdev_channel_put(ch);
    bdev_close(desc);
    return rc;
}

void crash_mark(struct crash_env *e, const char *vol, uint64_t offset, uint64_t length)
{
    if (!e->c)
        return;
    ASH_ASSERT(e->c->n_marks < CRASH_N_MARKS);
    struct crash_mark *m = &e->c->marks[e->c->n_marks++];
    *m = (struct crash_mark){.n = e->c->log.n_entries, .offset = offset, .length = length};
    snprintf(m->volume, sizeof(m->volume), "%s", vol);
}

int crash_add_ext(struct crash_env *e)
{
    char *name = NULL;
    int rc = bdev_create_uri(e->mgr, EXT_URI, &name, NULL);
    rt_free(name);
    return rc ? rc : crash_write(e, "ext", 0, EXT_BYTES, 99, 0);
}

/* --------------------------------------------------------------------- views */

uint64_t crash_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

uint64_t crash_hash(const void *data, size_t n_bytes, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t lane[4] = {seed, seed ^ 0x9e3779b97f4a7c15ull, ~seed, seed + n_bytes}, w;
    size_t i = 0;
    for (; i + 32 <= n_bytes; i += 32) {
        for (unsigned k = 0; k < 4; k++) {
            memcpy(&w, p + i + 8 * k, 8);
            lane[k] = (lane[k] ^ w) * 0x9fb21c651e98df25ull;
            lane[k] ^= lane[k] >> 32;
        }
    }
    for (; i < n_bytes; i++)
        lane[0] = (lane[0] ^ p[i]) * 0x100000001b3ull;
    return crash_mix(lane[0] ^ crash_mix(lane[1] ^ crash_mix(lane[2] ^ crash_mix(lane[3]))));
}

/* Room for the contents of volumes, in large pages: faulting it in for each state anew was half of
 * the explorer's time. Lives as long as the process, which walks one case. Mapped, not allocated:
 * a malloc that fills what it hands out (MALLOC_PERTURB_) would touch all of it. */
#define ARENA_BYTES (256u << 20)
static struct arena {
    struct arena *next;
} * free_arenas;

static uint8_t *arena_get(void)
{
    struct arena *a = free_arenas;
    if (a) {
        free_arenas = a->next;
        return (uint8_t *)a;
    }
    void *mem = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASH_ASSERT(mem != MAP_FAILED);
    rt_want_huge(mem, ARENA_BYTES);
    return mem;
}

void crash_view_free(struct crash_view *view)
{
    struct arena *a = (struct arena *)(void *)view->arena;
    if (a) {
        a->next = free_arenas;
        free_arenas = a;
    }
    *view = (struct crash_view){0};
}

const struct crash_volume *crash_view_find(const struct crash_view *view,
                                           const struct ash_uuid *uuid)
{
    for (size_t i = 0; i < view->n; i++)
        if (ash_uuid_equal(&view->v[i].uuid, uuid))
            return &view->v[i];
    return NULL;
}

uint64_t crash_view_meta(const struct crash_view *view)
{
    uint64_t h = crash_hash(view->name, strlen(view->name), view->exists);
    h = crash_hash(&view->uuid, sizeof(view->uuid), h ^ view->n_clusters);
    for (size_t i = 0; i < view->n; i++) {
        const struct crash_volume *v = &view->v[i];
        uint64_t f[] = {
            v->blob_id,         v->n_clusters,        v->thin, v->read_only, v->rle, v->attrs,
            (uint64_t)v->state, (uint64_t)-v->read_rc};
        h = crash_hash(&v->uuid, sizeof(v->uuid), h);
        h = crash_hash(v->name, strlen(v->name), h);
        h = crash_hash(v->parent, strlen(v->parent), h);
        h = crash_hash(f, sizeof(f), h);
    }
    return h;
}

uint64_t crash_view_digest(const struct crash_view *view)
{
    uint64_t h = crash_view_meta(view);
    for (size_t i = 0; i < view->n; i++)
        h = crash_hash(&view->v[i].content, 8, h);
    return h;
}

static uint64_t attrs_digest(const struct volume *vol)
{
    struct volume_xattr xs[32];
    size_t n = volume_xattrs(vol, xs, ASH_N_ELEMS(xs));
    uint64_t sum = n;
    for (size_t i = 0; i < n && i < ASH_N_ELEMS(xs); i++)
        sum +=
            crash_hash(xs[i].value, xs[i].n_bytes, crash_hash(xs[i].name, strlen(xs[i].name), 1));
    return sum;
}

static void read_volume(struct crash_env *e, struct crash_volume *v)
{
    char full[160];
    struct bdev_desc *desc;
    struct volume *vol = volume_find_in(e->pool, v->name);
    struct volume_info info;
    volume_get_info(vol, &info);
    if (!info.bdev) {
        v->read_rc = -ENODEV;
        return;
    }
    snprintf(full, sizeof(full), "%s", info.bdev);
    v->read_rc = bdev_open(e->mgr, full, BDEV_OPEN_READ, "explorer", NULL, NULL, &desc, NULL);
    if (v->read_rc)
        return;
    struct bdev_channel *ch = bdev_channel_get(desc);
    if (bdev_desc_bdev(desc)->size_bytes != v->size_bytes)
        v->read_rc = -EINVAL;
    for (uint64_t at = 0; at < v->size_bytes && v->read_rc == 0; at += 1 << 20)
        v->read_rc =
            bdev_read(ch, v->data + at, at, ASH_MIN(v->size_bytes - at, (uint64_t)1 << 20));
    bdev_channel_put(ch);
    bdev_close(desc);
    v->content = v->read_rc ? 0 : crash_hash(v->data, v->size_bytes, 7);
}

int crash_look(struct crash_env *e, struct crash_view *view)
{
    struct pool_info pi;
    size_t need = 0;
    memset(view, 0, offsetof(struct crash_view, arena)); /* the arena is used again */
    if (!e->pool)
        return 0;
    pool_get_info(e->pool, &pi);
    view->exists = true;
    snprintf(view->name, sizeof(view->name), "%s", pi.name);
    snprintf(view->damage, sizeof(view->damage), "%s", pi.damage ? pi.damage : "");
    view->uuid = pi.uuid;
    view->n_clusters = pi.n_clusters;
    view->n_free = pi.n_free_clusters;
    for (struct volume *vol = volume_next(e->pool, NULL); vol; vol = volume_next(e->pool, vol)) {
        struct volume_info info, up = {0};
        ASH_ASSERT(view->n < CRASH_N_VOLUMES);
        struct crash_volume *v = &view->v[view->n++];
        volume_get_info(vol, &info);
        if (info.parent)
            volume_get_info(info.parent, &up);
        *v = (struct crash_volume){.uuid = info.uuid,
                                   .blob_id = info.blob_id,
                                   .n_clusters = info.n_clusters,
                                   .size_bytes = info.size_bytes,
                                   .thin = info.thin,
                                   .read_only = info.read_only,
                                   .rle = info.rle,
                                   .state = (int)info.state,
                                   .attrs = attrs_digest(vol)};
        snprintf(v->name, sizeof(v->name), "%s", info.name);
        snprintf(v->parent, sizeof(v->parent), "%s",
                 info.parent     ? up.name
                 : info.esnap_id ? info.esnap_id
                                 : "");
        need += v->size_bytes;
    }
    ASH_ASSERT(need <= ARENA_BYTES);
    if (!view->arena)
        view->arena = arena_get();
    uint8_t *at = view->arena;
    for (size_t i = 0; i < view->n; i++) {
        view->v[i].data = at;
        at += view->v[i].size_bytes;
        read_volume(e, &view->v[i]);
    }
    return 0;
}
