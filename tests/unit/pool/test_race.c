/* SPDX-License-Identifier: Apache-2.0 */
/* Clients on several reactors write, read, unmap and flush one thin volume while snapshots and
 * clones of it come and go, it is inflated, decoupled and made longer. An oracle knows what each
 * block may show: what was acknowledged is there, a snapshot never changes after its creation. At
 * the end of a round the pool is closed, or loses its power after a flush; the next engine shows
 * the same and the checker finds nothing.
 *
 * RACE=SEED repeats one round of the simulator, RACE_ROUNDS=N walks so many. */
#include <pthread.h>
#include <unistd.h>

#include "pool_test.h"

enum {
    CLUSTER = 16384,
    N_CLUSTERS = 16,
    BLOCK = 512,
    N_BLOCKS = N_CLUSTERS * CLUSTER / BLOCK,
    N_VALUES = 12, /* that a block may show at one time */
    N_CLIENTS = 4,
    N_CLIENT_OPS = 40,
    N_CONTROL_OPS = 12,
    IO_BLOCKS_MAX = 80,
    N_COPIES = 8,
};

/* ------------------------------------------------------------------- oracle */

/* What a block may show. Operations that overlap in time form a group: the first that ends takes
 * away what was there before the group, all values of the group stay possible. */
struct cell {
    uint64_t values[N_VALUES];
    uint8_t n, n_before;
    bool any; /* too many to tell */
    bool settled;
    uint16_t n_inflight;
};

/* Somebody looks meanwhile: every value that may be seen from the begin to the end. */
struct watch {
    struct watch *next;
    uint32_t first, n;
    struct cell *cells;
};

struct oracle {
    pthread_mutex_t lock;
    struct cell cells[N_BLOCKS];
    struct watch *watches;
};

static void cell_add(struct cell *c, uint64_t value)
{
    if (c->n == N_VALUES)
        c->any = true;
    else
        c->values[c->n++] = value;
}

static bool cell_may_show(const struct cell *c, uint64_t value)
{
    for (uint8_t i = 0; i < c->n; i++)
        if (c->values[i] == value)
            return true;
    return c->any;
}

/* Block b becomes value + b; value 0: zeroes. */
static void op_begin(struct oracle *o, uint32_t first, uint32_t n, uint64_t value)
{
    pthread_mutex_lock(&o->lock);
    for (uint32_t b = first; b < first + n; b++) {
        struct cell *c = &o->cells[b];
        if (c->n_inflight++ == 0) {
            c->n_before = c->n;
            c->settled = false;
        }
        cell_add(c, value ? value + b : 0);
        for (struct watch *w = o->watches; w; w = w->next)
            if (b >= w->first && b < w->first + w->n)
                cell_add(&w->cells[b - w->first], value ? value + b : 0);
    }
    pthread_mutex_unlock(&o->lock);
}

/* certain: the blocks no longer show what they did before. */
static void op_end(struct oracle *o, uint32_t first, uint32_t n, bool certain)
{
    pthread_mutex_lock(&o->lock);
    for (uint32_t b = first; b < first + n; b++) {
        struct cell *c = &o->cells[b];
        if (certain && !c->settled) {
            memmove(c->values, c->values + c->n_before,
                    (c->n - c->n_before) * sizeof(c->values[0]));
            c->n -= c->n_before;
            c->settled = true;
            c->any = false;
        }
        c->n_inflight--;
    }
    pthread_mutex_unlock(&o->lock);
}

static void watch_begin(struct oracle *o, struct watch *w, uint32_t first, uint32_t n)
{
    *w = (struct watch){.first = first, .n = n, .cells = malloc(n * sizeof(*w->cells))};
    CHECK(w->cells);
    pthread_mutex_lock(&o->lock);
    memcpy(w->cells, o->cells + first, n * sizeof(*w->cells));
    for (uint32_t i = 0; i < n; i++)
        w->cells[i].n_before = w->cells[i].n; /* more than that: somebody wrote meanwhile */
    w->next = o->watches;
    o->watches = w;
    pthread_mutex_unlock(&o->lock);
}

static void watch_end(struct oracle *o, struct watch *w)
{
    pthread_mutex_lock(&o->lock);
    struct watch **at = &o->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    pthread_mutex_unlock(&o->lock);
}

/* data: of the watched blocks */
static void watch_check(struct watch *w, const uint8_t *data, const char *who)
{
    for (uint32_t i = 0; i < w->n; i++) {
        uint64_t value, other;
        memcpy(&value, data + (size_t)i * BLOCK, 8);
        for (unsigned k = 8; k < BLOCK; k += 8) {
            memcpy(&other, data + (size_t)i * BLOCK + k, 8);
            if (other != value && w->cells[i].n == w->cells[i].n_before &&
                w->cells[i].n_inflight == 0) {
                fprintf(stderr, "# %s: block %u is mixed\n", who, w->first + i);
                CHECK(!"a block is neither old nor new");
            }
        }
        if (!cell_may_show(&w->cells[i], value)) {
            fprintf(stderr, "# %s: block %u shows %llx, may show", who, w->first + i,
                    (unsigned long long)value);
            for (uint8_t v = 0; v < w->cells[i].n; v++)
                fprintf(stderr, " %llx", (unsigned long long)w->cells[i].values[v]);
            fprintf(stderr, "\n");
            CHECK(!"a block shows what it must not");
        }
    }
    free(w->cells);
}

/* ------------------------------------------------------------------ clients */

struct copy {
    char name[16];
    uint8_t *data; /* NULL: none here */
    uint64_t n_bytes;
};

struct round {
    struct pt *t;
    uint64_t seed, rng;
    struct oracle oracle;
    struct bdev_desc *desc;
    unsigned n_left; /* clients */
    struct rt_event clients_done;
    struct copy copies[N_COPIES];
    unsigned n_names;
    bool wants_cut;
    uint8_t *end_data; /* of v */
    uint64_t n_free;
    char path[64]; /* real back ends: the disk */
};

struct client {
    struct round *r;
    unsigned idx;
    uint64_t rng;
};

static uint64_t next(uint64_t *rng)
{
    uint64_t z = *rng += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void fill_values(uint8_t *buf, uint32_t first, uint32_t n, uint64_t value)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t v = value + first + i;
        for (unsigned k = 0; k < BLOCK; k += 8)
            memcpy(buf + (size_t)i * BLOCK + k, &v, 8);
    }
}

static void client_read(struct client *c, struct bdev_channel *ch, uint8_t *buf, uint32_t first,
                        uint32_t n)
{
    struct watch w;
    watch_begin(&c->r->oracle, &w, first, n);
    CHECK_INT(bdev_read(ch, buf, (uint64_t)first * BLOCK, (uint64_t)n * BLOCK), 0);
    watch_end(&c->r->oracle, &w);
    watch_check(&w, buf, "read");
}

static void client_op(struct client *c, struct bdev_channel *ch, uint8_t *buf, uint64_t serial)
{
    struct oracle *o = &c->r->oracle;
    unsigned what = next(&c->rng) % 100;
    uint32_t n = 1 + (uint32_t)(next(&c->rng) % IO_BLOCKS_MAX);
    uint32_t first = (uint32_t)(next(&c->rng) % (N_BLOCKS - n));
    if (next(&c->rng) % 4 == 0) { /* one cluster exactly */
        n = CLUSTER / BLOCK;
        first = (uint32_t)(next(&c->rng) % N_CLUSTERS) * n;
    } else if (next(&c->rng) % 2 == 0) { /* small, where others are at work as well */
        n = 1 + n % 4;
        first %= 4 * CLUSTER / BLOCK;
    }
    uint64_t value = (uint64_t)(c->idx + 1) << 56 | serial << 20, at = (uint64_t)first * BLOCK;
    if (what < 55) {
        fill_values(buf, first, n, value);
        op_begin(o, first, n, value);
        CHECK_INT(bdev_write(ch, buf, at, (uint64_t)n * BLOCK, what < 8 ? BDEV_FUA : 0), 0);
        op_end(o, first, n, true);
    } else if (what < 75) {
        client_read(c, ch, buf, first, n);
    } else if (what < 85) {
        op_begin(o, first, n, 0);
        CHECK_INT(bdev_unmap(ch, at, (uint64_t)n * BLOCK), 0);
        op_end(o, first, n, false); /* a hint: may leave what was there */
    } else if (what < 95) {
        op_begin(o, first, n, 0);
        CHECK_INT(bdev_write_zeroes(ch, at, (uint64_t)n * BLOCK, 0), 0);
        op_end(o, first, n, true);
    } else {
        CHECK_INT(bdev_flush(ch), 0);
    }
}

static int client_main(void *arg)
{
    struct client *c = arg;
    struct bdev_channel *ch = bdev_channel_get(c->r->desc);
    uint8_t *buf = rt_buf_get(IO_BLOCKS_MAX * BLOCK);
    CHECK(ch && buf);
    for (uint64_t i = 0; i < N_CLIENT_OPS; i++)
        client_op(c, ch, buf, i + 1);
    rt_buf_put(buf, IO_BLOCKS_MAX * BLOCK);
    bdev_channel_put(ch);
    return 0;
}

static void client_task(void *arg)
{
    struct client *c = arg;
    struct round *r = c->r;
    struct rt *rt = rt_world();
    CHECK_INT(rt_call_on(rt_reactor(rt, c->idx % rt_n_reactors(rt)), "client", client_main, c), 0);
    if (--r->n_left == 0)
        rt_event_set(&r->clients_done, 0);
}

/* ------------------------------------------------------------------ control */

static struct volume *vol(struct round *r, const char *name)
{
    char full[64];
    snprintf(full, sizeof(full), "tank/%s", name);
    struct volume *v = volume_find(r->t->pools, full);
    CHECK(v);
    return v;
}

static uint8_t *read_copy(struct round *r, const char *name, uint64_t *ret_n)
{
    char full[64];
    uint8_t *data = NULL;
    snprintf(full, sizeof(full), "tank/%s", name);
    int64_t n = pt_read_all(r->t, full, &data);
    CHECK(n >= 0);
    *ret_n = (uint64_t)n;
    return data;
}

static void check_copy(struct round *r, const struct copy *c)
{
    uint64_t n;
    uint8_t *data = read_copy(r, c->name, &n);
    CHECK_INT(n, c->n_bytes);
    if (memcmp(data, c->data, n) != 0) {
        uint64_t at = 0;
        while (data[at] == c->data[at])
            at++;
        fprintf(stderr, "# %s changed at block %llu\n", c->name, (unsigned long long)at / BLOCK);
        CHECK(!"a snapshot changed");
    }
    free(data);
}

static struct copy *pick(struct round *r, bool used)
{
    unsigned from = (unsigned)(next(&r->rng) % N_COPIES);
    for (unsigned i = 0; i < N_COPIES; i++) {
        struct copy *c = &r->copies[(from + i) % N_COPIES];
        if ((c->data != NULL) == used)
            return c;
    }
    return NULL;
}

static void do_snapshot(struct round *r)
{
    struct copy *c = pick(r, false);
    struct volume *snap;
    struct watch w;
    if (!c)
        return;
    snprintf(c->name, sizeof(c->name), "s%u", r->n_names++);
    watch_begin(&r->oracle, &w, 0, N_BLOCKS);
    CHECK_INT(volume_snapshot(vol(r, "v"), c->name, NULL, &snap, NULL), 0);
    watch_end(&r->oracle, &w);
    c->data = read_copy(r, c->name, &c->n_bytes);
    watch_check(&w, c->data, c->name);
}

/* A clone of a snapshot is the same; it is written to and then stays as it is. */
static void do_clone(struct round *r)
{
    struct copy *from = pick(r, true), *c = pick(r, false);
    struct volume *clone;
    char full[64];
    if (!from || !c || from->name[0] != 's')
        return;
    snprintf(c->name, sizeof(c->name), "c%u", r->n_names++);
    CHECK_INT(volume_clone(vol(r, from->name), c->name, NULL, &clone, NULL), 0);
    c->data = read_copy(r, c->name, &c->n_bytes);
    CHECK(c->n_bytes == from->n_bytes && memcmp(c->data, from->data, c->n_bytes) == 0);
    uint64_t at = next(&r->rng) % (N_BLOCKS - 8) * BLOCK;
    snprintf(full, sizeof(full), "tank/%s", c->name);
    CHECK_INT(pt_fill(r->t, full, at, 8 * BLOCK, 0x5a), 0);
    memset(c->data + at, 0x5a, 8 * BLOCK);
}

static void do_delete(struct round *r)
{
    struct copy *c = pick(r, true);
    if (!c)
        return;
    check_copy(r, c);
    int rc = volume_delete(vol(r, c->name), NULL);
    if (rc != -EBUSY) { /* has several clones */
        CHECK_INT(rc, 0);
        free(c->data);
        c->data = NULL;
    }
}

static void control_op(struct round *r)
{
    struct volume_info info;
    volume_get_info(vol(r, "v"), &info);
    switch (next(&r->rng) % 12) {
    case 0:
    case 1:
    case 2:
    case 3:
        do_snapshot(r);
        break;
    case 4:
    case 5:
    case 6:
        do_delete(r);
        break;
    case 7:
    case 8:
        do_clone(r);
        break;
    case 9:
        if (info.parent && next(&r->rng) % 2)
            CHECK_INT(volume_decouple(vol(r, "v"), NULL), 0);
        break;
    case 10:
        if (next(&r->rng) % 3 == 0)
            CHECK_INT(volume_inflate(vol(r, "v"), NULL), 0);
        break;
    default:
        CHECK_INT(volume_resize(vol(r, "v"), info.size_bytes + CLUSTER, NULL), 0);
        break;
    }
    rt_sleep_ns(next(&r->rng) % 300000);
}

/* -------------------------------------------------------------------- rounds */

static void check_end(struct round *r)
{
    struct watch w;
    uint64_t n;
    watch_begin(&r->oracle, &w, 0, N_BLOCKS);
    watch_end(&r->oracle, &w);
    r->end_data = read_copy(r, "v", &n);
    CHECK(n >= N_BLOCKS * BLOCK);
    watch_check(&w, r->end_data, "v at the end");
    for (unsigned i = 0; i < N_COPIES; i++)
        if (r->copies[i].data)
            check_copy(r, &r->copies[i]);
}

static void work(struct round *r, const char *base)
{
    struct client clients[N_CLIENTS];
    struct volume *v;
    struct volume_create_opts opts = {.thin = true, .rle = r->seed % 5 == 0};
    struct pool *pool = pt_make_pool(r->t, base, "tank", CLUSTER);
    CHECK_INT(volume_create(pool, "v", N_BLOCKS * BLOCK, &opts, &v, NULL), 0);
    CHECK_INT(bdev_open(r->t->mgr, "tank/v", BDEV_OPEN_WRITE, "race", NULL, NULL, &r->desc, NULL),
              0);
    r->n_left = N_CLIENTS;
    r->clients_done = RT_EVENT_INIT;
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        clients[i] = (struct client){.r = r, .idx = i, .rng = r->seed * 100 + i};
        CHECK_INT(rt_task_spawn("client", client_task, &clients[i]), 0);
    }
    for (unsigned i = 0; i < N_CONTROL_OPS; i++)
        control_op(r);
    rt_event_wait(&r->clients_done);
    check_end(r);
    struct bdev_channel *ch = bdev_channel_get(r->desc);
    CHECK_INT(bdev_flush(ch), 0);
    bdev_channel_put(ch);
    bdev_close(r->desc);
}

/* In another engine, or after a close. */
static void check_after(struct round *r)
{
    struct pool_info info;
    uint64_t n;
    CHECK(pool_find(r->t->pools, "tank"));
    pool_get_info(pool_find(r->t->pools, "tank"), &info);
    CHECK(!info.degraded);
    r->n_free = info.n_free_clusters;
    uint8_t *data = read_copy(r, "v", &n);
    CHECK(memcmp(data, r->end_data, N_BLOCKS * BLOCK) == 0);
    free(data);
    for (unsigned i = 0; i < N_COPIES; i++)
        if (r->copies[i].data)
            check_copy(r, &r->copies[i]);
}

static void round_init(struct round *r, uint64_t seed)
{
    *r = (struct round){.seed = seed, .rng = seed, .wants_cut = seed & 1};
    pthread_mutex_init(&r->oracle.lock, NULL);
    for (unsigned b = 0; b < N_BLOCKS; b++)
        cell_add(&r->oracle.cells[b], 0);
}

static void round_fini(struct round *r)
{
    free(r->end_data);
    for (unsigned i = 0; i < N_COPIES; i++)
        free(r->copies[i].data);
    pthread_mutex_destroy(&r->oracle.lock);
}

static int sim_first(struct pt *t, void *arg)
{
    struct round *r = arg;
    r->t = t;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    work(r, "/d");
    return 0;
}

static int sim_second(struct pt *t, void *arg)
{
    struct round *r = arg;
    r->t = t;
    CHECK_INT(pt_add_disk(t, "aio:///d", NULL), 0);
    check_after(r);
    return 0;
}

static void sim_life(struct rt_sim_disk *disk, struct round *r, uint64_t seed, bool cut,
                     int (*fn)(struct pt *t, void *arg))
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 3;
    opts.seed = seed;
    CHECK_INT(rt_create(&opts, &rt, NULL), 0);
    CHECK_INT(rt_sim_attach(rt, "/d", disk), 0);
    struct pt_case c = {.rt = rt, .fn = fn, .arg = r, .keep_open = cut};
    CHECK_INT(rt_run_task(rt, "case", pt_main, &c), 0);
    if (!cut)
        CHECK_INT(rt_sim_n_live(rt), 0);
    rt_sim_discard(rt);
}

static void sim_round(uint64_t seed)
{
    struct round r;
    struct lvs_report report;
    struct rt_sim_disk *disk = rt_sim_disk_new(16 << 20, 512);
    round_init(&r, seed);
    rt_sim_disk_set_device(disk, seed & 2);
    sim_life(disk, &r, seed, r.wants_cut, sim_first);
    CHECK(pt_disk_is_sound(disk, !r.wants_cut));
    sim_life(disk, &r, seed + 1, false, sim_second);
    CHECK(pt_disk_is_sound(disk, true));
    CHECK_INT(pt_check_image(rt_sim_disk_image(disk), &r.n_free, &report), 0);
    CHECK(lvs_report_is_clean(&report));
    lvs_report_fini(&report);
    rt_sim_disk_put(disk);
    round_fini(&r);
}

static void sim_rounds(void **state)
{
    const char *n = getenv("RACE_ROUNDS");
    uint64_t n_rounds = n ? strtoull(n, NULL, 0) : 1000;
    for (uint64_t seed = 1; seed <= n_rounds; seed++) {
        if (seed % 100 == 1) /* the last one is named if the next hundred end in an abort */
            fprintf(stderr, "# seeds from %llu on\n", (unsigned long long)seed);
        sim_round(seed);
    }
}

/* The same on threads, over a file: clients race for the same blocks, which in memory would be a
 * race of the test's own. */
static int real_main(struct pt *t, void *arg)
{
    struct round *r = arg;
    struct pool *pool;
    r->t = t;
    CHECK_INT(pt_add_disk(t, r->path, NULL), 0);
    work(r, r->path);
    CHECK_INT(pool_export(pool_find(t->pools, "tank"), NULL), 0);
    CHECK_INT(pool_import(t->pools, r->path, false, NULL, &pool, NULL), 0);
    check_after(r);
    return 0;
}

static void real_rounds(void **state)
{
    static const enum rt_backend backends[] = {RT_BACKEND_EPOLL, RT_BACKEND_URING};
    for (size_t b = 0; b < ASH_N_ELEMS(backends); b++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct rt_opts opts;
            struct rt *rt;
            struct round r;
            rt_opts_init(&opts);
            opts.backend = backends[b];
            opts.n_reactors = 2;
            opts.n_workers_max = 2;
            int rc = rt_create(&opts, &rt, NULL);
            if (rc == -ENOSYS)
                break; /* not allowed here */
            CHECK_INT(rc, 0);
            round_init(&r, seed);
            snprintf(r.path, sizeof(r.path), "/tmp/ashlar-race-XXXXXX");
            int fd = mkstemp(r.path);
            CHECK(fd >= 0 && ftruncate(fd, 16 << 20) == 0);
            struct pt_case c = {.rt = rt, .fn = real_main, .arg = &r};
            CHECK_INT(rt_run_task(rt, "case", pt_main, &c), 0);
            rt_destroy(rt);
            close(fd);
            unlink(r.path);
            round_fini(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sim_rounds), cmocka_unit_test(real_rounds)};
    const char *one = getenv("RACE");
    if (one) {
        sim_round(strtoull(one, NULL, 0));
        return 0;
    }
    return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
