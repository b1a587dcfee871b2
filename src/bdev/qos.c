/* SPDX-License-Identifier: Apache-2.0 */
/* Limits on the rate of reads and writes of a device, over all users and reactors.
 *
 * Time goes in slices of 1 ms. A slice grants limit / 1000, at least 1 io and 512 bytes; what is
 * left over is lost, what one large io took too much is owed by the following slices. The account
 * is shared by the reactors and made of atomics (there is no order between reactors); the queue of
 * ios over the quota is each reactor's own and kept in order. A timer runs only while ios wait.
 * Source: docs/spec/spdk-jsonrpc.md 13.8. */
#include <errno.h>
#include <stdatomic.h>

#include "bdev/core.h"

enum { SLICE_NS = 1000000, N_LIMITS = 4 };
enum { LIMIT_IOS, LIMIT_RW, LIMIT_READ, LIMIT_WRITE };

struct bdev_qos_state {
    _Atomic uint64_t slice; /* number of the current slice */
    struct {
        int64_t per_slice; /* 0: no limit; fixed */
        _Atomic int64_t left;
    } limits[N_LIMITS];
};

static bool applies(int limit, const struct bdev_io *io)
{
    return limit == LIMIT_IOS || limit == LIMIT_RW ||
           (limit == LIMIT_READ) == (io->type == BDEV_READ);
}

/* Begin the slice that the clock is in, if nobody has yet. */
static void roll(struct bdev_qos_state *q)
{
    uint64_t now = rt_now_ns() / SLICE_NS;
    uint64_t was = atomic_load(&q->slice);
    if (now <= was || !atomic_compare_exchange_strong(&q->slice, &was, now))
        return;
    uint64_t n_slices = ASH_MIN(now - was, (uint64_t)1 << 20);
    for (int i = 0; i < N_LIMITS; i++) {
        int64_t quota = q->limits[i].per_slice;
        if (!quota)
            continue;
        int64_t left = atomic_load(&q->limits[i].left), next;
        do {
            next = left >= 0 ? quota : ASH_MIN(quota, left + quota * (int64_t)n_slices);
        } while (!atomic_compare_exchange_weak(&q->limits[i].left, &left, next));
    }
}

bool bdev_qos_take(struct bdev_qos_state *q, const struct bdev_io *io)
{
    roll(q);
    for (int i = 0; i < N_LIMITS; i++)
        if (q->limits[i].per_slice && applies(i, io) && atomic_load(&q->limits[i].left) <= 0)
            return false;
    for (int i = 0; i < N_LIMITS; i++)
        if (q->limits[i].per_slice && applies(i, io))
            atomic_fetch_sub(&q->limits[i].left, i == LIMIT_IOS ? 1 : (int64_t)io->length);
    return true;
}

static void arm(struct bdev_chcore *core)
{
    if (!ash_list_empty(&core->qos_queue) && !rt_timer_armed(&core->qos_timer))
        rt_timer_start(&core->qos_timer, SLICE_NS - rt_now_ns() % SLICE_NS);
}

void bdev_qos_wait(struct bdev_chcore *core, struct bdev_io *io)
{
    bdev_gate_enqueue(core, &core->qos_queue, io);
    arm(core);
}

void bdev_qos_release(struct bdev_chcore *core)
{
    while (!ash_list_empty(&core->qos_queue)) {
        struct bdev_io *io = ash_list_entry(core->qos_queue.next, struct bdev_io, link);
        if (core->slot->qos && !bdev_qos_take(core->slot->qos, io))
            break;
        ash_list_remove(&io->link);
        bdev_gate_count(io);
        bdev_gate_pass(core, io);
    }
    arm(core);
    bdev_gate_update(core);
}

void bdev_qos_fire(struct rt_timer *timer)
{
    bdev_qos_release(ash_container_of(timer, struct bdev_chcore, qos_timer));
}

static void qos_swap(struct bdev_slot *slot, unsigned idx, void *arg)
{
    slot->qos = arg;
    if (!slot->ch)
        return;
    bdev_gate_update(slot->ch);
    bdev_qos_release(slot->ch);
}

static uint64_t mbytes(uint64_t n)
{
    return n > UINT64_MAX >> 20 ? UINT64_MAX : n << 20;
}

int bdev_set_qos(struct bdev *bdev, const struct bdev_qos *qos, struct ash_err *err)
{
    struct bdev_core *core = bdev->core;
    const uint64_t per_sec[N_LIMITS] = {
        [LIMIT_IOS] = qos->rw_ios_per_sec,
        [LIMIT_RW] = mbytes(qos->rw_mbytes_per_sec),
        [LIMIT_READ] = mbytes(qos->r_mbytes_per_sec),
        [LIMIT_WRITE] = mbytes(qos->w_mbytes_per_sec),
    };
    struct bdev_qos_state *q = NULL;
    for (int i = 0; i < N_LIMITS; i++) {
        if (per_sec[i] == 0)
            continue;
        if (!q && !(q = rt_alloc(sizeof(*q))))
            return ash_err_set(err, ASH_E_NO_MEMORY, bdev->name, "no memory for rate limits");
        uint64_t n = ash_div_up(per_sec[i], 1000);
        n = ASH_MAX(n, i == LIMIT_IOS ? 1u : 512u);
        q->limits[i].per_slice = (int64_t)ASH_MIN(n, (uint64_t)1 << 40);
        atomic_init(&q->limits[i].left, q->limits[i].per_slice);
    }
    if (q)
        atomic_init(&q->slice, rt_now_ns() / SLICE_NS);
    struct bdev_qos_state *old = core->qos_state;
    core->qos_state = q;
    core->qos = *qos;
    core->qos.rw_ios_per_sec = ash_div_up(qos->rw_ios_per_sec, 1000) * 1000;
    bdev_on_slots(bdev, qos_swap, q);
    rt_free(old);
    return 0;
}

void bdev_get_qos(const struct bdev *bdev, struct bdev_qos *ret_qos)
{
    *ret_qos = bdev->core->qos;
}
