/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static const struct {
    const char *name;
    int err_no;
    const char *what;
    const char *hint;
} reasons[ASH_N_REASONS] = {
    [ASH_OK] = {"OK", 0, "no error", ""},
#define X(name, err_no, what, hint) [ASH_E_##name] = {#name, err_no, what, hint},
#include "base/reasons.h"
#undef X
};

static void record(struct ash_err *err, int rc, enum ash_reason reason, const char *object,
                   const char *fmt, va_list ap)
{
    if (!err || err->reason != ASH_OK)
        return;
    err->reason = reason;
    err->rc = rc;
    snprintf(err->object, sizeof(err->object), "%s", object ? object : "");
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

int ash_err_set(struct ash_err *err, enum ash_reason reason, const char *object, const char *fmt,
                ...)
{
    ASH_ASSERT(reason > ASH_OK && reason < ASH_N_REASONS);
    int rc = -reasons[reason].err_no;
    va_list ap;
    va_start(ap, fmt);
    record(err, rc, reason, object, fmt, ap);
    va_end(ap);
    return rc;
}

int ash_err_set_rc(struct ash_err *err, int rc, enum ash_reason reason, const char *object,
                   const char *fmt, ...)
{
    ASH_ASSERT(rc < 0 && reason > ASH_OK && reason < ASH_N_REASONS);
    va_list ap;
    va_start(ap, fmt);
    record(err, rc, reason, object, fmt, ap);
    va_end(ap);
    return rc;
}

int ash_err_while(struct ash_err *err, int rc, const char *fmt, ...)
{
    if (!err || err->reason == ASH_OK)
        return rc;
    size_t used = strlen(err->text);
    int n = snprintf(err->text + used, sizeof(err->text) - used, "; while ");
    if (n < 0 || used + (size_t)n >= sizeof(err->text))
        return rc;
    used += (size_t)n;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text + used, sizeof(err->text) - used, fmt, ap);
    va_end(ap);
    return rc;
}

void ash_err_clear(struct ash_err *err)
{
    if (err)
        *err = (struct ash_err){.reason = ASH_OK};
}

const char *ash_reason_name(enum ash_reason reason)
{
    return reason < ASH_N_REASONS ? reasons[reason].name : "UNKNOWN";
}

int ash_reason_errno(enum ash_reason reason)
{
    return reason < ASH_N_REASONS ? reasons[reason].err_no : EIO;
}

const char *ash_reason_what(enum ash_reason reason)
{
    return reason < ASH_N_REASONS ? reasons[reason].what : "";
}

const char *ash_reason_hint(enum ash_reason reason)
{
    return reason < ASH_N_REASONS ? reasons[reason].hint : "";
}

int ash_reason_parse(const char *name, enum ash_reason *ret_reason)
{
    for (int i = 0; i < ASH_N_REASONS; i++) {
        const char *a = name, *b = reasons[i].name;
        while (*a && (toupper((unsigned char)*a) == *b || (*a == '-' && *b == '_')))
            a++, b++;
        if (!*a && !*b) {
            *ret_reason = (enum ash_reason)i;
            return 0;
        }
    }
    return -ENOENT;
}

const char *ash_strerror(int rc)
{
    /* strerrordesc_np is never translated; strerror would follow the process's locale. */
    const char *text = strerrordesc_np(rc < 0 ? -rc : rc);
    return text ? text : "Unknown error";
}
