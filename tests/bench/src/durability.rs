//! What it costs that an issue survives the loss of power.

use crate::issue::wallet;
use crate::table::Table;
use crate::terminal::{Terminal, batch_of};
use crate::timing::{Samples, interleave, show, timed};
use anyhow::{Context, Result};
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::CreateOptions;
use smcard_card::scp03::SecurityLevel;
use smcard_fixtures as fixtures;
use smcard_flash::{Durability, Stats};
use smcard_link::RecoveryKind;
use std::time::Duration;

/// A card and the batch it is given.
struct Case {
    name: &'static str,
    kind: RecoveryKind,
    file: Vec<u8>,
}

/// Flushes and times of an issue, for each recovery kind.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let every = batch_of(&fixtures::wallet_cap(), Blocks::default(), Recovery::Commands)?;
    let cases = [
        Case { name: "restart", kind: RecoveryKind::Restart, file: wallet()? },
        Case { name: "function, points at functions", kind: RecoveryKind::Function, file: wallet()? },
        Case { name: "function, points at every command", kind: RecoveryKind::Function, file: every },
        Case { name: "command", kind: RecoveryKind::Command, file: wallet()? },
    ];
    let about = "Write and START of the 60 KiB application in blocks on cards of each recovery kind. A flush is one \
                 `fdatasync` of the image.";
    let heads =
        ["recovery kind", "flushes: write", "flushes: START", "bytes to flash", "write", "START", "START unflushed"];
    let mut table = Table::new("Durability", about, &heads);
    for case in &cases {
        let options = CreateOptions { recovery: case.kind, ..CreateOptions::default() };
        let mut unflushed = Terminal::new(&options, Durability::None)?;
        let mut flushed = Terminal::new(&options, Durability::Barrier)?;
        let mut counted = [Stats::default(); 3];
        let mut writes = Samples::default();
        let samples = interleave(rounds, &[true, false], |with_flushes| {
            let terminal = if *with_flushes { &mut flushed } else { &mut unflushed };
            let ([write, start], stats) = issue(terminal, &case.file)?;
            if *with_flushes {
                writes.push(write);
                counted = stats;
            }
            Ok(start)
        })?;
        let [before, between, after] = counted;
        table.row([
            case.name.to_owned(),
            (between.barriers - before.barriers).to_string(),
            (after.barriers - between.barriers).to_string(),
            (after.bytes_written - before.bytes_written).to_string(),
            show(writes.median()),
            show(samples[0].median()),
            show(samples[1].median()),
        ]);
    }
    Ok(table)
}

/// One issue: the times of the write and of START; the statistics before, between and after.
fn issue(terminal: &mut Terminal, file: &[u8]) -> Result<([Duration; 2], [Stats; 3])> {
    let stats = |terminal: &Terminal| terminal.card.flash_stats().context("the card is on");
    terminal.authenticate(SecurityLevel::AUTHENTICATED)?;
    let before = stats(terminal)?;
    let (id, write) = timed(|| terminal.write("wallet.batch", file));
    let between = stats(terminal)?;
    let (done, start) = timed(|| id.and_then(|id| terminal.start(id)));
    done?;
    let after = stats(terminal)?;
    terminal.delete(fixtures::aid::WALLET_PACKAGE)?;
    Ok(([write, start], [before, between, after]))
}
