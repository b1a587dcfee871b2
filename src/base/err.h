/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the control plane.
 *
 * Functions return 0 or a negative errno; those that talk to people also take `struct ash_err *err`
 * last (NULL is allowed and means: only the number matters). The first error wins; callers on the
 * way up add context with ash_err_while(). On failure all other outputs are untouched.
 *
 * Every failure has a reason from one list (reasons.h): a stable name for programs, an errno, and
 * what to do about it. `ashlar explain REASON` prints that list. */
#ifndef ASH_BASE_ERR_H
#define ASH_BASE_ERR_H

#include "base/compiler.h"

enum ash_reason {
    ASH_OK = 0,
#define X(name, err_no, what, hint) ASH_E_##name,
#include "base/reasons.h"
#undef X
    ASH_N_REASONS
};

struct ash_err {
    enum ash_reason reason;
    int rc;           /* negative errno */
    char object[128]; /* name of what the error is about; may be empty */
    char text[512];   /* "what, on which object, why", then the chain "; while ..." */
};

/* Record an error unless err holds one already.
 * object  name of the thing, or NULL;  fmt  one sentence without a full stop
 * returns the errno that the reason stands for, negative (also when err is NULL). */
int ash_err_set(struct ash_err *err, enum ash_reason reason, const char *object, const char *fmt,
                ...) ASH_PRINTF(4, 5);

/* As ash_err_set, but with the caller's errno (negative) in place of the reason's own. */
int ash_err_set_rc(struct ash_err *err, int rc, enum ash_reason reason, const char *object,
                   const char *fmt, ...) ASH_PRINTF(5, 6);

/* Append "; while <...>" to a recorded error. Returns rc, so `return ash_err_while(err, rc, ...)`.
 */
int ash_err_while(struct ash_err *err, int rc, const char *fmt, ...) ASH_PRINTF(3, 4);

void ash_err_clear(struct ash_err *err);

const char *ash_reason_name(enum ash_reason reason); /* "POOL_NAME_TAKEN" */
int ash_reason_errno(enum ash_reason reason);        /* positive errno */
const char *ash_reason_what(enum ash_reason reason); /* what it means, for people */
const char *ash_reason_hint(enum ash_reason reason); /* what to do now */
/* 0 and the reason, or -ENOENT; case does not matter, '-' counts as '_'. */
int ash_reason_parse(const char *name, enum ash_reason *ret_reason);

/* strerror in the C locale whatever the process uses; rc may be negative or positive. */
const char *ash_strerror(int rc);

#endif
