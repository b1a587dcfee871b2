/* SPDX-License-Identifier: Apache-2.0 */
/* A small NBD client: docs/spec/nbd.md, option EXPORT_NAME and simple replies. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "export/nbd/nbd.h"
#include "world_nbd.h"

struct client {
    struct sim_world *w;
    struct rt_sock *sock;
    uint32_t vol_id;
    uint64_t cookie;
    char name[40];
    bool exported;
};

static void put_be(uint8_t *at, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)(value >> 8 * (n - 1 - i));
}

static uint64_t get_be(const uint8_t *at, unsigned n)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value = value << 8 | at[i];
    return value;
}

static int say(struct client *c, const void *data, size_t n)
{
    struct rt_op op = {.kind = RT_OP_SEND, .sock = c->sock};
    op.one_iov = (struct iovec){(void *)(uintptr_t)data, n};
    op.iov = &op.one_iov;
    op.n_iov = 1;
    int64_t res = rt_op_wait(&op);
    return res < 0 ? (int)res : 0;
}

static int hear(struct client *c, void *data, size_t n)
{
    uint8_t *at = data;
    while (n) {
        struct rt_op op = {.kind = RT_OP_RECV, .sock = c->sock};
        op.one_iov = (struct iovec){at, n};
        op.iov = &op.one_iov;
        op.n_iov = 1;
        int64_t res = rt_op_wait(&op);
        if (res <= 0)
            return res ? (int)res : -ECANCELED;
        at += res;
        n -= (size_t)res;
    }
    return 0;
}

static int shake_hands(struct client *c, const char *name)
{
    uint8_t buf[160];
    size_t n_name = strlen(name);
    int rc = hear(c, buf, 18);
    if (rc)
        return rc;
    put_be(buf, 3, 4); /* fixed newstyle, no zeroes */
    put_be(buf + 4, 0x49484156454f5054ull, 8);
    put_be(buf + 12, 1, 4); /* EXPORT_NAME */
    put_be(buf + 16, n_name, 4);
    /* on the wire, with its length. NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(buf + 20, name, n_name);
    rc = say(c, buf, 20 + n_name);
    return rc ? rc : hear(c, buf, 10);
}

/* One request; payload: of a write, or the room of a read. */
static int ask(struct client *c, unsigned type, unsigned flags, uint64_t block, uint64_t n_blocks,
               uint8_t *payload)
{
    uint8_t head[28], reply[16];
    uint64_t bytes = n_blocks * SIM_BLOCK;
    put_be(head, 0x25609513, 4);
    put_be(head + 4, flags, 2);
    put_be(head + 6, type, 2);
    put_be(head + 8, ++c->cookie, 8);
    put_be(head + 16, block * SIM_BLOCK, 8);
    put_be(head + 24, bytes, 4);
    int rc = say(c, head, sizeof(head));
    if (rc == 0 && type == 1)
        rc = say(c, payload, bytes);
    if (rc == 0)
        rc = hear(c, reply, sizeof(reply));
    if (rc)
        return rc;
    if (get_be(reply, 4) != 0x67446698 || get_be(reply + 8, 8) != c->cookie) {
        sim_wrong(c->w, "a bad NBD reply");
        return -EPROTO;
    }
    uint64_t error = get_be(reply + 4, 4); /* Linux's numbers; ESHUTDOWN: the volume goes away */
    if (error)
        return error == 108 ? -ENODEV : -(int)error;
    return type == 0 ? hear(c, payload, bytes) : 0;
}

static int do_write(struct client *c, uint64_t block, uint64_t n, bool fua, uint8_t *buf)
{
    struct ora_vol *v = ora_find(&c->w->ora, c->vol_id);
    if (!v)
        return -ENODEV;
    if (block + n > v->n_rooms)
        return -EINVAL; /* cut off by a resize */
    uint64_t submit = ora_write_begin(&c->w->ora, v, block, n, false);
    for (uint64_t i = 0; i < n * SIM_BLOCK; i += 8) {
        uint64_t tag = ora_tag(v, block + i / SIM_BLOCK, submit);
        memcpy(buf + i, &tag, 8);
    }
    int rc = ask(c, 1, fua, block, n, buf);
    v = ora_find(&c->w->ora, c->vol_id);
    if (v)
        ora_write_end(&c->w->ora, v, block, n, submit, rc ? ORA_FAILED : ORA_DONE, fua);
    return rc;
}

static int do_read(struct client *c, uint64_t block, uint64_t n, uint8_t *buf)
{
    struct ora_vol *v = ora_find(&c->w->ora, c->vol_id);
    uint64_t since = ++c->w->ora.now, tag;
    if (!v)
        return -ENODEV;
    v->n_held++;
    memset(buf, 0xee, n * SIM_BLOCK);
    int rc = ask(c, 0, 0, block, n, buf);
    v = ora_find(&c->w->ora, c->vol_id);
    if (!v)
        return rc;
    v->n_held--;
    for (uint64_t i = 0; i < n && rc == 0; i++) {
        memcpy(&tag, buf + i * SIM_BLOCK, 8);
        if (memcmp(buf + i * SIM_BLOCK, buf + i * SIM_BLOCK + 8, SIM_BLOCK - 8) == 0 &&
            ora_read(&c->w->ora, v, block + i, since, tag))
            continue;
        struct ash_buf may = {0};
        ora_tell(v, block + i, &may);
        sim_wrong(c->w, "volume %s block %llu reads %016llx over NBD, not one of: %s", v->name,
                  (unsigned long long)block + i, (unsigned long long)tag, ash_buf_text(&may));
        ash_buf_free(&may);
        break;
    }
    c->w->counts.n_checked_blocks += n;
    return rc;
}

/* What c has written is read by its reader: itself, or a client of another export of the volume. */
static int talk(struct client *c, struct client *reader, const struct sim_step *s, uint64_t block,
                uint64_t n, uint8_t *buf)
{
    int rc = 0;
    for (unsigned i = 0; i < 1 + (s->a[3] >> 4) % 3 && rc == 0; i++)
        rc = do_write(c, block, n, s->a[3] >> 8 & 1, buf);
    if (rc == 0)
        rc = do_read(reader, block, n, buf);
    uint64_t since = ++c->w->ora.now;
    if (rc == 0)
        rc = ask(c, 3, 0, 0, 0, NULL);
    struct ora_vol *v = ora_find(&c->w->ora, c->vol_id);
    if (rc == 0 && v)
        ora_flush(v, since);
    if (rc == 0 && s->a[3] & 0x200) { /* else the connection is just cut */
        uint8_t bye[28] = {0};
        put_be(bye, 0x25609513, 4);
        bye[7] = 2;
        rc = say(c, bye, sizeof(bye));
    }
    return rc;
}

/* The volume was deleted, or its disk or parent taken away: the server has dropped the export
 * itself, and cuts the stream off. */
static bool has_left(const struct sim_world *w, uint32_t vol_id, uint64_t epoch)
{
    const struct ora_vol *v = ora_find((struct oracle *)(uintptr_t)&w->ora, vol_id);
    return !v || v->state != ORA_LIVE || w->removed || sim_ext_excuses(w, v, epoch);
}

/* An export of the volume and a connection to it. */
static int begin(struct client *c, struct sim_world *w, const struct ora_vol *v)
{
    struct rt_sock *server;
    char uuid[ASH_UUID_TEXT_BYTES];
    struct ash_err err = {0};
    c->w = w;
    c->vol_id = v->id;
    snprintf(c->name, sizeof(c->name), "x%llu", (unsigned long long)++w->ora.now);
    int rc = nbd_add_export(w->nbd, ash_uuid_format(&v->uuid, uuid), c->name, false, NULL, &err);
    if (rc)
        return rc;
    c->exported = true;
    w->n_exports++;
    w->counts.n_exports_max = ASH_MAX(w->counts.n_exports_max, w->n_exports);
    rc = rt_sock_pair(&c->sock, &server);
    if (rc == 0)
        rc = nbd_serve_sock(w->nbd, server, &err);
    return rc ? rc : shake_hands(c, c->name);
}

static void end(struct client *c, uint64_t epoch)
{
    struct sim_world *w = c->w;
    struct ash_err err = {0};
    if (c->sock) {
        rt_sock_shutdown(c->sock);
        rt_sock_close(c->sock);
    }
    if (!c->exported)
        return;
    w->n_exports--;
    int gone = nbd_remove_export(w->nbd, c->name, true, &err);
    if (gone && !(gone == -ENOENT && has_left(w, c->vol_id, epoch)))
        sim_wrong(w, "removing an export: %s", err.text);
}

int sim_nbd_session(struct sim_world *w, struct ora_vol *v, const struct sim_step *s,
                    uint64_t block, uint64_t n_blocks)
{
    struct client c = {0}, other = {0};
    uint64_t epoch = w->ext_epoch;
    bool two = s->a[3] & 0x400;
    uint32_t id = v->id;
    int rc = begin(&c, w, v);
    v = ora_find(&w->ora, id);
    if (rc == 0 && two)
        rc = v ? begin(&other, w, v) : -ENODEV;
    uint8_t *buf = rt_buf_get(n_blocks * SIM_BLOCK);
    if (rc == 0)
        rc = talk(&c, two ? &other : &c, s, block, n_blocks, buf);
    rt_buf_put(buf, n_blocks * SIM_BLOCK);
    if (other.w)
        end(&other, epoch);
    end(&c, epoch);
    return rc && has_left(w, id, epoch) ? -ENODEV : rc;
}
