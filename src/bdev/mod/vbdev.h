/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that stand on one other device: what passthru, delay, error, split and log share.
 *
 * A configuration (vbdev_cfg) names the base and lives in the module's state from the create call
 * to the delete call. While the base exists there is a device (vbdev) for it; when the base goes,
 * the device goes with it and the configuration waits for the base to come back. */
#ifndef ASH_BDEV_MOD_VBDEV_H
#define ASH_BDEV_MOD_VBDEV_H

#include "bdev/mod/mod.h"

struct vbdev {
    struct bdev bdev;
    char *name;
    struct bdev_desc *base_desc;
    struct bdev *base;
    struct rt_timer retry; /* of a removal that found no memory for its task */
    bool leave_pending;    /* a task that has yet to run will remove the device */
    bool no_claim;         /* set before vbdev_init: another device of the module holds the claim */
    void (*leaving)(struct vbdev *v); /* the base goes: let go of I/O that is held for ever */
    bool fixed_size;                  /* does not follow the size of the base */
};

/* The beginning of every channel context. */
struct vbdev_channel {
    struct bdev_channel *lower;
};

struct vbdev_cfg {
    struct ash_list link;
    char *name; /* of the device */
    char *base; /* as given: name, alias or UUID */
    struct ash_uuid uuid;
};

struct vbdev_state {
    struct ash_list cfgs;
};

/* Open and claim the base, take over its geometry and limits; the caller changes what differs and
 * registers. v is zeroed but for nothing; name is copied. */
int vbdev_init(struct vbdev *v, struct bdev_mgr *mgr, const char *name, const char *base,
               struct bdev_module *module, const struct bdev_ops *ops,
               struct ash_err *err) ASH_MAY_WAIT;
/* Close the base, free the name. For ops->destroy and after a failed registration. */
void vbdev_fini(struct vbdev *v) ASH_MAY_WAIT;
/* Start removing the device from a callback (its base has gone). */
void vbdev_leave(struct vbdev *v);
/* UUIDv5 of name_space over the base's UUID and data (docs/spec/spdk-jsonrpc.md 6.1). */
void vbdev_derive_uuid(struct vbdev *v, const struct ash_uuid *given, const char *name_space,
                       const void *data, size_t n_bytes);

/* ops of those that change nothing */
bool vbdev_supports(struct bdev *bdev, enum bdev_io_type type);
int vbdev_channel_init(struct bdev_channel *ch);
void vbdev_channel_fini(struct bdev_channel *ch);
struct bdev *vbdev_base(struct bdev *bdev, unsigned idx);
void vbdev_area(struct bdev_channel *ch, uint64_t offset, uint64_t length, struct bdev_area *ret);
static inline struct vbdev *vbdev_of(const struct bdev *bdev)
{
    return ash_container_of(bdev, struct vbdev, bdev);
}
static inline struct bdev_channel *vbdev_lower(const struct bdev_channel *ch)
{
    return ((const struct vbdev_channel *)ch->ctx)->lower;
}

/* --- configurations --- */

int vbdev_state_init(struct bdev_mgr *mgr, void **ret_state);
/* free_cfg frees what the module has added to its configurations; may be NULL */
void vbdev_state_fini(struct vbdev_state *st, void (*free_cfg)(struct vbdev_cfg *cfg));
struct vbdev_cfg *vbdev_cfg_find(const struct vbdev_state *st, const char *name);
/* A configuration of n_bytes (the module's struct begins with vbdev_cfg), not listed yet. */
int vbdev_cfg_new(size_t n_bytes, const char *name, const char *base, const struct ash_uuid *uuid,
                  struct vbdev_cfg **ret_cfg, struct ash_err *err);
void vbdev_cfg_free(struct vbdev_cfg *cfg);
/* List cfg and attach it when its base is there. On failure it is not listed and still the
 * caller's. */
int vbdev_cfg_add(struct bdev_mgr *mgr, struct bdev_module *module, struct vbdev_cfg *cfg,
                  int (*attach)(struct bdev_mgr *mgr, struct vbdev_cfg *cfg, struct ash_err *err),
                  struct ash_err *err) ASH_MAY_WAIT;
/* For examine_config: attach all that wait for this device. */
void vbdev_cfg_examine(struct bdev_mgr *mgr, struct bdev_module *module, struct bdev *bdev,
                       int (*attach)(struct bdev_mgr *mgr, struct vbdev_cfg *cfg,
                                     struct ash_err *err)) ASH_MAY_WAIT;
/* Delete method: configuration and device; answers true. */
int vbdev_cfg_delete(struct ash_call *call, struct bdev_module *module, const char *name,
                     void (*free_cfg)(struct vbdev_cfg *cfg)) ASH_MAY_WAIT;

#endif
