#!/bin/sh
# Measure every bar, or those whose names begin with a NAME given: sh tests/bench/run.sh [NAME...]
# ("row": the cases of rows.c, which are no bars).
# Prints one line a bar, "bar NAME measured REQUIRED ok" or "... short", and exits 0 when all were
# printed. Builds kiln as users get it; installs its peers, NumPy, PyTorch and
# ONNX Runtime, in build/bench-env.
set -eu
cd "$(dirname "$0")/../.."
sh tests/setup.sh test
export PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$PWD/build/pycache"
[ -f build/build.ninja ] || meson setup build >build.log 2>&1 || { tail -20 build.log; exit 1; }
ninja -C build >build/ninja.log 2>&1 || { grep -E 'error|FAILED' build/ninja.log | head; exit 1; }
rm -f build.log
env=build/bench-env
if ! "$env/bin/python3" -c 'import numpy, onnxruntime, torch' 2>/dev/null; then
    echo "bench: installing NumPy, PyTorch and ONNX Runtime in $env"
    python3 -m venv "$env"
    sh tests/bench/peers.sh "$env" >"$env/install.log" 2>&1 || tail -5 "$env/install.log"
fi
exec "$env/bin/python3" -u tests/bench/bars.py "$@"
