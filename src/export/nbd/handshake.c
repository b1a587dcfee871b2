/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake: a task per connection, from the greeting to transmission or the end.
 *
 * Invariants
 *  - an option's data is read completely before anything is decided, so the stream stays framed;
 *  - every option but EXPORT_NAME gets exactly one final reply;
 *  - bytes that follow the last option stay in conn->small, where transmission finds them;
 *  - once attached, the connection is released by its end, whatever happens here.
 * Source: docs/spec/nbd.md 2, 3, 5. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "export/nbd/nbd_int.h"

enum verdict { NEXT_OPTION, TRANSMIT, HANG_UP };

struct option {
    uint32_t number, length;
    uint8_t *data; /* length bytes, one NUL more */
};

/* ------------------------------------------------------------ the stream */

static bool fill(struct nbd_conn *conn)
{
    if (conn->rx_head == conn->rx_tail)
        conn->rx_head = conn->rx_tail = 0;
    struct rt_op *op = &conn->rx_op;
    *op = (struct rt_op){.kind = RT_OP_RECV, .sock = conn->sock};
    op->one_iov = (struct iovec){conn->small + conn->rx_tail, NBD_SMALL_BYTES - conn->rx_tail};
    op->iov = &op->one_iov;
    op->n_iov = 1;
    ASH_ASSERT(op->one_iov.iov_len > 0);
    int64_t n = rt_op_wait(op);
    if (n <= 0)
        return false;
    conn->rx_tail += (size_t)n;
    return true;
}

/* Take n bytes; to NULL throws them away. False: the peer is gone. */
static bool take(struct nbd_conn *conn, void *to, size_t n)
{
    while (n > 0) {
        size_t have = ASH_MIN(conn->rx_tail - conn->rx_head, n);
        if (have == 0) {
            if (!fill(conn))
                return false;
            continue;
        }
        if (to) {
            memcpy(to, conn->small + conn->rx_head, have);
            to = (uint8_t *)to + have;
        }
        conn->rx_head += have;
        n -= have;
    }
    return true;
}

static bool give(struct nbd_conn *conn, const void *data, size_t n)
{
    struct rt_op *op = &conn->tx_op;
    *op = (struct rt_op){.kind = RT_OP_SEND, .sock = conn->sock};
    op->one_iov = (struct iovec){(void *)(uintptr_t)data, n};
    op->iov = &op->one_iov;
    op->n_iov = 1;
    return rt_op_wait(op) >= 0;
}

static bool give_buf(struct nbd_conn *conn, struct ash_buf *buf)
{
    return !buf->failed && give(conn, buf->data, buf->n_bytes);
}

/* -------------------------------------------------------------- replies */

void nbd_put_option_reply(struct ash_buf *out, uint32_t option, uint32_t type, const void *data,
                          size_t n_bytes)
{
    struct nbd_option_reply_wire w = {ash_be64(NBD_REP_MAGIC), ash_be32(option), ash_be32(type),
                                      ash_be32((uint32_t)n_bytes)};
    ash_buf_add(out, &w, sizeof(w));
    if (n_bytes > 0)
        ash_buf_add(out, data, n_bytes);
}

static enum verdict next_if(bool sent)
{
    return sent ? NEXT_OPTION : HANG_UP;
}

static enum verdict acknowledge(struct nbd_conn *conn, const struct option *opt)
{
    ASH_CLEANUP(ash_buf_free) struct ash_buf out = {0};
    nbd_put_option_reply(&out, opt->number, NBD_REP_ACK, NULL, 0);
    return next_if(give_buf(conn, &out));
}

static enum verdict refuse(struct nbd_conn *conn, const struct option *opt, uint32_t type,
                           const char *text)
{
    ASH_CLEANUP(ash_buf_free) struct ash_buf out = {0};
    nbd_put_option_reply(&out, opt->number, type, text, strlen(text));
    return next_if(give_buf(conn, &out));
}

/* Names are quoted up to a length that fits a line, never cut inside a character. */
static enum verdict refuse_name(struct nbd_conn *conn, const struct option *opt, uint32_t type,
                                const char *fmt, const char *name)
{
    char quoted[201], text[320];
    size_t n = ASH_MIN(strlen(name), sizeof(quoted) - 1);
    while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
        n--;
    memcpy(quoted, name, n);
    quoted[n] = 0;
    snprintf(text, sizeof(text), fmt, quoted);
    return refuse(conn, opt, type, text);
}

/* rc of asking for an export, told to the client. */
static enum verdict refuse_rc(struct nbd_conn *conn, const struct option *opt, int rc,
                              const char *name)
{
    switch (rc) {
    case -ENOENT:
        return refuse_name(conn, opt, NBD_REP_ERR_UNKNOWN, "export '%s' not found", name);
    case -ESHUTDOWN:
        return refuse(conn, opt, NBD_REP_ERR_SHUTDOWN, "the server is shutting down");
    case -EMFILE:
        return refuse_name(conn, opt, NBD_REP_ERR_POLICY,
                           "export '%s' has as many connections as it may have", name);
    default:
        return refuse_name(conn, opt, NBD_REP_ERR_PLATFORM,
                           "out of memory while looking up export '%s'", name);
    }
}

/* ------------------------------------------------------------ entering */

static bool same_export(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static uint16_t flags_for(const struct nbd_conn *conn, const struct nbd_export_view *view)
{
    return (uint16_t)(view->flags | (conn->structured ? NBD_TF_SEND_DF : 0));
}

/* The device as seen from this reactor. */
static int enter(struct nbd_conn *conn, const struct nbd_export_view *view)
{
    if (conn->shutting)
        return -ESHUTDOWN;
    conn->ch = bdev_channel_get(conn->exp->desc);
    if (!conn->ch)
        return -ENOMEM;
    conn->read_only = conn->exp->read_only;
    conn->contexts = same_export(conn->meta_export, view->name) ? conn->meta_contexts : 0;
    return 0;
}

static enum verdict export_name(struct nbd_conn *conn, const struct option *opt)
{
    struct nbd_export_view view = {0};
    const char *name = (const char *)opt->data;
    if (opt->length > NBD_STRING_MAX || strlen(name) != opt->length)
        return HANG_UP;
    if (nbd_ask_attach(conn, name, &view))
        return HANG_UP;
    struct nbd_export_name_reply_wire w = {
        ash_be64(view.size_bytes), ash_be16(flags_for(conn, &view)), {0}};
    int rc = enter(conn, &view);
    nbd_export_view_free(&view);
    size_t n = conn->no_zeroes ? sizeof(w) - sizeof(w.zeroes) : sizeof(w);
    return rc == 0 && give(conn, &w, n) ? TRANSMIT : HANG_UP;
}

/* Name at the front of the data; NULL when malformed. *ret_rest: what follows it. The name is
 * moved to the front to make room for its NUL. */
static char *front_name(const struct option *opt, uint8_t **ret_rest, size_t *ret_n_rest)
{
    struct be32 n_be;
    if (opt->length < sizeof(n_be))
        return NULL;
    memcpy(&n_be, opt->data, sizeof(n_be));
    uint32_t n = ash_be32_get(n_be);
    if (n > opt->length - sizeof(n_be) || n > NBD_STRING_MAX)
        return NULL;
    memmove(opt->data, opt->data + sizeof(n_be), n);
    opt->data[n] = 0;
    if (strlen((char *)opt->data) != n || !ash_utf8_valid((char *)opt->data, n))
        return NULL;
    *ret_rest = opt->data + sizeof(n_be) + n;
    *ret_n_rest = opt->length - sizeof(n_be) - n;
    return (char *)opt->data;
}

static void put_info_text(struct ash_buf *out, uint32_t option, uint16_t type, const char *text)
{
    ASH_CLEANUP(ash_buf_free) struct ash_buf data = {0};
    struct be16 type_be = ash_be16(type);
    ash_buf_add(&data, &type_be, sizeof(type_be));
    ash_buf_str(&data, text);
    out->failed |= data.failed;
    nbd_put_option_reply(out, option, NBD_REP_INFO, data.data, data.n_bytes);
}

static void put_infos(struct nbd_conn *conn, const struct option *opt,
                      const struct nbd_export_view *view, uint32_t wanted, struct ash_buf *out)
{
    struct nbd_info_export_wire e = {ash_be16(NBD_INFO_EXPORT), ash_be64(view->size_bytes),
                                     ash_be16(flags_for(conn, view))};
    nbd_put_option_reply(out, opt->number, NBD_REP_INFO, &e, sizeof(e));
    if (wanted & 1u << NBD_INFO_NAME)
        put_info_text(out, opt->number, NBD_INFO_NAME, view->name);
    if ((wanted & 1u << NBD_INFO_DESCRIPTION) && view->description[0])
        put_info_text(out, opt->number, NBD_INFO_DESCRIPTION, view->description);
    if (wanted & 1u << NBD_INFO_BLOCK_SIZE) {
        struct nbd_info_block_size_wire b = {ash_be16(NBD_INFO_BLOCK_SIZE), ash_be32(NBD_MIN_BLOCK),
                                             ash_be32(NBD_PREFERRED_BLOCK),
                                             ash_be32(NBD_MAX_PAYLOAD)};
        nbd_put_option_reply(out, opt->number, NBD_REP_INFO, &b, sizeof(b));
    }
    nbd_put_option_reply(out, opt->number, NBD_REP_ACK, NULL, 0);
}

static enum verdict info_or_go(struct nbd_conn *conn, const struct option *opt)
{
    uint8_t *rest = NULL;
    size_t n_rest = 0;
    const char *name = front_name(opt, &rest, &n_rest);
    struct be16 n_types_be, type_be;
    if (!name || n_rest < sizeof(n_types_be))
        return refuse(conn, opt, NBD_REP_ERR_INVALID, "the lengths in the option do not fit");
    memcpy(&n_types_be, rest, sizeof(n_types_be));
    size_t n_types = ash_be16_get(n_types_be);
    if (n_rest != sizeof(n_types_be) + n_types * sizeof(type_be))
        return refuse(conn, opt, NBD_REP_ERR_INVALID, "the number of information types is wrong");
    uint32_t wanted = 0;
    for (size_t i = 0; i < n_types; i++) {
        memcpy(&type_be, rest + (i + 1) * sizeof(type_be), sizeof(type_be));
        if (ash_be16_get(type_be) < 32)
            wanted |= 1u << ash_be16_get(type_be);
    }
    bool go = opt->number == NBD_OPT_GO;
    struct nbd_export_view view = {0};
    int rc = go ? nbd_ask_attach(conn, name, &view) : nbd_ask_export(conn, name, &view);
    if (rc)
        return refuse_rc(conn, opt, rc, name);
    enum verdict v = HANG_UP;
    ASH_CLEANUP(ash_buf_free) struct ash_buf out = {0};
    put_infos(conn, opt, &view, wanted, &out);
    /* Attached but not able to enter: the connection ends, which releases the export. */
    if ((!go || enter(conn, &view) == 0) && give_buf(conn, &out))
        v = go ? TRANSMIT : NEXT_OPTION;
    nbd_export_view_free(&view);
    return v;
}

/* ----------------------------------------------------- metadata contexts */

#define SINCE "qemu:dirty-bitmap:since-"

/* Name of the context behind a bit; NULL: there is none. */
static const char *context_name(const struct nbd_export_view *view, unsigned bit, char buf[128])
{
    if (bit == 0)
        return "base:allocation";
    if (bit == 1)
        return "qemu:allocation-depth";
    if (bit - NBD_META_SINCE_SHIFT >= view->n_ancestors)
        return NULL;
    snprintf(buf, 128, SINCE "%s", view->ancestors[bit - NBD_META_SINCE_SHIFT].name);
    return buf;
}

/* Contexts that one query means. In LIST "base:", "qemu:" and "qemu:dirty-bitmap:" stand for all of
 * theirs; NULL for all there are. */
static uint32_t match(const struct nbd_export_view *view, const char *query, bool list)
{
    uint32_t bits = 0;
    char buf[128];
    const char *name;
    size_t n = query ? strlen(query) : 0;
    bool whole_space = list && (!query || (n > 0 && query[n - 1] == ':'));
    for (unsigned i = 0; (name = context_name(view, i, buf)); i++) {
        bool bitmaps_only = query && strcmp(query, "qemu:dirty-bitmap:") == 0;
        if (whole_space ? !query || ((bitmaps_only || strchr(query, ':')[1] == 0) &&
                                     ash_starts_with(name, query))
                        : strcmp(query, name) == 0)
            bits |= 1u << i;
    }
    return bits;
}

/* The queries after the name; 0, -EINVAL, -E2BIG. */
static int read_queries(const struct nbd_export_view *view, uint8_t *rest, size_t n_rest, bool list,
                        uint32_t *ret_bits)
{
    struct be32 be;
    if (n_rest < sizeof(be))
        return -EINVAL;
    memcpy(&be, rest, sizeof(be));
    uint32_t n = ash_be32_get(be), bits = 0;
    rest += sizeof(be);
    n_rest -= sizeof(be);
    if (n > NBD_QUERIES_MAX)
        return -E2BIG;
    if (n == 0 && list)
        bits = match(view, NULL, true);
    for (uint32_t i = 0; i < n; i++) {
        char query[NBD_STRING_MAX + 1];
        if (n_rest < sizeof(be))
            return -EINVAL;
        memcpy(&be, rest, sizeof(be));
        uint32_t len = ash_be32_get(be);
        if (len > n_rest - sizeof(be) || len > NBD_STRING_MAX)
            return -EINVAL;
        memcpy(query, rest + sizeof(be), len);
        query[len] = 0;
        if (strlen(query) != len || !strchr(query, ':') || !ash_utf8_valid(query, len))
            return -EINVAL;
        bits |= match(view, query, list);
        rest += sizeof(be) + len;
        n_rest -= sizeof(be) + len;
    }
    if (n_rest != 0)
        return -EINVAL;
    *ret_bits = bits;
    return 0;
}

static void forget_contexts(struct nbd_conn *conn)
{
    rt_free(conn->meta_export);
    conn->meta_export = NULL;
    conn->meta_contexts = 0;
}

static enum verdict meta_context(struct nbd_conn *conn, const struct option *opt)
{
    bool list = opt->number == NBD_OPT_LIST_META_CONTEXT;
    uint8_t *rest = NULL;
    size_t n_rest = 0;
    uint32_t bits = 0;
    struct nbd_export_view view = {0};
    if (!list)
        forget_contexts(conn);
    if (!conn->structured)
        return refuse(conn, opt, NBD_REP_ERR_INVALID, "negotiate structured replies first");
    const char *name = front_name(opt, &rest, &n_rest);
    /* first whether they are well-formed; what they mean depends on the export */
    int rc = name ? read_queries(&view, rest, n_rest, list, &bits) : -EINVAL;
    if (rc == -E2BIG)
        return refuse(conn, opt, NBD_REP_ERR_TOO_BIG, "more than 64 queries");
    if (rc)
        return refuse(conn, opt, NBD_REP_ERR_INVALID, "the queries are malformed");
    rc = nbd_ask_export(conn, name, &view);
    if (rc)
        return refuse_rc(conn, opt, rc, name);
    rc = read_queries(&view, rest, n_rest, list, &bits);
    ASH_ASSERT(rc == 0);
    if (!list) {
        conn->meta_export = view.name;
        conn->meta_contexts = bits;
        for (unsigned i = 0; i < view.n_ancestors; i++)
            conn->meta_since[i] = view.ancestors[i].id;
        view.name = NULL;
    }
    ASH_CLEANUP(ash_buf_free) struct ash_buf out = {0};
    char buf[128];
    const char *context;
    for (unsigned i = 0; (context = context_name(&view, i, buf)); i++) {
        struct be32 id = ash_be32(list ? 0 : i + 1);
        ASH_CLEANUP(ash_buf_free) struct ash_buf data = {0};
        if (!(bits & 1u << i))
            continue;
        ash_buf_add(&data, &id, sizeof(id));
        ash_buf_str(&data, context);
        out.failed |= data.failed;
        nbd_put_option_reply(&out, opt->number, NBD_REP_META_CONTEXT, data.data, data.n_bytes);
    }
    nbd_export_view_free(&view);
    nbd_put_option_reply(&out, opt->number, NBD_REP_ACK, NULL, 0);
    return next_if(give_buf(conn, &out));
}

/* -------------------------------------------------------------- options */

static enum verdict list_exports(struct nbd_conn *conn, const struct option *opt)
{
    if (opt->length != 0)
        return refuse(conn, opt, NBD_REP_ERR_INVALID, "LIST takes no data");
    ASH_CLEANUP(ash_buf_free) struct ash_buf out = {0};
    if (nbd_ask_list(conn, &out))
        return HANG_UP;
    nbd_put_option_reply(&out, opt->number, NBD_REP_ACK, NULL, 0);
    return next_if(give_buf(conn, &out));
}

/* The client wants to go: acknowledge, then let it close first. */
static enum verdict abort_handshake(struct nbd_conn *conn, const struct option *opt)
{
    if (acknowledge(conn, opt) == NEXT_OPTION) {
        do
            conn->rx_head = conn->rx_tail = 0;
        while (fill(conn));
    }
    return HANG_UP;
}

static enum verdict do_option(struct nbd_conn *conn, const struct option *opt)
{
    switch (opt->number) {
    case NBD_OPT_EXPORT_NAME:
        return export_name(conn, opt);
    case NBD_OPT_ABORT:
        return abort_handshake(conn, opt);
    case NBD_OPT_LIST:
        return list_exports(conn, opt);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        return info_or_go(conn, opt);
    case NBD_OPT_STRUCTURED_REPLY:
        if (opt->length != 0)
            return refuse(conn, opt, NBD_REP_ERR_INVALID, "STRUCTURED_REPLY takes no data");
        conn->structured = true;
        return acknowledge(conn, opt);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        return meta_context(conn, opt);
    case NBD_OPT_STARTTLS:
        if (opt->length != 0)
            return refuse(conn, opt, NBD_REP_ERR_INVALID, "STARTTLS takes no data");
        return refuse(conn, opt, NBD_REP_ERR_UNSUP, "this server does not offer TLS");
    default:
        return refuse(conn, opt, NBD_REP_ERR_UNSUP, "the option is not known");
    }
}

static enum verdict one_option(struct nbd_conn *conn)
{
    struct nbd_option_wire w;
    rt_step("waiting for an option");
    if (!take(conn, &w, sizeof(w)) || ash_be64_get(w.magic) != NBD_OPT_MAGIC)
        return HANG_UP;
    struct option opt = {ash_be32_get(w.option), ash_be32_get(w.length), NULL};
    if (!conn->fixed_newstyle && opt.number != NBD_OPT_EXPORT_NAME)
        return HANG_UP;
    rt_step("receiving the data of an option");
    if (opt.length > NBD_OPTION_MAX) {
        if (opt.length > NBD_OPTION_DISCARD || opt.number == NBD_OPT_EXPORT_NAME ||
            !take(conn, NULL, opt.length))
            return HANG_UP;
        if (opt.number == NBD_OPT_SET_META_CONTEXT)
            forget_contexts(conn);
        return refuse(conn, &opt, NBD_REP_ERR_TOO_BIG, "the option is longer than 65536 bytes");
    }
    opt.data = rt_alloc(opt.length + 1);
    enum verdict v = HANG_UP;
    if (opt.data && take(conn, opt.data, opt.length))
        v = do_option(conn, &opt);
    rt_free(opt.data);
    return v;
}

static enum verdict handshake(struct nbd_conn *conn)
{
    const struct nbd_greeting_wire hello = {ash_be64(NBD_INIT_MAGIC), ash_be64(NBD_OPT_MAGIC),
                                            ash_be16(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)};
    struct be32 flags_be;
    if (!give(conn, &hello, sizeof(hello)) || !take(conn, &flags_be, sizeof(flags_be)))
        return HANG_UP;
    uint32_t flags = ash_be32_get(flags_be);
    if (flags & ~(uint32_t)(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
        return HANG_UP;
    conn->fixed_newstyle = flags & NBD_FLAG_FIXED_NEWSTYLE;
    conn->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
    for (unsigned i = 0; i < NBD_OPTIONS_MAX; i++) {
        enum verdict v = one_option(conn);
        if (v != NEXT_OPTION)
            return v;
    }
    return HANG_UP;
}

static void too_slow(struct rt_timer *timer)
{
    rt_sock_shutdown(ash_container_of(timer, struct nbd_conn, timer)->sock);
}

void nbd_handshake_task(void *arg)
{
    struct nbd_conn *conn = arg;
    conn->timer.fire = too_slow;
    if (!conn->shutting) {
        rt_timer_start(&conn->timer, conn->limits.handshake_ns);
        enum verdict v = handshake(conn);
        rt_timer_stop(&conn->timer);
        forget_contexts(conn);
        if (v == TRANSMIT) {
            nbd_conn_transmit(conn);
            return;
        }
    }
    nbd_conn_end(conn);
}
