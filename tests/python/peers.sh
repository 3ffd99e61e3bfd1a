#!/bin/sh
# Compare kiln's Python package with the real ones: printing and files with PyTorch, NumPy mode
# with NumPy and the array API standard, shared memory with NumPy by so many random programs, in two processes.
#   sh tests/python/peers.sh PYTHON PROGRAMS [SEED]
cd "$(dirname "$0")"
half=$((($2 + 1) / 2)) seed=${3:-1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" peer_programs.py $half "$seed" >"$work/3" 2>&1 &
"$1" peer_programs.py $half $((seed + 1)) >"$work/4" 2>&1
"$1" peer_print.py >"$work/1" 2>&1
"$1" peer_save.py >"$work/2" 2>&1
"$1" peer_numpy.py >"$work/5" 2>&1
"$1" peer_array_api.py >"$work/6" 2>&1
wait
passed=0 failed=0
for f in "$work"/*; do
    p=$(sed -n '$s/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$f")
    n=$(sed -n '$s/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$f")
    [ -n "$p" ] && [ "$n" = 0 ] || cat "$f"
    passed=$((passed + ${p:-0})) failed=$((failed + ${n:-1}))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
