#!/bin/sh
# The guide's network in C and in Python, each twice: the same losses, to the last digit.
#   sh samples/guide.sh BUILD OUT PYTHON
set -eu
here=$(dirname "$0") build=$1 out=$2
mkdir -p "$out"
"$build/samples/guide" >"$out/c.txt"
"$build/samples/guide" | cmp "$out/c.txt" -
PYTHONPATH="$build/python" "$3" "$here/guide.py" >"$out/python.txt"
PYTHONPATH="$build/python" KILN_THREADS=1 "$3" "$here/guide.py" | cmp "$out/python.txt" -
diff "$out/c.txt" "$out/python.txt"
cat "$out/c.txt"
echo "C and Python print the same losses"
