/* SPDX-License-Identifier: Apache-2.0 */
/* Super block and masks (docs/spec/blobstore-format.md 2-4).
 *
 * Invariants
 *   - `clean` on the disk is 1 only when the masks on the disk are right and no operation is half
 *     done; the first change after that sets it to 0, on the medium, before anything else is
 * written.
 *   - The super block is read again and compared before it is rewritten: another writer, or another
 *     disk under our feet, stops us.
 *   - Reserved bytes and fields that we do not own are preserved. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "pool/lvs/lvs.h"

void lvs_super_seal(struct lvs_super_disk *super)
{
    super->crc = ash_le32(ash_crc32c(super, LVS_CRC_BYTES));
}

bool lvs_super_is_lvstore(const struct lvs_super_disk *super)
{
    static const char type[LVS_BSTYPE_BYTES] = LVS_BSTYPE;
    return ash_le32_get(super->version) >= 2 && memcmp(super->bstype, type, sizeof(type)) == 0;
}

/* Geometry with the defaults of older versions filled in. */
struct geometry {
    uint64_t size, cluster, page, io_unit;
    struct {
        uint64_t start, len, n_bits;
        const char *name;
    } regions[5]; /* in the order of the disk */
    uint64_t md_clusters, n_clusters;
};

static void geometry_read(const struct lvs_super_disk *s, uint64_t device_bytes, struct geometry *g)
{
    uint32_t version = ash_le32_get(s->version);
    g->size = ash_le64_get(s->size_bytes) ? ash_le64_get(s->size_bytes) : device_bytes;
    g->cluster = ash_le32_get(s->cluster_bytes);
    g->page = ash_le32_get(s->md_page_bytes) ? ash_le32_get(s->md_page_bytes) : LVS_PAGE_BYTES;
    g->io_unit = ash_le32_get(s->io_unit_bytes) ? ash_le32_get(s->io_unit_bytes) : LVS_PAGE_BYTES;
    uint64_t md_len = ash_le32_get(s->md_len);
    g->n_clusters = g->cluster ? g->size / g->cluster : 0;
    g->regions[0].start = 0, g->regions[0].len = 1, g->regions[0].n_bits = 0;
    g->regions[0].name = "super block";
    g->regions[1].start = ash_le32_get(s->used_page_mask_start);
    g->regions[1].len = ash_le32_get(s->used_page_mask_len);
    g->regions[1].n_bits = md_len, g->regions[1].name = "page mask";
    g->regions[2].start = ash_le32_get(s->used_cluster_mask_start);
    g->regions[2].len = ash_le32_get(s->used_cluster_mask_len);
    g->regions[2].n_bits = g->n_clusters, g->regions[2].name = "cluster mask";
    g->regions[3].start = version >= 3 ? ash_le32_get(s->used_blobid_mask_start) : 0;
    g->regions[3].len = version >= 3 ? ash_le32_get(s->used_blobid_mask_len) : 0;
    g->regions[3].n_bits = md_len, g->regions[3].name = "blob id mask";
    g->regions[4].start = ash_le32_get(s->md_start), g->regions[4].len = md_len;
    g->regions[4].n_bits = 0, g->regions[4].name = "metadata";
}

static int geometry_check(struct geometry *g, uint64_t device_bytes, struct ash_err *err)
{
    if (!ash_is_pow2(g->page) || g->page < LVS_MD_PAGE_BYTES_MIN || g->page > LVS_MD_PAGE_BYTES_MAX)
        return ash_err_set(err, ASH_E_POOL_SUPER_GEOMETRY, NULL,
                           "metadata page size %llu cannot be", (unsigned long long)g->page);
    if (g->cluster == 0 || g->cluster % LVS_PAGE_BYTES != 0 || g->cluster < g->page)
        return ash_err_set(err, ASH_E_POOL_SUPER_GEOMETRY, NULL, "cluster size %llu cannot be",
                           (unsigned long long)g->cluster);
    if (!ash_is_pow2(g->io_unit) || g->io_unit < LVS_IO_UNIT_BYTES_MIN || g->io_unit > g->page)
        return ash_err_set(err, ASH_E_POOL_SUPER_GEOMETRY, NULL, "block size %llu cannot be",
                           (unsigned long long)g->io_unit);
    if (g->regions[4].len == 0 || g->regions[4].len > 0xFFFFFFFEu)
        return ash_err_set(err, ASH_E_POOL_SUPER_GEOMETRY, NULL, "no room for metadata");
    uint64_t end = 0;
    for (int i = 0; i < 5; i++) {
        if (i == 3 && g->regions[i].len == 0)
            continue; /* versions 1 and 2 have no blob id mask */
        if (g->regions[i].start < end ||
            g->regions[i].len < (g->regions[i].n_bits
                                     ? lvs_mask_pages(g->regions[i].n_bits, (uint32_t)g->page)
                                     : 1))
            return ash_err_set(err, ASH_E_POOL_SUPER_GEOMETRY, NULL, "%s overlaps or is too short",
                               g->regions[i].name);
        end = g->regions[i].start + g->regions[i].len; /* 32-bit values: no overflow */
    }
    g->md_clusters = lvs_md_clusters(g->regions[4].start, g->regions[4].len, (uint32_t)g->cluster,
                                     (uint32_t)g->page);
    if (end * g->page > device_bytes || g->md_clusters > g->n_clusters ||
        g->n_clusters > UINT32_MAX)
        return ash_err_set(err, ASH_E_POOL_SUPER_GEOMETRY, NULL,
                           "metadata does not fit on the device");
    return 0;
}

int lvs_super_check(const struct lvs_super_disk *super, uint64_t device_bytes, struct ash_err *err)
{
    uint32_t version = ash_le32_get(super->version);
    if (memcmp(super->signature, LVS_SIGNATURE, LVS_SIGNATURE_BYTES) != 0)
        return ash_err_set(err, ASH_E_POOL_SUPER_SIGNATURE, NULL, "no blobstore on the device");
    if (version < LVS_VERSION_MIN || version > LVS_VERSION)
        return ash_err_set(err, ASH_E_POOL_SUPER_VERSION, NULL, "blobstore version %u is not known",
                           version);
    if (ash_le32_get(super->crc) != ash_crc32c(super, LVS_CRC_BYTES))
        return ash_err_set(err, ASH_E_POOL_SUPER_CRC, NULL, "super block fails its checksum");
    if (ash_le64_get(super->size_bytes) > device_bytes)
        return ash_err_set(
            err, ASH_E_POOL_SUPER_TOO_BIG, NULL, "store of %llu bytes on a device of %llu",
            (unsigned long long)ash_le64_get(super->size_bytes), (unsigned long long)device_bytes);
    struct geometry g;
    geometry_read(super, device_bytes, &g);
    return geometry_check(&g, device_bytes, err);
}

void lvs_super_apply(struct lvs_store *s, uint64_t device_bytes)
{
    struct geometry g = {0};
    geometry_read(&s->super, device_bytes, &g);
    int rc = geometry_check(&g, device_bytes, NULL);
    ASH_ASSERT(rc == 0);
    s->cluster_bytes = (uint32_t)g.cluster;
    s->cluster_shift = ash_is_pow2(g.cluster) ? (uint8_t)__builtin_ctzll(g.cluster) : 0;
    s->md_page_bytes = (uint32_t)g.page;
    s->io_unit_bytes = (uint32_t)g.io_unit;
    s->md_len = (uint32_t)g.regions[4].len;
    s->md_start_bytes = g.regions[4].start * g.page;
    s->md_clusters = (uint32_t)g.md_clusters;
    s->n_clusters = g.n_clusters;
    s->size_bytes = g.size;
    s->is_clean_on_disk = ash_le32_get(s->super.clean) == 1;
}

int lvs_super_layout(const struct pool_create_opts *opts, uint64_t device_bytes,
                     uint32_t block_bytes, uint32_t phys_block_bytes,
                     struct lvs_super_disk *ret_super, struct ash_err *err)
{
    uint64_t cluster = opts->cluster_bytes ? opts->cluster_bytes : LVS_CLUSTER_BYTES_DEFAULT;
    uint64_t page = opts->md_page_bytes ? opts->md_page_bytes : LVS_PAGE_BYTES;
    uint64_t ratio = opts->md_ratio_percent ? opts->md_ratio_percent : 100;
    if (!ash_is_pow2(page) || page < LVS_MD_PAGE_BYTES_MIN || page > LVS_MD_PAGE_BYTES_MAX)
        return ash_err_set(err, ASH_E_POOL_BAD_MD_PAGE_SIZE, NULL, "metadata page size %llu",
                           (unsigned long long)page);
    if (cluster % LVS_PAGE_BYTES != 0 || cluster < page || cluster % block_bytes != 0)
        return ash_err_set(err, ASH_E_POOL_BAD_CLUSTER_SIZE, NULL,
                           "cluster size %llu with blocks of %u and metadata pages of %llu",
                           (unsigned long long)cluster, block_bytes, (unsigned long long)page);
    if (phys_block_bytes % block_bytes != 0 || block_bytes > LVS_PAGE_BYTES)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, NULL,
                           "physical block of %u with logical block of %u", phys_block_bytes,
                           block_bytes);
    uint64_t n_clusters = device_bytes / cluster;
    if (n_clusters == 0 || n_clusters > UINT32_MAX)
        return ash_err_set(err, ASH_E_POOL_TOO_SMALL, NULL, "%llu bytes are %s clusters of %llu",
                           (unsigned long long)device_bytes,
                           n_clusters ? "too many" : "less than one of the",
                           (unsigned long long)cluster);
    if (n_clusters > 0xFFFFFFFEu * UINT64_C(100) / ratio || ratio * n_clusters / 100 == 0)
        return ash_err_set(err, ASH_E_POOL_BAD_RATIO, NULL,
                           "metadata ratio %llu%% of %llu clusters", (unsigned long long)ratio,
                           (unsigned long long)n_clusters);
    uint64_t md_len = ratio * n_clusters / 100;
    uint64_t page_mask = lvs_mask_pages(md_len, (uint32_t)page),
             cluster_mask = lvs_mask_pages(n_clusters, (uint32_t)page);
    uint64_t blobid_start = 1 + page_mask + ASH_MAX(page_mask, cluster_mask);
    uint64_t md_start = blobid_start + page_mask;
    if (md_start + md_len > UINT32_MAX ||
        lvs_md_clusters(md_start, md_len, (uint32_t)cluster, (uint32_t)page) > n_clusters)
        return ash_err_set(err, ASH_E_POOL_METADATA_TOO_BIG, NULL, "%llu metadata pages do not fit",
                           (unsigned long long)md_len);
    struct lvs_super_disk *s = ret_super;
    memset(s, 0, sizeof(*s));
    memcpy(s->signature, LVS_SIGNATURE, LVS_SIGNATURE_BYTES);
    s->version = ash_le32(LVS_VERSION);
    s->length = ash_le32(LVS_PAGE_BYTES);
    s->super_blob = ash_le64(LVS_NO_BLOB);
    s->cluster_bytes = ash_le32((uint32_t)cluster);
    s->used_page_mask_start = ash_le32(1);
    s->used_page_mask_len = ash_le32((uint32_t)page_mask);
    s->used_cluster_mask_start = ash_le32((uint32_t)(1 + page_mask));
    s->used_cluster_mask_len = ash_le32((uint32_t)cluster_mask);
    s->used_blobid_mask_start = ash_le32((uint32_t)blobid_start);
    s->used_blobid_mask_len = ash_le32((uint32_t)page_mask);
    s->md_start = ash_le32((uint32_t)md_start);
    s->md_len = ash_le32((uint32_t)md_len);
    memcpy(s->bstype, LVS_BSTYPE, sizeof(LVS_BSTYPE) - 1);
    s->size_bytes = ash_le64(device_bytes);
    s->io_unit_bytes = ash_le32(block_bytes);
    s->md_page_bytes = ash_le32((uint32_t)page);
    lvs_super_seal(s);
    return 0;
}

int lvs_super_write(struct lvs_store *s, const struct lvs_super_disk *next)
{
    ASH_ASSERT(!s->read_only);
    struct lvs_super_disk *buf = rt_buf_get(LVS_PAGE_BYTES);
    if (!buf)
        return -ENOMEM;
    int rc = bdev_read(s->ch, buf, 0, LVS_PAGE_BYTES);
    if (rc == 0 && memcmp(buf, &s->super, LVS_CRC_BYTES) != 0 &&
        memcmp(buf, &s->super_tried, LVS_CRC_BYTES) != 0)
        rc = -EIO; /* not what we wrote: somebody else's hands, or another disk */
    if (rc == 0) {
        memcpy(buf, next, LVS_PAGE_BYTES);
        lvs_super_seal(buf);
        s->super_tried = *buf;
        rc = bdev_write(s->ch, buf, 0, LVS_PAGE_BYTES, 0);
        if (rc == 0)
            rc = lvs_flush(s);
    }
    if (rc == 0)
        s->super = *buf;
    rt_buf_put(buf, LVS_PAGE_BYTES);
    return rc;
}

int lvs_mark_dirty(struct lvs_store *s)
{
    if (!s->is_clean_on_disk)
        return 0;
    struct lvs_super_disk next = s->super;
    next.clean = ash_le32(0);
    if (ash_le64_get(next.size_bytes) == 0)
        next.size_bytes = ash_le64(s->size_bytes);
    rt_step("mark store dirty");
    int rc = lvs_super_write(s, &next);
    if (rc == 0)
        s->is_clean_on_disk = false;
    return rc;
}

static int mask_write(struct lvs_store *s, uint8_t type, const struct ash_bitmap *bits,
                      uint32_t start, uint32_t n_pages)
{
    size_t n_bytes = (size_t)n_pages * s->md_page_bytes;
    uint8_t *buf = rt_buf_get(n_bytes);
    if (!buf)
        return -ENOMEM;
    memset(buf, 0, n_bytes);
    struct lvs_mask_disk *mask = (void *)buf;
    mask->type = type;
    mask->n_bits = ash_le32((uint32_t)bits->n_bits);
    ash_bitmap_store(bits, mask->bits);
    int rc = bdev_write(s->ch, buf, (uint64_t)start * s->md_page_bytes, n_bytes, 0);
    rt_buf_put(buf, n_bytes);
    return rc;
}

int lvs_masks_write(struct lvs_store *s)
{
    const struct lvs_super_disk *d = &s->super;
    int rc = mask_write(s, LVS_MASK_PAGES, &s->used_pages, ash_le32_get(d->used_page_mask_start),
                        ash_le32_get(d->used_page_mask_len));
    if (rc == 0 && ash_le32_get(d->used_blobid_mask_len)) {
        struct ash_bitmap roots;
        rc = ash_bitmap_init(&roots, s->md_len);
        if (rc == 0) {
            if (lvs_id_is_valid(s->super_root.blob_id))
                ash_bitmap_set(&roots, lvs_id_page(s->super_root.blob_id));
            ash_list_for_each (l, &s->volumes)
                ash_bitmap_set(
                    &roots, lvs_id_page(ash_list_entry(l, struct lvs_volume, link)->root.blob_id));
            rc = mask_write(s, LVS_MASK_BLOBIDS, &roots, ash_le32_get(d->used_blobid_mask_start),
                            ash_le32_get(d->used_blobid_mask_len));
        }
        ash_bitmap_fini(&roots);
    }
    if (rc == 0)
        rc = mask_write(s, LVS_MASK_CLUSTERS, &s->used_clusters,
                        ash_le32_get(d->used_cluster_mask_start),
                        ash_le32_get(d->used_cluster_mask_len));
    return rc;
}
