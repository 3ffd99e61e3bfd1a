#!/bin/sh
# The main job on real input: build kiln, train a digit classifier from a CSV file through our own
# compiler, and show what it compiled. Does all set-up on a fresh Debian 12 or Ubuntu 24.04.
#   sh samples/run.sh
set -eu
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

say "set-up and build"
sh tests/setup.sh
[ -f build/build.ninja ] || meson setup build >build-setup.log 2>&1 || { tail -20 build-setup.log; exit 1; }
rm -f build-setup.log
ninja -C build >build/make.log 2>&1 || { grep -E 'error|FAILED' build/make.log | head; exit 1; }
echo "built build/libkiln.so ($(wc -c <build/libkiln.so) bytes)"
out=build/samples-out
mkdir -p "$out"

say "1. train a classifier of hand-written digits from a CSV file: 64-128-10, five seeds"
build/samples/digits samples/data/digits.csv "$out/digits.npz"

say "   the same with one thread: the same bits"
KILN_THREADS=1 build/samples/digits samples/data/digits.csv "$out/digits-1.npz" 20 1
cmp "$out/digits.npz" "$out/digits-1.npz" && echo "digits.npz is equal to the last bit"

say "2. a small convolutional network on the same digits, five seeds"
build/samples/conv samples/data/digits.csv "$out/conv.npz"

say "3. the trained net compiled ahead of time, in a program without kiln: the same labels"
sh samples/predict.sh build "$out"

say "4. a training step compiled ahead of time: a C program without kiln trains with it"
sh samples/train.sh build "$out/train"

say "5. every stage of one training step, as text in $out/kernels"
sh samples/stages.sh build "$out/kernels"

say "6. an expression compiled at run time over one's own memory, and a comparison for qsort"
build/samples/jit

say "7. a C function of one's own in a graph, with its derivative"
build/samples/native

say "8. PyTorch's guide network in C and in Python: the same losses"
sh samples/guide.sh build "$out/guide" python3

say "9. in Python: descent by hand, byte images, CSV to training, a net for images and one for sounds"
for s in descent images "rows samples/data/digits.csv" models; do
    set -- $s
    PYTHONPATH=build/python python3 "samples/$1.py" ${2:+"$2"}
done

say "done"
