#!/usr/bin/env bash
# Installs the programs of the system that the tests drive: as root on Debian through apt, elsewhere it names them.
# A line per need: what to look for, then Debian's packages. Looked for are commands (several names: any will do),
# libraries where the name ends in .so.N, and files where it begins with a slash.
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
firefox-esr,firefox                     firefox-esr
node                                    nodejs
npm                                     npm
go                                      golang-go
/usr/share/gocode/src/github.com/pion/webrtc  golang-github-pion-webrtc.v3-dev
janus                                   janus
/usr/lib/*/gstreamer-1.0/libgstwebrtc.so  gstreamer1.0-plugins-bad
/usr/lib/*/gstreamer-1.0/libgstnice.so  gstreamer1.0-nice
/usr/lib/*/gstreamer-1.0/libgstopus.so  gstreamer1.0-plugins-base
/usr/lib/*/gstreamer-1.0/libgstvpx.so   gstreamer1.0-plugins-good
/usr/lib/*/gstreamer-1.0/libgstx264.so  gstreamer1.0-plugins-ugly
/usr/lib/*/gstreamer-1.0/libgstlibav.so  gstreamer1.0-libav
/usr/lib/*/girepository-1.0/GstWebRTC-1.0.typelib  gir1.2-gst-plugins-bad-1.0
/usr/lib/python3/dist-packages/gi       python3-gi
libusrsctp.so.2                         libusrsctp2
cc                                      gcc
/usr/include/stdio.h                    libc6-dev
/usr/include/mbedtls/ssl.h              libmbedtls-dev
/usr/include/wolfssl/ssl.h              libwolfssl-dev
"

found() {
    local name
    for name in ${1//,/ }; do
        case $name in
            /*) compgen -G "$name" >/dev/null && return ;;
            *.so.*) /sbin/ldconfig -p | grep -q "$name" && return ;;
            *) command -v "$name" >/dev/null && return ;;
        esac
    done
    return 1
}

# Whatever apt could not do, npm and the others have their try: each test says what it misses.
finish() {
    exec "$(dirname "$0")/partners.sh"
}

missing=()
while read -r names packages; do
    [ -z "$names" ] || found "$names" || missing+=($packages)
done <<<"$NEEDS"
[ ${#missing[@]} -gt 0 ] || finish

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== installing with apt, for the tests against other programs: ${missing[*]}"
    mkdir -p build
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$LOG" 2>&1 && finish
    tail -n 5 "$LOG"
    echo "could not be installed (see $LOG)"
fi
echo "Tests that need these will be skipped; on Debian: sudo apt-get install ${missing[*]}"
finish
