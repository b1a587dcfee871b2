/* SPDX-License-Identifier: Apache-2.0 */
/* Worlds, states and the walk of the LVM2 crash explorer, and its program:
 *   ashlar-lvm-crash [--op NAME] [--layout NAME] [--min-states N] */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crash.h"
#include "lvm_crash.h"

enum { VIEW_BYTES = 16384, VIEWS_MAX = 8, PENDING_MAX = 16, SAMPLES = 256, SEEN_SLOTS = 1 << 16 };

struct lc_case {
    const struct lc_layout *layout;
    const struct lc_op *op;
    struct rt_sim_image *start[LC_DISKS_MAX];
    struct rt_sim_disk *disks[LC_DISKS_MAX]; /* of the recording: identity of the log's entries */
    struct rt_sim_log log;
    char views[VIEWS_MAX][VIEW_BYTES]; /* what may be seen; the last one is the result */
    size_t n_views;
    uint64_t seen[SEEN_SLOTS]; /* states that were judged */
    uint64_t n_states, n_unique, n_torn, n_next, n_faults, n_failed;
};

/* ------------------------------------------------------------------- worlds */

struct life {
    const struct lc_layout *layout;
    struct rt_sim_disk **disks;
    struct rt_sim_log *log;
    int (*fn)(struct lc_env *e, void *arg);
    void *arg;
    struct lc_env env;
};

static int rescan(struct lc_env *e)
{
    int rc = lvm_set_scan(e->set, NULL);
    e->group = lvm_group_find(e->set, "vg");
    if (!e->group)
        e->group = lvm_group_find(e->set, "renamed");
    return rc;
}

static int open_disks(struct lc_env *e)
{
    int rc = 0;
    for (unsigned d = 0; d < e->layout->n_disks && rc == 0; d++) {
        char uri[32], shown[16], *name = NULL;
        snprintf(uri, sizeof(uri), "aio:///d%u", d);
        snprintf(shown, sizeof(shown), "d%u", d);
        rc = bdev_create_uri(e->mgr, uri, &name, NULL);
        if (rc == 0)
            rc = lvm_set_add(e->set, name, shown, true, NULL);
        rt_free(name);
        e->devs[d] = rc ? NULL : lvm_dev_find(e->set, shown);
    }
    return rc ? rc : rescan(e);
}

static int life_main(void *arg)
{
    struct life *l = arg;
    struct lc_env *e = &l->env;
    struct bdev_mgr_opts opts = {.no_auto_examine = true};
    e->layout = l->layout;
    e->writer = (struct lvm_writer){
        .line = "explorer",
        .origin = {.version = "2.03.16(2) (2022-05-18)", .host = "h", .uname = "u"}};
    int rc = bdev_mgr_create(pool_bdev_modules, &opts, &e->mgr, NULL);
    if (rc)
        return rc;
    e->set = lvm_set_new(e->mgr);
    rc = e->set ? open_disks(e) : -ENOMEM;
    for (unsigned d = 0; d < l->layout->n_disks && l->log; d++)
        rt_sim_disk_set_log(l->disks[d], l->log);
    if (rc == 0)
        rc = l->fn(e, l->arg);
    for (unsigned d = 0; d < l->layout->n_disks; d++)
        rt_sim_disk_set_log(l->disks[d], NULL);
    lvm_set_free(e->set);
    bdev_mgr_destroy(e->mgr);
    return rc;
}

static int run_world(struct life *l, const struct rt_sim_hooks *hooks)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 5;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    for (unsigned d = 0; d < l->layout->n_disks; d++) {
        char path[16];
        snprintf(path, sizeof(path), "/d%u", d);
        ASH_ASSERT(rt_sim_attach(rt, path, l->disks[d]) == 0);
    }
    if (hooks)
        rt_sim_set_hooks(rt, hooks);
    int rc = rt_run_task(rt, "life", life_main, l);
    ASH_ASSERT(rc == -EDEADLK || rt_sim_n_live(rt) == 0);
    rt_sim_discard(rt);
    return rc;
}

static struct rt_sim_disk *disk_of(struct rt_sim_image *image)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(0, 512);
    ASH_ASSERT(disk && image);
    rt_sim_disk_give_image(disk, image);
    rt_sim_disk_set_device(disk, true);
    return disk;
}

static void put_disks(const struct lc_case *c, struct rt_sim_disk **disks)
{
    for (unsigned d = 0; d < c->layout->n_disks; d++)
        rt_sim_disk_put(disks[d]);
}

static void start_disks(const struct lc_case *c, struct rt_sim_disk **disks)
{
    for (unsigned d = 0; d < c->layout->n_disks; d++)
        disks[d] = disk_of(rt_sim_image_clone(c->start[d]));
}

/* -------------------------------------------------------------------- views */

struct look {
    char text[VIEW_BYTES];
    char bad[256]; /* what is wrong already; "" nothing */
    bool use;      /* go on writing afterwards */
};

static void describe(struct lc_env *e, struct look *look)
{
    struct lvm_origin origin = {"v", "h", "u", NULL, 0, "d"};
    struct ash_buf out = {0};
    ash_list_for_each (l, &e->set->groups) {
        struct lvm_vg *vg = lvm_group_of(l)->vg;
        ASH_ASSERT(lvm_vg_text(vg, &origin, LVM_ON_DISK, &out) == 0);
        if (lvm_vg_n_missing(vg))
            snprintf(look->bad, sizeof(look->bad), "VG %s lacks %u PVs", vg->name,
                     lvm_vg_n_missing(vg));
    }
    for (unsigned d = 0; d < e->layout->n_disks; d++) {
        struct lvm_dev *dev = e->devs[d];
        if (!dev->has_label)
            snprintf(look->bad, sizeof(look->bad), "%.200s", dev->fault_text);
        for (size_t i = 0; i < dev->label.n_mdas && dev->has_label; i++)
            if (dev->mdas[i].fault != ASH_OK)
                snprintf(look->bad, sizeof(look->bad), "%.200s", dev->mdas[i].fault_text);
    }
    ASH_ASSERT(out.n_bytes < sizeof(look->text));
    snprintf(look->text, sizeof(look->text), "%s", ash_buf_text(&out));
    ash_buf_free(&out);
}

/* The next writer: whatever the power cut left, an update goes through, and all areas agree. */
static void use(struct lc_env *e, struct look *look)
{
    uint32_t before = e->group ? e->group->vg->seqno : 0;
    int rc = e->group ? lc_next_update(e) : lc_make_layout(e);
    if (rc == 0)
        rc = rescan(e);
    if (rc)
        snprintf(look->bad, sizeof(look->bad), "the next writer fails: %s", ash_strerror(rc));
    else if (!e->group || (before && e->group->vg->seqno != before + 1))
        snprintf(look->bad, sizeof(look->bad), "the next writer's text is not found");
    else if (e->group->is_old || e->group->is_bad)
        snprintf(look->bad, sizeof(look->bad), "an area has an old text after the next writer");
}

static int look_fn(struct lc_env *e, void *arg)
{
    struct look *look = arg;
    describe(e, look);
    if (look->use && !look->bad[0])
        use(e, look);
    return 0;
}

static int look_at(const struct lc_layout *layout, struct rt_sim_disk **disks, struct look *look)
{
    struct life l = {.layout = layout, .disks = disks, .fn = look_fn, .arg = look};
    look->bad[0] = '\0';
    return run_world(&l, NULL);
}

/* ------------------------------------------------------------------- record */

static int make_fn(struct lc_env *e, void *arg)
{
    (void)arg;
    return lc_make_layout(e);
}

static int op_fn(struct lc_env *e, void *arg)
{
    struct lc_case *c = arg;
    return c->op->run(e);
}

/* Run the layout, then the operation with the log on. */
static int record(struct lc_case *c)
{
    struct life l = {.layout = c->layout, .disks = c->disks, .fn = make_fn};
    for (unsigned d = 0; d < c->layout->n_disks; d++)
        c->disks[d] = disk_of(rt_sim_image_new(LC_DISK_BYTES));
    int rc = run_world(&l, NULL);
    for (unsigned d = 0; d < c->layout->n_disks; d++)
        c->start[d] = rt_sim_image_clone(rt_sim_disk_image(c->disks[d]));
    l.fn = op_fn;
    l.arg = c;
    l.log = &c->log;
    return rc ? rc : run_world(&l, NULL);
}

/* ------------------------------------------------------------------- states */

struct state {
    size_t n;           /* entries that completed */
    uint32_t mask;      /* bit per pending entry: it is on the medium */
    int torn;           /* this pending entry only in part; -1: none */
    uint64_t tear_seed; /* which of its sectors; 0: the first half */
    uint32_t pending[PENDING_MAX];
    size_t n_pending;
};

static void apply_torn(const struct rt_sim_log_entry *e, struct rt_sim_image *image, uint64_t seed)
{
    uint64_t n = e->length / LVM_SECTOR_BYTES;
    for (uint64_t k = 0; k < n; k++)
        if (seed ? crash_mix(seed + k) & 1 : k < ash_div_up(n, 2))
            ASH_ASSERT(rt_sim_image_write(image, e->offset + k * LVM_SECTOR_BYTES,
                                          (uint8_t *)e->data + k * LVM_SECTOR_BYTES,
                                          LVM_SECTOR_BYTES) == 0);
}

static void build(const struct lc_case *c, const struct state *st, struct rt_sim_disk **disks)
{
    struct rt_sim_image *images[LC_DISKS_MAX];
    size_t k = 0;
    for (unsigned d = 0; d < c->layout->n_disks; d++)
        ASH_ASSERT((images[d] = rt_sim_image_clone(c->start[d])) != NULL);
    for (size_t i = 0; i < c->log.n_entries; i++) {
        const struct rt_sim_log_entry *e = &c->log.entries[i];
        bool is_pending = k < st->n_pending && st->pending[k] == i;
        bool is_torn = is_pending && st->torn == (int)k;
        bool is_there = is_pending ? st->mask >> k & 1 : rt_sim_log_is_durable(&c->log, st->n, i);
        k += is_pending;
        if (e->kind == RT_OP_FSYNC || !is_there)
            continue;
        unsigned d = 0;
        while (c->disks[d] != e->disk)
            d++;
        if (is_torn)
            apply_torn(e, images[d], st->tear_seed);
        else
            ASH_ASSERT(rt_sim_log_apply(&c->log, i, images[d]) == 0);
    }
    for (unsigned d = 0; d < c->layout->n_disks; d++)
        disks[d] = disk_of(images[d]);
}

/* Was this very content judged before? */
static bool is_known(struct lc_case *c, const struct state *st)
{
    uint64_t h = 0x5eed;
    size_t k = 0;
    for (size_t i = 0; i < c->log.n_entries; i++) {
        bool is_pending = k < st->n_pending && st->pending[k] == i;
        bool is_there = is_pending ? st->mask >> k & 1 : rt_sim_log_is_durable(&c->log, st->n, i);
        if (is_there)
            h = crash_mix(h ^ (i + 1) ^
                          (is_pending && st->torn == (int)k ? (st->tear_seed + 1) << 32 : 0));
        k += is_pending;
    }
    h = (h ^ (st->n == c->log.n_entries)) | 1u << 1;
    for (uint64_t at = h;; at++) {
        uint64_t *slot = &c->seen[at % SEEN_SLOTS];
        if (*slot == h)
            return true;
        if (*slot == 0) {
            *slot = h;
            return false;
        }
    }
}

static void fail(struct lc_case *c, const struct state *st, const char *why)
{
    c->n_failed++;
    printf("FAIL %s on %s, after %zu writes, mask %x, torn %d/%" PRIu64 ": %s\n", c->op->name,
           c->layout->name, st->n, st->mask, st->torn, st->tear_seed, why);
}

static void judge(struct lc_case *c, const struct state *st)
{
    static struct look look;
    struct rt_sim_disk *disks[LC_DISKS_MAX];
    c->n_states++;
    if (is_known(c, st))
        return;
    c->n_unique++;
    c->n_torn += st->torn >= 0;
    build(c, st, disks);
    look.use = c->n_unique % 3 == 0;
    c->n_next += look.use;
    int rc = look_at(c->layout, disks, &look);
    size_t v = 0;
    while (v < c->n_views && strcmp(c->views[v], look.text) != 0)
        v++;
    if (rc)
        fail(c, st, ash_strerror(rc));
    else if (look.bad[0])
        fail(c, st, look.bad);
    else if (v == c->n_views)
        fail(c, st, "neither the old VGs nor the new ones");
    else if (st->n == c->log.n_entries && v != c->n_views - 1)
        fail(c, st, "what was done is undone");
    put_disks(c, disks);
}

static void find_pending(const struct lc_case *c, struct state *st)
{
    st->n_pending = 0;
    for (size_t i = 0; i < c->log.n_entries; i++)
        if (c->log.entries[i].kind != RT_OP_FSYNC && rt_sim_log_is_possible(&c->log, st->n, i) &&
            !rt_sim_log_is_durable(&c->log, st->n, i)) {
            ASH_ASSERT(st->n_pending < PENDING_MAX);
            st->pending[st->n_pending++] = (uint32_t)i;
        }
}

/* All choices of the pending writes (many: a sample), then each of them torn, beside all others,
 * none, and some. */
static void walk_prefix(struct lc_case *c, size_t n)
{
    struct state st = {.n = n, .torn = -1};
    find_pending(c, &st);
    uint32_t all = (1u << st.n_pending) - 1;
    uint32_t n_masks = ASH_MIN(all + 1, (uint32_t)SAMPLES);
    for (uint32_t m = 0; m < n_masks; m++) {
        st.mask = all < SAMPLES ? m : (uint32_t)crash_mix(n << 20 | m) & all;
        judge(c, &st);
    }
    for (st.torn = 0; st.torn < (int)st.n_pending; st.torn++)
        for (unsigned k = 0; k < 9; k++) {
            uint32_t others = k % 3 == 0 ? all : k % 3 == 1 ? 0 : (uint32_t)crash_mix(n + k);
            st.mask = (others & all) | 1u << st.torn;
            st.tear_seed = k / 3 * (k + 1);
            judge(c, &st);
        }
}

/* What is seen after each entry, when everything written is on the medium. */
static int find_views(struct lc_case *c)
{
    static struct look look;
    for (size_t n = 0; n <= c->log.n_entries; n++) {
        struct rt_sim_disk *disks[LC_DISKS_MAX];
        struct state st = {.n = n, .torn = -1};
        find_pending(c, &st);
        for (size_t k = 0; k < st.n_pending; k++)
            st.mask |= (uint32_t)(st.pending[k] < n) << k;
        build(c, &st, disks);
        int rc = look_at(c->layout, disks, &look);
        put_disks(c, disks);
        if (rc || look.bad[0]) {
            fail(c, &st, rc ? ash_strerror(rc) : look.bad);
            return -EIO;
        }
        if (c->n_views && strcmp(c->views[c->n_views - 1], look.text) == 0)
            continue;
        if (c->n_views == VIEWS_MAX)
            return -E2BIG;
        snprintf(c->views[c->n_views++], VIEW_BYTES, "%s", look.text);
    }
    return c->n_views == c->op->n_commits + 1 ? 0 : -EINVAL;
}

/* ------------------------------------------------------------ failed writes */

struct faults {
    size_t n_before, n_seen; /* writes and flushes of the operation that go through first */
    bool for_good;           /* all later ones fail too */
    const struct rt_sim_disk *disk;
};

static int fail_nth(void *arg, const struct rt_op *op, struct rt_sim_disk *disk)
{
    struct faults *f = arg;
    if (op->kind == RT_OP_READ)
        return 0;
    size_t n = f->n_seen++;
    if (n == f->n_before)
        f->disk = disk;
    return n == f->n_before || (f->for_good && n > f->n_before && disk == f->disk) ? -EIO : 0;
}

/* One write fails: the operation says so, or the others were enough; the VG is old or new. */
static bool fail_one(struct lc_case *c, size_t n, bool for_good)
{
    static struct look look;
    struct rt_sim_disk *disks[LC_DISKS_MAX];
    struct faults f = {.n_before = n, .for_good = for_good};
    struct rt_sim_hooks hooks = {.fail = fail_nth, .arg = &f};
    struct state st = {.n = n, .torn = -1};
    start_disks(c, disks);
    struct life l = {.layout = c->layout, .disks = disks, .fn = op_fn, .arg = c};
    int rc = run_world(&l, &hooks);
    bool more = f.n_seen > n;
    look.use = true;
    int look_rc = look_at(c->layout, disks, &look);
    put_disks(c, disks);
    c->n_faults += more;
    size_t v = 0;
    while (v < c->n_views && strcmp(c->views[v], look.text) != 0)
        v++;
    if (look_rc || look.bad[0])
        fail(c, &st, look_rc ? ash_strerror(look_rc) : look.bad);
    else if (v == c->n_views)
        fail(c, &st, "after a failed write: neither the old VGs nor the new ones");
    else if (rc == 0 && v != c->n_views - 1)
        fail(c, &st, "a failed write was not told");
    return more;
}

/* --------------------------------------------------------------------- main */

static void walk(struct lc_case *c)
{
    int rc = record(c);
    ASH_ASSERT(!c->log.failed);
    if (rc || (rc = find_views(c))) {
        c->n_failed++;
        printf("FAIL %s on %s: %s, %zu views\n", c->op->name, c->layout->name, ash_strerror(rc),
               c->n_views);
        return;
    }
    for (size_t n = 0; n <= c->log.n_entries; n++)
        walk_prefix(c, n);
    for (unsigned for_good = 0; for_good < 2; for_good++)
        for (size_t n = 0; fail_one(c, n, for_good); n++)
            ;
}

static void free_case(struct lc_case *c)
{
    put_disks(c, c->disks);
    for (unsigned d = 0; d < c->layout->n_disks; d++)
        rt_sim_image_free(c->start[d]);
    rt_sim_log_free(&c->log);
    free(c);
}

static bool fits(const struct lc_layout *layout, const struct lc_op *op)
{
    return layout->n_disks >= op->disks_min && (!op->needs_ignored || layout->ignored);
}

int main(int argc, char **argv)
{
    const char *only_op = NULL, *only_layout = NULL;
    uint64_t n_min = 0, n_cases = 0, n_states = 0, n_unique = 0, n_torn = 0, n_next = 0,
             n_faults = 0, n_failed = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--op") == 0)
            only_op = argv[i + 1];
        else if (strcmp(argv[i], "--layout") == 0)
            only_layout = argv[i + 1];
        else if (strcmp(argv[i], "--min-states") == 0)
            n_min = strtoull(argv[i + 1], NULL, 10);
    }
    for (const struct lc_layout *layout = lc_layouts; layout->name; layout++)
        for (const struct lc_op *op = lc_ops; op->name; op++) {
            if (!fits(layout, op) || (only_op && strcmp(only_op, op->name) != 0) ||
                (only_layout && strcmp(only_layout, layout->name) != 0))
                continue;
            struct lc_case *c = calloc(1, sizeof(*c));
            ASH_ASSERT(c);
            c->layout = layout;
            c->op = op;
            walk(c);
            n_cases++;
            n_states += c->n_states;
            n_unique += c->n_unique;
            n_torn += c->n_torn;
            n_next += c->n_next;
            n_faults += c->n_faults;
            n_failed += c->n_failed;
            free_case(c);
        }
    printf("%" PRIu64 " cases, %" PRIu64 " states (%" PRIu64 " different, %" PRIu64
           " torn, %" PRIu64 " written to again), %" PRIu64 " failed writes: %" PRIu64
           " failures\n",
           n_cases, n_states, n_unique, n_torn, n_next, n_faults, n_failed);
    return n_failed || n_unique < n_min ? 1 : 0;
}
