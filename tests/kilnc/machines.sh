#!/bin/sh
# One artefact, the same bits on every machine that can be run here: x86-64-v2, v3 and v4 as far
# as this processor has them, aarch64 with NEON and with SVE of 128 bits under qemu; and one that
# holds all levels of x86-64, here and under qemu as processors that have v2, v3 and none.
#   machines.sh KILNC SOURCE-ROOT
# Each model is compiled for each; machines.c, with a call made from the header's prototype,
# fills the inputs, calls it and prints a digest of each output.
set -eu
kilnc=$1 root=$2
for p in qemu-aarch64 qemu-x86_64 aarch64-linux-gnu-ld clang; do
    command -v $p >/dev/null || { echo "machines: no $p (tests/setup.sh installs it)"; exit 77; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$root"/samples/*.kl "$root"/samples/*.safetensors "$root"/tests/kilnc/*.kl "$dir"
rm "$dir"/twice.kl # calls a function of the user's
cd "$dir"
export KILN_CACHE=

# int f(int64_t n, const float *x, uint8_t *y)  ->  f(8, in_float(2), out(3))
call_of() { # header, name
    tr '\n' ' ' <"$1" | sed "s/.*[; ]int $2(\([^)]*\)).*/\1/" | awk -F, -v name="$2" '{
        for (i = 1; i <= NF; i++) {
            type = $i; sub(/^ *const /, "in_", type); sub(/^ */, "", type); sub(/ .*/, "", type)
            a = a (i > 1 ? ", " : "") ($i !~ /\*/ ? "8" : type ~ /^in_/ ? type "(" i ")" : "out(" i ")")
        }
        print name "(" a ")" }'
}

digest() { # model, cpu, what runs it
    name=${1%.kl} obj=$name-$2.o with=${3:-}
    case $2 in aarch64-neon) target="--target=aarch64-linux-gnu" ;; *) target="--cpu=$2" ;; esac
    weights=args
    [ ! -f "$name.safetensors" ] || weights=embed
    "$kilnc" "$1" -o "$obj" --header "$name.h" $target --weights=$weights
    grep -q '\*scratch)' "$name.h" && { echo "machines: $name wants scratch"; exit 1; }
    set -- "$2" -O1 -I. -DHEADER="\"$name.h\"" -DCALL="$(call_of "$name.h" "$name")" "$root/tests/kilnc/machines.c" "$obj"
    case $1 in
    aarch64*)
        shift
        clang --target=aarch64-linux-gnu -ffreestanding -nostdlib -static "$@" -o run
        qemu-aarch64 -cpu max,sve-default-vector-length=16 ./run ;;
    *)  shift
        clang -ffreestanding -nostdlib -static "$@" -o run
        $with ./run ;;
    esac
}

cpus="x86-64-v2"
grep -q ' avx2 ' /proc/cpuinfo && cpus="$cpus x86-64-v3"
grep -q ' avx512vl ' /proc/cpuinfo && cpus="$cpus x86-64-v4"
levels=x86-64-v2,x86-64-v3,x86-64-v4
bad=0
for model in *.kl; do
    want=
    for cpu in $cpus aarch64-neon aarch64-sve128; do
        got=$(digest "$model" "$cpu") || { echo "$model on $cpu: fails"; bad=1; continue; }
        [ -n "$want" ] || want=$got
        [ "$got" = "$want" ] || { echo "$model on $cpu: other bits: $got, not $want"; bad=1; }
    done
    for with in "" "qemu-x86_64 -cpu Nehalem" "qemu-x86_64 -cpu Haswell"; do
        got=$(digest "$model" "$levels" "$with" 2>err) || { echo "$model, all levels, $with: fails"; cat err; bad=1; continue; }
        [ "$got" = "$want" ] || { echo "$model, all levels, $with: other bits: $got, not $want"; bad=1; }
    done
    echo "$model: $want"
done
# 8: this processor has none of the levels
for none in "$levels core2duo" "x86-64-v3,x86-64-v4 Nehalem" "x86-64-v3,x86-64-v4 Westmere" "x86-64-v2,x86-64-v3 core2duo"; do
    rc=0
    digest same.kl "${none% *}" "qemu-x86_64 -cpu ${none#* }" >/dev/null 2>err || rc=$?
    [ $rc = 8 ] || { echo "${none% *} on ${none#* }: $rc, not 8"; cat err; bad=1; }
done
echo "on $cpus aarch64-neon aarch64-sve128"
exit $bad
