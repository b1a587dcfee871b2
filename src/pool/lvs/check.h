/* SPDX-License-Identifier: Apache-2.0 */
/* Checker and repair of a blobstore/lvstore disk (docs/spec/blobstore-format.md 17).
 *
 * The checker is a second reader: it shares format.h and src/base with the engine and nothing else,
 * so that a mistake in one is seen by the other. It takes any bytes: whatever a disk holds ends as
 * a finding. A dirty store is judged as the state that a load would make of it.
 *
 * Time and memory are bounded by the metadata region, whose size is checked against the device
 * first. */
#ifndef ASH_POOL_LVS_CHECK_H
#define ASH_POOL_LVS_CHECK_H

#include "base/compiler.h"
#include "base/text.h"
#include "base/uuid.h"
#include "pool/lvs/format.h"

/* The disk. Each method returns 0 or a negative errno and is done when it returns (it may suspend
 * the calling task). Offsets and sizes are multiples of 4096; buffers are aligned to 4096. write
 * and flush are needed for repair only. */
struct lvs_check_dev {
    int (*read)(void *ctx, uint64_t offset, void *buf, size_t n_bytes);
    int (*write)(void *ctx, uint64_t offset, const void *buf, size_t n_bytes);
    int (*flush)(void *ctx);
    /* Disks in memory only, else NULL: the bytes themselves, valid until the next call, or NULL to
     * fall back on read. Saves copying the metadata region. */
    const uint8_t *(*peek)(void *ctx, uint64_t offset, size_t n_bytes);
    uint64_t size_bytes;
    uint32_t block_bytes;
    void *ctx;
};

enum lvs_check_severity {
    LVS_SEV_INFO,
    LVS_SEV_WARNING, /* can be repaired, no data is at risk */
    LVS_SEV_ERROR,
    LVS_N_SEVS
};

enum lvs_check_code {
#define X(name, code, clean, dirty, repairable, what) LVS_F_##name,
#include "pool/lvs/check_codes.h"
#undef X
    LVS_N_FINDINGS
};

#define LVS_CHECK_NONE UINT64_MAX /* no blob, page or cluster */

struct lvs_finding {
    enum lvs_check_code code;
    enum lvs_check_severity severity;
    bool repairable;
    bool repaired;                       /* by this run; not counted any more */
    uint64_t blob_id, page_idx, cluster; /* LVS_CHECK_NONE where it has none */
    char text[192];
};

enum lvs_volume_state {
    LVS_VOLUME_OK,
    LVS_VOLUME_FAULTED,
};

struct lvs_report_volume {
    uint64_t blob_id;
    char name[LVS_NAME_BYTES]; /* cut to 63 bytes; empty if it has none */
    struct ash_uuid uuid;      /* nil if missing or malformed */
    uint64_t n_clusters, n_allocated;
    uint64_t parent_id;       /* LVS_NO_BLOB, LVS_ESNAP_BLOB or a blob id */
    char esnap_id[80];        /* text, or hexadecimal if it is not printable */
    uint32_t n_clones, depth; /* depth: number of ancestors in the store */
    uint32_t n_xattrs;
    bool thin, read_only, rle;
    bool snapshot; /* 10.1, what Ashlar calls one; SPDK's rule is n_clones > 0 */
    enum lvs_volume_state state;
    enum lvs_check_code reason; /* if faulted */
};

struct lvs_report {
    struct lvs_finding *findings; /* at most LVS_CHECK_FINDINGS_MAX; counts go on */
    size_t n_findings, n_findings_room;
    uint64_t n_by_severity[LVS_N_SEVS];
    uint64_t n_by_code[LVS_N_FINDINGS];

    bool readable; /* the super block is good; what follows is valid */
    bool lvstore;  /* of type LVOLSTORE */
    bool clean;
    uint32_t version, cluster_bytes, md_page_bytes, io_unit_bytes;
    uint32_t md_len, n_used_pages;
    uint64_t size_bytes;
    uint64_t total_clusters, data_clusters, free_clusters; /* free as the walk computes it */
    uint64_t super_blob;
    struct ash_uuid uuid;
    char name[LVS_NAME_BYTES];

    struct lvs_report_volume *volumes; /* by blob id; without the super blob */
    size_t n_volumes;
    uint64_t n_repaired; /* findings that lvs_check_repair settled */
};

#define LVS_CHECK_FINDINGS_MAX 4096u

struct lvs_check_opts {
    bool quick;                  /* clean store: read only pages that the masks name */
    const uint64_t *expect_free; /* free clusters as the engine counts them, or NULL */
    /* for a store whose super blob is rebuilt; nil and NULL: derived from the disk */
    struct ash_uuid new_uuid;
    const char *new_name;
};

/* Walk the disk; changes nothing. opts may be NULL. The report is overwritten; free it with
 * lvs_report_fini, also after a failure.
 * 0 however bad the disk is | -ENOMEM | error of reading the super block */
ASH_MAY_WAIT int lvs_check(const struct lvs_check_dev *dev, const struct lvs_check_opts *opts,
                           struct lvs_report *report);

/* Check, repair all that is repairable, check again. The report is that of the last check, with
 * what was settled appended as `repaired`. Each step leaves a disk that loads: fresh pages before
 * roots, masks and the clean mark last, a flush between.
 * A disk of which part cannot be read is not changed (-EIO), nor one with LVS-TOO-DAMAGED.
 * 0 (see the report for what is left) | -ENOMEM | -ENOSPC no free page or cluster to repair with |
 * I/O errors: what was done so far stays, run it again */
ASH_MAY_WAIT int lvs_check_repair(const struct lvs_check_dev *dev,
                                  const struct lvs_check_opts *opts, struct lvs_report *report);

void lvs_report_fini(struct lvs_report *report);

/* No warning and no error. */
static inline bool lvs_report_is_clean(const struct lvs_report *report)
{
    return !report->n_by_severity[LVS_SEV_WARNING] && !report->n_by_severity[LVS_SEV_ERROR];
}

const char *lvs_check_code_text(enum lvs_check_code code); /* "LVS-ROOT-CRC" */
const char *lvs_check_code_what(enum lvs_check_code code); /* what it means, for people */
const char *lvs_check_severity_text(enum lvs_check_severity severity); /* "error" */

/* "error LVS-ROOT-CRC blob 0x100000003 page 3: text", without a line end. */
void lvs_finding_text(const struct lvs_finding *finding, struct ash_buf *buf);
/* All findings, one line each, then one line of summary. */
void lvs_report_text(const struct lvs_report *report, struct ash_buf *buf);

#endif
