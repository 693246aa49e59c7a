#!/usr/bin/env bash
# A secure memory card in the SD slot of a virtual machine: Debian's kernel finds it, a file system lives on its open memory,
# smcardd issues an application to it through the kernel's MMC stack, and it is pulled out and put back. Uses the rig of
# `make vm` (target/vm).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/target/release
vm=$PWD/target/vm
work=$(mktemp -d "${TMPDIR:-/tmp}/smcard-slot-demo.XXXXXX")
share=$work/share
slot=
qemu=

cleanup() {
    for process in $qemu $slot; do
        kill "$process" 2>/dev/null && wait "$process" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*" | sed "s#$work/##g; s#$bin/##g"; "$@" 2>&1 | sed "s#$work/##g"; }
ctl() { run "$bin/smcard-slot" --socket "$work/slot.sock" ctl "$@"; }

mkdir "$share"
say "On the host: a batch, a card, and the card in a slot"
"$bin/smcard-fixtures" "$work" >/dev/null
run "$bin/smcardctl" pack "$work/cap/ndef.cap" -o "$share/ndef.batch" \
    --applet "F0534D434152440101=D2760000850101,params=D1010F5402656E48656C6C6F2C20636172642E"
run "$bin/smcardd" create "$work/card.img" --size 16M
"$bin/smcard-slot" --socket "$work/slot.sock" --once "$work/card.img" > "$work/slot.log" 2>&1 &
slot=$!
for _ in $(seq 100); do
    [ -S "$work/slot.sock" ] && break
    kill -0 $slot 2>/dev/null || { cat "$work/slot.log" >&2; exit 1; }
    sleep 0.05
done
sed -n "s#$work/##g; s/^QEMU/smcard-slot says: QEMU/p" "$work/slot.log"

# What happens in the guest. A line that begins with @ asks the host for something.
cat > "$share/demo.sh" <<'GUEST'
#!/bin/bash
exec > /dev/ttyS0 2>&1 < /dev/null
export PATH=$PATH:/programs SMCARD=/mnt/card
unset JOURNAL_STREAM # messages go to the console
say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
# Behind a pipe nobody draws progress.
run() { echo "guest# $*"; "$@" 2>&1 | cat; return "${PIPESTATUS[0]}"; }
wait_for() { for _ in $(seq 200); do eval "$1" && return 0; sleep 0.1; done; echo "not within 20 s: $1"; exit 1; }
mkdir -p /mnt/card /mnt/memory
echo @begin

say "Debian's kernel finds a card in the slot"
wait_for '[ -b /dev/mmcblk0 ]'
dmesg | grep -o 'mmc[0-9].*\|mmcblk0:.*'
run ls -l /dev/mmcblk0
run cat /sys/block/mmcblk0/device/name /sys/block/mmcblk0/device/cid

say "Its open memory is a disk like any other"
run mke2fs -q /dev/mmcblk0
run mount /dev/mmcblk0 /mnt/memory
run cp -r /etc/systemd /mnt/memory/
run umount /mnt/memory
run e2fsck -fn /dev/mmcblk0

say "smcardd speaks to the secure part through the kernel's MMC stack"
# The well-known test keys, which a new image has; a real card gets its own.
(umask 077; for key in enc mac dek; do echo "$key = \"404142434445464748494A4B4C4D4E4F\""; done > /run/preparer.keys)
printf '[keys]\nfile = "/run/preparer.keys"\n' > /run/smcardd.toml
run smcardd mmc:/dev/mmcblk0 /mnt/card --config /run/smcardd.toml || exit 1
run cat /mnt/card/status
run cp /share/ndef.batch /mnt/card/issue/
run smcardctl start || exit 1
run smcardctl apdu 00A4040007D276000085010100 00A4000C02E104 00B0000015

say "The card is pulled out, and put back"
echo @eject
wait_for '! [ -b /dev/mmcblk0 ]'
run cat /mnt/card/status
echo @insert
wait_for '[ -b /dev/mmcblk0 ]'
wait_for 'smcardctl apdu 00A4040007D276000085010100 >/dev/null 2>&1'
run smcardctl apdu 00A4040007D276000085010100 00A4000C02E104 00B0000015
case $(smcardctl apdu --json 00A4040007D276000085010100) in *9000*) echo @done ;; *) exit 1 ;; esac
GUEST
chmod +x "$share/demo.sh"

say "A virtual machine with Debian $(cat "$vm/guest/version") (QEMU $(cat "$vm/qemu/version")) starts; half a minute without KVM"
mkfifo "$work/console"
command="/bin/sh -c 'mkdir -p /share /programs; mount -t 9p -o trans=virtio,version=9p2000.L share /share; mount -t 9p -o trans=virtio,version=9p2000.L,ro programs /programs; /share/demo.sh'"
"$vm/qemu/run" qemu-system-x86_64 -L "$vm/qemu/tree/usr/share/qemu" -L "$vm/qemu/tree/usr/share/seabios" \
    -M q35,memory-backend=ram -object memory-backend-memfd,id=ram,size=512M,share=on -m 512 -accel tcg -cpu max \
    -nodefaults -no-user-config -display none -no-reboot -kernel "$vm/guest/vmlinux" -initrd "$vm/guest/initrd" \
    -append "console=ttyS0 quiet panic=-1 rw mitigations=off tsc=reliable no_timer_check random.trust_cpu=on systemd.show_status=false systemd.run=\"$command\" systemd.run_success_action=poweroff systemd.run_failure_action=poweroff" \
    -drive "if=none,id=root,format=raw,cache=unsafe,snapshot=on,file=$vm/guest/root.ext4" -device virtio-blk-pci,drive=root \
    -fsdev "local,id=share,security_model=none,path=$share" -device virtio-9p-pci,fsdev=share,mount_tag=share \
    -fsdev "local,id=programs,security_model=none,readonly=on,path=$bin" -device virtio-9p-pci,fsdev=programs,mount_tag=programs \
    -device "{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"$work/slot.sock\"}}" \
    -serial stdio < /dev/null > "$work/console" 2> "$work/qemu.log" &
qemu=$!
begun=
done=
while IFS= read -r -t "${SLOT_DEMO_SECONDS:-180}" line; do
    line=${line%$'\r'}
    case $line in
        *@begin) begun=yes ;; # the console says something of its own before it
        @eject) ctl eject ;;
        @insert) ctl insert "$work/card.img" ;;
        @done) done=yes ;;
        *) [ -z "$begun" ] || printf '%s\n' "$line" ;;
    esac
done < "$work/console"
if [ -z "$done" ]; then
    echo "the demonstration did not come to its end" >&2
    cat "$work/qemu.log" "$work/slot.log" >&2
    exit 1
fi
say "Done: the card was issued in the guest, and kept what it was issued while it was out of the slot."
