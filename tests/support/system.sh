#!/usr/bin/env bash
# Installs the programs of the system that the tests drive: as root on Debian through apt, elsewhere it names them.
# A line per need: what to look for, then Debian's package. Looked for are commands (several names: any will do) and,
# where the name ends in .so.N, libraries.
set -euo pipefail
LOG=build/apt.log

NEEDS="
chromium,chromium-browser,google-chrome chromium
libatomic.so.1                          libatomic1
openssl                                 openssl
gnutls-cli                              gnutls-bin
turnserver                              coturn
tshark                                  tshark
ip                                      iproute2
nft                                     nftables
"

found() {
    local name
    for name in ${1//,/ }; do
        case $name in
            *.so.*) /sbin/ldconfig -p | grep -q "$name" && return ;;
            *) command -v "$name" >/dev/null && return ;;
        esac
    done
    return 1
}

missing=()
while read -r names package; do
    [ -z "$names" ] || found "$names" || missing+=("$package")
done <<<"$NEEDS"
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== installing with apt, for the tests against other programs: ${missing[*]}"
    mkdir -p build
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$LOG" 2>&1 && exit 0
    tail -n 5 "$LOG"
    echo "could not be installed (see $LOG)"
fi
echo "Tests that need these will be skipped; on Debian: sudo apt-get install ${missing[*]}"
