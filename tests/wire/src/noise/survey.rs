//! All rates and directions on both wires, and the tables.

use super::Noise;
use super::mix::{Mix, Outcome, Tally, prepared};
use crate::cable::Cable;
use crate::table::Table;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The rates of bit errors: one bit in so many.
pub const RATES: [u32; 4] = [1_000_000, 100_000, 10_000, 1_000];
/// The rates of lost and doubled bits: one byte in so many.
pub const SLIPS: [u32; 3] = [1_000_000, 100_000, 10_000];
/// Bits of a block of memory with its checksum.
const BLOCK_BITS: u32 = 4096 + 16;

/// A wire, what goes wrong on it and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The wire.
    pub cable: Cable,
    /// What goes wrong.
    pub noise: Noise,
    /// Once in so many.
    pub one_in: u32,
}

/// All cells: SPI and the SD bus with bit errors, SPI with slips.
#[must_use]
pub fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for cable in Cable::WIRES {
        for one_in in RATES {
            cells.extend([Noise::ToCard, Noise::FromCard, Noise::Both].map(|noise| Cell { cable, noise, one_in }));
        }
    }
    cells.extend(SLIPS.map(|one_in| Cell { cable: Cable::Spi, noise: Noise::Slips, one_in }));
    cells
}

/// Runs all cells with `transfers` each, on all cores.
///
/// # Errors
/// A card does not do on a quiet wire what it must.
pub fn run(transfers: u64, seed: u64) -> Result<Vec<(Cell, Outcome)>> {
    let cells = cells();
    let image = prepared()?;
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Outcome>>>> = Mutex::new(cells.iter().map(|_| None).collect());
    let work = || {
        while let Some((number, cell)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            cells.get(number).map(|cell| (number, cell))
        } {
            let seed = seed.wrapping_mul(1_000).wrapping_add(u64::try_from(number).unwrap_or(0));
            let mix = Mix::new(cell.cable, cell.noise, cell.one_in, seed, image.clone());
            let outcome = mix.and_then(|mix| mix.run(transfers)).with_context(|| format!("{cell:?}, seed {seed}"));
            if let Some(place) = results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
                *place = Some(outcome);
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    cells.into_iter().zip(results).map(|(cell, result)| Ok((cell, result.context("a cell was not run")??))).collect()
}

/// The probability that a block is damaged and its CRC16 right: an even number of wrong bits, four at least (fewer and odd
/// numbers are always seen), and one such pattern in 2^15.
#[must_use]
pub fn let_through(one_in: u32) -> f64 {
    let rate = 1.0 / f64::from(one_in);
    let bits = f64::from(BLOCK_BITS);
    // C(n, w) p^w (1 - p)^(n - w), from one w to the next.
    let mut term = (bits * (-rate).ln_1p()).exp();
    let mut sum = 0.0;
    for w in 0..60_u32 {
        if w >= 4 && w % 2 == 0 {
            sum += term;
        }
        let w = f64::from(w);
        term *= (bits - w) / (w + 1.0) * rate / (1.0 - rate);
    }
    sum / 32_768.0
}

/// The blocks that CRC16 should let through in a cell.
#[must_use]
pub fn expected(cell: Cell, outcome: &Outcome) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let (reads, writes) = (outcome.attempts.0 as f64, outcome.attempts.1 as f64);
    let attempts = match cell.noise {
        Noise::ToCard => writes,
        Noise::FromCard => reads,
        Noise::Both => reads + writes,
        Noise::Slips => 0.0,
    };
    attempts * let_through(cell.one_in)
}

/// All cells together.
#[must_use]
pub fn sum(results: &[(Cell, Outcome)]) -> Outcome {
    results.iter().fold(Outcome::default(), |mut sum, (_, outcome)| {
        sum += *outcome;
        sum
    })
}

fn rate(one_in: u32) -> String {
    match one_in {
        1_000_000 => "10⁻⁶".to_owned(),
        100_000 => "10⁻⁵".to_owned(),
        10_000 => "10⁻⁴".to_owned(),
        1_000 => "10⁻³".to_owned(),
        other => format!("1 in {other}"),
    }
}

fn cells_of(tally: Tally) -> [String; 5] {
    [tally.transfers, tally.at_once, tally.repaired, tally.reported, tally.wrong].map(|count| count.to_string())
}

/// The tables.
#[must_use]
pub fn tables(results: &[(Cell, Outcome)], seed: u64) -> Vec<Table> {
    let all = sum(results);
    let total = all.secure().transfers + all.blocks.transfers;
    let about = format!(
        "{total} transfers, {} errors in bits, seed {seed}. A transfer is an APDU to an application that counts what it executes ({}), \
         the direct write of a batch of up to 31 commands ({}), a START of it ({}), or a block of open memory (next table). \
         *Repaired*: the driver had to repeat something. *Reported*: the caller hears an error; in {} of these cases it is \
         that the outcome is not known. *Wrong*: an answer, a batch in the store, or the commands of an issue are not \
         what they should be, or a command that was told not to be taken was executed.",
        all.faults,
        all.apdus.transfers,
        all.writes.transfers,
        all.starts.transfers,
        all.secure().unknown,
    );
    let heads =
        ["wire, errors", "rate", "transfers", "right at once", "repaired", "reported", "wrong", "executed twice"];
    let mut secure = Table::new("Bit errors: secure commands and direct writes", about, &heads);
    let heads =
        ["wire, errors", "rate", "blocks", "right at once", "repaired", "reported", "wrong", "expected to pass CRC16"];
    let about = "Reads and writes of single blocks, tried four times. Nothing but CRC16 protects them, and it lets one damage in 32 768 \
                 of four bits or more pass; what is expected is computed from the attempts and the rate. A file system has its own checksums, or none.";
    let mut plain = Table::new("Bit errors: blocks of open memory", about, &heads);
    for (cell, outcome) in results {
        let name = format!("{}, {}", cell.cable.name(), cell.noise.name());
        let mut row = vec![name.clone(), rate(cell.one_in)];
        row.extend(cells_of(outcome.secure()));
        row.push(outcome.twice.to_string());
        secure.row(row);
        let mut row = vec![name, rate(cell.one_in)];
        row.extend(cells_of(outcome.blocks));
        row.push(match expected(*cell, outcome) {
            _ if cell.noise == Noise::Slips => "-".to_owned(),
            small if small < 0.005 => "0".to_owned(),
            blocks => format!("{blocks:.2}"),
        });
        plain.row(row);
    }
    let met = if all.secure().wrong + all.twice + all.strange == 0 { "met" } else { "**missed**" };
    secure.verdict(format!(
        "Wrong batches accepted: {}; APDUs executed twice: {}; commands executed that nobody had sent: {}; target 0: {met}.",
        all.writes.wrong, all.twice, all.strange
    ));
    vec![secure, plain]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A damaged block has four wrong bits on average at 10^-3, and an even number of four or more in about a third of all.
    #[test]
    fn what_crc16_lets_through_is_about_one_in_a_hundred_thousand_at_worst() {
        let worst = let_through(1_000);
        assert!((0.9e-5..1.2e-5).contains(&worst), "{worst:e}");
        let mild = let_through(10_000);
        assert!((2e-8..5e-8).contains(&mild), "{mild:e}");
    }
}
