#!/bin/sh
# kiln beside NumPy and numba in one process, in both orders; and what libkiln.so exports.
#   sh tests/neighbours/run.sh BUILD        ends with one line: N passed, N failed
#   sh tests/neighbours/run.sh --fetch      numba and NumPy from PyPI into build/neighbour-env alone
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build} env=build/neighbour-env
if ! "$env/bin/python3" -c 'import numba' 2>/dev/null; then
    echo "neighbours: installing numba into $env"
    mkdir -p build
    { python3 -m venv "$env" && "$env/bin/pip" install -q numba; } >build/neighbours.log 2>&1 ||
        { tail -5 build/neighbours.log; echo "0 passed, 1 failed"; exit 1; }
fi
[ "$build" != --fetch ] || exit 0
passed=0 failed=0
count() { if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }
both() { # which compiles first
    KILN_CACHE= KILN_THREADS=2 timeout 300 "$env/bin/python3" tests/neighbours/neighbours.py \
        "$PWD/$build/libkiln.so" "$1"
}
both kiln & one=$!
both numba & other=$!
for process in $one $other; do
    rc=0
    wait "$process" || rc=1
    count $rc
done
others=$(nm -D --defined-only "$build/libkiln.so" | awk '$3 !~ /^kl_/ {print $3}')
[ -z "$others" ] || echo "neighbours: libkiln.so also exports $others"
if [ -z "$others" ]; then count 0; else count 1; fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
