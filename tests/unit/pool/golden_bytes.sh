#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# golden_bytes.sh PROGRAM GOLDEN_DIR IMAGE_DIR EVERY: unpack, then run the program over it.
set -eu
"$2"/unpack "$3" spdk
exec "$1" "$3/spdk" "$4"
