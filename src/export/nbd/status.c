/* SPDX-License-Identifier: Apache-2.0 */
/* What a client may learn about allocation: BLOCK_STATUS replies and hole chunks of READ, both from
 * bdev_area(), which answers from memory. "Data" is always a safe answer, so every limit here
 * ends in it or in a shorter reply. Source: docs/spec/nbd.md 4, 5. */
#include "export/nbd/nbd_int.h"

static struct bdev_area area_at(struct nbd_req *req, uint64_t offset, uint64_t length)
{
    struct bdev_area area = {0};
    bdev_area(req->conn->ch, offset, length, &area);
    ASH_ASSERT(area.length >= 1 && area.length <= length);
    return area;
}

static uint32_t state_of(const struct bdev_area *area, unsigned context)
{
    if (context == NBD_CTX_DEPTH)
        return area->depth;
    return (area->flags & BDEV_AREA_HOLE ? NBD_STATE_HOLE : 0u) |
           (area->flags & BDEV_AREA_ZERO ? NBD_STATE_ZERO : 0u);
}

/* Descriptors of one context, neighbours of one kind merged. Returns how many. */
static uint32_t walk(struct nbd_req *req, unsigned context, struct nbd_extent_wire *ext,
                     uint32_t n_max)
{
    uint64_t pos = req->offset, end = req->offset + req->length;
    uint32_t n = 0, length = 0, state = 0;
    for (unsigned i = 0; pos < end && i < NBD_STATUS_WALK; i++) {
        struct bdev_area area = area_at(req, pos, end - pos);
        uint32_t s = state_of(&area, context);
        if (n == 0 || s != state) {
            if (n == n_max)
                break;
            n++;
            length = 0;
            state = s;
        }
        length += (uint32_t)area.length;
        ext[n - 1] = (struct nbd_extent_wire){ash_be32(length), ash_be32(state)};
        pos += area.length;
    }
    ASH_ASSERT(n >= 1);
    return n;
}

static size_t put_context(struct nbd_req *req, unsigned context, uint8_t *out, uint32_t n_max,
                          bool last)
{
    struct nbd_chunk_status_wire *w = (void *)out;
    uint32_t n = walk(req, context, (void *)(w + 1), n_max);
    uint32_t n_bytes = n * (uint32_t)sizeof(struct nbd_extent_wire);
    w->chunk = (struct nbd_chunk_wire){ash_be32(NBD_STRUCT_REPLY_MAGIC),
                                       ash_be16(last ? NBD_CHUNK_DONE : 0),
                                       ash_be16(NBD_CHUNK_STATUS), ash_be64(req->cookie),
                                       ash_be32((uint32_t)(sizeof(w->context)) + n_bytes)};
    w->context = ash_be32(context);
    return sizeof(*w) + n_bytes;
}

enum nbd_error nbd_status(struct nbd_req *req)
{
    struct nbd_conn *conn = req->conn;
    bool both = conn->contexts == (NBD_META_ALLOCATION | NBD_META_DEPTH);
    uint32_t n_max = req->flags & NBD_CF_REQ_ONE ? 1 : NBD_STATUS_EXTENTS;
    size_t each = sizeof(struct nbd_chunk_status_wire) + n_max * sizeof(struct nbd_extent_wire);
    req->buf_bytes = each * (both ? 2 : 1);
    req->buf = rt_buf_get(req->buf_bytes);
    if (!req->buf) {
        req->buf_bytes = 0;
        req->text = "the server is out of memory";
        return NBD_ENOMEM;
    }
    req->charged_bytes = req->buf_bytes;
    conn->inflight_bytes += req->charged_bytes;
    size_t n = 0;
    if (conn->contexts & NBD_META_ALLOCATION)
        n += put_context(req, NBD_CTX_ALLOCATION, req->buf, n_max, !both);
    if (conn->contexts & NBD_META_DEPTH)
        n += put_context(req, NBD_CTX_DEPTH, (uint8_t *)req->buf + n, n_max, true);
    req->n_status_bytes = (uint32_t)n;
    return NBD_OK;
}

unsigned nbd_read_map(struct nbd_req *req, struct nbd_chunk *chunks)
{
    unsigned n = 0;
    bool any_hole = false;
    uint32_t pos = 0;
    while (pos < req->length) {
        uint32_t left = req->length - pos;
        struct bdev_area area = area_at(req, req->offset + pos, left);
        uint32_t length = (uint32_t)area.length;
        bool hole = (area.flags & BDEV_AREA_ZERO) && length >= NBD_PREFERRED_BLOCK;
        if (n > 0 && chunks[n - 1].hole == hole) {
            chunks[n - 1].length += length;
        } else {
            if (n == NBD_READ_CHUNKS - 1) { /* the last place is for data up to the end */
                hole = false;
                length = left;
            }
            chunks[n++] = (struct nbd_chunk){pos, length, hole};
            any_hole |= hole;
        }
        pos += length;
    }
    return any_hole ? n : 0;
}
