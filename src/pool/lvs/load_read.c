/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store: masks, and the metadata region in large parallel reads; holes of the device are
 * skipped, and so is what the masks of a clean store leave out. One bad sector costs one page. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pool/lvs/load.h"

enum { CHUNK_BYTES = 1 << 20, N_CHUNKS = 16, CHUNK_PAGES_MIN = 1 };

struct chunk {
    struct bdev_io *io;
    struct rt_event done;
    uint32_t first, n_pages;
    uint8_t *buf;
    size_t buf_bytes;
};

static void chunk_done(struct bdev_io *io)
{
    struct chunk *c = io->user;
    rt_event_set(&c->done, io->rc);
}

/* A page whose checksum is wrong: was it a root? Either of two marks suffices, so that no single
 * damaged place makes a volume vanish unseen. A checksum of 0 is a first write or an erasure that
 * did not finish. */
static bool was_root(const struct lvs_page_disk *page, uint32_t idx)
{
    const struct lvs_flags_disk *flags = (const void *)page->descs;
    if (ash_le32_get(page->crc) == 0 || ash_le32_get(page->sequence) != 0)
        return false;
    return ash_le64_get(page->id) == lvs_blob_id(idx) ||
           (flags->desc.type == LVS_DESC_FLAGS &&
            ash_le32_get(flags->desc.n_bytes) == sizeof(*flags) - sizeof(flags->desc));
}

static int keep_page(struct load *l, uint32_t idx, const uint8_t *bytes)
{
    const struct lvs_page_disk *page = (const void *)bytes;
    if (l->pages[idx] || (ash_le64_get(page->id) == 0 && ash_le32_get(page->crc) == 0))
        return 0;
    if (!lvs_page_is_sealed(page)) {
        if (was_root(page, idx))
            ash_bitmap_set(&l->bad_roots, idx);
        return 0;
    }
    if (!lvs_id_is_valid(ash_le64_get(page->id)))
        return 0;
    l->pages[idx] = rt_alloc(LVS_PAGE_BYTES);
    if (!l->pages[idx])
        return -ENOMEM;
    memcpy(l->pages[idx], page, LVS_PAGE_BYTES);
    ash_bitmap_set(&l->kept, idx);
    return 0;
}

/* A chunk that failed as a whole is read page by page, so that one bad sector costs one page. */
static int keep_chunk(struct load *l, const struct chunk *c, int rc)
{
    struct lvs_store *s = l->s;
    for (uint32_t i = 0; i < c->n_pages; i++) {
        uint8_t *bytes = c->buf + (size_t)i * s->md_page_bytes;
        if (rc == 0 ||
            bdev_read(s->ch, bytes, lvs_page_offset(s, c->first + i), s->md_page_bytes) == 0) {
            int keep_rc = keep_page(l, c->first + i, bytes);
            if (keep_rc)
                return keep_rc;
        } else if (!l->has_masks) {
            l->hidden_clusters = true; /* it might have been anything */
            snprintf(s->damage, sizeof(s->damage), "metadata page %u cannot be read", c->first + i);
        }
    }
    return 0;
}

/* The next run of pages to read from *at on; 0 pages: no more. */
static uint32_t next_run(struct load *l, uint64_t *at, uint32_t n_max)
{
    struct lvs_store *s = l->s;
    while (*at < s->md_len) {
        if (l->has_masks) {
            uint64_t first = ash_bitmap_find_set(&l->mask_pages, *at);
            *at = first == ASH_BITMAP_NONE ? s->md_len : first;
            uint32_t n = 0, n_gap = 0; /* short gaps are cheaper to read than to skip */
            for (uint64_t i = *at; i < s->md_len && i - *at < n_max && n_gap < 16; i++) {
                n_gap = ash_bitmap_test(&l->mask_pages, i) ? 0 : n_gap + 1;
                if (n_gap == 0)
                    n = (uint32_t)(i - *at + 1);
            }
            return n;
        }
        struct bdev_area area;
        uint64_t left = (s->md_len - *at) * s->md_page_bytes;
        bdev_area(s->ch, lvs_page_offset(s, (uint32_t)*at), left, &area);
        uint64_t n_pages = area.length / s->md_page_bytes;
        if (!(area.flags & BDEV_AREA_ZERO) || n_pages == 0) {
            /* a run of data that ends inside a page takes the page with it */
            n_pages = ash_div_up(area.length, s->md_page_bytes);
            n_pages = ASH_MIN(n_pages, s->md_len - *at);
            return (uint32_t)ASH_MIN(n_pages, (uint64_t)n_max);
        }
        *at += n_pages;
    }
    return 0;
}

/* Runs are short where little is in use: a buffer is as large as what has come its way. */
static void chunk_room(struct chunk *c, size_t n_bytes)
{
    if (c->buf_bytes >= n_bytes)
        return;
    rt_buf_put(c->buf, c->buf_bytes);
    c->buf = rt_buf_get(n_bytes);
    c->buf_bytes = c->buf ? n_bytes : 0;
}

int load_read_pages(struct load *l)
{
    struct lvs_store *s = l->s;
    struct chunk chunks[N_CHUNKS] = {0};
    uint32_t n_max = CHUNK_BYTES / s->md_page_bytes;
    uint64_t at = 0;
    bool more = true;
    int rc = 0;
    rt_step("read metadata region");
    while (rc == 0 && more) {
        unsigned n = 0;
        for (; n < N_CHUNKS; n++) {
            struct chunk *c = &chunks[n];
            c->n_pages = next_run(l, &at, n_max);
            more = c->n_pages > 0;
            if (!more)
                break;
            c->first = (uint32_t)at;
            at += c->n_pages;
            c->done = RT_EVENT_INIT;
            chunk_room(c, (size_t)c->n_pages * s->md_page_bytes);
            c->io = c->buf ? bdev_io_get(s->ch) : NULL;
            if (!c->io) {
                rc = -ENOMEM;
                break;
            }
            c->io->type = BDEV_READ;
            c->io->flags = 0;
            c->io->offset = lvs_page_offset(s, c->first);
            c->io->length = (uint64_t)c->n_pages * s->md_page_bytes;
            c->io->one_iov = (struct iovec){c->buf, c->io->length};
            c->io->iov = &c->io->one_iov;
            c->io->n_iov = 1;
            c->io->done = chunk_done;
            c->io->user = c;
            bdev_submit(c->io);
        }
        for (unsigned i = 0; i < n; i++) {
            int read_rc = rt_event_wait(&chunks[i].done);
            bdev_io_put(chunks[i].io);
            if (rc == 0)
                rc = keep_chunk(l, &chunks[i], read_rc);
        }
    }
    for (unsigned i = 0; i < N_CHUNKS; i++)
        rt_buf_put(chunks[i].buf, chunks[i].buf_bytes);
    return rc;
}

static int read_mask(struct load *l, uint8_t type, uint32_t start, uint32_t n_pages,
                     uint64_t n_bits, bool may_be_longer, struct ash_bitmap *ret, bool *ret_ok)
{
    struct lvs_store *s = l->s;
    size_t n_bytes = (size_t)n_pages * s->md_page_bytes;
    int rc = ash_bitmap_init(ret, n_bits);
    uint8_t *buf = rc ? NULL : rt_buf_get(n_bytes);
    if (!buf)
        return -ENOMEM;
    rc = bdev_read(s->ch, buf, (uint64_t)start * s->md_page_bytes, n_bytes);
    const struct lvs_mask_disk *mask = (const void *)buf;
    uint64_t n_found = rc ? 0 : ash_le32_get(mask->n_bits);
    *ret_ok =
        rc == 0 && mask->type == type && (n_found == n_bits || (may_be_longer && n_found > n_bits));
    if (*ret_ok)
        ash_bitmap_load(ret, mask->bits, n_bits);
    rt_buf_put(buf, n_bytes);
    return rc == -ENOMEM ? rc : 0;
}

/* Masks that do not fit are as good as none: the recovery path needs none (section 4). */
int load_read_masks(struct load *l)
{
    struct lvs_store *s = l->s;
    const struct lvs_super_disk *d = &s->super;
    bool ok[3] = {false, false, false};
    if (!s->is_clean_on_disk || ash_le32_get(d->version) < 3 ||
        ash_le32_get(d->used_blobid_mask_len) == 0)
        return 0;
    int rc =
        read_mask(l, LVS_MASK_PAGES, ash_le32_get(d->used_page_mask_start),
                  ash_le32_get(d->used_page_mask_len), s->md_len, false, &l->mask_pages, &ok[0]);
    if (rc == 0)
        rc = read_mask(l, LVS_MASK_CLUSTERS, ash_le32_get(d->used_cluster_mask_start),
                       ash_le32_get(d->used_cluster_mask_len), s->n_clusters, true,
                       &l->mask_clusters, &ok[1]);
    if (rc == 0)
        rc = read_mask(l, LVS_MASK_BLOBIDS, ash_le32_get(d->used_blobid_mask_start),
                       ash_le32_get(d->used_blobid_mask_len), s->md_len, false, &l->mask_roots,
                       &ok[2]);
    l->has_masks = rc == 0 && ok[0] && ok[1] && ok[2];
    return rc;
}

/* A page by its index; one that the page mask had left out is fetched now. */
const struct lvs_page_disk *load_get_page(void *ctx, uint32_t idx)
{
    struct load *l = ctx;
    if (idx >= l->s->md_len)
        return NULL;
    if (!l->pages[idx] && l->has_masks && !ash_bitmap_test(&l->mask_pages, idx)) {
        uint8_t *buf = rt_buf_get(l->s->md_page_bytes);
        if (buf && bdev_read(l->s->ch, buf, lvs_page_offset(l->s, idx), l->s->md_page_bytes) == 0)
            (void)keep_page(l, idx, buf);
        rt_buf_put(buf, l->s->md_page_bytes);
    }
    return l->pages[idx];
}
