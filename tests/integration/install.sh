#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# install.sh [BUILD]: what `make install` installs works where it lies: the program, its manual, and
# the library with its headers, by a program that is built against them (tests/tools/embed.c).
# Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
command -v pkg-config >/dev/null || { echo "1..0 # SKIP no pkg-config"; exit 77; }
dir=$(mktemp -d)
pid=
trap 'kill $pid 2>/dev/null; rm -rf "$dir"' EXIT
n=0 failed=0
say() { # say OK WHAT
    n=$((n + 1))
    [ "$1" = 0 ] && { echo "ok $n - $2"; return; }
    echo "not ok $n - $2"
    failed=1
    sed 's/^/# /' "$dir/log"
}
meson install -C "$build" --no-rebuild --destdir "$dir/root" >"$dir/log" 2>&1
say $? "installs into an empty folder"
root=$dir/root$(meson introspect "$build" --buildoptions | python3 -c \
    'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
ashlar=$root/bin/ashlar

"$ashlar" version >"$dir/log" 2>&1 && [ -L "$root/bin/ashlard" ] && "$root/bin/ashlard" --help >>"$dir/log" 2>&1
say $? "the program and its other name"
if command -v scdoc >/dev/null; then
    find "$root" -name 'ashlar.1*' >"$dir/log"
    [ -s "$dir/log" ]
    say $? "the manual page"
fi

"$ashlar" demo --dir "$dir/state" >"$dir/log" 2>&1 &
pid=$!
for _ in $(seq 100); do grep -q "Ctrl-C" "$dir/log" && break; sleep 0.1; done
uri=$(sed -n "s/.*'\(nbd+unix:[^']*\)'.*/\1/p" "$dir/log" | head -1)
[ -n "$uri" ] && { ! command -v nbdinfo >/dev/null || nbdinfo --size "$uri" >>"$dir/log" 2>&1; }
say $? "ashlar demo serves a volume"
kill -INT $pid; wait $pid
say $? "and ends well"
pid=

pc=$(dirname "$(find "$root" -name ashlar.pc)")
cflags=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$root" --cflags ashlar) &&
    libs=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$root" --static --libs ashlar) &&
    mkdir "$dir/elsewhere" && cp tests/tools/embed.c "$dir/elsewhere/" && cd "$dir/elsewhere" &&
    eval "${CC:-cc} -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror embed.c -o embed $cflags $libs" >"$dir/log" 2>&1
say $? "a program builds against the library"
truncate -s 1G "$dir/disk.img"
./embed "$dir/disk.img" >"$dir/log" 2>&1 && grep -q "new: written before" "$dir/log" &&
    grep -q "$(sed -n 's/^Ashlar \([0-9.]*\):.*/\1/p' "$dir/log")" <<<"$("$ashlar" version)"
say $? "has an engine, a pool and a volume"
./embed "$dir/disk.img" >"$dir/log" 2>&1 && grep -q "found: written before" "$dir/log"
say $? "and finds them again"
"$ashlar" check "$dir/disk.img" >"$dir/log" 2>&1
say $? "the pool is sound"
echo "1..$n"
exit $failed
