/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines of LVM: options may follow arguments, long names may be cut short, each value is
 * checked by its kind (docs/spec/lvm2-commands.md 1). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/lvm/lvmcmd.h"

/* ----------------------------------------------------------------- values */

bool lvmcmd_parse_size(const char *text, char dflt_unit, uint64_t *ret_bytes)
{
    static const char units[] = "kmgtpe";
    char *end;
    if (!isdigit((unsigned char)*text) && *text != '.')
        return false;
    double n = strtod(text, &end);
    char unit = (char)tolower((unsigned char)*end);
    if (unit && end[1] && strcasecmp(end + 1, "iB") != 0 && strcasecmp(end + 1, "B") != 0)
        return false;
    if (!unit)
        unit = dflt_unit;
    const char *at = strchr(units, unit);
    if (unit == 's')
        n *= 512;
    else if (at)
        for (const char *u = units; u <= at; u++)
            n *= 1024;
    else if (unit != 'b')
        return false;
    if (!(n >= 0) || n >= 18446744073709551615.0)
        return false;
    *ret_bytes = (uint64_t)n;
    return true;
}

static bool valid_extents(const char *text)
{
    char *end;
    text += *text == '+' || *text == '-';
    if (!isdigit((unsigned char)*text))
        return false;
    (void)strtoull(text, &end, 10);
    static const char *const of[] = {"",   "%VG", "%PVS", "%FREE", "%ORIGIN", "%LV",
                                     "%V", "%P",  "%F",   "%O",    "%L"};
    for (size_t i = 0; i < ASH_N_ELEMS(of); i++)
        if (strcasecmp(end, of[i]) == 0)
            return true;
    return false;
}

static bool valid(const struct lvmcmd_opt *opt, const char *text)
{
    uint64_t n;
    enum lvm_alloc alloc;
    switch (opt->arg) {
    case LVMCMD_YN:
        return strcmp(text, "y") == 0 || strcmp(text, "n") == 0;
    case LVMCMD_NUM:
        return ash_parse_u64(text, INT64_MAX, &n) == 0;
    case LVMCMD_SIZE_M:
        return lvmcmd_parse_size(text + (*text == '+' || *text == '-'), 'm', &n);
    case LVMCMD_SIZE_K:
        return lvmcmd_parse_size(text, 'k', &n);
    case LVMCMD_EXTENTS:
        return valid_extents(text);
    case LVMCMD_TAG:
        return lvm_tag_valid(text + (*text == '@'));
    case LVMCMD_ALLOC:
        return lvm_alloc_parse(text, &alloc);
    case LVMCMD_PERM:
        return strcmp(text, "r") == 0 || strcmp(text, "rw") == 0;
    default:
        return true;
    }
}

/* ---------------------------------------------------------------- options */

const struct lvmcmd_opt *lvmcmd_opt_named(const char *word, size_t n)
{
    bool takes_value = n && word[n - 1] == '=';
    n -= takes_value;
    for (const struct lvmcmd_opt *o = lvmcmd_opts; o->name; o++)
        if (strlen(o->name) == n && strncmp(o->name, word, n) == 0 &&
            !(takes_value && o->arg == LVMCMD_FLAG))
            return o;
    return NULL;
}

/* In "n:name name ...": the option with this letter, or whose name begins so (exact: is so).
 * *n_found: how many fit. */
static const struct lvmcmd_opt *opt_in(const char *list, char letter, const char *name, size_t n,
                                       unsigned *n_found)
{
    const struct lvmcmd_opt *found = NULL;
    while (list && *list) {
        size_t n_word = strcspn(list, " ");
        char own = n_word > 1 && list[1] == ':' ? list[0] : '\0';
        const char *word = own ? list + 2 : list;
        size_t n_own = n_word - (own ? 2 : 0);
        size_t n_name = n_own - (n_own && word[n_own - 1] == '=');
        bool fits = letter ? own == letter : n_name >= n && strncmp(word, name, n) == 0;
        if (fits) {
            const struct lvmcmd_opt *opt = lvmcmd_opt_named(word, n_own);
            if (!letter && n_name == n) {
                *n_found = 1;
                return opt;
            }
            if (opt && opt != found)
                ++*n_found;
            found = opt;
        }
        list += n_word;
        list += *list == ' ';
    }
    return found;
}

static const struct lvmcmd_opt *find_opt(struct lvmcmd *c, char letter, const char *name, size_t n)
{
    unsigned n_found = 0, n_common = 0;
    const struct lvmcmd_opt *own = opt_in(c->cmd->opts, letter, name, n, &n_found);
    const struct lvmcmd_opt *common = opt_in(lvmcmd_common_opts, letter, name, n, &n_common);
    if (own && !letter && n_found == 1 && strlen(own->name) == n)
        return own;
    if (common && !letter && n_common == 1 && strlen(common->name) == n)
        return common;
    if (letter)
        return own ? own : common;
    return n_found + n_common == 1 ? (own ? own : common) : NULL;
}

static int bad_line(struct lvmcmd *c)
{
    lvmcmd_error(c, "Error during parsing of command line.");
    return LVMCMD_USAGE;
}

/* A value that comes twice contradicts itself; these add up. */
static bool may_repeat(const struct lvmcmd_opt *opt)
{
    static const char *const names[] = {"addtag", "deltag", "config", "devices", "select"};
    for (size_t i = 0; i < ASH_N_ELEMS(names); i++)
        if (strcmp(opt->name, names[i]) == 0)
            return true;
    return opt->arg == LVMCMD_FLAG;
}

/* In bytes only whole sectors can be meant. */
static bool whole_sectors(struct lvmcmd *c, const struct lvmcmd_opt *opt, const char *text)
{
    uint64_t n;
    size_t len = strlen(text);
    if ((opt->arg != LVMCMD_SIZE_M && opt->arg != LVMCMD_SIZE_K) || !len ||
        (text[len - 1] != 'b' && text[len - 1] != 'B') || strcspn(text, "kmgtpeKMGTPE") < len ||
        !lvmcmd_parse_size(text + (*text == '+' || *text == '-'), 'm', &n) || n % 512 == 0)
        return true;
    lvmcmd_error(c, "Size is not a multiple of 512. Try using %llu or %llu.",
                 (unsigned long long)(n - n % 512), (unsigned long long)(n - n % 512 + 512));
    return false;
}

static int take(struct lvmcmd *c, const struct lvmcmd_opt *opt, const char *text)
{
    if (!may_repeat(opt) && lvmcmd_opt(c, opt->name)) {
        lvmcmd_error(c, "Option --%s may not be repeated.", opt->name);
        return bad_line(c);
    }
    if (!valid(opt, text) || !whole_sectors(c, opt, text)) {
        lvmcmd_error(c, "Invalid argument for --%s: %s", opt->name, text);
        return bad_line(c);
    }
    if (c->n_values == LVMCMD_VALUES_MAX) {
        lvmcmd_error(c, "Too many options.");
        return bad_line(c);
    }
    c->values[c->n_values++] = (struct lvmcmd_value){opt, text};
    return 0;
}

/* "--name", "--name=value", "--name value". *at: index of this word, moved over the value. */
static int long_option(struct lvmcmd *c, int argc, char **argv, int *at)
{
    const char *word = argv[*at] + 2, *eq = strchr(word, '=');
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    const struct lvmcmd_opt *opt = find_opt(c, '\0', word, n);
    if (!opt) {
        lvmcmd_error(c, "%s: unrecognized option '%s'", c->cmd->name, argv[*at]);
        return bad_line(c);
    }
    if (opt->arg == LVMCMD_FLAG)
        return take(c, opt, "");
    if (!eq && *at + 1 >= argc) {
        lvmcmd_error(c, "%s: option '%s' requires an argument", c->cmd->name, argv[*at]);
        return bad_line(c);
    }
    return take(c, opt, eq ? eq + 1 : argv[++*at]);
}

static int letters(struct lvmcmd *c, int argc, char **argv, int *at)
{
    for (const char *p = argv[*at] + 1; *p; p++) {
        const struct lvmcmd_opt *opt = find_opt(c, *p, NULL, 0);
        if (!opt) {
            lvmcmd_error(c, "%s: invalid option -- '%c'", c->cmd->name, *p);
            return bad_line(c);
        }
        if (opt->arg == LVMCMD_FLAG) {
            int rc = take(c, opt, "");
            if (rc)
                return rc;
            continue;
        }
        if (!p[1] && *at + 1 >= argc) {
            lvmcmd_error(c, "%s: option requires an argument -- '%c'", c->cmd->name, *p);
            return bad_line(c);
        }
        return take(c, opt, p[1] ? p + 1 : argv[++*at]);
    }
    return 0;
}

int lvmcmd_parse(struct lvmcmd *c, int argc, char **argv)
{
    bool only_args = false;
    c->args = argv; /* arguments are moved to the front */
    c->n_args = 0;
    for (int i = 0; i < argc; i++) {
        int rc = 0;
        if (only_args || argv[i][0] != '-' || !argv[i][1])
            c->args[c->n_args++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_args = true;
        else if (argv[i][1] == '-')
            rc = long_option(c, argc, argv, &i);
        else
            rc = letters(c, argc, argv, &i);
        if (rc)
            return rc;
    }
    if (!lvmcmd_opt(c, "help") && !lvmcmd_opt(c, "version") &&
        (c->n_args < c->cmd->n_args_min || c->n_args > c->cmd->n_args_max)) {
        return lvmcmd_no_syntax(c);
    }
    return 0;
}

const char *lvmcmd_opt_nth(const struct lvmcmd *c, const char *name, size_t nth)
{
    for (size_t i = 0; i < c->n_values; i++)
        if (strcmp(c->values[i].opt->name, name) == 0 && nth-- == 0)
            return c->values[i].text;
    return NULL;
}

size_t lvmcmd_opt_count(const struct lvmcmd *c, const char *name)
{
    size_t n = 0;
    while (lvmcmd_opt_nth(c, name, n))
        n++;
    return n;
}

const char *lvmcmd_opt(const struct lvmcmd *c, const char *name)
{
    size_t n = lvmcmd_opt_count(c, name);
    return n ? lvmcmd_opt_nth(c, name, n - 1) : NULL;
}
