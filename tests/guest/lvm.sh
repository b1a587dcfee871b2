#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The Linux kernel and its LVM as judge of volume groups, in a throw-away guest (guest-run).
#   lvm.sh ASHLAR [KERNEL...]      kernels: 6.12 6.1 (default: both)
# A VG that we made is activated there: its LVs hold what we wrote, also when the kernel has written,
# extended and added raid LVs. A VG that the kernel made is read, written and extended here, and
# activated there again. Exit 77: cannot run here, with the reason.
set -u
here=$(cd "$(dirname "$0")" && pwd)
ashlar=$(realpath "$1"); shift
[ $# -gt 0 ] || set -- 6.12 6.1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
skip() { echo "# skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "the guest wants root once to fetch its packages"
for k in "$@"; do
    "$here/guest-run" -k "$k" --build >"$dir/build.log" 2>&1 ||
        skip "the guest cannot be built: $(tail -1 "$dir/build.log")"
done

fails=0
ok() { echo "ok - $kernel: $1"; }
bad() { echo "not ok - $kernel: $1${2:+: $2}"; fails=$((fails + 1)); }
check() { # WHAT COMMAND...
    local what=$1 out; shift
    if out=$("$@" 2>&1); then ok "$what"; else bad "$what" "$out"; fi
}
lvm() { LVM_SYSTEM_DIR=$dir/sys "$ashlar" lvm "$@" --devices "$devices"; }
uri() { echo "lvm:///$1?pvs=$devices"; }
fill() { # LV BYTES: full of noise; its sum is kept
    head -c "$2" /dev/urandom >"$dir/src" && "$ashlar" copy "$dir/src" "$(uri "$1")" &&
        put_sum "$1" "$(sum <"$dir/src")"
}
sum() { sha256sum | cut -d' ' -f1; }
put_sum() { sed -i "\\#^$1 #d" "$dir/share/sums"; echo "$1 $2" >>"$dir/share/sums"; }
same_contents() { # every LV is as the last one to write it has left it
    local lv want have
    while read -r lv want; do
        rm -f "$dir/got"
        "$ashlar" copy "$(uri "$lv")&read_only" "$dir/got" || return 1
        have=$(sum <"$dir/got")
        [ "$have" = "$want" ] || { echo "$lv: $have, not $want"; return 1; }
    done <"$dir/share/sums"
}
in_guest() { # STAGE
    local args=()
    for d in $disks; do args+=(-d "$d"); done
    "$here/guest-run" -k "$kernel" -t 240 -n none "${args[@]}" -m "$dir/share" -e "STAGE=$1" -s "$here/lvm.guest"
}

for kernel in "$@"; do
    rm -rf "$dir/share" "$dir/sys"
    mkdir -p "$dir/share" "$dir/sys"
    : >"$dir/share/sums"
    disks=''
    for i in 0 1 2 3 4; do
        truncate -s 0 "$dir/pv$i" && truncate -s 96M "$dir/pv$i"
        disks="$disks $dir/pv$i"
    done
    devices=$(echo $disks | tr ' ' ,)
    read -r p0 p1 p2 _ <<<"$disks"

    check "pvcreate" lvm pvcreate "$p0" "$p1" "$p2"
    check "vgcreate" lvm vgcreate -s 1M ours "$p0" "$p1" "$p2"
    check "lvcreate, linear" lvm lvcreate -y -n lin -L 20M ours
    check "lvcreate, striped" lvm lvcreate -y -n str -i 3 -I 64k -L 24M ours
    check "the linear one is written" fill ours/lin $((20 << 20))
    check "the striped one is written" fill ours/str $((24 << 20))
    check "the kernel has what we wrote" in_guest 1
    check "we have what the kernel wrote" same_contents
    check "lvextend of the kernel's LV" lvm lvextend -L +4M theirs/lin
    check "it is written" fill theirs/lin $((16 << 20))
    check "the kernel's striped LV is written" fill theirs/str $((8 << 20))
    check "the kernel's raid1 is written" fill ours/mir $((8 << 20))
    check "lvremove" lvm lvremove -f ours/str
    sed -i '/^ours.str /d' "$dir/share/sums"
    check "vgchange" lvm vgchange --addtag seen theirs
    check "the kernel has it all" in_guest 2
    check "vgck, ours" lvm vgck
    check "nothing has changed by that" same_contents
done
[ $fails = 0 ]
