/* SPDX-License-Identifier: Apache-2.0 */
/* See mkdisk.h. Written from the text of the format, apart from the code under test. */
#include "mkdisk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/crc32c.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/* ---- device ---- */

static int mem_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    struct mkdisk *d = ctx;

    if (offset + n_bytes > d->n_bytes)
        return -EINVAL;
    if (offset < d->fail_reads_to && offset + n_bytes > d->fail_reads_from)
        return -EIO;
    memcpy(buf, d->bytes + offset, n_bytes);
    return 0;
}

static int mem_write(void *ctx, uint64_t offset, const void *buf, size_t n_bytes)
{
    struct mkdisk *d = ctx;

    if (offset + n_bytes > d->n_bytes)
        return -EINVAL;
    if (d->cut_after_writes && d->n_writes >= d->cut_after_writes)
        return -EIO;
    d->n_writes++;
    memcpy(d->bytes + offset, buf, n_bytes);
    return 0;
}

static int mem_flush(void *ctx)
{
    return 0;
}

static const uint8_t *mem_peek(void *ctx, uint64_t offset, size_t n_bytes)
{
    struct mkdisk *d = ctx;

    return d->fail_reads_to || offset + n_bytes > d->n_bytes ? NULL : d->bytes + offset;
}

struct lvs_check_dev mkdisk_dev(struct mkdisk *d)
{
    return (struct lvs_check_dev){mem_read, mem_write, mem_flush, mem_peek, d->n_bytes, 4096, d};
}

/* ---- parts ---- */

struct lvs_super_disk *mkdisk_super(struct mkdisk *d)
{
    return (void *)d->bytes;
}

void mkdisk_seal_super(struct mkdisk *d)
{
    mkdisk_super(d)->crc = ash_le32(ash_crc32c(d->bytes, 4092));
}

static uint64_t page_bytes_of(struct mkdisk *d)
{
    uint32_t n = ash_le32_get(mkdisk_super(d)->md_page_bytes);

    return n ? n : 4096;
}

struct lvs_page_disk *mkdisk_page(struct mkdisk *d, uint32_t idx)
{
    uint64_t at = ash_le32_get(mkdisk_super(d)->md_start) + (uint64_t)idx;

    return (void *)(d->bytes + at * page_bytes_of(d));
}

void mkdisk_seal(struct mkdisk *d, uint32_t idx)
{
    struct lvs_page_disk *page = mkdisk_page(d, idx);

    page->crc = ash_le32(ash_crc32c(page, 4092));
}

struct lvs_mask_disk *mkdisk_mask(struct mkdisk *d, enum lvs_mask_type type)
{
    const struct lvs_super_disk *s = mkdisk_super(d);
    struct le32 start = type == LVS_MASK_PAGES      ? s->used_page_mask_start
                        : type == LVS_MASK_CLUSTERS ? s->used_cluster_mask_start
                                                    : s->used_blobid_mask_start;

    return (void *)(d->bytes + ash_le32_get(start) * page_bytes_of(d));
}

void mkdisk_mark(struct mkdisk *d, enum lvs_mask_type type, uint32_t idx, bool used)
{
    uint8_t *byte = &mkdisk_mask(d, type)->bits[idx / 8];
    uint8_t bit = (uint8_t)(1u << (idx % 8));

    *byte = (uint8_t)(used ? *byte | bit : *byte & ~bit);
}

void mkdisk_set_clean(struct mkdisk *d, bool clean)
{
    mkdisk_super(d)->clean = ash_le32(clean);
    mkdisk_seal_super(d);
}

/* ---- pages ---- */

struct mkpage mkpage_begin(struct mkdisk *d, uint32_t idx, uint64_t id, uint32_t sequence)
{
    struct lvs_page_disk *page = mkdisk_page(d, idx);

    memset(page, 0, sizeof(*page));
    page->id = ash_le64(id);
    page->sequence = ash_le32(sequence);
    return (struct mkpage){d, idx, 0};
}

static void append(struct mkpage *p, const void *bytes, size_t n)
{
    struct lvs_page_disk *page = mkdisk_page(p->d, p->idx);

    ASH_ASSERT(p->pos + n <= sizeof(page->descs));
    memcpy(page->descs + p->pos, bytes, n);
    p->pos += (uint32_t)n;
}

static void append_u32(struct mkpage *p, uint32_t v)
{
    struct le32 le = ash_le32(v);

    append(p, &le, sizeof(le));
}

static void append_u64(struct mkpage *p, uint64_t v)
{
    struct le64 le = ash_le64(v);

    append(p, &le, sizeof(le));
}

static void append_head(struct mkpage *p, uint8_t type, size_t n_bytes)
{
    append(p, &type, 1);
    append_u32(p, (uint32_t)n_bytes);
}

void mkpage_desc(struct mkpage *p, uint8_t type, const void *body, uint32_t n_bytes)
{
    append_head(p, type, n_bytes);
    append(p, body, n_bytes);
}

void mkpage_flags(struct mkpage *p, uint64_t invalid, uint64_t data_ro, uint64_t md_ro)
{
    append_head(p, 3, 24);
    append_u64(p, invalid);
    append_u64(p, data_ro);
    append_u64(p, md_ro);
}

void mkpage_xattr(struct mkpage *p, bool internal, const char *name, const void *value,
                  size_t n_value)
{
    size_t n_name = strlen(name);
    struct le16 lengths[2] = {ash_le16((uint16_t)n_name), ash_le16((uint16_t)n_value)};

    append_head(p, internal ? 4 : 2, 4 + n_name + n_value);
    append(p, lengths, sizeof(lengths));
    append(p, name, n_name);
    append(p, value, n_value);
}

void mkpage_id_xattr(struct mkpage *p, const char *name, uint64_t id)
{
    struct le64 le = ash_le64(id);

    mkpage_xattr(p, true, name, &le, sizeof(le));
}

void mkpage_names(struct mkpage *p, const char *name, unsigned n)
{
    char padded[64] = {0}, uuid[64];

    snprintf(padded, sizeof(padded), "%s", name);
    snprintf(uuid, sizeof(uuid), "aaaaaaaa-0000-4000-8000-%012u", n);
    mkpage_xattr(p, false, "name", padded, sizeof(padded));
    mkpage_xattr(p, false, "uuid", uuid, 37);
}

void mkpage_table(struct mkpage *p, uint64_t n_clusters, const uint32_t *pairs, size_t n_pairs)
{
    append_head(p, 5, 8 + 8 * n_pairs);
    append_u64(p, n_clusters);
    for (size_t i = 0; i < 2 * n_pairs; i++)
        append_u32(p, pairs[i]);
}

void mkpage_rle(struct mkpage *p, const uint32_t *pairs, size_t n_pairs)
{
    append_head(p, 1, 8 * n_pairs);
    for (size_t i = 0; i < 2 * n_pairs; i++)
        append_u32(p, pairs[i]);
}

void mkpage_end(struct mkpage *p, uint32_t next)
{
    mkdisk_page(p->d, p->idx)->next = ash_le32(next);
    mkdisk_seal(p->d, p->idx);
}

void mkpage_extents(struct mkdisk *d, uint32_t idx, uint64_t id, uint32_t start,
                    const uint32_t *clusters, size_t n_clusters, size_t n)
{
    struct mkpage p = mkpage_begin(d, idx, id, 0);

    append_head(&p, 6, 4 + 4 * n);
    append_u32(&p, start);
    for (size_t i = 0; i < n; i++)
        append_u32(&p, i < n_clusters ? clusters[i] : 0);
    mkpage_end(&p, 0xFFFFFFFF);
}

/* ---- stores ---- */

void mkdisk_init_geometry(struct mkdisk *d, uint32_t n_clusters, uint32_t cluster_bytes,
                          uint32_t page_bytes, bool clean)
{
    uint32_t mask = (5 + (n_clusters + 7) / 8 + page_bytes - 1) / page_bytes;

    *d = (struct mkdisk){.n_bytes = (uint64_t)n_clusters * cluster_bytes};
    /* Not from malloc: memory checkers would fill all of it. */
    void *bytes = mmap(NULL, d->n_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASH_ASSERT(bytes != MAP_FAILED);
    d->bytes = bytes;
    struct lvs_super_disk *s = mkdisk_super(d);
    memcpy(s->signature, "SPDKBLOB", 8);
    s->version = ash_le32(3);
    s->length = ash_le32(4096);
    s->super_blob = ash_le64(0x100000000);
    s->cluster_bytes = ash_le32(cluster_bytes);
    s->used_page_mask_start = ash_le32(1);
    s->used_page_mask_len = ash_le32(mask);
    s->used_cluster_mask_start = ash_le32(1 + mask);
    s->used_cluster_mask_len = ash_le32(mask);
    s->used_blobid_mask_start = ash_le32(1 + 2 * mask);
    s->used_blobid_mask_len = ash_le32(mask);
    s->md_start = ash_le32(1 + 3 * mask);
    s->md_len = ash_le32(n_clusters);
    memcpy(s->bstype, "LVOLSTORE", 9);
    s->size_bytes = ash_le64(d->n_bytes);
    s->io_unit_bytes = ash_le32(4096);
    s->md_page_bytes = ash_le32(page_bytes);
    mkdisk_set_clean(d, clean);
    if (!clean)
        return;
    for (int type = 0; type < 3; type++) {
        struct lvs_mask_disk *m = mkdisk_mask(d, (enum lvs_mask_type)type);
        m->type = (uint8_t)type;
        m->n_bits = ash_le32(n_clusters);
    }
    uint32_t md_pages = 1 + 3 * mask + n_clusters, per_cluster = cluster_bytes / page_bytes;
    for (uint32_t c = 0; c < (md_pages + per_cluster - 1) / per_cluster; c++)
        mkdisk_mark(d, LVS_MASK_CLUSTERS, c, true);
}

static void make_volumes(struct mkdisk *d)
{
    const uint64_t base = 0x100000000;
    const uint32_t none = 0xFFFFFFFF;

    struct mkpage p = mkpage_begin(d, 0, base, 0);
    mkpage_flags(&p, 4, 0, 0);
    mkpage_xattr(&p, false, "uuid", "11111111-2222-3333-4444-555555555555", 37);
    mkpage_xattr(&p, false, "name", "lvs0", 5);
    mkpage_table(&p, 0, NULL, 0);
    mkpage_end(&p, none);

    p = mkpage_begin(d, 1, base + 1, 0);
    mkpage_flags(&p, 4, 0, 0);
    mkpage_names(&p, "thick", 1);
    mkpage_table(&p, 3, (uint32_t[]){2, 1}, 1);
    mkpage_end(&p, none);
    mkpage_extents(d, 2, base + 1, 0, (uint32_t[]){1, 2, 3}, 3, 3);

    p = mkpage_begin(d, 3, base + 3, 0);
    mkpage_flags(&p, 7, 0, 1);
    mkpage_names(&p, "thin", 2);
    mkpage_id_xattr(&p, "SNAP", base + 5);
    mkpage_table(&p, 600, (uint32_t[]){4, 1, 0, 1}, 2);
    mkpage_end(&p, none);
    mkpage_extents(d, 4, base + 3, 0, (uint32_t[]){0, 6}, 2, 512);

    p = mkpage_begin(d, 5, base + 5, 0);
    mkpage_flags(&p, 5, 1, 1);
    mkpage_names(&p, "snap", 3);
    mkpage_table(&p, 6, (uint32_t[]){6, 1}, 1);
    mkpage_end(&p, none);
    mkpage_extents(d, 6, base + 3, 0, (uint32_t[]){4, 5}, 2, 6);

    p = mkpage_begin(d, 7, base + 7, 0);
    mkpage_flags(&p, 1, 0, 2);
    mkpage_names(&p, "rle", 4);
    mkpage_rle(&p, (uint32_t[]){7, 2, 0, 3, 10, 1}, 3);
    mkpage_end(&p, none);
}

void mkdisk_init(struct mkdisk *d, bool clean)
{
    static const uint32_t roots[] = {0, 1, 3, 5, 7};

    mkdisk_init_geometry(d, MKDISK_N_CLUSTERS, MKDISK_CLUSTER_BYTES, 4096, clean);
    make_volumes(d);
    if (!clean)
        return;
    for (uint32_t i = 0; i <= 7; i++)
        mkdisk_mark(d, LVS_MASK_PAGES, i, true);
    for (uint32_t c = 0; c <= 10; c++)
        mkdisk_mark(d, LVS_MASK_CLUSTERS, c, c != 9);
    for (size_t i = 0; i < N(roots); i++)
        mkdisk_mark(d, LVS_MASK_BLOBIDS, roots[i], true);
}

void mkdisk_fill(struct mkdisk *d)
{
    for (uint32_t c = 1; c <= 10; c++)
        memset(d->bytes + (uint64_t)c * MKDISK_CLUSTER_BYTES, (int)(0x50 + c),
               MKDISK_CLUSTER_BYTES);
    memset(d->bytes + (uint64_t)9 * MKDISK_CLUSTER_BYTES, 0, MKDISK_CLUSTER_BYTES);
}

void mkdisk_fini(struct mkdisk *d)
{
    munmap(d->bytes, d->n_bytes);
    d->bytes = NULL;
}
