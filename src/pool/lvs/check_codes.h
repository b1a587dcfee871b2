/* SPDX-License-Identifier: Apache-2.0 */
/* The one list of findings: X(name, code, severity in a clean store, in a dirty one, repairable,
 * what it means). No include guard: it is included with different X. What a load of a dirty store
 * settles by itself is INFO there (docs/spec/blobstore-format.md 11.3-11.5, 17). */

/* super block (17 item 1) */
X(SUPER_SIGNATURE, "LVS-SUPER-SIGNATURE", ERROR, ERROR, 0, "the disk holds no blobstore")
X(SUPER_VERSION, "LVS-SUPER-VERSION", ERROR, ERROR, 0, "the version is not 1, 2 or 3")
X(SUPER_CRC, "LVS-SUPER-CRC", ERROR, ERROR, 0, "the super block's checksum is wrong")
X(SUPER_SIZE, "LVS-SUPER-SIZE", ERROR, ERROR, 0, "the store is larger than the device")
X(SUPER_GEOMETRY, "LVS-SUPER-GEOMETRY", ERROR, ERROR, 0,
  "cluster, page or block size cannot be right")
X(SUPER_REGIONS, "LVS-SUPER-REGIONS", ERROR, ERROR, 0,
  "the regions overlap, are too short or leave the device")
X(SUPER_BSTYPE, "LVS-SUPER-BSTYPE", INFO, INFO, 0, "a blobstore, but not an lvstore")
X(SUPER_BLOCK, "LVS-SUPER-BLOCK", INFO, INFO, 0,
  "blocks of the device are larger than those of the volumes")

/* reading */
X(READ_ERROR, "LVS-READ-ERROR", ERROR, ERROR, 0, "metadata could not be read from the device")
X(TOO_DAMAGED, "LVS-TOO-DAMAGED", ERROR, ERROR, 0,
  "so many clusters are claimed twice that the walk was cut short")

/* masks (items 2 and 12) */
X(MASK_HEADER, "LVS-MASK-HEADER", WARNING, INFO, 1, "a mask has the wrong type or length")
X(MASK_LONG, "LVS-MASK-LONG", INFO, INFO, 1, "the cluster mask is longer than the store")
X(MASK_PAGE_LOST, "LVS-MASK-PAGE-LOST", ERROR, INFO, 1, "a page in use is marked free")
X(MASK_PAGE_LEAK, "LVS-MASK-PAGE-LEAK", WARNING, INFO, 1, "a page that nobody uses is marked used")
X(MASK_CLUSTER_LOST, "LVS-MASK-CLUSTER-LOST", ERROR, INFO, 1, "a cluster in use is marked free")
X(MASK_CLUSTER_LEAK, "LVS-MASK-CLUSTER-LEAK", WARNING, INFO, 1,
  "a cluster that nobody owns is marked used")
X(MASK_BLOBID_LOST, "LVS-MASK-BLOBID-LOST", ERROR, INFO, 1, "a blob is missing in the blob mask")
X(MASK_BLOBID_LEAK, "LVS-MASK-BLOBID-LEAK", WARNING, INFO, 1, "the blob mask names an erased page")

/* roots and chains (items 3 and 4) */
X(ROOT_CRC, "LVS-ROOT-CRC", ERROR, ERROR, 0, "the root page of a blob is damaged")
X(ROOT_FOREIGN, "LVS-ROOT-FOREIGN", ERROR, ERROR, 0, "the root page of a blob holds another page")
X(CHAIN_NEXT, "LVS-CHAIN-NEXT", ERROR, ERROR, 0, "a chain leads out of the metadata")
X(CHAIN_CRC, "LVS-CHAIN-CRC", ERROR, ERROR, 0, "a page of a chain is damaged or erased")
X(CHAIN_ID, "LVS-CHAIN-ID", ERROR, ERROR, 0, "a page of a chain belongs to another blob")
X(CHAIN_SEQ, "LVS-CHAIN-SEQ", ERROR, ERROR, 0, "a page of a chain has the wrong number")
X(CHAIN_LOOP, "LVS-CHAIN-LOOP", ERROR, ERROR, 0, "a chain comes back to itself")
X(CHAIN_SHARED, "LVS-CHAIN-SHARED", ERROR, ERROR, 0, "a page is in two chains")

/* descriptors (items 3, 5 and 6) */
X(DESC_LENGTH, "LVS-DESC-LENGTH", ERROR, ERROR, 0, "a descriptor leaves its page")
X(DESC_UNKNOWN, "LVS-DESC-UNKNOWN", WARNING, WARNING, 0,
  "a descriptor of an unknown type (SPDK refuses such a store when it is dirty)")
X(FLAGS_BAD, "LVS-FLAGS-BAD", ERROR, ERROR, 0, "the flags are not first, not once or too short")
X(FLAGS_INVALID, "LVS-FLAGS-INVALID", ERROR, ERROR, 0,
  "a flag of a newer version forbids to open the blob")
X(FLAGS_RO, "LVS-FLAGS-RO", INFO, INFO, 0, "a flag of a newer version makes the blob read-only")
X(XATTR_LENGTH, "LVS-XATTR-LENGTH", ERROR, ERROR, 0, "the lengths of an attribute disagree")
X(XATTR_DUP, "LVS-XATTR-DUP", ERROR, ERROR, 0, "an attribute occurs twice")
X(XATTR_INTERNAL, "LVS-XATTR-INTERNAL", ERROR, ERROR, 0, "an internal attribute has a bad value")
X(MAP_MIXED, "LVS-MAP-MIXED", ERROR, ERROR, 0, "a blob has RLE runs and an extent table")
X(RLE_LENGTH, "LVS-RLE-LENGTH", ERROR, ERROR, 0, "a list of RLE runs has a bad length")
X(TABLE_LENGTH, "LVS-TABLE-LENGTH", ERROR, ERROR, 0, "an extent table has a bad length")
X(TABLE_CLUSTERS, "LVS-TABLE-CLUSTERS", ERROR, ERROR, 0, "extent tables of a blob disagree")
X(TABLE_ENTRY, "LVS-TABLE-ENTRY", ERROR, ERROR, 0, "an entry of an extent table has a bad count")
X(TABLE_COUNT, "LVS-TABLE-COUNT", ERROR, ERROR, 0,
  "an extent table has not as many entries as the blob has windows")
X(TABLE_PAGE, "LVS-TABLE-PAGE", ERROR, ERROR, 0,
  "an extent table names a page that cannot be an extent page")
X(BLOB_SIZE, "LVS-BLOB-SIZE", ERROR, ERROR, 0, "the size of a blob cannot be right")

/* extent pages and clusters (items 6 to 9) */
X(EXTPAGE_CRC, "LVS-EXTPAGE-CRC", ERROR, ERROR, 0, "an extent page is damaged or erased")
X(EXTPAGE_FORM, "LVS-EXTPAGE-FORM", ERROR, ERROR, 0, "a page is not a well-formed extent page")
X(EXTPAGE_START, "LVS-EXTPAGE-START", ERROR, ERROR, 0, "an extent page is of another window")
X(EXTPAGE_LENGTH, "LVS-EXTPAGE-LENGTH", WARNING, INFO, 1,
  "an extent page has too few or too many entries")
X(EXTPAGE_TAIL, "LVS-EXTPAGE-TAIL", WARNING, INFO, 1, "old bytes follow in an extent page")
X(EXTPAGE_SHARED, "LVS-EXTPAGE-SHARED", ERROR, ERROR, 1, "an extent page has two owners")
X(THICK_HOLE, "LVS-THICK-HOLE", ERROR, ERROR, 0, "a thick volume lacks clusters")
X(THICK_SHORT, "LVS-THICK-SHORT", ERROR, INFO, 1, "a thick volume was being shrunk")
X(CLUSTER_RANGE, "LVS-CLUSTER-RANGE", ERROR, ERROR, 0, "a cluster lies beyond the end")
X(CLUSTER_MD, "LVS-CLUSTER-MD", ERROR, ERROR, 0, "a cluster lies in the metadata")
X(CLUSTER_CROSSLINK, "LVS-CLUSTER-CROSSLINK", ERROR, ERROR, 1, "a cluster has two owners")

/* relations (items 10 and 11) */
X(PARENT_MISSING, "LVS-PARENT-MISSING", ERROR, ERROR, 0, "the parent of a clone does not exist")
X(PARENT_WRITABLE, "LVS-PARENT-WRITABLE", ERROR, ERROR, 0, "the parent of a clone is not read-only")
X(PARENT_CYCLE, "LVS-PARENT-CYCLE", ERROR, ERROR, 0, "a blob is its own ancestor")
X(PARENT_FAULTED, "LVS-PARENT-FAULTED", ERROR, ERROR, 0, "the parent of a clone is faulted")
X(ESNAP_ID, "LVS-ESNAP-ID", ERROR, ERROR, 0, "an external clone does not name its device")
X(ESNAP_STALE, "LVS-ESNAP-STALE", INFO, INFO, 0, "an external clone has an old parent attribute")
X(HALF_SNAPSHOT, "LVS-HALF-SNAPSHOT", ERROR, INFO, 1, "a snapshot was being created")
X(HALF_DELETE, "LVS-HALF-DELETE", ERROR, INFO, 1, "a snapshot was being deleted")
X(HALF_UNKNOWN, "LVS-HALF-UNKNOWN", ERROR, ERROR, 0,
  "a snapshot was being created or deleted and its counterpart is missing")

/* lvstore (item 13) */
X(STORE_LOST, "LVS-STORE-LOST", ERROR, ERROR, 1, "the super blob is lost")
X(STORE_UUID, "LVS-STORE-UUID", ERROR, ERROR, 1, "the store has no UUID")
X(STORE_NAME, "LVS-STORE-NAME", ERROR, ERROR, 1, "the store has no usable name")
X(NAME_MISSING, "LVS-NAME-MISSING", WARNING, WARNING, 1, "a volume has no name")
X(NAME_LONG, "LVS-NAME-LONG", WARNING, WARNING, 1, "a volume's name is longer than 63 bytes")
X(NAME_DUP, "LVS-NAME-DUP", WARNING, WARNING, 1, "two volumes have the same name")
X(UUID_BAD, "LVS-UUID-BAD", WARNING, WARNING, 0, "a volume has no valid UUID")
X(UUID_DUP, "LVS-UUID-DUP", WARNING, WARNING, 0, "two volumes have the same UUID")

/* the rest (items 14 and 15) */
X(PAGE_UNREFERENCED, "LVS-PAGE-UNREFERENCED", INFO, INFO, 0, "a valid page that nobody refers to")
X(PAGE_GARBAGE, "LVS-PAGE-GARBAGE", INFO, INFO, 0, "a page that is neither erased nor metadata")
X(FREE_COUNT, "LVS-FREE-COUNT", ERROR, ERROR, 0,
  "the engine counts another number of free clusters")
