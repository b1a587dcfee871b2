/* SPDX-License-Identifier: Apache-2.0 */
/* The layouts of format.h against the test vectors of docs/spec/blobstore-format.md 16. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/crc32c.h"
#include "mkdisk.h"

static void super_crcs(void **state)
{
    struct mkdisk d;

    mkdisk_init_geometry(&d, 64, 1 << 20, 4096, true);
    assert_int_equal(ash_le32_get(mkdisk_super(&d)->crc), 0x2e636cab);
    mkdisk_set_clean(&d, false);
    assert_int_equal(ash_le32_get(mkdisk_super(&d)->crc), 0x5655f119);
    mkdisk_super(&d)->md_page_bytes = ash_le32(16384);
    mkdisk_set_clean(&d, true);
    assert_int_equal(ash_le32_get(mkdisk_super(&d)->crc), 0xb397708e);
    mkdisk_set_clean(&d, false);
    assert_int_equal(ash_le32_get(mkdisk_super(&d)->crc), 0xcba1ed3c);
    mkdisk_fini(&d);
}

static void page_crcs(void **state)
{
    static const uint32_t crcs[] = {0x2cc30b83, 0x6040f37b, 0x3da0a5c0, 0xb43b4ee0,
                                    0x8709b73b, 0x3186c2db, 0xce0dda60, 0x6b8d5d49};
    struct mkdisk d;

    mkdisk_init(&d, true);
    for (uint32_t i = 0; i < ASH_N_ELEMS(crcs); i++) {
        const struct lvs_page_disk *page = mkdisk_page(&d, i);
        assert_int_equal(ash_le32_get(page->crc), crcs[i]);
        assert_int_equal(ash_crc32c(page, LVS_CRC_BYTES), crcs[i]);
    }
    assert_int_equal(mkdisk_mask(&d, LVS_MASK_PAGES)->bits[0], 0xff);
    assert_int_equal(mkdisk_mask(&d, LVS_MASK_CLUSTERS)->bits[0], 0xff);
    assert_int_equal(mkdisk_mask(&d, LVS_MASK_CLUSTERS)->bits[1], 0x05);
    assert_int_equal(mkdisk_mask(&d, LVS_MASK_BLOBIDS)->bits[0], 0xab);
    mkdisk_fini(&d);
}

/* Bytes that a descriptor of this type takes in page idx, from its place in the page. */
static uint32_t desc_bytes(struct mkdisk *d, uint32_t idx, uint8_t type, unsigned nth)
{
    const struct lvs_page_disk *page = mkdisk_page(d, idx);
    uint32_t pos = 0;

    for (;;) {
        struct lvs_desc_disk desc;
        memcpy(&desc, page->descs + pos, sizeof(desc));
        uint32_t n = (uint32_t)sizeof(desc) + ash_le32_get(desc.n_bytes);
        assert_int_not_equal(desc.type, 0);
        if (desc.type == type && nth-- == 0)
            return n;
        pos += n;
    }
}

static void fixed_layouts(void **state)
{
    struct mkdisk d;

    mkdisk_init(&d, false);
    assert_int_equal(desc_bytes(&d, 0, LVS_DESC_FLAGS, 0), sizeof(struct lvs_flags_disk));
    assert_int_equal(desc_bytes(&d, 0, LVS_DESC_FLAGS, 0), 29);
    assert_int_equal(desc_bytes(&d, 0, LVS_DESC_XATTR, 0), 50);
    assert_int_equal(desc_bytes(&d, 0, LVS_DESC_EXTENT_TABLE, 0), sizeof(struct lvs_table_disk));
    assert_int_equal(desc_bytes(&d, 1, LVS_DESC_XATTR, 0), 77);
    assert_int_equal(desc_bytes(&d, 3, LVS_DESC_XATTR_INTERNAL, 0), 21);
    struct mkpage p = mkpage_begin(&d, 20, lvs_blob_id(20), 0);
    mkpage_id_xattr(&p, LVS_XATTR_SNAPTMP, 1);
    assert_int_equal(p.pos, 24);
    mkpage_id_xattr(&p, LVS_XATTR_SNAPRM, 1);
    assert_int_equal(p.pos, 24 + 23);
    mkdisk_fini(&d);
}

static void helpers(void **state)
{
    assert_int_equal(lvs_blob_id(7), 0x100000007);
    assert_int_equal(lvs_id_page(0x100000007), 7);
    assert_true(lvs_id_is_valid(0x100000000));
    assert_false(lvs_id_is_valid(7));
    assert_false(lvs_id_is_valid(LVS_NO_BLOB));
    assert_false(lvs_id_is_valid(0x1ffffffff));
    assert_int_equal(lvs_mask_pages(64, 4096), 1);
    assert_int_equal(lvs_mask_pages((4096 - 5) * 8, 4096), 1);
    assert_int_equal(lvs_mask_pages((4096 - 5) * 8 + 1, 4096), 2);
    assert_int_equal(lvs_md_clusters(4, 64, 1 << 20, 4096), 1);
    assert_int_equal(lvs_md_clusters(4, 64, 1 << 20, 16384), 2);
    assert_int_equal(lvs_n_windows(0), 0);
    assert_int_equal(lvs_n_windows(512), 1);
    assert_int_equal(lvs_n_windows(513), 2);
    assert_int_equal(lvs_window_clusters(600, 0), 512);
    assert_int_equal(lvs_window_clusters(600, 1), 88);
    assert_int_equal(lvs_window_clusters(600, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(super_crcs),
        cmocka_unit_test(page_crcs),
        cmocka_unit_test(fixed_layouts),
        cmocka_unit_test(helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
