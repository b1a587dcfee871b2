/* SPDX-License-Identifier: Apache-2.0 */
/* Images of simulated disks: two levels, leaves of 512 pages; leaves and pages are counted and
 * copied when written while shared. A missing leaf or page is all zeroes. Counts are atomic, so
 * images that share pages may live on different threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "rt/rt_sim.h"

#define PAGE       RT_SIM_PAGE_BYTES
#define LEAF_PAGES 512u
#define LEAF_BYTES ((uint64_t)LEAF_PAGES * PAGE)

struct page {
    uint32_t n_refs;
    uint8_t bytes[PAGE];
};

struct leaf {
    uint32_t n_refs;
    struct page *pages[LEAF_PAGES];
};

struct rt_sim_image {
    uint64_t size_bytes;
    size_t n_leaves;
    struct leaf **leaves;
};

static const uint8_t zero_page[PAGE];

static void ref(uint32_t *n_refs)
{
    __atomic_fetch_add(n_refs, 1, __ATOMIC_RELAXED);
}

static bool unref(uint32_t *n_refs)
{
    return __atomic_sub_fetch(n_refs, 1, __ATOMIC_ACQ_REL) == 0;
}

static bool is_shared(const uint32_t *n_refs)
{
    return __atomic_load_n(n_refs, __ATOMIC_ACQUIRE) > 1;
}

static void page_put(struct page *page)
{
    if (page && unref(&page->n_refs))
        free(page);
}

static void leaf_put(struct leaf *leaf)
{
    if (!leaf || !unref(&leaf->n_refs))
        return;
    for (unsigned i = 0; i < LEAF_PAGES; i++)
        page_put(leaf->pages[i]);
    free(leaf);
}

struct rt_sim_image *rt_sim_image_new(uint64_t size_bytes)
{
    struct rt_sim_image *image = calloc(1, sizeof(*image));
    if (image && rt_sim_image_resize(image, size_bytes)) {
        free(image);
        return NULL;
    }
    return image;
}

struct rt_sim_image *rt_sim_image_clone(const struct rt_sim_image *image)
{
    struct rt_sim_image *copy = rt_sim_image_new(image->size_bytes);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < image->n_leaves; i++) {
        copy->leaves[i] = image->leaves[i];
        if (copy->leaves[i])
            ref(&copy->leaves[i]->n_refs);
    }
    return copy;
}

void rt_sim_image_free(struct rt_sim_image *image)
{
    if (!image)
        return;
    for (size_t i = 0; i < image->n_leaves; i++)
        leaf_put(image->leaves[i]);
    free(image->leaves);
    free(image);
}

uint64_t rt_sim_image_size(const struct rt_sim_image *image)
{
    return image->size_bytes;
}

int rt_sim_image_resize(struct rt_sim_image *image, uint64_t size_bytes)
{
    size_t n = (size_t)ash_div_up(size_bytes, LEAF_BYTES);
    if (size_bytes < image->size_bytes) {
        /* what comes back by growing again is zeroes */
        int rc = rt_sim_image_zero(image, size_bytes, image->size_bytes - size_bytes);
        if (rc)
            return rc;
        for (size_t i = n; i < image->n_leaves; i++)
            leaf_put(image->leaves[i]);
    }
    struct leaf **leaves = realloc(image->leaves, ASH_MAX(n, (size_t)1) * sizeof(struct leaf *));
    if (!leaves)
        return -ENOMEM;
    if (n > image->n_leaves)
        memset(leaves + image->n_leaves, 0, (n - image->n_leaves) * sizeof(struct leaf *));
    image->leaves = leaves;
    image->n_leaves = n;
    image->size_bytes = size_bytes;
    return 0;
}

static const struct page *page_at(const struct rt_sim_image *image, uint64_t page_idx)
{
    const struct leaf *leaf = image->leaves[page_idx / LEAF_PAGES];
    return leaf ? leaf->pages[page_idx % LEAF_PAGES] : NULL;
}

/* The leaf, not shared with anybody. NULL: no memory. */
static struct leaf *own_leaf(struct rt_sim_image *image, size_t idx)
{
    struct leaf *leaf = image->leaves[idx];
    if (leaf && !is_shared(&leaf->n_refs))
        return leaf;
    struct leaf *own = calloc(1, sizeof(*own));
    if (!own)
        return NULL;
    own->n_refs = 1;
    for (unsigned i = 0; leaf && i < LEAF_PAGES; i++) {
        own->pages[i] = leaf->pages[i];
        if (own->pages[i])
            ref(&own->pages[i]->n_refs);
    }
    leaf_put(leaf);
    image->leaves[idx] = own;
    return own;
}

static struct page *own_page(struct rt_sim_image *image, uint64_t page_idx)
{
    struct leaf *leaf = own_leaf(image, (size_t)(page_idx / LEAF_PAGES));
    if (!leaf)
        return NULL;
    struct page **at = &leaf->pages[page_idx % LEAF_PAGES];
    if (*at && !is_shared(&(*at)->n_refs))
        return *at;
    struct page *own = malloc(sizeof(*own));
    if (!own)
        return NULL;
    own->n_refs = 1;
    memcpy(own->bytes, *at ? (*at)->bytes : zero_page, PAGE);
    page_put(*at);
    *at = own;
    return own;
}

int rt_sim_image_write(struct rt_sim_image *image, uint64_t offset, const void *data,
                       uint64_t n_bytes)
{
    ASH_ASSERT(offset + n_bytes <= image->size_bytes);
    const uint8_t *from = data;
    while (n_bytes > 0) {
        uint64_t in_page = offset % PAGE, n = ASH_MIN(n_bytes, PAGE - in_page);
        struct page *page = own_page(image, offset / PAGE);
        if (!page)
            return -ENOMEM;
        memcpy(page->bytes + in_page, from, n);
        from += n;
        offset += n;
        n_bytes -= n;
    }
    return 0;
}

int rt_sim_image_zero(struct rt_sim_image *image, uint64_t offset, uint64_t n_bytes)
{
    ASH_ASSERT(offset + n_bytes <= image->size_bytes);
    uint64_t end = offset + n_bytes;
    while (offset < end) {
        uint64_t in_page = offset % PAGE, n = ASH_MIN(end - offset, PAGE - in_page);
        size_t leaf_idx = (size_t)(offset / LEAF_BYTES);
        if (!image->leaves[leaf_idx]) {
            offset = ASH_MIN(end, (leaf_idx + 1) * LEAF_BYTES);
            continue;
        }
        if (offset % LEAF_BYTES == 0 && end - offset >= LEAF_BYTES) {
            leaf_put(image->leaves[leaf_idx]);
            image->leaves[leaf_idx] = NULL;
            offset += LEAF_BYTES;
            continue;
        }
        if (page_at(image, offset / PAGE)) {
            if (n == PAGE) {
                struct leaf *leaf = own_leaf(image, leaf_idx);
                if (!leaf)
                    return -ENOMEM;
                struct page **at = &leaf->pages[offset / PAGE % LEAF_PAGES];
                page_put(*at);
                *at = NULL;
            } else {
                struct page *page = own_page(image, offset / PAGE);
                if (!page)
                    return -ENOMEM;
                memset(page->bytes + in_page, 0, n);
            }
        }
        offset += n;
    }
    return 0;
}

void rt_sim_image_read(const struct rt_sim_image *image, uint64_t offset, void *buf,
                       uint64_t n_bytes)
{
    ASH_ASSERT(offset + n_bytes <= image->size_bytes);
    uint8_t *to = buf;
    while (n_bytes > 0) {
        uint64_t in_page = offset % PAGE, n = ASH_MIN(n_bytes, PAGE - in_page);
        const struct page *page = page_at(image, offset / PAGE);
        memcpy(to, (page ? page->bytes : zero_page) + in_page, n);
        to += n;
        offset += n;
        n_bytes -= n;
    }
}

uint64_t rt_sim_image_seek(const struct rt_sim_image *image, bool want_data, uint64_t offset)
{
    while (offset < image->size_bytes) {
        const struct leaf *leaf = image->leaves[offset / LEAF_BYTES];
        if (!leaf && want_data) {
            offset = (offset / LEAF_BYTES + 1) * LEAF_BYTES;
            continue;
        }
        if ((page_at(image, offset / PAGE) != NULL) == want_data)
            return offset;
        offset = (offset / PAGE + 1) * PAGE;
    }
    return image->size_bytes;
}

uint64_t rt_sim_image_differs(const struct rt_sim_image *a, const struct rt_sim_image *b)
{
    ASH_ASSERT(a->size_bytes == b->size_bytes);
    for (size_t l = 0; l < a->n_leaves; l++) {
        if (a->leaves[l] == b->leaves[l])
            continue;
        for (unsigned i = 0; i < LEAF_PAGES; i++) {
            const struct page *pa = a->leaves[l] ? a->leaves[l]->pages[i] : NULL;
            const struct page *pb = b->leaves[l] ? b->leaves[l]->pages[i] : NULL;
            if (pa == pb)
                continue;
            const uint8_t *ba = pa ? pa->bytes : zero_page, *bb = pb ? pb->bytes : zero_page;
            if (memcmp(ba, bb, PAGE) == 0)
                continue;
            unsigned k = 0;
            while (ba[k] == bb[k])
                k++;
            return l * LEAF_BYTES + (uint64_t)i * PAGE + k;
        }
    }
    return UINT64_MAX;
}
