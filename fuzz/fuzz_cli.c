/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines, their words separated by blanks, through the parser of `ashlar`; and each word as
 * a size, a number, a UUID, an escaped text and a name. A size that is read and written comes back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "base/uuid.h"
#include "ctl/cli/cmd.h"

enum { WORDS_MAX = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void one_word(const char *word)
{
    char text[64], copy[512];
    uint64_t n = 0, again = 0;
    struct ash_uuid uuid;
    size_t len = strlen(word);
    if (ash_parse_size(word, &n) == 0) {
        ash_format_size(n, text, sizeof(text));
        char *blank = strchr(text, ' ');
        if (blank)
            memmove(blank, blank + 1, strlen(blank));
        int rc = ash_parse_size(text, &again);
        ASH_ASSERT(rc == 0 || strpbrk(text, "PE")); /* no units for people to write */
        ASH_ASSERT(rc || (again / 100 <= n / 99 + 1 && n / 100 <= again / 99 + 1)); /* it rounds */
    }
    if (ash_parse_u64(word, UINT64_MAX, &n) == 0)
        ASH_ASSERT(len > 0 && len <= 20 + strspn(word, "0"));
    if (ash_uuid_parse(word, &uuid) == 0) {
        ash_uuid_format(&uuid, text);
        struct ash_uuid second;
        ASH_ASSERT(ash_uuid_parse(text, &second) == 0 && ash_uuid_equal(&uuid, &second));
    }
    if (len < sizeof(copy)) {
        memcpy(copy, word, len + 1);
        if (ash_percent_decode(copy, len & 1) == 0)
            ASH_ASSERT(strlen(copy) <= len);
    }
    (void)ash_utf8_valid(word, len);
    (void)cli_nearest_cmd(word);
}

static void command_line(char **words, int n)
{
    int n_words = 0;
    struct cli cli = {.self = "ashlar"};
    struct ash_err err = {0};
    cli.cmd = cli_find_cmd(n, words, &n_words);
    if (!cli.cmd)
        return;
    ASH_ASSERT(n_words >= 1 && n_words <= n);
    int rc = cli_parse(&cli, n - n_words, words + n_words, &err);
    ASH_ASSERT(rc == 0 || err.text[0]);
    if (rc == 0 && !cli_flag(&cli, "help"))
        ASH_ASSERT(cli.n_args >= cli.cmd->n_args_min && cli.n_args <= cli.cmd->n_args_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char *words[WORDS_MAX + 1] = {NULL}, *save = NULL;
    int n = 0;
    char *text = n_bytes < 2000 ? malloc(n_bytes + 1) : NULL;
    if (!text)
        return 0;
    memcpy(text, data, n_bytes);
    text[n_bytes] = 0;
    for (char *w = strtok_r(text, " \n", &save); w && n < WORDS_MAX;
         w = strtok_r(NULL, " \n", &save))
        words[n++] = w;
    for (int i = 0; i < n; i++)
        one_word(words[i]);
    if (n)
        command_line(words, n);
    free(text);
    return 0;
}
