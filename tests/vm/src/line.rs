//! QEMU's command line. The same one boots, saves and restores: QEMU restores a state only into the machine that saved it.

use std::ffi::OsString;
use std::path::Path;

use crate::rig::Rig;

/// Spare PCI Express ports, `port1` … `portN`, for what is plugged in later.
pub const PORTS: u8 = 4;

/// Kernel parameters: messages to the serial line, and nothing done twice that emulation makes slow.
pub const KERNEL: &str = "console=ttyS0 panic=-1 rw mitigations=off tsc=reliable no_timer_check audit=0 nokaslr random.trust_cpu=on \
                      systemd.show_status=false";

/// Where the pieces of one machine are. Their paths may differ between saving and restoring.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Image of the root file system.
    pub root: &'a Path,
    /// True if what is written to it shall be lost.
    pub discard: bool,
    /// Folder of this machine: sockets, serial log, and `share`, which the guest sees.
    pub folder: &'a Path,
    /// Saved state to start from, if any.
    pub state: Option<&'a Path>,
    /// What only a machine that boots can have; the last of several options counts.
    pub more: &'a [OsString],
}

/// The arguments, the program's name first, as [`Rig::starter`] takes them.
#[must_use]
pub fn arguments(rig: &Rig, places: &Places) -> Vec<OsString> {
    let mut line = Line(vec!["qemu-system-x86_64".into()]);
    for folder in rig.firmware() {
        line.path("-L", "", &folder, "");
    }
    line.words("-M q35,memory-backend=ram -object memory-backend-memfd,id=ram,size=512M,share=on");
    line.words("-accel tcg -cpu max -m 512 -smp 1 -nodefaults -no-user-config -display none -no-reboot");
    line.path("-kernel", "", &rig.guest("vmlinux"), "");
    line.path("-initrd", "", &rig.guest("initrd"), "");
    line.0.extend(["-append".into(), KERNEL.into()]);
    line.path("-serial", "file:", &places.folder.join("serial.log"), "");
    line.path("-qmp", "unix:", &places.folder.join("qmp"), ",server=on,wait=off");
    let discard = if places.discard { ",snapshot=on" } else { "" };
    line.path("-drive", "if=none,id=root,format=raw,cache=unsafe,file=", places.root, discard);
    line.words("-device virtio-blk-pci,drive=root -device virtio-serial-pci");
    line.path("-chardev", "socket,id=agent,server=on,wait=off,path=", &places.folder.join("agent"), "");
    line.words("-device virtserialport,chardev=agent,name=org.smcard.vm");
    line.share("share", &places.folder.join("share"), "");
    line.share("programs", rig.programs(), ",readonly=on");
    for port in 0..=PORTS {
        let number = port + 1;
        line.words(&format!("-device pcie-root-port,id=port{port},chassis={number},slot={number}"));
    }
    // QEMU's own card cannot be plugged into a running machine, but an empty slot can be filled.
    line.words("-device sdhci-pci,id=reader,bus=port0 -drive if=none,id=sd -device sd-card,drive=sd,id=card");
    if let Some(state) = places.state {
        line.path("-incoming", "file:", state, "");
    }
    line.0.extend_from_slice(places.more);
    line.0
}

struct Line(Vec<OsString>);

impl Line {
    fn words(&mut self, words: &str) {
        self.0.extend(words.split_ascii_whitespace().map(OsString::from));
    }

    fn path(&mut self, option: &str, before: &str, path: &Path, after: &str) {
        self.0.push(option.into());
        let mut value = OsString::from(before);
        value.push(path);
        value.push(after);
        self.0.push(value);
    }

    fn share(&mut self, name: &str, folder: &Path, more: &str) {
        self.path("-fsdev", &format!("local,id={name},security_model=none,path="), folder, more);
        self.words(&format!("-device virtio-9p-pci,fsdev={name},mount_tag={name}"));
    }
}
