#!/bin/sh
# Every stage of one training step, as text in a folder: step.graph, step.kernel, step.loops,
# step.plan, step.llvm, step.asm, step.cuda, and step.ptx where NVRTC is found. No line is over 100
# columns: longer ones go on in the next. Last, one kernel's stages side by side.
#   sh samples/stages.sh BUILD OUT         the build folder; where to write
set -eu
build=$1 out=$2
mkdir -p "$out"
"$build/samples/stages" "$out/step.kl"

wrap() { # columns: break lines there, after a blank where there is one
    awk -v w="$1" '{
        match($0, /^ */); in1 = RLENGTH + 4; if (in1 > 40) in1 = 40
        pad = sprintf("%" in1 "s", ""); s = $0
        while (length(s) > w) {
            for (i = w; i > in1 + 8 && substr(s, i, 1) != " "; i--);
            if (i <= in1 + 8) i = w
            head = substr(s, 1, i); sub(/ +$/, "", head); print head
            s = pad substr(s, i + 1)
        }
        print s }'
}

for stage in graph kernel loops plan llvm asm cuda ptx; do
    if "$build/kilnc" "$out/step.kl" --emit=$stage >"$out/raw" 2>"$out/why"; then
        wrap 100 <"$out/raw" >"$out/step.$stage"
        printf '  step.%-7s %6d lines\n' $stage "$(wc -l <"$out/step.$stage")"
    elif [ $stage = ptx ]; then
        echo "  no step.ptx: $(cut -c1-80 "$out/why")"
    else
        cat "$out/why"
        exit 1
    fi
done
long=$(cat "$out"/step.graph "$out"/step.kernel "$out"/step.[lpac]* | awk 'length > 100' | wc -l)
[ "$long" = 0 ] || { echo "$long lines are over 100 columns"; exit 1; }

# the kernel that has an exponential in it: softmax, the loss and its gradient
name=$(awk '$1 == "kernel" {k = $2} /exp\(/ {print k; exit}' "$out/step.kernel")
echo "kernel $name: its algorithm and its loops, and the same as CUDA C"
{ sed -n "/^kernel $name /,/^}/p" "$out/step.kernel"; sed -n "/^loops $name /,/^}/p" "$out/step.loops"; } |
    wrap 49 >"$out/left"
awk -v n="$name" '/__global__/ {head = $0; getline; if (index($0, n)) {on = 1; print head}}
                  on {print} on && /^}/ {exit}' "$out/step.cuda" | wrap 49 >"$out/right"
rows=$(wc -l <"$out/left")
head -n "$rows" "$out/right" | paste "$out/left" - |
    awk -F '\t' '{printf "%-49s | %s\n", $1, $2}'
more=$(($(wc -l <"$out/right") - rows))
[ "$more" -le 0 ] || echo "(and $more more lines of CUDA C in $out/step.cuda)"
rm -f "$out/raw" "$out/why" "$out/left" "$out/right"
