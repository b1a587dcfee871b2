#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lvm_reports.sh ASHLAR TESTS_DIR IMAGE_DIR: unpack, then compare reports with those of lvm2.
set -eu
"$2"/golden/unpack "$3" lvm2
exec python3 "$2"/integration/lvm_golden.py "$1" "$2"/golden/lvm2 "$3"/lvm2
