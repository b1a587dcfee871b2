/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as LVM writes them (docs/spec/lvm2-commands.md 2.4). */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"

static const char scale[] = "bkmgtpe";

bool lvmcmd_units_parse(const char *text, struct lvmcmd_units *u)
{
    char *end;
    double n = strtod(text, &end);
    bool has_number = end != text;
    char unit = *end;
    if (!unit || end[1] || !strchr("rRhHbBsSkKmMgGtTpPeE", unit) || (has_number && n <= 0))
        return false;
    u->unit = strchr("BS", unit) ? (char)tolower(unit) : unit;
    u->custom_bytes = 0;
    if (has_number) {
        if (strchr("rRhH", unit))
            return false;
        double one = u->unit == 's' ? 512 : 1;
        const char *at = strchr(scale, tolower(u->unit));
        for (long i = at ? at - scale : 0; i > 0; i--)
            one *= isupper((unsigned char)u->unit) ? 1000 : 1024;
        u->custom_bytes = n * one;
        u->unit = 'U';
    }
    return true;
}

/* The largest unit of which there is at least one. */
static void human(double bytes, bool decimal, bool mark, bool suffix, struct ash_buf *out)
{
    double base = decimal ? 1000 : 1024, one = 1;
    size_t u = 0;
    while (bytes / one >= base && scale[u + 1]) {
        one *= base;
        u++;
    }
    if (u == 0) {
        ash_buf_fmt(out, "%.0f", bytes);
    } else {
        char text[48];
        snprintf(text, sizeof(text), "%.2f", bytes / one);
        if (mark && strtod(text, NULL) * one > bytes)
            ash_buf_chr(out, '<');
        ash_buf_str(out, text);
    }
    if (suffix)
        ash_buf_chr(out, decimal || u == 0 ? (char)toupper(scale[u]) : scale[u]);
}

void lvmcmd_size(const struct lvmcmd_units *u, uint64_t bytes, struct ash_buf *out)
{
    bool is_human = strchr("rRhH", u->unit) != NULL;
    if (is_human && bytes == 0) {
        ash_buf_str(out, "0 ");
        return;
    }
    if (is_human) {
        human((double)bytes, isupper((unsigned char)u->unit), tolower(u->unit) == 'r', u->suffix,
              out);
        return;
    }
    if (u->unit == 'b' || u->unit == 's') {
        ash_buf_fmt(out, "%" PRIu64, u->unit == 'b' ? bytes : bytes / 512);
    } else {
        double one = u->custom_bytes;
        const char *at = strchr(scale, tolower(u->unit));
        if (u->unit != 'U')
            one = 1;
        for (long i = u->unit != 'U' && at ? at - scale : 0; i > 0; i--)
            one *= isupper((unsigned char)u->unit) ? 1000 : 1024;
        if (bytes == 0)
            ash_buf_chr(out, '0');
        else
            ash_buf_fmt(out, "%.2f", (double)bytes / one);
    }
    if (u->suffix)
        ash_buf_chr(out, strchr("bs", u->unit) ? (char)toupper(u->unit) : u->unit);
}

const char *lvmcmd_size_text(uint64_t bytes, char *buf, size_t n_buf)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)bytes, one = 1;
    size_t u = 0;
    while (n / one >= 1024 && u + 1 < ASH_N_ELEMS(names)) {
        one *= 1024;
        u++;
    }
    if (bytes == 0) {
        snprintf(buf, n_buf, "0   ");
    } else if (u == 0) {
        snprintf(buf, n_buf, "%.0f B  ", n);
    } else {
        char text[32];
        snprintf(text, sizeof(text), "%.2f", n / one);
        snprintf(buf, n_buf, "%s%s %s", strtod(text, NULL) * one > n ? "<" : "", text, names[u]);
    }
    return buf;
}
