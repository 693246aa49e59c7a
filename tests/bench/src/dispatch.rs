//! The cost of one command at a thousand and at a hundred thousand of them.

use crate::table::Table;
use crate::terminal::Terminal;
use crate::timing::{Samples, interleave, timed};
use anyhow::{Result, ensure};
use smcard_batch::{Batch, BatchBuilder};
use smcard_card::CreateOptions;
use smcard_flash::Durability;
use std::hint::black_box;

/// GET DATA, card recognition data: an answer, no change.
const GET_DATA: [u8; 5] = [0x80, 0xCA, 0x00, 0x66, 0x00];
const COUNTS: [u32; 2] = [1_000, 100_000];
/// Recovery points as a batch may name them: their table has two bytes for its length.
const POINTS: [u32; 2] = [1_000, 8_000];

/// What is done with a batch.
#[derive(Clone, Copy)]
enum Way {
    Parse(usize),
    Start(usize),
    StartWithPoints(usize),
}

/// Times both sizes of everything; a time per command that grows with their number is not linear.
pub(crate) fn run(rounds: usize) -> Result<Table> {
    let plain = [batch(COUNTS[0], 0)?, batch(COUNTS[1], 0)?];
    let marked = [batch(POINTS[0], POINTS[0])?, batch(POINTS[1], POINTS[1])?];
    // Every command is a recovery point, so the count is committed before each; without flushes that is arithmetic.
    let mut terminal = Terminal::new(&CreateOptions::default(), Durability::None)?;
    let start = |terminal: &mut Terminal, file: &[u8]| {
        let id = terminal.upload("many.batch", file)?;
        let (done, time) = timed(|| terminal.start(id));
        done.map(|_| time)
    };
    let (small, large) = (0, 1);
    let ways = [Way::Parse(small), Way::Parse(large), Way::Start(small), Way::Start(large)];
    let ways = [&ways[..], &[Way::StartWithPoints(small), Way::StartWithPoints(large)]].concat();
    let samples = interleave(rounds, &ways, |way| match *way {
        Way::Parse(n) => {
            let (parsed, time) = timed(|| Batch::parse(black_box(&plain[n])).map(|batch| batch.count()));
            ensure!(parsed? == COUNTS[n], "all commands are found");
            Ok(time)
        }
        Way::Start(n) => start(&mut terminal, &plain[n]),
        Way::StartWithPoints(n) => start(&mut terminal, &marked[n]),
    })?;

    let about = "GET DATA commands of five bytes. `Batch::parse` checks everything, the checksum included; START parses, \
                 gives each command to the card manager and judges its answer. No flushes: with a recovery point before \
                 every command each is one commit of the count.";
    let heads = ["per command", "small batch", "large batch", "large / small"];
    let mut table = Table::new("Parse and dispatch", about, &heads);
    let kinds =
        [("Batch::parse", COUNTS, 0), ("START", COUNTS, 2), ("START, a recovery point before each command", POINTS, 4)];
    for (name, counts, at) in kinds {
        let cost = |n: usize| per_command(&samples[at + n], counts[n]);
        let ratio = cost(large) / cost(small);
        table.row([
            format!("{name}, {} and {}", counts[small], counts[large]),
            format!("{:.1} ns", cost(small)),
            format!("{:.1} ns", cost(large)),
            format!("{ratio:.2}"),
        ]);
        table.at_most(&format!("{name}, growth of the cost of a command"), ratio, 2.0, "");
    }
    Ok(table)
}

fn per_command(samples: &Samples, count: u32) -> f64 {
    samples.median().as_secs_f64() * 1e9 / f64::from(count)
}

/// A batch of `count` commands with a recovery point before each of the first `points`.
fn batch(count: u32, points: u32) -> Result<Vec<u8>> {
    let mut builder = BatchBuilder::new();
    builder.with_recovery();
    for number in 0..count {
        if number < points {
            builder.recovery_point();
        }
        builder.push_bytes(&GET_DATA)?;
    }
    Ok(builder.finish()?)
}
