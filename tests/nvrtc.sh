#!/bin/sh
# Print the folder of an NVRTC library: the CUDA toolkit's if there is one, else PyPI's
# nvidia-cuda-nvrtc, installed into build-check/nvrtc on first use.
#   LD_LIBRARY_PATH=$(sh tests/nvrtc.sh) ...
set -eu
cd "$(dirname "$0")/.."
for d in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
    if ls "$d"/libnvrtc.so.1[1-9] >/dev/null 2>&1; then echo "$d"; exit 0; fi
done
venv=$PWD/build-check/nvrtc # whole: meson's tests run in another folder
if ! ls "$venv"/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.* >/dev/null 2>&1; then
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install -q --disable-pip-version-check nvidia-cuda-nvrtc >&2
fi
dirname "$(ls "$venv"/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.* | head -1)"
