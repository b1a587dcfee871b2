#!/bin/bash
# The Linux kernel as host of our NVMe/TCP target, in a throw-away guest (guest-run).
#   nvmf_target.sh ASHLAR [KERNEL...]      kernels: 6.12 6.1 (default: both)
# Exit 77: cannot run here, with the reason.
set -u
here=$(cd "$(dirname "$0")" && pwd)
ashlar=$(realpath "$1"); shift
[ $# -gt 0 ] || set -- 6.12 6.1
dir=$(mktemp -d /tmp/ashlar-guest.XXXXXX)
pid=
skip() { echo "# skipped: $1"; exit 77; }
# shellcheck disable=SC2317
finish() {
    [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    [ -n "${loop:-}" ] && kill "$loop" 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
[ "$(id -u)" = 0 ] || skip "the guest wants root once to fetch its packages"
for k in "$@"; do
    "$here/guest-run" -k "$k" --build >"$dir/build.log" 2>&1 ||
        skip "the guest cannot be built: $(tail -1 "$dir/build.log")"
done

NQN=nqn.2016-06.io.spdk:guest NQN_ANA=nqn.2016-06.io.spdk:ana NQN_HIDDEN=nqn.2016-06.io.spdk:hidden
NQN_AUTH=nqn.2016-06.io.spdk:auth GUEST=nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555
KEY1=DHHC-1:01:AgkQFx4lLDM6QUhPVl1ka3J5gIeOlZyjqrG4v8bN1Nuz7TWq:
KEY2=DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:
SIZE=$((96 << 20))
rpc() { "$ashlar" rpc -r "$dir/sock" "$@"; }
cli() { "$ashlar" "$@" -r "$dir/sock"; }
start() {
    "$ashlar" serve -r "$dir/sock" --disk "$dir/disk" --nvmf "tcp://127.0.0.1:${PORT4:-0}" >>"$dir/log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do rpc spdk_get_version >/dev/null 2>&1 && return 0; sleep 0.1; done
    cat "$dir/log"; echo "not ok - the daemon does not start"; exit 1
}
listen() { # NQN [PORT] -> prints the port
    rpc nvmf_subsystem_add_listener "{\"nqn\":\"$1\",\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"trsvcid\":\"${2:-0}\"}}" >/dev/null || return 1
    rpc nvmf_subsystem_get_listeners "{\"nqn\":\"$1\"}" | grep -o '"trsvcid":"[0-9]*"' | tail -1 | grep -o '[0-9]*'
}
subsystem() { # NQN more
    rpc nvmf_create_subsystem "{\"nqn\":\"$1\",\"serial_number\":\"ASHLAR-GUEST\"$2}" >/dev/null
}
add_ns() { # NQN bdev nsid
    rpc nvmf_subsystem_add_ns "{\"nqn\":\"$1\",\"namespace\":{\"bdev_name\":\"$2\",\"nsid\":$3}}" >/dev/null
}
address() { echo "\"listen_address\":{\"trtype\":\"TCP\",\"traddr\":\"127.0.0.1\",\"trsvcid\":\"$1\"}"; }
# What the guest may ask for.
serve_guest() {
    local n=1 cmd rc port
    while :; do
        until [ -e "$dir/share/cmd.$n" ]; do sleep 0.02; done
        read -r -a cmd <"$dir/share/cmd.$n"
        rc=0
        port=PORT${cmd[1]:-1}
        {
            case ${cmd[0]} in
            allocated) cli volume show tank/v1 -o json | sed -n 's/.*"allocated_bytes": *\([0-9]*\).*/\1/p' ;;
            resize) cli volume resize tank/v1 128M ;;
            add_ns) add_ns $NQN mem 3 ;;
            remove_ns) rpc nvmf_subsystem_remove_ns "{\"nqn\":\"$NQN\",\"nsid\":3}" ;;
            snapshot) cli snapshot create tank/v1 snap ;;
            ana) rpc nvmf_subsystem_listener_set_ana_state "{\"nqn\":\"$NQN_ANA\",$(address "${!port}"),\"ana_state\":\"${cmd[2]}\"}" ;;
            drop) rpc nvmf_subsystem_remove_listener "{\"nqn\":\"$NQN_ANA\",$(address "${!port}")}" ;;
            relisten) listen $NQN_ANA "${!port}" ;;
            restart) kill "$(cat "$dir/pid")"; while kill -0 "$(cat "$dir/pid")" 2>/dev/null; do sleep 0.1; done
                start; echo $pid >"$dir/pid" ;;
            *) echo "unknown: ${cmd[*]}"; false ;;
            esac || rc=$?
        } >"$dir/share/out.$n" 2>&1
        echo $rc >"$dir/share/done.tmp" && mv "$dir/share/done.tmp" "$dir/share/done.$n"
        n=$((n + 1))
    done
}

one_kernel() {
    rm -rf "$dir/share" "$dir/disk" "$dir/log"
    mkdir "$dir/share"
    truncate -s 112M "$dir/disk"
    PORT4=
    start
    cli pool create tank "$dir/disk" --cluster-size 1M >/dev/null &&
        cli volume create tank/v1 96M >/dev/null && cli volume create tank/big 1G >/dev/null &&
        cli volume create tank/shared 16M >/dev/null && cli volume create tank/ana 16M >/dev/null || return 1
    UUID=$(cli volume show tank/v1 -o json | sed -n 's/.*"uuid": *"\([^"]*\)".*/\1/p' | head -1)
    rpc bdev_malloc_create '{"name":"mem","num_blocks":4096,"block_size":4096}' >/dev/null
    rpc nvmf_create_transport '{"trtype":"TCP"}' >/dev/null
    subsystem $NQN ',"allow_any_host":true' && add_ns $NQN tank/v1 1 && add_ns $NQN tank/big 2 || return 1
    subsystem $NQN_HIDDEN '' || return 1
    subsystem $NQN_ANA ',"allow_any_host":true,"ana_reporting":true,"max_namespaces":4' && add_ns $NQN_ANA tank/ana 1 || return 1
    (umask 077; echo $KEY1 >"$dir/k1"; echo $KEY2 >"$dir/k2")
    for k in k1 k2; do rpc keyring_file_add_key "{\"name\":\"$k\",\"path\":\"$dir/$k\"}" >/dev/null; done
    rpc bdev_malloc_create '{"name":"secret","num_blocks":4096,"block_size":512}' >/dev/null
    subsystem $NQN_AUTH '' && add_ns $NQN_AUTH secret 1 || return 1
    rpc nvmf_subsystem_add_host "{\"nqn\":\"$NQN_AUTH\",\"host\":\"$GUEST\",\"dhchap_key\":\"k1\",\"dhchap_ctrlr_key\":\"k2\"}" >/dev/null || return 1
    PORT1=$(listen $NQN) PORT2=$(listen $NQN_ANA) PORT3=$(listen $NQN_ANA)
    listen $NQN_HIDDEN "$PORT1" >/dev/null
    listen $NQN_AUTH "$PORT1" >/dev/null
    PORT4=$(cli share tank/shared --allow $GUEST | sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p')
    echo $pid >"$dir/pid"
    serve_guest &
    loop=$!
    "$here/guest-run" -k "$1" -t "${GUEST_SECONDS:-240}" -m "$dir/share" -s "$here/nvmf_target.guest" \
        -e "NQN=$NQN" -e "NQN_ANA=$NQN_ANA" -e "NQN_HIDDEN=$NQN_HIDDEN" -e "NQN_AUTH=$NQN_AUTH" -e "KEY1=$KEY1" -e "KEY2=$KEY2" -e "UUID=$UUID" -e "SIZE=$SIZE" \
        -e "PORT1=$PORT1" -e "PORT2=$PORT2" -e "PORT3=$PORT3" -e "PORT4=$PORT4"
    local rc=$?
    kill $loop; wait $loop 2>/dev/null; loop=
    pid=$(cat "$dir/pid")
    kill "$pid"
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    pid=
    # The pool is small on purpose: that it fills up is said, and may be.
    grep -E "^<[0-3]>|assertion|ERROR: " "$dir/log" | grep -v "fills up: " && rc=1
    "$ashlar" check "$dir/disk" >"$dir/check" || { cat "$dir/check"; echo "not ok - the pool afterwards"; rc=1; }
    return $rc
}
rc=0
for k in "$@"; do one_kernel "$k" || rc=1; done
exit $rc
