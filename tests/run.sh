#!/bin/sh
# Pass all tests on a fresh Debian 12 or Ubuntu 24.04, doing all set-up.
#   sh tests/run.sh [--quick|--full]
# plain   every suite but one in build-check (assertions, verifiers after every pass); in the build
#         that users get, those of whole programs; ASan and UBSan, TSan, clang's build, 10,000 random
#         graphs, 500 of them through CUDA, 20 s of each reader under libFuzzer, other LLVMs,
#         neighbours in one process, some planted faults, kiln's operators against PyTorch's (which is
#         downloaded: 2.5 GB, into build/bench-env)
# --quick every suite in build-check; samples, kilnc and the package in the users' build
# --full  every suite in the users' build too, all planted faults, 100,000 random graphs,
#         1,000,000 random programs
# Ends with one line: N passed, N failed, N skipped.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-}
case "$mode" in ''|--quick|--full) ;; *) echo "usage: sh tests/run.sh [--quick|--full]" >&2; exit 2;; esac
sh tests/setup.sh test
passed=0 failed=0 skipped=0
export KILN_CACHE=
# a hundred processes import PyTorch: each reading its source anew takes minutes
export PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$PWD/build/pycache"
begin=$(date +%s)

configure() { # folder, options
    dir=$1; shift
    [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@" >"$dir.log" 2>&1 ||
        { tail -20 "$dir.log"; exit 1; }
}

of() { # option, names: the option before each
    for name in $(shift; echo "$@"); do echo "$1 $name"; done
}

build() { # folder: all of it
    ninja -C "$1" >"$1.log" 2>&1 || { grep -E 'error|FAILED' "$1.log" | head; tail -5 "$1.log"; exit 1; }
    rm -f "$1.log"
}

count() { # passed, failed, skipped: says so, with the seconds since it was last asked
    now=$(date +%s)
    echo "   $1 passed, $2 failed, $3 skipped, $((now - begin)) s"
    begin=$now passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

suites() { # folder, title, meson test's options: builds what these tests need
    dir=$1 title=$2; shift 2
    echo "== $title"
    meson test -C "$dir" --print-errorlogs "$@" >"$dir/tests.log" 2>&1 || true
    p=$(sed -n 's/^Ok: *\([0-9]*\).*/\1/p' "$dir/tests.log") f=$(sed -n 's/^Fail: *\([0-9]*\).*/\1/p' "$dir/tests.log")
    t=$(sed -n 's/^Timeout: *\([0-9]*\).*/\1/p' "$dir/tests.log") s=$(sed -n 's/^Skipped: *\([0-9]*\).*/\1/p' "$dir/tests.log")
    [ -n "$p" ] || { grep -E 'error|FAILED' "$dir/tests.log" | head; tail -20 "$dir/tests.log"; p=0 f=1; }
    [ "${f:-0}" = 0 ] && [ "${t:-0}" = 0 ] || grep -E 'FAIL|TIMEOUT|:[EF]:|ERROR' "$dir/tests.log" | head -60
    grep -E ' SKIP ' "$dir/tests.log" | sed 's/^/   /' || true
    count "${p:-0}" $((${f:-0} + ${t:-0})) "${s:-0}"
}

script() { # title, command: its last line is "N passed, N failed"
    echo "== $1"
    shift
    "$@" >build/script.log 2>&1 || true
    p=$(sed -n '$s/^\([0-9]*\) passed, [0-9]* failed$/\1/p' build/script.log)
    f=$(sed -n '$s/^[0-9]* passed, \([0-9]*\) failed$/\1/p' build/script.log)
    [ -n "$p" ] || p=0 f=1
    sed 's/^/   /; ${/ passed, /d}' build/script.log | tail -60
    count "$p" "$f" 0
}

fetch() { # in the background, what later legs need, most of it for PyTorch
    [ "$mode" != --quick ] || return 0
    "$env/bin/python3" -c 'import numpy, torch, expecttest, filelock, array_api_strict, onnx, scipy, pandas, matplotlib' 2>/dev/null ||
        sh tests/bench/peers.sh "$env" >"$env/install.log" 2>&1 || tail -5 "$env/install.log"
    [ "$mode" != --full ] || "$env/bin/python3" -c 'import torchvision, timm' 2>/dev/null ||
        "$env/bin/pip" install -q --no-compile --no-deps torchvision timm pyyaml || true
    sh tests/neighbours/run.sh --fetch
    sh tests/llvms.sh --fetch
}

mkdir -p build build-check
nvrtc=$(sh tests/nvrtc.sh) || { echo "tests: no NVRTC could be installed" >&2; exit 1; }
export LD_LIBRARY_PATH="$nvrtc${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
env=build/bench-env
if [ "$mode" != --quick ] && [ ! -e "$env/bin/python3" ]; then
    echo "== downloading PyTorch, 2.5 GB, into $env, while kiln compiles"
    python3 -m venv "$env"
fi
configure build
configure build-check -Dbuildtype=debugoptimized -Db_ndebug=false -Dc_args=-g1
fetch >build/fetch.log 2>&1 & fetching=$!
build build
build build-check
# what compiles C files most of its time: once, in the users' build
[ "$mode" = '' ] && less=source || less=
suites build-check "assertions, verifiers after every pass" --no-rebuild $(of --no-suite $less)
wait $fetching || true
cat build/fetch.log
case "$mode" in
--full) less= ;;
*) less="unit cuda cpu fuzz oom" ;;
esac
suites build "the build that users get" --no-rebuild $(of --no-suite $less)
if [ "$mode" != --quick ]; then
    # compiling takes longer than running: little is optimised, lines alone are in debug information
    checked="-Ddebug=true -Dc_args=-g1 -Db_ndebug=false"
    configure build-asan $checked -Doptimization=1 -Dsanitize=address,undefined -Db_lundef=false
    [ "$mode" = --full ] && command=kilnc || command=
    suites build-asan "address and undefined-behaviour sanitizers" --timeout-multiplier 4 \
        $(of --suite unit golden samples $command)
    configure build-tsan $checked -Doptimization=1 -Dsanitize=thread -Db_lundef=false
    suites build-tsan "thread sanitizer" thread compile users --timeout-multiplier 4
    export CC=clang
    configure build-clang -Dwerror=true -Doptimization=0
    unset CC
    build build-clang
    suites build-clang "clang's build, every warning an error" --no-rebuild --suite golden --suite cpu
    cpu=10000 cuda=500 programs=10000
    [ "$mode" != --full ] || cpu=100000 cuda=5000 programs=1000000
    script "$cpu random graphs, $cuda through CUDA" sh tests/fuzz/many.sh build $cpu $cuda
    # one thread each: two processes run at a time
    python="env OMP_NUM_THREADS=1 PYTHONPATH=$PWD/build/python $PWD/$env/bin/python3"
    opdb="$python tests/python/opdb.py --quick --part"
    script "operators on PyTorch's samples" sh tests/pool.sh "$opdb 0/2" "$opdb 1/2"
    opdb="$python tests/python/torch_opdb.py --quick --part"
    script "models and operators through torch.compile" sh tests/pool.sh \
        "$opdb 0/2" "$opdb 1/2" "$python tests/python/torch_models.py" "$python tests/python/torch_sizes.py" \
        "$python tests/python/torch_kernels.py" "$python tests/python/torch_graphs.py"
    if [ "$mode" = --full ]; then
        script "families of image models through torch.compile" sh tests/pool.sh \
            "$python tests/python/torch_zoo.py torchvision" "$python tests/python/torch_zoo.py timm"
    fi
    script "prints, files, and $programs random programs, as PyTorch and NumPy" \
        sh tests/python/peers.sh "$python" $programs
    script "ONNX's node tests, pip install ., neighbours in one process, LLVM 17, 18 and too old ones" \
        sh tests/pool.sh "$python tests/python/onnx_nodes.py" "sh tests/install/pip.sh" \
        "sh tests/neighbours/run.sh build" "sh tests/llvms.sh build 17" "sh tests/llvms.sh build 18" \
        "sh tests/llvms.sh build old"
    if [ "$mode" = --full ]; then
        sh tests/setup.sh browser
        script "a report in a browser" python3 tests/kilnc/report.py build/kilnc samples/conv.kl chromium
    fi
    script "readers under libFuzzer, 20 s each" env SEED=1 sh tests/fuzz/run.sh 20
    configure build-plant -Dplant=true -Doptimization=0
    sample="--sample 0 --part 0/2"
    [ "$mode" != --full ] || sample=
    script "planted faults" python3 tests/plant/run.py build-plant $sample
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
