/* SPDX-License-Identifier: Apache-2.0 */
/* The lvstore layer in the checker's walk: super blob, names, UUIDs
 * (docs/spec/blobstore-format.md 12, 17 item 13). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/lvs/check_int.h"

size_t ck_name(const struct ck_blob *blob, const char **ret_name)
{
    const struct ck_xattr *x = ck_xattr(blob, false, LVS_XATTR_NAME);

    *ret_name = x ? (const char *)x->value : "";
    return x ? strnlen(*ret_name, x->n_value_bytes) : 0;
}

bool ck_uuid(const struct ck_blob *blob, struct ash_uuid *ret_uuid)
{
    const struct ck_xattr *x = ck_xattr(blob, false, LVS_XATTR_UUID);

    return x && x->n_value_bytes == LVS_UUID_BYTES && x->value[LVS_UUID_BYTES - 1] == '\0' &&
           ash_uuid_parse((const char *)x->value, ret_uuid) == 0;
}

static bool name_fits(const struct ck_blob *blob)
{
    const struct ck_xattr *x = ck_xattr(blob, false, LVS_XATTR_NAME);
    const char *name;

    return ck_name(blob, &name) <= LVS_NAME_MAX && x->n_value_bytes <= LVS_NAME_BYTES;
}

static void check_store(struct ck *ck)
{
    uint64_t id = ash_le64_get(ck->super.super_blob);
    struct ck_blob *blob = ck_blob_by_id(ck, id);
    struct ash_uuid uuid;
    const char *name;

    if (!blob || blob->bad || blob->gone) {
        ck_find(ck, LVS_F_STORE_LOST, blob, lvs_id_is_valid(id) ? lvs_id_page(id) : CK_NONE,
                CK_NONE, "the super block names blob %#llx", (unsigned long long)id);
        return;
    }
    blob->is_super = true;
    ck->super_blob = blob;
    if (!ck_uuid(blob, &uuid))
        ck_find(ck, LVS_F_STORE_UUID, blob, blob->root_idx, CK_NONE, "%s", "");
    if (ck_name(blob, &name) == 0 || !name_fits(blob))
        ck_find(ck, LVS_F_STORE_NAME, blob, blob->root_idx, CK_NONE, "%s", "");
}

static bool is_volume(const struct ck_blob *blob)
{
    return !blob->gone && !blob->bad && !blob->is_super;
}

struct keyed {
    const char *key;
    size_t n_key;
    const struct ck_blob *blob;
};

static int compare_keyed(const void *pa, const void *pb)
{
    const struct keyed *a = pa, *b = pb;
    int c = memcmp(a->key, b->key, ASH_MIN(a->n_key, b->n_key));

    if (c != 0)
        return c;
    if (a->n_key != b->n_key)
        return a->n_key < b->n_key ? -1 : 1;
    return a->blob->root_idx < b->blob->root_idx ? -1 : 1;
}

static void find_duplicates(struct ck *ck, struct keyed *list, size_t n, enum lvs_check_code code)
{
    if (n > 1)
        qsort(list, n, sizeof(*list), compare_keyed);
    for (size_t i = 1; i < n; i++) {
        if (list[i].n_key == list[i - 1].n_key &&
            memcmp(list[i].key, list[i - 1].key, list[i].n_key) == 0)
            ck_find(ck, code, list[i].blob, list[i].blob->root_idx, CK_NONE,
                    "'%.*s' is also of blob %#llx",
                    code == LVS_F_NAME_DUP ? (int)ASH_MIN(list[i].n_key, (size_t)LVS_NAME_MAX) : 0,
                    list[i].key, (unsigned long long)list[i - 1].blob->id);
    }
}

void ck_names(struct ck *ck)
{
    size_t n_names = 0, n_uuids = 0;

    if (!ck->lvstore)
        return;
    check_store(ck);
    ASH_CLEANUP(ash_freep) struct keyed *names = calloc(ck->n_blobs + 1, sizeof(*names));
    ASH_CLEANUP(ash_freep) struct keyed *uuids = calloc(ck->n_blobs + 1, sizeof(*uuids));
    ASH_CLEANUP(ash_freep) struct ash_uuid *keys = calloc(ck->n_blobs + 1, sizeof(*keys));
    if (!names || !uuids || !keys) {
        /* all three: freed by its cleanup attribute. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        ck->rc = -ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < ck->n_blobs; i++) {
        const struct ck_blob *blob = &ck->blobs[i];
        if (!is_volume(blob))
            continue;
        struct keyed *k = &names[n_names];
        k->n_key = ck_name(blob, &k->key);
        k->blob = blob;
        if (k->n_key == 0)
            ck_find(ck, LVS_F_NAME_MISSING, blob, blob->root_idx, CK_NONE, "%s", "");
        else if (!name_fits(blob))
            ck_find(ck, LVS_F_NAME_LONG, blob, blob->root_idx, CK_NONE, "%zu bytes", k->n_key);
        n_names += k->n_key != 0;
        struct keyed *u = &uuids[n_uuids];
        u->blob = blob;
        u->n_key = sizeof(keys->b);
        u->key = (const char *)keys[n_uuids].b;
        if (ck_uuid(blob, &keys[n_uuids]))
            n_uuids++;
        else
            ck_find(ck, LVS_F_UUID_BAD, blob, blob->root_idx, CK_NONE, "%s", "");
    }
    find_duplicates(ck, names, n_names, LVS_F_NAME_DUP);
    /* k: freed by its cleanup attribute. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    find_duplicates(ck, uuids, n_uuids, LVS_F_UUID_DUP);
    /* u: freed by its cleanup attribute. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
}
