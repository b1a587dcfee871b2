/* SPDX-License-Identifier: Apache-2.0 */
/* nvme_pdu: what is a well-formed PDU, and the error that each malformed one earns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/nvme_data.h"
#include "base/nvme_pdu.h"

static const struct nvme_pdu_rules plain = {.max_data_bytes = 1 << 20};
static const struct nvme_pdu_rules first = {.before_ic = true};
static const struct nvme_pdu_rules both = {.hdgst = true, .ddgst = true, .max_data_bytes = 1 << 20};
static const struct nvme_pdu_rules aligned = {.pda = 31, .max_data_bytes = 1 << 20};
static const struct nvme_pdu_rules host = {.to_host = true, .max_data_bytes = 1 << 20};

/* Rows of what is wrong, by docs/spec/nvme-tcp.md 1 and 1.2. */
static const struct {
    const char *what;
    const struct nvme_pdu_rules *rules;
    uint8_t type, flags, hlen, pdo;
    uint32_t plen;
    uint16_t fes;
    uint32_t fei;
} rows[] = {
    {"ICReq", &first, 0, 0, 128, 0, 128, 0, 0},
    {"ICReq twice", &plain, 0, 0, 128, 0, 128, NVME_FES_SEQUENCE, 0},
    {"capsule before ICReq", &first, 4, 0, 72, 0, 72, NVME_FES_SEQUENCE, 0},
    {"ICReq longer than its header", &first, 0, 0, 128, 0, 129, NVME_FES_HEADER_FIELD, 4},
    {"ICReq shorter", &first, 0, 0, 128, 0, 127, NVME_FES_HEADER_FIELD, 4},
    {"ICReq with another HLEN", &first, 0, 0, 120, 0, 128, NVME_FES_HEADER_FIELD, 2},
    {"ICReq with a digest", &first, 0, 1, 128, 0, 128, NVME_FES_HEADER_FIELD, 1},
    {"ICResp from a host", &first, 1, 0, 128, 0, 128, NVME_FES_HEADER_FIELD, 0},
    {"R2T from a host", &plain, 9, 0, 24, 0, 24, NVME_FES_HEADER_FIELD, 0},
    {"unknown type", &plain, 8, 0, 24, 0, 24, NVME_FES_HEADER_FIELD, 0},
    {"unknown type, large", &plain, 255, 0, 24, 0, 24, NVME_FES_HEADER_FIELD, 0},
    {"capsule", &plain, 4, 0, 72, 0, 72, 0, 0},
    {"capsule, PDO without data", &plain, 4, 0, 72, 72, 72, 0, 0},
    {"capsule with data", &plain, 4, 0, 72, 72, 72 + 512, 0, 0},
    {"capsule, HLEN", &plain, 4, 0, 24, 0, 72, NVME_FES_HEADER_FIELD, 2},
    {"capsule, PLEN 0", &plain, 4, 0, 72, 0, 0, NVME_FES_HEADER_FIELD, 4},
    {"capsule, PLEN below HLEN", &plain, 4, 0, 72, 0, 71, NVME_FES_HEADER_FIELD, 4},
    {"capsule, PDO inside the header", &plain, 4, 0, 72, 68, 600, NVME_FES_HEADER_FIELD, 3},
    {"capsule, PDO not of 4", &plain, 4, 0, 72, 73, 600, NVME_FES_HEADER_FIELD, 3},
    {"capsule, PDO beyond 128", &plain, 4, 0, 72, 132, 600, NVME_FES_HEADER_FIELD, 3},
    {"capsule, PDO is PLEN", &plain, 4, 0, 72, 76, 76, NVME_FES_HEADER_FIELD, 4},
    {"capsule, PLEN before PDO", &plain, 4, 0, 72, 128, 73, NVME_FES_HEADER_FIELD, 4},
    {"capsule, too much data", &plain, 4, 0, 72, 72, 72 + (1 << 20) + 1, NVME_FES_LIMIT, 0},
    {"capsule, PLEN of all ones", &plain, 4, 0, 72, 72, UINT32_MAX, NVME_FES_LIMIT, 0},
    {"capsule at CPDA 31", &aligned, 4, 0, 72, 128, 640, 0, 0},
    {"capsule, PDO ignores CPDA", &aligned, 4, 0, 72, 72, 640, NVME_FES_HEADER_FIELD, 3},
    {"digests", &both, 4, 3, 72, 76, 76 + 512 + 4, 0, 0},
    {"digests, no data", &both, 4, 1, 72, 0, 76, 0, 0},
    {"digests, no data, DDGSTF", &both, 4, 3, 72, 0, 76, 0, 0},
    {"no HDGSTF", &both, 4, 2, 72, 76, 76 + 512 + 4, NVME_FES_HEADER_FIELD, 1},
    {"no DDGSTF", &both, 4, 1, 72, 76, 76 + 512 + 4, NVME_FES_HEADER_FIELD, 1},
    {"no room for the header digest", &both, 4, 1, 72, 0, 72, NVME_FES_HEADER_FIELD, 4},
    {"only the data digest", &both, 4, 3, 72, 76, 80, NVME_FES_HEADER_FIELD, 4},
    {"HDGSTF that was not agreed", &plain, 4, 1, 72, 0, 72, NVME_FES_HEADER_FIELD, 1},
    {"DDGSTF that was not agreed", &plain, 4, 2, 72, 72, 80, NVME_FES_HEADER_FIELD, 1},
    {"H2CData", &plain, 6, 4, 24, 24, 24 + 4096, 0, 0},
    {"H2CData without data", &plain, 6, 4, 24, 24, 24, NVME_FES_HEADER_FIELD, 4},
    {"H2CData, HLEN", &plain, 6, 4, 23, 24, 24 + 4096, NVME_FES_HEADER_FIELD, 2},
    {"TermReq", &plain, 2, 0, 24, 0, 24 + 72, 0, 0},
    {"TermReq before ICReq", &first, 2, 0, 24, 0, 25, 0, 0},
    {"TermReq without data", &plain, 2, 0, 24, 0, 24, NVME_FES_HEADER_FIELD, 4},
    {"TermReq, longest", &plain, 2, 0, 24, 0, 152, 0, 0},
    {"TermReq, too long", &plain, 2, 0, 24, 0, 153, NVME_FES_HEADER_FIELD, 4},
    {"C2HTermReq from a host", &plain, 3, 0, 24, 0, 60, NVME_FES_HEADER_FIELD, 0},
    {"to the host: C2HData", &host, 7, 4, 24, 24, 24 + 4096, 0, 0},
    {"to the host: R2T", &host, 9, 0, 24, 0, 24, 0, 0},
    {"to the host: CapsuleResp with data", &host, 5, 0, 24, 24, 28, NVME_FES_HEADER_FIELD, 4},
    {"to the host: a capsule", &host, 4, 0, 72, 0, 72, NVME_FES_HEADER_FIELD, 0},
};

static void headers_are_checked(void **state)
{
    for (size_t i = 0; i < ASH_N_ELEMS(rows); i++) {
        struct nvme_pdu_hdr hdr = {rows[i].type, rows[i].flags, rows[i].hlen, rows[i].pdo,
                                   ash_le32(rows[i].plen)};
        struct nvme_pdu_layout layout = {0};
        struct nvme_pdu_fault fault = {0};
        bool ok = nvme_pdu_check(rows[i].rules, &hdr, &layout, &fault);
        if (ok != !rows[i].fes || fault.fes != rows[i].fes || fault.fei != rows[i].fei)
            fail_msg("%s: ok %d, FES %u, FEI %u", rows[i].what, ok, fault.fes, fault.fei);
        if (ok)
            assert_int_equal(layout.plen, ASH_MAX(layout.data_offset, layout.head_bytes) +
                                              layout.data_bytes + layout.ddgst_bytes);
    }
}

static void what_is_sealed_passes(void **state)
{
    static const uint8_t types[] = {NVME_PDU_CAPSULE_CMD, NVME_PDU_CAPSULE_RESP, NVME_PDU_H2C_DATA,
                                    NVME_PDU_C2H_DATA, NVME_PDU_R2T};
    for (unsigned mode = 0; mode < 4 * 32; mode++) {
        for (size_t i = 0; i < ASH_N_ELEMS(types); i++) {
            bool to_host = types[i] == NVME_PDU_CAPSULE_RESP || types[i] == NVME_PDU_C2H_DATA ||
                           types[i] == NVME_PDU_R2T;
            bool data = types[i] != NVME_PDU_CAPSULE_RESP && types[i] != NVME_PDU_R2T;
            struct nvme_pdu_rules rules = {.to_host = to_host,
                                           .hdgst = mode & 1,
                                           .ddgst = mode >> 1 & 1,
                                           .pda = (uint8_t)(mode >> 2),
                                           .max_data_bytes = 4096};
            uint8_t head[NVME_PDU_HEAD_MAX] = {0};
            head[20] = 0x5A;
            uint32_t n_head = nvme_pdu_seal(&rules, head, types[i], 0, data ? 4096 : 0);
            struct nvme_pdu_layout layout;
            struct nvme_pdu_fault fault = {0};
            assert_true(nvme_pdu_check(&rules, (void *)head, &layout, &fault));
            assert_int_equal(layout.data_offset, n_head);
            assert_int_equal(layout.data_bytes, data ? 4096 : 0);
            assert_int_equal(layout.ddgst_bytes, data && rules.ddgst ? 4 : 0);
            assert_true(nvme_pdu_head_ok(head, &layout, &fault));
            head[20] ^= 1;
            assert_int_equal(nvme_pdu_head_ok(head, &layout, &fault), !rules.hdgst);
            assert_int_equal(fault.fes, rules.hdgst ? NVME_FES_HEADER_DIGEST : 0);
        }
    }
}

static void digests_come_in_pieces(void **state)
{
    uint32_t digest = nvme_digest_add(NVME_DIGEST_START, "1234", 4);
    digest = nvme_digest_add(digest, "", 0);
    digest = nvme_digest_add(digest, "56789", 5);
    assert_int_equal(ash_le32_get(nvme_digest_end(digest)), 0xE3069283u);
}

static void names_are_checked(void **state)
{
    static const struct {
        const char *nqn;
        bool ok;
    } names[] = {
        {NVME_DISCOVERY_NQN, true},
        {"nqn.2014-08.org.nvmexpress:uuid:6e8e2f0c-1d5c-4f30-8c4f-0f4b2b8f6d10", true},
        {"nqn.2014-08.org.nvmexpress:uuid:6e8e2f0c-1d5c-4f30-8c4f-0f4b2b8f6d1", false},
        {"nqn.2014-08.org.nvmexpress:uuid:6e8e2f0c-1d5c-4f30-8c4f_0f4b2b8f6d10", false},
        {"nqn.2019-05.io.openebs:6e8e2f0c", true},
        {"nqn.2016-06.io.spdk:cnode1", true},
        {"nqn.2016-06.io.spdk:", false},
        {"nqn.2016-06.io.spdk", false},
        {"nqn.2016-06.io..spdk:a", false},
        {"nqn.2016-06.-io.spdk:a", false},
        {"nqn.2016-06.io-.spdk:a", false},
        {"nqn.2016-6.io.spdk:cnode1", false},
        {"nqn.201x-06.io.spdk:cnode1", false},
        {"iqn.2016-06.io.spdk:cnode1", false},
        {"nqn.2016-0", false},
        {"", false},
    };
    for (size_t i = 0; i < ASH_N_ELEMS(names); i++) {
        char field[NVME_NQN_FIELD] = {0};
        strcpy(field, names[i].nqn);
        if (nvme_nqn_ok(field, sizeof(field)) != names[i].ok)
            fail_msg("%s", names[i].nqn);
    }
    char field[NVME_NQN_FIELD];
    memset(field, 'a', sizeof(field));
    memcpy(field, "nqn.2016-06.io:", 15);
    assert_false(nvme_nqn_ok(field, sizeof(field)));
    field[224] = 0;
    assert_false(nvme_nqn_ok(field, sizeof(field)));
    field[223] = 0;
    assert_true(nvme_nqn_ok(field, sizeof(field)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(what_is_sealed_passes),
        cmocka_unit_test(digests_come_in_pieces),
        cmocka_unit_test(names_are_checked),
    };
    return cmocka_run_group_tests_name("nvme_pdu", tests, NULL, NULL);
}
