/* SPDX-License-Identifier: Apache-2.0 */
/* A device as JSON: one element of bdev_get_bdevs (docs/spec/spdk-jsonrpc.md 5.1). */
#include <string.h>

#include "bdev/core.h"

/* All names that clients may look for, in the order they know; what is not one of ours is false. */
static const struct {
    const char *name;
    int type; /* -1: never */
} shown_types[] = {
    {"read", BDEV_READ},
    {"write", BDEV_WRITE},
    {"unmap", BDEV_UNMAP},
    {"flush", BDEV_FLUSH},
    {"reset", BDEV_RESET},
    {"nvme_admin", -1},
    {"nvme_io", -1},
    {"nvme_io_md", -1},
    {"write_zeroes", BDEV_WRITE_ZEROES},
    {"zcopy", -1},
    {"get_zone_info", -1},
    {"zone_management", -1},
    {"zone_append", -1},
    {"compare", BDEV_COMPARE},
    {"compare_and_write", BDEV_COMPARE_AND_WRITE},
    {"abort", BDEV_ABORT},
    {"seek_hole", BDEV_SEEK_HOLE},
    {"seek_data", BDEV_SEEK_DATA},
    {"copy", BDEV_COPY},
    {"nvme_iov_md", -1},
    {"nvme_nssr", -1},
    {"write_uncorrectable", -1},
};

static const char *claim_name(enum bdev_claim claim)
{
    static const char *const names[] = {
        [BDEV_CLAIM_EXCL_WRITE] = "exclusive_write",
        [BDEV_CLAIM_READ_WRITE_ONE] = "read_many_write_one",
        [BDEV_CLAIM_READ_WRITE_NONE] = "read_many_write_none",
        [BDEV_CLAIM_READ_WRITE_SHARED] = "read_many_write_shared",
    };
    return names[claim];
}

static void dump_types(const struct bdev *bdev, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, "supported_io_types");
    for (size_t i = 0; i < ASH_N_ELEMS(shown_types); i++) {
        int type = shown_types[i].type;
        bool has = type >= 0 && bdev_supports(bdev, (enum bdev_io_type)type);
        if (type == BDEV_WRITE_ZEROES)
            has |= bdev_supports(bdev, BDEV_WRITE); /* the only emulation that is told */
        ash_jsonw_bool(w, shown_types[i].name, has);
    }
    ash_jsonw_obj_end(w);
}

static void dump_limits(const struct bdev *bdev, struct ash_jsonw *w)
{
    struct bdev_qos q;
    bdev_get_qos(bdev, &q);
    ash_jsonw_obj(w, "assigned_rate_limits");
    ash_jsonw_u64(w, "rw_ios_per_sec", q.rw_ios_per_sec);
    ash_jsonw_u64(w, "rw_mbytes_per_sec", q.rw_mbytes_per_sec);
    ash_jsonw_u64(w, "r_mbytes_per_sec", q.r_mbytes_per_sec);
    ash_jsonw_u64(w, "w_mbytes_per_sec", q.w_mbytes_per_sec);
    ash_jsonw_obj_end(w);
}

void bdev_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    char uuid[ASH_UUID_TEXT_BYTES];
    ash_jsonw_obj(w, NULL);
    ash_jsonw_str(w, "name", bdev->name);
    ash_jsonw_arr(w, "aliases");
    for (size_t i = 0; i < bdev_n_aliases(bdev); i++)
        ash_jsonw_str(w, NULL, bdev_alias(bdev, i));
    ash_jsonw_arr_end(w);
    ash_jsonw_str(w, "product_name", bdev->product_name);
    ash_jsonw_u64(w, "block_size", bdev->block_bytes);
    ash_jsonw_u64(w, "num_blocks", bdev->size_bytes / bdev->block_bytes);
    ash_jsonw_u64(w, "preferred_write_alignment", bdev->prefer_write_align);
    ash_jsonw_u64(w, "preferred_write_granularity", bdev->prefer_write_gran);
    ash_jsonw_u64(w, "optimal_write_size", bdev->optimal_write_size);
    ash_jsonw_u64(w, "preferred_unmap_alignment", bdev->prefer_unmap_align);
    ash_jsonw_u64(w, "preferred_unmap_granularity", bdev->prefer_unmap_gran);
    ash_jsonw_str(w, "uuid", ash_uuid_format(&bdev->uuid, uuid));
    if (bdev->module && strcmp(bdev->module->name, "malloc") == 0)
        ash_jsonw_i64(w, "numa_id", -1); /* clients expect it of this module alone */
    dump_limits(bdev, w);
    enum bdev_claim claim = bdev_claimed(bdev, NULL);
    ash_jsonw_bool(w, "claimed", claim != BDEV_CLAIM_NONE);
    if (claim != BDEV_CLAIM_NONE)
        ash_jsonw_str(w, "claim_type", claim_name(claim));
    ash_jsonw_bool(w, "zoned", false);
    dump_types(bdev, w);
    ash_jsonw_obj(w, "driver_specific");
    if (bdev->ops->dump)
        bdev->ops->dump(bdev, w);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}
