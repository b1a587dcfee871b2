/* SPDX-License-Identifier: Apache-2.0 */
/* Load for an NVMe/TCP target from a program that has nothing in common with the engine but the
 * structures of base/nvme_proto.h: one thread, one I/O queue, blocking calls, all answers of one
 * receive followed by one send. For make bench: what a target gives to somebody else's client.
 *
 *   nvmf_load HOST PORT NQN randread|randwrite|read|write BLOCK-BYTES DEPTH SECONDS
 *
 * Prints JSON as `ashlar bench -o json` does. Writing overwrites the first namespace.
 * Source: docs/spec/nvme-tcp.md 1 - 3, 5, 10. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/nvme_data.h"

enum { DEPTH_MAX = 1024, ROOM = 4 << 20, N_BUCKETS = 65536, BUCKET_NS = 500 };

struct load {
    struct sockaddr_in addr;
    const char *nqn;
    int fd; /* of the I/O queue */
    uint16_t cntlid;
    uint64_t n_blocks; /* of block_bytes */
    uint32_t block_bytes, io_bytes, depth, in_capsule_bytes, max_h2c_bytes;
    bool writes, random;
    uint64_t next, seed, begin_ns[DEPTH_MAX];
    uint8_t *in, *out, *data;
    size_t n_in, n_out;
    uint64_t n_ios, n_latencies[N_BUCKETS];
};

static void die(const char *what)
{
    fprintf(stderr, "nvmf_load: %s\n", what);
    exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void send_all(int fd, const void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = send(fd, (const char *)data + at, n - at, MSG_NOSIGNAL);
        if (got <= 0)
            die("the target has closed the connection");
        at += (size_t)got;
    }
}

static void recv_all(int fd, void *data, size_t n)
{
    if (n && recv(fd, data, n, MSG_WAITALL) != (ssize_t)n)
        die("the target has closed the connection");
}

static size_t put_capsule(uint8_t *out, const struct nvme_sqe *sqe, const void *data, uint32_t n)
{
    struct nvme_capsule_cmd pdu = {.hdr = {.type = NVME_PDU_CAPSULE_CMD, .hlen = 72}, .sqe = *sqe};
    pdu.hdr.pdo = n ? 72 : 0;
    pdu.hdr.plen = ash_le32(72 + n);
    memcpy(out, &pdu, sizeof(pdu));
    if (n)
        memcpy(out + sizeof(pdu), data, n);
    return sizeof(pdu) + n;
}

/* One command at a time; data of the host in the capsule, of the target into reply. DW0. */
static uint32_t command(int fd, struct nvme_sqe *sqe, const void *data, uint32_t n, void *reply,
                        uint32_t n_reply)
{
    static uint8_t out[8192 + 72];
    struct nvme_capsule_resp resp;
    struct nvme_pdu_hdr hdr;
    sqe->flags = NVME_PSDT_SGL;
    sqe->sgl.length = ash_le32(n ? n : n_reply);
    sqe->sgl.type = n ? NVME_SGL_BLOCK_OFFSET : n_reply ? NVME_SGL_TRANSPORT : 0;
    send_all(fd, out, put_capsule(out, sqe, data, n));
    for (;;) {
        recv_all(fd, &hdr, sizeof(hdr));
        if (hdr.type == NVME_PDU_CAPSULE_RESP) {
            recv_all(fd, (char *)&resp + sizeof(hdr), sizeof(resp) - sizeof(hdr));
            if (ash_le16_get(resp.cqe.status))
                die("a command of the set-up fails");
            return ash_le32_get(resp.cqe.dw0);
        }
        char rest[128];
        if (hdr.type != NVME_PDU_C2H_DATA || ash_le32_get(hdr.plen) != hdr.pdo + n_reply)
            die("an answer that is not understood");
        recv_all(fd, rest, hdr.pdo - sizeof(hdr));
        recv_all(fd, reply, n_reply);
        if (hdr.flags & NVME_PDU_SUCCESS)
            return 0;
    }
}

static int open_queue(struct load *l, uint16_t qid, uint16_t depth)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct nvme_ic_req req = {.hdr = {.type = NVME_PDU_IC_REQ, .hlen = 128, .plen = ash_le32(128)}};
    struct nvme_ic_resp resp;
    struct nvme_connect_data data = {.hostid = {0x10, 0xad}, .cntlid = ash_le16(l->cntlid)};
    union {
        struct nvme_connect_sqe connect;
        struct nvme_sqe sqe;
    } u = {.connect = {.opcode = NVME_OP_FABRICS,
                       .fctype = NVME_FC_CONNECT,
                       .qid = ash_le16(qid),
                       .sqsize = ash_le16((uint16_t)(depth - 1)),
                       .cattr = NVME_CATTR_NO_SQ_FLOW}};
    if (fd < 0 || connect(fd, (const void *)&l->addr, sizeof(l->addr)) != 0)
        die("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    send_all(fd, &req, sizeof(req));
    recv_all(fd, &resp, sizeof(resp));
    l->max_h2c_bytes = ash_le32_get(resp.maxh2cdata);
    snprintf(data.subnqn, sizeof(data.subnqn), "%s", l->nqn);
    snprintf(data.hostnqn, sizeof(data.hostnqn), "nqn.2016-06.io.ashlar:load");
    l->cntlid = (uint16_t)(command(fd, &u.sqe, &data, sizeof(data), NULL, 0) & 0xFFFF);
    return fd;
}

static void set_up(struct load *l)
{
    static struct nvme_id_ctrlr ctrlr;
    static struct nvme_id_ns ns;
    union {
        struct nvme_prop_sqe prop;
        struct nvme_sqe sqe;
    } cc = {.prop = {.opcode = NVME_OP_FABRICS,
                     .fctype = NVME_FC_PROPERTY_SET,
                     .ofst = ash_le32(NVME_PROP_CC),
                     .value = ash_le64(NVME_CC_EN | 6u << 16 | 4u << 20)}};
    struct nvme_sqe id = {.opcode = NVME_ADM_IDENTIFY, .cdw10 = ash_le32(NVME_CNS_CTRLR)};
    struct nvme_sqe queues = {.opcode = NVME_ADM_SET_FEATURES, .cdw10 = ash_le32(7)};
    l->cntlid = 0xFFFF;
    int admin = open_queue(l, 0, 32); /* stays open until we end */
    command(admin, &cc.sqe, NULL, 0, NULL, 0);
    command(admin, &id, NULL, 0, &ctrlr, sizeof(ctrlr));
    id = (struct nvme_sqe){.opcode = NVME_ADM_IDENTIFY, .nsid = ash_le32(1)};
    command(admin, &id, NULL, 0, &ns, sizeof(ns));
    command(admin, &queues, NULL, 0, NULL, 0);
    l->in_capsule_bytes = ash_le32_get(ctrlr.ioccsz) * 16 - 64;
    l->block_bytes = 1u << ns.lbaf[ns.flbas & 15].lbads;
    l->n_blocks = ash_le64_get(ns.nsze);
    l->fd = open_queue(l, 1, (uint16_t)(l->depth < 2 ? 2 : l->depth));
}

static void submit(struct load *l, uint16_t cid)
{
    uint64_t n_places = l->n_blocks * l->block_bytes / l->io_bytes, at = l->next++;
    if (l->random) {
        l->seed = l->seed * 6364136223846793005u + 1442695040888963407u;
        at = l->seed >> 33;
    }
    uint32_t n_blocks = l->io_bytes / l->block_bytes;
    bool in_capsule = l->writes && l->io_bytes <= l->in_capsule_bytes;
    struct nvme_sqe sqe = {.opcode = l->writes ? NVME_IO_WRITE : NVME_IO_READ,
                           .flags = NVME_PSDT_SGL,
                           .cid = ash_le16(cid),
                           .nsid = ash_le32(1)};
    sqe.slba = ash_le64(at % n_places * n_blocks);
    sqe.rw_cdw12 = ash_le32(n_blocks - 1);
    sqe.sgl.length = ash_le32(l->io_bytes);
    sqe.sgl.type = in_capsule ? NVME_SGL_BLOCK_OFFSET : NVME_SGL_TRANSPORT;
    l->begin_ns[cid] = now_ns(CLOCK_MONOTONIC);
    l->n_out += put_capsule(l->out + l->n_out, &sqe, l->data, in_capsule ? l->io_bytes : 0);
}

static void answer_r2t(struct load *l, const struct nvme_r2t *r2t)
{
    uint32_t at = ash_le32_get(r2t->r2to), end = at + ash_le32_get(r2t->r2tl);
    while (at < end) {
        uint32_t n = end - at < l->max_h2c_bytes ? end - at : l->max_h2c_bytes;
        struct nvme_data_pdu pdu = {.hdr = {.type = NVME_PDU_H2C_DATA, .hlen = 24, .pdo = 24},
                                    .cccid = r2t->cccid,
                                    .ttag = r2t->ttag,
                                    .datao = ash_le32(at),
                                    .datal = ash_le32(n)};
        pdu.hdr.plen = ash_le32(24 + n);
        pdu.hdr.flags = at + n == end ? NVME_PDU_LAST : 0;
        memcpy(l->out + l->n_out, &pdu, sizeof(pdu));
        memcpy(l->out + l->n_out + sizeof(pdu), l->data + at, n);
        l->n_out += sizeof(pdu) + n;
        at += n;
    }
}

static void done(struct load *l, uint16_t cid, bool goes_on)
{
    uint64_t bucket = (now_ns(CLOCK_MONOTONIC) - l->begin_ns[cid]) / BUCKET_NS;
    l->n_latencies[bucket < N_BUCKETS ? bucket : N_BUCKETS - 1]++;
    l->n_ios++;
    if (goes_on)
        submit(l, cid);
}

/* What is whole in the buffer; how many bytes that is. */
static size_t take(struct load *l, bool goes_on, uint32_t *n_busy)
{
    size_t at = 0;
    while (l->n_in - at >= sizeof(struct nvme_pdu_hdr)) {
        const struct nvme_pdu_hdr *hdr = (const void *)(l->in + at);
        const struct nvme_data_pdu *data = (const void *)hdr;
        const struct nvme_capsule_resp *resp = (const void *)hdr;
        uint32_t plen = ash_le32_get(hdr->plen);
        if (plen > l->n_in - at)
            break;
        bool is_over = hdr->type == NVME_PDU_CAPSULE_RESP || (hdr->flags & NVME_PDU_SUCCESS);
        if (hdr->type == NVME_PDU_R2T)
            answer_r2t(l, (const void *)hdr);
        else if (hdr->type != NVME_PDU_C2H_DATA && hdr->type != NVME_PDU_CAPSULE_RESP)
            die("the target ends the connection");
        if (hdr->type == NVME_PDU_CAPSULE_RESP && ash_le16_get(resp->cqe.status))
            die("a command fails");
        if (is_over) {
            done(l, ash_le16_get(hdr->type == NVME_PDU_CAPSULE_RESP ? resp->cqe.cid : data->cccid),
                 goes_on);
            *n_busy -= !goes_on;
        }
        at += plen;
    }
    return at;
}

static void run(struct load *l, uint64_t seconds)
{
    uint64_t end_ns = now_ns(CLOCK_MONOTONIC) + seconds * 1000000000u;
    uint32_t n_busy = l->depth;
    for (uint16_t cid = 0; cid < l->depth; cid++)
        submit(l, cid);
    while (n_busy) {
        send_all(l->fd, l->out, l->n_out);
        l->n_out = 0;
        ssize_t n = recv(l->fd, l->in + l->n_in, ROOM - l->n_in, 0);
        if (n <= 0)
            die("the target has closed the connection");
        l->n_in += (size_t)n;
        size_t taken = take(l, now_ns(CLOCK_MONOTONIC) < end_ns, &n_busy);
        memmove(l->in, l->in + taken, l->n_in - taken);
        l->n_in -= taken;
    }
}

static uint64_t percentile(const struct load *l, unsigned percent)
{
    uint64_t n = 0, bucket = 0;
    while (bucket < N_BUCKETS - 1 && (n += l->n_latencies[bucket]) * 100 < l->n_ios * percent)
        bucket++;
    return (bucket + 1) * BUCKET_NS;
}

int main(int argc, char **argv)
{
    static struct load l;
    if (argc != 8)
        die("usage: nvmf_load HOST PORT NQN randread|randwrite|read|write BLOCK-BYTES DEPTH "
            "SECONDS");
    l.addr =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &l.addr.sin_addr) != 1)
        die("HOST must be an IPv4 address");
    l.nqn = argv[3];
    l.random = strncmp(argv[4], "rand", 4) == 0;
    l.writes = strcmp(argv[4] + (l.random ? 4 : 0), "write") == 0;
    l.io_bytes = (uint32_t)atoi(argv[5]);
    l.depth = (uint32_t)atoi(argv[6]);
    l.seed = 1;
    if (l.depth < 1 || l.depth > DEPTH_MAX || l.io_bytes < 512 || l.io_bytes > 1 << 20)
        die("1 to 1024 commands of 512 bytes to 1 MiB");
    l.in = malloc(ROOM);
    l.out = malloc((size_t)l.depth * (l.io_bytes + 4096));
    l.data = calloc(1, l.io_bytes);
    if (!l.in || !l.out || !l.data)
        die("no memory");
    set_up(&l);
    uint64_t begin_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    run(&l, (uint64_t)atoi(argv[7]));
    double took_s = (double)(now_ns(CLOCK_MONOTONIC) - begin_ns) / 1e9;
    double cpu = (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns);
    printf("{\"iops\": %.1f, \"mb_per_s\": %.1f, \"ios\": %llu, \"cpu_ns_per_io\": %.1f, "
           "\"latency_ns\": {\"p50\": %llu, \"p99\": %llu}}\n",
           (double)l.n_ios / took_s, (double)l.n_ios * l.io_bytes / took_s / 1e6,
           (unsigned long long)l.n_ios, cpu / (double)l.n_ios,
           (unsigned long long)percentile(&l, 50), (unsigned long long)percentile(&l, 99));
    return 0;
}
