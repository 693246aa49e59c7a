#!/usr/bin/env bash
# Makes ready what `make vm` needs, from nothing, on Debian 12 or 13: everything under target/vm. What is there
# already and still fits is kept: QEMU, the guest, and the board with a real SPI controller. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/vm-common.sh
. scripts/vm-common.sh

[ "$(id -u)" = 0 ] || vm_fail "needs root: it unpacks a guest with its owners and modes"
[ "$(dpkg --print-architecture)" = amd64 ] || vm_fail "the rig is for amd64"
need=()
missing() { command -v "$1" >/dev/null || need+=("$2"); }
missing mmdebstrap mmdebstrap
missing xz xz-utils
missing zstd zstd
# A container may lack what every machine has.
missing mount mount
missing mke2fs e2fsprogs
# The indexes tell which of the sources is Debian's.
if [ ${#need[@]} -gt 0 ] || ! (vm_mirror >/dev/null 2>&1); then
    apt-get update -qq
fi
if [ ${#need[@]} -gt 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi
[ -e "$vm_keyring" ] || vm_fail "no $vm_keyring; install debian-archive-keyring"
mkdir -p "$vm"
# One at a time: others wait, and then find everything there.
exec 9>"$vm/lock"
flock 9

parts=(qemu guest riscv)
declare -A pids
for part in "${parts[@]}"; do
    scripts/vm-"$part".sh > "$vm/$part.log" 2>&1 9>&- &
    pids[$part]=$!
done
failed=()
for part in "${parts[@]}"; do
    wait "${pids[$part]}" || failed+=("$part")
done
for part in "${failed[@]}"; do
    echo "vm-setup: $part failed; the end of $vm/$part.log:" >&2
    tail -n 20 "$vm/$part.log" >&2
done
[ ${#failed[@]} -eq 0 ]
echo "vm-setup: QEMU $(cat "$vm/qemu/version"), kernels $(cat "$vm/guest/version") and $(cat "$vm/riscv/version")"
