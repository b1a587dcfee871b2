/* SPDX-License-Identifier: Apache-2.0 */
/* The walk: run an operation once, then every state that a power cut during it can leave. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "crash.h"

/* ------------------------------------------------------------------ record */

struct recording {
    struct crash_case *c;
    struct rt_sim_image *start, *begin; /* when the log / the operation itself began */
};

static int make_layout(struct crash_env *e, void *arg)
{
    struct pool_create_opts opts = {.cluster_bytes = e->layout->cluster_bytes,
                                    .md_ratio_percent = 25,
                                    .clear = POOL_CLEAR_NONE,
                                    .force = true};
    struct ash_err err = {0};
    int rc = pool_create(e->pools, "/d", "tank", &opts, &e->pool, &err);
    return rc ? rc : e->layout->make(e);
}

/* Something before the operation, so that the store is dirty, has been flushed, and knows of some
 * free clusters that they read as zeroes. */
static int warm_up(struct crash_env *e)
{
    uint64_t cluster = e->layout->cluster_bytes;
    int rc = crash_make(e, "warm", 2, true, false);
    if (rc == 0)
        rc = crash_write(e, "warm", 0, 2 * cluster, 77, 0);
    if (rc == -ENOSPC)
        rc = 0;
    struct volume *warm = crash_volume(e, "warm");
    if (rc == 0 && warm)
        rc = volume_delete(warm, NULL);
    return rc;
}

/* Operations before the one whose states are walked. */
static int run_first(struct crash_env *e, struct crash_case *c)
{
    for (unsigned i = 0; i < c->n_first; i++) {
        const struct crash_op *op = c->first[i];
        if (*op->needs && !crash_volume(e, op->needs))
            return -ENOENT;
        (void)op->run(e); /* refused is as good as done */
        if (op->rule == CRASH_DATA && crash_volume(e, "v"))
            (void)crash_io(e, "v", BDEV_FLUSH, 0, 0);
    }
    c->n_log_first = c->log.n_entries;
    c->n_marks = 0;
    return c->op->needs && *c->op->needs && !crash_volume(e, c->op->needs) ? -ENOENT : 0;
}

static int record_main(struct crash_env *e, void *arg)
{
    struct recording *r = arg;
    struct crash_case *c = r->c;
    if (c->op->at_load) {
        c->n_marks = 0;
        rt_sim_disk_set_log(e->disk, NULL);
        return 0;
    }
    if (c->warm) {
        int rc = warm_up(e);
        if (rc)
            return rc;
    }
    r->start = rt_sim_image_clone(rt_sim_disk_image(e->disk));
    ASH_ASSERT(r->start);
    rt_sim_disk_set_log(e->disk, &c->log);
    int rc = run_first(e, c);
    if (rc == 0) {
        r->begin = rt_sim_image_clone(rt_sim_disk_image(e->disk));
        ASH_ASSERT(r->begin);
        c->op_rc = c->op->run(e);
    }
    rt_sim_disk_set_log(e->disk, NULL);
    return rc;
}

static int look_fn(struct crash_env *e, void *arg)
{
    return crash_look(e, arg);
}

static int look_at(struct crash_case *c, const struct rt_sim_image *image, struct crash_view *view)
{
    struct rt_sim_disk *disk = crash_disk(c->layout, image);
    int rc = crash_world(c->layout, disk, c->seed + 1, look_fn, view, NULL);
    rt_sim_disk_put(disk);
    return rc;
}

/* A disk full of garbage, then the layout's pool. */
static int prepare(struct crash_case *c, struct rt_sim_disk **ret_disk)
{
    static const uint64_t step = 1 << 20;
    struct rt_sim_disk *disk = rt_sim_disk_new(c->layout->disk_bytes, 512);
    uint8_t *garbage = malloc(step);
    ASH_ASSERT(disk && garbage);
    memset(garbage, 0xaa, step);
    for (uint64_t at = 0; at < c->layout->disk_bytes; at += step)
        rt_sim_disk_poke(disk, at, garbage, step);
    free(garbage);
    rt_sim_disk_set_device(disk, c->layout->is_device);
    if (c->layout->no_punch)
        rt_sim_disk_set_features(disk, false, false);
    *ret_disk = disk;
    struct crash_life how = {.cut = c->layout->left_dirty};
    int rc = c->layout->make ? crash_world(c->layout, disk, c->seed, make_layout, NULL, &how) : 0;
    uint64_t grow_bytes = c->op->grow_bytes;
    for (unsigned i = 0; i < c->n_first; i++)
        grow_bytes = ASH_MAX(grow_bytes, c->first[i]->grow_bytes);
    if (grow_bytes)
        rt_sim_disk_resize(disk, c->layout->disk_bytes + grow_bytes);
    return rc;
}

static int has_volume(struct crash_env *e, void *arg)
{
    const char *name = arg;
    return !*name || crash_volume(e, name) ? 0 : -ENOENT;
}

static int fits(struct crash_case *c, struct rt_sim_disk *disk)
{
    const struct crash_op *op = c->op;
    if (!op->needs != !c->layout->make || (op->needs_ext && !c->layout->has_ext) ||
        (op->at_load && (!c->layout->left_dirty || c->warm)) || (!c->layout->make && c->warm))
        return -ENOENT;
    if (!op->needs || !*op->needs)
        return 0;
    static const struct crash_life cut = {.cut = true};
    struct rt_sim_disk *copy = crash_disk(c->layout, rt_sim_disk_image(disk));
    int rc = crash_world(c->layout, copy, 1, has_volume, (void *)(uintptr_t)op->needs, &cut);
    rt_sim_disk_put(copy);
    return rc;
}

/* The operation itself must not change what a volume holds, as far as it is as long as before. */
static int compare_contents(struct crash_case *c)
{
    if (c->op->rule != CRASH_ATOMIC || c->op->changes)
        return 0;
    for (size_t i = 0; i < c->before.n; i++) {
        const struct crash_volume *b = &c->before.v[i], *a = crash_view_find(&c->after, &b->uuid);
        if (a && memcmp(a->data, b->data, ASH_MIN(a->size_bytes, b->size_bytes)) != 0) {
            ash_buf_fmt(&c->why, "volume %s holds something else after the operation", b->name);
            return -EIO;
        }
    }
    return 0;
}

int crash_case_record(struct crash_case *c)
{
    struct recording r = {.c = c};
    struct rt_sim_disk *disk;
    int rc = prepare(c, &disk);
    if (rc)
        ash_buf_fmt(&c->why, "layout %s cannot be made: %s", c->layout->name, ash_strerror(rc));
    if (rc == 0)
        rc = fits(c, disk);
    if (rc == 0 && c->op->at_load)
        r.start = rt_sim_image_clone(rt_sim_disk_image(disk));
    if (rc == 0) {
        struct crash_life how = {.c = c, .log = c->op->at_load ? &c->log : NULL};
        rc = crash_world(c->layout, disk, c->seed + 10, record_main, &r, &how);
        if (rc && rc != -ENOENT)
            ash_buf_fmt(&c->why, "running the operation: %s", ash_strerror(rc));
    }
    c->start = r.start;
    if (rc == 0)
        rc = look_at(c, r.begin ? r.begin : c->start, &c->before);
    rt_sim_image_free(r.begin);
    if (rc == 0)
        rc = look_at(c, rt_sim_disk_image(disk), &c->after);
    if (rc == 0)
        rc = compare_contents(c);
    if (rc == 0) {
        struct lvs_report report;
        if (crash_check_image(c->start, &report, NULL) == 0 && report.readable)
            c->md_end = (report.total_clusters - report.data_clusters) * report.cluster_bytes;
        lvs_report_fini(&report);
        struct lvs_super_disk super;
        rt_sim_image_read(c->start, 0, &super, sizeof(super));
        if (c->md_end)
            c->md_start = (uint64_t)ash_le32_get(super.md_start) * report.md_page_bytes;
        if (c->log.failed)
            rc = -ENOMEM;
    }
    rt_sim_disk_put(disk);
    return rc;
}

void crash_case_free(struct crash_case *c)
{
    rt_sim_image_free(c->start);
    rt_sim_log_free(&c->log);
    crash_view_free(&c->before);
    crash_view_free(&c->after);
    crash_view_free(&c->seen);
    crash_view_free(&c->again);
    ash_buf_free(&c->why);
}

/* ------------------------------------------------------------------- names */

static void name_mask(struct ash_buf *out, const char *option, const uint64_t mask[4])
{
    bool begun = false;
    ash_buf_fmt(out, " %s 0x", option);
    for (int w = 3; w >= 0; w--) {
        if (begun)
            ash_buf_fmt(out, "%016llx", (unsigned long long)mask[w]);
        else if (mask[w] || w == 0)
            ash_buf_fmt(out, "%llx", (unsigned long long)mask[w]);
        begun |= mask[w] != 0;
    }
}

static void name_state(const struct crash_case *c, const struct crash_state *st)
{
    struct ash_buf out = {0};
    ash_buf_fmt(&out, "ashlar-crash --layout %s", c->layout->name);
    for (unsigned i = 0; i < c->n_first; i++)
        ash_buf_fmt(&out, " --first %s", c->first[i]->name);
    ash_buf_fmt(&out, " --op %s%s --seed %llu --at %zu", c->op->name, c->warm ? " --warm" : "",
                (unsigned long long)c->seed, st->n);
    name_mask(&out, "--mask", st->mask);
    if (st->killed)
        ash_buf_fmt(&out, " --killed-at %zu", st->kill_n);
    if (st->tear)
        ash_buf_fmt(&out, " --tear %u:%u:%llu", st->tear, st->torn,
                    (unsigned long long)st->tear_seed);
    if (st->has_then) {
        ash_buf_fmt(&out, " --then-at %zu", st->then_n);
        name_mask(&out, "--then-mask", st->then_mask);
    }
    snprintf(c->repro, CRASH_REPRO_BYTES, "%s", ash_buf_text(&out));
    ash_buf_free(&out);
}

static void tell_failure(struct crash_case *c)
{
    c->counts.n_failed++;
    printf("FAILED %s\n%s\n", c->repro, ash_buf_text(&c->why));
    fflush(stdout);
    ash_buf_reset(&c->why);
}

/* ------------------------------------------------------------- state by state */

/* Digests of the images that have been judged. */
struct seen_set {
    uint64_t *slots;
    size_t n, n_room;
};

static bool seen_add(struct seen_set *s, uint64_t x)
{
    x += x == 0;
    if (2 * (s->n + 1) > s->n_room) {
        struct seen_set more = {.n_room = s->n_room ? 2 * s->n_room : 256};
        more.slots = calloc(more.n_room, sizeof(*more.slots));
        ASH_ASSERT(more.slots);
        for (size_t i = 0; i < s->n_room; i++)
            if (s->slots[i])
                seen_add(&more, s->slots[i]);
        free(s->slots);
        *s = more;
    }
    size_t at = crash_mix(x) & (s->n_room - 1);
    while (s->slots[at] && s->slots[at] != x)
        at = (at + 1) & (s->n_room - 1);
    if (s->slots[at])
        return false;
    s->slots[at] = x;
    s->n++;
    return true;
}

struct walk {
    struct crash_case *c;
    struct seen_set seen;
    uint32_t *pages; /* that the log touches, each once */
    size_t n_pages;
};

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void collect_pages(struct walk *w)
{
    const struct rt_sim_log *log = &w->c->log;
    size_t n_room = 1, n = 0, k = 0;
    for (size_t i = 0; i < log->n_entries; i++)
        n_room += log->entries[i].length / RT_SIM_PAGE_BYTES + 2;
    w->pages = malloc(n_room * sizeof(*w->pages));
    ASH_ASSERT(w->pages);
    for (size_t i = 0; i < log->n_entries; i++) {
        const struct rt_sim_log_entry *e = &log->entries[i];
        for (uint64_t p = e->offset / RT_SIM_PAGE_BYTES;
             e->length && p <= (e->offset + e->length - 1) / RT_SIM_PAGE_BYTES; p++)
            w->pages[n++] = (uint32_t)p;
    }
    qsort(w->pages, n, sizeof(*w->pages), compare_u32);
    for (size_t i = 0; i < n; i++)
        if (k == 0 || w->pages[k - 1] != w->pages[i])
            w->pages[k++] = w->pages[i];
    w->n_pages = k;
}

static uint64_t image_digest(const struct walk *w, const struct rt_sim_image *image)
{
    uint8_t page[RT_SIM_PAGE_BYTES];
    uint64_t h = rt_sim_image_size(image);
    for (size_t i = 0; i < w->n_pages; i++) {
        uint64_t at = (uint64_t)w->pages[i] * RT_SIM_PAGE_BYTES;
        if (at + sizeof(page) > rt_sim_image_size(image))
            continue;
        rt_sim_image_read(image, at, page, sizeof(page));
        h = crash_hash(page, sizeof(page), h);
    }
    return h;
}

/* What is demanded of an image depends on how far the operation had come. */
static uint64_t demands(const struct crash_case *c, size_t n, uint64_t weak_id)
{
    uint64_t d = n >= c->log.n_entries;
    for (size_t i = 0; i < c->n_marks; i++)
        d = d * 2 + (n >= c->marks[i].n);
    return crash_mix(d + 1) ^ crash_mix(weak_id);
}

/* The blob of the metadata page that st tears inside, 0: data, or nothing torn so. */
static uint64_t weak_id(const struct crash_case *c, const struct crash_state *st)
{
    uint32_t pending[256];
    size_t n = crash_pending(&c->log, st->n, pending, ASH_N_ELEMS(pending));
    if (st->tear != 512 || st->torn >= n)
        return 0;
    const struct rt_sim_log_entry *e = &c->log.entries[pending[st->torn]];
    if (e->offset >= c->md_end || e->offset < c->md_start)
        return 0; /* masks count for nothing until the super block says so */
    struct le64 id = {{0}};
    if (e->kind == RT_OP_WRITE)
        memcpy(&id, e->data, sizeof(id));
    if (ash_le64_get(id) == 0) /* erasing: whose it was */
        rt_sim_image_read(c->start, e->offset, &id, sizeof(id));
    return ash_le64_get(id) ? ash_le64_get(id) : 1;
}

static void sample_mask(uint64_t mask[4], size_t n, uint64_t seed)
{
    for (unsigned w = 0; w < 4; w++) {
        uint64_t keep = n >= 64 * (w + 1) ? UINT64_MAX
                        : n > 64 * w      ? (1ull << (n - 64 * w)) - 1
                                          : 0;
        mask[w] = crash_mix(seed * 4 + w + 1) & keep;
    }
}

static void full_mask(uint64_t mask[4], size_t n)
{
    for (unsigned w = 0; w < 4; w++)
        mask[w] = n >= 64 * (w + 1) ? UINT64_MAX : n > 64 * w ? (1ull << (n - 64 * w)) - 1 : 0;
}

/* Crash again during the recovery of an image that passed. */
static void walk_nested(struct walk *w, const struct rt_sim_image *image, struct crash_state *st)
{
    struct crash_case *c = w->c;
    struct rt_sim_log log = {0};
    struct crash_view want;
    if (crash_judge(c, image, st->n, 0, NULL, &log)) {
        tell_failure(c); /* cannot be: it has passed once */
        rt_sim_log_free(&log);
        return;
    }
    want = c->seen;
    c->seen = (struct crash_view){0};
    st->has_then = true;
    for (unsigned i = 0; i < c->limits.n_nested && c->counts.n_failed < CRASH_FAILURES_MAX; i++) {
        uint32_t pending[256];
        uint64_t r = crash_mix(c->seed + 1000 * c->counts.n_nested + i);
        st->then_n = r % (log.n_entries + 1);
        size_t n = crash_pending(&log, st->then_n, pending, ASH_N_ELEMS(pending));
        sample_mask(st->then_mask, n, r);
        struct crash_state then = {.n = st->then_n};
        memcpy(then.mask, st->then_mask, sizeof(then.mask));
        struct rt_sim_image *second = crash_build(image, &log, &then);
        ASH_ASSERT(second);
        name_state(c, st);
        c->counts.n_nested++;
        if (crash_judge(c, second, st->n, 0, &want, NULL))
            tell_failure(c);
        rt_sim_image_free(second);
    }
    st->has_then = false;
    crash_view_free(&want);
    rt_sim_log_free(&log);
}

/* What engine and disk did up to entry n, as a log to be continued. */
static void copy_log(const struct rt_sim_log *from, size_t n, struct rt_sim_log *to)
{
    *to = (struct rt_sim_log){.n_room = n + 64};
    to->entries = calloc(to->n_room, sizeof(*to->entries));
    ASH_ASSERT(to->entries);
    for (size_t i = 0; i < n; i++) {
        struct rt_sim_log_entry e = from->entries[i];
        if (e.data) {
            e.data = malloc(e.length);
            ASH_ASSERT(e.data);
            memcpy(e.data, from->entries[i].data, e.length);
        }
        to->entries[to->n_entries++] = e;
    }
}

/* The engine is killed after n entries: all of them are in the disk's cache. What a second engine
 * finds and shows there, a power cut must not take away again. log: of both; *ret_want: what the
 * second one showed. */
static int judge_killed(struct crash_case *c, size_t n, struct rt_sim_log *log,
                        struct crash_view *ret_want)
{
    copy_log(&c->log, n, log);
    struct crash_state st = {.n = n};
    uint32_t pending[256];
    size_t n_pending = crash_pending(log, n, pending, ASH_N_ELEMS(pending));
    memset(st.mask, 0xff, sizeof(st.mask));
    struct rt_sim_image *image =
        n_pending < ASH_N_ELEMS(pending) ? crash_build(c->start, log, &st) : NULL;
    if (!image)
        return 1; /* more than masks can tell */
    int rc = crash_judge(c, image, n, 0, NULL, log);
    *ret_want = c->seen;
    c->seen = (struct crash_view){0};
    rt_sim_image_free(image);
    return rc;
}

/* A power cut after the second engine; st->kill_n is that of judge_killed. */
static int judge_cut_after_kill(struct crash_case *c, const struct crash_state *st,
                                const struct rt_sim_log *log, const struct crash_view *want)
{
    struct rt_sim_image *image = crash_build(c->start, log, st);
    ASH_ASSERT(image);
    /* What users wrote and did not flush may still go; and where the second engine found no pool it
     * has not flushed anything. */
    bool same = st->n >= log->n_entries && c->op->rule != CRASH_DATA && want->exists;
    int rc = crash_judge(c, image, st->kill_n, 0, same ? want : NULL, NULL);
    rt_sim_image_free(image);
    return rc;
}

static void walk_killed(struct crash_case *c, size_t n)
{
    struct rt_sim_log log;
    struct crash_view want = {0};
    struct crash_state st = {.n = n, .killed = true, .kill_n = n};
    name_state(c, &st);
    int rc = judge_killed(c, n, &log, &want);
    if (rc < 0)
        tell_failure(c);
    for (unsigned i = 0; rc == 0 && i < 4 && c->counts.n_failed < CRASH_FAILURES_MAX; i++) {
        uint32_t pending[256];
        uint64_t r = crash_mix(c->seed + 77 * n + i);
        st.n = i == 0 ? log.n_entries : n + r % (log.n_entries - n + 1);
        sample_mask(st.mask, crash_pending(&log, st.n, pending, ASH_N_ELEMS(pending)), r);
        name_state(c, &st);
        c->counts.n_nested++;
        if (judge_cut_after_kill(c, &st, &log, &want))
            tell_failure(c);
    }
    crash_view_free(&want);
    rt_sim_log_free(&log);
}

static void walk_state(struct walk *w, struct crash_state *st)
{
    struct crash_case *c = w->c;
    if (c->counts.n_failed >= CRASH_FAILURES_MAX)
        return;
    c->counts.n_states++;
    c->counts.n_torn += st->tear != 0;
    struct rt_sim_image *image = crash_build(c->start, &c->log, st);
    ASH_ASSERT(image);
    uint64_t weak = weak_id(c, st);
    if (seen_add(&w->seen, image_digest(w, image) ^ demands(c, st->n, weak))) {
        c->counts.n_unique++;
        name_state(c, st);
        if (crash_judge(c, image, st->n, weak, NULL, NULL))
            tell_failure(c);
        else if (c->limits.nested_every && !weak &&
                 c->counts.n_unique % c->limits.nested_every == 1)
            walk_nested(w, image, st);
    }
    rt_sim_image_free(image);
}

/* One pending write of the state is torn, in units of the medium or of a metadata page. */
static void walk_torn(struct walk *w, struct crash_state *st, const uint32_t *pending, size_t n,
                      uint64_t salt)
{
    struct crash_case *c = w->c;
    for (size_t k = 0; k < n; k++) {
        const struct rt_sim_log_entry *e = &c->log.entries[pending[k]];
        if (!(st->mask[k / 64] >> (k % 64) & 1) || (n > 4 && crash_mix(salt + k) % n > 1))
            continue;
        st->torn = (unsigned)k;
        for (unsigned pass = 0; pass < 4; pass++) {
            st->tear = pass < 2 ? 4096 : 512;
            st->tear_seed = pass % 2 ? crash_mix(salt + k * 7 + st->n) | 1 : 0;
            /* The super block counts as one unit: its checksum is in its last bytes. */
            if (e->length > st->tear && (e->offset > 0 || st->tear > 512))
                walk_state(w, st);
        }
    }
    st->tear = 0;
}

static void walk_prefix(struct walk *w, size_t n)
{
    struct crash_case *c = w->c;
    uint32_t pending[256];
    size_t n_pending = crash_pending(&c->log, n, pending, ASH_N_ELEMS(pending));
    struct crash_state st = {.n = n};
    bool all = n_pending <= c->limits.n_exhaustive;
    uint64_t n_masks = all ? 1ull << n_pending : c->limits.n_samples;
    for (uint64_t m = 0; m < n_masks; m++) {
        memset(st.mask, 0, sizeof(st.mask));
        if (all)
            st.mask[0] = m;
        else if (m == 1)
            full_mask(st.mask, n_pending);
        else if (m > 1)
            sample_mask(st.mask, n_pending, crash_mix(c->seed + n) + m);
        walk_state(w, &st);
        if (!c->limits.no_tears)
            walk_torn(w, &st, pending, n_pending, crash_mix(c->seed + n * 1000 + m));
    }
}

uint64_t crash_case_walk(struct crash_case *c)
{
    struct walk w = {.c = c};
    collect_pages(&w);
    for (size_t n = c->n_log_first; n <= c->log.n_entries; n++)
        walk_prefix(&w, n);
    for (unsigned i = 0; i < c->limits.n_kills && c->counts.n_failed == 0; i++)
        walk_killed(c, i == 0 ? c->log.n_entries
                              : c->n_log_first + crash_mix(c->seed + i) %
                                                     (c->log.n_entries - c->n_log_first + 1));
    free(w.pages);
    free(w.seen.slots);
    return c->counts.n_failed;
}

static int one_killed(struct crash_case *c, const struct crash_state *st)
{
    struct rt_sim_log log;
    struct crash_view want = {0};
    int rc = judge_killed(c, ASH_MIN(st->kill_n, c->log.n_entries), &log, &want);
    if (rc == 0)
        rc = judge_cut_after_kill(c, st, &log, &want);
    crash_view_free(&want);
    rt_sim_log_free(&log);
    return rc;
}

int crash_case_one(struct crash_case *c, const struct crash_state *st)
{
    if (st->killed) {
        name_state(c, st);
        return one_killed(c, st);
    }
    struct rt_sim_image *image = crash_build(c->start, &c->log, st);
    struct rt_sim_log log = {0};
    ASH_ASSERT(image);
    c->limits.use_every = 1;
    name_state(c, st);
    int rc = crash_judge(c, image, st->n, weak_id(c, st), NULL, st->has_then ? &log : NULL);
    if (rc == 0 && st->has_then) {
        struct crash_view want = c->seen;
        struct crash_state then = {.n = st->then_n};
        memcpy(then.mask, st->then_mask, sizeof(then.mask));
        c->seen = (struct crash_view){0};
        struct rt_sim_image *second = crash_build(image, &log, &then);
        ASH_ASSERT(second);
        rc = crash_judge(c, second, st->n, 0, &want, NULL);
        rt_sim_image_free(second);
        crash_view_free(&want);
    }
    rt_sim_log_free(&log);
    rt_sim_image_free(image);
    return rc;
}
