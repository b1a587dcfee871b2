/* SPDX-License-Identifier: Apache-2.0 */
/* The engine over disks that SPDK wrote (tests/golden): each is opened read-only (not a byte of the
 * file may change), then a copy is opened for writing, closed, judged by the checker and opened
 * again. Each time volumes, sizes, relations, counts and contents must be what SPDK reported.
 *
 *   golden_load GOLDEN_DIR IMAGE_DIR [CASE...]      images come from tests/golden/unpack IMAGE_DIR
 */
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dirent.h>
#include <fcntl.h>

#include "pool_test.h"

static unsigned n_checked, n_volumes, n_failed;

struct one {
    const char *name, *image_dir;
    struct json_object *manifest;
    char store_path[1024];
    bool read_only;
    bool failed;
};

static void complain(struct one *o, const char *fmt, ...) ASH_PRINTF(2, 3);
static void complain(struct one *o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("# %s%s: ", o->name, o->read_only ? " (read-only)" : "");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    o->failed = true;
}

static const char *str(struct json_object *o, const char *key)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : NULL;
}

static int64_t num(struct json_object *o, const char *key)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : -1;
}

static bool flag(struct json_object *o, const char *key)
{
    struct json_object *v;
    return o && json_object_object_get_ex(o, key, &v) && json_object_get_boolean(v);
}

static struct json_object *get(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    if (o)
        json_object_object_get_ex(o, key, &v);
    return v;
}

static void hex_of(const unsigned char *digest, char hex[65])
{
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* sha256 of a device's content; empty when it cannot be read. */
static void hash_bdev(struct pt *t, const char *name, char hex[65])
{
    struct bdev_desc *desc;
    unsigned char digest[EVP_MAX_MD_SIZE];
    hex[0] = '\0';
    if (bdev_open(t->mgr, name, BDEV_OPEN_READ, "test", NULL, NULL, &desc, NULL))
        return;
    uint64_t n = bdev_desc_bdev(desc)->size_bytes, step = 1 << 20;
    struct bdev_channel *ch = bdev_channel_get(desc);
    uint8_t *buf = rt_buf_get(step);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    int rc = 0;
    for (uint64_t at = 0; at < n && rc == 0; at += step) {
        rc = bdev_read(ch, buf, at, ASH_MIN(step, n - at));
        EVP_DigestUpdate(ctx, buf, ASH_MIN(step, n - at));
    }
    EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    rt_buf_put(buf, step);
    bdev_channel_put(ch);
    bdev_close(desc);
    if (rc == 0)
        hex_of(digest, hex);
}

/* For the one disk whose recorded sums are those of zeroes, though the disk holds what was written:
 * every write of the history that no later one touches must be there (the pattern is described in
 * the README of the disks). Snapshot and clone are left to the other disks. */
static void compare_pattern(struct pt *t, struct one *o, const char *uuid, const char *name)
{
    struct json_object *history = get(o->manifest, "history");
    uint8_t *data = NULL;
    char want[40];
    unsigned n_seen = 0;
    int64_t size = pt_read_all(t, uuid, &data);
    for (size_t i = 0; size > 0 && i < json_object_array_length(history); i++) {
        struct json_object *h = json_object_array_get_idx(history, i);
        const char *on = str(h, "on");
        if (!on || strcmp(str(h, "op"), "write") != 0 || strcmp(on + 5, name) != 0)
            continue;
        for (int64_t at = num(h, "off"); at < num(h, "off") + num(h, "len"); at += 4096) {
            char tag[13];
            memset(tag, '_', 12);
            memcpy(tag, str(h, "tag"), strlen(str(h, "tag")));
            tag[12] = '\0';
            snprintf(want, sizeof(want), "%sg", tag);
            n_seen++;
            if (memcmp(data + at, want, 13) != 0 || strtoll((char *)data + at + 18, NULL, 16) != at)
                complain(o, "%s: block at %lld is not what was written", name, (long long)at);
        }
    }
    if (strcmp(name, "thick") == 0 && n_seen == 0)
        complain(o, "no write of '%s' was found", name);
    free(data);
}

static void compare_volume(struct pt *t, struct one *o, struct pool *pool, struct json_object *want)
{
    const char *name = str(want, "name");
    struct volume *v = volume_find_in(pool, name);
    struct volume_info info;
    char uuid[ASH_UUID_TEXT_BYTES], hex[65];
    if (!v) {
        complain(o, "volume '%s' is missing", name);
        return;
    }
    n_volumes++;
    volume_get_info(v, &info);
    struct volume *parent = info.parent;
#define SAME(what, have, expect)                                                                   \
    do {                                                                                           \
        long long h_ = (long long)(have), e_ = (long long)(expect);                                \
        if (h_ != e_)                                                                              \
            complain(o, "%s: %s is %lld, not %lld", name, what, h_, e_);                           \
    } while (0)
    if (strcmp(ash_uuid_format(&info.uuid, uuid), str(want, "uuid")) != 0)
        complain(o, "%s: uuid is %s", name, uuid);
    SAME("thin", info.thin, flag(want, "thin"));
    SAME("snapshot", info.spdk_snapshot, flag(want, "snapshot"));
    SAME("clone", info.clone, flag(want, "clone"));
    SAME("esnap clone", info.esnap_clone, flag(want, "esnap_clone"));
    SAME("degraded", info.state == VOLUME_DEGRADED, flag(want, "degraded"));
    struct json_object *allocated = get(want, "num_allocated_clusters");
    if (!allocated) /* the fork reports it with the bdev only */
        allocated = get(want, "bdev_num_allocated_clusters");
    if (allocated)
        SAME("allocated", info.n_allocated_clusters, json_object_get_int64(allocated));
    if (num(want, "size_bytes") >= 0)
        SAME("size", info.size_bytes, num(want, "size_bytes"));
    if (info.state == VOLUME_FAULTED)
        complain(o, "%s: faulted: %s", name, info.fault);
    const char *base = str(get(want, "driver_specific_lvol"), "base_snapshot");
    if (base) {
        struct volume_info parent_info = {0};
        if (parent)
            volume_get_info(parent, &parent_info);
        if (!parent || strcmp(parent_info.name, base) != 0)
            complain(o, "%s: parent is not '%s'", name, base);
    }
    if (strcmp(o->name, "cluster-192k-512") == 0) {
        compare_pattern(t, o, str(want, "uuid"), name);
    } else if (str(want, "sha256") && !get(want, "read_error")) {
        hash_bdev(t, str(want, "uuid"), hex);
        if (strcmp(hex, str(want, "sha256")) != 0)
            complain(o, "%s: content is %s, not %s", name, hex[0] ? hex : "unreadable",
                     str(want, "sha256"));
    }
}

static int compare(struct pt *t, void *arg)
{
    struct one *o = arg;
    struct json_object *images = get(o->manifest, "images"), *truth = get(o->manifest, "truth");
    char uri[2600];
    struct ash_err err = {0};
    for (size_t i = 0; images && i < json_object_array_length(images); i++) {
        struct json_object *im = json_object_array_get_idx(images, i);
        if (strcmp(str(im, "role"), "external snapshot") != 0 ||
            flag(im, "absent_when_truth_was_taken"))
            continue;
        snprintf(uri, sizeof(uri), "aio://%s/%.*s?blk_size=%lld&uuid=%s", o->image_dir,
                 (int)(strlen(str(im, "file")) - 4), str(im, "file"),
                 (long long)num(im, "block_size"), str(im, "bdev_uuid"));
        if (pt_add_disk(t, uri, &err))
            complain(o, "%s: %s", uri, err.text);
    }
    snprintf(uri, sizeof(uri),
             "{\"name\":\"disk0\",\"filename\":\"%s\",\"block_size\":%lld,\"readonly\":%s}",
             o->store_path, (long long)ASH_MAX(num(o->manifest, "block_size"), 512),
             o->read_only ? "true" : "false");
    int rc = call(t->mgr, "bdev_aio_create", uri, NULL, &err);
    bdev_wait_for_examine(t->mgr);
    if (rc) {
        complain(o, "%s: %s", uri, err.text);
        return 0;
    }
    struct json_object *stores = get(truth, "stores"), *lvols = get(truth, "lvols");
    struct pool *pool = pool_next(t->pools, NULL);
    struct pool_info info;
    size_t n_stores = stores ? json_object_array_length(stores) : 0;
    if (n_stores == 0)
        return 0; /* what SPDK makes nothing of: it must not hurt us */
    if (!pool) {
        complain(o, "no pool was found");
        return 0;
    }
    struct json_object *store = json_object_array_get_idx(stores, 0);
    pool_get_info(pool, &info);
    if (strcmp(info.name, str(store, "name")) != 0)
        complain(o, "pool is called '%s'", info.name);
    if (info.n_free_clusters != (uint64_t)num(store, "free_clusters") ||
        info.n_clusters != (uint64_t)num(store, "total_data_clusters"))
        complain(o, "%llu clusters free of %llu, not %lld of %lld",
                 (unsigned long long)info.n_free_clusters, (unsigned long long)info.n_clusters,
                 (long long)num(store, "free_clusters"),
                 (long long)num(store, "total_data_clusters"));
    if (info.n_volumes != json_object_array_length(lvols))
        complain(o, "%zu volumes, not %zu", info.n_volumes, json_object_array_length(lvols));
    for (size_t i = 0; i < json_object_array_length(lvols); i++)
        compare_volume(t, o, pool, json_object_array_get_idx(lvols, i));
    return 0;
}

static void engine(struct one *o)
{
    struct rt_opts opts;
    struct rt *rt;
    rt_opts_init(&opts);
    opts.n_reactors = 1;
    CHECK_INT(rt_create(&opts, &rt, NULL), 0);
    struct pt_case c = {.rt = rt, .fn = compare, .arg = o, .read_only = o->read_only};
    rt_run_task(rt, "case", pt_main, &c);
    rt_destroy(rt);
}

/* A write would change this. (Blocks in use would not do: a file system may count them late.) */
static bool same_file(const char *path, const struct stat *before)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           st.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

struct fd_dev {
    int fd;
};

static int fd_read(void *ctx, uint64_t offset, void *buf, size_t n)
{
    return pread(((struct fd_dev *)ctx)->fd, buf, n, (off_t)offset) == (ssize_t)n ? 0 : -EIO;
}

static void judge(struct one *o)
{
    struct stat st;
    struct fd_dev fd = {open(o->store_path, O_RDONLY)};
    fstat(fd.fd, &st);
    struct lvs_check_dev dev = {
        .read = fd_read, .size_bytes = (uint64_t)st.st_size, .block_bytes = 512, .ctx = &fd};
    struct lvs_report report;
    int rc = lvs_check(&dev, NULL, &report);
    if (rc ||
        (report.readable && report.lvstore && (!lvs_report_is_clean(&report) || !report.clean))) {
        struct ash_buf text = {0};
        lvs_report_text(&report, &text);
        complain(o, "not clean after closing: rc %d\n%s", rc, ash_buf_text(&text));
        ash_buf_free(&text);
    }
    lvs_report_fini(&report);
    close(fd.fd);
}

static void run_one(const char *golden_dir, const char *image_dir, const char *name)
{
    char path[700], cmd[2000];
    struct stat before;
    struct one o = {.name = name, .image_dir = image_dir};
    snprintf(path, sizeof(path), "%s/%s.json", golden_dir, name);
    o.manifest = json_object_from_file(path);
    CHECK(o.manifest);
    if ((size_t)snprintf(o.store_path, sizeof(o.store_path), "%s/%s.img", image_dir, name) >=
        sizeof(o.store_path))
        abort();
    n_checked++;
    o.read_only = true;
    CHECK_INT(stat(o.store_path, &before), 0);
    engine(&o);
    if (!same_file(o.store_path, &before))
        complain(&o, "a read-only open changed the disk");
    o.read_only = false;
    snprintf(path, sizeof(path), "%s/work-%d.img", image_dir, (int)getpid());
    snprintf(cmd, sizeof(cmd), "cp --sparse=always '%s' '%s'", o.store_path, path);
    CHECK_INT(system(cmd), 0);
    memcpy(o.store_path, path, sizeof(path));
    engine(&o);
    judge(&o);
    engine(&o);
    judge(&o);
    unlink(path);
    json_object_put(o.manifest);
    printf("%s %s\n", o.failed ? "not ok" : "ok", name);
    n_failed += o.failed;
}

int main(int argc, char **argv)
{
    CHECK(argc >= 3);
    char *abs = realpath(argv[2], NULL);
    CHECK(abs);
    struct dirent **list;
    int n = scandir(argv[1], &list, NULL, alphasort);
    CHECK(n > 0);
    for (int i = 0; i < n; i++) {
        char *dot = strstr(list[i]->d_name, ".json");
        bool wanted = dot && argc == 3;
        if (dot)
            *dot = '\0';
        for (int k = 3; dot && k < argc; k++)
            wanted |= strcmp(argv[k], list[i]->d_name) == 0;
        if (wanted)
            run_one(argv[1], abs, list[i]->d_name);
        free(list[i]);
    }
    free(list);
    free(abs);
    printf("%u disks, %u volumes compared, %u disks failed\n", n_checked, n_volumes, n_failed);
    return n_failed != 0;
}
