#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# golden_crash.sh PROGRAM GOLDEN_DIR IMAGE_DIR: unpack, then run the program over it.
set -eu
"$2"/unpack "$3" blobstore-crash
exec "$1" "$3"/blobstore-crash
