#!/usr/bin/env bash
# Builds the guest into target/vm/guest from Debian's packages: vmlinux, initrd, root.ext4. Debian's kernel, systemd and
# udev as they come; the modules are reduced to what the scenarios need, and units that only cost time are masked.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/vm-common.sh
. scripts/vm-common.sh

packages=systemd,systemd-sysv,udev,kmod,fuse3,mmc-utils,mount,e2fsprogs,dosfstools,fdisk,procps,util-linux,strace,busybox-static,cpio,xz-utils
# What the first program loads, then what scenarios load.
boot_modules="virtio_pci virtio_blk ext4 crc32c_generic virtio_console"
modules="9p 9pnet_virtio fuse cuse mmc_block sdhci_pci vhci-hcd rtsx_usb rtsx_usb_sdmmc vub300 spi-pxa2xx-platform spi-pxa2xx-pci
    spidev loop vfat nls_cp437 nls_ascii nls_iso8859-1 tmpfs"

key=$(vm_key scripts/vm-common.sh scripts/vm-guest.sh tests/vm/guest/*)
vm_cached "$vm/guest" "$key" && exit 0
vm_begin "$vm/guest"
root=$vm/guest/root
vm_bootstrap "$root" "$vm_suite" --variant=essential --include="$packages" \
    --customize-hook='cd "'"$vm/guest"'" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && kernel=$(apt-cache depends --no-recommends --no-suggests linux-image-amd64 | sed -n "s/^  Depends: \(linux-image-\)/\1/p") && apt-get download -qq $kernel'

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# The kernel: QEMU starts the ELF file that is packed in the image without unpacking it under emulation.
dpkg-deb -x "$vm"/guest/linux-image-*.deb "$vm/guest/kernel"
version=$(ls "$vm/guest/kernel/usr/lib/modules" 2>/dev/null || ls "$vm/guest/kernel/lib/modules")
packed=$vm/guest/kernel/boot/vmlinuz-$version
is_elf() { [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; }
unpack() { # MAGIC PROGRAM
    local offset
    for offset in $(LC_ALL=C grep -obUaP "$1" "$packed" | cut -d : -f 1); do
        tail -c "+$((offset + 1))" "$packed" | $2 > "$vm/guest/vmlinux" 2>/dev/null || true
        is_elf "$vm/guest/vmlinux" && return
    done
    return 1
}
unpack '\x28\xB5\x2F\xFD' 'zstd -dcq' || unpack '\xFD7zXZ\x00' 'xz -dcq' || cp "$packed" "$vm/guest/vmlinux"

# The modules: what was asked for and what that depends on, unpacked.
mkdir -p "$root/usr/lib/modules"
mv "$vm"/guest/kernel/*/modules/"$version" "$root/usr/lib/modules/" 2>/dev/null ||
    mv "$vm"/guest/kernel/usr/lib/modules/"$version" "$root/usr/lib/modules/"
in_root depmod "$version"
closure() {
    local module
    for module in "$@"; do
        in_root modprobe -S "$version" --show-depends "$module" 2>/dev/null || true
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}
# shellcheck disable=SC2086
closure $boot_modules $modules > "$vm/guest/wanted"
# shellcheck disable=SC2086
closure $boot_modules > "$vm/guest/first"
(cd "$root" && find "usr/lib/modules/$version" -name '*.ko*' | sed 's,^usr,,;s,^/lib,/lib,' | grep -vxFf "$vm/guest/wanted" | sed 's,^/,,' | xargs rm)
find "$root/usr/lib/modules" -name '*.ko.xz' -exec xz -d {} +
find "$root/usr/lib/modules" -type d -empty -delete
in_root depmod "$version"

# The first file system.
mkdir -p "$vm/guest/first-root/bin" "$vm/guest/first-root/modules" "$vm/guest/first-root/dev" "$vm/guest/first-root/root"
cp "$root/usr/bin/busybox" "$vm/guest/first-root/bin/"
install -m 755 tests/vm/guest/init "$vm/guest/first-root/init"
while IFS= read -r module; do
    cp "$root${module%.xz}" "$vm/guest/first-root/modules/"
    basename "${module%.xz}"
done < "$vm/guest/first" > "$vm/guest/first-root/modules/order"
mkdir "$root/first-root" && cp -a "$vm/guest/first-root/." "$root/first-root/"
in_root sh -c 'cd /first-root && find . | cpio --quiet -o -H newc' > "$vm/guest/initrd"
rm -r "$root/first-root"

# What makes it this guest.
install -m 755 tests/vm/guest/agent "$root/usr/local/sbin/agent"
install -m 644 tests/vm/guest/agent.service "$root/etc/systemd/system/agent.service"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../agent.service "$root/etc/systemd/system/multi-user.target.wants/"
masked="getty@.service getty-static.service serial-getty@.service console-getty.service systemd-logind.service systemd-timesyncd.service
    systemd-update-utmp.service systemd-journal-flush.service systemd-journal-catalog-update.service dev-hugepages.mount
    dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount e2scrub_reap.service e2scrub_all.timer fstrim.timer
    dpkg-db-backup.timer apt-daily.timer apt-daily-upgrade.timer systemd-tmpfiles-clean.timer systemd-pstore.service
    systemd-random-seed.service systemd-firstboot.service"
for unit in $masked; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo guest > "$root/etc/hostname"
echo 5ca1ab1e00000000000000000000c0de > "$root/etc/machine-id"
: > "$root/etc/fstab"
mkdir -p "$root/share" "$root/mnt" "$root/var/log/journal"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/boot/*

mke2fs -q -t ext4 -d "$root" -L guest -E lazy_itable_init=0 -O ^has_journal "$vm/guest/root.ext4" 1G
echo "$version" > "$vm/guest/version"
rm -rf --one-file-system "$vm/guest/kernel" "$vm/guest/first-root" "$vm"/guest/*.deb "$root"
echo "$key" > "$vm/guest/key"
