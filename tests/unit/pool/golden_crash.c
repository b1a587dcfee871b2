/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that a power cut, or SPDK itself, left half done (tests/golden/blobstore-crash/README.md).
 * The history of each is replayed on a model; the engine must find every volume with the length and
 * contents of before or after the operation that was cut, and leave a disk that the checker passes.
 *
 *   golden_crash IMAGE_DIR */
#include <unistd.h>

#include "pool_test.h"

#define MIB    (1u << 20)
#define BLOCK  4096u
#define N_BLKS (MIB / BLOCK) /* per cluster */

/* ------------------------------------------------------------------- model */

enum { ANY = 0x1ff }; /* a block that nobody wrote inside a cluster that somebody did: old bytes */

struct mvol {
    char name[32];
    uint32_t n; /* clusters; 0: not there */
    uint16_t *blocks;
};

struct model {
    struct mvol v[12];
    bool dirty_disk; /* unwritten blocks of written clusters show what the disk held */
};

static struct mvol *mvol(struct model *m, const char *name)
{
    for (size_t i = 0; i < ASH_N_ELEMS(m->v); i++)
        if (m->v[i].name[0] && strcmp(m->v[i].name, name) == 0)
            return &m->v[i];
    return NULL;
}

static void m_make(struct model *m, const char *name, uint32_t n, bool thick)
{
    for (size_t i = 0; i < ASH_N_ELEMS(m->v); i++) {
        struct mvol *v = &m->v[i];
        if (v->name[0])
            continue;
        snprintf(v->name, sizeof(v->name), "%s", name);
        v->n = n;
        v->blocks = calloc(1024 * N_BLKS, sizeof(*v->blocks));
        for (uint32_t b = 0; b < n * N_BLKS && thick && m->dirty_disk; b++)
            v->blocks[b] = ANY;
        return;
    }
    abort();
}

static void m_write(struct model *m, const char *name, uint64_t offset, uint32_t n, uint8_t value)
{
    struct mvol *v = mvol(m, name);
    uint64_t c = offset / MIB;
    bool fresh = m->dirty_disk;
    for (uint32_t b = 0; b < N_BLKS; b++)
        fresh &= v->blocks[c * N_BLKS + b] == 0;
    for (uint32_t b = 0; b < N_BLKS && fresh; b++)
        v->blocks[c * N_BLKS + b] = ANY;
    for (uint32_t b = 0; b < n / BLOCK; b++)
        v->blocks[offset / BLOCK + b] = value;
}

static void m_copy(struct model *m, const char *from, const char *to)
{
    m_make(m, to, mvol(m, from)->n, false);
    memcpy(mvol(m, to)->blocks, mvol(m, from)->blocks, 1024 * N_BLKS * sizeof(uint16_t));
}

static void m_resize(struct model *m, const char *name, uint32_t n, bool thick)
{
    struct mvol *v = mvol(m, name);
    for (uint32_t b = ASH_MIN(n, v->n) * N_BLKS; b < 1024 * N_BLKS; b++)
        v->blocks[b] = thick && m->dirty_disk && b < n * N_BLKS ? ANY : 0;
    v->n = n;
}

static void m_delete(struct model *m, const char *name)
{
    struct mvol *v = mvol(m, name);
    free(v->blocks);
    memset(v, 0, sizeof(*v));
}

static void m_free(struct model *m)
{
    for (size_t i = 0; i < ASH_N_ELEMS(m->v); i++)
        free(m->v[i].blocks);
    memset(m, 0, sizeof(*m));
}

/* The state before OP, as the README tells it. */
static void m_before(struct model *m, const char *file)
{
    bool first = strstr(file, "first");
    m_make(m, "v", 6, strstr(file, "thick"));
    m_write(m, "v", 0, 8192, 0x11);
    m_write(m, "v", 2 * MIB, 8192, 0x12);
    m_write(m, "v", 3 * MIB, 8192, 0x13);
    if (!first) {
        m_copy(m, "v", "s1");
        m_write(m, "v", 2 * MIB, 4096, 0x22);
        m_write(m, "v", 5 * MIB, 4096, 0x25);
    }
    if (strstr(file, "s2")) {
        m_copy(m, "v", "s2");
        m_write(m, "v", 5 * MIB, 4096, 0x35);
        m_write(m, "v", MIB, 4096, 0x31);
    }
    if (strstr(file, "big")) {
        m_make(m, "big", 600, false);
        m_write(m, "big", 0, 8192, 0x41);
        m_write(m, "big", 200 * MIB, 8192, 0x42);
        if (strstr(file, "two"))
            m_write(m, "big", UINT64_C(599) * MIB, 8192, 0x43);
    }
}

static void m_op(struct model *m, const char *file)
{
    if (strstr(file, "crash-create"))
        m_make(m, "n", 3, true);
    else if (strstr(file, "crash-snap"))
        m_copy(m, "v", "new");
    else if (strstr(file, "crash-dels2"))
        m_delete(m, "s2");
    else if (strstr(file, "crash-grow"))
        m_resize(m, "v", 9, false);
    else if (strstr(file, "crash-shrinkbig"))
        m_resize(m, "big", 100, false);
}

static void m_cleanbug(struct model *m, const char *file)
{
    unsigned n = 0, w = 0;
    CHECK_INT(sscanf(file, "cleanbug-resize%u-w%u", &n, &w), 2);
    m_make(m, "v", 6, false);
    m_write(m, "v", 0, 8192, 0x11);
    m_write(m, "v", 5 * MIB, 8192, 0x15);
    m_resize(m, "v", n, false);
    if (w)
        m_write(m, "v", (uint64_t)(n - 1) * MIB, 4096, 0x77);
}

static void m_v2605(struct model *m)
{
    m->dirty_disk = true;
    m_make(m, "thick", 3, true);
    m_make(m, "thin", 6, false);
    m_write(m, "thin", 0, 4096, 0x11);
    m_write(m, "thin", 2 * MIB, 8192, 0x22);
    m_write(m, "thin", 3 * MIB + 4096, 4096, 0x33);
    m_copy(m, "thin", "snap1");
    m_write(m, "thin", 2 * MIB, 4096, 0x44);
    m_write(m, "thin", 5 * MIB, 4096, 0x55);
    m_copy(m, "snap1", "clone1");
    m_write(m, "clone1", 0, 4096, 0x66);
    m_write(m, "thin", MIB, 4096, 0x77);
    memset(mvol(m, "thin")->blocks + N_BLKS, 0, N_BLKS * sizeof(uint16_t));
    for (uint32_t b = 0; b < N_BLKS; b++)
        mvol(m, "thin")->blocks[N_BLKS + b] = ANY; /* inflated since: a cluster of old bytes */
    m_make(m, "renamed", 4, false);
    m_write(m, "renamed", 0, 4096, 1);
    m_write(m, "renamed", MIB, 4096, 2);
    memset(mvol(m, "renamed")->blocks, 0, N_BLKS * sizeof(uint16_t));
    m_resize(m, "renamed", 600, false);
    m_write(m, "renamed", UINT64_C(599) * MIB, 4096, 9);
    m_resize(m, "thick", 5, true);
    /* inflating allocated what was not */
    for (uint32_t b = 0; b < 6 * N_BLKS; b++)
        if (mvol(m, "thin")->blocks[b] == 0)
            mvol(m, "thin")->blocks[b] = ANY;
}

static void m_vector(struct model *m)
{
    static const struct {
        const char *name;
        uint32_t n;
        uint8_t bytes[8];
    } vols[] = {{"thick", 3, {0x51, 0x52, 0x53}},
                {"thin", 600, {0x54, 0x56}},
                {"snap", 6, {0x54, 0x55}},
                {"rle", 6, {0x57, 0x58, 0, 0, 0, 0x5a}}};
    for (size_t i = 0; i < ASH_N_ELEMS(vols); i++) {
        m_make(m, vols[i].name, vols[i].n, false);
        for (uint32_t c = 0; c < 8 && c < vols[i].n; c++)
            if (vols[i].bytes[c])
                m_write(m, vols[i].name, (uint64_t)c * MIB, MIB, vols[i].bytes[c]);
    }
}

/* ----------------------------------------------------------------- compare */

struct golden {
    const char *file;
    struct model before, after;
    unsigned n_bad;
};

static bool same_content(const struct mvol *want, const uint8_t *data, int64_t n_bytes)
{
    if (!want || n_bytes != (int64_t)want->n * MIB)
        return false;
    for (uint32_t b = 0; b < want->n * N_BLKS; b++) {
        for (uint32_t i = 0; i < BLOCK; i++) {
            uint8_t have = data[(size_t)b * BLOCK + i];
            if (want->blocks[b] == ANY ? have != 0 && have != 0xAA : have != want->blocks[b])
                return false;
        }
    }
    return true;
}

static int compare(struct pt *t, void *arg)
{
    struct golden *g = arg;
    struct ash_err err = {0};
    char alias[64];
    if (pt_add_disk(t, "aio:///d?blk_size=512", &err) != 0 || !pool_next(t->pools, NULL)) {
        printf("# %s: no pool: %s\n", g->file, err.text);
        g->n_bad++;
        return 0;
    }
    struct pool *pool = pool_next(t->pools, NULL);
    unsigned n_old = 0, n_new = 0;
    for (size_t i = 0; i < ASH_N_ELEMS(g->before.v); i++)
        n_old += g->before.v[i].n > 0, n_new += g->after.v[i].n > 0;
    unsigned n = 0;
    for (struct volume *v = volume_next(pool, NULL); v; v = volume_next(pool, v)) {
        struct volume_info info;
        uint8_t *data = NULL;
        n++;
        volume_get_info(v, &info);
        snprintf(alias, sizeof(alias), "%s", info.name);
        struct mvol *old = mvol(&g->before, alias), *new = mvol(&g->after, alias);
        int64_t n_bytes = info.bdev ? pt_read_all(t, info.bdev, &data) : -1;
        v = volume_find_in(pool, alias);
        if (n_bytes < 0 ||
            (!same_content(old, data, n_bytes) && !same_content(new, data, n_bytes))) {
            printf("# %s: volume '%s' (%lld bytes) is neither what it was nor what it was to be\n",
                   g->file, alias, (long long)n_bytes);
            g->n_bad++;
        }
        free(data);
    }
    if (n != n_old && n != n_new) {
        printf("# %s: %u volumes, not %u or %u\n", g->file, n, n_old, n_new);
        g->n_bad++;
    }
    return 0;
}

static struct rt_sim_image *read_image(const char *dir, const char *file)
{
    char path[1024];
    static uint8_t buf[1 << 20], zeroes[1 << 20];
    snprintf(path, sizeof(path), "%s/%s.img", dir, file);
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    struct rt_sim_image *image = rt_sim_image_new(64 * MIB);
    for (uint64_t at = 0; at < 64 * MIB; at += sizeof(buf)) {
        CHECK_INT(fread(buf, 1, sizeof(buf), f), sizeof(buf));
        if (memcmp(buf, zeroes, sizeof(buf)) != 0)
            CHECK_INT(rt_sim_image_write(image, at, buf, sizeof(buf)), 0);
    }
    fclose(f);
    return image;
}

static const char *const files[] = {
    "cleanbug-resize600-w1", "cleanbug-resize9-w0",
    "crash-create-first-1",  "crash-dels2s2-2",
    "crash-dels2s2-4",       "crash-grow-1",
    "crash-snap-2",          "crash-shrinkbig-two-first-1",
    "race-superblob-lost",   "v2605-4k.clean",
    "v2605-4k.dirty4",       "v2605-512.clean",
    "vector-clean",          "vector-dirty",
};

static bool run_one(const char *dir, const char *file)
{
    struct golden g = {.file = file};
    for (int k = 0; k < 2; k++) {
        struct model *m = k ? &g.after : &g.before;
        if (ash_starts_with(file, "crash-")) {
            m_before(m, file);
            if (k)
                m_op(m, file);
            if (strstr(file, "shrinkbig-two-first-1") && !k) {
                /* SPDK had written the first extent page anew, in place: what lay beyond its end is
                 * lost to any reader; length and all else are as before (5.7, 11.5) */
                memset(mvol(m, "big")->blocks + 200 * N_BLKS, 0, N_BLKS * sizeof(uint16_t));
            }
        } else if (ash_starts_with(file, "cleanbug-")) {
            m_cleanbug(m, file);
        } else if (ash_starts_with(file, "v2605-")) {
            m_v2605(m);
        } else if (ash_starts_with(file, "vector-")) {
            m_vector(m);
        } else {
            m_make(m, "v", 6, false);
            m_write(m, "v", 0, 8192, 0x11);
            m_write(m, "v", 3 * MIB, 8192, 0x13);
            m_copy(m, "v", "s1");
            m_write(m, "v", 0, 4096, 0x22);
            m_copy(m, "v", "s2");
            if (k) /* the write that was in flight */
                m_write(m, "v", 3 * MIB, 4096, 0x77);
        }
    }
    struct rt_sim_disk *disk = rt_sim_disk_new(64 * MIB, 512);
    struct rt_sim_image *image = read_image(dir, file);
    CHECK(image);
    struct rt_sim_image *pristine = rt_sim_image_clone(image);
    rt_sim_disk_give_image(disk, image);
    pt_run(disk, 3, true, false, compare, &g);
    if (rt_sim_image_differs(pristine, rt_sim_disk_image(disk)) != UINT64_MAX) {
        printf("# %s: a read-only open wrote\n", file);
        g.n_bad++;
    }
    for (int round = 0; round < 2; round++) {
        pt_run(disk, 4, false, false, compare, &g);
        if (!pt_disk_is_sound(disk, true))
            g.n_bad++;
    }
    rt_sim_image_free(pristine);
    rt_sim_disk_put(disk);
    m_free(&g.before);
    m_free(&g.after);
    printf("%s %s\n", g.n_bad ? "not ok" : "ok", file);
    return g.n_bad == 0;
}

int main(int argc, char **argv)
{
    unsigned n_failed = 0;
    CHECK(argc == 2);
    for (size_t i = 0; i < ASH_N_ELEMS(files); i++)
        n_failed += !run_one(argv[1], files[i]);
    printf("%zu disks, %u failed\n", ASH_N_ELEMS(files), n_failed);
    return n_failed != 0;
}
