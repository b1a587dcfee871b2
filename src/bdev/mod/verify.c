/* SPDX-License-Identifier: Apache-2.0 */
/* Two devices that must be alike: every change goes to both, every read is read from both and
 * compared. A difference is -EILSEQ and a line in the trace ring. For tests: one of the two is the
 * device under test, the other one that is trusted.
 *
 * The io itself goes to the first device; a second io, taken from the other's channel, goes beside
 * it. Both must have come back before the io ends. */
#include <errno.h>
#include <string.h>

#include "bdev/mod/vbdev.h"

struct verify_disk {
    struct vbdev v; /* on the first device */
    struct bdev_desc *other_desc;
    char *a_uri, *b_uri; /* of devices that were made by our URI: they go with us */
};

struct verify_channel {
    struct vbdev_channel vc;
    struct bdev_channel *other;
};

struct verify_io {
    struct bdev_io *io;
    unsigned n_left;
    int rc, other_rc;
    char *buf;
};

static struct verify_disk *disk_of(const struct bdev *bdev)
{
    return ash_container_of(vbdev_of(bdev), struct verify_disk, v);
}

static void one_done(struct verify_io *vi)
{
    struct bdev_io *io = vi->io;
    if (--vi->n_left)
        return;
    int rc = vi->rc ? vi->rc : vi->other_rc;
    if (vi->buf) {
        if (rc == 0 && bdev_iov_compare(io->iov, io->n_iov, vi->buf))
            rc = -EILSEQ;
        rt_buf_put(vi->buf, io->length);
    }
    if (rc == -EILSEQ || (vi->rc == 0) != (vi->other_rc == 0))
        rt_trace("verify: devices differ (offset, length)", io->offset, io->length);
    bdev_io_done(io, rc);
}

static void first_done(struct bdev_io *io)
{
    struct verify_io *vi = bdev_io_ctx(io);
    vi->rc = io->rc;
    one_done(vi);
}

static void other_done(struct bdev_io *other)
{
    struct verify_io *vi = other->user; /* io->frame may be a lower layer's now */
    vi->other_rc = other->rc;
    bdev_io_put(other);
    one_done(vi);
}

static struct bdev_io *make_other(struct verify_channel *vc, struct bdev_io *io,
                                  struct verify_io *vi)
{
    if (io->type == BDEV_READ && !(vi->buf = rt_buf_get(io->length)))
        return NULL;
    struct bdev_io *other = bdev_io_get(vc->other);
    if (!other) {
        rt_buf_put(vi->buf, io->length);
        return NULL;
    }
    other->type = io->type;
    other->flags = io->flags & BDEV_FUA;
    other->offset = io->offset;
    other->length = io->length;
    other->iov = io->iov;
    other->n_iov = io->n_iov;
    if (vi->buf) {
        other->one_iov = (struct iovec){vi->buf, io->length};
        other->iov = &other->one_iov;
        other->n_iov = 1;
    }
    other->done = other_done;
    other->user = vi;
    return other;
}

static void verify_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    struct verify_channel *vc = ch->ctx;
    if (io->type == BDEV_RESET) {
        bdev_io_pass(io, vc->vc.lower, io->offset, NULL);
        return;
    }
    struct verify_io *vi = bdev_io_ctx(io);
    *vi = (struct verify_io){.io = io, .n_left = 2};
    struct bdev_io *other = make_other(vc, io, vi);
    if (!other) {
        bdev_io_done_soon(io, -ENOMEM);
        return;
    }
    bdev_submit(other);
    bdev_io_pass(io, vc->vc.lower, io->offset, first_done);
}

/* Only what both can do (or the core can do on both), and only what has a certain outcome. */
static bool verify_supports(struct bdev *bdev, enum bdev_io_type type)
{
    struct verify_disk *d = disk_of(bdev);
    struct bdev *a = d->v.base, *b = bdev_desc_bdev(d->other_desc);
    switch (type) {
    case BDEV_READ:
    case BDEV_WRITE:
    case BDEV_FLUSH:
    case BDEV_RESET:
        return bdev_supports(a, type) && bdev_supports(b, type);
    case BDEV_WRITE_ZEROES:
        return bdev_supports(a, type);
    case BDEV_UNMAP:
        return bdev_supports(a, type) && bdev_supports(b, type) && a->unmap_zeroes &&
               b->unmap_zeroes;
    default:
        return false;
    }
}

static int channel_init(struct bdev_channel *ch)
{
    struct verify_channel *vc = ch->ctx;
    int rc = vbdev_channel_init(ch);
    if (rc)
        return rc;
    vc->other = bdev_channel_get(disk_of(ch->bdev)->other_desc);
    if (vc->other)
        return 0;
    vbdev_channel_fini(ch);
    return -ENOMEM;
}

static void channel_fini(struct bdev_channel *ch)
{
    bdev_channel_put(((struct verify_channel *)ch->ctx)->other);
    vbdev_channel_fini(ch);
}

static void disk_free(struct verify_disk *d) ASH_MAY_WAIT
{
    if (d->other_desc)
        bdev_close(d->other_desc);
    vbdev_fini(&d->v);
    rt_free(d->a_uri);
    rt_free(d->b_uri);
    rt_free(d);
}

static void verify_destroy(struct bdev *bdev)
{
    disk_free(disk_of(bdev));
}

static struct bdev *verify_lower(struct bdev *bdev, unsigned idx)
{
    struct verify_disk *d = disk_of(bdev);
    return idx == 0 ? d->v.base : idx == 1 ? bdev_desc_bdev(d->other_desc) : NULL;
}

static void verify_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    struct verify_disk *d = disk_of(bdev);
    ash_jsonw_obj(w, "verify");
    ash_jsonw_str(w, "a", d->v.base->name);
    ash_jsonw_str(w, "b", bdev_desc_bdev(d->other_desc)->name);
    ash_jsonw_obj_end(w);
}

static const struct bdev_ops verify_ops = {
    .submit = verify_submit,
    .supports = verify_supports,
    .channel_init = channel_init,
    .channel_fini = channel_fini,
    .destroy = verify_destroy,
    .lower = verify_lower,
    .dump = verify_dump,
};

static void other_event(struct bdev_desc *desc, enum bdev_event ev)
{
    struct vbdev *v = bdev_desc_user(desc);
    if (ev == BDEV_EVENT_REMOVE && v->bdev.core)
        vbdev_leave(v);
}

static int open_other(struct verify_disk *d, struct bdev_mgr *mgr, const char *name,
                      struct ash_err *err) ASH_MAY_WAIT
{
    int rc =
        bdev_open(mgr, name, BDEV_OPEN_READ, "verify", other_event, &d->v, &d->other_desc, err);
    if (rc)
        return rc;
    const struct bdev *a = d->v.base, *b = bdev_desc_bdev(d->other_desc);
    if (a->block_bytes != b->block_bytes || a->size_bytes != b->size_bytes)
        return ash_err_set(err, ASH_E_BDEV_BAD_GEOMETRY, name,
                           "devices '%s' and '%s' differ in size or block size", a->name, b->name);
    return bdev_claim(d->other_desc, BDEV_CLAIM_EXCL_WRITE, 0, "verify", err);
}

static int disk_create(struct bdev_mgr *mgr, const char *name, const char *a, const char *b,
                       const struct ash_uuid *uuid, struct verify_disk **ret,
                       struct ash_err *err) ASH_MAY_WAIT
{
    struct verify_disk *d = rt_alloc(sizeof(*d));
    if (!d)
        return ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for '%s'", name);
    int rc = vbdev_init(&d->v, mgr, name, a, &bdev_verify_module, &verify_ops, err);
    if (rc == 0)
        rc = open_other(d, mgr, b, err);
    if (rc == 0) {
        d->v.fixed_size = true;
        d->v.bdev.io_ctx_bytes = sizeof(struct verify_io);
        d->v.bdev.channel_ctx_bytes = sizeof(struct verify_channel);
        d->v.bdev.volatile_cache |= bdev_desc_bdev(d->other_desc)->volatile_cache;
        d->v.bdev.unmap_zeroes &= bdev_desc_bdev(d->other_desc)->unmap_zeroes;
        d->v.bdev.uuid = *uuid;
        rc = bdev_register(mgr, &d->v.bdev, err);
    }
    if (rc)
        disk_free(d);
    else if (ret)
        *ret = d;
    return rc;
}

/* ------------------------------------------------------- methods and URI */

struct create_params {
    char *name, *a, *b;
    struct ash_uuid uuid;
};

static const struct ash_param create_table[] = {
    ASH_PARAM(struct create_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the device"),
    ASH_PARAM(struct create_params, a, ASH_P_STR, ASH_P_REQUIRED, NULL, "first device, answers"),
    ASH_PARAM(struct create_params, b, ASH_P_STR, ASH_P_REQUIRED, NULL, "second device, compared"),
    ASH_PARAM(struct create_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    {.name = NULL},
};

static int run_create(struct ash_call *call, void *params)
{
    struct create_params *p = params;
    int rc = disk_create(call->bdevs, p->name, p->a, p->b, &p->uuid, NULL, call->err);
    if (rc == 0)
        ash_jsonw_str(call->result, NULL, p->name);
    return rc;
}

static int run_delete(struct ash_call *call, void *params)
{
    return bdev_mod_delete(call, ((struct bdev_name_params *)params)->name, &bdev_verify_module);
}

static const struct ash_method methods[] = {
    {"bdev_verify_create", "Make a device that compares two others.", create_table,
     sizeof(struct create_params), .run = run_create},
    {"bdev_verify_delete", "Remove a verify device.", bdev_name_params,
     sizeof(struct bdev_name_params), .run = run_delete},
    {.name = NULL},
};

struct uri_params {
    char *a, *b;
    struct ash_uuid uuid;
};

static const struct ash_param uri_table[] = {
    ASH_PARAM(struct uri_params, a, ASH_P_STR, 0, NULL, "URI of the first device"),
    ASH_PARAM(struct uri_params, b, ASH_P_STR, 0, NULL, "URI of the second device"),
    ASH_PARAM(struct uri_params, uuid, ASH_P_UUID, 0, NULL, "UUID; a random one if none"),
    {.name = NULL},
};

static int uri_create(struct bdev_mgr *mgr, const struct bdev_uri *uri, void *params,
                      char **ret_name, struct ash_err *err)
{
    struct uri_params *p = params;
    char *name = NULL, *a = NULL, *b = NULL;
    struct verify_disk *d = NULL;
    int rc = bdev_uri_plain_name(uri, &name, err);
    if (rc == 0 && (!p->a || !p->b))
        rc = bdev_uri_invalid(uri, "both 'a' and 'b' must be specified", err);
    if (rc == 0 && bdev_find(mgr, name))
        rc = bdev_uri_exists(name, err);
    char *a_uri = rt_strdup(p->a ? p->a : ""), *b_uri = rt_strdup(p->b ? p->b : "");
    if (rc == 0 && (!a_uri || !b_uri))
        rc = ash_err_set(err, ASH_E_NO_MEMORY, name, "no memory for '%s'", name);
    if (rc == 0)
        rc = bdev_create_uri(mgr, p->a, &a, err);
    if (rc == 0)
        rc = bdev_create_uri(mgr, p->b, &b, err);
    if (rc == 0)
        rc = disk_create(mgr, name, a, b, &p->uuid, &d, err);
    if (rc == 0) {
        d->a_uri = a_uri;
        d->b_uri = b_uri;
        a_uri = b_uri = NULL;
        *ret_name = name;
        name = NULL;
    } else {
        if (b)
            bdev_destroy_uri(mgr, p->b, NULL);
        if (a)
            bdev_destroy_uri(mgr, p->a, NULL);
    }
    rt_free(a_uri);
    rt_free(b_uri);
    rt_free(name);
    rt_free(a);
    rt_free(b);
    return rc;
}

static int uri_destroy(struct bdev_mgr *mgr, const struct bdev_uri *uri, struct ash_err *err)
{
    char *name, *a = NULL, *b = NULL;
    int rc = bdev_uri_plain_name(uri, &name, err);
    if (rc)
        return rc;
    struct bdev *bdev = bdev_find(mgr, name);
    if (!bdev || bdev->module != &bdev_verify_module) {
        rc = ash_err_set(err, ASH_E_BDEV_NOT_FOUND, name, "BDEV '%s' could not be found", name);
    } else {
        struct verify_disk *d = disk_of(bdev);
        a = d->a_uri;
        b = d->b_uri;
        d->a_uri = d->b_uri = NULL;
        if (bdev_unregister(bdev))
            rc = ash_err_set(err, ASH_E_BDEV_BUSY, name, "Failed to destroy a BDEV '%s'", name);
    }
    if (rc == 0 && a)
        rc = bdev_destroy_uri(mgr, a, err);
    if (rc == 0 && b)
        rc = bdev_destroy_uri(mgr, b, err);
    rt_free(a);
    rt_free(b);
    rt_free(name);
    return rc;
}

static const char *const schemes[] = {"verify", NULL};

struct bdev_module bdev_verify_module = {
    .name = "verify",
    .schemes = schemes,
    .uri_help = "verify:///NAME?a=URI&b=URI",
    .uri_params = uri_table,
    .uri_params_bytes = sizeof(struct uri_params),
    .uri_create = uri_create,
    .uri_name = bdev_uri_plain_name,
    .uri_destroy = uri_destroy,
    .methods = methods,
};
