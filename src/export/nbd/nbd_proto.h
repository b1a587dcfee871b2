/* SPDX-License-Identifier: Apache-2.0 */
/* The NBD wire format: every number and every struct that crosses the socket. All integers are
 * big-endian byte arrays, so an unconverted read does not compile.
 * Source: docs/spec/nbd.md sections 2 to 5. */
#ifndef ASH_EXPORT_NBD_PROTO_H
#define ASH_EXPORT_NBD_PROTO_H

#include "base/endian.h"

#define NBD_INIT_MAGIC          0x4e42444d41474943ull /* "NBDMAGIC" */
#define NBD_OPT_MAGIC           0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_REP_MAGIC           0x0003e889045565a9ull
#define NBD_REQUEST_MAGIC       0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC  0x67446698u
#define NBD_STRUCT_REPLY_MAGIC  0x668e33efu
#define NBD_STRING_MAX          4096u
#define NBD_MAX_PAYLOAD         (32u << 20) /* advertised and accepted */
#define NBD_MAX_DISCARD         (64u << 20) /* a longer WRITE ends the connection */
#define NBD_MIN_BLOCK           1u
#define NBD_PREFERRED_BLOCK     4096u
#define NBD_EXPORT_NAME_PADDING 124u

/* handshake flags (server) and client flags */
enum { NBD_FLAG_FIXED_NEWSTYLE = 1u << 0, NBD_FLAG_NO_ZEROES = 1u << 1 };

enum nbd_opt {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_PEEK_EXPORT = 4,
    NBD_OPT_STARTTLS = 5,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10,
    NBD_OPT_EXTENDED_HEADERS = 11,
};

#define NBD_REP_ACK                 1u
#define NBD_REP_SERVER              2u
#define NBD_REP_INFO                3u
#define NBD_REP_META_CONTEXT        4u
#define NBD_REP_ERR_BIT             0x80000000u
#define NBD_REP_ERR_UNSUP           (NBD_REP_ERR_BIT | 1)
#define NBD_REP_ERR_POLICY          (NBD_REP_ERR_BIT | 2)
#define NBD_REP_ERR_INVALID         (NBD_REP_ERR_BIT | 3)
#define NBD_REP_ERR_PLATFORM        (NBD_REP_ERR_BIT | 4)
#define NBD_REP_ERR_TLS_REQD        (NBD_REP_ERR_BIT | 5)
#define NBD_REP_ERR_UNKNOWN         (NBD_REP_ERR_BIT | 6)
#define NBD_REP_ERR_SHUTDOWN        (NBD_REP_ERR_BIT | 7)
#define NBD_REP_ERR_BLOCK_SIZE_REQD (NBD_REP_ERR_BIT | 8)
#define NBD_REP_ERR_TOO_BIG         (NBD_REP_ERR_BIT | 9)

enum nbd_info {
    NBD_INFO_EXPORT = 0,
    NBD_INFO_NAME = 1,
    NBD_INFO_DESCRIPTION = 2,
    NBD_INFO_BLOCK_SIZE = 3,
};

/* transmission flags */
enum {
    NBD_TF_HAS_FLAGS = 1u << 0,
    NBD_TF_READ_ONLY = 1u << 1,
    NBD_TF_SEND_FLUSH = 1u << 2,
    NBD_TF_SEND_FUA = 1u << 3,
    NBD_TF_ROTATIONAL = 1u << 4,
    NBD_TF_SEND_TRIM = 1u << 5,
    NBD_TF_SEND_WRITE_ZEROES = 1u << 6,
    NBD_TF_SEND_DF = 1u << 7,
    NBD_TF_CAN_MULTI_CONN = 1u << 8,
    NBD_TF_SEND_CACHE = 1u << 10,
    NBD_TF_SEND_FAST_ZERO = 1u << 11,
};

enum nbd_cmd {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
    NBD_CMD_TRIM = 4,
    NBD_CMD_CACHE = 5,
    NBD_CMD_WRITE_ZEROES = 6,
    NBD_CMD_BLOCK_STATUS = 7,
};

/* command flags */
enum {
    NBD_CF_FUA = 1u << 0,
    NBD_CF_NO_HOLE = 1u << 1,
    NBD_CF_DF = 1u << 2,
    NBD_CF_REQ_ONE = 1u << 3,
    NBD_CF_FAST_ZERO = 1u << 4,
};

/* error numbers of the wire, whatever the host calls them */
enum nbd_error {
    NBD_OK = 0,
    NBD_EPERM = 1,
    NBD_EIO = 5,
    NBD_ENOMEM = 12,
    NBD_EINVAL = 22,
    NBD_ENOSPC = 28,
    NBD_EOVERFLOW = 75,
    NBD_ENOTSUP = 95,
    NBD_ESHUTDOWN = 108,
};

#define NBD_CHUNK_DONE         1u
#define NBD_CHUNK_NONE         0u
#define NBD_CHUNK_DATA         1u
#define NBD_CHUNK_HOLE         2u
#define NBD_CHUNK_STATUS       5u
#define NBD_CHUNK_ERROR        0x8001u
#define NBD_CHUNK_ERROR_OFFSET 0x8002u

enum { NBD_STATE_HOLE = 1u << 0, NBD_STATE_ZERO = 1u << 1 };

struct nbd_greeting_wire {
    struct be64 magic, opt_magic;
    struct be16 flags;
};
struct nbd_option_wire {
    struct be64 magic;
    struct be32 option, length;
};
struct nbd_option_reply_wire {
    struct be64 magic;
    struct be32 option, type, length;
};
struct nbd_info_export_wire {
    struct be16 type;
    struct be64 size;
    struct be16 flags;
};
struct nbd_info_block_size_wire {
    struct be16 type;
    struct be32 minimum, preferred, maximum;
};
struct nbd_export_name_reply_wire {
    struct be64 size;
    struct be16 flags;
    uint8_t zeroes[NBD_EXPORT_NAME_PADDING];
};
struct nbd_request_wire {
    struct be32 magic;
    struct be16 flags, type;
    struct be64 cookie, offset;
    struct be32 length;
};
struct nbd_simple_reply_wire {
    struct be32 magic, error;
    struct be64 cookie;
};
struct nbd_chunk_wire {
    struct be32 magic;
    struct be16 flags, type;
    struct be64 cookie;
    struct be32 length;
};
struct nbd_chunk_data_wire {
    struct nbd_chunk_wire chunk;
    struct be64 offset;
};
struct nbd_chunk_hole_wire {
    struct nbd_chunk_wire chunk;
    struct be64 offset;
    struct be32 length;
};
struct nbd_chunk_error_wire {
    struct nbd_chunk_wire chunk;
    struct be32 error;
    struct be16 n_text;
};
struct nbd_chunk_status_wire {
    struct nbd_chunk_wire chunk;
    struct be32 context;
};
struct nbd_extent_wire {
    struct be32 length, flags;
};

_Static_assert(sizeof(struct nbd_greeting_wire) == 18, "greeting");
_Static_assert(sizeof(struct nbd_option_wire) == 16, "option");
_Static_assert(sizeof(struct nbd_option_reply_wire) == 20, "option reply");
_Static_assert(sizeof(struct nbd_info_export_wire) == 12, "info export");
_Static_assert(sizeof(struct nbd_info_block_size_wire) == 14, "info block size");
_Static_assert(sizeof(struct nbd_export_name_reply_wire) == 134, "export name reply");
_Static_assert(sizeof(struct nbd_request_wire) == 28, "request");
_Static_assert(offsetof(struct nbd_request_wire, cookie) == 8, "request cookie");
_Static_assert(offsetof(struct nbd_request_wire, length) == 24, "request length");
_Static_assert(sizeof(struct nbd_simple_reply_wire) == 16, "simple reply");
_Static_assert(sizeof(struct nbd_chunk_wire) == 20, "chunk");
_Static_assert(sizeof(struct nbd_chunk_data_wire) == 28, "data chunk");
_Static_assert(sizeof(struct nbd_chunk_hole_wire) == 32, "hole chunk");
_Static_assert(sizeof(struct nbd_chunk_error_wire) == 26, "error chunk");
_Static_assert(sizeof(struct nbd_chunk_status_wire) == 24, "status chunk");
_Static_assert(sizeof(struct nbd_extent_wire) == 8, "extent");

#endif
