//! A board with a real SPI controller: QEMU's `sifive_u` (riscv64) with QEMU's own SD card in its slot, under Debian's
//! kernel with its drivers `spi-sifive`, `mmc_spi` and `spidev`. It runs one script and waits for its power to be taken.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::Output;
use crate::cpio::Archive;
use crate::lab::Lab;
use crate::process::{Program, until};

/// Name that the slot has among the SPI devices.
pub const SLOT: &str = "spi1.0";

/// What a script can begin with to have the slot as `/dev/spidev1.0` instead of as a disk.
pub const AS_SPIDEV: &str = "\
    until [ -e /sys/bus/spi/drivers/mmc_spi/spi1.0 ]; do usleep 50000; done
    echo spi1.0 > /sys/bus/spi/drivers/mmc_spi/unbind
    echo spidev > /sys/bus/spi/devices/spi1.0/driver_override
    echo spi1.0 > /sys/bus/spi/drivers/spidev/bind
";

/// Says where the script's own output begins and how it ended, among the kernel's messages.
const END: &str = "TEST ENDED ";

/// Boots the board with `card` in its slot, and runs `script` beside `programs` (name and file of each, found at `/name`).
///
/// # Errors
/// If it is not done within `limit`.
pub fn run(lab: &Lab, card: &Path, programs: &[(&str, &Path)], script: &str, limit: Duration) -> Result<Output> {
    let rig = lab.rig();
    let kernel = rig.board("vmlinux");
    ensure!(kernel.is_file(), "{} is missing; run: scripts/vm-setup.sh", kernel.display());
    let mut archive = Archive::default();
    // The kernel's messages would tear the lines of the script's output on the one serial line.
    archive.file("test", format!("echo 1 > /proc/sys/kernel/printk\n{script}").as_bytes())?;
    for (name, path) in programs {
        archive.file(name, &fs::read(path).with_context(|| format!("reading {}", path.display()))?)?;
    }
    let mut first = fs::read(rig.board("initrd")).context("reading the board's first file system")?;
    first.extend(archive.finish()?);
    let initrd = lab.path("initrd");
    fs::write(&initrd, first).context("writing the board's first file system")?;

    let serial = lab.path("serial.log");
    let mut line: Vec<OsString> = Vec::new();
    let words = |line: &mut Vec<OsString>, words: &str| line.extend(words.split_ascii_whitespace().map(OsString::from));
    words(&mut line, "qemu-system-riscv64 -M sifive_u -smp 2 -m 512 -display none -no-reboot -bios default -L");
    line.push(rig.firmware()[0].clone().into());
    for (option, before, path) in [("-kernel", "", &kernel), ("-initrd", "", &initrd), ("-serial", "file:", &serial)] {
        let mut value = OsString::from(before);
        value.push(path);
        line.extend([option.into(), value]);
    }
    line.extend(["-append".into(), "console=ttySIF0".into(), "-drive".into()]);
    let mut drive = OsString::from("if=sd,format=raw,file=");
    drive.push(card);
    line.push(drive);
    let mut qemu = Program::start(&rig.starter(), line, &lab.path("qemu.log"))?;
    let mut output = None;
    until("the end of the board's script", limit, || {
        // QEMU makes the file when it starts.
        let bytes = fs::read(&serial).unwrap_or_default();
        output = told(&String::from_utf8_lossy(&bytes).replace('\r', ""))?;
        if output.is_none() {
            qemu.must_run()?;
        }
        Ok(output.is_some())
    })?;
    output.context("no output")
}

/// What the script printed and how it ended; `None` while it runs.
fn told(serial: &str) -> Result<Option<Output>> {
    let Some((text, rest)) = serial.split_once(END) else { return Ok(None) };
    let Some((status, _)) = rest.split_once('\n') else { return Ok(None) };
    let status = status.trim().parse().with_context(|| format!("the board's script ended with {status:?}"))?;
    Ok(Some(Output { status, text: text.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_script_is_found_among_messages() {
        let output = told("[    1.4] Run /init\nhello\nTEST ENDED 3\n[    2.7] random: ready\n").unwrap();
        assert_eq!(output, Some(Output { status: 3, text: "[    1.4] Run /init\nhello\n".into() }));
        assert_eq!(told("[    1.4] Run /init\n").unwrap(), None);
        assert_eq!(told("[    1.4] Run /init\nTEST ENDED 1").unwrap(), None);
        assert!(told("TEST ENDED \n").is_err());
    }
}
