/* SPDX-License-Identifier: Apache-2.0 */
/* Fault injection by URI. Rules belong to the manager and name a device; while a device of that
 * name exists, a hook built from its rules stands in the gate of every reactor. A rule's counters
 * are shared by the reactors (atomics); the hook itself is never changed: a new one takes its
 * place, and the old one is freed when every reactor has the new one.
 *
 * Memory of a submitter is never changed: a write that shall store garbage writes a copy. */
#include "bdev/inject.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bdev/core.h"
#include "bdev/mod/mod.h"

struct live_rule {
    struct bdev_inject_rule r;
    struct ash_list link; /* bdev_mgr.injections */
    unsigned n_refs;      /* the list and hooks; control reactor */
    _Atomic uint64_t first_ns, n_left;
};

/* A write whose data was replaced. */
struct swap {
    struct ash_list link;
    struct bdev_io *io;
    const struct iovec *iov;
    uint32_t n_iov;
    struct iovec copy;
};

struct inject_hook {
    struct bdev_hook hook;
    struct ash_list *swaps; /* per reactor; handed on from hook to hook */
    size_t n_rules;
    struct live_rule *rules[];
};

/* ------------------------------------------------------------------ rules */

static bool overlaps(const struct bdev_inject_rule *r, const struct bdev *bdev,
                     const struct bdev_io *io)
{
    uint64_t first = io->offset / bdev->block_bytes;
    uint64_t last = first + io->length / bdev->block_bytes;
    uint64_t end = r->num_blk > UINT64_MAX - r->offset ? UINT64_MAX : r->offset + r->num_blk;
    return first < end && last > r->offset;
}

static bool in_window(struct live_rule *lr, uint64_t now)
{
    uint64_t elapsed_ms = (now - atomic_load(&lr->first_ns)) / 1000000;
    return elapsed_ms >= lr->r.begin_ms && elapsed_ms < lr->r.end_ms;
}

/* Does the rule affect this io? Counts it when it does. */
static bool fires(struct live_rule *lr, enum bdev_inject_stage stage, const struct bdev *bdev,
                  const struct bdev_io *io)
{
    unsigned op = io->type == BDEV_READ ? INJECT_READ : io->type == BDEV_WRITE ? INJECT_WRITE : 0;
    if (lr->r.stage != stage || !(lr->r.op & op) || !overlaps(&lr->r, bdev, io))
        return false;
    uint64_t now = rt_now_ns(), never = 0;
    atomic_compare_exchange_strong(&lr->first_ns, &never, now ? now : 1);
    if (!in_window(lr, now))
        return false;
    uint64_t left = atomic_load(&lr->n_left);
    do {
        if (left == 0)
            return false;
    } while (left != UINT64_MAX && !atomic_compare_exchange_weak(&lr->n_left, &left, left - 1));
    return true;
}

static struct live_rule *find_rule(struct inject_hook *h, enum bdev_inject_stage stage,
                                   const struct bdev *bdev, const struct bdev_io *io)
{
    for (size_t i = 0; i < h->n_rules; i++)
        if (fires(h->rules[i], stage, bdev, io))
            return h->rules[i];
    return NULL;
}

/* Garbage that is the same in every run. */
static void scramble(const struct iovec *iov, uint32_t n_iov)
{
    uint64_t x = 0;
    for (uint32_t i = 0; i < n_iov; i++) {
        uint8_t *p = iov[i].iov_base;
        for (size_t j = 0; j < iov[i].iov_len; j++) {
            x = x * 6364136223846793005ull + 1442695040888963407ull;
            p[j] ^= (uint8_t)(x >> 56) | 1;
        }
    }
}

/* ------------------------------------------------------------------- hook */

static int spoil_write(struct inject_hook *h, struct bdev_io *io)
{
    struct swap *s = rt_alloc(sizeof(*s));
    void *copy = s ? rt_buf_get(io->length) : NULL;
    if (!copy) {
        rt_free(s);
        return -EIO;
    }
    bdev_iov_to(io->iov, io->n_iov, copy);
    *s = (struct swap){.io = io, .iov = io->iov, .n_iov = io->n_iov, .copy = {copy, io->length}};
    scramble(&s->copy, 1);
    io->iov = &s->copy;
    io->n_iov = 1;
    ash_list_push_tail(&h->swaps[rt_reactor_idx(rt_self())], &s->link);
    return 0;
}

static int hook_submit(struct bdev_hook *hook, struct bdev_channel *ch, struct bdev_io *io)
{
    struct inject_hook *h = ash_container_of(hook, struct inject_hook, hook);
    if (!(BDEV_RW_TYPES & BDEV_BIT(io->type)))
        return 0;
    io->frame->reserved |= FRAME_HOOK;
    struct live_rule *lr = find_rule(h, INJECT_SUBMIT, ch->bdev, io);
    if (!lr)
        return 0;
    if (lr->r.method == INJECT_DATA)
        return io->type == BDEV_WRITE ? spoil_write(h, io) : 0;
    /* the io comes back at once and has not been anywhere: no completion rule for it */
    io->frame->reserved &= ~(uint32_t)FRAME_HOOK;
    return lr->r.domain == INJECT_BLOCK ? -ENXIO : lr->r.rc;
}

static void restore(struct inject_hook *h, struct bdev_io *io)
{
    ash_list_for_each (l, &h->swaps[rt_reactor_idx(rt_self())]) {
        struct swap *s = ash_list_entry(l, struct swap, link);
        if (s->io != io)
            continue;
        io->iov = s->iov;
        io->n_iov = s->n_iov;
        ash_list_remove(&s->link);
        rt_buf_put(s->copy.iov_base, s->copy.iov_len);
        rt_free(s);
        return;
    }
}

static int hook_complete(struct bdev_hook *hook, struct bdev_channel *ch, struct bdev_io *io,
                         int rc)
{
    struct inject_hook *h = ash_container_of(hook, struct inject_hook, hook);
    if (io->type == BDEV_WRITE)
        restore(h, io);
    struct live_rule *lr = rc ? NULL : find_rule(h, INJECT_COMPLETION, ch->bdev, io);
    if (!lr)
        return rc;
    if (lr->r.method == INJECT_STATUS)
        return lr->r.rc;
    if (io->type == BDEV_READ)
        scramble(io->iov, io->n_iov);
    return 0;
}

static void rule_put(struct live_rule *lr)
{
    if (--lr->n_refs)
        return;
    bdev_inject_rule_free(&lr->r);
    rt_free(lr);
}

static void hook_free(struct inject_hook *h, bool with_swaps)
{
    for (size_t i = 0; i < h->n_rules; i++)
        rule_put(h->rules[i]);
    if (with_swaps)
        rt_free(h->swaps);
    rt_free(h);
}

static void hook_swap(struct bdev_slot *slot, unsigned idx, void *arg)
{
    slot->hook = arg;
    if (slot->ch)
        bdev_gate_update(slot->ch);
}

static bool is_for(const struct live_rule *lr, const struct bdev *bdev)
{
    struct ash_hnode *node = ash_htab_find(&bdev->mgr->names, lr->r.device);
    return node && ash_container_of(node, struct bdev_name, node)->bdev == bdev;
}

struct hook_drop {
    struct inject_hook *hook;
    _Atomic bool is_busy; /* a reactor still has replaced data to give back */
};

static void hook_drop(struct bdev_slot *slot, unsigned idx, void *arg)
{
    struct hook_drop *drop = arg;
    if (ash_list_empty(&drop->hook->swaps[idx]))
        slot->hook = NULL;
    else
        atomic_store(&drop->is_busy, true);
    if (slot->ch)
        bdev_gate_update(slot->ch);
}

int bdev_inject_apply(struct bdev *bdev)
{
    struct bdev_mgr *mgr = bdev->mgr;
    struct bdev_hook *was = bdev->core->hook;
    struct inject_hook *old = was ? ash_container_of(was, struct inject_hook, hook) : NULL, *h;
    size_t n = 0;
    ash_list_for_each (l, &mgr->injections)
        n += is_for(ash_list_entry(l, struct live_rule, link), bdev);
    if (n == 0 && !old)
        return 0;
    h = rt_alloc(sizeof(*h) + n * sizeof(h->rules[0]));
    if (!h)
        return -ENOMEM;
    h->hook.submit = hook_submit;
    h->hook.complete = hook_complete;
    h->swaps = old ? old->swaps : rt_alloc(bdev->core->n_slots * sizeof(h->swaps[0]));
    if (!h->swaps) {
        rt_free(h);
        return -ENOMEM;
    }
    for (unsigned i = 0; !old && i < bdev->core->n_slots; i++)
        ash_list_init(&h->swaps[i]);
    ash_list_for_each (l, &mgr->injections) {
        struct live_rule *lr = ash_list_entry(l, struct live_rule, link);
        if (is_for(lr, bdev)) {
            lr->n_refs++;
            h->rules[h->n_rules++] = lr;
        }
    }
    bdev->core->hook = &h->hook;
    bdev_on_slots(bdev, hook_swap, &h->hook);
    if (old)
        hook_free(old, false);
    struct hook_drop drop = {.hook = h};
    /* another task may have put the next hook in place meanwhile: then this one is its to free */
    if (n != 0 || bdev->core->hook != &h->hook)
        return 0;
    bdev_on_slots(bdev, hook_drop, &drop);
    if (!atomic_load(&drop.is_busy) && bdev->core->hook == &h->hook) {
        bdev->core->hook = NULL;
        hook_free(h, true);
    }
    return 0;
}

void bdev_inject_gone(struct bdev_core *core)
{
    if (core->hook)
        hook_free(ash_container_of(core->hook, struct inject_hook, hook), true);
    core->hook = NULL;
}

/* ------------------------------------------------------------------ text */

struct word {
    const char *text;
    int value;
};

static const struct word domains[] = {
    {"child", INJECT_CHILD},     {"nexus_child", INJECT_CHILD},  {"NexusChild", INJECT_CHILD},
    {"block", INJECT_BLOCK},     {"block_device", INJECT_BLOCK}, {"BlockDevice", INJECT_BLOCK},
    {"bdev_io", INJECT_BDEV_IO}, {"BdevIo", INJECT_BDEV_IO},     {NULL, 0},
};
static const struct word ops[] = {
    {"r", INJECT_READ},
    {"read", INJECT_READ},
    {"Read", INJECT_READ},
    {"w", INJECT_WRITE},
    {"write", INJECT_WRITE},
    {"Write", INJECT_WRITE},
    {"rw", INJECT_READ_WRITE},
    {"read_write", INJECT_READ_WRITE},
    {"ReadWrite", INJECT_READ_WRITE},
    {NULL, 0},
};
static const struct word stages[] = {
    {"submit", INJECT_SUBMIT},
    {"s", INJECT_SUBMIT},
    {"submission", INJECT_SUBMIT},
    {"Submission", INJECT_SUBMIT},
    {"compl", INJECT_COMPLETION},
    {"c", INJECT_COMPLETION},
    {"completion", INJECT_COMPLETION},
    {"Completion", INJECT_COMPLETION},
    {NULL, 0},
};

static int bad(const char *uri, struct ash_err *err, const char *fmt, const char *a, const char *b)
    __attribute__((format(printf, 3, 0)));
static int bad(const char *uri, struct ash_err *err, const char *fmt, const char *a, const char *b)
{
    char why[300];
    snprintf(why, sizeof(why), fmt, a, b);
    return ash_err_set(err, ASH_E_BDEV_INJECT_INVALID, uri, "injection '%s': %s", uri, why);
}

static bool find_word(const struct word *w, const char *text, int *ret)
{
    for (; w->text; w++) {
        if (strcmp(w->text, text) == 0) {
            *ret = w->value;
            return true;
        }
    }
    return false;
}

static const char *word_of(const struct word *w, int value)
{
    while (w->value != value)
        w++;
    return w->text;
}

static bool parse_method(const char *text, struct bdev_inject_rule *r)
{
    unsigned sct, sc;
    int n = 0;
    r->method = INJECT_STATUS;
    r->is_nvme_status = false;
    snprintf(r->method_text, sizeof(r->method_text), "%s", text);
    if (strcmp(text, "status") == 0 || strcmp(text, "Status") == 0) {
        r->is_nvme_status = true;
        r->rc = -EIO;
    } else if (strcmp(text, "data") == 0 || strcmp(text, "Data") == 0) {
        r->method = INJECT_DATA;
    } else if (sscanf(text, "status-nvme-%2x-%2x%n", &sct, &sc, &n) == 2 && !text[n]) {
        r->is_nvme_status = true;
        r->rc = bdev_rc_of_nvme(sct, sc);
    } else if (strcmp(text, "status-lvol-nospace") == 0) {
        r->rc = -ENOSPC;
    } else if (strcmp(text, "status-submit-read") == 0 ||
               strcmp(text, "status-submit-write") == 0) {
        r->rc = -ENXIO;
    } else if (strcmp(text, "status-admin") == 0) {
        r->rc = -EIO;
    } else {
        return false;
    }
    return true;
}

static int parse_key(const char *uri, const struct bdev_uri_query *q, struct bdev_inject_rule *r,
                     struct ash_err *err)
{
    const struct {
        const char *key;
        uint64_t *field;
    } numbers[] = {{"begin_at", &r->begin_ms},  {"end_at", &r->end_ms},
                   {"offset", &r->offset},      {"num_blk", &r->num_blk},
                   {"num_blocks", &r->num_blk}, {"retries", &r->retries}};
    for (size_t i = 0; i < ASH_N_ELEMS(numbers); i++) {
        if (strcmp(q->key, numbers[i].key) != 0)
            continue;
        if (ash_parse_u64(q->value, UINT64_MAX, numbers[i].field))
            return bad(uri, err, "bad value of parameter '%s': '%s' is no number", q->key,
                       q->value);
        return 0;
    }
    int value = 0;
    bool ok = false;
    if (strcmp(q->key, "domain") == 0 && (ok = find_word(domains, q->value, &value)))
        r->domain = (enum bdev_inject_domain)value;
    else if (strcmp(q->key, "op") == 0 && (ok = find_word(ops, q->value, &value)))
        r->op = (enum bdev_inject_op)value;
    else if (strcmp(q->key, "stage") == 0 && (ok = find_word(stages, q->value, &value)))
        r->stage = (enum bdev_inject_stage)value;
    else if (strcmp(q->key, "method") == 0)
        ok = parse_method(q->value, r);
    return ok ? 0 : bad(uri, err, "unknown parameter '%s=%s'", q->key, q->value);
}

int bdev_inject_parse(const char *text, struct bdev_inject_rule *ret_rule, struct ash_err *err)
{
    struct bdev_uri uri;
    if (!ash_starts_with(text, "inject://"))
        return bad(text, err, "it does not begin with %s%s", "inject", "://");
    int rc = bdev_uri_parse(text, &uri, err);
    if (rc)
        return rc;
    struct bdev_inject_rule r = {.domain = INJECT_BLOCK,
                                 .op = INJECT_READ_WRITE,
                                 .end_ms = UINT64_MAX,
                                 .num_blk = UINT64_MAX,
                                 .retries = UINT64_MAX};
    parse_method("status", &r);
    for (size_t i = 0; i < uri.n_query && rc == 0; i++)
        rc = parse_key(text, &uri.query[i], &r, err);
    struct ash_buf device ASH_CLEANUP(ash_buf_free) = {0};
    ash_buf_str(&device, uri.host);
    ash_buf_str(&device, uri.path);
    bdev_uri_free(&uri);
    if (rc == 0 && device.n_bytes == 0)
        rc = bad(text, err, "it names no %s%s", "device", "");
    if (rc == 0 && r.begin_ms > r.end_ms)
        rc = bad(text, err, "bad durations: %s is after %s", "begin_at", "end_at");
    if (rc == 0 && r.domain == INJECT_BDEV_IO && r.stage != INJECT_SUBMIT)
        rc = bad(text, err, "%s supports only %s injections", "bdev I/O", "submission");
    if (rc == 0 && r.domain == INJECT_BDEV_IO && !r.is_nvme_status)
        rc = bad(text, err, "%s supports only %s error injection", "bdev I/O", "NVME");
    if (rc)
        return rc;
    r.uri = rt_strdup(text);
    r.device = rt_strdup(ash_buf_text(&device));
    if (!r.uri || !r.device) {
        bdev_inject_rule_free(&r);
        return ash_err_set(err, ASH_E_NO_MEMORY, text, "no memory for an injection");
    }
    *ret_rule = r;
    return 0;
}

void bdev_inject_rule_free(struct bdev_inject_rule *r)
{
    rt_free(r->uri);
    rt_free(r->device);
    r->uri = r->device = NULL;
}

void bdev_inject_format(const struct bdev_inject_rule *r, struct ash_buf *out)
{
    ash_buf_fmt(out, "inject://%s?domain=%s&op=%s&stage=%s", r->device, word_of(domains, r->domain),
                word_of(ops, r->op), word_of(stages, r->stage));
    if (strcasecmp(r->method_text, "status") != 0)
        ash_buf_fmt(out, "&method=%s", r->method_text);
    const struct {
        const char *key;
        uint64_t value, dflt;
    } numbers[] = {{"begin_at", r->begin_ms, 0},
                   {"end_at", r->end_ms, UINT64_MAX},
                   {"offset", r->offset, 0},
                   {"num_blk", r->num_blk, UINT64_MAX},
                   {"retries", r->retries, UINT64_MAX}};
    for (size_t i = 0; i < ASH_N_ELEMS(numbers); i++)
        if (numbers[i].value != numbers[i].dflt)
            ash_buf_fmt(out, "&%s=%llu", numbers[i].key, (unsigned long long)numbers[i].value);
}

/* ----------------------------------------------------- add, remove, list */

static int apply_all(struct bdev_mgr *mgr) ASH_MAY_WAIT
{
    int rc = 0;
    for (struct bdev *b = bdev_next(mgr, NULL); b; b = bdev_next(mgr, b)) {
        int one_rc = b->core->removing ? 0 : bdev_inject_apply(b);
        rc = rc ? rc : one_rc;
    }
    return rc;
}

static int check_add(struct bdev_mgr *mgr, const struct bdev_inject_rule *r, struct ash_err *err)
{
    if (r->domain == INJECT_CHILD)
        return bad(r->uri, err, "%s '%s' is not the child of a nexus", "device", r->device);
    if (r->domain != INJECT_BDEV_IO)
        return 0;
    if (!bdev_find(mgr, r->device))
        return ash_err_set(err, ASH_E_BDEV_NOT_FOUND, r->device, "there is no device '%s'",
                           r->device);
    ash_list_for_each (l, &mgr->injections) {
        const struct live_rule *lr = ash_list_entry(l, struct live_rule, link);
        if (lr->r.domain == INJECT_BDEV_IO && strcmp(lr->r.device, r->device) == 0)
            return bad(r->uri, err, "%s does not support multiple injections per %s", "bdev I/O",
                       "bdev");
    }
    return 0;
}

int bdev_inject_add(struct bdev_mgr *mgr, const char *uri, struct ash_err *err)
{
    bdev_assert_control();
    struct live_rule *lr = rt_alloc(sizeof(*lr));
    if (!lr)
        return ash_err_set(err, ASH_E_NO_MEMORY, uri, "no memory for an injection");
    int rc = bdev_inject_parse(uri, &lr->r, err);
    if (rc == 0)
        rc = check_add(mgr, &lr->r, err);
    if (rc) {
        bdev_inject_rule_free(&lr->r);
        rt_free(lr);
        return rc;
    }
    atomic_init(&lr->n_left, lr->r.retries);
    lr->n_refs = 1;
    ash_list_push_tail(&mgr->injections, &lr->link);
    if (apply_all(mgr)) {
        bdev_inject_remove(mgr, uri, NULL);
        return ash_err_set(err, ASH_E_NO_MEMORY, uri, "no memory for an injection");
    }
    return 0;
}

static void drop_rule(struct live_rule *lr)
{
    ash_list_remove(&lr->link);
    atomic_store(&lr->n_left, 0); /* also where a hook could not be replaced */
    rule_put(lr);
}

int bdev_inject_remove(struct bdev_mgr *mgr, const char *uri, struct ash_err *err)
{
    bdev_assert_control();
    struct bdev_inject_rule r;
    int rc = bdev_inject_parse(uri, &r, err);
    if (rc)
        return rc;
    bdev_inject_rule_free(&r);
    ash_list_for_each_safe (l, &mgr->injections) {
        struct live_rule *lr = ash_list_entry(l, struct live_rule, link);
        if (strcmp(lr->r.uri, uri) == 0)
            drop_rule(lr);
    }
    apply_all(mgr); /* without memory the old hook stays, with rules that are used up */
    return 0;
}

void bdev_inject_clear(struct bdev_mgr *mgr)
{
    while (!ash_list_empty(&mgr->injections))
        drop_rule(ash_list_entry(mgr->injections.next, struct live_rule, link));
}

size_t bdev_inject_list(struct bdev_mgr *mgr, struct bdev_inject_info *infos, size_t n_max)
{
    size_t n = 0;
    uint64_t now = rt_now_ns();
    ash_list_for_each (l, &mgr->injections) {
        struct live_rule *lr = ash_list_entry(l, struct live_rule, link);
        bool is_active = atomic_load(&lr->n_left) != 0 &&
                         (atomic_load(&lr->first_ns) == 0 || in_window(lr, now));
        if (n < n_max)
            infos[n] = (struct bdev_inject_info){lr->r.uri, lr->r.device, is_active};
        n++;
    }
    return n;
}
