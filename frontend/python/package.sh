#!/bin/sh
# package.sh SOURCE EXTENSION[:EXTENSION] FOLDER STAMP PYTHON [STUBS]: lay the package out in FOLDER: the
# extensions and the modules, as links to where they are edited and built; and the type stubs,
# made in folder STUBS.
set -eu
mkdir -p "$3"
rm -rf "$3/kiln"
cp -rs "$1" "$3/kiln"
echo "$2" | tr : '\n' | while read -r extension; do ln -sf "$extension" "$3/kiln/"; done
"$5" -m compileall -q "$3/kiln" >/dev/null 2>&1 || true # not at the first import
if [ $# -gt 5 ]; then
    "$5" "${0%/*}/stubs.py" "$3" "$6"
    for f in "$6"/*.pyi; do
        case "${f##*/}" in
        functional.pyi) ln -sf "$f" "$3/kiln/nn/" ;;
        activation.pyi) ln -sf "$f" "$3/kiln/nn/modules/" ;;
        *) ln -sf "$f" "$3/kiln/" ;;
        esac
    done
fi
touch "$4"
