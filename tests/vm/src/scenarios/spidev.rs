//! Our card on a `spidev`, which a program in the guest serves over CUSE: every ioctl crosses the kernel.

use anyhow::{Context, Result, ensure};

use crate::Machine;
use crate::card::{self, Card};
use crate::lab::Lab;
use crate::machine::SOON;
use crate::scenario::Scenario;
use crate::scenarios::issue;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "spidev-memory",
        shows: "our SPI driver over spidev's ioctls: the card comes up, its open area is written and read",
        run: memory,
    },
    Scenario {
        name: "spidev-issue",
        shows: "smcardd spi:/dev/spidev9.0: two exchanges an issue, a failing one with its count, the application answers",
        run: issue,
    },
    Scenario {
        name: "spidev-profiles",
        shows: "the same with cards of other kinds: late and shifted tokens, refused checksums, short messages, no idle clocks",
        run: profiles,
    },
    Scenario {
        name: "spidev-refusals",
        shows: "a locked card, one without secure commands, a device that is gone: each is refused and says why",
        run: refusals,
    },
];

pub(super) const SOURCE: &str = "spi:/dev/spidev9.0";

/// Serves a new card as `/dev/spidev9.0`.
pub(super) fn serve(guest: &mut Machine, arguments: &str) -> Result<()> {
    guest.sh(&format!(
        "rm -f /run/card.img*; /programs/smcardd create /run/card.img --size 16M --recovery function
         systemctl reset-failed spidev 2>/dev/null
         systemd-run -q --unit spidev /programs/smcard-spidev /run/card.img {arguments}"
    ))?;
    guest.wait_for("/dev/spidev9.0", SOON, "[ -c /dev/spidev9.0 ]")
}

fn memory(lab: &Lab) -> Result<()> {
    let mut guest = lab.machine()?;
    serve(&mut guest, "")?;
    let told = guest.sh(&format!("/programs/smcard-probe memory {SOURCE}"))?;
    ensure!(told.contains("memory: as written") && told.contains("idle clocks: yes"), "told: {told}");
    Ok(())
}

fn issue(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let mut guest = lab.machine()?;
    serve(&mut guest, "")?;
    let mut card = Card::mount(&mut guest, SOURCE, "")?;
    issue::both(&mut card)?;
    card.unmount()
}

/// What the server is told, for each.
const PROFILES: [&str; 5] = [
    "--profile late-tokens",
    "--profile shifted-tokens",
    "--profile crc-refused",
    "--profile assd-1.1 --bufsiz 600",
    "--insist-on-cs",
];

fn profiles(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let mut guest = lab.machine()?;
    for arguments in PROFILES {
        one_profile(&mut guest, arguments).with_context(|| format!("smcard-spidev {arguments}"))?;
    }
    Ok(())
}

fn one_profile(guest: &mut Machine, arguments: &str) -> Result<()> {
    serve(guest, arguments)?;
    let mut card = Card::mount(guest, SOURCE, "")?;
    let direct = card.value("card/direct_write")? == "yes";
    issue::whole_in(&mut card, direct.then_some(2))?;
    card.unmount()?;
    stop(guest)
}

fn refusals(lab: &Lab) -> Result<()> {
    let mut guest = lab.machine()?;
    for (arguments, reason) in
        [("--profile locked", "locked with a password"), ("--profile no-secure", "secure command set")]
    {
        serve(&mut guest, arguments)?;
        refused(&mut guest, reason)?;
        stop(&mut guest)?;
    }
    refused(&mut guest, "is the bus enabled")
}

fn refused(guest: &mut Machine, reason: &str) -> Result<()> {
    let said = guest.refused(&format!("mkdir -p /mnt/card; /programs/smcardd {SOURCE} /mnt/card -f"))?;
    ensure!(said.contains(reason), "not {reason:?}, but {said:?}");
    Ok(())
}

/// Takes the device away.
fn stop(guest: &mut Machine) -> Result<()> {
    guest.sh("systemctl stop spidev")?;
    guest.wait_for("the device's end", SOON, "[ ! -e /dev/spidev9.0 ]")
}
