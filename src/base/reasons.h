/* SPDX-License-Identifier: Apache-2.0 */
/* The one list of reasons: X(name, errno, what it means, what to do). No include guard: it is
 * included with different X. Keep each group together and add new reasons to its end. */

/* general */
X(NO_MEMORY, ENOMEM, "memory ran out", "raise the memory limit or stop other work, then try again")
X(BAD_ARGUMENT, EINVAL, "an argument has a value that cannot be used",
  "see the message and the manual page of the command")
X(BAD_SIZE, EINVAL, "a size could not be read", "write sizes as 512, 64K, 1MiB, 10G")
X(BAD_UUID, EINVAL, "a UUID could not be read", "write it as 8-4-4-4-12 hexadecimal digits")
X(BAD_NAME, EINVAL, "a name is empty, too long or holds a character that is not allowed",
  "use 1 to 63 bytes without '/'")
X(UNKNOWN_PARAMETER, EINVAL, "a parameter is not known here",
  "see the list of parameters in the help")
X(MISSING_PARAMETER, EINVAL, "a required parameter was not given",
  "see the list of parameters in the help")
X(DUPLICATE_PARAMETER, EINVAL, "a parameter was given twice", "give it once")
X(BAD_PARAMETER_TYPE, EINVAL, "a parameter has the wrong type or is out of range",
  "see the list of parameters in the help")
X(NOT_SUPPORTED, ENOTSUP, "the operation is not supported here",
  "see the message for what is missing")
X(INTERNAL, EIO, "something failed that should not", "report it with the log")
X(CANCELED, ECANCELED, "the operation was stopped before its end",
  "start it again if it is still wanted")
X(TIMED_OUT, ETIMEDOUT, "the operation did not end in time",
  "look at `ashlar tasks` for what it waits for")

/* runtime */
X(RT_SETUP, EIO, "the runtime could not be set up",
  "see the message; `ashlar doctor` tells what this machine offers")
X(RT_NO_URING, ENOSYS, "io_uring is not available here",
  "use the epoll back end or allow io_uring in the container's seccomp profile")
X(RT_FILE_OPEN, EIO, "a file or device could not be opened", "check the path and its permissions")
X(RT_FILE_BUSY, EBUSY, "a file or device is in use by another Ashlar process",
  "stop the other process or use its socket")
X(RT_SOCKET, EIO, "a socket could not be set up", "check address, port and permissions")
X(RT_SOCKET_BUSY, EADDRINUSE, "the address is in use",
  "choose another address or stop the other server")
X(RT_BAD_ADDRESS, EINVAL, "the address could not be read",
  "write unix:///PATH or tcp://ADDRESS:PORT")

/* block devices */
X(BDEV_NOT_FOUND, ENODEV, "no device has this name", "`ashlar rpc bdev_get_bdevs` lists devices")
X(BDEV_EXISTS, EEXIST, "the name or UUID is taken by another device",
  "choose another name or remove the other device")
X(BDEV_CLAIMED, EPERM, "the device is claimed by something else",
  "see which module holds it in bdev_get_bdevs")
X(BDEV_BUSY, EBUSY, "the device is in use", "stop what uses it first")
X(BDEV_BAD_GEOMETRY, EINVAL, "block size or size of the device cannot be used",
  "see the message for what is allowed")
X(BDEV_READ_ONLY, EROFS, "the device cannot be written", "open it for writing or use a clone")
X(BDEV_REMOVED, ENODEV, "the device is being removed", "wait until it is back")
X(BDEV_WRONG_KIND, EINVAL, "the device is of another kind than the operation wants",
  "check the name")
X(BDEV_IO, EIO, "a device failed to read or write", "check the device and the system log")
X(BDEV_URI_SYNTAX, EINVAL, "the device URI could not be parsed", "write SCHEME:///PATH?key=value")
X(BDEV_URI_SCHEME, EINVAL, "the scheme of the device URI is not known",
  "`ashlar help uri` lists the schemes")
X(BDEV_URI_INVALID, EINVAL, "the device URI is not valid for its scheme",
  "`ashlar help uri` lists what each scheme takes")
X(BDEV_URI_PARAM, EINVAL, "a parameter of the device URI could not be read",
  "`ashlar help uri` lists what each scheme takes")
X(BDEV_WRONG_UUID, EINVAL, "the device exists with another UUID",
  "leave the uuid out or use the right one")
X(BDEV_INJECT_INVALID, EINVAL, "a fault injection rule cannot be used",
  "write inject://DEVICE?domain=block&op=read&stage=compl&method=status&retries=N")
X(NVME_CONNECT, ECONNREFUSED, "a remote NVMe controller could not be reached",
  "check address, port and that the target listens there")
X(NVME_NO_SUBSYSTEM, ENODEV, "the remote target does not offer this subsystem",
  "`ashlar rpc nvme_discover` lists what a target offers")
X(NVME_HOST_REFUSED, EACCES, "the remote subsystem does not let this host in",
  "add the host NQN to the subsystem's allowed hosts, or give another with hostnqn")
X(NVME_AUTH, EACCES, "the remote subsystem and this host have not proven themselves to each other",
  "give both the same DH-HMAC-CHAP keys (keyring_file_add_key; dhchap_key, dhchap_ctrlr_key)")
X(NVME_TLS, EACCES, "there is no TLS connection to the remote controller",
  "give both sides the same key (keyring_file_add_key; psk), and its listener secure_channel")
X(NVME_KEY, EINVAL, "a key cannot be used",
  "put 'DHHC-1:...' (`nvme gen-dhchap-key` makes one), or for TLS 'NVMeTLSkey-1:...' (`nvme "
  "gen-tls-key`), in a file with mode 600 and name it with keyring_file_add_key")
X(NVME_PROTOCOL, EPROTO, "the remote controller does not keep to the protocol",
  "see the message; look at the target's log")
X(NVME_TOO_FEW_QUEUES, EUSERS, "the remote controller grants fewer I/O queues than are needed",
  "attach with a smaller num_io_queues")
X(NVME_PATHS, EUSERS, "the controller has as many paths as it can have", "detach one first")
X(NVME_EXISTS, EALREADY, "the controller, or this path of it, is attached already",
  "choose another name, or detach it first")
X(NVME_NOT_FOUND, ENODEV, "no NVMe controller has this name",
  "`ashlar rpc bdev_nvme_get_controllers` lists them")

/* pools */
X(POOL_NOT_FOUND, ENODEV, "no pool has this name or UUID", "`ashlar pool list` lists pools")
X(POOL_NAME_TAKEN, EEXIST, "another pool has this name", "choose another name")
X(POOL_NOT_BLANK, EEXIST, "the disk holds something already",
  "look at it with `ashlar look`; --force formats it")
X(POOL_UNREADABLE, EIO, "the disk could not be read to see what is on it",
  "check the disk; --force formats it anyway")
X(POOL_TOO_SMALL, ENOSPC, "the disk is smaller than one cluster",
  "use a larger disk or smaller clusters")
X(POOL_METADATA_TOO_BIG, ENOMEM, "the metadata would not fit on the disk",
  "use larger clusters or a smaller metadata ratio")
X(POOL_BAD_CLUSTER_SIZE, EINVAL, "the cluster size cannot be used",
  "use a multiple of 4096 and of the block size, at least the metadata page size")
X(POOL_BAD_MD_PAGE_SIZE, EINVAL, "the metadata page size cannot be used",
  "use a power of two from 4096 to 65536")
X(POOL_BAD_RATIO, EINVAL, "the metadata ratio cannot be used",
  "use a ratio that gives at least one page and at most 4294967294")
X(POOL_SUPER_SIGNATURE, EILSEQ, "the disk holds no blobstore",
  "check that it is the right disk with `ashlar look`")
X(POOL_SUPER_VERSION, EILSEQ, "the store has a version that is not known",
  "a newer Ashlar may read it")
X(POOL_SUPER_CRC, EILSEQ, "the super block fails its checksum",
  "restore the first 4096 bytes from a copy")
X(POOL_SUPER_GEOMETRY, EILSEQ, "the super block describes a layout that cannot be",
  "restore the first 4096 bytes from a copy")
X(POOL_SUPER_TOO_BIG, EILSEQ, "the store is larger than its disk",
  "give the disk its full size back")
X(POOL_WRONG_TYPE, ENXIO, "the blobstore holds something else than logical volumes",
  "use the program that made it")
X(POOL_NO_SUPER_BLOB, ENODEV, "the store has no readable super blob",
  "`ashlar check --repair` rebuilds it")
X(POOL_BUSY, EBUSY, "the pool is in use", "stop exports and operations on its volumes first")
X(POOL_FULL, ENOSPC, "the pool has no free cluster left",
  "delete volumes or snapshots, or grow the pool")
X(POOL_METADATA_FULL, ENOMEM, "the pool has no free metadata page left",
  "delete volumes or snapshots")
X(POOL_CANNOT_GROW, ENOSPC, "the pool cannot grow to this size",
  "its limit was fixed when it was made: max_growable_size")
X(POOL_READ_ONLY, EROFS, "the pool was opened read-only", "open it for writing")
X(POOL_IO, EIO, "metadata of the pool could not be read or written",
  "check the disk and the system log")
X(POOL_DEGRADED, EIO, "the pool has damage that must be repaired first",
  "`ashlar check` tells what; --repair mends what can be mended")

/* volumes */
X(VOLUME_NOT_FOUND, ENODEV, "no volume has this name or UUID", "`ashlar ls` lists volumes")
X(VOLUME_NAME_TAKEN, EEXIST, "another volume of the pool has this name", "choose another name")
X(VOLUME_UUID_TAKEN, EEXIST, "the UUID is taken", "choose another UUID or leave it out")
X(VOLUME_READ_ONLY, EPERM, "the volume is read-only", "make a clone and write to that")
X(VOLUME_NOT_READ_ONLY, EINVAL, "the operation wants a snapshot or a read-only volume",
  "take a snapshot first")
X(VOLUME_SOURCE_READ_ONLY, EINVAL, "a snapshot can only be taken of a writable volume",
  "clone the snapshot instead")
X(VOLUME_LOCKED, EBUSY, "another operation on the volume is running", "wait until it has ended")
X(VOLUME_OPEN, EBUSY, "the volume is in use", "remove its exports first")
X(VOLUME_HAS_CLONES, EBUSY, "the snapshot has more than one clone",
  "delete or decouple clones until one is left")
X(VOLUME_NO_PARENT, EINVAL, "the volume has no parent", "nothing to do")
X(VOLUME_NOT_THIN, EINVAL, "the operation wants a thin volume", "see the message")
X(VOLUME_PARENT_SAME, EEXIST, "this is the parent already", "nothing to do")
X(VOLUME_BAD_PARENT, EINVAL, "the volume cannot be the parent",
  "the parent must be a snapshot of the same pool and the same length")
X(VOLUME_BAD_SIZE, EINVAL, "the size cannot be used", "see the message for what is allowed")
X(VOLUME_DEGRADED, EIO, "the external parent of the volume is missing",
  "bring the parent device back")
X(VOLUME_FAULTED, EIO, "metadata of the volume is damaged", "`ashlar check` tells what is wrong")
X(VOLUME_COPY_TARGET, EINVAL, "the device cannot take the copy",
  "it must be at least as large and its blocks must fit")
X(XATTR_NOT_FOUND, ENOENT, "the volume has no attribute of this name", "list the attributes first")
X(XATTR_TOO_BIG, ENOMEM, "name and value of the attribute do not fit in a metadata page",
  "keep name plus value under 4064 bytes")

/* exports */
X(EXPORT_EXISTS, EEXIST, "an export of this name exists", "choose another name")
X(EXPORT_NOT_FOUND, ENOENT, "no export has this name", "`ashlar export list` lists exports")
X(EXPORT_LIMIT, EBUSY, "a limit on exports, listeners or connections is reached",
  "raise the limit or remove some")
X(EXPORT_BUSY, EBUSY, "the export has connected clients", "disconnect them or remove it by force")
X(EXPORT_NO_FUSE, EOPNOTSUPP, "this build cannot show volumes as files",
  "install libfuse3's development files and build again")
X(EXPORT_MOUNT, EIO, "the file system could not be mounted",
  "the folder must exist; /dev/fuse and, for others than root, fusermount3 are needed")

/* LVM2 */
X(LVM_NO_LABEL, ENOENT, "the device is no LVM2 physical volume", "check the path, or run pvcreate")
X(LVM_LABEL_SECTOR, EINVAL, "an LVM2 label says it is in another sector than it is",
  "was the disk copied to another offset? A good label may be further on")
X(LVM_LABEL_CRC, EINVAL, "the checksum of an LVM2 label is wrong",
  "restore it: pvcreate --uuid UUID --restorefile BACKUP")
X(LVM_LABEL_TYPE, EINVAL, "the label is of an obsolete LVM format",
  "convert it with an old release of lvm2")
X(LVM_LABEL_OFFSET, EINVAL, "the PV header does not lie in the label's sector",
  "restore it: pvcreate --uuid UUID --restorefile BACKUP")
X(LVM_PV_UUID, EINVAL, "the UUID of a physical volume is malformed",
  "restore it: pvcreate --uuid UUID --restorefile BACKUP")
X(LVM_PV_AREAS, EINVAL, "a list of areas of a physical volume is malformed",
  "has the device become smaller? Else restore the label from a backup")
X(LVM_MDA_CRC, EIO, "the checksum of a metadata area's header is wrong",
  "vgck --updatemetadata repairs it from the other areas")
X(LVM_MDA_MAGIC, EIO, "a metadata area's header has no magic number",
  "pvck tells more; other areas may be good")
X(LVM_MDA_VERSION, EIO, "a metadata area is of an unknown version",
  "pvck tells more; other areas may be good")
X(LVM_MDA_START, EIO, "a metadata area's header says it is elsewhere",
  "pvck tells more; other areas may be good")
X(LVM_MDA_SIZE, EIO, "the size in a metadata area's header is impossible",
  "pvck tells more; other areas may be good")
X(LVM_MDA_LOCATION, EIO, "a metadata area says its text is where none can be",
  "vgck --updatemetadata repairs it from the other areas")
X(LVM_MDA_FULL, ENOSPC, "the text of the volume group does not fit in a metadata area",
  "remove volumes or tags, or use PVs with larger areas (--metadatasize)")
X(LVM_TEXT_CRC, EIO, "the checksum of a volume group's text is wrong",
  "vgck --updatemetadata repairs it from the other areas")
X(LVM_TEXT_SYNTAX, EINVAL, "a text in LVM2's configuration language could not be read",
  "see line and column in the message")
X(LVM_TEXT_CONTENTS, EINVAL, "the text is none of a volume group", "check the file")
X(LVM_TEXT_MISSING, EINVAL, "the text of a volume group lacks something", "see the message")
X(LVM_TEXT_VALUE, EINVAL, "the text of a volume group holds a value that cannot be",
  "see the message")
X(LVM_TEXT_STATUS, ENOTSUP, "the text of a volume group has a status that is not known here",
  "it was written by a newer release; use that")
X(LVM_NAME, EINVAL, "a name of a volume group or logical volume is invalid or taken",
  "use 1 to 127 of a-z A-Z 0-9 + _ . - and no '-' at the begin")
X(LVM_SEGMENTS, EINVAL, "the segments of a logical volume do not cover it exactly",
  "restore the volume group from a backup: vgcfgrestore")
X(LVM_AREA, EINVAL, "a segment refers to something that is not there",
  "restore the volume group from a backup: vgcfgrestore")
X(LVM_PE_TWICE, EINVAL, "two segments use the same physical extent",
  "restore the volume group from a backup: vgcfgrestore")
X(LVM_PV_SIZE, EINVAL, "the device is too small for a physical volume", "use at least 2 MiB")
X(LVM_PV_LAYOUT, EINVAL, "metadata areas, alignment and data do not fit on the device",
  "ask for less: --metadatasize, --dataalignment, --pvmetadatacopies")
X(LVM_NO_AREAS, ENXIO, "no metadata area of the volume group can be written",
  "repair one with vgck --updatemetadata, or pvchange --metadataignore n")
X(LVM_VG_FOREIGN, EPERM, "the volume group belongs to another host (system ID)",
  "change it there, or export it there and import it here")
X(LVM_VG_LOCK_TYPE, EPERM, "the volume group is shared by a lock manager",
  "change it with lvm2 and lvmlockd")
X(LVM_VG_EXPORTED, EPERM, "the volume group is exported", "vgimport it first")
X(LVM_VG_READ_ONLY, EPERM, "the volume group is read-only", "lvm2 must make it writable first")
X(LVM_VG_DUPLICATES, EPERM, "a physical volume of the volume group is there twice",
  "take one of the two away, or give it new UUIDs: vgimportclone")
X(LVM_VG_UNKNOWN, EPERM, "the volume group has segments of a type that is not known here",
  "change it with the release that made them")
X(LVM_NO_SPACE, ENOSPC, "the volume group has too few free extents",
  "add a physical volume (vgextend), or ask for less")
X(LVM_NO_FIT, ENOSPC, "free extents lie so that the allocation policy cannot use them",
  "ask for another policy (--alloc), fewer stripes, or name physical volumes")
X(LVM_VG_PARTIAL, EPERM, "the volume group lacks physical volumes",
  "bring them back, or vgreduce --removemissing, or vgextend --restoremissing")
X(LVM_LV_TYPE, ENOTSUP, "a logical volume is of a type that cannot be opened",
  "linear, striped, zero, error, mirror and raid LVs can")
X(LVM_LV_PARTIAL, EIO, "a logical volume has data on physical volumes that are missing",
  "give all its devices")
X(LVM_RAID, EINVAL, "what a raid set's legs say of it does not fit together",
  "check that the devices are of one volume group")
X(LVM_LV_NOT_FOUND, ENOENT, "there is no such logical volume", "list them with `ashlar lvm lvs`")

/* control */
X(RPC_CONNECT, EIO, "the daemon does not answer on its socket",
  "start it with `ashlar serve` or give its socket with -r")
X(RPC_PROTOCOL, EIO, "the answer of the daemon could not be read",
  "check that it is Ashlar or SPDK that answers on the socket")
X(RPC_PARSE, EINVAL, "the request is not valid JSON", "check the JSON")
X(RPC_METHOD, ENOSYS, "the method is not known", "`ashlar rpc rpc_get_methods` lists methods")
X(CONFIG_SYNTAX, EINVAL, "the configuration file could not be read", "see the line in the message")
X(USAGE, EINVAL, "the command line could not be understood", "see `ashlar help`")
X(REFUSED, EPERM, "the command destroys data and was not confirmed",
  "look first, then give --yes or --force")
