//! Our card in the slot: the kernel's MMC stack on one side of an SD host controller, the emulated card on the other.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::Machine;
use crate::card::{self, Card};
use crate::lab::Lab;
use crate::machine::SOON;
use crate::scenario::Scenario;
use crate::scenarios::{SOURCE_IN_SLOT, issue, new_card};
use crate::slot::Slot;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "slot-memory",
        shows: "mmc_block on our open area: mke2fs, mount, copy, fstrim, e2fsck; the files outlast a pull",
        run: memory,
    },
    Scenario {
        name: "slot-issue",
        shows: "smcardd mmc:/dev/mmcblk0: two exchanges an issue, a failing one with its count, the application answers",
        run: issue,
    },
    Scenario {
        name: "slot-profiles",
        shows: "the same with cards of other kinds: ASSD 1.1, byte addresses, no CMD16, needs CMD12, no direct write",
        run: profiles,
    },
    Scenario {
        name: "slot-refusals",
        shows: "cards without secure commands, one of them says yes to everything: each is refused and says why",
        run: refusals,
    },
    Scenario {
        name: "slot-alone",
        shows: "disk and secure commands exclude each other: whoever comes second is told that the card is in use",
        run: alone,
    },
];

/// A machine with our card in its slot.
pub(super) fn with_card(lab: &Lab, image: &Path, arguments: &[&str]) -> Result<(Machine, Slot)> {
    let mut guest = lab.machine()?;
    let slot = add_card(lab, &mut guest, image, arguments)?;
    Ok((guest, slot))
}

pub(super) fn add_card(lab: &Lab, guest: &mut Machine, image: &Path, arguments: &[&str]) -> Result<Slot> {
    let mut line: Vec<_> = arguments.iter().map(OsStr::new).collect();
    line.push(image.as_os_str());
    let mut slot = Slot::start_with(lab, &line)?;
    slot.plug(guest)?;
    appears(guest)?;
    Ok(slot)
}

pub(super) fn appears(guest: &mut Machine) -> Result<()> {
    guest.wait_for("/dev/mmcblk0", SOON, "[ -b /dev/mmcblk0 ]")
}

pub(super) fn disappears(guest: &mut Machine) -> Result<()> {
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
    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    issue::both(&mut card)?;
    card.unmount()?;
    // The application is selected still: the card has not lost its power.
    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    card.must_answer()?;
    card.unmount()?;
    drop(guest);
    slot.stop()
}

/// Profiles of cards. Some offer protected memory as this project lays it out; of others a batch is written by commands, each an
/// exchange of its own.
const PROFILES: [&str; 5] = ["assd-1.1", "sdsc", "cmd16-refused", "needs-stop", "no-protected-memory"];

fn profiles(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let mut guest = lab.machine()?;
    let mut direct = 0;
    for profile in PROFILES {
        direct += u32::from(one_profile(lab, &mut guest, profile).with_context(|| format!("profile {profile}"))?);
    }
    ensure!((2..5).contains(&direct), "{direct} of the cards can be written directly: both kinds are to be shown");
    Ok(())
}

/// True where the card can be written directly.
fn one_profile(lab: &Lab, guest: &mut Machine, profile: &str) -> Result<bool> {
    let image = new_card(lab, &format!("{profile}.img"), "function")?;
    let mut slot = add_card(lab, guest, &image, &["--profile", profile])?;
    let mut card = Card::mount(guest, SOURCE_IN_SLOT, "")?;
    let direct = card.value("card/direct_write")? == "yes";
    issue::whole_in(&mut card, direct.then_some(2))?;
    card.unmount()?;
    slot.unplug(guest)?;
    slot.stop()?;
    Ok(direct)
}

fn refusals(lab: &Lab) -> Result<()> {
    let mut guest = lab.machine()?;
    let wanted = [("no-secure", "has no secure command set"), ("echo", "secure command set")];
    for (profile, reason) in wanted {
        let image = new_card(lab, &format!("{profile}.img"), "function")?;
        let mut slot = add_card(lab, &mut guest, &image, &["--profile", profile])?;
        let said = guest.refused("mkdir -p /mnt/card; /programs/smcardd mmc:/dev/mmcblk0 /mnt/card -f")?;
        ensure!(said.contains(reason), "profile {profile}: the daemon says {said:?}");
        slot.unplug(&mut guest)?;
        slot.stop()?;
    }
    Ok(())
}

fn alone(lab: &Lab) -> Result<()> {
    let image = new_card(lab, "card.img", "function")?;
    card::batches(lab)?;
    let (mut guest, slot) = with_card(lab, &image, &[])?;
    guest.sh("mke2fs -q /dev/mmcblk0 && mount /dev/mmcblk0 /mnt && echo hello > /mnt/file")?;
    let said = guest.refused("mkdir -p /run/card; /programs/smcardd mmc:/dev/mmcblk0 /run/card -f")?;
    ensure!(said.contains("in use"), "the daemon says {said:?}");
    guest.sh("umount /mnt")?;

    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    let said = card.guest().refused("mount /dev/mmcblk0 /media")?;
    ensure!(said.contains("/dev/mmcblk0"), "mount says {said:?}");
    issue::whole(&mut card)?;
    card.unmount()?;
    guest.sh("e2fsck -fn /dev/mmcblk0 && mount /dev/mmcblk0 /mnt && grep -q hello /mnt/file && umount /mnt")?;
    drop(guest);
    slot.stop()
}
