#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Volumes as files: the file itself, a file system on a loop device over it, and what happens when
# devices, mounts or the daemon go away. Usage: fuse.sh [BUILD_DIR]. TAP on stdout; exit 77 when
# /dev/fuse cannot be used here. The loop part wants root and loop devices, else it is skipped.
set -u
build=${1:-build}
ashlar=$(realpath "$build/ashlar")
dir=$(mktemp -d)
mnt=$dir/m fs=$dir/fs disk=$dir/disk.img loop="" pid="" n=0 failed=0
export ASHLAR_SOCKET=$dir/rpc.sock
cleanup() {
    mountpoint -q "$fs" && umount -l "$fs"
    [ -n "$loop" ] && losetup -d "$loop" 2>/dev/null
    [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null
    mountpoint -q "$mnt" && fusermount3 -uz "$mnt"
    rm -rf "$dir"
}
trap cleanup EXIT
skip_all() { echo "1..0 # SKIP $1"; exit 77; }

# check NAME COMMAND...: one TAP line; the output of the command is shown when it fails
check() {
    local name=$1
    shift
    n=$((n + 1))
    if timeout 60 bash -c '"$@"' - "$@" >"$dir/log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        { echo "\$ $*"; cat "$dir/log"; } | sed 's/^/# /' | head -30
        failed=$((failed + 1))
    fi
}
fails() { ! "$@"; }
is() { [ "$1" = "$2" ] || { echo "is '$1', should be '$2'"; return 1; }; }
until_true() { for _ in $(seq 100); do "$@" && return 0; sleep 0.05; done; echo "never: $*"; return 1; }
allocated() { "$ashlar" rpc volume_info name="$1" | sed -n 's/.*"n_allocated_clusters": *\([0-9]*\).*/\1/p'; }
has_fewer() { local now; now=$(allocated "$1"); echo "$now of $2"; [ "$now" -lt "$2" ]; }
holes() { # the first data and hole from OFFSET on
    /usr/bin/python3 - "$@" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
def seek(whence):
    try:
        return os.lseek(fd, int(sys.argv[2]), whence)
    except OSError as e:
        return e.errno
print(seek(os.SEEK_DATA), seek(os.SEEK_HOLE))
PY
}
start() {
    "$ashlar" serve --disk "$disk" >"$dir/daemon.log" 2>&1 &
    pid=$!
    until_true grep -q 'control socket' "$dir/daemon.log"
}
stop() { # the daemon ends by itself within some seconds
    kill "$pid" && until_true fails kill -0 "$pid" 2>/dev/null && wait "$pid"
    local rc=$?
    pid=
    return $rc
}
no_asan_report() { fails grep -qE 'ERROR: |runtime error' "$dir/daemon.log"; }
export ashlar dir mnt fs disk
export -f fails is until_true allocated has_fewer holes

[ -w /dev/fuse ] || skip_all 'no usable /dev/fuse'
command -v fusermount3 >/dev/null || skip_all 'no fusermount3'
"$ashlar" version | grep -q ', libfuse' || skip_all 'built without libfuse'
mkdir "$mnt" "$fs"
truncate -s 1G "$disk"
"$ashlar" pool create tank "$disk" --disk "$disk" --cluster-size 1M >/dev/null || exit 1
"$ashlar" volume create tank/vol1 256M --disk "$disk" >/dev/null || exit 1
start >/dev/null || { sed 's/^/# /' "$dir/daemon.log"; echo 'Bail out! no daemon'; exit 1; }
"$ashlar" mount tank/vol1 "$mnt" 2>"$dir/log" || skip_all "cannot mount: $(head -1 "$dir/log")"
f=$mnt/vol1
head -c 20M /dev/urandom >"$dir/in"
export f

# --- the file
check 'size' is "$(stat -c %s "$f")" 268435456
check 'mode and owner' is "$(stat -c '%a %u' "$f")" "600 $(id -u)"
check 'listed' is "$(ls -A "$mnt")" vol1
check 'nothing allocated yet' is "$(stat -c %b "$f")" 0
check 'fresh: all hole' is "$(holes "$f" 0)" '6 0'
check 'write' dd if="$dir/in" of="$f" bs=1M conv=fsync
check 'read back' cmp -n 20971520 "$dir/in" "$f"
check 'direct and cached reads agree' bash -c 'cmp <(dd if="$f" bs=64k count=320 iflag=direct) "$dir/in"'
check 'opening with O_TRUNC keeps the size' is "$(stat -c %s "$f")" 268435456
check 'the rest is zeroes' cmp -n 1048576 -i 33554432:0 "$f" /dev/zero
check 'data ends where written' is "$(holes "$f" 4096)" '4096 20971520'
check 'blocks' is "$(stat -c %b "$f")" 40960
check 'unaligned write' dd if="$dir/in" of="$f" bs=12345 seek=7 count=3 skip=1 conv=notrunc
check 'unaligned: before' cmp -n 86415 "$dir/in" "$f"
check 'unaligned: itself' cmp -n 37035 -i 12345:86415 "$dir/in" "$f"
check 'unaligned: after' cmp -n 100000 -i 123450:123450 "$dir/in" "$f"
check 'punch' fallocate -p -o 2M -l 4M "$f"
check 'punched reads as zeroes' cmp -n 4194304 -i 2097152:0 "$f" /dev/zero
check 'punched: neighbours stay' cmp -n 1048576 -i 6291456:6291456 "$f" "$dir/in"
check 'punched is a hole' is "$(holes "$f" 2097152)" '6291456 2097152'
check 'punched clusters are free' is "$(allocated tank/vol1)" 16
check 'unaligned punch' fallocate -p -o 8388709 -l 1000 "$f"
check 'unaligned punch: itself' cmp -n 1000 -i 8388709:0 "$f" /dev/zero
check 'unaligned punch: before' cmp -n 101 -i 8388608:8388608 "$f" "$dir/in"
check 'unaligned punch: after' cmp -n 1000 -i 8389709:8389709 "$f" "$dir/in"
check 'zero range' fallocate -z -n -o 9437184 -l 1M "$f"
check 'zeroed' cmp -n 1048576 -i 9437184:0 "$f" /dev/zero
check 'zeroed stays allocated' is "$(allocated tank/vol1)" 16
check 'no preallocation' fails fallocate -n -o 0 -l 1M "$f"
check 'truncate is refused' fails truncate -s 1M "$f"
check 'nothing past the end' fails dd if=/dev/zero of="$f" bs=4096 count=1 seek=65536 conv=notrunc
check 'crossing the end writes what fits' bash -c \
    'dd if=/dev/zero of="$f" bs=8192 count=1 oseek=0 conv=notrunc status=none;
     /usr/bin/python3 -c "import os,sys; fd=os.open(sys.argv[1],os.O_RDWR); sys.exit(os.pwrite(fd,b\"x\"*8192,268435456-4096)!=4096)" "$f"'
check 'no other files' fails touch "$mnt/other"
check 'not removable' fails rm -f "$f"
check 'synchronous writes' dd if="$dir/in" of="$f" bs=4k count=16 oflag=dsync,direct conv=notrunc
check 'statfs' bash -c '[ "$(stat -f -c %b "$mnt")" -gt 60000 ]'

# --- growing, more files, read-only, refusals
check 'grow' "$ashlar" volume resize tank/vol1 300M
check 'the file grows' is "$(stat -c %s "$f")" 314572800
"$ashlar" snapshot create tank/vol1 snap >/dev/null
check 'a second file' "$ashlar" mount tank/snap "$mnt/" --name monday
check 'both are there' is "$(ls "$mnt" | tr '\n' ' ')" 'monday vol1 '
check 'a snapshot is read-only' is "$(stat -c %a "$mnt/monday")" 400
check 'a snapshot cannot be written' fails dd if=/dev/zero of="$mnt/monday" bs=4k count=1 conv=notrunc
check 'a snapshot can be read' cmp -n 1048576 -i 6291456:6291456 "$mnt/monday" "$dir/in"
check 'a name is taken once' fails "$ashlar" mount tank/snap "$mnt" --name monday
check 'no such volume' fails "$ashlar" mount tank/nope "$mnt"
check 'no such folder' fails "$ashlar" mount tank/vol1 "$dir/nope"
check 'bad name' fails "$ashlar" mount tank/vol1 "$mnt" --name a/b
check 'mounts are listed' bash -c '"$ashlar" rpc fuse_get_mounts | grep -q monday'
exec 9<"$f"
check 'an open file keeps the mount' fails "$ashlar" umount "$mnt"
exec 9<&-

# --- a full pool
"$ashlar" volume create tank/big 4G >/dev/null
check 'a third file' "$ashlar" mount tank/big "$mnt"
check 'ENOSPC comes through' bash -c \
    'dd if=/dev/zero of="$mnt/big" bs=1M count=1200 conv=notrunc 2>&1 | grep "No space left"'

# --- a device goes away while its file is open
exec 9<>"$mnt/big"
check 'delete under an open file' "$ashlar" volume delete tank/big --yes
check 'its name goes' fails stat "$mnt/big"
check 'its open file fails' fails bash -c 'head -c 4096 <&9'
exec 9>&-
check 'the others go on' cmp -n 1048576 -i 6291456:6291456 "$f" "$dir/in"

# --- a file system
loop_part() {
    loop=$(losetup -f --show --direct-io=on "$f" 2>"$dir/log") || return 1
    check 'mkfs' mkfs.ext4 -q -E nodiscard "$loop"
    check 'mount' mount "$loop" "$fs"
    export loop
    head -c 60M /dev/urandom >"$dir/big"
    check 'files with fsync' dd if="$dir/big" of="$fs/big" bs=1M conv=fsync
    check 'small files' bash -c 'for i in $(seq 50); do echo "file $i" >"$fs/$i"; done; sync -f "$fs"'
    check 'compare' cmp "$dir/big" "$fs/big"
    if command -v fio >/dev/null; then
        check 'verified random writes' timeout 50 fio --name=v --filename="$fs/fio" --size=16M --rw=randwrite \
            --bs=4k --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --do_verify=1 \
            --verify_state_save=0 --minimal
    fi
    rm -f "$fs/big" "$fs/fio"
    sync -f "$fs"
    local before
    before=$(allocated tank/vol1)
    check 'fstrim' fstrim -v "$fs"
    check 'fstrim frees clusters' has_fewer tank/vol1 "$((before - 50))"
    check 'grow under the loop device' "$ashlar" volume resize tank/vol1 350M
    stat "$f" >/dev/null
    check 'losetup -c sees it' losetup -c "$loop"
    check 'new size' is "$(blockdev --getsize64 "$loop")" 367001600
    check 'umount' umount "$fs"
    check 'e2fsck' e2fsck -fn "$loop"
    check 'e2fsck -fp' e2fsck -fp "$loop"
    check 'resize2fs' resize2fs "$loop"
    check 'e2fsck again' e2fsck -fn "$loop"
    check 'detach' losetup -d "$loop"
    loop=
}
# The daemon dies under a mounted file system: everything above can be taken down.
kill_part() {
    loop=$(losetup -f --show --direct-io=on "$f" 2>"$dir/log") || return 1
    check 'killed below: mount' mount "$loop" "$fs"
    dd if=/dev/zero of="$fs/zeroes" bs=1M count=200 conv=fsync status=none 2>/dev/null &
    local writer=$!
    until_true test -s "$fs/zeroes" >/dev/null
    kill -9 "$pid"
    wait "$pid" 2>/dev/null
    pid=
    check 'killed below: the writer ends' timeout 20 tail --pid=$writer -f /dev/null
    wait $writer
    check 'killed below: umount' timeout 20 umount "$fs"
    check 'killed below: detach' timeout 20 losetup -d "$loop"
    check 'killed below: fusermount3 -uz' timeout 5 fusermount3 -uz "$mnt"
    start >/dev/null
    check 'killed below: mount again' "$ashlar" mount tank/vol1 "$mnt"
    loop=$(losetup -f --show --direct-io=on "$f")
    check 'killed below: the journal mends it' bash -c 'e2fsck -fy "$1"; [ $? -le 1 ]' - "$loop"
    check 'killed below: sound' e2fsck -fn "$loop"
    losetup -d "$loop"
    loop=
}
[ "$(id -u)" = 0 ] && losetup -f >/dev/null 2>&1 && loop_part && kill_part ||
    echo "# the loop part is skipped: it wants root and a loop device"

# --- ends
check 'umount by the daemon' "$ashlar" umount "$mnt"
check 'unmounted' fails mountpoint -q "$mnt"
check 'mount again' "$ashlar" mount tank/vol1 "$mnt"
check 'somebody else unmounts' fusermount3 -u "$mnt"
check 'the daemon has noticed' until_true bash -c '[ "$("$ashlar" rpc fuse_get_mounts | tr -d " \n")" = "[]" ]'
check 'and again' "$ashlar" mount tank/vol1 "$mnt"
exec 9<"$f"
dd of=/dev/null bs=1M status=none <&9 2>/dev/null & # whatever it gets, it must end
reader=$!
exec 9<&-
n=$((n + 1))
if stop && no_asan_report && fails mountpoint -q "$mnt"; then
    echo "ok $n - the daemon stops and unmounts"
else
    echo "not ok $n - the daemon stops and unmounts"
    sed 's/^/# /' "$dir/daemon.log" | head -30
    failed=$((failed + 1))
fi
check 'readers end' timeout 10 tail --pid=$reader -f /dev/null
wait $reader
check 'the pool is sound' "$ashlar" check "$disk"

# --- the daemon is killed
start >/dev/null
check 'and was closed cleanly' fails grep -q recovered "$dir/daemon.log"
check 'mount before the kill' "$ashlar" mount tank/vol1 "$mnt"
dd if=/dev/zero of="$f" bs=1M oflag=direct conv=notrunc status=none 2>/dev/null &
writer=$!
sleep 0.1
kill -9 "$pid"
wait "$pid" 2>/dev/null
pid=
check 'writers end' timeout 10 tail --pid=$writer -f /dev/null
wait $writer
check 'the file answers with errors' fails timeout 5 stat "$f"
start >/dev/null
[ "$(id -u)" = 0 ] && check 'a new daemon replaces the dead mount' "$ashlar" mount tank/vol1 "$mnt"
check 'fusermount3 -uz' timeout 5 fusermount3 -uz "$mnt"
check 'the daemon has noticed again' until_true bash -c '[ "$("$ashlar" rpc fuse_get_mounts | tr -d " \n")" = "[]" ]'
check 'a new daemon mounts again' "$ashlar" mount tank/vol1 "$mnt"
check 'and reads' cmp -n 4096 -i 6291456:0 "$f" /dev/zero
check 'and unmounts' "$ashlar" umount "$mnt"
stop >/dev/null 2>&1

# --- without a daemon
"$ashlar" mount tank/vol1 "$mnt" --disk "$disk" >"$dir/daemon.log" 2>&1 &
pid=$!
check 'in-process: the file comes' until_true test -s "$f"
check 'in-process: write' dd if="$dir/in" of="$f" bs=1M count=4 conv=fsync
n=$((n + 1))
kill -INT "$pid"
wait "$pid"
rc=$?
pid=
if [ $rc = 0 ] && no_asan_report && fails mountpoint -q "$mnt"; then
    echo "ok $n - in-process: Ctrl-C ends it"
else
    echo "not ok $n - in-process: Ctrl-C ends it (exit code $rc)"
    sed 's/^/# /' "$dir/daemon.log" | head -30
    failed=$((failed + 1))
fi
"$ashlar" mount tank/vol1 "$mnt" --disk "$disk" >"$dir/daemon.log" 2>&1 &
pid=$!
check 'in-process: data is there' bash -c 'for i in $(seq 100); do [ -s "$f" ] && break; sleep 0.05; done
    cmp -n 4194304 "$dir/in" "$f"'
check 'in-process: fusermount3 -u ends it' bash -c "fusermount3 -u '$mnt' && timeout 10 tail --pid=$pid -f /dev/null"
pid=
echo "1..$n"
[ $failed = 0 ]
