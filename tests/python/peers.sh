#!/bin/sh
# Compare kiln's Python package with the real ones: printing, strides and files with PyTorch, NumPy mode
# with NumPy and the array API standard, shared memory with NumPy by so many random programs, two
# processes at a time.
#   sh tests/python/peers.sh PYTHON PROGRAMS [SEED]
cd "$(dirname "$0")"
half=$((($2 + 1) / 2)) seed=${3:-1}
exec sh ../pool.sh "$1 peer_programs.py $half $seed" "$1 peer_programs.py $half $((seed + 1))" \
    "$1 peer_print.py" "$1 peer_layout.py" "$1 peer_save.py" "$1 peer_numpy.py" "$1 peer_array_api.py" "$1 peer_random.py"
