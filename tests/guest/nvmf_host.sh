#!/bin/bash
# The Linux kernel's target (nvmet) for our NVMe/TCP initiator, in a throw-away guest (guest-run).
#   nvmf_host.sh ASHLAR [KERNEL...]      kernels: 6.12 6.1 (default: both)
# What goes in and out is checked by fio and qemu-io, through our own NBD server.
# Exit 77: cannot run here, with the reason.
set -u
here=$(cd "$(dirname "$0")" && pwd)
ashlar=$(realpath "$1"); shift
[ $# -gt 0 ] || set -- 6.12 6.1
dir=$(mktemp -d /tmp/ashlar-guest.XXXXXX)
pid='' guest=''
skip() { echo "# skipped: $1"; exit 77; }
# shellcheck disable=SC2317
finish() {
    for p in $guest $pid; do kill "$p" 2>/dev/null; done
    wait
    rm -rf "$dir"
}
trap finish EXIT
[ "$(id -u)" = 0 ] || skip "the guest wants root once to fetch its packages"
for p in fio qemu-io; do command -v $p >/dev/null || skip "no $p"; done
for k in "$@"; do
    "$here/guest-run" -k "$k" --build >"$dir/build.log" 2>&1 ||
        skip "the guest cannot be built: $(tail -1 "$dir/build.log")"
done

NQN=nqn.2016-06.io.spdk:nvmet HOSTNQN=nqn.2014-08.org.nvmexpress:uuid:22222222-2222-4333-8444-555555555555
ME='"hostnqn":"'$HOSTNQN'"'
fails=0 n=0
stage() { echo "# $SECONDS s"; }
ok() { echo "ok - $kernel: $1"; }
bad() { echo "not ok - $kernel: $1${2:+: $2}"; fails=$((fails + 1)); }
check() { # what, command...
    local what=$1 out; shift
    if out=$("$@" 2>&1); then ok "$what"; else bad "$what" "$out"; fi
}
until_ok() { # seconds, command...
    local t=$(($1 * 10)); shift
    for _ in $(seq "$t"); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
    return 1
}
rpc() { "$ashlar" rpc -r "$dir/sock" "$@"; }
# A command in the guest; what it says is in $guest_out. Not in a subshell.
in_guest() {
    n=$((n + 1))
    echo "$*" >"$dir/share/cmd.tmp" && mv "$dir/share/cmd.tmp" "$dir/share/cmd.$n"
    until_ok "${GUEST_WAIT:-90}" test -e "$dir/share/done.$n"
    guest_out=$(cat "$dir/share/out.$n" 2>/dev/null)
    [ "$(cat "$dir/share/done.$n" 2>/dev/null)" = 0 ] || { bad "in the guest: $*" "$guest_out"; return 1; }
}
attach() { # NAME PORT more
    rpc bdev_nvme_attach_controller "{\"name\":\"$1\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"trsvcid\":\"$2\",\"subnqn\":\"$NQN\",$ME,\"ctrlr_loss_timeout_sec\":60,\"reconnect_delay_sec\":1${3:-}}"
}
detach() { rpc bdev_nvme_detach_controller "{\"name\":\"$1\"}" >/dev/null; }
listing() { rpc bdev_get_bdevs "{\"name\":\"$1\"}"; }
is_listed() { listing "$1" >/dev/null 2>&1; }
is_gone() { ! is_listed "$1"; }
blocks() { listing "$1" | grep -o '"num_blocks": *[0-9]*' | grep -o '[0-9]*$'; }
has_grown() { [ "$(blocks "$1")" -gt "$2" ]; }
uri() { echo "nbd+unix:///$1?socket=$dir/nbd"; }
export_it() { rpc nbd_add_export "{\"bdev\":\"$1\",\"name\":\"$1\"}" >/dev/null; }
unexport() { rpc nbd_remove_export "{\"name\":\"$1\"}" >/dev/null; }
load() { # NAME more: verified random I/O
    local name=$1; shift
    fio --name=v --ioengine=nbd --uri="$(uri "$name")" --rw=randrw --bsrange=4k-128k --iodepth=16 --size=6M \
        --verify=crc32c --do_verify=1 --verify_fatal=1 --fsync=64 --verify_state_save=0 --minimal "$@"
}
io() { qemu-io -f raw "$(uri "$1")" "${@:2}"; }
# fio, while the named thing happens to its target.
under_load() { # WHAT NAME command...
    local what=$1 name=$2 fio; shift 2
    load "$name" --time_based --runtime=4 >"$dir/fio" 2>&1 &
    fio=$!
    sleep 1
    "$@"
    if wait $fio; then ok "$what"; else bad "$what" "$(tail -3 "$dir/fio")"; fi
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

restart_target() { in_guest hide 1; sleep 1; in_guest show 1; }
one_path_goes() { in_guest hide 1; sleep 1; in_guest show 1; }
change_ana() {
    in_guest ana 1 inaccessible; sleep 0.7
    in_guest ana 1 optimized; in_guest ana 2 inaccessible; sleep 0.7
    in_guest ana 2 non-optimized
}
commands() { # qemu-io's patterns fail by themselves
    io n0n1 -c "write -P 0xa5 1M 256k" -c "flush" -c "discard 1M 64k" -c "write -z 1088k 64k" \
        -c "write -z -u 1152k 64k" -c "read -P 0 1088k 128k" -c "read -P 0xa5 1216k 64k" \
        -c "write -f -P 0x3c 1280k 4k" -c "read -P 0x3c 1280k 4k"
}

basics() {
    check "attach by the RPC" attach n0 "$P1"
    listing n0n1 >"$dir/list"
    for want in '"num_blocks": *65536' 11111111-2222-4333-8444-555555555501 '"model_number": *"Linux' '"unmap": *true'; do
        grep -q "$want" "$dir/list" || bad "identify: $want" "$(cat "$dir/list")"
    done
    check "second namespace, blocks of 4 KiB" test "$(blocks n0n2)" = 2048
    check "discovery" bash -c "'$ashlar' rpc -r '$dir/sock' nvme_discover '{\"traddr\":\"127.0.0.1\",\"trsvcid\":\"$P1\",$ME}' | grep -q '$NQN'"
    check "health" rpc bdev_nvme_get_controller_health_info '{"name":"n0"}'
    export_it n0n1
    check "verified random I/O" load n0n1
    check "flush, unmap, write zeroes, FUA" commands
    in_guest zero one $((1088 << 10)) $((128 << 10)) && ok "zeroes are there" || bad "zeroes are there" "$guest_out"
    in_guest used; local before=$guest_out
    check "unmap all" io n0n1 -c "discard 0 32M"
    in_guest used
    [ "$guest_out" -lt "$before" ] && ok "unmap gives space back" || bad "unmap gives space back" "$before -> $guest_out"
}

live_changes() {
    in_guest add_ns
    check "a new namespace is seen" until_ok 10 is_listed n0n3
    local old; old=$(blocks n0n3)
    in_guest grow_ns
    check "its growth is seen" until_ok 10 has_grown n0n3 "$old"
    in_guest remove_ns
    check "and its end" until_ok 10 is_gone n0n3
}

paths() {
    under_load "the target restarts under load" n0n1 restart_target
    check "second path" attach n0 "$P2"
    under_load "one of two paths goes under load" n0n1 one_path_goes
    under_load "ANA changes under load" n0n1 change_ana
    unexport n0n1
    detach n0
}

digests() {
    check "attach with digests" attach d0 "$P1" ',"hdgst":true,"ddgst":true'
    export_it d0n1
    check "verified I/O with digests" load d0n1 --size=4M
    unexport d0n1
    detach d0
}

by_uri() {
    local target="nvmf://127.0.0.1:$P1/$NQN?hostnqn=$HOSTNQN&hdgst"
    check "bench by nvmf://" "$ashlar" bench "$target" --rw randread --qd 8 --time 1
}

# Who proves what to whom. The hash and group are nvmet's choice.
secrets() {
    local k1=DHHC-1:01:AgkQFx4lLDM6QUhPVl1ka3J5gIeOlZyjqrG4v8bN1Nuz7TWq:
    local k2=DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:
    local k3=DHHC-1:02:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3PkVMRdxyRQ==:
    local i=0 k hash group
    for k in $k1 $k2 $k3; do
        i=$((i + 1))
        (umask 077; echo $k >"$dir/k$i")
        rpc keyring_file_add_key "{\"name\":\"k$i\",\"path\":\"$dir/k$i\"}" >/dev/null
    done
    for k in "sha256 null" "sha384 ffdhe2048" "sha512 ffdhe3072"; do
        read -r hash group <<<"$k"
        in_guest secret $HOSTNQN $k1 $k2 "$hash" "$group"
        check "authentication, $hash, $group" attach a0 "$P1" ',"dhchap_key":"k1"'
        detach a0
        check "both ways, $hash, $group" attach a0 "$P1" ',"dhchap_key":"k1","dhchap_ctrlr_key":"k2"'
        check "its device is there" is_listed a0n1
        detach a0
    done
    check "the wrong key" refused_as NVME_AUTH ',"dhchap_key":"k3"'
    check "the wrong controller" refused_as NVME_AUTH ',"dhchap_key":"k1","dhchap_ctrlr_key":"k3"'
    check "no key" refused_as NVME_AUTH ''
    in_guest secret $HOSTNQN $k3 - sha384 ffdhe4096
    check "a key bound by SHA-384" attach a0 "$P1" ',"dhchap_key":"k3"'
    detach a0
    in_guest no_secret $HOSTNQN
}
refused_as() { # REASON more
    local out
    out=$(attach a0 "$P1" "$2" 2>&1) && { detach a0; return 1; }
    echo "$out"
    [[ $out == *"$1"* ]]
}
serves_or_ended() { grep -q "# guest: serves" "$dir/guest.log" || ! kill -0 $guest; }
one_kernel() {
    kernel=$1 n=0
    rm -rf "$dir/share" "$dir/log"
    mkdir "$dir/share"
    P1=$(free_port) P2=$(free_port)
    "$here/guest-run" -k "$kernel" -t "${GUEST_SECONDS:-240}" -m "$dir/share" -s "$here/nvmf_host.guest" -e "NQN=$NQN" \
        -f "$P1:4420" -f "$P2:4421" >"$dir/guest.log" 2>&1 &
    guest=$!
    "$ashlar" serve -r "$dir/sock" --nbd "unix://$dir/nbd" >"$dir/log" 2>&1 &
    pid=$!
    until_ok 10 rpc spdk_get_version || { cat "$dir/log"; bad "the daemon starts"; return; }
    until_ok 90 serves_or_ended
    grep -q "# guest: serves" "$dir/guest.log" || { cat "$dir/guest.log"; bad "the guest serves"; return; }
    stage; basics; stage; live_changes; stage; paths; stage; digests; by_uri; stage
    [ "$kernel" = 6.1 ] || { secrets; stage; } # 6.1 of Debian has no authentication
    in_guest end
    wait $guest && ok "the guest's kernel has no complaint" || bad "the guest" "$(tail -5 "$dir/guest.log")"
    guest=
    kill $pid; wait $pid; pid=
    grep -E "^<[0-3]>|assertion|ERROR: " "$dir/log" && bad "the daemon's log"
}
for k in "$@"; do one_kernel "$k"; done
echo "# $fails failed"
exit $((fails > 0))
