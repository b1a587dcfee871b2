/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the checker over disks that SPDK wrote (tests/golden) and compares what it finds with what
 * SPDK reported about them; then repairs a private copy in memory, which must end clean.
 *
 *   golden_check GOLDEN_DIR IMAGE_DIR [-v]      images come from tests/golden/unpack IMAGE_DIR */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/lvs/check.h"

struct disk {
    uint8_t *bytes;
    uint64_t n_bytes;
};

struct run {
    const char *golden_dir, *image_dir;
    bool verbose;
    unsigned n_disks, n_volumes, n_failed;
    const char *name; /* of the disk at hand */
    bool failed;
};

static void complain(struct run *run, const char *fmt, ...) ASH_PRINTF(2, 3);
static void complain(struct run *run, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    printf("# %s: ", run->name);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
    run->failed = true;
}

static int disk_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    struct disk *d = ctx;

    if (offset + n_bytes > d->n_bytes)
        return -EINVAL;
    memcpy(buf, d->bytes + offset, n_bytes);
    return 0;
}

static int disk_write(void *ctx, uint64_t offset, const void *buf, size_t n_bytes)
{
    struct disk *d = ctx;

    if (offset + n_bytes > d->n_bytes)
        return -EINVAL;
    memcpy(d->bytes + offset, buf, n_bytes);
    return 0;
}

static int disk_flush(void *ctx)
{
    return 0;
}

/* A private mapping: writes stay in memory. */
static bool disk_open(struct disk *d, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return false;
    d->n_bytes = (uint64_t)st.st_size;
    void *p = mmap(NULL, d->n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    close(fd);
    d->bytes = p;
    return p != MAP_FAILED;
}

static void show(const struct lvs_report *r)
{
    struct ash_buf buf = {0};

    lvs_report_text(r, &buf);
    for (char *line = strtok(buf.data, "\n"); line; line = strtok(NULL, "\n"))
        printf("#   %s\n", line);
    ash_buf_free(&buf);
}

/* ---- against the manifest ---- */

static json_object *get(json_object *o, const char *key)
{
    json_object *v = NULL;

    return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static const char *get_text(json_object *o, const char *key)
{
    json_object *v = get(o, key);

    return v ? json_object_get_string(v) : "";
}

static uint64_t get_number(json_object *o, const char *key)
{
    return json_object_get_uint64(get(o, key));
}

static bool get_bool(json_object *o, const char *key)
{
    return json_object_get_boolean(get(o, key));
}

static const struct lvs_report_volume *find_volume(const struct lvs_report *r, const char *name)
{
    for (size_t i = 0; i < r->n_volumes; i++) {
        if (strcmp(r->volumes[i].name, name) == 0)
            return &r->volumes[i];
    }
    return NULL;
}

static const char *parent_name(const struct lvs_report *r, const struct lvs_report_volume *v)
{
    for (size_t i = 0; i < r->n_volumes; i++) {
        if (r->volumes[i].blob_id == v->parent_id)
            return r->volumes[i].name;
    }
    return "";
}

static void compare_volume(struct run *run, const struct lvs_report *r, json_object *lvol)
{
    const char *name = get_text(lvol, "name");
    const struct lvs_report_volume *v = find_volume(r, name);
    char uuid[ASH_UUID_TEXT_BYTES];

    if (!v) {
        complain(run, "no volume '%s'", name);
        return;
    }
    run->n_volumes++;
    bool esnap = v->parent_id == LVS_ESNAP_BLOB, clone = !esnap && v->parent_id != LVS_NO_BLOB;
    if (strcmp(get_text(lvol, "uuid"), ash_uuid_format(&v->uuid, uuid)) != 0)
        complain(run, "'%s' has UUID %s", name, uuid);
    if (get_bool(lvol, "thin") != v->thin)
        complain(run, "'%s' thin: %d", name, v->thin);
    if (get_bool(lvol, "clone") != clone || get_bool(lvol, "esnap_clone") != esnap)
        complain(run, "'%s' clone: %d, external: %d", name, clone, esnap);
    if (get_bool(lvol, "snapshot") != (v->n_clones > 0))
        complain(run, "'%s' has %u clones", name, v->n_clones);
    if (get(lvol, "num_allocated_clusters") &&
        get_number(lvol, "num_allocated_clusters") != v->n_allocated)
        complain(run, "'%s' has %llu clusters, SPDK says %llu", name,
                 (unsigned long long)v->n_allocated,
                 (unsigned long long)get_number(lvol, "num_allocated_clusters"));
    if (get(lvol, "size_bytes") &&
        get_number(lvol, "size_bytes") != v->n_clusters * r->cluster_bytes)
        complain(run, "'%s' has a length of %llu clusters", name,
                 (unsigned long long)v->n_clusters);
    json_object *specific = get(lvol, "driver_specific_lvol");
    if (specific && clone && strcmp(get_text(specific, "base_snapshot"), parent_name(r, v)) != 0)
        complain(run, "'%s' has parent '%s'", name, parent_name(r, v));
    if (v->state != LVS_VOLUME_OK)
        complain(run, "'%s' is faulted: %s", name, lvs_check_code_text(v->reason));
}

static void compare(struct run *run, const struct lvs_report *r, json_object *truth)
{
    json_object *stores = get(truth, "stores"), *lvols = get(truth, "lvols");
    char uuid[ASH_UUID_TEXT_BYTES];

    if (!stores || json_object_array_length(stores) == 0)
        return;
    json_object *store = json_object_array_get_idx(stores, 0);
    if (strcmp(get_text(store, "name"), r->name) != 0)
        complain(run, "the store is called '%s'", r->name);
    if (strcmp(get_text(store, "uuid"), ash_uuid_format(&r->uuid, uuid)) != 0)
        complain(run, "the store has UUID %s", uuid);
    if (get_number(store, "free_clusters") != r->free_clusters)
        complain(run, "%llu clusters are free, SPDK says %llu",
                 (unsigned long long)r->free_clusters,
                 (unsigned long long)get_number(store, "free_clusters"));
    if (get_number(store, "total_data_clusters") != r->data_clusters)
        complain(run, "%llu data clusters", (unsigned long long)r->data_clusters);
    if (get_number(store, "cluster_size") != r->cluster_bytes)
        complain(run, "clusters of %u bytes", r->cluster_bytes);
    if (json_object_array_length(lvols) != r->n_volumes)
        complain(run, "%zu volumes, SPDK says %zu", r->n_volumes, json_object_array_length(lvols));
    for (size_t i = 0; i < json_object_array_length(lvols); i++)
        compare_volume(run, r, json_object_array_get_idx(lvols, i));
}

/* ---- one disk ---- */

/* The vectors and the crash images have no manifest: they need 'all volumes' by their README. */
struct expectation {
    const char *prefix;
    size_t n_volumes;
    bool findings; /* the checker must object: the peer left it damaged */
};

static const struct expectation expectations[] = {
    {"vector-", 4, false},  {"v2605-", 5, false},
    {"cleanbug-", 1, true}, {"race-superblob-lost", 3, true},
    {"peerbug-", 0, true},  {"crash-create", 1, false},
    {"crash-", 2, false},
};

static const struct expectation *expectation_of(const char *name)
{
    for (size_t i = 0; i < ASH_N_ELEMS(expectations); i++) {
        if (strncmp(name, expectations[i].prefix, strlen(expectations[i].prefix)) == 0)
            return &expectations[i];
    }
    return NULL;
}

static void check_disk(struct run *run, const char *path, json_object *manifest)
{
    const struct expectation *e = expectation_of(run->name);
    json_object *truth = get(manifest, "truth");
    struct disk d = {0};
    struct lvs_report r = {0};

    if (!disk_open(&d, path)) {
        complain(run, "%s cannot be opened", path);
        return;
    }
    struct lvs_check_dev dev = {disk_read, disk_write, disk_flush, NULL, d.n_bytes, 512, &d};
    if (lvs_check(&dev, NULL, &r) != 0)
        complain(run, "check failed");
    if (run->verbose) {
        printf("# %s\n", run->name);
        show(&r);
    }
    bool unfinished = strncmp(run->name, "unclean-mkstore", 15) == 0;
    if (!r.readable && !unfinished)
        complain(run, "not readable");
    compare(run, &r, truth);
    if (!unfinished && lvs_report_is_clean(&r) != !(e && e->findings))
        complain(run, "clean: %d", lvs_report_is_clean(&r));
    if (e && e->n_volumes && r.n_volumes != e->n_volumes)
        complain(run, "%zu volumes instead of %zu", r.n_volumes, e->n_volumes);
    if (run->failed && !run->verbose)
        show(&r);
    size_t n_volumes = r.n_volumes;
    uint64_t n_free = r.free_clusters;
    bool readable = r.readable;
    lvs_report_fini(&r);
    if (lvs_check_repair(&dev, NULL, &r) != 0 || (readable && !lvs_report_is_clean(&r))) {
        complain(run, "not clean after repair");
        show(&r);
    }
    if (readable && (r.n_volumes != n_volumes || r.free_clusters != n_free))
        complain(run, "other volumes or free clusters after repair");
    lvs_report_fini(&r);
    munmap(d.bytes, d.n_bytes);
    run->n_disks++;
}

static void one(struct run *run, const char *set, const char *file)
{
    char name[256], path[1024];
    json_object *manifest = NULL;

    snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".img.zst")), file);
    snprintf(path, sizeof(path), "%s/%s/%s.json", run->golden_dir, set, name);
    if (access(path, R_OK) == 0)
        manifest = json_object_from_file(path);
    run->name = name;
    run->failed = false;
    snprintf(path, sizeof(path), "%s/%s/%s.img", run->image_dir, set, name);
    check_disk(run, path, manifest);
    json_object_put(manifest);
    run->n_failed += run->failed;
    printf("%s %s\n", run->failed ? "not ok" : "ok", name);
}

static int is_image(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    /* CASE-parent.img holds the outside parent of an external clone, no store. */
    return n > 8 && strcmp(entry->d_name + n - 8, ".img.zst") == 0 &&
           !strstr(entry->d_name, "-parent.img.zst");
}

int main(int argc, char **argv)
{
    static const char *const sets[] = {"spdk", "blobstore-crash"};
    struct run run = {0};

    if (argc < 3)
        return 2;
    run.golden_dir = argv[1];
    run.image_dir = argv[2];
    run.verbose = argc > 3;
    for (size_t s = 0; s < ASH_N_ELEMS(sets); s++) {
        struct dirent **list;
        char path[1024];
        snprintf(path, sizeof(path), "%s/%s", run.golden_dir, sets[s]);
        int n = scandir(path, &list, is_image, alphasort);
        for (int i = 0; i < n; i++) {
            one(&run, sets[s], list[i]->d_name);
            free(list[i]);
        }
        if (n >= 0)
            free(list);
    }
    printf("1..%u\n# %u volumes compared, %u of %u disks failed\n", run.n_disks, run.n_volumes,
           run.n_failed, run.n_disks);
    return run.n_failed != 0 || run.n_disks < 50;
}
