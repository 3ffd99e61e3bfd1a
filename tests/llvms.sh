#!/bin/sh
# kiln with LLVM 17 and 18, from PyPI's karellen-llvm-core (x86-64 only): the programs that run
# kernels and compare bits. And with one that is too old, where clang brought LLVM 14 to 16, and
# with none: a clear message.
#   sh tests/llvms.sh BUILD                 ends with one line: N passed, N failed
# The library is put in the way under the name that kiln tries first.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
passed=0 failed=0
export KILN_CACHE=
count() { # result, what
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "llvms: $2 fails"; fi
}

for v in 17.0.6.0 18.1.8.0; do
    dir=$PWD/build/llvm-$v
    if [ ! -e "$dir/libLLVM.so.19.1" ]; then
        echo "llvms: fetching LLVM $v into $dir"
        mkdir -p "$dir"
        python3 -m venv "$dir/env" && "$dir/env/bin/pip" install -q --no-deps "karellen-llvm-core==$v" >"$dir/log" 2>&1 ||
            { tail -3 "$dir/log"; count 1 "fetching LLVM $v"; continue; }
        ln -sf "$(ls "$dir"/env/lib/libLLVM*.so* | head -1)" "$dir/libLLVM.so.19.1"
    fi
    for t in pipeline views tensor autograd; do
        rc=0
        SOURCE_ROOT=$PWD KILN_VERIFY=1 LD_LIBRARY_PATH=$dir "$build/tests/test_$t" >"$dir/log" 2>&1 || rc=1
        [ $rc = 0 ] || grep -E ':[EF]:' "$dir/log" | head -5
        count $rc "$t with LLVM $v"
    done
    said=$(LD_LIBRARY_PATH=$dir KILN_DEBUG=1 "$build/kilnc" samples/digits.kl --check 2>&1 | grep -c "opened LLVM ${v%%.*}" || true)
    rc=0; [ "$said" = 1 ] || rc=1; count $rc "opening LLVM $v"
done

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
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
