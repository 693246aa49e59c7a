#!/usr/bin/env bash
# Installs the Debian packages that are missing: with `demo` those that building and mounting need, with `clients` those of
# the PC/SC clients, otherwise those of the tests and the benches as well. Says nothing where all is there. Needs root, or sudo, only if something is missing.
set -euo pipefail

need=()
have() { command -v "$1" >/dev/null 2>&1; }
have cc || need+=(gcc libc6-dev)
have fusermount3 || need+=(fuse3)
if [ "${1:-all}" = clients ]; then
    have pkg-config || need+=(pkg-config)
    have rsync || need+=(rsync)
    [ -x /usr/sbin/pcscd ] || need+=(pcscd)
    [ -e /usr/lib/pcsc/drivers/serial/libifdvpcd.so ] || need+=(vsmartcard-vpcd)
    have opensc-tool || need+=(opensc)
    have pcsc_scan || need+=(pcsc-tools)
    /usr/bin/python3 -c 'import smartcard' 2>/dev/null || need+=(python3-pyscard)
fi
# The tests of what links libpcsclite are part of the workspace.
[ "${1:-all}" = demo ] || [ -e /usr/include/PCSC/winscard.h ] || need+=(libpcsclite-dev)
if [ "${1:-all}" = all ]; then
    have pkg-config || need+=(pkg-config)
    have rsync || need+=(rsync)
    have busybox || need+=(busybox)
    [ -x /usr/sbin/mosquitto ] || have mosquitto || need+=(mosquitto)
have openssl || need+=(openssl)
have python3 || need+=(python3)
    pkg-config --exists fuse3 2>/dev/null || need+=(libfuse3-dev)
    [ -e /usr/include/sys/acl.h ] || need+=(libacl1-dev)
fi

if [ ${#need[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        have sudo || { echo "setup: missing: ${need[*]}; install them as root: apt-get install ${need[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    echo "setup: installing ${need[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

if ! have cargo; then
    echo "setup: no cargo found; install Rust 1.85 or newer (apt-get install cargo on Debian 13, or rustup)" >&2
    exit 1
fi
if [ ! -e /dev/fuse ]; then
    echo "setup: /dev/fuse is missing; load the kernel module: modprobe fuse" >&2
    exit 1
fi
