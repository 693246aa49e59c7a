//! The same card over every wire the guest has.

use anyhow::{Result, ensure};

use crate::card::{self, Card, MOUNT};
use crate::lab::Lab;
use crate::scenario::Scenario;
use crate::scenarios::{SOURCE_IN_SLOT, issue, new_card, slot, spidev};

pub(super) const ALL: &[Scenario] = &[Scenario {
    name: "same-over-all",
    shows: "the same batches over no wire, the slot and spidev: two exchanges each, the same answers, the same card content",
    run: same,
}];

fn same(lab: &Lab) -> Result<()> {
    card::batches(lab)?;
    let image = new_card(lab, "card.img", "function")?;
    let (mut guest, slot) = slot::with_card(lab, &image, &[])?;
    guest.sh("/programs/smcardd create /run/plain.img --size 16M --recovery function")?;
    spidev::serve(&mut guest, "")?;
    let mut first = None;
    for source in ["emulated:/run/plain.img", SOURCE_IN_SLOT, spidev::SOURCE] {
        let mut card = Card::mount(&mut guest, source, "")?;
        issue::both(&mut card)?;
        let found = account(&mut card)?;
        ensure!(found.contains(card::APPLICATION), "{source}: no application in: {found}");
        let expected = first.get_or_insert_with(|| found.clone());
        ensure!(*expected == found, "{source}: another content than without a wire: {found}\ninstead of: {expected}");
        card.unmount()?;
    }
    drop(guest);
    slot.stop()
}

/// What can be seen of a card's content.
fn account(card: &mut Card) -> Result<String> {
    card.guest().sh(&format!(
        "cd {MOUNT} && for file in apps/*/* card/{{life_cycle,recovery,privilege,free_bytes,capacity_bytes,issues}}; do
             echo $file $(cat $file)
         done; stat -c '%n %s' issue/*"
    ))
}
