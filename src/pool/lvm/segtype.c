/* SPDX-License-Identifier: Apache-2.0 */
/* The segment types with their keys, in the order lvm2 writes them (docs/spec/lvm2-format.md 13).
 * Reader, writer and rename all go by this one table. */
#include "pool/lvm/vg.h"

#include <string.h>

static const struct lvm_key striped_keys[] = {
    {"stripe_count", LVM_K_COUNT},
    {"stripe_size", LVM_K_SIZE, LVM_K_STRIPED},
    {"stripes", LVM_K_AREAS, LVM_K_REQUIRED},
    {NULL},
};
static const struct lvm_key mirror_keys[] = {
    {"mirror_count", LVM_K_COUNT},
    {"extents_moved", LVM_K_U64},
    {"mirror_log", LVM_K_LV, LVM_K_OWNS},
    {"region_size", LVM_K_U64},
    {"mirrors", LVM_K_AREAS, LVM_K_REQUIRED},
    {NULL},
};
static const struct lvm_key raid0_keys[] = {
    {"stripe_count", LVM_K_COUNT},
    {"region_size", LVM_K_U64},
    {"stripe_size", LVM_K_U64},
    {"raid0_lvs", LVM_K_IMAGES, LVM_K_REQUIRED},
    {NULL},
};
static const struct lvm_key raid0_meta_keys[] = {
    {"stripe_count", LVM_K_COUNT},
    {"region_size", LVM_K_U64},
    {"stripe_size", LVM_K_U64},
    {"raids", LVM_K_RAIDS, LVM_K_REQUIRED},
    {NULL},
};
static const struct lvm_key raid_keys[] = {
    {"device_count", LVM_K_COUNT},
    {"data_copies", LVM_K_U64},
    {"region_size", LVM_K_U64},
    {"stripe_size", LVM_K_U64},
    {"writebehind", LVM_K_U64},
    {"min_recovery_rate", LVM_K_U64},
    {"max_recovery_rate", LVM_K_U64},
    {"data_offset", LVM_K_U64},
    {"raids", LVM_K_RAIDS, LVM_K_REQUIRED},
    {NULL},
};
static const struct lvm_key snapshot_keys[] = {
    {"chunk_size", LVM_K_U64, LVM_K_REQUIRED},
    {"origin", LVM_K_LV, LVM_K_REQUIRED | LVM_K_BELOW},
    {"cow_store", LVM_K_LV, LVM_K_BELOW},
    {"merging_store", LVM_K_LV, LVM_K_BELOW},
    {NULL},
};
static const struct lvm_key thin_pool_keys[] = {
    {"metadata", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"pool", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"transaction_id", LVM_K_U64, LVM_K_REQUIRED},
    {"chunk_size", LVM_K_SIZE, LVM_K_REQUIRED},
    {"discards", LVM_K_STR},
    {"zero_new_blocks", LVM_K_U64},
    {"crop_metadata", LVM_K_U64},
    {"message", LVM_K_MSGS},
    {NULL},
};
static const struct lvm_key thin_keys[] = {
    {"thin_pool", LVM_K_LV, LVM_K_REQUIRED | LVM_K_BELOW},
    {"transaction_id", LVM_K_U64, LVM_K_REQUIRED},
    {"device_id", LVM_K_U64, LVM_K_REQUIRED},
    {"external_origin", LVM_K_LV, LVM_K_BELOW},
    {"origin", LVM_K_LV},
    {"merge", LVM_K_LV},
    {NULL},
};
#define CACHE_SETTINGS                                                                             \
    {"metadata_format", LVM_K_U64}, {"chunk_size", LVM_K_U64}, {"cache_mode", LVM_K_STR},          \
        {"policy", LVM_K_STR},                                                                     \
    {                                                                                              \
        "policy_settings", LVM_K_SECT                                                              \
    }
static const struct lvm_key cache_pool_keys[] = {
    {"data", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"metadata", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    CACHE_SETTINGS,
    {NULL},
};
static const struct lvm_key cache_keys[] = {
    {"cache_pool", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"origin", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"cleaner", LVM_K_U64},
    CACHE_SETTINGS,
    {"metadata_start", LVM_K_U64},
    {"metadata_len", LVM_K_U64},
    {"data_start", LVM_K_U64},
    {"data_len", LVM_K_U64},
    {"metadata_id", LVM_K_STR},
    {"data_id", LVM_K_STR},
    {NULL},
};
static const struct lvm_key writecache_keys[] = {
    {"origin", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"writecache", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"writecache_block_size", LVM_K_U64},
    {"high_watermark", LVM_K_U64},
    {"low_watermark", LVM_K_U64},
    {"writeback_jobs", LVM_K_U64},
    {"autocommit_blocks", LVM_K_U64},
    {"autocommit_time", LVM_K_U64},
    {"fua", LVM_K_U64},
    {"nofua", LVM_K_U64},
    {"cleaner", LVM_K_U64},
    {"max_age", LVM_K_U64},
    {"metadata_only", LVM_K_U64},
    {"pause_writeback", LVM_K_U64},
    {"writecache_setting_key", LVM_K_STR},
    {"writecache_setting_val", LVM_K_STR},
    {NULL},
};
static const struct lvm_key vdo_keys[] = {
    {"vdo_pool", LVM_K_LV, LVM_K_REQUIRED | LVM_K_BELOW},
    {"vdo_offset", LVM_K_U64},
    {NULL},
};
static const struct lvm_key vdo_pool_keys[] = {
    {"data", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"header_size", LVM_K_U64},
    {"virtual_extents", LVM_K_U64},
    {"use_compression", LVM_K_U64},
    {"use_deduplication", LVM_K_U64},
    {"use_metadata_hints", LVM_K_U64},
    {"use_sparse_index", LVM_K_U64},
    {"minimum_io_size", LVM_K_U64},
    {"block_map_cache_size_mb", LVM_K_U64},
    {"block_map_era_length", LVM_K_U64},
    {"index_memory_size_mb", LVM_K_U64},
    {"max_discard", LVM_K_U64},
    {"slab_size_mb", LVM_K_U64},
    {"ack_threads", LVM_K_U64},
    {"bio_threads", LVM_K_U64},
    {"bio_rotation", LVM_K_U64},
    {"cpu_threads", LVM_K_U64},
    {"hash_zone_threads", LVM_K_U64},
    {"logical_threads", LVM_K_U64},
    {"physical_threads", LVM_K_U64},
    {"write_policy", LVM_K_STR},
    {NULL},
};
static const struct lvm_key integrity_keys[] = {
    {"origin", LVM_K_LV, LVM_K_REQUIRED | LVM_K_OWNS},
    {"data_sectors", LVM_K_U64},
    {"mode", LVM_K_STR},
    {"tag_size", LVM_K_U64},
    {"block_size", LVM_K_U64},
    {"internal_hash", LVM_K_STR},
    {"meta_dev", LVM_K_LV, LVM_K_OWNS},
    {"recalculate", LVM_K_U64},
    {"journal_sectors", LVM_K_U64},
    {"interleave_sectors", LVM_K_U64},
    {"buffer_sectors", LVM_K_U64},
    {"journal_watermark", LVM_K_U64},
    {"commit_time", LVM_K_U64},
    {"bitmap_flush_interval", LVM_K_U64},
    {"sectors_per_bit", LVM_K_U64},
    {"allow_discards", LVM_K_U64},
    {NULL},
};
static const struct lvm_key no_keys[] = {{NULL}};

#define RAID(name, parity)                                                                         \
    {                                                                                              \
        name, LVM_SEG_RAID, parity, raid_keys                                                      \
    }

const struct lvm_segtype lvm_segtypes[] = {
    {"striped", LVM_SEG_STRIPED, 0, striped_keys},
    {"zero", LVM_SEG_VIRTUAL, 0, no_keys},
    {"error", LVM_SEG_VIRTUAL, 0, no_keys},
    {"snapshot", LVM_SEG_SNAPSHOT, 0, snapshot_keys},
    {"mirror", LVM_SEG_MIRROR, 0, mirror_keys},
    {"raid0", LVM_SEG_RAID, 0, raid0_keys},
    {"raid0_meta", LVM_SEG_RAID, 0, raid0_meta_keys},
    RAID("raid1", 0),
    RAID("raid10", 0),
    RAID("raid10_near", 0),
    RAID("raid4", 1),
    RAID("raid5", 1),
    RAID("raid5_n", 1),
    RAID("raid5_la", 1),
    RAID("raid5_ls", 1),
    RAID("raid5_ra", 1),
    RAID("raid5_rs", 1),
    RAID("raid6", 2),
    RAID("raid6_nc", 2),
    RAID("raid6_nr", 2),
    RAID("raid6_zr", 2),
    RAID("raid6_la_6", 2),
    RAID("raid6_ls_6", 2),
    RAID("raid6_ra_6", 2),
    RAID("raid6_rs_6", 2),
    RAID("raid6_n_6", 2),
    {"thin-pool", LVM_SEG_THIN_POOL, 0, thin_pool_keys},
    {"thin", LVM_SEG_THIN, 0, thin_keys},
    {"cache-pool", LVM_SEG_CACHE_POOL, 0, cache_pool_keys},
    {"cache", LVM_SEG_CACHE, 0, cache_keys},
    {"writecache", LVM_SEG_WRITECACHE, 0, writecache_keys},
    {"vdo", LVM_SEG_VDO, 0, vdo_keys},
    {"vdo-pool", LVM_SEG_VDO_POOL, 0, vdo_pool_keys},
    {"integrity", LVM_SEG_INTEGRITY, 0, integrity_keys},
    {NULL},
};
const struct lvm_segtype lvm_segtype_unknown = {"unknown", LVM_SEG_UNKNOWN, 0, no_keys};

/* Words that may follow a type with '+' (12). */
static const char *const type_flags[] = {
    "RESHAPE",
    "RESHAPE_DATA_OFFSET",
    "RESHAPE_DELTA_DISKS_PLUS",
    "RESHAPE_DELTA_DISKS_MINUS",
    "REMOVE_AFTER_RESHAPE",
    "METADATA_FORMAT",
    "CROP_METADATA",
    "CACHE_USES_CACHEVOL",
};

static bool is_type_flag(const char *text, size_t n)
{
    for (size_t i = 0; i < ASH_N_ELEMS(type_flags); i++)
        if (strlen(type_flags[i]) == n && memcmp(type_flags[i], text, n) == 0)
            return true;
    return false;
}

const struct lvm_segtype *lvm_segtype_find(const char *text)
{
    size_t n = strcspn(text, "+");
    for (const char *at = text + n; *at == '+';) {
        size_t n_flag = strcspn(at + 1, "+");
        if (!is_type_flag(at + 1, n_flag))
            return &lvm_segtype_unknown;
        at += 1 + n_flag;
    }
    if (n == 6 && memcmp(text, "linear", 6) == 0)
        return &lvm_segtypes[0];
    for (const struct lvm_segtype *t = lvm_segtypes; t->name; t++)
        if (strlen(t->name) == n && memcmp(t->name, text, n) == 0)
            return t;
    return &lvm_segtype_unknown;
}

const struct lvm_val *lvm_seg_val(const struct lvm_seg *seg, const char *key)
{
    for (size_t i = 0; seg->type->keys[i].name; i++)
        if (strcmp(seg->type->keys[i].name, key) == 0)
            return seg->vals[i].is_set ? &seg->vals[i] : NULL;
    return NULL;
}

uint64_t lvm_seg_u64(const struct lvm_seg *seg, const char *key, uint64_t dflt)
{
    const struct lvm_val *v = lvm_seg_val(seg, key);
    return v ? v->n : dflt;
}

struct lvm_lv *lvm_seg_lv(const struct lvm_seg *seg, const char *key)
{
    const struct lvm_val *v = lvm_seg_val(seg, key);
    return v ? v->lv : NULL;
}

bool lvm_seg_set_u64(struct lvm_seg *seg, const char *key, uint64_t n)
{
    for (size_t i = 0; seg->type->keys[i].name; i++)
        if (strcmp(seg->type->keys[i].name, key) == 0) {
            seg->vals[i].is_set = true;
            seg->vals[i].n = n;
            return true;
        }
    return false;
}

uint32_t lvm_seg_area_len(const struct lvm_seg *seg)
{
    uint32_t n = seg->n_areas ? seg->n_areas : 1;
    if (seg->type->cls == LVM_SEG_STRIPED)
        return seg->len / n;
    if (seg->type->cls != LVM_SEG_RAID || strcmp(seg->type->name, "raid1") == 0)
        return seg->len;
    if (strncmp(seg->type->name, "raid10", 6) == 0) {
        uint64_t copies = lvm_seg_u64(seg, "data_copies", 2);
        return copies ? (uint32_t)ash_div_up(seg->len * copies, n) : seg->len;
    }
    return (uint32_t)ash_div_up(seg->len, n > seg->type->n_parity ? n - seg->type->n_parity : 1);
}

/* ---------------------------------------------------------- status words */

const struct lvm_word lvm_vg_words[] = {
    {"EXPORTED", LVM_EXPORTED},
    {"RESIZEABLE", LVM_RESIZEABLE},
    {"PVMOVE", LVM_PVMOVE},
    {"READ", LVM_READ},
    {"WRITE", LVM_WRITE},
    {"CLUSTERED", LVM_CLUSTERED},
    {"SHARED", LVM_SHARED},
    {"PARTIAL", LVM_PARTIAL_OLD},
    {"WRITE_LOCKED", LVM_WRITE_LOCKED, true},
    {"NOAUTOACTIVATE", LVM_NOAUTOACTIVATE, true},
    {NULL},
};
const struct lvm_word lvm_pv_words[] = {
    {"ALLOCATABLE", LVM_ALLOCATABLE},
    {"EXPORTED", LVM_EXPORTED},
    {"MISSING", LVM_MISSING, true},
    {NULL},
};
const struct lvm_word lvm_lv_words[] = {
    {"READ", LVM_READ},
    {"WRITE", LVM_WRITE},
    {"FIXED_MINOR", LVM_FIXED_MINOR},
    {"VISIBLE", LVM_VISIBLE},
    {"PVMOVE", LVM_PVMOVE},
    {"LOCKED", LVM_LOCKED},
    {"NOTSYNCED", LVM_NOTSYNCED},
    {"REBUILD", LVM_REBUILD},
    {"WRITEMOSTLY", LVM_WRITEMOSTLY},
    {"WRITE_LOCKED", LVM_WRITE_LOCKED, true},
    {"ACTIVATION_SKIP", LVM_ACTIVATION_SKIP, true},
    {"NOAUTOACTIVATE", LVM_NOAUTOACTIVATE, true},
    {"ERROR_WHEN_FULL", LVM_ERROR_WHEN_FULL, true},
    {"CACHE_VOL", LVM_CACHE_VOL, true},
    {NULL},
};
