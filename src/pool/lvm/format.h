/* SPDX-License-Identifier: Apache-2.0 */
/* The disk format of a physical volume: structures and constants, nothing else
 * (docs/spec/lvm2-format.md; section numbers below are of that text).
 *
 * A PV
 *
 *   sector 0        not LVM's
 *   sector 1        label: header, PV header, extension (sectors 0..3 are looked at)
 *   4096            metadata area 0: a header sector, then a ring of texts
 *   pe_start        the data, extent by extent
 *   end             a second metadata area, perhaps
 *
 * THE RING
 *
 * Each version of the VG's text is written behind the one before it, from a sector boundary on,
 * around the end to byte 512. What counts is what slot 0 of the header says: one aligned sector
 * write replaces it, and that write is the commit. A text may be at most so long that it can never
 * touch the one that is committed.
 *
 * Everything is little-endian; a sector is 512 bytes whatever the device says; a *location* is an
 * offset from the begin of its area, and its length and checksum include a NUL after the text. */
#ifndef ASH_POOL_LVM_FORMAT_H
#define ASH_POOL_LVM_FORMAT_H

#include "base/compiler.h"
#include "base/endian.h"

#define LVM_SECTOR_BYTES  512u
#define LVM_SCAN_SECTORS  4u /* where a label may be (3) */
#define LVM_SCAN_BYTES    2048u
#define LVM_LABEL_SECTOR  1u /* where it is written */
#define LVM_ID_CHARS      32u
#define LVM_LABEL_ID      "LABELONE"
#define LVM_LABEL_TYPE    "LVM2 001"
#define LVM_LABEL_PV      32u /* offset of the PV header in the label's sector */
#define LVM_MDA_MAGIC     " LVM2 x[5A%r0N*>"
#define LVM_MDA_VERSION   1u
#define LVM_MDA_BYTES_MIN 32768u
#define LVM_CRC_INIT      0xF597A6CFu
#define LVM_MDA_START     4096u      /* of the first area */
#define LVM_MDA_ZEROED    4096u      /* begin of a new area that is zeroed (4.1 step 5) */
#define LVM_MDA_MAX       2u         /* areas of one PV */
#define LVM_PV_BYTES_MIN  (2u << 20) /* 4.3 */

struct lvm_label_disk {
    uint8_t id[8];
    struct le64 sector; /* its own number */
    struct le32 crc;    /* of the sector from `offset` on */
    struct le32 offset; /* of the PV header */
    uint8_t type[8];
};
_Static_assert(sizeof(struct lvm_label_disk) == 32, "layout");
#define LVM_LABEL_CRC_FROM 20u

struct lvm_area_disk { /* bytes; a list ends with offset 0 */
    struct le64 offset, size;
};
_Static_assert(sizeof(struct lvm_area_disk) == 16, "layout");

struct lvm_pv_header_disk {
    uint8_t uuid[LVM_ID_CHARS]; /* without dashes */
    struct le64 device_bytes;
    struct lvm_area_disk areas[]; /* data areas, end, metadata areas, end; then the extension */
};
_Static_assert(sizeof(struct lvm_pv_header_disk) == 40, "layout");

struct lvm_pv_ext_disk {
    struct le32 version; /* 0: there is none */
    struct le32 flags;
    struct lvm_area_disk areas[]; /* bootloader areas, end */
};
_Static_assert(sizeof(struct lvm_pv_ext_disk) == 8, "layout");
#define LVM_PV_EXT_VERSION 2u
#define LVM_PV_EXT_USED    1u /* the PV is in some VG */

struct lvm_location_disk {
    struct le64 offset, size;
    struct le32 crc;
    struct le32 flags; /* of slot 0: */
};
#define LVM_LOCATION_IGNORED 1u /* this area is not used */
_Static_assert(sizeof(struct lvm_location_disk) == 24, "layout");

struct lvm_mda_disk {
    struct le32 crc; /* of everything behind it */
    uint8_t magic[16];
    struct le32 version;
    struct le64 start;                 /* of this header on the device, bytes */
    struct le64 size;                  /* of the area, header included */
    struct lvm_location_disk slots[2]; /* committed, precommitted */
    uint8_t zero[424];
};
_Static_assert(sizeof(struct lvm_mda_disk) == LVM_SECTOR_BYTES, "layout");

#endif
