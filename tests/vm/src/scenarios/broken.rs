//! What breaks an issue over the slot: the card is pulled, its power goes, the operator resets it, the daemon dies. START
//! finishes it, with as few commands as the card's recovery promises.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::Machine;
use crate::card::{self, APPLICATION, Card, MOUNT};
use crate::lab::Lab;
use crate::scenario::Scenario;
use crate::scenarios::{SOURCE_IN_SLOT, new_card, slot};
use crate::slot::Slot;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "slot-pulled",
        shows: "pulled in the middle of an issue and put back: the daemon tells, waits, and START finishes it",
        run: |lab| {
            over_kinds(lab, &["function"], |guest, slot, image| {
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
            over_kinds(lab, &["restart", "command", "function"], |guest, _, _| {
                guest.sh("cd /sys/bus/pci/drivers/sdhci-pci && port=$(ls -d 0000:*) && echo $port > unbind && echo $port > bind")?;
                Ok(())
            })
        },
    },
    Scenario {
        name: "slot-reset",
        shows: "RESET in the middle of an issue reaches the secure core (CMD37): it is broken off, and START finishes it",
        run: reset,
    },
    Scenario {
        name: "slot-killed",
        shows: "smcardd is killed in the middle of an issue: the card goes on alone, the next daemon finds it done",
        run: killed,
    },
];

/// Milliseconds a command of the batch takes: time to break in.
const DELAY: &str = "400";

/// Breaks an issue in a card of each recovery kind, and has START finish it.
fn over_kinds(lab: &Lab, kinds: &[&str], breaks: fn(&mut Machine, &mut Slot, &Path) -> Result<()>) -> Result<()> {
    card::batches(lab)?;
    let mut guest = lab.machine()?;
    for kind in kinds {
        broken(lab, &mut guest, kind, breaks).with_context(|| format!("recovery {kind}"))?;
    }
    Ok(())
}

fn broken(
    lab: &Lab,
    guest: &mut Machine,
    kind: &str,
    breaks: fn(&mut Machine, &mut Slot, &Path) -> Result<()>,
) -> Result<()> {
    let image = new_card(lab, &format!("{kind}.img"), kind)?;
    let mut slot = slot::add_card(lab, guest, &image, &["--command-delay-ms", DELAY])?;
    let mut card = Card::mount(guest, SOURCE_IN_SLOT, "")?;
    card.put("tag.batch")?;
    card.begin("tag.batch")?;
    card.guest().sh("sleep 0.5")?;
    breaks(card.guest(), &mut slot, &image)?;
    let failed = card.wait()?;
    ensure!(failed.state == "failed" && failed.error == "No such device", "what is told: {failed:?}");
    slot::appears(card.guest())?;
    card.wait_status("failed without an answer")?;
    let (selected, _) = card.apdu(&format!("00A4040007{APPLICATION}"))?;
    ensure!(selected != "9000", "half an application answers");
    let done = card.start("tag.batch")?;
    ensure!(done.state == "done" && done.status_word == "9000", "START again: {done:?}");
    ensure!(done.exchanges == 3, "the direct write, START, START again: {done:?}");
    card.must_answer()?;
    card.unmount()?;
    slot.unplug(guest)?;
    slot.stop()?;
    let log = fs::read_to_string(lab.path("slot.log")).context("reading the slot's log")?;
    let begun: Vec<&str> = log.lines().filter(|line| line.contains("issue from")).collect();
    ensure!(begun.len() == 2, "two STARTs were given, but the card says: {log}");
    let again = begun.iter().filter(|line| line.contains(", command 1 of")).count();
    ensure!(kind != "restart" || again == 2, "this card begins anew each time, but says: {log}");
    Ok(())
}

fn killed(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let image = new_card(lab, "card.img", "function")?;
    let (mut guest, slot) = slot::with_card(lab, &image, &["--command-delay-ms", DELAY])?;
    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    card.put("tag.batch")?;
    card.begin("tag.batch")?;
    card.guest()
        .sh("sleep 0.5; systemctl kill -s KILL smcardd; while systemctl -q is-active smcardd; do sleep 0.05; done")?;
    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    card.must_answer()?;
    card.unmount()?;
    drop(guest);
    slot.stop()
}

fn reset(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let image = new_card(lab, "card.img", "function")?;
    let (mut guest, slot) = slot::with_card(lab, &image, &["--command-delay-ms", DELAY])?;
    let mut card = Card::mount(&mut guest, SOURCE_IN_SLOT, "")?;
    card.put("tag.batch")?;
    card.begin("tag.batch")?;
    card.guest().sh(&format!("sleep 0.5; /programs/smcardctl --card {MOUNT} reset"))?;
    let broken = card.wait()?;
    ensure!(broken.state == "failed" && broken.error == "Operation canceled", "what is told: {broken:?}");
    let done = card.start("tag.batch")?;
    ensure!(done.state == "done" && done.status_word == "9000", "START again: {done:?}");
    card.must_answer()?;
    card.unmount()?;
    drop(guest);
    slot.stop()
}
