/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of exports share: checks that work in tasks, and a device whose every io can be
 * held back or made to fail. */
#ifndef ASH_TESTS_TDEV_H
#define ASH_TESTS_TDEV_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/bdev.h"

/* Tests run as tasks, where cmocka cannot jump out: a failed check is printed and returned. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_error("%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                         \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)
#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((call) != 0) {                                                                         \
            print_error("%s:%d: from here: %s\n", __FILE__, __LINE__, #call);                      \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

#define DEV_BYTES (48u << 20)
#define DEV_BLOCK 512u
#define CELL      4096u

/* ---------------------------------------------------- the device under test */

struct tdev {
    struct bdev bdev;
    char name[16];
    uint8_t *mem;
    uint8_t *cell_hole; /* per CELL: reads as zeroes without reading */
    struct ash_list held;
    bool hold;
    uint64_t hold_from, hold_to;
    int fail_rc;
    uint64_t fail_from, fail_to;
    unsigned n_reads, n_writes, n_flushes, n_unmaps, n_zeroes, last_flags;
    bool can_unmap, destroyed;
};

static inline void tdev_apply(struct tdev *d, struct bdev_io *io)
{
    uint8_t *at = d->mem + io->offset;
    switch (io->type) {
    case BDEV_READ:
    case BDEV_WRITE:
        for (uint32_t i = 0; i < io->n_iov; i++) {
            if (io->type == BDEV_READ)
                memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
            else
                memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
            at += io->iov[i].iov_len;
        }
        break;
    case BDEV_UNMAP:
    case BDEV_WRITE_ZEROES:
        memset(at, 0, io->length);
        break;
    default:
        break;
    }
    if (io->type == BDEV_WRITE)
        for (uint64_t c = io->offset / CELL; c <= (io->offset + io->length - 1) / CELL; c++)
            d->cell_hole[c] = 0;
}

static inline void tdev_count(struct tdev *d, const struct bdev_io *io)
{
    unsigned *n[BDEV_N_IO_TYPES] = {[BDEV_READ] = &d->n_reads,
                                    [BDEV_WRITE] = &d->n_writes,
                                    [BDEV_FLUSH] = &d->n_flushes,
                                    [BDEV_UNMAP] = &d->n_unmaps,
                                    [BDEV_WRITE_ZEROES] = &d->n_zeroes};
    if (n[io->type])
        __atomic_fetch_add(n[io->type], 1, __ATOMIC_RELAXED);
    __atomic_store_n(&d->last_flags, io->flags, __ATOMIC_RELAXED);
}

static inline void tdev_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct tdev *d = ash_container_of(ch->bdev, struct tdev, bdev);
    tdev_count(d, io);
    uint64_t end = io->offset + io->length;
    if (d->fail_rc && io->offset < d->fail_to && end > d->fail_from) {
        bdev_io_done_soon(io, d->fail_rc);
        return;
    }
    if (d->hold && io->offset < d->hold_to && end > d->hold_from) {
        ash_list_push_tail(&d->held, &io->link);
        return;
    }
    tdev_apply(d, io);
    bdev_io_done_soon(io, 0);
}

/* Let everything that is held go on, the newest first. */
static inline void tdev_release(struct tdev *d)
{
    d->hold = false;
    while (!ash_list_empty(&d->held)) {
        struct bdev_io *io = ash_list_entry(d->held.prev, struct bdev_io, link);
        ash_list_remove(&io->link);
        tdev_apply(d, io);
        bdev_io_done(io, 0);
    }
}

static inline bool tdev_supports(struct bdev *bdev, enum bdev_io_type type)
{
    struct tdev *d = ash_container_of(bdev, struct tdev, bdev);
    return type == BDEV_READ || type == BDEV_WRITE || type == BDEV_FLUSH ||
           type == BDEV_WRITE_ZEROES || (type == BDEV_UNMAP && d->can_unmap);
}

static inline int tdev_channel_init(struct bdev_channel *ch)
{
    return 0;
}

static inline void tdev_channel_fini(struct bdev_channel *ch)
{
}

static inline void tdev_area(struct bdev_channel *ch, uint64_t offset, uint64_t length,
                             struct bdev_area *ret)
{
    struct tdev *d = ash_container_of(ch->bdev, struct tdev, bdev);
    uint8_t hole = d->cell_hole[offset / CELL];
    uint64_t end = ash_align_down(offset, CELL) + CELL;
    while (end < offset + length && d->cell_hole[end / CELL] == hole)
        end += CELL;
    *ret = (struct bdev_area){ASH_MIN(end - offset, length),
                              hole ? BDEV_AREA_HOLE | BDEV_AREA_ZERO : 0u, hole ? 0u : 1u};
}

static inline void tdev_destroy(struct bdev *bdev)
{
    struct tdev *d = ash_container_of(bdev, struct tdev, bdev);
    free(d->mem);
    free(d->cell_hole);
    d->mem = NULL;
    d->destroyed = true;
}

static const struct bdev_ops tdev_ops = {
    .submit = tdev_submit,
    .supports = tdev_supports,
    .channel_init = tdev_channel_init,
    .channel_fini = tdev_channel_fini,
    .area = tdev_area,
    .destroy = tdev_destroy,
};

static inline int tdev_add(struct bdev_mgr *mgr, struct bdev_module *module, struct tdev *d,
                           const char *name)
{
    struct ash_err err = {0};
    d->mem = calloc(1, DEV_BYTES);
    d->cell_hole = calloc(1, DEV_BYTES / CELL + 1);
    ash_list_init(&d->held);
    snprintf(d->name, sizeof(d->name), "%s", name);
    d->can_unmap = true;
    d->bdev = (struct bdev){.name = d->name,
                            .product_name = "test disk",
                            .ops = &tdev_ops,
                            .module = module,
                            .block_bytes = DEV_BLOCK,
                            .size_bytes = DEV_BYTES,
                            .align_bytes = 1,
                            .volatile_cache = true,
                            .unmap_zeroes = true,
                            .fast_zeroes = true};
    int rc = bdev_register(mgr, &d->bdev, &err);
    if (rc)
        print_error("bdev_register: %s\n", err.text);
    return rc;
}

#endif
