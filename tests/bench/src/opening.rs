//! How long an image takes to open: in proportion to its journal, not to its size.

use crate::table::Table;
use crate::timing::{Samples, interleave, show, timed};
use anyhow::Result;
use smcard_card::{CreateOptions, EmulatedCard, OpenOptions};
use smcard_flash::{Changes, FlashError, Key, MappedFile, Record, Store};
use std::path::{Path, PathBuf};

/// Bytes of a record that fills the journal, and how many are committed at a time.
const RECORD: usize = 200;
const GROUP: u32 = 50;
/// Kind of the filling records: one that no card uses.
const FILLING: u32 = 0x7000_0000;

/// What is to be opened.
struct Case {
    path: PathBuf,
    row: String,
}

/// Cards of several sizes, fresh and with a journal as full as it gets.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let folder = tempfile::tempdir()?;
    let mut cases = Vec::new();
    for (size, words) in [(1 << 20, "1 MiB"), (64 << 20, "64 MiB"), (1 << 30, "1 GiB")] {
        for (full, state) in [(false, "fresh"), (true, "journal full")] {
            let path = folder.path().join(format!("{size}-{full}.img"));
            EmulatedCard::create(&path, &CreateOptions { size, ..CreateOptions::default() })?;
            if full {
                fill(&path)?;
            }
            cases.push(Case { path, row: format!("{words}, {state}") });
        }
    }
    let samples = interleave(rounds, &cases, |case| {
        let (opened, time) = timed(|| EmulatedCard::open(&case.path, OpenOptions::default()));
        opened?;
        Ok(time)
    })?;
    let about = "A card on an image file in the page cache, opened and switched on. Target, of the median: at most 10 ms for an image of 1 GiB.";
    let mut table = Table::new("Opening", about, &["image", "median", "longest", "target"]);
    for (case, times) in cases.iter().zip(&samples) {
        table.row([case.row.clone(), show(times.median()), show(times.max()), target(case, times).to_owned()]);
    }
    Ok(table)
}

fn target(case: &Case, times: &Samples) -> &'static str {
    match (case.row.starts_with("1 GiB"), times.median().as_millis() < 10) {
        (false, _) => "",
        (true, true) => "met",
        (true, false) => "missed",
    }
}

/// Commits records until no more fit.
fn fill(path: &Path) -> Result<()> {
    let mut store = Store::open(MappedFile::open(path)?)?;
    let mut next = FILLING;
    loop {
        let mut changes = Changes::new();
        for key in next..next + GROUP {
            changes.put(Key(key), Record { bytes: vec![0x5A; RECORD], extent: None });
        }
        match store.commit(changes) {
            Ok(()) => next += GROUP,
            Err(FlashError::Full { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
