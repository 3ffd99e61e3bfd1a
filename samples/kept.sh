#!/bin/sh
# Train seed 0 of a sample and see that the net is the one kept here: the same program (but for
# the places in its comments) and the same weights, to the last bit.
#   sh samples/kept.sh BUILD OUT digits 20        build folder, where to write, sample, epochs
set -eu
here=$(dirname "$0") build=$1 out=$2 name=$3 epochs=$4
mkdir -p "$out"
"$build/samples/$name" "$here/data/digits.csv" "$out/$name.npz" "$epochs" 1 >"$out/$name.log"
sed 's/  # .*//' "$here/$name.kl" >"$out/kept.kl"
sed 's/  # .*//' "$out/$name.kl" | cmp "$out/kept.kl" -
cmp "$here/$name.safetensors" "$out/$name.safetensors"
rm -f "$out/kept.kl"
echo "training again gives samples/$name.kl and its weights, to the last bit"
