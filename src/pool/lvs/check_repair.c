/* SPDX-License-Identifier: Apache-2.0 */
/* Repair of a blobstore/lvstore disk (docs/spec/blobstore-format.md 11.4-11.6, 17).
 *
 * Invariant: a power cut at any point leaves a disk that loads and that a second repair finishes.
 *   1. the store is marked dirty, so that the masks are not believed any more;
 *   2. each blob that must change is written by ck_fix_blob, whose commit is one root page; copies
 *      of cross-linked clusters are on the medium before the root that names them;
 *   3. blobs that go away lose their root page after those that take over from them are committed;
 *   4. the disk is walked again, and what that walk found is written as masks;
 *   5. the clean mark comes last. A dirty store with a faulted volume stays dirty, and a clean one
 *      keeps every bit of its masks: the volume may own what nobody else does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/htab.h"
#include "pool/lvs/check_int.h"

#define COPY_BYTES ((size_t)1 << 20)

static int write_super(struct ck_fix *fix, bool clean)
{
    const struct lvs_check_dev *dev = fix->ck->dev;
    struct lvs_super_disk *super = &fix->ck->super;

    super->clean = ash_le32(clean);
    super->crc = ash_le32(ash_crc32c(super, LVS_CRC_BYTES));
    memcpy(fix->io, super, sizeof(*super));
    int rc = dev->flush(dev->ctx);
    if (rc == 0)
        rc = dev->write(dev->ctx, 0, fix->io, LVS_PAGE_BYTES);
    return rc < 0 ? rc : dev->flush(dev->ctx);
}

/* ---- cross-linked clusters (11.6) ---- */

static int copy_cluster(struct ck_fix *fix, uint32_t from, uint32_t to)
{
    const struct lvs_check_dev *dev = fix->ck->dev;
    uint64_t n_bytes = fix->ck->cluster_bytes;
    size_t n_buf = (size_t)ASH_MIN(n_bytes, (uint64_t)COPY_BYTES);
    ASH_CLEANUP(ash_freep) void *buf = aligned_alloc(4096, n_buf);
    int rc = buf ? 0 : -ENOMEM;

    for (uint64_t done = 0; done < n_bytes && rc == 0; done += n_buf) {
        size_t n = (size_t)ASH_MIN(n_bytes - done, (uint64_t)n_buf);
        rc = dev->read(dev->ctx, from * n_bytes + done, buf, n);
        if (rc == 0)
            rc = dev->write(dev->ctx, to * n_bytes + done, buf, n);
    }
    return rc;
}

/* A copy of the segment's list that may be changed. */
static struct le32 *own_entries(struct ck *ck, struct ck_seg *seg)
{
    struct le32 *entries = ck_alloc(ck, (size_t)seg->n * sizeof(*entries));

    for (uint32_t i = 0; entries && i < seg->n; i++)
        entries[i] = ash_le32(ck_seg_cluster(seg, i));
    return entries;
}

/* Claims the blob's clusters; those that have an owner already are copied. */
static int unlink_blob(struct ck_fix *fix, struct ck_blob *blob, struct ash_bitmap *owned)
{
    struct ck *ck = fix->ck;

    for (size_t s = 0; s < blob->n_segs; s++) {
        struct ck_seg *seg = &blob->segs[s];
        struct le32 *entries = NULL;
        for (uint32_t i = 0; i < seg->n; i++) {
            uint32_t from = ck_seg_cluster(seg, i);
            if (from < ck->md_clusters || from >= ck->total_clusters)
                continue;
            if (!ash_bitmap_set(owned, from))
                continue;
            uint64_t to = ash_bitmap_find_clear(&fix->clusters, 0);
            if (to == ASH_BITMAP_NONE)
                return -ENOSPC;
            if (!entries && !(entries = own_entries(ck, seg)))
                return -ENOMEM;
            ash_bitmap_set(&fix->clusters, to);
            int rc = copy_cluster(fix, from, (uint32_t)to);
            if (rc < 0)
                return rc;
            entries[i] = ash_le32((uint32_t)to);
        }
        if (entries) {
            seg->entries = entries;
            seg->rewrite = true;
            blob->rewrite = true;
        }
    }
    return 0;
}

/* The first keeps the cluster. What a faulted blob claims is left: its map may be nonsense. */
static int unlink_clusters(struct ck_fix *fix)
{
    struct ck *ck = fix->ck;
    struct ash_bitmap owned = {0};
    int rc = 0;

    if (ck->report->n_by_code[LVS_F_CLUSTER_CROSSLINK] == 0)
        return 0;
    if (ash_bitmap_init(&owned, ck->total_clusters) != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < ck->n_blobs && rc == 0; i++) {
        if (!ck->blobs[i].gone && !ck->blobs[i].bad)
            rc = unlink_blob(fix, &ck->blobs[i], &owned);
    }
    ash_bitmap_fini(&owned);
    return rc;
}

/* ---- names (12.2) ---- */

struct name_node {
    struct ash_hnode node;
    char name[LVS_NAME_BYTES];
};

/* The first n bytes of a name, less what would be half a character. */
static size_t cut(const char *name, size_t n_name, size_t n)
{
    n = ASH_MIN(n, n_name);
    if (n < n_name && ash_utf8_valid(name, n_name)) {
        while (n > 0 && ((uint8_t)name[n] & 0xC0) == 0x80)
            n--;
    }
    return n;
}

static int take_name(struct ash_htab *names, struct name_node *node)
{
    return ash_htab_insert(names, &node->node, node->name);
}

static void fix_name(struct ck *ck, struct ck_blob *blob, struct ash_htab *names,
                     struct name_node *node)
{
    const char *old;
    size_t n_old = ck_name(blob, &old), n = cut(old, n_old, LVS_NAME_MAX);

    if (n_old == 0)
        n = (size_t)snprintf(node->name, sizeof(node->name), "volume-%u", blob->root_idx);
    else
        memcpy(node->name, old, n);
    node->name[n] = '\0';
    for (uint32_t i = 0; take_name(names, node) != 0; i++) {
        char suffix[24];
        size_t n_suffix =
            (size_t)snprintf(suffix, sizeof(suffix), "~%u", i == 0 ? blob->root_idx : i);
        n = cut(old, n_old, LVS_NAME_MAX - n_suffix);
        memcpy(node->name, old, n);
        memcpy(node->name + n, suffix, n_suffix + 1);
    }
    ck_xattr_set(ck, blob, false, LVS_XATTR_NAME, node->name, strlen(node->name) + 1);
}

static int fix_names(struct ck_fix *fix)
{
    struct ck *ck = fix->ck;
    const uint64_t *n_by = ck->report->n_by_code;
    struct ash_htab names;

    if (!n_by[LVS_F_NAME_MISSING] && !n_by[LVS_F_NAME_LONG] && !n_by[LVS_F_NAME_DUP])
        return 0;
    ASH_CLEANUP(ash_freep)
    struct name_node *nodes = calloc(ck->n_blobs + 1, sizeof(*nodes));
    if (!nodes || ash_htab_init(&names) != 0)
        /* nodes: freed by its cleanup attribute. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        return -ENOMEM;
    for (int pass = 0; pass < 2; pass++) { /* good names first: they stay */
        for (uint32_t i = 0; i < ck->n_blobs; i++) {
            struct ck_blob *b = &ck->blobs[i];
            const struct ck_xattr *x = ck_xattr(b, false, LVS_XATTR_NAME);
            const char *name;
            size_t n = ck_name(b, &name);
            if (b->gone || b->bad || b->is_super || nodes[i].node.key)
                continue;
            if (pass == 1) {
                fix_name(ck, b, &names, &nodes[i]);
            } else if (n > 0 && n <= LVS_NAME_MAX && x->n_value_bytes <= LVS_NAME_BYTES) {
                memcpy(nodes[i].name, name, n);
                if (take_name(&names, &nodes[i]) != 0)
                    nodes[i].node.key = NULL;
            }
        }
    }
    ash_htab_fini(&names);
    return ck->rc;
}

/* ---- the super blob (12.1, 18) ---- */

/* A UUID that depends on nothing but the disk: repairing twice gives the same. */
static void derive_uuid(struct ck *ck, struct ash_uuid *ret_uuid)
{
    static const struct ash_uuid name_space = {{0x61, 0x73, 0x68, 0x6c, 0x61, 0x72, 0x50, 0x00,
                                                0x80, 0x6c, 0x76, 0x73, 0x74, 0x6f, 0x72, 0x65}};
    struct ash_buf data = {0};

    ash_buf_add(&data, &ck->super.cluster_bytes, 4);
    ash_buf_add(&data, &ck->super.size_bytes, 8);
    for (uint32_t i = 0; i < ck->n_blobs && i < 64; i++) {
        struct ash_uuid u = {{0}};
        ck_uuid(&ck->blobs[i], &u);
        ash_buf_add(&data, &u, sizeof(u));
    }
    ash_uuid_v5(&name_space, data.data, data.n_bytes, ret_uuid);
    ash_buf_free(&data);
}

static void set_identity(struct ck *ck, struct ck_blob *blob)
{
    char text[ASH_UUID_TEXT_BYTES], name[LVS_NAME_BYTES];
    const char *old;
    struct ash_uuid uuid = ck->opts->new_uuid;
    size_t n_name = ck_name(blob, &old);

    if (!ck_uuid(blob, &uuid)) {
        if (ash_uuid_is_nil(&uuid))
            derive_uuid(ck, &uuid);
        ash_uuid_format(&uuid, text);
        ck_xattr_set(ck, blob, false, LVS_XATTR_UUID, text, sizeof(text));
    }
    if (n_name != 0 && n_name <= LVS_NAME_MAX &&
        ck_xattr(blob, false, LVS_XATTR_NAME)->n_value_bytes <= LVS_NAME_BYTES)
        return;
    if (n_name != 0)
        snprintf(name, sizeof(name), "%.*s", (int)cut(old, n_name, LVS_NAME_MAX), old);
    else if (ck->opts->new_name)
        snprintf(name, sizeof(name), "%s", ck->opts->new_name);
    else
        snprintf(name, sizeof(name), "recovered-%02x%02x%02x%02x", uuid.b[0], uuid.b[1], uuid.b[2],
                 uuid.b[3]);
    ck_xattr_set(ck, blob, false, LVS_XATTR_NAME, name, strlen(name) + 1);
}

/* Where the new super blob goes: its old place, unless somebody else's page lies there. */
static int super_root(struct ck_fix *fix, uint32_t *ret_idx)
{
    struct ck *ck = fix->ck;
    uint64_t id = ash_le64_get(ck->super.super_blob);
    uint32_t idx = lvs_id_page(id);

    if (lvs_id_is_valid(id) && idx < ck->md_len && ck->page_owner[idx] == 0 &&
        ck->roles[idx] != CK_VALID) {
        ash_bitmap_set(&fix->pages, idx);
        *ret_idx = idx;
        return 0;
    }
    return ck_fix_alloc_page(fix, ret_idx);
}

static int rebuild_super_blob(struct ck_fix *fix)
{
    struct ck *ck = fix->ck;
    struct ck_blob *blob = ck_blob_by_id(ck, ash_le64_get(ck->super.super_blob));
    uint32_t root_idx;

    if (blob && !blob->gone) { /* its root is good, something behind it is not */
        blob->n_chain = ASH_MIN(blob->n_chain, (size_t)1);
    } else {
        int rc = super_root(fix, &root_idx);
        if (rc < 0)
            return rc;
        ck->super.super_blob = ash_le64(lvs_blob_id(root_idx));
        /* The super block goes first: an empty blob that nobody names would be a volume. */
        rc = write_super(fix, false);
        blob = rc < 0 ? NULL : ck_blob_add(ck, root_idx);
        if (!blob)
            return rc < 0 ? rc : -ENOMEM;
    }
    blob->bad = blob->gone = blob->has_rle = false;
    blob->has_table = true;
    blob->invalid = LVS_INVALID_EXTENT_TABLE;
    blob->data_ro = blob->md_ro = 0;
    blob->n_clusters = blob->n_segs = 0;
    size_t n_user = 0;
    for (size_t i = 0; i < blob->n_xattrs; i++) {
        if (!blob->xattrs[i].internal)
            blob->xattrs[n_user++] = blob->xattrs[i];
    }
    blob->n_xattrs = n_user;
    set_identity(ck, blob);
    blob->is_super = true;
    blob->rewrite = false;
    return ck->rc < 0 ? ck->rc : ck_fix_blob(fix, blob);
}

/* ---- masks ---- */

/* now: the walk after the repairs; old_mask: what must stay marked, or NULL. */
static int write_mask(struct ck *now, enum lvs_mask_type type, uint32_t start_page,
                      const struct ash_bitmap *old_mask)
{
    uint64_t n_bits = type == LVS_MASK_CLUSTERS ? now->total_clusters : now->md_len;
    size_t n_bytes = lvs_mask_pages(n_bits, now->page_bytes) * now->page_bytes;
    ASH_CLEANUP(ash_freep) uint8_t *buf = aligned_alloc(4096, n_bytes);

    if (!buf)
        return -ENOMEM;
    memset(buf, 0, n_bytes);
    struct lvs_mask_disk *mask = (void *)buf;
    mask->type = type;
    mask->n_bits = ash_le32((uint32_t)n_bits);
    for (uint64_t i = 0; i < n_bits; i++) {
        bool used = old_mask && ash_bitmap_test(old_mask, i);
        if (type == LVS_MASK_CLUSTERS)
            used |= i < now->md_clusters || now->cluster_owner[i] != 0;
        else if (type == LVS_MASK_PAGES)
            used |= now->page_owner[i] != 0;
        else
            used |= now->root_blob[i] != 0 && !now->blobs[now->root_blob[i] - 1].gone;
        if (used)
            mask->bits[i / 8] |= (uint8_t)(1 << (i % 8));
    }
    return now->dev->write(now->dev->ctx, (uint64_t)start_page * now->page_bytes, buf, n_bytes);
}

static int write_masks(struct ck_fix *fix, struct ck *now)
{
    struct ck *ck = fix->ck;
    bool keep = ck->n_bad > 0 && ck->have_masks;

    if (ck->n_bad > 0 && !keep)
        return 0; /* stays dirty */
    int rc = write_mask(now, LVS_MASK_PAGES, ck->page_mask_start, keep ? &ck->page_mask : NULL);
    if (rc == 0)
        rc = write_mask(now, LVS_MASK_CLUSTERS, ck->cluster_mask_start,
                        keep ? &ck->cluster_mask : NULL);
    if (rc == 0 && ck->blobid_mask_len)
        rc = write_mask(now, LVS_MASK_BLOBIDS, ck->blobid_mask_start,
                        keep ? &ck->blobid_mask : NULL);
    return rc < 0 ? rc : write_super(fix, true);
}

/* ---- all together ---- */

static int fix_init(struct ck_fix *fix, struct ck *ck)
{
    fix->ck = ck;
    fix->io = aligned_alloc(4096, ck->page_bytes);
    if (!fix->io || ash_bitmap_init(&fix->pages, ck->md_len) != 0 ||
        ash_bitmap_init(&fix->clusters, ck->total_clusters) != 0)
        return -ENOMEM;
    /* Pages that hold anything are left alone, so that nothing that could still be of use is lost;
     * likewise what the masks hold. */
    for (uint32_t i = 0; i < ck->md_len; i++) {
        if (ck->roles[i] > CK_JUNK || (ck->have_masks && ash_bitmap_test(&ck->page_mask, i)))
            ash_bitmap_set(&fix->pages, i);
    }
    for (uint64_t i = 0; i < ck->total_clusters; i++) {
        if (i < ck->md_clusters || ck->cluster_owner[i] != 0 ||
            (ck->have_masks && ash_bitmap_test(&ck->cluster_mask, i)))
            ash_bitmap_set(&fix->clusters, i);
    }
    return 0;
}

static void fix_fini(struct ck_fix *fix)
{
    free(fix->io);
    ash_bitmap_fini(&fix->pages);
    ash_bitmap_fini(&fix->clusters);
}

/* Blobs that go away: the root first, the rest when that is on the medium. */
static int erase_gone(struct ck_fix *fix)
{
    struct ck *ck = fix->ck;
    int rc = 0;

    for (uint32_t i = 0; i < ck->n_blobs && rc == 0; i++) {
        if (ck->blobs[i].gone)
            rc = ck_fix_zero(fix, ck->blobs[i].root_idx);
    }
    if (rc == 0)
        rc = ck->dev->flush(ck->dev->ctx);
    for (uint32_t i = 0; i < ck->n_blobs && rc == 0; i++) {
        const struct ck_blob *b = &ck->blobs[i];
        for (size_t j = 1; b->gone && j < b->n_chain && rc == 0; j++)
            rc = ck_fix_zero(fix, b->chain[j]);
        for (size_t j = 0; b->gone && j < b->n_segs && rc == 0; j++) {
            uint32_t idx = b->segs[j].page_idx;
            if (idx != LVS_INVALID_PAGE && ck->page_owner[idx] == 0)
                rc = ck_fix_zero(fix, idx);
        }
    }
    return rc;
}

static int apply(struct ck_fix *fix)
{
    struct ck *ck = fix->ck;
    const uint64_t *n_by = ck->report->n_by_code;
    int rc = ck->clean ? write_super(fix, false) : 0;

    if (rc == 0)
        rc = unlink_clusters(fix);
    if (rc == 0)
        rc = fix_names(fix);
    if (rc == 0 && ck->super_blob && (n_by[LVS_F_STORE_UUID] || n_by[LVS_F_STORE_NAME]))
        set_identity(ck, ck->super_blob);
    for (uint32_t i = 0; i < ck->n_blobs && rc == 0 && ck->rc == 0; i++) {
        struct ck_blob *b = &ck->blobs[i];
        if (b->rewrite && !b->bad && !b->gone)
            rc = ck_fix_blob(fix, b);
    }
    if (rc == 0)
        rc = ck->rc;
    if (rc == 0)
        rc = erase_gone(fix);
    if (rc == 0 && n_by[LVS_F_STORE_LOST]) {
        struct ck_blob *old = ck_blob_by_id(ck, ash_le64_get(ck->super.super_blob));
        /* A damaged super blob is replaced, so it does not keep the store from being clean. */
        bool was_bad = old && old->bad;
        rc = rebuild_super_blob(fix);
        ck->n_bad -= was_bad && rc == 0;
    }
    return rc;
}

static bool has_work(const struct lvs_report *report)
{
    for (int i = 0; i < LVS_N_FINDINGS; i++) {
        if (report->n_by_code[i] != 0 && lvs_check_code_repairable((enum lvs_check_code)i))
            return true;
    }
    return false;
}

static int repair_walked(struct ck *ck)
{
    struct lvs_report scratch = {0};
    struct ck now = {.dev = ck->dev, .opts = ck->opts, .report = &scratch};
    struct ck_fix fix = {0};
    int rc = fix_init(&fix, ck);

    if (rc == 0)
        rc = apply(&fix);
    if (rc == 0)
        rc = ck_walk(&now);
    if (rc == 0)
        rc = scratch.readable ? write_masks(&fix, &now) : -EIO;
    ck_fini(&now);
    lvs_report_fini(&scratch);
    fix_fini(&fix);
    return rc;
}

/* Appends what is there no more to the report of the last check. */
static void add_repaired(const struct lvs_report *before, struct lvs_report *report)
{
    struct ck ck = {.report = report};

    for (size_t i = 0; i < before->n_findings; i++) {
        struct lvs_finding f = before->findings[i];
        if (!f.repairable || report->n_by_code[f.code] != 0)
            continue;
        f.repaired = true;
        report->n_repaired++;
        ck_report_add(&ck, &f);
    }
}

int lvs_check_repair(const struct lvs_check_dev *dev, const struct lvs_check_opts *opts,
                     struct lvs_report *report)
{
    struct lvs_check_opts full = opts ? *opts : (struct lvs_check_opts){0};
    struct lvs_report before = {0};
    struct ck ck = {.dev = dev, .opts = &full, .report = &before};

    full.quick = false;
    *report = (struct lvs_report){0};
    int rc = ck_walk(&ck);
    bool work = rc == 0 && before.readable && has_work(&before);
    /* What could not be read may be a volume: nothing may be released or erased around it. */
    if (rc == 0 && before.n_by_code[LVS_F_READ_ERROR] != 0) {
        rc = -EIO;
        work = false;
    }
    /* Likewise where the walk did not see all owners. */
    if (rc == 0 && before.n_by_code[LVS_F_TOO_DAMAGED] != 0)
        work = false;
    if (!work) {
        *report = before;
        ck_fini(&ck);
        return rc;
    }
    full.expect_free = NULL; /* counted before the repair */
    rc = repair_walked(&ck);
    ck_fini(&ck);
    int check_rc = lvs_check(dev, &full, report);
    if (check_rc == 0)
        add_repaired(&before, report);
    lvs_report_fini(&before);
    return rc < 0 ? rc : check_rc;
}
