/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for the FUSE export in builds without libfuse: everything says so. */
#include "export/fuse/fuse.h"

const char *fexp_library(void)
{
    return NULL;
}

int fexp_server(struct ash_engine *engine, struct fexp_server **ret_srv, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_EXPORT_NO_FUSE, NULL, "this ashlar was built without libfuse3");
}

int fexp_add(struct fexp_server *srv, const char *bdev, const char *dir, const char *name,
             bool readonly, struct ash_err *err)
{
    return fexp_server(NULL, NULL, err);
}

int fexp_unmount(struct fexp_server *srv, const char *dir, bool force, struct ash_err *err)
{
    return fexp_server(NULL, NULL, err);
}

void fexp_wait_unmounted(struct fexp_server *srv, const char *dir)
{
}

void fexp_for_each(const struct fexp_server *srv, void (*fn)(const struct fexp_info *, void *),
                   void *arg)
{
}
