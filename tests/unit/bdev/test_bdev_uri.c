/* SPDX-License-Identifier: Apache-2.0 */
/* Device URIs: docs/spec/mayastor-bdev-uris.md 1-4, 6. */
#include "bdev_test.h"

enum { BLK_BYTES = 1 << 20 };

static void make_disk(struct rt *rt)
{
    assert_non_null(rt_sim_disk_create(rt, "/disks/a b", BLK_BYTES, 512));
    assert_non_null(rt_sim_disk_create(rt, "/disks/odd", 1000, 512));
    struct rt_sim_disk *dev = rt_sim_disk_create(rt, "/dev/four", BLK_BYTES, 4096);
    assert_non_null(dev);
    rt_sim_disk_set_device(dev, true);
}

#define S ASH_E_BDEV_URI_SYNTAX
#define U ASH_E_BDEV_URI_SCHEME
#define I ASH_E_BDEV_URI_INVALID
#define P ASH_E_BDEV_URI_PARAM
#define G ASH_E_BDEV_BAD_GEOMETRY

/* text: what the message must hold */
static const struct {
    const char *uri;
    enum ash_reason reason;
    const char *text;
} bad[] = {
    {"", S, "Error parsing URI ''"},
    {"disk", S, "Error parsing URI 'disk'"},
    {"://x", S, "Error parsing"},
    {":", S, "Error parsing"},
    {"1aio:///x", S, "Error parsing"},
    {"ai o:///x", S, "Error parsing"},
    {"a_b:///x", S, "Error parsing"},
    {"-aio:///x", S, "Error parsing"},
    {"malloc", S, "Error parsing"},
    {"malloc:///%zz?size_mb=1", S, "broken % escape"},
    {"malloc:///x%2?size_mb=1", S, "broken % escape"},
    {"malloc:///x%00y?size_mb=1", S, "broken % escape"},
    {"malloc:///x?size_mb=%4", S, "broken % escape"},
    {"malloc:///x?%gg=4", S, "broken % escape"},
    {"ftp:///x", U, "Unsupported URI scheme: ftp"},
    {"nvme:///x", U, "Unsupported URI scheme: nvme"},
    {"lvs:///x", U, "Unsupported URI scheme: lvs"},
    {"crypto:///x", U, "Unsupported URI scheme: crypto"},
    {"encryption:///x", U, "Unsupported URI scheme: encryption"},
    {"ftl:///x", U, "Unsupported URI scheme: ftl"},
    {"MALLOCX:///x", U, "Unsupported URI scheme: mallocx"},
    {"http://host/x", U, "Unsupported URI scheme: http"},
    {"inject:///x", U, "Unsupported URI scheme: inject"},
    {"aio://", I, "no path segments"},
    {"aio:///", I, "Invalid URI 'aio:///': no path segments"},
    {"aio:", I, "no path segments"},
    {"aio:///?blk_size=512", I, "no path segments"},
    {"aio:///x?foo=1", I, "unrecognized parameter(s): foo=1"},
    {"aio:///x?foo=1&bar=2", I, "unrecognized parameter(s): foo=1, bar=2"},
    {"aio:///x?foo", I, "unrecognized parameter(s): foo="},
    {"aio:///x?BLK_SIZE=512", I, "unrecognized parameter(s): BLK_SIZE=512"},
    {"aio:///x?read_only=1", I, "unrecognized parameter(s): read_only=1"},
    {"uring:///x?rescan&readonly", I, "unrecognized parameter(s): rescan="},
    {"malloc:///x?size_mb=1&readonly", I, "unrecognized parameter(s): readonly="},
    {"aio:///x?blk_size=", P,
     "could not parse value of parameter 'blk_size': '' is given, an integer expected"},
    {"aio:///x?blk_size=four", P, "'four' is given, an integer expected"},
    {"aio:///x?blk_size=-1", P, "'-1' is given"},
    {"aio:///x?blk_size=0x200", P, "'0x200' is given"},
    {"aio:///x?blk_size=512K", P, "'512K' is given"},
    {"aio:///x?blk_size=4294967296", P, "'4294967296' is given"},
    {"aio:///x?blk_size=+512", P, "' 512' is given"},
    {"aio:///x?uuid=1234", P, "could not parse value of UUID parameter"},
    {"aio:///x?uuid=", P, "could not parse value of UUID parameter"},
    {"aio:///x?uuid=zzzzzzzz-0000-4000-8000-000000000000", P, "UUID parameter"},
    {"aio:///does/not/exist", ASH_E_RT_FILE_OPEN, "/does/not/exist"},
    {"/does/not/exist", ASH_E_RT_FILE_OPEN, "/does/not/exist"},
    {"./nothing", ASH_E_RT_FILE_OPEN, "./nothing"},
    {"aio:///disks/odd", G, "not a multiple of the block size 512"},
    {"aio:///disks/a%20b?blk_size=256", G, "block size 256"},
    {"aio:///disks/a%20b?blk_size=1000", G, "block size 1000"},
    {"aio:///dev/four?blk_size=512", G, "4096"},
    {"uring:///", I, "no path segments"},
    {"uring:///x?rescan", I, "unrecognized parameter(s): rescan="},
    {"uring:///x?blk_size=x", P, "'x' is given, an integer expected"},
    {"uring:///does/not/exist", ASH_E_RT_FILE_OPEN, "/does/not/exist"},
    {"malloc:///?size_mb=1", I, "empty path"},
    {"malloc://?size_mb=1", I, "empty path"},
    {"malloc:///x", I, "either 'num_blocks' or 'size_mb' must be specified"},
    {"malloc:///x?size_mb=0", I, "either 'num_blocks' or 'size_mb' must be specified"},
    {"malloc:///x?size_mb=0&num_blocks=0", I, "either 'num_blocks' or 'size_mb'"},
    {"malloc:///x?size_mb=1&num_blocks=1", I, "'num_blocks' and 'size_mb' are mutually exclusive"},
    {"malloc:///x?size_mb=1&blk_size=1024", I, "'blk_size' must be one of: 512, 4096"},
    {"malloc:///x?size_mb=1&blk_size=0", I, "'blk_size' must be one of: 512, 4096"},
    {"malloc:///x?size_mb=1.5", P, "parameter 'size_mb': '1.5' is given, an integer expected"},
    {"malloc:///x?num_blocks=99999999999", P, "parameter 'num_blocks'"},
    {"malloc:///x?size_mb=1&uuid=0", P, "UUID parameter"},
    {"malloc:///x?size_mb=1&size=1", I, "unrecognized parameter(s): size=1"},
    {"malloc:///x?size_mb=1&md_size=8", I, "unrecognized parameter(s): md_size=8"},
    {"malloc:///there?size_mb=1", ASH_E_BDEV_EXISTS, "name 'there' already exists"},
    {"null:///?size_mb=1", I, "empty path"},
    {"null:///x", G, "bad num_blocks"},
    {"null:///x?size_mb=1&num_blocks=8", I,
     "conflicting parameters num_blocks and size_mb are mutually exclusive"},
    {"null:///x?size_mb=1&blk_size=513", I,
     "invalid blk_size specified must be one of 512 or 4096"},
    {"null:///x?size_mb=99999999999999999999", P, "parameter 'size_mb'"},
    {"null:///x?size_mb=18446744073709551615", G, "null disk"},
    {"null:///x?size_mb=1&resize", I, "unrecognized parameter(s): resize="},
    {"null:///there?size_mb=1", ASH_E_BDEV_EXISTS,
     "Failed to create a BDEV: name 'there' already exists"},
    {"bdev:///", I, "no path segments"},
    {"bdev:///absent", ASH_E_BDEV_NOT_FOUND, "BDEV 'absent' could not be found"},
    {"loopback:///absent", ASH_E_BDEV_NOT_FOUND, "BDEV 'absent' could not be found"},
    {"bdev:///there?uuid=00000000-0000-4000-8000-00000000dead", ASH_E_BDEV_WRONG_UUID,
     "'there' already exists with a different UUID: '00000000-0000-4000-8000-000000000001'"},
    {"bdev:///there?uuid=x", P, "UUID parameter"},
    {"bdev:///there?x=1", I, "unrecognized parameter(s): x=1"},
    {"verify:///v?a=malloc:///q%3Fsize_mb=1", I, "both 'a' and 'b' must be specified"},
};

static void bad_case(struct bdev_mgr *mgr)
{
    char *name;
    CHECK(ASH_N_ELEMS(bad) >= 60);
    CHECK_INT(bdev_create_uri(mgr,
                              "malloc:///there?size_mb=1&uuid=00000000-0000-4000-8000-000000000001",
                              &name, NULL),
              0);
    rt_free(name);
    struct bdev *there = bdev_next(mgr, NULL);
    for (size_t i = 0; i < ASH_N_ELEMS(bad); i++) {
        struct ash_err err = {0};
        name = (char *)1;
        int rc = bdev_create_uri(mgr, bad[i].uri, &name, &err);
        if (rc == 0 || err.reason != bad[i].reason || !strstr(err.text, bad[i].text)) {
            fprintf(stderr, "# %s: rc %d, %s: %s\n", bad[i].uri, rc, ash_reason_name(err.reason),
                    err.text);
            abort();
        }
        CHECK(rc == err.rc && rc < 0 && name == (char *)1);
        CHECK(bdev_next(mgr, NULL) == there && !bdev_next(mgr, there)); /* nothing left behind */
    }
}

static void bad_uris(void **state)
{
    run_in(RT_BACKEND_SIM, 1, make_disk, bad_case);
}

/* ------------------------------------------------------------- good ones */

static struct bdev *create(struct bdev_mgr *mgr, const char *uri, const char *want_name)
{
    char *name = NULL;
    struct ash_err err = {0};
    int rc = bdev_create_uri(mgr, uri, &name, &err);
    if (rc)
        fprintf(stderr, "# %s: %s\n", uri, err.text);
    CHECK_INT(rc, 0);
    CHECK_STR(name, want_name);
    struct bdev *bdev = bdev_find(mgr, name);
    CHECK(bdev && bdev_find(mgr, uri) == bdev); /* the URI is an alias */
    rt_free(name);
    return bdev;
}

static void destroy(struct bdev_mgr *mgr, const char *uri)
{
    struct ash_err err = {0};
    CHECK_INT(bdev_destroy_uri(mgr, uri, &err), 0);
    CHECK(!bdev_find(mgr, uri));
}

static void good_case(struct bdev_mgr *mgr)
{
    struct ash_err err = {0};
    struct bdev *b = create(mgr, "malloc:///m?size_mb=2", "m");
    CHECK(b->block_bytes == 512 && b->size_bytes == 2 << 20);
    char *name;
    CHECK_INT(bdev_create_uri(mgr, "malloc:///m?size_mb=3", &name, &err), -EEXIST);
    CHECK_INT(bdev_create_uri(mgr, "malloc:///m?size_mb=3&resize=false", &name, NULL),
              0); /* flag */
    CHECK_INT(b->size_bytes, 3 << 20);
    rt_free(name);
    /* growing keeps what is there; shrinking is refused while somebody has it open */
    struct bdev_desc *d = open_rw(mgr, "m");
    struct bdev_channel *ch = bdev_channel_get(d);
    char buf[512], back[512];
    fill(buf, 512, 2);
    CHECK_INT(bdev_write(ch, buf, 1 << 20, 512, 0), 0);
    CHECK_INT(bdev_create_uri(mgr, "malloc:///m?size_mb=4&resize", &name, NULL), 0);
    rt_free(name);
    CHECK_INT(bdev_read(ch, back, 1 << 20, 512), 0);
    CHECK(memcmp(buf, back, 512) == 0);
    CHECK_INT(bdev_read(ch, back, (4 << 20) - 512, 512), 0);
    CHECK(back[0] == 0);
    CHECK_INT(bdev_create_uri(mgr, "malloc:///m?size_mb=1&resize", &name, NULL), -EBUSY);
    bdev_channel_put(ch);
    bdev_close(d);
    CHECK_INT(bdev_create_uri(mgr, "malloc:///m?size_mb=1&resize", &name, NULL), 0);
    rt_free(name);
    CHECK_INT(b->size_bytes, 1 << 20);
    destroy(mgr, "malloc:///m?size_mb=2");
    CHECK_INT(bdev_destroy_uri(mgr, "malloc:///m?size_mb=2", NULL), -ENODEV);

    b = create(mgr, "MALLOC:///a/b%20c?num_blocks=100&blk_size=4096#frag", "a/b c");
    CHECK(b->block_bytes == 4096 && b->size_bytes == 409600);
    /* the last of a repeated key wins; all forms of UUIDs; the UUID finds the device */
    b = create(mgr, "malloc:///r?size_mb=9&size_mb=1&uuid=%7B0123456789AB4def8123456789abcdef%7D",
               "r");
    CHECK_INT(b->size_bytes, 1 << 20);
    CHECK(bdev_find(mgr, "01234567-89ab-4def-8123-456789abcdef") == b);
    /* size_mb in 64 bits */
    b = create(
        mgr, "null:///n?size_mb=8192&blk_size=4096&uuid=00000000-0000-4000-8000-000000000009", "n");
    CHECK(b->size_bytes == 8192ull << 20 && b->block_bytes == 4096);
    CHECK(create(mgr, "null:///n2?num_blocks=3", "n2")->size_bytes == 1536);

    /* another name for what is there */
    CHECK(create(mgr, "bdev:///n", "n") == b);
    CHECK(create(mgr, "loopback:///n?uuid=00000000-0000-4000-8000-000000000009", "n") == b);
    CHECK(create(mgr, "bdev:///00000000-0000-4000-8000-000000000009",
                 "00000000-0000-4000-8000-000000000009") == b);
    destroy(mgr, "bdev:///n");
    CHECK(bdev_find(mgr, "n") == b);
    CHECK_INT(bdev_destroy_uri(mgr, "bdev:///absent", &err), 0);

    /* files: the path is the name, percent signs decoded; devices tell their block size */
    b = create(mgr, "aio:///disks/a%20b", "/disks/a b");
    CHECK(b->block_bytes == 512 && b->module == bdev_find(mgr, "/disks/a b")->module);
    CHECK_INT(bdev_create_uri(mgr, "aio:///disks/a%20b", &name, NULL), -EEXIST);
    CHECK_INT(bdev_destroy_uri(mgr, "uring:///disks/a%20b", NULL), -ENODEV);
    rt_sim_disk_resize(rt_sim_disk_find(rt_world(), "/disks/a b"), 2 * BLK_BYTES);
    CHECK_INT(bdev_create_uri(mgr, "aio:///disks/a%20b?rescan", &name, NULL), 0);
    rt_free(name);
    CHECK_INT(b->size_bytes, 2 * BLK_BYTES);
    destroy(mgr, "aio:///disks/a%20b");
    b = create(mgr, "/disks/a b", "/disks/a b");
    destroy(mgr, "/disks/a b");
    b = create(mgr, "uring:///dev/four?uuid=00000000-0000-4000-8000-00000000000a", "/dev/four");
    CHECK_INT(b->block_bytes, 4096);
    CHECK_STR(b->product_name, "URING bdev");
    destroy(mgr, "uring:///dev/four?uuid=00000000-0000-4000-8000-00000000000a");
    /* read-only: several may read a file, nobody writes; the saved configuration says so too */
    static const char *const ro[] = {"aio:///disks/a%20b?readonly",
                                     "uring:///disks/a%20b?blk_size=512&readonly"};
    for (size_t i = 0; i < ASH_N_ELEMS(ro); i++) {
        b = create(mgr, ro[i], "/disks/a b");
        CHECK(b->read_only);
        struct bdev_desc *desc;
        CHECK_INT(bdev_open(mgr, "/disks/a b", BDEV_OPEN_WRITE, "t", NULL, NULL, &desc, NULL),
                  -EROFS);
        CHECK_INT(bdev_open(mgr, "/disks/a b", BDEV_OPEN_READ, "t", NULL, NULL, &desc, NULL), 0);
        bdev_close(desc);
        struct ash_buf text = {0};
        struct ash_jsonw w;
        ash_jsonw_init(&w, &text);
        b->ops->dump_config(b, &w);
        CHECK(strstr(ash_buf_text(&text), "\"readonly\":true"));
        ash_buf_free(&text);
        destroy(mgr, ro[i]);
    }
    b = create(mgr, "aio:///dev/four?blk_size=8192", "/dev/four");
    CHECK_INT(b->block_bytes, 8192);
    /* an alias that is taken is no failure */
    CHECK_INT(bdev_alias_add(b, "null:///late?size_mb=1"), 0);
    CHECK_INT(bdev_create_uri(mgr, "null:///late?size_mb=1", &name, NULL), 0);
    CHECK(bdev_find(mgr, "null:///late?size_mb=1") == b && bdev_find(mgr, "late") != b);
    rt_free(name);
}

static void good_uris(void **state)
{
    run_in(RT_BACKEND_SIM, 1, make_disk, good_case);
    run_in(RT_BACKEND_SIM, 2, make_disk, good_case);
}

static void parse_case(struct bdev_mgr *mgr)
{
    struct bdev_uri u;
    CHECK_INT(bdev_uri_parse("NBD+tcp://Host:10809/exp/a%2Fb?x=1+2&y&&z=%26&x=3", &u, NULL), 0);
    CHECK_STR(u.scheme, "nbd+tcp");
    CHECK_STR(u.host, "Host:10809"); /* as it stands */
    CHECK_STR(u.path, "/exp/a/b");
    CHECK_INT(u.n_segments, 2);
    CHECK_INT(u.n_query, 3);
    CHECK_STR(u.query[0].key, "x");
    CHECK_STR(u.query[0].value, "3");
    CHECK_STR(u.query[1].key, "y");
    CHECK_STR(u.query[1].value, "");
    CHECK_STR(u.query[2].value, "&");
    bdev_uri_free(&u);
    CHECK_INT(bdev_uri_parse("/a?b=c%20", &u, NULL), 0); /* a path, as it stands */
    CHECK_STR(u.scheme, "aio");
    CHECK_STR(u.path, "/a?b=c%20");
    CHECK_INT(u.n_query, 0);
    bdev_uri_free(&u);
    bdev_uri_free(&u); /* harmless */
    CHECK_INT(bdev_uri_parse("x:////", &u, NULL), 0);
    CHECK_INT(u.n_segments, 2);
    bdev_uri_free(&u);
}

static void parsing(void **state)
{
    run_sim(1, parse_case);
}

/* Every allocation of a creation may fail: an error, and nothing is left behind. */
struct nth {
    unsigned n, at;
};

static bool fail_nth(void *arg)
{
    struct nth *n = arg;
    return n->at != 0 && ++n->n == n->at;
}

static void no_memory_case(struct bdev_mgr *mgr)
{
    static const char *const uris[] = {
        "malloc:///m?size_mb=1&uuid=01234567-89ab-4def-8123-456789abcdef",
        "null:///n?num_blocks=8",
        "aio:///disks/a%20b?blk_size=512",
        "verify:///v?a=null:///n1%3Fnum_blocks=8&b=null:///n2%3Fnum_blocks=8",
    };
    struct nth nth = {0};
    rt_set_alloc_hook(rt_world(), fail_nth, &nth);
    for (size_t i = 0; i < ASH_N_ELEMS(uris); i++) {
        unsigned n_failed = 0;
        for (unsigned at = 1;; at++) {
            char *name = NULL;
            struct ash_err err = {0};
            nth = (struct nth){.at = at};
            int rc = bdev_create_uri(mgr, uris[i], &name, &err);
            bool was_hit = nth.n >= at;
            nth.at = 0;
            if (rc == 0) {
                rt_free(name);
                CHECK_INT(bdev_destroy_uri(mgr, uris[i], &err), 0);
            } else {
                CHECK(was_hit && err.reason != ASH_OK);
                n_failed++;
            }
            bdev_wait_for_examine(mgr);
            CHECK(!bdev_next(mgr, NULL));
            if (!was_hit)
                break;
        }
        CHECK(n_failed >= 5);
    }
    rt_set_alloc_hook(rt_world(), NULL, NULL);
}

static void no_memory(void **state)
{
    run_in(RT_BACKEND_SIM, 1, make_disk, no_memory_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_uris),
        cmocka_unit_test(good_uris),
        cmocka_unit_test(parsing),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
