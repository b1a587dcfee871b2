/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations that persist through power loss: a small JSON file per namespace.
 *
 *   {"ptpl":true,"rtype":1,"holder":"HOSTID","generation":7,
 *    "registrants":[{"host_id":"HOSTID","host_nqn":"NQN","key":4711}]}
 *
 * HOSTID is 32 hexadecimal digits. The file is replaced as a whole (written beside it, synced,
 * renamed), so after a power cut it is the one before or the one after. With ptpl off it says so.
 * Source: docs/spec/nvme-tcp.md 7. */
#include "export/nvmf/nvmf_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#define PTPL_MAX_BYTES (256u << 10)

static void hex_text(const uint8_t id[16], char out[33])
{
    for (unsigned i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static bool hex_parse(const char *text, uint8_t ret_id[16])
{
    if (!text || strlen(text) != 32)
        return false;
    for (unsigned i = 0; i < 16; i++) {
        unsigned byte;
        if (strspn(text + 2 * i, "0123456789abcdefABCDEF") < 2 ||
            sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        ret_id[i] = (uint8_t)byte;
    }
    return true;
}

static void dump(const struct nvmf_resv *r, struct ash_buf *out)
{
    struct ash_jsonw w;
    char id[33];
    ash_jsonw_init(&w, out);
    ash_jsonw_obj(&w, NULL);
    ash_jsonw_bool(&w, "ptpl", r->ptpl);
    if (r->ptpl) {
        ash_jsonw_u64(&w, "rtype", r->rtype);
        hex_text(r->holder, id);
        ash_jsonw_str(&w, "holder", id);
        ash_jsonw_u64(&w, "generation", r->gen);
        ash_jsonw_arr(&w, "registrants");
        for (uint32_t i = 0; i < r->n_regs; i++) {
            ash_jsonw_obj(&w, NULL);
            hex_text(r->regs[i].hostid, id);
            ash_jsonw_str(&w, "host_id", id);
            ash_jsonw_str(&w, "host_nqn", r->regs[i].hostnqn);
            ash_jsonw_u64(&w, "key", r->regs[i].key);
            ash_jsonw_obj_end(&w);
        }
        ash_jsonw_arr_end(&w);
    }
    ash_jsonw_obj_end(&w);
    ash_buf_chr(out, '\n');
}

static int write_new(const char *path, const struct ash_buf *text)
{
    struct rt_file *file;
    int rc = rt_file_open(path, RT_FILE_CREATE, &file, NULL);
    if (rc)
        return rc;
    rc = rt_file_truncate(file, 0);
    if (rc == 0)
        rc = rt_file_write(file, text->data, text->n_bytes, 0);
    if (rc == 0)
        rc = rt_file_sync(file);
    rt_file_close(file);
    return rc;
}

int nvmf_ptpl_save(struct nvmf_ns *ns)
{
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    struct ash_buf path ASH_CLEANUP(ash_buf_free) = {0};
    dump(&ns->resv, &text);
    ash_buf_fmt(&path, "%s.new", ns->ptpl_file);
    if (text.failed || path.failed)
        return -ENOMEM;
    int rc = write_new(path.data, &text);
    if (rc == 0)
        rc = rt_rename(path.data, ns->ptpl_file);
    if (rc)
        rt_log(RT_LOG_ERR, "nvmf", "reservations of %s could not be written to %s: %s",
               ns->bdev_name, ns->ptpl_file, ash_strerror(rc));
    return rc;
}

/* --------------------------------------------------------------- reading */

static const char *text_of(struct json_object *obj, const char *key)
{
    struct json_object *v;
    bool is = json_object_object_get_ex(obj, key, &v) && json_object_is_type(v, json_type_string);
    return is ? json_object_get_string(v) : NULL;
}

static bool number_of(struct json_object *obj, const char *key, uint64_t *ret)
{
    struct json_object *v;
    if (!json_object_object_get_ex(obj, key, &v) || !json_object_is_type(v, json_type_int))
        return false;
    *ret = json_object_get_uint64(v);
    return true;
}

static bool take_reg(struct json_object *obj, struct nvmf_resv *r)
{
    struct nvmf_registrant *reg = &r->regs[r->n_regs];
    const char *nqn = text_of(obj, "host_nqn");
    if (!hex_parse(text_of(obj, "host_id"), reg->hostid) || !number_of(obj, "key", &reg->key) ||
        !nqn || !nvme_nqn_ok(nqn, strlen(nqn) + 1) || reg->key == 0)
        return false;
    snprintf(reg->hostnqn, sizeof(reg->hostnqn), "%s", nqn);
    for (uint32_t i = 0; i < r->n_regs; i++) {
        if (memcmp(r->regs[i].hostid, reg->hostid, 16) == 0)
            return false;
    }
    r->n_regs++;
    return true;
}

static bool holder_known(const struct nvmf_resv *r)
{
    if (r->rtype == NVME_RESV_NONE)
        return true;
    if (r->rtype == NVME_RESV_WE_ALL_REGS || r->rtype == NVME_RESV_EA_ALL_REGS)
        return r->n_regs > 0;
    for (uint32_t i = 0; i < r->n_regs; i++) {
        if (memcmp(r->regs[i].hostid, r->holder, 16) == 0)
            return true;
    }
    return false;
}

static bool take(struct json_object *root, struct nvmf_resv *r)
{
    struct json_object *v, *list;
    uint64_t rtype = 0, gen = 0;
    if (!json_object_is_type(root, json_type_object) ||
        !json_object_object_get_ex(root, "ptpl", &v) || !json_object_is_type(v, json_type_boolean))
        return false;
    if (!json_object_get_boolean(v))
        return true;
    r->ptpl = true;
    if (!number_of(root, "rtype", &rtype) || rtype > NVME_RESV_EA_ALL_REGS ||
        !number_of(root, "generation", &gen) || !hex_parse(text_of(root, "holder"), r->holder) ||
        !json_object_object_get_ex(root, "registrants", &list) ||
        !json_object_is_type(list, json_type_array) ||
        json_object_array_length(list) > NVMF_REGISTRANTS_MAX)
        return false;
    r->rtype = (uint8_t)rtype;
    r->gen = (uint32_t)gen;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (!take_reg(json_object_array_get_idx(list, i), r))
            return false;
    }
    return holder_known(r);
}

/* A file that cannot be believed stops the namespace: to go on would let go of a reservation. */
int nvmf_ptpl_load(struct nvmf_ns *ns, struct ash_err *err)
{
    char *text;
    size_t n;
    if (!rt_path_exists(ns->ptpl_file))
        return 0;
    int rc = rt_read_text(ns->ptpl_file, PTPL_MAX_BYTES, &text, &n, err);
    if (rc)
        return ash_err_while(err, rc, "reading the reservations of '%s'", ns->bdev_name);
    struct nvmf_resv *r = rt_alloc(sizeof(*r));
    struct json_tokener *tok = json_tokener_new();
    struct json_object *root = tok ? json_tokener_parse_ex(tok, text, (int)n) : NULL;
    if (r && take(root, r))
        ns->resv = *r;
    else
        rc = ash_err_set(err, ASH_E_BAD_ARGUMENT, ns->ptpl_file,
                         "the reservations of '%s' in %s cannot be read", ns->bdev_name,
                         ns->ptpl_file);
    json_object_put(root);
    if (tok)
        json_tokener_free(tok);
    rt_free(r);
    rt_free(text);
    return rc;
}
