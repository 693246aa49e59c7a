//! What an issue must be like over every wire.

use anyhow::{Result, ensure};

use crate::card::{APPLICATION, Card};

/// A batch that fails at its last command, CLEAR, and one that issues an application, on a new card.
pub(super) fn both(card: &mut Card) -> Result<()> {
    let status = card.value("status")?;
    ensure!(status == "ready", "a new card is {status:?}");
    card.put("bad.batch")?;
    let status = card.value("status")?;
    ensure!(status == "authenticated", "a card with a batch is {status:?}");
    let failed = card.start("bad.batch")?;
    ensure!(failed.state == "failed" && failed.status_word == "6a88", "START of a batch that fails: {failed:?}");
    ensure!(failed.given == failed.commands && failed.exchanges == 2, "START of a batch that fails: {failed:?}");
    let (selected, _) = card.apdu(&format!("00A4040007{APPLICATION}"))?;
    ensure!(selected == "6a82", "what a failed issue left answers SELECT with {selected}");
    card.clear()?;
    whole(card)
}

/// A batch that issues an application, in two exchanges.
pub(super) fn whole(card: &mut Card) -> Result<()> {
    whole_in(card, Some(2))
}

/// The same in that many exchanges; `None`: in more than two, for want of protected memory that can be written directly.
pub(super) fn whole_in(card: &mut Card, exchanges: Option<u64>) -> Result<()> {
    card.put("tag.batch")?;
    let done = card.start("tag.batch")?;
    ensure!(done.state == "done" && done.status_word == "9000", "START: {done:?}");
    ensure!(done.given == done.commands, "START: {done:?}");
    match exchanges {
        Some(exchanges) => ensure!(done.exchanges == exchanges, "not {exchanges} exchanges: {done:?}"),
        None => ensure!(done.exchanges > 2, "commands are exchanges: {done:?}"),
    }
    card.must_answer()
}
