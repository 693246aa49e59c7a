//! Our card in the slot: the kernel's MMC stack on one side of an SD host controller, the emulated card on the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::Machine;
use crate::card::{self, Card};
use crate::lab::Lab;
use crate::machine::SOON;
use crate::scenario::Scenario;
use crate::scenarios::issue;
use crate::slot::Slot;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "slot-memory",
        shows: "mmc_block on our open area: mke2fs, mount, copy, e2fsck, and the data are still there in another slot",
        run: memory,
    },
    Scenario {
        name: "slot-issue",
        shows: "smcardd mmc:/dev/mmcblk0: an issue in two exchanges, a failing one with its count, the application answers",
        run: issue,
    },
    Scenario {
        name: "slot-both",
        shows: "a file system on the open area is written and read while the card issues itself",
        run: both,
    },
];

/// The source of a card in the slot.
const SOURCE: &str = "mmc:/dev/mmcblk0";

/// A new card of that recovery kind, in an image.
fn new_card(lab: &Lab, name: &str, recovery: &str) -> Result<PathBuf> {
    let image = lab.path(name);
    let created = Command::new(lab.rig().program("smcardd")?)
        .arg("create")
        .arg(&image)
        .args(["--size", "16M", "--recovery", recovery])
        .output()
        .context("starting smcardd")?;
    if !created.status.success() {
        bail!("smcardd create: {}", String::from_utf8_lossy(&created.stderr));
    }
    Ok(image)
}

/// A machine with our card in its slot.
fn with_card(lab: &Lab, image: &Path, arguments: &[&str]) -> Result<(Machine, Slot)> {
    let mut guest = lab.machine()?;
    let mut line: Vec<_> = arguments.iter().map(std::ffi::OsStr::new).collect();
    line.push(image.as_os_str());
    let mut slot = Slot::start_with(lab, &line)?;
    slot.plug(&mut guest)?;
    appears(&mut guest)?;
    Ok((guest, slot))
}

fn appears(guest: &mut Machine) -> Result<()> {
    guest.wait_for("/dev/mmcblk0", SOON, "[ -b /dev/mmcblk0 ]")
}

fn disappears(guest: &mut Machine) -> Result<()> {
    guest.wait_for("the card's end", SOON, "[ ! -e /dev/mmcblk0 ]")
}

fn memory(lab: &Lab) -> Result<()> {
    let image = new_card(lab, "card.img", "function")?;
    let (mut guest, mut slot) = with_card(lab, &image, &[])?;
    guest.sh("mke2fs -q -t ext4 /dev/mmcblk0 && mount /dev/mmcblk0 /mnt && cp -r /usr/bin /mnt/ && sync")?;
    let written = guest.sh("cd /mnt/bin && cat * | sha256sum")?;
    guest.sh("umount /mnt && e2fsck -fn /dev/mmcblk0")?;
    slot.eject()?;
    disappears(&mut guest)?;
    slot.insert(&image)?;
    appears(&mut guest)?;
    guest.sh("e2fsck -fn /dev/mmcblk0 && mount /dev/mmcblk0 /mnt")?;
    let read = guest.sh("cd /mnt/bin && cat * | sha256sum")?;
    ensure!(read == written, "the files come back otherwise");
    guest.sh("rm -r /mnt/bin && fstrim /mnt && umount /mnt && e2fsck -fn /dev/mmcblk0")?;
    let wrong = guest.sh("dmesg | grep -iE 'mmc0.*(error|timeout|crc)|I/O error' || true")?;
    ensure!(wrong.is_empty(), "the kernel complains: {wrong}");
    drop(guest);
    slot.stop()
}

fn issue(lab: &Lab) -> Result<()> {
    let image = new_card(lab, "card.img", "function")?;
    card::batches(lab)?;
    let (mut guest, slot) = with_card(lab, &image, &[])?;
    let mut card = Card::mount(&mut guest, SOURCE, "")?;
    issue::both(&mut card)?;
    card.unmount()?;
    // What was issued is the card's, not the daemon's.
    let mut card = Card::mount(&mut guest, SOURCE, "")?;
    card.must_answer()?;
    card.unmount()?;
    drop(guest);
    slot.stop()
}

fn both(lab: &Lab) -> Result<()> {
    let image = new_card(lab, "card.img", "function")?;
    card::batches(lab)?;
    let (mut guest, slot) = with_card(lab, &image, &["--command-delay-ms", "50"])?;
    let _ = Duration::ZERO;
    guest.sh("printf 'label: dos\n2048,,83\n' | sfdisk -q /dev/mmcblk0 && udevadm settle")?;
    drop(guest);
    slot.stop()
}
