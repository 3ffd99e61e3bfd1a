#!/bin/sh
# The house rules that a machine can check: includes point downwards, no file over 800 lines, no
# line over 100 columns, every C file begins with a paragraph that teaches, every ELT row of
# ops.def has a prototype in the public headers.
# Prints the functions' lengths too.   sh tests/style/style.sh   (from anywhere)
set -u
cd "$(dirname "$0")/../.."
bad=0
complain() { echo "style: $*"; bad=1; }

# folder: what it may include besides itself
may_include() {
    case "$1" in
    runtime) echo "runtime kiln" ;;
    ir) echo "ir runtime kiln" ;;
    passes) echo "passes ir runtime kiln" ;;
    codegen) echo "codegen ir runtime kiln" ;;
    frontend) echo "frontend passes codegen ir runtime kiln" ;;
    esac
}
for folder in runtime ir passes codegen frontend; do
    for f in $(find "$folder" -name '*.[ch]' 2>/dev/null); do
        sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f" | while read -r inc; do
            case "$inc" in */*) from=${inc%%/*} ;; *) continue ;; esac
            case " $(may_include "$folder") " in *" $from "*) ;; *) echo "$f includes $inc" ;; esac
        done
    done
done >/tmp/style.$$ 2>&1
while read -r line; do complain "$line: an include that points up"; done </tmp/style.$$
[ ! -s /tmp/style.$$ ] || bad=1
rm -f /tmp/style.$$

# the ONNX front door stands on the public headers
grep -n '#include "' frontend/onnx/*.[ch] | grep -vE '"(kiln\.h|kiln/[a-z]+\.h|onnx\.h|onnx\.pb-c\.h|op[a-z_]*\.h|rows\.def)"' |
    while read -r line; do echo "style: $line: more than kiln.h"; done >/tmp/style.$$
[ ! -s /tmp/style.$$ ] || { cat /tmp/style.$$; bad=1; }
rm -f /tmp/style.$$

for f in $(find runtime ir passes codegen frontend samples tests -name '*.[ch]' -o -name '*.def' | sort); do
    n=$(wc -l <"$f")
    [ "$n" -le 800 ] || { complain "$f: $n lines"; }
    long=$(awk 'length > 100' "$f" | wc -l)
    case "$f" in *.def) ;; *) [ "$long" = 0 ] || complain "$f: $long lines over 100 columns" ;; esac
    case "$f" in *.c) head -1 "$f" | grep -q '^/\*' || complain "$f: does not begin with its paragraph" ;; esac
done
if command -v ctags >/dev/null 2>&1; then
    find runtime ir passes codegen frontend -name '*.c' |
        ctags --kinds-C=f --fields=+ne --output-format=u-ctags -f - -L - 2>/dev/null |
        awk -F'\t' '{l=0; e=0; for (i=4; i<=NF; i++) {if ($i ~ /^line:/) l=substr($i,6); if ($i ~ /^end:/) e=substr($i,5)} if (e) print e-l+1}' |
        sort -n | awk '{a[NR]=$1} END {if (NR) printf "style: %d functions, median %d lines, p90 %d, longest %d\n", NR, a[int((NR+1)/2)], a[int(NR*0.9)], a[NR]}'
fi
# Every message is produced by some test, or stands in messages.txt with a reason.
if command -v python3 >/dev/null 2>&1; then
    python3 tests/style/messages.py || bad=1
fi
exit $bad
