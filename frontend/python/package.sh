#!/bin/sh
# package.sh SOURCE EXTENSION FOLDER STAMP: lay the package out in FOLDER: the extension and
# the modules, as links to where they are edited and built.
set -eu
mkdir -p "$3"
rm -rf "$3/kiln"
cp -rs "$1" "$3/kiln"
ln -sf "$2" "$3/kiln/"
python3 -m compileall -q "$3/kiln" >/dev/null 2>&1 || true # not at the first import
touch "$4"
