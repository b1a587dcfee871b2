/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, area headers and texts of LVM2. The first byte chooses: 0 a device's first sectors, 1 an
 * area header, else a text. What can be read can be written, and the result reads the same. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvm/vg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Sealed with a good checksum, so that what lies behind it is reached. */
static void label(uint8_t *head)
{
    struct lvm_label l, again;
    for (unsigned n = 0; n < LVM_SCAN_SECTORS; n++) {
        struct lvm_label_disk d;
        uint8_t *s = head + n * LVM_SECTOR_BYTES;
        memcpy(&d, s, sizeof(d));
        d.crc = ash_le32(
            lvm_crc(LVM_CRC_INIT, s + LVM_LABEL_CRC_FROM, LVM_SECTOR_BYTES - LVM_LABEL_CRC_FROM));
        memcpy(s, &d, sizeof(d));
    }
    struct ash_err err = {0};
    int rc = lvm_label_parse(head, LVM_SCAN_BYTES, 64u << 20, "d", &l, &err);
    ASH_ASSERT((rc == 0) == (err.reason == ASH_OK));
    if (rc)
        return;
    uint8_t built[LVM_SCAN_BYTES] = {0};
    lvm_label_build(&l, built + l.sector * LVM_SECTOR_BYTES);
    ASH_ASSERT(lvm_label_parse(built, sizeof(built), 64u << 20, "d", &again, NULL) == 0);
    ASH_ASSERT(lvm_id_equal(&l.pv_id, &again.pv_id) && l.n_mdas == again.n_mdas);
}

static void header(uint8_t *sector)
{
    struct le32 crc = ash_le32(lvm_crc(LVM_CRC_INIT, sector + 4, LVM_SECTOR_BYTES - 4));
    struct lvm_mda_header h;
    uint64_t at;
    memcpy(sector, &crc, sizeof(crc));
    if (lvm_mda_parse(sector, 4096, 1 << 20, "d", &h, NULL))
        return;
    if (lvm_location_check(&h.slots[0], h.size, "d", NULL) == 0 &&
        lvm_ring_next(&h.slots[0], h.size, 1000, "d", &at, NULL) == 0)
        ASH_ASSERT(at >= LVM_SECTOR_BYTES && at < h.size && at % LVM_SECTOR_BYTES == 0);
}

static void text(const char *data, size_t n_bytes)
{
    struct lvm_origin o = {"v", "h", "u", NULL, 0, "d"};
    struct lvm_vg *vg, *again;
    struct ash_err err = {0};
    if (lvm_vg_parse(data, n_bytes, "text", &vg, &err)) {
        ASH_ASSERT(err.reason != ASH_OK && err.text[0]);
        return;
    }
    for (int r = 0; r < 2; r++) {
        struct ash_buf out = {0}, out2 = {0};
        ASH_ASSERT(lvm_vg_text(vg, &o, r ? LVM_IN_FILE : LVM_ON_DISK, &out) == 0);
        ASH_ASSERT(lvm_vg_parse(out.data, out.n_bytes, "own", &again, &err) == 0);
        ASH_ASSERT(lvm_vg_text(again, &o, r ? LVM_IN_FILE : LVM_ON_DISK, &out2) == 0);
        ASH_ASSERT(out.n_bytes == out2.n_bytes && memcmp(out.data, out2.data, out.n_bytes) == 0);
        ash_buf_free(&out);
        ash_buf_free(&out2);
        lvm_vg_free(again);
    }
    lvm_vg_free(vg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    uint8_t head[LVM_SCAN_BYTES] = {0};
    if (n_bytes == 0)
        return 0;
    if (data[0] > 1) {
        text((const char *)data + 1, n_bytes - 1);
        return 0;
    }
    memcpy(head, data + 1, ASH_MIN(n_bytes - 1, sizeof(head)));
    if (data[0] == 0)
        label(head);
    else
        header(head);
    return 0;
}
