#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# portable.sh: what differs between processors, for those that nothing else runs on. The switch of
# stacks on this one, by ucontext (any other processor), and on aarch64 under qemu-user; and all
# of base, rt, bdev and pool is compiled for aarch64. Prints TAP; skips what has no compiler here.
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cross=aarch64-linux-gnu-gcc
flags="-std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers -Isrc -Iinclude"
n=0 failed=0
say() { # say OK WHAT LOG
    n=$((n + 1))
    [ "$1" = 0 ] && { echo "ok $n - $2"; return; }
    echo "not ok $n - $2"
    failed=1
    sed 's/^/# /' "$3"
}
skip() { n=$((n + 1)); echo "ok $n - # SKIP $1"; }
check_switch() { # check_switch WHAT RUNNER COMPILER OPTION...
    local what=$1 runner=$2 rc
    shift 2
    # shellcheck disable=SC2086
    "$@" -O2 $flags -o "$dir/switch" src/rt/switch.c tests/tools/switch_check.c >"$dir/log" 2>&1 &&
        timeout 120 $runner "$dir/switch" >"$dir/log" 2>&1 && [ "$(grep -c '^ok' "$dir/log")" = 3 ]
    rc=$?
    say $rc "stacks are switched $what" "$dir/log"
}
check_switch "on this processor" "" "${CC:-cc}"
check_switch "by ucontext" "" "${CC:-cc}" -DRT_UCONTEXT
if command -v $cross >/dev/null && command -v qemu-aarch64 >/dev/null; then
    check_switch "on aarch64" qemu-aarch64 $cross -static
    check_switch "by ucontext on aarch64" qemu-aarch64 $cross -static -DRT_UCONTEXT
else
    skip "no compiler or emulator for aarch64"
fi
if command -v $cross >/dev/null; then
    # the headers of the libraries are those of this machine: they do not differ in what is used
    # shellcheck disable=SC2086
    find src/base src/rt src/bdev src/pool -name '*.c' -print0 | xargs -0 -n 8 $cross $flags -fsyntax-only \
        -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
        -idirafter /usr/include/json-c >"$dir/log" 2>&1
    say $? "base, rt, bdev and pool compile for aarch64" "$dir/log"
else
    skip "no compiler for aarch64"
fi
echo "1..$n"
exit $failed
