/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that SPDK wrote, changed here and there: the checker returns, what a repair leaves can be
 * checked and is no worse, and an engine opens what is left without ending.
 *
 * The images come from $ASH_GOLDEN (scripts/fuzz unpacks them). Input: le16 number of the disk,
 * options, then records of {le16 4 KiB page of the metadata, le16 offset, u8 n, n bytes}; unless
 * told otherwise checksums are made good. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "engine/engine.h"
#include "fuzz_disk.h"
#include "pool/lvs/check.h"
#include "rt/rt_sim.h"

enum { REPAIR = 4, OPEN = 8, HEAD_BYTES = 1 << 20, DISKS_MAX = 64 };

struct golden {
    uint8_t *head; /* HEAD_BYTES; the rest reads as zeroes */
    uint64_t n_bytes;
    uint32_t block_bytes;
};

struct shelf {
    struct golden disks[DISKS_MAX];
    unsigned n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void load_one(struct shelf *shelf, const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_RDONLY);
    struct stat st;
    struct golden *g = &shelf->disks[shelf->n];
    if (fd < 0 || fstat(fd, &st) != 0 || shelf->n == DISKS_MAX)
        abort();
    g->head = calloc(1, HEAD_BYTES);
    g->n_bytes = (uint64_t)st.st_size;
    g->block_bytes = strstr(name, "4096") ? 4096 : 512;
    if (!g->head || pread(fd, g->head, HEAD_BYTES, 0) < 0)
        abort();
    close(fd);
    shelf->n++;
}

static const struct shelf *load(void)
{
    static struct shelf shelf;
    struct dirent **names;
    const char *folder = getenv("ASH_GOLDEN");
    int n = shelf.n || !folder ? 0 : scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (strstr(names[i]->d_name, ".img"))
            load_one(&shelf, folder, names[i]->d_name);
        free(names[i]);
    }
    if (n > 0)
        free(names);
    if (!shelf.n) {
        fprintf(stderr, "no images in $ASH_GOLDEN\n");
        exit(77);
    }
    return &shelf;
}

struct copy {
    uint8_t *head;
    uint64_t n_bytes;
};

static int mem_read(void *ctx, uint64_t offset, void *buf, size_t n_bytes)
{
    struct copy *c = ctx;
    if (offset > c->n_bytes || n_bytes > c->n_bytes - offset)
        abort(); /* the checker must stay inside */
    size_t n = offset < HEAD_BYTES ? ASH_MIN(n_bytes, HEAD_BYTES - (size_t)offset) : 0;
    if (n)
        memcpy(buf, c->head + offset, n);
    memset((uint8_t *)buf + n, 0, n_bytes - n);
    return 0;
}

static int mem_write(void *ctx, uint64_t offset, const void *buf, size_t n_bytes)
{
    struct copy *c = ctx;
    if (offset > c->n_bytes || n_bytes > c->n_bytes - offset)
        abort();
    if (offset < HEAD_BYTES)
        memcpy(c->head + offset, buf, ASH_MIN(n_bytes, HEAD_BYTES - (size_t)offset));
    return 0;
}

static int mem_flush(void *ctx)
{
    return 0;
}

static void change(struct copy *c, const uint8_t *data, size_t n_bytes, uint8_t options)
{
    while (n_bytes > 5) {
        size_t page = (data[0] | data[1] << 8) % (HEAD_BYTES / 4096),
               at = (data[2] | data[3] << 8) % 4092;
        size_t n = ASH_MIN((size_t)data[4], n_bytes - 5);
        n = ASH_MIN(n, 4092 - at);
        uint8_t *p = c->head + page * 4096;
        memcpy(p + at, data + 5, n);
        if (!(options & (page ? KEEP_PAGE_CRCS : KEEP_SUPER_CRC)))
            fuzz_seal(p);
        data += 5 + n;
        n_bytes -= 5 + n;
    }
}

static int open_it(void *arg)
{
    struct ash_engine *engine;
    char *name = NULL;
    ASH_ASSERT(ash_engine_create(NULL, &engine, NULL) == 0);
    if (bdev_create_uri(ash_engine_bdevs(engine), "aio:///d?blk_size=512", &name, NULL) == 0)
        bdev_wait_for_examine(ash_engine_bdevs(engine));
    rt_free(name);
    ash_engine_destroy(engine);
    return 0;
}

static void open_copy(const struct copy *c)
{
    struct rt_sim_disk *disk = rt_sim_disk_new(c->n_bytes, 512);
    struct rt_opts opts;
    struct rt *rt;
    ASH_ASSERT(disk);
    for (size_t at = 0; at < ASH_MIN((uint64_t)HEAD_BYTES, c->n_bytes); at += 4096) {
        static const uint8_t zeroes[4096];
        if (memcmp(c->head + at, zeroes, 4096) != 0)
            ASH_ASSERT(rt_sim_disk_poke(disk, at, c->head + at, 4096) == 0);
    }
    rt_opts_init(&opts);
    opts.backend = RT_BACKEND_SIM;
    opts.n_reactors = 1;
    opts.seed = 1;
    ASH_ASSERT(rt_create(&opts, &rt, NULL) == 0);
    ASH_ASSERT(rt_sim_attach(rt, "/d", disk) == 0);
    rt_run_task(rt, "fuzz", open_it, NULL);
    ASH_ASSERT(rt_sim_n_live(rt) == 0);
    rt_destroy(rt);
    rt_sim_disk_put(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const struct shelf *shelf = load();
    struct lvs_report r;
    struct ash_buf text = {0};
    if (n_bytes < 3)
        return 0;
    const struct golden *g = &shelf->disks[(data[0] | data[1] << 8) % shelf->n];
    struct copy c = {.head = malloc(HEAD_BYTES), .n_bytes = g->n_bytes};
    struct lvs_check_dev dev = {.read = mem_read,
                                .write = mem_write,
                                .flush = mem_flush,
                                .size_bytes = g->n_bytes,
                                .block_bytes = g->block_bytes,
                                .ctx = &c};
    ASH_ASSERT(c.head);
    memcpy(c.head, g->head, HEAD_BYTES);
    change(&c, data + 3, n_bytes - 3, data[2]);
    ASH_ASSERT(lvs_check(&dev, NULL, &r) == 0);
    lvs_report_text(&r, &text);
    ash_buf_free(&text);
    lvs_report_fini(&r);
    if (data[2] & REPAIR) {
        (void)lvs_check_repair(&dev, NULL, &r);
        lvs_report_fini(&r);
    }
    if ((data[2] & OPEN) && g->block_bytes == 512)
        open_copy(&c);
    free(c.head);
    return 0;
}
