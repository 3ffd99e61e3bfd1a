#!/bin/sh
# Install what is missing to build kiln (and, with "test", to test it) on Debian 12 or Ubuntu 24.04,
# as root or with sudo. Says what it installs; installs nothing that is there.
#   sh tests/setup.sh [test|browser]
set -eu
need="gcc libc6-dev meson ninja-build pkg-config libllvm19 libffi-dev libxxhash-dev libcjson-dev zlib1g-dev libprotobuf-c-dev protobuf-c-compiler python3-dev"
[ "${1:-}" != test ] || need="$need liblapack3 libc++1 check g++ clang python3 python3-venv binutils qemu-user binutils-aarch64-linux-gnu"
[ "${1:-}" != browser ] || need="chromium"

install() { # packages: those that are missing
    missing=
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "ok installed" || missing="$missing $p"
    done
    # meson and ninja may come from elsewhere (pip): a working command is enough
    command -v meson >/dev/null 2>&1 && missing=$(echo " $missing " | sed 's/ meson / /')
    command -v ninja >/dev/null 2>&1 && missing=$(echo " $missing " | sed 's/ ninja-build / /')
    missing=$(echo $missing)
    [ -n "$missing" ] || return 0
    echo "setup: installing $missing"
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    { $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 ||
        { tail -20 "$log" >&2; echo "setup: apt-get failed" >&2; exit 1; }
    rm -f "$log"
}

install $need
# libFuzzer and the sanitizers of clang's own version
[ "${1:-}" != test ] || install "libclang-rt-$(clang -dumpversion | sed 's/\..*//')-dev"
