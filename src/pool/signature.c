/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/signature.h"

#include <errno.h>
#include <string.h>

enum { HEAD_BYTES = 128 * 1024 };

static const struct {
    uint32_t offset;
    uint8_t n;
    const char *bytes;
    const char *what;
} signatures[] = {
    {0, 8, "SPDKBLOB", "a blobstore"},
    {0, 8, "LABELONE", "an LVM2 physical volume"},
    {512, 8, "LABELONE", "an LVM2 physical volume"},
    {1024, 8, "LABELONE", "an LVM2 physical volume"},
    {1536, 8, "LABELONE", "an LVM2 physical volume"},
    {512, 8, "EFI PART", "a GPT partition table"},
    {4096, 8, "EFI PART", "a GPT partition table"},
    {0, 4, "XFSB", "an XFS file system"},
    {1080, 2, "\x53\xef", "an ext2/3/4 file system"},
    {65600, 8, "_BHRfS_M", "a Btrfs file system"},
    {4096, 16, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
     "a bcachefs file system"},
    {0, 6, "LUKS\xba\xbe", "a LUKS container"},
    {4086, 10, "SWAPSPACE2", "swap space"},
    {0, 4, "QFI\xfb", "a qcow2 image"},
    {3, 8, "NTFS    ", "an NTFS file system"},
    {82, 5, "FAT32", "a FAT file system"},
    {54, 5, "FAT16", "a FAT file system"},
    {4096, 4, "\xfc\x4e\x2b\xa9", "a member of an MD RAID"},
    {0, 4, "\xfc\x4e\x2b\xa9", "a member of an MD RAID"},
    {0, 4, "hsqs", "a squashfs"},
    {32769, 5, "CD001", "an ISO 9660 file system"},
    {1024, 4, "\x10\x20\xf5\xf2", "an F2FS file system"},
    {510, 2, "\x55\xaa", "a partition table or boot sector"},
};

int pool_signature(struct bdev_channel *ch, const char **ret_what)
{
    struct bdev *bdev = ch->bdev;
    uint64_t n = ASH_MIN(bdev->size_bytes, (uint64_t)HEAD_BYTES);
    n -= n % bdev->block_bytes;
    uint8_t *head = rt_buf_get(HEAD_BYTES);
    if (!head)
        return -ENOMEM;
    memset(head, 0, HEAD_BYTES);
    int rc = bdev_read(ch, head, 0, n);
    *ret_what = NULL;
    for (size_t i = 0; i < ASH_N_ELEMS(signatures) && rc == 0 && !*ret_what; i++)
        if (memcmp(head + signatures[i].offset, signatures[i].bytes, signatures[i].n) == 0)
            *ret_what = signatures[i].what;
    rt_buf_put(head, HEAD_BYTES);
    return rc;
}
