//! What breaks of the link cost: loading one by one against a card that issues itself.
//!
//! The terminal is the daemon's, the card the emulated one, both as they ship; the cable between them takes the time of
//! real cards and breaks at random moments, and the clock is simulated, so that hours take milliseconds. A break is a
//! power cut for the card: it hits an exchange on its way or the very command that runs inside the card.
//!
//! `smcard-outage` prints tables in Markdown; `smcard-outage --update DOCS` writes them into `DOCS/PERFORMANCE.md` and
//! the chart into `DOCS/outage.svg`. The same arguments give the same bytes.
//!
//! * [`profile`]: the times, each with its source; [`breaks`]: when the link breaks; [`world`]: the clock;
//! * [`application`]: what is loaded; [`cable`]: the link; [`method`]: who drives it, and how;
//! * [`survey`]: many runs; [`figures`], [`words`], [`table`], [`chart`], [`page`]: what comes of them.

#![forbid(unsafe_code)]

mod application;
mod breaks;
mod cable;
mod chart;
mod figures;
mod method;
mod page;
mod profile;
mod survey;
mod table;
#[cfg(test)]
mod tests;
mod words;
mod world;

use anyhow::{Context, Result};
use clap::Parser;
use std::fs;
use std::path::PathBuf;
use survey::{SIZES, Survey};

/// Expected times of issues over a link that breaks, in simulated time.
#[derive(Parser)]
struct Arguments {
    /// Runs for each method and rate.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Seed of the breaks.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write into PERFORMANCE.md and outage.svg of this folder.
    #[arg(long, value_name = "DOCS")]
    update: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Arguments { runs, seed, update } = Arguments::parse();
    let page = match &update {
        Some(folder) => {
            let path = folder.join("PERFORMANCE.md");
            let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            // Before the runs, not after them: the marks must be there.
            page::with_tables(&text, "")?;
            Some((path, text))
        }
        None => None,
    };
    let surveys = SIZES.iter().map(|size| Survey::new(*size, runs, seed)).collect::<Result<Vec<_>>>()?;
    let tables = table::tables(&surveys, runs, seed);
    let (Some((path, text)), Some(folder)) = (page, update) else {
        print!("{tables}");
        return Ok(());
    };
    fs::write(folder.join("outage.svg"), chart::chart(&surveys)).context("outage.svg")?;
    fs::write(&path, page::with_tables(&text, &tables)?).with_context(|| format!("{}", path.display()))?;
    Ok(())
}
