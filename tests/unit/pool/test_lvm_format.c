/* SPDX-License-Identifier: Apache-2.0 */
/* The pure core of pool/lvm: check values of the spec, the ring's arithmetic, and what bad labels,
 * area headers and texts are answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pool/lvm/vg.h"

/* ---------------------------------------------------------------- checksum */

static void crc_values(void **state)
{
    static const uint8_t zero[508];
    (void)state;
    assert_int_equal(lvm_crc(LVM_CRC_INIT, "", 0), 0xf597a6cf);
    assert_int_equal(lvm_crc(LVM_CRC_INIT, "123456789", 9), 0x4991cf02);
    assert_int_equal(lvm_crc(LVM_CRC_INIT, zero, 4), 0x000cc5cc);
    assert_int_equal(lvm_crc(LVM_CRC_INIT, zero, 508), 0x6702d122);
    assert_int_equal(lvm_crc(lvm_crc(LVM_CRC_INIT, "1234", 4), "56789", 5), 0x4991cf02);
}

static void empty_area_header(void **state)
{
    struct lvm_mda_header h = {.start = 4096, .size = 1044480};
    uint8_t s[LVM_SECTOR_BYTES];
    (void)state;
    lvm_mda_build(&h, s);
    assert_memory_equal(s, "\x16\xd6\x8e\xdb", 4); /* 5: db8ed616 */
}

static void ids(void **state)
{
    struct lvm_id id;
    char text[LVM_ID_TEXT_BYTES];
    (void)state;
    assert_true(lvm_id_parse("JI5L9E-vnd1-gvdP-EEaj-WzyT-MSlx-FmYtke", &id));
    assert_string_equal(id.c, "JI5L9Evnd1gvdPEEajWzyTMSlxFmYtke");
    assert_string_equal(lvm_id_format(&id, text), "JI5L9E-vnd1-gvdP-EEaj-WzyT-MSlx-FmYtke");
    assert_false(lvm_id_parse("JI5L9E-vnd1-gvdP-EEaj-WzyT-MSlx-FmYtk", &id));
    assert_false(lvm_id_parse("JI5L9E-vnd1-gvdP-EEaj-WzyT-MSlx-FmYtkeX", &id));
    assert_false(lvm_id_parse("JI5L9E-vnd1-gvdP-EEaj-WzyT-MSlx-FmYt e", &id));
}

/* -------------------------------------------------------------------- ring */

static void ring_places(void **state)
{
    static const struct {
        uint64_t mda, old_offset, old_size, n, want; /* want 0: full */
    } cases[] = {
        {1044480, 0, 0, 1000, 512},
        {1044480, 512, 100, 1000, 1024},
        {1044480, 512, 512, 1000, 1024},
        {1044480, 512, 513, 1000, 1536},
        {61440, 59904, 1559, 1559, 1024},  /* the old one wraps: behind its wrapped part */
        {61440, 58368, 1536, 1559, 59904}, /* the new one wraps */
        {61440, 60416, 1024, 1559, 512},   /* the old one ends with the area */
        {61440, 60416, 600, 1559, 512},    /* less than a sector is left */
        {32768, 0, 0, 15616, 512},         /* the longest: (32768-512)/2-512 */
        {32768, 0, 0, 15617, 0},
        {32768, 512, 15616, 15616, 16384},
        {32768, 16384, 15616, 15616, 32256}, /* wraps just up to the old one */
        {1024, 0, 0, 1, 0},
    };
    (void)state;
    assert_int_equal(lvm_ring_text_max(1044480), 521472);
    assert_int_equal(lvm_ring_free(1044480, 1800), 519168); /* golden linear-tags */
    assert_int_equal(lvm_ring_free(1044480, 0), 521216 + 256 - 256);
    for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
        struct lvm_location old = {cases[i].old_offset, cases[i].old_size, 0, 0};
        struct ash_err err = {0};
        uint64_t at = 0;
        int rc = lvm_ring_next(&old, cases[i].mda, cases[i].n, "d", &at, &err);
        if (at != cases[i].want || (rc != 0) != (cases[i].want == 0))
            fail_msg("case %zu: %llu, rc %d", i, (unsigned long long)at, rc);
        if (rc)
            assert_int_equal(err.reason, ASH_E_LVM_MDA_FULL);
    }
}

/* Whatever lengths follow each other, a new text never touches the one that is committed. */
static void ring_never_overlaps(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 200; round++) {
        uint64_t mda = 8192u + 512u * (unsigned)(rand() % 100);
        struct lvm_location old = {0, 0, 0, 0};
        for (int i = 0; i < 200; i++) {
            uint64_t n = 1 + (uint64_t)rand() % lvm_ring_text_max(mda), at;
            assert_int_equal(lvm_ring_next(&old, mda, n, "d", &at, NULL), 0);
            assert_true(at >= 512 && at % 512 == 0 && at < mda);
            uint8_t *used = calloc(1, mda);
            for (uint64_t k = 0; k < old.size; k++)
                used[old.offset + k < mda ? old.offset + k : old.offset + k - mda + 512] = 1;
            for (uint64_t k = 0; k < ash_align_up(n, 512); k++)
                assert_int_equal(used[at + k < mda ? at + k : at + k - mda + 512], 0);
            free(used);
            old = (struct lvm_location){at, n, 0, 0};
        }
    }
}

/* ------------------------------------------------------------------ labels */

static struct lvm_label a_label(void)
{
    struct lvm_label l = {.sector = 1,
                          .device_bytes = 16 << 20,
                          .data_offset = 1 << 20,
                          .mdas = {{4096, 1044480}},
                          .n_mdas = 1,
                          .ext_version = 2,
                          .ext_flags = 1};
    memcpy(l.pv_id.c, "JI5L9Evnd1gvdPEEajWzyTMSlxFmYtke", 33);
    return l;
}

static void seal_label(uint8_t *sector)
{
    struct lvm_label_disk d;
    memcpy(&d, sector, sizeof(d));
    d.crc = ash_le32(lvm_crc(LVM_CRC_INIT, sector + 20, 492));
    memcpy(sector, &d, sizeof(d));
}

enum how {
    NOTHING,
    BLANK,
    SECTOR,
    CRC,
    TYPE,
    OFFSET_LOW,
    OFFSET_HIGH,
    UUID,
    NO_END,
    NO_MDA_END,
    THREE_MDAS,
    MDA_OUTSIDE,
    MDA_SHORT,
    MDA_HUGE,
    BOOT_NO_END,
    SECOND_GOOD,
    OLD_EXT
};

static void spoil_label(uint8_t *head, enum how how)
{
    uint8_t *s = head + 512;
    struct lvm_label l = a_label();
    switch (how) {
    case BLANK:
        memset(head, 0, 2048);
        return;
    case SECTOR:
        s[8] = 2;
        break;
    case CRC:
        s[300] ^= 1;
        return;
    case TYPE:
        s[30] = '2';
        break;
    case OFFSET_LOW:
        s[20] = 16;
        break;
    case OFFSET_HIGH:
        s[20] = 0xd9;
        s[21] = 1;
        break; /* 473 */
    case UUID:
        s[40] = ' ';
        break;
    case NO_END:
        for (int i = 72; i < 512; i++)
            s[i] = 1;
        break;
    case NO_MDA_END:
        for (int i = 104; i < 512; i++)
            s[i] = 1;
        break;
    case THREE_MDAS:
        s[120] = s[136] = 1;
        memset(s + 152, 0, 100);
        break;
    case MDA_OUTSIDE:
        l.mdas[0].offset = 16 << 20;
        lvm_label_build(&l, s);
        return;
    case MDA_SHORT:
        l.mdas[0].size = 256;
        lvm_label_build(&l, s);
        return;
    case MDA_HUGE:
        l.mdas[0].size = UINT64_MAX;
        lvm_label_build(&l, s);
        return;
    case BOOT_NO_END:
        for (int i = 144; i < 512; i++)
            s[i] = 1;
        break;
    case SECOND_GOOD:
        l.sector = 3;
        lvm_label_build(&l, head + 1536);
        s[300] ^= 1;
        return;
    case OLD_EXT:
        s[136] = 0;
        break;
    default:
        return;
    }
    seal_label(s);
}

static void bad_labels(void **state)
{
    static const struct {
        enum how how;
        enum ash_reason want;
    } cases[] = {
        {NOTHING, ASH_OK},
        {BLANK, ASH_E_LVM_NO_LABEL},
        {SECTOR, ASH_E_LVM_LABEL_SECTOR},
        {CRC, ASH_E_LVM_LABEL_CRC},
        {TYPE, ASH_E_LVM_LABEL_TYPE},
        {OFFSET_LOW, ASH_E_LVM_LABEL_OFFSET},
        {OFFSET_HIGH, ASH_E_LVM_LABEL_OFFSET},
        {UUID, ASH_E_LVM_PV_UUID},
        {NO_END, ASH_E_LVM_PV_AREAS},
        {NO_MDA_END, ASH_E_LVM_PV_AREAS},
        {THREE_MDAS, ASH_E_LVM_PV_AREAS},
        {MDA_OUTSIDE, ASH_E_LVM_PV_AREAS},
        {MDA_SHORT, ASH_E_LVM_PV_AREAS},
        {MDA_HUGE, ASH_E_LVM_PV_AREAS},
        {BOOT_NO_END, ASH_E_LVM_PV_AREAS},
        {SECOND_GOOD, ASH_OK},
        {OLD_EXT, ASH_OK},
    };
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
        uint8_t head[2048] = {0};
        struct lvm_label l = a_label(), got = {0};
        struct ash_err err = {0};
        lvm_label_build(&l, head + 512);
        spoil_label(head, cases[i].how);
        int rc = lvm_label_parse(head, sizeof(head), 16 << 20, "d", &got, &err);
        if (err.reason != cases[i].want || (rc == 0) != (cases[i].want == ASH_OK))
            fail_msg("label case %zu: %s (%s)", i, ash_reason_name(err.reason), err.text);
        if (rc == 0)
            assert_string_equal(got.pv_id.c, l.pv_id.c);
    }
}

static void bad_area_headers(void **state)
{
    static const struct {
        int offset;
        uint8_t value;
        bool sealed;
        enum ash_reason want;
    } cases[] = {
        {4, ' ', true, ASH_OK},
        {100, 1, false, ASH_E_LVM_MDA_CRC},
        {4, 'x', true, ASH_E_LVM_MDA_MAGIC},
        {20, 2, true, ASH_E_LVM_MDA_VERSION},
        {24, 1, true, ASH_E_LVM_MDA_START},
        {39, 1, true, ASH_E_LVM_MDA_SIZE}, /* enormous */
        {32, 1, true, ASH_E_LVM_MDA_SIZE}, /* no whole sectors */
        {34, 0, true, ASH_OK},             /* smaller than the label says */
    };
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
        struct lvm_mda_header h = {.start = 4096, .size = 1044480}, got;
        uint8_t s[LVM_SECTOR_BYTES];
        struct ash_err err = {0};
        lvm_mda_build(&h, s);
        s[cases[i].offset] = cases[i].value;
        if (cases[i].sealed) {
            struct le32 crc = ash_le32(lvm_crc(LVM_CRC_INIT, s + 4, 508));
            memcpy(s, &crc, 4);
        }
        int rc = lvm_mda_parse(s, 4096, 1044480, "d", &got, &err);
        if (err.reason != cases[i].want || (rc == 0) != (cases[i].want == ASH_OK))
            fail_msg("header case %zu: %s (%s)", i, ash_reason_name(err.reason), err.text);
    }
}

static void bad_locations(void **state)
{
    static const struct lvm_location bad[] = {
        {0, 100, 0, 0}, {511, 100, 0, 0},         {32768, 100, 0, 0},
        {512, 0, 0, 0}, {512, 32768 - 511, 0, 0}, {UINT64_MAX, UINT64_MAX, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        struct ash_err err = {0};
        assert_int_not_equal(lvm_location_check(&bad[i], 32768, "d", &err), 0);
        assert_int_equal(err.reason, ASH_E_LVM_MDA_LOCATION);
    }
    struct lvm_location good = {32256, 32768 - 512, 0, 0};
    assert_int_equal(lvm_location_check(&good, 32768, "d", NULL), 0);
}

/* ------------------------------------------------------------------- texts */

#define HEAD "contents = \"Text Format Volume Group\"\nversion = 1\n"
#define ID(c)                                                                                      \
    "id = \"" c c c c c c "-" c c c c "-" c c c c "-" c c c c "-" c c c c "-" c c c c              \
    "-" c c c c c c "\"\n"
#define VG_KEYS                                                                                    \
    ID("v") "seqno=1 status=[\"READ\",\"WRITE\",\"RESIZEABLE\"] extent_size=8 max_lv=0 max_pv=0\n"
#define PV(n, c)                                                                                   \
    "pv" n " {" ID(c) "status=[\"ALLOCATABLE\"] dev_size=4096 pe_start=2048 pe_count=10}\n"
#define PVS        "physical_volumes {" PV("0", "p") PV("1", "q") "}\n"
#define LV_KEYS(c) ID(c) "status=[\"READ\",\"WRITE\",\"VISIBLE\"] "
#define SEG(n, start, len, rest)                                                                   \
    "segment" n "{start_extent=" start " extent_count=" len " " rest "}\n"
#define LINEAR(pv, pe) "type=\"striped\" stripe_count=1 stripes=[\"" pv "\"," pe "]"
#define LVS(x)         "logical_volumes {" x "}\n"
#define VG(x)          HEAD "v {" VG_KEYS PVS x "}"
#define LV1(seg)       VG(LVS("a {" LV_KEYS("a") "segment_count=1 " seg "}"))

static void texts(void **state)
{
    static const struct {
        const char *text;
        enum ash_reason want;
    } cases[] = {
        /* fine */
        {VG(""), ASH_OK},
        {LV1(SEG("1", "0", "10", LINEAR("pv0", "0"))), ASH_OK},
        {"v {" VG_KEYS PVS "}\n" HEAD, ASH_OK}, /* the header last */
        {VG("unknown_key = 5 unknown_section { a = [] }"), ASH_OK},
        {VG("flags=[\"FROM_THE_FUTURE\"]"), ASH_OK},
        {LV1(SEG("1", "0", "2", "type=\"linear\" stripes=[\"pv0\",0]")), ASH_OK},
        {LV1(SEG("1", "0", "2", "type=\"future\" what=ever")), ASH_OK},
        {LV1(SEG("1", "0", "2", "type=\"striped+FUTURE\"")), ASH_OK},
        {LV1(SEG("1", "0", "2", "type=\"zero\"")), ASH_OK},
        {VG("allocation_policy='cling' tags='single'"), ASH_OK},
        {HEAD "v {" VG_KEYS PVS LVS("a{" LV_KEYS("a") "segment_count=2 " SEG(
             "2", "5", "5", LINEAR("pv1", "0")) SEG("1", "0", "5", LINEAR("pv0", "0")) "}") "}",
         ASH_OK}, /* segments in another order */
        /* grammar */
        {"", ASH_E_LVM_TEXT_CONTENTS},
        {HEAD, ASH_E_LVM_TEXT_CONTENTS},
        {"contents = \"Text Format Volume Group\" v {" VG_KEYS PVS "}", ASH_E_LVM_TEXT_CONTENTS},
        {"contents = \"something\" version = 1 v {" VG_KEYS PVS "}", ASH_E_LVM_TEXT_CONTENTS},
        {"contents = \"Text Format Volume Group\" version = 2 v {}", ASH_E_LVM_TEXT_CONTENTS},
        {"v {", ASH_E_LVM_TEXT_SYNTAX},
        {"}", ASH_E_LVM_TEXT_SYNTAX},
        {"a", ASH_E_LVM_TEXT_SYNTAX},
        {"a =", ASH_E_LVM_TEXT_SYNTAX},
        {"a = \"no end", ASH_E_LVM_TEXT_SYNTAX},
        {"a = 'no end", ASH_E_LVM_TEXT_SYNTAX},
        {"a = \"escape at the end\\", ASH_E_LVM_TEXT_SYNTAX},
        {"a = [1, 2", ASH_E_LVM_TEXT_SYNTAX},
        {"a = [1, = ]", ASH_E_LVM_TEXT_SYNTAX},
        {"a = 99999999999999999999", ASH_E_LVM_TEXT_SYNTAX},
        {"= 5", ASH_E_LVM_TEXT_SYNTAX},
        {"a { b = { } }", ASH_E_LVM_TEXT_SYNTAX},
        {"a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{a{",
         ASH_E_LVM_TEXT_SYNTAX},
        {"a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a=1",
         ASH_E_LVM_TEXT_SYNTAX},
        /* the VG */
        {HEAD "-v {" VG_KEYS PVS "}", ASH_E_LVM_NAME},
        {HEAD "'v v' {" VG_KEYS PVS "}", ASH_E_LVM_NAME},
        {HEAD ".. {" VG_KEYS PVS "}", ASH_E_LVM_NAME},
        {HEAD "v { seqno=1 }", ASH_E_LVM_TEXT_MISSING},
        {HEAD "v { id=5 }", ASH_E_LVM_TEXT_VALUE},
        {HEAD "v { id=\"too-short\" }", ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" ID("v") "}", ASH_E_LVM_TEXT_MISSING},
        {HEAD "v {" ID("v") "seqno=\"1\"}", ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" ID("v") "seqno=-1}", ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" ID("v") "seqno=4294967296}", ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" ID("v") "seqno=1}", ASH_E_LVM_TEXT_MISSING},
        {HEAD "v {" ID("v") "seqno=1 status=[\"DANCING\"]}", ASH_E_LVM_TEXT_STATUS},
        {HEAD "v {" ID("v") "seqno=1 status=[5]}", ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" ID("v") "seqno=1 status {}}", ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" ID("v") "seqno=1 status=[] extent_size=0 max_lv=0 max_pv=0}",
         ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" ID("v") "seqno=1 status=[] extent_size=8 max_pv=0}", ASH_E_LVM_TEXT_MISSING},
        {HEAD "v {" VG_KEYS "}", ASH_E_LVM_TEXT_MISSING},
        {HEAD "v {" VG_KEYS "physical_volumes=5}", ASH_E_LVM_TEXT_MISSING},
        {VG("allocation_policy=\"wild\""), ASH_E_LVM_TEXT_VALUE},
        {VG("system_id=5"), ASH_E_LVM_TEXT_VALUE},
        {VG("tags=[1,2]"), ASH_E_LVM_TEXT_VALUE},
        /* PVs */
        {HEAD "v {" VG_KEYS "physical_volumes {pv0 {status=[]}}}", ASH_E_LVM_TEXT_MISSING},
        {HEAD "v {" VG_KEYS "physical_volumes {pv0 {" ID("p") "}}}", ASH_E_LVM_TEXT_MISSING},
        {HEAD "v {" VG_KEYS "physical_volumes {pv0 {" ID("p") "status=[] pe_start=1}}}",
         ASH_E_LVM_TEXT_MISSING},
        {HEAD "v {" VG_KEYS "physical_volumes {pv0 {" ID("p") "status=[] pe_start=x pe_count=1}}}",
         ASH_E_LVM_TEXT_VALUE},
        {HEAD "v {" VG_KEYS "physical_volumes {" PV("0", "p") PV("1", "p") "}}",
         ASH_E_LVM_TEXT_VALUE},
        /* LVs */
        {VG(LVS("a {" LV_KEYS("a") "}")), ASH_E_LVM_TEXT_MISSING},
        {VG(LVS("a {status=[]}")), ASH_E_LVM_TEXT_MISSING},
        {VG(LVS("'a b' {" LV_KEYS("a") "segment_count=0}")), ASH_E_LVM_NAME},
        {VG(LVS("a {" LV_KEYS("a") "segment_count=0} a {" LV_KEYS("b") "segment_count=0}")),
         ASH_E_LVM_NAME},
        {VG(LVS("a {" LV_KEYS("a") "read_ahead=\"auto\" segment_count=0}")), ASH_E_LVM_TEXT_VALUE},
        {VG(LVS("a {" LV_KEYS("a") "segment_count=2 " SEG("1", "0", "1", LINEAR("pv0", "0")) "}")),
         ASH_E_LVM_SEGMENTS},
        /* segments */
        {LV1(SEG("1", "1", "9", LINEAR("pv0", "0"))), ASH_E_LVM_SEGMENTS},
        {LV1(SEG("1", "0", "0", LINEAR("pv0", "0"))), ASH_E_LVM_SEGMENTS},
        {LV1("segment1 { type=\"striped\" }"), ASH_E_LVM_TEXT_MISSING},
        {LV1(SEG("1", "0", "1", "stripes=[]")), ASH_E_LVM_TEXT_MISSING},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripe_count=1")), ASH_E_LVM_TEXT_MISSING},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripe_count=0 stripes=[]")),
         ASH_E_LVM_TEXT_VALUE},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripe_count=129 stripes=[]")),
         ASH_E_LVM_TEXT_VALUE},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripe_count=1 stripes=[]")), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripes=[\"pv0\"]")), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripes=[0,\"pv0\"]")), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripes=[\"pv0\",-1]")), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"striped\" stripes=[\"pv0\",0,\"pv1\",0]")), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", LINEAR("pv7", "0"))), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "11", LINEAR("pv0", "0"))), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", LINEAR("pv0", "10"))), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", LINEAR("pv0", "4294967295"))), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "3",
                 "type=\"striped\" stripe_count=2 stripe_size=8 stripes=[\"pv0\",0,\"pv1\",0]")),
         ASH_E_LVM_SEGMENTS},
        {LV1(SEG("1", "0", "4", "type=\"striped\" stripe_count=2 stripes=[\"pv0\",0,\"pv1\",0]")),
         ASH_E_LVM_SEGMENTS},
        {LV1(SEG("1", "0", "1", LINEAR("a", "0"))), ASH_E_LVM_AREA}, /* itself */
        {VG(LVS("a {" LV_KEYS("a") "segment_count=1 " SEG(
             "1", "0", "1", LINEAR("b", "0")) "}"
                                              "b {" LV_KEYS("b") "segment_count=1 " SEG(
                                                  "1", "0", "1", LINEAR("a", "0")) "}")),
         ASH_E_LVM_AREA},
        {VG(LVS("a {" LV_KEYS("a") "segment_count=1 " SEG(
             "1", "0", "5", LINEAR("pv0", "0")) "}"
                                                "b {" LV_KEYS("b") "segment_count=1 " SEG(
                                                    "1", "0", "5", LINEAR("pv0", "4")) "}")),
         ASH_E_LVM_PE_TWICE},
        {LV1(SEG("1", "0", "1", "type=\"raid1\" device_count=2 raids=[\"a\"]")), ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"raid1\" device_count=1 raids=[\"x_rmeta_0\",\"a\"]")),
         ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"snapshot\" chunk_size=8 origin=\"nobody\"")),
         ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"thin\" thin_pool=\"a\" transaction_id=0 device_id=1")),
         ASH_E_LVM_AREA},
        {LV1(SEG("1", "0", "1", "type=\"thin\" transaction_id=0 device_id=1")),
         ASH_E_LVM_TEXT_MISSING},
        {LV1(SEG("1", "0", "1",
                 "type=\"mirror\" mirror_count=1 mirrors=[\"pv0\",0] region_size=x")),
         ASH_E_LVM_TEXT_VALUE},
    };
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
        struct ash_err err = {0};
        struct lvm_vg *vg = NULL;
        int rc = lvm_vg_parse(cases[i].text, strlen(cases[i].text), "t", &vg, &err);
        if (err.reason != cases[i].want || (rc == 0) != (cases[i].want == ASH_OK))
            fail_msg("text case %zu: %s (%s)\n%s", i, ash_reason_name(err.reason), err.text,
                     cases[i].text);
        lvm_vg_free(vg);
    }
}

/* What we do not know is written back as it was; what lvm2 writes of it was tried out with it. */
static void unknown_survives(void **state)
{
    static const char text[] = VG("flags=[\"FROM_THE_FUTURE\",\"NOAUTOACTIVATE\"]" LVS(
        "l1 {" LV_KEYS("a") "segment_count=1 " SEG(
            "1", "0", "2",
            "type = \"fancy+WOW\" foo = \"b\\\"ar\" baz=[1, 2,\"x\"] empty=[] "
            "sub { a=1 b { c = 2 } }") "}"));
    static const char want[] = "\t\t\t\ttype = \"fancy+WOW\"\n\t\t\t\tfoo=\"b\\\"ar\"\n"
                               "\t\t\t\tbaz=[1,2,\"x\"]\n\t\t\t\tempty=[]\n\t\t\t\tsub {\n"
                               "\t\t\t\t\ta=1\n\t\t\t\t\tb {\n\t\t\t\t\t\tc=2\n\t\t\t\t\t}\n"
                               "\t\t\t\t}\n\t\t\t}\n";
    struct lvm_origin o = {"v", "h", "u", NULL, 0, "d"};
    struct ash_buf out = {0};
    struct lvm_vg *vg;
    (void)state;
    assert_int_equal(lvm_vg_parse(text, strlen(text), "t", &vg, NULL), 0);
    assert_true(vg->has_unknown_types);
    assert_int_equal(lvm_vg_text(vg, &o, LVM_IN_FILE, &out), 0);
    assert_non_null(strstr(ash_buf_text(&out), want));
    assert_non_null(
        strstr(ash_buf_text(&out), "\tflags = [\"NOAUTOACTIVATE\", \"FROM_THE_FUTURE\"]"));
    ash_buf_free(&out);
    lvm_vg_free(vg);
}

/* 12: a VG with an owner shows WRITE as WRITE_LOCKED, and reads it back as WRITE. */
static void write_locked(void **state)
{
    static const char text[] = VG("system_id=\"host\"" LVS(
        "a {" LV_KEYS("a") "segment_count=1 " SEG("1", "0", "2", "type=\"zero\"") "}"));
    struct lvm_origin o = {"v", "h", "u", NULL, 0, "d"};
    struct ash_buf out = {0};
    struct lvm_vg *vg, *again;
    (void)state;
    assert_int_equal(lvm_vg_parse(text, strlen(text), "t", &vg, NULL), 0);
    assert_int_equal(lvm_vg_text(vg, &o, LVM_ON_DISK, &out), 0);
    assert_non_null(strstr(ash_buf_text(&out),
                           "status = [\"RESIZEABLE\", \"READ\"]\nflags = [\"WRITE_LOCKED\"]"));
    assert_non_null(
        strstr(ash_buf_text(&out), "status = [\"READ\", \"VISIBLE\"]\nflags = [\"WRITE_LOCKED\"]"));
    assert_int_equal(lvm_vg_parse(out.data, out.n_bytes, "t", &again, NULL), 0);
    assert_true(again->flags & LVM_WRITE);
    assert_true(lvm_lv_find(again, "a")->flags & LVM_WRITE);
    ash_buf_free(&out);
    lvm_vg_free(again);
    lvm_vg_free(vg);
}

static void names(void **state)
{
    static const char *const reserved[] = {"snapshot1", "pvmove", "x_tdata", "a_rimage_0",
                                           "_pmspare"};
    (void)state;
    for (size_t i = 0; i < ASH_N_ELEMS(reserved); i++)
        assert_non_null(lvm_name_reserved(reserved[i]));
    assert_null(lvm_name_reserved("mysnapshot"));
    assert_null(lvm_name_reserved("tdata"));
    assert_true(lvm_tag_valid("rack=7:a/b!&#"));
    assert_false(lvm_tag_valid("@x"));
    assert_false(lvm_tag_valid(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_values),
        cmocka_unit_test(empty_area_header),
        cmocka_unit_test(ids),
        cmocka_unit_test(ring_places),
        cmocka_unit_test(ring_never_overlaps),
        cmocka_unit_test(bad_labels),
        cmocka_unit_test(bad_area_headers),
        cmocka_unit_test(bad_locations),
        cmocka_unit_test(texts),
        cmocka_unit_test(unknown_survives),
        cmocka_unit_test(write_locked),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
