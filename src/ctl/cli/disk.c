/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/cli/disk.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

/* The path of "aio:///p", "uring:///p" or a plain path; NULL: another kind of device. */
static const char *path_of(const char *uri)
{
    static const char *const schemes[] = {"aio://", "uring://", "file://"};
    for (size_t i = 0; i < ASH_N_ELEMS(schemes); i++) {
        if (ash_starts_with(uri, schemes[i]) && uri[strlen(schemes[i])] == '/')
            return uri + strlen(schemes[i]);
    }
    return uri[0] == '/' ? uri : NULL;
}

static int open_file(const char *path, unsigned flags, struct cli_disk *d, struct ash_err *err)
{
    struct ash_err first = {.reason = ASH_OK};
    unsigned mode = RT_FILE_LOCK | (flags & CLI_DISK_WRITE ? 0 : RT_FILE_RDONLY);
    int rc = rt_file_open(path, mode, &d->file, &first);
    if (rc && first.reason == ASH_E_RT_FILE_BUSY && (flags & CLI_DISK_EVEN_IN_USE)) {
        ash_err_clear(&first);
        d->in_use = true;
        rc = rt_file_open(path, mode & ~RT_FILE_LOCK, &d->file, &first);
    }
    struct rt_file_info info;
    if (!rc)
        rc = rt_file_info(d->file, &info);
    if (rc) {
        if (first.reason == ASH_OK)
            ash_err_set_rc(&first, rc, ASH_E_RT_FILE_OPEN, path, "%s: %s", path, ash_strerror(rc));
        if (err && err->reason == ASH_OK)
            *err = first;
        return rc;
    }
    d->size_bytes = info.size_bytes;
    d->block_bytes = info.logical_block_bytes ? info.logical_block_bytes : 512;
    return 0;
}

static int open_bdev(const char *uri, unsigned flags, struct cli_disk *d, struct ash_err *err)
{
    struct ash_engine_opts opts = {.no_auto_examine = true, .pools_read_only = true};
    char *name = NULL;
    int rc = ash_engine_create(&opts, &d->engine, err);
    if (!rc)
        rc = bdev_create_uri(ash_engine_bdevs(d->engine), uri, &name, err);
    if (!rc)
        rc = bdev_open(ash_engine_bdevs(d->engine), name,
                       flags & CLI_DISK_WRITE ? BDEV_OPEN_WRITE | BDEV_OPEN_UNALIGNED
                                              : BDEV_OPEN_READ | BDEV_OPEN_UNALIGNED,
                       "ashlar", NULL, NULL, &d->desc, err);
    rt_free(name);
    if (rc)
        return rc;
    d->ch = bdev_channel_get(d->desc);
    if (!d->ch)
        return ash_err_set(err, ASH_E_NO_MEMORY, uri, "%s: no memory for a channel", uri);
    d->size_bytes = bdev_desc_bdev(d->desc)->size_bytes;
    d->block_bytes = bdev_desc_bdev(d->desc)->block_bytes;
    return 0;
}

int cli_disk_open(struct cli *cli, const char *disk, unsigned flags, struct cli_disk *ret,
                  struct ash_err *err)
{
    ASH_CLEANUP(ash_buf_free) struct ash_buf uri = {0};
    *ret = (struct cli_disk){0};
    int rc = cli_disk_uri(cli, disk, &uri, err);
    if (rc)
        return rc;
    char *text = uri.data;
    const char *path = path_of(text);
    if (!path)
        return open_bdev(text, flags, ret, err);
    if (strstr(text, "://")) {
        text[strcspn(text, "?")] = '\0';
        if (ash_percent_decode(text, false))
            return ash_err_set(err, ASH_E_BDEV_URI_SYNTAX, disk, "%s: a broken %% escape", disk);
    }
    return open_file(path, flags, ret, err);
}

void cli_disk_close(struct cli_disk *d)
{
    if (d->ch)
        bdev_channel_put(d->ch);
    if (d->desc)
        bdev_close(d->desc);
    ash_engine_destroy(d->engine);
    if (d->file)
        rt_file_close(d->file);
    *d = (struct cli_disk){0};
}

int cli_disk_read(void *disk, uint64_t offset, void *buf, size_t n_bytes)
{
    struct cli_disk *d = disk;
    size_t n_there = offset >= d->size_bytes ? 0 : ASH_MIN(n_bytes, d->size_bytes - offset);
    memset((char *)buf + n_there, 0, n_bytes - n_there);
    if (!n_there)
        return 0;
    if (d->file)
        return rt_file_read(d->file, buf, n_there, offset);
    return bdev_read(d->ch, buf, offset, n_there);
}

int cli_disk_write(void *disk, uint64_t offset, const void *buf, size_t n_bytes)
{
    struct cli_disk *d = disk;
    if (offset > d->size_bytes || n_bytes > d->size_bytes - offset)
        return -EINVAL;
    return d->file ? rt_file_write(d->file, buf, n_bytes, offset)
                   : bdev_write(d->ch, buf, offset, n_bytes, 0);
}

int cli_disk_flush(void *disk)
{
    struct cli_disk *d = disk;
    return d->file ? rt_file_sync(d->file) : bdev_flush(d->ch);
}

/* ------------------------------------------------------------ signatures */

#define HEAD_BYTES (512u << 10)
#define TAIL_BYTES (64u << 10)

static const struct {
    const char *kind;
    uint32_t offset;
    uint8_t n_bytes;
    const char *bytes;
} signatures[] = {
    {"blobstore", 0, 8, "SPDKBLOB"},
    {"luks", 0, 6, "LUKS\xba\xbe"},
    {"qcow2", 0, 4, "QFI\xfb"},
    {"vmdk", 0, 4, "KDMV"},
    {"vhdx", 0, 8, "vhdxfile"},
    {"vhd", 0, 8, "conectix"},
    {"vdi", 64, 4, "\x7f\x10\xda\xbe"},
    {"xfs", 0, 4, "XFSB"},
    {"squashfs", 0, 4, "hsqs"},
    {"ext4", 1080, 2, "\x53\xef"},
    {"f2fs", 1024, 4, "\x10\x20\xf5\xf2"},
    {"btrfs", 65600, 8, "_BHRfS_M"},
    {"bcachefs", 4120, 8, "\xc6\x85\x73\xf6\x66\xce\x90\xa9"},
    {"bcache", 4120, 8, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca"},
    {"md-raid", 4096, 4, "\xfc\x4e\x2b\xa9"},
    {"md-raid", 0, 4, "\xfc\x4e\x2b\xa9"},
    {"swap", 4086, 10, "SWAPSPACE2"},
    {"swap", 65526, 10, "SWAPSPACE2"},
    {"ntfs", 3, 8, "NTFS    "},
    {"exfat", 3, 8, "EXFAT   "},
    {"vfat", 82, 8, "FAT32   "},
    {"vfat", 54, 5, "FAT16"},
    {"vfat", 54, 5, "FAT12"},
    {"iso9660", 32769, 5, "CD001"},
    {"drbd", 4096, 4, "\x83\x74\x02\x6b"},
    {"gpt", 512, 8, "EFI PART"},
    {"gpt", 4096, 8, "EFI PART"},
};

static bool all_zero(const uint8_t *p, size_t n_bytes)
{
    return n_bytes == 0 || (p[0] == 0 && !memcmp(p, p + 1, n_bytes - 1));
}

/* The label stands in one of the first four sectors; the UUID of the PV follows its header. */
static bool is_lvm_pv(const uint8_t *head, char uuid[64])
{
    static const uint8_t cuts[] = {6, 4, 4, 4, 4, 4, 6};
    for (size_t s = 0; s < 4; s++) {
        const uint8_t *label = head + s * 512;
        if (memcmp(label, "LABELONE", 8) || memcmp(label + 24, "LVM2 001", 8))
            continue;
        char *out = uuid;
        const uint8_t *p = label + 32;
        for (size_t i = 0; i < ASH_N_ELEMS(cuts); i++) {
            if (i)
                *out++ = '-';
            for (unsigned k = 0; k < cuts[i]; k++, p++)
                *out++ = *p >= 0x21 && *p < 0x7f ? (char)*p : '?';
        }
        *out = '\0';
        return true;
    }
    return false;
}

static bool is_zfs(const uint8_t *head)
{
    /* An array of uberblocks of 1 KiB each follows the first 128 KiB of a label. */
    for (size_t off = 128u << 10; off < 256u << 10; off += 1024) {
        if (!memcmp(head + off, "\x0c\xb1\xba\x00\0\0\0\0", 8) ||
            !memcmp(head + off, "\0\0\0\0\x00\xba\xb1\x0c", 8))
            return true;
    }
    return false;
}

static bool is_mbr(const uint8_t *head)
{
    if (head[510] != 0x55 || head[511] != 0xaa)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *part = head + 446 + i * 16;
        if ((part[0] == 0 || part[0] == 0x80) && part[4] && !all_zero(part + 8, 8))
            return true;
    }
    return false;
}

static const char *kind_of_head(const uint8_t *head, char uuid[64])
{
    for (size_t i = 0; i < ASH_N_ELEMS(signatures); i++) {
        if (!memcmp(head + signatures[i].offset, signatures[i].bytes, signatures[i].n_bytes))
            return signatures[i].kind;
    }
    if (is_lvm_pv(head, uuid))
        return "lvm2-pv";
    if (is_zfs(head))
        return "zfs";
    if (is_mbr(head))
        return "mbr";
    return NULL;
}

int cli_disk_sniff(struct cli_disk *d, const char **ret_kind, char uuid[64])
{
    uint8_t *head = rt_buf_get(HEAD_BYTES);
    uuid[0] = '\0';
    if (!head)
        return -ENOMEM;
    int rc = cli_disk_read(d, 0, head, HEAD_BYTES);
    const char *kind = rc ? NULL : kind_of_head(head, uuid);
    bool blank = !rc && !kind && all_zero(head, HEAD_BYTES);
    if (blank && d->size_bytes > HEAD_BYTES) {
        uint64_t from = d->size_bytes - ASH_MIN(d->size_bytes, (uint64_t)TAIL_BYTES);
        rc = cli_disk_read(d, ash_align_down(from, 4096), head, TAIL_BYTES + 4096);
        blank = !rc && all_zero(head, TAIL_BYTES + 4096);
        /* md's old format, DDF and the second GPT stand at the end. */
        for (size_t off = 0; !rc && !blank && !kind && off < TAIL_BYTES; off += 512) {
            if (!memcmp(head + off, "EFI PART", 8))
                kind = "gpt";
            else if (!memcmp(head + off, "\xfc\x4e\x2b\xa9", 4))
                kind = "md-raid";
        }
    }
    rt_buf_put(head, HEAD_BYTES);
    if (!rc)
        *ret_kind = kind ? kind : blank ? "blank" : "unknown";
    return rc;
}
