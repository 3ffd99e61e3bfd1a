#!/bin/sh
# kiln with LLVM 17 and 18, from PyPI's karellen-llvm-core (x86-64 only): the programs that run
# kernels and compare bits. And ("old") with one that is too old, where clang brought LLVM 14 to
# 16: a clear message.
#   sh tests/llvms.sh BUILD [17|18|old...]  ends with one line: N passed, N failed
#   sh tests/llvms.sh --fetch               the libraries alone
# The library is put in the way under the name that kiln tries first.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
[ $# -eq 0 ] || shift
passed=0 failed=0
export KILN_CACHE=
count() { # result, what
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "llvms: $2 fails"; fi
}

fetch() { # version: into its folder
    [ ! -e "$1/libLLVM.so.19.1" ] || return 0
    version=${1##*llvm-}
    echo "llvms: fetching LLVM $version into $1"
    mkdir -p "$1"
    python3 -m venv "$1/env" && "$1/env/bin/pip" install -q --no-deps "karellen-llvm-core==$version" >"$1/log" 2>&1 ||
        { tail -3 "$1/log"; return 1; }
    ln -sf "$(ls "$1"/env/lib/libLLVM*.so* | head -1)" "$1/libLLVM.so.19.1"
}

with() { # version
    dir=$PWD/build/llvm-$1
    fetch "$dir" || { count 1 "fetching LLVM $1"; return 0; }
    for t in pipeline views tensor autograd; do
        rc=0
        SOURCE_ROOT=$PWD KILN_VERIFY=1 LD_LIBRARY_PATH=$dir "$build/tests/test_$t" >"$dir/log" 2>&1 || rc=1
        [ $rc = 0 ] || grep -E ':[EF]:' "$dir/log" | head -5
        count $rc "$t with LLVM $1"
    done
    said=$(LD_LIBRARY_PATH=$dir KILN_DEBUG=1 "$build/kilnc" samples/digits.kl --check 2>&1 | grep -c "opened LLVM ${1%%.*}" || true)
    rc=0; [ "$said" = 1 ] || rc=1; count $rc "opening LLVM $1"
}

too_old() {
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    for old in 14 15 16; do
        so=$(ldconfig -p | sed -n "s/.*libLLVM-$old\.so.* => //p" | head -1)
        [ -n "$so" ] || continue
        ln -sf "$so" "$dir/libLLVM.so.19.1"
        rc=0
        LD_LIBRARY_PATH=$dir "$build/kilnc" samples/digits.kl --check >/dev/null 2>"$dir/err" && rc=1
        grep -q "kiln needs LLVM 17 to 19\|kiln needs 17 to 19" "$dir/err" && [ "$(wc -l <"$dir/err")" = 1 ] || rc=1
        count $rc "LLVM $old's message"
    done
}

seventeen=17.0.6.0 eighteen=18.1.8.0
if [ "$build" = --fetch ]; then
    for v in $seventeen $eighteen; do fetch "$PWD/build/llvm-$v"; done
    exit 0
fi
for which in ${*:-17 18 old}; do
    case $which in 17) with $seventeen ;; 18) with $eighteen ;; old) too_old ;; esac
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
