/* SPDX-License-Identifier: Apache-2.0 */
/* What all commands that change something have in common: may they, which VGs, which devices, and
 * the commit at the end (docs/spec/lvm2-commands.md 1, 6). */
#include <stdio.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"
#include "ctl/lvm/report.h"

/* ---------------------------------------------------------------- options */

int lvmcmd_usage(struct lvmcmd *c, const char *fmt, ...)
{
    struct ash_buf text ASH_CLEANUP(ash_buf_free) = {0};
    va_list ap;
    va_start(ap, fmt);
    ash_buf_vfmt(&text, fmt, ap);
    va_end(ap);
    lvmcmd_error(c, "%s", ash_buf_text(&text));
    lvmcmd_error(c, "Run `%s --help' for more information.", c->cmd->name);
    return LVMCMD_USAGE;
}

int lvmcmd_no_syntax(struct lvmcmd *c)
{
    lvmcmd_error(c,
                 "No command with matching syntax recognised.  Run '%s --help' for more "
                 "information.",
                 c->cmd->name);
    return LVMCMD_USAGE;
}

uint64_t lvmcmd_opt_u64(struct lvmcmd *c, const char *name, uint64_t dflt)
{
    const char *text = lvmcmd_opt(c, name);
    uint64_t n;
    return text && ash_parse_u64(text, UINT64_MAX, &n) == 0 ? n : dflt;
}

uint64_t lvmcmd_opt_size(struct lvmcmd *c, const char *name, char unit, uint64_t dflt)
{
    const char *text = lvmcmd_opt(c, name);
    uint64_t n;
    return text && lvmcmd_parse_size(text, unit, &n) ? n : dflt;
}

bool lvmcmd_opt_yes(struct lvmcmd *c, const char *name, bool dflt)
{
    const char *text = lvmcmd_opt(c, name);
    return text ? *text == 'y' : dflt;
}

bool lvmcmd_change_tags(struct lvmcmd *c, struct lvm_vg *vg, struct lvm_str **tags)
{
    const char *tag;
    bool any = false;
    for (size_t i = 0; (tag = lvmcmd_opt_nth(c, "addtag", i)) != NULL; i++, any = true)
        (void)lvm_tag_add(vg, tags, tag + (*tag == '@'));
    for (size_t i = 0; (tag = lvmcmd_opt_nth(c, "deltag", i)) != NULL; i++, any = true)
        (void)lvm_tag_del(tags, tag + (*tag == '@'));
    return any;
}

/* ---------------------------------------------------------------- devices */

struct lvm_dev *lvmcmd_dev(struct lvmcmd *c, const char *name)
{
    char path[4096], other[4096];
    struct lvm_dev *dev = lvm_dev_find(c->set, name);
    if (dev || strstr(name, "://") || c->host->abs_path(name, path, sizeof(path)))
        return dev;
    ash_list_for_each (l, &c->set->devs) {
        dev = lvm_dev_of(l);
        if (!strstr(dev->name, "://") && c->host->abs_path(dev->name, other, sizeof(other)) == 0 &&
            strcmp(path, other) == 0)
            return dev;
    }
    return NULL;
}

struct lvm_group *lvmcmd_group_of(struct lvmcmd *c, const struct lvm_dev *dev)
{
    ash_list_for_each (l, &c->set->groups)
        if (dev->pv && dev->pv->vg == lvm_group_of(l)->vg)
            return lvm_group_of(l);
    return NULL;
}

/* -------------------------------------------------------------------- VGs */

static int archive(struct lvmcmd *c, struct lvm_group *g)
{
    struct ash_err err = {.reason = ASH_OK};
    if (lvm_archive(&c->backups, g->vg, &c->writer, &err) == 0)
        return 0;
    lvmcmd_error(c, "%s", err.text);
    lvmcmd_error(c, "Volume group \"%s\" metadata archive failed.", g->vg->name);
    return LVMCMD_FAILED;
}

int lvmcmd_begin(struct lvmcmd *c, struct lvm_group *g, unsigned allow)
{
    struct ash_err err = {.reason = ASH_OK};
    struct lvm_policy policy = {.system_id = c->system_id,
                                .missing_is_fine = allow & LVMCMD_ALLOW_MISSING,
                                .exported_is_fine = allow & LVMCMD_ALLOW_EXPORTED,
                                .unknown_is_fine = allow & LVMCMD_ALLOW_UNKNOWN};
    if (lvm_may_change(g, &policy, &err)) {
        lvmcmd_error(c, "%s", err.text);
        if (err.reason == ASH_E_LVM_VG_PARTIAL)
            lvmcmd_error(c, "See vgreduce --removemissing and vgextend --restoremissing.");
        if (err.reason != ASH_E_LVM_VG_EXPORTED)
            lvmcmd_error(c, "Cannot process volume group %s", g->vg->name);
        return LVMCMD_FAILED;
    }
    return allow & LVMCMD_NO_ARCHIVE ? 0 : archive(c, g);
}

struct lvm_group *lvmcmd_vg_to_change(struct lvmcmd *c, const char *name, unsigned allow)
{
    struct lvm_group *g = lvmcmd_vg(c, name);
    return g && lvmcmd_begin(c, g, allow) == 0 ? g : NULL;
}

int lvmcmd_commit(struct lvmcmd *c, struct lvm_vg *vg)
{
    struct ash_err err = {.reason = ASH_OK};
    if (lvm_vg_update(c->set, vg, &c->writer, &err)) {
        lvmcmd_error(c, "%s", err.text);
        lvmcmd_error(c, "Failed to write VG %s.", vg->name);
        return LVMCMD_FAILED;
    }
    /* The change is done; that its backup is not is worth a word, no more. */
    if (lvm_backup(&c->backups, vg, &c->writer, &err))
        lvmcmd_error(c, "WARNING: Backup of volume group %s failed: %s", vg->name, err.text);
    return 0;
}

/* --------------------------------------------------------- several of them */

/* 1 it fits, 0 no, -1 the expression is wrong. */
static int selected(struct lvmcmd *c, struct lvm_group *g)
{
    const char *expr = lvmcmd_opt(c, "select");
    struct rep_row row = {.group = g};
    return expr ? rep_select(c, expr, &row, REP_VG) : 1;
}

/* The groups that are meant. ret_list: rt_free. */
static int list_groups(struct lvmcmd *c, const char *tag, unsigned how,
                       struct lvm_group ***ret_list, size_t *ret_n)
{
    size_t n = 0;
    ash_list_for_each (l, &c->set->groups)
        n++;
    struct lvm_group **list = rt_alloc((n + 1) * sizeof(struct lvm_group *));
    if (!list) {
        lvmcmd_error(c, "no memory for a list of %zu volume groups", n);
        return LVMCMD_FAILED;
    }
    n = 0;
    ash_list_for_each (l, &c->set->groups) {
        struct lvm_group *g = lvm_group_of(l);
        bool is_hidden = (g->vg->flags & LVM_EXPORTED) && !(how & LVMCMD_EXPORTED_TOO);
        if (!is_hidden && (!tag || lvm_tag_has(g->vg->tags, tag)))
            list[n++] = g;
    }
    *ret_list = list;
    *ret_n = n;
    return 0;
}

/* fn may change the list of groups, so it goes over one of our own. */
static int each_of_all(struct lvmcmd *c, const char *tag, unsigned how,
                       int (*fn)(struct lvmcmd *c, struct lvm_group *g))
{
    struct lvm_group **list = NULL;
    size_t n = 0;
    int worst = list_groups(c, tag, how, &list, &n);
    for (size_t i = 0; i < n; i++) {
        int fits = selected(c, list[i]);
        if (fits < 0) {
            worst = LVMCMD_FAILED;
            break;
        }
        if (fits)
            worst = ASH_MAX(worst, fn(c, list[i]));
    }
    rt_free(list);
    return worst;
}

int lvmcmd_each_vg(struct lvmcmd *c, size_t first, unsigned how,
                   int (*fn)(struct lvmcmd *c, struct lvm_group *g))
{
    int worst = 0;
    if (c->n_args <= first && !(how & LVMCMD_ALL_IS_FINE) && !lvmcmd_opt(c, "select"))
        return lvmcmd_no_syntax(c);
    if (c->n_args <= first)
        return each_of_all(c, NULL, how, fn);
    for (size_t i = first; i < c->n_args; i++) {
        int rc;
        if (c->args[i][0] == '@') {
            rc = each_of_all(c, c->args[i] + 1, how, fn);
        } else {
            struct lvm_group *g = lvmcmd_vg(c, c->args[i]);
            int fits = g ? selected(c, g) : 0;
            rc = !g || fits < 0 ? LVMCMD_FAILED : fits ? fn(c, g) : 0;
        }
        worst = ASH_MAX(worst, rc);
    }
    return worst;
}
