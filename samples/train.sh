#!/bin/sh
# Compile a training step ahead of time and train with nothing but what came out.
#   sh samples/train.sh BUILD OUT [EPOCHS]     the build folder; where to write
set -eu
here=$(dirname "$0") build=$1 out=$2
mkdir -p "$out"
"$build/samples/step" "$out"
for part in step label; do
    "$build/kilnc" "$out/$part.kl" -o "$out/$part.o" --header "$out/$part.h"
done
${CC:-cc} -std=c11 -Wall -Wextra -O2 -I"$out" "$here/train.c" "$out/step.o" "$out/label.o" -lm -o "$out/train"
echo "compiled ahead of time: step.o ($(wc -c <"$out/step.o") bytes), linked with the C library alone"
"$out/train" "$here/data/digits.csv" ${3:-20}
