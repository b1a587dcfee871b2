/* SPDX-License-Identifier: Apache-2.0 */
/* Claims: who may write to a device. One type per device at a time; the descriptor that claims owns
 * it until it closes. Source: docs/spec/spdk-jsonrpc.md 13.3. */
#include <errno.h>

#include "bdev/core.h"

static bool others_write(const struct bdev_core *core, const struct bdev_desc *mine)
{
    ash_list_for_each (l, &core->descs) {
        const struct bdev_desc *d = ash_list_entry(l, struct bdev_desc, link);
        if (d != mine && d->mode & BDEV_OPEN_WRITE)
            return true;
    }
    return false;
}

static int refuse(struct bdev_core *core, struct ash_err *err)
{
    const char *name = core->bdev->name;
    if (core->claim != BDEV_CLAIM_NONE)
        return ash_err_set(err, ASH_E_BDEV_CLAIMED, name, "device '%s' is claimed by %s", name,
                           core->claim_by);
    return ash_err_set(err, ASH_E_BDEV_CLAIMED, name,
                       "device '%s' cannot be claimed: it is open for writing", name);
}

static int bad_use(struct bdev_core *core, const char *what, struct ash_err *err)
{
    return ash_err_set(err, ASH_E_BAD_ARGUMENT, core->bdev->name,
                       "device '%s' cannot be claimed: %s", core->bdev->name, what);
}

int bdev_claim(struct bdev_desc *desc, enum bdev_claim claim, uint64_t key, const char *by,
               struct ash_err *err)
{
    bdev_assert_control();
    struct bdev_core *core = desc->bdev->core;
    bool is_shared = claim == BDEV_CLAIM_READ_WRITE_SHARED;
    bool joins = false, may = false;
    if (claim == BDEV_CLAIM_NONE)
        return bad_use(core, "no type of claim given", err);
    if (is_shared ? key == 0 : key != 0)
        return bad_use(core, is_shared ? "a shared claim needs a key" : "the key has no use", err);
    if (claim == BDEV_CLAIM_READ_WRITE_NONE && desc->mode & BDEV_OPEN_WRITE)
        return bad_use(core, "nobody shall write, but the descriptor may", err);
    bool will_write = claim != BDEV_CLAIM_READ_WRITE_NONE;
    if (will_write && desc->bdev->read_only)
        return ash_err_set(err, ASH_E_BDEV_READ_ONLY, core->bdev->name, "device '%s' is read-only",
                           core->bdev->name);
    if (desc->owns_claim)
        return refuse(core, err);
    bool is_free = core->claim == BDEV_CLAIM_NONE;
    switch (claim) {
    case BDEV_CLAIM_EXCL_WRITE:
        may = is_free;
        break;
    case BDEV_CLAIM_READ_WRITE_ONE:
        may = is_free && !others_write(core, desc);
        break;
    case BDEV_CLAIM_READ_WRITE_NONE:
        joins = core->claim == claim;
        may = joins || (is_free && !others_write(core, desc));
        break;
    case BDEV_CLAIM_READ_WRITE_SHARED:
        joins = core->claim == claim && core->claim_key == key;
        may = joins || (is_free && !others_write(core, desc));
        break;
    case BDEV_CLAIM_NONE:
        break;
    }
    if (!may)
        return refuse(core, err);
    core->claim = claim;
    core->claim_key = key;
    if (!joins)
        core->claim_by = by;
    core->n_claims++;
    desc->owns_claim = true;
    if (will_write)
        desc->mode |= BDEV_OPEN_WRITE;
    return 0;
}

void bdev_claim_release(struct bdev_desc *desc);
void bdev_claim_release(struct bdev_desc *desc)
{
    struct bdev_core *core = desc->bdev->core;
    if (!desc->owns_claim)
        return;
    desc->owns_claim = false;
    ASH_ASSERT(core->n_claims > 0);
    if (--core->n_claims)
        return;
    core->claim = BDEV_CLAIM_NONE;
    core->claim_key = 0;
    core->claim_by = NULL;
}

enum bdev_claim bdev_claimed(const struct bdev *bdev, const char **ret_by)
{
    if (ret_by)
        *ret_by = bdev->core->claim_by;
    return bdev->core->claim;
}
