#!/bin/sh
# Install NumPy, PyTorch, array_api_strict (tests/python/peer_array_api.py), onnx
# (tests/python/onnx_nodes.py), SciPy, pandas and matplotlib (tests/python/test_science.py), with
# what PyTorch's own samples of its operators need (tests/python/opdb.py), and ONNX Runtime
# (tests/bench/compiled.py), into the virtual environment ENV: sh peers.sh ENV
# PyPI's torch is linked to CUDA's libraries, so they must be there to open it; what else its
# package asks for (a GPU compiler of 1 GB first of all) eager mode on a CPU does without.
set -eu
pip="$1/bin/pip --disable-pip-version-check install -q --no-compile"
$pip --no-deps torch
# onnx's node tests cast numbers out of range by ml_dtypes, which casts them otherwise since 0.7
$pip numpy onnx 'ml_dtypes<0.7' scipy pandas matplotlib array-api-strict typing_extensions sympy expecttest filelock jinja2 networkx fsspec $("$1/bin/python3" - <<'PY'
import importlib.metadata as m

need = [r.split(";")[0].strip() for r in m.requires("torch") if "extra ==" not in r]
print(*(r for r in need if r.startswith(("nvidia", "cuda-toolkit"))))
PY
)
$pip onnxruntime
