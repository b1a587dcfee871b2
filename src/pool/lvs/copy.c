/* SPDX-License-Identifier: Apache-2.0 */
/* Shallow copy: the clusters that a read-only volume owns itself, to the same offsets of a device
 * (docs/spec/blobstore-format.md 9.8). Runs in the background; everything in bytes, so the block
 * sizes of both sides need only divide the cluster. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "pool/lvs/lvs.h"

enum { COPY_BYTES = 1 << 20 };

struct copy_job {
    struct lvs_volume *v;
    struct bdev_desc *dst;
    struct pool_copy *copy;
    bool dst_removed;
};

static int copy_cluster(struct copy_job *job, struct bdev_channel *to, uint8_t *buf, uint64_t idx)
{
    struct lvs_store *s = job->v->store;
    uint64_t from = lvs_cluster_offset(s, lvs_map_get(&job->v->map, idx));
    for (uint64_t at = 0; at < s->cluster_bytes; at += COPY_BYTES) {
        uint64_t n = ASH_MIN(s->cluster_bytes - at, (uint64_t)COPY_BYTES);
        int rc = job->dst_removed || s->is_closing ? -ENODEV : bdev_read(s->ch, buf, from + at, n);
        if (rc == 0)
            rc = bdev_write(to, buf, idx * s->cluster_bytes + at, n, 0);
        if (rc)
            return rc;
    }
    return 0;
}

static int copy_all(struct copy_job *job)
{
    struct bdev_channel *to = bdev_channel_get(job->dst);
    uint8_t *buf = rt_buf_get(COPY_BYTES);
    int rc = to && buf ? 0 : -ENOMEM;
    for (uint64_t i = lvs_map_next(&job->v->map, 0); i != UINT64_MAX && rc == 0;
         i = lvs_map_next(&job->v->map, i + 1)) {
        rc = copy_cluster(job, to, buf, i);
        job->copy->info.n_copied_clusters += rc == 0;
    }
    if (rc == 0)
        rc = bdev_flush(to);
    rt_buf_put(buf, COPY_BYTES);
    if (to)
        bdev_channel_put(to);
    return rc == -ENOTSUP ? 0 : rc;
}

static void copy_task(void *arg)
{
    struct copy_job *job = arg;
    int rc = copy_all(job);
    bdev_close(job->dst);
    job->copy->info.state = rc ? VOLUME_COPY_FAILED : VOLUME_COPY_DONE;
    job->copy->info.rc = rc;
    job->copy->ended_ns = rt_now_ns();
    lvs_op_end(job->v);
    rt_free(job);
}

static void dst_event(struct bdev_desc *desc, enum bdev_event ev)
{
    if (ev == BDEV_EVENT_REMOVE)
        ((struct copy_job *)bdev_desc_user(desc))->dst_removed =
            true; /* the copy ends and closes it */
}

static int copy_open(struct copy_job *job, const char *dst_name, struct ash_err *err)
{
    struct lvs_volume *v = job->v;
    struct lvs_store *s = v->store;
    int rc = bdev_open(s->bdevs, dst_name, BDEV_OPEN_WRITE, "shallow copy", dst_event, job,
                       &job->dst, err);
    if (rc)
        return rc;
    struct bdev *dst = bdev_desc_bdev(job->dst);
    if (dst->size_bytes < v->map.n_clusters * s->cluster_bytes)
        rc = ash_err_set(err, ASH_E_VOLUME_COPY_TARGET, dst_name,
                         "device '%s' is smaller than volume '%s'", dst_name, v->name);
    else if (s->cluster_bytes % dst->block_bytes != 0)
        rc = ash_err_set(err, ASH_E_VOLUME_COPY_TARGET, dst_name,
                         "blocks of %u of device '%s' do not divide the cluster size %u",
                         dst->block_bytes, dst_name, s->cluster_bytes);
    else
        rc = bdev_claim(job->dst, BDEV_CLAIM_EXCL_WRITE, 0, "shallow copy", err);
    if (rc)
        bdev_close(job->dst);
    return rc;
}

int lvs_volume_shallow_copy(struct volume *vol, const char *dst_name, uint32_t *ret_id,
                            struct ash_err *err)
{
    struct lvs_volume *v = lvs_of_volume(vol);
    struct pool_mgr *pools = v->store->pool.mgr;
    if (!lvs_is_read_only(v))
        return ash_err_set_rc(err, -EPERM, ASH_E_VOLUME_NOT_READ_ONLY, v->name,
                              "volume '%s' is writable: take a snapshot first", v->name);
    int rc = lvs_op_begin(v, "shallow copy", err);
    if (rc)
        return rc;
    struct copy_job *job = rt_alloc(sizeof(*job));
    struct pool_copy *copy = rt_alloc(sizeof(*copy));
    if (!job || !copy) {
        rc = ash_err_set(err, ASH_E_NO_MEMORY, v->name, "no memory to copy volume '%s'", v->name);
    } else {
        *job = (struct copy_job){.v = v, .copy = copy};
        rc = copy_open(job, dst_name, err);
    }
    if (rc == 0) {
        copy->id = ++pools->n_copy_ids;
        copy->info.n_total_clusters = v->map.n_used;
        rc = rt_task_spawn("shallow copy", copy_task, job);
        if (rc) {
            bdev_close(job->dst);
            ash_err_set(err, ASH_E_NO_MEMORY, v->name, "no memory to copy volume '%s'", v->name);
        }
    }
    if (rc) {
        rt_free(job);
        rt_free(copy);
        lvs_op_end(v);
        return rc;
    }
    ash_list_push_tail(&pools->copies, &copy->link);
    *ret_id = copy->id;
    return 0;
}
