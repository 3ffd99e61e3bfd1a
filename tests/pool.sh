#!/bin/sh
# Run commands two at a time, so that both cores are busy, each in a shell and each ending with
# one line "N passed, N failed". Says what each said, then the sum. Give the longest first.
#   sh tests/pool.sh COMMAND...             ends with one line: N passed, N failed
set -eu
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT
export said
n=10
for c; do
    n=$((n + 1))
    printf '%s\0' "$n" "$c"
done | xargs -0 -n 2 -P 2 sh -c 'sh -c "$2" >"$said/$1" 2>&1 || echo "ends with $?: $2" >"$said/$1.failed"' sh || true
passed=0 failed=0
for f in "$said"/??; do
    p=$(sed -n '$s/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$f")
    n=$(sed -n '$s/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$f")
    if [ -n "$p" ]; then
        sed '$d' "$f"
    else # it did not get to its last line
        cat "$f"
        p=0 n=1
    fi
    [ ! -e "$f.failed" ] || { cat "$f.failed"; [ "$n" -gt 0 ] || n=1; }
    passed=$((passed + p)) failed=$((failed + n))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
