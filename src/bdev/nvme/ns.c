/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces as devices, and their keeping up with what the controllers tell.
 *
 * A namespace has one device, however many paths show it: the same id must mean the same UUID,
 * NGUID and size everywhere, else the path is left out for it.
 * Source: docs/spec/nvme-tcp.md 4.1, 8, spdk-jsonrpc.md 10. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "bdev/nvme/host.h"

/* ---------------------------------------------------------------- the device */

static struct nvme_ns *ns_of(struct bdev *bdev)
{
    return ash_container_of(bdev, struct nvme_ns, bdev);
}

static void ns_submit(struct bdev_channel *ch, struct bdev_io *io)
{
    const struct nvme_ns_channel *c = ch->ctx;
    *(struct nvme_io_ctx *)bdev_io_ctx(io) = (struct nvme_io_ctx){.ns = c->ns, .home = rt_self()};
    nvme_lane_submit(c->lane, io);
}

static struct nvme_path *first_path(const struct nvme_group *group)
{
    return ash_list_entry(group->paths.next, struct nvme_path, link);
}

static bool ns_supports(struct bdev *bdev, enum bdev_io_type type)
{
    const struct nvme_group *group = ns_of(bdev)->group;
    if (ash_list_empty(&group->paths))
        return type == BDEV_READ;
    const struct nvme_id_ctrlr *id = first_path(group)->id;
    uint16_t oncs = ash_le16_get(id->oncs);
    switch (type) {
    case BDEV_READ:
    case BDEV_WRITE:
        return true;
    case BDEV_FLUSH:
        return id->vwc & NVME_VWC_PRESENT;
    case BDEV_UNMAP:
        return oncs & NVME_ONCS_DSM;
    case BDEV_WRITE_ZEROES:
        return oncs & NVME_ONCS_WRITE_ZEROES;
    case BDEV_COMPARE:
        return oncs & NVME_ONCS_COMPARE;
    case BDEV_COMPARE_AND_WRITE:
        return ash_le16_get(id->fuses) & NVME_FUSES_COMPARE_WRITE;
    default:
        return false;
    }
}

static int ns_channel_init(struct bdev_channel *ch)
{
    struct nvme_ns_channel *c = ch->ctx;
    c->ns = ns_of(ch->bdev);
    c->lane = &c->ns->group->lanes[rt_reactor_idx(rt_self()) % c->ns->group->n_lanes];
    return 0;
}

static void ns_free(struct nvme_ns *ns)
{
    rt_free(ns->name);
    rt_free(ns);
}

static void ns_destroy(struct bdev *bdev)
{
    struct nvme_ns *ns = ns_of(bdev);
    struct nvme_group *group = ns->group;
    if (!ns->is_removing) /* the device manager ends: nothing comes back */
        group->is_removing = true;
    ash_list_remove(&ns->link);
    ns_free(ns);
    rt_waitq_wake_all(&group->host->gone_q);
}

static void trim_text(const char *field, size_t n, char *ret)
{
    while (n && (field[n - 1] == ' ' || field[n - 1] == '\0'))
        n--;
    memcpy(ret, field, n);
    ret[n] = '\0';
}

static const char *ana_name(uint8_t ana)
{
    switch (ana) {
    case NVME_ANA_OPTIMIZED:
        return "optimized";
    case NVME_ANA_NON_OPTIMIZED:
        return "non_optimized";
    case NVME_ANA_INACCESSIBLE:
        return "inaccessible";
    case NVME_ANA_PERSISTENT_LOSS:
        return "persistent_loss";
    default:
        return "change";
    }
}

static void dump_trid(const struct nvme_path_opts *o, struct ash_jsonw *w)
{
    ash_jsonw_obj(w, "trid");
    ash_jsonw_str(w, "trtype", "TCP");
    ash_jsonw_str(w, "adrfam", o->is_ipv6 ? "IPv6" : "IPv4");
    ash_jsonw_str(w, "traddr", o->traddr);
    ash_jsonw_str(w, "trsvcid", o->trsvcid);
    ash_jsonw_str(w, "subnqn", o->subnqn);
    ash_jsonw_obj_end(w);
}

void nvme_path_dump_trid(const struct nvme_path *path, struct ash_jsonw *w)
{
    dump_trid(&path->opts, w);
}

static void dump_path(const struct nvme_ns *ns, const struct nvme_path *path, struct ash_jsonw *w)
{
    const struct nvme_id_ctrlr *id = path->id;
    uint8_t ana = atomic_load(&ns->ana[path->idx]);
    char text[64], version[16];
    ash_jsonw_obj(w, NULL);
    dump_trid(&path->opts, w);
    ash_jsonw_obj(w, "ctrlr_data");
    ash_jsonw_u64(w, "cntlid", ash_le16_get(id->cntlid));
    snprintf(text, sizeof(text), "0x%04x", ash_le16_get(id->vid));
    ash_jsonw_str(w, "vendor_id", text);
    trim_text(id->mn, sizeof(id->mn), text);
    ash_jsonw_str(w, "model_number", text);
    trim_text(id->sn, sizeof(id->sn), text);
    ash_jsonw_str(w, "serial_number", text);
    trim_text(id->fr, sizeof(id->fr), text);
    ash_jsonw_str(w, "firmware_revision", text);
    ash_jsonw_str(w, "subnqn", path->opts.subnqn);
    uint16_t oacs = ash_le16_get(id->oacs);
    ash_jsonw_obj(w, "oacs");
    ash_jsonw_u64(w, "security", oacs & 1);
    ash_jsonw_u64(w, "format", oacs >> 1 & 1);
    ash_jsonw_u64(w, "firmware", oacs >> 2 & 1);
    ash_jsonw_u64(w, "ns_manage", oacs >> 3 & 1);
    ash_jsonw_obj_end(w);
    ash_jsonw_bool(w, "multi_ctrlr", id->cmic & NVME_CMIC_CTRLRS);
    ash_jsonw_bool(w, "ana_reporting", id->cmic & NVME_CMIC_ANA);
    ash_jsonw_obj_end(w);
    snprintf(version, sizeof(version), "%u.%u", path->vs >> 16, path->vs >> 8 & 0xFF);
    ash_jsonw_obj(w, "vs");
    ash_jsonw_str(w, "nvme_version", version);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj(w, "ns_data");
    ash_jsonw_u64(w, "id", ns->nsid);
    if (id->cmic & NVME_CMIC_ANA)
        ash_jsonw_str(w, "ana_state", ana_name(ana));
    ash_jsonw_bool(w, "can_share", ns->can_share);
    ash_jsonw_obj_end(w);
    ash_jsonw_obj_end(w);
}

static void ns_dump(struct bdev *bdev, struct ash_jsonw *w)
{
    const struct nvme_ns *ns = ns_of(bdev);
    ash_jsonw_arr(w, "nvme");
    ash_list_for_each (l, &ns->group->paths) {
        const struct nvme_path *path = ash_list_entry(l, struct nvme_path, link);
        if (atomic_load(&ns->ana[path->idx]))
            dump_path(ns, path, w);
    }
    ash_jsonw_arr_end(w);
    ash_jsonw_str(w, "mp_policy", "active_passive");
}

const struct bdev_ops nvme_ns_ops = {
    .submit = ns_submit,
    .supports = ns_supports,
    .channel_init = ns_channel_init,
    .destroy = ns_destroy,
    .dump = ns_dump,
};

/* ------------------------------------------------------------------ scanning */

static struct nvme_ns *find_ns(struct nvme_group *group, uint32_t nsid)
{
    ash_list_for_each (l, &group->namespaces) {
        struct nvme_ns *ns = ash_list_entry(l, struct nvme_ns, link);
        if (ns->nsid == nsid)
            return ns;
    }
    return NULL;
}

static int block_shift(const struct nvme_ns_info *info)
{
    const struct nvme_lbaf *f = &info->id.lbaf[info->id.flbas & 15];
    bool ok = f->lbads >= 9 && f->lbads <= 16 && ash_le16_get(f->ms) == 0 &&
              ash_le64_get(info->id.nsze) <= UINT64_MAX >> 1 >> f->lbads;
    return ok ? f->lbads : -1;
}

static struct nvme_ns *ns_new(struct nvme_path *path, const struct nvme_ns_info *info, int shift)
{
    struct nvme_group *group = path->group;
    struct nvme_ns *ns = rt_alloc(sizeof(*ns));
    char name[256];
    snprintf(name, sizeof(name), "%sn%u", group->name, info->nsid);
    if (!ns || !(ns->name = rt_strdup(name))) {
        rt_free(ns);
        return NULL;
    }
    uint32_t block = 1u << shift;
    ns->group = group;
    ns->nsid = info->nsid;
    ns->block_shift = (uint8_t)shift;
    memcpy(ns->uuid, info->uuid, sizeof(ns->uuid));
    memcpy(ns->nguid, info->nguid, sizeof(ns->nguid));
    memcpy(ns->eui64, info->eui64, sizeof(ns->eui64));
    ns->can_share = info->id.nmic & NVME_NMIC_SHARED;
    ns->ana_group = ash_le32_get(info->id.anagrpid);
    ns->bdev = (struct bdev){
        .name = ns->name,
        .product_name = "NVMe disk",
        .ops = &nvme_ns_ops,
        .module = &bdev_nvme_module,
        .block_bytes = block,
        .phys_block_bytes = block * (ash_le16_get(info->id.nawupf) + 1u),
        .size_bytes = ash_le64_get(info->id.nsze) << shift,
        .align_bytes = 1,
        .boundary_bytes = (uint64_t)ash_le16_get(info->id.noiob) << shift,
        .max_rw_bytes = path->id->mdts && path->id->mdts < 20
                            ? (uint64_t)NVME_PAGE_BYTES << path->id->mdts
                            : (uint64_t)NVME_PAGE_BYTES << 8,
        .max_write_zeroes_bytes = (uint64_t)65536 << shift,
        .max_unmap_bytes = (uint64_t)UINT32_MAX << shift,
        .volatile_cache = path->id->vwc & NVME_VWC_PRESENT,
        .unmap_zeroes = (info->id.dlfeat & 7) == NVME_DLFEAT_READS_ZERO,
        .fast_zeroes = true,
        .read_only = info->id.nsattr & NVME_NSATTR_WRITE_PROTECTED,
        .io_ctx_bytes = sizeof(struct nvme_io_ctx),
        .channel_ctx_bytes = sizeof(struct nvme_ns_channel),
    };
    /* Only a whole number of blocks in a power of two is a physical block. */
    if (ns->bdev.phys_block_bytes & (ns->bdev.phys_block_bytes - 1))
        ns->bdev.phys_block_bytes = block;
    memcpy(&ns->bdev.uuid, info->uuid, sizeof(info->uuid));
    if (ash_uuid_is_nil(&ns->bdev.uuid)) /* the next best that stays the same */
        memcpy(&ns->bdev.uuid, info->nguid, sizeof(info->nguid));
    ash_list_push_tail(&group->namespaces, &ns->link);
    return ns;
}

static bool is_same(const struct nvme_ns *ns, const struct nvme_ns_info *info)
{
    return memcmp(ns->uuid, info->uuid, sizeof(ns->uuid)) == 0 &&
           memcmp(ns->nguid, info->nguid, sizeof(ns->nguid)) == 0 &&
           memcmp(ns->eui64, info->eui64, sizeof(ns->eui64)) == 0 &&
           ns->block_shift == block_shift(info);
}

/* Without ANA a path that shows a namespace serves it. */
static void show_on(struct nvme_ns *ns, struct nvme_path *path)
{
    uint8_t none = 0;
    uint8_t first = path->id->cmic & NVME_CMIC_ANA ? NVME_ANA_CHANGE : NVME_ANA_OPTIMIZED;
    atomic_compare_exchange_strong(&ns->ana[path->idx], &none, first);
}

static int update_ns(struct nvme_path *path, const struct nvme_ns_info *info)
{
    struct nvme_ns *ns = find_ns(path->group, info->nsid);
    int shift = block_shift(info);
    if (shift < 0) {
        rt_log(RT_LOG_WARN, "nvme", "namespace %u of '%s' has blocks that cannot be used",
               info->nsid, path->opts.subnqn);
        return 0;
    }
    if (ns && ns->is_removing)
        return 0; /* comes back with the next event or connection */
    if (ns && !is_same(ns, info)) {
        rt_log(RT_LOG_WARN, "nvme", "namespace %u of '%s' at %s is another than '%s': left out",
               info->nsid, path->opts.subnqn, path->opts.address, ns->name);
        atomic_store(&ns->ana[path->idx], 0);
        return 0;
    }
    if (!ns) {
        ns = ns_new(path, info, shift);
        if (!ns)
            return -ENOMEM;
    }
    ns->ana_group = ash_le32_get(info->id.anagrpid);
    show_on(ns, path);
    uint64_t size_bytes = ash_le64_get(info->id.nsze) << shift;
    if (ns->is_registered && bdev_resized(&ns->bdev, size_bytes) == -EBUSY)
        rt_log(RT_LOG_WARN, "nvme", "'%s' has become smaller while it is in use", ns->name);
    return 0;
}

/* --- going away --- */

struct removal {
    struct nvme_group *group;
    struct nvme_ns *ns;
};

static void removal_task(void *arg)
{
    struct removal *r = arg;
    struct nvme_group *group = r->group;
    bdev_unregister(&r->ns->bdev);
    rt_free(r);
    group->n_users--;
    rt_waitq_wake_all(&group->host->gone_q);
}

/* Nobody shows it: its users are told. In a task, since they may take their time. */
static void start_removal(struct nvme_ns *ns)
{
    if (ns->is_removing)
        return;
    if (!ns->is_registered) {
        ash_list_remove(&ns->link);
        ns_free(ns);
        return;
    }
    struct removal *r = rt_alloc(sizeof(*r));
    if (!r)
        return; /* its ios fail meanwhile; the next scan tries again */
    *r = (struct removal){ns->group, ns};
    ns->is_removing = true;
    ns->group->n_users++;
    if (rt_task_spawn("nvme namespace removal", removal_task, r) != 0) {
        ns->is_removing = false;
        ns->group->n_users--;
        rt_free(r);
    }
}

static void remove_unseen(struct nvme_group *group)
{
    ash_list_for_each_safe (l, &group->namespaces) {
        struct nvme_ns *ns = ash_list_entry(l, struct nvme_ns, link);
        bool seen = false;
        for (unsigned i = 0; i < NVME_PATHS_MAX; i++)
            seen |= atomic_load(&ns->ana[i]) != 0;
        if (!seen)
            start_removal(ns);
    }
}

void nvme_ns_forget_path(struct nvme_path *path)
{
    ash_list_for_each (l, &path->group->namespaces)
        atomic_store(&ash_list_entry(l, struct nvme_ns, link)->ana[path->idx], 0);
    remove_unseen(path->group);
}

void nvme_ns_remove_all(struct nvme_group *group)
{
    while (!ash_list_empty(&group->namespaces)) {
        struct nvme_ns *ns = NULL;
        ash_list_for_each (l, &group->namespaces) {
            struct nvme_ns *n = ash_list_entry(l, struct nvme_ns, link);
            if (!n->is_removing) {
                ns = n;
                break;
            }
        }
        if (ns && !ns->is_registered) {
            ash_list_remove(&ns->link);
            ns_free(ns);
        } else if (ns) {
            ns->is_removing = true;
            bdev_unregister(&ns->bdev);
        } else {
            rt_waitq_wait(&group->host->gone_q);
        }
    }
}

/* --- the list --- */

/* All active ids into ids[NVME_NS_MAX]. */
static int list_ids(struct nvme_path *path, uint32_t *ids, unsigned *ret_n) ASH_MAY_WAIT
{
    struct le32 *page = rt_alloc(NVME_NS_LIST_MAX * sizeof(*page));
    uint32_t after = 0;
    unsigned n = 0;
    bool more = true;
    int rc = page ? 0 : -ENOMEM;
    while (rc == 0 && more) {
        rc = nvme_admin_ns_list(path, after, page);
        unsigned i = 0;
        for (; rc == 0 && i < NVME_NS_LIST_MAX; i++) {
            uint32_t id = ash_le32_get(page[i]);
            if (id == 0)
                break;
            if (id <= after) /* else it would never end */
                rc = -EPROTO;
            else if (n < NVME_NS_MAX)
                ids[n++] = after = id;
        }
        more = rc == 0 && i == NVME_NS_LIST_MAX && n < NVME_NS_MAX;
    }
    rt_free(page);
    *ret_n = n;
    return rc;
}

static int scan_all(struct nvme_path *path, const uint32_t *ids, unsigned n) ASH_MAY_WAIT
{
    struct nvme_ns_info *info = rt_alloc(sizeof(*info));
    int rc = info ? 0 : -ENOMEM;
    for (unsigned i = 0; i < n && rc == 0; i++) {
        struct nvme_ns *ns = find_ns(path->group, ids[i]);
        if (!ns && path->group->max_namespaces && i >= path->group->max_namespaces)
            continue;
        rc = nvme_admin_ns(path, ids[i], info);
        if (rc == -ENOENT)
            rc = 0; /* gone between list and question */
        else if (rc == 0)
            rc = update_ns(path, info);
    }
    rt_free(info);
    return rc;
}

static bool is_listed(uint32_t nsid, const uint32_t *ids, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (ids[i] == nsid)
            return true;
    return false;
}

/* Devices for what is new. The queues are there: who examines them can read. */
static int register_new(struct nvme_group *group, struct ash_err *err) ASH_MAY_WAIT
{
    for (;;) {
        struct nvme_ns *ns = NULL;
        ash_list_for_each (l, &group->namespaces) {
            struct nvme_ns *n = ash_list_entry(l, struct nvme_ns, link);
            if (!n->is_registered && !n->is_removing) {
                ns = n;
                break;
            }
        }
        if (!ns || group->is_removing)
            return 0;
        ns->is_registered = true; /* also for a second scan meanwhile */
        int rc = bdev_register(group->host->bdevs, &ns->bdev, err);
        if (rc) {
            ash_list_remove(&ns->link);
            ns_free(ns);
            return rc;
        }
    }
}

int nvme_ns_scan(struct nvme_path *path, struct ash_err *err)
{
    struct nvme_group *group = path->group;
    uint32_t *ids = rt_alloc(NVME_NS_MAX * sizeof(*ids));
    unsigned n = 0;
    int rc = ids ? list_ids(path, ids, &n) : -ENOMEM;
    if (rc == 0)
        rc = scan_all(path, ids, n);
    if (rc == 0) {
        ash_list_for_each (l, &group->namespaces) {
            struct nvme_ns *ns = ash_list_entry(l, struct nvme_ns, link);
            if (!is_listed(ns->nsid, ids, n))
                atomic_store(&ns->ana[path->idx], 0);
        }
        remove_unseen(group);
        rc = nvme_ns_read_ana(path);
    }
    rt_free(ids);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_NVME_PROTOCOL, path->opts.subnqn,
                              "namespaces of '%s' could not be read: %s", path->opts.subnqn,
                              path->admin->why[0] ? path->admin->why : ash_strerror(rc));
    return register_new(group, err);
}

/* --------------------------------------------------------------------- ANA */

static void take_ana_group(struct nvme_path *path, const struct nvme_log_ana_group *g,
                           const struct le32 *nsids)
{
    for (uint32_t i = 0; i < ash_le32_get(g->n_nsids); i++) {
        struct nvme_ns *ns = find_ns(path->group, ash_le32_get(nsids[i]));
        if (ns && atomic_load(&ns->ana[path->idx]))
            atomic_store_explicit(&ns->ana[path->idx], g->state & 15 ? g->state & 15 : 15,
                                  memory_order_release);
    }
}

int nvme_ns_read_ana(struct nvme_path *path)
{
    if (!(path->id->cmic & NVME_CMIC_ANA))
        return 0;
    uint32_t n_groups = ASH_MIN(ash_le32_get(path->id->nanagrpid), (uint32_t)NVME_NS_MAX);
    uint32_t n_bytes =
        (uint32_t)(sizeof(struct nvme_log_ana) + n_groups * sizeof(struct nvme_log_ana_group) +
                   NVME_NS_MAX * sizeof(struct le32));
    uint8_t *buf = rt_alloc(n_bytes);
    int rc = buf ? nvme_admin_log(path->admin, NVME_LOG_ANA, 0, 0, buf, n_bytes) : -ENOMEM;
    const struct nvme_log_ana *head = (const void *)buf;
    uint32_t at = sizeof(*head);
    for (uint16_t i = 0; rc == 0 && i < ash_le16_get(head->n_groups); i++) {
        const struct nvme_log_ana_group *g = (const void *)(buf + at);
        if (n_bytes - at < sizeof(*g) ||
            ash_le32_get(g->n_nsids) > (n_bytes - at - sizeof(*g)) / sizeof(struct le32))
            break;
        at += sizeof(*g);
        take_ana_group(path, g, (const void *)(buf + at));
        at += ash_le32_get(g->n_nsids) * (uint32_t)sizeof(struct le32);
    }
    rt_free(buf);
    return rc;
}
