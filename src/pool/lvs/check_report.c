/* SPDX-License-Identifier: Apache-2.0 */
/* Findings and the report of the checker: collecting, summary, text. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/lvs/check_int.h"

struct code_row {
    const char *text;
    enum lvs_check_severity clean, dirty;
    bool repairable;
    const char *what;
};

#define INFO    LVS_SEV_INFO
#define WARNING LVS_SEV_WARNING
#define ERROR   LVS_SEV_ERROR
static const struct code_row codes[LVS_N_FINDINGS] = {
#define X(name, code, clean, dirty, repairable, what) {code, clean, dirty, repairable, what},
#include "pool/lvs/check_codes.h"
#undef X
};
#undef INFO
#undef WARNING
#undef ERROR

const char *lvs_check_code_text(enum lvs_check_code code)
{
    return codes[code].text;
}

const char *lvs_check_code_what(enum lvs_check_code code)
{
    return codes[code].what;
}

bool lvs_check_code_repairable(enum lvs_check_code code)
{
    return codes[code].repairable;
}

const char *lvs_check_severity_text(enum lvs_check_severity severity)
{
    static const char *const texts[LVS_N_SEVS] = {"info", "warning", "error"};

    return texts[severity];
}

void ck_report_add(struct ck *ck, const struct lvs_finding *finding)
{
    struct lvs_report *r = ck->report;

    if (r->n_findings >= LVS_CHECK_FINDINGS_MAX)
        return;
    if (ck_grow(ck, &r->findings, r->n_findings, &r->n_findings_room, sizeof(*r->findings)))
        r->findings[r->n_findings++] = *finding;
}

static bool is_leak(enum lvs_check_code code)
{
    return code == LVS_F_MASK_PAGE_LEAK || code == LVS_F_MASK_CLUSTER_LEAK;
}

static void add_finding(struct ck *ck, enum lvs_check_code code, const struct ck_blob *blob,
                        uint64_t page_idx, uint64_t cluster, const char *fmt, va_list ap)
{
    struct lvs_finding f = {
        .code = code,
        .severity = ck->clean ? codes[code].clean : codes[code].dirty,
        .repairable = codes[code].repairable,
        .blob_id = blob ? blob->id : CK_NONE,
        .page_idx = page_idx,
        .cluster = cluster,
    };

    /* What a faulted volume may own is not released, so it is no fault of the masks either. */
    if (is_leak(code) && ck->n_bad) {
        f.severity = LVS_SEV_INFO;
        f.repairable = false;
    }
    ck->report->n_by_code[code]++;
    ck->report->n_by_severity[f.severity]++;
    if (ck->report->n_findings >= LVS_CHECK_FINDINGS_MAX)
        return;
    vsnprintf(f.text, sizeof(f.text), fmt, ap);
    ck_report_add(ck, &f);
}

void ck_find(struct ck *ck, enum lvs_check_code code, const struct ck_blob *blob, uint64_t page_idx,
             uint64_t cluster, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_finding(ck, code, blob, page_idx, cluster, fmt, ap);
    va_end(ap);
}

void ck_fault(struct ck *ck, enum lvs_check_code code, struct ck_blob *blob, uint64_t page_idx,
              uint64_t cluster, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_finding(ck, code, blob, page_idx, cluster, fmt, ap);
    va_end(ap);
    if (!blob->bad) {
        blob->bad = true;
        blob->reason = code;
        ck->n_bad++;
    }
}

/* ---- summary ---- */

static void copy_name(const struct ck_blob *blob, char out[LVS_NAME_BYTES])
{
    const char *name;
    size_t n = ASH_MIN(ck_name(blob, &name), (size_t)LVS_NAME_MAX);

    /* Do not cut a character of several bytes in two. */
    while (n == LVS_NAME_MAX && n > 0 && ((uint8_t)name[n - 1] & 0x80) &&
           !ash_utf8_valid(name, n) && n > LVS_NAME_MAX - 4)
        n--;
    if (n)
        memcpy(out, name, n);
    out[n] = '\0';
}

static void copy_esnap(const struct ck_blob *blob, char *out, size_t n_out)
{
    const struct ck_xattr *x = ck_xattr(blob, true, LVS_XATTR_EXTSNAP);
    size_t n = x ? x->n_value_bytes : 0, pos = 0;
    bool printable = true;

    while (n && x->value[n - 1] == '\0')
        n--;
    for (size_t i = 0; i < n; i++)
        printable &= x->value[i] >= 0x20 && x->value[i] < 0x7f;
    for (size_t i = 0; i < n && pos + 3 < n_out; i++) {
        if (printable)
            out[pos++] = (char)x->value[i];
        else
            pos += (size_t)snprintf(out + pos, n_out - pos, "%02x", x->value[i]);
    }
    out[pos] = '\0';
}

static void fill_volume(const struct ck_blob *blob, struct lvs_report_volume *v)
{
    bool read_only = blob->data_ro & LVS_DATA_RO_READ_ONLY;

    *v = (struct lvs_report_volume){
        .blob_id = blob->id,
        .n_clusters = blob->n_clusters,
        .n_allocated = blob->n_allocated,
        .parent_id = blob->parent,
        .n_clones = blob->n_clones,
        .depth = blob->depth,
        .thin = ck_is_thin(blob),
        .read_only = read_only,
        .rle = !blob->has_table,
        .snapshot =
            blob->n_clones > 0 || (read_only && (ck_xattr(blob, false, LVS_XATTR_SNAP_TIME) ||
                                                 ck_xattr(blob, false, LVS_XATTR_ASHLAR_SNAPSHOT))),
        .state = blob->bad ? LVS_VOLUME_FAULTED : LVS_VOLUME_OK,
        .reason = blob->reason,
    };
    for (size_t i = 0; i < blob->n_xattrs; i++)
        v->n_xattrs += !blob->xattrs[i].internal;
    copy_name(blob, v->name);
    ck_uuid(blob, &v->uuid);
    if (blob->parent == LVS_ESNAP_BLOB)
        copy_esnap(blob, v->esnap_id, sizeof(v->esnap_id));
}

void ck_report_fill(struct ck *ck)
{
    struct lvs_report *r = ck->report;

    r->lvstore = ck->lvstore;
    r->clean = ck->clean;
    r->version = ck->version;
    r->cluster_bytes = ck->cluster_bytes;
    r->md_page_bytes = ck->page_bytes;
    r->io_unit_bytes = ck->io_unit_bytes;
    r->md_len = ck->md_len;
    r->size_bytes = ck->size_bytes;
    r->total_clusters = ck->total_clusters;
    r->data_clusters = ck->total_clusters - ck->md_clusters;
    r->super_blob = ash_le64_get(ck->super.super_blob);
    for (uint32_t i = 0; i < ck->md_len; i++)
        r->n_used_pages += ck->page_owner[i] != 0;
    if (ck->super_blob) {
        copy_name(ck->super_blob, r->name);
        ck_uuid(ck->super_blob, &r->uuid);
    }
    r->volumes = calloc(ck->n_blobs ? ck->n_blobs : 1, sizeof(*r->volumes));
    if (!r->volumes) {
        ck->rc = -ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < ck->n_blobs; i++) {
        if (!ck->blobs[i].gone && !ck->blobs[i].is_super)
            fill_volume(&ck->blobs[i], &r->volumes[r->n_volumes++]);
    }
}

void lvs_report_fini(struct lvs_report *report)
{
    free(report->findings);
    free(report->volumes);
    *report = (struct lvs_report){0};
}

/* ---- text ---- */

void lvs_finding_text(const struct lvs_finding *f, struct ash_buf *buf)
{
    ash_buf_fmt(buf, "%s %s", f->repaired ? "repaired" : lvs_check_severity_text(f->severity),
                codes[f->code].text);
    if (f->blob_id != CK_NONE)
        ash_buf_fmt(buf, " blob %#llx", (unsigned long long)f->blob_id);
    if (f->page_idx != CK_NONE)
        ash_buf_fmt(buf, " page %llu", (unsigned long long)f->page_idx);
    if (f->cluster != CK_NONE)
        ash_buf_fmt(buf, " cluster %llu", (unsigned long long)f->cluster);
    ash_buf_fmt(buf, ": %s", codes[f->code].what);
    if (f->text[0])
        ash_buf_fmt(buf, "; %s", f->text);
}

void lvs_report_text(const struct lvs_report *r, struct ash_buf *buf)
{
    uint64_t n_all = r->n_repaired;

    for (size_t i = 0; i < r->n_findings; i++) {
        lvs_finding_text(&r->findings[i], buf);
        ash_buf_chr(buf, '\n');
    }
    for (int i = 0; i < LVS_N_SEVS; i++)
        n_all += r->n_by_severity[i];
    if (n_all > r->n_findings)
        ash_buf_fmt(buf, "... and %llu more\n", (unsigned long long)(n_all - r->n_findings));
    ash_buf_fmt(buf, "%s: %llu errors, %llu warnings, %llu notes",
                lvs_report_is_clean(r) ? "clean" : "not clean",
                (unsigned long long)r->n_by_severity[LVS_SEV_ERROR],
                (unsigned long long)r->n_by_severity[LVS_SEV_WARNING],
                (unsigned long long)r->n_by_severity[LVS_SEV_INFO]);
    if (r->n_repaired)
        ash_buf_fmt(buf, ", %llu repaired", (unsigned long long)r->n_repaired);
    if (r->readable)
        ash_buf_fmt(buf, "; %zu volumes, %llu of %llu clusters free", r->n_volumes,
                    (unsigned long long)r->free_clusters, (unsigned long long)r->data_clusters);
    ash_buf_chr(buf, '\n');
}
