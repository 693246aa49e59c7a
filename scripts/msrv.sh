#!/usr/bin/env bash
# Checks that what ships compiles with the compiler that rust-version promises.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
ships=(-p smcard-batch -p smcard-flash -p smcard-link -p smcard-card -p smcard-ioctl -p smcard-ifd -p smcardd -p smcardctl -p smcard-slot)
if rustc --version | grep -q "rustc $version"; then
    cargo check --locked --target-dir target/msrv "${ships[@]}"
elif rustup toolchain list 2>/dev/null | grep -q "^$version"; then
    cargo "+$version" check --locked --target-dir target/msrv "${ships[@]}"
else
    echo "msrv: no rustc $version here; run this on Debian 13, or: rustup toolchain install $version" >&2
    exit 1
fi
