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

/* What one context says of an area. since: depth of the snapshot that a dirty bitmap counts from;
 * 0: it cannot be told, and everything is dirty. */
static uint32_t state_of(const struct bdev_area *area, unsigned bit, uint32_t since)
{
    if (bit >= NBD_META_SINCE_SHIFT)
        return since == 0 || (area->depth >= 1 && area->depth < since);
    if (1u << bit == NBD_META_DEPTH)
        return area->depth;
    return (area->flags & BDEV_AREA_HOLE ? NBD_STATE_HOLE : 0u) |
           (area->flags & BDEV_AREA_ZERO ? NBD_STATE_ZERO : 0u);
}

/* Descriptors of one context, neighbours of one kind merged. Returns how many. */
static uint32_t walk(struct nbd_req *req, unsigned bit, struct nbd_extent_wire *ext, uint32_t n_max)
{
    uint64_t pos = req->offset, end = req->offset + req->length;
    uint32_t n = 0, length = 0, state = 0, since = 0;
    if (bit >= NBD_META_SINCE_SHIFT)
        since =
            bdev_ancestor_depth(req->conn->ch, req->conn->meta_since[bit - NBD_META_SINCE_SHIFT]);
    for (unsigned i = 0; pos < end && i < NBD_STATUS_WALK; i++) {
        struct bdev_area area = area_at(req, pos, end - pos);
        uint32_t s = state_of(&area, bit, since);
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

static size_t put_context(struct nbd_req *req, unsigned bit, uint8_t *out, uint32_t n_max,
                          bool last)
{
    struct nbd_chunk_status_wire *w = (void *)out;
    uint32_t n = walk(req, bit, (void *)(w + 1), n_max);
    uint32_t n_bytes = n * (uint32_t)sizeof(struct nbd_extent_wire);
    w->chunk = (struct nbd_chunk_wire){ash_be32(NBD_STRUCT_REPLY_MAGIC),
                                       ash_be16(last ? NBD_CHUNK_DONE : 0),
                                       ash_be16(NBD_CHUNK_STATUS), ash_be64(req->cookie),
                                       ash_be32((uint32_t)(sizeof(w->context)) + n_bytes)};
    w->context = ash_be32(bit + 1);
    return sizeof(*w) + n_bytes;
}

enum nbd_error nbd_status(struct nbd_req *req)
{
    struct nbd_conn *conn = req->conn;
    unsigned n_contexts = (unsigned)__builtin_popcount(conn->contexts);
    uint32_t n_max = req->flags & NBD_CF_REQ_ONE ? 1 : NBD_STATUS_EXTENTS;
    size_t each = sizeof(struct nbd_chunk_status_wire) + n_max * sizeof(struct nbd_extent_wire);
    req->buf_bytes = each * n_contexts;
    req->buf = rt_buf_get(req->buf_bytes);
    if (!req->buf) {
        req->buf_bytes = 0;
        req->text = "the server is out of memory";
        return NBD_ENOMEM;
    }
    req->charged_bytes = req->buf_bytes;
    conn->inflight_bytes += req->charged_bytes;
    size_t n = 0;
    for (uint32_t left = conn->contexts; left; left &= left - 1)
        n += put_context(req, (unsigned)__builtin_ctz(left), (uint8_t *)req->buf + n, n_max,
                         (left & (left - 1)) == 0);
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
