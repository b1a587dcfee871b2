/* SPDX-License-Identifier: Apache-2.0 */
/* Every single byte of the super blocks and metadata pages of disks that SPDK wrote is changed, one
 * after the other, and the disk is checked: the checker returns, and no volume that it calls good
 * is another than before, for a checksum covers each of these bytes. On a store that says it was
 * closed a volume that is not good any more has a finding.
 *
 *   golden_bytes IMAGE_DIR [EVERY]      one byte in EVERY (1: all); images: tests/golden/unpack */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/lvs/check.h"

struct disk {
    const char *name;
    uint8_t *bytes;
    uint64_t n_bytes;
};

struct totals {
    unsigned n_disks, n_pages, n_failed;
    uint64_t n_changes, n_refused, n_faulted;
};

static int disk_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    const struct disk *d = ctx;
    if (offset + n_bytes > d->n_bytes)
        return -EINVAL;
    memcpy(buf, d->bytes + offset, n_bytes);
    return 0;
}

static const uint8_t *disk_peek(void *ctx, uint64_t offset, size_t n_bytes)
{
    const struct disk *d = ctx;
    return offset + n_bytes > d->n_bytes ? NULL : d->bytes + offset;
}

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

static bool check(struct disk *d, uint32_t block_bytes, struct lvs_report *r)
{
    struct lvs_check_dev dev = {.read = disk_read,
                                .peek = disk_peek,
                                .size_bytes = d->n_bytes,
                                .block_bytes = block_bytes,
                                .ctx = d};
    return lvs_check(&dev, NULL, r) == 0;
}

static const struct lvs_report_volume *find(const struct lvs_report *r, uint64_t blob_id)
{
    for (size_t i = 0; i < r->n_volumes; i++)
        if (r->volumes[i].blob_id == blob_id)
            return &r->volumes[i];
    return NULL;
}

static bool same(const struct lvs_report_volume *a, const struct lvs_report_volume *b)
{
    return strcmp(a->name, b->name) == 0 && ash_uuid_equal(&a->uuid, &b->uuid) &&
           a->n_clusters == b->n_clusters && a->n_allocated == b->n_allocated &&
           a->parent_id == b->parent_id && strcmp(a->esnap_id, b->esnap_id) == 0 &&
           a->thin == b->thin && a->read_only == b->read_only && a->rle == b->rle;
}

/* A snapshot that was being taken when the store was left, and would go. */
static bool is_half_done(const struct lvs_report *r, uint64_t blob_id)
{
    for (size_t i = 0; i < r->n_findings; i++)
        if (r->findings[i].code == LVS_F_HALF_SNAPSHOT && r->findings[i].blob_id == blob_id)
            return true;
    return false;
}

/* What is wrong with the report of the changed disk, or NULL. */
static const char *judge(const struct lvs_report *before, const struct lvs_report *r,
                         struct totals *t)
{
    if (!r->readable) {
        t->n_refused++;
        return NULL;
    }
    for (size_t i = 0; i < r->n_volumes; i++) {
        const struct lvs_report_volume *v = &r->volumes[i], *old = find(before, v->blob_id);
        if (v->state != LVS_VOLUME_OK)
            t->n_faulted++;
        else if (!old && is_half_done(before, v->blob_id))
            continue; /* the volume that had no need of it is the one that was hurt */
        else if (!old || !same(old, v))
            return "a volume that counts as good is another than before";
    }
    for (size_t i = 0; i < before->n_volumes && before->clean; i++) {
        const struct lvs_report_volume *v = find(r, before->volumes[i].blob_id);
        if ((!v || (v->state != LVS_VOLUME_OK && before->volumes[i].state == LVS_VOLUME_OK)) &&
            lvs_report_is_clean(r))
            return "a volume is lost without a finding";
    }
    return NULL;
}

static void change_page(struct disk *d, uint64_t offset, unsigned every,
                        const struct lvs_report *before, uint32_t block, struct totals *t)
{
    static const uint8_t bits[] = {0x01, 0xff, 0x80};
    for (unsigned k = 0; k < 4096; k++) {
        if ((k + offset / 4096 * 31 + t->n_disks * 7) % every != 0)
            continue;
        struct lvs_report r;
        uint8_t *byte = d->bytes + offset + k, old = *byte;
        *byte ^= bits[k % 3];
        t->n_changes++;
        const char *wrong = check(d, block, &r) ? judge(before, &r, t) : "the checker fails";
        lvs_report_fini(&r);
        *byte = old;
        if (wrong && t->n_failed++ < 20)
            printf("# %s: byte %u of page %llu changed by 0x%02x: %s\n", d->name, k,
                   (unsigned long long)offset / 4096, bits[k % 3], wrong);
    }
    t->n_pages++;
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, 4095) == 0;
}

static void change_disk(struct disk *d, unsigned every, struct totals *t)
{
    struct lvs_report before;
    struct lvs_super_disk super;
    uint32_t block = strstr(d->name, "4096") ? 4096 : 512;
    if (!check(d, block, &before) || !before.readable) {
        lvs_report_fini(&before);
        return;
    }
    t->n_disks++;
    memcpy(&super, d->bytes, sizeof(super));
    change_page(d, 0, every, &before, block, t);
    uint64_t at = (uint64_t)ash_le32_get(super.md_start) * before.md_page_bytes;
    for (uint32_t i = 0; i < before.md_len; i++, at += before.md_page_bytes)
        if (at + 4096 <= d->n_bytes && !is_zero(d->bytes + at))
            change_page(d, at, every, &before, block, t);
    lvs_report_fini(&before);
}

static int is_image(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');
    return dot && strcmp(dot, ".img") == 0;
}

int main(int argc, char **argv)
{
    struct totals t = {0};
    struct dirent **names = NULL;
    unsigned every = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    int n = argc > 1 && every ? scandir(argv[1], &names, is_image, alphasort) : -1;
    if (n < 0) {
        fprintf(stderr, "usage: golden_bytes IMAGE_DIR [EVERY]\n");
        return 2;
    }
    for (int i = 0; i < n; i++) {
        struct disk d = {.name = names[i]->d_name};
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", argv[1], d.name);
        if (disk_open(&d, path)) {
            change_disk(&d, every, &t);
            munmap(d.bytes, d.n_bytes);
        } else {
            t.n_failed++;
        }
        free(names[i]);
    }
    free(names);
    printf("%u disks, %u pages, %llu bytes changed: %llu disks refused, %llu volumes faulted, "
           "%u failed\n",
           t.n_disks, t.n_pages, (unsigned long long)t.n_changes, (unsigned long long)t.n_refused,
           (unsigned long long)t.n_faulted, t.n_failed);
    return t.n_failed || !t.n_changes ? 1 : 0;
}
