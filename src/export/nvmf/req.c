/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of a connection: their slots, and the table of their ids. What was used once is kept
 * until the connection is idle. The connection's own reactor. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>

struct nvmf_req *nvmf_req_get(struct nvmf_conn *conn)
{
    struct ash_list *item = ash_list_pop_head(&conn->free_reqs);
    struct nvmf_req *req = NULL;
    if (item) {
        conn->n_free--;
        req = ash_list_entry(item, struct nvmf_req, link);
        memset(req, 0, sizeof(*req));
    } else {
        req = rt_alloc(sizeof(*req));
        if (!req)
            return NULL;
    }
    req->conn = conn;
    req->slot = conn->first_free;
    ash_list_init(&req->link);
    conn->first_free = conn->next_free[req->slot];
    conn->slots[req->slot] = req;
    conn->n_active++;
    conn->n_reqs++;
    conn->n_seen++;
    NVMF_COUNT(conn->stats->n_pending, 1);
    return req;
}

struct nvmf_req *nvmf_find_cid(const struct nvmf_conn *conn, uint16_t cid)
{
    uint16_t slot = conn->cid_heads[cid % NVMF_CID_BUCKETS];
    while (slot != NVMF_NO_SLOT) {
        struct nvmf_req *req = conn->slots[slot];
        if (req->cid == cid)
            return req;
        slot = req->cid_next;
    }
    return NULL;
}

void nvmf_cid_insert(struct nvmf_req *req)
{
    uint16_t *head = &req->conn->cid_heads[req->cid % NVMF_CID_BUCKETS];
    req->cid_next = *head;
    *head = req->slot;
}

/* One that had a command id in use by another is not in the table. */
static void cid_remove(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    uint16_t *at = &conn->cid_heads[req->cid % NVMF_CID_BUCKETS];
    while (*at != NVMF_NO_SLOT) {
        if (*at == req->slot) {
            *at = req->cid_next;
            return;
        }
        at = &conn->slots[*at]->cid_next;
    }
}

void nvmf_req_release(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    if (req->slot == NVMF_NO_SLOT)
        return;
    ASH_ASSERT(conn->slots[req->slot] == req && conn->n_active > 0);
    cid_remove(req);
    conn->slots[req->slot] = NULL;
    conn->next_free[req->slot] = conn->first_free;
    conn->first_free = req->slot;
    conn->n_active--;
    req->slot = NVMF_NO_SLOT;
    NVMF_COUNT(conn->stats->n_pending, -1);
}

void nvmf_req_put(struct nvmf_req *req)
{
    struct nvmf_conn *conn = req->conn;
    ASH_ASSERT(conn->n_reqs > 0 && req->n_ios == 0 && !req->lns);
    ASH_ASSERT(conn->inflight_bytes >= req->charged_bytes);
    nvmf_req_release(req);
    rt_buf_put(req->buf, req->buf_bytes);
    conn->inflight_bytes -= req->charged_bytes;
    conn->n_reqs--;
    ash_list_push_head(&conn->free_reqs, &req->link);
    conn->n_free++;
}

void nvmf_free_spare_reqs(struct nvmf_conn *conn)
{
    struct ash_list *item;
    while ((item = ash_list_pop_head(&conn->free_reqs)) != NULL)
        rt_free(ash_list_entry(item, struct nvmf_req, link));
    conn->n_free = 0;
}

int nvmf_conn_make_slots(struct nvmf_conn *conn, uint16_t depth)
{
    /* What is in flight (the Connect) keeps its slot. */
    uint16_t n_slots = ASH_MAX(depth, conn->n_slots);
    struct nvmf_req **slots = rt_alloc(n_slots * sizeof(*slots));
    uint16_t *next_free = rt_alloc(n_slots * sizeof(*next_free));
    if (!slots || !next_free) {
        rt_free(slots);
        rt_free(next_free);
        return -ENOMEM;
    }
    conn->first_free = NVMF_NO_SLOT;
    for (uint16_t i = n_slots; i-- > 0;) {
        slots[i] = i < conn->n_slots ? conn->slots[i] : NULL;
        if (!slots[i]) {
            next_free[i] = conn->first_free;
            conn->first_free = i;
        }
    }
    rt_free(conn->slots);
    rt_free(conn->next_free);
    conn->slots = slots;
    conn->next_free = next_free;
    conn->n_slots = n_slots;
    conn->depth = depth;
    return 0;
}
