#!/usr/bin/env bash
# vm-cross.sh CARGO-ARGUMENT...: cargo build for the board with a real SPI controller, static, without the network: the crates must
# have been fetched by a build for this machine. Results: target/vm/cross/target/riscv64gc-unknown-linux-gnu.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/vm-common.sh
. scripts/vm-common.sh

tree=$vm/cross/tree
[ -x "$tree/usr/bin/cargo" ] || vm_fail "no cross compiler; run: scripts/vm-setup.sh"
home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$tree/cargo" "$tree/source" "$tree/out" "$vm/cross/target"
export tree home vm source=$PWD
# What runs for a second need not be compiled for a minute.
export quick='profile.dev.package."*".opt-level=0'
# The mounts end with the name space.
exec unshare --mount bash -euc '
    mount --bind "$source" "$tree/source"
    mount --bind "$home" "$tree/cargo"
    mount --bind "$vm/cross/target" "$tree/out"
    mount --rbind /dev "$tree/dev"
    mount -t proc proc "$tree/proc"
    exec chroot "$tree" /usr/bin/env -i -C /source PATH=/usr/bin HOME=/tmp CARGO_HOME=/cargo CARGO_TARGET_DIR=/out CARGO_NET_OFFLINE=true \
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
        CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_LINKER=riscv64-linux-gnu-gcc \
        CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --config "$quick" --target riscv64gc-unknown-linux-gnu "$@"
' vm-cross "$@"
