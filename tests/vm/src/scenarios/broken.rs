//! What breaks an issue over the slot: the card is pulled, its power goes, the operator resets it, the daemon dies. START
//! finishes it, with as few commands as the card's recovery promises.

use anyhow::{Context, Result, ensure};

use crate::Machine;
use crate::card::{self, APPLICATION, Card};
use crate::lab::Lab;
use crate::scenario::Scenario;
use crate::scenarios::{SOURCE_IN_SLOT, new_card, slot};
use crate::slot::Slot;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "slot-pulled",
        shows: "pulled in the middle of an issue and put back: the daemon tells, waits, and START finishes it",
        run: |lab| {
            over_kinds(lab, |guest, slot, image| {
                slot.eject()?;
                slot::disappears(guest)?;
                slot.insert(image)
            })
        },
    },
    Scenario {
        name: "slot-power-cut",
        shows: "the controller takes the card's power in the middle of an issue (driver unbound and bound)",
        run: |lab| {
            over_kinds(lab, |guest, _, _| {
                guest.sh("cd /sys/bus/pci/drivers/sdhci-pci && port=$(ls -d 0000:*) && echo $port > unbind && echo $port > bind")?;
                Ok(())
            })
        },
    },
    Scenario {
        name: "slot-killed",
        shows: "smcardd is killed in the middle of an issue: the card goes on alone, the next daemon finds it done",
        run: killed,
    },
];

/// Milliseconds a command of the batch takes: time to break in.
const DELAY: &str = "200";

/// Breaks an issue in a card of each recovery kind, and has START finish it.
fn over_kinds(lab: &Lab, breaks: fn(&mut Machine, &mut Slot, &std::path::Path) -> Result<()>) -> Result<()> {
    card::batches(lab)?;
    let mut guest = lab.machine()?;
    for kind in ["restart", "command", "function"] {
        broken(lab, &mut guest, kind, breaks).with_context(|| format!("recovery {kind}"))?;
    }
    Ok(())
}

fn broken(
    lab: &Lab,
    guest: &mut Machine,
    kind: &str,
    breaks: fn(&mut Machine, &mut Slot, &std::path::Path) -> Result<()>,
) -> Result<()> {
    let image = new_card(lab, &format!("{kind}.img"), kind)?;
    let mut slot = slot::add_card(lab, guest, &image, &["--command-delay-ms", DELAY])?;
    let mut card = Card::mount(guest, SOURCE_IN_SLOT, "")?;
    card.put("tag.batch")?;
    card.begin("tag.batch")?;
    card.guest().sh("sleep 1")?;
    let status = card.value("status")?;
    ensure!(status.starts_with("issuing"), "the card is {status:?}");
    breaks(card.guest(), &mut slot, &image)?;
    let failed = card.wait()?;
    ensure!(failed.state == "failed" && failed.error == "No such device", "what is told: {failed:?}");
    slot::appears(card.guest())?;
    card.wait_status("failed without an answer")?;
    let (selected, _) = card.apdu(&format!("00A4040007{APPLICATION}"))?;
    ensure!(selected != "9000", "half an application answers");
    let done = card.start("tag.batch")?;
    ensure!(done.state == "done" && done.status_word == "9000", "START again: {done:?}");
    card.must_answer()?;
    card.unmount()?;
    slot.unplug(guest)?;
    slot.stop()
}

fn killed(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let image = new_card(lab, "card.img", "function")?;
    let (mut guest, slot) = slot::with_card(lab, &image, &["--command-delay-ms", DELAY])?;
    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    card.put("tag.batch")?;
    card.begin("tag.batch")?;
    card.guest()
        .sh("sleep 1; systemctl kill -s KILL smcardd; while systemctl -q is-active smcardd; do sleep 0.05; done")?;
    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    card.must_answer()?;
    card.unmount()?;
    drop(guest);
    slot.stop()
}
