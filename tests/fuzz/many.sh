#!/bin/sh
# Many random graphs: COUNT on the CPU, CUDA of them through CUDA C under the stand-ins of tests/cuda.
#   sh tests/fuzz/many.sh BUILD COUNT CUDA [FIRST-SEED]
# What fails is shrunk, printed, and left in BUILD/found; mend it at its root and move the file to
# tests/fuzz/known, which the test graphs-known runs ever after. Ends with one line: N passed, N failed.
set -eu
cd "$(dirname "$0")/../.."
build=$1 count=$2 cuda=$3 seed=${4:-1001}
passed=0 failed=0
export KILN_VERIFY=1 KILN_CACHE=
mkdir -p "$build/found"

graphs() { # options
    if "$build/tests/graphs" --jobs "$(nproc)" --seed "$seed" --dir "$build/found" "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

graphs --count "$count" --loops 5
# loops for GPUs were interpreted above
LD_LIBRARY_PATH="$build/tests/cuda${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" graphs --cuda --count "$cuda" --loops 0
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
