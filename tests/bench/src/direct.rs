//! A megabyte by direct reference against a copy and a checksum of the same bytes.

use crate::table::Table;
use crate::terminal::{Terminal, batch_of};
use crate::timing::{interleave, show, timed};
use anyhow::Result;
use smcard_batch::format::checksum;
use smcard_batch::issue::{Blocks, Recovery};
use smcard_card::CreateOptions;
use smcard_fixtures as fixtures;
use smcard_flash::Durability;
use std::hint::black_box;

#[derive(Clone, Copy)]
enum Way {
    CopyAndChecksum,
    Start,
    StartFlushed,
}

/// Times START of the 1 MiB package, with and without flushes, beside the bound.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let file = batch_of(&fixtures::library_cap(), Blocks::Direct, Recovery::Functions)?;
    let ways = [Way::CopyAndChecksum, Way::Start, Way::StartFlushed];
    let mut unflushed = Terminal::new(&CreateOptions::default(), Durability::None)?;
    let mut flushed = Terminal::new(&CreateOptions::default(), Durability::Barrier)?;
    let mut copy = vec![0; file.len()];
    let samples = interleave(rounds, &ways, |way| {
        let terminal = match way {
            Way::CopyAndChecksum => {
                let bound = || {
                    copy.copy_from_slice(black_box(&file));
                    black_box(checksum(black_box(&copy)))
                };
                return Ok(timed(bound).1);
            }
            Way::Start => &mut unflushed,
            Way::StartFlushed => &mut flushed,
        };
        let id = terminal.upload("library.batch", &file)?;
        let (done, time) = timed(|| terminal.start(id));
        done?;
        terminal.delete(fixtures::aid::LIBRARY_PACKAGE)?;
        Ok(time)
    })?;

    let about = format!(
        "START of the package of {} bytes as one LOAD that the card manager reads where it stands: the checksum of the \
         batch, the checks of the load file, its write to its own place. The bound is `memcpy` into memory that is in \
         the cache already, and the checksum of the copy by the same function. The upload is not timed.",
        file.len()
    );
    let mut table =
        Table::new("1 MiB by direct reference", about, &["1 MiB", "median", "min", "MB/s", "share of the bound"]);
    let names = ["memcpy and CRC-32 (the bound)", "START without flushes", "START, durable when it answers"];
    for (name, way) in names.into_iter().zip(&samples) {
        let megabytes = file.len() as f64 / 1e6;
        table.row([
            name.to_owned(),
            show(way.median()),
            show(way.min()),
            format!("{:.0}", megabytes / way.median().as_secs_f64()),
            format!("{:.0} %", samples[0].over(way) * 100.0),
        ]);
    }
    table.at_least("share of the bound without flushes", samples[0].over(&samples[1]) * 100.0, 50.0, " %");
    Ok(table)
}
