/* SPDX-License-Identifier: Apache-2.0 */
/* The NBD server in transmission: what commands do to the device, order, disconnects, removal,
 * back pressure (docs/spec/nbd.md 4, 5, 8). */
#include <json-c/json.h>

#include "nbd_test.h"

static void fill(uint8_t *buf, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        buf[i] = (uint8_t)(seed >> 24);
    }
}

/* Write and read back at every kind of place and length; the device holds exactly the model. */
static int read_write(struct tw *w)
{
    static const struct {
        uint64_t offset;
        uint32_t length;
    } places[] = {{0, 512},       {4096, 4096},        {777, 4097},         {DEV_BYTES - 1, 1},
                  {8191, 2},      {100000, 65536},     {1 << 20, 1 << 20},  {12345, 300001},
                  {0, 0},         {DEV_BYTES, 0},      {5 << 20, 20000},    {3, 8164},
                  {40000, 16384}, {7 << 20, 40 << 10}, {9 << 20, 32u << 20}};
    uint8_t *model = calloc(1, DEV_BYTES), *data = rt_buf_get(NBD_MAX_PAYLOAD);
    CHECK(model && data);
    for (unsigned mode = 0; mode < 2; mode++) {
        struct cl c;
        struct reply r;
        TRY(cl_connect(w, &c, "disk", mode));
        CHECK(c.size == DEV_BYTES);
        for (size_t i = 0; i < ASH_N_ELEMS(places); i++) {
            fill(data, places[i].length, (uint32_t)(mode * 100 + i));
            if (places[i].length)
                memcpy(model + places[i].offset, data, places[i].length);
            TRY(cl_do(&c, i % 2 ? NBD_CF_FUA : 0, NBD_CMD_WRITE, places[i].offset, places[i].length,
                      data, &r));
            CHECK(r.error == 0 && r.n_chunks == 0);
            memset(data, 0, places[i].length);
            TRY(cl_do(&c, i % 3 ? NBD_CF_FUA : 0, NBD_CMD_READ, places[i].offset, places[i].length,
                      data, &r));
            CHECK(r.error == 0 && r.n_none == (mode && !places[i].length ? 1 : 0));
            if (places[i].length)
                CHECK(memcmp(data, model + places[i].offset, places[i].length) == 0);
        }
        cl_close(&c);
    }
    TRY(tw_wait_no_conns(w));
    CHECK(memcmp(model, w->dev.mem, DEV_BYTES) == 0);
    struct nbd_export_info info;
    CHECK(nbd_find_export(w->srv, "disk", &info));
    CHECK(info.counters.n_writes == 2 * ASH_N_ELEMS(places) && info.n_connections == 0);
    CHECK(info.counters.n_reads == 2 * ASH_N_ELEMS(places) && info.counters.n_errors == 0);
    rt_buf_put(data, NBD_MAX_PAYLOAD);
    free(model);
    return 0;
}
NBD_TEST(read_write, 2)

static int zero_trim_flush(struct tw *w)
{
    struct cl c;
    struct reply r;
    struct tdev *d = &w->dev;
    TRY(cl_connect(w, &c, "disk", CL_STRUCTURED));
    memset(d->mem, 0xaa, 65536);
    /* ragged zeroes: exactly the range, nothing else */
    TRY(cl_do(&c, 0, NBD_CMD_WRITE_ZEROES, 1000, 5000, NULL, &r));
    CHECK(r.error == 0 && d->mem[999] == 0xaa && d->mem[1000] == 0 && d->mem[5999] == 0);
    CHECK(d->mem[6000] == 0xaa);
    TRY(cl_do(&c, NBD_CF_FUA | NBD_CF_NO_HOLE, NBD_CMD_WRITE_ZEROES, 10001, 3, NULL, &r));
    CHECK(r.error == 0 && d->mem[10000] == 0xaa && d->mem[10001] == 0 && d->mem[10004] == 0xaa);
    TRY(cl_do(&c, NBD_CF_NO_HOLE, NBD_CMD_WRITE_ZEROES, 8192, 4096, NULL, &r));
    CHECK(r.error == 0 && d->last_flags == BDEV_NO_HOLE);
    TRY(cl_do(&c, NBD_CF_FAST_ZERO, NBD_CMD_WRITE_ZEROES, 16384, DEV_BYTES - 16384, NULL, &r));
    CHECK(r.error == 0 && d->mem[16384] == 0 && d->mem[16383] == 0xaa);
    /* a device that is not fast changes nothing */
    d->bdev.fast_zeroes = false;
    d->mem[5] = 7;
    unsigned n_zeroes = d->n_zeroes;
    TRY(cl_do(&c, NBD_CF_FAST_ZERO, NBD_CMD_WRITE_ZEROES, 0, 4096, NULL, &r));
    CHECK(r.error == NBD_ENOTSUP && d->mem[5] == 7 && d->n_zeroes == n_zeroes);
    TRY(cl_do(&c, 0, NBD_CMD_WRITE_ZEROES, 0, 4096, NULL, &r));
    CHECK(r.error == 0 && d->mem[5] == 0);
    /* trim rounds inwards */
    memset(d->mem, 0xbb, 8192);
    TRY(cl_do(&c, 0, NBD_CMD_TRIM, 100, 1500, NULL, &r));
    CHECK(r.error == 0 && d->n_unmaps == 1 && d->mem[511] == 0xbb && d->mem[512] == 0);
    CHECK(d->mem[1535] == 0 && d->mem[1536] == 0xbb);
    TRY(cl_do(&c, 0, NBD_CMD_TRIM, 100, 500, NULL, &r));
    CHECK(r.error == 0 && d->n_unmaps == 1);
    unsigned n_flushes = d->n_flushes;
    TRY(cl_do(&c, NBD_CF_FUA, NBD_CMD_TRIM, 4096, 4096, NULL, &r));
    CHECK(r.error == 0 && d->n_unmaps == 2 && d->n_flushes == n_flushes + 1);
    TRY(cl_do(&c, 0, NBD_CMD_FLUSH, 0, 0, NULL, &r));
    CHECK(r.error == 0 && d->n_flushes == n_flushes + 2);
    TRY(cl_do(&c, NBD_CF_FUA, NBD_CMD_FLUSH, 0, 0, NULL, &r));
    CHECK(r.error == 0 && d->n_flushes == n_flushes + 3);
    TRY(cl_do(&c, 0, NBD_CMD_CACHE, 0, DEV_BYTES, NULL, &r));
    CHECK(r.error == 0);
    /* zero lengths do nothing and succeed */
    TRY(cl_do(&c, 0, NBD_CMD_TRIM, 0, 0, NULL, &r));
    CHECK(r.error == 0);
    TRY(cl_do(&c, 0, NBD_CMD_WRITE_ZEROES, DEV_BYTES, 0, NULL, &r));
    CHECK(r.error == 0 && d->n_unmaps == 2);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(zero_trim_flush, 1)

/* A device without unmap: TRIM is accepted and without effect. */
static int trim_unsupported(struct tw *w)
{
    struct cl c;
    struct reply r;
    w->dev.can_unmap = false;
    bdev_caps_changed(&w->dev.bdev);
    w->dev.mem[0] = 9;
    TRY(cl_connect(w, &c, "disk", CL_STRUCTURED));
    CHECK(!(c.flags & NBD_TF_SEND_TRIM));
    TRY(cl_do(&c, NBD_CF_FUA, NBD_CMD_TRIM, 0, 4096, NULL, &r));
    CHECK(r.error == 0 && w->dev.mem[0] == 9 && w->dev.n_unmaps == 0 && w->dev.n_flushes == 1);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(trim_unsupported, 1)

static int holes(struct tw *w)
{
    struct cl c;
    struct reply r;
    struct tdev *d = &w->dev;
    uint8_t *data = calloc(1, 1 << 20);
    CHECK(data);
    fill(d->mem, 1 << 20, 3);
    for (unsigned cell = 16; cell < 64; cell++) { /* 64 KiB .. 256 KiB */
        d->cell_hole[cell] = 1;
        memset(d->mem + cell * CELL, 0, CELL);
    }
    d->cell_hole[DEV_BYTES / CELL - 1] = 1;
    TRY(cl_connect(w, &c, "disk", CL_STRUCTURED | CL_META | CL_DEPTH));
    TRY(cl_do(&c, 0, NBD_CMD_READ, 0, 1 << 20, data, &r));
    CHECK(r.n_data == 2 && r.n_holes == 1 && memcmp(data, d->mem, 1 << 20) == 0);
    unsigned n_reads = d->n_reads;
    TRY(cl_do(&c, 0, NBD_CMD_READ, 100000, 100000, data, &r)); /* all of it known without reading */
    CHECK(r.n_data == 0 && r.n_holes == 1 && d->n_reads == n_reads && data[99999] == 0);
    TRY(cl_do(&c, NBD_CF_DF, NBD_CMD_READ, 0, 1 << 20, data, &r));
    CHECK(r.n_data == 1 && r.n_holes == 0 && memcmp(data, d->mem, 1 << 20) == 0);
    /* more runs than fit in one reply: the rest comes as data */
    for (unsigned cell = 100; cell < 228; cell += 2) {
        d->cell_hole[cell] = 1;
        memset(d->mem + cell * CELL, 0, CELL);
    }
    TRY(cl_do(&c, 0, NBD_CMD_READ, 100 * CELL, 128 * CELL, data, &r));
    CHECK(r.n_holes >= 7 && memcmp(data, d->mem + 100 * CELL, 128 * CELL) == 0);
    /* block status */
    TRY(cl_do(&c, 0, NBD_CMD_BLOCK_STATUS, 0, 1 << 18, NULL, &r));
    CHECK(r.error == 0 && r.n_ext[1] == 2 && r.n_ext[2] == 2);
    CHECK(ash_be32_get(r.ext[1][0].length) == 16 * CELL && ash_be32_get(r.ext[1][0].flags) == 0);
    CHECK(ash_be32_get(r.ext[1][1].length) == 48 * CELL && ash_be32_get(r.ext[1][1].flags) == 3);
    CHECK(ash_be32_get(r.ext[2][0].flags) == 1 && ash_be32_get(r.ext[2][1].flags) == 0);
    TRY(cl_do(&c, NBD_CF_REQ_ONE, NBD_CMD_BLOCK_STATUS, 1, 1 << 20, NULL, &r));
    CHECK(r.n_ext[1] == 1 && r.n_ext[2] == 1);
    CHECK(ash_be32_get(r.ext[1][0].length) == 16 * CELL - 1);
    TRY(cl_do(&c, 0, NBD_CMD_BLOCK_STATUS, DEV_BYTES - 1, 1, NULL, &r));
    CHECK(r.n_ext[1] == 1 && ash_be32_get(r.ext[1][0].flags) == 3);
    CHECK(ash_be32_get(r.ext[1][0].length) == 1);
    cl_close(&c);
    free(data);
    return tw_wait_no_conns(w);
}
NBD_TEST(holes, 1)

static int device_errors(struct tw *w)
{
    static const struct {
        int rc;
        uint32_t error;
    } cases[] = {{-EIO, NBD_EIO},       {-ENOSPC, NBD_ENOSPC}, {-EDQUOT, NBD_ENOSPC},
                 {-EFBIG, NBD_ENOSPC},  {-EROFS, NBD_EPERM},   {-EPERM, NBD_EPERM},
                 {-EILSEQ, NBD_EIO},    {-ENODEV, NBD_EIO},    {-ECANCELED, NBD_EIO},
                 {-ETIMEDOUT, NBD_EIO}, {-EINVAL, NBD_EINVAL}, {-EREMOTEIO, NBD_EIO}};
    uint8_t *data = calloc(1, 65536);
    CHECK(data);
    for (unsigned mode = 0; mode < 2; mode++) {
        struct cl c;
        struct reply r;
        TRY(cl_connect(w, &c, "disk", mode));
        for (size_t i = 0; i < ASH_N_ELEMS(cases); i++) {
            w->dev.fail_rc = cases[i].rc;
            w->dev.fail_from = 0;
            w->dev.fail_to = 65536;
            TRY(cl_do(&c, 0, NBD_CMD_WRITE, 8192, 4096, data, &r));
            CHECK(r.error == cases[i].error && r.n_chunks == mode);
            TRY(cl_do(&c, 0, NBD_CMD_READ, 8192, 4096, data, &r));
            CHECK(r.error == cases[i].error && r.has_offset == mode);
            if (mode)
                CHECK(r.error_offset == 8192 && strstr(r.text, "read of 4096 bytes at 8192"));
            TRY(cl_do(&c, 0, NBD_CMD_FLUSH, 0, 0, NULL, &r));
            CHECK(r.error == cases[i].error);
            w->dev.fail_rc = 0;
            TRY(cl_do(&c, 0, NBD_CMD_READ, 8192, 4096, data, &r));
            CHECK(r.error == 0);
        }
        /* the second of three runs fails: one error, no content */
        if (mode) {
            w->dev.cell_hole[1] = w->dev.cell_hole[2] = 1;
            w->dev.fail_rc = -EIO;
            w->dev.fail_from = 3 * CELL;
            TRY(cl_do(&c, 0, NBD_CMD_READ, 0, 65536, data, &r));
            CHECK(r.error == NBD_EIO && r.n_content == 0 && r.error_offset == 3 * CELL);
            w->dev.fail_rc = 0;
        }
        cl_close(&c);
    }
    free(data);
    return tw_wait_no_conns(w);
}
NBD_TEST(device_errors, 1)

/* A slow request does not hold up others, on its connection or on another one. */
static int out_of_order(struct tw *w)
{
    struct cl a, b;
    struct reply r;
    uint8_t data[4096];
    TRY(cl_connect(w, &a, "disk", CL_STRUCTURED));
    TRY(cl_connect(w, &b, "disk", CL_SIMPLE));
    w->dev.hold = true;
    w->dev.hold_from = 0;
    w->dev.hold_to = 4096;
    CHECK(cl_request(&a, 0, NBD_CMD_READ, 1, 0, 4096, NULL));
    CHECK(cl_request(&a, 0, NBD_CMD_READ, 2, 4096, 4096, NULL));
    TRY(cl_reply(&a, true, data, 4096, 4096, &r));
    CHECK(r.cookie == 2 && r.error == 0);
    TRY(cl_do(&b, 0, NBD_CMD_READ, 8192, 4096, data, &r));
    CHECK(r.error == 0);
    CHECK(cl_request(&a, 0, NBD_CMD_READ, 3, 512, 512, NULL));
    TRY(cl_do(&b, 0, NBD_CMD_WRITE, 8192, 4096, data, &r));
    tdev_release(&w->dev);
    TRY(cl_reply(&a, true, data, 0, 4096, &r));
    unsigned first = (unsigned)r.cookie;
    CHECK(first == 1 || first == 3);
    TRY(cl_reply(&a, true, data, 0, 4096, &r));
    CHECK(r.cookie == 4 - first);
    cl_close(&a);
    cl_close(&b);
    return tw_wait_no_conns(w);
}
NBD_TEST(out_of_order, 1)

/* Flushes that arrive while one runs share the next. */
static int flushes_share(struct tw *w)
{
    struct cl c;
    struct reply r;
    TRY(cl_connect(w, &c, "disk", CL_SIMPLE));
    w->dev.hold = true;
    w->dev.hold_from = 0;
    w->dev.hold_to = DEV_BYTES;
    for (unsigned i = 0; i < 20; i++)
        CHECK(cl_request(&c, 0, NBD_CMD_FLUSH, i, 0, 0, NULL));
    for (unsigned i = 0; i < 2000 && w->dev.n_flushes == 0; i++)
        rt_sleep_ns(100000);
    for (unsigned i = 0; i < 100; i++)
        rt_yield();
    CHECK(w->dev.n_flushes == 1);
    tdev_release(&w->dev);
    uint64_t seen = 0;
    for (unsigned i = 0; i < 20; i++) {
        TRY(cl_reply(&c, false, NULL, 0, 0, &r));
        CHECK(r.error == 0);
        seen |= 1ull << r.cookie;
    }
    CHECK(seen == (1u << 20) - 1 && w->dev.n_flushes >= 2 && w->dev.n_flushes <= 3);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(flushes_share, 1)

/* Many requests in one segment, cut anywhere. */
static int bursts(struct tw *w)
{
    enum { N = 600, PART = 997 };
    struct cl c;
    struct reply r;
    size_t n = 0;
    uint8_t *all = calloc(N, sizeof(struct nbd_request_wire) + 512);
    CHECK(all);
    TRY(cl_connect(w, &c, "disk", CL_STRUCTURED));
    for (unsigned i = 0; i < N; i++) {
        unsigned type = i % 2 ? NBD_CMD_WRITE : NBD_CMD_FLUSH;
        struct nbd_request_wire q =
            request(0, type, i, type == NBD_CMD_WRITE ? i * 512ull : 0, i % 2 ? 512 : 0);
        memcpy(all + n, &q, sizeof(q));
        n += sizeof(q);
        if (i % 2) {
            memset(all + n, (int)(i & 0xff) | 1, 512);
            n += 512;
        }
    }
    for (size_t at = 0; at < n; at += PART)
        CHECK(cl_send(&c, all + at, ASH_MIN((size_t)PART, n - at)));
    uint8_t *seen = calloc(1, N);
    CHECK(seen);
    for (unsigned i = 0; i < N; i++) {
        TRY(cl_reply(&c, false, NULL, 0, 0, &r));
        CHECK(r.error == 0 && r.cookie < N && !seen[r.cookie]);
        seen[r.cookie] = 1;
    }
    for (unsigned i = 1; i < N; i += 2)
        CHECK(w->dev.mem[i * 512ull] == ((i & 0xff) | 1));
    free(seen);
    free(all);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(bursts, 2)

/* DISC: what is in flight takes effect, what follows is ignored, no reply to DISC itself. */
static int disc(struct tw *w)
{
    struct cl c;
    struct reply r;
    uint8_t data[512];
    memset(data, 0x5a, sizeof(data));
    TRY(cl_connect(w, &c, "disk", CL_SIMPLE));
    w->dev.hold = true;
    w->dev.hold_from = 0;
    w->dev.hold_to = 512;
    CHECK(cl_request(&c, 0, NBD_CMD_WRITE, 1, 0, 512, data));
    CHECK(cl_request(&c, 0, NBD_CMD_DISC, 2, 0, 0, NULL));
    CHECK(cl_request(&c, 0, NBD_CMD_WRITE, 3, 4096, 512, data));
    for (unsigned i = 0; i < 2000 && ash_list_empty(&w->dev.held); i++)
        rt_sleep_ns(100000);
    CHECK(!ash_list_empty(&w->dev.held));
    tdev_release(&w->dev);
    TRY(cl_reply(&c, false, NULL, 0, 0, &r));
    CHECK(r.cookie == 1 && r.error == 0);
    CHECK(cl_is_closed(&c));
    CHECK(w->dev.mem[0] == 0x5a && w->dev.mem[4096] == 0);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(disc, 1)

/* The peer vanishes after every possible number of bytes. Nobody is left behind, and a WRITE is
 * applied when its last byte has come, never before. */
static int vanish_everywhere(struct tw *w)
{
    uint8_t script[2048], name[64];
    size_t n = 0, n_name = put_name(name, "disk", "\0\0", 2);
    struct be32 flags = ash_be32(3);
    struct nbd_option_wire sr = {ash_be64(NBD_OPT_MAGIC), ash_be32(NBD_OPT_STRUCTURED_REPLY),
                                 ash_be32(0)};
    struct nbd_option_wire go = {ash_be64(NBD_OPT_MAGIC), ash_be32(NBD_OPT_GO),
                                 ash_be32((uint32_t)n_name)};
    struct nbd_request_wire rd = request(0, NBD_CMD_READ, 1, 0, 40000);
    struct nbd_request_wire wr = request(0, NBD_CMD_WRITE, 2, 8192, 700);
    struct nbd_request_wire fl = request(0, NBD_CMD_FLUSH, 3, 0, 0);
#define PUT(p, len)                                                                                \
    do {                                                                                           \
        memcpy(script + n, p, len);                                                                \
        n += len;                                                                                  \
    } while (0)
    PUT(&flags, 4);
    PUT(&sr, sizeof(sr));
    PUT(&go, sizeof(go));
    PUT(name, n_name);
    PUT(&rd, sizeof(rd));
    PUT(&wr, sizeof(wr));
    memset(script + n, 0xcc, 700);
    n += 700;
    size_t applied_from = n;
    PUT(&fl, sizeof(fl));
#undef PUT
    unsigned step = w->backend == RT_BACKEND_SIM ? 1 : 13;
    for (size_t cut = 0; cut <= n; cut += step) {
        struct cl c;
        memset(w->dev.mem + 8192, 0, 700);
        TRY(cl_open(w, &c));
        CHECK(cl_send(&c, script, cut));
        if (cut % 2) /* half of them go without a word, half end their stream first */
            for (unsigned i = 0; i < cut % 7; i++)
                rt_yield();
        else
            rt_sock_shutdown(c.sock);
        cl_close(&c);
        TRY(tw_wait_no_conns(w));
        for (unsigned i = 0; i < 700 && cut < applied_from; i++)
            CHECK(w->dev.mem[8192 + i] == 0);
        CHECK(w->dev.mem[8192] == w->dev.mem[8891]);
    }
    struct nbd_export_info info;
    CHECK(nbd_find_export(w->srv, "disk", &info) && info.n_connections == 0);
    return 0;
}
NBD_TEST(vanish_everywhere, 2)

struct nth {
    unsigned n_seen, fail_at;
};

static bool nth_fails(void *arg)
{
    struct nth *nth = arg;
    return __atomic_fetch_add(&nth->n_seen, 1, __ATOMIC_RELAXED) == nth->fail_at;
}

/* Every allocation of a whole session fails once: no crash, no leak, and the next client is served
 * as if nothing had been. */
static int out_of_memory(struct tw *w)
{
    static const char hello[] = "\0\0\0\3"
                                "IHAVEOPT\0\0\0\3\0\0\0\0"
                                "IHAVEOPT\0\0\0\10\0\0\0\0"
                                "IHAVEOPT\0\0\0\12\0\0\0\37"
                                "\0\0\0\4disk\0\0\0\1\0\0\0\17base:allocation"
                                "IHAVEOPT\0\0\0\7\0\0\0\14\0\0\0\4disk\0\1\0\3";
    struct nbd_request_wire q[] = {
        request(0, NBD_CMD_READ, 1, 100, 70000),   request(0, NBD_CMD_WRITE_ZEROES, 2, 5, 5000),
        request(1, NBD_CMD_TRIM, 3, 0, 1 << 20),   request(0, NBD_CMD_FLUSH, 4, 0, 0),
        request(0, NBD_CMD_BLOCK_STATUS, 5, 0, 9), request(0, NBD_CMD_DISC, 6, 0, 0)};
    struct nth nth = {0, 0};
    w->dev.cell_hole[4] = 1;
    for (nth.fail_at = 0; nth.fail_at < 400; nth.fail_at++) {
        struct rt_sock *theirs = NULL;
        struct cl c = {0};
        nth.n_seen = 0;
        CHECK(rt_sock_pair(&c.sock, &theirs) == 0);
        rt_set_alloc_hook(w->rt, nth_fails, &nth);
        if (nbd_serve_sock(w->srv, theirs, NULL) == 0 && cl_send(&c, hello, sizeof(hello) - 1) &&
            cl_send(&c, q, sizeof(q)))
            while (!cl_is_closed(&c))
                ;
        rt_set_alloc_hook(w->rt, NULL, NULL);
        cl_close(&c);
        TRY(tw_wait_no_conns(w));
        if (nth.n_seen <= nth.fail_at)
            break; /* nothing was left to fail */
    }
    CHECK(nth.fail_at > 5 && nth.fail_at < 400);
    struct cl c;
    struct reply r;
    uint8_t data[512];
    TRY(cl_connect(w, &c, "disk", CL_STRUCTURED));
    TRY(cl_do(&c, 0, NBD_CMD_READ, 0, 512, data, &r));
    CHECK(r.error == 0);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(out_of_memory, 2)

/* A client that sends requests and never reads: it is stopped by the limits, others are not. */
static int back_pressure(struct tw *w)
{
    struct nbd_limits limits;
    struct cl deaf, good;
    struct reply r;
    uint8_t data[4096];
    nbd_get_limits(w->srv, &limits);
    limits.max_inflight_requests = 64;
    limits.max_inflight_bytes = 4u << 20;
    nbd_set_limits(w->srv, &limits);
    TRY(cl_connect(w, &deaf, "disk", CL_SIMPLE));
    TRY(cl_connect(w, &good, "disk", CL_SIMPLE));
    enum { N = 400 };
    static struct nbd_request_wire q[N];
    for (unsigned i = 0; i < N; i++)
        q[i] = request(0, NBD_CMD_READ, i, 0, 1u << 20);
    CHECK(cl_send(&deaf, q, sizeof(q)));
    for (unsigned i = 0; i < 200; i++) {
        TRY(cl_do(&good, 0, NBD_CMD_READ, 8192, 4096, data, &r));
        CHECK(r.error == 0);
    }
    struct nbd_export_info info;
    CHECK(nbd_find_export(w->srv, "disk", &info));
    CHECK(info.counters.n_reads >= 204 && info.counters.n_reads < 200 + 64);
    /* it begins to read: everything arrives */
    uint8_t *big = rt_buf_get(1u << 20);
    CHECK(big);
    for (unsigned i = 0; i < N; i++) {
        TRY(cl_reply(&deaf, true, big, 0, 1u << 20, &r));
        CHECK(r.error == 0 && r.cookie < N);
    }
    rt_buf_put(big, 1u << 20);
    /* the same again, and then it goes away */
    CHECK(cl_send(&deaf, q, sizeof(q)));
    TRY(cl_do(&good, 0, NBD_CMD_READ, 8192, 4096, data, &r));
    cl_close(&deaf);
    cl_close(&good);
    return tw_wait_no_conns(w);
}
NBD_TEST(back_pressure, 2)

static int remove_task(void *arg)
{
    struct tw *w = arg;
    struct ash_err err = {0};
    return nbd_remove_export(w->srv, "disk", true, &err);
}

struct remover {
    struct tw *w;
    struct rt_event done;
    int (*fn)(void *arg);
};

static void remover_task(void *arg)
{
    struct remover *rm = arg;
    rt_event_set(&rm->done, rm->fn(rm->w));
}

static int unregister_task(void *arg)
{
    struct tw *w = arg;
    return bdev_unregister(&w->dev.bdev);
}

/* Taken away, by name or because its device goes, while requests are in flight: those end well,
 * new ones get ESHUTDOWN, then the connection closes. */
static int removal_under_load(struct tw *w, int (*fn)(void *arg))
{
    struct cl c, shy;
    struct reply r;
    struct ash_err err = {0};
    uint8_t data[4096];
    memset(data, 0x77, sizeof(data));
    TRY(cl_connect(w, &c, "disk", CL_STRUCTURED));
    TRY(cl_open(w, &shy)); /* still in its handshake */
    CHECK(nbd_remove_export(w->srv, "disk", false, &err) == -EBUSY);
    CHECK(err.reason == ASH_E_EXPORT_BUSY);
    w->dev.hold = true;
    w->dev.hold_from = 0;
    w->dev.hold_to = 4096;
    CHECK(cl_request(&c, 0, NBD_CMD_WRITE, 1, 0, 4096, data));
    for (unsigned i = 0; i < 2000 && ash_list_empty(&w->dev.held); i++)
        rt_sleep_ns(100000);
    struct remover rm = {w, RT_EVENT_INIT, fn};
    CHECK(rt_task_spawn("remover", remover_task, &rm) == 0);
    for (unsigned i = 0; i < 20; i++)
        rt_yield();
    struct nbd_export_info info;
    CHECK(!nbd_find_export(w->srv, "disk", &info));
    CHECK(cl_request(&c, 0, NBD_CMD_WRITE, 2, 8192, 4096, data));
    TRY(cl_reply(&c, false, NULL, 8192, 4096, &r));
    CHECK(r.cookie == 2 && r.error == NBD_ESHUTDOWN);
    CHECK(!rm.done.is_set);
    CHECK(w->dev.mem[8192] == 0);
    tdev_release(&w->dev);
    CHECK(w->dev.mem[0] == 0x77);
    TRY(cl_reply(&c, false, NULL, 0, 4096, &r));
    CHECK(r.cookie == 1 && r.error == 0);
    CHECK(rt_event_wait(&rm.done) == 0);
    CHECK(cl_is_closed(&c)); /* when its grace is over */
    cl_close(&c);
    uint32_t type;
    unsigned n_before;
    TRY(cl_hello(&shy, 3));
    CHECK(cl_option(&shy, NBD_OPT_GO, "\0\0\0\4disk\0\0", 10));
    TRY(cl_final(&shy, NBD_OPT_GO, &type, &n_before));
    CHECK(type == NBD_REP_ERR_UNKNOWN);
    cl_close(&shy);
    TRY(tw_wait_no_conns(w));
    CHECK(nbd_remove_export(w->srv, "disk", true, NULL) == -ENOENT);
    return 0;
}

static int export_removed(struct tw *w)
{
    TRY(removal_under_load(w, remove_task));
    CHECK(!bdev_is_open(&w->dev.bdev));
    return 0;
}
NBD_TEST(export_removed, 1)

static int device_removed(struct tw *w)
{
    TRY(removal_under_load(w, unregister_task));
    CHECK(w->dev.destroyed);
    return 0;
}
NBD_TEST(device_removed, 1)

static int resized(struct tw *w)
{
    struct cl c;
    struct reply r;
    uint8_t data[512];
    TRY(bdev_unregister(&w->dev.bdev)); /* a smaller one in its place */
    memset(&w->dev, 0, sizeof(w->dev));
    TRY(tdev_add(w->mgr, &w->module, &w->dev, "dev"));
    TRY(bdev_resized(&w->dev.bdev, 1 << 20));
    TRY(nbd_add_export(w->srv, "dev", NULL, false, NULL, NULL));
    TRY(cl_connect(w, &c, "", CL_STRUCTURED));
    CHECK(c.size == 1 << 20);
    TRY(cl_do(&c, 0, NBD_CMD_READ, 1 << 20, 512, data, &r));
    CHECK(r.error == NBD_EINVAL);
    TRY(bdev_resized(&w->dev.bdev, 2 << 20));
    TRY(cl_do(&c, 0, NBD_CMD_READ, 1 << 20, 512, data, &r));
    CHECK(r.error == 0);
    CHECK(bdev_resized(&w->dev.bdev, 1 << 20) == -EBUSY);
    cl_close(&c);
    return tw_wait_no_conns(w);
}
NBD_TEST(resized, 1)

static int limits_of_connections(struct tw *w)
{
    struct nbd_limits limits;
    struct cl c[5];
    uint32_t type;
    unsigned n_before;
    nbd_get_limits(w->srv, &limits);
    limits.max_connections = 4;
    limits.max_export_connections = 2;
    nbd_set_limits(w->srv, &limits);
    TRY(cl_connect(w, &c[0], "disk", CL_SIMPLE));
    TRY(cl_connect(w, &c[1], "disk", CL_SIMPLE));
    TRY(cl_open(w, &c[2]));
    TRY(cl_hello(&c[2], 3));
    CHECK(cl_option(&c[2], NBD_OPT_GO, "\0\0\0\4disk\0\0", 10));
    TRY(cl_final(&c[2], NBD_OPT_GO, &type, &n_before));
    CHECK(type == NBD_REP_ERR_POLICY);
    TRY(cl_open(w, &c[3]));
    struct rt_sock *mine, *theirs;
    struct ash_err err = {0};
    CHECK(rt_sock_pair(&mine, &theirs) == 0);
    CHECK(nbd_serve_sock(w->srv, theirs, &err) == -EBUSY && err.reason == ASH_E_EXPORT_LIMIT);
    rt_sock_close(mine);
    cl_close(&c[0]);
    for (unsigned i = 0; i < 5000 && nbd_n_connections(w->srv) == 4; i++)
        rt_sleep_ns(100000);
    TRY(cl_go(&c[2], "disk"));
    for (unsigned i = 1; i < 4; i++)
        cl_close(&c[i]);
    return tw_wait_no_conns(w);
}
NBD_TEST(limits_of_connections, 1)

static int exports_table(struct tw *w)
{
    struct ash_err err = {0};
    struct nbd_export_info info;
    CHECK(nbd_add_export(w->srv, "dev", "disk", false, NULL, &err) == -EEXIST);
    ash_err_clear(&err);
    CHECK(nbd_add_export(w->srv, "none", NULL, false, NULL, &err) == -ENODEV);
    ash_err_clear(&err);
    CHECK(nbd_add_export(w->srv, "dev", "bad\xff", false, NULL, &err) == -EINVAL);
    CHECK(err.reason == ASH_E_BAD_NAME);
    ash_err_clear(&err);
    CHECK(nbd_add_export(w->srv, "dev", "x", false, "bad\xff", &err) == -EINVAL);
    ash_err_clear(&err);
    CHECK(nbd_find_export(w->srv, "", &info) && strcmp(info.name, "disk") == 0);
    TRY(nbd_add_export(w->srv, "dev", NULL, true, NULL, &err));
    CHECK(!nbd_find_export(w->srv, "", &info)); /* which of two? */
    TRY(nbd_set_default_export(w->srv, "dev", &err));
    CHECK(nbd_find_export(w->srv, "", &info) && info.read_only && info.is_default);
    CHECK(nbd_set_default_export(w->srv, "nope", &err) == -ENOENT);
    TRY(nbd_remove_export(w->srv, "dev", false, NULL));
    CHECK(nbd_find_export(w->srv, "", &info) && strcmp(info.name, "disk") == 0);
    CHECK(nbd_remove_export(w->srv, "", true, NULL) == -ENOENT);
    return 0;
}
NBD_TEST(exports_table, 1)

/* The methods ask the engine for its server; here the engine is the server. Weak, because the
 * library has a real engine too, which nothing here needs. */
__attribute__((weak)) struct nbd_server *ash_engine_nbd(struct ash_engine *engine)
{
    return (struct nbd_server *)(void *)engine;
}

static int call(struct tw *w, const char *method, const char *json, char *out, size_t n_out)
{
    const struct ash_method *m = nbd_methods;
    struct ash_err err = {0};
    struct ash_buf buf = {0};
    struct ash_jsonw jw;
    uint64_t params[16] = {0};
    while (m->name && strcmp(m->name, method) != 0)
        m++;
    ASH_ASSERT(m->name && m->params_bytes <= sizeof(params));
    ash_jsonw_init(&jw, &buf);
    struct ash_call c = {
        .bdevs = w->mgr, .engine = (struct ash_engine *)(void *)w->srv, .result = &jw, .err = &err};
    struct json_object *obj = json ? json_tokener_parse(json) : NULL;
    int rc = m->params ? ash_params_from_json(m->params, params, obj, false, &err) : 0;
    if (rc == 0) {
        rc = m->run(&c, params);
        if (m->params)
            ash_params_free(m->params, params);
    }
    snprintf(out, n_out, "%s", rc ? err.text : ash_buf_text(&buf));
    json_object_put(obj);
    ash_buf_free(&buf);
    return rc;
}

static int methods(struct tw *w)
{
    char out[2048];
    TRY(call(w, "nbd_listen", "{\"uri\":\"tcp://127.0.0.1:0\"}", out, sizeof(out)));
    CHECK(strncmp(out, "\"tcp://127.0.0.1:", 17) == 0 && strstr(out, ":0\"") == NULL);
    out[strlen(out) - 1] = 0;
    char uri[128], json[256];
    snprintf(uri, sizeof(uri), "nbd://%.80s/a%%20disk", out + 7);
    snprintf(json, sizeof(json), "{\"uri\":%.100s\"}", out);
    char address[128];
    snprintf(address, sizeof(address), "%.100s", out + 1);
    CHECK(call(w, "nbd_listen", json, out, sizeof(out)) == -EEXIST);
    TRY(call(w, "nbd_get_listeners", NULL, out, sizeof(out)));
    CHECK(strstr(out, address) && out[0] == '[');
    TRY(call(w, "nbd_add_export",
             "{\"bdev\":\"dev\",\"name\":\"a disk\",\"readonly\":true,\"default\":true,"
             "\"description\":\"for people\"}",
             out, sizeof(out)));
    CHECK(strcmp(out, "\"a disk\"") == 0);
    TRY(call(w, "nbd_get_exports", NULL, out, sizeof(out)));
    CHECK(strstr(out, uri) && strstr(out, "\"description\":\"for people\""));
    CHECK(strstr(out, "\"readonly\":true,\"default\":true,\"connections\":0"));
    if (w->backend != RT_BACKEND_SIM) { /* through the listener */
        struct cl c = {0};
        TRY(rt_connect(address, &c.sock, NULL));
        TRY(cl_hello(&c, 3));
        TRY(cl_go(&c, ""));
        CHECK(c.flags & NBD_TF_READ_ONLY);
        CHECK(call(w, "nbd_remove_export", "{\"name\":\"a disk\"}", out, sizeof(out)) == -EBUSY);
        cl_close(&c);
        TRY(tw_wait_no_conns(w));
    }
    TRY(call(w, "nbd_remove_export", "{\"name\":\"a disk\",\"force\":true}", out, sizeof(out)));
    CHECK(strcmp(out, "true") == 0);
    TRY(call(w, "nbd_unlisten", json, out, sizeof(out)));
    CHECK(call(w, "nbd_unlisten", json, out, sizeof(out)) == -ENOENT);
    TRY(call(w, "nbd_get_listeners", NULL, out, sizeof(out)));
    CHECK(strcmp(out, "[]") == 0);
    return 0;
}
NBD_TEST(methods, 2)

/* The server ends while clients are connected in every state. */
static int destroy_with_clients(struct tw *w)
{
    struct cl c[3];
    struct ash_err err = {0};
    uint8_t data[512];
    struct reply r;
    TRY(cl_connect(w, &c[0], "disk", CL_SIMPLE));
    TRY(cl_open(w, &c[1]));
    TRY(cl_connect(w, &c[2], "disk", CL_STRUCTURED));
    TRY(cl_do(&c[2], 0, NBD_CMD_READ, 0, 512, data, &r));
    CHECK(cl_request(&c[2], 0, NBD_CMD_WRITE, 1, 0, 512, NULL)); /* the payload never comes */
    nbd_server_destroy(w->srv);
    for (unsigned i = 0; i < 3; i++) {
        while (!cl_is_closed(&c[i]))
            ;
        cl_close(&c[i]);
    }
    CHECK(!bdev_is_open(&w->dev.bdev));
    return nbd_server_create(w->mgr, &w->srv, &err);
}
NBD_TEST(destroy_with_clients, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NBD_TESTS(read_write),
        NBD_TESTS(zero_trim_flush),
        NBD_TESTS(trim_unsupported),
        NBD_TESTS(holes),
        NBD_TESTS(device_errors),
        NBD_TESTS(out_of_order),
        NBD_TESTS(flushes_share),
        NBD_TESTS(bursts),
        NBD_TESTS(disc),
        NBD_TESTS(vanish_everywhere),
        NBD_TESTS(out_of_memory),
        NBD_TESTS(back_pressure),
        NBD_TESTS(export_removed),
        NBD_TESTS(device_removed),
        NBD_TESTS(resized),
        NBD_TESTS(limits_of_connections),
        NBD_TESTS(exports_table),
        NBD_TESTS(methods),
        NBD_TESTS(destroy_with_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
