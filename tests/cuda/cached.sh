#!/bin/sh
# A second process finds every plan and every GPU binary of the first in the cache's folder, moved
# elsewhere too, and compiles nothing.   sh cached.sh TEST_CUDA_TENSORS
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -m 700 "$dir/first"
KILN_CACHE="$dir/first" "$1" >"$dir/log" || { code=$?; cat "$dir/log"; exit $code; }
cp -a "$dir/first" "$dir/moved" && rm -r "$dir/first"
KILN_CACHE="$dir/moved" KILN_NO_COMPILE=1 "$1" >"$dir/log" || { cat "$dir/log"; exit 1; }
! KILN_CACHE= KILN_NO_COMPILE=1 "$1" >"$dir/log" # it would have had to
