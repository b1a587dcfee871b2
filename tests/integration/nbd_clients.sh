#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Real NBD clients against the server: the acceptance checks of docs/spec/nbd.md 10 that need no
# pool. Usage: nbd_clients.sh [BUILD_DIR]. TAP on stdout; checks whose program is missing are
# skipped. Everything lives in a temporary folder.
set -u
build=${1:-build}
server=$build/tests/tools/nbd_server
dir=$(mktemp -d)
sock=$dir/s
python=/usr/bin/python3
n=0 failed=0 pid=
trap 'kill ${pid:-} 2>/dev/null; rm -rf "$dir"' EXIT

uri() { echo "nbd+unix:///$1?socket=$sock"; }

# check NAME PROGRAM COMMAND...: one TAP line; the output of the command is shown when it fails
check() {
    local name=$1 program=$2
    shift 2
    n=$((n + 1))
    if ! command -v "$program" >/dev/null; then
        echo "ok $n - $name # SKIP no $program"
    elif timeout 60 bash -c '"$@"' - "$@" >"$dir/log" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$dir/log" | head -30
        failed=$((failed + 1))
    fi
}
fails() { ! "$@"; }
# says TEXT COMMAND...: the command's output holds TEXT (it may fail)
says() {
    local text=$1
    shift
    "$@" 2>&1 | tee /dev/stderr | grep -qF -- "$text"
}
nbdpy() { # nbdpy URI SCRIPT: h is a connected handle
    $python - "$1" "$2" <<'PY'
import sys, nbd
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.add_meta_context("qemu:allocation-depth")
h.connect_uri(sys.argv[1])
def errno_of(f):
    try:
        f()
    except nbd.Error as e:
        return e.errnum
    return 0
exec(sys.argv[2])
h.shutdown()
PY
}

truncate -s 64M "$dir/file.raw"
start() {
    "$server" -l "unix://$sock" -l tcp://127.0.0.1:0 \
        -e 'mem=malloc:///mem?size_mb=64&blk_size=512' \
        -e "file=aio://$dir/file.raw?blk_size=4096" \
        -e 'ro=malloc:///ro?size_mb=8&blk_size=512,ro' >"$dir/server.log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        grep -q ^ready "$dir/server.log" && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
}
start
if ! grep -q ^ready "$dir/server.log"; then
    sed 's/^/# /' "$dir/server.log"
    echo "Bail out! the server does not start"
    exit 1
fi
tcp=$(sed -n 's|^listening tcp://||p' "$dir/server.log")
M=$(uri mem) F=$(uri file) R=$(uri ro)
export M F R dir tcp python pid
export -f fails says nbdpy
head -c 20M /dev/urandom >"$dir/in.raw"
truncate -s 64M "$dir/in.raw"

check 'list: every export' nbdinfo says 'export="ro"' nbdinfo --list "$(uri '')"
check 'list as JSON' nbdinfo bash -c 'nbdinfo --list --json "$1" | $2 -c "
import json,sys
d=json.load(sys.stdin); assert len(d[\"exports\"])==3
assert all(\"base:allocation\" in e[\"contexts\"] for e in d[\"exports\"])"' - "$(uri '')" $python
for f in fua flush trim zero fast-zero df multi-conn cache; do
    check "can $f" nbdinfo nbdinfo --can $f "$M"
done
check 'is read-only' nbdinfo nbdinfo --is read-only "$R"
check 'is not read-only' nbdinfo fails nbdinfo --is read-only "$M"
check 'size' nbdinfo says 67108864 nbdinfo --size "$M"
check 'unknown export: our message' qemu-img says "export 'nope' not found" \
    qemu-img info "$(uri nope)"
check 'unknown export: fails' nbdinfo fails nbdinfo "$(uri nope)"
check 'no default among three' nbdinfo fails nbdinfo "$(uri '')"
check 'over TCP' nbdinfo says 67108864 nbdinfo --size "nbd://$tcp/mem"
check 'map' nbdinfo nbdinfo --map "$F"
check 'map of depth' nbdinfo nbdinfo --map=qemu:allocation-depth "$M"
check 'totals' nbdinfo nbdinfo --map --totals "$M"
for x in mem file; do
    U=$(uri $x)
    check "$x: copy in" nbdcopy nbdcopy --connections=4 --requests=64 "$dir/in.raw" "$U"
    check "$x: copy out" nbdcopy nbdcopy --connections=4 --requests=64 "$U" "$dir/out.raw"
    check "$x: the same" cmp cmp "$dir/in.raw" "$dir/out.raw"
    check "$x: compare" qemu-img says 'Images are identical.' \
        qemu-img compare -f raw -F raw "$dir/in.raw" "$U"
    check "$x: map" qemu-img qemu-img map --output=json "$U"
    check "$x: convert out" qemu-img qemu-img convert -f raw -c -O qcow2 "$U" "$dir/x.qcow2"
    check "$x: clear" nbdsh $python -c "
import nbd; h=nbd.NBD(); h.connect_uri('$U'); h.zero(64<<20,0,nbd.CMD_FLAG_FUA)
assert not any(h.pread(32<<20,0))"
    check "$x: convert in" qemu-img qemu-img convert -n -f qcow2 -O raw "$dir/x.qcow2" "$U"
    check "$x: compare again" qemu-img says 'Images are identical.' \
        qemu-img compare -f raw -F raw "$dir/in.raw" "$U"
    check "$x: patterns" qemu-io qemu-io -f raw -c 'write -P 5 1M 64k' -c 'read -P 5 1M 64k' \
        -c 'write -z -u 2M 1M' -c 'read -P 0 2M 1M' -c 'write -f -P 3 3M 4k' -c 'read -P 3 3M 4k' \
        -c 'discard 1M 1M' -c flush "$U"
    check "$x: unaligned" qemu-io qemu-io -f raw -c 'write -P 9 777 4097' \
        -c 'read -P 9 777 4097' -c 'write -P 8 1000001 1' -c 'read -P 8 1000001 1' \
        -c 'write -z 5000001 70001' -c 'read -P 0 5000001 70001' "$U"
    check "$x: no pattern error" qemu-io fails says 'Pattern verification failed' \
        qemu-io -f raw -c 'write -P 9 777 4097' -c 'read -P 9 777 4097' "$U"
    check "$x: bench reads" qemu-img qemu-img bench -f raw -c 20000 -d 64 -s 4096 "$U"
    check "$x: bench writes with flushes" qemu-img \
        qemu-img bench -f raw -w -c 5000 -d 64 -s 4096 --flush-interval=100 "$U"
    check "$x: fio verify" fio bash -c "cd $dir && fio --name=v --ioengine=nbd --uri='$U' \
        --rw=randrw --bsrange=4k-64k --iodepth=32 --verify=crc32c --verify_backlog=1024 \
        --size=48m --do_verify=1 --verify_fatal=1"
    check "$x: fio trim" fio bash -c "cd $dir && fio --name=t --ioengine=nbd --uri='$U' \
        --rw=randtrim --bs=64k --iodepth=8 --size=16m"
done
check 'holes stay holes' nbdcopy bash -c "
    head -c 1M /dev/urandom >$dir/sp.raw; truncate -s 64M $dir/sp.raw; truncate -s 0 $dir/file.raw
    truncate -s 64M $dir/file.raw; nbdcopy $dir/sp.raw '$F' && nbdcopy '$F' $dir/sp2.raw &&
    cmp $dir/sp.raw $dir/sp2.raw && [ \$(du -k $dir/sp2.raw | cut -f1) -lt 4096 ]"
check 'structured reads, DF' nbdsh nbdpy "$M" '
got = []
def f(b, o, s, e): got.append((o, len(b), s))
h.pwrite(b"x" * 65536, 0)
h.pread_structured(1 << 20, 0, f)
assert sum(n for _, n, _ in got) == 1 << 20, got
got.clear()
h.pread_structured(65536, 0, f, nbd.CMD_FLAG_DF)
assert got == [(0, 65536, nbd.READ_DATA)], got'
check 'block status' nbdsh nbdpy "$M" '
seen = {}
def f(name, off, ext, err): seen[name] = ext
h.block_status(1 << 20, 0, f)
assert set(seen) == {"base:allocation", "qemu:allocation-depth"}, seen
h.block_status(1 << 20, 4096, f, nbd.CMD_FLAG_REQ_ONE)
assert all(len(e) == 2 and e[0] <= 1 << 20 for e in seen.values()), seen'
check 'bad requests' nbdsh nbdpy "$M" '
import errno
h.set_strict_mode(0)
end = h.get_size()
assert errno_of(lambda: h.pread(512, end)) == errno.EINVAL
assert errno_of(lambda: h.pwrite(b"a" * 512, end)) == errno.ENOSPC
assert errno_of(lambda: h.pwrite(b"a" * 512, end - 1)) == errno.ENOSPC
assert errno_of(lambda: h.pread(512, 0, 1 << 9)) == errno.EINVAL
assert errno_of(lambda: h.trim(512, end)) == errno.EINVAL
assert errno_of(lambda: h.zero(512, end)) == errno.ENOSPC
h.pwrite(b"q", 1)
assert h.pread(1, 1) == b"q"'
check 'writes to read-only' nbdsh nbdpy "$R" '
import errno
h.set_strict_mode(0)
assert errno_of(lambda: h.pwrite(b"a" * 512, 0)) == errno.EPERM
assert errno_of(lambda: h.trim(512, 0)) == errno.EPERM
assert h.pread(512, 0) == bytes(512)'
check 'fast zero at once' nbdsh nbdpy "$M" '
import errno, time
t = time.monotonic()
assert errno_of(lambda: h.zero(64 << 20, 0, nbd.CMD_FLAG_FAST_ZERO)) in (0, errno.ENOTSUP)
assert time.monotonic() - t < 1'
check 'multi-conn: other connections see a write' nbdsh nbdpy "$F" '
g = nbd.NBD(); g.connect_uri(sys.argv[1])
for i in range(200):
    h.pwrite(bytes([i]) * 4096, i * 4096)
    assert g.pread(4096, i * 4096) == bytes([i]) * 4096
g.flush(); g.shutdown()'
check '300 connections' nbdsh nbdpy "$M" '
hs = []
for i in range(300):
    g = nbd.NBD(); g.connect_uri(sys.argv[1]); hs.append(g)
assert all(g.pread(1, 5) is not None for g in hs)
[g.shutdown() for g in hs]'
check 'proxy' nbdkit nbdkit -U - nbd "$M" --run "nbdcopy \$uri $dir/p.raw"
check 'proxy with a block size policy' nbdkit nbdkit -U - nbd "$R" --filter=blocksize-policy \
    blocksize-error-policy=error --run "nbdcopy \$uri $dir/p.raw"
check 'plain TCP: copy both ways' nbdcopy bash -c \
    "nbdcopy $dir/in.raw nbd://$tcp/mem && nbdcopy nbd://$tcp/mem $dir/t.raw && cmp $dir/in.raw $dir/t.raw"

# idle: a hundred clients cost nothing
check 'idle with 100 clients' nbdsh nbdpy "$M" "
import time
hs = []
for i in range(100):
    g = nbd.NBD(); g.connect_uri(sys.argv[1]); g.pread(4096, 0); hs.append(g)
time.sleep(2.5)
def ticks():
    f = open('/proc/$pid/stat').read().rsplit(')', 1)[1].split()
    return int(f[11]) + int(f[12])
a = ticks(); time.sleep(1); b = ticks()
assert b == a, (a, b)
[g.shutdown() for g in hs]"

check 'multi-conn: write on one, flush on the other' nbdsh nbdpy "$F" '
g = nbd.NBD(); g.connect_uri(sys.argv[1])
h.pwrite(b"durable!" * 512, 8192); g.flush(); g.shutdown()'
kill -KILL $pid
wait $pid 2>/dev/null
check 'it is there after kill -9' cmp cmp -n 4096 -i 8192:0 "$dir/file.raw" \
    <(for _ in $(seq 512); do printf 'durable!'; done)
start

n=$((n + 1))
kill -TERM $pid
if wait $pid; then echo "ok $n - clean end"; else
    echo "not ok $n - clean end"
    failed=$((failed + 1))
fi
sed 's/^/# /' "$dir/server.log"
pid=
echo "1..$n"
[ $failed -eq 0 ]
