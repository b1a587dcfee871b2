/* SPDX-License-Identifier: Apache-2.0 */
/* The NBD server on the wire: every option, every command, every bad input
 * (docs/spec/nbd.md 2 to 5). */
#include "nbd_test.h"

/* ------------------------------------------------------------ handshake */

struct option_case {
    const char *what;
    unsigned structured;
    uint32_t option;
    const char *data;
    size_t n;
    uint32_t final;
    unsigned n_before;
};

#define D(text)    text, sizeof(text) - 1
#define LEN4(n)    "\0\0\0" n
#define DISK       LEN4("\4") "disk"
#define NOPE       LEN4("\4") "nope"
#define BASE_ALLOC LEN4("\17") "base:allocation"
#define DEPTH      LEN4("\25") "qemu:allocation-depth"

static const struct option_case option_cases[] = {
    {"list", 0, NBD_OPT_LIST, D(""), NBD_REP_ACK, 1},
    {"list with data", 0, NBD_OPT_LIST, D("x"), NBD_REP_ERR_INVALID, 0},
    {"peek", 0, NBD_OPT_PEEK_EXPORT, D(""), NBD_REP_ERR_UNSUP, 0},
    {"peek with data", 0, NBD_OPT_PEEK_EXPORT, D("disk"), NBD_REP_ERR_UNSUP, 0},
    {"starttls", 0, NBD_OPT_STARTTLS, D(""), NBD_REP_ERR_UNSUP, 0},
    {"starttls with data", 0, NBD_OPT_STARTTLS, D("x"), NBD_REP_ERR_INVALID, 0},
    {"info", 0, NBD_OPT_INFO, D(DISK "\0\0"), NBD_REP_ACK, 1},
    {"info default", 0, NBD_OPT_INFO, D(LEN4("\0") "\0\0"), NBD_REP_ACK, 1},
    {"info all", 0, NBD_OPT_INFO, D(DISK "\0\4\0\0\0\1\0\2\0\3"), NBD_REP_ACK, 4},
    {"info twice and unknown", 0, NBD_OPT_INFO, D(DISK "\0\4\0\3\0\3\x12\x34\0\37"), NBD_REP_ACK,
     2},
    {"info unknown export", 0, NBD_OPT_INFO, D(NOPE "\0\0"), NBD_REP_ERR_UNKNOWN, 0},
    {"info empty", 0, NBD_OPT_INFO, D(""), NBD_REP_ERR_INVALID, 0},
    {"info no count", 0, NBD_OPT_INFO, D(DISK), NBD_REP_ERR_INVALID, 0},
    {"info half count", 0, NBD_OPT_INFO, D(DISK "\0"), NBD_REP_ERR_INVALID, 0},
    {"info count too high", 0, NBD_OPT_INFO, D(DISK "\0\2\0\1"), NBD_REP_ERR_INVALID, 0},
    {"info count too low", 0, NBD_OPT_INFO, D(DISK "\0\0\0\1"), NBD_REP_ERR_INVALID, 0},
    {"info name too long", 0, NBD_OPT_INFO, D(LEN4("\7") "disk\0\0"), NBD_REP_ERR_INVALID, 0},
    {"info name huge", 0, NBD_OPT_INFO,
     D("\xff\xff\xff\xff"
       "disk\0\0"),
     NBD_REP_ERR_INVALID, 0},
    {"info name wraps", 0, NBD_OPT_INFO,
     D("\xff\xff\xff\xfe"
       "disk\0\0"),
     NBD_REP_ERR_INVALID, 0},
    {"info name with NUL", 0, NBD_OPT_INFO, D(LEN4("\4") "di\0k\0\0"), NBD_REP_ERR_INVALID, 0},
    {"info name no UTF-8", 0, NBD_OPT_INFO, D(LEN4("\4") "di\xff\xfe\0\0"), NBD_REP_ERR_INVALID, 0},
    {"go unknown export", 0, NBD_OPT_GO, D(NOPE "\0\0"), NBD_REP_ERR_UNKNOWN, 0},
    {"go malformed", 0, NBD_OPT_GO, D(DISK "\0\1"), NBD_REP_ERR_INVALID, 0},
    {"go empty", 0, NBD_OPT_GO, D(""), NBD_REP_ERR_INVALID, 0},
    {"structured", 0, NBD_OPT_STRUCTURED_REPLY, D(""), NBD_REP_ACK, 0},
    {"structured with data", 0, NBD_OPT_STRUCTURED_REPLY, D("x"), NBD_REP_ERR_INVALID, 0},
    {"structured twice", 1, NBD_OPT_STRUCTURED_REPLY, D(""), NBD_REP_ACK, 0},
    {"list meta without structured", 0, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\0")),
     NBD_REP_ERR_INVALID, 0},
    {"set meta without structured", 0, NBD_OPT_SET_META_CONTEXT, D(DISK LEN4("\1") BASE_ALLOC),
     NBD_REP_ERR_INVALID, 0},
    {"list meta all", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\0")), NBD_REP_ACK, 2},
    {"list meta base:", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\1") LEN4("\5") "base:"),
     NBD_REP_ACK, 1},
    {"list meta qemu:", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\1") LEN4("\5") "qemu:"),
     NBD_REP_ACK, 1},
    {"list meta other space", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\1") LEN4("\2") "x:"),
     NBD_REP_ACK, 0},
    {"list meta bare colon", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\1") LEN4("\1") ":"),
     NBD_REP_ACK, 0},
    {"list meta exact", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\1") DEPTH), NBD_REP_ACK, 1},
    {"list meta both", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\2") DEPTH BASE_ALLOC),
     NBD_REP_ACK, 2},
    {"list meta unknown export", 1, NBD_OPT_LIST_META_CONTEXT, D(NOPE LEN4("\0")),
     NBD_REP_ERR_UNKNOWN, 0},
    {"list meta empty", 1, NBD_OPT_LIST_META_CONTEXT, D(""), NBD_REP_ERR_INVALID, 0},
    {"list meta no count", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK), NBD_REP_ERR_INVALID, 0},
    {"list meta count too high", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\2") BASE_ALLOC),
     NBD_REP_ERR_INVALID, 0},
    {"list meta bytes left", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\1") BASE_ALLOC "x"),
     NBD_REP_ERR_INVALID, 0},
    {"list meta no colon", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\1") LEN4("\4") "base"),
     NBD_REP_ERR_INVALID, 0},
    {"list meta query too long", 1, NBD_OPT_LIST_META_CONTEXT,
     D(DISK LEN4("\1") LEN4("\20") "base:allocation"), NBD_REP_ERR_INVALID, 0},
    {"list meta query huge", 1, NBD_OPT_LIST_META_CONTEXT,
     D(DISK LEN4("\1") "\xff\xff\xff\xff"
                       "base:allocation"),
     NBD_REP_ERR_INVALID, 0},
    {"list meta 65 queries", 1, NBD_OPT_LIST_META_CONTEXT, D(DISK LEN4("\101")),
     NBD_REP_ERR_TOO_BIG, 0},
    {"set meta none", 1, NBD_OPT_SET_META_CONTEXT, D(DISK LEN4("\0")), NBD_REP_ACK, 0},
    {"set meta wildcard", 1, NBD_OPT_SET_META_CONTEXT, D(DISK LEN4("\1") LEN4("\5") "base:"),
     NBD_REP_ACK, 0},
    {"set meta both", 1, NBD_OPT_SET_META_CONTEXT, D(DISK LEN4("\2") BASE_ALLOC DEPTH), NBD_REP_ACK,
     2},
    {"set meta twice the same", 1, NBD_OPT_SET_META_CONTEXT,
     D(DISK LEN4("\2") BASE_ALLOC BASE_ALLOC), NBD_REP_ACK, 1},
    {"set meta unknown export", 1, NBD_OPT_SET_META_CONTEXT, D(NOPE LEN4("\1") BASE_ALLOC),
     NBD_REP_ERR_UNKNOWN, 0},
    {"extended headers", 0, NBD_OPT_EXTENDED_HEADERS, D(""), NBD_REP_ERR_UNSUP, 0},
    {"option 12 with data", 0, 12, D("some bytes"), NBD_REP_ERR_UNSUP, 0},
    {"option 0", 0, 0, D(""), NBD_REP_ERR_UNSUP, 0},
    {"option max", 0, UINT32_MAX, D(""), NBD_REP_ERR_UNSUP, 0},
};

static int options(struct tw *w)
{
    struct cl c;
    uint32_t type;
    unsigned n_before;
    for (size_t i = 0; i < ASH_N_ELEMS(option_cases); i++) {
        const struct option_case *oc = &option_cases[i];
        TRY(cl_open(w, &c));
        TRY(cl_hello(&c, 3));
        if (oc->structured) {
            CHECK(cl_option(&c, NBD_OPT_STRUCTURED_REPLY, NULL, 0));
            TRY(cl_final(&c, NBD_OPT_STRUCTURED_REPLY, &type, &n_before));
        }
        CHECK(cl_option(&c, oc->option, oc->data, oc->n));
        TRY(cl_final(&c, oc->option, &type, &n_before));
        if (type != oc->final || n_before != oc->n_before) {
            print_error("%s: final %x after %u replies\n", oc->what, type, n_before);
            return -1;
        }
        TRY(cl_go(&c, "disk")); /* the stream is still framed */
        cl_close(&c);
    }
    return tw_wait_no_conns(w);
}
NBD_TEST(options, 2)

static int greeting(struct tw *w)
{
    struct cl c;
    for (unsigned bit = 2; bit < 32; bit++) { /* a client flag that nobody knows */
        TRY(cl_open(w, &c));
        TRY(cl_hello(&c, 3 | 1u << bit));
        CHECK(cl_is_closed(&c));
        cl_close(&c);
    }
    TRY(cl_open(w, &c)); /* wrong magic of an option */
    TRY(cl_hello(&c, 3));
    CHECK(cl_send(&c, "IHAVEOPS\0\0\0\3\0\0\0\0", 16));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    TRY(cl_open(w, &c)); /* a client that is not fixed newstyle may only name its export */
    TRY(cl_hello(&c, 0));
    CHECK(cl_option(&c, NBD_OPT_LIST, NULL, 0));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    TRY(cl_open(w, &c)); /* says nothing and goes */
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(greeting, 2)

static int export_name_option(struct tw *w)
{
    static const struct {
        const char *name;
        size_t n;
        bool good;
    } cases[] = {{D("disk"), true}, {D(""), true}, {D("nope"), false}, {D("di\0k"), false}};
    struct cl c;
    for (unsigned flags = 0; flags < 4; flags++) {
        for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
            struct nbd_export_name_reply_wire r = {.zeroes = {[0] = 7}};
            struct reply rep;
            uint8_t data[512];
            TRY(cl_open(w, &c));
            TRY(cl_hello(&c, flags));
            CHECK(cl_option(&c, NBD_OPT_EXPORT_NAME, cases[i].name, cases[i].n));
            if (cases[i].good) {
                CHECK(cl_recv(&c, &r, flags & 2 ? 10 : sizeof(r)));
                CHECK(ash_be64_get(r.size) == DEV_BYTES);
                CHECK(ash_be16_get(r.flags) & NBD_TF_CAN_MULTI_CONN);
                CHECK(!(ash_be16_get(r.flags) & NBD_TF_SEND_DF));
                CHECK((r.zeroes[0] == 0) == !(flags & 2));
                TRY(cl_do(&c, 0, NBD_CMD_READ, 0, sizeof(data), data, &rep));
                CHECK(rep.error == 0);
            } else {
                CHECK(cl_is_closed(&c));
            }
            cl_close(&c);
        }
    }
    static uint8_t name[5000];
    memset(name, 'n', sizeof(name));
    TRY(cl_open(w, &c));
    TRY(cl_hello(&c, 3));
    CHECK(cl_option(&c, NBD_OPT_EXPORT_NAME, name, sizeof(name)));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(export_name_option, 2)

static int option_limits(struct tw *w)
{
    struct cl c;
    uint32_t type;
    unsigned n_before;
    static const uint32_t too_big[] = {65537, 1u << 20};
    uint8_t *zeroes = rt_alloc(1u << 20);
    CHECK(zeroes);
    TRY(cl_open(w, &c));
    TRY(cl_hello(&c, 3));
    for (size_t i = 0; i < ASH_N_ELEMS(too_big); i++) {
        CHECK(cl_option(&c, NBD_OPT_LIST, zeroes, too_big[i]));
        TRY(cl_final(&c, NBD_OPT_LIST, &type, &n_before));
        CHECK(type == NBD_REP_ERR_TOO_BIG);
    }
    CHECK(cl_option(&c, 77, zeroes, 65536));
    TRY(cl_final(&c, 77, &type, &n_before));
    CHECK(type == NBD_REP_ERR_UNSUP);
    TRY(cl_go(&c, "disk"));
    cl_close(&c);
    static const uint32_t fatal[] = {(1u << 20) + 1, UINT32_MAX};
    for (size_t i = 0; i < ASH_N_ELEMS(fatal); i++) {
        struct nbd_option_wire o = {ash_be64(NBD_OPT_MAGIC), ash_be32(NBD_OPT_LIST),
                                    ash_be32(fatal[i])};
        TRY(cl_open(w, &c));
        TRY(cl_hello(&c, 3));
        CHECK(cl_send(&c, &o, sizeof(o)));
        CHECK(cl_is_closed(&c));
        cl_close(&c);
    }
    TRY(cl_open(w, &c)); /* options without end */
    TRY(cl_hello(&c, 3));
    for (unsigned i = 0; i < 4096; i++) {
        CHECK(cl_option(&c, 77, NULL, 0));
        TRY(cl_final(&c, 77, &type, &n_before));
    }
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    rt_free(zeroes);
    return tw_wait_no_conns(w);
}
NBD_TEST(option_limits, 2)

static int abort_option(struct tw *w)
{
    struct cl c;
    uint32_t type;
    unsigned n_before;
    for (unsigned i = 0; i < 3; i++) {
        TRY(cl_open(w, &c));
        TRY(cl_hello(&c, 3));
        CHECK(cl_option(&c, NBD_OPT_ABORT, "ignored", i * 3));
        if (i != 2) { /* one client does not wait for the answer */
            TRY(cl_final(&c, NBD_OPT_ABORT, &type, &n_before));
            CHECK(type == NBD_REP_ACK);
        }
        cl_close(&c);
    }
    return tw_wait_no_conns(w);
}
NBD_TEST(abort_option, 2)

static int slow_handshake(struct tw *w)
{
    struct nbd_limits limits;
    struct cl c;
    nbd_get_limits(w->srv, &limits);
    limits.handshake_ns = 30000000;
    nbd_set_limits(w->srv, &limits);
    TRY(cl_open(w, &c));
    TRY(cl_hello(&c, 3));
    CHECK(cl_is_closed(&c));
    cl_close(&c);
    TRY(cl_connect(w, &c, "disk", CL_SIMPLE)); /* in time: the limit does not count any more */
    rt_sleep_ns(60000000);
    struct reply r;
    uint8_t data[512];
    TRY(cl_do(&c, 0, NBD_CMD_READ, 0, 512, data, &r));
    CHECK(r.error == 0);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(slow_handshake, 1)

static int info_contents(struct tw *w)
{
    static const char data[] = DISK "\0\4\0\0\0\1\0\2\0\3";
    struct cl c;
    TRY(cl_open(w, &c));
    TRY(cl_hello(&c, 3));
    for (unsigned go = 0; go < 2; go++) {
        uint32_t option = go ? NBD_OPT_GO : NBD_OPT_INFO, type;
        uint8_t buf[64];
        size_t n;
        CHECK(cl_option(&c, option, data, sizeof(data) - 1));
        TRY(cl_option_reply(&c, option, &type, buf, sizeof(buf), &n));
        CHECK(type == NBD_REP_INFO && n == 12 && memcmp(buf, "\0\0\0\0\0\0\3\0\0\0", 10) == 0);
        CHECK(buf[10] == 0x0d && buf[11] == 0x6d); /* flags 0x0d6d: all but RO, ROTATIONAL, DF */
        TRY(cl_option_reply(&c, option, &type, buf, sizeof(buf), &n));
        CHECK(type == NBD_REP_INFO && n == 6 && memcmp(buf, "\0\1disk", 6) == 0);
        TRY(cl_option_reply(&c, option, &type, buf, sizeof(buf), &n));
        CHECK(type == NBD_REP_INFO && n == 13 && memcmp(buf, "\0\2a test disk", 13) == 0);
        TRY(cl_option_reply(&c, option, &type, buf, sizeof(buf), &n));
        CHECK(type == NBD_REP_INFO && n == 14);
        CHECK(memcmp(buf, "\0\3\0\0\0\1\0\0\x10\0\2\0\0\0", 14) == 0);
        TRY(cl_option_reply(&c, option, &type, buf, sizeof(buf), &n));
        CHECK(type == NBD_REP_ACK && n == 0);
    }
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(info_contents, 2)

/* Contexts count only for the export they were chosen for, and only until a SET fails. */
static int meta_context_rules(struct tw *w)
{
    struct ash_err err = {0};
    static const char set[] = DISK LEN4("\1") BASE_ALLOC, bad[] = NOPE LEN4("\1") BASE_ALLOC;
    uint32_t type;
    unsigned n_before;
    TRY(nbd_add_export(w->srv, "dev", "other", true, NULL, &err));
    for (unsigned i = 0; i < 3; i++) {
        struct cl c;
        struct reply r;
        TRY(cl_open(w, &c));
        TRY(cl_hello(&c, 3));
        CHECK(cl_option(&c, NBD_OPT_STRUCTURED_REPLY, NULL, 0));
        TRY(cl_final(&c, NBD_OPT_STRUCTURED_REPLY, &type, &n_before));
        CHECK(cl_option(&c, NBD_OPT_SET_META_CONTEXT, set, sizeof(set) - 1));
        TRY(cl_final(&c, NBD_OPT_SET_META_CONTEXT, &type, &n_before));
        CHECK(n_before == 1);
        if (i == 1) {
            CHECK(cl_option(&c, NBD_OPT_SET_META_CONTEXT, bad, sizeof(bad) - 1));
            TRY(cl_final(&c, NBD_OPT_SET_META_CONTEXT, &type, &n_before));
            CHECK(type == NBD_REP_ERR_UNKNOWN);
        }
        TRY(cl_go(&c, i == 2 ? "other" : "disk"));
        CHECK(!(c.flags & NBD_TF_READ_ONLY) == (i != 2));
        CHECK(c.flags & NBD_TF_SEND_DF);
        TRY(cl_do(&c, 0, NBD_CMD_BLOCK_STATUS, 0, 4096, NULL, &r));
        CHECK(r.error == (i == 0 ? 0 : NBD_EINVAL));
        cl_close(&c);
    }
    return tw_wait_no_conns(w);
}
NBD_TEST(meta_context_rules, 2)

/* ------------------------------------------------------------ bad requests */

enum { RO = 8 }; /* beside CL_ modes: on the read-only export */

static const struct bad_case {
    unsigned mode, flags, type;
    uint64_t offset;
    uint32_t length;
    uint32_t error;
} bad_cases[] = {
    /* bounds */
    {0, 0, NBD_CMD_READ, DEV_BYTES, 1, NBD_EINVAL},
    {1, 0, NBD_CMD_READ, DEV_BYTES, 1, NBD_EINVAL},
    {0, 0, NBD_CMD_READ, DEV_BYTES - 1, 2, NBD_EINVAL},
    {1, 0, NBD_CMD_READ, DEV_BYTES - 1, 2, NBD_EINVAL},
    {1, 0, NBD_CMD_READ, UINT64_MAX, 1, NBD_EINVAL},
    {1, 0, NBD_CMD_READ, UINT64_MAX - 511, 512, NBD_EINVAL},
    {1, 0, NBD_CMD_READ, 1ull << 63, 512, NBD_EINVAL},
    {1, 0, NBD_CMD_READ, DEV_BYTES + 1, 0, NBD_EINVAL},
    {0, 0, NBD_CMD_WRITE, DEV_BYTES, 1, NBD_ENOSPC},
    {1, 0, NBD_CMD_WRITE, DEV_BYTES, 4096, NBD_ENOSPC},
    {0, 0, NBD_CMD_WRITE, DEV_BYTES - 511, 512, NBD_ENOSPC},
    {0, 0, NBD_CMD_WRITE, UINT64_MAX, 512, NBD_ENOSPC},
    {0, 0, NBD_CMD_WRITE, UINT64_MAX - 511, 512, NBD_ENOSPC},
    {0, 0, NBD_CMD_TRIM, DEV_BYTES, 1, NBD_EINVAL},
    {1, 0, NBD_CMD_TRIM, 0, UINT32_MAX, NBD_EINVAL},
    {1, 0, NBD_CMD_TRIM, UINT64_MAX, 4096, NBD_EINVAL},
    {0, 0, NBD_CMD_WRITE_ZEROES, DEV_BYTES, 1, NBD_ENOSPC},
    {1, 0, NBD_CMD_WRITE_ZEROES, 512, DEV_BYTES, NBD_ENOSPC},
    {1, 0, NBD_CMD_WRITE_ZEROES, 0, UINT32_MAX, NBD_ENOSPC},
    {1, 0, NBD_CMD_CACHE, DEV_BYTES, 1, NBD_EINVAL},
    {2, 0, NBD_CMD_BLOCK_STATUS, DEV_BYTES, 1, NBD_EINVAL},
    {2, 0, NBD_CMD_BLOCK_STATUS, 0, DEV_BYTES + 1, NBD_EINVAL},
    /* lengths */
    {0, 0, NBD_CMD_READ, 0, NBD_MAX_PAYLOAD + 1, NBD_EINVAL},
    {1, 0, NBD_CMD_READ, 0, NBD_MAX_PAYLOAD + 1, NBD_EOVERFLOW},
    {1, NBD_CF_DF, NBD_CMD_READ, 0, NBD_MAX_PAYLOAD + 1, NBD_EOVERFLOW},
    {1, 0, NBD_CMD_READ, 0, UINT32_MAX, NBD_EOVERFLOW},
    {0, 0, NBD_CMD_WRITE, 0, NBD_MAX_PAYLOAD + 1, NBD_EINVAL},
    {1, 0, NBD_CMD_WRITE, 0, NBD_MAX_PAYLOAD + 4096, NBD_EINVAL},
    {0, 0, NBD_CMD_FLUSH, 0, 1, NBD_EINVAL},
    {0, 0, NBD_CMD_FLUSH, 1, 0, NBD_EINVAL},
    {1, 0, NBD_CMD_FLUSH, 4096, 4096, NBD_EINVAL},
    {2, 0, NBD_CMD_BLOCK_STATUS, 0, 0, NBD_EINVAL},
    /* status without a context */
    {0, 0, NBD_CMD_BLOCK_STATUS, 0, 4096, NBD_EINVAL},
    {1, 0, NBD_CMD_BLOCK_STATUS, 0, 4096, NBD_EINVAL},
    /* flags: none of them allowed here */
    {0, NBD_CF_DF, NBD_CMD_READ, 0, 512, NBD_EINVAL},
    {1, NBD_CF_NO_HOLE, NBD_CMD_READ, 0, 512, NBD_EINVAL},
    {1, NBD_CF_REQ_ONE, NBD_CMD_READ, 0, 512, NBD_EINVAL},
    {1, NBD_CF_FAST_ZERO, NBD_CMD_READ, 0, 512, NBD_EINVAL},
    {1, 1 << 5, NBD_CMD_READ, 0, 512, NBD_EINVAL},
    {1, 1 << 15, NBD_CMD_READ, 0, 512, NBD_EINVAL},
    {0, NBD_CF_NO_HOLE, NBD_CMD_WRITE, 0, 512, NBD_EINVAL},
    {1, NBD_CF_DF, NBD_CMD_WRITE, 0, 512, NBD_EINVAL},
    {1, NBD_CF_REQ_ONE, NBD_CMD_WRITE, 0, 512, NBD_EINVAL},
    {1, NBD_CF_FAST_ZERO, NBD_CMD_WRITE, 0, 512, NBD_EINVAL},
    {1, 1 << 5, NBD_CMD_WRITE, 0, 512, NBD_EINVAL},
    {1, 1 << 9, NBD_CMD_WRITE, 0, 512, NBD_EINVAL},
    {1, NBD_CF_NO_HOLE, NBD_CMD_FLUSH, 0, 0, NBD_EINVAL},
    {1, NBD_CF_DF, NBD_CMD_FLUSH, 0, 0, NBD_EINVAL},
    {1, 1 << 9, NBD_CMD_FLUSH, 0, 0, NBD_EINVAL},
    {1, NBD_CF_NO_HOLE, NBD_CMD_TRIM, 0, 4096, NBD_EINVAL},
    {1, NBD_CF_FAST_ZERO, NBD_CMD_TRIM, 0, 4096, NBD_EINVAL},
    {1, 1 << 9, NBD_CMD_TRIM, 0, 4096, NBD_EINVAL},
    {1, NBD_CF_DF, NBD_CMD_WRITE_ZEROES, 0, 4096, NBD_EINVAL},
    {1, NBD_CF_REQ_ONE, NBD_CMD_WRITE_ZEROES, 0, 4096, NBD_EINVAL},
    {1, 1 << 9, NBD_CMD_WRITE_ZEROES, 0, 4096, NBD_EINVAL},
    {1, NBD_CF_NO_HOLE, NBD_CMD_CACHE, 0, 4096, NBD_EINVAL},
    {1, 1 << 9, NBD_CMD_CACHE, 0, 4096, NBD_EINVAL},
    {2, NBD_CF_DF, NBD_CMD_BLOCK_STATUS, 0, 4096, NBD_EINVAL},
    {2, NBD_CF_NO_HOLE, NBD_CMD_BLOCK_STATUS, 0, 4096, NBD_EINVAL},
    {2, 1 << 9, NBD_CMD_BLOCK_STATUS, 0, 4096, NBD_EINVAL},
    /* commands that nobody knows */
    {0, 0, 8, 0, 0, NBD_EINVAL},
    {1, 0, 8, 4096, 0, NBD_EINVAL},
    {1, 0, 9, 0, 4096, NBD_EINVAL},
    {1, 0, 0xffff, 0, 4096, NBD_EINVAL},
    {0, 0xffff, 0xffff, UINT64_MAX, UINT32_MAX, NBD_EINVAL},
    /* read-only */
    {RO, 0, NBD_CMD_WRITE, 0, 512, NBD_EPERM},
    {RO | 1, 0, NBD_CMD_WRITE, 0, 512, NBD_EPERM},
    {RO | 1, NBD_CF_FUA, NBD_CMD_WRITE, 0, 512, NBD_EPERM},
    {RO | 1, 0, NBD_CMD_WRITE, 0, 0, NBD_EPERM},
    {RO | 1, 0, NBD_CMD_TRIM, 0, 4096, NBD_EPERM},
    {RO, 0, NBD_CMD_WRITE_ZEROES, 0, 4096, NBD_EPERM},
    {RO | 1, NBD_CF_FAST_ZERO, NBD_CMD_WRITE_ZEROES, 0, 4096, NBD_EPERM},
    {RO | 1, 0, NBD_CMD_WRITE, DEV_BYTES, 512, NBD_EPERM},
};

static int bad_requests(struct tw *w)
{
    struct ash_err err = {0};
    struct cl clients[16] = {0};
    uint8_t *data = rt_buf_get(NBD_MAX_PAYLOAD + 4096);
    CHECK(data);
    memset(data, 0xee, NBD_MAX_PAYLOAD + 4096);
    TRY(nbd_add_export(w->srv, "dev", "ro", true, NULL, &err));
    _Static_assert(ASH_N_ELEMS(bad_cases) >= 60, "the table is long");
    for (size_t i = 0; i < ASH_N_ELEMS(bad_cases); i++) {
        const struct bad_case *b = &bad_cases[i];
        struct cl *c = &clients[b->mode];
        struct reply r;
        uint8_t good[512];
        if (!c->sock)
            TRY(cl_connect(w, c, b->mode & RO ? "ro" : "disk", b->mode & ~(unsigned)RO));
        TRY(cl_do(c, b->flags, b->type, b->offset, b->length, data, &r));
        if (r.error != b->error) {
            print_error("bad case %zu: error %u, not %u\n", i, r.error, b->error);
            return -1;
        }
        CHECK((r.n_chunks == 1) == ((b->mode & 1) || (b->mode & CL_META)));
        TRY(cl_do(c, 0, NBD_CMD_READ, 0, 512, good, &r)); /* the next one works */
        CHECK(r.error == 0 && good[0] == 0 && good[511] == 0);
    }
    CHECK(w->dev.n_writes == 0 && w->dev.n_unmaps == 0 && w->dev.n_zeroes == 0);
    for (size_t i = 0; i < ASH_N_ELEMS(clients); i++)
        if (clients[i].sock)
            cl_close(&clients[i]);
    rt_buf_put(data, NBD_MAX_PAYLOAD + 4096);
    return tw_wait_no_conns(w);
}
NBD_TEST(bad_requests, 2)

/* Nothing can be understood after these: the connection ends. */
static int broken_streams(struct tw *w)
{
    struct cl c;
    struct nbd_request_wire bad[3] = {
        request(0, NBD_CMD_READ, 1, 0, 512),
        request(0, NBD_CMD_WRITE, 1, 0, NBD_MAX_DISCARD + 1),
        request(0, NBD_CMD_WRITE, 1, 0, UINT32_MAX),
    };
    bad[0].magic = ash_be32(NBD_REQUEST_MAGIC + 1);
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        TRY(cl_connect(w, &c, "disk", CL_STRUCTURED));
        CHECK(cl_send(&c, &bad[i], sizeof(bad[i])));
        CHECK(cl_is_closed(&c));
        cl_close(&c);
    }
    return tw_wait_no_conns(w);
}
NBD_TEST(broken_streams, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NBD_TESTS(greeting),           NBD_TESTS(options),      NBD_TESTS(export_name_option),
        NBD_TESTS(option_limits),      NBD_TESTS(abort_option), NBD_TESTS(slow_handshake),
        NBD_TESTS(info_contents),      NBD_TESTS(bad_requests), NBD_TESTS(broken_streams),
        NBD_TESTS(meta_context_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
