/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true of a state: the checker finds nothing wrong, the engine opens the pool, shows
 * it as before or after the operation, and closes it so that the checker and a second engine agree
 * (docs/spec/blobstore-format.md 18). */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "crash.h"

/* ---------------------------------------------------------------- checker */

static int dev_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    rt_sim_image_read(ctx, offset, buf, n_bytes);
    return 0;
}

int crash_check_image(const struct rt_sim_image *image, struct lvs_report *report,
                      const uint64_t *expect_free)
{
    struct lvs_check_dev dev = {.read = dev_read,
                                .size_bytes = rt_sim_image_size(image),
                                .block_bytes = 512,
                                .ctx = (void *)(uintptr_t)image};
    struct lvs_check_opts opts = {.expect_free = expect_free};
    return lvs_check(&dev, &opts, report);
}

static int complain(struct crash_case *c, const char *what, const struct lvs_report *report)
{
    ash_buf_fmt(&c->why, "%s:\n", what);
    lvs_report_text(report, &c->why);
    return -1;
}

/* The image as the power cut left it: a dirty store may be half-done, but not wrong. */
static int check_crashed(struct crash_case *c, const struct rt_sim_image *image, uint64_t weak_id)
{
    struct lvs_report report;
    int rc = crash_check_image(image, &report, NULL);
    if (rc)
        ash_buf_fmt(&c->why, "checker of the crashed image: %s", ash_strerror(rc));
    else if (weak_id && report.n_by_code[LVS_F_CLUSTER_CROSSLINK])
        rc = complain(c, "the crashed image has a cluster with two owners", &report);
    else if (!weak_id && report.readable && !lvs_report_is_clean(&report))
        rc = complain(c, "the checker finds this in the crashed image", &report);
    lvs_report_fini(&report);
    return rc;
}

static int check_closed(struct crash_case *c, const struct rt_sim_image *image, uint64_t weak_id)
{
    struct lvs_report report;
    if (!c->seen.exists)
        return 0;
    int rc = crash_check_image(image, &report, weak_id ? NULL : &c->seen.n_free);
    if (rc)
        ash_buf_fmt(&c->why, "checker of the closed pool: %s", ash_strerror(rc));
    else if (weak_id && report.n_by_code[LVS_F_CLUSTER_CROSSLINK])
        rc = complain(c, "after the recovery a cluster has two owners", &report);
    else if (!weak_id && (!report.readable || !lvs_report_is_clean(&report) || !report.clean))
        rc = complain(c, "the checker finds this after recovery and orderly close", &report);
    lvs_report_fini(&report);
    return rc;
}

/* -------------------------------------------------------------- comparing */

static void tell_volume(struct ash_buf *out, const struct crash_volume *v)
{
    ash_buf_fmt(out,
                "    %-6s blob %llx parent %-6s clusters %llu thin %d ro %d rle %d state %d "
                "read %d attrs %llx content %llx\n",
                v->name, (unsigned long long)v->blob_id, *v->parent ? v->parent : "-",
                (unsigned long long)v->n_clusters, v->thin, v->read_only, v->rle, v->state,
                v->read_rc, (unsigned long long)v->attrs, (unsigned long long)v->content);
}

static void tell_view(struct ash_buf *out, const char *what, const struct crash_view *view)
{
    ash_buf_fmt(out, "  %s: pool %s clusters %llu free %llu %s\n", what,
                view->exists ? view->name : "(none)", (unsigned long long)view->n_clusters,
                (unsigned long long)view->n_free, view->damage);
    for (size_t i = 0; i < view->n; i++)
        tell_volume(out, &view->v[i]);
}

static void tell_first_difference(struct ash_buf *out, const struct crash_volume *v,
                                  const struct crash_view *other, const char *what)
{
    const struct crash_volume *o = crash_view_find(other, &v->uuid);
    if (!o || !v->data || !o->data || o->content == v->content)
        return;
    for (uint64_t at = 0; at < ASH_MIN(v->size_bytes, o->size_bytes); at += 512) {
        if (memcmp(v->data + at, o->data + at, 512) != 0) {
            ash_buf_fmt(out, "  %s differs from %s first at byte %llu: %02x..., not %02x...\n",
                        v->name, what, (unsigned long long)at, v->data[at], o->data[at]);
            return;
        }
    }
}

static int refuse(struct crash_case *c, const char *what)
{
    ash_buf_fmt(&c->why, "%s\n", what);
    tell_view(&c->why, "before", &c->before);
    tell_view(&c->why, "after", &c->after);
    tell_view(&c->why, "seen", &c->seen);
    for (size_t i = 0; i < c->seen.n; i++) {
        tell_first_difference(&c->why, &c->seen.v[i], &c->before, "before");
        tell_first_difference(&c->why, &c->seen.v[i], &c->after, "after");
    }
    return -1;
}

/* The disk was full of this before the pool was made. */
static bool shows_garbage(const struct crash_volume *v)
{
    for (uint64_t at = 0; v->read_rc == 0 && at + 8 <= v->size_bytes; at += 512)
        if (memcmp(v->data + at, "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 8) == 0)
            return true;
    return false;
}

static bool is_marked(const struct crash_case *c, size_t n, const char *volume, uint64_t at)
{
    for (size_t i = 0; i < c->n_marks; i++) {
        const struct crash_mark *m = &c->marks[i];
        if (n >= m->n && strcmp(m->volume, volume) == 0 && at >= m->offset &&
            at < m->offset + m->length)
            return true;
    }
    return false;
}

static const struct crash_volume *origin_of(const struct crash_case *c,
                                            const struct crash_volume *snap)
{
    for (size_t i = 0; i < c->after.n; i++) {
        if (strcmp(c->after.v[i].parent, snap->name) == 0) {
            const struct crash_volume *b = crash_view_find(&c->before, &c->after.v[i].uuid);
            return b && b->size_bytes == snap->size_bytes ? b : snap;
        }
    }
    return snap;
}

/* The block of v at this place is that of w. */
static bool shows(const struct crash_volume *w, const struct crash_volume *v, uint64_t at)
{
    return at < w->size_bytes && memcmp(v->data + at, w->data + at, 512) == 0;
}

/* Behind the end of what v was before: zeroes, or what a longer parent has there. */
static bool is_fresh(const struct crash_case *c, const struct crash_volume *before,
                     const struct crash_volume *v, uint64_t at)
{
    static const uint8_t zeroes[512];
    if (at < before->size_bytes)
        return false;
    for (size_t i = 0; i < c->seen.n; i++)
        if (*v->parent && strcmp(c->seen.v[i].name, v->parent) == 0 &&
            at < c->seen.v[i].size_bytes && shows(&c->seen.v[i], v, at))
            return true;
    return memcmp(v->data + at, zeroes, sizeof(zeroes)) == 0;
}

static int judge_data(struct crash_case *c, size_t n)
{
    if (crash_view_meta(&c->seen) != crash_view_meta(&c->before) &&
        crash_view_meta(&c->seen) != crash_view_meta(&c->after))
        return refuse(c, "the pool is neither as before nor as after");
    for (size_t i = 0; i < c->seen.n; i++) {
        const struct crash_volume *v = &c->seen.v[i];
        const struct crash_volume *b = crash_view_find(&c->before, &v->uuid),
                                  *a = crash_view_find(&c->after, &v->uuid);
        if (!b && !a)
            return refuse(c, "an unknown volume");
        /* A snapshot that was taken meanwhile: what its origin was, or is. */
        b = b ? b : origin_of(c, a);
        a = a ? a : b;
        for (uint64_t at = 0; at < v->size_bytes; at += 512) {
            if (shows(a, v, at) ||
                (!is_marked(c, n, v->name, at) && (shows(b, v, at) || is_fresh(c, b, v, at))))
                continue;
            ash_buf_fmt(&c->why, "volume %s at byte %llu: %02x%02x..., neither old nor new",
                        v->name, (unsigned long long)at, v->data[at], v->data[at + 1]);
            return refuse(c, is_marked(c, n, v->name, at) ? " (it was flushed)" : "");
        }
    }
    return 0;
}

/* Destroy: what is still there is as before but for its parent; in the end there is nothing. */
static int judge_subset(struct crash_case *c)
{
    if (!c->seen.exists)
        return 0;
    for (size_t i = 0; i < c->seen.n; i++) {
        const struct crash_volume *v = &c->seen.v[i];
        const struct crash_volume *b = crash_view_find(&c->before, &v->uuid);
        if (!b || b->content != v->content || strcmp(b->name, v->name) != 0 || v->state != b->state)
            return refuse(c, "a volume is neither gone nor as before");
    }
    return 0;
}

/* Does volume v belong to the tree that blob id is in, before or after? */
static bool is_related(const struct crash_view *view, const struct crash_volume *v, uint64_t id)
{
    bool in[CRASH_N_VOLUMES] = {false}, grows = true;
    for (size_t i = 0; i < view->n; i++)
        in[i] = view->v[i].blob_id == id;
    while (grows) {
        grows = false;
        for (size_t i = 0; i < view->n; i++) {
            for (size_t k = 0; k < view->n; k++) {
                bool linked = strcmp(view->v[i].parent, view->v[k].name) == 0;
                if (linked && in[i] != in[k])
                    in[i] = in[k] = grows = true;
            }
        }
    }
    for (size_t i = 0; i < view->n; i++)
        if (in[i] && ash_uuid_equal(&view->v[i].uuid, &v->uuid))
            return true;
    return false;
}

/* A page was torn inside: its blob and its relatives may have lost something, nobody else. */
static int judge_weak(struct crash_case *c, uint64_t weak_id)
{
    if (!c->seen.exists)
        return c->before.exists ? refuse(c, "the pool does not open") : 0;
    for (size_t i = 0; i < c->before.n; i++) {
        const struct crash_volume *b = &c->before.v[i], *s = crash_view_find(&c->seen, &b->uuid),
                                  *a = crash_view_find(&c->after, &b->uuid);
        if (is_related(&c->before, b, weak_id) || is_related(&c->after, b, weak_id) || !a)
            continue;
        if (!s || s->state != b->state || s->read_rc ||
            (s->content != b->content && c->op->rule != CRASH_DATA && s->content != a->content))
            return refuse(c, "a page was torn, and a volume that it is not of was hurt");
    }
    for (size_t i = 0; i < c->seen.n; i++)
        if (shows_garbage(&c->seen.v[i]))
            return refuse(c, "a volume shows what the disk held before");
    return 0;
}

static int judge_view(struct crash_case *c, size_t n, uint64_t weak_id,
                      const struct crash_view *want)
{
    if (weak_id)
        return judge_weak(c, weak_id);
    if (want)
        return crash_view_digest(&c->seen) == crash_view_digest(want)
                   ? 0
                   : refuse(c, "the second recovery shows something else than the first");
    if (c->seen.exists && !c->before.exists && !c->after.exists)
        return refuse(c, "a pool out of nothing");
    for (size_t i = 0; i < c->seen.n; i++) {
        if (shows_garbage(&c->seen.v[i]))
            return refuse(c, "a volume shows what the disk held before");
        if (c->seen.v[i].state != VOLUME_OK || c->seen.v[i].read_rc)
            return refuse(c, "a volume cannot be read");
    }
    if (*c->seen.damage)
        return refuse(c, "the pool counts as damaged");
    uint64_t seen = crash_view_digest(&c->seen), after = crash_view_digest(&c->after);
    if (seen == after)
        return 0;
    if (c->op->rule != CRASH_DATA && n >= c->log.n_entries)
        return refuse(c, "the operation had ended, and is undone");
    if (seen == crash_view_digest(&c->before) && c->n_marks == 0)
        return 0;
    switch (c->op->rule) {
    case CRASH_DATA:
        return judge_data(c, n);
    case CRASH_SUBSET:
        return judge_subset(c);
    default:
        return refuse(c, "the pool is neither as before nor as after");
    }
}

/* ------------------------------------------------------------------ judging */

static int look_only(struct crash_env *e, void *arg)
{
    return crash_look(e, arg);
}

struct visit {
    struct crash_case *c;
    bool use;
};

/* Fill the recovered pool to the last cluster: what is given out must be nobody's. */
static int use_up(struct crash_env *e, struct crash_case *c)
{
    struct pool_info pi;
    pool_get_info(e->pool, &pi);
    uint64_t n_free = pi.n_free_clusters;
    if (n_free == 0 || pi.n_free_md_pages < 2 + n_free / 512 || strcmp(pi.name, "tank") != 0)
        return 0;
    uint64_t bytes = n_free * e->layout->cluster_bytes;
    int rc = crash_make(e, "filler", n_free, true, false);
    for (uint64_t at = 0; at < bytes && rc == 0; at += 1 << 20)
        rc = crash_write(e, "filler", at, ASH_MIN(bytes - at, (uint64_t)1 << 20), 200, 0);
    if (rc) {
        snprintf(c->note, sizeof(c->note),
                 "the free clusters of the recovered pool cannot be used: %s", ash_strerror(rc));
        return -1;
    }
    rc = crash_look(e, &c->again);
    for (size_t i = 0; i < c->seen.n && rc == 0; i++) {
        const struct crash_volume *v = crash_view_find(&c->again, &c->seen.v[i].uuid);
        if (!v || v->content != c->seen.v[i].content) {
            snprintf(c->note, sizeof(c->note), "volume %s changed when free clusters were used",
                     c->seen.v[i].name);
            return -1;
        }
    }
    struct volume *filler = crash_volume(e, "filler");
    return rc == 0 && filler ? volume_delete(filler, NULL) : -1;
}

static int visit(struct crash_env *e, void *arg)
{
    struct visit *v = arg;
    int rc = crash_look(e, &v->c->seen);
    if (rc == 0 && v->use && e->pool)
        rc = use_up(e, v->c);
    if (rc == 0 && e->pool) {
        struct ash_err err = {0};
        rc = pool_export(e->pool, &err);
        if (rc)
            snprintf(v->c->note, sizeof(v->c->note), "orderly close: %s", err.text);
    }
    return rc;
}

/* A second engine sees the same on the closed pool. */
static int look_again(struct crash_case *c, struct rt_sim_disk *disk)
{
    int rc = crash_world(c->layout, disk, c->seed + 3, look_only, &c->again, NULL);
    if (rc)
        ash_buf_fmt(&c->why, "second life: %s", ash_strerror(rc));
    else if (crash_view_digest(&c->again) != crash_view_digest(&c->seen) ||
             (c->seen.exists && c->again.n_free != c->seen.n_free)) {
        tell_view(&c->why, "second life", &c->again);
        rc = refuse(c, "the closed pool shows something else");
    }
    return rc;
}

int crash_judge(struct crash_case *c, const struct rt_sim_image *image, size_t n, uint64_t weak_id,
                const struct crash_view *want, struct rt_sim_log *log)
{
    struct visit v = {.c = c};
    *c->note = '\0';
    if (c->limits.use_every && !weak_id && !log)
        v.use = c->counts.n_unique % c->limits.use_every == c->limits.use_every / 2;
    int rc = check_crashed(c, image, weak_id);
    if (rc)
        return rc;
    struct rt_sim_disk *disk = crash_disk(c->layout, image);
    struct crash_life how = {.log = log};
    for (size_t i = 0; log && i < log->n_entries; i++)
        log->entries[i].disk = disk; /* of an engine before, on the same disk */
    rc = crash_world(c->layout, disk, c->seed + 2, visit, &v, &how);
    if (rc && *c->note)
        ash_buf_fmt(&c->why, "%s\n", c->note);
    if (rc && !c->why.n_bytes)
        ash_buf_fmt(&c->why, "life on the crashed image: %s", ash_strerror(rc));
    if (rc == 0)
        rc = judge_view(c, n, weak_id, want);
    if (rc == 0)
        rc = check_closed(c, rt_sim_disk_image(disk), weak_id);
    if (rc == 0 && !weak_id)
        rc = look_again(c, disk);
    rt_sim_disk_put(disk);
    return rc ? -1 : 0;
}
