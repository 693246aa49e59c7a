#!/usr/bin/env bash
# Unpacks QEMU from the backports into target/vm/qemu: the card in the slot needs vfio-user, which came with QEMU 10.1.
# Nothing is installed and no script of a package runs; the harness starts QEMU by the loader of that tree.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/vm-common.sh
. scripts/vm-common.sh

key=$(vm_key scripts/vm-common.sh scripts/vm-qemu.sh)
vm_cached "$vm/qemu" "$key" && exit 0
vm_begin "$vm/qemu"
backports=$vm_suite-backports
vm_bootstrap "$vm/qemu/tree" "$vm_suite,$backports" --variant=extract --aptopt="APT::Default-Release \"$backports\"" \
    --include=qemu-system-x86,qemu-system-riscv,opensbi,acpica-tools

lib=$vm/qemu/tree/usr/lib/x86_64-linux-gnu
cat > "$vm/qemu/run" <<RUN
#!/bin/sh
# run PROGRAM ARGUMENT...: a program of this tree, with the libraries of this tree.
program=\$1
shift
QEMU_MODULE_DIR=$lib/qemu exec $lib/ld-linux-x86-64.so.2 --library-path $lib:$lib/pulseaudio "$vm/qemu/tree/usr/bin/\$program" "\$@"
RUN
chmod +x "$vm/qemu/run"
"$vm/qemu/run" qemu-system-x86_64 --version | sed -n 's/^QEMU emulator version \([^ ]*\).*/\1/p' > "$vm/qemu/version"
case $(cat "$vm/qemu/version") in
    [0-9].* | 10.0*) vm_fail "QEMU $(cat "$vm/qemu/version") has no vfio-user; 10.1 is needed" ;;
    "") vm_fail "QEMU does not run" ;;
esac
echo "$key" > "$vm/qemu/key"
