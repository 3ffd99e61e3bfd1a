#!/bin/sh
# The tables of tests/README.md: each row of the feature list stands in one of
# them, once (those of part A by ranges); every file that they name is there; and the build downloads nothing (rows C66, C67).
#   sh tests/style/rows.sh   (from anywhere)
set -u
cd "$(dirname "$0")/../.."
bad=0
complain() { echo "rows: $*"; bad=1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

{ seq -f 'B%02g' 73; seq -f 'C%02g' 96; seq -f 'D%g' 15; } | LC_ALL=C sort >"$dir/want"
awk '/^\| [BCD][0-9]+ / {print $2}' tests/README.md | LC_ALL=C sort >"$dir/have"
diff "$dir/want" "$dir/have" >"$dir/diff" ||
    complain "tests/README.md: missing (<) or too often (>): $(grep '^[<>]' "$dir/diff" | tr '\n' ' ')"
# "A001-A021, A023" as a row a line
awk '/^\| A[0-9]/ {
    for (i = 2; i <= NF && $i ~ /^A[0-9][-A0-9]*,?$/; i++) {
        n = split($i, ends, "-"); sub(/,/, "", ends[n])
        for (k = substr(ends[1], 2) + 0; k <= substr(ends[n], 2) + 0; k++) printf "A%03d\n", k
    }
}' tests/README.md | sort >"$dir/have"
seq -f 'A%03g' 259 | diff - "$dir/have" >"$dir/diff" ||
    complain "tests/README.md: missing (<) or too often (>): $(grep '^[<>]' "$dir/diff" | tr '\n' ' ')"
for f in $(sed -n '/^| [ABCD][0-9]/p' tests/README.md | grep -o '`[^`]*`' | tr -d '`' | sort -u); do
    [ -e "tests/$f" ] || complain "tests/README.md names $f, which is not there"
done
for f in meson.build tests/meson.build samples/meson.build; do
    ! grep -q "subproject(" $f || complain "$f has a subproject"
done
[ ! -e subprojects ] || complain "there are subprojects"
[ $bad = 0 ] && echo "rows: $(wc -l <"$dir/want") rows, $(sed -n '/^Missing/,$p' tests/README.md | grep -c '^| [BCD]') of them missing"
exit $bad
