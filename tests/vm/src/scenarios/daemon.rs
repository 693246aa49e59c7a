//! The daemon on Debian's kernel with the card in an image: what the same scenarios over a wire are compared with.

use anyhow::Result;

use crate::card::{self, Card};
use crate::scenario::Scenario;
use crate::scenarios::issue;

pub(super) const ALL: &[Scenario] = &[Scenario {
    name: "emulated-issue",
    shows: "an issue and a failing one over no wire, on Debian's kernel",
    run: |lab| {
        let mut guest = lab.machine()?;
        card::batches(lab)?;
        let mut card = with_image(&mut guest)?;
        issue::both(&mut card)?;
        card.unmount()
    },
}];

fn with_image(guest: &mut crate::Machine) -> Result<Card<'_>> {
    guest.sh("/programs/smcardd create /run/card.img --size 16M")?;
    Card::mount(guest, "emulated:/run/card.img", "")
}
