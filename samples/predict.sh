#!/bin/sh
# Train seed 0, see that the net is the one kept here, compile that ahead of time, and ask it.
#   sh samples/predict.sh BUILD OUT        the build folder; where to write
set -eu
here=$(dirname "$0") build=$1 out=$2
sh "$here/kept.sh" "$build" "$out" digits 20
"$build/kilnc" "$here/digits.kl" -o "$out/digits.o" --header "$out/digits.h"
${CC:-cc} -std=c11 -Wall -Wextra -O2 -I"$out" "$here/predict.c" "$out/digits.o" -o "$out/predict"
echo "compiled ahead of time: digits.o ($(wc -c <"$out/digits.o") bytes), linked with the C library alone"
"$out/predict" "$here/data/digits.csv" "$out/digits.txt"
