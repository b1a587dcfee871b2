/* SPDX-License-Identifier: Apache-2.0 */
#include "pool/signature.h"

#include <errno.h>
#include <string.h>

enum { HEAD_BYTES = 128 * 1024 };

static const struct pool_signature signatures[] = {
    {0, 8, "SPDKBLOB", "a blobstore", "spdk_blobstore"},
    {0, 8, "LABELONE", "an LVM2 physical volume", "LVM2_member"},
    {512, 8, "LABELONE", "an LVM2 physical volume", "LVM2_member"},
    {1024, 8, "LABELONE", "an LVM2 physical volume", "LVM2_member"},
    {1536, 8, "LABELONE", "an LVM2 physical volume", "LVM2_member"},
    {512, 8, "EFI PART", "a GPT partition table", "gpt"},
    {4096, 8, "EFI PART", "a GPT partition table", "gpt"},
    {0, 4, "XFSB", "an XFS file system", "xfs"},
    {1080, 2, "\x53\xef", "an ext2/3/4 file system", "ext4"},
    {65600, 8, "_BHRfS_M", "a Btrfs file system", "btrfs"},
    {4096, 16, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
     "a bcachefs file system", "bcache"},
    {0, 6, "LUKS\xba\xbe", "a LUKS container", "crypto_LUKS"},
    {4086, 10, "SWAPSPACE2", "swap space", "swap"},
    {0, 4, "QFI\xfb", "a qcow2 image", "qcow2"},
    {3, 8, "NTFS    ", "an NTFS file system", "ntfs"},
    {82, 5, "FAT32", "a FAT file system", "vfat"},
    {54, 5, "FAT16", "a FAT file system", "vfat"},
    {4096, 4, "\xfc\x4e\x2b\xa9", "a member of an MD RAID", "linux_raid_member"},
    {0, 4, "\xfc\x4e\x2b\xa9", "a member of an MD RAID", "linux_raid_member"},
    {0, 4, "hsqs", "a squashfs", "squashfs"},
    {32769, 5, "CD001", "an ISO 9660 file system", "iso9660"},
    {1024, 4, "\x10\x20\xf5\xf2", "an F2FS file system", "f2fs"},
    {510, 2, "\x55\xaa", "a partition table or boot sector", "dos"},
};

const struct pool_signature *pool_signature_in(const uint8_t *head, bool not_lvm)
{
    for (size_t i = 0; i < ASH_N_ELEMS(signatures); i++) {
        const struct pool_signature *s = &signatures[i];
        bool is_lvm = strcmp(s->bytes, "LABELONE") == 0;
        if (!(not_lvm && is_lvm) && memcmp(head + s->offset, s->bytes, s->n_bytes) == 0)
            return s;
    }
    return NULL;
}

int pool_signature_find(struct bdev_channel *ch, bool not_lvm, const struct pool_signature **ret)
{
    struct bdev *bdev = ch->bdev;
    uint64_t n = ASH_MIN(bdev->size_bytes, (uint64_t)HEAD_BYTES);
    n -= n % bdev->block_bytes;
    uint8_t *head = rt_buf_get(HEAD_BYTES);
    if (!head)
        return -ENOMEM;
    memset(head, 0, HEAD_BYTES);
    int rc = bdev_read(ch, head, 0, n);
    *ret = rc == 0 ? pool_signature_in(head, not_lvm) : NULL;
    rt_buf_put(head, HEAD_BYTES);
    return rc;
}

int pool_signature(struct bdev_channel *ch, const char **ret_what)
{
    const struct pool_signature *s;
    int rc = pool_signature_find(ch, false, &s);
    *ret_what = rc == 0 && s ? s->what : NULL;
    return rc;
}
