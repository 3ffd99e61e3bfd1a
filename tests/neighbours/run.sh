#!/bin/sh
# kiln beside NumPy and numba in one process, in both orders; and what libkiln.so exports.
#   sh tests/neighbours/run.sh BUILD        ends with one line: N passed, N failed
# numba and NumPy come from PyPI into build/neighbour-env.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build} env=build/neighbour-env
if ! "$env/bin/python3" -c 'import numba' 2>/dev/null; then
    echo "neighbours: installing numba into $env"
    { python3 -m venv "$env" && "$env/bin/pip" install -q numba; } >"$build/neighbours.log" 2>&1 ||
        { tail -5 "$build/neighbours.log"; echo "0 passed, 1 failed"; exit 1; }
fi
passed=0 failed=0
count() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }
for first in kiln numba; do
    rc=0
    KILN_CACHE= KILN_THREADS=2 timeout 300 "$env/bin/python3" tests/neighbours/neighbours.py \
        "$PWD/$build/libkiln.so" $first || rc=1
    count $rc
done
others=$(nm -D --defined-only "$build/libkiln.so" | awk '$3 !~ /^kl_/ {print $3}')
[ -z "$others" ] || echo "neighbours: libkiln.so also exports $others"
if [ -z "$others" ]; then count 0; else count 1; fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
