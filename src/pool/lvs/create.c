/* SPDX-License-Identifier: Apache-2.0 */
/* A new store on a blank device (docs/spec/blobstore-format.md 2.1, 2.2, 9, 12.1).
 *
 * Invariant: a new store exists from the write of its super block on, which comes last and after a
 * flush: until then the disk is what it was, or blank. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pool/lvs/lvs.h"
#include "pool/signature.h"

static int create_blank(struct lvs_store *s, const struct pool_create_opts *opts,
                        struct ash_err *err)
{
    const char *what;
    if (opts->force)
        return 0;
    int rc = pool_signature(s->ch, &what);
    if (rc)
        return ash_err_set(err, ASH_E_POOL_UNREADABLE, s->base_name,
                           "'%s' could not be read to see what is on it: %s", s->base_name,
                           ash_strerror(rc));
    if (what)
        return ash_err_set(err, ASH_E_POOL_NOT_BLANK, s->base_name, "'%s' holds %s", s->base_name,
                           what);
    return 0;
}

/* Data area by the clear method; tells whether it is known to read as zeroes. */
static int create_clear(struct lvs_store *s, bool *ret_zero)
{
    struct bdev *base = bdev_desc_bdev(s->desc);
    uint64_t from = (uint64_t)s->md_clusters * s->cluster_bytes;
    uint64_t n = s->n_clusters * s->cluster_bytes - from;
    int rc = 0;
    *ret_zero = false;
    rt_step("clear data area");
    if (n == 0 || s->clear == POOL_CLEAR_NONE)
        return 0;
    if (s->clear == POOL_CLEAR_WRITE_ZEROES) {
        rc = bdev_write_zeroes(s->ch, from, n, 0);
        *ret_zero = rc == 0;
    } else if (bdev_supports(base, BDEV_UNMAP)) {
        rc = bdev_unmap(s->ch, from, n);
        *ret_zero = rc == 0 && base->unmap_zeroes;
        if (rc == -ENOTSUP)
            rc = 0;
    }
    return rc;
}

static int create_label(struct lvs_store *s, const char *name, const struct ash_uuid *uuid)
{
    char text[ASH_UUID_TEXT_BYTES];
    s->uuid = *uuid;
    snprintf(s->name, sizeof(s->name), "%s", name);
    uint32_t page = lvs_page_take(s, 0);
    s->super_root = (struct lvs_root){.blob_id = lvs_blob_id(page),
                                      .invalid_flags = LVS_INVALID_EXTENT_TABLE,
                                      .map = &s->super_map};
    int rc = lvs_map_init(&s->super_map, 0, false);
    if (rc == 0)
        rc = lvs_xattrs_set(&s->super_root.user, LVS_XATTR_UUID, ash_uuid_format(uuid, text),
                            LVS_UUID_BYTES);
    if (rc == 0)
        rc = lvs_xattrs_set(&s->super_root.user, LVS_XATTR_NAME, name, strlen(name) + 1);
    return rc;
}

/* Everything but the super block, a flush, the super block, a flush. */
static int create_write(struct lvs_store *s)
{
    bool uncertain;
    uint64_t md_end = s->md_start_bytes + (uint64_t)s->md_len * s->md_page_bytes;
    uint64_t block = bdev_desc_bdev(s->desc)->block_bytes;
    bool zero;
    rt_step("erase metadata region");
    int rc =
        bdev_write_zeroes(s->ch, 0, ASH_MIN(ash_div_up(md_end, block) * block, s->size_bytes), 0);
    if (rc == 0)
        rc = lvs_flush(s);
    if (rc == 0)
        rc = create_clear(s, &zero);
    if (rc)
        return rc;
    rt_mutex_lock(&s->md_lock);
    rc = lvs_chain_write(s, &s->super_root, NULL, &s->super_cont_pages, &s->n_super_cont_pages,
                         &uncertain);
    if (rc == 0) {
        struct lvs_super_disk *buf = rt_buf_get(LVS_PAGE_BYTES);
        s->super.super_blob = ash_le64(s->super_root.blob_id);
        lvs_super_seal(&s->super);
        rc = buf ? 0 : -ENOMEM;
        if (rc == 0) {
            memcpy(buf, &s->super, LVS_PAGE_BYTES);
            rc = bdev_write(s->ch, buf, 0, LVS_PAGE_BYTES, 0);
            rt_buf_put(buf, LVS_PAGE_BYTES);
        }
        if (rc == 0)
            rc = lvs_flush(s);
    }
    rt_mutex_unlock(&s->md_lock);
    for (uint64_t c = s->md_clusters; c < s->n_clusters && rc == 0 && zero; c++)
        ash_bitmap_set(&s->zero_clusters, c);
    return rc;
}

int lvs_store_format(struct lvs_store *s, const char *name, const struct pool_create_opts *opts,
                     struct ash_err *err)
{
    struct bdev *base = bdev_desc_bdev(s->desc);
    struct ash_uuid uuid = opts->uuid;
    int rc = create_blank(s, opts, err);
    if (rc == 0)
        rc = lvs_super_layout(opts, base->size_bytes, base->block_bytes,
                              ASH_MAX(base->phys_block_bytes, base->block_bytes), &s->super, err);
    if (rc)
        return rc;
    lvs_super_apply(s, base->size_bytes);
    if (opts->clear != POOL_CLEAR_DEFAULT)
        s->clear = opts->clear;
    if (ash_uuid_is_nil(&uuid))
        rt_random_uuid(&uuid);
    rc = lvs_space_init(s);
    if (rc == 0)
        rc = create_label(s, name, &uuid);
    if (rc == 0)
        rc = create_write(s);
    if (rc)
        return ash_err_set_rc(err, rc, rc == -ENOMEM ? ASH_E_NO_MEMORY : ASH_E_POOL_IO,
                              s->base_name, "pool '%s' could not be written to '%s': %s", name,
                              s->base_name, ash_strerror(rc));
    return 0;
}
