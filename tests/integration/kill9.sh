#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill9.sh [CYCLES [SEED]]: a daemon on a file is killed with SIGKILL at a random moment while
# volumes are written, snapshotted and deleted; each time the pool must be sound and hold every
# write whose flush was acknowledged.
#
# Per cycle: start the daemon; fio writes with its checksums and flushes (when it has the nbd engine),
# and reads them back after the kill; verify tank/seq (nbd_verify.py: each block holds at least the number
# that its last flush made safe); if a file system was put on tank/fs, e2fsck -fn finds nothing once
# its journal is replayed; then write again, snapshot and delete, kill; then `ashlar check`.
# Prints TAP. 77: a program is missing. $ASHLAR: the binary.
set -u
here=$(cd "$(dirname "$0")" && pwd)
ashlar=${ASHLAR:-$here/../../build/ashlar}
cycles=${1:-5} seed=${2:-$RANDOM}
RANDOM=$seed
for p in mkfs.ext4 e2fsck qemu-io nbdcopy /usr/bin/python3; do
    PATH=$PATH:/usr/sbin:/sbin command -v $p >/dev/null || { echo "no $p"; exit 77; }
done
PATH=$PATH:/usr/sbin:/sbin
/usr/bin/python3 -c 'import nbd' 2>/dev/null || { echo "no python3-libnbd"; exit 77; }

dir=$(mktemp -d)
pid='' load=''
trap 'kill -9 $pid $load 2>/dev/null; rm -rf "$dir"' EXIT
disk=$dir/disk.img sock=$dir/rpc nbd=$dir/nbd
uri() { echo "nbd+unix:///$1?socket=$nbd"; }
failed=0 n=0

say() { # say OK NAME: one line of TAP; the logs with it when it is not ok
    n=$((n + 1))
    [ "$1" = 0 ] && { echo "ok $n - $2"; return; }
    echo "not ok $n - $2"
    echo "# again: tests/integration/kill9.sh $cycles $seed"
    tail -n 20 "$dir/daemon.log" "$dir/out" 2>/dev/null | sed 's/^/# /'
    failed=$((failed + 1))
}

serve() { # serve EXPORT...: until it answers
    local args=() i
    for i; do args+=(--export "$i"); done
    rm -f "$nbd"
    "$ashlar" serve -r "$sock" --disk "$disk" --nbd "unix://$nbd" "${args[@]}" >"$dir/daemon.log" 2>&1 &
    pid=$!
    for i in $(seq 200); do
        [ -S "$nbd" ] && "$ashlar" ls -r "$sock" >/dev/null 2>&1 && return 0
        kill -0 $pid 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

killed() {
    kill -9 $pid
    wait $pid 2>/dev/null
    pid=
    # The kernel ends a killed io_uring behind the process's back; the file's lock goes with it.
    for _ in $(seq 100); do
        "$ashlar" check "$disk" 2>&1 | grep -q RT_FILE_BUSY || break
        sleep 0.05
    done
}

churn() { # snapshots come and go while the daemon lives
    local i=0
    while "$ashlar" snapshot create -r "$sock" tank/seq "s$i-$1" && [ $i -lt 1000 ]; do
        [ $((i % 3)) -eq 0 ] || "$ashlar" snapshot delete -r "$sock" --yes "tank/s$i-$1"
        "$ashlar" volume create -r "$sock" "tank/v$i-$1" 8M && "$ashlar" volume delete -r "$sock" --yes "tank/v$i-$1"
        i=$((i + 1))
    done
}

# fio's own pattern on a volume of its own; with -- what is to be done with it.
has_fio=$(fio --enghelp 2>/dev/null | grep -c '^[[:space:]]*nbd$')
fio_job() {
    fio --name=k --ioengine=nbd --uri="$(uri tank/fio)" --rw=randwrite --bs=4k --size=16m --io_size=4m --iodepth=8 \
        --verify=crc32c --verify_state_save=0 --randseed="$1" --minimal "${@:2}"
}

make_fs() { # a file system made without mounting, with files in it
    mkdir -p "$dir/tree/a/b"
    for i in $(seq 40); do head -c $((RANDOM * 4)) /dev/urandom >"$dir/tree/a/b/file$i"; done
    truncate -s 48M "$dir/fs.img"
    mkfs.ext4 -q -F -d "$dir/tree" "$dir/fs.img" && nbdcopy --flush "$dir/fs.img" "$(uri tank/fs)" &&
        sha256sum <"$dir/fs.img" >"$dir/fs.sum"
}

truncate -s 2G "$disk"
{ "$ashlar" pool create --disk "$disk" tank "$disk" --cluster-size 64K ||
    "$ashlar" pool create tank "$disk" --cluster-size 64K; } >"$dir/out" 2>&1
{ "$ashlar" volume create --disk "$disk" tank/seq 64M --thin &&
    "$ashlar" volume create --disk "$disk" tank/fio 16M --thin &&
    "$ashlar" volume create --disk "$disk" tank/fs 48M --thin; } >>"$dir/out" 2>&1 || { say 1 "pool and volumes"; exit 1; }
serve tank/seq tank/fs tank/fio && make_fs >>"$dir/out" 2>&1 || { say 1 "a file system on a volume"; exit 1; }

for cycle in $(seq "$cycles"); do
    /usr/bin/python3 "$here/../tools/nbd_verify.py" write "$(uri tank/seq)" "$dir/state" $((seed + cycle)) \
        >"$dir/out" 2>&1 &
    load=$!
    churn "$cycle" >/dev/null 2>&1 &
    busy=$!
    [ "$has_fio" = 0 ] || fio_job "$cycle" --do_verify=0 --end_fsync=1 >"$dir/fio" 2>&1 || say 1 "cycle $cycle: fio writes"
    sleep 0.$((RANDOM % 9 + 1))
    # Now and then the kill meets the copying of a whole file system.
    if [ $((cycle % 2)) -eq 0 ]; then
        nbdcopy "$dir/fs.img" "$(uri tank/fs)" >/dev/null 2>&1 &
        sleep 0.0$((RANDOM % 9 + 1))
    fi
    killed
    wait $load $busy 2>/dev/null
    "$ashlar" check "$disk" >"$dir/out" 2>&1
    say $? "cycle $cycle: sound after the kill"
    serve tank/seq tank/fs tank/fio
    say $? "cycle $cycle: the pool opens"
    [ -n "$pid" ] || break
    /usr/bin/python3 "$here/../tools/nbd_verify.py" verify "$(uri tank/seq)" "$dir/state" >"$dir/out" 2>&1
    say $? "cycle $cycle: $(tail -n 1 "$dir/out")"
    if [ "$has_fio" != 0 ]; then
        fio_job "$cycle" --verify_only >"$dir/out" 2>&1
        say $? "cycle $cycle: fio finds what it had flushed"
    fi
    # The copy writes what was there already: it must be the same whether it got through or not.
    rm -f "$dir/back.img"
    { nbdcopy "$(uri tank/fs)" "$dir/back.img" && sha256sum <"$dir/back.img" | cmp - "$dir/fs.sum" &&
        e2fsck -fn "$dir/back.img"; } >"$dir/out" 2>&1
    say $? "cycle $cycle: the file system is whole"
done
kill "$pid" && wait "$pid"
say $? "a clean end"
pid=
"$ashlar" check "$disk" >"$dir/out" 2>&1
say $? "sound at the end"
echo "1..$n"
[ $failed -eq 0 ]
