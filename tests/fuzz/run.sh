#!/bin/sh
# Each reader of bytes from outside under libFuzzer, with ASan and UBSan, two at a time.
#   sh tests/fuzz/run.sh [SECONDS] [READER...]      20 seconds a reader
# SEED=N begins every reader at that seed, so that a failure is the change's and not the
# day's; without it each run tries other inputs.
# BUILD (build-fuzz) is made by clang. An input that breaks a promise is printed and kept in
# build-fuzz/found; mend the reader and move it to tests/fuzz/corpus/READER, which the test
# bytes-kept reads ever after. Ends with one line: N passed, N failed.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-20}
[ $# -eq 0 ] || shift
all="graph kernel loops plan pack npy npz csv safetensors elf onnx"
build=build-fuzz
[ -f $build/build.ninja ] ||
    CC=clang meson setup $build -Ddebug=true -Doptimization=1 -Dc_args=-g1 -Db_ndebug=false -Db_lundef=false \
        -Dsanitize=fuzzer-no-link,address,undefined >/dev/null
ninja -C $build tests/bytes tests/libfuzzer >$build/log 2>&1 || { grep -E 'error|FAILED' $build/log; exit 1; }
mkdir -p $build/found
export ASAN_OPTIONS=detect_leaks=1:intercept_tls_get_addr=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

one() { # reader
    work=$build/work/$1
    rm -rf "$work" && mkdir -p "$work" tests/fuzz/corpus/"$1"
    $build/tests/bytes "$1" --write "$work"
    if $build/tests/libfuzzer --reader="$1" -max_total_time="$seconds" -seed="${SEED:-0}" -timeout=10 -rss_limit_mb=1024 \
        -max_len=65536 -print_final_stats=0 -verbosity=1 -artifact_prefix=$build/found/"$1"- \
        "$work" tests/fuzz/corpus/"$1" >"$build/$1.log" 2>&1; then
        echo "   $1: $(sed -n 's/^#\([0-9]*\).*DONE *\(cov: [0-9]*\).*/\1 inputs, \2/p' "$build/$1.log")"
    else
        echo "   $1: FAILED"
        grep -E 'ERROR|SUMMARY|runtime error|^[a-z]+: |Test unit written' "$build/$1.log" | head -8
        grep -E '^    #[0-9]+ ' "$build/$1.log" | head -12
        : >"$build/$1.failed"
    fi
}

rm -f $build/*.failed
set -- ${*:-$all}
total=$#
while [ $# -gt 0 ]; do
    one "$1" &
    [ $# -lt 2 ] || one "$2" &
    wait
    shift
    [ $# -eq 0 ] || shift
done
failed=$(ls $build/*.failed 2>/dev/null | wc -l)
echo "$((total - failed)) passed, $failed failed"
[ "$failed" = 0 ]
