/* SPDX-License-Identifier: Apache-2.0 */
/* The keyring: names for files that hold keys. It has no devices; a module only to have a state,
 * methods and configuration of an engine's own. Control reactor only. Source:
 * docs/spec/spdk-jsonrpc.md 9. */
#include "bdev/keyring.h"

#include <errno.h>
#include <string.h>

#include "bdev/mod/mod.h"

enum { KEYS_MAX = 1024, KEY_TEXT_MAX = 4096 };

struct named_key {
    struct ash_list link;
    char *name, *path;
};

struct keyring {
    struct ash_list keys;
    unsigned n_keys;
};

static struct keyring *ring_of(struct bdev_mgr *mgr)
{
    return bdev_module_state(mgr, &bdev_keyring_module);
}

static int module_init(struct bdev_mgr *mgr, void **ret_state)
{
    (void)mgr;
    struct keyring *ring = rt_alloc(sizeof(*ring));
    if (!ring)
        return -ENOMEM;
    ash_list_init(&ring->keys);
    *ret_state = ring;
    return 0;
}

static void key_free(struct named_key *key)
{
    if (!key)
        return;
    rt_free(key->name);
    rt_free(key->path);
    rt_free(key);
}

static void module_fini(struct bdev_mgr *mgr, void *state)
{
    (void)mgr;
    struct keyring *ring = state;
    struct ash_list *l;
    while ((l = ash_list_pop_head(&ring->keys)))
        key_free(ash_list_entry(l, struct named_key, link));
    rt_free(ring);
}

static struct named_key *find(const struct keyring *ring, const char *name)
{
    ash_list_for_each (l, &ring->keys) {
        struct named_key *key = ash_list_entry(l, struct named_key, link);
        if (strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

static int no_key(const char *name, struct ash_err *err)
{
    return ash_err_set_rc(err, -ENOENT, ASH_E_NVME_KEY, name, "there is no key '%s'", name);
}

/* The file's text; wiped and freed by the caller. */
static int read_key(const char *name, const char *path, char **ret_text,
                    struct ash_err *err) ASH_MAY_WAIT
{
    unsigned mode = 0;
    size_t n;
    int rc = rt_path_mode(path, &mode);
    if (rc == 0 && (mode & 077))
        return ash_err_set_rc(err, -EACCES, ASH_E_NVME_KEY, name,
                              "key '%s': others may read '%s' (mode %03o): make it 600", name, path,
                              mode & 0777);
    if (rc)
        return ash_err_set_rc(err, rc, ASH_E_NVME_KEY, name, "key '%s': '%s': %s", name, path,
                              ash_strerror(rc));
    return rt_read_text(path, KEY_TEXT_MAX, ret_text, &n, err);
}

static void wipe(char *text)
{
    if (text)
        nvme_chap_wipe(text, strlen(text));
    rt_free(text);
}

typedef int key_parse(const char *text, const char *name, struct nvme_chap_key *ret_key,
                      struct ash_err *err);

static int get_key(struct bdev_mgr *mgr, const char *name, key_parse *parse,
                   struct nvme_chap_key *ret_key, struct ash_err *err) ASH_MAY_WAIT
{
    const struct named_key *key = find(ring_of(mgr), name);
    char *text = NULL;
    if (!key)
        return no_key(name, err);
    char *path = rt_strdup(key->path); /* it may be removed while the file is read */
    int rc = path ? read_key(name, path, &text, err) : -ENOMEM;
    rt_free(path);
    if (rc)
        return rc;
    rc = parse(text, name, ret_key, err);
    wipe(text);
    return rc;
}

int bdev_key_chap(struct bdev_mgr *mgr, const char *name, struct nvme_chap_key *ret_key,
                  struct ash_err *err)
{
    return get_key(mgr, name, nvme_chap_key_parse, ret_key, err);
}

int bdev_key_tls(struct bdev_mgr *mgr, const char *name, struct nvme_chap_key *ret_key,
                 struct ash_err *err)
{
    return get_key(mgr, name, nvme_tls_key_parse, ret_key, err);
}

/* ------------------------------------------------------------------- methods */

struct key_params {
    char *name, *path;
};

static const struct ash_param add_table[] = {
    ASH_PARAM(struct key_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the key"),
    ASH_PARAM(struct key_params, path, ASH_P_STR, ASH_P_REQUIRED, NULL,
              "file that holds it; readable by its owner only"),
    {.name = NULL},
};
static const struct ash_param remove_table[] = {
    ASH_PARAM(struct key_params, name, ASH_P_STR, ASH_P_REQUIRED, NULL, "name of the key"),
    {.name = NULL},
};

static int run_add(struct ash_call *call, void *params)
{
    const struct key_params *p = params;
    struct keyring *ring = ring_of(call->bdevs);
    char *text = NULL;
    if (p->path[0] != '/')
        return ash_err_set(call->err, ASH_E_BAD_ARGUMENT, p->name,
                           "the path of a key must be absolute");
    int rc = read_key(p->name, p->path, &text, call->err);
    wipe(text);
    if (rc)
        return rc;
    if (find(ring, p->name))
        return ash_err_set_rc(call->err, -EEXIST, ASH_E_NVME_KEY, p->name,
                              "there is a key '%s' already", p->name);
    if (ring->n_keys >= KEYS_MAX)
        return ash_err_set_rc(call->err, -ENOSPC, ASH_E_NVME_KEY, p->name,
                              "there are %u keys already", ring->n_keys);
    struct named_key *key = rt_alloc(sizeof(*key));
    if (key) {
        key->name = rt_strdup(p->name);
        key->path = rt_strdup(p->path);
    }
    if (!key || !key->name || !key->path) {
        key_free(key);
        return ash_err_set(call->err, ASH_E_NO_MEMORY, p->name, "no memory for a key");
    }
    ash_list_push_tail(&ring->keys, &key->link);
    ring->n_keys++;
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

/* Who uses it goes on: a copy was taken. */
static int run_remove(struct ash_call *call, void *params)
{
    const struct key_params *p = params;
    struct keyring *ring = ring_of(call->bdevs);
    struct named_key *key = find(ring, p->name);
    if (!key)
        return no_key(p->name, call->err);
    ash_list_remove(&key->link);
    ring->n_keys--;
    key_free(key);
    ash_jsonw_bool(call->result, NULL, true);
    return 0;
}

static int run_list(struct ash_call *call, void *params)
{
    (void)params;
    struct ash_jsonw *w = call->result;
    ash_jsonw_arr(w, NULL);
    ash_list_for_each (l, &ring_of(call->bdevs)->keys) {
        const struct named_key *key = ash_list_entry(l, struct named_key, link);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "name", key->name);
        ash_jsonw_str(w, "module", "keyring_file");
        ash_jsonw_bool(w, "removed", false);
        ash_jsonw_bool(w, "probed", true);
        ash_jsonw_u64(w, "refcnt", 1);
        ash_jsonw_str(w, "path", key->path);
        ash_jsonw_obj_end(w);
    }
    ash_jsonw_arr_end(w);
    return 0;
}

static const struct ash_method methods[] = {
    {"keyring_file_add_key", "Give a name to a file that holds a key.", add_table,
     sizeof(struct key_params), .run = run_add},
    {"keyring_file_remove_key", "Forget a key; who uses it goes on.", remove_table,
     sizeof(struct key_params), .run = run_remove},
    {"keyring_get_keys", "List keys; never what they hold.", NULL, 0,
     ASH_M_NO_PARAMS | ASH_M_READ_ONLY, .run = run_list},
    {.name = NULL},
};

static void module_dump_config(struct bdev_mgr *mgr, struct ash_jsonw *w)
{
    ash_list_for_each (l, &ring_of(mgr)->keys) {
        const struct named_key *key = ash_list_entry(l, struct named_key, link);
        ash_jsonw_obj(w, NULL);
        ash_jsonw_str(w, "method", "keyring_file_add_key");
        ash_jsonw_obj(w, "params");
        ash_jsonw_str(w, "name", key->name);
        ash_jsonw_str(w, "path", key->path);
        ash_jsonw_obj_end(w);
        ash_jsonw_obj_end(w);
    }
}

struct bdev_module bdev_keyring_module = {
    .name = "keyring",
    .methods = methods,
    .dump_config = module_dump_config,
    .init = module_init,
    .fini = module_fini,
};
