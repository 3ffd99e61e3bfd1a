#!/bin/sh
# `pip install .` into a fresh virtual environment: every module is there and can be imported
# (or says that it needs PyTorch), the package computes, and its type stubs came along.
# Needs PyPI (meson-python, ninja).
#   sh tests/install/pip.sh         its last line: N passed, N failed
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset PYTHONPATH
python3 -m venv "$dir/venv" && cd "$dir" && "$dir/venv/bin/pip" install -q "$root" >"$dir/log" 2>&1 ||
    { tail -20 "$dir/log"; echo "0 passed, 1 failed"; exit 1; }
cat >check.py <<'END'
import importlib, os, sys
import kiln
here, source = kiln.__path__[0], sys.argv[1]
want = {os.path.relpath(os.path.join(d, f), source) for d, _, files in os.walk(source)
        for f in files if not f.endswith(".pyc")}
want |= {"__init__.pyi", "linalg.pyi", "nn/functional.pyi"}
failed = [f for f in sorted(want) if not os.path.exists(os.path.join(here, f))]
for f in sorted(want):
    if f.endswith(".py") and "__main__" not in f:
        try:
            importlib.import_module("kiln." + f[:-3].replace("/", ".").removesuffix(".__init__"))
        except ImportError as e:  # PyTorch is not here: its package says so, the others do without
            if not (f.startswith("torch/") and str(e).startswith("kiln.torch needs PyTorch")):
                raise
if kiln.ones(2, 3).softmax(1).sum().item() != 2 or not here.startswith(sys.prefix):
    failed.append("softmax")
print(*failed, sep="\n", end="\n" * bool(failed))
print(f"{len(want) + 1 - len(failed)} passed, {len(failed)} failed")
END
KILN_CACHE= "$dir/venv/bin/python" check.py "$root/frontend/python/kiln"
