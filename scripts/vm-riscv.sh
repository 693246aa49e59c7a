#!/usr/bin/env bash
# Makes the board with a real SPI controller: into target/vm/riscv the kernel of Debian's riscv64 port and a first file
# system that holds no more than busybox and the drivers, into target/vm/cross a compiler for it (Debian's, with its own
# standard library: the two must be of one version).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/vm-common.sh
. scripts/vm-common.sh

modules="spi-sifive mmc_spi mmc_block"

key=$(vm_key scripts/vm-common.sh scripts/vm-riscv.sh tests/vm/board/init)
vm_cached "$vm/riscv" "$key" && exit 0
vm_begin "$vm/riscv"
vm_begin "$vm/cross"
target=riscv64gc-unknown-linux-gnu
vm_bootstrap "$vm/cross/tree" "$vm_suite" --variant=extract --architectures=amd64,riscv64 \
    --include="base-files,coreutils,kmod,cpio,cargo,rustc,gcc,libc6-dev,gcc-riscv64-linux-gnu,libc6-dev-riscv64-cross,libstd-rust-dev:riscv64" \
    --extract-hook='cd "'"$vm/riscv"'" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && kernel=$(apt-cache depends --no-recommends --no-suggests linux-image-riscv64:riscv64 | sed -n "s/^  Depends: \(linux-image-[^: ]*\).*/\1/p") && apt-get download -qq $kernel:riscv64 busybox-static:riscv64'
[ -d "$vm/cross/tree/usr/lib/rustlib/$target" ] || vm_fail "no standard library for $target"
mkdir -p "$vm/cross/tree"/{dev,proc,tmp,source,stage}

for package in "$vm"/riscv/*.deb; do
    dpkg-deb -x "$package" "$vm/riscv/tree"
done
lib=$vm/riscv/tree/lib
[ -d "$lib/modules" ] || lib=$vm/riscv/tree/usr/lib
version=$(ls "$lib/modules")
cp "$vm/riscv/tree/boot/vmlinux-$version" "$vm/riscv/vmlinux" 2>/dev/null || cp "$vm/riscv/tree/boot/vmlinuz-$version" "$vm/riscv/vmlinux"

first=$vm/riscv/first
mkdir -p "$first"/{bin,modules,dev,proc,sys}
cp "$vm"/riscv/tree/*bin/busybox "$first/bin/" 2>/dev/null || cp "$vm/riscv/tree/usr/bin/busybox" "$first/bin/"
install -m 755 tests/vm/board/init "$first/init"
rm -rf "$vm/cross/tree/stage/modules" && mkdir -p "$vm/cross/tree/stage/modules/lib" && cp -a "$lib/modules" "$vm/cross/tree/stage/modules/lib/"
in_cross() { # FOLDER PROGRAM ARGUMENT...
    chroot "$vm/cross/tree" /usr/bin/env -C "$1" PATH=/usr/sbin:/usr/bin "${@:2}"
}
in_cross / depmod -b /stage/modules "$version"
for module in $modules; do
    in_cross / modprobe -d /stage/modules -S "$version" --show-depends "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while IFS= read -r module; do
    name=$(basename "$module" .xz)
    xz -dc "$vm/cross/tree$module" > "$first/modules/$name" 2>/dev/null || cp "$vm/cross/tree$module" "$first/modules/$name"
    echo "$name"
done > "$vm/riscv/order"
mv "$vm/riscv/order" "$first/modules/order"
rm -r "$vm/cross/tree/stage/modules"
cp -a "$first" "$vm/cross/tree/stage/first"
(cd "$first" && find .) | in_cross /stage/first cpio --quiet -o -H newc > "$vm/riscv/initrd"
rm -r "$vm/cross/tree/stage/first"
rm -rf --one-file-system "$vm/riscv/tree" "$first" "$vm"/riscv/*.deb
echo "$version" > "$vm/riscv/version"
echo "$key" > "$vm/riscv/key"
