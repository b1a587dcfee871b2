/* SPDX-License-Identifier: Apache-2.0 */
/* `tree`: volumes below their parents, and whose the space is.
 *
 * A cluster belongs to one volume; children read it through their parent. So a volume without
 * clones frees what it holds itself; a snapshot with one clone hands its clusters over and frees
 * only those that the clone has of its own too (their maps tell); with more clones it cannot go. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/cli/nouns.h"

struct forest {
    struct cli *cli;
    struct json_object *volumes; /* of one pool */
    struct json_object *out;     /* JSON form */
    struct cli_table table;
};

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bits set in both of two base64 bitmaps: their digits can be compared one by one. */
static uint64_t n_common(const char *a, const char *b)
{
    uint64_t n = 0;
    for (; *a && *b; a++, b++) {
        int da = digit(*a), db = digit(*b);
        if (da >= 0 && db >= 0)
            n += (uint64_t)__builtin_popcount((unsigned)(da & db));
    }
    return n;
}

static int map_of(struct cli *cli, const char *alias, struct json_object **ret, struct ash_err *err)
{
    return cli_call(cli, "bdev_lvol_get_fragmap", cli_params("name", alias, NULL), ret, err);
}

static struct json_object *child_of(struct forest *f, struct json_object *parent, size_t *idx)
{
    const char *name = parent ? cli_jstr(parent, "name") : NULL;
    for (; *idx < json_object_array_length(f->volumes); (*idx)++) {
        struct json_object *v = json_object_array_get_idx(f->volumes, *idx);
        struct json_object *of = cli_jget(v, "parent");
        if (name ? of && !strcmp(json_object_get_string(of), name) : !of) {
            (*idx)++;
            return v;
        }
    }
    return NULL;
}

/* Bytes, or UINT64_MAX when it cannot be deleted now. */
static int frees(struct forest *f, struct json_object *v, uint64_t *ret, struct ash_err *err)
{
    uint64_t n_clones = cli_ju64(v, "n_clones");
    *ret = n_clones > 1 ? UINT64_MAX : cli_ju64(v, "allocated_bytes");
    if (n_clones != 1)
        return 0;
    struct json_object *mine = NULL, *theirs = NULL;
    size_t idx = 0;
    struct json_object *clone = child_of(f, v, &idx);
    if (!clone)
        return 0;
    int rc = map_of(f->cli, cli_jstr(v, "alias"), &mine, err);
    if (!rc)
        rc = map_of(f->cli, cli_jstr(clone, "alias"), &theirs, err);
    if (!rc)
        *ret = n_common(cli_jstr(mine, "fragmap"), cli_jstr(theirs, "fragmap")) *
               cli_ju64(v, "cluster_bytes");
    json_object_put(mine);
    json_object_put(theirs);
    return rc;
}

static void row_of(struct forest *f, struct json_object *v, const char *lead, const char *branch,
                   uint64_t freed)
{
    cli_table_cell(&f->table, "%s%s%s", lead, branch, cli_jstr(v, *branch ? "name" : "alias"));
    cli_table_cell(&f->table, "%s",
                   strcmp(cli_jstr(v, "state"), "ok") ? cli_jstr(v, "state")
                   : cli_jbool(v, "snapshot")         ? "snapshot"
                   : cli_jbool(v, "thin")             ? "thin"
                                                      : "thick");
    cli_size_cell(&f->table, cli_ju64(v, "size_bytes"));
    cli_size_cell(&f->table, cli_ju64(v, "allocated_bytes"));
    cli_size_cell(&f->table, cli_ju64(v, "n_ancestor_clusters") * cli_ju64(v, "cluster_bytes"));
    if (freed == UINT64_MAX)
        cli_table_cell(&f->table, "has clones");
    else
        cli_size_cell(&f->table, freed);
}

static struct json_object *object_of(struct json_object *v, uint64_t freed,
                                     struct json_object *children)
{
    struct json_object *o = cli_params("name", cli_jstr(v, "name"), "uuid", cli_jstr(v, "uuid"),
                                       "state", cli_jstr(v, "state"), NULL);
    uint64_t own = cli_ju64(v, "allocated_bytes");
    uint64_t from_parents = cli_ju64(v, "n_ancestor_clusters") * cli_ju64(v, "cluster_bytes");
    json_object_object_add(o, "snapshot", json_object_new_boolean(cli_jbool(v, "snapshot")));
    json_object_object_add(o, "size_bytes", json_object_new_uint64(cli_ju64(v, "size_bytes")));
    json_object_object_add(o, "allocated_bytes", json_object_new_uint64(own));
    json_object_object_add(o, "unique_bytes",
                           json_object_new_uint64(cli_ju64(v, "n_clones") ? 0 : own));
    json_object_object_add(o, "ancestor_bytes", json_object_new_uint64(from_parents));
    json_object_object_add(o, "frees_bytes",
                           freed == UINT64_MAX ? NULL : json_object_new_uint64(freed));
    json_object_object_add(o, "children", children);
    return o;
}

/* Depth first, with a stack of our own: chains of snapshots may be longer than a task's stack is
 * deep. lead is what stands before the children of the innermost level. */
static int walk(struct forest *f, struct json_object *roots, struct ash_err *err)
{
    struct level {
        struct json_object *parent, *out;
        size_t idx, n_lead;
    } *levels = rt_alloc((json_object_array_length(f->volumes) + 1) * sizeof(*levels));
    size_t depth = 0;
    struct ash_buf lead = {0};
    int rc = 0;
    if (!levels)
        return ash_err_set(err, ASH_E_NO_MEMORY, NULL, "no memory");
    levels[0] = (struct level){NULL, roots, 0, 0};
    while (!rc) {
        struct level *l = &levels[depth];
        struct json_object *v = child_of(f, l->parent, &l->idx);
        if (!v) {
            if (!depth)
                break;
            lead.n_bytes = levels[depth].n_lead;
            if (lead.data)
                lead.data[lead.n_bytes] = '\0';
            depth--;
            continue;
        }
        size_t look = l->idx;
        uint64_t freed = 0;
        bool last = child_of(f, l->parent, &look) == NULL;
        struct json_object *children = json_object_new_array();
        rc = frees(f, v, &freed, err);
        row_of(f, v, ash_buf_text(&lead), !depth ? "" : last ? "`- " : "|- ", freed);
        json_object_array_add(l->out, object_of(v, freed, children));
        /* Each volume is somebody's child once, so the depth stays below their number. */
        if (depth < json_object_array_length(f->volumes)) {
            levels[++depth] = (struct level){v, children, 0, lead.n_bytes};
            ash_buf_str(&lead, depth == 1 ? " " : last ? "   " : "|  ");
        }
    }
    ash_buf_free(&lead);
    rt_free(levels);
    return rc;
}

static int tree_of(struct cli *cli, struct json_object *pool, struct json_object *out,
                   struct ash_err *err)
{
    static const char *const heads[] = {"VOLUME",          "KIND", ">SIZE", ">OWN", ">FROM PARENTS",
                                        ">DELETING FREES", NULL};
    struct forest f = {.cli = cli, .table = {.heads = heads}};
    const char *name = cli_jstr(pool, "name");
    char size[32], room[32];
    int rc = cli_call(cli, "volume_list", cli_params("pool", name, NULL), &f.volumes, err);
    if (rc)
        return rc;
    struct json_object *o = cli_params("pool", name, "uuid", cli_jstr(pool, "uuid"), NULL);
    struct json_object *volumes = json_object_new_array();
    json_object_object_add(o, "capacity_bytes",
                           json_object_new_uint64(cli_ju64(pool, "capacity_bytes")));
    json_object_object_add(o, "free_bytes", json_object_new_uint64(cli_ju64(pool, "free_bytes")));
    json_object_object_add(o, "volumes", volumes);
    json_object_array_add(out, o);
    rc = walk(&f, volumes, err);
    if (!rc && !cli->json) {
        cli_out(cli, "%s: %s, %s free, %zu volume%s\n", name,
                ash_format_size(cli_ju64(pool, "capacity_bytes"), size, sizeof(size)),
                ash_format_size(cli_ju64(pool, "free_bytes"), room, sizeof(room)),
                json_object_array_length(f.volumes),
                json_object_array_length(f.volumes) == 1 ? "" : "s");
        if (json_object_array_length(f.volumes))
            cli_table_print(cli, &f.table);
    }
    ash_buf_free(&f.table.cells);
    json_object_put(f.volumes);
    return rc;
}

int cli_tree(struct cli *cli, struct ash_err *err)
{
    struct json_object *pools = NULL, *out = json_object_new_array();
    const char *only = cli->n_args ? cli->args[0] : NULL;
    bool any = false;
    int rc = cli_call(cli, "pool_list", NULL, &pools, err);
    for (size_t i = 0; !rc && i < json_object_array_length(pools); i++) {
        struct json_object *pool = json_object_array_get_idx(pools, i);
        if (only && strcmp(cli_jstr(pool, "name"), only) && strcmp(cli_jstr(pool, "uuid"), only))
            continue;
        any = true;
        rc = tree_of(cli, pool, out, err);
    }
    if (!rc && only && !any)
        rc = ash_err_set(err, ASH_E_POOL_NOT_FOUND, only, "there is no pool '%s'", only);
    if (!rc && cli->json) {
        struct json_object *root = json_object_new_object();
        json_object_object_add(root, "pools", json_object_get(out));
        cli_out_json(cli, root);
        json_object_put(root);
    } else if (!rc && !any) {
        cli_out(cli, "no pools\n");
    }
    json_object_put(out);
    json_object_put(pools);
    return rc;
}
