#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lvm_golden.sh PROGRAM GOLDEN_DIR IMAGE_DIR: unpack, then run the program over both sets.
set -eu
"$2"/unpack "$3" lvm2 lvm2-kernel
"$1" "$2"/lvm2 "$3"/lvm2
"$1" "$2"/lvm2-kernel "$3"/lvm2-kernel
