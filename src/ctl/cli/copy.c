/* SPDX-License-Identifier: Apache-2.0 */
/* `copy`: volume, file or standard stream to another of these.
 *
 * Several tasks share one cursor. Each takes the next run of data or zeroes, at most CHUNK_BYTES of
 * data, and carries it over. A stream at one end keeps its order: reads from it happen under a
 * mutex, writes to it in turn. What reads as zeroes is not read, and not written where the
 * destination reads as zeroes already; a success means that the destination was flushed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "ctl/cli/cmd.h"

#define CHUNK_BYTES   (1u << 20)
#define N_WORKERS     8
#define MAX_ZERO_SPAN (1ull << 30)
#define ZERO_UNIT     65536u

struct end {
    const char *text;
    bool is_stream;
    struct rt_file *file;
    struct bdev_desc *desc;
    struct bdev_channel *ch;
    uint64_t size_bytes;
    bool fresh; /* a file that was just cut to nothing: reads as zeroes */
};

struct copy {
    struct cli *cli;
    struct end src, dst;
    uint64_t next;  /* first byte that nobody has taken */
    uint64_t total; /* of the source; a stream: grows until its end */
    bool src_ended;
    struct rt_mutex src_lock;
    uint64_t turn; /* dst is a stream: next byte to be written there */
    struct rt_waitq turn_q;
    int rc;
    const char *failed_end;
    unsigned n_running;
    struct rt_event all_done;
};

struct run {
    uint64_t offset, length;
    bool is_zero;
};

static void copy_failed(struct copy *c, const struct end *e, int rc)
{
    if (!c->rc) {
        c->rc = rc;
        c->failed_end = e->text;
    }
}

/* --------------------------------------------------------------- streams */

struct stream_io {
    const struct cli_host *host;
    void *buf;
    size_t n_bytes;
    int64_t n_done;
};

static int stream_read(void *arg)
{
    struct stream_io *s = arg;
    s->n_done = 0;
    while ((size_t)s->n_done < s->n_bytes) {
        int64_t n = s->host->read(0, (char *)s->buf + s->n_done, s->n_bytes - (size_t)s->n_done);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        s->n_done += n;
    }
    return 0;
}

static int stream_write(void *arg)
{
    struct stream_io *s = arg;
    return s->host->write(1, s->buf, s->n_bytes);
}

/* --------------------------------------------------------------- the run */

static void file_area(struct rt_file *file, uint64_t offset, uint64_t length, struct run *run)
{
    uint64_t at = 0;
    run->is_zero = false;
    run->length = ASH_MIN(length, (uint64_t)CHUNK_BYTES);
    int rc = rt_file_seek(file, true, offset, &at);
    if (rc == -ENXIO)
        at = offset + length;
    else if (rc)
        return;
    if (at > offset) {
        run->is_zero = true;
        run->length = ASH_MIN(at - offset, length);
        run->length = ASH_MIN(run->length, (uint64_t)MAX_ZERO_SPAN);
        return;
    }
    if (rt_file_seek(file, false, offset, &at) == 0 && at > offset)
        run->length = ASH_MIN(run->length, at - offset);
}

/* Take the next run off the source; false: nothing left. Does not wait. */
static bool take_run(struct copy *c, struct run *run)
{
    if (c->rc || c->next >= c->total)
        return false;
    uint64_t left = c->total - c->next;
    run->offset = c->next;
    if (c->src.file) {
        file_area(c->src.file, c->next, left, run);
    } else {
        struct bdev_area area;
        bdev_area(c->src.ch, c->next, ASH_MIN(left, (uint64_t)MAX_ZERO_SPAN), &area);
        run->is_zero = area.flags & BDEV_AREA_ZERO;
        run->length = run->is_zero ? area.length : ASH_MIN(area.length, (uint64_t)CHUNK_BYTES);
    }
    ASH_ASSERT(run->length >= 1 && run->length <= left);
    c->next += run->length;
    return true;
}

/* The same from standard input, with the data. */
static bool take_stream(struct copy *c, void *buf, struct run *run)
{
    rt_mutex_lock(&c->src_lock);
    bool got = false;
    if (!c->rc && !c->src_ended) {
        struct stream_io io = {c->cli->host, buf, CHUNK_BYTES, 0};
        int rc = rt_work("read stdin", stream_read, &io);
        if (rc)
            copy_failed(c, &c->src, rc);
        c->src_ended = rc || (size_t)io.n_done < CHUNK_BYTES;
        if (!rc && io.n_done) {
            *run = (struct run){c->next, (uint64_t)io.n_done, false};
            c->next += run->length;
            c->total = c->next;
            got = true;
        }
    }
    rt_mutex_unlock(&c->src_lock);
    return got;
}

static bool is_zero(const uint8_t *p, size_t n_bytes)
{
    return n_bytes == 0 || (p[0] == 0 && !memcmp(p, p + 1, n_bytes - 1));
}

static int dst_zero(struct end *d, uint64_t offset, uint64_t length)
{
    if (d->fresh)
        return 0;
    if (d->file) {
        struct rt_op op = {.kind = RT_OP_ZERO, .file = d->file, .offset = offset, .length = length};
        int rc = (int)rt_op_wait(&op);
        return rc > 0 ? 0 : rc;
    }
    while (length) {
        struct bdev_area area;
        bdev_area(d->ch, offset, length, &area);
        if (!(area.flags & BDEV_AREA_ZERO)) {
            int rc = bdev_write_zeroes(d->ch, offset, area.length, 0);
            if (rc)
                return rc;
        }
        offset += area.length;
        length -= area.length;
    }
    return 0;
}

static int dst_data(struct end *d, const uint8_t *buf, uint64_t offset, uint64_t length)
{
    /* Runs of whole zero units go as zeroes, so that holes stay holes. */
    for (uint64_t at = 0; at < length;) {
        uint64_t n = ASH_MIN((uint64_t)ZERO_UNIT, length - at), end = at + n;
        bool zero = is_zero(buf + at, n);
        while (end < length) {
            n = ASH_MIN((uint64_t)ZERO_UNIT, length - end);
            if (is_zero(buf + end, n) != zero)
                break;
            end += n;
        }
        int rc = -ENOTSUP;
        if (zero)
            rc = dst_zero(d, offset + at, end - at);
        if (rc == -ENOTSUP || rc == -EOPNOTSUPP)
            rc = d->file ? rt_file_write(d->file, buf + at, end - at, offset + at)
                         : bdev_write(d->ch, buf + at, offset + at, end - at, 0);
        if (rc)
            return rc;
        at = end;
    }
    return 0;
}

static int dst_stream(struct copy *c, void *buf, const struct run *run)
{
    while (c->turn != run->offset && !c->rc)
        rt_waitq_wait(&c->turn_q);
    int rc = c->rc ? -ECANCELED : 0;
    if (run->is_zero)
        memset(buf, 0, CHUNK_BYTES);
    for (uint64_t left = run->length; left && !rc;) {
        struct stream_io io = {c->cli->host, buf, ASH_MIN(left, (uint64_t)CHUNK_BYTES), 0};
        rc = rt_work("write stdout", stream_write, &io);
        left -= io.n_bytes;
    }
    c->turn += run->length;
    rt_waitq_wake_all(&c->turn_q);
    return rc;
}

static int put_run(struct copy *c, uint8_t *buf, const struct run *run)
{
    struct end *d = &c->dst;
    if (d->is_stream)
        return dst_stream(c, buf, run);
    if (!d->fresh && (run->offset > d->size_bytes || run->length > d->size_bytes - run->offset))
        return -ENOSPC;
    if (!run->is_zero)
        return dst_data(d, buf, run->offset, run->length);
    int rc = dst_zero(d, run->offset, run->length);
    if (rc != -ENOTSUP && rc != -EOPNOTSUPP)
        return rc;
    memset(buf, 0, CHUNK_BYTES);
    rc = 0;
    for (uint64_t at = 0; at < run->length && !rc; at += CHUNK_BYTES) {
        uint64_t n = ASH_MIN((uint64_t)CHUNK_BYTES, run->length - at);
        rc = d->file ? rt_file_write(d->file, buf, n, run->offset + at)
                     : bdev_write(d->ch, buf, run->offset + at, n, 0);
    }
    return rc;
}

static void copy_worker(void *arg)
{
    struct copy *c = arg;
    struct run run;
    uint8_t *buf = rt_buf_get(CHUNK_BYTES);
    if (!buf)
        copy_failed(c, &c->src, -ENOMEM);
    while (buf && (c->src.is_stream ? take_stream(c, buf, &run) : take_run(c, &run))) {
        int rc = 0;
        if (!c->src.is_stream && !run.is_zero)
            rc = c->src.file ? rt_file_read(c->src.file, buf, run.length, run.offset)
                             : bdev_read(c->src.ch, buf, run.offset, run.length);
        if (rc) {
            copy_failed(c, &c->src, rc);
            rt_waitq_wake_all(&c->turn_q);
            break;
        }
        rc = put_run(c, buf, &run);
        if (rc)
            copy_failed(c, &c->dst, rc);
        if (rc)
            rt_waitq_wake_all(&c->turn_q);
    }
    rt_buf_put(buf, CHUNK_BYTES);
    if (--c->n_running == 0)
        rt_event_set(&c->all_done, 0);
}

static int transfer(struct copy *c, struct ash_err *err)
{
    rt_mutex_init(&c->src_lock);
    rt_waitq_init(&c->turn_q);
    c->all_done = RT_EVENT_INIT;
    int rc = 0;
    for (unsigned i = 0; i < N_WORKERS && !rc; i++) {
        rc = rt_task_spawn("copy", copy_worker, c);
        c->n_running += !rc;
    }
    if (!c->n_running)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory for a task");
    (void)rt_event_wait(&c->all_done);
    if (!c->rc && c->dst.fresh) {
        c->rc = rt_file_truncate(c->dst.file, c->total);
        c->failed_end = c->dst.text;
    }
    if (!c->rc && !c->dst.is_stream) {
        c->rc = c->dst.file ? rt_file_sync(c->dst.file) : bdev_flush(c->dst.ch);
        c->failed_end = c->dst.text;
    }
    if (!c->rc)
        return 0;
    if (c->rc == -ENOSPC && c->src.is_stream && !c->dst.fresh && !c->dst.is_stream &&
        c->total > c->dst.size_bytes)
        return ash_err_set(err, ASH_E_VOLUME_BAD_SIZE, c->dst.text,
                           "%s: the input is larger than its %" PRIu64 " bytes", c->dst.text,
                           c->dst.size_bytes);
    return ash_err_set_rc(err, c->rc, c->rc == -ENOSPC ? ASH_E_POOL_FULL : ASH_E_BDEV_IO,
                          c->failed_end, "%s: %s", c->failed_end, ash_strerror(c->rc));
}

/* ------------------------------------------------------------------ ends */

static bool looks_like_volume(const char *text)
{
    return text[0] != '/' && text[0] != '.' && strchr(text, '/') && !strstr(text, "://");
}

static int open_device(struct ash_engine *engine, const char *name, bool write, struct end *e,
                       struct ash_err *err)
{
    int rc = bdev_open(ash_engine_bdevs(engine), name,
                       BDEV_OPEN_UNALIGNED | (write ? BDEV_OPEN_WRITE : BDEV_OPEN_READ), "copy",
                       NULL, NULL, &e->desc, err);
    if (rc)
        return rc;
    e->size_bytes = bdev_desc_bdev(e->desc)->size_bytes;
    e->ch = bdev_channel_get(e->desc);
    return e->ch ? 0 : ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for a channel");
}

static int open_volume(struct ash_engine *engine, bool write, struct end *e, struct ash_err *err)
{
    struct volume_info info;
    struct volume *vol = volume_find(ash_engine_pools(engine), e->text);
    if (!vol)
        return ash_err_set(err, ASH_E_VOLUME_NOT_FOUND, e->text,
                           "%s: no such volume on the disks given with --disk", e->text);
    volume_get_info(vol, &info);
    if (info.state != VOLUME_OK || !info.bdev)
        return ash_err_set(
            err, info.state == VOLUME_DEGRADED ? ASH_E_VOLUME_DEGRADED : ASH_E_VOLUME_FAULTED,
            e->text, "%s cannot be opened: %s", e->text, info.fault ? info.fault : "no device");
    if (write && info.read_only)
        return ash_err_set(err, ASH_E_VOLUME_READ_ONLY, e->text, "%s is read-only", e->text);
    char name[160];
    snprintf(name, sizeof(name), "%s", info.bdev);
    return open_device(engine, name, write, e, err);
}

static int open_path(struct cli *cli, bool write, struct end *e, struct ash_err *err)
{
    char path[4096];
    struct rt_file_info info;
    int rc = cli->host->abs_path(e->text, path, sizeof(path));
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, e->text, "%s: %s", e->text,
                              ash_strerror(rc));
    bool is_dev = rt_path_is_blockdev(path);
    if (write && is_dev && !cli_flag(cli, "force"))
        return ash_err_set(err, ASH_E_REFUSED, e->text, "%s is a block device", e->text);
    rc = rt_file_open(path, write ? (is_dev ? 0 : RT_FILE_CREATE) | RT_FILE_LOCK : RT_FILE_RDONLY,
                      &e->file, err);
    if (!rc)
        rc = rt_file_info(e->file, &info);
    if (!rc && write && !is_dev) {
        rc = rt_file_truncate(e->file, 0);
        e->fresh = true;
    }
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_RT_FILE_OPEN, e->text, "%s: %s", e->text,
                              ash_strerror(rc));
    e->size_bytes = info.size_bytes;
    return 0;
}

static int open_end(struct cli *cli, bool write, bool engine_writes, struct end *e,
                    struct ash_err *err)
{
    struct ash_engine *engine;
    if (!strcmp(e->text, "-")) {
        e->is_stream = true;
        return 0;
    }
    bool uri = strstr(e->text, "://") != NULL;
    if (!uri && (!looks_like_volume(e->text) || !cli_opt(cli, "disk")))
        return open_path(cli, write, e, err);
    int rc = cli_engine(cli, !engine_writes, &engine, err);
    if (rc || !uri)
        return rc ? rc : open_volume(engine, write, e, err);
    char *name = NULL;
    rc = cli_add_disk(cli, engine, e->text, !write, &name, err);
    if (!rc)
        rc = open_device(engine, name, write, e, err);
    rt_free(name);
    return rc;
}

static void close_end(struct end *e)
{
    if (e->ch)
        bdev_channel_put(e->ch);
    if (e->desc)
        bdev_close(e->desc);
    if (e->file)
        rt_file_close(e->file);
}

int cli_copy(struct cli *cli, struct ash_err *err)
{
    struct copy *c = rt_alloc(sizeof(*c));
    if (!c)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
    c->cli = cli;
    c->src.text = cli->args[0];
    c->dst.text = cli->args[1];
    bool dst_on_engine = strcmp(c->dst.text, "-") && cli_opt(cli, "disk") &&
                         (looks_like_volume(c->dst.text) || strstr(c->dst.text, "://"));
    bool engine_writes = dst_on_engine || strstr(c->dst.text, "://");
    int rc = open_end(cli, false, engine_writes, &c->src, err);
    if (!rc)
        rc = open_end(cli, true, engine_writes, &c->dst, err);
    c->total = c->src.size_bytes;
    if (!rc && !c->src.is_stream && !c->dst.is_stream && !c->dst.fresh &&
        c->total > c->dst.size_bytes)
        rc = ash_err_set(err, ASH_E_VOLUME_BAD_SIZE, c->dst.text,
                         "%s has %" PRIu64 " bytes, %s only %" PRIu64, c->src.text, c->total,
                         c->dst.text, c->dst.size_bytes);
    if (!rc)
        rc = transfer(c, err);
    close_end(&c->src);
    close_end(&c->dst);
    rt_free(c);
    return rc;
}
