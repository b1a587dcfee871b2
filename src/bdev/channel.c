/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: a device as seen from one reactor. One per bdev and reactor, counted, made at the first
 * get and taken down at the last put; the ios of its slabs go with it. A channel that is put for
 * the last time has no io out. */
#include <errno.h>

#include "bdev/core.h"

enum { SLAB_FIRST = 8, SLAB_MOST = 128 };

struct slab {
    struct ash_list link;
    /* then the ios, from the next cache line on */
};

static void grow(struct bdev_chcore *core)
{
    unsigned n = core->n_slab_ios ? ASH_MIN(core->n_slab_ios, (unsigned)SLAB_MOST) : SLAB_FIRST;
    struct slab *slab = rt_alloc(sizeof(*slab) + 64 + n * core->io_bytes);
    if (!slab)
        return;
    char *first = (char *)ash_align_up((uintptr_t)(slab + 1), 64);
    ash_list_push_tail(&core->slabs, &slab->link);
    core->n_slab_ios += n;
    for (unsigned i = 0; i < n; i++) {
        struct bdev_io *io = (struct bdev_io *)(void *)(first + i * core->io_bytes);
        io->stack_room = core->view[0].bdev->stack_bytes;
        ash_list_push_tail(&core->free_ios, &io->link);
    }
}

struct bdev_io *bdev_io_get(struct bdev_channel *ch)
{
    struct bdev_chcore *core = ch->core;
    if (ASH_UNLIKELY(ash_list_empty(&core->free_ios)))
        grow(core);
    struct ash_list *l = ash_list_pop_head(&core->free_ios);
    if (!l)
        return NULL;
    struct bdev_io *io = ash_list_entry(l, struct bdev_io, link);
    io->done = NULL;
    io->user = NULL;
    io->type = io->flags = 0;
    io->rc = 0;
    io->offset = io->length = 0;
    io->iov = NULL;
    io->n_iov = io->n_write_iov = 0;
    io->ch = ch;
    io->frame = NULL;
    io->stack_used = 0;
    core->n_ios_out++;
    return io;
}

void bdev_io_put(struct bdev_io *io)
{
    struct bdev_chcore *core = io->ch->core;
    ASH_ASSERT(!io->frame && core->n_ios_out > 0);
    core->n_ios_out--;
    /* the one used last is warm in the cache */
    ash_list_push_head(&core->free_ios, &io->link);
}

static void free_slabs(struct bdev_chcore *core)
{
    struct ash_list *l;
    while ((l = ash_list_pop_head(&core->slabs)))
        rt_free(ash_list_entry(l, struct slab, link));
    /* the splitter's state begins with its link */
    while ((l = ash_list_pop_head(&core->free_splits)))
        rt_free(l);
}

static void init_lists(struct bdev_chcore *core)
{
    struct ash_list *lists[] = {&core->queue_cur,   &core->queue_next, &core->grace_cur,
                                &core->grace_next,  &core->free_ios,   &core->slabs,
                                &core->held,        &core->qos_queue,  &core->nomem,
                                &core->split_stuck, &core->free_splits};
    for (size_t i = 0; i < ASH_N_ELEMS(lists); i++)
        ash_list_init(lists[i]);
}

struct bdev_chcore *bdev_channel_open(struct bdev *bdev)
{
    struct rt_reactor *reactor = rt_self();
    struct bdev_slot *slot = &bdev->core->slots[rt_reactor_idx(reactor)];
    size_t head = ash_align_up(sizeof(struct bdev_chcore), 64);
    struct bdev_chcore *core = rt_alloc(head + bdev->channel_ctx_bytes);
    if (!core)
        return NULL;
    core->slot = slot;
    core->frame_bytes = (uint32_t)ash_align_up(sizeof(struct bdev_frame) + bdev->io_ctx_bytes, 16);
    core->block_mask = bdev->core->block_mask ? bdev->core->block_mask : UINT64_MAX;
    if (bdev->boundary_bytes && ash_is_pow2(bdev->boundary_bytes) && !bdev->max_rw_bytes)
        core->split_mask = ~(bdev->boundary_bytes - 1);
    core->io_bytes = ash_align_up(sizeof(struct bdev_io) + bdev->stack_bytes, 64);
    core->enter = bdev_has_limits(bdev) ? bdev_split_submit : bdev->ops->submit;
    core->qos_timer.fire = bdev_qos_fire;
    core->nomem_timer.fire = bdev_nomem_fire;
    init_lists(core);
    for (unsigned i = 0; i < BDEV_N_VIEWS; i++) {
        core->view[i] = (struct bdev_channel){
            .bdev = bdev,
            .reactor = reactor,
            .core = core,
            .ctx = (char *)core + head,
            .mode = i,
        };
    }
    if (bdev->ops->channel_init && bdev->ops->channel_init(&core->view[BDEV_OPEN_WRITE])) {
        rt_free(core);
        return NULL;
    }
    slot->ch = core;
    bdev_gate_update(core);
    return core;
}

struct bdev_channel *bdev_channel_get(struct bdev_desc *desc)
{
    struct bdev *bdev = desc->bdev;
    struct bdev_chcore *core = bdev->core->slots[rt_reactor_idx(rt_self())].ch;
    if (!core)
        core = bdev_channel_open(bdev);
    if (!core)
        return NULL;
    core->n_users++;
    return &core->view[desc->mode % BDEV_N_VIEWS];
}

void bdev_channel_put(struct bdev_channel *ch)
{
    if (!ch)
        return;
    struct bdev_chcore *core = ch->core;
    ASH_ASSERT(ch->reactor == rt_self() && core->n_users > 0);
    if (--core->n_users)
        return;
    struct bdev *bdev = ch->bdev;
    ASH_ASSERT(core->n_ios_out == 0 && core->inflight[0] + core->inflight[1] == 0);
    ASH_ASSERT(ash_list_empty(&core->grace_cur) && ash_list_empty(&core->grace_next));
    rt_timer_stop(&core->qos_timer);
    rt_timer_stop(&core->nomem_timer);
    if (bdev->ops->channel_fini)
        bdev->ops->channel_fini(&core->view[BDEV_OPEN_WRITE]);
    bdev_stat_add(&core->slot->closed, &core->stats);
    core->slot->ch = NULL;
    free_slabs(core);
    rt_free(core);
}
