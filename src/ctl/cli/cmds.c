/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands. Order is that of `ashlar help` (groups in help.c name first and last). */
#include "ctl/cli/cmd.h"

static const struct cli_opt serve_opts[] = {
    {"socket", 'r', "SOCKET",
     "control socket (default: /var/tmp/spdk.sock for root, else $XDG_RUNTIME_DIR/ashlar.sock)"},
    {"config", 'c', "FILE", "configuration: SPDK's JSON, or TOML when it ends in .toml"},
    {"json", 0, "FILE", "same as --config", CLI_O_HIDDEN},
    {"json-ignore-init-errors", 0, NULL, "go on after entries of a JSON configuration that fail"},
    {"disk", 'd', "DISK", "open this disk (path or URI); may be repeated", CLI_O_MULTI},
    {"nbd", 0, "URI", "NBD listener, unix:///PATH or tcp://ADDRESS:PORT; may be repeated",
     CLI_O_MULTI},
    {"export", 0, "POOL/VOLUME[=NAME]", "export a volume over NBD; may be repeated", CLI_O_MULTI},
    {"nvmf", 0, "URI",
     "where `ashlar share` makes volumes reachable over NVMe/TCP (default tcp://127.0.0.1:8420)"},
    {"wait-for-rpc", 0, NULL, "do nothing until the RPC framework_start_init"},
    {"rpcs-allowed", 0, "LIST", "methods that exist, comma separated (default: all)"},
    /* Options of spdk_tgt that have no meaning here. */
    {"cpumask", 'm', "MASK", "accepted for SPDK's sake", CLI_O_HIDDEN},
    {"mem-size", 's', "MB", "accepted for SPDK's sake", CLI_O_HIDDEN},
    {"no-huge", 0, NULL, "accepted for SPDK's sake", CLI_O_HIDDEN},
    {"no-pci", 'u', NULL, "accepted for SPDK's sake", CLI_O_HIDDEN},
    {"shm-id", 'i', "N", "accepted for SPDK's sake", CLI_O_HIDDEN},
    {"logflag", 'L', "FLAG", "accepted for SPDK's sake", CLI_O_HIDDEN | CLI_O_MULTI},
    {"tpoint-group", 'e', "MASK", "accepted for SPDK's sake", CLI_O_HIDDEN},
    {"silence-noticelog", 0, NULL, "accepted for SPDK's sake", CLI_O_HIDDEN},
    {NULL},
};
static const struct cli_opt check_opts[] = {
    {"repair", 0, NULL, "mend what can be mended, then check again"},
    {"name", 0, "NAME", "with --repair: name of the pool when the disk has lost it"},
    {NULL},
};
static const struct cli_opt copy_opts[] = {
    {"force", 'f', NULL, "overwrite a block device"},
    {NULL},
};
static const struct cli_opt run_opts[] = {
    {"read-only", 0, NULL, "export read-only; the disks are opened read-only too"},
    {NULL},
};
static const struct cli_opt demo_opts[] = {
    {"dir", 0, "DIR", "where the disk image and the sockets are (default: the state folder)"},
    {"socket", 'r', "SOCKET", "control socket (default: demo.sock in that folder)"},
    {NULL},
};
static const struct cli_opt bench_opts[] = {
    {"rw", 0, "read|write|rw|randread|randwrite|randrw", "what to do", CLI_O_REQUIRED},
    {"bs", 'b', "SIZE", "bytes of one request (default 4K)"},
    {"qd", 'q', "N", "requests in flight, of each job (default 32)"},
    {"time", 't', "N", "seconds (default 5)"},
    {"jobs", 'j', "N", "jobs, spread over the reactors (default 1)"},
    {"ios", 0, "N", "stop after so many requests of each job"},
    {"size", 0, "SIZE", "use only the first part of the target"},
    {"read-percent", 0, "N", "reads among rw and randrw (default 70)"},
    {"warmup-ms", 0, "N", "not counted at the begin (default 100)"},
    {"server-pid", 0, "N", "also tell the CPU time of this process per I/O"},
    {"step", 0, "METHOD={JSON}",
     "before measuring: call a method, or with fill=BDEV write a device full; may be repeated",
     CLI_O_MULTI},
    {"nbd", 0, NULL, "drive the device through an NBD connection inside this process"},
    {"yes", 'y', NULL, "write to a disk that holds something"},
    {NULL},
};
static const struct cli_opt pool_create_opts[] = {
    {"cluster-size", 0, "SIZE", "unit of allocation (default 4M)"},
    {"md-page-size", 0, "SIZE", "metadata page, 4K to 64K (default 4K)"},
    {"md-ratio", 0, "N", "metadata pages in percent of clusters (default 100)"},
    {"clear", 0, "unmap|write_zeroes|none", "how the data area is cleared (default unmap)"},
    {"uuid", 0, "UUID", "UUID of the pool (default: random)"},
    {"force", 'f', NULL, "format whatever is on the disk"},
    {NULL},
};
static const struct cli_opt pool_import_opts[] = {
    {"name", 0, "NAME", "take this name when the pool's own is in use"},
    {"read-only", 0, NULL, "open without writing"},
    {"grow", 0, NULL, "then grow it to the size of its disk"},
    {NULL},
};
static const struct cli_opt volume_create_opts[] = {
    {"thick", 0, NULL, "allocate everything now (default: thin)"},
    {"thin", 0, NULL, "allocate when written (the default)", CLI_O_HIDDEN},
    {"clear", 0, "unmap|write_zeroes|none", "what freed clusters get (default unmap)"},
    {"uuid", 0, "UUID", "UUID of the volume (default: random)"},
    {NULL},
};
static const struct cli_opt snapshot_opts[] = {
    {"uuid", 0, "UUID", "UUID of the snapshot (default: random)"},
    {NULL},
};
static const struct cli_opt set_parent_opts[] = {
    {"bdev", 0, NULL, "PARENT is a device, not a snapshot"},
    {NULL},
};
static const struct cli_opt clone_opts[] = {
    {"bdev", 0, NULL, "SNAPSHOT is a device: clone it into POOL/NAME"},
    {"uuid", 0, "UUID", "UUID of the clone (default: random)"},
    {NULL},
};
static const struct cli_opt export_add_opts[] = {
    {"name", 0, "NAME", "name of the export (default: POOL/VOLUME)"},
    {"read-only", 0, NULL, "clients cannot write"},
    {NULL},
};
static const struct cli_opt export_remove_opts[] = {
    {"force", 'f', NULL, "also when clients are connected"},
    {NULL},
};

static const struct cli_opt share_opts[] = {
    {"allow", 0, "NQN", "only this host may connect; may be repeated (default: any host)",
     CLI_O_MULTI},
    {NULL},
};
static const struct cli_opt mount_opts[] = {
    {"name", 0, "NAME", "name of the file (default: VOLUME)"},
    {"read-only", 0, NULL, "the file cannot be written"},
    {"foreground", 'f', NULL, "stay until it is unmounted (with --disk: always)"},
    {NULL},
};
static const struct cli_opt umount_opts[] = {
    {"force", 0, NULL, "also when files are open: whoever uses them gets errors"},
    {NULL},
};

#define RO    CLI_C_READ_ONLY
#define CALL  CLI_C_DAEMON
#define LIST  (CLI_C_DAEMON | CLI_C_OUTPUT | CLI_C_READ_ONLY)
#define WRECK (CLI_C_DAEMON | CLI_C_DESTROYS)

const struct cli_cmd cli_cmds[] = {
    {"serve", "", 0, 0, CLI_C_REACTORS, serve_opts, "run the daemon",
     "Opens the disks, loads the pools on them, exports volumes over NBD and answers SPDK's "
     "JSON-RPC on the control socket (mode 0600). SIGTERM or SIGINT stop it cleanly: exports "
     "first, then pools; a second signal ends it at once. systemd is told when it is ready.\n\n"
     "A TOML configuration may hold: disks = [DISK...]; [nbd] listen = [URI...]; [[export]] "
     "volume, name, readonly; [[call]] method, params.",
     "  ashlar serve --disk /dev/vdb --nbd tcp://0.0.0.0:10809 --export tank/vol1\n"
     "  ashlar serve -c ashlar.toml",
     cli_serve},
    {"rpc", "METHOD [KEY=VALUE... | JSON]", 1, 64, CALL, NULL,
     "call one method and print its result",
     "Values that look like numbers, true, false or null are sent as such, anything else as text. "
     "KEY:=JSON sends the value as it stands.",
     "  ashlar rpc bdev_get_bdevs\n"
     "  ashlar rpc bdev_lvol_create lvs_name=tank lvol_name=v1 size_in_mib=1024",
     cli_rpc},

    {"look", "DISK...", 1, 64, CLI_C_OUTPUT, NULL, "tell what is on disks, changing nothing",
     "Names pools with their volumes, and what other systems left there (LVM, partitions, file "
     "systems). A disk that a daemon has open can be looked at too; what is shown may then be a "
     "moment old.",
     "  ashlar look /dev/vdb disk.img", cli_look},
    {"check", "DISK...", 1, 64, CLI_C_OUTPUT, check_opts, "check the metadata of pools",
     "Reads all metadata with code of its own and reports each finding with a code. Exit code 0: "
     "sound; 1: findings that are left. The disk must not be in use.",
     "  ashlar check /dev/vdb\n  ashlar check --repair disk.img", cli_check},
    {"copy", "SRC DST", 2, 2, CLI_C_DISKS, copy_opts, "copy a volume or file to another",
     "SRC and DST are POOL/VOLUME on the disks given with --disk, a path, a device URI, or '-' for "
     "standard input or output. Holes stay holes. The disks are opened read-only unless DST is a "
     "volume. Success means that the copy is on the medium.",
     "  ashlar copy --disk /dev/vdb tank/vol1 vol1.img\n"
     "  zstd -dc vol1.zst | ashlar copy --disk /dev/vdb - tank/vol1",
     cli_copy},
    {"run", "POOL/VOLUME -- COMMAND...", 1, 1, CLI_C_DISKS | CLI_C_REST, run_opts,
     "run a command with a volume exported to it",
     "Exports the volume over NBD on a private socket while the command runs and leaves with its "
     "exit code. $uri, $nbd and $unixsocket are set in its environment and replaced in its "
     "arguments; a single argument that holds blanks or shell characters runs through /bin/sh.",
     "  ashlar run --disk disk.img tank/vol1 -- nbdinfo '$uri'\n"
     "  ashlar run --disk disk.img tank/vol1 -- 'nbdcopy $uri - | sha256sum'",
     cli_run},
    {"demo", "", 0, 0, CLI_C_REACTORS, demo_opts, "try it: a pool, a volume and an NBD export",
     "Keeps a sparse 10 GiB file in $XDG_STATE_HOME/ashlar or ~/.local/state/ashlar as its disk, "
     "exports the volume demo/vol1 on a Unix socket and on 127.0.0.1:10809, and runs until "
     "Ctrl-C. The next start finds the pool again.",
     NULL, cli_demo},
    {"bench", "TARGET", 1, 1, CLI_C_DISKS | CLI_C_OUTPUT | CLI_C_REACTORS, bench_opts,
     "measure a device, a volume or an NBD server",
     "TARGET is a device URI, POOL/VOLUME with --disk, nbd://HOST[:PORT]/NAME or "
     "nbd+unix:///NAME?socket=PATH; memcpy: and memset: measure what memory alone can do. Writing "
     "overwrites what the target holds; a raw disk that is "
     "not blank wants --yes. Tells requests per second, latencies and CPU time per request.",
     "  ashlar bench malloc:///m?size_mb=512 --rw randread --qd 32 --time 5\n"
     "  ashlar bench p/v --disk malloc:///m?size_mb=512 --rw randwrite \\\n"
     "    --step 'pool_create={\"bdev\":\"m\",\"name\":\"p\"}' \\\n"
     "    --step 'bdev_lvol_create={\"lvs_name\":\"p\",\"lvol_name\":\"v\",\"size_in_mib\":256}'\n"
     "  ashlar bench nbd://127.0.0.1/vol1 --rw randwrite --bs 4K --server-pid 4711",
     cli_bench},

    {"lvm", "COMMAND [ARGUMENT]...", 0, 64, CLI_C_NO_WORLD, NULL,
     "LVM's own commands on LVM2 disks: lvs, vgs, pvs ...",
     "The commands of LVM2 by their names, with its options, output and exit codes, on files and "
     "devices, without device-mapper and without root. Also as links called lvs, vgs and so on. "
     "--devices LIST or $ASHLAR_LVM_DEVICES says which files and devices to look at. `ashlar lvm "
     "help` lists the commands.",
     "  ashlar lvm lvs --devices disk0.img:disk1.img -o+devices", cli_lvm},

    {"pool create", "NAME DISK", 2, 2, CALL, pool_create_opts, "make a pool on a blank disk",
     "The disk must be blank: one that holds anything recognisable, or cannot be read, is refused "
     "unless --force is given.",
     "  ashlar pool create tank /dev/vdb", cli_pool_create},
    {"pool import", "DISK", 1, 1, CALL, pool_import_opts, "open the pool on a disk", NULL, NULL,
     cli_pool_import},
    {"pool export", "POOL", 1, 1, CALL, NULL, "close a pool cleanly and let go of its disk", NULL,
     NULL, cli_pool_export},
    {"pool destroy", "POOL", 1, 1, WRECK, NULL, "delete a pool with all its volumes", NULL, NULL,
     cli_pool_destroy},
    {"pool grow", "POOL", 1, 1, CALL, NULL, "use the present size of the pool's disk", NULL, NULL,
     cli_pool_grow},
    {"pool rename", "POOL NEW-NAME", 2, 2, CALL, NULL, "rename a pool", NULL, NULL,
     cli_pool_rename},
    {"pool list", "", 0, 0, LIST, NULL, "list pools", NULL, NULL, cli_pool_list},
    {"pool show", "POOL", 1, 1, LIST, NULL, "tell all about one pool", NULL, NULL, cli_pool_show},

    {"volume create", "POOL/VOLUME SIZE", 2, 2, CALL, volume_create_opts, "make a volume",
     "The size is rounded up to whole clusters. A volume is thin unless --thick is given.",
     "  ashlar volume create tank/vol1 10G", cli_volume_create},
    {"volume delete", "POOL/VOLUME", 1, 1, WRECK, NULL, "delete a volume", NULL, NULL,
     cli_volume_delete},
    {"volume resize", "POOL/VOLUME SIZE", 2, 2, WRECK, NULL, "grow or shrink a volume",
     "Shrinking loses what lies past the new end and has to be confirmed.", NULL,
     cli_volume_resize},
    {"volume rename", "POOL/VOLUME NEW-NAME", 2, 2, CALL, NULL, "rename a volume", NULL, NULL,
     cli_volume_rename},
    {"volume set-read-only", "POOL/VOLUME", 1, 1, CALL, NULL, "make a volume read-only for good",
     NULL, NULL, cli_volume_set_read_only},
    {"volume inflate", "POOL/VOLUME", 1, 1, CALL, NULL,
     "allocate every cluster and part from the parent", NULL, NULL, cli_volume_inflate},
    {"volume decouple", "POOL/VOLUME", 1, 1, CALL, NULL,
     "copy what the parents hold and part from them", NULL, NULL, cli_volume_decouple},
    {"volume set-parent", "POOL/VOLUME PARENT", 2, 2, CALL, set_parent_opts,
     "give a thin volume another parent",
     "The parent is a snapshot of the same pool and size, or with --bdev any device. What the "
     "volume has not written itself is then read from the new parent.",
     NULL, cli_volume_set_parent},
    {"volume show", "POOL/VOLUME", 1, 1, LIST, NULL, "tell all about one volume", NULL, NULL,
     cli_volume_show},
    {"volume list", "[POOL]", 0, 1, LIST, NULL, "list volumes", NULL, NULL, cli_volume_list},

    {"snapshot create", "POOL/VOLUME NAME", 2, 2, CALL, snapshot_opts,
     "take a snapshot of a volume", NULL, "  ashlar snapshot create tank/vol1 monday",
     cli_snapshot_create},
    {"snapshot delete", "POOL/SNAPSHOT", 1, 1, WRECK, NULL, "delete a snapshot",
     "One clone may be left: it takes the data over. With more, decouple or delete clones first.",
     NULL, cli_snapshot_delete},
    {"snapshot list", "[POOL]", 0, 1, LIST, NULL, "list snapshots", NULL, NULL, cli_snapshot_list},
    {"clone create", "POOL/SNAPSHOT NAME", 2, 2, CALL, clone_opts,
     "make a writable clone of a snapshot", NULL,
     "  ashlar clone create tank/monday test\n"
     "  ashlar clone create --bdev aio:///golden.img tank/test",
     cli_clone_create},

    {"export add", "POOL/VOLUME", 1, 1, CALL, export_add_opts, "export a volume over NBD", NULL,
     NULL, cli_export_add},
    {"export remove", "NAME", 1, 1, CALL, export_remove_opts, "take an export away", NULL, NULL,
     cli_export_remove},
    {"export list", "", 0, 0, LIST, NULL, "list exports", NULL, NULL, cli_export_list},
    {"export listen", "URI", 1, 1, CALL, NULL, "listen for NBD clients",
     "URI is unix:///PATH or tcp://ADDRESS:PORT.", "  ashlar export listen tcp://127.0.0.1:10809",
     cli_export_listen},
    {"share", "POOL/VOLUME", 1, 1, CLI_C_DAEMON, share_opts, "export a volume over NVMe/TCP",
     "Makes the volume namespace 1 of the subsystem nqn.2019-05.io.openebs:VOLUME and prints its "
     "URI. The share is kept with the volume: it comes back whenever the daemon opens the pool. "
     "For a volume that is shared already the list of hosts is replaced.",
     "  ashlar share tank/vol1\n"
     "  nvme connect -t tcp -a 127.0.0.1 -s 8420 -n nqn.2019-05.io.openebs:vol1",
     cli_share},
    {"unshare", "POOL/VOLUME", 1, 1, CLI_C_DAEMON, NULL, "end the NVMe/TCP export of a volume",
     "Hosts are disconnected.", NULL, cli_unshare},
    {"shares", "", 0, 0, CLI_C_DAEMON | CLI_C_OUTPUT, NULL, "list volumes exported over NVMe/TCP",
     NULL, NULL, cli_shares},
    {"mount", "POOL/VOLUME DIR", 2, 2, CALL, mount_opts, "show a volume as a file, DIR/VOLUME",
     "Makes the folder DIR a FUSE file system with one file per volume; a DIR that the daemon has "
     "mounted gets one more file. With a loop device the file carries any file system, without any "
     "other kernel module. With --disk the command itself serves the file, until DIR is unmounted "
     "or Ctrl-C; unmount what stands on the file first. A punched hole gives clusters back, so "
     "fstrim works; after growing the volume tell the loop device by losetup -c.",
     "  ashlar mount tank/vol1 /mnt/ashlar\n"
     "  losetup -f --show --direct-io=on /mnt/ashlar/vol1\n"
     "  mkfs.ext4 /dev/loop0 && mount /dev/loop0 /mnt/vol1",
     cli_mount},
    {"umount", "DIR", 1, 1, CLI_C_DAEMON, umount_opts, "unmount a folder of `ashlar mount`",
     "For the daemon's mounts; one that `ashlar mount --disk` serves ends by fusermount3 -u DIR.",
     NULL, cli_umount},

    {"ls", "[POOL]", 0, 1, LIST, NULL, "list volumes", NULL, NULL, cli_volume_list},
    {"tree", "[POOL]", 0, 1, LIST, NULL,
     "show volumes below their parents, and what space is whose",
     "For each volume: its size, what it holds itself, what it reads from its parents, and what "
     "deleting it would free.",
     NULL, cli_tree},
    {"tasks", "", 0, 0, CLI_C_DAEMON | CLI_C_OUTPUT, NULL, "tell what the daemon is doing", NULL,
     NULL, cli_tasks},
    {"doctor", "", 0, 0, CLI_C_OUTPUT | CLI_C_NO_WORLD, NULL, "tell what this machine offers", NULL,
     NULL, cli_doctor},
    {"explain", "CODE", 1, 1, CLI_C_OUTPUT | CLI_C_NO_WORLD, NULL,
     "tell what a reason code means and what to do", NULL, "  ashlar explain POOL_NOT_BLANK",
     cli_explain},
    {"version", "", 0, 0, CLI_C_OUTPUT | CLI_C_NO_WORLD, NULL, "tell the version", NULL, NULL,
     cli_version},
    {"help", "[COMMAND]", 0, 2, CLI_C_NO_WORLD, NULL, "show help", NULL, NULL, cli_help},
    {"man", "[COMMAND...]", 0, 2, CLI_C_NO_WORLD | CLI_C_HIDDEN, NULL,
     "write a manual page in scdoc's form", NULL, NULL, cli_man},
    {"commands", "", 0, 0, CLI_C_NO_WORLD | CLI_C_HIDDEN, NULL, "list the commands by name", NULL,
     NULL, cli_commands},
    {NULL},
};
