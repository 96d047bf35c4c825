#!/usr/bin/env bash
# Installs and builds the partners of tests/interop that no package of the system is, into build/partners: from npm, from
# PyPI for a newer Python than ours may be, and with Go. What is there already is left alone until its source changes.
set -euo pipefail
SOURCE=tests/interop/partners
BUILD=build/partners
LIBDATACHANNEL=aiolibdatachannel==2026.10.15

mkdir -p "$BUILD"

# made STAMP SOURCE...: whether the stamp is newer than all sources
made() {
    local stamp=$BUILD/$1 file
    shift
    [ -e "$stamp" ] || return 1
    for file; do
        [ "$stamp" -nt "$file" ] || return 1
    done
}

attempt() {
    local what=$1
    shift
    echo "== making $what for the tests"
    "$@" >"$BUILD/$what.log" 2>&1 && return
    tail -n 5 "$BUILD/$what.log"
    echo "$what could not be made (see $BUILD/$what.log): tests that need it will be skipped"
}

make_npm() {
    mkdir -p "$BUILD/npm" && cp "$SOURCE/package.json" "$BUILD/npm/" &&
        npm install --prefix "$BUILD/npm" --no-audit --no-fund --no-package-lock && touch "$BUILD/npm.made"
}

# Pion's import paths end in /v3, which Go finds in Debian's sources only for a program with a go.mod in a GOPATH.
make_pion() {
    local gopath=$PWD/$BUILD/go version
    version=$(dpkg-query -W -f='${Version}' golang-github-pion-webrtc.v3-dev)
    mkdir -p "$gopath/src/pionpeer" && cp "$SOURCE"/pion/* "$gopath/src/pionpeer/" &&
        (cd "$gopath/src/pionpeer" && GO111MODULE=off GOFLAGS='' GOPATH=$gopath:/usr/share/gocode GOCACHE=$gopath/cache \
            go build -ldflags "-X main.version=${version%-*}" -o ../../../pion .)
}

make_python() {
    "$1" -m venv "$BUILD/python" &&
        "$BUILD/python/bin/python" -m pip install --disable-pip-version-check --no-input --quiet "$LIBDATACHANNEL" &&
        touch "$BUILD/python.made"
}

# A Python of 3.12 or newer; those of pyenv are not on the PATH.
newer_python() {
    local candidate
    for candidate in python3.14 python3.13 python3.12 python3 ~/.pyenv/versions/3.1[2-9]*/bin/python3; do
        "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null &&
            echo "$candidate" && return
    done
    return 1
}

made npm.made "$SOURCE/package.json" || ! command -v npm >/dev/null || attempt npm make_npm
made pion "$SOURCE"/pion/* || ! command -v go >/dev/null || attempt pion make_pion
rm -f "$BUILD/no-newer-python"
if ! made python.made "$0"; then
    if python=$(newer_python); then
        attempt python make_python "$python"
    else
        touch "$BUILD/no-newer-python"
    fi
fi
