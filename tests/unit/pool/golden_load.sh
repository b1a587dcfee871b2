#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# golden_load.sh PROGRAM GOLDEN_DIR IMAGE_DIR: unpack, then run the program over it.
set -eu
"$2"/unpack "$3" spdk
# The test compares st_blocks, which changes when a fresh file reaches the disk.
sync "$3"/spdk/*.img
exec "$1" "$2"/spdk "$3"/spdk
