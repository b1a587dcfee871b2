/* SPDX-License-Identifier: Apache-2.0 */
/* seeds_check FOLDER: writes the inputs that fuzz_check begins with, made by the disk builder of
 * the unit tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/unit/pool/mkdisk.h"

static void write_seed(const char *folder, const char *name, uint8_t options, struct mkdisk *d)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f) {
        perror(path);
        exit(1);
    }
    fputc(options, f);
    fwrite(d->bytes, 1, 96, f);
    for (uint32_t idx = 1; idx < 128; idx++) {
        const uint8_t *page = d->bytes + (size_t)idx * 4096;
        size_t n = 4088;
        while (n > 0 && page[n - 1] == 0)
            n--;
        if (n == 0)
            continue;
        struct le16 head[2] = {ash_le16((uint16_t)idx), ash_le16((uint16_t)n)};
        fwrite(head, sizeof(head), 1, f);
        fwrite(page + 4088, 1, 4, f);
        fwrite(page, 1, n, f);
    }
    fclose(f);
}

static void half_done(struct mkdisk *d, const char *attr)
{
    uint64_t id = lvs_blob_id(8);
    struct mkpage p = mkpage_begin(d, 8, id, 0);

    mkpage_flags(&p, 5, 0, 0);
    mkpage_names(&p, "new", 8);
    mkpage_id_xattr(&p, attr, lvs_blob_id(1));
    mkpage_xattr(&p, true, "EXTSNAP", "11111111-2222-3333-4444-555555555555", 37);
    mkpage_end(&p, 20);
    p = mkpage_begin(d, 20, id, 1);
    mkpage_table(&p, 3, (uint32_t[]){2, 1}, 1);
    mkpage_end(&p, LVS_INVALID_PAGE);
}

int main(int argc, char **argv)
{
    struct mkdisk d;

    if (argc != 2)
        return 2;
    mkdisk_init(&d, true);
    write_seed(argv[1], "clean", 4, &d);
    write_seed(argv[1], "clean-quick", 8, &d);
    mkdisk_fini(&d);
    mkdisk_init(&d, false);
    write_seed(argv[1], "dirty", 4, &d);
    half_done(&d, LVS_XATTR_SNAPTMP);
    write_seed(argv[1], "snaptmp", 4, &d);
    half_done(&d, LVS_XATTR_SNAPRM);
    write_seed(argv[1], "snaprm", 4, &d);
    memset(mkdisk_super(&d)->bstype, 0, 16);
    mkdisk_super(&d)->version = ash_le32(1);
    write_seed(argv[1], "version1", 0, &d);
    mkdisk_fini(&d);
    mkdisk_init(&d, false);
    mkpage_extents(&d, 0, lvs_blob_id(3), 512, (uint32_t[]){20}, 1, 88);
    mkpage_extents(&d, 2, lvs_blob_id(1), 0, (uint32_t[]){1, 8, 8}, 3, 3);
    write_seed(argv[1], "lost-and-crossed", 4, &d);
    mkdisk_fini(&d);
    return 0;
}
