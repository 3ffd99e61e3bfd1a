#!/bin/sh
# Pass all tests on a fresh Debian 12 or Ubuntu 24.04, doing all set-up.
#   sh tests/run.sh [--quick|--full]
# plain   every suite in the user's build and in build-check (verifiers on), ASan and UBSan, TSan,
#         10,000 random graphs, 500 of them through CUDA, 20 s of each reader under libFuzzer,
#         clang's build, other LLVMs, neighbours in one process, planted faults, kiln's operators
#         against PyTorch's (which is downloaded: 2.5 GB, into build/bench-env)
# --quick the suites in both builds only (300 random graphs)
# --full  all planted faults, 100,000 random graphs, 1,000,000 random programs
# Ends with one line: N passed, N failed, N skipped.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-}
case "$mode" in ''|--quick|--full) ;; *) echo "usage: sh tests/run.sh [--quick|--full]" >&2; exit 2;; esac
sh tests/setup.sh test
passed=0 failed=0 skipped=0
export KILN_CACHE=

configure() { # folder, options
    dir=$1; shift
    [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@" >"$dir.log" 2>&1 ||
        { tail -20 "$dir.log"; exit 1; }
    ninja -C "$dir" >"$dir.log" 2>&1 || { grep -E 'error|FAILED' "$dir.log" | head; tail -5 "$dir.log"; exit 1; }
    rm -f "$dir.log"
}

suites() { # folder, title, meson test's options: adds to the counts
    dir=$1 title=$2; shift 2
    echo "== $title"
    meson test -C "$dir" --no-rebuild --print-errorlogs "$@" >"$dir/tests.log" 2>&1 || true
    p=$(sed -n 's/^Ok: *//p' "$dir/tests.log") f=$(sed -n 's/^Fail: *//p' "$dir/tests.log")
    t=$(sed -n 's/^Timeout: *//p' "$dir/tests.log") s=$(sed -n 's/^Skipped: *//p' "$dir/tests.log")
    [ -n "$p" ] || { tail -20 "$dir/tests.log"; p=0 f=1; }
    [ "${f:-0}" = 0 ] && [ "${t:-0}" = 0 ] || grep -E 'FAIL|TIMEOUT|:[EF]:|ERROR' "$dir/tests.log" | head -60
    grep -E ' SKIP ' "$dir/tests.log" | sed 's/^/   /' || true
    echo "   ${p:-0} passed, $((${f:-0} + ${t:-0})) failed, ${s:-0} skipped"
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0} + ${t:-0})) skipped=$((skipped + ${s:-0}))
}

script() { # title, command: its last line is "N passed, N failed"
    echo "== $1"
    shift
    "$@" >build/script.log 2>&1 || true
    p=$(sed -n '$s/^\([0-9]*\) passed, [0-9]* failed$/\1/p' build/script.log)
    f=$(sed -n '$s/^[0-9]* passed, \([0-9]*\) failed$/\1/p' build/script.log)
    [ -n "$p" ] || p=0 f=1
    sed 's/^\( *\)/   \1/' build/script.log | tail -60
    passed=$((passed + p)) failed=$((failed + f))
}

mkdir -p build-check
nvrtc=$(sh tests/nvrtc.sh) || { echo "tests: no NVRTC could be installed" >&2; exit 1; }
export LD_LIBRARY_PATH="$nvrtc${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
env=build/bench-env
if [ "$mode" != --quick ] && ! "$env/bin/python3" -c 'import numpy, torch, expecttest, filelock, array_api_strict' 2>/dev/null; then
    echo "== downloading PyTorch, 2.5 GB, into $env"
    mkdir -p build
    python3 -m venv "$env"
    sh tests/bench/peers.sh "$env" >"$env/install.log" 2>&1 || tail -5 "$env/install.log"
fi
configure build
configure build-check -Dbuildtype=debugoptimized -Db_ndebug=false
suites build "the build that users get"
suites build-check "verifiers after every pass"
if [ "$mode" != --quick ]; then
    configure build-asan -Dbuildtype=debugoptimized -Db_ndebug=false -Dsanitize=address,undefined -Db_lundef=false
    suites build-asan "address and undefined-behaviour sanitizers" --suite unit --suite golden --timeout-multiplier 4
    suites build-asan "the same: the samples" --suite samples --timeout-multiplier 4
    suites build-asan "the same: kilnc" kilnc --timeout-multiplier 4
    configure build-tsan -Dbuildtype=debugoptimized -Db_ndebug=false -Dsanitize=thread -Db_lundef=false
    suites build-tsan "thread sanitizer" thread compile users --timeout-multiplier 4
    export CC=clang
    configure build-clang -Dwerror=true
    unset CC
    suites build-clang "clang's build, every warning an error" --suite unit --suite golden
    cpu=10000 cuda=500
    [ "$mode" != --full ] || cpu=100000 cuda=5000
    script "$cpu random graphs, $cuda through CUDA" sh tests/fuzz/many.sh build $cpu $cuda
    script "operators on PyTorch's samples" env PYTHONPATH=build/python "$env/bin/python3" tests/python/opdb.py --quick
    programs=20000
    [ "$mode" != --full ] || programs=1000000
    script "prints, files, and $programs random programs, as PyTorch and NumPy" \
        env PYTHONPATH="$PWD/build/python" sh tests/python/peers.sh "$PWD/$env/bin/python3" $programs
    script "pip install ." sh tests/install/pip.sh
    script "neighbours in one process" sh tests/neighbours/run.sh build
    script "LLVM 17 and 18, and too old ones" sh tests/llvms.sh build
    script "readers under libFuzzer, 20 s each" sh tests/fuzz/run.sh 20
    configure build-plant -Dplant=true
    sample="--sample 0"
    [ "$mode" != --full ] || sample=
    script "planted faults" python3 tests/plant/run.py build-plant $sample
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
