#!/bin/sh
# What a user gets: install into an empty folder, then use nothing but that through pkg-config.
#   sh tests/install/install.sh BUILD
# - every public header, alone, as C11, C17 and C++17 without a warning;
# - README.md's C example, whose output is what README.md prints below it;
# - every line of code in a header's comment stands in examples.c, which compiles and runs,
#   against the shared library and, linked statically, against the archive;
# - a training step compiled ahead of time, and a cache that is moved;
# - the shared library shows kl_* alone and needs few libraries; kilnc runs from where it lies.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(cd "$1" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "install: $*" >&2; exit 1; }

meson install -C "$build" --no-rebuild --destdir "$dir" >"$dir/log" 2>&1 || { tail "$dir/log"; exit 1; }
pc=$(find "$dir" -name kiln.pc)
export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$dir" KILN_CACHE=
lib=$(dirname "$(find "$dir" -name libkiln.so)")
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
include=$(dirname "$(find "$dir" -name kiln.h)")
warn="-Wall -Wextra -Wpedantic -Werror"
cd "$dir"

for h in kiln.h $(cd "$include" && ls kiln/*.h); do
    printf '#include <%s>\nint main(void) { return 0; }\n' "$h" >one.c
    for std in c11 c17; do
        cc -std=$std $warn $(pkg-config --cflags kiln) -fsyntax-only one.c || fail "$h as $std"
    done
    c++ -x c++ -std=c++17 $warn $(pkg-config --cflags kiln) -fsyntax-only one.c || fail "$h as c++17"
done

awk '/^```c$/ {on = 1; next} /^```/ {if (on) exit} on' "$root/README.md" >example.c
awk '/^\$ cc example.c/ {on = 1; next} /^```/ {if (on) exit} on' "$root/README.md" >want
[ -s example.c ] && [ -s want ] || fail "README.md has no example"
cc -std=c11 $warn example.c $(pkg-config --cflags --libs kiln) && ./a.out >got
diff want got || fail "README.md prints something else than its example does"

grep '^\$ build/kilnc ' "$root/README.md" | sed 's/^\$ //' >commands
[ "$(wc -l <commands)" -gt 2 ] || fail "README.md shows no kilnc"
kilnc=$(find "$dir" -name kilnc)
while read -r line; do
    (cd "$root" && eval "$(echo "$line" | sed "s,build/kilnc,$kilnc,; s,build/scale,$dir/scale,g")") >out ||
        fail "README.md: $line"
done <commands

# a line of code in a header's comment: three blanks in; what follows two more blanks explains it
sed -n 's/^ \*   \( *\)\([^ ].*\)$/\2/p' "$include"/kiln/*.h | sed 's/\([;{]\)   *[^ ].*$/\1/' | sort -u >lines
[ -s lines ] || fail "no examples in the headers"
sed 's/^ *//' "$here/examples.c" >have
while read -r line; do
    grep -qxF -e "$line" have || fail "examples.c lacks the header's line: $line"
done <lines
cc -std=c11 $warn "$here/examples.c" $(pkg-config --cflags --libs kiln) -o shared && ./shared
# a device that is not there is an error, never another one in its place
! KILN_DEVICE=cuda:99 ./shared 2>err && grep -q "no device cuda:99 here" err || fail "KILN_DEVICE is not obeyed"
# statically: only our own archive, system libraries stay shared
static=$(env -u PKG_CONFIG_SYSROOT_DIR pkg-config --static --libs kiln | tr ' ' '\n' | grep -v '^-L.*\|^-lkiln$')
cc -std=c11 "$here/examples.c" $(pkg-config --cflags kiln) "$lib/libkiln.a" $static -o static
LD_LIBRARY_PATH= ./static

# a training step with Adam, ahead of time: under 100 KB, only libc below it, the same bits
cc -std=c11 $warn "$here/train.c" $(pkg-config --cflags --libs kiln) -o train && ./train step.kl >want
"$kilnc" step.kl -o step.o --header step.h
cc -std=c99 $warn -I"$here" -I. "$here/train_user.c" step.o -o user && ./user >got
diff want got || fail "the artefact trains otherwise than the compiled function"
[ "$(wc -c <step.o)" -lt 100000 ] || fail "the training step has $(wc -c <step.o) bytes"
for u in $(nm -u step.o | awk '{print $2}'); do
    case $u in mem*|_GLOBAL_OFFSET_TABLE_) ;; *) fail "the training step needs $u" ;; esac
done

# a cache copied elsewhere: every hit, nothing compiled; without it a compile is an error
mkdir -m 700 cache
KILN_CACHE="$dir/cache" ./train step.kl >/dev/null
cp -a cache moved && rm -r cache
KILN_CACHE="$dir/moved" KILN_NO_COMPILE=1 ./train step.kl >got && diff want got || fail "a moved cache is not used"
! KILN_NO_COMPILE=1 ./train step.kl >got 2>err && grep -q "KILN_NO_COMPILE is set and kernel" err ||
    fail "KILN_NO_COMPILE compiles"
key=$(KILN_CACHE="$dir/moved" "$kilnc" cache list | awk '$2 == "kernel" {print $1; exit}')
KILN_CACHE="$dir/moved" "$kilnc" cache why "$key" | grep -q "build differs" || fail "cache why"

nm -D --defined-only "$lib/libkiln.so" | awk '{print $3}' | grep -v '^kl_' && fail "libkiln.so shows more than kl_*"
needed=$(objdump -p "$lib/libkiln.so" | awk '$1 == "NEEDED" {print $2}')
for n in $needed; do
    case $n in
    libc.so.*|libm.so.*|ld-linux*|libxxhash.so.*|libcjson.so.*|libz.so.*|libffi.so.*) ;;
    *san.so.*) ;; # a sanitizer's build
    *) fail "libkiln.so needs $n" ;;
    esac
done
"$kilnc" --emit=graph "$root/tests/kilnc/scale.kl" >/dev/null
echo "install: $(wc -l <lines) lines of examples, a training step of $(wc -c <step.o) bytes, $(echo $needed | wc -w) libraries needed"
