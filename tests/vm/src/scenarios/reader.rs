//! The MMC driver through the kernel's ioctls, against QEMU's own SD card, which says yes to whatever CMD6 asks for and
//! knows no secure command.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::Machine;
use crate::lab::Lab;
use crate::machine::SOON;
use crate::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario { name: "reader-hot-plug", shows: "a card in QEMU's reader comes and goes", run: hot_plug },
    Scenario {
        name: "reader-not-secure",
        shows: "sdhci: a card that lies about CMD6 is refused, by the driver and by the daemon",
        run: not_secure,
    },
    Scenario {
        name: "reader-illegal",
        shows: "sdhci: every secure command is told to be illegal, and the card stays in step",
        run: illegal,
    },
    Scenario {
        name: "reader-rights",
        shows: "a partition, a mounted card, a missing CAP_SYS_RAWIO are named; a service needs no root",
        run: rights,
    },
    Scenario {
        name: "reader-pulled",
        shows: "sdhci: a card pulled while it is open is gone, and stays gone when another comes",
        run: pulled,
    },
];

const PROBE: &str = "/programs/smcard-probe";

/// A machine with QEMU's card in its reader.
fn with_card(lab: &Lab) -> Result<Machine> {
    let mut guest = lab.machine()?;
    guest.find_reader()?;
    insert(lab, &mut guest, "sd.img")?;
    Ok(guest)
}

fn insert(lab: &Lab, guest: &mut Machine, name: &str) -> Result<()> {
    guest.insert(&lab.image(name, 64 << 20)?)?;
    guest.wait_for("/dev/mmcblk0", SOON, "[ -b /dev/mmcblk0 ]")
}

/// Why the probe refused.
fn refusal(guest: &mut Machine, script: &str) -> Result<String> {
    let text = guest.refused(script)?;
    let reason = text.lines().find_map(|line| line.strip_prefix("refused: "));
    reason.map(str::to_owned).with_context(|| format!("no refusal in: {text}"))
}

fn hot_plug(lab: &Lab) -> Result<()> {
    let mut guest = lab.machine()?;
    guest.find_reader()?;
    for _ in 0..2 {
        insert(lab, &mut guest, "sd.img")?;
        let sectors = guest.sh("cat /sys/block/mmcblk0/size")?;
        ensure!(sectors == "131072", "the card has {sectors} sectors");
        guest.pull()?;
        guest.wait_for("the card's end", SOON, "[ ! -e /dev/mmcblk0 ]")?;
    }
    Ok(())
}

fn not_secure(lab: &Lab) -> Result<()> {
    let mut guest = with_card(lab)?;
    let reason = refusal(&mut guest, &format!("{PROBE} secure mmc:/dev/mmcblk0"))?;
    ensure!(reason.contains("says that it has the secure command set"), "the refusal is {reason:?}");
    let said = guest.refused("mkdir -p /mnt/card; /programs/smcardd mmc:/dev/mmcblk0 /mnt/card -f")?;
    ensure!(said.contains("secure command set"), "the daemon says {said:?}");
    guest.sh("! mountpoint -q /mnt/card")?;
    // What was tried does the card no harm.
    guest.sh("mke2fs -q /dev/mmcblk0 && e2fsck -fn /dev/mmcblk0")?;
    Ok(())
}

fn illegal(lab: &Lab) -> Result<()> {
    let mut guest = with_card(lab)?;
    guest.sh("udevadm settle")?;
    let mut told = String::new();
    // Where somebody else's command comes in between, its response takes the bit away, and the driver cannot say more than
    // that there was no response.
    for _ in 0..5 {
        told = guest.sh(&format!("{PROBE} illegal mmc:/dev/mmcblk0"))?;
        let is_told =
            |number| told.lines().any(|line| line.starts_with(&format!("CMD{number}: Illegal, No, ETIMEDOUT")));
        if [34, 36, 50, 35, 57, 37].into_iter().all(is_told) {
            return Ok(());
        }
    }
    bail!("not all commands are told to be illegal: {told}")
}

fn rights(lab: &Lab) -> Result<()> {
    let mut guest = with_card(lab)?;
    let without = "setpriv --bounding-set -sys_rawio --inh-caps -sys_rawio";
    let reason = refusal(&mut guest, &format!("{without} {PROBE} secure mmc:/dev/mmcblk0"))?;
    ensure!(reason.contains("CAP_SYS_RAWIO"), "without the capability: {reason:?}");

    // The least a service needs: the capability, the group of the node, and nothing else.
    let service = "systemd-run -q --unit least -p StandardOutput=file:/run/least -p DynamicUser=yes -p SupplementaryGroups=disk \
                   -p AmbientCapabilities=CAP_SYS_RAWIO -p CapabilityBoundingSet=CAP_SYS_RAWIO \
                   -p DevicePolicy=closed -p 'DeviceAllow=/dev/mmcblk0 rw' -p ProtectSystem=strict";
    guest.sh(&format!("{service} {PROBE} secure mmc:/dev/mmcblk0"))?;
    guest.wait_for("the service's end", SOON, "! systemctl -q is-active least")?;
    let reason = guest.sh("cat /run/least")?;
    ensure!(reason.contains("says that it has the secure command set"), "as a service: {reason:?}");

    guest.sh("printf 'label: dos\\n2048,8192,83\\n' | sfdisk -q /dev/mmcblk0 && udevadm settle")?;
    guest.wait_for("/dev/mmcblk0p1", SOON, "[ -b /dev/mmcblk0p1 ]")?;
    let reason = refusal(&mut guest, &format!("{PROBE} secure mmc:/dev/mmcblk0p1"))?;
    ensure!(reason.contains("/dev/mmcblk0p1 is a partition; the card is /dev/mmcblk0"), "a partition: {reason:?}");

    guest.sh("mke2fs -q /dev/mmcblk0p1 && mount /dev/mmcblk0p1 /mnt")?;
    let reason = refusal(&mut guest, &format!("{PROBE} secure mmc:/dev/mmcblk0"))?;
    ensure!(reason.contains("in use"), "a mounted card: {reason:?}");
    Ok(())
}

fn pulled(lab: &Lab) -> Result<()> {
    let mut guest = with_card(lab)?;
    guest
        .sh(&format!("systemd-run -q --unit watch -p StandardOutput=file:/run/watch -p StandardError=null {PROBE} watch mmc:/dev/mmcblk0"))?;
    guest.wait_for("the first answer", SOON, "grep -q there /run/watch")?;
    guest.pull()?;
    guest.wait_for("the card's end", SOON, "[ ! -e /dev/mmcblk0 ]")?;
    insert(lab, &mut guest, "other.img")?;
    guest.wait_for("the watch's end", Duration::from_secs(60), "! systemctl -q is-active watch")?;
    let told = guest.sh("cat /run/watch")?;
    let errors: Vec<&str> = told.lines().skip(1).collect();
    // Between ENOMEDIUM and ENODEV, while the disk is taken down, the block layer may answer EIO once.
    let gone = |line: &&str| line.contains("there is no card") || line.ends_with("seen: EIO");
    ensure!(!errors.is_empty() && errors.iter().all(gone), "told: {told}");
    ensure!(errors.last().is_some_and(|line| line.contains("ENODEV")), "for good: {told}");
    Ok(())
}
