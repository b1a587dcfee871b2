/* SPDX-License-Identifier: Apache-2.0 */
/* The vector disk with one fault each, and what the checker must say to it. */
#ifndef ASH_TESTS_POOL_FAULTS_H
#define ASH_TESTS_POOL_FAULTS_H

#include "mkdisk.h"

/* DIRTY: the fault is put on a dirty store. FAULTS: a volume is lost to it, so repair cannot end in
 * a clean report. */
enum { CLEAN = 0, DIRTY = 1, FAULTS = 2 };

struct fault {
    const char *name;
    void (*make)(struct mkdisk *d);
    int kind;
    enum lvs_check_code code, more; /* all warnings and errors; more = code: no other */
};

extern const struct fault faults[];
extern const size_t n_faults;
const struct fault *fault_named(const char *name);

#endif
